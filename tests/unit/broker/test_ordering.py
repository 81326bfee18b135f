"""Order within a batch, and what the log has to fill in: pure."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as with_fields

from broker.intake import Work
from broker.ordering import claims, gaps, in_order
from broker.store import Position
from broker.store.messages import LogEntry
from broker.store.order import Claim, Gap, Taken
from canonical.envelope import Envelope
from canonical.handler import Delivery, Handler, Order, no_needs

KEY = ("flow", "change/1")
OTHER = ("flow", "change/2")
AT = datetime(2026, 1, 1, tzinfo=UTC)


def work(
    sequence: int | None = None,
    *,
    key: str = "change/1",
    version: int | None = None,
    order: Order = "strict",
    caught_up: bool = False,
    id: str = "",
) -> Work:
    envelope = Envelope(id or f"{key} {sequence}", "layshaft", "toy", key, sequence=sequence)
    handler = Handler(
        name="toy",
        scope="flow",
        types=("toy",),
        read=lambda delivery: NotImplemented,
        needs=no_needs,
        decide=lambda message, facts, now: (),
        order=order,
    )
    entry = LogEntry("toy", envelope, b"", Delivery("layshaft", "toy", b""), Position(AT, 1))
    return Work(entry, "standard", handler, version=version, caught_up=caught_up)


def unread() -> Work:
    entry = with_fields(work(3).entry, subscription="unread")
    return Work(entry, "standard")


def test_a_claim_is_the_highest_number_and_the_highest_version_where_the_latest_wins() -> None:
    batch = [
        work(4),
        work(2, version=9),
        work(key="change/2", version=5, order="latest"),
        work(key="change/2", version=3, order="latest"),
        unread(),
    ]
    assert claims(batch) == {KEY: Claim(sequence=4), OTHER: Claim(newest=5)}


def test_what_cannot_be_read_claims_nothing() -> None:
    assert claims([unread()]) == {}


def test_a_gap_lies_between_what_was_taken_and_what_the_batch_holds() -> None:
    assert gaps([work(5), work(3)], {KEY: Taken(done=1)}) == [Gap(KEY, 1, 5)]


def test_numbers_that_follow_each_other_leave_no_gap() -> None:
    assert gaps([work(3), work(2)], {KEY: Taken(done=1)}) == []
    assert gaps([work(1)], {KEY: Taken(done=4)}) == []


def test_messages_without_a_number_leave_no_gap() -> None:
    assert gaps([work()], {KEY: Taken(done=4)}) == []


def test_what_was_missed_goes_before_the_event_that_overtook_it() -> None:
    foreign, late = work(key="change/2"), work(3)
    missed = [work(1, caught_up=True), work(2, caught_up=True)]
    assert in_order([foreign, late], missed) == [foreign, *missed, late]


def test_an_event_that_the_batch_holds_is_not_taken_from_the_log_too() -> None:
    first, second = work(1), work(2)
    assert in_order([second, first], [work(1, caught_up=True)]) == [first, second]


NUMBERS = st.lists(st.integers(1, 12), min_size=1, max_size=8)
SLOTS = st.sampled_from(("change/1", "change/2", "foreign"))


@given(batch=st.lists(st.tuples(SLOTS, st.integers(1, 12)), max_size=12), done=st.integers(0, 12))
def test_a_batch_keeps_its_messages_and_brings_each_object_in_order(
    batch: list[tuple[str, int]], done: int
) -> None:
    works = [
        work(key="foreign", id=str(place)) if key == "foreign" else work(number, key=key)
        for place, (key, number) in enumerate(batch)
    ]
    taken = {key: Taken(done=done) for key in claims(works)}
    missed = [
        work(number, key=gap.key[1], caught_up=True)
        for gap in gaps(works, taken)
        for number in range(gap.after + 1, gap.before)
    ]
    ordered = in_order(works, missed)
    # Everything of the batch is there, once, whatever it repeats.
    assert sorted(map(id, works)) == sorted(id(w) for w in ordered if not w.caught_up)
    # What keeps no order of its own keeps its place among the batch's own messages.
    own = [w for w in ordered if not w.caught_up]
    assert [w.order_key for w in own] == [w.order_key for w in works]
    for key in ("change/1", "change/2"):
        numbers = [w.sequence or 0 for w in ordered if w.order_key == ("flow", key)]
        assert numbers == sorted(numbers)
        # From what was taken up to the last one nothing is missing.
        if numbers and numbers[-1] > done:
            assert set(range(done + 1, numbers[-1] + 1)) <= set(numbers)


@given(numbers=NUMBERS)
def test_a_gap_is_found_exactly_where_a_number_is_missing(numbers: list[int]) -> None:
    batch = [work(number) for number in numbers]
    found = gaps(batch, {KEY: Taken(done=0)})
    assert bool(found) == (set(numbers) != set(range(1, max(numbers) + 1)))
