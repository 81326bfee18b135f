"""What holds for every kind of IDoc that is written: an odd value in any field is read back as it
was, or refused with its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from canonical.effectivity import OPEN_END
from canonical.errors import InvalidMessage
from handlers.systems.idoc.outbound import FORMS, Written, write
from tests.unit.handlers.idoc_out import AT, PARTIES, read_back
from tests.unit.handlers.test_idoc_audit_out import SET, TOLD
from tests.unit.handlers.test_idoc_out import CONFIRMATION, ORDER, SEAL
from tests.unit.handlers.test_idoc_out_terms import PRICES, SHAFT, TELLER, TERMS

OBJECTS: Mapping[str, msgspec.Struct] = {
    "MATMAS": SEAL,
    "ORDERS": ORDER,
    "ORDCHG": ORDER,
    "ORDRSP": CONFIRMATION,
    "CREMAS": TELLER,
    "INFREC": TERMS,
    "COND_A": PRICES,
    "BOMMAT": SHAFT,
    "ALEAUD": TOLD,
    "STATUS": SET,
}
# What follows from the control record, or from a number beside it.
DERIVED = {"version", "stated_at", "source_id"}

ODD: Mapping[type, tuple[Any, ...]] = {
    str: ("", "/", "0", "007", " x", "x ", "a\nb", "a\tb", "<&>", "x" * 300, "9" * 50, "e\u0301",
          "\u202e", "\x00", "\ud800", "KGM", "JPY", "standard", "rejected", "make", "phantom"),
    Decimal: (Decimal(0), Decimal(-1), Decimal("0.000001"), Decimal(10) ** 17, Decimal("2.5")),
    int: (-1, 0, 10**6, 10**12),
    bool: (True, False),
    date: (date.min, OPEN_END, date(2026, 3, 2)),
}  # fmt: skip


def changed(value: Any) -> Iterator[tuple[str, Any]]:
    """The value with each odd one in each place, one at a time, and without each part that may be
    missing; ones that no value type takes are left out."""
    if isinstance(value, msgspec.Struct):
        for field in msgspec.structs.fields(value):
            if field.name not in DERIVED:
                yield from replaced(value, field)
    elif isinstance(value, tuple):
        yield "", ()
        yield "", value + value
        yield "", tuple(reversed(value))
        for number, one in enumerate(value):
            for path, other in changed(one):
                yield f"[{number}]{path}", (*value[:number], other, *value[number + 1 :])
    elif isinstance(value, Mapping):
        yield "", {}
        for key, text in value.items():
            for path, other in changed(text):
                yield f".{key}{path}", {**value, key: other}
    else:
        for other in ODD.get(type(value), ()):
            yield "", other


def replaced(value: msgspec.Struct, field: Any) -> Iterator[tuple[str, Any]]:
    for path, other in changed(getattr(value, field.name)):
        try:
            yield f".{field.name}{path}", msgspec.structs.replace(value, **{field.name: other})
        except InvalidMessage:
            continue
    if field.default is None:
        yield f".{field.name}", msgspec.structs.replace(value, **{field.name: None})


def outcome(message: str, one: msgspec.Struct) -> Written | InvalidMessage:
    """Anything else that is raised is a defect."""
    try:
        return write(FORMS[message], [(PARTIES, one)], AT)
    except InvalidMessage as refused:
        return refused


@pytest.mark.parametrize("message", FORMS)
def test_an_odd_value_in_any_field_is_read_back_as_it_was_or_refused(message: str) -> None:
    taken = 0
    for path, one in changed(OBJECTS[message]):
        found = outcome(message, one)
        if isinstance(found, InvalidMessage):
            assert found.where, path
            assert found.remedy, path
            continue
        taken += 1
        (again,) = read_back(found.body)
        differing = {
            name
            for name in again.__struct_fields__
            if getattr(again, name) != getattr(one, name) and name not in DERIVED
        }
        assert differing <= {name.partition(".")[0] for name in FORMS[message].elsewhere}, path
    assert taken


def test_every_kind_that_is_written_is_tried() -> None:
    assert OBJECTS.keys() == FORMS.keys()
