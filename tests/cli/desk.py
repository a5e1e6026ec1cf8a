"""A small help desk in a folder, its model played by a script."""

from __future__ import annotations

from pathlib import Path

GRAPH = """\
agentctl: 1
name: desk
models:
  default: {model: scripted/replies.yaml, retry: {attempts: 1}}
tools:
  look_up:
    python: tools:look_up
    description: Look a word up.
    parameters: {word: string}
    returns: string
    effect: read
    cache: 10m
    timeout: 10s
agents:
  sorter: {instructions: You sort., output: {desk: {enum: [help, person]}}}
  guide: {instructions: You answer., tools: [look_up], max_turns: 3}
input: [question, times]
output: [answer, desk]
state:
  question: string
  times: {type: integer, default: 1}
  desk: {enum: [help, person]}
  found: {type: string, default: ""}
  answer: {type: string, default: ""}
  verdict: {enum: [approve, reject], default: reject}
start: sort
nodes:
  sort: {agent: sorter, prompt: "Sort: ${{ state.question }} ${{ state.times }}", save: [desk], then: by_desk}
  find: {tool: look_up, args: {word: "${{ state.question }}"}, save: found, then: reply}
  reply: {agent: guide, prompt: "Answer: ${{ state.question }} ${{ state.found }}", save: answer, then: end}
  sign: {ask: "May we answer ${{ state.question }}?", choices: [approve, reject], save: verdict, then: signed}
  thanks: {set: {answer: "A person said ${{ state.verdict }}."}, then: end}
routers:
  by_desk: {by: state.desk, to: {help: find, person: sign}}
  signed: [{when: state.verdict == "approve", to: thanks}, {else: end}]
limits: {recursion: 6}
"""

TOOLS = '''\
"""Tools of the desk."""


def look_up(word: str) -> str:
    return f"<{word}>"
'''

REPLIES = """\
- {when: "Sort: money", json: {desk: person}}
- {when: "Sort:", json: {desk: help}}
- {when: "Answer: slow", say: one two three four, delay: 60}
- {when: "Answer: broken", error: server, say: the server is down}
- {else: true, say: "Like this: {last}"}
"""


def make_desk(folder: Path, *, graph: str = GRAPH, replies: str = REPLIES) -> Path:
    """The graph file, in a folder with all it needs; its threads will be kept there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tools.py").write_text(TOOLS)
    (folder / "replies.yaml").write_text(replies)
    file = folder / "graph.yaml"
    file.write_text(graph)
    return file
