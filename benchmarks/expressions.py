"""What an expression costs: compiled here, in Jinja's stock sandbox, and written by hand in Python.

Run it with `python benchmarks/expressions.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment
from side_by_side import Round, Row, show, take_turns

from agentctl.expressions import analyse_bare, compile_bare, compile_template
from agentctl.expressions.parse import parse_bare
from agentctl.json import Json

ROUNDS = 15
CALLS = 20_000
CONDITION = "state.sure >= 0.6"
ROUTE = "'strong' if state.plan == 'pro' and state.notes | length > 2 else 'fast'"
PROMPT = "Question: ${{ state.question }}\n{% for note in state.notes %}\n- ${{ note }}\n{% endfor %}\n"
NAMES: dict[str, Json] = {
    "state": {"sure": 0.7, "plan": "pro", "question": "Why is the sky blue?", "notes": ["a", "b", "c", "d"]}
}
SCOPE: dict[str, Json] = {
    "state": {
        "type": "object",
        "properties": {"sure": {"type": "number"}},
        "required": ["sure"],
        "additionalProperties": False,
    }
}


def main() -> None:
    """Measure and print."""
    sandbox = SandboxedEnvironment(undefined=StrictUndefined)
    state = NAMES["state"]
    cost = take_turns(
        {
            "ours": _calls(compile_bare(CONDITION)),
            "stock": _calls(_stock(sandbox, CONDITION)),
            "lambda": _calls(lambda names: names["state"]["sure"] >= 0.6),
            "our route": _calls(compile_bare(ROUTE)),
            "stock route": _calls(_stock(sandbox, ROUTE)),
            "lambda route": _calls(_route),
            "our prompt": _calls(compile_template(PROMPT)),
            "stock prompt": _calls(_stock_prompt()),
            "read": _calls(lambda names: _analysed(), 200),
            "stock read": _calls(lambda names: sandbox.compile_expression(CONDITION), 200),
        },
        ROUNDS,
    )
    assert compile_bare(ROUTE)(NAMES) == _route(NAMES) == "strong"
    assert compile_template(PROMPT)(NAMES) == _stock_prompt()(NAMES), state
    rows = [
        Row(f"`{CONDITION}`", cost["ours"], cost["lambda"], "a lambda", 3),
        Row("the same", cost["ours"], cost["stock"], "Jinja's sandbox", 0.05),
        Row(f"`{ROUTE[:24]}…`", cost["our route"], cost["lambda route"], "a function"),
        Row("the same", cost["our route"], cost["stock route"], "Jinja's sandbox", 0.2),
        Row("a prompt with a loop of 4", cost["our prompt"], cost["stock prompt"], "Jinja's sandbox", 1),
        Row("to check a condition", cost["read"], cost["stock read"], "Jinja's compilation", 1),
    ]
    show("expressions: the time of one evaluation", rows)


def _calls(work: Callable[[Json], Json], calls: int = CALLS) -> Round:
    def once() -> float:
        begun = time.perf_counter()
        for _ in range(calls):
            work(NAMES)
        return (time.perf_counter() - begun) / calls

    return once


def _stock(sandbox: SandboxedEnvironment, text: str) -> Callable[[Json], Json]:
    compiled = sandbox.compile_expression(text)
    return lambda names: compiled(names)


def _stock_prompt() -> Callable[[Json], Json]:
    sandbox = SandboxedEnvironment(
        undefined=StrictUndefined,
        variable_start_string="${{",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = sandbox.from_string(PROMPT)
    return lambda names: template.render(names)


def _route(names: Json) -> Json:
    state = names["state"]
    return "strong" if state["plan"] == "pro" and len(state["notes"]) > 2 else "fast"


def _analysed() -> None:
    parse_bare.cache_clear()
    analyse_bare(CONDITION, SCOPE)


if __name__ == "__main__":
    main()
