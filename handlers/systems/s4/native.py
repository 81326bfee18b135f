"""The entities of S/4HANA's OData V2 services as far as they are read or written.

Field names are the vendor's. One struct is the shape of a read, of a create and of a patch: a field
that is not there is UNSET and is not sent. Decimals and dates are text in this protocol.
"""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from canonical.manners import of_id, unit_of
from canonical.members import EVERY_OTHER, Foreign
from handlers.systems.s4.words import UNITS

Text = str | UnsetType
Flag = bool | UnsetType
Day = str | UnsetType | None
"""Null is how the services write no day."""
Child = TypeVar("Child")


class Metadata(Foreign, frozen=True):
    """What the service says about an entity; etag "" where it does not lock optimistically."""

    # Its address and its type are those that were asked for.
    left_out: ClassVar = frozenset({"id", "uri", "type"})

    etag: str = ""


class Children(msgspec.Struct, Generic[Child], frozen=True, omit_defaults=True):
    """An expanded navigation; without `results` it was not expanded, which is another answer.

    next: address of the rest, where the service sent only a part.
    """

    results: tuple[Child, ...]
    next: str = msgspec.field(name="__next", default="")


class Offered(msgspec.Struct, Generic[Child], frozen=True, omit_defaults=True):
    """A navigation that a read may leave unexpanded; next: as of `Children`."""

    results: tuple[Child, ...] | UnsetType = UNSET
    next: str = msgspec.field(name="__next", default="")


# Of entities, whichever has them: words that are looked up as they are.
_WORD_FIELDS = (
    "BusinessPartnerCategory",
    "ConditionRateValueUnit",
    "Currency",
    "ProcurementType",
    "PurchaseOrderCurrency",
    "SAPObjectType",
)
# And units.
_UNIT_FIELDS = (
    "AlternativeUnit",
    "BaseUnit",
    "BillOfMaterialItemUnit",
    "BOMHeaderBaseUnit",
    "ConditionQuantityUnit",
    "ConditionScaleQuantityUnit",
    "ContrItemConsumedQuantityUnit",
    "OrderPriceUnit",
    "OrderQuantityUnit",
    "PurchaseOrderPriceUnit",
    "PurchaseOrderQuantityUnit",
    "PurgDocOrderQuantityUnit",
    "VolumeUnit",
    "WeightUnit",
)


class Entity(Foreign, frozen=True, kw_only=True):
    """Any entity. The services write no blanks around a value."""

    manners: ClassVar = {
        EVERY_OTHER: of_id,
        **dict.fromkeys(_WORD_FIELDS),
        **dict.fromkeys(_UNIT_FIELDS, unit_of(UNITS)),
    }

    metadata: Metadata | UnsetType = msgspec.field(name="__metadata", default=UNSET)


class ProductDescription(Entity, frozen=True, kw_only=True):
    """A_ProductDescription: short text (40) in one language."""

    Product: Text = UNSET
    Language: Text = UNSET
    ProductDescription: Text = UNSET


class ProductUnit(Entity, frozen=True, kw_only=True):
    """A_ProductUnitsOfMeasure: Denominator alternative units are Numerator base units."""

    Product: Text = UNSET
    AlternativeUnit: Text = UNSET
    QuantityNumerator: Text = UNSET
    QuantityDenominator: Text = UNSET


class Product(Entity, frozen=True, kw_only=True):
    """A_Product: the material as all plants see it."""

    Product: Text = UNSET
    ProductType: Text = UNSET
    CrossPlantStatus: Text = UNSET
    IsMarkedForDeletion: Flag = UNSET
    GrossWeight: Text = UNSET
    WeightUnit: Text = UNSET
    NetWeight: Text = UNSET
    ProductGroup: Text = UNSET
    ProductHierarchy: Text = UNSET
    BaseUnit: Text = UNSET
    IndustrySector: Text = UNSET
    MaterialRevisionLevel: Text = UNSET
    to_Description: Children[ProductDescription] | UnsetType = UNSET
    to_ProductUnitsOfMeasure: Children[ProductUnit] | UnsetType = UNSET


class ProductPlant(Entity, frozen=True, kw_only=True):
    """A_ProductPlant: a plant's view of the material. ProfileCode is its status in the plant."""

    Product: Text = UNSET
    Plant: Text = UNSET
    PurchasingGroup: Text = UNSET
    MRPType: Text = UNSET
    ProcurementType: Text = UNSET
    BaseUnit: Text = UNSET
    ProfileCode: Text = UNSET
    IsMarkedForDeletion: Flag = UNSET


class ChangedType(Entity, frozen=True, kw_only=True):
    """A_ChangeMasterObjTypeAssgmt: a kind of objects that may be changed under the number.

    ObjMgmtRecdIsGenerated: each object that is changed so gets a record in the change master.
    """

    ChangeNumber: Text = UNSET
    SAPObjectType: Text = UNSET
    IsActiveForChangeNumber: Flag = UNSET
    ObjMgmtRecdIsGenerated: Flag = UNSET


class ChangedMaterial(Entity, frozen=True, kw_only=True):
    """A_ChangeMstrObMgReMaterial: the record of a material that the change is about."""

    ChangeNumber: Text = UNSET
    Material: Text = UNSET


class ChangedMaterialBom(Entity, frozen=True, kw_only=True):
    """A_ChangeMstrObMgReMatlBOM: the record of a BOM that the change is about."""

    ChangeNumber: Text = UNSET
    Material: Text = UNSET
    Plant: Text = UNSET
    BillOfMaterialVariantUsage: Text = UNSET


class ChangeMaster(Entity, frozen=True, kw_only=True):
    """A_ChangeMaster: a change number with its texts (40) and its first valid day."""

    ChangeNumber: Text = UNSET
    ChangeNumberStatus: Text = UNSET
    ReasonForChangeText: Text = UNSET
    ChangeNumberDescription: Text = UNSET
    ChangeNumberValidFromDate: Text = UNSET
    IsUsedForDataDefinition: Flag = UNSET
    ChangeNumberIsMrkdForDeletion: Flag = UNSET
    to_ObjTypeAssignment: Children[ChangedType] | UnsetType = UNSET


class ChangeRecords(Entity, frozen=True, kw_only=True):
    """A_ChangeMaster as it lists what the change is about."""

    ChangeNumber: Text = UNSET
    to_ChangeMstrObMgReMaterial: Children[ChangedMaterial] | UnsetType = UNSET
    to_ChangeMstrObMgReMatlBOM: Children[ChangedMaterialBom] | UnsetType = UNSET


class BomItem(Entity, frozen=True, kw_only=True):
    """MaterialBOMItem: its quantity is for the base quantity of the header.

    Items of one group stand for each other: planning goes by their probability, withdrawals by the
    strategy and their priority.
    """

    BillOfMaterial: Text = UNSET
    BillOfMaterialCategory: Text = UNSET
    BillOfMaterialVariant: Text = UNSET
    BillOfMaterialVersion: Text = UNSET
    BillOfMaterialItemNodeNumber: Text = UNSET
    HeaderChangeDocument: Text = UNSET
    Material: Text = UNSET
    Plant: Text = UNSET
    BillOfMaterialComponent: Text = UNSET
    BillOfMaterialItemCategory: Text = UNSET
    BillOfMaterialItemNumber: Text = UNSET
    BillOfMaterialItemUnit: Text = UNSET
    BillOfMaterialItemQuantity: Text = UNSET
    FixedQuantity: Flag = UNSET
    ComponentScrapInPercent: Text = UNSET
    AlternativeItemGroup: Text = UNSET
    AlternativeItemPriority: Text = UNSET
    AlternativeItemStrategy: Text = UNSET
    UsageProbabilityPercent: Text = UNSET
    IsProductionRelevant: Flag = UNSET
    IsDeleted: Flag = UNSET


class BomHeader(Entity, frozen=True, kw_only=True):
    """MaterialBOM: one alternative of one material in one plant for one usage."""

    BillOfMaterial: Text = UNSET
    BillOfMaterialCategory: Text = UNSET
    BillOfMaterialVariant: Text = UNSET
    BillOfMaterialVersion: Text = UNSET
    EngineeringChangeDocument: Text = UNSET
    Material: Text = UNSET
    Plant: Text = UNSET
    BillOfMaterialVariantUsage: Text = UNSET
    BOMHeaderBaseUnit: Text = UNSET
    BOMHeaderQuantityInBaseUnit: Text = UNSET
    IsMarkedForDeletion: Flag = UNSET
    to_BillOfMaterialItem: Children[BomItem] | UnsetType = UNSET


class PriceScaleLine(Entity, frozen=True, kw_only=True):
    """A_PurInfoRecdPrcgCndnScale: from ConditionScaleQuantity on ConditionRateValue is charged, for
    as much as its condition record says."""

    ConditionRecord: Text = UNSET
    ConditionSequentialNumber: Text = UNSET
    ConditionScaleLine: Text = UNSET
    ConditionScaleQuantity: Text = UNSET
    ConditionScaleQuantityUnit: Text = UNSET
    ConditionRateValue: Text = UNSET
    ConditionRateValueUnit: Text = UNSET
    ConditionScaleIsDeleted: Flag = UNSET


class PriceCondition(Entity, frozen=True, kw_only=True):
    """A_PurInfoRecdPrcgCndn: a price as a condition record."""

    ConditionRecord: Text = UNSET
    ConditionSequentialNumber: Text = UNSET
    ConditionRateValue: Text = UNSET
    ConditionIsDeleted: Flag = UNSET
    to_PurgInfoPricingCndnRecdScale: Offered[PriceScaleLine] | UnsetType = UNSET


class PriceDays(Entity, frozen=True, kw_only=True):
    """A_PurInfoRecdPrcgCndnValidity: on which days a condition record of the terms counts."""

    ConditionType: Text = UNSET
    ConditionValidityEndDate: Text = UNSET
    to_PurInfoRecdPrcgCndn: PriceCondition | UnsetType | None = UNSET


class InfoRecordOrg(Entity, frozen=True, kw_only=True):
    """A_PurgInfoRecdOrgPlantData: terms of one purchasing organisation, for a plant or for all.

    NetPriceAmount is for MaterialPriceUnitQty of PurchaseOrderPriceUnit; quantities are in the
    order unit, planned delivery in days; PriceValidityEndDate is the last valid day. Tolerances
    are in percent.
    """

    PurchasingInfoRecord: Text = UNSET
    PurchasingInfoRecordCategory: Text = UNSET
    PurchasingOrganization: Text = UNSET
    Plant: Text = UNSET
    Supplier: Text = UNSET
    Material: Text = UNSET
    IsMarkedForDeletion: Flag = UNSET
    PurchasingGroup: Text = UNSET
    Currency: Text = UNSET
    MinimumPurchaseOrderQuantity: Text = UNSET
    StandardPurchaseOrderQuantity: Text = UNSET
    MaterialPlannedDeliveryDurn: Text = UNSET
    NetPriceAmount: Text = UNSET
    MaterialPriceUnitQty: Text = UNSET
    PurchaseOrderPriceUnit: Text = UNSET
    PriceValidityEndDate: Text = UNSET
    OverdelivTolrtdLmtRatioInPct: Text = UNSET
    UnderdelivTolrtdLmtRatioInPct: Text = UNSET
    UnlimitedOverdeliveryIsAllowed: Flag = UNSET
    to_PurInfoRecdPrcgCndnValidity: Offered[PriceDays] | UnsetType = UNSET


class InfoRecordGeneral(Entity, frozen=True, kw_only=True):
    """A_PurchasingInfoRecord: what all organisations share: Dnmntr order units are Nmrtr base
    units."""

    PurchasingInfoRecord: Text = UNSET
    Supplier: Text = UNSET
    Material: Text = UNSET
    IsDeleted: Flag = UNSET
    PurgDocOrderQuantityUnit: Text = UNSET
    OrderItemQtyToBaseQtyNmrtr: Text = UNSET
    OrderItemQtyToBaseQtyDnmntr: Text = UNSET
    to_PurgInfoRecdOrgPlantData: Children[InfoRecordOrg] | UnsetType = UNSET


class PlacedSchedule(Entity, frozen=True, kw_only=True):
    """A_PurchaseOrderScheduleLine: so much of the item's order unit on a day."""

    PurchasingDocument: Text = UNSET
    PurchasingDocumentItem: Text = UNSET
    ScheduleLine: Text = UNSET
    ScheduleLineDeliveryDate: Day = UNSET
    ScheduleLineOrderQuantity: Text = UNSET


class PlacedItem(Entity, frozen=True, kw_only=True):
    """A_PurchaseOrderItem: NetPriceAmount is for NetPriceQuantity of OrderPriceUnit, in the
    currency of the order."""

    PurchaseOrder: Text = UNSET
    PurchaseOrderItem: Text = UNSET
    PurchasingDocumentDeletionCode: Text = UNSET
    PurchaseOrderItemText: Text = UNSET
    Plant: Text = UNSET
    SupplierMaterialNumber: Text = UNSET
    OrderQuantity: Text = UNSET
    PurchaseOrderQuantityUnit: Text = UNSET
    OrderPriceUnit: Text = UNSET
    NetPriceAmount: Text = UNSET
    NetPriceQuantity: Text = UNSET
    IsReturnsItem: Flag | None = UNSET
    Material: Text = UNSET
    to_ScheduleLine: Children[PlacedSchedule] | UnsetType = UNSET


class PlacedOrder(Entity, frozen=True, kw_only=True):
    """A_PurchaseOrder: CorrespncInternalReference is "our reference", the number of the order where
    it was placed."""

    PurchaseOrder: Text = UNSET
    PurchaseOrderType: Text = UNSET
    PurchasingDocumentDeletionCode: Text = UNSET
    Supplier: Text = UNSET
    PurchasingOrganization: Text = UNSET
    PurchasingGroup: Text = UNSET
    PurchaseOrderDate: Day = UNSET
    DocumentCurrency: Text = UNSET
    CorrespncInternalReference: Text = UNSET
    to_PurchaseOrderItem: Children[PlacedItem] | UnsetType = UNSET


class AgreedItem(Entity, frozen=True, kw_only=True):
    """A_PurchaseContractItem: ContractNetPriceAmount is for NetPriceQuantity of OrderPriceUnit, in
    the currency of the contract; TargetQuantity is in the order unit, planned delivery in days."""

    PurchaseContract: Text = UNSET
    PurchaseContractItem: Text = UNSET
    PurchasingContractDeletionCode: Text = UNSET
    PurchaseContractItemText: Text = UNSET
    Plant: Text = UNSET
    SupplierMaterialNumber: Text = UNSET
    OrderQuantityUnit: Text = UNSET
    TargetQuantity: Text = UNSET
    OrderPriceUnit: Text = UNSET
    ContractNetPriceAmount: Text = UNSET
    NetPriceQuantity: Text = UNSET
    PlannedDeliveryDurationInDays: Text = UNSET
    Material: Text = UNSET


class AgreedContract(Entity, frozen=True, kw_only=True):
    """A_PurchaseContract: CorrespncInternalReference is "our reference", the number of the contract
    where it was agreed. Both days of its validity are in it."""

    PurchaseContract: Text = UNSET
    PurchaseContractType: Text = UNSET
    PurchasingDocumentDeletionCode: Text = UNSET
    Supplier: Text = UNSET
    PurchasingOrganization: Text = UNSET
    PurchasingGroup: Text = UNSET
    DocumentCurrency: Text = UNSET
    ValidityStartDate: Day = UNSET
    ValidityEndDate: Day = UNSET
    PurchaseContractTargetAmount: Text = UNSET
    CorrespncInternalReference: Text = UNSET
    to_PurchaseContractItem: Children[AgreedItem] | UnsetType = UNSET


class ListedSource(Entity, frozen=True, kw_only=True):
    """A_PurchasingSource: a row of the source list of a material in a plant; both days are in it.
    SupplyingPlant: another plant that it comes from."""

    Material: Text = UNSET
    Plant: Text = UNSET
    SourceListRecord: Text = UNSET
    ValidityStartDate: Day = UNSET
    ValidityEndDate: Day = UNSET
    Supplier: Text = UNSET
    PurchaseOutlineAgreement: Text = UNSET
    PurchaseOutlineAgreementItem: Text = UNSET
    SupplyingPlant: Text = UNSET
    SourceOfSupplyIsBlocked: Flag | None = UNSET
    PurchasingOrganization: Text = UNSET
    OrderQuantityUnit: Text = UNSET


class ListedSources(Entity, frozen=True, kw_only=True):
    """What several calls have told of a source list: its rows, and by which number the target knows
    each contract that the list to come names; "" where it does not."""

    rows: tuple[ListedSource, ...] = ()
    agreements: dict[str, str] = msgspec.field(default_factory=dict)


class PartnerRole(Entity, frozen=True, kw_only=True):
    """A_BusinessPartnerRole: what the partner is to us."""

    BusinessPartnerRole: Text = UNSET


class PartnerAddressUse(Entity, frozen=True, kw_only=True):
    """A_BuPaAddressUsage: what an address is used for."""

    AddressUsage: Text = UNSET


class PartnerAddress(Entity, frozen=True, kw_only=True):
    """A_BusinessPartnerAddress: Language is ISO 639."""

    BusinessPartner: Text = UNSET
    AddressID: Text = UNSET
    StreetName: Text = UNSET
    HouseNumber: Text = UNSET
    HouseNumberSupplementText: Text = UNSET
    District: Text = UNSET
    PostalCode: Text = UNSET
    CityName: Text = UNSET
    Region: Text = UNSET
    Country: Text = UNSET
    POBox: Text = UNSET
    POBoxPostalCode: Text = UNSET
    POBoxDeviatingCityName: Text = UNSET
    Language: Text = UNSET
    to_AddressUsage: Children[PartnerAddressUse] | UnsetType = UNSET


class SupplierGeneral(Entity, frozen=True, kw_only=True):
    """A_Supplier: what of a supplier all companies and purchasing organisations share."""

    Supplier: Text = UNSET
    PostingIsBlocked: Flag | None = UNSET
    PurchasingIsBlocked: Flag | None = UNSET
    DeletionIndicator: Flag | None = UNSET
    SupplierProcurementBlock: Text = UNSET


class BusinessPartner(Entity, frozen=True, kw_only=True):
    """A_BusinessPartner: Supplier is the number of the supplier that it is."""

    BusinessPartner: Text = UNSET
    Supplier: Text = UNSET
    BusinessPartnerCategory: Text = UNSET
    BusinessPartnerGrouping: Text = UNSET
    OrganizationBPName1: Text = UNSET
    OrganizationBPName2: Text = UNSET
    OrganizationBPName3: Text = UNSET
    OrganizationBPName4: Text = UNSET
    to_BusinessPartnerRole: Children[PartnerRole] | UnsetType = UNSET
    to_BusinessPartnerAddress: Children[PartnerAddress] | UnsetType = UNSET
    to_Supplier: SupplierGeneral | UnsetType | None = UNSET


class Written(Entity, frozen=True, kw_only=True):
    """What names the object in the answer to a create, whichever entity it is."""

    Product: Text = UNSET
    Material: Text = UNSET
    Plant: Text = UNSET
    Supplier: Text = UNSET
    ChangeNumber: Text = UNSET
    BillOfMaterial: Text = UNSET
    PurchasingInfoRecord: Text = UNSET
    ConditionScaleLine: Text = UNSET
    PurchaseOrder: Text = UNSET
    PurchaseOrderItem: Text = UNSET
    PurchasingDocument: Text = UNSET
    PurchasingDocumentItem: Text = UNSET
    CorrespncInternalReference: Text = UNSET
    PurchaseContract: Text = UNSET
    PurchaseContractItem: Text = UNSET
    BusinessPartner: Text = UNSET
    AddressID: Text = UNSET


class Said(msgspec.Struct, frozen=True):
    """A message text with its language."""

    value: str = ""


class Detail(msgspec.Struct, frozen=True):
    """One message of an error or of the sap-message header."""

    code: str = ""
    message: str = ""
    target: str | None = None
    severity: str = ""


class InnerError(msgspec.Struct, frozen=True):
    """The messages behind an error."""

    errordetails: tuple[Detail, ...] = ()


class Error(msgspec.Struct, frozen=True):
    """Why the service refused."""

    code: str = ""
    message: Said = Said()
    innererror: InnerError = InnerError()


class ErrorDocument(msgspec.Struct, frozen=True):
    """Body of a refusal."""

    error: Error


class Notice(Detail, frozen=True):
    """The sap-message header of a success: what the service wants to have said all the same."""

    details: tuple[Detail, ...] = ()
