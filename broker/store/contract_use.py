"""SQL for what is measured of contracts: who sent by which, on which day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from broker.store.connection import Tx

DAYS = 30


class UseRow(msgspec.Struct, frozen=True):
    """How a source used a contract. messages: of the last DAYS days."""

    source: str
    contract: str
    messages: int
    first_at: datetime
    last_at: datetime


async def add(tx: Tx, messages: Mapping[tuple[str, str], int], *, at: datetime) -> None:
    """So many more messages came, by (source, contract)."""
    keys = sorted(messages)
    await tx.execute(
        """
        insert into contract_use as u (source, contract, day, messages, first_at, last_at)
        select source, contract, ($4::timestamptz at time zone 'UTC')::date, messages, $4, $4
        from unnest($1::text[], $2::text[], $3::bigint[]) as n(source, contract, messages)
        on conflict (source, contract, day) do update
        set messages = u.messages + excluded.messages,
            last_at = greatest(u.last_at, excluded.last_at)
        """,
        [source for source, _ in keys],
        [contract for _, contract in keys],
        [messages[key] for key in keys],
        at,
    )


async def uses(tx: Tx) -> list[UseRow]:
    """Every contract that was ever used, by source."""
    rows = await tx.fetch(
        """
        select source, contract, min(first_at) as first_at, max(last_at) as last_at,
               coalesce(sum(messages) filter (
                   where day > (now() at time zone 'UTC')::date - $1::int), 0)::bigint as messages
        from contract_use group by source, contract order by source, contract
        """,
        DAYS,
    )
    return [msgspec.convert(dict(r), UseRow) for r in rows]
