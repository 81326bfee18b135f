"""Objects of which an event told no more than the key: how each is read, and what its answer is.

What a read brings back is handed on as it came; `inbound` translates it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from msgspec import UNSET

from canonical.change import change_master_key
from canonical.codec import encode
from canonical.connector import Answer, More, Observed, Present
from canonical.errors import Misconfigured
from canonical.exchange import Request, Response
from canonical.item_master import item_master_key
from canonical.operations import ReadObject
from canonical.order import order_key
from canonical.purchase_contract import contract_key
from canonical.source_list import source_list_key
from canonical.text import joined_key
from handlers.systems.answers import printable
from handlers.systems.s4 import info_record_prices, odata
from handlers.systems.s4.bill_of_material import SERVICE as BOM_SERVICE
from handlers.systems.s4.change_master import SERVICE as CHANGE_SERVICE
from handlers.systems.s4.compare import same_id, text_of, unpadded
from handlers.systems.s4.info_record_scale import CONDITION, DAYS, LINES, SUPPLEMENTS, TERMS
from handlers.systems.s4.info_record_scale import SERVICE as INFO_RECORD_SERVICE
from handlers.systems.s4.native import Entity, Offered
from handlers.systems.s4.native_read import (
    AddressUsage,
    BomState,
    BomStateItem,
    Change,
    ChangeBom,
    ChangeKind,
    ChangeMaterial,
    Contract,
    ContractItem,
    InfoRecord,
    Material,
    Order,
    OrderItem,
    OrderScheduleLine,
    OrganisationTerms,
    Partner,
    PartnerAddress,
    PartnerSupplier,
    Price,
    PriceDays,
    PriceLine,
    PriceSupplement,
    SourceRecord,
    SupplierCompany,
    SupplierOrganisation,
)
from handlers.systems.s4.product import SERVICE as PRODUCT_SERVICE
from handlers.systems.s4.words import BOM_CATEGORY, PRICE_CONDITIONS

ORDER_SERVICE = "API_PURCHASEORDER_PROCESS_SRV"
PARTNER_SERVICE = "API_BUSINESS_PARTNER"
CONTRACT_SERVICE = "API_PURCHASECONTRACT_PROCESS_SRV"
SOURCE_SERVICE = "API_PURCHASING_SOURCE_SRV"

ORDER_ANSWER = "s4.purchase-order"
PRODUCT_ANSWER = "s4.product"
PARTNER_ANSWER = "s4.business-partner"
INFO_RECORD_ANSWER = "s4.info-record"
CONTRACT_ANSWER = "s4.purchase-contract"
SOURCE_LIST_ANSWER = "s4.source-list"
BOM_ANSWER = "s4.bom"
CHANGE_MASTER_ANSWER = "s4.change-master"


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
_PRICE = (TERMS, DAYS, CONDITION)
_INFO_RECORD_FIELDS = (
    *odata.fields(InfoRecord),
    *_below(TERMS, of=OrganisationTerms),
    *_below(TERMS, DAYS, of=PriceDays),
    *_below(*_PRICE, of=Price),
    *_below(*_PRICE, SUPPLEMENTS, of=PriceSupplement),
)
_INFO_RECORD = {
    "expand": ",".join(
        (TERMS, f"{TERMS}/{DAYS}", "/".join(_PRICE), "/".join((*_PRICE, SUPPLEMENTS)))
    ),
    "select": ",".join(_INFO_RECORD_FIELDS),
}
# A release without scales of prices refuses to be asked for them: it is asked where there is one.
_WITH_SCALES = {
    "expand": ",".join((_INFO_RECORD["expand"], "/".join((*_PRICE, LINES)))),
    "select": ",".join((_INFO_RECORD["select"], *_below(*_PRICE, LINES, of=PriceLine))),
}
# Contracts name clerks and their telephones: they are not even asked for.
_CONTRACT_FIELDS = (
    *odata.fields(Contract),
    *_below("to_PurchaseContractItem", of=ContractItem),
)
# Everything of a line is 3.4 kB; what is read of it, a third.
_BOM_FIELDS = (
    *odata.fields(BomState),
    *_below("to_BillOfMaterialItem", of=BomStateItem),
)
# Changes name who made and changed them: they are not even asked for.
_CHANGE_FIELDS = (
    *odata.fields(Change),
    *_below("to_ObjTypeAssignment", of=ChangeKind),
    *_below("to_ChangeMstrObMgReMaterial", of=ChangeMaterial),
    *_below("to_ChangeMstrObMgReMatlBOM", of=ChangeBom),
)


def partner_key(number: str) -> str:
    """Order key of a business partner: the supplier that it is may have another number, which no
    event tells."""
    return f"business-partner/{number}"


def record_key(number: str) -> str:
    """Order key of an info record: its terms, which have keys of their own, are read at once, and
    no event tells whose they are."""
    return f"purchasing-info-record/{number}"


def bom_read_key(id_: str) -> str:
    """Order key of a plant's BOM by its number, which events tell instead of its usage; each usage
    has a number of its own, so order by number is order of the BOM."""
    plant, number, variant, material = id_.split("/", 3)
    return joined_key(
        "material-bom", plant, unpadded(number), unpadded(variant), unpadded(material)
    )


def _source_list_key(id_: str) -> str:
    plant, _, material = id_.partition("/")
    return source_list_key(plant, unpadded(material))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """An object that can be read by the key an event tells.

    event: its word in the type of an event; fields: its key, in events and in the entity, in the
    order in which an id joins them: only the last one may hold a slash. is_set: the object is all
    that has this key, not the entity of it. blank: fields that may be empty; fixed: what else its
    key holds. key: of an id. options: query options of the read. check: raises where an entity of
    the answer is not whole. deeper: options of another read, where an answer shows that there is
    more to ask for. owner: team that answers for what it means, as of events.
    """

    name: str
    event: str
    fields: tuple[str, ...]
    key: Callable[[str], str]
    answer: str
    service: str
    entity_set: str
    options: dict[str, str]
    content: type[Any]
    check: Callable[[Any], None]
    owner: str
    is_set: bool = False
    blank: frozenset[str] = frozenset()
    fixed: Mapping[str, str] = field(default_factory=dict)
    deeper: Callable[[Any], dict[str, str]] = lambda held: {}

    def id_of(self, *values: str) -> str:
        """The id of the object with that key; raises InvalidMessage for a slash that would make
        it another one's."""
        return joined_key(self.name, *values).removeprefix(f"{self.name}/")

    def values(self, id_: str) -> dict[str, str]:
        """The key that an id joins; raises Misconfigured where it is no id of this kind."""
        values = id_.split("/", len(self.fields) - 1)
        if len(values) != len(self.fields):
            raise Misconfigured(
                "object-unreadable",
                f"{printable(id_)} is no id of kind {self.name}: {'/'.join(self.fields)}",
                where="id",
                remedy="Have the object read anew: change it in the ERP",
            )
        return dict(zip(self.fields, values, strict=True))


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
    for price in _prices(record):
        odata.offered(price.to_PurInfoRecdSuplmntPrcgCndn, SUPPLEMENTS)
        if not _is_without_lines(price):
            odata.offered(price.to_PurgInfoPricingCndnRecdScale, LINES)


def _prices(record: InfoRecord) -> Iterator[Price]:
    for terms in odata.whole(record.to_PurgInfoRecdOrgPlantData):
        for days in odata.offered(terms.to_PurInfoRecdPrcgCndnValidity, DAYS):
            if text_of(days.ConditionType) not in PRICE_CONDITIONS:
                continue
            price = days.to_PurInfoRecdPrcgCndn
            if price is UNSET or (price is not None and price.ConditionRecord is UNSET):
                raise Misconfigured(
                    "answer-incomplete", f"{CONDITION} was not expanded", where=CONDITION
                )
            if price is not None:
                yield price


def _with_scales(record: InfoRecord) -> dict[str, str]:
    """Asked for where a price has a scale whose lines the answer does not have."""
    prices = filter(info_record_prices.has_scale, _prices(record))
    return _WITH_SCALES if any(map(_is_without_lines, prices)) else {}


def _is_without_lines(price: Price) -> bool:
    lines = price.to_PurgInfoPricingCndnRecdScale
    return not isinstance(lines, Offered) or lines.results is UNSET


def _check_contract(contract: Contract) -> None:
    odata.whole(contract.to_PurchaseContractItem)


def _check_source(row: SourceRecord) -> None:
    """It has no children."""


def _check_bom(state: BomState) -> None:
    odata.whole(state.to_BillOfMaterialItem)


def _check_change(change: Change) -> None:
    odata.whole(change.to_ObjTypeAssignment)
    odata.whole(change.to_ChangeMstrObMgReMaterial)
    odata.whole(change.to_ChangeMstrObMgReMatlBOM)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name="purchase-order",
            event="purchaseorder",
            fields=("PurchaseOrder",),
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
            owner="procurement",
        ),
        Kind(
            name="product",
            event="product",
            fields=("Product",),
            key=item_master_key,
            answer=PRODUCT_ANSWER,
            service=PRODUCT_SERVICE,
            entity_set="A_Product",
            # Nothing is selected: a release that lacks one of the fields would refuse the read.
            options={
                "expand": "to_Description,to_ProductUnitsOfMeasure,to_Plant,"
                "to_Plant/to_ProductPlantProcurement"
            },
            content=Material,
            check=_check_material,
            owner="operations",
        ),
        Kind(
            name="business-partner",
            event="businesspartner",
            fields=("BusinessPartner",),
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
            owner="operations",
        ),
        Kind(
            name="info-record",
            event="purchasinginforecord",
            fields=("PurchasingInfoRecord",),
            key=record_key,
            answer=INFO_RECORD_ANSWER,
            service=INFO_RECORD_SERVICE,
            entity_set="A_PurchasingInfoRecord",
            options=_INFO_RECORD,
            content=InfoRecord,
            check=_check_info_record,
            owner="operations",
            deeper=_with_scales,
        ),
        Kind(
            name="purchase-contract",
            event="purchasecontract",
            fields=("PurchaseContract",),
            key=contract_key,
            answer=CONTRACT_ANSWER,
            service=CONTRACT_SERVICE,
            entity_set="A_PurchaseContract",
            options={"expand": "to_PurchaseContractItem", "select": ",".join(_CONTRACT_FIELDS)},
            content=Contract,
            check=_check_contract,
            owner="procurement",
        ),
        Kind(
            name="source-list",
            event="purchasingsource",
            fields=("Plant", "Material"),
            key=_source_list_key,
            answer=SOURCE_LIST_ANSWER,
            service=SOURCE_SERVICE,
            entity_set="A_PurchasingSource",
            options={"select": ",".join(odata.fields(SourceRecord))},
            content=SourceRecord,
            check=_check_source,
            owner="operations",
            is_set=True,
        ),
        Kind(
            name="bom",
            event="billofmaterial",
            fields=("Plant", "BillOfMaterial", "BillOfMaterialVariant", "Material"),
            key=bom_read_key,
            answer=BOM_ANSWER,
            service=BOM_SERVICE,
            entity_set="MaterialBOM",
            options={"expand": "to_BillOfMaterialItem", "select": ",".join(_BOM_FIELDS)},
            content=BomState,
            check=_check_bom,
            owner="operations",
            is_set=True,
            blank=frozenset({"Plant"}),
            fixed={"BillOfMaterialCategory": BOM_CATEGORY},
        ),
        Kind(
            name="change-master",
            event="changemaster",
            fields=("ChangeNumber",),
            key=change_master_key,
            answer=CHANGE_MASTER_ANSWER,
            service=CHANGE_SERVICE,
            entity_set="A_ChangeMaster",
            options={
                "expand": "to_ObjTypeAssignment,to_ChangeMstrObMgReMaterial,"
                "to_ChangeMstrObMgReMatlBOM",
                "select": ",".join(_CHANGE_FIELDS),
            },
            content=Change,
            check=_check_change,
            owner="operations",
        ),
    )
}


def observe(asked: ReadObject) -> Request:
    """The read of the object by the key that the event told."""
    kind = _kind(asked)
    if not kind.is_set:
        return _entity(kind, asked, kind.options)
    path = odata.address(kind.service, kind.entity_set)
    key = kind.values(asked.id)
    return odata.get(path, filter=odata.equals(**key, **kind.fixed), **kind.options)


def _entity(kind: Kind, asked: ReadObject, options: dict[str, str]) -> Request:
    key = kind.values(asked.id)
    return odata.get(odata.address(kind.service, kind.entity_set, **key), **options)


def read(asked: ReadObject, response: Response, *, is_all: bool = False) -> Observed | More:
    """The answer to hand on: the object, whole, or that the target has none of that number. Of
    what is all that has a key there may be none: it is an answer as any other.

    is_all: more was asked for than at first, as the answer to that said.
    """
    kind = _kind(asked)
    if kind.is_set:
        for row in odata.read_all(response, kind.content):
            _check_about(kind, asked, row)
            kind.check(row)
        answer = Answer(kind.answer, asked.key, response.body)
        return Present(equal=True, reference=asked.id, answer=answer)
    held = odata.read_one(response, kind.content)
    if held is None:
        gone = encode({"gone": True, "id": asked.id})
        return Present(equal=True, answer=Answer(kind.answer, asked.key, gone))
    _check_about(kind, asked, held)
    kind.check(held)
    if deeper := kind.deeper(held):
        if is_all:
            raise Misconfigured(
                "answer-incomplete", "What was asked for is not there", where=deeper["expand"]
            )
        return More(_entity(kind, asked, deeper), partial(read, asked, is_all=True))
    answer = Answer(kind.answer, asked.key, response.body)
    reference = text_of(getattr(held, kind.fields[0]))
    return Present(equal=True, reference=reference, etag=odata.etag_of(held), answer=answer)


def _check_about(kind: Kind, asked: ReadObject, held: Entity) -> None:
    for name, value in kind.values(asked.id).items():
        if not same_id(text_of(getattr(held, name)), value):
            raise Misconfigured(
                "answer-about-another",
                f"Asked for {asked.kind} {printable(asked.id)}, answered about another one",
                where=name,
            )


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
