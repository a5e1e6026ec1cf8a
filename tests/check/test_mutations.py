"""Any mutation of a good file is either still accepted, and then runs, or is rejected at a place in the file."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentctl.check.check import check
from agentctl.engine.signals import Question
from agentctl.errors import UsageError
from agentctl.graph.plan import Model, StoreWork
from agentctl.json import encode
from agentctl.messages import ChatReply, ChatRequest, Usage
from agentctl.models.groups import Hearing, ModelAnswer
from agentctl.spec.document import document_from_texts
from agentctl.spec.fits import completed, first_problem
from agentctl.spec.types import state_field, to_schema
from tests.engine.desk import Bench, Desk, compiled

Json = Any
ROOT = Path(__file__).parent.parent.parent
FILES = [
    *sorted((ROOT / "examples").glob("*/graph.yaml")),
    *sorted((ROOT / "graphs").glob("*/graph.yaml")),
    *sorted((ROOT / "tests" / "cases" / "check" / "ok").glob("*.yaml")),
]
TEXTS = [
    text
    for file in FILES
    if "nodes:" in (text := file.read_text()) and "include:" not in text and "{file:" not in text
]
WORD = re.compile(r"[A-Za-z_][\w-]*|\d+(?:\.\d+)?|\$\{\{|\}\}|[\[\]{},|>]")
STRANGE = [
    *(
        "end",
        "skip",
        "state",
        "null",
        "true",
        "-1",
        "0",
        "1e9",
        "99999999999999999999",
        "''",
        "[]",
        "{}",
        "é",
        "x",
    ),
    *(
        "${{ state.x }}",
        "state.",
        "30s",
        "5MB",
        "20%",
        "$1",
        "[a, b]",
        "{a: b}",
        "write",
        "local",
        "!!int 3",
        "&a",
        "*a",
    ),
]

Mutation = Callable[[str], str]


@st.composite
def mutations(draw: st.DrawFn) -> Mutation:
    """One change of a text: a word for another of it or a strange one, a line less, twice, elsewhere, or deeper."""
    kind = draw(
        st.sampled_from(
            ["word", "word", "word", "strange", "strange", "drop", "twice", "move", "indent", "swap"]
        )
    )
    place, other = draw(st.integers(0, 10_000)), draw(st.integers(0, 10_000))
    strange = draw(st.sampled_from(STRANGE))

    def change(text: str) -> str:
        if kind in ("word", "strange"):
            words = list(WORD.finditer(text))
            if not words:
                return text
            at = words[place % len(words)]
            by = strange if kind == "strange" else words[other % len(words)][0]
            return text[: at.start()] + by + text[at.end() :]
        lines = text.split("\n")
        here, there = place % len(lines), other % len(lines)
        match kind:
            case "drop":
                del lines[here]
            case "twice":
                lines.insert(here, lines[here])
            case "move":
                lines.insert(there, lines.pop(here))
            case "indent":
                lines[here] = "  " + lines[here]
            case "swap":
                lines[here], lines[there] = lines[there], lines[here]
        return "\n".join(lines)

    return change


def made(schema: Json, seed: int) -> Json:
    """A value that fits a schema, if one is easily made."""
    if not isinstance(schema, dict):
        return None
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][seed % len(schema["enum"])]
    if "default" in schema:
        return schema["default"]
    named = schema.get("type", "string")
    match named[0] if isinstance(named, list) else named:
        case "object":
            return {name: made(part, seed + 1) for name, part in schema.get("properties", {}).items()}
        case "array":
            return [made(schema.get("items", {}), seed)] * (seed % 3)
        case "integer" | "number":
            return max(schema.get("minimum", seed % 7), schema.get("exclusiveMinimum", 0) + 1)
        case "boolean":
            return bool(seed % 2)
        case "null":
            return None
        case _:
            return "ann@example.org" if schema.get("format") == "email" else "words"


@dataclass
class Answering(Desk):
    """A world that answers whatever it is asked as its schema says."""

    seed: int = 0
    graph: Any = None
    results: dict[str, Json] = field(default_factory=dict)

    async def chat(self, model: Model, request: ChatRequest, hearing: Hearing) -> ModelAnswer:
        self.asked.append(request)
        self.seed += 1
        text = encode(made(request.output, self.seed)).decode() if request.output else "some words"
        hearing.on_delta(text)
        reply = ChatReply(text=text, usage=Usage(input=10, output=5))
        return ModelAnswer.of(reply, model.reference, 0.0)

    async def _work(self, call: Any) -> Json:
        self.worked.append((call.tool.name, call.arguments, call.idempotency_key))
        if isinstance(call.tool.work, StoreWork):
            return []  # a context policy asks a store that is still empty
        return self.results.get(call.tool.name, "words")


async def somebody(question: Question) -> Json:
    return question.choices[0] if question.choices else "words"


def bench_of(text: str, seed: int) -> Bench:
    """The graph of a text at a desk where everybody answers. Raises UsageError for what cannot be run."""
    graph = compiled(text)
    tools = data_of(text).get("tools", {})
    results = {
        name: made(to_schema(tool["returns"]), seed) for name, tool in tools.items() if "returns" in tool
    }
    return Bench(graph, Answering(person=somebody, seed=seed, results=results))


def data_of(text: str) -> Json:
    return document_from_texts("graph.yaml", {"graph.yaml": text}).data


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
@given(
    text=st.sampled_from(TEXTS),
    changes=st.lists(mutations(), min_size=1, max_size=3),
    seed=st.integers(0, 50),
)
def test_a_mutated_file_runs_or_is_rejected_at_a_place(text: str, changes: list[Mutation], seed: int) -> None:
    for change in changes:
        text = change(text)
    document = document_from_texts("graph.yaml", {"graph.yaml": text})
    findings = check(document, information=True)
    lines = text.splitlines() or [""]
    for finding in findings:
        assert 1 <= finding.span.line <= len(lines) + 1
        assert finding.message
    if not document.is_part and not any(finding.severity == "error" for finding in findings):
        run(text, seed)


def run(text: str, seed: int) -> None:
    """What was accepted runs: it ends in a status, and not for something that a check could have found."""
    try:
        bench = bench_of(text, seed)
    except UsageError as refused:
        # what the language has and this version cannot run is refused at its place
        if re.match(r"graph\.yaml:\d+:\d+: ", refused.message) is None:
            raise
        return
    fields = {name: state_field(type).schema for name, type in data_of(text).get("state", {}).items()}
    inputs = {name: completed(fields[name], made(fields[name], seed)) for name in bench.graph.input}
    if any(first_problem(fields[name])(value) for name, value in inputs.items()):
        return
    outcome = bench.run(**inputs)
    assert outcome.status in ("done", "failed", "limit", "waiting")
    told = str(outcome.error)
    assert not [word for word in ("undefined", "no field", "unknown") if word in told], told
