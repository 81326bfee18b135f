"""S/4HANA's business events, which tell no more than a key, and what is read back after them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, ClassVar, TypeVar

import msgspec

from canonical.bom import plant_bom_key
from canonical.change import change_master_key
from canonical.codec import decode_foreign, required
from canonical.effects import Effect, Emit, Fetch, Open
from canonical.envelope import Envelope, Message
from canonical.errors import InvalidMessage
from canonical.facts import Facts
from canonical.handler import Delivery, Form, Handler, no_needs
from canonical.item_master import item_master_key
from canonical.manners import of_id
from canonical.members import EVERY_OTHER, Foreign
from canonical.order import PurchaseOrder, order_key
from canonical.own_words import OwnWords
from canonical.purchase_contract import PurchaseContract, contract_key
from canonical.purchasing import info_record_key
from canonical.source_list import source_list_key
from canonical.supplier_master import supplier_master_key
from canonical.text import normalise_id
from handlers.systems.answers import printable
from handlers.systems.brought import answer_form, read_brought
from handlers.systems.s4.change_state import to_change_master
from handlers.systems.s4.compare import same_id, text_of, unpadded
from handlers.systems.s4.info_record_terms import to_patches
from handlers.systems.s4.native import Children
from handlers.systems.s4.native_read import (
    BomState,
    Change,
    Contract,
    InfoRecord,
    Material,
    Order,
    Partner,
    ReadBack,
    SourceRecord,
)
from handlers.systems.s4.plant_bom import to_bom
from handlers.systems.s4.product_master import to_patch as to_item_patch
from handlers.systems.s4.purchase_contract import referred_contract, to_contract
from handlers.systems.s4.purchase_order import is_placed, referred_order, to_order
from handlers.systems.s4.read_back import (
    BOM_ANSWER,
    CHANGE_MASTER_ANSWER,
    CONTRACT_ANSWER,
    INFO_RECORD_ANSWER,
    KINDS,
    ORDER_ANSWER,
    PARTNER_ANSWER,
    PRODUCT_ANSWER,
    SOURCE_LIST_ANSWER,
    Kind,
    bom_read_key,
    partner_key,
    record_key,
)
from handlers.systems.s4.source_list import to_source_list
from handlers.systems.s4.supplier_master import supplier_of
from handlers.systems.s4.supplier_master import to_patch as to_supplier_patch
from handlers.systems.s4.values import key, prose
from handlers.systems.timestamps import header_deviations, microseconds, parse_timestamp

H = TypeVar("H")

TYPE = "s4.event"

# sap.s4.beh.<object>.v1.<Object>.<Verb>.v1
_PREFIX = "sap.s4.beh."
_KIND_OF = {kind.event: kind for kind in KINDS.values()}


class _Key(Foreign, frozen=True):
    """What an event says of its object."""

    manners: ClassVar = {EVERY_OTHER: of_id}


def _told(kind: Kind) -> type[msgspec.Struct]:
    """What an event says of an object: its key, as far as it has to say it, and what is fixed."""
    may_be_missing = {*kind.blank, *kind.fixed}
    names = (*kind.fields, *kind.fixed)
    return msgspec.defstruct(
        f"{kind.name.title().replace('-', '')}Key",
        [
            *((name, str) for name in names if name not in may_be_missing),
            *((name, str, "") for name in names if name in may_be_missing),
        ],
        bases=(_Key,),
        frozen=True,
        namespace={"__doc__": f"The key of an object of kind {kind.name}, by which it is read."},
    )


_TOLD = {kind.name: _told(kind) for kind in KINDS.values()}


# --- events ---


def recognises(delivery: Delivery) -> bool:
    """Whether it calls itself a business event of S/4HANA."""
    return delivery.attributes.get("type", "").startswith(_PREFIX)


def read_event(delivery: Delivery) -> Message[Fetch]:
    """The read that the event asks for, about the object of its key. What happened to it does not
    count: the read tells what is.

    Raises: InvalidMessage for an object that is not read, and for data without its key.
    """
    attributes = delivery.attributes
    kind = _kind_of(attributes.get("type", ""))
    told, ignored, deviations = decode_foreign(delivery.body, _TOLD[kind.name], where="data")
    _check_fixed(kind, told)
    number = kind.id_of(*(_key_field(kind, name, told) for name in kind.fields))
    stated = attributes.get("time", "")
    envelope = Envelope(
        id=required(attributes, "id"),
        source=delivery.source,
        type=TYPE,
        key=kind.key(unpadded(number)),
        time=parse_timestamp(stated, where="ce-time") if stated else None,
        correlation_id=attributes.get("correlationid", ""),
        causation_id=attributes.get("causationid", ""),
        traceparent=attributes.get("traceparent", ""),
    )
    deviations = (*header_deviations(attributes), *deviations)
    return Message(envelope, Fetch(kind.name, number), ignored, deviations)


def _key_field(kind: Kind, name: str, told: msgspec.Struct) -> str:
    stated = _text(name, told)
    if not stated.strip() and name in kind.blank:
        return ""
    return normalise_id(stated, where=f"data: {name}")


def _text(name: str, told: msgspec.Struct) -> str:
    return str(getattr(told, name))


def _check_fixed(kind: Kind, told: msgspec.Struct) -> None:
    """An event without the field is taken: the read asks for it by its value."""
    for name, value in kind.fixed.items():
        stated = _text(name, told)
        if stated not in ("", value):
            raise InvalidMessage(
                "s4-event-unknown",
                f"Nobody reads the object of an event whose {name} is {stated[:10]!r}",
                where=f"data: {name}",
                remedy=f"Nothing has to be done: only objects of {name} {value} are read",
            )


def decide_event(message: Message[Fetch], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    """The object is read."""
    return (message.payload,)


def _kind_of(stated: str) -> Kind:
    name = stated.removeprefix(_PREFIX).partition(".")[0]
    kind = _KIND_OF.get(name) if stated.startswith(_PREFIX) else None
    if kind is None:
        raise InvalidMessage(
            "s4-event-unknown",
            f"Nobody reads the object of an event {stated[:80]!r}",
            where="ce-type",
            remedy="Subscribe to events of " + ", ".join(sorted(_KIND_OF)) + " only",
        )
    return kind


# --- answers ---


def read_order(delivery: Delivery) -> Message[ReadBack[Order]]:
    """The order that was read; raises InvalidMessage for content that is no such answer."""
    return _message(delivery, ORDER_ANSWER, ReadBack[Order])


def read_product(delivery: Delivery) -> Message[ReadBack[Material]]:
    """The material that was read; raises InvalidMessage for content that is no such answer."""
    return _message(delivery, PRODUCT_ANSWER, ReadBack[Material])


def read_partner(delivery: Delivery) -> Message[ReadBack[Partner]]:
    """The partner that was read; raises InvalidMessage for content that is no such answer."""
    return _message(delivery, PARTNER_ANSWER, ReadBack[Partner])


def read_info_record(delivery: Delivery) -> Message[ReadBack[InfoRecord]]:
    """The info record that was read; raises InvalidMessage for content that is no such answer."""
    return _message(delivery, INFO_RECORD_ANSWER, ReadBack[InfoRecord])


def read_contract(delivery: Delivery) -> Message[ReadBack[Contract]]:
    """The contract that was read; raises InvalidMessage for content that is no such answer."""
    return _message(delivery, CONTRACT_ANSWER, ReadBack[Contract])


def read_source_list(delivery: Delivery) -> Message[ReadBack[Children[SourceRecord]]]:
    """The rows that were read; raises InvalidMessage for content that is no such answer."""
    return _message(delivery, SOURCE_LIST_ANSWER, ReadBack[Children[SourceRecord]])


def read_bom(delivery: Delivery) -> Message[ReadBack[Children[BomState]]]:
    """The states that were read; raises InvalidMessage for content that is no such answer."""
    return _message(delivery, BOM_ANSWER, ReadBack[Children[BomState]])


def read_change_master(delivery: Delivery) -> Message[ReadBack[Change]]:
    """The change number that was read; raises InvalidMessage for content that is no such answer."""
    return _message(delivery, CHANGE_MASTER_ANSWER, ReadBack[Change])


def own_document(message: Message[Any], facts: Facts) -> frozenset[str]:
    """The document of what was read."""
    return frozenset({message.envelope.key})


def order_documents(message: Message[ReadBack[Order]], facts: Facts) -> frozenset[str]:
    """The document of the order that was read, and of the one that it refers to."""
    order = message.payload.d
    referred = referred_order(order) if order is not None else ""
    return own_document(message, facts) | (frozenset({order_key(referred)} if referred else ()))


def decide_order(
    message: Message[ReadBack[Order]], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """The order as the supplier has it: created where it is not known. Nothing is said of one that
    is still to be completed or approved, nor of one that was placed elsewhere and is on record
    under its number there.

    Raises: InvalidMessage for what of it cannot be understood.
    """
    order = message.payload.d
    if order is None:
        return _gone(message.envelope.key, facts, "purchase order", "purchasing")
    _check_subject(message, order_key(key(order.PurchaseOrder, where="PurchaseOrder")))
    if not is_placed(order) or _is_of_another(order, facts):
        return ()
    is_known = _is_known(message.envelope.key, facts)
    event = "purchase-order.changed" if is_known else "purchase-order.created"
    stated = to_order(order, _read_at(message), _own_words(message, facts))
    return (Emit(event, message.envelope.key, stated),)


def _is_of_another(order: Order, facts: Facts) -> bool:
    """Whether it is an order on record that was put here: two orders of one purchase would go out
    to everybody. Buyers use the field for other things too: the supplier has to be the same."""
    return _has_document(order_key(referred_order(order)), order.Supplier, facts)


def _has_document(referred: str, supplier: object, facts: Facts) -> bool:
    """Whether the order or contract that one refers to is on record, with the same supplier."""
    known = facts.documents.get(referred)
    return (
        known is not None
        and isinstance(known.document, PurchaseOrder | PurchaseContract)
        and same_id(known.document.supplier, text_of(supplier))
    )


def decide_product(
    message: Message[ReadBack[Material]], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """The material as the ERP has it, and cases for what of it was left out.

    Raises: InvalidMessage where the material itself, its base unit or a number cannot be read.
    """
    material = message.payload.d
    if material is None:
        return _gone(message.envelope.key, facts, "material", "master data")
    _check_subject(message, item_master_key(key(material.Product, where="Product")))
    patch, cases = to_item_patch(material, _read_at(message), _own_words(message, facts))
    return (Emit("item.changed", message.envelope.key, patch), *cases)


def supplier_of_that_number(message: Message[ReadBack[Partner]], facts: Facts) -> frozenset[str]:
    """The document of the supplier that has the number of a partner who is gone: no answer tells
    which supplier that was."""
    return frozenset({_supplier_of_that_number(message)}) if message.payload.gone else frozenset()


def decide_partner(
    message: Message[ReadBack[Partner]], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """The supplier that the partner is, as the ERP has it, and cases for what of it was left out.
    Nothing is said of a partner that is none.

    Raises: InvalidMessage where the supplier itself or a number cannot be read.
    """
    partner = message.payload.d
    if partner is None:
        return _gone(
            _supplier_of_that_number(message),
            facts,
            "business partner",
            "master data",
            left="the supplier of that number stays on record as it was",
        )
    _check_subject(message, partner_key(key(partner.BusinessPartner, where="BusinessPartner")))
    supplier = supplier_of(partner)
    if supplier is None:
        return ()
    patch, cases = to_supplier_patch(partner, supplier, _read_at(message))
    return (Emit("supplier-master.changed", supplier_master_key(patch.number), patch), *cases)


def decide_info_record(
    message: Message[ReadBack[InfoRecord]], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """The terms of each organisation and plant, and cases for what of them was left out. One that
    is gone is a case whether it is known or not: no answer tells whose terms it had.

    Raises: InvalidMessage where supplier, material, organisation or a number cannot be read.
    """
    record = message.payload.d
    if record is None:
        left = "terms of it that are on record stay as they were"
        return (_gone_at_erp(message.envelope.key, "info record", left, "purchasing"),)
    found = key(record.PurchasingInfoRecord, where="PurchasingInfoRecord")
    _check_subject(message, record_key(found))
    patches, cases = to_patches(record, _read_at(message), _own_words(message, facts))
    events = (Emit("info-record.changed", info_record_key(patch), patch) for patch in patches)
    return (*events, *cases)


def contract_documents(message: Message[ReadBack[Contract]], facts: Facts) -> frozenset[str]:
    """The document of the contract that was read, and of the one that it refers to."""
    contract = message.payload.d
    referred = referred_contract(contract) if contract is not None else ""
    return own_document(message, facts) | (frozenset({contract_key(referred)} if referred else ()))


def decide_contract(
    message: Message[ReadBack[Contract]], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """The contract as the ERP has it. Nothing is said of one that was agreed elsewhere and is on
    record under its number there.

    Raises: InvalidMessage for what of it cannot be understood.
    """
    contract = message.payload.d
    if contract is None:
        return _gone(message.envelope.key, facts, "purchase contract", "purchasing")
    found = key(contract.PurchaseContract, where="PurchaseContract")
    _check_subject(message, contract_key(found))
    if _has_document(contract_key(referred_contract(contract)), contract.Supplier, facts):
        return ()
    stated = to_contract(contract, _read_at(message), _own_words(message, facts))
    return (Emit("contract.changed", message.envelope.key, stated),)


def decide_source_list(
    message: Message[ReadBack[Children[SourceRecord]]], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """The list as the ERP has it, which may be without rows, and cases for rows left out.

    Raises: InvalidMessage for what of it cannot be understood.
    """
    for row in _rows(message):
        found = key(row.Material, where="Material")
        _check_subject(message, source_list_key(prose(row.Plant, where="Plant"), found))
    plant, _, item = message.envelope.key.partition("/")[2].partition("/")
    own = _own_words(message, facts)
    stated, cases = to_source_list(item, plant, _rows(message), _read_at(message), own)
    return (Emit("source-list.changed", message.envelope.key, stated), *cases)


def decide_bom(
    message: Message[ReadBack[Children[BomState]]], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """The BOM as the plant builds by it on the day of the read, and cases for what a person has to
    look at. One that is gone is a case whether it is known or not: no answer tells its usage, by
    which it is known.

    Raises: InvalidMessage for what of it cannot be understood.
    """
    states = _rows(message)
    if not states:
        left = "what is on record of it stays as it was"
        return (_gone_at_erp(message.envelope.key, "BOM", left, "master data"),)
    for state in states:
        _check_subject(message, _bom_key(state))
    bom, cases = to_bom(states, _read_at(message), _own_words(message, facts))
    return cases if bom is None else (Emit("bom.changed", plant_bom_key(bom), bom), *cases)


def decide_change_master(
    message: Message[ReadBack[Change]], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """The change as the ERP holds it, and a case where its status cannot be told.

    Raises: InvalidMessage for what of it cannot be understood.
    """
    change = message.payload.d
    if change is None:
        return _gone(message.envelope.key, facts, "change number", "master data")
    found = key(change.ChangeNumber, where="ChangeNumber")
    _check_subject(message, change_master_key(found))
    stated, cases = to_change_master(change, _read_at(message))
    return (Emit("change-master.changed", message.envelope.key, stated), *cases)


def version(message: Message[Any]) -> int:
    """When it was read: a later read tells what is, whatever became of an earlier one."""
    return microseconds(_read_at(message))


def _message(delivery: Delivery, kind: str, content: type[ReadBack[H]]) -> Message[ReadBack[H]]:
    message = read_brought(delivery, kind, content)
    answer = message.payload
    if (answer.d is None) is not answer.gone:
        raise InvalidMessage(
            "answer-empty",
            "The answer tells neither what the object is nor that it is gone",
            where=kind,
            remedy="Have the object read again: change it in the ERP",
        )
    return message


def _rows(message: Message[ReadBack[Children[H]]]) -> tuple[H, ...]:
    """All that the read found; none where the answer is that there is none."""
    return message.payload.d.results if message.payload.d else ()


def _bom_key(state: BomState) -> str:
    parts = (
        prose(state.Plant, where="Plant"),
        key(state.BillOfMaterial, where="BillOfMaterial"),
        key(state.BillOfMaterialVariant, where="BillOfMaterialVariant"),
        key(state.Material, where="Material"),
    )
    return bom_read_key("/".join(parts))


def _supplier_of_that_number(message: Message[ReadBack[Partner]]) -> str:
    return supplier_master_key(message.envelope.key.partition("/")[2])


def _gone(
    document: str,
    facts: Facts,
    what: str,
    owner: str,
    *,
    left: str = "it stays on record as it was",
) -> tuple[Effect, ...]:
    """A case where the object is known; what was never known is not missed."""
    return (_gone_at_erp(document, what, left, owner),) if _is_known(document, facts) else ()


def _gone_at_erp(about: str, what: str, left: str, owner: str) -> Open:
    number = about.partition("/")[2]
    return Open(
        code="gone-at-erp",
        word="business_rule",
        what=f"The ERP has no {what} {number} any more; {left}",
        where=about,
        remedy="Find out why it was deleted or archived, and what hangs on it",
        owner=owner,
    )


def _is_known(document: str, facts: Facts) -> bool:
    return facts.version(document) > 0


def _check_subject(message: Message[Any], found: str) -> None:
    if found != message.envelope.key:
        raise InvalidMessage(
            "answer-about-another",
            f"{printable(message.envelope.key, 80)} was read, the answer is about"
            f" {printable(found, 80)}",
            where="ce-subject",
            remedy="Find out which of the two the ERP changed, and change it again",
        )


def _own_words(message: Message[Any], facts: Facts) -> OwnWords:
    return facts.rules.words_of(message.envelope.source)


def _read_at(message: Message[Any]) -> datetime:
    read_at = message.envelope.time
    assert read_at is not None  # `read_brought` has required it
    return read_at


# --- the table ---


def _event_form(kind: Kind) -> Form:
    return Form(
        what=f"That something happened to an object of kind {kind.name}, which is read",
        name=kind.event,
        content=_TOLD[kind.name],
        required=("id", "type"),
        read=("causationid",),
        type_pattern=rf"^{re.escape(_PREFIX + kind.event)}(\.|$)",
        owners=(kind.owner,),
    )


def _answer_forms(name: str, content: Any) -> tuple[Form]:
    what = f"An object of kind {name} as a read brought it back, or that it is gone"
    return (answer_form(what, content, KINDS[name].owner),)


HANDLER_EVENT = Handler(
    name="s4-event",
    scope="s4",
    types=(TYPE,),
    forms=tuple(map(_event_form, KINDS.values())),
    read=read_event,
    needs=no_needs,
    decide=decide_event,
    order="notification",
)
HANDLER_ORDER = Handler(
    name="s4-purchase-order",
    scope="s4",
    types=(ORDER_ANSWER,),
    forms=_answer_forms("purchase-order", ReadBack[Order]),
    read=read_order,
    needs=order_documents,
    decide=decide_order,
    order="curing",
    version=version,
)
HANDLER_PRODUCT = Handler(
    name="s4-product",
    scope="s4",
    types=(PRODUCT_ANSWER,),
    forms=_answer_forms("product", ReadBack[Material]),
    read=read_product,
    needs=own_document,
    decide=decide_product,
    order="curing",
    version=version,
)
HANDLER_PARTNER = Handler(
    name="s4-business-partner",
    scope="s4",
    types=(PARTNER_ANSWER,),
    forms=_answer_forms("business-partner", ReadBack[Partner]),
    read=read_partner,
    needs=supplier_of_that_number,
    decide=decide_partner,
    order="curing",
    version=version,
)
HANDLER_INFO_RECORD = Handler(
    name="s4-info-record",
    scope="s4",
    types=(INFO_RECORD_ANSWER,),
    forms=_answer_forms("info-record", ReadBack[InfoRecord]),
    read=read_info_record,
    needs=no_needs,
    decide=decide_info_record,
    order="curing",
    version=version,
)
HANDLER_CONTRACT = Handler(
    name="s4-purchase-contract",
    scope="s4",
    types=(CONTRACT_ANSWER,),
    forms=_answer_forms("purchase-contract", ReadBack[Contract]),
    read=read_contract,
    needs=contract_documents,
    decide=decide_contract,
    order="curing",
    version=version,
)
HANDLER_SOURCE_LIST = Handler(
    name="s4-source-list",
    scope="s4",
    types=(SOURCE_LIST_ANSWER,),
    forms=_answer_forms("source-list", ReadBack[Children[SourceRecord]]),
    read=read_source_list,
    needs=no_needs,
    decide=decide_source_list,
    order="curing",
    version=version,
)
HANDLER_BOM = Handler(
    name="s4-bom",
    scope="s4",
    types=(BOM_ANSWER,),
    forms=_answer_forms("bom", ReadBack[Children[BomState]]),
    read=read_bom,
    needs=no_needs,
    decide=decide_bom,
    order="curing",
    version=version,
)
HANDLER_CHANGE_MASTER = Handler(
    name="s4-change-master",
    scope="s4",
    types=(CHANGE_MASTER_ANSWER,),
    forms=_answer_forms("change-master", ReadBack[Change]),
    read=read_change_master,
    needs=own_document,
    decide=decide_change_master,
    order="curing",
    version=version,
)
