"""Which step comes after which, as boxes in columns or, of many steps, as a list of columns: pure.

Lengths are units of the drawing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from broker.store.views import StepRow
from ops.console.states import in_words, shown

# More boxes than this are a list: their lines cannot be followed.
BOXES_SHOWN = 40
WIDTH, HEIGHT = 196, 44
GAP_X, GAP_Y, MARGIN = 40, 12, 8
# As many characters as a box has room for.
_LINE = 24


class Box(msgspec.Struct, frozen=True):
    """A step where it is drawn. first, second: its two lines, cut to their room; whole: uncut."""

    id: int
    x: int
    y: int
    state: str
    first: str
    second: str
    whole: str


class Graph(msgspec.Struct, frozen=True):
    """The drawing. lines: paths from box to box, and whether what comes before is done."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    lines: tuple[tuple[str, bool], ...]


class Group(msgspec.Struct, frozen=True):
    """Steps alike in one column."""

    operation: str
    system: str
    state: str
    number: int


def current(steps: Sequence[StepRow]) -> list[StepRow]:
    """The newest form of each step that is still planned, in the order of the plan."""
    latest = {step.identity: step for step in sorted(steps, key=lambda s: s.generation)}
    kept = [s for s in latest.values() if s.state not in ("cancelled", "superseded")]
    return sorted(kept, key=lambda s: s.id)


def columns(steps: Sequence[StepRow]) -> list[list[StepRow]]:
    """The current steps, each one column behind the last of those it depends on. What stands in a
    ring of dependencies is as far as its plan order says."""
    kept = current(steps)
    by_identity = {step.identity: step for step in kept}
    level: dict[int, int] = {}
    for step in kept:
        _settle(step, by_identity, level)
    found: list[list[StepRow]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for step in kept:
        found[level[step.id]].append(step)
    return found


def draw(steps: Sequence[StepRow]) -> Graph | None:
    """The drawing; None where there are no steps, or too many."""
    levels = columns(steps)
    number = sum(map(len, levels))
    if not 0 < number <= BOXES_SHOWN:
        return None
    tallest = max(map(len, levels))
    place: dict[str, tuple[int, int]] = {}
    boxes = []
    for at, column in enumerate(levels):
        x = MARGIN + at * (WIDTH + GAP_X)
        # Where those stand that come before, so that lines cross little.
        ranked = sorted(column, key=lambda s: (_before(s, place), s.id))
        top = MARGIN + (tallest - len(ranked)) * (HEIGHT + GAP_Y) // 2
        for row, step in enumerate(ranked):
            y = top + row * (HEIGHT + GAP_Y)
            place[step.identity] = x, y
            boxes.append(_box(step, x, y))
    states = {step.identity: step.state for column in levels for step in column}
    lines = [
        (_path(place[before], place[step.identity]), states[before] in ("done", "skipped"))
        for column in levels
        for step in column
        for before in step.depends_on
        if before in place and before != step.identity
    ]
    return Graph(
        width=2 * MARGIN + len(levels) * WIDTH + (len(levels) - 1) * GAP_X,
        height=2 * MARGIN + tallest * HEIGHT + (tallest - 1) * GAP_Y,
        boxes=tuple(boxes),
        lines=tuple(lines),
    )


def groups(steps: Sequence[StepRow]) -> list[list[Group]]:
    """What each column holds, counted: for a list in the drawing's place."""
    found = []
    for column in columns(steps):
        counted: dict[tuple[str, str, str], int] = {}
        for step in column:
            key = step.verb, step.system, shown(step.kind, step.state)
            counted[key] = counted.get(key, 0) + 1
        found.append([Group(*key, number) for key, number in counted.items()])
    return found


def _settle(step: StepRow, known: Mapping[str, StepRow], level: dict[int, int]) -> None:
    """The step and all before it have their levels; without recursion, however long the chain."""
    stack, open_ids = [step], set[int]()
    while stack:
        top = stack[-1]
        before = [known[d] for d in top.depends_on if d in known]
        missing = [b for b in before if b.id not in level and b.id not in open_ids and b != top]
        if missing and top.id not in level:
            open_ids.add(top.id)
            stack.extend(missing)
            continue
        stack.pop()
        open_ids.discard(top.id)
        if top.id not in level:
            level[top.id] = max((level[b.id] + 1 for b in before if b.id in level), default=0)


def _before(step: StepRow, place: Mapping[str, tuple[int, int]]) -> float:
    heights = [place[d][1] for d in step.depends_on if d in place]
    return sum(heights) / len(heights) if heights else float("inf")


def _box(step: StepRow, x: int, y: int) -> Box:
    where = f"{step.plant} {step.system}".strip()
    state = shown(step.kind, step.state)
    return Box(
        id=step.id,
        x=x,
        y=y,
        state=state,
        first=_cut(f"{step.verb} {step.object_id}"),
        second=_cut(f"{where}: {in_words(state)}"),
        whole=f"{step.verb} {step.object_kind} {step.object_id}, {where}: {in_words(state)}",
    )


def _path(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1 = start[0] + WIDTH, start[1] + HEIGHT // 2
    x2, y2 = end[0], end[1] + HEIGHT // 2
    bend = max((x2 - x1) // 2, GAP_X // 2)
    return f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"


def _cut(text: str) -> str:
    return text if len(text) <= _LINE else f"{text[: _LINE - 1]}…"
