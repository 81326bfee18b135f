"""What S/4HANA shows of a material, which is asked for whole, and nobody reads: properties and
navigations by the vendor's own metadata. What is not among them is news, and is told as ignored.

Entities that are read by a selection have no such list: nothing else is asked for.
"""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


PRODUCT = _names(
    """
    CrossPlantStatusValidityDate CreatedByUser LastChangedByUser ProductOldID
    PurchaseOrderQuantityUnit SourceOfSupply CountryOfOrigin CompetitorID ItemCategoryGroup
    Division VarblPurOrdUnitIsActive ANPCode Brand ProcurementRule
    ValidityStartDate LowLevelCode ProdNoInGenProdInPrepackProd SerialIdentifierAssgmtProfile
    SizeOrDimensionText IndustryStandardName InternationalArticleNumberCat ProductIsConfigurable
    IsBatchManagementRequired ExternalProductGroup CrossPlantConfigurableProduct
    SerialNoExplicitnessLevel ProductManufacturerNumber ManufacturerNumber
    ManufacturerPartProfile QltyMgmtInProcmtIsActive IndustrySector ChangeNumber
    MaterialRevisionLevel HandlingIndicator WarehouseProductGroup WarehouseStorageCondition
    StandardHandlingUnitType SerialNumberProfile AdjustmentProfile PreferredUnitOfMeasure
    IsPilferable IsRelevantForHzdsSubstances QuarantinePeriod TimeUnitForQuarantinePeriod
    QualityInspectionGroup AuthorizationGroup HandlingUnitType HasVariableTareWeight
    MaximumPackagingLength MaximumPackagingWidth MaximumPackagingHeight
    UnitForMaxPackagingDimensions to_ProductBasicText to_ProductInspectionText
    to_ProductProcurement to_ProductPurchaseText to_ProductQualityMgmt to_ProductSales
    to_ProductSalesTax to_ProductStorage to_SalesDelivery to_Valuation
    """
)

PRODUCT_PLANT = _names(
    """
    Product CountryOfOrigin RegionOfOrigin ProductionInvtryManagedLoc ProfileValidityStartDate
    AvailabilityCheckType FiscalYearVariant PeriodType ProfitCenter Commodity
    GoodsReceiptDuration MaintenanceStatusName MRPType MRPResponsible ABCIndicator
    MaximumLotSizeQuantity FixedLotSizeQuantity ConsumptionTaxCtrlCode IsCoProduct
    ProductIsConfigurable StockDeterminationGroup StockInTransferQuantity StockInTransitQuantity
    HasPostToInspectionStock IsBatchManagementRequired SerialNumberProfile
    IsNegativeStockAllowed GoodsReceiptBlockedStockQty HasConsignmentCtrl
    FiscalYearCurrentPeriod FiscalMonthCurrentPeriod IsInternalBatchManaged ProductCFOPCategory
    ProductIsExciseTaxRelevant BaseUnit ConfigurableProduct GoodsIssueUnit MaterialFreightGroup
    OriginalBatchReferenceMaterial OriglBatchManagementIsRequired ProductIsCriticalPrt
    ProductLogisticsHandlingGroup to_PlantMRPArea to_PlantQualityMgmt to_PlantSales
    to_PlantStorage to_PlantText to_ProdPlantInternationalTrade to_ProductPlantCosting
    to_ProductPlantForecast to_ProductSupplyPlanning to_ProductWorkScheduling to_StorageLocation
    """
)

# `__deferred`: the link that stands in its place where it was not asked for.
PRODUCT_PLANT_PROCUREMENT = _names("__deferred Product Plant IsAutoPurOrdCreationAllowed")

PRODUCT_UNIT = _names(
    """
    Product MaterialVolume VolumeUnit GrossWeight WeightUnit GlobalTradeItemNumber
    GlobalTradeItemNumberCategory UnitSpecificProductLength UnitSpecificProductWidth
    UnitSpecificProductHeight ProductMeasurementUnit LowerLevelPackagingUnit
    RemainingVolumeAfterNesting MaximumStackingFactor CapacityUsage BaseUnit
    to_InternationalArticleNumber
    """
)

PRODUCT_TEXT = _names("Product")
