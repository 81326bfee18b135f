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
from canonical.money import Money, UnitPrice
from canonical.own_words import OwnWords
from canonical.purchasing import InfoRecord
from canonical.quantity import Quantity, parse_decimal
from canonical.units import from_rec20, to_rec20
from handlers.systems.s4 import info_record_scale, odata
from handlers.systems.s4.amounts import PLACES, fits, price_in_erp, quotient, same_price
from handlers.systems.s4.buyers import buying_group
from handlers.systems.s4.compare import (
    Difference,
    as_text,
    differing,
    in_words,
    present,
    same_date,
    same_id,
    same_number,
    same_unit,
    text_of,
)
from handlers.systems.s4.info_record_scale import SERVICE, TERMS
from handlers.systems.s4.native import Children, InfoRecordGeneral, InfoRecordOrg, Written
from handlers.systems.s4.words import INFO_RECORD_CATEGORY, UNITS

_GENERAL = "A_PurchasingInfoRecord"
_ORGANISATION = "A_PurgInfoRecdOrgPlantData"
_OPEN_END = date(9999, 12, 31)
_MAX_RATIO_PART = 99_999
_MAX_LEAD_TIME_DAYS = 999
_MAX_PERCENT, _PERCENT_PLACES = Decimal("99.9"), 1
# Written in one direction only: filled in where it was empty, limited where it was not.
_ONE_WAY = frozenset({"PurchasingGroup", "UnlimitedOverdeliveryIsAllowed"})
# What is left alone where the contract does not state it.
_STATED_NUMBERS = (
    "MaterialPlannedDeliveryDurn",
    "MinimumPurchaseOrderQuantity",
    "UnderdelivTolrtdLmtRatioInPct",
    "OverdelivTolrtdLmtRatioInPct",
)


def observe(record: InfoRecord) -> Request:
    """The read of all terms of the supplier for the item; the number is the ERP's."""
    asked = odata.equals(Supplier=record.supplier, Material=record.item)
    expand = TERMS if record.scales is UNSET else f"{TERMS},{info_record_scale.EXPANDED}"
    return odata.get(odata.address(SERVICE, _GENERAL), filter=asked, expand=expand)


def read(record: InfoRecord, own: OwnWords, response: Response) -> Observed:
    """What the target holds for supplier, item, organisation and plant."""
    general = _meant(record, odata.read_all(response, InfoRecordGeneral))
    if general is None:
        return Absent()
    return present(general, general.PurchasingInfoRecord, differences(record, own, general))


def create(record: InfoRecord, own: OwnWords) -> Request:
    """The create of number and terms in one call; a scale follows when there is a price for it.

    Raises: Rejected for what does not fit, also in the scale: before anything is made;
        Misconfigured where nobody is named who buys.
    """
    terms = _new_terms(record, own)
    info_record_scale.wanted(record, own, text_of(terms.MaterialPriceUnitQty))
    numerator, denominator = _ratio(record)
    general = InfoRecordGeneral(
        Supplier=record.supplier,
        Material=record.item,
        PurgDocOrderQuantityUnit=_order_unit(record, own),
        OrderItemQtyToBaseQtyNmrtr=str(numerator),
        OrderItemQtyToBaseQtyDnmntr=str(denominator),
        to_PurgInfoRecdOrgPlantData=Children((terms,)),
    )
    return odata.post(odata.address(SERVICE, _GENERAL), general)


def check_written(record: InfoRecord, response: Response) -> str:
    """The record's number as the target confirms it; "" where it confirms without a body, or a line
    of a scale."""
    written = odata.read_written(response)
    if written is None or text_of(written.ConditionScaleLine):
        return ""
    number = text_of(written.PurchasingInfoRecord)
    if not number or not _is_about(record, written):
        raise odata.about_another("info record", number, "PurchasingInfoRecord")
    return number


def differences(
    record: InfoRecord, own: OwnWords, general: InfoRecordGeneral
) -> tuple[Difference, ...]:
    """What has to change.

    Order unit and ratio are shared by all organisations, so they are never changed from here. Of
    the terms only price, validity, lead time, minimum, tolerances and scale follow the contract, as
    far as it states them. Who buys is filled in where it is empty; confirmation control and the
    rest are the buyers'.
    """
    shared = _shared_conflict(record, own, general)
    if shared is not None:
        return (shared,)
    terms = _terms_meant(record, general)
    if terms is None:
        return (_missing_terms(record, own, general),)
    if terms.IsMarkedForDeletion is True:
        return (_conflict(record, in_words("IsMarkedForDeletion", "true", "false")),)
    changed = _changed_terms(wanted(record, own), own, terms)
    price_unit = text_of(changed.get("MaterialPriceUnitQty", terms.MaterialPriceUnitQty))
    scale = info_record_scale.differences(record, own, terms, price_unit)
    if not changed:
        return scale
    what = tuple(
        in_words(name, as_text(getattr(terms, name)), as_text(value))
        for name, value in changed.items()
    )
    body = msgspec.convert(changed, InfoRecordOrg)
    request = odata.patch(_terms_address(terms), body, odata.etag_of(terms))
    return (Difference(what, request), *scale)


def former(record: InfoRecord, own: OwnWords, general: InfoRecordGeneral) -> InfoRecord | str:
    """The record with the terms that the target holds; or why these could not be put back as they
    are."""
    terms = _terms_meant(record, general)
    if terms is None:
        return "these terms were made by this step, and are not deleted from here"
    if record.scales is not UNSET:
        return "the scale of the former price is not put back"
    held = msgspec.structs.replace(
        record,
        price=UnitPrice(
            Money(parse_decimal(text_of(terms.NetPriceAmount)), text_of(terms.Currency)),
            Quantity(
                parse_decimal(text_of(terms.MaterialPriceUnitQty)),
                to_rec20(UNITS, text_of(terms.PurchaseOrderPriceUnit), own.codes),
            ),
        ),
        last_day=_last_day(terms),
        lead_time_days=int(parse_decimal(text_of(terms.MaterialPlannedDeliveryDurn) or "0")),
        minimum=_held_quantity(record, terms),
        under_tolerance=_held_percent(record.under_tolerance, terms.UnderdelivTolrtdLmtRatioInPct),
        over_tolerance=_held_percent(record.over_tolerance, terms.OverdelivTolrtdLmtRatioInPct),
    )
    # What is written now and is left alone by the former terms would stay as it is written.
    back = wanted(held, own)
    for name in _changed_terms(wanted(record, own), own, terms):
        is_said = name not in _STATED_NUMBERS or getattr(back, name) is not UNSET
        if not is_said or name in _ONE_WAY:
            return f"{name} cannot be put back to {as_text(getattr(terms, name)) or 'empty'}"
    if left := differences(held, own, general):
        return f"what was there cannot be written so: {left[0].what[0]}"
    return held


def _last_day(terms: InfoRecordOrg) -> date | None:
    day = odata.parse_date(text_of(terms.PriceValidityEndDate))
    return None if day == _OPEN_END else day


def _held_quantity(record: InfoRecord, terms: InfoRecordOrg) -> Quantity | UnsetType:
    if record.minimum is UNSET:
        return UNSET
    held = parse_decimal(text_of(terms.MinimumPurchaseOrderQuantity) or "0")
    return Quantity(held, record.order_unit)


def _held_percent(stated: Decimal | UnsetType, held: object) -> Decimal | UnsetType:
    return UNSET if stated is UNSET else parse_decimal(text_of(held) or "0")


def wanted(record: InfoRecord, own: OwnWords) -> InfoRecordOrg:
    """The terms that follow the contract."""
    amount, per = price_in_erp(record.price, where=_where(record))
    price_unit = from_rec20(UNITS, record.price.per.unit, own.units, where=_where(record))
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
        PurchaseOrderPriceUnit=price_unit,
        PriceValidityEndDate=odata.date_literal(record.last_day or _OPEN_END),
        # 0 = the contract says nothing about it.
        MaterialPlannedDeliveryDurn=str(record.lead_time_days) if record.lead_time_days else UNSET,
        MinimumPurchaseOrderQuantity=_minimum(record),
        UnderdelivTolrtdLmtRatioInPct=_percent(record, record.under_tolerance),
        OverdelivTolrtdLmtRatioInPct=_percent(record, record.over_tolerance),
        # A limit is none while more than it is taken all the same.
        UnlimitedOverdeliveryIsAllowed=UNSET if record.over_tolerance is UNSET else False,
        PurchasingGroup=record.purchasing_group,
    )


# --- the target's side ---


def _meant(record: InfoRecord, found: Sequence[InfoRecordGeneral]) -> InfoRecordGeneral | None:
    """The number that has the terms, else one that could get them, deleted ones last."""
    mine = [general for general in found if _is_about(record, general)]
    mine.sort(key=lambda g: (_terms_meant(record, g) is None, g.IsDeleted is True))
    return mine[0] if mine else None


def _terms_meant(record: InfoRecord, general: InfoRecordGeneral) -> InfoRecordOrg | None:
    rows = odata.expanded(general.to_PurgInfoRecdOrgPlantData, TERMS)
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


def _missing_terms(record: InfoRecord, own: OwnWords, general: InfoRecordGeneral) -> Difference:
    path = odata.address(
        SERVICE, _GENERAL, PurchasingInfoRecord=text_of(general.PurchasingInfoRecord)
    )
    terms = _new_terms(record, own)
    lines = info_record_scale.wanted(record, own, text_of(terms.MaterialPriceUnitQty))
    shown = f"Terms of organisation {record.purchasing_org}, plant {record.plant}: missing"
    request = odata.post(f"{path}/{TERMS}", terms)
    return Difference((shown, *info_record_scale.missing(lines)), request)


def _shared_conflict(
    record: InfoRecord, own: OwnWords, general: InfoRecordGeneral
) -> Difference | None:
    if general.IsDeleted is True:
        return _conflict(record, in_words("IsDeleted", "true", "false"))
    order_unit, wants = text_of(general.PurgDocOrderQuantityUnit), _order_unit(record, own)
    if not same_unit(order_unit, wants, own):
        shown = in_words("PurgDocOrderQuantityUnit", order_unit, wants)
        return _conflict(record, shown)
    held = (general.OrderItemQtyToBaseQtyNmrtr, general.OrderItemQtyToBaseQtyDnmntr)
    numerator, denominator = (text_of(part) for part in held)
    # Unset or 0 stands for 1: one order unit is one base unit.
    top, bottom = ("1" if same_number(part, "0") else part for part in (numerator, denominator))
    if quotient(top, bottom) != Fraction(*_ratio(record)):
        wants = "/".join(map(str, _ratio(record)))
        return _conflict(record, in_words("OrderItemQtyToBaseQty", f"{top}/{bottom}", wants))
    return None


def _changed_terms(
    want: InfoRecordOrg, own: OwnWords, terms: InfoRecordOrg
) -> dict[str, str | bool]:
    changed: dict[str, str | bool] = {}
    price = ("NetPriceAmount", "Currency", "MaterialPriceUnitQty", "PurchaseOrderPriceUnit")
    if not _same_price(want, own, terms):
        # A price is one statement: its parts are never changed alone.
        changed |= {name: text_of(getattr(want, name)) for name in price}
    if not same_date(text_of(want.PriceValidityEndDate), text_of(terms.PriceValidityEndDate)):
        changed["PriceValidityEndDate"] = text_of(want.PriceValidityEndDate)
    numbers = dict.fromkeys(_STATED_NUMBERS, same_number)
    changed |= {name: text_of(getattr(want, name)) for name in differing(want, terms, numbers)}
    is_limited = want.UnlimitedOverdeliveryIsAllowed is False
    if is_limited and terms.UnlimitedOverdeliveryIsAllowed is True:
        changed["UnlimitedOverdeliveryIsAllowed"] = False
    group = text_of(want.PurchasingGroup)
    if group and not text_of(terms.PurchasingGroup):
        changed["PurchasingGroup"] = group
    return changed


def _same_price(want: InfoRecordOrg, own: OwnWords, terms: InfoRecordOrg) -> bool:
    held, wants = (
        (text_of(price.NetPriceAmount), text_of(price.MaterialPriceUnitQty))
        for price in (terms, want)
    )
    return (
        same_price(held, wants)
        and text_of(terms.Currency) == text_of(want.Currency)
        and same_unit(
            text_of(terms.PurchaseOrderPriceUnit), text_of(want.PurchaseOrderPriceUnit), own
        )
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


def _new_terms(record: InfoRecord, own: OwnWords) -> InfoRecordOrg:
    return msgspec.structs.replace(
        wanted(record, own),
        PurchasingInfoRecordCategory=INFO_RECORD_CATEGORY,
        PurchasingOrganization=record.purchasing_org,
        Plant=record.plant,
        PurchasingGroup=buying_group(
            text_of(record.purchasing_group), (record.plant,), _where(record)
        ),
        StandardPurchaseOrderQuantity=_standard(record),
    )


def _order_unit(record: InfoRecord, own: OwnWords) -> str:
    return from_rec20(UNITS, record.order_unit, own.units, where=_where(record))


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


def _percent(record: InfoRecord, stated: Decimal | UnsetType) -> str | UnsetType:
    """Raises: Rejected for one of more than two digits before the point, or one after it."""
    if stated is UNSET:
        return UNSET
    if 0 <= stated <= _MAX_PERCENT and stated == round(stated, _PERCENT_PLACES):
        return format(stated, "f")
    raise Rejected(
        "tolerance-not-representable",
        f"A tolerance of {stated} percent does not fit: {_MAX_PERCENT} at most, with"
        f" {_PERCENT_PLACES} decimal",
        where=_where(record),
        remedy="Correct the tolerance in the contract",
    )


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
