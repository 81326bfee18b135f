"""How old an arrival is: by whom it is believed, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from broker.intake import Work
from broker.lateness import Memory, refuse_late, sent_at
from broker.store import Position
from broker.store.messages import LogEntry
from canonical.envelope import Envelope, Message
from canonical.errors import InvalidMessage
from canonical.handler import Delivery, Handler, no_needs

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
TRUSTING = Memory(trusted=frozenset({"plm"}))
HANDLER = Handler(
    name="toy",
    scope="flow",
    types=("toy",),
    read=lambda delivery: Message(Envelope("1", "plm", "toy", "order/1"), delivery),
    needs=no_needs,
    decide=lambda message, facts, now: (),
)


def work(
    time: str = "", logged: Position | None = None, source: str = "plm", published: str = ""
) -> Work:
    attributes = {"time": time, "publishtime": published}
    entry = LogEntry(
        subscription="toy",
        envelope=Envelope(id="1", source=source, type="toy", key="order/1"),
        digest=b"",
        delivery=Delivery(source=source, kind="order", body=b"", attributes=attributes),
        logged=logged,
    )
    return Work(entry=entry, lane="standard", handler=HANDLER)


@pytest.mark.parametrize(
    ("time", "age"),
    [
        ("2026-03-01T12:00:00Z", timedelta(days=30)),
        ("2026-03-01T14:00:00.5+02:00", timedelta(days=30, seconds=-0.5)),
        ("2026-04-01T12:00:00Z", -timedelta(days=1)),
    ],
)
def test_a_trusted_time_says_the_age(time: str, age: timedelta) -> None:
    at = sent_at(work(time), TRUSTING)
    assert at is not None
    assert NOW - at == age


@pytest.mark.parametrize("time", ["", "yesterday", "2026-03-01T12:00:00", "1772366400"])
def test_a_time_that_says_nothing_leaves_the_age_unknown(time: str) -> None:
    assert sent_at(work(time), TRUSTING) is None
    assert refuse_late(work(time), now=NOW, memory=TRUSTING) == work(time)


def test_a_source_is_believed_only_where_it_is_configured() -> None:
    assert sent_at(work("2020-01-01T00:00:00Z"), Memory()) is None
    assert sent_at(work("2020-01-01T00:00:00Z", source="erp"), TRUSTING) is None


def test_the_place_in_the_log_is_believed_whatever_the_message_says() -> None:
    place = Position(NOW - timedelta(days=3), 1)
    assert sent_at(work("2020-01-01T00:00:00Z", logged=place), TRUSTING) == place.at


def test_an_event_that_waited_long_in_the_outbox_is_as_old_as_its_publication() -> None:
    waited = work(logged=Position(NOW - timedelta(days=100), 1), published="2026-03-31T11:00:00Z")
    assert sent_at(waited, Memory()) == NOW - timedelta(hours=1)
    taken = refuse_late(waited, now=NOW, memory=Memory())
    assert taken.failure is None
    assert taken.handler is HANDLER
    # Its day may be gone from the log.
    assert taken.entry.logged is None
    # Only ours are believed about that.
    assert sent_at(work(published="2026-03-31T11:00:00Z"), TRUSTING) is None


def test_the_window_itself_is_not_too_late_and_a_second_more_is() -> None:
    assert refuse_late(work("2026-03-01T12:00:00Z"), now=NOW, memory=TRUSTING).failure is None
    refused = refuse_late(work("2026-03-01T11:59:59Z"), now=NOW, memory=TRUSTING)
    assert isinstance(refused.failure, InvalidMessage)
    assert refused.failure.code == "too-old"
    assert refused.failure.owner == "sender"
    assert refused.order_key is None


def test_a_young_event_keeps_its_place_in_the_log() -> None:
    young = work(logged=Position(NOW - timedelta(days=29), 1))
    assert refuse_late(young, now=NOW, memory=Memory()) == young


def test_what_is_refused_is_logged_anew_under_its_own_identity() -> None:
    old = work(logged=Position(NOW - timedelta(days=100), 1))
    refused = refuse_late(old, now=NOW, memory=Memory())
    assert refused.entry.logged is None
    assert refused.entry.identity == old.entry.identity


def test_what_is_wrong_with_a_message_counts_before_its_age() -> None:
    unreadable = InvalidMessage("unreadable", "No JSON")
    old = work("2020-01-01T00:00:00Z")
    broken = Work(entry=old.entry, lane="standard", failure=unreadable)
    assert refuse_late(broken, now=NOW, memory=TRUSTING).failure is unreadable
