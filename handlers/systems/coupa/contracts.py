"""Contracts of procurement's: what of them covers an item, and the whole of one."""

from __future__ import annotations

from datetime import datetime

from canonical.errors import InvalidMessage
from canonical.money import Money, UnitPrice, minor_digits
from canonical.own_words import OwnWords
from canonical.purchase_contract import ContractLine, PurchaseContract
from canonical.quantity import Quantity, parse_decimal
from canonical.sourcing import CoverageLine
from canonical.text import normalise_id, normalise_text
from canonical.units import to_rec20
from handlers.systems.coupa import native
from handlers.systems.coupa.values import day_of, last_day, unmapped
from handlers.systems.coupa.words import CONTRACT_STATUS, UNITS
from handlers.systems.timestamps import microseconds


def to_coverage_line(
    contract: native.Contract, line: native.ContractLine, own: OwnWords, where: str
) -> CoverageLine:
    """The line as cover of its item: valid while both it and its contract are.

    Raises: InvalidMessage for prices, units, currencies and days that cannot be understood.
    """
    ends = [
        day
        for day in (
            last_day(contract.end_date, f"{where}: end-date of the contract"),
            last_day(line.end_date, f"{where}.end-date"),
        )
        if day is not None
    ]
    begins = [day_of(contract.start_date, f"{where}: start-date of the contract")]
    if line.start_date:
        begins.append(day_of(line.start_date, f"{where}.start-date"))
    minimum = _minimum(line, own, where)
    return CoverageLine(
        contract=normalise_id(contract.number, where=f"{where}: number of the contract"),
        supplier=normalise_id(contract.supplier.number, where=f"{where}: supplier"),
        price=_price(line, own, where),
        order_unit=_unit(line, own, where),
        first_day=max(begins),
        last_day=min(ends, default=None),
        lead_time_days=_lead_time(line, where) or 0,
        minimum_quantity=format(minimum.value, "f") if minimum else "",
    )


def to_contract(
    row: native.StatedContract, changed_at: datetime, own: OwnWords
) -> PurchaseContract:
    """The contract, whole, as procurement had it then.

    A maximum value of more than nothing is what is agreed; without it prices are.
    Raises: InvalidMessage where a status is in no table, and as `to_coverage_line`.
    """
    status = CONTRACT_STATUS.get(row.status)
    if status is None:
        raise unmapped("contract-status-unmapped", row.status, "status")
    currency = row.currency.code if row.currency else ""
    if currency:
        minor_digits(currency, where="currency")
    target = _target(row, currency)
    return PurchaseContract(
        number=normalise_id(row.number, where="number"),
        version=microseconds(changed_at),
        supplier=normalise_id(row.supplier.number, where="supplier.number"),
        status=status,
        first_day=day_of(row.start_date, "start-date"),
        last_day=last_day(row.end_date, "end-date"),
        kind="value" if target else "blanket",
        currency=currency,
        lines=tuple(_to_line(line, own, place) for place, line in enumerate(row.lines)),
        title=normalise_text(row.name or "", where="name"),
        target_value=target,
        stated_as=row.status,
        source_id=str(row.id),
        stated_at=changed_at,
    )


def _target(row: native.StatedContract, currency: str) -> Money | None:
    amount = parse_decimal(row.maximum_value or "0", where="maximum-value")
    if not amount:
        return None
    if not currency:
        raise InvalidMessage(
            "field-missing",
            "A maximum value without a currency is no amount",
            where="currency",
            remedy="Send the currency of the contract",
        )
    return Money(amount, currency)


def _to_line(line: native.ContractLine, own: OwnWords, place: int) -> ContractLine:
    where = f"lines[{place}]"
    return ContractLine(
        line=str(place + 1 if line.id is None else line.id),
        item=normalise_id(line.item_number, where=f"{where}.item-number"),
        order_unit=_unit(line, own, where),
        price=_price(line, own, where),
        minimum=_minimum(line, own, where),
        first_day=day_of(line.start_date, f"{where}.start-date") if line.start_date else None,
        last_day=last_day(line.end_date, f"{where}.end-date"),
        lead_time_days=_lead_time(line, where),
    )


def _unit(line: native.ContractLine, own: OwnWords, where: str) -> str:
    return to_rec20(UNITS, line.uom.code, own.codes, where=f"{where}.uom")


def _price(line: native.ContractLine, own: OwnWords, where: str) -> UnitPrice:
    per = parse_decimal(line.price_unit_quantity or "1", where=f"{where}.price-unit-quantity")
    amount = parse_decimal(line.price, where=f"{where}.price")
    return UnitPrice(Money(amount, line.currency.code), Quantity(per, _unit(line, own, where)))


def _minimum(line: native.ContractLine, own: OwnWords, where: str) -> Quantity | None:
    stated = line.minimum_order_quantity
    if not stated:
        return None
    amount = parse_decimal(stated, where=f"{where}.minimum-order-quantity")
    return Quantity(amount, _unit(line, own, where))


def _lead_time(line: native.ContractLine, where: str) -> int | None:
    if line.lead_time is not None and line.lead_time < 0:
        raise InvalidMessage(
            "lead-time-negative",
            f"A lead time of {line.lead_time} days is none",
            where=f"{where}.lead-time",
            remedy="Correct the contract line",
        )
    return line.lead_time
