"""From a tool of the file to its plan: what it takes, what its work is, and what may be done around it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec import UNSET

from agentctl import units
from agentctl.expressions import Reference, analyse_template, compile_text, compile_value, is_template
from agentctl.graph.address import compile_address
from agentctl.graph.parts import attempts, breaker, template
from agentctl.graph.plan import (
    CommandWork,
    HttpWork,
    McpServerPlan,
    McpWork,
    PythonWork,
    SandboxPlan,
    Served,
    ToolPlan,
    Work,
)
from agentctl.graph.served import agreed
from agentctl.graph.stores import compile_store_work, natural_key
from agentctl.json import Json
from agentctl.spec.document import Document
from agentctl.spec.finding import Keys
from agentctl.spec.fits import first_problem, problems
from agentctl.spec.functions import read_function
from agentctl.spec.model import ToolSpec
from agentctl.spec.requests import WITH_BODY, request_of
from agentctl.spec.resources import McpServer, Sandbox, SandboxFiles
from agentctl.spec.store_tools import EFFECTS as STORE_EFFECTS
from agentctl.spec.types import fields_schema, to_schema

MAX_RESULT = 256 * 1024
_ANYTHING: Json = {"type": "object"}
_SCOPE: Mapping[str, Json] = {"args": {}, "run": {}, "env": {}}


def compile_tool(
    document: Document,
    name: str,
    spec: ToolSpec,
    recorded: Json = None,
    served: Served | None = None,
) -> ToolPlan:
    """The plan of one tool; `recorded` has its parameters and description for a replay, which reads no code.

    `served` is what MCP servers said; a tool of another one may take anything.
    Raises UsageError for a request or a program that could never be, UnreadableSource, and CannotRun where the file
    and a server do not agree.
    """
    return _ToolCompiler(document, name, spec, served or {}).plan(recorded)


@dataclass(frozen=True, slots=True)
class _ToolCompiler:
    document: Document
    name: str
    spec: ToolSpec
    served: Served

    def plan(self, recorded: Json) -> ToolPlan:
        spec = self.spec
        work, parameters, description = (None, *recorded[:2]) if recorded is not None else self._work()
        effect = spec.effect or STORE_EFFECTS.get(spec.operation or "", "write")
        key = template(spec.idempotency_key)
        if key is None and effect == "write" and spec.store is not UNSET:
            key = natural_key
        reads = _Reads.of(() if recorded is not None else self._templates())
        return ToolPlan(
            name=self.name,
            work=work,
            description=description,
            parameters=parameters,
            check_arguments=problems(parameters),
            check_result=first_problem(to_schema(spec.returns) if spec.returns else {}),
            effect=effect,
            cache=_cache(spec.cache, effect),
            timeout=self._timeout(),
            attempts=attempts(spec.retry, 3 if effect != "write" or key else 1),
            idempotency_key=key,
            max_result=MAX_RESULT if spec.max_result is UNSET else units.size(spec.max_result),
            max_calls=spec.max_calls or None,
            definition=self.document.data["tools"][self.name],
            env=self._env(reads),
            needs=reads.needed("env"),
            run=reads.some("run"),
            breaker=breaker(spec.breaker),
            sandbox=self._sandbox(spec.sandbox) if spec.sandbox else None,
        )

    def _env(self, reads: _Reads) -> tuple[str, ...]:
        """A program is given what the file declares; only the templates of a request can use a variable.

        Least power: in a sandbox it is given no secret that its templates do not name.
        """
        declared, named = self.document.data.get("env", {}), reads.some("env")
        if reads.whole("env"):
            return tuple(declared)
        if self.spec.command is UNSET:
            return named
        if not self.spec.sandbox:
            return tuple(declared)
        return tuple(
            name for name, variable in declared.items() if name in named or not variable.get("secret")
        )

    def _work(self) -> tuple[Work, Json, str]:
        """The work, the parameters and the description."""
        spec = self.spec
        said = spec.description or ""
        if spec.python is not UNSET:
            function = read_function(self._folder("python"), spec.python)
            # an empty mapping means no arguments, which is not the same as leaving it out
            parameters = function.parameters if spec.parameters is UNSET else fields_schema(spec.parameters)
            work = PythonWork(function, bool(spec.in_process), spec.setup or None)
            return work, parameters, said or function.description
        if spec.store is not UNSET:
            return compile_store_work(self.document, self.name, spec)
        reads = _Reads.of(self._templates())
        parameters = reads.parameters if spec.parameters is UNSET else fields_schema(spec.parameters)
        if spec.mcp is not UNSET:
            return self._served(None if spec.parameters is UNSET else parameters, said)
        return self._http(reads) if spec.http is not UNSET else self._command(), parameters, said

    def _http(self, reads: _Reads) -> HttpWork:
        spec = self.spec
        request = request_of(str(spec.http))
        assert request is not None, "a checked file has requests"
        method, address = request
        no_query = compile_value({}) if method in WITH_BODY else None
        no_body = None if method in WITH_BODY else compile_value(None)
        return HttpWork(
            method=method,
            address=compile_address(address),
            headers=tuple((name, compile_text(str(text))) for name, text in (spec.headers or {}).items()),
            query=no_query if spec.query is UNSET else compile_value(spec.query),
            body=no_body if spec.body is UNSET else compile_value(spec.body),
            args=None if reads.whole("args") else frozenset(reads.some("args")),
            ok_status=frozenset(spec.ok_status or ()),
            answers_text=_is_text(to_schema(spec.returns)) if spec.returns else None,
        )

    def _command(self) -> CommandWork:
        spec = self.spec
        words = [str(word) for word in spec.command or ()]
        return CommandWork(
            words=tuple(compile_text(word) for word in words),
            folder=self._folder("command"),
            files=tuple(word for word in words if not is_template(word)),
            ok_codes=frozenset(spec.ok_codes or (0,)),
            answers_text=_is_text(to_schema(spec.returns)) if spec.returns else True,
        )

    def _served(self, parameters: Json, description: str) -> tuple[Work, Json, str]:
        """The work, the parameters and the description; where they are the server's, once it was asked."""
        work = self._mcp()
        server = self.served.get(work.server.key)
        if server is None:
            return work, parameters or _ANYTHING, description
        has_key = self.spec.idempotency_key is not UNSET
        effect = self.spec.effect or "write"
        return agreed(self.name, work, server, parameters, description, effect, has_key=has_key)

    def _server(self) -> McpServer:
        """The MCP server of the file that the tool is of."""
        name, _, _ = str(self.spec.mcp).partition("/")
        spec = (self.document.spec.mcp or {})[name] if self.document.spec else None
        assert spec is not None, "a checked file has its servers"
        return spec

    def _mcp(self) -> McpWork:
        """The server's tool; what it takes is known once the server is asked (LiveWorld.served)."""
        server, _, tool = str(self.spec.mcp).partition("/")
        spec = self._server()
        plan = McpServerPlan(
            name=server,
            command=tuple(spec.command or ()),
            folder=self._path(("mcp", server)).parent.absolute(),
            url=template(spec.url),
            headers=tuple((name, compile_text(str(text))) for name, text in (spec.headers or {}).items()),
            env=tuple((name, compile_text(str(text))) for name, text in (spec.env or {}).items()),
            file=self.document.path,
        )
        return McpWork(plan, tool or self.name, is_told=self.spec.parameters is not UNSET)

    def _timeout(self) -> float:
        """Seconds for one call: of the tool's own and its server's, the smaller."""
        said = [self.spec.timeout, self._server().timeout if self.spec.mcp is not UNSET else UNSET]
        return min((units.seconds(each) for each in said if each is not UNSET), default=30.0)

    def _sandbox(self, spec: Sandbox) -> SandboxPlan:
        files = spec.files if isinstance(spec.files, SandboxFiles) else SandboxFiles()
        folder = self._path(("tools", self.name, "sandbox")).parent.absolute()
        plan = SandboxPlan(
            network=bool(spec.network),
            read=tuple(folder / path for path in files.read or ()),
            write=tuple(folder / path for path in files.write or ()),
        )
        if spec.time is not UNSET:
            plan = replace(plan, time=units.seconds(spec.time))
        return plan if spec.memory is UNSET else replace(plan, memory=units.size(spec.memory))

    def _templates(self) -> Iterator[str]:
        spec = self.spec
        for part in (spec.http, spec.command, spec.headers, spec.query, spec.body):
            yield from _texts(part)
        if spec.mcp is not UNSET:
            server = self._server()
            for part in (server.url, server.headers, server.env):
                yield from _texts(part)

    def _folder(self, key: str) -> Path:
        """Where the paths at a key begin: beside the file that it stands in."""
        return self._path(("tools", self.name, key)).parent.absolute()

    def _path(self, keys: Keys) -> Path:
        """The file that the value at some keys stands in."""
        return self.document.value(keys)[0]


@dataclass(frozen=True, slots=True)
class _Reads:
    """What the templates of a tool read of the names they may use."""

    references: tuple[Reference, ...]

    @classmethod
    def of(cls, texts: Iterable[str]) -> _Reads:
        found = (analyse_template(text, _SCOPE).references for text in texts if is_template(text))
        return cls(tuple(reference for references in found for reference in references))

    def reads(self, root: str) -> bool:
        return any(reference.root == root for reference in self.references)

    def whole(self, root: str) -> bool:
        """Whether all that there is under a name may be read."""
        return any(reference.root == root and not reference.path for reference in self.references)

    def some(self, root: str) -> tuple[str, ...]:
        """What is read under a name, in the order written."""
        return tuple(dict.fromkeys(self._named(root, guarded=True)))

    def needed(self, root: str) -> tuple[str, ...]:
        """What must be there."""
        return tuple(dict.fromkeys(self._named(root, guarded=False)))

    @property
    def parameters(self) -> Json:
        """What a tool takes that does not say: what its templates read, and whatever else it is given."""
        properties: dict[str, Json] = {name: {} for name in self.some("args")}
        return {"type": "object", "properties": properties, "required": [*self.needed("args")]}

    def _named(self, root: str, *, guarded: bool) -> Iterator[str]:
        for reference in self.references:
            if reference.root == root and reference.path and (guarded or not reference.guarded):
                yield str(reference.path[0])


def _texts(part: Json) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    elif isinstance(part, Mapping):
        for inner in part.values():
            yield from _texts(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _texts(inner)


def _is_text(schema: Json) -> bool:
    """Whether a type allows texts only."""
    allowed = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if allowed is not None:
        return all(isinstance(value, str) for value in allowed)
    return bool(schema.get("type") == "string")


def _cache(cache: Json, effect: str) -> float | None:
    if effect == "write" or cache is False:
        return None
    if cache is UNSET:
        return float("inf") if effect == "pure" else None
    return float("inf") if cache is True else units.seconds(cache)
