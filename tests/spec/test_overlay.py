"""Variants laid over a file: what they replace, and where it is found."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentctl.errors import UsageError
from agentctl.json import Json
from agentctl.spec.document import Document, read_document
from agentctl.spec.finding import Span, path_text
from agentctl.spec.known_keys import known_keys
from agentctl.spec.model import AgentSpec
from agentctl.spec.overlay import chosen_overrides, moves, overlay, path_keys, written_at

FILE = """\
agentctl: 1
name: case
start: a
models: {fast: {model: local}}
tools:
  look: {python: "tools:look", effect: read}
agents:
  guide: {instructions: Hi., tools: [look]}
nodes:
  a: {agent: guide, prompt: Hello., then: r}
routers:
  r:
    - {when: run.turn > 1, to: a}
    - {else: end}
limits: {recursion: 9}
experiments:
  tool-strategy:
    assign_by: run.thread
    variants:
      A: {weight: 1}
      B:
        weight: 1
        override:
          agents.guide.tools: []
          agents.guide.instructions: |
            Answer
            briefly.
          routers.r[0].to: end
          limits.depth: 2
  model:
    assign_by: run.thread
    variants:
      plain: {weight: 1}
      quick: {weight: 1, override: {agents.guide.model: fast}}
"""


def document(folder: Path, text: str = FILE, **files: str) -> Document:
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)
    path = folder / "graph.yaml"
    path.write_text(text)
    return read_document(path)


def test_a_variant_replaces_values_and_the_file_stays_as_it_is(tmp_path: Path) -> None:
    base = document(tmp_path)
    before = copy.deepcopy(base.data)
    variant = base.overlaid({"tool-strategy": "B", "model": "quick"})
    assert variant.data["agents"]["guide"] == {
        "instructions": "Answer\nbriefly.\n",
        "tools": [],
        "model": "fast",
    }
    assert variant.data["routers"]["r"] == [{"when": "run.turn > 1", "to": "end"}, {"else": "end"}]
    assert variant.data["limits"] == {"recursion": 9, "depth": 2}
    assert base.data == before
    assert variant.data["tools"] is base.data["tools"]
    assert (variant.digest, variant.texts) == (base.digest, base.texts)


def test_an_overlaid_document_is_read_as_types_of_its_own(tmp_path: Path) -> None:
    base = document(tmp_path)
    variant = base.overlaid({"model": "quick"})
    assert base.spec is not None
    assert variant.spec is not None
    agents = variant.spec.agents
    assert isinstance(agents, dict)
    assert agents["guide"] == AgentSpec(instructions="Hi.", tools=["look"], model="fast")
    assert variant.findings == ()


def test_a_variant_that_overrides_nothing_is_the_file_itself(tmp_path: Path) -> None:
    base = document(tmp_path)
    assert base.overlaid({"tool-strategy": "A", "model": "plain"}) is base
    assert base.overlaid({}) is base


def test_what_a_variant_puts_in_place_is_found_where_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "graph.yaml"
    variant = document(tmp_path).overlaid({"tool-strategy": "B", "model": "quick"})
    assert variant.key(("agents", "guide", "tools")) == (file, Span(24, 11, 24, 29))
    assert variant.value(("agents", "guide", "tools")) == (file, Span(24, 31, 24, 33))
    assert variant.inside(("agents", "guide", "instructions"), 7, 7) == (file, Span(27, 13, 27, 20))
    assert variant.value(("agents", "guide", "model")) == (file, Span(34, 57, 34, 61))
    assert variant.value(("routers", "r", 0, "to")) == (file, Span(28, 28, 28, 31))
    # what is beside it is found where it always was
    assert variant.value(("routers", "r", 0, "when")) == (file, Span(13, 14, 13, 26))
    assert variant.key(("agents", "guide")) == (file, Span(8, 3, 8, 8))


def test_a_wrong_shape_in_a_variant_is_told_at_its_word(tmp_path: Path) -> None:
    text = FILE.replace("agents.guide.model: fast", "agents.guide: {instrucions: Hi.}")
    variant = document(tmp_path, text).overlaid({"model": "quick"})
    (finding,) = variant.findings
    assert (finding.code, finding.path) == ("S101", "agents.guide.instrucions")
    assert finding.span == Span(34, 52, 34, 63)
    assert variant.spec is None


def test_prompts_in_files_are_read_for_variants_too(tmp_path: Path) -> None:
    text = FILE.replace("agents.guide.model: fast", "agents.guide.instructions: {file: b.md}")
    base = document(tmp_path, text, b_md="Be brief.")
    keys = ("agents", "guide", "instructions")
    assert base.prompt(keys) is None
    assert base.overlaid({"model": "quick"}).prompt(keys) == "Be brief."
    assert base.overlaid({"model": "quick"}).inside(keys, 3, 5) == (tmp_path / "b.md", Span(1, 4, 1, 9))


@pytest.mark.parametrize(
    "override",
    [
        "agents.guide.instructions.file: b.md",
        "agents.guide: {instructions: {file: b.md}}",
        "nodes.a.agent: {instructions: {file: b.md}}",
    ],
)
def test_a_file_is_found_at_whatever_height_it_is_put_in_place(tmp_path: Path, override: str) -> None:
    text = FILE.replace("agents.guide.model: fast", override).replace(
        "instructions: Hi.", "instructions: {file: a.md}"
    )
    base = document(tmp_path, text, a_md="Hi.", b_md="Be brief.")
    variant = base.overlaid({"model": "quick"})
    in_node = override.startswith("nodes")
    keys = ("nodes", "a", "agent", "instructions") if in_node else ("agents", "guide", "instructions")
    assert variant.prompt(keys) == "Be brief."
    assert base.prompt(("agents", "guide", "instructions")) == "Hi."


def test_text_in_place_hides_the_file_that_stood_there(tmp_path: Path) -> None:
    text = FILE.replace("instructions: Hi.", "instructions: {file: a.md}")
    variant = document(tmp_path, text, a_md="Hi.").overlaid({"tool-strategy": "B"})
    assert variant.prompt(("agents", "guide", "instructions")) is None


def test_an_override_of_a_place_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    for path in ("agents.gide.model", "agents.guide.context.window", "routers.r[7].to", "limits..depth"):
        base = document(tmp_path, FILE.replace("agents.guide.model", f"'{path}'"))
        assert base.overlaid({"model": "quick"}) is base


def test_an_unknown_experiment_or_variant_is_refused_with_the_one_that_was_meant(tmp_path: Path) -> None:
    base = document(tmp_path)
    with pytest.raises(UsageError, match="no experiment `modell`") as raised:
        base.overlaid({"modell": "quick"})
    assert raised.value.hint == "did you mean `model`?"
    with pytest.raises(UsageError, match="experiment `model` has no variant `B`") as raised:
        base.overlaid({"model": "B"})
    assert raised.value.hint == "there is `plain`, `quick`"


def test_paths_are_read_as_they_are_written() -> None:
    assert path_keys("agents.fixer.tools") == ("agents", "fixer", "tools")
    assert path_keys("routers.by-desk[0].to") == ("routers", "by-desk", 0, "to")
    assert path_keys("a.b[0][12]") == ("a", "b", 0, 12)
    for path in ("", ".", "a..b", "a.b.", "a[x]", "a[-1]", "[0]", "a[01]", "a b", "a[0]b"):
        assert path_keys(path) == ()


GUARDED = """\
tools:
  look: {python: "tools:look", effect: read}
tiers:
  by: "'all'"
  levels:
    base: {tools: [look], deny: [look]}
    all: {extends: base, tools: [look]}
    other: {tools: [look]}
"""


@pytest.mark.parametrize(
    "override",
    [
        "tools.look.effect: pure",
        'tools.look: {python: "tools:other"}',
        "tiers.levels.base.deny: []",
        "tiers.levels.base: {tools: [look]}",
        "tiers.levels.all.extends: other",
        "tiers.levels.all: {tools: [look]}",
        "tiers.by: run.tenant",
        "state.x: string",
        "limits: {recursion: 90}",
    ],
)
def test_no_variant_changes_an_effect_lifts_a_deny_or_reaches_beyond_its_sections(
    tmp_path: Path, override: str
) -> None:
    text = FILE.replace('tools:\n  look: {python: "tools:look", effect: read}\n', GUARDED)
    base = document(tmp_path, text.replace("agents.guide.model: fast", override))
    assert base.findings == ()
    assert base.overlaid({"model": "quick"}) is base


def test_a_whole_tool_or_tier_may_be_replaced_when_it_keeps_what_is_guarded(tmp_path: Path) -> None:
    text = FILE.replace('tools:\n  look: {python: "tools:look", effect: read}\n', GUARDED)
    both = 'tools.look: {python: "tools:other", effect: read}, tiers.levels.base: {tools: [], deny: [look]}'
    variant = document(tmp_path, text.replace("agents.guide.model: fast", both)).overlaid({"model": "quick"})
    assert variant.data["tools"]["look"]["python"] == "tools:other"
    assert variant.data["tiers"]["levels"]["base"]["tools"] == []


def test_only_a_key_that_the_language_has_may_be_set_where_the_file_has_none() -> None:
    assert "max_turns" in known_keys(("agents", "guide"))
    assert known_keys(("routers", "r", 0)) == ("when", "to", "else")
    assert "prompt" in known_keys(("nodes", "n", "parallel", "b"))
    assert known_keys(("agents",)) == known_keys(("nodes", "n", "args")) == ()


NAMES = st.text("abc_-", min_size=1, max_size=2)
TREES = st.recursive(
    st.integers(), lambda inner: st.dictionaries(NAMES, inner) | st.lists(inner), max_leaves=9
)


def places(data: Json) -> list[tuple[str | int, ...]]:
    found: list[tuple[str | int, ...]] = []
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in pairs:
        found += [(key,), *((key, *rest) for rest in places(value))]
    return found


def at(data: Json, keys: tuple[str | int, ...]) -> Json:
    for key in keys:
        data = data[key]
    return data


@given(tree=TREES.filter(lambda tree: isinstance(tree, dict) and tree), draw=st.data())
def test_each_place_of_the_result_is_as_it_was_or_as_the_last_override_says(
    tree: Json, draw: st.DataObject
) -> None:
    chosen = draw.draw(st.lists(st.sampled_from(places(tree)), max_size=4, unique=True))
    written = {path_text(("nodes", *keys)): {"new": number} for number, keys in enumerate(chosen)}
    data = {"nodes": tree, "experiments": {"e": {"variants": {"v": {"override": written}}}}}
    before = copy.deepcopy(data)
    overrides = chosen_overrides(data, {"e": "v"})
    result, moved = overlay(data, overrides), moves(data, overrides)
    assert data == before
    assert bool(moved) == bool(chosen)
    for keys in places({"nodes": result["nodes"]}):
        value = at(result, keys)
        if not isinstance(value, dict | list):
            assert at(data, written_at(keys, moved)) == value
