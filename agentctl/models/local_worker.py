"""The embedded model's process: JSON lines in, JSON lines out, gone as soon as its parent is.

Run by path, in a process of its own: loading holds the interpreter's lock for a second, and a crash of the
runtime must not be ours. It imports nothing of agentctl, so that it starts fast. Lines in: {"id", "body"} asks,
{"cancel": id} stops. Lines out: {"ready"}, {"failed"}, {"id", "delta"}, {"id", "done"}, {"id", "error"}.
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, BinaryIO

CONTEXT = 8192
"""Tokens the model holds: prompt and answer together."""

BATCH = 32
"""Tokens of a prompt read between two looks at whether to stop: a quarter of a second on two slow cores."""

CACHE_MB = 512
"""Memory for prompts seen before."""


def main(model: str, parent: int) -> None:
    """Load the model, say so, and answer requests in the order they come."""
    _die_with(parent)
    out = _private_stdout()
    inbox = Inbox(sys.stdin.buffer)
    try:
        server = _load(model)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        _send(out, {"failed": str(error) or type(error).__name__})
        os._exit(1)  # the thread that reads is in the way of an orderly end
    _send(out, {"ready": True, "context": CONTEXT})
    while True:
        line = inbox.next()
        _answer(server, line["id"], line["body"], inbox, out)


class Inbox:
    """Requests as they arrive, and which of them are no longer wanted."""

    def __init__(self, lines: BinaryIO) -> None:
        self._lines = lines
        self._requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> dict[str, Any]:
        return self._requests.get()

    def is_cancelled(self, id: int) -> bool:
        return id in self._cancelled

    def _read(self) -> None:
        for text in self._lines:
            line = json.loads(text)
            if "cancel" in line:
                self._cancelled.add(line["cancel"])
            else:
                self._requests.put(line)
        os._exit(0)  # the parent has closed the pipe or is gone; nothing here is worth finishing


def _answer(server: Any, id: int, body: dict[str, Any], inbox: Inbox, out: BinaryIO) -> None:
    """Run one request and send what comes of it, the last line being `done` or `error`."""
    written: list[str] = []
    end: dict[str, Any] = {"finish": None, "usage": {}}
    error: dict[str, Any] | None = None

    def take(chunk: Any) -> bool:
        nonlocal error
        chunk = json.loads(chunk) if isinstance(chunk, str | bytes) else chunk
        if "error" in chunk:
            error = chunk["error"]
            return True
        end["usage"] = chunk.get("usage") or end["usage"]
        for choice in chunk.get("choices", ()):
            end["finish"] = choice.get("finish_reason") or end["finish"]
            text = choice.get("delta", {}).get("content")
            if text:
                written.append(text)
                _send(out, {"id": id, "delta": text})
        return inbox.is_cancelled(id)

    if not inbox.is_cancelled(id):
        options = {"stream": True, "return_progress": True, "stream_options": {"include_usage": True}}
        try:
            server.handle_chat_completions({**body, **options}, take)
        except Exception as failure:  # noqa: BLE001 - the runtime raises what it likes; the worker lives on
            error = {"message": str(failure)}
    if inbox.is_cancelled(id):
        error = {"cancelled": True}
    last = {"error": error} if error is not None else {"done": {"text": "".join(written), **end}}
    _send(out, {"id": id, **last})


def _load(model: str) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_ctx = CONTEXT
    params.n_batch = params.n_ubatch = BATCH
    params.n_parallel = 1
    params.cache_ram_mib = CACHE_MB
    params.fit_params = False  # trying out what fits takes longer than loading
    params.warmup = False
    params.verbosity = -1
    params.ui = params.endpoint_slots = False
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    # A path of over 107 bytes is too long for a socket.
    parent = None if len(tempfile.gettempdir()) < 60 else "/tmp"
    with tempfile.TemporaryDirectory(prefix="agentctl-", dir=parent) as folder:
        # The runtime always listens. A socket in a folder of mode 0700, gone once it is open, is closed to all.
        params.hostnames = [str(Path(folder, "our.sock"))]  # its ending is what makes it a socket
        return xllamacpp.Server(params)


def _private_stdout() -> BinaryIO:
    """Our way out; what the runtime prints goes to stderr instead."""
    ours = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(ours, "wb", buffering=0)


def _send(out: BinaryIO, line: dict[str, Any]) -> None:
    try:
        out.write(json.dumps(line).encode() + b"\n")
    except BrokenPipeError:
        os._exit(0)


def _die_with(parent: int) -> None:
    """Be killed when the parent dies, even by SIGKILL and even while loading (Linux)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
