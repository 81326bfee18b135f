"""What a handler may know besides its message: stored documents and the rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from canonical.bom import (
    BOM_REVISIONS,
    Bom,
    BomRevisions,
    PlantBomState,
    bom_key,
    bom_revisions_key,
    plant_bom_key_of,
)
from canonical.change import (
    REVISION_EFFECTIVITIES,
    ChangeMasterState,
    EngineeringChange,
    RevisionEffectivities,
    RevisionEffectivity,
    change_key,
    revision_effectivities_key,
)
from canonical.heard import Heard, heard_key
from canonical.item import (
    ITEM_REVISIONS,
    Item,
    ItemRevisions,
    item_key,
    item_revisions_key,
)
from canonical.item_master import ItemMaster, item_master_key
from canonical.order import (
    OPEN_ORDERS,
    OpenOrders,
    OrderConfirmation,
    PurchaseOrder,
    open_orders_key,
    order_key,
    ordered_items,
)
from canonical.purchase_contract import PurchaseContract, contract_key
from canonical.purchasing import InfoRecordTerms
from canonical.quality_hold import QualityHold
from canonical.rules import Rules
from canonical.source_list import SourceList, source_list_key
from canonical.sourcing import Coverage, coverage_key
from canonical.supplier import Supplier, supplier_key
from canonical.supplier_master import SupplierMaster, supplier_master_key

Document = (
    Item
    | Bom
    | Supplier
    | Coverage
    | EngineeringChange
    | ItemMaster
    | SupplierMaster
    | InfoRecordTerms
    | PlantBomState
    | PurchaseOrder
    | OrderConfirmation
    | PurchaseContract
    | SourceList
    | QualityHold
    | ChangeMasterState
    | Heard
    | OpenOrders
    | RevisionEffectivity
    | RevisionEffectivities
    | ItemRevisions
    | BomRevisions
)
D = TypeVar(
    "D",
    Item,
    Bom,
    Supplier,
    Coverage,
    EngineeringChange,
    ItemMaster,
    SupplierMaster,
    InfoRecordTerms,
    PlantBomState,
    PurchaseOrder,
    PurchaseContract,
    SourceList,
    Heard,
    OpenOrders,
    RevisionEffectivities,
    ItemRevisions,
    BomRevisions,
)

# Kind of a stored document (the part of the key before "/") -> its type.
DOCUMENT_TYPES: dict[str, type[Document]] = {
    "item": Item,
    "bom": Bom,
    "supplier": Supplier,
    "coverage": Coverage,
    "engineering-change": EngineeringChange,
    "item-master": ItemMaster,
    "supplier-master": SupplierMaster,
    "info-record": InfoRecordTerms,
    "plant-bom": PlantBomState,
    "purchase-order": PurchaseOrder,
    "order-confirmation": OrderConfirmation,
    "contract": PurchaseContract,
    "source-list": SourceList,
    "quality-hold": QualityHold,
    "change-master": ChangeMasterState,
    "revision-effectivity": RevisionEffectivity,
    "heard": Heard,
}


class Selection(msgspec.Struct, frozen=True):
    """Documents that are found by what they are about: together a fact under `<name>/<id>`.

    of: kind of the documents. by: ids under which one is found, as it is now; none = not any more.
    held: the fact, made of those that are found, in the order of their keys, and of how many more
        there are.
    """

    of: str
    by: Callable[[Any], frozenset[str]]
    held: Callable[[tuple[Any, ...], int], Document]


# Name of a selection (the part of the key before "/") -> what it holds.
SELECTIONS: dict[str, Selection] = {
    OPEN_ORDERS: Selection("purchase-order", ordered_items, OpenOrders),
    REVISION_EFFECTIVITIES: Selection(
        "revision-effectivity", lambda stated: frozenset({stated.item}), RevisionEffectivities
    ),
}


class History(msgspec.Struct, frozen=True):
    """What a document said of each revision last: together a fact under `<name>/<id>`.

    of: kind of the document. label: where in it the revision stands. held: the fact, made of what
        was said, the newest first. Its version is that of the document.
    """

    of: str
    label: tuple[str, ...]
    held: Callable[[tuple[Any, ...]], Document]


# Name of a history (the part of the key before "/") -> what it holds.
HISTORIES: dict[str, History] = {
    ITEM_REVISIONS: History("item", ("revision", "label"), ItemRevisions),
    BOM_REVISIONS: History("bom", ("revision",), BomRevisions),
}


def selections_of(key: str, document: Document) -> tuple[str, ...] | None:
    """Keys of the selections that hold the document with that key; None where none is about its
    kind."""
    kind = key.partition("/")[0]
    found = [(name, one) for name, one in SELECTIONS.items() if one.of == kind]
    if not found:
        return None
    return tuple(sorted(f"{name}/{id}" for name, one in found for id in one.by(document)))


class Known(msgspec.Struct, frozen=True, gc=False):
    """A stored document, or what is found by a selection.

    version: counts what was stated of it, 1 for the first, or of all that are or were in it; says
    "newer than what I saw".
    """

    version: int
    document: Document


class Facts(msgspec.Struct, frozen=True):
    """A snapshot for one decision.

    documents: by key, e.g. "item/XYZ-1". A key that was asked for and is not here does not exist.
    """

    rules: Rules
    documents: Mapping[str, Known] = {}

    def item(self, number: str) -> Item | None:
        """The item as last released, if known."""
        return self._get(item_key(number), Item)

    def bom(self, parent: str) -> Bom | None:
        """The item's BOM as last released, if known."""
        return self._get(bom_key(parent), Bom)

    def item_revisions(self, number: str) -> tuple[Item, ...]:
        """The item as each of its revisions was released last, the newest first; () where that was
        not asked for."""
        found = self._get(item_revisions_key(number), ItemRevisions)
        return found.items if found else ()

    def bom_revisions(self, parent: str) -> tuple[Bom, ...]:
        """The item's BOM, likewise."""
        found = self._get(bom_revisions_key(parent), BomRevisions)
        return found.boms if found else ()

    def revision_effectivities(self, item: str) -> tuple[RevisionEffectivity, ...]:
        """What changes with a day have said of the item's revisions."""
        found = self._get(revision_effectivities_key(item), RevisionEffectivities)
        return found.stated if found else ()

    def supplier(self, number: str) -> Supplier | None:
        """The supplier as procurement last stated it, if known."""
        return self._get(supplier_key(number), Supplier)

    def coverage(self, item: str) -> Coverage | None:
        """The item's contract coverage as procurement last stated it, if known."""
        return self._get(coverage_key(item), Coverage)

    def change(self, number: str) -> EngineeringChange | None:
        """The released engineering change as its PLM last stated it, if known."""
        return self._get(change_key(number), EngineeringChange)

    def item_master(self, number: str) -> ItemMaster | None:
        """The material as its ERP has it, as far as it has said so."""
        return self._get(item_master_key(number), ItemMaster)

    def plant_bom(
        self, plant: str, usage: str, alternative: str, parent: str
    ) -> PlantBomState | None:
        """The BOM as its ERP last stated it, if it did."""
        return self._get(plant_bom_key_of(plant, usage, alternative, parent), PlantBomState)

    def supplier_master(self, number: str) -> SupplierMaster | None:
        """The supplier as its ERP has it, as far as it has said so."""
        return self._get(supplier_master_key(number), SupplierMaster)

    def order(self, number: str) -> PurchaseOrder | None:
        """The purchase order as it was last stated, if known."""
        return self._get(order_key(number), PurchaseOrder)

    def open_orders(self, item: str) -> OpenOrders:
        """The orders that are open and have a line for the item, as they were last stated."""
        return self._get(open_orders_key(item), OpenOrders) or OpenOrders(())

    def contract(self, number: str) -> PurchaseContract | None:
        """The purchase contract as it was last stated, if known."""
        return self._get(contract_key(number), PurchaseContract)

    def source_list(self, plant: str, item: str) -> SourceList | None:
        """The source list of the item in the plant as it was last stated, if known."""
        return self._get(source_list_key(plant, item), SourceList)

    def info_record(self, key: str) -> InfoRecordTerms | None:
        """The terms with that key as their ERP has them, as far as it has said so."""
        return self._get(key, InfoRecordTerms)

    def heard(self, key: str) -> Heard | None:
        """What each system last said of the object with that key, if its values have owners."""
        return self._get(heard_key(key), Heard)

    def version(self, key: str) -> int:
        """Version of a document; 0 where it does not exist."""
        known = self.documents.get(key)
        return known.version if known else 0

    def missing(self, keys: Iterable[str]) -> frozenset[str]:
        """Those of the keys without a document."""
        return frozenset(k for k in keys if k not in self.documents)

    def _get(self, key: str, kind: type[D]) -> D | None:
        known = self.documents.get(key)
        return known.document if known and isinstance(known.document, kind) else None
