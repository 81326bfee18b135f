"""May this supplier be bought from, for this category and plant, on this day: a pure rule.

The first row that fits decides (reasons: docs/adr/0028).

| row | what is stated | outcome |
| --- | --- | --- |
| 1 | the supplier itself is inactive | inactive |
| 2 | a disqualification of it or of anybody above covers the purchase | disqualified |
| 3 | somebody above is not known | unknown: row 2 may fit |
| 4 | statements about itself cover the purchase | what the narrowest says |
| 5 | else some about its parent, else about the parent's parent ... | what the narrowest says |
| 6 | nothing | unstated |

- A disqualification decides whatever a narrower scope says; of several the nearest is told.
- Covers: each of category, region, business unit and plant that the scope names is that of the
  purchase, and the first valid day is not in the future.
- Narrower: it names all that the other one names, and more. A plant lies in one region and one
  business unit, so it counts as naming them. Of several that none of the others is narrower than,
  and of two with one scope, the strictest: in_qualification, lapsed, conditional, qualified.
- A qualification behind its last day is lapsed and still decides, unless one of the same scope is
  in force. A last day ends a qualification only: no disqualification passes by itself.
- Nothing passes through a supplier that is inactive, except its disqualifications.
- What a parent states is for those below it; nothing is ever passed up, or to a sister.
- Row 5 is left out where the customer's rules say that each supplier is qualified by itself.

A contract covers the supplier that it names, at all of its sites, and neither its parent nor its
children: who promised the price is who delivers (`canonical.sourcing.CoverageLine`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from typing import Literal

import msgspec

from canonical.codec import encode
from canonical.errors import InvalidMessage
from canonical.supplier import QualificationStatus, ScopedQualification, Supplier

# Suppliers above one. Groups have some four levels; with the levels of a structure it stays within
# the rounds in which facts are asked for.
MAX_PARENTS = 8

Outcome = QualificationStatus | Literal["inactive", "lapsed", "unknown", "unstated"]
SupplierOf = Callable[[str], Supplier | None]

_STRICTNESS: dict[Outcome, int] = {
    "disqualified": 0,
    "in_qualification": 1,
    "lapsed": 2,
    "conditional": 3,
    "qualified": 4,
}


class Demand(msgspec.Struct, frozen=True):
    """What is to be bought, for whom; "" = nobody says, which no scope that names it covers."""

    category: str = ""
    region: str = ""
    business_unit: str = ""
    plant: str = ""


class Lineage(msgspec.Struct, frozen=True):
    """A supplier and all it is part of, itself first and the ultimate parent last.

    missing: number of the one who is not known, behind whom nobody can look; None = all are known.
    """

    suppliers: tuple[Supplier, ...]
    missing: str | None = None


class Eligibility(msgspec.Struct, frozen=True):
    """The outcome, and what it rests on.

    by: number of the supplier whose statement decided, or of the one who is not known.
    statement: None where no qualification decided.
    """

    outcome: Outcome
    by: str
    statement: ScopedQualification | None = None

    @property
    def is_eligible(self) -> bool:
        """Whether it may be bought without asking anybody."""
        return self.outcome == "qualified"


def chain(number: str, supplier_of: SupplierOf) -> tuple[str, ...]:
    """Numbers of the supplier, its parent and so on, each once, as far as they are known.

    The last one may be unknown. It ends at MAX_PARENTS even where the hierarchy goes on.
    """
    found = [number]
    while len(found) <= MAX_PARENTS:
        supplier = supplier_of(found[-1])
        if supplier is None or not supplier.parent or supplier.parent in found:
            break
        found.append(supplier.parent)
    return tuple(found)


def lineage(number: str, supplier_of: SupplierOf) -> Lineage:
    """The supplier and all it is part of.

    Raises: InvalidMessage where the hierarchy is circular or has more levels than any group.
    """
    numbers = chain(number, supplier_of)
    known = tuple(s for s in map(supplier_of, numbers) if s is not None)
    if len(known) < len(numbers):
        return Lineage(known, missing=numbers[-1])
    above = known[-1].parent
    if not above:
        return Lineage(known)
    if above in numbers:
        raise _circular(numbers[numbers.index(above) :])
    raise InvalidMessage(
        "supplier-hierarchy-too-deep",
        f"A supplier hierarchy has more than {MAX_PARENTS} levels above a supplier",
        where=number,
        remedy="Correct the parents of the suppliers in procurement",
        owner="sourcing",
    )


def _circular(cycle: tuple[str, ...]) -> InvalidMessage:
    # The same words whichever of them somebody began with.
    start = cycle.index(min(cycle))
    around = (*cycle[start:], *cycle[:start], cycle[start])
    return InvalidMessage(
        "supplier-hierarchy-circular",
        f"A supplier is above itself: {' is part of '.join(around)}",
        where=cycle[start],
        remedy="Correct the parents of the suppliers in procurement",
        owner="sourcing",
    )


def eligibility(
    line: Lineage, demand: Demand, on: date, *, is_inherited: bool = True
) -> Eligibility:
    """Whether the first supplier of the line may be bought from; the table is this module's.

    is_inherited: a parent's qualification counts for those below it.
    """
    if line.suppliers and not line.suppliers[0].active:
        return Eligibility("inactive", line.suppliers[0].number)
    for supplier in line.suppliers:
        bans = [q for q in _covering(supplier, demand, on) if q.status == "disqualified"]
        if bans:
            return Eligibility("disqualified", supplier.number, _strictest(bans, on))
    if line.missing is not None:
        return Eligibility("unknown", line.missing)
    for supplier in line.suppliers if is_inherited else line.suppliers[:1]:
        if not supplier.active:
            break
        stated = _narrowest(_covering(supplier, demand, on), on)
        if stated:
            decisive = _strictest(stated, on)
            return Eligibility(_outcome(decisive, on), supplier.number, decisive)
    return Eligibility("unstated", line.suppliers[0].number)


def _covering(supplier: Supplier, demand: Demand, on: date) -> list[ScopedQualification]:
    return [q for q in supplier.statements() if _covers(q, demand, on)]


def _covers(stated: ScopedQualification, demand: Demand, on: date) -> bool:
    has_begun = stated.valid_from is None or stated.valid_from <= on
    return (
        has_begun
        and stated.category in ("", demand.category)
        and stated.region in ("", demand.region)
        and stated.business_unit in ("", demand.business_unit)
        and stated.plant in ("", demand.plant)
    )


def _narrowest(covering: list[ScopedQualification], on: date) -> list[ScopedQualification]:
    """Those that no other one is narrower than; lapsed ones only where nothing followed them."""
    followed = {_named(q) for q in covering if _outcome(q, on) != "lapsed"}
    current = [q for q in covering if _outcome(q, on) != "lapsed" or _named(q) not in followed]
    return [q for q in current if not any(_named(q) < _named(other) for other in current)]


def _named(stated: ScopedQualification) -> frozenset[str]:
    """What its scope is narrowed in. All that are compared cover one demand, so they say the same
    of what they both name."""
    named = {
        name
        for name in ("category", "region", "business_unit", "plant")
        if getattr(stated, name) != ""
    }
    if "plant" in named:
        named |= {"region", "business_unit"}
    return frozenset(named)


def _strictest(stated: Iterable[ScopedQualification], on: date) -> ScopedQualification:
    """Of equally strict ones always the same, in whatever order they come."""
    return min(stated, key=lambda q: (_STRICTNESS[_outcome(q, on)], encode(q)))


def _outcome(stated: ScopedQualification, on: date) -> Outcome:
    is_over = stated.valid_until is not None and stated.valid_until < on
    can_lapse = stated.status in ("qualified", "conditional")
    return "lapsed" if is_over and can_lapse else stated.status
