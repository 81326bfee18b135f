"""What the ERP stand-in insists on of the rows of source lists, whose numbers are its own."""

from ops.sandbox.contract_rules import check_days, require_agreement
from ops.sandbox.erp_work import Work, existing_product, not_given, require, require_in_plant
from ops.sandbox.odata import Draft, Row
from ops.sandbox.partner_rules import require_supplier
from ops.sandbox.refusal import Refused
from ops.sandbox.tables import Stored

SOURCES = "A_PurchasingSource"


def create_source(work: Work, draft: Draft) -> Stored:
    """A row of the list of a material in a plant, behind those that are there."""
    require(draft, "Material", "Plant", "ValidityStartDate", "ValidityEndDate", "Supplier",
            "PurchasingOrganization")  # fmt: skip
    not_given(draft, "SourceListRecord")
    existing_product(
        work, draft.row["Material"], "ZSANDBOX/PRODUCT_MISSING", f"{draft.place}Material"
    )
    check_source(work, draft.row, draft.place)
    of = (draft.row["Material"], draft.row["Plant"])
    number = work.tables.next_number(f"sources of {of[0]} in {of[1]}", first=1)
    while work.get(SOURCES, Material=of[0], Plant=of[1], SourceListRecord=str(number)):
        # Planted past the range.
        number = work.tables.next_number(f"sources of {of[0]} in {of[1]}", first=1)
    return work.insert(SOURCES, draft.row | {"SourceListRecord": str(number)})


def check_source(work: Work, row: Row, place: str) -> None:
    organisation, plant = str(row["PurchasingOrganization"]), row["Plant"]
    if plant not in work.seed.purchasing_organizations.get(organisation, ()):
        text = f"Purchasing organisation {organisation} does not buy for plant {plant}"
        target = f"{place}PurchasingOrganization"
        raise Refused(400, "ZSANDBOX/PURCHASING_ORGANIZATION", text, target)
    code = "ZSANDBOX/PRODUCT_NOT_IN_PLANT"
    require_in_plant(work, row["Material"], plant, code, f"{place}Plant")
    require_supplier(work, row["Supplier"], place)
    check_days(row, place)
    require_agreement(work, row, place)
