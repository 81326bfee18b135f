"""The business that is simulated: messages that say what deciding them runs into, its handlers,
and the traffic of a seed.

`plm` sends changes (strict order, one queue), `erp` states stock (whole objects, curing or latest);
both decide into events of ours about other objects, in lanes of their own choice, and those events
emit further ones. Every decision leaves a numbered record of itself: what happened, in order.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random

import msgspec

from canonical.codec import decode_json
from canonical.effects import Effect, Emit, Put
from canonical.envelope import Envelope, Lane, Message
from canonical.errors import InvalidMessage, Rejected, Unavailable
from canonical.facts import Facts
from canonical.handler import Delivery, Handler, Order
from canonical.rules import Rules
from canonical.supplier import Qualification, Supplier

LANES: tuple[Lane, ...] = ("critical", "standard", "enrichment")
RULES = Rules(plants=(), distribution=(), routes=(), central_purchasing_org="1")
PLM, ERP = "plm", "erp"
RELEASED, CANCELLED = "engineering-change.released", "approval.refused"
UNHANDLED = "engineering-change.completed"
RECORD = "supplier.changed"  # of the events that are recorded, nobody takes this one
SUBSCRIBED = frozenset({RELEASED, CANCELLED})
FAULTS = ("rejected", "invalid", "away", "bug", "unreadable", "dies", "unstorable")


class Notice(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message. n: its number in the seed.

    fault: what deciding it runs into, `away` until that second; states: the supplier document it
    states, in its version; says: events it is decided into.
    """

    n: int
    version: int | None = None
    fault: str = ""
    until_s: float = 0.0
    states: str = ""
    says: tuple[Said, ...] = ()


class Said(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event a decision emits."""

    event: str
    key: str
    lane: Lane
    notice: Notice


class Record(msgspec.Struct, frozen=True):
    """What every decision emits: that message n was decided."""

    n: int


class Sent(msgspec.Struct, frozen=True):
    """A message as its source publishes it."""

    source: str
    key: str
    notice: Notice

    @property
    def id(self) -> str:
        """Its identity at the source."""
        return f"{self.source}-{self.notice.n}"


class Died(BaseException):
    """Stands for the end of the process: nothing of ours catches it."""


class Business:
    """The handlers of one seed. mended: numbers of messages whose fault somebody repaired."""

    def __init__(self, began_at: datetime, stock_order: Order, flow_order: Order) -> None:
        self.mended: set[int] = set()
        self._began_at = began_at
        # By kind, which is the subscription too.
        self._handlers = {
            PLM: self._handler(PLM, "changes", "strict"),
            ERP: self._handler(ERP, "stock", stock_order),
            RELEASED: self._handler(RELEASED, "flow", flow_order),
            CANCELLED: self._handler(CANCELLED, "flow", "strict"),
        }

    def recognise(self, delivery: Delivery) -> Handler:
        """The handler of a delivery."""
        return self._handlers[delivery.kind]

    def handler_named(self, name: str) -> Handler:
        """The handler of a subscription."""
        return self._handlers[name]

    def _handler(self, name: str, scope: str, order: Order) -> Handler:
        return Handler(
            name=name,
            scope=scope,
            types=(name,),
            read=self._read,
            needs=_needs,
            decide=self._decider(scope),
            order=order,
            version=_version if order != "strict" else None,
        )

    def _read(self, delivery: Delivery) -> Message[Notice]:
        notice = decode_json(delivery.body, Notice)
        if notice.fault == "unreadable" and notice.n not in self.mended:
            raise InvalidMessage("toy-unreadable", "Nobody can read this")
        attributes = delivery.attributes
        number = attributes.get("sequence")
        envelope = Envelope(
            id=attributes["id"],
            source=delivery.source,
            type=delivery.kind,
            key=attributes["subject"],
            correlation_id=attributes.get("correlationid", ""),
            causation_id=attributes.get("causationid", ""),
            sequence=int(number) if number else None,
        )
        return Message(envelope, notice)

    def _decider(
        self, scope: str
    ) -> Callable[[Message[Notice], Facts, datetime], tuple[Effect, ...]]:
        def decide(message: Message[Notice], facts: Facts, now: datetime) -> tuple[Effect, ...]:
            notice = message.payload
            if notice.n not in self.mended:
                self._fail(notice, now)
            effects: list[Effect] = [
                Emit(RECORD, record_key(scope, message.envelope.key), Record(notice.n))
            ]
            effects += [Emit(s.event, s.key, s.notice, lane=s.lane) for s in notice.says]
            if notice.states:
                name = "Bolt & Co" if notice.n in self.mended else f"Bolt {notice.n % 3}"
                stated = Supplier(notice.states, name, True, Qualification("qualified"))
                effects.append(Put(f"supplier/{notice.states}", notice.version or 0, stated))
            return tuple(effects)

        return decide

    def _fail(self, notice: Notice, now: datetime) -> None:
        match notice.fault:
            case "rejected":
                raise Rejected("toy-rejected", "The toy business says no")
            case "invalid":
                raise InvalidMessage("toy-invalid", "The toy business does not understand")
            case "away" if now < self._began_at + timedelta(seconds=notice.until_s):
                raise Unavailable("toy-away", "Nobody is there")
            case "bug":
                raise ZeroDivisionError
            case "dies":
                raise Died


def record_key(scope: str, key: str) -> str:
    """The object that the decisions of a flow about one object are recorded under."""
    return f"record/{scope}/{key}"


def _needs(message: Message[Notice], facts: Facts) -> frozenset[str]:
    states = message.payload.states
    return frozenset({f"supplier/{states}"}) if states else frozenset()


def _version(message: Message[Notice]) -> int | None:
    return message.payload.version


class Traffic:
    """The messages of one seed, in the order in which their sources publish them."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._n = 0
        # Which things go wrong at all differs from seed to seed: rare mixtures become common.
        self._faults = [f for f in FAULTS if chance.random() < 0.4]
        self._fault_rate = chance.choice((0.0, 0.1, 0.3))
        self._keys = chance.randint(1, 3)
        self.sent = [self._send() for _ in range(chance.randint(4, 12))]

    def _send(self) -> Sent:
        chance = self._chance
        key = chance.randint(1, self._keys)
        if chance.random() < 0.6:
            return Sent(PLM, f"change/{key}", self._notice(depth=2))
        return Sent(ERP, f"stock/{key}", self._notice(depth=1))

    def _notice(self, depth: int) -> Notice:
        chance = self._chance
        self._n += 1
        n = self._n
        fault = ""
        if self._faults and chance.random() < self._fault_rate:
            fault = chance.choice(self._faults)
        says: tuple[Said, ...] = ()
        if depth and chance.random() < 0.7:
            says = tuple(self._said(depth - 1) for _ in range(chance.randint(1, 2)))
        return Notice(
            n=n,
            version=chance.randint(1, 8) if chance.random() < 0.8 else None,
            fault=fault,
            until_s=chance.choice((1.0, 60.0, 5_000.0)) if fault == "away" else 0.0,
            states=str(chance.randint(1, 2)) if chance.random() < 0.2 else "",
            says=says,
        )

    def _said(self, depth: int) -> Said:
        chance = self._chance
        event = chance.choices((RELEASED, CANCELLED, UNHANDLED), (5, 3, 1))[0]
        key = f"object/{chance.randint(1, self._keys)}"
        return Said(event, key, chance.choice(LANES), self._notice(depth))
