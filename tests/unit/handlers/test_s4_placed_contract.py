"""Purchase contracts out to S/4HANA: what is sent, how it is found again, and how one contract
becomes another, change by change; the target is simulated by plain values."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from canonical.connector import Absent, Confirmed, Driver, More, Present
from canonical.effects import Step
from canonical.errors import (
    Conflict,
    Failure,
    InDoubt,
    InvalidMessage,
    Misconfigured,
    Rejected,
    SuspectedDuplicate,
    Unavailable,
)
from canonical.exchange import Request, Response
from canonical.money import Money, UnitPrice
from canonical.operations import PutContract
from canonical.purchase_contract import ContractLine, PurchaseContract
from canonical.quantity import Quantity
from handlers.systems.s4.native import AgreedContract, AgreedItem, Entity
from handlers.systems.s4.odata import fields
from handlers.systems.s4.outbound import DRIVER
from ops.sandbox.odata import check_payload, load_model
from ops.sandbox.resource import parse_key, parse_query, parse_resource
from tests.fixtures.change_sets import carried_out, http, in_batch, writes_of
from tests.garbage import VALUES, inside

MODEL = load_model()
JSON = {"content-type": "application/json"}
ETAG = "W/\"'1'\""
ERP_NUMBER = "4600000042"
ROOT = "/sap/opu/odata/sap/API_PURCHASECONTRACT_PROCESS_SRV"
FIRST, LAST, LATER = date(2026, 3, 1), date(2026, 12, 31), date(2027, 6, 30)
FIRST_TEXT, LAST_TEXT = "/Date(1772323200000)/", "/Date(1798675200000)/"
LATER_TEXT, NO_END = "/Date(1814313600000)/", "/Date(253402214400000)/"


def pieces(number: str) -> Quantity:
    return Quantity(Decimal(number), "H87")


def price(amount: str = "25.00", per: str = "1000", currency: str = "EUR") -> UnitPrice:
    return UnitPrice(Money(Decimal(amount), currency), pieces(per))


def euros(amount: str) -> Money:
    return Money(Decimal(amount), "EUR")


def line(number: str = "1", **more: Any) -> ContractLine:
    plain = ContractLine(
        line=number,
        item="SEAL-7",
        order_unit="H87",
        price=price(),
        target=pieces("500"),
        lead_time_days=12,
        plants=("1010",),
        supplier_item="T-77",
        description="Shaft seal",
    )
    return msgspec.structs.replace(plain, **more)


def contract(*lines: ContractLine, **more: Any) -> PurchaseContract:
    plain = PurchaseContract(
        number="C-1001",
        version=1,
        supplier="17300001",
        status="active",
        first_day=FIRST,
        last_day=LAST,
        kind="quantity",
        currency="EUR",
        lines=lines or (line(),),
        organisation="1010",
    )
    return msgspec.structs.replace(plain, **more)


def step_of(wanted: PurchaseContract, group: str = "C01") -> Step:
    return Step("", "erp", "purchase-contract", wanted.number, PutContract(wanted, group))


def body_of(request: Request) -> dict[str, Any]:
    assert request.body is not None
    decoded: dict[str, Any] = msgspec.json.decode(request.body)
    return decoded


def create_of(wanted: PurchaseContract) -> Request:
    write = DRIVER.write(step_of(wanted), Absent(), "key-1")
    assert write is not None
    assert write.completes
    return write.request


def created(wanted: PurchaseContract) -> dict[str, Any]:
    return body_of(create_of(wanted))


def one(entity: dict[str, Any]) -> Response:
    return Response(200, JSON, msgspec.json.encode({"d": entity}))


def listed(*entities: dict[str, Any]) -> Response:
    return Response(200, JSON, msgspec.json.encode({"d": {"results": entities}}))


def refusal(status: int, code: str, text: str = "") -> Response:
    error = {"code": code, "message": {"lang": "en", "value": text}}
    return Response(status, JSON, msgspec.json.encode({"error": error}))


GONE = refusal(404, "/IWBEP/CM_MGW_RT/020", "Resource not found")
NO_CONTENT = Response(204, {}, b"")


def call_of(request: Request) -> Request:
    """The only change of a batch."""
    assert (request.method, request.path) == ("POST", f"{ROOT}/$batch")
    (call,) = writes_of(request)
    return call


def change_of(request: Request) -> dict[str, Any]:
    return body_of(call_of(request))


class Target:
    """One contract at a target, which takes batches of one change. An item that was taken out
    stays."""

    def __init__(self, wanted: PurchaseContract) -> None:
        self.contract = copy.deepcopy(created(wanted)) | {
            "PurchaseContract": ERP_NUMBER,
            "PurchasingDocumentDeletionCode": "",
            "__metadata": {"etag": ETAG},
        }
        for item in self.items:
            self._number(item)

    @property
    def items(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.contract["to_PurchaseContractItem"]["results"]
        return rows

    def _number(self, item: dict[str, Any]) -> None:
        item |= {"PurchaseContract": ERP_NUMBER, "__metadata": {"etag": ETAG}}
        item.setdefault("PurchasingContractDeletionCode", "")
        item.setdefault("TargetQuantity", "0.000")

    def take(self, request: Request) -> str:
        """Also: that the vendor's description has what is sent. The call without its key."""
        call = call_of(request)
        resource = parse_resource(MODEL, call.path)
        entity_set, key = resource.entity_set, resource.key
        assert entity_set is not None
        body = body_of(call)
        check_payload(MODEL, entity_set, body, creating=call.method == "POST")
        shown = f"{call.method} {entity_set.name}"
        if call.method == "POST":
            assert (entity_set.name, body["PurchaseContract"]) == (
                "A_PurchaseContractItem",
                ERP_NUMBER,
            )
            assert body["PurchaseContractItem"] not in self.held_items()
            self._number(body)
            self.items.append(body)
            return f"{shown} {body['PurchaseContractItem']}"
        assert (call.method, dict(call.headers)["If-Match"]) == ("PATCH", ETAG)
        assert key is not None
        assert key["PurchaseContract"] == ERP_NUMBER
        if entity_set.name == "A_PurchaseContract":
            self.contract |= body
            return shown
        item = self.held_items()[str(key["PurchaseContractItem"])]
        # What is deleted takes nothing.
        assert item["PurchasingContractDeletionCode"] != "L"
        item |= body
        return f"{shown} {key['PurchaseContractItem']}"

    def held_items(self) -> dict[str, dict[str, Any]]:
        return {item["PurchaseContractItem"]: item for item in self.items}

    def become(self, wanted: PurchaseContract) -> list[str]:
        """The writes that it took."""
        writes: list[str] = []
        step, before = step_of(wanted), 10**6
        for _ in range(100):
            found = DRIVER.read(step, listed(self.contract))
            assert isinstance(found, Present)
            if found.equal:
                return writes
            assert len(found.differences) < before
            before = len(found.differences)
            write = DRIVER.write(step, found, "key-1")
            assert write is not None
            writes.append(self.take(write.request))
            if write.completes:
                after = DRIVER.read(step, listed(self.contract))
                assert isinstance(after, Present)
                assert (after.equal, after.differences) == (True, ())
                return writes
        raise AssertionError("never done")

    def holds(self) -> dict[str, Any]:
        """What may be bought on it, or is blocked for now."""
        return {
            item["PurchaseContractItem"]: (
                item["Material"],
                Decimal(item["TargetQuantity"]),
                item.get("Plant"),
                item.get("ContractNetPriceAmount"),
                item["PurchasingContractDeletionCode"],
            )
            for item in self.items
            if item["PurchasingContractDeletionCode"] != "L"
        }


def seen(
    wanted: PurchaseContract, edit: Callable[[Target], object] = lambda target: None
) -> Present:
    """What a read finds after the create, with something changed by somebody."""
    target = Target(wanted)
    edit(target)
    found = DRIVER.read(step_of(wanted), listed(target.contract))
    assert isinstance(found, Present)
    return found


def item_with(**changed: object) -> Callable[[Target], object]:
    return lambda target: target.items[0].update(changed)


def header_with(**changed: object) -> Callable[[Target], object]:
    return lambda target: target.contract.update(changed)


def next_write(wanted: PurchaseContract, found: Present) -> Request:
    write = DRIVER.write(step_of(wanted), found, "key-1")
    assert write is not None
    return write.request


# --- names ---


@pytest.mark.parametrize(
    ("kind", "entity_set"),
    [(AgreedContract, "A_PurchaseContract"), (AgreedItem, "A_PurchaseContractItem")],
)
def test_every_field_is_one_of_the_vendors(kind: type[Entity], entity_set: str) -> None:
    _, described = MODEL.find(entity_set)
    assert set(fields(kind)) <= {p.name for p in described.properties}


def test_the_read_and_the_create_are_what_the_vendor_describes() -> None:
    wanted = contract(line(), line("2", target=None, price=None))
    for request in (DRIVER.observe(step_of(wanted)), create_of(wanted)):
        resource = parse_resource(MODEL, request.path)
        assert resource.entity_set is not None
        if request.method == "GET":
            query = parse_query(MODEL, resource.entity_set, dict(request.query))
            assert query.where == {"CorrespncInternalReference": "C-1001"}
        else:
            draft = check_payload(MODEL, resource.entity_set, body_of(request), creating=True)
            assert len(draft.children["to_PurchaseContractItem"]) == 2


# --- what is sent ---


def test_a_contract_is_made_with_its_items_under_our_number() -> None:
    plain = ContractLine("20", item="PIN")
    request = create_of(contract(line("0010", is_blocked=True), plain, target_value=euros("9000")))
    assert (request.method, request.path) == ("POST", f"{ROOT}/A_PurchaseContract")
    assert body_of(request) == {
        "PurchaseContractType": "MK",
        "Supplier": "17300001",
        "PurchasingOrganization": "1010",
        "PurchasingGroup": "C01",
        "DocumentCurrency": "EUR",
        "ValidityStartDate": FIRST_TEXT,
        "ValidityEndDate": LAST_TEXT,
        "PurchaseContractTargetAmount": "9000",
        "CorrespncInternalReference": "C-1001",
        "to_PurchaseContractItem": {
            "results": [
                {
                    "PurchaseContractItem": "10",
                    "PurchasingContractDeletionCode": "S",
                    "PurchaseContractItemText": "Shaft seal",
                    "Plant": "1010",
                    "SupplierMaterialNumber": "T-77",
                    "OrderQuantityUnit": "PC",
                    "TargetQuantity": "500",
                    "OrderPriceUnit": "PC",
                    "ContractNetPriceAmount": "25",
                    "NetPriceQuantity": "1000",
                    "PlannedDeliveryDurationInDays": "12",
                    "Material": "SEAL-7",
                },
                {"PurchaseContractItem": "20", "Material": "PIN"},
            ]
        },
    }


def test_a_contract_without_an_end_is_valid_as_long_as_the_erp_can_say() -> None:
    assert created(contract(last_day=None))["ValidityEndDate"] == NO_END
    by_value = created(contract(kind="value", target_value=euros("5000.50")))
    assert by_value["PurchaseContractType"] == "WK"
    assert by_value["PurchaseContractTargetAmount"] == "5000.5"


@pytest.mark.parametrize(
    ("stated", "currency"),
    [
        (contract(currency=""), "EUR"),
        (contract(line(price=None), currency="", target_value=Money(Decimal(7), "USD")), "USD"),
        (contract(line(price=None), currency=""), None),
    ],
)
def test_a_contract_without_a_currency_has_that_of_its_amounts(
    stated: PurchaseContract, currency: str | None
) -> None:
    assert created(stated).get("DocumentCurrency") == currency
    assert seen(stated).equal


@pytest.mark.parametrize(
    ("wanted", "code", "where"),
    [
        (contract(kind="blanket"), "contract-type-unmapped", ""),
        (contract(organisation=""), "organisation-missing", ""),
        (contract(line("1"), line("01")), "line-twice", ""),
        (contract(line("1", item="")), "line-without-item", "/1"),
        (contract(line("1", plants=("1010", "1020"))), "plants-not-representable", "/1"),
        (contract(line("1a")), "line-not-representable", "/1a"),
        (contract(line("0")), "line-not-representable", "/0"),
        (contract(line("100000")), "line-not-representable", "/100000"),
        (contract(line("1", first_day=date(2026, 3, 2))), "line-days", "/1"),
        (contract(line("1", last_day=date(2026, 12, 30))), "line-days", "/1"),
        (contract(line("1", last_day=LAST), last_day=None), "line-days", "/1"),
        (contract(line("1", target=pieces("0"))), "quantity-not-representable", "/1"),
        (contract(line("1", target=pieces("-5"))), "quantity-not-representable", "/1"),
        (contract(line("1", target=pieces("0.0001"))), "quantity-not-representable", "/1"),
        (contract(line("1", target=Quantity(Decimal(5), "KGM"))), "target-unit", "/1"),
        (contract(line("1", price=price(currency="USD"))), "price-currency", "/1"),
        (contract(target_value=Money(Decimal(5), "USD")), "price-currency", ""),
        (contract(target_value=euros("0")), "value-not-representable", ""),
        (contract(target_value=euros("0.0001")), "value-not-representable", ""),
        (contract(line("1", price=price("0.000001"))), "price-not-representable", "/1"),
        (contract(line("1", lead_time_days=1000)), "lead-time-too-long", "/1"),
        (contract(line("1", lead_time_days=-1)), "lead-time-too-long", "/1"),
        (contract(*(line(str(n)) for n in range(1, 1502))), "contract-too-long", ""),
    ],
)
def test_what_no_contract_of_the_erp_can_be_is_refused_with_its_line(
    wanted: PurchaseContract, code: str, where: str
) -> None:
    with pytest.raises(Rejected) as refused:
        create_of(wanted)
    assert (refused.value.code, refused.value.where) == (code, f"contract/C-1001{where}")
    assert refused.value.remedy


def test_a_line_that_is_valid_longer_than_its_contract_is_taken() -> None:
    longer = line(first_day=date(2026, 1, 1), last_day=date(2027, 12, 31))
    assert created(contract(longer)) == created(contract())
    no_end = line(last_day=date(9999, 12, 31))
    assert created(contract(no_end, last_day=None)) == created(contract(last_day=None))


def test_a_unit_that_the_erp_does_not_know_is_refused() -> None:
    with pytest.raises(InvalidMessage, match="unit-unmapped"):
        create_of(contract(line(order_unit="AK", target=None)))


def test_a_number_that_could_not_be_found_again_is_never_sent() -> None:
    with pytest.raises(Rejected, match="reference-too-long"):
        DRIVER.observe(step_of(contract(number="C-1001-000001")))


def test_what_has_no_place_is_left_out_and_named() -> None:
    wanted = contract(
        line("1", description="x" * 41, minimum=pieces("100")),
        line("2", supplier_item="9" * 36),
        title="Seals 2026",
        payment_terms="Net 30",
        incoterms="EXW",
        incoterms_place="Ulm",
    )
    response = Response(201, JSON, msgspec.json.encode({"d": Target(wanted).contract}))
    agreed = " are not sent: the ERP takes those that it has agreed with the supplier"
    assert DRIVER.confirm(step_of(wanted), response) == Confirmed(
        ERP_NUMBER,
        warnings=(
            f"The payment terms Net 30{agreed}",
            f"The Incoterms EXW Ulm{agreed}",
            "The title has no place in a contract of the ERP: Seals 2026",
            "Texts of items are cut to 40 characters: line 1",
            "Numbers of the supplier longer than 35 are left out: line 2",
            "Minima of an order have no place in a contract of the ERP: line 1",
        ),
    )
    first, second = created(wanted)["to_PurchaseContractItem"]["results"]
    assert first["PurchaseContractItemText"] == "x" * 40
    assert "SupplierMaterialNumber" not in second
    assert seen(wanted).equal


# --- which contract is meant ---


def test_a_contract_that_nothing_refers_to_is_absent() -> None:
    assert DRIVER.read(step_of(contract()), listed()) == Absent()
    other = Target(contract()).contract | {"CorrespncInternalReference": "C-1002"}
    assert DRIVER.read(step_of(contract()), listed(other)) == Absent()


@pytest.mark.parametrize("status", ["draft", "suspended", "ended"])
def test_a_contract_on_which_nothing_may_be_bought_is_not_made(status: str) -> None:
    wanted = contract(status=status)
    assert DRIVER.read(step_of(wanted), listed()) == Present(equal=True)
    empty = msgspec.structs.replace(contract(), lines=())
    assert DRIVER.read(step_of(empty), listed()) == Present(equal=True)


def test_of_two_contracts_the_one_that_is_not_deleted_counts() -> None:
    first, second = Target(contract()).contract, Target(contract()).contract
    first["PurchasingDocumentDeletionCode"] = "L"
    second["PurchaseContract"] = "4600000043"
    found = DRIVER.read(step_of(contract()), listed(first, second))
    assert isinstance(found, Present)
    assert (found.equal, found.reference) == (True, "4600000043")


def test_trap_a_contract_made_twice_is_for_a_person() -> None:
    first, second = Target(contract()).contract, Target(contract()).contract
    second["PurchaseContract"] = "4600000043"
    with pytest.raises(SuspectedDuplicate, match="contract-ambiguous") as twice:
        DRIVER.read(step_of(contract()), listed(first, second))
    assert "4600000042, 4600000043" in twice.value.what


def by_number(wanted: PurchaseContract, response: Response) -> object:
    """What the second call finds, which asks for the contract of our number."""
    more = DRIVER.read(step_of(wanted), listed())
    assert isinstance(more, More)
    path = f"{ROOT}/A_PurchaseContract('{wanted.number}')"
    assert (more.request.method, more.request.path) == ("GET", path)
    asked = DRIVER.observe(step_of(wanted)).query
    assert more.request.query == tuple(option for option in asked if option[0] != "$filter")
    return more.read(response)


OWN = contract(number=ERP_NUMBER)


def own(**changed: object) -> Response:
    """The ERP's own contract of that number, which refers to nothing."""
    return one(Target(OWN).contract | {"CorrespncInternalReference": ""} | changed)


def test_a_contract_of_the_erps_own_is_found_by_its_number_and_not_made_again() -> None:
    found = by_number(OWN, own())
    assert isinstance(found, Present)
    assert (found.equal, found.reference) == (True, ERP_NUMBER)
    # Buyers use the field for what they like.
    referring = by_number(OWN, own(CorrespncInternalReference="MILLER"))
    assert isinstance(referring, Present)
    assert referring.equal


@pytest.mark.parametrize(
    "response",
    [GONE, own(Supplier="17300002"), own(PurchaseContract=f"00{ERP_NUMBER}", Supplier="")],
)
def test_a_contract_with_another_supplier_under_our_number_is_another_one(
    response: Response,
) -> None:
    assert by_number(OWN, response) == Absent()


def test_trap_a_contract_that_may_be_another_one_is_for_a_person() -> None:
    target = Target(OWN)
    target.items[0]["Material"] = "BOLT"
    with pytest.raises(SuspectedDuplicate, match="contract-number-taken"):
        by_number(OWN, one(target.contract | {"CorrespncInternalReference": ""}))
    other = target.contract | {"CorrespncInternalReference": "X-9"}
    assert by_number(OWN, one(other)) == Absent()


def test_a_read_by_number_that_answers_another_is_a_fault() -> None:
    with pytest.raises(Misconfigured, match="answer-about-another"):
        by_number(OWN, own(PurchaseContract="4600000099"))


# --- what has to change ---


def test_what_was_made_reads_back_as_equal() -> None:
    blocked = line("2", target=None, is_blocked=True)
    found = seen(contract(line("1"), blocked, line("3", price=None)))
    assert (found.equal, found.differences, found.reference) == (True, (), ERP_NUMBER)


@pytest.mark.parametrize(
    ("lines", "whom"),
    [
        ((line("1"),), "plant 1010"),
        ((line("1"), line("2", plants=("2010",))), "plants 1010, 2010"),
        ((line("1"), line("2", plants=())), "all plants"),
    ],
)
def test_a_contract_that_nobody_is_named_to_buy_by_is_refused_and_one_that_is_there_stays(
    lines: tuple[ContractLine, ...], whom: str
) -> None:
    wanted = contract(*lines)
    step = step_of(wanted, group="")
    with pytest.raises(Misconfigured, match=f"purchasing-group-missing.* {whom}:") as refused:
        DRIVER.write(step, Absent(), "key-1")
    assert (refused.value.where, "[rules]" in refused.value.remedy) == (
        f"contract/{wanted.number}",
        whom != "plant 1010",
    )
    held = Target(wanted).contract | {"PurchasingGroup": "007"}
    found = DRIVER.read(step, listed(held))
    assert isinstance(found, Present)
    assert found.equal
    assert DRIVER.write(step, found, "key-1") is None


@pytest.mark.parametrize(
    "edit",
    [
        item_with(PurchaseContractItem="00001"),
        item_with(ContractNetPriceAmount="2.500", NetPriceQuantity="100"),
        item_with(OrderPriceUnit=""),
        item_with(OrderQuantityUnit="ST"),
        item_with(TargetQuantity="500.000", PlannedDeliveryDurationInDays="12.0"),
        item_with(PurchaseContractItemText=" Shaft  seal"),
        header_with(Supplier="0017300001"),
        header_with(PurchaseContractType="ZMK", PurchasingGroup="007"),
        header_with(PurchasingDocumentDeletionCode="S"),
        header_with(PurchaseContractTargetAmount="77.000"),
        header_with(ValidityStartDate="/Date(1772323200000+0000)/"),
    ],
)
def test_what_is_only_written_otherwise_or_not_stated_is_equal(
    edit: Callable[[Target], object],
) -> None:
    assert seen(contract(), edit).differences == ()


@pytest.mark.parametrize("held", [NO_END, None, ""])
def test_no_end_is_the_same_however_it_is_written(held: object) -> None:
    assert seen(contract(last_day=None), header_with(ValidityEndDate=held)).equal


def test_days_and_value_of_the_header_are_changed_in_one_call_under_its_tag() -> None:
    target = Target(contract(target_value=euros("100")))
    wanted = contract(target_value=euros("200"), last_day=LATER)
    found = DRIVER.read(step_of(wanted), listed(target.contract))
    assert isinstance(found, Present)
    assert found.differences == (
        f"ValidityEndDate: {LAST_TEXT}, wanted {LATER_TEXT}",
        "PurchaseContractTargetAmount: 100, wanted 200",
    )
    request = next_write(wanted, found)
    assert dict(request.headers)["X-Request-ID"] == "key-1"
    call = call_of(request)
    assert (call.method, call.path) == ("PATCH", f"{ROOT}/A_PurchaseContract('{ERP_NUMBER}')")
    assert dict(call.headers)["If-Match"] == ETAG
    assert change_of(request) == {
        "ValidityEndDate": LATER_TEXT,
        "PurchaseContractTargetAmount": "200",
    }


@pytest.mark.parametrize("driver", [DRIVER, DRIVER.one_by_one()])
def test_each_change_is_a_set_of_its_own_whether_or_not_services_take_larger_ones(
    driver: Driver,
) -> None:
    wanted = contract(line(), line("2"), last_day=LATER)
    found = driver.read(step_of(wanted), listed(Target(contract()).contract))
    assert isinstance(found, Present)
    write = driver.write(step_of(wanted), found, "key-1")
    assert write is not None
    assert call_of(write.request).path == f"{ROOT}/A_PurchaseContract('{ERP_NUMBER}')"
    assert not write.completes


def test_what_is_agreed_of_an_item_is_changed_in_one_call_and_a_price_as_a_whole() -> None:
    target = Target(contract())
    wanted = contract(
        line(price=price("26"), target=pieces("600"), lead_time_days=9, plants=("1020",))
    )
    found = DRIVER.read(step_of(wanted), listed(target.contract))
    assert isinstance(found, Present)
    assert found.differences == (
        "Item 1 Plant: 1010, wanted 1020",
        "Item 1 TargetQuantity: 500, wanted 600",
        "Item 1 PlannedDeliveryDurationInDays: 12, wanted 9",
        "Item 1 ContractNetPriceAmount: 25, wanted 26",
        "Item 1 NetPriceQuantity: 1000, wanted 1000",
        "Item 1 OrderPriceUnit: PC, wanted PC",
    )
    assert change_of(next_write(wanted, found)) == {
        "Plant": "1020",
        "TargetQuantity": "600",
        "PlannedDeliveryDurationInDays": "9",
        "ContractNetPriceAmount": "26",
        "NetPriceQuantity": "1000",
        "OrderPriceUnit": "PC",
    }


def test_what_a_line_does_not_state_stays_as_the_erp_has_it() -> None:
    target = Target(contract())
    assert target.become(contract(ContractLine("1", item="SEAL-7"))) == []


def test_an_item_is_blocked_and_freed_as_its_line_is() -> None:
    target = Target(contract())
    patch = "PATCH A_PurchaseContractItem 1"
    assert target.become(contract(line(is_blocked=True))) == [patch]
    assert target.holds()["1"][4] == "S"
    assert target.become(contract(line(is_blocked=True))) == []
    assert target.become(contract()) == [patch]
    assert target.holds()["1"][4] == ""


def test_header_first_then_new_items_changes_and_what_is_taken_out() -> None:
    target = Target(contract(line("1"), line("2")))
    wanted = contract(line("2", target=pieces("7")), line("3"), last_day=LATER)
    assert target.become(wanted) == [
        "PATCH A_PurchaseContract",
        "POST A_PurchaseContractItem 3",
        "PATCH A_PurchaseContractItem 2",
        "PATCH A_PurchaseContractItem 1",
    ]
    assert [(row["PurchaseContractItem"], row["PurchasingContractDeletionCode"])
            for row in target.items] == [("1", "L"), ("2", ""), ("3", "")]  # fmt: skip


def test_a_contract_without_lines_loses_its_items_one_by_one_and_stays_so() -> None:
    target = Target(contract(line("1"), line("2")))
    none = msgspec.structs.replace(contract(), lines=())
    assert target.become(none) == [
        "PATCH A_PurchaseContractItem 1",
        "PATCH A_PurchaseContractItem 2",
    ]
    assert target.holds() == {}
    target.contract["PurchasingDocumentDeletionCode"] = "L"
    assert target.become(none) == []


@pytest.mark.parametrize("status", ["suspended", "ended"])
def test_of_a_contract_that_is_over_the_items_are_blocked_and_nothing_else_is_changed(
    status: str,
) -> None:
    target = Target(contract(line("1"), line("2"), line("3")))
    target.items[1]["PurchasingContractDeletionCode"] = "L"
    # Also where the lines could not be written.
    over = contract(line("1", item=""), line("9"), status=status, last_day=LATER)
    assert target.become(over) == [
        "PATCH A_PurchaseContract",
        "PATCH A_PurchaseContractItem 1",
        "PATCH A_PurchaseContractItem 3",
    ]
    assert [row["PurchasingContractDeletionCode"] for row in target.items] == ["S", "L", "S"]
    assert target.become(contract(line("1"), line("3"), last_day=LATER)) == [
        "PATCH A_PurchaseContractItem 1",
        "PATCH A_PurchaseContractItem 3",
    ]
    assert [row["PurchasingContractDeletionCode"] for row in target.items] == ["", "L", ""]
    target.contract["PurchasingDocumentDeletionCode"] = "L"
    assert target.become(over) == []


def test_a_draft_changes_nothing() -> None:
    target = Target(contract())
    assert target.become(contract(line("1", target=pieces("7")), line("2"), status="draft")) == []


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (header_with(PurchasingDocumentDeletionCode="L"),
         "PurchasingDocumentDeletionCode: L, wanted empty"),
        (header_with(Supplier="17300002"), "Supplier: 17300002, wanted 17300001"),
        (header_with(DocumentCurrency="USD"), "DocumentCurrency: USD, wanted EUR"),
        (header_with(PurchasingOrganization="1020"), "PurchasingOrganization: 1020, wanted 1010"),
        (item_with(PurchasingContractDeletionCode="L"),
         "Item 1 PurchasingContractDeletionCode: L, wanted empty"),
        (item_with(Material="BOLT"), "Item 1 Material: BOLT, wanted SEAL-7"),
        (item_with(OrderQuantityUnit="KG"), "Item 1 OrderQuantityUnit: KG, wanted PC"),
    ],
)  # fmt: skip
def test_what_makes_it_another_contract_is_left_to_people(
    edit: Callable[[Target], object], message: str
) -> None:
    found = seen(contract(), edit)
    assert found.differences == (message,)
    with pytest.raises(Conflict, match="contract-differs") as conflict:
        next_write(contract(), found)
    assert conflict.value.where == "contract/C-1001"
    assert message in conflict.value.what


def test_a_conflict_of_one_item_is_raised_before_anything_is_written() -> None:
    target = Target(contract(line("1"), line("2")))
    target.items[1]["Material"] = "BOLT"
    wanted = contract(line("1", target=pieces("9")), line("2"), line("3"), last_day=LATER)
    found = DRIVER.read(step_of(wanted), listed(target.contract))
    assert isinstance(found, Present)
    with pytest.raises(Conflict):
        DRIVER.write(step_of(wanted), found, "key-1")


def test_items_that_the_service_kept_back_are_never_taken_for_missing() -> None:
    for cut in ({"results": [], "__next": "https://x/?$skiptoken=1"}, None):
        target = Target(contract())
        if cut is None:
            del target.contract["to_PurchaseContractItem"]
        else:
            target.contract["to_PurchaseContractItem"] = cut
        with pytest.raises(Misconfigured, match="answer-incomplete"):
            DRIVER.read(step_of(contract()), listed(target.contract))


# --- any contract becomes any other ---

contract_lines = st.builds(
    line,
    st.sampled_from(["1", "2", "3", "40"]),
    target=st.integers(1, 3).map(str).map(pieces) | st.none(),
    price=st.integers(1, 3).map(str).map(price) | st.none(),
    plants=st.sampled_from([("1010",), ("1020",)]),
    lead_time_days=st.sampled_from([None, 5, 9]),
    is_blocked=st.booleans(),
)
contracts = st.builds(
    lambda lines, last, value: contract(*lines, last_day=last, target_value=value),
    st.lists(contract_lines, min_size=1, max_size=4, unique_by=lambda each: each.line),
    st.sampled_from([LAST, LATER, None]),
    st.sampled_from([None, euros("100"), euros("200")]),
)


@given(contracts, contracts)
@example(contract(line("1")), contract(line("1", is_blocked=True), line("2")))
def test_any_contract_becomes_any_other_change_by_change(
    old: PurchaseContract, new: PurchaseContract
) -> None:
    target, wanted = Target(old), Target(new)
    target.become(new)
    held, wants = target.holds(), wanted.holds()
    assert held.keys() == wants.keys()
    for each in new.lines:
        material, target_held, plant, price_held, code = held[each.line]
        assert (material, plant, code) == (wants[each.line][0], wants[each.line][2],
                                           wants[each.line][4])  # fmt: skip
        assert each.target is None or target_held == each.target.value
        assert each.price is None or price_held == wants[each.line][3]
    for name in ("ValidityStartDate", "ValidityEndDate"):
        assert target.contract[name] == wanted.contract[name]
    if new.target_value is not None:
        assert Decimal(target.contract["PurchaseContractTargetAmount"]) == new.target_value.amount


# --- answers ---


def confirm(response: Response) -> Confirmed:
    return DRIVER.confirm(step_of(contract()), response)


def made(body: dict[str, Any]) -> Response:
    return Response(201, JSON, msgspec.json.encode({"d": body}))


def test_a_write_is_confirmed_with_the_erps_own_number() -> None:
    target = Target(contract())
    for body in (target.contract, target.items[0]):
        assert confirm(made(body)).reference == ERP_NUMBER
        assert confirm(in_batch(carried_out(made(body)))).reference == ERP_NUMBER
    assert confirm(in_batch(carried_out(NO_CONTENT))) == Confirmed()


def test_what_the_service_has_to_say_about_a_change_is_kept() -> None:
    said = {"sap-message": '{"code": "06/1", "message": "Price differs"}'}
    warned = in_batch(carried_out(Response(204, said, b"")))
    assert confirm(warned) == Confirmed(warnings=("06/1: Price differs",), is_full=False)


@pytest.mark.parametrize(
    "body",
    [
        {"PurchaseContract": "46", "CorrespncInternalReference": "C-1002"},
        {"PurchaseContract": "46", "PurchaseContractItem": "99"},
        {"PurchaseContract": "46"},
    ],
)
def test_a_confirmation_of_another_contract_is_not_tried_again(body: dict[str, Any]) -> None:
    with pytest.raises(Conflict, match="answer-about-another"):
        confirm(made(body))


def test_a_confirmation_that_names_nothing_is_in_doubt() -> None:
    with pytest.raises(InDoubt, match="answer-nameless"):
        confirm(made({"Supplier": "17300001"}))


def test_a_refusal_in_a_batch_is_that_of_the_change() -> None:
    approved = refusal(400, "06/115", "Contract 46 is in approval")
    with pytest.raises(Rejected, match="06/115: Contract 46 is in approval"):
        confirm(in_batch(http(approved)))
    locked = refusal(400, "06/9", "Contract 46 is locked by user MILLER")
    with pytest.raises(Unavailable, match="MILLER"):
        confirm(in_batch(http(locked)))
    stale = refusal(412, "/IWFND/CM_MGW/412")
    with pytest.raises(Unavailable, match="changed-meanwhile"):
        confirm(in_batch(http(stale)))
    with pytest.raises(InDoubt):
        confirm(in_batch(http(refusal(500, "X/1"))))


def test_a_refusal_that_speaks_of_change_sets_has_no_setting_as_its_remedy() -> None:
    refused = http(refusal(400, "X/1", "Changeset: contract 46 cannot be changed"))
    with pytest.raises(Rejected, match="X/1: Changeset: contract 46"):
        confirm(in_batch(refused))


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (Response(202, {"content-type": "multipart/mixed; boundary=x"}, b"--x\r\n"),
         "answer-unusable"),
        (in_batch(carried_out()), "answer-unusable"),
        (Response(202, {}, b""), "status-202"),
    ],
)  # fmt: skip
def test_a_batch_without_the_answer_to_its_change_is_in_doubt(
    response: Response, code: str
) -> None:
    with pytest.raises(InDoubt, match=code):
        confirm(response)


def test_the_key_of_an_item_is_that_of_the_service() -> None:
    target = Target(contract())
    request = next_write(contract(line(target=pieces("7"))), seen_of(target))
    _, described = MODEL.find("A_PurchaseContractItem")
    key = call_of(request).path.removeprefix(f"{ROOT}/A_PurchaseContractItem(").removesuffix(")")
    assert parse_key(described, key) == {
        "PurchaseContract": ERP_NUMBER,
        "PurchaseContractItem": "1",
    }


def seen_of(target: Target) -> Present:
    found = DRIVER.read(step_of(contract(line(target=pieces("7")))), listed(target.contract))
    assert isinstance(found, Present)
    return found


# --- garbage ---


@given(st.data())
def test_garbage_raises_only_canonical_failures(data: st.DataObject) -> None:
    entity = copy.deepcopy(Target(OWN).contract)
    container, name = data.draw(st.sampled_from(inside(entity)))
    container[name] = data.draw(VALUES | st.dates().map(str) | st.integers().map(str))
    step = step_of(OWN)
    try:
        found = DRIVER.read(step, data.draw(st.sampled_from([listed(entity), one(entity)])))
        if isinstance(found, More):
            found = found.read(one(entity))
        if isinstance(found, Present) and not found.equal:
            DRIVER.write(step, found, "key-1")
        DRIVER.confirm(step, one(entity))
    except Failure:
        return
