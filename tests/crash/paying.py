"""Two payments in one reply, a bank that counts them, and a run that is killed at a chosen moment around one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import agentctl
from agentctl.engine.keeper import Keeper
from agentctl.store.folder import open_thread_store, prepare_store

Kind = Literal["http", "python", "command"]
Point = Literal["before", "unsent", "working", "unrecorded", "recorded", "stepped"]
"""Nothing put down; the intent synced and nothing sent; the bank at work; paid, but not on the tape; on the tape;
its step over."""
Beside = Literal["", "done", "held"]
"""What the other payment of the reply is at: there is none, on the tape, at the bank."""

PATIENCE = 60.0
NONE_KNOWN = ("unsent", "working", "unrecorded")
"""Where only the bank knows what became of the payment."""

GRAPH = """
agentctl: 1
name: paying
output: [said]
env: {BANK: {}}
state: {said: {type: string, default: ""}, got: {type: object, default: {}}}
models: {default: {model: scripted/script.json}}
tools:
  pay:
    WORK
    description: Pay.
    parameters: {name: string}
    returns: {type: object}
    effect: write
    timeout: 60s
    KEY
agents: {payer: {tools: [pay], max_turns: 3}}
start: pay
nodes:
  pay: {NODE, then: thank}
  thank: {set: {said: thanks}, then: end}
"""
WORKS: dict[Kind, str] = {
    "http": "http: POST ${{ env.BANK }}/pay/${{ args.name }}",
    "python": 'python: "tools:pay"',
    "command": f'command: ["{sys.executable}", -I, -S, tools.py, "${{{{ args.name }}}}"]',
}
AGENT, NODE = "agent: payer, prompt: go, save: said", "tool: pay, args: {name: a}, save: got"
KEY = "idempotency_key: ${{ run.thread }}/${{ args.name }}"
TOOLS = """
import json, os, socket, sys

def pay(name, idempotency_key=""):
    host, port = os.environ["BANK"].removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as bank:
        bank.sendall(f"POST /pay/{name} HTTP/1.0\\r\\nIdempotency-Key: {idempotency_key}\\r\\n\\r\\n".encode())
        answer = b"".join(iter(lambda: bank.recv(4096), b""))
    return json.loads(answer.partition(b"\\r\\n\\r\\n")[2])

if __name__ == "__main__":
    print(json.dumps(pay(sys.argv[1], os.environ.get("AGENTCTL_IDEMPOTENCY_KEY", ""))))
"""


class _Teller(BaseHTTPRequestHandler):
    server: Bank

    def log_message(self, format: str, *args: object) -> None: ...

    def do_POST(self) -> None:
        name = self.path.rpartition("/")[2]
        data = json.dumps(self.server.pay(name, self.headers["Idempotency-Key"] or "")).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Bank(ThreadingHTTPServer):
    """Counts what it is asked and what it pays; asked again with a key that it knows, it pays nothing."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Teller)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._lock = threading.Lock()
        self.open()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client that was killed hears no answer."""

    def open(self, *held: str) -> None:
        """Begin anew; the first payments of these names are made once `release` is called."""
        self.asked: Counter[str] = Counter()
        self.paid: Counter[str] = Counter()
        self._known: set[str] = set()
        self.arrived = {name: threading.Event() for name in held}
        self._released = threading.Event()

    def release(self) -> None:
        self._released.set()

    def close(self) -> None:
        self.release()
        self.shutdown()
        self.server_close()

    def pay(self, name: str, key: str) -> Any:
        with self._lock:
            self.asked[name] += 1
        if name in self.arrived and not self._released.is_set():
            self.arrived[name].set()
            self._released.wait(PATIENCE)
        with self._lock:
            if key not in self._known:
                self.paid[name] += 1
            if key:
                self._known.add(key)
        return {"paid": name}


@dataclass(frozen=True, slots=True)
class Case:
    """A payment `a` by a tool of some kind, with or without a key, and where its run is killed."""

    kind: Kind
    keyed: bool
    point: Point
    beside: Beside = ""
    by_node: bool = False
    """A `tool:` node makes the call, not a model."""

    @property
    def names(self) -> list[str]:
        return ["a", "b"] if self.beside else ["a"]

    @property
    def held(self) -> list[str]:
        """The payments that the bank is at as the run is killed."""
        return ["a"] * (self.point == "working") + ["b"] * (self.beside == "held")

    @property
    def unknown(self) -> set[str]:
        """The payments that were begun and whose end is not on the tape."""
        here = {"a"} if self.point in NONE_KNOWN else set()
        return here | {"b"} if self.beside == "held" else here


Harm = Callable[[], None]


@dataclass
class Payment:
    """One case in a folder: its runs are child processes, seen from outside."""

    case: Case
    folder: Path
    bank: Bank
    harm: Harm = lambda: None
    """What is broken on purpose in the children, to see that it would be noticed."""
    power_cut: bool = False
    """What was written last is lost with the process, unless it was synced."""
    store: Path = field(init=False)

    def __post_init__(self) -> None:
        case = self.case
        self.folder.mkdir()
        self.store = self.folder / "store"
        text = GRAPH.replace("WORK", WORKS[case.kind]).replace("KEY", KEY if case.keyed else "")
        (self.folder / "graph.yaml").write_text(text.replace("NODE", NODE if case.by_node else AGENT))
        (self.folder / "tools.py").write_text(TOOLS)
        calls = [{"tool": "pay", "args": {"name": name}} for name in case.names]
        script = [{"when": "go", "call": calls}, {"else": True, "say": "paid"}]
        (self.folder / "script.json").write_text(json.dumps(script))

    def run_and_kill(self) -> None:
        """Begin the run and kill it at its point; what the bank was at is then paid."""
        self.bank.open(*self.case.held)
        reached, reaching = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._child(lambda graph: graph.run({}, thread="t"), lambda: stop_at(self.case, reaching))
        os.close(reaching)
        try:
            for name in self.case.held:
                arrived = self.bank.arrived[name]
                while not arrived.wait(0.1):
                    assert os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None, (
                        f"the run ended before the bank was asked for {name}"
                    )
            if self.case.point != "working" or self.case.beside == "done":
                assert os.read(reached, 1), "the run ended before its point"
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(reached)
            self.bank.release()
        self._settle()

    def resume(self, assume: Any = None) -> Any:
        """Go on in another process; its outcome."""
        pid = os.fork()
        if pid == 0:
            self._child(lambda graph: graph.resume("t", assume=assume or {}))
        assert os.waitpid(pid, 0)[1] == 0
        return json.loads((self.folder / "outcome").read_text())

    def records(self) -> list[Any]:
        async def read() -> list[Any]:
            store = open_thread_store(self.store)
            try:
                return [record for _, record in await store.read("t")]
            finally:
                await store.close()

        return asyncio.run(read())

    def _child(self, work: Callable[[Any], Any], prepare: Callable[[], None] = lambda: None) -> None:
        """In a child process: do the work, leave its outcome, and end without a word."""
        code = 1
        try:
            os.environ["BANK"] = self.bank.url
            note_syncs(self.folder / "synced")
            prepare()
            self.harm()
            outcome = work(agentctl.load(self.folder / "graph.yaml", store=self.store))
            (self.folder / "outcome").write_text(json.dumps(outcome.as_json()))
            code = 0
        except BaseException:  # noqa: BLE001 - the parent sees the exit code, a reader the traceback
            traceback.print_exc()
        finally:
            os._exit(code)

    def _settle(self) -> None:
        """Wait until the bank has paid what it was at; then the power may be cut."""
        while any(self.bank.paid[name] < 1 for name in self.case.held):
            threading.Event().wait(0.001)
        if self.power_cut:
            records, synced = self.records(), self.folder / "synced"
            is_safe = synced.exists() and int(synced.read_text()) == len(records)
            asyncio.run(self._keep(records if is_safe else records[:-1]))

    async def _keep(self, kept: Sequence[Any]) -> None:
        graph = agentctl.load(self.folder / "graph.yaml", store=self.store).graph
        self.store = self.folder / "after"
        prepare_store(self.store)
        store = open_thread_store(self.store)
        log = await store.open("t")
        await log.append(kept)
        await store.save_file(graph.digest, graph.recording)
        await log.close()
        await store.close()


def note_syncs(file: Path) -> None:
    """Keep in a file how many records of the log would survive a power cut."""
    append = Keeper.append

    async def noted(self: Keeper, records: Sequence[Any], *, sync: bool = False) -> int:
        last = await append(self, records, sync=sync)
        if sync:
            file.write_text(str(last))
        return last

    Keeper.append = noted  # type: ignore[method-assign]


def stop_at(case: Case, reaching: int) -> None:
    """Say so and stand still when the log comes to the point of the case, for the payment `a`."""
    append = Keeper.append
    other_done = asyncio.Event()

    async def stand_still() -> None:
        if case.beside == "done":
            await other_done.wait()
        os.write(reaching, b"!")
        await asyncio.Event().wait()

    async def watched(self: Keeper, records: Sequence[Any], *, sync: bool = False) -> int:
        begun = {payee(record) for record in records if record["kind"] == "intent"}
        done = {payee(record) for record in records if record.get("of") == "tool"}
        if (case.point == "before" and "a" in begun) or (case.point == "unrecorded" and "a" in done):
            await stand_still()
        last = await append(self, records, sync=sync)
        if "b" in done:
            other_done.set()
            if case.point == "working":
                os.write(reaching, b"!")
        stepped = any(record["kind"] == "step" for record in records)
        if (
            (case.point == "unsent" and "a" in begun)
            or (case.point == "recorded" and "a" in done)
            or (case.point == "stepped" and stepped)
        ):
            await stand_still()
        return last

    Keeper.append = watched  # type: ignore[method-assign]


def payee(record: Any) -> str:
    """Of an intent or a result: the second call of the reply is for `b`."""
    return "b" if record["key"].endswith(".2") else "a"


def check(payment: Payment) -> None:
    """Kill the run, go on with it as its user would, and hold the bank's counts against the promise."""
    case, bank = payment.case, payment.bank
    payment.run_and_kill()
    before = Counter(bank.asked)
    outcome = payment.resume()
    settled: set[str] = set()
    while outcome["status"] == "waiting":
        begun = set(bank.asked - before) & (case.unknown - settled)
        assert not begun, f"made again unasked: {begun}"
        question = outcome["question"]
        assert (question["kind"], question["choices"]) == ("outcome", ["done", "retry"])
        assert not case.keyed, "asked about a write that its key makes safe"
        name = next(name for name in case.names if f'"{name}"' in question["question"])
        assert name not in settled, "asked twice"
        settled.add(name)
        # as a person would who asks the bank
        assume = {"done": {"paid": name}} if bank.paid[name] else "retry"
        outcome = payment.resume({question["id"]: assume})
    assert outcome["status"] == "done", outcome
    assert bank.paid == Counter(case.names), f"not paid once: {dict(bank.paid)}"
    if not case.keyed:
        assert bank.asked == bank.paid, f"made again unasked: {bank.asked - bank.paid}"
        assert settled == case.unknown, "what nobody knows was not asked about"
    elsewhere = set(case.names) - case.unknown
    assert all(bank.asked[name] == 1 for name in elsewhere), f"on the tape, and made again: {bank.asked}"
    assert agentctl.replay("t", store=payment.store).identical
