"""A ledger in memory: plans go in, calls are made, people decide; the rules are the broker's own.

It keeps what `broker.book` keeps in tables, so that a test can follow a change to its end.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from broker import ledger
from broker.ledger import LedgerStep, Move
from canonical.effects import Plan, Step
from canonical.facts import Document, Facts, Known
from canonical.operations import Announce
from canonical.rules import Rules
from tests.fixtures.gearbox import RULES, key_of


def learned(known: Facts, *documents: Document) -> Facts:
    """The facts after these documents were stored, each as one more write of its key."""
    versions = dict(known.documents)
    for document in documents:
        key = key_of(document)
        versions[key] = Known(known.version(key) + 1, document)
    return Facts(known.rules, versions)


def nothing(rules: Rules = RULES) -> Facts:
    """Nobody has released anything yet."""
    return Facts(rules)


class Book:
    """One ledger. told: events announced so far. left_behind: what was done and then unplanned.
    away: identities of calls whose target does not answer."""

    def __init__(self) -> None:
        self.away: tuple[str, ...] = ()
        self.told: list[str] = []
        self.left_behind: list[str] = []
        self._steps: dict[int, LedgerStep] = {}
        self._planned: dict[int, Step] = {}

    def plan(self, plan: Plan) -> None:
        """The ledger says what the plan says."""
        diff = ledger.diff(list(self._steps.values()), plan)
        self._move(diff.moves)
        for replace in diff.replaces:
            self._keep(replace.old.id, replace.step, replace.digest, replace.old.generation)
        for insert in diff.inserts:
            self._keep(len(self._steps) + 1, insert.step, insert.digest, insert.generation)
        for retime in diff.retimes:
            step = self._steps[retime.step.id]
            self._steps[step.id] = msgspec.structs.replace(step, wake_at=retime.wake_at)
        for step, depends_on in diff.reorders:
            self._steps[step.id] = msgspec.structs.replace(step, depends_on=depends_on)
        assert not diff.withdrawals  # no call is under way while a test plans
        self._advance()

    def work(self) -> None:
        """Every call that may be made has been made, and those that became free by it."""
        while ready := [
            s
            for s in self._current()
            if s.state == "ready" and s.kind == "call" and s.identity not in self.away
        ]:
            self._move([Move(step, "done") for step in ready])
            self._advance()

    def decide(self, identity: str, *, granted: bool) -> None:
        """A person took the decision that stands open."""
        step = self._step(identity)
        assert step.kind == "approval"
        assert step.state == "ready"
        self._move([Move(step, "done" if granted else "failed")])
        self._advance()

    def states(self, word: str) -> dict[str, str]:
        """`object plant` -> state of the current steps with that verb."""
        return {
            f"{parts[3]} {parts[0]}".rstrip(): step.state
            for step in self._current()
            if (parts := step.identity.split("|"))[-1] == word
        }

    def open(self) -> list[str]:
        """Identities of what is not settled."""
        return [s.identity for s in self._current() if s.state not in ledger.SETTLED]

    def systems(self, word: str, state: str) -> set[str]:
        """Systems with a current step of that verb in that state."""
        found = ((s.identity.split("|"), s.state) for s in self._current())
        return {parts[1] for parts, is_now in found if (parts[-1], is_now) == (word, state)}

    def wakes(self) -> list[datetime]:
        """The moments at which the plan is to be made anew, the next one first."""
        steps = (s for s in self._steps.values() if s.state not in ledger.SETTLED)
        return sorted({s.wake_at for s in steps if s.wake_at is not None})

    def is_complete(self) -> bool:
        """Whether everything is settled."""
        return ledger.is_complete(step.state for step in self._current())

    def _current(self) -> Iterable[LedgerStep]:
        return ledger.current(self._steps.values()).values()

    def _step(self, identity: str) -> LedgerStep:
        return next(step for step in self._current() if step.identity == identity)

    def _keep(self, step_id: int, step: Step, digest: bytes, generation: int) -> None:
        self._planned[step_id] = step
        self._steps[step_id] = LedgerStep(
            id=step_id,
            identity=step.identity,
            generation=generation,
            kind=step.kind,
            state="waiting",
            version=1,
            digest=digest,
            depends_on=step.depends_on,
            watched=ledger.watched_fact(step),
            lapses=ledger.lapses(step),
            wake_at=step.wake_at,
        )

    def _advance(self) -> None:
        moves = ledger.advance(list(self._steps.values()))
        self._move(moves)
        operations = [self._planned[m.step.id].operation for m in moves if m.state == "done"]
        self.told += [o.event for o in operations if isinstance(o, Announce)]

    def _move(self, moves: Iterable[Move]) -> None:
        for move in moves:
            assert self._steps[move.step.id] == move.step
            self._steps[move.step.id] = msgspec.structs.replace(move.step, state=move.state)
            if move.step.state == "done":
                self.left_behind.append(move.step.identity)
