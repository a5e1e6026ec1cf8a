"""A Python tool's function, read from its source: where it is, what it takes, what it says of itself."""

from __future__ import annotations

import ast
import keyword
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from agentctl.json import Json, decode, encode
from agentctl.spec.hints import HintProblem, schema_of
from agentctl.spec.nearest import nearest
from agentctl.spec.python_source import Module, Modules, OutsideFolder, UnreadableSource, module_file
from agentctl.spec.wording import listed

_OURS = ("idempotency_key", "context")
"""Arguments that agentctl gives to a function that names them; never a model's."""


@dataclass(frozen=True)
class PythonFunction:
    """A function as its source describes it. Paths are absolute."""

    folder: Path
    """Where the graph file stands: what the module may import from."""
    module: str
    file: Path
    name: str
    line: int
    is_async: bool = False
    description: str = ""
    """The docstring's first line."""
    arguments: tuple[str, ...] = ()
    """By name, without those that agentctl gives."""
    required: tuple[str, ...] = ()
    accepts_any: bool = True
    """It has `**kwargs`, or its arguments cannot be read."""
    accepts_key: bool = False
    accepts_context: bool = False
    problem: str | None = None
    """Why there is no reading its parameters."""
    read_parameters: Json | None = None
    returns: Json = None
    """JSON Schema of its result from the hint; None when that says none."""

    @property
    def parameters(self) -> Json:
        """Closed JSON Schema from hints and defaults. Raises UnreadableSource with `problem`."""
        if self.problem is not None:
            raise UnreadableSource(self.problem)
        return self.read_parameters

    @property
    def reference(self) -> str:
        return f"{self.module}:{self.name}"


def read_function(folder: Path, reference: str, modules: Modules | None = None) -> PythonFunction:
    """The function `module:function` under `folder`. Raises UnreadableSource.

    Who reads many hands in the `modules` read so far.
    """
    folder = folder.absolute()
    dotted, name = _split(reference)
    file = module_file(folder, dotted)
    if file is None:
        raise UnreadableSource(
            f"no file {'/'.join(dotted.split('.'))}.py in {folder}", hint=_near(dotted, _modules(folder))
        )
    if not file.resolve().is_relative_to(folder.resolve()):
        shown = file.relative_to(folder).as_posix()
        raise OutsideFolder(
            f"{shown} in {folder} is a link that leaves the folder", hint="copy the module into the folder"
        )
    module = (modules or Modules()).read(file, folder)
    found = module.find(name)
    if found is None:
        raise UnreadableSource(f"no function `{name}` in {file}", hint=_near(name, _functions(module)))
    statement, home = found
    if isinstance(statement, ast.ClassDef | ast.Import):
        raise UnreadableSource(f"`{name}` in {file} is no function")
    plain = PythonFunction(folder, dotted, file, name, statement.lineno)
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return _described(plain, statement, home)
    problem = f"`{name}` is not written as a `def`, so its arguments cannot be read: write `parameters:`"
    return replace(plain, problem=problem)


class Misfit(NamedTuple):
    """A parameter that does not fit, and why, as a sentence."""

    parameter: str
    why: str
    is_strange: bool = False
    """The function does not take it."""


def misfits(function: PythonFunction, parameters: Json) -> list[Misfit]:
    """Why `parameters`, a JSON Schema, does not fit the function: what it does not take, then what it needs."""
    if function.accepts_any and not function.arguments:
        return []
    offered = parameters.get("properties", {})
    always = set(parameters.get("required", ()))
    taken = {*function.arguments, *_OURS}
    problems = [
        Misfit(name, f"`{name}` is in `parameters`, but `{function.name}` does not take it", True)
        for name in offered
        if name not in taken and not function.accepts_any
    ]
    for name in function.required:
        if name not in offered:
            why = f"`{function.name}` needs `{name}`, which is not in `parameters`"
            problems.append(Misfit(name, why))
        elif name not in always and "default" not in offered[name]:
            why = f"`{function.name}` needs `{name}`, which `parameters` lets a caller leave out"
            problems.append(Misfit(name, why))
    return problems


def _split(reference: str) -> tuple[str, str]:
    dotted, colon, name = reference.partition(":")
    words = [*dotted.split("."), name]
    if not colon or not all(word.isidentifier() and not keyword.iskeyword(word) for word in words):
        raise UnreadableSource(f"`{reference}` names no function", hint=_meant(reference))
    if words[-2] == "py" and len(words) > 2:
        raise UnreadableSource(f"`{dotted}` is a file, not a module", hint=_meant(reference))
    return dotted, name


def _meant(reference: str) -> str:
    """The hint for `tools.py:search` and `tools.search`."""
    dotted, _, name = reference.partition(":")
    dotted = dotted.removeprefix("./").removesuffix(".py").replace("/", ".")
    if not name:
        dotted, _, name = dotted.rpartition(".")
    words = [*dotted.split("."), name]
    like = f"{dotted}:{name}" if all(word.isidentifier() for word in words) else None
    return f"write `{like}`" if like else "write `module:function`, for example `tools:search`"


def _near(name: str, known: Iterable[str]) -> str | None:
    known = sorted(known)
    close = nearest(name, known)
    if close:
        return f"did you mean `{close}`?"
    return f"there is {listed([f'`{word}`' for word in known[:8]])}" if known else None


def _modules(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    packages = [path.parent.name for path in folder.glob("*/__init__.py")]
    return packages + [path.stem for path in folder.glob("*.py")]


def _functions(module: Module) -> list[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ImportFrom)
    return [name for name, statement in module.names.items() if isinstance(statement, kinds)]


def _described(
    plain: PythonFunction, node: ast.FunctionDef | ast.AsyncFunctionDef, home: Module
) -> PythonFunction:
    arguments = [each for each in (*node.args.args, *node.args.kwonlyargs) if each.arg not in _OURS]
    ours = {each.arg for each in (*node.args.args, *node.args.kwonlyargs)} & set(_OURS)
    defaults = _defaults(node.args)
    described = replace(
        plain,
        is_async=isinstance(node, ast.AsyncFunctionDef),
        description=(ast.get_docstring(node) or "").partition("\n")[0].strip(),
        arguments=tuple(each.arg for each in arguments),
        required=tuple(each.arg for each in arguments if each.arg not in defaults),
        accepts_any=node.args.kwarg is not None,
        accepts_key="idempotency_key" in ours,
        accepts_context="context" in ours,
        returns=_returned(node.returns, home),
    )
    if node.args.posonlyargs:
        name = node.args.posonlyargs[0].arg
        return replace(described, problem=f"`{name}` of `{node.name}` can be given by position only")
    try:
        return replace(described, read_parameters=_parameters(arguments, defaults, home))
    except HintProblem as problem:
        return replace(described, problem=f"{problem}: change the hint, or write `parameters:`")


def _defaults(arguments: ast.arguments) -> dict[str, ast.expr]:
    by_position = zip(reversed(arguments.args), reversed(arguments.defaults), strict=False)
    by_name = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return {each.arg: value for each, value in (*by_position, *by_name) if value is not None}


def _parameters(arguments: list[ast.arg], defaults: dict[str, ast.expr], home: Module) -> Json:
    properties = {}
    for each in arguments:
        try:
            properties[each.arg] = schema_of(each.annotation, home)
        except HintProblem as problem:
            raise HintProblem(f"`{each.arg}` in {home.file.name} line {each.lineno}: {problem}") from problem
        if each.arg in defaults:
            properties[each.arg] |= _default(defaults[each.arg], properties[each.arg])
    required = [each.arg for each in arguments if each.arg not in defaults]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _returned(hint: ast.expr | None, home: Module) -> Json:
    try:
        return None if hint is None else schema_of(hint, home)
    except (HintProblem, UnreadableSource):
        return None  # a result is not refused for its hint: what cannot be read says nothing


def _default(value: ast.expr, schema: Json) -> dict[str, Json]:
    """The default as JSON; nothing when it is no literal, or a None that stands for "not given"."""
    try:
        literal = ast.literal_eval(value)
        known = decode(encode(literal))
    except (ValueError, TypeError, RecursionError):
        return {}
    if literal is None and schema and "null" not in str(schema):
        return {}
    return {"default": known}
