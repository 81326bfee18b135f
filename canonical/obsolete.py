"""By which status of a material in a plant an ERP lets no obsolete part be bought there.

The codes are settings of each ERP, so nothing is assumed where nothing is said. A part of the
rules, `[rules.obsolete]`; docs/obsolete-parts.md shows all of it.
"""

from __future__ import annotations

from itertools import combinations

import msgspec

OFF = "off"
"""Instead of a code: no status is written there, on purpose."""


class PlaceStatus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a plant or a system has otherwise than the others. "*" = any of them."""

    plant_status: str
    plant: str = "*"
    system: str = "*"

    def __post_init__(self) -> None:
        _refuse_blanks(self.plant_status)
        if (self.plant, self.system) == ("*", "*"):
            raise ValueError(
                "A place of obsolete parts names neither plant nor system: what holds everywhere is"
                " plant_status of [rules.obsolete]"
            )

    def is_of(self, plant: str, system: str) -> bool:
        """Whether it is said of that plant in that system."""
        return self.plant in ("*", plant) and self.system in ("*", system)


class ObsoleteRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The status for all plants and systems, and those of single ones.

    plant_status: the ERP's own code; "" = nobody has said which; "off" = none is to be written.
    """

    plant_status: str = ""
    places: tuple[PlaceStatus, ...] = ()

    def __post_init__(self) -> None:
        if self.plant_status:
            _refuse_blanks(self.plant_status)
        for one, other in combinations(self.places, 2):
            if (one.plant, one.system) == (other.plant, other.system):
                raise ValueError(
                    f"Two places of obsolete parts are plant {one.plant} in system {one.system}"
                )

    def plants(self) -> frozenset[str]:
        """Codes of all plants that are named."""
        return frozenset(one.plant for one in self.places) - {"*"}

    def systems(self) -> frozenset[str]:
        """Names of all systems that are named."""
        return frozenset(one.system for one in self.places) - {"*"}

    def status(self, plant: str, system: str) -> str:
        """The code there, "" or "off": what is said of the plant counts before what is said of the
        system."""
        fitting = (one for one in self.places if one.is_of(plant, system))
        best = max(fitting, key=lambda one: (one.plant != "*", one.system != "*"), default=None)
        return best.plant_status if best else self.plant_status


def _refuse_blanks(code: str) -> None:
    if not code or code != code.strip():
        raise ValueError(
            f"{code[:20]!r} is no plant status of obsolete parts: it is empty or padded"
        )
