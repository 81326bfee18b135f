"""One ledger under every mixture of plans, answers, crashes and people that a seed comes up with:
each step is written at most once and in its turn, nothing of a superseded plan begins, and in the
end its target is as the last plan wants it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from broker import ledger as rules
from broker.ledger import LedgerStep, Move, PlanDiff
from broker.left_behind import undecided
from broker.undo import Undos, undos_of
from canonical.effects import Plan
from tests.simulation import course
from tests.simulation.course import Claim, Course, Violation, run

QUICK, FULL = 400, 20_000


def all_of(seeds: int) -> None:
    for seed in range(seeds):
        run(seed)


@pytest.mark.timeout(600)
def test_whatever_happens_the_last_plan_is_what_comes_true() -> None:
    all_of(QUICK)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_twenty_thousand_courses_end_as_planned() -> None:
    all_of(FULL)


def test_a_seed_always_gives_the_same_course() -> None:
    assert run(7).told == run(7).told


def test_the_courses_come_to_everything_that_they_are_about() -> None:
    """Else the laws would hold of nothing."""
    told = "\n".join(line for seed in range(100) for line in run(seed).told)
    for word in (
        "stale plan",
        "died with",
        "run anew",
        "skipped",
        "in_doubt",
        "g failed",
        "g done",
        "undo [",
        "undone",
        "meddled with",
        "changed since",
    ):
        assert word in told, word


# Each promise is broken once, and noticed.

advance, diff, current = rules.advance, rules.diff, rules.current


def goes_first(steps: Sequence[LedgerStep], *, paused: str = "") -> tuple[Move, ...]:
    """A call does not wait for what is before it."""
    return advance(
        [msgspec.structs.replace(s, depends_on=()) if s.kind == "call" else s for s in steps],
        paused=paused,
    )


def forgets_a_pause(steps: Sequence[LedgerStep], *, paused: str = "") -> tuple[Move, ...]:
    """What is paused goes on."""
    return advance(steps)


def does_not_wait_for_the_former(
    steps: Sequence[LedgerStep], *, paused: str = ""
) -> tuple[Move, ...]:
    """The newer form of a call goes while the former is at its target."""
    latest = current(steps)
    return advance([s for s in steps if s is latest[s.identity]], paused=paused)


def asks_nobody(steps: Sequence[LedgerStep], plan: Plan) -> PlanDiff:
    """A question that is asked otherwise counts as decided."""
    found = diff(steps, plan)
    kept = tuple(i for i in found.inserts if i.step.kind != "approval" or i.generation == 1)
    return msgspec.structs.replace(found, inserts=kept)


def keeps_old_content(steps: Sequence[LedgerStep], plan: Plan) -> PlanDiff:
    """What was not sent is sent as it was planned first."""
    return msgspec.structs.replace(diff(steps, plan), replaces=())


def forgets_what_is_under_way(steps: Sequence[LedgerStep], plan: Plan) -> PlanDiff:
    """A call that left the plan at its target is not marked."""
    return msgspec.structs.replace(diff(steps, plan), withdrawals=())


def leaves_silently(steps: Sequence[LedgerStep], plan: Plan) -> PlanDiff:
    """What was done and is not planned any more is nobody's business."""
    found = diff(steps, plan)
    kept = tuple(m for m in found.moves if m.reason != rules.LEFT_BEHIND)
    return msgspec.structs.replace(found, moves=kept)


def undoes_at_once(steps: Sequence[LedgerStep], *args: Any) -> Undos:
    """An undo waits for nothing that was planned after what it undoes."""
    found = undos_of(steps, *args)
    at_once = tuple(msgspec.structs.replace(undo, depends_on=()) for undo in found.undos)
    return msgspec.structs.replace(found, undos=at_once)


def undoes_what_is_planned_again(steps: Sequence[LedgerStep], plan: Plan) -> PlanDiff:
    """An undo goes on although a newer plan has its object."""
    found = diff(steps, plan)
    again = {m.step.identity for m in found.moves if m.reason == rules.PLANNED_AGAIN}
    return msgspec.structs.replace(
        found,
        moves=tuple(m for m in found.moves if m.step.identity not in again),
        inserts=tuple(i for i in found.inserts if i.step.identity not in again),
    )


def leaves_what_is_undone(steps: Sequence[LedgerStep], *args: Any) -> tuple[LedgerStep, ...]:
    """What is undone is listed as left behind still, once its object was planned and is not."""
    return undecided([s for s in steps if not s.undoes], *args)


def never_lapses(*args: object) -> dict[int, Move]:
    """An undo goes although nothing was applied."""
    return {}


def never_moot(planned: Mapping[str, Any], digests: object, now: object) -> frozenset[str]:
    """A question is asked before what is made already."""
    return frozenset()


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("advance", goes_first),
        ("advance", forgets_a_pause),
        ("advance", does_not_wait_for_the_former),
        ("diff", asks_nobody),
        ("diff", keeps_old_content),
        ("diff", forgets_what_is_under_way),
        ("diff", leaves_silently),
        ("_moot", never_moot),
        ("diff", undoes_what_is_planned_again),
        ("_lapsed_undos", never_lapses),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_rule_is_noticed(
    name: str, broken: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, name, broken)
    with pytest.raises((Violation, KeyError)):
        all_of(QUICK)


@pytest.mark.parametrize(
    ("name", "broken"), [("undos_of", undoes_at_once), ("undecided", leaves_what_is_undone)]
)
def test_a_broken_rule_of_undos_is_noticed(
    name: str, broken: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course, name, broken)
    with pytest.raises(Violation):
        all_of(QUICK)


def test_an_undo_over_what_somebody_changed_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Careless(Course):
        """Whoever undoes something does not look whether it is still there."""

        def _undone(self, claim: Claim) -> LedgerStep:
            return msgspec.structs.replace(
                super()._undone(claim), digest=self.holds.get(claim.identity, b"")
            )

    monkeypatch.setattr(course, "Course", Careless)
    with pytest.raises(Violation, match="overwritten"):
        all_of(QUICK)


def test_a_call_in_doubt_that_is_written_in_its_old_form_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Stubborn(Course):
        """Whoever looks a call up writes it, whatever is planned by now."""

        def perform(self, *, fault: str | None = None) -> None:
            for claim in self.claims:
                claim.lapses = False
            super().perform(fault=fault)

    monkeypatch.setattr(course, "Course", Stubborn)
    with pytest.raises(Violation, match="superseded"):
        all_of(QUICK)
