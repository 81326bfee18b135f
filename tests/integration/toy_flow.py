"""A toy flow over our own events: it announces what it decided, in the order in which it did.

The taxonomy's own event names are used; a refused approval stands for a change that is cancelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

import msgspec

from broker.emission import emission
from broker.intake import Arrival
from broker.store import Position
from broker.store import outbox as outbox_rows
from broker.store.messages import delivery_of
from broker.store.outbox import Emission
from canonical.catalogue import Catalogue
from canonical.codec import decode_json, encode, required
from canonical.effects import Effect, Emit, Open, Plan
from canonical.envelope import Envelope, Lane, Message
from canonical.errors import InvalidMessage, Rejected, Unavailable
from canonical.events import SOURCE
from canonical.facts import Facts
from canonical.handler import Delivery, Handler, Order, no_needs
from tests.any_lane import any_lane
from tests.integration.toy import Bench, Wanted, step, supplier

RELEASED = "engineering-change.released"
CANCELLED = "approval.refused"
UNHANDLED = "engineering-change.completed"
CHANGE = "engineering-change/E-1"


class Notice(msgspec.Struct, frozen=True):
    """What an event of the toy flow says. fault: what reading or deciding it runs into; waits:
    suppliers its plan waits for; warns: what a person is to look at."""

    version: int | None = None
    fault: str = ""
    calls: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()
    warns: tuple[str, ...] = ()


def _read(delivery: Delivery, *, mended: bool = False) -> Message[Notice]:
    attributes = delivery.attributes
    envelope = Envelope(
        id=required(attributes, "id"),
        source=SOURCE,
        type=attributes["type"],
        key=required(attributes, "subject"),
        sequence=int(attributes["sequence"]),
    )
    notice = decode_json(delivery.body, Notice)
    if notice.fault == "unreadable" and not mended:
        raise InvalidMessage("toy-unreadable", "The toy flow cannot read this")
    if notice.fault == "bug in read" and not mended:
        raise KeyError("a bug of ours")
    return Message(envelope, notice)


def _decide(message: Message[Notice], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    notice, key = message.payload, message.envelope.key
    match notice.fault:
        case "rejected":
            raise Rejected("toy-rejected", "The toy flow says no")
        case "unavailable":
            raise Unavailable("toy-away", "Nobody is there")
        case "unstorable":
            return (Open("toy", "business_rule", "\0", key, "Look", "engineering"),)
    said = Emit("supplier.changed", "supplier/decisions", supplier("decisions"))
    wanted = [Wanted(c, "please") for c in notice.calls]
    wanted += [Wanted(w, "Known", kind="wait") for w in notice.waits]
    if not wanted:
        return (said,)
    steps = tuple(step(w, key=key) for w in wanted)
    warnings = tuple(
        Open(code, "business_rule", "Look at this", f"{key} {code}", "Look", "engineering")
        for code in notice.warns
    )
    return said, Plan(key, notice.version or 1, "Toy change", steps), *warnings


def handler(event: str, *, order: Order = "strict", mended: bool = False) -> Handler:
    """A handler of the flow. mended: faults are forgotten."""

    def decide(message: Message[Notice], facts: Facts, now: datetime) -> tuple[Effect, ...]:
        payload = message.payload
        if mended:
            payload = msgspec.structs.replace(payload, fault="")
        return _decide(Message(message.envelope, payload), facts, now)

    return Handler(
        name=f"toy-{event}",
        scope="toy-change",
        types=(event,),
        read=partial(_read, mended=mended),
        needs=no_needs,
        decide=decide,
        order=order,
        version=lambda message: message.payload.version,
    )


def flow(*, order: Order = "strict", mended: bool = False) -> Catalogue:
    """The toy flow: it takes RELEASED, with that order, and CANCELLED."""
    return Catalogue(
        handlers={
            (SOURCE, RELEASED): handler(RELEASED, order=order, mended=mended),
            (SOURCE, CANCELLED): handler(CANCELLED, mended=mended),
        }
    )


class Said(msgspec.Struct, frozen=True):
    """An event to emit."""

    event: str = RELEASED
    lane: Lane = "standard"
    notice: Notice = Notice()
    key: str = CHANGE


async def say(bench: Bench, *events: Said) -> list[Arrival]:
    """The events are emitted in this order; their deliveries, each in its lane."""
    with any_lane(*{said.event for said in events}):
        emissions = [_emission(said) for said in events]
    async with bench.database.transaction() as tx:
        await outbox_rows.emit(tx, emissions)
        rows = await tx.fetch(
            "select * from message where id = any($1::text[])", [e.id for e in emissions]
        )
        arrivals = {
            row["id"]: Arrival(
                delivery_of(row),
                row["lane"],
                f"{row['kind']}.{row['lane']}",
                logged=Position(row["at"], row["seq"]),
            )
            for row in rows
        }
    return [arrivals[e.id] for e in emissions]


def _emission(said: Said) -> Emission:
    return emission(
        said.event,
        said.key,
        encode(said.notice),
        lane=said.lane,
        correlation_id="c",
        causation_id="cause",
    )


async def decided(bench: Bench, said: Sequence[Arrival]) -> list[int]:
    """Which of these events were decided, by their place in the list, in that order."""
    ids = [arrival.delivery.attributes["id"] for arrival in said]
    causes = await bench.column(
        "select causation_id from message where key = 'supplier/decisions' order by sequence"
    )
    return [ids.index(cause) for cause in causes if cause in ids]


async def outcomes(bench: Bench, said: Sequence[Arrival]) -> list[str]:
    """What the inbox says of these events; "" where it does not know one."""
    rows = await bench.rows("select id, outcome from inbox")
    by_id = {row["id"]: row["outcome"] for row in rows}
    return [by_id.get(arrival.delivery.attributes["id"], "") for arrival in said]
