"""A BOM that is ten times as long takes some ten times as long to be read and understood, in every
driver that reads one, and to be written and compared where one is written; a line takes so much
memory, and not more of it in a longer BOM."""

from __future__ import annotations

import hashlib
import io
import json
import tomllib
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import IO

import pytest

from canonical.bom import Bom, BomLine, PlantBom, PlantBomState
from canonical.connector import Present
from canonical.effects import Emit
from canonical.exchange import Response
from canonical.facts import Facts
from canonical.handler import Delivery, Handler, Package
from canonical.own_words import NO_WORDS
from canonical.package import PACKAGE_TYPE
from canonical.quantity import Quantity
from handlers import HANDLERS
from handlers.systems.idoc import outbound as idocs
from handlers.systems.idoc.writing import Parties
from handlers.systems.s4 import bill_of_material
from handlers.systems.table import outbound as table_outbound
from handlers.systems.table.inbound import handler_of
from tests.corpus import CORPUS
from tests.fixtures.gearbox import NOW, RULES
from tests.fixtures.large_package import write_package
from tests.timing import times_as_long

SHORT = 5_000
AS_LONG = 10
AT_MOST = 15
PARTIES = Parties(sender="LAYSHAFT", receiver="GBXCLNT100")
TABLE = """
name = "long"
kinds = ["long"]
event = "bom.released"
[csv]
[fields]
parent = "Parent"
revision = { constant = "A" }
stated_at = { header = "ce-time" }
base.value = { constant = 1 }
base.unit = { constant = "H87" }
lines.position = "Pos"
lines.component = "Part"
lines.quantity.value = "Qty"
lines.quantity.unit = { constant = "H87" }
lines.reference_designators = { column = "Ref", separator = " " }
"""
# The same as objects, each with its lines below it.
NESTED = (
    TABLE.replace("[csv]", '[json]\nrecords = "boms"\nrows = "lines"')
    .replace('parent = "Parent"', 'parent = "parent"')
    .replace('"Pos"', '"lines.pos"')
    .replace('"Part"', '"lines.part"')
    .replace('"Qty"', '"lines.qty"')
    .replace('{ column = "Ref", separator = " " }', '{ column = "lines.ref", separator = " " }')
)


def package(lines: int) -> bytes:
    """Of a PLM: an assembly, the items it names a tenth as many."""
    file = io.BytesIO()
    write_package(file, lines=lines, components=lines // 10)
    return file.getvalue()


def idoc(lines: int) -> bytes:
    """Of an ERP. Its lines have numbers of four digits, so no real one has more than 9,999."""
    made = (CORPUS / "idoc" / "bommat.made.xml").read_text()
    head = made[: made.index("<E1STASM")]
    nodes = range(1, lines + 1)
    used = "".join(f"<E1STASM><STLAL>01</STLAL><STLKN>{n:08}</STLKN></E1STASM>" for n in nodes)
    stated = "".join(
        f"<E1STPOM><STLKN>{n:08}</STLKN><IDNRK>C-{n % 997}</IDNRK><POSTP>L</POSTP>"
        f"<POSNR>{n % 10_000:04}</POSNR><MEINS>PCE</MEINS><MENGE_C>{n % 9 + 1}.000</MENGE_C>"
        "</E1STPOM>"
        for n in nodes
    )
    return f"{head}{used}{stated}</E1STZUM></IDOC></BOMMAT04>".encode()


def states(lines: int) -> bytes:
    """Of an ERP, read back: two states of one header, both of which have the lines."""
    items = [
        {
            "BillOfMaterialItemNodeNumber": f"{n:08}",
            "ValidityStartDate": "/Date(1467331200000)/",
            "BillOfMaterialComponent": f"C-{n % 997}",
            "BillOfMaterialItemCategory": "L",
            "BillOfMaterialItemNumber": f"{n % 10_000:04}",
            "BillOfMaterialItemUnit": "PC",
            "BillOfMaterialItemQuantity": f"{n % 9 + 1}.000",
        }
        for n in range(1, lines + 1)
    ]
    heads = [
        {
            "BillOfMaterial": "00000007",
            "BillOfMaterialVariant": "1",
            "Material": "TOP-1",
            "Plant": "1010",
            "BillOfMaterialVariantUsage": "1",
            "HeaderValidityStartDate": f"/Date({day * 86_400_000})/",
            "BOMHeaderBaseUnit": "PC",
            "BOMHeaderQuantityInBaseUnit": "1.000",
            "to_BillOfMaterialItem": {"results": items},
        }
        for day in (17_000, 18_000)
    ]
    return json.dumps({"d": {"results": heads}}).encode()


def table(lines: int) -> bytes:
    """Of anybody."""
    rows = "".join(f"TOP-1,{n},C-{n % 997},{n % 9 + 1},R{n} R{n}A\n" for n in range(lines))
    return f"Parent,Pos,Part,Qty,Ref\n{rows}".encode()


def nested(lines: int) -> bytes:
    """Of anybody, as an object."""
    rows = [
        {"pos": str(n), "part": f"C-{n % 997}", "qty": n % 9 + 1, "ref": f"R{n} R{n}A"}
        for n in range(lines)
    ]
    return json.dumps({"boms": [{"parent": "TOP-1", "lines": rows}]}).encode()


def item(lines: int) -> bytes:
    """Of a PLM: an item with its BOM and the units of its components."""
    rows = [
        {
            "item": {"guid": f"G{n}", "number": f"C-{n}", "revisionNumber": "A"},
            "quantity": n % 9 + 1,
            "lineNumber": n + 1,
            "refDes": f"R{n}",
        }
        for n in range(lines)
    ]
    statement = json.loads((CORPUS / "arena" / "item.json").read_bytes()) | {
        "bom": {"count": lines, "results": rows},
        "components": [{"guid": f"G{n}", "uom": "each"} for n in range(lines)],
    }
    return json.dumps(statement, separators=(",", ":")).encode()


def by_reference(content: bytes) -> Delivery:
    """As content comes that is too large for a message."""

    def opened() -> IO[bytes]:
        return io.BytesIO(content)

    package = Package(len(content), hashlib.sha256(content).digest(), opened)
    attributes = {"time": NOW.isoformat()}
    return Delivery("plm", "long", b"{}", PACKAGE_TYPE, attributes=attributes, package=package)


def as_answer(content: bytes) -> Delivery:
    """As a read of a system is handed on."""
    attributes = {"id": "1", "subject": "material-bom/1010/7/1/TOP-1", "time": NOW.isoformat()}
    return Delivery("erp", "", content, attributes=attributes)


def as_sent(content: bytes) -> Delivery:
    """As content comes that fits a message."""
    return Delivery("plm", "long", content, attributes={"time": NOW.isoformat()})


# Who reads it, what a file is, how it comes, lines of a short one, and the most bytes that a line
# may take while it is understood: twice what it takes.
Case = tuple[Handler, Callable[[int], bytes], Callable[[bytes], Delivery], int, int]
CASES: dict[str, Case] = {
    "pdx": (HANDLERS["pdx", "pdx.package"], package, by_reference, SHORT, 1_300),
    "idoc": (HANDLERS["idoc", "idoc.document"], idoc, by_reference, 990, 5_000),
    # Of 100,000 values in a message a line and its component have 11.
    "arena": (HANDLERS["arena", "arena.item"], item, as_sent, 500, 3_500),
    # 2 MiB of an answer are taken; with all that a line holds these are some 1,500 lines.
    "s4": (HANDLERS["s4", "s4.bom"], states, as_answer, 350, 6_000),
    "table": (handler_of(tomllib.loads(TABLE), "long.toml")[1], table, by_reference, SHORT, 1_900),
    # Of 100,000 values in a document a line has 4.
    "table-json": (
        handler_of(tomllib.loads(NESTED), "nested.toml")[1],
        nested,
        by_reference,
        1_900,
        3_000,
    ),
}


def understanding(case: Case, lines: int) -> Callable[[], None]:
    """Understands a file of so many lines, and sees that none is missing."""
    handler, made, delivered, *_ = case
    delivery = delivered(made(lines))

    def understand() -> None:
        effects = handler.decide(handler.read(delivery), Facts(RULES), NOW)
        boms = [effect.data for effect in effects if isinstance(effect, Emit)]
        assert max(len(b.lines) for b in boms if isinstance(b, Bom | PlantBomState)) == lines

    return understand


def bytes_a_line(do: Callable[[], object], lines: int) -> float:
    """Of memory, at the peak. What is made once and kept was made before."""
    tracemalloc.start()
    try:
        do()
        return tracemalloc.get_traced_memory()[1] / lines
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", CASES)
def test_ten_times_as_many_lines_take_some_ten_times_as_long(name: str) -> None:
    case = CASES[name]
    long, short = (understanding(case, lines) for lines in (case[3] * AS_LONG, case[3]))
    assert times_as_long(long, short, enough=AT_MOST) < AT_MOST


@pytest.mark.parametrize("name", CASES)
def test_a_line_takes_so_much_memory_in_a_bom_of_whatever_length(name: str) -> None:
    case = CASES[name]
    *_, short, at_most = case
    understanding(case, AS_LONG)()
    for lines in (short // 2, short):
        assert bytes_a_line(understanding(case, lines), lines) < at_most


# --- out ---

# As many as S/4HANA gets.
OUT = 1_500
WRITTEN_BYTES, COMPARED_BYTES = 1_500, 5_000


def plant_bom(lines: int) -> PlantBom:
    """One that a plant is to build by."""
    rows = tuple(
        BomLine(str(n), f"C-{n % 997}", Quantity(Decimal(n % 9 + 1), "H87"))
        for n in range(1, lines + 1)
    )
    return PlantBom("1010", "TOP-1", "B", "1", "1", Quantity(Decimal(1), "H87"), rows)


def held(bom: PlantBom) -> Response:
    """The answer to a read of it, the lines in another order."""
    body = json.loads(bill_of_material.create(bom, NO_WORDS).body or b"")
    body["BillOfMaterial"] = "00000007"
    body["to_BillOfMaterialItem"]["results"].reverse()
    answer = {"d": {"results": [body]}}
    return Response(200, {"content-type": "application/json"}, json.dumps(answer).encode())


def compared(bom: PlantBom, answer: Response) -> None:
    found = bill_of_material.read(bom, NO_WORDS, answer)
    assert isinstance(found, Present)
    assert found.equal


def test_a_long_bom_that_is_written_has_all_lines() -> None:
    body = json.loads(bill_of_material.create(plant_bom(OUT), NO_WORDS).body or b"")
    rows = body["to_BillOfMaterialItem"]["results"]
    assert [row["BillOfMaterialItemNumber"] for row in rows] == [
        f"{n:04}" for n in range(1, OUT + 1)
    ]


def test_a_bom_is_written_in_time_that_grows_with_its_lines() -> None:
    short, long = (
        partial(bill_of_material.create, plant_bom(n), NO_WORDS) for n in (OUT // AS_LONG, OUT)
    )
    assert times_as_long(long, short, enough=AT_MOST) < AT_MOST


def bommat(lines: int) -> Callable[[], object]:
    """An IDoc of the BOM, which is read back at once. Positions have four digits."""
    bom = plant_bom(lines)
    state = PlantBomState("1010", "TOP-1", "1", "1", 1, bom.base, bom.lines)
    return partial(idocs.write, idocs.FORMS["BOMMAT"], ((PARTIES, state),), NOW)


def rows(lines: int) -> Callable[[], object]:
    """A file of the BOM by a table."""
    bom = plant_bom(lines)
    mapped, _ = handler_of(tomllib.loads(TABLE), "long.toml")
    structure = Bom("TOP-1", "A", bom.base, bom.lines, stated_at=NOW)
    return partial(table_outbound.write, mapped, (structure,))


@pytest.mark.parametrize(("written", "lines"), [(bommat, 990), (rows, SHORT)])
def test_a_file_of_a_bom_is_written_in_time_that_grows_with_its_lines(
    written: Callable[[int], Callable[[], object]], lines: int
) -> None:
    long, short = written(AS_LONG * lines), written(lines)
    assert times_as_long(long, short, enough=AT_MOST) < AT_MOST


def test_a_bom_is_compared_in_time_that_grows_with_its_lines() -> None:
    boms = [plant_bom(lines) for lines in (OUT // AS_LONG, OUT)]
    short, long = (partial(compared, bom, held(bom)) for bom in boms)
    assert times_as_long(long, short, enough=AT_MOST) < AT_MOST


def test_a_line_that_is_written_and_compared_takes_so_much_memory() -> None:
    compared(plant_bom(1), held(plant_bom(1)))
    for lines in (OUT // 2, OUT):
        bom = plant_bom(lines)
        answer = held(bom)
        assert bytes_a_line(partial(bill_of_material.create, bom, NO_WORDS), lines) < WRITTEN_BYTES
        assert bytes_a_line(partial(compared, bom, answer), lines) < COMPARED_BYTES
