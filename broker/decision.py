"""Deciding a batch: pure over loaded facts, one message after the other.

Messages of one key are decided in delivery order, each on the facts as its predecessors left
them. Once one of them does not succeed, the rest of its key waits behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Literal

import msgspec
from msgspec.structs import replace

from broker.aside import MANY
from broker.intake import Work
from broker.planner import UNKNOWN, Planner
from broker.policy import (
    Behind,
    Blocked,
    Disposition,
    Done,
    RetryPolicy,
    Trial,
    defect,
    disposition,
)
from broker.reads import waits_for
from broker.store.documents import Stored, digest_of
from broker.store.order import OrderKey, Taken
from canonical.effects import Effect, Emit, Fetch, Open, Put
from canonical.errors import Conflict, Failure, InvalidMessage, Misconfigured
from canonical.facts import Facts, Known
from canonical.rules import Rules

Weight = Literal["newer", "same", "stale", "conflict"]
# A product structure deeper than this, or needs that never end, is a defect of a handler.
MAX_NEED_ROUNDS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What deciding needs besides the messages: the rules, the policy, the time, a die.

    reads_from: by source, the system that tells what an object is of which the source sends no more
    than the key. planner: the code and the rules.
    """

    rules: Rules
    policy: RetryPolicy
    now: datetime
    jitter: Callable[[], float]
    reads_from: Mapping[str, str] = field(default_factory=dict)
    planner: Planner = UNKNOWN


class Verdict(msgspec.Struct, frozen=True):
    """What was decided about one message; effects only where its fate is Done."""

    work: Work
    fate: Disposition
    effects: tuple[Effect, ...] = ()
    stale: tuple[Put, ...] = ()


@dataclass(slots=True)
class Desk:
    """The facts of one batch, as the messages decided so far have left them.

    documents: what is stored or will be, with their order; known: the same as handlers see it;
    asked: keys that were looked for, found or not; stopped: (scope, key) that must wait; reading:
    those of them that wait for nothing but a read; taken: how far the flows had come with their
    objects.
    """

    context: Context
    documents: dict[str, Stored] = field(default_factory=dict)
    known: dict[str, Known] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    stopped: set[OrderKey] = field(default_factory=set)
    reading: set[OrderKey] = field(default_factory=set)
    taken: Mapping[OrderKey, Taken] = field(default_factory=dict)
    _broken: dict[int, Exception] = field(default_factory=dict)

    def facts(self) -> Facts:
        """What is known at this moment, for one decision."""
        return Facts(rules=self.context.rules, documents=MappingProxyType(self.known))

    @property
    def is_crowded(self) -> bool:
        """Whether deciding on so much takes longer than the event loop should wait."""
        return len(self.known) > MANY

    def wanted(self, works: Iterable[Work]) -> set[str]:
        """Keys the handlers of these messages want and nobody has looked for yet."""
        facts = self.facts()
        keys: set[str] = set()
        for work in works:
            if work.handler is None or work.message is None or work.failure is not None:
                continue
            try:
                keys |= work.handler.needs(work.message, facts)
            except MemoryError:
                raise
            except Exception as error:  # raised again where the fate of this message is decided
                self.broke(work, error)
        return keys - self.asked

    def broke(self, work: Work, error: Exception) -> None:
        """The fate of this message is decided: its handler failed."""
        self._broken[id(work)] = error

    def add(self, asked: Iterable[str], found: dict[str, Stored]) -> None:
        """The documents were looked up."""
        self.asked |= set(asked)
        self._know(found)

    def decide(self, work: Work) -> Verdict:
        """What the handler says about one message; nothing is folded in yet."""
        if self._is_superseded(work):
            return Verdict(work, Done("superseded"))
        if self._was_passed(work):
            return Verdict(work, Done("passed"), (came_too_late(work),))
        if self._must_wait(work):
            return Verdict(work, Behind())
        try:
            return Verdict(work, Done(), self._effects(work))
        except MemoryError:  # the process has none left, whatever the message says
            raise
        except Exception as error:  # the one guard around handlers: a bug fails its message alone
            return self._failed(work, error)

    def _is_superseded(self, work: Work) -> bool:
        """The latest wins, and a later one was taken."""
        if work.order_key is None or work.version is None or not work.latest_wins:
            return False
        newest = self.taken.get(work.order_key, Taken()).newest
        return newest is not None and work.version < newest

    def _must_wait(self, work: Work) -> bool:
        """Unfinished work of its key stands before it. What was claimed has its own place, before
        whatever its batch has read by the way."""
        if work.pending is not None or work.order_key not in self.stopped:
            return False
        return not self._joins_a_read(work)

    def _joins_a_read(self, work: Work) -> bool:
        """All its key waits for is an answer, which it would ask for itself."""
        return work.is_notification and work.order_key in self.reading

    def _was_passed(self, work: Work) -> bool:
        """Its flow has gone on past its number without it."""
        if work.order_key is None or work.sequence is None or work.pending is not None:
            return False
        return work.sequence <= self.taken.get(work.order_key, Taken()).done

    def unseen(self, verdict: Verdict) -> set[str]:
        """Keys the verdict writes and nobody has looked at yet."""
        return {e.key for e in verdict.effects if isinstance(e, Put)} - self.asked

    def fold(self, verdict: Verdict) -> Verdict:
        """The verdict on what it writes: newer statements stay and become facts of the next
        message, stale ones are set apart, a contradiction fails the message."""
        kept: list[Effect] = []
        stale: list[Put] = []
        documents: dict[str, Stored] = {}
        for effect in verdict.effects:
            if not isinstance(effect, Put):
                kept.append(effect)
                continue
            stored = self.documents.get(effect.key)
            if effect.follows:
                effect = _after(stored, effect)
            weight = weigh(stored, effect)
            if weight == "conflict" and stored and corrects(verdict.work, stored):
                weight = "newer"
            if weight == "conflict":
                return self._failed(verdict.work, contradiction(effect))
            if weight == "stale":
                stale.append(effect)
            elif weight == "newer":
                kept.append(effect)
                documents[effect.key] = self._as_stored(effect)
        self._know(documents)
        for effect in kept:
            if isinstance(effect, Fetch):
                self._wait_for_a_read(waits_for(effect, verdict.work))
        fate = Done("stale") if stale and not kept else verdict.fate
        return Verdict(verdict.work, fate, tuple(kept), tuple(stale))

    def _effects(self, work: Work) -> tuple[Effect, ...]:
        if work.failure is not None:
            raise work.failure
        if id(work) in self._broken:
            raise self._broken[id(work)]
        assert work.handler is not None
        assert work.message is not None
        effects = work.handler.decide(work.message, self.facts(), self.context.now)
        completed = (self._completed(effect, work) for effect in effects)
        return tuple(effect for effect in completed if effect is not None)

    def _completed(self, effect: Effect, work: Work) -> Effect | None:
        """The effect with what only the runtime knows; None for what nobody can be asked for and
        nothing hangs on."""
        match effect:
            case Put():
                return _in_order_of_arrival(effect, work)
            case Emit():
                # A source that is read from a system speaks of what that system has.
                source = work.entry.envelope.source
                return effect.coming_from(self.context.reads_from.get(source, source))
            case Fetch(system=""):
                return self._addressed(effect, work)
            case _:
                return effect

    def _addressed(self, fetch: Fetch, work: Work) -> Fetch | None:
        source = work.entry.envelope.source
        system = self.context.reads_from.get(source)
        # A notification says nothing else: it would be taken and nothing come of it.
        if system is None and fetch.is_by_the_way and not work.is_notification:
            return None
        if system is None:
            raise Misconfigured(
                "reads-from-nowhere",
                f"{source} sends no more than keys, and no system is named to read the rest from",
                where=f"settings.sources.{source}.reads_from",
                remedy="Name the system there",
            )
        return replace(fetch, system=system)

    def _wait_for_a_read(self, key: OrderKey) -> None:
        # What waits for something else as well goes on waiting for that.
        if key not in self.stopped:
            self.stopped.add(key)
            self.reading.add(key)

    def _failed(self, work: Work, error: Exception) -> Verdict:
        if work.order_key is not None:
            self.stopped.add(work.order_key)
            self.reading.discard(work.order_key)
        trial = Trial(
            attempt=work.attempt,
            lane=work.lane,
            now=self.context.now,
            failing_since=work.failing_since or self.context.now,
            jitter=self.context.jitter(),
        )
        return Verdict(work, disposition(error, trial, self.context.policy))

    def _know(self, documents: dict[str, Stored]) -> None:
        self.documents |= documents
        self.known |= {key: stored.known for key, stored in documents.items()}

    def _as_stored(self, put: Put) -> Stored:
        # Each by itself: what was planned on this one is behind the next one of the same batch.
        before = self.documents.get(put.key)
        number = before.known.version + 1 if before else 1
        return Stored(Known(number, put.document), *put.order, digest_of(put))


def weigh(stored: Stored | None, put: Put) -> Weight:
    """Whether a statement about a document is news."""
    if stored is None:
        return "newer"
    was, is_now = (stored.version, stored.stated), put.order
    if is_now < was:
        return "stale"
    if is_now > was:
        return "newer"
    return "same" if stored.digest == digest_of(put) else "conflict"


def _in_order_of_arrival(put: Put, work: Work) -> Put:
    """The statement with a number for when it was made."""
    if put.stated is not None:
        return put
    assert work.place is not None
    return replace(put, stated=work.place.seq)


def _after(stored: Stored | None, put: Put) -> Put:
    """The statement with an order behind that of what is stored, and its own where that is."""
    if stored is None or (stored.version, stored.stated) < put.order:
        return put
    return replace(put, version=stored.version, stated=stored.stated + 1)


def corrects(work: Work, stored: Stored) -> bool:
    """Whether a message may say otherwise what is stored in this very version: it goes back to the
    same foreign message, and was said by a later reading of it."""
    place = work.entry.logged
    if place is None or stored.place is None or work.cause != stored.cause:
        return False
    # What one decision says has one time in the log: it must not contradict itself.
    return place == stored.place or place.at > stored.place.at


def crashes_the_worker(attempts: int) -> Failure:
    """The process died each time this message was begun."""
    return InvalidMessage(
        "crashes-the-worker",
        f"The process ended at least {attempts - 1} times while it handled this message",
        where="message",
        remedy="Report it; its raw bytes are kept",
        owner="layshaft team",
    )


def refused_by_database(work: Work, sqlstate: str) -> Work:
    """The work as a failure: the database takes everything of its batch but this."""
    failure = InvalidMessage(
        "unstorable",
        f"The database refuses the content of this message ({sqlstate})",
        where=work.entry.envelope.key or "message",
        remedy="Correct the content at the source and send again",
    )
    return replace(work, failure=failure)


def broken(work: Work, error: Exception) -> Work:
    """The work as a failure of ours: what was decided about it cannot be applied."""
    return replace(work, failure=defect(error))


def blocked(work: Work, error: Exception) -> Work:
    """The work put off: it alone meets a lock or a time-out. Raises `error` where it cannot wait,
    because no key could be read."""
    if work.order_key is None:
        raise error
    return replace(
        work,
        failure=Blocked(
            "blocked",
            f"The database does not take this message in time ({type(error).__name__})",
            where=work.entry.envelope.key,
            remedy="Find out what holds the rows of this object, or what makes it so large",
        ),
    )


def came_too_late(work: Work) -> Open:
    """Its flow has taken later events of the object; deciding it now would turn the order round."""
    envelope = work.entry.envelope
    return Open(
        code="sequence-passed",
        word="ownership_conflict",
        what=f"Event {envelope.sequence} of this object came after later ones had been taken",
        where=f"{envelope.key} {envelope.id}",
        remedy="Compare the object with its source; reprocess the event if it is missing",
        owner="operations",
    )


def contradiction(put: Put) -> Failure:
    """One version of a document, two contents."""
    return Conflict(
        "same-version-other-content",
        f"{put.key} is known in this very version with other content",
        where=put.key,
        remedy="Find out at the source which of the two is right and release it anew",
    )


def id_conflict(work: Work) -> Failure:
    """The identity is known with another payload: the first one counts."""
    return Conflict(
        "id-reused",
        "This id was used before for another content; the first one was kept",
        where=f"{work.entry.envelope.source} {work.entry.envelope.id}",
        remedy="Send the content under an id of its own",
        owner="sender",
    )
