"""SQL for partitions: rings of events, who is there to take them, and whose turn it is."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import asyncpg
import msgspec

from broker.partitions import Ring, State
from broker.store.connection import Tx
from canonical.envelope import Lane
from canonical.errors import Misconfigured

# One change of a topology at a time.
_CHANGE_LOCK = 0x4C61_7954  # "LayT"


class Holdings(msgspec.Struct, frozen=True):
    """Who is there to take partitions of a lane, and who has which, as far as leases have not run
    out."""

    replicas: frozenset[str]
    owners: dict[str, str]


async def rings(tx: Tx) -> list[Ring]:
    """All rings whose queues may exist, oldest first of each event.

    Raises: Misconfigured where the schema is older than this.
    """
    try:
        rows = await tx.fetch(
            "select event, number, partitions, state from ring where state <> 'gone'"
            " order by event, number"
        )
    except asyncpg.UndefinedTableError as error:
        raise Misconfigured(
            "schema-mismatch",
            "The database has no table of rings",
            where="database",
            remedy="Run `layshaft migrate`",
        ) from error
    return [Ring(r["event"], r["number"], r["partitions"], r["state"]) for r in rows]


async def plan_ring(tx: Tx, event: str, partitions: int) -> Ring:
    """A ring that nobody uses yet; its number was never used before."""
    number = await tx.fetchval(
        """
        insert into ring (event, number, partitions)
        select $1, coalesce(max(number), 0) + 1, $2 from ring where event = $1
        returning number
        """,
        event,
        partitions,
    )
    return Ring(event, int(number), partitions, "planned")


async def lock_changes(tx: Tx) -> None:
    """Nobody else makes a ring current until this transaction ends."""
    await tx.execute("select pg_advisory_xact_lock($1)", _CHANGE_LOCK)


async def make_current(tx: Tx, ring: Ring) -> None:
    """What is published goes there from now on; the one before it drains."""
    await tx.execute(
        "update ring set state = 'draining', changed_at = now()"
        " where event = $1 and state = 'current'",
        ring.event,
    )
    await tx.execute(
        "update ring set state = 'current', changed_at = now() where event = $1 and number = $2",
        ring.event,
        ring.number,
    )


async def move_on(tx: Tx, ring: Ring, state: State) -> bool:
    """The ring is in the next state; False if somebody else was faster."""
    done = await tx.fetchval(
        """
        update ring set state = $4, changed_at = now()
        where event = $1 and number = $2 and state = $3 returning true
        """,
        ring.event,
        ring.number,
        ring.state,
        state,
    )
    return bool(done)


async def unused_since(tx: Tx, seconds: float, states: Sequence[State]) -> list[Ring]:
    """Rings that have been in one of these states for so long at least."""
    rows = await tx.fetch(
        """
        select event, number, partitions, state from ring
        where state = any($2::text[]) and changed_at < now() - make_interval(secs => $1)
        order by event, number
        """,
        seconds,
        list(states),
    )
    return [Ring(r["event"], r["number"], r["partitions"], r["state"]) for r in rows]


# Leases


async def renew(tx: Tx, *, me: str, lane: Lane, lease_s: float) -> list[str]:
    """This process is there, and its queues are its own for so much longer: these. What somebody
    else has taken meanwhile is not among them."""
    rows = await tx.fetch(
        """
        with here as (
            insert into replica (lane, name) values ($2, $1)
            on conflict (lane, name) do update set seen_at = now()
        )
        update partition_lease set until = now() + make_interval(secs => $3)
        where owner = $1 returning queue
        """,
        me,
        lane,
        lease_s,
    )
    return [r["queue"] for r in rows]


async def holdings(tx: Tx, *, lane: Lane, lease_s: float) -> Holdings:
    """See Holdings; who has said nothing for the length of a lease is not there."""
    replicas = await tx.fetch(
        "select name from replica where lane = $1 and seen_at > now() - make_interval(secs => $2)",
        lane,
        lease_s,
    )
    leases = await tx.fetch("select queue, owner from partition_lease where until > now()")
    return Holdings(
        frozenset(r["name"] for r in replicas), {r["queue"]: r["owner"] for r in leases}
    )


class Lease(msgspec.Struct, frozen=True):
    """Whose turn a queue was given to last. fence: how often it changed hands."""

    queue: str
    owner: str
    fence: int
    is_live: bool


async def leases(tx: Tx) -> list[Lease]:
    """All leases, also those that have run out."""
    rows = await tx.fetch(
        "select queue, owner, fence, until > now() as is_live from partition_lease order by queue"
    )
    return [Lease(r["queue"], r["owner"], r["fence"], r["is_live"]) for r in rows]


async def take(tx: Tx, queues: Sequence[str], *, me: str, lease_s: float) -> list[str]:
    """Those of the queues that are this process's own now: nobody had them, or a lease ran out."""
    rows = await tx.fetch(
        """
        insert into partition_lease as l (queue, owner, until)
        select q, $2, now() + make_interval(secs => $3) from unnest($1::text[]) as q order by q
        on conflict (queue) do update
        set owner = excluded.owner, fence = l.fence + 1, until = excluded.until
        where l.until <= now()
        returning queue
        """,
        sorted(queues),
        me,
        lease_s,
    )
    return [r["queue"] for r in rows]


async def give_back(tx: Tx, queues: Collection[str], *, me: str) -> None:
    """The queues are anybody's."""
    await tx.execute(
        "update partition_lease set owner = '', until = now()"
        " where queue = any($1::text[]) and owner = $2",
        sorted(queues),
        me,
    )


async def leave(tx: Tx, *, me: str, lane: Lane) -> None:
    """This process is not there any more, and has nothing."""
    await tx.execute("update partition_lease set owner = '', until = now() where owner = $1", me)
    await tx.execute("delete from replica where name = $1 and lane = $2", me, lane)


async def forget(tx: Tx, *, queues: Collection[str]) -> None:
    """Leases of queues that are gone, and processes that are."""
    await tx.execute("delete from partition_lease where queue = any($1::text[])", sorted(queues))
    await tx.execute("delete from replica where seen_at < now() - interval '1 day'")
