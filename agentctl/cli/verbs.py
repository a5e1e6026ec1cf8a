"""The verbs as a table: their help is here, their modules are imported when they are used."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

from typer.core import TyperGroup
from typer.main import get_command

if TYPE_CHECKING:
    from typer._click import Command, Context, HelpFormatter

VERBS = {
    "init": "Start a project: a graph and its tools.",
    "validate": "Check files without running anything they name.",
    "explain": "Say what a finding or a key means, with examples.",
    "graph": "Draw a graph: text, a drawing or a page.",
    "run": "Run one turn of a graph.",
    "chat": "Take turns on one thread, typed at a prompt.",
    "resume": "Go on after a wait, a crash or Ctrl-C.",
    "replay": "Run a thread again from its tape and compare.",
    "threads": "List, show and remove threads.",
    "jobs": "List, work on and cancel background jobs.",
    "cache": "List, explain and forget remembered tool calls.",
    "models": "List, fetch and remove embedded models.",
    "doctor": "Say what this machine can do.",
    "schema": "Print the JSON Schema of graph files, or of one file with its names.",
}
"""Each verb `x` is the Typer app of the module agentctl.cli.verb_x."""


class VerbGroup(TyperGroup):
    """The root command: knows its verbs by name, and loads the one that is asked for."""

    def list_commands(self, ctx: Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        if cmd_name not in VERBS:
            return None
        return load(cmd_name)

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        name = args[0]
        if name not in VERBS and not name.startswith("-") and not ctx.resilient_parsing:
            near = get_close_matches(name, VERBS, n=1)
            ctx.fail(f"there is no verb `{name}`" + (f"; did you mean `{near[0]}`?" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


def load(verb: str) -> Command:
    """The command of one verb."""
    command = get_command(import_module(f"agentctl.cli.verb_{verb}").app)
    command.name = verb
    return command
