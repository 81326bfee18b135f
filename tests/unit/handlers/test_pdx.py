"""Packages become items, BOMs and changes, whole and exact."""

from __future__ import annotations

import io
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from canonical.change import Disposition
from canonical.effectivity import DateEffectivity
from canonical.envelope import MAX_DEVIATIONS, Deviation
from canonical.errors import InvalidMessage, Rejected
from canonical.item import ItemDocument
from canonical.quantity import Quantity
from canonical.units import UnknownUnit
from handlers.systems import archive
from handlers.systems.pdx.inbound import read, recognises
from tests.fixtures.build_packages import PACKAGES, contents, zipped
from tests.fixtures.pdx_text import (
    GEARBOX,
    REAL,
    affected_xml,
    aml_xml,
    attributes,
    bom_xml,
    boms,
    change_xml,
    changes,
    custom,
    delivery,
    emitted,
    item_xml,
    items,
    line_xml,
    package_xml,
    refused,
)

# --- the real package ---


def test_the_real_package_is_identified_by_document_identifier_and_time() -> None:
    envelope = read(delivery(REAL)).envelope
    assert envelope.id == "7754 C491 1603 98FD 0436 15E@2017-12-11T23:22:28+00:00"
    assert (envelope.source, envelope.type) == ("plm", "pdx.package")
    assert envelope.key == "product-definition/XYZ-03654"
    assert envelope.time == datetime(2017, 12, 11, 23, 22, 28, tzinfo=UTC)


def test_the_real_package_has_32_items_31_lines_and_58_approved_manufacturer_parts() -> None:
    assert Counter(e.event for e in emitted(REAL)) == {"item.released": 32, "bom.released": 1}
    assert len(items(REAL)) == 32
    assert len(boms(REAL)["XYZ-03654"].lines) == 31
    assert sum(len(item.manufacturers) for item in items(REAL).values()) == 58


def test_the_real_package_has_one_prototype() -> None:
    in_design = [i for i in items(REAL).values() if i.lifecycle != "released"]
    assert [(i.number, i.lifecycle, i.phase) for i in in_design] == [
        ("XYZ-05577", "in_design", "Prototype")
    ]
    assert in_design[0].revision.label == "01"


def test_the_real_package_has_one_obsolete_manufacturer_part() -> None:
    rows = [(i.number, m) for i in items(REAL).values() for m in i.manufacturers]
    obsolete = [(number, m.part, m.rank) for number, m in rows if m.status != "approved"]
    assert obsolete == [("XYZ-03135", "PN02049", 2)]
    assert Counter(m.status for _, m in rows) == {"approved": 57, "obsolete": 1}
    assert Counter(m.rank for _, m in rows) == {1: 57, 2: 1}


def test_the_real_package_has_two_components_without_approved_manufacturers() -> None:
    missing = [i.number for i in items(REAL).values() if not i.manufacturers]
    assert missing == ["XYZ-03654", "XYZ-05869", "XYZ-00285"]


def test_the_real_package_says_which_files_belong_to_its_items() -> None:
    documents = {i.number: i.documents for i in items(REAL).values()}
    assert sum(len(found) for found in documents.values()) == 28
    first, *others = documents["XYZ-03654"]
    assert first == ItemDocument(
        number="74500991",
        revision="1",
        title="ATD 09939",
        location="ATT08156",
        media_type="asc",
        size=1_170_463,
        modified_at=datetime(2011, 8, 15, 22, 25, 56, tzinfo=UTC),
    )
    assert [d.media_type for d in others] == ["pdf", "dwg", "pdf", "pcb"]


def test_an_attachment_that_says_little_is_known_by_its_location() -> None:
    bare = '<Attachments><Attachment universalResourceIdentifier="a/b.pdf"/></Attachments>'
    (found,) = items(package_xml(item_xml(inner=bare)))["P-1"].documents
    assert found == ItemDocument(number="a/b.pdf", location="a/b.pdf")


def test_a_size_or_a_time_of_an_attachment_that_is_none_is_left_out_and_told() -> None:
    odd = (
        '<Attachments><Attachment universalResourceIdentifier="a.pdf" fileSize="12 kB"'
        ' attachmentModificationDate="yesterday" versionIdentifier="2"/></Attachments>'
    )
    body = package_xml(item_xml(inner=odd))
    (found,) = items(body)["P-1"].documents
    assert found == ItemDocument(number="a.pdf", location="a.pdf", revision="2")
    assert read(delivery(body)).deviations == (
        Deviation("item/P-1 attachment a.pdf", "The size '12 kB' is no number: left out"),
        Deviation("item/P-1 attachment a.pdf", "The time 'yesterday' is none: left out"),
    )


def test_an_attachment_without_a_location_is_refused() -> None:
    bare = '<Attachments><Attachment fileIdentifier="7"/></Attachments>'
    with pytest.raises(InvalidMessage) as caught:
        items(package_xml(item_xml(inner=bare)))
    assert (caught.value.code, "universalResourceIdentifier" in caught.value.what) == (
        "field-missing",
        True,
    )


def test_the_real_package_splits_revisions_from_the_changes_that_made_them() -> None:
    revisions = {i.number: (i.revision.label, i.change) for i in items(REAL).values()}
    assert revisions["XYZ-03654"] == ("A", "43927")
    assert revisions["XYZ-03135"] == ("B", "60661")
    assert revisions["XYZ-05577"] == ("01", "36775")
    assert Counter(label for label, _ in revisions.values()) == {"A": 30, "B": 1, "01": 1}


def test_designators_may_be_ranges_which_the_quantity_tells() -> None:
    def named(quantity: str, *names: str) -> tuple[str, ...]:
        each = (attributes(referenceDesignatorName=name) for name in names)
        inner = "".join(f"<ReferenceDesignator{one}/>" for one in each)
        row = line_xml(
            itemQuantity=quantity, inner=f"<ReferenceDesignators>{inner}</ReferenceDesignators>"
        )
        (line,) = boms(package_xml(item_xml(inner=bom_xml(row))))["P-1"].lines
        return line.reference_designators

    assert named("3", "C1-3") == ("C1", "C2", "C3")
    assert named("1", "J1-3") == ("J1-3",)
    assert named("9", "C1-C3", "R7") == ("C1", "C2", "C3", "R7")


def test_the_real_bom_keeps_positions_quantities_and_reference_designators() -> None:
    bom = boms(REAL)["XYZ-03654"]
    assert (bom.revision, bom.change, bom.base) == ("A", "43927", Quantity(Decimal(1), "H87"))
    assert bom.released_at == datetime(2011, 9, 27, 21, 33, 36, tzinfo=UTC)
    by_position = {line.position: line for line in bom.lines}
    assert len(by_position) == 31
    assert by_position["10"].reference_designators == ("R30", "R31", "R32")
    assert by_position["14"].quantity == Quantity(Decimal(14), "H87")
    assert by_position["106"].component_revision == "01"
    assert sum(line.quantity.value for line in bom.lines) == 102
    assert sum(len(line.reference_designators) for line in bom.lines) == 94


def test_the_real_assembly_is_made_and_its_components_are_bought() -> None:
    assert Counter(i.procurement for i in items(REAL).values()) == {"make": 1, "buy": 31}
    assert items(REAL)["XYZ-03654"].kind == "assembly"
    assert {i.family for i in items(REAL).values()} == {"ABC-5432"}


def test_the_real_package_breaks_its_own_document_type_once_and_is_taken() -> None:
    assert read(delivery(REAL)).deviations == (
        Deviation("line 2282", "HistoryItem has no modificationDate, which is required"),
        Deviation("item/XYZ-03654", "No unit is stated, neither here nor where it is used: each"),
    )


# --- the gearbox ---


def test_the_gearbox_emits_its_items_then_its_boms_then_its_change() -> None:
    assert [e.event for e in emitted(GEARBOX)] == (
        ["item.released"] * 13 + ["bom.released"] * 3 + ["engineering-change.released"]
    )


def test_the_gearbox_lists_every_parent_before_its_components() -> None:
    order = list(items(GEARBOX))
    uses = [(b.parent, line.component) for b in boms(GEARBOX).values() for line in b.lines]
    assert len(uses) == 12
    assert all(order.index(parent) < order.index(component) for parent, component in uses)


def test_the_gearbox_is_counted_in_pieces_kilograms_and_metres() -> None:
    assert Counter(i.base_unit for i in items(GEARBOX).values()) == {"H87": 8, "KGM": 3, "MTR": 2}
    wire = boms(GEARBOX)["GBX-1100"].lines[3]
    assert (wire.component, wire.quantity) == ("GBX-1140", Quantity(Decimal(350), "MMT"))


def test_a_header_base_quantity_of_100_is_kept_with_its_lines() -> None:
    bom = boms(GEARBOX)["GBX-1110"]
    assert bom.base == Quantity(Decimal(100), "H87")
    assert [line.quantity for line in bom.lines] == [
        Quantity(Decimal(260), "KGM"),
        Quantity(Decimal("3.5"), "KGM"),
    ]


def test_the_gearbox_change_names_old_and_new_revisions_of_all_items() -> None:
    (change,) = changes(GEARBOX)
    assert (change.number, change.status, change.family) == ("ECO-2001", "released", "Gearboxes")
    assert change.version == 1_709_546_400_000_000
    assert change.released_at == datetime(2024, 3, 4, 10, tzinfo=UTC)
    assert Counter((a.old_revision, a.new_revision) for a in change.affected) == {
        ("A", "B"): 11,
        ("", "A"): 2,
    }
    assert {a.item for a in change.affected} == set(items(GEARBOX))
    assert change.affected[0].dispositions == (Disposition("in_stock", "Use up"),)
    assert change.effectivity == DateEffectivity(change.released_at, None, "UTC")


@pytest.mark.parametrize("name", [name for name in contents() if name.endswith(".pdx")])
def test_the_invented_packages_are_valid_by_the_document_type_of_the_real_one(name: str) -> None:
    # No real package at hand has a change: what is read of one is held to the standard's own words.
    declared = etree.fromstring(REAL).getroottree().docinfo.internalDTD
    document = etree.fromstring(member((PACKAGES / name).read_bytes()))
    assert declared.validate(document), declared.error_log
    for change in document.iter("Change"):
        del change.attrib["changeNumber"]
        assert not declared.validate(document)


def test_the_older_package_is_another_message_about_the_same_product_with_older_items() -> None:
    older = (PACKAGES / "gearbox_package_older.pdx").read_bytes()
    before, after = read(delivery(older)).envelope, read(delivery(GEARBOX)).envelope
    assert before.id != after.id
    assert before.key == after.key == "product-definition/GBX-1000"
    assert changes(older) == []
    assert len(items(older)) == 11
    for number, item in items(older).items():
        newer = items(GEARBOX)[number]
        assert item.released_at is not None
        assert newer.released_at is not None
        assert item.released_at < newer.released_at
        assert item.revision < newer.revision


def test_an_unmapped_unit_is_refused_with_item_and_line() -> None:
    failure = refused((PACKAGES / "kit_package_unmapped_unit.pdx").read_bytes())
    assert isinstance(failure, UnknownUnit)
    assert (failure.code, failure.word) == ("unit-unmapped", "data_quality")
    assert failure.where == "item/KIT-2000 line 20 component KIT-2020"


def member(package: bytes) -> bytes:
    with archive.open_member(io.BytesIO(package), "pdx.xml", limit_bytes=10**6) as opened:
        return opened.read(10**7)


def test_the_packages_are_what_their_builder_writes() -> None:
    for name, content in contents().items():
        written = (PACKAGES / name).read_bytes()
        if name.endswith(".pdx"):
            # Deflate may be spelled differently by another zlib; the members may not.
            assert member(written) == member(content)
        else:
            assert written == content


# --- how single things are read ---


def test_a_zipped_package_and_the_document_alone_are_the_same_message() -> None:
    assert read(delivery(zipped({"PDX.XML": REAL}))).envelope == read(delivery(REAL)).envelope


def test_a_package_without_identifier_is_identified_by_its_content() -> None:
    anonymous = package_xml(item_xml(), identifier="", generated="")
    envelope = read(delivery(anonymous)).envelope
    assert envelope.id.startswith("sha256:")
    assert envelope.key == f"product-definition/{envelope.id}"
    assert envelope.time is None
    assert read(delivery(zipped({"pdx.xml": anonymous}))).envelope.id == envelope.id


def test_two_top_level_items_leave_the_document_as_the_key() -> None:
    body = package_xml(item_xml("P-1", isTopLevel="Yes"), item_xml("P-2", isTopLevel="Yes"))
    assert read(delivery(body)).envelope.key == "product-definition/DOC-1"


def test_a_line_may_be_in_another_revision_than_its_component_is_released_in() -> None:
    # As Agile pads them: a label, blanks, the change that made it.
    line = line_xml(revisionIdentifier="A        60053A")
    released = item_xml("P-2", revisionIdentifier="A        44136")
    body = package_xml(item_xml("P-1", bom_xml(line)), released)
    assert (items(body)["P-2"].revision.label, items(body)["P-2"].change) == ("A", "44136")
    assert boms(body)["P-1"].lines[0].component_revision == "A"
    pending = package_xml(
        item_xml("P-1", bom_xml(line_xml(revisionIdentifier="B        60053A"))), released
    )
    assert boms(pending)["P-1"].lines[0].component_revision == "B"
    assert items(pending)["P-2"].revision.label == "A"


@pytest.mark.parametrize(("text", "value"), [("0", 0), (".001", "0.001"), ("007.50", "7.5")])
def test_odd_quantities_are_exact(text: str, value: str) -> None:
    body = package_xml(item_xml("P-1", bom_xml(line_xml(itemQuantity=text))), item_xml("P-2"))
    assert boms(body)["P-1"].lines[0].quantity == Quantity(Decimal(value), "H87")


@pytest.mark.parametrize("text", ["", "-1", "1e3", "NaN", "1,5", "٣", "0.0000001"])
def test_a_quantity_that_is_no_plain_amount_is_refused_with_its_line(text: str) -> None:
    line = line_xml(itemQuantity=text, proprietarySequenceIdentifier="40")
    failure = refused(package_xml(item_xml("P-1", bom_xml(line)), item_xml("P-2")))
    assert failure.where == "item/P-1 line 40 component P-2"


def test_a_quantity_as_needed_may_be_missing() -> None:
    line = line_xml(itemQuantity="", globalProductQuantityTypeCode="AsNeeded")
    body = package_xml(item_xml("P-1", bom_xml(line)), item_xml("P-2"))
    assert boms(body)["P-1"].lines[0].quantity.value == 0


def test_a_quantity_per_setup_is_fixed() -> None:
    line = line_xml(globalProductQuantityTypeCode="PerSetup")
    body = package_xml(item_xml("P-1", bom_xml(line)), item_xml("P-2"))
    assert boms(body)["P-1"].lines[0].fixed


def test_an_item_without_a_unit_has_that_of_the_lines_that_use_it() -> None:
    line = line_xml(inner=custom("UOM", "FT", group="Agile"))
    body = package_xml(
        item_xml("P-1", bom_xml(line)), item_xml("P-2", globalProductUnitOfMeasureCode="")
    )
    assert items(body)["P-2"].base_unit == "FOT"
    assert read(delivery(body)).deviations == ()


def test_an_item_used_in_two_units_without_one_of_its_own_is_refused() -> None:
    lines = (line_xml(inner=custom("UOM", "KG")), line_xml(inner=custom("UOM", "M")))
    body = package_xml(
        item_xml("P-1", bom_xml(*lines)), item_xml("P-2", globalProductUnitOfMeasureCode="")
    )
    assert refused(body).code == "unit-ambiguous"


def test_a_component_outside_the_package_is_counted_in_its_lines_unit() -> None:
    body = package_xml(item_xml("P-1", bom_xml(line_xml("Q-9", inner=custom("UOM", "KG")))))
    assert boms(body)["P-1"].lines[0].quantity == Quantity(Decimal(1), "KGM")


def test_a_line_whose_unit_nobody_states_is_counted_in_pieces_and_recorded() -> None:
    body = package_xml(item_xml("P-1", bom_xml(line_xml("Q-9", proprietarySequenceIdentifier="5"))))
    assert boms(body)["P-1"].lines[0].quantity == Quantity(Decimal(1), "H87")
    assert read(delivery(body)).deviations == (
        Deviation("item/P-1 line 5 component Q-9", "No unit is stated for the component: each"),
    )


@pytest.mark.parametrize("unit", ["RM", "KA", "furlong"])
def test_a_unit_in_no_table_is_never_guessed(unit: str) -> None:
    failure = refused(package_xml(item_xml(globalProductUnitOfMeasureCode=unit)))
    assert (type(failure), failure.where) == (UnknownUnit, "item/P-1")


def test_a_component_may_be_named_by_its_unique_id_alone() -> None:
    line = line_xml("", billOfMaterialItemUniqueIdentifier="ITEM.P-2")
    body = package_xml(item_xml("P-1", bom_xml(line)), item_xml("P-2"))
    assert boms(body)["P-1"].lines[0].component == "P-2"


def test_a_component_whose_number_and_unique_id_differ_is_refused() -> None:
    line = line_xml("P-1", billOfMaterialItemUniqueIdentifier="ITEM.P-2")
    body = package_xml(item_xml("P-1", bom_xml(line)), item_xml("P-2"))
    assert refused(body).code == "reference-contradictory"


@pytest.mark.parametrize(
    ("status", "other", "expected"),
    [
        ("Approved", "", "approved"),
        ("Other", "Active", "approved"),
        ("Obsolete", "", "obsolete"),
        ("Disqualified", "", "disapproved"),
        ("Conditional", "", "conditional"),
        ("QualityHold", "", "conditional"),
    ],
)
def test_manufacturer_statuses_go_by_table(status: str, other: str, expected: str) -> None:
    (maker,) = items(package_xml(item_xml("P-1", aml_xml(status, other))))["P-1"].manufacturers
    assert (maker.status, maker.note) == (expected, "")


@pytest.mark.parametrize(("status", "other"), [("Other", "Watch list"), ("", "")])
def test_an_unknown_manufacturer_status_is_conditional_and_said(status: str, other: str) -> None:
    body = package_xml(item_xml("P-1", aml_xml(status, other)))
    (maker,) = items(body)["P-1"].manufacturers
    assert maker.status == "conditional"
    assert maker.note == f"Status at the source: {other or 'none'}."
    (deviation,) = read(delivery(body)).deviations
    assert deviation.where == "item/P-1 manufacturer part M-1"


@pytest.mark.parametrize(
    ("phase", "other", "lifecycle"),
    [
        ("Production", "", "released"),
        ("Prototype", "", "in_design"),
        ("Pilot", "", "in_review"),
        ("Disqualified", "", "on_hold"),
        ("Inactive", "", "obsolete"),
        ("Other", "Evaluation", "in_design"),
    ],
)
def test_life_cycle_phases_go_by_table(phase: str, other: str, lifecycle: str) -> None:
    body = package_xml(
        item_xml(globalLifeCyclePhaseCode=phase, globalLifeCyclePhaseCodeOther=other)
    )
    assert items(body)["P-1"].lifecycle == lifecycle


def test_an_unknown_phase_is_refused() -> None:
    body = package_xml(
        item_xml(globalLifeCyclePhaseCode="Other", globalLifeCyclePhaseCodeOther="Blue")
    )
    assert (refused(body).code, refused(body).where) == ("lifecycle-unmapped", "item/P-1")


def test_a_stated_make_or_buy_overrules_the_bom() -> None:
    parent = item_xml("P-1", bom_xml(line_xml()), makeBuy="Buy")
    flagged = item_xml("P-2", custom("Make Part", "YES", group="Agile"))
    found = items(package_xml(parent, flagged))
    assert (found["P-1"].procurement, found["P-2"].procurement) == ("buy", "make")


def test_an_item_that_is_only_used_as_a_phantom_is_one() -> None:
    use = line_xml("P-2", globalBillOfMaterialTypeCode="PhantomSubassembly")
    body = package_xml(
        item_xml("P-1", bom_xml(use)), item_xml("P-2", bom_xml(line_xml("P-3"))), item_xml("P-3")
    )
    assert [i.procurement for i in items(body).values()] == ["make", "phantom", "buy"]


def test_a_document_is_neither_made_nor_bought() -> None:
    found = items(package_xml(item_xml(globalProductTypeCode="DOCUMENT")))["P-1"]
    assert (found.kind, found.procurement) == ("document", "none")


@pytest.mark.parametrize(
    ("status", "emits"),
    [("Released", True), ("Implemented", True), ("Completed", True), ("ApprovalPending", False),
     ("Approved", False), ("Cancelled", False)],
)  # fmt: skip
def test_only_released_changes_are_emitted(status: str, emits: bool) -> None:
    change = change_xml(affected_xml(), globalEngineeringChangeStatusCode=status)
    assert bool(changes(package_xml(item_xml(), changes=change))) is emits


def test_a_change_without_status_date_has_the_packages_time_as_version() -> None:
    body = package_xml(item_xml(), changes=change_xml(affected_xml(), changeStatusDate=""))
    assert changes(body)[0].version == 1_704_164_645_000_000


def test_a_change_without_any_time_is_refused() -> None:
    change = change_xml(affected_xml(), changeStatusDate="")
    failure = refused(package_xml(item_xml(), changes=change, generated=""))
    assert (failure.code, failure.where) == ("field-missing", "engineering-change/ECO-7")


def test_different_effective_dates_in_one_change_are_refused() -> None:
    change = change_xml(
        affected_xml("P-1", effectiveDate="2024-02-01T00:00:00Z"),
        affected_xml("P-2", effectiveDate="2024-03-01T00:00:00Z"),
    )
    failure = refused(package_xml(item_xml(), item_xml("P-2"), changes=change))
    assert isinstance(failure, Rejected)
    assert failure.code == "effectivity-mixed"


SERIALS = (
    '<SerialNumbers><SerialNumberRange firstSerialNumber="100" lastSerialNumber="199"/>'
    "</SerialNumbers>"
)
ONE_SERIAL = (
    '<SerialNumbers><SerialNumberIdentification ProprietarySerialIdentifier="100"/></SerialNumbers>'
)


@pytest.mark.parametrize(
    ("serials", "shown"), [(SERIALS, "100 to 199"), (ONE_SERIAL, "100 to 100")]
)
def test_a_line_with_serial_numbers_is_refused_and_not_taken_for_all_units(
    serials: str, shown: str
) -> None:
    package = package_xml(item_xml(inner=bom_xml(line_xml(inner=serials))), item_xml("P-2"))
    failure = refused(package)
    assert failure.code == "line-serials"
    assert shown in failure.what
    assert failure.where.startswith("item/P-1 ")
    bare = package_xml(item_xml(inner=bom_xml(line_xml(inner="<SerialNumbers/>"))), item_xml("P-2"))
    assert len(boms(bare)["P-1"].lines) == 1


MARCH, JUNE = datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC)
RELEASED_AT = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("effective", "obsolete", "effectivity"),
    [
        ("2024-03-01T00:00:00Z", "2024-06-01T00:00:00Z", DateEffectivity(MARCH, JUNE, "UTC")),
        ("2024-03-01T00:00:00Z", "", DateEffectivity(MARCH, None, "UTC")),
        ("2024-03-01T00:00:00Z", "9999-12-31T00:00:00Z", DateEffectivity(MARCH, None, "UTC")),
        ("2024-03-01T00:00:00Z", "9999-12-31T00:00:00+09:00", DateEffectivity(MARCH, None, "UTC")),
        # From then on the old revision is obsolete.
        ("2024-03-01T00:00:00Z", "2024-03-01T00:00:00Z", DateEffectivity(MARCH, None, "UTC")),
        ("", "2024-06-01T00:00:00Z", DateEffectivity(RELEASED_AT, JUNE, "UTC")),
        ("", "2024-01-01T00:00:00Z", None),
        ("", "9999-12-31T00:00:00Z", None),
        ("", "", None),
    ],
)
def test_a_change_is_effective_until_its_new_revisions_are_obsolete(
    effective: str, obsolete: str, effectivity: DateEffectivity | None
) -> None:
    row = affected_xml(effectiveDate=effective, obsoleteDate=obsolete)
    (change,) = changes(package_xml(item_xml(), changes=change_xml(row)))
    assert change.effectivity == effectivity


def test_affected_items_that_end_at_different_times_are_refused() -> None:
    ends = ("2024-06-01T00:00:00Z", "9999-12-31T00:00:00Z")
    rows = [
        affected_xml(number, effectiveDate="2024-03-01T00:00:00Z", obsoleteDate=end)
        for number, end in zip(("P-1", "P-2"), ends, strict=True)
    ]
    failure = refused(package_xml(item_xml(), item_xml("P-2"), changes=change_xml(*rows)))
    assert isinstance(failure, Rejected)
    assert failure.code == "effectivity-mixed"


def test_an_end_that_is_no_time_is_refused_with_its_place() -> None:
    failure = refused(package_xml(item_xml(), changes=change_xml(affected_xml(obsoleteDate="now"))))
    assert failure.where == "engineering-change/ECO-7 obsoleteDate"


def test_an_affected_item_names_its_plant_and_its_dispositions() -> None:
    row = affected_xml(
        inner=custom("On Order Disposition", "Cancel"), manufacturingSite="1010, 2020"
    )
    (change,) = changes(package_xml(item_xml(), changes=change_xml(row)))
    assert change.affected[0].plants == ("1010", "2020")
    assert change.affected[0].dispositions == (Disposition("on_order", "Cancel"),)


@pytest.mark.parametrize(
    "time_text",
    [
        "yesterday",
        "2024-01-01",
        "2024-02-30T00:00:00Z",
        "2024-01-01T00:00:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_a_time_without_zone_or_calendar_is_refused(time_text: str) -> None:
    failure = refused(package_xml(item_xml(revisionReleasedDate=time_text)))
    assert failure.where == "item/P-1 revisionReleasedDate"


def test_an_empty_package_is_refused() -> None:
    assert refused(package_xml()).code == "package-empty"


def test_deviations_from_the_document_type_are_bounded() -> None:
    prolog = (
        "<!DOCTYPE ProductDataeXchangePackage [<!ATTLIST Item itemIdentifier CDATA #REQUIRED>]>"
    )
    parts = [item_xml(f"P-{n}") for n in range(MAX_DEVIATIONS + 50)]
    assert len(read(delivery(package_xml(*parts, prolog=prolog))).deviations) == 100


# --- recognising ---


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (REAL, True),
        (GEARBOX, True),
        (GEARBOX[:100], True),
        (package_xml(item_xml()), True),
        (package_xml(item_xml()).decode().encode("utf-16"), True),
        (b"<PLMXML/>", False),
        (b'{"change": {}, "changeItems": {}}', False),
        (b"", False),
    ],
)
def test_packages_are_recognised_by_content(body: bytes, expected: bool) -> None:
    assert recognises(delivery(body)) is expected


# --- properties ---

numbers = st.from_regex(r"[A-Z]{1,3}-[0-9]{1,4}", fullmatch=True)
amounts = st.decimals(0, 10**6, places=3).map(lambda value: f"{value:f}")
units = st.sampled_from([("EA", "H87"), ("KG", "KGM"), ("M", "MTR"), ("FT", "FOT")])


@given(
    parent=numbers,
    lines=st.lists(st.tuples(numbers, amounts, units), min_size=1, max_size=20),
)
def test_every_line_of_a_package_is_kept(
    parent: str, lines: list[tuple[str, str, tuple[str, str]]]
) -> None:
    rows = [
        line_xml(component, custom("UOM", uom), itemQuantity=amount)
        for component, amount, (uom, _) in lines
    ]
    found = boms(package_xml(item_xml(parent, bom_xml(*rows))))[parent]
    assert [(line.component, line.quantity) for line in found.lines] == [
        (component, Quantity(Decimal(amount), code)) for component, amount, (_, code) in lines
    ]


@given(moment=st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001
def test_later_statements_of_a_change_have_greater_versions(moment: datetime) -> None:
    def version(at: datetime) -> int:
        change = change_xml(affected_xml(), changeStatusDate=f"{at.isoformat()}Z")
        return changes(package_xml(item_xml(), changes=change))[0].version

    assert version(moment) < version(moment + timedelta(seconds=1))
