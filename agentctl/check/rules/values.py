"""R306: values that a field never has, as keys of routers and in comparisons."""

from __future__ import annotations

from collections.abc import Iterator

from agentctl.check.flow import FileModel
from agentctl.check.place import at_key, at_word, did_you_mean
from agentctl.check.routing import Router, impossible_keys, routers_of, type_of, values_of
from agentctl.check.shapes import closed_values, described, misfit, type_names, value_text
from agentctl.check.sites import Site, Sites
from agentctl.expressions.words import list_of
from agentctl.json import Json
from agentctl.spec.finding import Finding
from agentctl.spec.nearest import sure_word

_SHOWN_VALUES, _MANY_VALUES = 20, 500


def value_it_cannot_have(file: FileModel, sites: Sites) -> Iterator[Finding]:
    """R306: an arm, or a comparison anywhere, for a value that the field never has."""
    for router in routers_of(file):
        if router.table is not None:
            yield from _keys_it_never_meets(file, router, sites)
    for site in sites.all:
        yield from impossible_comparisons(file, site)


def impossible_comparisons(file: FileModel, site: Site) -> Iterator[Finding]:
    """Comparisons of a closed field with a value of its type that it never has."""
    for comparison in site.analysis.comparisons:
        left, right = (comparison.left, comparison.left_span), (comparison.right, comparison.right_span)
        for (field, field_span), (literal, (offset, length)) in ((left, right), (right, left)):
            stray = _stray_value(field, literal) if comparison.operator in ("==", "!=") else None
            if stray is not None:
                what = site.text[field_span[0] : sum(field_span)]
                hint = _hint_for_value(stray, closed_values(field) or ())
                message = f"`{what}` is never `{stray}`"
                yield at_word(file.document, "R306", site.keys, offset, length, message, hint)


def _keys_it_never_meets(file: FileModel, router: Router, sites: Sites) -> Iterator[Finding]:
    values = values_of(router, sites)
    for key, meant in impossible_keys(router, sites).items():
        message = f"`{router.data.get('by')}` is never `{key}`"
        keys = (*router.keys, "to", key)
        if values is None:
            hint = f"it is {described(type_of(router, sites))}"
        elif meant is not None:
            hint = f"write `{meant}`" if meant in ("true", "false") else f"did you mean `{meant}`?"
        else:
            hint = _hint_for_value(key, values)
        yield at_key(file.document, "R306", keys, message, hint, _mend(router, key, meant))


def _mend(router: Router, key: str, meant: str | None) -> str | None:
    """The value that was surely meant, when it can stand as a key without quotes; with an `else` it may be that."""
    if meant is None or router.else_keys is not None or not meant.replace("-", "_").isidentifier():
        return None
    return meant if meant in ("true", "false") else sure_word(key, (meant,))


def _stray_value(field: Json, literal: Json) -> str | None:
    """The one value of `literal`, as text, when `field` has values of its type and never that one."""
    possible, value = closed_values(field), closed_values(literal)
    if possible is None or len(possible) < 2 or value is None or len(value) != 1:
        return None
    is_alike = (type_names(literal) or frozenset()) <= (type_names(field) or frozenset())
    return value_text(value[0]) if is_alike and misfit(literal, field) is not None else None


def _hint_for_value(word: str, values: tuple[Json, ...]) -> str:
    listed = list_of([value_text(value) for value in values[:_SHOWN_VALUES]], _SHOWN_VALUES)
    more = f" and {len(values) - _SHOWN_VALUES:,} more" if len(values) > _SHOWN_VALUES else ""
    near = did_you_mean(word, map(value_text, values)) if len(values) <= _MANY_VALUES else None
    return near or f"it is one of {listed}{more}"
