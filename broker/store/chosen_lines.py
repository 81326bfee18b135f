"""SQL for lines of work lists that somebody chose to decide alike."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from broker.store.connection import Tx

# A choice that nothing came of is forgotten after a day, the outcome of one that was decided after
# a month; the decisions themselves are on record for good.
_OPEN_HOURS, _DECIDED_DAYS = 24, 30


class ChosenLine(msgspec.Struct, frozen=True):
    """A question as it was read. digest: hex digest of its content."""

    step_id: int
    digest: str


class Outcome(msgspec.Struct, frozen=True):
    """What became of a line. missing: signatures that it takes still; code, what: why it was
    refused, "" where it was decided."""

    step_id: int
    missing: int = 0
    code: str = ""
    what: str = ""


class ChosenLines(msgspec.Struct, frozen=True):
    """What somebody chose. by: who; query: filter it was chosen by; matched: how many lines that
    filter found. decided_at, choice, reason, outcome: once it was decided."""

    id: int
    by: str
    made_at: datetime
    query: str
    matched: int
    lines: tuple[ChosenLine, ...]
    decided_at: datetime | None
    choice: str
    reason: str
    outcome: tuple[Outcome, ...]


async def keep(tx: Tx, lines: Sequence[ChosenLine], *, by: str, query: str, matched: int) -> int:
    """The choice is kept, and has that number. Those that nobody needs any more are gone."""
    await tx.execute(
        """
        delete from chosen_lines where id in (
            select id from chosen_lines
            where made_at < now() - case when decided_at is null
                then make_interval(hours => $1) else make_interval(days => $2) end
            limit 100 for update skip locked)
        """,
        _OPEN_HOURS,
        _DECIDED_DAYS,
    )
    number: int = await tx.fetchval(
        """
        insert into chosen_lines (principal_id, query, matched, lines)
        select id, $2, $3, $4::jsonb from principal where name = $1 returning id
        """,
        by,
        query,
        matched,
        msgspec.json.encode(lines).decode(),
    )
    return number


async def find(tx: Tx, number: int, *, by: str) -> ChosenLines | None:
    """What that one chose under this number; None where there is none of theirs."""
    return await _find(tx, number, by, "")


async def lock(tx: Tx, number: int, *, by: str) -> ChosenLines | None:
    """The same, and nobody else decides it before this transaction ends."""
    return await _find(tx, number, by, "for update of c")


async def _find(tx: Tx, number: int, by: str, locking: str) -> ChosenLines | None:
    row = await tx.fetchrow(
        f"""
        select c.*, p.name as by from chosen_lines c join principal p on p.id = c.principal_id
        where c.id = $1 and p.name = $2 {locking}
        """,
        number,
        by,
    )
    if row is None:
        return None
    columns = {name: row[name] for name in ChosenLines.__struct_fields__}
    columns["lines"] = msgspec.json.decode(row["lines"])
    columns["outcome"] = msgspec.json.decode(row["outcome"] or "[]")
    return msgspec.convert(columns, ChosenLines)


async def keep_outcome(
    tx: Tx, number: int, outcome: Sequence[Outcome], *, choice: str, reason: str
) -> None:
    """It was decided so, and this became of each line."""
    await tx.execute(
        """
        update chosen_lines
        set decided_at = now(), choice = $2, reason = $3, outcome = $4::jsonb where id = $1
        """,
        number,
        choice,
        reason,
        msgspec.json.encode(outcome).decode(),
    )
