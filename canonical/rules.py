"""What the customer decides and the planners ask: plants, distribution, sourcing, regulation.

Read from one TOML file when the service starts; data, never constants in a planner.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from datetime import MAXYEAR, UTC, date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec

from canonical.bom_rules import BomRules
from canonical.effectivity import midnight
from canonical.escalation import Escalation
from canonical.guards import Guards
from canonical.item import Classification, ItemKind
from canonical.obsolete import ObsoleteRules
from canonical.own_words import NO_WORDS, OwnWords
from canonical.ownership import Ownership, refuse_ambiguous
from canonical.sourcing import SourcingMode
from canonical.working_time import WorkingCalendar, require_zone

MOST_DUE_S = 366 * 86_400
"""A year: in a calendar of one hour a week it is 168 of them, and can still be written."""


class Plant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A plant and who buys for it.

    zone: IANA time zone. purchasing_org: of the plant itself; used with local sourcing.
    purchasing_group: who buys for it; "" = nobody is named, and what needs one is refused.
    region, business_unit: in the words in which suppliers are qualified for them; "" = none.
    company: code of the company that it belongs to, by which routes may name it; "" = none.
    calendar: by whose working time decisions about it are late; "" = by any time.
    source_list: whether a change enters in source lists from whom the plant buys, since its ERP
        lets nothing be ordered without; False = people keep them, None = nobody has said.
    """

    code: str
    name: str
    zone: str
    sourcing: SourcingMode
    purchasing_org: str
    purchasing_group: str = ""
    region: str = ""
    business_unit: str = ""
    company: str = ""
    calendar: str = ""
    source_list: bool | None = None

    def __post_init__(self) -> None:
        require_zone(self.zone, f"of plant {self.code}")


class ItemClass(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A class by its scheme, such as the categories of a PLM, and its code in it as written."""

    scheme: str
    code: str

    def __post_init__(self) -> None:
        if not self.scheme.strip() or not self.code.strip():
            raise ValueError("a class of a distribution rule needs a scheme and a code")


class Distribution(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Plants that get the items of a product family.

    kinds: of the item; () = all. classes: of which the item has one; () = any or none. A rule that
    names a class counts before one that does not, then one that names the kind.
    """

    family: str
    plants: tuple[str, ...]
    kinds: tuple[ItemKind, ...] = ()
    classes: tuple[ItemClass, ...] = ()

    def is_for(self, kind: ItemKind | None, classes: Collection[Classification]) -> bool:
        """Whether it is for items of that kind with those classes."""
        stated = {(one.scheme, one.code) for one in classes}
        return (not self.kinds or kind in self.kinds) and (
            not self.classes or any((one.scheme, one.code) in stated for one in self.classes)
        )


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which system holds a class of objects for a plant, from a day on.

    object_kind, plant, company: "*" = any; company: code of the one that the plant belongs to.
    from_day, until_day: first and last valid day, of the plant; until_day None = until a later
        route takes its place.
    """

    object_kind: str
    plant: str
    system: str
    from_day: date
    company: str = "*"
    until_day: date | None = None

    def __post_init__(self) -> None:
        if not self.company:
            raise ValueError(f'the route to {self.system} names no company: give a code, or "*"')
        if self.until_day is not None and self.until_day < self.from_day:
            raise ValueError(
                f"the route to {self.system} begins on {self.from_day}"
                f" and ends before that, on {self.until_day}"
            )

    def is_valid(self, on: date) -> bool:
        """Whether it is valid on that day; a better one may count all the same."""
        return self.from_day <= on and (self.until_day is None or on <= self.until_day)

    def turns(self) -> Iterator[date]:
        """The first day on which it is valid, and the first on which it is not any more."""
        yield self.from_day
        if self.until_day is not None and self.until_day < date.max:
            yield self.until_day + timedelta(days=1)


class SupplierNotices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Suppliers are told of changes to what they deliver.

    acknowledged: whether a change is complete only when each of them has answered.
    """

    acknowledged: bool = True


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole rule set.

    regulated: product families where a finding stops the change instead of warning.
    approvers: role that decides, per question, e.g. {"supplier-qualification": "quality"}.
    signatures: how many persons of that role have to approve, per question; 1 where none is said.
    order_dispositions: what may become of an open order line on a superseded revision, in words of
        which its buyer chooses one.
    supplier_notices: whether and how suppliers are told; None = they are not.
    due_s: seconds a step of a kind may take before it is late, per operation word; those of an
        approval count in the working time of whom it asks, where that has a calendar. "hold": that
        people may stop something.
    escalations: who is told, and may act too, when a decision, a refusal, a failed call or what
        people have stopped waits too long.
    calendars: working times, by name. role_calendars: name of that of a role.
    inherit_qualifications: whether a supplier without a qualification of its own may be bought from
        by that of its parent. A parent's disqualification always counts.
    central_purchasing_group: who buys what is for all plants, or for several that have not all the
        same group; "" = nobody is named.
    words: by source and system that says them: what its installation calls things in words of its
        own.
    boms: what becomes of engineering's structures in the plants.
    guards: from which size on a change waits for a person.
    obsolete: by which status a plant's ERP lets no obsolete part be bought.
    ownership: who owns which values of what is stated.

    Where it is asked about "a plant", "*" is no plant: only routes for all of them count.
    """

    plants: tuple[Plant, ...]
    distribution: tuple[Distribution, ...]
    routes: tuple[Route, ...]
    central_purchasing_org: str
    regulated: tuple[str, ...] = ()
    approvers: dict[str, str] = {}
    signatures: dict[str, Annotated[int, msgspec.Meta(ge=1)]] = {}
    order_dispositions: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = (
        "as-ordered",
        "new-revision",
        "cancel",
    )
    supplier_notices: SupplierNotices | None = None
    due_s: dict[str, Annotated[int, msgspec.Meta(ge=0, le=MOST_DUE_S)]] = {}
    calendars: dict[str, WorkingCalendar] = {}
    role_calendars: dict[str, str] = {}
    escalations: tuple[Escalation, ...] = ()
    inherit_qualifications: bool = True
    central_purchasing_group: str = ""
    words: dict[str, OwnWords] = {}
    boms: BomRules = BomRules()
    guards: Guards = Guards()
    obsolete: ObsoleteRules = ObsoleteRules()
    ownership: tuple[Ownership, ...] = ()

    def __post_init__(self) -> None:
        ours = frozenset(plant.code for plant in self.plants)
        if foreign := self.boms.plants() - ours:
            raise ValueError(f"The rules of BOMs name plant {min(foreign)}, which is not ours")
        if foreign := frozenset(one.plant for one in self.guards.plants) - ours:
            raise ValueError(f"The guards name plant {min(foreign)}, which is not ours")
        if foreign := self.obsolete.plants() - ours:
            raise ValueError(f"The rules of obsolete parts name plant {min(foreign)}, not ours")
        if foreign := self.obsolete.systems() - {route.system for route in self.routes}:
            # A misspelt one would have the code of all others written to the one that is meant.
            raise ValueError(
                f"The rules of obsolete parts name system {min(foreign)}, to which no route leads"
            )
        refuse_ambiguous(self.ownership)
        self._require_calendars()
        self._require_escalations()

    def _require_calendars(self) -> None:
        for name, calendar in self.calendars.items():
            if not name or calendar.name:
                raise ValueError("A calendar has its name from its table, [rules.calendars.NAME]")
        named = {f"plant {plant.code}": plant.calendar for plant in self.plants if plant.calendar}
        named |= {f"the role {role}": name for role, name in self.role_calendars.items()}
        for who, name in named.items():
            if name not in self.calendars:
                known = ", ".join(sorted(self.calendars)) or "there is none"
                raise ValueError(f"{name!r} of {who} is no calendar of the rules: {known}")

    def _require_escalations(self) -> None:
        known: set[tuple[str, str]] = set()
        for rule in self.escalations:
            asked = rule.question or rule.refused
            if asked and asked not in self.approvers:
                raise ValueError(
                    f"The escalation to {rule.to} is for {asked!r}, which nobody is asked:"
                    " name its role in the approvers"
                )
            if rule.question and rule.to == self.approvers[rule.question]:
                raise ValueError(f"{rule.question} would go on to {rule.to}, who is asked already")
            if (rule.about, rule.to) in known:
                raise ValueError(f"Two escalations of {rule.about} go to {rule.to}")
            known.add((rule.about, rule.to))

    def plant(self, code: str) -> Plant | None:
        """The plant with that code, if it is ours."""
        return next((p for p in self.plants if p.code == code), None)

    def words_of(self, who: str) -> OwnWords:
        """The own words of that source or system; none where nobody has stated any."""
        return self.words.get(who, NO_WORDS)

    def calendar(self, name: str) -> WorkingCalendar | None:
        """The calendar of that name, which it bears; None where there is none, or not any more."""
        found = self.calendars.get(name)
        return msgspec.structs.replace(found, name=name) if found else None

    def calendar_of(self, role: str, plants: Iterable[str] = ()) -> WorkingCalendar | None:
        """By whose working time a decision of the role about these plants is late: by the role's;
        else by the plants', where all of them name the same; None = by any time."""
        if role in self.role_calendars:
            return self.calendar(self.role_calendars[role])
        names = {known.calendar if (known := self.plant(code)) else "" for code in plants}
        return self.calendar(names.pop()) if len(names) == 1 else None

    def day_in(self, plant: str, now: datetime) -> date:
        """The day it is in the plant at that moment; in UTC for "*" and for one that is not ours.

        now: with its zone.
        """
        known = self.plant(plant)
        return now.astimezone(ZoneInfo(known.zone) if known else UTC).date()

    def buys_for(self, plant: Plant) -> str:
        """The purchasing organisation that buys for the plant."""
        return self.central_purchasing_org if plant.sourcing == "central" else plant.purchasing_org

    def group_for(self, plants: Iterable[str]) -> str:
        """Who buys for all these plants: their group where all have the same, else the central one;
        "" where nobody is named."""
        known = (self.plant(code) for code in plants)
        groups = {plant.purchasing_group if plant else "" for plant in known}
        return (groups.pop() if len(groups) == 1 else "") or self.central_purchasing_group

    def plants_of(
        self,
        family: str,
        kind: ItemKind | None = None,
        classes: Collection[Classification] = (),
    ) -> tuple[str, ...]:
        """Plant codes that get items of a product family, kind and class, in the order of the rule;
        () where no rule says so. The most special rule counts, of several the first.

        kind: None = the item is not known yet; () where kind or class is what the plants hang on.
        """
        of_family = [rule for rule in self.distribution if rule.family == family]
        if kind is None and any(rule.kinds or rule.classes for rule in of_family):
            return ()
        fitting = [rule for rule in of_family if rule.is_for(kind, classes)]
        best = max(fitting, key=lambda rule: (bool(rule.classes), bool(rule.kinds)), default=None)
        return best.plants if best else ()

    # Routes: the most special valid one counts (plant before company before any, then kind), then
    # the latest.

    def system_for(self, object_kind: str, plant: str, on: date) -> str | None:
        """The system that holds such objects for the plant on that day."""
        return _best(r for r in self._valid(plant, on) if r.object_kind in ("*", object_kind))

    def systems_holding(
        self, object_kind: str, plant: str, first: date, last: date
    ) -> tuple[str, ...]:
        """Every system that holds such objects for the plant on any day from first to last, in the
        order in which they come to; () where no route is valid on any of these days."""
        return self.on_any_day(
            plant, first, last, lambda on: self.system_for(object_kind, plant, on)
        )

    def system_told(self, object_kind: str, on: date, plant: str = "*") -> str | None:
        """The system that is told of such objects on that day; a route has to name their kind."""
        return _best(r for r in self._valid(plant, on) if r.object_kind == object_kind)

    def systems_told(
        self, object_kind: str, first: date, last: date, plant: str = "*"
    ) -> tuple[str, ...]:
        """Every system that is told of such objects on any day from first to last, as above."""
        return self.on_any_day(
            plant, first, last, lambda on: self.system_told(object_kind, on, plant)
        )

    def systems_given(self, object_kind: str, plant: str, on: date) -> tuple[str, ...]:
        """The systems that get such objects of the plant on that day, by name; a route has to name
        their kind.

        Of the most special valid routes those that begin on one day stand beside each other.
        """
        named = [r for r in self._valid(plant, on) if r.object_kind == object_kind]
        best = max(map(_rank, named), default=None)
        return tuple(sorted({r.system for r in named if _rank(r) == best}))

    def on_any_day(
        self, plant: str, first: date, last: date, system_on: Callable[[date], str | None]
    ) -> tuple[str, ...]:
        """What an answer out of the plant's routes is on the days from first to last, each system
        once. system_on: the answer on one day."""
        turns = {day for route in self._routes_of(plant) for day in route.turns()}
        days = sorted({first, *turns}) if first <= last else []
        found = (system_on(day) for day in days if first <= day <= last)
        return tuple(dict.fromkeys(system for system in found if system is not None))

    def next_cut_over(self, plants: Iterable[str], now: datetime) -> datetime | None:
        """The next midnight (UTC) of one of the plants at which a route of it begins to be valid or
        is not any more; None where the table tells of none."""
        turns = {
            plant: [day for route in self._routes_of(plant) for day in route.turns()]
            for plant in plants
        }
        return self._next_midnight(turns, now)

    def next_replacement(
        self, plants: Iterable[str], components: Container[str], now: datetime
    ) -> datetime | None:
        """The next midnight (UTC) of one of the plants at which it begins or ceases to take another
        one for one of these components; None where the rules tell of none."""
        turns = {plant: self.boms.turns_in(plant, components) for plant in plants}
        return self._next_midnight(turns, now)

    def _next_midnight(self, turns: Mapping[str, Iterable[date]], now: datetime) -> datetime | None:
        """The first of these days, of each plant, that is yet to begin there."""
        moments = (
            moment for plant, days in turns.items() for moment in self._midnights(plant, days, now)
        )
        return min((moment for moment in moments if moment > now), default=None)

    def _midnights(self, plant: str, days: Iterable[date], now: datetime) -> Iterator[datetime]:
        known, today = self.plant(plant), self.day_in(plant, now)
        for day in days:
            # A day of the last year is written for "never", and has no moment in each zone.
            if today < day and day.year < MAXYEAR:
                yield midnight(day, known.zone if known else "UTC")

    def _valid(self, plant: str, on: date) -> Iterable[Route]:
        return (r for r in self._routes_of(plant) if r.is_valid(on))

    def _routes_of(self, plant: str) -> Iterable[Route]:
        known = self.plant(plant)
        company = known.company if known else ""
        return (r for r in self.routes if r.plant in ("*", plant) and r.company in ("*", company))


def _best(routes: Iterable[Route]) -> str | None:
    best = max(routes, key=_rank, default=None)
    return best.system if best else None


def _rank(route: Route) -> tuple[int, bool, date]:
    place = 2 if route.plant != "*" else 1 if route.company != "*" else 0
    return place, route.object_kind != "*", route.from_day
