"""Every integer and every time in a contract has bounds; what a sender writes fits its column."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from canonical.events import EVENTS
from handlers.systems.arena.native import (
    ChangeStatement,
    EventItemNotice,
    EventNotice,
    Gone,
    ItemStatement,
    OutboundEventNotice,
    SupplierItemNotice,
    SupplierNotice,
    SupplierStatement,
)
from handlers.systems.coupa import native as coupa

CONTRACTS: dict[str, Any] = {
    "arena.change": ChangeStatement,
    "arena.event": EventNotice,
    "arena.event-item": EventItemNotice,
    "arena.item": ItemStatement,
    "arena.gone": Gone,
    "arena.supplier": SupplierStatement,
    "arena.supplier-notice": SupplierNotice,
    "arena.outbound-event": OutboundEventNotice,
    "arena.supplier-item": SupplierItemNotice,
    "coupa.supplier": coupa.Suppliers,
    "coupa.contracts": coupa.Contracts,
    "coupa.supplier row": coupa.StatedSupplier,
    "coupa.contract": coupa.StatedContract,
    "coupa.order": coupa.Order,
    "coupa.review": coupa.StatedReview,
    **{name: row.data for name, row in EVENTS.items()},
}


def unbounded(kind: Any, path: str, seen: frozenset[Any] = frozenset()) -> Iterator[str]:
    """Paths of integers without bounds of 64 bits, and of times that may lack an offset."""
    match kind:
        case inspect.IntType(ge=ge, le=le):
            if ge is None or le is None or not (ge >= -(2**63) and le <= 2**63 - 1):
                yield f"{path}: int"
        case inspect.DateTimeType(tz=tz):
            if tz is not True:
                yield f"{path}: datetime"
        case inspect.FloatType():
            yield f"{path}: float"
        case inspect.StructType(cls=cls, fields=fields) if cls not in seen:
            for field in fields:
                yield from unbounded(field.type, f"{path}.{field.encode_name}", seen | {cls})
        case inspect.UnionType(types=types):
            for member in types:
                yield from unbounded(member, path, seen)
        case inspect.VarTupleType(item_type=inner) | inspect.ListType(item_type=inner):
            yield from unbounded(inner, f"{path}[]", seen)
        case inspect.TupleType(item_types=inner):
            for member in inner:
                yield from unbounded(member, f"{path}[]", seen)
        case inspect.DictType(value_type=inner):
            yield from unbounded(inner, f"{path}{{}}", seen)


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_integer_and_every_time_of_a_contract_is_bounded(name: str) -> None:
    assert list(unbounded(inspect.type_info(CONTRACTS[name]), "$")) == []


class Inner(msgspec.Struct):
    count: int
    ratio: float | None = None
    at: datetime | None = None


class Outer(msgspec.Struct):
    rows: tuple[Inner, ...]
    sides: tuple[int, str]
    words: dict[str, list[int]]


def test_what_is_not_bounded_is_found() -> None:
    assert list(unbounded(inspect.type_info(Outer), "$")) == [
        "$.rows[].count: int",
        "$.rows[].ratio: float",
        "$.rows[].at: datetime",
        "$.sides[]: int",
        "$.words{}[]: int",
    ]
