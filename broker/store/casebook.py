"""SQL for opening and closing exception cases by what happens; people's part is in cases.py."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from broker.store.connection import Position, Tx


class Case(msgspec.Struct, frozen=True):
    """An exception case to open; (code, place) is open once."""

    code: str
    word: str
    what: str
    place: str
    remedy: str
    owner: str
    source: str = ""
    key: str = ""
    position: Position | None = None
    ledger_key: str = ""
    origin: str = "message"


async def open_cases(tx: Tx, cases: Sequence[Case]) -> None:
    """Each case is open once, with one audit row; one that is open already is counted.

    What a plan says is not opened again after somebody resolved it: each new plan says it anew.
    """
    unique = {(c.code, c.place): c for c in cases}
    ordered = [unique[k] for k in sorted(unique)]
    await tx.execute(
        """
        with said as (
            insert into exception_case (code, word, what, place, remedy, owner, source, key,
                                        message_at, message_seq, ledger_key, origin)
            select c.* from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],
                                   $6::text[], $7::text[], $8::text[], $9::timestamptz[],
                                   $10::bigint[], $11::text[], $12::text[])
                 as c(code, word, what, place, remedy, owner, source, key, at, seq, ledger_key,
                      origin)
            where c.origin <> 'plan'
               -- (a look-up for each: `not exists` is planned as a read of the whole table)
               or (select e.id from exception_case e
                   where e.code = c.code and e.place = c.place and e.state = 'resolved'
                     and e.closed_by <> 'a newer plan' limit 1) is null
            on conflict (code, place) where state = 'open'
            do update
            set seen = exception_case.seen + (excluded.origin <> 'plan')::int, what = excluded.what
            -- a row that was there already carries the lock of this update
            returning id, code, place, message_at, message_seq, ledger_key, xmax = 0 as is_new
        )
        insert into audit (actor, action, subject, correlation_id, detail)
        select 'layshaft', 'case-opened', s.place,
               coalesce(
                   (select m.correlation_id from message m
                    where m.at = s.message_at and m.seq = s.message_seq limit 1),
                   (select l.correlation_id from ledger l where l.key = s.ledger_key limit 1),
                   ''),
               jsonb_build_object('case', s.id, 'code', s.code)
        from said s where s.is_new order by s.id
        """,
        [c.code for c in ordered],
        [c.word for c in ordered],
        [c.what for c in ordered],
        [c.place for c in ordered],
        [c.remedy for c in ordered],
        [c.owner for c in ordered],
        [c.source for c in ordered],
        [c.key for c in ordered],
        [c.position.at if c.position else None for c in ordered],
        [c.position.seq if c.position else None for c in ordered],
        [c.ledger_key for c in ordered],
        [c.origin for c in ordered],
    )


async def close_unsaid_cases(tx: Tx, *, ledger_key: str, said: Sequence[tuple[str, str]]) -> None:
    """Cases that earlier plans of the ledger opened and this one no longer says are resolved.

    said: (code, place) of what it does say.
    """
    await tx.execute(
        """
        update exception_case e set state = 'resolved', closed_at = now(),
               closed_by = 'a newer plan'
        where e.state = 'open' and e.origin = 'plan' and e.ledger_key = $1
          and not exists (select from unnest($2::text[], $3::text[]) as s(code, place)
                          where s.code = e.code and s.place = e.place)
        """,
        ledger_key,
        [code for code, _ in said],
        [place for _, place in said],
    )


async def close_cases(tx: Tx, *, about: str, ledger_key: str, by: str) -> None:
    """Open cases of that ledger whose place names that object are resolved."""
    await tx.execute(
        """
        update exception_case set state = 'resolved', closed_at = now(), closed_by = $3
        where state = 'open' and ledger_key = $2
          and (place = $1 or right(place, length($1) + 1) in (' ' || $1, '/' || $1))
        """,
        about,
        ledger_key,
        by,
    )
