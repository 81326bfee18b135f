"""Which approvals are on a list: for whom, about what, due when. What each of them says is read by
`broker.store.views`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

import msgspec

from broker.principals import ALL_PLANTS, TECHNICAL_ROLES, Principal
from broker.store.connection import Tx
from canonical.change import change_key

# So many are looked through; whoever is told that there are more narrows the filter.
LOOKED_THROUGH = 10_000
# Of each kind of thing that a list can be narrowed to.
CHOICES = 200

State = Literal["open", "decided", "all"]
STATES: tuple[State, ...] = get_args(State)

# Literals, no arguments: by them the planner knows the index of open approvals.
_IN_STATE: Mapping[State, str] = MappingProxyType(
    {
        "open": "and s.state = 'ready'",
        "decided": "and s.state in ('done', 'failed')",
        "all": "",
    }
)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which approvals; "" and None = any.

    change: its number, or the key of the ledger. role: that is asked. plant: that it concerns
    itself or by a step that waits for it. text: a part of the change's number or title, of the
    object, or of what is asked. line: fields of `OrderedLine` with the values that are wanted; None
    = also what is about no order line. due_within_s: due by then; 0 = overdue. mine: only what this
    one may decide. scope: plants of who looks: of changes that concern one of them, or no plant.
    """

    state: State = "open"
    change: str = ""
    role: str = ""
    plant: str = ""
    text: str = ""
    line: Mapping[str, str] | None = None
    due_within_s: float | None = None
    mine: Principal | None = None
    scope: tuple[str, ...] = ALL_PLANTS


class Chosen(msgspec.Struct, frozen=True):
    """A page of a list. ids: of the steps, in order; matched: how many are wanted among those
    looked through; is_cut: there were more to look through."""

    ids: tuple[int, ...]
    matched: int
    is_cut: bool


class Choices(msgspec.Struct, frozen=True):
    """What open approvals can be asked for by, each at most `CHOICES`."""

    roles: tuple[str, ...] = ()
    plants: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    suppliers: tuple[str, ...] = ()
    items: tuple[str, ...] = ()


async def chosen(
    tx: Tx, wanted: Wanted, *, limit: int, offset: int = 0, newest_first: bool = False
) -> Chosen:
    """The approvals that are wanted, so many from the offset on, by due time."""
    roles, name, plants = None, "", None
    if wanted.mine is not None:
        roles = [role for role in wanted.mine.roles if role not in TECHNICAL_ROLES]
        name = wanted.mine.name
        plants = None if "*" in wanted.mine.plants else list(wanted.mine.plants)
    order = "due_at desc, id desc" if newest_first else "due_at, id"
    rows = await tx.fetch(
        f"""
        with asked as materialized (
            select s.id, s.ledger_id, s.identity, s.plant, s.due_at, s.object_id, s.operation
            from step s
            where s.kind = 'approval' {_IN_STATE[wanted.state]}
              and ($1 = '' or s.ledger_id in (
                      select id from ledger where ledger.key in ($1, $2)))
              and ($3 = '' or s.system = $3)
              and ($4::jsonb is null
                   or convert_from(s.operation, 'UTF8')::jsonb -> 'order_line' @> $4)
              and ($5::float8 is null or s.due_at <= now() + make_interval(secs => $5))
              and ($6::text[] is null or s.system = any($6)
                   or exists (
                      select from step_escalation e
                      where e.step_id = s.id and e.due_at >= s.due_at and e.role = any($6))
                   or exists (
                      select from delegation d
                      where d.step_id = s.id and d.to_whom = $7 and d.withdrawn_at is null))
            order by {order} limit $8 + 1
        ),
        seen as materialized (
            select l.id, l.key, l.title
            from (select distinct ledger_id from asked) f
            -- limit: each by its id. Joined, all ledgers are read where many are thought to be.
            cross join lateral (select * from ledger where id = f.ledger_id limit 1) l
            where ($9::text[] is null
                   or exists (select from step p where p.ledger_id = l.id and p.plant = any($9))
                   or not exists (select from step p where p.ledger_id = l.id and p.plant <> ''))
        ),
        candidate as materialized (
            select a.id, a.ledger_id, a.identity, a.plant, a.due_at
            from asked a join seen l on l.id = a.ledger_id
            where $10 = '' or position(lower($10) in lower(
                concat_ws(' ', l.key, l.title, a.object_id,
                          convert_from(a.operation, 'UTF8')::jsonb ->> 'text'))) > 0
        ),
        -- joined by equality: a search in the arrays would compare every step with every other
        dependant as materialized (
            select b.ledger_id, n.needs, b.plant
            from (select distinct ledger_id from candidate) f
            join step b using (ledger_id) cross join lateral unnest(b.depends_on) as n(needs)
            where b.plant <> '' and b.state not in ('cancelled', 'superseded')
              and ($11::text[] is not null or $12 <> '')
        ),
        concerned as materialized (
            select c.id, d.plant from candidate c
            join dependant d on d.ledger_id = c.ledger_id and d.needs = c.identity
            union
            select id, plant from candidate where plant <> ''
        )
        select c.id, count(*) over () as matched, (select count(*) from asked) > $8 as is_cut
        from candidate c
        where ($11::text[] is null or not exists (
                  select from concerned k where k.id = c.id and k.plant <> all($11)))
          and ($12 = '' or exists (
                  select from concerned k where k.id = c.id and k.plant = $12))
        order by {order} limit $13 offset $14
        """,
        wanted.change,
        change_key(wanted.change),
        wanted.role,
        None if wanted.line is None else msgspec.json.encode(wanted.line).decode(),
        wanted.due_within_s,
        roles,
        name,
        LOOKED_THROUGH,
        None if "*" in wanted.scope else list(wanted.scope),
        wanted.text,
        plants,
        wanted.plant,
        limit,
        offset,
    )
    if not rows:
        return Chosen((), 0, is_cut=False)
    return Chosen(tuple(r["id"] for r in rows), rows[0]["matched"], rows[0]["is_cut"])


async def choices(
    tx: Tx, *, scope: tuple[str, ...] = ALL_PLANTS, of_orders: bool = False
) -> Choices:
    """What open approvals can be asked for by, as far as is looked through. of_orders: those about
    order lines."""
    row = await tx.fetchrow(
        """
        with asked as materialized (
            select s.system as role, s.ledger_id, s.plant,
                   convert_from(s.operation, 'UTF8')::jsonb -> 'order_line' as line
            from step s where s.kind = 'approval' and s.state = 'ready'
            order by s.due_at, s.id limit $1
        ),
        seen as materialized (
            select a.*, l.key from asked a join ledger l on l.id = a.ledger_id
            where (a.line is not null or not $3)
              and ($2::text[] is null
                   or exists (select from step p where p.ledger_id = l.id and p.plant = any($2))
                   or not exists (select from step p where p.ledger_id = l.id and p.plant <> ''))
        )
        select array(select distinct role from seen order by 1 limit $4) as roles,
               array(select distinct plant from seen where plant <> ''
                       and ($2::text[] is null or plant = any($2)) order by 1 limit $4) as plants,
               array(select distinct key from seen order by 1 limit $4) as changes,
               array(select distinct line ->> 'supplier' from seen where line is not null
                     order by 1 limit $4) as suppliers,
               array(select distinct line ->> 'item' from seen where line is not null
                     order by 1 limit $4) as items
        """,
        LOOKED_THROUGH,
        None if "*" in scope else list(scope),
        of_orders,
        CHOICES,
    )
    assert row is not None
    return Choices(
        roles=tuple(row["roles"]),
        plants=tuple(row["plants"]),
        changes=tuple(key.partition("/")[2] or key for key in row["changes"]),
        suppliers=tuple(row["suppliers"]),
        items=tuple(row["items"]),
    )
