"""The guard of mass changes: what of a plan waits for a person because of its size, and what is
asked.

A plan does not know what is done of it, targets change as it is carried out, and it is made anew
with other facts. So each question is about one object and says what would become of that object;
the one about the whole plan says what no progress alters. The same content again is not asked
again, another one is. What a target has not spoken of cannot be compared, and is not asked about.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TypeVar

import msgspec

from canonical.bom import PlantBom, PlantBomState
from canonical.codec import encode
from canonical.effects import Step
from canonical.events import ApprovalRequested
from canonical.facts import Document, Known
from canonical.guards import Guard
from canonical.item import Lifecycle
from canonical.money import UnitPrice
from canonical.operations import (
    Approve,
    AwaitFact,
    Operation,
    PutBom,
    PutInfoRecord,
    changes_a_system,
    verb,
)
from canonical.purchasing import InfoRecord, InfoRecordTerms
from canonical.quantity import Quantity
from handlers.flows.change_scope import is_bought
from handlers.flows.change_sourcing import PURCHASABLE
from handlers.flows.planning import LAYSHAFT, Planning
from handlers.flows.target_changes import TargetChange, known_key, removal, target_changes

MASS_CHANGE = "mass-change"
APPROVER = "engineering"
# Steps that follow from the definitions alone, with the word for what they write. What else a plan
# has becomes known bit by bit, and would alter the question with it.
COUNTED = {
    "put-change-master": "change number",
    "put-item": "item master",
    "extend-to-plant": "plant view",
    "put-bom": "BOM",
    "publish-item": "catalogue item",
}
INFO_RECORD = "info record"
BLOCKED: dict[Lifecycle, str] = {"on_hold": "on hold", "obsolete": "obsolete"}
# So many lines, or items, are named below a question; the rest is counted.
NAMED = 12

About = tuple[str, str]


class Question(msgspec.Struct, frozen=True):
    """What a person is asked. covers: all that it is about."""

    text: str
    evidence: tuple[str, ...]
    covers: bytes


def guarded(planning: Planning, steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps, those that are guarded behind their questions; and these.

    steps: all of the plan.
    """
    by_identity = {step.identity: step for step in steps}
    awaited = _definition_waits(planning, steps)
    before: dict[str, list[str]] = {}
    asked: list[Step] = []
    for group in _by_object(steps).values():
        question = _question(planning, group[0])
        if question is not None:
            waits = _waits_before(group, by_identity, awaited)
            asked += _asked(planning, group[0], question, group, waits)
            for step in group:
                before.setdefault(step.identity, []).append(asked[-2].identity)
    if whole := _of_the_whole(planning, steps):
        writes = [step for step in steps if changes_a_system(step.operation)]
        about = planning.step(LAYSHAFT, (MASS_CHANGE, planning.change.number), writes[0].operation)
        waits = [by_identity[identity] for identity in sorted(awaited)]
        asked += _asked(planning, about, whole, writes, waits)
        for step in writes:
            before.setdefault(step.identity, []).append(asked[-2].identity)
    return (*(_behind(planning, step, before.get(step.identity, ())) for step in steps), *asked)


def _behind(planning: Planning, step: Step, questions: Sequence[str]) -> Step:
    """The step after these questions, made anew where its target says something new in time."""
    watched = _watched(planning, step, questions)
    if not questions and not watched:
        return step
    return msgspec.structs.replace(
        step,
        depends_on=tuple(sorted({*step.depends_on, *questions})) if questions else step.depends_on,
        fact=watched or step.fact,
        seen=planning.facts.version(watched) if watched else step.seen,
    )


def _watched(planning: Planning, step: Step, questions: Sequence[str]) -> str:
    """The target's own words, where a guard compares with them and nothing else is watched: always
    of a BOM; of terms those that are known, and only where people keep the step waiting."""
    if step.fact:
        return ""
    match step.operation:
        case PutBom():
            return known_key(step.operation) if _limit(planning, step) is not None else ""
        case PutInfoRecord():
            is_kept = questions or any(
                identity.endswith("|approve") for identity in step.depends_on
            )
            key = known_key(step.operation)
            is_known = planning.facts.version(key) > 0
            return key if is_kept and is_known and _limit(planning, step) is not None else ""
        case _:
            return ""


# Questions and what they are asked about


def _by_object(steps: Iterable[Step]) -> Mapping[tuple[str, About], list[Step]]:
    """BOMs and terms by plant and object; two where another system takes the plant over."""
    found: dict[tuple[str, About], list[Step]] = {}
    for step in steps:
        if isinstance(step.operation, PutBom | PutInfoRecord):
            about = step.object_kind, step.object_id
            found.setdefault((step.plant, about), []).append(step)
    return found


def _definition_waits(planning: Planning, steps: Iterable[Step]) -> frozenset[str]:
    """Identities of the waits for definitions, by which questions may still become others."""
    facts = {awaited.fact for awaited in planning.scope.awaited}
    return frozenset(
        step.identity
        for step in steps
        if isinstance(step.operation, AwaitFact) and not step.plant and step.operation.fact in facts
    )


def _waits_before(
    group: Iterable[Step], by_identity: Mapping[str, Step], awaited: Collection[str]
) -> list[Step]:
    """Those of the awaited that the steps follow, over any number of steps."""
    if not awaited:
        return []
    found: set[str] = set()
    left = [identity for step in group for identity in step.depends_on]
    while left:
        identity = left.pop()
        if identity not in found:
            found.add(identity)
            left += by_identity[identity].depends_on
    return [by_identity[identity] for identity in sorted(found.intersection(awaited))]


def _asked(
    planning: Planning,
    about: Step,
    question: Question,
    concerned: Sequence[Step],
    waits: Sequence[Step],
) -> tuple[Step, Step]:
    """The decision of the role, and the notice to everybody; not before all is known by which it
    may become another one."""
    rules, change = planning.facts.rules, planning.change.number
    role = rules.approvers.get(MASS_CHANGE, APPROVER)
    signatures = rules.signatures.get(MASS_CHANGE, 1)
    covers = hashlib.sha256(question.covers).hexdigest()
    operation = Approve(MASS_CHANGE, question.text, question.evidence, signatures, covers)
    requested = ApprovalRequested(change, MASS_CHANGE, question.text, role, question.evidence)
    named = about.object_kind, about.object_id
    key = known_key(about.operation) if isinstance(about.operation, PutBom | PutInfoRecord) else ""
    decision = planning.step(
        role, named, operation, plant=about.plant, after=waits, owner=role, fact=key
    )
    notice = planning.step(
        LAYSHAFT,
        named,
        planning.announce("approval.requested", requested),
        plant=about.plant,
        after=waits,
    )
    only_before = tuple(step.identity for step in concerned)
    return (
        msgspec.structs.replace(decision, only_before=only_before),
        msgspec.structs.replace(notice, only_before=only_before),
    )


def _question(planning: Planning, step: Step) -> Question | None:
    """What is to be asked about the object; None where nothing is."""
    limit = _limit(planning, step)
    if limit is None:
        return None
    stored = planning.facts.documents.get(known_key(step.operation))
    known = stored.document if isinstance(stored, Known) else None
    match step.operation, known:
        case PutBom(bom), PlantBomState():
            return _of_bom(planning, bom, known, limit)
        case PutInfoRecord(record), InfoRecordTerms():
            return _of_price(planning, record, known, limit)
        case _:
            return None


def _limit(planning: Planning, step: Step) -> int | None:
    guard: Guard = (
        "removed_lines_percent" if isinstance(step.operation, PutBom) else "price_percent"
    )
    return planning.facts.rules.guards.limit(guard, step.plant)


# Lines of a BOM


def _of_bom(planning: Planning, bom: PlantBom, known: PlantBomState, limit: int) -> Question | None:
    gone = removal(bom, known)
    if gone.removed * 100 <= gone.of * limit:
        return None
    changes = _changes(PutBom(bom), known)
    share = _percent(Fraction(gone.removed, gone.of))
    text = (
        f"May {planning.change.number} take {_counted(gone.removed, 'line')} of {gone.of} out of"
        f" the BOM of {bom.parent} in plant {bom.plant}?"
    )
    evidence = (
        f"revision: {bom.revision}, for {_amount(bom.base)}",
        f"taken out: {share} of {_counted(gone.of, 'line')} that {'is' if gone.of == 1 else 'are'}"
        " engineering's",
        *_named("taken out", _of_kind(changes, "removed"), lambda c: f"{c.where}, {c.known}"),
        *_named("new", _of_kind(changes, "added"), lambda c: f"{c.where}, {c.planned}"),
        *_named(
            "changed",
            _of_kind(changes, "changed"),
            lambda c: f"{c.where}, {c.known} -> {c.planned}",
        ),
    )
    return Question(text, evidence, encode((bom, changes)))


# The price of an info record


def _of_price(
    planning: Planning, record: InfoRecord, known: InfoRecordTerms, limit: int
) -> Question | None:
    if known.price is None:
        return None
    move = _move(record, known, known.price)
    if isinstance(move, Fraction) and abs(move) * 100 <= limit:
        return None
    words = _percent(move, sign="+") if isinstance(move, Fraction) else move
    text = (
        f"May {planning.change.number} move the price of {record.item} from {record.supplier}"
        f" in plant {record.plant} ({words})?"
    )
    changes = _changes(PutInfoRecord(record), known)
    evidence = (
        f"contract: {record.contract}",
        *(f"{change.where}: {change.known} -> {change.planned}" for change in changes),
    )
    return Question(text, evidence, encode((record, changes)))


def _move(record: InfoRecord, known: InfoRecordTerms, before: UnitPrice) -> Fraction | str:
    """By what part the price goes up or down, or why nobody can tell."""
    if record.price.amount.currency != before.amount.currency:
        return f"{before.amount.currency} becomes {record.price.amount.currency}"
    old, new = _plain(before), _plain(record.price)
    units = _units(record, known, before)
    if units is not None:
        old, new = old / units[0], new / units[1]
    elif before.per.unit != record.price.per.unit:
        return f"{before.per.unit} becomes {record.price.per.unit}"
    if old == 0:
        return Fraction(0) if new == 0 else "it was 0"
    return new / old - 1


def _plain(price: UnitPrice) -> Fraction:
    """For one of its unit."""
    return Fraction(price.amount.amount) / Fraction(price.per.value)


def _units(
    record: InfoRecord, known: InfoRecordTerms, before: UnitPrice
) -> tuple[Fraction, Fraction] | None:
    """How many base units the price is for, before and afterwards; None where nobody says so."""
    then: dict[str, Fraction] = {}
    if known.order_to_base is not None:
        then[known.order_unit] = known.order_to_base.fraction
        if known.order_to_price is not None and known.order_to_price.numerator:
            then.setdefault(before.per.unit, then[known.order_unit] / known.order_to_price.fraction)
    then[known.base_unit] = Fraction(1)
    now = {record.order_unit: Fraction(*record.order_to_base), record.base_unit: Fraction(1)}
    per = then.get(before.per.unit), now.get(record.price.per.unit)
    if known.base_unit != record.base_unit or not all(per):
        return None
    return per[0] or Fraction(1), per[1] or Fraction(1)


# The whole plan


def _of_the_whole(planning: Planning, steps: Sequence[Step]) -> Question | None:
    """What is to be asked about all that the plan writes; None where nothing is."""
    counted = [step for step in steps if verb(step.operation) in COUNTED]
    terms = tuple(_terms_at_most(planning))
    ends = {number for (number, _), buying in planning.buying.items() if buying == "stops"}
    becomes: dict[str, Lifecycle] = {
        item.number: "obsolete" if item.number in ends else item.lifecycle
        for item in planning.scope.items
    }
    blocked = [item for item in planning.scope.items if becomes[item.number] in BLOCKED]
    plants = [*map(_plants_of(planning), counted), *((plant,) for _, plant, _ in terms)]
    many = _exceeds(planning, "steps", plants)
    stopped = _exceeds(
        planning, "blocked_items", [planning.scope.plants[item.number] for item in blocked]
    )
    if not many and not stopped:
        return None
    number, total = planning.change.number, len(counted) + len(terms)
    kinds = Counter(COUNTED[verb(step.operation)] for step in counted)
    said = [_counted(kinds[word], word) for word in COUNTED.values() if kinds[word]]
    said += [f"up to {_counted(len(terms), INFO_RECORD)}"] if terms else []
    per_plant = Counter(plant for each in plants for plant in each)
    most = "up to " if terms else ""
    blocks = f" and block {_counted(len(blocked), 'item')}" if blocked else ""
    text = f"May {number} write {most}{_counted(total, 'object')}{blocks}?"
    evidence = (
        f"written: {', '.join(said)}",
        f"plants: {', '.join(f'{plant} ({per_plant[plant]})' for plant in sorted(per_plant))}",
        *_named(
            "blocked", blocked, lambda item: f"{item.number} ({BLOCKED[becomes[item.number]]})"
        ),
        f"all of it: layshaft plan {number}",
    )
    states = sorted((item.number, becomes[item.number]) for item in blocked)
    covers = encode((sorted(step.identity for step in counted), sorted(terms), states))
    return Question(text, evidence, covers)


def _terms_at_most(planning: Planning) -> Iterator[tuple[str, str, str]]:
    """Item, plant and system of every info record that contracts may lead to: whether they do is
    known only once procurement has answered."""
    systems = {plant: _holders(planning, plant) for plant in planning.scope.all_plants()}
    for item in planning.scope.items:
        if is_bought(item) and item.lifecycle in PURCHASABLE:
            for plant in planning.scope.plants[item.number]:
                for system in systems[plant]:
                    yield item.number, plant, system


def _holders(planning: Planning, plant: str) -> tuple[str, ...]:
    """As `Planning.holders`; none is no mistake here, where it may not come to an info record."""
    first, last = planning.first_day(plant), planning.day(plant)
    return planning.facts.rules.systems_holding(INFO_RECORD.replace(" ", "-"), plant, first, last)


def _plants_of(planning: Planning) -> Callable[[Step], tuple[str, ...]]:
    """What tells the plants of a step: its own, else those of its item, else all."""
    scope, everywhere = planning.scope, planning.scope.all_plants()

    def plants(step: Step) -> tuple[str, ...]:
        if step.plant:
            return (step.plant,)
        return scope.plants.get(step.object_id, ()) if step.object_kind == "item" else everywhere

    return plants


def _exceeds(planning: Planning, guard: Guard, plants: Iterable[Collection[str]]) -> bool:
    """Whether there are more of them anywhere than the limit there.

    plants: of each of them.
    """
    guards = planning.facts.rules.guards
    places = {plant: guards.counted_in(guard, plant) for plant in planning.scope.all_plants()}
    counts = Counter(place for each in plants for place in {places[plant] for plant in each})
    limits = {place: guards.limit(guard, place) for place in counts}
    return any(limit is not None and counts[place] > limit for place, limit in limits.items())


# Words


def _changes(operation: Operation, known: Document) -> tuple[TargetChange, ...]:
    return target_changes(operation, known) or ()


def _of_kind(changes: Iterable[TargetChange], kind: str) -> list[TargetChange]:
    return [change for change in changes if change.kind == kind]


T = TypeVar("T")


def _named(what: str, of: Sequence[T], word: Callable[[T], str]) -> Iterator[str]:
    """A line for each of the first, and one for the rest."""
    for one in of[:NAMED]:
        yield f"{what}: {word(one)}"
    if len(of) > NAMED:
        yield f"{what}: and {len(of) - NAMED} more"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _percent(share: Fraction, *, sign: str = "") -> str:
    """To a tenth."""
    return f"{Decimal(round(share * 1000)) / 10:{sign}f} %"


def _amount(quantity: Quantity) -> str:
    return f"{quantity.value:f} {quantity.unit}"
