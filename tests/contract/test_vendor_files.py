"""Every file of the vendors' that is at hand for the systems we have drivers for is parsed by a
reader that has a use for it: it is read, or what it is is known and it is refused by that name. The
files are no part of the project: these tests exist only where they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from broker.intake import unwrapped
from canonical.codec import decode_foreign, decode_json
from canonical.connector import Confirmed, Present
from canonical.effects import Effect, Emit, Fetch, Step
from canonical.envelope import Message
from canonical.errors import Failure, InvalidMessage
from canonical.exchange import Response
from canonical.facts import Facts
from canonical.handler import Delivery
from canonical.operations import ReadObject, Reconcile
from canonical.quantity import Ratio
from canonical.supplier import Qualification
from handlers import CATALOGUE, DRIVERS, HANDLERS, RECOGNISED
from handlers.systems.arena import access
from handlers.systems.arena import native as arena
from handlers.systems.s4 import native as s4
from handlers.systems.s4 import native_read as s4_read
from tests.corpus import CORPUS
from tests.fixtures.gearbox import NOW, RULES

VENDORS = Path(__file__).resolve().parents[3] / "shared/samples"
ITEM_OF_CHANGE = "Change_Item__get_change_item__0.json"
SYSTEMS = ("arena-rest", "ipc2571-pdx", "sap-idoc", "sap-s4-events", "sap-s4-odata")

Reading = Callable[[bytes], object]


class Rows(msgspec.Struct, frozen=True):
    """A list as Arena answers it."""

    results: tuple[msgspec.Raw, ...]


# What has to be there for a file to have been read as that: most fields may be missing, so that any
# JSON object would do.
FILLED: Mapping[type[Any], Callable[[Any], Iterable[object]]] = {
    arena.BomSettings: lambda s: (
        s.automatically_generate_line_numbers, s.check_reference_designators
    ),
    arena.BomRows: lambda bom: (bom.count == len(bom.results), *(
        row.item.number for row in bom.results
    )),
    arena.Change: lambda c: (c.guid, c.number, c.title, c.lifecycle_status.type),
    arena.ChangeDraft: lambda draft: (
        draft.category.guid, draft.title, draft.number_sequence_prefix.value,
        draft.effectivity_type, draft.description, draft.routings, draft.enforce_approval_deadline,
        draft.approval_deadline_date_time, *(
            bytes(stated.value) for stated in draft.additional_attributes
        ),
    ),
    arena.ChangeItem: lambda row: (row.guid, row.new_item_revision.number),
    arena.ErrorDocument: lambda error: (error.status, error.errors, error.errors[0].message),
    arena.EventItem: lambda item: (item.guid, item.effective_item_revision.number),
    arena.OutboundEvent: lambda event: (
        event.guid, event.event_type, event.resources_reconciled, event.triggers[0].resource
    ),
    arena.QueueEvent: lambda event: (event.guid, event.event_type, event.change.number),
    arena.SourceRows: lambda rows: (rows.count == len(rows.results), *(
        row.mfr_item.guid for row in rows.results
    )),
    arena.ReconcileItemBody: lambda body: (body.reconciled,),
    arena.SourcedRows: lambda rows: (rows.count == len(rows.results), *(
        row.item.number for row in rows.results
    )),
    arena.StatusChange: lambda change: (change.change.guid, change.status, change.comment),
    arena.SubstituteRow: lambda row: (row.item.number, row.rank, bytes(row.quantity)),
    arena.SubstituteRows: lambda rows: (rows.count == len(rows.results), *(
        row.item.number for row in rows.results
    )),
    arena.SupplierSpecs: lambda supplier: (
        supplier.guid, supplier.name, supplier.supplier_id, supplier.approval_status
    ),
    s4_read.BomState: lambda b: (
        b.BillOfMaterial, b.BillOfMaterialVariant, b.Material, b.Plant, b.BOMHeaderBaseUnit,
        b.BOMHeaderQuantityInBaseUnit, b.HeaderValidityStartDate,
    ),
    s4_read.BomStateItem: lambda i: (
        i.BillOfMaterialItemNodeNumber, i.BillOfMaterialComponent, i.BillOfMaterialItemQuantity,
        i.ValidityStartDate,
    ),
    s4_read.InfoRecord: lambda r: (
        r.PurchasingInfoRecord, r.Supplier, r.Material, r.CreationDate, r.PurgDocOrderQuantityUnit
    ),
    s4_read.Material: lambda m: (m.Product, m.ProductType, m.BaseUnit, m.LastChangeDate),
    s4_read.Order: lambda o: (
        o.PurchaseOrder, o.PurchaseOrderType, o.Supplier, o.DocumentCurrency, o.CreationDate
    ),
    s4_read.OrderItem: lambda i: (
        i.PurchaseOrderItem, i.Material, i.Plant, i.OrderQuantity, i.PurchaseOrderQuantityUnit,
        i.NetPriceAmount, i.NetPriceQuantity, i.OrderPriceUnit,
    ),
    s4_read.OrderScheduleLine: lambda line: (
        line.PurchasingDocument, line.PurchasingDocumentItem, line.ScheduleLine,
        line.ScheduleLineDeliveryDate, line.ScheduleLineOrderQuantity,
    ),
    s4_read.OrganisationTerms: lambda t: (
        t.PurchasingInfoRecordCategory, t.PurchasingOrganization, t.Plant, t.NetPriceAmount,
        t.MaterialPriceUnitQty, t.PurchaseOrderPriceUnit, t.PriceValidityEndDate,
    ),
    s4_read.Partner: lambda p: (
        p.BusinessPartner, p.BusinessPartnerCategory, p.OrganizationBPName1, p.CreationDate
    ),
    s4_read.PartnerAddress: lambda a: (a.AddressID, a.StreetName, a.CityName, a.Country),
    s4_read.PartnerSupplier: lambda s: (s.Supplier, s.SupplierName, s.SupplierAccountGroup),
    s4_read.Plant: lambda plant: (plant.Plant, plant.PurchasingGroup, plant.ProcurementType),
    # Of the material in the file none is required.
    s4_read.PlantProcurement: lambda data: (data.IsSourceListRequired is False,),
    s4_read.Price: lambda p: (
        p.ConditionRecord, p.ConditionRateValue, p.ConditionRateValueUnit, p.ConditionQuantity,
        p.ConditionQuantityUnit, p.ConditionCalculationType,
    ),
    s4_read.PriceDays: lambda d: (
        d.ConditionRecord, d.ConditionType, d.ConditionValidityStartDate, d.ConditionValidityEndDate
    ),
    s4_read.SupplierOrganisation: lambda o: (
        o.PurchasingOrganization, o.PurchaseOrderCurrency, o.PaymentTerms, o.PurchasingGroup
    ),
    s4_read.Text: lambda text: (text.Language, text.ProductDescription),
}  # fmt: skip


def filled(found: Any) -> object:
    """It, with all that it has to say."""
    assert type(found) in FILLED, "say here what such a file has to hold"
    said = tuple(FILLED[type(found)](found))
    assert all(one and one is not msgspec.UNSET for one in said), said
    return found


def arena_as(kind: type[Any]) -> Reading:
    return lambda body: filled(decode_json(body, kind, where=kind.__name__))


def arena_rows(kind: type[Any]) -> Reading:
    def read(body: bytes) -> object:
        rows = decode_json(body, Rows).results
        assert rows
        return [filled(decode_json(bytes(row), kind, where=kind.__name__)) for row in rows]

    return read


def entity(kind: type[s4.Entity], **children: object) -> Reading:
    """One row, or a list of them, as that entity; children: what a read expands, and no row of a
    file has."""

    def read(body: bytes) -> object:
        stated = msgspec.json.decode(body)
        rows = stated if isinstance(stated, list) else [stated]
        assert rows
        return [as_it_says(row, kind, children) for row in rows]

    return read


def as_it_says(row: dict[str, Any], kind: type[s4.Entity], children: dict[str, object]) -> object:
    """The entity; each field that it has in common with the row says the same."""
    found = filled(msgspec.convert(row | children, kind))
    names = {field.encode_name: field.name for field in msgspec.structs.fields(kind)}
    common = names.keys() & row.keys() - children.keys()
    assert {name: getattr(found, names[name]) for name in common} == {n: row[n] for n in common}
    return found


def message(body: bytes) -> tuple[Effect, ...]:
    """Through its driver, to what becomes of it with nothing known."""
    delivery = Delivery("vendor", "", body)
    handler = CATALOGUE.recognise(tuple(RECOGNISED), delivery)
    read = handler.read(delivery)
    facts = Facts(RULES)
    handler.needs(read, facts)
    return handler.decide(read, facts, NOW)


def session(body: bytes) -> str:
    """Of an answer to a login, as the channel takes it."""
    found = access.ACCESS.session(body)
    assert found == msgspec.json.decode(body)["arena_session_id"]
    return found


def cloud_event(body: bytes) -> Message[Any]:
    """One in structured mode."""
    delivery = unwrapped(Delivery("vendor", "", body, "application/cloudevents+json"))
    return CATALOGUE.translator("s4.event").read(delivery)


NONE: dict[str, Any] = {"results": []}
READ: dict[str, Reading] = {
    "arena-rest/Access__login__1.json": session,
    "arena-rest/Access__login__2.json": arena_as(arena.ErrorDocument),
    "arena-rest/BOM__get_bom__1.json": arena_as(arena.BomRows),
    "arena-rest/BOM__get_bom_settings__0.json": arena_as(arena.BomSettings),
    "arena-rest/BOM_Substitutes__get_bom_substitute__0.json": arena_as(arena.SubstituteRow),
    "arena-rest/BOM_Substitutes__get_bom_substitutes__0.json": arena_as(arena.SubstituteRows),
    "arena-rest/BOM_Substitutes__get_bom_substitutes__1.json": arena_as(arena.ErrorDocument),
    "arena-rest/Change_Item__get_change_item__0.json": arena_as(arena.ChangeItem),
    "arena-rest/Change_Item__get_change_items__1.json": arena_as(arena.ErrorDocument),
    "arena-rest/Change_Status_Workflow__create_change_status_complete_implementationstatus__0.json":
        arena_as(arena.StatusChange),
    "arena-rest/Change_Status_Workflow__create_change_status_force_approve__0.json":
        arena_as(arena.StatusChange),
    "arena-rest/Change__create_change__1.json": arena_as(arena.Change),
    "arena-rest/Change__create_change__8.json": arena_as(arena.ErrorDocument),
    "arena-rest/Change__get_change__0.json": arena_as(arena.Change),
    "arena-rest/Item_Sourcing__get_item_source_rels__0.json": arena_as(arena.SourceRows),
    "arena-rest/Item_Sourcing__get_item_source_rels__1.json": arena_as(arena.ErrorDocument),
    "arena-rest/Item__get_items__3.json": arena_as(arena.ErrorDocument),
    "arena-rest/Outbound_Integrations_-_Event_Queue__get_event_items__1.json":
        arena_rows(arena.EventItem),
    "arena-rest/Outbound_Integrations_-_Event_Queue__put_event_item__0.json":
        arena_as(arena.ReconcileItemBody),
    "arena-rest/Outbound_Integrations_-_Event_Queue__put_event_item__1.json":
        arena_as(arena.EventItem),
    "arena-rest/Outbound-Events_Events__get_outbound_events_integration_events__1.json":
        arena_rows(arena.OutboundEvent),
    "arena-rest/Supplier_Item__get_supplier_item_source_rels__0.json":
        arena_as(arena.SourcedRows),
    "arena-rest/Supplier__get_supplier__0.json": arena_as(arena.SupplierSpecs),
    "arena-rest/Outbound_Integrations_-_Event_Queue__get_events__0.json":
        arena_rows(arena.QueueEvent),
    "ipc2571-pdx/pdx_subassembly.xml": message,
    "sap-idoc/MATMAS05_material_master.xml": message,
    "sap-idoc/ORDERS05_ORDERS_purchase_order.xml": message,
    "sap-idoc/ORDERS05_ORDRSP_order_response.xml": message,
    "sap-s4-events/businesspartner.changed.cloudevent.json": cloud_event,
    "sap-s4-odata/sandbox-json/bom/bill-of-material-component-01-sample.json":
        entity(s4_read.BomStateItem),
    "sap-s4-odata/sandbox-json/bom/bill-of-material-header-01-sample.json":
        entity(s4_read.BomState, to_BillOfMaterialItem=NONE),
    "sap-s4-odata/sandbox-json/bom/bill-of-material-item-01-sample.json":
        entity(s4_read.BomStateItem),
    "sap-s4-odata/sandbox-json/inforecord/purchasing-info-record-general-01-sample.json":
        entity(s4_read.InfoRecord, to_PurgInfoRecdOrgPlantData=NONE),
    "sap-s4-odata/sandbox-json/inforecord/"
    "purchasing-info-record-general-02-purchasing-organization-plant-sample.json":
        entity(s4_read.OrganisationTerms, to_PurInfoRecdPrcgCndnValidity=NONE),
    "sap-s4-odata/sandbox-json/inforecord/"
    "purchasing-info-record-general-03-pricing-condition-validity-sample.json":
        entity(s4_read.PriceDays, to_PurInfoRecdPrcgCndn=None),
    "sap-s4-odata/sandbox-json/inforecord/"
    "purchasing-info-record-general-04-pricing-condition-sample.json": entity(s4_read.Price),
    "sap-s4-odata/sandbox-json/supplier/business-partner-supplier-general-01-sample.json":
        entity(s4_read.Partner, to_Supplier=None, to_BusinessPartnerAddress=NONE),
    "sap-s4-odata/sandbox-json/supplier/business-partner-supplier-general-03-address-sample.json":
        entity(s4_read.PartnerAddress, to_AddressUsage=NONE),
    "sap-s4-odata/sandbox-json/supplier/business-partner-supplier-general-05-supplier-sample.json":
        entity(s4_read.PartnerSupplier, to_SupplierCompany=NONE, to_SupplierPurchasingOrg=NONE),
    "sap-s4-odata/sandbox-json/supplier/"
    "business-partner-supplier-general-06-purchasing-organization-sample.json":
        entity(s4_read.SupplierOrganisation),
    "sap-s4-odata/raw-json/Product.json": entity(
        s4_read.Material, to_Description=NONE, to_ProductUnitsOfMeasure=NONE, to_Plant=NONE
    ),
    "sap-s4-odata/sandbox-json/product/product-master-general-01-sample.json": entity(
        s4_read.Material, to_Description=NONE, to_ProductUnitsOfMeasure=NONE, to_Plant=NONE
    ),
    "sap-s4-odata/sandbox-json/product/product-master-general-02-product-desc-sample.json":
        entity(s4_read.Text),
    "sap-s4-odata/sandbox-json/product/product-master-plant-01-sample.json": entity(s4_read.Plant),
    "sap-s4-odata/sandbox-json/product/product-master-procurement-01-sample.json":
        entity(s4_read.PlantProcurement),
    "sap-s4-odata/sandbox-json/purchaseorder/purchase-order-header-01-sample.json": entity(
        s4_read.Order, to_PurchaseOrderItem=NONE
    ),
    "sap-s4-odata/sandbox-json/purchaseorder/purchase-order-header-02-item-sample.json": entity(
        s4_read.OrderItem, to_ScheduleLine=NONE
    ),
    "sap-s4-odata/sandbox-json/purchaseorder/purchase-order-header-03-item-schedule-line-sample.json":
        entity(s4_read.OrderScheduleLine),
}  # fmt: skip
# What no event can come of, by the name under which it is refused.
REFUSED: dict[str, tuple[type[Any], str]] = {
    # What a client writes to Arena.
    "arena-rest/Change__create_change__0.json": (arena.ChangeDraft, "change-not-created"),
}  # fmt: skip


# How many events of each kind a message comes to, and the key of the last one.
COMES_TO: dict[str, tuple[Mapping[str, int], str]] = {
    "ipc2571-pdx/pdx_subassembly.xml":
        ({"item.released": 32, "bom.released": 1}, "bom/XYZ-03654"),
    "sap-idoc/MATMAS05_material_master.xml": ({"item.changed": 1}, "item-master/123456789"),
    "sap-idoc/ORDERS05_ORDERS_purchase_order.xml":
        ({"purchase-order.created": 1}, "purchase-order/4500000670"),
    "sap-idoc/ORDERS05_ORDRSP_order_response.xml":
        ({"order-confirmation.accepted": 1}, "order-confirmation/2C9YS43Z"),
}  # fmt: skip


def files() -> set[str]:
    """Those of the systems; metadata is held against what is sent, in other tests."""
    return {
        str(path.relative_to(VENDORS))
        for system in SYSTEMS
        for path in (VENDORS / system).rglob("*")
        if path.is_file() and path.name != "SOURCE.txt"
        if not {"edmx", "edmx-reference-only", "openapi"} & set(path.parts)
    }


class Listed(msgspec.Struct, frozen=True):
    """What a list of Arena's is made of; count: of its rows."""

    count: int
    results: tuple[Any, ...]


def content(name: str) -> Any:
    """One of Arena's files."""
    return msgspec.json.decode((VENDORS / "arena-rest" / name).read_bytes())


def listed(*rows: Any) -> Listed:
    return Listed(len(rows), rows)


def emitted(kind: str, statement: object) -> list[Any]:
    """What the events say that a statement of Arena's comes to with nothing known."""
    body = msgspec.json.encode(statement)
    delivery = Delivery("plm", "", body, attributes={"time": NOW.isoformat()})
    assert CATALOGUE.recognise(tuple(RECOGNISED), delivery) is CATALOGUE.translator(kind)
    handler = CATALOGUE.translator(kind)
    read = handler.read(delivery)
    facts = Facts(RULES)
    handler.needs(read, facts)
    effects = handler.decide(read, facts, NOW)
    return [effect.data for effect in effects if isinstance(effect, Emit)]


def answered(content: object) -> Response:
    return Response(200, {"content-type": "application/json"}, msgspec.json.encode(content))


pytestmark = pytest.mark.skipif(not VENDORS.is_dir(), reason="the vendors' files are not here")


def test_of_every_file_it_is_said_who_reads_it_or_by_which_name_it_is_refused() -> None:
    assert files() == {*READ, *REFUSED}
    assert not READ.keys() & REFUSED.keys()


# --- Arena's files put together into what a client sends ---


def test_a_change_of_arenas_that_is_still_open_has_no_effect() -> None:
    change, item = content("Change__get_change__0.json"), content(ITEM_OF_CHANGE)
    assert emitted("arena.change", {"change": change, "changeItems": listed(item)}) == []


def test_a_change_of_arenas_with_its_item_is_released_once_it_is_effective() -> None:
    change, item = content("Change__get_change__0.json"), content(ITEM_OF_CHANGE)
    event = content("Outbound_Integrations_-_Event_Queue__get_events__0.json")["results"][0]
    effective = change | {"lifecycleStatus": {"type": "EFFECTIVE"}}
    released, standing = emitted(
        "arena.change",
        {
            "change": effective,
            "changeItems": listed(item),
            "event": {"guid": event["guid"], "integration": "INT1"},
        },
    )
    assert (standing.status, standing.title) == ("effective", change["title"])
    assert (released.number, released.title, released.source_id) == (
        change["number"],
        change["title"],
        change["guid"],
    )
    assert (released.description, released.requester) == (
        change["description"],
        change["creator"]["fullName"],
    )
    assert (released.category, released.urgency) == ("Engineering Change Order", "High")
    assert (released.notice, released.effectivity) == (f"INT1/{event['guid']}", None)
    (row,) = released.affected
    new, old = item["newItemRevision"], item["affectedItemRevision"]
    assert (row.item, row.new_revision, row.old_revision, row.lifecycle) == (
        new["number"],
        new["revisionNumber"],
        old["revisionNumber"],
        "obsolete",
    )
    stated = {d["name"]: d["value"] for d in item["dispositionAttributes"]}
    assert {d.stock: d.action for d in row.dispositions} == {
        "on_order": stated["On Order"],
        "in_process": stated["WIP"],
        "finished": stated["Finished Goods"],
        "in_field": stated["In the Field"],
        "in_stock": stated["In Stock"],
    }


def test_an_item_with_arenas_lines_sources_and_supplier_is_released() -> None:
    bom = content("BOM__get_bom__1.json")
    sourcing = content("Item_Sourcing__get_item_source_rels__0.json")
    supplier = content("Supplier__get_supplier__0.json")
    parts = [
        {"guid": row["mfrItem"]["guid"], "number": f"P-{place}", "supplier": supplier}
        for place, row in enumerate(sourcing["results"])
    ]
    components = [{"guid": row["item"]["guid"], "uom": "each"} for row in bom["results"]]
    # No file shows an item of its own.
    item = {
        "guid": "REV1",
        "number": "A-1",
        "revisionNumber": "B",
        "revisionStatus": "EFFECTIVE",
        "effectiveDateTime": "2026-01-15T10:00:00Z",
        "lifecyclePhase": {"name": "In Production", "stage": "PRODUCTION"},
        "category": {"name": "PCBA"},
        "procurementType": "OTS",
        "uom": "each",
    }
    released, structure = emitted(
        "arena.item",
        {
            "item": item,
            "bom": bom,
            "sourcing": sourcing,
            "supplierItems": parts,
            "suppliers": [supplier],
            "components": components,
        },
    )
    assert [line.component for line in structure.lines] == [
        row["item"]["number"] for row in bom["results"]
    ]
    assert [str(line.quantity.value) for line in structure.lines] == ["1"] * 4
    approved = [row["approved"] for row in sourcing["results"]]
    statuses = ["approved" if one else "disapproved" for one in approved]
    makers, vendors = released.manufacturers, released.suppliers
    assert [entry.status for entry in makers] == [entry.status for entry in vendors] == statuses
    assert {entry.manufacturer for entry in makers} == {supplier["name"]}
    assert {entry.supplier for entry in vendors} == {supplier["supplierId"]}
    assert [entry.note for entry in makers] == [row["notes"] for row in sourcing["results"]]
    assert [entry.active for entry in makers] == [
        tuple(
            stage
            for stage, field in (
                ("prototype", "activePrototype"),
                ("production", "activeProduction"),
            )
            if row[field]
        )
        for row in sourcing["results"]
    ]
    assert {entry.to_base for entry in vendors} == {Ratio(1)}


def test_a_supplier_of_arenas_is_stated() -> None:
    stated = content("Supplier__get_supplier__0.json")
    (supplier,) = emitted("arena.supplier", {"supplier": stated})
    assert (supplier.number, supplier.name, supplier.source_id) == (
        stated["supplierId"],
        stated["name"],
        stated["guid"],
    )
    assert supplier.qualification == Qualification("qualified", stated_as="approved")


def test_the_settings_of_arenas_bom_are_held_against_its_lines() -> None:
    # Those lines are of an item whose settings no file shows, and Arena does not number them.
    bom = content("BOM__get_bom__1.json")
    for place, row in enumerate(bom["results"]):
        row["lineNumber"] = place + 1
    item = msgspec.json.decode((CORPUS / "arena/item.json").read_bytes())
    settings = content("BOM__get_bom_settings__0.json")
    body = {"item": item["item"], "bom": bom, "sourcing": listed(), "bomSettings": settings}
    of_lines = CATALOGUE.translator("arena.item").read
    message = of_lines(Delivery("plm", "", msgspec.json.encode(body)))
    assert message.payload.bom_settings == arena.BomSettings(True, True)
    assert "bomSettings" not in message.ignored
    assert message.deviations == ()
    bom["results"][1]["lineNumber"] = bom["results"][0]["lineNumber"]
    bom["results"][2]["refDes"] = "R1,R2,R3"
    message = of_lines(Delivery("plm", "", msgspec.json.encode(body)))
    assert [deviation.where for deviation in message.deviations] == [
        "bom.results[0].lineNumber",
        "bom.results[1].lineNumber",
        "bom.results[2].refDes",
    ]


def decided(kind: str, statement: object) -> tuple[Message[Any], tuple[Effect, ...]]:
    """What a notice put together from Arena's files says and comes to, known by its content."""
    delivery = Delivery("plm", "", msgspec.json.encode(statement))
    assert CATALOGUE.recognise(tuple(RECOGNISED), delivery) is CATALOGUE.translator(kind)
    handler = CATALOGUE.translator(kind)
    read = handler.read(delivery)
    return read, handler.decide(read, Facts(RULES), NOW)


def test_the_change_of_each_event_of_arenas_newer_kind_is_read() -> None:
    name = "Outbound-Events_Events__get_outbound_events_integration_events__1.json"
    change = content("Change__get_change__0.json")
    short = {"guid": change["guid"], "number": change["number"]}
    key = f"engineering-change/{change['number']}"
    for event in content(name)["results"]:
        read, effects = decided(
            "arena.outbound-event", {"outboundEvent": event, "changes": [short]}
        )
        assert effects == (Fetch("change", change["guid"], key=key),)
        assert (read.ignored, read.deviations) == ((), ())
        with pytest.raises(InvalidMessage, match="event-without-objects"):
            decided("arena.outbound-event", {"outboundEvent": event})


def test_the_effective_item_of_a_suppliers_item_of_arenas_is_read() -> None:
    sourcing = content("Supplier_Item__get_supplier_item_source_rels__0.json")
    part = {"guid": sourcing["results"][0]["mfrItem"]["guid"]}
    read, effects = decided("arena.supplier-item", {"supplierItem": part, "sourcing": sourcing})
    working, effective = (row["item"] for row in sourcing["results"])
    assert (working["status"], effective["status"]) == (0, 1)
    key = f"item/{effective['number']}"
    assert effects == (Fetch("item", effective["guid"], key=key),)
    # The vendor's page has a slip in its word for effective.
    assert effective["revisionStatus"] == "EFFEC|TIVE"
    assert [deviation.where for deviation in read.deviations] == [
        "sourcing.results[1].item.revisionStatus"
    ]
    assert read.ignored == ()


def test_an_item_of_an_entry_is_marked_as_arena_shows_it() -> None:
    shown = content("Outbound_Integrations_-_Event_Queue__get_event_items__1.json")
    marked = content("Outbound_Integrations_-_Event_Queue__put_event_item__1.json")
    number = marked["effectiveItemRevision"]["number"]
    step = Step("", "plm", "item", number, Reconcile("ECO-1", "INT1/EVT1", number))
    done = Present(equal=True, reference=marked["guid"])
    assert DRIVERS["arena"].read(step, answered(shown)) == done
    waiting = listed(marked | {"reconciled": False})
    found = DRIVERS["arena"].read(step, answered(waiting))
    assert isinstance(found, Present)
    write = DRIVERS["arena"].write(step, found, "key")
    assert write is not None
    assert msgspec.json.decode(write.request.body or b"") == content(
        "Outbound_Integrations_-_Event_Queue__put_event_item__0.json"
    )
    assert DRIVERS["arena"].confirm(step, answered(marked)) == Confirmed(marked["guid"])


def test_a_guid_that_arena_does_not_know_is_gone() -> None:
    refusal = content("BOM_Substitutes__get_bom_substitutes__1.json")
    guid = refusal["errors"][0]["message"].split('"')[1]
    asked = ReadObject("item", guid, "item/A-1", asked=1, correlation_id="")
    response = Response(400, {}, msgspec.json.encode(refusal))
    found = DRIVERS["arena"].read(Step("", "plm", "item", guid, asked), response)
    assert isinstance(found, Present)
    assert found.answer is not None
    assert (found.answer.type, found.answer.key) == ("arena.gone", "item/A-1")


# --- all files ---


@pytest.mark.parametrize("name", READ)
def test_a_file_is_read(name: str) -> None:
    assert READ[name]((VENDORS / name).read_bytes())


@pytest.mark.parametrize("name", COMES_TO)
def test_a_message_comes_to_events(name: str) -> None:
    effects = message((VENDORS / name).read_bytes())
    events = [effect for effect in effects if isinstance(effect, Emit)]
    assert (Counter(event.event for event in events), events[-1].key) == COMES_TO[name]


def test_every_message_has_its_events_here() -> None:
    assert {name for name, reading in READ.items() if reading is message} == set(COMES_TO)


def test_the_event_is_about_its_business_partner() -> None:
    name = "sap-s4-events/businesspartner.changed.cloudevent.json"
    found = cloud_event((VENDORS / name).read_bytes())
    assert found.envelope.key == "business-partner/1000746"


@pytest.mark.parametrize("kind", [kind for kind in FILLED if issubclass(kind, s4.Entity)])
def test_an_object_without_what_a_row_names_is_no_file_of_it(kind: type[s4.Entity]) -> None:
    children = {
        field.encode_name: NONE
        for field in msgspec.structs.fields(kind)
        if field.encode_name.startswith("to_") and field.required
    }
    nothing = children | ({"to_Supplier": None} if kind is s4_read.Partner else {})
    with pytest.raises(AssertionError):
        entity(kind, **nothing)(b'{"anything": 1}')


# --- files that no event can come of ---


def fate(body: bytes) -> str:
    """The code under which it is refused, from a source that may send everything and says nothing
    of it; "" where it is taken."""
    delivery = Delivery("vendor", "", body, attributes={"time": NOW.isoformat()})
    try:
        CATALOGUE.recognise(tuple(RECOGNISED), delivery).read(delivery)
    except Failure as failure:
        return failure.code
    return ""


@pytest.mark.parametrize("name", REFUSED)
def test_such_a_file_is_parsed_whole_and_refused_by_its_name(name: str) -> None:
    kind, code = REFUSED[name]
    body = (VENDORS / name).read_bytes()
    found, ignored, deviations = decode_foreign(body, kind)
    filled(found)
    assert (ignored, deviations) == ((), ())
    assert fate(body) == code


@pytest.mark.parametrize("name", REFUSED)
def test_whoever_sends_such_a_file_is_told_what_to_do(name: str) -> None:
    delivery = Delivery("vendor", "", (VENDORS / name).read_bytes())
    for contracts in (tuple(RECOGNISED), tuple(RECOGNISED)[::-1]):
        with pytest.raises(InvalidMessage) as refused:
            CATALOGUE.recognise(contracts, delivery).read(delivery)
        failure = refused.value
        assert all((failure.what, failure.where, failure.remedy))
        assert failure.owner == "sender"


@pytest.mark.parametrize("name", REFUSED)
def test_a_value_of_another_type_in_such_a_file_is_named(name: str) -> None:
    stated = msgspec.json.decode((VENDORS / name).read_bytes())
    for member in stated:
        delivery = Delivery("vendor", "", msgspec.json.encode(stated | {member: 7}))
        with pytest.raises(InvalidMessage, match="contract-violated") as refused:
            CATALOGUE.recognise(tuple(RECOGNISED), delivery).read(delivery)
        assert member in refused.value.where


@pytest.mark.parametrize("name", REFUSED)
def test_no_reader_of_its_vendor_takes_such_a_file(name: str) -> None:
    body = (VENDORS / name).read_bytes()
    vendor = {"arena-rest": "arena", "sap-s4-odata": "s4"}[name.partition("/")[0]]
    about = {"id": "1", "subject": "item/1", "time": "2026-03-02T08:00:00Z"}
    readers = [handler for (scope, _), handler in HANDLERS.items() if scope == vendor]
    assert readers
    for handler in readers:
        delivery = Delivery(vendor, handler.types[0], body, attributes=about)
        with pytest.raises(InvalidMessage):
            handler.read(delivery)


def test_no_other_file_is_refused_by_such_a_name() -> None:
    names = {code for _, code in REFUSED.values()}
    assert not [name for name in READ if fate((VENDORS / name).read_bytes()) in names]
