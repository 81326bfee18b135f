"""What is known into a file by a table: it is read back as the same, or refused with its place."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.bom import Bom, BomLine
from canonical.effects import Emit
from canonical.errors import InvalidMessage
from canonical.facts import Facts
from canonical.handler import Delivery
from canonical.item_master import ItemMaster, PlantView
from canonical.money import Money, UnitPrice
from canonical.order import OrderLine, PurchaseOrder, ScheduleLine
from canonical.quantity import Quantity
from canonical.supplier import Qualification, Supplier
from handlers.systems.table.inbound import handler_of
from handlers.systems.table.outbound import unsaid, write
from handlers.systems.table.rows import MAX_CELL_CHARS
from tests.corpus import CORPUS
from tests.fixtures.gearbox import NOW, RULES
from tests.strategies import decimals, ids, prose

FOLDER = CORPUS / "table"
SENT = datetime(2026, 3, 2, 8, tzinfo=UTC)
TABLES = sorted(path.stem for path in FOLDER.glob("*.toml"))

BOMS = """
name = "boms"
kinds = ["boms"]
event = "bom.released"
[csv]
delimiter = ";"
decimal = ","
[units]
names = "sap"
words = { Stk = "H87" }
[fields]
parent = "Parent"
revision = { column = "Rev", words = { first = "A", second = "B" } }
stated_at = { header = "ce-time" }
base.value = { constant = 1 }
base.unit = { constant = "H87" }
lines.position = "Pos"
lines.component = "Part"
lines.quantity.value = "Qty"
lines.quantity.unit = "Unit"
lines.reference_designators = { column = "Ref", separator = "," }
lines.fixed = { column = "Fixed", words = { yes = true }, empty = false }
lines.note = "Text"
"""
ORDERS = """
name = "orders"
kinds = ["orders"]
event = "purchase-order.changed"
[json]
records = "data.orders"
rows = "lines"
[fields]
number = "no"
supplier = "vendor.no"
currency = "currency"
stated_at = "at"
lines.line = "lines.no"
lines.item = "lines.item"
lines.quantity.value = "lines.quantity"
lines.quantity.unit = { constant = "H87" }
lines.price.amount.amount = "lines.price"
lines.price.amount.currency = "currency"
lines.price.per.value = { constant = 1 }
lines.price.per.unit = { constant = "H87" }
lines.schedule.quantity.value = "lines.delivery.quantity"
lines.schedule.quantity.unit = { constant = "H87" }
lines.schedule.on = { column = "lines.delivery.on", format = "%d/%m/%Y" }
"""


def written(table: str, *objects: msgspec.Struct) -> bytes:
    return write(handler_of(tomllib.loads(table), "t.toml")[0], objects)


def read_back(table: str, body: bytes) -> list[Any]:
    """What the same table makes of the file."""
    taker = handler_of(tomllib.loads(table), "t.toml")[1]
    message = taker.read(Delivery("erp", "", body, attributes={"time": SENT.isoformat()}))
    effects = taker.decide(message, Facts(RULES), NOW)
    assert all(isinstance(effect, Emit) for effect in effects)
    return [effect.data for effect in effects if isinstance(effect, Emit)]


def refused(table: str, *objects: msgspec.Struct) -> InvalidMessage:
    with pytest.raises(InvalidMessage) as caught:
        written(table, *objects)
    assert caught.value.remedy
    return caught.value


def line(component: str = "SEAL-1", **stated: Any) -> BomLine:
    made = BomLine("10", component, Quantity(Decimal("2.5"), "H87"))
    return msgspec.structs.replace(made, **stated)


def bom(*lines: BomLine, revision: str = "A") -> Bom:
    return Bom("GB-1", revision, Quantity(Decimal(1), "H87"), lines or (line(),), stated_at=SENT)


# --- there and back ---


@pytest.mark.parametrize("name", TABLES)
def test_a_file_of_the_corpus_goes_out_and_says_the_same_again(name: str) -> None:
    table = (FOLDER / f"{name}.toml").read_text()
    (file,) = (
        p for p in FOLDER.glob(f"{name}.*") if p.name.count(".") == 1 and p.suffix != ".toml"
    )
    known = _events(table, file)
    assert known
    assert read_back(table, written(table, *known)) == known


def _events(table: str, file: Path) -> list[Any]:
    """What the file says; a case of a column that nobody reads is no event."""
    taker = handler_of(tomllib.loads(table), "t.toml")[1]
    attributes = {"time": SENT.isoformat()}
    message = taker.read(Delivery("erp", "", file.read_bytes(), attributes=attributes))
    found = taker.decide(message, Facts(RULES), NOW)
    return [effect.data for effect in found if isinstance(effect, Emit)]


def test_a_file_is_written_as_its_table_says() -> None:
    lines = (
        line(reference_designators=("R1", "R2"), note='seal "hard"; greased'),
        line("OIL-1", position="20", quantity=Quantity(Decimal(3), "KGM"), fixed=True),
    )
    assert written(BOMS, bom(*lines, revision="B")).decode() == (
        "Parent;Rev;Pos;Part;Qty;Unit;Ref;Fixed;Text\r\n"
        'GB-1;second;10;SEAL-1;2,5;Stk;R1,R2;;"seal ""hard""; greased"\r\n'
        "GB-1;second;20;OIL-1;3;KG;;yes;\r\n"
    )


def order(*lines: OrderLine) -> PurchaseOrder:
    version = (SENT - datetime(1970, 1, 1, tzinfo=UTC)).days * 86_400 * 1_000_000 + 28_800_000_000
    return PurchaseOrder("PO-1", version, "S-1", "EUR", lines, stated_at=SENT)


def test_json_has_records_and_rows_where_its_table_says() -> None:
    five = Quantity(Decimal(5), "H87")
    price = UnitPrice(Money(Decimal("0.25"), "EUR"), Quantity(Decimal(1), "H87"))
    split = (ScheduleLine(five, date(2026, 4, 1)), ScheduleLine(five, date(2026, 5, 1)))
    known = order(
        OrderLine("10", "SEAL-1", Quantity(Decimal(10), "H87"), price, schedule=split),
        OrderLine("20", "PIN", five),
    )
    body = written(ORDERS, known)
    assert msgspec.json.decode(body) == {
        "data": {
            "orders": [
                {
                    "no": "PO-1",
                    "vendor": {"no": "S-1"},
                    "currency": "EUR",
                    "at": "2026-03-02T08:00:00+00:00",
                    "lines": [
                        {
                            "no": "10", "item": "SEAL-1", "quantity": "10", "price": "0.25",
                            "delivery": {"quantity": "5", "on": "01/04/2026"},
                        },
                        {
                            "no": "10", "item": "SEAL-1", "quantity": "10", "price": "0.25",
                            "delivery": {"quantity": "5", "on": "01/05/2026"},
                        },
                        {"no": "20", "item": "PIN", "quantity": "5"},
                    ],
                }
            ]
        }
    }  # fmt: skip
    assert read_back(ORDERS, body) == [known]


def test_an_object_without_rows_is_one_record_or_one_row() -> None:
    body = written(ORDERS, order())
    assert msgspec.json.decode(body)["data"]["orders"][0]["lines"] == []
    assert read_back(ORDERS, body) == [order()]
    empty = msgspec.structs.replace(bom(), lines=())
    assert read_back(BOMS, written(BOMS, empty)) == [empty]


def test_what_an_erp_holds_is_written_as_it_is_now() -> None:
    table = """
    name = "materials"
    kinds = ["parts"]
    event = "item.changed"
    [csv]
    [fields]
    number = "No"
    stated_at = { header = "ce-time" }
    group = "Group"
    descriptions.EN = "Text"
    plants.plant = "Plant"
    plants.lead_time_days = "Days"
    """
    known = ItemMaster(
        "SEAL-1", 3, base_unit="H87", descriptions={"EN": "Seal", "DE": "Dichtung"},
        plants=(PlantView("1010", lead_time_days=0), PlantView("1020", status="40")),
    )  # fmt: skip
    assert written(table, known).decode().splitlines() == [
        "No,Group,Text,Plant,Days", "SEAL-1,,Seal,1010,0", "SEAL-1,,Seal,1020,",
    ]  # fmt: skip
    mapped = handler_of(tomllib.loads(table), "t.toml")[0]
    assert unsaid(mapped, [known]) == {"base_unit": 1, "descriptions.DE": 1, "plants.status": 1}


lines_of_boms = st.builds(
    BomLine,
    position=ids(),
    component=ids(),
    quantity=st.builds(
        Quantity, decimals(minimum="0", places=3), st.sampled_from(["H87", "KGM", "MTR"])
    ),
    reference_designators=st.lists(st.text("R012345-", min_size=1, max_size=4), max_size=3).map(
        tuple
    ),
    fixed=st.booleans(),
    note=prose(),
)


@given(st.lists(lines_of_boms, min_size=1, max_size=5), st.sampled_from(["A", "B"]))
def test_whatever_is_written_is_read_back_as_it_was(lines: list[BomLine], revision: str) -> None:
    known = bom(*lines, revision=revision)
    try:
        said: list[Any] | str = read_back(BOMS, written(BOMS, known))
    except InvalidMessage as failure:
        said = failure.code
    assert said in ([known], "table-inexpressible")


# --- what no cell can say ---


@pytest.mark.parametrize(
    ("known", "says", "where"),
    [
        (bom(revision="C"), "No word of the table means 'C'", "GB-1 revision"),
        (msgspec.structs.replace(bom(), base=Quantity(Decimal(100), "H87")),
         "The table says '1' of all, and it is '100'", "GB-1 base value"),
        (bom(line(reference_designators=("R1", "R2,R3"))), "would come apart at ','",
         "GB-1 lines[0] reference_designators"),
        (bom(line(reference_designators=("R1-R3",))), "would be read as a range",
         "GB-1 lines reference_designators"),
        (bom(line(position="")), "whoever reads the file needs it", "GB-1 lines[0] position"),
        (bom(line(note=" led by a blank")), "It would be read as", "GB-1 lines[0] note"),
        (bom(line(note="x" * (MAX_CELL_CHARS + 1))), "a cell holds", "GB-1 lines[0] note"),
    ],
)  # fmt: skip
def test_what_would_be_read_otherwise_is_refused(known: Bom, says: str, where: str) -> None:
    failure = refused(BOMS, known)
    assert (failure.code, failure.where) == ("table-inexpressible", where)
    assert says in failure.what


SUPPLIERS = """
name = "suppliers"
kinds = ["suppliers"]
event = "supplier.changed"
[csv]
{}
[fields]
number = "No"
name = "Name"
active = {{ column = "Active", empty = true }}
stated_at = {{ column = "At", format = "%d.%m.%Y", zone = "Europe/Berlin" }}
qualification.status = "Status"
qualification.stated_as = "Status"
parent = {{ column = "Parent", empty = "GROUP" }}
"""


def supplier(**stated: Any) -> Supplier:
    made = Supplier(
        "S-1", "Seals SAS", True, Qualification("qualified", stated_as="qualified"),
        parent="S-9", stated_at=datetime(2026, 3, 1, 23, tzinfo=UTC),
    )  # fmt: skip
    return msgspec.structs.replace(made, **stated)


@pytest.mark.parametrize(
    ("form", "known", "says"),
    [
        ("", supplier(stated_at=SENT), "It would be read as"),
        ("", supplier(parent=""), "an empty cell means 'GROUP'"),
        ("", supplier(qualification=Qualification("qualified", stated_as="Q1")),
         "share the column"),
        ('quote = ""', supplier(name="Seals, SAS"), "the delimiter or a line break"),
        ('encoding = "cp1252"', supplier(name="Łódź"), "is no character of cp1252"),
    ],
)  # fmt: skip
def test_what_a_form_loses_is_refused(form: str, known: Supplier, says: str) -> None:
    failure = refused(SUPPLIERS.format(form), known)
    assert failure.code == "table-inexpressible"
    assert says in failure.what


def test_a_form_that_holds_all_of_it_is_written() -> None:
    known = [supplier(), supplier(number="S-2", active=False)]
    header = 'header = ["At", "No", "Name", "Active", "Status", "Parent"]'
    for form in ("", 'quote = ""', 'encoding = "cp1252"', header):
        table = SUPPLIERS.format(form)
        assert read_back(table, written(table, *known)) == known


def test_what_stands_beside_rows_is_the_same_in_all_of_them() -> None:
    table = ORDERS.replace('lines.item = "lines.item"', 'lines.item = "item"')
    five = Quantity(Decimal(5), "H87")
    lines = OrderLine("10", "SEAL-1", five), OrderLine("20", "PIN", five)
    failure = refused(table, order(*lines))
    assert (failure.code, failure.where) == ("table-inexpressible", "PO-1")


def test_elements_that_would_be_read_as_one_are_refused() -> None:
    one = OrderLine("10", "SEAL-1", Quantity(Decimal(5), "H87"))
    failure = refused(ORDERS, order(one, one))
    assert (failure.code, failure.where) == ("table-inexpressible", "PO-1 lines[1]")


def test_more_than_a_file_may_have_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handlers.systems.table.outbound.MAX_ROWS", 3)
    assert refused(BOMS, bom(*[line()] * 4)).code == "table-too-large"
    assert len(written(BOMS, bom(*[line()] * 3)).splitlines()) == 1 + 3


# --- what stays here ---


def found_unsaid(*objects: msgspec.Struct) -> Sequence[tuple[str, int]]:
    return list(unsaid(handler_of(tomllib.loads(BOMS), "t.toml")[0], objects).items())


def test_what_no_column_carries_is_told_and_what_says_nothing_is_not() -> None:
    assert found_unsaid(bom()) == []
    more = line(component_revision="B", substitutes=("SEAL-2",))
    assert found_unsaid(bom(more, more), bom(more)) == [
        ("lines.component_revision", 3),
        ("lines.substitutes", 3),
    ]
