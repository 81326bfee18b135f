"""What an open step waits for, in words, and whose turn it is: pure, over the steps of a ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

import msgspec

from broker.ledger import SETTLED
from broker.store.holds import Hold
from broker.store.holds import held as held_words
from broker.store.views import Pause, StepRow
from canonical.operations import READS, AwaitTime, verb
from handlers.flows.target_changes import TargetChange

_AWAIT_TIME = verb(AwaitTime)
# What a person has to do comes before what a machine is doing, and before what comes by itself.
_RANK = {"failed": 0, "approval": 1, "wait": 2, "in_doubt": 4}
_HELD = 3
_BY_ITSELF, _LAST = 5, 6

Held = Mapping[int, str]
"""By id, steps that people keep from going on, and in which words."""
_NOTHING: Held = MappingProxyType({})


class Waiting(msgspec.Struct, frozen=True):
    """Why a step is not done. roots: ids of the steps that have to move first, itself if none."""

    text: str
    owner: str
    roots: tuple[int, ...]


class Blocker(msgspec.Struct, frozen=True):
    """A step others wait for. behind: open steps that cannot move before it. is_held: people keep
    it from going on."""

    step: int
    identity: str
    kind: str
    state: str
    owner: str
    text: str
    behind: int
    is_held: bool = False


def on_hold(steps: Iterable[StepRow], holds: Sequence[Hold], flow: str) -> dict[int, str]:
    """The calls of a ledger of that flow that holds keep from being made."""
    found = {}
    for step in steps:
        if step.kind != "call" or step.state not in ("ready", "in_doubt"):
            continue
        if step.operation in READS:
            continue
        place = {"system": step.system, "plant": step.plant, "flow": flow}
        about = [hold for hold in holds if hold.is_about(**place)]
        if about:
            found[step.id] = held_words(about[0].words)
            if len(about) > 1:
                found[step.id] += f"; and by {len(about) - 1} more"
    return found


def paused(steps: Iterable[StepRow], pause: Pause | None) -> dict[int, str]:
    """The steps that a pause of their change keeps from beginning, and those that a failure does
    too: these are seen by what failed."""
    if pause is None:
        return {}
    return {step.id: held_words(pause.words) for step in steps if step.state == "held"}


def waiting(steps: Sequence[StepRow], held: Held = _NOTHING) -> dict[int, Waiting]:
    """For every open step what it waits for; several causes: the one a person must see first."""
    latest = {s.identity: s for s in sorted(steps, key=lambda s: s.generation)}
    by_id = {s.id: s for s in steps}
    known: dict[int, frozenset[int]] = {}
    result = {}
    for step in steps:
        if step.state in SETTLED:
            continue
        roots = sorted(_roots(step, latest, known), key=lambda i: (_rank(by_id[i], held), i))
        first = by_id[roots[0]]
        if first.id == step.id:
            text = _own_words(step, latest, held)
        else:
            text = _seen_from_behind(first, latest, held)
        if len(roots) > 1:
            text += f"; and {len(roots) - 1} more"
        result[step.id] = Waiting(text, first.owner, tuple(roots))
    return result


def blockers(
    steps: Sequence[StepRow], waits: Mapping[int, Waiting], held: Held = _NOTHING
) -> list[Blocker]:
    """The steps everything open waits for, those that need a person first."""
    behind: dict[int, int] = {}
    for step_id, reason in waits.items():
        for root in reason.roots:
            behind[root] = behind.get(root, 0) + (root != step_id)
    latest = {s.identity: s for s in sorted(steps, key=lambda s: s.generation)}
    roots = [s for s in steps if s.id in behind]
    return [
        Blocker(
            step=s.id,
            identity=s.identity,
            kind=s.kind,
            state=s.state,
            owner=s.owner,
            text=_with_name(s, latest, held),
            behind=behind[s.id],
            is_held=s.id in held,
        )
        for s in sorted(roots, key=lambda s: (_rank(s, held), -behind[s.id], s.id))
    ]


def needs_a_person(blocker: Blocker) -> bool:
    """Whether it stays as it is until somebody acts, or a day comes."""
    needed = blocker.state == "failed" or blocker.kind in ("approval", "wait")
    return needed and not blocker.is_held


def progress(steps: Iterable[StepRow]) -> tuple[int, int]:
    """Done and all of what is planned."""
    planned = [s for s in steps if s.state not in ("cancelled", "superseded")]
    return sum(s.state == "done" for s in planned), len(planned)


def is_late(step: StepRow, now: datetime) -> bool:
    """Whether the step is open after its time."""
    return step.state not in SETTLED and step.due_at < now


def _roots(
    step: StepRow, latest: Mapping[str, StepRow], known: dict[int, frozenset[int]]
) -> frozenset[int]:
    """Ids of the open steps at the ends of its dependencies. known: of those looked at before.

    One after the other, not one inside the other: a chain may be longer than calls can be nested.
    """
    if step.id not in known:
        known[step.id] = frozenset({step.id})
        path = [(step, _open_before(step, latest), set[int]())]
        while path:
            last, rest, found = path[-1]
            before = next(rest, None)
            if before is None:
                path.pop()
                known[last.id] = frozenset(found) or known[last.id]
                if path:
                    path[-1][2].update(known[last.id])
            elif before.id in known:
                found |= known[before.id]
            else:
                # In a ring of dependencies each step is its own end: shown, not looped over.
                known[before.id] = frozenset({before.id})
                path.append((before, _open_before(before, latest), set()))
    return known[step.id]


def _open_before(step: StepRow, latest: Mapping[str, StepRow]) -> Iterator[StepRow]:
    """The open ones of those that it depends on."""
    if step.state in ("waiting", "held"):
        for dependency in step.depends_on:
            before = latest.get(dependency)
            if before is not None and before.state not in SETTLED:
                yield before


def _rank(step: StepRow, held: Held) -> int:
    if step.operation == _AWAIT_TIME:
        return _BY_ITSELF
    own = min(_RANK.get(step.state, _LAST), _RANK.get(step.kind, _LAST))
    return min(own, _HELD) if step.id in held else own


def _own_words(step: StepRow, latest: Mapping[str, StepRow], held: Held) -> str:
    """What a step that nothing stands before waits for."""
    if step.id in held:
        return held[step.id]
    match step.kind, step.state:
        case _, "failed":
            failed = f"failed: {step.reason}" if step.reason else "failed"
            if step.escalated_to:
                failed += f"; gone on to {step.escalated_to[-1]}"
            return failed
        case "approval", "ready":
            return f"approval of {' or '.join((step.system, *step.escalated_to))}: {step.asks}"
        case "wait", _ if step.operation == _AWAIT_TIME and step.wake_at is not None:
            return f"waits until {step.wake_at:%Y-%m-%d %H:%M} UTC, when {step.asks}"
        case "wait", _:
            return f"{step.fact}: {step.asks}" if step.asks else step.fact
        case _, "in_flight":
            return f"the answer of {step.system}"
        case _, "in_doubt":
            return f"{step.system} to be asked what became of it: {step.reason}"
        case _, "ready" if step.attempts:
            return f"its next try at {step.next_at:%H:%M:%S} UTC: {step.reason}"
        case _, "ready":
            return f"its turn at {step.system}"
    missing = [d for d in step.depends_on if d not in latest]
    if missing:
        return f"a step that is not in the plan: {missing[0]}"
    return step.reason or f"an earlier form of it at {step.system}"


def _with_name(step: StepRow, latest: Mapping[str, StepRow], held: Held) -> str:
    """What it waits for, where its row does not stand beside it."""
    words = _own_words(step, latest, held)
    return words if step.kind in ("approval", "wait") else f"{_name(step)}: {words}"


def _name(step: StepRow) -> str:
    plant = f" of plant {step.plant}" if step.plant else ""
    return f"{step.operation} {step.object_id}{plant}"


def _seen_from_behind(step: StepRow, latest: Mapping[str, StepRow], held: Held) -> str:
    """How those that stand behind a step name it."""
    if step.kind in ("approval", "wait") and step.state != "failed":
        return _own_words(step, latest, held)
    name = _name(step)
    if step.id in held:
        return f"{name}, {held[step.id]}"
    match step.state:
        case "failed":
            return f"{name}, which failed"
        case "in_flight":
            return f"{name}, under way"
        case "in_doubt":
            return f"{name}, answer unknown"
        case _:
            return name


def change_words(change: TargetChange) -> str:
    """What becomes other at a target, as a line."""
    match change.kind:
        case "added":
            return f"+ {change.where} {change.planned}".rstrip()
        case "removed":
            return f"- {change.where} {change.known}".rstrip()
        case "changed":
            return f"{change.where}: {change.known} -> {change.planned}"
