"""SQL for ledgers: one row per business transaction, locked by whoever changes its steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import cast

import msgspec

from broker.store.connection import Position, Tx
from canonical.codec import encode
from canonical.effects import Finding
from canonical.envelope import Lane


class Ledger(msgspec.Struct, frozen=True):
    """A locked ledger row. version: of the event its plan follows from."""

    id: int
    key: str
    title: str
    version: int
    state: str
    subscription: str
    scope: str
    lane: Lane
    source: str
    correlation_id: str
    position: Position


class NewLedger(msgspec.Struct, frozen=True):
    """What opens or renews a ledger."""

    key: str
    title: str
    version: int
    subscription: str
    scope: str
    lane: Lane
    source: str
    correlation_id: str
    findings: tuple[Finding, ...]
    position: Position


async def lock_ledger(tx: Tx, new: NewLedger) -> tuple[Ledger, bool]:
    """The ledger of that key, locked, created where there was none; and whether it is new.

    An existing one is returned as it is: whether the plan applies is decided on its version.
    """
    row = await tx.fetchrow(
        """
        insert into ledger (key, title, version, subscription, scope, lane, source, correlation_id,
                            findings, message_at, message_seq)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $10, $11)
        -- takes the row lock of the one that is there
        on conflict (key) do update set key = excluded.key
        returning *, (xmax = 0) as is_new
        """,
        new.key,
        new.title,
        new.version,
        new.subscription,
        new.scope,
        new.lane,
        new.source,
        new.correlation_id,
        encode(new.findings).decode(),
        new.position.at,
        new.position.seq,
    )
    assert row is not None
    return _ledger(row), bool(row["is_new"])


async def renew_ledger(tx: Tx, ledger_id: int, new: NewLedger, *, reopen: bool) -> None:
    """The ledger follows from a newer plan.

    reopen: the plan changes something; the ledger is open until its steps say otherwise.
    """
    await tx.execute(
        """
        update ledger set title = $2, version = $3, findings = $4::jsonb, message_at = $5,
               message_seq = $6, planned_at = now(),
               state = case when $7 then 'open' else state end,
               completed_at = case when $7 then null else completed_at end
        where id = $1
        """,
        ledger_id,
        new.title,
        new.version,
        encode(new.findings).decode(),
        new.position.at,
        new.position.seq,
        reopen,
    )


async def lock_ledgers(tx: Tx, ids: Iterable[int]) -> dict[int, Ledger]:
    """The ledgers with those ids, locked in id order."""
    rows = await tx.fetch(
        """
        select l.* from ledger l join unnest($1::bigint[]) as w(id) using (id)
        order by l.id for update of l
        """,
        sorted(set(ids)),
    )
    return {r["id"]: _ledger(r) for r in rows}


async def lock_free_ledgers(tx: Tx, ids: Iterable[int]) -> dict[int, Ledger]:
    """Those of the ledgers that nobody else has locked, locked in id order."""
    rows = await tx.fetch(
        """
        select l.* from ledger l join unnest($1::bigint[]) as w(id) using (id)
        order by l.id for update of l skip locked
        """,
        sorted(set(ids)),
    )
    return {r["id"]: _ledger(r) for r in rows}


async def complete_ledger(tx: Tx, ledger_id: int) -> None:
    """Every step is settled."""
    await tx.execute(
        "update ledger set state = 'complete', completed_at = now() where id = $1", ledger_id
    )


async def newly_known(
    tx: Tx, keys: Sequence[str] | None
) -> list[tuple[str, str, str, Lane, int, Position]]:
    """Ledgers that wait for a fact which is newer than what they saw.

    keys: documents just written, or None to look at every wait.
    Returns (subscription, scope, key, lane, ledger id, position of the ledger's event).
    """
    rows = await tx.fetch(
        """
        select distinct l.subscription, l.scope, l.key, l.lane, l.id, l.message_at, l.message_seq
        from step s
        join document d on d.key = s.fact
        join ledger l on l.id = s.ledger_id
        where s.fact is not null and s.state in ('waiting', 'ready')
          and d.row_version > s.seen
          and ($1::text[] is null or s.fact = any($1::text[]))
          -- one is due already, or is being made: the next sweep sees what it has not seen
          -- (a look-up for each: `not exists` is planned as a read of the whole table)
          and (select id from pending where merge_key = 'plan:' || l.id limit 1) is null
        order by l.id
        """,
        keys,
    )
    return [
        (
            r["subscription"],
            r["scope"],
            r["key"],
            r["lane"],
            r["id"],
            Position(r["message_at"], r["message_seq"]),
        )
        for r in rows
    ]


def _ledger(row: object) -> Ledger:
    r = cast("dict[str, object]", row)
    return Ledger(
        id=cast(int, r["id"]),
        key=cast(str, r["key"]),
        title=cast(str, r["title"]),
        version=cast(int, r["version"]),
        state=cast(str, r["state"]),
        subscription=cast(str, r["subscription"]),
        scope=cast(str, r["scope"]),
        lane=cast(Lane, r["lane"]),
        source=cast(str, r["source"]),
        correlation_id=cast(str, r["correlation_id"]),
        position=Position(cast(datetime, r["message_at"]), cast(int, r["message_seq"])),
    )
