"""Long lists in slices, so that no statement comes near its time-out and the loop has its turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

# Rows of one statement; a batch of ordinary messages is one slice.
ROWS = 1_000


def slices(rows: Sequence[T], size: int = ROWS) -> Iterator[Sequence[T]]:
    """The rows in order, at most `size` at a time."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
