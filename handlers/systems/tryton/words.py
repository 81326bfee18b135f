"""What our words mean in Tryton: tables and constants only."""

from __future__ import annotations

from canonical.item import ItemKind, Lifecycle

UNITS = "tryton"

# Names and descriptions are kept by language; they are written and read in this one.
LANGUAGE = "en"

# Documents are never products. Assets are what a company keeps and writes off: not engineering's.
PRODUCT_TYPE: dict[ItemKind, str] = {"part": "goods", "assembly": "goods", "service": "service"}

# Nothing is bought or made of an item in another state.
IN_USE: frozenset[Lifecycle] = frozenset({"released", "superseded"})
GONE: frozenset[Lifecycle] = frozenset({"obsolete"})

# Models, as methods and timestamps name them.
TEMPLATE, PRODUCT, UOM = "product.template", "product.product", "product.uom"
BOM, BOM_INPUT, BOM_OUTPUT = "production.bom", "production.bom.input", "production.bom.output"
PARTY, ADDRESS, COUNTRY = "party.party", "party.address", "country.country"
COMPANY, CURRENCY = "company.company", "currency.currency"
SUPPLIED, PRICE = "purchase.product_supplier", "purchase.product_supplier.price"

# Type of an identifier of a party.
VAT = "eu_vat"

# Decimals of a price, as Tryton has them unless its configuration says otherwise.
PRICE_PLACES = 4

PURCHASE, PURCHASE_LINE = "purchase.purchase", "purchase.line"
AGREEMENT, AGREEMENT_LINE = "purchase.blanket_agreement", "purchase.blanket_agreement.line"
