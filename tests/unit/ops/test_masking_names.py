"""What fields hold by their names: a table of words, and rules that go before it."""

from __future__ import annotations

import pytest

from canonical.masking import Kind
from handlers import MASKED
from ops.masking.names import Fields, column_rules, kind_of, words_of


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("unitPrice", ["unit", "price"]),
        ("UNIT_PRICE", ["unit", "price"]),
        ("price-unit-quantity", ["price", "unit", "quantity"]),
        ("IBANNumber", ["iban", "number"]),
        ("ns:NAME1", ["name"]),
        ("PLZ / Ort", ["plz", "ort"]),
    ],
)
def test_a_name_is_cut_into_its_words(name: str, words: list[str]) -> None:
    assert words_of(name) == words


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("name", "text"),
        ("supplierName", "text"),
        ("manufacturedBy", "text"),
        ("originatedByContactName", "text"),
        ("Telefonnummer", "text"),
        ("zip-code", "text"),
        ("VAT number", "text"),
        ("E-Mail", "text"),
        ("bankAccountId", "text"),
        ("remarks", "text"),
        ("CreatedByUser", "text"),
        ("checked-by", "text"),
        ("DeliverTo", "text"),
        ("SharedSecret", "text"),
        ("OrganizationBPName1", "text"),
        ("unitPrice", "amount"),
        ("ConditionRateValue", "amount"),
        ("NetPriceAmount", "amount"),
        ("NetPriceQuantity", "keep"),
        ("AccountAssignmentCategory", "keep"),
        ("Einzelpreis", "amount"),
        ("total_amount", "amount"),
        ("net value", "amount"),
        ("itemIdentifier", "number"),
        ("manufacturerPartIdentifier", "number"),
        ("supplier", "number"),
        ("price-currency", "keep"),
        ("priceDate", "keep"),
        ("total quantity", "keep"),
        ("item name", "keep"),
        ("revisionNumber", "keep"),
        ("hotel", None),
        ("description", None),
        ("net weight", "keep"),
        ("12", None),
    ],
)
def test_the_words_of_a_name_tell_what_it_holds(name: str, kind: Kind | None) -> None:
    assert kind_of(name) == kind


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (("price", "value"), "amount"),
        (("price", "currency"), "keep"),
        (("price", "per"), "keep"),
        (("deliveryAddress", "line1"), "text"),
        (("contact", "id"), "text"),
        (("phone-work", "number"), "text"),
        (("TelephoneNumber", "Extension"), "text"),
        (("ApprovedManufacturerListItem", "description"), None),
        (("user-defined", "colour"), None),
        (("contact", "country"), "keep"),
        (("item", "number"), "number"),
        (("E1EDKA1", "STRAS"), "text"),
        (("E1EDP01", "VPREI"), "amount"),
        (("results", "POBox"), "text"),
        (("results", "PurchaseOutlineAgreement"), "number"),
        (("d", "PurchasingProcessingStatusName"), "keep"),
        (("E1EDP01", "MENGE"), None),
        (("AdditionalAttribute", "name"), "label"),
        (("category", "name"), "keep"),
        (("newItemRevision", "name"), "keep"),
    ],
)
def test_what_stands_above_and_what_vendors_mean_counts(
    path: tuple[str, ...], kind: Kind | None
) -> None:
    assert Fields(MASKED).kind(path) == kind


def test_a_sibling_says_what_a_value_is() -> None:
    fields = Fields(MASKED)
    path = ("AdditionalAttribute", "value")
    assert fields.kind(path, "Unit Cost") == "amount"
    assert fields.kind(path, "Vendor Contact") == "text"
    assert fields.kind(path, "UOM") == "keep"
    assert fields.kind(path, "Product Line(s)") is None


def test_a_table_says_what_columns_of_any_name_hold() -> None:
    filled = [
        ("Netto", "lines.price.amount.amount"),
        ("Kreditor", "lines.supplier"),
        ("Bez", "name"),
        ("Preiseinheit", "lines.price.per.unit"),
        ("Menge", "lines.quantity.value"),
    ]
    rules = column_rules(MASKED, filled)
    assert rules == {
        "Netto": "amount", "Kreditor": "number", "Bez": "text", "Preiseinheit": "keep",
        "Menge": "keep",
    }  # fmt: skip
