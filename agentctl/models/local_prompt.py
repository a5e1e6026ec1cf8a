"""How the embedded model is told of tools and answer shapes, and what it writes read back.

Small models do not follow the tool format of their chat template. Constrained to one JSON object that names a
tool or gives the final answer, with a few examples before it, they choose well.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from agentctl.json import Json, decode, encode
from agentctl.messages import ChatRequest, Message, ToolCall, ToolOffer

DEFAULT_MAX_OUTPUT = 512
"""Tokens of one reply when the model's settings do not say."""

_FINAL = "final_answer"
_TEXT_ANSWER: Json = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}
_GREETING = ("Hi there!", "Hi! How can I help you?")
_FACT = ("What is the capital of Italy?", "The capital of Italy is Rome.")
_STORY = ("Write a story.", "Once upon a time a fox met an owl.")
_USE = ("Which fish is in tank 5?", "look_in_tank", {"tank": 5}, "a pike", "There is a pike in tank 5.")


@dataclass(frozen=True)
class Dialogue:
    """One request in the embedded model's terms."""

    request: ChatRequest

    @property
    def final(self) -> str:
        """The name under which the model answers, which no tool of the request has."""
        name = _FINAL
        while any(tool.name == name for tool in self.request.tools):
            name += "_"
        return name

    @property
    def max_output(self) -> int:
        """Tokens of the reply, at most."""
        return self.request.max_output_tokens or DEFAULT_MAX_OUTPUT

    def body(self) -> dict[str, Json]:
        """A chat completion request for llama.cpp."""
        request = self.request
        body: dict[str, Json] = {
            **request.extra,
            "messages": self._messages(),
            "temperature": request.temperature or 0.0,
            "max_tokens": self.max_output,
        }
        schema = self._schema()
        if schema is not None:
            body["response_format"] = {"type": "json_schema", "json_schema": {"schema": schema}}
        return body

    def read(self, written: str) -> tuple[str, tuple[ToolCall, ...]]:
        """The answer's text, and the calls, in what the model wrote. Raises ValueError."""
        if not self.request.tools:
            return written, ()
        choice = decode(written)
        name, arguments = choice["tool"], choice["arguments"]
        if name != self.final:
            return "", (ToolCall(f"call_{self._calls_so_far()}", name, arguments),)
        return (arguments["text"] if self.request.output is None else encode(arguments).decode()), ()

    def stream(self) -> AnswerStream:
        """What of the model's writing is answer, as it comes."""
        if not self.request.tools:
            return AnswerStream(None)
        field = None if self.request.output is not None else "text"
        return AnswerStream(_answer_start(self.final, field))

    def _calls_so_far(self) -> int:
        return sum(len(message.calls) for message in self.request.messages)

    def _schema(self) -> Json:
        tools, output = self.request.tools, self.request.output
        if not tools:
            return output
        choices = [*((tool.name, tool.parameters) for tool in tools), (self.final, output or _TEXT_ANSWER)]
        return {"anyOf": [_choice(name, schema, at) for at, (name, schema) in enumerate(choices)]}

    def _messages(self) -> list[Json]:
        rendered = [self._message(message) for message in self.request.messages]
        if rendered and self.request.messages[-1].role == "tool" and self.request.tools:
            rendered[-1]["content"] += f"\nNow tell me what it says, with {self.final}."
        system = "\n\n".join(part for part in (self._instructions(), self._rules()) if part)
        rest = rendered[1:] if self._leads_with_system() else rendered
        return [{"role": "system", "content": system}, *rest] if system else rest

    def _leads_with_system(self) -> bool:
        return bool(self.request.messages) and self.request.messages[0].role == "system"

    def _instructions(self) -> str:
        return self.request.messages[0].content if self._leads_with_system() else ""

    def _rules(self) -> str:
        if self.request.tools:
            return self._tool_rules()
        if self.request.output is not None:
            return f"Answer with one JSON object that fits this schema:\n{_compact(self.request.output)}"
        return ""

    def _tool_rules(self) -> str:
        lines = ["# Tools", 'Answer with one JSON object: {"tool":NAME,"arguments":{...}}. The tools:']
        lines += [_offer(tool) for tool in self.request.tools]
        shape = (self.request.output or _TEXT_ANSWER).get("properties", {})
        lines.append(
            f"- {self.final}: Talk to the user: greetings, thanks, jokes, texts, general knowledge, "
            f"and what a tool has found. Arguments: {_compact(shape)}"
        )
        return "\n".join([*lines, "", *self._examples()])

    def _examples(self) -> list[str]:
        if self.request.output is not None:
            return []
        asked, tool, arguments, found, answer = _USE
        lines = ["# Examples"]
        for question, reply in (_GREETING, _FACT, _STORY):
            lines += [f"User: {question}", self._say(reply)]
        lines += [f"User: {asked}", _call(tool, arguments)]
        return [*lines, f"Result of {tool}: {_compact(found)}", self._say(answer)]

    def _message(self, message: Message) -> dict[str, Json]:
        if message.role == "tool":
            return {"role": "user", "content": f"Result of {self._name(message)}: {message.content}"}
        if message.role == "assistant" and message.calls:
            calls = [_call(call.name, call.arguments) for call in message.calls]
            return {"role": "assistant", "content": "\n".join(calls)}
        if message.role == "assistant" and self.request.tools:
            return {"role": "assistant", "content": self._say(message.content)}
        return {"role": message.role, "content": message.content}

    def _say(self, text: str) -> str:
        return _call(self.final, {"text": text})

    def _name(self, answer: Message) -> str:
        """The tool whose call a `tool` message answers."""
        for message in self.request.messages:
            for call in message.calls:
                if call.id == answer.call_id:
                    return call.name
        return "the tool"


class AnswerStream:
    """Finds the answer in JSON that is still being written, and gives its text piece by piece."""

    def __init__(self, start: re.Pattern[str] | None) -> None:
        self._start = start
        """What comes before the answer's text; None when all of the writing is the answer."""
        self._pending = ""
        self._in_answer = start is None

    def add(self, piece: str) -> str:
        """Take what the model wrote next and return what of the answer it brings."""
        if self._start is None:
            return piece
        self._pending += piece
        if not self._in_answer:
            found = self._start.match(self._pending)
            if found is None:
                return ""
            self._in_answer, self._pending = True, self._pending[found.end() :]
        return self._take()

    def _take(self) -> str:
        """The text up to the last whole character; an escape may still be half written."""
        whole = _WHOLE.match(self._pending)
        if whole is None or not whole[0]:
            return ""
        self._pending = self._pending[whole.end() :]
        return str(json.loads(f'"{whole[0]}"'))


# A high surrogate waits for its other half, so that no lone one is ever handed on.
_WHOLE = re.compile(
    r'(?:[^"\\]|\\["\\/bfnrt]|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4}|\\u(?![dD][89abAB])[0-9a-fA-F]{4})*'
)


def _answer_start(final: str, field: str | None) -> re.Pattern[str]:
    """Matches up to the opening quote of the answer's text; nothing when the answer is an object."""
    if field is None:
        return re.compile(r"(?!)")
    parts = ["{", '"tool"', ":", f'"{final}"', ",", '"arguments"', ":", "{", f'"{field}"', ":", '"']
    return re.compile(r"\s*" + r"\s*".join(re.escape(part) for part in parts))


def _choice(name: str, arguments: Json, at: int) -> Json:
    return {
        "type": "object",
        "properties": {
            "tool": {"const": name},
            "arguments": _moved(arguments, f"#/anyOf/{at}/properties/arguments"),
        },
        "required": ["tool", "arguments"],
        "additionalProperties": False,
    }


def _moved(schema: Json, place: str) -> Json:
    """A schema whose references to itself still hold where it now stands."""
    if isinstance(schema, list):
        return [_moved(part, place) for part in schema]
    if not isinstance(schema, dict):
        return schema
    moved = {key: _moved(value, place) for key, value in schema.items()}
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        moved["$ref"] = place + reference[1:]
    return moved


def _offer(tool: ToolOffer) -> str:
    return f"- {tool.name}: {tool.description} Arguments: {_compact(tool.parameters.get('properties', {}))}"


def _call(name: str, arguments: Json) -> str:
    return encode({"tool": name, "arguments": arguments}).decode()


def _compact(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)
