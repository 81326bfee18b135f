"""SQL for opening and closing exception cases by what happens; people's part is in cases.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from broker.store.connection import Position, Tx

# Behind "with closed as (... returning *)" of exception cases: each has its row of the audit, under
# the name of who closed it.
PUT_ON_RECORD = """
    insert into audit (actor, action, subject, correlation_id, detail)
    select c.closed_by, 'case-resolved', c.place,
           coalesce(
               (select m.correlation_id from message m
                where m.at = c.message_at and m.seq = c.message_seq limit 1),
               (select l.correlation_id from ledger l where l.key = c.ledger_key limit 1),
               ''),
           jsonb_build_object('case', c.id, 'code', c.code)
    from closed c order by c.id
"""


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
            set seen = exception_case.seen + (excluded.origin <> 'plan')::int, what = excluded.what,
                remedy = excluded.remedy
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


async def close_unsaid_cases(tx: Tx, said: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    """Cases that earlier plans of these ledgers opened and their last ones no longer say are
    resolved, on record.

    said: by ledger key, (code, place) of what its last plan does say.
    """
    sayings = [(key, code, place) for key, its in said.items() for code, place in its]
    await tx.execute(
        f"""
        with closed as (
            update exception_case e set state = 'resolved', closed_at = now(),
                   closed_by = 'a newer plan'
            from unnest($1::text[]) as l(key)
            where e.state = 'open' and e.origin = 'plan' and e.ledger_key = l.key
              and not exists (select from unnest($2::text[], $3::text[], $4::text[])
                                  as s(ledger_key, code, place)
                              where s.ledger_key = e.ledger_key and s.code = e.code
                                and s.place = e.place)
            returning e.*
        )
        {PUT_ON_RECORD}
        """,
        sorted(said),
        [key for key, _, _ in sayings],
        [code for _, code, _ in sayings],
        [place for _, _, place in sayings],
    )


async def close_cases(tx: Tx, *, about: str, ledger_key: str, by: str) -> None:
    """Open cases of that ledger whose place names that object are resolved, on record."""
    await tx.execute(
        f"""
        with closed as (
            update exception_case set state = 'resolved', closed_at = now(), closed_by = $3
            where state = 'open' and ledger_key = $2
              and (place = $1 or right(place, length($1) + 1) in (' ' || $1, '/' || $1))
            returning *
        )
        {PUT_ON_RECORD}
        """,
        about,
        ledger_key,
        by,
    )
