"""What messages would lead to today, with nothing executed: the pipeline's own decision on the
facts as they are, and the ledger's own comparison with what it holds. Reads only.

One hop after the other, as events would go: what the first message says is decided by whoever
listens to it, on the facts as it leaves them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal

import msgspec
from msgspec.structs import replace

from broker import ledger as rules_of_ledgers
from broker.deciding import decide_one
from broker.decision import Context, Desk, Verdict
from broker.intake import Arrival, Recognise, Work, read_arrival
from broker.policy import Behind, DeadLetter, Invalid, Park, RetryAt, RetryPolicy
from broker.store import Position, Tx
from broker.store import documents as document_rows
from broker.store import history as rows
from broker.store.history import PlannedLedger
from canonical.codec import encode
from canonical.effects import Emit, Open, Plan, Step
from canonical.events import EVENTS, SOURCE
from canonical.facts import Document
from canonical.handler import Delivery
from canonical.rules import Rules

Becomes = Literal["new", "changed", "after it", "as it is", "done", "on its way"]
Goes = Literal["cancelled", "left behind", "decided when it comes back", "no longer asked"]
# Nothing of it stands in the log: as if it came last of all.
_LAST = 2**62
_NOWHERE = Position(datetime(1970, 1, 1, tzinfo=UTC), -1)
# Events lead to events; more of them than any message says would be a ring.
MOST_MESSAGES = 10_000


class Refusal(msgspec.Struct, frozen=True):
    """A message that would not be taken, and why. about: its key, or its type."""

    about: str
    code: str
    what: str
    where: str = ""
    remedy: str = ""
    owner: str = ""


class Foreseen(msgspec.Struct, frozen=True):
    """A planned step and what it is to the ledger.

    becomes: new; changed: not sent yet, with other content or after other steps; "after it": one
    more, since the one before was sent with other content; "as it is"; done: with this content; or
    "on its way".
    """

    step: Step
    becomes: Becomes


class Forecast(msgspec.Struct, frozen=True):
    """A plan and what it would do to its ledger.

    is_stale: a newer one was taken: nothing would change. steps: in the plan's order. gone: open or
    done steps that are no longer planned, by identity.
    """

    plan: Plan
    is_new: bool
    is_stale: bool
    steps: tuple[Foreseen, ...]
    gone: Mapping[str, Goes]


class Foresight(msgspec.Struct, frozen=True):
    """All that would come of the messages. documents: what is known, or would be, of all that was
    looked at, by key. events: how many would be said."""

    forecasts: tuple[Forecast, ...]
    cases: tuple[Open, ...]
    refusals: tuple[Refusal, ...]
    documents: Mapping[str, Document]
    events: int


async def foresee(
    tx: Tx,
    deliveries: Sequence[Delivery],
    *,
    recognise: Recognise,
    rules: Rules,
    reads_from: Mapping[str, str] = MappingProxyType({}),
    now: datetime,
) -> Foresight:
    """What would come of these messages, one after the other, if they came now and nothing else of
    their objects was waiting. A plan that is made several times counts as it is made at last.

    tx: a snapshot.
    """
    context = Context(
        rules=rules, policy=RetryPolicy(), now=now, jitter=lambda: 0.0, reads_from=reads_from
    )
    run = _Run(tx, Desk(context), recognise, now)
    await run.take([run.work(delivery) for delivery in deliveries])
    # What was planned, or could not be taken, on less than came later is decided once more, as the
    # service does when a fact comes.
    await run.take_again()
    effects = [effect for verdict in run.verdicts for effect in verdict.effects]
    plans = {effect.key: effect for effect in effects if isinstance(effect, Plan)}
    cases = {(one.code, one.where): one for one in effects if isinstance(one, Open)}
    known = {key: stored.known.document for key, stored in run.desk.documents.items()}
    return Foresight(
        forecasts=tuple([against(plan, await _ledger(tx, plan.key)) for plan in plans.values()]),
        cases=tuple(cases.values()),
        refusals=tuple(refusal for one in run.verdicts if (refusal := _refusal(one)) is not None),
        documents=known,
        events=sum(isinstance(effect, Emit) for effect in effects),
    )


@dataclass(slots=True)
class _Run:
    """Messages decided one after the other. verdicts: on each of them, in their order."""

    tx: Tx
    desk: Desk
    recognise: Recognise
    now: datetime
    verdicts: list[Verdict] = field(default_factory=list)

    def work(self, delivery: Delivery) -> Work:
        """The message as if it came last of all."""
        work = read_arrival(Arrival(delivery, "standard", ""), self.recognise)
        return replace(work, admitted=Position(self.now, _LAST))

    async def take(self, works: Iterable[Work]) -> None:
        """These are decided, and whatever they say."""
        waiting = deque(works)
        while waiting and len(self.verdicts) < MOST_MESSAGES:
            verdict = await self._decide(waiting.popleft())
            self.verdicts.append(verdict)
            waiting += self._said(verdict)

    async def take_again(self) -> None:
        """Those with a plan or without success, on all that is known by now."""
        self.desk.stopped.clear()
        for place, before in enumerate(list(self.verdicts)):
            is_planner = any(isinstance(effect, Plan) for effect in before.effects)
            if not is_planner and _refusal(before) is None:
                continue
            self.verdicts[place] = verdict = await self._decide(before.work)
            if not is_planner:
                await self.take(self._said(verdict))

    async def _decide(self, work: Work) -> Verdict:
        _, verdict = await decide_one(self.desk, work, self._look_up)
        return verdict

    async def _look_up(self, keys: set[str]) -> None:
        self.desk.add(keys, await document_rows.load(self.tx, keys))

    def _said(self, verdict: Verdict) -> list[Work]:
        """Events that somebody listens to."""
        emits = (effect for effect in verdict.effects if isinstance(effect, Emit))
        works = (self.work(_delivery(emit, len(self.verdicts), n)) for n, emit in enumerate(emits))
        return [work for work in works if work.handler is not None]


def _refusal(verdict: Verdict) -> Refusal | None:
    """Why a message would not be taken; None where it would."""
    envelope = verdict.work.entry.envelope
    about = envelope.key or envelope.type
    match verdict.fate:
        case Park(failure) | Invalid(failure) | DeadLetter(failure):
            return Refusal(
                about, failure.code, failure.what, failure.where, failure.remedy, failure.owner
            )
        case RetryAt(reason=reason):
            return Refusal(about, "tried-again", reason)
        case Behind():
            return Refusal(about, "behind", "It would wait behind the one before it of its object")
        case _:
            return None


def _delivery(emit: Emit, *place: int) -> Delivery:
    """The event as it would come. place: which of all it is."""
    attributes = {
        "id": "-".join(("foreseen", *map(str, place))),
        "source": SOURCE,
        "type": EVENTS[emit.event].type,
        "subject": emit.key,
    }
    return Delivery(SOURCE, emit.event, encode(emit.data), attributes=attributes)


async def _ledger(tx: Tx, key: str) -> PlannedLedger | None:
    found = await rows.ledgers(tx, key=key, place=_NOWHERE)
    return found[0] if found else None


def against(plan: Plan, ledger: PlannedLedger | None) -> Forecast:
    """What the plan would do to the ledger; None: there is none yet."""
    if ledger is None:
        return Forecast(plan, True, False, tuple(Foreseen(s, "new") for s in plan.steps), {})
    diff = rules_of_ledgers.diff(ledger.steps, plan)
    latest = rules_of_ledgers.current(ledger.steps)
    becomes: dict[str, Becomes] = {}
    for insert in diff.inserts:
        becomes[insert.step.identity] = "after it" if insert.generation > 1 else "new"
    for change in diff.replaces:
        becomes[change.step.identity] = "changed"
    steps = tuple(
        Foreseen(step, becomes.get(step.identity) or _standing(latest[step.identity].state))
        for step in plan.steps
        if step.identity not in diff.moot
    )
    return Forecast(
        plan,
        is_new=False,
        is_stale=plan.version < ledger.version,
        steps=steps,
        gone={
            # An undo that ends by the plan makes room for what is planned.
            **{
                m.step.identity: _end(m)
                for m in diff.moves
                if m.step.kind != "wait" and not m.step.undoes
            },
            **{s.identity: "decided when it comes back" for s, gone in diff.withdrawals if gone},
        },
    )


def _standing(state: str) -> Becomes:
    if state == "done":
        return "done"
    return "on its way" if state in rules_of_ledgers.AT_TARGET else "as it is"


def _end(move: rules_of_ledgers.Move) -> Goes:
    if move.reason == rules_of_ledgers.LEFT_BEHIND:
        return "left behind"
    return "no longer asked" if move.state == "superseded" else "cancelled"
