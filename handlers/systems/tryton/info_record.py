"""Purchasing info records as product suppliers with their prices.

Terms are of a company, a supplier and a product: Tryton has no plants in them, and no days. Its
prices are for one unit of purchase.
"""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

import msgspec
from msgspec import UNSET

from canonical.codec import encode
from canonical.connector import Absent, Observed, Present
from canonical.errors import Conflict, Rejected
from canonical.own_words import OwnWords
from canonical.purchasing import InfoRecord
from handlers.systems.tryton import prices, references, rpc, units
from handlers.systems.tryton.native import Bought, HeldTerms, Supplied, days
from handlers.systems.tryton.rpc import Call, Difference, Look
from handlers.systems.tryton.words import (
    CURRENCY,
    PARTY,
    PRICE,
    PRODUCT,
    SUPPLIED,
)

_FIELDS = (
    *("template", "product", "active", "code", "lead_time", "currency.code", "_timestamp"),
    *("prices.quantity", "prices.unit_price", "prices._timestamp"),
)
_DAY_S = 86_400
# From which quantity on, and how much for one unit.
_Row = tuple[Decimal, Decimal]


def look(record: InfoRecord, own: OwnWords) -> Look:
    """The company, the product, the supplier and the currency, then the terms between them."""
    return references.look(
        record.purchasing_org, lambda company: _look_product(record, own, company)
    )


def _look_product(record: InfoRecord, own: OwnWords, company: int) -> Look:
    return Look(
        rpc.search(
            PRODUCT,
            (("code", "=", record.item),),
            ("code", "template", "template.purchase_uom.symbol"),
            with_inactive=False,
        ),
        lambda found: _look_supplier(record, own, company, rpc.decoded(found, tuple[Bought, ...])),
    )


def _look_supplier(
    record: InfoRecord, own: OwnWords, company: int, found: tuple[Bought, ...]
) -> Look:
    product = next((one for one in found if one.code == record.item), None)
    if product is None:
        raise Rejected(
            "product-missing",
            f"Tryton has no active product {record.item}",
            where=_where(record),
            remedy="Have it made active there, then release the step again",
        )
    held = HeldTerms(product=product, company=company)
    code = record.price.amount.currency

    def with_currency(parties: dict[str, int], currencies: dict[str, int]) -> Look:
        known = msgspec.structs.replace(held, parties=parties, currencies=currencies)
        return _look_terms(record, own, known)

    return references.look_coded(
        PARTY,
        (record.supplier,),
        lambda parties: references.look_coded(CURRENCY, (code,), partial(with_currency, parties)),
    )


def _look_terms(record: InfoRecord, own: OwnWords, held: HeldTerms) -> Look:
    assert held.product is not None
    domain = (
        ("company", "=", held.company),
        ("party", "=", held.parties[record.supplier]),
        ("template", "=", held.product.template.id),
    )
    return Look(
        rpc.search(SUPPLIED, domain, _FIELDS, context={"company": held.company}),
        lambda found: _observed(record, own, held, rpc.decoded(found, tuple[Supplied, ...])),
    )


def _observed(
    record: InfoRecord, own: OwnWords, held: HeldTerms, found: tuple[Supplied, ...]
) -> Observed:
    assert held.product is not None
    # Terms of the product itself go before those of all variants of its template.
    of_product = tuple(one for one in found if one.product == held.product.id)
    of_all = tuple(one for one in found if one.product is None)
    supplied = rpc.only(of_product or of_all, _where(record))
    held = msgspec.structs.replace(held, supplied=supplied)
    if supplied is None:
        _check_unit(record, own, held)
        return Absent(encode(held))
    missing = differences(record, own, held)
    return Present(
        equal=not missing,
        reference=str(supplied.id),
        differences=tuple(line for one in missing for line in one.what),
        native=encode(held),
    )


def create(record: InfoRecord, own: OwnWords, held: HeldTerms) -> Call:
    """The terms with all prices in one call."""
    rows = _rows(record, own)
    product = held.product
    values: dict[str, Any] = {
        "company": held.company or record.purchasing_org,
        "party": rpc.ref(held.parties, record.supplier),
        "template": product.template.id if product else record.item,
        "product": product.id if product else record.item,
        "currency": rpc.ref(held.currencies, record.price.amount.currency),
        "prices": [["create", [_values(row, at) for at, row in enumerate(rows, 1)]]],
    }
    if record.lead_time_days:
        values["lead_time"] = days(record.lead_time_days)
    return rpc.create(SUPPLIED, values, company=values["company"])


def differences(record: InfoRecord, own: OwnWords, held: HeldTerms) -> tuple[Difference, ...]:
    """What has to change, as one write. Without a scale in the contract the further prices stay as
    the buyers have them."""
    supplied = held.supplied
    assert supplied is not None
    _check_unit(record, own, held)
    if not supplied.active:
        return (_conflict(record, "active: false, wanted true"),)
    wanted = _rows(record, own)
    values: dict[str, Any] = {}
    what: list[str] = []
    seen = {rpc.stamp(SUPPLIED, supplied.id): supplied.timestamp}
    currency = record.price.amount.currency
    if supplied.currency.code != currency:
        values["currency"] = rpc.ref(held.currencies, currency)
        what += rpc.differing((("currency", supplied.currency.code, currency),))
    lead_days = supplied.lead_time.seconds / _DAY_S if supplied.lead_time else 0
    if record.lead_time_days and lead_days != record.lead_time_days:
        values["lead_time"] = days(record.lead_time_days)
        what.append(f"lead time: {lead_days:g} days, wanted {record.lead_time_days}")
    by_start = {price.quantity: price for price in supplied.prices}
    commands: list[list[Any]] = []
    for at, row in enumerate(wanted, 1):
        start, amount = row
        price = by_start.pop(start, None)
        if price is None:
            commands.append(["create", [_values(row, at)]])
            what.append(f"price from {start}: missing, wanted {amount}")
        elif Decimal(price.unit_price.decimal) != amount:
            commands.append(["write", [price.id], _values(row, at)])
            what.append(f"price from {start}: {price.unit_price.decimal}, wanted {amount}")
            seen[rpc.stamp(PRICE, price.id)] = price.timestamp
    if record.scales is not UNSET:
        for price in by_start.values():
            commands.append(["delete", [price.id]])
            what.append(f"price from {price.quantity}: there, wanted none")
            seen[rpc.stamp(PRICE, price.id)] = price.timestamp
    if commands:
        values["prices"] = commands
    if not values:
        return ()
    call = rpc.write(SUPPLIED, supplied.id, values, seen=seen, company=held.company)
    return (Difference(tuple(what), call),)


def _rows(record: InfoRecord, own: OwnWords) -> list[_Row]:
    """The prices, from the smallest quantity on; of those that fit Tryton takes the last one.

    Raises: Rejected where Tryton has no room for one.
    """
    unit, currency, where = record.order_unit, record.price.amount.currency, _where(record)
    rows = [(Decimal(0), prices.amount_of(record.price, unit, currency, where))]
    for scale in record.scales or ():
        if scale.start.unit != record.order_unit:
            raise _unit_refused(record, scale.start.unit)
        rows.append((scale.start.value, prices.amount_of(scale.price, unit, currency, where)))
    return sorted(dict(rows).items())


def _values(row: _Row, sequence: int) -> dict[str, Any]:
    start, amount = row
    return {
        "quantity": float(start),
        "unit_price": prices.exact(amount),
        "sequence": sequence,
    }


def _check_unit(record: InfoRecord, own: OwnWords, held: HeldTerms) -> None:
    """Raises: Rejected where the product is bought in another unit, or not at all."""
    assert held.product is not None
    unit = held.product.template.purchase_uom
    if unit is None or not units.is_same(unit.symbol, record.order_unit, own):
        raise _unit_refused(record, unit.symbol if unit else "none")


def _unit_refused(record: InfoRecord, unit: str) -> Rejected:
    return Rejected(
        "order-unit-differs",
        f"{record.item} is to be ordered in {record.order_unit}, and Tryton has {unit} for it",
        where=_where(record),
        remedy="Settle the unit of purchase of the product in Tryton, then release the step again",
    )


def _where(record: InfoRecord) -> str:
    return f"info-record/{record.supplier}/{record.item}"


def _conflict(record: InfoRecord, shown: str) -> Difference:
    return Difference(
        (shown,),
        conflict=Conflict(
            "terms-differ",
            f"The terms of {record.supplier} for {record.item} cannot be changed so: {shown}",
            where=_where(record),
            remedy="Settle it with purchasing, then release the step again",
        ),
    )


def remarks(record: InfoRecord) -> tuple[str, ...]:
    """What of the terms Tryton has no place for, each kind once."""
    said = {
        "The last day": record.last_day,
        "The minimum quantity": record.minimum is not UNSET,
        "Tolerances": record.under_tolerance is not UNSET or record.over_tolerance is not UNSET,
        "The contract": record.contract,
    }
    about = f"of the terms of {record.supplier} for {record.item}"
    return tuple(f"{words} {about}: not sent" for words, stated in said.items() if stated)
