"""How complete a change is, plant by system by object: pure, over its steps or their counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from broker.store.views import StepCount, StepRow
from ops.cli.wording import is_late
from ops.console.states import shown

# More objects than this are rows by kind: nobody reads them one by one.
OBJECTS_SHOWN = 40

# The state that says most of a cell with several steps stands first.
_WORST = (
    "failed", "in_doubt", "decision", "held", "in_flight", "ready", "waiting", "skipped", "done",
    "cancelled", "superseded",
)  # fmt: skip
_GONE = frozenset({"cancelled", "superseded"})


class Head(msgspec.Struct, frozen=True, order=True):
    """A column: a system in a plant, "" = in none in particular."""

    plant: str
    system: str


class Cell(msgspec.Struct, frozen=True):
    """What stands where a column meets a row. state: that of its steps which says most. verbs: what
    is done there; () where steps were only counted. late: steps that are open after their time."""

    state: str
    done: int
    total: int
    verbs: tuple[str, ...] = ()
    late: int = 0


class Row(msgspec.Struct, frozen=True):
    """An object, or all of a kind (id ""), with one cell a column; None where nothing is to be."""

    kind: str
    id: str
    cells: tuple[Cell | None, ...]


class Matrix(msgspec.Struct, frozen=True):
    """The table. is_by_kind: its rows are kinds of objects. counts: done and all of each column."""

    heads: tuple[Head, ...]
    rows: tuple[Row, ...]
    counts: tuple[tuple[int, int], ...]
    is_by_kind: bool

    @property
    def plants(self) -> tuple[tuple[str, int], ...]:
        """Plants in the order of the columns, and how many columns each has."""
        named: dict[str, int] = {}
        for head in self.heads:
            named[head.plant] = named.get(head.plant, 0) + 1
        return tuple(named.items())


class _Part(msgspec.Struct, frozen=True):
    """Steps that are one in a cell."""

    head: Head
    kind: str
    id: str
    state: str
    number: int
    verb: str = ""
    late: int = 0


def of_steps(steps: Sequence[StepRow], now: datetime) -> Matrix:
    """The matrix of current steps: by object while these are few, else by kind."""
    latest = {step.identity: step for step in sorted(steps, key=lambda s: s.generation)}
    objects = {(step.object_kind, step.object_id) for step in latest.values()}
    is_by_kind = len(objects) > OBJECTS_SHOWN
    parts = [
        _Part(
            Head(s.plant, s.system),
            s.object_kind,
            "" if is_by_kind else s.object_id,
            shown(s.kind, s.state),
            1,
            s.operation,
            late=int(is_late(s, now)),
        )
        for s in latest.values()
    ]
    return _matrix(parts, is_by_kind=is_by_kind)


def of_counts(counts: Iterable[StepCount]) -> Matrix:
    """The matrix by kind, where the steps are too many to be read."""
    parts = [
        _Part(Head(c.plant, c.system), c.object_kind, "", c.state, c.number, late=c.late)
        for c in counts
    ]
    return _matrix(parts, is_by_kind=True)


def _matrix(parts: Sequence[_Part], *, is_by_kind: bool) -> Matrix:
    kept = [part for part in parts if part.state not in _GONE]
    # What concerns no plant stands last.
    heads = sorted({part.head for part in kept}, key=lambda h: (h.plant == "", h))
    names = list(dict.fromkeys((part.kind, part.id) for part in kept))
    by_place: dict[tuple[str, str, Head], list[_Part]] = {}
    for part in kept:
        by_place.setdefault((part.kind, part.id, part.head), []).append(part)
    rows = tuple(
        Row(kind, name, tuple(_cell(by_place.get((kind, name, head), [])) for head in heads))
        for kind, name in names
    )
    counts = tuple(
        (
            sum(part.number for part in kept if part.head == head and part.state == "done"),
            sum(part.number for part in kept if part.head == head),
        )
        for head in heads
    )
    return Matrix(tuple(heads), rows, counts, is_by_kind)


def _cell(parts: Sequence[_Part]) -> Cell | None:
    if not parts:
        return None
    return Cell(
        state=min((part.state for part in parts), key=_WORST.index),
        done=sum(part.number for part in parts if part.state == "done"),
        total=sum(part.number for part in parts),
        verbs=tuple(dict.fromkeys(part.verb for part in parts if part.verb)),
        late=sum(part.late for part in parts),
    )
