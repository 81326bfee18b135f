"""The scale of an info record's price at S/4HANA; the target is simulated by plain values."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.connector import Absent, Present
from canonical.effects import Step
from canonical.errors import Conflict, Misconfigured, Rejected
from canonical.exchange import Request, Response
from canonical.money import Money, UnitPrice
from canonical.operations import PutInfoRecord
from canonical.price_periods import PriceScale
from canonical.purchasing import InfoRecord
from canonical.quantity import Quantity
from handlers.systems.s4 import odata
from handlers.systems.s4.outbound import DRIVER
from ops.sandbox.odata import check_payload, load_model

JSON = {"content-type": "application/json"}
ETAG = "W/\"'1'\""
END = date(2029, 12, 31)
SERVICE = "/sap/opu/odata/sap/API_INFORECORD_PROCESS_SRV"
MODEL = load_model()
_, SCALES = MODEL.find("A_PurInfoRecdPrcgCndnScale")
DEFERRED = {"__deferred": {"uri": "https://erp.example/more"}}


def price(amount: str, per: str = "1000", unit: str = "H87", currency: str = "EUR") -> UnitPrice:
    return UnitPrice(Money(Decimal(amount), currency), Quantity(Decimal(per), unit))


def scale(start: str, amount: str, per: str = "1000", unit: str = "H87") -> PriceScale:
    return PriceScale(Quantity(Decimal(start), unit), price(amount, per))


def record(**fields: Any) -> PutInfoRecord:
    plain = InfoRecord(
        supplier="17300001",
        item="SEAL-7",
        purchasing_org="1010",
        plant="1010",
        order_unit="H87",
        base_unit="H87",
        order_to_base=(1, 1),
        price=price("25.00"),
        lead_time_days=5,
        contract="C-1",
        last_day=END,
        purchasing_group="001",
    )
    return PutInfoRecord(msgspec.structs.replace(plain, **fields))


SCALED = record(scales=(scale("5000", "24.00"), scale("20000", "22.50")))


def line(number: int, start: str, rate: str, **changed: Any) -> dict[str, Any]:
    """A line as the target shows it."""
    return {
        "__metadata": {"etag": ETAG},
        "ConditionRecord": "0000010001",
        "ConditionSequentialNumber": "01",
        "ConditionScaleLine": f"{number:04}",
        "ConditionScaleQuantity": f"{Decimal(start):.3f}",
        "ConditionScaleQuantityUnit": "PC",
        "ConditionRateValue": f"{Decimal(rate):.3f}",
        "ConditionRateValueUnit": "EUR",
        "ConditionScaleIsDeleted": False,
        **changed,
    }


KEPT = (line(1, "5000", "24"), line(2, "20000", "22.5"))


def condition(*lines: dict[str, Any], rate: str = "25.000") -> dict[str, Any]:
    return {
        "ConditionRecord": "0000010001",
        "ConditionSequentialNumber": "01",
        "ConditionRateValue": rate,
        "ConditionIsDeleted": False,
        "to_PurgInfoPricingCndnRecdScale": {"results": list(lines)},
    }


def days(found: object, **changed: Any) -> dict[str, Any]:
    """Where the condition of the price counts, in that entity's navigation."""
    row = {
        "ConditionType": "PPR0",
        "ConditionValidityEndDate": odata.date_literal(END),
        "to_PurInfoRecdPrcgCndn": found,
    }
    return {"results": [row | changed]}


def answer(validity: object, **changed: Any) -> Response:
    """The answer to the observation, with the terms that `record` has, or some of them changed."""
    terms = {
        "__metadata": {"etag": ETAG},
        "PurchasingInfoRecord": "5300000001",
        "PurchasingInfoRecordCategory": "0",
        "PurchasingOrganization": "1010",
        "Plant": "1010",
        "PurchasingGroup": "001",
        "NetPriceAmount": "25.000",
        "Currency": "EUR",
        "MaterialPriceUnitQty": "1000",
        "PurchaseOrderPriceUnit": "PC",
        "PriceValidityEndDate": odata.date_literal(END),
        "MaterialPlannedDeliveryDurn": "5",
        "to_PurInfoRecdPrcgCndnValidity": validity,
    }
    general = {
        "PurchasingInfoRecord": "5300000001",
        "Supplier": "17300001",
        "Material": "SEAL-7",
        "PurgDocOrderQuantityUnit": "PC",
        "to_PurgInfoRecdOrgPlantData": {"results": [terms | changed]},
    }
    return Response(200, JSON, msgspec.json.encode({"d": {"results": [general]}}))


def step_of(operation: PutInfoRecord) -> Step:
    return Step("1010", "erp", "object", "X", operation)


def seen(operation: PutInfoRecord, validity: object, **changed: Any) -> Present:
    found = DRIVER.read(step_of(operation), answer(validity, **changed))
    assert isinstance(found, Present)
    return found


def held(*lines: dict[str, Any], operation: PutInfoRecord = SCALED, **changed: Any) -> Present:
    return seen(operation, days(condition(*lines)), **changed)


def next_write(found: Present, operation: PutInfoRecord = SCALED) -> Request:
    """The next call; none of them is known to be the last one before the target was read again."""
    write = DRIVER.write(step_of(operation), found, "key-1")
    assert write is not None
    assert not write.completes
    return write.request


def body_of(request: Request) -> Any:
    assert request.body is not None
    return msgspec.json.decode(request.body)


def expanded(operation: PutInfoRecord) -> list[str]:
    return dict(DRIVER.observe(step_of(operation)).query)["$expand"].split(",")


def address(number: int) -> str:
    return (
        f"{SERVICE}/A_PurInfoRecdPrcgCndnScale(ConditionRecord='0000010001',"
        f"ConditionSequentialNumber='01',ConditionScaleLine='{number:04}')"
    )


# --- what is asked, and what is not ---


def test_a_contract_that_says_nothing_of_a_scale_neither_asks_for_one_nor_changes_it() -> None:
    assert expanded(record()) == ["to_PurgInfoRecdOrgPlantData"]
    assert seen(record(), DEFERRED).equal
    assert seen(record(), days(condition(*KEPT))).equal
    write = DRIVER.write(step_of(record()), Absent(), "key-1")
    assert write is not None
    assert write.completes


def test_a_scale_is_asked_for_with_the_price_that_it_belongs_to() -> None:
    assert expanded(SCALED)[-1] == (
        "to_PurgInfoRecdOrgPlantData/to_PurInfoRecdPrcgCndnValidity/to_PurInfoRecdPrcgCndn"
        "/to_PurgInfoPricingCndnRecdScale"
    )


@pytest.mark.parametrize(
    "validity", [DEFERRED, days(DEFERRED), days(condition() | {
        "to_PurgInfoPricingCndnRecdScale": DEFERRED})],
)  # fmt: skip
def test_an_answer_without_what_was_asked_for_is_none(validity: object) -> None:
    with pytest.raises(Misconfigured, match="answer-incomplete"):
        seen(SCALED, validity)


def test_a_part_of_a_scale_is_none() -> None:
    some = condition() | {"to_PurgInfoPricingCndnRecdScale": {
        "results": [KEPT[0]], "__next": "https://erp.example/elsewhere"}}  # fmt: skip
    with pytest.raises(Misconfigured, match="answer-incomplete"):
        seen(SCALED, days(some))


# --- what is written ---


def test_the_price_is_made_first_and_its_scale_line_by_line_below_it() -> None:
    write = DRIVER.write(step_of(SCALED), Absent(), "key-1")
    assert write is not None
    assert not write.completes
    assert b"Scale" not in (write.request.body or b"")
    found = held()
    assert found.differences == ("Scale from 5000 PC: missing", "Scale from 20000 PC: missing")
    request = next_write(found)
    assert (request.method, request.path) == ("POST", f"{SERVICE}/A_PurInfoRecdPrcgCndnScale")
    assert body_of(request) == {
        "ConditionRecord": "0000010001",
        "ConditionSequentialNumber": "01",
        "ConditionScaleLine": "0001",
        "ConditionScaleQuantity": "5000",
        "ConditionScaleQuantityUnit": "PC",
        "ConditionRateValue": "24",
        "ConditionRateValueUnit": "EUR",
    }
    assert body_of(next_write(held(KEPT[0])))["ConditionScaleLine"] == "0002"
    assert held(*KEPT).equal


def test_a_line_that_is_confirmed_is_no_info_record() -> None:
    answered = Response(201, JSON, msgspec.json.encode({"d": KEPT[0]}))
    assert DRIVER.confirm(step_of(SCALED), answered).reference == ""


def test_terms_that_are_missing_have_no_scale_either() -> None:
    found = seen(SCALED, days(condition(*KEPT)), Plant="1020")
    assert len(found.differences) == 3
    assert next_write(found).path.endswith("/to_PurgInfoRecdOrgPlantData")


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"ConditionRateValue": "23.000"}, "ConditionRateValue: 23.000, wanted 24"),
        ({"ConditionRateValueUnit": "USD"}, "ConditionRateValueUnit: USD, wanted EUR"),
        ({"ConditionScaleQuantityUnit": "KG"}, "ConditionScaleQuantityUnit: KG, wanted PC"),
    ],
)
def test_a_line_follows_the_contract(changed: dict[str, str], difference: str) -> None:
    found = held(line(1, "5000", "24", **changed), KEPT[1])
    assert found.differences == (f"Scale from 5000 PC, {difference}",)
    request = next_write(found)
    assert (request.method, request.path) == ("PATCH", address(1))
    assert ("If-Match", ETAG) in request.headers
    # A price is one statement: its parts are never changed alone.
    assert body_of(request) == {
        "ConditionRateValue": "24",
        "ConditionRateValueUnit": "EUR",
        "ConditionScaleQuantityUnit": "PC",
    }


def test_the_same_unit_in_another_word_is_no_difference() -> None:
    assert held(line(1, "5000", "24", ConditionScaleQuantityUnit="ST"), KEPT[1]).equal


def test_a_line_that_the_contract_does_not_have_goes() -> None:
    found = held(*KEPT, line(3, "50000", "20"))
    assert found.differences == ("Scale from 50000.000 PC: 20.000, wanted none",)
    request = next_write(found)
    assert (request.method, request.path) == ("DELETE", address(3))
    assert ("If-Match", ETAG) in request.headers


def test_a_contract_that_says_there_is_no_scale_has_all_lines_taken_away() -> None:
    plain = record(scales=())
    assert held(operation=plain).equal
    assert next_write(held(*KEPT, operation=plain), plain).method == "DELETE"


def test_a_first_line_of_the_erps_own_that_says_the_price_stays() -> None:
    own = line(1, "1", "25")
    others = (line(2, "5000", "24"), line(3, "20000", "22.5"))
    assert held(own, *others).equal
    assert held(own, operation=record(scales=())).equal
    assert not held(line(1, "1", "26"), *others).equal
    assert not held(*others, line(4, "60000", "25")).equal


def test_a_line_marked_for_deletion_is_none_and_keeps_its_number() -> None:
    found = held(line(1, "5000", "24", ConditionScaleIsDeleted=True), KEPT[1])
    assert body_of(next_write(found))["ConditionScaleLine"] == "0003"


def test_lines_are_for_as_much_as_the_erp_has_the_price() -> None:
    lines = (line(1, "5000", "2.4"), line(2, "20000", "2.25"))
    found = held(*lines, NetPriceAmount="2.500", MaterialPriceUnitQty="100")
    assert found.equal
    assert not held(*KEPT, NetPriceAmount="2.500", MaterialPriceUnitQty="100").equal


def test_a_new_price_comes_before_its_scale() -> None:
    found = held(line(1, "5000", "2.6"), NetPriceAmount="2.700", MaterialPriceUnitQty="100")
    assert "NetPriceAmount: 2.700, wanted 25" in found.differences
    assert "Scale from 5000 PC, ConditionRateValue: 2.600, wanted 24" in found.differences
    assert "A_PurgInfoRecdOrgPlantData(" in next_write(found).path


@pytest.mark.parametrize(
    "validity",
    [
        {"results": []},
        days(None),
        days(condition() | {"ConditionIsDeleted": True}),
        days(condition(), ConditionType="RA01"),
        days(condition(), ConditionValidityEndDate=odata.date_literal(date(2028, 12, 31))),
    ],
)
def test_a_price_that_is_no_condition_is_left_to_people(validity: object) -> None:
    with pytest.raises(Conflict, match="price-condition-missing"):
        next_write(seen(SCALED, validity))
    assert seen(record(scales=()), validity).equal


# --- what does not fit ---


@pytest.mark.parametrize(
    "scales",
    [
        (scale("20000", "22.50"), scale("5000", "24.00")),
        (scale("5000", "24.00"), scale("5000", "22.50")),
        (scale("0", "24.00"),),
        (scale("-1", "24.00"),),
        (scale("0.0001", "24.00"),),
        (scale("5000", "24.00", unit="KGM"),),
        (scale("5000", "24.001"),),
        (PriceScale(Quantity(Decimal(5000), "H87"), price("24.00", currency="USD")),),
        (PriceScale(Quantity(Decimal(5000), "H87"), price("24.00", unit="KGM")),),
    ],
)
def test_a_scale_that_the_erp_has_no_room_for_is_refused_before_anything_is_made(
    scales: tuple[PriceScale, ...],
) -> None:
    with pytest.raises(Rejected, match="scale-not-representable"):
        DRIVER.write(step_of(record(scales=scales)), Absent(), "key-1")
    with pytest.raises(Rejected, match="scale-not-representable"):
        held(operation=record(scales=scales))


# --- laws ---


class Target:
    """The scale of one price at a target: takes lines as they are sent, if they are what the
    vendor's description lets in."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self.lines = lines

    def take(self, request: Request) -> None:
        if request.method == "POST":
            body = body_of(request)
            check_payload(MODEL, SCALES, body, creating=True)
            assert body["ConditionScaleLine"] not in {
                one["ConditionScaleLine"] for one in self.lines
            }
            self.lines.append(line(1, "1", "1") | body)
            return
        assert ("If-Match", ETAG) in request.headers
        (row,) = [one for one in self.lines if f"'{one['ConditionScaleLine']}')" in request.path]
        if request.method == "DELETE":
            self.lines.remove(row)
        else:
            check_payload(MODEL, SCALES, body_of(request), creating=False)
            row |= body_of(request)

    def holds(self) -> dict[Decimal, Decimal]:
        return {
            Decimal(one["ConditionScaleQuantity"]): Decimal(one["ConditionRateValue"])
            for one in self.lines
        }


cents = st.integers(1, 2400).map(lambda amount: Decimal(amount).scaleb(-2))
starts = st.integers(1, 10**9).map(lambda start: Decimal(start).scaleb(-1))
scales_of = st.dictionaries(starts, cents, max_size=6)


@given(scales_of, scales_of)
def test_whatever_is_there_becomes_what_the_contract_says_in_one_write_a_line(
    before: dict[Decimal, Decimal], after: dict[Decimal, Decimal]
) -> None:
    target = Target([
        line(number, str(start), str(rate))
        for number, (start, rate) in enumerate(before.items(), start=1)
    ])  # fmt: skip
    wanted = record(scales=tuple(
        scale(str(start), str(rate)) for start, rate in sorted(after.items())
    ))  # fmt: skip
    different = {
        start for start in before.keys() | after.keys() if before.get(start) != after.get(start)
    }
    for left in range(len(different), 0, -1):
        found = held(*target.lines, operation=wanted)
        assert len(found.differences) == left
        target.take(next_write(found, wanted))
    assert held(*target.lines, operation=wanted).equal
    assert target.holds() == after
