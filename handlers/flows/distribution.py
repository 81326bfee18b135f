"""Which systems get the suppliers and orders that one of them states, by the routes of the rules.

Only what the system that an object comes from says of it goes on: what another one says is its copy
of it, and would go back and forth. No route, or no known origin, is nothing to do.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import UnsetType

from canonical.effects import Plan, Step
from canonical.operations import Operation, PutOrder, PutSupplier, verb
from canonical.order import PurchaseOrder, order_key
from canonical.rules import Rules
from canonical.supplier_master import SupplierMaster, supplier_master_key
from handlers.flows.planning import DUE_S

# Kinds of objects by which a route names a system that gets them.
SUPPLIER = "supplier"
PURCHASE_ORDER = "purchase-order"

_NO_PLANT = "*"


def supplier_plans(
    master: SupplierMaster, stated_by: str | UnsetType, rules: Rules, now: datetime
) -> tuple[Plan, ...]:
    """The plan that puts the supplier into every system that gets suppliers now, if any.

    stated_by: system whose statement the master is after; master.version: of that statement.
    """
    if not stated_by or stated_by != master.origin:
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
    if not stated_by or stated_by != order.origin:
        return ()
    organisation = order.organisation or _organisation(order, rules)
    wanted = PutOrder(
        msgspec.structs.replace(order, version=0, stated_at=None, organisation=organisation)
    )
    plants = {line.plant or _NO_PLANT for line in order.lines}
    plants = plants or {route.plant for route in rules.routes}
    systems = {
        system
        for plant in plants
        for system in rules.systems_given(PURCHASE_ORDER, plant, rules.day_in(plant, now))
    }
    steps = tuple(
        _step(system, (PURCHASE_ORDER, order.number), wanted, "procurement", rules)
        for system in sorted(systems - {order.origin})
    )
    return _plans(order_key(order.number), order.version, f"Order {order.number}", steps)


def _organisation(order: PurchaseOrder, rules: Rules) -> str:
    """That buys for all its plants; "" where that is none or not one."""
    plants = (rules.plant(line.plant) for line in order.lines)
    buyers = {rules.buys_for(plant) if plant else "" for plant in plants}
    return buyers.pop() if len(buyers) == 1 else ""


def _step(
    system: str, about: tuple[str, str], operation: Operation, owner: str, rules: Rules
) -> Step:
    return Step(
        plant="",
        system=system,
        object_kind=about[0],
        object_id=about[1],
        operation=operation,
        owner=owner,
        due_s=rules.due_s.get(verb(operation), DUE_S),
    )


def _plans(key: str, version: int, title: str, steps: tuple[Step, ...]) -> tuple[Plan, ...]:
    return (Plan(key, version, title, steps),) if steps else ()
