"""Source lists: where a plant's ERP lets nothing be ordered without one, a change enters the source
under whose contract the plant buys.

What else stands in the list is the ERP's and its buyers'. Where another system keeps it, and routes
bring it into the ERP, that one decides who stands in it: the change enters nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta

import msgspec

from canonical.change import change_key
from canonical.effects import Finding, Open, Step
from canonical.item import Item, item_key
from canonical.operations import PutSourceList
from canonical.purchase_contract import contract_key
from canonical.rules import Plant
from canonical.source_list import Source, SourceList, source_list_key
from handlers.flows.change_suppliers import Purchase
from handlers.flows.distribution import PURCHASE_CONTRACT, SOURCE_LIST
from handlers.flows.planning import Planning, Views, views_before

OWNER = "purchasing"
_ONE = timedelta(days=1)


class Listed(msgspec.Struct, frozen=True):
    """The steps that enter a purchase in source lists, by the waits in place of those that may not,
    and the cases that say so."""

    steps: tuple[Step, ...] = ()
    cases: tuple[Open, ...] = ()

    def before(self, system: str) -> tuple[Step, ...]:
        """Those that the terms in that system follow: those in it, and all waits; all of them where
        it is another system that keeps source lists."""
        if not any(step.system == system for step in self.steps):
            return self.steps
        return tuple(step for step in self.steps if step.system == system or step.kind == "wait")


def listed(
    planning: Planning,
    purchase: Purchase,
    views: Views,
    tops: Callable[[str, str], Sequence[Step]],
    after: Sequence[Step],
) -> Listed:
    """The source of the purchase in every system that keeps source lists of its plant; nothing
    where the plant needs none.

    tops: the BOMs that have to be there for an item to be built in, by number and plant; after:
        what else is before.
    """
    plant = planning.facts.rules.plant(purchase.plant)
    if plant is None or not plant.source_list:
        return Listed()
    steps: list[Step] = []
    cases: list[Open] = []
    for system in planning.holders(SOURCE_LIST, plant.code):
        kept = _kept_elsewhere(planning, purchase, system)
        source = _stated(kept, planning, purchase) if kept else _source(planning, purchase, system)
        if source is None:
            found = _not_listed(planning, purchase, kept.origin if kept and kept.origin else "")
            steps += found.steps
            cases += found.cases
            continue
        part = SourceList(purchase.item, plant.code, 0, (_with_buyer(source, planning, plant),))
        steps.append(
            planning.step(
                system,
                (SOURCE_LIST, purchase.item),
                PutSourceList(part, is_partial=True),
                plant=plant.code,
                after=[
                    *views_before(views, [purchase.item], plant.code, system),
                    *tops(purchase.item, plant.code),
                    *after,
                ],
                owner=OWNER,
                fact=_watched(planning, purchase, system),
            )
        )
    # Two systems may wait for the same.
    return Listed(
        tuple({step.identity: step for step in steps}.values()), tuple(dict.fromkeys(cases))
    )


def required_findings(planning: Planning, items: Sequence[Item]) -> tuple[Finding, ...]:
    """Of what an ERP says that it is not ordered without a source list, where no rule has the plan
    enter one; items: that are bought."""
    return tuple(
        finding
        for item in items
        for finding in (_unsaid(planning, item, None), _unsaid(planning, item, False))
        if finding is not None
    )


def _unsaid(planning: Planning, item: Item, rule: bool | None) -> Finding | None:
    master, rules = planning.facts.item_master(item.number), planning.facts.rules
    flagged = {v.plant for v in master.plants if v.needs_source_list} if master else set()
    plants = [
        code
        for code in planning.scope.plants[item.number]
        if code in flagged and (plant := rules.plant(code)) and plant.source_list is rule
    ]
    if not plants:
        return None
    what = f"{item.number} cannot be ordered without a source list in {', '.join(plants)}"
    if rule is False:
        what += ", which people keep there"
        return Finding("source-list-kept-by-people", item_key(item.number), what, "info", OWNER)
    what += ", and no rule says who enters its sources: say it with source_list of the plant"
    return Finding("source-list-required", item_key(item.number), what, "warning", OWNER)


def _kept_elsewhere(planning: Planning, purchase: Purchase, system: str) -> SourceList | None:
    """The list as the system states that keeps it, where a route brings it into this one."""
    known = planning.facts.source_list(purchase.plant, purchase.item)
    if known is None or not known.origin or known.origin == system:
        return None
    given = planning.facts.rules.systems_given(
        SOURCE_LIST, purchase.plant, planning.day(purchase.plant)
    )
    return known if system in given else None


def _stated(kept: SourceList, planning: Planning, purchase: Purchase) -> Source | None:
    """The row that lets the plant buy from the supplier on the day of the plan, as it is stated,
    but for days on which the list blocks it; None where none does."""
    day, supplier = planning.day(purchase.plant), purchase.line.supplier
    row = next((source for source in kept.allowed(day) if source.supplier == supplier), None)
    if row is None:
        return None
    first, last = row.first_day, row.last_day or date.max
    for block in kept.sources:
        if block.is_blocked and block.supplier in ("", supplier):
            if block.first_day > day:
                last = min(last, block.first_day - _ONE)
            elif block.last_day is not None:
                # It is over by that day, or the row would not be allowed.
                first = max(first, block.last_day + _ONE)
    open_end = None if last == date.max else last
    # Which one is fixed goes on with the list.
    return msgspec.structs.replace(row, first_day=first, last_day=open_end, is_fixed=False)


def _source(planning: Planning, purchase: Purchase, system: str) -> Source:
    """The supplier on the days of the contract line, from the change on."""
    contract, line = _agreement(planning, purchase, system)
    return Source(
        first_day=_first_day(planning, purchase),
        last_day=purchase.line.last_day,
        supplier=purchase.line.supplier,
        contract=contract,
        contract_line=line,
    )


def _with_buyer(source: Source, planning: Planning, plant: Plant) -> Source:
    buyer = source.organisation or planning.facts.rules.buys_for(plant)
    return msgspec.structs.replace(source, organisation=buyer)


def _first_day(planning: Planning, purchase: Purchase) -> date:
    """Not before the contract line. Of a change that tells no day of its own none is made up: it
    would be another one with each plan."""
    change, line = planning.change, purchase.line
    if change.effectivity is None and change.released_at is None:
        return line.first_day
    return max(planning.first_day(purchase.plant), line.first_day)


def _agreement(planning: Planning, purchase: Purchase, system: str) -> tuple[str, str]:
    """Contract and line that the system has, or gets by a route; ("", "") where it knows the
    supplier only: it would refuse a contract that it does not have."""
    number, plant = purchase.line.contract, purchase.plant
    contract, day = planning.facts.contract(number), planning.day(plant)
    if contract is None or contract.supplier != purchase.line.supplier or not contract.origin:
        return "", ""
    given = planning.facts.rules.systems_given(PURCHASE_CONTRACT, plant, day)
    if contract.origin != system and system not in given:
        return "", ""
    lines = contract.lines_for(purchase.item, plant=plant, on=day)
    return (number, lines[0].line) if lines else ("", "")


def _watched(planning: Planning, purchase: Purchase, system: str) -> str:
    """A document by which the step would be another one: the list of whoever keeps it, else the
    contract; "" where neither comes to the system."""
    rules, plant = planning.facts.rules, purchase.plant
    day = planning.day(plant)
    if system in rules.systems_given(SOURCE_LIST, plant, day):
        return source_list_key(plant, purchase.item)
    contract = planning.facts.contract(purchase.line.contract)
    is_there = contract is not None and contract.origin == system
    if is_there or system in rules.systems_given(PURCHASE_CONTRACT, plant, day):
        return contract_key(purchase.line.contract)
    return ""


def _not_listed(planning: Planning, purchase: Purchase, keeper: str) -> Listed:
    """Whoever keeps the list has to say that the supplier may be bought from, or procurement that
    another one is."""
    number, plant, supplier = purchase.item, purchase.plant, purchase.line.supplier
    key = source_list_key(plant, number)
    what = (
        f"The source list of {number} in plant {plant}, which {keeper} keeps, does not let"
        f" {supplier} be bought from{planning.dated(plant)}"
    )
    case = Open(
        code="source-not-listed",
        word="business_rule",
        what=what,
        where=f"{change_key(planning.change.number)}: {key}",
        remedy=f"Enter the supplier in the source list in {keeper}, or end contract"
        f" {purchase.line.contract} in procurement",
        owner=OWNER,
    )
    return Listed((planning.wait(key, what, OWNER, plant=plant),), (case,))
