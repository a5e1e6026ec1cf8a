"""`agentctl replay`: a thread run again from its tape, and compared."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentctl.cli.answer import print_json
from agentctl.cli.completion import thread_completions
from agentctl.cli.options import AsJson, Quiet, Store, application
from agentctl.errors import UsageError
from agentctl.sinks.wording import compact, count

if TYPE_CHECKING:
    from agentctl.engine.replay import Divergence, ReplayReport

app = application()


@app.command()
def replay(
    thread: Annotated[
        str | None,
        typer.Argument(
            metavar="THREAD",
            help="An id, a unique prefix of one, @last, @-2 or @failed.",
            autocompletion=thread_completions,
            show_default=False,
        ),
    ] = None,
    graph: Annotated[
        Path | None,
        typer.Option(
            "--graph", metavar="FILE", help="Another file than the recorded one.", show_default=False
        ),
    ] = None,
    all_threads: Annotated[bool, typer.Option("--all", help="Every thread of the store.")] = False,
    as_json: AsJson = False,
    store: Store = None,
    quiet: Quiet = False,
) -> int:
    """Run a thread again from its tape and compare. No model, no tool, no clock."""
    if (thread is None) == (not all_threads):
        raise UsageError("say which thread to replay, or --all", hint="such as: agentctl replay @last")
    reports = asyncio.run(_replay([thread] if thread is not None else None, store, graph))
    if as_json:
        shown = [report.as_json() for report in reports]
        identical = all(report.identical for report in reports)
        print_json({"v": 1, "identical": identical, "threads": shown} if all_threads else shown[0])
    elif not quiet:
        for report in reports:
            print(report_text(report))
    return 0 if all(report.identical for report in reports) else 1


def report_text(report: ReplayReport) -> str:
    """What a replay found, for a person."""
    found = ", ".join(
        (
            count(report.turns, "turn"),
            count(report.steps, "step"),
            count(report.model_calls, "model call"),
            count(report.tool_calls, "tool call"),
        )
    )
    if report.identical:
        open_turn = "; its last turn is not over" if report.open else ""
        return f"{report.thread}: identical ({found}; {report.live} made live){open_turn}"
    return "\n".join([f"{report.thread}: differs", *(_divergence_text(d) for d in report.divergences)])


def _divergence_text(divergence: Divergence) -> str:
    where = f" ({divergence.file}:{divergence.line})" if divergence.file else ""
    node = f", node {divergence.node}" if divergence.node else ""
    return (
        f"  {divergence.code} step {divergence.step}{node}{where}: {divergence.message}\n"
        f"    recorded: {compact(divergence.expected, 200)}\n"
        f"    now:      {compact(divergence.actual, 200)}"
    )


async def _replay(named: list[str] | None, store: Path | None, graph: Path | None) -> list[ReplayReport]:
    from agentctl.assembly.replaying import areplay, opened_store

    if named is None:
        async with opened_store(store) as threads:
            named = [head.thread for head in await threads.heads()]
    return [await areplay(thread, store=store, graph=graph) for thread in named]
