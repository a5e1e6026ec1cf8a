"""Files with experiments: every combination of variants is checked, and each thing is said once, of the smallest."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from agentctl.check.check import check, check_file
from agentctl.spec.document import read_document
from agentctl.spec.finding import Finding

HEAD = """\
agentctl: 1
name: case
models:
  fast: {model: openai/gpt-5-mini}
tools:
  look: {http: "GET https://example.org/a", description: Look., effect: read, timeout: 5s, parameters: {}}
  find: {http: "GET https://example.org/b", description: Find., effect: read, timeout: 5s, parameters: {}}
agents:
  guide: {instructions: You answer., model: fast, tools: [look], max_turns: 3}
input: [question]
output: [answer]
state: {question: string, answer: string}
start: one
nodes:
  one: {agent: guide, prompt: "${{ state.question }}", save: answer, then: two}
  two: {agent: guide, prompt: "${{ state.question }}", save: answer, then: end}
limits: {recursion: 9}
experiments:
"""
USES_FIND = '{agents.guide.tools: [look, "find"]}'


def experiment(name: str, *overrides: str) -> str:
    variants = ", ".join(f"v{n}: {{weight: 1, override: {one}}}" for n, one in enumerate(overrides))
    return f"  {name}: {{assign_by: run.thread, variants: {{{variants}}}}}\n"


def found(folder: Path, *experiments: str, head: str = HEAD) -> list[Finding]:
    path = folder / "graph.yaml"
    path.write_text(head + "".join(experiments))
    return check_file(path)


def said(folder: Path, *experiments: str, head: str = HEAD) -> list[str]:
    return [f"{finding.code} {finding.message}" for finding in found(folder, *experiments, head=head)]


def test_what_one_variant_uses_counts_as_used(tmp_path: Path) -> None:
    unused = "T541 tool `find` is never used"
    assert said(tmp_path, experiment("e", "{}", "{agents.guide.max_turns: 2}")) == [unused]
    assert said(tmp_path, experiment("e", "{}", USES_FIND)) == []
    assert said(tmp_path, experiment("e", USES_FIND), experiment("f", "{}", "{limits.recursion: 5}")) == []


def test_what_only_a_combination_uses_counts_as_used(tmp_path: Path) -> None:
    head = HEAD.replace("tools: [look]", "tools: [look, find]").replace(
        "  two: {agent", "  two: {agent: guide, prompt: Hi., save: answer, then: end}\n  three: {agent"
    )
    to_three = "{nodes.two.then: three}", "{nodes.one.then: end}"
    assert said(tmp_path, head=head + experiment("e", "{}", to_three[0])) == []
    assert said(tmp_path, head=head + experiment("e", "{}", to_three[1])) == [
        "G207 node `three` can never be reached from `start: one`"
    ]


def test_nothing_is_called_unused_while_an_experiment_is_wrong(tmp_path: Path) -> None:
    (finding,) = found(tmp_path, experiment("e", "{}", "{agents.guide.tools: [look, fnd]}"))
    assert (finding.code, finding.hint) == ("V803", "did you mean `find`?")
    assert finding.path == "experiments.e.variants.v1.override.agents.guide.tools[1]"


def test_what_the_base_has_is_not_said_again_of_its_variants(tmp_path: Path) -> None:
    head = HEAD.replace("tools: [look]", "tools: [look, find, fnd]")
    overrides = experiment("e", "{}", "{agents.guide.max_turns: 2}"), experiment("f", "{limits.recursion: 8}")
    assert said(tmp_path, *overrides, head=head) == ["T502 there is no tool `fnd` under `tools:`"]


def test_a_variant_that_mends_the_base_does_not_hide_what_is_wrong_there(tmp_path: Path) -> None:
    head = HEAD.replace("tools: [look]", "tools: [look, find, fnd]")
    assert said(tmp_path, experiment("e", "{agents.guide.tools: [look, find]}"), head=head) == [
        "T502 there is no tool `fnd` under `tools:`"
    ]


def test_a_fault_of_one_variant_is_said_once_however_many_combinations_show_it(tmp_path: Path) -> None:
    others = [
        experiment(f"f{n}", "{}", f"{{{path}}}")
        for n, path in enumerate(("limits.depth: 2", "limits.time: 1m"))
    ]
    (finding,) = found(
        tmp_path, others[0], experiment("e", USES_FIND, '{agents.guide.tools: ["find", fnd]}'), others[1]
    )
    assert finding.message == "with variant `v1` of `e`: T502 there is no tool `fnd` under `tools:`"


def test_a_fault_of_two_variants_together_names_both(tmp_path: Path) -> None:
    head = HEAD.replace("start: one", "start: pick").replace("then: two", "then: end")
    arms = "[{when: state.question == 'a', to: one}, {else: two}]"
    head = head.replace("limits:", f"routers:\n  pick: {arms}\nlimits:")
    one, two = experiment("e", "{}", "{nodes.one.then: two}"), experiment("f", "{}", "{nodes.two.then: one}")
    three = experiment("g", USES_FIND, "{limits.depth: 2}")
    assert said(tmp_path, one, three, head=head) == []
    assert said(tmp_path, two, three, head=head) == []
    assert said(tmp_path, one, two, three, head=head) == [
        "V803 with variant `v1` of `e` and variant `v1` of `f`: G208 from node `one` there is no way to `end`"
    ]


def test_the_override_to_blame_is_found_among_several(tmp_path: Path) -> None:
    many = "{agents.guide.max_turns: 2, nodes.two.then: one, models.fast.timeout: 9s, agents.guide.tools: [look, find]}"
    (finding,) = found(tmp_path, experiment("e", "{}", many))
    assert finding.path == "experiments.e.variants.v1.override.nodes.two.then"
    line = (tmp_path / "graph.yaml").read_text().splitlines()[finding.span.line - 1]
    assert line[finding.span.column - 1 : finding.span.end_column - 1] == "nodes.two.then"


def test_a_warning_of_a_variant_stays_a_warning_and_names_it(tmp_path: Path) -> None:
    slow = "{tools.find.timeout: 3m, agents.guide.tools: [look, find]}"
    (finding,) = found(tmp_path, experiment("e", "{}", slow))
    assert (finding.code, finding.severity) == ("T513", "warning")
    assert finding.message.startswith("with variant `v1` of `e`: ")
    assert finding.path == "experiments.e.variants.v1.override.tools.find.timeout"


def test_an_override_that_cannot_be_has_no_consequences(tmp_path: Path) -> None:
    wrong = "{agents.guide.tols: [fnd], tools.look.effect: pure, state.answer: number}"
    assert [finding.code for finding in found(tmp_path, experiment("e", wrong))] == ["V802", "V806", "V806"]


def test_a_finding_of_a_variant_can_be_allowed_with_its_reason(tmp_path: Path) -> None:
    slow = (
        "  e:\n    assign_by: run.thread\n    variants:\n      slow:\n        weight: 1\n        override:\n"
        "          tools.find.timeout: 3m  # agentctl: allow T513 because it is asked for at night\n"
        "          agents.guide.tools: [look, find]\n"
    )
    assert said(tmp_path, slow) == []


def test_too_many_combinations_are_refused_and_each_variant_is_still_checked(tmp_path: Path) -> None:
    paths = ["max_turns: 2", "examples: []", "context: {window: 2}", "instructions: Hi.", "model: local"]
    many = [experiment(f"e{n}", "{}", f"{{agents.guide.{path}}}") for n, path in enumerate(paths)]
    many += [experiment("f", "{}", "{limits.depth: 2}"), experiment("g", "{}", "{nodes.one.then: tow}")]
    codes = [finding.code for finding in found(tmp_path, *many)]
    assert codes == ["V807", "V803"]


def test_what_one_override_breaks_in_many_places_is_said_once_with_their_number(tmp_path: Path) -> None:
    head = HEAD.replace("answer: string}", "answer: string, other: string}").replace(
        "[answer]", "[answer, other]"
    )
    head = head.replace("save: answer, then: end", "save: other, then: end")
    (finding,) = found(
        tmp_path, experiment("e", USES_FIND, "{agents.guide.output: {text: string}}"), head=head
    )
    assert finding.path == "experiments.e.variants.v1.override.agents.guide.output"
    assert finding.message == (
        "with variant `v1` of `e`: E431 `state.answer` is `string`, and agent `guide` answers `object`, "
        "and 1 more of this code"
    )


def test_a_large_file_has_fewer_worlds(tmp_path: Path) -> None:
    nodes = "".join(f"  n{n}: {{set: {{answer: x}}, then: n{n + 1}}}\n" for n in range(3000))
    head = (
        HEAD.replace("then: two}", "then: n0}")
        .replace("nodes:\n", f"nodes:\n{nodes}")
        .replace("n3000", "two")
    )
    head = head.replace("recursion: 9", "recursion: 5000")
    paths = ("depth: 2", "time: 1m", "concurrency: 2", "tool_calls: 9", "state_size: 2MB", "tokens: 90000")
    many = [experiment(f"e{n}", "{}", f"{{limits.{path}}}") for n, path in enumerate(paths)]
    assert said(tmp_path, *many, head=head) == [
        "V807 the variants can be combined in 64 ways, and at most 33, in a file of this size, can be checked"
    ]


AXES = (
    ("{}", "{nodes.two.then: one}", '{nodes.two.prompt: "${{ state.draft }}"}'),
    ("{}", "{nodes.one.save: draft}", "{agents.guide.output: {answer: string}}"),
    ("{}", '{agents.guide.instructions: "${{ state.draft }}"}', "{agents.guide.tools: [fnd]}"),
    ("{}", "{nodes.one.on_error: end}", "{limits.recursion: 1}"),
)


@pytest.mark.parametrize("which", [(0, 1, 2), (1, 2, 3), (0, 2, 3), (0, 1, 3)])
def test_what_is_said_is_what_each_combination_as_a_file_of_its_own_would_say(
    tmp_path: Path, which: tuple[int, ...]
) -> None:
    """No combination that is an invalid file is missed, and none is called wrong that is not."""
    head = HEAD.replace("answer: string}", "answer: string, draft: string}")
    experiments = [experiment(f"e{n}", *AXES[n]) for n in which]
    findings = found(tmp_path, *experiments, head=head)
    blamed = {
        finding.message.removeprefix("with ").split(": ")[0] for finding in findings if finding.code == "V803"
    }
    base = read_document(tmp_path / "graph.yaml")
    own = {(f.code, f.message) for f in check(base) if not f.code.startswith("V8")}
    wrong: set[str] = set()
    for chosen in product(range(3), repeat=len(which)):
        choices = {f"e{n}": f"v{variant}" for n, variant in zip(which, chosen, strict=True)}
        data = base.overlaid(choices).data
        file = tmp_path / "alone.yaml"
        # JSON is YAML
        file.write_text(json.dumps({key: value for key, value in data.items() if key != "experiments"}))
        errors = [f for f in check_file(file) if f.severity == "error" and (f.code, f.message) not in own]
        names = [f"variant `{variant}` of `{name}`" for name, variant in choices.items() if variant != "v0"]
        if errors:
            assert any(all(one in names for one in each.split(" and ")) for each in blamed), (names, blamed)
            wrong.add(" and ".join(names))
    assert blamed <= wrong


def test_a_thousand_nodes_in_sixty_four_worlds_are_checked_in_time(tmp_path: Path) -> None:
    nodes = "".join(
        f'  n{n}: {{agent: guide, prompt: "{n}: ${{{{ state.question }}}}", save: answer, then: n{n + 1}}}\n'
        for n in range(998)
    )
    head = (
        HEAD.replace("then: two}", "then: n0}").replace("nodes:\n", f"nodes:\n{nodes}").replace("n998", "two")
    )
    head = head.replace("recursion: 9", "recursion: 2000")
    paths = [
        *("nodes.n5.max_visits: 3", "agents.guide.max_turns: 2", "models.fast.timeout: 9s"),
        *("limits.depth: 3", "tools.look.timeout: 9s", 'agents.guide.tools: ["find", look]'),
    ]
    (tmp_path / "graph.yaml").write_text(
        head + "".join(experiment(f"e{n}", "{}", f"{{{path}}}") for n, path in enumerate(paths))
    )
    started = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run(
        [sys.executable, "-m", "agentctl", "validate", "graph.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    # 3 s of the processor when nothing else runs beside it, twice that when its cores are shared, more on a slow one
    assert ended.ru_utime - started.ru_utime < 20
    assert ended.ru_maxrss < 500 * 1024


def test_files_without_experiments_load_nothing_of_this() -> None:
    code = (
        "import sys; from pathlib import Path; from agentctl.check.check import check_file;"
        "check_file(Path(sys.argv[1])); sys.exit('agentctl.check.worlds' in sys.modules)"
    )
    case = Path(__file__).parent.parent / "cases" / "check" / "ok" / "hello.yaml"
    assert subprocess.run([sys.executable, "-c", code, str(case)]).returncode == 0
