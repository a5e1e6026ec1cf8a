"""The name under which a tool's answer is remembered."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from agentctl.json import Json, canonical, digest


def memo_key(
    *,
    definition: Json,
    code: str,
    arguments: Json,
    tenant: str,
    env: Mapping[str, str],
    secret: bytes,
    sandbox: Json = None,
) -> str:
    """32 hex digits: equal exactly when the answers may stand for each other.

    `definition` is the tool as the file writes it, `code` the digest of its code, `env` the variables it uses by
    name. Arguments are equal as JSON (RFC 8785: key order is nothing, 12.0 is 12). The values of `env` enter
    through a hash keyed with `secret`, so that a key in a store does not betray a short password to guessing.
    Raises ValueError for variables without a secret.
    """
    scope = memo_scope(
        definition=definition, code=code, tenant=tenant, env=env, secret=secret, sandbox=sandbox
    )
    return key_within(scope, arguments)


def memo_scope(
    *, definition: Json, code: str, tenant: str, env: Mapping[str, str], secret: bytes, sandbox: Json = None
) -> bytes:
    """All of a key but the arguments: the same for each call of a tool, so that it is made once."""
    return digest(
        {
            "v": 1,
            "definition": definition,
            "code": code,
            "tenant": tenant,
            "env": _env_hash(env, secret),
            "sandbox": sandbox,
        }
    ).encode()


def key_within(scope: bytes, arguments: Json) -> str:
    """The key of a call with these arguments."""
    return hashlib.blake2b(scope + canonical(arguments), digest_size=16).hexdigest()


def _env_hash(env: Mapping[str, str], secret: bytes) -> str:
    if not env:
        return ""
    if not secret:
        raise ValueError(
            "a memo key over env values needs a secret: without one they could be guessed from it"
        )
    key = hashlib.blake2b(secret).digest()  # of any length, to the 64 bytes that the keyed hash takes
    return hashlib.blake2b(canonical(dict(env)), key=key, digest_size=16).hexdigest()
