"""What a person should know about the definitions of a change, found by rule."""

from __future__ import annotations

from collections.abc import Iterator, Set
from itertools import chain

from canonical.bom import bom_key
from canonical.change import EngineeringChange, change_key
from canonical.effects import Finding, Severity
from canonical.errors import Rejected
from canonical.facts import Facts
from canonical.item import Item, item_key
from handlers.flows.change_scope import (
    MATERIAL_KINDS,
    Scope,
    is_bought,
    revision_order,
    structure,
)
from handlers.flows.plant_lines import PlantStructure

# Manufacturer parts that may be used.
ACCEPTED = frozenset({"approved", "conditional"})


def findings_of(change: EngineeringChange, scope: Scope, facts: Facts) -> tuple[Finding, ...]:
    """All findings, components first; at most one per rule and object.

    Raises: Rejected if the change touches a regulated family and any of them is a warning: there
    a finding stops the change.
    """
    # What is on its way may put right what the known state has wrong.
    unsettled = {awaited.item for awaited in scope.awaited} | {
        number
        for number, plants in scope.plants.items()
        if plants and scope.provisional.issuperset((number, code) for code in plants)
    }
    built_in = _released_assemblies(scope, unsettled)
    found: list[Finding] = []
    for number in scope.plants:
        item = facts.item(number)
        # What every plant takes another one for is nobody's concern.
        if item is None or not scope.plants[number]:
            continue
        found += _of_revision(change, item)
        if number not in unsettled:
            found += _of_kind(item)
            found += _of_lifecycle(item, built_in.get(number, []))
            found += _of_manufacturers(item)
            found += _of_quantities(item, facts)
            found += _of_plants(item, scope)
    warnings = [finding for finding in found if finding.severity == "warning"]
    if warnings and is_regulated(change, scope, facts):
        raise Rejected(
            "finding-stops-change",
            f"{len(warnings)} finding(s) in a regulated product family: "
            + "; ".join(f"{finding.code}: {finding.what}" for finding in warnings),
            where=change_key(change.number),
            remedy="Correct the definitions in PLM and release them anew",
            owner="quality",
        )
    return tuple(found)


def is_regulated(change: EngineeringChange, scope: Scope, facts: Facts) -> bool:
    """Whether the change, or an item it is about, belongs to a regulated family."""
    families = {change.family, *(item.family for item in scope.items)}
    return not families.isdisjoint(facts.rules.regulated)


def _released_assemblies(scope: Scope, unsettled: Set[str]) -> dict[str, list[str]]:
    """By component: the released assemblies that contain it in some plant."""
    found: dict[str, list[str]] = {}
    for item in scope.items:
        if item.lifecycle == "released" and item.number not in unsettled:
            plants = [built.components() for _, built in _structures_of(item, scope)]
            for component in dict.fromkeys(chain.from_iterable(plants)):
                found.setdefault(component, []).append(item.number)
    return found


def _of_kind(item: Item) -> Iterator[Finding]:
    if item.kind not in MATERIAL_KINDS:
        what = f"{item.number} is a {item.kind} and is not sent to the ERP"
        yield _finding("not-a-material", item, what, "info", "engineering")


def _of_lifecycle(item: Item, assemblies: list[str]) -> Iterator[Finding]:
    if assemblies and item.lifecycle != "released":
        phase = item.phase or item.lifecycle
        what = f"{item.number} is in phase {phase}, inside the released {', '.join(assemblies)}"
        yield _finding("component-not-released", item, what, "warning", "engineering")


def _of_manufacturers(item: Item) -> Iterator[Finding]:
    refused = [m for m in item.manufacturers if m.status not in ACCEPTED]
    if refused:
        parts = ", ".join(f"{m.manufacturer} {m.part} ({m.status})" for m in refused)
        what = f"The manufacturer list of {item.number} has {parts}"
        yield _finding("manufacturer-part-obsolete", item, what, "warning", "sourcing")
    if is_bought(item) and len(refused) == len(item.manufacturers):
        what = f"{item.number} is bought and has no approved manufacturer"
        yield _finding("aml-missing", item, what, "warning", "sourcing")


def _of_quantities(item: Item, facts: Facts) -> Iterator[Finding]:
    bom = structure(item.number, facts)
    empty = [line for line in bom.lines if line.quantity.value == 0] if bom else []
    if empty:
        lines = ", ".join(f"{line.position} ({line.component})" for line in empty)
        what = f"The BOM of {item.number} takes nothing in line {lines}"
        yield Finding("quantity-zero", bom_key(item.number), what, "warning", "engineering")


def _structures_of(item: Item, scope: Scope) -> Iterator[tuple[str, PlantStructure]]:
    """How the item is built, by plant."""
    for plant in scope.plants[item.number]:
        if built := scope.structures.get((item.number, plant)):
            yield plant, built


def _of_plants(item: Item, scope: Scope) -> Iterator[Finding]:
    """What of the structure is not sent to a plant as it is stated, by the rules of BOMs."""
    owned: dict[str, list[str]] = {}
    left_out: dict[str, list[str]] = {}
    replaced: dict[str, list[str]] = {}
    for plant, built in _structures_of(item, scope):
        for number in built.owned:
            owned.setdefault(number, []).append(plant)
        for number in built.left_out:
            left_out.setdefault(number, []).append(plant)
        for number, other in built.replaced().items():
            replaced.setdefault(f"{number} by {other}", []).append(plant)
    for code, words, found in (
        ("component-plant-owned", "goes without components that the plant keeps itself", owned),
        ("component-left-out", "goes without components that the plant leaves out", left_out),
        ("component-replaced", "has other components", replaced),
    ):
        if found:
            told = ", ".join(f"{what} in {', '.join(plants)}" for what, plants in found.items())
            what = f"The BOM of {item.number} {words}: {told}"
            yield Finding(code, bom_key(item.number), what, "info", "master data")


def _of_revision(change: EngineeringChange, item: Item) -> Iterator[Finding]:
    """An older one is on its way, which is no mistake; a newer one has overtaken the change."""
    labels = {row.new_revision for row in change.affected if row.item == item.number}
    for label in sorted(labels - {item.revision.label}):
        order = revision_order(item.revision, label, where=item_key(item.number))
        if order == 0:
            continue
        what = f"The change releases {item.number} {label}, known is {item.revision.label}"
        severity: Severity = "warning" if order == 1 else "info"
        yield _finding("revision-differs", item, what, severity, "engineering")
        return


def _finding(code: str, item: Item, what: str, severity: Severity, owner: str) -> Finding:
    return Finding(
        code=code, where=item_key(item.number), what=what, severity=severity, owner=owner
    )
