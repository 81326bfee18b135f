"""Purchase orders out to S/4HANA: what is sent, how it is found again, and how one order becomes
another, item by item; the target is simulated by plain values."""

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

from canonical.connector import Absent, Confirmed, More, Present
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
from canonical.operations import PutOrder
from canonical.order import OrderLine, PurchaseOrder, ScheduleLine
from canonical.quantity import Quantity
from handlers.systems.s4.native import Entity, PlacedItem, PlacedOrder, PlacedSchedule
from handlers.systems.s4.odata import fields
from handlers.systems.s4.outbound import DRIVER
from ops.sandbox.odata import check_payload, load_model
from ops.sandbox.resource import parse_query, parse_resource
from tests.garbage import VALUES, inside

MODEL = load_model()
JSON = {"content-type": "application/json"}
ETAG = "W/\"'1'\""
ERP_NUMBER = "4500000042"
ROOT = "/sap/opu/odata/sap/API_PURCHASEORDER_PROCESS_SRV"
DAY, LATER = date(2026, 3, 16), date(2026, 4, 1)
DAY_TEXT, LATER_TEXT = "/Date(1773619200000)/", "/Date(1775001600000)/"


def pieces(number: str) -> Quantity:
    return Quantity(Decimal(number), "H87")


def price(amount: str = "25.00", per: str = "1000", currency: str = "EUR") -> UnitPrice:
    return UnitPrice(Money(Decimal(amount), currency), pieces(per))


def on(number: str, day: date | None = DAY) -> ScheduleLine:
    return ScheduleLine(pieces(number), day)


def line(number: str = "1", quantity: str = "500", **more: Any) -> OrderLine:
    plain = OrderLine(
        line=number,
        item="SEAL-7",
        quantity=pieces(quantity),
        price=price(),
        plant="1010",
        supplier_item="T-77",
        description="Shaft seal",
        schedule=(on(quantity),),
    )
    return msgspec.structs.replace(plain, **more)


def order(*lines: OrderLine, **more: Any) -> PurchaseOrder:
    plain = PurchaseOrder(
        number="PO-1001",
        version=1,
        supplier="17300001",
        currency="EUR",
        lines=lines or (line(),),
        organisation="1010",
        ordered_on=date(2026, 3, 2),
    )
    return msgspec.structs.replace(plain, **more)


def step_of(wanted: PurchaseOrder, group: str = "C01") -> Step:
    return Step("", "erp", "order", wanted.number, PutOrder(wanted, group))


def body_of(request: Request) -> dict[str, Any]:
    assert request.body is not None
    decoded: dict[str, Any] = msgspec.json.decode(request.body)
    return decoded


def create_of(wanted: PurchaseOrder) -> Request:
    write = DRIVER.write(step_of(wanted), Absent(), "key-1")
    assert write is not None
    assert write.completes
    return write.request


def created(wanted: PurchaseOrder) -> dict[str, Any]:
    return body_of(create_of(wanted))


def one(entity: dict[str, Any]) -> Response:
    return Response(200, JSON, msgspec.json.encode({"d": entity}))


def listed(*entities: dict[str, Any]) -> Response:
    return Response(200, JSON, msgspec.json.encode({"d": {"results": entities}}))


def refusal(status: int, code: str, text: str = "") -> Response:
    error = {"code": code, "message": {"lang": "en", "value": text}}
    return Response(status, JSON, msgspec.json.encode({"error": error}))


GONE = refusal(404, "/IWBEP/CM_MGW_RT/020", "Resource not found")


class Target:
    """One order at a target, which takes creates, changes and deletions as they are sent. A
    quantity is what the schedule lines come to; an item that is deleted stays."""

    def __init__(self, wanted: PurchaseOrder) -> None:
        self.order = copy.deepcopy(created(wanted)) | {
            "PurchaseOrder": ERP_NUMBER,
            "PurchasingDocumentDeletionCode": "",
            "__metadata": {"etag": ETAG},
        }
        for item in self.items:
            self._number(item)

    @property
    def items(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.order["to_PurchaseOrderItem"]["results"]
        return rows

    def _number(self, item: dict[str, Any]) -> None:
        item |= {
            "PurchaseOrder": ERP_NUMBER,
            "PurchasingDocumentDeletionCode": "",
            "OrderQuantity": f"{Decimal(item['OrderQuantity']):.3f}",
            "__metadata": {"etag": ETAG},
        }
        whole = {"ScheduleLine": "1", "ScheduleLineDeliveryDate": LATER_TEXT,
                 "ScheduleLineOrderQuantity": item["OrderQuantity"]}  # fmt: skip
        lines = item.setdefault("to_ScheduleLine", {"results": [whole]})
        for row in lines["results"]:
            self._number_line(item, row)

    def _number_line(self, item: dict[str, Any], row: dict[str, Any]) -> None:
        row |= {
            "PurchasingDocument": ERP_NUMBER,
            "PurchasingDocumentItem": item["PurchaseOrderItem"],
            "__metadata": {"etag": ETAG},
        }
        row.setdefault("ScheduleLineDeliveryDate", LATER_TEXT)

    def take(self, request: Request) -> None:
        """Also: that the vendor's description has what is sent."""
        resource = parse_resource(MODEL, request.path)
        key = resource.key
        assert key is not None
        if request.method != "POST":
            assert ("If-Match", ETAG) in request.headers
        entity_set = resource.entity_set
        assert entity_set is not None
        if resource.navigation is not None:
            _, entity_set = MODEL.find(resource.navigation.set)
        if request.body is not None:
            check_payload(MODEL, entity_set, body_of(request), creating=request.method == "POST")
        number = key.get("PurchaseOrderItem") or key.get("PurchasingDocumentItem")
        if entity_set.name == "A_PurchaseOrderItem":
            self._take_item(request, str(number or ""))
        else:
            [item] = [row for row in self.items if row["PurchaseOrderItem"] == number]
            self._take_line(request, item, str(key.get("ScheduleLine", "")))

    def _take_item(self, request: Request, number: str) -> None:
        if request.method == "POST":
            item = body_of(request)
            assert item["PurchaseOrderItem"] not in {row["PurchaseOrderItem"] for row in self.items}
            self._number(item)
            self.items.append(item)
            return
        [item] = [row for row in self.items if row["PurchaseOrderItem"] == number]
        if request.method == "DELETE":
            item["PurchasingDocumentDeletionCode"] = "L"
            return
        item |= body_of(request)
        lines = item["to_ScheduleLine"]["results"]
        missing = Decimal(item["OrderQuantity"]) - total(lines)
        lines[-1]["ScheduleLineOrderQuantity"] = str(
            Decimal(lines[-1]["ScheduleLineOrderQuantity"]) + missing
        )

    def _take_line(self, request: Request, item: dict[str, Any], number: str) -> None:
        lines = item["to_ScheduleLine"]["results"]
        if request.method == "POST":
            body = body_of(request)
            assert body["ScheduleLine"] not in {row["ScheduleLine"] for row in lines}
            self._number_line(item, body)
            lines.append(body)
        else:
            [row] = [row for row in lines if row["ScheduleLine"] == number]
            if request.method == "DELETE":
                lines.remove(row)
            else:
                row |= body_of(request)
        item["OrderQuantity"] = f"{total(lines):.3f}"

    def become(self, wanted: PurchaseOrder) -> list[str]:
        """The methods and places of the writes that it took."""
        writes: list[str] = []
        step, before = step_of(wanted), 10**6
        for _ in range(100):
            found = DRIVER.read(step, listed(self.order))
            assert isinstance(found, Present)
            if found.equal:
                return writes
            assert len(found.differences) < before
            before = len(found.differences)
            write = DRIVER.write(step, found, "key-1")
            assert write is not None
            self.take(write.request)
            writes.append(f"{write.request.method} {write.request.path.removeprefix(ROOT)}")
            if write.completes:
                after = DRIVER.read(step, listed(self.order))
                assert isinstance(after, Present)
                assert (after.equal, after.differences) == (True, ())
                return writes
        raise AssertionError("never done")

    def holds(self) -> dict[str, Any]:
        """What is on order."""
        return {
            item["PurchaseOrderItem"]: (
                item["Material"],
                Decimal(item["OrderQuantity"]),
                item["Plant"],
                item.get("NetPriceAmount"),
                sorted(
                    (row["ScheduleLineDeliveryDate"], Decimal(row["ScheduleLineOrderQuantity"]))
                    for row in item["to_ScheduleLine"]["results"]
                ),
            )
            for item in self.items
            if not item["PurchasingDocumentDeletionCode"]
        }


def total(lines: list[dict[str, Any]]) -> Decimal:
    return sum((Decimal(row["ScheduleLineOrderQuantity"]) for row in lines), Decimal(0))


def seen(wanted: PurchaseOrder, edit: Callable[[Target], object] = lambda target: None) -> Present:
    """What a read finds after the create, with something changed by somebody."""
    target = Target(wanted)
    edit(target)
    found = DRIVER.read(step_of(wanted), listed(target.order))
    assert isinstance(found, Present)
    return found


def item_with(**changed: object) -> Callable[[Target], object]:
    return lambda target: target.items[0].update(changed)


def header_with(**changed: object) -> Callable[[Target], object]:
    return lambda target: target.order.update(changed)


def next_write(wanted: PurchaseOrder, found: Present) -> Request:
    write = DRIVER.write(step_of(wanted), found, "key-1")
    assert write is not None
    return write.request


# --- names ---


@pytest.mark.parametrize(
    ("kind", "entity_set"),
    [
        (PlacedOrder, "A_PurchaseOrder"),
        (PlacedItem, "A_PurchaseOrderItem"),
        (PlacedSchedule, "A_PurchaseOrderScheduleLine"),
    ],
)
def test_every_field_is_one_of_the_vendors(kind: type[Entity], entity_set: str) -> None:
    _, described = MODEL.find(entity_set)
    assert set(fields(kind)) <= {p.name for p in described.properties}


def test_the_read_and_the_create_are_what_the_vendor_describes() -> None:
    wanted = order(line(), line("2", schedule=()))
    for request in (DRIVER.observe(step_of(wanted)), create_of(wanted)):
        resource = parse_resource(MODEL, request.path)
        assert resource.entity_set is not None
        if request.method == "GET":
            query = parse_query(MODEL, resource.entity_set, dict(request.query))
            assert query.where == {"CorrespncInternalReference": "PO-1001"}
        else:
            draft = check_payload(MODEL, resource.entity_set, body_of(request), creating=True)
            assert len(draft.children["to_PurchaseOrderItem"]) == 2


# --- what is sent ---


def test_an_order_is_created_with_its_items_and_schedule_lines_under_our_number() -> None:
    parts = (on("200"), on("300", LATER))
    request = create_of(order(line("1", schedule=parts), line("2", "3", price=None, schedule=())))
    assert (request.method, request.path) == ("POST", f"{ROOT}/A_PurchaseOrder")
    assert body_of(request) == {
        "PurchaseOrderType": "NB",
        "Supplier": "17300001",
        "PurchasingOrganization": "1010",
        "PurchasingGroup": "C01",
        "PurchaseOrderDate": "/Date(1772409600000)/",
        "DocumentCurrency": "EUR",
        "CorrespncInternalReference": "PO-1001",
        "to_PurchaseOrderItem": {
            "results": [
                {
                    "PurchaseOrderItem": "1",
                    "PurchaseOrderItemText": "Shaft seal",
                    "Plant": "1010",
                    "SupplierMaterialNumber": "T-77",
                    "OrderQuantity": "500",
                    "PurchaseOrderQuantityUnit": "PC",
                    "OrderPriceUnit": "PC",
                    "NetPriceAmount": "25",
                    "NetPriceQuantity": "1000",
                    "Material": "SEAL-7",
                    "to_ScheduleLine": {
                        "results": [
                            {
                                "ScheduleLine": "1",
                                "ScheduleLineDeliveryDate": DAY_TEXT,
                                "ScheduleLineOrderQuantity": "200",
                            },
                            {
                                "ScheduleLine": "2",
                                "ScheduleLineDeliveryDate": LATER_TEXT,
                                "ScheduleLineOrderQuantity": "300",
                            },
                        ]
                    },
                },
                {
                    "PurchaseOrderItem": "2",
                    "PurchaseOrderItemText": "Shaft seal",
                    "Plant": "1010",
                    "SupplierMaterialNumber": "T-77",
                    "OrderQuantity": "3",
                    "PurchaseOrderQuantityUnit": "PC",
                    "Material": "SEAL-7",
                },
            ]
        },
    }


@pytest.mark.parametrize(
    ("wanted", "code", "where"),
    [
        (order(kind="call-off"), "order-type-unmapped", "purchase-order/PO-1001"),
        (order(organisation=""), "organisation-missing", "purchase-order/PO-1001"),
        (order(line("1"), line("1")), "line-twice", "purchase-order/PO-1001"),
        (order(line("1"), line("01")), "line-twice", "purchase-order/PO-1001"),
        (order(line("1", item="")), "line-without-item", "purchase-order/PO-1001/1"),
        (order(line("1", plant="")), "plant-missing", "purchase-order/PO-1001/1"),
        (order(line("1a")), "line-not-representable", "purchase-order/PO-1001/1a"),
        (order(line("0")), "line-not-representable", "purchase-order/PO-1001/0"),
        (order(line("0" * 9 + "1" * 9)), "line-not-representable",
         f"purchase-order/PO-1001/{'0' * 9}{'1' * 9}"),
        (order(line("100000")), "line-not-representable", "purchase-order/PO-1001/100000"),
        (order(line("1", "0", schedule=())), "quantity-not-representable",
         "purchase-order/PO-1001/1"),
        (order(line("1", "0.0001", schedule=())), "quantity-not-representable",
         "purchase-order/PO-1001/1"),
        (order(line("1", "5", schedule=(on("-1"), on("6")))), "quantity-not-representable",
         "purchase-order/PO-1001/1"),
        (order(line("1", "5", schedule=(on("4"),))), "schedule-differs",
         "purchase-order/PO-1001/1"),
        (order(line("1", "5", schedule=(ScheduleLine(Quantity(Decimal(5), "KGM")),))),
         "schedule-differs", "purchase-order/PO-1001/1"),
        (order(line("1", price=price(currency="USD"))), "price-currency",
         "purchase-order/PO-1001/1"),
        (order(line("1", price=price("0.000001"))), "price-not-representable",
         "purchase-order/PO-1001/1"),
        (order(*(line(str(n), "1") for n in range(1, 1002))), "order-too-long",
         "purchase-order/PO-1001"),
    ],
)  # fmt: skip
def test_what_no_order_of_the_erp_can_be_is_refused_with_its_line(
    wanted: PurchaseOrder, code: str, where: str
) -> None:
    with pytest.raises(Rejected) as refused:
        create_of(wanted)
    assert (refused.value.code, refused.value.where) == (code, where)
    assert refused.value.remedy


def test_a_unit_that_the_erp_does_not_know_is_refused() -> None:
    fathoms = Quantity(Decimal(1), "AK")
    unknown = msgspec.structs.replace(line(schedule=()), quantity=fathoms)
    with pytest.raises(InvalidMessage, match="unit-unmapped"):
        create_of(order(unknown))


def test_a_number_that_could_not_be_found_again_is_never_sent() -> None:
    with pytest.raises(Rejected, match="reference-too-long"):
        DRIVER.observe(step_of(order(number="PO-1001-00001")))


def test_what_has_no_place_is_left_out_and_named() -> None:
    wanted = order(
        line("1", revision="B", contract="C-1", description="x" * 41),
        line("2", "5", supplier_item="9" * 36, schedule=(on("5"), on("0", LATER))),
        payment_terms="Net 30",
    )
    response = Response(201, JSON, msgspec.json.encode({"d": Target(wanted).order}))
    assert DRIVER.confirm(step_of(wanted), response) == Confirmed(
        ERP_NUMBER,
        warnings=(
            "The payment terms Net 30 are not sent: the ERP takes those that it has agreed with"
            " the supplier",
            "Texts of items are cut to 40 characters: line 1",
            "Numbers of the supplier longer than 35 are left out: line 2",
            "Revisions have no place in an order of the ERP: line 1",
            "Contracts are not sent: the ERP has numbers of its own for them: line 1",
            "Schedule lines without a quantity are not sent: line 2",
        ),
    )
    first, second = created(wanted)["to_PurchaseOrderItem"]["results"]
    assert first["PurchaseOrderItemText"] == "x" * 40
    assert "SupplierMaterialNumber" not in second
    assert len(second["to_ScheduleLine"]["results"]) == 1
    assert seen(wanted).equal


# --- which order is meant ---


def test_an_order_that_nothing_refers_to_is_absent() -> None:
    assert DRIVER.read(step_of(order()), listed()) == Absent()
    other = Target(order()).order | {"CorrespncInternalReference": "PO-1002"}
    assert DRIVER.read(step_of(order()), listed(other)) == Absent()


def test_an_order_cancelled_before_it_came_needs_nothing() -> None:
    cancelled = order().lines[:0]
    wanted = msgspec.structs.replace(order(), lines=cancelled)
    assert DRIVER.read(step_of(wanted), listed()) == Present(equal=True)


def test_of_two_orders_the_one_that_is_not_deleted_counts() -> None:
    first, second = Target(order()).order, Target(order()).order
    first["PurchasingDocumentDeletionCode"] = "L"
    second["PurchaseOrder"] = "4500000043"
    found = DRIVER.read(step_of(order()), listed(first, second))
    assert isinstance(found, Present)
    assert (found.equal, found.reference) == (True, "4500000043")


def test_trap_an_order_placed_twice_is_for_a_person() -> None:
    first, second = Target(order()).order, Target(order()).order
    second["PurchaseOrder"] = "4500000043"
    with pytest.raises(SuspectedDuplicate, match="order-ambiguous") as twice:
        DRIVER.read(step_of(order()), listed(first, second))
    assert "4500000042, 4500000043" in twice.value.what


def by_number(wanted: PurchaseOrder, response: Response) -> object:
    """What the second call finds, which asks for the order of our number."""
    more = DRIVER.read(step_of(wanted), listed())
    assert isinstance(more, More)
    path = f"{ROOT}/A_PurchaseOrder('{wanted.number}')"
    assert (more.request.method, more.request.path) == ("GET", path)
    asked = DRIVER.observe(step_of(wanted)).query
    assert more.request.query == tuple(option for option in asked if option[0] != "$filter")
    return more.read(response)


OWN = order(number=ERP_NUMBER)


def own(**changed: object) -> Response:
    """The ERP's own order of that number, which refers to nothing."""
    return one(Target(OWN).order | {"CorrespncInternalReference": ""} | changed)


def test_an_order_of_the_erps_own_is_found_by_its_number_and_not_placed_again() -> None:
    found = by_number(OWN, own())
    assert isinstance(found, Present)
    assert (found.equal, found.reference) == (True, ERP_NUMBER)
    # Buyers use the field for what they like.
    referring = by_number(OWN, own(CorrespncInternalReference="MILLER"))
    assert isinstance(referring, Present)
    assert referring.equal


@pytest.mark.parametrize(
    "response", [GONE, own(Supplier="17300002"), own(PurchaseOrder=f"00{ERP_NUMBER}", Supplier="")]
)
def test_an_order_of_another_supplier_under_our_number_is_another_one(response: Response) -> None:
    assert by_number(OWN, response) == Absent()


def test_trap_an_order_that_may_be_another_one_is_for_a_person_who_says_so_by_its_reference() -> (
    None
):
    target = Target(OWN)
    target.items[0]["Material"] = "BOLT"
    with pytest.raises(SuspectedDuplicate, match="order-number-taken"):
        by_number(OWN, one(target.order | {"CorrespncInternalReference": ""}))
    other = target.order | {"CorrespncInternalReference": "X-9"}
    assert by_number(OWN, one(other)) == Absent()


def test_a_read_by_number_that_answers_another_is_a_fault() -> None:
    with pytest.raises(Misconfigured, match="answer-about-another"):
        by_number(OWN, own(PurchaseOrder="4500000099"))


# --- what has to change ---


def test_what_was_created_reads_back_as_equal() -> None:
    found = seen(order(line("1"), line("2", schedule=()), line("3", price=None)))
    assert (found.equal, found.differences, found.reference) == (True, (), ERP_NUMBER)


@pytest.mark.parametrize(
    "edit",
    [
        item_with(PurchaseOrderItem="00001"),
        item_with(Material="SEAL-7", NetPriceAmount="2.500", NetPriceQuantity="100"),
        item_with(OrderPriceUnit=""),
        item_with(PurchaseOrderQuantityUnit="ST"),
        item_with(PurchaseOrderItemText=" Shaft  seal"),
        item_with(IsReturnsItem=None),
        item_with(PurchasingDocumentDeletionCode="S"),
        header_with(Supplier="0017300001"),
        header_with(PurchaseOrderType="ZNB", PurchasingGroup="007"),
    ],
)
def test_what_is_only_written_otherwise_is_equal(edit: Callable[[Target], object]) -> None:
    assert seen(order(), edit).differences == ()


@pytest.mark.parametrize(
    ("plants", "whom", "setting"),
    [
        (("1010",), "plant 1010", "`purchasing_group` in its [[rules.plants]]"),
        (
            ("2010", "1010"),
            "plants 1010, 2010",
            "one `purchasing_group` for all of them in [[rules.plants]], or"
            " `central_purchasing_group` in [rules]",
        ),
    ],
)
def test_an_order_that_nobody_is_named_to_buy_is_refused_and_one_that_is_there_stays(
    plants: tuple[str, ...], whom: str, setting: str
) -> None:
    lines = [line(str(number), plant=plant) for number, plant in enumerate(plants, start=1)]
    wanted = order(*lines)
    step = step_of(wanted, group="")
    with pytest.raises(Misconfigured) as refused:
        DRIVER.write(step, Absent(), "key-1")
    assert (refused.value.code, refused.value.where) == (
        "purchasing-group-missing",
        "purchase-order/PO-1001",
    )
    assert refused.value.what == (
        f"Nobody is named who buys for {whom}: the ERP has to be told a purchasing group"
    )
    assert refused.value.remedy == f"Set {setting}; then state it again, or replay its message"
    held = Target(wanted).order | {"PurchasingGroup": "007"}
    found = DRIVER.read(step, listed(held))
    assert isinstance(found, Present)
    assert found.equal
    assert DRIVER.write(step, found, "key-1") is None


def test_quantity_day_and_price_are_changed_by_themselves_under_their_tags() -> None:
    target = Target(order())
    wanted = order(line("1", "600", price=price("26"), schedule=(on("600", LATER),)))
    found = DRIVER.read(step_of(wanted), listed(target.order))
    assert isinstance(found, Present)
    assert found.differences == (
        f"Item 1, schedule line 1 ScheduleLineDeliveryDate: {DAY_TEXT}, wanted {LATER_TEXT}",
        "Item 1, schedule line 1 ScheduleLineOrderQuantity: 500, wanted 600",
        "Item 1 OrderQuantity: 500.000, wanted 600",
        "Item 1 NetPriceAmount: 25, wanted 26",
        "Item 1 NetPriceQuantity: 1000, wanted 1000",
        "Item 1 OrderPriceUnit: PC, wanted PC",
    )
    request = next_write(wanted, found)
    assert dict(request.headers)["If-Match"] == ETAG
    assert dict(request.headers)["X-Request-ID"] == "key-1"
    assert body_of(request) == {
        "ScheduleLineDeliveryDate": LATER_TEXT,
        "ScheduleLineOrderQuantity": "600",
    }
    target.take(request)
    found = DRIVER.read(step_of(wanted), listed(target.order))
    assert isinstance(found, Present)
    # The quantity of the item has followed.
    assert body_of(next_write(wanted, found)) == {
        "NetPriceAmount": "26",
        "NetPriceQuantity": "1000",
        "OrderPriceUnit": "PC",
    }


def test_an_order_without_days_changes_the_quantity_and_leaves_the_days_to_the_erp() -> None:
    target = Target(order(line("1", schedule=())))
    assert target.become(order(line("1", "7", schedule=()))) == [
        f"PATCH /A_PurchaseOrderItem(PurchaseOrder='{ERP_NUMBER}',PurchaseOrderItem='1')"
    ]
    assert target.holds()["1"][4] == [(LATER_TEXT, Decimal(7))]


def test_items_are_added_first_and_cancelled_last() -> None:
    target = Target(order(line("1"), line("2", "5")))
    item = f"(PurchaseOrder='{ERP_NUMBER}',PurchaseOrderItem="
    assert target.become(order(line("2", "5", plant="1020"), line("3", "8"))) == [
        f"POST /A_PurchaseOrder('{ERP_NUMBER}')/to_PurchaseOrderItem",
        f"PATCH /A_PurchaseOrderItem{item}'2')",
        f"DELETE /A_PurchaseOrderItem{item}'1')",
    ]
    assert [(row["PurchaseOrderItem"], row["PurchasingDocumentDeletionCode"])
            for row in target.items] == [("1", "L"), ("2", ""), ("3", "")]  # fmt: skip


def test_schedule_lines_keep_their_day_and_go_on_counting() -> None:
    target = Target(order(line("1", "5", schedule=(on("2"), on("3", LATER)))))
    # The first is gone, the second stays, a new one takes what is free.
    wanted = order(
        line("1", "9", schedule=(on("3", LATER), on("1", date(2026, 5, 1)), on("5", DAY)))
    )
    key = f"PurchasingDocument='{ERP_NUMBER}',PurchasingDocumentItem='1'"
    assert target.become(wanted) == [
        f"POST /A_PurchaseOrderItem(PurchaseOrder='{ERP_NUMBER}',PurchaseOrderItem='1')"
        "/to_ScheduleLine",
        f"PATCH /A_PurchaseOrderScheduleLine({key},ScheduleLine='1')",
    ]
    assert [row["ScheduleLine"] for row in target.items[0]["to_ScheduleLine"]["results"]] == [
        "1",
        "2",
        "3",
    ]


def test_an_order_without_lines_is_cancelled_item_by_item_and_stays_so() -> None:
    target = Target(order(line("1"), line("2")))
    none = msgspec.structs.replace(order(), lines=())
    assert [write.split(" ")[0] for write in target.become(none)] == ["DELETE", "DELETE"]
    assert target.holds() == {}
    target.order["PurchasingDocumentDeletionCode"] = "L"
    assert target.become(none) == []


def test_what_goes_back_to_the_supplier_is_left_alone() -> None:
    def with_return(target: Target) -> None:
        row = copy.deepcopy(target.items[0])
        target.items.append(row | {"PurchaseOrderItem": "9", "IsReturnsItem": True})

    assert seen(order(), with_return).equal


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (header_with(PurchasingDocumentDeletionCode="L"),
         "PurchasingDocumentDeletionCode: L, wanted empty"),
        (header_with(Supplier="17300002"), "Supplier: 17300002, wanted 17300001"),
        (header_with(DocumentCurrency="USD"), "DocumentCurrency: USD, wanted EUR"),
        (header_with(PurchasingOrganization="1020"), "PurchasingOrganization: 1020, wanted 1010"),
        (item_with(PurchasingDocumentDeletionCode="L"),
         "Item 1 PurchasingDocumentDeletionCode: L, wanted empty"),
        (item_with(IsReturnsItem=True), "Item 1 IsReturnsItem: true, wanted false"),
        (item_with(Material="BOLT"), "Item 1 Material: BOLT, wanted SEAL-7"),
        (item_with(PurchaseOrderQuantityUnit="KG"),
         "Item 1 PurchaseOrderQuantityUnit: KG, wanted PC"),
    ],
)  # fmt: skip
def test_what_makes_it_another_order_is_left_to_people(
    edit: Callable[[Target], object], message: str
) -> None:
    found = seen(order(), edit)
    assert found.differences == (message,)
    with pytest.raises(Conflict, match="order-differs") as conflict:
        next_write(order(), found)
    assert conflict.value.where == "purchase-order/PO-1001"
    assert message in conflict.value.what


def test_a_conflict_of_one_item_is_raised_before_another_one_is_written() -> None:
    target = Target(order(line("1"), line("2")))
    target.items[1]["Material"] = "BOLT"
    wanted = order(line("1", "9", schedule=(on("9"),)), line("2"), line("3"))
    found = DRIVER.read(step_of(wanted), listed(target.order))
    assert isinstance(found, Present)
    with pytest.raises(Conflict):
        DRIVER.write(step_of(wanted), found, "key-1")


@pytest.mark.parametrize("child", ["to_PurchaseOrderItem", "to_ScheduleLine"])
def test_items_that_the_service_kept_back_are_never_taken_for_missing(child: str) -> None:
    target = Target(order())
    parent = target.order if child == "to_PurchaseOrderItem" else target.items[0]
    for cut in ({"results": [], "__next": "https://x/?$skiptoken=1"}, None):
        if cut is None:
            del parent[child]
        else:
            parent[child] = cut
        with pytest.raises(Misconfigured, match="answer-incomplete"):
            DRIVER.read(step_of(order()), listed(target.order))


# --- any order becomes any other ---

days = st.sampled_from([DAY, LATER, date(2026, 5, 1), None])
amounts = st.integers(1, 9).map(str)
schedules = st.lists(st.builds(on, amounts, days), max_size=4).map(tuple)


def scheduled_line(number: str, parts: tuple[ScheduleLine, ...], whole: str, cents: int,
                   plant: str) -> OrderLine:  # fmt: skip
    quantity = sum((part.quantity.value for part in parts), Decimal(0)) or Decimal(whole)
    return line(number, str(quantity), schedule=parts, plant=plant,
                price=price(str(Decimal(cents) / 100), "1"))  # fmt: skip


order_lines = st.builds(
    scheduled_line,
    st.sampled_from(["1", "2", "3", "40"]),
    schedules,
    amounts,
    st.integers(1, 3),
    st.sampled_from(["1010", "1020"]),
)
orders = st.lists(order_lines, min_size=1, max_size=4, unique_by=lambda each: each.line).map(
    lambda found: order(*found)
)


@given(orders, orders)
@example(order(line("1", "3", schedule=(on("1"), on("2", LATER)))),
         order(line("1", "3", schedule=(on("1", LATER), on("2")))))  # fmt: skip
@example(order(line("1", "3", schedule=(on("1"), on("2")))), order(line("1", "1")))
def test_any_order_becomes_any_other_item_by_item(old: PurchaseOrder, new: PurchaseOrder) -> None:
    target, wanted = Target(old), Target(new).holds()
    target.become(new)
    held = target.holds()
    assert held.keys() == wanted.keys()
    for each in new.lines:
        *fields_held, schedule_held = held[each.line]
        *fields_wanted, schedule_wanted = wanted[each.line]
        assert fields_held == fields_wanted
        if all(part.on for part in each.schedule) and each.schedule:
            assert schedule_held == schedule_wanted
        elif each.schedule:
            assert [q for _, q in sorted(schedule_held, key=lambda row: row[1])] == sorted(
                part.quantity.value for part in each.schedule
            )


# --- answers ---


def confirm(body: dict[str, Any], status: int = 201) -> Confirmed:
    return DRIVER.confirm(
        step_of(order()), Response(status, JSON, msgspec.json.encode({"d": body}))
    )


def test_a_write_is_confirmed_with_the_erps_own_number() -> None:
    target = Target(order())
    [item] = target.items
    [part] = item["to_ScheduleLine"]["results"]
    for body in (target.order, item, part):
        assert confirm(body).reference == ERP_NUMBER
    assert DRIVER.confirm(step_of(order()), Response(204, {}, b"")) == Confirmed()


@pytest.mark.parametrize(
    "body",
    [
        {"PurchaseOrder": "45", "CorrespncInternalReference": "PO-1002"},
        {"PurchaseOrder": "45", "PurchaseOrderItem": "99"},
        {"PurchasingDocument": "45", "PurchasingDocumentItem": "99"},
        {"PurchaseOrder": "45"},
    ],
)
def test_a_confirmation_of_another_order_is_not_tried_again(body: dict[str, Any]) -> None:
    with pytest.raises(Conflict, match="answer-about-another"):
        confirm(body)


def test_a_confirmation_that_names_nothing_is_in_doubt() -> None:
    with pytest.raises(InDoubt, match="answer-nameless"):
        confirm({"Supplier": "17300001"})


def test_a_refusal_and_a_lock_keep_the_targets_words() -> None:
    closed = refusal(400, "06/115", "Item 1 is closed")
    with pytest.raises(Rejected, match="06/115: Item 1 is closed"):
        DRIVER.confirm(step_of(order()), closed)
    locked = refusal(400, "06/9", "Purchase order 45 is locked by user MILLER")
    with pytest.raises(Unavailable, match="MILLER"):
        DRIVER.confirm(step_of(order()), locked)


# --- garbage ---


@given(st.data())
def test_garbage_raises_only_canonical_failures(data: st.DataObject) -> None:
    entity = copy.deepcopy(Target(OWN).order)
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
