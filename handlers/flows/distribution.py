"""Which systems get the suppliers, orders, contracts and source lists that one of them states, by
the routes of the rules.

Only what the system that an object comes from says of it goes on, or one that owns values of it
where all of them have owners: what another one says is its copy of it, and would go back and forth.
No route, or no known origin, is nothing to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec
from msgspec import UnsetType

from canonical.effects import Plan, Step
from canonical.facts import Document
from canonical.operations import (
    Operation,
    PutContract,
    PutOrder,
    PutSourceList,
    PutSupplier,
    verb,
)
from canonical.order import PurchaseOrder, order_key
from canonical.ownership import speaks, state_of
from canonical.purchase_contract import PurchaseContract, contract_key
from canonical.rules import Rules
from canonical.source_list import SourceList, source_list_key
from canonical.supplier_master import SupplierMaster, supplier_master_key
from handlers.flows.planning import DUE_S

# Kinds of objects by which a route names a system that gets them.
SUPPLIER = "supplier"
PURCHASE_ORDER = "purchase-order"
PURCHASE_CONTRACT = "purchase-contract"
SOURCE_LIST = "source-list"

_NO_PLANT = "*"


def supplier_plans(
    master: SupplierMaster, stated_by: str | UnsetType, rules: Rules, now: datetime
) -> tuple[Plan, ...]:
    """The plan that puts the supplier into every system that gets suppliers now, if any.

    stated_by: system whose statement the master is after; master.version: of that statement.
    """
    if not _speaks("supplier-master", master, stated_by, rules):
        return ()
    # What varies between two statements that say the same is not asked for again.
    wanted = PutSupplier(msgspec.structs.replace(master, version=0, stated_at=None))
    steps = tuple(
        _step(system, (SUPPLIER, master.number), wanted, "master data", rules)
        for system in rules.systems_given(SUPPLIER, _NO_PLANT, rules.day_in(_NO_PLANT, now))
        if system != master.origin
    )
    key = supplier_master_key(master.number)
    return _plans(key, master.version, f"Supplier {master.number}", steps)


def order_plans(
    order: PurchaseOrder, stated_by: str | UnsetType, rules: Rules, now: datetime
) -> tuple[Plan, ...]:
    """The plan that puts the order into every system that gets orders of one of its plants now, if
    any; one without lines is cancelled, and told to whichever may have it."""
    if not _speaks("purchase-order", order, stated_by, rules):
        return ()
    organisation = order.organisation or _buyer((line.plant for line in order.lines), rules)
    wanted = PutOrder(
        msgspec.structs.replace(order, version=0, stated_at=None, organisation=organisation),
        rules.group_for(line.plant for line in order.lines),
    )
    plants = {line.plant or _NO_PLANT for line in order.lines} or _every_plant(rules)
    steps = tuple(
        _step(system, (PURCHASE_ORDER, order.number), wanted, "procurement", rules)
        for system in _given(PURCHASE_ORDER, plants, rules, now)
        if system != order.origin
    )
    return _plans(order_key(order.number), order.version, f"Order {order.number}", steps)


def contract_plans(
    contract: PurchaseContract, stated_by: str | UnsetType, rules: Rules, now: datetime
) -> tuple[Plan, ...]:
    """The plan that puts the contract into every system that gets contracts of one of its plants
    now, if any. A line that is limited to no plant is for all of them, and so is a contract without
    lines. Of a draft nothing is agreed yet: it goes nowhere."""
    if not _speaks("contract", contract, stated_by, rules) or contract.status == "draft":
        return ()
    named = {plant for line in contract.lines for plant in line.plants}
    is_for_all = not contract.lines or any(not line.plants for line in contract.lines)
    plants = named | _every_plant(rules) if is_for_all else named
    buyer = rules.central_purchasing_org if is_for_all else _buyer(named, rules)
    group = rules.central_purchasing_group if is_for_all else ""
    ours = (plant.code for plant in rules.plants)
    wanted = PutContract(
        msgspec.structs.replace(
            contract,
            version=0,
            stated_at=None,
            organisation=contract.organisation or buyer,
            # Each order that draws on it is a new statement, of the same agreement.
            released_value=None,
            lines=tuple(msgspec.structs.replace(line, released=None) for line in contract.lines),
        ),
        group or rules.group_for(ours if is_for_all else named),
    )
    steps = tuple(
        _step(system, (PURCHASE_CONTRACT, contract.number), wanted, "procurement", rules)
        for system in _given(PURCHASE_CONTRACT, plants, rules, now)
        if system != contract.origin
    )
    key = contract_key(contract.number)
    return _plans(key, contract.version, f"Contract {contract.number}", steps)


def source_list_plans(
    sources: SourceList, stated_by: str | UnsetType, rules: Rules, now: datetime
) -> tuple[Plan, ...]:
    """The plan that puts the list into every system that gets those of its plant now, if any. A row
    that names no organisation is of the one that buys for the plant."""
    if not _speaks("source-list", sources, stated_by, rules):
        return ()
    buyer = _buyer((sources.plant,), rules)
    wanted = PutSourceList(
        msgspec.structs.replace(
            sources,
            version=0,
            stated_at=None,
            sources=tuple(
                msgspec.structs.replace(source, organisation=source.organisation or buyer)
                for source in sources.sources
            ),
        )
    )
    about = (SOURCE_LIST, sources.item)
    steps = tuple(
        _step(system, about, wanted, "procurement", rules, plant=sources.plant)
        for system in _given(SOURCE_LIST, (sources.plant,), rules, now)
        if system != sources.origin
    )
    key = source_list_key(sources.plant, sources.item)
    title = f"Source list of {sources.item} in {sources.plant}"
    return _plans(key, sources.version, title, steps)


def plans_of(
    document: Document, stated_by: str | UnsetType, rules: Rules, now: datetime
) -> tuple[Plan, ...]:
    """The plan that puts the object into every system that gets such ones, if any does."""
    match document:
        case SupplierMaster():
            return supplier_plans(document, stated_by, rules, now)
        case PurchaseOrder():
            return order_plans(document, stated_by, rules, now)
        case PurchaseContract():
            return contract_plans(document, stated_by, rules, now)
        case SourceList():
            return source_list_plans(document, stated_by, rules, now)
        case _:
            return ()


def _speaks(
    entity: str,
    document: SupplierMaster | PurchaseOrder | PurchaseContract | SourceList,
    stated_by: str | UnsetType,
    rules: Rules,
) -> bool:
    return speaks(
        rules.ownership,
        entity,
        state_of(document),
        said_by=stated_by or "",
        origin=document.origin or "",
    )


def _given(kind: str, plants: Iterable[str], rules: Rules, now: datetime) -> tuple[str, ...]:
    """The systems that get such objects of one of the plants now, by name."""
    return tuple(
        sorted(
            {
                system
                for plant in plants
                for system in rules.systems_given(kind, plant, rules.day_in(plant, now))
            }
        )
    )


def _every_plant(rules: Rules) -> set[str]:
    """All that routes tell apart: whichever system may have the object is one of theirs."""
    return {route.plant for route in rules.routes} | {plant.code for plant in rules.plants}


def _buyer(plants: Iterable[str], rules: Rules) -> str:
    """The organisation that buys for all the plants; "" where that is none or not one."""
    known = (rules.plant(plant) for plant in plants)
    buyers = {rules.buys_for(plant) if plant else "" for plant in known}
    return buyers.pop() if len(buyers) == 1 else ""


def _step(
    system: str,
    about: tuple[str, str],
    operation: Operation,
    owner: str,
    rules: Rules,
    *,
    plant: str = "",
) -> Step:
    return Step(
        plant=plant,
        system=system,
        object_kind=about[0],
        object_id=about[1],
        operation=operation,
        owner=owner,
        due_s=rules.due_s.get(verb(operation), DUE_S),
    )


def _plans(key: str, version: int, title: str, steps: tuple[Step, ...]) -> tuple[Plan, ...]:
    return (Plan(key, version, title, steps),) if steps else ()
