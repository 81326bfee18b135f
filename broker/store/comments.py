"""SQL for comments: what people say of a question without deciding it."""

from __future__ import annotations

from broker.store.connection import Tx


async def add(tx: Tx, *, step_id: int, by: str, said: str) -> bool:
    """The principal of that name has said so of the question that the step asks; False where there
    is no such step or principal."""
    added = await tx.fetchval(
        """
        insert into task_comment (ledger_id, identity, by_whom, principal_id, said)
        select s.ledger_id, s.identity, p.name, p.id, $3
        from step s, principal p where s.id = $1 and p.name = $2
        returning id
        """,
        step_id,
        by,
        said,
    )
    return added is not None
