"""Hypothesis strategies for the canonical value types."""

from __future__ import annotations

import unicodedata
from datetime import UTC, date, datetime
from decimal import Decimal

from hypothesis import strategies as st

from canonical.effectivity import (
    DateEffectivity,
    LotEffectivity,
    SerialEffectivity,
    from_inclusive_dates,
)
from canonical.errors import InvalidMessage
from canonical.money import Money, UnitPrice
from canonical.quantity import ItemUnit, Quantity, Ratio
from canonical.revision import SCHEMES, Revision, Scheme, next_label, parse_revision
from canonical.text import normalise_text

# Units of one category, each an exact number of base units.
CATEGORIES = {
    "length": ("MTR", "CMT", "MMT", "KMT", "INH", "FOT", "YRD", "SMI"),
    "area": ("MTK", "CMK", "MMK", "FTK", "INK"),
    "volume": ("MTQ", "LTR", "MLT", "DMQ", "GLL", "INQ"),
    "mass": ("KGM", "GRM", "MGM", "TNE", "LBR", "ONZ"),
    "time": ("SEC", "MIN", "HUR", "DAY"),
    "count": ("H87", "DZN", "PR", "CEN", "MIL"),
}
ALL_UNITS = tuple(code for codes in CATEGORIES.values() for code in codes)
PACKAGING = ("XBX", "XCS", "XPK", "XRL", "XRO", "XPX")
CURRENCIES = ("EUR", "USD", "JPY", "KWD", "CLF")
ZONES = ("UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kolkata", "Pacific/Kiritimati")


def decimals(
    *, minimum: str = "-999999.999999", maximum: str = "999999.999999", places: int = 6
) -> st.SearchStrategy[Decimal]:
    """Decimals well inside the bounds, so that sums and conversions stay there too."""
    return st.decimals(Decimal(minimum), Decimal(maximum), places=places)


def quantities(
    units: tuple[str, ...] = ALL_UNITS, *, minimum: str = "-999999.999999"
) -> st.SearchStrategy[Quantity]:
    """Quantities in any of the units."""
    return st.builds(Quantity, decimals(minimum=minimum), st.sampled_from(units))


def same_category(count: int) -> st.SearchStrategy[tuple[Quantity, ...]]:
    """So many quantities that convert into each other."""
    return st.sampled_from(sorted(CATEGORIES)).flatmap(
        lambda name: st.tuples(*[quantities(CATEGORIES[name])] * count)
    )


def ratios() -> st.SearchStrategy[Ratio]:
    """Positive ratios as item masters state them, five digits at most."""
    return st.builds(Ratio, st.integers(1, 99_999), st.integers(1, 99_999))


def item_units() -> st.SearchStrategy[ItemUnit]:
    """Packaging of an item."""
    return st.builds(ItemUnit, st.sampled_from(PACKAGING), ratios())


def money(currencies: tuple[str, ...] = CURRENCIES) -> st.SearchStrategy[Money]:
    """Amounts in any of the currencies."""
    return st.builds(Money, decimals(), st.sampled_from(currencies))


def unit_prices(unit: str = "H87") -> st.SearchStrategy[UnitPrice]:
    """Prices per 1, 10, 100 or 1000."""
    pers = st.sampled_from([1, 10, 100, 1000]).map(lambda n: Quantity(Decimal(n), unit))
    return st.builds(UnitPrice, money(), pers)


def labels(scheme: Scheme) -> st.SearchStrategy[str]:
    """Labels of a scheme."""
    match scheme:
        case "asme_letters":
            return st.just("-") | st.text("ABCDEFGHJKLMNPRTUVWY", min_size=1, max_size=2)
        case "letters":
            return st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=3)
        case "numeric":
            return st.text("0123456789", min_size=1, max_size=5)
        case "two_level":
            return st.builds(
                "{}{}{}".format,
                labels("prototype_then_production"),
                st.sampled_from(".;"),
                st.integers(0, 999),
            )
        case "prototype_then_production":
            return labels("numeric") | labels("letters")
        case "change_number":
            return st.text("ABCDEFGHIJ0123456789-", min_size=1, max_size=12)


def revisions(schemes: tuple[Scheme, ...] = SCHEMES) -> st.SearchStrategy[Revision]:
    """Parsed revisions of any of the schemes."""
    return st.sampled_from(schemes).flatmap(
        lambda scheme: labels(scheme).map(lambda label: parse_revision(label, scheme))
    )


def label_runs(scheme: Scheme, first: str, count: int) -> list[str]:
    """The first label and its successors, `count` in all."""
    run = [first]
    while len(run) < count:
        run.append(next_label(run[-1], scheme))
    return run


def ids() -> st.SearchStrategy[str]:
    """Numbers and names in their normal form, with what is special in markup and paths."""
    alphabet = st.sampled_from("ABCxyz0189-_./#&<>\"'% \u00fc\u4e2d")
    return st.text(alphabet, min_size=1, max_size=8).map(str.strip).filter(bool)


def _is_prose(text: str) -> bool:
    try:
        return normalise_text(text) == text
    except InvalidMessage:
        return False


def prose() -> st.SearchStrategy[str]:
    """Texts of any script in their normal form, with line breaks, without blanks around them."""
    alphabet = st.characters(exclude_categories=["C", "Zl", "Zp"]) | st.sampled_from("\t\r\n&<>\"'")
    texts = st.text(alphabet, max_size=8)
    return texts.map(lambda text: unicodedata.normalize("NFC", text).strip()).filter(_is_prose)


def days() -> st.SearchStrategy[date]:
    """Days that business documents state."""
    return st.dates(date(1950, 1, 1), date(9990, 12, 31))


def moments() -> st.SearchStrategy[datetime]:
    """UTC instants near the days."""
    return st.floats(-6e8, 7e9).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@st.composite
def date_effectivities(draw: st.DrawFn) -> DateEffectivity:
    """Whole days of a zone, half of them open."""
    first, last = sorted((draw(days()), draw(days())))
    return from_inclusive_dates(
        first, draw(st.sampled_from([last, None])), draw(st.sampled_from(ZONES))
    )


@st.composite
def numbered_effectivities(
    draw: st.DrawFn,
    kind: type[SerialEffectivity] | type[LotEffectivity] | None = None,
) -> SerialEffectivity | LotEffectivity:
    """Serial numbers or lots with prefix SN, half of them open, from 1 on and with five digits."""
    start = draw(st.integers(1, 9999))
    end = draw(st.none() | st.integers(start + 1, 10_000))
    numbers = f"SN{start:05d}", None if end is None else f"SN{end:05d}"
    if (kind or draw(st.sampled_from([SerialEffectivity, LotEffectivity]))) is LotEffectivity:
        return LotEffectivity(*numbers)
    return SerialEffectivity(*numbers)


def json_documents() -> st.SearchStrategy[object]:
    """JSON objects and lists of texts, numbers, answers and nothing, a few levels deep."""
    scalars = st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text(max_size=8)
    values = st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
        ),
        max_leaves=12,
    )
    return st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=6), values, max_size=4)
