"""SQL for what became of a message that came in: how it stands, and the events that it led to."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import asyncpg
import msgspec

from broker.store.connection import Position, Tx

# Of one message, events that are not done with: more than anybody tells apart.
MOST_EVENTS = 5_000
# Outcomes of what is done with: it says nothing more, and nobody waits for it.
DONE = ("applied", "stale", "superseded")


class Sought(msgspec.Struct, frozen=True):
    """A message to look for.

    position: its place in the log. ids, correlation_ids: that it was taken under: those of the log,
    and where it was read anew since then, those that it has by that. subscriptions: of whoever may
    have taken it, or an event that it led to. events: by name, those that somebody takes; what
    nobody takes is done with.
    """

    position: Position
    ids: Collection[str]
    correlation_ids: Collection[str]
    subscriptions: Collection[str]
    events: Collection[str]


class CaseOf(msgspec.Struct, frozen=True):
    """A case, as whoever sent its message may be told of it."""

    id: int
    what: str
    place: str
    is_open: bool


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """How a message stands, or an event that it led to.

    event, key: of the event; "" of the message itself. outcome, subscription: as the inbox has
    them; "" where nobody has decided it, or where that is forgotten. state, reason: of its
    unfinished row; "" where it has none. case: that it is in, else the last one that it was in.
    """

    event: str = ""
    key: str = ""
    subscription: str = ""
    outcome: str = ""
    state: str = ""
    reason: str = ""
    case: CaseOf | None = None


class Whereabouts(msgspec.Struct, frozen=True):
    """What became of a message. events: those that it led to and that are not done with.
    is_complete: False where there are more of them."""

    own: Part
    events: tuple[Part, ...] = ()
    is_complete: bool = True


async def whereabouts(tx: Tx, sought: Sought, *, limit: int = MOST_EVENTS) -> Whereabouts | None:
    """What became of the message; None where it is not in the log any more.

    limit: so many events at most.
    """
    rows = await tx.fetch(
        """
        with part as (
            select at, seq, source, $3::text[] as ids, '' as event, '' as key
            from message where at = $1 and seq = $2
            union all
            select at, seq, source, array[id], kind, key from message
            where correlation_id = any($4) and causation_id = any($3) and direction = 'out'
              and kind = any($6)
              -- one commit has one time, so that nothing is emitted before
              and at >= $1
        ),
        decided as (
            select p.*, i.subscription, i.outcome
            from part p
            left join lateral (
                select subscription, outcome from inbox
                where subscription = any($5) and source = p.source and id = any(p.ids)
                  and message_at = p.at and message_seq = p.seq
                -- what nobody could read may have been read since
                order by subscription = 'unread' limit 1
            ) i on true
            where p.event = '' or i.outcome is null or i.outcome <> all($7)
        )
        select d.event, d.key, coalesce(d.subscription, '') as subscription,
               coalesce(d.outcome, '') as outcome, coalesce(u.state, '') as state,
               coalesce(u.reason, '') as reason, c.id, c.what, c.place, c.is_open
        from decided d
        left join lateral (
            select state, reason, key from pending
            where message_at = d.at and message_seq = d.seq
            order by state = 'in_case' desc, id limit 1
        ) u on true
        left join lateral (
            select * from (
                select id, what, place, state = 'open' as is_open from exception_case
                where message_at = d.at and message_seq = d.seq and origin = 'message'
                union all
                -- what fails like another message of its key is in the case of that one
                select id, what, place, true from exception_case
                where state = 'open' and code = u.reason and key = u.key and u.state = 'in_case'
            ) of_it
            order by is_open desc, id desc limit 1
        ) c on true
        order by d.event <> '', d.seq limit $8
        """,
        sought.position.at,
        sought.position.seq,
        sorted(sought.ids),
        sorted(sought.correlation_ids),
        sorted(sought.subscriptions),
        sorted(sought.events),
        list(DONE),
        limit + 2,
    )
    if not rows or rows[0]["event"]:
        return None
    own, *events = (_part(r) for r in rows)
    return Whereabouts(own, tuple(events[:limit]), is_complete=len(events) <= limit)


async def open_ones(tx: Tx, cases: Iterable[tuple[str, str]]) -> dict[tuple[str, str], CaseOf]:
    """Those of the cases (code, place) that are open; of each there is one at most."""
    wanted = sorted(set(cases))
    if not wanted:
        return {}
    rows = await tx.fetch(
        """
        select c.code, c.id, c.what, c.place, true as is_open
        from unnest($1::text[], $2::text[]) as w(code, place)
        join exception_case c on c.code = w.code and c.place = w.place and c.state = 'open'
        """,
        [code for code, _ in wanted],
        [place for _, place in wanted],
    )
    return {(r["code"], r["place"]): _case(r) for r in rows}


def _part(row: asyncpg.Record) -> Part:
    return Part(
        event=row["event"],
        key=row["key"],
        subscription=row["subscription"],
        outcome=row["outcome"],
        state=row["state"],
        reason=row["reason"],
        case=_case(row) if row["id"] is not None else None,
    )


def _case(row: asyncpg.Record) -> CaseOf:
    return CaseOf(row["id"], row["what"], row["place"], row["is_open"])
