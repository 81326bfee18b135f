"""A BOM that is ten times as long takes some ten times as long to be read and understood, in every
driver that reads one."""

from __future__ import annotations

import hashlib
import io
import json
import tomllib
from collections.abc import Callable
from typing import IO

import pytest

from canonical.bom import Bom, PlantBomState
from canonical.effects import Effect, Emit
from canonical.facts import Facts
from canonical.handler import Delivery, Handler, Package
from canonical.package import PACKAGE_TYPE
from handlers import HANDLERS
from handlers.systems.table.inbound import handler_of
from tests.corpus import CORPUS
from tests.fixtures.gearbox import NOW, RULES
from tests.fixtures.large_package import write_package
from tests.timing import processor_seconds

SHORT = 5_000
AS_LONG = 10
AT_MOST = 15
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


Case = tuple[Handler, Callable[[int], bytes], Callable[[bytes], Delivery], int]
CASES: dict[str, Case] = {
    "pdx": (HANDLERS["pdx", "pdx.package"], package, by_reference, SHORT),
    "idoc": (HANDLERS["idoc", "idoc.document"], idoc, by_reference, 990),
    # 2 MiB of an answer are taken; with all that a line holds these are some 1,500 lines.
    "s4": (HANDLERS["s4", "s4.bom"], states, as_answer, 350),
    "table": (handler_of(tomllib.loads(TABLE), "long.toml")[1], table, by_reference, SHORT),
}


def seconds(case: Case, lines: int) -> float:
    """Processor time; what is understood has all lines."""
    handler, made, delivered, _ = case
    delivery = delivered(made(lines))
    effects = understood(handler, delivery)
    boms = [e.data for e in effects if isinstance(e, Emit)]
    assert max(len(b.lines) for b in boms if isinstance(b, Bom | PlantBomState)) == lines
    return processor_seconds(lambda: understood(handler, delivery))


def understood(handler: Handler, delivery: Delivery) -> tuple[Effect, ...]:
    """What it comes to."""
    return handler.decide(handler.read(delivery), Facts(RULES), NOW)


@pytest.mark.parametrize("name", CASES)
def test_ten_times_as_many_lines_take_some_ten_times_as_long(name: str) -> None:
    case = CASES[name]
    short = case[3]
    seconds(case, short // AS_LONG)
    assert seconds(case, short * AS_LONG) < AT_MOST * seconds(case, short)
