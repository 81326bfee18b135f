"""One message on its way through a translation and the flows behind it, with nothing but values.

Nothing is known beforehand but what the caller hands over: no server, no database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from typing import Any

import msgspec

from canonical.catalogue import Catalogue
from canonical.codec import MAX_BODY_BYTES, encode
from canonical.effects import Effect, Emit, Fetch, Open, Plan, Put
from canonical.envelope import Deviation, Message
from canonical.errors import Failure, Misconfigured
from canonical.events import EVENTS, SOURCE
from canonical.facts import Facts, Known
from canonical.handler import Delivery, Handler, Package
from canonical.rules import Rules

# For translations: vendors' messages are understood without any, but for own words of somebody.
NO_RULES = Rules(plants=(), distribution=(), routes=(), central_purchasing_org="")


class Translation(msgspec.Struct, frozen=True):
    """What a message comes to.

    handler: None where nobody recognised it. message: None where it could not be read.
    failure: why there are no effects.
    """

    handler: Handler | None = None
    message: Message[Any] | None = None
    effects: tuple[Effect, ...] = ()
    failure: Failure | None = None

    @property
    def events(self) -> tuple[Emit, ...]:
        """The events it says, in order."""
        return tuple(effect for effect in self.effects if isinstance(effect, Emit))

    @property
    def ignored(self) -> tuple[str, ...]:
        """What of it nobody reads, by its path."""
        return self.message.ignored if self.message else ()

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """Where it is not as its format wants it."""
        return self.message.deviations if self.message else ()

    @property
    def counted(self) -> Mapping[str, int]:
        """How much of it nobody reads, in the words of its driver, as the service counts it."""
        return self.handler.ignored(self.message) if self.handler and self.message else {}

    @property
    def cases(self) -> tuple[Open, ...]:
        """What of it a person has to look at."""
        return tuple(effect for effect in self.effects if isinstance(effect, Open))


class Followed(msgspec.Struct, frozen=True):
    """What the flows make of events: plans, cases, and what they refuse; and what is read of which
    the messages tell no more than the key, each with its system."""

    plans: tuple[Plan, ...] = ()
    reads: tuple[Fetch, ...] = ()
    cases: tuple[Open, ...] = ()
    failures: tuple[Failure, ...] = ()


@dataclass(slots=True)
class _Documents:
    """What has been put so far; an older statement changes nothing, as in the service."""

    known: dict[str, Known] = field(default_factory=dict)
    _orders: dict[str, tuple[int, int]] = field(default_factory=dict)

    def put(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if not isinstance(effect, Put):
                continue
            order = effect.version, effect.stated or 0
            if order >= self._orders.get(effect.key, order):
                before = self.known.get(effect.key)
                version = before.version + 1 if before else 1
                self.known[effect.key] = Known(version, effect.document)
                self._orders[effect.key] = order


def contracts_of(catalogue: Catalogue) -> tuple[str, ...]:
    """Every message type of a vendor that somebody translates."""
    return tuple(message_type for who, message_type in catalogue.handlers if who != SOURCE)


def delivery_of(body: bytes, *, source: str, attributes: Mapping[str, str]) -> Delivery:
    """The content as a source sends it: by reference where it is too large for a message."""
    if len(body) <= MAX_BODY_BYTES:
        return Delivery(source, "", body, attributes=attributes)
    package = Package(len(body), hashlib.sha256(body).digest(), lambda: BytesIO(body))
    return Delivery(source, "", b"", attributes=attributes, package=package)


def translate(
    delivery: Delivery,
    *,
    catalogue: Catalogue,
    contracts: Sequence[str],
    now: datetime,
    rules: Rules = NO_RULES,
) -> Translation:
    """What the service makes of the delivery if it knows nothing yet.

    rules: where they have own words of its source.
    """
    found = Translation()
    try:
        handler = catalogue.recognise(contracts, delivery)
        found = Translation(handler)
        message = handler.read(delivery)
        found = Translation(handler, message)
        effects = _decided(handler, message, Facts(rules), now)
    except Failure as failure:
        return msgspec.structs.replace(found, failure=failure)
    return Translation(handler, message, effects)


def follow(
    translations: Sequence[Translation],
    *,
    catalogue: Catalogue,
    rules: Rules,
    reads_from: Mapping[str, str],
    now: datetime,
) -> Followed:
    """What the flows make of the events, each planned on all that these messages state.

    The order of the messages makes no difference, as the service plans anew when a fact comes.
    reads_from: by source, the system that it speaks of; one that is not in it speaks of itself.
    """
    documents = _Documents()
    planners: list[tuple[Handler, Message[Any]]] = []
    for translation in translations:
        documents.put(translation.effects)
        for handler, message in _heard(_with_origin(translation, reads_from), catalogue):
            try:
                effects = _decided(handler, message, Facts(rules, documents.known), now)
            except Misconfigured:
                raise
            except Failure:
                planners.append((handler, message))
                continue
            documents.put(effects)
            if any(not isinstance(effect, Put) for effect in effects):
                planners.append((handler, message))
    planned = _planned(planners, Facts(rules, documents.known), now)
    reads = tuple(fetch for one in translations for fetch in _reads(one, reads_from))
    return msgspec.structs.replace(planned, reads=reads)


def _with_origin(translation: Translation, reads_from: Mapping[str, str]) -> Iterator[Emit]:
    source = _source(translation)
    return (event.coming_from(reads_from.get(source, source)) for event in translation.events)


def _reads(translation: Translation, reads_from: Mapping[str, str]) -> Iterator[Fetch]:
    """Its reads where it is known whom to ask; the others nobody makes."""
    system = reads_from.get(_source(translation), "")
    for effect in translation.effects:
        if isinstance(effect, Fetch) and (effect.system or system):
            yield msgspec.structs.replace(effect, system=effect.system or system)


def _source(translation: Translation) -> str:
    return translation.message.envelope.source if translation.message else ""


def _planned(
    planners: Iterable[tuple[Handler, Message[Any]]], facts: Facts, now: datetime
) -> Followed:
    effects: list[Effect] = []
    failures: list[Failure] = []
    for handler, message in planners:
        try:
            effects += _decided(handler, message, facts, now)
        except Failure as failure:
            failures.append(failure)
    return Followed(
        plans=tuple(effect for effect in effects if isinstance(effect, Plan)),
        cases=tuple(effect for effect in effects if isinstance(effect, Open)),
        failures=tuple(failures),
    )


def _heard(events: Iterable[Emit], catalogue: Catalogue) -> Iterator[tuple[Handler, Message[Any]]]:
    """Each event as the flow that listens to it reads it, from the bytes that would be sent."""
    for event in events:
        handler = catalogue.handlers.get((SOURCE, event.event))
        if handler is not None:
            attributes = {
                "id": f"{event.event}/{event.key}",
                "source": SOURCE,
                "type": EVENTS[event.event].type,
                "subject": event.key,
            }
            body = encode(event.data)
            yield handler, handler.read(Delivery(SOURCE, event.event, body, attributes=attributes))


def _decided(
    handler: Handler, message: Message[Any], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    # What it asks for is in the facts or nowhere; asking may refuse the message all the same.
    handler.needs(message, facts)
    return handler.decide(message, facts, now)
