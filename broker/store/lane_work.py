"""SQL for what processes tell each other about the work of their lanes."""

from __future__ import annotations

from collections.abc import Collection

from broker.store.connection import Tx


async def tell(tx: Tx) -> None:
    """The critical lane has work now."""
    await tx.execute(
        """
        insert into lane_work (lane, at) values ('critical', clock_timestamp())
        on conflict (lane) do update set at = excluded.at
        """
    )


async def seconds_since(tx: Tx) -> float | None:
    """How long ago the critical lane had work; None if it never had."""
    found = await tx.fetchval(
        "select extract(epoch from clock_timestamp() - at)::float8 from lane_work"
        " where lane = 'critical'"
    )
    return None if found is None else float(found)


async def tell_backlog(tx: Tx, lanes: Collection[str]) -> None:
    """Deliveries of these lanes wait now. Nothing is written where no replay would give way."""
    await tx.execute(
        """
        insert into lane_work (lane, backlog_at)
        select lane, clock_timestamp() from unnest($1::text[]) as l(lane)
        where exists (select from replay where state = 'running')
        order by lane
        on conflict (lane) do update set backlog_at = excluded.backlog_at
        """,
        sorted(lanes),
    )
