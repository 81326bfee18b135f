"""What is read is planned in a ledger of its object, and its answer has a place among the messages
of its key: that of the message itself, or one of its own where nothing hangs on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from broker.consequences import Consequences, consequences
from broker.decision import Context, Desk, Verdict
from broker.intake import Arrival, Work, read_arrival
from broker.policy import Behind, Done, Park, RetryPolicy
from broker.reads import plan_of, read_key, waits_for
from broker.store import Position
from broker.store.pending import PendingWork
from canonical.effects import Effect, Fetch, Open
from canonical.envelope import Envelope, Message
from canonical.errors import Rejected
from canonical.handler import Delivery, Handler, Order, no_needs
from canonical.operations import ReadObject
from canonical.rules import Rules

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CONTEXT = Context(
    rules=Rules((), (), (), "1"),
    policy=RetryPolicy(),
    now=NOW,
    jitter=lambda: 0.5,
    reads_from={"plm": "arena"},
)
ITEM = Fetch("item", "REV1", key="item/A")
OTHER = Fetch("item", "REV2", key="item/B")


def work(
    *effects: Effect, key: str = "change/1", order: Order = "curing", failing: bool = False
) -> Work:
    """A message of the source plm that has this decided."""

    def decide(*_: object) -> tuple[Effect, ...]:
        if failing:
            raise Rejected("no", "no")
        return effects

    envelope = Envelope(id=key, source="plm", type="t", key=key, correlation_id="story")
    toy = Handler(
        name="toy",
        scope="flow",
        types=(),
        read=lambda d: Message(envelope, None),
        needs=no_needs,
        decide=decide,
        order=order,
        version=lambda message: 1,
    )
    return read_arrival(Arrival(Delivery("plm", "k", key.encode()), "critical", "q"), lambda d: toy)


def notice(key: str = "item/A") -> Work:
    """A message that tells no more than its key."""
    return work(Fetch("item", "REV1"), key=key, order="notification")


def claimed(of: Work) -> Work:
    """The message as unfinished work that is taken from its row."""
    row = PendingWork(
        id=7,
        subscription="toy",
        scope="flow",
        key=of.entry.envelope.key,
        lane="critical",
        attempts=0,
        position=Position(NOW, 7),
        delivery=of.entry.delivery,
        correlation_id="story",
        sent_id=of.entry.envelope.id,
    )
    return replace(of, pending=row)


def decided(*works: Work, context: Context = CONTEXT) -> list[Verdict]:
    desk = Desk(context)
    return [desk.fold(desk.decide(each)) for each in works]


def rows_of(verdicts: Sequence[Verdict]) -> Consequences:
    positions = [Position(NOW, n) for n, _ in enumerate(verdicts, start=1)]
    return consequences(verdicts, positions, CONTEXT)


def waiting(rows: Consequences) -> list[tuple[str, str, str | None]]:
    return [(row.key, row.state, row.merge_key) for row in rows.waiting]


# --- the plan ---


@pytest.mark.parametrize(("fetch", "key"), [(Fetch("item", "REV1"), "change/1"), (ITEM, "item/A")])
def test_a_read_is_a_step_about_the_object_that_is_read(fetch: Fetch, key: str) -> None:
    asking = work()
    plan = plan_of(replace(fetch, system="arena"), asking, Position(NOW, 41))
    assert plan.key == read_key(replace(fetch, system="arena")) == "read/arena/item/REV1"
    (step,) = plan.steps
    assert (step.system, step.lane) == ("arena", "critical")
    assert step.operation == ReadObject("item", "REV1", key, asked=41, correlation_id="story")
    assert waits_for(fetch, asking) == ("flow", key)


# --- the message that asks ---


def test_a_message_that_has_others_read_by_the_way_is_done_with() -> None:
    verdicts = decided(work(ITEM, OTHER))
    assert [v.fate for v in verdicts] == [Done()]
    rows = rows_of(verdicts)
    assert waiting(rows) == [
        ("item/A", "reading", "read/arena/item/REV1"),
        ("item/B", "reading", "read/arena/item/REV2"),
    ]
    assert {row.position for row in rows.waiting} == {Position(NOW, 1)}
    assert {(row.scope, row.version, row.passes) for row in rows.waiting} == {("flow", None, "")}
    assert rows.is_unfinished


def test_what_it_is_about_is_not_held() -> None:
    verdicts = decided(work(ITEM), work())
    assert [v.fate for v in verdicts] == [Done(), Done()]


def test_a_row_that_has_others_read_is_finished() -> None:
    (verdict,) = decided(claimed(work(ITEM)))
    rows = rows_of([verdict])
    assert rows.finished == (verdict.work.pending,)
    assert (rows.reading, rows.postponed) == ((), ())
    assert waiting(rows) == [("item/A", "reading", "read/arena/item/REV1")]


def test_a_message_may_wait_for_its_own_object_and_have_others_read() -> None:
    verdicts = decided(work(Fetch("change", "C1"), ITEM, order="notification"))
    assert waiting(rows_of(verdicts)) == [
        ("change/1", "reading", "read/arena/change/C1"),
        ("item/A", "reading", "read/arena/item/REV1"),
    ]


def test_where_no_system_is_named_nothing_is_read_by_the_way() -> None:
    nowhere = dataclasses.replace(CONTEXT, reads_from={})
    case = Open("c", "data_quality", "what", "where", "remedy", "owner")
    (verdict,) = decided(work(ITEM, case), context=nowhere)
    assert (verdict.fate, verdict.effects) == (Done(), (case,))


# --- the objects that are read ---


def test_messages_of_what_is_read_wait_and_others_do_not() -> None:
    verdicts = decided(work(ITEM), work(key="item/A"), work(key="item/C"))
    assert [v.fate for v in verdicts] == [Done(), Behind(), Done()]
    # In this order: what waits stands behind the answer.
    assert waiting(rows_of(verdicts)) == [
        ("item/A", "reading", "read/arena/item/REV1"),
        ("item/A", "parked", None),
    ]


def test_what_came_before_is_decided_before() -> None:
    verdicts = decided(work(key="item/A"), work(ITEM))
    assert [v.fate for v in verdicts] == [Done(), Done()]


def test_a_notification_of_what_is_read_joins_the_read() -> None:
    verdicts = decided(work(ITEM), notice())
    assert [v.fate for v in verdicts] == [Done(), Done()]
    assert verdicts[1].effects == (Fetch("item", "REV1", "arena"),)
    places = [("item/A", "reading", "read/arena/item/REV1")]
    assert waiting(rows_of(verdicts)) == places * 2


def test_a_notification_waits_for_what_failed_before_its_object_was_read_by_the_way() -> None:
    verdicts = decided(work(key="item/A", failing=True), work(ITEM), notice())
    assert [type(v.fate) for v in verdicts] == [Park, Done, Behind]


def test_a_row_of_what_is_read_stands_before_the_read_and_is_decided() -> None:
    # Were it to wait for the answer that stands behind it, both would wait for ever.
    verdicts = decided(claimed(work(ITEM)), claimed(work(key="item/A")))
    assert [v.fate for v in verdicts] == [Done(), Done()]


def test_changes_of_one_item_ask_for_one_read() -> None:
    verdicts = decided(work(ITEM), work(ITEM, key="change/2"), work(ITEM, OTHER, key="change/3"))
    assert [v.fate for v in verdicts] == [Done()] * 3
    asked = [plan_of(e, v.work, Position(NOW, 1)).key for v in verdicts for e in v.effects
             if isinstance(e, Fetch)]  # fmt: skip
    assert set(asked) == {"read/arena/item/REV1", "read/arena/item/REV2"}
    assert {row.merge_key for row in rows_of(verdicts).waiting} == set(asked)
