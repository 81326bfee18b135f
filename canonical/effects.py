"""What a handler may return: the only ways in which a decision changes the world."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

import msgspec
from msgspec import UNSET

from canonical.envelope import Lane
from canonical.facts import Document
from canonical.operations import Operation, StepKind, kind, verb
from canonical.working_time import WorkingCalendar

Severity = Literal["info", "warning", "stop"]


class Step(msgspec.Struct, frozen=True, gc=False):
    """One effect that must become true.

    plant: plant code; "" where the effect is not of one plant.
    system: configured system name ("erp"), a role ("quality") for approvals, or "layshaft".
    depends_on: identities of steps of the same plan that must be done first.
    owner: who is asked when it does not move.
    due_s: seconds after planning when it counts as late, or after the end of a wait for a time that
        it stands behind.
    calendar: in whose working time these seconds are; None = in any. Not part of its content.
    fact, seen: document the step's sense hangs on, in the version it was planned on: a newer one
        makes the plan anew while the step is open. Not part of its content.
    wake_at: UTC; the plan is made anew at that moment while the step is open, so it lies in the
        future when it is planned. Not part of its content either.
    only_before: identities of steps of the same plan that it makes sense before: once each of them
        is settled as it is planned, it is not asked or told any more. An approval has those that
        depend on it; a call that asks elsewhere has the approvals about its own object, and makes
        no sense after a refusal either.
    """

    plant: str
    system: str
    object_kind: str
    object_id: str
    operation: Operation
    depends_on: tuple[str, ...] = ()
    owner: str = "operations"
    lane: Lane = "standard"
    due_s: int = 86_400
    calendar: WorkingCalendar | None = None
    fact: str = ""
    seen: int = 0
    wake_at: datetime | None = None
    only_before: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """What makes it the same step in the next plan: plant, system, object, operation."""
        return step_identity(
            self.plant, self.system, self.object_kind, self.object_id, self.operation
        )

    @property
    def kind(self) -> StepKind:
        """Who makes it true."""
        return kind(self.operation)


def step_identity(
    plant: str, system: str, object_kind: str, object_id: str, operation: Operation
) -> str:
    """Identity of a step within its ledger."""
    return "|".join((plant, system, object_kind, object_id, verb(operation)))


class StepParts(NamedTuple):
    """What the identity of a step is made of."""

    plant: str
    system: str
    object_kind: str
    object_id: str
    verb: str


def is_identity(text: str) -> bool:
    """Whether the text has as many parts as an identity."""
    return text.count("|") >= len(StepParts._fields) - 1


def parts_of_identity(identity: str) -> StepParts:
    """The parts of an identity that `step_identity` made; only an object's id may hold the mark
    that stands between them."""
    plant, system, object_kind, rest = identity.split("|", 3)
    object_id, _, word = rest.rpartition("|")
    return StepParts(plant, system, object_kind, object_id, word)


class Finding(msgspec.Struct, frozen=True):
    """Something a person should know about the input, found by rule.

    code: kebab-case word; where: the object, e.g. "item/XYZ-1"; severity "stop" never reaches
    a plan: it is raised as Rejected.
    """

    code: str
    where: str
    what: str
    severity: Severity
    owner: str


class Emit(msgspec.Struct, frozen=True):
    """Publish an event of ours.

    event: `<object>.<past-tense>` of canonical.events; lane: None = by the event's rule.
    data: a canonical struct of the type the event table names.
    """

    event: str
    key: str
    data: msgspec.Struct
    lane: Lane | None = None

    def coming_from(self, system: str) -> Emit:
        """The event with the system that its content comes from, where that has a place for it
        which the handler left open."""
        if getattr(self.data, "origin", None) is not UNSET:
            return self
        data = msgspec.structs.replace(self.data, origin=system)
        return msgspec.structs.replace(self, data=data)


class Put(msgspec.Struct, frozen=True):
    """Store a document unless a newer version of it is known.

    version: the source's own order of the object's states: for items and BOMs the release time of
        the revision, microseconds; a lower one is stale and is not stored.
    stated: when the source said so, microseconds; decides between statements about one version:
        a second one of the same time must not say otherwise. None where the source does not tell
        and may say otherwise: the one that arrived last counts.
    follows: it is decided on what is stored, by an order of its own: it is newer than that.
    """

    key: str
    version: int
    document: Document
    stated: int | None = 0
    follows: bool = False

    @property
    def order(self) -> tuple[int, int]:
        """(version, stated): the greater one is newer. The runtime has set what was None."""
        assert self.stated is not None
        return self.version, self.stated


class Plan(msgspec.Struct, frozen=True):
    """Everything that must become true for one business transaction.

    key: the ledger's business object. version: of the event it follows
    from; an older one plans nothing. cancels: whether the transaction was taken back: nothing of it
    must become true any more. watched: facts with the versions it was planned on, on which more
    hangs than one step: a newer one makes the plan anew while the ledger is open. along: kinds of
    documents: one that follows from the same foreign message as the plan makes it anew whenever it
    comes, since which of them is decided first is chance.
    """

    key: str
    version: int
    title: str
    steps: tuple[Step, ...]
    findings: tuple[Finding, ...] = ()
    cancels: bool = False
    watched: tuple[tuple[str, int], ...] = ()
    along: tuple[str, ...] = ()


class Fetch(msgspec.Struct, frozen=True):
    """Read an object of which the message tells no more than its key; what comes back is a message
    of its own, with that key and the same correlation id.

    It joins a read of the object that has not been sent yet; while one is out, the object is read
    once more after it. Until the answer is stored, other messages of the key wait.

    kind: what to read, in a word of the driver's, e.g. "purchase-order"; id: as the system writes
    it. system: configured name; "" = the one that the source's configuration names.
    key: business object that is read, where it is another one than the message is about; nothing of
    the message hangs on that: it is done with at once, and where no system is named to read from,
    nothing is read. Only a notification, which says nothing else, has to have one.
    """

    kind: str
    id: str
    system: str = ""
    key: str = ""

    @property
    def is_by_the_way(self) -> bool:
        """Whether the message that asks goes on without the answer."""
        return self.key != ""


class Open(msgspec.Struct, frozen=True):
    """Open an exception case; one case per (code, where) stays open at a time.

    word: failure class of canonical.errors; remedy: what the owner is to do.
    """

    code: str
    word: str
    what: str
    where: str
    remedy: str
    owner: str


class Decide(msgspec.Struct, frozen=True):
    """Decide a question that a ledger asks people, as it was decided in another system.

    ledger: its key. question, about: its word, and the object that it is about. by: the system, in
    whose own name it is decided, as a principal. reason: who decided there and why, in words.

    It counts as any decision does: only where the question is open and that principal may. Else
    nothing changes, and that is on record.
    """

    ledger: str
    question: str
    about: str
    verdict: Literal["approved", "rejected"]
    by: str
    reason: str


Effect = Emit | Put | Plan | Fetch | Open | Decide
