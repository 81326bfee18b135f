"""What there is at the end, as tables in the words of the stories, and what is other than told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from canonical.effectivity import OPEN_END
from handlers.systems.s4.odata import parse_date
from ops.demo.observe import Target
from tests.scenarios.telling import Table, rows_of

Seen = list[dict[str, str]]
See = Callable[[Target], Awaitable[Seen]]


async def materials(erp: Target) -> Seen:
    """Item masters."""
    texts = {
        row["Product"]: row["ProductDescription"]
        for row in await erp.table("A_ProductDescription")
        if row["Language"] == "EN"
    }
    return [
        {
            "item": row["Product"],
            "revision": row["MaterialRevisionLevel"],
            "unit": row["BaseUnit"],
            "type": row["ProductType"],
            "description": texts.get(row["Product"], ""),
        }
        for row in await erp.table("A_Product")
    ]


async def plant_views(erp: Target) -> Seen:
    """Items in plants; bought or made. status: the code that somebody has set there, if any."""
    sources = {"E": "made", "F": "bought"}
    return [
        {
            "item": row["Product"],
            "plant": row["Plant"],
            "group": row["PurchasingGroup"],
            "is": sources.get(str(row["ProcurementType"]), "neither"),
            "status": row["ProfileCode"] or "-",
        }
        for row in await erp.table("A_ProductPlant")
    ]


async def bom_lines(erp: Target) -> Seen:
    """Lines of the BOMs, each with its plant and parent. of: base quantity of the parent."""
    heads = {(r["BillOfMaterial"], r["Plant"]): r for r in await erp.table("MaterialBOM")}
    return [
        {
            "parent": row["Material"],
            "plant": row["Plant"],
            "line": row["BillOfMaterialItemNumber"],
            "component": row["BillOfMaterialComponent"],
            "quantity": number(row["BillOfMaterialItemQuantity"]),
            "unit": row["BillOfMaterialItemUnit"],
            "group": row["AlternativeItemGroup"] or "-",
            "of": number(heads[row["BillOfMaterial"], row["Plant"]]["BOMHeaderQuantityInBaseUnit"]),
        }
        for row in await erp.table("MaterialBOMItem")
    ]


async def boms(erp: Target) -> Seen:
    """Heads of the BOMs."""
    return [
        {"parent": row["Material"], "plant": row["Plant"]} for row in await erp.table("MaterialBOM")
    ]


async def info_records(erp: Target) -> Seen:
    """Terms on which an organisation buys for a plant. per: the quantity that the price is for."""
    return [
        {
            "item": row["Material"],
            "supplier": row["Supplier"],
            "organisation": row["PurchasingOrganization"],
            "plant": row["Plant"],
            "price": number(row["NetPriceAmount"]),
            "per": number(row["MaterialPriceUnitQty"]),
            "currency": row["Currency"],
        }
        for row in await erp.table("A_PurgInfoRecdOrgPlantData")
    ]


async def sources(erp: Target) -> Seen:
    """Rows of source lists; both days are in it, until: "-" where it is open."""
    return [
        {
            "item": row["Material"],
            "plant": row["Plant"],
            "supplier": row["Supplier"],
            "organisation": row["PurchasingOrganization"],
            "from": str(parse_date(row["ValidityStartDate"])),
            "until": str(until)
            if (until := parse_date(row["ValidityEndDate"])) != OPEN_END
            else "-",
            "blocked": "yes" if row["SourceOfSupplyIsBlocked"] is True else "no",
        }
        for row in await erp.table("A_PurchasingSource")
    ]


async def orders(erp: Target) -> Seen:
    """Lines of purchase orders. order: the number it has where it comes from."""
    heads = {row["PurchaseOrder"]: row for row in await erp.table("A_PurchaseOrder")}
    return [
        {
            "order": heads[row["PurchaseOrder"]]["CorrespncInternalReference"],
            "supplier": heads[row["PurchaseOrder"]]["Supplier"],
            "line": row["PurchaseOrderItem"].lstrip("0"),
            "item": row["Material"],
            "plant": row["Plant"],
            "quantity": number(row["OrderQuantity"]),
            "price": number(row["NetPriceAmount"]),
        }
        for row in await erp.table("A_PurchaseOrderItem")
    ]


async def catalogue(suite: Target) -> Seen:
    """Items that procurement may be asked for. made by: approved manufacturers and their parts;
    marks: of compliance; "-" where there are none."""
    return [
        {
            "item": row["item-number"],
            "revision": row["custom-fields"].get("revision", ""),
            "made by": ", ".join(
                f"{maker['manufacturer']} {maker['part-number']}"
                for maker in row["custom-fields"].get("approved-manufacturers", ())
            )
            or "-",
            "marks": ", ".join(row["custom-fields"].get("compliance", ())) or "-",
            "description": row["description"],
            "active": "yes" if row["active"] else "no",
        }
        for row in await suite.table("items")
    ]


async def changes(plm: Target) -> Seen:
    """Changes in the PLM's own system. implementation: how far it knows them to be; "-" = not."""
    return [
        {
            "change": row["number"],
            "status": row["lifecycleStatus"]["type"],
            "implementation": row.get("implementationStatus") or "-",
        }
        for row in await plm.table("changes")
    ]


async def entries(plm: Target) -> Seen:
    """Entries of its queue, each of a change, and whether they are dealt with."""
    return [
        {
            "change": row["change"]["number"],
            "reconciled": "yes" if row["itemsReconciled"] else "no",
        }
        for row in await plm.table("events")
    ]


WHAT: Mapping[str, See] = {
    "materials": materials,
    "plant views": plant_views,
    "BOM lines": bom_lines,
    "BOMs": boms,
    "info records": info_records,
    "sources": sources,
    "orders": orders,
    "catalogue items": catalogue,
    "changes": changes,
    "entries": entries,
}
# Where each of them is written.
PATHS: Mapping[str, str] = {
    "materials": r"A_Product$",
    "plant views": r"A_ProductPlant",
    "BOM lines": r"MaterialBOMItem|to_BillOfMaterialItem",
    "BOMs": r"MaterialBOM$",
    "info records": r"A_PurchasingInfoRecord|A_PurgInfoRecd",
    "sources": r"A_PurchasingSource",
    "orders": r"A_PurchaseOrder",
    "catalogue items": r"/api/items",
    "status changes": r"/changes/statuschanges$",
    "marks of entries": r"/outboundintegrations/",
    "questions about suppliers": r"/api/suppliers",
    "questions about contracts": r"/api/contracts",
}


def number(text: Any) -> str:
    """The number without zeros that say nothing."""
    try:
        return f"{Decimal(str(text)).normalize():f}"
    except InvalidOperation:
        return str(text)


def difference(told: Table, seen: Iterable[Mapping[str, Any]]) -> str:
    """The rows that are told and not there, and those that are there and not told, as a table with
    the line of each; "" where there are none. Only told columns are compared."""
    rows = rows_of(told)
    wanted = Counter(_values(told.columns, row.cells) for row in rows)
    found = Counter(_values(told.columns, row) for row in seen)
    if wanted == found:
        return ""
    lines = [("", *told.columns)]
    missing, extra = wanted - found, found - wanted
    for row in rows:
        values = _values(told.columns, row.cells)
        if missing[values]:
            missing[values] -= 1
            lines.append((f"- line {row.line}", *values))
    lines += [("+ not told", *values) for values in sorted(extra.elements())]
    return laid_out(lines)


def laid_out(rows: Sequence[Sequence[str]]) -> str:
    """The rows in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _values(columns: Sequence[str], cells: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(cells[column]) for column in columns)
