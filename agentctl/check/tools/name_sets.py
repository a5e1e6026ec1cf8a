"""Sets of names out of one list, so small that thousands of them with thousands of names each are no matter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set


class NameSet(Set[str]):
    """Some of the names of an index, as the bits of one number. `|` and `-` are for sets of the same index."""

    def __init__(self, index: Mapping[str, int], bits: int = 0) -> None:
        self._index, self._bits = index, bits

    @classmethod
    def of(cls, names: Iterable[str], index: Mapping[str, int]) -> NameSet:
        """The set of these names, those that the index has."""
        bits = 0
        for name in names:
            if name in index:
                bits |= 1 << index[name]
        return cls(index, bits)

    def __contains__(self, name: object) -> bool:
        place = self._index.get(name) if isinstance(name, str) else None
        return place is not None and bool(self._bits >> place & 1)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._index if name in self)

    def __len__(self) -> int:
        return self._bits.bit_count()

    def __or__(self, other: Set[str]) -> NameSet:  # type: ignore[override]  # of the same index, as is said above
        return NameSet(self._index, self._bits | _bits_of(other))

    def __sub__(self, other: Set[str]) -> NameSet:
        return NameSet(self._index, self._bits & ~_bits_of(other))


def _bits_of(names: Set[str]) -> int:
    if not isinstance(names, NameSet):
        raise TypeError(f"{names!r} is no set of an index")
    return names._bits
