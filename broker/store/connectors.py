"""SQL for how calls to each system stand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from broker.store.connection import Tx


class Backlog(msgspec.Struct, frozen=True):
    """Calls to one system. waiting: due or to be tried again; under_way: at it now. last_done_at:
    of the last that came to its end; None where none is on record."""

    waiting: int = 0
    under_way: int = 0
    last_done_at: datetime | None = None


async def backlogs(tx: Tx, systems: Sequence[str], verbs: Sequence[str]) -> dict[str, Backlog]:
    """By system, how its calls stand. verbs: of all operations that are calls."""
    rows = await tx.fetch(
        """
        select w.system, c.waiting, f.under_way, d.last_done_at
        from unnest($1::text[]) as w(system)
        cross join lateral (
            select count(*) as waiting from step s
            where s.state in ('ready', 'in_doubt') and s.kind = 'call' and s.system = w.system
        ) c
        cross join lateral (
            select count(*) as under_way from step s
            where s.state = 'in_flight' and s.system = w.system
        ) f
        cross join lateral (
            select max(l.changed_at) as last_done_at
            from unnest($2::text[]) as v(verb)
            cross join lateral (
                select changed_at from step s
                where s.verb = v.verb and s.system = w.system and s.state = 'done'
                order by changed_at desc limit 1
            ) l
        ) d
        """,
        list(systems),
        list(verbs),
    )
    return {r["system"]: Backlog(r["waiting"], r["under_way"], r["last_done_at"]) for r in rows}
