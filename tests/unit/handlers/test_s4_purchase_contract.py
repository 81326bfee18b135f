"""Purchase contracts of S/4HANA: what one that was read after an event becomes."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.effects import Effect, Emit, Fetch, Open
from canonical.errors import InvalidMessage
from canonical.facts import Facts
from canonical.handler import Delivery
from canonical.money import Money, UnitPrice
from canonical.purchase_contract import ContractLine, PurchaseContract
from canonical.quantity import Quantity
from handlers.systems.s4.inbound import HANDLER_CONTRACT, HANDLER_EVENT
from tests.fixtures.answers_of_s4 import (
    READ,
    READ_US,
    Edit,
    answer,
    assert_in_our_words,
    edited,
    mutated,
    with_fields,
    without,
)
from tests.fixtures.gearbox import NOW, RULES, facts

NUMBER = "4600000007"
KEY = f"contract/{NUMBER}"

SEALS: dict[str, Any] = {
    "PurchaseContractItem": "00010",
    "PurchasingContractDeletionCode": "",
    "PurchaseContractItemText": "Shaft seal 40",
    "Plant": "1010",
    "SupplierMaterialNumber": "T-77",
    "OrderQuantityUnit": "KAR",
    "TargetQuantity": "100.000",
    "PurgDocReleaseOrderQuantity": "1.000",
    "OrderPriceUnit": "PC",
    "ContractNetPriceAmount": "25.500",
    "DocumentCurrency": "EUR",
    "NetPriceQuantity": "100",
    "PlannedDeliveryDurationInDays": "12",
    "Material": "000000000000004711",
    "ContractItemConsumedQuantity": "40.000",
    "ContrItemConsumedQuantityUnit": "KAR",
}
PAINTING: dict[str, Any] = {
    "PurchaseContractItem": "00020",
    "PurchasingContractDeletionCode": "S",
    "PurchaseContractItemText": "Painting",
    "Plant": "",
    "Material": "",
    "OrderQuantityUnit": "",
    "TargetQuantity": "0.000",
    "ContractNetPriceAmount": "0.000",
    "PlannedDeliveryDurationInDays": "0",
}
DROPPED: dict[str, Any] = {"PurchaseContractItem": "00030", "PurchasingContractDeletionCode": "L"}
CONTRACT: dict[str, Any] = {
    "PurchaseContract": NUMBER,
    "PurchaseContractType": "MK",
    "PurchasingDocumentDeletionCode": "",
    "CreationDate": "/Date(1471305600000)/",  # 2016-08-16
    "LastChangeDateTime": "/Date(1570712345678+0000)/",
    "Supplier": "0000100042",
    "PurchasingOrganization": "1010",
    "PaymentTerms": "0001",
    "DocumentCurrency": "EUR",
    "ValidityStartDate": "/Date(1467331200000)/",  # 2016-07-01
    "ValidityEndDate": "/Date(1893369600000)/",  # 2029-12-31
    "IncotermsClassification": "EXW",
    "IncotermsTransferLocation": "Ulm",
    "IncotermsLocation1": "Ulm, gate 3",
    "PurchaseContractTargetAmount": "4000.000",
    "PurchasingProcessingStatus": "02",
    "PurchasingProcessingStatusName": "Active",
    "PurgContractIsInPreparation": False,
    "to_PurchaseContractItem": {"results": [SEALS, PAINTING, DROPPED]},
}


def item_with(**fields: object) -> Edit:
    return lambda entity: entity["to_PurchaseContractItem"]["results"][0].update(fields)


def item_without(*names: str) -> Edit:
    return lambda entity: without(*names)(entity["to_PurchaseContractItem"]["results"][0])


def effects_of(entity: dict[str, Any] | None, *known: PurchaseContract) -> tuple[Effect, ...]:
    content: dict[str, Any] = {"gone": True, "id": NUMBER} if entity is None else {"d": entity}
    message = HANDLER_CONTRACT.read(answer(KEY, content))
    assert HANDLER_CONTRACT.needs(message, Facts(RULES)) == frozenset({KEY})
    return HANDLER_CONTRACT.decide(message, facts(*known), NOW)


def said(edit: Edit = lambda entity: None) -> PurchaseContract:
    (event,) = effects_of(edited(CONTRACT, edit))
    assert isinstance(event, Emit)
    assert (event.event, event.key) == ("contract.changed", KEY)
    assert isinstance(event.data, PurchaseContract)
    return event.data


def first_line(edit: Edit = lambda entity: None) -> ContractLine:
    return said(edit).lines[0]


def cartons(number: str) -> Quantity:
    return Quantity(Decimal(number), "XCT")


def price(amount: str, currency: str, per: str, unit: str) -> UnitPrice:
    return UnitPrice(Money(Decimal(amount), currency), Quantity(Decimal(per), unit))


def test_an_event_asks_for_a_read_of_its_contract() -> None:
    attributes = {
        "id": "1fad4742",
        "source": "/default/sap.s4.beh/100200300",
        "type": "sap.s4.beh.purchasecontract.v1.PurchaseContract.Changed.v1",
    }
    delivery = Delivery(
        "erp-events", "", b'{"PurchaseContract": "4600000007"}', attributes=attributes
    )
    message = HANDLER_EVENT.read(delivery)
    assert message.envelope.key == "contract/4600000007"
    assert HANDLER_EVENT.decide(message, Facts(RULES), NOW) == (Fetch("purchase-contract", NUMBER),)


def test_a_contract_says_what_its_header_and_its_items_say() -> None:
    assert said() == PurchaseContract(
        number=NUMBER,
        version=1_570_712_345_678_000,
        supplier="100042",
        status="active",
        first_day=date(2016, 7, 1),
        last_day=date(2029, 12, 31),
        kind="quantity",
        currency="EUR",
        lines=(
            ContractLine(
                line="10",
                item="4711",
                order_unit="XCT",
                price=price("25.5", "EUR", "100", "H87"),
                target=cartons("100"),
                released=cartons("40"),
                lead_time_days=12,
                plants=("1010",),
                supplier_item="T-77",
                description="Shaft seal 40",
            ),
            ContractLine(line="20", description="Painting", is_blocked=True),
        ),
        organisation="1010",
        payment_terms="0001",
        incoterms="EXW",
        incoterms_place="Ulm, gate 3",
        target_value=Money(Decimal(4000), "EUR"),
        stated_as="Active",
        source_id=NUMBER,
        stated_at=READ,
    )


def test_both_days_of_its_validity_are_in_it() -> None:
    found = said()
    for on, lines in (
        (date(2016, 6, 30), 0),
        (date(2016, 7, 1), 1),
        (date(2029, 12, 31), 1),
        (date(2030, 1, 1), 0),
    ):
        assert len(found.lines_for("4711", plant="1010", on=on)) == lines


def test_trap_how_much_one_usually_orders_is_not_how_much_was_ordered() -> None:
    # PurgDocReleaseOrderQuantity sounds like it.
    old_release = item_without("ContractItemConsumedQuantity", "ContrItemConsumedQuantityUnit")
    assert first_line(old_release).released is None
    assert first_line(item_with(ContractItemConsumedQuantity="0.000")).released == cartons("0")
    drawn = first_line(item_with(ContractItemConsumedQuantity="100.000"))
    assert (drawn.is_drawn, first_line().is_drawn) == (True, False)


@pytest.mark.parametrize(
    ("edit", "field", "value"),
    [
        (item_with(OrderPriceUnit=""), "price", price("25.5", "EUR", "100", "XCT")),
        (item_with(NetPriceQuantity="0"), "price", price("25.5", "EUR", "1", "H87")),
        (item_with(DocumentCurrency=""), "price", price("25.5", "EUR", "100", "H87")),
        (item_with(DocumentCurrency="JPY"), "price", price("25.5", "JPY", "100", "H87")),
        (item_with(ContractNetPriceAmount="0"), "price", None),
        (item_with(ContractNetPriceAmount=None), "price", None),
        (item_with(TargetQuantity="0.000"), "target", None),
        (item_without("TargetQuantity"), "target", None),
        (item_with(ContrItemConsumedQuantityUnit=""), "released", cartons("40")),
        (item_with(ContrItemConsumedQuantityUnit="ST"), "released",
         Quantity(Decimal(40), "H87")),
        (item_with(PlannedDeliveryDurationInDays="0"), "lead_time_days", None),
        (item_with(Plant=""), "plants", ()),
        (item_with(Material=None), "item", ""),
        (item_with(PurchasingContractDeletionCode="S"), "is_blocked", True),
        (item_with(PurchasingContractDeletionCode=None), "is_blocked", False),
    ],
)  # fmt: skip
def test_a_line_says(edit: Edit, field: str, value: object) -> None:
    assert getattr(first_line(edit), field) == value


@pytest.mark.parametrize(
    ("edit", "status"),
    [
        (with_fields(PurchasingDocumentDeletionCode="L"), "ended"),
        (with_fields(PurchasingDocumentDeletionCode="X"), "ended"),
        (with_fields(PurchasingDocumentDeletionCode="S"), "suspended"),
        (with_fields(PurchasingDocumentDeletionCode="S", PurchasingProcessingStatus="03"), "draft"),
        (with_fields(PurgContractIsInPreparation=True), "draft"),
        (with_fields(PurgContractIsInPreparation=None), "active"),
        (with_fields(PurchasingProcessingStatus="03"), "draft"),
        (with_fields(PurchasingProcessingStatus="04"), "draft"),
        (with_fields(PurchasingProcessingStatus="08"), "draft"),
        (with_fields(PurchasingProcessingStatus="05"), "active"),
        (with_fields(PurchasingProcessingStatus=""), "active"),
        (without("PurchasingProcessingStatus"), "active"),
        (with_fields(PurchasingProcessingStatus="99", PurchasingDocumentDeletionCode="L"), "ended"),
    ],
)
def test_a_contract_may_be_bought_on_where_the_erp_lets_one(edit: Edit, status: str) -> None:
    assert said(edit).status == status


@pytest.mark.parametrize(
    ("edit", "kind"),
    [
        (with_fields(PurchaseContractType="WK"), "value"),
        (with_fields(PurchaseContractType="MK", PurchaseContractTargetAmount="0"), "quantity"),
        # A customer's own types are told apart by what is agreed.
        (with_fields(PurchaseContractType="ZC"), "value"),
        (with_fields(PurchaseContractType="ZC", PurchaseContractTargetAmount="0"), "blanket"),
        (with_fields(PurchaseContractType="ZC", to_PurchaseContractItem={"results": [SEALS]}),
         "quantity"),
        (with_fields(PurchaseContractType="ZC", PurchaseContractTargetAmount="0",
                     to_PurchaseContractItem={"results": []}), "blanket"),
    ],
)  # fmt: skip
def test_a_contract_is_of_a_kind(edit: Edit, kind: str) -> None:
    assert said(edit).kind == kind


@pytest.mark.parametrize(
    ("edit", "field", "value"),
    [
        (with_fields(ValidityEndDate="/Date(253402214400000)/"), "last_day", None),
        (with_fields(ValidityEndDate=None), "last_day", None),
        (with_fields(PurchaseContractTargetAmount="0.000"), "target_value", None),
        (without("IncotermsLocation1"), "incoterms_place", "Ulm"),
        (with_fields(PurchasingProcessingStatusName=""), "stated_as", "02"),
        (with_fields(LastChangeDateTime=""), "version", 1_471_305_600_000_000),
        (with_fields(LastChangeDateTime=None, CreationDate=None), "version", READ_US),
        (with_fields(to_PurchaseContractItem={"results": [DROPPED]}), "lines", ()),
    ],
)
def test_a_header_says(edit: Edit, field: str, value: object) -> None:
    assert getattr(said(edit), field) == value


@pytest.mark.parametrize(
    ("edit", "code", "where"),
    [
        (with_fields(PurchaseContract="4600000008"), "answer-about-another", "ce-subject"),
        (with_fields(PurchaseContract=None), "id-empty", "PurchaseContract"),
        (with_fields(Supplier=""), "id-empty", "Supplier"),
        (with_fields(DocumentCurrency="DEM"), "currency-unknown", "DocumentCurrency"),
        (with_fields(PurchasingProcessingStatus="99"), "contract-status-unmapped",
         "PurchasingProcessingStatus"),
        (with_fields(ValidityStartDate=None), "field-missing", "ValidityStartDate"),
        (with_fields(ValidityEndDate="2029-12-31"), "time-malformed", "ValidityEndDate"),
        (with_fields(PurchaseContractTargetAmount="4.000,00"), "number-malformed",
         "PurchaseContractTargetAmount"),
        (item_with(PurchaseContractItem=""), "id-empty", "PurchaseContractItem"),
        (item_with(OrderQuantityUnit="QQ"), "unit-unmapped", "item 10: OrderQuantityUnit"),
        (item_with(OrderPriceUnit="QQ"), "unit-unmapped", "item 10: OrderPriceUnit"),
        (item_with(TargetQuantity="1E3"), "number-malformed", "item 10: TargetQuantity"),
        (item_with(PlannedDeliveryDurationInDays="1.5"), "number-malformed",
         "item 10: PlannedDeliveryDurationInDays"),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_refused_with_its_place(
    edit: Edit, code: str, where: str
) -> None:
    with pytest.raises(InvalidMessage) as caught:
        effects_of(edited(CONTRACT, edit))
    assert caught.value.remedy
    assert (caught.value.code, caught.value.where) == (code, where)


@pytest.mark.parametrize(
    "content",
    [
        {"d": edited(CONTRACT, without("to_PurchaseContractItem"))},
        {"d": edited(CONTRACT, with_fields(to_PurchaseContractItem={"__deferred": {"uri": "x"}}))},
        {"d": None},
        {"d": CONTRACT, "gone": True},
        {},
    ],
)
def test_an_answer_that_is_not_whole_is_none(content: object) -> None:
    with pytest.raises(InvalidMessage):
        HANDLER_CONTRACT.read(answer(KEY, content))


def test_a_contract_that_is_gone_is_a_case_where_it_is_known_and_nothing_elsewhere() -> None:
    known = PurchaseContract(NUMBER, 1, "100042", "active", date(2016, 7, 1))
    assert effects_of(None) == ()
    assert effects_of(None, known) == (
        Open(
            code="gone-at-erp",
            word="business_rule",
            what="The ERP has no purchase contract 4600000007 any more; it stays on record as it"
            " was",
            where="contract/4600000007",
            remedy="Find out why it was deleted or archived, and what hangs on it",
            owner="purchasing",
        ),
    )


def test_a_later_read_is_newer_than_an_earlier_one_whatever_it_tells() -> None:
    assert HANDLER_CONTRACT.version is not None
    for content in ({"d": CONTRACT}, {"gone": True}):
        assert HANDLER_CONTRACT.version(HANDLER_CONTRACT.read(answer(KEY, content))) == READ_US


# --- whatever comes ---


@given(data=st.data())
def test_a_mutated_answer_is_understood_or_refused_in_our_words(data: st.DataObject) -> None:
    assert_in_our_words(HANDLER_CONTRACT, answer(KEY, mutated(data, {"d": CONTRACT})))


# --- contracts that were agreed elsewhere ---

AGREED = PurchaseContract("C-7", 3, "100042", "active", date(2016, 7, 1), origin="procurement")


def of_another(reference: object, *known: PurchaseContract) -> tuple[Effect, ...]:
    """What is said of the contract where it refers to that number."""
    entity = edited(CONTRACT, with_fields(CorrespncInternalReference=reference))
    message = HANDLER_CONTRACT.read(answer(KEY, {"d": entity}))
    needed = {f"contract/{one.number}" for one in known}
    assert needed <= HANDLER_CONTRACT.needs(message, Facts(RULES))
    return HANDLER_CONTRACT.decide(message, facts(*known), NOW)


def test_nothing_is_said_of_a_contract_that_is_on_record_under_its_number_elsewhere() -> None:
    assert of_another("C-7", AGREED) == ()
    assert of_another(" C-7 ", AGREED) == ()


@pytest.mark.parametrize(
    ("reference", "known"),
    [
        ("C-7", ()),
        ("C-8", ()),
        ("MILLER", ()),
        ("", ()),
        (None, ()),
        (" \u0000", ()),
        (NUMBER, (msgspec.structs.replace(AGREED, number=NUMBER),)),
        ("C-7", (msgspec.structs.replace(AGREED, supplier="100043"),)),
    ],
)
def test_any_other_contract_is_the_erps_own(
    reference: object, known: tuple[PurchaseContract, ...]
) -> None:
    (event,) = of_another(reference, *known)
    assert isinstance(event, Emit)
    assert event.key == KEY
