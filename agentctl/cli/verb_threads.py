"""`agentctl threads`: list, show and remove threads."""

from __future__ import annotations

import asyncio
import sys
from shutil import get_terminal_size
from typing import Annotated

import typer

from agentctl.cli.answer import print_json
from agentctl.cli.completion import thread_completions
from agentctl.cli.options import AsJson, Quiet, Store, ThreadRef, application
from agentctl.cli.streams import on_terminal, say

app = application("List, show and remove threads.")


@app.command("list")
def list_threads(as_json: AsJson = False, store: Store = None) -> None:
    """The threads of the store, the one used last first."""
    from agentctl.assembly.replaying import opened_store
    from agentctl.cli.thread_view import head_as_json, list_text

    async def heads() -> None:
        async with opened_store(store) as threads:
            found = await threads.heads()
        if as_json:
            print_json({"v": 1, "threads": [head_as_json(head) for head in found]})
        elif found:
            width = get_terminal_size().columns if on_terminal(sys.stdout) else None
            sys.stdout.write(list_text(found, width))
        else:
            say("there are no threads yet")

    asyncio.run(heads())


@app.command()
def show(thread: ThreadRef, as_json: AsJson = False, store: Store = None) -> None:
    """A thread with its turns and steps."""
    from agentctl.assembly.replaying import opened_store, resolve
    from agentctl.cli.thread_view import thread_as_json, thread_text

    async def one() -> None:
        async with opened_store(store) as threads:
            name = await resolve(threads, thread)
            rows = await threads.read(name)
            head = next(head for head in await threads.heads() if head.thread == name)
        if as_json:
            print_json(thread_as_json(head, rows))
        else:
            sys.stdout.write(thread_text(head, rows))

    asyncio.run(one())


@app.command()
def rm(
    threads: Annotated[
        list[str],
        typer.Argument(
            metavar="THREAD...", help="Threads.", autocompletion=thread_completions, show_default=False
        ),
    ],
    store: Store = None,
    quiet: Quiet = False,
) -> None:
    """Forget threads, with all that is recorded of them."""
    from agentctl.assembly.replaying import opened_store, resolve

    async def remove() -> None:
        async with opened_store(store) as held:
            # All are looked up before one is removed: `rm @last @-2` means what it meant when it was typed.
            names = dict.fromkeys([await resolve(held, reference) for reference in threads])
            for name in names:
                await held.remove(name)
                if not quiet:
                    say(f"removed {name}")

    asyncio.run(remove())
