"""The entities of S/4HANA's OData V2 services as they are read back after an event.

Only what is translated is named here. Any of it may be missing, in older releases, or null, which
is how the services write an empty day or flag: a read that tells less is no broken read.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from handlers.systems.s4.native import Children, Entity

Said = str | UnsetType | None
"""Decimals and days are text too. UNSET: not in the answer; None and "": empty."""

Mark = bool | UnsetType | None
E = TypeVar("E", bound=Entity)


class OrderScheduleLine(Entity, frozen=True, kw_only=True):
    """A_PurchaseOrderScheduleLine: so much of the item's order unit on a day."""

    PurchasingDocument: Said = UNSET
    PurchasingDocumentItem: Said = UNSET
    ScheduleLine: Said = UNSET
    ScheduleLineDeliveryDate: Said = UNSET
    ScheduleLineOrderQuantity: Said = UNSET


class OrderItem(Entity, frozen=True, kw_only=True):
    """A_PurchaseOrderItem: NetPriceAmount is for NetPriceQuantity of OrderPriceUnit."""

    PurchaseOrderItem: Said = UNSET
    PurchasingDocumentDeletionCode: Said = UNSET
    PurchaseOrderItemText: Said = UNSET
    Plant: Said = UNSET
    SupplierMaterialNumber: Said = UNSET
    OrderQuantity: Said = UNSET
    PurchaseOrderQuantityUnit: Said = UNSET
    OrderPriceUnit: Said = UNSET
    DocumentCurrency: Said = UNSET
    NetPriceAmount: Said = UNSET
    NetPriceQuantity: Said = UNSET
    PurchaseContract: Said = UNSET
    IsReturnsItem: Mark = UNSET
    Material: Said = UNSET
    to_ScheduleLine: Children[OrderScheduleLine]


class Order(Entity, frozen=True, kw_only=True):
    """A_PurchaseOrder.

    PurchasingCompletenessStatus: true while it is not complete yet; ReleaseIsNotCompleted: true
    while somebody has to approve it.
    """

    PurchaseOrder: Said = UNSET
    PurchaseOrderType: Said = UNSET
    PurchasingDocumentDeletionCode: Said = UNSET
    PurchasingProcessingStatus: Said = UNSET
    CreationDate: Said = UNSET
    LastChangeDateTime: Said = UNSET
    Supplier: Said = UNSET
    PaymentTerms: Said = UNSET
    PurchasingOrganization: Said = UNSET
    PurchaseOrderDate: Said = UNSET
    DocumentCurrency: Said = UNSET
    ReleaseIsNotCompleted: Mark = UNSET
    PurchasingCompletenessStatus: Mark = UNSET
    to_PurchaseOrderItem: Children[OrderItem]


class Text(Entity, frozen=True, kw_only=True):
    """A_ProductDescription."""

    Language: Said = UNSET
    ProductDescription: Said = UNSET


class Alternate(Entity, frozen=True, kw_only=True):
    """A_ProductUnitsOfMeasure: Denominator alternative units are Numerator base units."""

    AlternativeUnit: Said = UNSET
    QuantityNumerator: Said = UNSET
    QuantityDenominator: Said = UNSET


class Plant(Entity, frozen=True, kw_only=True):
    """A_ProductPlant: ProfileCode is the material's status in the plant."""

    Plant: Said = UNSET
    PurchasingGroup: Said = UNSET
    ProcurementType: Said = UNSET
    ProfileCode: Said = UNSET
    MinimumLotSizeQuantity: Said = UNSET
    IsMarkedForDeletion: Mark = UNSET


class Material(Entity, frozen=True, kw_only=True):
    """A_Product: ProductStandardID is its GTIN."""

    Product: Said = UNSET
    ProductType: Said = UNSET
    ProductGroup: Said = UNSET
    CrossPlantStatus: Said = UNSET
    CreationDate: Said = UNSET
    LastChangeDate: Said = UNSET
    LastChangeDateTime: Said = UNSET
    IsMarkedForDeletion: Mark = UNSET
    GrossWeight: Said = UNSET
    NetWeight: Said = UNSET
    WeightUnit: Said = UNSET
    MaterialVolume: Said = UNSET
    VolumeUnit: Said = UNSET
    BaseUnit: Said = UNSET
    ProductStandardID: Said = UNSET
    to_Description: Children[Text]
    to_ProductUnitsOfMeasure: Children[Alternate]
    to_Plant: Children[Plant]


class ReadBack(msgspec.Struct, Generic[E], frozen=True):
    """What a read brought back: the entity as the service answered it, or that there is none."""

    d: E | None = None
    gone: bool = False
