"""SQL for delegations: who may sign a decision in whose place."""

from __future__ import annotations

from collections.abc import Sequence

from broker.store.connection import Tx


async def of_steps(tx: Tx, step_ids: Sequence[int]) -> dict[int, dict[str, str]]:
    """Of each step that has any: by name of who may sign, the name of the one in whose place."""
    rows = await tx.fetch(
        """
        select step_id, to_whom, from_whom from delegation
        where step_id = any($1::bigint[]) and withdrawn_at is null order by at
        """,
        list(step_ids),
    )
    found: dict[int, dict[str, str]] = {}
    for row in rows:
        found.setdefault(row["step_id"], {})[row["to_whom"]] = row["from_whom"]
    return found


async def add(tx: Tx, step_id: int, *, by: str, to: str, principal_id: int, reason: str) -> None:
    """Who is named may sign; nobody else in the place of that one any more."""
    await withdraw(tx, step_id, by)
    await tx.execute(
        """
        insert into delegation (step_id, from_whom, to_whom, principal_id, reason)
        values ($1, $2, $3, $4, $5)
        """,
        step_id,
        by,
        to,
        principal_id,
        reason,
    )


async def withdraw(tx: Tx, step_id: int, by: str) -> None:
    """Nobody may sign in the place of that one any more."""
    await tx.execute(
        """
        update delegation set withdrawn_at = now()
        where step_id = $1 and from_whom = $2 and withdrawn_at is null
        """,
        step_id,
        by,
    )
