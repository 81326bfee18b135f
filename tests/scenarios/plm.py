"""What the PLM of a story says: its tables of items and structures, as packages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from handlers.systems.arena.words import FAMILY_FIELD
from tests.fixtures.pdx_text import (
    affected_xml,
    attributes,
    bom_xml,
    change_xml,
    custom,
    item_xml,
    line_xml,
    package_xml,
)
from tests.scenarios.telling import Row, Sentence, rows_of

# When each revision of an item was released, as text.
Releases = Mapping[tuple[str, str], str]


class Package(msgspec.Struct, frozen=True):
    """A statement about a change and its items; change: "" = about items alone. effective: "" = on
    release. tells_change: whether it says so of the change itself, or of the items and structures
    alone."""

    change: str
    family: str
    items: tuple[Row, ...]
    lines: tuple[Row, ...]
    effective: str = ""
    status: str = "Released"
    tells_change: bool = True

    def written(self, at: str, releases: Releases, name: str) -> bytes:
        """As a PDX document of that name, made at that moment."""
        day = {"effectiveDate": self.effective} if self.effective else {}
        affected = [
            affected_xml(
                cells["item"],
                newRevision=cells.get("released", "") or cells["revision"],
                **_former(cells),
                **day,
                **_phase(cells),
            )
            for cells in (row.cells for row in self.items)
            if cells.get("affected", "yes") == "yes"
        ]
        change = change_xml(
            *affected,
            changeNumber=self.change,
            changeStatusDate=at,
            globalEngineeringChangeStatusCode=self.status,
        )
        return package_xml(
            *(self._item(row, releases) for row in self.items),
            changes=change if self.change and self.tells_change else "",
            identifier=name,
            generated=at,
        )

    def _item(self, row: Row, releases: Releases) -> str:
        cells = row.cells
        own = [line.cells for line in self.lines if line.cells["parent"] == cells["item"]]
        lines = [
            line_xml(
                line["component"],
                _substitute(line.get("substitute", "")),
                itemQuantity=line["quantity"],
                proprietarySequenceIdentifier=line["line"],
            )
            for line in own
        ]
        inner = "".join(
            (
                bom_xml(*lines) if lines else "",
                _maker(cells.get("made by", "")),
                _mark("RoHS Compliant", cells.get("RoHS", "")),
            )
        )
        return item_xml(
            cells["item"],
            inner,
            revisionIdentifier=cells["revision"],
            revisionReleasedDate=releases[_revision(row)],
            category=self.family,
            description=cells.get("description", ""),
            makeBuy=cells.get("source", "make").capitalize(),
            globalProductUnitOfMeasureCode=cells.get("unit", "") or "EA",
            **({"globalLifeCyclePhaseCode": "Production"} | _phase(cells)),
        )


class Plm:
    """What it has said, and when it released each revision: whatever it says of that later, as it
    was or corrected, bears the date of its release."""

    def __init__(self) -> None:
        self._said: list[tuple[Package, bytes]] = []
        self._releases: dict[tuple[str, str], str] = {}

    def states(self, package: Package, at: datetime, *, restamps: bool = False) -> bytes:
        """The document in which it says so at that moment.

        restamps: it forgets when it released what it speaks of, as some do.
        """
        moment = f"{at:%Y-%m-%dT%H:%M:%SZ}"
        for revision in map(_revision, package.items):
            if restamps or revision not in self._releases:
                self._releases[revision] = moment
        document = package.written(moment, self._releases, f"P-{len(self._said) + 1}")
        self._said.append((package, document))
        return document

    def copied(self, package: Package, at: datetime) -> bytes:
        """The document in which another system says so, who has the revisions from here."""
        moment = f"{at:%Y-%m-%dT%H:%M:%SZ}"
        releases = dict.fromkeys(map(_revision, package.items), moment) | self._releases
        return package.written(moment, releases, f"C-{moment}")

    def last_of(self, change: str) -> Package | None:
        """What it said last of that change."""
        return next((said for said, _ in reversed(self._said) if said.change == change), None)

    @property
    def last_document(self) -> bytes:
        """The bytes of what it said last."""
        return self._said[-1][1]


def _phase(cells: Mapping[str, str]) -> dict[str, str]:
    """The phase that an item comes into, where the story says so."""
    return {"globalLifeCyclePhaseCode": cells["phase"]} if cells.get("phase") else {}


def _former(cells: Mapping[str, str]) -> dict[str, str]:
    """A first revision follows none."""
    return {"oldRevision": ""} if cells["revision"] == "A" else {}


def _maker(words: str) -> str:
    """The one that is approved: "Halden HR-1" makes it as HR-1."""
    if words in ("", "-"):
        return ""
    name, _, part = words.rpartition(" ")
    row = attributes(
        manufacturedBy=name,
        manufacturerPartIdentifier=part,
        globalManufacturerPartStatusCode="Approved",
    )
    return (
        f"<ApprovedManufacturerList><ApprovedManufacturerListItem{row}/></ApprovedManufacturerList>"
    )


def _mark(name: str, value: str) -> str:
    return custom(name, value) if value not in ("", "-") else ""


def _revision(row: Row) -> tuple[str, str]:
    return row.cells["item"], row.cells["revision"]


def _substitute(number: str) -> str:
    """What may be taken in the place of a line's component, if anything."""
    if number in ("", "-"):
        return ""
    row = attributes(itemIdentifier=number, globalPreferredStatusCode="Preferred")
    return f"<AlternateItems><AlternateItem{row}/></AlternateItems>"


class Notified(msgspec.Struct, frozen=True):
    """A change as the PLM's own system shows it, with its entry in the queue for Layshaft, and the
    statement of both."""

    change: Mapping[str, Any]
    entry: Mapping[str, Any]
    statement: bytes


def in_own_words(package: Package, at: datetime) -> Notified:
    """The change of the package, in effect from that moment on."""
    moment = f"{at:%Y-%m-%dT%H:%M:%SZ}"
    name = package.change.replace("-", "")
    change = {
        "guid": f"CHG{name}",
        "number": package.change,
        "title": package.change,
        "lifecycleStatus": {"type": "EFFECTIVE"},
        "lifecycleDateTime": moment,
        "effectivityType": "PERMANENT_ON_APPROVAL",
        "additionalAttributes": [{"name": FAMILY_FIELD, "value": package.family}],
    }
    entry = {
        "guid": f"EVT{name}",
        "eventType": "CHANGE",
        "creationDateTime": moment,
        "itemsReconciled": False,
        "change": {n: change[n] for n in ("guid", "number", "title")},
    }
    rows = [
        {
            "guid": f"ROW{number}",
            "newItemRevision": {
                "guid": f"REV{number}",
                "number": row.cells["item"],
                "revisionNumber": row.cells["revision"],
            },
        }
        for number, row in enumerate(package.items, start=1)
    ]
    stated = {
        "change": change,
        "changeItems": {"count": len(rows), "results": rows},
        "event": {"guid": entry["guid"], "integration": "INT1"},
    }
    return Notified(change, entry, msgspec.json.encode(stated))


def package_in(sentence: Sentence, change: str, family: str, effective: str = "") -> Package:
    """The package that the tables of the sentence describe."""
    items = rows_of(sentence.table("item"))
    lines = rows_of(sentence.table("parent")) if sentence.has("parent") else []
    return Package(change, family, tuple(items), tuple(lines), effective)
