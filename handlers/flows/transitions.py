"""What it means that a document is another one now, as events of their own: nobody who waits for a
disqualification has to compare two states of a supplier.

Said where something is so now and was not known to be so before; what was not known at all counts
as not known to be so. Only what its source says: nothing here looks at a calendar.
"""

from __future__ import annotations

from canonical.effects import Emit
from canonical.events import (
    ApprovedSourcesChanged,
    ContractStanding,
    ItemCreated,
    ItemStopped,
    ItemSuperseded,
    OrderStanding,
    SupplierStanding,
)
from canonical.facts import Document
from canonical.item import (
    ApprovedManufacturer,
    ApprovedSupplier,
    Item,
    Lifecycle,
    item_key,
)
from canonical.order import PurchaseOrder, order_key
from canonical.purchase_contract import PurchaseContract, contract_key
from canonical.supplier import QualificationStatus, Supplier, supplier_key

_STOPPED: dict[Lifecycle, str] = {"obsolete": "item.obsoleted", "on_hold": "item.blocked"}
_QUALIFIED: dict[QualificationStatus, str] = {
    "qualified": "supplier.qualified",
    "disqualified": "supplier.disqualified",
}


def transitions(before: Document | None, after: Document) -> tuple[Emit, ...]:
    """What is to be said of an object that was `before`, if it was known, and is `after` now.

    after: a newer statement than `before` about the same object.
    """
    match after:
        case Item():
            return _of_item(before if isinstance(before, Item) else None, after)
        case Supplier():
            return _of_supplier(before if isinstance(before, Supplier) else None, after)
        case PurchaseContract():
            return _of_contract(before if isinstance(before, PurchaseContract) else None, after)
        case PurchaseOrder():
            return _of_order(before if isinstance(before, PurchaseOrder) else None, after)
        case _:
            return ()


def _of_item(before: Item | None, after: Item) -> tuple[Emit, ...]:
    said: list[Emit] = []
    key = item_key(after.number)
    if before is None:
        created = ItemCreated(
            after.number,
            after.revision.label,
            after.lifecycle,
            after.kind,
            description=after.description,
            change=after.change,
        )
        said.append(Emit("item.created", key, created))
    elif before.revision.label != after.revision.label:
        replaced = ItemSuperseded(
            after.number, before.revision.label, by=after.revision.label, change=after.change
        )
        said.append(Emit("item.superseded", key, replaced))
    was = before.lifecycle if before else None
    event = _STOPPED.get(after.lifecycle)
    if event is not None and was != after.lifecycle:
        stopped = ItemStopped(
            after.number,
            after.revision.label,
            after.lifecycle,
            before=was,
            change=after.change,
            stated_as=after.phase,
        )
        said.append(Emit(event, key, stopped))
    return (*said, *_of_sources(before, after))


def _of_sources(before: Item | None, after: Item) -> tuple[Emit, ...]:
    """Of a new item they are stated with it."""
    if before is None or _sources(before) == _sources(after):
        return ()
    changed = ApprovedSourcesChanged(
        after.number,
        after.revision.label,
        after.manufacturers,
        after.suppliers,
        manufacturers_before=before.manufacturers,
        suppliers_before=before.suppliers,
        change=after.change,
    )
    return (Emit("approved-sources.changed", item_key(after.number), changed),)


def _sources(item: Item) -> tuple[frozenset[ApprovedManufacturer], frozenset[ApprovedSupplier]]:
    """In which order they are listed says nothing: those that have a rank say so."""
    return frozenset(item.manufacturers), frozenset(item.suppliers)


def _of_supplier(before: Supplier | None, after: Supplier) -> tuple[Emit, ...]:
    said: list[Emit] = []
    key, status, was = supplier_key(after.number), _own(after), _own(before)
    standing = SupplierStanding(
        after.number,
        after.name,
        active=after.active,
        status=status,
        before=was,
        valid_until=after.qualification.valid_until if status else None,
        stated_as=after.qualification.stated_as if status else "",
    )
    if before is None:
        said.append(Emit("supplier.registered", key, standing))
    if not after.active and (before is None or before.active):
        said.append(Emit("supplier.blocked", key, standing))
    event = _QUALIFIED.get(status) if status else None
    if event is not None and status != was:
        said.append(Emit(event, key, standing))
    return tuple(said)


def _own(supplier: Supplier | None) -> QualificationStatus | None:
    """Its own qualification for everything; None where nobody stated one."""
    if supplier is None or supplier.inherits_qualification:
        return None
    return supplier.qualification.status


def _of_contract(before: PurchaseContract | None, after: PurchaseContract) -> tuple[Emit, ...]:
    was = before.status if before else None
    event = {"active": "contract.activated", "ended": "contract.expired"}.get(after.status)
    if event is None or was == after.status:
        return ()
    standing = ContractStanding(
        after.number,
        after.supplier,
        after.status,
        before=was,
        first_day=after.first_day,
        last_day=after.last_day,
        items=tuple(sorted({line.item for line in after.lines if line.item})),
        stated_as=after.stated_as,
    )
    return (Emit(event, contract_key(after.number), standing),)


def _of_order(before: PurchaseOrder | None, after: PurchaseOrder) -> tuple[Emit, ...]:
    was = before.status if before else None
    # An order that changed from cancelled to closed is as over as it was.
    if after.status == "open" or was in ("closed", "cancelled"):
        return ()
    lines = (*after.lines, *(before.lines if before else ()))
    standing = OrderStanding(
        after.number,
        after.supplier,
        after.status,
        before=was,
        items=tuple(sorted({line.item for line in lines if line.item})),
    )
    return (Emit("purchase-order.closed", order_key(after.number), standing),)
