"""SQL for what was known, said and done when a message was decided: read, never written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from broker.ledger import LedgerStep
from broker.store.connection import Position, Tx
from broker.store.documents import Stored
from broker.store.steps import ledger_step
from canonical.effects import Finding
from canonical.facts import DOCUMENT_TYPES, Known

Cause = tuple[str, str]
"""(correlation id, id of the message that caused it)"""


class Said(msgspec.Struct, frozen=True):
    """An event that a message led to, as it was emitted."""

    type: str
    key: str
    body: bytes


class Outcome(msgspec.Struct, frozen=True):
    """How handling a message ended. codes: of the cases it opened by failing, the last one last."""

    word: str
    position: Position
    codes: tuple[str, ...]


class Version(msgspec.Struct, frozen=True):
    """A state that a document had. version, stated: as in Put."""

    key: str
    version: int
    stated: int
    digest: bytes
    body: bytes


class PlannedLedger(msgspec.Struct, frozen=True):
    """A ledger as it stands, with its steps and their operations by step id."""

    key: str
    title: str
    version: int
    position: Position
    findings: tuple[Finding, ...]
    steps: tuple[LedgerStep, ...]
    operations: Mapping[int, bytes]


async def said(tx: Tx, causes: Iterable[Cause]) -> dict[Cause, list[Said]]:
    """The events these messages led to, in the order in which they were emitted."""
    wanted = sorted(set(causes))
    if not wanted:
        return {}
    rows = await tx.fetch(
        """
        select m.correlation_id, m.causation_id, m.type, m.key, m.body
        from unnest($1::text[], $2::text[]) as c(correlation_id, causation_id)
        join message m using (correlation_id, causation_id)
        where m.direction = 'out' order by m.seq
        """,
        [c[0] for c in wanted],
        [c[1] for c in wanted],
    )
    events: dict[Cause, list[Said]] = {}
    for r in rows:
        cause = (r["correlation_id"], r["causation_id"])
        events.setdefault(cause, []).append(Said(r["type"], r["key"], r["body"]))
    return events


async def outcome(tx: Tx, identity: tuple[str, str, str]) -> Outcome | None:
    """How handling the message ended; None where nobody is known to have handled it."""
    row = await tx.fetchrow(
        """
        select i.outcome, i.message_at, i.message_seq,
               array(select c.code from exception_case c
                     where c.message_at = i.message_at and c.message_seq = i.message_seq
                       and c.origin = 'message' order by c.id) as codes
        from inbox i where i.subscription = $1 and i.source = $2 and i.id = $3
        """,
        *identity,
    )
    if row is None:
        return None
    place = Position(row["message_at"], row["message_seq"])
    return Outcome(row["outcome"], place, tuple(row["codes"]))


async def documents_before(tx: Tx, keys: Iterable[str], place: Position) -> dict[str, Stored]:
    """The documents as the messages before that place of the log left them."""
    rows = await tx.fetch(
        """
        select v.* from unnest($1::text[]) as w(key)
        cross join lateral (
            select * from document_version d
            where d.key = w.key and (d.message_at, d.message_seq) < ($2, $3)
            order by d.row_version desc limit 1
        ) v
        """,
        sorted(set(keys)),
        place.at,
        place.seq,
    )
    return {
        r["key"]: Stored(
            known=Known(
                version=r["row_version"],
                document=msgspec.json.decode(
                    r["body"], type=DOCUMENT_TYPES[r["key"].partition("/")[0]]
                ),
            ),
            version=r["version"],
            stated=r["stated"],
            digest=r["digest"],
        )
        for r in rows
    }


async def stored_by(tx: Tx, place: Position) -> list[Version]:
    """What the message at that place of the log stored."""
    rows = await tx.fetch(
        """
        select key, version, stated, digest, body from document_version
        where message_at = $1 and message_seq = $2 order by key
        """,
        place.at,
        place.seq,
    )
    return [Version(**dict(r)) for r in rows]


async def versions_of(tx: Tx, keys: Iterable[str]) -> dict[str, list[Version]]:
    """Every state these documents had, the oldest first."""
    rows = await tx.fetch(
        """
        select d.key, d.version, d.stated, d.digest, d.body
        from unnest($1::text[]) as w(key) join document_version d using (key)
        order by d.key, d.row_version
        """,
        sorted(set(keys)),
    )
    found: dict[str, list[Version]] = {}
    for r in rows:
        found.setdefault(r["key"], []).append(Version(**dict(r)))
    return found


async def ledgers(tx: Tx, *, key: str, place: Position) -> list[PlannedLedger]:
    """The ledger of that key, and those that follow from the message at that place."""
    rows = await tx.fetch(
        """
        select id, key, title, version, findings, message_at, message_seq from ledger
        where key = $1 or (message_at = $2 and message_seq = $3) order by id
        """,
        key,
        place.at,
        place.seq,
    )
    found = []
    for r in rows:
        steps = await tx.fetch(
            "select *, former is not null as can_undo from step where ledger_id = $1 order by id",
            r["id"],
        )
        found.append(
            PlannedLedger(
                key=r["key"],
                title=r["title"],
                version=r["version"],
                position=Position(r["message_at"], r["message_seq"]),
                findings=msgspec.json.decode(r["findings"], type=tuple[Finding, ...]),
                steps=tuple(ledger_step(s) for s in steps),
                operations={s["id"]: s["operation"] for s in steps},
            )
        )
    return found


async def planned_at(tx: Tx, key: str) -> datetime | None:
    """When the plan of that ledger was made last; None where there is none."""
    found: datetime | None = await tx.fetchval("select planned_at from ledger where key = $1", key)
    return found


async def opened(
    tx: Tx, cases: Sequence[tuple[str, str]], *, ledger_key: str
) -> tuple[set[tuple[str, str]], list[tuple[str, str]]]:
    """Those of the cases (code, place) that were ever opened, and what the plan of that ledger
    has open."""
    rows = await tx.fetch(
        """
        select distinct c.code, c.place
        from unnest($1::text[], $2::text[]) as w(code, place)
        join exception_case c using (code, place)
        """,
        [c[0] for c in cases],
        [c[1] for c in cases],
    )
    of_plan = await tx.fetch(
        """
        select code, place from exception_case
        where ledger_key = $1 and ledger_key <> '' and origin = 'plan' and state = 'open'
        order by id
        """,
        ledger_key,
    )
    return {(r["code"], r["place"]) for r in rows}, [(r["code"], r["place"]) for r in of_plan]
