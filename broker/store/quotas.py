"""SQL for quotas: what all processes have taken of them, one at a time for each system."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from broker.quota import Quota, Taken, Told, counted_from, left, opens_at_s, untold
from broker.store.connection import Tx


class Share(msgspec.Struct, frozen=True):
    """Calls that were taken of all of some quotas; of none, in how many seconds there are some."""

    calls: int
    opens_in_s: float = 0.0


class Standing(msgspec.Struct, frozen=True):
    """What is taken of each quota, at that second of the database's clock."""

    now_s: float
    taken: tuple[Taken, ...]


async def take(
    tx: Tx,
    system: str,
    quotas: Sequence[Quota],
    calls: int,
    *,
    critical: bool,
    told: Iterable[Told] = (),
) -> Share:
    """As many of the calls as all of the quotas allow now, taken with the commit.

    told: what the vendor has said of its quotas since; what others use of them counts too.

    Whoever takes locks the system; the time is read after that, so that buckets are filled in the
    order of the clock whoever waited for whom, and a clock that is put back stands still.
    """
    standing = await _locked(tx, system, quotas)
    now_s = standing.now_s
    others = [
        max((untold(quota, taken, now_s, one) for one in told), default=0)
        for quota, taken in zip(quotas, standing.taken, strict=True)
    ]
    if any(others):
        await _add(tx, system, quotas, now_s, others)
        standing = Standing(now_s, await _taken(tx, system, quotas, now_s))
    shares = [
        left(quota, taken, quota.bucket(now_s), critical=critical)
        for quota, taken in zip(quotas, standing.taken, strict=True)
    ]
    number = min(calls, *shares)
    if number > 0:
        await _add(tx, system, quotas, now_s, [number] * len(quotas))
        return Share(number)
    opens = max(
        opens_at_s(quota, taken, now_s, critical=critical)
        for quota, taken in zip(quotas, standing.taken, strict=True)
    )
    return Share(0, max(opens - now_s, 0.001))


async def standing(tx: Tx, system: str, quotas: Sequence[Quota]) -> Standing:
    """What is taken now; takes nothing and waits for nobody."""
    now_s: float = await tx.fetchval("select extract(epoch from clock_timestamp())::float8")
    return Standing(now_s, await _taken(tx, system, quotas, now_s))


async def _locked(tx: Tx, system: str, quotas: Sequence[Quota]) -> Standing:
    await tx.execute(
        "insert into quota_gate (system) values ($1) on conflict (system) do nothing", system
    )
    await tx.fetchval("select last_s from quota_gate where system = $1 for update", system)
    now_s: float = await tx.fetchval(
        """
        update quota_gate
        set last_s = greatest(last_s, extract(epoch from clock_timestamp())::float8)
        where system = $1 returning last_s
        """,
        system,
    )
    return Standing(now_s, await _taken(tx, system, quotas, now_s))


async def _taken(
    tx: Tx, system: str, quotas: Sequence[Quota], now_s: float
) -> tuple[dict[int, int], ...]:
    rows = await tx.fetch(
        """
        select w.n, t.bucket, t.taken
        from unnest($2::text[], $3::float8[], $4::bigint[]) with ordinality
             as w(api, per_s, since, n)
        join quota_taken t on t.system = $1 and t.api = w.api and t.per_s = w.per_s
                          and t.bucket >= w.since
        """,
        system,
        [quota.api for quota in quotas],
        [quota.per_s for quota in quotas],
        [counted_from(quota, now_s) for quota in quotas],
    )
    found: tuple[dict[int, int], ...] = tuple({} for _ in quotas)
    for r in rows:
        found[r["n"] - 1][r["bucket"]] = r["taken"]
    return found


async def _add(
    tx: Tx, system: str, quotas: Sequence[Quota], now_s: float, calls: Sequence[int]
) -> None:
    """The locked system has these calls in its buckets; those that count no more are gone."""
    await tx.execute(
        """
        with forgotten as (
            delete from quota_taken t
            using unnest($2::text[], $3::float8[], $5::bigint[]) as w(api, per_s, since)
            where t.system = $1 and t.api = w.api and t.per_s = w.per_s and t.bucket < w.since
        )
        insert into quota_taken as t (system, api, per_s, bucket, taken)
        select $1, api, per_s, bucket, taken
        from unnest($2::text[], $3::float8[], $4::bigint[], $6::int[])
             as n(api, per_s, bucket, taken)
        where taken > 0
        on conflict (system, api, per_s, bucket) do update set taken = t.taken + excluded.taken
        """,
        system,
        [quota.api for quota in quotas],
        [quota.per_s for quota in quotas],
        [quota.bucket(now_s) for quota in quotas],
        [counted_from(quota, now_s) for quota in quotas],
        list(calls),
    )
