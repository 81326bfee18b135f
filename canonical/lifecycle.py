"""What systems call the states of an item's life cycle: the rows of `data/lifecycle.csv`.

Most of these words are chosen by whoever runs the system, so they are data: a word that no row has
is refused by the drivers, never guessed. Those of one installation stand in its configuration
(`canonical/own_words.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Literal, get_args

import msgspec

from canonical.errors import Misconfigured
from canonical.item import Lifecycle
from canonical.units import read_table

STATES: tuple[Lifecycle, ...] = get_args(Lifecycle)


class Word(msgspec.Struct, frozen=True):
    """A row: what a source calls a state. in: when it says so; out: when we say it to that system,
    which takes one word for a state and maybe one for several."""

    source: str
    text: str
    state: Lifecycle
    direction: Literal["in", "out"]


def inbound(source: str) -> Mapping[str, Lifecycle]:
    """Word of the source, as the row writes it -> state.

    Raises: Misconfigured where no row is of that source.
    """
    return {word.text: word.state for word in _of(source) if word.direction == "in"}


def outbound(source: str) -> Mapping[Lifecycle, str]:
    """State -> the word that is written to the system, for those it has one for.

    Raises: Misconfigured where no row is of that source.
    """
    return {word.state: word.text for word in _of(source) if word.direction == "out"}


@cache
def words() -> tuple[Word, ...]:
    """All rows, in their order."""
    return tuple(msgspec.convert(row, Word) for row in read_table("lifecycle.csv"))


def _of(source: str) -> Iterator[Word]:
    found = [word for word in words() if word.source == source]
    if not found:
        raise Misconfigured(
            "lifecycle-source-unknown",
            f"No row says what {source!r} calls the states of a life cycle",
            where="canonical/data/lifecycle.csv",
            remedy="Add its words",
        )
    return iter(found)
