"""`agentctl chat`: turns on one thread, typed at a prompt."""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentctl.cli.inputs import is_text, limits, pairs, read_inputs
from agentctl.cli.loading import fetch_missing, load_graph, thread_meant
from agentctl.cli.options import (
    AsJson,
    EnvFile,
    Events,
    GraphFile,
    Inputs,
    Limits,
    Models,
    NoCache,
    Quiet,
    Sandbox,
    Store,
    Tenant,
    Thread,
    Verbose,
    Yes,
    application,
)
from agentctl.cli.streams import complain_about, in_colour, on_terminal, say
from agentctl.cli.turns import Console, finish
from agentctl.errors import AgentctlError, UsageError
from agentctl.json import Json

if TYPE_CHECKING:
    from agentctl.assembly.loading import LoadedGraph
    from agentctl.graph.plan import Graph

app = application()


@app.command()
def chat(
    file: GraphFile,
    say_field: Annotated[
        str | None,
        typer.Option(
            "--say", metavar="FIELD", help="The input that what you type goes to.", show_default=False
        ),
    ] = None,
    inputs: Inputs = None,
    thread: Thread = None,
    tenant: Tenant = "",
    model: Models = None,
    limit: Limits = None,
    sandbox: Sandbox = None,
    env_file: EnvFile = None,
    no_cache: NoCache = False,
    as_json: AsJson = False,
    events: Events = None,
    store: Store = None,
    yes: Yes = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Take turns on one thread. Ctrl-C stops an answer, Ctrl-D ends the chat.

    Lines may also come through a pipe, a turn for each; the first that fails ends the chat.
    """
    graph = load_graph(
        file,
        store=store,
        env_file=env_file,
        models=pairs(model, "--model"),
        limits=limits(limit),
        sandbox=sandbox,
    )
    given = read_inputs(inputs, None, graph.graph)
    field = spoken_field(graph.graph, say_field, given)
    thread = thread_meant(thread, store)
    fetch_missing(graph, yes=yes)
    console = Console(quiet, verbose, as_json, events, store, named=False)
    talk = _Chat(graph, console, field, given, thread, tenant, cache=not no_cache)
    return asyncio.run(talk.go_on(file))


def spoken_field(graph: Graph, named: str | None, given: dict[str, Json]) -> str:
    """The input that typed lines go to: the one named, or the only text that is not given. Raises UsageError."""
    texts = [name for name in graph.input if is_text(graph.schemas[name])]
    if named is not None:
        if named not in texts:
            raise UsageError(
                f"--say {named}: not a text input", hint=f"the text inputs are: {', '.join(texts) or 'none'}"
            )
        return named
    left = [name for name in texts if name not in given]
    if len(left) == 1:
        return left[0]
    if not left:
        raise UsageError(
            "the graph has no text input that a chat could fill", hint="`agentctl run` runs it once"
        )
    raise UsageError(
        f"several inputs are text: {', '.join(left)}", hint=f"name the one you type: --say {left[0]}"
    )


class _Chat:
    """A conversation: one thread, turn after turn."""

    def __init__(
        self,
        graph: LoadedGraph,
        console: Console,
        field: str,
        given: dict[str, Json],
        thread: str | None,
        tenant: str,
        *,
        cache: bool,
    ) -> None:
        self.graph, self.console, self.field = graph, console, field
        self.given, self.thread, self.tenant, self.cache = given, thread, tenant, cache
        self.suspended = False
        """Whether the last turn was stopped; the next one takes its place."""

    async def go_on(self, file: Path) -> int:
        """Take turns until there are no more lines; the exit code."""
        async with self.graph:
            return await self._turns(file)

    async def _turns(self, file: Path) -> int:
        code = 0
        typed = on_terminal(sys.stdin)
        while (line := _read_line() if typed else sys.stdin.readline() or None) is not None:
            if not line.strip():
                continue
            code = await self._turn(_as_utf8(line.rstrip("\n")))
            if code and not typed:
                return code
        if typed and self.thread and not self.console.quiet:
            store = f" --store {shlex.quote(str(self.console.store))}" if self.console.store else ""
            name, thread = shlex.quote(str(file)), shlex.quote(self.thread)
            say(f"\ngo on with: agentctl chat {name} --thread {thread}{store}")
        return 0 if typed else code

    async def _turn(self, line: str) -> int:
        try:
            async with self.console.turn() as turn:
                outcome = await self.graph.arun(
                    {**self.given, self.field: line},
                    thread=self.thread,
                    tenant=self.tenant,
                    sinks=turn.sinks,
                    answer=turn.ask,
                    cache=self.cache,
                    stop=turn.stop,
                    abandon=self.suspended,
                )
        except AgentctlError as failure:
            # With a person there, one turn that cannot be begun does not end the conversation.
            if self.thread is None or not on_terminal(sys.stdin):
                raise
            return complain_about(failure)
        # What was given once keeps its value from turn to turn.
        self.thread, self.given = outcome.thread, {}
        self.suspended = outcome.status in ("interrupted", "waiting") or outcome.exit_code == 3
        return finish(outcome, self.console, turn.signals, resumable=not on_terminal(sys.stdin))


def _as_utf8(line: str) -> str:
    """The line with a sign in place of each byte that was no UTF-8."""
    return line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _read_line() -> str | None:
    """A line typed at the prompt, with the keys of readline where it is there; None at Ctrl-D."""
    prompt = "› "
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if on_terminal(sys.stdout):
            import readline  # noqa: F401 - importing it gives input() its keys and its history

            if in_colour(sys.stdout):
                # \001 and \002 tell readline that what stands between takes no room.
                prompt = "\001\x1b[1;36m\002› \001\x1b[0m\002"
            return input(prompt)
        sys.stderr.write(prompt)
        sys.stderr.flush()
        return sys.stdin.readline() or None
    except EOFError:
        return None
    except KeyboardInterrupt:
        say("\nCtrl-D ends the chat")
        return ""
    finally:
        signal.signal(signal.SIGINT, before)
