"""The goldens of packages against their XML, attribute by attribute, read without the driver."""

from __future__ import annotations

import json
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from tests.corpus import CORPUS

FOLDER = CORPUS / "pdx"
# The real export names no unit of an item: its lines are counted.
UNITS = {"": "H87", "EA": "H87", "KG": "KGM", "M": "MTR", "MM": "MMT"}
STATUSES = {"Approved": "approved", "Active": "approved", "Obsolete": "obsolete"}
SAMPLES = ("subassembly.xml", "gearbox.pdx", "coupling.made.xml")

Content = dict[str, Any]


def document(name: str) -> etree._Element:
    path = FOLDER / name
    if path.suffix == ".pdx":
        with zipfile.ZipFile(path) as archive:
            return etree.fromstring(archive.read("pdx.xml"))
    return etree.parse(path).getroot()


def said(name: str, event: str) -> dict[str, Content]:
    """Contents of the golden's events of that kind by key."""
    path = FOLDER / f"{Path(name).stem}.golden.json"
    return {key: content for kind, key, content in json.loads(path.read_text()) if kind == event}


def attribute(element: etree._Element, name: str) -> str:
    """Blanks at the ends and in rows say nothing."""
    return " ".join(str(element.get(name, "")).split())


def status(row: etree._Element) -> str:
    name = "globalManufacturerPartStatusCode"
    stated = attribute(row, name)
    return STATUSES[attribute(row, f"{name}Other") if stated == "Other" else stated]


def made_or_bought(item: etree._Element) -> str:
    """The real export does not say; what has lines is made."""
    has_lines = item.find("BillOfMaterial/BillOfMaterialItem") is not None
    return attribute(item, "makeBuy").lower() or ("make" if has_lines else "buy")


def additional(element: etree._Element, name: str) -> str:
    found = element.findall(f"AdditionalAttributes/AdditionalAttribute[@name='{name}']")
    return attribute(found[0], "value") if found else ""


@pytest.mark.parametrize("name", SAMPLES)
def test_every_item_of_a_golden_is_what_its_attributes_say(name: str) -> None:
    items = said(name, "item.released")
    elements = document(name).findall("Items/Item")
    assert len(items) == len(elements) > 0
    for element in elements:
        number = attribute(element, "itemIdentifier")
        item = items[f"item/{number}"]
        assert item["number"] == number
        assert item["description"] == attribute(element, "description")
        assert item["base_unit"] == UNITS[attribute(element, "globalProductUnitOfMeasureCode")]
        assert item["category"] == attribute(element, "category")
        assert item["family"] == attribute(element, "proprietaryProductFamily")
        assert item["phase"] == attribute(element, "globalLifeCyclePhaseCode")
        assert item["procurement"] == made_or_bought(element)
        assert item["source_id"] == attribute(element, "itemUniqueIdentifier")
        label, _, change = attribute(element, "revisionIdentifier").partition(" ")
        assert (item["revision"]["label"], item["change"]) == (label, change)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_manufacturer_part_of_a_golden_is_what_its_attributes_say(name: str) -> None:
    items = said(name, "item.released")
    for element in document(name).findall("Items/Item"):
        item = items[f"item/{attribute(element, 'itemIdentifier')}"]
        rows = element.findall("ApprovedManufacturerList/ApprovedManufacturerListItem")
        stated = sorted(
            (
                attribute(row, "manufacturedBy"),
                attribute(row, "manufacturerPartIdentifier"),
                status(row),
            )
            for row in rows
        )
        held = sorted((m["manufacturer"], m["part"], m["status"]) for m in item["manufacturers"])
        assert held == stated


@pytest.mark.parametrize("name", SAMPLES)
def test_every_line_of_a_golden_is_what_its_attributes_say(name: str) -> None:
    root = document(name)
    units = {
        attribute(item, "itemIdentifier"): attribute(item, "globalProductUnitOfMeasureCode")
        for item in root.findall("Items/Item")
    }
    boms = said(name, "bom.released")
    parents = [
        item for item in root.findall("Items/Item") if item.find("BillOfMaterial") is not None
    ]
    assert boms.keys() == {f"bom/{attribute(item, 'itemIdentifier')}" for item in parents}
    for parent in parents:
        bom = boms[f"bom/{attribute(parent, 'itemIdentifier')}"]
        base = Decimal(additional(parent, "BaseQuantity") or "1")
        assert Decimal(bom["base"]["value"]) == base
        held = [
            (
                line["position"],
                line["component"],
                Decimal(line["quantity"]["value"]),
                line["quantity"]["unit"],
            )
            for line in bom["lines"]
        ]
        assert sorted(held) == sorted(
            (
                attribute(row, "proprietarySequenceIdentifier"),
                attribute(row, "billOfMaterialItemIdentifier"),
                Decimal(attribute(row, "itemQuantity")),
                UNITS[
                    additional(row, "UOM") or units[attribute(row, "billOfMaterialItemIdentifier")]
                ],
            )
            for row in parent.findall("BillOfMaterial/BillOfMaterialItem")
        )


@pytest.mark.parametrize("name", ["gearbox.pdx", "coupling.made.xml"])
def test_the_change_of_a_golden_is_what_its_attributes_say(name: str) -> None:
    [stated] = document(name).findall("Changes/Change")
    [change] = said(name, "engineering-change.released").values()
    assert change["number"] == attribute(stated, "changeNumber")
    assert change["title"] == attribute(stated, "description")
    assert change["description"] == attribute(stated, "changeReason")
    assert change["requester"] == attribute(stated, "changeOriginatedByName")
    assert change["family"] == additional(stated, "Product Line")
    held = [(row["item"], row["old_revision"], row["new_revision"]) for row in change["affected"]]
    assert sorted(held) == sorted(
        (
            attribute(row, "itemIdentifier"),
            attribute(row, "oldRevision"),
            attribute(row, "newRevision"),
        )
        for row in stated.findall("AffectedItems/AffectedItem")
    )


@pytest.mark.parametrize("name", SAMPLES)
def test_marks_files_and_days_of_a_golden_are_what_its_attributes_say(name: str) -> None:
    items = said(name, "item.released")
    for element in document(name).findall("Items/Item"):
        item = items[f"item/{attribute(element, 'itemIdentifier')}"]
        assert item["released_at"] == attribute(element, "revisionReleasedDate")
        mark = additional(element, "RoHS Compliant")
        assert item["compliance"] == ([{"scheme": "RoHS", "value": mark}] if mark else [])
        assert [list(each.values()) for each in item["documents"]] == [
            [
                attribute(file, "fileIdentifier"),
                attribute(file, "versionIdentifer"),
                attribute(file, "description"),
                attribute(file, "universalResourceIdentifier"),
                attribute(file, "globalMimeTypeQualifierCode"),
                int(attribute(file, "fileSize")),
                attribute(file, "attachmentModificationDate"),
            ]
            for file in element.findall("Attachments/Attachment")
        ]


@pytest.mark.parametrize("name", SAMPLES)
def test_designators_notes_and_revisions_of_a_golden_are_what_its_rows_say(name: str) -> None:
    boms = said(name, "bom.released")
    for parent in document(name).findall("Items/Item"):
        rows = parent.findall("BillOfMaterial/BillOfMaterialItem")
        if not rows:
            continue
        bom = boms[f"bom/{attribute(parent, 'itemIdentifier')}"]
        label, _, change = attribute(parent, "revisionIdentifier").partition(" ")
        assert (bom["revision"], bom["change"]) == (label, change)
        held = [
            (
                line["position"],
                line["component_revision"],
                line["note"],
                line["reference_designators"],
            )
            for line in bom["lines"]
        ]
        assert sorted(held) == sorted(
            (
                attribute(row, "proprietarySequenceIdentifier"),
                attribute(row, "revisionIdentifier").partition(" ")[0],
                attribute(row, "notes"),
                [
                    attribute(one, "referenceDesignatorName")
                    for one in row.findall("ReferenceDesignators/ReferenceDesignator")
                ],
            )
            for row in rows
        )


@pytest.mark.parametrize("name", ["gearbox.pdx", "coupling.made.xml"])
def test_dispositions_phases_and_days_of_a_golden_are_what_its_rows_say(name: str) -> None:
    [stated] = document(name).findall("Changes/Change")
    [change] = said(name, "engineering-change.released").values()
    assert change["released_at"] == attribute(stated, "changeStatusDate")
    assert change["urgency"] == additional(stated, "Urgency")
    assert change["status"] == attribute(stated, "globalEngineeringChangeStatusCode").lower()
    phases = {"Production": "released", "Obsolete": "obsolete"}
    rows = stated.findall("AffectedItems/AffectedItem")
    assert change["effectivity"]["start"] in {attribute(row, "effectiveDate") for row in rows}
    held = [
        (row["item"], row["lifecycle"], [each["action"] for each in row["dispositions"]])
        for row in change["affected"]
    ]
    assert sorted(held) == sorted(
        (
            attribute(row, "itemIdentifier"),
            phases[attribute(row, "globalLifeCyclePhaseCode")],
            [
                attribute(each, "value")
                for each in row.findall("AdditionalAttributes/AdditionalAttribute")
                if "isposition" in attribute(each, "name")
            ],
        )
        for row in rows
    )
