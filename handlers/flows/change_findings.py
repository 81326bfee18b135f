"""What a person should know about the input of a change, found by rule."""

from __future__ import annotations

from collections.abc import Iterator

from canonical.change import EngineeringChange
from canonical.effects import Finding
from canonical.errors import Rejected
from canonical.facts import Facts
from canonical.item import Item, item_key
from handlers.flows.change_scope import MATERIAL_KINDS, Scope, is_bought

ACCEPTED = frozenset({"approved", "conditional"})


def findings_of(change: EngineeringChange, scope: Scope, facts: Facts) -> tuple[Finding, ...]:
    """All findings, by rule and object.

    Raises: Rejected if the change touches a regulated family and anything was found: there a
    finding stops the change.
    """
    found = [
        finding
        for number in scope.plants
        if (item := facts.item(number)) is not None
        for finding in (*_of_item(item), *_of_lines(item, facts))
    ]
    regulated = set(facts.rules.regulated) & {change.family, *(i.family for i in scope.items)}
    warnings = [f for f in found if f.severity == "warning"]
    if regulated and warnings:
        raise Rejected(
            "finding-stops-change",
            f"{len(warnings)} finding(s) in a regulated product family: "
            + "; ".join(f.what for f in warnings[:5]),
            where=", ".join(sorted(regulated)),
            remedy="Correct the definition in PLM and release it anew",
            owner="quality",
        )
    return tuple(found)


def _of_item(item: Item) -> Iterator[Finding]:
    where = item_key(item.number)
    if item.kind not in MATERIAL_KINDS:
        yield Finding(
            "not-a-material", where, f"{item.number} is a {item.kind}: not sent to the ERP",
            "info", "engineering",
        )  # fmt: skip
        return
    if item.lifecycle != "released":
        yield Finding(
            "component-not-released",
            where,
            f"{item.number} is in phase {item.phase or item.lifecycle} and used in a released"
            " assembly",
            "warning",
            "engineering",
        )
    for maker in item.manufacturers:
        if maker.status not in ACCEPTED:
            yield Finding(
                "manufacturer-part-obsolete",
                where,
                f"{maker.manufacturer} {maker.part} is {maker.status} for {item.number}",
                "warning",
                "sourcing",
            )
    if is_bought(item) and not any(m.status in ACCEPTED for m in item.manufacturers):
        yield Finding(
            "aml-missing",
            where,
            f"{item.number} is bought and has no approved manufacturer",
            "warning",
            "sourcing",
        )


def _of_lines(item: Item, facts: Facts) -> Iterator[Finding]:
    bom = facts.bom(item.number)
    for line in bom.lines if bom else ():
        if line.quantity.value == 0:
            yield Finding(
                "quantity-zero",
                item_key(item.number),
                f"line {line.position} of {item.number} takes 0 {line.quantity.unit} of"
                f" {line.component}",
                "warning",
                "engineering",
            )
