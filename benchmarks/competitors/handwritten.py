"""What one would write instead: a FastStream subscriber, a transaction a message, a relay.

Inbox, effect and outbox commit together, then the message is acknowledged; the relay publishes
with confirms, in order, and deletes. Decoding is the standard library's.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import asyncpg
import uvloop
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitMessage, RabbitQueue

SCHEMA = """
create table if not exists inbox (source text, id text, primary key (source, id));
create table if not exists document (key text primary key, version text not null, body jsonb);
create table if not exists log (id bigserial primary key, body bytea not null);
create table if not exists outbox (id bigserial primary key, key text not null, body text not null);
"""
RELAYED = 200
IDLE_S = 0.02


async def take(pool: asyncpg.Pool, body: bytes) -> None:
    """One change is stored, and its event is in the outbox; nothing happens the second time."""
    statement = json.loads(body)
    change = statement["change"]
    version = change["lifecycleDateTime"]
    released = {
        "number": change["number"],
        "version": version,
        "title": change["title"],
        "affected": [
            {
                "item": item["newItemRevision"]["number"],
                "new_revision": item["newItemRevision"]["revisionNumber"],
                "old_revision": item["affectedItemRevision"]["revisionNumber"],
            }
            for item in statement["changeItems"]["results"]
        ],
    }
    event = json.dumps(released)
    async with pool.acquire() as connection, connection.transaction():
        is_new = await connection.fetchval(
            "insert into inbox values ('plm', $1) on conflict do nothing returning true",
            statement["event"]["guid"],
        )
        if not is_new:
            return
        await connection.execute("insert into log (body) values ($1)", body)
        is_newer = await connection.fetchval(
            """
            insert into document as d values ($1, $2, $3)
            on conflict (key) do update set version = excluded.version, body = excluded.body
            where d.version < excluded.version returning true
            """,
            change["number"],
            version,
            event,
        )
        if is_newer:
            await connection.execute(
                "insert into outbox (key, body) values ($1, $2)", change["number"], event
            )


async def relay(pool: asyncpg.Pool, broker: RabbitBroker, queue: str) -> None:
    """Events leave in their order, some at once, and go when all of those are confirmed."""
    while True:
        rows = await pool.fetch("select id, key, body from outbox order by id limit $1", RELAYED)
        await asyncio.gather(
            *(
                broker.publish(row["body"], queue=queue, persist=True, mandatory=True)
                for row in rows
            )
        )
        if rows:
            await pool.execute(
                "delete from outbox where id = any($1::bigint[])", [row["id"] for row in rows]
            )
        else:
            await asyncio.sleep(IDLE_S)


async def main(amqp_url: str, database_url: str, queue_name: str, sink: str, prefetch: int) -> None:
    """Works until it is ended."""
    pool = await asyncpg.create_pool(database_url, min_size=10)
    await pool.execute(SCHEMA)
    broker = RabbitBroker(amqp_url, default_channel=Channel(prefetch_count=prefetch), logger=None)

    @broker.subscriber(RabbitQueue(queue_name, declare=False), ack_policy=AckPolicy.MANUAL)
    async def handle(body: Any, message: RabbitMessage) -> None:
        await take(pool, message.body)
        await message.ack()

    await broker.start()
    await relay(pool, broker, sink)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(*sys.argv[1:5], int(sys.argv[5])))
