"""The surface of a file: what it says, what its digest depends on, and what it does not."""

from __future__ import annotations

import json
import time
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentctl.check.check import check
from agentctl.check.flow import FileModel, read_flow
from agentctl.check.surface.data import digest_of, places_of, surface_of
from agentctl.check.surface.table import as_table
from agentctl.json import Json
from agentctl.spec.document import document_from_texts

BANK = """\
agentctl: 1
name: bank
env:
  BANK_URL: {default: "http://localhost:9000"}
  BANK_TOKEN: {secret: true}
mcp:
  web: {command: [uvx, mcp-web], timeout: 20s}
stores:
  shelf: {path: ./shelf}
tools:
  pay:
    http: POST ${{ env.BANK_URL }}/payments
    description: Pay somebody.
    headers: {Authorization: "Bearer ${{ env.BANK_TOKEN }}"}
    parameters: {to: string, amount: {type: number, maximum: 500}}
    effect: write
    idempotency_key: ${{ run.thread }}/${{ args.to }}
    timeout: 10s
  grep:
    command: [grep, -rn, --, "${{ args.word }}", notes]
    description: Search the notes.
    parameters: {word: string}
    effect: read
    cache: 60s
    timeout: 5s
    sandbox: {time: 5s, memory: 256MB, network: false, files: {read: [./notes, ./drafts]}}
  look: {mcp: web/search, effect: read, timeout: 5s}
  recall: {store: shelf, operation: search, description: Search the shelf., timeout: 5s}
  audit: {graph: audit, description: Check the books., timeout: 30s}
tiers:
  by: state.plan
  levels:
    free: {tools: [grep]}
    gold: {extends: free, tools: [look, pay, audit], approve: [pay]}
agents:
  clerk: {instructions: You serve., tools: [grep, look, pay], max_turns: 3}
  boss: {instructions: You lead., tools: [audit], max_turns: 3}
input: [question, plan]
output: [answer]
state:
  question: string
  plan: {enum: [free, gold], default: free}
  notes: {type: array, default: []}
  answer: string
start: recall
nodes:
  recall: {tool: recall, args: {query: "${{ state.question }}"}, save: notes, then: lead}
  lead: {agent: boss, prompt: "${{ state.notes | tojson }}", then: serve}
  serve: {agent: clerk, prompt: "${{ state.question }}", save: answer, then: end}
graphs:
  audit:
    output: [found]
    state: {found: {type: array, default: []}}
    start: read
    nodes:
      read: {tool: grep, args: {word: loss}, save: found, then: end}
limits: {recursion: 6}
"""


def read(text: str, **beside: str) -> FileModel:
    return read_flow(document_from_texts("graph.yaml", {"graph.yaml": text, **beside}))


def digest(text: str, **beside: str) -> str:
    return digest_of(surface_of(read(text, **beside)))


def replaced(old: str, new: str) -> str:
    assert BANK.count(old) == 1, old
    return BANK.replace(old, new)


def shuffled(value: Json, random: Random) -> Json:
    """The value with the keys of its mappings in another order."""
    if isinstance(value, dict):
        keys = random.sample([*value], len(value))
        return {key: shuffled(value[key], random) for key in keys}
    return [shuffled(item, random) for item in value] if isinstance(value, list) else value


def test_the_file_that_is_looked_at_here_is_a_good_one() -> None:
    found = check(document_from_texts("graph.yaml", {"graph.yaml": BANK}))
    assert [finding for finding in found if finding.severity == "error"] == []


def test_the_surface_says_what_each_tool_is_and_who_may_call_it() -> None:
    surface = surface_of(read(BANK))
    assert list(surface["tools"]) == ["pay", "grep", "look", "recall", "audit"]
    pay, grep = surface["tools"]["pay"], surface["tools"]["grep"]
    assert (pay["kind"], pay["effect"]) == ("http", "write")
    assert pay["reaches"] == {"method": "POST", "address": "${{ env.BANK_URL }}/payments"}
    assert pay["env"] == {"BANK_TOKEN": {"secret": True}, "BANK_URL": {"default": "http://localhost:9000"}}
    assert pay["tiers"] == {"gold": "approve"}
    assert pay["agents"] == ["clerk"]
    assert grep["tiers"] == {"free": "offer", "gold": "offer"}
    assert grep["nodes"] == ["audit/read"]
    assert grep["sandbox"]["files"] == {"read": ["./drafts", "./notes"]}
    assert surface["tools"]["look"]["reaches"] == {
        "server": "web",
        "tool": "search",
        "command": ["uvx", "mcp-web"],
    }
    assert surface["tools"]["recall"]["reaches"] == {
        "store": "shelf",
        "operation": "search",
        "path": "./shelf",
    }
    assert surface["tools"]["audit"]["effect"] == "read"
    assert surface["graphs"] == {"audit": {"tools": ["audit"]}}


def test_each_tool_has_its_place_which_is_not_signed() -> None:
    file = read(BANK)
    assert {name: line for name, (_, line) in places_of(file, surface_of(file)).items()}["grep"] == 19
    assert "19" not in json.dumps(surface_of(file))


def test_a_graph_that_touches_nothing_is_no_part_of_it() -> None:
    assert surface_of(read("agentctl: 1\nname: a\nstart: b\nnodes: {b: {ask: Who?, then: end}}\n")) == {
        "v": 1
    }


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_keys_and_the_style_of_the_file_do_not_change_the_digest(random: Random) -> None:
    data = read(BANK).data
    assert digest(json.dumps(shuffled(data, random))) == digest(BANK)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: bank\n", "# a comment\nname: bank\ndescription: Another one.\n"),
        ("description: Pay somebody.", "description: Pay them."),
        ("[grep, look, pay]", "[pay, grep, look]"),
        ("tools: [look, pay, audit]", "tools: [audit, pay, look]"),
        ("cache: 60s", "cache: 1m"),
        ("memory: 256MB", "memory: 262144KB"),
        ("[./notes, ./drafts]", "[./drafts, ./notes]"),
        ("maximum: 500}", "maximum: 500.0, description: In dollars.}"),
        ("timeout: 10s", "timeout: 20s"),
        ("You serve.", "You serve kindly."),
        ("word: loss", "word: gain"),
        ("recursion: 6", "recursion: 7"),
        ("parameters: {word: string}", "parameters: {word: {type: string}}"),
    ],
)
def test_what_is_not_about_who_may_do_what_does_not_change_the_digest(old: str, new: str) -> None:
    assert digest(replaced(old, new)) == digest(BANK)


def test_parts_in_other_files_do_not_change_the_digest() -> None:
    start, end = BANK.index("tiers:"), BANK.index("agents:")
    rest = (BANK[:start] + BANK[end:]).replace("name: bank", "name: bank\ninclude: [./tiers.yaml]")
    part = "agentctl: 1\n" + BANK[start:end]
    assert digest(rest, **{"tiers.yaml": part}) == digest(BANK)


CHANGES = {
    "another address": ("/payments", "/refunds"),
    "another method": ("http: POST", "http: PUT"),
    "another program": ("command: [grep", "command: [rg"),
    "another argument of the program": ("notes]\n    description", "drafts]\n    description"),
    "another server": ("[uvx, mcp-web]", "[uvx, mcp-all]"),
    "another tool of the server": ("web/search", "web/fetch"),
    "another operation": ("operation: search", "operation: get"),
    "another folder of the store": ("./shelf}", "./shelves}"),
    "where a variable leads": ("http://localhost:9000", "http://example.org"),
    "a variable that is no secret any more": ("{secret: true}", "{}"),
    "another effect": ("effect: write", "effect: read"),
    "arguments that allow more": ("maximum: 500", "maximum: 5000"),
    "no key against doing it twice": ("    idempotency_key: ${{ run.thread }}/${{ args.to }}\n", ""),
    "a sandbox with a network": ("network: false", "network: true"),
    "no sandbox": (
        "    sandbox: {time: 5s, memory: 256MB, network: false, files: {read: [./notes, ./drafts]}}\n",
        "",
    ),
    "an answer that is kept longer": ("cache: 60s", "cache: 1h"),
    "a tool that a tier gets": ("free: {tools: [grep]}", "free: {tools: [grep, look]}"),
    "a tool that a tier loses": ("tools: [look, pay, audit]", "tools: [look, pay]"),
    "a tool that a tier denies": ("approve: [pay]", "approve: [pay], deny: [look]"),
    "no approval any more": (", approve: [pay]", ""),
    "a bound of a tier": ("approve: [pay]", "approve: [pay], max_calls: 9"),
    "another way to choose a tier": ("by: state.plan", "by: \"'gold' if state.plan == 'gold' else 'free'\""),
    "an agent that lists one more": ("tools: [audit]", "tools: [audit, look]"),
    "an agent that lists one less": ("[grep, look, pay]", "[grep, look]"),
    "a node that calls by itself": ("then: serve}", "then: pay}\n  pay: {tool: pay, then: serve}"),
    "another node that calls it": ("read: {tool: grep", "find: {tool: grep"),
    "a node that runs the graph": ("then: serve}", "then: check}\n  check: {graph: audit, then: serve}"),
    "a tool more": ("  recall: {store", "  list: {command: [ls], effect: read}\n  recall: {store"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_tool_may_do_and_who_may_call_it_changes_the_digest(change: str) -> None:
    assert digest(replaced(*CHANGES[change])) != digest(BANK)


def test_each_of_these_changes_has_a_digest_of_its_own() -> None:
    digests = {digest(replaced(*change)) for change in CHANGES.values()}
    assert len(digests) == len(CHANGES)


EXPERIMENT = """\
experiments:
  help:
    assign_by: run.thread
    variants:
      A: {weight: 50}
      B: {weight: 50, override: {agents.boss.tools: [audit, grep], agents.boss.max_turns: 2}}
"""


def test_what_a_variant_changes_is_told_and_signed() -> None:
    surface = surface_of(read(BANK + EXPERIMENT))
    assert surface["variants"] == {"help": {"B": {"tools": {"grep": {"agents": ["boss", "clerk"]}}}}}
    assert digest(BANK + EXPERIMENT) != digest(BANK)
    assert digest(BANK + EXPERIMENT.replace("[audit, grep]", "[audit]")) == digest(BANK)


def test_a_variant_of_a_signed_file_is_no_other_surface() -> None:
    signed = f'{BANK}{EXPERIMENT}events: {{surface: "{digest(BANK + EXPERIMENT)}"}}\n'
    assert [
        finding.message
        for finding in check(document_from_texts("graph.yaml", {"graph.yaml": signed}))
        if "X09" in finding.code + finding.message
    ] == []


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_is_as_wide_as_it_may_be_and_has_every_tool(width: int) -> None:
    surface = surface_of(read(BANK + EXPERIMENT))
    lines = as_table(surface, dict.fromkeys(surface["tools"], "graph.yaml:1"), width).splitlines()
    assert max(map(len, lines)) <= width
    rows = [line.split() for line in lines if line[:1].islower() and ":" not in line.split()[0]]
    assert [(name, effect) for name, effect, *_ in rows] == [
        ("pay", "write"),
        *((name, "read") for name in ("audit", "grep", "look", "recall")),
    ]


def test_the_table_says_who_may_call_a_tool_in_words() -> None:
    surface = surface_of(read(BANK + EXPERIMENT))
    text = " ".join(as_table(surface, {}, 400).split())
    assert "in tier gold when a person approves" in text
    assert "POST ${{ env.BANK_URL }}/payments" in text
    assert "given BANK_TOKEN (secret), BANK_URL" in text
    assert "sandbox: 5s, 256MB, no network, read ./drafts, ./notes" in text
    assert "recall read search in store shelf no agent lists it node recall" in text
    assert "audit: run by tool audit" in text
    assert "help B: grep has agents boss, clerk" in text


def test_a_secret_in_an_address_is_not_shown() -> None:
    file = read(replaced("${{ env.BANK_URL }}/payments", "https://me:hunter2@example.org/payments"))
    assert "hunter2" not in as_table(surface_of(file), {}, 200)


def test_a_thousand_tools_are_listed_at_once() -> None:
    tools = "".join(f"  t{n}: {{graph: g{n}, timeout: 5s}}\n" for n in range(500))
    graphs = "".join(
        f"  g{n}: {{start: a, nodes: {{a: {{graph: g{n + 1}, then: end}}}}}}\n" for n in range(499)
    )
    text = (
        f"agentctl: 1\nname: a\ntools:\n{tools}  ls: {{command: [ls]}}\nstart: b\n"
        f"nodes: {{b: {{graph: g0, then: end}}}}\ngraphs:\n{graphs}"
        "  g499: {start: a, nodes: {a: {tool: ls, then: end}}}\n"
    )
    file = read(text)
    began = time.process_time()
    surface = surface_of(file)
    assert time.process_time() - began < 2
    assert len(surface["tools"]) == 501
    assert len(surface["graphs"]) == 500


def test_a_long_chain_of_tiers_is_taken_as_it_is_written() -> None:
    tools = "".join(f"  t{n}: {{command: [ls, x{n}], effect: read}}\n" for n in range(1000))
    levels = "".join(f"    l{n + 1}: {{extends: l{n}, tools: [t{n}]}}\n" for n in range(999))
    text = (
        f"agentctl: 1\nname: a\ntools:\n{tools}tiers:\n  by: state.plan\n  levels:\n    l0: {{approve: []}}\n{levels}"
        "input: [plan]\nstate: {plan: string}\nstart: b\nnodes: {b: {ask: Who?, then: end}}\n"
    )
    began = time.process_time()
    surface = surface_of(read(text))
    assert time.process_time() - began < 2
    assert surface["tiers"]["l999"] == {"extends": "l998", "tools": ["t998"]}
    assert digest(text.replace("l999: {extends: l998", "l999: {extends: l997")) != digest_of(surface)
    assert "l999: extends l998; tools t998" in as_table(surface, {}, 100)
