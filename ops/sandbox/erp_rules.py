"""What the ERP stand-in insists on beyond its metadata: which objects must exist before which.

Each create function checks a Draft against the tables and stores it with its children; each check
function holds for created and updated rows alike. Refusals raise; the caller's transaction undoes.
"""

from collections.abc import Callable, Mapping

from ops.sandbox import condition_rules as conditions
from ops.sandbox import contract_rules as contracts
from ops.sandbox import order_rules as orders
from ops.sandbox import partner_rules as partners
from ops.sandbox import source_rules as sources
from ops.sandbox.erp_work import (
    Work,
    check_convertible,
    check_unit,
    english_description,
    existing_product,
    is_positive,
    not_given,
    require,
    require_in_plant,
    row_of,
    with_parent,
)
from ops.sandbox.odata import Draft, Row, date_literal
from ops.sandbox.refusal import Refused
from ops.sandbox.tables import Stored

PRODUCT_TYPES = frozenset({"FERT", "HALB", "ROH", "HAWA", "VERP", "DIEN", "SERV", "NLAG", "HERS"})
PROCUREMENT_TYPES = frozenset({"E", "F", "X", ""})  # in-house, external, both, none
INFO_CATEGORIES = frozenset({"0", "2", "3", "P"})  # standard, consignment, subcontracting, pipeline
# What a change number may be opened to.
CHANGED_OBJECTS = frozenset({"Material", "MaterialBOM", "DocumentInfoRecord"})
OPEN_END = "/Date(253402214400000)/"  # 9999-12-31


def create_product(work: Work, draft: Draft) -> Stored:
    row = draft.row
    require(draft, "Product", "ProductType", "BaseUnit")
    check_product(work, row, draft.place)
    stored = work.insert("A_Product", row)
    for children in draft.children.values():
        for child in children:
            CREATE[child.set](work, with_parent(child, Product=row["Product"]))
    return stored


def check_product(work: Work, row: Row, place: str) -> None:
    if row["ProductType"] not in PRODUCT_TYPES:
        text = f"Product type {row['ProductType']} is not defined"
        raise Refused(400, "ZSANDBOX/PRODUCT_TYPE_UNKNOWN", text, f"{place}ProductType")
    for name in ("BaseUnit", "WeightUnit", "VolumeUnit", "PurchaseOrderQuantityUnit"):
        check_unit(row, name, place)


def create_part_of_product(work: Work, draft: Draft) -> Stored:
    """A description, a unit or a plant's purchasing data of a product that exists."""
    require(draft, *work.model.find(draft.set)[1].key)
    target = f"{draft.place}Product"
    existing_product(work, draft.row["Product"], "ZSANDBOX/PRODUCT_MISSING", target)
    CHECK[draft.set](work, draft.row, draft.place)
    return work.insert(draft.set, draft.row)


def check_description(work: Work, row: Row, place: str) -> None:
    if not row.get("ProductDescription"):
        text = f"Product {row['Product']}: the description in {row['Language']} is empty"
        raise Refused(400, "ZSANDBOX/DESCRIPTION_EMPTY", text, f"{place}ProductDescription")


def check_alternative_unit(work: Work, row: Row, place: str) -> None:
    check_unit(row, "AlternativeUnit", place)
    for name in ("QuantityNumerator", "QuantityDenominator"):
        if int(str(row.get(name) or 0)) <= 0:
            text = f"Product {row['Product']}: {name} of unit {row['AlternativeUnit']} is not set"
            raise Refused(400, "ZSANDBOX/RATIO_MISSING", text, place + name)


def check_plant_procurement(work: Work, row: Row, place: str) -> None:
    code = "ZSANDBOX/PRODUCT_NOT_IN_PLANT"
    require_in_plant(work, row["Product"], row["Plant"], code, f"{place}Plant")


def create_product_plant(work: Work, draft: Draft) -> Stored:
    row = draft.row
    require(draft, "Product", "Plant")
    product = existing_product(
        work, row["Product"], "ZSANDBOX/PRODUCT_MISSING", f"{draft.place}Product"
    )
    check_product_plant(work, row, draft.place)
    stored = work.insert("A_ProductPlant", row | {"BaseUnit": product["BaseUnit"]})
    for child in draft.children.get("to_ProductPlantProcurement", []):
        CREATE[child.set](work, with_parent(child, Product=row["Product"], Plant=row["Plant"]))
    return stored


def check_product_plant(work: Work, row: Row, place: str) -> None:
    if row["Plant"] not in work.seed.plants:
        text = f"Plant {row['Plant']} is not defined"
        raise Refused(400, "ZSANDBOX/PLANT_UNKNOWN", text, f"{place}Plant")
    if row.get("ProcurementType", "") not in PROCUREMENT_TYPES:
        text = f"Procurement type {row['ProcurementType']} is not defined"
        raise Refused(400, "ZSANDBOX/PROCUREMENT_TYPE", text, f"{place}ProcurementType")
    product = work.get("A_Product", Product=row["Product"])
    base = product["BaseUnit"] if product else ""
    if row.get("BaseUnit", "") not in ("", base):
        text = f"Product {row['Product']} has base unit {base}, not {row['BaseUnit']}"
        raise Refused(400, "ZSANDBOX/BASE_UNIT", text, f"{place}BaseUnit")


def create_bom(work: Work, draft: Draft) -> Stored:
    """A BOM with its items, numbered by the ERP; one per material, plant, usage and variant."""
    require(draft, "Material", "Plant", "BillOfMaterialCategory", "BillOfMaterialVariantUsage")
    not_given(draft, "BillOfMaterial")
    where = {n: draft.row[n] for n in ("Material", "Plant", "BillOfMaterialVariantUsage")}
    where["BillOfMaterialVariant"] = draft.row.get("BillOfMaterialVariant") or "1"
    if work.tables.find("MaterialBOM", where):
        text = "A BOM exists for material {}, plant {}, usage {}, alternative {}"
        raise Refused(400, "ZSANDBOX/BOM_EXISTS", text.format(*where.values()), "Material")
    material = draft.row["Material"]
    header = existing_product(work, material, "ZSANDBOX/BOM_HEADER_MISSING", "Material")
    row: Row = {
        "BillOfMaterialVersion": "",
        "EngineeringChangeDocument": "",
        "BOMHeaderBaseUnit": header["BaseUnit"],
        "BOMHeaderQuantityInBaseUnit": "1.000",
        "BillOfMaterialStatus": "1",
        "HeaderValidityStartDate": date_literal(work.now),
        "HeaderValidityEndDate": OPEN_END,
        **draft.row,
        "BillOfMaterialVariant": where["BillOfMaterialVariant"],
        "ProductDescription": english_description(work, material),
    }
    check_bom(work, row, draft.place)
    row["BillOfMaterial"] = f"{work.tables.next_number('BillOfMaterial', first=1):08}"
    stored = work.insert("MaterialBOM", row)
    navigation = work.model.find("MaterialBOM")[1].navigation[0]
    keys = {child: row[parent] for parent, child in navigation.on.items()}
    for item in draft.children.get(navigation.name, []):
        create_bom_item(work, with_parent(item, **keys))
    return stored


def check_bom(work: Work, row: Row, place: str) -> None:
    material, plant = row["Material"], row["Plant"]
    if row["BillOfMaterialCategory"] != "M":
        text = "Only material BOMs, category M, are kept here"
        raise Refused(400, "ZSANDBOX/BOM_CATEGORY", text, f"{place}BillOfMaterialCategory")
    existing_product(work, material, "ZSANDBOX/BOM_HEADER_MISSING", f"{place}Material")
    require_in_plant(work, material, plant, "ZSANDBOX/BOM_HEADER_NOT_IN_PLANT", f"{place}Plant")
    check_convertible(work, material, row, "BOMHeaderBaseUnit", place)
    if not is_positive(row["BOMHeaderQuantityInBaseUnit"]):
        text = f"The base quantity of the BOM of {material} must be greater than zero"
        target = f"{place}BOMHeaderQuantityInBaseUnit"
        raise Refused(400, "ZSANDBOX/BOM_BASE_QUANTITY", text, target)


def create_bom_item(work: Work, draft: Draft) -> Stored:
    """An item of a BOM that exists; its node number is the ERP's, counted per BOM."""
    navigation = work.model.find("MaterialBOM")[1].navigation[0]
    require(draft, "BillOfMaterial", "Material", "Plant", "BillOfMaterialComponent",
             "BillOfMaterialItemQuantity", "BillOfMaterialItemUnit")  # fmt: skip
    not_given(draft, "BillOfMaterialItemNodeNumber")
    row = {child: "" for child in navigation.on.values()} | draft.row
    header = work.get("MaterialBOM", **{p: row[c] for p, c in navigation.on.items()})
    if header is None:
        text = f"There is no BOM {row['BillOfMaterial']} of {row['Material']} in {row['Plant']}"
        raise Refused(400, "ZSANDBOX/BOM_MISSING", text, f"{draft.place}BillOfMaterial")
    check_bom_item(work, row, draft.place)
    bom = str(row["BillOfMaterial"])
    node = work.tables.next_number(f"items of BOM {bom}", first=1)
    return work.insert(
        "MaterialBOMItem",
        {
            "BillOfMaterialItemCategory": "L",
            "BillOfMaterialItemNumber": f"{node * 10:04}",
            "ValidityStartDate": date_literal(work.now),
            "ValidityEndDate": OPEN_END,
            **row,
            "BillOfMaterialItemNodeNumber": f"{node:08}",
            "ComponentDescription": english_description(work, row["BillOfMaterialComponent"]),
        },
    )


def check_bom_item(work: Work, row: Row, place: str) -> None:
    component, target = row["BillOfMaterialComponent"], f"{place}BillOfMaterialComponent"
    existing_product(work, component, "ZSANDBOX/BOM_COMPONENT_MISSING", target)
    require_in_plant(work, component, row["Plant"], "ZSANDBOX/BOM_COMPONENT_NOT_IN_PLANT", target)
    if component == row["Material"]:
        text = f"Component {component} is the header material: the BOM is recursive"
        raise Refused(400, "ZSANDBOX/BOM_RECURSIVE", text, target)
    check_convertible(work, component, row, "BillOfMaterialItemUnit", place)


def create_info_record(work: Work, draft: Draft) -> Stored:
    """General data with its organisation data.

    The ERP keeps one number per supplier and material: a second create for them adds its
    organisation data to the record that exists.
    """
    require(draft, "Supplier", "Material")
    not_given(draft, "PurchasingInfoRecord")
    organisations = draft.children.get("to_PurgInfoRecdOrgPlantData", [])
    if not organisations:
        text = "An info record needs the data of at least one purchasing organisation"
        raise Refused(400, "ZSANDBOX/INFO_RECORD_EMPTY", text, "to_PurgInfoRecdOrgPlantData")
    product = existing_product(work, draft.row["Material"], "ZSANDBOX/PRODUCT_MISSING", "Material")
    row = {"PurgDocOrderQuantityUnit": product["BaseUnit"]} | draft.row
    row["BaseUnit"] = product["BaseUnit"]
    check_info_record(work, row, draft.place)
    where = {"Supplier": row["Supplier"], "Material": row["Material"]}
    known = work.tables.find("A_PurchasingInfoRecord", where)
    if known:
        stored = known[0]
    else:
        number = work.tables.next_number("PurchasingInfoRecord", first=5300000001)
        stored = work.insert(
            "A_PurchasingInfoRecord", row | {"PurchasingInfoRecord": f"{number:010}"}
        )
    number_row = row_of(stored)["PurchasingInfoRecord"]
    for organisation in organisations:
        create_organisation_data(work, with_parent(organisation, PurchasingInfoRecord=number_row))
    return stored


def check_info_record(work: Work, row: Row, place: str) -> None:
    partners.require_supplier(work, row["Supplier"], place)
    check_unit(row, "PurgDocOrderQuantityUnit", place)


def create_organisation_data(work: Work, draft: Draft) -> Stored:
    """Terms of one organisation and plant; unique per supplier, material and these."""
    require(draft, "PurchasingInfoRecord", "PurchasingInfoRecordCategory",
             "PurchasingOrganization")  # fmt: skip
    record = work.get(
        "A_PurchasingInfoRecord", PurchasingInfoRecord=draft.row["PurchasingInfoRecord"]
    )
    if record is None:
        text = f"There is no info record {draft.row['PurchasingInfoRecord']}"
        raise Refused(400, "ZSANDBOX/INFO_RECORD_MISSING", text, draft.place)
    unit = draft.row.get("PurgDocOrderQuantityUnit") or record["PurgDocOrderQuantityUnit"]
    row: Row = {
        "Plant": "",
        "MaterialPriceUnitQty": "1",
        "PurchaseOrderPriceUnit": unit,
        "PriceValidityEndDate": OPEN_END,
        **draft.row,
        "PurgDocOrderQuantityUnit": unit,
        "Supplier": record["Supplier"],
        "Material": record["Material"],
    }
    check_organisation_data(work, row, draft.place)
    unique = ("Supplier", "Material", "PurchasingOrganization", "Plant")
    where = {name: row[name] for name in (*unique, "PurchasingInfoRecordCategory")}
    if known := work.tables.find("A_PurgInfoRecdOrgPlantData", where):
        text = "Info record {} exists for supplier {}, material {}, organisation {}, plant {}"
        values = (known[0].row["PurchasingInfoRecord"], *(row[name] for name in unique))
        raise Refused(400, "ZSANDBOX/INFO_RECORD_EXISTS", text.format(*values), draft.place)
    stored = work.insert("A_PurgInfoRecdOrgPlantData", row)
    conditions.keep_condition(work, row_of(stored))
    return stored


def check_organisation_data(work: Work, row: Row, place: str) -> None:
    organisation, plant = str(row["PurchasingOrganization"]), row["Plant"]
    plants = work.seed.purchasing_organizations.get(organisation)
    if plants is None:
        text = f"Purchasing organisation {organisation} is not defined"
        target = f"{place}PurchasingOrganization"
        raise Refused(400, "ZSANDBOX/PURCHASING_ORGANIZATION", text, target)
    if row["PurchasingInfoRecordCategory"] not in INFO_CATEGORIES:
        text = f"Info record category {row['PurchasingInfoRecordCategory']} is not defined"
        raise Refused(400, "ZSANDBOX/INFO_RECORD_CATEGORY", text, place)
    if plant:
        if plant not in plants:
            text = f"Purchasing organisation {organisation} does not buy for plant {plant}"
            raise Refused(400, "ZSANDBOX/PLANT_UNKNOWN", text, f"{place}Plant")
        code = "ZSANDBOX/PRODUCT_NOT_IN_PLANT"
        require_in_plant(work, row["Material"], plant, code, f"{place}Plant")
    check_unit(row, "PurchaseOrderPriceUnit", place)
    if is_positive(row.get("NetPriceAmount")) and not row.get("Currency"):
        text = f"The price of {row['Material']} has no currency"
        raise Refused(400, "ZSANDBOX/CURRENCY_MISSING", text, f"{place}Currency")
    if not is_positive(row["MaterialPriceUnitQty"]):
        text = f"The price unit of {row['Material']} must be at least 1"
        raise Refused(400, "ZSANDBOX/PRICE_UNIT", text, f"{place}MaterialPriceUnitQty")


def create_change(work: Work, draft: Draft) -> Stored:
    """A change number of the client's own, with what it is open to and what it lists."""
    require(draft, "ChangeNumber", "ChangeNumberStatus", "ChangeNumberValidFromDate")
    number = str(draft.row["ChangeNumber"])
    if number != number.upper():
        text = f"Change number {number} is not in capital letters"
        raise Refused(400, "ZSANDBOX/CHANGE_NUMBER", text, f"{draft.place}ChangeNumber")
    check_change(work, draft.row, draft.place)
    stored = work.insert("A_ChangeMaster", draft.row)
    for children in draft.children.values():
        for child in children:
            CREATE[child.set](work, with_parent(child, ChangeNumber=number))
    return stored


def check_change(work: Work, row: Row, place: str) -> None:
    """A day under which objects were changed already stays."""
    held = work.get("A_ChangeMaster", ChangeNumber=row["ChangeNumber"])
    name = "ChangeNumberValidFromDate"
    if held and held["IsUsedForDataDefinition"] and held[name] != row[name]:
        text = f"Change number {row['ChangeNumber']} is used: its validity can only be shifted"
        raise Refused(400, "ZSANDBOX/CHANGE_IN_USE", text, place + name)


def create_part_of_change(work: Work, draft: Draft) -> Stored:
    """A kind of objects that the number is open to, or one object that it lists."""
    require(draft, *work.model.find(draft.set)[1].key)
    number = draft.row["ChangeNumber"]
    if work.get("A_ChangeMaster", ChangeNumber=number) is None:
        text = f"Change number {number} does not exist"
        raise Refused(400, "ZSANDBOX/CHANGE_MISSING", text, f"{draft.place}ChangeNumber")
    CHECK[draft.set](work, draft.row, draft.place)
    return work.insert(draft.set, draft.row)


def check_changed_type(work: Work, row: Row, place: str) -> None:
    if row["SAPObjectType"] not in CHANGED_OBJECTS:
        text = f"Object type {row['SAPObjectType']} is not defined"
        raise Refused(400, "ZSANDBOX/OBJECT_TYPE", text, f"{place}SAPObjectType")


def check_changed_material(work: Work, row: Row, place: str) -> None:
    existing_product(work, row["Material"], "ZSANDBOX/PRODUCT_MISSING", f"{place}Material")


def check_changed_bom(work: Work, row: Row, place: str) -> None:
    where = {n: row[n] for n in ("Material", "Plant", "BillOfMaterialVariantUsage")}
    if not work.tables.find("MaterialBOM", where):
        text = "There is no BOM for material {}, plant {}, usage {}"
        raise Refused(400, "ZSANDBOX/BOM_MISSING", text.format(*where.values()), f"{place}Material")


CREATE: Mapping[str, Callable[[Work, Draft], Stored]] = {
    "A_Product": create_product,
    "A_ProductDescription": create_part_of_product,
    "A_ProductUnitsOfMeasure": create_part_of_product,
    "A_ProductPlant": create_product_plant,
    "A_ProductPlantProcurement": create_part_of_product,
    "MaterialBOM": create_bom,
    "MaterialBOMItem": create_bom_item,
    "A_PurchasingInfoRecord": create_info_record,
    "A_PurgInfoRecdOrgPlantData": create_organisation_data,
    **dict.fromkeys(
        (conditions.VALIDITIES, conditions.CONDITIONS, conditions.SUPPLEMENTS),
        conditions.only_by_price,
    ),
    conditions.SCALES: conditions.create_scale,
    "A_ChangeMaster": create_change,
    "A_ChangeMasterObjTypeAssgmt": create_part_of_change,
    "A_ChangeMstrObMgReMaterial": create_part_of_change,
    "A_ChangeMstrObMgReMatlBOM": create_part_of_change,
    "A_PurchaseOrder": orders.create_order,
    "A_PurchaseOrderItem": orders.create_item,
    "A_PurchaseOrderScheduleLine": orders.create_line,
    "A_BusinessPartner": partners.create_partner,
    "A_BusinessPartnerRole": partners.create_role,
    "A_BusinessPartnerAddress": partners.create_address,
    **dict.fromkeys(partners.SEEDED, partners.only_seeded),
    "A_PurchaseContract": contracts.create_contract,
    "A_PurchaseContractItem": contracts.create_item,
    "A_PurchasingSource": sources.create_source,
}
CHECK: Mapping[str, Callable[[Work, Row, str], None]] = {
    "A_Product": check_product,
    "A_ProductDescription": check_description,
    "A_ProductUnitsOfMeasure": check_alternative_unit,
    "A_ProductPlant": check_product_plant,
    "A_ProductPlantProcurement": check_plant_procurement,
    "MaterialBOM": check_bom,
    "MaterialBOMItem": check_bom_item,
    "A_PurchasingInfoRecord": check_info_record,
    "A_PurgInfoRecdOrgPlantData": check_organisation_data,
    **dict.fromkeys(
        (conditions.VALIDITIES, conditions.CONDITIONS, conditions.SUPPLEMENTS),
        conditions.check_by_price,
    ),
    conditions.SCALES: conditions.check_scale,
    "A_ChangeMaster": check_change,
    "A_ChangeMasterObjTypeAssgmt": check_changed_type,
    "A_ChangeMstrObMgReMaterial": check_changed_material,
    "A_ChangeMstrObMgReMatlBOM": check_changed_bom,
    "A_PurchaseOrder": orders.check_order,
    "A_PurchaseOrderItem": orders.check_item,
    "A_PurchaseOrderScheduleLine": orders.check_line,
    "A_BusinessPartner": partners.check_partner,
    "A_BusinessPartnerRole": partners.check_part,
    "A_BusinessPartnerAddress": partners.check_address,
    **dict.fromkeys(partners.SEEDED, partners.check_seeded),
    "A_Supplier": partners.check_supplier,
    "A_PurchaseContract": contracts.check_contract,
    "A_PurchaseContractItem": contracts.check_item,
    "A_PurchasingSource": sources.check_source,
}
# What follows from an update, and deletions that are more or less than one of the row.
SETTLE: Mapping[str, Callable[[Work, Row], None]] = {
    "A_PurgInfoRecdOrgPlantData": conditions.keep_condition,
    "A_PurchaseOrderItem": orders.settle_item,
    "A_PurchaseOrderScheduleLine": orders.settle_line,
}
DELETE: Mapping[str, Callable[[Work, Stored], None]] = {
    "A_PurchaseOrder": orders.delete_order,
    "A_PurchaseOrderItem": orders.delete_item,
    "A_PurchaseOrderScheduleLine": orders.delete_line,
}
