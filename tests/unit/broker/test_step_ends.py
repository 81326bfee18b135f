"""Which ends of calls are told, and in which words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.ledger import LedgerStep, Move
from broker.step_ends import of_moves, said
from broker.store import Position
from broker.store.ledgers import Ledger
from canonical.effects import parts_of_identity, step_identity
from canonical.events import EVENTS
from canonical.operations import PutBom, ReadSupplier, StepKind
from canonical.own_work import StepEnd, StepEnded
from tests.fixtures.gearbox import NUMBER

IDENTITY = "1010|erp|bom|GB|100|put-bom"
LEDGER = Ledger(
    id=1,
    key=f"engineering-change/{NUMBER}",
    title="",
    version=1,
    state="open",
    subscription="engineering-change",
    scope="change",
    lane="standard",
    source="plm",
    correlation_id="story",
    position=Position(datetime(2026, 3, 2, tzinfo=UTC), 1),
)


def move(state: str, *, identity: str = IDENTITY, kind: StepKind = "call") -> Move:
    step = LedgerStep(7, identity, 1, kind, "ready", 1, b"", ())
    return Move(step, state, "why")


@pytest.mark.parametrize("end", get_args(StepEnd))
def test_an_end_is_told_as_the_event_of_its_name(end: StepEnd) -> None:
    [found] = of_moves([(LEDGER, [move(end)])])
    assert said(found) == StepEnded(
        LEDGER.key,
        "1010",
        "erp",
        "bom",
        "GB|100",
        "put-bom",
        end,
        "why",
    )
    assert EVENTS[found.event].data is StepEnded
    assert EVENTS[found.event].on_request


@pytest.mark.parametrize("state", ["waiting", "held", "ready", "in_flight", "in_doubt"])
def test_what_is_on_its_way_is_no_end(state: str) -> None:
    assert of_moves([(LEDGER, [move(state)])]) == ()


@pytest.mark.parametrize("kind", ["approval", "wait", "announce"])
def test_only_calls_are_told(kind: StepKind) -> None:
    assert of_moves([(LEDGER, [move("done", kind=kind)])]) == ()


def test_a_question_is_nobodys_news() -> None:
    identity = step_identity("", "procurement", "supplier", "S-1", ReadSupplier("S-1"))
    assert of_moves([(LEDGER, [move("done", identity=identity)])]) == ()


PARTS = st.text(st.characters(exclude_characters="|"), max_size=8)


@given(PARTS, PARTS, PARTS, st.text(max_size=12))
def test_an_identity_is_its_parts(plant: str, system: str, kind: str, number: str) -> None:
    parts = parts_of_identity("|".join((plant, system, kind, number, "put-bom")))
    assert parts == (plant, system, kind, number, "put-bom")
    assert PutBom.__struct_config__.tag == parts.verb


def test_what_a_person_skips_is_told_as_not_made_and_once() -> None:
    (found,) = of_moves([(LEDGER, [move("skipped")])])
    assert (found.event, found.reason) == ("step.cancelled", "why")
    step = msgspec.structs.replace(move("skipped").step, state="skipped")
    assert of_moves([(LEDGER, [Move(step, "cancelled", "no longer planned")])]) == ()
