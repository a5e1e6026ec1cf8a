"""Reading YAML: values, places, bounds, and never an exception."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentctl.spec.finding import Finding, Span
from agentctl.spec.source import MAX_BYTES, Source, read_source
from agentctl.spec.tree import MAX_PROBLEMS

HERE = Path("graph.yaml")
SUPPORT = (Path(__file__).parent.parent / "cases" / "ok" / "support.yaml").read_text()


def read(text: str) -> tuple[Source, list[Finding]]:
    return read_source(HERE, text)


def codes(text: str) -> list[str]:
    return [finding.code for finding in read(text)[1]]


def cut(text: str, span: Span) -> str:
    """What stands at a place, counting lines as an editor does."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if span.line == span.end_line:
        return lines[span.line - 1][span.column - 1 : span.end_column - 1]
    first, *middle, last = lines[span.line - 1 : span.end_line]
    return "\n".join([first[span.column - 1 :], *middle, last[: span.end_column - 1]])


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *[(null, None) for null in ("", "~", "null", "Null", "NULL")],
        *[("true", True), ("True", True), ("FALSE", False)],
        *[("0", 0), ("-0", 0), ("+12", 12), ("012", 12), ("0o17", 15), ("0x1F", 31)],
        *[("1.5", 1.5), (".5", 0.5), ("6.", 6.0), ("1e3", 1000.0), ("-1.5E-2", -0.015)],
        *[(".inf", float("inf")), ("-.INF", float("-inf")), ("18446744073709551615", 2**64 - 1)],
        *[(text, text) for text in ("yes", "Off", "1_000", "12:30:45", "2026-11-22", "0b1", "1.2.3", "nULL")],
        *[
            ("18446744073709551616", 2.0**64),
            ("9" * 5000, float("inf")),
            ("0x" + "f" * 40, float(16**40 - 1)),
        ],
    ],
)
def test_a_plain_scalar_means_what_yaml_1_2_says(written: str, value: object) -> None:
    source, _ = read(f"a: {written}\n")
    assert source.data == {"a": value}
    assert type(source.data["a"]) is type(value)


def test_a_quoted_scalar_is_text_and_in_no_doubt() -> None:
    assert read("a: 'yes'\nb: \"012\"\n")[0].data == {"a": "yes", "b": "012"}
    assert codes("a: 'yes'\nb: \"012\"\n") == []


def test_keys_are_text_as_they_are_written() -> None:
    assert read("1: a\ntrue: b\nno: c\n~: d\n")[0].data == {"1": "a", "true": "b", "no": "c", "~": "d"}


def test_words_with_colons_and_question_marks_stand_in_brackets() -> None:
    text = 'a: {python: tools:find, url: http://x:80/y?z, top: integer?, q: "a?:b"}\nb: [c:d, e?]\n'
    source, findings = read(text)
    assert findings == []
    assert source.data == {
        "a": {"python": "tools:find", "url": "http://x:80/y?z", "top": "integer?", "q": "a?:b"},
        "b": ["c:d", "e?"],
    }
    assert cut(text, source.value(("a", "url"))) == "http://x:80/y?z"


def test_an_unquoted_template_is_read_on_past() -> None:
    source, findings = read("a: {b: ${{ state.x }}, c: 1}\nd: 2\n")
    assert [finding.code for finding in findings] == ["Y007"]
    assert findings[0].fix is not None
    assert findings[0].fix.text == '"${{ state.x }}"'
    assert source.data == {"a": {"b": "${{ state.x }}", "c": 1}, "d": 2}


def test_the_mend_of_a_cut_text_makes_the_file_good() -> None:
    text = "a: {b: Well, do you agree, c: 1}\n"
    source, (finding,) = read(text)
    assert finding.fix is not None
    line = text.splitlines()[0]
    span = finding.fix.span
    mended = line[: span.column - 1] + finding.fix.text + line[span.end_column - 1 :]
    assert read(mended)[0].data == source.data == {"a": {"b": "Well, do you agree", "c": 1}}
    assert read(mended)[1] == []


def test_a_duplicate_key_names_the_line_of_the_first_and_the_first_is_kept() -> None:
    source, (finding,) = read("a:\n  b: 1\n  c: 2\n  b: 3\n")
    assert (finding.code, finding.span) == ("Y002", Span(4, 3, 4, 4))
    assert finding.hint == "it is first on line 2"
    assert source.data == {"a": {"b": 1, "c": 2}}


def test_merged_data_is_not_shared() -> None:
    source, _ = read("x: &x {a: [1]}\ny: {<<: *x}\nz: *x\n")
    source.data["y"]["a"].append(2)
    assert source.data["x"] == source.data["z"] == {"a": [1]}


def test_what_is_merged_in_stands_where_it_is_written() -> None:
    source, _ = read("x: &x {a: 1}\ny:\n  <<: *x\n  b: 2\n")
    assert source.value(("y", "a")) == Span(1, 11, 1, 12)
    assert source.key(("y", "b")) == Span(4, 3, 4, 4)


def test_a_block_stands_on_its_first_line() -> None:
    text = "a:\n  b:\n    c: 1\n    d: 2\n  e: |\n    text\n    more\n  f: {g: 1,\n    h: 2}\n"
    source, _ = read(text)
    assert cut(text, source.value(("a", "b"))) == "c: 1"
    assert cut(text, source.value(("a", "e"))) == "|"
    assert cut(text, source.value(("a", "f"))) == "{g: 1,\n    h: 2}"
    assert cut(text, source.key(("a", "f"))) == "f"


def test_what_is_not_there_is_placed_at_the_nearest_thing_around_it() -> None:
    source, _ = read("a:\n  b: 1\n  c:\n")
    assert source.value(("a", "nothing", 3)) == source.value(("a",))
    assert source.key(("a", "b", "deeper")) == source.key(("a", "b"))
    assert source.value(("a", "c")) == source.key(("a", "c"))
    assert source.inside(("a", "b"), 5, 5) == source.value(("a", "b"))
    assert read("")[0].value(("a",)) == Span(1, 1, 1, 1)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_lines_are_counted_as_editors_count_them(newline: str) -> None:
    text = newline.join(["\ufeff# first", "a: |", "  one", "  two", "b: x", ""])
    source, findings = read(text)
    assert findings == []
    assert source.data == {"a": "one\ntwo\n", "b": "x"}
    assert source.key(("b",)) == Span(5, 1, 5, 2)
    assert source.inside(("a",), 4, 3) == Span(4, 3, 4, 6)


def test_a_character_outside_the_basic_plane_is_one_column() -> None:
    source, _ = read("a: 😀é x\n")
    assert source.value(("a",)) == Span(1, 4, 1, 8)


# Places inside texts: whatever the style, each character stands where it is written.

LINES = st.text(st.sampled_from("ab é😀:'\"\\#{}$%,-\t"), max_size=12)
TEXTS = st.lists(LINES, min_size=1, max_size=5).map("\n".join)


def check_places(text: str, value: str) -> None:
    """Each character that is not folded or escaped is found at itself, in order."""
    source, _ = read(text)
    assert source.data == {"k": value}
    last = (0, 0)
    for offset, char in enumerate(value):
        span = source.inside(("k",), offset, 1)
        assert (span.line, span.column) >= last
        last = (span.line, span.column)
        found = cut(text, span)
        assert found == char or char in " \n" or found[0] in "\\'", (char, found, span)


@given(TEXTS)
def test_places_in_double_quotes(value: str) -> None:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    check_places(f'k: "{escaped}"\n', value)


@given(TEXTS)
def test_places_in_single_quotes(value: str) -> None:
    flat = value.replace("\n", "").replace("\t", "")
    quoted = flat.replace("'", "''")
    check_places(f"k: '{quoted}'\n", flat)


@given(TEXTS, st.integers(1, 4), st.sampled_from(["", "-", "+"]))
def test_places_in_a_literal_block(value: str, indent: int, chomp: str) -> None:
    text = f"k: |{indent}{chomp}\n" + "".join(f"{' ' * indent}{line}\n" for line in value.split("\n"))
    source, findings = read(text)
    assert findings == []
    check_places(text, source.data["k"])


@given(
    st.lists(st.text(st.sampled_from("ab é"), max_size=6), min_size=1, max_size=6),
    st.sampled_from(["", "-", "+"]),
)
def test_places_in_a_folded_block(lines: list[str], chomp: str) -> None:
    text = f"k: >2{chomp}\n" + "".join(f"  {line}\n" for line in lines)
    source, findings = read(text)
    assert findings == []
    check_places(text, source.data["k"])


@given(
    st.lists(st.text(st.sampled_from("abé"), min_size=1, max_size=6), min_size=1, max_size=6),
    st.integers(0, 2),
)
def test_places_in_plain_text_over_several_lines(lines: list[str], blank: int) -> None:
    text = "k: x" + ("\n" * (blank + 1)).join(f"  {line}  " for line in lines) + "\n"
    source, findings = read(text)
    assert findings == []
    check_places(text, source.data["k"])


@pytest.mark.parametrize("style", ["plain", '"', "'", "|", ">"])
def test_a_word_is_found_in_every_style(style: str) -> None:
    value = "say ${{ state.x }} now"
    text = {"plain": f"k: {value}\n", "|": f"k: |\n    {value}\n", ">": f"k: >-\n  {value}\n"}.get(
        style, f"k: {style}{value}{style}\n"
    )
    source, _ = read(text)
    assert cut(text, source.inside(("k",), 8, 7)) == "state.x"
    assert cut(text, source.inside(("k",), 0, len(value))) == value


def test_a_word_is_found_behind_escapes_folds_and_anchors() -> None:
    text = 'k: &a "\\u00e9\\n\\\n    two\n\n    three"\n'
    source, _ = read(text)
    assert source.data["k"] == "é\ntwo\nthree"
    assert source.inside(("k",), 2, 3) == Span(2, 5, 2, 8)
    assert source.inside(("k",), 6, 5) == Span(4, 5, 4, 10)
    assert source.inside(("k",), 0, 1) == Span(1, 8, 1, 14)


# Bounds: hostile files are told, soon.


def soon(text: str, seconds: float = 2.0) -> list[str]:
    begun = time.process_time()
    found = codes(text)
    assert time.process_time() - begun < seconds
    return found


def test_a_file_of_five_megabytes_is_refused_unread() -> None:
    assert soon("a: " + "x" * 5_000_000) == ["Y003"]
    assert soon("é" * (MAX_BYTES // 2 + 1)) == ["Y003"]


@pytest.mark.parametrize("piece", ["[", "{a: ", "- ", "? ", "[{a: ", "&a ["])
def test_a_hundred_thousand_brackets_are_refused(piece: str) -> None:
    assert soon(piece * 100_000) == ["Y001"]


def test_an_alias_bomb_is_refused_before_it_is_built() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert soon("\n".join(rows)) == ["Y004"]


def test_aliases_cannot_nest_deeper_than_brackets() -> None:
    rows = [f"a0: &a0 {'[' * 90}{']' * 90}"]
    rows += [f"a{n}: &a{n} {'[' * 90}*a{n - 1}{']' * 90}" for n in range(1, 90)]
    assert soon("\n".join(rows)) == ["Y001"]


def test_more_than_fifty_thousand_values_are_refused() -> None:
    assert soon("a: [" + "1," * 60_000 + "]") == ["Y004"]


def test_a_flood_of_problems_is_told_in_part() -> None:
    found = soon("a: 1\n" * 40_000)
    assert found == ["Y002"] * MAX_PROBLEMS


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{a: b" + ", c" * 45_000 + "}", "Y010"),
        ("[" + "${{ a }}, " * 40_000 + "]", "Y007"),
        ("a: [\n" + "${{ a }},\n" * 40_000 + "]", "Y007"),
        ("[" + "a:b, " * 45_000 + "]", None),
        ("a: &a b\n" + "".join(f"k{n}: !t x\n" for n in range(30_000)), "Y005"),
        ("&a " * 100_000, "Y001"),
        ("a: '" + "''" * 400_000, "Y001"),
    ],
    ids=["commas", "templates on a line", "templates", "words with colons", "tags", "anchors", "quotes"],
)
def test_time_grows_with_the_size_of_a_hostile_file_and_no_faster(text: str, code: str | None) -> None:
    assert set(soon(text, 4)) == ({code} if code else set())


def test_huge_numbers_are_no_trouble() -> None:
    assert soon(f"a: {'9' * 500_000}\nb: 0x{'f' * 100_000}\nc: 1e999999\n") == ["Y008"] * 3


def test_python_tags_run_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    assert codes(f"a: !!python/object/apply:os.system ['touch {mark}']\n") == ["Y005"]
    assert not mark.exists()


def test_ten_thousand_nodes_are_read_in_under_two_seconds() -> None:
    nodes = "".join(f"  n{i}:\n    set: {{a: {i}}}\n    then: n{i + 1}\n" for i in range(10_000))
    begun = time.process_time()
    source, findings = read(f"agentctl: 1\nname: big\nstart: n0\nnodes:\n{nodes}")
    assert time.process_time() - begun < 2
    assert findings == []
    assert len(source.data["nodes"]) == 10_000


def well_formed(text: str) -> None:
    """Whatever the text: no exception, every place inside the file, and data whenever nothing is wrong."""
    source, findings = read(text)
    lines = source.text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for finding in findings:
        assert 1 <= finding.span.line <= finding.span.end_line <= len(lines)
        assert 1 <= finding.span.column <= len(lines[finding.span.line - 1]) + 1
        assert finding.message
        assert finding.message.splitlines() == [finding.message]
    if source.data is None and source.text.strip():
        assert findings or source.root is None or source.root.kind == "scalar"


@given(st.text())
def test_any_text_is_read_or_told(text: str) -> None:
    well_formed(text)


@given(st.text(st.sampled_from("ab:{}[]&*!|>'\"#%@`-?, \n\t${}<\\~0\r\ufeff\u2028")))
def test_any_text_of_indicators_is_read_or_told(text: str) -> None:
    well_formed(text)


@given(
    st.integers(0, len(SUPPORT)),
    st.integers(0, 40),
    st.text(st.sampled_from("ab:{}[]&*!|>'\"#-, \n\t$"), max_size=6),
)
def test_any_change_of_a_good_file_is_read_or_told(at: int, gone: int, put: str) -> None:
    well_formed(SUPPORT[:at] + put + SUPPORT[at + gone :])
