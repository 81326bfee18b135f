"""COND_A in COND_A04: prices of info records by days, with scales, as SAP keeps them in condition
records.

One IDoc is about one key of one condition type, with its periods. Of all types only the price
itself is taken: a discount or freight makes no price by itself, and a price that has supplements
would be another one. Fields: README.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime

from msgspec import UnsetType

from canonical.effects import Open
from canonical.errors import InvalidMessage
from canonical.money import UnitPrice
from canonical.own_words import OwnWords
from canonical.price_periods import PricePeriod, PriceScale
from canonical.purchasing import InfoRecordTermsPatch
from canonical.quantity import Quantity
from canonical.text import joined_key
from canonical.units import to_rec20
from handlers.systems.idoc.document import IDoc, Segment
from handlers.systems.idoc.fields import Findings, flag, organisation
from handlers.systems.idoc.money import to_money
from handlers.systems.idoc.values import day, decimal, key
from handlers.systems.idoc.words import (
    ALIASES,
    BY_QUANTITY,
    CATEGORIES,
    FROM_SCALES,
    PRICE_CONDITIONS,
    PURCHASING,
)

CONDITION, BASIC_TYPE = "COND_A", "COND_A04"
# Segments that are read.
SEGMENTS = frozenset({"E1KOMG", "E1KONH", "E1KONP", "E1KONM", "E1KONW"})


def condition_key(idoc: IDoc) -> str:
    """What the IDoc is about, as the info records that it prices: `info_record.record_key`."""
    head = _head(idoc)
    return joined_key("info-records", _supplier(head), _item(head))


def to_patch(
    idoc: IDoc, version: int, stated_at: datetime, own: OwnWords
) -> tuple[InfoRecordTermsPatch | None, tuple[Open, ...]]:
    """What the IDoc says of the prices, None where none of it can be understood, and cases for
    periods that cannot.

    Raises: InvalidMessage where it is not about a price of an info record, or organisation, plant
        or category of that cannot be understood.
    """
    head = _head(idoc)
    findings = Findings(f"prices {_supplier(head)}/{_item(head)}")
    periods = tuple(_periods(head, own, findings))
    if not periods:
        return None, tuple(findings.cases)
    patch = InfoRecordTermsPatch(
        supplier=_supplier(head),
        item=_item(head),
        organisation=organisation(head, "EKORG"),
        plant=organisation(head, "WERKS") if head.get("WERKS") else "",
        category=_category(head),
        version=version,
        stated_at=stated_at,
        prices=periods,
    )
    return patch, tuple(findings.cases)


def _head(idoc: IDoc) -> Segment:
    head = idoc.head("E1KOMG")
    application, kind = head.get("KAPPL"), head.get("KSCHL")
    if application != PURCHASING or kind not in PRICE_CONDITIONS:
        raise InvalidMessage(
            "condition-not-a-price",
            f"The condition {application[:2]!r} {kind[:4]!r} is in no table of prices",
            where=f"{head.where}: KAPPL, KSCHL",
            remedy="Send prices only, or have the condition type mapped",
        )
    return head


def _supplier(head: Segment) -> str:
    return key(head.get("LIFNR"), where=f"{head.where}: LIFNR")


def _item(head: Segment) -> str:
    return key(head.get("MATNR_LONG", "MATNR"), where=f"{head.where}: MATNR")


def _category(head: Segment) -> str:
    stated = head.get("ESOKZ")
    found = CATEGORIES.get(stated)
    if found is None:
        raise InvalidMessage(
            "category-unmapped",
            f"The category {stated[:10]!r} of info records is in no table",
            where=f"{head.where}: ESOKZ",
            remedy="Send the category, or have it mapped",
        )
    return found


def _periods(head: Segment, own: OwnWords, findings: Findings) -> Iterator[PricePeriod]:
    for period in head.all("E1KONH"):
        try:
            found = _to_period(period, own, findings)
        except InvalidMessage as failure:
            findings.add(_placed(failure, period))
            continue
        if found is not None:
            yield found


def _to_period(period: Segment, own: OwnWords, findings: Findings) -> PricePeriod | None:
    """A price counts with all its scales or not at all: without one of them that of a large order
    would be wrong. None where an amount is a finding."""
    first_day, last_day = _day(period, "DATAB"), _day(period, "DATBI")
    if first_day is None:
        raise _unreadable("The days of a price have no beginning", f"{period.where}: DATAB")
    if last_day is not None and last_day < first_day:
        raise _unreadable("The days of a price end before they begin", f"{period.where}: DATBI")
    rates = list(period.all("E1KONP"))
    if len(rates) != 1:
        what = "supplements" if rates else "none"
        raise _unreadable(f"One price is expected in each period, and it has {what}", period.where)
    (rate,) = rates
    if flag(rate, "LOEVM_KO") is True:
        return PricePeriod(first_day, last_day)
    starts = _starts(rate, own)
    price, *others = [_price(line, rate, own, findings) for line in (rate, *rate.all("E1KONM"))]
    scales = [
        PriceScale(start, other)
        for start, other in zip(starts, others, strict=True)
        if other is not None
    ]
    if price is None or len(scales) < len(starts):
        return None
    return PricePeriod(first_day, last_day, price, tuple(scales))


def _day(segment: Segment, field: str) -> date | None:
    return day(segment.get(field), where=f"{segment.where}: {field}")


def _price(line: Segment, rate: Segment, own: OwnWords, findings: Findings) -> UnitPrice | None:
    """KBETR of a line, in currency and unit of the rate."""
    if rate.get("KRECH") not in BY_QUANTITY:
        raise _unreadable(
            "The price is reckoned by something else than a quantity", f"{rate.where}: KRECH"
        )
    where = f"{line.where}: KBETR"
    amount = decimal(line.get("KBETR"), where=where)
    per = decimal(rate.get("KPEIN") or "0", where=f"{rate.where}: KPEIN")
    unit = to_rec20(ALIASES, rate.get("KMEIN"), own.codes, where=f"{rate.where}: KMEIN")
    money = to_money(amount, rate.get("KONWA"), findings, where=where)
    return None if isinstance(money, UnsetType) else UnitPrice(money, Quantity(per, unit))


def _starts(rate: Segment, own: OwnWords) -> list[Quantity]:
    """From how much on each of the scales counts."""
    lines = list(rate.all("E1KONM"))
    if any(rate.all("E1KONW")) or (lines and rate.get("STFKZ") not in FROM_SCALES):
        raise _unreadable(
            "Its scales are by value, or up to a quantity", f"{rate.where}: STFKZ, KZBZG"
        )
    unit = rate.get("KONMS") or rate.get("KMEIN")
    starts: list[Quantity] = []
    for line in lines:
        where = f"{line.where}: KSTBM"
        start = Quantity(
            decimal(line.get("KSTBM"), where=where),
            to_rec20(ALIASES, unit, own.codes, where=f"{rate.where}: KONMS"),
        )
        if starts and start <= starts[-1]:
            raise _unreadable("The scales are not in the order of their quantities", where)
        starts.append(start)
    return starts


def _placed(failure: InvalidMessage, period: Segment) -> InvalidMessage:
    """A value type knows nothing of the segment that it is made of."""
    if failure.where.startswith("E1"):
        return failure
    where = f"{period.where}: {failure.where}"
    return InvalidMessage(failure.code, failure.what, where=where, remedy=failure.remedy)


def _unreadable(what: str, where: str) -> InvalidMessage:
    return InvalidMessage("price-unreadable", what, where=where, remedy="Keep these prices by hand")
