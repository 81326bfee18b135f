"""Purchase contracts as A_PurchaseContract, with items.

The ERP numbers its contracts itself: one that was agreed elsewhere is known there by its number as
"our reference". What is there is changed in batches, the only way that the service takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import msgspec
from msgspec import UNSET

from canonical.connector import Absent, More, Observed, Present
from canonical.effectivity import OPEN_END
from canonical.errors import Conflict, Misconfigured, SuspectedDuplicate
from canonical.exchange import Request, Response
from canonical.own_words import OwnWords
from canonical.purchase_contract import PurchaseContract, contract_key
from handlers.systems.s4 import odata
from handlers.systems.s4.amounts import same_price
from handlers.systems.s4.compare import (
    Difference,
    differing,
    in_words,
    present,
    same_date,
    same_id,
    same_number,
    same_text,
    same_unit,
    text_of,
    unpadded,
)
from handlers.systems.s4.contract_wanted import (
    currency,
    reference,
    wanted,
    wanted_header,
    wanted_items,
)
from handlers.systems.s4.native import AgreedContract, AgreedItem, Written
from handlers.systems.s4.read_back import CONTRACT_SERVICE as SERVICE
from handlers.systems.s4.words import BLOCKED, DELETED, TAKEN_OUT

_CONTRACTS, _ITEMS = "A_PurchaseContract", "A_PurchaseContractItem"
_NAVIGATION = "to_PurchaseContractItem"
_NUMBER_CHARS = 10
_CODE = "PurchasingContractDeletionCode"
_PRICE = ("ContractNetPriceAmount", "NetPriceQuantity", "OrderPriceUnit")
_NO_END = odata.date_literal(OPEN_END)
# Of the header: written only.
_UNREAD = frozenset({"PurchaseContractType", "PurchasingGroup"})
# Contracts name clerks and their telephones: they are not even asked for.
_OPTIONS = {
    "expand": _NAVIGATION,
    "select": ",".join(
        (
            *(name for name in odata.fields(AgreedContract) if name not in _UNREAD),
            *(f"{_NAVIGATION}/{name}" for name in odata.fields(AgreedItem)),
        )
    ),
}


def observe(contract: PurchaseContract) -> Request:
    """The read of the contract, whole, by our number."""
    return ask_by_reference(reference(contract))


def read(contract: PurchaseContract, own: OwnWords, response: Response) -> Observed | More:
    """What the target holds as this contract.

    Where nothing there refers to it, and its number could be one of the ERP's, the next call looks
    there: a contract of the ERP's own that comes back from elsewhere must not be made again.
    """
    held = referring(contract.number, response)
    if held is not None:
        return _observed(contract, own, held)
    if not could_be_of_the_erp(contract.number):
        return _absent(contract)
    return More(ask_by_number(contract.number), partial(_read_by_number, contract, own))


def create(contract: PurchaseContract, group: str, own: OwnWords) -> Request:
    """The create of header and items in one call."""
    return odata.post(odata.address(SERVICE, _CONTRACTS), wanted(contract, group, own))


def check_written(contract: PurchaseContract, response: Response) -> str:
    """The contract's number as the target confirms it; "" where it confirms without a body."""
    written = odata.read_written(response)
    if written is None:
        return ""
    number = text_of(written.PurchaseContract)
    if not number or not _is_about(contract, written):
        raise odata.about_another("purchase contract", number, "PurchaseContract")
    return number


def differences(
    contract: PurchaseContract, own: OwnWords, held: AgreedContract
) -> tuple[Difference, ...]:
    """The writes that are missing, in their order: days and value, new items, changed ones, then
    those that are taken out, so that a contract is never empty on the way.

    Supplier, organisation and currency make it another contract, and the rest of the header is the
    buyers', the block and the deletion of the whole among it. Of a contract that is suspended or
    has ended the items are blocked, and nothing else of them is changed.
    """
    if contract.status == "draft":
        return ()
    is_over = contract.status != "active"
    if held.PurchasingDocumentDeletionCode in DELETED:
        if is_over or not contract.lines:
            return ()
        name = "PurchasingDocumentDeletionCode"
        return (_conflict(contract, in_words(name, getattr(held, name), "")),)
    if other := next(_of_another(contract, held), None):
        return (_conflict(contract, in_words(*other)),)
    rows = {
        unpadded(text_of(row.PurchaseContractItem)): row
        for row in odata.expanded(held.to_PurchaseContractItem, _NAVIGATION)
    }
    items = _blocked(rows) if is_over else _items(contract, own, held, rows)
    return (*_header(contract, held), *items)


# --- header ---


def _of_another(contract: PurchaseContract, held: AgreedContract) -> Iterator[tuple[str, str, str]]:
    """Fields of the header that are another's: name, what is held, what is wanted."""
    supplier = text_of(held.Supplier)
    if not same_id(supplier, contract.supplier):
        yield "Supplier", supplier, contract.supplier
    paid_in = currency(contract)
    if paid_in and text_of(held.DocumentCurrency) != paid_in:
        yield "DocumentCurrency", text_of(held.DocumentCurrency), paid_in
    organisation = text_of(held.PurchasingOrganization)
    if contract.organisation and organisation != contract.organisation:
        yield "PurchasingOrganization", organisation, contract.organisation


def _header(contract: PurchaseContract, held: AgreedContract) -> Iterator[Difference]:
    want = wanted_header(contract)
    rules = {
        "ValidityStartDate": same_date,
        "ValidityEndDate": _same_end,
        "PurchaseContractTargetAmount": same_number,
    }
    fields = {name: text_of(getattr(want, name)) for name in differing(want, held, rules)}
    if fields:
        what = tuple(in_words(name, getattr(held, name), fields[name]) for name in fields)
        path = odata.address(SERVICE, _CONTRACTS, PurchaseContract=text_of(held.PurchaseContract))
        body = msgspec.convert(fields, AgreedContract)
        yield Difference(what, odata.patch(path, body, odata.etag_of(held)))


def _same_end(left: str, right: str) -> bool:
    return same_date(left or _NO_END, right or _NO_END)


# --- items ---


def _items(
    contract: PurchaseContract,
    own: OwnWords,
    held: AgreedContract,
    rows: Mapping[str, AgreedItem],
) -> Iterator[Difference]:
    asked = wanted_items(contract, own)
    items = {unpadded(text_of(item.PurchaseContractItem)): item for item in asked}
    for number, item in items.items():
        if number not in rows:
            yield _added(text_of(held.PurchaseContract), item)
    for number, item in items.items():
        if row := rows.get(number):
            shown = _unchangeable(item, own, row)
            yield from [_conflict(contract, shown)] if shown else _changed(item, own, row)
    for number, row in rows.items():
        if number not in items and _is_alive(row):
            what = f"Item {text_of(row.PurchaseContractItem)}: {text_of(row.Material)}, wanted none"
            yield _patched(row, {_CODE: TAKEN_OUT}, (what,))


def _blocked(rows: Mapping[str, AgreedItem]) -> Iterator[Difference]:
    for row in rows.values():
        if _is_alive(row) and text_of(getattr(row, _CODE)) != BLOCKED:
            yield _patched(row, {_CODE: BLOCKED})


def _is_alive(row: AgreedItem) -> bool:
    return row.PurchasingContractDeletionCode not in DELETED


def _unchangeable(item: AgreedItem, own: OwnWords, row: AgreedItem) -> str:
    """Why a person has to change the item; "" where the driver may."""
    at = f"Item {text_of(item.PurchaseContractItem)} "
    if not _is_alive(row):
        # Whether the service takes the code back, nobody has said.
        return at + in_words(_CODE, getattr(row, _CODE), "")
    if not same_id(text_of(row.Material), text_of(item.Material)):
        return at + in_words("Material", row.Material, item.Material)
    name = "OrderQuantityUnit"
    wants = text_of(getattr(item, name))
    if wants and not same_unit(text_of(getattr(row, name)), wants, own):
        # Orders that drew on it are in the unit that it had.
        return at + in_words(name, getattr(row, name), wants)
    return ""


def _added(contract: str, item: AgreedItem) -> Difference:
    """The create of an item that the contract does not have. contract: the ERP's number."""
    body = msgspec.structs.replace(item, PurchaseContract=contract)
    what = f"Item {text_of(item.PurchaseContractItem)}: missing, wanted {text_of(item.Material)}"
    return Difference((what,), odata.post(odata.address(SERVICE, _ITEMS), body))


def _changed(item: AgreedItem, own: OwnWords, row: AgreedItem) -> Iterator[Difference]:
    rules = {
        "PurchaseContractItemText": same_text,
        "Plant": same_text,
        "SupplierMaterialNumber": same_text,
        "TargetQuantity": same_number,
        "PlannedDeliveryDurationInDays": same_number,
    }
    fields = {name: text_of(getattr(item, name)) for name in differing(item, row, rules)}
    if item.ContractNetPriceAmount is not UNSET and not _has_price(item, own, row):
        # A price is one statement: its parts are never changed alone.
        fields |= {name: text_of(getattr(item, name)) for name in _PRICE}
    if text_of(getattr(item, _CODE)) != text_of(getattr(row, _CODE)):
        fields[_CODE] = text_of(getattr(item, _CODE))
    if fields:
        yield _patched(row, fields)


def _has_price(item: AgreedItem, own: OwnWords, row: AgreedItem) -> bool:
    held, want = (
        (text_of(price.ContractNetPriceAmount), text_of(price.NetPriceQuantity))
        for price in (row, item)
    )
    # Without a unit of its own the price is for the order unit.
    unit = text_of(row.OrderPriceUnit) or text_of(row.OrderQuantityUnit)
    return same_price(held, want) and same_unit(unit, text_of(item.OrderPriceUnit), own)


def _patched(row: AgreedItem, fields: Mapping[str, str], what: Sequence[str] = ()) -> Difference:
    """The change of these fields. what: said of it; a line a field where nothing is given."""
    at = f"Item {text_of(row.PurchaseContractItem)} "
    path = odata.address(
        SERVICE,
        _ITEMS,
        PurchaseContract=text_of(row.PurchaseContract),
        PurchaseContractItem=text_of(row.PurchaseContractItem),
    )
    body = msgspec.convert(fields, AgreedItem)
    said = what or [at + in_words(name, getattr(row, name), fields[name]) for name in fields]
    return Difference(tuple(said), odata.patch(path, body, odata.etag_of(row)))


# --- which contract is meant ---


def ask_by_reference(number: str) -> Request:
    """The read of all contracts that refer to that number, whole."""
    asked = odata.equals(CorrespncInternalReference=number)
    return odata.get(odata.address(SERVICE, _CONTRACTS), filter=asked, **_OPTIONS)


def ask_by_number(number: str) -> Request:
    """The read of the contract that has that number as its own, whole."""
    return odata.get(odata.address(SERVICE, _CONTRACTS, PurchaseContract=number), **_OPTIONS)


def referring(number: str, response: Response) -> AgreedContract | None:
    """The contract that refers to that number; one that is deleted counts where there is no other.

    Raises: SuspectedDuplicate where several do.
    """
    found = [
        held
        for held in odata.read_all(response, AgreedContract)
        if text_of(held.CorrespncInternalReference).strip() == number
    ]
    alive = [held for held in found if held.PurchasingDocumentDeletionCode not in DELETED]
    candidates = alive or found
    if len(candidates) > 1:
        numbers = ", ".join(text_of(held.PurchaseContract) for held in candidates[:5])
        raise SuspectedDuplicate(
            "contract-ambiguous",
            f"{len(candidates)} contracts of the ERP refer to {number}: {numbers}",
            where=contract_key(number),
            remedy="Delete all but one in the ERP, then release the step again",
            owner="purchasing",
        )
    return candidates[0] if candidates else None


def could_be_of_the_erp(number: str) -> bool:
    """Whether the ERP could have given that number."""
    return number.isascii() and number.isdigit() and len(number) <= _NUMBER_CHARS


def read_numbered(number: str, response: Response) -> AgreedContract | None:
    """The contract that has that number as its own, if there is one."""
    held = odata.read_one(response, AgreedContract)
    if held is not None and not same_id(text_of(held.PurchaseContract), number):
        raise Misconfigured(
            "answer-about-another",
            f"Asked for contract {number}, answered about another one",
            where="PurchaseContract",
        )
    return held


def items_of(held: AgreedContract) -> dict[str, str]:
    """Materials of its items, by their numbers without zeros; of deleted ones too."""
    return {
        unpadded(text_of(row.PurchaseContractItem)): text_of(row.Material)
        for row in odata.expanded(held.to_PurchaseContractItem, _NAVIGATION)
    }


def _read_by_number(contract: PurchaseContract, own: OwnWords, response: Response) -> Observed:
    """The contract that has our number as its own, if it is the same one.

    Numbers of two systems meet by chance: a contract with another supplier is another one. What has
    the supplier and no item in common may be either, and a person says so by its reference.
    """
    held = read_numbered(contract.number, response)
    if held is None or not same_id(text_of(held.Supplier), contract.supplier):
        return _absent(contract)
    if _is_same(contract, held):
        return _observed(contract, own, held)
    if text_of(held.CorrespncInternalReference).strip():
        return _absent(contract)
    raise SuspectedDuplicate(
        "contract-number-taken",
        f"The ERP has a contract {contract.number} with the same supplier, on other items",
        where=contract_key(contract.number),
        remedy="Enter this number as our reference there if it is the same contract, any other text"
        " if it is not, then release the step again",
        owner="purchasing",
    )


def _is_same(contract: PurchaseContract, held: AgreedContract) -> bool:
    """Whether the lines that both have are of the same materials, and they have some."""
    materials = items_of(held)
    both = [line for line in contract.lines if unpadded(line.line) in materials]
    return bool(both) and all(same_id(materials[unpadded(line.line)], line.item) for line in both)


def _absent(contract: PurchaseContract) -> Observed:
    """Of a contract on which nothing may be bought nothing has to be there."""
    may_be_bought_on = contract.status == "active" and contract.lines
    return Absent() if may_be_bought_on else Present(equal=True)


def _observed(contract: PurchaseContract, own: OwnWords, held: AgreedContract) -> Present:
    return present(held, held.PurchaseContract, differences(contract, own, held))


def _is_about(contract: PurchaseContract, written: Written) -> bool:
    if refers := text_of(written.CorrespncInternalReference).strip():
        return refers == contract.number
    item = text_of(written.PurchaseContractItem)
    return any(same_id(item, line.line) for line in contract.lines)


def _conflict(contract: PurchaseContract, shown: str) -> Difference:
    return Difference(
        (shown,),
        conflict=Conflict(
            "contract-differs",
            f"Contract {contract.number} cannot be changed so from here: {shown}",
            where=contract_key(contract.number),
            remedy="Settle it with purchasing in the ERP, then release the step again",
        ),
    )
