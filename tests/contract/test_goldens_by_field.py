"""Goldens of answers and rows against their input, field by field, read without the drivers.

What a golden has to say is written down here as the person reads it in the input; what says nothing
("", null, false, an empty list) is left out on both sides. So a field that is dropped, made up or
put in the wrong place is noticed, whatever the driver thinks. Packages have tests of their own.
"""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.corpus import CORPUS

Content = dict[str, Any]
Expected = list[tuple[str, str, Content]]

EACH = "H87"


def bare(value: Any) -> Any:
    """Without what says nothing."""
    if isinstance(value, Mapping):
        inside = {name: bare(one) for name, one in value.items()}
        return {name: one for name, one in inside.items() if one not in ("", None, False, [], {})}
    return [bare(one) for one in value] if isinstance(value, list) else value


def plain(number: str | float) -> str:
    """A number as canonical texts have it: 250.00 is 250."""
    return f"{Decimal(str(number)).normalize():f}"


def of(number: str | float, unit: str) -> Content:
    return {"value": plain(number), "unit": unit}


def price(amount: str, currency: str, per: str = "1", unit: str = EACH) -> Content:
    return {"amount": {"amount": plain(amount), "currency": currency}, "per": of(per, unit)}


def utc(text: str) -> str:
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return moment.isoformat().replace("+00:00", "Z")


def micros(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000_000)


def odata_micros(text: str) -> int:
    """Microseconds of a date of OData: /Date(1570712345678+0000)/."""
    return int(text.removeprefix("/Date(").partition(")")[0].partition("+")[0]) * 1_000


def odata_day(text: str) -> str | None:
    """None for the end of all days."""
    day = datetime.fromtimestamp(odata_micros(text) / 1_000_000, UTC).date().isoformat()
    return None if day.startswith("9999") else day


# --- Arena ---


def arena_item(said: Any, _: Content) -> Expected:
    item, bom = said["item"], said["bom"]["results"]
    made, first, second, refused = said["sourcing"]["results"]
    assert made["makeItem"]
    parts = {part["guid"]: part for part in said["supplierItems"]}
    firms = {firm["guid"]: firm for firm in said["suppliers"]}
    attributes = {each["name"]: each["value"] for each in item["additionalAttributes"]}
    units = {each["guid"]: each["uom"].lower() for each in said["components"]}
    known = {"each": EACH, "gram": "GRM"}

    def part(relation: Any, name: str) -> Any:
        return parts[relation[name]["guid"]]

    def firm(relation: Any, name: str) -> Any:
        return firms[part(relation, name)["supplier"]["guid"]]

    # Both rows are the same part of one maker: its rank, share and use are those of the better one.
    assert part(first, "mfrItem") is part(second, "mfrItem")
    makers = [
        {
            "manufacturer": firm(first, "mfrItem")["name"],
            "part": part(first, "mfrItem")["number"],
            "status": "approved",
            "rank": second["amlRank"],
            "note": first["notes"],
            "split_percent": second["amlSplit"],
            "active": ["prototype"],
        },
        {
            "manufacturer": firm(refused, "mfrItem")["name"],
            "part": part(refused, "mfrItem")["number"],
            "status": "disapproved",
            "note": refused["notes"],
        },
    ]
    vendors = [
        {
            "supplier": firm(row, "vendorItem")["supplierId"],
            "part": part(row, "vendorItem")["number"],
            "status": "approved",
            "to_base": {"numerator": row["vendorItemConversionFactor"], "denominator": 1},
            "note": row["notes"],
            "split_percent": row["amlSplit"],
            "active": ["prototype"] if row["activePrototype"] else [],
        }
        for row in (first, second)
    ]
    designators: dict[str | None, list[str]] = {
        "R15,R6,R10-12": ["R15", "R6", "R10", "R11", "R12"],
        "C03-C04": ["C03", "C04"],
        None: [],
    }
    lines = [
        {
            "position": str(row["lineNumber"]),
            "component": row["item"]["number"],
            "quantity": of(row["quantity"], known[units[row["item"]["guid"]]]),
            "reference_designators": designators[row["refDes"]],
            "note": row["notes"],
        }
        for row in bom
    ]
    released = {
        "number": item["number"],
        # Letters follow upon numbers, and C is the third of them.
        "revision": {
            "scheme": "prototype_then_production",
            "label": item["revisionNumber"],
            "ordinal": 1_000_003,
        },
        "lifecycle": "released",
        "description": item["name"],
        "kind": item["assemblyType"].lower(),
        "procurement": "make",
        "base_unit": known[item["uom"]],
        "family": attributes["Product Line"],
        "category": item["category"]["name"],
        "phase": item["lifecyclePhase"]["name"],
        "manufacturers": makers,
        "released_at": item["effectiveDateTime"],
        "source_id": item["guid"],
        "suppliers": vendors,
        "classes": [{"scheme": "arena-category", "code": item["category"]["name"]}],
    }
    structure = {
        "parent": item["number"],
        "revision": item["revisionNumber"],
        "base": of(1, known[item["uom"]]),
        "lines": lines,
        "released_at": item["effectiveDateTime"],
    }
    number = item["number"]
    return [
        ("item.released", f"item/{number}", released),
        ("bom.released", f"bom/{number}", structure),
    ]


def arena_change(said: Any, _: Content) -> Expected:
    change, rows = said["change"], said["changeItems"]["results"]
    attributes = {each["name"]: each["value"] for each in change["additionalAttributes"]}
    stocks = {
        "On Order": "on_order",
        "WIP": "in_process",
        "Finished Goods": "finished",
        "In the Field": "in_field",
        "In Stock": "in_stock",
    }
    phases = {"In Production": "released", "Obsolete": "obsolete", "In Design": "in_design"}
    affected = [
        {
            "item": row["newItemRevision"]["number"],
            "new_revision": row["newRevisionNumber"],
            "old_revision": (row["affectedItemRevision"] or {}).get("revisionNumber"),
            "lifecycle": phases.get((row["newLifecyclePhase"] or {}).get("name", "")),
            "dispositions": [
                {"stock": stocks[each["name"]], "action": each["value"]}
                for each in row.get("dispositionAttributes", [])
                if each["value"]
            ],
        }
        for row in rows
    ]
    number = change["number"]
    released = {
        "number": number,
        "version": micros(change["lifecycleDateTime"]),
        "status": change["lifecycleStatus"]["type"].lower(),
        "title": change["title"],
        "affected": affected,
        "description": change["description"],
        "category": change["category"]["name"],
        "urgency": attributes["Urgency"],
        "family": attributes["Product Line"],
        "plants": attributes["Plants"],
        "requester": change["creator"]["fullName"],
        "released_at": change["lifecycleDateTime"],
        "effectivity": {
            "kind": "date",
            "start": change["effectiveDateTime"],
            "zone": "America/Los_Angeles",
        },
        "source_id": change["guid"],
        "notice": f"{said['event']['integration']}/{said['event']['guid']}",
    }
    effective = {
        "number": number,
        "title": change["title"],
        "status": change["lifecycleStatus"]["type"].lower(),
        "stated_at": change["lifecycleDateTime"],
    }
    key = f"engineering-change/{number}"
    return [
        ("engineering-change.released", key, released),
        ("engineering-change.effective", key, effective),
    ]


def arena_supplier(said: Any, headers: Content) -> Expected:
    supplier = said["supplier"]
    stated = {
        "number": supplier["supplierId"],
        "name": supplier["name"],
        "active": True,
        "qualification": {"status": "qualified", "stated_as": supplier["approvalStatus"]},
        "source_id": supplier["guid"],
        "stated_at": headers["time"],
    }
    return [("supplier.changed", f"supplier/{supplier['supplierId']}", stated)]


def arena_gone(said: Any, headers: Content) -> Expected:
    case = {
        "code": "gone-at-plm",
        "word": "business_rule",
        "what": f"Arena has no {said['kind']} with the guid {said['id']} any more;"
        " nothing of it is on record",
        "owner": "engineering",
    }
    return [("case", headers["subject"], case)]


# --- Coupa ---


def coupa_supplier(said: Any, headers: Content) -> Expected:
    [supplier] = said
    fields = supplier["custom-fields"]
    [site, _keyless] = supplier["supplier-sites"]
    [paid_at] = supplier["remit-to-addresses"]
    [scoped] = fields["qualifications"]
    [paper] = scoped["certificates"]
    stated = {
        "number": supplier["number"],
        "name": supplier["name"],
        "active": supplier["status"] == "active",
        "qualification": {
            "status": "in_qualification",
            "stated_as": fields["qualification-status"],
        },
        "source_id": str(supplier["id"]),
        "stated_at": utc(headers["time"]),
        "qualifications": [
            {
                "status": "qualified",
                "category": scoped["category"],
                "plant": scoped["plant"],
                "valid_from": scoped["valid-from"],
                "valid_until": scoped["valid-until"],
                "certificates": [
                    {
                        "name": paper["name"],
                        "number": paper["number"],
                        "valid_until": paper["valid-until"],
                    }
                ],
                "preferred_level": scoped["preferred-level"],
                "stated_as": scoped["status"],
            }
        ],
        "sites": [
            {"code": str(paid_at["id"]), "name": paid_at["name"], "roles": ["remit_to"]},
            {
                "code": site["code"],
                "name": site["name"],
                "roles": ["ordering", "manufacturing"],
                "plants": site["custom-fields"]["plants"],
                "regions": site["custom-fields"]["regions"],
                "active": True,
            },
        ],
    }
    return [("supplier.changed", f"supplier/{supplier['number']}", stated)]


def coupa_supplier_read(said: Any, _: Content) -> Expected:
    held = said["object"]
    return coupa_supplier([held], {"time": held["updated-at"]})


def coupa_gone(said: Any, headers: Content) -> Expected:
    assert said == {"gone": True}
    about = headers["subject"]
    case = {
        "code": "gone-at-procurement",
        "word": "business_rule",
        "what": f"Procurement has no supplier with the id {about.split('/')[1]} any more;"
        " what is on record of it stays as it was",
        "owner": "purchasing",
    }
    return [("case", about, case)]


def coupa_contract(said: Any, _: Content) -> Expected:
    stated = {
        "number": said["number"],
        "version": micros(said["updated-at"]),
        "supplier": said["supplier"]["number"],
        "status": "active",
        "first_day": said["start-date"][:10],
        "last_day": said["end-date"][:10],
        "kind": "value",
        "currency": said["currency"]["code"],
        "lines": [
            {
                "line": str(line.get("id", place)),
                "item": line["item-number"],
                "order_unit": EACH,
                "price": price(
                    line["price"], line["currency"]["code"], line.get("price-unit-quantity", "1")
                ),
                "minimum": of(line["minimum-order-quantity"], EACH)
                if "minimum-order-quantity" in line
                else None,
                "first_day": line.get("start-date"),
                "lead_time_days": line.get("lead-time"),
            }
            for place, line in enumerate(said["lines"], start=1)
        ],
        "title": said["name"],
        "target_value": {"amount": plain(said["maximum-value"]), "currency": "EUR"},
        "stated_as": said["status"],
        "source_id": str(said["id"]),
        "stated_at": utc(said["updated-at"]),
    }
    # The only line that states an end has that of all days.
    assert {line.get("end-date", "9999-12-31") for line in said["lines"]} == {"9999-12-31"}
    return [("contract.changed", f"contract/{said['number']}", stated)]


def coupa_contracts(said: Any, headers: Content) -> Expected:
    agreed, draft = said
    assert draft["status"] == "draft"
    line = agreed["lines"][0]
    covered = {
        "item": line["item-number"],
        "lines": [
            {
                "contract": agreed["number"],
                "supplier": agreed["supplier"]["number"],
                "price": price(
                    line["price"], line["currency"]["code"], line["price-unit-quantity"]
                ),
                "order_unit": EACH,
                "first_day": line["start-date"],
                "last_day": line["end-date"],
                "lead_time_days": line["lead-time"],
                "minimum_quantity": line["minimum-order-quantity"],
            }
        ],
        "stated_at": utc(headers["time"]),
    }
    return [("sourcing.changed", headers["subject"], covered)]


def coupa_review(said: Any, _: Content) -> Expected:
    _, change, supplier = said["external-ref"].split(":")
    decided = {
        "change": change,
        "supplier": supplier,
        "verdict": said["verdict"],
        "by": said["decided-by"]["fullname"],
        "reason": said["decision-reason"],
        "at": utc(said["updated-at"]),
    }
    return [("supplier-review.decided", f"supplier-review/{change}:{supplier}", decided)]


def coupa_order(said: Any, _: Content) -> Expected:
    [line] = said["order-lines"]
    quantity = of(line["quantity"], EACH)
    stated = {
        "number": said["po-number"],
        "version": micros(said["updated-at"]),
        "supplier": said["supplier"]["number"],
        "currency": said["currency"]["code"],
        "lines": [
            {
                "line": line["line-num"],
                "item": line["item"]["item-number"],
                "quantity": quantity,
                "price": price(line["price"], line["currency"]["code"]),
                "plant": said["ship-to-address"]["location-code"],
                "supplier_item": line["source-part-num"],
                "description": line["description"],
                "contract": line["contract"]["number"],
                "schedule": [{"quantity": quantity, "on": line["need-by-date"][:10]}],
            }
        ],
        "payment_terms": said["payment-term"]["code"],
        "ordered_on": said["created-at"][:10],
        "source_id": str(said["id"]),
        "stated_at": utc(said["updated-at"]),
        "status": "open",
    }
    return [("purchase-order.created", f"purchase-order/{said['po-number']}", stated)]


# --- Tryton ---


def tryton_micros(*records: Content) -> int:
    """When one of them was changed last."""
    return max(tryton_time(record["write_date"] or record["create_date"]) for record in records)


def tryton_time(said: Content) -> int:
    clock = f"{said['hour']:02}:{said['minute']:02}:{said['second']:02}.{said['microsecond']:06}"
    return micros(f"{tryton_day(said)}T{clock}Z")


def tryton_product(said: Any, headers: Content) -> Expected:
    held = said["object"]
    template = held["template."]
    assert (held["active"], template["active"]) == (True, True)
    stated = {
        "number": held["code"],
        "version": tryton_micros(held, template),
        "base_unit": {"u": EACH}[template["default_uom."]["symbol"]],
        "kind": template["type"],
        "descriptions": {"EN": template["name"]},
        "is_deleted": False,
        "source_id": str(held["id"]),
        "stated_at": utc(headers["time"]),
    }
    return [("item.changed", f"item-master/{held['code']}", stated)]


def tryton_gone(said: Any, headers: Content) -> Expected:
    assert said == {"gone": True}
    about = headers["subject"]
    case = {
        "code": "gone-at-erp",
        "word": "business_rule",
        "what": f"Tryton has no product with the id {about.split('/')[1]} any more;"
        " what is on record of it stays as it was",
        "owner": "master data",
    }
    return [("case", about, case)]


def tryton_day(said: Content) -> str:
    return f"{said['year']:04}-{said['month']:02}-{said['day']:02}"


def tryton_purchase(said: Any, headers: Content) -> Expected:
    held = said["object"]
    assert held["state"] == "confirmed"
    currency = held["currency."]["code"]
    stated = {
        "number": held["number"],
        "version": tryton_micros(held, *held["lines."]),
        "supplier": held["party."]["code"],
        "currency": currency,
        "lines": [
            {
                "line": str(line["sequence"]),
                "item": line["product."]["code"],
                "quantity": of(f"{line['quantity']:g}", EACH),
                "price": price(line["unit_price"]["decimal"], currency),
                "description": line["description"] or "",
                "schedule": [
                    {
                        "quantity": of(f"{line['quantity']:g}", EACH),
                        "on": tryton_day(line["delivery_date"]),
                    }
                ],
            }
            for line in held["lines."]
        ],
        "organisation": held["company."]["party."]["code"],
        "ordered_on": tryton_day(held["purchase_date"]),
        "source_id": str(held["id"]),
        "stated_at": utc(headers["time"]),
        "status": "open",
    }
    return [("purchase-order.created", f"purchase-order/{held['number']}", stated)]


# --- S/4HANA ---


def s4_bom(said: Any, headers: Content) -> Expected:
    [bom] = said["d"]["results"]
    stated = {
        "plant": bom["Plant"],
        "parent": bom["Material"],
        "usage": bom["BillOfMaterialVariantUsage"],
        "alternative": bom["BillOfMaterialVariant"],
        "version": micros(headers["time"]),
        "base": of(bom["BOMHeaderQuantityInBaseUnit"], EACH),
        "lines": [
            {
                "position": line["BillOfMaterialItemNumber"].lstrip("0"),
                "component": line["BillOfMaterialComponent"],
                "quantity": of(line["BillOfMaterialItemQuantity"], EACH),
            }
            for line in bom["to_BillOfMaterialItem"]["results"]
        ],
        "valid_from": odata_day(bom["HeaderValidityStartDate"]),
        "status": bom["BillOfMaterialStatus"],
        "source_id": bom["Material"],
        "stated_at": utc(headers["time"]),
    }
    key = "/".join((bom["Plant"], stated["usage"], stated["alternative"], bom["Material"]))
    return [("bom.changed", f"plant-bom/{key}", stated)]


def s4_change_master(said: Any, headers: Content) -> Expected:
    change = said["d"]
    seal, number = change["to_ChangeMstrObMgReMaterial"]["results"]
    [structure] = change["to_ChangeMstrObMgReMatlBOM"]["results"]
    stated = {
        "number": change["ChangeNumber"],
        "version": odata_micros(change["ChangeNumberLastChgdDateTime"]),
        "description": change["ChangeNumberDescription"],
        "reason": change["ReasonForChangeText"],
        "valid_from": odata_day(change["ChangeNumberValidFromDate"]),
        "status": "active",
        "open_to": ["item"],
        "locked": ["bom"],
        "objects": [
            {"kind": "item", "item": number["Material"].lstrip("0"), "is_locked": True},
            {"kind": "item", "item": seal["Material"]},
            {
                "kind": "bom",
                "item": structure["Material"],
                "plant": structure["Plant"],
                "usage": structure["BillOfMaterialVariantUsage"],
            },
        ],
        "is_used": change["IsUsedForDataDefinition"],
        "stated_as": change["ChangeNumberStatus"],
        "source_id": change["ChangeNumber"],
        "stated_at": utc(headers["time"]),
    }
    return [("change-master.changed", headers["subject"], stated)]


def s4_contract(said: Any, headers: Content) -> Expected:
    contract = said["d"]
    seal, painting, deleted = contract["to_PurchaseContractItem"]["results"]
    assert deleted["PurchasingContractDeletionCode"] == "L"
    units = {"KAR": "XCT", "PC": EACH}
    unit = units[seal["OrderQuantityUnit"]]
    stated = {
        "number": contract["PurchaseContract"],
        "version": odata_micros(contract["LastChangeDateTime"]),
        "supplier": contract["Supplier"].lstrip("0"),
        "status": contract["PurchasingProcessingStatusName"].lower(),
        "first_day": odata_day(contract["ValidityStartDate"]),
        "last_day": odata_day(contract["ValidityEndDate"]),
        "kind": "quantity",
        "currency": contract["DocumentCurrency"],
        "lines": [
            {
                "line": seal["PurchaseContractItem"].lstrip("0"),
                "item": seal["Material"].lstrip("0"),
                "order_unit": unit,
                "price": price(
                    seal["ContractNetPriceAmount"],
                    seal["DocumentCurrency"],
                    seal["NetPriceQuantity"],
                    units[seal["OrderPriceUnit"]],
                ),
                "target": of(seal["TargetQuantity"], unit),
                "released": of(seal["ContractItemConsumedQuantity"], unit),
                "lead_time_days": int(seal["PlannedDeliveryDurationInDays"]),
                "plants": [seal["Plant"]],
                "supplier_item": seal["SupplierMaterialNumber"],
                "description": seal["PurchaseContractItemText"],
            },
            {
                "line": painting["PurchaseContractItem"].lstrip("0"),
                "description": painting["PurchaseContractItemText"],
                "is_blocked": painting["PurchasingContractDeletionCode"] == "S",
            },
        ],
        "organisation": contract["PurchasingOrganization"],
        "payment_terms": contract["PaymentTerms"],
        "incoterms": contract["IncotermsClassification"],
        "incoterms_place": contract["IncotermsLocation1"],
        "target_value": {
            "amount": plain(contract["PurchaseContractTargetAmount"]),
            "currency": contract["DocumentCurrency"],
        },
        "stated_as": contract["PurchasingProcessingStatusName"],
        "source_id": contract["PurchaseContract"],
        "stated_at": utc(headers["time"]),
    }
    return [("contract.changed", headers["subject"], stated)]


def s4_info_record(said: Any, headers: Content) -> Expected:
    record = said["d"]
    [terms] = record["to_PurgInfoRecdOrgPlantData"]["results"]
    [days] = terms["to_PurInfoRecdPrcgCndnValidity"]["results"]
    priced = days["to_PurInfoRecdPrcgCndn"]
    charged = price(
        priced["ConditionRateValue"], priced["ConditionRateValueUnit"], priced["ConditionQuantity"]
    )
    stated = {
        "supplier": record["Supplier"],
        "item": record["Material"],
        "organisation": terms["PurchasingOrganization"],
        "plant": terms["Plant"],
        "category": "standard",
        "version": odata_micros(record["CreationDate"]),
        "number": record["PurchasingInfoRecord"],
        "is_regular_supplier": record["IsRegularSupplier"],
        "order_unit": EACH,
        "purchasing_group": terms["PurchasingGroup"],
        "currency": terms["Currency"],
        "price": price(terms["NetPriceAmount"], terms["Currency"], terms["MaterialPriceUnitQty"]),
        "price_until": odata_day(terms["PriceValidityEndDate"]),
        "lead_time_days": int(terms["MaterialPlannedDeliveryDurn"]),
        "standard": of(terms["StandardPurchaseOrderQuantity"], EACH),
        "under_tolerance": plain(terms["UnderdelivTolrtdLmtRatioInPct"]),
        "over_tolerance": plain(terms["OverdelivTolrtdLmtRatioInPct"]),
        "source_id": record["Material"],
        "stated_at": utc(headers["time"]),
        "prices": [
            {"first_day": "0001-01-01"},
            {
                "first_day": odata_day(days["ConditionValidityStartDate"]),
                "last_day": odata_day(days["ConditionValidityEndDate"]),
                "price": charged,
            },
        ],
    }
    key = "/".join(
        (
            record["Supplier"],
            terms["PurchasingOrganization"],
            terms["Plant"],
            "standard",
            record["Material"],
        )
    )
    return [("info-record.changed", f"info-record/{key}", stated)]


def s4_order(said: Any, headers: Content) -> Expected:
    order = said["d"]
    [item] = order["to_PurchaseOrderItem"]["results"]
    [delivery] = item["to_ScheduleLine"]["results"]
    stated = {
        "number": order["PurchaseOrder"],
        "version": odata_micros(order["CreationDate"]),
        "supplier": order["Supplier"],
        "currency": order["DocumentCurrency"],
        "lines": [
            {
                "line": item["PurchaseOrderItem"],
                "item": item["Material"],
                "quantity": of(item["OrderQuantity"], EACH),
                "price": price(
                    item["NetPriceAmount"], item["DocumentCurrency"], item["NetPriceQuantity"]
                ),
                "plant": item["Plant"],
                "description": item["PurchaseOrderItemText"],
                "schedule": [
                    {
                        "quantity": of(delivery["ScheduleLineOrderQuantity"], EACH),
                        "on": odata_day(delivery["ScheduleLineDeliveryDate"]),
                    }
                ],
            }
        ],
        "organisation": order["PurchasingOrganization"],
        "kind": order["PurchaseOrderType"],
        "payment_terms": order["PaymentTerms"],
        "ordered_on": odata_day(order["PurchaseOrderDate"]),
        "source_id": order["PurchaseOrder"],
        "stated_at": utc(headers["time"]),
        "status": "open",
    }
    return [("purchase-order.created", headers["subject"], stated)]


def s4_partner(said: Any, headers: Content) -> Expected:
    partner = said["d"]
    supplier = partner["to_Supplier"]
    [address] = partner["to_BusinessPartnerAddress"]["results"]
    [buying] = supplier["to_SupplierPurchasingOrg"]["results"]
    number = partner["Supplier"]
    stated = {
        "number": number,
        "version": odata_micros(partner["LastChangeDate"]),
        "name": partner["OrganizationBPName1"],
        "street": address["StreetName"],
        "postal_code": address["PostalCode"],
        "city": address["CityName"],
        "region": address["Region"],
        "country": address["Country"],
        "language": address["Language"],
        "account_group": supplier["SupplierAccountGroup"],
        "organisations": [
            {
                "organisation": buying["PurchasingOrganization"],
                "currency": buying["PurchaseOrderCurrency"],
                "payment_terms": buying["PaymentTerms"],
                "purchasing_group": buying["PurchasingGroup"],
            }
        ],
        "source_id": number,
        "stated_at": utc(headers["time"]),
    }
    return [("supplier-master.changed", f"supplier-master/{number}", stated)]


def s4_product(said: Any, headers: Content) -> Expected:
    product = said["d"]
    [plant] = product["to_Plant"]["results"]
    [unit] = product["to_ProductUnitsOfMeasure"]["results"]
    hours = {"H": "HUR"}
    stated = {
        "number": product["Product"],
        "version": odata_micros(product["LastChangeDateTime"]),
        "base_unit": hours[product["BaseUnit"]],
        "kind": product["ProductType"],
        "group": product["ProductGroup"],
        "descriptions": {
            text["Language"]: text["ProductDescription"]
            for text in product["to_Description"]["results"]
        },
        "alternates": [
            {
                "unit": hours[unit["AlternativeUnit"]],
                "ratio": {
                    "numerator": int(unit["QuantityNumerator"]),
                    "denominator": int(unit["QuantityDenominator"]),
                },
            }
        ],
        "plants": [
            {
                "plant": plant["Plant"],
                "procurement": "buy",
                "purchasing_group": plant["PurchasingGroup"],
            }
        ],
        "source_id": product["Product"],
        "stated_at": utc(headers["time"]),
    }
    return [("item.changed", headers["subject"], stated)]


def s4_source_list(said: Any, headers: Content) -> Expected:
    first, second = said["d"]["results"]
    stated = {
        "item": first["Material"],
        "plant": first["Plant"],
        "version": micros(headers["time"]),
        "sources": [
            {
                "first_day": odata_day(first["ValidityStartDate"]),
                "last_day": odata_day(first["ValidityEndDate"]),
                "supplier": first["Supplier"].lstrip("0"),
                "organisation": first["PurchasingOrganization"],
                "contract": first["PurchaseOutlineAgreement"],
                "contract_line": first["PurchaseOutlineAgreementItem"].lstrip("0"),
                "order_unit": EACH,
                "is_fixed": first["SourceOfSupplyIsFixed"],
            },
            {
                "first_day": odata_day(second["ValidityStartDate"]),
                "supplier": second["Supplier"],
                "organisation": second["PurchasingOrganization"],
            },
        ],
        "source_id": first["Material"],
        "stated_at": utc(headers["time"]),
    }
    return [("source-list.changed", headers["subject"], stated)]


# --- rows ---


def source_rows(said: Any, _: Content) -> Expected:
    lists: dict[tuple[str, str], list[Content]] = {}
    for row in said:
        lists.setdefault((row["Plant"], row["Material"]), []).append(row)

    def day(text: str) -> str | None:
        day, month, year = text.split(".")
        return None if year == "9999" else f"{year}-{month}-{day}"

    # Midnight in Berlin, in winter, of the day that all of them name.
    assert {row["Changed"] for row in said} == {"02.03.2026"}
    changed = "2026-03-01T23:00:00Z"
    return [
        (
            "source-list.changed",
            f"source-list/{plant}/{item}",
            {
                "item": item,
                "plant": plant,
                "version": micros(changed),
                "sources": [
                    {
                        "first_day": day(row["From"]),
                        "last_day": day(row["To"]),
                        "supplier": row["Vendor"],
                        "contract": row["Agreement"],
                        "contract_line": row["Line"],
                        "is_fixed": row["Fixed"] == "X",
                        "is_blocked": row["Blocked"] == "X",
                    }
                    for row in rows
                ],
                "stated_at": changed,
            },
        )
        for (plant, item), rows in lists.items()
    ]


READ: Mapping[str, Callable[[Any, Content], Expected]] = {
    "arena/change.json": arena_change,
    "arena/gone.json": arena_gone,
    "arena/item.json": arena_item,
    "arena/supplier.json": arena_supplier,
    "coupa/contract-of-value.json": coupa_contract,
    "coupa/contract.json": coupa_contract,
    "coupa/contracts.json": coupa_contracts,
    "coupa/contract-read.json": lambda said, _: coupa_contract(said["object"], {}),
    "coupa/order.json": coupa_order,
    "coupa/review.json": coupa_review,
    "coupa/order-read.json": lambda said, _: coupa_order(said["object"], {}),
    "coupa/supplier.json": coupa_supplier,
    "coupa/supplier-gone.json": coupa_gone,
    "coupa/supplier-read.json": coupa_supplier_read,
    "s4/bom.answer.json": s4_bom,
    "s4/change-master.made.json": s4_change_master,
    "s4/contract.made.json": s4_contract,
    "s4/info-record.answer.json": s4_info_record,
    "s4/order.answer.json": s4_order,
    "s4/partner.answer.json": s4_partner,
    "s4/product.answer.json": s4_product,
    "s4/source-list.made.json": s4_source_list,
    "table/sources.csv": source_rows,
    "tryton/product.json": tryton_product,
    "tryton/product-gone.json": tryton_gone,
    "tryton/purchase.json": tryton_purchase,
}
# Goldens that say something and are held to their input elsewhere.
ELSEWHERE: Mapping[str, str] = {
    "pdx/coupling.made": "tests/unit/handlers/test_pdx_goldens.py",
    "pdx/gearbox": "tests/unit/handlers/test_pdx_goldens.py",
    "pdx/subassembly": "tests/unit/handlers/test_pdx_goldens.py",
    "idoc/aleaud.made": "tests/unit/handlers/test_idoc_status.py",
    "idoc/bommat.made": "tests/unit/handlers/test_idoc_bill_of_material.py",
    "idoc/cond_a.made": "tests/unit/handlers/test_idoc_condition.py",
    "idoc/cremas.made": "tests/unit/handlers/test_idoc_supplier.py",
    "idoc/infrec.made": "tests/unit/handlers/test_idoc_info_record.py",
    "idoc/matmas": "tests/unit/handlers/test_idoc_material.py",
    "idoc/orders": "tests/unit/handlers/test_idoc_orders.py",
    "idoc/ordrsp": "tests/unit/handlers/test_idoc_orders.py",
    "idoc/status.made": "tests/unit/handlers/test_idoc_status.py",
    "table/contracts": "tests/unit/handlers/test_table.py",
    "table/holds": "tests/unit/handlers/test_table.py",
    "table/items": "tests/unit/handlers/test_table.py",
    "table/orders": "tests/unit/handlers/test_table.py",
    "table/structure": "tests/unit/handlers/test_table.py",
    "table/suppliers": "tests/unit/handlers/test_table.py",
}


def golden_of(name: str) -> Any:
    return json.loads((CORPUS / f"{name.rpartition('.')[0]}.golden.json").read_text())


def content_of(name: str) -> Any:
    text = (CORPUS / name).read_text()
    if name.endswith(".csv"):
        return list(csv.DictReader(text.splitlines(), delimiter=";"))
    return json.loads(text)


def headers_of(name: str) -> Content:
    path = CORPUS / f"{name.rpartition('.')[0]}.headers.toml"
    return tomllib.loads(path.read_text()) if path.is_file() else {}


@pytest.mark.parametrize("name", READ)
def test_a_golden_says_what_its_input_says_and_nothing_else(name: str) -> None:
    expected = READ[name](content_of(name), headers_of(name))
    assert [[*event[:2], bare(event[2])] for event in golden_of(name)] == [
        [event, key, bare(said)] for event, key, said in expected
    ]


def test_every_golden_that_says_something_is_held_to_its_input() -> None:
    names = {
        str(path.relative_to(CORPUS)).removesuffix(".golden.json")
        for path in CORPUS.rglob("*.golden.json")
        # What we wrote ourselves is held to what it was written of: test_written_files.py.
        if ".written." not in path.name and json.loads(path.read_text())
    }
    here = {name.rpartition(".")[0] for name in READ}
    assert names == here | ELSEWHERE.keys()
    assert not here & ELSEWHERE.keys()
    for name, file in ELSEWHERE.items():
        text = (CORPUS.parents[1] / file).read_text()
        assert name.rpartition("/")[2].removesuffix(".made") in text, name
