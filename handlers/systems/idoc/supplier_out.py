"""Supplier masters into CREMAS05: what is known of a supplier, as `supplier` reads it."""

from __future__ import annotations

from canonical.supplier_master import (
    CompanyView,
    PurchasingView,
    SupplierMaster,
    supplier_master_key,
)
from handlers.systems.idoc.document import Segment
from handlers.systems.idoc.lengths import FIELDS, PARTNER
from handlers.systems.idoc.values import decimal_text, padded
from handlers.systems.idoc.words import REPLACE, TAX_NUMBERS
from handlers.systems.idoc.writing import inexpressible, languages, mark, segment


def to_segments(supplier: SupplierMaster) -> tuple[Segment, ...]:
    """E1LFA1M with companies and purchasing organisations; what nothing is known of is left out.

    Raises: InvalidMessage, naming supplier, segment and field, for what a field cannot say.
    """
    about = supplier_master_key(supplier.number)
    fields = {
        "MSGFN": REPLACE,
        "LIFNR": padded(supplier.number, PARTNER),
        "KONZS": supplier.group,
        "KTOKK": supplier.account_group,
        "LAND1": supplier.country,
        "LNRZA": padded(supplier.remit_to, PARTNER),
        "LOEVM": mark(supplier.is_deleted),
        "NAME1": supplier.name,
        "NAME2": supplier.name2,
        "NAME3": supplier.name3,
        "NAME4": supplier.name4,
        "ORT01": supplier.city,
        "ORT02": supplier.district,
        "PFACH": supplier.po_box,
        "PSTL2": supplier.po_box_postal_code,
        "PSTLZ": supplier.postal_code,
        "REGIO": supplier.region,
        "SPERR": mark(supplier.is_posting_blocked),
        "SPERM": mark(supplier.is_purchasing_blocked),
        "STRAS": supplier.street,
        "SPERQ": supplier.quality_block,
        "PFORT": supplier.po_box_city,
        **languages(supplier.language),
    }
    numbers = _tax_numbers(about, supplier)
    later = {field: text for field, text in numbers.items() if field in FIELDS["E1LFA1A"]}
    fields |= {field: text for field, text in numbers.items() if field not in later}
    number = fields["LIFNR"]
    return (
        segment(
            about,
            "E1LFA1M",
            fields,
            *([segment(about, "E1LFA1A", later)] if later else []),
            *(_company(about, number, view) for view in supplier.companies),
            *(_organisation(about, number, view) for view in supplier.organisations),
        ),
    )


def _tax_numbers(about: str, supplier: SupplierMaster) -> dict[str, str]:
    fields = {kind: field for field, kind in TAX_NUMBERS.items()}
    for kind in supplier.tax_numbers:
        if kind not in fields:
            what = f"no field is known for the tax number {kind[:40]!r}"
            raise inexpressible(what, f"{about}: E1LFA1M")
    return {fields[kind]: number for kind, number in supplier.tax_numbers.items()}


def _company(about: str, number: str, view: CompanyView) -> Segment:
    fields = {
        "MSGFN": REPLACE,
        "LIFNR": number,
        "BUKRS": view.company,
        "SPERR": mark(view.is_posting_blocked),
        "LOEVM": mark(view.is_deleted),
        "AKONT": padded(view.reconciliation_account, PARTNER),
        "ZAHLS": view.payment_block,
        "ZTERM": view.payment_terms,
        "LNRZB": padded(view.remit_to, PARTNER),
    }
    return segment(f"{about} company {view.company}", "E1LFB1M", fields)


def _organisation(about: str, number: str, view: PurchasingView) -> Segment:
    minimum = view.minimum_order
    fields = {
        "MSGFN": REPLACE,
        "LIFNR": number,
        "EKORG": view.organisation,
        "SPERM": mark(view.is_purchasing_blocked),
        "LOEVM": mark(view.is_deleted),
        # One currency for both: another one than the view's is found when it is read back.
        "WAERS": minimum.currency if minimum else view.currency,
        "MINBW": decimal_text(minimum.amount if minimum else None),
        "ZTERM": view.payment_terms,
        "INCO1": view.incoterms,
        "INCO2": view.incoterms_place,
        "KZABS": mark(view.is_confirmation_required),
        "EKGRP": view.purchasing_group,
        "PLIFZ": decimal_text(view.lead_time_days),
    }
    return segment(f"{about} organisation {view.organisation}", "E1LFM1M", fields)
