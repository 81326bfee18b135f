"""SQL for what is told afterwards: cases that were not told of yet, and what was told once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

import msgspec

from broker.slices import ROWS
from broker.store.connection import Tx
from canonical.facts import DOCUMENT_TYPES, Document

HERALD_LOCK = 0x4C61_7948  # "LayH"


class CaseNews(msgspec.Struct, frozen=True):
    """A case of which its subscribers know less than there is. closed_at: None while it is open;
    about: business object that waits by it."""

    id: int
    code: str
    word: str
    what: str
    place: str
    remedy: str
    owner: str
    source: str
    about: str
    opened_at: datetime
    closed_at: datetime | None
    closed_by: str
    correlation_id: str


async def try_herald_lock(tx: Tx) -> bool:
    """Whether this transaction is the one that tells now."""
    return bool(await tx.fetchval("select pg_try_advisory_xact_lock($1)", HERALD_LOCK))


async def untold_cases(tx: Tx, *, limit: int) -> list[CaseNews]:
    """Open cases whose opening, and resolved ones whose end was not told yet, in the order in which
    they were opened. What was opened and resolved before anybody heard of it is no news."""
    rows = await tx.fetch(
        """
        select e.id, e.code, e.word, e.what, e.place, e.remedy, e.owner, e.source,
               case when e.key = '' then e.ledger_key else e.key end as about,
               e.opened_at, e.closed_at, e.closed_by,
               coalesce(
                   (select m.correlation_id from message m
                    where m.at = e.message_at and m.seq = e.message_seq limit 1),
                   (select l.correlation_id from ledger l where l.key = e.ledger_key limit 1),
                   '') as correlation_id
        from exception_case e
        where (e.state = 'open' and e.told = 0) or (e.state = 'resolved' and e.told = 1)
        order by e.id limit $1
        """,
        limit,
    )
    return [CaseNews(**dict(row)) for row in rows]


async def mark_told(tx: Tx, cases: Sequence[CaseNews]) -> None:
    """Their subscribers know so much. One that was resolved meanwhile is news again."""
    await tx.execute(
        """
        update exception_case e set told = t.told
        from unnest($1::bigint[], $2::smallint[]) as t(id, told) where e.id = t.id
        """,
        [case.id for case in cases],
        [1 if case.closed_at is None else 2 for case in cases],
    )


async def documents_of(tx: Tx, kind: str) -> AsyncIterator[Document]:
    """All documents of that kind, as of the first one."""
    # A portal, read in slices: once through the table, and never all of them at hand.
    cursor = await tx.cursor("select body from document where starts_with(key, $1)", f"{kind}/")
    while rows := await cursor.fetch(ROWS):
        for row in rows:
            yield msgspec.json.decode(row["body"], type=DOCUMENT_TYPES[kind])


async def told_first(tx: Tx, occasions: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the (key, occasion) that were not told before; they are now."""
    rows = await tx.fetch(
        """
        insert into told_once (key, what)
        select * from unnest($1::text[], $2::text[]) as t(key, what) order by 1, 2
        on conflict do nothing
        returning key, what
        """,
        [key for key, _ in occasions],
        [what for _, what in occasions],
    )
    return {(r["key"], r["what"]) for r in rows}
