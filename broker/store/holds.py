"""SQL for holds: outbound effects that people have stopped, and what stands still by them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, cast, get_args

import asyncpg
import msgspec

from broker.store.connection import Tx

HoldKind = Literal["system", "plant", "flow"]
KINDS: tuple[HoldKind, ...] = get_args(HoldKind)

# Claims share it until they are committed; who places a hold has it alone.
_CLAIMS_LOCK = 0x4C61_7943  # "LayC"


def gone_on_to(subject: str, since: str) -> str:
    """SQL: the roles that a standstill has gone on to, in that order, by what names it and when it
    began."""
    return f"""
        array(select e.role from standstill_escalation e
              where e.subject = {subject} and e.since = {since} order by e.level, e.role)
    """


_HOLD_GONE_ON_TO = gone_on_to("'hold ' || h.id", "h.at")
_HOLD = f"h.*, {_HOLD_GONE_ON_TO} as escalated_to"


def in_words(reason: str, by: str, at: datetime, escalated_to: Sequence[str] = ()) -> str:
    """Why something stands still, by whom, since when, and to whom it has gone on."""
    last = f"; gone on to {escalated_to[-1]}" if escalated_to else ""
    return f"{reason}, by {by} since {at:%Y-%m-%d %H:%M:%S} UTC{last}"


class InForce(msgspec.Struct, frozen=True):
    """What is held, by kind."""

    systems: tuple[str, ...]
    plants: tuple[str, ...]
    flows: tuple[str, ...]

    @property
    def is_anything(self) -> bool:
        """Whether there is a hold at all."""
        return bool(self.systems or self.plants or self.flows)


class Hold(msgspec.Struct, frozen=True):
    """Outbound effects of a system, in a plant or of a flow that stand still. released_at: None
    while it is in force. escalated_to: roles that it has gone on to, since it stands for too long.
    """

    id: int
    kind: HoldKind
    value: str
    reason: str
    by: str
    at: datetime
    released_at: datetime | None
    released_by: str
    release_reason: str
    escalated_to: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """ "system erp"."""
        return f"{self.kind} {self.value}"

    @property
    def words(self) -> str:
        """Why, by whom, since when, and to whom it has gone on."""
        return in_words(self.reason, self.by, self.at, self.escalated_to)

    def is_about(self, *, system: str, plant: str, flow: str) -> bool:
        """Whether it keeps such a call from being made."""
        return {"system": system, "plant": plant, "flow": flow}[self.kind] == self.value


def held(words: str) -> str:
    """What a step waits for that people keep from going on. words: of the hold, or the pause."""
    return f"held: {words}"


class Stopped(msgspec.Struct, frozen=True):
    """Calls that a hold is about. under_way: claimed before it, they end. waiting: due or soon."""

    under_way: int
    waiting: int


class HoldRow(Hold, frozen=True, kw_only=True):
    """A hold in a list, with how many calls it is about; 0 of one that was released."""

    under_way: int
    waiting: int


async def in_force(tx: Tx) -> InForce | None:
    """The holds in force, to which nobody adds before this transaction has ended; None where
    somebody is about to, so that no claim waits."""
    row = await tx.fetchrow("select * from holds_in_force($1)", _CLAIMS_LOCK)
    assert row is not None
    if not row["is_known"]:
        return None
    return InForce(tuple(row["systems"]), tuple(row["plants"]), tuple(row["flows"]))


async def stop_claims(tx: Tx) -> None:
    """Claims that had begun are committed, and none begins before this transaction has ended."""
    await tx.execute("select pg_advisory_xact_lock($1)", _CLAIMS_LOCK)


async def place(tx: Tx, *, kind: HoldKind, value: str, reason: str, by: str) -> Hold | None:
    """The hold, in force with the commit; None where there is one already. After `stop_claims`."""
    row = await tx.fetchrow(
        """
        insert into outbound_hold (kind, value, reason, by_whom) values ($1, $2, $3, $4)
        on conflict (kind, value) where released_at is null do nothing
        returning *, '{}'::text[] as escalated_to
        """,
        kind,
        value,
        reason,
        by,
    )
    return _hold(row) if row is not None else None


async def release(tx: Tx, hold_id: int, *, by: str, reason: str) -> Hold | None:
    """The hold, released with the commit; None where it was not in force."""
    row = await tx.fetchrow(
        f"""
        update outbound_hold h set released_at = now(), released_by = $2, release_reason = $3
        where id = $1 and released_at is null
        returning {_HOLD}
        """,
        hold_id,
        by,
        reason,
    )
    return _hold(row) if row is not None else None


async def find(tx: Tx, hold_id: int) -> Hold | None:
    """The hold with that id, released or not; None where there is none."""
    row = await tx.fetchrow(f"select {_HOLD} from outbound_hold h where h.id = $1", hold_id)
    return _hold(row) if row is not None else None


async def open_holds(tx: Tx) -> tuple[Hold, ...]:
    """The holds in force, the oldest first."""
    rows = await tx.fetch(
        f"select {_HOLD} from outbound_hold h where h.released_at is null order by h.id"
    )
    return tuple(_hold(row) for row in rows)


async def listed(tx: Tx, which: Literal["open", "released", "all"], *, limit: int) -> list[HoldRow]:
    """Holds, those in force first, then the newest."""
    rows = await tx.fetch(
        f"""
        select {_HOLD} from outbound_hold h
        where $1 = 'all' or (released_at is null) = ($1 = 'open')
        order by released_at is null desc, id desc limit $2
        """,
        which,
        limit,
    )
    found = []
    for hold in map(_hold, rows):
        about = await stopped(tx, hold) if hold.released_at is None else Stopped(0, 0)
        found.append(
            HoldRow(
                **msgspec.structs.asdict(hold), under_way=about.under_way, waiting=about.waiting
            )
        )
    return found


async def stopped(tx: Tx, hold: Hold) -> Stopped:
    """How many calls the hold is about."""
    row = await tx.fetchrow(
        f"""
        select (select count(*) from step s where s.state = 'in_flight' and {_IS_ABOUT})
                   as under_way,
               (select count(*) from step s
                where s.state in ('ready', 'in_doubt') and s.kind = 'call' and {_IS_ABOUT})
                   as waiting
        """,
        hold.kind,
        hold.value,
    )
    assert row is not None
    return Stopped(row["under_way"], row["waiting"])


# A call s that a hold ($1, $2) is about.
_IS_ABOUT = """
    not s.only_asks
    and case $1::text when 'system' then s.system when 'plant' then s.plant else s.flow end = $2
"""


def _hold(row: asyncpg.Record) -> Hold:
    return Hold(
        id=row["id"],
        kind=cast(HoldKind, row["kind"]),
        value=row["value"],
        reason=row["reason"],
        by=row["by_whom"],
        at=row["at"],
        released_at=row["released_at"],
        released_by=row["released_by"],
        release_reason=row["release_reason"],
        escalated_to=tuple(row["escalated_to"]),
    )


async def turns(tx: Tx) -> tuple[int, int]:
    """How many holds were ever placed, and how many of them released: both only grow."""
    row = await tx.fetchrow(
        "select count(*) as placed, count(released_at) as released from outbound_hold"
    )
    assert row is not None
    return row["placed"], row["released"]
