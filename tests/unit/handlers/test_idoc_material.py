"""Material masters out of IDocs: one of SAP's own, and what real ones are like."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from msgspec import UNSET

from canonical.codec import encode
from canonical.effects import Emit, Open, Put
from canonical.errors import Failure
from canonical.facts import Facts, Known
from canonical.handler import Delivery
from canonical.item_master import ItemMaster, ItemMasterPatch, PlantPatch
from canonical.quantity import ItemUnit, Quantity, Ratio
from handlers.flows.master_data import ITEM_CHANGED
from handlers.systems.idoc.inbound import HANDLER
from tests.corpus import CORPUS
from tests.fixtures.gearbox import NOW, RULES

MATMAS = (CORPUS / "idoc" / "matmas.xml").read_text()


def said(text: str = MATMAS) -> tuple[ItemMasterPatch, list[Open]]:
    """The patch and the cases of a document."""
    message = HANDLER.read(Delivery("erp", "", text.encode()))
    event, *cases = HANDLER.decide(message, Facts(RULES), NOW)
    assert isinstance(event, Emit)
    assert isinstance(event.data, ItemMasterPatch)
    assert event.event == "item.changed"
    assert event.key == message.envelope.key
    return event.data, [case for case in cases if isinstance(case, Open)]


def kilograms(number: str) -> Quantity:
    return Quantity(Decimal(number), "KGM")


def test_the_material_says_what_the_file_says() -> None:
    found, _ = said()
    assert (found.number, found.source_id) == ("123456789", "000000000123456789")
    assert (found.base_unit, found.kind, found.group) == ("A12", "FERT", "ABC123")
    assert found.hierarchy == "121110987654321"
    assert (found.status, found.lifecycle, found.gtin) == ("40", UNSET, "1234567891011")
    assert (found.gross_weight, found.net_weight) == (kilograms("5.555"), kilograms("4.666"))
    assert found.volume == Quantity(Decimal("38.333"), "DMQ")
    assert found.descriptions == {"EN": "DUMMY PRODUCT", "DE": "DUMMY PRODUCT"}
    assert found.is_deleted is UNSET
    assert found.stated_at == datetime(2024, 2, 23, 14, 36, 20, tzinfo=UTC)
    assert ItemUnit("XPX", Ratio(42)) in found.alternates
    assert found.plants == (
        PlantPatch(
            "FR20",
            procurement="buy",
            purchasing_group="E02",
            lead_time_days=0,
            minimum_lot=Quantity(Decimal(35), "A12"),
            status="40",
        ),
    )


def test_trap_units_that_nobody_knows_are_cases_and_the_rest_is_taken() -> None:
    found, cases = said()
    assert [(case.code, case.owner) for case in cases] == [("unit-unknown", "master data")] * 2
    assert all("material 123456789, E1MARMM, line" in case.where for case in cases)
    assert {"201", "UPA"}.isdisjoint({unit.unit for unit in found.alternates})


def test_trap_a_field_that_was_not_selected_is_as_it_was_and_an_empty_one_is_empty() -> None:
    found, _ = said(
        MATMAS.replace("<MTART>FERT<", "<MTART>/<")
        .replace("<MATKL>ABC123<", "<MATKL><")
        .replace("<EAN11>1234567891011</EAN11>", "")
    )
    assert (found.kind, found.group, found.gtin) == (UNSET, None, UNSET)


def test_trap_a_number_of_digits_is_padded_and_another_one_is_not() -> None:
    assert said(MATMAS.replace("000000000123456789", "123456789"))[0].number == "123456789"
    assert said(MATMAS.replace("000000000123456789", "GB-0100"))[0].number == "GB-0100"


def test_a_mark_for_deletion_is_one_however_it_is_said() -> None:
    marked = MATMAS.replace("<MTART>", "<LVORM>X</LVORM><MTART>")
    assert said(marked)[0].is_deleted is True
    assert said(marked.replace("LVORM>X<", "LVORM><"))[0].is_deleted is False
    gone = MATMAS.replace("<MSGFN>005</MSGFN>\n            <WERKS>", "<MSGFN>003</MSGFN>\n<WERKS>")
    (plant,) = said(gone)[0].plants
    assert plant.is_deleted is True


def test_a_kind_of_procurement_that_no_table_has_is_a_case_and_says_nothing() -> None:
    found, cases = said(MATMAS.replace("<BESKZ>F<", "<BESKZ>X<"))
    assert found.plants[0].procurement is UNSET
    assert "procurement-unmapped" in {case.code for case in cases}


def test_lots_are_said_in_the_base_unit_or_not_at_all() -> None:
    found, _ = said(MATMAS.replace("<MEINS>A12</MEINS>", ""))
    assert (found.base_unit, found.plants[0].minimum_lot) == (UNSET, UNSET)
    assert said(MATMAS.replace("<BSTMI>35.000<", "<BSTMI>0.000<"))[0].plants[0].minimum_lot is None


@pytest.mark.parametrize(("stated", "found"), [("X", True), ("", False), ("/", UNSET)])
def test_a_plant_buys_by_a_source_list_or_not(stated: str, found: object) -> None:
    text = MATMAS.replace("<MMSTA>", f"<KORDB>{stated}</KORDB><MMSTA>")
    assert said(text)[0].plants[0].needs_source_list is found
    assert said()[0].plants[0].needs_source_list is UNSET


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda t: t.replace("<MEINS>A12", "<MEINS>KA"), "unit-unmapped"),
        (lambda t: t.replace("<GEWEI>KGM", "<GEWEI>"), "unit-unknown"),
        (lambda t: t.replace("<BRGEW>5.555", "<BRGEW>heavy"), "number-malformed"),
        (lambda t: t.replace("<PLIFZ>0<", "<PLIFZ>1.5<"), "number-malformed"),
        (lambda t: t.replace("<UMREZ>42", "<UMREZ>0"), "item-unit-ratio"),
        (lambda t: t.replace("E1MARAM", "E1MARAX"), "segment-missing"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_place(
    change: Callable[[str], str], code: str
) -> None:
    with pytest.raises(Failure) as refused:
        said(change(MATMAS))
    assert refused.value.code == code
    assert refused.value.where


def test_patches_of_a_material_come_to_what_the_erp_has() -> None:
    first, _ = said()
    second = ItemMasterPatch(first.number, first.version + 1, group="NEW", status=None)
    known: ItemMaster | None = None
    for patch in (first, second):
        documents = {"item-master/123456789": Known(1, known)} if known else {}
        attributes = {"type": "com.layshaft.item.changed.v1", "id": "1", "subject": "item-master/1"}
        message = ITEM_CHANGED.read(Delivery("layshaft", "", encode(patch), attributes=attributes))
        (put,) = ITEM_CHANGED.decide(message, Facts(RULES, documents), NOW)
        assert isinstance(put, Put)
        assert (put.key, put.version) == ("item-master/123456789", patch.version)
        assert isinstance(put.document, ItemMaster)
        known = put.document
    assert known is not None
    assert (known.group, known.status, known.kind) == ("NEW", "", "FERT")
    assert known.gross_weight == kilograms("5.555")


def test_a_part_of_an_object_passes_nothing_that_waits() -> None:
    message = HANDLER.read(Delivery("erp", "", MATMAS.encode()))
    assert HANDLER.version is not None
    assert HANDLER.version(message) is None
