"""T, M, L, the references that make a run possible: agents, tools, models, functions, tiers, the last node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from agentctl.check.flow import END, FileModel, mapping, members_of, placed_names, summary_of, text
from agentctl.check.groups import OWN_MODELS
from agentctl.check.place import at_value, at_word, did_you_mean
from agentctl.spec.finding import Finding, Keys

if TYPE_CHECKING:
    from agentctl.spec.python_source import UnreadableSource

_SECTIONS = {"agent": "agents", "tool": "tools", "graph": "graphs"}
"""By the verb that names an entry of them."""
_OWN_PROVIDERS = frozenset(("openai",)) | OWN_MODELS


def unknown_agent(file: FileModel) -> Iterator[Finding]:
    """T501: an agent that `agents:` does not have."""
    for name, keys in _named(file, "agent"):
        if name not in file.section("agents"):
            hint = did_you_mean(name, file.section("agents")) or _other_verb(file, name, keys)
            yield at_value(file.document, "T501", keys, f"there is no agent `{name}` under `agents:`", hint)


def unknown_tool(file: FileModel) -> Iterator[Finding]:
    """T502: a tool that `tools:` does not have."""
    for name, keys in (*_named(file, "tool"), *_listed_tools(file)):
        if name not in file.section("tools"):
            hint = did_you_mean(name, file.section("tools")) or _other_verb(file, name, keys)
            yield at_value(file.document, "T502", keys, f"there is no tool `{name}` under `tools:`", hint)


def _other_verb(file: FileModel, name: str, keys: Keys) -> str | None:
    """The hint for the name of a tool where an agent is due, and the like."""
    for verb, section in _SECTIONS.items():
        if name in file.section(section):
            is_verb = keys[-1] in _SECTIONS and keys[0] != "tools"
            what = f"`{name}` is a graph" if verb == "graph" else f"`{name}` is an entry of `{section}:`"
            return f"{what}: write `{verb}: {name}`" if is_verb else what
    return None


def missing_function(file: FileModel) -> Iterator[Finding]:
    """T516, X03: a python function that is not where the file says, or whose code lies outside the project."""
    for reference, keys in _python_references(file):
        found = file.functions.find(reference, keys)
        if isinstance(found, Exception):
            message = _without_folder(file.functions.folder(keys), found.message)
            yield at_value(file.document, _code_of(found), keys, message, found.hint)


def unknown_server_or_store(file: FileModel) -> Iterator[Finding]:
    """T506: an MCP server that `mcp:` does not have, or a store that `stores:` does not have."""
    for section, title, name, keys in _servers_and_stores(file):
        known = file.section(section)
        if name not in known:
            message = f"there is no {title} `{name}` under `{section}:`"
            hint = did_you_mean(name, known)
            yield at_word(file.document, "T506", keys, 0, len(name), message, hint)


def unknown_tier(file: FileModel) -> Iterator[Finding]:
    """T530: a tier that extends one that is not there."""
    levels = mapping(file.section("tiers").get("levels"))
    for name, level in levels.items():
        base = text(mapping(level).get("extends"))
        if base is not None and base not in levels:
            message = f"tier `{name}` extends `{base}`, which is not under `levels:`"
            keys = ("tiers", "levels", name, "extends")
            yield at_value(file.document, "T530", keys, message, did_you_mean(base, levels))


def unknown_model(file: FileModel) -> Iterator[Finding]:
    """M601: a model that is neither under `models:` nor written as `provider/model`."""
    for name, keys in _model_names(file):
        if name not in file.section("models") and name not in OWN_MODELS and "/" not in name:
            message = f"there is no model `{name}` under `models:`"
            hint = (
                did_you_mean(name, file.section("models"))
                or "or write `provider/model`, as in `openai/gpt-5-mini`"
            )
            yield at_value(file.document, "M601", keys, message, hint)


def unknown_provider(file: FileModel) -> Iterator[Finding]:
    """M605: a provider that is not installed."""
    for name, keys in (*_provider_models(file), *_model_names(file)):
        provider, slash, _ = name.partition("/")
        declared = keys[0] == "models" and keys[-1] == "model"
        if provider in _OWN_PROVIDERS or not (slash or declared) or name in file.section("models"):
            continue
        known = _providers()
        if provider not in known:
            message = f"there is no provider `{provider}`"
            hint = did_you_mean(provider, known)
            if hint is None and not slash:
                hint = f"write `provider/model`, as in `openai/{name}`"
            hint = hint or (
                f"there are {', '.join(f'`{word}`' for word in sorted(known))}; `openai/…` with its `base_url` "
                "is any server that speaks that API, others are plug-ins to install"
            )
            yield at_word(file.document, "M605", keys, 0, len(provider), message, hint)


def unknown_node_at_limit(file: FileModel) -> Iterator[Finding]:
    """L704: the last node at a limit is not there."""
    for target in file.root.targets:
        if target.kind != "on_limit" or file.root.knows(target):
            continue
        hint = did_you_mean(target.name, file.root.nodes)
        message = f"`on_limit` names `{target.name}`, and there is no such node"
        if target.name in file.root.routers or target.name == END:
            message, hint = (
                f"`on_limit` names `{target.name}`, which is no node",
                "name the node that runs last",
            )
        yield at_value(file.document, "L704", target.keys, message, hint)


def _code_of(problem: UnreadableSource) -> str:
    from agentctl.spec.python_source import OutsideFolder  # needed by files with Python tools only

    return "X03" if isinstance(problem, OutsideFolder) else "T516"


def _without_folder(folder: Path, message: str) -> str:
    """A message that says the same on every machine."""
    here = str(folder.absolute())
    return message.replace(f"{here}/", "").replace(f" in {here}", " beside this file")


def _servers_and_stores(file: FileModel) -> Iterator[tuple[str, str, str, Keys]]:
    """Every place that names one: the section it belongs to, what it is called, its name, and where."""
    for tool, body in file.entries("tools"):
        if (server := text(body.get("mcp"))) is not None:
            yield "mcp", "MCP server", server.partition("/")[0], ("tools", tool, "mcp")
        if (store := text(body.get("store"))) is not None:
            yield "stores", "store", store, ("tools", tool, "store")
    for keys, agent in file.agents_in_place:
        if (archive := text(mapping(agent.get("context")).get("archive"))) is not None:
            yield "stores", "store", archive, (*keys, "context", "archive")


def _named(file: FileModel, verb: str) -> Iterator[tuple[str, Keys]]:
    """Every node, branch, map, tool and summary that names an agent or a tool."""
    for graph in file.graphs:
        for work in graph.works:
            if work.verb == verb and (name := work.name_of(verb)) is not None:
                yield name, (*work.keys, verb)
    if verb == "agent":
        for tool, body in file.entries("tools"):
            if (name := text(body.get("agent"))) is not None:
                yield name, ("tools", tool, "agent")
        for keys, agent in file.agents_in_place:
            if (name := text(summary_of(agent).get("agent"))) is not None:
                yield name, (*keys, "context", "summarise", "agent")


def _listed_tools(file: FileModel) -> Iterator[tuple[str, Keys]]:
    for keys, agent in file.agents_in_place:
        yield from placed_names(agent.get("tools"), (*keys, "tools"))
    for name, level in mapping(file.section("tiers").get("levels")).items():
        for part in ("tools", "approve", "deny"):
            yield from placed_names(mapping(level).get(part), ("tiers", "levels", name, part))


def _model_names(file: FileModel) -> Iterator[tuple[str, Keys]]:
    """Every place that names a model: agents and groups."""
    for keys, agent in file.agents_in_place:
        if (name := text(agent.get("model"))) is not None:
            yield name, (*keys, "model")
    for name, model in file.entries("models"):
        yield from members_of(model, ("models", name))


def _provider_models(file: FileModel) -> Iterator[tuple[str, Keys]]:
    for name, model in file.entries("models"):
        if (written := text(model.get("model"))) is not None:
            yield written, ("models", name, "model")


def _providers() -> frozenset[str]:
    """The providers installed here; their names are read, nothing of them is loaded."""
    from importlib.metadata import entry_points  # 20 ms, for a name that is none of ours

    return _OWN_PROVIDERS | {entry.name for entry in entry_points(group="agentctl.providers")}


def _python_references(file: FileModel) -> Iterator[tuple[str, Keys]]:
    for name, tool in file.entries("tools"):
        for key in ("python", "setup"):
            if (reference := text(tool.get(key))) is not None:
                yield reference, ("tools", name, key)
    for keys, agent in file.agents_in_place:
        if (reference := text(mapping(agent.get("context")).get("python"))) is not None:
            yield reference, (*keys, "context", "python")
    for key, hook in mapping(file.section("events").get("hooks")).items():
        if (reference := text(hook)) is not None:
            yield reference, ("events", "hooks", key)
