"""Units of measure: what Tryton calls one, and the ids under which it keeps them."""

from __future__ import annotations

from collections.abc import Callable

from canonical.connector import Observed
from canonical.errors import InvalidMessage, Rejected
from canonical.own_words import OwnWords
from canonical.units import from_rec20, to_rec20
from handlers.systems.tryton import rpc
from handlers.systems.tryton.native import Symbol
from handlers.systems.tryton.rpc import Look
from handlers.systems.tryton.words import UNITS, UOM

Ids = dict[str, int]


def symbol(code: str, own: OwnWords, where: str) -> str:
    """What Tryton calls the unit with that code. Raises: UnknownUnit where it has no name there."""
    return from_rec20(UNITS, code, own.units, where=where)


def is_same(held: str, code: str, own: OwnWords) -> bool:
    """Whether Tryton's symbol means the unit with that code."""
    try:
        return to_rec20(UNITS, held, own.codes) == code
    except InvalidMessage:
        return False


def look(symbols: tuple[str, ...], then: Callable[[Ids], Observed | Look]) -> Look:
    """The ids of units by symbol.

    Raises, when it is read: Rejected for a unit that Tryton does not have, or has twice.
    """
    return Look(
        rpc.search(UOM, (("symbol", "in", symbols),), ("symbol",), with_inactive=False),
        lambda found: then(_ids(symbols, rpc.decoded(found, tuple[Symbol, ...]))),
    )


def _ids(symbols: tuple[str, ...], found: tuple[Symbol, ...]) -> Ids:
    for one in symbols:
        count = sum(unit.symbol == one for unit in found)
        if count != 1:
            raise Rejected(
                "unit-ambiguous" if count else "unit-missing",
                f"Tryton has {count or 'no'} active units with the symbol {one}",
                where=f"{UOM}/{one}",
                remedy="Have one active unit with this symbol there, or map a word of Tryton's to"
                " the unit (rules.words), then release the step again",
            )
    return {unit.symbol: unit.id for unit in found}
