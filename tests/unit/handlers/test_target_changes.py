"""What a step would change of what its target last said, and what that says nothing of."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.bom import BomLine, Kept, PlantBom, PlantBomState
from canonical.change import ChangeMaster, ChangeMasterState
from canonical.facts import Document
from canonical.item import Item
from canonical.item_master import ItemMaster, PlantView
from canonical.money import Money, UnitPrice
from canonical.operations import (
    ExtendToPlant,
    Operation,
    PutBom,
    PutChangeMaster,
    PutInfoRecord,
    PutItem,
    PutPlantStatus,
    PutSourceList,
    ReadCoverage,
)
from canonical.purchasing import InfoRecord, InfoRecordTerms
from canonical.quantity import Quantity
from canonical.revision import Revision
from canonical.source_list import Source, SourceList
from handlers.flows.target_changes import (
    Removal,
    TargetChange,
    known_key,
    removal,
    target_changes,
)
from tests.timing import times_as_long


def pieces(number: str) -> Quantity:
    return Quantity(Decimal(number), "H87")


def line(component: str, number: str = "1", position: str = "10", **more: Any) -> BomLine:
    return BomLine(position, component, pieces(number), **more)


def wanted(*lines: BomLine, base: str = "1") -> PutBom:
    return PutBom(PlantBom("1010", "GB-1", "B", "1", "1", pieces(base), lines))


def held(*lines: BomLine, base: str = "1", **more: Any) -> PlantBomState:
    return PlantBomState("1010", "GB-1", "1", "1", 7, pieces(base), lines, **more)


def price(amount: str, per: str = "1") -> UnitPrice:
    return UnitPrice(Money(Decimal(amount), "EUR"), pieces(per))


def record(**more: Any) -> PutInfoRecord:
    plain = InfoRecord(
        supplier="S-1",
        item="SEAL-1",
        purchasing_org="1000",
        plant="1010",
        order_unit="H87",
        base_unit="H87",
        order_to_base=(1, 1),
        price=price("25"),
        lead_time_days=5,
        contract="C-1",
        last_day=date(2029, 12, 31),
    )
    return PutInfoRecord(msgspec.structs.replace(plain, **more))


def terms(**more: Any) -> InfoRecordTerms:
    plain = InfoRecordTerms(
        *("S-1", "SEAL-1", "1000", "1010", "standard", 7),
        order_unit="H87",
        price=price("25"),
        lead_time_days=5,
        price_until=date(2029, 12, 31),
    )
    return msgspec.structs.replace(plain, **more)


def item(**more: Any) -> PutItem:
    plain = Item(
        number="SEAL-1",
        revision=Revision("numeric", "2", 2),
        lifecycle="released",
        description="Shaft seal",
        kind="part",
        procurement="buy",
        base_unit="H87",
    )
    return PutItem(msgspec.structs.replace(plain, **more))


VIEW = ExtendToPlant("SEAL-1", "1010", "buy", "H87", "001")
MASTER = ItemMaster(
    "SEAL-1",
    7,
    base_unit="H87",
    descriptions={"EN": "Shaft seal", "DE": "Wellendichtung"},
    plants=(PlantView("1010", "buy", "001"),),
)
CHANGE = PutChangeMaster(ChangeMaster("ECO-1", "Seal the shaft", date(2026, 4, 1), is_dated=True))


@pytest.mark.parametrize(
    ("operation", "key"),
    [
        (item(), "item-master/SEAL-1"),
        (VIEW, "item-master/SEAL-1"),
        (wanted(), "plant-bom/1010/1/1/GB-1"),
        (record(), "info-record/S-1/1000/1010/standard/SEAL-1"),
        (CHANGE, "change-master/ECO-1"),
        (ReadCoverage("SEAL-1"), ""),
    ],
)
def test_what_a_target_says_of_an_object_stands_under_its_key(
    operation: Operation, key: str
) -> None:
    assert known_key(operation) == key


@pytest.mark.parametrize("operation", [item(), VIEW, wanted(), record(), CHANGE])
def test_of_what_nobody_has_said_anything_nothing_is_known(operation: Operation) -> None:
    assert target_changes(operation, None) is None


@pytest.mark.parametrize(
    ("operation", "known"),
    [
        (item(), MASTER),
        (VIEW, MASTER),
        (wanted(line("A"), line("B", "2", "20")), held(line("B", "2", "0020"), line("A"))),
        (record(), terms()),
        (CHANGE, ChangeMasterState("ECO-1", 7, "Seal the shaft", valid_from=date(2026, 4, 1))),
    ],
)
def test_what_is_there_already_changes_nothing(operation: Operation, known: Document) -> None:
    assert target_changes(operation, known) == ()


def test_lines_are_added_removed_and_changed() -> None:
    found = target_changes(
        wanted(line("A"), line("B", "3", "20"), line("D", "4", "40")),
        held(line("A"), line("B", "2", "20"), line("C", "1", "30")),
    )
    assert found == (
        TargetChange("changed", "line 20 B", "2 H87", "3 H87"),
        TargetChange("added", "line 40 D", planned="4 H87"),
        TargetChange("removed", "line 30 C", known="1 H87"),
    )


def test_a_line_that_moved_is_the_same_line() -> None:
    assert target_changes(wanted(line("A", "2", "15")), held(line("A", "2", "10"))) == ()


def test_of_lines_of_one_component_those_at_one_position_belong_together() -> None:
    found = target_changes(
        wanted(line("A", "1", "10"), line("A", "5", "20")),
        held(line("A", "4", "20"), line("A", "1", "10")),
    )
    assert found == (TargetChange("changed", "line 20 A", "4 H87", "5 H87"),)


def test_lines_that_are_the_plants_own_are_not_taken_out() -> None:
    bom = msgspec.structs.replace(
        wanted(line("A")).bom, kept=Kept(prefixes=("PKG-",), numbers=("GLUE",), others=("OLD",))
    )
    known = held(line("A"), line("PKG-1"), line("GLUE"), line("OLD"), line("UNKNOWN"))
    assert target_changes(PutBom(bom), known) == (
        TargetChange("removed", "line 10 OLD", known="1 H87"),
    )
    # Of UNKNOWN only a person can tell: it is neither taken out nor known to be engineering's.
    assert removal(bom, known) == Removal(removed=1, of=2)


def test_long_boms_are_compared_in_time_by_their_length() -> None:
    def compared(lines: int) -> Callable[[], object]:
        same = [line("A", position=str(n)) for n in range(lines)]
        before, after = held(*same), wanted(*reversed(same))
        return lambda: target_changes(after, before)

    # Each line with every other one would take 64 times as long.
    assert times_as_long(compared(8_000), compared(1_000), enough=24) < 24


def test_quantities_count_per_header() -> None:
    assert target_changes(wanted(line("A", "2")), held(line("A", "200"), base="100")) == ()
    assert target_changes(wanted(line("A", "2")), held(line("A", "150"), base="100")) == (
        TargetChange("changed", "line 10 A", "150 H87 per 100 H87", "2 H87"),
    )


def test_a_fixed_quantity_is_for_any_number() -> None:
    fixed = line("A", "2", fixed=True)
    assert target_changes(wanted(fixed), held(fixed, base="100")) == ()
    assert target_changes(wanted(fixed), held(line("A", "2"))) == (
        TargetChange("changed", "line 10 A", "2 H87", "2 H87"),
    )


def test_all_lines_of_a_bom_that_was_deleted_are_new() -> None:
    found = target_changes(wanted(line("A")), held(line("A"), is_deleted=True))
    assert found == (TargetChange("added", "line 10 A", planned="1 H87"),)


def test_a_price_for_another_amount_may_be_the_same() -> None:
    assert target_changes(record(price=price("2500", "100")), terms()) == ()
    assert target_changes(record(price=price("26")), terms()) == (
        TargetChange("changed", "price", "25 EUR per 1 H87", "26 EUR per 1 H87"),
    )


def test_terms_that_changed_are_named() -> None:
    found = target_changes(
        record(lead_time_days=9, last_day=None, order_unit="XBX"), terms(is_deleted_here=True)
    )
    assert found == (
        TargetChange("changed", "order unit", "H87", "XBX"),
        TargetChange("changed", "lead time", "5 days", "9 days"),
        TargetChange("changed", "price until", "2029-12-31", "open"),
        TargetChange("changed", "deletion mark", "set", "not set"),
    )


def test_a_status_is_shown_beside_the_one_that_the_plant_has() -> None:
    stop = PutPlantStatus("SEAL-1", "1010", "Z5")
    back = msgspec.structs.replace(stop, is_lifted=True)
    where = "status in plant 1010"

    def told(wanted: PutPlantStatus, status: str) -> tuple[TargetChange, ...] | None:
        views = (PlantView("1010", status=status),)
        return target_changes(wanted, msgspec.structs.replace(MASTER, plants=views))

    assert known_key(stop) == "item-master/SEAL-1"
    assert told(stop, "") == (TargetChange("added", where, "", "Z5"),)
    assert told(stop, "Z1") == (TargetChange("changed", where, "Z1", "Z5"),)
    assert told(stop, "Z5") == ()
    assert told(back, "Z5") == (TargetChange("removed", where, "Z5"),)
    assert told(back, "Z1") == told(back, "") == ()
    elsewhere = msgspec.structs.replace(stop, plant="2010")
    assert told(elsewhere, "Z1") == ()


def test_a_plant_without_a_view_gets_one() -> None:
    elsewhere = msgspec.structs.replace(MASTER, plants=(PlantView("2010"),))
    assert target_changes(VIEW, elsewhere) == (
        TargetChange("added", "view of plant 1010", planned="buy"),
    )


def test_texts_and_days_that_differ_are_named() -> None:
    assert target_changes(item(description="Seal", base_unit="KGM"), MASTER) == (
        TargetChange("changed", "base unit", "H87", "KGM"),
        TargetChange("changed", "description", "Shaft seal", "Seal"),
    )
    known = ChangeMasterState("ECO-1", 7, "Seal", valid_from=date(2026, 3, 1))
    assert target_changes(CHANGE, known) == (
        TargetChange("changed", "description", "Seal", "Seal the shaft"),
        TargetChange("changed", "valid from", "2026-03-01", "2026-04-01"),
    )


def test_days_on_which_a_source_is_not_in_the_list_yet_are_named() -> None:
    start, end = date(2026, 4, 1), date(2026, 12, 31)
    wanted = Source(start, end, "S-1", "1010", "C-1", "10")
    put = PutSourceList(SourceList("SEAL-1", "1010", 0, (wanted,)), is_partial=True)
    assert known_key(put) == "source-list/1010/SEAL-1"

    def told(*rows: Source, origin: str = "erp") -> tuple[TargetChange, ...] | None:
        return target_changes(
            put, SourceList("SEAL-1", "1010", 3, rows, origin=origin), system="erp"
        )

    def added(words: str) -> tuple[TargetChange, ...]:
        return (TargetChange("added", "source S-1", planned=words),)

    whole = added("from 2026-04-01 until 2026-12-31")
    assert told() == whole
    assert told(Source(date(2020, 1, 1), None, "S-1", "1010")) == ()
    assert told(Source(start, date(2026, 6, 30), "S-1", "1010")) == added(
        "from 2026-07-01 until 2026-12-31"
    )
    for other in (
        Source(start, None, "S-2", "1010"),
        Source(start, None, "S-1", "1020"),
        Source(start, None, "S-1", "1010", is_blocked=True),
    ):
        assert told(other) == whole
    # What another system states of the list is not what the target said.
    assert told(origin="suite") is None
    always = msgspec.structs.replace(put.sources, sources=(Source(start, None, "S-1", "1010"),))
    listed = SourceList("SEAL-1", "1010", 3, origin="erp")
    open_end = target_changes(PutSourceList(always, is_partial=True), listed, system="erp")
    assert open_end == added("from 2026-04-01")
    # A list that is put whole is stated elsewhere: the document is what is wanted.
    assert known_key(PutSourceList(always)) == ""


LINES = st.lists(
    st.builds(
        line,
        st.sampled_from("ABCD"),
        st.integers(1, 9).map(str),
        st.integers(1, 4).map(lambda n: str(10 * n)),
    ),
    max_size=6,
)


@given(before=LINES, after=LINES)
def test_every_line_is_accounted_for_once(before: list[BomLine], after: list[BomLine]) -> None:
    found = target_changes(wanted(*after), held(*before))
    assert found is not None
    kinds = [change.kind for change in found]
    assert len(before) - kinds.count("removed") == len(after) - kinds.count("added")
    assert target_changes(wanted(*after), held(*after)) == ()
