"""What the ERP stand-in insists on of purchase orders, and what follows from a write of one.

An item that is deleted stays, with a deletion code; its quantity is the sum of its schedule lines.
"""

from decimal import Decimal

from ops.sandbox.erp_work import (
    Work,
    check_convertible,
    check_unit,
    english_description,
    existing_product,
    is_positive,
    not_given,
    require,
    require_in_plant,
    row_of,
    with_parent,
)
from ops.sandbox.odata import Draft, Row, date_literal
from ops.sandbox.partner_rules import require_supplier, require_unblocked
from ops.sandbox.refusal import Refused
from ops.sandbox.tables import Stored

ORDER_TYPES = frozenset({"NB", "FO", "UB"})  # standard, framework, stock transport
DELETED = "L"
ORDERS, ITEMS, LINES = "A_PurchaseOrder", "A_PurchaseOrderItem", "A_PurchaseOrderScheduleLine"


def create_order(work: Work, draft: Draft) -> Stored:
    """An order with its items, numbered by the ERP."""
    require(draft, "PurchaseOrderType", "Supplier", "PurchasingOrganization", "PurchasingGroup",
            "DocumentCurrency")  # fmt: skip
    not_given(draft, "PurchaseOrder")
    items = draft.children.get("to_PurchaseOrderItem", [])
    if not items:
        text = "A purchase order needs at least one item"
        raise Refused(400, "ZSANDBOX/ORDER_EMPTY", text, "to_PurchaseOrderItem")
    row: Row = {
        "CompanyCode": draft.row["PurchasingOrganization"],
        "PurchasingProcessingStatus": "02",
        "PurchaseOrderDate": date_literal(work.now),
        **draft.row,
    }
    check_order(work, row, draft.place)
    row["PurchaseOrder"] = str(work.tables.next_number("PurchaseOrder", first=4500000001))
    stored = work.insert(ORDERS, row)
    for item in items:
        create_item(work, with_parent(item, PurchaseOrder=row["PurchaseOrder"]))
    return stored


def check_order(work: Work, row: Row, place: str) -> None:
    if row["PurchaseOrderType"] not in ORDER_TYPES:
        text = f"Purchasing document type {row['PurchaseOrderType']} is not defined"
        raise Refused(400, "ZSANDBOX/ORDER_TYPE", text, f"{place}PurchaseOrderType")
    require_supplier(work, row["Supplier"], place)
    require_unblocked(work, row["Supplier"], place)
    organisation = str(row["PurchasingOrganization"])
    if organisation not in work.seed.purchasing_organizations:
        text = f"Purchasing organisation {organisation} is not defined"
        target = f"{place}PurchasingOrganization"
        raise Refused(400, "ZSANDBOX/PURCHASING_ORGANIZATION", text, target)


def create_item(work: Work, draft: Draft) -> Stored:
    """An item of an order that exists, with its schedule lines, one for all of it where none is
    given."""
    require(draft, "PurchaseOrder", "PurchaseOrderItem", "Material", "Plant", "OrderQuantity")
    order = _order(work, draft.row["PurchaseOrder"], draft.place)
    material = draft.row["Material"]
    target = f"{draft.place}Material"
    product = existing_product(work, material, "ZSANDBOX/ORDER_MATERIAL_MISSING", target)
    unit = draft.row.get("PurchaseOrderQuantityUnit") or product["BaseUnit"]
    row: Row = {
        "PurchaseOrderItemText": english_description(work, material),
        "OrderPriceUnit": unit,
        "NetPriceQuantity": "1",
        **draft.row,
        "PurchaseOrderQuantityUnit": unit,
        "DocumentCurrency": order["DocumentCurrency"],
    }
    check_item(work, row, draft.place)
    stored = work.insert(ITEMS, row)
    keys = {
        "PurchasingDocument": row["PurchaseOrder"],
        "PurchasingDocumentItem": row["PurchaseOrderItem"],
    }
    whole: Row = {"ScheduleLine": "1", "ScheduleLineOrderQuantity": row["OrderQuantity"]}
    lines = draft.children.get("to_ScheduleLine") or [Draft(LINES, whole, {}, draft.place)]
    for line in lines:
        create_line(work, with_parent(line, **keys))
    return stored


def check_item(work: Work, row: Row, place: str) -> None:
    _check_open(work, row["PurchaseOrder"], row["PurchaseOrderItem"], place)
    order = _order(work, row["PurchaseOrder"], place)
    organisation, plant = str(order["PurchasingOrganization"]), row["Plant"]
    if plant not in work.seed.purchasing_organizations.get(organisation, ()):
        text = f"Purchasing organisation {organisation} does not buy for plant {plant}"
        raise Refused(400, "ZSANDBOX/PLANT_UNKNOWN", text, f"{place}Plant")
    code = "ZSANDBOX/PRODUCT_NOT_IN_PLANT"
    require_in_plant(work, row["Material"], plant, code, f"{place}Plant")
    check_convertible(work, row["Material"], row, "PurchaseOrderQuantityUnit", place)
    check_unit(row, "OrderPriceUnit", place)
    for name in ("OrderQuantity", "NetPriceQuantity"):
        if not is_positive(row.get(name)):
            text = f"{name} of item {row['PurchaseOrderItem']} must be greater than zero"
            raise Refused(400, "ZSANDBOX/ORDER_QUANTITY", text, place + name)


def create_line(work: Work, draft: Draft) -> Stored:
    """A schedule line of an item that exists."""
    require(draft, "PurchasingDocument", "PurchasingDocumentItem", "ScheduleLine",
            "ScheduleLineOrderQuantity")  # fmt: skip
    check_line(work, draft.row, draft.place)
    row: Row = {"ScheduleLineDeliveryDate": date_literal(work.now), **draft.row}
    stored = work.insert(LINES, row)
    settle_line(work, draft.row)
    return stored


def check_line(work: Work, row: Row, place: str) -> None:
    order, item = row["PurchasingDocument"], row["PurchasingDocumentItem"]
    if work.get(ITEMS, PurchaseOrder=order, PurchaseOrderItem=item) is None:
        text = f"There is no item {item} of order {order}"
        raise Refused(400, "ZSANDBOX/ORDER_ITEM_MISSING", text, f"{place}PurchasingDocumentItem")
    _check_open(work, order, item, place)
    if not is_positive(row["ScheduleLineOrderQuantity"]):
        text = f"Schedule line {row['ScheduleLine']} must be for more than zero"
        target = f"{place}ScheduleLineOrderQuantity"
        raise Refused(400, "ZSANDBOX/ORDER_QUANTITY", text, target)


def settle_item(work: Work, row: Row) -> None:
    """The last schedule line takes what the item has more or less than they come to."""
    lines = _lines(work, row["PurchaseOrder"], row["PurchaseOrderItem"])
    missing = Decimal(str(row["OrderQuantity"])) - _total(lines)
    if not lines or not missing:
        return
    name = "ScheduleLineOrderQuantity"
    rest = Decimal(str(lines[-1].row[name])) + missing
    if rest <= 0:
        text = f"The schedule lines of item {row['PurchaseOrderItem']} come to more than it has"
        raise Refused(400, "ZSANDBOX/ORDER_SCHEDULE", text, "OrderQuantity")
    work.update(LINES, lines[-1], row_of(lines[-1]) | {name: f"{rest:.3f}"})


def settle_line(work: Work, row: Row) -> None:
    """The item has what its schedule lines come to."""
    order, item = row["PurchasingDocument"], row["PurchasingDocumentItem"]
    [stored] = work.tables.find(ITEMS, {"PurchaseOrder": order, "PurchaseOrderItem": item})
    total = f"{_total(_lines(work, order, item)):.3f}"
    if stored.row["OrderQuantity"] != total:
        work.update(ITEMS, stored, row_of(stored) | {"OrderQuantity": total})


def delete_order(work: Work, stored: Stored) -> None:
    """Header and items are marked, and stay."""
    for item in work.tables.find(ITEMS, {"PurchaseOrder": row_of(stored)["PurchaseOrder"]}):
        delete_item(work, item)
    _mark(work, ORDERS, stored)


def delete_item(work: Work, stored: Stored) -> None:
    """The item is marked, and stays."""
    row = row_of(stored)
    _check_open(work, row["PurchaseOrder"], row["PurchaseOrderItem"], "")
    _mark(work, ITEMS, stored)


def delete_line(work: Work, stored: Stored) -> None:
    """The line is gone; the last one of an item stays."""
    row = row_of(stored)
    order, item = row["PurchasingDocument"], row["PurchasingDocumentItem"]
    _check_open(work, order, item, "")
    if len(_lines(work, order, item)) == 1:
        text = f"Item {item} of order {order} needs a schedule line"
        raise Refused(400, "ZSANDBOX/ORDER_SCHEDULE", text, "ScheduleLine")
    work.delete(LINES, stored)
    settle_line(work, row)


def _mark(work: Work, name: str, stored: Stored) -> None:
    work.update(name, stored, row_of(stored) | {"PurchasingDocumentDeletionCode": DELETED})


def _order(work: Work, number: object, place: str) -> Row:
    order = work.get(ORDERS, PurchaseOrder=str(number))
    if order is None or order["PurchasingDocumentDeletionCode"]:
        text = f"There is no order {number}, or it is deleted"
        raise Refused(400, "ZSANDBOX/ORDER_MISSING", text, f"{place}PurchaseOrder")
    return order


def _check_open(work: Work, order: object, item: object, place: str) -> None:
    """An item that is there already takes changes until it is deleted, delivered or invoiced."""
    held = work.get(ITEMS, PurchaseOrder=str(order), PurchaseOrderItem=str(item))
    if held is None:
        return
    target = f"{place}PurchaseOrderItem"
    if held["PurchasingDocumentDeletionCode"]:
        text = f"Item {item} of order {order} is deleted"
        raise Refused(400, "ZSANDBOX/ORDER_ITEM_DELETED", text, target)
    if held["IsCompletelyDelivered"] is True or held["IsFinallyInvoiced"] is True:
        text = f"Item {item} of order {order} is closed: it was delivered or invoiced"
        raise Refused(400, "ZSANDBOX/ORDER_ITEM_CLOSED", text, target)


def _lines(work: Work, order: object, item: object) -> list[Stored]:
    where: Row = {"PurchasingDocument": str(order), "PurchasingDocumentItem": str(item)}
    return work.tables.find(LINES, where)


def _total(lines: list[Stored]) -> Decimal:
    return sum((Decimal(str(line.row["ScheduleLineOrderQuantity"])) for line in lines), Decimal(0))
