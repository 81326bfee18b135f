"""CREMAS in CREMAS05: what an SAP system says of a supplier.

Segments and fields: public field lists of E1LFA1M, E1LFB1M and E1LFM1M (README.md). E1LFBKM, the
bank accounts, is not read, and neither is the house bank.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from msgspec import UNSET, UnsetType

from canonical.effects import Open
from canonical.errors import InvalidMessage
from canonical.money import Money
from canonical.patch import Text
from canonical.supplier_master import CompanyPatch, PurchasingPatch, SupplierMasterPatch
from canonical.text import received_id
from handlers.systems.idoc.document import IDoc, Segment
from handlers.systems.idoc.fields import (
    Findings,
    amount,
    days,
    flag,
    is_deleted,
    number,
    organisation,
    text,
)
from handlers.systems.idoc.money import currency, to_money
from handlers.systems.idoc.values import key
from handlers.systems.idoc.words import LANGUAGES, TAX_NUMBERS

SUPPLIER, BASIC_TYPE = "CREMAS", "CREMAS05"
# Segments that are read.
SEGMENTS = frozenset({"E1LFA1M", "E1LFA1A", "E1LFB1M", "E1LFM1M"})

_ISO_639_CHARS = 2


def supplier_number(idoc: IDoc) -> str:
    """The number of the supplier that the IDoc is about."""
    head = _head(idoc)
    return key(head.get("LIFNR"), where=f"{head.where}: LIFNR")


def to_patch(
    idoc: IDoc, version: int, stated_at: datetime
) -> tuple[SupplierMasterPatch, tuple[Open, ...]]:
    """What the CREMAS says, and cases for what of it cannot be understood.

    Raises: InvalidMessage where the supplier itself or a number cannot.
    """
    head = _head(idoc)
    findings = Findings(f"supplier {supplier_number(idoc)}")
    patch = SupplierMasterPatch(
        number=supplier_number(idoc),
        version=version,
        name=text(head, "NAME1"),
        name2=text(head, "NAME2"),
        name3=text(head, "NAME3"),
        name4=text(head, "NAME4"),
        street=text(head, "STRAS"),
        district=text(head, "ORT02"),
        postal_code=text(head, "PSTLZ"),
        city=text(head, "ORT01"),
        region=text(head, "REGIO"),
        country=text(head, "LAND1"),
        po_box=text(head, "PFACH"),
        po_box_postal_code=text(head, "PSTL2"),
        po_box_city=text(head, "PFORT"),
        language=_language(head, findings),
        tax_numbers=dict(_tax_numbers(head)),
        account_group=text(head, "KTOKK"),
        group=text(head, "KONZS"),
        remit_to=number(head, "LNRZA"),
        quality_block=text(head, "SPERQ"),
        is_posting_blocked=flag(head, "SPERR"),
        is_purchasing_blocked=flag(head, "SPERM"),
        is_deleted=is_deleted(head, "LOEVM"),
        companies=tuple(_company(segment) for segment in head.all("E1LFB1M")),
        organisations=tuple(_purchasing(segment, findings) for segment in head.all("E1LFM1M")),
        source_id=received_id(head.get("LIFNR"), where=f"{head.where}: LIFNR"),
        stated_at=stated_at,
    )
    return patch, tuple(findings.cases)


def _head(idoc: IDoc) -> Segment:
    return idoc.head("E1LFA1M")


def _language(head: Segment, findings: Findings) -> Text:
    """ISO 639 where the sender gives it; SAP's own letter else."""
    field = "SPRAS_ISO" if head.get("SPRAS_ISO") else "SPRAS"
    stated = text(head, field)
    if not isinstance(stated, str) or len(stated) == _ISO_639_CHARS:
        return stated.upper() if isinstance(stated, str) else stated
    found = LANGUAGES.get(stated)
    if found is None:
        findings.add(
            InvalidMessage(
                "language-unmapped",
                f"The language {stated[:10]!r} is in no table",
                where=f"{head.where}: {field}",
                remedy="Have the word mapped or correct it at the source",
            )
        )
        return UNSET
    return found


def _tax_numbers(head: Segment) -> Iterator[tuple[str, str | None]]:
    """Of E1LFA1M, and of its extension E1LFA1A, which carries the later ones."""
    for segment in (head, *head.all("E1LFA1A")):
        for field, kind in TAX_NUMBERS.items():
            stated = text(segment, field)
            if stated is not UNSET:
                yield kind, stated


def _company(segment: Segment) -> CompanyPatch:
    return CompanyPatch(
        company=organisation(segment, "BUKRS"),
        payment_terms=text(segment, "ZTERM"),
        reconciliation_account=number(segment, "AKONT"),
        payment_block=text(segment, "ZAHLS"),
        remit_to=number(segment, "LNRZB"),
        is_posting_blocked=flag(segment, "SPERR"),
        is_deleted=is_deleted(segment, "LOEVM"),
    )


def _purchasing(segment: Segment, findings: Findings) -> PurchasingPatch:
    return PurchasingPatch(
        organisation=organisation(segment, "EKORG"),
        currency=currency(segment, "WAERS", findings),
        payment_terms=text(segment, "ZTERM"),
        incoterms=text(segment, "INCO1"),
        incoterms_place=text(segment, "INCO2"),
        minimum_order=_minimum_order(segment, findings),
        purchasing_group=text(segment, "EKGRP"),
        lead_time_days=days(segment, "PLIFZ"),
        is_confirmation_required=flag(segment, "KZABS"),
        is_purchasing_blocked=flag(segment, "SPERM"),
        is_deleted=is_deleted(segment, "LOEVM"),
    )


def _minimum_order(segment: Segment, findings: Findings) -> Money | UnsetType | None:
    """MINBW2 is the same value as text; it is filled by newer systems only."""
    field = "MINBW2" if segment.get("MINBW2") else "MINBW"
    stated = amount(segment, field)
    if stated is UNSET or not stated:
        return UNSET if stated is UNSET else None
    return to_money(stated, segment.get("WAERS"), findings, where=f"{segment.where}: {field}")
