"""Bills of material as engineering releases them and as a plant builds by them."""

from __future__ import annotations

import msgspec

from canonical.bounds import Instant
from canonical.quantity import Quantity


class BomLine(msgspec.Struct, frozen=True, gc=False):
    """One component of an assembly.

    position: find number as the source writes it; may repeat or be "0" at the source.
    quantity: per header base quantity, in the unit the source uses for the line; may be 0.
    component_revision: label, where the BOM is precise; "" where any released revision will do.
    """

    position: str
    component: str
    quantity: Quantity
    component_revision: str = ""
    reference_designators: tuple[str, ...] = ()
    substitutes: tuple[str, ...] = ()
    fixed: bool = False
    note: str = ""


class Bom(msgspec.Struct, frozen=True):
    """The structure of one item revision, one level deep.

    base: header base quantity; line quantities are per this much of the parent.
    """

    parent: str
    revision: str
    base: Quantity
    lines: tuple[BomLine, ...]
    change: str = ""
    released_at: Instant | None = None
    stated_at: Instant | None = None


class PlantBom(msgspec.Struct, frozen=True):
    """A BOM as one plant's ERP is to hold it: lines in the components' base units.

    usage: the ERP's BOM usage, e.g. "1" production. alternative: e.g. "1".
    base_unit / lines' units: Rec 20 codes.
    """

    plant: str
    parent: str
    revision: str
    usage: str
    alternative: str
    base: Quantity
    lines: tuple[BomLine, ...]
    change: str = ""


def bom_key(parent: str) -> str:
    """Order and document key of an item's BOM."""
    return f"bom/{parent}"
