"""What `doctor` asks the database about itself and about rows that should not be there."""

from __future__ import annotations

from datetime import datetime

import msgspec

from broker.store.connection import Tx

OUTBOX_LATE_S = 60
PARTITION_DAYS = 2


class ServerFacts(msgspec.Struct, frozen=True):
    """How the server is set up. Sizes in bytes; now: its clock; has_lz4: it was built with it.

    max_locks: locks a session may hold on average. sessions: how many there may be.
    """

    version: str
    now: datetime
    fsync: str
    synchronous_commit: str
    full_page_writes: str
    shared_buffers: int
    max_wal_size: int
    checkpoint_timeout_s: int
    wal_compression: str
    has_lz4: bool
    max_locks: int
    sessions: int


class RowFacts(msgspec.Struct, frozen=True):
    """Rows that tell of trouble.

    missing_days: days from today on without a partition of the log. fallen_rows: messages that
    stand in the default because their day had none; kept_rows: unfinished ones that outlived their
    day, as they should. old_days: days past the log's time that are still there.
    stuck: as stuck_rows counts. late_outbox: events not confirmed for more than OUTBOX_LATE_S.
    """

    missing_days: tuple[str, ...]
    fallen_rows: int
    kept_rows: int
    old_days: int
    stuck: int
    late_outbox: int
    open_cases: int
    open_approvals: int


async def server_facts(tx: Tx) -> ServerFacts:
    """The server's version, clock and the settings that decide on safety and speed."""
    row = await tx.fetchrow(
        """
        select current_setting('server_version') as version,
               clock_timestamp() as now,
               current_setting('fsync') as fsync,
               current_setting('synchronous_commit') as synchronous_commit,
               current_setting('full_page_writes') as full_page_writes,
               pg_size_bytes(current_setting('shared_buffers')) as shared_buffers,
               pg_size_bytes(current_setting('max_wal_size')) as max_wal_size,
               extract(epoch from current_setting('checkpoint_timeout')::interval)::int
                   as checkpoint_timeout_s,
               current_setting('wal_compression') as wal_compression,
               exists (select from pg_settings where name = 'wal_compression'
                       and 'lz4' = any(enumvals)) as has_lz4,
               current_setting('max_locks_per_transaction')::int as max_locks,
               current_setting('max_connections')::int as sessions
        """
    )
    return msgspec.convert(dict(row or {}), ServerFacts)


async def row_facts(tx: Tx, *, log_days: int) -> RowFacts:
    """Counts of what should not be there; needs an up-to-date schema. log_days: as in Retention."""
    row = await tx.fetchrow(
        """
        with log as (
            select (((now() at time zone 'UTC')::date - $3::int)::timestamp at time zone 'UTC')
                   as start
        )
        select array(
                   select to_char(day, 'YYYY-MM-DD')
                   from generate_series(0, $1::int) n
                   cross join lateral
                        (select (now() at time zone 'UTC')::date + n as day) d
                   where to_regclass('message_' || to_char(day, 'YYYYMMDD')) is null
               ) as missing_days,
               (select count(*) from message_default where at >= log.start) as fallen_rows,
               (select count(*) from message_default where at < log.start) as kept_rows,
               (select count(*) from pg_inherits i join pg_class c on c.oid = i.inhrelid
                where i.inhparent = 'message'::regclass
                  and to_date(substring(c.relname from '^message_(\\d{8})$'), 'YYYYMMDD')
                      < (log.start at time zone 'UTC')::date - 1) as old_days,
               (select count(*) from outbox
                where created_at < now() - make_interval(secs => $2)) as late_outbox,
               (select count(*) from exception_case where state = 'open') as open_cases,
               (select count(*) from step where kind = 'approval' and state = 'ready')
                   as open_approvals
        from log
        """,
        PARTITION_DAYS,
        OUTBOX_LATE_S,
        log_days,
    )
    return msgspec.convert(dict(row or {}) | {"stuck": await stuck_rows(tx)}, RowFacts)


async def stuck_rows(tx: Tx) -> int:
    """Rows nobody would ever wake: parked ones with nothing before them, ones that wait for a read
    that nobody makes, unfinished work without a hold, holds without unfinished work. Must be 0."""
    return int(
        await tx.fetchval(
            """
            select (select count(*) from pending p
                    where p.state = 'parked' and not exists (
                        select from pending b
                        where b.scope = p.scope and b.key = p.key and b.id < p.id))
                 + (select count(*) from pending p
                    where p.state = 'reading' and not exists (
                        select from ledger l where l.key = p.merge_key and l.state = 'open'))
                 + (select count(*) from pending p where not exists (
                        select from hold h where h.scope = p.scope and h.key = p.key))
                 + (select count(*) from hold h where not exists (
                        select from pending p where p.scope = h.scope and p.key = h.key))
            """
        )
    )
