"""Type hints as JSON Schema, read by `ast`."""

from __future__ import annotations

import ast

from agentctl.json import Json
from agentctl.spec.python_source import Module

_SIMPLE: dict[str, Json] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "None": {"type": "null"},
    "Any": {},
    "object": {},
}
_ARRAYS = {"list", "List", "Sequence", "MutableSequence", "Iterable", "Collection", "tuple", "Tuple"}
_OBJECTS = {"dict", "Dict", "Mapping", "MutableMapping"}
_LIMITS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
    "description": "description",
    "title": "title",
}
_DEPTH = 20


class HintProblem(ValueError):
    """A type hint that says no JSON type."""


def schema_of(hint: ast.expr | None, module: Module, depth: int = 0) -> Json:
    """The JSON Schema of a type hint; `{}`, which is anything, for none. Raises HintProblem."""
    if depth > _DEPTH:
        raise HintProblem("a type that contains itself")
    match hint:
        case None:
            return {}
        case ast.Constant(value=None):
            return {"type": "null"}
        case ast.Constant(value=str(text)):
            return schema_of(_forward(text), module, depth + 1)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _union([left, right], module, depth)
        case ast.Name(id=name):
            return _named(name, hint, module, depth)
        case ast.Attribute(attr=name):
            return _plain(name, hint)
        case ast.Subscript(value=value, slice=inner):
            return _generic(_word(value, module), inner, hint, module, depth)
    raise _no_type(hint)


def _forward(text: str) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise HintProblem(f"`{text}` cannot be read") from error


def _no_type(hint: ast.AST) -> HintProblem:
    return HintProblem(f"`{ast.unparse(hint)}` is no JSON type")


def _plain(name: str, hint: ast.AST) -> Json:
    if name in _SIMPLE:
        return dict(_SIMPLE[name])
    if name in _ARRAYS:
        return {"type": "array"}
    if name in _OBJECTS:
        return {"type": "object"}
    raise _no_type(hint)


def _word(value: ast.expr, module: Module) -> str:
    """`Optional` for typing.Optional, and for Opt after `from typing import Optional as Opt`."""
    if isinstance(value, ast.Attribute):
        return value.attr
    if not isinstance(value, ast.Name):
        raise _no_type(value)
    return _original(module.names.get(value.id), value.id)


def _original(statement: ast.stmt | None, name: str) -> str:
    if isinstance(statement, ast.ImportFrom):
        return next((alias.name for alias in statement.names if alias.asname == name), name)
    return name


def _named(name: str, hint: ast.expr, module: Module, depth: int) -> Json:
    """A builtin, something imported from outside, or an alias or TypedDict of the project."""
    found = module.find(name)
    if found is None:
        return _plain(_original(module.names.get(name), name), hint)
    statement, home = found
    if isinstance(statement, ast.ImportFrom):
        return _plain(_original(statement, name), hint)
    if isinstance(statement, ast.ClassDef):
        return _typed_dict(statement, home, depth)
    value = getattr(statement, "value", None)
    if not isinstance(value, ast.expr):
        raise _no_type(hint)
    return schema_of(value, home, depth + 1)


def _generic(word: str, inner: ast.expr, hint: ast.expr, module: Module, depth: int) -> Json:
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if word == "Optional":
        return _union([inner, ast.Constant(value=None)], module, depth)
    if word == "Union":
        return _union(parts, module, depth)
    if word == "Literal":
        return _literal(parts)
    if word == "Annotated":
        return {**schema_of(parts[0], module, depth + 1), **_remarks(parts[1:])}
    if word in {"Required", "NotRequired", "ReadOnly", "Final"}:
        return schema_of(inner, module, depth + 1)
    if word in {"tuple", "Tuple"}:
        return _tuple(parts, module, depth)
    if word in _ARRAYS:
        return {"type": "array", "items": schema_of(inner, module, depth + 1)}
    if word in _OBJECTS and len(parts) == 2:
        return {"type": "object", "additionalProperties": schema_of(parts[1], module, depth + 1)}
    raise _no_type(hint)


def _literal(parts: list[ast.expr]) -> Json:
    values = [part.value for part in parts if isinstance(part, ast.Constant)]
    if len(values) != len(parts) or not all(isinstance(value, str | int | None) for value in values):
        raise HintProblem("a Literal of other things than texts, whole numbers, booleans and None")
    return {"enum": values}


def _tuple(parts: list[ast.expr], module: Module, depth: int) -> Json:
    if len(parts) == 2 and isinstance(parts[1], ast.Constant) and parts[1].value is ...:
        return {"type": "array", "items": schema_of(parts[0], module, depth + 1)}
    items = [schema_of(part, module, depth + 1) for part in parts]
    return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}


def _union(parts: list[ast.expr], module: Module, depth: int) -> Json:
    options: list[Json] = []
    for part in parts:
        option = schema_of(part, module, depth + 1)
        options += option["anyOf"] if list(option) == ["anyOf"] else [option]
    if all(list(option) == ["type"] for option in options):
        types = [option["type"] for option in options]
        flat = [name for each in types for name in (each if isinstance(each, list) else [each])]
        return {"type": list(dict.fromkeys(flat))}
    return {"anyOf": options}


def _remarks(parts: list[ast.expr]) -> dict[str, Json]:
    """What Annotated adds: a text is the description; Field(ge=1, …), as in pydantic, gives limits."""
    remarks: dict[str, Json] = {}
    for part in parts:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            remarks["description"] = part.value
        elif isinstance(part, ast.Call):
            for keyword in part.keywords:
                if keyword.arg in _LIMITS and isinstance(keyword.value, ast.Constant):
                    remarks[_LIMITS[keyword.arg]] = keyword.value.value
    return remarks


def _typed_dict(statement: ast.ClassDef, module: Module, depth: int) -> Json:
    properties: dict[str, Json] = {}
    required: list[str] = []
    for base in statement.bases:
        if _word(base, module) == "TypedDict":
            continue
        inherited = schema_of(base, module, depth + 1)
        properties |= inherited.get("properties", {})
        required += inherited.get("required", [])
    if not statement.bases or (
        not properties and all(_word(b, module) != "TypedDict" for b in statement.bases)
    ):
        raise HintProblem(f"the class `{statement.name}` is no JSON type")
    total = not any(word.arg == "total" and ast.unparse(word.value) == "False" for word in statement.keywords)
    for line in statement.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            properties[line.target.id] = schema_of(line.annotation, module, depth + 1)
            if _is_required(line.annotation, module, total):
                required.append(line.target.id)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _is_required(hint: ast.expr, module: Module, total: bool) -> bool:
    word = _word(hint.value, module) if isinstance(hint, ast.Subscript) else ""
    return {"Required": True, "NotRequired": False}.get(word, total)
