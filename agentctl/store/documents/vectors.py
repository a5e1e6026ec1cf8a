"""Vectors in SQLite: the one home of `sqlite-vec`."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

import apsw
import sqlite_vec

from agentctl.errors import StoreError


def load_vectors(connection: apsw.Connection) -> None:
    """Let a connection measure how far vectors are apart. Raises apsw.Error."""
    connection.enable_load_extension(True)
    connection.load_extension(sqlite_vec.loadable_path())
    connection.enable_load_extension(False)


def packed(vector: Sequence[float]) -> bytes | None:
    """A vector as it is stored, of length 1; None for one of length 0, which points nowhere. Raises StoreError."""
    length = math.sqrt(math.fsum(part * part for part in vector))
    if not math.isfinite(length):
        raise StoreError("the embedder gave a vector with NaN or an infinity in it")
    if length == 0:
        return None
    return array("f", [part / length for part in vector]).tobytes()
