"""What a self-test tries from inside a sandbox: run by path, with nothing of agentctl imported.

`probe` gives under each guarantee the attempts that went through, and whether it could read what it may. The others
are ended from outside, or give `escaped`. All are bounded, for the day on which a defence fails.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import time
from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Attempts = Iterator[tuple[str, Callable[[], None]]]

CLONE_NEWUSER, PTRACE_TRACEME = 0x10000000, 0


def probe(aim: dict[str, str]) -> dict[str, object]:
    found: dict[str, list[str]] = {}
    for guarantee, attempts in (
        ("files", reads(aim)),
        ("writes", writes(aim)),
        ("network", connections(aim)),
        ("secrets", [(f"read the environment of {aim['victim']}", lambda: read_environments(aim))]),
        (
            "signals",
            [(f"signalled {aim['victim']}", lambda: os.kill(int(aim["victim"]), signal.SIGKILL))],
        ),
        ("namespaces", new_namespaces()),
        ("kernel", [("was allowed to trace", lambda: system_call("ptrace", PTRACE_TRACEME, 0, 0, 0))]),
    ):
        found[guarantee] = [what for what, attempt in attempts if goes_through(attempt)]
    with open(aim["granted"]) as file:
        return {"through": found, "granted": file.read()}


def goes_through(attempt: Callable[[], None]) -> bool:
    try:
        attempt()
    except (OSError, AttributeError, ValueError):
        return False
    return True


def read(place: str) -> None:
    open(place).close()


def touch(place: str) -> None:
    open(place, "a").close()


def reads(aim: dict[str, str]) -> Attempts:
    for what in ("secret", "link"):
        yield f"read {aim[what]}", partial(read, aim[what])
    root = f"/proc/{aim['victim']}/root{aim['secret']}"
    yield f"read {root}", partial(read, root)


def writes(aim: dict[str, str]) -> Attempts:
    with contextlib.suppress(
        OSError
    ):  # into a folder of its own, perhaps: whoever tries it looks from outside
        open(aim["secret"], "w").close()
    for place in (aim["granted"], "/usr/agentctl-was-here"):
        yield f"wrote {place}", partial(touch, place)


def connections(aim: dict[str, str]) -> Attempts:
    def connect(family: int, address: str | tuple[str, int]) -> None:
        with socket.socket(family, socket.SOCK_STREAM) as end:
            end.settimeout(1)
            end.connect(address)

    def datagram() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"x", ("127.0.0.1", int(aim["port"])))

    yield "connected over TCP", lambda: connect(socket.AF_INET, ("127.0.0.1", int(aim["port"])))
    yield "sent over UDP", datagram
    yield f"connected to {aim['socket']}", lambda: connect(socket.AF_UNIX, aim["socket"])
    yield "connected to an abstract socket", lambda: connect(socket.AF_UNIX, "\0" + aim["abstract"])


def read_environments(aim: dict[str, str]) -> None:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
            if aim["token"].encode() in file.read():
                return
    raise OSError


def new_namespaces() -> Attempts:
    yield "made a user namespace", lambda: system_call("unshare", CLONE_NEWUSER)
    yield "mounted", lambda: system_call("mount", b"none", b"/tmp", b"tmpfs", 0, None)


def system_call(name: str, *arguments: int | bytes | None) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), name)


def memory() -> str:
    held = []
    for _ in range(512):
        held.append(b"x" * (1 << 20))
    return "escaped"


def spin() -> str:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        pass
    return "escaped"


def breed() -> str:
    for _ in range(150):
        if os.fork() == 0:
            time.sleep(3)
            os._exit(0)
    time.sleep(1)
    return "escaped"


def flood() -> str:
    for _ in range(4096):
        os.write(1, b"x" * 4096)
    return "escaped"


def stay(token: str) -> str:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv(sys.executable, [sys.executable, "-ISc", "import time; time.sleep(5)", token])
        os._exit(0)
    os.wait()
    return ""


if __name__ == "__main__":
    which, argument = sys.argv[1], sys.argv[2]
    given = [json.loads(argument)] if argument else []
    print(json.dumps(globals()[which](*given)), flush=True)
