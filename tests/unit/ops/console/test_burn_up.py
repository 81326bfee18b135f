"""The drawing of how a change came to where it stands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from broker.estimate import Estimate
from broker.store.progress import Point
from broker.store.views import ChangeView
from ops.change_status import ChangeStatus, status_of
from ops.console.burn_up import burn_up

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
POINTS = [Point(NOW - 2 * HOUR, 0, 4), Point(NOW - HOUR, 1, 6)]


def status(completed_at: datetime | None = None, likely_at: datetime | None = None) -> ChangeStatus:
    """Of a change without steps."""
    view = ChangeView(
        "E", "engineering-change/E", "", "open", 1, "plm", "", NOW, NOW, completed_at, (), (), (),
        (), "complete", None,
    )  # fmt: skip
    known = Estimate(likely_at=likely_at, slow_at=likely_at + HOUR) if likely_at else Estimate()
    return msgspec.structs.replace(status_of(view, NOW), estimate=known)


def test_it_goes_on_until_now() -> None:
    found = burn_up(POINTS, status(), NOW)
    assert [(m.kind, m.at, m.done, m.planned) for m in found] == [
        ("was", NOW - 2 * HOUR, 0, 4),
        ("was", NOW - HOUR, 1, 6),
        ("now", NOW, 1, 6),
    ]


def test_it_ends_with_the_change() -> None:
    found = burn_up(POINTS, status(completed_at=NOW - HOUR), NOW)
    assert [m.at for m in found] == [NOW - 2 * HOUR, NOW - HOUR, NOW - HOUR]


def test_an_estimate_leads_to_all_of_it() -> None:
    found = burn_up(POINTS, status(likely_at=NOW + HOUR), NOW)
    assert [(m.kind, m.at, m.done, m.planned) for m in found[-2:]] == [
        ("likely", NOW + HOUR, 6, 6),
        ("slow", NOW + 2 * HOUR, 6, 6),
    ]


def test_an_estimate_of_the_past_leads_nowhere_before_now() -> None:
    found = burn_up(POINTS, status(likely_at=NOW - 3 * HOUR), NOW)
    assert [m.at for m in found[-3:]] == [NOW, NOW, NOW]


def test_where_nothing_happened_there_is_nothing_to_see() -> None:
    assert burn_up([], status(), NOW) == ()
    assert burn_up(POINTS[:1], status(), NOW) == ()
    assert len(burn_up(POINTS[:1], status(likely_at=NOW + HOUR), NOW)) == 4


def test_a_clock_that_is_behind_puts_nothing_before_the_last_point() -> None:
    assert burn_up(POINTS, status(), NOW - 2 * HOUR)[-1].at == NOW - HOUR
