from decimal import Decimal
from typing import Any


def read(path: str, pages: int = 1) -> list[str]:
    """Read some pages."""
    return [path] * pages


def bare() -> str:
    return "no words"


def odd(when: Decimal) -> str:
    """Something odd."""
    return str(when)


def anything(**what: Any) -> str:
    """Anything at all."""
    return str(what)
