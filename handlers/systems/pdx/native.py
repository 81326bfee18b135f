"""A PDX package in its own words: what we use of it, as text, in the order of the file.

All names of IPC-2571 elements and attributes that are read stand here, and so do the names of the
additional attributes (custom fields of the exporting system); thousands of others are not read.
What of the standard is left out on purpose stands in `known`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache

import msgspec

from canonical.envelope import MAX_DEVIATIONS, Deviation
from canonical.errors import InvalidMessage
from canonical.members import MAX_NAMED, named, shown
from handlers.systems.pdx.known import PACKAGE
from handlers.systems.xml_document import Element, Limits, Path, Reading, Source

ROOT = "ProductDataeXchangePackage"

MAX_BOM_LINES = 100_000
# Items, their BOM lines, manufacturers and attachments, and changes: what is held at once.
MAX_ROWS = 500_000

_ITEM: Path = ("Items", "Item")
_LINE: Path = (*_ITEM, "BillOfMaterial", "BillOfMaterialItem")
_CHANGE: Path = ("Changes", "Change")
_CONTACT: Path = ("Contacts", "Contact")
_PART: Path = ("ManufacturerParts", "ManufacturerPart")

# Custom fields by what they mean; the first one that is filled counts.
_UNIT = ("UOM", "UOM Code")
_MAKE = ("Make Part", "Make/Buy")
_FAMILY = ("Product Line(s)", "Product Lines", "Product Line")
_NOTES = ("Reference Notes",)
_BASE_QUANTITY = ("BaseQuantity",)
_BASE_UNIT = ("BaseUnit",)
_PLANTS = ("Plants", "Sites")
_URGENCY = ("Urgency",)
_COMPLIANCE = ("RoHS Compliant", "REACH Compliant", "Overall Compliance")
_DISPOSITIONS = (
    "On Order Disposition",
    "WIP Disposition",
    "Stock Disposition",
    "Finished Goods Disposition",
    "Field Disposition",
)
_WANTED = frozenset(
    _UNIT + _MAKE + _FAMILY + _NOTES + _BASE_QUANTITY + _BASE_UNIT + _PLANTS + _URGENCY
    + _COMPLIANCE + _DISPOSITIONS
)  # fmt: skip
# Agile exports what its screens show as an icon: that there is a file, a price, a change.
_ICON = "(Image)"


class StatedUnit(msgspec.Struct, frozen=True):
    """A unit as written and whose names it is written in: "pdx" or the exporting system's."""

    text: str
    names: str


class Stated(msgspec.Struct, frozen=True):
    """A name and a value as written."""

    name: str
    value: str


class Coded(msgspec.Struct, frozen=True):
    """A code of the standard and, where it is "Other", the text that stands for it."""

    code: str
    other: str

    @property
    def word(self) -> str:
        """The word that is to be understood, case aside."""
        return (self.other if self.code.casefold() == "other" else self.code).casefold()


class AlternateItem(msgspec.Struct, frozen=True):
    """An AlternateItem; item: its number, resolved like that of a component."""

    item: str
    preference: str


class BomItem(msgspec.Struct, frozen=True):
    """A BillOfMaterialItem; component: item number, resolved where only the unique id is given.

    serials: first and last number of each range; of a single one both are the same.
    """

    position: str
    component: str
    revision: str
    quantity: str
    unit: StatedUnit | None
    kind: Coded
    quantity_kind: Coded
    designators: tuple[str, ...]
    substitutes: tuple[AlternateItem, ...]
    notes: str
    serials: tuple[tuple[str, str], ...] = ()


class ManufacturerItem(msgspec.Struct, frozen=True):
    """An ApprovedManufacturerListItem."""

    manufacturer: str
    part: str
    status: Coded
    preference: str
    notes: str


class Attachment(msgspec.Struct, frozen=True):
    """An Attachment: a file of the package, or an address; it is not opened."""

    location: str
    identifier: str
    version: str
    title: str
    media_type: str
    size: str
    modified: str


class PackageItem(msgspec.Struct, frozen=True):
    """An Item with its BOM, its approved manufacturers and its attachments."""

    number: str
    source_id: str
    revision: str
    released: str
    phase: Coded
    product_type: str
    family: str
    category: str
    description: str
    unit: StatedUnit | None
    make_buy: Coded
    is_top_level: bool
    base_quantity: str
    base_unit: StatedUnit | None
    compliance: tuple[Stated, ...]
    lines: tuple[BomItem, ...]
    manufacturers: tuple[ManufacturerItem, ...]
    attachments: tuple[Attachment, ...]


class ChangedItem(msgspec.Struct, frozen=True):
    """An AffectedItem; dispositions: field of the package -> what is done with the stock."""

    number: str
    old_revision: str
    new_revision: str
    effective: str
    obsolete: str
    site: str
    phase: Coded
    dispositions: tuple[Stated, ...]


class Change(msgspec.Struct, frozen=True):
    """A Change with its affected items."""

    number: str
    status: Coded
    status_date: str
    kind: str
    description: str
    reason: str
    originator: str
    urgency: str
    family: str
    plants: str
    affected: tuple[ChangedItem, ...]


class Package(msgspec.Struct, frozen=True):
    """A package.

    identifier, generated: name and time of the export; "" where the package lacks them. ignored:
    elements and attributes that are not read, as of a Reading, then custom fields that say
    something and are not, as `Item/AdditionalAttribute[Colour]`.
    """

    identifier: str
    generated: str
    items: tuple[PackageItem, ...]
    changes: tuple[Change, ...]
    deviations: tuple[Deviation, ...]
    ignored: tuple[str, ...] = ()

    @property
    def product(self) -> str:
        """What the package is about: its one top-level item, else the one item that is used in no
        other and has components, else the package itself."""
        tops = {item.number for item in self.items if item.is_top_level}
        if not tops:
            used = {line.component for item in self.items for line in item.lines}
            tops = {item.number for item in self.items if item.lines} - used
        return tops.pop() if len(tops) == 1 else self.identifier


def read_package(opened: Callable[[], AbstractContextManager[Source]], limits: Limits) -> Package:
    """The package that the document holds.

    Read twice, piece by piece: what its unique ids stand for, which it may say after their use;
    then items, their BOM lines and changes, one at a time.
    Raises: InvalidMessage where the root is another one, an item or change has no number, a
        reference contradicts the number next to it, or there is more of something than is taken.
    """
    with opened() as source:
        heads = (_ITEM, _CONTACT, _PART)
        names = _Names.of(Reading(source, limits=limits, heads=((), *heads)))
    with opened() as source:
        whole = (_ITEM, _LINE, _CHANGE)
        reading = Reading(
            source,
            limits=limits,
            heads=[()],
            whole=whole,
            known=PACKAGE,
            max_deviations=MAX_DEVIATIONS,
        )
        return _package(reading, names)


def _package(reading: Reading, names: _Names) -> Package:
    root: Element | None = None
    items: list[PackageItem] = []
    changes: list[Change] = []
    lines: list[BomItem] = []
    ignored: dict[tuple[str, str], None] = {}
    rows = 0
    for path, element in reading:
        if path == _LINE:
            if len(lines) == MAX_BOM_LINES:
                raise _too_many(f"a BOM of more than {MAX_BOM_LINES} lines", element)
            lines.append(_bom_item(element, names))
        elif path == _ITEM:
            item = _item(element, names, lines)
            items.append(item)
            lines = []
            rows += len(item.manufacturers) + len(item.attachments)
        elif path == _CHANGE:
            changes.append(_change(element, names))
        else:
            root = element
        if len(ignored) < MAX_NAMED:
            ignored |= dict.fromkeys(_not_read(element))
        rows += 1
        if rows > MAX_ROWS:
            raise _too_many(
                f"more than {MAX_ROWS} items, lines, manufacturers, attachments and changes",
                element,
            )
    assert root is not None
    return Package(
        identifier=root.get("thisDocumentIdentifier"),
        generated=root.get("thisDocumentGenerationDateTime"),
        items=tuple(items),
        changes=tuple(changes),
        deviations=tuple(
            Deviation(where=f"line {line}", what=what) for line, what in reading.deviations
        ),
        ignored=named((*reading.ignored, *(_custom_path(*field) for field in ignored))),
    )


def _custom_path(tag: str, name: str) -> str:
    """Path to the custom field of that name."""
    return f"{tag}/AdditionalAttribute[{shown(name)}]"


def _too_many(what: str, element: Element) -> InvalidMessage:
    return InvalidMessage(
        "package-too-long",
        f"The package has {what}",
        where=f"line {element.line}",
        remedy="Export it in parts",
    )


class _Names(msgspec.Struct, frozen=True):
    """What unique ids of the package stand for."""

    items: Mapping[str, str]
    makers: Mapping[str, str]

    @classmethod
    def of(cls, reading: Reading) -> _Names:
        items: dict[str, str] = {}
        contacts: dict[str, str] = {}
        parts: dict[str, str] = {}
        for path, element in reading:
            if path == _ITEM:
                items[element.get("itemUniqueIdentifier")] = element.get("itemIdentifier")
            elif path == _CONTACT:
                contacts[element.get("contactUniqueIdentifier")] = element.get("contactName")
            elif path == _PART:
                part = element.get("manufacturerPartUniqueIdentifier")
                parts[part] = element.get("manufacturerName")
            elif element.tag != ROOT:
                raise InvalidMessage(
                    "pdx-root",
                    f"The document is a {element.tag[:40]}, not a {ROOT}",
                    where=f"line {element.line}",
                    remedy="Send a package of IPC-2571",
                )
        return cls(items=items, makers=contacts | parts)

    def item(self, element: Element, identifier: str, unique: str) -> str:
        """The item number an element means by number, by unique id or by both."""
        number = element.get(identifier)
        resolved = self.items.get(element.get(unique), "")
        if number and resolved and number != resolved:
            raise InvalidMessage(
                "reference-contradictory",
                f"{element.tag} names {number[:40]!r} but refers to {resolved[:40]!r}",
                where=f"line {element.line}",
                remedy="Export the package again",
            )
        if not (number or resolved):
            raise _missing(element, identifier)
        return number or resolved


class _Custom:
    """The additional attributes of an element that we read."""

    def __init__(self, element: Element) -> None:
        self._values: dict[str, tuple[str, str]] = {}
        for group in element.all("AdditionalAttributes"):
            label = group.get("groupLabel")
            for attribute in group.all("AdditionalAttribute"):
                name, value = attribute.get("name"), attribute.get("value")
                if name in _WANTED and value:
                    self._values.setdefault(name, (value, label))

    def text(self, names: tuple[str, ...]) -> str:
        return next((self._values[name][0] for name in names if name in self._values), "")

    def unit(self, names: tuple[str, ...]) -> StatedUnit | None:
        value, label = next((self._values[n] for n in names if n in self._values), ("", ""))
        if not value:
            return None
        return StatedUnit(value, "agile" if label.casefold().startswith("agile") else "pdx")

    def stated(self, names: tuple[str, ...]) -> tuple[Stated, ...]:
        return tuple(Stated(name, self._values[name][0]) for name in names if name in self._values)


def _not_read(element: Element) -> Iterator[tuple[str, str]]:
    """The custom fields of the element, and of what within it has fields that are read, each with
    what has it."""
    makers = element.within("ApprovedManufacturerList", "ApprovedManufacturerListItem")
    for holder in (element, *makers, *element.within("AffectedItems", "AffectedItem")):
        for attribute in holder.within("AdditionalAttributes", "AdditionalAttribute"):
            name = attribute.get("name")
            if name not in _WANTED and attribute.get("value") and not name.endswith(_ICON):
                yield holder.tag, name


def _item(element: Element, names: _Names, lines: Sequence[BomItem]) -> PackageItem:
    custom = _Custom(element)
    unit = element.get("globalProductUnitOfMeasureCode")
    return PackageItem(
        number=_required(element, "itemIdentifier"),
        source_id=element.get("itemUniqueIdentifier"),
        revision=element.get("revisionIdentifier"),
        released=element.get("revisionReleasedDate"),
        phase=_coded(element, "globalLifeCyclePhaseCode"),
        product_type=element.get("globalProductTypeCode").casefold(),
        family=element.get("proprietaryProductFamily") or custom.text(_FAMILY),
        category=element.get("category"),
        description=element.get("description"),
        unit=StatedUnit(unit, "pdx") if unit else custom.unit(_UNIT),
        make_buy=_make_buy(element, custom),
        is_top_level=element.get("isTopLevel") == "Yes",
        base_quantity=custom.text(_BASE_QUANTITY),
        base_unit=custom.unit(_BASE_UNIT),
        compliance=custom.stated(_COMPLIANCE),
        lines=tuple(lines),
        manufacturers=tuple(
            _manufacturer(entry, names)
            for entry in element.within("ApprovedManufacturerList", "ApprovedManufacturerListItem")
        ),
        attachments=tuple(
            _attachment(entry) for entry in element.within("Attachments", "Attachment")
        ),
    )


def _make_buy(element: Element, custom: _Custom) -> Coded:
    stated = _coded(element, "makeBuy")
    if stated.code:
        return stated
    flag = custom.text(_MAKE)
    return Coded({"YES": "Make", "NO": "Buy"}.get(flag.upper(), flag), "")


def _bom_item(element: Element, names: _Names) -> BomItem:
    custom = _Custom(element)
    return BomItem(
        position=element.get("proprietarySequenceIdentifier"),
        component=names.item(
            element, "billOfMaterialItemIdentifier", "billOfMaterialItemUniqueIdentifier"
        ),
        revision=element.get("revisionIdentifier"),
        quantity=element.get("itemQuantity"),
        unit=custom.unit(_UNIT),
        kind=_coded(element, "globalBillOfMaterialTypeCode"),
        quantity_kind=_coded(element, "globalProductQuantityTypeCode"),
        designators=tuple(
            designator.get("referenceDesignatorName")
            for designator in element.within("ReferenceDesignators", "ReferenceDesignator")
        ),
        substitutes=tuple(
            AlternateItem(
                item=names.item(alternate, "itemIdentifier", "itemUniqueIdentifier"),
                preference=alternate.get("globalPreferredStatusCode"),
            )
            for alternate in element.within("AlternateItems", "AlternateItem")
        ),
        notes=element.get("notes"),
        serials=tuple(_serials(element)),
    )


def _serials(element: Element) -> Iterator[tuple[str, str]]:
    for one in element.within("SerialNumbers", "SerialNumberRange"):
        yield one.get("firstSerialNumber"), one.get("lastSerialNumber")
    for one in element.within("SerialNumbers", "SerialNumberIdentification"):
        number = one.get("ProprietarySerialIdentifier")
        yield number, number


def _manufacturer(element: Element, names: _Names) -> ManufacturerItem:
    maker = (
        element.get("manufacturedBy")
        or names.makers.get(element.get("manufacturerContactUniqueIdentifier"), "")
        or names.makers.get(element.get("manufacturerPartUniqueIdentifier"), "")
    )
    if not maker:
        raise _missing(element, "manufacturedBy")
    return ManufacturerItem(
        manufacturer=maker,
        part=_required(element, "manufacturerPartIdentifier"),
        status=_coded(element, "globalManufacturerPartStatusCode"),
        preference=element.get("globalPreferredStatusCode"),
        notes=_Custom(element).text(_NOTES) or element.get("description"),
    )


def _attachment(element: Element) -> Attachment:
    return Attachment(
        location=_required(element, "universalResourceIdentifier"),
        identifier=element.get("fileIdentifier"),
        # So it is spelt in the document type; who spells it right is read too.
        version=element.get("versionIdentifer") or element.get("versionIdentifier"),
        title=element.get("description") or element.get("referenceName"),
        media_type=element.get("globalMimeTypeQualifierCode"),
        size=element.get("fileSize"),
        modified=element.get("attachmentModificationDate"),
    )


def _change(element: Element, names: _Names) -> Change:
    custom = _Custom(element)
    return Change(
        number=_required(element, "changeNumber"),
        status=_coded(element, "globalEngineeringChangeStatusCode"),
        status_date=element.get("changeStatusDate"),
        kind=element.get("changeType"),
        description=element.get("description"),
        reason=element.get("changeReason") or element.get("requestReason"),
        originator=element.get("changeOriginatedByName"),
        urgency=custom.text(_URGENCY),
        family=custom.text(_FAMILY),
        plants=custom.text(_PLANTS),
        affected=tuple(
            _affected(item, names) for item in element.within("AffectedItems", "AffectedItem")
        ),
    )


def _affected(element: Element, names: _Names) -> ChangedItem:
    single = element.get("disposition")
    custom = _Custom(element).stated(_DISPOSITIONS)
    return ChangedItem(
        number=names.item(element, "itemIdentifier", "itemUniqueIdentifier"),
        old_revision=element.get("oldRevision"),
        new_revision=_required(element, "newRevision"),
        effective=element.get("effectiveDate"),
        obsolete=element.get("obsoleteDate"),
        site=element.get("manufacturingSite"),
        phase=_coded(element, "globalLifeCyclePhaseCode"),
        dispositions=custom or ((Stated("disposition", single),) if single else ()),
    )


def _coded(element: Element, name: str) -> Coded:
    return _shared_code(element.get(name), element.get(f"{name}Other"))


@lru_cache(maxsize=1024)
def _shared_code(code: str, other: str) -> Coded:
    """Few codes stand in very many lines."""
    return Coded(code, other)


def _required(element: Element, name: str) -> str:
    value = element.get(name)
    if not value:
        raise _missing(element, name)
    return value


def _missing(element: Element, name: str) -> InvalidMessage:
    return InvalidMessage(
        "field-missing",
        f"{element.tag} has no {name}",
        where=f"line {element.line}",
        remedy=f"Fill {name} at the source and export again",
    )
