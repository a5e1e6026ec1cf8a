"""A Python tool read from its source, without running it."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from agentctl.errors import UsageError
from agentctl.json import Json
from agentctl.spec.functions import PythonFunction, misfits, read_function
from agentctl.spec.python_source import Modules


def write(folder: Path, **files: str) -> None:
    """`pkg__tools="…"` writes pkg/tools.py."""
    for name, text in files.items():
        file = folder / f"{name.replace('__', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text))


def function_of(folder: Path, source: str, name: str = "f") -> PythonFunction:
    write(folder, tools=source)
    return read_function(folder, f"tools:{name}")


def test_a_function_is_read_whole(tmp_path: Path) -> None:
    function = function_of(
        tmp_path,
        '''
        import no_such_module_at_all
        raise SystemExit("reading must not run this")

        async def f(query: str, top: int = 5, *, idempotency_key: str, context=None):
            """Search the pages.

            With more words.
            """
        ''',
    )
    assert function.is_async
    assert function.accepts_key
    assert function.accepts_context
    assert not function.accepts_any
    assert function.description == "Search the pages."
    assert function.arguments == ("query", "top")
    assert function.required == ("query",)
    assert function.line == 5
    assert function.parameters == {
        "type": "object",
        "properties": {"query": {"type": "string"}, "top": {"type": "integer", "default": 5}},
        "required": ["query"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        ("str", {"type": "string"}),
        ("float", {"type": "number"}),
        ("'int'", {"type": "integer"}),
        ("str | None", {"type": ["string", "null"]}),
        ("Optional[int]", {"type": ["integer", "null"]}),
        ("typing.Union[int, str, None]", {"type": ["integer", "string", "null"]}),
        ("list[str]", {"type": "array", "items": {"type": "string"}}),
        ("List[List[int]]", {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}),
        ("dict[str, bool]", {"type": "object", "additionalProperties": {"type": "boolean"}}),
        ("dict", {"type": "object"}),
        ("Any", {}),
        ("Literal['a', 'b']", {"enum": ["a", "b"]}),
        ("Lit['a']", {"enum": ["a"]}),
        ("list[str] | None", {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]}),
        ("Annotated[int, 'how many']", {"type": "integer", "description": "how many"}),
        ("Annotated[int, Field(ge=1, le=9)]", {"type": "integer", "minimum": 1, "maximum": 9}),
        (
            "tuple[float, float]",
            {"type": "array", "prefixItems": [{"type": "number"}] * 2, "items": False, "minItems": 2},
        ),
        ("tuple[int, ...]", {"type": "array", "items": {"type": "integer"}}),
        ("Words", {"type": "array", "items": {"type": "string"}}),
        ("Far", {"type": "array", "items": {"type": "integer"}}),
        (
            "Claim",
            {
                "type": "object",
                "properties": {"id": {"type": "integer"}, "text": {"type": "string"}},
                "required": ["id"],
                "additionalProperties": False,
            },
        ),
    ],
)
def test_type_hints_become_json_schema(tmp_path: Path, hint: str, schema: Json) -> None:
    write(tmp_path, types_of_ours="Far = list[int]")
    function = function_of(
        tmp_path,
        f"""
        import typing
        from typing import *
        from typing import Literal as Lit
        from types_of_ours import Far
        Words: TypeAlias = "list[str]"
        class Base(TypedDict):
            id: int
        class Claim(Base):
            text: NotRequired[str]
        def f(x: {hint}): ...
        """,
    )
    assert function.parameters["properties"]["x"] == schema


@pytest.mark.parametrize(
    "hint", ["Path", "set[str]", "datetime.datetime", "Thing", "list[bytes]", "Loop", "3"]
)
def test_a_hint_that_is_no_json_type_is_a_problem_only_when_parameters_are_asked_for(
    tmp_path: Path, hint: str
) -> None:
    source = f"""
        class Thing: ...
        Loop = list["Loop"]
        def f(x: {hint}): ...
        """
    function = function_of(tmp_path, source)
    assert function.arguments == ("x",)
    with pytest.raises(UsageError, match=r"`x` in tools.py line 4: .* or write `parameters:`"):
        _ = function.parameters


def test_defaults_that_are_no_json_only_make_the_argument_optional(tmp_path: Path) -> None:
    function = function_of(
        tmp_path, "def f(a: str = None, b: int = LIMIT, c: list = [1], d: str | None = None): ..."
    )
    assert function.required == ()
    assert function.parameters["properties"] == {
        "a": {"type": "string"},
        "b": {"type": "integer"},
        "c": {"type": "array", "default": [1]},
        "d": {"type": ["string", "null"], "default": None},
    }


def test_functions_are_found_in_packages_branches_and_re_exports(tmp_path: Path) -> None:
    write(
        tmp_path,
        tools="from pkg.deep import g as f\ntry:\n    import x\nexcept ImportError:\n    def h(a: int): ...",
        pkg____init__="",
        pkg__deep="from .deeper import g",
        pkg__deeper="def g(q: str): 'G.'",
    )
    assert read_function(tmp_path, "tools:f").description == "G."
    assert read_function(tmp_path, "tools:h").required == ("a",)
    assert read_function(tmp_path, "pkg.deeper:g").file == tmp_path / "pkg" / "deeper.py"


def test_what_is_not_written_as_a_def_can_be_called_but_not_read(tmp_path: Path) -> None:
    function = function_of(tmp_path, "from outside import f\ng = partial(f, 1)", "g")
    assert function.accepts_any
    with pytest.raises(UsageError, match="write `parameters:`"):
        _ = function.parameters
    assert misfits(function, {"properties": {"x": {}}, "required": ["x"]}) == []


@pytest.mark.parametrize(
    ("reference", "message", "hint"),
    [
        ("tools.search", "names no function", "write `tools:search`"),
        ("tools.py:search", "`tools.py` is a file, not a module", "write `tools:search`"),
        ("tools", "names no function", "write `module:function`, for example `tools:search`"),
        ("../tools:search", "names no function", None),
        ("tool:search", "no file tool.py in", "did you mean `tools`?"),
        ("tools:serach", "no function `serach` in", "did you mean `search`?"),
        ("tools:os", "`os` in .* is no function", None),
        ("tools:Thing", "is no function", None),
        ("broken:f", "broken.py is no Python: .* in line 1", None),
        ("null:f", "null.py is no Python", None),
    ],
)
def test_what_cannot_be_found_is_said_with_what_would_be_right(
    tmp_path: Path, reference: str, message: str, hint: str | None
) -> None:
    write(tmp_path, tools="import os\nclass Thing: ...\ndef search(): ...", broken="def (", null="x = '\0'")
    with pytest.raises(UsageError, match=message) as caught:
        read_function(tmp_path, reference)
    assert hint is None or caught.value.hint == hint


def test_source_too_deep_to_parse_is_an_error_not_a_crash(tmp_path: Path) -> None:
    write(tmp_path, deep="x = " + "(" * 5000 + ")" * 5000)
    with pytest.raises(UsageError, match="is no Python"):
        read_function(tmp_path, "deep:f")


def test_parameters_that_do_not_fit_the_function_are_named(tmp_path: Path) -> None:
    function = function_of(tmp_path, "def f(a, b, c=1): ...")
    schema = {"properties": {"a": {}, "b": {}, "z": {}}, "required": ["a"]}
    assert misfits(function, schema) == [
        ("z", "`z` is in `parameters`, but `f` does not take it", True),
        ("b", "`f` needs `b`, which `parameters` lets a caller leave out", False),
    ]
    assert misfits(function, {"properties": {"a": {}, "b": {"default": 1}}, "required": ["a"]}) == []
    assert misfits(function, {"properties": {"a": {}}, "required": ["a"]}) == [
        ("b", "`f` needs `b`, which is not in `parameters`", False)
    ]


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        ("", None),
        (" -> str", {"type": "string"}),
        (" -> 'list[Page]'", {"type": "array", "items": {"type": "integer"}}),
        (" -> Iterator[str]", None),
        (" -> Elsewhere", None),
    ],
)
def test_the_type_of_a_result_is_read_from_its_hint_where_that_says_one(
    tmp_path: Path, hint: str, schema: Json
) -> None:
    source = f"from broken import Elsewhere\nPage = int\ndef f(){hint}: ..."
    write(tmp_path, broken="def (")
    assert function_of(tmp_path, source).returns == schema


def test_the_functions_of_one_module_are_read_with_one_parse(tmp_path: Path) -> None:
    write(tmp_path, tools="from parts import g\ndef f(): ...", parts="def g(): ...\ndef h(): ...")
    modules = Modules()
    assert read_function(tmp_path, "tools:g", modules).name == "g"
    write(tmp_path, tools="", parts="")
    assert [read_function(tmp_path, f"parts:{name}", modules).name for name in "gh"] == ["g", "h"]
    assert read_function(tmp_path, "tools:f", modules).name == "f"


def test_only_so_much_source_is_kept_parsed(tmp_path: Path) -> None:
    filler = f"X = '{'x' * 300_000}'\n"
    write(tmp_path, one=f"{filler}def f(): ...", two=f"{filler}def f(): ...")
    modules = Modules()
    assert read_function(tmp_path, "one:f", modules).name == "f"
    assert read_function(tmp_path, "two:f", modules).name == "f"
    write(tmp_path, one="")
    with pytest.raises(UsageError, match="no function `f`"):
        read_function(tmp_path, "one:f", modules)


@pytest.mark.parametrize("link", ["tools.py", "tools"])
def test_a_module_is_not_taken_from_outside_by_a_link(tmp_path: Path, link: str) -> None:
    write(tmp_path, far__tools="def f(): ...\n", far__pkg__inner="def f(): ...\n", near__own="def f(): ...\n")
    (tmp_path / "near" / link).symlink_to(tmp_path / "far" / ("tools.py" if link == "tools.py" else "pkg"))
    (tmp_path / "near" / "alias.py").symlink_to("own.py")
    with pytest.raises(UsageError, match="is a link that leaves the folder"):
        read_function(tmp_path / "near", "tools:f" if link == "tools.py" else "tools.inner:f")
    assert read_function(tmp_path / "near", "alias:f").name == "f"


def test_source_too_long_to_parse_is_refused_by_its_size(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="larger than 1 MB"):
        function_of(tmp_path, "def f(): ...\n" + "a = 1\n" * 200_000)
