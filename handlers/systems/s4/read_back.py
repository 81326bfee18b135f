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
from handlers.systems.s4.info_record import SERVICE as INFO_RECORD_SERVICE
from handlers.systems.s4.native import Entity
from handlers.systems.s4.native_read import (
    AddressUsage,
    InfoRecord,
    Material,
    Order,
    OrderItem,
    OrderScheduleLine,
    OrganisationTerms,
    Partner,
    PartnerAddress,
    PartnerSupplier,
    SupplierCompany,
    SupplierOrganisation,
)
from handlers.systems.s4.product import SERVICE as PRODUCT_SERVICE

ORDER_SERVICE = "API_PURCHASEORDER_PROCESS_SRV"
PARTNER_SERVICE = "API_BUSINESS_PARTNER"

ORDER_ANSWER = "s4.purchase-order"
PRODUCT_ANSWER = "s4.product"
PARTNER_ANSWER = "s4.business-partner"
INFO_RECORD_ANSWER = "s4.info-record"


def _below(*path: str, of: type[Entity]) -> tuple[str, ...]:
    """The fields of an entity that stands below the one that is read, for its $select."""
    return tuple("/".join((*path, name)) for name in odata.fields(of))


# Everything of an item and its schedule line is 4.5 kB and more; what is read of them, 1.6.
_ORDER_FIELDS = (
    *odata.fields(Order),
    *_below("to_PurchaseOrderItem", of=OrderItem),
    *_below("to_PurchaseOrderItem", "to_ScheduleLine", of=OrderScheduleLine),
)
# Partners are people too: days of birth, accounts and clerks are not even asked for.
_PARTNER_FIELDS = (
    *odata.fields(Partner),
    *_below("to_Supplier", of=PartnerSupplier),
    *_below("to_Supplier", "to_SupplierCompany", of=SupplierCompany),
    *_below("to_Supplier", "to_SupplierPurchasingOrg", of=SupplierOrganisation),
    *_below("to_BusinessPartnerAddress", of=PartnerAddress),
    *_below("to_BusinessPartnerAddress", "to_AddressUsage", of=AddressUsage),
)
_INFO_RECORD_FIELDS = (
    *odata.fields(InfoRecord),
    *_below("to_PurgInfoRecdOrgPlantData", of=OrganisationTerms),
)


def partner_key(number: str) -> str:
    """Order key of a business partner: the supplier that it is may have another number, which no
    event tells."""
    return f"business-partner/{number}"


def record_key(number: str) -> str:
    """Order key of an info record: its terms, which have keys of their own, are read at once, and
    no event tells whose they are."""
    return f"purchasing-info-record/{number}"


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


def _check_partner(partner: Partner) -> None:
    for address in odata.whole(partner.to_BusinessPartnerAddress):
        odata.whole(address.to_AddressUsage)
    if partner.to_Supplier is not None:
        odata.whole(partner.to_Supplier.to_SupplierCompany)
        odata.whole(partner.to_Supplier.to_SupplierPurchasingOrg)
    elif text_of(partner.Supplier):
        raise Misconfigured(
            "answer-incomplete",
            "The partner is a supplier, of which the answer shows nothing",
            where="to_Supplier",
            remedy="Check the authorisation to read suppliers",
        )


def _check_info_record(record: InfoRecord) -> None:
    odata.whole(record.to_PurgInfoRecdOrgPlantData)


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
        Kind(
            name="business-partner",
            event="businesspartner",
            id_field="BusinessPartner",
            key=partner_key,
            answer=PARTNER_ANSWER,
            service=PARTNER_SERVICE,
            entity_set="A_BusinessPartner",
            options={
                "expand": "to_Supplier,to_Supplier/to_SupplierCompany,"
                "to_Supplier/to_SupplierPurchasingOrg,"
                "to_BusinessPartnerAddress,to_BusinessPartnerAddress/to_AddressUsage",
                "select": ",".join(_PARTNER_FIELDS),
            },
            content=Partner,
            check=_check_partner,
        ),
        Kind(
            name="info-record",
            event="purchasinginforecord",
            id_field="PurchasingInfoRecord",
            key=record_key,
            answer=INFO_RECORD_ANSWER,
            service=INFO_RECORD_SERVICE,
            entity_set="A_PurchasingInfoRecord",
            options={
                "expand": "to_PurgInfoRecdOrgPlantData",
                "select": ",".join(_INFO_RECORD_FIELDS),
            },
            content=InfoRecord,
            check=_check_info_record,
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
