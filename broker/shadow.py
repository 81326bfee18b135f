"""Shadow: logged messages decided with today's code, compared with what was done; changes nothing.

Documents, events and the end are compared as of the message: it is decided on the facts that the
messages before it had left. A plan is compared on the facts of today, as of the moment when it was
made last, because a ledger is planned anew whenever a fact or a time it waits for comes. Messages
are read between snapshots: none stays open while a package is fetched.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Literal

import msgspec
from msgspec.structs import replace

from broker import ledger as ledger_rules
from broker.deciding import decide_one
from broker.decision import Context, Desk, Verdict
from broker.differences import Difference, absent, differing, missing
from broker.intake import UNREAD, Work
from broker.ledger import Insert, Replace
from broker.policy import DeadLetter, Invalid, Park, RetryAt, RetryPolicy
from broker.reading import Reader, is_content_gone
from broker.replay import read_selected
from broker.store import Database, Position, Tx
from broker.store import connection as connection_rows
from broker.store import documents as document_rows
from broker.store import history as rows
from broker.store import selections as selection_rows
from broker.store.documents import Stored, digest_of
from broker.store.history import Outcome, PlannedLedger, Version
from broker.store.selections import Logged, Selection
from broker.store.views import snapshot
from broker.unit import LONG_PAUSE_S
from canonical.codec import encode
from canonical.effects import Emit, Open, Plan, Put, Step
from canonical.events import EVENTS
from canonical.rules import Rules

Answer = Literal["same", "differs", "not_taken", "not_decided", "content_gone"]
Load = Callable[[set[str]], Awaitable[dict[str, Stored]]]

# Ends without a decision: there is nothing to compare with.
_UNDECIDED = frozenset({"superseded", "passed", "discarded", "behind"})
_FAILED = frozenset({"parked", "invalid", "dead-letter", "retry"})


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One message and how today's decision differs from what was done.

    answer: not_taken: no handler takes it, then or now; not_decided: it never was, so that there is
    nothing to compare with; content_gone: it refers to a package that is not there any more.
    """

    at: datetime
    source: str
    type: str
    key: str
    id: str
    answer: Answer
    differences: tuple[Difference, ...] = ()


async def compare_all(
    database: Database,
    selection: Selection,
    *,
    at_most: int,
    reader: Reader,
    rules: Rules,
    reads_from: Mapping[str, str] = MappingProxyType({}),
) -> tuple[int, list[Compared]]:
    """How many messages are selected, and the oldest of them compared."""
    async with snapshot(database) as tx:
        extent = await selection_rows.extent(tx, selection)
    compared: list[Compared] = []
    async for messages, works in read_selected(
        database, selection, extent, reader=reader, at_most=at_most
    ):
        async with snapshot(database) as tx:
            await connection_rows.allow_pauses(tx, LONG_PAUSE_S)
            for message, work in zip(messages, works, strict=True):
                compared.append(
                    await compare(tx, message, work, rules=rules, reads_from=reads_from)
                )
    return extent.messages, compared


async def compare(
    tx: Tx,
    message: Logged,
    work: Work,
    *,
    rules: Rules,
    reads_from: Mapping[str, str] = MappingProxyType({}),
) -> Compared:
    """Today's decision about a logged message against what was done; reads only.

    work: how it is read today.
    """
    if is_content_gone(work):
        return _compared(message, "content_gone")
    if work.message is None:
        return _unreadable(message, work)
    then = await rows.outcome(tx, work.entry.identity)
    if then is not None and (then.word in _UNDECIDED or then.position != message.position):
        return _compared(message, "not_decided")
    context = Context(
        rules=rules,
        policy=RetryPolicy(),
        now=message.position.at,
        jitter=lambda: 0.0,
        reads_from=reads_from,
    )

    async def as_of_then(keys: set[str]) -> dict[str, Stored]:
        return await rows.documents_before(tx, keys, message.position)

    verdict = await _decide(work, context, as_of_then)
    failed, failed_then = _failure(verdict), _failure_then(then)
    if failed == failed_then and failed:
        return _compared(message, "same")
    found: list[Difference] = []
    if failed != failed_then:
        found.append(
            Difference(
                "outcome", "changed", was=failed_then or _word(then), now=failed or "applied"
            )
        )
    if not failed:
        found += await _outputs(tx, message, work, verdict, context)
    return _compared(message, "differs" if found else "same", found)


async def _decide(work: Work, context: Context, load: Load) -> Verdict:
    """What the pipeline would decide about this message alone, with all effects it would have."""
    desk = Desk(context)

    async def look_up(keys: set[str]) -> None:
        desk.add(keys, await load(keys))

    said, verdict = await decide_one(desk, work, look_up)
    # A statement that contradicts what was known fails its message.
    return replace(said, fate=verdict.fate)


async def _outputs(
    tx: Tx, message: Logged, work: Work, verdict: Verdict, context: Context
) -> list[Difference]:
    effects = verdict.effects
    found = await _documents(tx, message.position, [e for e in effects if isinstance(e, Put)])
    found += await _events(tx, work, [e for e in effects if isinstance(e, Emit)])
    plan = next((e for e in effects if isinstance(e, Plan)), None)
    if plan is not None:
        made_at = await rows.planned_at(tx, plan.key)
        context = dataclasses.replace(context, now=made_at or context.now)

        async def of_today(keys: set[str]) -> dict[str, Stored]:
            return await document_rows.load(tx, keys)

        effects = (await _decide(work, context, of_today)).effects
        plan = next((e for e in effects if isinstance(e, Plan)), plan)
    found += await _plan(tx, message.position, plan)
    return found + await _cases(tx, plan, [e for e in effects if isinstance(e, Open)])


async def _documents(tx: Tx, place: Position, puts: Sequence[Put]) -> list[Difference]:
    """A statement counts as made if the document ever had that state, whoever stated it; and as
    overtaken if a newer one was known."""
    versions = await rows.versions_of(tx, [p.key for p in puts])
    found = []
    for put in puts:
        about, known = f"document {put.key}", versions.get(put.key, [])
        state = put.order
        same_state = [v for v in known if (v.version, v.stated) == state]
        if any(v.digest == digest_of(put) for v in same_state):
            continue
        if same_state:
            found.append(differing(about, same_state[-1].body, encode(put.document)))
        elif not any((v.version, v.stated) > state for v in known):
            found.append(absent(about, encode(put.document)))
    stated = {p.key for p in puts}
    gone: Iterable[Version] = await rows.stored_by(tx, place)
    return found + [missing(f"document {v.key}", v.body) for v in gone if v.key not in stated]


async def _events(tx: Tx, work: Work, emits: Sequence[Emit]) -> list[Difference]:
    """Per event and key what is said now against the end of what was said."""
    envelope = work.entry.envelope
    cause = (envelope.correlation_id, envelope.id)
    then: dict[tuple[str, str], list[bytes]] = {}
    for event in (await rows.said(tx, [cause])).get(cause, []):
        then.setdefault((event.type, event.key), []).append(event.body)
    now: dict[tuple[str, str], list[bytes]] = {}
    for emit in emits:
        now.setdefault((EVENTS[emit.event].type, emit.key), []).append(encode(emit.data))
    found = []
    for (event_type, key), bodies in now.items():
        about = f"event {event_type} {key}"
        said = then.pop((event_type, key), [])[-len(bodies) :]
        for was, body in zip(said, bodies, strict=False):
            if was != body:
                found.append(differing(about, was, body))
        found += [absent(about, body) for body in bodies[len(said) :]]

    gone = [(about, bodies[-1]) for about, bodies in then.items()]
    return found + [missing(f"event {kind} {key}", body) for (kind, key), body in gone]


async def _plan(tx: Tx, place: Position, plan: Plan | None) -> list[Difference]:
    known = await rows.ledgers(tx, key=plan.key if plan else "", place=place)
    mine = next((ledger for ledger in known if plan and ledger.key == plan.key), None)
    found = [
        Difference(f"plan {ledger.key}", "gone", was=ledger.title)
        for ledger in known
        if ledger is not mine
    ]
    if plan is None:
        return found
    if mine is None:
        return [*found, *(_new_step(plan.key, step) for step in plan.steps)]
    if plan.version < mine.version:
        return found  # overtaken
    return found + _against(mine, plan)


def _against(ledger: PlannedLedger, plan: Plan) -> list[Difference]:
    """What planning today would change in the ledger; newer facts alone are no difference."""
    diff = ledger_rules.diff(ledger.steps, plan)
    latest = ledger_rules.current(ledger.steps)
    heads = (
        encode({"title": ledger.title, "findings": ledger.findings}),
        encode({"title": plan.title, "findings": plan.findings}),
    )
    found = [differing(f"plan {plan.key}", *heads)] if heads[0] != heads[1] else []
    changes: list[Insert | Replace] = [*diff.inserts, *diff.replaces]
    for change in changes:
        old = latest.get(change.step.identity)
        if old is None:
            found.append(_new_step(plan.key, change.step))
        elif old.digest != change.digest or old.state in ("cancelled", "superseded"):
            was = ledger.operations[old.id]
            about = _about(plan.key, change.step.identity)
            found.append(differing(about, was, encode(change.step.operation)))
        elif set(old.depends_on) != set(change.step.depends_on):
            about = _about(plan.key, change.step.identity)
            before, after = sorted(old.depends_on), sorted(change.step.depends_on)
            found.append(differing(about, encode({"after": before}), encode({"after": after})))
    # Of what was done several times the last form is told.
    moved = [m.step for m in diff.moves if m.step.kind != "wait"]
    gone = [step for step in moved if step.id == latest[step.identity].id]
    gone += [step for step, is_gone in diff.withdrawals if is_gone]
    return found + [missing(_about(plan.key, s.identity), ledger.operations[s.id]) for s in gone]


async def _cases(tx: Tx, plan: Plan | None, opens: Sequence[Open]) -> list[Difference]:
    said = [(o.code, o.where) for o in opens]
    ever, of_plan = await rows.opened(tx, said, ledger_key=plan.key if plan else "")
    found = [absent(*_case(*case)) for case in said if case not in ever]
    return found + [missing(*_case(*case)) for case in of_plan if case not in said]


def _case(code: str, where: str) -> tuple[str, bytes]:
    return f"case {code}", encode({"where": where})


def _new_step(ledger_key: str, step: Step) -> Difference:
    return absent(_about(ledger_key, step.identity), encode(step.operation))


def _about(ledger_key: str, identity: str) -> str:
    return f"step {ledger_key}: {identity}"


def _unreadable(message: Logged, work: Work) -> Compared:
    """Nobody reads it today: news only where somebody did."""
    if message.direction == "out" or message.type == UNREAD:
        return _compared(message, "not_taken")
    assert work.failure is not None
    now = f"{work.failure.code}: {work.failure.what}"
    change = Difference("outcome", "changed", was=f"read as {message.type}", now=now)
    return _compared(message, "differs", [change])


def _failure(verdict: Verdict) -> str:
    match verdict.fate:
        case Park(failure) | Invalid(failure) | DeadLetter(failure):
            return failure.code
        case RetryAt(reason=reason):
            return f"retry: {reason}"
        case _:
            return ""


def _failure_then(then: Outcome | None) -> str:
    if then is None or then.word not in _FAILED:
        return ""
    return then.codes[-1] if then.codes else then.word


def _word(then: Outcome | None) -> str:
    return then.word if then is not None else "nobody handled it"


def _compared(message: Logged, answer: Answer, differences: Sequence[Difference] = ()) -> Compared:
    return Compared(
        at=message.position.at,
        source=message.delivery.source,
        type=message.type,
        key=message.key,
        id=message.id,
        answer=answer,
        differences=tuple(differences),
    )
