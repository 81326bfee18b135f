"""An event that states an object becomes its document, with the order of its statements."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.bom import Bom
from canonical.change import ChangeMasterState, ListedObject
from canonical.codec import encode
from canonical.effects import Put
from canonical.events import EVENTS
from canonical.facts import Facts
from canonical.handler import Delivery, Handler
from canonical.item import Item
from canonical.order import OrderConfirmation, PurchaseOrder
from canonical.sourcing import Coverage
from canonical.supplier import Supplier
from handlers.flows.master_data import (
    BOM_RELEASED,
    CHANGE_MASTER_CHANGED,
    CONFIRMATION_ACCEPTED,
    CONFIRMATION_BACKORDERED,
    CONFIRMATION_CHANGED,
    CONFIRMATION_REJECTED,
    ITEM_RELEASED,
    ORDER_CHANGED,
    ORDER_CREATED,
    SOURCING_CHANGED,
    SUPPLIER_CHANGED,
)
from tests.fixtures.gearbox import RULES, bom, covered, item, line, supplier

Document = Item | Bom | Supplier | Coverage | PurchaseOrder | OrderConfirmation | ChangeMasterState

CONFIRMED = (
    CONFIRMATION_ACCEPTED,
    CONFIRMATION_CHANGED,
    CONFIRMATION_BACKORDERED,
    CONFIRMATION_REJECTED,
)

RELEASED = datetime(2024, 3, 4, 10, 0, 0, 250_000, tzinfo=UTC)
STATED = datetime(2024, 3, 4, 10, 5, tzinfo=UTC)
# Seconds of 1970 until then, written out.
RELEASED_US, STATED_US = 1_709_546_400_250_000, 1_709_546_700_000_000
NOW = datetime(2030, 1, 1, tzinfo=UTC)

HANDLERS: list[tuple[Handler, Document, str]] = [
    (ITEM_RELEASED, item("PIN"), "item/PIN"),
    (BOM_RELEASED, bom("ARM", line("PIN")), "bom/ARM"),
    (SUPPLIER_CHANGED, supplier("S-1"), "supplier/S-1"),
    (SOURCING_CHANGED, covered("PIN"), "coverage/PIN"),
]


def at(document: Document, **times: datetime | None) -> Any:
    """The document with these times."""
    return msgspec.structs.replace(document, **times)


def put(handler: Handler, document: Document, *, key: str = "item/PIN") -> Put:
    """What the handler stores of the event as it travels: encoded, with its attributes."""
    attributes = {"type": EVENTS[handler.types[0]].type, "id": "1", "subject": key}
    delivery = Delivery("layshaft", "", encode(document), attributes=attributes)
    message = handler.read(delivery)
    item_of_bom = {f"item/{document.parent}"} if isinstance(document, Bom) else set()
    assert handler.needs(message, Facts(RULES)) == {key, *item_of_bom}
    effect, *_ = handler.decide(message, Facts(RULES), NOW)
    assert isinstance(effect, Put)
    return effect


@pytest.mark.parametrize(("handler", "document", "key"), HANDLERS)
def test_the_document_is_stored_whole_under_the_key_of_its_object(
    handler: Handler, document: Document, key: str
) -> None:
    stated = at(document, stated_at=STATED)
    assert put(handler, stated, key=key) == Put(key, STATED_US, stated, STATED_US)


@pytest.mark.parametrize(("handler", "document", "key"), HANDLERS[:2])
def test_items_and_boms_are_ordered_by_release_and_then_by_statement(
    handler: Handler, document: Document, key: str
) -> None:
    effect = put(handler, at(document, released_at=RELEASED, stated_at=STATED), key=key)
    assert (effect.version, effect.stated) == (RELEASED_US, STATED_US)


def test_a_document_without_any_time_is_older_than_everything() -> None:
    effect = put(ITEM_RELEASED, item("PIN"))
    assert (effect.version, effect.stated) == (0, 0)


def test_an_older_revision_that_is_stated_later_stays_older() -> None:
    older = at(item("PIN", label="A"), released_at=RELEASED, stated_at=STATED + timedelta(days=9))
    newer = at(item("PIN"), released_at=RELEASED + timedelta(days=1), stated_at=STATED)
    first, second = put(ITEM_RELEASED, older), put(ITEM_RELEASED, newer)
    assert (first.version, first.stated) < (second.version, second.stated)


@pytest.mark.parametrize(
    ("handler", "document", "key"),
    [
        (ORDER_CREATED, PurchaseOrder("1", 7, "S-1", "EUR", ()), "purchase-order/1"),
        (ORDER_CHANGED, PurchaseOrder("1", 7, "S-1", "EUR", ()), "purchase-order/1"),
        *(
            (handler, OrderConfirmation("1", 7, ()), "order-confirmation/1")
            for handler in CONFIRMED
        ),
    ],
)
def test_orders_and_confirmations_are_ordered_by_their_own_version(
    handler: Handler, document: PurchaseOrder | OrderConfirmation, key: str
) -> None:
    stated = msgspec.structs.replace(document, stated_at=STATED)
    assert put(handler, stated, key=key) == Put(key, 7, stated, STATED_US)


def test_a_change_as_an_erp_holds_it_is_stored_whole_and_ordered_by_its_own_version() -> None:
    key = "change-master/ECO-7"
    listed = (ListedObject("item", "PIN"), ListedObject("bom", "ARM", "1010", "1", is_locked=True))
    held = ChangeMasterState("ECO-7", 7, status="active", objects=listed, stated_at=STATED)
    assert put(CHANGE_MASTER_CHANGED, held, key=key) == Put(key, 7, held, STATED_US)


MOMENTS = st.timedeltas(timedelta(days=-7000), timedelta(days=80_000)).map(NOW.__add__)


@given(MOMENTS, MOMENTS)
def test_statements_are_ordered_as_their_times_to_the_microsecond(
    left: datetime, right: datetime
) -> None:
    earlier = put(ITEM_RELEASED, at(item("PIN"), stated_at=left)).order[1]
    later = put(ITEM_RELEASED, at(item("PIN"), stated_at=right)).order[1]
    assert later - earlier == (right - left) // timedelta(microseconds=1)
