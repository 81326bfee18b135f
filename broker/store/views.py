"""Read models of changes, tasks and cases: what people look at, one statement a view.

All of it is read in a snapshot that can write nothing, so that the numbers of one screen agree.
Field names are the field names of `-o json`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from types import MappingProxyType
from typing import Literal, cast

import asyncpg
import msgspec

from broker.ledger import LEFT_BEHIND, SETTLED
from broker.principals import Decision, signers
from broker.store.connection import Database, Tx
from broker.store.holds import Hold, gone_on_to, in_words, open_holds
from broker.store.steps import DUE_S, ESCALATED_TO
from broker.store.task_list import LOOKED_THROUGH, State, Wanted, chosen
from canonical.effects import Finding
from canonical.operations import Approve, AwaitFact, AwaitTime, Operation
from canonical.order import LineNow, OrderedLine, PurchaseOrder, line_now, order_key

# More rows than anybody reads; a view that reaches its limit says so.
LIST_LIMIT = 200
STEPS_LIMIT = 10_000
EXCERPT_BYTES = 2_000

Which = Literal["open", "decided", "resolved", "all"]


class StepRow(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a ledger.

    identity, depends_on: as in the plan. operation: its verb. asks: the sentence of an approval or
    the reason of a wait. fact: the document a wait is for. wake_at: when its plan is made anew, if
    not before; of a wait for a time, its end. escalated_to: roles that it has gone on to, since it
    waits too long. undoes: id of the step that it undoes; 0 = it is planned.
    """

    id: int
    identity: str
    generation: int
    kind: str
    plant: str
    system: str
    object_kind: str
    object_id: str
    operation: str
    state: str
    owner: str
    lane: str
    reason: str
    reference: str
    attempts: int
    depends_on: tuple[str, ...]
    fact: str
    asks: str
    next_at: datetime
    due_at: datetime
    changed_at: datetime
    wake_at: datetime | None = None
    escalated_to: tuple[str, ...] = ()
    undoes: int = 0

    @property
    def verb(self) -> str:
        """What it does, for a person."""
        return f"undo {self.operation}" if self.undoes else self.operation


class StepCount(msgspec.Struct, frozen=True):
    """So many current steps of a ledger stand so. late: those of them that are open after their
    time."""

    plant: str
    system: str
    object_kind: str
    state: str
    number: int
    late: int = 0


class OpenCase(msgspec.Struct, frozen=True):
    """An open case of a ledger; place: where, for a failed call "<ledger key>: <identity>"."""

    id: int
    place: str


class Pause(msgspec.Struct, frozen=True):
    """Why nothing of a ledger begins. escalated_to: as in Hold."""

    reason: str
    by: str
    at: datetime
    escalated_to: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """Why, by whom, since when, and to whom it has gone on."""
        return in_words(self.reason, self.by, self.at, self.escalated_to)


class ChangeView(msgspec.Struct, frozen=True):
    """A ledger with its current steps, and older ones that a target still works on or that are left
    behind; and the holds in force, whether they are about it or not.

    ends_as: its state once every step is settled. planner: code and rules by which it was planned
    last; "" = not on record.
    """

    number: str
    key: str
    title: str
    state: str
    version: int
    source: str
    correlation_id: str
    opened_at: datetime
    planned_at: datetime
    completed_at: datetime | None
    findings: tuple[Finding, ...]
    open_cases: tuple[OpenCase, ...]
    steps: tuple[StepRow, ...]
    holds: tuple[Hold, ...]
    ends_as: str
    paused: Pause | None
    planner: str = ""


class DecisionRow(msgspec.Struct, frozen=True):
    """What a person decided; in_place_of: somebody else, "" = nobody."""

    verdict: str
    by: str
    reason: str
    at: datetime
    digest: str
    in_place_of: str = ""
    choice: str = ""


class DelegateRow(msgspec.Struct, frozen=True):
    """Who may decide a question in whose place, and why."""

    to: str
    by: str
    reason: str
    at: datetime


class CommentRow(msgspec.Struct, frozen=True):
    """What somebody said of a question without deciding it."""

    by: str
    said: str
    at: datetime


class TaskRow(msgspec.Struct, frozen=True):
    """One approval.

    role: who is asked. about: object it is about. plant: its own; plants: that one and those of the
    steps that wait for it directly. waiting: open steps that stand behind it.
    digest: hex digest of what is asked; a decision names it. since: when it became this state.
    signatures: how many have to approve; signed_by: who has approved what is asked now; missing:
    how many more it takes while it is open. overdue_s: seconds that it is open past its due time;
    0 = it is not. escalated_to: roles that may decide it too, since it waits too long; delegates:
    who may in somebody's place. choices: one of them is the answer; () = yes or no. order_line:
    that it is about, where it is about one. key: of its ledger. due_s: seconds that it has, of the
    working time of the calendar of that name; "" = of any time. comments: on the question, however
    often it was asked, the oldest first.
    """

    id: int
    change: str
    title: str
    role: str
    owner: str
    question: str
    about: str
    plant: str
    plants: tuple[str, ...]
    text: str
    evidence: tuple[str, ...]
    state: str
    since: datetime
    due_at: datetime
    waiting: int
    digest: str
    signatures: int
    signed_by: tuple[str, ...]
    missing: int
    overdue_s: int
    escalated_to: tuple[str, ...]
    delegates: tuple[DelegateRow, ...]
    decisions: tuple[DecisionRow, ...]
    choices: tuple[str, ...]
    order_line: OrderedLine | None
    key: str = ""
    due_s: int = 0
    calendar: str = ""
    comments: tuple[CommentRow, ...] = ()


class DecidedLine(msgspec.Struct, frozen=True):
    """An order line that was decided on, and what its order says now. owner: whose turn it is to
    see to it in the order's system. is_stated_since: that has stated the order since the decision.
    """

    task: int
    change: str
    owner: str
    order_line: OrderedLine
    choice: str
    by: str
    at: datetime
    now: LineNow
    is_stated_since: bool


class TaskPage(msgspec.Struct, frozen=True):
    """A page of a list of approvals. matched: how many are wanted, among those looked through;
    is_cut: there were more to look through."""

    rows: tuple[TaskRow, ...]
    matched: int
    is_cut: bool


class CaseRow(msgspec.Struct, frozen=True):
    """One exception case. place: where; seen: how often since it was opened."""

    id: int
    code: str
    word: str
    what: str
    place: str
    remedy: str
    owner: str
    state: str
    source: str
    key: str
    change: str
    seen: int
    opened_at: datetime
    closed_at: datetime | None
    closed_by: str


class CaseMessage(msgspec.Struct, frozen=True):
    """The message a case is about. excerpt: start of its body, bytes that are no text escaped."""

    id: str
    source: str
    type: str
    kind: str
    key: str
    correlation_id: str
    message_id: str
    content_type: str
    received_at: datetime
    attributes: dict[str, str]
    body_bytes: int
    excerpt: str


class CaseHold(msgspec.Struct, frozen=True):
    """Unfinished work of the case's message. behind: later messages of its key that wait."""

    subscription: str
    scope: str
    key: str
    state: str
    attempts: int
    reason: str
    due_at: datetime
    behind: int


class CaseView(msgspec.Struct, frozen=True):
    """A case with what it is about and what it holds up. failed_step: the step it names."""

    case: CaseRow
    message: CaseMessage | None
    hold: CaseHold | None
    failed_step: int | None


@asynccontextmanager
async def snapshot(database: Database) -> AsyncIterator[Tx]:
    """A transaction that sees one moment and can write nothing."""
    async with database.transaction() as tx:
        await tx.execute("set transaction isolation level repeatable read, read only")
        yield tx


async def change(tx: Tx, number: str) -> ChangeView | None:
    """The ledger of that change number or ledger key; None where there is none."""
    row = await tx.fetchrow(
        f"""
        select l.*, {gone_on_to("l.key", "l.paused_at")} as pause_escalated_to,
               -- who states the object, where it is on record: its event is always ours
               coalesce((select d.source from document d where d.key = l.key), l.source)
                   as stated_by,
               (select json_agg(json_build_object('id', e.id, 'place', e.place) order by e.id)
                            ::text
                     from exception_case e
                     where e.state = 'open'
                       and (e.ledger_key = l.key or e.key = l.key)) as open_cases
        from ledger l where l.key in ($1, 'engineering-change/' || $1)
        """,
        number,
    )
    if row is None:
        return None
    steps = await tx.fetch(
        f"""
        select s.*, {ESCALATED_TO} as escalated_to from (
            select *, generation = max(generation) over (partition by identity) as is_current,
                   first_value(state) over (partition by identity order by generation desc)
                       as current_state
            from step where ledger_id = $1
        ) s
        where is_current or state in ('in_flight', 'in_doubt')
           or (state = 'superseded' and reason = $3
               and current_state in ('cancelled', 'superseded')
               and id <> all(array(
                   select u.undoes from step u
                   where u.ledger_id = $1 and u.undoes is not null
                     and u.state not in ('cancelled', 'superseded'))))
        order by id limit $2
        """,
        row["id"],
        STEPS_LIMIT,
        LEFT_BEHIND,
    )
    return ChangeView(
        number=_number(row["key"]),
        key=row["key"],
        title=row["title"],
        state=row["state"],
        version=row["version"],
        source=row["stated_by"],
        correlation_id=row["correlation_id"],
        opened_at=row["opened_at"],
        planned_at=row["planned_at"],
        completed_at=row["completed_at"],
        findings=msgspec.json.decode(row["findings"], type=tuple[Finding, ...]),
        open_cases=msgspec.json.decode(row["open_cases"] or "[]", type=tuple[OpenCase, ...]),
        steps=tuple(_step(s) for s in steps),
        holds=await open_holds(tx),
        ends_as=row["ends_as"],
        paused=_pause(row),
        planner=row["planner"],
    )


async def change_mark(tx: Tx, key: str) -> str:
    """Something else each time that the ledger of that key, or what is shown beside it, changes; ""
    where there is none."""
    mark: str | None = await tx.fetchval(
        """
        select md5(concat_ws('|', l.state, l.version, l.planned_at, l.ends_as, l.paused_at,
                             s.number, s.versions, s.changed_at, d.number, h.number, h.newest,
                             e.number))
        from ledger l
        cross join lateral (
            select count(*) as number, sum(version) as versions, max(changed_at) as changed_at
            from step where ledger_id = l.id) s
        cross join lateral (
            select count(*) as number from step a join decision on step_id = a.id
            where a.ledger_id = l.id and a.kind = 'approval' and a.state = 'ready') d
        cross join lateral (
            select count(*) as number, max(id) as newest from outbound_hold
            where released_at is null) h
        cross join lateral (
            select count(*) as number from exception_case
            where state = 'open' and (ledger_key = l.key or exception_case.key = l.key)) e
        where l.key = $1
        """,
        key,
    )
    return mark or ""


async def step_counts(tx: Tx, key: str) -> list[StepCount]:
    """How many current steps of the ledger stand how, by plant, system and kind of object."""
    rows = await tx.fetch(
        """
        select plant, system, object_kind, state, count(*) as number,
               count(*) filter (where state <> all($3) and due_at < now()) as late
        from (select distinct on (identity) * from step
              where ledger_id = (select id from ledger where key = $1)
              order by identity, generation desc) latest
        group by plant, system, object_kind, state
        order by plant, system, object_kind, state limit $2
        """,
        key,
        STEPS_LIMIT,
        sorted(SETTLED),
    )
    return [msgspec.convert(dict(r), StepCount) for r in rows]


async def tasks(tx: Tx, which: State, *, limit: int = LIST_LIMIT) -> list[TaskRow]:
    """Approvals, the oldest first: open ones, decided ones or all."""
    return list((await task_page(tx, Wanted(state=which), limit=limit)).rows)


async def order_tasks(
    tx: Tx,
    *,
    change: str = "",
    line: Mapping[str, str] = MappingProxyType({}),
    due_within_s: float | None = None,
    limit: int,
) -> list[TaskRow]:
    """Open approvals about order lines, the oldest first. change: number, "" = of any; line: fields
    of `OrderedLine` with the values that are wanted."""
    wanted = Wanted(change=change, line=line, due_within_s=due_within_s)
    return list((await task_page(tx, wanted, limit=limit)).rows)


async def decided_orders(
    tx: Tx,
    *,
    change: str = "",
    line: Mapping[str, str] = MappingProxyType({}),
    limit: int,
) -> list[DecidedLine]:
    """Order lines that were decided on, the last ones first, as far as they are still asked about
    so; with what their orders say now. change, line: as in `order_tasks`."""
    wanted = Wanted(state="decided", change=change, line=line)
    tasks = (await task_page(tx, wanted, limit=limit, newest_first=True)).rows
    # What is asked about once more, or was decided once more, is not what it was.
    asked = await order_tasks(tx, change=change, line=line, limit=LOOKED_THROUGH)
    newest: dict[tuple[str, str], TaskRow] = {}
    for task in sorted((*tasks, *asked), key=lambda task: -task.id):
        newest.setdefault((task.key, task.about), task)
    decided = [
        (task, task.order_line)
        for task in tasks
        if task.order_line and task.decisions and newest[task.key, task.about] is task
    ]
    rows = await tx.fetch(
        "select d.key, d.body, d.updated_at from document d"
        " join unnest($1::text[]) as w(key) using (key)",
        sorted({order_key(about.order) for _, about in decided}),
    )
    orders = {
        r["key"]: (msgspec.json.decode(r["body"], type=PurchaseOrder), r["updated_at"])
        for r in rows
    }
    found = []
    for task, about in decided:
        order, stated_at = orders.get(order_key(about.order), (None, None))
        last = task.decisions[-1]
        found.append(
            DecidedLine(
                task=task.id,
                change=task.change,
                owner=task.owner,
                order_line=about,
                choice=last.choice,
                by=last.by,
                at=last.at,
                now=line_now(about, order),
                is_stated_since=stated_at is not None and stated_at > last.at,
            )
        )
    return found


async def task_page(
    tx: Tx, wanted: Wanted, *, limit: int, offset: int = 0, newest_first: bool = False
) -> TaskPage:
    """The approvals that are wanted, so many from the offset on, by due time."""
    found = await chosen(tx, wanted, limit=limit, offset=offset, newest_first=newest_first)
    return TaskPage(tuple(await tasks_of(tx, found.ids)), found.matched, found.is_cut)


async def task(tx: Tx, task_id: int) -> TaskRow | None:
    """The approval with that step id; None where there is none."""
    found = await tasks_of(tx, [task_id])
    return found[0] if found else None


async def tasks_of(tx: Tx, ids: Sequence[int]) -> list[TaskRow]:
    """The approvals with these step ids, in their order; others are left out."""
    if not ids:
        return []
    rows = await tx.fetch(
        f"""
        with recursive asked as materialized (
            select s.*, {DUE_S} as has_s from step s
            where s.kind = 'approval' and s.id = any($1::bigint[])
        ),
        -- joined by equality: a search in the arrays would compare every step with every other
        dependant as materialized (
            select b.ledger_id, b.id, b.identity, b.state, b.plant, d.needs
            from (select distinct ledger_id from asked) a
            join step b using (ledger_id) cross join lateral unnest(b.depends_on) as d(needs)
        ),
        concerned as (
            select a.id as task, array_agg(distinct d.plant) as plants
            from asked a join dependant d on d.ledger_id = a.ledger_id and d.needs = a.identity
            where d.plant <> '' and d.state not in ('cancelled', 'superseded')
            group by a.id
        ),
        -- everything behind it, over any number of steps; union ends it whatever the graph
        behind as (
            select a.id as task, d.ledger_id, d.id, d.identity, d.state
            from asked a join dependant d on d.ledger_id = a.ledger_id and d.needs = a.identity
            union
            select b.task, d.ledger_id, d.id, d.identity, d.state
            from behind b join dependant d on d.ledger_id = b.ledger_id and d.needs = b.identity
        ),
        waiting as (
            select task, count(*) as steps from behind where state in ('waiting', 'held')
            group by task
        )
        select s.id, l.key as ledger_key, l.title, s.system, s.owner, s.object_kind, s.object_id,
               s.plant, s.operation, s.state, s.changed_at, s.due_at, s.digest,
               s.has_s as due_s, s.calendar, d.decisions, g.delegates, m.comments,
               coalesce(w.steps, 0) as waiting, c.plants,
               case when s.state = 'ready'
                    then greatest(extract(epoch from now() - s.due_at), 0)::bigint else 0
               end as overdue_s, {ESCALATED_TO} as escalated_to
        from asked s join ledger l on l.id = s.ledger_id left join waiting w on w.task = s.id
        left join concerned c on c.task = s.id
        left join lateral (
            select json_agg(json_build_object('verdict', verdict, 'by', by_whom, 'reason', reason,
                       'at', at, 'digest', encode(digest, 'hex'), 'in_place_of', in_place_of,
                       'choice', choice)
                       order by id)::text as decisions
            from decision where step_id = s.id
        ) d on true
        left join lateral (
            select json_agg(json_build_object('to', to_whom, 'by', from_whom, 'reason', reason,
                       'at', at) order by at)::text as delegates
            from delegation where step_id = s.id and withdrawn_at is null
        ) g on true
        left join lateral (
            select json_agg(json_build_object('by', by_whom, 'said', said, 'at', at)
                       order by id)::text as comments
            from task_comment where ledger_id = s.ledger_id and identity = s.identity
        ) m on true
        """,
        list(ids),
    )
    found = {r["id"]: r for r in rows}
    return [_task(found[step_id]) for step_id in ids if step_id in found]


async def operations(tx: Tx, step_ids: Sequence[int]) -> dict[int, Operation]:
    """What the steps with these ids ask for."""
    rows = await tx.fetch(
        "select id, operation from step where id = any($1::bigint[]) order by id", list(step_ids)
    )
    return {r["id"]: msgspec.json.decode(r["operation"], type=Operation) for r in rows}


async def cases(tx: Tx, which: Which, *, limit: int = LIST_LIMIT) -> list[CaseRow]:
    """Exception cases, the newest first."""
    rows = await tx.fetch(
        """
        select * from exception_case where $1 = 'all' or state = $1
        order by state = 'open' desc, opened_at desc, id desc limit $2
        """,
        which,
        limit,
    )
    return [_case(r) for r in rows]


async def case(tx: Tx, case_id: int) -> CaseView | None:
    """The case with its message and what waits behind it; None where there is none."""
    row = await tx.fetchrow("select * from exception_case where id = $1", case_id)
    if row is None:
        return None
    message = await tx.fetchrow(
        """
        select *, octet_length(body) as body_bytes, substring(body from 1 for $3) as excerpt
        from message where at = $1 and seq = $2
        """,
        row["message_at"],
        row["message_seq"],
        EXCERPT_BYTES,
    )
    hold = await tx.fetchrow(
        """
        select p.*, (select count(*) from pending b
                     where b.scope = p.scope and b.key = p.key and b.id > p.id) as behind
        from pending p where p.message_at = $1 and p.message_seq = $2
        order by p.state = 'in_case' desc, p.id limit 1
        """,
        row["message_at"],
        row["message_seq"],
    )
    failed_step = await tx.fetchval(
        """
        select s.id from ledger l join step s on s.ledger_id = l.id
        where l.key = $1 and s.kind = 'call' and s.state = 'failed'
          and $2 = l.key || ': ' || s.identity
        order by s.generation desc limit 1
        """,
        row["ledger_key"],
        row["place"],
    )
    return CaseView(
        case=_case(row),
        message=_case_message(message) if message else None,
        hold=msgspec.convert(dict(hold), CaseHold) if hold and row["state"] == "open" else None,
        failed_step=failed_step,
    )


async def known_numbers(tx: Tx) -> dict[str, list[str]]:
    """What a person may have meant: recent change numbers, tasks, cases and documents."""
    row = await tx.fetchrow(
        """
        select array(select key from ledger where key not like 'read/%'
                     order by id desc limit 500) as changes,
               array(select id::text from step where kind = 'approval' order by id desc limit 500)
                   as tasks,
               array(select id::text from exception_case order by id desc limit 500) as cases,
               array(select id::text from replay order by id desc limit 500) as replays,
               array(select key from document order by updated_at desc limit 5000) as documents
        """
    )
    assert row is not None
    return {
        "change": [_number(key) for key in row["changes"]],
        "task": list(row["tasks"]),
        "case": list(row["cases"]),
        "replay": list(row["replays"]),
        "trace": [_number(key) for key in (*row["changes"], *row["documents"])],
    }


def _pause(row: asyncpg.Record) -> Pause | None:
    if row["paused_at"] is None:
        return None
    gone_on = tuple(row["pause_escalated_to"])
    return Pause(row["pause_reason"], row["paused_by"], row["paused_at"], gone_on)


def _number(key: str) -> str:
    return key.partition("/")[2] or key


def _step(row: object) -> StepRow:
    r = cast("dict[str, object]", row)
    operation = msgspec.json.decode(cast(bytes, r["operation"]), type=Operation)
    asks = ""
    if isinstance(operation, Approve):
        asks = operation.text
    elif isinstance(operation, AwaitFact | AwaitTime):
        asks = operation.reason
    columns = {
        name: r[name]
        for name in StepRow.__struct_fields__
        if name not in ("operation", "asks", "fact")
    }
    columns |= {
        "operation": r["verb"],
        "asks": asks,
        "fact": r["fact"] or "",
        "undoes": r["undoes"] or 0,
    }
    return msgspec.convert(columns, StepRow)


def _task(row: object) -> TaskRow:
    r = cast("dict[str, object]", row)
    operation = msgspec.json.decode(cast(bytes, r["operation"]), type=Approve)
    decisions = msgspec.json.decode(
        cast("str | None", r["decisions"]) or "[]", type=tuple[DecisionRow, ...]
    )
    digest, state = cast(bytes, r["digest"]).hex(), cast(str, r["state"])
    signed_by = signers((Decision(d.verdict, d.by, d.digest) for d in decisions), digest)
    concerned = {cast(str, r["plant"]), *(cast("list[str] | None", r["plants"]) or ())} - {""}
    missing = operation.signatures - len(signed_by)
    return TaskRow(
        id=cast(int, r["id"]),
        change=_number(cast(str, r["ledger_key"])),
        title=cast(str, r["title"]),
        role=cast(str, r["system"]),
        owner=cast(str, r["owner"]),
        question=operation.question,
        about=f"{r['object_kind']}/{r['object_id']}",
        plant=cast(str, r["plant"]),
        plants=tuple(sorted(concerned)),
        text=operation.text,
        evidence=operation.evidence,
        state=state,
        since=cast(datetime, r["changed_at"]),
        due_at=cast(datetime, r["due_at"]),
        waiting=cast(int, r["waiting"]),
        digest=digest,
        signatures=operation.signatures,
        signed_by=signed_by,
        missing=max(missing, 0) if state == "ready" else 0,
        overdue_s=cast(int, r["overdue_s"]),
        escalated_to=tuple(cast("list[str]", r["escalated_to"])),
        delegates=msgspec.json.decode(
            cast("str | None", r["delegates"]) or "[]", type=tuple[DelegateRow, ...]
        ),
        decisions=decisions,
        choices=operation.choices,
        order_line=operation.order_line,
        key=cast(str, r["ledger_key"]),
        due_s=cast(int, r["due_s"]),
        calendar=cast(str, r["calendar"]),
        comments=msgspec.json.decode(
            cast("str | None", r["comments"]) or "[]", type=tuple[CommentRow, ...]
        ),
    )


def _case(row: object) -> CaseRow:
    r = cast("dict[str, object]", row)
    return msgspec.convert({**dict(r), "change": _number(cast(str, r["ledger_key"]))}, CaseRow)


def _case_message(row: object) -> CaseMessage:
    r = dict(cast("dict[str, object]", row))
    r["attributes"] = msgspec.json.decode(cast(str, r["attributes"]), type=dict[str, str])
    r["excerpt"] = cast(bytes, r["excerpt"]).decode("utf-8", "backslashreplace")
    return msgspec.convert({**r, "received_at": r["at"]}, CaseMessage)
