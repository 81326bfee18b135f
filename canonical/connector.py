"""What a driver for a target system is: four pure functions around one call.

Every call step runs the same cycle: observe the object by its natural key, compare it with what
the step wants, write the difference, and count as done only what the target confirmed or what a
new observation shows. A lost answer needs nothing special: the next observation tells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from canonical.effects import Step
from canonical.exchange import Request, Response
from canonical.operations import Operation
from canonical.own_words import OwnWords


class Answer(msgspec.Struct, frozen=True):
    """Content that a read brought back; it comes in as a message of its own.

    type: vendor type, e.g. "shop.supplier". key: business object it is about.
    """

    type: str
    key: str
    body: bytes


class Absent(msgspec.Struct, frozen=True):
    """The target does not know the object.

    native: what a create has to name and only a look tells, for `write`: the target's own ids of
        what the object refers to. Where nobody has looked, as in a dry run, it is empty, and names
        stand in the place of ids.
    """

    native: bytes = b""


class Present(msgspec.Struct, frozen=True):
    """The target holds the object.

    equal: it is what the step wants; nothing is left to write.
    differences: fields that differ, for people, e.g. "BaseUnit: PC, wanted KG". Each write that
        does not complete its step leaves fewer of them, or it is not followed by another one.
    reference: the target's own number for it. native: the body read, for `write`.
    """

    equal: bool
    reference: str = ""
    etag: str = ""
    differences: tuple[str, ...] = ()
    native: bytes = b""
    answer: Answer | None = None


Observed = Absent | Present


class More(msgspec.Struct, frozen=True):
    """The answer tells a part only: what is there is known after another call.

    request: that call, which changes nothing at the target.
    read: its response -> what is there, of this part and those before; raises as `Driver.read`.
    """

    request: Request
    read: Callable[[Response], Observed | More]


class Former(msgspec.Struct, frozen=True):
    """What an object was before a step first wrote to it.

    operation: of the same object, true of what was observed then: it puts that back. None where
    there is none, and why_not says the reason in words.
    """

    operation: Operation | None = None
    why_not: str = ""


class Write(msgspec.Struct, frozen=True):
    """The next call to make; `completes` when its confirmation makes the step true."""

    request: Request
    completes: bool


class Confirmed(msgspec.Struct, frozen=True):
    """The target said that it applied the write: parsed and matched, not only a status code.

    is_full: False where the target had something to say besides: it may hold less than was sent,
        and is looked at before the step is done.
    """

    reference: str = ""
    warnings: tuple[str, ...] = ()
    is_full: bool = True
    answer: Answer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """A vendor's protocol as functions.

    operations: those it makes true; of any other one it says so.
    observe: step -> request that reads the object by its natural key.
    read: step, response -> what is there, or the next call that it takes to know. Raises as
        `confirm` does.
    write: step, observed, idempotency key -> next write; None if nothing is left to write.
    write_singly: as `write`, for a target that takes one change a call; None where `write` never
        puts several into one that may be refused for it.
    former: step, what was observed before its first write -> what puts that back; None for a driver
        of which nothing is undone.
    worded: own words of the target -> the driver that reads and writes them; None for a driver that
        has nothing to do with such words.
    confirm: step, response to a write -> Confirmed. Raises Rejected (refused for good), Conflict
        (exists with other content, changed meanwhile), Unavailable (not applied, try later),
        InDoubt (may be applied: 5xx, unparsable answer), Misconfigured (rights, unknown API).
    """

    name: str
    observe: Callable[[Step], Request]
    read: Callable[[Step, Response], Observed | More]
    write: Callable[[Step, Observed, str], Write | None]
    confirm: Callable[[Step, Response], Confirmed]
    write_singly: Callable[[Step, Observed, str], Write | None] | None = None
    operations: tuple[type[Operation], ...] = ()
    former: Callable[[Step, Observed], Former] | None = None
    worded: Callable[[OwnWords], Driver] | None = None

    def for_words(self, words: OwnWords) -> Driver:
        """The driver for a target that has these words of its own."""
        return self.worded(words) if self.worded else self

    def one_by_one(self) -> Driver:
        """The driver for a target that takes one change a call."""
        return replace(self, write=self.write_singly) if self.write_singly else self
