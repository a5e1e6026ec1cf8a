"""`agentctl explain`: the page of one finding."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from agentctl.cli.options import application
from agentctl.cli.streams import in_colour
from agentctl.errors import UsageError

app = application()


@app.command()
def explain(
    code: Annotated[str, typer.Argument(metavar="CODE", help="Such as E410.", show_default=False)],
) -> None:
    """Say what a finding means, with a bad and a good example."""
    from agentctl.check.explain import explain as page_of

    page = page_of(code.upper())
    if page is None:
        raise UsageError(f"there is no finding `{code}`", hint="codes look like E410; `validate` prints them")
    bold, plain = ("\x1b[1m", "\x1b[0m") if in_colour(sys.stdout) else ("", "")
    print(f"{bold}{page.code}{plain} {page.title} ({page.severity})\n\n{page.rule.strip()}")
    for label, example in (("Bad", page.bad), ("Good", page.good)):
        if example.strip():
            print(f"\n{bold}{label}{plain}\n\n{_indented(example)}")


def _indented(example: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in example.strip("\n").splitlines())
