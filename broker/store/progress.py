"""SQL for how a ledger came to where it stands: steps done of steps planned, over time."""

from __future__ import annotations

from datetime import datetime

import msgspec

from broker.store.connection import Tx

MOST_POINTS = 60
"""More are not told apart on a screen, nor read in a table."""


class Point(msgspec.Struct, frozen=True):
    """So many steps of a ledger were planned at that moment, and so many of them done."""

    at: datetime
    done: int
    planned: int


async def progress(tx: Tx, key: str, *, most: int = MOST_POINTS) -> list[Point]:
    """How far the ledger of that key was, each time that this changed, the first one first.

    Of more than `most` changes those within one part of its time are one, told as they ended. A
    step counts as long as it is neither cancelled nor superseded, and as done until it runs anew.
    """
    rows = await tx.fetch(
        """
        with told as (
            select date_trunc('second', e.at) as at, e.state = 'done' as is_done,
                   e.state in ('waiting', 'done') as is_planned,
                   lag(e.state) over (partition by e.step_id order by e.at) as was
            from ledger l join step s on s.ledger_id = l.id join step_event e on e.step_id = s.id
            where l.key = $1 and e.state in ('waiting', 'done', 'cancelled', 'superseded')
        ),
        moved as (
            select at, is_done::int - coalesce(was = 'done', false)::int as done,
                   is_planned::int - coalesce(was in ('waiting', 'done'), false)::int as planned
            from told
        ),
        part as (
            select greatest(ceil(extract(epoch from max(at) - min(at)) / $2::int), 1) as seconds
            from moved
        )
        select max(at) as at, (sum(sum(done)) over w)::int as done,
               (sum(sum(planned)) over w)::int as planned
        from moved cross join part
        where done <> 0 or planned <> 0
        group by ceil(extract(epoch from at) / part.seconds)
        window w as (order by ceil(extract(epoch from at) / part.seconds))
        order by 1
        """,
        key,
        most,
    )
    return [Point(r["at"], r["done"], r["planned"]) for r in rows]
