"""What the source relationships of an Arena item say: who makes it, whose parts may be used for it,
and from whom they may be bought."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

import msgspec

from canonical.effects import Open
from canonical.errors import InvalidMessage
from canonical.item import (
    ApprovalStatus,
    ApprovedManufacturer,
    ApprovedSupplier,
    Procurement,
    SourcingStage,
    item_key,
)
from canonical.quantity import Ratio
from canonical.text import normalise_id, normalise_text
from handlers.systems.arena.native import ItemStatement, SourceRow
from handlers.systems.arena.values import NUMBER
from handlers.systems.arena.words import MAKE_BUY_FIELD

# (place among the sources, the relationship)
Row = tuple[str, SourceRow]


def by_sources(rows: Sequence[SourceRow]) -> Procurement:
    """What the sources of production agree on; without any, the approved ones.

    Raises: InvalidMessage where they say nothing or both.
    """
    counted = [row for row in rows if row.active_production]
    counted = counted or [row for row in rows if row.approved]
    ways = {row.make_item for row in counted}
    if len(ways) != 1:
        raise InvalidMessage(
            "procurement-unclear",
            "The item is made to specification, and its sources do not say by whom"
            if not ways
            else "Sources of the item make it here, and others supply it",
            where="sourcing",
            remedy=f"Fill the field {MAKE_BUY_FIELD}, or mark one source as active for production",
        )
    return "make" if ways.pop() else "buy"


def without_maker(statement: ItemStatement, number: str) -> tuple[Open, ...]:
    """A case where sources name no maker: any will do there, which our list cannot say."""
    count = sum(not row.make_item and row.mfr_item is None for row in statement.sourcing.results)
    if not count:
        return ()
    return (
        Open(
            code="manufacturer-any",
            word="data_quality",
            what=f"Sources of {number} that name no manufacturer were left out: {count}",
            where=item_key(number),
            remedy="Name the manufacturer's item in Arena, or close the case",
            owner="engineering data",
        ),
    )


def unread(statement: ItemStatement) -> Mapping[str, int]:
    """Vendors that the sources name, and nobody could know: by reason."""
    found = Sources(statement)
    return Counter(
        reason
        for _, row in found.rows
        if row.vendor_item and (reason := found.why_unread(row.vendor_item.guid))
    )


class Sources:
    """The source relationships with the parts, makers and vendors that they refer to."""

    def __init__(self, statement: ItemStatement) -> None:
        # What is made here has neither maker nor vendor.
        self.rows: list[Row] = [
            (f"sourcing.results[{place}]", row)
            for place, row in enumerate(statement.sourcing.results)
            if not row.make_item
        ]
        self._parts = {part.guid: (at, part) for at, part in enumerate(statement.supplier_items)}
        self._owners = {owner.guid: (at, owner) for at, owner in enumerate(statement.suppliers)}

    def manufacturers(self) -> tuple[ApprovedManufacturer, ...]:
        """The makers' parts in the order of the sources, each once: a part that several vendors
        sell stands in several of them.

        Raises: InvalidMessage for a maker's part, or a maker, that was not sent.
        """
        found: dict[tuple[str, str], list[Row]] = {}
        for where, row in self.rows:
            if row.mfr_item is not None:
                found.setdefault(self._maker(row.mfr_item.guid, f"{where}.mfrItem"), []).append(
                    (where, row)
                )
        return tuple(_to_manufacturer(name, part, rows) for (name, part), rows in found.items())

    def suppliers(self) -> tuple[ApprovedSupplier, ...]:
        """The vendors' parts in the order of the sources, each once; those that `why_unread` names
        a reason for are left out.

        Raises: InvalidMessage for a conversion factor that is none.
        """
        found: dict[tuple[str, str, Ratio | None], list[Row]] = {}
        for where, row in self.rows:
            if row.vendor_item is None or self.why_unread(row.vendor_item.guid):
                continue
            number, part = self._vendor(row.vendor_item.guid)
            factor = _factor(
                row.vendor_item_conversion_factor, f"{where}.vendorItemConversionFactor"
            )
            found.setdefault((number, part, factor), []).append((where, row))
        return tuple(
            _to_supplier(number, part, factor, rows)
            for (number, part, factor), rows in found.items()
        )

    def why_unread(self, vendor_item: str) -> str:
        """Why the vendor of that part cannot be listed; "" where he can."""
        if vendor_item not in self._parts:
            return "vendor item not sent"
        _, part = self._parts[vendor_item]
        if part.supplier.guid not in self._owners:
            return "vendor not sent"
        _, vendor = self._owners[part.supplier.guid]
        return "" if (vendor.supplier_id or "").strip() else "vendor without supplierId"

    def _maker(self, guid: str, where: str) -> tuple[str, str]:
        """Name of the maker, and his number of the part."""
        if guid not in self._parts:
            raise _not_sent("supplierItems", guid, where)
        at, part = self._parts[guid]
        if part.supplier.guid not in self._owners:
            raise _not_sent("suppliers", part.supplier.guid, f"supplierItems[{at}].supplier")
        at_maker, maker = self._owners[part.supplier.guid]
        number = normalise_id(part.number or "", where=f"supplierItems[{at}].number")
        return normalise_id(maker.name, where=f"suppliers[{at_maker}].name"), number

    def _vendor(self, guid: str) -> tuple[str, str]:
        """Number of the vendor, and his number of the part, "" where he has none for it."""
        at, part = self._parts[guid]
        at_vendor, vendor = self._owners[part.supplier.guid]
        return (
            normalise_id(vendor.supplier_id or "", where=f"suppliers[{at_vendor}].supplierId"),
            normalise_id(part.number, where=f"supplierItems[{at}].number") if part.number else "",
        )


def _to_manufacturer(name: str, part: str, rows: Sequence[Row]) -> ApprovedManufacturer:
    status, counted = _counted(rows)
    ranks = [row.aml_rank for _, row in counted if row.aml_rank is not None]
    return ApprovedManufacturer(
        manufacturer=name,
        part=part,
        status=status,
        rank=min(ranks, default=None),
        note=_note(counted),
        split_percent=_split(counted),
        active=_active(counted),
    )


def _to_supplier(
    number: str, part: str, factor: Ratio | None, rows: Sequence[Row]
) -> ApprovedSupplier:
    status, counted = _counted(rows)
    return ApprovedSupplier(
        supplier=number,
        part=part,
        status=status,
        to_base=factor,
        note=_note(counted),
        split_percent=_split(counted),
        active=_active(counted),
    )


def _counted(rows: Sequence[Row]) -> tuple[ApprovalStatus, Sequence[Row]]:
    """The part may be used where one of its sources is approved; what the others say of it does not
    count then."""
    approved = [(where, row) for where, row in rows if row.approved]
    return ("approved", approved) if approved else ("disapproved", rows)


def _note(rows: Sequence[Row]) -> str:
    notes = [normalise_text(row.notes or "", where=f"{where}.notes") for where, row in rows]
    return "; ".join(dict.fromkeys(note for note in notes if note))


def _split(rows: Sequence[Row]) -> int | None:
    """Each source has its share of the item: that of the part is what they add up to."""
    stated = [row.aml_split for _, row in rows if row.aml_split is not None]
    return sum(stated) if stated else None


def _active(rows: Sequence[Row]) -> tuple[SourcingStage, ...]:
    stages: tuple[tuple[SourcingStage, bool], ...] = (
        ("prototype", any(row.active_prototype for _, row in rows)),
        ("production", any(row.active_production for _, row in rows)),
    )
    return tuple(stage for stage, is_active in stages if is_active)


def _factor(stated: msgspec.Raw, where: str) -> Ratio | None:
    """How many base units one of the vendor's is: a number, in quotes or not."""
    text = bytes(stated).decode(errors="replace").strip('"')
    if text == "null":
        return None
    exact = Fraction(Decimal(text)) if NUMBER.fullmatch(text) else Fraction(0)
    if exact <= 0:
        raise InvalidMessage(
            "factor-malformed",
            f"One of the vendor's would be {text[:40]!r} of the item",
            where=where,
            remedy="Enter in Arena how many are used of one that is bought",
        )
    return Ratio(exact.numerator, exact.denominator)


def _not_sent(what: str, guid: str, where: str) -> InvalidMessage:
    return InvalidMessage(
        "source-incomplete",
        f"A source refers to {guid[:40]!r}, which is not among the {what}",
        where=where,
        remedy=f"Send it under `{what}`, as Arena gives it",
    )
