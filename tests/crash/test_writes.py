"""Killed at any point around a write: with a key it happens once, without one it is never made again unasked."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from agentctl.engine.effects import Effects
from agentctl.engine.keeper import Keeper
from agentctl.engine.turn import Turn
from agentctl.graph.plan import ToolPlan
from agentctl.tools.call import Answered, Call, ToolCaller
from tests.crash.paying import Bank, Beside, Case, Harm, Kind, Payment, Point, check

CASES = [
    Case(kind, keyed, point, beside, by_node)
    for kind, keyed, point, beside, by_node in itertools.product(
        get_args(Kind), (True, False), get_args(Point), get_args(Beside), (False, True)
    )
    # a node makes one call; its step is over when all of its calls are
    if not (beside and by_node) and not (point == "stepped" and beside == "held")
]
RUNS = 500


@pytest.fixture(scope="module")
def bank() -> Iterator[Bank]:
    found = Bank()
    yield found
    found.close()


def some_of(cases: list[Case]) -> list[Case]:
    """Each point with each kind, with a key and without; what goes on beside it changes from one to the next."""
    found: list[Case] = []
    for _, alike in itertools.groupby(cases, lambda case: (case.kind, case.keyed, case.point)):
        found.append(list(alike)[len(found) % 3])
    return found


@pytest.mark.parametrize("case", some_of(CASES), ids=str)
def test_a_run_killed_around_a_write_pays_once(tmp_path: Path, bank: Bank, case: Case) -> None:
    check(Payment(case, tmp_path / "run", bank))


@pytest.mark.soak
def test_500_runs_killed_around_a_write_pay_once_each(tmp_path: Path, bank: Bank) -> None:
    draw = random.Random(1)
    cases = [*CASES * (RUNS // len(CASES)), *draw.sample(CASES, RUNS % len(CASES))]
    draw.shuffle(cases)
    for number, case in enumerate(cases):
        check(Payment(case, tmp_path / str(number), bank))


def test_what_a_power_cut_takes_is_no_intent(tmp_path: Path, bank: Bank) -> None:
    check(Payment(Case("http", False, "working"), tmp_path / "run", bank, power_cut=True))


async def _nothing(*args: Any, **named: Any) -> None: ...


def forget_the_intent() -> None:
    Effects.intend = _nothing  # type: ignore[method-assign]


def forget_the_sync() -> None:
    append = Keeper.append

    async def unsynced(self: Keeper, records: Any, *, sync: bool = False) -> int:
        return await append(self, records, sync=sync and records[0]["kind"] != "intent")

    Keeper.append = unsynced  # type: ignore[method-assign]


def forget_the_tape() -> None:
    Effects.known = lambda self, place: None  # type: ignore[method-assign]


def forget_the_key() -> None:
    keyed = ToolCaller.call

    async def keyless(self: ToolCaller, call: Call) -> Answered:
        return await keyed(self, replace(call, idempotency_key=None))

    ToolCaller.call = keyless  # type: ignore[method-assign]


def change_the_key() -> None:
    key = Turn._key

    def another(self: Turn, tool: ToolPlan, arguments: Any) -> str:
        return f"{key(self, tool, arguments)}/{random.random()}"

    Turn._key = another  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("harm", "case", "power_cut"),
    [
        (forget_the_intent, Case("http", False, "working"), False),
        (forget_the_intent, Case("python", False, "unrecorded", "done"), False),
        (forget_the_sync, Case("http", False, "working"), True),
        (forget_the_key, Case("http", True, "working"), False),
        (forget_the_key, Case("python", True, "unrecorded"), False),
        (forget_the_key, Case("command", True, "unrecorded"), False),
        (forget_the_tape, Case("http", True, "recorded", "done"), False),
        (change_the_key, Case("http", True, "unrecorded", "held"), False),
    ],
)
def test_without_its_intent_the_sync_the_key_or_the_tape_the_same_kill_is_noticed(
    tmp_path: Path, bank: Bank, harm: Harm, case: Case, power_cut: bool
) -> None:
    with pytest.raises(AssertionError, match=r"made again|not paid once"):
        check(Payment(case, tmp_path / "run", bank, harm, power_cut))
