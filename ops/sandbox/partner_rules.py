"""What the ERP stand-in insists on of business partners and of the suppliers that they are.

A supplier has the number of its partner. Views of companies and purchasing organisations are kept
by people: they are seeded.
"""

from ops.sandbox.erp_work import Work, require, with_parent
from ops.sandbox.odata import Draft, Row
from ops.sandbox.refusal import Refused
from ops.sandbox.tables import Stored

PARTNERS, ROLES, SUPPLIERS = "A_BusinessPartner", "A_BusinessPartnerRole", "A_Supplier"
ADDRESSES, USAGES = "A_BusinessPartnerAddress", "A_BuPaAddressUsage"
SEEDED = (SUPPLIERS, USAGES, "A_SupplierCompany", "A_SupplierPurchasingOrg")
SUPPLIER_ROLE = "FLVN01"
EXTERNAL_NUMBERS = "BPEE"
STANDARD = "XXDEFAULT"
OPEN_END = "/Date(253402300799000+0000)/"
NAMES = {
    "1": "LastName",
    "2": "OrganizationBPName1",
    "3": "GroupBusinessPartnerName1",
}  # person, organisation, group
ROLE_NAMES = frozenset({"FLCU00", "FLCU01", "FLVN00", SUPPLIER_ROLE})


def create_partner(work: Work, draft: Draft) -> Stored:
    """A partner with its roles and addresses, and the supplier that one of the roles makes it."""
    require(draft, "BusinessPartner", "BusinessPartnerCategory", "BusinessPartnerGrouping")
    number = draft.row["BusinessPartner"]
    if draft.row["BusinessPartnerGrouping"] != EXTERNAL_NUMBERS:
        text = f"Grouping {draft.row['BusinessPartnerGrouping']} takes no number from outside"
        raise Refused(400, "ZSANDBOX/PARTNER_GROUPING", text, "BusinessPartnerGrouping")
    check_partner(work, draft.row, draft.place)
    roles = draft.children.get("to_BusinessPartnerRole", [])
    suppliers = draft.children.get("to_Supplier", [])
    is_supplier = any(role.row.get("BusinessPartnerRole") == SUPPLIER_ROLE for role in roles)
    if suppliers and not is_supplier:
        text = f"Partner {number} needs role {SUPPLIER_ROLE} to be a supplier"
        raise Refused(400, "ZSANDBOX/PARTNER_ROLE", text, "to_BusinessPartnerRole")
    stored = work.insert(PARTNERS, draft.row | {"Supplier": number if is_supplier else ""})
    for role in roles:
        create_role(work, with_parent(role, BusinessPartner=number))
    for address in draft.children.get("to_BusinessPartnerAddress", []):
        create_address(work, with_parent(address, BusinessPartner=number))
    if is_supplier:
        row: Row = dict(suppliers[0].row) if suppliers else {}
        work.insert(SUPPLIERS, row | {"Supplier": number})
    return stored


def check_partner(work: Work, row: Row, place: str) -> None:
    name = NAMES.get(str(row["BusinessPartnerCategory"]))
    if name is None:
        text = f"Partner category {row['BusinessPartnerCategory']} is not defined"
        raise Refused(400, "ZSANDBOX/PARTNER_CATEGORY", text, f"{place}BusinessPartnerCategory")
    if not row.get(name):
        text = f"Partner {row['BusinessPartner']} has no name"
        raise Refused(400, "ZSANDBOX/PARTNER_NAME", text, place + name)


def create_role(work: Work, draft: Draft) -> Stored:
    require(draft, "BusinessPartner", "BusinessPartnerRole")
    check_part(work, draft.row, draft.place)
    if draft.row["BusinessPartnerRole"] not in ROLE_NAMES:
        text = f"Role {draft.row['BusinessPartnerRole']} is not defined"
        raise Refused(400, "ZSANDBOX/PARTNER_ROLE", text, f"{draft.place}BusinessPartnerRole")
    return work.insert(ROLES, draft.row)


def create_address(work: Work, draft: Draft) -> Stored:
    """An address, numbered by the ERP; the first one of a partner is its standard address."""
    require(draft, "BusinessPartner")
    check_address(work, draft.row, draft.place)
    partner = draft.row["BusinessPartner"]
    is_first = not work.tables.find(ADDRESSES, {"BusinessPartner": partner})
    number = str(work.tables.next_number("AddressID", first=20001))
    stored = work.insert(ADDRESSES, draft.row | {"AddressID": number})
    if is_first:
        key: Row = {"BusinessPartner": partner, "AddressID": number}
        work.insert(USAGES, key | {"AddressUsage": STANDARD, "ValidityEndDate": OPEN_END})
    return stored


def check_address(work: Work, row: Row, place: str) -> None:
    check_part(work, row, place)
    if not row.get("Country"):
        text = f"An address of partner {row['BusinessPartner']} has no country"
        raise Refused(400, "ZSANDBOX/ADDRESS_COUNTRY", text, f"{place}Country")


def check_part(work: Work, row: Row, place: str) -> None:
    """A part of a partner that exists."""
    if work.get(PARTNERS, BusinessPartner=row["BusinessPartner"]) is None:
        text = f"Partner {row['BusinessPartner']} does not exist"
        raise Refused(400, "ZSANDBOX/PARTNER_MISSING", text, f"{place}BusinessPartner")


def check_supplier(work: Work, row: Row, place: str) -> None:
    """Anything may be changed of one that exists."""


def only_seeded(work: Work, draft: Draft) -> Stored:
    raise _seeded(draft.place)


def check_seeded(work: Work, row: Row, place: str) -> None:
    raise _seeded(place)


def _seeded(place: str) -> Refused:
    return Refused(400, "ZSANDBOX/VIEWS_READ_ONLY", "Views are kept by people", place)


def require_supplier(work: Work, number: object, place: str) -> None:
    """The supplier is there, from the seed or made here."""
    if number not in work.seed.suppliers and work.get(SUPPLIERS, Supplier=str(number)) is None:
        text = f"Supplier {number} does not exist"
        raise Refused(400, "ZSANDBOX/SUPPLIER_UNKNOWN", text, f"{place}Supplier")


def require_unblocked(work: Work, number: object, place: str) -> None:
    """The supplier may be bought from."""
    held = work.get(SUPPLIERS, Supplier=str(number))
    if held is not None and (held["PurchasingIsBlocked"] or held["DeletionIndicator"]):
        text = f"Supplier {number} is blocked for purchasing"
        raise Refused(400, "ZSANDBOX/SUPPLIER_BLOCKED", text, f"{place}Supplier")
