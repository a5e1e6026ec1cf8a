"""E, expressions and names of data: that each can be read, and that what it names is there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from agentctl.check.flow import FileModel, Graph, mapping, text
from agentctl.check.groups import OWN_MODELS
from agentctl.check.place import at_key, at_value, at_word, did_you_mean, mend_word
from agentctl.check.sites import Site, Sites
from agentctl.check.slips import excused
from agentctl.check.traffic import UNREADABLE, named_fields
from agentctl.json import Json
from agentctl.spec.finding import Finding

_OWN_KEY = "OPENAI_API_KEY"
"""What is read where a file does not say."""
_VARIABLE = re.compile(r"""env(?:\.|\[["'])(\w+)""")


def problems_of_expressions(file: FileModel, sites: Sites) -> Iterator[Finding]:
    """E401-E414, E434: whatever the analysis of an expression finds, at its word."""
    for site in sites.all:
        for problem in site.analysis.problems:
            finding = at_word(
                file.document,
                problem.code,
                site.keys,
                problem.offset,
                problem.length,
                problem.message,
                problem.hint,
            )
            mend = mend_word(file.document, site.keys, *problem.mend) if problem.mend else None
            yield replace(finding, fix=mend) if mend else finding


def unknown_saved_field(file: FileModel) -> Iterator[Finding]:
    """E410: something is saved to a field that the state does not have."""
    for graph in file.graphs:
        for work in graph.works:
            for save in work.saves:
                if save.field not in graph.fields:
                    at = at_key if save.field_is_key else at_value
                    message, hint = _no_field(graph, save.field)
                    yield at(file.document, "E410", save.field_keys, message, hint)


def unknown_named_field(file: FileModel) -> Iterator[Finding]:
    """E410: `input`, `output`, `history` or `into` names a field that the state does not have."""
    for graph in file.graphs:
        for name, keys in named_fields(file, graph):
            if name not in graph.fields:
                message, hint = _no_field(graph, name)
                yield at_value(file.document, "E410", keys, message, hint)


def env_never_used(file: FileModel, sites: Sites) -> Iterator[Finding]:
    """E415: a variable that nothing reads."""
    declared = file.section("env")
    if any(problem.code in UNREADABLE for site in sites.all for problem in site.analysis.problems):
        return  # what cannot be read may well read it
    used = {
        str(ref.path[0])
        for site in sites.all
        for ref in site.analysis.references
        if ref.root == "env" and ref.path
    }
    used |= {match[1] for site in sites.all for match in _read_where_it_may_not(site)}
    used |= {_default_key_of(model) for _, model in file.entries("models")}
    if any("/" in written for written in _written_models(file)):
        used.add(_OWN_KEY)
    strange = [name for name in used if name and name not in declared and name != _OWN_KEY]
    misspelt = excused(strange, declared, declared.keys() - used)
    for name, body in declared.items():
        required = mapping(body).get("required") is True
        if name not in used and name not in misspelt and not required:
            message = f"`env.{name}` is never used"
            yield at_key(file.document, "E415", ("env", name), message, "use it, or remove it")


def _read_where_it_may_not(site: Site) -> Iterator[re.Match[str]]:
    """The variables that are read where X02 says they may not be."""
    for problem in site.analysis.problems:
        if problem.code == "X02" and (match := _VARIABLE.match(site.text, problem.offset)):
            yield match


def _no_field(graph: Graph, name: str) -> tuple[str, str | None]:
    hint = did_you_mean(name, graph.fields) or f"declare it: `{name}: string` under `state:`"
    return f"`state` has no field `{name}`", hint


def _default_key_of(model: Mapping[str, Json]) -> str:
    """The variable a model reads when `api_key` is left out."""
    is_openai = str(model.get("model", "")).startswith("openai/")
    is_openai |= "/" not in str(model.get("model", "local/")) and model.get("model") not in OWN_MODELS  # M605
    return _OWN_KEY if is_openai and "api_key" not in model else ""


def _written_models(file: FileModel) -> Iterator[str]:
    for _, agent in file.agents_in_place:
        if (name := text(agent.get("model"))) is not None:
            yield name
