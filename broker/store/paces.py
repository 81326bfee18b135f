"""SQL for how long steps took that are done."""

from __future__ import annotations

from collections.abc import Sequence

from broker.estimate import Kind, Pace
from broker.store.connection import Tx

LAST = 100
"""So many of each kind, the newest first: what was long ago says little of today."""


async def paces(tx: Tx, kinds: Sequence[Kind], *, last: int = LAST) -> dict[Kind, Pace]:
    """How long the last steps of these kinds took, as far as any was done: from the turn of each, a
    wait from its beginning, to its end. A step that ran anew counts from then on."""
    rows = await tx.fetch(
        """
        with done as (
            select w.verb, w.system, s.id, s.kind
            from unnest($1::text[], $2::text[]) as w(verb, system)
            cross join lateral (
                select id, kind from step
                where verb = w.verb and system = w.system and state = 'done'
                order by changed_at desc limit $3
            ) s
        ),
        took as (
            select d.verb, d.system, extract(epoch from e.ended - e.began)::float8 as seconds
            from done d
            cross join lateral (
                select max(at) as at from step_event where step_id = d.id and state = 'waiting'
            ) planned
            cross join lateral (
                select min(at) filter (
                           where state = case d.kind when 'wait' then 'waiting' else 'ready' end
                       ) as began,
                       max(at) filter (where state = 'done') as ended
                from step_event where step_id = d.id and at >= planned.at
            ) e
            where e.ended >= e.began
        )
        select verb, system, count(*) as done,
               percentile_cont(0.5) within group (order by seconds) as median_s,
               percentile_cont(0.9) within group (order by seconds) as p90_s
        from took group by verb, system
        """,
        [verb for verb, _ in kinds],
        [system for _, system in kinds],
        last,
    )
    return {(r["verb"], r["system"]): Pace(r["done"], r["median_s"], r["p90_s"]) for r in rows}
