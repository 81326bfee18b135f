"""The list of changes: which ones, how far each is, and what stands still by it.

Read in a snapshot (broker.store.views). What is computed of the rows is pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Literal, cast, get_args

import msgspec

from broker.ledger import SETTLED
from broker.principals import ALL_PLANTS
from broker.store.connection import Tx
from canonical.operations import REPORTS
from canonical.order import OPEN_ORDERS

# So many are looked through, open ones first, then the newest; whoever is told that there are more
# narrows the filter.
LOOKED_THROUGH = 2_000
# Of one change; the open orders of more are counted as those of these.
OBJECTS_LIMIT = 5_000

Stage = Literal[
    "failed", "decision", "held", "paused", "data", "calls", "reporting", "complete", "cancelled"
]
STAGES: tuple[Stage, ...] = get_args(Stage)
STAGE_WORDS: Mapping[Stage, str] = MappingProxyType(
    {
        "failed": "needs repair",
        "decision": "needs a decision",
        "held": "on hold",
        "paused": "paused",
        "data": "waits for data or a day",
        "calls": "calls under way",
        "reporting": "complete; report to the PLM outstanding",
        "complete": "complete",
        "cancelled": "cancelled",
    }
)
Order = Literal["newest", "risk"]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which changes; "" = any.

    number: part of a number or title. plant: with a step there. supplier: with a step or an order
    line that is about it. family: of the change, or of an item in it. scope: plants of who asks:
    changes that concern one of them, or no plant.
    """

    number: str = ""
    plant: str = ""
    supplier: str = ""
    family: str = ""
    stage: Stage | Literal[""] = ""
    scope: tuple[str, ...] = ALL_PLANTS


class ChangeRow(msgspec.Struct, frozen=True):
    """One ledger in a list.

    done, skipped, total: current steps, without those that are not planned any more.
    waits_for: owners whose turn it is: open approvals, awaited facts, failed steps.
    on_hold: calls that a hold keeps from being made. is_paused: a person lets nothing of it begin.
    failed, decisions, data: steps that failed, open questions, awaited facts and days. late: open
    steps after their time.
    plants_waiting, open_orders: plants with open steps, and open purchase orders with a line for an
    object of one. plants: all that it concerns. is_reporting: everything of it is true, and only
    its PLM is still to be told.
    """

    number: str
    key: str
    title: str
    state: str
    opened_at: datetime
    completed_at: datetime | None
    done: int
    skipped: int
    total: int
    waits_for: tuple[str, ...]
    open_cases: int
    on_hold: int
    is_paused: bool
    failed: int = 0
    decisions: int = 0
    data: int = 0
    late: int = 0
    plants: tuple[str, ...] = ()
    plants_waiting: int = 0
    open_orders: int = 0
    is_reporting: bool = False
    stage: Stage = "calls"

    @property
    def risk(self) -> int:
        """How much of production waits for it: more plants or more orders are more."""
        if self.state != "open" or self.is_reporting:
            return 0
        return max(self.plants_waiting, 1) * (1 + self.open_orders)


class Found(msgspec.Struct, frozen=True):
    """A page of a list. matched: changes that are wanted, among those looked through; is_cut: there
    were more to look through."""

    rows: tuple[ChangeRow, ...]
    matched: int
    is_cut: bool


class Choices(msgspec.Struct, frozen=True):
    """What changes can be asked for by."""

    plants: tuple[str, ...]
    suppliers: tuple[str, ...]
    families: tuple[str, ...]


def stage(
    state: str,
    *,
    is_reporting: bool,
    is_paused: bool,
    failed: int,
    decisions: int,
    on_hold: int,
    data: int,
) -> Stage:
    """Where a change stands: what a person has to do comes before what goes by itself, and that all
    of it is true before what keeps its PLM from being told."""
    if state in ("complete", "cancelled"):
        return cast(Stage, state)
    if is_reporting:
        return "reporting"
    signs: tuple[tuple[Stage, bool], ...] = (
        ("paused", is_paused),
        ("failed", failed > 0),
        ("decision", decisions > 0),
        ("held", on_hold > 0),
        ("data", data > 0),
    )
    return next((found for found, is_so in signs if is_so), "calls")


def stage_of(row: ChangeRow) -> Stage:
    """Where it stands."""
    return stage(
        row.state,
        is_reporting=row.is_reporting,
        is_paused=row.is_paused,
        failed=row.failed,
        decisions=row.decisions,
        on_hold=row.on_hold,
        data=row.data,
    )


def ordered(rows: Iterable[ChangeRow], order: Order) -> list[ChangeRow]:
    """By risk: what most of production waits for first. Sorting is stable: else they stay as they
    come, open ones first, then the newest."""
    return sorted(rows, key=lambda row: -row.risk) if order == "risk" else list(rows)


async def changes(
    tx: Tx,
    wanted: Wanted = Wanted(),  # noqa: B008 - frozen
    *,
    order: Order = "newest",
    limit: int,
    offset: int = 0,
) -> Found:
    """The changes that are wanted, so many from the offset on."""
    scope = None if "*" in wanted.scope else list(wanted.scope)
    state = {"": None, "complete": "complete", "cancelled": "cancelled"}.get(wanted.stage, "open")
    rows = await tx.fetch(
        """
        with looked_through as materialized (
            select id, key, title, state, ends_as, opened_at, completed_at,
                   paused_at is not null as is_paused
            from ledger
            where key not like 'read/%'
              and ($1 = '' or position(lower($1) in lower(key)) > 0
                   or position(lower($1) in lower(title)) > 0)
              and ($2::text is null or state = $2)
            order by state = 'open' desc, opened_at desc, id desc limit $3 + 1
        ),
        chosen as materialized (
            select c.* from looked_through c
            where ($4 = '' or exists (
                      select from step where ledger_id = c.id and plant = $4))
              and ($5::text[] is null
                   or exists (select from step where ledger_id = c.id and plant = any($5))
                   or not exists (select from step where ledger_id = c.id and plant <> ''))
              and ($6 = '' or exists (
                      select from step s where s.ledger_id = c.id
                        and (s.object_kind = 'supplier' and s.object_id = $6
                             or starts_with(s.object_id, $6 || '/')
                             or s.kind = 'approval'
                                and convert_from(s.operation, 'UTF8')::jsonb
                                    -> 'order_line' ->> 'supplier' = $6)))
              and ($7 = ''
                   or exists (
                      select from document d where d.key = c.key
                        and convert_from(d.body, 'UTF8')::jsonb ->> 'family' = $7)
                   or exists (
                      select from step s join document d on d.key = 'item/' || s.object_id
                      where s.ledger_id = c.id and s.object_kind = 'item'
                        and convert_from(d.body, 'UTF8')::jsonb ->> 'family' = $7))
        )
        select c.*, s.*, o.open_orders,
               c.state = 'open' and c.ends_as = 'complete'
                   and s.own > 0 and s.own_open = 0 and s.reports_open > 0 as is_reporting,
               (select count(*) from looked_through) > $3 as is_cut,
               (select count(*) from exception_case e
                where e.state = 'open' and (e.ledger_key = c.key or e.key = c.key)) as open_cases
        from chosen c
        cross join lateral (
            select count(*) filter (where state = 'done') as done,
                   count(*) filter (where state = 'skipped') as skipped,
                   count(*) filter (where state not in ('cancelled', 'superseded')) as total,
                   count(*) filter (where verb <> all($11)) as own,
                   count(*) filter (where verb <> all($11) and state <> all($8)) as own_open,
                   count(*) filter (where verb = any($11) and state <> all($8)) as reports_open,
                   count(*) filter (where state = 'failed') as failed,
                   count(*) filter (where kind = 'approval' and state = 'ready') as decisions,
                   count(*) filter (where kind = 'wait' and state = 'waiting') as data,
                   count(*) filter (where state <> all($8) and due_at < now()) as late,
                   array_agg(distinct plant order by plant) filter (where plant <> '') as plants,
                   count(distinct plant) filter (where plant <> '' and state <> all($8))
                       as plants_waiting,
                   array_agg(distinct owner order by owner) filter (
                       where state = 'failed' or (kind = 'approval' and state = 'ready')
                          or (kind = 'wait' and state = 'waiting')) as waits_for,
                   count(*) filter (where kind = 'call' and state in ('ready', 'in_doubt')
                       and not only_asks and exists (
                           select from outbound_hold h where h.released_at is null
                             and h.value = case h.kind when 'system' then latest.system
                                 when 'plant' then latest.plant else latest.flow end)) as on_hold
            from (select distinct on (identity) * from step where ledger_id = c.id
                  order by identity, generation desc) latest
        ) s
        cross join lateral (
            select count(distinct n.key) as open_orders
            from (select distinct object_id from step
                  where ledger_id = c.id and c.state = 'open' and state <> all($8)
                  limit $10) open_objects
            join selected n on n.name = $9 || object_id and n.is_in
        ) o
        order by c.state = 'open' desc, c.opened_at desc, c.id desc
        """,
        wanted.number,
        state,
        LOOKED_THROUGH,
        wanted.plant,
        scope,
        wanted.supplier,
        wanted.family,
        sorted(SETTLED),
        f"{OPEN_ORDERS}/",
        OBJECTS_LIMIT,
        sorted(REPORTS),
    )
    is_cut = bool(rows) and rows[0]["is_cut"]
    found = [_row(r) for r in rows[:LOOKED_THROUGH]]
    if wanted.stage:
        found = [row for row in found if row.stage == wanted.stage]
    page = ordered(found, order)[offset : offset + limit]
    return Found(tuple(page), len(found), is_cut)


async def choices(tx: Tx, *, scope: tuple[str, ...] = ALL_PLANTS) -> Choices:
    """What open changes can be asked for by, as far as is looked through."""
    row = await tx.fetchrow(
        """
        with looked_through as (
            select id, key from ledger where key not like 'read/%' and state = 'open'
            order by opened_at desc limit 200
        ),
        about as (
            select distinct plant, object_kind, object_id
            from looked_through l cross join lateral (
                select plant, object_kind, object_id from step where ledger_id = l.id limit 500
            ) s
        )
        select array(select distinct plant from about where plant <> ''
                       and ($1::text[] is null or plant = any($1)) order by plant) as plants,
               array(select distinct case object_kind when 'supplier' then object_id
                                     else split_part(object_id, '/', 1) end as supplier
                     from about where object_kind in ('supplier', 'info-record')
                     order by supplier limit 200) as suppliers,
               array(select distinct family from looked_through l
                     join document d on d.key = l.key
                     cross join lateral (
                         select convert_from(d.body, 'UTF8')::jsonb ->> 'family' as family) f
                     where family <> '' order by family limit 200) as families
        """,
        None if "*" in scope else list(scope),
    )
    assert row is not None
    return Choices(tuple(row["plants"]), tuple(row["suppliers"]), tuple(row["families"]))


def _row(row: object) -> ChangeRow:
    r = dict(cast("dict[str, object]", row))
    key = cast(str, r["key"])
    columns = {name: r[name] for name in ChangeRow.__struct_fields__ if name in r}
    columns |= {"number": key.partition("/")[2] or key}
    columns |= {name: r[name] or [] for name in ("waits_for", "plants")}
    found = msgspec.convert(columns, ChangeRow)
    return msgspec.structs.replace(found, stage=stage_of(found))
