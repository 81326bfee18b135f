"""A released change is on record and announced, unless a newer statement about it is known."""

from __future__ import annotations

import pytest

from canonical.change import EngineeringChange
from canonical.effects import Emit, Put
from canonical.envelope import Lane
from canonical.facts import Facts, Known
from canonical.rules import Rules
from handlers.systems.changes import release

RULES = Rules(plants=(), distribution=(), routes=(), central_purchasing_org="1000")
KEY = "engineering-change/ECO-1"


def change(version: int, urgency: str = "") -> EngineeringChange:
    return EngineeringChange("ECO-1", version, "released", "Title", (), urgency=urgency)


def knowing(known: EngineeringChange | None = None) -> Facts:
    return Facts(RULES, {KEY: Known(1, known)} if known else {})


@pytest.mark.parametrize("facts", [knowing(), knowing(change(4)), knowing(change(5))])
def test_what_is_as_new_as_what_is_known_is_recorded_and_announced(facts: Facts) -> None:
    assert release(change(5), facts) == (
        Put(KEY, 5, change(5), stated=None),
        Emit("engineering-change.released", KEY, change(5)),
    )


@pytest.mark.parametrize(
    ("urgency", "lane"),
    [("Critical", "critical"), ("HIGH", "critical"), ("Normal", None), ("", None)],
)
def test_an_urgent_change_is_announced_in_the_critical_lane(
    urgency: str, lane: Lane | None
) -> None:
    said = release(change(5, urgency), knowing())[1]
    assert isinstance(said, Emit)
    assert said.lane == lane


def test_what_is_older_is_stated_only_and_refused_by_its_version() -> None:
    assert release(change(4), knowing(change(5))) == (Put(KEY, 4, change(4), stated=None),)


def test_how_the_plm_finds_its_change_again_stays_known_whatever_door_comes_last() -> None:
    queued = EngineeringChange(
        "ECO-1", 4, "released", "Title", (), source_id="CHG1", notice="INT1/EVT1"
    )
    put, emit = release(change(5), knowing(queued))
    kept = EngineeringChange(
        "ECO-1", 5, "released", "Title", (), source_id="CHG1", notice="INT1/EVT1"
    )
    assert put == Put(KEY, 5, kept, stated=None)
    assert emit == Emit("engineering-change.released", KEY, kept)


def test_a_newer_notice_takes_the_place_of_an_older_one() -> None:
    first = EngineeringChange("ECO-1", 4, "released", "T", (), source_id="CHG1", notice="INT1/EVT1")
    newer = EngineeringChange("ECO-1", 5, "released", "T", (), source_id="CHG1", notice="INT1/EVT2")
    assert release(newer, knowing(first))[0] == Put(KEY, 5, newer, stated=None)
