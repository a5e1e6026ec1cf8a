"""Logs as rows: each record's checksum begins with the one before, so that none can go or change unseen."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from agentctl.errors import DamagedRecord
from agentctl.json import Json
from agentctl.store.codec import CHECK_SIZE, check_of, place_of, seal_packed
from agentctl.store.table import Row, Table

NAME = "="
"""Begins the key of a row that says: this thread has records."""
_PREFIX_SIZE = 10
_LAST = "~"
"""Sorts after every character of a key."""
_TAIL_SEARCH = 1000
"""Rows looked through for a record that the index of keys does not show."""


@dataclass(frozen=True, slots=True)
class Tail:
    """Where a log ends: the number and the checksum of its last record; 0 and the thread's own for a new one."""

    seq: int
    check: bytes


class Records:
    """The logs of all threads in one table. A range of a log is a range of keys."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def tail(self, thread: str) -> Tail:
        """The end of a log. Raises DamagedRecord when its last record does not follow from the one before."""
        prefix = _prefix(thread)
        rows = self._table.range(prefix, prefix + _LAST, limit=2, down=True)[::-1]
        if not rows:
            return _beginning(thread)
        first = _number(thread, rows[0])
        if len(rows) == 1 and first > 1:
            raise _missing(thread, first - 1)
        return self._verified(thread, rows, first)[1]

    def read(self, thread: str, first: int, last: int | None) -> tuple[list[tuple[int, Json]], Tail | None]:
        """Records `first` to `last`, and the log's end where it was reached. Raises DamagedRecord."""
        prefix = _prefix(thread)
        start = max(first - 1, 1)
        begin, end = _key(prefix, start), prefix + _LAST
        if last is not None:
            rows = self._table.range(begin, _key(prefix, last))
            if rows and _number(thread, rows[-1]) == last:
                records, _ = self._verified(thread, rows, start)
                return [record for record in records if record[0] >= first], None
        rows = self._table.range(begin, end)  # to the end: what comes after a gap shows that it is one
        if not rows:
            tail = self.tail(thread)
            if tail.seq < start:
                return [], tail
            rows = self._table.range(begin, end)  # written in between, or hidden by a damaged index
            if not rows:
                raise _missing(thread, start)
        records, tail = self._verified(thread, rows, start)
        return [
            record for record in records if first <= record[0] and (last is None or record[0] <= last)
        ], tail

    def rows_after(
        self, thread: str, tail: Tail, packed: Sequence[bytes]
    ) -> tuple[list[tuple[str, bytes]], Tail]:
        """The rows that add records to a log, and its end with them."""
        prefix = _prefix(thread)
        rows: list[tuple[str, bytes]] = []
        seq, check = tail.seq, tail.check
        if seq == 0:
            key = NAME + thread
            rows.append((key, self._table.codec.seal({}, place_of(key))))
        for record in packed:
            seq += 1
            blob = seal_packed(record, check)
            check = check_of(blob)
            rows.append((_key(prefix, seq), blob))
        return rows, Tail(seq, check)

    def keys_from(self, thread: str, first: int) -> list[str]:
        """The keys of a log's rows from one number on, whatever is in the rows."""
        prefix = _prefix(thread)
        return self._table.keys(_key(prefix, first), prefix + _LAST)

    def all_keys(self, thread: str) -> list[str]:
        """The keys of everything that the logs hold of a thread."""
        return [*self.keys_from(thread, 0), NAME + thread]

    def threads(self) -> list[str]:
        """Every thread that has records, in the order of their names, as the index of keys has them."""
        return [key[len(NAME) :] for key in self._table.keys(NAME, NAME + "\U0010ffff")]

    def check_listed(self, thread: str) -> None:
        """Raises DamagedRecord when a thread stands in the index of keys and nowhere else."""
        if self._table.get(NAME + thread) is None:
            raise DamagedRecord(f"thread `{thread}` is damaged: it is listed, but was never written")

    def check_nothing_hidden(self, thread: str, tail: Tail) -> None:
        """Raises DamagedRecord when a log has records that the index of keys does not show.

        Looked for among the next rows written; a damaged index shows a log that ends too early, and nothing
        else in the log would contradict it.
        """
        if tail.seq == 0:
            if self._table.get(NAME + thread) is not None:
                raise _missing(thread, 1)
            return
        prefix = _prefix(thread)
        for key in self._table.keys_after(_key(prefix, tail.seq), _TAIL_SEARCH):
            if key.startswith(prefix) and not self._table.keys(key, key):
                raise _missing(thread, tail.seq + 1)

    def _verified(self, thread: str, rows: Sequence[Row], start: int) -> tuple[list[tuple[int, Json]], Tail]:
        """The records of rows that begin with number `start`. Unless it is 1, the first one only anchors."""
        check = first_check(thread)
        records: list[tuple[int, Json]] = []
        for seq, row in enumerate(rows, start):
            if _number(thread, row) != seq:
                raise _missing(thread, seq)
            if seq == 1 or seq > start:
                records.append((seq, self._open(thread, seq, row, check)))
            check = check_of(row.blob)
        return records, Tail(start + len(rows) - 1, check)

    def _open(self, thread: str, seq: int, row: Row, check: bytes) -> Json:
        try:
            return self._table.codec.unseal(row.blob, check)
        except DamagedRecord as error:
            raise DamagedRecord(f"record {seq} of thread `{thread}` is damaged: {error.message}") from error


def first_check(thread: str) -> bytes:
    """What the checksum of a thread's first record begins with."""
    return hashlib.blake2b(thread.encode(), digest_size=CHECK_SIZE).digest()


def _beginning(thread: str) -> Tail:
    return Tail(0, first_check(thread))


def _prefix(thread: str) -> str:
    """60 bits of the thread's hash: two of a million threads are alike once in two million stores.

    Their records would not follow from each other, and be refused as damaged. A short prefix, for a key is
    stored twice: with its row and in the index.
    """
    digest = hashlib.blake2b(thread.encode(), digest_size=8).digest()
    return base64.urlsafe_b64encode(digest)[:_PREFIX_SIZE].decode()


def _key(prefix: str, seq: int) -> str:
    return f"{prefix}{seq:07x}"


def _number(thread: str, row: Row) -> int:
    return _number_of(thread, row.key)


def _number_of(thread: str, key: str) -> int:
    try:
        return int(key[_PREFIX_SIZE:], 16)
    except ValueError:
        raise DamagedRecord(f"thread `{thread}` has a record under the damaged key {key!r}") from None


def _missing(thread: str, seq: int) -> DamagedRecord:
    return DamagedRecord(f"record {seq} of thread `{thread}` is missing from the store")
