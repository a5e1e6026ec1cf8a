"""N, tests: that they speak of this graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agentctl.check.facts import Facts
from agentctl.check.flow import END, Field, Graph, mapping, names_in, placed_names
from agentctl.check.place import at_key, at_value, did_you_mean
from agentctl.check.runs.limits import turn_limits
from agentctl.check.slips import excused
from agentctl.check.testing.fitting import Unfit, unfit, unfit_expectation
from agentctl.check.testing.trial import KINDS, SECTIONS, Named, Reach, Testing, Trial
from agentctl.check.testing.walk import Walk, misstep
from agentctl.check.tools.types import parameters_of
from agentctl.json import Json
from agentctl.spec.finding import Finding, Keys
from agentctl.spec.nearest import nearest
from agentctl.spec.testing_shape import is_fault
from agentctl.spec.wording import listed


def problems_of_tests(facts: Facts) -> Iterator[Finding]:
    """Everything that is wrong with the tests of a file."""
    testing = Testing(facts)
    for rule in _PROBLEMS:
        yield from rule(testing)


def what_no_test_takes(facts: Facts) -> Iterator[Finding]:
    """N906: nodes, arms of routers and of errors that no test takes."""
    from agentctl.check.testing.untaken import untaken  # asked for with -v only

    for word in untaken(Testing(facts)):
        at = at_key if word.at_key else at_value
        yield at(facts.document, "N906", word.keys, word.message, word.hint)


def unknown_input(testing: Testing) -> Iterator[Finding]:
    """N901: a test gives something that its graph does not take, or that does not fit."""
    for trial in testing.trials:
        for name, value in trial.part("input").items():
            keys = (*trial.keys, "input", name)
            field = trial.graph.fields.get(name)
            if name not in trial.graph.inputs:
                message = f"{trial.graph.title} takes no input `{name}`"
                hint = did_you_mean(name, trial.graph.inputs) or _all_of("it takes", trial.graph.inputs)
                yield at_key(testing.document, "N901", keys, message, hint)
            elif field is not None:
                wrong = unfit(value, field.schema, keys)
                yield from _told(testing, "N901", f"input `{name}`", wrong)


def missing_input(testing: Testing) -> Iterator[Finding]:
    """N901: a test leaves out what its graph needs; a later turn keeps what was given before."""
    for trial in testing.trials:
        given = testing.given(trial)
        if given is None:
            continue
        needed = [
            name
            for name in trial.graph.inputs
            if name not in given and _must_be_given(trial.graph.fields.get(name))
        ]
        misspelt = excused(sorted(given.difference(trial.graph.inputs)), trial.graph.inputs, needed)
        for name in needed:
            if name not in misspelt:
                keys = (*trial.keys, "input") if "input" in trial.data else trial.keys
                message = f"{trial.graph.title} needs the input `{name}`, which has no default"
                yield at_key(testing.document, "N901", keys, message, f"add `{name}:` under `input:`")


def stub_for_nothing(testing: Testing) -> Iterator[Finding]:
    """N902: a stub or a fault for something that the test cannot come to, for two things, or twice for one."""
    for trial in testing.trials:
        for part in ("stub", "faults"):
            seen: dict[Named, str] = {}
            for word in trial.part(part):
                keys = (*trial.keys, part, word)
                problem = _problem_of_name(testing, trial, word)
                meanings = testing.reach(trial.graph).meanings(word)
                if problem is not None:
                    yield at_key(testing.document, "N902", keys, *problem)
                elif meanings and (other := seen.setdefault(meanings[0], word)) != word:
                    message = f"`{word}` and `{other}` are one {meanings[0].kind}"
                    yield at_key(testing.document, "N902", keys, message, "keep one of them")


def stub_that_cannot_be(testing: Testing) -> Iterator[Finding]:
    """N907: a stub that the thing could never answer."""
    for trial in testing.trials:
        for word, value in trial.part("stub").items():
            named = next(iter(testing.reach(trial.graph).meanings(word)), None)
            if _problem_of_name(testing, trial, word) is not None:
                continue
            if named is None or is_fault(value) or testing.is_overlaid(f"{named.kind}s", named.name):
                continue
            keys = (*trial.keys, "stub", word)
            answers = testing.answers(named, trial)
            reasons = [[*unfit(value, answer, keys)] for answer in answers]
            if reasons and all(reasons):
                who = f"{named.kind} `{named.name}`"
                yield from _told(testing, "N907", f"{who} could never answer this", iter(reasons[0]))


def unknown_names(testing: Testing) -> Iterator[Finding]:
    """N903: a route, `never` or `calls` names what is not there."""
    for trial in testing.trials:
        expect = trial.part("expect")
        for name, keys in placed_names(expect.get("route"), (*trial.keys, "expect", "route")):
            if name not in trial.graph.nodes:
                message, hint = _no_such_node(trial, name)
                yield at_value(testing.document, "N903", keys, message, hint)
        for name, keys in placed_names(expect.get("never"), (*trial.keys, "expect", "never")):
            if not testing.everything.meanings(name):
                message, hint = _no_such_thing(testing, trial, name, testing.everything)
                yield at_value(testing.document, "N903", keys, message, hint)
        for name in mapping(expect.get("calls")):
            if not testing.everything.meanings(name):
                keys = (*trial.keys, "expect", "calls", name)
                message, hint = _no_such_thing(testing, trial, name, testing.everything)
                yield at_key(testing.document, "N903", keys, message, hint)


def unknown_turn_before(testing: Testing) -> Iterator[Finding]:
    """N903: a test that comes after one that is not there, after itself, or after a turn of another graph."""
    tests = testing.file.section("tests")
    for trial in testing.trials:
        if (name := trial.after) is None:
            continue
        before = testing.by_name.get(name)
        keys = (*trial.keys, "after")
        if name not in tests:
            message, hint = f"there is no test `{name}`", did_you_mean(name, tests)
            yield at_value(testing.document, "N903", keys, message, hint)
        elif before is not None and before.graph is not trial.graph:
            message = (
                f"the turn before is one of {before.graph.title}, and this is one of {trial.graph.title}"
            )
            hint = "turns of one thread are turns of one graph"
            yield at_value(testing.document, "N903", keys, message, hint)
    yield from _circles_of_turns(testing)


def unknown_variant(testing: Testing) -> Iterator[Finding]:
    """N904: an experiment or a variant that is not there."""
    experiments = testing.file.section("experiments")
    for trial in testing.trials:
        for name, variant in trial.part("variant").items():
            keys = (*trial.keys, "variant", name)
            variants = mapping(mapping(experiments.get(name)).get("variants"))
            if name not in experiments:
                message, hint = f"there is no experiment `{name}`", did_you_mean(name, experiments)
                yield at_key(
                    testing.document, "N904", keys, message, hint or _all_of("there is", tuple(experiments))
                )
            elif variants and variant not in variants:
                message = f"experiment `{name}` has no variant `{variant}`"
                hint = did_you_mean(str(variant), variants) or _all_of("it has", tuple(variants))
                yield at_value(testing.document, "N904", keys, message, hint)


def route_that_cannot_be(testing: Testing) -> Iterator[Finding]:
    """N905: a route that the graph cannot take, at the first node that cannot come there."""
    if any(map(testing.is_overlaid, ("nodes", "routers", "limits"))):
        return
    for trial in testing.trials:
        route = trial.route
        if route is None or not all(name in trial.graph.nodes for name in route):
            continue
        if trial.graph.has_lost_targets or _is_too_short(testing, trial.graph):
            continue
        wrong = misstep(Walk(testing, trial, trial.graph), route)
        if wrong is not None:
            keys = (*trial.keys, "expect", "route")
            keys = keys if wrong.place is None else (*keys, wrong.place)
            yield at_value(testing.document, "N905", keys, wrong.message, wrong.hint)


def expectation_that_cannot_be(testing: Testing) -> Iterator[Finding]:
    """N908: an expected key that is not there, or a value that it cannot have."""
    for trial in testing.trials:
        expect = trial.part("expect")
        for name, value in mapping(expect.get("output")).items():
            keys = (*trial.keys, "expect", "output", name)
            if name not in trial.graph.outputs:
                message, hint = f"{trial.graph.title} does not answer `{name}`", _hint_for_output(trial, name)
                yield at_key(testing.document, "N908", keys, message, hint)
            else:
                yield from _cannot_hold(testing, trial, name, value, keys)
        for name, value in mapping(expect.get("state")).items():
            keys = (*trial.keys, "expect", "state", name)
            if name not in trial.graph.fields:
                message, hint = f"{trial.graph.title} has no state field `{name}`", None
                hint = did_you_mean(name, trial.graph.fields) or _all_of("it has", tuple(trial.graph.fields))
                yield at_key(testing.document, "N908", keys, message, hint)
            else:
                yield from _cannot_hold(testing, trial, name, value, keys)
        yield from _calls_that_cannot_be(testing, trial)


def _is_too_short(testing: Testing, graph: Graph) -> bool:
    """Whether no turn of the file's own graph can come to `end`, of which L701 speaks."""
    shortest = testing.facts.steps.shortest.get("")
    most = turn_limits(testing.file.data).recursion
    return not graph.name and shortest is not None and shortest.weight > most


def _told(testing: Testing, code: str, whose: str, wrong: Iterator[Unfit]) -> Iterator[Finding]:
    for one in wrong:
        at = at_key if one.at_key else at_value
        yield at(testing.document, code, one.keys, f"{whose}: {one.message}", one.hint)


def _must_be_given(field: Field | None) -> bool:
    return field is not None and not field.starts_filled and field.reducer == "last"


def _problem_of_name(testing: Testing, trial: Trial, word: str) -> tuple[str, str | None] | None:
    """What is wrong with the name of a stub, as a message and a hint."""
    meanings = testing.reach(trial.graph).meanings(word)
    if len(meanings) > 1 and not _is_one_thing(testing, trial, meanings):
        kinds = listed([_a(named.kind) for named in meanings])
        says = listed([f"`{named.kind}s.{named.name}`" for named in meanings], "or")
        return f"`{word}` is {kinds}", f"say {says}"
    if meanings or word.rpartition(".")[2] in testing.words_of_variants:
        return None
    if testing.everything.meanings(word):
        return f"{trial.graph.title} never comes to `{word}`", "remove it, or test the graph that runs it"
    return _no_such_thing(testing, trial, word, testing.reach(trial.graph))


def _is_one_thing(testing: Testing, trial: Trial, meanings: tuple[Named, ...]) -> bool:
    """Whether a node and a tool or an agent of one name are the same: the node runs just that."""
    first, *others = meanings
    if first.kind == "tool":
        tool = mapping(testing.file.section("tools").get(first.name))
        return tool.get("agent") == first.name
    nodes = testing.reach(trial.graph).nodes[first.name]
    return all(node.name_of(other.kind) == other.name for other in others for _, node in nodes)


def _no_such_thing(testing: Testing, trial: Trial, word: str, reach: Reach) -> tuple[str, str | None]:
    section, dot, name = word.partition(".")
    if dot and section in SECTIONS:
        known = reach.of(SECTIONS[section])
        best = nearest(name, known)
        message = f"there is no {SECTIONS[section]} `{name}`"
        if best is not None:
            return message, f"did you mean `{section}.{best}`?"
        others = reach.meanings(name)[:1]
        return message, next(
            (f"there is {_a(other.kind)}: say `{other.kind}s.{name}`" for other in others), None
        )
    if dot:
        return f"`{word}` names nothing", "say `nodes.…`, `tools.…` or `agents.…`, or the name alone"
    if word in trial.graph.routers:
        return f"`{word}` is a router, which does no work", "name the node that it leads to"
    known = dict.fromkeys(name for kind in KINDS for name in reach.of(kind))
    return f"there is no node, tool or agent `{word}`", did_you_mean(word, known)


def _no_such_node(trial: Trial, name: str) -> tuple[str, str | None]:
    if name in trial.graph.routers:
        return f"`{name}` is a router, and a route is made of nodes", "leave it out: a router is no step"
    if name == END:
        return "`end` is no node, and a route is made of nodes", "leave it out: a route ends by itself"
    return f"{trial.graph.title} has no node `{name}`", did_you_mean(name, trial.graph.nodes)


def _circles_of_turns(testing: Testing) -> Iterator[Finding]:
    """Each circle once, at the first test of it in the file."""
    done: set[str] = set()
    for trial in testing.trials:
        way: dict[str, None] = {}
        name: str | None = trial.name
        while name is not None and name not in way and name not in done:
            way[name] = None
            before = testing.by_name.get(name)
            name = None if before is None else before.after
        if name is not None and name in way:
            first = min(list(way)[list(way).index(name) :], key=list(testing.by_name).index)
            message = f"no turn of `{first}` can be the first: it comes after itself"
            yield at_value(testing.document, "N903", ("tests", first, "after"), message)
        done.update(way)


def _cannot_hold(testing: Testing, trial: Trial, name: str, value: Json, keys: Keys) -> Iterator[Finding]:
    field = trial.graph.fields.get(name)
    if field is not None and not testing.is_overlaid("state"):
        wrong = unfit_expectation(value, field.schema, keys)
        yield from _told(testing, "N908", f"`{name}` can never be this", wrong)


def _hint_for_output(trial: Trial, name: str) -> str | None:
    if name in trial.graph.fields:
        return f"`{name}` is a field: expect it under `state:`, or add it to the graph's `output:`"
    return did_you_mean(name, trial.graph.outputs) or _all_of("it answers", trial.graph.outputs)


def _calls_that_cannot_be(testing: Testing, trial: Trial) -> Iterator[Finding]:
    for word, calls in mapping(trial.part("expect").get("calls")).items():
        named = next(iter(testing.everything.meanings(word)), None)
        tool = None if named is None else _tool_of(testing, trial, named)
        schema = None if tool is None else parameters_of(testing.file, tool)
        if tool is None or schema is None or not isinstance(calls, list):
            continue
        for index, arguments in enumerate(calls):
            keys = (*trial.keys, "expect", "calls", word, index)
            wrong = unfit_expectation(arguments, schema, keys)
            yield from _told(testing, "N908", f"tool `{tool}` is never called like this", wrong)


def _tool_of(testing: Testing, trial: Trial, named: Named) -> str | None:
    """The tool whose calls are meant: itself, or that of a node."""
    if named.kind == "tool":
        return named.name
    nodes = testing.everything.nodes.get(named.name, ()) if named.kind == "node" else ()
    tools = {node.name_of("tool") for _, node in nodes}
    return next(iter(tools)) if len(tools) == 1 else None


def _a(kind: str) -> str:
    return f"an {kind}" if kind == "agent" else f"a {kind}"


def _all_of(begin: str, names: tuple[str, ...]) -> str | None:
    few = names_in(list(names))[:12]
    return f"{begin} {listed([f'`{name}`' for name in few])}" if few else None


_PROBLEMS: tuple[Callable[[Testing], Iterator[Finding]], ...] = (
    unknown_input,
    missing_input,
    stub_for_nothing,
    stub_that_cannot_be,
    unknown_names,
    unknown_turn_before,
    unknown_variant,
    route_that_cannot_be,
    expectation_that_cannot_be,
)
RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (problems_of_tests,)
INFORMATION: tuple[Callable[[Facts], Iterator[Finding]], ...] = (what_no_test_takes,)
