"""Laws: any graph ends within its limit, its replay is identical, a changed tape is found, folding is faithful."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agentctl.engine.history import read_history
from agentctl.engine.replay import replay
from agentctl.errors import ToolError
from agentctl.state import State
from tests.engine.desk import Bench, Desk, calls, compiled, said

NODES = ("n0", "n1", "n2", "n3")
FIELDS = """
  count: {type: integer, default: 0}
  text: {type: string, default: ""}
  log: {type: array, reduce: append, keep: 5}
  all: {type: array, reduce: extend}
  seen: {type: array, reduce: union}
  map: {type: object, reduce: merge}
  total: {type: number, reduce: sum}
  top: {type: number, reduce: max}
  messages: messages
"""
SETS = (
    "count: ${{ state.count + 1 }}",
    "log: ${{ state.count }}",
    "all: ['${{ state.count }}', b]",
    "seen: ['${{ state.count }}', b]",
    "map: {a: '${{ state.count }}'}",
    "total: 1.5",
    "top: ${{ state.count }}",
    "text: ${{ state.text }}x",
)


@st.composite
def node(draw: st.DrawFn, name: str) -> str:
    then = draw(st.sampled_from([*NODES, "end", "r0", "r1"]))
    tail = f"then: {then}, on_error: {draw(st.sampled_from([*NODES, 'end', 'skip']))}"
    match draw(st.sampled_from(["set", "set", "agent", "talk", "tool"])):
        case "agent":
            return f"  {name}: {{agent: one, prompt: 'say ${{{{ state.count }}}}', save: text, {tail}}}"
        case "talk":
            return f"  {name}: {{agent: two, history: messages, prompt: go, {tail}}}"
        case "tool":
            return f"  {name}: {{tool: look, save: text, {tail}}}"
        case _:
            writes = draw(st.lists(st.sampled_from(SETS), min_size=1, max_size=3, unique=True))
            body = ", ".join(
                f'{key}: "{value}"' if value.startswith("$") else f"{key}: {value}"
                for key, value in (write.split(": ", 1) for write in writes)
            )
            return f"  {name}: {{set: {{{body}}}, {tail}}}"


@st.composite
def graphs(draw: st.DrawFn) -> str:
    nodes = "\n".join(draw(node(name)) for name in NODES)
    first, second = (draw(st.sampled_from([*NODES, "end"])) for _ in range(2))
    least = draw(st.integers(0, 6))
    return f"""
agentctl: 1
name: any
output: [text, count]
state: {FIELDS}
agents:
  one: {{tools: [look], max_turns: 2}}
  two: {{}}
tools: {{look: {{python: "tools:look", effect: write}}}}
start: n0
nodes:
{nodes}
routers:
  r0: [{{when: state.count > {least}, to: {first}}}, {{else: {second}}}]
  r1: {{by: state.count, to: {{"1": {first}, "2": n1}}, else: {second}}}
limits: {{recursion: {draw(st.integers(1, 15))}, tool_calls: 6, tokens: 200, on_limit: n3}}
"""


@st.composite
def benches(draw: st.DrawFn) -> Bench:
    answers = st.sampled_from(
        [
            said("a text long enough to be referred to rather than kept a second time"),
            said("x"),
            said(""),
            calls(("look", {})),
        ]
    )
    results = iter(
        draw(
            st.lists(
                st.sampled_from(["short", "y" * 80, 3, None, ToolError("tool_failed", "no")]), max_size=8
            )
        )
    )

    def look() -> Any:
        result = next(results, "z")
        if isinstance(result, ToolError):
            raise result
        return result

    desk = Desk(draw(st.lists(answers, max_size=12)), {"look": look})
    return Bench(compiled(draw(graphs())), desk)


@settings(max_examples=150, deadline=None)
@given(benches(), st.integers(1, 2))
def test_any_graph_ends_within_its_limit_and_replays_identically(at: Bench, turns: int) -> None:
    for _ in range(turns):
        outcome = at.run()
        assert outcome.status in ("done", "limit", "failed")
        assert outcome.steps <= at.graph.limits.recursion + 1
    report = at.replay()
    assert report.divergences == ()
    assert report.steps == len(at.route())


@settings(max_examples=80, deadline=None)
@given(benches(), st.data())
def test_a_changed_tape_is_found(at: Bench, data: st.DataObject) -> None:
    at.run()
    rows = asyncio.run(at.store.read("t"))
    changeable = [i for i, (_, r) in enumerate(rows) if r["kind"] == "step" and r.get("up")]
    if not changeable:
        return
    spoilt = copy.deepcopy(rows)
    record = spoilt[data.draw(st.sampled_from(changeable))][1]
    record["up"] = [[*record["up"][0][:1], "something else"]]
    report = asyncio.run(replay("t", spoilt, lambda turn: at.graph))
    assert [d.step for d in report.divergences] == [record["n"]]


@settings(max_examples=80, deadline=None)
@given(benches(), st.integers(1, 3))
def test_folding_the_log_gives_the_state_that_ran(at: Bench, turns: int) -> None:
    for _ in range(turns):
        at.run()

    async def folded() -> State:
        head = await at.store.head("t")
        return (await read_history(at.store, head, "t", at.graph.fields)).state

    state = asyncio.run(folded())
    report = at.replay()
    assert state.digest == report.digest
    again = State.restored(at.graph.fields, state.values, state.digest)
    assert (again.values, again.size) == (state.values, state.size)
