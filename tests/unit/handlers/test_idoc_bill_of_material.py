"""BOMs out of IDocs: an IDoc of ours, shaped like the public field lists of BOMMAT."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import pytest

from canonical.bom import BomLine, BomNote, PlantBomState, Substitute
from canonical.codec import encode
from canonical.effects import Emit, Open, Put
from canonical.errors import Failure
from canonical.facts import Facts
from canonical.handler import Delivery
from canonical.quantity import Quantity
from handlers.flows.master_data import BOM_CHANGED
from handlers.systems.idoc.inbound import HANDLER
from tests.corpus import CORPUS
from tests.fixtures.gearbox import NOW, RULES

BOMMAT = (CORPUS / "idoc" / "bommat.made.xml").read_text()


def said(text: str = BOMMAT) -> tuple[dict[str, PlantBomState], list[Open]]:
    """The BOMs by their keys, and the cases of a document."""
    message = HANDLER.read(Delivery("erp", "", text.encode()))
    assert message.envelope.key == "plant-boms/SH-10"
    effects = HANDLER.decide(message, Facts(RULES), NOW)
    boms: dict[str, PlantBomState] = {}
    for event in effects:
        if isinstance(event, Emit):
            assert event.event == "bom.changed"
            assert isinstance(event.data, PlantBomState)
            boms[event.key] = event.data
    return boms, [case for case in effects if isinstance(case, Open)]


def first(text: str = BOMMAT) -> PlantBomState:
    """The BOM of plant 1010."""
    return said(text)[0]["plant-bom/1010/1/1/SH-10"]


def pieces(number: str) -> Quantity:
    return Quantity(Decimal(number), "H87")


FIRST = date(2024, 1, 1)
ROD = BomLine("10", "ROD-1", Quantity(Decimal(260), "KGM"), first_day=FIRST)
SEAL = BomLine(
    "20",
    "70011",
    pieces("2"),
    reference_designators=("DE", "NDE"),
    fixed=True,
    note="greased",
    first_day=date(2026, 2, 1),
)


def test_the_bom_says_what_the_file_says() -> None:
    assert first() == PlantBomState(
        plant="1010",
        parent="SH-10",
        usage="1",
        alternative="1",
        version=1_772_445_600_417_003,
        base=pieces("100"),
        lines=(ROD, SEAL),
        notes=(
            BomNote("30", "text", "Heat the bearing seat to 80 degrees"),
            BomNote("40", "document", "DRW SH-10-D 000 B"),
        ),
        change="451",
        valid_from=date(2026, 2, 1),
        status="01",
        text="Shaft assembly",
        source_id="SH-10",
        stated_at=datetime(2026, 3, 2, 10, tzinfo=UTC),
    )


def test_each_plant_has_the_lines_of_its_alternative() -> None:
    found, cases = said()
    assert list(found) == ["plant-bom/1010/1/1/SH-10", "plant-bom/2010/1/2/SH-10"]
    other = found["plant-bom/2010/1/2/SH-10"]
    assert (other.base, other.lines, other.notes) == (pieces("1"), (ROD,), ())
    assert (other.is_deleted, other.status, other.change) == (True, "02", "")
    assert other.valid_from == date(2024, 1, 1)
    assert cases == []


def test_without_any_membership_all_lines_are_taken() -> None:
    start, end = BOMMAT.index("<E1STASM"), BOMMAT.rindex("</E1STASM>") + len("</E1STASM>")
    found = first(BOMMAT[:start] + BOMMAT[end:])
    assert found.lines == (ROD, SEAL, BomLine("50", "PIN", pieces("-1"), first_day=FIRST))


@pytest.mark.parametrize("segment", ["E1STKOM", "E1STASM", "E1STPOM"])
def test_a_bom_that_holds_for_some_serial_numbers_is_refused(segment: str) -> None:
    """SAP names the technical status of what a change by parameters made, and not the numbers."""
    tagged = f'<{segment} SEGMENT="1">'
    assert tagged in BOMMAT
    with pytest.raises(Failure) as refused:
        said(BOMMAT.replace(tagged, f"{tagged}<TECHV>ECO-451</TECHV>", 1))
    failure = refused.value
    assert failure.code == "bom-by-parameters"
    assert failure.where.endswith(": TECHV")
    assert segment in failure.where
    said(BOMMAT.replace(tagged, f"{tagged}<TECHV></TECHV>", 1))


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.replace("<POSNR>0010<", "<LKENZ>X</LKENZ><POSNR>0010<"),
        lambda t: t.replace(
            "<STLKN>00000001</STLKN>", "<STLKN>00000001</STLKN><LKENZ>X</LKENZ>", 1
        ),
        lambda t: t.replace(
            "<MSGFN>005</MSGFN>\n        <STLKN>00000001<",
            "<MSGFN>003</MSGFN>\n        <STLKN>00000001<",
        ),
    ],
)
def test_a_line_that_is_deleted_is_none(change: Callable[[str], str]) -> None:
    assert change(BOMMAT) != BOMMAT
    assert first(change(BOMMAT)).lines == (SEAL,)


def test_an_installation_point_may_be_a_range_which_the_quantity_tells() -> None:
    def points(text: str) -> tuple[str, ...]:
        return first(BOMMAT.replace("<EBORT>DE<", f"<EBORT>{text}<")).lines[1].reference_designators

    # Two in all, fixed: DE-1 to DE-1 and NDE are as many as are needed.
    assert points("J1-3") == ("J1-3", "NDE")
    assert points("C1-C3") == ("C1-C3", "NDE")
    three = BOMMAT.replace("<MENGE_C>2.000<", "<MENGE_C>4.000<")
    assert three != BOMMAT
    named = first(three.replace("<EBORT>DE<", "<EBORT>C1-3<")).lines[1]
    assert named.reference_designators == ("C1", "C2", "C3", "NDE")


def test_trap_the_quantity_that_cannot_hold_decimals_is_not_read() -> None:
    found = first(BOMMAT.replace("<MENGE_C>260.000<", "<MENGE_C>.001<"))
    assert found.lines[0].quantity == Quantity(Decimal("0.001"), "KGM")


def test_a_bom_that_is_deleted_says_so_with_nothing_else() -> None:
    start, end = BOMMAT.index("<E1STKOM"), BOMMAT.rindex("</E1STPOM>") + len("</E1STPOM>")
    gone = (BOMMAT[:start] + BOMMAT[end:]).replace("<MSGFN>005</", "<MSGFN>003</", 1)
    found = first(gone)
    assert (found.is_deleted, found.base, found.lines) == (True, None, ())


def test_a_class_is_no_line_and_a_case() -> None:
    found, cases = said(
        BOMMAT.replace("<POSTP>T</POSTP>", "<POSTP>K</POSTP><KLASSE>BEARINGS</KLASSE>")
    )
    assert found["plant-bom/1010/1/1/SH-10"].notes[0] == BomNote(
        "30", "class", "BEARINGS Heat the bearing seat"
    )
    assert [(case.code, case.owner) for case in cases] == [("bom-class", "master data")]
    assert "BOM of SH-10 in plant 1010, E1STPOM, line" in cases[0].where


def grouped(rod: str, seal: str, group: str = "A1") -> str:
    """The rod and the seal as alternatives, with other fields of theirs."""
    return BOMMAT.replace(
        "<POSNR>0010<", f"<ALPGR>{group}</ALPGR>{rod}<FMENG>X</FMENG><POSNR>0010<"
    ).replace("<POSNR>0020<", f"<ALPGR>A1</ALPGR>{seal}<POSNR>0020<")


FIXED_ROD = msgspec.structs.replace(ROD, fixed=True)


def test_of_a_group_the_first_by_rank_is_the_line_and_the_others_are_its_substitutes() -> None:
    text = grouped("<ALPRF>02</ALPRF>", "<ALPRF>01</ALPRF>")
    found, cases = said(text)
    (line,) = found["plant-bom/1010/1/1/SH-10"].lines
    rod = Substitute("ROD-1", 2, Quantity(Decimal(260), "KGM"), "A1")
    assert line == msgspec.structs.replace(SEAL, substitutes=("ROD-1",), substitutions=(rod,))
    # Alone in its group it is a line like any other.
    assert found["plant-bom/2010/1/2/SH-10"].lines == (FIXED_ROD,)
    assert cases == []


@pytest.mark.parametrize(
    ("rod", "seal", "line", "rank"),
    [
        ("", "", "ROD-1", None),
        ("<ALPRF>00</ALPRF>", "<ALPRF>07</ALPRF>", "70011", None),
        ("<ALPRF>01</ALPRF>", "<ALPRF>02</ALPRF><EWAHR>100</EWAHR>", "70011", 1),
        ("<EWAHR>100</EWAHR>", "<EWAHR>0</EWAHR>", "ROD-1", None),
    ],
)
def test_what_is_planned_is_the_line_before_all_ranks(
    rod: str, seal: str, line: str, rank: int | None
) -> None:
    (found,) = first(grouped(rod, seal)).lines
    assert (found.component, found.substitutions[0].rank) == (line, rank)


def test_a_substitute_in_the_quantity_of_its_line_has_none_of_its_own() -> None:
    text = grouped("", "").replace("260.000", "2.000").replace("<MEINS>KGM<", "<MEINS>PCE<")
    assert first(text).lines[0].substitutions == (Substitute("70011", group="A1"),)


@pytest.mark.parametrize(
    "text",
    [
        grouped("<EWAHR>60</EWAHR>", "<EWAHR>40</EWAHR>"),
        grouped("", "").replace("<FMENG>X</FMENG><POSNR>0010<", "<POSNR>0010<"),
    ],
)
def test_alternatives_of_which_none_stands_for_all_are_lines_and_a_case(text: str) -> None:
    found, cases = said(text)
    lines = found["plant-bom/1010/1/1/SH-10"].lines
    assert [(line.component, line.substitutions) for line in lines] == [
        ("ROD-1", ()),
        ("70011", ()),
    ]
    (case,) = cases
    assert (case.code, case.word) == ("bom-alternatives", "data_quality")
    assert case.where.startswith("BOM of SH-10 in plant 1010, E1STPOM, line")


def test_lines_of_two_groups_are_no_substitutes_of_each_other() -> None:
    assert first(grouped("", "", group="B1")).lines == (FIXED_ROD, SEAL)


def test_scrap_is_kept_and_none_of_it_is_none() -> None:
    assert ROD.scrap_percent is None
    found = first(BOMMAT.replace("<AUSCH>0.00<", "<AUSCH>2.50<")).lines[0]
    assert found == msgspec.structs.replace(ROD, scrap_percent=Decimal("2.5"))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda t: t.replace("<BMENG_C>100.000<", "<BMENG_C>0.000<"), "base-quantity"),
        (lambda t: t.replace("<BMENG_C>100.000<", "<BMENG_C>/<"), "bom-incomplete"),
        (lambda t: t.replace("<MENGE_C>260.000<", "<MENGE_C><"), "bom-incomplete"),
        (lambda t: t.replace("<MEINS>KGM<", "<MEINS>KA<"), "unit-unmapped"),
        (lambda t: t.replace("<IDNRK>ROD-1<", "<IDNRK><"), "bom-incomplete"),
        (lambda t: t.replace("<STLAL>01</STLAL>\n        <DATUV>", "<DATUV>"), "bom-incomplete"),
        (lambda t: t.replace("<STLAL>02</STLAL>\n        <DATUV>", "<STLAL>01</STLAL><DATUV>"),
         "bom-with-history"),
        (lambda t: t.replace("<STLKN>00000002</STLKN>\n        <DATUV>",
                             "<STLKN>00000001</STLKN><DATUV>"), "bom-with-history"),
        (lambda t: t.replace("<STLKN>00000002</STLKN>\n        <DATUV>",
                             "<STLKN>00000009</STLKN><DATUV>"), "bom-incomplete"),
        (lambda t: t.replace("<MATNR>SH-10<", "<MATNR>SH-11<", 1), "bom-of-several"),
        (lambda t: t.replace("E1MASTM", "E1MASTX"), "bom-incomplete"),
        (lambda t: t.replace("E1STZUM", "E1STZUX"), "segment-missing"),
        (lambda t: t.replace("<WERKS>1010<", "<WERKS>10/0<"), "id-with-slash"),
        (lambda t: t.replace("<DATUV>20260201<", "<DATUV>20260231<"), "day-malformed"),
        (lambda t: t.replace("<AUSCH>0.00<", "<AUSCH>much<"), "number-malformed"),
        (lambda t: t.replace("<POSNR>0020<", "<ALPGR>A</ALPGR><ALPRF>x</ALPRF><POSNR>0020<"),
         "number-malformed"),
    ],
)  # fmt: skip
def test_a_bom_that_cannot_be_understood_whole_is_refused_with_its_place(
    change: Callable[[str], str], code: str
) -> None:
    assert change(BOMMAT) != BOMMAT
    with pytest.raises(Failure) as refused:
        said(change(BOMMAT))
    assert refused.value.code == code
    assert refused.value.where


def test_the_bom_becomes_a_document() -> None:
    state = first()
    key = "plant-bom/1010/1/1/SH-10"
    attributes = {"type": "com.layshaft.bom.changed.v1", "id": "1", "subject": key}
    delivery = Delivery("layshaft", "", encode(state), attributes=attributes)
    message = BOM_CHANGED.read(delivery)
    (put,) = BOM_CHANGED.decide(message, Facts(RULES), NOW)
    assert isinstance(put, Put)
    assert (put.key, put.version, put.document) == (key, state.version, state)
    assert BOM_CHANGED.version is not None
    assert BOM_CHANGED.version(message) == state.version


def test_one_bom_of_a_material_passes_no_other_that_waits() -> None:
    message = HANDLER.read(Delivery("erp", "", BOMMAT.encode()))
    assert HANDLER.version is not None
    assert HANDLER.version(message) is None
