"""What is on order of a revision that a change supersedes: each line is put before its buyer.

The order stays its system's affair: a buyer decides, and changes or cancels it there. What that
system says of it then makes the plan anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

import msgspec

from canonical.change import AffectedItem
from canonical.effects import Finding, Step
from canonical.errors import InvalidMessage
from canonical.item import Item, item_key
from canonical.money import Money, minor_digits, value_of
from canonical.operations import Approve
from canonical.order import OrderedLine, OrderLine, PurchaseOrder, open_orders_key
from canonical.revision import UnknownRevision, parse_revision
from handlers.flows.change_scope import revision_order
from handlers.flows.planning import Planning

OPEN_ORDER = "open-order"


class OnOrder(msgspec.Struct, frozen=True):
    """The buyers' decisions, and what they should know."""

    steps: tuple[Step, ...] = ()
    findings: tuple[Finding, ...] = ()


def order_steps(planning: Planning) -> OnOrder:
    """A decision for each open order line on a revision that the change supersedes."""
    steps: list[Step] = []
    findings: list[Finding] = []
    for item in planning.scope.items:
        rows = [row for row in planning.change.affected if row.item == item.number]
        if not rows:
            continue
        steps += [
            _decision(planning, item, rows, order, line)
            for order, line in lines_concerned(planning, item, rows)
        ]
        if more := planning.facts.open_orders(item.number).more:
            what = f"{more} further open orders of {item.number} are not asked about"
            where = item_key(item.number)
            findings.append(Finding("open-orders-cut", where, what, "warning", "purchasing"))
    return OnOrder(tuple(steps), tuple(findings))


def lines_concerned(
    planning: Planning, item: Item, rows: Sequence[AffectedItem]
) -> list[tuple[PurchaseOrder, OrderLine]]:
    """Open order lines of the item that ask for what the rows supersede, with their orders."""
    return [
        (order, line)
        for order in planning.facts.open_orders(item.number).orders
        for line in order.lines
        if line.item == item.number and _is_concerned(planning, item, rows, order, line)
    ]


def _is_concerned(
    planning: Planning,
    item: Item,
    rows: Sequence[AffectedItem],
    order: PurchaseOrder,
    line: OrderLine,
) -> bool:
    plants = planning.scope.plants[item.number]
    if line.plant and line.plant not in plants:
        return False
    plant = line.plant or "*"
    if _comes_before(planning, line, plant):
        return False
    if item.lifecycle == "obsolete" or any(row.lifecycle == "obsolete" for row in rows):
        return True
    if not line.revision:
        # Ordered since the change holds, it is of what holds since.
        return order.ordered_on is None or order.ordered_on < planning.first_day(plant)
    return not any(_is_no_newer(item, row.new_revision, line.revision) for row in rows)


def _comes_before(planning: Planning, line: OrderLine, plant: str) -> bool:
    """Whether all of it is yet to come, and comes before the change takes effect."""
    days = _days(line)
    if len(days) < len(line.schedule) or not days:
        return False
    return planning.today(plant) <= days[0] and days[-1] < planning.first_day(plant)


def _is_no_newer(item: Item, new: str, ordered: str) -> bool:
    """Whether the new revision is the one that was ordered, or an older one. What cannot be told is
    for the buyer to tell."""
    try:
        revision = parse_revision(new, item.revision.scheme)
        return revision_order(revision, ordered, where=item_key(item.number)) in (0, -1)
    except UnknownRevision:
        return new == ordered


def _decision(
    planning: Planning,
    item: Item,
    rows: Sequence[AffectedItem],
    order: PurchaseOrder,
    line: OrderLine,
) -> Step:
    rules, number = planning.facts.rules, planning.change.number
    role = rules.approvers.get(OPEN_ORDER, "purchasing")
    about = OrderedLine(
        order=order.number,
        line=line.line,
        item=item.number,
        supplier=order.supplier,
        quantity=line.quantity,
        revision=line.revision,
        plant=line.plant,
        on=_first_day(line, planning.first_day(line.plant or "*")),
        value=_value(line, item),
        disposition=_disposition(rows),
    )
    labels = ", ".join(sorted({row.new_revision for row in rows}))
    asked = Approve(
        question=OPEN_ORDER,
        text=f"What becomes of {item.number} on order {order.number}/{line.line},"
        f" now that {number} releases {labels}?",
        evidence=tuple(_evidence(about)),
        signatures=rules.signatures.get(OPEN_ORDER, 1),
        choices=rules.order_dispositions,
        order_line=about,
    )
    return planning.step(
        role,
        ("order-line", f"{order.number}/{line.line}"),
        asked,
        plant=line.plant,
        owner=role,
        fact=open_orders_key(item.number),
    )


def _evidence(about: OrderedLine) -> Iterator[str]:
    """What a person sees below the question; each line only where there is such."""
    value = ""
    if about.value is not None:
        currency = about.value.currency
        value = f"{about.value.amount:.{minor_digits(currency)}f} {currency}"
    lines = (
        ("supplier", about.supplier),
        ("quantity", f"{about.quantity.value:f} {about.quantity.unit}"),
        ("delivery", str(about.on) if about.on else ""),
        ("value", value),
        ("ordered revision", about.revision or "none stated"),
        ("PLM on what is on order", about.disposition),
    )
    return (f"{name}: {said}" for name, said in lines if said)


def _disposition(rows: Sequence[AffectedItem]) -> str:
    said = {d.action for row in rows for d in row.dispositions if d.stock == "on_order"}
    return ", ".join(sorted(said))


def _days(line: OrderLine) -> list[date]:
    return sorted(part.on for part in line.schedule if part.on is not None)


def _first_day(line: OrderLine, since: date) -> date | None:
    """The first day of delivery from the change on; the first of all where all are before it."""
    days = _days(line)
    return next((day for day in days if day >= since), days[0] if days else None)


def _value(line: OrderLine, item: Item) -> Money | None:
    if line.price is None:
        return None
    try:
        return value_of(line.price, line.quantity, item.alternates, base=item.base_unit)
    except InvalidMessage:  # no factor between the units: nobody guesses one
        return None
