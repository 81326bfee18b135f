"""What of a package is read, or is left out on purpose, by element; everything else is told.

Left out is who exported, owns or wrote what, and what another element says of the same. Of custom
fields the names are told by `native`, which knows those that are read.
"""

from __future__ import annotations

from handlers.systems.xml_document import Known


def _element(attributes: str = "", /, **below: Known | None) -> Known:
    return Known(frozenset(attributes.split()), below)


_CUSTOM = _element(
    "groupLabel",
    AdditionalAttribute=_element("name value dataType dataTypeOther description"),
)
_ATTACHMENT = _element(
    "universalResourceIdentifier fileIdentifier versionIdentifer versionIdentifier description"
    " referenceName globalMimeTypeQualifierCode fileSize attachmentModificationDate"
    # Its location says so.
    " isFileIn"
)
_LINE = _element(
    "proprietarySequenceIdentifier billOfMaterialItemIdentifier billOfMaterialItemUniqueIdentifier"
    " revisionIdentifier itemQuantity globalBillOfMaterialTypeCode"
    " globalBillOfMaterialTypeCodeOther globalProductQuantityTypeCode"
    " globalProductQuantityTypeCodeOther notes"
    # Of the component, which says it as an item.
    " description",
    AdditionalAttributes=_CUSTOM,
    ReferenceDesignators=_element(ReferenceDesignator=_element("referenceDesignatorName")),
    AlternateItems=_element(
        AlternateItem=_element("itemIdentifier itemUniqueIdentifier globalPreferredStatusCode")
    ),
    # Any of them refuses the line.
    SerialNumbers=_element(
        SerialNumberRange=_element("firstSerialNumber lastSerialNumber increment sequenceNumber"),
        SerialNumberIdentification=_element("sequenceNumber ProprietarySerialIdentifier"),
    ),
)
_MAKER = _element(
    "manufacturedBy manufacturerContactUniqueIdentifier manufacturerPartUniqueIdentifier"
    " manufacturerPartIdentifier globalManufacturerPartStatusCode"
    " globalManufacturerPartStatusCodeOther globalPreferredStatusCode description",
    AdditionalAttributes=_CUSTOM,
)
_ITEM = _element(
    "itemIdentifier itemUniqueIdentifier revisionIdentifier revisionReleasedDate"
    " globalLifeCyclePhaseCode globalLifeCyclePhaseCodeOther globalProductTypeCode"
    " proprietaryProductFamily category description globalProductUnitOfMeasureCode makeBuy"
    " makeBuyOther isTopLevel"
    " ownerName ownerContactUniqueIdentifier",
    AdditionalAttributes=_CUSTOM,
    BillOfMaterial=_element(BillOfMaterialItem=_LINE),
    ApprovedManufacturerList=_element(ApprovedManufacturerListItem=_MAKER),
    Attachments=_element(Attachment=_ATTACHMENT),
)
_AFFECTED = _element(
    "itemIdentifier itemUniqueIdentifier oldRevision newRevision effectiveDate obsoleteDate"
    " manufacturingSite globalLifeCyclePhaseCode globalLifeCyclePhaseCodeOther disposition"
    # Of the item.
    " description",
    AdditionalAttributes=_CUSTOM,
)
_CHANGE = _element(
    "changeNumber globalEngineeringChangeStatusCode globalEngineeringChangeStatusCodeOther"
    " changeStatusDate changeType description changeReason requestReason changeOriginatedByName"
    " changeOriginatedByContactUniqueIdentifier changeOwnerName changeOwnerContactUniqueIdentifier",
    AdditionalAttributes=_CUSTOM,
    AffectedItems=_element(AffectedItem=_AFFECTED),
)
_PART = _element(
    "manufacturerPartUniqueIdentifier manufacturerName"
    # The items that it is approved for say the rest.
    " manufacturerPartIdentifier manufacturerContactUniqueIdentifier description owner"
    " ownerContactUniqueIdentifier isTopLevel",
    # Who sells it is procurement's to say.
    ApprovedSupplierList=None,
)

PACKAGE = _element(
    "thisDocumentIdentifier thisDocumentGenerationDateTime"
    " thisDocumentModificationDateTime thisDocumentCopyright originatedByContactName"
    " originatedByContactUniqueIdentifier packageType dataSource description",
    Items=_element(Item=_ITEM),
    Changes=_element(Change=_CHANGE),
    ManufacturerParts=_element(ManufacturerPart=_PART),
    # A maker's name is read; the rest of it is an address book.
    Contacts=_element(Contact=None),
)
