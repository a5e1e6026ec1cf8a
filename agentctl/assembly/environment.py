"""The variables a file declares under `env:`, and which of their values are secret."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from agentctl.errors import CannotRun, UsageError
from agentctl.graph.plan import Graph
from agentctl.spec.model import EnvVar, FileSpec


@dataclass(frozen=True, slots=True)
class Environment:
    """Values of the declared variables that have one. `secrets` are values to be masked."""

    values: Mapping[str, str]
    secrets: tuple[str, ...]


def read_environment(
    spec: FileSpec, given: Mapping[str, str] | None = None, files: Sequence[Graph] = ()
) -> Environment:
    """What the file and the files it runs declare, from `given` or else the process; of two, the file's own says.

    Raises CannotRun for a required one not set.
    """
    declared: dict[str, EnvVar] = {}
    for graph in files:
        declared |= msgspec.convert(graph.data.get("env", {}), dict[str, EnvVar])
    declared |= spec.env or {}
    source = os.environ if given is None else {**os.environ, **given}
    values: dict[str, str] = {}
    secrets = []
    for name, variable in declared.items():
        value = source.get(name, variable.default or None)
        if value is None:
            if variable.required:
                raise CannotRun(
                    f"the environment variable {name} is not set, and the file requires it",
                    hint=f"set it: export {name}=…, or put it into a file and say --env-file FILE",
                )
            continue
        values[name] = value
        if variable.secret:
            secrets.append(value)
    if "OPENAI_API_KEY" in source:
        secrets.append(source["OPENAI_API_KEY"])
    return Environment(values, tuple(secrets))


def read_env_file(path: Path) -> dict[str, str]:
    """NAME=value lines; `#` comments, `export` and quotes around a value are understood. Raises UsageError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the env file {path}: {error}") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix("export ").strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise UsageError(f"{path}:{number}: not a NAME=value line")
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        found[name.strip()] = value
    return found
