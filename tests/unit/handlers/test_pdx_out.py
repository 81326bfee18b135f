"""Items, BOMs and changes become packages that are valid and say the same when they are read."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from msgspec.structs import replace

from canonical.bom import Bom, BomLine, Substitute
from canonical.change import AffectedItem, ChangeStatus, Disposition, EngineeringChange, StockKind
from canonical.designators import Ranges, with_single_names
from canonical.effectivity import DateEffectivity, LotEffectivity, SerialEffectivity
from canonical.effects import Emit
from canonical.errors import InvalidMessage
from canonical.item import (
    ApprovalStatus,
    ApprovedManufacturer,
    ApprovedSupplier,
    Classification,
    ComplianceMark,
    Item,
    ItemDocument,
    ItemKind,
    Lifecycle,
    Procurement,
)
from canonical.quantity import ItemUnit, Quantity, Ratio
from canonical.revision import Revision, parse_revision
from canonical.units import UnknownUnit
from handlers.systems.pdx import outbound, words
from handlers.systems.pdx.inbound import read
from handlers.systems.pdx.outbound import Contents, to_document, to_package
from handlers.systems.timestamps import microseconds
from tests.fixtures.pdx_text import GEARBOX, REAL, boms, changes, delivery, emitted, items
from tests.strategies import decimals, ids, labels, moments, prose
from tests.timing import times_as_long

GENERATED = datetime(2024, 3, 5, 12, 30, tzinfo=UTC)
RELEASED = datetime(2024, 3, 4, 10, 0, 0, 250_000, tzinfo=UTC)

# The document type of the real export, as its PLM system wrote it.
_real = etree.parse(io.BytesIO(REAL)).docinfo.internalDTD
assert _real is not None
VENDOR_DTD = _real


def is_valid(document: bytes) -> bool:
    return VENDOR_DTD.validate(etree.fromstring(document))


def revision(text: str = "B        ECO-7") -> Revision:
    return parse_revision(text, "prototype_then_production")


def item(number: str = "P-1", **values: Any) -> Item:
    """An item that comes back as it is."""
    made = Item(
        number=number,
        revision=revision(),
        lifecycle="released",
        description="Housing",
        kind="part",
        procurement="buy",
        base_unit="H87",
        family="Gearboxes",
        category="Mechanical",
        phase="Production",
        released_at=RELEASED,
        stated_at=GENERATED,
        change="ECO-7",
        source_id=f"ITEM.{number}",
    )
    made = replace(made, **values)
    by_category = (Classification("pdx-category", made.category),) if made.category else ()
    return replace(made, classes=values.get("classes", by_category))


def line(component: str = "P-2", quantity: str = "4", unit: str = "H87", **values: Any) -> BomLine:
    return BomLine("10", component, Quantity(Decimal(quantity), unit), **values)


def bom(*lines: BomLine, parent: str = "P-1", **values: Any) -> Bom:
    """The BOM of `item(parent)`."""
    made = Bom(
        parent=parent,
        revision="B",
        base=Quantity(Decimal(1), "H87"),
        lines=lines,
        change="ECO-7",
        released_at=RELEASED,
        stated_at=GENERATED,
    )
    return replace(made, **values)


def change(*affected: AffectedItem, **values: Any) -> EngineeringChange:
    """A change that comes back as it is."""
    made = EngineeringChange(
        number="ECO-7",
        version=1_709_546_400_250_000,
        status="released",
        title="Lock the shaft",
        affected=affected or (AffectedItem("P-1", "B", "A", "released"),),
        family="Gearboxes",
        released_at=RELEASED,
    )
    return replace(made, **values)


def contents(*of: Item, **values: Any) -> Contents:
    return replace(Contents("DOC-1", GENERATED, of), **values)


def refused(of: Contents) -> InvalidMessage:
    with pytest.raises(InvalidMessage) as caught:
        to_document(of)
    return caught.value


# --- the document ---


def test_a_document_is_what_the_standard_says() -> None:
    part = item(
        "P-2",
        base_unit="KGM",
        compliance=(ComplianceMark("RoHS", "Yes"),),
        manufacturers=(
            ApprovedManufacturer("Nordlager", "NL 6205", "approved", rank=1),
            ApprovedManufacturer("Kitano", "KB6205", "obsolete", note="Last buy"),
        ),
    )
    top = item(kind="assembly", procurement="make")
    structure = bom(
        line(quantity="0.5", unit="GRM", reference_designators=("R1", "R2"), note="Glue"),
        base=Quantity(Decimal(100), "H87"),
    )
    eco = change(
        AffectedItem("P-1", "B", "A", "released", (Disposition("in_stock", "Use up"),), ("1010",)),
        urgency="High",
        effectivity=DateEffectivity(RELEASED, None, "UTC"),
    )
    made = contents(top, part, boms=(structure,), change=eco, tops=frozenset({"P-1"}))
    document = to_document(made).decode()
    assert document[document.index("]>\n") + 3 :] == (
        "<?pdx_version 1.0?>\n"
        '<ProductDataeXchangePackage thisDocumentIdentifier="DOC-1"'
        ' thisDocumentGenerationDateTime="2024-03-05T12:30:00Z"'
        ' thisDocumentModificationDateTime="2024-03-05T12:30:00Z">\n'
        "<Items>\n"
        '<Item itemIdentifier="P-1" itemUniqueIdentifier="ITEM.P-1"'
        ' globalLifeCyclePhaseCode="Production" globalProductTypeCode="PART"'
        ' revisionIdentifier="B        ECO-7" proprietaryProductFamily="Gearboxes"'
        ' category="Mechanical" globalProductUnitOfMeasureCode="EA" makeBuy="Make"'
        ' revisionReleasedDate="2024-03-04T10:00:00.250000Z" isTopLevel="Yes"'
        ' description="Housing">\n'
        '<AdditionalAttributes groupLabel="Layshaft">\n'
        '<AdditionalAttribute name="BaseQuantity" value="100"/>\n'
        '<AdditionalAttribute name="BaseUnit" value="EA"/>\n'
        "</AdditionalAttributes>\n"
        "<BillOfMaterial>\n"
        '<BillOfMaterialItem proprietarySequenceIdentifier="10"'
        ' billOfMaterialItemIdentifier="P-2" billOfMaterialItemUniqueIdentifier="ITEM.P-2"'
        ' itemQuantity="0.5" notes="Glue">\n'
        '<AdditionalAttributes groupLabel="Layshaft">\n'
        '<AdditionalAttribute name="UOM" value="G"/>\n'
        "</AdditionalAttributes>\n"
        "<ReferenceDesignators>\n"
        '<ReferenceDesignator referenceDesignatorName="R1"/>\n'
        '<ReferenceDesignator referenceDesignatorName="R2"/>\n'
        "</ReferenceDesignators>\n"
        "</BillOfMaterialItem>\n"
        "</BillOfMaterial>\n"
        "</Item>\n"
        '<Item itemIdentifier="P-2" itemUniqueIdentifier="ITEM.P-2"'
        ' globalLifeCyclePhaseCode="Production" globalProductTypeCode="PART"'
        ' revisionIdentifier="B        ECO-7" proprietaryProductFamily="Gearboxes"'
        ' category="Mechanical" globalProductUnitOfMeasureCode="KG" makeBuy="Buy"'
        ' revisionReleasedDate="2024-03-04T10:00:00.250000Z" isTopLevel="No"'
        ' description="Housing">\n'
        '<AdditionalAttributes groupLabel="Layshaft">\n'
        '<AdditionalAttribute name="RoHS Compliant" value="Yes"/>\n'
        "</AdditionalAttributes>\n"
        "<ApprovedManufacturerList>\n"
        '<ApprovedManufacturerListItem manufacturerPartIdentifier="NL 6205"'
        ' manufacturedBy="Nordlager" globalManufacturerPartStatusCode="Approved"'
        ' globalPreferredStatusCode="Preferred"/>\n'
        '<ApprovedManufacturerListItem manufacturerPartIdentifier="KB6205"'
        ' manufacturedBy="Kitano" globalManufacturerPartStatusCode="Obsolete"'
        ' description="Last buy"/>\n'
        "</ApprovedManufacturerList>\n"
        "</Item>\n"
        "</Items>\n"
        "<Changes>\n"
        '<Change changeNumber="ECO-7" globalEngineeringChangeStatusCode="Released"'
        ' changeStatusDate="2024-03-04T10:00:00.250000Z" description="Lock the shaft">\n'
        '<AdditionalAttributes groupLabel="Layshaft">\n'
        '<AdditionalAttribute name="Urgency" value="High"/>\n'
        '<AdditionalAttribute name="Product Line" value="Gearboxes"/>\n'
        "</AdditionalAttributes>\n"
        "<AffectedItems>\n"
        '<AffectedItem itemIdentifier="P-1" itemUniqueIdentifier="ITEM.P-1"'
        ' manufacturingSite="1010" oldRevision="A" newRevision="B" obsoleteDate=""'
        ' effectiveDate="2024-03-04T10:00:00.250000Z" disposition="Use up"'
        ' globalLifeCyclePhaseCode="Production">\n'
        '<AdditionalAttributes groupLabel="Layshaft">\n'
        '<AdditionalAttribute name="Stock Disposition" value="Use up"/>\n'
        "</AdditionalAttributes>\n"
        "</AffectedItem>\n"
        "</AffectedItems>\n"
        "</Change>\n"
        "</Changes>\n"
        "</ProductDataeXchangePackage>\n"
    )
    assert is_valid(document.encode())


def test_a_document_carries_the_document_type_of_the_real_export() -> None:
    real = REAL[REAL.index(b"[") + 1 : REAL.index(b"]>")].strip()
    assert real in to_document(contents(item()))


def test_a_parser_that_validates_takes_a_document_by_itself() -> None:
    parser = etree.XMLParser(dtd_validation=True, no_network=True)
    document = to_document(contents(item(), change=change()))
    assert etree.fromstring(document, parser).tag == "ProductDataeXchangePackage"


def test_a_reference_that_leads_nowhere_would_not_be_valid() -> None:
    document = to_document(contents(item(), item("P-2"), boms=(bom(line()),)))
    assert is_valid(document)
    assert not is_valid(document.replace(b'UniqueIdentifier="ITEM.P-2"', b'Unique="ITEM.P-2"', 2))
    assert not is_valid(document.replace(b'isTopLevel="No"', b'isTopLevel="Maybe"'))


def test_the_same_contents_are_the_same_bytes_and_hold_no_time_of_day() -> None:
    made = contents(item(), change=change())
    package = to_package(made)
    assert to_package(made) == package
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        (member,) = archive.infolist()
        assert (member.filename, member.date_time) == ("pdx.xml", (1980, 1, 1, 0, 0, 0))
        assert archive.read(member) == to_document(made)


# --- there and back ---


def read_back(made: Contents) -> None:
    """The contents are valid as a package and come back as they were."""
    package = to_package(made)
    assert is_valid(to_document(made))
    assert read(delivery(package)).deviations == ()
    assert list(items(package).values()) == list(made.items)
    found = boms(package)
    assert list(found.values()) == [found[i.number] for i in made.items if i.number in found]
    assert found == {of.parent: of for of in made.boms}
    assert changes(package) == ([made.change] if made.change else [])


def without_documents(event: Emit) -> Emit:
    if not isinstance(event.data, Item):
        return event
    return replace(event, data=replace(event.data, documents=()))


@pytest.mark.parametrize("package", [REAL, GEARBOX], ids=["real", "gearbox"])
def test_a_package_that_was_read_goes_out_and_says_the_same_again(package: bytes) -> None:
    message = read(delivery(package))
    eco = next(iter(changes(package)), None)
    assert message.envelope.time is not None
    made = Contents(
        identifier=message.payload.identifier,
        generated=message.envelope.time,
        items=tuple(items(package).values()),
        boms=tuple(boms(package).values()),
        change=eco,
        tops=frozenset({message.payload.product}),
    )
    out = to_package(made)
    # The drawings stay where they are.
    assert emitted(out) == tuple(without_documents(event) for event in emitted(package))
    assert is_valid(to_document(made))
    again = read(delivery(out)).envelope
    assert (again.id, again.key) == (message.envelope.id, message.envelope.key)


UNITS = (
    "H87", "FOT", "INH", "YRD", "MTR", "CMT", "MMT", "KGM", "GRM", "LBR", "ONZ", "LTR", "MLT",
    "GLL", "XRL", "XRO", "PR", "SET", "DZN",
)  # fmt: skip
LIFECYCLES: dict[Lifecycle, tuple[str, ...]] = {
    "in_design": ("Design", "Preliminary", "Prototype", "Evaluation", "DESIGN"),
    "in_review": ("Pilot", "Pending"),
    "released": ("Production", "Conditional", "production"),
    "on_hold": ("Unqualified", "Disqualified"),
    "obsolete": ("Inactive", "Obsolete"),
}
MAKERS: tuple[ApprovalStatus, ...] = ("approved", "conditional", "disapproved", "obsolete")
KINDS: tuple[ItemKind, ...] = ("part", "document", "service")
PROCURED: tuple[Procurement, ...] = ("make", "buy", "phantom")
STATUSES: tuple[ChangeStatus, ...] = ("released", "effective", "completed")
STOCKS: tuple[StockKind, ...] = ("on_order", "in_process", "in_stock", "finished", "in_field")

revision_labels = labels("prototype_then_production")
change_numbers = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=10)
plants = st.lists(ids(), max_size=2).map(tuple)
makers = st.builds(
    ApprovedManufacturer,
    ids(),
    ids(),
    st.sampled_from(MAKERS),
    st.sampled_from([None, 1, 2]),
    prose(),
)


@st.composite
def marks(draw: st.DrawFn) -> tuple[ComplianceMark, ...]:
    stated = [ComplianceMark(s, draw(prose())) for s in ("RoHS", "REACH", "overall")]
    return tuple(mark for mark in stated if mark.value)


def amounts(minimum: str) -> st.SearchStrategy[Quantity]:
    return st.builds(Quantity, decimals(minimum=minimum), st.sampled_from(UNITS))


@st.composite
def parts(draw: st.DrawFn, number: str, source_id: str, *, has_bom: bool) -> Item:
    lifecycle = draw(st.sampled_from(sorted(LIFECYCLES)))
    made_by = draw(change_numbers)
    label = draw(revision_labels)
    kind = draw(st.sampled_from(KINDS))
    category = draw(prose())
    neither: tuple[Procurement, ...] = () if kind == "part" else ("none",)
    return Item(
        number=number,
        revision=revision(f"{label} {made_by}"),
        lifecycle=lifecycle,
        description=draw(prose()),
        kind="assembly" if has_bom and kind == "part" else kind,
        procurement=draw(st.sampled_from(PROCURED + neither)),
        base_unit=draw(st.sampled_from(UNITS)),
        family=draw(prose()) or category,
        category=category,
        phase=draw(st.sampled_from(LIFECYCLES[lifecycle])),
        compliance=draw(marks()),
        manufacturers=tuple(draw(st.lists(makers, max_size=2))),
        released_at=draw(st.none() | moments()),
        stated_at=GENERATED,
        change=made_by,
        source_id=source_id,
        classes=(Classification("pdx-category", category),) if category else (),
    )


def bom_lines(numbers: list[str]) -> st.SearchStrategy[BomLine]:
    return st.builds(
        BomLine,
        prose(),
        st.sampled_from(numbers) | ids(),
        amounts("0"),
        st.just("") | revision_labels,
        st.lists(prose() | st.sampled_from(["C1-C2", "C1-3", "C9"]), max_size=2).map(tuple),
        st.lists(st.sampled_from(numbers), max_size=2, unique=True).map(tuple),
        st.booleans(),
        prose(),
    ).flatmap(ranked)


def ranked(of: BomLine) -> st.SearchStrategy[BomLine]:
    """The line with ranks of some of its substitutes."""
    ranks = st.tuples(*[st.sampled_from([None, 1, 2])] * len(of.substitutes))
    return ranks.map(
        lambda found: replace(
            of,
            substitutions=tuple(
                Substitute(number, rank)
                for number, rank in zip(of.substitutes, found, strict=True)
                if rank is not None
            ),
        )
    )


@st.composite
def ecos(draw: st.DrawFn, numbers: list[str]) -> EngineeringChange:
    dispositions = [Disposition(stock, draw(prose())) for stock in STOCKS]
    rows = st.builds(
        AffectedItem,
        st.sampled_from(numbers) | ids(),
        revision_labels,
        st.just("") | revision_labels,
        st.none() | st.sampled_from(sorted(LIFECYCLES)),
        st.just(tuple(stated for stated in dispositions if stated.action)),
        plants,
    )
    affected = tuple(draw(st.lists(rows, max_size=2)))
    released = draw(moments())
    first, last = sorted(draw(st.lists(moments(), min_size=2, max_size=2, unique=True)))
    dated = DateEffectivity(first, draw(st.sampled_from([None, last])), "UTC")
    return EngineeringChange(
        number=draw(ids()),
        version=microseconds(released),
        status=draw(st.sampled_from(STATUSES)),
        title=draw(prose()),
        affected=affected,
        description=draw(prose()),
        category=draw(prose()),
        urgency=draw(prose()),
        family=draw(prose()) or "Gearboxes",
        plants=draw(plants),
        requester=draw(prose()),
        released_at=released,
        effectivity=draw(st.sampled_from([None, dated])) if affected else None,
    )


@st.composite
def packages(draw: st.DrawFn) -> Contents:
    """Whatever a package carries, in the form in which it comes back."""
    numbers = draw(st.lists(ids(), min_size=1, max_size=3, unique=True))
    xml_ids = draw(
        st.lists(
            st.from_regex(r"[A-Za-z_][A-Za-z0-9._-]{0,9}", fullmatch=True),
            min_size=len(numbers), max_size=len(numbers), unique=True,
        )
    )  # fmt: skip
    structured = [number for number in numbers if draw(st.booleans())]
    made = [
        draw(parts(number, xml_id, has_bom=number in structured))
        for number, xml_id in zip(numbers, xml_ids, strict=True)
    ]
    return Contents(
        identifier=draw(ids()),
        generated=GENERATED,
        items=tuple(made),
        boms=tuple(
            with_single_names(
                Bom(
                    parent=of.number,
                    revision=of.revision.label,
                    base=draw(amounts("0.000001")),
                    lines=tuple(draw(st.lists(bom_lines(numbers), min_size=1, max_size=3))),
                    change=of.change,
                    released_at=of.released_at,
                    stated_at=GENERATED,
                ),
                Ranges(),
            )
            for of in made
            if of.number in structured
        ),
        change=draw(st.none() | ecos(numbers)),
        tops=draw(st.frozensets(st.sampled_from(numbers), max_size=2)),
    )


@settings(max_examples=40)
@given(packages())
def test_what_goes_out_is_valid_and_comes_back_as_it_was(made: Contents) -> None:
    read_back(made)


@pytest.mark.parametrize("code", UNITS)
def test_each_unit_comes_back_in_an_item_a_line_and_a_header(code: str) -> None:
    part = item("P-2", base_unit=code)
    top = item(kind="assembly")
    lines = (line(unit=code), line("Q-9", unit=code))
    header = Quantity(Decimal("2.5"), code)
    read_back(contents(top, part, boms=(bom(*lines, base=header),)))


def test_each_word_that_is_written_is_read_as_the_same() -> None:
    assert {words.LIFECYCLE[w.casefold()]: w for w in words.PHASE_OF.values()} == words.PHASE_OF
    assert all(phase.casefold() in words.LIFECYCLE for phase in words.PHASES)
    for status, word in words.STATUS_OF_CHANGE.items():
        assert words.CHANGE_STATUS[word.casefold()] == status
    for approval, word in words.STATUS_OF_MAKER.items():
        assert words.APPROVAL[word.casefold()] == approval
    for rank, word in words.PREFERENCE_OF.items():
        assert words.PREFERENCE[word.casefold()] == rank
    for procurement, (code, other) in words.MAKE_BUY_OF.items():
        assert words.PROCUREMENT[(other or code).casefold()] == procurement
    for stock, name in words.DISPOSITION_FIELD.items():
        assert words.DISPOSITION[name] == stock
    assert set(words.DISPOSITION_FIELD) == set(STOCKS)


def test_a_phantom_is_said_where_it_is_used_and_on_the_item() -> None:
    part = item("P-2", procurement="phantom")
    document = to_document(contents(item(kind="assembly"), part, boms=(bom(line()),)))
    assert b'globalBillOfMaterialTypeCode="PhantomSubassembly"' in document
    assert b'makeBuy="Other" makeBuyOther="Phantom"' in document
    assert items(document)["P-2"].procurement == "phantom"


def test_a_line_break_in_a_text_stays_one() -> None:
    text = "First\nsecond\r\n\tthird \"quoted\" & <marked> 'up' ü 中 👷"
    read_back(contents(item(description=text)))


# --- what comes back otherwise ---


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"phase": "In Production"}, {"phase": "Production"}),
        ({"phase": "Design"}, {"phase": "Production"}),
        ({"phase": ""}, {"phase": "Production"}),
        ({"family": ""}, {"family": "Mechanical"}),
        ({"kind": "assembly"}, {"kind": "part"}),
        ({"stated_at": None}, {"stated_at": GENERATED}),
        ({"source_id": "4711:x"}, {"source_id": "ITEM.1"}),
        ({"weight": Quantity(Decimal(2), "KGM")}, {"weight": None}),
        ({"alternates": (ItemUnit("XBX", Ratio(10)),)}, {"alternates": ()}),
        ({"compliance": (ComplianceMark("RoHS", ""),)}, {"compliance": ()}),
        ({"documents": (ItemDocument("D-1"),)}, {"documents": ()}),
        ({"suppliers": (ApprovedSupplier("S-1", "4711", "approved"),)}, {"suppliers": ()}),
        ({"classes": (Classification("UNSPSC", "31163100"),)}, {}),
        ({"category": ""}, {"category": "", "classes": ()}),
        ({"change": ""}, {"change": "ECO-7"}),
        ({"description": "  Housing "}, {"description": "Housing"}),
    ],
)
def test_what_of_an_item_comes_back_otherwise(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    document = to_document(contents(item(**before)))
    assert is_valid(document)
    assert items(document)["P-1"] == item(**after)


def test_a_change_that_only_the_item_names_comes_back_with_the_revision() -> None:
    document = to_document(contents(item(revision=revision("B"))))
    assert items(document)["P-1"] == item()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"version": 7}, {"version": 1_709_546_400_250_000}),
        ({"released_at": None}, {"released_at": GENERATED, "version": 1_709_641_800_000_000}),
        ({"source_id": "4711"}, {"source_id": ""}),
        ({"family": ""}, {"family": "Gearboxes"}),
        (
            {"effectivity": DateEffectivity(RELEASED, None, "Europe/Berlin")},
            {"effectivity": DateEffectivity(RELEASED, None, "UTC")},
        ),
    ],
)
def test_what_of_a_change_comes_back_otherwise(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    document = to_document(contents(item(), change=change(**before)))
    assert is_valid(document)
    assert changes(document) == [change(**after)]


def test_a_substitute_is_written_once_with_its_rank() -> None:
    both = line(substitutes=("P-3", "P-1"), substitutions=(Substitute("P-1", 2, group="A1"),))
    made = contents(item(kind="assembly"), item("P-2"), item("P-3"), boms=(bom(both),))
    document = to_document(made)
    assert is_valid(document)
    again = boms(document)["P-1"].lines[0]
    assert again.substitutes == ("P-3", "P-1")
    assert again.substitutions == (Substitute("P-1", 2),)


def test_a_bom_without_lines_is_not_written() -> None:
    document = to_document(contents(item(), boms=(bom(),)))
    assert is_valid(document)
    assert boms(document) == {}


def test_ids_of_sources_that_are_none_in_xml_or_are_taken_are_replaced() -> None:
    stated = ["ITEM.2", "4711", "", "ITEM.2", "a:b", "Ärger", "x" * 256]
    made = [item(f"P-{n}", source_id=source_id) for n, source_id in enumerate(stated)]
    document = to_document(contents(*made))
    assert is_valid(document)
    found = [part.source_id for part in items(document).values()]
    assert found == ["ITEM.2", "ITEM.1", "ITEM.3", "ITEM.4", "ITEM.5", "ITEM.6", "ITEM.7"]


# --- what cannot be said ---


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"lifecycle": "superseded", "phase": "Superseded"}, "item/P-1 lifecycle"),
        ({"procurement": "none"}, "item/P-1 procurement"),
        ({"revision": Revision("numeric", "1", 1)}, "item/P-1 revision"),
        ({"revision": parse_revision("A.3", "two_level")}, "item/P-1 revision"),
        ({"revision": replace(revision(), ordinal=4)}, "item/P-1 revision"),
        ({"revision": revision("B"), "change": "ECO 7"}, "item/P-1 revision"),
        ({"change": "ECO-8"}, "item/P-1 revision"),
        ({"compliance": (ComplianceMark("WEEE", "Yes"),)}, "item/P-1 compliance"),
        ({"compliance": (ComplianceMark("RoHS", "Yes"),) * 2}, "item/P-1 compliance"),
        (
            {"manufacturers": (ApprovedManufacturer("M", "X-1", "approved", rank=3),)},
            "item/P-1 manufacturer part X-1 rank",
        ),
        ({"description": "bell\x07"}, "item/P-1 description"),
        ({"category": "half \ud800"}, "item/P-1 category"),
        ({"family": "\uffff"}, "item/P-1 family"),
        ({"number": "P\x00"}, "item/P? number"),
    ],
)
def test_what_no_package_can_say_of_an_item_is_refused(values: dict[str, Any], where: str) -> None:
    assert refused(contents(item(**values))).where == where


def test_a_unit_without_a_name_in_packages_is_refused() -> None:
    failure = refused(contents(item(base_unit="HUR")))
    assert (type(failure), failure.where) == (UnknownUnit, "item/P-1 base_unit")
    failure = refused(contents(item(), boms=(bom(line(unit="HUR")),)))
    assert failure.where == "bom/P-1 line 10 component P-2 quantity"


@pytest.mark.parametrize(
    ("structure", "where"),
    [
        (bom(line(quantity="-1")), "bom/P-1 line 10 component P-2 quantity"),
        (bom(line(substitutes=("Q-9",))), "bom/P-1 line 10 component P-2 substitutes"),
        (
            bom(line(substitutions=(Substitute("P-1", rank=3),))),
            "bom/P-1 line 10 component P-2 substitutes rank",
        ),
        (
            bom(line(substitutions=(Substitute("P-1", quantity=Quantity(Decimal(2), "H87")),))),
            "bom/P-1 line 10 component P-2 substitutes",
        ),
        (bom(line(first_day=date(2026, 3, 1))), "bom/P-1 line 10 component P-2 days"),
        (bom(line(last_day=date(2026, 3, 1))), "bom/P-1 line 10 component P-2 days"),
        (
            bom(line(serials=SerialEffectivity("SN100", None))),
            "bom/P-1 line 10 component P-2 serials",
        ),
        (bom(line(lots=LotEffectivity("L1", "L9"))), "bom/P-1 line 10 component P-2 lots"),
        (bom(line(component_revision="A.3")), "bom/P-1 line 10 component P-2 revision"),
        (bom(line(component_revision="A 1")), "bom/P-1 line 10 component P-2 revision"),
        (bom(line(note="\x1b[31m")), "bom/P-1 line 10 component P-2 note"),
        (bom(line(), base=Quantity(Decimal(0), "H87")), "bom/P-1 base"),
        (bom(line(), revision="A"), "bom/P-1 revision"),
        (bom(line(), change="ECO-6"), "bom/P-1 revision"),
        (bom(line(), parent="P-9"), "bom/P-9"),
    ],
)
def test_what_no_package_can_say_of_a_bom_is_refused(structure: Bom, where: str) -> None:
    assert refused(contents(item(), item("P-2"), boms=(structure,))).where == where


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"effectivity": SerialEffectivity("SN1", None)}, " effectivity"),
        ({"plants": ("1010, 2020",)}, " plants"),
        ({"title": "\x00"}, " title"),
        ({"affected": (AffectedItem("P-1", "A.3"),)}, " item/P-1 new_revision"),
        ({"affected": (AffectedItem("P-1", "B", lifecycle="superseded"),)}, " item/P-1 lifecycle"),
        (
            {
                "affected": (
                    AffectedItem("P-1", "B", "", None, (Disposition("finished", "x"),) * 2),
                )
            },
            " item/P-1 dispositions",
        ),
        (
            {"affected": (), "effectivity": DateEffectivity(RELEASED, None, "UTC")},
            " effectivity",
        ),
    ],
)
def test_what_no_package_can_say_of_a_change_is_refused(values: dict[str, Any], where: str) -> None:
    made = contents(item(), change=change(**values))
    assert refused(made).where == f"engineering-change/ECO-7{where}"


def test_nothing_at_all_and_anything_twice_are_refused() -> None:
    assert refused(contents()).code == "package-empty"
    assert refused(contents(item(), item())).where == "item/P-1"
    assert refused(contents(item(), boms=(bom(line()), bom(line())))).where == "bom/P-1"


def test_more_than_we_take_ourselves_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    long = contents(item(), boms=(bom(*[line()] * 100_001),))
    assert (refused(long).code, refused(long).where) == ("package-too-long", "bom/P-1")
    monkeypatch.setattr(outbound, "MAX_ROWS", 2)
    assert refused(contents(*(item(f"P-{n}") for n in range(3)))).code == "package-too-long"
    monkeypatch.setattr(outbound, "MAX_PACKAGE_BYTES", 1000)
    assert refused(contents(item())).code == "package-too-long"


# --- size ---


def _made(lines: int) -> Callable[[], object]:
    """Makes one assembly of so many lines, with a tenth as many items."""
    numbers = [f"C-{n}" for n in range(lines // 10)]
    uses = [line(number, reference_designators=("R1",)) for number in numbers]
    made = contents(
        item("TOP", kind="assembly"),
        *(item(number) for number in numbers),
        boms=(bom(*uses * 10, parent="TOP"),),
    )
    return lambda: to_package(made)


def test_ten_times_as_many_lines_take_ten_times_as_long() -> None:
    assert times_as_long(_made(50_000), _made(5_000), enough=15) < 15
