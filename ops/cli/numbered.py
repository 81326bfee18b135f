"""What tasks, cases and replays have in common: people list them, look one up by its number, and
act on it in their name, for a reason.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeVar

from broker.store import Tx, views
from ops.cli.output import Column, put_json, screen, talk
from ops.cli.problems import Exit, Problem, not_found
from ops.cli.session import Common, Reading, read

T = TypeVar("T")

# Enough of a digest to tell two contents apart.
MIN_DIGEST = 12
MANY = 2**63  # PostgreSQL numbers nothing from here on

Cell = Callable[[T], str]


def put_list(
    reading: Reading,
    rows: Sequence[T],
    columns: Sequence[tuple[Column, Cell[T]]],
    *,
    nothing: str,
    limit: int = views.LIST_LIMIT,
) -> None:
    """The rows as a table or as JSON. nothing: what a person reads where there are none; limit: so
    many were looked for."""
    if reading.is_json:
        put_json(rows)
    elif not rows:
        screen().line(nothing)
    else:
        screen().table(
            [column for column, _ in columns],
            [[cell(row) for _, cell in columns] for row in rows],
        )
    if len(rows) == limit:
        talk(f"Only the first {limit} are shown.")


def find(
    common: Common,
    kind: Literal["task", "case", "replay"],
    number: int,
    query: Callable[[Tx, int], Awaitable[T | None]],
) -> T:
    """The one with this number.

    Raises: Problem, with numbers that may have been meant.
    """
    found = read(common, lambda tx: query(tx, number)) if abs(number) < MANY else None
    if found is None:
        raise not_found(kind, str(number), read(common, views.known_numbers)[kind])
    return found


def required_reason(reason: str) -> str:
    """The reason, which must say something."""
    if not reason.strip():
        raise Problem(
            Exit.USAGE,
            "reason-missing",
            "A reason is needed",
            why="whoever reads the record later must understand it",
            fix='Give --reason "..."',
        )
    return reason.strip()
