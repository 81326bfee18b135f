"""Make the metadata files of this folder from the vendor's published service descriptions.

Run by hand when a description changes (README.md says how and from where); nothing imports it.
Facts only are kept: names, types, sizes, keys and what may be written. Texts stay behind.
"""

import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
EDM = "{http://schemas.microsoft.com/ado/2008/09/edm}"
SAP = "{http://www.sap.com/Protocols/SAPData}"

# The OpenAPI files tell these types apart only by their example value.
DATE_EXAMPLE, TIMESTAMP_EXAMPLE = "/Date(1492041600000)/", "/Date(1492098664000)/"
TIME_EXAMPLE = "PT15H51M04S"

BOM_TO_ITEM = {
    "BillOfMaterial": "BillOfMaterial",
    "BillOfMaterialCategory": "BillOfMaterialCategory",
    "BillOfMaterialVariant": "BillOfMaterialVariant",
    "BillOfMaterialVersion": "BillOfMaterialVersion",
    "EngineeringChangeDocument": "HeaderChangeDocument",
    "Material": "Material",
    "Plant": "Plant",
}
INFO_RECORD = {"PurchasingInfoRecord": "PurchasingInfoRecord"}
TERMS = {
    name: name
    for name in (
        "PurchasingInfoRecord",
        "PurchasingInfoRecordCategory",
        "PurchasingOrganization",
        "Plant",
    )
}
CONDITION = {"ConditionRecord": "ConditionRecord"}
ORDER = {"PurchaseOrder": "PurchaseOrder"}
ITEM_TO_SCHEDULE = {
    "PurchaseOrder": "PurchasingDocument",
    "PurchaseOrderItem": "PurchasingDocumentItem",
}
PARTNER = {"BusinessPartner": "BusinessPartner"}
ADDRESS = {"BusinessPartner": "BusinessPartner", "AddressID": "AddressID"}
SUPPLIER = {"Supplier": "Supplier"}
PRODUCT = {"Product": "Product"}
PRODUCT_PLANT = {"Product": "Product", "Plant": "Plant"}

# set -> navigation property -> (target set, many, parent property -> child property)
NAVIGATION: Mapping[str, Mapping[str, tuple[str, bool, Mapping[str, str]]]] = {
    "A_Product": {
        "to_Description": ("A_ProductDescription", True, PRODUCT),
        "to_Plant": ("A_ProductPlant", True, PRODUCT),
        "to_ProductUnitsOfMeasure": ("A_ProductUnitsOfMeasure", True, PRODUCT),
    },
    "A_ProductDescription": {},
    "A_ProductPlant": {
        "to_ProductPlantProcurement": ("A_ProductPlantProcurement", False, PRODUCT_PLANT),
    },
    "A_ProductPlantProcurement": {},
    "A_ProductUnitsOfMeasure": {},
    "MaterialBOM": {"to_BillOfMaterialItem": ("MaterialBOMItem", True, BOM_TO_ITEM)},
    "MaterialBOMItem": {},
    "A_PurchasingInfoRecord": {
        "to_PurgInfoRecdOrgPlantData": ("A_PurgInfoRecdOrgPlantData", True, INFO_RECORD),
    },
    "A_PurgInfoRecdOrgPlantData": {
        "to_PurgInfoRecd": ("A_PurchasingInfoRecord", False, INFO_RECORD),
        "to_PurInfoRecdPrcgCndnValidity": ("A_PurInfoRecdPrcgCndnValidity", True, TERMS),
    },
    "A_PurInfoRecdPrcgCndnValidity": {
        "to_PurInfoRecdPrcgCndn": ("A_PurInfoRecdPrcgCndn", False, CONDITION),
    },
    "A_PurchaseOrder": {"to_PurchaseOrderItem": ("A_PurchaseOrderItem", True, ORDER)},
    "A_PurchaseOrderItem": {
        "to_ScheduleLine": ("A_PurchaseOrderScheduleLine", True, ITEM_TO_SCHEDULE),
    },
    "A_PurchaseOrderScheduleLine": {},
    "A_BusinessPartner": {
        "to_BusinessPartnerAddress": ("A_BusinessPartnerAddress", True, PARTNER),
        "to_BusinessPartnerRole": ("A_BusinessPartnerRole", True, PARTNER),
        "to_Supplier": ("A_Supplier", False, SUPPLIER),
    },
    "A_BusinessPartnerAddress": {"to_AddressUsage": ("A_BuPaAddressUsage", True, ADDRESS)},
    "A_BuPaAddressUsage": {},
    "A_BusinessPartnerRole": {},
    "A_Supplier": {
        "to_SupplierCompany": ("A_SupplierCompany", True, SUPPLIER),
        "to_SupplierPurchasingOrg": ("A_SupplierPurchasingOrg", True, SUPPLIER),
    },
    "A_SupplierCompany": {},
    "A_SupplierPurchasingOrg": {},
}
# The OpenAPI file of the BOM service lists one path only; the vendor's manual allows these.
DELETABLE_BY_MANUAL = {"MaterialBOM", "MaterialBOMItem"}


def from_edmx(path: Path, sets: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The named sets of an OData V2 EDMX file, in the order given."""
    root = ET.parse(path).getroot()
    types = {e.get("Name", ""): e for e in root.iter(f"{EDM}EntityType")}
    published = {e.get("Name", ""): e for e in root.iter(f"{EDM}EntitySet")}
    for name in sets:
        type_name = published[name].get("EntityType", "")
        entity = types[type_name.rpartition(".")[2]]
        key = [ref.get("Name", "") for ref in entity.iter(f"{EDM}PropertyRef")]
        properties = [_edmx_property(p, key) for p in entity.findall(f"{EDM}Property")]
        offered = {n.get("Name", "") for n in entity.findall(f"{EDM}NavigationProperty")}
        deletable = published[name].get(f"{SAP}deletable") != "false"
        yield _entity_set(name, type_name, key, deletable, offered, properties)


def _edmx_property(element: ET.Element, key: list[str]) -> dict[str, Any]:
    name = element.get("Name", "")
    size = {
        field: int(value)
        for field, attribute in (
            ("max_length", "MaxLength"),
            ("precision", "Precision"),
            ("scale", "Scale"),
        )
        if (value := element.get(attribute)) and element.get("Type") not in TIME_TYPES
    }
    return _property(
        name,
        element.get("Type", ""),
        size,
        nullable=element.get("Nullable") != "false",
        creatable=element.get(f"{SAP}creatable") != "false" or name in key,
        updatable=element.get(f"{SAP}updatable") != "false" and name not in key,
    )


# Their precision is that of seconds.
TIME_TYPES = {"Edm.DateTime", "Edm.DateTimeOffset", "Edm.Time"}


def from_openapi(path: Path, service: str, sets: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The named sets of an OpenAPI description of an OData V2 service.

    Keys are the properties that are not nullable. A key counts as creatable even where the create
    schema leaves it out: for the BOM sets it does, though Material and Plant must be sent.
    """
    text = path.read_text(encoding="utf-8")
    try:
        document = json.loads(text)
    except json.JSONDecodeError:  # the BOM file lost its last brace on the way
        document = json.loads(text + "}")
    components = document.get("components") or document["paths"]["components"]
    schemas = components["schemas"]
    for name in sets:
        type_name = f"{service}.{name}Type"
        fields = schemas[type_name]["properties"]
        creatable = set(schemas[f"{type_name}-create"]["properties"])
        updatable = set(schemas[f"{type_name}-update"]["properties"])
        plain = {n: f for n, f in fields.items() if not _is_navigation(f)}
        key = [n for n, f in plain.items() if not f.get("nullable")]
        properties = [
            _property(
                n,
                *_edm_type(f),
                nullable=bool(f.get("nullable")),
                creatable=n in creatable or n in key,
                updatable=n in updatable and n not in key,
            )
            for n, f in plain.items()
        ]
        deletable = name in DELETABLE_BY_MANUAL or _is_deletable(document, name)
        yield _entity_set(name, type_name, key, deletable, set(fields), properties)


def _is_deletable(document: Mapping[str, Any], name: str) -> bool:
    """Whether the path of one entity of the set has a DELETE."""
    one = f"/{name}("
    return any(
        "delete" in path
        for at, path in document["paths"].items()
        if at.startswith(one) and at.endswith(")")
    )


def _is_navigation(field: Mapping[str, Any]) -> bool:
    return "$ref" in field or "allOf" in field or field.get("type") == "object"


def _edm_type(field: Mapping[str, Any]) -> tuple[str, dict[str, int]]:
    kind, form, example = field.get("type"), field.get("format"), field.get("example")
    if kind == "boolean":
        return "Edm.Boolean", {}
    if form == "uuid":
        return "Edm.Guid", {}
    if form == "decimal":
        scale = max(0, -int(Decimal(str(field["multipleOf"])).as_tuple().exponent))
        digits = str(Decimal(str(field["maximum"]))).replace(".", "")
        return "Edm.Decimal", {"precision": len(digits), "scale": scale}
    if example == DATE_EXAMPLE:
        return "Edm.DateTime", {}
    if example == TIMESTAMP_EXAMPLE:
        return "Edm.DateTimeOffset", {}
    if example == TIME_EXAMPLE:
        return "Edm.Time", {}
    if kind == "string" and "maxLength" in field:
        return "Edm.String", {"max_length": field["maxLength"]}
    raise ValueError(f"no Edm type for {dict(field)!r}")


def _property(
    name: str,
    edm_type: str,
    size: Mapping[str, int],
    *,
    nullable: bool,
    creatable: bool,
    updatable: bool,
) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "type": edm_type, **size}
    # The usual answer, yes, is left out to keep the files readable.
    entry |= {} if nullable else {"nullable": False}
    entry |= {} if creatable else {"creatable": False}
    entry |= {} if updatable else {"updatable": False}
    return entry


def _entity_set(
    name: str,
    type_name: str,
    key: list[str],
    deletable: bool,
    offered: set[str],
    properties: list[dict[str, Any]],
) -> dict[str, Any]:
    missing = NAVIGATION[name].keys() - offered
    if missing:
        raise ValueError(f"{name} does not offer {sorted(missing)}")
    navigation = [
        {"name": n, "set": target, "many": many, "on": dict(on)}
        for n, (target, many, on) in NAVIGATION[name].items()
    ]
    return {
        "name": name,
        "type": type_name,
        "key": key,
        "deletable": deletable,
        "navigation": navigation,
        "properties": properties,
    }


def write(path: Path, header: Mapping[str, str], sets: Iterator[dict[str, Any]]) -> None:
    """Leaves one service in `path`, a property a line so that a diff can be read."""
    lines = ["{", *(f"  {json.dumps(k)}: {json.dumps(v)}," for k, v in header.items())]
    blocks = []
    for entity in sets:
        head = [f"      {json.dumps(k)}: {json.dumps(v)}," for k, v in list(entity.items())[:-1]]
        rows = ",\n".join(f"        {json.dumps(p)}" for p in entity["properties"])
        block = ["    {", *head, '      "properties": [', rows, "      ]", "    }"]
        blocks.append("\n".join(block))
    lines += ['  "sets": [', ",\n".join(blocks), "  ]", "}"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(source: Path, target: Path = HERE) -> None:
    """Leaves all files but those by hand in `target`, from a folder with `edmx/` and `openapi/`."""
    write(
        target / "product.json",
        {"service": "API_PRODUCT_SRV", "version": "", "licence": "Apache-2.0"},
        from_edmx(
            source / "edmx/API_PRODUCT_SRV.edmx",
            ("A_Product", "A_ProductDescription", "A_ProductPlant",
             "A_ProductPlantProcurement", "A_ProductUnitsOfMeasure"),
        ),
    )  # fmt: skip
    bom = "API_BILL_OF_MATERIAL_SRV"
    write(
        target / "bill_of_material.json",
        {"service": bom, "version": "0002", "licence": "MIT"},
        from_openapi(source / f"openapi/{bom}_0002.openapi.json", bom,
                     ("MaterialBOM", "MaterialBOMItem")),
    )  # fmt: skip
    info = "API_INFORECORD_PROCESS_SRV"
    write(
        target / "info_record.json",
        {"service": info, "version": "", "licence": "MIT"},
        from_openapi(source / f"openapi/{info}_0001.openapi.json", info,
                     ("A_PurchasingInfoRecord", "A_PurgInfoRecdOrgPlantData",
                      "A_PurInfoRecdPrcgCndnValidity")),
    )  # fmt: skip
    order = "API_PURCHASEORDER_PROCESS_SRV"
    write(
        target / "purchase_order.json",
        {"service": order, "version": "", "licence": "MIT"},
        from_openapi(source / f"openapi/{order}_0001.openapi.json", order,
                     ("A_PurchaseOrder", "A_PurchaseOrderItem", "A_PurchaseOrderScheduleLine")),
    )  # fmt: skip
    write(
        target / "business_partner.json",
        {"service": "API_BUSINESS_PARTNER", "version": "", "licence": "Apache-2.0"},
        from_edmx(
            source / "edmx/API_BUSINESS_PARTNER.edmx",
            ("A_BusinessPartner", "A_BusinessPartnerAddress", "A_BuPaAddressUsage",
             "A_BusinessPartnerRole", "A_Supplier", "A_SupplierCompany", "A_SupplierPurchasingOrg"),
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
