"""A bicycle shop's tools: help pages and orders in shop.json, and what was paid back in refunds.txt."""

import json
from pathlib import Path

HERE = Path(__file__).parent
REFUNDS = HERE / "refunds.txt"


def search_help(query: str) -> list:
    """The help pages that have one of the words."""
    words = {word.strip("?.,!").lower() for word in query.split()}
    pages = json.loads((HERE / "shop.json").read_text())["help"]
    return [text for title, text in pages.items() if title in words]


def find_order(number: int) -> dict:
    """What was ordered, and what it cost."""
    orders = json.loads((HERE / "shop.json").read_text())["orders"]
    if str(number) not in orders:
        raise LookupError(f"there is no order {number}")
    return orders[str(number)]


def refund(number: int, idempotency_key: str) -> dict:
    """Pay an order back, once for each key."""
    order = find_order(number)
    done = REFUNDS.read_text().splitlines() if REFUNDS.exists() else []
    if idempotency_key not in done:
        REFUNDS.write_text("".join(f"{key}\n" for key in [*done, idempotency_key]))
    return {"paid_back": order["paid"], "for": order["what"]}
