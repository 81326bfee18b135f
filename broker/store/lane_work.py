"""SQL for what processes tell each other about the work of the critical lane."""

from __future__ import annotations

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
