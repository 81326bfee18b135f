"""Info records into INFREC01 and their prices into COND_A04, as `info_record` and `condition` read
them. Each IDoc has the terms of one organisation or plant."""

from __future__ import annotations

from canonical.effectivity import OPEN_END
from canonical.money import UnitPrice
from canonical.price_periods import PricePeriod, PriceScale
from canonical.purchasing import InfoRecordTerms, info_record_key
from canonical.quantity import Ratio
from handlers.systems.idoc.document import Segment
from handlers.systems.idoc.lengths import MATERIAL, PARTNER
from handlers.systems.idoc.values import day_text, decimal_text, padded
from handlers.systems.idoc.words import (
    BY_QUANTITIES,
    CALCULATED,
    CATEGORY_OF,
    FOR_PRICES,
    FROM_SCALE,
    OF_ORGANISATION,
    OF_PLANT,
    PRICE_CONDITION,
    PURCHASING,
    REPLACE,
)
from handlers.systems.idoc.writing import (
    amount_text,
    inexpressible,
    mark,
    materials,
    one_unit,
    segment,
    unit_text,
)

# In the key of a condition.
_ORGANISATION_CHARS = 4


def to_segments(terms: InfoRecordTerms) -> tuple[Segment, ...]:
    """E1EINAM with the E1EINEM of the organisation; what nothing is known of is left out.

    Raises: InvalidMessage, naming info record, segment and field, for what a field cannot say.
    """
    about = info_record_key(terms)
    fields = {
        "MSGFN": REPLACE,
        "INFNR": terms.number,
        **materials("E1EINAM", "MATNR", terms.item),
        "LIFNR": padded(terms.supplier, PARTNER),
        "LOEKZ": mark(terms.is_deleted),
        "MEINS": unit_text(terms.order_unit, f"{about}: E1EINAM MEINS"),
        **_ratio(terms.order_to_base, "UMREZ", "UMREN"),
        "IDNLF": terms.supplier_item,
        "LMEIN": unit_text(terms.base_unit, f"{about}: E1EINAM LMEIN"),
        "RELIF": mark(terms.is_regular_supplier),
    }
    return (segment(about, "E1EINAM", fields, _organisation(about, terms)),)


def _organisation(about: str, terms: InfoRecordTerms) -> Segment:
    price = terms.price
    fields = {
        "MSGFN": REPLACE,
        "EKORG": terms.organisation,
        "ESOKZ": _category(about, "E1EINEM", terms),
        "WERKS": terms.plant,
        "LOEKZ": mark(terms.is_deleted_here),
        "EKGRP": terms.purchasing_group,
        # One currency for both, as it is with the quantities and the order unit: another one is
        # found when it is read back.
        "WAERS": price.amount.currency if price else terms.currency,
        "MINBM": amount_text(terms.minimum),
        "NORBM": amount_text(terms.standard),
        "APLFZ": decimal_text(terms.lead_time_days),
        "UEBTO": decimal_text(terms.over_tolerance),
        "UEBTK": mark(terms.is_over_unlimited),
        "UNTTO": decimal_text(terms.under_tolerance),
        "NETPR": decimal_text(price.amount.amount if price else None),
        "PEINH": amount_text(price.per if price else None),
        "BPRME": unit_text(price.per.unit if price else "", f"{about}: E1EINEM BPRME"),
        "PRDAT": day_text(terms.price_until),
        **_ratio(terms.order_to_price, "BPUMZ", "BPUMN"),
        "KZABS": mark(terms.is_confirmation_required),
        "BSTAE": terms.confirmation_control,
        "BSTMA": amount_text(terms.maximum),
    }
    return segment(about, "E1EINEM", fields)


def to_prices(terms: InfoRecordTerms) -> tuple[Segment, ...]:
    """E1KOMG with a period for each price by days.

    Raises: as `to_segments`; for an info record without such prices.
    """
    about = info_record_key(terms)
    if not terms.prices:
        raise inexpressible("no price by days is known", f"{about}: E1KONH")
    fields = {
        "KVEWE": FOR_PRICES,
        "KOTABNR": OF_PLANT if terms.plant else OF_ORGANISATION,
        "KAPPL": PURCHASING,
        "KSCHL": PRICE_CONDITION,
        "VAKEY": _key(about, terms),
        "MATNR": padded(terms.item, MATERIAL),
        "LIFNR": padded(terms.supplier, PARTNER),
        "EKORG": terms.organisation,
        "ESOKZ": _category(about, "E1KOMG", terms),
        "WERKS": terms.plant,
    }
    return (segment(about, "E1KOMG", fields, *(_period(about, one) for one in terms.prices)),)


def _key(about: str, terms: InfoRecordTerms) -> str:
    """The fields of the condition table one behind the other, each as wide as it is there."""
    return "".join(
        (
            padded(terms.supplier, PARTNER).ljust(PARTNER),
            padded(terms.item, MATERIAL).ljust(MATERIAL),
            terms.organisation.ljust(_ORGANISATION_CHARS),
            terms.plant.ljust(_ORGANISATION_CHARS) if terms.plant else "",
            _category(about, "E1KOMG", terms),
        )
    )


def _period(about: str, period: PricePeriod) -> Segment:
    about = f"{about} prices from {period.first_day}"
    price = period.price
    if price is None:
        raise inexpressible("a period without a price", f"{about}: E1KONP KBETR")
    starts = [scale.start for scale in period.scales]
    fields = {
        "KSCHL": PRICE_CONDITION,
        "STFKZ": FROM_SCALE if starts else "",
        "KZBZG": BY_QUANTITIES if starts else "",
        "KONMS": one_unit(starts, f"{about}: E1KONP KONMS"),
        "KRECH": CALCULATED,
        "KBETR": decimal_text(price.amount.amount),
        "KONWA": price.amount.currency,
        "KPEIN": amount_text(price.per),
        "KMEIN": unit_text(price.per.unit, f"{about}: E1KONP KMEIN"),
    }
    scales = (_scale(about, scale, price) for scale in period.scales)
    days = {"DATAB": day_text(period.first_day), "DATBI": day_text(period.last_day or OPEN_END)}
    return segment(about, "E1KONH", days, segment(about, "E1KONP", fields, *scales))


def _scale(about: str, scale: PriceScale, of: UnitPrice) -> Segment:
    if (scale.price.amount.currency, scale.price.per) != (of.amount.currency, of.per):
        raise inexpressible(
            "a scale in another currency or for another quantity than its price",
            f"{about}: E1KONM KBETR",
        )
    amount = decimal_text(scale.price.amount.amount)
    return segment(about, "E1KONM", {"KSTBM": amount_text(scale.start), "KBETR": amount})


def _category(about: str, name: str, terms: InfoRecordTerms) -> str:
    found = CATEGORY_OF.get(terms.category)
    if found is None:
        what = f"no category means {terms.category[:40]!r}"
        raise inexpressible(what, f"{about}: {name} ESOKZ")
    return found


def _ratio(ratio: Ratio | None, numerator: str, denominator: str) -> dict[str, str]:
    if ratio is None:
        return {}
    return {numerator: str(ratio.numerator), denominator: str(ratio.denominator)}
