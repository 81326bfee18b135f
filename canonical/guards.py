"""Above which size a change waits for a person although everything about it is in order.

A part of the rules, `[rules.guards]`; docs/mass-changes.md shows all of it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

# A number that may be reached and not exceeded; "off": whatever the number, nobody is asked.
Limit = Annotated[int, msgspec.Meta(ge=0)] | Literal["off"]
Guard = Literal["removed_lines_percent", "price_percent", "blocked_items", "steps"]


class PlantGuards(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a plant has otherwise than the others; of what is not said, theirs."""

    plant: str
    removed_lines_percent: Limit | UnsetType = UNSET
    price_percent: Limit | UnsetType = UNSET
    blocked_items: Limit | UnsetType = UNSET
    steps: Limit | UnsetType = UNSET

    def stated(self, guard: Guard) -> Limit | UnsetType:
        """What is said of the plant alone."""
        found: Limit | UnsetType = getattr(self, guard)
        return found


class Guards(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits, and those of single plants.

    removed_lines_percent: of a BOM's lines in a plant. price_percent: by which a price of an info
    record goes up or down. blocked_items: on hold or obsolete. steps: that write definitions or
    terms to a system.

    Lines and prices are those of one plant. Items and steps are counted over all plants without a
    limit of their own together, and in each of the others by itself.
    """

    removed_lines_percent: Limit = 20
    price_percent: Limit = 30
    blocked_items: Limit = 50
    steps: Limit = 500
    plants: tuple[PlantGuards, ...] = ()

    def __post_init__(self) -> None:
        codes = [one.plant for one in self.plants]
        twice = {code for code in codes if codes.count(code) > 1}
        if twice:
            raise ValueError(f"The guards name plant {min(twice)} twice")

    def limit(self, guard: Guard, plant: str = "") -> int | None:
        """The limit in the plant; "" = in plants without one of their own; None = there is none."""
        stated = self._of(plant, guard)
        found: Limit = getattr(self, guard) if isinstance(stated, UnsetType) else stated
        return None if found == "off" else found

    def counted_in(self, guard: Guard, plant: str) -> str:
        """The plant, where it is counted by itself; "" where together with others."""
        return "" if isinstance(self._of(plant, guard), UnsetType) else plant

    def _of(self, plant: str, guard: Guard) -> Limit | UnsetType:
        found = (one.stated(guard) for one in self.plants if one.plant == plant)
        return next(found, UNSET)
