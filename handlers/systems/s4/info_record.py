"""Purchasing info records as A_PurchasingInfoRecord with A_PurgInfoRecdOrgPlantData.

The ERP keeps one number per supplier and material; the terms hang below it, per purchasing
organisation and plant.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction

import msgspec
from msgspec import UNSET, UnsetType

from canonical.connector import Absent, Observed
from canonical.errors import Conflict, Rejected
from canonical.exchange import Request, Response
from canonical.purchasing import InfoRecord
from canonical.units import from_rec20
from handlers.systems.s4 import odata
from handlers.systems.s4.amounts import PLACES, fits, price_in_erp, quotient, same_price
from handlers.systems.s4.compare import (
    Difference,
    in_words,
    present,
    same_date,
    same_id,
    same_number,
    same_unit,
    text_of,
)
from handlers.systems.s4.native import Children, InfoRecordGeneral, InfoRecordOrg, Written
from handlers.systems.s4.words import INFO_RECORD_CATEGORY, PURCHASING_GROUP, UNITS

SERVICE = "API_INFORECORD_PROCESS_SRV"

_GENERAL = "A_PurchasingInfoRecord"
_ORGANISATION = "A_PurgInfoRecdOrgPlantData"
_OPEN_END = date(9999, 12, 31)
_MAX_RATIO_PART = 99_999
_MAX_LEAD_TIME_DAYS = 999


def observe(record: InfoRecord) -> Request:
    """The read of all terms of the supplier for the item; the number is the ERP's."""
    asked = odata.equals(Supplier=record.supplier, Material=record.item)
    return odata.get(
        odata.address(SERVICE, _GENERAL), filter=asked, expand="to_PurgInfoRecdOrgPlantData"
    )


def read(record: InfoRecord, response: Response) -> Observed:
    """What the target holds for supplier, item, organisation and plant."""
    general = _meant(record, odata.read_all(response, InfoRecordGeneral))
    if general is None:
        return Absent()
    return present(general, general.PurchasingInfoRecord, differences(record, general))


def create(record: InfoRecord) -> Request:
    """The create of number and terms in one call."""
    numerator, denominator = _ratio(record)
    general = InfoRecordGeneral(
        Supplier=record.supplier,
        Material=record.item,
        PurgDocOrderQuantityUnit=_order_unit(record),
        OrderItemQtyToBaseQtyNmrtr=str(numerator),
        OrderItemQtyToBaseQtyDnmntr=str(denominator),
        to_PurgInfoRecdOrgPlantData=Children((_new_terms(record),)),
    )
    return odata.post(odata.address(SERVICE, _GENERAL), general)


def check_written(record: InfoRecord, response: Response) -> str:
    """The record's number as the target confirms it; "" where it confirms without a body."""
    written = odata.read_written(response)
    if written is None:
        return ""
    number = text_of(written.PurchasingInfoRecord)
    if not number or not _is_about(record, written):
        raise odata.about_another("info record", number, "PurchasingInfoRecord")
    return number


def differences(record: InfoRecord, general: InfoRecordGeneral) -> tuple[Difference, ...]:
    """What has to change.

    Order unit and ratio are shared by all organisations, so they are never changed from here. Of
    the terms only price, validity, lead time and minimum follow the contract; tolerances,
    confirmation control and the rest are the buyers'.
    """
    shared = _shared_conflict(record, general)
    if shared is not None:
        return (shared,)
    terms = _terms_meant(record, general)
    if terms is None:
        path = odata.address(
            SERVICE, _GENERAL, PurchasingInfoRecord=text_of(general.PurchasingInfoRecord)
        )
        request = odata.post(f"{path}/to_PurgInfoRecdOrgPlantData", _new_terms(record))
        shown = f"Terms of organisation {record.purchasing_org}, plant {record.plant}: missing"
        return (Difference((shown,), request),)
    if terms.IsMarkedForDeletion is True:
        return (_conflict(record, in_words("IsMarkedForDeletion", "true", "false")),)
    want = wanted(record)
    changed = _changed_terms(want, terms)
    if not changed:
        return ()
    what = tuple(in_words(name, getattr(terms, name), value) for name, value in changed.items())
    body = msgspec.convert(changed, InfoRecordOrg)
    return (Difference(what, odata.patch(_terms_address(terms), body, odata.etag_of(terms))),)


def wanted(record: InfoRecord) -> InfoRecordOrg:
    """The terms that follow the contract."""
    amount, per = price_in_erp(record.price, where=_where(record))
    if record.lead_time_days > _MAX_LEAD_TIME_DAYS:
        raise Rejected(
            "lead-time-too-long",
            f"{record.lead_time_days} days do not fit the ERP's three digits",
            where=_where(record),
            remedy="Correct the lead time in the contract",
        )
    return InfoRecordOrg(
        NetPriceAmount=format(amount, "f"),
        Currency=record.price.amount.currency,
        MaterialPriceUnitQty=str(per),
        PurchaseOrderPriceUnit=from_rec20(UNITS, record.price.per.unit, where=_where(record)),
        PriceValidityEndDate=odata.date_literal(record.last_day or _OPEN_END),
        # 0 = the contract says nothing about it.
        MaterialPlannedDeliveryDurn=str(record.lead_time_days) if record.lead_time_days else UNSET,
        MinimumPurchaseOrderQuantity=_minimum(record),
    )


# --- the target's side ---


def _meant(record: InfoRecord, found: Sequence[InfoRecordGeneral]) -> InfoRecordGeneral | None:
    """The number that has the terms, else one that could get them, deleted ones last."""
    mine = [general for general in found if _is_about(record, general)]
    mine.sort(key=lambda g: (_terms_meant(record, g) is None, g.IsDeleted is True))
    return mine[0] if mine else None


def _terms_meant(record: InfoRecord, general: InfoRecordGeneral) -> InfoRecordOrg | None:
    rows = odata.expanded(general.to_PurgInfoRecdOrgPlantData, "to_PurgInfoRecdOrgPlantData")
    return next(
        (
            row
            for row in rows
            if text_of(row.PurchasingOrganization) == record.purchasing_org
            and text_of(row.Plant) == record.plant
            and text_of(row.PurchasingInfoRecordCategory) == INFO_RECORD_CATEGORY
        ),
        None,
    )


def _is_about(record: InfoRecord, held: InfoRecordGeneral | Written) -> bool:
    return same_id(text_of(held.Supplier), record.supplier) and same_id(
        text_of(held.Material), record.item
    )


def _shared_conflict(record: InfoRecord, general: InfoRecordGeneral) -> Difference | None:
    if general.IsDeleted is True:
        return _conflict(record, in_words("IsDeleted", "true", "false"))
    order_unit = text_of(general.PurgDocOrderQuantityUnit)
    if not same_unit(order_unit, _order_unit(record)):
        shown = in_words("PurgDocOrderQuantityUnit", order_unit, _order_unit(record))
        return _conflict(record, shown)
    held = (general.OrderItemQtyToBaseQtyNmrtr, general.OrderItemQtyToBaseQtyDnmntr)
    numerator, denominator = (text_of(part) for part in held)
    # Unset or 0 stands for 1: one order unit is one base unit.
    top, bottom = ("1" if same_number(part, "0") else part for part in (numerator, denominator))
    if quotient(top, bottom) != Fraction(*_ratio(record)):
        wants = "/".join(map(str, _ratio(record)))
        return _conflict(record, in_words("OrderItemQtyToBaseQty", f"{top}/{bottom}", wants))
    return None


def _changed_terms(want: InfoRecordOrg, terms: InfoRecordOrg) -> dict[str, str]:
    changed: dict[str, str] = {}
    price = ("NetPriceAmount", "Currency", "MaterialPriceUnitQty", "PurchaseOrderPriceUnit")
    if not _same_price(want, terms):
        # A price is one statement: its parts are never changed alone.
        changed |= {name: text_of(getattr(want, name)) for name in price}
    if not same_date(text_of(want.PriceValidityEndDate), text_of(terms.PriceValidityEndDate)):
        changed["PriceValidityEndDate"] = text_of(want.PriceValidityEndDate)
    lead_time = text_of(want.MaterialPlannedDeliveryDurn)
    if lead_time and not same_number(lead_time, text_of(terms.MaterialPlannedDeliveryDurn)):
        changed["MaterialPlannedDeliveryDurn"] = lead_time
    minimum = text_of(want.MinimumPurchaseOrderQuantity)
    if minimum and not same_number(minimum, text_of(terms.MinimumPurchaseOrderQuantity)):
        changed["MinimumPurchaseOrderQuantity"] = minimum
    return changed


def _same_price(want: InfoRecordOrg, terms: InfoRecordOrg) -> bool:
    held, wants = (
        (text_of(price.NetPriceAmount), text_of(price.MaterialPriceUnitQty))
        for price in (terms, want)
    )
    return (
        same_price(held, wants)
        and text_of(terms.Currency) == text_of(want.Currency)
        and same_unit(text_of(terms.PurchaseOrderPriceUnit), text_of(want.PurchaseOrderPriceUnit))
    )


def _terms_address(terms: InfoRecordOrg) -> str:
    return odata.address(
        SERVICE,
        _ORGANISATION,
        PurchasingInfoRecord=text_of(terms.PurchasingInfoRecord),
        PurchasingInfoRecordCategory=text_of(terms.PurchasingInfoRecordCategory),
        PurchasingOrganization=text_of(terms.PurchasingOrganization),
        Plant=text_of(terms.Plant),
    )


# --- our side ---


def _new_terms(record: InfoRecord) -> InfoRecordOrg:
    return msgspec.structs.replace(
        wanted(record),
        PurchasingInfoRecordCategory=INFO_RECORD_CATEGORY,
        PurchasingOrganization=record.purchasing_org,
        Plant=record.plant,
        PurchasingGroup=PURCHASING_GROUP,
        StandardPurchaseOrderQuantity=_standard(record),
    )


def _order_unit(record: InfoRecord) -> str:
    return from_rec20(UNITS, record.order_unit, where=_where(record))


def _minimum(record: InfoRecord) -> str | UnsetType:
    """Raises: Rejected for one in another unit than orders are, or of more than three decimals."""
    minimum = record.minimum
    if minimum is UNSET:
        return UNSET
    if minimum.unit != record.order_unit or not fits(minimum.value):
        raise Rejected(
            "minimum-not-representable",
            f"A minimum of {minimum.value} {minimum.unit} does not fit: it is in"
            f" {record.order_unit} there, with {PLACES} decimals at most",
            where=_where(record),
            remedy="Correct the minimum in the contract",
        )
    return format(minimum.value, "f")


def _standard(record: InfoRecord) -> str:
    """What is usually ordered, which the ERP wants to have said: one, or as much as has to be."""
    minimum = record.minimum
    return "1" if minimum is UNSET else format(max(Decimal(1), minimum.value), "f")


def _ratio(record: InfoRecord) -> tuple[int, int]:
    """Base units per order units, in lowest terms.

    Raises: Rejected for a ratio that is not positive or needs more than five digits.
    """
    numerator, denominator = record.order_to_base
    if numerator > 0 and denominator > 0:
        ratio = Fraction(numerator, denominator)
        if max(ratio.numerator, ratio.denominator) <= _MAX_RATIO_PART:
            return ratio.numerator, ratio.denominator
    raise Rejected(
        "ratio-not-representable",
        f"1 {record.order_unit} = {numerator}/{denominator} {record.base_unit} does not fit",
        where=_where(record),
        remedy="Correct the order unit's ratio in the item or the contract",
    )


def _where(record: InfoRecord) -> str:
    return f"info-record/{record.supplier}/{record.item}/{record.purchasing_org}/{record.plant}"


def _conflict(record: InfoRecord, shown: str) -> Difference:
    return Difference(
        (shown,),
        conflict=Conflict(
            "info-record-differs",
            f"The info record of {record.supplier} for {record.item} cannot be changed so: {shown}",
            where=_where(record),
            remedy="Settle it with purchasing in the ERP, then release the step again",
        ),
    )
