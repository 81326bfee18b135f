"""Who has begun what on record, and what of that may count as the end of its process.

By the product's rules: a delivery that came back is begun alone in its lane; what was accused
before is in hand alone in its process; and whoever goes on living has ended or taken back all that
it began, unless the database failed just then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from broker.decision import Verdict
from broker.failpoints import FailPoints
from broker.pipeline import CRASHES_UNTIL_QUARANTINE
from tests.simulation.tables import Tables

Begun = bytes | int
"""A delivery that came back, by its fingerprint, or a row of unfinished work, by its id."""

Hand = tuple[str, type[bytes] | type[int]]
"""A worker, and whether it takes deliveries or rows: it does both at a time."""


class Watched(FailPoints):
    """Lets everything pass. passed: told of each point."""

    def __init__(self, passed: Callable[[str], None]) -> None:
        super().__init__({})
        self._passed = passed

    async def __call__(self, name: str) -> None:
        self._passed(name)


class Suspicion:
    """Follows the marks of the tables from commit to commit. Raises: Violation."""

    def __init__(self) -> None:
        self._process_of: dict[str, int] = {}
        # Of what is in hand: the marks that may outlive it; None until all are set for certain.
        self._may_leave: dict[Hand, set[Begun] | None] = {}
        self._marks: dict[Begun, tuple[int, str]] = {}
        self._left: set[tuple[str, Begun]] = set()
        self._accusers: Counter[Begun] = Counter()
        self._accusers_when_begun: dict[tuple[str, Begun], int] = {}

    def starts(self, process: int, workers: Iterable[str]) -> None:
        """A process works under these names; its number is not used twice."""
        self._process_of |= dict.fromkeys(workers, process)

    def begins(self, hand: Hand) -> None:
        """A worker takes something in hand."""
        self._may_leave[hand] = None

    def passed(self, hand: Hand, point: str) -> None:
        """It has come that far."""
        if point == "amqp.delivered":
            self._may_leave[hand] = None
        elif point in ("attempt.after_begin", "rows.after_begin"):
            self._may_leave[hand] = set()
        elif point == "begun.before_withdraw":
            self._may_leave[hand] = {*(self._may_leave[hand] or ()), *self._in(hand)}

    def ends(self, hand: Hand) -> str | None:
        """It lives, and is done with what it had in hand, or gives it up; what is wrong with that.

        It may leave a mark where the answer was lost as it set it or was about to take it back.
        """
        in_hand, may_leave = set(self._in(hand)), self._may_leave[hand]
        left = in_hand if may_leave is None else in_hand & may_leave
        self._left |= {(hand[0], begun) for begun in left}
        return f"{hand[0]} lives and leaves {in_hand - left} begun" if in_hand > left else None

    def committed(self, tables: Tables) -> str | None:
        """The marks are as the tables say; what is wrong with them."""
        marks: dict[Begun, tuple[int, str]] = {
            row.id: (row.begun, row.begun_by) for row in tables.pending.values() if row.begun
        }
        marks.update(tables.attempts.items())
        for begun in self._marks.keys() | marks.keys():
            (_, before), (_, by) = self._marks.get(begun, (0, "")), marks.get(begun, (0, ""))
            if before != by:
                self._left -= {(before, begun), (by, begun)}
                # What it was about to take back before it began this one, it could not take back.
                was_left = self._may_leave.get((by, _kind(begun))) or set()
                self._left |= {(by, other) for other in was_left - {begun}}
                self._accusers[begun] += bool(before and by)
                self._accusers_when_begun[by, begun] = self._accusers[begun]
            if begun not in marks:
                del self._accusers[begun]
        self._marks = marks
        return self._crowded()

    def quarantines(self, worker: str, begun: Begun) -> str | None:
        """A worker took it for one that kills; what is wrong with that."""
        # The first delivery has no mark, and is counted as if it had ended its process.
        crashes = isinstance(begun, bytes) + self._accusers_when_begun.get((worker, begun), 0)
        if crashes >= CRASHES_UNTIL_QUARANTINE:
            return None
        return f"{worker} quarantines {begun!r} after {crashes} crashes"

    def _in(self, hand: Hand) -> list[Begun]:
        worker, kind = hand
        return [
            begun
            for begun, (_, by) in self._marks.items()
            if by == worker and _kind(begun) is kind and (worker, begun) not in self._left
        ]

    def _crowded(self) -> str | None:
        """One delivery that came back in a lane, one that was accused before in a process."""
        alone: Counter[str | int] = Counter()
        for begun, (times, by) in self._marks.items():
            if by and (by, begun) not in self._left:
                alone[by] += isinstance(begun, bytes)
                alone[self._process_of[by]] += times > 1
        crowded = [who for who, number in alone.items() if number > 1]
        return f"{crowded} would be accused of more than one by one crash" if crowded else None


def is_quarantine(verdict: Verdict) -> bool:
    """Whether the message was not read, since processes ended with it in hand; which is no matter
    where its flow has gone on past it."""
    failure = verdict.work.failure
    return failure is not None and failure.code == "crashes-the-worker"


def _kind(begun: Begun) -> type[bytes] | type[int]:
    return bytes if isinstance(begun, bytes) else int
