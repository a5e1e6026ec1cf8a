"""What this machine keeps sandboxed tools to, as `agentctl doctor` shows it: profiles and their guarantees."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from agentctl.json import Json
from agentctl.tools.sandbox.profiles import GIVEN, GUARANTEES, Guarantee
from agentctl.tools.sandbox.proof import Proof

_WIDTH = 80
_MARKS = {True: "✓", False: "✗", None: "·"}
_COLOURS = {True: "32", False: "33", None: "2"}
_GETS = (
    "a tool without `sandbox` gets a process of its own, which ends with all that it started",
    "a python tool with `sandbox` gets `restricted`, a command `isolated`",
    "`run --sandbox process` keeps both to the limits of `process`",
)


def sandbox_json(proofs: Sequence[Proof]) -> Json:
    """By profile: each guarantee true, false or null where it is not given; why, and the mend."""
    return {
        proof.profile: {
            "ok": proof.holds,
            "guarantees": {name: _holds(proof, name) for name in GUARANTEES},
            "broken": dict(proof.broken),
            "why": proof.why,
            "mend": proof.mend,
        }
        for proof in proofs
    }


def sandbox_lines(proofs: Sequence[Proof], *, colour: bool) -> Iterator[str]:
    """The table, at most 80 columns wide, and under it what each tool gets and what would mend what is broken."""
    widths = [len(proof.profile) + 2 for proof in proofs]
    heads = "".join(f"{proof.profile:>{width}}" for proof, width in zip(proofs, widths, strict=True))
    first = _WIDTH - sum(widths)
    yield f"{'sandbox':<{first}}{heads}"
    for name, says in GUARANTEES.items():
        cells = (
            " " * (width // 2 + 1)
            + _mark(_holds(proof, name), colour=colour)
            + " " * (width - width // 2 - 2)
            for proof, width in zip(proofs, widths, strict=True)
        )
        yield f"  {says:<{first - 2}}{''.join(cells)}".rstrip()
    for proof in proofs:
        yield from _trouble(proof, colour=colour)
    yield ""
    for says in _GETS:
        yield from textwrap.wrap(says, _WIDTH, initial_indent="  ", subsequent_indent="    ")


def _trouble(proof: Proof, *, colour: bool) -> Iterator[str]:
    if proof.holds:
        return
    whys = dict.fromkeys([proof.why] if proof.why else proof.broken.values())
    for why in whys:
        yield from _wrapped(f"{_mark(False, colour=colour)} {proof.profile}: {why}")
    if proof.mend:
        yield from _wrapped(f"  mend: {proof.mend}")


def _wrapped(text: str) -> list[str]:
    # a command that is to be copied stays whole
    return textwrap.wrap(
        text, _WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )


def _holds(proof: Proof, guarantee: Guarantee) -> bool | None:
    return guarantee not in proof.broken if guarantee in GIVEN[proof.profile] else None


def _mark(holds: bool | None, *, colour: bool) -> str:
    mark = _MARKS[holds]
    return f"\x1b[{_COLOURS[holds]}m{mark}\x1b[0m" if colour else mark
