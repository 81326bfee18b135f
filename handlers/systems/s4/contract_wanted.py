"""A purchase contract as A_PurchaseContract is to hold it, with what it has no place for."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from msgspec import UNSET, UnsetType

from canonical.effectivity import OPEN_END
from canonical.errors import Rejected
from canonical.own_words import OwnWords
from canonical.purchase_contract import ContractLine, PurchaseContract, contract_key
from canonical.units import from_rec20
from handlers.systems.s4 import odata
from handlers.systems.s4.amounts import PLACES, fits, price_in_erp
from handlers.systems.s4.buyers import buying_group
from handlers.systems.s4.compare import unpadded
from handlers.systems.s4.native import AgreedContract, AgreedItem, Children
from handlers.systems.s4.texts import CHARS, is_cut, short_text
from handlers.systems.s4.words import BLOCKED, CONTRACT_TYPES, UNITS

_REFERENCE_CHARS = 12
_SUPPLIER_ITEM_CHARS = 35
_ITEM_CHARS = 5
_MAX_LEAD_TIME_DAYS = 999
_MAX_VALUE = 10**13
# An item is read back in 1.0 kB as an order's is, and 2 MiB of an answer are taken. What could not
# be read back, could not be confirmed: it is not sent.
_MAX_ITEMS = 1500


def is_reference(number: str) -> bool:
    """Whether the field by which a contract is found again holds its number."""
    return len(number) <= _REFERENCE_CHARS


def reference(contract: PurchaseContract) -> str:
    """The number by which the contract is found again.

    Raises: Rejected for one that the field cannot hold: the contract would be made once more with
        every try.
    """
    if is_reference(contract.number):
        return contract.number
    raise Rejected(
        "reference-too-long",
        f"The number {contract.number} does not fit CorrespncInternalReference"
        f" ({_REFERENCE_CHARS})",
        where=contract_key(contract.number),
        remedy="Give contracts shorter numbers where they are agreed",
    )


def wanted(contract: PurchaseContract, group: str, own: OwnWords) -> AgreedContract:
    """The contract with all items. group: who buys.

    Raises: Rejected, naming the line, for what no contract of the ERP can be; Misconfigured where
        nobody is named who buys.
    """
    items = wanted_items(contract, own)
    header = wanted_header(contract)
    kind = CONTRACT_TYPES.get(contract.kind)
    if kind is None:
        raise _refused(
            contract,
            "contract-type-unmapped",
            f"Contracts of kind {contract.kind} are in no table",
            "State what is agreed in all, by quantity or by value, or map the kind to a type of"
            " the ERP's",
        )
    if not contract.organisation:
        raise _refused(
            contract,
            "organisation-missing",
            "It does not say which purchasing organisation buys",
            "State it where the contract is agreed, or for the plants that it is for",
        )
    return AgreedContract(
        PurchaseContractType=kind,
        Supplier=contract.supplier,
        PurchasingOrganization=contract.organisation,
        PurchasingGroup=buying_group(
            group,
            (plant for line in contract.lines for plant in line.plants or ("",)),
            contract_key(contract.number),
        ),
        DocumentCurrency=currency(contract) or UNSET,
        ValidityStartDate=header.ValidityStartDate,
        ValidityEndDate=header.ValidityEndDate,
        PurchaseContractTargetAmount=header.PurchaseContractTargetAmount,
        CorrespncInternalReference=reference(contract),
        to_PurchaseContractItem=Children(items),
    )


def wanted_header(contract: PurchaseContract) -> AgreedContract:
    """What of the header follows the contract. Raises: as `wanted`."""
    return AgreedContract(
        ValidityStartDate=odata.date_literal(contract.first_day),
        ValidityEndDate=odata.date_literal(contract.last_day or OPEN_END),
        PurchaseContractTargetAmount=_target_value(contract),
    )


def wanted_items(contract: PurchaseContract, own: OwnWords) -> tuple[AgreedItem, ...]:
    """The lines as items, in their order.

    Raises: as `wanted`.
    """
    items = tuple(_item(contract, own, line) for line in contract.lines)
    if len({item.PurchaseContractItem for item in items}) < len(items):
        raise _refused(
            contract,
            "line-twice",
            "Two lines have the same number",
            "Number the lines of the contract",
        )
    if len(items) > _MAX_ITEMS:
        raise _refused(
            contract,
            "contract-too-long",
            f"It has {len(items)} lines; {_MAX_ITEMS} can be confirmed",
            "Split the contract",
        )
    return items


def currency(contract: PurchaseContract) -> str:
    """That of the contract; of its value or a price where it states none, "" without any."""
    amounts = [line.price.amount for line in contract.lines if line.price is not None]
    if contract.target_value is not None:
        amounts.insert(0, contract.target_value)
    return contract.currency or next((amount.currency for amount in amounts), "")


def remarks(contract: PurchaseContract) -> tuple[str, ...]:
    """What of the contract the target does not get."""
    return tuple(_remarks(contract))


def _remarks(contract: PurchaseContract) -> Iterator[str]:
    agreed = " are not sent: the ERP takes those that it has agreed with the supplier"
    if contract.payment_terms:
        yield f"The payment terms {contract.payment_terms}{agreed}"
    if contract.incoterms:
        yield f"The Incoterms {contract.incoterms} {contract.incoterms_place}".rstrip() + agreed
    if contract.title:
        yield f"The title has no place in a contract of the ERP: {contract.title}"
    left_out = {
        f"Texts of items are cut to {CHARS} characters": [
            line for line in contract.lines if is_cut(line.description)
        ],
        f"Numbers of the supplier longer than {_SUPPLIER_ITEM_CHARS} are left out": [
            line for line in contract.lines if len(line.supplier_item) > _SUPPLIER_ITEM_CHARS
        ],
        "Minima of an order have no place in a contract of the ERP": [
            line for line in contract.lines if line.minimum is not None
        ],
    }
    for what, lines in left_out.items():
        if lines:
            yield f"{what}: line {', '.join(line.line for line in lines)}"


def _item(contract: PurchaseContract, own: OwnWords, line: ContractLine) -> AgreedItem:
    where = _where(contract, line)
    if not line.item:
        raise _refused(
            contract,
            "line-without-item",
            f"Line {line.line} is of a text or a group, which needs an account or a material group"
            " that nobody has stated",
            "Agree it in the ERP, or agree a material",
            line,
        )
    if len(line.plants) > 1:
        raise _refused(
            contract,
            "plants-not-representable",
            f"Line {line.line} is limited to {len(line.plants)} plants, an item of the ERP is for"
            " one or for all",
            "State a line for each of the plants",
            line,
        )
    _check_days(contract, line)
    order_unit = line.order_unit or (line.target.unit if line.target else "")
    unit = from_rec20(UNITS, order_unit, own.units, where=where) if order_unit else UNSET
    priced = _price(contract, own, line)
    too_long = len(line.supplier_item) > _SUPPLIER_ITEM_CHARS
    return AgreedItem(
        PurchaseContractItem=_item_number(contract, line),
        PurchasingContractDeletionCode=BLOCKED if line.is_blocked else UNSET,
        PurchaseContractItemText=short_text(line.description) or UNSET,
        Plant=line.plants[0] if line.plants else UNSET,
        # A part of it would name another article.
        SupplierMaterialNumber=UNSET if too_long else line.supplier_item or UNSET,
        OrderQuantityUnit=unit,
        TargetQuantity=_target(contract, line, order_unit),
        OrderPriceUnit=priced.OrderPriceUnit,
        ContractNetPriceAmount=priced.ContractNetPriceAmount,
        NetPriceQuantity=priced.NetPriceQuantity,
        PlannedDeliveryDurationInDays=_lead_time(contract, line),
        Material=line.item,
    )


def _check_days(contract: PurchaseContract, line: ContractLine) -> None:
    """Raises: Rejected where an order could be placed by the line, since the contract is valid, on
    a day on which the line is not."""
    begins = line.first_day is None or line.first_day <= contract.first_day
    ends = line.last_day is None or line.last_day >= (contract.last_day or OPEN_END)
    if not (begins and ends):
        raise _refused(
            contract,
            "line-days",
            f"Line {line.line} is valid from {line.first_day or contract.first_day} to"
            f" {line.last_day or contract.last_day or OPEN_END}, an item of the ERP as long as its"
            " contract",
            "State it in a contract of its own, or for all days of the contract",
            line,
        )


def _item_number(contract: PurchaseContract, line: ContractLine) -> str:
    number = unpadded(line.line)
    if number.isascii() and number.isdigit() and len(number) <= _ITEM_CHARS and number != "0":
        return number
    raise _refused(
        contract,
        "line-not-representable",
        f"Line {line.line} has no number from 1 to 99999, by which orders could name it",
        "Number the lines of the contract",
        line,
    )


def _price(contract: PurchaseContract, own: OwnWords, line: ContractLine) -> AgreedItem:
    """The fields of the price; none where the line agrees none."""
    price, where = line.price, _where(contract, line)
    if price is None:
        return AgreedItem()
    _check_currency(contract, price.amount.currency, f"Line {line.line}", line)
    amount, per = price_in_erp(price, where=where)
    return AgreedItem(
        ContractNetPriceAmount=format(amount, "f"),
        NetPriceQuantity=str(per),
        OrderPriceUnit=from_rec20(UNITS, price.per.unit, own.units, where=where),
    )


def _target(contract: PurchaseContract, line: ContractLine, order_unit: str) -> str | UnsetType:
    """How much is agreed; UNSET where nothing is, and what the ERP has then stays."""
    if line.target is None:
        return UNSET
    value, unit = line.target.value, line.target.unit
    if unit != order_unit:
        raise _refused(
            contract,
            "target-unit",
            f"Line {line.line} is ordered in {order_unit}, and {value} {unit} are agreed",
            "State the quantity in the unit in which it is ordered",
            line,
        )
    if value > 0 and fits(value):
        return format(value, "f")
    raise _refused(
        contract,
        "quantity-not-representable",
        f"{value} of line {line.line} is no quantity above 0 with {PLACES} decimals at most",
        "Agree it in another unit, or take the line out of the contract",
        line,
    )


def _target_value(contract: PurchaseContract) -> str | UnsetType:
    value = contract.target_value
    if value is None:
        return UNSET
    _check_currency(contract, value.currency, "What is agreed in all")
    amount: Decimal = value.amount
    if 0 < amount < _MAX_VALUE and amount == round(amount, PLACES):
        return format(amount, "f")
    raise _refused(
        contract,
        "value-not-representable",
        f"{amount} {value.currency} is no value above 0 with {PLACES} decimals at most",
        "State another value, or none",
    )


def _lead_time(contract: PurchaseContract, line: ContractLine) -> str | UnsetType:
    # 0 = the contract says nothing about it.
    if not line.lead_time_days:
        return UNSET
    if 0 < line.lead_time_days <= _MAX_LEAD_TIME_DAYS:
        return str(line.lead_time_days)
    raise _refused(
        contract,
        "lead-time-too-long",
        f"{line.lead_time_days} days of line {line.line} do not fit the ERP's three digits",
        "Correct the lead time in the contract",
        line,
    )


def _check_currency(
    contract: PurchaseContract, stated: str, what: str, line: ContractLine | None = None
) -> None:
    of_all = currency(contract)
    if stated != of_all:
        raise _refused(
            contract,
            "price-currency",
            f"{what} is in {stated}, the contract is in {of_all}: the ERP has one currency for"
            " both",
            "State it in the currency of the contract",
            line,
        )


def _where(contract: PurchaseContract, line: ContractLine | None) -> str:
    key = contract_key(contract.number)
    return f"{key}/{line.line}" if line is not None else key


def _refused(
    contract: PurchaseContract,
    code: str,
    what: str,
    remedy: str,
    line: ContractLine | None = None,
) -> Rejected:
    return Rejected(
        code,
        f"Contract {contract.number} cannot be made so: {what}",
        where=_where(contract, line),
        remedy=remedy,
        owner="purchasing",
    )
