"""`agentctl explain`: the page of one finding."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from typing import Annotated

import typer

from agentctl.cli.options import application
from agentctl.errors import UsageError

app = application()


@app.command()
def explain(
    code: Annotated[str, typer.Argument(metavar="CODE", help="Such as E410.", show_default=False)],
) -> None:
    """Say what a finding means, with a bad and a good example."""
    from agentctl.check.explain import as_text, codes
    from agentctl.check.explain import explain as page_of

    page = page_of(code)
    if page is None:
        near = get_close_matches(code.upper(), codes())
        hint = f"did you mean {', '.join(near)}?" if near else "codes look like E410; `validate` prints them"
        raise UsageError(f"there is no finding `{code}`", hint=hint)
    sys.stdout.write(as_text(page))
