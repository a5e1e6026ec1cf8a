"""What a condition says about what is there."""

from __future__ import annotations

from jinja2 import nodes

from agentctl.expressions.problem import Path

Place = tuple[str, Path]
"""A root and a path: what an `is defined` asks about."""


def facts(test: nodes.Node, holds: bool) -> frozenset[Place]:
    """What is surely there once `test` has come out as `holds`."""
    match test:
        case nodes.Not():
            return facts(test.node, not holds)
        case nodes.And() | nodes.Or():
            left, right = facts(test.left, holds), facts(test.right, holds)
            return left | right if isinstance(test, nodes.And) is holds else left & right
        case nodes.Test(name="defined" | "undefined"):
            place = _place(test.node) if (test.name == "defined") is holds else None
            return frozenset((place,)) if place else frozenset()
    return frozenset()


def _place(node: nodes.Node) -> Place | None:
    path: list[str | int] = []
    while not isinstance(node, nodes.Name):
        if isinstance(node, nodes.Getattr):
            path.append(node.attr)
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
            path.append(node.arg.value)
        else:
            return None
        node = node.node
    return node.name, tuple(reversed(path))
