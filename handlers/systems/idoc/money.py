"""Amounts of master data. SAP keeps every amount with two decimals, whatever the currency has, and
not every kind of IDoc turns it into the currency's own: 15 of JPY may be 15 or 1500."""

from __future__ import annotations

from decimal import Decimal

from msgspec import UNSET, UnsetType

from canonical.errors import InvalidMessage
from canonical.money import Money, minor_digits
from handlers.systems.idoc.fields import Findings

_KEPT_DIGITS = 2


def to_money(
    amount: Decimal, currency: str, findings: Findings, *, where: str
) -> Money | UnsetType:
    """The amount where it can be only one; else a case, and nothing is said of it."""
    try:
        if not currency:
            raise InvalidMessage(
                "currency-missing",
                "The currency of the amount is missing",
                where=where,
                remedy="Send the amount with its currency",
            )
        if minor_digits(currency, where=where) != _KEPT_DIGITS:
            raise InvalidMessage(
                "amount-ambiguous",
                f"Whether the amount is in {currency} or in hundredths of it is not told",
                where=where,
                remedy="Keep the amount by hand",
            )
    except InvalidMessage as failure:
        findings.add(failure)
        return UNSET
    return Money(amount, currency)
