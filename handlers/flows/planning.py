"""What every part of one plan needs: the change, what is known, and how a step is made."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

import msgspec

from canonical.change import EngineeringChange, change_key
from canonical.codec import encode
from canonical.effects import Step
from canonical.envelope import Lane
from canonical.errors import Misconfigured
from canonical.facts import Facts
from canonical.item import item_key
from canonical.operations import Announce, AwaitFact, Operation, verb
from handlers.flows.change_scope import Scope

# The system that keeps suppliers and contracts, as it is called in the configuration.
PROCUREMENT = "procurement"
LAYSHAFT = "layshaft"

DUE_S = 86_400


class Planning(msgspec.Struct, frozen=True):
    """One plan in the making.

    now: when it is made; the day that it is in a plant says what is valid there.
    regulated: any finding would stop the change.
    """

    change: EngineeringChange
    scope: Scope
    facts: Facts
    now: datetime
    regulated: bool

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
    ) -> Step:
        """A step about (object kind, object id) that follows the given ones and hangs on `fact`."""
        return Step(
            plant=plant,
            system=system,
            object_kind=about[0],
            object_id=about[1],
            operation=operation,
            depends_on=tuple(sorted({step.identity for step in after})),
            owner=owner,
            lane=lane or self.lane,
            due_s=self.facts.rules.due_s.get(verb(operation), DUE_S),
            fact=fact,
            seen=self.facts.version(fact) if fact else 0,
        )

    def wait(
        self, fact: str, reason: str, owner: str, *, plant: str = "", after: Iterable[Step] = ()
    ) -> Step:
        """A wait for the document in a newer state than this plan was made on."""
        kind, _, number = fact.partition("/")
        operation = AwaitFact(fact=fact, seen=self.facts.version(fact), reason=reason)
        return self.step(LAYSHAFT, (kind, number), operation, plant=plant, after=after, owner=owner)

    def announce(self, event: str, data: msgspec.Struct) -> Announce:
        """The notice that this event of the change is published."""
        return Announce(event, change_key(self.change.number), msgspec.Raw(encode(data)))

    def day(self, plant: str = "*") -> date:
        """By which contracts, qualifications and routes are valid or not for the plant."""
        return self.facts.rules.day_in(plant, self.now)

    def erp(self, kind: str, plant: str) -> str:
        """The system that holds such objects for the plant today."""
        system = self.facts.rules.system_for(kind, plant, self.day(plant))
        if system is None:
            raise Misconfigured(
                "route-missing",
                f"No route says which system holds {kind} objects of plant {plant}",
                where=f"{kind} {plant}",
                remedy="Add a route to the rules",
            )
        return system

    def told(self, kind: str, plant: str = "*") -> str | None:
        """The system that a route names for objects or reports of this kind; none has to."""
        return self.facts.rules.system_told(kind, self.day(plant), plant)

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
