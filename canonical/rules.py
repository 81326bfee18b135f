"""What the customer decides and the planners ask: plants, distribution, sourcing, regulation.

Read from one TOML file when the service starts; data, never constants in a planner.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import msgspec

from canonical.sourcing import SourcingMode


class Plant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A plant and who buys for it.

    zone: IANA time zone. purchasing_org: of the plant itself; used with local sourcing.
    region, business_unit: in the words in which suppliers are qualified for them; "" = none.
    """

    code: str
    name: str
    zone: str
    sourcing: SourcingMode
    purchasing_org: str
    purchasing_group: str = "001"
    region: str = ""
    business_unit: str = ""

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.zone)
        # Beside ZoneInfoNotFoundError (a KeyError): ValueError for "../x", OSError for a folder.
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{self.zone!r} of plant {self.code} is no time zone") from error


class Distribution(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Plants that get the items of a product family."""

    family: str
    plants: tuple[str, ...]


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which system holds a class of objects for a plant from a day on.

    object_kind, plant: "*" = any. from_day: first valid day.
    """

    object_kind: str
    plant: str
    system: str
    from_day: date


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole rule set.

    regulated: product families where a finding stops the change instead of warning.
    approvers: role that decides, per question, e.g. {"supplier-qualification": "quality"}.
    due_s: seconds a step of a kind may take before it is late, per operation word.
    inherit_qualifications: whether a supplier without a qualification of its own may be bought from
        by that of its parent. A parent's disqualification always counts.
    """

    plants: tuple[Plant, ...]
    distribution: tuple[Distribution, ...]
    routes: tuple[Route, ...]
    central_purchasing_org: str
    regulated: tuple[str, ...] = ()
    approvers: dict[str, str] = {}
    due_s: dict[str, int] = {}
    inherit_qualifications: bool = True

    def plant(self, code: str) -> Plant | None:
        """The plant with that code, if it is ours."""
        return next((p for p in self.plants if p.code == code), None)

    def day_in(self, plant: str, now: datetime) -> date:
        """The day it is in the plant at that moment; in UTC for "*" and for one that is not ours.

        now: with its zone.
        """
        known = self.plant(plant)
        return now.astimezone(ZoneInfo(known.zone) if known else UTC).date()

    def buys_for(self, plant: Plant) -> str:
        """The purchasing organisation that buys for the plant."""
        return self.central_purchasing_org if plant.sourcing == "central" else plant.purchasing_org

    def plants_of(self, family: str) -> tuple[str, ...]:
        """Plant codes that get a product family, in the order of the rule; () where no rule."""
        return next((d.plants for d in self.distribution if d.family == family), ())

    def system_for(self, object_kind: str, plant: str, on: date) -> str | None:
        """The system that holds such objects for the plant on that day.

        The most special valid route wins (plant before kind), then the latest.
        """
        return _best(r for r in self._valid(plant, on) if r.object_kind in ("*", object_kind))

    def system_told(self, object_kind: str, on: date, plant: str = "*") -> str | None:
        """The system that is told of such objects on that day; a route has to name their kind.

        plant: "*" = by a route for all of them.
        """
        return _best(r for r in self._valid(plant, on) if r.object_kind == object_kind)

    def systems_given(self, object_kind: str, plant: str, on: date) -> tuple[str, ...]:
        """The systems that get such objects of the plant on that day, by name; a route has to name
        their kind. plant: "*" = of no plant.

        The most special valid routes win, as with one system; those of one plant that begin on one
        day stand beside each other.
        """
        named = [r for r in self._valid(plant, on) if r.object_kind == object_kind]
        best = max(map(_rank, named), default=None)
        return tuple(sorted({r.system for r in named if _rank(r) == best}))

    def _valid(self, plant: str, on: date) -> Iterable[Route]:
        return (r for r in self.routes if r.plant in ("*", plant) and r.from_day <= on)


def _best(routes: Iterable[Route]) -> str | None:
    best = max(routes, key=_rank, default=None)
    return best.system if best else None


def _rank(route: Route) -> tuple[bool, bool, date]:
    return route.plant != "*", route.object_kind != "*", route.from_day
