"""The entities of S/4HANA's OData V2 services as they are read back after an event.

Only what is translated is named here. Any of it may be missing, in older releases, or null, which
is how the services write an empty day or flag: a read that tells less is no broken read.
"""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from handlers.systems.s4 import left_out as known
from handlers.systems.s4.native import Children, Entity, Offered

Said = str | UnsetType | None
"""Decimals and days are text too. UNSET: not in the answer; None and "": empty."""

Mark = bool | UnsetType | None
Held = TypeVar("Held")


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
    """A_PurchaseOrder: CorrespncInternalReference is "our reference".

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
    CorrespncInternalReference: Said = UNSET
    ReleaseIsNotCompleted: Mark = UNSET
    PurchasingCompletenessStatus: Mark = UNSET
    to_PurchaseOrderItem: Children[OrderItem]


class Text(Entity, frozen=True, kw_only=True):
    """A_ProductDescription."""

    left_out: ClassVar = known.PRODUCT_TEXT

    Language: Said = UNSET
    ProductDescription: Said = UNSET


class Alternate(Entity, frozen=True, kw_only=True):
    """A_ProductUnitsOfMeasure: Denominator alternative units are Numerator base units."""

    left_out: ClassVar = known.PRODUCT_UNIT

    AlternativeUnit: Said = UNSET
    QuantityNumerator: Said = UNSET
    QuantityDenominator: Said = UNSET


class PlantProcurement(Entity, frozen=True, kw_only=True):
    """A_ProductPlantProcurement: IsSourceListRequired is of the material in the plant; that of the
    plant for all of its materials is a setting that no service shows."""

    left_out: ClassVar = known.PRODUCT_PLANT_PROCUREMENT

    IsSourceListRequired: Mark = UNSET


class Plant(Entity, frozen=True, kw_only=True):
    """A_ProductPlant: ProfileCode is the material's status in the plant."""

    left_out: ClassVar = known.PRODUCT_PLANT

    Plant: Said = UNSET
    PurchasingGroup: Said = UNSET
    ProcurementType: Said = UNSET
    ProfileCode: Said = UNSET
    MinimumLotSizeQuantity: Said = UNSET
    IsMarkedForDeletion: Mark = UNSET
    to_ProductPlantProcurement: PlantProcurement | UnsetType | None = UNSET


class Material(Entity, frozen=True, kw_only=True):
    """A_Product: ProductStandardID is its GTIN."""

    left_out: ClassVar = known.PRODUCT

    Product: Said = UNSET
    ProductType: Said = UNSET
    ProductGroup: Said = UNSET
    ProductHierarchy: Said = UNSET
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


class AddressUsage(Entity, frozen=True, kw_only=True):
    """A_BuPaAddressUsage: what an address is used for, and from when until when."""

    AddressUsage: Said = UNSET
    ValidityStartDate: Said = UNSET
    ValidityEndDate: Said = UNSET


class PartnerAddress(Entity, frozen=True, kw_only=True):
    """A_BusinessPartnerAddress: Language is ISO 639; POBoxDeviatingCityName is the city of the PO
    box where it is another one."""

    AddressID: Said = UNSET
    StreetName: Said = UNSET
    HouseNumber: Said = UNSET
    HouseNumberSupplementText: Said = UNSET
    District: Said = UNSET
    PostalCode: Said = UNSET
    CityName: Said = UNSET
    Region: Said = UNSET
    Country: Said = UNSET
    POBox: Said = UNSET
    POBoxPostalCode: Said = UNSET
    POBoxDeviatingCityName: Said = UNSET
    Language: Said = UNSET
    to_AddressUsage: Children[AddressUsage]


class SupplierCompany(Entity, frozen=True, kw_only=True):
    """A_SupplierCompany: AlternativePayee is the supplier that is paid instead."""

    CompanyCode: Said = UNSET
    PaymentTerms: Said = UNSET
    ReconciliationAccount: Said = UNSET
    PaymentBlockingReason: Said = UNSET
    AlternativePayee: Said = UNSET
    SupplierIsBlockedForPosting: Mark = UNSET
    DeletionIndicator: Mark = UNSET


class SupplierOrganisation(Entity, frozen=True, kw_only=True):
    """A_SupplierPurchasingOrg: MinimumOrderAmount is in PurchaseOrderCurrency; planned delivery is
    in days; IncotermsLocation1 is what newer releases have, in full."""

    PurchasingOrganization: Said = UNSET
    PurchaseOrderCurrency: Said = UNSET
    PaymentTerms: Said = UNSET
    IncotermsClassification: Said = UNSET
    IncotermsTransferLocation: Said = UNSET
    IncotermsLocation1: Said = UNSET
    MinimumOrderAmount: Said = UNSET
    PurchasingGroup: Said = UNSET
    MaterialPlannedDeliveryDurn: Said = UNSET
    PurchasingIsBlockedForSupplier: Mark = UNSET
    DeletionIndicator: Mark = UNSET


class PartnerSupplier(Entity, frozen=True, kw_only=True):
    """A_Supplier: SupplierProcurementBlock is the function that quality blocks,
    SupplierCorporateGroup a key that suppliers of one group share."""

    Supplier: Said = UNSET
    SupplierName: Said = UNSET
    SupplierAccountGroup: Said = UNSET
    SupplierCorporateGroup: Said = UNSET
    SupplierProcurementBlock: Said = UNSET
    AlternativePayeeAccountNumber: Said = UNSET
    VATRegistration: Said = UNSET
    TaxNumber1: Said = UNSET
    TaxNumber2: Said = UNSET
    TaxNumber3: Said = UNSET
    TaxNumber4: Said = UNSET
    TaxNumber5: Said = UNSET
    PostingIsBlocked: Mark = UNSET
    PurchasingIsBlocked: Mark = UNSET
    DeletionIndicator: Mark = UNSET
    to_SupplierCompany: Children[SupplierCompany]
    to_SupplierPurchasingOrg: Children[SupplierOrganisation]


class Partner(Entity, frozen=True, kw_only=True):
    """A_BusinessPartner: Supplier is the number of the supplier that it is, "" where it is none.

    BusinessPartnerCategory: person, organisation or group, which have names of their own.
    """

    BusinessPartner: Said = UNSET
    Supplier: Said = UNSET
    BusinessPartnerCategory: Said = UNSET
    OrganizationBPName1: Said = UNSET
    OrganizationBPName2: Said = UNSET
    OrganizationBPName3: Said = UNSET
    OrganizationBPName4: Said = UNSET
    GroupBusinessPartnerName1: Said = UNSET
    GroupBusinessPartnerName2: Said = UNSET
    CreationDate: Said = UNSET
    LastChangeDate: Said = UNSET
    to_Supplier: PartnerSupplier | None
    to_BusinessPartnerAddress: Children[PartnerAddress]


class PriceLine(Entity, frozen=True, kw_only=True):
    """A_PurInfoRecdPrcgCndnScale: from ConditionScaleQuantity on ConditionRateValue is charged, for
    as much as its condition record says."""

    ConditionScaleLine: Said = UNSET
    ConditionScaleQuantity: Said = UNSET
    ConditionScaleQuantityUnit: Said = UNSET
    ConditionRateValue: Said = UNSET
    ConditionRateValueUnit: Said = UNSET
    ConditionScaleIsDeleted: Mark = UNSET


class PriceSupplement(Entity, frozen=True, kw_only=True):
    """A_PurInfoRecdSuplmntPrcgCndn: a discount or a surcharge that belongs to a price."""

    ConditionSequentialNumber: Said = UNSET
    ConditionType: Said = UNSET
    ConditionIsDeleted: Mark = UNSET


class Price(Entity, frozen=True, kw_only=True):
    """A_PurInfoRecdPrcgCndn: ConditionRateValue is in ConditionRateValueUnit, a currency, for
    ConditionQuantity of ConditionQuantityUnit.

    PricingScaleType: whether lines count from a quantity on or up to it; PricingScaleBasis: what
    they count, "" where the price has no scale. Days of its own are not those on which it counts.
    """

    ConditionRecord: Said = UNSET
    PricingScaleType: Said = UNSET
    PricingScaleBasis: Said = UNSET
    ConditionScaleQuantityUnit: Said = UNSET
    ConditionCalculationType: Said = UNSET
    ConditionRateValue: Said = UNSET
    ConditionRateValueUnit: Said = UNSET
    ConditionQuantity: Said = UNSET
    ConditionQuantityUnit: Said = UNSET
    ConditionIsDeleted: Mark = UNSET
    to_PurInfoRecdSuplmntPrcgCndn: Offered[PriceSupplement] | UnsetType = UNSET
    to_PurgInfoPricingCndnRecdScale: Offered[PriceLine] | UnsetType = UNSET


class PriceDays(Entity, frozen=True, kw_only=True):
    """A_PurInfoRecdPrcgCndnValidity: the days on which a condition record of the terms counts, both
    of them included."""

    ConditionRecord: Said = UNSET
    ConditionType: Said = UNSET
    ConditionValidityStartDate: Said = UNSET
    ConditionValidityEndDate: Said = UNSET
    to_PurInfoRecdPrcgCndn: Price | UnsetType | None = UNSET


class OrganisationTerms(Entity, frozen=True, kw_only=True):
    """A_PurgInfoRecdOrgPlantData: terms of one purchasing organisation, for a plant or for all.

    NetPriceAmount is for MaterialPriceUnitQty of PurchaseOrderPriceUnit; quantities are in the
    order unit, planned delivery in days; PriceValidityEndDate is the last valid day.
    """

    PurchasingInfoRecordCategory: Said = UNSET
    PurchasingOrganization: Said = UNSET
    Plant: Said = UNSET
    IsMarkedForDeletion: Mark = UNSET
    PurchasingGroup: Said = UNSET
    Currency: Said = UNSET
    MinimumPurchaseOrderQuantity: Said = UNSET
    StandardPurchaseOrderQuantity: Said = UNSET
    MaximumOrderQuantity: Said = UNSET
    MaterialPlannedDeliveryDurn: Said = UNSET
    OverdelivTolrtdLmtRatioInPct: Said = UNSET
    UnderdelivTolrtdLmtRatioInPct: Said = UNSET
    UnlimitedOverdeliveryIsAllowed: Mark = UNSET
    NetPriceAmount: Said = UNSET
    MaterialPriceUnitQty: Said = UNSET
    PurchaseOrderPriceUnit: Said = UNSET
    PriceValidityEndDate: Said = UNSET
    IsOrderAcknRqd: Mark = UNSET
    SupplierConfirmationControlKey: Said = UNSET
    to_PurInfoRecdPrcgCndnValidity: Offered[PriceDays] | UnsetType = UNSET


class InfoRecord(Entity, frozen=True, kw_only=True):
    """A_PurchasingInfoRecord: what all organisations share; Dnmntr order units are Nmrtr base
    units. Material is "" where it is of a group of materials."""

    PurchasingInfoRecord: Said = UNSET
    Supplier: Said = UNSET
    Material: Said = UNSET
    CreationDate: Said = UNSET
    LastChangeDateTime: Said = UNSET
    IsDeleted: Mark = UNSET
    PurgDocOrderQuantityUnit: Said = UNSET
    OrderItemQtyToBaseQtyNmrtr: Said = UNSET
    OrderItemQtyToBaseQtyDnmntr: Said = UNSET
    BaseUnit: Said = UNSET
    SupplierMaterialNumber: Said = UNSET
    IsRegularSupplier: Mark = UNSET
    to_PurgInfoRecdOrgPlantData: Children[OrganisationTerms]


class ContractItem(Entity, frozen=True, kw_only=True):
    """A_PurchaseContractItem: ContractNetPriceAmount is for NetPriceQuantity of OrderPriceUnit;
    TargetQuantity is in the order unit, planned delivery in days.

    PurgDocReleaseOrderQuantity, which is not read, is how much one usually orders at a time; what
    was ordered so far is ContractItemConsumedQuantity.
    """

    PurchaseContractItem: Said = UNSET
    PurchasingContractDeletionCode: Said = UNSET
    PurchaseContractItemText: Said = UNSET
    Plant: Said = UNSET
    SupplierMaterialNumber: Said = UNSET
    OrderQuantityUnit: Said = UNSET
    TargetQuantity: Said = UNSET
    OrderPriceUnit: Said = UNSET
    ContractNetPriceAmount: Said = UNSET
    DocumentCurrency: Said = UNSET
    NetPriceQuantity: Said = UNSET
    PlannedDeliveryDurationInDays: Said = UNSET
    Material: Said = UNSET
    ContractItemConsumedQuantity: Said = UNSET
    ContrItemConsumedQuantityUnit: Said = UNSET


class Contract(Entity, frozen=True, kw_only=True):
    """A_PurchaseContract: both days of its validity are in it.

    PurchaseContractTargetAmount is in DocumentCurrency; IncotermsLocation1 is what newer releases
    have, in full; CorrespncInternalReference is "our reference".
    """

    PurchaseContract: Said = UNSET
    PurchaseContractType: Said = UNSET
    PurchasingDocumentDeletionCode: Said = UNSET
    CreationDate: Said = UNSET
    LastChangeDateTime: Said = UNSET
    Supplier: Said = UNSET
    PurchasingOrganization: Said = UNSET
    PaymentTerms: Said = UNSET
    DocumentCurrency: Said = UNSET
    ValidityStartDate: Said = UNSET
    ValidityEndDate: Said = UNSET
    IncotermsClassification: Said = UNSET
    IncotermsTransferLocation: Said = UNSET
    IncotermsLocation1: Said = UNSET
    PurchaseContractTargetAmount: Said = UNSET
    CorrespncInternalReference: Said = UNSET
    PurchasingProcessingStatus: Said = UNSET
    PurchasingProcessingStatusName: Said = UNSET
    PurgContractIsInPreparation: Mark = UNSET
    to_PurchaseContractItem: Children[ContractItem]


class SourceRecord(Entity, frozen=True, kw_only=True):
    """A_PurchasingSource: one row of the source list of a material in a plant; both days of its
    validity are in it.

    SupplyingPlant: another plant that it comes from. The fixed row is marked by what it is of:
    supplier, agreement or plant, and in newer releases by SourceOfSupplyIsFixed whatever it is of.
    """

    Material: Said = UNSET
    Plant: Said = UNSET
    SourceListRecord: Said = UNSET
    ValidityStartDate: Said = UNSET
    ValidityEndDate: Said = UNSET
    Supplier: Said = UNSET
    SupplierIsFixed: Mark = UNSET
    PurchaseOutlineAgreement: Said = UNSET
    PurchaseOutlineAgreementItem: Said = UNSET
    PurOutlineAgreementIsFixed: Mark = UNSET
    SupplyingPlant: Said = UNSET
    SourceOfSupplyIsBlocked: Mark = UNSET
    SourceOfSupplyIsFixed: Mark = UNSET
    PurchasingOrganization: Said = UNSET
    OrderQuantityUnit: Said = UNSET


class BomStateItem(Entity, frozen=True, kw_only=True):
    """MaterialBOMItem: its quantity is for the base quantity of the header, unless it is fixed.

    InheritedNodeNumberForBOMItem: node that the line had before the first change of it.
    AlternativeItemGroup: lines of one group stand for each other.
    """

    BillOfMaterialItemNodeNumber: Said = UNSET
    InheritedNodeNumberForBOMItem: Said = UNSET
    ValidityStartDate: Said = UNSET
    ValidityEndDate: Said = UNSET
    EngineeringChangeDocument: Said = UNSET
    BillOfMaterialComponent: Said = UNSET
    BillOfMaterialItemCategory: Said = UNSET
    BillOfMaterialItemNumber: Said = UNSET
    BillOfMaterialItemUnit: Said = UNSET
    BillOfMaterialItemQuantity: Said = UNSET
    FixedQuantity: Mark = UNSET
    BOMItemDescription: Said = UNSET
    BOMItemText2: Said = UNSET
    DocumentType: Said = UNSET
    DocNumber: Said = UNSET
    DocumentVersion: Said = UNSET
    DocumentPart: Said = UNSET
    ClassNumber: Said = UNSET
    AlternativeItemGroup: Said = UNSET
    IsDeleted: Mark = UNSET


class BomState(Entity, frozen=True, kw_only=True):
    """MaterialBOM: the header of one alternative as one change made it, with the lines it had
    then. BillOfMaterialVersion is "" where the BOM has no versions."""

    BillOfMaterial: Said = UNSET
    BillOfMaterialCategory: Said = UNSET
    BillOfMaterialVariant: Said = UNSET
    BillOfMaterialVersion: Said = UNSET
    EngineeringChangeDocument: Said = UNSET
    Material: Said = UNSET
    Plant: Said = UNSET
    BillOfMaterialVariantUsage: Said = UNSET
    BOMHeaderText: Said = UNSET
    BOMAlternativeText: Said = UNSET
    BillOfMaterialStatus: Said = UNSET
    HeaderValidityStartDate: Said = UNSET
    HeaderValidityEndDate: Said = UNSET
    IsMarkedForDeletion: Mark = UNSET
    BOMHeaderBaseUnit: Said = UNSET
    BOMHeaderQuantityInBaseUnit: Said = UNSET
    to_BillOfMaterialItem: Children[BomStateItem]


class ChangeKind(Entity, frozen=True, kw_only=True):
    """A_ChangeMasterObjTypeAssgmt: a kind of objects that the number may be open to."""

    SAPObjectType: Said = UNSET
    IsActiveForChangeNumber: Mark = UNSET
    IsLockedForChanges: Said = UNSET


class ChangeMaterial(Entity, frozen=True, kw_only=True):
    """A_ChangeMstrObMgReMaterial: the record of a material."""

    Material: Said = UNSET
    ObjMgmtRecdObjIsLockedForChg: Said = UNSET


class ChangeBom(Entity, frozen=True, kw_only=True):
    """A_ChangeMstrObMgReMatlBOM: the record of a material's BOM, whatever its alternative."""

    Material: Said = UNSET
    Plant: Said = UNSET
    BillOfMaterialVariantUsage: Said = UNSET
    ObjMgmtRecdObjIsLockedForChg: Said = UNSET


class Change(Entity, frozen=True, kw_only=True):
    """A_ChangeMaster: a change number with what it is open to and what it lists.

    IsUsedForDataDefinition: objects were changed under it.
    """

    ChangeNumber: Said = UNSET
    ChangeNumberStatus: Said = UNSET
    ReasonForChangeText: Said = UNSET
    ChangeNumberDescription: Said = UNSET
    ChangeNumberValidFromDate: Said = UNSET
    ChangeNumberCreationDate: Said = UNSET
    ChangeNumberLastChangedDate: Said = UNSET
    ChangeNumberLastChgdDateTime: Said = UNSET
    IsUsedForDataDefinition: Mark = UNSET
    ChangeNumberIsMrkdForDeletion: Mark = UNSET
    to_ObjTypeAssignment: Children[ChangeKind]
    to_ChangeMstrObMgReMaterial: Children[ChangeMaterial]
    to_ChangeMstrObMgReMatlBOM: Children[ChangeBom]


class ReadBack(msgspec.Struct, Generic[Held], frozen=True):
    """What a read brought back: the entity, or all that a filter found, as the service answered it,
    or that there is none."""

    d: Held | None = None
    gone: bool = False
