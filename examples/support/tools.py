"""The support desk's tools, over a SQLite database that is made from shop.sql at first use."""

import contextlib
import io
import sqlite3
from pathlib import Path

HERE = Path(__file__).parent
DATABASE = HERE / "shop.db"


def make_database():
    """Run once in each worker: the database, from its SQL, unless it is there."""
    if DATABASE.exists():
        return
    fresh = HERE / f".shop.{id(object())}.db"
    with contextlib.closing(sqlite3.connect(fresh)) as db:
        db.executescript((HERE / "shop.sql").read_text())
    fresh.replace(DATABASE)


def rows(query, *values):
    with contextlib.closing(sqlite3.connect(DATABASE)) as db, db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(query, values)]


def search_help(query: str) -> list:
    """Search the help pages by words."""
    words = [word for word in "".join(c if c.isalnum() else " " for c in query).split() if len(word) > 2]
    if not words:
        return []
    return rows(
        "SELECT title, body FROM help WHERE help MATCH ? ORDER BY rank LIMIT 2",
        " OR ".join(words),
    )


def find_customer(email: str) -> dict:
    """Look a customer up by e-mail address, with what was charged and what was charged twice."""
    found = rows("SELECT name, plan FROM customers WHERE email = ?", email)
    if not found:
        raise LookupError(f"no customer has the address {email}")
    twice = rows(
        "SELECT what, amount FROM charges WHERE email = ? GROUP BY day, what, amount HAVING count(*) > 1",
        email,
    )
    refunded = rows("SELECT total(amount) AS paid FROM refunds WHERE email = ?", email)[0]["paid"]
    owed = max(0, sum(charge["amount"] for charge in twice) - refunded)
    return {**found[0], "charged_twice": twice, "owed": owed}


def refund(email: str, amount: float, idempotency_key: str) -> dict:
    """Pay a customer back, once for each key."""
    rows(
        "INSERT OR IGNORE INTO refunds (key, email, amount) VALUES (?, ?, ?)", idempotency_key, email, amount
    )
    return {"paid": amount, "to": email}


def run_snippet(code: str) -> str:
    """What a few lines of Python print. They may do as they like: the sandbox of this tool lets them do nothing else."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "snippet", "exec"), {"__name__": "__main__"})
    return printed.getvalue().strip()
