"""What a new database knows before anybody writes to it: currencies, countries, a company."""

from __future__ import annotations

from typing import Any

from ops.sandbox.tryton.client import Client

COMPANY = "1000"
"""Code of the company's party: the organisation that orders and terms are of."""

_CURRENCIES = (
    ("EUR", "Euro", "€", 2),
    ("USD", "US Dollar", "$", 2),
    ("GBP", "Pound Sterling", "£", 2),
    ("JPY", "Yen", "¥", 0),
)
_COUNTRIES = (
    ("AT", "AUT", "040", "Austria"),
    ("CH", "CHE", "756", "Switzerland"),
    ("CN", "CHN", "156", "China"),
    ("DE", "DEU", "276", "Germany"),
    ("FR", "FRA", "250", "France"),
    ("GB", "GBR", "826", "United Kingdom"),
    ("IT", "ITA", "380", "Italy"),
    ("JP", "JPN", "392", "Japan"),
    ("US", "USA", "840", "United States"),
)


def seed(client: Client) -> None:
    """The database is ready: its administrator works for a company that buys in euros."""
    currencies = [_currency(*row) for row in _CURRENCIES]
    euro, *_ = client.call("currency.currency.create", currencies)
    countries = [
        {"code": code, "code3": code3, "code_numeric": number, "name": name}
        for code, code3, number, name in _COUNTRIES
    ]
    client.call("country.country.create", countries)
    party = client.call("party.party.create", [{"name": "Layshaft Works", "code": COMPANY}])
    company = client.call("company.company.create", [{"party": party[0], "currency": euro}])
    works_for = {"companies": [["add", company]], "company": company[0]}
    client.call("res.user.write", [client.user], works_for)


def _currency(code: str, name: str, symbol: str, digits: int) -> dict[str, Any]:
    rounding = {"__class__": "Decimal", "decimal": str(10**-digits) if digits else "1"}
    return {"code": code, "name": name, "symbol": symbol, "digits": digits, "rounding": rounding}
