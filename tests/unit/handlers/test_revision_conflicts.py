"""A revision whose date contradicts what is known of others is not stored: a person is asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from canonical.bom import Bom
from canonical.codec import encode
from canonical.effects import Effect, Open, Put
from canonical.events import EVENTS
from canonical.facts import Facts, Known
from canonical.handler import Delivery
from canonical.item import Item, Lifecycle
from canonical.revision import parse_revision
from handlers.flows.master_data import BOM_RELEASED, ITEM_RELEASED
from tests.fixtures.gearbox import RULES, bom, item, line

DAY = timedelta(days=1)
FIRST = datetime(2025, 3, 3, 8, tzinfo=UTC)


def dated(document: Item | Bom, released: datetime | None, stated: datetime | None = None) -> Any:
    """Released then and stated then, or at once."""
    return msgspec.structs.replace(
        document, released_at=released, stated_at=stated or released or FIRST
    )


def arm(label: str, released: datetime | None, stated: datetime | None = None, **more: Any) -> Item:
    found: Item = dated(item("ARM", label=label, **more), released, stated)
    return found


def parts(label: str, released: datetime, stated: datetime | None = None) -> Bom:
    found: Bom = dated(bom("ARM", line("PIN"), label=label), released, stated)
    return found


def decided(known: Item | Bom, stated: Item | Bom, *others: Item) -> tuple[Effect, ...]:
    """What becomes of the statement where these documents are known."""
    documents = {_key(one): Known(1, one) for one in (*others, known)}
    handler = ITEM_RELEASED if isinstance(stated, Item) else BOM_RELEASED
    attributes = {"type": EVENTS[handler.types[0]].type, "id": "1", "subject": _key(stated)}
    message = handler.read(Delivery("layshaft", "", encode(stated), attributes=attributes))
    facts = Facts(RULES, documents)
    asked = handler.needs(message, facts)
    assert set(documents) <= asked
    return handler.decide(message, facts, FIRST + 99 * DAY)


def _key(document: Item | Bom) -> str:
    return f"item/{document.number}" if isinstance(document, Item) else f"bom/{document.parent}"


def stored(effects: tuple[Effect, ...]) -> bool:
    """Whether the document goes to the guard, which takes it or not by its order."""
    return isinstance(effects[0], Put)


def test_an_older_revision_that_is_dated_after_the_newer_one_is_not_stored_but_a_case() -> None:
    restated = arm("B", FIRST + 2 * DAY)
    assert decided(arm("C", FIRST + DAY), restated) == (
        Open(
            code="revision-dates",
            word="data_quality",
            what="item/ARM: revision B is dated later than C, which is known, and is an older one;"
            " C stays",
            where="item/ARM: revision B",
            remedy="Have it stated with the day on which it was released; what is to count from now"
            " on is released as a revision of its own",
            owner="engineering",
        ),
    )


def test_without_a_date_of_release_the_time_of_the_statement_is_no_better() -> None:
    [case] = decided(arm("C", None, FIRST + DAY), arm("B", None, FIRST + 2 * DAY))
    assert isinstance(case, Open)


def test_two_that_were_released_on_one_day_are_not_ordered_by_who_was_stated_last() -> None:
    [case] = decided(arm("C", FIRST, FIRST), arm("B", FIRST, FIRST + DAY))
    assert isinstance(case, Open)


def test_a_newer_revision_that_is_dated_before_the_known_one_is_a_case_too() -> None:
    [case] = decided(arm("B", FIRST + 2 * DAY), arm("C", FIRST + DAY))
    assert isinstance(case, Open)
    assert case.what == (
        "item/ARM: revision C is dated earlier than B, which is known, and is a newer one; B stays"
    )


def test_a_bom_follows_the_revisions_of_its_item() -> None:
    known = arm("C", FIRST + DAY)
    [case] = decided(parts("C", FIRST + DAY), parts("B", FIRST + 2 * DAY), known)
    assert isinstance(case, Open)
    assert case.where == "bom/ARM: revision B"


@pytest.mark.parametrize(
    ("known", "label", "released", "why"),
    [
        (arm("C", FIRST + DAY), "D", FIRST + 2 * DAY, "the next one"),
        (arm("C", FIRST + DAY), "B", FIRST, "an earlier one, which the guard refuses"),
        (arm("C", FIRST + DAY), "C", FIRST + 2 * DAY, "the same one, dated anew"),
        (arm("Z", FIRST + DAY), "AA", FIRST + 2 * DAY, "the next one, by its scheme"),
        (
            arm("C", FIRST + DAY, lifecycle="in_design"),
            "B",
            FIRST + 2 * DAY,
            "C was never released",
        ),
    ],
)
def test_where_date_and_scheme_agree_the_guard_decides(
    known: Item, label: str, released: datetime, why: str
) -> None:
    assert stored(decided(known, arm(label, released))), why


def test_revisions_of_which_nobody_knows_an_order_go_by_their_dates() -> None:
    def made_by(change: str, released: datetime) -> Item:
        revision = parse_revision(change, "change_number")
        return msgspec.structs.replace(arm("A", released), revision=revision)

    assert stored(decided(made_by("44137", FIRST), made_by("44136", FIRST + DAY)))
    # Of two schemes there is none either.
    assert stored(decided(made_by("44137", FIRST), arm("A", FIRST + DAY)))


def test_a_source_that_counts_its_revisions_itself_is_believed() -> None:
    def counted(label: str, ordinal: int, released: datetime) -> Item:
        revision = parse_revision(label, "letters", ordinal=ordinal)
        return msgspec.structs.replace(arm("A", released), revision=revision)

    known = counted("C", 100, FIRST)
    assert stored(decided(known, counted("B", 200, FIRST + DAY)))
    [case] = decided(known, counted("D", 50, FIRST + DAY))
    assert isinstance(case, Open)
    # What the labels of its BOMs are worth is not known.
    assert stored(decided(parts("C", FIRST), parts("B", FIRST + DAY), known))


@pytest.mark.parametrize("lifecycle", ["in_design", "in_review"])
def test_a_bom_of_an_item_that_is_not_released_goes_by_its_dates(lifecycle: Lifecycle) -> None:
    known = arm("C", FIRST, lifecycle=lifecycle)
    assert stored(decided(parts("C", FIRST), parts("B", FIRST + DAY), known))


def test_a_bom_goes_by_its_dates_where_its_item_is_not_known_or_has_other_labels() -> None:
    assert stored(decided(parts("C", FIRST), parts("B", FIRST + DAY)))
    assert stored(decided(parts("1", FIRST), parts("0", FIRST + DAY), arm("C", FIRST)))
