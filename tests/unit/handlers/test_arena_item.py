"""Arena items become canonical items and BOMs, or say which field is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canonical.bom import Bom, BomLine, Substitute
from canonical.designators import MAX_SPELLED_OUT
from canonical.effects import Effect, Emit, Open
from canonical.errors import Failure, InvalidMessage, Unavailable
from canonical.facts import Facts, Known
from canonical.handler import Delivery
from canonical.item import (
    ApprovedManufacturer,
    ApprovedSupplier,
    ComplianceMark,
    Item,
    item_key,
)
from canonical.quantity import Quantity, Ratio
from canonical.rules import Rules
from handlers import CATALOGUE
from handlers.systems.arena.inbound import HANDLER as CHANGES
from handlers.systems.arena.item import HANDLER, recognises
from tests.corpus import CORPUS, golden
from tests.fixtures.gearbox import item as known_item

NOW = datetime(2026, 3, 2, tzinfo=UTC)
RULES = Rules(plants=(), distribution=(), routes=(), central_purchasing_org="1000")
SAMPLE = CORPUS / "arena" / "item.json"
READ_AT = "2026-03-02T08:00:00+00:00"


def delivery(body: bytes, **attributes: str) -> Delivery:
    return Delivery("plm", "item", body, attributes=attributes)


def facts(*items: Item) -> Facts:
    return Facts(RULES, {item_key(item.number): Known(1, item) for item in items})


def decided(body: bytes, known: Facts | None = None, **attributes: str) -> tuple[Effect, ...]:
    message = HANDLER.read(delivery(body, **attributes))
    return HANDLER.decide(message, known or facts(), NOW)


def released(body: bytes, known: Facts | None = None, **attributes: str) -> Item:
    emit = decided(body, known, **attributes)[0]
    assert isinstance(emit, Emit)
    assert isinstance(emit.data, Item)
    assert (emit.event, emit.key) == ("item.released", f"item/{emit.data.number}")
    return emit.data


def structure(body: bytes, known: Facts | None = None, **attributes: str) -> Bom:
    emit = decided(body, known, **attributes)[1]
    assert isinstance(emit, Emit)
    assert isinstance(emit.data, Bom)
    assert (emit.event, emit.key) == ("bom.released", f"bom/{emit.data.parent}")
    return emit.data


def refused(body: bytes, known: Facts | None = None) -> Failure:
    with pytest.raises(Failure) as caught:
        decided(body, known)
    return caught.value


def listed(rows: Iterable[Any], count: int | None = None) -> dict[str, Any]:
    results = list(rows)
    return {"count": len(results) if count is None else count, "results": results}


def line(number: str = "B-1", **fields: Any) -> dict[str, Any]:
    revision = {"guid": f"REV{number}", "number": number, "revisionNumber": "A"}
    return {"guid": "LINE", "item": revision, "lineNumber": 1, "quantity": 1} | fields


def source(part: str | None = "PART1", **fields: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"guid": "SOURCE", "approved": True, "makeItem": False}
    return row | {"mfrItem": {"guid": part} if part else None} | fields


def statement(
    lines: Iterable[Any] = (),
    sources: Iterable[Any] = (),
    *,
    more: dict[str, Any] | None = None,
    components: Any = ...,
    **fields: Any,
) -> bytes:
    """A part that is bought, or what else its fields say; `...` leaves a field out.

    The components of the lines are counted in pieces unless `components` says otherwise.
    """
    lines = list(lines)
    item: dict[str, Any] = {
        "guid": "ITEM",
        "number": "A-1",
        "name": "Seal",
        "revisionNumber": "B",
        "revisionStatus": "EFFECTIVE",
        "effectiveDateTime": "2026-01-15T10:00:00Z",
        "lifecyclePhase": {"guid": "PH", "name": "In Production"},
        "category": {"guid": "CAT", "name": "Mechanical"},
        "procurementType": "OTS",
        "uom": "each",
    }
    body: dict[str, Any] = {
        "item": {k: v for k, v in (item | fields).items() if v is not ...},
        "bom": listed(lines),
        "sourcing": listed(sources),
        "supplierItems": [{"guid": "PART1", "number": "P-1", "supplier": {"guid": "MAKER1"}}],
        "suppliers": [{"guid": "MAKER1", "name": "Teller Precision"}],
    }
    if components is ...:
        components = [{"guid": row["item"]["guid"], "uom": "each"} for row in lines]
    if components is not None:
        body["components"] = components
    return json.dumps(body | (more or {})).encode()


def field(name: str, value: Any) -> list[dict[str, Any]]:
    return [{"name": "Other", "value": {"nested": 1}}, {"name": name, "value": value}]


# --- the sample ---


def test_the_sample_comes_to_its_golden() -> None:
    assert golden(decided(SAMPLE.read_bytes())) == (SAMPLE.with_suffix(".golden.json").read_text())


def test_what_is_read_says_when_it_was_so() -> None:
    item = released(SAMPLE.read_bytes(), time=READ_AT)
    assert item.released_at == datetime(2026, 2, 27, 17, 5, 9, tzinfo=UTC)
    assert item.stated_at == datetime(2026, 3, 2, 8, tzinfo=UTC)
    bom = structure(SAMPLE.read_bytes(), time=READ_AT)
    assert (bom.released_at, bom.stated_at) == (item.released_at, item.stated_at)


# --- identity ---


def test_an_item_is_known_by_its_revision_and_what_is_said_of_it() -> None:
    message = HANDLER.read(delivery(statement(), time=READ_AT))
    guid, _, digest = message.envelope.id.partition("@")
    assert (guid, len(digest)) == ("ITEM", 16)
    assert (message.envelope.type, message.envelope.key) == ("arena.item", "item/A-1")
    assert message.envelope.time == datetime(2026, 3, 2, 8, tzinfo=UTC)
    assert (HANDLER.scope, HANDLER.order) == (CHANGES.scope, "curing")


def test_the_same_said_again_is_the_same_message_and_said_later_another_one() -> None:
    first, again, elsewhere, later, other, untimed = (
        HANDLER.read(delivery(body, **attributes)).envelope.id
        for body, attributes in (
            (statement(), {"time": READ_AT}),
            (statement(), {"time": READ_AT}),
            (statement(), {"time": "2026-03-02T09:00:00+01:00"}),
            (statement(), {"time": "2026-03-02T08:00:01+00:00"}),
            (statement(name="Gasket"), {"time": READ_AT}),
            (statement(), {}),
        )
    )
    assert first == again == elsewhere
    assert len({first, later, other, untimed}) == 4


def test_the_version_is_the_time_of_the_revision() -> None:
    assert HANDLER.version is not None
    message = HANDLER.read(delivery(statement(), time=READ_AT))
    assert HANDLER.version(message) == 1_768_471_200_000_000


# --- revisions ---


@pytest.mark.parametrize(
    "status",
    [
        {"revisionStatus": "WORKING"},
        {"revisionStatus": "SUPERSEDED"},
        {"revisionStatus": None, "status": 0},
        {"revisionStatus": ..., "status": 2},
    ],
)
def test_of_a_revision_that_is_not_effective_nothing_is_said(status: dict[str, Any]) -> None:
    body = statement([line(quantity=None)], category=None, effectiveDateTime=None, **status)
    message = HANDLER.read(delivery(body))
    assert HANDLER.needs(message, facts()) == frozenset()
    assert HANDLER.decide(message, facts(), NOW) == ()
    assert HANDLER.version is not None
    assert HANDLER.version(message) is None


def test_the_status_may_be_its_number() -> None:
    assert released(statement(revisionStatus=..., status=1)).number == "A-1"


@pytest.mark.parametrize(
    "status",
    [{"revisionStatus": "PENDING"}, {"revisionStatus": ...}, {"revisionStatus": ..., "status": 3}],
)
def test_an_unknown_status_is_refused(status: dict[str, Any]) -> None:
    failure = refused(statement(**status))
    assert (failure.code, failure.where) == ("status-unmapped", "item.revisionStatus")


def test_a_prototype_is_released_in_design() -> None:
    item = released(statement(revisionNumber="02", lifecyclePhase={"name": "In Design"}))
    assert (item.lifecycle, item.phase) == ("in_design", "In Design")
    assert (item.revision.label, item.revision.ordinal) == ("02", 2)


@pytest.mark.parametrize(
    ("fields", "code", "where"),
    [
        ({"revisionNumber": None}, "revision-outside-scheme", "item.revisionNumber"),
        ({"revisionNumber": "B.2"}, "revision-outside-scheme", "item.revisionNumber"),
        ({"effectiveDateTime": None}, "field-missing", "item.effectiveDateTime"),
        ({"lifecyclePhase": {"name": "Blue"}}, "lifecycle-unmapped", "item.lifecyclePhase"),
        ({"category": {"name": "Sundries"}}, "category-unmapped", "item.category.name"),
        ({"category": {"guid": "CAT"}}, "category-unmapped", "item.category.name"),
        ({"uom": "hogshead"}, "unit-unmapped", "item.uom"),
        ({"uom": None}, "unit-unmapped", "item.uom"),
        ({"procurementType": "ODD"}, "procurement-unmapped", "item.procurementType"),
        ({"procurementType": None}, "procurement-unmapped", "item.procurementType"),
        ({"number": "A\u200b1"}, "character-forbidden", "item.number"),
        ({"guid": "G\u0000"}, "character-forbidden", "item.guid"),
        ({"isAssembly": True}, "bom-missing", "bom"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_field(
    fields: dict[str, Any], code: str, where: str
) -> None:
    failure = refused(statement(**fields))
    assert (failure.code, failure.where, failure.word) == (code, where, "data_quality")
    assert failure.remedy


# --- kind, procurement, family ---


@pytest.mark.parametrize(
    ("category", "lines", "kind"),
    [
        ("Mechanical", [], "part"),
        ("MECHANICAL", [line()], "assembly"),
        ("Document", [], "document"),
        ("Documentation", [line()], "document"),
        ("Service", [], "service"),
    ],
)
def test_the_kind_goes_by_category_and_an_assembly_has_a_bom(
    category: str, lines: list[Any], kind: str
) -> None:
    item = released(statement(lines, category={"name": category}))
    assert (item.kind, item.category) == (kind, category)


def test_what_is_no_material_is_neither_made_nor_bought() -> None:
    item = released(statement(category={"name": "Drawing"}, procurementType=None))
    assert item.procurement == "none"


MADE = source(None, makeItem=True)


@pytest.mark.parametrize(
    ("fields", "sources", "procurement"),
    [
        ({"procurementType": "OTS"}, [MADE], "buy"),
        ({"procurementType": "MTS"}, [MADE], "make"),
        ({"procurementType": "MTS"}, [source()], "buy"),
        ({"procurementType": "MTS"}, [MADE | {"activeProduction": True}, source()], "make"),
        ({"procurementType": "MTS"}, [MADE, source(activeProduction=True)], "buy"),
        ({"procurementType": "MTS"}, [MADE | {"approved": False}, source()], "buy"),
        ({"additionalAttributes": field("Make/Buy", "Phantom")}, [], "phantom"),
        ({"additionalAttributes": field("Make/Buy", "make")}, [source()], "make"),
    ],
)
def test_procurement_is_what_the_field_or_the_type_or_the_sources_say(
    fields: dict[str, Any], sources: list[Any], procurement: str
) -> None:
    assert released(statement(sources=sources, **fields)).procurement == procurement


@pytest.mark.parametrize(
    "sources",
    [[], [MADE, source()], [source(approved=False)], [source(approved=False), MADE, source()]],
)
def test_what_is_made_to_specification_by_nobody_knows_whom_is_refused(sources: list[Any]) -> None:
    failure = refused(statement(sources=sources, procurementType="MTS"))
    assert (failure.code, failure.where) == ("procurement-unclear", "sourcing")
    assert "Make/Buy" in failure.remedy


def test_an_unknown_word_of_the_field_is_refused_by_its_name() -> None:
    failure = refused(statement(additionalAttributes=field("Make/Buy", "Rent")))
    assert failure.where == "item.additionalAttributes[Make/Buy]"


def test_the_family_is_the_product_line_else_the_category() -> None:
    assert released(statement()).family == "Mechanical"
    stated = released(statement(additionalAttributes=field("Product Line", "Pumps")))
    assert (stated.family, stated.category) == ("Pumps", "Mechanical")


def test_the_name_is_the_description_and_without_one_the_long_text_is() -> None:
    assert released(statement(description="A seal of the pump")).description == "Seal"
    assert released(statement(name=None, description="A seal")).description == "A seal"
    assert released(statement(name=None)).description == ""


# --- substitutes ---


def substitute(number: str, **fields: Any) -> dict[str, Any]:
    revision = {"guid": f"REV{number}", "number": number, "revisionNumber": "A"}
    return {"guid": "SUB", "item": revision, "quantity": 1, "rank": None, "notes": None} | fields


def of_line(*rows: Any, guid: str = "LINE", count: int | None = None) -> dict[str, Any]:
    return {"line": {"guid": guid}} | listed(rows, count)


def with_substitutes(
    *told: Any, known: Facts | None = None, components: Any = ..., **fields: Any
) -> tuple[BomLine, ...]:
    """The lines of a BOM of which these substitutes are told; fields: of its one line."""
    body = statement([line(**fields)], components=components, more={"substitutes": list(told)})
    message = HANDLER.read(delivery(body))
    assert HANDLER.needs(message, facts()) >= {
        item_key(row["item"]["number"]) for listed in told for row in listed["results"]
    }
    return structure(body, known).lines


def test_a_line_has_the_substitutes_that_were_sent_of_it_with_their_ranks() -> None:
    (only,) = with_substitutes(
        of_line(substitute("S-1", rank=2), substitute("S-2", rank=1), substitute("S-3"))
    )
    assert only.substitutes == ("S-1", "S-2", "S-3")
    assert only.substitutions == (Substitute("S-1", 2), Substitute("S-2", 1))


def test_only_the_line_that_substitutes_were_sent_of_has_them() -> None:
    assert structure(statement([line()])).lines[0].substitutes == ()
    body = statement(
        [line("B-1", guid="L1"), line("B-2", guid="L2")],
        more={"substitutes": [of_line(substitute("S-1"), guid="L2")]},
    )
    assert [one.substitutes for one in structure(body).lines] == [(), ("S-1",)]


def test_another_amount_of_a_substitute_is_kept_in_its_own_unit() -> None:
    rows = of_line(substitute("S-1", quantity=2, rank=1), substitute("S-2", quantity=0.5))
    units = [
        {"guid": "REVB-1", "uom": "each"},
        {"guid": "REVS-1", "uom": "each"},
        {"guid": "REVS-2", "uom": "each"},
    ]
    (only,) = with_substitutes(rows, components=units)
    assert only.substitutions == (
        Substitute("S-1", 1, Quantity(Decimal(2), "H87")),
        Substitute("S-2", None, Quantity(Decimal("0.5"), "H87")),
    )


def test_the_unit_of_a_substitute_on_record_counts_and_one_that_is_not_known_may_wait() -> None:
    rows = of_line(substitute("S-1", quantity=1))
    weighed = facts(known_item("S-1", label="A", base_unit="KGM"))
    (only,) = with_substitutes(rows, known=weighed)
    assert only.substitutions == (Substitute("S-1", None, Quantity(Decimal(1), "KGM")),)
    (unknown,) = with_substitutes(rows)
    assert (unknown.substitutes, unknown.substitutions) == (("S-1",), ())


def test_another_amount_in_a_unit_that_nobody_knows_is_refused_or_waits() -> None:
    more = {"substitutes": [of_line(substitute("S-1", quantity=3))]}
    assert refused(statement([line()], more=more)).code == "component-incomplete"
    known = facts(known_item("B-1", label="A"))
    failure = refused(statement([line()], components=None, more=more), known)
    assert isinstance(failure, Unavailable)
    assert (failure.code, failure.where) == (
        "component-unknown",
        "substitutes[0].results[0].item",
    )


@pytest.mark.parametrize(
    ("substitutes", "code"),
    [
        ([of_line(substitute("S-1"), count=2)], "substitutes-incomplete"),
        ([of_line(substitute("S-1"), guid="ELSEWHERE")], "substitutes-misplaced"),
        ([of_line(substitute("S-1")), of_line(substitute("S-2"))], "substitutes-misplaced"),
        ([of_line(substitute("S-1", quantity=-1))], "quantity-negative"),
        ([of_line(substitute("S-1", rank="first"))], "contract-violated"),
        ([listed([substitute("S-1")])], "contract-violated"),
    ],
)
def test_substitutes_that_cannot_be_understood_are_refused_with_their_place(
    substitutes: Any, code: str
) -> None:
    failure = refused(statement([line()], more={"substitutes": substitutes}))
    assert failure.code == code
    assert "substitutes" in failure.where


# --- compliance ---


def requirement(name: str, status: Any = "COMPLIANT") -> dict[str, Any]:
    return {"guid": "REQ", "requirement": {"guid": "R", "name": name}, "status": status}


def test_compliance_is_what_arena_says_of_each_requirement() -> None:
    rows = [requirement("RoHS 3"), requirement("Cold test", "NON_COMPLIANT")]
    item = released(statement(more={"compliance": listed(rows)}))
    assert item.compliance == (
        ComplianceMark("RoHS 3", "COMPLIANT"),
        ComplianceMark("Cold test", "NON_COMPLIANT"),
    )
    assert released(statement()).compliance == ()


@pytest.mark.parametrize(
    ("compliance", "code"),
    [
        (listed([requirement("RoHS 3")], count=2), "compliance-incomplete"),
        (listed([requirement("")]), "contract-violated"),
        (listed([requirement("RoHS 3", None)]), "contract-violated"),
        ([requirement("RoHS 3")], "contract-violated"),
    ],
)
def test_compliance_that_is_not_whole_is_refused(compliance: Any, code: str) -> None:
    assert refused(statement(more={"compliance": compliance})).code == code


# --- approved vendors ---

VENDORS: dict[str, list[Any]] = {
    "supplierItems": [
        {"guid": "PART1", "number": "P-1", "supplier": {"guid": "MAKER1"}},
        {"guid": "PART2", "number": "RV 1/10", "supplier": {"guid": "VENDOR1"}},
    ],
    "suppliers": [
        {"guid": "MAKER1", "name": "Teller Precision", "supplierId": " 17300003 "},
        {"guid": "VENDOR1", "name": "Rheinvertrieb", "supplierId": "17300077"},
    ],
}


def sold(by: str | None = "PART2", factor: Any = None, **fields: Any) -> dict[str, Any]:
    vendor = {"guid": by} if by else None
    return source(vendorItem=vendor, vendorItemConversionFactor=factor, **fields)


def vendors(*sources: dict[str, Any], **other: Any) -> tuple[ApprovedSupplier, ...]:
    return released(statement(sources=sources, more=VENDORS | other)).suppliers


def test_a_vendor_is_known_by_his_number_and_by_his_number_of_the_part() -> None:
    row = sold(factor=10, notes="Box", amlSplit=20, activePrototype=True)
    assert vendors(row) == (
        ApprovedSupplier(
            "17300077",
            "RV 1/10",
            "approved",
            to_base=Ratio(10),
            note="Box",
            split_percent=20,
            active=("prototype",),
        ),
    )


def test_a_maker_who_sells_himself_is_a_vendor_too() -> None:
    assert vendors(sold("PART1")) == (ApprovedSupplier("17300003", "P-1", "approved"),)


def test_a_vendor_stands_once_for_each_way_of_packing_and_is_approved_if_one_source_is() -> None:
    rows = [
        sold(factor=10, approved=False, notes="Late"),
        sold(factor=10, amlSplit=5),
        sold("PART1", factor=1),
        sold(factor=100, approved=False, notes="Reel"),
        sold(factor="10", amlSplit=7),
    ]
    assert vendors(*rows) == (
        ApprovedSupplier("17300077", "RV 1/10", "approved", to_base=Ratio(10), split_percent=12),
        ApprovedSupplier("17300003", "P-1", "approved", to_base=Ratio(1)),
        ApprovedSupplier("17300077", "RV 1/10", "disapproved", to_base=Ratio(100), note="Reel"),
    )


@pytest.mark.parametrize(
    ("factor", "ratio"),
    [
        (0.25, Ratio(1, 4)),
        ("0.3", Ratio(3, 10)),
        ("1e3", Ratio(1000)),
        (None, None),
    ],
)
def test_a_factor_is_taken_exactly_in_quotes_or_not(factor: Any, ratio: Ratio | None) -> None:
    assert vendors(sold(factor=factor))[0].to_base == ratio


@pytest.mark.parametrize("factor", [0, -1, "", "ten", True, [], "1/2"])
def test_a_factor_that_is_none_is_refused(factor: Any) -> None:
    failure = refused(statement(sources=[sold("PART1"), sold(factor=factor)], more=VENDORS))
    assert (failure.code, failure.where) == (
        "factor-malformed",
        "sourcing.results[1].vendorItemConversionFactor",
    )


def test_a_factor_beyond_what_can_be_kept_is_refused() -> None:
    assert refused(statement(sources=[sold(factor="1e40")], more=VENDORS)).code == (
        "ratio-out-of-bounds"
    )


def test_vendors_that_nobody_could_know_are_left_out_and_counted() -> None:
    rows = [
        sold("PART2"),
        sold("PART3"),
        sold("PART4"),
        sold("PART5"),
        sold("PART5"),
        sold(None),
        sold("PART6", makeItem=True),
    ]
    parts = [
        {"guid": "PART4", "number": "P-4", "supplier": {"guid": "VENDOR4"}},
        {"guid": "PART5", "number": "P-5", "supplier": {"guid": "VENDOR5"}},
    ]
    body = statement(
        sources=rows,
        more={
            "supplierItems": [*VENDORS["supplierItems"], *parts],
            "suppliers": [
                *VENDORS["suppliers"],
                {"guid": "VENDOR5", "name": "V", "supplierId": ""},
            ],
        },
        procurementType="OTS",
    )
    assert [entry.supplier for entry in released(body).suppliers] == ["17300077"]
    assert HANDLER.ignored is not None
    assert HANDLER.ignored(HANDLER.read(delivery(body))) == {
        "vendor item not sent": 1,
        "vendor not sent": 1,
        "vendor without supplierId": 2,
    }


def test_a_vendor_without_a_number_for_the_part_is_one_all_the_same() -> None:
    part = {"guid": "PART2", "supplier": {"guid": "VENDOR1"}}
    (entry,) = vendors(sold(), supplierItems=[VENDORS["supplierItems"][0], part])
    assert (entry.supplier, entry.part) == ("17300077", "")


# --- approved manufacturers ---


def test_a_makers_part_is_approved_in_its_rank_with_its_note() -> None:
    (entry,) = released(statement(sources=[source(amlRank=2, notes="Reel")])).manufacturers
    assert entry == ApprovedManufacturer("Teller Precision", "P-1", "approved", 2, "Reel")


def test_a_part_of_several_sources_stands_once_and_is_approved_if_one_of_them_is() -> None:
    sources = [
        source(approved=False, amlRank=1, notes="Late"),
        source(amlRank=3, notes="Reel"),
        source(amlRank=2, notes="Reel"),
        source(notes="Tray"),
    ]
    (entry,) = released(statement(sources=sources)).manufacturers
    assert entry == ApprovedManufacturer("Teller Precision", "P-1", "approved", 2, "Reel; Tray")


def test_a_part_that_is_not_approved_is_disapproved() -> None:
    (entry,) = released(statement(sources=[source(approved=False)])).manufacturers
    assert entry == ApprovedManufacturer("Teller Precision", "P-1", "disapproved")


def test_a_part_has_the_shares_of_its_sources_and_is_active_where_one_of_them_is() -> None:
    sources = [
        source(approved=False, amlSplit=50, activeProduction=True),
        source(amlSplit=30, activePrototype=True, activeProduction=False),
        source(amlSplit=None, activeProduction=True),
        source(amlSplit=25),
    ]
    (entry,) = released(statement(sources=sources)).manufacturers
    assert (entry.split_percent, entry.active) == (55, ("prototype", "production"))
    (entry,) = released(statement(sources=[source(activeProduction=True)])).manufacturers
    assert (entry.split_percent, entry.active) == (None, ("production",))
    (entry,) = released(statement(sources=[source(amlSplit=0)])).manufacturers
    assert (entry.split_percent, entry.active) == (0, ())


@pytest.mark.parametrize("share", [-1, 101, 12.5, "20"])
def test_a_share_that_is_no_percentage_is_refused(share: Any) -> None:
    assert refused(statement(sources=[source(amlSplit=share)])).code == "contract-violated"


def test_what_is_made_here_has_no_manufacturer() -> None:
    assert released(statement(sources=[MADE])).manufacturers == ()


def test_a_source_of_any_manufacturer_is_a_case() -> None:
    emit, case = decided(statement(sources=[source(), source(None)]))
    assert isinstance(emit, Emit)
    assert isinstance(emit.data, Item)
    assert [entry.part for entry in emit.data.manufacturers] == ["P-1"]
    assert isinstance(case, Open)
    assert (case.code, case.word, case.where) == ("manufacturer-any", "data_quality", "item/A-1")
    assert case.what == "Sources of A-1 that name no manufacturer were left out: 1"


@pytest.mark.parametrize(
    ("more", "code", "where"),
    [
        ({"supplierItems": []}, "source-incomplete", "sourcing.results[0].mfrItem"),
        ({"suppliers": []}, "source-incomplete", "supplierItems[0].supplier"),
        (
            {"supplierItems": [{"guid": "PART1", "number": None, "supplier": {"guid": "MAKER1"}}]},
            "id-empty",
            "supplierItems[0].number",
        ),
        ({"suppliers": [{"guid": "MAKER1", "name": " "}]}, "id-empty", "suppliers[0].name"),
    ],
)
def test_a_source_whose_part_or_maker_is_not_told_is_refused(
    more: dict[str, Any], code: str, where: str
) -> None:
    failure = refused(statement(sources=[source()], more=more))
    assert (failure.code, failure.where) == (code, where)


# --- the BOM ---


def test_a_line_keeps_position_quantity_designators_and_note() -> None:
    (row,) = structure(
        statement([line("B-2", lineNumber=20, quantity=4, refDes="R1, R3-R5", notes="Glued")])
    ).lines
    assert (row.position, row.component) == ("20", "B-2")
    assert row.quantity == Quantity(Decimal(4), "H87")
    assert row.reference_designators == ("R1", "R3", "R4", "R5")
    assert (row.component_revision, row.substitutes, row.fixed) == ("", (), False)
    assert row.note == "Glued"


def test_a_bom_is_for_one_of_its_item() -> None:
    bom = structure(statement([line()], uom="meter"))
    assert (bom.parent, bom.revision, bom.base) == ("A-1", "B", Quantity(Decimal(1), "MTR"))


def test_without_lines_there_is_no_bom() -> None:
    assert [effect.event for effect in decided(statement()) if isinstance(effect, Emit)] == [
        "item.released"
    ]


def test_positions_may_repeat_or_be_missing() -> None:
    lines = [line(lineNumber=0), line(lineNumber=0), line(lineNumber=None)]
    assert [row.position for row in structure(statement(lines)).lines] == ["0", "0", ""]


def told(lines: list[Any], **settings: bool) -> list[tuple[str, str]]:
    body = statement(lines, more={"bomSettings": settings})
    message = HANDLER.read(delivery(body))
    assert message.ignored == ()
    # What is told is taken as it stands.
    assert len(structure(body).lines) == len(lines)
    return [(deviation.where, deviation.what) for deviation in message.deviations]


def test_lines_that_arena_numbers_have_numbers_of_their_own() -> None:
    lines = [line(lineNumber=n) for n in (1, 2, None, 2)]
    of_this_bom = "Arena numbers the lines of this BOM, and this one has"
    assert told(lines, automaticallyGenerateLineNumbers=True) == [
        ("bom.results[1].lineNumber", f"{of_this_bom} the number of another one"),
        ("bom.results[2].lineNumber", f"{of_this_bom} no number"),
        ("bom.results[3].lineNumber", f"{of_this_bom} the number of another one"),
    ]
    assert told(lines, automaticallyGenerateLineNumbers=False) == []
    assert told(lines, checkReferenceDesignators=True) == []


def test_designators_that_arena_checks_are_as_many_as_the_quantity() -> None:
    lines = [
        line(lineNumber=1, quantity=3, refDes="R1, R3-R4"),
        line(lineNumber=2, quantity=3, refDes="R5-R6"),
        line(lineNumber=3, quantity=0.5, refDes=None),
        line(lineNumber=4, quantity=1, refDes="R6"),
        line(lineNumber=5, quantity=2, refDes="C1,C1"),
    ]
    of_this_bom = "Arena checks the designators of this BOM, and"
    assert told(lines, checkReferenceDesignators=True) == [
        ("bom.results[1].refDes", f"{of_this_bom} 2 of them stand at a quantity of 3"),
        ("bom.results[3].refDes", f"{of_this_bom} R6 stands in it more than once"),
        ("bom.results[4].refDes", f"{of_this_bom} C1 stands in it more than once"),
    ]
    assert told(lines, checkReferenceDesignators=False) == []
    assert told(lines, automaticallyGenerateLineNumbers=True) == []


def test_of_a_quantity_that_is_none_its_refusal_is_all_that_is_told() -> None:
    settings = {"bomSettings": {"checkReferenceDesignators": True}}
    body = statement([line(quantity="many", refDes="R1")], more=settings)
    assert HANDLER.read(delivery(body)).deviations == ()
    assert refused(body).code == "number-malformed"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0"),
        ("0.1", "0.1"),
        ("1.0", "1"),
        ("2.50E-4", "0.00025"),
        ("1e3", "1000"),
        ("123456789012.000001", "123456789012.000001"),
    ],
)
def test_a_quantity_is_what_is_written(text: str, value: str) -> None:
    body = statement([line(quantity=777)]).replace(b"777", text.encode())
    (row,) = structure(body).lines
    assert str(row.quantity.value) == value


@pytest.mark.parametrize(
    ("stated", "code"),
    [
        (None, "number-malformed"),
        ("3", "number-malformed"),
        (True, "number-malformed"),
        ([1], "number-malformed"),
        (-1, "quantity-negative"),
        (0.0000001, "number-out-of-bounds"),
        (10**30, "number-out-of-bounds"),
        (10**50, "number-malformed"),
    ],
)
def test_what_is_no_quantity_is_refused(stated: Any, code: str) -> None:
    failure = refused(statement([line(), line(quantity=stated)]))
    assert (failure.code, failure.where) == (code, "bom.results[1].quantity")


@pytest.mark.parametrize(
    ("text", "designators"),
    [
        ("", ()),
        (None, ()),
        (" , ,", ()),
        ("C15,C6,C10-12", ("C15", "C6", "C10", "C11", "C12")),
        ("C9,C13-14", ("C9", "C13", "C14")),
        ("R3-R5", ("R3", "R4", "R5")),
        ("R3 - R5", ("R3", "R4", "R5")),
        ("R08-10", ("R08", "R09", "R10")),
        ("U1A2-3", ("U1A2", "U1A3")),
        ("C7-7", ("C7",)),
        ("TP", ("TP",)),
        ("C3-C1,C3-R5,C-5,3-5,C1-,-,C1-2-3,C1-9999999",
         ("C3-C1", "C3-R5", "C-5", "3-5", "C1-", "-", "C1-2-3", "C1-9999999")),
    ],
)  # fmt: skip
def test_designators_are_spelled_out(text: str | None, designators: tuple[str, ...]) -> None:
    (row,) = structure(statement([line(refDes=text)])).lines
    assert row.reference_designators == designators


def test_ranges_do_not_make_a_small_message_a_large_one() -> None:
    full = line(refDes=f"C1-{MAX_SPELLED_OUT}")
    assert len(structure(statement([full])).lines[0].reference_designators) == MAX_SPELLED_OUT
    for lines in ([line(refDes="C1-999999")], [full, line(refDes="C1-1")], [full, full]):
        failure = refused(statement(lines))
        assert failure.code == "designators-too-many"


# --- in which unit a line is ---


def test_a_line_is_in_the_unit_of_its_item() -> None:
    components = [{"guid": "REVB-1", "uom": "gram"}, {"guid": "REVB-2", "uom": "Feet"}]
    bom = structure(statement([line("B-1"), line("B-2")], components=components))
    assert [row.quantity.unit for row in bom.lines] == ["GRM", "FOT"]


def test_where_components_are_sent_all_of_them_are() -> None:
    failure = refused(
        statement([line("B-1"), line("B-2")], components=[{"guid": "REVB-1", "uom": "g"}])
    )
    assert isinstance(failure, InvalidMessage)
    assert (failure.code, failure.where) == ("component-incomplete", "bom.results[1].item")


def test_a_unit_of_a_component_that_is_unknown_is_refused_where_it_stands() -> None:
    failure = refused(statement([line()], components=[{"guid": "REVB-1", "uom": "hogshead"}]))
    assert (failure.code, failure.where) == ("unit-unmapped", "components[0].uom")


def test_else_it_is_that_of_the_item_on_record() -> None:
    body = statement([line("B-1"), line("B-2")], components=None)
    message = HANDLER.read(delivery(body))
    assert HANDLER.needs(message, facts()) == {"item/B-1", "item/B-2"}
    known = facts(
        known_item("B-1", label="A", base_unit="KGM"), known_item("B-2", label="A", base_unit="MTR")
    )
    assert [row.quantity.unit for row in structure(body, known).lines] == ["KGM", "MTR"]


@pytest.mark.parametrize(
    ("known", "what"),
    [
        ((), "B-1 stands in the BOM in revision 'A' and is not known"),
        (
            (known_item("B-1", label="B"),),
            "B-1 stands in the BOM in revision 'A' and is known in revision B",
        ),
    ],
)
def test_a_component_that_is_not_known_as_the_bom_has_it_is_waited_for(
    known: tuple[Item, ...], what: str
) -> None:
    failure = refused(statement([line()], components=None), facts(*known))
    assert isinstance(failure, Unavailable)
    assert (failure.code, failure.what) == ("component-unknown", what)
    assert (failure.where, failure.owner) == ("bom.results[0].item", "engineering data")


def test_a_component_that_is_not_released_is_waited_for() -> None:
    working = {"guid": "REV", "number": "B-1", "revisionNumber": None, "revisionStatus": "WORKING"}
    body = statement([line(item=working)], components=None)
    assert isinstance(refused(body, facts(known_item("B-1"))), Unavailable)


# --- whole lists ---


@pytest.mark.parametrize(
    ("more", "code", "what"),
    [
        ({"bom": listed([line()], 40)}, "bom-incomplete", "1 of 40 lines were sent"),
        (
            {"sourcing": listed([source()], 25)},
            "sourcing-incomplete",
            "1 of 25 source relationships were sent",
        ),
    ],
)
def test_a_page_of_a_longer_list_is_refused(more: dict[str, Any], code: str, what: str) -> None:
    failure = refused(statement(more=more))
    assert (failure.code, failure.what) == (code, what)


# --- contract ---


@pytest.mark.parametrize("name", ["guid", "number", "lifecyclePhase"])
def test_a_missing_required_field_is_named(name: str) -> None:
    absent: dict[str, Any] = {name: ...}
    failure = refused(statement(**absent))
    assert (failure.code, failure.word) == ("contract-violated", "data_quality")
    assert f"`{name}`" in failure.what


@pytest.mark.parametrize("member", ["item", "bom", "sourcing"])
def test_a_statement_has_item_bom_and_sources(member: str) -> None:
    body = json.loads(statement())
    del body[member]
    assert refused(json.dumps(body).encode()).code == "contract-violated"


def test_unknown_fields_are_ignored() -> None:
    assert released(statement(alsoNew={"a": [1]}, more={"somethingNew": 1})).number == "A-1"


@pytest.mark.parametrize("stated", ["2026-01-01T00:00:00", 1, "9999-12-31T23:59:59-14:00"])
def test_a_time_without_offset_or_beyond_the_calendar_is_refused(stated: Any) -> None:
    assert isinstance(refused(statement(effectiveDateTime=stated)), InvalidMessage)


def test_a_time_of_the_read_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidMessage) as caught:
        HANDLER.read(delivery(statement(), time="yesterday"))
    assert caught.value.where == "ce-time"


def test_a_key_that_stands_twice_is_refused() -> None:
    assert refused(statement()[:-1] + b', "more": 1, "more": 2}').code == "key-twice"


def test_items_and_changes_are_told_apart_by_their_content() -> None:
    contracts = ("arena.change", "arena.item", "arena.event", "arena.event-item")
    for order in (contracts, contracts[::-1]):
        assert CATALOGUE.recognise(order, delivery(statement([line()]))) is HANDLER
    assert not recognises(delivery(b'[{"item": {}, "bom": {}, "sourcing": {}}]'))
    assert not recognises(delivery(b'{"item": {}, "bom": {}}'))


# --- properties ---

PREFIX = st.from_regex(r"[A-Z]{1,3}", fullmatch=True)


@given(prefix=PREFIX, first=st.integers(0, 9_999), more=st.integers(0, 50), twice=st.booleans())
def test_a_range_is_every_number_from_its_first_to_its_last(
    prefix: str, first: int, more: int, *, twice: bool
) -> None:
    text = f"{prefix}{first}-{prefix if twice else ''}{first + more}"
    (row,) = structure(statement([line(refDes=text)])).lines
    assert row.reference_designators == tuple(
        f"{prefix}{number}" for number in range(first, first + more + 1)
    )


@given(value=st.decimals("0", "999999", places=6))
def test_a_quantity_of_six_decimals_is_kept_exactly(value: Decimal) -> None:
    body = statement([line(quantity=777)]).replace(b"777", format(value, "f").encode())
    (row,) = structure(body).lines
    assert row.quantity.value == value


@given(numbers=st.lists(st.from_regex(r"[A-Z]{2}-[0-9]{1,5}", fullmatch=True), max_size=30))
def test_every_line_is_kept_in_order(numbers: list[str]) -> None:
    effects = decided(statement([line(number) for number in numbers]))
    found = [e.data for e in effects if isinstance(e, Emit) and isinstance(e.data, Bom)]
    assert [row.component for bom in found for row in bom.lines] == numbers


@settings(max_examples=300)
@given(data=st.data())
def test_damaged_bytes_raise_nothing_but_invalid_message(data: st.DataObject) -> None:
    body = bytearray(statement([line(refDes="C1-3")], [source()]))
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with suppress(InvalidMessage, Unavailable):
        decided(bytes(body))
