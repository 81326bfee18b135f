"""What each system last said of an object whose values have owners: by it statements of one system
follow each other, whatever others say in between, and what is disputed is not forgotten."""

from __future__ import annotations

import msgspec

from canonical.bounds import Int64
from canonical.ownership import Disputed

# Of whoever stated an object before anybody was named as an owner.
BEFORE = ""


class LastWord(msgspec.Struct, frozen=True):
    """The last statement of one system.

    version, stated: the order of its statements, as of `Put`. digest: hex, of its content. count:
    of its statements so far. disputed: what of them is not applied, since another one owns it.
    disputes: how often that has become something else.
    """

    source: str
    version: Int64
    stated: Int64
    digest: str = ""
    count: Int64 = 0
    disputed: tuple[Disputed, ...] = ()
    disputes: Int64 = 0

    @property
    def order(self) -> tuple[int, int]:
        """The greater one is newer."""
        return self.version, self.stated


class Heard(msgspec.Struct, frozen=True):
    """The last words of all systems about one object, by their names. accepted: how often values of
    somebody else were taken over by a person's decision."""

    words: tuple[LastWord, ...] = ()
    accepted: Int64 = 0

    def of(self, source: str) -> LastWord | None:
        """The last word of that system."""
        return next((word for word in self.words if word.source == source), None)

    def with_word(self, word: LastWord) -> Heard:
        """The same with this in the place of that system's last word."""
        words = {each.source: each for each in (*self.words, word)}
        return Heard(tuple(words[source] for source in sorted(words)), self.accepted)


def heard_key(key: str) -> str:
    """Document key of what was heard of the object with that key."""
    return f"heard/{key}"
