"""A_PurchasingInfoRecord as it was read back: under which terms the ERP buys a material from a
supplier, for each of its purchasing organisations and plants. What is charged on which days, and
from how much on, are condition records: `info_record_prices`."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from msgspec import UNSET, UnsetType

from canonical.effects import Open
from canonical.errors import InvalidMessage
from canonical.money import Money, UnitPrice, minor_digits
from canonical.own_words import OwnWords
from canonical.patch import Text
from canonical.purchasing import InfoRecordTermsPatch
from canonical.quantity import Quantity, Ratio
from canonical.text import normalise_id, received_id
from handlers.systems.answers import printable
from handlers.systems.s4 import info_record_prices
from handlers.systems.s4.compare import text_of
from handlers.systems.s4.native_read import InfoRecord, OrganisationTerms, Said
from handlers.systems.s4.values import (
    Findings,
    currency,
    day,
    days,
    key,
    mark,
    number,
    ratio,
    reference,
    text,
    unit,
    version,
    whole,
)
from handlers.systems.s4.words import INFO_RECORD_CATEGORIES

_TERMS = "to_PurgInfoRecdOrgPlantData"


def to_patches(
    record: InfoRecord, read_at: datetime, own: OwnWords
) -> tuple[tuple[InfoRecordTermsPatch, ...], tuple[Open, ...]]:
    """The terms of each organisation and plant, and cases for what cannot be understood.

    What the answer does not tell stays as it is known. A record of a group of materials, or without
    an organisation, is a case and no terms.
    Raises: InvalidMessage where supplier, material, organisation, category, a unit of the record or
        a number cannot be read.
    """
    of = key(record.PurchasingInfoRecord, where="PurchasingInfoRecord")
    found = Findings(f"info record {of}")
    if not text_of(record.Material).strip():
        found.add(
            InvalidMessage(
                "info-record-without-item",
                "The info record is of a group of materials, and of none in particular",
                where="Material",
                remedy="Keep these terms by hand where somebody has to see them",
            )
        )
        return (), tuple(found.cases)
    patches = tuple(
        _to_patch(record, terms, own, found, read_at)
        for terms in record.to_PurgInfoRecdOrgPlantData.results
    )
    if not patches:
        found.add(
            InvalidMessage(
                "info-record-without-organisation",
                "It says nothing of any purchasing organisation, so nothing of it is taken",
                where=_TERMS,
                remedy="Have the data of its purchasing organisations kept in the ERP",
            )
        )
    return patches, tuple(found.cases)


def _to_patch(
    record: InfoRecord,
    terms: OrganisationTerms,
    own: OwnWords,
    found: Findings,
    read_at: datetime,
) -> InfoRecordTermsPatch:
    organisation = normalise_id(
        text_of(terms.PurchasingOrganization), where=f"{_TERMS}: PurchasingOrganization"
    )
    plant = text_of(terms.Plant).strip()
    where = f"{_TERMS}, {organisation[:10]} {printable(plant, 10)}".rstrip()
    order_unit = _unit(record.PurgDocOrderQuantityUnit, own, "PurgDocOrderQuantityUnit")
    return InfoRecordTermsPatch(
        supplier=key(record.Supplier, where="Supplier"),
        item=key(record.Material, where="Material"),
        organisation=organisation,
        plant=normalise_id(plant, where=f"{where}: Plant") if plant else "",
        category=_category(terms, where),
        version=version(
            record.LastChangeDateTime,
            record.CreationDate,
            read_at=read_at,
            where="LastChangeDateTime, CreationDate",
        ),
        number=reference(record.PurchasingInfoRecord, where="PurchasingInfoRecord"),
        supplier_item=text(record.SupplierMaterialNumber, where="SupplierMaterialNumber"),
        is_regular_supplier=mark(record.IsRegularSupplier),
        order_unit=order_unit,
        base_unit=_unit(record.BaseUnit, own, "BaseUnit"),
        order_to_base=_order_to_base(record),
        purchasing_group=text(terms.PurchasingGroup, where=f"{where}: PurchasingGroup"),
        currency=currency(terms.Currency, found, where=f"{where}: Currency"),
        price=_price(terms, own, where, found),
        price_until=_last_day(terms, where),
        lead_time_days=days(
            terms.MaterialPlannedDeliveryDurn, where=f"{where}: MaterialPlannedDeliveryDurn"
        ),
        minimum=_quantity(
            terms.MinimumPurchaseOrderQuantity,
            order_unit,
            f"{where}: MinimumPurchaseOrderQuantity",
            found,
        ),
        standard=_quantity(
            terms.StandardPurchaseOrderQuantity,
            order_unit,
            f"{where}: StandardPurchaseOrderQuantity",
            found,
        ),
        maximum=_quantity(
            terms.MaximumOrderQuantity, order_unit, f"{where}: MaximumOrderQuantity", found
        ),
        under_tolerance=_percent(
            terms.UnderdelivTolrtdLmtRatioInPct, f"{where}: UnderdelivTolrtdLmtRatioInPct"
        ),
        over_tolerance=_percent(
            terms.OverdelivTolrtdLmtRatioInPct, f"{where}: OverdelivTolrtdLmtRatioInPct"
        ),
        is_over_unlimited=mark(terms.UnlimitedOverdeliveryIsAllowed),
        is_confirmation_required=mark(terms.IsOrderAcknRqd),
        confirmation_control=text(
            terms.SupplierConfirmationControlKey, where=f"{where}: SupplierConfirmationControlKey"
        ),
        is_deleted=mark(record.IsDeleted),
        is_deleted_here=mark(terms.IsMarkedForDeletion),
        source_id=received_id(text_of(record.Material), where="Material"),
        stated_at=read_at,
        prices=info_record_prices.to_periods(terms, own, where, found),
    )


def _category(terms: OrganisationTerms, where: str) -> str:
    stated = text_of(terms.PurchasingInfoRecordCategory)
    found = INFO_RECORD_CATEGORIES.get(stated)
    if found is None:
        raise InvalidMessage(
            "category-unmapped",
            f"The category {stated[:10]!r} of info records is in no table",
            where=f"{where}: PurchasingInfoRecordCategory",
            remedy="Have the word mapped",
        )
    return found


def _unit(said: Said, own: OwnWords, where: str) -> Text:
    """Without one there is no record: an empty field is one that was not filled."""
    return unit(said, own, where=where) if text_of(said) else UNSET


def _order_to_base(record: InfoRecord) -> Ratio | UnsetType | None:
    """1 order unit is Numerator / Denominator of the base unit; None where both are 0."""
    top, bottom = record.OrderItemQtyToBaseQtyNmrtr, record.OrderItemQtyToBaseQtyDnmntr
    if top is UNSET or bottom is UNSET:
        return UNSET
    numerator = whole(top, where="OrderItemQtyToBaseQtyNmrtr")
    denominator = whole(bottom, where="OrderItemQtyToBaseQtyDnmntr")
    if numerator == denominator == 0:
        return None
    return ratio(top, bottom, where="OrderItemQtyToBaseQtyNmrtr, OrderItemQtyToBaseQtyDnmntr")


def _price(
    terms: OrganisationTerms, own: OwnWords, where: str, found: Findings
) -> UnitPrice | UnsetType | None:
    """Zero where no price is kept. It counts whole or not at all."""
    if terms.NetPriceAmount is UNSET:
        return UNSET
    amount = number(terms.NetPriceAmount, where=f"{where}: NetPriceAmount")
    per = number(terms.MaterialPriceUnitQty, where=f"{where}: MaterialPriceUnitQty")
    if not amount:
        return None
    code = text_of(terms.Currency)
    try:
        minor_digits(code, where=f"{where}: NetPriceAmount")
        priced_in = unit(
            terms.PurchaseOrderPriceUnit, own, where=f"{where}: PurchaseOrderPriceUnit"
        )
        if per <= 0:
            raise InvalidMessage(
                "price-unit",
                "For how much the price is, is not told",
                where=f"{where}: MaterialPriceUnitQty",
                remedy="Have the price kept with its unit",
            )
    except InvalidMessage as failure:
        found.add(failure)
        return UNSET
    return UnitPrice(Money(amount, code), Quantity(per, priced_in))


def _last_day(terms: OrganisationTerms, where: str) -> date | UnsetType | None:
    if terms.PriceValidityEndDate is UNSET:
        return UNSET
    return day(terms.PriceValidityEndDate, where=f"{where}: PriceValidityEndDate")


def _quantity(
    said: Said, order_unit: Text, where: str, found: Findings
) -> Quantity | UnsetType | None:
    """In the order unit; zero where none is kept."""
    if said is UNSET:
        return UNSET
    amount = number(said, where=where)
    if not amount:
        return None
    if not isinstance(order_unit, str):
        found.add(
            InvalidMessage(
                "unit-missing",
                "A quantity of an order is told without the order unit",
                where=where,
                remedy="Have the info record kept with its order unit",
            )
        )
        return UNSET
    return Quantity(amount, order_unit)


def _percent(said: Said, where: str) -> Decimal | UnsetType:
    return UNSET if said is UNSET else number(said, where=where)
