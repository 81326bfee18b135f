"""Objects of which an event told no more than the key: how each is read, and what its answer is.

What a read brings back is handed on as it came; `inbound` translates it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from canonical.codec import encode
from canonical.connector import Answer, Observed, Present
from canonical.errors import Misconfigured
from canonical.exchange import Request, Response
from canonical.item_master import item_master_key
from canonical.operations import ReadObject
from canonical.order import order_key
from handlers.systems.answers import printable
from handlers.systems.s4 import odata
from handlers.systems.s4.compare import same_id, text_of
from handlers.systems.s4.native_read import Material, Order, OrderItem, OrderScheduleLine
from handlers.systems.s4.product import SERVICE as PRODUCT_SERVICE

ORDER_SERVICE = "API_PURCHASEORDER_PROCESS_SRV"

ORDER_ANSWER = "s4.purchase-order"
PRODUCT_ANSWER = "s4.product"

# Everything of an item and its schedule line is 4.5 kB and more; what is read of them, 1.6.
_ORDER_FIELDS = (
    *odata.fields(Order),
    *(f"to_PurchaseOrderItem/{name}" for name in odata.fields(OrderItem)),
    *(f"to_PurchaseOrderItem/to_ScheduleLine/{name}" for name in odata.fields(OrderScheduleLine)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """An object that can be read by the key an event tells.

    event: its word in the type of an event; id_field: its key, in events and in the entity.
    options: query options of the read. check: raises where the answer is not whole.
    """

    name: str
    event: str
    id_field: str
    key: Callable[[str], str]
    answer: str
    service: str
    entity_set: str
    options: dict[str, str]
    content: type[Any]
    check: Callable[[Any], None]


def _check_order(order: Order) -> None:
    for item in odata.whole(order.to_PurchaseOrderItem):
        odata.whole(item.to_ScheduleLine)


def _check_material(material: Material) -> None:
    odata.whole(material.to_Description)
    odata.whole(material.to_ProductUnitsOfMeasure)
    odata.whole(material.to_Plant)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name="purchase-order",
            event="purchaseorder",
            id_field="PurchaseOrder",
            key=order_key,
            answer=ORDER_ANSWER,
            service=ORDER_SERVICE,
            entity_set="A_PurchaseOrder",
            options={
                "expand": "to_PurchaseOrderItem,to_PurchaseOrderItem/to_ScheduleLine",
                "select": ",".join(_ORDER_FIELDS),
            },
            content=Order,
            check=_check_order,
        ),
        Kind(
            name="product",
            event="product",
            id_field="Product",
            key=item_master_key,
            answer=PRODUCT_ANSWER,
            service=PRODUCT_SERVICE,
            entity_set="A_Product",
            # Nothing is selected: a release that lacks one of the fields would refuse the read.
            options={"expand": "to_Description,to_ProductUnitsOfMeasure,to_Plant"},
            content=Material,
            check=_check_material,
        ),
    )
}


def observe(asked: ReadObject) -> Request:
    """The read of the object by the key that the event told."""
    kind = _kind(asked)
    path = odata.address(kind.service, kind.entity_set, **{kind.id_field: asked.id})
    return odata.get(path, **kind.options)


def read(asked: ReadObject, response: Response) -> Observed:
    """The answer to hand on: the object, whole, or that the target has none of that number."""
    kind = _kind(asked)
    held = odata.read_one(response, kind.content)
    if held is None:
        gone = encode({"gone": True, "id": asked.id})
        return Present(equal=True, answer=Answer(kind.answer, asked.key, gone))
    found = text_of(getattr(held, kind.id_field))
    if not same_id(found, asked.id):
        raise Misconfigured(
            "answer-about-another",
            f"Asked for {asked.kind} {printable(asked.id)}, answered about another one",
            where=kind.id_field,
        )
    kind.check(held)
    answer = Answer(kind.answer, asked.key, response.body)
    return Present(equal=True, reference=found, etag=odata.etag_of(held), answer=answer)


def _kind(asked: ReadObject) -> Kind:
    kind = KINDS.get(asked.kind)
    if kind is None:
        raise Misconfigured(
            "object-unreadable",
            f"S/4HANA is not read for objects of kind {asked.kind!r}, only {', '.join(KINDS)}",
            where=asked.key,
            remedy="Name the system that holds them in `reads_from` of the source",
        )
    return kind
