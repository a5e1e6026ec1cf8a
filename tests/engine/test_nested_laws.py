"""Laws of graphs inside graphs: they end, replay, are found when changed, and go on from a crash at any record."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentctl.engine.replay import replay
from agentctl.store.memory import MemoryThreadStore
from tests.engine.desk import Bench, Desk
from tests.engine.oracle import Oracle, oracle


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentctl.retry.Backoff.wait", lambda *_, **__: 0.0)


INNER = ("m0", "m1", "m2")
OUTER = ("n0", "n1", "n2")
FIELDS = """
      text: {type: string, default: ""}
      count: {type: integer, default: 0}
      log: {type: array, reduce: append, keep: 4}
"""


@st.composite
def node(draw: st.DrawFn, name: str, names: tuple[str, ...], graphs: tuple[str, ...]) -> str:
    then = draw(st.sampled_from(["end", *names, "end", "r0"]))
    error = draw(st.sampled_from([*names, "end", "skip", None]))
    tail = f"then: {then}" + (f", on_error: {error}" if error else "")
    tail += draw(st.sampled_from(["", "", "", ", retry: {attempts: 2}"]))
    match draw(
        st.sampled_from([*["graph"] * 3 * bool(graphs), "parallel", "map", "lead", "agent", "set", "tool"])
    ):
        case "agent":
            return f"{name}: {{agent: one, prompt: 'say ${{{{ state.count }}}} {name}', save: text, {tail}}}"
        case "lead":
            return f"{name}: {{agent: lead, prompt: 'lead ${{{{ state.text }}}}', save: text, {tail}}}"
        case "tool":
            return f"{name}: {{tool: look, args: {{at: '${{{{ state.text }}}}'}}, save: log, {tail}}}"
        case "parallel":
            branches = ", ".join(
                f"b{n}: {{{draw(branch(graphs))}{draw(st.sampled_from([', on_error: skip', '']))}}}"
                for n in range(draw(st.integers(1, 3)))
            )
            return f"{name}: {{parallel: {{{branches}}}, {tail}}}"
        case "map":
            tolerate = draw(
                st.sampled_from(["", ", tolerate: 1", ", tolerate: 50%", ", tolerate: 9, concurrency: 1"])
            )
            over = draw(st.sampled_from(["state.log", "[1, 2, 3, 4]", "[]"]))
            work = draw(branch(graphs, saves=False))
            return f"{name}: {{map: {{over: '{over}', do: {{{work}}}{tolerate}}}, save: log, {tail}}}"
        case "graph":
            graph = draw(st.sampled_from(graphs))
            inputs = "input: {text: '${{ state.text }}', count: '${{ state.count }}'}"
            return f"{name}: {{graph: {graph}, {inputs}, save: [text, count], {tail}}}"
        case _:
            return f"{name}: {{set: {{count: '${{{{ state.count + 1 }}}}', log: '${{{{ state.count }}}}'}}, {tail}}}"


@st.composite
def branch(draw: st.DrawFn, graphs: tuple[str, ...], *, saves: bool = True) -> str:
    at = "${{ state.text }}" if saves else "${{ item }}"
    match draw(st.sampled_from([*["graph"] * 2 * bool(graphs), "agent", "lead", "tool", "set"])):
        case "graph":
            graph = draw(st.sampled_from(graphs))
            return f"graph: {graph}, input: {{text: 't{at}', count: 1}}" + ", save: {log: text}" * saves
        case "agent":
            return f"agent: one, prompt: 'beside {at} {draw(st.integers(0, 9))}'" + ", save: log" * saves
        case "lead":
            return f"agent: lead, prompt: 'lead {at}'" + ", save: text" * saves
        case "tool":
            return f"tool: look, args: {{at: '{at}x'}}" + ", save: log" * saves
        case _:
            return "set: {count: '${{ state.count + 1 }}'}"


@st.composite
def body(draw: st.DrawFn, names: tuple[str, ...], graphs: tuple[str, ...]) -> list[str]:
    first, second = (draw(st.sampled_from([*names, "end"])) for _ in range(2))
    return [
        f"start: {draw(st.sampled_from([*names, 'r0']))}",
        "nodes:",
        *(f"  {draw(node(name, names, graphs))}" for name in names),
        "routers:",
        f"  r0: [{{when: state.count > {draw(st.integers(0, 3))}, to: {first}}}, {{else: {second}}}]",
        f"state: {FIELDS}",
    ]


@st.composite
def graphs(draw: st.DrawFn) -> str:
    def inside(name: str, others: tuple[str, ...]) -> str:
        lines = ["input: [text, count]", "output: [text, count, log]", *draw(body(INNER, others))]
        return f"  {name}:\n" + "\n".join(f"    {line}" for line in lines)

    root = "\n".join(draw(body(OUTER, ("deep", "flat"))))
    return f"""
agentctl: 1
name: any
output: [text, count]
agents:
  one: {{}}
  lead: {{tools: [look, dig, ask_one], max_turns: 3}}
tools:
  look: {{python: "tools:look", effect: read, parameters: {{at: string}}, retry: {{attempts: 1}}}}
  dig: {{graph: small, parameters: {{text: string}}}}
  ask_one: {{agent: one, parameters: {{prompt: string}}}}
{root}
graphs:
{inside("deep", ("flat",))}
{inside("flat", ())}
  small:
    input: [text]
    output: [text]
    state: {{text: string, n: {{type: integer, default: 0}}}}
    start: a
    nodes:
      a: {{agent: one, prompt: "small ${{{{ state.text }}}}", save: text, then: b, on_error: b}}
      b: {{tool: look, args: {{at: "${{{{ state.text }}}}"}}, then: c, on_error: skip}}
      c: {{set: {{n: 1}}, then: end}}
limits: {{recursion: {draw(st.sampled_from([40, 25, 12, 8, 5, 3, 2, 1]))}, depth: {draw(st.sampled_from([4, 4, 3, 2, 1]))}, on_limit: {draw(st.sampled_from(OUTER))}}}
"""


def run(text: str, seed: int) -> Bench:
    at = oracle(text, seed)
    at.run()
    return at


seeds = st.integers(0, 1000)


@settings(max_examples=70, deadline=None)
@given(graphs(), seeds)
def test_any_nested_graph_ends_within_its_limit_and_replays_identically(text: str, seed: int) -> None:
    at = oracle(text, seed)
    outcome = at.run()
    assert outcome.status in ("done", "limit", "failed")
    assert outcome.steps <= 2 * at.graph.limits.recursion  # on_limit has it once more for what is inside
    assert at.replay().divergences == ()
    paths = [event.path for event in at.seen.events if event.type == "step.started"]
    assert len(set(paths)) == len(paths)


@settings(max_examples=40, deadline=None)
@given(graphs(), seeds, st.data())
def test_a_changed_nested_step_is_found_at_its_step(text: str, seed: int, data: st.DataObject) -> None:
    at = run(text, seed)
    rows = asyncio.run(at.store.read("t"))
    changeable = [i for i, (_, r) in enumerate(rows) if r["kind"] == "inner" and "up" in r]
    ended = {record["n"] for _, record in rows if record["kind"] == "step" and "err" not in record}
    changeable = [i for i in changeable if rows[i][1]["path"].split("/")[0] in {str(n) for n in ended}]
    if not changeable:
        return
    spoilt = copy.deepcopy(rows)
    record = spoilt[data.draw(st.sampled_from(changeable))][1]
    record["up"] = "0" * 12
    report = asyncio.run(replay("t", spoilt, lambda turn: at.graph))
    assert [(d.code, d.node) for d in report.divergences] == [("D03", record["path"])]


@settings(max_examples=40, deadline=None)
@given(graphs(), seeds, st.data())
def test_a_crash_at_any_record_goes_on_to_the_same_end_and_asks_nothing_twice(
    text: str, seed: int, data: st.DataObject
) -> None:
    at = run(text, seed)
    records, whole = at.records(), at.replay()
    keep = data.draw(st.integers(1, len(records) - 1))
    again = cut_after(at, records[:keep])
    again.resume()
    assert again.replay().divergences == ()
    assert again.replay().digest == whole.digest
    if any("limit" in record or record.get("of") in ("parallel", "map") for record in records):
        return  # which of those side by side was over when they were cut short is chance
    for of, asked in (("model", again.desk.asked), ("tool", again.desk.worked)):
        made = [r for r in records if r["kind"] == "effect" and r["of"] == of and "used" not in r]
        known = [r for r in records[:keep] if r["kind"] == "effect" and r["of"] == of and "used" not in r]
        assert len(asked) == len(made) - len(known)
    assert steps_of(again.records()) == steps_of(records)


def cut_after(at: Bench, records: list[Any]) -> Bench:
    """A bench whose thread has these records, as a process that was killed then leaves it."""
    assert isinstance(at.desk, Oracle)
    desk: Desk = Oracle(seed=at.desk.seed)
    again = Bench(at.graph, desk, store=MemoryThreadStore(), ran=dict(at.ran))

    async def fill() -> None:
        await again.store.save_file(at.graph.digest, at.graph.recording)
        log = await again.store.open("t")
        await log.append(records)
        await log.close()

    asyncio.run(fill())
    return again


def steps_of(records: list[Any]) -> list[Any]:
    """The root steps without their times, and the nested ones in the order of their paths."""
    steps = [{k: v for k, v in record.items() if k != "t"} for record in records if record["kind"] == "step"]
    return [*steps, *sorted((r for r in records if r["kind"] == "inner"), key=lambda r: r["path"])]
