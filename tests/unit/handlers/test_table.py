"""CSV and JSON by a table: what files become, what is refused and where it says so."""

from __future__ import annotations

import csv
import hashlib
import io
import tomllib
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from unicodedata import normalize

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from canonical.bom import Bom, BomLine, PlantBomState, Substitute
from canonical.effectivity import LotEffectivity, SerialEffectivity
from canonical.effects import Effect, Emit, Open
from canonical.errors import InvalidMessage
from canonical.facts import Facts
from canonical.handler import Delivery, Handler, Package
from canonical.item import Item
from canonical.item_master import ItemMasterPatch
from canonical.money import Money, UnitPrice
from canonical.order import OrderConfirmation, PurchaseOrder, ScheduleLine
from canonical.price_periods import PriceScale
from canonical.purchasing import InfoRecordTermsPatch
from canonical.quality_hold import QualityHold
from canonical.quantity import Quantity
from canonical.revision import Revision
from canonical.sourcing import Coverage, CoverageLine
from canonical.sourcing_event import SourcingAward, SupplierMerged
from canonical.supplier import Qualification, ScopedQualification, Supplier, SupplierSite
from canonical.supplier_master import CompanyPatch, SupplierMasterPatch
from handlers.systems.table.inbound import MAX_FAULTS, MAX_OBJECTS, Sheet, handler_of, recognises
from handlers.systems.table.rows import MAX_CELL_CHARS, MAX_COLUMNS, MAX_ROWS
from tests.corpus import CORPUS, golden
from tests.fixtures.gearbox import NOW, RULES

FOLDER = CORPUS / "table"
SENT = "2026-03-02T08:00:00Z"

PARTS = """
name = "parts"
kinds = ["parts"]
event = "bom.released"
[csv]
delimiter = ";"
decimal = ","
grouping = "."
[units.words]
St = "H87"
[fields]
parent = "Teil"
revision = { constant = "A" }
base.value = { constant = 1 }
base.unit = { constant = "H87" }
stated_at = { column = "Stand", format = "%d.%m.%Y %H:%M", zone = "Europe/Berlin" }
lines.position = "Pos"
lines.component = "Komponente"
lines.quantity.value = "Menge"
lines.quantity.unit = "ME"
lines.fixed = { column = "Fest", words = { ja = true, nein = false }, empty = false }
"""
HEAD = "Teil;Stand;Pos;Komponente;Menge;ME;Fest"
LINE = "GB-1;02.03.2026 08:00;10;SEAL-1;4;St;ja"


def handler(text: str) -> Handler:
    """Who takes messages of a table."""
    return handler_of(tomllib.loads(text), "t.toml")[1]


def of_corpus(name: str) -> tuple[Handler, Delivery]:
    """A table of the corpus with its file, as it would come."""
    table = FOLDER / f"{name}.toml"
    file = next(p for p in (table.with_suffix(".csv"), table.with_suffix(".json")) if p.exists())
    mapped, found = handler_of(tomllib.loads(table.read_text()), table.name)
    kind = mapped.table.kinds[0]
    return found, Delivery("erp", kind, file.read_bytes(), attributes={"time": SENT})


def effects(taker: Handler, delivery: Delivery) -> tuple[Effect, ...]:
    return taker.decide(taker.read(delivery), Facts(RULES), NOW)


def said(name: str) -> list[Any]:
    """What the events of a file of the corpus say."""
    return [effect.data for effect in effects(*of_corpus(name)) if isinstance(effect, Emit)]


def taken(*lines: str, table: str = PARTS, **more: Any) -> tuple[Effect, ...]:
    return effects(handler(table), Delivery("erp", "parts", "\n".join(lines).encode(), **more))


def bom(*lines: str, table: str = PARTS) -> Bom:
    """The only structure that the lines say."""
    (event,) = taken(*lines, table=table)
    assert isinstance(event, Emit)
    assert isinstance(event.data, Bom)
    return event.data


def refused(*lines: str, table: str = PARTS) -> InvalidMessage:
    with pytest.raises(InvalidMessage) as caught:
        taken(*lines, table=table)
    return caught.value


def price(amount: str, currency: str, per: int) -> UnitPrice:
    return UnitPrice(Money(Decimal(amount), currency), Quantity(Decimal(per), "H87"))


# --- what files become ---


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.toml")))
def test_a_file_of_the_corpus_becomes_its_golden(name: str) -> None:
    assert golden(effects(*of_corpus(name))) == (FOLDER / f"{name}.golden.json").read_text()


def test_a_supplier_list_says_what_stands_in_it() -> None:
    first, second, blocked, without = said("suppliers")
    morning = datetime(2026, 3, 2, 7, 15, tzinfo=UTC)  # 08:15 in winter
    assert first == Supplier(
        "17300001",
        "Müller & Söhne GmbH",
        active=True,
        qualification=Qualification("qualified", date(2027, 12, 31), "frei"),
        stated_at=morning,
    )
    assert (second.name, second.qualification.status) == ('Zahnrad "Ost" AG', "conditional")
    assert (blocked.active, blocked.qualification.stated_as) == (False, "keine")
    assert blocked.stated_at == datetime(2026, 7, 2, 6, 15, tzinfo=UTC)  # 08:15 in summer
    assert without.name == "€uro Teile"
    assert without.qualification == Qualification("in_qualification")


PLACES = PARTS + 'lines.reference_designators = { column = "Platz", separator = "," }\n'
RANKED = """lines.substitutions.item = "Ersatz"
lines.substitutions.rank = "Rang"
lines.scrap_percent = "Ausschuss"
lines.last_day = { column = "Bis", format = "%d.%m.%Y" }
"""


def test_designators_of_a_cell_may_be_ranges_which_the_quantity_tells() -> None:
    four, three = (f"{LINE.replace(';4;', f';{n};')};C1-3" for n in (4, 3))
    lines = bom(f"{HEAD};Platz", four, three, f"{LINE};R1-R3,C7", table=PLACES).lines
    assert [line.reference_designators for line in lines] == [
        ("C1-3",),
        ("C1", "C2", "C3"),
        ("R1", "R2", "R3", "C7"),
    ]


def test_ranges_of_a_file_come_to_no_more_than_so_many() -> None:
    lines = [f"{LINE};C1-C99999"] * 2
    failure = refused(f"{HEAD};Platz", *lines, table=PLACES)
    assert (failure.code, failure.where) == ("designators-too-many", "bom/GB-1 line 10")


def test_rows_of_a_line_are_its_substitutes() -> None:
    rows = (f"{LINE};SEAL-2;1;2,5;31.12.2027", f"{LINE};SEAL-3;2;2,5;31.12.2027")
    (line,) = bom(f"{HEAD};Ersatz;Rang;Ausschuss;Bis", *rows, table=PARTS + RANKED).lines
    assert line.substitutions == (Substitute("SEAL-2", 1), Substitute("SEAL-3", 2))
    assert (line.scrap_percent, line.last_day) == (Decimal("2.5"), date(2027, 12, 31))


NUMBERED = """lines.serials.start = "ab Serie"
lines.serials.end = "vor Serie"
lines.lots.start = "ab Los"
"""


def test_lines_may_count_for_some_serial_numbers_or_lots_of_the_product() -> None:
    head = f"{HEAD};ab Serie;vor Serie;ab Los"
    rows = (f"{LINE};SN100;SN200;", f"{LINE};SN200;;", f"{LINE};;;L7", f"{LINE};;;")
    lines = bom(head, *rows, table=PARTS + NUMBERED).lines
    assert [line.numbers for line in lines] == [
        SerialEffectivity("SN100", "SN200"),
        SerialEffectivity("SN200", None),
        LotEffectivity("L7", None),
        None,
    ]
    failure = refused(head, f"{LINE};SN-X;;", table=PARTS + NUMBERED)
    assert failure.code == "number-not-ordered"


def test_rows_of_one_assembly_are_its_lines_in_their_order() -> None:
    large, small = said("structure")
    assert (large.parent, large.revision, large.base) == (
        "GB-100",
        "B",
        Quantity(Decimal(1), "H87"),
    )
    assert [line.component for line in large.lines] == ["GB-110", "OIL-1", "SEAL-1"]
    assert large.lines[0].reference_designators == ("R1", "R2")
    assert large.lines[1].quantity == Quantity(Decimal("1250.5"), "MLT")
    assert large.lines[1].note == "warm einfüllen,\ndann dichten"
    assert large.released_at == datetime(2026, 3, 1, 8, tzinfo=UTC)
    assert [line.quantity.value for line in small.lines] == [Decimal("0.25")]


def test_an_item_has_its_revision_in_the_order_of_its_scheme() -> None:
    shaft, oil, _ = said("items")
    assert isinstance(shaft, Item)
    assert shaft.revision == Revision("numeric", "03", 3)
    assert (shaft.lifecycle, shaft.procurement, shaft.phase) == ("released", "make", "REL")
    assert shaft.weight == Quantity(Decimal("1.5"), "KGM")
    assert shaft.released_at == datetime(2026, 2, 27, 5, tzinfo=UTC)
    assert shaft.stated_at == datetime(2026, 3, 2, 8, tzinfo=UTC)
    assert (oil.weight, oil.base_unit) == (None, "KGM")  # a unit alone is no weight


def test_a_formula_is_a_text_like_any_other() -> None:
    assert said("items")[1].description == '=HYPERLINK("x")'


def test_nested_json_becomes_coverage() -> None:
    seal, oil = said("contracts")
    assert seal.lines == (
        CoverageLine(
            contract="C-3",
            supplier="17300003",
            price=price("25.1", "EUR", 1000),
            order_unit="H87",
            first_day=date(2025, 1, 1),
            last_day=None,  # the end of all days
            lead_time_days=14,
            plants=("1010", "1020"),
        ),
        CoverageLine(
            contract="C-4",
            supplier="17300001",
            price=price("0.03", "USD", 1),
            order_unit="H87",
            first_day=date(2026, 1, 1),
        ),
    )
    assert oil == Coverage("OIL-1", (), datetime(2026, 3, 2, 8, tzinfo=UTC))


AGREED = """
name = "agreed"
kinds = ["parts"]
event = "sourcing.changed"
[csv]
delimiter = ";"
decimal = ","
[fields]
item = "Teil"
stated_at = { header = "ce-time" }
lines.contract = "Vertrag"
lines.supplier = "Lieferant"
lines.price.amount.amount = "Preis"
lines.price.amount.currency = { constant = "EUR" }
lines.price.per.value = { constant = 1 }
lines.price.per.unit = { constant = "H87" }
lines.order_unit = { constant = "H87" }
lines.first_day = "ab"
lines.under_tolerance = "minus"
lines.over_tolerance = "plus"
lines.scales.start.value = "von"
lines.scales.start.unit = { constant = "H87" }
lines.scales.price.amount.amount = "Staffelpreis"
lines.scales.price.amount.currency = { constant = "EUR" }
lines.scales.price.per.value = { constant = 1 }
lines.scales.price.per.unit = { constant = "H87" }
"""
HEADER = "Teil;Vertrag;Lieferant;Preis;ab;minus;plus;von;Staffelpreis"


def test_tolerances_of_a_contract_line_are_stated_where_their_cells_are_filled() -> None:
    (event,) = taken(
        HEADER,
        "SEAL-1;C-1;S-1;25,10;2026-01-01;2,5;;;",
        table=AGREED,
        attributes={"time": SENT},
    )
    assert isinstance(event, Emit)
    assert isinstance(event.data, Coverage)
    (line,) = event.data.lines
    assert (line.under_tolerance, line.over_tolerance) == (Decimal("2.5"), UNSET)
    assert line.scales == ()


def test_rows_of_a_contract_line_are_the_scale_of_its_price() -> None:
    (event,) = taken(
        HEADER,
        "SEAL-1;C-1;S-1;25,10;2026-01-01;;;500;24,00",
        "SEAL-1;C-1;S-1;25,10;2026-01-01;;;2000;22,50",
        table=AGREED,
        attributes={"time": SENT},
    )
    assert isinstance(event, Emit)
    assert isinstance(event.data, Coverage)
    (line,) = event.data.lines
    assert line.scales == (
        PriceScale(Quantity(Decimal(500), "H87"), price("24", "EUR", 1)),
        PriceScale(Quantity(Decimal(2000), "H87"), price("22.5", "EUR", 1)),
    )


def test_rows_that_differ_in_their_delivery_alone_are_one_line_of_an_order() -> None:
    two, one = said("orders")
    assert isinstance(two, PurchaseOrder)
    assert (two.number, two.version, [line.line for line in two.lines]) == (
        "4500000001", 3, ["10", "20"],
    )  # fmt: skip
    assert two.lines[0].schedule == (
        ScheduleLine(Quantity(Decimal(300), "H87"), date(2026, 4, 1)),
        ScheduleLine(Quantity(Decimal(200), "H87"), date(2026, 5, 1)),
    )
    assert two.lines[0].price == price("25.1", "EUR", 1000)
    assert two.lines[1].price is None
    assert (one.lines[0].item, one.lines[0].schedule) == ('3/4" bolt', ())


CONFIRMED = """
name = "confirmed"
kinds = ["parts"]
event = "order-confirmation"
[csv]
[fields]
order = "PO"
stated_at = "At"
lines.line = "Line"
lines.status = "Status"
lines.quantity.value = "Qty"
lines.quantity.unit = { constant = "H87" }
"""


@pytest.mark.parametrize(
    ("statuses", "event"),
    [
        (("accepted", "accepted"), "order-confirmation.accepted"),
        (("accepted", "backordered"), "order-confirmation.backordered"),
        (("rejected", "rejected"), "order-confirmation.rejected"),
    ],
)
def test_a_confirmation_is_the_event_that_its_lines_say(
    statuses: Sequence[str], event: str
) -> None:
    rows = [f"P1,{SENT},{at},{status},5" for at, status in enumerate(statuses)]
    (found,) = taken("PO,At,Line,Status,Qty", *rows, table=CONFIRMED)
    assert isinstance(found, Emit)
    assert (found.event, found.key) == (event, "order-confirmation/P1")
    assert isinstance(found.data, OrderConfirmation)
    assert found.data.version == 1_772_438_400_000_000  # the time, where nothing is counted


def test_an_empty_cell_of_a_material_leaves_it_as_it_was() -> None:
    table = """
    name = "materials"
    kinds = ["parts"]
    event = "item.changed"
    [json]
    [fields]
    number = "no"
    stated_at = "at"
    status = "status"
    group = "group"
    descriptions.EN = "text.en"
    descriptions.DE = "text.de"
    """
    body = f'{{"no": 7, "at": "{SENT}", "status": "40", "group": "", "text": {{"en": "Seal"}}}}'
    (event,) = taken(body, table=table)
    assert isinstance(event, Emit)
    assert event.data == ItemMasterPatch(
        number="7",
        version=1_772_438_400_000_000,
        status="40",
        descriptions={"EN": "Seal"},
        stated_at=datetime(2026, 3, 2, 8, tzinfo=UTC),
    )
    assert handler(table).order == "strict"  # it says a part, and passes nothing


TERMS = """
name = "terms"
kinds = ["parts"]
event = "info-record.changed"
[csv]
[fields]
supplier = "Supplier"
organisation = { constant = "1000" }
plant = { column = "Plant", empty = "" }
category = { constant = "standard" }
item = "Part"
stated_at = "At"
lead_time_days = "Days"
price.amount.amount = "Price"
price.amount.currency = { constant = "EUR" }
price.per.value = { constant = 100 }
price.per.unit = { constant = "H87" }
"""


def test_terms_are_those_of_a_plant_or_of_all_and_say_what_is_in_their_row() -> None:
    found = taken(
        "Supplier,Plant,Part,At,Days,Price",
        f"S-1,1010,SEAL/1,{SENT},9,25.10",
        f"S-1,,SEAL/1,{SENT},,24.90",
        table=TERMS,
    )
    events = [effect for effect in found if isinstance(effect, Emit)]
    assert [event.key for event in events] == [
        "info-record/S-1/1000/1010/standard/SEAL/1",
        "info-record/S-1/1000//standard/SEAL/1",
    ]
    first, second = (event.data for event in events)
    assert isinstance(first, InfoRecordTermsPatch)
    assert isinstance(second, InfoRecordTermsPatch)
    assert (first.lead_time_days, second.lead_time_days) == (9, UNSET)
    assert (first.price, second.price) == (price("25.10", "EUR", 100), price("24.90", "EUR", 100))


def test_a_hold_is_placed_or_lifted_as_its_row_says() -> None:
    first, second, third = (
        event for event in effects(*of_corpus("holds")) if isinstance(event, Emit)
    )
    assert [event.event for event in (first, second, third)] == [
        "quality-hold.placed", "quality-hold.placed", "quality-hold.lifted",
    ]  # fmt: skip
    assert first.data == QualityHold(
        number="QH-2041",
        version=1_772_432_100_000_000,
        item="SEAL-1",
        status="placed",
        plant="1010",
        supplier="17300001",
        lots=("L-88", "L-89"),
        reason="Hardness 62 Shore A, 70 are wanted",
        by="R. Vogel",
        stated_as="open",
        stated_at=datetime(2026, 3, 2, 6, 15, tzinfo=UTC),
    )
    assert isinstance(third.data, QualityHold)
    assert (third.key, third.data.serials) == ("quality-hold/QH-1990", ("S0012", "S0013"))


def test_suppliers_that_are_one_now_and_awards_are_events_for_others() -> None:
    merged = """
    name = "merged"
    kinds = ["parts"]
    event = "supplier.merged"
    [json]
    [fields]
    number = "stays"
    merged = "goes"
    stated_at = "at"
    """
    body = f'{{"stays": "S-1", "goes": ["S-8", "S-9"], "at": "{SENT}"}}'
    (event,) = taken(body, table=merged)
    assert isinstance(event, Emit)
    assert (event.key, event.data) == (
        "supplier/S-1",
        SupplierMerged("S-1", ("S-8", "S-9"), stated_at=datetime(2026, 3, 2, 8, tzinfo=UTC)),
    )
    awarded = """
    name = "awarded"
    kinds = ["parts"]
    event = "sourcing-event.awarded"
    [csv]
    [fields]
    number = "Event"
    stated_at = "At"
    awards.item = "Part"
    awards.supplier = "Winner"
    awards.share = "Share"
    """
    rows = (f"RFQ-7,{SENT},SEAL-1,S-1,60", f"RFQ-7,{SENT},SEAL-1,S-2,40")
    (event,) = taken("Event,At,Part,Winner,Share", *rows, table=awarded)
    assert isinstance(event, Emit)
    assert isinstance(event.data, SourcingAward)
    assert event.key == "sourcing-event/RFQ-7"
    assert [(a.item, a.supplier, a.share) for a in event.data.awards] == [
        ("SEAL-1", "S-1", 60), ("SEAL-1", "S-2", 40),
    ]  # fmt: skip


PLANT_BOMS = """
name = "plant-boms"
kinds = ["parts"]
event = "bom.changed"
[csv]
[fields]
plant = "Plant"
usage = { constant = "1" }
alternative = "Alt"
parent = "Parent"
stated_at = { header = "ce-time" }
base.value = "Base"
base.unit = { constant = "H87" }
lines.position = "Pos"
lines.component = "Part"
lines.quantity.value = "Qty"
lines.quantity.unit = { constant = "H87" }
"""


def test_several_columns_tell_boms_of_plants_apart() -> None:
    sent = {"time": SENT}
    found = taken(
        "Plant,Alt,Parent,Base,Pos,Part,Qty",
        "1010,1,GB/1,100,10,SEAL-1,200",
        "1010,2,GB/1,1,10,SEAL-1,2",
        "1010,1,GB/1,100,20,PIN,400",
        table=PLANT_BOMS,
        attributes=sent,
    )
    assert [e.key for e in found if isinstance(e, Emit)] == [
        "plant-bom/1010/1/1/GB/1",
        "plant-bom/1010/1/2/GB/1",
    ]
    first = found[0]
    assert isinstance(first, Emit)
    assert first.data == PlantBomState(
        plant="1010",
        parent="GB/1",
        usage="1",
        alternative="1",
        version=1_772_438_400_000_000,
        base=Quantity(Decimal(100), "H87"),
        lines=(
            BomLine("10", "SEAL-1", Quantity(Decimal(200), "H87")),
            BomLine("20", "PIN", Quantity(Decimal(400), "H87")),
        ),
        stated_at=datetime(2026, 3, 2, 8, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("line", "code", "where"),
    [
        ("1010,,GB-1,1,10,PIN,4", "field-missing", 'row 2, column "Alt"'),
        ("10/10,1,GB-1,1,10,PIN,4", "id-with-slash", "plant-bom"),
    ],
)
def test_a_part_of_what_tells_objects_apart_that_is_none_is_refused(
    line: str, code: str, where: str
) -> None:
    lines = "Plant,Alt,Parent,Base,Pos,Part,Qty", line
    with pytest.raises(InvalidMessage) as caught:
        taken(*lines, table=PLANT_BOMS, attributes={"time": SENT})
    assert (caught.value.code, caught.value.where) == (code, where)


def test_rows_of_a_supplier_master_are_what_its_companies_add() -> None:
    table = """
    name = "vendors"
    kinds = ["parts"]
    event = "supplier-master.changed"
    [csv]
    [fields]
    number = "No"
    stated_at = { header = "ce-time" }
    name = "Name"
    country = "Country"
    tax_numbers.vat = "VAT"
    is_purchasing_blocked = { column = "Block", words = { X = true, "" = false } }
    companies.company = "Company"
    companies.payment_terms = "Terms"
    """
    (event,) = taken(
        "No,Name,Country,VAT,Block,Company,Terms",
        "17300001,Seals SAS,FR,FR40303265045,X,1000,NT30",
        "17300001,Seals SAS,FR,FR40303265045,X,2000,",
        table=table,
        attributes={"time": SENT},
    )
    assert isinstance(event, Emit)
    assert event.key == "supplier-master/17300001"
    assert event.data == SupplierMasterPatch(
        number="17300001",
        version=1_772_438_400_000_000,
        name="Seals SAS",
        country="FR",
        tax_numbers={"vat": "FR40303265045"},
        is_purchasing_blocked=True,
        companies=(CompanyPatch("1000", payment_terms="NT30"), CompanyPatch("2000")),
        stated_at=datetime(2026, 3, 2, 8, tzinfo=UTC),
    )


# --- who it is, and in which order ---


def test_one_object_is_what_a_message_is_about_and_several_are_the_table() -> None:
    read = handler(PARTS).read
    body = f"{HEAD}\n{LINE}".encode()
    one = read(Delivery("erp", "parts", body))
    both = f"{HEAD}\n{LINE}\n{LINE.replace('GB-1', 'GB-2')}".encode()
    several = read(Delivery("erp", "parts", both))
    assert (one.envelope.key, several.envelope.key) == ("bom/GB-1", "table/parts")
    assert one.envelope.id == f"sha256:{hashlib.sha256(body).hexdigest()}"
    assert one.payload.version == 1_772_434_800_000_000  # 07:00 UTC
    assert several.payload.version is None


def test_only_a_column_lets_a_message_pass_older_ones() -> None:
    by_column = handler(PARTS)
    line = next(x for x in PARTS.splitlines() if x.startswith("stated_at"))
    by_header = handler(PARTS.replace(line, 'stated_at = { header = "ce-time" }'))
    assert (by_column.order, by_column.version is not None) == ("curing", True)
    assert (by_header.order, by_header.version) == ("strict", None)


def test_the_same_bytes_sent_at_another_time_are_another_statement() -> None:
    line = next(x for x in PARTS.splitlines() if x.startswith("stated_at"))
    read = handler(PARTS.replace(line, 'stated_at = { header = "ce-time" }')).read
    body = b"Teil;Pos;Komponente;Menge;ME;Fest\nGB-1;10;SEAL-1;4;St;ja"
    ids = [
        read(Delivery("erp", "parts", body, attributes={"time": at})).envelope.id
        for at in (SENT, "2026-03-03T08:00:00Z", SENT)
    ]
    assert ids[0] == ids[2] != ids[1]
    with pytest.raises(InvalidMessage) as caught:
        read(Delivery("erp", "parts", body))
    assert (caught.value.code, caught.value.where) == ("attribute-missing", "ce-time")


def test_a_table_takes_what_comes_with_its_routing_key() -> None:
    mapped, _ = handler_of(tomllib.loads(PARTS), "t.toml")
    kinds = ("parts", "parts.plant-1010", "parts-list", "")
    assert [recognises(mapped, Delivery("erp", k, b"")) for k in kinds] == [
        True,
        True,
        False,
        False,
    ]


def test_a_package_is_read_like_a_message() -> None:
    body = f"{HEAD}\n{LINE}".encode()
    package = Package(len(body), hashlib.sha256(body).digest(), lambda: io.BytesIO(body))
    by_reference = handler(PARTS).read(Delivery("erp", "parts", b"{}", package=package))
    assert by_reference == handler(PARTS).read(Delivery("erp", "parts", body))


# --- what a file may look like ---


def test_blank_lines_byte_order_mark_and_blanks_around_cells_mean_nothing() -> None:
    body = f"\ufeff\n{HEAD}\r\n\r\n;;;;;;\n  GB-1 ;02.03.2026 08:00;10;SEAL-1\u00a0; 4;St;\n\n"
    found = bom(body)
    assert (found.parent, found.lines[0].component, found.lines[0].fixed) == (
        "GB-1",
        "SEAL-1",
        False,
    )


def test_columns_may_stand_in_any_order_and_more_than_are_needed() -> None:
    head, line = HEAD.split(";"), LINE.split(";")
    turned = [";".join((*head[::-1], "")), ";".join((*line[::-1], ""))]
    assert bom(*turned) == bom(HEAD, LINE)


def test_a_column_that_the_table_does_not_name_is_one_case_and_the_rest_is_taken() -> None:
    event, case = taken(f"{HEAD};Lager;Preis", f"{LINE};1;2", f"{LINE.replace('10', '20')};3;4")
    assert isinstance(event, Emit)
    assert isinstance(case, Open)
    assert (case.code, case.word, case.owner) == ("column-unknown", "data_quality", "master data")
    assert case.what == 'The table does not name "Lager", "Preis"'
    assert case.where == 'table.parts: "Lager", "Preis"'


def test_a_column_without_a_name_is_told_of_only_where_it_says_something() -> None:
    assert len(taken(f"{HEAD};", f"{LINE};")) == 1
    _, case = taken(f"{HEAD};", f"{LINE};5")
    assert isinstance(case, Open)
    assert case.what == 'The table does not name "(without a name)"'


def test_an_ignored_column_is_left_out_on_purpose() -> None:
    table = PARTS.replace("[csv]", 'ignore = ["Lager"]\n[csv]')
    assert len(taken(f"{HEAD};Lager", f"{LINE};1", table=table)) == 1


def test_json_that_the_table_does_not_name_is_a_case() -> None:
    found, delivery = of_corpus("contracts")
    body = delivery.body.replace(b'"meta"', b'"extra"')
    *_, case = effects(found, msgspec.structs.replace(delivery, body=body))
    assert isinstance(case, Open)
    assert case.where == 'table.contracts: "extra.page"'


def test_a_list_of_objects_in_json_spoils_nothing_unless_a_field_is_filled_by_it() -> None:
    found, delivery = of_corpus("contracts")
    body = delivery.body.replace(b'"meta"', b'"pages": [{"no": 1}], "meta"')
    *_, case = effects(found, msgspec.structs.replace(delivery, body=body))
    assert isinstance(case, Open)
    assert case.where == 'table.contracts: "pages"'


def test_a_file_without_names_has_them_from_its_table() -> None:
    names = ", ".join(f'"{name}"' for name in HEAD.split(";"))
    table = PARTS.replace('decimal = ","', f'decimal = ","\nheader = [{names}]')
    assert bom(LINE, table=table) == bom(HEAD, LINE)
    assert refused(LINE.replace("4;St", "x;St"), table=table).where == 'row 1, column "Menge"'


# --- values ---


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("4", "4"),
        ("1.250,5", "1250.5"),
        ("1.234.567", "1234567"),
        ("1250,50", "1250.5"),
        (",5", "0.5"),
        ("0", "0"),
    ],
)
def test_numbers_are_read_with_the_marks_of_the_table(text: str, number: str) -> None:
    assert bom(HEAD, LINE.replace(";4;", f";{text};")).lines[0].quantity.value == Decimal(number)


@pytest.mark.parametrize(
    "text",
    ["1.5", "1.25,0", "1250.5", "1,250.5", "1..000", ".500", "12.34.567", "4,", "1e3", "4 St",
     "\u0664", "--4", "NaN", "1.000,5,5", "1_000"],
)  # fmt: skip
def test_a_number_with_other_marks_is_refused_and_not_guessed(text: str) -> None:
    failure = refused(HEAD, LINE.replace(";4;", f";{text};"))
    assert (failure.code, failure.where) == ("number-malformed", 'row 2, column "Menge"')


def test_without_a_mark_between_thousands_none_is_taken() -> None:
    table = PARTS.replace('grouping = "."', "")
    assert refused(HEAD, LINE.replace(";4;", ";1.250;"), table=table).code == "number-malformed"


@pytest.mark.parametrize(
    ("cell", "other", "code", "column"),
    [
        ("ja", "Ja", "word-unmapped", "Fest"),
        ("ja", "vielleicht", "word-unmapped", "Fest"),
        ("St", "Stück", "unit-unmapped", "ME"),
        ("St", "H87", "unit-unmapped", "ME"),
        ("St", "", "field-missing", "ME"),
        ("SEAL-1", "", "field-missing", "Komponente"),
        ("SEAL-1", "SEA\u200bL", "character-forbidden", "Komponente"),
        ("SEAL-1", "S\u0415AL", "character-lookalike", "Komponente"),
        ("GB-1", "", "field-missing", "Teil"),
        ("02.03.2026 08:00", "", "field-missing", "Stand"),
        ("02.03.2026 08:00", "2026-03-02", "time-malformed", "Stand"),
        ("02.03.2026 08:00", "31.02.2026 08:00", "time-malformed", "Stand"),
        ("02.03.2026 08:00", "29.03.2026 02:30", "time-ambiguous", "Stand"),
        ("02.03.2026 08:00", "25.10.2026 02:30", "time-ambiguous", "Stand"),
        ("02.03.2026 08:00", "\u06602.03.2026 08:00", "time-malformed", "Stand"),
        ("02.03.2026 08:00", "01.01.0001 00:00", "time-out-of-bounds", "Stand"),
        (";4;", ";1234567890123456789;", "number-out-of-bounds", "Menge"),
    ],
)
def test_a_cell_that_means_nothing_is_named_with_its_row(
    cell: str, other: str, code: str, column: str
) -> None:
    failure = refused(HEAD, LINE, "", LINE.replace(cell, other).replace("GB-1;", "GB-2;"))
    assert (failure.code, failure.where) == (code, f'row 4, column "{column}"')
    assert failure.remedy


def test_a_word_that_is_unknown_is_named() -> None:
    assert "'vielleicht'" in refused(HEAD, LINE.replace("ja", "vielleicht")).what


def test_all_faulty_objects_are_named_at_once_up_to_a_limit() -> None:
    rows = [LINE.replace("GB-1", f"GB-{n}").replace(";4;", ";x;") for n in range(1, 4)]
    failure = refused(HEAD, *rows)
    assert failure.where == 'row 2, column "Menge"'
    assert 'Also: row 3, column "Menge"' in failure.what
    assert 'row 4, column "Menge"' in failure.what
    many = [LINE.replace("GB-1", f"GB-{n}").replace(";4;", ";x;") for n in range(30)]
    assert refused(HEAD, *many).what.count('column "Menge"') == MAX_FAULTS - 1


def test_rows_of_one_object_that_say_two_things_of_it_are_refused() -> None:
    failure = refused(HEAD, LINE, LINE.replace("02.03", "03.03"))
    assert (failure.code, failure.where) == ("rows-contradict", 'row 3, column "Stand"')
    assert "row 2" in failure.what


def test_half_a_price_is_refused() -> None:
    found, delivery = of_corpus("orders")
    body = delivery.body.replace(b"|25.10|1000|300", b"||1000|300").replace(
        b"|25.10|1000|200", b"||1000|200"
    )
    with pytest.raises(InvalidMessage) as caught:
        effects(found, msgspec.structs.replace(delivery, body=body))
    assert (caught.value.code, caught.value.where) == ("field-missing", 'row 2, column "Net"')


def test_a_value_that_its_type_refuses_is_named_with_row_and_field() -> None:
    found, delivery = of_corpus("contracts")
    body = delivery.body.replace(b'"per": 1000', b'"per": 0')
    with pytest.raises(InvalidMessage) as caught:
        effects(found, msgspec.structs.replace(delivery, body=body))
    assert (caught.value.code, caught.value.where) == (
        "price-unit", "record 1, contracts 1, lines.price",
    )  # fmt: skip


# --- hostile files ---


@pytest.mark.parametrize(
    ("body", "code", "where"),
    [
        (b"", "body-empty", "file"),
        (b" \r\n\n", "body-empty", "file"),
        (b";;;\n;;\n", "column-missing", "row 1"),
        (HEAD.encode(), "rows-missing", "file"),
        (HEAD.replace(";", ",").encode(), "column-missing", "row 1"),
        (f"{HEAD};Pos\n{LINE};1".encode(), "column-twice", "row 1"),
        (f"{HEAD}\n{LINE};more".encode(), "row-length", "row 2"),
        (f"{HEAD}\n{LINE}\nGB-1;02.03.2026 08:00;10".encode(), "row-length", "row 3"),
        (f'{HEAD}\n"{LINE}'.encode(), "csv-malformed", "row 2"),
        (f'{HEAD}\n"GB"-1{LINE[4:]}'.encode(), "csv-malformed", "row 2"),
        (f"{HEAD}\n{LINE}\0".encode(), "character-forbidden", "line 2"),
        (f"{HEAD}\n{LINE}ü".encode("cp1252"), "undecodable", "line 2"),
        (f"{HEAD}\n{LINE}".encode("utf-16"), "encoding-other", "file"),
        ((f"{HEAD}\n{LINE}" + "x" * MAX_CELL_CHARS).encode(), "table-too-large", "row 2"),
        ((f'{HEAD}\n"' + "x\n" * 200_000).encode(), "csv-malformed", "row 2"),
        ((";" * MAX_COLUMNS + f"{HEAD}\n{LINE}").encode(), "table-too-large", "row 1"),
        (f"{HEAD}\n{LINE}".encode() + b"x" * 2 * 1024 * 1024, "body-too-large", "file"),
    ],
)
def test_a_file_that_is_none_is_refused_with_its_place(body: bytes, code: str, where: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        handler(PARTS).read(Delivery("erp", "parts", body))
    assert (caught.value.code, caught.value.where) == (code, where)


def test_more_rows_or_objects_than_are_taken_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (MAX_ROWS, MAX_OBJECTS) == (100_000, 10_000)
    monkeypatch.setattr("handlers.systems.table.rows.MAX_ROWS", 6)
    monkeypatch.setattr("handlers.systems.table.inbound.MAX_OBJECTS", 4)
    names = "number,At,Line,Status,Qty"
    table = CONFIRMED.replace('"PO"', '"number"')
    long = "\n".join(f"P,{'' if n else 'x'},,," for n in range(7))
    many = "\n".join(f"P{n},,,," for n in range(5))
    for body, where in ((long, "row 8"), (many, "file")):
        with pytest.raises(InvalidMessage) as caught:
            handler(table).read(Delivery("erp", "parts", f"{names}\n{body}".encode()))
        assert (caught.value.code, caught.value.where) == ("table-too-large", where)


def test_latin_controls_of_another_encoding_are_refused() -> None:
    table = (FOLDER / "suppliers.toml").read_text().replace("cp1252", "iso-8859-1")
    body = (FOLDER / "suppliers.csv").read_bytes()  # its euro sign is a control there
    with pytest.raises(InvalidMessage) as caught:
        effects(handler(table), Delivery("erp", "supplier-list", body))
    assert (caught.value.code, caught.value.where) == (
        "character-forbidden", 'row 6, column "Name"',
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "code", "where"),
    [
        (b"[]", "records-missing", "document"),
        (b'{"data": []}', "records-missing", "document"),
        (b'{"data": {"items": 7}}', "records-missing", "data.items"),
        (b'{"data": {"items": [1, 2]}}', "records-missing", "data.items"),
        (b'{"data": {"items": []}}', "rows-missing", "file"),
        (b'{"data": {"items": [{"item": "A"}]}}', "records-missing", "record 1"),
        (b'{"data": {"items": [{"item": "A", "contracts": [7]}]}}', "records-missing", None),
        (b'{"data": {"items": [{"item": "A", "item": "B"}]}}', "key-twice", "document"),
        (
            b'{"data": {"items": [{"a.b": 1, "a": {"b": 2}, "contracts": []}]}}',
            "column-twice",
            None,
        ),
        (b'{"data": {"items": [{"item": [[1]], "contracts": []}]}}', "value-malformed", None),
        (b'{"data": {"items": [{"item": ["A"], "contracts": []}]}}', "value-malformed", None),
        (b'{"data": {"items": [{"item": "\\ud800", "contracts": []}]}}', "undecodable", "document"),
        (b'{"data": {"items": [NaN]}}', "undecodable", "document"),
        (b"[" * 5000, "body-too-deep", "document"),
    ],
)
def test_json_that_holds_no_rows_is_refused(body: bytes, code: str, where: str | None) -> None:
    found, delivery = of_corpus("contracts")
    with pytest.raises(InvalidMessage) as caught:
        found.read(msgspec.structs.replace(delivery, body=body))
    assert caught.value.code == code
    assert where is None or caught.value.where == where


def test_rows_of_one_line_that_write_a_number_in_two_ways_are_refused_and_not_two_lines() -> None:
    found, delivery = of_corpus("orders")
    body = delivery.body.replace(b"25.10", b"25.100", 1)
    with pytest.raises(InvalidMessage) as caught:
        effects(found, msgspec.structs.replace(delivery, body=body))
    assert (caught.value.code, caught.value.where) == ("rows-contradict", 'row 3, column "Net"')


def test_a_json_number_is_the_text_it_is_written_as() -> None:
    found, delivery = of_corpus("contracts")
    exact = delivery.body.replace(b"25.10", b"123456789012.123456")
    (event, *_) = effects(found, msgspec.structs.replace(delivery, body=exact))
    assert isinstance(event, Emit)
    assert isinstance(event.data, Coverage)
    assert event.data.lines[0].price.amount.amount == Decimal("123456789012.123456")


# --- properties ---

NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Cn", "Cs", "Z"]), max_size=30
)
SUPPLIERS = """
name = "round"
kinds = ["round"]
event = "supplier.changed"
[csv]
delimiter = "DELIMITER"
[fields]
number = "No"
name = { column = "Name", empty = "" }
active = "Active"
stated_at = "At"
qualification.status = "Status"
qualification.valid_until = "Until"
"""
ROWS = st.lists(
    st.builds(
        Supplier,
        number=st.from_regex(r"[A-Z0-9][A-Z0-9/., ;\"-]{0,10}[A-Z0-9]", fullmatch=True),
        name=st.lists(NAMES, max_size=3).map("\n".join).map(str.strip),
        active=st.booleans(),
        qualification=st.builds(
            Qualification,
            status=st.sampled_from(["qualified", "conditional", "in_qualification"]),
            valid_until=st.none() | st.dates(date(1900, 1, 1), date(9999, 12, 30)),
        ),
        stated_at=st.datetimes(datetime(1970, 1, 1), datetime(9990, 1, 1)).map(  # noqa: DTZ001 - set below
            lambda at: at.replace(tzinfo=UTC)
        ),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda supplier: supplier.number,
)


@given(
    rows=ROWS, delimiter=st.sampled_from([",", ";", "|", "\\t"]), order=st.permutations(range(6))
)
def test_rows_that_were_written_are_read_as_they_were(
    rows: list[Supplier], delimiter: str, order: list[int]
) -> None:
    names = ("No", "Name", "Active", "At", "Status", "Until")
    written = io.StringIO(newline="")
    writer = csv.writer(written, delimiter=delimiter.replace("\\t", "\t"))
    writer.writerow([names[at] for at in order])
    for s in rows:
        until = s.qualification.valid_until
        cells = (
            s.number, s.name, str(s.active).lower(), s.stated_at.isoformat() if s.stated_at else "",
            s.qualification.status, until.isoformat() if until else "",
        )  # fmt: skip
        writer.writerow([cells[at] for at in order])
    taker = handler(SUPPLIERS.replace("DELIMITER", delimiter))
    found = effects(taker, Delivery("erp", "round", written.getvalue().encode()))
    expected = [msgspec.structs.replace(s, name=normalize("NFC", s.name)) for s in rows]
    assert [effect.data for effect in found if isinstance(effect, Emit)] == expected


GROUPS = """
name = "groups"
kinds = ["groups"]
event = "supplier.changed"
[csv]
delimiter = ";"
[fields]
number = "No"
name = "Name"
active = { constant = "true" }
stated_at = { header = "ce-time" }
parent = "Part of"
inherits_qualification = { column = "Own", words = { "" = "true", yes = "false" } }
qualification.status = { constant = "in_qualification" }
"""
QUALIFIED = (
    GROUPS
    + """
qualifications.status = "Status"
qualifications.category = "Category"
qualifications.region = "Region"
qualifications.plant = "Plant"
qualifications.valid_from = "From"
qualifications.preferred_level = "Level"
"""
)
SITES = (
    GROUPS
    + """
sites.code = "Site"
sites.roles = { column = "Roles", separator = ",", words = { O = "ordering", M = "manufacturing" } }
sites.plants = { column = "Plants", separator = "," }
"""
)


def suppliers(table: str, *lines: str) -> list[Supplier]:
    arrived = Delivery("erp", "groups", "\n".join(lines).encode(), attributes={"time": SENT})
    found = effects(handler(table), arrived)
    return [e.data for e in found if isinstance(e, Emit) and isinstance(e.data, Supplier)]


def test_rows_of_a_supplier_are_its_qualifications() -> None:
    child, parent = suppliers(
        QUALIFIED,
        "No;Name;Part of;Own;Status;Category;Region;Plant;From;Level",
        "1;Seals SAS;2;;qualified;seals;EU;;2026-01-01;1",
        "1;Seals SAS;2;;disqualified;;;1010;;",
        "2;Seal Group;;yes;;;;;;",
    )
    assert (child.parent, child.inherits_qualification) == ("2", True)
    assert child.qualifications == (
        ScopedQualification(
            "qualified",
            category="seals",
            region="EU",
            valid_from=date(2026, 1, 1),
            preferred_level=1,
        ),
        ScopedQualification("disqualified", plant="1010"),
    )
    assert (parent.parent, parent.inherits_qualification, parent.qualifications) == ("", False, ())


def test_rows_of_a_supplier_are_its_sites_with_several_roles() -> None:
    (found,) = suppliers(
        SITES,
        "No;Name;Part of;Own;Site;Roles;Plants",
        "1;Seals SAS;;;LYON;O,M;1010,1020",
        "1;Seals SAS;;;PAY;;",
    )
    assert found.sites == (
        SupplierSite("LYON", roles=("ordering", "manufacturing"), plants=("1010", "1020")),
        SupplierSite("PAY"),
    )
    with pytest.raises(InvalidMessage, match="word-unmapped"):
        suppliers(SITES, "No;Name;Part of;Own;Site;Roles;Plants", "1;Seals SAS;;;LYON;O,X;")


@given(st.binary(max_size=200))
def test_any_bytes_are_rows_or_refused(body: bytes) -> None:
    outcome: object
    try:
        outcome = handler(PARTS).read(Delivery("erp", "parts", body)).payload
    except InvalidMessage as failure:
        outcome = failure.remedy
    assert isinstance(outcome, Sheet | str)
    assert outcome


def test_the_corpus_says_where_it_is_from() -> None:
    stated = (FOLDER / "SOURCE.txt").read_text()
    assert all(path.stem in stated for path in Path(FOLDER).glob("*.toml"))
