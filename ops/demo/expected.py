"""What must be true at the end, worked out from the input files, the rules and the seeds alone.

Reads the packages with lxml and json: nothing of the translation, the
planner or the drivers is used, so that a mistake there shows as a difference here.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from lxml import etree

from ops.demo.configuration import rules
from ops.demo.inputs import GEARBOX_PACKAGE, WIDGET_CHANGE, WIDGET_PACKAGE

HERE = Path(__file__).parent

# What the packages call a unit -> the ERP's name and how many of that one unit is.
UNITS: Mapping[str, tuple[str, Decimal]] = {
    "EA": ("PC", Decimal(1)),
    "PC": ("PC", Decimal(1)),
    "KG": ("KG", Decimal(1)),
    "M": ("M", Decimal(1)),
    "MM": ("M", Decimal("0.001")),
}
OBSOLETE_PART = "obsolete"


class Part(msgspec.Struct, frozen=True):
    """An item of a package. unit: as the ERP names it. makers: (maker, part number, status)."""

    number: str
    unit: str
    is_bought: bool
    phase: str
    released: str
    makers: tuple[tuple[str, str, str], ...]


class Structure(msgspec.Struct, frozen=True):
    """A BOM: base quantity of the parent, and (component, quantity in the component's unit)."""

    parent: str
    base: Decimal
    lines: tuple[tuple[str, Decimal], ...]


class Package(msgspec.Struct, frozen=True):
    """What one file defines."""

    parts: Mapping[str, Part]
    structures: tuple[Structure, ...]

    @property
    def keys(self) -> frozenset[str]:
        """What it states something about: "item/<number>", "bom/<parent>"."""
        return frozenset(
            {f"item/{number}" for number in self.parts}
            | {f"bom/{structure.parent}" for structure in self.structures}
        )


class Release(msgspec.Struct, frozen=True):
    """A change with what it releases, and the plants that get it by the rules."""

    number: str
    package: Package
    plants: tuple[str, ...]


class Terms(msgspec.Struct, frozen=True, order=True):
    """A purchasing info record. organisation: who buys; price: for `per` units."""

    supplier: str
    item: str
    organisation: str
    plant: str
    price: Decimal
    per: Decimal
    currency: str


class Finding(msgspec.Struct, frozen=True, order=True):
    """Something a person should know about the real file: kind and item."""

    kind: str
    item: str


def read_package(file: Path) -> Package:
    """The items and BOMs of a PDX file, zipped or not."""
    root = _root(file)
    used_in = {
        line.get("billOfMaterialItemIdentifier"): _attribute(line, "UOM")
        for line in root.iter("BillOfMaterialItem")
    }
    parts = {part.number: part for part in _parts(root, used_in)}
    return Package(parts, tuple(_structures(root, parts)))


def _root(file: Path) -> etree._Element:
    content = file.read_bytes()
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            content = archive.read("pdx.xml")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    return etree.fromstring(content, parser)


def _parts(root: etree._Element, used_in: Mapping[Any, str]) -> Iterator[Part]:
    for item in root.iter("Item"):
        number = item.get("itemIdentifier", "")
        unit = item.get("globalProductUnitOfMeasureCode") or used_in.get(number) or "EA"
        yield Part(
            number=number,
            unit=UNITS[unit][0],
            is_bought=item.get("makeBuy", "Make" if _has_bom(item) else "Buy") == "Buy",
            phase=item.get("globalLifeCyclePhaseCode", ""),
            released=item.get("revisionReleasedDate", ""),
            makers=tuple(
                (
                    entry.get("manufacturedBy", ""),
                    entry.get("manufacturerPartIdentifier", ""),
                    entry.get("globalManufacturerPartStatusCode", "").casefold(),
                )
                for entry in item.iter("ApprovedManufacturerListItem")
            ),
        )


def _structures(root: etree._Element, parts: Mapping[str, Part]) -> Iterator[Structure]:
    for item in root.iter("Item"):
        if not _has_bom(item):
            continue
        lines = []
        for line in item.iter("BillOfMaterialItem"):
            component = line.get("billOfMaterialItemIdentifier", "")
            factor = UNITS[_attribute(line, "UOM") or parts[component].unit][1]
            lines.append((component, Decimal(line.get("itemQuantity", "")) * factor))
        base = _attribute(item, "BaseQuantity") or "1"
        yield Structure(item.get("itemIdentifier", ""), Decimal(base), tuple(lines))


def _has_bom(item: etree._Element) -> bool:
    return item.find("BillOfMaterial") is not None


def _attribute(element: etree._Element, name: str) -> str:
    """An additional attribute of this very element, not of those inside it."""
    for group in element.findall("AdditionalAttributes"):
        for attribute in group.findall("AdditionalAttribute"):
            if attribute.get("name") == name:
                return attribute.get("value", "")
    return ""


def plants_of(family: str, by_rule: Mapping[str, Any]) -> tuple[str, ...]:
    """The plants that get a product family."""
    return tuple(
        plant
        for row in by_rule["distribution"]
        if row["family"] == family
        for plant in row["plants"]
    )


def arena_release(change_file: Path, package: Package, by_rule: Mapping[str, Any]) -> Release:
    """A change in Arena's shape, with the package that defines its items."""
    statement = json.loads(change_file.read_bytes())
    change = statement["change"]
    family = next(a["value"] for a in change["additionalAttributes"] if a["name"] == "Product Line")
    affected = {i["newItemRevision"]["number"] for i in statement["changeItems"]["results"]}
    if affected != set(package.parts):
        raise ValueError("the change and the package do not name the same items")
    return Release(change["number"], package, plants_of(family, by_rule))


def packaged_release(file: Path, by_rule: Mapping[str, Any]) -> Release:
    """The change that stands in a package."""
    change = next(iter(_root(file).iter("Change")))
    family = _attribute(change, "Product Line")
    return Release(change.get("changeNumber", ""), read_package(file), plants_of(family, by_rule))


def terms_of(releases: tuple[Release, ...], by_rule: Mapping[str, Any], on: date) -> set[Terms]:
    """The info records: every bought item, in every plant, from the supplier whose contract covers
    it; bought by the central organisation or by the plant's own, as the plant's rule says."""
    organisations = {
        plant["code"]: by_rule["central_purchasing_org"]
        if plant["sourcing"] == "central"
        else plant["purchasing_org"]
        for plant in by_rule["plants"]
    }
    found = set()
    for contract in json.loads((HERE / "seed_procurement.json").read_bytes())["contracts"]:
        for line in contract["lines"]:
            covers = line["start-date"] <= on.isoformat() <= line["end-date"]
            for release in releases if covers else ():
                part = release.package.parts.get(line["item-number"])
                if part is None or not part.is_bought:
                    continue
                found |= {
                    Terms(
                        supplier=contract["supplier"]["number"],
                        item=part.number,
                        organisation=organisations[plant],
                        plant=plant,
                        price=Decimal(line["price"]),
                        per=Decimal(line["price-unit-quantity"]),
                        currency=line["currency"]["code"],
                    )
                    for plant in release.plants
                }
    return found


def unqualified_suppliers() -> frozenset[str]:
    """Suppliers of the seed that may not be bought from yet."""
    suppliers = json.loads((HERE / "seed_procurement.json").read_bytes())["suppliers"]
    return frozenset(
        supplier["number"]
        for supplier in suppliers
        if supplier["custom-fields"]["qualification-status"] != "Qualified"
    )


def findings_of(package: Package) -> set[Finding]:
    """What the rules find in a package: components that are not released inside a released
    assembly, manufacturer parts that are obsolete, bought items with no other manufacturer."""
    found = set()
    for structure in package.structures:
        if package.parts[structure.parent].phase == "Production":
            found |= {
                Finding("component-not-released", component)
                for component, _ in structure.lines
                if package.parts[component].phase != "Production"
            }
    for part in package.parts.values():
        obsolete = [status == OBSOLETE_PART for _, _, status in part.makers]
        if any(obsolete):
            found.add(Finding("manufacturer-part-obsolete", part.number))
        if part.is_bought and all(obsolete):
            found.add(Finding("aml-missing", part.number))
    return found


def superseded(older: Package, newer: Package) -> set[str]:
    """What the older package states of which the newer one has a later release."""
    late = {
        number
        for number, part in older.parts.items()
        if number in newer.parts and part.released < newer.parts[number].released
    }
    return {key for key in older.keys & newer.keys if key.partition("/")[2] in late}


class Expected(msgspec.Struct, frozen=True):
    """Both changes with what they come from."""

    rules: Mapping[str, Any]
    releases: tuple[Release, ...]
    terms: frozenset[Terms]

    @classmethod
    def read(cls) -> Expected:
        """From the files of the demo."""
        by_rule = rules()
        board = read_package(WIDGET_PACKAGE.file)
        releases = (
            arena_release(WIDGET_CHANGE.file, board, by_rule),
            packaged_release(GEARBOX_PACKAGE.file, by_rule),
        )
        today = datetime.now(UTC).date()
        return cls(by_rule, releases, frozenset(terms_of(releases, by_rule, today)))

    @property
    def plants(self) -> tuple[str, ...]:
        """All plants that get something."""
        return tuple(sorted({plant for release in self.releases for plant in release.plants}))

    @property
    def gaps(self) -> frozenset[tuple[str, str]]:
        """(supplier, change) where a supplier is not qualified: each needs an approval."""
        unqualified = unqualified_suppliers()
        return frozenset(
            (one.supplier, release.number)
            for one in self.terms
            for release in self.releases
            if one.supplier in unqualified and one.item in release.package.parts
        )

    @property
    def parts(self) -> tuple[Part, ...]:
        """Everything that is released, by either change."""
        return tuple(part for one in self.releases for part in one.package.parts.values())

    def items_of(self, plant: str) -> list[tuple[str, str]]:
        """(plant, item) of everything a plant gets."""
        return [
            (plant, number)
            for release in self.releases
            if plant in release.plants
            for number in release.package.parts
        ]

    def boms_of(self, plant: str) -> list[tuple[str, str, Decimal]]:
        """(plant, parent, base quantity)."""
        return [
            (plant, structure.parent, structure.base)
            for release in self.releases
            if plant in release.plants
            for structure in release.package.structures
        ]

    def bom_lines_of(self, plant: str) -> list[tuple[str, str, str, Decimal]]:
        """(plant, parent, component, quantity in the component's unit)."""
        return [
            (plant, structure.parent, component, quantity)
            for release in self.releases
            if plant in release.plants
            for structure in release.package.structures
            for component, quantity in structure.lines
        ]
