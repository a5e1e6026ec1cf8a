"""Tools of a store: search, add, get and delete documents of the caller's tenant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from agentctl.errors import ModelError, StoreError, ToolError, UsageError
from agentctl.graph.plan import StorePlan, StoreWork
from agentctl.json import Json, encode
from agentctl.tools.call import Call

if TYPE_CHECKING:  # what it needs is an extra, loaded when a store is used
    from agentctl.store.documents.documents import Documents, Found
    from agentctl.store.documents.table import Document

_LEAST_SHOWN = 200
"""Characters: a passage that is shorter tells nothing."""


class StoreTools:
    """Calls the tools of stores; `open` gives the documents of a store, opened once."""

    def __init__(self, open: Callable[[StorePlan], Documents]) -> None:
        self._open = open

    async def call(self, work: StoreWork, call: Call) -> Json:
        """One try. Raises ToolError, CannotRun."""
        timeout = call.tool.timeout
        deadline = asyncio.timeout(timeout)
        try:
            async with deadline:
                return await _operate(self._open(work.store), work.operation, call)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise ToolError(
                "timeout", f"store `{work.store.name}` did not answer within {timeout:g}s"
            ) from error
        except ModelError as error:  # it was tried as often as its settings say
            raise ToolError("tool_failed", error.message, hint=error.hint, retryable=False) from error
        except (StoreError, UsageError) as error:
            raise _failed(error) from error


async def _operate(documents: Documents, operation: str, call: Call) -> Json:
    given, tenant = call.arguments, call.tenant
    match operation:
        case "search":
            found = await documents.search(
                given["query"],
                top=given.get("top", 5),
                by=given.get("by", "both"),
                metadata=given.get("metadata"),
                tenant=tenant,
                charge=call.charge,
            )
            return _within(found, call.tool.max_result)
        case "add":
            from agentctl.store.documents.documents import Draft

            draft = Draft(given["text"], given.get("title"), given.get("metadata") or {})
            [id] = await documents.add([draft], tenant=tenant, charge=call.charge)
            return {"id": id}
        case "archive":  # of a context policy, not of a file: many at once
            from agentctl.store.documents.documents import Draft

            drafts = [Draft(each["text"], None, each["metadata"]) for each in given["documents"]]
            return {"kept": len(await documents.add(drafts, tenant=tenant, charge=call.charge))}
        case "get":
            document = await documents.get(given["id"], tenant=tenant)
            return None if document is None else _shown(document)
        case "delete":
            await documents.delete([given["id"]], tenant=tenant)
            # not whether it was there: a call made again after a crash answers the same
            return {"id": given["id"]}
        case _:
            raise AssertionError(f"a store has no operation {operation!r}")


def _within(found: Sequence[Found], most: int) -> list[Json]:
    """The results; where they take more bytes than a tool may answer, each long text is cut to its best passage."""
    shown = [{**_shown(one.document), "score": one.score} for one in found]
    length = max((len(result["text"]) for result in shown), default=0)
    while len(encode(shown)) > most and length > _LEAST_SHOWN:
        length = max(length // 2, _LEAST_SHOWN)
        for result, one in zip(shown, found, strict=True):
            if len(result["text"]) > length:
                start = max(0, min(one.start, len(one.document.text) - length))
                result["text"] = one.document.text[start : start + length]
                result["cut"] = True
    return shown


def _shown(document: Document) -> dict[str, Json]:
    title = {} if document.title is None else {"title": document.title}
    return {"id": document.id, **title, "text": document.text, "metadata": dict(document.metadata)}


def _failed(error: StoreError | UsageError) -> ToolError:
    from agentctl.store.documents.database import LockedStore

    return ToolError("tool_failed", error.message, hint=error.hint, retryable=isinstance(error, LockedStore))
