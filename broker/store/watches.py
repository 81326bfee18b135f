"""SQL for what whole ledgers watch: facts on which more of a plan hangs than one step."""

from __future__ import annotations

from collections.abc import Mapping

from broker.slices import slices
from broker.store.connection import Tx
from canonical.facts import SELECTIONS

Watched = tuple[tuple[str, int], ...]
"""Facts, each with the version that was seen."""


async def keep(tx: Tx, watched: Mapping[int, Watched]) -> None:
    """These locked ledgers watch this and nothing else."""
    rows = [(id, fact, seen) for id, facts in sorted(watched.items()) for fact, seen in facts]
    swept = [row for row in rows if not row[2] or row[1].partition("/")[0] in SELECTIONS]
    held = set(rows).difference(swept)
    for table, those in (("watch", sorted(held)), ("swept_watch", swept)):
        await tx.execute(
            f"""
            delete from {table} w
            where w.ledger_id = any($1::bigint[]) and not exists (
                select from unnest($2::bigint[], $3::text[]) as n(ledger_id, fact)
                where n.ledger_id = w.ledger_id and n.fact = w.fact)
            """,
            list(watched),
            [id for id, _, _ in those],
            [fact for _, fact, _ in those],
        )
        for some in slices(those):
            await tx.execute(
                f"""
                insert into {table} as w (ledger_id, fact, seen)
                select * from unnest($1::bigint[], $2::text[], $3::bigint[])
                on conflict (ledger_id, fact) do update set seen = excluded.seen
                where w.seen <> excluded.seen
                """,
                [id for id, _, _ in some],
                [fact for _, fact, _ in some],
                [seen for _, _, seen in some],
            )
