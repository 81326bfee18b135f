"""What arrives becomes work, or a failure that keeps its bytes; hostile ids get nowhere."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from broker.intake import MAX_ID, Arrival, Work, read_arrival, read_arrivals, read_pending
from broker.store import Position
from broker.store.pending import PendingWork
from canonical.envelope import Envelope, Message
from canonical.errors import InvalidMessage, Misconfigured
from canonical.handler import Delivery, Handler, no_needs


def handler(**envelope: Any) -> Handler:
    """A handler that reads every delivery as the given envelope."""

    def read(delivery: Delivery) -> Message[bytes]:
        given = {"id": "1", "source": delivery.source, "type": "toy", "key": "order/1"} | envelope
        return Message(Envelope(**given), delivery.body)

    return Handler(
        name="toy",
        scope="flow",
        types=("toy",),
        read=read,
        needs=no_needs,
        decide=lambda message, facts, now: (),
    )


def arrival(body: bytes = b"{}", *, redelivered: bool = False, **delivery: Any) -> Arrival:
    return Arrival(
        Delivery(**({"source": "plm", "kind": "order", "body": body} | delivery)),
        "critical",
        "in.plm.order.critical",
        redelivered=redelivered,
    )


def test_a_readable_delivery_is_work_for_its_handler() -> None:
    toy = handler()
    work = read_arrival(arrival(b"{}"), lambda delivery: toy)
    assert work.handler is toy
    assert work.failure is None
    assert work.order_key == ("flow", "order/1")
    assert work.entry.identity == ("toy", "plm", "1")
    assert work.attempt == 1
    # The lane is that of the queue, whatever the message says.
    assert work.entry.envelope.lane == "critical"


def test_what_nobody_reads_is_counted_as_fields_unless_the_handler_has_words_of_its_own() -> None:
    toy = handler()

    def read(delivery: Delivery) -> Message[Any]:
        return replace(toy.read(delivery), ignored=("colour", "lines[].size"))

    plain = dataclasses.replace(toy, read=read)
    worded = dataclasses.replace(plain, ignored=lambda message: {"segments": 4})
    work = read_arrival(arrival(), lambda delivery: plain)
    assert work.message is not None
    assert work.message.ignored == ("colour", "lines[].size")
    assert work.ignored == {"fields": 2}
    assert read_arrival(arrival(), lambda delivery: worded).ignored == {"segments": 4}
    assert read_arrival(arrival(), lambda delivery: toy).ignored == {}


def test_a_message_without_a_story_starts_one_that_every_redelivery_agrees_on() -> None:
    first, second, other = (
        read_arrival(arrival(), lambda delivery, i=i: handler(id=i)).entry.envelope.correlation_id  # type: ignore[misc]
        for i in ("1", "1", "2")
    )
    assert first == second
    assert first != other
    assert len(first) == 32


def test_a_message_goes_on_with_the_story_it_came_from() -> None:
    work = read_arrival(arrival(), lambda delivery: handler(correlation_id="abc"))
    assert work.entry.envelope.correlation_id == "abc"
    assert work.message is not None
    assert work.message.envelope.correlation_id == "abc"


HOSTILE = ["", "a\0b", "a\nb", "\x1b[31m", "a\u200bb", "a\u202eb", "\ud800", "x" * (MAX_ID + 1)]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("name", ["id", "key"])
def test_an_unusable_id_or_key_is_a_failure_of_the_sender(name: str, value: str) -> None:
    work = read_arrival(arrival(b"raw"), lambda delivery: handler(**{name: value}))
    assert isinstance(work.failure, InvalidMessage)
    assert work.failure.code == "identity-unusable"
    assert work.order_key is None
    assert work.entry.delivery.body == b"raw"
    assert work.entry.envelope.id.isalnum()


@pytest.mark.parametrize("value", HOSTILE[1:])
@pytest.mark.parametrize("name", ["correlation_id", "causation_id"])
def test_an_unusable_story_is_a_failure_of_the_sender(name: str, value: str) -> None:
    work = read_arrival(arrival(), lambda delivery: handler(**{name: value}))
    assert isinstance(work.failure, InvalidMessage)


def test_the_longest_id_and_letters_of_every_script_are_taken() -> None:
    for value in ("x" * MAX_ID, "Schraube M8x20 ø", "螺丝-1"):
        assert read_arrival(arrival(), lambda delivery, v=value: handler(key=v)).failure is None  # type: ignore[misc]


def test_composed_and_decomposed_forms_are_one_id_and_one_key() -> None:
    works = [
        read_arrival(arrival(), lambda delivery, t=text: handler(id=t, key=f"item/{t}"))  # type: ignore[misc]
        for text in ("\u00fc-1", "u\u0308-1", " \u00fc-1 ")
    ]
    assert {work.entry.identity for work in works} == {("toy", "plm", "\u00fc-1")}
    assert {work.order_key for work in works} == {("flow", "item/\u00fc-1")}


def test_a_number_wholly_in_its_own_script_is_no_disguise() -> None:
    cyrillic = "\u0410\u0411\u0412-1"
    assert read_arrival(arrival(), lambda delivery: handler(key=f"item/{cyrillic}")).failure is None
    mixed = read_arrival(arrival(), lambda delivery: handler(key=f"item/E{cyrillic}")).failure
    assert mixed is not None
    assert mixed.code == "identity-unusable"


async def test_a_batch_is_read_in_order_and_lets_others_have_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("broker.intake.TURN_S", 0.0)
    turns: list[int] = []

    async def count() -> None:
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    async def read(arrived: Arrival) -> Work:
        return read_arrival(arrived, lambda delivery: handler())

    counting = asyncio.create_task(count())
    bodies = [b"%d" % number for number in range(20)]
    works = await read_arrivals([arrival(body) for body in bodies], read)
    counting.cancel()
    assert [work.entry.delivery.body for work in works] == bodies
    assert len(turns) >= 20


def test_damaged_properties_are_a_failure_before_anybody_reads_the_body() -> None:
    def never(delivery: Delivery) -> Handler:
        pytest.fail("read although its properties are damaged")

    failure = InvalidMessage("amqp-property", "message_id: bad")
    damaged = Arrival(arrival().delivery, "standard", "q", refusal=failure)
    assert read_arrival(damaged, never).failure is failure


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError(), ValueError("secret")])
def test_a_bug_in_recognising_or_reading_is_a_defect_of_this_message(error: Exception) -> None:
    def raises(delivery: Delivery) -> Any:
        raise error

    reading = Handler(
        name="toy",
        scope="flow",
        types=(),
        read=raises,
        needs=no_needs,
        decide=lambda message, facts, now: (),
    )
    for recognise in (raises, lambda delivery: reading):
        work = read_arrival(arrival(b"raw"), recognise)
        assert work.failure is not None
        assert work.failure.word == "defect"
        assert "secret" not in work.failure.what
        assert work.entry.delivery.body == b"raw"


def test_the_same_bytes_are_one_unread_message_and_other_properties_make_another() -> None:
    def refuse(delivery: Delivery) -> Handler:
        raise InvalidMessage("no", "no")

    def identity(**properties: Any) -> tuple[str, str, str]:
        return read_arrival(arrival(**properties), refuse).entry.identity

    assert identity() == identity()
    assert identity(redelivered=True) == identity()
    others = {identity(), identity(kind="x"), identity(attributes={"id": "1"}), identity(body=b"")}
    assert len(others) == 4


def test_a_fingerprint_is_that_of_bytes_and_queue() -> None:
    one = arrival(b"{}")
    again = Arrival(one.delivery, one.lane, one.queue, tag=9, redelivered=True)
    assert one.fingerprint == again.fingerprint
    assert arrival(b"[]").fingerprint != one.fingerprint
    assert Arrival(one.delivery, one.lane, "other").fingerprint != one.fingerprint


@given(
    text=st.text(
        st.characters(codec=None) | st.sampled_from("\0\ud800\x1b"), min_size=0, max_size=3_000
    )
)
def test_whatever_the_properties_say_the_log_can_store_it(text: str) -> None:
    hostile = arrival(
        b"{}",
        kind=text,
        content_type=text,
        message_id=text,
        attributes={text: text},
    )
    for recognise in (lambda delivery: handler(), _refuse):
        stored = read_arrival(hostile, recognise).entry.delivery
        for value in (
            stored.kind,
            stored.content_type,
            stored.message_id,
            *stored.attributes.keys(),
            *stored.attributes.values(),
        ):
            assert "\0" not in value
            value.encode()
            assert len(value) <= 2048


def _refuse(delivery: Delivery) -> Handler:
    raise InvalidMessage("no", "no")


def pending(attempts: int = 2) -> PendingWork:
    return PendingWork(
        id=7,
        subscription="toy",
        scope="flow",
        key="order/1",
        lane="standard",
        attempts=attempts,
        position=Position(datetime(2026, 1, 1, tzinfo=UTC), 5),
        delivery=arrival().delivery,
        correlation_id="abc",
        sent_id="m1",
    )


def test_a_claimed_row_is_the_message_again_with_its_number_of_tries() -> None:
    work = read_pending(pending(), lambda name: handler())
    assert work.attempt == 3
    assert work.pending == pending()
    assert work.entry.logged == pending().position
    assert work.order_key == ("flow", "order/1")


def test_a_row_nobody_handles_any_more_is_a_failure_and_keeps_its_row() -> None:
    def gone(name: str) -> Handler:
        raise Misconfigured("handler-unknown", name)

    work = read_pending(pending(), gone)
    assert work.failure is not None
    assert work.failure.code == "handler-unknown"
    assert work.pending == pending()
