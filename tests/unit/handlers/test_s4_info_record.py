"""Info records of S/4HANA: what one that was read after an event becomes, organisation by
organisation."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from msgspec import UNSET

from canonical.effects import Effect, Emit, Fetch, Open
from canonical.errors import InvalidMessage
from canonical.facts import Facts
from canonical.handler import Delivery
from canonical.money import Money, UnitPrice
from canonical.purchasing import InfoRecordTermsPatch
from canonical.quantity import Quantity, Ratio
from handlers.systems.s4.inbound import HANDLER_EVENT, HANDLER_INFO_RECORD
from tests.corpus import CORPUS, golden
from tests.fixtures.gearbox import NOW, RULES, facts

SAMPLES = CORPUS / "s4"
READ_AT = "2026-03-02T11:59:58.000250+00:00"
READ = datetime(2026, 3, 2, 11, 59, 58, 250, tzinfo=UTC)
READ_US = 1_772_452_798_000_250
NUMBER = "5300000042"

Edit = Callable[[dict[str, Any]], None]

CENTRAL: dict[str, Any] = {
    "PurchasingInfoRecordCategory": "0",
    "PurchasingOrganization": "1010",
    "Plant": "",
    "IsMarkedForDeletion": False,
    "PurchasingGroup": "001",
    "Currency": "EUR",
    "MinimumPurchaseOrderQuantity": "5.000",
    "StandardPurchaseOrderQuantity": "20.000",
    "MaximumOrderQuantity": "0.000",
    "MaterialPlannedDeliveryDurn": "12",
    "OverdelivTolrtdLmtRatioInPct": "10.0",
    "UnderdelivTolrtdLmtRatioInPct": "2.5",
    "UnlimitedOverdeliveryIsAllowed": False,
    "NetPriceAmount": "25.500",
    "MaterialPriceUnitQty": "100",
    "PurchaseOrderPriceUnit": "PC",
    "PriceValidityEndDate": "/Date(1893369600000)/",  # 2029-12-31
    "IsOrderAcknRqd": True,
    "SupplierConfirmationControlKey": "0001",
}
IN_PLANT: dict[str, Any] = {
    "PurchasingInfoRecordCategory": "3",
    "PurchasingOrganization": "1010",
    "Plant": "1020",
    "IsMarkedForDeletion": True,
    "Currency": "JPY",
    "NetPriceAmount": "1500.000",
    "MaterialPriceUnitQty": "1",
    "PurchaseOrderPriceUnit": "KAR",
    "PriceValidityEndDate": "/Date(253402214400000)/",  # 9999-12-31
    "MaterialPlannedDeliveryDurn": "0",
}
RECORD: dict[str, Any] = {
    "PurchasingInfoRecord": NUMBER,
    "Supplier": "0000100042",
    "Material": "SEAL/7-A",
    "CreationDate": "/Date(1520380800000)/",  # 2018-03-07
    "LastChangeDateTime": "/Date(1570712345678+0000)/",
    "IsDeleted": False,
    "PurgDocOrderQuantityUnit": "KAR",
    "OrderItemQtyToBaseQtyNmrtr": "12",
    "OrderItemQtyToBaseQtyDnmntr": "1",
    "BaseUnit": "PC",
    "SupplierMaterialNumber": "T-77",
    "IsRegularSupplier": True,
    "to_PurgInfoRecdOrgPlantData": {"results": [CENTRAL, IN_PLANT]},
}


def of_the_sandbox() -> dict[str, Any]:
    """The sandbox's record with its terms and their price; days as the service writes them, and the
    currency that the client which read it left out. That the price has no supplements nobody told.
    """

    def day(text: str) -> str:
        return f"/Date({int(datetime.fromisoformat(text).timestamp()) * 1000})/"

    head: dict[str, Any]
    [head] = json.loads((SAMPLES / "info-record.json").read_text())
    [terms] = json.loads((SAMPLES / "info-record-terms.json").read_text())
    [days] = json.loads((SAMPLES / "info-record-price-days.json").read_text())
    price = json.loads((SAMPLES / "info-record-price.json").read_text())
    both = ("ConditionValidityStartDate", "ConditionValidityEndDate")
    price |= {name: day(price[name]) for name in (*both, "CreationDate")}
    price |= {"to_PurInfoRecdSuplmntPrcgCndn": {"results": []}}
    days |= {name: day(days[name]) for name in both} | {"to_PurInfoRecdPrcgCndn": price}
    terms |= {
        "PriceValidityEndDate": day(terms["PriceValidityEndDate"]),
        "Currency": "USD",
        "to_PurInfoRecdPrcgCndnValidity": {"results": [days]},
    }
    return head | {
        "CreationDate": day(head["CreationDate"]),
        "to_PurgInfoRecdOrgPlantData": {"results": [terms]},
    }


def edited(edit: Edit) -> dict[str, Any]:
    changed = copy.deepcopy(RECORD)
    edit(changed)
    return changed


def with_fields(**fields: object) -> Edit:
    return lambda entity: entity.update(fields)


def terms_with(**fields: object) -> Edit:
    return lambda entity: entity["to_PurgInfoRecdOrgPlantData"]["results"][0].update(fields)


def answer(content: object, subject: str = NUMBER) -> Delivery:
    attributes = {"id": "step/7/1", "subject": f"purchasing-info-record/{subject}", "time": READ_AT}
    return Delivery("erp", "", json.dumps(content).encode(), attributes=attributes)


def effects_of(entity: dict[str, Any] | None, subject: str = NUMBER) -> tuple[Effect, ...]:
    content: dict[str, Any] = {"gone": True, "id": subject} if entity is None else {"d": entity}
    message = HANDLER_INFO_RECORD.read(answer(content, subject))
    assert HANDLER_INFO_RECORD.needs(message, Facts(RULES)) == frozenset()
    return HANDLER_INFO_RECORD.decide(message, facts(), NOW)


def said(entity: dict[str, Any]) -> tuple[dict[str, InfoRecordTermsPatch], list[Open]]:
    """The patches by their keys, and the cases."""
    effects = effects_of(entity)
    patches: dict[str, InfoRecordTermsPatch] = {}
    for event in effects:
        if isinstance(event, Emit):
            assert event.event == "info-record.changed"
            assert isinstance(event.data, InfoRecordTermsPatch)
            patches[event.key] = event.data
    return patches, [case for case in effects if isinstance(case, Open)]


def first(edit: Edit) -> InfoRecordTermsPatch:
    """The terms of all plants of the organisation, where nothing is left out."""
    patches, cases = said(edited(edit))
    assert cases == []
    return next(iter(patches.values()))


def cartons(number: str) -> Quantity:
    return Quantity(Decimal(number), "XCT")


def price(amount: str, currency: str, per: str, unit: str) -> UnitPrice:
    return UnitPrice(Money(Decimal(amount), currency), Quantity(Decimal(per), unit))


def test_an_event_asks_for_a_read_of_its_record() -> None:
    attributes = {
        "id": "1fad4742",
        "source": "/default/sap.s4.beh/100200300",
        "type": "sap.s4.beh.purchasinginforecord.v1.PurchasingInfoRecord.Changed.v1",
    }
    delivery = Delivery(
        "erp-events", "", b'{"PurchasingInfoRecord": "5300000042"}', attributes=attributes
    )
    message = HANDLER_EVENT.read(delivery)
    assert message.envelope.key == "purchasing-info-record/5300000042"
    assert HANDLER_EVENT.decide(message, Facts(RULES), NOW) == (Fetch("info-record", NUMBER),)


def test_the_record_of_the_sandbox_comes_to_its_golden() -> None:
    assert json.loads((SAMPLES / "info-record.answer.json").read_text()) == {"d": of_the_sandbox()}
    found = effects_of(of_the_sandbox(), "5300000630")
    assert golden(found) == (SAMPLES / "info-record.answer.golden.json").read_text()


def test_each_organisation_and_plant_has_terms_of_its_own() -> None:
    found, cases = said(RECORD)
    assert cases == []
    assert list(found) == [
        "info-record/100042/1010//standard/SEAL/7-A",
        "info-record/100042/1010/1020/subcontracting/SEAL/7-A",
    ]


def test_terms_say_what_the_record_and_the_organisation_say() -> None:
    found = first(lambda entity: None)
    assert found == InfoRecordTermsPatch(
        supplier="100042",
        item="SEAL/7-A",
        organisation="1010",
        plant="",
        category="standard",
        version=1_570_712_345_678_000,
        number=NUMBER,
        supplier_item="T-77",
        is_regular_supplier=True,
        order_unit="XCT",
        base_unit="H87",
        order_to_base=Ratio(12),
        purchasing_group="001",
        currency="EUR",
        price=price("25.5", "EUR", "100", "H87"),
        price_until=date(2029, 12, 31),
        lead_time_days=12,
        minimum=cartons("5"),
        standard=cartons("20"),
        maximum=None,
        under_tolerance=Decimal("2.5"),
        over_tolerance=Decimal(10),
        is_over_unlimited=False,
        is_confirmation_required=True,
        confirmation_control="0001",
        is_deleted=False,
        is_deleted_here=False,
        source_id="SEAL/7-A",
        stated_at=READ,
    )


def test_trap_a_field_the_answer_lacks_is_as_it_was_and_one_of_zero_is_not_stated() -> None:
    _, found = said(RECORD)[0].values()
    assert (found.plant, found.category, found.currency) == ("1020", "subcontracting", "JPY")
    assert found.price == price("1500", "JPY", "1", "XCT")
    assert (found.price_until, found.lead_time_days) == (None, None)
    assert (found.purchasing_group, found.minimum, found.standard, found.maximum) == (UNSET,) * 4
    assert (found.under_tolerance, found.over_tolerance) == (UNSET, UNSET)
    assert (found.is_over_unlimited, found.is_confirmation_required) == (UNSET, UNSET)
    assert (found.confirmation_control, found.order_to_price) == (UNSET, UNSET)
    assert (found.is_deleted, found.is_deleted_here) == (False, True)
    # What all organisations share is said of each.
    assert (found.order_unit, found.supplier_item, found.is_regular_supplier) == (
        "XCT",
        "T-77",
        True,
    )


@pytest.mark.parametrize(
    ("edit", "field", "value"),
    [
        (with_fields(SupplierMaterialNumber=""), "supplier_item", None),
        (with_fields(PurgDocOrderQuantityUnit="", BaseUnit=None), "base_unit", UNSET),
        (with_fields(OrderItemQtyToBaseQtyNmrtr="0", OrderItemQtyToBaseQtyDnmntr="0"),
         "order_to_base", None),
        (lambda entity: entity.pop("OrderItemQtyToBaseQtyDnmntr"), "order_to_base", UNSET),
        (with_fields(OrderItemQtyToBaseQtyNmrtr="10", OrderItemQtyToBaseQtyDnmntr="4"),
         "order_to_base", Ratio(5, 2)),
        (with_fields(IsDeleted=True), "is_deleted", True),
        (terms_with(NetPriceAmount="0.000", Currency="", PurchaseOrderPriceUnit=""), "price", None),
        (terms_with(Currency="", NetPriceAmount="0"), "currency", None),
        (terms_with(PriceValidityEndDate=None), "price_until", None),
        (terms_with(UnlimitedOverdeliveryIsAllowed=True), "is_over_unlimited", True),
    ],
)  # fmt: skip
def test_a_field_says(edit: Edit, field: str, value: object) -> None:
    def without_quantities(entity: dict[str, Any]) -> None:
        edit(entity)
        terms_with(
            MinimumPurchaseOrderQuantity="0",
            StandardPurchaseOrderQuantity="0",
            MaximumOrderQuantity="0",
        )(entity)

    assert getattr(first(without_quantities), field) == value


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        ({"LastChangeDateTime": ""}, 1_520_380_800_000_000),
        ({"LastChangeDateTime": None, "CreationDate": None}, READ_US),
    ],
)
def test_terms_are_as_new_as_the_best_time_the_record_tells(
    fields: dict[str, object], version: int
) -> None:
    assert first(with_fields(**fields)).version == version


# --- what cannot be understood ---

PLACE = "info record 5300000042, to_PurgInfoRecdOrgPlantData, 1010: "


@pytest.mark.parametrize(
    ("edit", "code", "field"),
    [
        (terms_with(PurchaseOrderPriceUnit="QQ"), "unit-unmapped", "PurchaseOrderPriceUnit"),
        (terms_with(MaterialPriceUnitQty="0"), "price-unit", "MaterialPriceUnitQty"),
        (terms_with(Currency=""), "currency-unknown", "NetPriceAmount"),
    ],
)
def test_a_price_counts_whole_or_not_at_all(edit: Edit, code: str, field: str) -> None:
    patches, [case] = said(edited(edit))
    found, other = patches.values()
    assert (case.code, case.where, case.owner) == (code, PLACE + field, "master data")
    assert found.price is UNSET
    assert found.minimum == cartons("5")
    assert other.price == price("1500", "JPY", "1", "XCT")


def test_a_currency_that_is_none_is_a_case_and_so_is_its_price() -> None:
    patches, cases = said(edited(terms_with(Currency="DEM")))
    found = next(iter(patches.values()))
    assert (found.currency, found.price) == (UNSET, UNSET)
    assert [(case.code, case.where) for case in cases] == [
        ("currency-unknown", PLACE + "Currency"),
        ("currency-unknown", PLACE + "NetPriceAmount"),
    ]


def test_a_quantity_without_the_order_unit_is_a_case() -> None:
    patches, cases = said(edited(with_fields(PurgDocOrderQuantityUnit="")))
    found = next(iter(patches.values()))
    assert (found.order_unit, found.minimum, found.standard, found.maximum) == (
        UNSET,
        UNSET,
        UNSET,
        None,
    )
    assert [(case.code, case.where) for case in cases] == [
        ("unit-missing", PLACE + "MinimumPurchaseOrderQuantity"),
        ("unit-missing", PLACE + "StandardPurchaseOrderQuantity"),
    ]


@pytest.mark.parametrize(
    ("edit", "code", "where"),
    [
        (with_fields(Material=""), "info-record-without-item", "Material"),
        (with_fields(Material=None), "info-record-without-item", "Material"),
        (with_fields(to_PurgInfoRecdOrgPlantData={"results": []}),
         "info-record-without-organisation", "to_PurgInfoRecdOrgPlantData"),
    ],
)  # fmt: skip
def test_a_record_of_no_material_or_no_organisation_is_a_case_and_no_terms(
    edit: Edit, code: str, where: str
) -> None:
    patches, [case] = said(edited(edit))
    assert patches == {}
    assert (case.code, case.where) == (code, f"info record 5300000042, {where}")
    assert case.remedy


@pytest.mark.parametrize(
    ("edit", "code", "where"),
    [
        (with_fields(PurchasingInfoRecord="5300000043"), "answer-about-another", "ce-subject"),
        (with_fields(PurchasingInfoRecord=None), "id-empty", "PurchasingInfoRecord"),
        (with_fields(Supplier=""), "id-empty", "Supplier"),
        (with_fields(Supplier="A/B"), "id-with-slash", "info-record"),
        (with_fields(PurgDocOrderQuantityUnit="QQ"), "unit-unmapped", "PurgDocOrderQuantityUnit"),
        (with_fields(OrderItemQtyToBaseQtyNmrtr="0"), "item-unit-ratio",
         "OrderItemQtyToBaseQtyNmrtr, OrderItemQtyToBaseQtyDnmntr"),
        (with_fields(OrderItemQtyToBaseQtyNmrtr="1.5"), "number-malformed",
         "OrderItemQtyToBaseQtyNmrtr"),
        (with_fields(LastChangeDateTime="2020-03-06"), "time-malformed",
         "LastChangeDateTime, CreationDate"),
        (terms_with(PurchasingOrganization=""), "id-empty",
         "to_PurgInfoRecdOrgPlantData: PurchasingOrganization"),
        (terms_with(PurchasingInfoRecordCategory="9"), "category-unmapped",
         "to_PurgInfoRecdOrgPlantData, 1010: PurchasingInfoRecordCategory"),
        (terms_with(NetPriceAmount="1,5"), "number-malformed",
         "to_PurgInfoRecdOrgPlantData, 1010: NetPriceAmount"),
        (terms_with(PriceValidityEndDate="2029-12-31"), "time-malformed",
         "to_PurgInfoRecdOrgPlantData, 1010: PriceValidityEndDate"),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_refused_with_its_place(
    edit: Edit, code: str, where: str
) -> None:
    with pytest.raises(InvalidMessage) as caught:
        effects_of(edited(edit))
    assert caught.value.remedy
    assert (caught.value.code, caught.value.where) == (code, where)


@pytest.mark.parametrize(
    "content",
    [
        {"d": edited(lambda entity: entity.pop("to_PurgInfoRecdOrgPlantData"))},
        {"d": edited(with_fields(to_PurgInfoRecdOrgPlantData={"__deferred": {"uri": "x"}}))},
        {"d": None},
        {"d": RECORD, "gone": True},
        {},
    ],
)
def test_an_answer_that_is_not_whole_is_none(content: object) -> None:
    with pytest.raises(InvalidMessage):
        HANDLER_INFO_RECORD.read(answer(content))


def test_a_record_that_is_gone_is_a_case_for_nobody_can_tell_whose_terms_it_had() -> None:
    assert effects_of(None) == (
        Open(
            code="gone-at-erp",
            word="business_rule",
            what="The ERP has no info record 5300000042 any more; terms of it that are on record"
            " stay as they were",
            where="purchasing-info-record/5300000042",
            remedy="Find out why it was deleted or archived, and what hangs on it",
            owner="purchasing",
        ),
    )


def test_a_later_read_is_newer_than_an_earlier_one_whatever_it_tells() -> None:
    assert HANDLER_INFO_RECORD.version is not None
    for content in ({"d": RECORD}, {"gone": True}):
        message = HANDLER_INFO_RECORD.read(answer(content))
        assert HANDLER_INFO_RECORD.version(message) == READ_US


def test_blanks_around_a_number_or_a_code_are_no_part_of_it() -> None:
    edit = with_fields(PurchasingInfoRecord=f" {NUMBER} ", SupplierMaterialNumber="\tT-77 ")
    patches, _ = said(edited(edit))
    assert {(patch.number, patch.supplier_item) for patch in patches.values()} == {(NUMBER, "T-77")}
