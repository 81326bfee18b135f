"""What is told of an IDoc, by how its message and the events that it became stand."""

from __future__ import annotations

from typing import Any

import pytest

from broker.store.whereabouts import CaseOf, Part, Whereabouts
from canonical.effects import Effect, Emit, Open
from canonical.item_master import ItemMasterPatch
from ops.idoc_audit import Told, said_stands, stands

OPEN = CaseOf(12, "The unit ZZ9 is unknown", "item-master/SEAL-1", is_open=True)
CLOSED = CaseOf(12, "The unit ZZ9 is unknown", "item-master/SEAL-1", is_open=False)
WORDS = "Case 12: The unit ZZ9 is unknown (item-master/SEAL-1)"
POSTED: Told = ("posted", "Applied")


def of(**stated: Any) -> Part:
    return Part(**({"subscription": "idoc-document"} | stated))


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (of(outcome="applied"), POSTED),
        # Planned anew, or replayed: it was taken all the same.
        (of(outcome="applied", state="ready"), POSTED),
        (of(outcome="stale"), ("posted", "Nothing changed: a later state is known")),
        (of(outcome="superseded"), ("posted", "Nothing changed: a later state is known")),
        (of(outcome="parked", state="in_case", case=OPEN), ("refused", WORDS)),
        (of(outcome="invalid", state="in_case", case=OPEN), ("refused", WORDS)),
        (of(outcome="dead-letter", state="in_case", case=OPEN), ("refused", WORDS)),
        # Nobody could read it: no row waits, and the case alone tells.
        (of(outcome="invalid", subscription="unread", case=OPEN), ("refused", WORDS)),
        (of(outcome="invalid", subscription="unread", case=CLOSED), ("let go", WORDS)),
        (of(outcome="applied", subscription="id-conflict", case=OPEN), ("refused", WORDS)),
        (of(outcome="applied", subscription="id-conflict", case=CLOSED), ("let go", WORDS)),
        (of(outcome="parked", state="in_case", reason="unit-unknown"), ("refused", "unit-unknown")),
        (of(outcome="discarded", case=CLOSED), ("let go", WORDS)),
        (of(outcome="discarded"), ("let go", "A person let it go")),
        # A person has it tried again: the inbox keeps its word until it is decided anew.
        (
            of(outcome="parked", state="ready", reason="tried again by a person", case=CLOSED),
            ("waiting", "tried again by a person"),
        ),
        (
            of(outcome="behind", state="parked", reason="waits behind an earlier message"),
            ("waiting", "waits behind an earlier message"),
        ),
        (of(outcome="retry", state="retry", reason="away"), ("waiting", "away")),
        (of(subscription=""), None),
    ],
)
def test_a_message_stands_as_its_rows_say(part: Part, told: Told | None) -> None:
    assert stands(part) == told


def emit(number: str) -> Emit:
    return Emit("item.changed", f"item-master/{number}", ItemMasterPatch(number, 1))


def open_case(where: str) -> Open:
    return Open("unit-unknown", "data_quality", "The unit is unknown", where, "", "master data")


def event(number: str, **stated: Any) -> Part:
    return Part(event="item.changed", key=f"item-master/{number}", **stated)


SAID: tuple[Effect, ...] = (emit("SEAL-1"), emit("PIN"), open_case("SEAL-1"), open_case("PIN"))


@pytest.mark.parametrize(
    ("events", "fate"),
    [
        ((), "posted"),
        ((event("SEAL-1"),), "waiting"),
        ((event("SEAL-1", state="parked", outcome="behind"),), "waiting"),
        ((event("PIN", state="in_case", outcome="parked", case=OPEN), event("SEAL-1")), "refused"),
        ((event("PIN", outcome="discarded"), event("SEAL-1")), "let go"),
        # Of another IDoc of the same document.
        ((event("RING", state="in_case", outcome="parked", case=OPEN),), "posted"),
    ],
)
def test_an_idoc_is_posted_once_all_events_that_it_became_are_taken(
    events: tuple[Part, ...], fate: str
) -> None:
    found = Whereabouts(of(outcome="applied"), events)
    assert said_stands(POSTED, found, SAID, {})[0] == fate


def test_of_more_events_than_are_told_apart_an_idoc_waits() -> None:
    found = Whereabouts(of(outcome="applied"), (), is_complete=False)
    assert said_stands(POSTED, found, SAID, {})[0] == "waiting"


def test_what_was_left_out_makes_it_posted_in_part_as_long_as_its_case_is_open() -> None:
    found = Whereabouts(of(outcome="applied"))
    first = {("unit-unknown", "SEAL-1"): OPEN}
    assert said_stands(POSTED, found, SAID, first) == ("posted in part", WORDS)
    both = first | {("unit-unknown", "PIN"): OPEN}
    assert said_stands(POSTED, found, SAID, both) == ("posted in part", f"{WORDS} and 1 more")
    other = {("unit-unknown", "RING"): OPEN}
    assert said_stands(POSTED, found, SAID, other) == POSTED
    refused = Whereabouts(of(outcome="applied"), (event("PIN", outcome="discarded"),))
    assert said_stands(POSTED, refused, SAID, both)[0] == "let go"
