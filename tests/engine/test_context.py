"""Context policies: what of a long conversation is sent, and that nothing of it is lost when it is shortened."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import agentctl
from agentctl.errors import ModelError, ToolError
from agentctl.graph.plan import Model
from agentctl.messages import ChatReply, ChatRequest, Message, ToolCall
from agentctl.models.groups import Hearing, ModelAnswer
from agentctl.nodes.context import cut_at, tokens_of
from agentctl.store.memory import MemoryThreadStore
from agentctl.tools.call import Call
from tests.engine.desk import Bench, Desk, calls, compiled, said

Json = Any
TALK = """
    agentctl: 1
    name: talk
    stores: {talks: {}}
    agents:
      companion: {instructions: You talk., context: CONTEXT, TOOLS}
      condenser: {instructions: You shorten.}
    tools:
      look: {python: "tools:look", effect: read, parameters: {at: string}}
    input: [question]
    output: [answer]
    state:
      question: string
      messages: MESSAGES
      summary: {type: string, default: ""}
      answer: string
    start: reply
    nodes:
      reply: {agent: companion, history: messages, prompt: "${{ state.question }}", save: answer, then: end}
"""
LAYERS = "{window: 4, summarise: {into: summary, over: 8, agent: condenser}, archive: talks, recall: 2}"


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentctl.retry.Backoff.wait", lambda *_, **__: 0.0)


@dataclass
class Companion(Desk):
    """Answers each question by itself, and keeps an archive; `condense` is what the condenser says."""

    kept: dict[str, Json] = field(default_factory=dict)
    condense: Callable[[ChatRequest], ChatReply] = lambda request: said(
        f"so far {len(request.messages[-1].content)} characters of a long talk were had, in short"
    )
    archives: bool = True
    uses_tool: bool = False
    output: int = 5
    """Tokens that the companion says its answers take."""

    def is_condenser(self, request: ChatRequest) -> bool:
        return request.messages[0].content == "You shorten."

    async def chat(self, model: Model, request: ChatRequest, hearing: Hearing) -> ModelAnswer:
        self.asked.append(request)
        await asyncio.sleep(0)
        if self.is_condenser(request):
            reply = self.condense(request)
        elif self.uses_tool and request.messages[-1].role == "user":
            reply = calls(("look", {"at": request.messages[-1].content}))
        else:
            text = f"answer to {request.messages[-1].content}, at such a length that it is referred to"
            reply = said(text, output=self.output)
        return ModelAnswer.of(reply, model.reference, 0.25)

    async def _work(self, call: Call) -> Json:
        self.worked.append((call.tool.name, call.arguments, None))
        match call.tool.name:
            case "look":
                return f"seen {call.arguments['at']}"
            case "talks.archive":
                if not self.archives:
                    raise ToolError("tool_failed", "the disk is full", retryable=False)
                self.kept |= {repr(each): each for each in call.arguments["documents"]}
                return {"kept": len(call.arguments["documents"])}
            case _:
                found = [each for each in self.kept.values() if call.arguments["query"] in each["text"]]
                return [{"id": "d", "score": 1.0, **each} for each in found[: call.arguments["top"]]]


def talk(context: str = LAYERS, messages: str = "messages", tools: str = "", **desk: Any) -> Bench:
    text = TALK.replace("CONTEXT", context).replace("MESSAGES", messages).replace("TOOLS", tools)
    return Bench(compiled(text), Companion(**desk))


def ask_each(bench: Bench, count: int, start: int = 1) -> None:
    for n in range(start, start + count):
        outcome = bench.run(question=f"question {n:03}")
        assert outcome.status == "done", outcome.error


def sent(bench: Bench) -> list[ChatRequest]:
    """What the companion was sent."""
    assert isinstance(bench.desk, Companion)
    return [request for request in bench.desk.asked if not bench.desk.is_condenser(request)]


def state_of(bench: Bench) -> dict[str, Json]:
    return asyncio.run(_state(bench))


async def _state(bench: Bench) -> dict[str, Json]:
    from agentctl.engine.reading import history_in

    history = await history_in(bench.store, "t", bench.graph)
    return dict(history.state.values)


def archived(bench: Bench) -> list[str]:
    assert isinstance(bench.desk, Companion)
    return [each["text"] for each in bench.desk.kept.values()]


def test_sixty_turns_keep_the_prompt_bounded_and_every_message_is_found() -> None:
    bench = talk()
    ask_each(bench, 60)
    sizes = [sum(len(m.content) for m in request.messages) for request in sent(bench)]
    assert max(len(request.messages) for request in sent(bench)) <= 8 + 3  # instructions, memory, the prompt
    assert max(sizes[50:]) <= max(sizes[10:20]) * 1.2
    found = [*archived(bench), *(message["content"] for message in state_of(bench)["messages"])]
    for n in range(1, 61):
        assert sum(text == f"question {n:03}" for text in found) == 1
        assert sum(text.startswith(f"answer to question {n:03}") for text in found) == 1
    assert bench.replay().divergences == ()


def test_what_is_sent_is_the_summary_then_what_was_recalled_then_every_message_since() -> None:
    bench = talk()
    ask_each(bench, 5)
    assert [m.content for m in sent(bench)[4].messages][:2] == ["You talk.", "question 001"]
    bench.run(question="question 001")
    instructions, memory, *rest = sent(bench)[-1].messages
    assert instructions.content == "You talk."
    assert "in short:\nso far" in memory.content
    assert "- [user, left in turn 6]: question 001" in memory.content
    assert [m.content for m in rest if m.role == "user"] == ["question 004", "question 005", "question 001"]
    assert state_of(bench)["summary"].startswith("so far")
    types = bench.seen.types()
    assert "context.summarised" in types
    assert "context.recalled" in types
    assert "context.trimmed" in types


def test_the_summary_goes_on_from_the_one_before() -> None:
    bench = talk()
    ask_each(bench, 9)
    assert isinstance(bench.desk, Companion)
    first, second = [request for request in bench.desk.asked if bench.desk.is_condenser(request)][:2]
    assert "The summary so far" not in first.messages[-1].content
    assert "The summary so far:\nso far" in second.messages[-1].content


def test_a_summary_is_a_model_call_and_counts_in_the_budgets() -> None:
    bench = talk()
    ask_each(bench, 5)
    outcome = bench.run(question="one more")
    assert outcome.model_calls == 2
    assert outcome.cost == 0.5
    effects = [record["key"] for record in bench.records() if record["kind"] == "effect"]
    assert "6/context!1.1.0" in effects
    assert "6/context/archive!1.0.0" in effects


def test_a_result_is_never_sent_without_its_call() -> None:
    for messages in ("messages", "{type: messages, keep: 7}"):
        bench = talk(LAYERS.replace("4", "3"), messages, tools="tools: [look]", uses_tool=True)
        ask_each(bench, 20)
        for request in sent(bench):
            asked: set[str] = set()
            for message in request.messages:
                assert message.role != "tool" or message.call_id in asked
                asked = {call.id for call in message.calls} if message.calls else asked
        assert bench.replay().divergences == ()


def test_a_result_that_keep_parted_from_its_call_leaves_with_the_rest() -> None:
    policy = "{window: 3, summarise: {into: summary, over: 4, agent: condenser}, archive: talks}"
    bench = talk(policy, "{type: messages, keep: 6}", "tools: [look]", uses_tool=True)
    ask_each(bench, 2)
    assert state_of(bench)["messages"][0]["role"] == "tool"
    assert isinstance(bench.desk, Companion)
    bench.desk.uses_tool = False
    ask_each(bench, 1, start=3)
    roles = [message["role"] for message in state_of(bench)["messages"]]
    assert roles == ["assistant", "tool", "assistant", "user", "assistant"]


def test_a_cut_stands_before_a_call_not_inside_it() -> None:
    call = Message("assistant", "", (ToolCall("c", "look", {}),))
    result = Message("tool", "seen", call_id="c")
    user = Message("user", "hello")
    assert cut_at([user, user, call, result, result, user], 3) == 2
    assert cut_at([user, user], 2) == 0
    assert cut_at([call, result, result, user, user], 3) == 3
    assert cut_at([call, result, result], 1) == 0


TOKENS = "{window: 2, summarise: {into: summary, over: 120 tokens, agent: condenser}}"


def test_over_may_be_tokens_as_the_model_counts_them() -> None:
    bench = talk(TOKENS, output=30)
    ask_each(bench, 12)
    events = [event.data for event in bench.seen.events if event.type == "context.summarised"]
    assert {data["counted"] for data in events} == {"usage"}
    # each pair takes 30 as the model said, and 4 and a few for the question: the third pair is too much
    assert events[0]["messages"] == 4
    assert 120 < events[0]["tokens"] < 170
    assert state_of(bench)["messages"][1]["tokens"] == 30
    for request in sent(bench):
        assert tokens_of(request.messages[2:-1]).tokens <= 120
    assert bench.replay().divergences == ()


def test_tokens_that_no_model_has_counted_are_estimated() -> None:
    bench = talk(TOKENS, output=0)
    ask_each(bench, 12)
    events = [event.data for event in bench.seen.events if event.type == "context.summarised"]
    assert {data["counted"] for data in events} == {"estimate"}
    assert tokens_of([Message("user", "x" * 394)]) == (104, "estimate")


def test_a_window_alone_sends_less_and_takes_nothing_away() -> None:
    bench = talk("{window: 4}")
    ask_each(bench, 10)
    assert len(sent(bench)[-1].messages) == 1 + 4 + 1
    assert len(state_of(bench)["messages"]) == 20


def test_an_archive_alone_takes_away_what_it_keeps() -> None:
    bench = talk("{window: 4, archive: talks}")
    ask_each(bench, 10)
    left = state_of(bench)["messages"]
    assert len(left) <= 10
    assert len(left) + len(archived(bench)) == 20
    assert "context.archived" in bench.seen.types()


def hostile(request: ChatRequest) -> ChatReply:
    raise ModelError("refused", "no")


@pytest.mark.parametrize(
    "condense", [hostile, lambda _: said(""), lambda _: said("x" * 100_000)], ids=["fails", "empty", "huge"]
)
def test_without_a_usable_summary_the_talk_goes_on_whole_and_says_so(
    condense: Callable[[ChatRequest], ChatReply],
) -> None:
    bench = talk(condense=condense)
    ask_each(bench, 8)
    assert len(state_of(bench)["messages"]) == 16
    assert state_of(bench)["summary"] == ""
    assert archived(bench) == []
    assert "context.failed" in bench.seen.types()
    warnings = [event.data["message"] for event in bench.seen.events if event.type == "warning"]
    assert warnings
    assert "went on without" in warnings[0]
    assert bench.replay().divergences == ()
    assert isinstance(bench.desk, Companion)
    bench.desk.condense = lambda _: said("at last")
    ask_each(bench, 1, start=9)
    assert state_of(bench)["summary"] == "at last"
    assert len(archived(bench)) == 12


def test_what_cannot_be_archived_stays_in_the_history() -> None:
    bench = talk(archives=False)
    ask_each(bench, 8)
    assert len(state_of(bench)["messages"]) == 16
    assert state_of(bench)["summary"] == ""
    assert bench.replay().divergences == ()


def test_a_model_cannot_shorten_a_history_by_its_answer() -> None:
    bench = talk("{window: 4}")
    ask_each(bench, 3)
    from agentctl.errors import NodeError
    from agentctl.state import State

    state = State.fresh(bench.graph.fields)
    with pytest.raises(NodeError):
        state.prepare([("messages", {"drop": 2})])


def test_a_kill_at_any_record_of_a_shortening_step_loses_nothing_and_asks_nothing_twice() -> None:
    bench = talk()
    ask_each(bench, 5)
    before = len(bench.records())
    asked_before = len(bench.desk.asked)
    bench.run(question="question 006")
    records, whole = bench.records(), bench.replay()
    assert whole.divergences == ()
    made = [r["key"] for r in records[before:] if r["kind"] == "effect"]
    assert len(made) == 4  # summary, archive, recall, answer
    # the archive may hold what its record does not tell yet
    for keep, is_kept in product(range(before + 1, len(records)), (False, True)):
        again = _cut_after(bench, records[:keep], is_kept=is_kept)
        again.resume()
        known = [r for r in records[before:keep] if r["kind"] == "effect" and r["of"] == "model"]
        assert len(again.desk.asked) == len(bench.desk.asked) - asked_before - len(known)
        report = again.replay()
        assert report.divergences == ()
        assert report.digest == whole.digest
        assert state_of(again) == state_of(bench)
        assert sorted(archived(again)) == sorted(archived(bench))


def _cut_after(bench: Bench, records: Sequence[Json], is_kept: bool) -> Bench:
    """A bench whose thread has these records, as a process that was killed then leaves it; its archive, as it was
    left at that moment."""
    assert isinstance(bench.desk, Companion)
    is_archived = any(r.get("key", "").endswith("/archive!1.0.0") for r in records)
    kept = dict(bench.desk.kept) if is_archived or is_kept else {}
    again = Bench(bench.graph, Companion(kept=kept), store=MemoryThreadStore(), ran=dict(bench.ran))

    async def fill() -> None:
        await again.store.save_file(bench.graph.digest, bench.graph.recording)
        log = await again.store.open("t")
        await log.append(list(records))
        await log.close()

    asyncio.run(fill())
    return again


FILE = """
agentctl: 1
name: talk
stores: {talks: {}}
models: {default: {model: scripted}}
agents:
  companion: {instructions: You talk., context: CONTEXT}
  condenser: {instructions: You shorten., model: scripted/short.yaml}
input: [question]
output: [answer]
state:
  question: string
  messages: messages
  summary: {type: string, default: ""}
  answer: string
start: reply
nodes:
  reply: {agent: companion, history: messages, prompt: "${{ state.question }}", save: answer, then: end}
"""


def written(folder: Path, context: str, code: str = "") -> Path:
    path = folder / "talk.yaml"
    path.write_text(FILE.replace("CONTEXT", context))
    (folder / "short.yaml").write_text("- {else: true, say: They greeted each other.}\n")
    (folder / "policy.py").write_text(code)
    return path


def test_a_real_archive_finds_what_left_and_keeps_it_to_its_thread(tmp_path: Path) -> None:
    pytest.importorskip("apsw", reason="stores need `pip install .[stores]`")
    pytest.importorskip("sqlite_vec", reason="stores need `pip install .[stores]`")
    store = tmp_path / ".agentctl"
    graph = agentctl.load(written(tmp_path, LAYERS), store=store)
    from agentctl.store.documents.documents import Documents

    graph.run({"question": "the password of the shed is heron"}, thread="a")
    for n in range(8):
        question = f"and number {n}?" if n > 1 else "the same twice"
        assert graph.run({"question": question}, thread="a").status == "done"
    outcome = graph.run({"question": "what was the password of the shed"}, thread="a")
    assert outcome.status == "done", outcome.error
    assert graph.run({"question": "the password of the shed?"}, thread="b").status == "done"

    async def count() -> int:
        documents = Documents(store / "stores" / "talks")
        try:
            return await documents.count()
        finally:
            await documents.close()

    # 20 were said in thread a, equal ones too; each is either archived or in the history
    assert asyncio.run(count()) == 20 - len(_history(graph, store, "a"))
    assert _recalled(store, "a")[-1]
    assert "heron" in _recalled(store, "a")[-1][0]["text"]
    assert _recalled(store, "b") == [[]]
    assert agentctl.replay("a", store=store).divergences == ()


def _history(graph: agentctl.LoadedGraph, store: Path, thread: str) -> list[Json]:
    from agentctl.engine.reading import history_in
    from agentctl.store.folder import open_thread_store

    async def read() -> list[Json]:
        threads = open_thread_store(store)
        try:
            history = await history_in(threads, thread, graph.graph)
        finally:
            await threads.close()
        messages: list[Json] = history.state.values["messages"]
        return messages

    return asyncio.run(read())


def _recalled(store: Path, thread: str) -> list[Json]:
    from agentctl.store.folder import open_thread_store

    async def rows() -> list[Json]:
        threads = open_thread_store(store)
        try:
            return [record for _, record in await threads.read(thread)]
        finally:
            await threads.close()

    return [r["res"] for r in asyncio.run(rows()) if r["kind"] == "effect" and "/recall" in r["key"]]


def test_a_policy_of_ones_own_decides_what_is_sent(tmp_path: Path) -> None:
    code = "def last(messages: list) -> list:\n    return messages[-2:]\n"
    path = written(tmp_path, '{python: "policy:last"}', code)
    graph = agentctl.load(path, store=tmp_path / ".agentctl")
    outcomes = [graph.run({"question": f"question {n}"}, thread="a") for n in range(3)]
    assert [outcome.status for outcome in outcomes] == ["done"] * 3, outcomes[-1].error
    (tmp_path / "policy.py").unlink()
    assert agentctl.replay("a", store=tmp_path / ".agentctl").divergences == ()


def test_a_policy_that_parts_a_result_from_its_call_is_the_nodes_error(tmp_path: Path) -> None:
    code = 'def bad(messages: list) -> list:\n    return [{"role": "tool", "content": "x", "call_id": "c"}]\n'
    path = written(tmp_path, '{python: "policy:bad"}', code)
    outcome = agentctl.load(path, store=tmp_path / ".agentctl").run({"question": "hello"})
    assert outcome.status == "failed"
    assert outcome.error is not None
    assert "stands without its call" in str(outcome.error)


def test_a_dry_run_shows_what_the_policy_calls(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "agentctl",
        "run",
        str(written(tmp_path, LAYERS)),
        "--dry-run",
        "-i",
        "question=x",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "talks.recall   read: store talks" in done.stdout, done.stderr
