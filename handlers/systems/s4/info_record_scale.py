"""The scale of an info record's price as lines of the condition record that the ERP makes of it.

The price itself is written with the terms; from which quantities on it is another one, stands in
A_PurInfoRecdPrcgCndnScale, below the condition record that has the days of the price.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import TypeVar

import msgspec
from msgspec import UNSET

from canonical.errors import Conflict, Rejected
from canonical.own_words import OwnWords
from canonical.price_periods import PriceScale
from canonical.purchasing import InfoRecord
from canonical.units import from_rec20
from handlers.systems.s4 import odata
from handlers.systems.s4.amounts import amount_for, fits, quotient
from handlers.systems.s4.compare import (
    Difference,
    in_words,
    same_date,
    same_number,
    same_unit,
    text_of,
)
from handlers.systems.s4.native import (
    Entity,
    InfoRecordOrg,
    PriceCondition,
    PriceScaleLine,
)
from handlers.systems.s4.words import PRICE_CONDITIONS, UNITS

E = TypeVar("E", bound=Entity)

SERVICE = "API_INFORECORD_PROCESS_SRV"
TERMS = "to_PurgInfoRecdOrgPlantData"
# From terms to the days of their prices, to a price, and to what stands below one.
DAYS, CONDITION, LINES, SUPPLEMENTS = (
    "to_PurInfoRecdPrcgCndnValidity",
    "to_PurInfoRecdPrcgCndn",
    "to_PurgInfoPricingCndnRecdScale",
    "to_PurInfoRecdSuplmntPrcgCndn",
)

_SCALES = "A_PurInfoRecdPrcgCndnScale"
# From the record down to the lines of the scale.
EXPANDED = ",".join(
    (
        f"{TERMS}/{DAYS}",
        f"{TERMS}/{DAYS}/{CONDITION}",
        f"{TERMS}/{DAYS}/{CONDITION}/{LINES}",
    )
)
# What a line says besides from how much on.
_PRICE = ("ConditionRateValue", "ConditionRateValueUnit", "ConditionScaleQuantityUnit")


def wanted(record: InfoRecord, own: OwnWords, price_unit: str) -> tuple[PriceScaleLine, ...]:
    """The lines that follow the contract, in their order; none where it says nothing of a scale.

    price_unit: for how much the ERP has the price, MaterialPriceUnitQty; 0 stands for 1.
    Raises: Rejected where the ERP has no room for them.
    """
    scales = record.scales
    if scales is UNSET:
        return ()
    for before, after in pairwise(scales):
        if before.start.value >= after.start.value:
            raise _refused(record, "they are not in the order of their quantities")
    unit = from_rec20(UNITS, record.order_unit, own.units, where=_where(record))
    per = quotient(price_unit, "1") or Fraction(1)
    return tuple(
        PriceScaleLine(
            ConditionScaleQuantity=_start(record, scale),
            ConditionScaleQuantityUnit=unit,
            ConditionRateValue=_rate(record, scale, per),
            ConditionRateValueUnit=record.price.amount.currency,
        )
        for scale in scales
    )


def missing(lines: Sequence[PriceScaleLine]) -> tuple[str, ...]:
    """What is said of lines while there is nothing yet that they could stand below."""
    return tuple(f"{_shown(line)}: missing" for line in lines)


def differences(
    record: InfoRecord, own: OwnWords, terms: InfoRecordOrg, price_unit: str
) -> tuple[Difference, ...]:
    """The writes that are missing, in their order: new lines, changed ones, then those that the
    contract does not have. Where it says nothing of a scale, the ERP keeps its own.

    price_unit: as of `wanted`, once the terms are as they should be.
    """
    if record.scales is UNSET:
        return ()
    lines = wanted(record, own, price_unit)
    condition = _condition(terms)
    if condition is None:
        return (_without_condition(record),) if lines else ()
    found = odata.offered(condition.to_PurgInfoPricingCndnRecdScale, LINES)
    return tuple(_differing(condition, own, lines, found))


def _differing(
    condition: PriceCondition,
    own: OwnWords,
    lines: Sequence[PriceScaleLine],
    found: Sequence[PriceScaleLine],
) -> Iterator[Difference]:
    held = [line for line in found if line.ConditionScaleIsDeleted is not True]
    by_start = {_from(line): line for line in held}
    number = max((_number(line) for line in found), default=0)
    for line in lines:
        if _from(line) not in by_start:
            number += 1
            yield _added(condition, line, number)
    for line in lines:
        if known := by_start.get(_from(line)):
            yield from _changed(line, own, known)
    starts = {_from(line) for line in lines}
    for line in held:
        if _from(line) not in starts and not _says_the_price(condition, lines, line):
            what = f"{_shown(line)}: {text_of(line.ConditionRateValue)}, wanted none"
            yield Difference((what,), odata.delete(_address(line), odata.etag_of(line)))


def _says_the_price(
    condition: PriceCondition, lines: Sequence[PriceScaleLine], held: PriceScaleLine
) -> bool:
    """Whether the line says no more than the price itself, which counts below the first line."""
    first = _from(lines[0]) if lines else None
    start = _from(held)
    is_below = first is None or (start is not None and start < first)
    same = same_number(text_of(held.ConditionRateValue), text_of(condition.ConditionRateValue))
    return is_below and same


def _added(condition: PriceCondition, line: PriceScaleLine, number: int) -> Difference:
    body = msgspec.structs.replace(
        line,
        ConditionRecord=text_of(condition.ConditionRecord),
        ConditionSequentialNumber=text_of(condition.ConditionSequentialNumber),
        ConditionScaleLine=f"{number:04}",
    )
    return Difference(missing([line]), odata.post(odata.address(SERVICE, _SCALES), body))


def _changed(want: PriceScaleLine, own: OwnWords, held: PriceScaleLine) -> Iterator[Difference]:
    same = (
        same_number(text_of(want.ConditionRateValue), text_of(held.ConditionRateValue)),
        want.ConditionRateValueUnit == held.ConditionRateValueUnit,
        same_unit(
            text_of(held.ConditionScaleQuantityUnit), text_of(want.ConditionScaleQuantityUnit), own
        ),
    )
    names = [name for name, is_same in zip(_PRICE, same, strict=True) if not is_same]
    if names:
        said = (in_words(name, getattr(held, name), getattr(want, name)) for name in names)
        what = tuple(f"{_shown(want)}, {words}" for words in said)
        body = msgspec.convert({name: getattr(want, name) for name in _PRICE}, PriceScaleLine)
        yield Difference(what, odata.patch(_address(held), body, odata.etag_of(held)))


# --- the target's side ---


def _condition(terms: InfoRecordOrg) -> PriceCondition | None:
    """The condition record of the price that is kept with the terms."""
    until = text_of(terms.PriceValidityEndDate)
    for days in odata.offered(terms.to_PurInfoRecdPrcgCndnValidity, DAYS):
        is_price = text_of(days.ConditionType) in PRICE_CONDITIONS
        if is_price and same_date(text_of(days.ConditionValidityEndDate), until):
            found = days.to_PurInfoRecdPrcgCndn
            if isinstance(found, PriceCondition) and found.ConditionIsDeleted is not True:
                return found
    return None


def _from(line: PriceScaleLine) -> Fraction | None:
    return quotient(text_of(line.ConditionScaleQuantity), "1")


def _number(line: PriceScaleLine) -> int:
    text = text_of(line.ConditionScaleLine)
    return int(text[:4]) if text.isascii() and text.isdigit() else 0


def _address(line: PriceScaleLine) -> str:
    return odata.address(
        SERVICE,
        _SCALES,
        ConditionRecord=text_of(line.ConditionRecord),
        ConditionSequentialNumber=text_of(line.ConditionSequentialNumber),
        ConditionScaleLine=text_of(line.ConditionScaleLine),
    )


def _without_condition(record: InfoRecord) -> Difference:
    shown = "The price has no condition record that lines of a scale could stand below"
    return Difference(
        (shown,),
        conflict=Conflict(
            "price-condition-missing",
            f"{shown}: {record.supplier}, {record.item}",
            where=_where(record),
            remedy="Have the price kept as a condition in the ERP, then release the step again",
        ),
    )


# --- our side ---


def _start(record: InfoRecord, scale: PriceScale) -> str:
    start = scale.start
    if start.unit == record.order_unit and start.value > 0 and fits(start.value):
        return format(start.value, "f")
    raise _refused(
        record, f"{start.value} {start.unit} is no quantity of its order unit {record.order_unit}"
    )


def _rate(record: InfoRecord, scale: PriceScale, per: Fraction) -> str:
    """What is charged from there on for as much as the price itself is for."""
    price, of = scale.price, record.price
    if (price.amount.currency, price.per.unit) == (of.amount.currency, of.per.unit):
        amount = amount_for(price, per)
        if amount is not None:
            return format(amount, "f")
    raise _refused(
        record,
        f"{price.amount.amount} {price.amount.currency} for {price.per.value} {price.per.unit} has"
        f" no amount in {of.amount.currency} for {per} {of.per.unit}",
    )


def _refused(record: InfoRecord, why: str) -> Rejected:
    return Rejected(
        "scale-not-representable",
        f"The scales of the price of {record.item} do not fit: {why}",
        where=_where(record),
        remedy="Correct the scales in the contract, or for how much the ERP has the price",
    )


def _where(record: InfoRecord) -> str:
    return f"info-record/{record.supplier}/{record.item}/{record.purchasing_org}/{record.plant}"


def _shown(line: PriceScaleLine) -> str:
    quantity, unit = text_of(line.ConditionScaleQuantity), text_of(line.ConditionScaleQuantityUnit)
    return f"Scale from {quantity} {unit}"
