"""What vendors' JSON and packages hold that nobody reads is told; what is left out is not."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest

from canonical.effects import Open
from canonical.handler import Delivery
from canonical.members import MAX_NAMED, Foreign
from handlers.systems.arena.inbound import HANDLER as CHANGE
from handlers.systems.arena.item import HANDLER as ITEM
from handlers.systems.arena.notice import HANDLER as ENTRY
from handlers.systems.arena.notice import HANDLER_ITEM as ENTRY_ITEM
from handlers.systems.coupa.inbound import (
    HANDLER_CONTRACT,
    HANDLER_CONTRACTS,
    HANDLER_ORDER,
    HANDLER_SUPPLIER,
)
from handlers.systems.pdx.inbound import HANDLER as PACKAGE
from handlers.systems.s4 import native_read
from handlers.systems.s4.inbound import HANDLER_PRODUCT
from handlers.systems.table.inbound import handler_of
from ops.sandbox.odata import load_model
from tests.corpus import CORPUS
from tests.fixtures.build_packages import PACKAGES
from tests.fixtures.pdx_text import (
    FACTS,
    NOW,
    REAL,
    affected_xml,
    bom_xml,
    change_xml,
    custom,
    item_xml,
    line_xml,
    package_xml,
)

MODEL = load_model()
SENT = {"time": "2026-03-02T08:00:00Z"}
ARENA_ITEM = json.loads((CORPUS / "arena" / "item.json").read_text())
ARENA_CHANGE = json.loads((PACKAGES / "arena_eco_000451.json").read_text())


def delivery(content: object, **attributes: str) -> Delivery:
    """The content, as it comes from a source or out of a read."""
    return Delivery("vendor", "", json.dumps(content).encode(), attributes=attributes)


# --- Arena ---


def test_a_custom_field_of_an_item_that_nobody_reads_is_told() -> None:
    message = ITEM.read(delivery(ARENA_ITEM))
    assert message.ignored == ("item.additionalAttributes[Shelf Life (Months)]",)
    assert ITEM.ignored(message) == {"fields": 1, "vendor without supplierId": 1}


def test_a_custom_field_that_says_nothing_is_not_told() -> None:
    unfilled: list[object] = [
        {"name": "A", "value": None},
        {"name": "B", "value": ""},
        {"name": "C", "value": []},
    ]
    item = ARENA_ITEM["item"] | {"additionalAttributes": unfilled}
    assert ITEM.read(delivery(ARENA_ITEM | {"item": item})).ignored == ()


def test_what_a_release_adds_to_an_item_and_its_lists_is_told() -> None:
    statement = json.loads(json.dumps(ARENA_ITEM))
    statement["item"]["additionalAttributes"] = []
    statement["item"]["carbonFootprint"] = 1.5
    statement["bom"]["results"][2]["torque"] = "2 Nm"
    statement["suppliers"][1]["rating"] = {"stars": 4}
    assert ITEM.read(delivery(statement)).ignored == (
        "item.carbonFootprint",
        "bom.results[].torque",
        "suppliers[].rating",
    )


def test_of_a_component_nothing_is_news_that_an_item_has() -> None:
    statement = json.loads(json.dumps(ARENA_ITEM))
    statement["item"]["additionalAttributes"] = []
    statement["components"][0] |= ARENA_ITEM["item"] | {"guid": "ITEMREVB000000000031"}
    assert ITEM.read(delivery(statement)).ignored == ()


def test_of_a_change_its_news_and_its_other_custom_fields_are_told() -> None:
    statement = json.loads(json.dumps(ARENA_CHANGE))
    custom = [{"name": "Urgency", "value": "High"}, {"name": "Field action", "value": ["Recall"]}]
    statement["change"] |= {"additionalAttributes": custom, "sustainabilityReview": None}
    statement["changeItems"]["results"][0]["newItemRevision"]["colour"] = "red"
    assert CHANGE.read(delivery(ARENA_CHANGE)).ignored == (
        "change.additionalAttributes[Cost Impact]",
    )
    assert CHANGE.read(delivery(statement)).ignored == (
        "change.sustainabilityReview",
        "changeItems.results[].newItemRevision.colour",
        "change.additionalAttributes[Field action]",
    )


def test_entries_of_the_queue_tell_what_nobody_reads() -> None:
    entry = {
        "event": {
            "guid": "E1",
            "eventType": "CHANGE",
            "creationDateTime": "2026-03-02T08:00:00Z",
            "itemsReconciled": False,
            "status": "NEEDS_UPDATE",
            "priority": 1,
            "change": {"guid": "C1", "number": "ECO-7", "title": "Seal"},
        }
    }
    revision = {"guid": "R1", "number": "PIN", "revisionNumber": "B", "name": "Pin"}
    item = {"guid": "I1", "reconciled": False, "effectiveItemRevision": revision, "lot": "4"}
    assert ENTRY.read(delivery(entry)).ignored == ("event.priority",)
    assert ENTRY_ITEM.read(delivery({"eventItem": item})).ignored == ("eventItem.lot",)


# --- procurement ---


def test_custom_fields_of_an_order_are_told_beside_its_lines_by_amount() -> None:
    order = json.loads((CORPUS / "coupa" / "order.json").read_text())
    order["custom-fields"] = {"project": "P-7"}
    order["order-lines"][0]["custom-fields"] = {"drawing": "D-1"}
    order["order-lines"].append({"line-num": "2", "type": "OrderAmountLine"})
    message = HANDLER_ORDER.read(delivery(order))
    assert message.ignored == ("custom-fields", "order-lines[].custom-fields")
    assert HANDLER_ORDER.ignored(message) == {"fields": 2, "line by amount": 1}


def test_what_may_hold_a_supplier_back_is_told_and_its_mailbox_is_not() -> None:
    supplier = {"id": 7, "number": "S-1", "status": "active", "updated-at": "2026-03-02T08:00:00Z"}
    row = supplier | {"on-hold": True, "po-email": "orders@example.com", "created-by": {"id": 1}}
    assert HANDLER_SUPPLIER.read(delivery(row)).ignored == ("on-hold",)


def test_an_answer_tells_as_a_row_does() -> None:
    supplier = {"id": 7, "number": "S-1", "status": "active", "custom-fields": {"tier": 2}}
    attributes = {"id": "1", "subject": "supplier/S-1", "time": "2026-03-02T08:00:00Z"}
    message = HANDLER_SUPPLIER.read(delivery([supplier, supplier], **attributes))
    assert message.ignored == ("[].custom-fields.tier",)


def test_what_a_row_of_a_contract_says_is_no_news_in_an_answer_about_coverage() -> None:
    contract = json.loads((CORPUS / "coupa" / "contract.json").read_text())
    attributes = {"id": "1", "subject": "coverage/SEAL-1", "time": "2026-03-02T08:00:00Z"}
    message = HANDLER_CONTRACTS.read(delivery([contract | {"clauses": []}], **attributes))
    assert message.ignored == ("[].clauses",)


def test_the_rows_of_the_corpus_hold_no_news() -> None:
    order = (CORPUS / "coupa" / "order.json").read_bytes()
    contract = (CORPUS / "coupa" / "contract.json").read_bytes()
    assert HANDLER_ORDER.read(Delivery("suite", "", order)).ignored == ()
    assert HANDLER_CONTRACT.read(Delivery("suite", "", contract)).ignored == ()


# --- packages and rows ---


def test_additional_attributes_that_say_something_and_are_not_read_are_told() -> None:
    aml = (
        "<ApprovedManufacturerList><ApprovedManufacturerListItem"
        ' manufacturerPartIdentifier="M-1" manufacturedBy="Maker"'
        ' globalManufacturerPartStatusCode="Approved">'
        f"{custom('Price (Image)', '1')}{custom('Grade', 'A')}"
        "</ApprovedManufacturerListItem></ApprovedManufacturerList>"
    )
    item = custom("UOM", "EA") + custom("Colour", "red") + custom("Empty", "") + aml
    line = line_xml(inner=custom("Torque", "2 Nm"))
    change = change_xml(affected_xml(inner=custom("Stock Disposition", "Use") + custom("Lot", "7")))
    body = package_xml(
        item_xml(inner=item + bom_xml(line)), item_xml("P-2", custom("Colour", "blue")),
        changes=change,
    )  # fmt: skip
    message = PACKAGE.read(Delivery("plm", "", body))
    assert message.ignored == (
        "BillOfMaterialItem/AdditionalAttribute[Torque]",
        "Item/AdditionalAttribute[Colour]",
        "ApprovedManufacturerListItem/AdditionalAttribute[Grade]",
        "AffectedItem/AdditionalAttribute[Lot]",
    )
    assert PACKAGE.ignored(message) == {"fields": 4}


def test_what_of_the_standard_nobody_reads_is_told_once_by_what_it_stands_in() -> None:
    serials = '<SerialNumbers><SerialNumberRange firstSerialNumber="1"/></SerialNumbers>'
    characteristics = '<Characteristics category="size"/>'
    markup = '<BillOfMaterialMarkups><BillOfMaterialMarkup globalMarkupTypeCode="Add"/>'
    markups = f"{markup}</BillOfMaterialMarkups><AttachmentMarkups/>"
    attached = '<Attachments><Attachment universalResourceIdentifier="a"{}/></Attachments>'
    approved = '<Approvers><Approver approverName="A"/></Approvers>'
    parts = '<SupplierParts><SupplierPart supplierName="S"/></SupplierParts>'
    history = '<History><HistoryItem action="a" userName="u" modificationDate="m"/></History>'
    lines = line_xml(inner=serials, isSerializationRequired="Yes"), line_xml(inner=serials)
    body = package_xml(
        item_xml(
            inner=bom_xml(*lines) + attached.format(' checkSum="7"') + characteristics + serials
        ),
        item_xml("P-2", inner="<Foo><Bar/></Foo>", minimumShippableRevision="A"),
        changes=change_xml(affected_xml(inner=markups), inner=attached.format("") + approved),
        inner=parts + history,
    )
    message = PACKAGE.read(Delivery("plm", "", body))
    assert message.ignored == (
        "BillOfMaterialItem/@isSerializationRequired",
        "Attachment/@checkSum",
        "Item/Characteristics",
        "Item/SerialNumbers",
        "Item/@minimumShippableRevision",
        "Item/Foo",
        "Change/Attachments",
        "Change/Approvers",
        "AffectedItem/BillOfMaterialMarkups",
        "AffectedItem/AttachmentMarkups",
        "ProductDataeXchangePackage/SupplierParts",
        "ProductDataeXchangePackage/History",
    )
    assert PACKAGE.ignored(message) == {"fields": 12}


def test_who_exported_or_owns_what_is_not_told_nor_is_an_address_book() -> None:
    contact = '<Contact contactUniqueIdentifier="C.1" contactName="M" cityName="X">'
    part = '<ManufacturerPart manufacturerPartIdentifier="M-1" manufacturerName="M" owner="O">'
    sold = '<ApprovedSupplierList><ApprovedSupplierListItem suppliedBy="S"/></ApprovedSupplierList>'
    body = package_xml(
        item_xml(ownerName="O", ownerContactUniqueIdentifier="C.1"),
        changes=change_xml(affected_xml(description="Pin"), changeOwnerName="O"),
        inner=f"<ManufacturerParts>{part}{sold}</ManufacturerPart></ManufacturerParts>"
        f"<Contacts>{contact}<History/></Contact></Contacts>",
    )
    assert PACKAGE.read(Delivery("plm", "", body)).ignored == ()


def test_no_more_is_told_of_a_package_than_anybody_would_look_at() -> None:
    news = "".join(f"<Foo{number}/>" for number in range(200))
    message = PACKAGE.read(Delivery("plm", "", package_xml(item_xml(inner=news))))
    assert len(message.ignored) == MAX_NAMED


def test_a_real_package_names_its_fields_once_and_none_of_its_icons() -> None:
    message = PACKAGE.read(Delivery("plm", "", REAL))
    assert message.ignored[:4] == (
        "ProductDataeXchangePackage/AdditionalAttributes",
        "Item/@revisionIncorporatedDate",
        "Attachment/AdditionalAttributes",
        "ProductDataeXchangePackage/History",
    )
    assert len(message.ignored) == 25
    assert "BillOfMaterialItem/AdditionalAttribute[12NC]" in message.ignored
    assert not [path for path in message.ignored if "(Image)" in path]


def test_columns_that_a_table_does_not_name_are_told_and_are_a_case_as_before() -> None:
    folder = CORPUS / "table"
    _, table = handler_of(tomllib.loads((folder / "suppliers.toml").read_text()), "suppliers.toml")
    body = (folder / "suppliers.csv").read_bytes().replace(b"Bemerkung", b"Farbe", 1)
    message = table.read(Delivery("x", "", body, attributes=SENT))
    effects = table.decide(message, FACTS, NOW)
    assert message.ignored == ("Farbe",)
    assert table.ignored(message) == {"fields": 1}
    assert [e.code for e in effects if isinstance(e, Open)] == ["column-unknown"]


# --- S/4HANA ---


def whole(name: str) -> dict[str, Any]:
    """All properties of an entity of the vendor's metadata, with links to what hangs on it."""
    _, entity_set = MODEL.find(name)
    links = {link.name: {"__deferred": {"uri": "x"}} for link in entity_set.navigation}
    values = dict.fromkeys((p.name for p in entity_set.properties), None)
    return values | links | {"__metadata": {"id": "x", "uri": "x", "type": "x", "etag": "1"}}


@pytest.mark.parametrize(
    ("name", "entity"),
    [
        ("A_Product", native_read.Material),
        ("A_ProductDescription", native_read.Text),
        ("A_ProductUnitsOfMeasure", native_read.Alternate),
        ("A_ProductPlant", native_read.Plant),
    ],
)
def test_every_property_of_a_material_is_read_or_left_out_by_name(
    name: str, entity: type[Foreign]
) -> None:
    taken = set(entity.__struct_encode_fields__)
    assert not taken & entity.left_out
    assert whole(name).keys() <= taken | entity.left_out


def test_a_field_that_a_customer_added_to_a_material_is_told() -> None:
    plant = whole("A_ProductPlant") | {"Plant": "1010", "YY1_Kanban_PLT": "X"}
    material = whole("A_Product") | {
        "Product": "PIN",
        "YY1_Alloy_PRD": "6061",
        "to_Description": {"results": [whole("A_ProductDescription")]},
        "to_ProductUnitsOfMeasure": {"results": [whole("A_ProductUnitsOfMeasure")]},
        "to_Plant": {"results": [plant]},
    }
    attributes = {"id": "1", "subject": "item-master/PIN", "time": "2026-03-02T08:00:00Z"}
    message = HANDLER_PRODUCT.read(delivery({"d": material}, **attributes))
    assert message.ignored == ("d.YY1_Alloy_PRD", "d.to_Plant.results[].YY1_Kanban_PLT")
    assert HANDLER_PRODUCT.ignored(message) == {"fields": 2}
