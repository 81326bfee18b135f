"""Currencies and amounts of master data.

SAP keeps every amount with two decimals, whatever the currency has, and not every kind of IDoc
turns it into the currency's own: 15 of JPY may be 15 or 1500.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec import UNSET, UnsetType

from canonical.errors import InvalidMessage
from canonical.money import Money, UnknownCurrency, minor_digits
from canonical.patch import Text
from handlers.systems.idoc.document import Segment
from handlers.systems.idoc.fields import Findings, text

_KEPT_DIGITS = 2


def currency(segment: Segment, field: str, findings: Findings) -> Text:
    """The code of ISO 4217; a case and nothing said where it is none."""
    stated = text(segment, field)
    try:
        if isinstance(stated, str):
            minor_digits(stated, where=f"{segment.where}: {field}")
    except UnknownCurrency as failure:
        findings.add(failure)
        return UNSET
    return stated


def to_money(amount: Decimal, code: str, findings: Findings, *, where: str) -> Money | UnsetType:
    """The amount where it can be only one; else a case, and nothing is said of it."""
    try:
        if not code:
            raise InvalidMessage(
                "currency-missing",
                "The currency of the amount is missing",
                where=where,
                remedy="Send the amount with its currency",
            )
        if minor_digits(code, where=where) != _KEPT_DIGITS:
            raise InvalidMessage(
                "amount-ambiguous",
                f"Whether the amount is in {code} or in hundredths of it is not told",
                where=where,
                remedy="Keep the amount by hand",
            )
    except InvalidMessage as failure:
        findings.add(failure)
        return UNSET
    return Money(amount, code)
