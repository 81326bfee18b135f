"""What every part of one plan needs: the change, what is known, when it acts and on which systems,
and how a step is made.

A plan is made as soon as the change is known. What a system would show of it waits for the time
from which the change holds; what only asks does not, so that all is ready then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime

import msgspec

from canonical.change import EngineeringChange, change_key
from canonical.codec import encode
from canonical.effectivity import DateEffectivity
from canonical.effects import Step
from canonical.envelope import Lane
from canonical.errors import Misconfigured
from canonical.facts import Facts
from canonical.item import item_key
from canonical.operations import (
    REPORTS,
    Announce,
    Approve,
    AwaitFact,
    AwaitTime,
    Operation,
    changes_a_system,
    verb,
)
from handlers.flows.change_scope import Scope, replaceable
from handlers.flows.definitions_in_force import Definitions
from handlers.flows.obsolete_parts import Buying, buying_by_place

# Kind of objects by which a route names the system that keeps suppliers and contracts, for all
# plants: what it answers is on record without a plant. Without a route it is called so itself.
PROCUREMENT = "procurement"
LAYSHAFT = "layshaft"
CALENDAR = "calendar"

DUE_S = 86_400

Views = dict[tuple[str, str], dict[str, Step]]
"""The steps that give items their plant views, by (item, plant) and by system."""


class Planning(msgspec.Struct, frozen=True):
    """One plan in the making; `planning_of` makes it.

    now: when it is made.
    regulated: any finding would stop the change.
    buying: where it lets items be bought no longer, and where again, by item and plant.
    wake_at: when another system may come in by the routes, another component by the rules of a
        plant, or another revision be in force; every step but a report to the PLM carries it.
    start: the wait for the time from which the change holds; None once it has come.
    _holders: what was looked up of `holders`.
    """

    change: EngineeringChange
    scope: Scope
    facts: Facts
    now: datetime
    regulated: bool
    buying: dict[tuple[str, str], Buying] = {}
    wake_at: datetime | None = None
    start: Step | None = None
    _holders: dict[tuple[str, str], tuple[str, ...]] = {}

    @property
    def lane(self) -> Lane:
        """Urgent changes take the critical lane."""
        return "critical" if self.change.is_urgent else "standard"

    def step(
        self,
        system: str,
        about: tuple[str, str],
        operation: Operation,
        *,
        plant: str = "",
        after: Iterable[Step] = (),
        owner: str = "operations",
        lane: Lane | None = None,
        fact: str = "",
        concerns: Iterable[str] = (),
    ) -> Step:
        """A step about (object kind, object id) that follows the given ones, and the start where a
        system would show it, and hangs on `fact`.

        concerns: plants that a decision is about.
        """
        rules = self.facts.rules
        is_decision = isinstance(operation, Approve)
        before = {step.identity for step in after}
        if self.start is not None and changes_a_system(operation):
            before.add(self.start.identity)
        return Step(
            plant=plant,
            system=system,
            object_kind=about[0],
            object_id=about[1],
            operation=operation,
            depends_on=tuple(sorted(before)),
            owner=owner,
            lane=lane or self.lane,
            due_s=rules.due_s.get(verb(operation), DUE_S),
            calendar=rules.calendar_of(system, concerns) if is_decision else None,
            fact=fact,
            seen=self.facts.version(fact) if fact else 0,
            wake_at=self._wake_of(operation),
        )

    def _wake_of(self, operation: Operation) -> datetime | None:
        """When the plan is made anew for a step of that operation: never for a report, or a change
        whose PLM cannot be told would go over to other systems as if it were not complete."""
        if isinstance(operation, AwaitTime):
            return operation.at
        return None if verb(operation) in REPORTS else self.wake_at

    def wait(
        self, fact: str, reason: str, owner: str, *, plant: str = "", after: Iterable[Step] = ()
    ) -> Step:
        """A wait for the document in a newer state than this plan was made on."""
        kind, _, number = fact.partition("/")
        operation = AwaitFact(fact=fact, seen=self.facts.version(fact), reason=reason)
        return self.step(LAYSHAFT, (kind, number), operation, plant=plant, after=after, owner=owner)

    def until(self, fact: str, at: datetime, reason: str) -> Step:
        """A wait for the time from which the document holds, or for it in a newer state."""
        kind, _, number = fact.partition("/")
        # Nobody's turn: it is over when its day has come.
        return self.step(LAYSHAFT, (kind, number), AwaitTime(at, reason), owner=CALENDAR, fact=fact)

    def announce(self, event: str, data: msgspec.Struct) -> Announce:
        """The notice that this event of the change is published."""
        return Announce(event, change_key(self.change.number), msgspec.Raw(encode(data)))

    # Days

    @property
    def starts(self) -> tuple[Step, ...]:
        """The wait for the start, where there is one."""
        return () if self.start is None else (self.start,)

    @property
    def released_at(self) -> datetime:
        """When its PLM released the change; now, where that is not stated or is yet to come."""
        return min(self.change.released_at or self.now, self.now)

    @property
    def starts_at(self) -> datetime:
        """From when the change holds: from its effectivity on, else from its release on."""
        effectivity = self.change.effectivity
        return effectivity.start if isinstance(effectivity, DateEffectivity) else self.released_at

    def today(self, plant: str = "*") -> date:
        """The day it is in the plant; in UTC for no plant."""
        return self.facts.rules.day_in(plant, self.now)

    def first_day(self, plant: str = "*") -> date:
        """The day on which the change takes effect there, or took effect."""
        return self.facts.rules.day_in(plant, self.starts_at)

    def day(self, plant: str = "*") -> date:
        """The day on which the plan acts there: today, or that on which the change takes effect.

        By it contracts, qualifications and certificates are valid or not, and routes end.
        """
        return self.facts.rules.day_in(plant, acts_at(self.change, self.now))

    def dated(self, plant: str) -> str:
        """Words for a day that is yet to come: " on 2027-01-04"; "" once the change holds."""
        return "" if self.start is None else f" on {self.day(plant)}"

    # Systems

    def holders(self, kind: str, plant: str) -> tuple[str, ...]:
        """The systems that hold such objects for the plant: on the day the change takes effect, and
        on every day since, as long as it is open.

        Raises: Misconfigured where there is none.
        """
        known = self._holders.get((kind, plant))
        if known is None:
            rules, last = self.facts.rules, self.day(plant)
            known = rules.systems_holding(kind, plant, self.first_day(plant), last)
            self._holders[kind, plant] = known
        if not known:
            raise Misconfigured(
                "route-missing",
                f"No route says which system holds {kind} objects of plant {plant}"
                f"{self.dated(plant)}",
                where=f"{kind} {plant}",
                remedy="Add a route to the rules",
            )
        return known

    def places(self, kind: str, plants: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Plants with each system that holds such objects for them."""
        return ((plant, system) for plant in plants for system in self.holders(kind, plant))

    def keepers(self, kind: str, plant: str) -> tuple[str, ...]:
        """The same, of objects that only a system has whose route names their kind; or none."""
        return self.facts.rules.systems_told(kind, self.first_day(plant), self.day(plant), plant)

    def told(self, kind: str) -> str | None:
        """The system that a route names for reports of this kind, the first one since the release:
        it is the one that stated the change, and a later one would not know it by that name."""
        rules, released = self.facts.rules, self.facts.rules.day_in("*", self.released_at)
        return next(iter(rules.systems_told(kind, released, self.day())), None)

    @property
    def asked(self) -> str:
        """The system that is asked about suppliers and contracts: today's, for it has to answer."""
        return self._procurement_on(self.today())

    @property
    def catalogues(self) -> tuple[str, ...]:
        """The systems whose catalogue shows the items, as `holders`."""
        rules = self.facts.rules
        return rules.on_any_day("*", self.first_day(), self.day(), self._procurement_on)

    def _procurement_on(self, on: date) -> str:
        return self.facts.rules.system_told(PROCUREMENT, on) or PROCUREMENT

    def waits_before(
        self, waits: dict[str, Step], number: str, plants: Iterable[str]
    ) -> tuple[Step, ...]:
        """Which of the waits for definitions a step about an item in these plants follows.

        All of them where it may still drop out of the change, or a finding may still stop it:
        nothing is written then that would have to be taken back. Else that for its own revision.
        """
        may_drop_out = all((number, code) in self.scope.provisional for code in plants)
        if self.regulated or may_drop_out:
            return tuple(waits.values())
        own = waits.get(item_key(number))
        return (own,) if own else ()


def acts_at(change: EngineeringChange, now: datetime) -> datetime:
    """When a plan made now acts: now, or when the change takes effect."""
    effectivity = change.effectivity
    return max(now, effectivity.start) if isinstance(effectivity, DateEffectivity) else now


def planning_of(
    change: EngineeringChange,
    scope: Scope,
    definitions: Definitions,
    now: datetime,
    *,
    regulated: bool,
) -> Planning:
    """The plan in the making, with its start where that is yet to come."""
    facts = definitions.facts
    buying = buying_by_place(change, facts)
    plants = {*scope.all_plants(), *(plant for _, plant in buying), "*"}
    moments = (
        facts.rules.next_cut_over(sorted(plants), now),
        facts.rules.next_replacement(scope.all_plants(), replaceable(scope, facts), now),
        definitions.changes_at,
    )
    wake_at = min((moment for moment in moments if moment is not None), default=None)
    planning = Planning(change, scope, facts, now, regulated, buying, wake_at)
    if planning.starts_at <= now:
        return planning
    start = planning.step(
        LAYSHAFT,
        ("engineering-change", change.number),
        AwaitTime(planning.starts_at, f"{change.number} takes effect"),
        # Nobody's turn: it is over when its day has come.
        owner=CALENDAR,
    )
    return msgspec.structs.replace(planning, start=start)


def flat(views: Views) -> tuple[Step, ...]:
    """All of the steps."""
    return tuple(step for by_system in views.values() for step in by_system.values())


def views_before(views: Views, items: Iterable[str], plant: str, system: str) -> list[Step]:
    """The views of the items in the plant that a write to the system follows: those in it; all of
    them where it is another system that holds items."""
    found: list[Step] = []
    for item in items:
        there = views.get((item, plant), {})
        found.extend([there[system]] if system in there else list(there.values()))
    return found
