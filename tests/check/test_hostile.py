"""Hostile files: an answer within seconds and bounds, nothing of them run, nothing outside the project read, no network."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

MOST_SECONDS = 15.0
"""Of processor time. The goal is 5, and the slowest takes 4 where this was written; a slow machine fails no test."""
MOST_BYTES = 500 * 1024 * 1024

WATCHED = """
import json, os, resource, sys, sysconfig
project = os.path.realpath(sys.argv[1])
own = tuple(map(os.path.realpath, {*sys.path, *sysconfig.get_paths().values(), sys.prefix, sys.base_prefix} - {""}))
seen = []
def watch(event, args):
    if event.startswith(("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "urllib.")):
        seen.append([event, repr(args)[:200]])
    elif event == "open" and isinstance(args[0], (str, bytes)):
        path = os.path.realpath(os.fsdecode(args[0]))
        if not path.startswith((project, *own)):
            seen.append([event, path])
    elif event == "exec" and os.path.realpath(args[0].co_filename) in (project + "/evil.py", project + "/evil.sh"):
        seen.append([event, args[0].co_filename])
sys.path[:] = [path for path in sys.path if path]
from agentctl.cli.main import main
sys.addaudithook(watch)
sys.argv = ["agentctl", "validate", "--format", "concise", "-v", sys.argv[2]]
code = 0
try:
    code = main()
except SystemExit as stop:
    code = stop.code
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"code": code, "seen": seen, "cpu": used.ru_utime + used.ru_stime, "kb": used.ru_maxrss}), file=sys.stderr)
"""

HEAD = "agentctl: 1\nname: hostile\noutput: [x]\nstate: {x: {type: integer, default: 0}}\n"
SMALL = "start: a\nnodes:\n  a: {set: {x: 1}, then: end}\n"


def _lines(count: int, line: str) -> str:
    return "".join(line.replace("@+", str(i + 1)).replace("@", str(i)) for i in range(count))


def _ten_thousand_nodes() -> str:
    return (
        HEAD
        + "start: n0\nnodes:\n"
        + _lines(9_999, "  n@: {set: {x: @}, then: n@+}\n")
        + "  n9999: {set: {x: 1}, then: end}\n"
    )


def _three_thousand_loops() -> str:
    nodes = _lines(3_000, "  n@: {set: {x: @}, then: r@}\n")
    arms = "".join(
        f"  r{i}: [{{when: state.x > {i}, to: n{i * 7 % 3000}}}, {{when: state.x < 0, to: end}}, {{else: n{(i + 1) % 3000}}}]\n"
        for i in range(3_000)
    )
    return f"{HEAD}start: n0\nnodes:\n{nodes}routers:\n{arms}"


def _everybody_to_everybody() -> str:
    nodes = _lines(60, "  n@: {set: {x: @}, then: r@}\n")
    arms = "".join(
        f"  r{i}: [{', '.join(f'{{when: state.x == {j}, to: n{j}}}' for j in range(60))}, {{else: end}}]\n"
        for i in range(60)
    )
    return f"{HEAD}start: r0\nnodes:\n{nodes}routers:\n{arms}"


def _a_thousand_graphs() -> str:
    one = "  g@: {output: [x], state: {x: {type: integer, default: 0}}, start: a, nodes: {a: {graph: g@+, save: [x], then: end}}}\n"
    last = "  g1000: {output: [x], state: {x: {type: integer, default: 0}}, start: a, nodes: {a: {set: {x: 1}, then: end}}}\n"
    return f"{HEAD}start: a\nnodes:\n  a: {{graph: g0, save: [x], then: end}}\ngraphs:\n{_lines(1_000, one)}{last}"


def _graphs_that_double() -> str:
    """Each graph runs the next one ten times: ten to the fortieth steps."""
    works = ", ".join(
        f"n{k}: {{graph: g@+, save: [x], then: {f'n{k + 1}' if k < 9 else 'end'}}}" for k in range(10)
    )
    one = (
        f"  g@: {{output: [x], state: {{x: {{type: integer, default: 0}}}}, start: n0, nodes: {{{works}}}}}\n"
    )
    last = "  g40: {output: [x], state: {x: {type: integer, default: 0}}, start: a, nodes: {a: {set: {x: 1}, then: end}}}\n"
    return (
        f"{HEAD}start: a\nnodes:\n  a: {{graph: g0, save: [x], then: end}}\ngraphs:\n{_lines(40, one)}{last}"
    )


def _ten_thousand_terms() -> str:
    sum_of_all = " + ".join(["state.x"] * 10_000)
    return f"{HEAD}start: r\nnodes:\n  a: {{set: {{x: 1}}, then: end}}\nrouters:\n  r:\n    - when: {sum_of_all} > 1\n      to: a\n    - else: end\n"


def _sixty_four_variants() -> str:
    nodes = (
        "start: n0\nnodes:\n"
        + _lines(999, "  n@: {set: {x: @}, then: n@+}\n")
        + "  n999: {set: {x: 1}, then: end}\n"
    )
    overlays = "".join(
        f"  e{i}: {{assign_by: run.thread, variants: {{a: {{weight: 1}}, b: {{weight: 1, override: {{nodes.n{i}.then: n{i + 2}}}}}}}}}\n"
        for i in range(6)
    )
    return f"{HEAD}{nodes}experiments:\n{overlays}"


def _groups_of_groups() -> str:
    """A chain of three thousand groups, two that share their members forty times over, and a knot of them."""
    chain = _lines(3_000, "  c@: {fallback: [c@+]}\n") + "  c3000: {model: openai/x}\n"
    both = _lines(40, "  l@: {fallback: [l@+, r@+]}\n  r@: {race: [l@+, r@+]}\n")
    ends = "  l40: {model: openai/x}\n  r40: {model: openai/x}\n"
    knot = "".join(f"  k{i}: {{fallback: [{', '.join(f'k{j}' for j in range(20))}]}}\n" for i in range(20))
    agents = "".join(f"  {name}: {{instructions: Hi., model: {name}}}\n" for name in ("c0", "l0", "k0"))
    nodes = "start: one\nnodes:\n  one: {agent: c0, then: two}\n  two: {agent: l0, then: three}\n  three: {agent: k0, then: end}\n"
    return f'{HEAD}limits: {{cost: "$1"}}\nagents:\n{agents}{nodes}models:\n{chain}{both}{ends}{knot}'


def _tiers_over_tiers() -> str:
    tools = "".join(f"  {name}: {{store: s, operation: search}}\n" for name in ("t", "u"))
    levels = "".join(
        f"    l{i}: {{tools: [t], deny: [t]{f', extends: l{i + 1}' if i < 1_999 else ''}}}\n"
        for i in range(2_000)
    )
    paths = ", ".join(
        f"tiers.levels.l{i}.{key}" for i in range(20) for key in ("tools: [u]", "extends: l1990")
    )
    variants = f"{{a: {{weight: 1}}, b: {{weight: 1, override: {{{paths}}}}}}}"
    return (
        f"{HEAD}{SMALL}stores: {{s: {{path: ./s}}}}\ntools:\n{tools}tiers:\n  by: \"'l0'\"\n  levels:\n{levels}"
        f"experiments:\n  e: {{assign_by: run.thread, variants: {variants}}}\n"
    )


def _three_hundred_variants_of_a_signed_file() -> str:
    nodes = _lines(999, "  n@: {set: {x: @}, then: n@+}\n") + "  n999: {set: {x: 1}, then: end}\n"
    variants = ", ".join(f"v{i}: {{weight: 1, override: {{nodes.n{i}.then: n{i + 2}}}}}" for i in range(300))
    return (
        f'{HEAD}start: n0\nnodes:\n{nodes}events: {{surface: "0123456789abcdef0123456789abcdef"}}\n'
        f"experiments:\n  e: {{assign_by: run.thread, variants: {{{variants}}}}}\n"
    )


def _tools_that_run_code() -> str:
    return f"""{HEAD}{SMALL}tools:
  t: {{python: "evil:run", setup: "evil:run", description: Run., effect: read, timeout: 1s}}
  h: {{http: "GET http://127.0.0.1:9/x", description: Fetch., effect: read, timeout: 1s}}
  c: {{command: [./evil.sh], description: Run., effect: read, timeout: 1s}}
mcp:
  m: {{command: [./evil.sh], timeout: 1s}}
agents:
  g: {{instructions: {{file: p.md}}, tools: [t, h, c], max_turns: 2}}
events:
  hooks: {{before_node: "evil:run"}}
"""


def _files_outside() -> str:
    return f"""{HEAD}include: [/etc/passwd, ../../../../../../etc/group, ./link.yaml]
agents:
  g: {{instructions: {{file: /etc/hostname}}}}
  l: {{instructions: {{file: ./link.md}}}}
{SMALL}"""


def _enum(count: int) -> str:
    return HEAD.replace(
        "type: integer, default: 0", f"enum: [{', '.join(f'v{i}' for i in range(count))}], default: v0"
    )


def _a_router_of_values_that_are_not_there() -> str:
    table = ", ".join(f"w{i}: a" for i in range(8_000))
    return f"{_enum(8_000)}start: r\nnodes:\n  a: {{set: {{x: v1}}, then: end}}\nrouters:\n  r: {{by: state.x, to: {{{table}}}}}\n"


def _conditions_over_a_long_enum() -> str:
    arms = ", ".join(f"{{when: state.x == 'v{i}', to: a}}" for i in range(1_500))
    return f"{_enum(1_000)}start: r\nnodes:\n  a: {{set: {{x: v1}}, then: end}}\nrouters:\n  r: [{arms}]\n"


def _conditions_that_are_dear_to_try() -> str:
    arms = ", ".join(
        f"{{when: \"(state.x * 90000) | length > {i} and (state.x * 90000) | upper != 'x'\", to: a}}"
        for i in range(1_000)
    )
    return f"{_enum(250)}start: r\nnodes:\n  a: {{set: {{x: v1}}, then: end}}\nrouters:\n  r: [{arms}, {{else: end}}]\n"


HOSTILE = {
    "a router of values that are not there": _a_router_of_values_that_are_not_there(),
    "conditions over a long enum": _conditions_over_a_long_enum(),
    "conditions that are dear to try": _conditions_that_are_dear_to_try(),
    "allow comments without end": HEAD + "# agentctl: allow E410\n" * 20_000 + SMALL,
    "a reference in a type that is none": HEAD
    + SMALL
    + "agents: {g: {instructions: x, output: {type: object, properties: {a: {$ref: '#'}, b: {$dynamicRef: '#x'}}}}}\n",
    "aliases that multiply": HEAD
    + "x-a: &a [1,1,1,1,1,1,1,1,1]\n"
    + "".join(
        f"x-{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + SMALL,
    "ten thousand nodes": _ten_thousand_nodes(),
    "three thousand loops": _three_thousand_loops(),
    "everybody leads to everybody": _everybody_to_everybody(),
    "a thousand graphs, one in the other": _a_thousand_graphs(),
    "graphs that double": _graphs_that_double(),
    "ten thousand terms": _ten_thousand_terms(),
    "deep nesting": HEAD + "x-deep: " + "[" * 20_000 + "]" * 20_000 + "\n" + SMALL,
    "deep expressions": HEAD
    + "start: r\nnodes:\n  a: {set: {x: 1}, then: end}\nrouters:\n  r:\n    - when: "
    + "(" * 5_000
    + "1"
    + ")" * 5_000
    + "\n      to: a\n    - else: end\n",
    "huge integers": HEAD
    + f"limits: {{recursion: {'9' * 5_000}, tokens: 1e400, time: {'9' * 400}d}}\n"
    + "start: a\nnodes:\n  a: {set: {x: "
    + "1" * 4_000
    + "}, max_visits: 99999999999999999999999, then: end}\n",
    "patterns that backtrack": HEAD.replace(
        "type: integer, default: 0", r"type: string, pattern: '^(\w+\s?)*$', default: '" + "a" * 5_000 + "!'"
    )
    + SMALL.replace("x: 1", "x: '" + "a" * 5_000 + "!'"),
    "a thousand misspelt names": HEAD
    + "start: n0\nnodes:\n"
    + _lines(1_000, "  node_number_@: {set: {feild_numbre_@: 1}, then: nod_number_@+}\n"),
    "sixty-four variants of a thousand nodes": _sixty_four_variants(),
    "groups of groups of models": _groups_of_groups(),
    "tiers over tiers, and variants of them": _tiers_over_tiers(),
    "three hundred variants of a signed file": _three_hundred_variants_of_a_signed_file(),
    "tools that run code": _tools_that_run_code(),
    "files outside": _files_outside(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_answered_and_nothing_else_happens(name: str, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    for file, text in {
        "graph.yaml": HOSTILE[name],
        "evil.py": "open('ran', 'w')\ndef run(): open('ran', 'w')\n",
        "evil.sh": "#!/bin/sh\ntouch ran\n",
        "p.md": "You help.\n",
    }.items():
        (project / file).write_text(text)
    (project / "evil.sh").chmod(0o755)
    (project / "link.yaml").symlink_to("/etc/passwd")
    (project / "link.md").symlink_to("/etc/hostname")
    ran = subprocess.run(
        [sys.executable, "-c", WATCHED, str(project), "graph.yaml"],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = json.loads(ran.stderr.splitlines()[-1])
    assert told["code"] in (0, 1), ran.stderr
    assert told["seen"] == []
    assert told["cpu"] < MOST_SECONDS
    assert told["kb"] * 1024 < MOST_BYTES
    assert not (project / "ran").exists()
    assert "Traceback" not in ran.stdout + ran.stderr
    for line in ran.stdout.splitlines():
        assert line.startswith(("graph.yaml:", "evil", "p.md")) or " in 1 file" in line, line


def test_a_thicket_is_drawn_in_seconds_too(tmp_path: Path) -> None:
    nodes = _lines(20, "  n@: {set: {x: @}, then: r@}\n")
    arms = ", ".join(f"{{when: state.x == {j}, to: n{j}}}" for j in range(20))
    routers = _lines(20, f"  r@: [{arms}, {{else: end}}]\n")
    (tmp_path / "graph.yaml").write_text(f"{HEAD}start: n0\nnodes:\n{nodes}routers:\n{routers}")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run(
        [sys.executable, "-m", "agentctl", "graph", "--format", "svg", str(tmp_path / "graph.yaml")],
        capture_output=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ran.returncode == 0, ran.stderr
    assert after.ru_utime - before.ru_utime < MOST_SECONDS
