"""SQL for closures: systems that are not called for a while, known to all processes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import cast

import asyncpg
import msgspec

from broker.gate import PROBES, Cause, Close, Closure, Proven
from broker.store.connection import Tx


class ClosureRow(msgspec.Struct, frozen=True):
    """A closure as people see it. until: from then on it is tried. proven: calls answered since."""

    system: str
    cause: Cause
    lower: bool
    since: datetime
    until: datetime
    why: str
    times: int
    proven: int


async def in_force(tx: Tx) -> list[tuple[Closure, float]]:
    """Closures that keep somebody from calling, and in how many seconds each may be tried."""
    rows = await tx.fetch(
        """
        select system, cause, lower, times,
               extract(epoch from until - clock_timestamp())::float8 as left_s
        from closure where cause = 'circuit' or until > clock_timestamp()
        union all
        select system, 'outage', false, 1,
               extract(epoch from max(ends_at) - clock_timestamp())::float8
        from outage where ends_at > clock_timestamp() and starts_at <= clock_timestamp()
        group by system
        """
    )
    return [
        (
            Closure(
                system=r["system"],
                cause=cast(Cause, r["cause"]),
                until_s=0.0,
                lower=r["lower"],
                times=r["times"],
            ),
            r["left_s"],
        )
        for r in rows
    ]


async def close(tx: Tx, closures: Sequence[Close]) -> None:
    """These systems are closed; one that is already, until the later of both times. A circuit
    counts how often it was opened without having been proven."""
    latest = {(one.system, one.cause): one for one in sorted(closures, key=lambda one: one.for_s)}
    wanted = [latest[key] for key in sorted(latest)]
    await tx.execute(
        """
        insert into closure as c (system, cause, lower, until, why)
        select system, cause, lower, clock_timestamp() + make_interval(secs => for_s), why
        from unnest($1::text[], $2::text[], $3::boolean[], $4::float8[], $5::text[])
             as n(system, cause, lower, for_s, why)
        on conflict (system, cause) do update
        set until = greatest(c.until, excluded.until), why = excluded.why,
            lower = c.lower and excluded.lower, proven = 0,
            since = case when c.cause = 'circuit' or c.until > now() then c.since else now() end,
            -- several processes find out at the same time: that is once
            times = c.times + (c.cause = 'circuit' and c.until <= clock_timestamp())::int
        """,
        [one.system for one in wanted],
        [one.cause for one in wanted],
        [one.lower for one in wanted],
        [one.for_s for one in wanted],
        [one.why for one in wanted],
    )


async def prove(tx: Tx, proven: Sequence[Proven]) -> None:
    """Calls to these systems were answered: a circuit that was proven often enough is closed, so
    that all call again."""
    systems = [one.system for one in proven]
    await tx.execute(
        """
        with counted as (
            update closure c set proven = c.proven + n.calls
            from (select system, count(*)::int as calls
                  from unnest($1::text[]) as w(system) group by system) n
            where c.system = n.system and c.cause = 'circuit' and c.proven + n.calls < $2
        )
        delete from closure c
        using (select system, count(*)::int as calls
               from unnest($1::text[]) as w(system) group by system) n
        where c.system = n.system and c.cause = 'circuit' and c.proven + n.calls >= $2
        """,
        systems,
        PROBES,
    )


async def listed(tx: Tx) -> list[ClosureRow]:
    """All that closes a system now, or is being tried."""
    rows = await tx.fetch(
        """
        select * from closure where cause = 'circuit' or until > clock_timestamp()
        order by system, cause
        """
    )
    return [
        ClosureRow(
            system=r["system"],
            cause=cast(Cause, r["cause"]),
            lower=r["lower"],
            since=r["since"],
            until=r["until"],
            why=r["why"],
            times=r["times"],
            proven=r["proven"],
        )
        for r in rows
    ]


class Outage(msgspec.Struct, frozen=True):
    """A system is announced to be away from then until then."""

    id: int
    system: str
    starts_at: datetime
    ends_at: datetime
    reason: str
    by: str


async def announce(
    tx: Tx, *, system: str, starts_at: datetime, ends_at: datetime, reason: str, by: str
) -> Outage:
    """The outage, on record with the commit."""
    row = await tx.fetchrow(
        """
        insert into outage (system, starts_at, ends_at, reason, by_whom)
        values ($1, $2, $3, $4, $5) returning *
        """,
        system,
        starts_at,
        ends_at,
        reason,
        by,
    )
    assert row is not None
    return _outage(row)


async def end_outage(tx: Tx, outage_id: int) -> Outage | None:
    """The outage, which is over, or not to come, with the commit; None where it was over."""
    row = await tx.fetchrow(
        """
        delete from outage where id = $1 and ends_at > clock_timestamp() returning *
        """,
        outage_id,
    )
    return _outage(row) if row is not None else None


async def outages(tx: Tx) -> list[Outage]:
    """Those that are not over, in the order in which they begin."""
    rows = await tx.fetch(
        "select * from outage where ends_at > clock_timestamp() order by starts_at, id"
    )
    return [_outage(row) for row in rows]


def _outage(row: asyncpg.Record) -> Outage:
    return Outage(
        id=row["id"],
        system=row["system"],
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        reason=row["reason"],
        by=row["by_whom"],
    )
