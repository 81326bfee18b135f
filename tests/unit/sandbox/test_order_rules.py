"""What the ERP stand-in refuses of a purchase order, and what follows from a write of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ops.sandbox.erp_rules import CHECK, CREATE, DELETE, SETTLE
from ops.sandbox.erp_work import Seed, Work, row_of
from ops.sandbox.odata import check_payload, load_model
from ops.sandbox.refusal import Refused
from ops.sandbox.tables import Stored, Tables

MODEL = load_model()
SEED = Seed(
    plants=("1010", "1020"),
    purchasing_organizations={"1010": ("1010",)},
    suppliers=("17300001",),
)
ORDERS, ITEMS, LINES = "A_PurchaseOrder", "A_PurchaseOrderItem", "A_PurchaseOrderScheduleLine"


@pytest.fixture
def work() -> Work:
    tables = Tables(Path(":memory:"), [entity_set.name for _, entity_set in MODEL.sets()])
    work = Work(MODEL, tables, SEED, datetime(2026, 3, 2, tzinfo=UTC), "demo", changes=[])
    for number, unit in (("SEAL", "PC"), ("OIL", "KG"), ("HOSE", "M")):
        work.insert("A_Product", {"Product": number, "ProductType": "ROH", "BaseUnit": unit})
        if number != "HOSE":
            work.insert("A_ProductPlant", {"Product": number, "Plant": "1010"})
    return work


def item(number: str = "10", **fields: object) -> dict[str, Any]:
    return {
        "PurchaseOrderItem": number,
        "Material": "SEAL",
        "Plant": "1010",
        "OrderQuantity": "5",
        "NetPriceAmount": "25",
        **fields,
    }


def order(*items: dict[str, Any], **fields: object) -> dict[str, Any]:
    return {
        "PurchaseOrderType": "NB",
        "Supplier": "17300001",
        "PurchasingOrganization": "1010",
        "PurchasingGroup": "001",
        "DocumentCurrency": "EUR",
        "to_PurchaseOrderItem": {"results": list(items or (item(),))},
        **fields,
    }


def part(number: str, quantity: str) -> dict[str, Any]:
    return {"ScheduleLine": number, "ScheduleLineOrderQuantity": quantity}


def create(work: Work, name: str, payload: object) -> Stored:
    return CREATE[name](work, check_payload(MODEL, MODEL.find(name)[1], payload, creating=True))


def change(work: Work, name: str, stored: Stored, **fields: Any) -> None:
    row = row_of(stored) | fields
    CHECK[name](work, row, "")
    work.update(name, stored, row)
    SETTLE[name](work, row)


def held(work: Work, name: str, **where: str) -> list[Stored]:
    return work.tables.find(name, where)


@contextmanager
def refused_as(code: str) -> Iterator[None]:
    with pytest.raises(Refused) as refused:
        yield
    assert refused.value.code == f"ZSANDBOX/{code}"


def quantities(work: Work) -> tuple[list[object], list[object]]:
    """Of items and of schedule lines."""
    return (
        [row.row["OrderQuantity"] for row in held(work, ITEMS)],
        [row.row["ScheduleLineOrderQuantity"] for row in held(work, LINES)],
    )


def test_an_order_is_stored_whole_and_its_quantity_is_what_its_schedule_comes_to(
    work: Work,
) -> None:
    parts = {"results": [part("1", "2"), part("2", "4")]}
    stored = create(work, ORDERS, order(item("10", to_ScheduleLine=parts), item("20")))
    assert stored.row["PurchaseOrder"] == "4500000001"
    assert quantities(work) == (["6.000", "5.000"], ["2.000", "4.000", "5.000"])
    assert [row.row["DocumentCurrency"] for row in held(work, ITEMS)] == ["EUR", "EUR"]


@pytest.mark.parametrize(
    ("payload", "code", "target"),
    [
        (order(Supplier="1"), "SUPPLIER_UNKNOWN", "Supplier"),
        (order(PurchaseOrderType="ZZ"), "ORDER_TYPE", "PurchaseOrderType"),
        (order(PurchasingOrganization="9"), "PURCHASING_ORGANIZATION", "PurchasingOrganization"),
        (order(PurchaseOrder="45"), "NUMBER_INTERNAL", "PurchaseOrder"),
        (order(PurchasingGroup=""), "PROPERTY_MISSING", "PurchasingGroup"),
        (order(to_PurchaseOrderItem=[]), "ORDER_EMPTY", "to_PurchaseOrderItem"),
        (order(item(Material="BOLT")), "ORDER_MATERIAL_MISSING",
         "to_PurchaseOrderItem(0)/Material"),
        (order(item(), item("20", Material="HOSE")), "PRODUCT_NOT_IN_PLANT",
         "to_PurchaseOrderItem(1)/Plant"),
        (order(item(Plant="1020")), "PLANT_UNKNOWN", "to_PurchaseOrderItem(0)/Plant"),
        (order(item(PurchaseOrderQuantityUnit="KG")), "UNIT_NOT_CONVERTIBLE",
         "to_PurchaseOrderItem(0)/PurchaseOrderQuantityUnit"),
        (order(item(OrderQuantity="0")), "ORDER_QUANTITY",
         "to_PurchaseOrderItem(0)/OrderQuantity"),
        (order(item(to_ScheduleLine=[part("1", "0")])), "ORDER_QUANTITY",
         "to_PurchaseOrderItem(0)/to_ScheduleLine(0)/ScheduleLineOrderQuantity"),
    ],
)  # fmt: skip
def test_an_order_that_breaks_a_rule_is_refused_with_its_place(
    work: Work, payload: dict[str, Any], code: str, target: str
) -> None:
    with pytest.raises(Refused) as refused:
        create(work, ORDERS, payload)
    assert (refused.value.code, refused.value.target) == (f"ZSANDBOX/{code}", target)


def test_the_last_schedule_line_takes_what_an_item_has_more_or_less(work: Work) -> None:
    create(work, ORDERS, order(item(to_ScheduleLine=[part("1", "2"), part("2", "3")])))
    [stored] = held(work, ITEMS)
    change(work, ITEMS, stored, OrderQuantity="9.000")
    assert quantities(work) == (["9.000"], ["2.000", "7.000"])
    with refused_as("ORDER_SCHEDULE"):
        change(work, ITEMS, stored, OrderQuantity="2.000")


def test_an_item_follows_its_schedule_lines_and_keeps_one(work: Work) -> None:
    create(work, ORDERS, order(item(to_ScheduleLine=[part("1", "2"), part("2", "3")])))
    first, second = held(work, LINES)
    change(work, LINES, second, ScheduleLineOrderQuantity="8.000")
    assert quantities(work)[0] == ["10.000"]
    DELETE[LINES](work, first)
    assert quantities(work) == (["8.000"], ["8.000"])
    with refused_as("ORDER_SCHEDULE"):
        DELETE[LINES](work, held(work, LINES)[0])


def test_what_is_deleted_stays_with_its_code_and_takes_nothing_more(work: Work) -> None:
    create(work, ORDERS, order(item(), item("20")))
    first, _ = held(work, ITEMS)
    DELETE[ITEMS](work, first)
    assert [row.row["PurchasingDocumentDeletionCode"] for row in held(work, ITEMS)] == ["L", ""]
    with refused_as("ORDER_ITEM_DELETED"):
        change(work, ITEMS, first, OrderQuantity="9.000")
    with refused_as("ORDER_ITEM_DELETED"):
        create(work, LINES, part("2", "1") | {"PurchasingDocument": "4500000001",
                                              "PurchasingDocumentItem": "10"})  # fmt: skip
    with refused_as("ORDER_ITEM_DELETED"):
        DELETE[ITEMS](work, first)
    assert [row.row["PurchasingDocumentDeletionCode"] for row in held(work, ORDERS)] == [""]


def test_a_whole_order_can_be_deleted_and_gets_no_new_items(work: Work) -> None:
    header = create(work, ORDERS, order(item(), item("20")))
    DELETE[ORDERS](work, header)
    assert [row.row["PurchasingDocumentDeletionCode"] for row in held(work, ITEMS)] == ["L", "L"]
    [header] = held(work, ORDERS)
    assert header.row["PurchasingDocumentDeletionCode"] == "L"
    with refused_as("ORDER_MISSING"):
        create(work, ITEMS, item("30", PurchaseOrder="4500000001"))


@pytest.mark.parametrize("mark", ["IsCompletelyDelivered", "IsFinallyInvoiced"])
def test_a_closed_item_takes_no_changes(work: Work, mark: str) -> None:
    create(work, ORDERS, order())
    [stored] = held(work, ITEMS)
    change(work, ITEMS, stored, **{mark: True})
    [line] = held(work, LINES)
    writes: tuple[Callable[[], None], ...] = (
        lambda: change(work, ITEMS, stored, OrderQuantity="9.000"),
        lambda: change(work, LINES, line, ScheduleLineOrderQuantity="9.000"),
        lambda: DELETE[ITEMS](work, stored),
        lambda: DELETE[LINES](work, line),
    )
    for write in writes:
        with refused_as("ORDER_ITEM_CLOSED"):
            write()
