"""Mends: each takes its finding away and brings none, leaves all else of a file as it was, and does no harm."""

from __future__ import annotations

import os
import shutil
import stat
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentctl.check.check import check_file
from agentctl.check.checking import Files, check_files, find_files
from agentctl.check.editing import edited, write_text
from agentctl.check.mend import Mended, mend
from agentctl.check.selection import Selection
from agentctl.errors import UsageError
from agentctl.spec.finding import Finding, Fix, Span

CASES = Path(__file__).parent.parent / "cases" / "check" / "err"
ALL = Selection()
MENDABLE = [file for file in sorted(CASES.glob("*_*.yaml")) if any(one.fix for one in check_file(file))]
GRAPH = "agentctl: 1\nname: x\ninput: [who]\nstate: {who: string}\nstart: a\nnodes:\n  a: {ask: 'Are you ${{ who }}?', then: end}\n"


def mended(file: Path, selection: Selection = ALL) -> Mended:
    return mend(find_files([file]), selection)


def after(file: Path) -> str:
    result = mended(file)
    return result.after(file) if result.counts else file.read_text()


def told(findings: tuple[Finding, ...] | list[Finding]) -> Counter[tuple[str, str]]:
    return Counter((one.code, one.message) for one in findings)


def written(folder: Path, text: str, name: str = "graph.yaml") -> Path:
    file = folder / name
    file.write_bytes(text.encode())
    return file


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(CASES, tmp_path_factory.mktemp("cases") / "err"))


@pytest.mark.parametrize("name", [file.name for file in MENDABLE])
def test_a_mend_takes_its_finding_away_and_brings_none(name: str, cases: Path) -> None:
    file = cases / name
    found = check_file(file)
    before, fixed = told(found), [one for one in found if one.fix is not None]
    result = mended(file)
    left = told(check_files(result.files, ALL).findings)
    assert sum(result.counts.values()) == len(fixed)
    assert left == before - told(fixed)


def test_there_are_mends_for_what_is_certain() -> None:
    codes = {one.code for file in MENDABLE for one in check_file(file) if one.fix is not None}
    assert codes >= {"E401", "E404", "E405", "E411", "S100", "S131", "Y007", "Y008", "Y010"}


def test_byte_order_mark_and_line_ends_stay(tmp_path: Path) -> None:
    text = "\ufeff" + GRAPH.removeprefix("agentctl: 1\n").replace("\n", "\r\n")
    expected = "\ufeff" + GRAPH.replace("${{ who", "${{ state.who").replace("\n", "\r\n")
    assert after(written(tmp_path, text)) == expected


def test_a_missing_version_goes_before_the_first_key_and_into_no_file_of_another_kind(tmp_path: Path) -> None:
    graph = GRAPH.removeprefix("agentctl: 1\n").replace("${{ who", "${{ state.who")
    assert after(written(tmp_path, "# mine\n\n" + graph)) == "# mine\n\nagentctl: 1\n" + graph
    other = "services:\n  web: {image: x}\n"
    assert after(written(tmp_path, other, "compose.yaml")) == other


def test_what_a_mend_brings_to_light_is_mended_too(tmp_path: Path) -> None:
    text = GRAPH.replace("{ask: 'Are you ${{ who }}?', then: end}", "{ask: ${{ who }}, then: end}")
    assert '{ask: "${{ state.who }}", then: end}' in after(written(tmp_path, text))


def test_only_what_is_selected_is_mended(tmp_path: Path) -> None:
    file = written(tmp_path, GRAPH)
    assert not mended(file, Selection(select=("Y",))).counts
    assert not mended(file, Selection(ignore=("E411",))).counts
    assert mended(file, Selection(select=("E4",))).counts == {file: 1}


def test_a_text_that_is_written_in_another_way_than_it_reads_is_left_alone(tmp_path: Path) -> None:
    text = GRAPH.replace("'Are you ${{ who }}?'", '"Are you ${{ wh\\x6f }}?"')
    file = written(tmp_path, text)
    assert [one.code for one in check_file(file)][:1] == ["E411"]
    assert after(file) == text


def test_a_word_that_is_of_the_wrong_type_is_not_quoted(tmp_path: Path) -> None:
    text = "agentctl: 1\nname: x\nenv: {KEY: {secret: yes}}\nstart: a\nnodes: {a: {ask: Who, then: end}}\n"
    file = written(tmp_path, text)
    assert "Y008" not in {one.code for one in check_file(file)}  # S102 says what belongs there
    assert after(file) in (text, text.replace("yes", "true"))


def test_a_comment_is_not_taken_away_while_an_error_may_hide_what_it_is_for(tmp_path: Path) -> None:
    text = GRAPH.replace("start: a\n", "start: a  # agentctl: allow G207 because later\n")
    assert "allow" not in after(written(tmp_path, text.replace("${{ who", "${{ state.who")))
    broken = text.replace("${{ who }}", "${{ state.whom }}")
    assert after(written(tmp_path, broken)) == broken


def test_a_comment_for_what_only_informs_is_needed_while_nobody_asks_for_it(tmp_path: Path) -> None:
    text = GRAPH.replace("${{ who", "${{ state.who").replace(
        "start: a\n", "start: a  # agentctl: allow L712 because known\n"
    )
    assert check_file(written(tmp_path, text)) == []


def test_a_part_is_mended_and_what_lies_outside_the_project_is_not(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    part = "agentctl: 1\nagents:\n  one: {instructions: 'You greet ${{ who }}.'}\n"
    root = GRAPH.replace("name: x\n", "name: x\ninclude: [part.yaml]\n").replace(
        "{ask: 'Are you ${{ who }}?'", "{agent: one, prompt: Hi"
    )
    file, inner = written(project, root), written(project, part, "part.yaml")
    result = mended(file)
    assert result.counts == {inner: 1}
    assert "state.who" in result.after(inner)
    inner.unlink()
    inner.symlink_to(written(tmp_path, part, "elsewhere.yaml"))
    assert not mended(file).counts
    outside = written(tmp_path, GRAPH, "real.yaml")
    link = project / "link.yaml"
    link.symlink_to(outside)
    result = mended(link)
    assert (dict(result.counts), list(result.outside)) == ({}, [link])


def test_a_part_of_two_roots_is_mended_once(tmp_path: Path) -> None:
    written(tmp_path, "agentctl: 1\nagents:\n  one: {instructions: 'You greet ${{ who }}.'}\n", "part.yaml")
    root = GRAPH.replace("name: x\n", "name: x\ninclude: [part.yaml]\n").replace(
        "{ask: 'Are you ${{ who }}?'", "{agent: one, prompt: Hi"
    )
    written(tmp_path, root, "one.yaml")
    written(tmp_path, root.replace("who", "who"), "two.yaml")
    result = mended(tmp_path)
    assert result.counts == {tmp_path / "part.yaml": 1}
    assert result.after(tmp_path / "part.yaml").count("state.who") == 1


def test_a_mend_that_does_harm_is_taken_back_and_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule that is wrong about its mend: it would break the YAML."""
    from agentctl.check import mend as module

    text = GRAPH.replace(
        "nodes:\n",
        "nodes:\n" + "".join(f"  n{i}: {{ask: 'Hi ${{{{ who }}}}', then: end}}\n" for i in range(5)),
    )
    file, real = written(tmp_path, text), module.check

    def wrong(document: object, **asked: bool) -> list[Finding]:
        found = real(document, **asked)  # type: ignore[arg-type]
        return [
            Finding(
                one.code,
                one.severity,
                f"{one.message} {one.span.line}",
                one.file,
                one.span,
                fix=Fix(one.span, "'{"),
            )
            if one.span.line == 9 and one.code == "E411"
            else one
            for one in found
        ]

    monkeypatch.setattr(module, "check", wrong)
    result = mended(file, Selection(select=("E411",)))
    assert result.counts == {file: 5}
    assert "'{" not in result.after(file)
    assert result.after(file).count("state.who") == 5


def test_stretches_are_replaced_where_they_were_and_the_end_needs_no_line_end() -> None:
    fixes = [Fix(Span(2, 1, 2, 2), "B"), Fix(Span(1, 1, 1, 1), "0\n"), Fix(Span(3, 1, 4, 1), "")]
    assert edited("a\nb\nc", fixes) == "0\na\nB\n"


def test_a_file_is_written_with_its_mode_and_through_a_link(tmp_path: Path) -> None:
    file = written(tmp_path, "a")
    file.chmod(0o751)
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    write_text(link, "b", before="a")
    assert link.is_symlink()
    assert file.read_text() == "b"
    assert stat.S_IMODE(file.stat().st_mode) == 0o751
    assert sorted(os.listdir(tmp_path)) == ["graph.yaml", "link.yaml"]


def test_a_file_that_was_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    file = written(tmp_path, "changed")
    with pytest.raises(UsageError, match="changed meanwhile"):
        write_text(file, "mended", before="as it was")
    assert file.read_text() == "changed"


def test_mending_a_file_with_hundreds_of_slips_takes_seconds(tmp_path: Path) -> None:
    import time

    nodes = "".join(
        f"  n{i}: {{ask: 'Hi ${{{{ who }}}}', then: {f'n{i + 1}' if i < 499 else 'end'}}}\n"
        for i in range(500)
    )
    file = written(tmp_path, GRAPH[: GRAPH.index("  a:")].replace("start: a", "start: n0") + nodes)
    began = time.process_time()
    result = mended(file)
    assert time.process_time() - began < 5
    assert result.counts == {file: 500}
    assert [one for one in check_files(result.files, Selection()).findings if one.code == "E411"] == []


def test_more_slips_than_are_told_at_once_are_mended_in_rounds_and_not_one_by_one(tmp_path: Path) -> None:
    import time

    nodes = "".join(
        f"  n{i}: {{ask: Ready?, descripton: Ask., then: {f'n{i + 1}' if i < 1_499 else 'end'}}}\n"
        for i in range(1_500)
    )
    file = written(tmp_path, GRAPH[: GRAPH.index("  a:")].replace("start: a", "start: n0") + nodes)
    began = time.process_time()
    result = mended(file)
    # one by one it takes minutes
    assert time.process_time() - began < 20
    assert result.counts == {file: 1_500}


def test_files_know_their_texts(tmp_path: Path) -> None:
    file = tmp_path / "not_there.yaml"
    files = find_files([file], {file: GRAPH})
    assert isinstance(files, Files)
    assert [one.code for one in check_files(files, Selection()).findings] == ["E411"]


def test_a_prompt_in_a_file_of_its_own_is_mended_there(tmp_path: Path) -> None:
    prompt = written(tmp_path, "\ufeffYou greet {{ who }},\r\nand ${{ who }}.\r\n", "prompt.md")
    root = GRAPH.replace(
        "{ask: 'Are you ${{ who }}?'", "{agent: {instructions: {file: prompt.md}}, prompt: Hi"
    )
    result = mended(written(tmp_path, root))
    assert result.counts == {prompt: 2}
    assert result.after(prompt) == "\ufeffYou greet ${{ state.who }},\r\nand ${{ state.who }}.\r\n"


GOOD = [
    file.read_text()
    for file in sorted((CASES.parent / "ok").glob("*.yaml"))
    if "include" not in file.read_text()
]
BROKEN = [
    "{{ state.x }}",
    "${{ x }}",
    "${ y }",
    ": yes",
    "# agentctl: allow G207 because …",
    "| lowre",
    "\r\n",
    "'",
    '"',
    ", ",
    "\ufeff",
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    text=st.sampled_from(GOOD),
    slips=st.lists(st.tuples(st.integers(0, 4000), st.sampled_from(BROKEN)), max_size=4),
)
def test_no_slips_make_a_mend_raise_or_leave_a_file_worse(text: str, slips: list[tuple[int, str]]) -> None:
    for at, slip in slips:
        at %= len(text)
        text = text[:at] + slip + text[at:]
    file = Path("/nowhere/graph.yaml")
    result = mend(find_files([file], {file: text}), ALL)
    before = check_files(find_files([file], {file: text}), ALL).findings
    after = check_files(result.files, ALL).findings
    assert bool(result.counts) <= any(one.fix for one in before)
    was, now = (
        sum(one.severity == "error" and one.code[0] == "Y" for one in found) for found in (before, after)
    )
    assert now <= was
