"""The keeper of one MCP server: started by exec, by path, with nothing of agentctl imported.

Its words are the descriptor of the server's stdin, the descriptor of its report, the program and the program's words; its
environment is the server's. It starts the program as its child, in a process group of its own. When the child ends, or
agentctl wants it to, it ends whatever came of it. It reports in lines of JSON: `{"child"}`, its process id; `{"errno"}`
when there was no starting it; `{"status"}`, its wait status.
"""

from __future__ import annotations

import json
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from agentctl.tools import keeper
else:
    import keeper


def main() -> None:
    stdin, report = int(sys.argv[1]), int(sys.argv[2])
    os.set_inheritable(report, False)  # only the keeper and a child that cannot start may hold it
    child = keeper.fork_kept(lambda: start(stdin, report, sys.argv[3], sys.argv[4:]))
    if child == 0:
        os._exit(127)
    os.close(stdin)  # or a server that is gone would seem to listen
    ended, _ = keeper.keep(child, grouped=True)
    if ended is not None:
        tell(report, {"status": ended})
    os._exit(0)


def start(stdin: int, report: int, program: str, words: list[str]) -> None:
    """Become the program; return when that cannot be."""
    os.setpgid(0, 0)  # what signals its whole group does not hit the keeper
    tell(report, {"child": os.getpid()})
    os.dup2(stdin, 0)
    os.close(stdin)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them, and an exec would keep it so
    try:
        os.execv(program, words)
    except OSError as error:
        tell(report, {"errno": error.errno})


def tell(report: int, said: dict[str, int | None]) -> None:
    os.write(report, json.dumps(said).encode() + b"\n")


if __name__ == "__main__":
    main()
