"""Looking: the target's journal, the service's tables, the queues, the processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import aio_pika
import asyncpg
import msgspec

from broker.partitions import Ring
from broker.topology import subscriber_queue
from ops.sandbox.journal import Entry
from tests.faults.business import Wanted
from tests.faults.invariants import Leftovers
from tests.faults.target import JOURNAL

DEADLINE_S = 10.0
WITNESS = "witness"


class Call(msgspec.Struct, frozen=True):
    """A POST that reached the target."""

    effect_id: str
    idempotency_key: str


class Journalled(msgspec.Struct, frozen=True):
    """What the target wrote down: rows it made and POSTs it got, both in its order, and when each
    effect was first made, in seconds of the wall clock."""

    applied: tuple[Wanted, ...]
    calls: tuple[Call, ...]
    applied_at: Mapping[str, float]


class JournalReader:
    """Reads the target's journal on from where it was: a run looks at it thousands of times."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOURNAL
        self._offset = 0
        self._applied: list[Wanted] = []
        self._calls: list[Call] = []
        self._applied_at: dict[str, float] = {}
        self._bodies: dict[int, Wanted] = {}

    def read(self) -> Journalled:
        """The journal as it is on disk; a line without its end is still being written."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._offset)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._offset += len(line)
                    self._take(msgspec.json.decode(line, type=Entry))
        return Journalled(tuple(self._applied), tuple(self._calls), dict(self._applied_at))

    def _take(self, entry: Entry) -> None:
        if entry.kind == "received" and entry.is_write:
            wanted = self._bodies[entry.request] = msgspec.json.decode(entry.body, type=Wanted)
            self._calls.append(Call(wanted.effect_id, entry.headers["idempotency-key"]))
        elif entry.kind == "applied":
            wanted = self._bodies[entry.request]
            self._applied.append(wanted)
            at = datetime.fromisoformat(entry.at).timestamp()
            self._applied_at.setdefault(wanted.effect_id, at)


class Tables(msgspec.Struct, frozen=True, kw_only=True):
    """What the service's tables say: effect ids that wait for a person or behind such a one, those
    that are superseded, and how much is not finished, by what it is."""

    parked: frozenset[str]
    superseded: frozenset[str]
    unfinished: Mapping[str, int]


class _Named(msgspec.Struct):
    effect_id: str = ""


async def read_tables(database_url: str) -> Tables:
    """One consistent look."""
    connection = await asyncpg.connect(database_url, timeout=DEADLINE_S, command_timeout=DEADLINE_S)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            parked = await connection.fetch(
                """
                select m.body from exception_case c
                join message m on m.at = c.message_at and m.seq = c.message_seq
                where c.state = 'open' and c.origin = 'message'
                union all
                select m.body from pending p
                join message m on m.at = p.message_at and m.seq = p.message_seq
                where p.state in ('parked', 'in_case')
                """
            )
            failed = await connection.fetch(
                """
                select l.key from step s join ledger l on l.id = s.ledger_id
                where s.state = 'failed'
                """
            )
            superseded = await connection.fetch(
                """
                select m.body from inbox i
                join message m on m.at = i.message_at and m.seq = i.message_seq
                where i.outcome in ('stale', 'superseded')
                """
            )
            unfinished = await connection.fetchrow(
                """
                select (select count(*) from outbox) as "events not out",
                       (select count(*) from pending where state in ('ready', 'retry'))
                           as "messages to be decided",
                       (select count(*) from step where state in ('in_flight', 'in_doubt', 'ready'))
                           as "calls to be made"
                """
            )
    finally:
        await connection.close()
    return Tables(
        parked=_effects(parked) | {r["key"].removeprefix("effect/") for r in failed},
        superseded=_effects(superseded),
        unfinished=dict(unfinished) if unfinished else {},
    )


def _effects(rows: Sequence[asyncpg.Record]) -> frozenset[str]:
    return frozenset(msgspec.json.decode(r["body"], type=_Named).effect_id for r in rows)


async def sessions(database_url: str) -> int:
    """Database sessions besides this one."""
    return await _number(
        database_url,
        "select count(*) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()",
    )


async def _number(database_url: str, sql: str) -> int:
    return int((await column(database_url, sql))[0])


async def column(database_url: str, sql: str) -> list[Any]:
    """The first column of a query's answer."""
    connection = await asyncpg.connect(database_url, timeout=DEADLINE_S, command_timeout=DEADLINE_S)
    try:
        return [r[0] for r in await connection.fetch(sql)]
    finally:
        await connection.close()


async def execute(database_url: str, sql: str, *arguments: object) -> None:
    """The statement was carried out."""
    connection = await asyncpg.connect(database_url, timeout=DEADLINE_S, command_timeout=DEADLINE_S)
    try:
        await connection.execute(sql, *arguments)
    finally:
        await connection.close()


async def drain_witness(amqp_url: str) -> dict[str, list[str]]:
    """Ids of the events in the foreign subscriber's queue, by effect; the queue is empty then."""
    found: dict[str, list[str]] = {}
    connection = await aio_pika.connect(amqp_url, timeout=DEADLINE_S)
    try:
        channel = await connection.channel()
        queue = await channel.get_queue(subscriber_queue(WITNESS), ensure=False)
        while (message := await queue.get(no_ack=True, fail=False)) is not None:
            effect = msgspec.json.decode(message.body, type=_Named).effect_id
            found.setdefault(effect, []).append(str(message.headers["ce-id"]))
    finally:
        await connection.close()
    return found


class QueueState(msgspec.Struct, frozen=True):
    """A queue as the broker counts it now."""

    ready: int
    consumers: int


async def read_queues(amqp_url: str, names: Sequence[str]) -> dict[str, QueueState]:
    """Messages nobody has yet, and consumers, by queue. Raises where one does not exist."""
    connection = await aio_pika.connect(amqp_url, timeout=DEADLINE_S)
    try:
        channel = await connection.channel()
        found: dict[str, QueueState] = {}
        for name in names:
            result = (await channel.declare_queue(name, passive=True)).declaration_result
            found[name] = QueueState(result.message_count or 0, result.consumer_count or 0)
        return found
    finally:
        await connection.close()


async def rings(database_url: str) -> list[Ring]:
    """Those whose queues have to exist."""
    connection = await asyncpg.connect(database_url, timeout=DEADLINE_S)
    try:
        rows = await connection.fetch(
            "select event, number, partitions, state from ring"
            " where state in ('current', 'draining') order by event, number"
        )
        return [Ring(r["event"], r["number"], r["partitions"], r["state"]) for r in rows]
    finally:
        await connection.close()


_OF_NOTHING = {
    "holds of nothing": """hold h where not exists (
        select from pending p where p.scope = h.scope and p.key = h.key
    )""",
    "parked behind nothing": """pending p where p.state = 'parked' and not exists (
        select from pending o where o.scope = p.scope and o.key = p.key and o.id < p.id
    )""",
    "waiting for no read": """pending p where p.state = 'reading' and not exists (
        select from ledger l where l.key = p.merge_key and l.state = 'open'
    )""",
    "attempts of nothing": "delivery_attempt",
}
"""Rows that stand for work, where there is none."""


async def read_leftovers(
    database_url: str,
    queues: Mapping[str, QueueState],
    *,
    unacknowledged: int,
    consumers: Mapping[str, int],
) -> Leftovers:
    """What lies about now; consumers: how many each queue should have."""
    tables = await read_tables(database_url)
    rows = {
        what: await _number(database_url, f"select count(*) from {rows}")
        for what, rows in _OF_NOTHING.items()
    }
    return Leftovers(
        rows={
            **tables.unfinished,
            **rows,
            "messages in queues": sum(q.ready for q in queues.values()),
        },
        leases=await _number(
            database_url, "select count(*) from target where lease_until is not null"
        ),
        unacknowledged=unacknowledged,
        idle_in_transaction=await _number(
            database_url,
            "select count(*) from pg_stat_activity where datname = current_database()"
            " and state like 'idle in transaction%'"
            " and state_change < now() - interval '1 second'",
        ),
        consumers={name: (q.consumers, consumers[name]) for name, q in queues.items()},
    )
