"""Business events of S/4HANA, and what an order or a material read after them becomes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from broker.intake import unwrapped
from canonical.effects import Effect, Emit, Fetch, Open
from canonical.errors import InvalidMessage
from canonical.facts import Facts
from canonical.handler import Delivery
from canonical.item_master import ItemMaster, ItemMasterPatch, PlantPatch
from canonical.money import Money, UnitPrice
from canonical.order import OrderLine, PurchaseOrder, ScheduleLine
from canonical.quantity import ItemUnit, Quantity, Ratio
from handlers.systems.s4.inbound import HANDLER_EVENT, HANDLER_ORDER, HANDLER_PRODUCT, recognises
from tests.corpus import CORPUS, golden
from tests.fixtures.gearbox import NOW, RULES, facts

SAMPLES = CORPUS / "s4"
READ_AT = "2026-03-02T11:59:58.000250+00:00"
READ = datetime(2026, 3, 2, 11, 59, 58, 250, tzinfo=UTC)
READ_US = 1_772_452_798_000_250
EVENT = {
    "specversion": "1.0",
    "id": "1fad4742-d03c-1edd-aeb8-c298b3dd8d4c",
    "source": "/default/sap.s4.beh/100200300",
    "type": "sap.s4.beh.purchaseorder.v1.PurchaseOrder.Changed.v1",
    "time": "2026-03-02T11:59:54Z",
}
KNOWN_ORDER = PurchaseOrder("4500000028", 1, "17300001", "USD", ())
KNOWN_MATERIAL = ItemMaster("TG12", 1)

Edit = Callable[[dict[str, Any]], None]


def sample(name: str) -> list[dict[str, Any]]:
    """The entities of one of the vendor's files."""
    entities: list[dict[str, Any]] = json.loads((SAMPLES / f"{name}.json").read_text())
    return entities


def order() -> dict[str, Any]:
    """The sandbox's order as one read with its items and their schedule lines answers it."""
    [header] = sample("order-header")
    items = sample("order-items")
    for item in items:
        item["to_ScheduleLine"] = {"results": sample("order-schedule-lines")}
    return header | {"to_PurchaseOrderItem": {"results": items}}


def material(place: int = 0) -> dict[str, Any]:
    """A product of the mock, its days as the service writes them, with texts, units, a plant."""
    product = sample("products")[place]
    for name in ("CreationDate", "LastChangeDate", "LastChangeDateTime"):
        at = datetime.fromisoformat(product[name]).replace(tzinfo=UTC)
        product[name] = f"/Date({int(at.timestamp()) * 1000})/"
    units = [{"AlternativeUnit": "H", "QuantityNumerator": "1", "QuantityDenominator": "1"}]
    return product | {
        "to_Description": {"results": sample("product-descriptions")},
        "to_ProductUnitsOfMeasure": {"results": units},
        "to_Plant": {"results": sample("product-plants")},
    }


def edited(entity: dict[str, Any], edit: Edit) -> dict[str, Any]:
    changed = copy.deepcopy(entity)
    edit(changed)
    return changed


def with_fields(**fields: object) -> Edit:
    return lambda entity: entity.update(fields)


def item_with(**fields: object) -> Edit:
    return lambda entity: entity["to_PurchaseOrderItem"]["results"][0].update(fields)


def answer(subject: str, content: object) -> Delivery:
    attributes = {"id": "step/7/1", "subject": subject, "time": READ_AT}
    return Delivery("erp", "", json.dumps(content).encode(), attributes=attributes)


def said_of_order(
    entity: dict[str, Any] | None, *known: PurchaseOrder, subject: str = "4500000028"
) -> tuple[Effect, ...]:
    content: dict[str, Any] = {"gone": True, "id": subject} if entity is None else {"d": entity}
    message = HANDLER_ORDER.read(answer(f"purchase-order/{subject}", content))
    return HANDLER_ORDER.decide(message, facts(*known), NOW)


def order_of(entity: dict[str, Any]) -> PurchaseOrder:
    (event,) = said_of_order(entity)
    assert isinstance(event, Emit)
    assert isinstance(event.data, PurchaseOrder)
    return event.data


def line_of(entity: dict[str, Any]) -> OrderLine:
    (line,) = order_of(entity).lines
    return line


def said_of_material(entity: dict[str, Any] | None, *known: ItemMaster) -> tuple[Effect, ...]:
    subject = "item-master/" + ("TG12" if entity is None else entity["Product"].lstrip("0"))
    content: dict[str, Any] = {"gone": True} if entity is None else {"d": entity}
    message = HANDLER_PRODUCT.read(answer(subject, content))
    return HANDLER_PRODUCT.decide(message, facts(*known), NOW)


def patch_of(entity: dict[str, Any]) -> tuple[ItemMasterPatch, list[Open]]:
    event, *cases = said_of_material(entity)
    assert isinstance(event, Emit)
    assert event.event == "item.changed"
    assert isinstance(event.data, ItemMasterPatch)
    return event.data, [case for case in cases if isinstance(case, Open)]


def refusal(act: Callable[[], object]) -> InvalidMessage:
    with pytest.raises(InvalidMessage) as caught:
        act()
    assert caught.value.remedy
    return caught.value


def pieces(number: str) -> Quantity:
    return Quantity(Decimal(number), "H87")


# --- events ---


def event(data: object = None, **attributes: str) -> Delivery:
    """In binary mode: the attributes are headers, the body is the data."""
    body = {"PurchaseOrder": "4500000028"} if data is None else data
    return Delivery("erp-events", "", json.dumps(body).encode(), attributes=EVENT | attributes)


def structured(data: object = None) -> Delivery:
    """In structured mode: one JSON document."""
    body = EVENT | {"datacontenttype": "application/json", "data": data}
    return Delivery("erp-events", "", json.dumps(body).encode(), "application/cloudevents+json")


def test_an_event_asks_for_a_read_of_its_object() -> None:
    message = HANDLER_EVENT.read(event())
    assert message.envelope.id == "1fad4742-d03c-1edd-aeb8-c298b3dd8d4c"
    assert message.envelope.source == "erp-events"
    assert message.envelope.type == "s4.event"
    assert message.envelope.key == "purchase-order/4500000028"
    assert message.envelope.time == datetime(2026, 3, 2, 11, 59, 54, tzinfo=UTC)
    assert HANDLER_EVENT.decide(message, Facts(RULES), NOW) == (
        Fetch("purchase-order", "4500000028"),
    )
    assert HANDLER_EVENT.order == "notification"


def test_an_event_says_the_same_in_structured_and_in_binary_mode() -> None:
    binary, plain = unwrapped(structured({"PurchaseOrder": "4500000028"})), event()
    assert recognises(binary)
    assert recognises(plain)
    assert HANDLER_EVENT.read(binary) == HANDLER_EVENT.read(plain)


@pytest.mark.parametrize(
    ("object_", "verb", "data", "key", "fetch"),
    [
        ("purchaseorder", "PurchaseOrder.Created", {"PurchaseOrder": "4500000029"},
         "purchase-order/4500000029", Fetch("purchase-order", "4500000029")),
        ("purchaseorder", "PurchaseOrder.ItemDeleted",
         {"PurchaseOrder": "4500000029", "PurchaseOrderItem": "00010"},
         "purchase-order/4500000029", Fetch("purchase-order", "4500000029")),
        ("purchaseorder", "PurchaseOrder.Deleted", {"PurchaseOrder": "4500000029"},
         "purchase-order/4500000029", Fetch("purchase-order", "4500000029")),
        ("product", "Product.Changed", {"Product": "TG12"},
         "item-master/TG12", Fetch("product", "TG12")),
        ("product", "Product.Created", {"Product": "000000000000004711"},
         "item-master/4711", Fetch("product", "000000000000004711")),
    ],
)  # fmt: skip
def test_whatever_happened_to_it_the_object_is_read(
    object_: str, verb: str, data: object, key: str, fetch: Fetch
) -> None:
    message = HANDLER_EVENT.read(event(data, type=f"sap.s4.beh.{object_}.v1.{verb}.v1"))
    assert message.envelope.key == key
    assert HANDLER_EVENT.decide(message, Facts(RULES), NOW) == (fetch,)


@pytest.mark.parametrize(
    "stated",
    [
        "sap.s4.beh.salesorder.v1.SalesOrder.Changed.v1",
        "sap.s4.beh.purchaseorderitem.v1.PurchaseOrderItem.Changed.v1",
        "sap.s4.beh.",
        "com.example.purchaseorder.v1",
        "",
    ],
)
def test_an_event_of_another_object_is_refused_with_what_is_taken(stated: str) -> None:
    failure = refusal(lambda: HANDLER_EVENT.read(event(type=stated)))
    assert failure.code == "s4-event-unknown"
    assert failure.remedy == (
        "Subscribe to events of billofmaterial, businesspartner, changemaster, product,"
        " purchasecontract, purchaseorder, purchasinginforecord, purchasingsource only"
    )


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({}, "contract-violated"),
        ({"PurchaseOrder": ""}, "id-empty"),
        ({"PurchaseOrder": 4500000028}, "contract-violated"),
        ({"PurchaseOrder": None}, "contract-violated"),
        ({"Product": "TG12"}, "contract-violated"),
        ([], "contract-violated"),
    ],
)
def test_an_event_without_its_key_is_refused(data: object, code: str) -> None:
    assert refusal(lambda: HANDLER_EVENT.read(event(data))).code == code


def test_an_event_needs_an_id_and_may_leave_out_its_time() -> None:
    assert refusal(lambda: HANDLER_EVENT.read(event(id=""))).code == "attribute-missing"
    assert HANDLER_EVENT.read(event(time="")).envelope.time is None
    assert refusal(lambda: HANDLER_EVENT.read(event(time="soon"))).code == "time-malformed"


def test_only_what_calls_itself_an_event_of_s4_is_recognised() -> None:
    assert recognises(event(type="sap.s4.beh.businesspartner.v1.BusinessPartner.Changed.v1"))
    assert not recognises(event(type="sap.successfactors.Employee.Changed.v1"))
    assert not recognises(Delivery("plm", "", b'{"PurchaseOrder": "4500000028"}'))


# --- orders ---


def test_the_order_of_the_sandbox_comes_to_its_golden() -> None:
    assert json.loads((SAMPLES / "order.answer.json").read_text()) == {"d": order()}
    assert golden(said_of_order(order())) == (SAMPLES / "order.answer.golden.json").read_text()


def test_the_order_says_what_the_files_say() -> None:
    found = order_of(order())
    assert (found.number, found.source_id, found.supplier) == (
        "4500000028",
        "4500000028",
        "17300001",
    )
    assert (found.currency, found.organisation, found.kind) == ("USD", "1710", "NB")
    assert (found.payment_terms, found.ordered_on, found.total) == (
        "0004",
        date(2016, 9, 12),
        None,
    )
    assert found.stated_at == READ
    assert found.lines == (
        OrderLine(
            line="10",
            item="TG0012",
            quantity=pieces("1"),
            price=UnitPrice(Money(Decimal(40), "USD"), pieces("1")),
            plant="1710",
            description="Trad. Good 0012,Reord. Pt.,Regular Proc.",
            schedule=(ScheduleLine(pieces("1"), date(2016, 9, 22)),),
        ),
    )


def test_an_order_nobody_knew_is_created_and_another_one_is_changed() -> None:
    message = HANDLER_ORDER.read(answer("purchase-order/4500000028", {"d": order()}))
    assert HANDLER_ORDER.needs(message, Facts(RULES)) == {"purchase-order/4500000028"}
    (created,) = said_of_order(order())
    (changed,) = said_of_order(order(), KNOWN_ORDER)
    assert isinstance(created, Emit)
    assert isinstance(changed, Emit)
    assert (created.event, changed.event) == ("purchase-order.created", "purchase-order.changed")
    assert created.key == changed.key == "purchase-order/4500000028"
    assert created.data == changed.data


def test_trap_an_order_that_was_put_here_is_not_told_of_as_another_one() -> None:
    placed = PurchaseOrder("PO-1001", 1, "17300001", "USD", ())
    held = edited(order(), with_fields(CorrespncInternalReference=" PO-1001"))
    message = HANDLER_ORDER.read(answer("purchase-order/4500000028", {"d": held}))
    assert HANDLER_ORDER.needs(message, Facts(RULES)) == {
        "purchase-order/4500000028",
        "purchase-order/PO-1001",
    }
    assert said_of_order(held, placed) == ()
    # Buyers write there what they like, and number orders as they like.
    other = msgspec.structs.replace(placed, supplier="17300002")
    for known in ((), (other,)):
        (event,) = said_of_order(held, *known)
        assert isinstance(event, Emit)
        assert event.key == "purchase-order/4500000028"


@pytest.mark.parametrize("said", ["", None, "004500000028", "4500000028", "\u0000", "x" * 300])
def test_an_order_that_refers_to_itself_or_to_nothing_is_its_own(said: str | None) -> None:
    held = edited(order(), with_fields(CorrespncInternalReference=said))
    message = HANDLER_ORDER.read(answer("purchase-order/4500000028", {"d": held}))
    assert HANDLER_ORDER.needs(message, Facts(RULES)) == {"purchase-order/4500000028"}
    (event,) = said_of_order(held, KNOWN_ORDER)
    assert isinstance(event, Emit)


@pytest.mark.parametrize(
    ("changed_at", "created_on", "version"),
    [
        ("/Date(1492098664000+0000)/", "/Date(1473638400000)/", 1_492_098_664_000_000),
        ("/Date(1492098664123+0540)/", None, 1_492_098_664_123_000),
        ("", "/Date(1473638400000)/", 1_473_638_400_000_000),
        (None, "/Date(1473638400000)/", 1_473_638_400_000_000),
        (None, None, READ_US),
        ("", "", READ_US),
    ],
)
def test_the_order_is_as_new_as_its_last_change(
    changed_at: str | None, created_on: str | None, version: int
) -> None:
    fields = with_fields(LastChangeDateTime=changed_at, CreationDate=created_on)
    found = order_of(edited(order(), fields))
    assert (found.version, found.stated_at) == (version, READ)


def test_a_later_read_is_newer_than_an_earlier_one_whatever_it_tells() -> None:
    assert HANDLER_ORDER.version is not None
    for content in ({"d": order()}, {"gone": True}):
        message = HANDLER_ORDER.read(answer("purchase-order/4500000028", content))
        assert HANDLER_ORDER.version(message) == READ_US


def test_a_price_is_for_its_own_quantity_and_unit() -> None:
    priced = item_with(
        NetPriceAmount="1234.56", NetPriceQuantity="1000", OrderPriceUnit="KG",
        OrderQuantity="12.500", PurchaseOrderQuantityUnit="KAR", DocumentCurrency="EUR",
    )  # fmt: skip
    found = line_of(edited(order(), priced))
    per = Quantity(Decimal(1000), "KGM")
    assert found.price == UnitPrice(Money(Decimal("1234.56"), "EUR"), per)
    assert found.quantity == Quantity(Decimal("12.5"), "XCT")
    assert found.schedule == (ScheduleLine(Quantity(Decimal(1), "XCT"), date(2016, 9, 22)),)


def test_trap_a_price_without_unit_or_quantity_is_for_one_of_the_order_unit() -> None:
    bare = item_with(NetPriceQuantity="0", OrderPriceUnit="", DocumentCurrency=None)
    assert line_of(edited(order(), bare)).price == UnitPrice(Money(Decimal(40), "USD"), pieces("1"))
    assert line_of(edited(order(), item_with(NetPriceAmount=""))).price is None
    free = line_of(edited(order(), item_with(NetPriceAmount="0.00")))
    assert free.price == UnitPrice(Money(Decimal(0), "USD"), pieces("1"))


def test_trap_numbers_are_padded_in_some_releases() -> None:
    def pad(entity: dict[str, Any]) -> None:
        entity["Supplier"] = "0017300001"
        item_with(
            PurchaseOrderItem="00010", Material="000000000000004711", PurchaseContract="0046000001"
        )(entity)

    found = order_of(edited(order(), pad))
    (line,) = found.lines
    assert (found.supplier, line.line, line.item) == ("17300001", "10", "4711")
    assert line.contract == "46000001"


def test_a_line_that_orders_a_text_has_no_item() -> None:
    found = line_of(edited(order(), item_with(Material="", PurchaseOrderItemText="Paint it")))
    assert (found.item, found.description) == ("", "Paint it")


def test_an_order_between_plants_has_no_supplier() -> None:
    assert order_of(edited(order(), with_fields(Supplier=""))).supplier == ""


@pytest.mark.parametrize(
    ("edit", "lines"),
    [
        (item_with(PurchasingDocumentDeletionCode="L"), 0),
        (item_with(IsReturnsItem=True), 0),
        (item_with(PurchasingDocumentDeletionCode="S"), 1),
        (item_with(PurchasingDocumentDeletionCode=None), 1),
        (item_with(IsCompletelyDelivered=False), 1),
        (with_fields(PurchasingDocumentDeletionCode="L"), 0),
        (with_fields(PurchasingDocumentDeletionCode="X"), 0),
        (with_fields(to_PurchaseOrderItem={"results": []}), 0),
    ],
)
def test_what_is_deleted_or_goes_back_is_not_on_order(edit: Edit, lines: int) -> None:
    assert len(order_of(edited(order(), edit)).lines) == lines


@pytest.mark.parametrize(
    "fields",
    [
        {"PurchasingProcessingStatus": "03"},
        {"PurchasingProcessingStatus": "08"},
        {"ReleaseIsNotCompleted": True},
        {"PurchasingCompletenessStatus": True},
    ],
)
def test_an_order_that_no_supplier_has_yet_is_not_told_of(fields: dict[str, object]) -> None:
    held = edited(order(), with_fields(**fields))
    assert said_of_order(held) == ()
    assert said_of_order(held, KNOWN_ORDER) == ()


@pytest.mark.parametrize("status", ["", None, "02", "05", "26"])
def test_an_order_of_any_other_status_is_placed(status: str | None) -> None:
    placed = edited(order(), with_fields(PurchasingProcessingStatus=status))
    assert order_of(placed) == order_of(order())


def test_schedule_lines_without_day_or_quantity_are_kept() -> None:
    lines = {
        "results": [
            {"ScheduleLine": "1", "ScheduleLineOrderQuantity": "0.400",
             "ScheduleLineDeliveryDate": None},
            {"ScheduleLine": "2", "ScheduleLineDeliveryDate": "/Date(253402214400000)/"},
        ]
    }  # fmt: skip
    found = line_of(edited(order(), item_with(to_ScheduleLine=lines)))
    assert found.schedule == (ScheduleLine(pieces("0.4")), ScheduleLine(pieces("0")))


@pytest.mark.parametrize(
    ("edit", "code", "where"),
    [
        (item_with(PurchaseOrderQuantityUnit="QQ"), "unit-unmapped",
         "item 10: PurchaseOrderQuantityUnit"),
        (item_with(OrderQuantity="1,5"), "number-malformed", "item 10: OrderQuantity"),
        (item_with(OrderQuantity="1E3"), "number-malformed", "item 10: OrderQuantity"),
        (item_with(PurchaseOrderItem=""), "id-empty", "PurchaseOrderItem"),
        (with_fields(DocumentCurrency="DEM"), "currency-unknown", "DocumentCurrency"),
        (with_fields(PurchaseOrderDate="2016-09-12"), "time-malformed", "PurchaseOrderDate"),
        (with_fields(LastChangeDateTime="/Date(1e9)/"), "time-malformed",
         "LastChangeDateTime, CreationDate"),
        (with_fields(PurchaseOrder="4500000029"), "answer-about-another", "ce-subject"),
        (with_fields(PurchaseOrder=None), "id-empty", "PurchaseOrder"),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_refused_with_its_place(
    edit: Edit, code: str, where: str
) -> None:
    failure = refusal(lambda: said_of_order(edited(order(), edit)))
    assert (failure.code, failure.where) == (code, where)


@pytest.mark.parametrize(
    "content",
    [
        {"d": edited(order(), with_fields(to_PurchaseOrderItem={"__deferred": {"uri": "x"}}))},
        {"d": edited(order(), item_with(to_ScheduleLine="https://x"))},
        {"d": edited(order(), lambda entity: entity.pop("to_PurchaseOrderItem"))},
        {"d": None},
        {"gone": False},
        {"d": order(), "gone": True},
        {},
        [],
    ],
)
def test_an_answer_that_is_not_whole_is_none(content: object) -> None:
    refusal(lambda: HANDLER_ORDER.read(answer("purchase-order/4500000028", content)))


def test_account_assignments_and_fields_nobody_knows_make_no_difference() -> None:
    def add(entity: dict[str, Any]) -> None:
        entity["YY1_Colour_PDH"] = {"red": [1]}
        item_with(to_AccountAssignment={"results": [{"CostCenter": 7}]}, AccountAssignmentNumber=1)(
            entity
        )

    assert order_of(edited(order(), add)) == order_of(order())


def test_an_order_that_is_gone_is_a_case_where_it_is_known_and_nothing_elsewhere() -> None:
    assert said_of_order(None) == ()
    (case,) = said_of_order(None, KNOWN_ORDER)
    assert case == Open(
        code="gone-at-erp",
        word="business_rule",
        what="The ERP has no purchase order 4500000028 any more; it stays on record as it was",
        where="purchase-order/4500000028",
        remedy="Find out why it was deleted or archived, and what hangs on it",
        owner="purchasing",
    )


# --- materials ---


def test_the_product_of_the_mock_comes_to_its_golden() -> None:
    assert json.loads((SAMPLES / "product.answer.json").read_text()) == {"d": material()}
    said = golden(said_of_material(material()))
    assert said == (SAMPLES / "product.answer.golden.json").read_text()


def test_the_product_says_what_the_files_say() -> None:
    found, cases = patch_of(material())
    assert cases == []
    assert (found.number, found.source_id, found.kind, found.group) == (
        "TG12",
        "TG12",
        "SERV",
        "P001",
    )
    assert (found.base_unit, found.status, found.gtin) == ("HUR", None, None)
    assert (found.gross_weight, found.net_weight, found.volume) == (None, None, None)
    assert (found.is_deleted, found.lifecycle) == (False, UNSET)
    # 2019-10-10
    assert (found.version, found.stated_at) == (1_570_665_600_000_000, READ)
    assert len(found.descriptions) == 10
    assert found.descriptions["RO"] == "În cont de facturat"
    assert found.alternates == (ItemUnit("HUR", Ratio(1)),)
    assert found.plants == (
        PlantPatch(
            "1010",
            procurement="buy",
            purchasing_group="001",
            minimum_lot=None,
            is_deleted=False,
        ),
    )


def test_a_product_says_what_it_weighs_and_in_what_it_is_counted() -> None:
    def fill(entity: dict[str, Any]) -> None:
        entity |= {
            "GrossWeight": "1.250", "NetWeight": "0.900", "WeightUnit": "KG",
            "MaterialVolume": "2.500", "VolumeUnit": "L", "BaseUnit": "ST",
            "ProductStandardID": "4012345000016", "CrossPlantStatus": "01",
            "IsMarkedForDeletion": True,
        }  # fmt: skip
        entity["to_ProductUnitsOfMeasure"]["results"] = [
            {"AlternativeUnit": "ST", "QuantityNumerator": "1", "QuantityDenominator": "1"},
            {"AlternativeUnit": "KAR", "QuantityNumerator": "12", "QuantityDenominator": "1"},
            {"AlternativeUnit": "KG", "QuantityNumerator": "10", "QuantityDenominator": "9"},
        ]
        entity["to_Plant"]["results"][0] |= {
            "MinimumLotSizeQuantity": "100.000", "ProfileCode": "Z1", "IsMarkedForDeletion": True,
        }  # fmt: skip

    found, _ = patch_of(edited(material(), fill))
    assert found.gross_weight == Quantity(Decimal("1.25"), "KGM")
    assert found.net_weight == Quantity(Decimal("0.9"), "KGM")
    assert found.volume == Quantity(Decimal("2.5"), "LTR")
    assert (found.base_unit, found.gtin, found.status) == ("H87", "4012345000016", "01")
    assert found.is_deleted is True
    assert found.alternates == (
        ItemUnit("H87", Ratio(1)),
        ItemUnit("XCT", Ratio(12)),
        ItemUnit("KGM", Ratio(10, 9)),
    )
    assert found.plants == (
        PlantPatch(
            "1010",
            procurement="buy",
            purchasing_group="001",
            minimum_lot=pieces("100"),
            status="Z1",
            is_deleted=True,
        ),
    )


def test_trap_a_field_the_answer_lacks_is_as_it_was_and_an_empty_one_is_empty() -> None:
    def thin(entity: dict[str, Any]) -> None:
        entity |= {"ProductGroup": "", "ProductType": None}
        for name in ("CrossPlantStatus", "ProductStandardID", "NetWeight", "IsMarkedForDeletion"):
            del entity[name]
        plant = entity["to_Plant"]["results"][0]
        plant |= {"PurchasingGroup": "", "ProcurementType": None}
        del plant["MinimumLotSizeQuantity"]

    found, _ = patch_of(edited(material(), thin))
    assert (found.group, found.kind) == (None, None)
    assert (found.status, found.gtin, found.net_weight, found.is_deleted) == (UNSET,) * 4
    assert found.plants == (
        PlantPatch("1010", procurement=None, purchasing_group=None, is_deleted=False),
    )


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        ({"LastChangeDateTime": "/Date(1570712345678+0000)/"}, 1_570_712_345_678_000),
        ({"LastChangeDateTime": None}, 1_570_665_600_000_000),  # 2019-10-10
        ({"LastChangeDateTime": "", "LastChangeDate": None}, 1_568_073_600_000_000),  # 2019-09-10
        (
            {"LastChangeDateTime": None, "LastChangeDate": None, "CreationDate": None},
            READ_US,
        ),
    ],
)
def test_a_product_is_as_new_as_the_best_time_it_tells(
    fields: dict[str, object], version: int
) -> None:
    assert patch_of(edited(material(), with_fields(**fields)))[0].version == version


@pytest.mark.parametrize(("said", "procurement"), [("E", "make"), ("F", "buy"), ("X", None)])
def test_a_plant_makes_or_buys(said: str, procurement: str | None) -> None:
    def set_type(entity: dict[str, Any]) -> None:
        entity["to_Plant"]["results"][0]["ProcurementType"] = said

    (plant,) = patch_of(edited(material(), set_type))[0].plants
    assert plant.procurement == procurement


@pytest.mark.parametrize(
    ("data", "needs_source_list"),
    [
        ({"Product": "TG12", "Plant": "1010", "IsSourceListRequired": True}, True),
        ({"Product": "TG12", "Plant": "1010", "IsSourceListRequired": False}, False),
        ({"Product": "TG12", "Plant": "1010", "IsSourceListRequired": None}, False),
        # The plant has no purchasing data of it.
        (None, False),
        # Not told: by a release that does not know the flag, or not expanded.
        ({"Product": "TG12", "Plant": "1010"}, UNSET),
        ({"__deferred": {"uri": "A_ProductPlant(...)/to_ProductPlantProcurement"}}, UNSET),
    ],
)
def test_a_plant_buys_by_a_source_list_or_not(data: object, needs_source_list: object) -> None:
    def fill(entity: dict[str, Any]) -> None:
        entity["to_Plant"]["results"][0]["to_ProductPlantProcurement"] = data

    (plant,) = patch_of(edited(material(), fill))[0].plants
    assert plant.needs_source_list is needs_source_list
    assert patch_of(material())[0].plants[0].needs_source_list is UNSET


def test_a_word_or_a_unit_of_a_part_that_is_in_no_table_is_a_case_and_the_rest_is_taken() -> None:
    def odd(entity: dict[str, Any]) -> None:
        entity["to_Plant"]["results"][0]["ProcurementType"] = "Q"
        entity["to_ProductUnitsOfMeasure"]["results"].append(
            {"AlternativeUnit": "QQ", "QuantityNumerator": "1", "QuantityDenominator": "1"}
        )

    found, cases = patch_of(edited(material(), odd))
    assert found.plants[0].procurement is UNSET
    assert found.alternates == (ItemUnit("HUR", Ratio(1)),)
    assert [(case.code, case.where, case.owner) for case in cases] == [
        (
            "unit-unmapped",
            "material TG12, to_ProductUnitsOfMeasure, QQ",
            "master data",
        ),
        ("procurement-unmapped", "material TG12, to_Plant, 1010: ProcurementType", "master data"),
    ]


def test_a_product_whose_base_unit_nobody_knows_is_refused() -> None:
    # Activity units are in no table.
    failure = refusal(lambda: said_of_material(material(3)))
    assert (failure.code, failure.where) == ("unit-unmapped", "BaseUnit")


def test_a_ratio_that_is_no_whole_number_is_refused() -> None:
    def halve(entity: dict[str, Any]) -> None:
        entity["to_ProductUnitsOfMeasure"]["results"][0]["QuantityNumerator"] = "0.5"

    failure = refusal(lambda: said_of_material(edited(material(), halve)))
    assert failure.code == "number-malformed"


@pytest.mark.parametrize("place", [1, 2])
def test_the_other_products_of_the_mock_are_understood(place: int) -> None:
    found, cases = patch_of(material(place))
    assert (found.number, found.base_unit, cases) == (("", "TG11", "SG35")[place], "KGM", [])


def test_a_material_that_is_gone_is_a_case_where_it_is_known_and_nothing_elsewhere() -> None:
    assert said_of_material(None) == ()
    (case,) = said_of_material(None, KNOWN_MATERIAL)
    assert isinstance(case, Open)
    assert (case.code, case.where, case.owner) == (
        "gone-at-erp",
        "item-master/TG12",
        "master data",
    )
