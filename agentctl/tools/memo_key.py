"""The name under which a tool's answer is remembered, and the marks that say later why a call missed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from agentctl.json import Json, canonical, digest

MARK_SIZE = 4
"""Bytes of a mark: enough to tell two values of one project apart, too few to be a key."""
MOST_NAMES = 30
"""Arguments that are marked one by one; of a call with more only the whole is compared."""

Marks = dict[str, Json]
"""Short digests of a key's parts."""


class Scope(NamedTuple):
    """All of a key but the arguments: the same for each call of a tool, so that it is made once."""

    seed: bytes
    marks: Marks
    """`definition`, `code`, and where there are any `env` (a mark for each variable), `sandbox` and `server`."""
    secret: bytes


def memo_key(
    *,
    definition: Json,
    code: str,
    arguments: Json,
    tenant: str,
    env: Mapping[str, str],
    secret: bytes,
    sandbox: Json = None,
    server: Json = None,
    files: str = "",
) -> str:
    """32 hex digits: equal exactly when the answers may stand for each other.

    `definition` is the tool as the file writes it, `code` the digest of its code, `env` the variables it uses by
    name, `server` the name, version and address of the MCP server that answers, `files` the digest of what its
    sandbox may read. Arguments are equal as JSON (RFC 8785: key order is nothing, 12.0 is 12). The values of `env`
    and of `server` enter through a hash keyed with `secret`, so that a key in a store does not betray a short
    password to guessing. Raises ValueError for such values without a secret.
    """
    scope = memo_scope(
        definition=definition,
        code=code,
        tenant=tenant,
        env=env,
        secret=secret,
        sandbox=sandbox,
        server=server,
    )
    return key_within(scope, arguments, files=files)


def memo_scope(
    *,
    definition: Json,
    code: str,
    tenant: str,
    env: Mapping[str, str],
    secret: bytes,
    sandbox: Json = None,
    server: Json = None,
) -> Scope:
    """See memo_key. Raises ValueError for env values, or a server, without a secret."""
    seed = digest(
        {
            "v": 2,
            "definition": definition,
            "code": code,
            "tenant": tenant,
            "env": env_hash(env, secret),
            "sandbox": sandbox,
            "server": keyed_hash(server, secret) if server else "",
        }
    )
    marks: Marks = {"definition": mark(definition), "code": mark(code) if code else ""}
    if env:
        marks["env"] = {name: keyed_hash(value, secret, MARK_SIZE) for name, value in env.items()}
    if sandbox is not None:
        marks["sandbox"] = mark(sandbox)
    if server:
        marks["server"] = keyed_hash(server, secret, MARK_SIZE)
    return Scope(seed.encode(), marks, secret)


def key_within(scope: Scope, arguments: Json, *, known: Json = None, files: str = "") -> str:
    """The key of a call with these arguments.

    What a tool knows of its thread (`known`) may be in its answer, so no other thread is given it.
    """
    named = scope.seed + canonical(arguments)
    if known is not None or files:
        named += canonical([known, files])
    return hashlib.blake2b(named, digest_size=16).hexdigest()


def call_marks(scope: Scope, arguments: Json, *, known: Json = None, files: str = "") -> Marks:
    """The marks of one call: those of its scope, one for each argument, of its thread and its files."""
    marks: Marks = dict(scope.marks)
    if isinstance(arguments, dict) and len(arguments) <= MOST_NAMES and scope.secret:
        marks["args"] = {
            name: keyed_hash(value, scope.secret, MARK_SIZE) for name, value in arguments.items()
        }
    if known is not None:
        marks["known"] = mark(known)
    if files:
        marks["files"] = files[: MARK_SIZE * 2]
    return marks


def mark(value: Json) -> str:
    """The mark of a value that may be guessed."""
    return hashlib.blake2b(canonical(value), digest_size=MARK_SIZE).hexdigest()


def env_hash(env: Mapping[str, str], secret: bytes) -> str:
    """A keyed hash of variables; empty where there are none. Raises ValueError for variables without a secret."""
    return keyed_hash(dict(env), secret) if env else ""


def keyed_hash(value: Json, secret: bytes, size: int = 16) -> str:
    """A hash from which the value cannot be found by trying, without the secret. Raises ValueError without one."""
    if not secret:
        raise ValueError(
            "a memo key over env values needs a secret: without one they could be guessed from it"
        )
    key = hashlib.blake2b(secret).digest()  # of any length, to the 64 bytes that the keyed hash takes
    return hashlib.blake2b(canonical(value), key=key, digest_size=size).hexdigest()
