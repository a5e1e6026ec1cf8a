"""Words of the language that stand in `$defs` under a name of their own: with units, or names of things of the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from agentctl.errors import ErrorClass
from agentctl.json import Json
from agentctl.spec.types import MESSAGES, TYPE_NAMES


@dataclass(frozen=True)
class Word:
    """What a word is, in a sentence, and how it may look."""

    description: str
    examples: tuple[Json, ...]
    choices: tuple[str, ...] = ()
    """All that it can be, when that is known without the file."""


TYPE_WORDS = (*TYPE_NAMES, MESSAGES, *(f"{name}?" for name in TYPE_NAMES))

WORDS = {
    "Duration": Word("A time in words.", ("500ms", "30s", "1h30m", "7d")),
    "Pause": Word("A time in words, which may be `0s`.", ("500ms", "60s")),
    "Size": Word("A size in words; a number is bytes.", ("64KB", "1MB")),
    "Tokens": Word("A number of tokens.", ("6000 tokens",)),
    "Money": Word("US dollars.", ("$0.05", "1.50")),
    "Share": Word("A share of a whole.", ("20%",)),
    "ErrorClass": Word("A class of errors, or `else` for every other one.", (*get_args(ErrorClass), "else")),
    "Name": Word("A name: letters, digits, `_` and `-`, no digit first.", ("look_up",)),
    "Template": Word("Text in which `${{ … }}` is filled in.", ("Question: ${{ state.question }}",)),
    "Expression": Word("A bare expression, with no `${{ }}` around it.", ("state.sure >= 0.6",)),
    "TypeName": Word("The name of a type; with `?` it may be null.", ("string", "number?"), TYPE_WORDS),
    "Target": Word("A node, a router, or `end`.", ("end",)),
    "ErrorTarget": Word("A node, a router, `end`, or `skip` to go on to `then`.", ("skip",)),
    "NodeName": Word("A node of `nodes:`.", ("wrap_up",)),
    "FieldName": Word("A field of `state:`.", ("answer",)),
    "SummaryField": Word("A field of the `state:` of the graph that asks the agent.", ("summary",)),
    "AgentName": Word("An agent of `agents:`.", ("guide",)),
    "ToolName": Word("A tool of `tools:`.", ("search_help",)),
    "ModelName": Word("A model of `models:`, `provider/model`, or `local`.", ("local", "openai/gpt-5-mini")),
    "GraphName": Word("A graph of `graphs:`.", ("check_facts",)),
    "GraphReference": Word("A graph of `graphs:`, or a file beside this one.", ("check_facts",)),
    "StoreName": Word("A store of `stores:`.", ("shelf",)),
    "ServerTool": Word("A server of `mcp:`, or `server/tool`.", ("search", "search/web")),
    "TierName": Word("A tier of `tiers.levels`.", ("free",)),
}
"""By the title that the types give them."""
