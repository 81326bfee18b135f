"""Suppliers as A_BusinessPartner, with their role, their address and A_Supplier.

Only what all companies and purchasing organisations of a supplier share is written: their views
have keys of the ERP's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

import msgspec
from msgspec import UNSET

from canonical.connector import Absent, More, Observed, Present
from canonical.errors import Conflict, Misconfigured, Rejected, SuspectedDuplicate
from canonical.exchange import Request, Response
from canonical.supplier_master import SupplierMaster, supplier_master_key
from handlers.systems.s4 import odata
from handlers.systems.s4.compare import (
    Difference,
    differing,
    in_words,
    present,
    same_id,
    same_text,
    text_of,
)
from handlers.systems.s4.native import (
    BusinessPartner,
    Children,
    PartnerAddress,
    PartnerAddressUse,
    PartnerRole,
    SupplierGeneral,
)
from handlers.systems.s4.read_back import PARTNER_SERVICE as SERVICE
from handlers.systems.s4.texts import CHARS, is_cut, short_text
from handlers.systems.s4.words import (
    EXTERNAL_NUMBERS,
    ORGANISATION,
    STANDARD_ADDRESS,
    SUPPLIER_ROLE,
)

_PARTNERS = "A_BusinessPartner"
_ADDRESS = "to_BusinessPartnerAddress"
_NAMES = {
    "OrganizationBPName1": "name",
    "OrganizationBPName2": "name2",
    "OrganizationBPName3": "name3",
    "OrganizationBPName4": "name4",
}
# Field -> ours, and how many characters it takes. Texts are cut; a part of a code is another one.
_TEXTS = {
    "StreetName": ("street", 60),
    "District": ("district", 40),
    "CityName": ("city", 40),
    "POBoxDeviatingCityName": ("po_box_city", 40),
}
_CODES = {
    "PostalCode": ("postal_code", 10),
    "Region": ("region", 3),
    "Country": ("country", 3),
    "POBox": ("po_box", 10),
    "POBoxPostalCode": ("po_box_postal_code", 10),
}
_HOUSE_NUMBER = ("HouseNumber", "HouseNumberSupplementText")
_FLAGS = {
    "PostingIsBlocked": "is_posting_blocked",
    "PurchasingIsBlocked": "is_purchasing_blocked",
    "DeletionIndicator": "is_deleted",
}
_BLOCK_CHARS = 2
_NUMBER_CHARS = 10
# Of the partner: written only. Partners are people too: no more is asked for than is compared.
_UNREAD = frozenset({"BusinessPartnerGrouping"})
_OPTIONS = {
    "expand": f"to_Supplier,{_ADDRESS},{_ADDRESS}/to_AddressUsage",
    "select": ",".join(
        (
            *(name for name in odata.fields(BusinessPartner) if name not in _UNREAD),
            *(f"to_Supplier/{name}" for name in odata.fields(SupplierGeneral)),
            *(f"{_ADDRESS}/{name}" for name in odata.fields(PartnerAddress)),
            *(f"{_ADDRESS}/to_AddressUsage/{name}" for name in odata.fields(PartnerAddressUse)),
        )
    ),
}


def observe(supplier: SupplierMaster) -> Request:
    """The read of the partner that is the supplier; its own number may be another one."""
    asked = odata.equals(Supplier=supplier.number)
    return odata.get(odata.address(SERVICE, _PARTNERS), filter=asked, **_OPTIONS)


def read(supplier: SupplierMaster, response: Response) -> Observed | More:
    """What the target holds as this supplier; where there is none, the next call looks whether its
    number is free."""
    found = [
        held
        for held in odata.read_all(response, BusinessPartner)
        if same_id(text_of(held.Supplier), supplier.number)
    ]
    if len(found) > 1:
        raise SuspectedDuplicate(
            "supplier-ambiguous",
            f"{len(found)} partners of the ERP are supplier {supplier.number}",
            where=supplier_master_key(supplier.number),
            remedy="Settle in the ERP which of them it is, then release the step again",
            owner="master data",
        )
    if found:
        return _observed(supplier, found[0])
    path = odata.address(SERVICE, _PARTNERS, BusinessPartner=supplier.number)
    return More(odata.get(path, **_OPTIONS), partial(_read_by_number, supplier))


def create(supplier: SupplierMaster) -> Request:
    """The create of partner, role, address and supplier in one call, under the supplier's number.

    Raises: Rejected for a number or a name that no partner can have.
    """
    if len(supplier.number) > _NUMBER_CHARS:
        raise _refused(
            supplier, "number-too-long", f"Its number has more than {_NUMBER_CHARS} characters"
        )
    names = _names(supplier)
    if not names:
        raise _refused(supplier, "name-missing", "It has no name")
    address = _address(supplier)
    partner = BusinessPartner(
        BusinessPartner=supplier.number,
        BusinessPartnerCategory=ORGANISATION,
        BusinessPartnerGrouping=EXTERNAL_NUMBERS,
        to_BusinessPartnerRole=Children((PartnerRole(BusinessPartnerRole=SUPPLIER_ROLE),)),
        to_BusinessPartnerAddress=Children((_stated(address),)) if address else UNSET,
        to_Supplier=_new_general(supplier),
    )
    return odata.post(
        odata.address(SERVICE, _PARTNERS),
        msgspec.structs.replace(partner, **{name: text for name, text in names.items() if text}),
    )


def check_written(supplier: SupplierMaster, response: Response) -> str:
    """The supplier's number as the target confirms it; "" where it confirms without a body."""
    written = odata.read_written(response)
    if written is None:
        return ""
    number = text_of(written.Supplier) or text_of(written.BusinessPartner)
    # The answer to a new address names the partner alone, whose number may be another one.
    if not number or not (text_of(written.AddressID) or same_id(number, supplier.number)):
        raise odata.about_another("supplier", number, "BusinessPartner, Supplier")
    return supplier.number


def differences(supplier: SupplierMaster, held: BusinessPartner) -> tuple[Difference, ...]:
    """The writes that are missing, blocks first: nobody should buy while an address is changed."""
    if not isinstance(held.to_Supplier, SupplierGeneral):
        raise Misconfigured(
            "answer-incomplete",
            "The partner is a supplier, of which the answer shows nothing",
            where="to_Supplier",
            remedy="Check the authorisation to read suppliers",
        )
    found = (
        _blocks(supplier, held.to_Supplier),
        _renamed(supplier, held),
        _moved(supplier, held),
    )
    return tuple(difference for difference in found if difference is not None)


def remarks(supplier: SupplierMaster) -> tuple[str, ...]:
    """What of the supplier the target does not get."""
    return tuple(_remarks(supplier))


def _remarks(supplier: SupplierMaster) -> Iterator[str]:
    own = {
        "views of companies": supplier.companies,
        "views of purchasing organisations": supplier.organisations,
        "tax numbers": supplier.tax_numbers,
        "account group": supplier.account_group,
        "corporate group": supplier.group,
        "alternative payee": supplier.remit_to,
    }
    stated = [what for what, value in own.items() if value]
    if stated:
        yield f"Not sent of {supplier.number}, since each ERP has its own: {', '.join(stated)}"
    texts = [(name, CHARS) for name in _NAMES.values()] + list(_TEXTS.values())
    cut = [name for name, chars in texts if is_cut(getattr(supplier, name), chars)]
    if cut:
        yield f"Texts of {supplier.number} are cut to what the ERP holds: {', '.join(cut)}"


# --- the target's side ---


def _observed(supplier: SupplierMaster, held: BusinessPartner) -> Present:
    return present(held, held.Supplier, differences(supplier, held))


def _read_by_number(supplier: SupplierMaster, response: Response) -> Observed:
    held = odata.read_one(response, BusinessPartner)
    if held is None:
        # One that is deleted where it is kept need not be made here first.
        return Present(equal=True) if supplier.is_deleted else Absent()
    if same_id(text_of(held.Supplier), supplier.number):
        return _observed(supplier, held)
    raise Conflict(
        "partner-taken",
        f"Partner {supplier.number} is there and is no supplier of that number",
        where=supplier_master_key(supplier.number),
        remedy="Make the partner this supplier in the ERP, or give one of them another number",
        owner="master data",
    )


def _blocks(supplier: SupplierMaster, held: SupplierGeneral) -> Difference | None:
    want = _general(supplier)
    changed = {
        name: getattr(want, name)
        for name in _FLAGS
        if (getattr(held, name) is True) is not getattr(want, name)
    }
    what = [in_words(n, _word(getattr(held, n)), _word(value)) for n, value in changed.items()]
    name = "SupplierProcurementBlock"
    if differing(want, held, {name: same_text}):
        changed[name] = want.SupplierProcurementBlock
        what.append(in_words(name, held.SupplierProcurementBlock, want.SupplierProcurementBlock))
    if not changed:
        return None
    path = odata.address(SERVICE, "A_Supplier", Supplier=text_of(held.Supplier))
    body = msgspec.convert(changed, SupplierGeneral)
    return Difference(tuple(what), odata.patch(path, body, odata.etag_of(held)))


def _word(flag: object) -> str:
    return "true" if flag is True else "false"


def _renamed(supplier: SupplierMaster, held: BusinessPartner) -> Difference | None:
    """Names of persons and groups are in other fields, and stay as they are."""
    if text_of(held.BusinessPartnerCategory) != ORGANISATION:
        return None
    want = msgspec.convert(_names(supplier), BusinessPartner)
    path = odata.address(SERVICE, _PARTNERS, BusinessPartner=text_of(held.BusinessPartner))
    return _patched(want, held, _NAMES, path)


def _moved(supplier: SupplierMaster, held: BusinessPartner) -> Difference | None:
    """The standard address follows as a whole, where one is known at all."""
    fields = _address(supplier)
    if not fields:
        return None
    address = _standard(supplier, odata.expanded(held.to_BusinessPartnerAddress, _ADDRESS))
    partner = text_of(held.BusinessPartner)
    if address is None:
        path = odata.address(SERVICE, _PARTNERS, BusinessPartner=partner)
        return Difference(("Address: missing",), odata.post(f"{path}/{_ADDRESS}", _stated(fields)))
    parts = (address.StreetName, address.HouseNumber, address.HouseNumberSupplementText)
    if same_text(" ".join(map(text_of, parts)), fields["StreetName"]):
        # The house number may stand by itself.
        fields = {n: v for n, v in fields.items() if n not in ("StreetName", *_HOUSE_NUMBER)}
    path = odata.address(
        SERVICE,
        "A_BusinessPartnerAddress",
        BusinessPartner=partner,
        AddressID=text_of(address.AddressID),
    )
    return _patched(msgspec.convert(fields, PartnerAddress), address, fields, path)


def _standard(
    supplier: SupplierMaster, addresses: Sequence[PartnerAddress]
) -> PartnerAddress | None:
    """The only address, else the one that is used as the standard one; None where there is none."""
    if len(addresses) < 2:
        return addresses[0] if addresses else None
    standard = [one for one in addresses if _is_standard(one)]
    if len(standard) == 1:
        return standard[0]
    raise Conflict(
        "address-unclear",
        f"{len(standard)} of {len(addresses)} addresses are the standard address",
        where=supplier_master_key(supplier.number),
        remedy="Have one address marked as the standard address in the ERP",
        owner="master data",
    )


def _is_standard(address: PartnerAddress) -> bool:
    usages = odata.expanded(address.to_AddressUsage, "to_AddressUsage")
    return any(text_of(usage.AddressUsage) == STANDARD_ADDRESS for usage in usages)


def _patched(
    want: BusinessPartner | PartnerAddress,
    held: BusinessPartner | PartnerAddress,
    compared: Iterable[str],
    path: str,
) -> Difference | None:
    names = differing(want, held, dict.fromkeys(compared, same_text))
    if not names:
        return None
    body = msgspec.convert({name: getattr(want, name) for name in names}, type(want))
    what = tuple(in_words(name, getattr(held, name), getattr(want, name)) for name in names)
    return Difference(what, odata.patch(path, body, odata.etag_of(held)))


# --- our side ---


def _names(supplier: SupplierMaster) -> dict[str, str]:
    """The name and the lines below it, which follow it; nothing where no name is known."""
    if not supplier.name.strip():
        return {}
    return {field: short_text(getattr(supplier, name)) for field, name in _NAMES.items()}


def _address(supplier: SupplierMaster) -> dict[str, str]:
    """The fields of the address, empty ones as well; nothing where none of them is known.

    Raises: Rejected for a code that is too long.
    """
    fields = {}
    for field, (name, chars) in _TEXTS.items():
        fields[field] = short_text(getattr(supplier, name), chars)
    for field, (name, chars) in _CODES.items():
        stated = getattr(supplier, name).strip()
        if len(stated) > chars:
            raise _refused(
                supplier, "address-too-long", f"Its {name} has more than {chars} characters"
            )
        fields[field] = stated
    if not any(fields.values()):
        return {}
    # What is known of the house number stands in the street.
    fields |= dict.fromkeys(_HOUSE_NUMBER, "")
    return fields | ({"Language": supplier.language} if supplier.language else {})


def _stated(fields: Mapping[str, str]) -> PartnerAddress:
    return msgspec.convert({name: text for name, text in fields.items() if text}, PartnerAddress)


def _general(supplier: SupplierMaster) -> SupplierGeneral:
    block = supplier.quality_block.strip()
    if len(block) > _BLOCK_CHARS:
        raise _refused(
            supplier, "quality-block-unmapped", f"The block {block[:40]!r} is no word of the ERP"
        )
    flags = {field: getattr(supplier, name) for field, name in _FLAGS.items()}
    return SupplierGeneral(**flags, SupplierProcurementBlock=block)


def _new_general(supplier: SupplierMaster) -> SupplierGeneral:
    general = _general(supplier)
    block = general.SupplierProcurementBlock or UNSET
    return msgspec.structs.replace(general, SupplierProcurementBlock=block)


def _refused(supplier: SupplierMaster, code: str, what: str) -> Rejected:
    return Rejected(
        code,
        f"Supplier {supplier.number} cannot be held by the ERP: {what}",
        where=supplier_master_key(supplier.number),
        remedy="Correct it where the supplier is kept",
        owner="master data",
    )
