"""Plant BOMs as production BOMs, linked to the product that is made by them.

Tryton has no plants: the BOM of a plant is told by its code, `plant/usage/alternative/parent`. Its
lines have no numbers, so a line is known by its component and by how much of it there is. The name
says the revision that is built.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

import msgspec

from canonical.bom import BomLine, LineOwner, PlantBom, bom_key, owner_of, substitutes_of
from canonical.codec import encode
from canonical.connector import Absent, Observed, Present
from canonical.errors import Conflict, Misconfigured, Rejected
from canonical.own_words import OwnWords
from handlers.systems.tryton import rpc, units
from handlers.systems.tryton.native import BillOfMaterial, Coded, HeldBom, Made, Row
from handlers.systems.tryton.rpc import Call, Difference, Look
from handlers.systems.tryton.words import BOM, BOM_INPUT, BOM_OUTPUT, PRODUCT

_ROW = ("quantity", "unit.symbol", "product.code", "_timestamp")
_FIELDS = (
    *("name", "code", "active", "_timestamp"),
    *(f"inputs.{name}" for name in _ROW),
    *(f"outputs.{name}" for name in _ROW),
)
# A line is read back in some 220 bytes, and 2 MiB of an answer are taken.
_MAX_LINES = 5_000
_MAX_NAMED = 5


class _Line(NamedTuple):
    """A line as Tryton is to hold it. unit: Rec 20 code."""

    component: str
    quantity: Decimal
    unit: str


def look(bom: PlantBom, own: OwnWords) -> Look:
    """The BOM by its code, then the products and units that it refers to."""
    return Look(
        rpc.search(BOM, (("code", "=", code_of(bom)),), _FIELDS),
        partial(_found, bom, own),
    )


def code_of(bom: PlantBom) -> str:
    """The code of the plant's BOM: the parent stands last, its number may hold slashes."""
    return f"{bom.plant}/{bom.usage}/{bom.alternative}/{bom.parent}"


def _found(bom: PlantBom, own: OwnWords, found: msgspec.Raw) -> Look:
    boms = tuple(
        one for one in rpc.decoded(found, tuple[BillOfMaterial, ...]) if one.code == code_of(bom)
    )
    held = rpc.only(boms, bom_key(bom.parent))
    components = sorted({line.component for line in written_lines(bom)})
    return Look(
        rpc.search(
            PRODUCT,
            (("code", "in", (bom.parent, *components)),),
            ("code", "active", "boms.bom"),
            with_inactive=False,
        ),
        partial(_with_products, bom, own, held),
    )


def _with_products(
    bom: PlantBom, own: OwnWords, held: BillOfMaterial | None, found: msgspec.Raw
) -> Look:
    made = rpc.decoded(found, tuple[Made, ...])
    products = _ids(bom, made)
    links = next((one.boms for one in made if one.code == bom.parent), ())
    is_linked = held is not None and any(link.bom == held.id for link in links)
    return units.look(
        tuple(sorted({_symbol(bom, one, own) for one in _units_of(bom)})),
        lambda ids: _observed(bom, own, HeldBom(held, products, ids, is_linked)),
    )


def _ids(bom: PlantBom, made: Sequence[Coded]) -> dict[str, int]:
    """Raises: Rejected where Tryton lacks the parent or a component."""
    products = {one.code: one.id for one in made if one.code is not None}
    wanted = dict.fromkeys((bom.parent, *(line.component for line in written_lines(bom))))
    if missing := [number for number in wanted if number not in products]:
        more = len(missing) - _MAX_NAMED
        raise Rejected(
            "product-missing",
            f"Tryton has no active product {', '.join(missing[:_MAX_NAMED])}"
            + (f" and {more} more" if more > 0 else ""),
            where=bom_key(bom.parent),
            remedy="Have these products made active there, then release the step again",
        )
    return products


def _observed(bom: PlantBom, own: OwnWords, held: HeldBom) -> Observed:
    if held.bom is None:
        return Absent(encode(held))
    missing = differences(bom, own, held)
    return Present(
        equal=not missing,
        reference=str(held.bom.id),
        differences=tuple(line for one in missing for line in one.what),
        native=encode(held),
    )


def create(bom: PlantBom, own: OwnWords, held: HeldBom) -> Call:
    """The BOM with its lines in one call; the product is linked to it by the next one."""
    output = _values(_Line(bom.parent, bom.base.value, bom.base.unit), bom, own, held)
    values = {
        "code": code_of(bom),
        "name": _name(bom),
        "outputs": [["create", [output]]],
        "inputs": [["create", [_values(line, bom, own, held) for line in _wanted(bom)]]],
    }
    return rpc.create(BOM, values)


def differences(bom: PlantBom, own: OwnWords, held: HeldBom) -> tuple[Difference, ...]:
    """What has to change: the BOM with its lines as one write, then the link to its product."""
    there = held.bom
    assert there is not None
    wanted = _wanted(bom)
    if not there.active:
        return (_conflict(bom, "active: false, wanted true"),)
    output = _output(bom, there)
    if output is None:
        return (_conflict(bom, f"outputs: none of {bom.parent}"),)
    values: dict[str, Any] = {}
    what: list[str] = []
    seen = {rpc.stamp(BOM, there.id): there.timestamp}
    if there.name != _name(bom):
        values["name"] = _name(bom)
        what += rpc.differing((("name", there.name, _name(bom)),))
    owner = _owner(bom)
    rows = [row for row in there.inputs if owner(_component(row)) != "plant"]
    base = _Line(bom.parent, bom.base.value, bom.base.unit)
    if not _is(output, base, own):
        if len(rows) < len(there.inputs):
            shown = f"base quantity {output.quantity}, wanted {base.quantity}"
            return (_conflict(bom, f"{shown}, and lines of the plant's own are for it"),)
        values["outputs"] = [["write", [output.id], _values(base, bom, own, held)]]
        what.append(_shown(output, base))
        seen[rpc.stamp(BOM_OUTPUT, output.id)] = output.timestamp
    commands: list[list[Any]] = []
    pairs, left = _paired(wanted, rows, own)
    if added := [_values(line, bom, own, held) for line, row in pairs if row is None]:
        commands.append(["create", added])
        what += [f"{line.component}: missing" for line, row in pairs if row is None]
    for line, row in pairs:
        if row is not None and not _is(row, line, own):
            commands.append(["write", [row.id], _values(line, bom, own, held)])
            what.append(_shown(row, line))
            seen[rpc.stamp(BOM_INPUT, row.id)] = row.timestamp
    for row in left:
        component = _component(row)
        if owner(component) == "unknown":
            shown = f"{component}, wanted none"
            return (
                _conflict(bom, f"{shown}, and nothing on record tells if it is the plant's own"),
            )
        what.append(f"{component}: there, wanted none")
        seen[rpc.stamp(BOM_INPUT, row.id)] = row.timestamp
    if left:
        commands.append(["delete", [row.id for row in left]])
    if commands:
        values["inputs"] = commands
    found = []
    if values:
        found.append(Difference(tuple(what), rpc.write(BOM, there.id, values, seen=seen)))
    if not held.is_linked:
        link = {"boms": [["create", [{"bom": there.id}]]]}
        call = rpc.write(PRODUCT, held.products[bom.parent], link, seen={})
        found.append(Difference((f"{bom.parent} is not made by this BOM",), call))
    return tuple(found)


# --- Tryton's side ---


def _output(bom: PlantBom, there: BillOfMaterial) -> Row | None:
    """What is made; what comes out besides is the plant's."""
    return next((row for row in there.outputs if _component(row) == bom.parent), None)


def _component(row: Row) -> str:
    """Of a line; "" where another BOM stands in it."""
    return (row.product.code or "") if row.product else ""


def _owner(bom: PlantBom) -> Callable[[str], LineOwner]:
    """Whose a line is, by its component. Another BOM in a line is nothing engineering says."""
    tells = owner_of(bom)
    return lambda component: tells(component, "") if component else "plant"


def _paired(
    wanted: Sequence[_Line], rows: Sequence[Row], own: OwnWords
) -> tuple[list[tuple[_Line, Row | None]], list[Row]]:
    """Each line with the row that holds it, first one that is just so, then one of its component;
    and the rows that no line wants."""
    free: dict[str, list[Row]] = {}
    for row in rows:
        free.setdefault(_component(row), []).append(row)
    found: dict[int, Row] = {}
    for is_exact in (True, False):
        for at, line in enumerate(wanted):
            candidates = free.get(line.component, [])
            fitting = [row for row in candidates if not is_exact or _is(row, line, own)]
            if at not in found and fitting:
                candidates.remove(fitting[0])
                found[at] = fitting[0]
    pairs = [(line, found.get(at)) for at, line in enumerate(wanted)]
    return pairs, [row for rows in free.values() for row in rows]


def _is(row: Row, line: _Line, own: OwnWords) -> bool:
    return row.quantity == line.quantity and units.is_same(row.unit.symbol, line.unit, own)


def _shown(row: Row, line: _Line) -> str:
    held = f"{row.quantity} {row.unit.symbol}"
    return f"{line.component}: {held}, wanted {line.quantity} {line.unit}"


# --- our side ---


def written_lines(bom: PlantBom) -> tuple[BomLine, ...]:
    """The lines that are sent: all but those with quantity 0, which are references."""
    return tuple(line for line in bom.lines if line.quantity.value != 0)


def _wanted(bom: PlantBom) -> list[_Line]:
    """Raises: Rejected for what Tryton cannot hold, Misconfigured for a line that would be the
    plant's own once it is there."""
    lines = written_lines(bom)
    where = bom_key(bom.parent)
    if not lines:
        raise Rejected(
            "bom-empty",
            f"The BOM of {bom.parent} has no line with a quantity",
            where=where,
            remedy="Release the structure with its quantities",
        )
    if len(lines) > _MAX_LINES:
        raise Rejected(
            "bom-too-long",
            f"The BOM of {bom.parent} has {len(lines)} lines; {_MAX_LINES} can be confirmed",
            where=where,
            remedy="Split the assembly",
        )
    owner = _owner(bom)
    for line in lines:
        place = f"{where}/{line.position}"
        if line.numbers is not None:
            raise Rejected(
                "line-effectivity-unsupported",
                f"A line of Tryton counts always; line {line.position} of {bom.parent}"
                f" ({line.component}) is effective from {line.numbers.shown}",
                where=place,
                remedy="Have the plant keep this line itself",
                owner="engineering",
            )
        if line.fixed:
            raise Rejected(
                "line-fixed-unsupported",
                f"A line of Tryton grows with what is made; line {line.position} of {bom.parent}"
                f" ({line.component}) has a fixed quantity",
                where=place,
                remedy="State the quantity for what is made, or have the plant keep this line",
                owner="engineering",
            )
        if owner(line.component) == "plant":
            raise Misconfigured(
                "line-plant-owned",
                f"A line of {line.component} is plant {bom.plant}'s own by the rules, and is to be"
                " written",
                where=place,
                remedy="Correct plant_owned in the rules of BOMs",
            )
    return [_Line(line.component, line.quantity.value, line.quantity.unit) for line in lines]


def _values(line: _Line, bom: PlantBom, own: OwnWords, held: HeldBom) -> dict[str, Any]:
    return {
        "product": rpc.ref(held.products, line.component),
        "quantity": float(line.quantity),
        "unit": rpc.ref(held.units, _symbol(bom, line.unit, own)),
    }


def _units_of(bom: PlantBom) -> set[str]:
    return {bom.base.unit, *(line.quantity.unit for line in written_lines(bom))}


def _symbol(bom: PlantBom, code: str, own: OwnWords) -> str:
    return units.symbol(code, own, bom_key(bom.parent))


def _name(bom: PlantBom) -> str:
    return f"{bom.parent} revision {bom.revision}" if bom.revision else bom.parent


def _conflict(bom: PlantBom, shown: str) -> Difference:
    return Difference(
        (shown,),
        conflict=Conflict(
            "bom-differs",
            f"BOM {code_of(bom)} cannot be changed so: {shown}",
            where=bom_key(bom.parent),
            remedy="Settle it with the BOM's owner in the plant, then release the step again",
        ),
    )


def remarks(bom: PlantBom) -> tuple[str, ...]:
    """What of the BOM Tryton has no place for, each kind once."""
    kinds: dict[str, Callable[[BomLine], object]] = {
        "Lines with quantity 0, which are references": lambda line: line.quantity.value == 0,
        "Reference designators": lambda line: line.reference_designators,
        "Substitutes": substitutes_of,
        "Revisions of components": lambda line: line.component_revision,
        "Notes": lambda line: line.note,
        "Percentages of scrap": lambda line: line.scrap_percent,
        "First and last days": lambda line: line.first_day or line.last_day,
    }
    return tuple(
        f"{words} of {bom.parent}: not sent"
        for words, states in kinds.items()
        if any(states(line) for line in bom.lines)
    )
