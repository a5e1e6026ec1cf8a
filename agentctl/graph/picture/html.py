"""The picture as one page: the drawing, and beside it what each place is. It asks no network for anything."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import asdict
from importlib.resources import files

from agentctl.graph.picture.data import Picture
from agentctl.graph.picture.svg import drawing, said, style
from agentctl.json import encode


def as_html(picture: Picture) -> str:
    """A whole page. Nothing of the file is markup or script in it, and its policy lets no other script run."""
    script = _part("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'"
    page = _part("page.html")
    parts = {
        "policy": policy + "; form-action 'none'",
        "title": said(picture.name),
        "description": said(picture.description),
        "style": style() + _part("page.css"),
        "drawing": drawing(picture, role="group", focusable=True),
        "data": _data(picture),
        "script": script,
    }
    pieces = page.split("@@")  # name and text by turns: what is put in is never looked through again
    return "".join(parts[piece] if index % 2 else piece for index, piece in enumerate(pieces))


def _part(name: str) -> str:
    return files("agentctl.graph.picture").joinpath(name).read_text("utf-8")


def _data(picture: Picture) -> str:
    """The picture as JSON that cannot end the element it stands in."""
    return encode(asdict(picture)).decode().replace("<", "\\u003c")
