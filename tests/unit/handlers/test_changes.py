"""What a statement of a change comes to: on record and announced, or told, or refused as older."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from canonical.change import ChangeStatus, EngineeringChange
from canonical.effects import Effect, Emit, Put
from canonical.envelope import Lane
from canonical.events import ChangeStanding
from canonical.facts import Facts, Known
from canonical.rules import Rules
from handlers.systems.changes import state_change

RULES = Rules(plants=(), distribution=(), routes=(), central_purchasing_org="1000")
KEY = "engineering-change/ECO-1"
BEGAN = datetime(1970, 1, 1, tzinfo=UTC)
# Of a PLM that releases a change by approving it.
RELEASED: frozenset[ChangeStatus] = frozenset({"approved", "released", "effective", "completed"})


def change(version: int, status: ChangeStatus = "released", **stated: Any) -> EngineeringChange:
    return EngineeringChange("ECO-1", version, status, "Title", (), **stated)


def knowing(known: EngineeringChange | None = None) -> Facts:
    return Facts(RULES, {KEY: Known(1, known)} if known else {})


def standing(
    version: int, status: ChangeStatus, before: ChangeStatus | None = None
) -> ChangeStanding:
    at = BEGAN + timedelta(microseconds=version)
    return ChangeStanding("ECO-1", "Title", status, at, before)


def stated(now: EngineeringChange, facts: Facts) -> tuple[Effect, ...]:
    return state_change(standing(now.version, now.status), lambda: now, RELEASED, facts)


@pytest.mark.parametrize("facts", [knowing(), knowing(change(4)), knowing(change(5))])
def test_what_is_as_new_as_what_is_known_is_recorded_and_announced(facts: Facts) -> None:
    assert stated(change(5), facts) == (
        Put(KEY, 5, change(5), stated=None),
        Emit("engineering-change.released", KEY, change(5)),
    )


@pytest.mark.parametrize("status", ["released", "cancelled"])
@pytest.mark.parametrize(
    ("urgency", "lane"),
    [("Critical", "critical"), ("HIGH", "critical"), ("Normal", None), ("", None)],
)
def test_an_urgent_change_is_announced_in_the_critical_lane(
    urgency: str, lane: Lane | None, status: ChangeStatus
) -> None:
    _, said = stated(change(5, status, urgency=urgency), knowing(change(4)))
    assert isinstance(said, Emit)
    assert (said.event, said.lane) == (f"engineering-change.{status}", lane)


@pytest.mark.parametrize("status", ["released", "cancelled", "effective"])
def test_what_is_older_is_stated_only_and_refused_by_its_version(status: ChangeStatus) -> None:
    older = change(4, status)
    assert stated(older, knowing(change(5))) == (Put(KEY, 4, older, stated=None),)


def test_a_change_that_is_taken_back_after_its_release_is_recorded_and_announced() -> None:
    assert stated(change(5, "cancelled"), knowing(change(4))) == (
        Put(KEY, 5, change(5, "cancelled"), stated=None),
        Emit("engineering-change.cancelled", KEY, change(5, "cancelled")),
    )


@pytest.mark.parametrize("status", ["open", "submitted", "cancelled"])
def test_a_draft_is_not_looked_at_and_of_one_nobody_was_told_of_nothing_is_cancelled(
    status: ChangeStatus,
) -> None:
    def whole() -> EngineeringChange:
        raise AssertionError("a draft may be of any shape")

    told = state_change(standing(5, status), whole, RELEASED, knowing())
    assert [effect.event for effect in told if isinstance(effect, Emit)] == [
        f"engineering-change.{status}" for _ in told
    ]
    assert bool(told) == (status == "submitted")


@pytest.mark.parametrize(
    ("status", "events"),
    [
        ("submitted", ["submitted"]),
        ("approved", ["released", "approved"]),
        ("released", ["released"]),
        ("effective", ["released", "effective"]),
        ("completed", ["released"]),
    ],
)
def test_how_a_change_stands_is_told_beside_its_release(
    status: ChangeStatus, events: list[str]
) -> None:
    said = [e for e in stated(change(5, status), knowing()) if isinstance(e, Emit)]
    assert [e.event for e in said] == [f"engineering-change.{event}" for event in events]
    notices = [e.data for e in said if e.event != "engineering-change.released"]
    assert notices == [standing(5, status)] * len(notices)


def test_how_it_stood_before_is_told_and_what_is_known_already_is_not() -> None:
    _, _, told = stated(change(5, "effective"), knowing(change(4, "approved")))
    assert isinstance(told, Emit)
    assert told.data == standing(5, "effective", "approved")
    again = stated(change(6, "effective"), knowing(change(5, "effective")))
    assert [e.event for e in again if isinstance(e, Emit)] == ["engineering-change.released"]
    assert stated(change(4, "submitted"), knowing(change(5, "released"))) == ()


def test_how_the_plm_finds_its_change_again_stays_known_whatever_door_comes_last() -> None:
    queued = change(4, source_id="CHG1", notice="INT1/EVT1")
    put, emit = stated(change(5), knowing(queued))
    kept = change(5, source_id="CHG1", notice="INT1/EVT1")
    assert put == Put(KEY, 5, kept, stated=None)
    assert emit == Emit("engineering-change.released", KEY, kept)


def test_a_newer_notice_takes_the_place_of_an_older_one() -> None:
    first = change(4, source_id="CHG1", notice="INT1/EVT1")
    newer = change(5, source_id="CHG1", notice="INT1/EVT2")
    assert stated(newer, knowing(first))[0] == Put(KEY, 5, newer, stated=None)


def test_a_change_that_goes_on_was_released_when_it_was_first() -> None:
    first, later = (BEGAN + timedelta(days=n) for n in (1, 9))
    known = change(4, "approved", released_at=first)
    put, emit, _ = stated(change(5, "effective", released_at=later), knowing(known))
    went_on = change(5, "effective", released_at=first)
    assert put == Put(KEY, 5, went_on, stated=None)
    assert emit == Emit("engineering-change.released", KEY, went_on)
    undated = stated(change(5, released_at=later), knowing(change(4)))[0]
    assert undated == Put(KEY, 5, change(5, released_at=later), stated=None)


def test_a_change_that_was_taken_back_is_released_anew() -> None:
    first, later = (BEGAN + timedelta(days=n) for n in (1, 9))
    taken_back = change(4, "cancelled", released_at=first)
    put = stated(change(5, released_at=later), knowing(taken_back))[0]
    assert put == Put(KEY, 5, change(5, released_at=later), stated=None)
