"""From the engineering BOM to the plants' BOMs at the ERP stand-in, over what its people maintain.

The stand-in is a server of its own and is reached through the channel that production uses; the
plans are those of the flow, by rules of the tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from canonical.bom_rules import BomRules
from canonical.codec import encode
from canonical.effects import Plan
from canonical.errors import Conflict, Rejected
from canonical.exchange import Request
from canonical.facts import Document
from canonical.operations import ExtendToPlant, PutBom, PutItem
from canonical.rules import Rules
from handlers.systems.s4 import odata
from handlers.systems.s4.bill_of_material import SERVICE
from tests.contract.test_drivers_against_stand_ins import Client, erp_client
from tests.fixtures import gearbox
from tests.fixtures.gearbox import DEFINITIONS, RULES, STRUCTURES, change, item, line, plan
from tests.fixtures.stand_ins import serving

SEED = {
    "plants": ["1010", "2010"],
    "purchasing_organizations": {"1010": ["1010", "2010"]},
    "suppliers": [],
}
RELEASED = change("GB-100")
# What people in the plant maintain in a line.
MAINTAINED: dict[str, object] = {
    "ComponentScrapInPercent": "2.50",
    "OperationScrapInPercent": "1.00",
    "IsNetScrap": True,
}
KEY = (
    *("BillOfMaterial", "BillOfMaterialCategory", "BillOfMaterialVariant", "BillOfMaterialVersion"),
    *("BillOfMaterialItemNodeNumber", "HeaderChangeDocument", "Material", "Plant"),
)


@pytest.fixture
async def erp(tmp_path: Path) -> AsyncIterator[Client]:
    async with (
        serving("erp", tmp_path / "erp", SEED) as stand_in,
        erp_client(stand_in) as client,
    ):
        yield client


def by_rules(**stated: Any) -> Rules:
    return msgspec.structs.replace(RULES, boms=msgspec.convert(stated, BomRules))


async def carry_out(erp: Client, made: Plan) -> None:
    """Everything that the plan asks of items and BOMs is true in the ERP."""
    for step in made.steps:
        if isinstance(step.operation, PutItem | ExtendToPlant | PutBom):
            await erp.apply(step.operation)


async def released(erp: Client, *documents: Document, rules: Rules = RULES) -> None:
    await carry_out(erp, plan(RELEASED, *documents, rules=rules))


async def rows_of(erp: Client, parent: str, plant: str) -> dict[str, dict[str, Any]]:
    """Lines of the BOM by component; the components of a BOM are different ones."""
    rows = await erp.rows("MaterialBOMItem")
    found = [row for row in rows if (row["Material"], row["Plant"]) == (parent, plant)]
    by_component = {row["BillOfMaterialComponent"]: row for row in found}
    assert len(by_component) == len(found)
    return by_component


async def maintain(erp: Client, row: dict[str, Any], **fields: object) -> None:
    """What somebody in the plant does by a transaction of the ERP."""
    path = odata.address(SERVICE, "MaterialBOMItem", **{name: row[name] for name in KEY})
    headers = (("Content-Type", "application/json"), ("If-Match", "*"))
    answer = await erp.perform(Request("PATCH", path, headers=headers, body=encode(fields)))
    assert answer.status == 204


async def add_own(erp: Client, like: dict[str, Any], component: str, **fields: object) -> None:
    """A line that the plant adds to the BOM of another one; past all rules, as a text is too."""
    own = {name: like[name] for name in (*KEY, "BillOfMaterialItemUnit")}
    own |= {"BillOfMaterialItemNodeNumber": f"{9000 + sum(map(ord, component)):08}"}
    own |= {"BillOfMaterialComponent": component, "BillOfMaterialItemQuantity": "1.000"}
    own |= {"BillOfMaterialItemCategory": "L", "BillOfMaterialItemNumber": "0900"} | fields
    await erp.plant("MaterialBOMItem", **own)


def shaft(*lines: Any, label: str = "B") -> list[Document]:
    """SH-10 in another revision, of these lines per 100 pieces; the gearbox around it as it was."""
    others = [known for known in DEFINITIONS if known not in (item("SH-10", "make"), STRUCTURES[1])]
    return [*others, item("SH-10", "make", label), gearbox.bom("SH-10", *lines, base="100",
                                                                label=label)]  # fmt: skip


async def test_scrap_survives_another_quantity_and_another_revision_of_the_assembly(
    erp: Client,
) -> None:
    await released(erp, *DEFINITIONS)
    before = await rows_of(erp, "SH-10", "1010")
    for row in before.values():
        await maintain(erp, row, **MAINTAINED)
    changed = shaft(line("ROD-1", "280", "KGM"), line("SEAL-1", "2", position="30"), label="C")
    await released(erp, *changed)
    after = await rows_of(erp, "SH-10", "1010")
    quantities = {one: row["BillOfMaterialItemQuantity"] for one, row in after.items()}
    assert quantities == {"ROD-1": "280.000", "SEAL-1": "2.000"}
    assert after["SEAL-1"]["BillOfMaterialItemNumber"] == "0030"
    for component, row in after.items():
        assert {name: row[name] for name in MAINTAINED} == MAINTAINED
        assert [row[name] for name in KEY] == [before[component][name] for name in KEY]


async def test_scrap_of_a_replaced_component_is_not_that_of_what_replaces_it(erp: Client) -> None:
    await released(erp, *DEFINITIONS)
    for row in (await rows_of(erp, "SH-10", "1010")).values():
        await maintain(erp, row, **MAINTAINED)
    changed = [*shaft(line("ROD-1", "260", "KGM"), line("SEAL-2", "2", position="20")),
               item("SEAL-2")]  # fmt: skip
    await released(erp, *changed)
    after = await rows_of(erp, "SH-10", "1010")
    assert sorted(after) == ["ROD-1", "SEAL-2"]
    assert {name: after["ROD-1"][name] for name in MAINTAINED} == MAINTAINED
    assert after["SEAL-2"]["ComponentScrapInPercent"] in ("0", "0.00")
    assert after["SEAL-2"]["IsNetScrap"] is False


async def test_engineering_writes_no_scrap_and_says_so(erp: Client) -> None:
    wasteful = msgspec.structs.replace(line("ROD-1", "260", "KGM"), scrap_percent=Decimal("2.5"))
    made = plan(RELEASED, *shaft(wasteful, line("SEAL-1", "2", position="20")))
    await carry_out(erp, made)
    [put] = [
        step.operation
        for step in made.steps
        if isinstance(step.operation, PutBom) and step.identity == "1010|erp|bom|SH-10|put-bom"
    ]
    rows = await rows_of(erp, "SH-10", "1010")
    await maintain(erp, rows["SEAL-1"], BillOfMaterialItemQuantity="9.000")
    await erp.apply(put)
    assert erp.warnings == ["Percentages of scrap of SH-10 are not sent: line 10 (ROD-1)"]
    rows = await rows_of(erp, "SH-10", "1010")
    assert rows["ROD-1"]["ComponentScrapInPercent"] in ("0", "0.00")


OWN = {
    "plant_owned": [
        {"plants": ["1010"], "prefixes": ["PKG-"]},
        {"plants": ["1010"], "line_categories": ["N", "T"]},
    ]
}


async def test_lines_of_the_plants_own_survive_what_engineering_changes(erp: Client) -> None:
    rules = by_rules(**OWN)
    await released(erp, *DEFINITIONS, rules=rules)
    like = (await rows_of(erp, "SH-10", "1010"))["SEAL-1"]
    await add_own(erp, like, "PKG-10", ComponentScrapInPercent="4.00")
    await add_own(erp, like, "GREASE", BillOfMaterialItemCategory="N")
    await add_own(erp, like, "", BillOfMaterialItemCategory="T", BOMItemDescription="Pack dry")
    before = await rows_of(erp, "SH-10", "1010")
    changed = [*shaft(line("ROD-1", "280", "KGM"), line("SEAL-2", "2", position="20")),
               item("SEAL-2")]  # fmt: skip
    await released(erp, *changed, rules=rules)
    after = await rows_of(erp, "SH-10", "1010")
    assert sorted(after) == ["", "GREASE", "PKG-10", "ROD-1", "SEAL-2"]
    for own in ("", "GREASE", "PKG-10"):
        assert after[own] == before[own]
    # Nothing is left to do.
    made = plan(RELEASED, *changed, rules=rules)
    for step in made.steps:
        if isinstance(step.operation, PutBom):
            await erp.assert_equal(step.operation)


async def test_what_the_plant_owns_is_not_written_though_engineering_states_it(
    erp: Client,
) -> None:
    rules = by_rules(**OWN)
    boxed = [*shaft(line("ROD-1", "260", "KGM"), line("PKG-10", "3", position="20")),
             item("PKG-10")]  # fmt: skip
    await released(erp, *boxed, rules=rules)
    assert sorted(await rows_of(erp, "SH-10", "1010")) == ["ROD-1"]
    assert sorted(await rows_of(erp, "SH-10", "2010")) == ["PKG-10", "ROD-1"]
    like = (await rows_of(erp, "SH-10", "1010"))["ROD-1"]
    await add_own(erp, like, "PKG-10", BillOfMaterialItemQuantity="1.000")
    await released(erp, *boxed, rules=rules)
    rows = await rows_of(erp, "SH-10", "1010")
    assert rows["PKG-10"]["BillOfMaterialItemQuantity"] == "1.000"


async def test_a_line_of_which_nothing_is_known_holds_up_the_bom_where_kinds_of_items_decide(
    erp: Client,
) -> None:
    rules = by_rules(plant_owned=[{"plants": ["1010"], "families": ["Packaging"]}])
    await released(erp, *DEFINITIONS, rules=rules)
    like = (await rows_of(erp, "SH-10", "1010"))["SEAL-1"]
    await add_own(erp, like, "GREASE")
    before = await erp.rows("MaterialBOMItem")
    changed = shaft(line("ROD-1", "280", "KGM"), line("SEAL-1", "2", position="20"))
    with pytest.raises(Conflict, match="GREASE, wanted none"):
        await released(erp, *changed, rules=rules)
    assert await erp.rows("MaterialBOMItem") == before


async def test_a_plant_builds_by_its_own_alternative_with_what_it_takes_in_place(
    erp: Client,
) -> None:
    rules = by_rules(
        uses=[{"plant": "2010", "alternative": "2"}],
        left_out=[{"plants": ["2010"], "prefixes": ["WIRE-"]}],
        replacements=[{"plants": ["2010"], "component": "SEAL-1", "by": "SEAL-2", "ratio": [1, 2]}],
    )
    await released(erp, *DEFINITIONS, item("SEAL-2"), rules=rules)
    headers = {
        (row["Material"], row["Plant"]): row["BillOfMaterialVariant"]
        for row in await erp.rows("MaterialBOM")
    }
    assert headers == {
        ("GB-100", "1010"): "1",
        ("SH-10", "1010"): "1",
        ("GB-100", "2010"): "2",
        ("SH-10", "2010"): "2",
    }
    assert sorted(await rows_of(erp, "GB-100", "2010")) == ["BOLT-1", "SH-10"]
    assert sorted(await rows_of(erp, "GB-100", "1010")) == ["BOLT-1", "SH-10", "WIRE-1"]
    taken = await rows_of(erp, "SH-10", "2010")
    assert sorted(taken) == ["ROD-1", "SEAL-2"]
    assert Decimal(taken["SEAL-2"]["BillOfMaterialItemQuantity"]) == 1
    views = {(row["Product"], row["Plant"]) for row in await erp.rows("A_ProductPlant")}
    assert ("SEAL-2", "2010") in views
    assert not views & {("SEAL-1", "2010"), ("WIRE-1", "2010"), ("SEAL-2", "1010")}


async def test_a_component_of_a_level_below_is_refused_before_its_item_is_in_the_plant(
    erp: Client,
) -> None:
    """Why BOMs follow the views of what they name."""
    made = plan(RELEASED, *DEFINITIONS)
    for step in made.steps:
        if isinstance(step.operation, PutItem):
            await erp.apply(step.operation)
    [put] = [s.operation for s in made.steps if s.identity == "1010|erp|bom|SH-10|put-bom"]
    assert isinstance(put, PutBom)
    with pytest.raises(Rejected, match=r"not maintained in plant 1010|NOT_IN_PLANT"):
        await erp.apply(put)
    await carry_out(erp, made)
    await erp.assert_equal(put)
