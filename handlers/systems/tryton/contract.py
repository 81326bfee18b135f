"""Purchase contracts as blanket agreements, under a reference to their number.

An active contract is an agreement that runs; of one that is suspended the agreement is a draft
again, and of one that has ended it is closed: on neither can anything be bought. A line is known by
its product.
"""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

from canonical.codec import encode
from canonical.connector import Absent, Observed, Present
from canonical.errors import Conflict, Rejected
from canonical.own_words import OwnWords
from canonical.purchase_contract import ContractLine, PurchaseContract, contract_key
from handlers.systems.tryton import prices, references, rpc, units
from handlers.systems.tryton.native import (
    AgreedLine,
    Agreement,
    Day,
    HeldAgreement,
    References,
    day,
)
from handlers.systems.tryton.rpc import Call, Difference, Look
from handlers.systems.tryton.words import AGREEMENT, AGREEMENT_LINE

_FIELDS = (
    *("reference", "number", "state", "from_date", "to_date", "supplier.code", "currency.code"),
    *("_timestamp", "lines.quantity", "lines.unit.symbol", "lines.product.code"),
    *("lines.unit_price", "lines._timestamp"),
)


def look(contract: PurchaseContract, own: OwnWords) -> Look:
    """All that the contract refers to, then the agreement by its reference. Of one that is not
    bought on nothing has to be known but the company."""
    return references.look(contract.organisation, partial(_look_references, contract, own))


def _look_references(contract: PurchaseContract, own: OwnWords, company: int) -> Look:
    if contract.status != "active":
        return _look_agreement(contract, own, References(company=company))
    lines = _wanted(contract)
    return references.look_document(
        company,
        supplier=contract.supplier,
        currency=contract.currency,
        items=tuple(sorted(line.item for line in lines)),
        symbols=tuple(sorted({_symbol(contract, line, own) for line in lines})),
        then=partial(_look_agreement, contract, own),
    )


def _look_agreement(contract: PurchaseContract, own: OwnWords, known: References) -> Look:
    domain = (("reference", "=", contract.number), ("company", "=", known.company))
    return Look(
        rpc.search(AGREEMENT, domain, _FIELDS, context={"company": known.company}),
        lambda found: _observed(contract, own, known, rpc.decoded(found, tuple[Agreement, ...])),
    )


def _observed(
    contract: PurchaseContract, own: OwnWords, known: References, found: tuple[Agreement, ...]
) -> Observed:
    """One that is not bought on and was never known is not missing."""
    agreement = rpc.only(
        tuple(one for one in found if one.reference == contract.number),
        contract_key(contract.number),
    )
    held = HeldAgreement(agreement, known)
    if agreement is None:
        return Absent(encode(held)) if contract.status == "active" else Present(equal=True)
    missing = differences(contract, own, held)
    return Present(
        equal=not missing,
        reference=agreement.number or str(agreement.id),
        differences=tuple(line for one in missing for line in one.what),
        native=encode(held),
    )


def create(contract: PurchaseContract, own: OwnWords, held: HeldAgreement) -> Call | None:
    """The agreement with its lines as a draft.

    Raises: Rejected for what no agreement can be.
    """
    if contract.status != "active":
        return None
    known = held.references
    values: dict[str, Any] = {
        "reference": contract.number,
        "company": known.company or contract.organisation,
        "supplier": known.party or contract.supplier,
        "currency": known.currency or contract.currency,
        **_header(contract),
        "lines": [["create", [_values(contract, line, own, known) for line in _wanted(contract)]]],
    }
    return rpc.create(AGREEMENT, values, company=values["company"])


def differences(
    contract: PurchaseContract, own: OwnWords, held: HeldAgreement
) -> tuple[Difference, ...]:
    """What has to be done, in its order: an agreement that runs is a draft again before it is
    changed, and then runs anew."""
    agreement = held.agreement
    assert agreement is not None
    if contract.status != "active":
        return _stopped(contract, held, agreement)
    if agreement.state in ("closed", "cancelled"):
        return (_conflict(contract, f"it is {agreement.state} there"),)
    shown = rpc.differing(
        (
            ("supplier", agreement.supplier.code, contract.supplier),
            ("currency", agreement.currency.code, contract.currency),
        )
    )
    if shown:
        return (_conflict(contract, "; ".join(shown)),)
    changed = _changed(contract, own, held, agreement)
    if changed is None:
        if agreement.state == "running":
            return ()
        return (_press(held, agreement, "run", "not running"),)
    found = [changed, _press(held, agreement, "run", "not running")]
    if agreement.state == "running":
        found.insert(0, _press(held, agreement, "draft", "running, and has to change"))
    return tuple(found)


def _stopped(
    contract: PurchaseContract, held: HeldAgreement, agreement: Agreement
) -> tuple[Difference, ...]:
    """Closed if it has ended; a draft if it is suspended, or no contract yet."""
    if agreement.state != "running":
        return ()
    if contract.status == "ended":
        return (_press(held, agreement, "close", "running, wanted closed"),)
    return (_press(held, agreement, "draft", "running, wanted draft"),)


def _press(held: HeldAgreement, agreement: Agreement, button: str, what: str) -> Difference:
    seen = {rpc.stamp(AGREEMENT, agreement.id): agreement.timestamp}
    company = held.references.company
    call = rpc.press(AGREEMENT, button, agreement.id, seen=seen, company=company)
    return Difference((f"state: {what}",), call)


def _changed(
    contract: PurchaseContract, own: OwnWords, held: HeldAgreement, agreement: Agreement
) -> Difference | None:
    values: dict[str, Any] = {}
    what: list[str] = []
    seen = {rpc.stamp(AGREEMENT, agreement.id): agreement.timestamp}
    for name, wanted in _header(contract).items():
        if getattr(agreement, name) != wanted:
            values[name] = wanted
            what += rpc.differing(((name, _iso(getattr(agreement, name)), _iso(wanted)),))
    rows = {row.product.code: row for row in agreement.lines}
    commands: list[list[Any]] = []
    for line in _wanted(contract):
        row = rows.pop(line.item, None)
        if row is None:
            commands.append(["create", [_values(contract, line, own, held.references)]])
            what.append(f"{line.item}: missing")
        elif shown := rpc.differing(_compared(contract, line, row, own)):
            commands.append(["write", [row.id], _values(contract, line, own, held.references)])
            what += [f"{line.item}: {one}" for one in shown]
            seen[rpc.stamp(AGREEMENT_LINE, row.id)] = row.timestamp
    if rows:
        commands.append(["delete", [row.id for row in rows.values()]])
        what += [f"{code}: there, wanted none" for code in rows]
        seen |= {rpc.stamp(AGREEMENT_LINE, row.id): row.timestamp for row in rows.values()}
    if commands:
        values["lines"] = commands
    if not values:
        return None
    company = held.references.company
    call = rpc.write(AGREEMENT, agreement.id, values, seen=seen, company=company)
    return Difference(tuple(what), call)


def _compared(
    contract: PurchaseContract, line: ContractLine, row: AgreedLine, own: OwnWords
) -> tuple[tuple[str, object, object], ...]:
    unit = _unit(contract, line)
    held_unit = unit if units.is_same(row.unit.symbol, unit, own) else row.unit.symbol
    return (
        ("quantity", row.quantity, line.target.value if line.target else None),
        ("unit", held_unit, unit),
        ("price", Decimal(row.unit_price.decimal), _price(contract, line)),
    )


def _header(contract: PurchaseContract) -> dict[str, Day | None]:
    return {
        "from_date": day(contract.first_day),
        "to_date": day(contract.last_day) if contract.last_day else None,
    }


def _iso(on: Day | None) -> str:
    return f"{on.year:04}-{on.month:02}-{on.day:02}" if on else "open"


def _values(
    contract: PurchaseContract, line: ContractLine, own: OwnWords, known: References
) -> dict[str, Any]:
    return {
        "product": rpc.ref(known.products, line.item),
        "unit": rpc.ref(known.units, _symbol(contract, line, own)),
        "unit_price": prices.exact(_price(contract, line)),
        "quantity": float(line.target.value) if line.target else None,
    }


def _wanted(contract: PurchaseContract) -> tuple[ContractLine, ...]:
    """The lines that may be bought on.

    Raises: Rejected for lines that an agreement cannot hold, or none.
    """
    lines = tuple(line for line in contract.lines if not line.is_blocked)
    items = [line.item for line in lines]
    if not lines:
        raise _refused(contract, "contract-empty", "it has no line to buy on")
    if "" in items:
        raise _refused(contract, "line-without-item", "a line is about no item of ours")
    if len(set(items)) < len(items):
        raise _refused(contract, "item-twice", "an item is on two lines")
    for line in lines:
        if line.target is not None and line.target.unit != _unit(contract, line):
            raise _refused(contract, "target-unit", f"line {line.line} is agreed in another unit")
    return lines


def _unit(contract: PurchaseContract, line: ContractLine) -> str:
    """In which it is ordered, else for which the price is."""
    unit = line.order_unit or (line.price.per.unit if line.price else "")
    if not unit:
        raise _refused(contract, "unit-missing", f"line {line.line} has no unit")
    return unit


def _price(contract: PurchaseContract, line: ContractLine) -> Decimal:
    if line.price is None:
        raise _refused(contract, "price-missing", f"line {line.line} has no price")
    where = f"{contract_key(contract.number)}/{line.line}"
    return prices.amount_of(line.price, _unit(contract, line), contract.currency, where)


def _symbol(contract: PurchaseContract, line: ContractLine, own: OwnWords) -> str:
    return units.symbol(_unit(contract, line), own, f"{contract_key(contract.number)}/{line.line}")


def _refused(contract: PurchaseContract, code: str, what: str) -> Rejected:
    return Rejected(
        code,
        f"Contract {contract.number} cannot be a blanket agreement of Tryton: {what}",
        where=contract_key(contract.number),
        remedy="Change the contract where it is kept, or enter it in Tryton by hand",
    )


def _conflict(contract: PurchaseContract, shown: str) -> Difference:
    return Difference(
        (shown,),
        conflict=Conflict(
            "contract-differs",
            f"Contract {contract.number} cannot be made so in Tryton: {shown}",
            where=contract_key(contract.number),
            remedy="Settle it with purchasing there, then release the step again",
        ),
    )


def remarks(contract: PurchaseContract) -> tuple[str, ...]:
    """What of the contract Tryton has no place for, each kind once."""
    lines = contract.lines
    said = {
        "The title": contract.title,
        "Terms of payment and delivery": contract.payment_terms or contract.incoterms,
        "The value that is agreed": contract.target_value,
        "Days of lines": any(line.first_day or line.last_day for line in lines),
        "Minimum quantities": any(line.minimum for line in lines),
        "Lead times": any(line.lead_time_days for line in lines),
        "Plants": any(line.plants for line in lines),
        "Lines that are blocked": any(line.is_blocked for line in lines),
        "Numbers of the supplier": any(line.supplier_item for line in lines),
    }
    about = f"of contract {contract.number}"
    return tuple(f"{words} {about}: not sent" for words, stated in said.items() if stated)
