"""yaml-language-server as an editor drives it: started, spoken to over stdio in LSP, and ended."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from types import TracebackType

from agentctl.json import Json

PATIENCE = 30.0
"""Seconds for one answer."""
_SETTINGS = {"yaml": {"validate": True, "hover": True, "completion": True, "schemaStore": {"enable": False}}}


class LanguageServer:
    """One server and its open files. Positions are 0-based, as in LSP."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._said: Queue[Json] = Queue()
        self._number = 0
        self._opened = 0
        self._diagnostics: dict[str, list[Json]] = {}
        Thread(target=self._read, daemon=True).start()
        self._ask(
            "initialize", {"processId": None, "rootUri": folder.as_uri(), "capabilities": _CAPABILITIES}
        )
        self._tell("initialized", {})
        self._tell("workspace/didChangeConfiguration", {"settings": _SETTINGS})

    def __enter__(self) -> LanguageServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    @contextmanager
    def opened(self, file: Path, text: str | None = None) -> Iterator[str]:
        """A file as an editor has it open, with its text or another; what is given is its address.

        Each time under a new name beside it: the server keeps what it read under a name.
        """
        self._opened += 1
        uri = file.with_name(f"{file.stem}-{self._opened}{file.suffix}").as_uri()
        said = file.read_text(encoding="utf-8") if text is None else text
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": said}
        self._tell("textDocument/didOpen", {"textDocument": document})
        try:
            yield uri
        finally:
            self._tell("textDocument/didClose", {"textDocument": {"uri": uri}})

    def diagnostics(self, file: Path, text: str | None = None) -> list[Json]:
        """What the server complains of in a file."""
        with self.opened(file, text) as uri:
            while uri not in self._diagnostics:
                self._next()
            return self._diagnostics[uri]

    def completions(self, file: Path, text: str, line: int, column: int) -> dict[str, Json]:
        """What the server offers at a place, by label."""
        with self.opened(file, text) as uri:
            answer = self._ask("textDocument/completion", _place(uri, line, column))
        return {item["label"]: item for item in answer["items"]}

    def hover(self, file: Path, text: str, line: int, column: int) -> str:
        """What the server shows over a place."""
        with self.opened(file, text) as uri:
            answer = self._ask("textDocument/hover", _place(uri, line, column))
        return str(answer["contents"]["value"]) if answer else ""

    def _ask(self, method: str, params: Json) -> Json:
        self._number += 1
        number = self._number
        self._send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        while True:
            said = self._next()
            if said.get("id") == number and "method" not in said:
                assert "error" not in said, said
                return said["result"]

    def _tell(self, method: str, params: Json) -> None:
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def _send(self, message: Json) -> None:
        body = json.dumps(message).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._process.stdin.flush()

    def _next(self) -> Json:
        """The next message of the server; its questions are answered as an editor without settings does."""
        try:
            said = self._said.get(timeout=PATIENCE)
        except Empty:
            raise TimeoutError(f"the language server said nothing for {PATIENCE:.0f} seconds") from None
        if said is None:
            raise EOFError("the language server has gone")
        if said.get("method") == "textDocument/publishDiagnostics":
            self._diagnostics[said["params"]["uri"]] = said["params"]["diagnostics"]
        elif "method" in said and "id" in said:
            self._send({"jsonrpc": "2.0", "id": said["id"], "result": _reply(said)})
        return said

    def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while header := stream.readline():
            length = int(header.partition(b":")[2])
            while stream.readline() != b"\r\n":
                pass
            self._said.put(json.loads(stream.read(length)))
        self._said.put(None)


_CAPABILITIES = {
    "textDocument": {
        "completion": {"completionItem": {"snippetSupport": True, "documentationFormat": ["markdown"]}},
        "hover": {"contentFormat": ["markdown"]},
        "publishDiagnostics": {"relatedInformation": True},
    },
    "workspace": {"configuration": True, "didChangeConfiguration": {"dynamicRegistration": False}},
}


def _place(uri: str, line: int, column: int) -> Json:
    return {"textDocument": {"uri": uri}, "position": {"line": line, "character": column}}


def _reply(question: Json) -> Json:
    if question["method"] != "workspace/configuration":
        return None
    return [_SETTINGS.get(item.get("section", "")) for item in question["params"]["items"]]
