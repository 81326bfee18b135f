"""What the PLM of a story says: its tables of items and structures, as a package."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from tests.fixtures.pdx_text import (
    affected_xml,
    attributes,
    bom_xml,
    change_xml,
    item_xml,
    line_xml,
    package_xml,
)
from tests.scenarios.telling import Row, Sentence, rows_of

# When the first statement of a story was made; each later one is an hour younger.
FIRST = datetime(2025, 3, 3, 10, tzinfo=UTC)


class Package(msgspec.Struct, frozen=True):
    """What was sent. effective: "" = on release."""

    change: str
    family: str
    items: tuple[Row, ...]
    lines: tuple[Row, ...]
    effective: str = ""
    status: str = "Released"

    def written(self, number: int, name: str = "") -> bytes:
        """As a PDX document, the PLM's statement of that number. name: of the document."""
        at = f"{FIRST + timedelta(hours=number):%Y-%m-%dT%H:%M:%SZ}"
        stated = [row.cells for row in self.items]
        day = {"effectiveDate": self.effective} if self.effective else {}
        affected = [
            affected_xml(
                cells["item"], newRevision=cells.get("released", "") or cells["revision"], **day
            )
            for cells in stated
            if cells.get("affected", "yes") == "yes"
        ]
        return package_xml(
            *(self._item(row, at) for row in self.items),
            changes=change_xml(
                *affected,
                changeNumber=self.change,
                changeStatusDate=at,
                globalEngineeringChangeStatusCode=self.status,
            ),
            identifier=name or f"P-{number}",
            generated=at,
        )

    def _item(self, row: Row, at: str) -> str:
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
        return item_xml(
            cells["item"],
            bom_xml(*lines) if lines else "",
            revisionIdentifier=cells["revision"],
            revisionReleasedDate=at,
            category=self.family,
            description=cells.get("description", ""),
            makeBuy=cells.get("source", "make").capitalize(),
            globalProductUnitOfMeasureCode=cells.get("unit", "") or "EA",
            globalLifeCyclePhaseCode=cells.get("phase", "") or "Production",
        )


def _substitute(number: str) -> str:
    """What may be taken in the place of a line's component, if anything."""
    if number in ("", "-"):
        return ""
    row = attributes(itemIdentifier=number, globalPreferredStatusCode="Preferred")
    return f"<AlternateItems><AlternateItem{row}/></AlternateItems>"


def package_in(sentence: Sentence, change: str, family: str, effective: str = "") -> Package:
    """The package that the tables of the sentence describe."""
    items = rows_of(sentence.table("item"))
    lines = rows_of(sentence.table("parent")) if sentence.has("parent") else []
    return Package(change, family, tuple(items), tuple(lines), effective)
