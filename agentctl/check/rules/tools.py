"""T, tools: that each says what it does, and nothing that cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from agentctl.check.facts import Facts
from agentctl.check.flow import mapping, names_in, text
from agentctl.check.place import at_key, at_value, at_word, did_you_mean
from agentctl.check.shapes import described, type_names
from agentctl.check.tools.types import parameters_of
from agentctl.json import Json
from agentctl.spec.finding import Finding, Keys
from agentctl.spec.nearest import nearest
from agentctl.spec.requests import METHODS, can_send, request_of
from agentctl.spec.types import is_whole_object

if TYPE_CHECKING:
    from agentctl.spec.functions import PythonFunction

_SAYING = ("python", "http", "command", "mcp")
"""Kinds whose effect only the file can say."""
_BOXED = ("python", "command")
"""Kinds that a sandbox can hold: those that run here, in a process of their own."""
_GUESSED = 100
"""Strange parameters of one tool that a near name is looked for: each costs up to 2 ms where there are thousands."""
_NUMBERS = frozenset(("integer", "number"))
_DESCRIBED = ("mcp", "store")
"""Kinds that need no words: the server gives them, or the operation does."""


def effect_not_declared(facts: Facts) -> Iterator[Finding]:
    """T507: a tool does not say what it does to the world."""
    for name, tool in facts.tooling.tools.items():
        if facts.tooling.kind(name) in _SAYING and "effect" not in tool:
            message = f"tool `{name}` does not say its `effect`, so it counts as a `write`"
            why = "it decides caching, retries and resuming"
            if tool.get("cache") not in (None, False):
                why = "its answers are kept only if it is `pure` or a `read`"
            yield at_key(
                facts.document,
                "T507",
                ("tools", name),
                message,
                f"write `effect: pure`, `read` or `write`; {why}",
            )


def no_request(facts: Facts) -> Iterator[Finding]:
    """T520: what no tool can ask: no method, no http address, no header that can be sent, no program."""
    for name, tool in facts.tooling.tools.items():
        keys: Keys = ("tools", name)
        if (http := text(tool.get("http"))) is not None:
            yield from _misasked(facts, http, (*keys, "http"))
        for header in mapping(tool.get("headers")):
            if not can_send(header):
                message = f"`{header}` is no header that a file can send"
                hint = "a header is one word; how long the message is, the request says itself"
                yield at_key(facts.document, "T520", (*keys, "headers", header), message, hint)
        words = tool.get("command")
        if isinstance(words, list) and not any(isinstance(word, str) and word.strip() for word in words[:1]):
            message, hint = "no program is named", "write a list: the program, then each argument"
            yield at_value(facts.document, "T520", (*keys, "command"), message, hint)


def cache_on_write(facts: Facts) -> Iterator[Finding]:
    """T508: answers are to be kept of a tool that writes."""
    for name, tool in facts.tooling.tools.items():
        write = facts.tooling.said_writes.get(("tool", name))
        if write is not None and tool.get("cache") not in (None, False):
            does = "writes" if write == name else f"can call `{write}`, which writes"
            message = f"tool `{name}` {does}, and what writes is never cached"
            hint = f"remove `cache`; or, if `{write}` changes nothing, write `effect: read` there"
            yield at_value(facts.document, "T508", ("tools", name, "cache"), message, hint)


def read_cached_for_ever(facts: Facts) -> Iterator[Finding]:
    """T510: what is read may change, and the answer is kept for ever."""
    for name, tool in facts.tooling.tools.items():
        if tool.get("cache") is True and facts.tooling.effect(name) == "read":
            message = f"what tool `{name}` reads may change, and its answers are kept for ever"
            hint = "say for how long, as in `cache: 1h`"
            yield at_value(facts.document, "T510", ("tools", name, "cache"), message, hint)


def no_description(facts: Facts) -> Iterator[Finding]:
    """T512: a tool that an agent lists, and no word on what it does."""
    listed = {tool for _, agent in facts.file.agents_in_place for tool in names_in(agent.get("tools"))}
    for name, tool in facts.tooling.tools.items():
        if name in listed and not _is_described(facts, name, tool):
            message = f"tool `{name}` has no `description`, and a model must choose it by that"
            hint = "say in a sentence what it does"
            if "python" in tool:
                hint += ", here or in the function's docstring"
            yield at_key(facts.document, "T512", ("tools", name), message, hint)


def sandbox_that_holds_nothing(facts: Facts) -> Iterator[Finding]:
    """T515: a sandbox on a tool that does not run in a process of its own."""
    for name, tool in facts.tooling.tools.items():
        kind = facts.tooling.kind(name)
        is_inside = tool.get("in_process") is True
        if "sandbox" in tool and kind is not None and (kind not in _BOXED or is_inside):
            what = "runs inside agentctl" if is_inside else f"is of the kind `{kind}`"
            message = f"tool `{name}` {what}, and no sandbox can hold it"
            hint = (
                "remove `in_process`" if is_inside else "remove it: a sandbox is for `python` and `command`"
            )
            yield at_key(facts.document, "T515", ("tools", name, "sandbox"), message, hint)


def parameters_misfit(facts: Facts) -> Iterator[Finding]:
    """T517: `parameters` that the function cannot be called with; or none, and its type hints do not say them."""
    for name, tool in facts.tooling.tools.items():
        reference = text(tool.get("python"))
        function = None if reference is None else facts.file.functions.of_tool(name, reference)
        if function is None:
            continue
        written = tool.get("parameters")
        if isinstance(written, dict):
            yield from _misfits(facts, function, name, written)
        elif function.problem is not None:
            message = f"the parameters of `{function.name}` cannot be read: {function.problem}"
            yield at_value(facts.document, "T517", ("tools", name, "python"), message)


def pure_with_grants(facts: Facts) -> Iterator[Finding]:
    """T519: a tool is `pure`, and may use the network or files."""
    for name, tool in facts.tooling.tools.items():
        if tool.get("effect") != "pure" or facts.tooling.kind(name) not in _BOXED:
            continue
        for grant, keys in _grants(mapping(tool.get("sandbox")), ("tools", name, "sandbox")):
            message = f"tool `{name}` is `pure`, and its sandbox lets it {grant}"
            hint = "what it answers may then change: write `effect: read`, or take the grant away"
            yield at_key(facts.document, "T519", keys, message, hint)


def _is_described(facts: Facts, name: str, tool: Mapping[str, Json]) -> bool:
    if (text(tool.get("description")) or "").strip() or facts.tooling.kind(name) in _DESCRIBED:
        return True
    if (reference := text(tool.get("python"))) is not None:
        function = facts.file.functions.of_tool(name, reference)
        return function is None or bool(function.description)
    if (graph := text(tool.get("graph"))) is not None:
        nested = facts.file.nested.get(graph)
        return nested is None or bool((text(nested.data.get("description")) or "").strip())
    return False


def _grants(sandbox: Mapping[str, Json], keys: Keys) -> Iterator[tuple[str, Keys]]:
    if sandbox.get("network") is True:
        yield "use the network", (*keys, "network")
    for access in ("read", "write"):
        if mapping(sandbox.get("files")).get(access):
            yield f"{access} files", (*keys, "files", access)


def _misfits(
    facts: Facts, function: PythonFunction, tool: str, written: Mapping[str, Json]
) -> Iterator[Finding]:
    from agentctl.spec.functions import misfits  # needed by files with Python tools only

    parameters = parameters_of(facts.file, tool)
    if parameters is None:
        return
    offered, keys = mapping(parameters.get("properties")), ("tools", tool, "parameters")
    inside = (*keys, "properties") if is_whole_object(written) else keys
    free = tuple(name for name in function.arguments if name not in offered)
    found = misfits(function, parameters)
    strays = [one.parameter for one in found if one.is_strange]
    meant = {name: nearest(name, free) for name in strays[:_GUESSED]}
    misspelt = set(meant.values())
    for one in found:
        near = meant.get(one.parameter)
        if one.parameter not in offered:
            if one.parameter not in misspelt:
                yield at_key(facts.document, "T517", keys, one.why, f"add `{one.parameter}:` to it")
        elif one.is_strange:
            hint = None if near is None else f"did you mean `{near}`?"
            yield at_key(facts.document, "T517", (*inside, one.parameter), one.why, hint, near)
        else:
            hint = "give it a default there, or let nobody leave it out here"
            yield at_key(facts.document, "T517", (*inside, one.parameter), one.why, hint)
    yield from _other_types(facts, function, offered, inside)


def _other_types(
    facts: Facts, function: PythonFunction, offered: Mapping[str, Json], keys: Keys
) -> Iterator[Finding]:
    """Parameters none of whose values the function's hints allow."""
    hints = mapping(mapping(function.read_parameters).get("properties"))
    for name in offered.keys() & hints.keys():
        have, want = type_names(offered[name]), type_names(hints[name])
        if have is None or want is None or have & want or (have & _NUMBERS and want & _NUMBERS):
            continue
        message = f"`{name}` is {described(offered[name])} here, and `{function.name}` takes {described(hints[name])}"
        yield at_value(facts.document, "T517", (*keys, name), message)


def _misasked(facts: Facts, http: str, keys: Keys) -> Iterator[Finding]:
    request = request_of(http)
    method = http.split(maxsplit=1)[0] if http.strip() else ""
    if request is None:
        is_address = not method.isalpha()
        what = f"`{http.strip()}` has no method" if is_address else f"`{method}` is no method"
        near = None if is_address else did_you_mean(method.upper(), METHODS)
        hint = near or "write a method and an address: `GET https://api.example.org/orders`"
        yield at_value(facts.document, "T520", keys, f"{what}, so this is no request", hint)
    elif not request[1].lower().startswith(("http://", "https://", "${{")):
        message = f"`{request[1]}` is no address of http"
        hint = "begin it with `https://`, `http://`, or a variable that does: `${{ env.URL }}`"
        place = (http.index(request[1]), len(request[1]))
        yield at_word(facts.document, "T520", keys, *place, message, hint)


RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    effect_not_declared,
    no_request,
    cache_on_write,
    read_cached_for_ever,
    no_description,
    sandbox_that_holds_nothing,
    parameters_misfit,
    pure_with_grants,
)
