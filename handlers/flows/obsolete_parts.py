"""Where a change lets a part be bought no longer, and where it lets it be bought again: by its rows
and by what is known of its items."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from canonical.change import AffectedItem, EngineeringChange
from canonical.facts import Facts
from canonical.item import Item
from handlers.flows.change_scope import MATERIAL_KINDS, extended_to, named_by_change, which_plants

Buying = Literal["stops", "goes-on"]


def buying_by_place(change: EngineeringChange, facts: Facts) -> dict[tuple[str, str], Buying]:
    """By item and plant; components are nothing that a change makes obsolete.

    An item goes on where any row lets it: a revision of it that ends beside one that begins is no
    part that ends.
    """
    found: dict[tuple[str, str], Buying] = {}
    for row in change.affected:
        item = facts.item(row.item)
        buying = _buying(change, row, item) if item else None
        if item is None or buying is None:
            continue
        for plant in _places(change, row, item, facts):
            if found.get((row.item, plant)) != "goes-on":
                found[row.item, plant] = buying
    return dict(sorted(found.items()))


def _places(
    change: EngineeringChange, row: AffectedItem, item: Item, facts: Facts
) -> Iterable[str]:
    """The plants that the item goes to, and all in which an ERP has it already; where the change
    names plants, these alone."""
    plants = which_plants(change, row, facts)
    return plants if named_by_change(change, row) else {*plants, *extended_to(item, facts)}


def _buying(change: EngineeringChange, row: AffectedItem, item: Item) -> Buying | None:
    """What the row says of the item, or else the item itself; None where it is neither obsolete nor
    released, where the two contradict each other, and where a later change had the last word."""
    if item.kind not in MATERIAL_KINDS or _is_overtaken(change, item):
        return None
    stated = row.lifecycle or item.lifecycle
    if stated == "obsolete":
        return "stops"
    return "goes-on" if stated == item.lifecycle == "released" else None


def _is_overtaken(change: EngineeringChange, item: Item) -> bool:
    """Whether the item is known as a later change released it."""
    if item.change in ("", change.number) or not item.released_at or not change.released_at:
        return False
    return item.released_at > change.released_at
