"""SQL for forgetting: dedupe rows, counted repeats and attempt counters that are old enough.

Small batches, each a short transaction of its own; what is unfinished is never forgotten.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from broker.store.connection import Tx


class Expired(msgspec.Struct, frozen=True):
    """One batch. up_to: age of the youngest row that went; the next batch starts there."""

    rows: int
    up_to: datetime | None


async def expire_inbox(tx: Tx, *, before: datetime, after: datetime | None, limit: int) -> Expired:
    """The oldest dedupe rows received in [after, before) are gone, except of unfinished messages.

    Unfinished includes: in the outbox. Such an event may have been published, and handled, by a
    process that died before it cleared the row; it goes out once more and has to find itself here.
    """
    row = await tx.fetchrow(
        """
        with due as materialized (
            select i.subscription, i.source, i.id, i.received_at
            from inbox i
            where i.received_at < $1 and i.received_at >= coalesce($2, '-infinity'::timestamptz)
              and not exists (
                  select from unfinished_message u
                  where u.message_at = i.message_at and u.message_seq = i.message_seq
                  -- a look-up per row: as a join it would read the tables behind the view whole
                  offset 0)
            order by i.received_at limit $3
        ),
        gone as (
            delete from inbox i using due d
            where i.subscription = d.subscription and i.source = d.source and i.id = d.id
            returning d.received_at
        )
        select count(*) as rows, max(received_at) as up_to from gone
        """,
        before,
        after,
        limit,
    )
    return msgspec.convert(dict(row or {}), Expired)


async def expire_duplicates(tx: Tx, *, before: datetime, limit: int) -> int:
    """The oldest counted repeats before that time are gone; how many."""
    return _affected(
        await tx.execute(
            """
            delete from duplicate
            where ctid = any(array(select ctid from duplicate where at < $1 order by at limit $2))
            """,
            before,
            limit,
        )
    )


async def expire_attempts(tx: Tx, *, before: datetime, limit: int) -> int:
    """Counters of deliveries that never came again are gone; how many."""
    return _affected(
        await tx.execute(
            """
            delete from delivery_attempt
            where fingerprint = any(array(
                select fingerprint from delivery_attempt where last_at < $1 limit $2))
            """,
            before,
            limit,
        )
    )


def _affected(tag: str) -> int:
    return int(tag.rpartition(" ")[2])
