"""What the ERP held before a write goes back by an operation of its own: at the stand-in, which is
reached through the channel that production uses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from canonical.connector import Former
from canonical.facts import Document
from canonical.operations import ExtendToPlant, Operation, PutBom, PutInfoRecord, PutItem
from canonical.quantity import Quantity
from handlers.systems.s4.outbound import DRIVER
from tests.contract.test_drivers_against_stand_ins import (
    ERP_SEED,
    Client,
    erp_client,
    put_materials,
    record,
    scales,
    step_of,
)
from tests.contract.test_plant_lines_at_the_erp import (
    MAINTAINED,
    RELEASED,
    SEED,
    add_own,
    maintain,
    released,
    rows_of,
    shaft,
)
from tests.fixtures.gearbox import DEFINITIONS, item, line, plan
from tests.fixtures.stand_ins import serving

# What a line is told apart by; its node is another one where it was deleted and made anew.
SAID = (
    *("BillOfMaterialComponent", "BillOfMaterialItemNumber", "BillOfMaterialItemQuantity"),
    *("BillOfMaterialItemUnit", "BillOfMaterialItemCategory", "FixedQuantity"),
    *("AlternativeItemGroup", "AlternativeItemPriority", "ComponentScrapInPercent"),
)


@pytest.fixture
async def erp(tmp_path: Path) -> AsyncIterator[Client]:
    async with (
        serving("erp", tmp_path / "erp", SEED) as stand_in,
        erp_client(stand_in) as client,
    ):
        yield client


def bom_of(documents: list[Document]) -> PutBom:
    """What the plan of these documents asks of the shaft's BOM in plant 1010."""
    steps = plan_of(documents)
    return next(
        step.operation
        for step in steps
        if isinstance(step.operation, PutBom) and (step.object_id, step.plant) == ("SH-10", "1010")
    )


def plan_of(documents: list[Document]) -> Any:
    return plan(RELEASED, *documents).steps


async def before(erp: Client, operation: Operation) -> Former:
    """What the driver says of the object as it is."""
    assert DRIVER.former is not None
    return DRIVER.former(step_of(operation), await erp.observe(operation))


async def said(erp: Client) -> dict[str, dict[str, Any]]:
    return {
        component: {name: row.get(name) for name in SAID}
        for component, row in (await rows_of(erp, "SH-10", "1010")).items()
    }


ROD, SEAL = line("ROD-1", "260", "KGM"), line("SEAL-1", "2", position="20")


@pytest.mark.parametrize(
    "changed",
    [
        shaft(line("ROD-1", "280", "KGM"), SEAL, label="C"),
        shaft(ROD, line("SEAL-1", "2", position="30"), label="C"),
        [*shaft(ROD, line("SEAL-2", "3", position="20"), label="C"), item("SEAL-2")],
        [*shaft(ROD, SEAL, line("SEAL-2", "3", position="30"), label="C"), item("SEAL-2")],
        shaft(ROD, label="C"),
    ],
    ids=["quantity", "position", "replaced", "added", "taken out"],
)
async def test_lines_of_a_bom_go_back(erp: Client, changed: list[Document]) -> None:
    await released(erp, *DEFINITIONS)
    there = await said(erp)
    wanted = bom_of(changed)
    former = await before(erp, wanted)
    assert isinstance(former.operation, PutBom)
    await released(erp, *changed)
    await erp.assert_equal(wanted)
    assert await said(erp) != there
    await erp.apply(former.operation)
    assert await said(erp) == there
    await erp.assert_equal(former.operation)


async def test_what_the_plant_adds_and_maintains_meanwhile_stays(erp: Client) -> None:
    await released(erp, *DEFINITIONS)
    rows = await rows_of(erp, "SH-10", "1010")
    await maintain(erp, rows["ROD-1"], **MAINTAINED)
    wanted = bom_of(shaft(line("ROD-1", "280", "KGM"), SEAL, label="C"))
    former = await before(erp, wanted)
    await erp.apply(wanted)
    assert former.operation is not None
    await erp.apply(former.operation)
    after = await rows_of(erp, "SH-10", "1010")
    assert after["ROD-1"]["BillOfMaterialItemQuantity"] == "260.000"
    assert {name: after["ROD-1"][name] for name in MAINTAINED} == MAINTAINED


async def test_a_line_that_comes_back_has_the_category_it_had(erp: Client) -> None:
    await released(erp, *DEFINITIONS)
    await erp.apply(PutItem(item("SEAL-2")))
    await erp.apply(ExtendToPlant("SEAL-2", "1010", "buy", "H87", "001"))
    rows = await rows_of(erp, "SH-10", "1010")
    await add_own(erp, rows["SEAL-1"], "SEAL-2", BillOfMaterialItemCategory="N")
    there = await said(erp)
    assert there["SEAL-2"]["BillOfMaterialItemCategory"] == "N"
    wanted = bom_of(shaft(ROD, SEAL, label="C"))
    former = await before(erp, wanted)
    await erp.apply(wanted)
    assert "SEAL-2" not in await said(erp)
    assert former.operation is not None
    await erp.apply(former.operation)
    assert await said(erp) == there


async def test_scrap_that_would_be_lost_with_its_line_is_a_reason(erp: Client) -> None:
    await released(erp, *DEFINITIONS)
    for row in (await rows_of(erp, "SH-10", "1010")).values():
        await maintain(erp, row, **MAINTAINED)
    former = await before(erp, bom_of(shaft(ROD, label="C")))
    assert former == Former(why_not="the scrap of line 0020 went with it")


async def test_what_a_step_made_is_not_deleted(erp: Client) -> None:
    former = await before(erp, bom_of([*DEFINITIONS]))
    assert former == Former(why_not="it was made by this step, and is not deleted from here")


async def test_an_item_master_is_not_undone(erp: Client) -> None:
    step = next(step for step in plan_of([*DEFINITIONS]) if isinstance(step.operation, PutItem))
    await erp.apply(step.operation)
    former = await before(erp, step.operation)
    assert former == Former(why_not="put-item is not undone from here")


# Info records


@pytest.fixture
async def buying(tmp_path: Path) -> AsyncIterator[Client]:
    """An ERP with the material and a price for it."""
    async with (
        serving("erp", tmp_path / "buying", ERP_SEED) as stand_in,
        erp_client(stand_in) as client,
    ):
        await put_materials(client)
        await client.apply(FORMER)
        yield client


FORMER = record("25.00", minimum=Quantity(Decimal(10), "H87"), under_tolerance=Decimal(5))


async def terms(erp: Client) -> dict[str, Any]:
    (row,) = await erp.rows("A_PurgInfoRecdOrgPlantData")
    return row


def with_terms(**stated: Any) -> PutInfoRecord:
    return PutInfoRecord(msgspec.structs.replace(FORMER.record, **stated))


@pytest.mark.parametrize(
    "wanted",
    [
        with_terms(last_day=date(2027, 1, 31)),
        with_terms(last_day=None),
        with_terms(lead_time_days=30),
        with_terms(minimum=Quantity(Decimal(50), "H87"), under_tolerance=Decimal(1)),
        record("17.50", "100", minimum=Quantity(Decimal(10), "H87")),
    ],
    ids=["validity", "open end", "lead time", "minimum", "price"],
)
async def test_terms_of_an_info_record_go_back(buying: Client, wanted: PutInfoRecord) -> None:
    there = await terms(buying)
    former = await before(buying, wanted)
    assert isinstance(former.operation, PutInfoRecord)
    await buying.apply(wanted)
    assert await terms(buying) != there
    await buying.apply(former.operation)
    await buying.assert_equal(former.operation)
    after = await terms(buying)
    told = {name: value for name, value in there.items() if not name.startswith("_")}
    assert {name: after[name] for name in told} == told


@pytest.mark.parametrize(
    ("wanted", "why_not"),
    [
        (with_terms(plant="1020"), "these terms were made by this step, and are not deleted"),
        (with_terms(scales=scales(("5000", "24.00"))), "the scale of the former price"),
    ],
    ids=["made", "scale"],
)
async def test_terms_that_cannot_go_back_have_a_reason(
    buying: Client, wanted: PutInfoRecord, why_not: str
) -> None:
    former = await before(buying, wanted)
    assert former.operation is None
    assert former.why_not.startswith(why_not)


async def test_a_lead_time_that_was_never_stated_does_not_come_back(tmp_path: Path) -> None:
    """No step writes 0 days: of a contract it says nothing."""
    async with (
        serving("erp", tmp_path / "erp", ERP_SEED) as stand_in,
        erp_client(stand_in) as erp,
    ):
        await put_materials(erp)
        await erp.apply(with_terms(lead_time_days=0))
        former = await before(erp, FORMER)
        assert former.operation is None
        assert former.why_not.startswith("MaterialPlannedDeliveryDurn cannot be put back to")
        # What else differs can.
        assert (await before(erp, with_terms(lead_time_days=0, last_day=None))).operation
