"""The condition records of an info record's terms as they were read back: which price counts on
which days, and from how much of one order on another one does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import pairwise
from typing import TypeVar

from msgspec import UNSET, UnsetType

from canonical.errors import InvalidMessage
from canonical.money import Money, UnitPrice, minor_digits
from canonical.own_words import OwnWords
from canonical.price_periods import PricePeriod, PriceScale
from canonical.quantity import Quantity
from handlers.systems.answers import printable
from handlers.systems.s4.compare import text_of
from handlers.systems.s4.native import Entity, Offered
from handlers.systems.s4.native_read import OrganisationTerms, Price, PriceDays, PriceLine
from handlers.systems.s4.values import Findings, day, number, place, unit
from handlers.systems.s4.words import (
    CALCULATED_BY_QUANTITY,
    FROM_SCALES,
    PRICE_CONDITIONS,
    SCALED_BY_QUANTITY,
    WITHOUT_SCALE,
)

E = TypeVar("E", bound=Entity)

_NOT_A_PRICE = "condition-not-a-price"
_DAYS = "to_PurInfoRecdPrcgCndnValidity"
# Before the other periods: nothing is agreed for days that none of them names.
_NOTHING_ELSE = PricePeriod(date.min)


def has_scale(price: Price) -> bool:
    """Whether lines stand below the price: without a basis none of them would count."""
    return text_of(price.PricingScaleBasis).strip() != WITHOUT_SCALE


def to_periods(
    terms: OrganisationTerms, own: OwnWords, where: str, found: Findings
) -> tuple[PricePeriod, ...]:
    """All prices of the terms, and that there are no others; a case for each that cannot be
    understood, of which nothing is said: what is known of its days stays as it is.

    None at all where the answer does not tell of condition records.
    """
    rows = _offered(terms.to_PurInfoRecdPrcgCndnValidity)
    if rows is None:
        return ()
    where = f"{where}, {_DAYS}"
    periods: list[PricePeriod] = []
    is_whole = True
    for row in rows:
        at = f"{where} {printable(text_of(row.ConditionRecord), 10)}".rstrip()
        try:
            if period := _to_period(row, own, at):
                periods.append(period)
        except InvalidMessage as failure:
            found.add(_placed(failure, at))
            # Of a discount nobody expects a price.
            is_whole = is_whole and failure.code == _NOT_A_PRICE
    periods.sort(key=lambda period: period.first_day)
    if twice := _first_twice(periods):
        found.add(_unreadable(f"Two prices of one kind count on {twice}", where))
        return ()
    return (_NOTHING_ELSE, *periods) if is_whole else tuple(periods)


def _to_period(row: PriceDays, own: OwnWords, where: str) -> PricePeriod | None:
    """A price counts with all its lines or not at all; None for one that is deleted."""
    kind = text_of(row.ConditionType).strip()
    if kind not in PRICE_CONDITIONS:
        raise InvalidMessage(
            _NOT_A_PRICE,
            f"The condition {kind[:4]!r} is in no table of prices",
            where=f"{where}: ConditionType",
            remedy="Keep it by hand where somebody has to see it, or have the type mapped",
        )
    first_day = day(row.ConditionValidityStartDate, where=f"{where}: ConditionValidityStartDate")
    last_day = day(row.ConditionValidityEndDate, where=f"{where}: ConditionValidityEndDate")
    if first_day is None:
        raise _unreadable(
            "The days of a price have no beginning", f"{where}: ConditionValidityStartDate"
        )
    if last_day is not None and last_day < first_day:
        raise _unreadable(
            "The days of a price end before they begin", f"{where}: ConditionValidityEndDate"
        )
    price = row.to_PurInfoRecdPrcgCndn
    if not isinstance(price, Price) or price.ConditionRateValue is UNSET:
        raise _unreadable("Of a price nothing but its days is told", where)
    if price.ConditionIsDeleted is True:
        return None
    supplements = _offered(price.to_PurInfoRecdSuplmntPrcgCndn)
    if supplements is None or any(one.ConditionIsDeleted is not True for one in supplements):
        raise _unreadable(
            "The price has supplements, which make another one of it", f"{where}: ConditionType"
        )
    return PricePeriod(
        first_day,
        last_day,
        _unit_price(price, price, own, where),
        tuple(_scales(price, own, where)),
    )


def _unit_price(said: Price | PriceLine, price: Price, own: OwnWords, where: str) -> UnitPrice:
    """What the price or one of its lines says, for as much as the price is for."""
    kind = text_of(price.ConditionCalculationType).strip()
    if kind not in CALCULATED_BY_QUANTITY:
        raise _unreadable(
            f"The price is reckoned by something else than a quantity, {kind[:1]!r}",
            f"{where}: ConditionCalculationType",
        )
    amount = number(said.ConditionRateValue, where=f"{where}: ConditionRateValue")
    code = text_of(said.ConditionRateValueUnit)
    minor_digits(code, where=f"{where}: ConditionRateValueUnit")
    per = number(price.ConditionQuantity, where=f"{where}: ConditionQuantity")
    if per <= 0:
        raise _unreadable("For how much the price is, is not told", f"{where}: ConditionQuantity")
    priced_in = unit(price.ConditionQuantityUnit, own, where=f"{where}: ConditionQuantityUnit")
    return UnitPrice(Money(amount, code), Quantity(per, priced_in))


def _scales(price: Price, own: OwnWords, where: str) -> Iterator[PriceScale]:
    if not has_scale(price):
        return
    kind, basis = (
        text_of(said).strip() for said in (price.PricingScaleType, price.PricingScaleBasis)
    )
    if basis != SCALED_BY_QUANTITY or kind not in FROM_SCALES:
        raise _unreadable(
            f"Its scales are by value, or up to a quantity: {basis[:1]!r}, {kind[:1]!r}",
            f"{where}: PricingScaleBasis, PricingScaleType",
        )
    lines = _offered(price.to_PurgInfoPricingCndnRecdScale)
    if lines is None:
        raise _unreadable("The price has a scale that is not told", where)
    scales = [
        PriceScale(_start(line, price, own, where), _unit_price(line, price, own, where))
        for line in sorted(lines, key=lambda line: place(line.ConditionScaleLine))
        if line.ConditionScaleIsDeleted is not True
    ]
    for before, after in pairwise(scales):
        if before.start >= after.start:
            raise _unreadable(
                "The scales are not in the order of their quantities",
                f"{where}: ConditionScaleQuantity",
            )
    yield from scales


def _start(line: PriceLine, price: Price, own: OwnWords, where: str) -> Quantity:
    """From how much on the line counts; without a unit of its own in that of the scale, else of
    the price."""
    units = (line.ConditionScaleQuantityUnit, price.ConditionScaleQuantityUnit)
    stated = next((said for said in units if text_of(said)), price.ConditionQuantityUnit)
    return Quantity(
        number(line.ConditionScaleQuantity, where=f"{where}: ConditionScaleQuantity"),
        unit(stated, own, where=f"{where}: ConditionScaleQuantityUnit"),
    )


def _first_twice(periods: Sequence[PricePeriod]) -> date | None:
    """The first day on which more than one of them counts; they are in the order of their days."""
    for before, after in pairwise(periods):
        if before.is_valid(after.first_day):
            return after.first_day
    return None


def _offered(children: Offered[E] | UnsetType) -> tuple[E, ...] | None:
    """None where the answer does not have them."""
    if children is UNSET or children.results is UNSET:
        return None
    return children.results


def _placed(failure: InvalidMessage, where: str) -> InvalidMessage:
    """A value type knows nothing of the row that it is made of."""
    if failure.where.startswith(where):
        return failure
    return InvalidMessage(
        failure.code, failure.what, where=f"{where}: {failure.where}", remedy=failure.remedy
    )


def _unreadable(what: str, where: str) -> InvalidMessage:
    return InvalidMessage("price-unreadable", what, where=where, remedy="Keep these prices by hand")
