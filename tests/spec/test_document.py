"""Documents: parts merged, texts gathered, places found in whichever file they are in."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from agentctl.errors import UsageError
from agentctl.spec.document import Document, document_from_texts, read_document
from agentctl.spec.finding import Span

HEAD = "agentctl: 1\nname: case\nstart: a\n"
NODES = "nodes:\n  a: {agent: guide, then: end}\n"


def write(folder: Path, **files: str) -> Document:
    """The document of `graph.yaml` among some files; `part_yaml` is `part.yaml`, `sub__p_md` is `sub/p.md`."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    return read_document(folder / "graph.yaml")


def codes(document: Document) -> list[str]:
    return [finding.code for finding in document.findings]


def test_parts_are_merged_and_keep_their_places(tmp_path: Path) -> None:
    document = write(
        tmp_path,
        graph_yaml=HEAD + "include: [sub/part.yaml]\nmodels:\n  slow: {model: local}\n" + NODES,
        sub__part_yaml="agentctl: 1\nmodels:\n  fast: {model: local}\nagents:\n  guide: {instructions: Hi.}\n",
    )
    assert codes(document) == []
    assert document.spec is not None
    assert list(document.data["models"]) == ["fast", "slow"]
    part = tmp_path / "sub" / "part.yaml"
    assert document.key(("models", "fast")) == (part, Span(3, 3, 3, 7))
    assert document.inside(("agents", "guide", "instructions"), 0, 2) == (part, Span(5, 25, 5, 27))
    assert document.value(("models", "slow"))[0] == tmp_path / "graph.yaml"
    assert set(document.texts) == {"graph.yaml", "sub/part.yaml"}


def test_parts_include_parts_each_once(tmp_path: Path) -> None:
    document = write(
        tmp_path,
        graph_yaml=HEAD + "include: [a.yaml, b.yaml]\n" + NODES,
        a_yaml="agentctl: 1\ninclude: [c.yaml]\nagents: {guide: {instructions: Hi.}}\n",
        b_yaml="agentctl: 1\ninclude: [./c.yaml]\n",
        c_yaml="agentctl: 1\nmodels: {fast: {model: local}}\n",
    )
    assert codes(document) == []
    assert document.data["models"] == {"fast": {"model": "local"}}


def test_a_mistake_in_a_part_is_told_in_the_part(tmp_path: Path) -> None:
    document = write(
        tmp_path,
        graph_yaml=HEAD + "include: [part.yaml]\n" + NODES,
        part_yaml="agentctl: 1\nagents:\n  guide: {instrucions: Hi.}\n",
    )
    (finding,) = document.findings
    assert (finding.code, finding.file, finding.span) == ("S101", tmp_path / "part.yaml", Span(3, 11, 3, 22))
    assert finding.path == "agents.guide.instrucions"
    assert document.spec is None


def test_a_name_in_two_files_names_the_other_place(tmp_path: Path) -> None:
    document = write(
        tmp_path,
        graph_yaml=HEAD + "include: [part.yaml]\nmodels: {fast: {model: local}}\n" + NODES,
        part_yaml="agentctl: 1\nmodels:\n  fast: {model: local}\n",
    )
    (finding,) = document.findings
    assert (finding.code, finding.hint) == ("S121", "it is also in part.yaml, line 3")


def test_an_include_does_not_leave_the_project_by_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside.yaml"
    outside.write_text("agentctl: 1\n")
    project = tmp_path / "project"
    project.mkdir()
    (project / "inside.yaml").symlink_to(outside)
    document = write(project, graph_yaml=HEAD + "include: [inside.yaml]\n" + NODES)
    assert codes(document) == ["X06"]
    assert list(document.texts) == ["graph.yaml"]


def test_instructions_may_be_in_a_file(tmp_path: Path) -> None:
    document = write(
        tmp_path,
        graph_yaml=HEAD + "include: [sub/part.yaml]\n" + NODES,
        sub__part_yaml="agentctl: 1\nagents: {guide: {instructions: {file: p.md}}}\n",
        sub__p_md="You answer.\nBriefly: ${{ state.x }}\n",
    )
    keys = ("agents", "guide", "instructions")
    assert codes(document) == []
    assert document.prompt(keys) == document.texts["sub/p.md"] == "You answer.\nBriefly: ${{ state.x }}\n"
    assert document.inside(keys, 25, 7) == (tmp_path / "sub" / "p.md", Span(2, 14, 2, 21))
    assert document.data["agents"]["guide"]["instructions"] == {"file": "p.md"}


def test_prompt_files_are_found_wherever_an_agent_may_be_written(tmp_path: Path) -> None:
    agent = "{instructions: {file: p.md}}"
    document = write(
        tmp_path,
        graph_yaml=HEAD
        + f"""agents:
  guide: {agent}
nodes:
  a: {{agent: {agent}, then: end}}
  b: {{parallel: {{x: {{agent: {agent}}}}}, then: end}}
  c: {{map: {{over: state.x, do: {{agent: {agent}}}}}, then: end}}
  d: {{tool: t, args: {{instructions: {{file: not-a-prompt.md}}}}, then: end}}
graphs:
  g:
    start: a
    nodes: {{a: {{agent: {agent}, then: end}}}}
experiments:
  e:
    assign_by: run.thread
    variants:
      v: {{weight: 1, override: {{agents.guide.instructions: {{file: q.md}}}}}}
""",
        p_md="p",
        q_md="q",
    )
    assert codes(document) == []
    assert document.prompt(("nodes", "b", "parallel", "x", "agent", "instructions")) == "p"
    assert document.prompt(("nodes", "c", "map", "do", "agent", "instructions")) == "p"
    assert document.prompt(("graphs", "g", "nodes", "a", "agent", "instructions")) == "p"
    override = ("experiments", "e", "variants", "v", "override", "agents.guide.instructions")
    assert document.prompt(override) == "q"
    assert set(document.texts) == {"graph.yaml", "p.md", "q.md"}


def test_recorded_texts_give_the_same_document_without_the_disk(tmp_path: Path) -> None:
    document = write(
        tmp_path,
        graph_yaml=HEAD + "include: [sub/part.yaml]\n" + NODES,
        sub__part_yaml="agentctl: 1\nagents: {guide: {instructions: {file: ../p.md}}}\n",
        p_md="You answer.",
    )
    for file in tmp_path.rglob("*.*"):
        if file.is_file():
            file.unlink()
    again = document_from_texts("graph.yaml", document.texts)
    assert again.findings == document.findings == ()
    assert again.spec == document.spec
    assert again.data == document.data
    assert again.digest == document.digest
    assert again.prompt(("agents", "guide", "instructions")) == "You answer."


def test_the_digest_changes_with_any_text(tmp_path: Path) -> None:
    files = {"graph_yaml": HEAD + NODES + "agents: {guide: {instructions: {file: p.md}}}\n", "p_md": "one"}
    first = write(tmp_path, **files).digest
    assert write(tmp_path, **files).digest == first
    assert write(tmp_path, **{**files, "p_md": "two"}).digest != first
    assert write(tmp_path, **{**files, "graph_yaml": files["graph_yaml"] + "# more\n"}).digest != first


def test_a_text_that_was_not_recorded_is_an_include_that_cannot_be_read() -> None:
    document = document_from_texts("graph.yaml", {"graph.yaml": HEAD + "include: [part.yaml]\n" + NODES})
    assert codes(document) == ["S120"]
    with pytest.raises(UsageError, match=r"other\.yaml"):
        document_from_texts("other.yaml", {})


@pytest.mark.parametrize("name", ["nowhere.yaml", "."])
def test_a_root_that_cannot_be_read_is_wrong_usage(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        read_document(tmp_path / name)


@pytest.mark.parametrize(
    ("data", "span", "words"),
    [
        (b"agentctl: 1\nname: caf\xe9\n", Span(2, 10, 2, 11), "byte 0xe9 is none"),
        ("agentctl: 1\n".encode("utf-16"), Span(1, 1, 1, 2), "it is UTF-16"),
    ],
)
def test_a_file_that_is_not_utf_8_is_told_at_its_first_bad_byte(
    tmp_path: Path, data: bytes, span: Span, words: str
) -> None:
    file = tmp_path / "graph.yaml"
    file.write_bytes(data)
    (finding,) = read_document(file).findings
    assert (finding.code, finding.span) == ("Y001", span)
    assert words in finding.message


def test_a_file_of_many_megabytes_is_refused_by_its_beginning(tmp_path: Path) -> None:
    file = tmp_path / "graph.yaml"
    file.write_bytes("é".encode() * 4_000_000)
    assert codes(read_document(file)) == ["Y003"]


def test_a_part_alone_is_checked_and_has_no_types(tmp_path: Path) -> None:
    document = write(tmp_path, graph_yaml="agentctl: 1\nmodels: {fast: {modle: local}}\n")
    assert document.is_part
    assert document.spec is None
    assert codes(document) == ["S101"]


def test_a_start_without_nodes_is_no_part(tmp_path: Path) -> None:
    document = write(tmp_path, graph_yaml="agentctl: 1\nname: x\nstart: a\n")
    assert [finding.message for finding in document.findings] == ["`nodes` is missing"]


def test_keys_of_ones_own_begin_with_x(tmp_path: Path) -> None:
    document = write(tmp_path, graph_yaml=HEAD + "x-team: {any: [thing]}\n" + NODES)
    assert document.findings == ()
    assert document.data["x-team"] == {"any": ["thing"]}
    assert document.spec is not None


def test_a_reader_may_be_passed_in() -> None:
    document = read_document(
        Path("/nowhere/graph.yaml"), lambda path: HEAD + NODES if path.name == "graph.yaml" else ""
    )
    assert document.findings == ()
    assert document.path == Path("/nowhere/graph.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"nodez{n}: 1\n" for n in range(40_000)),
        "nodes:\n" + "".join(f"  n{n}: {{agnet: x}}\n" for n in range(5_000)),
        "nodes:\n  a:\n" + "".join(f"    agent{n}: x\n" for n in range(40_000)),
        "state:\n" + "".join(f"  f{n}: strng\n" for n in range(40_000)),
    ],
    ids=["keys", "nodes", "verbs", "types"],
)
def test_a_flood_of_slips_is_told_in_part_and_soon(text: str) -> None:
    begun = time.process_time()
    document = document_from_texts("graph.yaml", {"graph.yaml": HEAD + text})
    assert time.process_time() - begun < 6
    assert 1 <= len(document.findings) <= 2_100


@pytest.mark.parametrize("place", ["root", "include", "instructions"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_could_keep_us_waiting_for_ever_is_not_read(tmp_path: Path, place: str, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(tmp_path / "wait.yaml")
    else:
        (tmp_path / "wait.yaml").symlink_to("/dev/zero")
    if place == "root":
        with pytest.raises(UsageError, match="is no file to read"):
            read_document(tmp_path / "wait.yaml")
    else:
        named = {
            "include": "include: [wait.yaml]\n",
            "instructions": "agents: {a: {instructions: {file: wait.yaml}}}\n",
        }
        found = codes(write(tmp_path, graph_yaml=HEAD + named[place] + NODES))
        assert found == (["S120"] if kind == "pipe" else ["X06"])


@pytest.mark.parametrize("name", ['"a\\0b"', "circle.yaml"])
def test_an_include_that_no_file_can_have_is_told_as_any_other(tmp_path: Path, name: str) -> None:
    (tmp_path / "circle.yaml").symlink_to("circle.yaml")
    assert codes(write(tmp_path, graph_yaml=HEAD + f"include: [{name}]\n" + NODES)) == ["S120"]


def test_instructions_that_are_too_long_are_refused_and_never_cut_in_silence(tmp_path: Path) -> None:
    (tmp_path / "long.md").write_text("word " * 300_000)
    graph = HEAD + "agents: {a: {instructions: {file: long.md}}}\n" + NODES
    assert codes(write(tmp_path, graph_yaml=graph)) == ["Y003"]
