"""The change ledger as values: what a new plan changes in it, and what may happen next.

Pure. A ledger is the list of its steps; the last generation of an identity is the current one.
Who calls these functions holds the ledger's row lock, so that what they return is still true when
it is written.

    waiting --all dependencies done--> ready --claimed--> in_flight --confirmed--> done
       ^                                 | ^                 |  |
       +--one of them is open again------+ +--not applied----+  +--answer lost--> in_doubt
                                                             ^                       |
                                                             +--------due------------+
    approval: ready until a person decides: done, or failed (its successors are held); one that
    makes sense only before its successors is cancelled once these are settled
    call that has a question asked elsewhere: not sent any more once that is decided, or not asked
    wait: waiting until a plan without it: done     announce: waiting, then done with its event
    a person: skips what is not sent or failed (skipped); pauses the ledger (what would be ready is
    held); has a step and what follows it run anew (waiting, or one more generation); has what is
    left behind undone (one more generation, which puts back what was there before)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from graphlib import TopologicalSorter

import msgspec

from canonical.codec import encode
from canonical.effects import Plan, Step, StepParts, parts_of_identity
from canonical.operations import (
    QUESTIONS,
    REPORTS,
    AwaitFact,
    AwaitTime,
    ReadObject,
    StepKind,
    verb,
)
from canonical.working_time import WorkingCalendar, after

NOT_SENT = frozenset({"waiting", "held", "ready"})
AT_TARGET = frozenset({"in_flight", "in_doubt"})
SETTLED = frozenset({"done", "skipped", "cancelled", "superseded"})


class LedgerStep(msgspec.Struct, frozen=True, gc=False):
    """A step as it stands in the ledger.

    withdrawn: no longer planned while it was at its target; decided on when it comes back.
    watched: as watched_fact. wake_at: as in Step. due_at: when it counts as late; due_s and the
    name of a calendar ("" = none) as in Step. lapses: it ends with the steps that wait for it; a
    call, with the approvals about its object.
    undoes: id of the step of its identity that it undoes; 0 = it is planned. can_undo: what its
    target held before it is on record; not_undone: why it is not, or cannot be put back.
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
    wake_at: datetime | None = None
    due_at: datetime | None = None
    due_s: int = 0
    calendar: str = ""
    lapses: bool = False
    undoes: int = 0
    can_undo: bool = False
    not_undone: str = ""


class Due(msgspec.Struct, frozen=True, gc=False):
    """When a step counts as late: after_s seconds after since, of the calendar's working time.

    calendar: its name; "" = of any time.
    """

    at: datetime
    since: datetime
    after_s: int
    calendar: str = ""


def due(after_s: int, calendar: WorkingCalendar | None, since: datetime) -> Due:
    """When something is late whose time begins then: the one place that says so."""
    name = calendar.name if calendar else ""
    return Due(after(calendar, since, after_s), since, after_s, name)


class Replace(msgspec.Struct, frozen=True, gc=False):
    """A step that was not sent gets other content or other dependencies in place.

    due_from: end of the last wait for a time that it stands behind.
    """

    old: LedgerStep
    step: Step
    digest: bytes
    due_from: datetime | None = None

    def due(self, now: datetime) -> Due | None:
        """When it is late if it is replaced now; None = as it was.

        Planning anew puts nothing off, unless the wait before it says so. What had ended is asked
        for once more and has all its time again.
        """
        new = due(self.step.due_s, self.step.calendar, self.due_from or now)
        if self.due_from is not None or self.old.state not in NOT_SENT:
            return new
        is_sooner = self.old.due_at is None or new.at < self.old.due_at
        return new if is_sooner else None


class Insert(msgspec.Struct, frozen=True, gc=False):
    """A new step, or a follow-up of the same identity after one that was sent.

    due_from: as in Replace.
    """

    step: Step
    digest: bytes
    generation: int
    due_from: datetime | None = None

    def due(self, now: datetime) -> Due:
        """When it is late if it is planned now."""
        return due(self.step.due_s, self.step.calendar, self.due_from or now)


class Move(msgspec.Struct, frozen=True, gc=False):
    """A step goes from the state it was read in to another one."""

    step: LedgerStep
    state: str
    reason: str = ""


class Retime(msgspec.Struct, frozen=True, gc=False):
    """A step stays as it is, and when its plan is made anew or when it is late changes.

    due: None = as it was.
    """

    step: LedgerStep
    wake_at: datetime | None
    due: Due | None = None


class PlanDiff(msgspec.Struct, frozen=True):
    """What a plan changes in a ledger.

    withdrawals: steps at their target that are no longer planned (True) or planned again (False).
    reorders: steps that are kept as they are, with what they depend on now. moot: identities of
    what the plan has and the ledger does not, since it makes sense before other steps only, and
    none of those is still to be made.
    """

    inserts: tuple[Insert, ...]
    replaces: tuple[Replace, ...]
    moves: tuple[Move, ...]
    withdrawals: tuple[tuple[LedgerStep, bool], ...]
    reorders: tuple[tuple[LedgerStep, tuple[str, ...]], ...] = ()
    retimes: tuple[Retime, ...] = ()
    moot: frozenset[str] = frozenset()


def digest_of(step: Step) -> bytes:
    """Content digest: what is asked for, not when and after what."""
    return hashlib.sha256(encode(step.operation)).digest()


def digest_of_undo(step: LedgerStep) -> bytes:
    """That of an undo of the step: no plan asks for it, so none keeps it as its own."""
    return hashlib.sha256(b"undo\0" + step.digest).digest()


def takes(plan: Plan, *, version: int, is_taken_back: bool) -> bool:
    """Whether a ledger that follows from this version takes the plan: not an older one, and once a
    person has taken the change back, only a newer one."""
    return plan.version > version or (plan.version == version and not is_taken_back)


def current(steps: Iterable[LedgerStep]) -> dict[str, LedgerStep]:
    """The last generation per identity, in ledger order."""
    latest: dict[str, LedgerStep] = {}
    for step in sorted(steps, key=lambda s: (s.generation, s.id)):
        latest[step.identity] = step
    return latest


def diff(steps: Sequence[LedgerStep], plan: Plan) -> PlanDiff:
    """What has to change so that the ledger says what the plan says.

    Same identity and content: kept. Other content: not sent = replaced; at the target, done or
    skipped = a follow-up step. Gone from the plan: not sent or skipped = cancelled, and what was
    done of it before is left behind (a wait is done: what it was for has come); at the target =
    withdrawn, kept until its end; done at a target = left behind. What an event asks to be read:
    not sent = kept; at the target = a follow-up step; ended = asked for in place. What makes sense
    only before steps that are all settled as planned is not planned. An undo goes on beside any
    plan without its object; one that is not sent is cancelled by a plan with it.
    """
    now = current(steps)
    planned = _by_identity(plan)
    digests = {identity: digest_of(step) for identity, step in planned.items()}
    moot = _moot(planned, digests, now)
    planned = _without(planned, moot)
    due_from = ends_of_waits(planned)
    inserts: list[Insert] = []
    replaces: list[Replace] = []
    moves: list[Move] = []
    withdrawals: list[tuple[LedgerStep, bool]] = []
    reorders: list[tuple[LedgerStep, tuple[str, ...]]] = []
    for identity, step in planned.items():
        digest, since = digests[identity], due_from.get(identity)
        old = now.get(identity)
        if old is None:
            inserts.append(Insert(step, digest, 1, since))
        elif isinstance(step.operation, ReadObject):
            # Not sent yet, it is joined: it will see what is told now. One that is out may have
            # looked before; one that has ended left nothing that a generation would tell.
            if old.state in AT_TARGET:
                inserts.append(Insert(step, digest, old.generation + 1))
            elif old.state not in NOT_SENT:
                replaces.append(Replace(old, step, digest))
        elif old.kind == "wait" and old.state == "done":
            inserts.append(Insert(step, digest, old.generation + 1, since))  # awaited anew
        elif old.undoes:
            if _came_back(old):
                moves.append(Move(old, "cancelled", PLANNED_AGAIN))
            inserts.append(Insert(step, digest, old.generation + 1, since))
        elif old.digest == digest and old.state not in ("cancelled", "superseded"):
            if old.state in NOT_SENT and _stands_otherwise(old, step):
                replaces.append(Replace(old, step, digest, since))
            elif set(old.depends_on) != set(step.depends_on):
                reorders.append((old, step.depends_on))
            if old.withdrawn:
                withdrawals.append((old, False))
        elif old.state in NOT_SENT or old.state == "failed":
            replaces.append(Replace(old, step, digest, since))
        else:
            inserts.append(Insert(step, digest, old.generation + 1, since))
    former = _done_before(steps, now)
    for identity, old in now.items():
        if identity in planned or old.undoes:
            continue
        if old.kind == "wait" and old.state in NOT_SENT:
            moves.append(Move(old, "done", _end_of_wait(old)))
        elif _not_sent(old):
            moves.append(Move(old, "cancelled", NO_LONGER_PLANNED))
            moves += _ends_of_former(former.get(identity, ()))
        elif old.state in AT_TARGET:
            if old.withdrawn:
                continue
            withdrawals.append((old, True))
        elif old.state == "done" and old.kind == "call":
            moves.append(_end_of_done(old))
    touched = {change.old.id for change in replaces} | {move.step.id for move in moves}
    kept = [step for step in now.values() if step.id not in touched]
    return PlanDiff(
        tuple(inserts),
        tuple(replaces),
        tuple(moves),
        tuple(withdrawals),
        tuple(reorders),
        tuple(_retimes(kept, planned, digests, due_from)),
        moot,
    )


def changed_cells(diff: PlanDiff) -> tuple[str, ...]:
    """Identities of steps that stand in the ledger and that the plan changes, in its order: calls
    that would be made otherwise, once more, or not at all, and what was decided or told and would
    be again. What is added, and the end of a wait or of an open question, changes nothing of it.
    """
    again = (i.step for i in diff.inserts if i.generation > 1)
    ended = (m.step for m in diff.moves if m.state in ("cancelled", "superseded"))
    otherwise = (r.step for r in diff.replaces if r.digest != r.old.digest and _is_cell(r.old))
    found = (
        *(step.identity for step in otherwise),
        *(step.identity for step in again if not isinstance(step.operation, AwaitFact | AwaitTime)),
        *(step.identity for step in ended if _is_cell(step)),
        *(step.identity for step, is_gone in diff.withdrawals if is_gone and _is_cell(step)),
    )
    return tuple(dict.fromkeys(found))


def _is_cell(step: LedgerStep) -> bool:
    """Whether it makes something true at a target."""
    return step.kind == "call" and _verb(step) not in QUESTIONS


def _moot(
    planned: Mapping[str, Step], digests: Mapping[str, bytes], now: Mapping[str, LedgerStep]
) -> frozenset[str]:
    """What nothing waits for that is still to be made; what was decided or told stays. What is at
    its target may come back: nobody is told of a question before it does."""

    def is_made(identity: str, asker: Step) -> bool:
        old = now.get(identity)
        if old is None or old.digest != digests[identity]:
            return False
        match asker.kind:
            case "announce" if old.state in AT_TARGET:
                return True
            case "call" if old.state == "failed":  # refused: whoever is asked elsewhere as well
                return True
        return old.state in ("done", "skipped")

    def is_over(identity: str) -> bool:
        old = now.get(identity)
        return old is not None and old.digest == digests[identity] and old.state == "done"

    return frozenset(
        identity
        for identity, step in planned.items()
        if step.only_before
        and not is_over(identity)
        and all(is_made(i, step) for i in step.only_before)
    )


def _without(planned: dict[str, Step], moot: frozenset[str]) -> dict[str, Step]:
    """The steps but for these, which nothing depends on."""
    if not moot:
        return planned
    return {
        identity: step
        if moot.isdisjoint(step.depends_on)
        else msgspec.structs.replace(
            step, depends_on=tuple(d for d in step.depends_on if d not in moot)
        )
        for identity, step in planned.items()
        if identity not in moot
    }


def _retimes(
    kept: Iterable[LedgerStep],
    planned: Mapping[str, Step],
    digests: Mapping[str, bytes],
    due_from: Mapping[str, datetime],
) -> Iterator[Retime]:
    """Steps that stay as they are, at other times. One at its target that a newer plan overtook
    makes no plan anew any more: that plan knew of it."""
    for old in kept:
        wake: datetime | None = None
        late: Due | None = None
        step = planned.get(old.identity)
        if old.state in SETTLED:
            continue
        if step is not None and digests[old.identity] == old.digest:
            wake = step.wake_at
            if old.state in NOT_SENT and old.identity in due_from:
                late = due(step.due_s, step.calendar, due_from[old.identity])
        if wake != old.wake_at or (late is not None and late.at != old.due_at):
            yield Retime(old, wake, late)


def _stands_otherwise(old: LedgerStep, step: Step) -> bool:
    """Same content, but after other steps or on a newer state of its fact."""
    return set(old.depends_on) != set(step.depends_on) or old.watched != watched_fact(step)


def ends_of_waits(planned: Mapping[str, Step]) -> dict[str, datetime]:
    """By identity, the end of the last wait for a time that a step stands behind, or is."""
    ends = {i: s.operation.at for i, s in planned.items() if isinstance(s.operation, AwaitTime)}
    if not ends:
        return ends
    order = TopologicalSorter({i: s.depends_on for i, s in planned.items()}).static_order()
    for identity in order:
        before = [ends[d] for d in (identity, *planned[identity].depends_on) if d in ends]
        if before:
            ends[identity] = max(before)
    return ends


def _end_of_wait(step: LedgerStep) -> str:
    is_for_time = _verb(step) == verb(AwaitTime)
    return "its time has come" if is_for_time else "the fact is known"


def _verb(step: LedgerStep) -> str:
    return step.identity.rpartition("|")[2]


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
    for step in plan.steps:
        about = [planned[i] for i in step.only_before] if step.kind == "call" else []
        if any(q.kind != "approval" or _object(q) != _object(step) for q in about):
            # A ledger keeps that it ends with them, and finds them by its object.
            raise ValueError(f"{step.identity} makes sense before what is no question about it")
    return planned


def _object(step: Step | StepParts) -> tuple[str, str]:
    return step.object_kind, step.object_id


LEFT_BEHIND = "done, and no longer planned"
MOOT = "nothing waits for it any more"
NO_LONGER_PLANNED = "no longer planned"
NOTHING_APPLIED = "nothing of what it undoes was applied"
PLANNED_AGAIN = "what it undoes is planned again"
UNKNOWN_BEFORE = "what was there before is not on record"
REPLACED = "replaced by a newer plan"


def _end_of_done(step: LedgerStep) -> Move:
    """Done and no longer planned; what changed the target is left behind for a person to judge."""
    asked_only = _verb(step) in QUESTIONS
    return Move(step, "superseded", "no longer asked" if asked_only else LEFT_BEHIND)


def _done_before(
    steps: Iterable[LedgerStep], now: dict[str, LedgerStep]
) -> dict[str, list[LedgerStep]]:
    """By identity, calls that were done before a newer form of theirs was planned, in order: since
    the last one that was undone."""
    found: dict[str, list[LedgerStep]] = {}
    for step in sorted(steps, key=lambda step: step.generation):
        is_former = step.generation < now[step.identity].generation
        if not is_former or step.state != "done" or step.kind != "call":
            continue
        if step.undoes:
            found.pop(step.identity, None)
        else:
            found.setdefault(step.identity, []).append(step)
    return found


def _ends_of_former(former: Sequence[LedgerStep]) -> list[Move]:
    """The newer form will not come: what was done last is what the target holds."""
    if not former:
        return []
    return [*(Move(step, "superseded", REPLACED) for step in former[:-1]), _end_of_done(former[-1])]


# What a paused step is to those behind it: it did not fail, they wait for it.
_PAUSED = "paused"


def advance(steps: Sequence[LedgerStep], *, paused: str = "") -> tuple[Move, ...]:
    """What may happen next, as one move per step at most.

    Steps whose dependencies are settled become ready, and wait again if one of those is open
    again, or something before it where it is no call: order passes through decisions and
    announcements. Steps behind a failure are held; an announcement that may happen moves to done:
    the caller publishes it in the same commit. What came back from its target and is no longer
    planned, or planned otherwise, ends. Announcements set others free, so this runs until nothing
    moves.
    paused: why nothing begins; what would be ready, or announced, is held for that reason.
    """
    now = current(steps)
    moves = _ends_of_outdated(steps, now)
    states = {i: moves[s.id].state if s.id in moves else s.state for i, s in now.items()}
    busy_before = {
        step.identity
        for step in steps
        if step.state in AT_TARGET and step.generation < now[step.identity].generation
    }
    behind = _ending_with(now)
    moved = True
    while moved:
        moved = False
        before = states | _reopened(now, states)
        for identity, step in now.items():
            about = [states[d] for d in behind.get(identity, ())]
            is_moot = step.lapses and all(_is_over(state, step) for state in about)
            is_open = states[identity] in NOT_SENT or states[identity] == _PAUSED
            if not is_open and not (is_moot and states[identity] == "failed"):
                continue
            if step.kind == "wait":
                continue
            if is_moot:
                target = "cancelled", MOOT
            else:
                # What is at its target is asked about when it comes back.
                is_early = step.lapses and not any(map(_is_to_be_made, about))
                blocked = identity in busy_before or is_early
                target = _next_state(step, before, blocked=blocked, paused=paused)
            if target[0] != states[identity]:
                states[identity] = before[identity] = target[0]
                state = "held" if target[0] == _PAUSED else target[0]
                moves[step.id] = Move(step, state, target[1])
                moved = True
    return tuple(move for move in moves.values() if move.state != move.step.state)


def _ending_with(now: Mapping[str, LedgerStep]) -> dict[str, list[str]]:
    """By question that ends with them, the steps that wait for it; by call that has a question
    asked elsewhere, the approvals about its object."""
    found: dict[str, list[str]] = {i: [] for i, step in now.items() if step.lapses}
    asked: dict[tuple[str, str], list[str]] = {}
    for identity, step in now.items() if found else ():
        for before in step.depends_on:
            if before in found:
                found[before].append(identity)
        if step.kind == "approval":
            asked.setdefault(_object(parts_of_identity(identity)), []).append(identity)
    for identity in found:
        if now[identity].kind == "call":
            found[identity] = asked.get(_object(parts_of_identity(identity)), [])
    return found


def _is_over(state: str, lapsing: LedgerStep) -> bool:
    """Whether a step in that state ends that one: to a call, a refusal is an end too."""
    return state in SETTLED or (lapsing.kind == "call" and state == "failed")


def _is_to_be_made(state: str) -> bool:
    return state in NOT_SENT or state in ("failed", _PAUSED)


def _reopened(now: dict[str, LedgerStep], states: dict[str, str]) -> dict[str, str]:
    """What decisions and announcements that are done are to those behind them where something
    before them is open again, or failed."""
    found: dict[str, str] = {}

    def standing(identity: str) -> str:
        state = states.get(identity, "")
        if state in ("failed", "held"):
            return "held"
        if state not in SETTLED:
            return "waiting"
        step = now[identity]
        if state != "done" or step.kind == "call":
            return ""
        if identity not in found:
            found[identity] = ""
            standings = {standing(d) for d in step.depends_on}
            found[identity] = next((s for s in ("held", "waiting") if s in standings), "")
        return found[identity]

    for identity, step in now.items():
        if step.kind != "call" and states[identity] == "done":
            standing(identity)
    return {identity: state for identity, state in found.items() if state}


def _ends_of_outdated(steps: Sequence[LedgerStep], now: dict[str, LedgerStep]) -> dict[int, Move]:
    """By id, the ends of steps that a newer plan overtook while they were at their target."""
    former = _done_before(steps, now)
    ends: dict[int, Move] = {}
    for step in steps:
        move = _end_of_outdated(step, now)
        if move is not None:
            ends[step.id] = move
            if move.reason == NO_LONGER_PLANNED:
                ends |= {m.step.id: m for m in _ends_of_former(former.get(step.identity, ()))}
    ends |= _lapsed_undos(steps, now, ends)
    for identity, its in former.items():
        # Done after its newer form was taken out of the plan: it was at its target until now.
        last = now[identity]
        if (ends[last.id].state if last.id in ends else last.state) == "cancelled":
            ends |= {move.step.id: move for move in _ends_of_former(its)}
    return ends


def _lapsed_undos(
    steps: Sequence[LedgerStep], now: Mapping[str, LedgerStep], ends: Mapping[int, Move]
) -> dict[int, Move]:
    """By id, the ends of undos that have nothing to undo, once these moves are made: what they are
    about came back and nothing was applied, or nobody knows what was there before."""
    undos = [step for step in now.values() if step.undoes and step.state in NOT_SENT]
    if not undos:
        return {}
    by_id = {step.id: step for step in steps}
    found: dict[int, Move] = {}
    for undo in undos:
        undone = by_id[undo.undoes]
        end = ends.get(undone.id, undone)
        if end.state in AT_TARGET:
            continue
        if not (end.state == "superseded" and end.reason.startswith(LEFT_BEHIND)):
            found[undo.id] = Move(undo, "cancelled", NOTHING_APPLIED)
        elif not undone.can_undo:
            found[undo.id] = Move(undo, "cancelled", undone.not_undone or UNKNOWN_BEFORE)
    return found


def _end_of_outdated(step: LedgerStep, now: dict[str, LedgerStep]) -> Move | None:
    """The end of a step that a newer plan overtook while it was at its target."""
    latest = now[step.identity]
    if step.generation < latest.generation:
        if latest.undoes == step.id and step.state == "done":
            return _end_of_done(step)
        if not _came_back(step):
            return None
        if latest.undoes == step.id:
            return Move(step, "cancelled", NO_LONGER_PLANNED)
        return Move(step, "superseded", REPLACED)
    if not step.withdrawn:
        return None
    if step.state == "done":
        return _end_of_done(step)
    return Move(step, "cancelled", NO_LONGER_PLANNED) if _came_back(step) else None


def _came_back(step: LedgerStep) -> bool:
    """Whether nothing of it is at its target, nor will be."""
    return step.state in NOT_SENT or step.state == "failed"


def _not_sent(step: LedgerStep) -> bool:
    """The same; or a person has skipped it."""
    return _came_back(step) or step.state == "skipped"


def _next_state(
    step: LedgerStep, states: dict[str, str], *, blocked: bool, paused: str
) -> tuple[str, str]:
    refused = [d for d in step.depends_on if states.get(d) in ("failed", "held")]
    if refused:
        return "held", f"{len(refused)} step(s) before it did not succeed"
    if blocked or any(states.get(d) not in SETTLED for d in step.depends_on):
        return "waiting", ""
    if paused:
        return _PAUSED, paused
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


def is_true_everywhere(steps: Iterable[tuple[str, str]]) -> bool:
    """Whether everything of a change is true, though its PLM may not have been told yet.

    steps: identity and state of each current one.
    """
    own = [state for identity, state in steps if parts_of_identity(identity).verb not in REPORTS]
    return bool(own) and is_complete(own)


def lapses(step: Step) -> bool:
    """Whether it is a question that ends with the steps that wait for it, or asks one elsewhere."""
    return step.kind in ("approval", "call") and step.only_before != ()


def withdrawn_questions(moves: Iterable[Move], asked: Iterable[str]) -> list[LedgerStep]:
    """Questions that stood before somebody, and end with these moves undecided.

    asked: identities of those that are asked from then on. One about the same object is the same
    question, which another role is asked.
    """
    ended = [
        move.step
        for move in moves
        if move.step.kind == "approval"
        and move.state == "cancelled"
        and move.step.state in ("ready", "held")
    ]
    if not ended:
        return ended
    still = {_object(parts_of_identity(identity)) for identity in asked}
    return [step for step in ended if _object(parts_of_identity(step.identity)) not in still]


def questions_of(plan: Plan, moot: frozenset[str]) -> Iterator[str]:
    """Identities of what the plan asks people."""
    for step in plan.steps:
        if step.kind == "approval" and step.identity not in moot:
            yield step.identity


def open_questions(steps: Iterable[LedgerStep], moves: Iterable[Move]) -> Iterator[str]:
    """Identities of what people are asked once these moves are made."""
    after = {move.step.id: move.state for move in moves}
    for identity, step in current(steps).items():
        if step.kind == "approval" and after.get(step.id, step.state) in NOT_SENT:
            yield identity


def watched_fact(step: Step) -> tuple[str, int] | None:
    """Document key and version whose newer state makes the plan anew; None where there is none."""
    match step.operation:
        case AwaitFact(fact=fact, seen=seen):
            return fact, seen
        case _:
            return (step.fact, step.seen) if step.fact else None
