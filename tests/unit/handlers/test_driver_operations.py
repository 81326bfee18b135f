"""A driver takes the operations it names, and says of every other that it does not."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import get_args

import pytest

from canonical.bom import PlantBom
from canonical.change import ChangedBom, ChangedObjects, ChangeMaster
from canonical.connector import Driver
from canonical.effects import Step
from canonical.errors import Misconfigured
from canonical.money import Money, UnitPrice
from canonical.operations import (
    Announce,
    Approve,
    AwaitFact,
    AwaitTime,
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
    PutPlantStatus,
    PutSourceList,
    PutSupplier,
    ReadCoverage,
    ReadObject,
    ReadSupplier,
    Reconcile,
    ReportImplementation,
    RequestReview,
)
from canonical.order import OrderLine, PurchaseOrder
from canonical.purchase_contract import ContractLine, PurchaseContract
from canonical.purchasing import InfoRecord
from canonical.quantity import Quantity
from canonical.source_list import Source, SourceList
from canonical.supplier_master import SupplierMaster
from handlers import DRIVERS
from tests.fixtures.gearbox import item

ONE = Quantity(Decimal(1), "H87")
DAY = date(2026, 3, 2)
CALLS: tuple[Operation, ...] = (
    PutChangeMaster(ChangeMaster("ECO-7", "Seal the shaft", date(2026, 3, 2), is_dated=True)),
    PutChangedObjects(ChangedObjects("ECO-7", ("PIN",), (ChangedBom("ARM", "1010", "1"),))),
    PutItem(item("PIN")),
    ExtendToPlant("PIN", "1010", "buy", "H87", "001"),
    PutPlantStatus("PIN", "1010", "Z5"),
    PutBom(PlantBom("1010", "ARM", "B", "1", "1", ONE, ())),
    PutInfoRecord(
        InfoRecord(
            supplier="S-1",
            item="PIN",
            purchasing_org="1010",
            plant="1010",
            order_unit="H87",
            base_unit="H87",
            order_to_base=(1, 1),
            price=UnitPrice(Money(Decimal(1), "EUR"), ONE),
            lead_time_days=5,
            contract="C-1",
            last_day=date(2029, 12, 31),
        )
    ),
    PutSupplier(SupplierMaster("S-1", 0, name="Seals")),
    PutOrder(PurchaseOrder("PO-1", 1, "S-1", "EUR", (OrderLine("1", "PIN", ONE, plant="1010"),))),
    PutContract(
        PurchaseContract("C-1", 1, "S-1", "active", DAY, lines=(ContractLine("1", "PIN"),))
    ),
    PutSourceList(
        SourceList("PIN", "1010", 1, (Source(DAY, supplier="S-1", organisation="1010"),))
    ),
    PublishItem(item("PIN")),
    ReadCoverage("PIN"),
    ReadSupplier("S-1"),
    ReadObject("purchase-order", "4500000001", "purchase-order/4500000001", 1, "c-1"),
    ReadObject("change", "CHANGE00000000000001", "engineering-change/ECO-7", 1, "c-1"),
    ReportImplementation("ECO-7", "CHANGE00000000000001", "done", "ECO-7 is implemented"),
    Reconcile("ECO-7", "INTEGRATION0000000001/EVENT000000000000001"),
    RequestReview("S-1", "ECO-7", ("PIN",), "not qualified", "layshaft-1"),
    CloseReview("S-1", "layshaft-1", "approved", "ada in Layshaft"),
)


def takes(driver: Driver, operation: Operation) -> bool:
    """Whether the driver asks for the object of the operation."""
    try:
        driver.observe(Step("", driver.name, "object", "X", operation))
    except Misconfigured as refused:
        return refused.code != "operation-unsupported"
    return True


def test_every_operation_that_is_a_call_is_tried_here() -> None:
    others = {Approve, AwaitFact, AwaitTime, Announce}
    assert {type(operation) for operation in CALLS} == set(get_args(Operation)) - others


@pytest.mark.parametrize("driver", DRIVERS.values(), ids=DRIVERS)
def test_a_driver_takes_what_it_names_and_nothing_else(driver: Driver) -> None:
    taken = {type(operation) for operation in CALLS if takes(driver, operation)}
    assert set(driver.operations) == taken
    assert len(driver.operations) == len(taken)


def test_only_who_puts_several_changes_into_one_call_is_another_driver_one_by_one() -> None:
    assert [name for name, found in DRIVERS.items() if found.one_by_one() is not found] == ["s4"]
    driver = DRIVERS["s4"].one_by_one()
    assert driver.write is DRIVERS["s4"].write_singly
    assert (driver.name, driver.operations) == ("s4", DRIVERS["s4"].operations)
