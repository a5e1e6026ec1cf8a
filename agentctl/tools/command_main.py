"""The keeper of one command: started by exec, by path, with nothing of agentctl imported.

It reads its order from a file, `{"program", "words", "env"}`, and starts the program as its child, in a process group
of its own, with nothing on stdin. When the child ends, or agentctl wants it to, it ends whatever came of it. It reports
in lines of JSON: `{"child"}`, its process id; `{"errno"}` when there was no starting it; `{"status"}`, its wait status.
"""

from __future__ import annotations

import json
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from agentctl.json import Json
    from agentctl.tools import worker_main
else:
    import worker_main


def main() -> None:
    given, report = int(sys.argv[1]), int(sys.argv[2])
    os.set_inheritable(report, False)  # only the keeper and a child that cannot start may hold it
    with os.fdopen(given, "rb") as file:
        order = json.loads(file.read())
    child = worker_main.fork_kept(lambda: start(order, report))
    if child == 0:
        os._exit(127)
    ended = worker_main.keep(child)
    if ended is not None:
        tell(report, {"status": ended})
    os._exit(0)


def start(order: dict[str, Json], report: int) -> None:
    """Become the program; return when that cannot be."""
    os.setpgid(0, 0)  # what signals its whole group does not hit the keeper
    tell(report, {"child": os.getpid()})  # by itself and before it runs: it may kill its keeper at once
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them, and an exec would keep it so
    words = [word.encode() for word in order["words"]]
    env = {name.encode(): value.encode() for name, value in order["env"].items()}
    try:
        os.execve(order["program"].encode(), words, env)
    except OSError as error:
        tell(report, {"errno": error.errno})


def tell(report: int, said: dict[str, Json]) -> None:
    os.write(report, json.dumps(said).encode() + b"\n")


if __name__ == "__main__":
    main()
