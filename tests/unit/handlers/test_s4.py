"""What is asked of S/4HANA and what its answers mean; the target is simulated by plain values."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import UNSET

from canonical.bom import BomLine, PlantBom, Substitute
from canonical.change import ChangeMaster
from canonical.connector import Absent, Confirmed, Driver, Present
from canonical.effectivity import LotEffectivity, SerialEffectivity
from canonical.effects import Step
from canonical.errors import (
    Busy,
    Conflict,
    Failure,
    InDoubt,
    Misconfigured,
    Rejected,
    Unavailable,
)
from canonical.exchange import Request, Response
from canonical.item import Classification, Item
from canonical.money import Money, UnitPrice
from canonical.operations import (
    ExtendToPlant,
    Operation,
    PublishItem,
    PutBom,
    PutChangeMaster,
    PutInfoRecord,
    PutItem,
)
from canonical.purchasing import InfoRecord
from canonical.quantity import ItemUnit, Quantity, Ratio
from canonical.revision import parse_revision
from handlers.systems.s4 import odata
from handlers.systems.s4.amounts import price_in_erp
from handlers.systems.s4.compare import same_date, same_id, same_number, same_text, same_unit
from handlers.systems.s4.outbound import DRIVER
from ops.sandbox.odata import check_payload, load_model
from tests.fixtures.change_sets import carried_out, http, in_batch, writes_of

JSON = {"content-type": "application/json"}
ETAG = "W/\"'1'\""


def step_of(operation: Operation) -> Step:
    return Step("1010", "erp", "object", "X", operation)


def item(number: str = "SEAL-7", **fields: Any) -> Item:
    plain = Item(
        number=number,
        revision=parse_revision("B", "letters"),
        lifecycle="released",
        description="Shaft seal",
        kind="part",
        procurement="buy",
        base_unit="H87",
    )
    return msgspec.structs.replace(plain, **fields)


def line(position: str, component: str, quantity: str, unit: str = "H87", **more: Any) -> BomLine:
    return BomLine(position, component, Quantity(Decimal(quantity), unit), **more)


def bom(*lines: BomLine, base: str = "1") -> PutBom:
    header = Quantity(Decimal(base), "H87")
    return PutBom(PlantBom("1010", "PUMP", "B", "1", "1", header, lines))


def record(amount: str = "25.00", per: str = "1000", **fields: Any) -> PutInfoRecord:
    plain = InfoRecord(
        supplier="17300001",
        item="SEAL-7",
        purchasing_org="1010",
        plant="1010",
        order_unit="H87",
        base_unit="H87",
        order_to_base=(1, 1),
        price=UnitPrice(Money(Decimal(amount), "EUR"), Quantity(Decimal(per), "H87")),
        lead_time_days=5,
        contract="C-1",
        last_day=date(2029, 12, 31),
        purchasing_group="001",
    )
    return PutInfoRecord(msgspec.structs.replace(plain, **fields))


TWENTY = Quantity(Decimal(20), "H87")
CHANGE = PutChangeMaster(
    ChangeMaster("ECO-7", "Seal the shaft", date(2026, 3, 2), is_dated=True, reason="It leaks")
)
VIEW = ExtendToPlant("SEAL-7", "1010", "buy", "H87", "001")
OPERATIONS: tuple[Operation, ...] = (
    CHANGE,
    PutItem(item()),
    VIEW,
    bom(line("10", "SEAL-7", "2")),
    record(),
)


def body_of(request: Request) -> dict[str, Any]:
    assert request.body is not None
    decoded: dict[str, Any] = msgspec.json.decode(request.body)
    return decoded


def created(operation: Operation) -> dict[str, Any]:
    """The body of the create that an absent object needs."""
    write = DRIVER.write(step_of(operation), Absent(), "key-1")
    assert write is not None
    assert write.completes
    return body_of(write.request)


def stored(operation: Operation, body: Mapping[str, Any]) -> dict[str, Any]:
    """What a target shows after it stored the body: numbered, tagged, decimals at full scale."""
    entity = copy.deepcopy(dict(body)) | {"__metadata": {"etag": ETAG}}
    match operation:
        case PutItem():
            entity.setdefault("to_ProductUnitsOfMeasure", {"results": []})
        case PutBom():
            header = {
                "BillOfMaterial": "00000042",
                "BillOfMaterialVersion": "",
                "EngineeringChangeDocument": "",
            }
            entity |= header
            entity["BOMHeaderQuantityInBaseUnit"] = full(entity["BOMHeaderQuantityInBaseUnit"])
            for node, row in enumerate(entity["to_BillOfMaterialItem"]["results"], start=1):
                row |= item_keys(entity, node)
                row["BillOfMaterialItemQuantity"] = full(row["BillOfMaterialItemQuantity"])
        case PutInfoRecord():
            entity["PurchasingInfoRecord"] = "5300000001"
            for row in entity["to_PurgInfoRecdOrgPlantData"]["results"]:
                row["PurchasingInfoRecord"] = "5300000001"
                row["NetPriceAmount"] = full(row["NetPriceAmount"])
                row["__metadata"] = {"etag": ETAG}
        case _:
            pass
    return entity


def item_keys(header: Mapping[str, Any], node: int) -> dict[str, Any]:
    return {
        "BillOfMaterial": header["BillOfMaterial"],
        "BillOfMaterialCategory": "M",
        "BillOfMaterialVariant": "1",
        "BillOfMaterialVersion": "",
        "BillOfMaterialItemNodeNumber": f"{node:08}",
        "HeaderChangeDocument": "",
        "Material": header["Material"],
        "Plant": header["Plant"],
        "__metadata": {"etag": ETAG},
    }


def full(decimal: str) -> str:
    return f"{Decimal(decimal):.3f}"


def shown(operation: Operation, entity: Mapping[str, Any]) -> Response:
    """The answer to the observation."""
    by_key = isinstance(operation, PutChangeMaster | PutItem | ExtendToPlant)
    document = {"d": entity if by_key else {"results": [entity]}}
    return Response(200, JSON, msgspec.json.encode(document))


def observed(operation: Operation, **changed: Any) -> Present:
    """What a read finds after the create, with some fields changed by somebody."""
    entity = stored(operation, created(operation)) | changed
    found = DRIVER.read(step_of(operation), shown(operation, entity))
    assert isinstance(found, Present)
    return found


def next_write(operation: Operation, seen: Present) -> Request:
    write = DRIVER.write(step_of(operation), seen, "key-1")
    assert write is not None
    return write.request


def error(status: int, code: str, text: str, **headers: str) -> Response:
    detail = {"code": code, "message": text, "target": "Material", "severity": "error"}
    document = {
        "error": {
            "code": code,
            "message": {"lang": "en", "value": text},
            "innererror": {"errordetails": [detail]},
        }
    }
    return Response(status, JSON | headers, msgspec.json.encode(document))


# --- round trips ---

numbers = st.text(
    st.characters(codec="utf-8", categories=("Lu", "Ll", "Nd", "P", "S")), min_size=1, max_size=40
)
amounts = st.decimals(Decimal("0.001"), Decimal(99_999), places=3)
ratios = st.builds(Ratio, st.integers(1, 99_999), st.integers(1, 99_999))
items = st.builds(
    item,
    numbers,
    description=st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs", "So"))),
    revision=st.sampled_from(["A", "7", "AB", "ABC"]).map(
        lambda label: parse_revision(label, "prototype_then_production")
    ),
    lifecycle=st.sampled_from(["released", "obsolete", "on_hold", "in_design"]),
    kind=st.sampled_from(["part", "assembly"]),
    procurement=st.sampled_from(["make", "buy", "phantom", "none"]),
    base_unit=st.sampled_from(["H87", "KGM", "MTR"]),
    alternates=st.builds(tuple, st.lists(st.builds(ItemUnit, st.just("XRO"), ratios), max_size=1)),
    weight=st.none() | st.builds(Quantity, amounts, st.just("KGM")),
)
ranked = st.lists(
    st.builds(
        Substitute,
        st.sampled_from(["SEAL", "OIL", "HOSE", "FELT", "WAX"]),
        st.none() | st.integers(1, 3),
        st.none() | st.builds(Quantity, amounts, st.just("KGM")),
    ),
    max_size=2,
    unique_by=lambda one: one.item,
).map(tuple)
lines = st.builds(
    BomLine,
    position=st.sampled_from(["0", "1", "10", "20", "020", "A"]),
    component=st.sampled_from(["SEAL", "OIL", "HOSE", "0042"]),
    quantity=st.builds(Quantity, amounts, st.sampled_from(["H87", "KGM"])),
    fixed=st.booleans(),
    substitutions=st.just(()) | ranked,
    scrap_percent=st.none() | st.decimals(Decimal(0), Decimal(50), places=2),
)
boms = st.builds(
    lambda found, base: bom(*found, base=base),
    st.lists(lines, min_size=1, max_size=6),
    st.sampled_from(["1", "10", "100", "3"]),
)
records = st.builds(
    lambda price, per, **fields: record(str(price), per, **fields),
    st.decimals(Decimal("0.01"), Decimal(9999), places=2),
    st.sampled_from(["1", "10", "100", "1000"]),
    lead_time_days=st.integers(0, 999),
    last_day=st.none() | st.dates(date(2000, 1, 1), date(9999, 12, 31)),
    order_to_base=st.tuples(st.integers(1, 999), st.integers(1, 999)),
    under_tolerance=st.just(UNSET) | st.decimals(Decimal(0), Decimal("99.9"), places=1),
    over_tolerance=st.just(UNSET) | st.decimals(Decimal(0), Decimal("99.9"), places=1),
    purchasing_group=st.sampled_from(["001", "C01"]),
)
views = st.builds(
    ExtendToPlant,
    item=numbers,
    plant=st.just("1010"),
    procurement=st.sampled_from(["make", "buy", "phantom", "none"]),
    base_unit=st.sampled_from(["H87", "KGM"]),
    purchasing_group=st.sampled_from(["", "001"]),
)


@given(st.builds(PutItem, items) | boms | records | views)
def test_what_was_created_reads_back_as_equal(operation: Operation) -> None:
    found = observed(operation)
    assert (found.equal, found.differences) == (True, ())
    assert DRIVER.write(step_of(operation), found, "key-1") is None


MODEL = load_model()
BOMS, ITEMS = (MODEL.find(name)[1] for name in ("MaterialBOM", "MaterialBOMItem"))


class Target:
    """One BOM at a target: takes creates, changes and deletions of items as they are sent, if they
    are what the vendor's description lets in."""

    def __init__(self, operation: PutBom) -> None:
        body = created(operation)
        check_payload(MODEL, BOMS, body, creating=True)
        self.header = stored(operation, body)
        self._node = 1000

    def items(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.header["to_BillOfMaterialItem"]["results"]
        return rows

    def take(self, request: Request) -> None:
        if request.method == "POST":
            self._node += 1
            check_payload(MODEL, ITEMS, body_of(request), creating=True)
            self.items().append(body_of(request) | item_keys(self.header, self._node))
            return
        assert ("If-Match", ETAG) in request.headers
        (row,) = [r for r in self.items() if r["BillOfMaterialItemNodeNumber"] in request.path]
        if request.method == "DELETE":
            self.items().remove(row)
        else:
            check_payload(MODEL, ITEMS, body_of(request), creating=False)
            row |= body_of(request)

    def holds(self) -> list[tuple[object, ...]]:
        """Number, component, quantity per one unit of the header, fixed, priority and strategy, in
        groups."""
        base = Fraction(self.header["BOMHeaderQuantityInBaseUnit"])
        groups: dict[str, list[tuple[object, ...]]] = {}
        for row in self.items():
            group = row.get("AlternativeItemGroup") or row["BillOfMaterialItemNodeNumber"]
            groups.setdefault(group, []).append(
                (
                    int(row["BillOfMaterialItemNumber"]),
                    row["BillOfMaterialComponent"],
                    Fraction(row["BillOfMaterialItemQuantity"])
                    / (1 if row.get("FixedQuantity") else base),
                    bool(row.get("FixedQuantity")),
                    row.get("AlternativeItemPriority") or "",
                    row.get("AlternativeItemStrategy") or "",
                )
            )
        return sorted(tuple(sorted(group)) for group in groups.values())


def fits(base: str, operation: PutBom) -> bool:
    """Whether all lines can be stated for that base quantity."""
    wanted = operation.bom
    quantities = [
        quantity
        for line in wanted.lines
        if not line.fixed
        for quantity in (
            line.quantity,
            *(one.quantity for one in line.substitutions if one.quantity),
        )
    ]
    per_one = [Fraction(quantity.value) / Fraction(wanted.base.value) for quantity in quantities]
    return all((each * Fraction(base) * 1000).denominator == 1 for each in per_one)


@pytest.mark.parametrize("driver", [DRIVER, DRIVER.one_by_one()], ids=["at once", "one by one"])
@given(boms, boms)
@example(bom(line("10", "A", "1"), line("20", "B", "1")), bom(line("10", "B", "1")))
@example(bom(line("0", "A", "1"), line("0", "A", "2")), bom(line("0", "A", "2")))
# A line whose stand-in is its own component, in the amount of the new line.
@example(
    bom(line("10", "A", "2", substitutions=(Substitute("A", 1, Quantity(Decimal(1), "H87")),))),
    bom(line("0", "A", "1", substitutions=(Substitute("A", 1), Substitute("B", 2)))),
)
def test_any_bom_becomes_any_other_unless_its_base_stands_in_the_way(
    driver: Driver, old: PutBom, new: PutBom
) -> None:
    target, step = Target(old), step_of(new)
    for calls in range(60):
        found = DRIVER.read(step, shown(new, target.header))
        assert isinstance(found, Present)
        try:
            write = driver.write(step, found, "key-1")
        except Conflict:
            # Only where a line has no quantity of three decimals for the base the target keeps.
            assert not fits(target.header["BOMHeaderQuantityInBaseUnit"], new)
            return
        if write is None:
            break
        assert driver is not DRIVER or calls == 0
        for request in writes_of(write.request):
            target.take(request)
            assert target.items()
        if write.completes:
            break
    assert target.holds() == Target(new).holds()
    # Whatever engineering says of scrap.
    assert not any("ComponentScrapInPercent" in row for row in target.items())


# --- requests ---

BOM_FIELDS = (
    *("BillOfMaterial", "BillOfMaterialCategory", "BillOfMaterialVariant", "BillOfMaterialVersion"),
    *("EngineeringChangeDocument", "Material", "Plant", "BillOfMaterialVariantUsage"),
    *("BOMHeaderBaseUnit", "BOMHeaderQuantityInBaseUnit", "IsMarkedForDeletion"),
    *(
        f"to_BillOfMaterialItem/{name}"
        for name in (
            *("BillOfMaterialVariant", "BillOfMaterialVersion", "BillOfMaterialItemNodeNumber"),
            *("HeaderChangeDocument", "BillOfMaterialComponent", "BillOfMaterialItemCategory"),
            *(
                "BillOfMaterialItemNumber",
                "BillOfMaterialItemUnit",
                "BillOfMaterialItemQuantity",
                "FixedQuantity",
            ),
            *("ComponentScrapInPercent", "AlternativeItemGroup", "AlternativeItemPriority"),
            *("UsageProbabilityPercent", "IsDeleted"),
        )
    ),
)


def test_observations_ask_by_natural_key() -> None:
    asked = [DRIVER.observe(step_of(operation)) for operation in OPERATIONS]
    root = "/sap/opu/odata/sap"
    assert [(r.method, r.path, r.query, r.effectful) for r in asked] == [
        (
            "GET",
            f"{root}/API_CHANGEMASTER;v=0002/A_ChangeMaster('ECO-7')",
            (("$expand", "to_ObjTypeAssignment"),),
            False,
        ),
        (
            "GET",
            f"{root}/API_PRODUCT_SRV/A_Product('SEAL-7')",
            (("$expand", "to_Description,to_ProductUnitsOfMeasure"),),
            False,
        ),
        (
            "GET",
            f"{root}/API_PRODUCT_SRV/A_ProductPlant(Product='SEAL-7',Plant='1010')",
            (),
            False,
        ),
        (
            "GET",
            f"{root}/API_BILL_OF_MATERIAL_SRV;v=0002/MaterialBOM",
            (
                (
                    "$filter",
                    "Material eq 'PUMP' and Plant eq '1010' and BillOfMaterialCategory eq 'M'"
                    " and BillOfMaterialVariantUsage eq '1'",
                ),
                ("$expand", "to_BillOfMaterialItem"),
                ("$select", ",".join(BOM_FIELDS)),
            ),
            False,
        ),
        (
            "GET",
            f"{root}/API_INFORECORD_PROCESS_SRV/A_PurchasingInfoRecord",
            (
                ("$filter", "Supplier eq '17300001' and Material eq 'SEAL-7'"),
                ("$expand", "to_PurgInfoRecdOrgPlantData"),
            ),
            False,
        ),
    ]


def test_quotes_and_slashes_of_a_number_stay_inside_their_literal() -> None:
    request = DRIVER.observe(step_of(PutItem(item("A/B'C ü"))))
    assert request.path.endswith("/A_Product('A%2FB''C%20%C3%BC')")
    assert odata.equals(Material="x' or 'a' eq 'a") == "Material eq 'x'' or ''a'' eq ''a'"


def test_a_made_assembly_is_a_halb_and_a_bought_part_a_roh() -> None:
    made = created(PutItem(item(kind="assembly", procurement="make")))
    assert (made["ProductType"], created(PutItem(item()))["ProductType"]) == ("HALB", "ROH")


def test_a_document_is_never_sent() -> None:
    with pytest.raises(Rejected, match="item-not-a-material"):
        created(PutItem(item(kind="document", procurement="none")))


def test_a_revision_longer_than_two_is_left_out_and_a_person_is_told() -> None:
    put = PutItem(item(revision=parse_revision("A.3", "two_level")))
    assert created(put)["MaterialRevisionLevel"] == ""
    assert confirmed(put).warnings == (
        "Revision A.3 of SEAL-7 does not fit MaterialRevisionLevel (2) and is left out",
    )


def test_a_description_is_cut_at_forty_and_compared_so() -> None:
    put = PutItem(item(description="Shaft seal for the second stage of the feed pump"))
    (text,) = created(put)["to_Description"]["results"]
    assert text == {
        "Language": "EN",
        "ProductDescription": "Shaft seal for the second stage of the f",
    }
    assert observed(put).equal
    assert confirmed(put).warnings == ("The description of SEAL-7 is cut to 40 characters",)


def test_an_emoji_counts_twice() -> None:
    (text,) = created(PutItem(item(description="🔩" * 30)))["to_Description"]["results"]
    assert text["ProductDescription"] == "🔩" * 20


def test_a_block_set_for_obsolescence_is_taken_back_with_the_release() -> None:
    obsolete = created(PutItem(item(lifecycle="obsolete")))
    assert obsolete["CrossPlantStatus"] == "01"
    assert "CrossPlantStatus" not in created(PutItem(item()))
    blocked = observed(PutItem(item()), CrossPlantStatus="01")
    assert body_of(next_write(PutItem(item()), blocked)) == {"CrossPlantStatus": ""}
    assert observed(PutItem(item()), CrossPlantStatus="40").equal


def test_gross_weight_is_logistics_as_long_as_it_is_not_below_net() -> None:
    put = PutItem(item(weight=Quantity(Decimal("0.25"), "KGM")))
    assert observed(put, GrossWeight="0.300").equal
    light = observed(put, GrossWeight="0.100")
    assert body_of(next_write(put, light)) == {
        "NetWeight": "0.25",
        "GrossWeight": "0.25",
        "WeightUnit": "KG",
    }


def test_a_ratio_of_more_than_five_digits_is_refused_unless_physics_says_it() -> None:
    box = ItemUnit("XRO", Ratio(1_000_001))
    with pytest.raises(Rejected, match="ratio-not-representable"):
        created(PutItem(item(alternates=(box,))))
    pound = ItemUnit("LBR", Ratio(45_359_237, 100_000_000))
    put = PutItem(item(base_unit="KGM", alternates=(pound,)))
    assert "to_ProductUnitsOfMeasure" not in created(put)


def test_a_material_marked_for_deletion_is_a_conflict() -> None:
    with pytest.raises(Conflict, match="IsMarkedForDeletion"):
        next_write(PutItem(item()), observed(PutItem(item()), IsMarkedForDeletion=True))


def test_a_piece_is_pc_or_st() -> None:
    assert observed(PutItem(item()), BaseUnit="ST").equal
    with pytest.raises(Conflict, match="BaseUnit: KG, wanted PC"):
        next_write(PutItem(item()), observed(PutItem(item()), BaseUnit="KG"))


def test_a_plant_that_makes_and_buys_agrees_with_both() -> None:
    assert observed(VIEW, ProcurementType="X").equal
    seen = observed(VIEW, ProcurementType="E", PurchasingGroup="", MRPType="PD")
    assert seen.differences == (
        "PurchasingGroup: empty, wanted 001",
        "ProcurementType: E, wanted F",
    )
    assert body_of(next_write(VIEW, seen)) == {"PurchasingGroup": "001", "ProcurementType": "F"}


def test_find_numbers_are_kept_where_each_line_has_one() -> None:
    put = bom(line("1", "A", "1"), line("25", "B", "1"), line("0300", "C", "1"))
    assert numbers_of(created(put)) == ["0001", "0025", "0300"]


@pytest.mark.parametrize("position", ["0", "10", "A", "12345", ""])
def test_lines_are_numbered_anew_where_find_numbers_repeat_or_are_none(position: str) -> None:
    put = bom(line("10", "A", "1"), line(position, "B", "1"), line("0", "C", "1"))
    assert numbers_of(created(put)) == ["0010", "0020", "0030"]


def numbers_of(body: Mapping[str, Any]) -> list[str]:
    return [row["BillOfMaterialItemNumber"] for row in body["to_BillOfMaterialItem"]["results"]]


def test_a_line_finer_than_three_decimals_raises_the_base_quantity() -> None:
    put = bom(line("10", "OIL", "0.0005", "KGM"), line("20", "BOLT", "4", fixed=True))
    body = created(put)
    assert body["BOMHeaderQuantityInBaseUnit"] == "10"
    quantities = [r["BillOfMaterialItemQuantity"] for r in body["to_BillOfMaterialItem"]["results"]]
    assert quantities == ["0.005", "4"]
    with pytest.raises(Rejected, match="quantity-not-representable"):
        created(bom(line("10", "OIL", "0.0005", "KGM", fixed=True)))


def test_lines_without_quantity_are_left_out_and_named() -> None:
    put = bom(line("10", "SEAL", "2"), line("20", "LABEL", "0"))
    assert numbers_of(created(put)) == ["0010"]
    assert confirmed(put).warnings == (
        "Line 20 of PUMP (LABEL) has quantity 0 and is not sent: it is a reference only",
    )
    with pytest.raises(Rejected, match="bom-empty"):
        created(bom(line("20", "LABEL", "0")))


def test_what_a_line_says_and_the_target_does_not_get_is_named_once_for_each_kind() -> None:
    put = bom(
        line("10", "SEAL", "2", reference_designators=("C1", "C2"), component_revision="B"),
        line("20", "OIL", "1", substitutes=("OIL-2",), reference_designators=("C3",)),
        line("30", "HOSE", "1", note="greased"),
        line("40", "LABEL", "0", reference_designators=("C4",)),
    )
    assert confirmed(put).warnings[1:] == (
        "Reference designators of PUMP are not sent: line 10 (SEAL), 20 (OIL)",
        "Substitutes without rank or quantity of PUMP are not sent: line 20 (OIL)",
        "Revisions of components of PUMP are not sent: line 10 (SEAL)",
        "Notes of PUMP are not sent: line 30 (HOSE)",
    )


def test_of_many_lines_a_remark_names_five_and_counts_the_others() -> None:
    put = bom(*(line(str(n), "SEAL", "1", note="x") for n in range(1, 1001)))
    assert confirmed(put).warnings == (
        "Notes of PUMP are not sent: line 1 (SEAL), 2 (SEAL), 3 (SEAL), 4 (SEAL), 5 (SEAL)"
        " and 995 more",
    )


# --- substitutes and scrap of a line ---

FELT, WAX = Substitute("FELT", rank=5), Substitute("WAX", 2, Quantity(Decimal("0.1"), "KGM"))


def sealed(*more: BomLine, **stated: Any) -> PutBom:
    """A BOM with a seal at 10, for which two others may stand in."""
    return bom(line("10", "SEAL", "2", **({"substitutions": (FELT, WAX)} | stated)), *more)


def row_of(entity: Mapping[str, Any], component: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = entity["to_BillOfMaterialItem"]["results"]
    (found,) = (row for row in rows if row["BillOfMaterialComponent"] == component)
    return found


def in_group(row: Mapping[str, Any]) -> tuple[str, ...]:
    fields = ("AlternativeItemGroup", "AlternativeItemPriority", "AlternativeItemStrategy")
    return tuple(row.get(name, "") for name in (*fields, "UsageProbabilityPercent"))


def seen(put: PutBom | PutItem, entity: Mapping[str, Any]) -> Present:
    found = DRIVER.read(step_of(put), shown(put, entity))
    assert isinstance(found, Present)
    return found


def test_ranked_substitutes_are_items_of_a_group_of_which_the_line_alone_is_planned() -> None:
    body = created(sealed(line("20", "OIL", "1")))
    assert [
        (r["BillOfMaterialComponent"], r["BillOfMaterialItemNumber"], in_group(r))
        for r in body["to_BillOfMaterialItem"]["results"]
    ] == [
        ("SEAL", "0010", ("X0", "01", "2", "100")),
        ("WAX", "0010", ("X0", "02", "2", "0")),
        ("FELT", "0010", ("X0", "03", "2", "0")),
        ("OIL", "0020", ("", "", "", "")),
    ]
    wax, felt = row_of(body, "WAX"), row_of(body, "FELT")
    assert (wax["BillOfMaterialItemQuantity"], wax["BillOfMaterialItemUnit"]) == ("0.1", "KG")
    assert (felt["BillOfMaterialItemQuantity"], felt["BillOfMaterialItemUnit"]) == ("2", "PC")
    assert confirmed(sealed()).warnings == ()


def test_a_substitute_without_a_rank_or_with_quantity_0_is_named_and_not_sent() -> None:
    nothing = Substitute("TAPE", 1, Quantity(Decimal(0), "H87"))
    put = sealed(substitutes=("FELT", "WAX", "CORD"), substitutions=(FELT, nothing))
    assert numbers_of(created(put)) == ["0010", "0010"]
    assert confirmed(put).warnings == (
        "Substitutes without rank or quantity of PUMP are not sent: line 10 (SEAL)",
    )


def test_an_existing_group_keeps_its_name_and_what_the_plant_set_in_it() -> None:
    put = sealed()
    entity = stored(put, created(put))
    for row in entity["to_BillOfMaterialItem"]["results"]:
        row |= {"AlternativeItemGroup": "Y7", "AlternativeItemStrategy": "1"}
        row["UsageProbabilityPercent"] = "50"
    assert seen(put, entity).equal
    other = sealed(substitutions=(msgspec.structs.replace(FELT, rank=1), WAX))
    assert seen(other, entity).differences == (
        "Line 0010 AlternativeItemPriority: 03, wanted 02",
        "Line 0010 AlternativeItemPriority: 02, wanted 03",
    )


def test_a_line_that_nothing_stands_in_for_any_more_leaves_its_group() -> None:
    entity = stored(sealed(), created(sealed()))
    alone = sealed(substitutions=())
    first, *others = writes_of(next_write(alone, seen(alone, entity)))
    assert [other.method for other in others] == ["DELETE", "DELETE"]
    assert body_of(first) == {
        "AlternativeItemGroup": "",
        "AlternativeItemPriority": "",
        "AlternativeItemStrategy": "",
        "UsageProbabilityPercent": "0",
    }
    assert seen(alone, entity).differences[-2:] == (
        "Line 0010: WAX, wanted none",
        "Line 0010: FELT, wanted none",
    )


def of_the_plant(probability: str = "0", **line_of_ours: str) -> dict[str, Any]:
    """The BOM of a seal, to which the plant gave an alternative in a group of its own."""
    alone = sealed(substitutions=())
    entity = stored(alone, created(alone))
    row_of(entity, "SEAL").update({"AlternativeItemGroup": "A1"} | line_of_ours)
    theirs = copy.deepcopy(row_of(entity, "SEAL")) | item_keys(entity, 9)
    theirs |= {"BillOfMaterialComponent": "CORD", "UsageProbabilityPercent": probability}
    entity["to_BillOfMaterialItem"]["results"].append(theirs)
    return entity


def test_an_alternative_that_the_plant_gave_to_a_line_stays() -> None:
    alone = sealed(substitutions=())
    assert seen(alone, of_the_plant()).equal
    more = sealed(line("20", "CORD", "1"), substitutions=())
    # It is no line of ours, whatever its component.
    assert seen(more, of_the_plant()).differences == ("Line 0020: missing, wanted CORD",)


@pytest.mark.parametrize(
    ("put", "entity", "says"),
    [
        (sealed(), of_the_plant(), "AlternativeItemGroup: A1, wanted X0"),
        (sealed(substitutions=()), of_the_plant("40"), "CORD, wanted none, and it is in .* A1"),
        (bom(line("10", "OIL", "1")), of_the_plant(), "SEAL, wanted none, and it is in .* A1"),
    ],
)
def test_where_the_plants_alternatives_stand_in_the_way_a_person_decides(
    put: PutBom, entity: dict[str, Any], says: str
) -> None:
    with pytest.raises(Conflict, match=says):
        next_write(put, seen(put, entity))


def test_scrap_is_the_plants_whatever_engineering_states() -> None:
    put = sealed(substitutions=(), scrap_percent=Decimal("2.50"))
    body = created(put)
    assert "ComponentScrapInPercent" not in body["to_BillOfMaterialItem"]["results"][0]
    entity = stored(put, body)
    row_of(entity, "SEAL")["ComponentScrapInPercent"] = "3.00"
    assert seen(put, entity).equal
    assert confirmed(put).warnings == ("Percentages of scrap of PUMP are not sent: line 10 (SEAL)",)


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        ({"serials": SerialEffectivity("SN100", None)}, "serial number SN100 on"),
        ({"lots": LotEffectivity("L1", "L9")}, "lot L1 up to, and without, L9"),
    ],
)
def test_a_line_for_some_serial_numbers_or_lots_is_refused_since_boms_hold_days(
    numbers: dict[str, Any], says: str
) -> None:
    with pytest.raises(Rejected) as caught:
        created(bom(line("10", "OIL", "1"), line("20", "SEAL", "2", **numbers)))
    found = caught.value
    assert (found.code, found.where) == ("line-effectivity-unsupported", "bom/PUMP/20")
    assert found.what == (
        f"BOMs of S/4HANA hold days only; line 20 of PUMP (SEAL) is effective from {says}"
    )
    assert found.owner == "engineering"


def test_a_class_in_the_erps_own_schemes_is_the_group_or_hierarchy_of_a_new_material() -> None:
    classes = (
        Classification("arena-category", "Seals"),
        Classification("sap-material-group", "01204"),
        Classification("sap-product-hierarchy", "000050000300000001"),
    )
    body = created(PutItem(item(classes=classes)))
    assert (body["ProductGroup"], body["ProductHierarchy"]) == ("01204", "000050000300000001")
    plain = created(PutItem(item(classes=classes[:1])))
    assert (plain["ProductGroup"], "ProductHierarchy" in plain) == ("L001", False)
    # What the ERP made of it since is its own.
    entity = stored(PutItem(item(classes=classes)), body) | {"ProductGroup": "01205"}
    assert seen(PutItem(item(classes=classes)), entity).equal


@pytest.mark.parametrize("codes", [("01204", "01205"), ("0123456789",)])
def test_two_classes_of_one_scheme_or_one_too_long_are_refused(codes: tuple[str, ...]) -> None:
    classes = tuple(Classification("sap-material-group", code) for code in codes)
    with pytest.raises(Rejected, match="class-unwritable"):
        created(PutItem(item(classes=classes)))


def test_more_groups_than_there_are_names_are_refused() -> None:
    lines = [line(str(n), "SEAL", "1", substitutions=(FELT,)) for n in range(1, 110)]
    groups = {
        in_group(r)[0] for r in created(bom(*lines[:108]))["to_BillOfMaterialItem"]["results"]
    }
    assert len(groups) == 108
    with pytest.raises(Rejected, match="substitutes-too-many"):
        created(bom(*lines))


def test_a_bom_that_could_not_be_read_back_is_not_sent() -> None:
    lines = [line(str(n), "SEAL", "1") for n in range(1, 1502)]
    assert len(numbers_of(created(bom(*lines[:1500])))) == 1500
    with pytest.raises(Rejected, match="bom-too-long"):
        created(bom(*lines))
    with pytest.raises(Rejected, match="bom-too-long"):
        created(sealed(*lines[:1498]))


def test_each_row_is_given_to_one_line_by_number_first_then_in_order() -> None:
    rows = [("0010", "A"), ("0020", "A"), ("0030", "B"), ("0040", "A")]
    entity = stored(old := bom(*(line(n, c, "1") for n, c in rows)), created(old))
    new = bom(line("5", "A", "1"), line("20", "A", "1"), line("40", "A", "2"), line("50", "C", "1"))
    found = DRIVER.read(step_of(new), shown(new, entity))
    assert isinstance(found, Present)
    assert found.differences == (
        "Line 0050: missing, wanted C",
        "Line 0010 BillOfMaterialItemNumber: 0010, wanted 0005",
        "Line 0040 BillOfMaterialItemQuantity: 1.000, wanted 2",
        "Line 0040 BillOfMaterialItemUnit: PC, wanted PC",
        "Line 0030: B, wanted none",
    )


def test_texts_that_the_plant_added_to_a_bom_stay() -> None:
    put = bom(line("10", "SEAL", "2"))
    entity = stored(put, created(put))
    note = item_keys(entity, 9) | {"BillOfMaterialItemCategory": "T"}
    entity["to_BillOfMaterialItem"]["results"].append(note)
    found = DRIVER.read(step_of(put), shown(put, entity))
    assert isinstance(found, Present)
    assert found.equal


def test_lines_that_the_service_kept_back_are_never_taken_for_missing() -> None:
    put = bom(line("10", "SEAL", "2"))
    entity = stored(put, created(put))
    entity["to_BillOfMaterialItem"]["__next"] = "MaterialBOM?$skiptoken=1"
    with pytest.raises(Misconfigured, match="answer-incomplete"):
        DRIVER.read(step_of(put), shown(put, entity))


def test_a_bom_of_another_alternative_is_not_ours() -> None:
    put = bom(line("10", "SEAL", "2"))
    entity = stored(put, created(put)) | {"BillOfMaterialVariant": "2"}
    assert DRIVER.read(step_of(put), shown(put, entity)) == Absent()


def test_two_boms_of_one_alternative_are_a_conflict() -> None:
    put = bom(line("10", "SEAL", "2"))
    entity = stored(put, created(put))
    document = msgspec.json.encode({"d": {"results": [entity, entity]}})
    with pytest.raises(Conflict, match="bom-ambiguous"):
        DRIVER.read(step_of(put), Response(200, JSON, document))


def test_lines_that_differ_are_one_call_new_ones_first_and_deletions_last() -> None:
    old = bom(line("10", "A", "1"), line("20", "B", "1"))
    new = bom(line("10", "A", "2"), line("30", "C", "1"))
    found = seen(new, Target(old).header)
    write = DRIVER.write(step_of(new), found, "key-1")
    assert write is not None
    assert ("X-Request-ID", "key-1") in write.request.headers
    # What came of it, the next look shows.
    assert not write.completes
    sent = writes_of(write.request)
    assert [request.method for request in sent] == ["POST", "PATCH", "DELETE"]
    assert DRIVER.write(step_of(new), found, "key-1") == write


def test_a_line_that_differs_alone_is_a_call_of_its_own() -> None:
    old = bom(line("10", "A", "1"), line("20", "B", "1"))
    new = bom(line("10", "A", "2"), line("20", "B", "1"))
    write = DRIVER.write(step_of(new), seen(new, Target(old).header), "key-1")
    assert write is not None
    assert (write.request.method, write.completes) == ("PATCH", True)


def test_one_by_one_each_line_is_a_call_new_ones_first_and_deletions_last() -> None:
    old = bom(line("10", "A", "1"), line("20", "B", "1"))
    new = bom(line("10", "A", "2"), line("30", "C", "1"))
    target, sent = Target(old), []
    for _ in range(3):
        write = DRIVER.one_by_one().write(step_of(new), seen(new, target.header), "key-1")
        assert write is not None
        sent.append((write.request.method, write.completes))
        target.take(write.request)
    assert sent == [("POST", False), ("PATCH", False), ("DELETE", True)]


def test_more_lines_than_a_change_set_takes_are_several() -> None:
    first, more = line("1", "A", "1"), (line(str(n), "B", "1") for n in range(2, 403))
    target, new, sent = Target(bom(first)), bom(first, *more), []
    for _ in range(3):
        write = DRIVER.write(step_of(new), seen(new, target.header), "key-1")
        assert write is not None
        requests = writes_of(write.request)
        sent.append((len(requests), write.completes))
        for request in requests:
            target.take(request)
    assert sent == [(200, False), (200, False), (1, True)]
    assert seen(new, target.header).equal


def test_writes_carry_the_key_for_the_targets_log() -> None:
    write = DRIVER.write(step_of(PutItem(item())), Absent(), "key-1")
    assert write is not None
    assert dict(write.request.headers) == {
        "Accept": "application/json",
        "Accept-Language": "en",
        "Content-Type": "application/json",
        "X-Request-ID": "key-1",
    }


@pytest.mark.parametrize(
    ("amount", "per", "expected"),
    [
        ("25.00", "1000", ("25", 1000)),
        ("0.0123", "1", ("1.23", 100)),
        ("1.5", "0.1", ("15", 1)),
        ("0", "1", ("0", 1)),
    ],
)
def test_a_price_is_stated_in_payable_amounts(
    amount: str, per: str, expected: tuple[str, int]
) -> None:
    price = UnitPrice(Money(Decimal(amount), "EUR"), Quantity(Decimal(per), "H87"))
    assert price_in_erp(price) == (Decimal(expected[0]), expected[1])


@pytest.mark.parametrize(("amount", "per"), [("0.000001", "1000"), ("1", "100000")])
def test_a_price_that_the_erp_has_no_room_for_is_refused(amount: str, per: str) -> None:
    with pytest.raises(Rejected, match="price-not-representable"):
        created(record(amount, per))


def test_equal_prices_for_other_quantities_are_equal() -> None:
    assert observed(record(), **terms(NetPriceAmount="2.500", MaterialPriceUnitQty="100")).equal
    seen = observed(record(), **terms(NetPriceAmount="2.600", MaterialPriceUnitQty="100"))
    assert body_of(next_write(record(), seen)) == {
        "NetPriceAmount": "25",
        "Currency": "EUR",
        "MaterialPriceUnitQty": "1000",
        "PurchaseOrderPriceUnit": "PC",
    }


def terms(**changed: Any) -> dict[str, Any]:
    """The organisation's row with some fields changed by somebody."""
    (row,) = stored(record(), created(record()))["to_PurgInfoRecdOrgPlantData"]["results"]
    return {"to_PurgInfoRecdOrgPlantData": {"results": [row | changed]}}


def test_what_buyers_set_in_an_info_record_is_left_alone() -> None:
    row = terms(IsOrderAcknRqd=True, PurchasingGroup="007", StandardPurchaseOrderQuantity="500")
    assert observed(record(), **row).equal


def test_a_minimum_follows_the_contract_and_what_is_usual_is_no_less() -> None:
    (row,) = created(record(minimum=TWENTY))["to_PurgInfoRecdOrgPlantData"]["results"]
    assert row["MinimumPurchaseOrderQuantity"] == "20"
    assert row["StandardPurchaseOrderQuantity"] == "20"
    (row,) = created(record(minimum=Quantity(Decimal("0.5"), "H87")))[
        "to_PurgInfoRecdOrgPlantData"
    ]["results"]
    assert row["MinimumPurchaseOrderQuantity"] == "0.5"
    assert row["StandardPurchaseOrderQuantity"] == "1"


def test_a_contract_that_says_no_minimum_leaves_that_of_the_buyers() -> None:
    (row,) = created(record())["to_PurgInfoRecdOrgPlantData"]["results"]
    assert "MinimumPurchaseOrderQuantity" not in row
    assert observed(record(), **terms(MinimumPurchaseOrderQuantity="7.000")).equal


@pytest.mark.parametrize("held", ["0.000", "7.000"])
def test_another_minimum_is_changed_and_nothing_else(held: str) -> None:
    wanted = record(minimum=TWENTY)
    assert observed(wanted, **terms(MinimumPurchaseOrderQuantity="20.000")).equal
    seen = observed(wanted, **terms(MinimumPurchaseOrderQuantity=held))
    assert body_of(next_write(wanted, seen)) == {"MinimumPurchaseOrderQuantity": "20"}


@pytest.mark.parametrize(
    "minimum", [Quantity(Decimal(20), "XBX"), Quantity(Decimal("0.0001"), "H87")]
)
def test_a_minimum_that_the_erp_has_no_room_for_is_refused(minimum: Quantity) -> None:
    with pytest.raises(Rejected, match="minimum-not-representable"):
        created(record(minimum=minimum))


LIMITED = record(under_tolerance=Decimal(5), over_tolerance=Decimal("2.5"), purchasing_group="C01")


def test_tolerances_and_who_buys_are_in_a_new_info_record() -> None:
    (row,) = created(LIMITED)["to_PurgInfoRecdOrgPlantData"]["results"]
    assert row["UnderdelivTolrtdLmtRatioInPct"] == "5"
    assert row["OverdelivTolrtdLmtRatioInPct"] == "2.5"
    assert row["UnlimitedOverdeliveryIsAllowed"] is False
    assert row["PurchasingGroup"] == "C01"
    (row,) = created(record())["to_PurgInfoRecdOrgPlantData"]["results"]
    assert not {name for name in row if "deliv" in name and "Tolrtd" in name}
    assert "UnlimitedOverdeliveryIsAllowed" not in row
    assert row["PurchasingGroup"] == "001"


def test_an_info_record_that_nobody_is_named_to_buy_by_is_refused_and_one_that_is_there_stays() -> (
    None
):
    nobody = record(purchasing_group=UNSET)
    with pytest.raises(Misconfigured) as refused:
        created(nobody)
    assert (refused.value.code, refused.value.where, refused.value.what, refused.value.remedy) == (
        "purchasing-group-missing",
        "info-record/17300001/SEAL-7/1010/1010",
        "Nobody is named who buys for plant 1010: the ERP has to be told a purchasing group",
        "Set `purchasing_group` in its [[rules.plants]]; then state it again, or replay its"
        " message",
    )
    for group in ("007", ""):
        held = stored(record(), created(record())) | terms(PurchasingGroup=group)
        found = DRIVER.read(step_of(nobody), shown(nobody, held))
        assert isinstance(found, Present)
        assert found.equal


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        ({"UnderdelivTolrtdLmtRatioInPct": "5.0", "OverdelivTolrtdLmtRatioInPct": "2.5"}, {}),
        ({"UnderdelivTolrtdLmtRatioInPct": "0.0"}, {"UnderdelivTolrtdLmtRatioInPct": "5"}),
        ({"OverdelivTolrtdLmtRatioInPct": "7.0"}, {"OverdelivTolrtdLmtRatioInPct": "2.5"}),
        (
            {"UnlimitedOverdeliveryIsAllowed": True},
            {"UnlimitedOverdeliveryIsAllowed": False},
        ),
        ({"PurchasingGroup": ""}, {"PurchasingGroup": "C01"}),
        ({"PurchasingGroup": "007"}, {}),  # the buyers have said so
    ],
)
def test_tolerances_follow_the_contract_and_who_buys_is_filled_in(
    held: dict[str, Any], wanted: dict[str, Any]
) -> None:
    (row,) = created(LIMITED)["to_PurgInfoRecdOrgPlantData"]["results"]
    seen = observed(LIMITED, **terms(**row | held))
    assert seen.equal is (not wanted)
    if wanted:
        assert body_of(next_write(LIMITED, seen)) == wanted


def test_what_a_contract_does_not_limit_is_the_buyers_to_limit() -> None:
    row = terms(OverdelivTolrtdLmtRatioInPct="7.0", UnlimitedOverdeliveryIsAllowed=True)
    assert observed(record(), **row).equal
    seen = observed(LIMITED, **terms(UnlimitedOverdeliveryIsAllowed=True))
    assert "UnlimitedOverdeliveryIsAllowed: true, wanted false" in seen.differences


@pytest.mark.parametrize("percent", ["100", "2.55", "1000"])
@pytest.mark.parametrize("name", ["under_tolerance", "over_tolerance"])
def test_a_tolerance_that_the_erp_has_no_room_for_is_refused(name: str, percent: str) -> None:
    agreed: dict[str, Any] = {name: Decimal(percent)}
    with pytest.raises(Rejected, match="tolerance-not-representable"):
        created(record(**agreed))


def test_an_open_price_ends_on_the_last_day_there_is() -> None:
    (row,) = created(record(last_day=None))["to_PurgInfoRecdOrgPlantData"]["results"]
    assert row["PriceValidityEndDate"] == "/Date(253402214400000)/"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"PurgDocOrderQuantityUnit": "KG"}, "PurgDocOrderQuantityUnit: KG, wanted PC"),
        ({"OrderItemQtyToBaseQtyNmrtr": "10"}, "OrderItemQtyToBaseQty: 10/1, wanted 1/1"),
        ({"IsDeleted": True}, "IsDeleted"),
    ],
)
def test_what_all_plants_share_in_an_info_record_is_left_to_people(
    changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(Conflict, match=message):
        next_write(record(), observed(record(), **changed))


def test_terms_of_another_plant_are_added_under_the_same_number() -> None:
    request = next_write(record(), observed(record(), **terms(Plant="1020")))
    assert request.method == "POST"
    assert request.path.endswith(
        "/A_PurchasingInfoRecord('5300000001')/to_PurgInfoRecdOrgPlantData"
    )
    assert body_of(request)["Plant"] == "1010"


# --- values ---


@pytest.mark.parametrize(
    ("same", "left", "right", "expected"),
    [
        (same_number, "1.000", "1", True),
        (same_number, "", "0.000", True),
        (same_number, "1.001", "1", False),
        (same_number, "abc", "abc", False),
        (same_id, "000000000000000042", "42", True),
        (same_id, "0A", "A", False),
        (same_text, "Shaft  seal ", "Shaft seal", True),
        (same_text, "Shaft seal", "shaft seal", False),
        (same_date, "/Date(253402214400000)/", "/Date(253402214400000+0000)/", True),
        (same_date, "/Date(0)/", "/Date(86400000)/", False),
        (same_date, "/Date(99999999999999999)/", "/Date(0)/", False),
        (same_unit, "PC", "ST", True),
        (same_unit, "??", "PC", False),
    ],
)
def test_values_are_the_same_however_they_are_written(
    same: Any, left: str, right: str, expected: bool
) -> None:
    assert same(left, right) is expected


@given(st.dates(date(1800, 1, 1)))
def test_a_day_survives_its_literal(day: date) -> None:
    assert odata.parse_date(odata.date_literal(day)) == day


# --- answers ---


def confirmed(operation: Operation, **headers: str) -> Confirmed:
    body = stored(operation, created(operation))
    response = Response(201, JSON | headers, msgspec.json.encode({"d": body}))
    return DRIVER.confirm(step_of(operation), response)


def test_a_create_is_confirmed_with_the_targets_own_number() -> None:
    assert [confirmed(operation).reference for operation in OPERATIONS] == [
        "ECO-7",
        "SEAL-7",
        "SEAL-7",
        "00000042",
        "5300000001",
    ]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_change_is_confirmed_without_a_body(operation: Operation) -> None:
    assert DRIVER.confirm(step_of(operation), Response(204, {}, b"")) == Confirmed()


def test_what_the_target_has_to_say_about_a_success_is_kept() -> None:
    said = (
        '{"code":"MM/1","message":"Check the group","severity":"warning",'
        '"details":[{"code":"","message":"No planner"}]}'
    )
    kept = confirmed(VIEW, **{"sap-message": said}).warnings
    assert kept == ("MM/1: Check the group", "No planner")
    assert confirmed(VIEW, **{"sap-message": "<xml>\n"}).warnings == ("<xml> ",)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_confirmation_of_another_object_is_not_tried_again(operation: Operation) -> None:
    other = {
        "Product": "OTHER",
        "Material": "OTHER",
        "Supplier": "1",
        "Plant": "1010",
        "ChangeNumber": "OTHER",
        "PurchasingInfoRecord": "53000001",
    }
    response = Response(201, JSON, msgspec.json.encode({"d": other}))
    with pytest.raises(Conflict, match="answer-about-another"):
        DRIVER.confirm(step_of(operation), response)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_confirmation_that_names_nothing_is_in_doubt(operation: Operation) -> None:
    with pytest.raises(InDoubt, match="answer-nameless"):
        DRIVER.confirm(step_of(operation), Response(201, JSON, b'{"d":{"Plant":"1010"}}'))


@pytest.mark.parametrize("operation", OPERATIONS[:3])
def test_an_object_the_target_does_not_know_is_absent(operation: Operation) -> None:
    response = error(404, "/IWBEP/CM_MGW_RT/020", "Resource not found for segment 'A_ProductType'")
    assert DRIVER.read(step_of(operation), response) == Absent()


@pytest.mark.parametrize("operation", OPERATIONS[3:])
def test_an_empty_list_is_absent(operation: Operation) -> None:
    response = Response(200, JSON, b'{"d":{"results":[]}}')
    assert DRIVER.read(step_of(operation), response) == Absent()


HIDDEN = Response(200, JSON, error(400, "M3/305", "Material SEAL-7 is being changed").body)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_error_inside_an_answer_that_says_success_is_told_in_its_own_words(
    operation: Operation,
) -> None:
    says = "it says M3/305: Material SEAL-7 is being changed"
    with pytest.raises(Misconfigured, match=f"answer-unknown: .*{says}"):
        DRIVER.read(step_of(operation), HIDDEN)
    with pytest.raises(InDoubt, match=f"answer-unusable: .*{says}"):
        DRIVER.confirm(step_of(operation), HIDDEN)


PAGE = Response(200, {"content-type": "text/html"}, b"<html><form>User</form></html>")
READ: list[tuple[Response, type[Failure], str]] = [
    (PAGE, Misconfigured, "answer-is-a-page"),
    (Response(200, JSON, b""), Unavailable, "answer-unusable"),
    (Response(200, JSON, b'{"d":{"Prod'), Unavailable, "answer-unusable"),
    (Response(200, JSON, b'{"d":{"Product":7}}'), Misconfigured, "answer-unknown"),
    (Response(200, JSON, b'{"value":[]}'), Misconfigured, "answer-unknown"),
    (Response(302, {"location": "/login"}, b""), Misconfigured, "interface-unknown"),
    (error(404, "/IWFND/MED/170", "No service found"), Misconfigured, "interface-unknown"),
    (Response(404, {"content-type": "text/html"}, b"<p>"), Misconfigured, "interface-unknown"),
    (Response(401, {}, b"<html>"), Misconfigured, "not-authorised"),
    (error(403, "S/1", "No authorisation"), Misconfigured, "not-authorised"),
    (error(500, "S/1", "Short dump"), Unavailable, "target-failed"),
    (error(503, "S/1", "Down", **{"retry-after": "30"}), Unavailable, "target-away"),
    (error(429, "S/1", "Slow down"), Unavailable, "rate-limited"),
    (error(400, "S/1", "Wrong filter"), Rejected, "target-refused"),
]
WRITE: list[tuple[Response, type[Failure], str]] = [
    (PAGE, InDoubt, "answer-unusable"),
    (Response(201, JSON, b""), InDoubt, "answer-unusable"),
    (Response(201, JSON, b'{"d":{"Prod'), InDoubt, "answer-unusable"),
    (Response(202, JSON, b""), InDoubt, "status-202"),
    (Response(302, {"location": "/login"}, b""), InDoubt, "status-302"),
    (error(500, "S/1", "Short dump"), InDoubt, "status-500"),
    (Response(502, {}, b"<html>"), InDoubt, "status-502"),
    (error(400, "ZSANDBOX/BOM_EXISTS", "A BOM exists"), Unavailable, "exists-already"),
    (error(400, "M3/5", "Material X already exists"), Unavailable, "exists-already"),
    (error(400, "M3/6", "The material X does not exist"), Rejected, "target-refused"),
    (error(409, "S/1", "Conflict"), Unavailable, "exists-already"),
    (error(412, "S/1", "Stale"), Unavailable, "changed-meanwhile"),
    (error(428, "S/1", "No tag"), Unavailable, "changed-meanwhile"),
    (error(404, "/IWBEP/CM_MGW_RT/020", "Gone"), Unavailable, "changed-meanwhile"),
    (error(404, "M3/7", "Plant not found"), Rejected, "target-refused"),
    (error(404, "/IWFND/MED/170", "No service found"), Misconfigured, "interface-unknown"),
    (error(423, "S/1", "Locked"), Busy, "locked"),
    (error(400, "M3/8", "Material X is locked by user MILLER"), Busy, "locked"),
    (error(400, "M3/8", "Number range MATERIALNR is locked"), Busy, "locked"),
    (error(400, "F5/201", "Posting period 011 2026 is not open"), Busy, "locked"),
    (error(429, "S/1", "Slow down"), Unavailable, "rate-limited"),
    (error(403, "S/1", "No authorisation"), Misconfigured, "not-authorised"),
    (Response(403, {}, b"CSRF token validation failed"), Unavailable, "session-ended"),
    (error(403, "S/1", "CSRF token validation failed"), Unavailable, "session-ended"),
    (error(401, "S/1", "User locked by administrator"), Misconfigured, "not-authorised"),
    (Response(401, {}, b"<html>"), Misconfigured, "not-authorised"),
    (Response(415, {}, b""), Misconfigured, "interface-unknown"),
]


@pytest.mark.parametrize(("response", "kind", "code"), READ)
def test_a_read_that_fails_says_what_to_do(
    response: Response, kind: type[Failure], code: str
) -> None:
    with pytest.raises(kind) as failed:
        DRIVER.read(step_of(PutItem(item())), response)
    assert failed.value.code == code


@pytest.mark.parametrize(("response", "kind", "code"), WRITE)
def test_a_write_that_fails_says_whether_it_may_have_happened(
    response: Response, kind: type[Failure], code: str
) -> None:
    with pytest.raises(kind) as failed:
        DRIVER.confirm(step_of(PutItem(item())), response)
    assert failed.value.code == code


@pytest.mark.parametrize("ask", [DRIVER.read, DRIVER.confirm])
def test_a_target_that_is_down_is_left_alone_for_as_long_as_it_says(
    ask: Callable[[Step, Response], object],
) -> None:
    with pytest.raises((Unavailable, InDoubt)) as down:
        ask(step_of(PutItem(item())), error(503, "S/1", "Down", **{"retry-after": "30"}))
    assert down.value.retry_after_s == 30.0


def test_a_refusal_keeps_the_targets_words_and_the_field() -> None:
    with pytest.raises(Rejected) as refused:
        DRIVER.confirm(
            step_of(VIEW), error(400, "M3/305", "Plant 9999\nis not defined" + "!" * 999)
        )
    assert refused.value.what.startswith("Status 400, M3/305: Plant 9999 is not defined!!!")
    assert len(refused.value.what) < 400
    assert refused.value.where == "Material"


def test_the_holder_of_a_lock_is_named() -> None:
    with pytest.raises(Unavailable, match="MILLER"):
        DRIVER.confirm(step_of(VIEW), error(400, "M3/8", "Object is locked by user MILLER"))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("7", 7.0),
        ("99999999999", 3600.0),
        ("-5", None),
        ("1e9", None),
        ("nan", None),
        ("", None),
        ("\u0663", None),
        ("Mon, 23 Nov 2026 10:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2020 10:00:30 GMT", 0.0),
        ("Mon, 23 Nov 9999 10:00:30 GMT", 3600.0),
    ],
)
def test_a_pause_the_target_asks_for_is_kept_within_an_hour(
    header: str, expected: float | None
) -> None:
    now = "Mon, 23 Nov 2026 10:00:00 GMT"
    with pytest.raises(Unavailable) as throttled:
        DRIVER.confirm(
            step_of(VIEW), error(429, "S/1", "Slow", **{"retry-after": header, "date": now})
        )
    assert throttled.value.retry_after_s == expected


def test_an_operation_of_another_system_is_a_wrong_route() -> None:
    with pytest.raises(Misconfigured, match="operation-unsupported"):
        DRIVER.observe(step_of(PublishItem(item())))


# --- answers to change sets ---

PUT = bom(line("10", "SEAL-7", "2"))
SAID = {"sap-message": '{"code":"","message":"Check the BOM","severity":"info","details":[]}'}
ONE_ONLY = "Default changeset implementation allows only one operation"


def added(**fields: str) -> Response:
    entity = {"Material": "PUMP", "Plant": "1010", "BillOfMaterial": "00000042"} | fields
    return Response(201, JSON | SAID, msgspec.json.encode({"d": entity}))


CHANGED = Response(204, SAID, b"")


def test_a_change_set_is_confirmed_where_each_of_its_writes_is() -> None:
    answer = in_batch(carried_out(CHANGED, added(), CHANGED))
    confirmed = DRIVER.confirm(step_of(PUT), answer)
    assert confirmed == Confirmed("00000042", warnings=("Check the BOM",), is_full=False)
    assert DRIVER.confirm(step_of(PUT), in_batch(carried_out(CHANGED))).reference == ""


@pytest.mark.parametrize(
    ("response", "kind", "code"),
    [
        (in_batch(http(error(400, "M3/305", "No SEAL"))), Rejected, "target-refused"),
        (in_batch(http(error(400, "M3/8", "Is locked by MILLER"))), Unavailable, "locked"),
        (in_batch(http(error(412, "S/1", "Stale"))), Unavailable, "changed-meanwhile"),
        (in_batch(http(error(500, "S/1", "Short dump"))), InDoubt, "status-500"),
        (in_batch(http(error(500, "", ONE_ONLY))), Misconfigured, "change-sets-refused"),
        (error(400, "", ONE_ONLY), Misconfigured, "change-sets-refused"),
        # As services answer that are not by the book.
        (in_batch(carried_out(CHANGED, error(400, "M3/305", "No SEAL"))), Rejected,
         "target-refused"),
        (in_batch(carried_out(CHANGED, Response(202, {}, b""))), InDoubt, "status-202"),
        (in_batch(carried_out(CHANGED, Response(200, JSON, b""))), InDoubt, "answer-unusable"),
        (in_batch(carried_out(added(Material="OTHER"))), Conflict, "answer-about-another"),
        (in_batch(carried_out(added(Material=""))), InDoubt, "answer-nameless"),
        (in_batch(carried_out(CHANGED), carried_out(CHANGED)), InDoubt, "answer-unusable"),
        (in_batch(), InDoubt, "answer-unusable"),
        (PAGE, InDoubt, "answer-unusable"),
        (Response(202, JSON, b""), InDoubt, "status-202"),
        (Response(404, {}, b""), Misconfigured, "interface-unknown"),
        (Response(403, {}, b"CSRF token validation failed"), Unavailable, "session-ended"),
    ],
)  # fmt: skip
def test_a_change_set_that_fails_says_whether_it_may_have_happened(
    response: Response, kind: type[Failure], code: str
) -> None:
    with pytest.raises(kind) as failed:
        DRIVER.confirm(step_of(PUT), response)
    assert failed.value.code == code


def test_a_change_set_is_refused_in_the_targets_words() -> None:
    refusal = error(400, "M3/305", "Material SEAL-7 is not maintained in plant 1010")
    with pytest.raises(Rejected, match="Material SEAL-7 is not maintained") as refused:
        DRIVER.confirm(step_of(PUT), in_batch(http(refusal)))
    assert refused.value.where == "Material"


def test_what_is_not_sent_in_change_sets_is_not_answered_so() -> None:
    with pytest.raises(InDoubt, match="status-202"):
        DRIVER.confirm(step_of(PutItem(item())), in_batch(carried_out(CHANGED)))


# --- garbage ---

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@st.composite
def damaged(draw: st.DrawFn, operation: Operation) -> bytes:
    """A good answer in which one field, or one of the first child, holds anything at all."""
    entity = stored(operation, created(operation))
    children = [v["results"][0] for v in entity.values() if isinstance(v, dict) and "results" in v
                and v["results"]]  # fmt: skip
    row = draw(st.sampled_from([entity, *children]))
    row[draw(st.sampled_from(sorted(row)))] = draw(json_values)
    return shown(operation, entity).body


@given(st.data(), st.sampled_from(OPERATIONS), st.integers(100, 599) | st.just(200))
def test_garbage_raises_only_canonical_failures(
    data: st.DataObject, operation: Operation, status: int
) -> None:
    body = data.draw(
        st.binary(max_size=60)
        | json_values.map(msgspec.json.encode)
        | json_values.map(lambda value: msgspec.json.encode({"d": value}))
        | json_values.map(lambda value: msgspec.json.encode({"d": {"results": [value]}}))
        | json_values.map(lambda value: msgspec.json.encode({"error": value}))
        | damaged(operation)
    )
    headers = data.draw(
        st.dictionaries(
            st.sampled_from(["content-type", "retry-after", "date", "sap-message"]), st.text()
        )
    )
    step, response = step_of(operation), Response(status, headers, body)
    for answer in (DRIVER.read, DRIVER.confirm):
        try:
            result = answer(step, response)
            if isinstance(result, Present):
                DRIVER.write(step, result, "key-1")
        except Failure:
            continue
