"""What a replay does about a message, when it waits, and what a message says once more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.intake import Arrival, Work, read_arrival
from broker.repeats import unsaid
from broker.replay import SLICE, fate_of, held_up, slice_size
from broker.store import Position
from broker.store.history import Said
from broker.store.outbox import Emission
from broker.store.replays import Load, Mode, Standing
from canonical.envelope import Envelope, Message
from canonical.errors import InvalidMessage
from canonical.handler import Delivery, Handler, no_needs

NOW = datetime(2026, 11, 26, tzinfo=UTC)
PLACE = Position(NOW - timedelta(days=2), 7)
OTHER = Position(NOW - timedelta(days=2), 8)


def logged(place: Position = PLACE, *, readable: bool = True) -> Work:
    """A message of the log as today's handler reads it."""

    def recognise(delivery: Delivery) -> Handler:
        if not readable:
            raise InvalidMessage("contract-unknown", "Nobody takes this")
        return Handler(
            name="toy",
            scope="flow",
            types=("toy",),
            read=lambda d: Message(Envelope(id="1", source="s", type="toy", key="order/1"), d.body),
            needs=no_needs,
            decide=lambda message, facts, now: (),
        )

    delivery = Delivery(source="s", kind="order", body=b"{}")
    return read_arrival(Arrival(delivery, "standard", "", logged=place), recognise)


@pytest.mark.parametrize(
    ("known", "redeliver", "reprocess"),
    [
        (None, "queued", "queued"),
        (Standing(PLACE, None), "duplicates", "queued"),
        (Standing(PLACE, "in_case"), "released", "released"),
        (Standing(PLACE, "retry"), "unfinished", "unfinished"),
        (Standing(PLACE, "ready"), "unfinished", "unfinished"),
        (Standing(PLACE, "parked"), "unfinished", "unfinished"),
        # The id was handled with another content: the first one counts.
        (Standing(OTHER, None), "duplicates", "duplicates"),
        (Standing(OTHER, "in_case"), "duplicates", "duplicates"),
    ],
)
def test_what_a_replay_does_depends_on_what_became_of_the_message(
    known: Standing | None, redeliver: str, reprocess: str
) -> None:
    oldest = NOW - timedelta(days=30)
    for mode, fate in (("redeliver", redeliver), ("reprocess", reprocess)):
        assert fate_of(logged(), known, mode=_mode(mode), oldest=oldest) == fate


def _mode(word: str) -> Mode:
    return "redeliver" if word == "redeliver" else "reprocess"


def test_beyond_the_time_in_which_it_is_known_only_reprocessing_decides() -> None:
    oldest = NOW - timedelta(days=1)
    assert fate_of(logged(), None, mode="redeliver", oldest=oldest) == "too_old"
    assert fate_of(logged(), None, mode="reprocess", oldest=oldest) == "queued"
    # Known is known, however old it is.
    assert fate_of(logged(), Standing(PLACE, None), mode="redeliver", oldest=oldest) == "duplicates"


def test_what_nobody_reads_today_is_not_taken() -> None:
    work = logged(readable=False)
    assert fate_of(work, None, mode="reprocess", oldest=NOW) == "not_taken"


@pytest.mark.parametrize(("rate", "size"), [(0.1, 1), (1, 1), (2.5, 3), (50, 50), (1e6, SLICE)])
def test_a_slice_is_what_a_second_allows(rate: float, size: int) -> None:
    assert slice_size(rate) == size


@pytest.mark.parametrize(
    ("load", "why"),
    [
        (Load(0, 0, 0, 0), ""),
        (Load(50, 0, 0, 49), ""),
        (Load(51, 0, 0, 0), "51 of its messages are not finished"),
        (Load(51, 20, 0, 0), "51 of its messages are not finished, 20 of them in cases"),
        # Behind a case, of the replay or not, nothing is due.
        (Load(60, 1, 10, 0), ""),
        (Load(0, 0, 0, 50), "live messages go first"),
        (Load(0, 0, 0, 0, backlog=True), "live messages go first"),
    ],
)
def test_a_replay_waits_for_its_own_rows_and_for_live_traffic(load: Load, why: str) -> None:
    assert held_up(load, size=50) == why


# What is said once more


def emission(body: str, key: str = "k", event: str = "t") -> Emission:
    return Emission("id", event, event, key, "standard", "x", "c", "m", body.encode())


def said(body: str, key: str = "k", event: str = "t") -> Said:
    return Said(event, key, body.encode())


@pytest.mark.parametrize(
    ("now", "before", "fresh"),
    [
        ("a", "", "a"),
        ("a", "a", ""),
        ("ab", "ab", ""),
        ("ac", "ab", "ac"),
        ("abc", "ab", "c"),
        # What was said earlier and taken back since is news again.
        ("a", "ab", "a"),
        ("b", "ab", ""),
        ("aa", "a", "a"),
        ("", "a", ""),
    ],
)
def test_only_what_was_not_said_last_is_said(now: str, before: str, fresh: str) -> None:
    found = unsaid([emission(b) for b in now], [said(b) for b in before])
    assert "".join(e.body.decode() for e in found) == fresh


def test_each_event_and_key_is_compared_for_itself() -> None:
    now = [emission("a"), emission("a", key="other"), emission("a", event="u")]
    assert unsaid(now, [said("a")]) == now[1:]


@given(st.lists(st.tuples(st.sampled_from("kl"), st.sampled_from("ab"))), st.text("ab", max_size=4))
def test_saying_the_same_again_is_never_news(said_now: list[tuple[str, str]], before: str) -> None:
    now = [emission(body, key) for key, body in said_now]
    log = [said(body) for body in before]
    log += [Said(e.type, e.key, e.body) for e in unsaid(now, log)]
    assert unsaid(now, log) == []
