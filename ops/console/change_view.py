"""What the page of one change shows, out of its status: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from broker import left_behind
from broker.ledger import AT_TARGET, LEFT_BEHIND
from broker.principals import Action, Principal, may
from broker.store.change_list import Stage, stage
from broker.store.progress import Point
from broker.store.views import STEPS_LIMIT, StepCount
from ops import change_status
from ops.change_status import ChangeStatus, StepStatus
from ops.cli import wording
from ops.cli.change_controls import number_of
from ops.cli.output import plural
from ops.console import graph, matrix
from ops.console.burn_up import Mark, burn_up
from ops.console.graph import Graph, Group
from ops.console.matrix import Matrix
from ops.console.states import shown

STEPS_SHOWN = 200
BLOCKERS_SHOWN = 12
FINDINGS_SHOWN = 20

# What needs a person stands first in the list of steps, what is settled last.
_ORDER = (
    "failed", "in_doubt", "held", "ready", "in_flight", "waiting", "done", "skipped", "cancelled",
    "superseded",
)  # fmt: skip
_KINDS: Mapping[str, int] = {"approval": 0, "wait": 1}


class Turn(msgspec.Struct, frozen=True):
    """A step that others wait for. look: address of a page about it, "" = none; command: that shows
    it."""

    owner: str
    text: str
    state: str
    behind: int
    look: str
    command: str


# September 2001, in microseconds: no source has counted so many statements of a change.
BY_TIME = 10**15


class ChangePage(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is shown of a change. sentence: how far it is, and why it waits. left_behind:
    of what is left at its targets. marks: how it came to where it stands. counted: its steps, all
    of them; is_cut: not all of them were read. turns, steps: the first ones."""

    status: ChangeStatus
    stage: Stage
    name: str
    sentence: str
    reason: str
    left_behind: str
    marks: tuple[Mark, ...]
    matrix: Matrix
    graph: Graph | None
    groups: tuple[tuple[Group, ...], ...]
    turns: tuple[Turn, ...]
    more_turns: int
    steps: tuple[StepStatus, ...]
    counted: int
    done: int
    is_cut: bool


class Steer(msgspec.Struct, frozen=True):
    """An act on a change that is offered. words: that open its form; button: that sends it; says:
    what it brings about; command: that does the same."""

    act: str
    words: str
    button: str
    says: str
    command: str
    is_dangerous: bool = False


def page_of(
    status: ChangeStatus, counts: Sequence[StepCount], points: Sequence[Point], now: datetime
) -> ChangePage:
    """The page. counts: of a change with more steps than are read, else (). points: how far it was
    when."""
    is_cut = len(status.steps) >= STEPS_LIMIT
    planned = [c for c in counts if c.state not in ("cancelled", "superseded")]
    counted = sum(c.number for c in planned) if is_cut else status.total
    done = sum(c.number for c in planned if c.state == "done") if is_cut else status.done
    whole = msgspec.structs.replace(status, done=done, total=counted) if is_cut else status
    people = [b for b in status.blockers if wording.needs_a_person(b) or b.is_held]
    cases = {c.place.removeprefix(f"{status.key}: "): c.id for c in status.open_cases}
    drawing = None if is_cut else graph.draw(status.steps)
    name = number_of(status.key)
    return ChangePage(
        status=status,
        stage=_stage(status),
        name=name,
        sentence=change_status.summary(whole),
        reason=_reason(status),
        left_behind=_left_behind(status),
        marks=burn_up(points, status, now),
        matrix=matrix.of_counts(counts) if is_cut else matrix.of_steps(status.steps, now),
        graph=drawing,
        groups=() if drawing else tuple(tuple(g) for g in graph.groups(status.steps)),
        turns=tuple(_turn(b, name, cases) for b in people[:BLOCKERS_SHOWN]),
        more_turns=max(len(people) - BLOCKERS_SHOWN, 0),
        steps=tuple(sorted(status.steps, key=_urgency)[:STEPS_SHOWN]),
        counted=counted,
        done=done,
        is_cut=is_cut,
    )


def stated_at(version: int) -> datetime | None:
    """When that version was stated, where its source counts them by time, in microseconds since
    1970; None for one that counts otherwise."""
    return datetime.fromtimestamp(version / 1e6, UTC) if version >= BY_TIME else None


def steers(status: ChangeStatus) -> tuple[Steer, ...]:
    """What may be done to it as it stands."""
    name = number_of(status.key)
    found = []
    if status.state == "open" and status.paused:
        # Also where it was taken back: what a pause holds of that goes on by this alone.
        found.append(
            Steer(
                "resume",
                "Resume",
                f"Resume {name}",
                "It goes on as if it had never been paused.",
                f'layshaft change resume {name} --reason "..."',
            )
        )
    if status.state != "open" or is_taken_back(status):
        return tuple(found)
    if not status.paused:
        found.append(
            Steer(
                "pause",
                "Pause",
                f"Pause {name}",
                "Nothing more of it begins; what is under way ends.",
                f'layshaft change pause {name} --reason "..."',
            )
        )
    found.append(
        Steer(
            "cancel",
            "Cancel",
            f"Cancel {name}",
            "Nothing more of it is done. Of what is done, a case asks whether it stays.",
            f'layshaft change cancel {name} --reason "..."',
            is_dangerous=True,
        )
    )
    return tuple(found)


def why_not_steered(status: ChangeStatus) -> str:
    """Why it can be neither paused nor cancelled, "" where it can."""
    if status.state == "cancelled":
        return (
            "It was taken back: nothing of it can be paused, cancelled or run anew. A newer"
            " statement of its source plans it anew."
        )
    if is_taken_back(status):
        return (
            "It was taken back, and can be neither paused nor cancelled any more: what is under way"
            " comes to its end. A newer statement of its source plans it anew."
        )
    if status.state == "complete":
        return "It is complete; nothing of it can be stopped. A step can run anew, from its page."
    return ""


def is_taken_back(status: ChangeStatus) -> bool:
    """Whether nothing more of it is planned."""
    return status.state == "cancelled" or status.ends_as == "cancelled"


def can_undo(status: ChangeStatus) -> bool:
    """Whether something of it is left behind, or may come to be once it ends."""
    place = left_behind.place_of(status.key)
    if any(case.place == place for case in status.open_cases):
        return True
    return is_taken_back(status) and any(
        step.kind == "call" and step.state in AT_TARGET and not step.undoes for step in status.steps
    )


def step_steers(status: ChangeStatus, step: StepStatus) -> tuple[Steer, ...]:
    """What may be done to one of its steps."""
    name = number_of(status.key)
    is_over = is_taken_back(status)
    found = []
    is_open = step.state in ("waiting", "held", "ready", "failed")
    # Of a change that is taken back too: what an undo that is skipped is about, stays.
    is_undo = bool(step.undoes) and status.state == "open"
    if is_open and step.kind != "approval" and (not is_over or is_undo):
        found.append(
            Steer(
                "skip",
                "Skip",
                "Skip this step",
                "What it would undo stays, and what stands behind it goes on."
                if is_undo
                else "It is not made, and what stands behind it goes on.",
                f'layshaft change skip {name} {step.id} --reason "..."',
                is_dangerous=True,
            )
        )
    if not is_over and not step.undoes and step.state in ("done", "failed", "skipped"):
        found.append(
            Steer(
                "restart",
                "Run anew",
                "Run it anew",
                "It runs anew, and with it what follows it; what is true already is not written.",
                f'layshaft change restart {name} {step.id} --reason "..."',
            )
        )
    return tuple(found)


def forbidden(who: Principal, action: Action, plants: Sequence[str]) -> str:
    """Why they may not, in a sentence; "" where they may."""
    refused = may(who, action, plants=plants)
    return f"{refused.what}: {refused.where}." if refused else ""


def _stage(status: ChangeStatus) -> Stage:
    """As the list says it."""
    return stage(
        status.state,
        is_reporting=status.is_reporting,
        is_paused=status.paused is not None,
        failed=sum(s.state == "failed" for s in status.steps),
        decisions=sum(s.kind == "approval" and s.state == "ready" for s in status.steps),
        on_hold=len(status.holds),
        data=sum(s.kind == "wait" and s.state == "waiting" for s in status.steps),
    )


def _reason(status: ChangeStatus) -> str:
    """Why it is waiting, by what comes first; "" where it waits for nothing."""
    if not status.blockers or status.state != "open":
        return ""
    first, *others = status.blockers
    is_said = not wording.needs_a_person(first) or first.text.startswith(
        f"approval of {first.owner}"
    )
    text = first.text if is_said else f"{first.owner}: {first.text}"
    behind = f"; {plural(first.behind, 'step')} behind it" if first.behind else ""
    more = f", and {len(others)} more" if others else ""
    return f"{text}{behind}{more}"


def _left_behind(status: ChangeStatus) -> str:
    """How much of it is left at its targets; "" where nothing is."""
    if not can_undo(status):
        return ""
    left = sum(s.state == "superseded" and s.reason == LEFT_BEHIND for s in status.steps)
    if not left:
        return "Calls of it are under way: what they do would be left behind"
    was = "was done and is" if left == 1 else "were done and are"
    return f"{plural(left, 'step')} {was} no longer part of the plan"


def _turn(blocker: wording.Blocker, name: str, cases: Mapping[str, int]) -> Turn:
    look, command = f"steps/{blocker.step}", f"layshaft change show {name} --all"
    if blocker.identity in cases:
        command = f"layshaft case show {cases[blocker.identity]}"
    elif blocker.kind == "approval":
        command = f"layshaft task show {blocker.step}"
    state = shown(blocker.kind, blocker.state)
    return Turn(blocker.owner, blocker.text, state, blocker.behind, look, command)


def _urgency(step: StepStatus) -> tuple[int, int, int]:
    return _ORDER.index(step.state), _KINDS.get(step.kind, 2), step.id
