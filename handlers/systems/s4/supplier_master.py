"""A_BusinessPartner as it was read back: what the ERP has of the supplier that the partner is, as a
patch of what is known. Accounts and clerks are not read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from msgspec import UNSET, UnsetType

from canonical.effects import Open
from canonical.errors import InvalidMessage
from canonical.money import Money, UnknownCurrency, minor_digits
from canonical.patch import Text
from canonical.supplier_master import CompanyPatch, PurchasingPatch, SupplierMasterPatch
from canonical.text import normalise_id, received_id
from handlers.systems.answers import printable
from handlers.systems.s4.compare import text_of
from handlers.systems.s4.native import Children
from handlers.systems.s4.native_read import (
    AddressUsage,
    Partner,
    PartnerAddress,
    PartnerSupplier,
    SupplierCompany,
    SupplierOrganisation,
)
from handlers.systems.s4.values import (
    Findings,
    currency,
    days,
    instant,
    key,
    key_or_none,
    mark,
    number,
    prose,
    reference,
    text,
    version,
)
from handlers.systems.s4.words import GROUP, ORGANISATION, PERSON, STANDARD_ADDRESS, TAX_NUMBERS

_ADDRESS = "to_BusinessPartnerAddress"
_NO_ADDRESS = PartnerAddress(to_AddressUsage=Children(()))
_NOTHING_SAID = (UNSET, UNSET, UNSET, UNSET)
_ISO_639_CHARS = 2


def supplier_of(partner: Partner) -> PartnerSupplier | None:
    """The supplier that the partner is; None where it is none.

    Raises: InvalidMessage where the partner names another one than it shows.
    """
    supplier = partner.to_Supplier
    named = key_or_none(partner.Supplier, where="Supplier")
    shown = key(supplier.Supplier, where="to_Supplier: Supplier") if supplier else ""
    if named and named != shown:
        raise InvalidMessage(
            "supplier-unclear",
            f"The partner is supplier {printable(named, 40)}, but the answer shows"
            f" {printable(shown, 40) or 'none'}",
            where="Supplier, to_Supplier: Supplier",
            remedy="Have the partner read again: change it in the ERP",
        )
    return supplier


def to_patch(
    partner: Partner, supplier: PartnerSupplier, read_at: datetime
) -> tuple[SupplierMasterPatch, tuple[Open, ...]]:
    """What the ERP has of the supplier, and cases for what of it cannot be understood.

    What the answer does not tell stays as it is known. Whether an order has to be confirmed is not
    in it.
    Raises: InvalidMessage where the supplier itself or a number cannot be read.
    """
    number_of = key(supplier.Supplier, where="to_Supplier: Supplier")
    found = Findings(f"supplier {number_of}")
    name, name2, name3, name4 = _names(partner, supplier, found)
    address = _address(partner, read_at, found)
    patch = SupplierMasterPatch(
        number=number_of,
        version=version(
            partner.LastChangeDate,
            partner.CreationDate,
            read_at=read_at,
            where="LastChangeDate, CreationDate",
        ),
        name=name,
        name2=name2,
        name3=name3,
        name4=name4,
        street=_street(address),
        district=text(address.District, where=f"{_ADDRESS}: District"),
        postal_code=text(address.PostalCode, where=f"{_ADDRESS}: PostalCode"),
        city=text(address.CityName, where=f"{_ADDRESS}: CityName"),
        region=text(address.Region, where=f"{_ADDRESS}: Region"),
        country=text(address.Country, where=f"{_ADDRESS}: Country"),
        po_box=text(address.POBox, where=f"{_ADDRESS}: POBox"),
        po_box_postal_code=text(address.POBoxPostalCode, where=f"{_ADDRESS}: POBoxPostalCode"),
        po_box_city=text(
            address.POBoxDeviatingCityName, where=f"{_ADDRESS}: POBoxDeviatingCityName"
        ),
        language=_language(address, found),
        tax_numbers=dict(_tax_numbers(supplier)),
        account_group=text(supplier.SupplierAccountGroup, where=_of("SupplierAccountGroup")),
        group=text(supplier.SupplierCorporateGroup, where=_of("SupplierCorporateGroup")),
        remit_to=reference(
            supplier.AlternativePayeeAccountNumber, where=_of("AlternativePayeeAccountNumber")
        ),
        quality_block=text(
            supplier.SupplierProcurementBlock, where=_of("SupplierProcurementBlock")
        ),
        is_posting_blocked=mark(supplier.PostingIsBlocked),
        is_purchasing_blocked=mark(supplier.PurchasingIsBlocked),
        is_deleted=mark(supplier.DeletionIndicator),
        companies=tuple(_company(view) for view in supplier.to_SupplierCompany.results),
        organisations=tuple(
            _purchasing(view, found) for view in supplier.to_SupplierPurchasingOrg.results
        ),
        source_id=received_id(text_of(supplier.Supplier), where="to_Supplier: Supplier"),
        stated_at=read_at,
    )
    return patch, tuple(found.cases)


def _of(field: str) -> str:
    return f"to_Supplier: {field}"


def _names(
    partner: Partner, supplier: PartnerSupplier, found: Findings
) -> tuple[Text, Text, Text, Text]:
    """The name and up to three lines below it, which each category of partners has elsewhere."""
    category = partner.BusinessPartnerCategory
    if category is UNSET:
        return _NOTHING_SAID
    if category == PERSON:
        return text(supplier.SupplierName, where=_of("SupplierName")), None, None, None
    if category == ORGANISATION:
        return (
            text(partner.OrganizationBPName1, where="OrganizationBPName1"),
            text(partner.OrganizationBPName2, where="OrganizationBPName2"),
            text(partner.OrganizationBPName3, where="OrganizationBPName3"),
            text(partner.OrganizationBPName4, where="OrganizationBPName4"),
        )
    if category == GROUP:
        return (
            text(partner.GroupBusinessPartnerName1, where="GroupBusinessPartnerName1"),
            text(partner.GroupBusinessPartnerName2, where="GroupBusinessPartnerName2"),
            None,
            None,
        )
    found.add(
        InvalidMessage(
            "category-unmapped",
            f"The category of partners {text_of(category)[:10]!r} is in no table: no name is taken",
            where="BusinessPartnerCategory",
            remedy="Have the word mapped or correct it in the ERP",
        )
    )
    return _NOTHING_SAID


def _address(partner: Partner, read_at: datetime, found: Findings) -> PartnerAddress:
    """The only address, else the one that is the standard address when it was read. An address that
    says nothing where there is none, or where it cannot be told which."""
    addresses = partner.to_BusinessPartnerAddress.results
    if len(addresses) > 1:
        standard = tuple(one for one in addresses if _is_standard(one, read_at))
        if len(standard) != 1:
            found.add(
                InvalidMessage(
                    "address-unclear",
                    f"{len(standard)} of {len(addresses)} addresses are the standard address: none"
                    " is taken",
                    where=_ADDRESS,
                    remedy="Have one address marked as the standard address in the ERP",
                )
            )
            return _NO_ADDRESS
        return standard[0]
    return addresses[0] if addresses else _NO_ADDRESS


def _is_standard(address: PartnerAddress, read_at: datetime) -> bool:
    return any(
        usage.AddressUsage == STANDARD_ADDRESS and _is_valid(usage, read_at)
        for usage in address.to_AddressUsage.results
    )


def _is_valid(usage: AddressUsage, read_at: datetime) -> bool:
    where = f"{_ADDRESS}, to_AddressUsage"
    since = instant(usage.ValidityStartDate, where=f"{where}: ValidityStartDate")
    until = instant(usage.ValidityEndDate, where=f"{where}: ValidityEndDate")
    return (since is None or since <= read_at) and (until is None or read_at <= until)


def _street(address: PartnerAddress) -> Text:
    """The street with its house number, as IDocs and forms have it."""
    if address.StreetName is UNSET:
        return UNSET
    parts = (
        prose(address.StreetName, where=f"{_ADDRESS}: StreetName"),
        prose(address.HouseNumber, where=f"{_ADDRESS}: HouseNumber"),
        prose(address.HouseNumberSupplementText, where=f"{_ADDRESS}: HouseNumberSupplementText"),
    )
    return " ".join(part for part in parts if part) or None


def _language(address: PartnerAddress, found: Findings) -> Text:
    """ISO 639, as the service has it."""
    stated = text(address.Language, where=f"{_ADDRESS}: Language")
    if not isinstance(stated, str):
        return stated
    if len(stated) != _ISO_639_CHARS or not (stated.isascii() and stated.isalpha()):
        found.add(
            InvalidMessage(
                "language-unmapped",
                f"The language {stated[:10]!r} is none of ISO 639",
                where=f"{_ADDRESS}: Language",
                remedy="Have the word mapped or correct it in the ERP",
            )
        )
        return UNSET
    return stated.upper()


def _tax_numbers(supplier: PartnerSupplier) -> Iterator[tuple[str, str | None]]:
    for field, kind in TAX_NUMBERS.items():
        stated = text(getattr(supplier, field), where=_of(field))
        if stated is not UNSET:
            yield kind, stated


def _company(view: SupplierCompany) -> CompanyPatch:
    name = normalise_id(text_of(view.CompanyCode), where="to_SupplierCompany: CompanyCode")
    where = f"to_SupplierCompany, {name[:10]}"
    return CompanyPatch(
        company=name,
        payment_terms=text(view.PaymentTerms, where=f"{where}: PaymentTerms"),
        reconciliation_account=reference(
            view.ReconciliationAccount, where=f"{where}: ReconciliationAccount"
        ),
        payment_block=text(view.PaymentBlockingReason, where=f"{where}: PaymentBlockingReason"),
        remit_to=reference(view.AlternativePayee, where=f"{where}: AlternativePayee"),
        is_posting_blocked=mark(view.SupplierIsBlockedForPosting),
        is_deleted=mark(view.DeletionIndicator),
    )


def _purchasing(view: SupplierOrganisation, found: Findings) -> PurchasingPatch:
    name = normalise_id(
        text_of(view.PurchasingOrganization),
        where="to_SupplierPurchasingOrg: PurchasingOrganization",
    )
    where = f"to_SupplierPurchasingOrg, {name[:10]}"
    return PurchasingPatch(
        organisation=name,
        currency=currency(
            view.PurchaseOrderCurrency, found, where=f"{where}: PurchaseOrderCurrency"
        ),
        payment_terms=text(view.PaymentTerms, where=f"{where}: PaymentTerms"),
        incoterms=text(view.IncotermsClassification, where=f"{where}: IncotermsClassification"),
        incoterms_place=_incoterms_place(view, where),
        minimum_order=_minimum_order(view, where, found),
        purchasing_group=text(view.PurchasingGroup, where=f"{where}: PurchasingGroup"),
        lead_time_days=days(
            view.MaterialPlannedDeliveryDurn, where=f"{where}: MaterialPlannedDeliveryDurn"
        ),
        is_purchasing_blocked=mark(view.PurchasingIsBlockedForSupplier),
        is_deleted=mark(view.DeletionIndicator),
    )


def _incoterms_place(view: SupplierOrganisation, where: str) -> Text:
    """In full where the release has it so, else as far as 28 characters hold it."""
    full = text(view.IncotermsLocation1, where=f"{where}: IncotermsLocation1")
    if isinstance(full, str):
        return full
    short = text(view.IncotermsTransferLocation, where=f"{where}: IncotermsTransferLocation")
    return full if short is UNSET else short


def _minimum_order(
    view: SupplierOrganisation, where: str, found: Findings
) -> Money | UnsetType | None:
    """In the order currency; an amount of 0 is one that nobody has stated."""
    if view.MinimumOrderAmount is UNSET:
        return UNSET
    where = f"{where}: MinimumOrderAmount"
    amount = number(view.MinimumOrderAmount, where=where)
    if not amount:
        return None
    code = text_of(view.PurchaseOrderCurrency)
    try:
        minor_digits(code, where=where)
    except UnknownCurrency as failure:
        found.add(failure)
        return UNSET
    return Money(amount, code)
