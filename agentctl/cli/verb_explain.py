"""`agentctl explain`: the page of one finding, one key of the language, or the list of codes."""

from __future__ import annotations

import re
import sys
from difflib import get_close_matches
from typing import Annotated

import typer

from agentctl.cli.options import application
from agentctl.errors import UsageError

app = application()

_LOOKS_LIKE_A_CODE = re.compile(r"[A-Za-z]\d+")


@app.command()
def explain(
    code: Annotated[
        str,
        typer.Argument(
            metavar="[CODE]", help="Such as E410; or a key or word, such as limits.recursion, save, Node."
        ),
    ] = "",
) -> None:
    """Say what a finding or a key means. Without a code: every code by family."""
    if not code:
        from agentctl.check.reference import codes_text

        sys.stdout.write(codes_text())
    elif _LOOKS_LIKE_A_CODE.fullmatch(code.strip()):
        sys.stdout.write(_page(code))
    else:
        sys.stdout.write(_key(code))


def _page(code: str) -> str:
    from agentctl.check.explain import as_text, codes
    from agentctl.check.explain import explain as page_of

    page = page_of(code)
    if page is None:
        near = get_close_matches(code.upper(), codes())
        hint = f"did you mean {', '.join(near)}?" if near else "`agentctl explain` lists the codes"
        raise UsageError(f"there is no finding `{code}`", hint=hint)
    return as_text(page)


def _key(path: str) -> str:
    from agentctl.spec.explained import explained, names

    found = explained(path)
    if found is None:
        near = get_close_matches(path, names(), n=1)
        hint = (
            f"did you mean `{near[0]}`?" if near else "a code looks like E410, a key like `limits.recursion`"
        )
        raise UsageError(f"there is no finding and no key `{path}`", hint=hint)
    return found
