"""`layshaft package make`: a package for a supplier, of what is known about items."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number

from broker.store import Tx
from broker.store import documents as rows
from canonical.bom import Bom, bom_key, substitutes_of
from canonical.change import EngineeringChange, change_key
from canonical.item import Item, item_key
from canonical.text import normalise_id
from handlers.systems.pdx.native import MAX_ROWS
from handlers.systems.pdx.outbound import Contents, to_package
from ops.cli.files import refuse_existing, write_whole
from ops.cli.output import plural, put_json, screen
from ops.cli.problems import Exit, Problem
from ops.cli.session import Reading, read

# With the time behind it a document identifier stays below the longest id we take.
_NAME_CHARS = 200


class Made(msgspec.Struct, frozen=True):
    """What was made. levels: of BOMs below the named items. affected_elsewhere: items that the
    change affects and the package does not have."""

    file: str
    bytes: int
    sha256: str
    identifier: str
    items: int
    boms: int
    lines: int
    manufacturer_parts: int
    levels: int
    change: str
    affected_elsewhere: int


class _Found(msgspec.Struct, frozen=True):
    """What the database knows, parents before their components; levels: as in Made."""

    items: tuple[Item, ...]
    boms: tuple[Bom, ...]
    change: EngineeringChange | None
    levels: int


def make_package(
    item: str,
    /,
    *more: str,
    out: Path,
    change: str = "",
    levels: Annotated[int | None, Parameter(validator=Number(gte=0))] = None,
    force: bool = False,
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> None:
    """Write an IPC-2571 package of ITEMS and all that is below them, as a supplier is sent one.

    It holds what Layshaft knows: items, approved manufacturers, BOMs; no drawings. An item that is
    not known, or that such a package cannot express, leaves no file.

    Parameters
    ----------
    item
        Number of an item that the package is about.
    more
        Numbers of further ones.
    out
        File to write, such as GBX-1000.pdx.
    change
        Number of a released engineering change that goes with it, with all items it affects.
    levels
        How many levels of BOMs; without it, all. 0: the items alone.
    force
        Write over a file that exists.
    """
    refuse_existing(out, force=force)
    tops = tuple(dict.fromkeys(normalise_id(number, where="ITEM") for number in (item, *more)))
    change = normalise_id(change, where="--change") if change else ""
    found = read(reading, lambda tx: _find(tx, tops, change, levels))
    generated = datetime.now(UTC)
    contents = Contents(
        identifier=f"{tops[0][:_NAME_CHARS]}/{generated:%Y%m%dT%H%M%SZ}",
        generated=generated,
        items=found.items,
        boms=found.boms,
        change=found.change,
        tops=frozenset(tops),
    )
    package = to_package(contents)
    refuse_existing(out, force=force)
    write_whole(out, package)
    made = _made(out, package, contents, found.levels)
    if reading.is_json:
        put_json(made)
    else:
        screen().fields(_fields(made))


async def _find(tx: Tx, tops: Iterable[str], change: str, levels: int | None) -> _Found:
    """The items and what is below them, level by level, each once: a cycle ends by itself.

    Raises: Problem where something is not known, naming all of it, and for more than a package
        may have.
    """
    items: dict[str, Item] = {}
    boms: list[Bom] = []
    missing: list[str] = []
    seen = set(tops)
    wanted = dict.fromkeys(tops, "")
    size = level = 0
    while wanted:
        known = await rows.load(tx, [item_key(number) for number in wanted])
        for number, user in wanted.items():
            stored = known.get(item_key(number))
            if stored is None:
                missing.append(f"{item_key(number)} (in {user})" if user else item_key(number))
                continue
            assert isinstance(stored.known.document, Item)
            items[number] = stored.known.document
            size += 1 + len(stored.known.document.manufacturers)
        structures = await _structures(tx, wanted) if level != levels else []
        boms += structures
        size += sum(len(bom.lines) for bom in structures)
        if size > MAX_ROWS:
            raise _too_long()
        wanted = {number: user for number, user in _used(structures) if number not in seen}
        seen |= wanted.keys()
        level += bool(structures)
    eco = await _change(tx, change, missing) if change else None
    if missing:
        raise _unknown(missing)
    return _Found(tuple(items.values()), tuple(boms), eco, level)


async def _structures(tx: Tx, numbers: Iterable[str]) -> list[Bom]:
    """The BOMs that the items have, in their order; one without lines is none."""
    known = await rows.load(tx, map(bom_key, numbers))
    found = (known[key].known.document for key in map(bom_key, numbers) if key in known)
    return [bom for bom in found if isinstance(bom, Bom) and bom.lines]


def _used(structures: Iterable[Bom]) -> Iterator[tuple[str, str]]:
    """Components and their substitutes, each with the key of the BOM that names it."""
    for bom in structures:
        for line in bom.lines:
            for number in (line.component, *(one.item for one in substitutes_of(line))):
                yield number, bom_key(bom.parent)


async def _change(tx: Tx, number: str, missing: list[str]) -> EngineeringChange | None:
    key = change_key(number)
    stored = (await rows.load(tx, [key])).get(key)
    if stored is None:
        missing.append(key)
        return None
    assert isinstance(stored.known.document, EngineeringChange)
    return stored.known.document


def _unknown(missing: list[str]) -> Problem:
    return Problem(
        Exit.NOT_FOUND,
        "not-found",
        f"Layshaft does not know {len(missing)} of what the package needs",
        why=", ".join(missing),
        fix="Have the PLM release them, correct the numbers, or take fewer --levels",
    )


def _too_long() -> Problem:
    return Problem(
        Exit.REFUSED,
        "package-too-long",
        "There is more below these items than a package may have",
        why=f"at most {MAX_ROWS} items, lines and manufacturers are taken",
        fix="Make a package for each assembly, or take fewer --levels",
    )


def _made(out: Path, package: bytes, contents: Contents, levels: int) -> Made:
    within = {item.number for item in contents.items}
    affected = contents.change.affected if contents.change else ()
    return Made(
        file=str(out),
        bytes=len(package),
        sha256=hashlib.sha256(package).hexdigest(),
        identifier=contents.identifier,
        items=len(contents.items),
        boms=len(contents.boms),
        lines=sum(len(bom.lines) for bom in contents.boms),
        manufacturer_parts=sum(len(item.manufacturers) for item in contents.items),
        levels=levels,
        change=contents.change.number if contents.change else "",
        affected_elsewhere=sum(row.item not in within for row in affected),
    )


def _fields(made: Made) -> list[tuple[str, str]]:
    elsewhere = f", affects {plural(made.affected_elsewhere, 'item')} outside of it"
    parts = plural(made.manufacturer_parts, "approved manufacturer part")
    lines, levels = plural(made.lines, "line"), plural(made.levels, "level")
    return [
        ("file", made.file),
        ("bytes", str(made.bytes)),
        ("sha256", made.sha256),
        ("document", made.identifier),
        ("items", f"{made.items} with {parts}"),
        ("BOMs", f"{made.boms} with {lines}, {levels}"),
        ("change", made.change + (elsewhere if made.affected_elsewhere else "")),
    ]
