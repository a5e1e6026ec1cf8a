"""`agentctl validate --surface`: what the tools of a file may do and who may call them, with a digest to sign off."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agentctl.cli.streams import complain, in_colour, say
from agentctl.json import Json

if TYPE_CHECKING:
    from agentctl.check.checking import Files
    from agentctl.check.flow import FileModel
    from agentctl.spec.document import Document

_WIDTH = 100
"""Where nothing says how wide the screen is."""
_STALE = "X09"


def print_surface(found: Files, *, as_json: bool) -> int:
    """Print the surface of each of the files, with its digest and how to sign it off.

    The exit code: 1 when a file has errors, or signed off another surface than it has; 2 when one cannot be read.
    """
    from agentctl.check.surface.data import surface_of

    documents = [document for path in found.paths if not (document := found.read(path)).is_part]
    files = [_sound_file(document, found.texts) for document in documents]
    surfaces = [(file, surface_of(file)) for file in files if file is not None]
    if as_json:
        shown = {"v": 1, "files": [_as_json(file, surface) for file, surface in surfaces]}
        print(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        print("\n".join(_as_text(file, surface) for file, surface in surfaces), end="")
    stale = [_complain_of_stale(file, surface) for file, surface in surfaces]
    for unread in found.unread:
        complain("error", unread.message)
        if unread.hint:
            complain("hint", unread.hint)
    if not documents and not found.unread:
        say("nothing but parts for `include`, which have no surface of their own")
    if found.unread or not documents:
        return 2
    return 1 if None in files or any(stale) else 0


def _sound_file(document: Document, texts: Mapping[Path, str]) -> FileModel | None:
    """The model of a file without errors, but for a digest out of date; None once the errors have been said."""
    from agentctl.check.check import check
    from agentctl.check.flow import read_flow
    from agentctl.check.reports.result import Result
    from agentctl.check.reports.text import as_text

    findings = check(document)
    errors = [finding for finding in findings if finding.severity == "error" and finding.code != _STALE]
    if not errors:
        return read_flow(document)
    sys.stderr.write(as_text(Result(errors, texts=texts), color=in_colour(sys.stderr)))
    complain("hint", f"{_shown(document.path)} has no surface to sign off until it has no errors")
    return None


def _as_json(file: FileModel, surface: Json) -> Json:
    from agentctl.check.surface.data import digest_of, places_of, signed_digest

    return {
        "file": _shown(file.document.path),
        "digest": digest_of(surface),
        "signed": signed_digest(file),
        "surface": _masked(surface),
        "places": {
            name: {"file": _shown(path), "line": line}
            for name, (path, line) in places_of(file, surface).items()
        },
    }


def _as_text(file: FileModel, surface: Json) -> str:
    from agentctl.check.surface.data import digest_of, places_of, signed_digest
    from agentctl.check.surface.table import as_table

    root, digest = file.document.path, digest_of(surface)
    places = {name: f"{path.name}:{line}" for name, (path, line) in places_of(file, surface).items()}
    table = as_table(surface, places, shutil.get_terminal_size((_WIDTH, 24)).columns)
    lines = [f"surface of {_shown(root)}: {digest}"]
    if signed_digest(file) == digest:
        lines.append("It is signed off.")
    elif signed_digest(file) is None:
        has_events = "events" in file.data
        where = (
            f"under `events:` of {_shown(file.document.key(('events',))[0])}" if has_events else "to the file"
        )
        line = f'surface: "{digest}"'
        lines.append(f"If this is as it should be, sign it off. Add {where}:")
        lines.append(f"  {line}" if has_events else f"  events: {{{line}}}")
    return "\n".join([table, *lines]) + "\n"


def _complain_of_stale(file: FileModel, surface: Json) -> bool:
    """Whether another surface was signed off, which is said with what to do."""
    from agentctl.check.surface.data import digest_of, signed_digest

    signed, digest = signed_digest(file), digest_of(surface)
    if signed is None or signed == digest:
        return False
    path, span = file.document.value(("events", "surface"))
    complain("error", f"{_shown(path)}:{span.line}: another surface was signed off here: {signed}")
    complain("hint", f'if this one is as it should be, write `surface: "{digest}"` in its place')
    return True


def _masked(value: Json) -> Json:
    """The value with what looks like a secret starred out."""
    from agentctl.check.reports.masking import masked

    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {key: _masked(part) for key, part in value.items()}
    return [_masked(part) for part in value] if isinstance(value, list) else value


def _shown(path: Path) -> str:
    from agentctl.check.reports.masking import shown_path

    return shown_path(path, Path.cwd())
