"""One call to a target system as values: what a driver asks for and what came back."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Request(msgspec.Struct, frozen=True):
    """A call that a channel performs as it stands.

    path: below the system's base URL, without query.
    effectful: True if the target may change by it; a lost answer is then in doubt.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    effectful: bool = True


class Response(msgspec.Struct, frozen=True):
    """A complete answer: status, headers with lower-case names, body bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes
