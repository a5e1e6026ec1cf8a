"""The processes that are there, as /proc has them."""

from __future__ import annotations

import os
from pathlib import Path


def processes_in(folder: Path) -> list[int]:
    """Those whose working directory is the folder."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/cwd") == str(folder):
                found.append(int(pid))
        except OSError:
            continue
    return found
