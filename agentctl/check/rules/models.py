"""M, models and their groups: that votes can agree, that groups end, and that each model is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from agentctl.check.facts import Facts
from agentctl.check.flow import mapping, members_of, names_in, text
from agentctl.check.groups import DEFAULT, OWN_MODELS
from agentctl.check.place import at_key, at_value, at_word, did_you_mean
from agentctl.check.reach import circles, turned
from agentctl.check.shapes import alternatives, closed_values, described, type_names, value_text
from agentctl.check.sites import answer_schema
from agentctl.check.slips import excused
from agentctl.json import Json
from agentctl.spec.finding import Finding, Keys
from agentctl.spec.nearest import nearest
from agentctl.spec.types import is_whole_object

_MAY_CLOSE = frozenset(("pattern", "$ref", "allOf", "not", "if", "prefixItems"))
"""Keys of a schema that may leave few values, which is not worked out here."""


def open_vote(facts: Facts) -> Iterator[Finding]:
    """M602: a vote by an agent whose answers can differ without end, so that no two are ever equal."""
    votes = _votes(facts)
    for keys, agent in facts.file.agents_in_place:
        vote = votes.get(text(agent.get("model")) or DEFAULT)
        if vote is None:
            continue
        output = agent.get("output")
        if not isinstance(output, dict):
            message = f"models vote for this agent (`{vote}`), and two of them never word a text alike"
            hint = "give it an `output:` with a closed list of values: `output: {holds: boolean}`"
            place = (at_value, (*keys, "model")) if "model" in agent else (at_key, keys)
            yield place[0](facts.document, "M602", place[1], message, hint)
            continue
        inside = ("properties",) if is_whole_object(output) else ()
        for field, schema in mapping(answer_schema(output).get("properties")).items():
            found = _open_part(schema)
            if found is not None:
                where, what = found
                message = f"models vote for this agent (`{vote}`), and `{field}{where}` may be any {what}: equal answers would be chance"
                hint = "list the values it may have: `{enum: [low, high]}`"
                yield at_key(facts.document, "M602", (*keys, "output", *inside, field), message, hint)


def more_votes_than_voters(facts: Facts) -> Iterator[Finding]:
    """M603: more equal answers needed than there are voters."""
    for name, model in facts.file.entries("models"):
        voters, agree = names_in(model.get("vote")), model.get("agree")
        if "vote" in model and isinstance(agree, int) and agree > len(voters):
            message = f"`agree: {agree}` can never be reached: {_counted(len(voters))}"
            hint = f"write {len(voters)} or fewer, or add voters" if voters else "add voters"
            yield at_value(facts.document, "M603", ("models", name, "agree"), message, hint)


def groups_in_circle(facts: Facts) -> Iterator[Finding]:
    """M604: a group of models that is its own member, straight or through others."""
    members = _members(facts)
    edges = {name: tuple(names) for name, names in members.items()}
    for circle in circles(edges):
        way = " → ".join((*circle, circle[0]))
        message = f"group `{circle[0]}` is its own member: {way}"
        keys = members[circle[0]][circle[1 % len(circle)]]
        yield at_value(facts.document, "M604", keys, message, "take it out: a group ends in models")


def chosen_is_not_among(facts: Facts) -> Iterator[Finding]:
    """M601: `choose` may name a model that is not `among` those it chooses from."""
    for name, model in facts.file.entries("models"):
        keys, among = ("models", name, "choose"), names_in(model.get("among"))
        site = facts.sites.by_keys.get(keys)
        if site is None or site.analysis.problems or not among:
            continue
        values, kinds = closed_values(site.analysis.type), type_names(site.analysis.type)
        if values is None and kinds is not None and "string" not in kinds:
            message = f"`choose` names one of `among`, and this is {described(site.analysis.type)}"
            hint = f"let it give a name: `'{among[0]}' if … else '{among[-1]}'`"
            yield at_value(facts.document, "M601", keys, message, hint)
        for value in values or ():
            if value not in among:
                word = value_text(value)
                message = f"`choose` may give `{word}`, which is not listed in `among`"
                hint = did_you_mean(word, among) or f"it lists {', '.join(f'`{one}`' for one in among)}"
                yield _at_literal(facts, keys, site.text, word, message, hint)


def model_never_used(facts: Facts) -> Iterator[Finding]:
    """M610: a model that nothing uses."""
    models = facts.file.section("models")
    named = _named(facts)
    # nobody writes `default`: it stands for no name, and there need be none
    lost = [name for name in named - OWN_MODELS - {DEFAULT} if name not in models and "/" not in name]
    misspelt = excused(lost, models, models.keys() - named)
    used = named | misspelt | OWN_MODELS  # a file that gives one of those is G202's business
    for name in models:
        is_shared = facts.document.key(("models", name))[0] != facts.document.path
        if name not in used and not is_shared:
            message = f"model `{name}` is never used"
            hint = "name it in an agent or a group, or remove it"
            if nearest(name, (DEFAULT,)) and DEFAULT not in models:
                hint = f"did you mean `{DEFAULT}`? That is the model of agents that name none"
            yield at_key(facts.document, "M610", ("models", name), message, hint)


def _named(facts: Facts) -> set[str]:
    """The models that agents, groups and stores name."""
    agents = facts.file.agents_in_place
    used: set[str] = {text(agent.get("model")) or DEFAULT for _, agent in agents}
    used.update(name for members in _members(facts, known=False).values() for name in members)
    used.update(name for _, store in facts.file.entries("stores") if (name := text(store.get("embed"))))
    return used


def _members(facts: Facts, *, known: bool = True) -> Mapping[str, Mapping[str, Keys]]:
    """The members of each group and where they are named; those alone that are there, or all."""
    models = facts.file.section("models")
    return {
        name: {
            member: keys
            for member, keys in members_of(model, ("models", name))
            if member in models or not known
        }
        for name, model in facts.file.entries("models")
    }


def _votes(facts: Facts) -> Mapping[str, str]:
    """The models by name that are put to a vote, themselves or through a group, each with the voting group."""
    groups = turned({name: tuple(members) for name, members in _members(facts).items()})
    found = {name: name for name, model in facts.file.entries("models") if "vote" in model}
    waiting = list(found)
    while waiting:
        member = waiting.pop()
        for group in groups.get(member, ()):
            if group not in found:
                found[group] = found[member]
                waiting.append(group)
    return found


def _open_part(schema: Json) -> tuple[str, str] | None:
    """Where a type has no closed list of values, and what may stand there; None when it is closed, or unknown."""
    for one in alternatives(schema):
        found = _open_one(one)
        if found is not None:
            return found
    return None


def _open_one(one: Mapping[str, Json]) -> tuple[str, str] | None:
    """As `_open_part`, of one alternative. What may close a type in other ways passes."""
    if closed_values(one) is not None or not _MAY_CLOSE.isdisjoint(one):
        return None
    parts: Mapping[str, Json]
    match one.get("type"):
        case "object" if isinstance(one.get("properties"), dict):
            parts = {f".{key}": part for key, part in one["properties"].items()}
        case "array" if isinstance(one.get("items"), dict):
            parts = {"[]": one["items"]}
        case "integer" if _is_bounded(one):
            return None
        case str(name):
            return "", f"`{name}`"
        case _:
            return None
    found = ((where, _open_part(part)) for where, part in parts.items())
    return next(((f"{where}{what[0]}", what[1]) for where, what in found if what is not None), None)


def _is_bounded(one: Mapping[str, Json]) -> bool:
    has_least = "minimum" in one or "exclusiveMinimum" in one
    return has_least and ("maximum" in one or "exclusiveMaximum" in one)


def _counted(voters: int) -> str:
    return f"only {voters} models vote" if voters > 1 else "only 1 model votes" if voters else "nobody votes"


def _at_literal(facts: Facts, keys: Keys, expression: str, word: str, message: str, hint: str) -> Finding:
    """A finding at the word where an expression writes it out, else at the whole expression."""
    places = [expression.find(f"{quote}{word}{quote}") for quote in ("'", '"')]
    place = max(places)
    if place < 0:
        return at_value(facts.document, "M601", keys, message, hint)
    return at_word(facts.document, "M601", keys, place + 1, len(word), message, hint)


RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    open_vote,
    more_votes_than_voters,
    groups_in_circle,
    chosen_is_not_among,
    model_never_used,
)
