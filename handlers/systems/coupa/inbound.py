"""Procurement's answers into our events: suppliers with their qualification, contract coverage."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from canonical.effects import Effect, Emit
from canonical.envelope import Message
from canonical.errors import InvalidMessage
from canonical.facts import Facts
from canonical.handler import Delivery, Handler, no_needs
from canonical.money import Money, UnitPrice
from canonical.quantity import Quantity, parse_decimal
from canonical.sourcing import Coverage, CoverageLine
from canonical.text import normalise_id
from canonical.units import to_rec20
from handlers.systems.brought import read_brought
from handlers.systems.coupa import native
from handlers.systems.coupa.outbound import CONTRACTS_ANSWER, SUPPLIER_ANSWER
from handlers.systems.coupa.suppliers import day_of, last_day, to_supplier
from handlers.systems.coupa.words import PUBLISHED, UNITS

T = TypeVar("T")


def read_supplier(delivery: Delivery) -> Message[tuple[native.Supplier, ...]]:
    """The suppliers of an answer; raises InvalidMessage for content that is no such list."""
    return read_brought(delivery, SUPPLIER_ANSWER, native.Suppliers)


def read_contracts(delivery: Delivery) -> Message[tuple[native.Contract, ...]]:
    """The contracts of an answer; raises InvalidMessage for content that is no such list."""
    return read_brought(delivery, CONTRACTS_ANSWER, native.Contracts)


def decide_supplier(
    message: Message[tuple[native.Supplier, ...]], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """The supplier that was asked for, as our event.

    Raises: InvalidMessage where it is not in the answer or a word of it is in no table.
    """
    number = _subject(message, "supplier")
    held = next((s for s in message.payload if s.number == number), None)
    if held is None:
        raise InvalidMessage(
            "supplier-missing",
            f"The answer does not contain supplier {number}",
            where=message.envelope.key,
            remedy="Ask procurement again",
        )
    supplier = to_supplier(held, message.envelope.time)
    return (Emit("supplier.changed", message.envelope.key, supplier),)


def decide_contracts(
    message: Message[tuple[native.Contract, ...]], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """All published contract lines for the item that was asked for, as our event.

    Raises: InvalidMessage for prices, units, currencies and days that cannot be understood.
    """
    item = _subject(message, "coverage")
    lines = [
        _to_line(contract, line, f"[{place}].lines[{row}]")
        for place, contract in enumerate(message.payload)
        if contract.status == PUBLISHED
        for row, line in enumerate(contract.lines)
        if line.item_number == item
    ]
    lines.sort(key=lambda line: (line.contract, line.supplier, line.first_day))
    coverage = Coverage(item=item, lines=tuple(lines), stated_at=message.envelope.time)
    return (Emit("sourcing.changed", message.envelope.key, coverage),)


def _subject(message: Message[Any], kind: str) -> str:
    """The number behind `<kind>/`."""
    found, slash, number = message.envelope.key.partition("/")
    if found != kind or not slash or not number:
        raise InvalidMessage(
            "subject-malformed",
            f"{message.envelope.key[:80]!r} does not say which {kind} was asked for",
            where="ce-subject",
            remedy=f"Send {kind}/<number>",
        )
    return number


def _to_line(contract: native.Contract, line: native.ContractLine, where: str) -> CoverageLine:
    unit = to_rec20(UNITS, line.uom.code, where=f"{where}.uom")
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
    quantity = line.price_unit_quantity or "1"
    return CoverageLine(
        contract=normalise_id(contract.number, where=f"{where}: number of the contract"),
        supplier=normalise_id(contract.supplier.number, where=f"{where}: supplier"),
        price=UnitPrice(
            Money(parse_decimal(line.price, where=f"{where}.price"), line.currency.code),
            Quantity(parse_decimal(quantity, where=f"{where}.price-unit-quantity"), unit),
        ),
        order_unit=unit,
        first_day=max(begins),
        last_day=min(ends, default=None),
        lead_time_days=_lead_time(line, where),
        minimum_quantity=_minimum(line, where),
    )


def _lead_time(line: native.ContractLine, where: str) -> int:
    days = line.lead_time or 0
    if days < 0:
        raise InvalidMessage(
            "lead-time-negative",
            f"A lead time of {days} days is none",
            where=f"{where}.lead-time",
            remedy="Correct the contract line",
        )
    return days


def _minimum(line: native.ContractLine, where: str) -> str:
    stated = line.minimum_order_quantity
    if not stated:
        return ""
    return format(parse_decimal(stated, where=f"{where}.minimum-order-quantity"), "f")


HANDLER_SUPPLIER = Handler(
    name="coupa-supplier",
    scope="coupa",
    types=(SUPPLIER_ANSWER,),
    read=read_supplier,
    needs=no_needs,
    decide=decide_supplier,
)
HANDLER_CONTRACTS = Handler(
    name="coupa-contracts",
    scope="coupa",
    types=(CONTRACTS_ANSWER,),
    read=read_contracts,
    needs=no_needs,
    decide=decide_contracts,
)
