"""What Layshaft tells of its own work: cases that need a person, steps that came to an end or wait
too long, and how changes get on."""

from __future__ import annotations

from typing import Literal

import msgspec

from canonical.bounds import Instant, Int64

StepEnd = Literal["done", "failed", "cancelled", "superseded"]
ChangeProgress = Literal["started", "blocked", "complete", "cancelled"]


class CaseOpened(msgspec.Struct, frozen=True):
    """Something needs a person.

    case: its number. word: class of the failure, code: what it is. place: the object, and where in
    it. owner: whose turn it is. about: business object that waits by it; "" where none does.
    source: that sent the message which is in it; "" where none is.
    """

    case: Int64
    code: str
    word: str
    what: str
    place: str
    remedy: str
    owner: str
    opened_at: Instant
    about: str = ""
    source: str = ""


class CaseResolved(msgspec.Struct, frozen=True):
    """A case is not open any more: tried again, let go, or over by itself; what goes wrong again
    opens another one.

    by: the person, or what became of it in words.
    """

    case: Int64
    code: str
    place: str
    owner: str
    by: str
    opened_at: Instant
    resolved_at: Instant


class StepEnded(msgspec.Struct, frozen=True):
    """A call to a target has come to its end: done, refused for good, or no longer asked for.

    ledger: business object in whose ledger it stands. plant: "" where it is of none. verb:
    operation, e.g. "put-bom". reason: in words; "" where there is nothing to say.
    """

    ledger: str
    plant: str
    system: str
    object_kind: str
    object_id: str
    verb: str
    end: StepEnd
    reason: str = ""


class StepOverdue(msgspec.Struct, frozen=True):
    """A decision that is asked for or was refused, or a call that failed, waits longer than the
    rules allow, and has gone on to somebody.

    ledger, plant, verb: as in StepEnded. step: its number. owner: whose turn it is. to: the role
    that may decide too, or has a case of it. level: which time it goes on, from 1 on. question: of
    a decision; "" of a call. is_refused: it was decided by no, as `reason` says, and nobody has
    mended what it rests on. due_at: that may lie ahead, where it goes on before.
    """

    ledger: str
    step: Int64
    plant: str
    system: str
    object_kind: str
    object_id: str
    verb: str
    owner: str
    due_at: Instant
    to: str
    level: Int64
    question: str = ""
    reason: str = ""
    is_refused: bool = False


class ChangeBlocker(msgspec.Struct, frozen=True):
    """Whom a blocked change waits for.

    owner: who has to act; of what people hold, the one who does. reason: the oldest of what waits
    for them, in words. steps: how many of its steps do; 0 = all, as the change is paused.
    """

    owner: str
    reason: str
    steps: Int64


class ChangeProgressed(msgspec.Struct, frozen=True):
    """How a change gets on in all plants and systems.

    status: started = it goes on by itself, or waits for its day. blocked = nothing of it does until
    those in blocked_by act. complete = everything is true. cancelled = it is taken back, and
    nothing is open any more. source_id: of the change, as its PLM writes it; "" where that says
    none.
    """

    number: str
    version: Int64
    title: str
    status: ChangeProgress
    blocked_by: tuple[ChangeBlocker, ...] = ()
    source_id: str = ""
