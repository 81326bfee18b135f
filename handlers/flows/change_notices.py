"""Suppliers are told of a change to what they deliver, and answer, where the rules want that.

A notice says what does not vary from plan to plan: which items and revisions, where, under which
contracts, from when on. So it goes out once, and again only where it would say something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from canonical.change import AffectedItem
from canonical.effectivity import DateEffectivity
from canonical.effects import Step
from canonical.events import NoticedItem, SupplierNotice
from canonical.item import Item
from canonical.operations import Approve
from canonical.rules import SupplierNotices
from handlers.flows.change_orders import lines_concerned
from handlers.flows.planning import LAYSHAFT, Planning

NOTICE = "supplier-notice"
ANSWERS = ("acknowledged", "objected")


class _Touched(msgspec.Struct):
    """What of a supplier a change is about."""

    items: dict[str, NoticedItem] = {}
    plants: set[str] = set()
    contracts: set[str] = set()
    orders: bool = False


def notice_steps(planning: Planning, open_ends: Sequence[Step]) -> tuple[Step, ...]:
    """A notice to each supplier that the change is known to touch, and its answer.

    open_ends: waits for what could still add to a notice.
    """
    wanted = planning.facts.rules.supplier_notices
    if wanted is None:
        return ()
    steps: list[Step] = []
    for number, touched in sorted(_touched(planning).items()):
        steps += _told(planning, number, touched, wanted, open_ends)
    return tuple(steps)


def _touched(planning: Planning) -> dict[str, _Touched]:
    """By supplier: who covers an affected item in a plant of it, and who has it on order."""
    found: dict[str, _Touched] = {}
    for item in planning.scope.items:
        rows = [row for row in planning.change.affected if row.item == item.number]
        if not rows:
            continue
        plants = planning.scope.plants[item.number]
        coverage = planning.facts.coverage(item.number)
        for line in coverage.lines if coverage else ():
            where = [code for code in plants if line.covers(code, planning.day(code))]
            if where:
                touched = found.setdefault(line.supplier, _Touched())
                touched.items[item.number] = _noticed(item, rows)
                touched.plants.update(where)
                touched.contracts.add(line.contract)
        for order, ordered in lines_concerned(planning, item, rows):
            touched = found.setdefault(order.supplier, _Touched())
            touched.items[item.number] = _noticed(item, rows)
            touched.plants.update([ordered.plant] if ordered.plant else plants)
            touched.orders = True
    return found


def _noticed(item: Item, rows: Sequence[AffectedItem]) -> NoticedItem:
    """The last row counts where one change has several of the item."""
    row = rows[-1]
    return NoticedItem(item.number, row.new_revision, row.old_revision, row.lifecycle)


def _told(
    planning: Planning,
    supplier: str,
    touched: _Touched,
    wanted: SupplierNotices,
    open_ends: Sequence[Step],
) -> Iterator[Step]:
    change, rules = planning.change, planning.facts.rules
    effectivity = change.effectivity
    notice = SupplierNotice(
        change=change.number,
        title=change.title,
        supplier=supplier,
        items=tuple(touched.items[number] for number in sorted(touched.items)),
        plants=tuple(sorted(touched.plants)),
        contracts=tuple(sorted(touched.contracts)),
        orders=touched.orders,
        takes_effect_at=effectivity.start if isinstance(effectivity, DateEffectivity) else None,
        to_acknowledge=wanted.acknowledged,
    )
    about = (NOTICE, supplier)
    issued = planning.step(
        LAYSHAFT, about, planning.announce("supplier-notice.issued", notice), after=open_ends
    )
    yield issued
    if not wanted.acknowledged:
        return
    role = rules.approvers.get(NOTICE, "purchasing")
    asked = Approve(
        question=NOTICE,
        text=f"What does supplier {supplier} answer to the notice of {change.number}?",
        evidence=tuple(_evidence(notice)),
        signatures=rules.signatures.get(NOTICE, 1),
        choices=ANSWERS,
    )
    yield planning.step(role, about, asked, after=[issued], owner=role)


def _evidence(notice: SupplierNotice) -> Iterator[str]:
    for item in notice.items:
        word = f", {item.lifecycle}" if item.lifecycle else ""
        before = f" supersedes {item.before}" if item.before else ""
        yield f"item: {item.number} {item.revision}{before}{word}"
    yield f"plants: {', '.join(notice.plants)}"
    if notice.contracts:
        yield f"contracts: {', '.join(notice.contracts)}"
    if notice.orders:
        yield "orders: some of it is on order"
    if notice.takes_effect_at is not None:
        yield f"takes effect: {notice.takes_effect_at:%Y-%m-%d %H:%M} UTC"
