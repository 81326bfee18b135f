"""The most one Python process does by hand: lean framing both ways, two shards, set-wise SQL.

No contract, no canonical types, no order of events, no retries, no cases, no sweeper after a crash:
what is left is what any exactly-once consumer has to read, write and publish. It shows where the
limit is, and is no example of how to do it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial
from zlib import crc32

import aiormq
import asyncpg
import msgspec
import uvloop

from broker import amqp_properties, connections
from broker.framing import Outlet, publish_frames
from broker.sieve import Received

SHARDS = 2
BATCH = 300
HEARTBEAT_S = 60

SCHEMA = """
create table if not exists inbox (source text, id text, primary key (source, id));
create table if not exists document (key text primary key, version text not null, body jsonb);
create table if not exists log (id bigserial primary key, body bytea not null);
create table if not exists outbox (id bigserial primary key, key text not null, body text not null);
"""

TAKE = """
with arrived as (
    select * from unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::bool[])
        as a(id, key, version, body, event, leads)
),
gone as (
    delete from outbox where id = any($7::bigint[])
),
admitted as (
    insert into inbox select 'plm', id from arrived order by id on conflict do nothing returning id
),
news as (
    select a.* from arrived a join admitted using (id) left join document d using (key)
    where a.leads and (d.version is null or d.version < a.version)
),
logged as (
    insert into log (body) select body from arrived join admitted using (id)
),
known as (
    insert into document as d
    select distinct on (key) key, version, event::jsonb from news order by key, version desc
    on conflict (key) do update set version = excluded.version, body = excluded.body
)
insert into outbox (key, body) select key, event from news returning id, key, body
"""


class Numbered(msgspec.Struct):
    number: str
    revisionNumber: str


class Item(msgspec.Struct):
    newItemRevision: Numbered
    affectedItemRevision: Numbered


class Items(msgspec.Struct):
    results: list[Item]


class Change(msgspec.Struct):
    number: str
    lifecycleDateTime: str
    title: str


class Event(msgspec.Struct):
    guid: str


class Statement(msgspec.Struct):
    event: Event
    change: Change
    changeItems: Items


decode = msgspec.json.Decoder(Statement).decode
encode = msgspec.json.Encoder().encode


class Shard:
    """Messages of some keys, in their order, batch after batch."""

    def __init__(self, limit: Limit, database: asyncpg.Connection) -> None:
        self._limit = limit
        self._database = database
        self._waiting: list[tuple[int, Statement, bytes]] = []
        self._has_work = asyncio.Event()
        self._confirmed: list[int] = []

    def add(self, tag: int, statement: Statement, body: bytes) -> None:
        self._waiting.append((tag, statement, body))
        self._has_work.set()

    async def run(self) -> None:
        while True:
            await self._has_work.wait()
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            if not self._waiting:
                self._has_work.clear()
            await self._take(batch)
            self._limit.settled([tag for tag, _, _ in batch])

    async def _take(self, batch: list[tuple[int, Statement, bytes]]) -> None:
        newest: dict[str, str] = {}
        first: dict[str, tuple[str, str, str, bytes, str, bool]] = {}
        for _, statement, body in batch:
            change = statement.change
            leads = newest.get(change.number, "") < change.lifecycleDateTime
            if leads:
                newest[change.number] = change.lifecycleDateTime
            event = {
                "number": change.number,
                "version": change.lifecycleDateTime,
                "title": change.title,
                "affected": [
                    {
                        "item": item.newItemRevision.number,
                        "new_revision": item.newItemRevision.revisionNumber,
                        "old_revision": item.affectedItemRevision.revisionNumber,
                    }
                    for item in statement.changeItems.results
                ],
            }
            row = (statement.event.guid, change.number, change.lifecycleDateTime)
            first.setdefault(row[0], (*row, body, encode(event).decode(), leads))
        cleared, self._confirmed = self._confirmed, []
        columns = [list(column) for column in zip(*first.values(), strict=True)]
        for row in await self._database.fetch(TAKE, *columns, cleared):
            self._limit.publish(row["key"], row["body"].encode(), partial(self._out, row["id"]))

    def _out(self, row_id: int, error: BaseException | None) -> None:
        if error is not None:
            raise error
        self._confirmed.append(row_id)


class Limit:
    """Consumes, and acknowledges what was committed as far as nothing before it is open."""

    def __init__(self, queue: str, sink: str) -> None:
        self._queue = queue
        self._sink = sink
        self._open: set[int] = set()
        self._last = self._acknowledged = 0
        self._shards: list[Shard] = []

    async def run(self, amqp_url: str, database_url: str, prefetch: int) -> None:
        amqp_properties.install()
        made = connections.connect(amqp_url, heartbeat_s=HEARTBEAT_S, within_s=10)
        connection = await made
        assert connection.transport is not None
        self._outlet = Outlet(connection.transport.connection.write_queue)
        self._consumed = await _channel(connection, confirms=False)
        self._published = await _channel(connection, confirms=True)
        self._outlet.adopt(self._published)
        for _ in range(SHARDS):
            self._shards.append(Shard(self, await asyncpg.connect(database_url)))
        await self._consumed.basic_qos(prefetch_count=prefetch)
        connection.sieve.keep(self._consumed.number, self._received)
        await self._consumed.basic_consume(self._queue, _never_called)
        await asyncio.gather(*(shard.run() for shard in self._shards))

    def publish(self, key: str, body: bytes, answered: partial[None]) -> None:
        message_id = os.urandom(16).hex()
        frames = publish_frames(
            self._published.number,
            exchange="",
            routing_key=self._sink,
            headers={"ce-subject": key},
            message_id=message_id,
            body=body,
            frame_max=0,
        )
        self._outlet.publish(self._published, frames, message_id=message_id, answered=answered)

    def settled(self, tags: list[int]) -> None:
        self._open.difference_update(tags)
        through = min(self._open) - 1 if self._open else self._last
        if through > self._acknowledged:
            self._acknowledged = through
            self._acknowledging = asyncio.ensure_future(
                self._consumed.basic_ack(through, multiple=True)
            )

    def _received(self, received: Received) -> None:
        self._last = received.tag
        self._open.add(received.tag)
        statement = decode(received.body)
        shard = crc32(statement.change.number.encode()) % SHARDS
        self._shards[shard].add(received.tag, statement, received.body)


async def _channel(connection: connections.SiftedConnection, *, confirms: bool) -> aiormq.Channel:
    channel = await connection.channel(publisher_confirms=confirms, on_return_raises=confirms)
    underlay = await channel.get_underlay_channel()
    assert isinstance(underlay, aiormq.Channel)
    return underlay


async def _never_called(_: object) -> None:
    raise AssertionError("a delivery went past the sieve")


async def main(amqp_url: str, database_url: str, queue: str, sink: str, prefetch: int) -> None:
    """Works until it is ended."""
    preparing = await asyncpg.connect(database_url)
    await preparing.execute(SCHEMA)
    await preparing.close()
    await Limit(queue, sink).run(amqp_url, database_url, prefetch)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(*sys.argv[1:5], int(sys.argv[5])))
