"""What the ERP stand-in insists on of purchase contracts.

An item that is taken out stays, with a deletion code. What is there takes changes in batches only,
which stands in the metadata.
"""

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
    with_parent,
)
from ops.sandbox.odata import Draft, Row
from ops.sandbox.partner_rules import require_supplier, require_unblocked
from ops.sandbox.refusal import Refused
from ops.sandbox.tables import Stored

QUANTITY, VALUE = "MK", "WK"
DELETED = "L"
ITEM_CODES = frozenset({"", "S", DELETED})  # nothing, blocked, taken out
# Where a contract may be changed: active, release completed; seeded ones may tell no status.
APPROVED = frozenset({"", "02", "05"})
CONTRACTS, ITEMS = "A_PurchaseContract", "A_PurchaseContractItem"


def create_contract(work: Work, draft: Draft) -> Stored:
    """A contract with its items, numbered by the ERP."""
    require(draft, "PurchaseContractType", "Supplier", "PurchasingOrganization", "PurchasingGroup",
            "DocumentCurrency", "ValidityStartDate", "ValidityEndDate")  # fmt: skip
    not_given(draft, "PurchaseContract")
    items = draft.children.get("to_PurchaseContractItem", [])
    if not items:
        text = "A purchase contract needs at least one item"
        raise Refused(400, "ZSANDBOX/CONTRACT_EMPTY", text, "to_PurchaseContractItem")
    row: Row = {
        "CompanyCode": draft.row["PurchasingOrganization"],
        **draft.row,
        "PurchasingProcessingStatus": "02",
        "PurchasingProcessingStatusName": "Active",
    }
    check_contract(work, row, draft.place)
    row["PurchaseContract"] = str(work.tables.next_number("PurchaseContract", first=4600000001))
    stored = work.insert(CONTRACTS, row)
    for item in items:
        create_item(work, with_parent(item, PurchaseContract=row["PurchaseContract"]))
    return stored


def check_contract(work: Work, row: Row, place: str) -> None:
    held = work.get(CONTRACTS, PurchaseContract=row.get("PurchaseContract", ""))
    if held is not None:
        _check_open(held, place)
    if row["PurchaseContractType"] not in (QUANTITY, VALUE):
        text = f"Purchasing document type {row['PurchaseContractType']} is not defined"
        raise Refused(400, "ZSANDBOX/CONTRACT_TYPE", text, f"{place}PurchaseContractType")
    require_supplier(work, row["Supplier"], place)
    require_unblocked(work, row["Supplier"], place)
    organisation = str(row["PurchasingOrganization"])
    if organisation not in work.seed.purchasing_organizations:
        text = f"Purchasing organisation {organisation} is not defined"
        target = f"{place}PurchasingOrganization"
        raise Refused(400, "ZSANDBOX/PURCHASING_ORGANIZATION", text, target)
    check_days(row, place)
    amount = "PurchaseContractTargetAmount"
    if row["PurchaseContractType"] == VALUE and not is_positive(row.get(amount)):
        text = "A value contract needs a target value"
        raise Refused(400, "ZSANDBOX/CONTRACT_TARGET", text, place + amount)


def create_item(work: Work, draft: Draft) -> Stored:
    """An item of a contract that exists."""
    require(draft, "PurchaseContract", "PurchaseContractItem", "Material")
    material = draft.row["Material"]
    target = f"{draft.place}Material"
    product = existing_product(work, material, "ZSANDBOX/CONTRACT_MATERIAL_MISSING", target)
    contract = _contract(work, draft.row["PurchaseContract"], draft.place)
    unit = draft.row.get("OrderQuantityUnit") or product["BaseUnit"]
    row: Row = {
        "PurchaseContractItemText": english_description(work, material),
        "OrderPriceUnit": unit,
        "NetPriceQuantity": "1",
        **draft.row,
        "OrderQuantityUnit": unit,
        "DocumentCurrency": contract["DocumentCurrency"],
    }
    check_item(work, row, draft.place)
    return work.insert(ITEMS, row)


def check_item(work: Work, row: Row, place: str) -> None:
    contract = _contract(work, row["PurchaseContract"], place)
    key = {name: row[name] for name in ("PurchaseContract", "PurchaseContractItem")}
    held = work.get(ITEMS, **key)
    if held is not None and held["PurchasingContractDeletionCode"] == DELETED:
        text = f"Item {row['PurchaseContractItem']} of its contract is deleted"
        raise Refused(400, "ZSANDBOX/CONTRACT_ITEM_DELETED", text, f"{place}PurchaseContractItem")
    deletion = row.get("PurchasingContractDeletionCode") or ""
    if deletion not in ITEM_CODES:
        text = f"Deletion code {deletion} is not defined"
        target = f"{place}PurchasingContractDeletionCode"
        raise Refused(400, "ZSANDBOX/DELETION_CODE", text, target)
    if plant := row.get("Plant"):
        organisation = str(contract["PurchasingOrganization"])
        if plant not in work.seed.purchasing_organizations.get(organisation, ()):
            text = f"Purchasing organisation {organisation} does not buy for plant {plant}"
            raise Refused(400, "ZSANDBOX/PLANT_UNKNOWN", text, f"{place}Plant")
        code = "ZSANDBOX/PRODUCT_NOT_IN_PLANT"
        require_in_plant(work, row["Material"], plant, code, f"{place}Plant")
    check_convertible(work, row["Material"], row, "OrderQuantityUnit", place)
    check_unit(row, "OrderPriceUnit", place)
    if not is_positive(row.get("NetPriceQuantity")):
        text = f"The price unit of item {row['PurchaseContractItem']} must be at least 1"
        raise Refused(400, "ZSANDBOX/PRICE_UNIT", text, f"{place}NetPriceQuantity")
    is_of_quantity = contract["PurchaseContractType"] == QUANTITY
    if is_of_quantity and not is_positive(row.get("TargetQuantity")):
        text = f"Item {row['PurchaseContractItem']} of a quantity contract needs a target quantity"
        raise Refused(400, "ZSANDBOX/CONTRACT_TARGET", text, f"{place}TargetQuantity")


def check_days(row: Row, place: str) -> None:
    """What is valid ends on the day on which it begins, or later."""
    first, last = row["ValidityStartDate"], row["ValidityEndDate"]
    if first and last and _moment(last) < _moment(first):
        text = "The end of validity lies before its start"
        raise Refused(400, "ZSANDBOX/VALIDITY", text, f"{place}ValidityEndDate")


def require_agreement(work: Work, row: Row, place: str) -> None:
    """The agreement that a row of a source list names is with its supplier, on its material."""
    number, item = row.get("PurchaseOutlineAgreement"), row.get("PurchaseOutlineAgreementItem")
    if not number:
        return
    contract = work.get(CONTRACTS, PurchaseContract=number)
    if contract is None or contract["Supplier"] != row["Supplier"]:
        text = f"There is no agreement {number} with supplier {row['Supplier']}"
        target = f"{place}PurchaseOutlineAgreement"
        raise Refused(400, "ZSANDBOX/AGREEMENT_MISSING", text, target)
    held = work.get(ITEMS, PurchaseContract=number, PurchaseContractItem=item)
    if held is None or held["Material"] != row["Material"]:
        text = f"Agreement {number} has no item {item} of material {row['Material']}"
        target = f"{place}PurchaseOutlineAgreementItem"
        raise Refused(400, "ZSANDBOX/AGREEMENT_ITEM_MISSING", text, target)


def _contract(work: Work, number: object, place: str) -> Row:
    contract = work.get(CONTRACTS, PurchaseContract=str(number))
    if contract is None:
        text = f"There is no contract {number}"
        raise Refused(400, "ZSANDBOX/CONTRACT_MISSING", text, f"{place}PurchaseContract")
    _check_open(contract, place)
    return contract


def _check_open(contract: Row, place: str) -> None:
    """A contract takes changes until it is deleted, and while nobody has to approve it."""
    number = contract["PurchaseContract"]
    if contract["PurchasingDocumentDeletionCode"] == DELETED:
        text = f"Contract {number} is deleted"
        raise Refused(400, "ZSANDBOX/CONTRACT_DELETED", text, f"{place}PurchaseContract")
    if contract["PurchasingProcessingStatus"] not in APPROVED:
        text = f"Contract {number} is in approval and cannot be changed"
        raise Refused(400, "ZSANDBOX/CONTRACT_IN_APPROVAL", text, f"{place}PurchaseContract")


def _moment(day: object) -> int:
    """Milliseconds of an Edm.DateTime that has passed the metadata."""
    return int(str(day).removeprefix("/Date(").removesuffix(")/"))
