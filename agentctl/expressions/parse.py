"""Parsing with Jinja2's own lexer and parser, keeping the exact place of every word.

Jinja's nodes know only their line. Here each token carries its character offset where Jinja keeps the line, so
`node.lineno` is an offset. The bounds that protect the stack are kept on the tokens, before the parser runs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import cast

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.lexer import Token as JinjaToken
from jinja2.lexer import TokenStream
from jinja2.parser import Parser

from agentctl.expressions.other_languages import in_our_operators
from agentctl.expressions.problem import Problem
from agentctl.json import Json

MAX_TERMS = 200
"""Names, values, lookups, brackets, filters and signs in one expression."""
MAX_TEMPLATE_TERMS = 5_000
MAX_BRACKETS = 20
"""Brackets inside brackets."""
MAX_BLOCKS = 10
"""`for` and `if` inside each other; Python compiles at most 20 nested loops."""
MAX_ARMS = 50
"""`elif` of one `if`: each stands inside the one before it."""

TAGS = frozenset({"for", "endfor", "if", "elif", "else", "endif"})
_WORDS = frozenset({"and", "or", "if", "else", "in", "is", "elif", "for", "endfor", "endif"})
_OPEN = frozenset({"lparen", "lbracket", "lbrace"})
_CLOSE = frozenset({"rparen", "rbracket", "rbrace"})
_AFTER_VALUE = frozenset({"name", "string", "integer", "float"}) | _CLOSE
_NEWLINE = re.compile(r"\r\n|\r")
_INT_RANGE = (-(2**63), 2**64 - 1)


@dataclass(frozen=True, slots=True)
class Token:
    """A token of Jinja's lexer with its place; `value` is what the parser sees."""

    offset: int
    length: int
    type: str
    value: Json


@dataclass(frozen=True, slots=True, eq=False)
class Parsed:
    """A text, its tokens and its tree: `body` of a template, one expression of a bare text.

    With problems there is no tree, and `body` is empty.
    """

    text: str
    tokens: tuple[Token, ...]
    index: dict[int, int]
    """Token number by offset."""
    body: tuple[nodes.Node, ...] = ()
    problems: tuple[Problem, ...] = ()

    def token_at(self, offset: int) -> Token:
        return self.tokens[self.index[offset]]

    def token_after(self, offset: int, steps: int = 1) -> Token:
        return self.tokens[self.index[offset] + steps]

    def closing(self, number: int) -> Token:
        """The bracket that closes the one at token `number`."""
        depth = 0
        for token in self.tokens[number:]:
            depth += (token.type in _OPEN) - (token.type in _CLOSE)
            if depth == 0:
                return token
        return self.tokens[-1]


@lru_cache(maxsize=2048)
def parse_bare(text: str) -> Parsed:
    """An expression as it stands in `when`, `by` and `over`. Never raises on what is written, but RecursionError in a deep stack."""
    return _parse(text, bare=True)


@lru_cache(maxsize=2048)
def parse_template(text: str) -> Parsed:
    """Text with `${{ … }}`, `{% for %}` and `{% if %}`. Never raises on what is written, but RecursionError in a deep stack."""
    return _parse(text, bare=False)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    # Blocks on lines of their own leave no blank lines, and text keeps its final newline, as it is written.
    return Environment(
        variable_start_string="${{",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def _parse(text: str, *, bare: bool) -> Parsed:
    try:
        tokens = tuple(_tokens(text, "variable" if bare else None))
    except _Unreadable as error:
        return Parsed(text, (), {}, problems=(in_our_operators(error.problem, text),))
    index = {token.offset: number for number, token in enumerate(tokens)}
    problems = tuple(_out_of_bounds(tokens, bare=bare))
    if problems:
        return Parsed(text, tokens, index, problems=problems)
    try:
        return Parsed(text, tokens, index, body=_tree(tokens, bare=bare))
    except TemplateSyntaxError as error:
        problem = _unreadable(error, text, tokens, index)
        return Parsed(text, tokens, index, problems=(in_our_operators(problem, text),))


class _Unreadable(Exception):
    def __init__(self, message: str, offset: int, length: int = 1, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.problem = Problem("E402", message, hint, offset, length)


class _Feed:
    """What Jinja's parser asks of an environment: the tokens, and no extensions."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._stream = (JinjaToken(token.offset, token.type, token.value) for token in tokens)

    def _tokenize(self, *_: object) -> TokenStream:
        return TokenStream(self._stream, None, None)

    def iter_extensions(self) -> tuple[()]:
        return ()


def _tree(tokens: tuple[Token, ...], *, bare: bool) -> tuple[nodes.Node, ...]:
    parser = Parser(cast(Environment, _Feed(tokens)), "")
    if not bare:
        return tuple(parser.subparse())
    if not tokens:
        parser.fail("the expression is empty", 0)
    expression = parser.parse_expression()
    if not parser.stream.eos:
        left = parser.stream.current
        parser.fail("expected the end of the expression", left.lineno)
    return (expression,)


def _tokens(text: str, state: str | None) -> Iterator[Token]:
    places = _Places(text)
    lexer = _environment().lexer
    last = (0, 0)

    def placed() -> Iterator[tuple[int, str, str]]:
        nonlocal last
        for start, kind, raw in _raw_tokens(places.normal, state):
            last = (places[start], places[start + len(raw)] - places[start])
            yield last[0], kind, raw

    try:
        for token in lexer.wrap(placed()):
            length = _visible(last, text) if token.type.endswith("_end") else last[1]
            yield Token(token.lineno, length, token.type, _checked(token, last))
    except TemplateSyntaxError as error:
        hint = (
            "for a text with `{#` in it, write `${{ '{#' }}`" if "comment" in (error.message or "") else None
        )
        raise _Unreadable(_in_our_words(error.message or ""), *last, hint=hint) from None
    except ValueError:
        raise _Unreadable("the number is too large", *last) from None


def _raw_tokens(source: str, state: str | None) -> Iterator[tuple[int, str, str]]:
    """Jinja's raw tokens with their offset in `source`.

    All text is in some token, but for white space that `-` or the stripping of blocks took away.
    """
    position = 0
    try:
        for _, kind, raw in _environment().lexer.tokeniter(source, None, None, state):
            if kind not in ("data", "whitespace"):
                position = source.index(raw, position)
            yield position, kind, raw
            position += len(raw)
    except TemplateSyntaxError as error:
        if "Missing end of" in (error.message or ""):
            raise
        raise _Unreadable(_in_our_words(error.message or ""), position) from None


class _Places:
    """Offsets in the text for offsets in what Jinja reads, where every line end is one character."""

    def __init__(self, text: str) -> None:
        self.normal = text
        self._offsets: list[int] | None = None
        if "\r" in text:
            self.normal = _NEWLINE.sub("\n", text)
            self._offsets = [i for i, c in enumerate(text) if c != "\n" or text[i - 1 : i] != "\r"]
            self._offsets.append(len(text))

    def __getitem__(self, offset: int) -> int:
        return offset if self._offsets is None else self._offsets[offset]


def _visible(place: tuple[int, int], text: str) -> int:
    """The length of a token without the white space that an end tag swallows."""
    offset, length = place
    return len(text[offset : offset + length].rstrip()) or length


def _checked(token: JinjaToken, place: tuple[int, int]) -> Json:
    value: Json = token.value
    if token.type == "integer" and not _INT_RANGE[0] <= value <= _INT_RANGE[1]:
        raise _Unreadable("the number is too large: whole numbers have at most 64 bits", *place)
    if token.type == "float" and not math.isfinite(value):
        raise _Unreadable("the number is too large", *place)
    if token.type == "string" and any("\ud800" <= char <= "\udfff" for char in value):
        raise _Unreadable("the text holds half a surrogate pair, which UTF-8 cannot say", *place)
    return value


def _out_of_bounds(tokens: tuple[Token, ...], *, bare: bool) -> Iterator[Problem]:
    terms = total = depth = 0
    refused = False
    before = "start"
    for token in tokens:
        if token.type in ("variable_begin", "block_begin"):
            terms, depth, refused = 0, 0, False
        counts = _counts(token, before)
        terms += counts
        total += counts
        depth += (token.type in _OPEN) - (token.type in _CLOSE)
        if not refused and (terms > MAX_TERMS or depth > MAX_BRACKETS):
            refused = True
            what = f"{MAX_TERMS} terms" if terms > MAX_TERMS else f"{MAX_BRACKETS} brackets inside each other"
            yield _refused(token, f"the expression has more than {what}")
        before = token.type if token.value not in _WORDS else "operator"
    if total > MAX_TEMPLATE_TERMS and not bare:
        yield _refused(tokens[0], f"the text has {total} terms; {MAX_TEMPLATE_TERMS} are allowed")
    if not bare:
        yield from _tags(tokens)


def _counts(token: Token, before: str) -> bool:
    if token.type == "name":
        return token.value not in _WORDS
    if token.type in ("add", "sub"):
        return before not in _AFTER_VALUE
    return token.type in _OPEN or token.type in ("string", "integer", "float")


def _tags(tokens: tuple[Token, ...]) -> Iterator[Problem]:
    arms: list[int] = []
    for token, tag in pairwise(tokens):
        if token.type != "block_begin" or tag.type != "name":
            continue
        if tag.value not in TAGS:
            message = f"`{{% {tag.value} %}}` is not allowed; a template has `for` and `if`"
            yield Problem("E403", message, None, tag.offset, tag.length)
        elif tag.value in ("for", "if"):
            arms.append(0)
        elif tag.value == "elif" and arms:
            arms[-1] += 1
        elif tag.value in ("endfor", "endif") and arms:
            arms.pop()
        if len(arms) > MAX_BLOCKS or (arms and arms[-1] > MAX_ARMS):
            what = (
                f"{MAX_BLOCKS} blocks inside each other" if len(arms) > MAX_BLOCKS else f"{MAX_ARMS} `elif`"
            )
            yield _refused(tag, f"more than {what}")
            return


def _refused(token: Token, message: str) -> Problem:
    return Problem("E403", message, "split it, or work it out in a tool", token.offset, token.length)


_JINJA_WORDS = {
    "end of print statement": "}}",
    "begin of print statement": "${{",
    "end of statement block": "%}",
    "begin of statement block": "{%",
    "end of comment": "#}",
}
_QUOTED = re.compile(r"'([^']*)'")
_STRANGE = re.compile(r"unexpected char '(.+)' at \d+")
_TOO_EARLY = re.compile("[uU]nexpected end of template")


def _in_our_words(message: str) -> str:
    if message.startswith(("unexpected char '\"'", 'unexpected char "\'"')):
        return "a quote that is not closed"
    if match := _STRANGE.fullmatch(message):
        return f"`{match[1]}` has no meaning here"
    message = message.replace("unexpected 'end of template'", "the text ends too early")
    message = _TOO_EARLY.sub("the text ends too early", message)
    message = _QUOTED.sub(lambda match: f"`{_JINJA_WORDS.get(match[1], match[1])}`", message)
    message = message.replace("`end of template`", "the end").replace("print statement", "`${{`")
    message = message.replace("Jinja is expecting", "the template expects")
    message = message.replace("Jinja was looking", "It was looking").rstrip(".")
    return message[:1].lower() + message[1:]


def _open_tag(tokens: tuple[Token, ...]) -> Token | None:
    """The innermost `for` or `if` that nothing closes."""
    tags: list[Token] = []
    for token, tag in pairwise(tokens):
        if token.type == "block_begin" and tag.value in ("for", "if"):
            tags.append(tag)
        elif token.type == "block_begin" and tag.value in ("endfor", "endif") and tags:
            tags.pop()
    return tags[-1] if tags else None


def _unreadable(
    error: TemplateSyntaxError, text: str, tokens: tuple[Token, ...], index: dict[int, int]
) -> Problem:
    message = _in_our_words(error.message or "unreadable")
    number = index.get(error.lineno)
    if "end of template" in (error.message or "") and (tag := _open_tag(tokens)) is not None:
        said = f"`{{% {tag.value} %}}` is not closed"
        return Problem("E402", said, f"write `{{% end{tag.value} %}}` where it ends", tag.offset, tag.length)
    if number is None or "end of template" in (error.message or ""):
        last = tokens[-1] if tokens else Token(0, len(text), "data", text)
        return Problem("E402", message, None, last.offset, last.length)
    return Problem("E402", message, None, tokens[number].offset, tokens[number].length)
