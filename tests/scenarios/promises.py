"""What is true after every story, whatever it tells: nothing was done twice or out of order, and of
everything it is on record why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from ops.sandbox.journal import Entry
from tests.scenarios.stage import Stage

Rows = list[dict[str, Any]]
ENDED = ("done", "failed", "skipped", "cancelled", "superseded")
# After these what follows may go on.
FREED = {"done", "skipped", "cancelled", "superseded"}


async def check(stage: Stage) -> None:
    """All promises are kept. Raises: AssertionError that says which is not, and of what."""
    await stage.at_rest()
    journals = {name: await target.entries() for name, target in stage.targets.items()}
    # Nothing that a PLM gets says of which step it is.
    keyless = {name for name, kind in stage.works.systems.items() if kind == "plm"}
    steps = await stage.bench.rows(
        "select s.*, l.key as ledger, l.correlation_id from step s join ledger l"
        " on l.id = s.ledger_id order by s.id"
    )
    events = await stage.bench.rows("select * from step_event order by at")
    messages = await stage.bench.rows("select * from message order by seq")
    broken = [
        *_ends_on_record(steps, events),
        *await _ledgers_on_record(stage, steps),
        *await _messages_on_record(stage),
        *await _decisions_on_record(stage),
        *await _one_story_each(stage, steps, messages),
        *await _nothing_open(stage),
        *_writes_of_steps(steps, {n: j for n, j in journals.items() if n not in keyless}),
        *_nothing_twice(journals),
        *_nothing_too_early(steps, events, journals),
    ]
    assert not broken, "\n".join(["These promises are broken:", *broken])


def _ends_on_record(steps: Rows, events: Rows) -> Iterable[str]:
    """The last transition of a step that has ended is the one to its end."""
    last = {event["step_id"]: event["state"] for event in events}
    for step in steps:
        if step["state"] in ENDED and last.get(step["id"]) != step["state"]:
            yield f"{step['identity']} is {step['state']}, on record is {last.get(step['id'])}"


async def _ledgers_on_record(stage: Stage, steps: Rows) -> Iterable[str]:
    """A ledger has ended, at a time on record, if and only if all its steps are settled."""
    newest: dict[tuple[int, str], dict[str, Any]] = {}
    for step in steps:
        name = step["ledger_id"], step["identity"]
        if name not in newest or step["generation"] > newest[name]["generation"]:
            newest[name] = step
    open_in = {step["ledger_id"] for step in newest.values() if step["state"] not in FREED}
    found = []
    for row in await stage.bench.rows("select id, key, state, completed_at from ledger"):
        if (row["state"] == "open") is not (row["id"] in open_in):
            found.append(f"{row['key']} is {row['state']}, whatever its steps say")
        if (row["state"] == "open") is not (row["completed_at"] is None):
            found.append(f"{row['key']} is {row['state']} and ended at {row['completed_at']}")
    return found


async def _messages_on_record(stage: Stage) -> Iterable[str]:
    """What became of each message that came in is on record, or it stands in a case."""
    rows = await stage.bench.rows(
        "select m.kind, m.key from message m where m.direction = 'in'"
        " and not exists (select from inbox i where i.source = m.source and i.id = m.id)"
        " and not exists (select from exception_case c where c.message_at = m.at"
        "  and c.message_seq = m.seq)"
    )
    return [f"{row['kind']} of {row['key']} came in, and nothing became of it" for row in rows]


async def _decisions_on_record(stage: Stage) -> Iterable[str]:
    """Each question that was answered has its decision, each decision and each case opened or
    settled its row of the audit, with the name of who did it."""
    found = []
    for row in await stage.bench.rows(
        "select s.identity from step s where kind = 'approval' and state = 'done'"
        " and not exists (select from decision d where d.step_id = s.id)"
    ):
        found.append(f"{row['identity']} is done and nobody decided it")
    for row in await stage.bench.rows(
        "select d.verdict, d.by_whom, s.identity from decision d"
        " join step s on s.id = d.step_id join ledger l on l.id = s.ledger_id where not exists"
        " (select from audit a where a.actor = d.by_whom and a.action = d.verdict"
        "  and a.correlation_id = l.correlation_id"
        "  and a.detail ->> 'content' = encode(d.digest, 'hex')"
        "  and starts_with(a.subject, l.key || ': ') and right(a.subject, length(s.object_id))"
        "   = s.object_id)"
    ):
        found.append(f"{row['verdict']} by {row['by_whom']} has no audit row: {row['identity']}")
    for row in await stage.bench.rows(
        "select id, code, place from exception_case c where not exists (select from audit a"
        " where a.action = 'case-opened' and (a.detail->>'case')::bigint = c.id)"
    ):
        found.append(f"case {row['code']} has no audit row: {row['place']}")
    for row in await stage.bench.rows(
        "select code, place, closed_by from exception_case c where state = 'resolved' and not"
        " exists (select from audit a where (a.detail->>'case')::bigint = c.id"
        "  and a.action <> 'case-opened'"
        "  or a.action = 'superseded' and a.actor = c.closed_by and a.subject = c.key)"
    ):
        found.append(f"case {row['code']} was closed by {row['closed_by']} without an audit row")
    return found


async def _one_story_each(stage: Stage, steps: Rows, messages: Rows) -> Iterable[str]:
    """What a message led to bears its correlation id, down to the events that others got."""
    found = []
    by_id = {row["id"]: row for row in messages}
    roots = {row["correlation_id"] for row in messages if not row["causation_id"]}
    of_step = {f"step/{step['id']}": step for step in steps}
    of_ledger: dict[str, set[str]] = {}
    for row in await stage.bench.rows(
        "select l.key, m.correlation_id from ledger l join inbox i on i.subscription ="
        " l.subscription join message m on m.id = i.id and m.key = l.key"
    ):
        of_ledger.setdefault(row["key"], set()).add(row["correlation_id"])
    for row in messages:
        name, story, why = f"{row['kind']} {row['key']}", row["correlation_id"], row["causation_id"]
        if not story:
            found.append(f"{name} has no correlation id")
        elif why in of_step:
            step = of_step[why]
            known = of_ledger.get(step["ledger"], set()) | {step["correlation_id"]}
            if story not in known:
                found.append(f"{name} has not the correlation id of {step['identity']}")
        elif why in by_id:
            if story != by_id[why]["correlation_id"]:
                found.append(f"{name} has not the correlation id of {by_id[why]['kind']}")
        elif why and not why.startswith("decision by "):
            found.append(f"{name} follows from {why}, which is nowhere")
        if why and story not in roots:
            found.append(f"{name} has a correlation id that no source began")
    for step in steps:
        if step["correlation_id"] not in roots:
            found.append(f"{step['ledger']} has a correlation id that no source began")
    for row in await stage.bench.rows("select * from audit where correlation_id <> ''"):
        if row["correlation_id"] not in roots:
            found.append(f"audit of {row['action']} has a correlation id that no source began")
    for name, news in stage.told.items():
        for told in news:
            if told.correlation_id not in roots:
                found.append(f"{name} was told {told.event} without the id of its beginning")
    return found


async def _nothing_open(stage: Stage) -> Iterable[str]:
    """Events are published and taken; what is unfinished stands in a case, or behind one."""
    found = []
    for row in await stage.bench.rows("select routing_key, key from outbox"):
        found.append(f"{row['routing_key']} of {row['key']} is not published")
    for row in await stage.bench.rows(
        "select p.subscription, p.key, p.state from pending p where state not in"
        " ('in_case', 'parked') or not exists (select from pending c where c.scope = p.scope"
        " and c.key = p.key and c.state = 'in_case')"
    ):
        found.append(f"{row['subscription']} of {row['key']} is {row['state']}")
    return found


def _writes_of_steps(steps: Rows, journals: dict[str, list[Entry]]) -> Iterable[str]:
    """Every write that reached a target was a step's, in the system of that step. What was refused
    may be of a form of a step that a newer plan has replaced in its place."""
    by_key = {step["idempotency_key"]: step for step in steps}
    for system, journal in journals.items():
        refused = {entry.request for entry in journal if entry.fault.startswith("refuse")}
        for key, entry in _writes(journal):
            step = by_key.get(key)
            if step is None and entry.request not in refused:
                yield f"{system} got {entry.method} {entry.path}, which is of no step"
            elif step is not None and step["system"] != system:
                yield f"{system} got what {step['system']} should get: {step['identity']}"


def _nothing_twice(journals: dict[str, list[Entry]]) -> Iterable[str]:
    """No write of a step changed anything twice, and nothing that is created was there already."""
    for system, journal in journals.items():
        changed = {entry.request for entry in journal if entry.kind == "applied"}
        times = Counter(
            (key, entry.method, entry.path, entry.body)
            for key, entry in _writes(journal)
            if entry.request in changed
        )
        for (_, method, path, _), number in times.items():
            if number > 1:
                yield f"{system} carried out {method} {path} {number} times for one step"


def _nothing_too_early(
    steps: Rows, events: Rows, journals: dict[str, list[Entry]]
) -> Iterable[str]:
    """The first write of a step came after everything that it depended on then had ended: what was
    planned before it later stands in its newest plan, and bound nobody."""
    planned: dict[tuple[int, str], datetime] = {}
    for step in steps:
        name = step["ledger_id"], step["identity"]
        planned[name] = min(step["created_at"], planned.get(name, step["created_at"]))
    ends: dict[tuple[int, str], list[datetime]] = {}
    by_id = {step["id"]: step for step in steps}
    for event in events:
        if event["state"] in FREED:
            step = by_id[event["step_id"]]
            ends.setdefault((step["ledger_id"], step["identity"]), []).append(event["at"])
    first: dict[str, datetime] = {}
    for journal in journals.values():
        for key, entry in _writes(journal):
            at = datetime.fromisoformat(entry.at)
            first[key] = min(at, first.get(key, at))
    for step in steps:
        at_target = first.get(step["idempotency_key"])
        if at_target is None:
            continue
        for before in step["depends_on"]:
            if planned[step["ledger_id"], before] > at_target:
                continue
            ended = ends.get((step["ledger_id"], before), [])
            if not any(at <= at_target for at in ended):
                yield f"{step['identity']} was written before {before} had ended"


def _writes(journal: list[Entry]) -> Iterable[tuple[str, Entry]]:
    """Writes in their order, each with the idempotency key it came with; one that came inside of a
    call of several has that of the call."""
    keys = {e.request: e.headers.get("x-request-id", "") for e in journal if e.kind == "received"}
    for entry in journal:
        if entry.kind == "received" and entry.is_write:
            yield keys[entry.within or entry.request], entry
