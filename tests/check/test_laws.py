"""Laws of checking: no file makes it raise, every finding has a place, and it stays quick."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentctl.check.check import check
from agentctl.check.reports.json import as_json
from agentctl.check.reports.result import Result
from agentctl.check.reports.text import as_text
from agentctl.spec.document import document_from_texts

CASES = Path(__file__).parent.parent / "cases" / "check"
TEXTS = [file.read_text() for file in sorted((CASES / "ok").glob("*.yaml"))]
WORDS = [
    "end",
    "skip",
    "state.",
    "${{",
    "}}",
    "|",
    "then",
    ": ",
    "[",
    "]",
    "{",
    "}",
    "null",
    "- ",
    "12",
    "true",
    '"',
    "\n",
    "  ",
    "agent",
    "&a ",
    "*a",
    "é",
    "\t",
    "#",
]

Edit = tuple[int, int, str]
EDITS = st.lists(
    st.tuples(st.integers(0, 4000), st.integers(0, 12), st.sampled_from(WORDS) | st.text(max_size=4)),
    min_size=1,
    max_size=3,
)


def _edited(text: str, edits: list[Edit]) -> str:
    for place, length, word in edits:
        place %= len(text)
        text = text[:place] + word + text[place + length :]
    return text


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.sampled_from(TEXTS), edits=EDITS)
def test_no_edit_of_a_good_file_makes_the_check_raise_or_lose_a_place(text: str, edits: list[Edit]) -> None:
    edited = _edited(text, edits)
    findings = check(document_from_texts("graph.yaml", {"graph.yaml": edited}))
    lines = edited.splitlines() or [""]
    for finding in findings:
        assert 1 <= finding.span.line <= len(lines) + 1
        assert (finding.span.line, finding.span.column) <= (finding.span.end_line, finding.span.end_column)
        assert finding.span.column >= 1
    assert findings == check(document_from_texts("graph.yaml", {"graph.yaml": edited}))
    as_json(Result(findings))


@settings(max_examples=150, deadline=None)
@given(text=st.sampled_from(TEXTS), data=st.data())
def test_no_value_put_in_place_of_another_makes_the_check_raise(text: str, data: st.DataObject) -> None:
    lines = text.splitlines()
    place = data.draw(st.integers(0, len(lines) - 1))
    head, colon, _ = lines[place].partition(":")
    lines[place] = (
        head
        + colon
        + " "
        + data.draw(st.sampled_from(["1", "[1, [2]]", "{a: {b: 1}}", "", "true", "x", "[]", "{}", "-1.5"]))
    )
    findings = check(document_from_texts("graph.yaml", {"graph.yaml": "\n".join(lines)}))
    assert all(finding.span.line >= 1 for finding in findings)
    as_text(Result(findings))


def _chain(count: int) -> str:
    """A graph of many nodes, each with a prompt, a save, and a router after it."""
    parts = [
        "agentctl: 1",
        "name: chain",
        f"limits: {{recursion: {count}}}",
        "input: [a]",
        "output: [z]",
        "state:",
        "  a: string",
        "  z: string",
    ]
    parts += [f"  f{i}: {{type: string, default: ''}}" for i in range(50)]
    parts += ["agents:", "  one: {instructions: You answer.}", "start: n0", "nodes:"]
    for i in range(count):
        target = f"r{i}" if i < count - 1 else "end"
        parts += [
            f"  n{i}:",
            "    agent: one",
            f"    prompt: Do ${{{{ state.f{i % 50} }}}} with ${{{{ state.a }}}}, step {i}.",
            f"    save: {'z' if i == count - 1 else f'f{(i + 1) % 50}'}",
            "    on_error: skip" if i % 7 == 0 else "    max_visits: 3",
            f"    then: {target}",
        ]
    parts.append("routers:")
    for i in range(count - 1):
        parts += [
            f"  r{i}:",
            f'    - {{when: state.f{i % 50} == "x{i}", to: n{i // 2}}}',
            f"    - else: n{i + 1}",
        ]
    return "\n".join(parts) + "\n"


def _seconds(text: str) -> float:
    """Of this process's own time, the better of two tries: the machine may be busy."""
    return min(_seconds_once(text), _seconds_once(text))


def _seconds_once(text: str) -> float:
    began = time.process_time()
    check(document_from_texts("graph.yaml", {"graph.yaml": text}))
    return time.process_time() - began


def test_checking_grows_in_step_with_the_file() -> None:
    _seconds(_chain(10))
    few, many = _seconds(_chain(250)), _seconds(_chain(1000))
    # how long it takes is benchmarks/validate.py's to say
    assert many < 4 * few * 2.5


def test_the_chain_that_is_timed_has_only_the_finding_it_should_have() -> None:
    findings = check(document_from_texts("graph.yaml", {"graph.yaml": _chain(30)}))
    assert [finding.code for finding in findings if finding.severity == "error"] == []


def test_nothing_of_a_file_is_run(tmp_path: Path) -> None:
    from agentctl.check.check import check_file

    mark = tmp_path / "ran"
    (tmp_path / "tools.py").write_text(f"open({str(mark)!r}, 'w')\ndef find(): pass\n")
    file = tmp_path / "graph.yaml"
    file.write_text(
        "agentctl: 1\nname: x\ntools: {find: {python: 'tools:find', effect: read, timeout: 5s}}\n"
        "start: a\nnodes: {a: {tool: find, then: end}}\n"
    )
    assert check_file(file) == []
    assert not mark.exists()


@pytest.mark.parametrize(
    "text", ["", "\n", "agentctl: 1\n", "[]", "1", "a: [", "null", "nodes: 1\nagentctl: 1\n", "\x00"]
)
def test_files_of_almost_nothing_give_findings_and_no_exception(text: str) -> None:
    findings = check(document_from_texts("graph.yaml", {"graph.yaml": text}))
    assert isinstance(findings, list)
