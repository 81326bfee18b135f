"""Drivers make steps true at the stand-ins: observe, write, confirm, until nothing differs.

The stand-ins are servers of their own and are reached through the channel that production uses.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import aiohttp
import msgspec
import pytest
from msgspec import UNSET, UnsetType

from broker.channels.auth import CsrfSession, OAuth2ClientCredentials
from broker.channels.http import HttpChannel, Limits
from broker.dispatcher import look
from canonical.bom import BomLine, PlantBom, PlantBomState, Substitute
from canonical.change import (
    ChangedBom,
    ChangedObjects,
    ChangeMaster,
    ChangeMasterState,
    ListedObject,
)
from canonical.connector import Answer, Driver, Present
from canonical.effects import Emit, Step
from canonical.errors import Conflict, InDoubt, Rejected, SuspectedDuplicate, Unavailable
from canonical.facts import Facts, Known
from canonical.handler import Delivery
from canonical.item import ApprovedManufacturer, ComplianceMark, Item
from canonical.item_master import ItemMasterPatch, PlantPatch
from canonical.money import Money, UnitPrice
from canonical.operations import (
    CloseReview,
    ExtendToPlant,
    Operation,
    PublishItem,
    PutBom,
    PutChangedObjects,
    PutChangeMaster,
    PutContract,
    PutInfoRecord,
    PutItem,
    PutOrder,
    PutSourceList,
    PutSupplier,
    ReadCoverage,
    ReadObject,
    ReadSupplier,
    RequestReview,
)
from canonical.order import OrderLine, PurchaseOrder, ScheduleLine
from canonical.own_words import OwnWords
from canonical.price_periods import PricePeriod, PriceScale
from canonical.purchase_contract import ContractLine, PurchaseContract
from canonical.purchasing import InfoRecord, InfoRecordTermsPatch
from canonical.quantity import ItemUnit, Quantity, Ratio
from canonical.revision import parse_revision
from canonical.source_list import Source, SourceList
from canonical.sourcing import Coverage, CoverageLine
from canonical.supplier import Qualification, Supplier
from canonical.supplier_master import PurchasingView, SupplierMaster, SupplierMasterPatch
from handlers.systems.coupa.inbound import HANDLER_CONTRACTS, HANDLER_SUPPLIER
from handlers.systems.coupa.outbound import DRIVER as COUPA
from handlers.systems.s4 import odata
from handlers.systems.s4.access import ACCESS as S4_ACCESS
from handlers.systems.s4.inbound import (
    HANDLER_BOM,
    HANDLER_CHANGE_MASTER,
    HANDLER_CONTRACT,
    HANDLER_INFO_RECORD,
    HANDLER_ORDER,
    HANDLER_PARTNER,
    HANDLER_PRODUCT,
    HANDLER_SOURCE_LIST,
)
from handlers.systems.s4.outbound import DRIVER as S4
from ops.sandbox.process import StandIn
from tests.fixtures.gearbox import RULES
from tests.fixtures.stand_ins import serving

ERP_SEED = {
    "plants": ["1010", "1020"],
    "purchasing_organizations": {"1010": ["1010", "1020"]},
    "suppliers": ["17300001"],
}
LINE = {
    "item-number": "SEAL-7",
    "price": "25.00",
    "price-unit-quantity": "1000",
    "uom": {"code": "EA"},
    "currency": {"code": "EUR"},
    "start-date": "2025-01-01",
    "end-date": "2029-12-31",
}
PROCUREMENT_SEED = {
    "suppliers": [
        {
            "number": "17300001",
            "name": "Northern Seals",
            "custom-fields": {"qualification-status": "Qualified", "qualified-until": "2029-12-31"},
        },
        {"number": "17300002", "name": "Second Source"},
    ],
    "contracts": [
        {
            "number": "C-1",
            "name": "Seals",
            "supplier": {"number": "17300001"},
            "start-date": "2025-06-01",
            "end-date": "2029-06-30",
            "lines": [LINE],
        }
    ],
}


class Client:
    """What a dispatcher does with one system: the cycle, and how many writes it took."""

    def __init__(self, driver: Driver, channel: HttpChannel, url: str) -> None:
        self._driver = driver
        self.perform = channel.perform
        self._url = url
        self.writes = 0
        self.warnings: list[str] = []

    async def observe(self, operation: Operation) -> Any:
        return await look(self._driver, step_of(operation), self.perform)

    async def apply(self, operation: Operation) -> tuple[str, Answer | None]:
        """The operation is true; its reference and answer. Raises what the driver raises."""
        step = step_of(operation)
        self.writes, self.warnings = 0, []
        for _ in range(20):
            observed = await self.observe(operation)
            if isinstance(observed, Present) and observed.equal:
                return observed.reference, observed.answer
            write = self._driver.write(step, observed, "key-1")
            assert write is not None
            self.writes += 1
            confirmed = self._driver.confirm(step, await self.perform(write.request))
            self.warnings += confirmed.warnings
            if write.completes:
                return confirmed.reference, confirmed.answer
        raise AssertionError("the target still differs after 20 writes")

    async def assert_equal(self, operation: Operation) -> None:
        """A new observation finds nothing that differs."""
        observed = await self.observe(operation)
        assert isinstance(observed, Present)
        assert (observed.equal, observed.differences) == (True, ())

    async def fault(self, **rule: object) -> None:
        async with aiohttp.ClientSession() as http:
            await http.post(f"{self._url}/_sandbox/faults", json=[rule])

    async def rows(self, table: str) -> list[dict[str, Any]]:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{self._url}/_sandbox/table/{table}") as response,
        ):
            found: list[dict[str, Any]] = await response.json()
            return found

    async def plant(self, table: str, **row: object) -> None:
        async with aiohttp.ClientSession() as http:
            await http.post(f"{self._url}/_sandbox/table/{table}", json=row)


QUICK = Limits(read_s=1.0, total_s=3.0)


@asynccontextmanager
async def erp_client(
    stand_in: StandIn, limits: Limits = QUICK, driver: Driver = S4
) -> AsyncIterator[Client]:
    auth = CsrfSession(
        tokens=S4_ACCESS,
        user="demo",
        password=lambda: "demo",
        token_path="/sap/opu/odata/sap/API_PRODUCT_SRV/",
    )
    async with HttpChannel(base_url=stand_in.url, auth=auth, limits=limits) as channel:
        yield Client(driver, channel, stand_in.url)


@asynccontextmanager
async def procurement_client(stand_in: StandIn) -> AsyncIterator[Client]:
    auth = OAuth2ClientCredentials(
        token_url="/oauth2/token", client_id="demo", client_secret=lambda: "demo"
    )
    async with HttpChannel(base_url=stand_in.url, auth=auth, limits=QUICK) as channel:
        yield Client(COUPA, channel, stand_in.url)


@pytest.fixture
async def erp_server(tmp_path: Path) -> AsyncIterator[StandIn]:
    async with serving("erp", tmp_path / "erp", ERP_SEED) as stand_in:
        yield stand_in


@pytest.fixture
async def erp(erp_server: StandIn) -> AsyncIterator[Client]:
    async with erp_client(erp_server) as client:
        yield client


@pytest.fixture
async def procurement_server(tmp_path: Path) -> AsyncIterator[StandIn]:
    async with serving("procurement", tmp_path / "procurement", PROCUREMENT_SEED) as stand_in:
        yield stand_in


@pytest.fixture
async def procurement(procurement_server: StandIn) -> AsyncIterator[Client]:
    async with procurement_client(procurement_server) as client:
        yield client


def step_of(operation: Operation) -> Step:
    return Step("1010", "target", "object", "X", operation)


def item(number: str = "SEAL-7", **fields: Any) -> Item:
    plain = Item(
        number=number,
        revision=parse_revision("B", "letters"),
        lifecycle="released",
        description="Shaft seal, 40 mm",
        kind="part",
        procurement="buy",
        base_unit="H87",
        alternates=(ItemUnit("XRO", Ratio(100)),),
        weight=Quantity(Decimal("0.25"), "KGM"),
    )
    return msgspec.structs.replace(plain, **fields)


def view(number: str, unit: str = "H87", plant: str = "1010") -> ExtendToPlant:
    return ExtendToPlant(number, plant, "buy", unit, "001")


def line(position: str, component: str, quantity: str, unit: str = "H87") -> BomLine:
    return BomLine(position, component, Quantity(Decimal(quantity), unit))


def bom(*lines: BomLine, base: str = "1") -> PutBom:
    return PutBom(
        PlantBom(
            plant="1010",
            parent="PUMP",
            revision="B",
            usage="1",
            alternative="1",
            base=Quantity(Decimal(base), "H87"),
            lines=lines,
        )
    )


def record(
    price: str = "25.00",
    per: str = "1000",
    plant: str = "1010",
    minimum: Quantity | UnsetType = UNSET,
    **agreed: Any,
) -> PutInfoRecord:
    return PutInfoRecord(
        InfoRecord(
            supplier="17300001",
            item="SEAL-7",
            purchasing_org="1010",
            plant=plant,
            order_unit="H87",
            base_unit="H87",
            order_to_base=(1, 1),
            price=UnitPrice(Money(Decimal(price), "EUR"), Quantity(Decimal(per), "H87")),
            lead_time_days=5,
            contract="C-1",
            last_day=date(2029, 6, 30),
            minimum=minimum,
            **{"purchasing_group": "001", **agreed},
        )
    )


def scales(*said: tuple[str, str]) -> tuple[PriceScale, ...]:
    """From how much on which price for 1000 counts."""
    return tuple(
        PriceScale(
            Quantity(Decimal(start), "H87"),
            UnitPrice(Money(Decimal(price), "EUR"), Quantity(Decimal(1000), "H87")),
        )
        for start, price in said
    )


async def lines_of_the_scale(erp: Client) -> dict[str, str]:
    rows = await erp.rows("A_PurInfoRecdPrcgCndnScale")
    return {row["ConditionScaleQuantity"]: row["ConditionRateValue"] for row in rows}


async def put_materials(erp: Client, *, hose: str = "MTR") -> None:
    """PUMP, SEAL-7, OIL (kg) and HOSE (m) stand in plant 1010."""
    for number, unit in (("PUMP", "H87"), ("SEAL-7", "H87"), ("OIL", "KGM"), ("HOSE", hose)):
        await erp.apply(PutItem(item(number, base_unit=unit, alternates=(), weight=None)))
        await erp.apply(view(number, unit))


# --- ERP: item masters and plant views ---


async def test_a_material_is_created_once_and_found_equal_afterwards(erp: Client) -> None:
    put = PutItem(item())
    assert await erp.apply(put) == ("SEAL-7", None)
    assert erp.writes == 1
    await erp.assert_equal(put)
    (row,) = await erp.rows("A_Product")
    assert (row["ProductType"], row["BaseUnit"], row["MaterialRevisionLevel"]) == ("ROH", "PC", "B")
    assert (row["IndustrySector"], row["ProductGroup"]) == ("M", "L001")
    assert (row["NetWeight"], row["WeightUnit"]) == ("0.250", "KG")
    (text,) = await erp.rows("A_ProductDescription")
    assert (text["Language"], text["ProductDescription"]) == ("EN", "Shaft seal, 40 mm")
    (unit,) = await erp.rows("A_ProductUnitsOfMeasure")
    assert (unit["QuantityNumerator"], unit["QuantityDenominator"]) == ("100", "1")


@pytest.mark.parametrize("number", ["D/40 'X' 100%", "ünit+&=?#", "a,b(c)", "0007"])
async def test_a_number_with_special_characters_is_one_and_the_same_everywhere(
    erp: Client, number: str
) -> None:
    await erp.apply(PutItem(item(number)))
    await erp.assert_equal(PutItem(item(number)))
    await erp.apply(view(number))
    await erp.assert_equal(view(number))
    assert [row["Product"] for row in await erp.rows("A_ProductPlant")] == [number]


async def test_a_new_revision_changes_only_what_differs(erp: Client) -> None:
    await erp.apply(PutItem(item()))
    changed = PutItem(
        item(
            revision=parse_revision("C", "letters"),
            description="Shaft seal, 42 mm",
            alternates=(ItemUnit("XRO", Ratio(200)), ItemUnit("SET", Ratio(2000))),
        )
    )
    await erp.apply(changed)
    # Material, text, changed roll, new set: one write each.
    assert erp.writes == 4
    await erp.assert_equal(changed)


async def test_units_in_the_words_of_the_erp_are_written_and_understood(
    erp_server: StandIn,
) -> None:
    own = OwnWords(units={"AU": "H87", "LB": "KGM"}, lifecycle={"Z9": "obsolete"})
    async with erp_client(erp_server, driver=S4.for_words(own)) as erp:
        await put_materials(erp)
        units = {row["Product"]: row["BaseUnit"] for row in await erp.rows("A_Product")}
        assert units == {"PUMP": "AU", "SEAL-7": "AU", "OIL": "LB", "HOSE": "M"}
        puts = (
            bom(line("10", "SEAL-7", "2"), line("20", "OIL", "0.5", "KGM")),
            record(),
            PutItem(item("OIL", base_unit="KGM", alternates=(), lifecycle="obsolete")),
        )
        for put in puts:
            await erp.apply(put)
            await erp.assert_equal(put)
        assert {row["BillOfMaterialItemUnit"] for row in await erp.rows("MaterialBOMItem")} == {
            "AU",
            "LB",
        }
        (terms,) = await erp.rows("A_PurgInfoRecdOrgPlantData")
        assert terms["PurchaseOrderPriceUnit"] == "AU"
        (oil,) = [row for row in await erp.rows("A_Product") if row["Product"] == "OIL"]
        assert (oil["CrossPlantStatus"], oil["WeightUnit"]) == ("Z9", "LB")


async def test_another_base_unit_is_left_to_people(erp: Client) -> None:
    await erp.apply(PutItem(item()))
    with pytest.raises(Conflict, match="BaseUnit: PC, wanted KG"):
        await erp.apply(PutItem(item(base_unit="KGM")))


async def test_a_plant_view_is_created_and_keeps_what_the_plant_set(erp: Client) -> None:
    await erp.apply(PutItem(item()))
    await erp.apply(view("SEAL-7"))
    await erp.assert_equal(view("SEAL-7"))
    await erp.assert_equal(ExtendToPlant("SEAL-7", "1010", "buy", "H87", "007"))
    (row,) = await erp.rows("A_ProductPlant")
    assert (row["ProcurementType"], row["MRPType"], row["PurchasingGroup"]) == ("F", "ND", "001")
    made_here = ExtendToPlant("SEAL-7", "1010", "make", "H87", "001")
    await erp.apply(made_here)
    assert erp.writes == 1
    await erp.assert_equal(made_here)


async def test_a_view_of_an_unknown_material_is_refused_with_the_targets_words(
    erp: Client,
) -> None:
    with pytest.raises(Rejected, match="PRODUCT_MISSING") as refused:
        await erp.apply(view("NOBODY"))
    assert refused.value.where == "Product"


# --- ERP: BOMs ---


async def test_a_bom_is_created_with_its_lines_and_header_base(erp: Client) -> None:
    await put_materials(erp)
    put = bom(
        line("10", "SEAL-7", "200"),
        line("20", "OIL", "0.5", "KGM"),
        line("30", "HOSE", "125", "CMT"),
        line("40", "SEAL-7", "0"),
        base="100",
    )
    assert await erp.apply(put) == ("00000001", None)
    assert erp.warnings == [
        "Line 40 of PUMP (SEAL-7) has quantity 0 and is not sent: it is a reference only"
    ]
    await erp.assert_equal(put)
    (header,) = await erp.rows("MaterialBOM")
    assert header["BOMHeaderQuantityInBaseUnit"] == "100.000"
    assert [
        (r["BillOfMaterialItemNumber"], r["BillOfMaterialComponent"], r["BillOfMaterialItemUnit"])
        for r in await erp.rows("MaterialBOMItem")
    ] == [("0010", "SEAL-7", "PC"), ("0020", "OIL", "KG"), ("0030", "HOSE", "CM")]


async def test_lines_of_a_bom_are_changed_in_one_call_and_the_result_is_exact(erp: Client) -> None:
    await put_materials(erp)
    await erp.apply(bom(line("10", "SEAL-7", "2"), line("20", "OIL", "0.5", "KGM"), base="10"))
    changed = bom(line("10", "SEAL-7", "3"), line("30", "HOSE", "1.5", "MTR"), base="1")
    assert await erp.apply(changed) == ("00000001", None)
    assert erp.writes == 1
    await erp.assert_equal(changed)
    # The ERP's base quantity stays 10.
    assert await held(erp) == [("HOSE", "15.000"), ("SEAL-7", "30.000")]


async def held(erp: Client) -> list[tuple[str, str]]:
    """Component and quantity of each line."""
    rows = await erp.rows("MaterialBOMItem")
    return sorted((r["BillOfMaterialComponent"], r["BillOfMaterialItemQuantity"]) for r in rows)


async def test_one_by_one_a_bom_is_changed_line_by_line(erp_server: StandIn) -> None:
    async with erp_client(erp_server, driver=S4.one_by_one()) as erp:
        await put_materials(erp)
        await erp.apply(bom(line("10", "SEAL-7", "2"), line("20", "OIL", "0.5", "KGM")))
        changed = bom(line("10", "SEAL-7", "3"), line("30", "HOSE", "1.5", "MTR"))
        await erp.apply(changed)
        assert erp.writes == 3
        await erp.assert_equal(changed)
        assert await held(erp) == [("HOSE", "1.500"), ("SEAL-7", "3.000")]


async def test_a_line_that_is_refused_leaves_the_bom_as_it_was_and_is_named(erp: Client) -> None:
    await put_materials(erp)
    await erp.apply(PutItem(item("BOLT")))
    old = bom(line("10", "SEAL-7", "2"), line("20", "OIL", "0.5", "KGM"))
    await erp.apply(old)
    before = await erp.rows("MaterialBOMItem")
    changed = bom(
        line("10", "SEAL-7", "3"), line("30", "HOSE", "1.5", "MTR"), line("40", "BOLT", "1")
    )
    with pytest.raises(Rejected, match="Material BOLT is not maintained in plant 1010") as refused:
        await erp.apply(changed)
    assert refused.value.where == "BillOfMaterialComponent"
    assert await erp.rows("MaterialBOMItem") == before
    # Once it is there, the whole change is.
    await erp.apply(view("BOLT"))
    await erp.apply(changed)
    assert erp.writes == 1
    await erp.assert_equal(changed)


async def test_a_line_that_somebody_changed_meanwhile_holds_up_all_of_them(erp: Client) -> None:
    await put_materials(erp)
    await erp.apply(bom(line("10", "SEAL-7", "2"), line("20", "OIL", "0.5", "KGM")))
    wanted = bom(line("10", "SEAL-7", "3"), line("20", "OIL", "0.5", "KGM"),
                 line("30", "HOSE", "1.5", "MTR"))  # fmt: skip
    seen = await erp.observe(wanted)
    await erp.apply(bom(line("10", "SEAL-7", "4"), line("20", "OIL", "0.5", "KGM")))
    write = S4.write(step_of(wanted), seen, "key-1")
    assert write is not None
    response = await erp.perform(write.request)
    with pytest.raises(Unavailable, match="changed-meanwhile"):
        S4.confirm(step_of(wanted), response)
    assert await held(erp) == [("OIL", "0.500"), ("SEAL-7", "4.000")]
    await erp.apply(wanted)
    await erp.assert_equal(wanted)


async def test_more_lines_than_go_into_one_change_set_are_written_by_several(
    erp_server: StandIn,
) -> None:
    lines = [line(str(n), ("SEAL-7", "HOSE")[n % 2], "0.5") for n in range(1, 203)]
    async with erp_client(erp_server, Limits(read_s=30, total_s=60)) as erp:
        await put_materials(erp, hose="H87")
        await erp.apply(bom(lines[0]))
        await erp.apply(bom(*lines))
        assert erp.writes == 2
        await erp.assert_equal(bom(*lines))


async def test_substitutes_come_and_go_as_a_group(erp: Client) -> None:
    await put_materials(erp, hose="H87")
    plain = line("10", "SEAL-7", "2")
    ranked = msgspec.structs.replace(plain, substitutions=(Substitute("HOSE", 1),))
    put = bom(ranked, line("20", "OIL", "1", "KGM"))
    await erp.apply(bom(plain, line("20", "OIL", "1", "KGM")))
    await erp.apply(put)
    await erp.assert_equal(put)
    fields = ("AlternativeItemGroup", "AlternativeItemPriority", "UsageProbabilityPercent")
    assert sorted(
        (row["BillOfMaterialComponent"], *(row[name] for name in fields))
        for row in await erp.rows("MaterialBOMItem")
    ) == [("HOSE", "X0", "02", "0"), ("OIL", "", "", "0"), ("SEAL-7", "X0", "01", "100")]
    alone = bom(plain, line("20", "OIL", "1", "KGM"))
    await erp.apply(alone)
    await erp.assert_equal(alone)
    rows = {row["BillOfMaterialComponent"]: row for row in await erp.rows("MaterialBOMItem")}
    assert sorted(rows) == ["OIL", "SEAL-7"]
    assert [rows["SEAL-7"][name] for name in fields] == ["", "", "0"]


async def test_a_bom_of_1500_lines_is_written_once_and_confirmed_by_the_next_read(
    erp_server: StandIn,
) -> None:
    put = bom(*(line(str(n), ("SEAL-7", "HOSE")[n % 2], "0.5") for n in range(1, 1501)))
    async with erp_client(erp_server, Limits(read_s=60, total_s=90)) as erp:
        await put_materials(erp, hose="H87")
        # The ERP answers with all fields of all lines, 5 MB: what became of it is read.
        with pytest.raises(InDoubt, match="answer-unusable"):
            await erp.apply(put)
        assert await erp.apply(put) == ("00000001", None)
        assert erp.writes == 0
        assert len(await erp.rows("MaterialBOMItem")) == 1500


async def test_a_bom_with_a_component_not_in_the_plant_is_refused(erp: Client) -> None:
    await put_materials(erp)
    await erp.apply(PutItem(item("BOLT")))
    with pytest.raises(Rejected, match="BOM_COMPONENT_NOT_IN_PLANT"):
        await erp.apply(bom(line("10", "BOLT", "1")))
    assert await erp.rows("MaterialBOM") == []


# --- ERP: change numbers ---


def change(**stated: Any) -> PutChangeMaster:
    plain = ChangeMaster("eco-7", "Seal the shaft", date(2026, 3, 2), is_dated=True)
    return PutChangeMaster(msgspec.structs.replace(plain, **stated))


async def test_a_change_number_is_created_once_and_found_equal_afterwards(erp: Client) -> None:
    assert await erp.apply(change()) == ("ECO-7", None)
    assert erp.writes == 1
    await erp.assert_equal(change())
    (row,) = await erp.rows("A_ChangeMaster")
    assert (row["ChangeNumber"], row["ChangeNumberStatus"]) == ("ECO-7", "01")
    assert row["ChangeNumberValidFromDate"] == "/Date(1772409600000)/"
    opened = await erp.rows("A_ChangeMasterObjTypeAssgmt")
    assert sorted((r["SAPObjectType"], r["IsActiveForChangeNumber"]) for r in opened) == [
        ("Material", True),
        ("MaterialBOM", True),
    ]


async def test_a_change_number_of_the_erps_own_people_is_made_fit_and_keeps_its_status(
    erp: Client,
) -> None:
    day = "/Date(1772409600000)/"
    await erp.plant(
        "A_ChangeMaster",
        ChangeNumber="ECO-7",
        ChangeNumberStatus="02",
        ChangeNumberValidFromDate=day,
    )
    await erp.plant(
        "A_ChangeMasterObjTypeAssgmt", ChangeNumber="ECO-7", SAPObjectType="MaterialBOM"
    )
    await erp.apply(change())
    # Text, material, BOM: one write each.
    assert erp.writes == 3
    await erp.assert_equal(change())
    (row,) = await erp.rows("A_ChangeMaster")
    assert (row["ChangeNumberStatus"], row["ChangeNumberDescription"]) == ("02", "Seal the shaft")


async def test_a_first_day_moves_until_objects_were_changed_under_it(erp: Client) -> None:
    await erp.apply(change())
    moved = change(valid_from=date(2026, 3, 3))
    await erp.apply(moved)
    assert erp.writes == 1
    await erp.assert_equal(moved)
    await erp.plant(
        "A_ChangeMaster",
        ChangeNumber="ECO-8",
        ChangeNumberStatus="01",
        ChangeNumberValidFromDate="/Date(1772409600000)/",
        IsUsedForDataDefinition=True,
    )
    with pytest.raises(Conflict, match="ChangeNumberValidFromDate"):
        await erp.apply(change(number="ECO-8", valid_from=date(2026, 3, 3)))


async def test_a_change_number_made_by_a_lost_call_is_found(erp: Client) -> None:
    await erp.fault(action="apply_then_hang", method="POST", path="A_ChangeMaster$")
    with pytest.raises(InDoubt):
        await erp.apply(change())
    assert await erp.apply(change()) == ("ECO-7", None)
    assert erp.writes == 0
    assert len(await erp.rows("A_ChangeMaster")) == 1


async def test_what_a_change_is_about_is_listed_once_it_is_there(erp: Client) -> None:
    objects = PutChangedObjects(
        ChangedObjects("eco-7", ("PUMP", "SEAL-7"), (ChangedBom("PUMP", "1010", "1"),))
    )
    await erp.apply(change())
    with pytest.raises(Rejected, match="PRODUCT_MISSING"):
        await erp.apply(objects)
    await put_materials(erp)
    with pytest.raises(Rejected, match="BOM_MISSING"):
        await erp.apply(objects)
    await erp.apply(bom(line("10", "SEAL-7", "2")))
    assert await erp.apply(objects) == ("ECO-7", None)
    # The materials stood there from the try before.
    assert erp.writes == 1
    await erp.assert_equal(objects)
    await erp.assert_equal(change())
    materials = await erp.rows("A_ChangeMstrObMgReMaterial")
    assert [row["Material"] for row in materials] == ["PUMP", "SEAL-7"]
    (row,) = await erp.rows("A_ChangeMstrObMgReMatlBOM")
    key = ("ChangeNumber", "Material", "Plant", "BillOfMaterialVariantUsage")
    assert [row[name] for name in key] == ["ECO-7", "PUMP", "1010", "1"]


async def test_a_change_number_that_is_gone_is_left_to_people(erp: Client) -> None:
    with pytest.raises(Rejected, match="change-master-missing"):
        await erp.apply(PutChangedObjects(ChangedObjects("ECO-7", ())))


# --- ERP: info records ---


async def test_an_info_record_is_created_once_per_plant_under_one_number(erp: Client) -> None:
    await erp.apply(PutItem(item()))
    for plant in ("1010", "1020"):
        await erp.apply(view("SEAL-7", plant=plant))
        assert await erp.apply(record(plant=plant)) == ("5300000001", None)
        assert erp.writes == 1
        await erp.assert_equal(record(plant=plant))
    assert len(await erp.rows("A_PurchasingInfoRecord")) == 1
    terms = await erp.rows("A_PurgInfoRecdOrgPlantData")
    assert [
        (t["Plant"], t["NetPriceAmount"], t["MaterialPriceUnitQty"], t["Currency"]) for t in terms
    ] == [("1010", "25.000", "1000", "EUR"), ("1020", "25.000", "1000", "EUR")]


async def test_tolerances_and_who_buys_are_kept_and_follow_the_contract(erp: Client) -> None:
    await put_materials(erp)
    agreed: dict[str, Any] = {"under_tolerance": Decimal(5), "purchasing_group": "C01"}
    wanted = record(over_tolerance=Decimal("2.5"), **agreed)
    await erp.apply(wanted)
    assert erp.writes == 1
    await erp.assert_equal(wanted)
    (row,) = await erp.rows("A_PurgInfoRecdOrgPlantData")
    names = ("UnderdelivTolrtdLmtRatioInPct", "OverdelivTolrtdLmtRatioInPct", "PurchasingGroup")
    assert [row[name] for name in names] == ["5.0", "2.5", "C01"]
    await erp.apply(wanted)
    assert erp.writes == 0
    changed = record(over_tolerance=Decimal(0), **agreed)
    observed = await erp.observe(changed)
    assert observed.differences == ("OverdelivTolrtdLmtRatioInPct: 2.5, wanted 0",)
    await erp.apply(changed)
    assert erp.writes == 1
    await erp.assert_equal(changed)
    # A contract that does not speak of them takes nothing back, nor does another buyer.
    await erp.assert_equal(record(purchasing_group="L01"))


async def test_the_scale_of_a_price_is_kept_line_by_line_and_follows_the_contract(
    erp: Client,
) -> None:
    await put_materials(erp)
    wanted = record(scales=scales(("5000", "24.00"), ("20000", "22.50")))
    reference, _ = await erp.apply(wanted)
    assert erp.writes == 3
    await erp.assert_equal(wanted)
    assert await lines_of_the_scale(erp) == {"5000.000": "24.000", "20000.000": "22.500"}
    assert reference == (await erp.rows("A_PurchasingInfoRecord"))[0]["PurchasingInfoRecord"]
    await erp.apply(wanted)
    assert erp.writes == 0
    # One price other than before, one line new, one gone; then a new price with all of them.
    changed = record(scales=scales(("20000", "22.00"), ("50000", "20.00")))
    observed = await erp.observe(changed)
    assert observed.differences == (
        "Scale from 50000 PC: missing",
        "Scale from 20000 PC, ConditionRateValue: 22.500, wanted 22",
        "Scale from 5000.000 PC: 24.000, wanted none",
    )
    await erp.apply(changed)
    assert erp.writes == 3
    assert await lines_of_the_scale(erp) == {"20000.000": "22.000", "50000.000": "20.000"}
    dearer = record("26.00", scales=scales(("20000", "22.00"), ("50000", "20.00")))
    await erp.apply(dearer)
    assert erp.writes == 1
    # A contract that does not speak of a scale takes none back.
    await erp.assert_equal(record("26.00"))
    await erp.apply(record("26.00", scales=()))
    assert await lines_of_the_scale(erp) == {}


async def test_a_line_of_a_scale_made_by_a_lost_call_is_not_made_again(erp: Client) -> None:
    await put_materials(erp)
    await erp.apply(record())
    wanted = record(scales=scales(("5000", "24.00")))
    await erp.fault(action="apply_then_500", method="POST", path="A_PurInfoRecdPrcgCndnScale$")
    with pytest.raises(InDoubt):
        await erp.apply(wanted)
    await erp.apply(wanted)
    assert erp.writes == 0
    assert await lines_of_the_scale(erp) == {"5000.000": "24.000"}


async def test_a_scale_is_one_of_the_price_of_its_plant(erp: Client) -> None:
    await put_materials(erp)
    await erp.apply(view("SEAL-7", plant="1020"))
    await erp.apply(record(scales=scales(("5000", "24.00"))))
    other = record(plant="1020", scales=scales(("5000", "23.00")))
    await erp.apply(other)
    assert erp.writes == 2
    await erp.assert_equal(other)
    await erp.assert_equal(record(scales=scales(("5000", "24.00"))))


async def test_a_minimum_is_kept_and_changed_with_the_contract(erp: Client) -> None:
    await put_materials(erp)
    for minimum in ("20", "12.5"):
        wanted = record(minimum=Quantity(Decimal(minimum), "H87"))
        await erp.apply(wanted)
        assert erp.writes == 1
        await erp.assert_equal(wanted)
    await erp.assert_equal(record())
    (terms,) = await erp.rows("A_PurgInfoRecdOrgPlantData")
    held = (terms["MinimumPurchaseOrderQuantity"], terms["StandardPurchaseOrderQuantity"])
    assert held == ("12.500", "20.000")


async def test_a_new_price_updates_the_plants_terms_only(erp: Client) -> None:
    await put_materials(erp)
    await erp.apply(record())
    await erp.assert_equal(record("2.50", "100"))
    await erp.apply(record("26.00"))
    assert erp.writes == 1
    await erp.assert_equal(record("26.00"))


# --- ERP: faults ---


@pytest.mark.parametrize("action", ["apply_then_hang", "apply_then_500", "reset"])
async def test_a_call_applied_without_an_answer_is_found_done_by_the_next_look(
    erp: Client, action: str
) -> None:
    await put_materials(erp)
    put = bom(line("10", "SEAL-7", "2"))
    await erp.fault(action=action, method="POST", path="MaterialBOM$")
    with pytest.raises(InDoubt):
        await erp.apply(put)
    assert (await erp.apply(put))[0] == "00000001"
    assert erp.writes == 0
    assert len(await erp.rows("MaterialBOM")) == 1


@pytest.mark.parametrize("action", ["apply_then_hang", "apply_then_500", "reset"])
async def test_lines_changed_without_an_answer_are_found_done_by_the_next_look(
    erp: Client, action: str
) -> None:
    await put_materials(erp)
    await erp.apply(bom(line("10", "SEAL-7", "2"), line("20", "OIL", "0.5", "KGM")))
    changed = bom(line("10", "SEAL-7", "3"), line("30", "HOSE", "1.5", "MTR"))
    await erp.fault(action=action, method="POST", path=r"/\$batch$")
    with pytest.raises(InDoubt):
        await erp.apply(changed)
    assert await erp.apply(changed) == ("00000001", None)
    assert erp.writes == 0
    assert await held(erp) == [("HOSE", "1.500"), ("SEAL-7", "3.000")]


@pytest.mark.parametrize(("action", "kind"), [("refuse_500", InDoubt), ("login_page_200", InDoubt),
                                              ("throttle_429", Unavailable)])  # fmt: skip
async def test_lines_that_were_not_changed_are_changed_by_the_next_try(
    erp: Client, action: str, kind: type[Exception]
) -> None:
    await put_materials(erp)
    await erp.apply(bom(line("10", "SEAL-7", "2"), line("20", "OIL", "0.5", "KGM")))
    changed = bom(line("10", "SEAL-7", "3"), line("30", "HOSE", "1.5", "MTR"))
    await erp.fault(action=action, method="POST", path=r"/\$batch$")
    with pytest.raises(kind):
        await erp.apply(changed)
    await erp.apply(changed)
    assert erp.writes == 1
    await erp.assert_equal(changed)


async def test_a_login_page_after_a_write_is_in_doubt_and_nothing_is_lost(erp: Client) -> None:
    await erp.fault(action="login_page_200", method="POST", path="A_Product$")
    with pytest.raises(InDoubt):
        await erp.apply(PutItem(item()))
    await erp.apply(PutItem(item()))
    assert erp.writes == 1


async def test_a_throttled_call_says_how_long_to_wait(erp: Client) -> None:
    await erp.fault(action="throttle_429", path="A_Product", retry_after_s=7)
    with pytest.raises(Unavailable) as throttled:
        await erp.apply(PutItem(item()))
    assert throttled.value.retry_after_s == 7


async def test_a_stale_tag_leads_to_a_new_look(erp: Client) -> None:
    await put_materials(erp)
    await erp.apply(record())
    wanted = record("26.00")
    seen = await erp.observe(wanted)
    await erp.apply(record("27.00"))
    write = S4.write(step_of(wanted), seen, "key-1")
    assert write is not None
    response = await erp.perform(write.request)
    with pytest.raises(Unavailable, match="changed-meanwhile"):
        S4.confirm(step_of(wanted), response)
    await erp.apply(wanted)
    await erp.assert_equal(wanted)


# --- ERP: purchase orders ---


def order_line(number: str, quantity: str, *parts: tuple[str, date], **more: Any) -> OrderLine:
    plain = OrderLine(
        line=number,
        item="SEAL-7",
        quantity=Quantity(Decimal(quantity), "H87"),
        price=UnitPrice(Money(Decimal("25.00"), "EUR"), Quantity(Decimal(1000), "H87")),
        plant="1010",
        description="Shaft seal, 40 mm",
        schedule=tuple(ScheduleLine(Quantity(Decimal(n), "H87"), day) for n, day in parts),
    )
    return msgspec.structs.replace(plain, **more)


MARCH, APRIL = date(2026, 3, 16), date(2026, 4, 1)


def placed(*lines: OrderLine, **more: Any) -> PutOrder:
    plain = PurchaseOrder("PO-1001", 1, "17300001", "EUR", lines, organisation="1010")
    return PutOrder(msgspec.structs.replace(plain, **more), "C01")


async def test_an_order_is_placed_once_and_found_by_its_number_afterwards(erp: Client) -> None:
    await put_materials(erp)
    put = placed(order_line("1", "5", ("2", MARCH), ("3", APRIL)), order_line("2", "7"))
    assert await erp.apply(put) == ("4500000001", None)
    assert erp.writes == 1
    await erp.assert_equal(put)
    (row,) = await erp.rows("A_PurchaseOrder")
    assert row["CorrespncInternalReference"] == "PO-1001"
    assert [r["OrderQuantity"] for r in await erp.rows("A_PurchaseOrderItem")] == ["5.000", "7.000"]


async def test_an_order_placed_by_a_lost_call_is_not_placed_again(erp: Client) -> None:
    await put_materials(erp)
    await erp.fault(action="apply_then_500", method="POST", path="A_PurchaseOrder$")
    put = placed(order_line("1", "5", ("5", MARCH)))
    with pytest.raises(InDoubt):
        await erp.apply(put)
    assert await erp.apply(put) == ("4500000001", None)
    assert (erp.writes, len(await erp.rows("A_PurchaseOrder"))) == (0, 1)


async def test_an_order_is_changed_item_by_item_and_the_result_is_exact(erp: Client) -> None:
    await put_materials(erp)
    await erp.apply(
        placed(order_line("1", "5", ("2", MARCH), ("3", APRIL)), order_line("2", "7", ("7", MARCH)))
    )
    dearer = UnitPrice(Money(Decimal("26.00"), "EUR"), Quantity(Decimal(1000), "H87"))
    changed = placed(
        order_line("1", "9", ("4", APRIL), ("5", date(2026, 5, 1)), price=dearer),
        order_line("3", "1", ("1", MARCH)),
    )
    await erp.apply(changed)
    # New item; two schedule lines, whose sum the quantity follows; price; cancelled item.
    assert erp.writes == 5
    await erp.assert_equal(changed)
    assert [
        (r["PurchaseOrderItem"], r["OrderQuantity"], r["PurchasingDocumentDeletionCode"])
        for r in await erp.rows("A_PurchaseOrderItem")
    ] == [("1", "9.000", ""), ("2", "7.000", "L"), ("3", "1.000", "")]
    cancelled = placed()
    await erp.apply(cancelled)
    await erp.assert_equal(cancelled)


async def test_an_order_of_the_erps_own_that_comes_back_is_found_under_its_number(
    erp: Client,
) -> None:
    await put_materials(erp)
    await place_order(erp)
    same = order_line("10", "500", ("500", date(2016, 9, 22)), description="")
    own = placed(same, number="4500000028")
    assert await erp.apply(own) == ("4500000028", None)
    assert (erp.writes, len(await erp.rows("A_PurchaseOrder"))) == (0, 1)


@pytest.mark.parametrize(
    ("put", "code", "where"),
    [
        (placed(order_line("1", "5"), supplier="9"), "SUPPLIER_UNKNOWN", "Supplier"),
        (placed(order_line("1", "5", item="BOLT")), "ORDER_MATERIAL_MISSING",
         "to_PurchaseOrderItem(0)/Material"),
    ],
)  # fmt: skip
async def test_an_order_of_what_the_erp_does_not_know_is_refused_in_its_words(
    erp: Client, put: PutOrder, code: str, where: str
) -> None:
    await put_materials(erp)
    with pytest.raises(Rejected, match=code) as refused:
        await erp.apply(put)
    assert refused.value.where == where
    assert await erp.rows("A_PurchaseOrder") == []


async def test_a_closed_item_is_not_changed(erp: Client) -> None:
    await put_materials(erp)
    await place_order(erp, IsCompletelyDelivered=True)
    more = placed(order_line("10", "600", ("600", date(2016, 9, 22))), number="4500000028")
    with pytest.raises(Rejected, match="ORDER_ITEM_CLOSED"):
        await erp.apply(more)


# --- ERP: contracts and source lists ---


def contract_line(number: str, target: str | None, **more: Any) -> ContractLine:
    plain = ContractLine(
        line=number,
        item="SEAL-7",
        order_unit="H87",
        price=UnitPrice(Money(Decimal("25.00"), "EUR"), Quantity(Decimal(1000), "H87")),
        target=Quantity(Decimal(target), "H87") if target else None,
        lead_time_days=12,
        plants=("1010",),
    )
    return msgspec.structs.replace(plain, **more)


def agreed(*lines: ContractLine, **more: Any) -> PutContract:
    plain = PurchaseContract(
        number="C-1001",
        version=1,
        supplier="17300001",
        status="active",
        first_day=MARCH,
        kind="quantity",
        currency="EUR",
        lines=lines,
        organisation="1010",
    )
    return PutContract(msgspec.structs.replace(plain, **more), "C01")


async def test_a_contract_is_made_once_and_found_by_its_number_afterwards(erp: Client) -> None:
    await put_materials(erp)
    put = agreed(contract_line("1", "500"), contract_line("2", "7", plants=(), is_blocked=True))
    assert await erp.apply(put) == ("4600000001", None)
    assert erp.writes == 1
    await erp.assert_equal(put)
    (row,) = await erp.rows("A_PurchaseContract")
    assert (row["CorrespncInternalReference"], row["ValidityEndDate"]) == (
        "C-1001",
        "/Date(253402214400000)/",
    )
    assert [
        (r["TargetQuantity"], r["PurchasingContractDeletionCode"])
        for r in await erp.rows("A_PurchaseContractItem")
    ] == [("500.000", ""), ("7.000", "S")]


async def test_a_contract_made_by_a_lost_call_is_not_made_again(erp: Client) -> None:
    await put_materials(erp)
    await erp.fault(action="apply_then_500", method="POST", path="A_PurchaseContract$")
    put = agreed(contract_line("1", "500"))
    with pytest.raises(InDoubt):
        await erp.apply(put)
    assert await erp.apply(put) == ("4600000001", None)
    assert (erp.writes, len(await erp.rows("A_PurchaseContract"))) == (0, 1)


async def test_a_contract_is_changed_in_batches_and_the_result_is_exact(erp: Client) -> None:
    await put_materials(erp)
    await erp.apply(agreed(contract_line("1", "500"), contract_line("2", "7")))
    dearer = UnitPrice(Money(Decimal("26.00"), "EUR"), Quantity(Decimal(1000), "H87"))
    changed = agreed(
        contract_line("1", "600", price=dearer, lead_time_days=9),
        contract_line("3", "1"),
        last_day=date(2027, 12, 31),
    )
    await erp.apply(changed)
    # Days, new item, changed item, item taken out.
    assert erp.writes == 4
    await erp.assert_equal(changed)
    assert [
        (r["PurchaseContractItem"], r["TargetQuantity"], r["PurchasingContractDeletionCode"])
        for r in await erp.rows("A_PurchaseContractItem")
    ] == [("1", "600.000", ""), ("2", "7.000", "L"), ("3", "1.000", "")]
    ended = agreed(contract_line("1", "600"), status="ended", last_day=date(2027, 12, 31))
    await erp.apply(ended)
    await erp.assert_equal(ended)
    assert [
        r["PurchasingContractDeletionCode"] for r in await erp.rows("A_PurchaseContractItem")
    ] == ["S", "L", "S"]


async def test_a_change_applied_without_an_answer_is_found_done_by_the_next_look(
    erp: Client,
) -> None:
    await put_materials(erp)
    await erp.apply(agreed(contract_line("1", "500")))
    await erp.fault(action="apply_then_500", method="POST", path="batch$")
    more = agreed(contract_line("1", "500"), contract_line("2", "7"))
    with pytest.raises(InDoubt):
        await erp.apply(more)
    assert await erp.apply(more) == ("4600000001", None)
    assert (erp.writes, len(await erp.rows("A_PurchaseContractItem"))) == (0, 2)


async def test_a_contract_of_the_erps_own_that_comes_back_is_found_under_its_number(
    erp: Client,
) -> None:
    await put_materials(erp)
    await keep_contract(erp, PurchasingOrganization="1010")
    same = contract_line("10", "500", lead_time_days=None)
    own = agreed(same, number="4600000007", first_day=date(2016, 7, 1), last_day=date(2029, 12, 31))
    assert await erp.apply(own) == ("4600000007", None)
    assert (erp.writes, len(await erp.rows("A_PurchaseContract"))) == (0, 1)


@pytest.mark.parametrize(
    ("put", "code", "where"),
    [
        (agreed(contract_line("1", "5"), supplier="9"), "SUPPLIER_UNKNOWN", "Supplier"),
        (agreed(contract_line("1", "5", item="BOLT")), "CONTRACT_MATERIAL_MISSING",
         "to_PurchaseContractItem(0)/Material"),
        (agreed(contract_line("1", None)), "CONTRACT_TARGET",
         "to_PurchaseContractItem(0)/TargetQuantity"),
    ],
)  # fmt: skip
async def test_a_contract_on_what_the_erp_does_not_know_is_refused_in_its_words(
    erp: Client, put: PutContract, code: str, where: str
) -> None:
    await put_materials(erp)
    with pytest.raises(Rejected, match=code) as refused:
        await erp.apply(put)
    assert refused.value.where == where
    assert await erp.rows("A_PurchaseContract") == []


async def test_a_change_that_the_erp_refuses_is_refused_in_its_words(erp: Client) -> None:
    await put_materials(erp)
    await erp.apply(agreed(contract_line("1", "500")))
    with pytest.raises(Rejected, match="CONTRACT_MATERIAL_MISSING") as refused:
        await erp.apply(agreed(contract_line("1", "500"), contract_line("2", "5", item="BOLT")))
    assert refused.value.where == "Material"
    assert len(await erp.rows("A_PurchaseContractItem")) == 1


async def test_a_contract_in_approval_is_not_changed(erp: Client) -> None:
    await put_materials(erp)
    await keep_contract(erp, PurchasingProcessingStatus="03", PurchasingOrganization="1010")
    more = agreed(contract_line("10", "600"), number="4600000007", first_day=date(2016, 7, 1),
                  last_day=date(2029, 12, 31))  # fmt: skip
    with pytest.raises(Rejected, match="CONTRACT_IN_APPROVAL"):
        await erp.apply(more)


async def test_a_contract_put_there_is_not_told_of_as_another_one(erp: Client) -> None:
    await put_materials(erp)
    put = agreed(contract_line("1", "500"))
    await erp.apply(put)
    asking = asked("purchase-contract", "4600000001", "contract/4600000001")
    _, answer = await erp.apply(asking)
    assert answer is not None
    attributes = {"id": "step/1/1", "subject": answer.key, "time": READ_AT.isoformat()}
    message = HANDLER_CONTRACT.read(Delivery("erp", answer.type, answer.body, "", "", attributes))
    known = {"contract/C-1001": Known(1, put.contract)}
    assert HANDLER_CONTRACT.needs(message, Facts(RULES)) == {
        "contract/4600000001",
        "contract/C-1001",
    }
    assert HANDLER_CONTRACT.decide(message, Facts(RULES, known), READ_AT) == ()


def listed_from(supplier: str = "17300001", **more: Any) -> Source:
    plain = Source(MARCH, supplier=supplier, organisation="1010")
    return msgspec.structs.replace(plain, **more)


def source_list_of(*sources: Source, **more: Any) -> PutSourceList:
    plain = SourceList("SEAL-7", "1010", 1, sources, origin="erp-2")
    return PutSourceList(msgspec.structs.replace(plain, **more))


async def test_a_source_list_is_made_row_by_row_and_found_equal_afterwards(erp: Client) -> None:
    await put_materials(erp)
    await erp.apply(agreed(contract_line("10", "500")))
    put = source_list_of(
        listed_from(contract="C-1001", contract_line="10", last_day=date(2026, 12, 31)),
        listed_from(first_day=date(2027, 1, 1), order_unit="H87", is_fixed=True),
    )
    await erp.apply(put)
    assert erp.writes == 2
    assert erp.warnings[-1].endswith("to mark: supplier 17300001 from 2027-01-01")
    await erp.assert_equal(put)
    assert [
        (r["SourceListRecord"], r["PurchaseOutlineAgreement"], r["OrderQuantityUnit"])
        for r in await erp.rows("A_PurchasingSource")
    ] == [("1", "4600000001", ""), ("2", "", "PC")]


async def test_a_row_made_by_a_lost_call_is_not_made_again(erp: Client) -> None:
    await put_materials(erp)
    await erp.fault(action="apply_then_500", method="POST", path="A_PurchasingSource$")
    put = source_list_of(listed_from())
    with pytest.raises(InDoubt):
        await erp.apply(put)
    await erp.apply(put)
    assert (erp.writes, len(await erp.rows("A_PurchasingSource"))) == (0, 1)


async def test_a_source_list_is_changed_row_by_row_and_the_result_is_exact(
    tmp_path: Path,
) -> None:
    seed = {**ERP_SEED, "suppliers": ["17300001", "17300002", "17300003"]}
    async with serving("erp", tmp_path / "erp", seed) as stand_in, erp_client(stand_in) as erp:
        await put_materials(erp)
        from_plant = {"SupplyingPlant": "1020", "ValidityStartDate": "/Date(1467331200000)/"}
        await erp.plant(
            "A_PurchasingSource",
            Material="SEAL-7",
            Plant="1010",
            SourceListRecord="9",
            **from_plant,
        )
        old = source_list_of(listed_from(), listed_from("17300002"))
        await erp.apply(old)
        new = source_list_of(
            listed_from(is_blocked=True, last_day=date(2026, 6, 30)), listed_from("17300003")
        )
        await erp.apply(new)
        assert erp.writes == 3
        await erp.assert_equal(new)
        assert [
            (r["SourceListRecord"], r["Supplier"], r["SourceOfSupplyIsBlocked"])
            for r in await erp.rows("A_PurchasingSource")
        ] == [("9", "", False), ("1", "17300001", True), ("3", "17300003", False)]
        # Without a known origin only rows of its own suppliers are its.
        await erp.apply(source_list_of(listed_from("17300002"), origin=""))
        assert len(await erp.rows("A_PurchasingSource")) == 4


async def test_a_source_that_is_added_and_a_list_that_has_it_leave_each_other_alone(
    tmp_path: Path,
) -> None:
    seed = {**ERP_SEED, "suppliers": ["17300001", "17300002"]}
    async with serving("erp", tmp_path / "erp", seed) as stand_in, erp_client(stand_in) as erp:
        await put_materials(erp)
        whole = source_list_of(
            listed_from(last_day=date(2026, 6, 30)), listed_from("17300002", is_blocked=True)
        )
        part = PutSourceList(
            SourceList("SEAL-7", "1010", 0, whole.sources.sources[:1]), is_partial=True
        )
        await erp.apply(part)
        assert erp.writes == 1
        await erp.apply(whole)
        assert erp.writes == 1
        await erp.assert_equal(part)
        await erp.assert_equal(whole)
        # Two rows of one source may not be there for one day: the open days are added.
        longer = PutSourceList(SourceList("SEAL-7", "1010", 0, (listed_from(),)), is_partial=True)
        await erp.apply(longer)
        await erp.assert_equal(longer)
        assert [
            (r["Supplier"], odata.parse_date(r["ValidityStartDate"]))
            for r in await erp.rows("A_PurchasingSource")
        ] == [("17300001", MARCH), ("17300002", MARCH), ("17300001", date(2026, 7, 1))]
        blocked = PutSourceList(
            SourceList("SEAL-7", "1010", 0, (listed_from("17300002"),)), is_partial=True
        )
        with pytest.raises(Conflict, match="source-blocked"):
            await erp.apply(blocked)


async def test_a_list_on_a_contract_that_the_erp_does_not_have_is_refused(erp: Client) -> None:
    await put_materials(erp)
    with pytest.raises(Rejected, match="contract-unknown"):
        await erp.apply(source_list_of(listed_from(contract="4600000009", contract_line="10")))
    assert await erp.rows("A_PurchasingSource") == []


# --- ERP: suppliers ---


def kept(**more: Any) -> PutSupplier:
    plain = SupplierMaster(
        "17300009", 1, name="Southern Seals", street="Kai 1", city="Ulm", country="DE"
    )
    return PutSupplier(msgspec.structs.replace(plain, **more))


async def test_a_supplier_is_made_once_and_ordered_from(erp: Client) -> None:
    await put_materials(erp)
    assert await erp.apply(kept()) == ("17300009", None)
    assert erp.writes == 1
    await erp.assert_equal(kept())
    await erp.apply(placed(order_line("1", "5"), supplier="17300009"))
    (supplier,) = await erp.rows("A_Supplier")
    assert (supplier["Supplier"], supplier["PurchasingIsBlocked"]) == ("17300009", False)
    (role,) = await erp.rows("A_BusinessPartnerRole")
    assert role["BusinessPartnerRole"] == "FLVN01"


async def test_a_supplier_made_by_a_lost_call_is_not_made_again(erp: Client) -> None:
    await erp.fault(action="apply_then_500", method="POST", path="A_BusinessPartner$")
    with pytest.raises(InDoubt):
        await erp.apply(kept())
    assert await erp.apply(kept()) == ("17300009", None)
    assert (erp.writes, len(await erp.rows("A_BusinessPartner"))) == (0, 1)


async def test_a_supplier_is_blocked_renamed_and_moved_by_a_call_each(erp: Client) -> None:
    await keep_partner(erp)
    moved = kept(
        number="17300001", name="Nord", street="Kai 2", city="Kiel", is_posting_blocked=True
    )
    await erp.apply(moved)
    assert erp.writes == 3
    await erp.assert_equal(moved)
    (partner,) = await erp.rows("A_BusinessPartner")
    assert (partner["BusinessPartner"], partner["OrganizationBPName1"]) == ("9000017", "Nord")
    # The block of purchasing was this ERP's; the keeper has none.
    (supplier,) = await erp.rows("A_Supplier")
    assert (supplier["PostingIsBlocked"], supplier["PurchasingIsBlocked"]) == (True, False)
    cities = {a["AddressID"]: a["CityName"] for a in await erp.rows("A_BusinessPartnerAddress")}
    assert cities == {"1": "Kiel", "2": "Bonn"}


# --- what is read back ---


def asked(kind: str, id_: str, key: str) -> ReadObject:
    return ReadObject(kind, id_, key, asked=1, correlation_id="story-1")


async def place_order(erp: Client, **of_the_items: object) -> None:
    """A buyer placed an order of two items, one of which was deleted again."""
    await erp.plant(
        "A_PurchaseOrder",
        PurchaseOrder="4500000028",
        PurchaseOrderType="NB",
        PurchasingProcessingStatus="02",
        LastChangeDateTime="/Date(1492098664000+0000)/",
        Supplier="17300001",
        PurchasingOrganization="1010",
        PurchaseOrderDate="/Date(1473638400000)/",
        DocumentCurrency="EUR",
    )
    for number, deletion in (("10", ""), ("20", "L")):
        await erp.plant(
            "A_PurchaseOrderItem",
            PurchaseOrder="4500000028",
            PurchaseOrderItem=number,
            PurchasingDocumentDeletionCode=deletion,
            Plant="1010",
            Material="SEAL-7",
            OrderQuantity="500.000",
            PurchaseOrderQuantityUnit="PC",
            OrderPriceUnit="PC",
            NetPriceAmount="25.00",
            NetPriceQuantity="1000",
            **of_the_items,
        )
        await erp.plant(
            "A_PurchaseOrderScheduleLine",
            PurchasingDocument="4500000028",
            PurchasingDocumentItem=number,
            ScheduleLine="1",
            ScheduleLineDeliveryDate="/Date(1474502400000)/",
            ScheduleLineOrderQuantity="500.000",
        )


async def test_an_order_that_an_event_named_is_read_with_all_below_it(erp: Client) -> None:
    await place_order(erp)
    key = "purchase-order/4500000028"
    reference, answer = await erp.apply(asked("purchase-order", "4500000028", key))
    assert (reference, erp.writes) == ("4500000028", 0)
    pieces = Quantity(Decimal(500), "H87")
    assert emitted(HANDLER_ORDER, answer) == Emit(
        "purchase-order.created",
        key,
        PurchaseOrder(
            number="4500000028",
            version=1_492_098_664_000_000,
            supplier="17300001",
            currency="EUR",
            lines=(
                OrderLine(
                    line="10",
                    item="SEAL-7",
                    quantity=pieces,
                    price=UnitPrice(Money(Decimal(25), "EUR"), Quantity(Decimal(1000), "H87")),
                    plant="1010",
                    schedule=(ScheduleLine(pieces, date(2016, 9, 22)),),
                ),
            ),
            organisation="1010",
            kind="NB",
            ordered_on=date(2016, 9, 12),
            source_id="4500000028",
            stated_at=READ_AT,
        ),
    )


async def test_a_material_that_was_written_is_read_back_as_the_erp_has_it(erp: Client) -> None:
    await erp.apply(PutItem(item()))
    await erp.apply(ExtendToPlant("SEAL-7", "1010", "buy", "H87", "001"))
    _, answer = await erp.apply(asked("product", "SEAL-7", "item-master/SEAL-7"))
    event = emitted(HANDLER_PRODUCT, answer)
    patch = event.data
    assert (event.event, event.key) == ("item.changed", "item-master/SEAL-7")
    assert isinstance(patch, ItemMasterPatch)
    assert (patch.number, patch.base_unit, patch.kind) == ("SEAL-7", "H87", "ROH")
    assert patch.net_weight == patch.gross_weight == Quantity(Decimal("0.25"), "KGM")
    assert patch.descriptions == {"EN": "Shaft seal, 40 mm"}
    assert ItemUnit("XRO", Ratio(100)) in patch.alternates
    assert patch.is_deleted is False
    assert patch.plants == (
        PlantPatch(
            "1010",
            procurement="buy",
            purchasing_group="001",
            minimum_lot=None,
            status=None,
            is_deleted=False,
            needs_source_list=False,
        ),
    )
    [row] = await erp.rows("A_Product")
    milliseconds = int(row["LastChangeDateTime"].removeprefix("/Date(").partition("+")[0])
    assert patch.version == milliseconds * 1000


async def test_that_a_plant_orders_by_a_source_list_only_is_read_with_its_view(erp: Client) -> None:
    await erp.apply(PutItem(item()))
    for plant, is_required in (("1010", True), ("1020", False)):
        await erp.apply(ExtendToPlant("SEAL-7", plant, "buy", "H87", "001"))
        await erp.plant(
            "A_ProductPlantProcurement",
            Product="SEAL-7",
            Plant=plant,
            IsSourceListRequired=is_required,
            IsAutoPurOrdCreationAllowed=True,
        )
    _, answer = await erp.apply(asked("product", "SEAL-7", "item-master/SEAL-7"))
    patch = emitted(HANDLER_PRODUCT, answer).data
    assert isinstance(patch, ItemMasterPatch)
    assert {view.plant: view.needs_source_list for view in patch.plants} == {
        "1010": True,
        "1020": False,
    }


async def keep_partner(erp: Client) -> None:
    """A partner that is a supplier of another number, with two addresses, one of them for goods."""
    partner = "9000017"
    await erp.plant(
        "A_BusinessPartner",
        BusinessPartner=partner,
        Supplier="17300001",
        BusinessPartnerCategory="2",
        OrganizationBPName1="Northern Seals",
        LastChangeDate="/Date(1583452800000)/",
    )
    await erp.plant(
        "A_Supplier", Supplier="17300001", SupplierAccountGroup="SUPL", PurchasingIsBlocked=True
    )
    await erp.plant(
        "A_SupplierCompany",
        Supplier="17300001",
        CompanyCode="1010",
        ReconciliationAccount="21100000",
        HouseBank="HB001",
    )
    await erp.plant(
        "A_SupplierPurchasingOrg",
        Supplier="17300001",
        PurchasingOrganization="1010",
        PurchaseOrderCurrency="EUR",
        MinimumOrderAmount="250.000",
    )
    for number, city, usage in (("1", "Ulm", "XXDEFAULT"), ("2", "Bonn", "WE")):
        await erp.plant(
            "A_BusinessPartnerAddress", BusinessPartner=partner, AddressID=number, CityName=city
        )
        await erp.plant(
            "A_BuPaAddressUsage",
            BusinessPartner=partner,
            ValidityEndDate="/Date(253402300799000+0000)/",
            AddressUsage=usage,
            AddressID=number,
        )


async def test_a_partner_that_an_event_named_is_read_as_the_supplier_that_it_is(
    erp: Client,
) -> None:
    await keep_partner(erp)
    reference, answer = await erp.apply(
        asked("business-partner", "9000017", "business-partner/9000017")
    )
    assert (reference, erp.writes) == ("9000017", 0)
    assert answer is not None
    assert b"HB001" not in answer.body
    event = emitted(HANDLER_PARTNER, answer)
    patch = event.data
    assert (event.event, event.key) == ("supplier-master.changed", "supplier-master/17300001")
    assert isinstance(patch, SupplierMasterPatch)
    assert (patch.number, patch.name, patch.city) == ("17300001", "Northern Seals", "Ulm")
    assert (patch.account_group, patch.is_purchasing_blocked) == ("SUPL", True)
    assert (patch.version, patch.stated_at) == (1_583_452_800_000_000, READ_AT)
    [company] = patch.companies
    assert (company.company, company.reconciliation_account) == ("1010", "21100000")
    [terms] = patch.organisations
    assert (terms.organisation, terms.minimum_order) == ("1010", Money(Decimal(250), "EUR"))


async def test_a_partner_that_is_no_supplier_is_read_and_says_nothing(erp: Client) -> None:
    await erp.plant("A_BusinessPartner", BusinessPartner="9000018", Customer="9000018")
    _, answer = await erp.apply(asked("business-partner", "9000018", "business-partner/9000018"))
    assert answer is not None
    attributes = {"id": "1", "subject": answer.key, "time": READ_AT.isoformat()}
    delivery = Delivery("erp", "", answer.body, attributes=attributes)
    assert HANDLER_PARTNER.decide(HANDLER_PARTNER.read(delivery), Facts(RULES), READ_AT) == ()


async def test_an_info_record_that_was_written_is_read_back_under_its_number(erp: Client) -> None:
    await put_materials(erp)
    await erp.apply(record())
    [row] = await erp.rows("A_PurchasingInfoRecord")
    number = row["PurchasingInfoRecord"]
    _, answer = await erp.apply(asked("info-record", number, f"purchasing-info-record/{number}"))
    event = emitted(HANDLER_INFO_RECORD, answer)
    patch = event.data
    assert (event.event, event.key) == (
        "info-record.changed",
        "info-record/17300001/1010/1010/standard/SEAL-7",
    )
    assert isinstance(patch, InfoRecordTermsPatch)
    assert (patch.number, patch.order_unit, patch.base_unit) == (number, "H87", "H87")
    assert (patch.order_to_base, patch.lead_time_days) == (Ratio(1), 5)
    assert patch.price == UnitPrice(Money(Decimal(25), "EUR"), Quantity(Decimal(1000), "H87"))
    assert patch.price_until == date(2029, 6, 30)
    assert (patch.standard, patch.minimum) == (Quantity(Decimal(1), "H87"), None)
    assert (patch.is_deleted, patch.is_deleted_here) == (False, False)
    milliseconds = int(row["LastChangeDateTime"].removeprefix("/Date(").partition("+")[0])
    assert patch.version == milliseconds * 1000
    _, plain = patch.prices
    assert plain == PricePeriod(plain.first_day, date(2029, 6, 30), patch.price)
    # Once its price has a scale, its lines are asked for with another call.
    steps = scales(("5000", "24.00"), ("20000", "22.50"))
    await erp.apply(record(scales=steps))
    _, answer = await erp.apply(asked("info-record", number, f"purchasing-info-record/{number}"))
    nothing_else, scaled = emitted(HANDLER_INFO_RECORD, answer).data.prices
    assert nothing_else == PricePeriod(date.min)
    assert scaled == msgspec.structs.replace(plain, scales=steps)


async def keep_contract(erp: Client, **more: object) -> None:
    """A contract of the ERP's own buyers, with its item."""
    await erp.plant(
        "A_PurchaseContract",
        PurchaseContract="4600000007",
        PurchaseContractType="MK",
        LastChangeDateTime="/Date(1492098664000+0000)/",
        Supplier="17300001",
        SupplierPhoneNumber="999 856 4321",
        DocumentCurrency="EUR",
        ValidityStartDate="/Date(1467331200000)/",
        ValidityEndDate="/Date(1893369600000)/",
        **{"PurchasingProcessingStatus": "02", "PurchasingProcessingStatusName": "Active", **more},
    )
    await erp.plant(
        "A_PurchaseContractItem",
        PurchaseContract="4600000007",
        PurchaseContractItem="10",
        Plant="1010",
        Material="SEAL-7",
        OrderQuantityUnit="PC",
        TargetQuantity="500.000",
        ContractNetPriceAmount="25.000",
        NetPriceQuantity="1000",
        ContractItemConsumedQuantity="120.000",
    )


async def test_a_contract_that_an_event_named_is_read_with_its_items(erp: Client) -> None:
    await keep_contract(erp)
    key = "contract/4600000007"
    reference, answer = await erp.apply(asked("purchase-contract", "4600000007", key))
    assert (reference, erp.writes) == ("4600000007", 0)
    assert answer is not None
    assert b"999 856 4321" not in answer.body
    assert emitted(HANDLER_CONTRACT, answer) == Emit(
        "contract.changed",
        key,
        PurchaseContract(
            number="4600000007",
            version=1_492_098_664_000_000,
            supplier="17300001",
            status="active",
            first_day=date(2016, 7, 1),
            last_day=date(2029, 12, 31),
            kind="quantity",
            currency="EUR",
            lines=(
                ContractLine(
                    line="10",
                    item="SEAL-7",
                    order_unit="H87",
                    price=UnitPrice(Money(Decimal(25), "EUR"), Quantity(Decimal(1000), "H87")),
                    target=Quantity(Decimal(500), "H87"),
                    released=Quantity(Decimal(120), "H87"),
                    plants=("1010",),
                ),
            ),
            stated_as="Active",
            source_id="4600000007",
            stated_at=READ_AT,
        ),
    )


async def test_a_source_list_is_all_rows_of_the_material_in_the_plant(erp: Client) -> None:
    for plant, record, supplier in (("1010", "2", "17300002"), ("1010", "1", "17300001"),
                                    ("1020", "1", "17300003")):  # fmt: skip
        await erp.plant(
            "A_PurchasingSource",
            Material="SEAL/7",
            Plant=plant,
            SourceListRecord=record,
            ValidityStartDate="/Date(1467331200000)/",
            ValidityEndDate="/Date(253402214400000)/",
            Supplier=supplier,
            SupplierIsFixed=record == "1",
        )
    key = "source-list/1010/SEAL/7"
    _, answer = await erp.apply(asked("source-list", "1010/SEAL/7", key))
    event = emitted(HANDLER_SOURCE_LIST, answer)
    assert (event.event, event.key) == ("source-list.changed", key)
    assert isinstance(event.data, SourceList)
    assert event.data.sources == (
        Source(date(2016, 7, 1), supplier="17300001", is_fixed=True),
        Source(date(2016, 7, 1), supplier="17300002"),
    )
    _, answer = await erp.apply(asked("source-list", "1020/SEAL/8", "source-list/1020/SEAL/8"))
    nothing = emitted(HANDLER_SOURCE_LIST, answer)
    assert (nothing.data.item, nothing.data.plant, nothing.data.sources) == ("SEAL/8", "1020", ())


async def keep_bom(erp: Client) -> None:
    """A BOM whose header was changed once, with its line."""
    for change, first, last in (
        ("", "/Date(1467331200000)/", "/Date(1577750400000)/"),  # until 2019-12-31
        ("500000000042", "/Date(1577836800000)/", "/Date(253402214400000)/"),
    ):
        key = {
            "BillOfMaterial": "00000007",
            "BillOfMaterialCategory": "M",
            "BillOfMaterialVariant": "1",
            "BillOfMaterialVersion": "",
            "Material": "PUMP",
            "Plant": "1010",
        }
        await erp.plant(
            "MaterialBOM",
            **key,
            EngineeringChangeDocument=change,
            BillOfMaterialVariantUsage="1",
            HeaderValidityStartDate=first,
            HeaderValidityEndDate=last,
            BOMHeaderBaseUnit="PC",
            BOMHeaderQuantityInBaseUnit="10.000" if change else "1.000",
        )
        await erp.plant(
            "MaterialBOMItem",
            **key,
            HeaderChangeDocument=change,
            BillOfMaterialItemNodeNumber="00000001",
            ValidityStartDate="/Date(1467331200000)/",
            ValidityEndDate="/Date(253402214400000)/",
            BillOfMaterialComponent="SEAL-7",
            BillOfMaterialItemCategory="L",
            BillOfMaterialItemNumber="0010",
            BillOfMaterialItemUnit="PC",
            BillOfMaterialItemQuantity="20.000",
        )


async def test_a_bom_is_read_in_all_its_states_and_told_as_it_is_today(erp: Client) -> None:
    await keep_bom(erp)
    key = "material-bom/1010/7/1/PUMP"
    _, answer = await erp.apply(asked("bom", "1010/00000007/1/PUMP", key))
    assert emitted(HANDLER_BOM, answer) == Emit(
        "bom.changed",
        "plant-bom/1010/1/1/PUMP",
        PlantBomState(
            plant="1010",
            parent="PUMP",
            usage="1",
            alternative="1",
            version=int(READ_AT.timestamp()) * 1_000_000,
            base=Quantity(Decimal(10), "H87"),
            lines=(line("10", "SEAL-7", "20"),),
            change="500000000042",
            valid_from=date(2020, 1, 1),
            source_id="PUMP",
            stated_at=READ_AT,
        ),
    )


async def test_a_change_number_that_was_written_is_read_back_with_what_it_lists(
    erp: Client,
) -> None:
    await put_materials(erp)
    await erp.apply(bom(line("10", "SEAL-7", "2")))
    await erp.apply(change(reason="It leaks"))
    boms = (ChangedBom("PUMP", "1010", "1"),)
    await erp.apply(PutChangedObjects(ChangedObjects("eco-7", ("SEAL-7", "PUMP"), boms)))
    await erp.plant(
        "A_ChangeMstrObMgReMaterial",
        ChangeNumber="ECO-7",
        Material="HOSE",
        ObjMgmtRecdObjIsLockedForChg="X",
    )
    key = "change-master/ECO-7"
    reference, answer = await erp.apply(asked("change-master", "ECO-7", key))
    assert (reference, erp.writes) == ("ECO-7", 0)
    [row] = await erp.rows("A_ChangeMaster")
    milliseconds = int(row["ChangeNumberLastChgdDateTime"].removeprefix("/Date(").partition("+")[0])
    assert answer is not None
    assert b"ByUser" not in answer.body
    assert emitted(HANDLER_CHANGE_MASTER, answer) == Emit(
        "change-master.changed",
        key,
        ChangeMasterState(
            number="ECO-7",
            version=milliseconds * 1000,
            description="Seal the shaft",
            reason="It leaks",
            valid_from=date(2026, 3, 2),
            status="active",
            open_to=("item", "bom"),
            objects=(
                ListedObject("item", "HOSE", is_locked=True),
                ListedObject("item", "PUMP"),
                ListedObject("item", "SEAL-7"),
                ListedObject("bom", "PUMP", "1010", "1"),
            ),
            stated_as="01",
            source_id="ECO-7",
            stated_at=READ_AT,
        ),
    )


async def test_a_change_number_of_the_erps_own_people_is_read_as_they_left_it(
    erp: Client,
) -> None:
    await erp.plant(
        "A_ChangeMaster",
        ChangeNumber="500000000042",
        ChangeNumberStatus="02",
        ChangeNumberValidFromDate="/Date(1772409600000)/",
        ChangeNumberLastChgdDateTime="/Date(1492098664000+0000)/",
        IsUsedForDataDefinition=True,
        ChangeNumberIsMrkdForDeletion=True,
    )
    await erp.plant(
        "A_ChangeMasterObjTypeAssgmt",
        ChangeNumber="500000000042",
        SAPObjectType="MaterialBOM",
        IsActiveForChangeNumber=True,
        IsLockedForChanges="X",
    )
    key = "change-master/500000000042"
    _, answer = await erp.apply(asked("change-master", "500000000042", key))
    assert emitted(HANDLER_CHANGE_MASTER, answer).data == ChangeMasterState(
        number="500000000042",
        version=1_492_098_664_000_000,
        valid_from=date(2026, 3, 2),
        status="inactive",
        locked=("bom",),
        is_used=True,
        is_deleted=True,
        stated_as="02",
        source_id="500000000042",
        stated_at=READ_AT,
    )


@pytest.mark.parametrize(
    "kind",
    [
        "purchase-order",
        "product",
        "business-partner",
        "info-record",
        "purchase-contract",
        "change-master",
    ],
)
async def test_what_the_erp_does_not_have_any_more_is_an_answer(erp: Client, kind: str) -> None:
    _, answer = await erp.apply(asked(kind, "4711", f"{kind}/4711"))
    assert answer is not None
    assert msgspec.json.decode(answer.body) == {"gone": True, "id": "4711"}


# --- procurement ---


def published() -> PublishItem:
    return PublishItem(
        item(
            compliance=(ComplianceMark("RoHS", "compliant"), ComplianceMark("REACH", "")),
            manufacturers=(
                ApprovedManufacturer("Sealco", "S-9", "approved", rank=2),
                ApprovedManufacturer("Dichtung AG", "D/40", "conditional", rank=1),
            ),
        )
    )


async def test_an_item_is_published_once_and_then_changed(procurement: Client) -> None:
    assert await procurement.apply(published()) == ("1", None)
    await procurement.assert_equal(published())
    obsolete = PublishItem(msgspec.structs.replace(published().item, lifecycle="obsolete"))
    await procurement.apply(obsolete)
    assert procurement.writes == 1
    await procurement.assert_equal(obsolete)
    (row,) = await procurement.rows("items")
    assert row["active"] is False
    assert row["custom-fields"] == {
        "revision": "B",
        "lifecycle": "obsolete",
        "compliance": ["RoHS: compliant", "REACH"],
        "approved-manufacturers": [
            {"manufacturer": "Dichtung AG", "part-number": "D/40", "status": "conditional"},
            {"manufacturer": "Sealco", "part-number": "S-9", "status": "approved"},
        ],
    }


@pytest.mark.parametrize("unit", ["H87", "KGM", "MTR", "LTR"])
async def test_units_of_the_packages_are_known_to_procurement(
    procurement: Client, unit: str
) -> None:
    put = PublishItem(item(base_unit=unit, alternates=()))
    await procurement.apply(put)
    await procurement.assert_equal(put)


async def test_an_item_published_by_a_lost_call_is_found(procurement: Client) -> None:
    await procurement.fault(action="apply_then_500", method="POST", path="/api/items")
    with pytest.raises(InDoubt):
        await procurement.apply(published())
    await procurement.apply(published())
    assert procurement.writes == 0


async def test_a_supplier_comes_back_with_its_qualification(procurement: Client) -> None:
    _, answer = await procurement.apply(ReadSupplier("17300001"))
    assert emitted(HANDLER_SUPPLIER, answer) == Emit(
        "supplier.changed",
        "supplier/17300001",
        Supplier(
            number="17300001",
            name="Northern Seals",
            active=True,
            qualification=Qualification("qualified", date(2029, 12, 31), "Qualified"),
            source_id="1",
            stated_at=READ_AT,
        ),
    )


async def test_an_unknown_supplier_is_a_case_for_procurement(procurement: Client) -> None:
    with pytest.raises(Rejected, match="supplier-unknown") as refused:
        await procurement.apply(ReadSupplier("999"))
    assert refused.value.owner == "procurement"


async def test_contract_coverage_comes_back_for_the_item(procurement: Client) -> None:
    _, answer = await procurement.apply(ReadCoverage("SEAL-7"))
    price = UnitPrice(Money(Decimal(25), "EUR"), Quantity(Decimal(1000), "H87"))
    line = CoverageLine(
        contract="C-1",
        supplier="17300001",
        price=price,
        order_unit="H87",
        first_day=date(2025, 6, 1),
        last_day=date(2029, 6, 30),
    )
    assert emitted(HANDLER_CONTRACTS, answer) == Emit(
        "sourcing.changed", "coverage/SEAL-7", Coverage("SEAL-7", (line,), READ_AT)
    )


async def test_an_item_without_contract_has_empty_coverage(procurement: Client) -> None:
    _, answer = await procurement.apply(ReadCoverage("BOLT"))
    assert emitted(HANDLER_CONTRACTS, answer) == Emit(
        "sourcing.changed", "coverage/BOLT", Coverage("BOLT", (), READ_AT)
    )


async def test_coverage_is_found_on_whatever_page_its_contract_is_listed(
    procurement: Client,
) -> None:
    def planted(number: str, item_number: str) -> dict[str, object]:
        return {
            "number": number,
            "supplier": {"number": "17300001"},
            "status": "published",
            "start-date": "2025-06-01",
            "end-date": "2029-06-30",
            "lines": [LINE | {"item-number": item_number}],
        }

    for place in range(2, 120):
        await procurement.plant("contracts", **planted(f"C-{place}", "HOSE"))
    await procurement.plant("contracts", **planted("C-120", "SEAL-7"))
    _, answer = await procurement.apply(ReadCoverage("SEAL-7"))
    found = emitted(HANDLER_CONTRACTS, answer).data
    assert isinstance(found, Coverage)
    assert [line.contract for line in found.lines] == ["C-1", "C-120"]


async def test_a_review_is_requested_once_by_its_reference(procurement: Client) -> None:
    review = RequestReview("17300002", "ECO-7", ("SEAL-7", "HOSE"), "not qualified", "layshaft-1")
    assert await procurement.apply(review) == ("1", None)
    assert procurement.writes == 1
    assert await procurement.apply(review) == ("1", None)
    assert procurement.writes == 0
    (row,) = await procurement.rows("supplier_reviews")
    assert row["reason"] == "not qualified (also for HOSE)"


async def test_a_review_is_closed_once_and_opened_again_where_it_was_only_withdrawn(
    procurement: Client,
) -> None:
    review = RequestReview("17300002", "ECO-7", ("SEAL-7",), "not qualified", "layshaft-1")

    def closed(verdict: Literal["approved", "rejected", "withdrawn"]) -> CloseReview:
        return CloseReview("17300002", "layshaft-1", verdict, "ann in Layshaft")

    async def standing() -> tuple[str, str]:
        (row,) = await procurement.rows("supplier_reviews")
        return row["status"], row["verdict"]

    assert await procurement.apply(closed("approved")) == ("", None)
    assert procurement.writes == 0
    await procurement.apply(review)
    assert await procurement.apply(closed("withdrawn")) == ("1", None)
    assert procurement.writes == 1
    assert await standing() == ("closed", "withdrawn")
    await procurement.apply(review)
    assert await standing() == ("open", "")
    await procurement.apply(closed("rejected"))
    await procurement.apply(closed("approved"))
    assert procurement.writes == 0
    await procurement.apply(review)
    assert await standing() == ("closed", "rejected")


def master(**stated: Any) -> PutSupplier:
    plain = SupplierMaster(
        "17300003",
        0,
        name="Third Source",
        street="Dock 4",
        city="Kiel",
        country="DE",
        organisations=(PurchasingView("1010", payment_terms="NT30"),),
    )
    return PutSupplier(msgspec.structs.replace(plain, **stated))


async def test_a_supplier_of_the_erp_is_created_once_and_then_changed(
    procurement: Client,
) -> None:
    assert await procurement.apply(master()) == ("3", None)
    assert procurement.writes == 1
    await procurement.assert_equal(master())
    moved = master(city="Ulm", is_purchasing_blocked=True)
    assert await procurement.apply(moved) == ("3", None)
    assert procurement.writes == 1
    await procurement.assert_equal(moved)
    *_, row = await procurement.rows("suppliers")
    assert (row["number"], row["name"], row["status"]) == ("17300003", "Third Source", "inactive")
    assert row["primary-address"] == {
        "street1": "Dock 4",
        "city": "Ulm",
        "country": {"code": "DE"},
    }
    assert row["payment-term"] == {"code": "NT30"}


async def test_a_supplier_that_procurement_qualified_keeps_what_is_procurements(
    procurement: Client,
) -> None:
    known = master(number="17300001", name="Northern Seals AG", organisations=())
    await procurement.apply(known)
    await procurement.assert_equal(known)
    _, answer = await procurement.apply(ReadSupplier("17300001"))
    supplier = emitted(HANDLER_SUPPLIER, answer).data
    assert (supplier.name, supplier.active) == ("Northern Seals AG", True)
    assert supplier.qualification.status == "qualified"


async def test_a_supplier_under_another_number_is_a_suspected_duplicate(
    procurement: Client,
) -> None:
    with pytest.raises(SuspectedDuplicate, match="name-used-twice"):
        await procurement.apply(master(name="Northern Seals"))


def bought(number: str, amount: str = "500", item: str = "SEAL-7") -> OrderLine:
    pieces = Quantity(Decimal(amount), "H87")
    return OrderLine(
        number,
        item,
        pieces,
        UnitPrice(Money(Decimal("25.00"), "EUR"), Quantity(Decimal(1000), "H87")),
        plant="1010",
        schedule=(ScheduleLine(pieces, date(2026, 9, 22)),),
    )


def copied(*lines: OrderLine, supplier: str = "17300001") -> PutOrder:
    return PutOrder(PurchaseOrder("4500000028", 0, supplier, "EUR", lines))


async def test_an_order_is_put_once_changed_line_by_line_and_cancelled(
    procurement: Client,
) -> None:
    await procurement.apply(published())
    first = copied(bought("10"), bought("20"))
    assert await procurement.apply(first) == ("1", None)
    assert procurement.writes == 1
    await procurement.assert_equal(first)
    second = copied(bought("10", "600"), bought("30"))
    await procurement.apply(second)
    assert procurement.writes == 1
    await procurement.assert_equal(second)
    (row,) = await procurement.rows("purchase_orders")
    assert [(each["line-num"], each["quantity"], each["price"]) for each in row["order-lines"]] == [
        ("10", "600", "0.025"),
        ("30", "500", "0.025"),
    ]
    await procurement.apply(copied())
    assert procurement.writes == 1
    await procurement.assert_equal(copied())
    (row,) = await procurement.rows("purchase_orders")
    assert row["status"] == "cancelled"
    with pytest.raises(Conflict, match="order-cancelled"):
        await procurement.apply(second)


async def test_an_order_put_by_a_lost_call_is_found(procurement: Client) -> None:
    await procurement.apply(published())
    await procurement.fault(action="apply_then_500", method="POST", path="/api/purchase_orders")
    with pytest.raises(InDoubt):
        await procurement.apply(copied(bought("10")))
    await procurement.apply(copied(bought("10")))
    assert procurement.writes == 0
    assert len(await procurement.rows("purchase_orders")) == 1


async def test_an_order_that_procurement_cannot_place_is_refused_in_its_words(
    procurement: Client,
) -> None:
    with pytest.raises(Rejected, match="SEAL-7 does not exist") as refused:
        await procurement.apply(copied(bought("10")))
    assert refused.value.where == "item"
    with pytest.raises(Rejected, match="999 does not exist"):
        await procurement.apply(copied(bought("10"), supplier="999"))


READ_AT = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)


def emitted(handler: Any, answer: Answer | None) -> Any:
    """The one effect of the answer's translation."""
    assert answer is not None
    delivery = Delivery(
        source="procurement",
        kind=answer.type,
        body=answer.body,
        attributes={
            "id": "step/1/1",
            "type": answer.type,
            "subject": answer.key,
            "time": READ_AT.isoformat(),
        },
    )
    message = handler.read(delivery)
    (effect,) = handler.decide(message, Facts(RULES), READ_AT)
    return effect
