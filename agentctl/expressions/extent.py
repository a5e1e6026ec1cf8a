"""Where a node of the tree begins and ends in its text."""

from __future__ import annotations

from jinja2 import nodes

from agentctl.expressions.parse import Parsed, Token

_WORDS = (nodes.Name, nodes.Const, nodes.Neg, nodes.Pos, nodes.Not, nodes.Call, nodes.NSRef)


def extent(parsed: Parsed, node: nodes.Node) -> tuple[int, int]:
    """Offset and length of `node`, without the brackets around it."""
    start, end = len(parsed.text), 0
    pending = [node]
    while pending:
        part = pending.pop()
        pending.extend(part.iter_child_nodes())
        if part.lineno in parsed.index:
            first, last = _own(parsed, part)
            start, end = min(start, first), max(end, last)
    return (start, end - start) if start < end else (0, len(parsed.text))


def _own(parsed: Parsed, node: nodes.Node) -> tuple[int, int]:
    """The place of the words that belong to the node itself; nothing where Jinja keeps another's place."""
    offset = node.lineno
    number = parsed.index[offset]
    token = parsed.tokens[number]
    if isinstance(node, nodes.List | nodes.Dict):
        return offset, _end(parsed.closing(number))
    if isinstance(node, nodes.Call):
        return offset, _end(parsed.closing(number))
    if isinstance(node, nodes.Getattr):
        return offset, _end(parsed.tokens[number + 1])
    if isinstance(node, nodes.Getitem):
        return offset, _end(parsed.closing(number) if token.type == "lbracket" else token)
    if isinstance(node, nodes.Filter | nodes.Test):
        return offset, _end_of_call(parsed, number, is_test=isinstance(node, nodes.Test))
    if isinstance(node, nodes.Const):
        while number + 1 < len(parsed.tokens) and token.type == parsed.tokens[number + 1].type == "string":
            number += 1
        return offset, _end(parsed.tokens[number])
    if isinstance(node, _WORDS):
        return offset, _end(token)
    return len(parsed.text), 0


def _end_of_call(parsed: Parsed, number: int, *, is_test: bool) -> int:
    """The end of `name` or `name(…)`; a test's place is that of `is`."""
    if is_test:
        number += 2 if parsed.tokens[number + 1].value == "not" else 1
    following = parsed.tokens[number + 1] if number + 1 < len(parsed.tokens) else None
    if following is not None and following.type == "lparen":
        return _end(parsed.closing(number + 1))
    return _end(parsed.tokens[number])


def _end(token: Token) -> int:
    return token.offset + token.length
