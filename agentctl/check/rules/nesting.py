"""G, graphs inside graphs: that they exist, fit, end, and hold nothing that must not stand there."""

from __future__ import annotations

from collections.abc import Iterator

from agentctl.check.flow import FileModel, Graph, Save, Work, mapping, result_saves, text
from agentctl.check.place import at_key, at_value, did_you_mean
from agentctl.check.reach import circles
from agentctl.check.slips import excused
from agentctl.check.tools.calls import Call, Thing, Waiting, calls_of, graphs_with_background
from agentctl.spec.finding import Finding, Keys
from agentctl.spec.nearest import nearest


def unknown_graph(file: FileModel) -> Iterator[Finding]:
    """G220: a graph that `graphs:` does not have."""
    for name, keys in _graph_names(file):
        if name in file.nested:
            continue
        if keys[0] == "tools" and name.endswith((".yaml", ".yml")):
            folder = file.document.value(keys)[0].parent
            if (folder / name).is_file() or not file.document.path.is_file():
                continue
            message, hint = f"there is no file `{name}` beside this one", None
        else:
            message, hint = f"there is no graph `{name}` under `graphs:`", did_you_mean(name, file.nested)
        yield at_value(file.document, "G220", keys, message, hint)


def unknown_input(file: FileModel) -> Iterator[Finding]:
    """G221: a nested graph is given something it does not take."""
    for work, graph in _nested_runs(file):
        for name in mapping(work.data.get("input")):
            if name not in graph.inputs:
                message = f"graph `{graph.name}` takes no input `{name}`"
                hint = did_you_mean(name, graph.inputs) or f"it takes {_listed(graph.inputs)}"
                yield at_key(file.document, "G221", (*work.keys, "input", name), message, hint)


def missing_input(file: FileModel) -> Iterator[Finding]:
    """G222: a nested graph is not given what it needs."""
    for work, graph in _nested_runs(file):
        given = mapping(work.data.get("input"))
        needed = [
            name
            for name in graph.inputs
            if name not in given and name in graph.fields and not graph.fields[name].starts_filled
        ]
        strange = [name for name in given if name not in graph.inputs]
        misspelt = excused(strange, graph.inputs, needed)
        for name in needed:
            if name in misspelt:
                continue
            message = f"graph `{graph.name}` needs the input `{name}`, which has no default"
            yield at_value(
                file.document, "G222", (*work.keys, "graph"), message, f"add `{name}:` under `input:`"
            )


def unknown_output(file: FileModel) -> Iterator[Finding]:
    """G223: a key is picked that the nested graph does not answer."""
    fields = {id(work): graph.fields for graph in file.graphs for work in graph.works}
    for owner, work, graph in _nested_results(file):
        for save in _picks(owner, work):
            if save.field and save.field_keys == save.key_keys and save.field not in fields[id(owner)]:
                continue  # `save: [answr]`, of which E410 speaks
            if save.key is not None and save.key not in graph.outputs:
                message = f"graph `{graph.name}` does not answer `{save.key}`"
                hint = did_you_mean(save.key, graph.outputs) or f"its output is {_listed(graph.outputs)}"
                yield at_value(file.document, "G223", save.key_keys, message, hint)
            elif save.key is None and not graph.outputs:
                message = f"graph `{graph.name}` has no `output`, so there is nothing to save"
                yield at_value(file.document, "G223", save.field_keys, message, "give it an `output:`")


def graph_never_used(file: FileModel) -> Iterator[Finding]:
    """G224: a nested graph that nothing runs."""
    named = {name for name, _ in _graph_names(file)}
    misspelt = {nearest(name, file.nested) for name in named if name not in file.nested}
    for graph in file.nested.values():
        if graph.name not in named and graph.name not in misspelt:
            message = f"graph `{graph.name}` is never used"
            yield at_key(file.document, "G224", graph.keys, message, "run it with `graph:`, or remove it")


def graphs_in_circle(file: FileModel) -> Iterator[Finding]:
    """G225: a graph that runs itself, straight or through other graphs, agents and tools."""
    edges: dict[Thing, dict[Thing, Keys]] = {}
    for call in calls_of(file):
        edges.setdefault(call.caller, {}).setdefault(call.callee, call.keys)
    names = {_title(thing): thing for thing in edges}
    plain = {_title(thing): tuple(map(_title, callees)) for thing, callees in edges.items()}
    for circle in circles(plain):
        first, second = names[circle[0]], names[circle[1 % len(circle)]]
        way = " → ".join((*circle, circle[0]))
        message = f"{circle[0]} runs itself: {way}"
        yield at_value(
            file.document,
            "G225",
            edges[first][second],
            message,
            "such a run could never end; break the circle",
        )


def waits_where_it_cannot(file: FileModel) -> Iterator[Finding]:
    """G226: something waits for a person where a turn cannot be suspended."""
    waiting = Waiting(file)
    for graph in file.graphs:
        for work in graph.works:
            place = "background" if work.data.get("background") else work.within[-1] if work.within else None
            why = waiting.of_work(work) if place else None
            if place and why and work.verb:
                at = at_key if work.verb == "ask" else at_value
                message = f"inside `{place}` nothing may wait, and this {why}"
                yield at(
                    file.document,
                    "G226",
                    (*work.keys, work.verb),
                    message,
                    "ask in a node of its own, before or after",
                )
    for call in _tools_that_run(file):
        kind, name = call.callee
        agent = file.agent_named(name) if kind == "agent" else None
        why = waiting.of_graph(name) if kind == "graph" else waiting.of_agent(agent) if agent else None
        if why:
            message = f"a {kind} used as a tool may not wait, and `{name}` {why}"
            yield at_value(file.document, "G226", call.keys, message, "ask in a node of the calling graph")


def background_in_map(file: FileModel) -> Iterator[Finding]:
    """G227: a map starts background work for each item."""
    starts = graphs_with_background(file)
    for graph in file.graphs:
        for work in graph.works:
            if "map" not in work.within:
                continue
            hint = "let the map wait for it, or run the whole map in the background"
            why = starts.get(work.name_of("graph") or "")
            if work.data.get("background") is True:
                message = "inside `map` nothing may run in the background"
                yield at_key(file.document, "G227", (*work.keys, "background"), message, hint)
            elif why is not None:
                message = f"inside `map` nothing may run in the background, and this {why}"
                yield at_value(file.document, "G227", (*work.keys, "graph"), message, hint)


def background_without_placeholder(file: FileModel) -> Iterator[Finding]:
    """T521: work in the background saves a field, and nothing says how that reads until then."""
    for graph in file.graphs:
        for work in graph.works:
            if work.data.get("background") is True and work.saves and "placeholder" not in work.data:
                fields = ", ".join(f"`{save.field}`" for save in work.saves)
                message = (
                    f"{fields} comes with a later turn, and there is no `placeholder` to read until then"
                )
                hint = "add it to the node, as in `placeholder: still reading`"
                yield at_key(file.document, "T521", (*work.keys, "save"), message, hint)


def history_side_by_side(file: FileModel) -> Iterator[Finding]:
    """G228: branches or items that would write one conversation at once."""
    for graph in file.graphs:
        for work in graph.works:
            if work.within and "history" in work.data:
                message = f"`history` may not stand inside `{work.within[-1]}`: the order of what is said would be chance"
                yield at_key(
                    file.document,
                    "G228",
                    (*work.keys, "history"),
                    message,
                    "let a node of its own keep the history",
                )


def _graph_names(file: FileModel) -> Iterator[tuple[str, Keys]]:
    """Every place that names a graph."""
    for graph in file.graphs:
        for work in graph.works:
            if work.verb == "graph" and (name := work.name_of("graph")) is not None:
                yield name, (*work.keys, "graph")
    for section in ("tools", "tests"):
        for entry, body in file.entries(section):
            if (name := text(body.get("graph"))) is not None:
                yield name, (section, entry, "graph")


def _nested_runs(file: FileModel) -> Iterator[tuple[Work, Graph]]:
    for graph in file.graphs:
        for work in graph.works:
            nested = file.nested.get(work.name_of("graph") or "")
            if work.verb == "graph" and nested is not None:
                yield work, nested


def _nested_results(file: FileModel) -> Iterator[tuple[Work, Work, Graph]]:
    """The work that saves, the work that runs the graph, and the graph."""
    for graph in file.graphs:
        for owner in graph.works:
            work = owner.parts[0] if owner.verb == "map" and owner.parts else owner
            nested = file.nested.get(work.name_of("graph") or "")
            if (
                work.verb == "graph"
                and nested is not None
                and not (work is owner and owner.within[-1:] == ("map",))
            ):
                yield owner, work, nested


def _picks(owner: Work, work: Work) -> Iterator[Save]:
    """What is picked from the graph's answer: by `save`, or by a map's `result`."""
    if owner is work:
        yield from result_saves(owner.data.get("save"), (*owner.keys, "save"))
    elif isinstance(key := mapping(owner.data.get("map")).get("result"), str):
        keys = (*owner.keys, "map", "result")
        yield Save("", key, keys, keys, False)


def _tools_that_run(file: FileModel) -> Iterator[Call]:
    return (call for call in calls_of(file) if call.caller[0] == "tool")


def _title(thing: Thing) -> str:
    return "the file's own graph" if thing == ("graph", "") else f"{thing[0]} `{thing[1]}`"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nothing"
