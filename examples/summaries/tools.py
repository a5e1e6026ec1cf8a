"""Documents in a folder: which there are, and what one says."""

from pathlib import Path

HERE = Path(__file__).parent


def list_documents(folder: str) -> list:
    """The documents (*.md, *.txt) of a folder, by path, in the order of their names."""
    found = sorted(path for path in (HERE / folder).iterdir() if path.suffix in (".md", ".txt"))
    return [str(path.relative_to(HERE)) if path.is_relative_to(HERE) else str(path) for path in found]


def read_document(path: str) -> str:
    """The text of one document."""
    return (HERE / path).read_text(encoding="utf-8").strip()
