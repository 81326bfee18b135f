"""Contracts that end soon, as an event of their own: nobody has to look at a calendar."""

from __future__ import annotations

from datetime import date

from canonical.effects import Emit
from canonical.facts import Document
from canonical.purchase_contract import ContractExpiring, PurchaseContract, contract_key
from canonical.reminders import Reminder, Watch

# Long enough to agree on a successor, short enough to be read.
NOTICE_DAYS = 30


def expiring(document: Document, today: date) -> Reminder | None:
    """An active contract within its last days, the last one included; told once for a last day, so
    that one which is prolonged is told of again when its time comes."""
    match document:
        case PurchaseContract(status="active", last_day=date() as last_day):
            days_left = (last_day - today).days
        case _:
            return None
    if not 0 <= days_left <= NOTICE_DAYS:
        return None
    data = ContractExpiring(
        document.number,
        document.supplier,
        last_day,
        days_left,
        items=tuple(sorted({line.item for line in document.lines if line.item})),
    )
    said = Emit("contract.expiring", contract_key(document.number), data)
    return Reminder(said, occasion=last_day.isoformat())


CONTRACTS = Watch(kind="contract", due=expiring)
