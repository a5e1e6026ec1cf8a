"""The embedded model's process as its parent sees it: started, asked, cancelled, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from agentctl.errors import CannotRun, ModelError
from agentctl.json import Json, decode, encode

_WORKER = Path(__file__).with_name("local_worker.py")
STOP_WITHIN = 2.0
"""Seconds a cancelled generation may run on before its process is killed for it."""


@dataclass
class Answer:
    """One request under way: the loop that waits for it, and what to do with its text."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Json]
    on_text: Callable[[str], None]

    def post(self, line: Json) -> None:
        """Hand on a line of the worker, from the thread that reads them."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(self._take, line)

    def _take(self, line: Json) -> None:
        if self.future.done():
            return
        if "delta" in line:
            self.on_text(line["delta"])
        else:
            self.future.set_result(line)


class WorkerProcess:
    """One model file loaded in one process. Lives on between calls and between event loops."""

    def __init__(self, model: Path) -> None:
        self.model = model
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - kept until the process has said its last
        self._process = self._start()
        self._answers: dict[int, Answer] = {}
        self._stopping: dict[int, float] = {}
        """Cancelled requests the worker has not let go of, and since when."""
        self._next_id = 0
        self._is_ready = False
        self._failure: str | None = None
        self._exit_code: int | None = None
        self._lock = threading.Lock()
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()

    @property
    def is_usable(self) -> bool:
        """Whether it lives and is not stuck in work that was cancelled."""
        if self._process.poll() is not None or self._failure is not None:
            return False
        with self._lock:
            return not self._is_ready or all(
                time.monotonic() - since < STOP_WITHIN for since in self._stopping.values()
            )

    async def ask(self, body: Json, on_text: Callable[[str], None]) -> Json:
        """The worker's last word on a request: a line with `done` or `error`. Raises ModelError, CannotRun."""
        loop = asyncio.get_running_loop()
        answer = Answer(loop, loop.create_future(), on_text)
        with self._lock:
            if self._exit_code is not None:
                raise self._death(self._exit_code)
            self._next_id += 1
            id = self._next_id
            self._answers[id] = answer
        try:
            self._send({"id": id, "body": body})
            line = await answer.future
        except asyncio.CancelledError:
            self._cancel(id)
            raise
        if "gone" in line:
            raise self._death(line["gone"])
        return line

    def close(self) -> None:
        """End the process, at once."""
        self._process.kill()
        self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        # -P: the folder of the worker holds an `openai.py` of ours, which must not hide the real one.
        command = [sys.executable, "-P", str(_WORKER), str(self.model), str(os.getpid())]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            # Ctrl-C in the terminal is for us alone; we then tell the worker what to do.
            start_new_session=True,
            # Threads that spin while they wait cost ten times the speed when another process wants a core.
            env={"OMP_WAIT_POLICY": "passive", **os.environ},
        )

    def _send(self, line: Json) -> None:
        assert self._process.stdin is not None
        # A worker that is gone is found by the reader, which fails every answer still under way.
        with contextlib.suppress(OSError):
            self._process.stdin.write(encode(line) + b"\n")
            self._process.stdin.flush()

    def _cancel(self, id: int) -> None:
        with self._lock:
            if self._answers.pop(id, None) is None:
                return
            self._stopping[id] = time.monotonic()
        self._send({"cancel": id})

    def _read(self, lines: IO[bytes]) -> None:
        """Give each line of the worker to the answer it is for, until the worker ends."""
        for line in self._decoded(lines):
            if "failed" in line:
                self._failure = line["failed"]
            elif "ready" in line:
                self._begin()
            elif "id" in line:
                self._deliver(line)
        code = self._process.wait()
        with self._lock:
            self._exit_code = code
            left, self._answers = self._answers, {}
        for answer in left.values():
            answer.post({"gone": code})

    def _decoded(self, lines: IO[bytes]) -> Iterator[Json]:
        for text in lines:
            with contextlib.suppress(ValueError):  # a line cut short by the worker's death
                yield decode(text)

    def _begin(self) -> None:
        """The model is loaded; what was cancelled before has its time to stop from now on."""
        with self._lock:
            self._is_ready = True
            self._stopping = dict.fromkeys(self._stopping, time.monotonic())

    def _deliver(self, line: Json) -> None:
        with self._lock:
            if "delta" in line:
                answer = self._answers.get(line["id"])
            else:
                answer = self._answers.pop(line["id"], None)
                self._stopping.pop(line["id"], None)
        if answer is not None:
            answer.post(line)

    def _death(self, code: int) -> CannotRun | ModelError:
        if self._failure is not None:
            return CannotRun(
                f"the embedded runtime cannot load {self.model}: {self._failure}",
                hint="is it a GGUF file? `agentctl models rm local` and `agentctl models pull` fetch it anew",
            )
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return ModelError(
            "server", f"the embedded model's process died ({how}){self._last_words()}", retryable=True
        )

    def _last_words(self) -> str:
        self._stderr.seek(0)
        text = self._stderr.read().decode(errors="replace").strip()
        return f": {text[-300:]}" if text else ""
