"""Messages and operations for the drivers: the corpus, and what the demo sends and asks for.

A driver with a message in tests/corpus that is known by its content, or by headers beside it, is
among them by itself.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.place import ROOT
from canonical.bom import Bom, PlantBom
from canonical.change import ChangedBom, ChangedObjects, ChangeMaster
from canonical.effects import Effect, Emit
from canonical.facts import Facts
from canonical.handler import Delivery, Handler
from canonical.item import Item
from canonical.money import Money, UnitPrice
from canonical.operations import (
    CloseReview,
    ExtendToPlant,
    Operation,
    PublishItem,
    PutBom,
    PutChangedObjects,
    PutChangeMaster,
    PutContract,
    PutInfoRecord,
    PutItem,
    PutOrder,
    PutPlantStatus,
    PutSourceList,
    PutSupplier,
    ReadCoverage,
    ReadObject,
    ReadSupplier,
    Reconcile,
    ReportImplementation,
    RequestReview,
)
from canonical.order import OrderLine, PurchaseOrder, ScheduleLine
from canonical.purchase_contract import ContractLine, PurchaseContract
from canonical.purchasing import InfoRecord
from canonical.quantity import Quantity
from canonical.rules import Rules
from canonical.source_list import Source, SourceList
from canonical.supplier_master import SupplierMaster
from handlers import CATALOGUE, HANDLERS, RECOGNISED
from handlers.systems.table.inbound import handler_of
from ops.mapping.goldens import SUMS
from ops.mapping.sample import headers_of

CORPUS = ROOT / "tests" / "corpus"
DEMO = ROOT / "ops" / "demo"
REAL_PACKAGE = "pdx_subassembly.xml"
PACKAGES = (REAL_PACKAGE, "gearbox_package.pdx", "arena_eco_000451.json")
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
FACTS = Facts(Rules(plants=(), distribution=(), routes=(), central_purchasing_org="1000"))
"""Nothing is known yet: what each message says is news."""

# What each driver reads of which an event told the key.
# From 2006-01-01 to 9999-12-31, as the service writes them.
_ALL_DAYS = {
    "ValidityStartDate": "/Date(1136073600000)/",
    "ValidityEndDate": "/Date(253402214400000)/",
}
_HEADER_DAYS = {f"Header{name}": day for name, day in _ALL_DAYS.items()}
READS = {"s4": "purchase-order", "arena": "change", "coupa": "order", "tryton": "purchase"}


# What a read finds where an operation writes to nothing but what is there, and has to know it.
HELD: dict[type[Operation], bytes] = {
    PutChangedObjects: b"""{"ChangeNumber": "ECO-000451",
        "to_ChangeMstrObMgReMaterial": {"results": []},
        "to_ChangeMstrObMgReMatlBOM": {"results": []}}""",
    PutPlantStatus: b"""{"Product": "PIN", "Plant": "1010", "ProfileCode": ""}""",
    PutSourceList: b"{}",
}


class Sample(msgspec.Struct, frozen=True):
    """A message with the handler that takes it."""

    system: str
    name: str
    delivery: Delivery
    handler: Handler


def samples() -> list[Sample]:
    """Messages of every driver that takes any."""
    files = [DEMO / "packages" / name for name in PACKAGES]
    # What is kept of S/4HANA are parts of answers.
    for vendor in {system for system, _ in HANDLERS} - {"s4"}:
        files += [path for path in sorted((CORPUS / vendor).glob("*")) if _is_message(path)]
    found = [_known(path) for path in files]
    return sorted(
        [*found, *_events(), *_answers(), *_read_back(), *_rows()],
        key=lambda sample: (sample.system, sample.name),
    )


def _is_message(path: Path) -> bool:
    # Links lead to the packages of the demo, which are among the files already.
    if path.is_symlink() or path.name.endswith((".golden.json", ".outbound.json")):
        return False
    return path.name != SUMS and path.suffix not in (".txt", ".md", ".toml")


def _known(path: Path) -> Sample:
    """By its content, or by the headers that stand beside it."""
    headers = headers_of(path)
    delivery = Delivery("bench", "", path.read_bytes(), attributes=headers)
    contracts = (headers["type"],) if headers else tuple(RECOGNISED)
    return _sample(path.name, delivery, CATALOGUE.recognise(contracts, delivery))


def _sample(name: str, delivery: Delivery, handler: Handler) -> Sample:
    system = next(system for (system, _), row in HANDLERS.items() if row is handler)
    return Sample(system, name, delivery, handler)


def _events() -> Iterator[Sample]:
    """What tells no more than a key."""
    attributes = {"id": "1", "type": "sap.s4.beh.purchaseorder.v1.PurchaseOrder.Changed.v1"}
    delivery = Delivery("bench", "", b'{"PurchaseOrder": "4500000028"}', attributes=attributes)
    yield _sample("s4.event", delivery, CATALOGUE.translator("s4.event"))


def _answers() -> Iterator[Sample]:
    """What a read of procurement brings back, made of what the demo's stand-in is filled with."""
    seed: dict[str, list[dict[str, Any]]] = msgspec.json.decode(
        (DEMO / "seed_procurement.json").read_bytes()
    )
    supplier = seed["suppliers"][0]
    item = seed["contracts"][0]["lines"][0]["item-number"]
    for kind, subject, listed in (
        ("coupa.supplier", f"supplier/{supplier['number']}", [supplier]),
        ("coupa.contracts", f"coverage/{item}", seed["contracts"]),
    ):
        body = msgspec.json.encode([{"id": n, **each} for n, each in enumerate(listed, start=1)])
        attributes = {"id": "1", "subject": subject, "time": NOW.isoformat()}
        delivery = Delivery("bench", "", body, attributes=attributes)
        yield _sample(kind, delivery, CATALOGUE.translator(kind))


def _read_back() -> Iterator[Sample]:
    """What a read of S/4HANA brings back, put together of its sandbox's entities: an order, and a
    BOM with what the client that read it left out of its lines."""
    [order] = _entities("order-header")
    items = _entities("order-items")
    for item in items:
        item["to_ScheduleLine"] = {"results": _entities("order-schedule-lines")}
    [head] = _entities("bom")
    lines = _entities("bom-items")
    for line in lines:
        line |= _ALL_DAYS | {"BillOfMaterialItemUnit": "PC"}
    bom = head | _HEADER_DAYS | {"to_BillOfMaterialItem": {"results": lines}}
    for kind, subject, answer in (
        ("s4.purchase-order", "purchase-order/4500000028",
         order | {"to_PurchaseOrderItem": {"results": items}}),
        ("s4.bom", "material-bom/1010/1/1/SG23", {"results": [bom]}),
    ):  # fmt: skip
        attributes = {"id": "1", "subject": subject, "time": NOW.isoformat()}
        body = msgspec.json.encode({"d": answer})
        delivery = Delivery("bench", "", body, attributes=attributes)
        yield _sample(kind, delivery, CATALOGUE.translator(kind))


def _entities(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = msgspec.json.decode((CORPUS / "s4" / f"{name}.json").read_bytes())
    return found


def _rows() -> Iterator[Sample]:
    """Files of rows, each with the table that maps it."""
    folder = CORPUS / "table"
    for table in sorted(folder.glob("*.toml")):
        _, handler = handler_of(tomllib.loads(table.read_text()), table.name)
        for path in filter(_is_message, folder.glob(f"{table.stem}.*")):
            attributes = {"time": NOW.isoformat()}
            delivery = Delivery("bench", "", path.read_bytes(), attributes=attributes)
            yield Sample(folder.name, path.name, delivery, handler)


def operations() -> list[Operation]:
    """One of each that a driver makes true, about the assembly of the real package and its BOM."""
    read = _known(DEMO / "packages" / REAL_PACKAGE)
    emits = [e for e in effects_of(read) if isinstance(e, Emit)]
    bom = next(e.data for e in emits if isinstance(e.data, Bom))
    item = next(e.data for e in emits if isinstance(e.data, Item) and e.data.manufacturers)
    plant_bom = PlantBom("1010", bom.parent, bom.revision, "1", "1", bom.base, bom.lines)
    structure = ChangedBom(bom.parent, "1010", "1")
    change = ChangeMaster("ECO-000451", "Seal the shaft", NOW.date(), is_dated=True)
    return [
        PutChangeMaster(change),
        PutChangedObjects(ChangedObjects(change.number, (item.number,), (structure,))),
        PutItem(item),
        ExtendToPlant(item.number, "1010", "buy", item.base_unit, "001"),
        PutPlantStatus(item.number, "1010", "Z5"),
        PutBom(plant_bom),
        PutInfoRecord(_terms(item)),
        PutSupplier(_supplier()),
        PutOrder(_order(plant_bom), purchasing_group="001"),
        PutContract(_contract(plant_bom), purchasing_group="001"),
        PutSourceList(_sources(item)),
        PublishItem(item),
        ReadCoverage(item.number),
        ReadSupplier("S-100"),
        ReadObject(READS["s4"], "4500000001", "purchase-order/4500000001", 1, "c-1"),
        ReadObject(READS["arena"], "CHANGE00000000000001", "engineering-change/ECO-1", 1, "c-1"),
        ReadObject(READS["coupa"], "12", "order-id/12", 1, "c-1"),
        ReadObject(READS["tryton"], "12", "order-id/12", 1, "c-1"),
        ReportImplementation("ECO-000451", "CHANGE00000000000001", "done", "It is implemented"),
        Reconcile("ECO-000451", "INTEGRATION0000000001/EVENT000000000000001"),
        RequestReview("S-300", "ECO-000451", (item.number,), "not qualified", "layshaft-1"),
        CloseReview("S-300", "layshaft-1", "approved", "Q. Lindqvist in Layshaft: audited"),
    ]


def effects_of(sample: Sample) -> tuple[Effect, ...]:
    """What the driver says of the message."""
    return sample.handler.decide(sample.handler.read(sample.delivery), FACTS, NOW)


def _terms(item: Item) -> InfoRecord:
    return InfoRecord(
        supplier="S-100",
        item=item.number,
        purchasing_org="1010",
        plant="1010",
        order_unit=item.base_unit,
        base_unit=item.base_unit,
        order_to_base=(1, 1),
        price=UnitPrice(Money(Decimal("25.00"), "EUR"), Quantity(Decimal(1000), item.base_unit)),
        lead_time_days=5,
        contract="C-7001",
        last_day=date(2029, 12, 31),
        purchasing_group="001",
    )


def _supplier() -> SupplierMaster:
    return SupplierMaster(
        number="S-100",
        version=1,
        name="Example Seals GmbH",
        street="Hauptstrasse 7",
        postal_code="89073",
        city="Ulm",
        country="DE",
        language="DE",
    )


def _contract(bom: PlantBom) -> PurchaseContract:
    """On all that the assembly is made of, a line each."""
    return PurchaseContract(
        number="C-7001",
        version=1,
        supplier="S-100",
        status="active",
        first_day=NOW.date(),
        last_day=date(2029, 12, 31),
        kind="quantity",
        currency="EUR",
        lines=tuple(
            ContractLine(
                line=str(place),
                item=line.component,
                order_unit=line.quantity.unit,
                price=UnitPrice(
                    Money(Decimal("25.00"), "EUR"), Quantity(Decimal(1000), line.quantity.unit)
                ),
                target=Quantity(Decimal(5000), line.quantity.unit),
                plants=("1010",),
            )
            for place, line in enumerate(bom.lines, start=1)
        ),
        organisation="1010",
    )


def _sources(item: Item) -> SourceList:
    source = Source(NOW.date(), supplier="S-100", organisation="1010")
    return SourceList(item.number, "1010", 1, (source,), origin="erp-2")


def _order(bom: PlantBom) -> PurchaseOrder:
    """All that the assembly is made of, a line each."""
    return PurchaseOrder(
        number="PO-1001",
        version=1,
        supplier="S-100",
        currency="EUR",
        lines=tuple(
            OrderLine(
                line=str(place),
                item=line.component,
                quantity=Quantity(Decimal(10), line.quantity.unit),
                price=UnitPrice(
                    Money(Decimal("25.00"), "EUR"), Quantity(Decimal(1000), line.quantity.unit)
                ),
                plant="1010",
                schedule=(
                    ScheduleLine(Quantity(Decimal(10), line.quantity.unit), date(2026, 4, 1)),
                ),
            )
            for place, line in enumerate(bom.lines, start=1)
        ),
        organisation="1010",
    )
