"""A_PurchaseContract as it was read back: what may be bought from a supplier under it, whole.
Conditions with days of their own, and who else takes part, are not read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal

from canonical.errors import InvalidMessage
from canonical.money import Money, UnitPrice, minor_digits
from canonical.own_words import OwnWords
from canonical.purchase_contract import (
    ContractKind,
    ContractLine,
    ContractStatus,
    PurchaseContract,
)
from canonical.quantity import Quantity
from canonical.text import received_id
from handlers.systems.s4.compare import text_of
from handlers.systems.s4.native_read import Contract, ContractItem, Said
from handlers.systems.s4.values import (
    day,
    key,
    key_or_none,
    number,
    prose,
    referred,
    unit,
    version,
    whole,
)
from handlers.systems.s4.words import BLOCKED, CONTRACT_KINDS, CONTRACT_STATUS, DELETED


def referred_contract(contract: Contract) -> str:
    """The number of the contract elsewhere that it says it is, "" where it says nothing of the
    kind."""
    return referred(contract.CorrespncInternalReference, contract.PurchaseContract)


def to_contract(contract: Contract, read_at: datetime, own: OwnWords) -> PurchaseContract:
    """The contract, whole; items that were deleted are not in it.

    Raises: InvalidMessage naming item and field, and where the state is in no table.
    """
    currency = text_of(contract.DocumentCurrency)
    minor_digits(currency, where="DocumentCurrency")
    target = _amount(contract.PurchaseContractTargetAmount, currency)
    lines = tuple(
        _to_line(item, currency, own)
        for item in contract.to_PurchaseContractItem.results
        if item.PurchasingContractDeletionCode not in DELETED
    )
    return PurchaseContract(
        number=key(contract.PurchaseContract, where="PurchaseContract"),
        version=version(
            contract.LastChangeDateTime,
            contract.CreationDate,
            read_at=read_at,
            where="LastChangeDateTime, CreationDate",
        ),
        supplier=key(contract.Supplier, where="Supplier"),
        status=_status(contract),
        first_day=_first_day(contract),
        last_day=day(contract.ValidityEndDate, where="ValidityEndDate"),
        kind=_kind(contract, target, lines),
        currency=currency,
        lines=lines,
        organisation=prose(contract.PurchasingOrganization, where="PurchasingOrganization"),
        payment_terms=prose(contract.PaymentTerms, where="PaymentTerms"),
        incoterms=prose(contract.IncotermsClassification, where="IncotermsClassification"),
        incoterms_place=_place(contract),
        target_value=target,
        stated_as=_stated_as(contract),
        source_id=received_id(text_of(contract.PurchaseContract), where="PurchaseContract"),
        stated_at=read_at,
    )


def _amount(said: Said, currency: str) -> Money | None:
    """Zero where none is agreed."""
    amount = number(said, where="PurchaseContractTargetAmount")
    return Money(amount, currency) if amount else None


def _status(contract: Contract) -> ContractStatus:
    if contract.PurchasingDocumentDeletionCode in DELETED:
        return "ended"
    if contract.PurgContractIsInPreparation is True:
        return "draft"
    stated = text_of(contract.PurchasingProcessingStatus)
    found = CONTRACT_STATUS.get(stated)
    if found is None:
        raise InvalidMessage(
            "contract-status-unmapped",
            f"The state {stated[:10]!r} of contracts is in no table",
            where="PurchasingProcessingStatus",
            remedy="Have the word mapped",
        )
    is_blocked = contract.PurchasingDocumentDeletionCode == BLOCKED
    return "suspended" if found == "active" and is_blocked else found


def _stated_as(contract: Contract) -> str:
    """The state in the ERP's words, else its number."""
    named = prose(contract.PurchasingProcessingStatusName, where="PurchasingProcessingStatusName")
    return named or prose(contract.PurchasingProcessingStatus, where="PurchasingProcessingStatus")


def _first_day(contract: Contract) -> date:
    found = day(contract.ValidityStartDate, where="ValidityStartDate")
    if found is None:
        raise InvalidMessage(
            "field-missing",
            "From which day it is valid is not told",
            where="ValidityStartDate",
            remedy="Have the contract kept with its validity",
        )
    return found


def _kind(contract: Contract, target: Money | None, lines: Sequence[ContractLine]) -> ContractKind:
    """By its type; one of the customer's own by what is agreed in it."""
    known = CONTRACT_KINDS.get(text_of(contract.PurchaseContractType))
    if known is not None:
        return known
    if lines and all(line.target for line in lines):
        return "quantity"
    return "value" if target else "blanket"


def _place(contract: Contract) -> str:
    whole_name = prose(contract.IncotermsLocation1, where="IncotermsLocation1")
    return whole_name or prose(
        contract.IncotermsTransferLocation, where="IncotermsTransferLocation"
    )


def _to_line(item: ContractItem, currency: str, own: OwnWords) -> ContractLine:
    line = key(item.PurchaseContractItem, where="PurchaseContractItem")
    where = f"item {line}"
    plant = prose(item.Plant, where=f"{where}: Plant")
    stated = text_of(item.OrderQuantityUnit)
    order_unit = unit(stated, own, where=f"{where}: OrderQuantityUnit") if stated else ""
    days = whole(
        item.PlannedDeliveryDurationInDays, where=f"{where}: PlannedDeliveryDurationInDays"
    )
    return ContractLine(
        line=line,
        item=key_or_none(item.Material, where=f"{where}: Material"),
        order_unit=order_unit,
        price=_price(item, currency, own, where),
        target=_target(item, own, where),
        released=_released(item, own, where),
        lead_time_days=days or None,
        plants=(plant,) if plant else (),
        supplier_item=prose(item.SupplierMaterialNumber, where=f"{where}: SupplierMaterialNumber"),
        description=prose(
            item.PurchaseContractItemText, where=f"{where}: PurchaseContractItemText"
        ),
        is_blocked=item.PurchasingContractDeletionCode == BLOCKED,
    )


def _price(item: ContractItem, currency: str, own: OwnWords, where: str) -> UnitPrice | None:
    """ContractNetPriceAmount for NetPriceQuantity, 0 = 1, of OrderPriceUnit, else of the order
    unit; zero where none is agreed."""
    amount = number(item.ContractNetPriceAmount, where=f"{where}: ContractNetPriceAmount")
    per = number(item.NetPriceQuantity, where=f"{where}: NetPriceQuantity")
    if not amount:
        return None
    stated = text_of(item.OrderPriceUnit) or text_of(item.OrderQuantityUnit)
    priced_in = unit(stated, own, where=f"{where}: OrderPriceUnit")
    money = Money(amount, text_of(item.DocumentCurrency) or currency)
    return UnitPrice(money, Quantity(per or Decimal(1), priced_in))


def _target(item: ContractItem, own: OwnWords, where: str) -> Quantity | None:
    """Zero where none is agreed."""
    amount = number(item.TargetQuantity, where=f"{where}: TargetQuantity")
    if not amount:
        return None
    return Quantity(amount, unit(item.OrderQuantityUnit, own, where=f"{where}: OrderQuantityUnit"))


def _released(item: ContractItem, own: OwnWords, where: str) -> Quantity | None:
    """None where the answer does not tell it: zero is what was ordered too."""
    if not text_of(item.ContractItemConsumedQuantity):
        return None
    amount = number(
        item.ContractItemConsumedQuantity, where=f"{where}: ContractItemConsumedQuantity"
    )
    counted_in = text_of(item.ContrItemConsumedQuantityUnit) or text_of(item.OrderQuantityUnit)
    if not amount and not counted_in:
        return None
    return Quantity(amount, unit(counted_in, own, where=f"{where}: ContrItemConsumedQuantityUnit"))
