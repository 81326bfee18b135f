"""The smallest business that goes the whole path: an order becomes an event of ours, the event a
plan of one call, the call a row at the target.

Its sender says everything about an order: the key it belongs to, its version, the id of the effect
it is to have, the lane to take, and the fault its handler is to run into.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime

import msgspec

from canonical.catalogue import Catalogue
from canonical.codec import decode_json, encode
from canonical.connector import Absent, Confirmed, Driver, Observed, Present, Write
from canonical.effects import Effect, Emit, Plan, Step
from canonical.envelope import Envelope, Lane, Message
from canonical.errors import Conflict, InvalidMessage, Rejected, Unavailable
from canonical.events import EVENTS, SOURCE
from canonical.exchange import Request, Response
from canonical.facts import Facts
from canonical.handler import Delivery, Handler, no_needs
from canonical.handler import Order as OrderPolicy
from canonical.operations import ExtendToPlant

CONTRACT = "fault.order"
KIND = "order"
URGENT_KIND, BULK_KIND = "urgent-order", "bulk-order"
"""Kinds of a source that takes other lanes than the standard one, where a test wants one."""
EVENT = "supplier.changed"
SYSTEM = "erp"
UNFINISHED_RULES = "1000"
"""The purchasing organisation of rules that somebody has still to complete."""


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message of a source. fault: "abort" (the process dies of it), "refuse" (a business
    rule), "unruled" (refused while the rules name the first purchasing organisation), "invalid",
    "defect"; not_before: seconds since 1970 until which it cannot be decided; padding: weight;
    is_note: it is only to be taken note of, nothing follows from it."""

    id: str
    key: str
    version: int
    effect_id: str
    lane: Lane = "standard"
    fault: str = ""
    not_before: float = 0.0
    padding: str = ""
    is_note: bool = False


class Wanted(msgspec.Struct, frozen=True):
    """What has to become true at the target; content of the event and of the target's row."""

    key: str
    version: int
    effect_id: str
    lane: Lane


def _read_order(delivery: Delivery) -> Message[Order]:
    order = decode_json(delivery.body, Order)
    return Message(Envelope(order.id, delivery.source, CONTRACT, order.key), order)


def _decide_order(message: Message[Order], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    order = message.payload
    match order.fault:
        case "abort":
            os.abort()
        case "refuse":
            raise Rejected("order-refused", f"{order.effect_id} is against the rules")
        case "unruled" if facts.rules.central_purchasing_org == UNFINISHED_RULES:
            raise Rejected("order-unruled", f"{order.effect_id} is not in the rules yet")
        case "invalid":
            raise InvalidMessage("order-invalid", f"{order.effect_id} makes no sense")
        case "defect":
            raise ZeroDivisionError
    wait_s = order.not_before - now.timestamp()
    if wait_s > 0:
        raise Unavailable("not-yet", "It is too early for this order", retry_after_s=wait_s)
    if order.is_note:
        return ()
    wanted = Wanted(order.key, order.version, order.effect_id, order.lane)
    return (Emit(EVENT, order.key, wanted, order.lane),)


def _read_event(delivery: Delivery) -> Message[Wanted]:
    wanted = decode_json(delivery.body, Wanted)
    attributes = delivery.attributes
    envelope = Envelope(
        id=attributes["id"],
        source=SOURCE,
        type=EVENTS[EVENT].type,
        key=wanted.key,
        correlation_id=attributes.get("correlationid", ""),
        causation_id=attributes.get("causationid", ""),
        sequence=int(attributes["sequence"]),
    )
    return Message(envelope, wanted)


def _decide_event(message: Message[Wanted], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    """A ledger for each effect: none replaces another; the key is their common target object."""
    wanted = message.payload
    operation = ExtendToPlant(wanted.effect_id, wanted.key, "buy", "H87", str(wanted.version))
    step = Step("", SYSTEM, KIND, wanted.key, operation, lane=wanted.lane)
    return (Plan(ledger_of(wanted.effect_id), 1, f"Effect {wanted.effect_id}", (step,)),)


def ledger_of(effect_id: str) -> str:
    """Key of the ledger that makes an effect true."""
    return f"effect/{effect_id}"


ORDERS = Handler(
    name="fault-orders",
    scope="fault-order",
    types=(CONTRACT,),
    read=_read_order,
    needs=no_needs,
    decide=_decide_order,
    version=lambda message: message.payload.version,
)

EFFECTS = Handler(
    name="fault-effects",
    scope="fault-effect",
    types=(EVENTS[EVENT].type,),
    read=_read_event,
    needs=no_needs,
    decide=_decide_event,
)


# The target's protocol: it looks an effect up by its id and, asked twice, makes it twice.


def _wanted(step: Step) -> Wanted:
    assert isinstance(step.operation, ExtendToPlant)
    operation = step.operation
    return Wanted(operation.plant, int(operation.purchasing_group), operation.item, step.lane)


def _observe(step: Step) -> Request:
    return Request("GET", f"/effects/{_wanted(step).effect_id}", effectful=False)


def _read(step: Step, response: Response) -> Observed:
    match response.status:
        case 200:
            return Present(equal=response.body == encode(_wanted(step)))
        case 404:
            return Absent()
        case _:
            raise Unavailable("target-away", f"Status {response.status}")


def _write(step: Step, observed: Observed, idempotency_key: str) -> Write | None:
    headers = (("Idempotency-Key", idempotency_key), ("Content-Type", "application/json"))
    body = encode(_wanted(step))
    return Write(Request("POST", "/effects", headers=headers, body=body), completes=True)


def _confirm(step: Step, response: Response) -> Confirmed:
    match response.status:
        case 201:
            return Confirmed(reference=_wanted(step).effect_id)
        case 409:
            raise Conflict("target-conflict", "The target has other content")
        case 422:
            raise Rejected("target-refused", "The target says no")
        case _:
            raise Unavailable("target-away", f"Status {response.status}")


DRIVER = Driver(name="fault", observe=_observe, read=_read, write=_write, confirm=_confirm)

CATALOGUE = Catalogue(
    handlers={("shop", CONTRACT): ORDERS, (SOURCE, EVENT): EFFECTS},
    drivers={DRIVER.name: DRIVER},
)


def catalogue(order: OrderPolicy) -> Catalogue:
    """The business where orders wait for each other as this says; effects are strict always."""
    orders = replace(ORDERS, order=order)
    return replace(CATALOGUE, handlers={**CATALOGUE.handlers, ("shop", CONTRACT): orders})
