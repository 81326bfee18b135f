"""What a service understands and can write to, as one value that the runtime is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from canonical.access import Access
from canonical.connector import Driver
from canonical.errors import InvalidMessage, Misconfigured
from canonical.events import BY_TYPE, SOURCE
from canonical.handler import Delivery, Handler
from canonical.reminders import Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The rows of what is supported, and the look-ups over them.

    handlers: (who speaks, message type) -> handler; who is SOURCE for our own events.
    recognised: message types that are known by their content; of the others the sender has to say
        the type.
    drivers: word used in the configuration -> protocol of a target system. access: likewise -> how
    such systems want to know who calls, beside what is common to many.
    watches: event that a day brings about -> what is looked at for it.
    """

    handlers: Mapping[tuple[str, str], Handler]
    recognised: Mapping[str, Callable[[Delivery], bool]] = field(default_factory=dict)
    drivers: Mapping[str, Driver] = field(default_factory=dict)
    access: Mapping[str, Access] = field(default_factory=dict)
    watches: Mapping[str, Watch] = field(default_factory=dict)

    def recognise(self, contracts: Sequence[str], delivery: Delivery) -> Handler:
        """The handler of a delivery from a source with these contracts (message types).

        An event of ours says its type; everything else is known by its content, in the order of
        `contracts`, unless it says a message type, or a version of one, that is none of them: the
        content may look alike and mean something else.
        Raises: InvalidMessage if it is none of them; Misconfigured for a contract that nobody
        handles.
        """
        if tuple(contracts) == (SOURCE,):
            known = BY_TYPE.get(delivery.attributes.get("type", ""))
            handler = self.handlers.get((SOURCE, known[0].name)) if known else None
            if handler is not None:
                return handler
            raise _unknown("event-unknown", delivery, self.events)
        stated = delivery.attributes.get("type", "")
        if stated not in contracts and self._is_of_ours(stated):
            raise _unknown("contract-unknown", delivery, contracts)
        for contract in contracts:
            handler = self.translator(contract)
            looks_like_it = contract in self.recognised and self.recognised[contract](delivery)
            if looks_like_it or stated == contract:
                return handler
        raise _unknown("contract-unknown", delivery, contracts)

    def _is_of_ours(self, stated: str) -> bool:
        """Whether it is a message type, or a version of one: `shop.change`, `shop.change.v99`."""
        return any(
            stated == message_type or stated.startswith(f"{message_type}.v")
            for who, message_type in self.handlers
            if who != SOURCE
        )

    def translator(self, contract: str) -> Handler:
        """The handler of messages of that vendor type, whoever sends them.

        Raises: Misconfigured.
        """
        for (who, message_type), handler in self.handlers.items():
            if message_type == contract and who != SOURCE:
                return handler
        raise Misconfigured(
            "contract-without-handler",
            f"No handler takes messages of type {contract}",
            where=contract,
            remedy="Correct the contracts of the source in the configuration",
        )

    def handler_named(self, subscription: str) -> Handler:
        """The handler of that subscription name. Raises: Misconfigured."""
        for handler in self.handlers.values():
            if handler.name == subscription:
                return handler
        raise Misconfigured(
            "handler-unknown",
            f"No handler is called {subscription!r} any more",
            where=subscription,
            remedy="Deploy a version that has it",
        )

    @property
    def events(self) -> tuple[str, ...]:
        """Events of ours that a flow consumes."""
        return tuple(event for who, event in self.handlers if who == SOURCE)


def _unknown(code: str, delivery: Delivery, known: Sequence[str]) -> InvalidMessage:
    return InvalidMessage(
        code,
        f"The content is none of what {delivery.source} may send: {', '.join(known)}",
        where=f"kind {delivery.kind[:80]!r}" if delivery.kind else "content",
        remedy="Check what was sent: it begins like none of them. A new kind has to be added to the"
        " contract first",
    )
