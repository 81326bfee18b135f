"""A revision that waits for the day of its change is not shown by another change before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.bom import bom_key
from canonical.change import (
    AffectedItem,
    EngineeringChange,
    RevisionEffectivity,
    revision_effectivities,
    revision_effectivities_key,
    revision_effectivity_key,
)
from canonical.effectivity import DateEffectivity, Effectivity, LotEffectivity
from canonical.effects import Plan
from canonical.facts import Document, Facts
from canonical.item import Item, item_key
from canonical.operations import AwaitFact, AwaitTime, PublishItem, PutBom, PutItem
from handlers.flows.definitions_in_force import definitions_in_force
from handlers.flows.engineering_change import HANDLER
from tests.fixtures.gearbox import (
    ANSWERS,
    CHANGE,
    DEFINITIONS,
    NOW,
    SUPPLIERS,
    bom,
    change,
    covered,
    decide,
    facts,
    item,
    line,
    message,
)

DAY = datetime(2026, 6, 1, tzinfo=UTC)
LATER = datetime(2026, 9, 1, tzinfo=UTC)
KNOWN = (*DEFINITIONS, *ANSWERS, *SUPPLIERS)


def day(
    number: str, label: str, start: datetime | None = DAY, by: str = "ECO-9", **stated: Any
) -> RevisionEffectivity:
    """ECO-9 lets the revision hold from the day on."""
    return RevisionEffectivity(by, number, label, start, **stated)


def planned(
    *known: Document, now: datetime = NOW, stated: EngineeringChange = CHANGE
) -> tuple[Plan, Facts]:
    """The plan, which asks for no more than it goes by."""
    found = facts(*known)
    asked = HANDLER.needs(message(stated), found)
    held = {key: one for key, one in found.documents.items() if key in asked}
    found = msgspec.structs.replace(found, documents=held)
    return decide(stated, found, now)[0], found


def written(made: Plan) -> dict[str, str]:
    """Revision by `verb object plant` of what systems would show of items and BOMs."""
    shown: dict[str, str] = {}
    for step in made.steps:
        match step.operation:
            case PutItem(one) | PublishItem(one):
                shown[f"{step.identity.rpartition('|')[2]} {one.number}"] = one.revision.label
            case PutBom(structure):
                shown[f"put-bom {structure.parent} {step.plant}"] = structure.revision
    return shown


# --- what is shown ---


def test_until_its_day_another_change_shows_the_revision_before() -> None:
    made, _ = planned(*KNOWN, item("BOLT-1", label="C"), day("BOLT-1", "C"))
    before, _ = planned(*KNOWN)
    assert written(made) == written(before)
    assert written(made)["put-item BOLT-1"] == written(made)["publish-item BOLT-1"] == "B"
    [finding] = [f for f in made.findings if f.code == "revision-to-come"]
    assert (finding.where, finding.severity, finding.owner) == (
        "item/BOLT-1",
        "info",
        "engineering",
    )
    assert finding.what == (
        "Revision C of BOLT-1 takes effect on 2026-06-01 00:00 UTC by ECO-9; until then it is B"
    )


def test_from_its_day_on_it_is_shown_and_nothing_is_watched_any_more() -> None:
    made, _ = planned(*KNOWN, item("BOLT-1", label="C"), day("BOLT-1", "C"), now=DAY)
    assert written(made)["put-item BOLT-1"] == "C"
    assert not [f for f in made.findings if f.code == "revision-to-come"]
    assert made.watched == ()


def test_an_assembly_is_built_by_the_structure_of_the_revision_in_force() -> None:
    known = (*KNOWN, item("SH-10", "make", label="C"), bom("SH-10", line("PIN-9"), label="C"))
    made, found = planned(*known, day("SH-10", "C"))
    shown = written(made)
    assert shown["put-bom SH-10 1010"] == shown["put-bom SH-10 2010"] == "B"
    assert "put-item ROD-1" in shown
    assert "put-item PIN-9" not in shown
    assert not [s for s in made.steps if s.object_id == "PIN-9"]
    # What the other structure is made of is known already when its day comes.
    assert "item-revisions/SH-10" in found.documents
    assert item_key("PIN-9") in HANDLER.needs(message(CHANGE), found)


def test_only_the_structure_has_come_of_what_is_not_in_force() -> None:
    made, _ = planned(*KNOWN, bom("SH-10", line("PIN-9"), label="C"), day("SH-10", "C"))
    assert written(made) == written(planned(*KNOWN)[0])


def test_what_the_change_itself_releases_is_in_force_for_it() -> None:
    releases = change(AffectedItem("GB-100", "B"), AffectedItem("BOLT-1", "C", "B"))
    known = (*KNOWN, item("BOLT-1", label="C"), day("BOLT-1", "C"))
    assert written(planned(*known, stated=releases)[0])["put-item BOLT-1"] == "C"


def test_a_change_with_a_day_goes_by_what_is_in_force_on_it() -> None:
    known = (*KNOWN, item("BOLT-1", label="C"), item("BOLT-1", label="D"))
    days = (day("BOLT-1", "C"), day("BOLT-1", "D", LATER, by="ECO-10"))
    for start, label in (
        (DAY - timedelta(seconds=1), "B"),
        (DAY, "C"),
        (LATER - timedelta(seconds=1), "C"),
        (LATER, "D"),
    ):
        stated = change("GB-100", effectivity=DateEffectivity(start, None, "UTC"))
        made, _ = planned(*known, *days, stated=stated)
        assert written(made)["put-item BOLT-1"] == label, start


def test_a_revision_that_no_change_with_a_day_names_is_in_force() -> None:
    made, _ = planned(*KNOWN, item("BOLT-1", label="D"), day("BOLT-1", "C"))
    assert written(made)["put-item BOLT-1"] == "D"


def test_of_several_that_release_it_the_first_counts_and_of_none_none() -> None:
    known = (*KNOWN, item("BOLT-1", label="C"))
    days = (day("BOLT-1", "C", LATER), day("BOLT-1", "C", by="ECO-8"))
    assert written(planned(*known, *days, now=DAY)[0])["put-item BOLT-1"] == "C"
    gone = (day("BOLT-1", "C", LATER), day("BOLT-1", "C", None, "ECO-8", is_withdrawn=True))
    assert written(planned(*known, *gone, now=DAY)[0])["put-item BOLT-1"] == "B"
    at_once = (day("BOLT-1", "C", LATER), day("BOLT-1", "C", None, by="ECO-8"))
    assert written(planned(*known, *at_once)[0])["put-item BOLT-1"] == "C"


def test_one_that_was_taken_back_is_never_shown() -> None:
    gone = day("BOLT-1", "C", None, is_withdrawn=True)
    made, _ = planned(*KNOWN, item("BOLT-1", label="C"), gone, now=LATER)
    assert written(made)["put-item BOLT-1"] == "B"
    [finding] = [f for f in made.findings if f.code == "revision-to-come"]
    assert "is not released by ECO-9 any more; until then" not in finding.what
    assert finding.what == "Revision C of BOLT-1 is not released by ECO-9 any more; it is B"
    assert made.watched != ()


# --- what is awaited ---


def test_what_has_no_revision_in_force_waits_for_the_day_of_its_first() -> None:
    known = [d for d in KNOWN if getattr(d, "number", "") != "BOLT-1"]
    made, found = planned(*known, item("BOLT-1"), day("BOLT-1", "B"))
    [wait] = [s for s in made.steps if s.object_id == "BOLT-1" and s.kind == "wait"]
    assert wait.operation == AwaitTime(
        DAY, "BOLT-1 is known in revision B alone, which takes effect by ECO-9"
    )
    assert (wait.wake_at, wait.owner) == (DAY, "calendar")
    # Or for another one.
    assert (wait.fact, wait.seen) == ("item/BOLT-1", found.version("item/BOLT-1"))
    behind = {wait.identity}
    for _ in made.steps:
        behind |= {s.identity for s in made.steps if not behind.isdisjoint(s.depends_on)}
    shown = [s for s in made.steps if isinstance(s.operation, PutItem | PublishItem)]
    assert {s.object_id for s in shown if s.identity in behind} == {"BOLT-1"}
    boms = [s for s in made.steps if isinstance(s.operation, PutBom) and s.identity in behind]
    assert {s.object_id for s in boms} == {"GB-100"}


def test_what_has_none_any_more_waits_for_another() -> None:
    known = [d for d in KNOWN if getattr(d, "number", "") != "BOLT-1"]
    made, _ = planned(*known, item("BOLT-1"), day("BOLT-1", "B", None, is_withdrawn=True))
    [wait] = [s for s in made.steps if s.object_id == "BOLT-1" and s.kind == "wait"]
    assert isinstance(wait.operation, AwaitFact)
    assert wait.operation.fact == "item/BOLT-1"
    assert wait.operation.reason == (
        "BOLT-1 is known in revision B alone, which ECO-9 does not release any more"
    )
    assert wait.owner == "engineering"


# --- when it is planned anew ---


def test_every_step_is_planned_anew_on_the_day_and_the_ledger_when_the_day_moves() -> None:
    known = (*KNOWN, item("BOLT-1", label="C"), item("BOLT-1", label="D"))
    days = (day("BOLT-1", "C"), day("BOLT-1", "D", LATER, by="ECO-10"))
    made, found = planned(*known, *days)
    assert {s.wake_at for s in made.steps} == {DAY}
    key = revision_effectivities_key("BOLT-1")
    assert made.watched == ((key, found.version(key)),)
    # A newer definition is noticed as ever.
    [put] = [s for s in made.steps if s.object_id == "BOLT-1" and isinstance(s.operation, PutItem)]
    assert (put.fact, put.seen) == (item_key("BOLT-1"), found.version(item_key("BOLT-1")))
    made, _ = planned(*known, *days, now=DAY)
    assert {s.wake_at for s in made.steps} == {LATER}


# --- what a change says of its revisions ---

ROWS = (AffectedItem("A/1", "C", "B"), AffectedItem("B-1", "A"))


def dated(effectivity: Effectivity | None, **stated: Any) -> EngineeringChange:
    return change(*stated.pop("rows", ROWS), effectivity=effectivity, **stated)


FROM_DAY = DateEffectivity(DAY, None, "UTC")


def said(now: EngineeringChange, before: EngineeringChange | None = None) -> dict[str, Any]:
    return {
        f"{one.item} {one.revision}": "withdrawn" if one.is_withdrawn else one.start
        for one in revision_effectivities(now, before)
    }


def test_a_change_says_from_when_its_revisions_hold_and_takes_that_back() -> None:
    first = dated(FROM_DAY)
    assert said(first) == {"A/1 C": DAY, "B-1 A": DAY}
    moved = dated(DateEffectivity(LATER, None, "UTC"), rows=ROWS[:1])
    assert said(moved, first) == {"A/1 C": LATER, "B-1 A": "withdrawn"}
    assert said(dated(None), first) == {"A/1 C": None, "B-1 A": None}
    taken_back = msgspec.structs.replace(first, status="cancelled")
    assert said(taken_back, first) == {"A/1 C": "withdrawn", "B-1 A": "withdrawn"}
    assert said(first, taken_back) == {"A/1 C": DAY, "B-1 A": DAY}


@pytest.mark.parametrize("effectivity", [None, LotEffectivity("L1", None)])
def test_one_that_never_had_a_day_says_nothing(effectivity: Effectivity | None) -> None:
    assert said(dated(effectivity), dated(None)) == {}


def test_what_is_stopped_or_stays_in_its_revision_is_in_force_as_it_is() -> None:
    rows = (
        AffectedItem("A-1", "B", "B"),
        AffectedItem("A-2", ""),
        AffectedItem("A-3", "B", lifecycle="obsolete"),
        AffectedItem("A-4", "B", lifecycle="on_hold"),
        AffectedItem("A-5", "B", lifecycle="released"),
    )
    assert said(dated(FROM_DAY, rows=rows)) == {"A-5 B": DAY}


def test_no_two_statements_share_a_key() -> None:
    assert revision_effectivity_key("E/1", "2", "3") != revision_effectivity_key("E", "1/2", "3")
    assert revision_effectivity_key("E%2F1", "2", "3") != revision_effectivity_key("E/1", "2", "3")


# --- laws ---

LABELS = "ABCD"
DAYS = [NOW + timedelta(days=n) for n in range(-1, 4)]
statements = st.lists(
    st.builds(
        day,
        st.just("BOLT-1"),
        st.sampled_from(LABELS),
        st.sampled_from([None, *DAYS]),
        st.sampled_from(["ECO-8", "ECO-9"]),
        is_withdrawn=st.booleans(),
    ),
    max_size=6,
    unique_by=lambda one: (one.change, one.revision),
)
revisions = st.lists(st.sampled_from(LABELS), min_size=1, max_size=4, unique=True).map(sorted)


@given(revisions, statements, st.sampled_from(DAYS), st.integers())
def test_the_newest_that_holds_is_in_force_however_it_became_known(
    labels: list[str], days: list[RevisionEffectivity], at: datetime, seed: int
) -> None:
    known: list[Document] = [item("BOLT-1", label=label) for label in labels]
    known += Random(seed).sample(days, len(days))
    found = definitions_in_force(CHANGE, facts(*known), at)

    def opens(label: str) -> datetime | None:
        """When it holds first; None = never."""
        of = [one for one in days if one.revision == label]
        live = [one.start or DAYS[0] for one in of if not one.is_withdrawn]
        return min(live, default=None) if of else DAYS[0]

    holding = [label for label in labels if (start := opens(label)) and start <= at]
    chosen = found.facts.item("BOLT-1")
    assert isinstance(chosen, Item)
    if holding:
        assert chosen.revision.label == holding[-1]
        assert found.awaited == {}
    else:
        starts = [start for start in map(opens, labels) if start is not None]
        assert found.awaited["BOLT-1"].until == min(starts, default=None)
        assert opens(chosen.revision.label) == min(starts, default=None)
    assert found.changes_at is None or found.changes_at > at
    # Nothing else is known than before, and in the same versions.
    assert found.facts.version(item_key("BOLT-1")) == 1


@given(st.integers(min_value=0, max_value=3), st.sampled_from(DAYS))
def test_at_the_moment_it_names_something_else_is_in_force_and_before_nothing(
    count: int, at: datetime
) -> None:
    known: list[Document] = [item("BOLT-1", label=label) for label in LABELS[: count + 1]]
    known += [day("BOLT-1", label, DAYS[n]) for n, label in enumerate(LABELS[1 : count + 1])]
    known.append(covered("BOLT-1"))
    known.append(bom("GB-100", line("BOLT-1")))
    found = definitions_in_force(CHANGE, facts(*known), at)
    if found.changes_at is None:
        assert definitions_in_force(CHANGE, facts(*known), LATER).facts == found.facts
        return
    just_before = found.changes_at - timedelta(microseconds=1)
    assert definitions_in_force(CHANGE, facts(*known), just_before).facts == found.facts
    assert definitions_in_force(CHANGE, facts(*known), found.changes_at).facts != found.facts
    assert bom_key("GB-100") in found.facts.documents
