"""What became of a message: its row in the log, its cases, its effects, each exactly."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import asyncpg
import msgspec

from canonical.events import SOURCE
from tests.hostile.sending import Sent

DEADLINE_S = 15.0


class Case(msgspec.Struct, frozen=True):
    """What a case says, without its free text."""

    code: str
    word: str
    owner: str
    place: str


class Found(msgspec.Struct, frozen=True):
    """What became of one message.

    kept: the body as it stands in the log. lines: warnings about it in the service's log.
    """

    id: str
    source: str
    key: str
    outcome: str
    attributes: Mapping[str, str]
    kept: bytes
    cases: tuple[Case, ...]
    lines: tuple[Mapping[str, Any], ...]


class Before(msgspec.Struct, frozen=True):
    """How much there was of everything; nothing in front of the first start."""

    received: float = 0.0
    warnings: int = 0
    seq: int = 0
    case: int = 0
    audit: int = 0


_LOGGED = """
    select m.*, i.outcome from message m
    join inbox i on i.message_at = m.at and i.message_seq = m.seq
    where m.direction = 'in' and m.seq > $2 and sha256(m.body) = $1
"""


def digest_of(sent: Sent) -> bytes:
    """By which its body is found in the log."""
    return hashlib.sha256(sent.body).digest()


async def is_settled(database: Any, sent: Sent, seq: int) -> bool:
    """Its fate is committed, at a place in the log after `seq`."""
    query = f"select true from ({_LOGGED}) m limit 1"
    return bool(await database.fetchval(query, digest_of(sent), seq))


async def assert_applied_once(database: Any, sent: Sent, seq: int) -> None:
    """The document it states is there in its first version, and nothing of it is there twice."""
    rows = await database.fetch(_LOGGED, digest_of(sent), seq)
    assert [row["outcome"] for row in rows] == ["applied"]
    key = rows[0]["key"]

    async def is_known() -> bool:
        return bool(await database.fetchval("select true from document where key = $1", key))

    await until(is_known, f"{key} is a document")
    assert await database.fetchval("select count(*) from document_version where key = $1", key) == 1
    events = await database.fetch(
        "select kind, causation_id from message where direction = 'out' and key = $1", key
    )
    assert len({event["kind"] for event in events}) == len(events)
    # One states it; what that means to others is said of our own event.
    stated = [event for event in events if event["causation_id"] == rows[0]["id"]]
    assert rows[0]["source"] == SOURCE or len(stated) == 1


async def holds(condition: bool) -> bool:
    return condition


async def until(condition: Callable[[], Any], what: str, *, within_s: float = DEADLINE_S) -> None:
    """Looks again and again until it holds; fails after the deadline."""
    end = time.monotonic() + within_s
    while not await condition():
        assert time.monotonic() < end, f"not within {within_s} s: {what}"
        await asyncio.sleep(0.02)


class connected:
    """A connection to the database of the service."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> Any:
        self._connection = await asyncpg.connect(self._url)
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()


def case(found: Found, code: str, where: str, *, word: str = "data_quality") -> Sequence[Case]:
    """The one case of a message that was not read, exactly."""
    about = f"message {found.id[:16]} from {found.source}"
    owner = f"sender ({found.source})"
    return (Case(code, word, owner, f"{about}: {where}" if where else about),)


async def found_of(database: Any, sent: Sent, before: Before) -> Found:
    """What stands in the database about it; the log is not looked at."""
    row = await database.fetchrow(f"{_LOGGED} order by m.seq limit 1", digest_of(sent), before.seq)
    cases = await database.fetch(
        "select code, word, owner, place from exception_case"
        " where message_at = $1 and message_seq = $2 and id > $3",
        row["at"],
        row["seq"],
        before.case,
    )
    return Found(
        id=row["id"],
        source=row["source"],
        key=row["key"],
        outcome=row["outcome"],
        attributes=json.loads(row["attributes"]),
        kept=row["body"],
        cases=tuple(Case(**dict(case)) for case in cases),
        lines=(),
    )
