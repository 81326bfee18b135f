"""What a driver writes, as its target shows it afterwards, is read by the same vendor's handler as
what was written; what a message cannot carry stands here by name, with the reason.

Round trips of files stand beside their writers: packages in `test_pdx_out.py`, IDocs in
`test_idoc_out.py` and `test_idoc_out_terms.py`, rows in `test_table_out.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from canonical import item_master, purchasing, supplier_master
from canonical.bom import BomLine, PlantBom, PlantBomState, Substitute
from canonical.change import ChangeMaster, ChangeMasterState
from canonical.connector import Absent
from canonical.effects import Emit, Open
from canonical.handler import Delivery, Handler
from canonical.item import Item
from canonical.item_master import ItemMaster
from canonical.money import Money, UnitPrice
from canonical.operations import (
    Operation,
    PutBom,
    PutChangeMaster,
    PutInfoRecord,
    PutItem,
    verb,
)
from canonical.order import PurchaseOrder
from canonical.purchase_contract import PurchaseContract
from canonical.purchasing import InfoRecord, InfoRecordTerms
from canonical.quantity import ItemUnit, Quantity, Ratio
from canonical.source_list import SourceList
from canonical.supplier import Qualification, Supplier
from canonical.supplier_master import SupplierMaster
from handlers import DRIVERS
from handlers.systems.coupa import inbound as coupa
from handlers.systems.s4 import inbound as s4
from tests.fixtures.answers_of_s4 import answer
from tests.fixtures.gearbox import NOW, facts
from tests.unit.handlers import test_coupa_put_order as procured
from tests.unit.handlers import test_coupa_put_supplier as vendors
from tests.unit.handlers import test_s4 as erp
from tests.unit.handlers import test_s4_business_partner as partners
from tests.unit.handlers import test_s4_change_master as changes
from tests.unit.handlers import test_s4_placed_contract as contracts
from tests.unit.handlers import test_s4_placed_order as orders
from tests.unit.handlers import test_s4_placed_source_list as lists

OWN = "the answer has the target's own"
ELSEWHERE = "stands elsewhere at the target"
NOT_WRITTEN = "the target is not told of it"
STATED = {"version": OWN, "source_id": OWN, "stated_at": OWN}


class Trip(NamedTuple):
    """From what is known to the target and back.

    full: has a value in every field. sent: it, in the shape in which it comes back. back: what is
    read of it. lost: fields that are another afterwards, and why.
    """

    made: st.SearchStrategy[Any]
    full: Any
    sent: Callable[[Any], Any]
    back: Callable[[Any], Any]
    lost: Mapping[str, str]


def told(handler: Handler, delivery: Delivery) -> Any:
    """The one thing that is said of it; that is no case."""
    (effect,) = handler.decide(handler.read(delivery), facts(), NOW)
    assert isinstance(effect, Emit)
    return effect.data


def as_it_is(value: Any) -> Any:
    return value


# --- S/4HANA ---


def order_back(wanted: PurchaseOrder) -> Any:
    held = orders.Target(wanted).order
    return told(s4.HANDLER_ORDER, answer(f"purchase-order/{orders.ERP_NUMBER}", {"d": held}))


def contract_back(wanted: PurchaseContract) -> Any:
    held = contracts.Target(wanted).contract
    return told(s4.HANDLER_CONTRACT, answer(f"contract/{contracts.ERP_NUMBER}", {"d": held}))


def source_list_back(wanted: SourceList) -> Any:
    """Rows meet by what they are: a list is written in any order."""
    target = lists.Target(held=lists.HELD)
    target.become(wanted)
    content = {"d": {"results": target.rows}}
    return told(s4.HANDLER_SOURCE_LIST, answer("source-list/1010/SEAL/7", content))


def bom_sent(wanted: PlantBom) -> PlantBomState:
    head = wanted.plant, wanted.parent, wanted.usage, wanted.alternative
    return PlantBomState(*head, 1, wanted.base, wanted.lines, change=wanted.change)


def held(operation: Operation) -> dict[str, Any]:
    return erp.stored(operation, erp.created(operation))


def bom_back(wanted: PlantBom) -> Any:
    content = {"d": {"results": [held(PutBom(wanted))]}}
    return told(s4.HANDLER_BOM, answer(f"material-bom/1010/42/1/{wanted.parent}", content))


def item_sent(wanted: Item) -> ItemMaster:
    return ItemMaster(
        wanted.number,
        1,
        base_unit=wanted.base_unit,
        descriptions={"EN": wanted.description},
        alternates=wanted.alternates,
        gross_weight=wanted.weight,
    )


def item_back(wanted: Item) -> Any:
    content = {"d": held(PutItem(wanted)) | {"to_Plant": {"results": []}}}
    patch = told(s4.HANDLER_PRODUCT, answer(f"item-master/{wanted.number}", content))
    return item_master.merge(None, patch)


def terms_sent(wanted: InfoRecord) -> InfoRecordTerms:
    return InfoRecordTerms(
        wanted.supplier,
        wanted.item,
        wanted.purchasing_org,
        wanted.plant,
        "standard",
        1,
        order_unit=wanted.order_unit,
        base_unit=wanted.base_unit,
        order_to_base=Ratio(*wanted.order_to_base),
        purchasing_group=wanted.purchasing_group or "",
        currency=wanted.price.amount.currency,
        price=wanted.price,
        price_until=wanted.last_day,
        lead_time_days=wanted.lead_time_days,
        under_tolerance=None if wanted.under_tolerance is UNSET else wanted.under_tolerance,
        over_tolerance=None if wanted.over_tolerance is UNSET else wanted.over_tolerance,
    )


def terms_back(wanted: InfoRecord) -> Any:
    content = {"d": held(PutInfoRecord(wanted))}
    subject = "purchasing-info-record/5300000001"
    return purchasing.merge(None, told(s4.HANDLER_INFO_RECORD, answer(subject, content)))


def partner_back(wanted: SupplierMaster) -> Any:
    entity = partners.stored(wanted)
    none: dict[str, Any] = {"results": []}
    entity["to_Supplier"] |= {"to_SupplierCompany": none, "to_SupplierPurchasingOrg": none}
    entity.setdefault("to_BusinessPartnerTax", none)
    subject = f"business-partner/{entity['BusinessPartner']}"
    return supplier_master.merge(None, told(s4.HANDLER_PARTNER, answer(subject, {"d": entity})))


def change_sent(wanted: ChangeMaster) -> ChangeMasterState:
    return ChangeMasterState(
        wanted.number, 1, wanted.description, wanted.reason, wanted.valid_from, "active"
    )


def change_back(wanted: ChangeMaster) -> Any:
    none: dict[str, Any] = {"results": []}
    entity = changes.created(PutChangeMaster(wanted)) | {
        "to_ChangeMstrObMgReMaterial": none,
        "to_ChangeMstrObMgReMatlBOM": none,
    }
    subject = f"change-master/{wanted.number}"
    return told(s4.HANDLER_CHANGE_MASTER, answer(subject, {"d": entity}))


# --- Coupa ---

CHANGED = {"updated-at": "2026-03-02T11:00:00Z", "status": "issued"}


def coupa_order_back(wanted: PurchaseOrder) -> Any:
    body = procured.body_of(procured.next_write(wanted, Absent()))
    content = procured.kept({}, body) | CHANGED | {"created-at": "2026-03-01T08:00:00Z"}
    delivery = Delivery("procurement", "order", json.dumps(content).encode())
    return told(coupa.HANDLER_ORDER, delivery)


def coupa_supplier_sent(wanted: SupplierMaster) -> Supplier:
    return Supplier(
        wanted.number, wanted.name, active=True, qualification=Qualification("in_qualification")
    )


def coupa_supplier_back(wanted: SupplierMaster) -> Any:
    body = vendors.body_of(vendors.next_write(wanted, Absent()))
    content = {"id": 17, "updated-at": CHANGED["updated-at"]} | body
    delivery = Delivery("procurement", "supplier", json.dumps(content).encode())
    return told(coupa.HANDLER_SUPPLIER, delivery)


# --- what differs ---


def leaves(value: Any, where: str = "") -> Iterator[tuple[str, object]]:
    """Every value within it by its path; a price by what one unit costs, in whatever words."""
    match value:
        case UnitPrice(amount=amount, per=per):
            yield where, (Fraction(amount.amount) / Fraction(per.value), amount.currency, per.unit)
        case msgspec.Struct():
            for name in value.__struct_fields__:
                yield from leaves(getattr(value, name), f"{where}.{name}" if where else name)
        case tuple():
            yield where, len(value)
            for place, one in enumerate(value):
                yield from leaves(one, f"{where}[{place}]")
        case _:
            yield where, value


def differing(sent: Any, found: Any) -> set[str]:
    """Fields that are another, as they are named in `lost`."""
    before, after = dict(leaves(sent)), dict(leaves(found))
    return {
        re.sub(r"\[\d+\]", "[]", path)
        for path in before.keys() | after.keys()
        if before.get(path, Absent) != after.get(path, Absent)
    }


def lost_in(trip: Trip, value: Any) -> set[str]:
    """Those of the lost fields that are another; that no other one is."""
    found, sent = trip.back(value), trip.sent(value)
    assert type(found) is type(sent)
    lost: set[str] = set()
    for path in differing(sent, found):
        over = {name for name in trip.lost if f"{path}.".startswith((f"{name}.", f"{name}["))}
        assert over, f"{path}: {sent} came back as {found}"
        lost.update(over)
    return lost


# --- the table ---

WRITTEN_AS_IT_IS = st.sampled_from(["", "Seal", "Ä b"])
TEXT = "stands in a text at the target, or nowhere"
BY_CONTRACT = "an agreement of the target's has a number of its own"
PER_ORGANISATION = "of organisations nothing is written"
TRIPS: Mapping[str, Trip] = {
    "s4 put-order": Trip(
        made=st.lists(
            st.builds(
                orders.line,
                st.sampled_from(["1", "20", "40"]),
                st.just("7"),
                plant=st.sampled_from(["1010", "1020"]),
                price=st.sampled_from([orders.price(), orders.price("0.5", "1")]),
                description=WRITTEN_AS_IT_IS.filter(bool),
                supplier_item=st.sampled_from(["", "T-9"]),
                schedule=st.sampled_from(
                    [
                        (orders.on("7"),),
                        (orders.on("3"), orders.on("4", orders.LATER)),
                    ]
                ),
            ),
            min_size=1,
            max_size=3,
            unique_by=lambda one: one.line,
        ).map(lambda found: orders.order(*found)),
        full=orders.order(
            orders.line("10", revision="B", contract="C-1"),
            kind="NB",
            payment_terms="NT30",
            total=Money(Decimal("12.50"), "EUR"),
            source_id="x",
            stated_at=NOW,
            origin="erp-2",
        ),
        sent=as_it_is,
        back=order_back,
        lost=STATED
        | {
            "number": "the target numbers its orders; ours is its reference",
            "origin": OWN,
            "kind": OWN,
            "total": NOT_WRITTEN,
            "payment_terms": "those of the supplier at the target",
            "lines[].revision": NOT_WRITTEN,
            "lines[].contract": BY_CONTRACT,
        },
    ),
    "s4 put-contract": Trip(
        made=contracts.contracts,
        full=contracts.contract(
            contracts.line(
                "10",
                released=contracts.pieces("7"),
                minimum=contracts.pieces("5"),
                first_day=contracts.FIRST,
                last_day=contracts.LAST,
                is_blocked=True,
            ),
            title="Seals",
            payment_terms="NT30",
            incoterms="EXW",
            incoterms_place="Ulm",
            target_value=contracts.euros("100"),
            released_value=contracts.euros("10"),
            stated_as="published",
            source_id="x",
            stated_at=NOW,
            origin="procurement",
        ),
        sent=as_it_is,
        back=contract_back,
        lost=STATED
        | {
            "number": "the target numbers its contracts; ours is its reference",
            "origin": OWN,
            "stated_as": OWN,
            "title": NOT_WRITTEN,
            "payment_terms": "those of the supplier at the target",
            "incoterms": "those of the supplier at the target",
            "incoterms_place": "those of the supplier at the target",
            "released_value": "what the target counts",
            "lines[].released": "what the target counts",
            "lines[].minimum": NOT_WRITTEN,
            "lines[].first_day": "the contract's own days count",
            "lines[].last_day": "the contract's own days count",
        },
    ),
    "s4 put-source-list": Trip(
        made=lists.source_lists,
        full=lists.sources(
            lists.source(
                contract="C-7",
                contract_line="10",
                last_day=lists.JUNE,
                order_unit="H87",
                is_fixed=True,
                is_blocked=True,
            ),
            source_id="x",
            stated_at=NOW,
        ),
        sent=as_it_is,
        back=source_list_back,
        lost=STATED
        | {
            "origin": OWN,
            "sources[].contract": BY_CONTRACT,
            "sources[].is_fixed": "people of the target say which one is taken",
        },
    ),
    "s4 put-bom": Trip(
        made=erp.boms.map(
            lambda put: msgspec.structs.replace(
                put.bom,
                lines=tuple(
                    msgspec.structs.replace(
                        line,
                        position=str(place),
                        component=line.component.lstrip("0"),
                        substitutions=(),
                    )
                    for place, line in enumerate(put.bom.lines, 1)
                ),
            )
        ),
        full=PlantBom(
            "1010",
            "PUMP",
            "B",
            "1",
            "1",
            Quantity(Decimal(10), "H87"),
            (
                BomLine(
                    "10",
                    "SEAL",
                    Quantity(Decimal("2.5"), "H87"),
                    component_revision="A",
                    reference_designators=("R1", "R2"),
                    substitutes=("FELT",),
                    fixed=True,
                    note="Greased",
                    scrap_percent=Decimal(2),
                    first_day=date(2026, 3, 1),
                    last_day=date(2026, 12, 31),
                ),
            ),
            change="ECO-7",
        ),
        sent=bom_sent,
        back=bom_back,
        lost=STATED
        | {
            "change": "the target's number of it, where it has one",
            "lines[].component_revision": NOT_WRITTEN,
            "lines[].reference_designators": NOT_WRITTEN,
            "lines[].substitutes": "without a rank nothing is planned with them",
            "lines[].note": TEXT,
            "lines[].scrap_percent": "the plant's own",
            "lines[].first_day": "plans are made of the lines of a day",
            "lines[].last_day": "plans are made of the lines of a day",
        },
    ),
    "s4 put-item": Trip(
        made=st.builds(
            erp.item,
            st.sampled_from(["P-1", "4711", "SEAL/7 A"]),
            description=WRITTEN_AS_IT_IS.filter(bool),
            base_unit=st.sampled_from(["H87", "KGM", "MTR"]),
            alternates=st.sampled_from([(), (ItemUnit("XRO", Ratio(100)),)]),
            weight=st.none() | st.just(Quantity(Decimal("2.5"), "KGM")),
        ),
        full=erp.item("P-1", description="Pin", weight=Quantity(Decimal("2.5"), "KGM")),
        sent=item_sent,
        back=item_back,
        lost=STATED
        | {
            "kind": "of the kind and how it is procured the target makes its own word",
            "group": "one for all materials",
            "net_weight": "the weight is written as both",
        },
    ),
    "s4 put-info-record": Trip(
        made=erp.records.map(lambda put: put.record).filter(lambda one: one.lead_time_days > 0),
        full=erp.record(
            "25.00",
            "1000",
            under_tolerance=Decimal(5),
            over_tolerance=Decimal(10),
            order_to_base=(5, 2),
        ).record,
        sent=terms_sent,
        back=terms_back,
        lost=STATED
        | {
            "number": OWN,
            "base_unit": "the material's",
            "standard": "one, which the target wants to be told",
        },
    ),
    "s4 put-supplier": Trip(
        made=st.builds(
            partners.supplier,
            name=WRITTEN_AS_IT_IS.filter(bool),
            name2=WRITTEN_AS_IT_IS,
            street=WRITTEN_AS_IT_IS,
            city=WRITTEN_AS_IT_IS,
            po_box=WRITTEN_AS_IT_IS,
            country=st.sampled_from(["", "DE", "US"]),
            language=st.sampled_from(["", "DE", "EN"]),
            quality_block=st.sampled_from(["", "01"]),
            is_posting_blocked=st.booleans(),
            is_purchasing_blocked=st.booleans(),
            is_deleted=st.booleans(),
        ),
        full=partners.supplier(
            name2="Second line",
            district="Port",
            po_box="9",
            region="HH",
            language="DE",
            tax_numbers={"vat": "DE1"},
            account_group="KRED",
            group="G",
            remit_to="7",
            quality_block="01",
            companies=(supplier_master.CompanyView("1000"),),
            organisations=(supplier_master.PurchasingView("1010"),),
            source_id="x",
            stated_at=NOW,
            origin="erp-2",
        ),
        sent=as_it_is,
        back=partner_back,
        lost=STATED
        | {
            "origin": OWN,
            "tax_numbers": NOT_WRITTEN,
            "account_group": NOT_WRITTEN,
            "group": NOT_WRITTEN,
            "remit_to": NOT_WRITTEN,
            "companies": PER_ORGANISATION,
            "organisations": PER_ORGANISATION,
        },
    ),
    "s4 put-change-master": Trip(
        made=st.builds(
            ChangeMaster,
            st.sampled_from(["ECO-7", "500000000042"]),
            WRITTEN_AS_IT_IS.filter(bool),
            st.dates(date(2020, 1, 1), date(2029, 12, 31)),
            st.booleans(),
            WRITTEN_AS_IT_IS,
        ),
        full=ChangeMaster("ECO-7", "Seal the shaft", date(2026, 3, 2), True, "It leaks at 5 bar"),
        sent=change_sent,
        back=change_back,
        lost=STATED | {"stated_as": OWN, "open_to": "the kinds of objects that we write under it"},
    ),
    "coupa put-order": Trip(
        made=procured.orders,
        full=procured.order(
            procured.line(revision="B", contract="C-1"),
            source_id="x",
            stated_at=NOW,
            origin="erp",
        ),
        sent=as_it_is,
        back=coupa_order_back,
        lost=STATED
        | {
            "origin": OWN,
            "kind": NOT_WRITTEN,
            "total": NOT_WRITTEN,
            "organisation": NOT_WRITTEN,
            "lines[].revision": "a field of the instance's own, which nobody reads",
            "lines[].contract": BY_CONTRACT,
            "lines[].description": "the item's number, where there is none",
        },
    ),
    "coupa put-supplier": Trip(
        made=vendors.masters,
        full=vendors.master(),
        sent=coupa_supplier_sent,
        back=coupa_supplier_back,
        lost={
            "source_id": OWN,
            "stated_at": OWN,
            "inherits_qualification": "procurement says nothing of a qualification yet",
        },
    ),
}
# What is lost in some objects only.
SOMETIMES = {
    "s4 put-order": {"kind"},
    "coupa put-order": {"lines[].description"},
}
# Operations whose target does not come to speak of the object in a message of its own.
ONE_WAY: Mapping[str, str] = {
    "s4 extend-to-plant": "a part of the material, read with it",
    "s4 put-plant-status": "a part of the material, read with it",
    "s4 put-changed-objects": "a part of the change number, read with it",
    "coupa publish-item": "no items come from procurement",
    "coupa request-review": "no reviews come from procurement",
    "coupa close-review": "no reviews come from procurement",
    "tryton put-item": "nothing is read from Tryton but what is written there",
    "tryton put-bom": "nothing is read from Tryton but what is written there",
    "tryton put-supplier": "nothing is read from Tryton but what is written there",
    "tryton put-info-record": "nothing is read from Tryton but what is written there",
    "tryton put-order": "nothing is read from Tryton but what is written there",
    "tryton put-contract": "nothing is read from Tryton but what is written there",
}
QUESTIONS = ("read-", "report-", "reconcile")


def operations() -> set[str]:
    """All that changes an object of a target."""
    found = {f"{name} {verb(kind)}" for name, one in DRIVERS.items() for kind in one.operations}
    return {name for name in found if not name.partition(" ")[2].startswith(QUESTIONS)}


def test_every_operation_comes_back_or_goes_one_way_for_a_reason() -> None:
    assert TRIPS.keys() | ONE_WAY.keys() == operations()
    assert not TRIPS.keys() & ONE_WAY.keys()


@pytest.mark.parametrize("name", TRIPS)
@given(data=st.data())
def test_what_was_written_comes_back_but_for_what_is_lost(name: str, data: st.DataObject) -> None:
    lost_in(TRIPS[name], data.draw(TRIPS[name].made))


@pytest.mark.parametrize("name", TRIPS)
def test_what_is_said_to_be_lost_is_lost(name: str) -> None:
    trip = TRIPS[name]
    assert lost_in(trip, trip.full) == trip.lost.keys() - SOMETIMES.get(name, set())


def test_ranked_substitutes_come_back_as_lines_of_a_group_and_a_case() -> None:
    substitute = Substitute("FELT", 1)
    wanted = erp.bom(
        BomLine("10", "SEAL", Quantity(Decimal(2), "H87"), substitutions=(substitute,))
    ).bom
    content = {"d": {"results": [held(PutBom(wanted))]}}
    message = s4.HANDLER_BOM.read(answer(f"material-bom/1010/42/1/{wanted.parent}", content))
    event, case = s4.HANDLER_BOM.decide(message, facts(), NOW)
    assert isinstance(event, Emit)
    assert isinstance(event.data, PlantBomState)
    assert [line.component for line in event.data.lines] == ["SEAL", "FELT"]
    assert isinstance(case, Open)
    assert case.code == "bom-alternatives"
