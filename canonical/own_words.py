"""What one installation of a system calls units and states of a life cycle, in words of its own.

The package knows the words that systems are delivered with (`canonical/data/`). Those that somebody
has added to his own system stand in the configuration, by the source or system that says them, and
go before the package's; a word that is in neither is treated as without them. Blanks around a word
and its case do not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import cast

import msgspec
from msgspec import UNSET, UnsetType

from canonical.errors import Misconfigured
from canonical.item import Lifecycle
from canonical.lifecycle import STATES
from canonical.patch import Text
from canonical.units import EACH, UnknownUnit, unit

# Two more codes of the list for a piece: a quantity in one of them would fit no other.
_PIECES = frozenset({"EA", "C62"})


class OwnWords(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """The words of one source or system, each as it is written there.

    units: word -> code of Recommendation 20 or 21. lifecycle: word -> state of an item's life
    cycle. Of several words for one meaning the first is the one that is written to the system.

    Raises: Misconfigured("words-invalid") naming the row that cannot be used.
    """

    units: dict[str, str] = {}
    lifecycle: dict[str, str] = {}

    def __post_init__(self) -> None:
        _check_names("units", self.units)
        _check_names("lifecycle", self.lifecycle)
        for word, code in self.units.items():
            _check_code(word, code)
        for word, state in self.lifecycle.items():
            if state not in STATES:
                raise _refused(
                    "lifecycle",
                    word,
                    f"{state[:40]!r} is no state of a life cycle",
                    f"Write one of {', '.join(STATES)}",
                )

    @cached_property
    def codes(self) -> Mapping[str, str]:
        """Word, casefolded -> code: for `canonical.units.to_rec20`."""
        return {_folded(word): code for word, code in self.units.items()}

    @cached_property
    def phases(self) -> Mapping[Lifecycle, str]:
        """State -> the word that is written for it."""
        found: dict[Lifecycle, str] = {}
        for word, state in self.lifecycle.items():
            found.setdefault(cast(Lifecycle, state), word.strip())
        return found

    def state(self, word: str) -> Lifecycle | None:
        """The state that the word means here; None where it is no word of its own."""
        return self._states.get(_folded(word))

    def status(self, said: Text) -> Lifecycle | UnsetType | None:
        """What an ERP's status says of the life cycle: nothing where no such words are its own, or
        it says nothing of the status; None where the status is none of these words."""
        if not self.lifecycle or isinstance(said, UnsetType):
            return UNSET
        return self.state(said) if said else None

    @cached_property
    def _states(self) -> Mapping[str, Lifecycle]:
        return {_folded(word): cast(Lifecycle, state) for word, state in self.lifecycle.items()}


def _folded(word: str) -> str:
    return word.strip().casefold()


def _check_names(table: str, rows: Mapping[str, str]) -> None:
    seen: set[str] = set()
    for word in rows:
        if not _folded(word):
            raise _refused(table, word, "The word is empty", "Write the word, or take the row out")
        if _folded(word) in seen:
            raise _refused(
                table,
                word,
                "The word is there twice: blanks around it and its case do not matter",
                "Take one of the rows out",
            )
        seen.add(_folded(word))


def _check_code(word: str, code: str) -> None:
    """Raises: Misconfigured for a code that a quantity cannot have."""
    if code in _PIECES:
        raise _refused("units", word, f"A piece is {EACH} everywhere, not {code}", f"Write {EACH}")
    try:
        unit(code)
    except UnknownUnit as failure:
        is_deleted = failure.code == "unit-deleted"
        remedy = failure.remedy if is_deleted else "Write a code of canonical/data/rec20.csv"
        raise _refused("units", word, failure.what, remedy) from failure


def _refused(table: str, word: str, what: str, remedy: str) -> Misconfigured:
    return Misconfigured("words-invalid", what, where=f'{table}."{word[:40]}"', remedy=remedy)


# Of whoever has no words of his own.
NO_WORDS = OwnWords()
