"""Events in a file of JSON Lines."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from agentctl.errors import CannotRun
from agentctl.sinks.jsonl import JsonLinesSink
from tests.sinks.stream import end, model_call, stream


def told(path: Path) -> list[str]:
    sink = JsonLinesSink(path)
    events = stream(sink)
    model_call(events, 1, "é\n", "b")
    asyncio.run(events.settle())
    settled = path.read_text().splitlines()
    end(events)
    asyncio.run(sink.close())
    return settled


def test_each_event_is_a_line_and_all_are_there_once_settled(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    settled = told(path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["type"] for line in lines] == [
        "model.started", "model.delta", "model.delta", "model.ended", "run.ended",
    ]  # fmt: skip
    assert len(settled) == 4
    assert lines[1]["data"] == {"text": "é\n"}
    assert [line["id"] for line in lines] == [f"r1/{n}" for n in range(1, 6)]
    assert path.stat().st_mode & 0o077 == 0

    told(path)
    assert len(path.read_text().splitlines()) == 10, "a second run appends"


def test_a_file_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    sink = JsonLinesSink(tmp_path / "nowhere" / "events.jsonl")
    end(stream(sink))
    with pytest.raises(CannotRun, match=r"cannot write events to .*nowhere"):
        asyncio.run(sink.settle())


def test_no_event_makes_no_file(tmp_path: Path) -> None:
    sink = JsonLinesSink(tmp_path / "events.jsonl")
    asyncio.run(sink.settle())
    asyncio.run(sink.close())
    assert list(tmp_path.iterdir()) == []
