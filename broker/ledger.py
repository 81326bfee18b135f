"""The change ledger as values: what a new plan changes in it, and what may happen next.

Pure. A ledger is the list of its steps; the last generation of an identity is the current one.
Who calls these functions holds the ledger's row lock, so that what they return is still true when
it is written.

    waiting --all dependencies done--> ready --claimed--> in_flight --confirmed--> done
       ^                                 | ^                 |  |
       +--one of them is open again------+ +--not applied----+  +--answer lost--> in_doubt
                                                             ^                       |
                                                             +--------due------------+
    approval: ready until a person decides: done, or failed (its successors are held)
    wait: waiting until a plan without it: done     announce: waiting, then done with its event
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from graphlib import TopologicalSorter

import msgspec

from canonical.codec import encode
from canonical.effects import Plan, Step
from canonical.operations import QUESTIONS, AwaitFact, ReadObject, StepKind

NOT_SENT = frozenset({"waiting", "held", "ready"})
AT_TARGET = frozenset({"in_flight", "in_doubt"})
SETTLED = frozenset({"done", "cancelled", "superseded"})


class LedgerStep(msgspec.Struct, frozen=True, gc=False):
    """A step as it stands in the ledger.

    withdrawn: no longer planned while it was at its target; decided on when it comes back.
    watched: as watched_fact.
    """

    id: int
    identity: str
    generation: int
    kind: StepKind
    state: str
    version: int
    digest: bytes
    depends_on: tuple[str, ...]
    reason: str = ""
    withdrawn: bool = False
    watched: tuple[str, int] | None = None


class Replace(msgspec.Struct, frozen=True, gc=False):
    """A step that was not sent gets other content or other dependencies in place."""

    old: LedgerStep
    step: Step
    digest: bytes


class Insert(msgspec.Struct, frozen=True, gc=False):
    """A new step, or a follow-up of the same identity after one that was sent."""

    step: Step
    digest: bytes
    generation: int


class Move(msgspec.Struct, frozen=True, gc=False):
    """A step goes from the state it was read in to another one."""

    step: LedgerStep
    state: str
    reason: str = ""


class PlanDiff(msgspec.Struct, frozen=True):
    """What a plan changes in a ledger.

    withdrawals: steps at their target that are no longer planned (True) or planned again (False).
    """

    inserts: tuple[Insert, ...]
    replaces: tuple[Replace, ...]
    moves: tuple[Move, ...]
    withdrawals: tuple[tuple[LedgerStep, bool], ...]


def digest_of(step: Step) -> bytes:
    """Content digest: what is asked for, not when and after what."""
    return hashlib.sha256(encode(step.operation)).digest()


def current(steps: Iterable[LedgerStep]) -> dict[str, LedgerStep]:
    """The last generation per identity, in ledger order."""
    latest: dict[str, LedgerStep] = {}
    for step in sorted(steps, key=lambda s: (s.generation, s.id)):
        latest[step.identity] = step
    return latest


def diff(steps: Sequence[LedgerStep], plan: Plan) -> PlanDiff:
    """What has to change so that the ledger says what the plan says.

    Same identity and content: kept. Other content: not sent = replaced; at the target or done =
    a follow-up step. Gone from the plan: not sent = cancelled (a wait is done: its fact came);
    at the target = withdrawn, kept until its end; done at a target = left behind. What an event
    asks to be read: not sent = kept; at the target = a follow-up step; ended = asked for in place.
    """
    now = current(steps)
    planned = _by_identity(plan)
    inserts: list[Insert] = []
    replaces: list[Replace] = []
    moves: list[Move] = []
    withdrawals: list[tuple[LedgerStep, bool]] = []
    for identity, step in planned.items():
        digest = digest_of(step)
        old = now.get(identity)
        if old is None:
            inserts.append(Insert(step, digest, 1))
        elif isinstance(step.operation, ReadObject):
            # Not sent yet, it is joined: it will see what is told now. One that is out may have
            # looked before; one that has ended left nothing that a generation would tell.
            if old.state in AT_TARGET:
                inserts.append(Insert(step, digest, old.generation + 1))
            elif old.state not in NOT_SENT:
                replaces.append(Replace(old, step, digest))
        elif old.kind == "wait" and old.state == "done":
            inserts.append(Insert(step, digest, old.generation + 1))  # awaited anew
        elif old.digest == digest and old.state not in ("cancelled", "superseded"):
            if old.state in NOT_SENT and _stands_otherwise(old, step):
                replaces.append(Replace(old, step, digest))
            elif old.withdrawn:
                withdrawals.append((old, False))
        elif old.state in NOT_SENT or old.state == "failed":
            replaces.append(Replace(old, step, digest))
        else:
            inserts.append(Insert(step, digest, old.generation + 1))
    for identity, old in now.items():
        if identity in planned:
            continue
        if old.kind == "wait" and old.state in NOT_SENT:
            moves.append(Move(old, "done", "the fact is known"))
        elif old.state in NOT_SENT or old.state == "failed":
            moves.append(Move(old, "cancelled", "no longer planned"))
        elif old.state in AT_TARGET:
            if old.withdrawn:
                continue
            withdrawals.append((old, True))
        elif old.state == "done" and old.kind == "call":
            moves.append(_end_of_done(old))
    return PlanDiff(tuple(inserts), tuple(replaces), tuple(moves), tuple(withdrawals))


def _stands_otherwise(old: LedgerStep, step: Step) -> bool:
    """Same content, but after other steps or on a newer state of its fact."""
    return set(old.depends_on) != set(step.depends_on) or old.watched != watched_fact(step)


def _by_identity(plan: Plan) -> dict[str, Step]:
    """The plan's steps; a plan that contradicts itself is a planner's defect and says so."""
    planned = {step.identity: step for step in plan.steps}
    if len(planned) != len(plan.steps):
        raise ValueError(f"the plan of {plan.key} has two steps of one identity")
    for step in plan.steps:
        unknown = [d for d in step.depends_on if d not in planned]
        if unknown:
            raise ValueError(f"{step.identity} depends on {unknown[0]}, which is not planned")
    # Steps that wait for each other would wait for ever without a word: raises CycleError.
    TopologicalSorter({step.identity: step.depends_on for step in plan.steps}).prepare()
    return planned


LEFT_BEHIND = "done, and no longer planned"


def _end_of_done(step: LedgerStep) -> Move:
    """Done and no longer planned; what changed the target is left behind for a person to judge."""
    asked_only = step.identity.rpartition("|")[2] in QUESTIONS
    return Move(step, "superseded", "no longer asked" if asked_only else LEFT_BEHIND)


def advance(steps: Sequence[LedgerStep]) -> tuple[Move, ...]:
    """What may happen next, as one move per step at most.

    Steps whose dependencies are settled become ready, and wait again if one of those is open
    again; steps behind a failure are held; an announcement that may happen moves to done: the
    caller publishes it in the same commit. What came back from its target and is no longer
    planned, or planned otherwise, ends. Announcements set others free, so this runs until nothing
    moves.
    """
    now = current(steps)
    moves = {move.step.id: move for step in steps if (move := _end_of_outdated(step, now))}
    states = {i: moves[s.id].state if s.id in moves else s.state for i, s in now.items()}
    busy_before = {
        step.identity
        for step in steps
        if step.state in AT_TARGET and step.generation < now[step.identity].generation
    }
    moved = True
    while moved:
        moved = False
        for identity, step in now.items():
            if states[identity] not in NOT_SENT or step.kind == "wait":
                continue
            target = _next_state(step, states, blocked=identity in busy_before)
            if target[0] != states[identity]:
                states[identity] = target[0]
                moves[step.id] = Move(step, *target)
                moved = True
    return tuple(move for move in moves.values() if move.state != move.step.state)


def _end_of_outdated(step: LedgerStep, now: dict[str, LedgerStep]) -> Move | None:
    """The end of a step that a newer plan overtook while it was at its target."""
    if step.generation < now[step.identity].generation:
        return Move(step, "superseded", "replaced by a newer plan") if _not_sent(step) else None
    if not step.withdrawn:
        return None
    if step.state == "done":
        return _end_of_done(step)
    return Move(step, "cancelled", "no longer planned") if _not_sent(step) else None


def _not_sent(step: LedgerStep) -> bool:
    return step.state in NOT_SENT or step.state == "failed"


def _next_state(step: LedgerStep, states: dict[str, str], *, blocked: bool) -> tuple[str, str]:
    refused = [d for d in step.depends_on if states.get(d) in ("failed", "held")]
    if refused:
        return "held", f"{len(refused)} step(s) before it did not succeed"
    if blocked or any(states.get(d) not in SETTLED for d in step.depends_on):
        return "waiting", ""
    return ("done", "") if step.kind == "announce" else ("ready", "")


def ends_with(steps: Sequence[LedgerStep], moves: Sequence[Move]) -> bool:
    """Whether every current step is settled once these moves are made."""
    latest = current(steps)
    states = {identity: step.state for identity, step in latest.items()}
    ids = {step.id for step in latest.values()}
    states |= {move.step.identity: move.state for move in moves if move.step.id in ids}
    return is_complete(states.values())


def is_complete(states: Iterable[str]) -> bool:
    """Whether every current step is settled."""
    return all(state in SETTLED for state in states)


def watched_fact(step: Step) -> tuple[str, int] | None:
    """Document key and version whose newer state makes the plan anew; None where there is none."""
    match step.operation:
        case AwaitFact(fact=fact, seen=seen):
            return fact, seen
        case _:
            return (step.fact, step.seen) if step.fact else None
