"""T, timeouts: that there is one, that it can be kept, and that a step has the time for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from agentctl.check.facts import Facts
from agentctl.check.flow import GROUPS, mapping, text
from agentctl.check.place import at_key, at_value
from agentctl.check.runs.limits import (
    ATTEMPTS,
    MODEL_TIMEOUT,
    TOOL_TIMEOUT,
    as_duration,
    attempts_of,
    seconds,
    turn_limits,
)
from agentctl.json import Json
from agentctl.spec.finding import Finding, Keys

_BOUNDED_BY_US = ("python", "http", "command", "mcp")


def no_timeout(facts: Facts) -> Iterator[Finding]:
    """T511: a tool that does not say how long a call may take."""
    for name, tool in facts.tooling.tools.items():
        is_ours = facts.tooling.kind(name) in _BOUNDED_BY_US and tool.get("in_process") is not True
        if is_ours and _timeout(facts, name) is None and _knows_server(facts, tool):
            message = f"tool `{name}` has no `timeout`; a call of it may take {as_duration(TOOL_TIMEOUT)}"
            hint = f"say how long it may take: `timeout: {as_duration(TOOL_TIMEOUT)}`, or less"
            yield at_key(facts.document, "T511", ("tools", name), message, hint)


def timeout_in_process(facts: Facts) -> Iterator[Finding]:
    """T518: a timeout of a tool that cannot be stopped."""
    for name, tool in facts.tooling.tools.items():
        if tool.get("in_process") is True and "timeout" in tool:
            message = f"tool `{name}` runs inside agentctl, where no `timeout` can stop it"
            hint = "remove `in_process`, and it can be stopped; or remove `timeout`"
            yield at_key(facts.document, "T518", ("tools", name, "timeout"), message, hint)


def timeout_over_step_time(facts: Facts) -> Iterator[Finding]:
    """T513: a call may take longer than the step it is part of."""
    most = turn_limits(facts.file.data).step_time
    for keys, what, longest in (*_timeouts_of_tools(facts), *_timeouts_of_models(facts)):
        if longest > most:
            message = f"{what}, and `step_time` ends the step after {as_duration(most)}"
            hint = "make it shorter, or raise `step_time` under `limits:`"
            at = at_value if keys[-1] == "timeout" else at_key
            yield at(facts.document, "T513", keys, message, hint)


def retries_over_step_time(facts: Facts) -> Iterator[Finding]:
    """T514: so many tries of a call may take longer than the step they are part of."""
    most = turn_limits(facts.file.data).step_time
    for keys, title, attempts, each in (*_tries_of_tools(facts), *_tries_of_models(facts)):
        if each <= most < attempts * each:
            message = (
                f"{title}: {attempts} tries of {as_duration(each)} take {as_duration(attempts * each)}, "
                f"and `step_time` ends the step after {as_duration(most)}"
            )
            hint = "make them fewer or shorter, or raise `step_time` under `limits:`"
            yield at_value(facts.document, "T514", keys, message, hint)


def _timeouts_of_tools(facts: Facts) -> Iterator[tuple[Keys, str, float]]:
    """What is written: what is not is T511's business. An MCP server's holds for its tools without one."""
    relying = set()
    for name, tool in facts.tooling.tools.items():
        own = seconds(tool.get("timeout"))
        if own is not None and tool.get("in_process") is not True:
            yield ("tools", name, "timeout"), f"a call of tool `{name}` may take {as_duration(own)}", own
        elif own is None:
            relying.add(_server_of(tool))
    for name, server in facts.file.entries("mcp"):
        own = seconds(server.get("timeout"))
        if own is not None and name in relying:
            yield ("mcp", name, "timeout"), f"a call of MCP server `{name}` may take {as_duration(own)}", own


def _timeouts_of_models(facts: Facts) -> Iterator[tuple[Keys, str, float]]:
    """Of each model; of a group, when none of its members is too slow by itself."""
    longest, most, groups = _longest(facts), turn_limits(facts.file.data).step_time, facts.groups
    for name, model in facts.file.entries("models"):
        keys: Keys = ("models", name)
        members = [member for member, _ in groups.members(name)]
        all_in_all = as_duration(longest[name])
        if not members:
            is_said = "timeout" in model
            what = f"a call of model `{name}` may take {all_in_all}" + ("" if is_said else ", the default")
            yield ((*keys, "timeout") if is_said else keys), what, longest[name]
        elif all(groups.is_known(member) and longest[member] <= most for member in members):
            kind = next(kind for kind in GROUPS if kind in model)
            how = ", one after the other," if kind == "fallback" else ""
            yield (*keys, kind), f"the models of `{name}`{how} may take {all_in_all}", longest[name]


def _tries_of_tools(facts: Facts) -> Iterator[tuple[Keys, str, int, float]]:
    for name, tool in facts.tooling.tools.items():
        each = _timeout(facts, name)
        is_said = "timeout" in tool or "retry" in tool
        # of a tool without a timeout speaks T511, of one in process T518, and of a write's retry T509
        if is_said and each is not None and tool.get("in_process") is not True and _is_safe(facts, name):
            keys = _tries_keys(tool, ("tools", name))
            yield keys, f"tool `{name}`", attempts_of(tool, ATTEMPTS), each


def _tries_of_models(facts: Facts) -> Iterator[tuple[Keys, str, int, float]]:
    for name, model in facts.file.entries("models"):
        if "timeout" in model or "attempts" in mapping(model.get("retry")):
            each = seconds(model.get("timeout")) or MODEL_TIMEOUT
            keys = _tries_keys(model, ("models", name))
            yield keys, f"model `{name}`", attempts_of(model, ATTEMPTS), each


def _longest(facts: Facts) -> Mapping[str, float]:
    """How long a call of each model and group may take, in seconds: members one after the other, or side by side.

    A model that is not declared has the default.
    """
    found: dict[str, float] = {}
    for name in facts.groups.inside_out:
        model = facts.groups.models.get(name, {})
        each = [found.get(member, 0.0) for member, _ in facts.groups.members(name)]
        if each:
            found[name] = sum(each) if "fallback" in model else max(each)
        else:
            is_scripted = facts.groups.reference(name).partition("/")[0] == "scripted"
            found[name] = seconds(model.get("timeout")) or (0.0 if is_scripted else MODEL_TIMEOUT)
    return found


def _timeout(facts: Facts, tool: str) -> float | None:
    """What is said of a tool's time, by itself or by its MCP server."""
    spec = facts.tooling.tools[tool]
    own = seconds(spec.get("timeout"))
    server = mapping(facts.file.section("mcp").get(_server_of(spec) or ""))
    return own if own is not None else seconds(server.get("timeout"))


def _knows_server(facts: Facts, tool: Mapping[str, Json]) -> bool:
    """Whether what a tool relies on is there; T506 says where it is not."""
    server = _server_of(tool)
    return server is None or server in facts.file.section("mcp")


def _server_of(tool: Mapping[str, Json]) -> str | None:
    server = text(tool.get("mcp"))
    return None if server is None else server.partition("/")[0]


def _is_safe(facts: Facts, tool: str) -> bool:
    """Whether a tool's calls are tried again unasked."""
    return facts.tooling.effect(tool) != "write" or "idempotency_key" in facts.tooling.tools[tool]


def _tries_keys(spec: Mapping[str, Json], keys: Keys) -> Keys:
    """Where the number of tries stands, or else how long each may take."""
    if "attempts" in mapping(spec.get("retry")):
        return (*keys, "retry", "attempts")
    return (*keys, "timeout") if "timeout" in spec else (*keys, "retry")


RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    no_timeout,
    timeout_in_process,
    timeout_over_step_time,
    retries_over_step_time,
)
