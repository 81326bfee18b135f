"""SQL for the days of the log: one partition each, made ahead of time and dropped when old.

A message somebody still needs (view unfinished_message) outlives its day in message_default.
Nobody waits longer than LOCK_MS for anything in here: a lock that is not had by then is given up,
and taken at the next turn (asyncpg.LockNotAvailableError).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import msgspec

from broker.store.connection import Tx

DAYS_AHEAD = 7
LOCK_MS = 200
HOUSEKEEPER_LOCK = 0x4C61_794B  # "LayK"


class Unfinished(msgspec.Struct, frozen=True):
    """Messages of a day that have to outlive it, and the size of their bodies."""

    messages: int
    body_bytes: int


async def try_housekeeper_lock(tx: Tx) -> bool:
    """Whether this transaction is the one that keeps house now."""
    return bool(await tx.fetchval("select pg_try_advisory_xact_lock($1)", HOUSEKEEPER_LOCK))


async def database_time(tx: Tx) -> datetime:
    """The clock by which rows are dated."""
    at: datetime = await tx.fetchval("select now()")
    return at


async def days_to_make(tx: Tx, *, first_day: date, today: date) -> list[date]:
    """Days without a partition that need one: today and the next ones, and those from `first_day`
    on whose messages fell into the default."""
    rows = await tx.fetch(
        """
        select day from (
            select $2::date + n from generate_series(0, $3::int) n
            union
            select (at at time zone 'UTC')::date from message_default
            where at >= $1::date::timestamp at time zone 'UTC'
        ) d(day)
        where to_regclass('message_' || to_char(day, 'YYYYMMDD')) is null
        order by day
        """,
        first_day,
        today,
        DAYS_AHEAD,
    )
    return [r["day"] for r in rows]


async def make_day(tx: Tx, day: date) -> None:
    """The day has its partition, and its messages that fell into the default are in it."""
    await tx.fetchval("select make_message_partition($1)", day)


async def days_of_log(tx: Tx) -> list[date]:
    """Days with a partition, the oldest first."""
    rows = await tx.fetch(
        """
        select day
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        cross join lateral (
            select to_date(substring(c.relname from '^message_(\\d{8})$'), 'YYYYMMDD') as day
        ) d
        where i.inhparent = 'message'::regclass and day is not null
        order by day
        """
    )
    return [r["day"] for r in rows]


async def weigh_unfinished(tx: Tx, day: date) -> Unfinished:
    """What of the day somebody still needs."""
    row = await tx.fetchrow(
        """
        select count(*) as messages, coalesce(sum(octet_length(m.body)), 0)::bigint as body_bytes
        from (select distinct message_at, message_seq from unfinished_message
              where message_at >= $1 and message_at < $2) u
        cross join lateral (
            select body from message where at = u.message_at and seq = u.message_seq limit 1
        ) m
        """,
        *_bounds(day),
    )
    return msgspec.convert(dict(row or {}), Unfinished)


async def detach_day(tx: Tx, day: date) -> int:
    """The day is out of the log but for its unfinished messages; how many were kept.

    Only the lock on the log itself may be waited for: whoever works with the log holds it, so the
    other two are free once it is had. Under it nothing can refer to a message in between.
    A crash or a pause right after it leaves nothing: the transaction is rolled back.
    """
    partition = _partition(day)
    await tx.execute(
        f"""
        set local lock_timeout = '{LOCK_MS}ms';
        set local idle_in_transaction_session_timeout = '1s';
        lock table only message in access exclusive mode;
        lock table only message_default, only {partition} in access exclusive mode nowait;
        alter table message detach partition {partition}
        """
    )
    tag = await tx.execute(
        f"""
        insert into message_default
        select m.*
        from (select distinct message_at, message_seq from unfinished_message
              where message_at >= $1 and message_at < $2) u
        cross join lateral (
            select * from {partition} where at = u.message_at and seq = u.message_seq limit 1
        ) m
        """,
        *_bounds(day),
    )
    return int(tag.rpartition(" ")[2])


async def drop_day(tx: Tx, day: date) -> None:
    """What is left of a detached day is gone."""
    await tx.execute(f"drop table {_partition(day)}")


async def forget_finished(tx: Tx, *, first_day: date, limit: int) -> int:
    """Messages that outlived their day and are finished now are gone; how many, `limit` at most."""
    tag = await tx.execute(
        """
        delete from message_default d
        using (
            select m.at, m.seq from message_default m
            where m.at < $1::date::timestamp at time zone 'UTC'
              and not exists (
                  select from unfinished_message u
                  where u.message_at = m.at and u.message_seq = m.seq
                  offset 0)
            order by m.at, m.seq limit $2
        ) finished
        where d.at = finished.at and d.seq = finished.seq
        """,
        first_day,
        limit,
    )
    return int(tag.rpartition(" ")[2])


async def count_kept(tx: Tx, first_day: date) -> int:
    """Messages that outlived their day."""
    return int(
        await tx.fetchval(
            """
            select count(*) from message_default
            where at < $1::date::timestamp at time zone 'UTC'
            """,
            first_day,
        )
    )


def _partition(day: date) -> str:
    return f"message_{day:%Y%m%d}"


def _bounds(day: date) -> tuple[datetime, datetime]:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return start, start + timedelta(days=1)
