"""X, what a file must not hold, reach or let happen."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from agentctl.check.commands import TEMPLATE, is_one_text, script_of
from agentctl.check.facts import Facts
from agentctl.check.flow import mapping, names_in, placed_names, text
from agentctl.check.place import at_value, at_word
from agentctl.check.secrets import secrets_in
from agentctl.check.severity import severity_of
from agentctl.json import Json
from agentctl.spec.finding import Finding, Keys, Span

_AUTHORITY = re.compile(
    r"(?:(?:\w+|\$\{\{.*?\}\})\s+)?(?:https?://)?(?P<authority>(?:\$\{\{.*?\}\}|[^/$?#\s])*)"
)


def looks_like_a_secret(facts: Facts) -> Iterator[Finding]:
    """X01: a key or a password that is written into the file, a comment of it, or a prompt."""
    folder = facts.document.path.parent
    for name, content in facts.document.texts.items():
        for number, line in enumerate(content.split("\n"), start=1):
            for start, end in secrets_in(line):
                span = Span(number, start + 1, number, end + 1)
                message = f"`{line[start : start + 3]}…` looks like a secret"
                hint = "read it from the environment, `${{ env.NAME }}`, and take it out of the history"
                yield Finding("X01", severity_of("X01"), message, folder / name, span, "", hint)


def secret_with_default(facts: Facts) -> Iterator[Finding]:
    """X01: a secret whose value is its default in the file."""
    for name, body in facts.file.entries("env"):
        default = text(body.get("default"))
        if body.get("secret") is True and default and not any(secrets_in(default)):
            message = f"the secret `{name}` has its value in the file"
            hint = "leave `default` out: a secret comes from the environment alone"
            yield at_value(facts.document, "X01", ("env", name, "default"), message, hint)


def command_outside_project(facts: Facts) -> Iterator[Finding]:
    """X03: a program by a path that leaves the project, or by an argument, which a model chooses."""
    for keys, words in _commands(facts):
        program, keys = words[0] if words else "", (*keys, 0)
        if TEMPLATE.match(program) and "args." in program:
            message = "the program is an argument, so a model may run any there is"
            hint = "name the program here, and let the arguments come after it"
            yield at_value(facts.document, "X03", keys, message, hint)
        elif "/" in program and not program.startswith("/") and _leaves(facts, keys, program):
            message = f"the program `{program}` lies outside the project, the folder of the root file"
            hint = "copy it into the project, or name one that is installed"
            yield at_value(facts.document, "X03", keys, message, hint)


def address_of_arguments(facts: Facts) -> Iterator[Finding]:
    """X04: an address whose host a model may choose."""
    for name, tool in facts.tooling.tools.items():
        http = text(tool.get("http"))
        match = _AUTHORITY.match(http) if http is not None else None
        authority = match["authority"] if match is not None else ""
        templates = [*TEMPLATE.finditer(authority)]
        rest = TEMPLATE.sub("", authority)
        if match is None or not templates or rest.strip(":.0123456789") or "args." not in authority:
            continue
        if all("args." in template[0] for template in templates):
            offset, length = match.start("authority"), len(authority)
            message = "the address is made of arguments only, so a model may call any server"
            hint = "write the host into the file, or take it from `env`"
            yield at_word(facts.document, "X04", ("tools", name, "http"), offset, length, message, hint)


def write_without_approval(facts: Facts) -> Iterator[Finding]:
    """X05: a write that a model may call, and nobody is asked."""
    tooling, agents = facts.tooling, facts.file.agents_in_place
    listed = {name for _, agent in agents for name in names_in(agent.get("tools"))}
    writes = {name for name in listed if ("tool", name) in tooling.said_writes}
    if tooling.tiers:
        levels = mapping(facts.file.section("tiers").get("levels"))
        for level, body in levels.items():
            tier = tooling.tiers[level]
            if any(name not in tooling.tools for name in names_in(mapping(body).get("approve"))):
                continue  # a tool of another name may be meant, of which T502 speaks
            for name, keys in placed_names(mapping(body).get("tools"), ("tiers", "levels", level, "tools")):
                if name in writes and name in tier.offered and name not in tier.approve:
                    yield _unasked(facts, keys, name, f"a model of tier `{level}`")
        return
    for keys, agent in agents:
        for name, place in placed_names(agent.get("tools"), (*keys, "tools")):
            if name in writes:
                yield _unasked(facts, place, name, "the model")


def shell_string(facts: Facts) -> Iterator[Finding]:
    """X07: a text that is run as a program, or a command that a shell would take apart."""
    for keys, words in _commands(facts):
        script = script_of(words)
        if script is not None:
            message = f"`{script.runner}` runs a text as a program, with whatever gets into it"
            hint = "name the program and each argument by itself; put a script into a file"
            yield at_value(facts.document, "X07", (*keys, script.place), message, hint)
        elif is_one_text(words):
            message = "the command is one text, and no shell takes it apart"
            if len(words) > 1:
                message = f"`{words[0]}` is one word here, and no shell takes it apart"
            hint = "write a list: the program, then each argument by itself"
            yield at_value(facts.document, "X07", (*keys, 0), message, hint)


def path_outside_project(facts: Facts) -> Iterator[Finding]:
    """X06: a path that leaves the project (includes and prompts are looked at as they are read)."""
    for keys, path in _paths(facts):
        if _leaves(facts, keys, path):
            message = f"`{path}` leaves the project, which is the folder of the root file"
            yield at_value(facts.document, "X06", keys, message, "keep what a graph uses inside its project")


def _commands(facts: Facts) -> Iterator[tuple[Keys, tuple[str, ...]]]:
    """The command of each tool and server that has one, as words."""
    for kind in ("tools", "mcp"):
        for name, body in facts.file.entries(kind):
            if "command" in body:
                yield (kind, name, "command"), names_in(body["command"])


def _paths(facts: Facts) -> Iterator[tuple[Keys, str]]:
    for name, tool in facts.tooling.tools.items():
        graph = text(tool.get("graph"))
        if graph is not None and graph.endswith((".yaml", ".yml")):
            yield ("tools", name, "graph"), graph
        files = mapping(mapping(tool.get("sandbox")).get("files"))
        for access in ("read", "write"):
            for path, keys in placed_names(files.get(access), ("tools", name, "sandbox", "files", access)):
                yield keys, path
    for name, store in facts.file.entries("stores"):
        if (path_of_store := text(store.get("path"))) is not None:
            yield ("stores", name, "path"), path_of_store
    for index, sink in enumerate(_list(facts.file.section("events").get("sinks"))):
        if (path_of_sink := text(mapping(sink).get("path"))) is not None:
            yield ("events", "sinks", index, "path"), path_of_sink


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _leaves(facts: Facts, keys: Keys, path: str) -> bool:
    """Whether a path, from the file it stands in, leads out of the root file's folder, by its words or by a link."""
    if "${{" in path:
        return False
    if path.startswith("~"):
        return True  # somebody's home
    root = facts.document.path.parent
    here = Path(os.path.normpath(facts.document.value(keys)[0].parent / path))
    if not here.is_relative_to(root):
        return True
    try:
        return here.exists() and not here.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError):
        return False  # no name a file can have, or links in a circle: using it fails, and says why


def _unasked(facts: Facts, keys: Keys, name: str, who: str) -> Finding:
    message = f"{who} may call `{name}`, which writes, and nobody is asked"
    hint = "list it under `approve:` of a tier, or call it in a `tool:` node of its own"
    return at_value(facts.document, "X05", keys, message, hint)


OF_TEXTS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (looks_like_a_secret,)
"""Rules about the texts of a file, in which all that its variants say stands already."""
RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    secret_with_default,
    command_outside_project,
    address_of_arguments,
    write_without_approval,
    path_outside_project,
    shell_string,
)
