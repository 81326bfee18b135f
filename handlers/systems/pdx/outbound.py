"""Canonical items, BOMs and a change into a PDX package, such as a supplier is sent.

Whatever is in a package can be read back; what cannot be said in one is refused, naming object and
field. The README lists what is not carried and what comes back otherwise.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from canonical.bom import Bom, BomLine, Substitute, bom_key, substitutes_of
from canonical.change import EngineeringChange
from canonical.errors import InvalidMessage
from canonical.item import ApprovedManufacturer, Item, item_key
from canonical.package import MAX_PACKAGE_BYTES
from canonical.revision import parse_revision
from canonical.units import from_rec20
from handlers.systems.pdx.native import MAX_BOM_LINES, MAX_ROWS, ROOT
from handlers.systems.pdx.outbound_change import change_element
from handlers.systems.pdx.words import (
    COMPLIANCE_FIELD,
    LIFECYCLE,
    MAKE_BUY_OF,
    PHASE_OF,
    PHASES,
    PREFERENCE_OF,
    PRODUCT_KIND,
    PRODUCT_TYPE_OF,
    SCHEME,
    STATUS_OF_MAKER,
)
from handlers.systems.pdx.writing import (
    custom,
    element,
    group,
    head,
    identifier,
    inexpressible,
    label,
    optional,
    shown,
    text,
    time_text,
    unique_ids,
)

MEMBER = "pdx.xml"

# The oldest time a ZIP entry can carry: the archive depends on nothing but its content.
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_READABLE = 0o644 << 16

# Agile and Arena pad a label so before the change that made it.
_BEFORE_CHANGE = " " * 8
_UNITS = "pdx"


class Contents(msgspec.Struct, frozen=True):
    """What goes into a package, in the order in which it is written.

    identifier, generated: name and time of the document, by which a reader tells it from others.
    tops: numbers of the items that the package is about.
    """

    identifier: str
    generated: datetime
    items: tuple[Item, ...]
    boms: tuple[Bom, ...] = ()
    change: EngineeringChange | None = None
    tops: frozenset[str] = frozenset()


def to_package(contents: Contents) -> bytes:
    """The package as a ZIP archive; the same contents give the same bytes.

    Raises: as `to_document`.
    """
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        member = zipfile.ZipInfo(MEMBER, _ZIP_EPOCH)
        member.create_system = _UNIX
        member.external_attr = _READABLE
        archive.writestr(member, to_document(contents), compress_type=zipfile.ZIP_DEFLATED)
    return target.getvalue()


def to_document(contents: Contents) -> bytes:
    """The document of a package, valid under the document type that comes with it.

    Raises: InvalidMessage, naming object and field, for what no field or table of a package can
        say, and for more than a package may hold.
    """
    index = _Index(contents)
    generated = time_text(contents.generated)
    items = [_item(item, index, is_top=item.number in contents.tops) for item in contents.items]
    changes = [change_element(contents.change, index.ids)] if contents.change else []
    root = element(
        ROOT,
        {
            "thisDocumentIdentifier": identifier(contents.identifier, "thisDocumentIdentifier"),
            "thisDocumentGenerationDateTime": generated,
            "thisDocumentModificationDateTime": generated,
        },
        (group("Items", items), group("Changes", changes)),
    )
    document = f"{head()}{root}".encode()
    if len(document) > MAX_PACKAGE_BYTES:
        raise _too_long(f"{len(document)} bytes; at most {MAX_PACKAGE_BYTES} are taken", MEMBER)
    return document


class _Index:
    """What has to be known of the whole package to write one item of it.

    ids: item number -> XML id. units: item number -> Rec 20 code of its base unit.
    """

    def __init__(self, contents: Contents) -> None:
        if not (contents.items or contents.change):
            raise InvalidMessage(
                "package-empty",
                "The package has neither items nor a change",
                where=ROOT,
                remedy="Name at least one item",
            )
        self.units: Mapping[str, str] = {item.number: item.base_unit for item in contents.items}
        self.boms: Mapping[str, Bom] = {bom.parent: bom for bom in contents.boms}
        self.ids = unique_ids(contents.items)
        self.phantoms = frozenset(
            item.number for item in contents.items if item.procurement == "phantom"
        )
        _refuse_repeats(item_key(item.number) for item in contents.items)
        _refuse_repeats(bom_key(bom.parent) for bom in contents.boms)
        _refuse_too_many(contents)
        for parent in self.boms:
            if parent not in self.units:
                raise inexpressible("its item is not in the package", shown(bom_key(parent)))


def _refuse_repeats(keys: Iterable[str]) -> None:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            raise inexpressible("it is in the package twice", shown(key))
        seen.add(key)


def _refuse_too_many(contents: Contents) -> None:
    """A package that goes beyond what we take ourselves is not sent to anybody."""
    for bom in contents.boms:
        if len(bom.lines) > MAX_BOM_LINES:
            raise _too_long(f"a BOM of more than {MAX_BOM_LINES} lines", f"bom/{shown(bom.parent)}")
    rows = sum(1 + len(item.manufacturers) for item in contents.items)
    rows += sum(len(bom.lines) for bom in contents.boms)
    if rows > MAX_ROWS:
        raise _too_long(f"more than {MAX_ROWS} items, lines and manufacturers", ROOT)


def _too_long(what: str, where: str) -> InvalidMessage:
    return InvalidMessage(
        "package-too-long", f"The package has {what}", where=where, remedy="Make it in parts"
    )


def _item(item: Item, index: _Index, *, is_top: bool) -> str:
    where = f"item/{shown(item.number)}"
    bom = index.boms.get(item.number)
    phase, phase_other = _phase(item, where)
    make_buy, make_buy_other = _make_buy(item, where)
    fields = {**_compliance(item, where), **(_base(bom, item) if bom else {})}
    lines = [_line(line, bom.parent, index) for line in bom.lines] if bom else []
    if bom and lines:
        _refuse_another_revision(bom, item)
    return element(
        "Item",
        {
            "itemIdentifier": identifier(item.number, f"{where} number"),
            "itemUniqueIdentifier": index.ids[item.number],
            "globalLifeCyclePhaseCode": phase,
            "globalLifeCyclePhaseCodeOther": phase_other or None,
            "globalProductTypeCode": PRODUCT_TYPE_OF[item.kind],
            "revisionIdentifier": _revision(item, where),
            "proprietaryProductFamily": optional(item.family, f"{where} family"),
            "category": optional(item.category, f"{where} category"),
            "globalProductUnitOfMeasureCode": _unit(item.base_unit, f"{where} base_unit"),
            "makeBuy": make_buy or None,
            "makeBuyOther": make_buy_other or None,
            "revisionReleasedDate": time_text(item.released_at),
            "isTopLevel": "Yes" if is_top else "No",
            "description": optional(item.description, f"{where} description"),
        },
        (
            custom(fields),
            group("BillOfMaterial", lines),
            group(
                "ApprovedManufacturerList",
                [_manufacturer(entry, where) for entry in item.manufacturers],
            ),
        ),
    )


def _phase(item: Item, where: str) -> tuple[str, str]:
    """Code of the phase, and the text where it is Other.

    The source's own word, where it is one of a package and means the item's life cycle; else the
    standard's word for that.
    """
    if LIFECYCLE.get(item.phase.casefold()) == item.lifecycle:
        if item.phase in PHASES:
            return item.phase, ""
        return "Other", text(item.phase, f"{where} phase")
    code = PHASE_OF.get(item.lifecycle)
    if code is None:
        raise inexpressible(f"no phase means {item.lifecycle}", f"{where} lifecycle")
    return code, ""


def _revision(item: Item, where: str) -> str:
    """Label and, where it is known, the change that made it.

    Raises: InvalidMessage where a reader would see another revision or put it in another place.
    """
    where = f"{where} revision"
    revision = item.revision
    if item.change and revision.change and item.change != revision.change:
        raise inexpressible(f"two changes, {item.change} and {revision.change}, made it", where)
    change = revision.change or item.change or None
    written = f"{revision.label}{_BEFORE_CHANGE}{change}" if change else revision.label
    read = parse_revision(written, SCHEME, where=where)
    if read != msgspec.structs.replace(revision, change=change):
        what = f"{revision.label!r} ({revision.scheme}) would be read as {read.label!r} ({SCHEME})"
        raise inexpressible(what, where)
    return written


def _refuse_another_revision(bom: Bom, item: Item) -> None:
    change = item.revision.change or item.change
    if (bom.revision, bom.change) == (item.revision.label, change):
        return
    raise inexpressible(
        f"the BOM is of revision {bom.revision} ({bom.change or 'no change'}), the item is of "
        f"{item.revision.label} ({change or 'no change'})",
        f"bom/{shown(bom.parent)} revision",
    )


def _make_buy(item: Item, where: str) -> tuple[str, str]:
    """Code of how it is procured, and the text where it is Other; no code: neither way."""
    if item.procurement == "none":
        if PRODUCT_TYPE_OF[item.kind].casefold() in PRODUCT_KIND:
            return "", ""
        what = "a part is made, bought or built through; this one is none of them"
        raise inexpressible(what, f"{where} procurement")
    return MAKE_BUY_OF[item.procurement]


def _compliance(item: Item, where: str) -> dict[str, str]:
    """Custom fields of what the item complies with; a mark without a value says nothing."""
    where = f"{where} compliance"
    fields: dict[str, str] = {}
    for mark in item.compliance:
        name = COMPLIANCE_FIELD.get(mark.scheme)
        if name is None:
            raise inexpressible(f"no field is known for {mark.scheme[:40]!r}", where)
        if name in fields:
            raise inexpressible(f"{mark.scheme} is stated twice", where)
        fields[name] = text(mark.value, where)
    return fields


def _manufacturer(entry: ApprovedManufacturer, where: str) -> str:
    where = f"{where} manufacturer part {shown(entry.part)}"
    preference = _preference(entry.rank, where)
    return element(
        "ApprovedManufacturerListItem",
        {
            "manufacturerPartIdentifier": identifier(entry.part, f"{where} part"),
            "manufacturedBy": identifier(entry.manufacturer, f"{where} manufacturer"),
            "globalManufacturerPartStatusCode": STATUS_OF_MAKER[entry.status],
            "globalPreferredStatusCode": preference,
            "description": optional(entry.note, f"{where} note"),
        },
    )


def _base(bom: Bom, item: Item) -> dict[str, str]:
    """Custom fields of the header's base quantity; none where it is what a reader assumes."""
    where = f"bom/{shown(bom.parent)} base"
    if bom.base.value <= 0:
        raise inexpressible(f"the base quantity is {bom.base.value}", where)
    if not bom.lines or (bom.base.value == 1 and bom.base.unit == item.base_unit):
        return {}
    return {"BaseQuantity": f"{bom.base.value:f}", "BaseUnit": _unit(bom.base.unit, where)}


def _line(line: BomLine, parent: str, index: _Index) -> str:
    position, component = shown(line.position or "?"), shown(line.component)
    where = f"bom/{shown(parent)} line {position} component {component}"
    if line.quantity.value < 0:
        raise inexpressible(f"the quantity is {line.quantity.value}", f"{where} quantity")
    unit = _unit(line.quantity.unit, f"{where} quantity")
    revision = line.component_revision
    is_phantom = line.component in index.phantoms
    designators = [
        element("ReferenceDesignator", {"referenceDesignatorName": text(name, where)})
        for name in line.reference_designators
    ]
    if line.first_day or line.last_day:
        raise inexpressible("a line counts on some days only", f"{where} days")
    if line.numbers is not None:
        what = f"a line counts from {shown(line.numbers.shown)} only"
        raise inexpressible(what, f"{where} {'serials' if line.serials else 'lots'}")
    substitutes = [_substitute(one, index, where) for one in substitutes_of(line)]
    return element(
        "BillOfMaterialItem",
        {
            "proprietarySequenceIdentifier": optional(line.position, f"{where} position"),
            "billOfMaterialItemIdentifier": identifier(line.component, f"{where} component"),
            "billOfMaterialItemUniqueIdentifier": index.ids.get(line.component),
            "revisionIdentifier": label(revision, f"{where} revision") if revision else None,
            "itemQuantity": f"{line.quantity.value:f}",
            "globalProductQuantityTypeCode": "PerSetup" if line.fixed else None,
            "globalBillOfMaterialTypeCode": "PhantomSubassembly" if is_phantom else None,
            "notes": optional(line.note, f"{where} note"),
        },
        (
            # A line in its component's unit needs none of its own.
            custom({"UOM": "" if index.units.get(line.component) == line.quantity.unit else unit}),
            group("ReferenceDesignators", designators),
            group("AlternateItems", substitutes),
        ),
    )


def _substitute(substitute: Substitute, index: _Index, where: str) -> str:
    """The document type demands that a substitute is referred to, so it has to be there. It is used
    in the line's own quantity."""
    where = f"{where} substitutes"
    unique = index.ids.get(substitute.item)
    if unique is None:
        what = f"the substitute {shown(substitute.item)} is not in the package"
        raise inexpressible(what, where)
    if substitute.quantity is not None:
        what = f"the substitute {shown(substitute.item)} has a quantity of its own"
        raise inexpressible(what, where)
    row = {
        "itemIdentifier": identifier(substitute.item, where),
        "itemUniqueIdentifier": unique,
        "globalPreferredStatusCode": _preference(substitute.rank, where),
    }
    return element("AlternateItem", row)


def _preference(rank: int | None, where: str) -> str | None:
    if rank is not None and rank not in PREFERENCE_OF:
        raise inexpressible(f"no preference means rank {rank}", f"{where} rank")
    return None if rank is None else PREFERENCE_OF[rank]


def _unit(code: str, where: str) -> str:
    return from_rec20(_UNITS, code, where=where)
