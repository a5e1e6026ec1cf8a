"""The tools of graph.yaml: plain functions, named there as `tools:search_help`."""

from __future__ import annotations

import re

PAGES = [
    {
        "title": "Passwords",
        "text": "To reset a password, follow the link below the sign-in form. The mail arrives within a minute.",
    },
    {
        "title": "Invoices",
        "text": "Invoices are made on the first of the month and are found under Account, Billing.",
    },
    {
        "title": "Exports",
        "text": "Data is exported as CSV under Account, Export. Large exports are sent by mail.",
    },
]


def search_help(query: str) -> dict[str, str]:
    """The help page that shares the most words with the query."""
    words = _words(query)
    return max(PAGES, key=lambda page: len(words & _words(f"{page['title']} {page['text']}")))


def _words(text: str) -> set[str]:
    return {word.removesuffix("s") for word in re.findall(r"[a-z]{3,}", text.lower())}
