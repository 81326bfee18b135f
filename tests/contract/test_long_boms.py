"""A BOM of 50,000 lines takes some ten times as long as one of 5,000 to be read and understood, in
every driver that reads one, and to be written and compared where one is written; a line takes so
much memory, and not more of it in a longer BOM.

No message of most drivers may be that long. So what reads and writes is run here with the limits of
a message lifted: they are arguments of it. The rows of Arena have theirs in the type, so they are
decoded without the list that they stand in. What a format has room for by its own definition is
less, too: positions have four digits in BOMMAT (E1STPOM-POSNR) and at S/4HANA
(BillOfMaterialItemNumber); here lines repeat them, or have five digits. Of packages that are
written, tests/unit/handlers/test_pdx_out.py tells the same.
"""

from __future__ import annotations

import hashlib
import io
import json
import tomllib
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import IO, Any

import msgspec
import pytest

from canonical.bom import Bom, BomLine, PlantBom, PlantBomState
from canonical.codec import Bounds, decode_foreign, decode_json
from canonical.connector import Present
from canonical.effects import Emit
from canonical.envelope import Message
from canonical.exchange import Response
from canonical.facts import Facts
from canonical.handler import Delivery, Handler, Package
from canonical.own_words import NO_WORDS
from canonical.package import PACKAGE_TYPE
from canonical.quantity import Quantity
from handlers import HANDLERS
from handlers.systems.arena import native as arena
from handlers.systems.arena.structure import deviations as arena_deviations
from handlers.systems.idoc import inbound as idoc_inbound
from handlers.systems.idoc import outbound as idocs
from handlers.systems.idoc.writing import Parties
from handlers.systems.s4 import bill_of_material
from handlers.systems.s4.bill_of_material_lines import MAX_LINES
from handlers.systems.s4.compare import present
from handlers.systems.s4.native import BomHeader
from handlers.systems.table import inbound as table_inbound
from handlers.systems.table import outbound as table_outbound
from handlers.systems.table.inbound import handler_of
from handlers.systems.table.mapping import Mapped
from handlers.systems.xml_document import Limits
from tests.corpus import CORPUS
from tests.fixtures.gearbox import NOW, RULES
from tests.fixtures.large_package import write_package
from tests.timing import times_as_long

SHORT, LONG = 5_000, 50_000
AT_MOST = 15
# Limits that no document of these tests comes to.
LIFTED = 10**9
OF_JSON = Bounds(bytes=LIFTED, values=LIFTED)
OF_XML = Limits(bytes=LIFTED, elements=LIFTED, kept=LIFTED)
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
    """Of an ERP. Positions of four digits come again after 9,999 lines; nodes have eight."""
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


class ArenaLines(msgspec.Struct, frozen=True):
    """The rows of a statement, outside of the lists that bound them."""

    rows: tuple[arena.BomRow, ...]
    components: tuple[arena.ComponentItem, ...]


def read_arena(lines: int) -> Callable[[], Message[Any]]:
    """Reads the statement with so many lines."""
    handler = HANDLERS["arena", "arena.item"]
    short = handler.read(as_sent(item(1)))
    stated = json.loads(item(lines))
    members = {"rows": stated["bom"]["results"], "components": stated["components"]}
    content = json.dumps(members).encode()

    def read() -> Message[Any]:
        found, *_ = decode_foreign(content, ArenaLines, bounds=OF_JSON)
        statement = msgspec.structs.replace(
            short.payload,
            bom=arena.BomRows(len(found.rows), found.rows),
            components=found.components,
        )
        told = tuple(arena_deviations(statement))
        return msgspec.structs.replace(short, payload=statement, deviations=told)

    return read


def read_s4(lines: int) -> Callable[[], Message[Any]]:
    """Reads the answer with so many lines."""
    handler = HANDLERS["s4", "s4.bom"]
    short = handler.read(as_answer(states(1)))
    content = states(lines)

    def read() -> Message[Any]:
        found, *_ = decode_foreign(content, handler.forms[0].content, bounds=OF_JSON)
        return msgspec.structs.replace(short, payload=found)

    return read


def read_file(
    made: Callable[[int], bytes], read: Callable[[Delivery], Message[Any]], lines: int
) -> Callable[[], Message[Any]]:
    """Reads the file with so many lines, which comes by reference."""
    return partial(read, by_reference(made(lines)))


def table_of(document: str) -> tuple[Mapped, Handler]:
    return handler_of(tomllib.loads(document), "long.toml")


MAPPED, CSV = table_of(TABLE)
MAPPED_JSON, TABLE_JSON = table_of(NESTED)
PDX, IDOC = HANDLERS["pdx", "pdx.package"], HANDLERS["idoc", "idoc.document"]
IDOCS_LIFTED = partial(idoc_inbound.read, limits=OF_XML)

# Who understands it, and what reads a document with so many lines.
Case = tuple[Handler, Callable[[int], Callable[[], Message[Any]]]]
CASES: dict[str, Case] = {
    "pdx": (PDX, partial(read_file, package, PDX.read)),
    "idoc": (IDOC, partial(read_file, idoc, IDOCS_LIFTED)),
    "arena": (HANDLERS["arena", "arena.item"], read_arena),
    "s4": (HANDLERS["s4", "s4.bom"], read_s4),
    "table": (CSV, partial(read_file, table, CSV.read)),
    "table-json": (
        TABLE_JSON,
        partial(read_file, nested, partial(table_inbound.read, MAPPED_JSON, values=LIFTED)),
    ),
}


def understanding(
    handler: Handler, read: Callable[[], Message[Any]], lines: int
) -> Callable[[], None]:
    """Reads and understands a document of so many lines, and sees that none is missing."""

    def understand() -> None:
        effects = handler.decide(read(), Facts(RULES), NOW)
        boms = [effect.data for effect in effects if isinstance(effect, Emit)]
        assert max(len(b.lines) for b in boms if isinstance(b, Bom | PlantBomState)) == lines

    return understand


@pytest.mark.parametrize("name", CASES)
def test_ten_times_as_many_lines_take_some_ten_times_as_long(name: str) -> None:
    handler, reading = CASES[name]
    long, short = (understanding(handler, reading(lines), lines) for lines in (LONG, SHORT))
    assert times_as_long(long, short, enough=AT_MOST) < AT_MOST


# --- memory ---

# Who reads it, what a file is, how it comes, as many lines as a message may have or some thousand,
# and the most bytes that a line may take while it is understood: twice what it takes.
Held = tuple[Handler, Callable[[int], bytes], Callable[[bytes], Delivery], int, int]
HELD: dict[str, Held] = {
    "pdx": (PDX, package, by_reference, 2_500, 1_300),
    "idoc": (IDOC, idoc, by_reference, 990, 5_000),
    "arena": (HANDLERS["arena", "arena.item"], item, as_sent, 500, 3_500),
    "s4": (HANDLERS["s4", "s4.bom"], states, as_answer, 350, 6_000),
    "table": (CSV, table, by_reference, 2_500, 1_900),
    "table-json": (TABLE_JSON, nested, by_reference, 1_900, 3_000),
}


def bytes_a_line(do: Callable[[], object], lines: int) -> float:
    """Of memory, at the peak. What is made once and kept was made before."""
    tracemalloc.start()
    try:
        do()
        return tracemalloc.get_traced_memory()[1] / lines
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", HELD)
def test_a_line_takes_so_much_memory_in_a_bom_of_whatever_length(name: str) -> None:
    handler, made, delivered, most, at_most = HELD[name]

    def of(lines: int) -> Callable[[], None]:
        return understanding(handler, partial(handler.read, delivered(made(lines))), lines)

    of(10)()
    for lines in (most // 2, most):
        assert bytes_a_line(of(lines), lines) < at_most


# --- out ---

# As many as S/4HANA gets.
OUT = MAX_LINES
WRITTEN_BYTES, COMPARED_BYTES = 1_500, 5_000


def plant_bom(lines: int, positions: int = LIFTED) -> PlantBom:
    """One that a plant is to build by; after so many, positions come again."""
    rows = tuple(
        BomLine(str(n % positions + 1), f"C-{n % 997}", Quantity(Decimal(n % 9 + 1), "H87"))
        for n in range(lines)
    )
    return PlantBom("1010", "TOP-1", "B", "1", "1", Quantity(Decimal(1), "H87"), rows)


def held(bom: PlantBom) -> Response:
    """The answer to a read of it, the lines in another order."""
    body = json.loads(bill_of_material.create(bom, NO_WORDS, at_most=LIFTED).body or b"")
    body["BillOfMaterial"] = "00000007"
    body["to_BillOfMaterialItem"]["results"].reverse()
    answer = {"d": {"results": [body]}}
    return Response(200, {"content-type": "application/json"}, json.dumps(answer).encode())


def compared(bom: PlantBom, answer: Response) -> None:
    found = bill_of_material.read(bom, NO_WORDS, answer)
    assert isinstance(found, Present)
    assert found.equal


def comparing(lines: int) -> Callable[[], None]:
    """Compares a BOM of so many lines with what is there, as `compared` does."""
    bom = plant_bom(lines)
    (row,) = json.loads(held(bom).body)["d"]["results"]
    content = json.dumps(row).encode()

    def compare() -> None:
        header = decode_json(content, BomHeader, bounds=OF_JSON)
        found = bill_of_material.differences(bom, NO_WORDS, header, at_most=LIFTED)
        assert present(header, header.BillOfMaterial, found).equal

    return compare


def test_a_long_bom_that_is_written_has_all_lines() -> None:
    body = json.loads(bill_of_material.create(plant_bom(OUT), NO_WORDS).body or b"")
    rows = body["to_BillOfMaterialItem"]["results"]
    assert [row["BillOfMaterialItemNumber"] for row in rows] == [
        f"{n:04}" for n in range(1, OUT + 1)
    ]


def creating(lines: int) -> Callable[[], object]:
    """The request that creates a BOM of so many lines."""
    return partial(bill_of_material.create, plant_bom(lines), NO_WORDS, at_most=LIFTED)


def bommat(lines: int) -> Callable[[], object]:
    """An IDoc of the BOM, which is read back at once. Positions have four digits."""
    bom = plant_bom(lines, positions=9_999)
    state = PlantBomState("1010", "TOP-1", "1", "1", 1, bom.base, bom.lines)
    return partial(idocs.write, idocs.FORMS["BOMMAT"], ((PARTIES, state),), NOW, limits=OF_XML)


def rows(mapped: Mapped, lines: int) -> Callable[[], object]:
    """A file of the BOM by a table."""
    bom = plant_bom(lines)
    structure = Bom("TOP-1", "A", bom.base, bom.lines, stated_at=NOW)
    return partial(table_outbound.write, mapped, (structure,))


# What makes the call or the file, or compares with it, for a BOM of so many lines.
MADE: dict[str, Callable[[int], Callable[[], object]]] = {
    "s4": creating,
    "s4 compared": comparing,
    "idoc": bommat,
    "table": partial(rows, MAPPED),
    "table-json": partial(rows, MAPPED_JSON),
}


@pytest.mark.parametrize("name", MADE)
def test_a_bom_is_written_and_compared_in_time_that_grows_with_its_lines(name: str) -> None:
    long, short = MADE[name](LONG), MADE[name](SHORT)
    assert times_as_long(long, short, enough=AT_MOST) < AT_MOST


def test_a_line_that_is_written_and_compared_takes_so_much_memory() -> None:
    compared(plant_bom(1), held(plant_bom(1)))
    for lines in (OUT // 2, OUT):
        bom = plant_bom(lines)
        answer = held(bom)
        assert bytes_a_line(partial(bill_of_material.create, bom, NO_WORDS), lines) < WRITTEN_BYTES
        assert bytes_a_line(partial(compared, bom, answer), lines) < COMPARED_BYTES
