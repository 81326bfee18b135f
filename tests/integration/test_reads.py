"""Events that carry only a key: the object is read, and what comes back stands in their place."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from broker import cases
from broker.dispatcher import Dispatcher
from broker.failpoints import FailPointHit
from broker.intake import Arrival
from broker.pipeline import Pipeline
from broker.store.diagnosis import stuck_rows
from canonical.codec import decode_json, encode
from canonical.connector import Driver, More, Observed
from canonical.effects import Effect, Fetch, Step
from canonical.envelope import Envelope, Message
from canonical.errors import Rejected
from canonical.exchange import Response
from canonical.facts import Facts
from canonical.handler import Delivery, Handler, no_needs
from tests.integration.toy import (
    DEADLINE_S,
    SOURCE,
    TOY_DRIVER,
    Bench,
    Order,
    Stated,
    SupplierAnswer,
    Target,
    arrival,
    bench_on,
    decide_order,
    path_of,
    read_order,
    turn_until_idle,
    until,
)

WAITING = "select state from pending order by id"


def _read_notice(delivery: Delivery) -> Message[str]:
    number = delivery.body.decode()
    envelope = Envelope(
        id=delivery.attributes["id"],
        source=delivery.source,
        type="toy.notice",
        key=f"supplier/{number}",
        correlation_id=delivery.attributes.get("correlationid", ""),
    )
    return Message(envelope, number)


def _ask(message: Message[str], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    return (Fetch("supplier", message.payload),)


NOTICES = Handler(
    name="toy-notices",
    scope="supplier",
    types=("toy.notice",),
    read=_read_notice,
    needs=no_needs,
    decide=_ask,
    order="notification",
)
# Says something else of the same suppliers, in the same flow, and waits for its turn.
STATEMENTS = Handler(
    name="toy-statements",
    scope="supplier",
    types=("toy.order",),
    read=read_order,
    needs=no_needs,
    decide=decide_order,
)


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database, whose target knows supplier 7."""
    async with bench_on(database_url) as made:
        made.target.rows[path_of("7")] = _held("7", "Bolt & Co", version=1)
        yield made


def _held(number: str, name: str, *, version: int) -> bytes:
    return encode(SupplierAnswer(number, name, version))


def _pipeline(bench: Bench) -> Pipeline:
    return bench.pipeline(orders=STATEMENTS, others={"notice": NOTICES}, reads_from={SOURCE: "erp"})


def notice(event_id: str, number: str = "7", story: str = "") -> Arrival:
    """The shop says that something about a supplier has changed."""
    attributes = {"id": event_id} | ({"correlationid": story} if story else {})
    return arrival(number.encode(), kind="notice", attributes=attributes)


def statement(message_id: str, version: int, name: str) -> Arrival:
    """The shop says all there is to say of supplier 7."""
    stated = Stated("7", version, name)
    return arrival(Order(id=message_id, key="supplier/7", states=(stated,)))


async def _names(bench: Bench) -> list[str]:
    """Every name that supplier 7 had on record, in order."""
    bodies = await bench.column("select body from document_version order by row_version")
    return [decode_json(body, dict[str, object])["name"] for body in bodies]  # type: ignore[misc]


def _reads(target: Target, number: str = "7") -> int:
    return target.journal.count(("GET", path_of(number)))


def _refusing(*, times: int) -> Driver:
    """The toy driver to which the target says no so often when it is asked."""
    refusals = iter(range(times))

    def read(step: Step, response: Response) -> Observed | More:
        if next(refusals, None) is not None:
            raise Rejected("toy-refused", "The target says no")
        return TOY_DRIVER.read(step, response)

    return dataclasses.replace(TOY_DRIVER, read=read)


def _in_two_parts() -> Driver:
    """The toy driver of a target that shows an object only when it is asked once more."""

    def read(step: Step, response: Response) -> Observed | More:
        return More(TOY_DRIVER.observe(step), lambda answer: TOY_DRIVER.read(step, answer))

    return dataclasses.replace(TOY_DRIVER, read=read)


async def _retry(bench: Bench) -> None:
    """A person has the one open case tried again."""
    (case_id,) = await bench.column("select id from exception_case where state = 'open'")
    async with bench.database.transaction() as tx:
        released = await cases.retry(tx, case_id=case_id, by="eve", reason="the target is well")
    assert released == "step"


async def _settle(bench: Bench, dispatcher: Dispatcher, pipeline: Pipeline) -> None:
    """Reads have ended, what they brought is decided, and nothing waits for nothing."""
    await turn_until_idle(dispatcher)
    while await pipeline.take_pending(10):
        await turn_until_idle(dispatcher)
    async with bench.database.transaction() as tx:
        assert await stuck_rows(tx) == 0


async def test_what_an_event_told_the_key_of_is_read_and_taken_with_its_story(
    bench: Bench,
) -> None:
    pipeline, dispatcher = _pipeline(bench), bench.dispatcher()
    await pipeline.take([notice("e1", story="story-1")])
    assert await bench.column(WAITING) == ["reading"]
    await _settle(bench, dispatcher, pipeline)
    assert await _names(bench) == ["Bolt & Co"]
    assert await bench.column("select state from ledger") == ["complete"]
    assert await bench.count("hold") == await bench.count("pending") == 0
    answers = "select correlation_id, causation_id from message where source = 'erp'"
    assert await bench.rows(answers) == [{"correlation_id": "story-1", "causation_id": "step/1"}]


async def test_an_object_that_is_shown_in_parts_is_read_in_one_try(bench: Bench) -> None:
    pipeline, dispatcher = _pipeline(bench), bench.dispatcher(driver=_in_two_parts())
    await pipeline.take([notice("e1")])
    await _settle(bench, dispatcher, pipeline)
    assert _reads(bench.target) == 2
    assert await _names(bench) == ["Bolt & Co"]
    assert await bench.column("select number from attempt") == [1]


async def test_an_event_joins_a_read_that_was_not_sent_yet(bench: Bench) -> None:
    pipeline, dispatcher = _pipeline(bench), bench.dispatcher()
    await pipeline.take([notice("e1"), notice("e2")])
    await pipeline.take([notice("e3")])
    assert await bench.column(WAITING) == ["reading"]
    await _settle(bench, dispatcher, pipeline)
    assert _reads(bench.target) == 1
    assert await bench.column("select outcome from inbox order by id") == ["applied"] * 4
    assert await bench.count("pending") == 0


async def test_what_comes_while_a_read_is_out_is_read_once_more_after_it(bench: Bench) -> None:
    pipeline, dispatcher = _pipeline(bench), bench.dispatcher()
    gate = bench.target.gates[path_of("7")] = asyncio.Event()
    await pipeline.take([notice("e1", story="first")])
    await dispatcher.turn()

    async def is_asked() -> bool:
        return _reads(bench.target) == 1

    await until(is_asked, "the target is asked")
    for number in range(2, 6):
        await pipeline.take([notice(f"e{number}", story=f"story-{number}")])
    # What the first read saw is old by the time it answers.
    bench.target.rows[path_of("7")] = _held("7", "Bolt & Sons", version=2)
    gate.set()
    await _settle(bench, dispatcher, pipeline)
    assert _reads(bench.target) == 2
    assert (await _names(bench))[-1] == "Bolt & Sons"
    told = "select correlation_id from message where source = 'erp' order by seq"
    assert await bench.column(told) == ["first", "story-2"]
    assert await bench.count("pending") == await bench.count("hold") == 0
    assert await bench.column("select state from ledger") == ["complete"]


async def test_other_messages_of_the_key_wait_for_the_answer_and_others_do_not(
    bench: Bench,
) -> None:
    pipeline, dispatcher = _pipeline(bench), bench.dispatcher()
    await pipeline.take([notice("e1"), statement("m1", 5, "Stated later")])
    stranger = Order(id="m2", key="supplier/8", states=(Stated("8", 1, "Somebody else"),))
    await pipeline.take([arrival(stranger)])
    assert await bench.column("select key from document") == ["supplier/8"]
    assert await bench.column(WAITING) == ["reading", "parked"]
    await _settle(bench, dispatcher, pipeline)
    names = "select body from document_version where key = 'supplier/7' order by row_version"
    told = [decode_json(body, dict[str, object])["name"] for body in await bench.column(names)]
    assert told == ["Bolt & Co", "Stated later"]


async def test_an_answer_that_is_older_than_the_document_is_dropped(bench: Bench) -> None:
    pipeline, dispatcher = _pipeline(bench), bench.dispatcher()
    await pipeline.take([statement("m1", 9, "Newer")])
    await pipeline.take([notice("e1")])
    await _settle(bench, dispatcher, pipeline)
    assert await _names(bench) == ["Newer"]
    outcome = "select outcome from inbox where subscription = 'toy-answers'"
    assert await bench.column(outcome) == ["stale"]


async def test_a_later_event_reads_again_in_the_same_step(bench: Bench) -> None:
    pipeline, dispatcher = _pipeline(bench), bench.dispatcher()
    for number in range(1, 4):
        bench.target.rows[path_of("7")] = _held("7", f"Name {number}", version=number)
        await pipeline.take([notice(f"e{number}")])
        await _settle(bench, dispatcher, pipeline)
    assert await _names(bench) == ["Name 1", "Name 2", "Name 3"]
    assert await bench.count("step") == 1
    assert await bench.column("select number from attempt order by started_at") == [1, 1, 1]


async def test_a_read_that_is_refused_holds_the_key_until_a_newer_event_asks_again(
    bench: Bench,
) -> None:
    pipeline = _pipeline(bench)
    dispatcher = bench.dispatcher(driver=_refusing(times=1))
    await pipeline.take([notice("e1")])
    await turn_until_idle(dispatcher)
    assert await bench.cases() == ["toy-refused"]
    await pipeline.take([statement("m1", 5, "Stated later")])
    assert await bench.column(WAITING) == ["reading", "parked"]
    # It would pass a read, and not what waits behind one: it reads when its turn comes.
    await pipeline.take([notice("e2")])
    assert await bench.column(WAITING) == ["reading", "parked", "parked"]
    await _retry(bench)
    await _settle(bench, dispatcher, pipeline)
    assert await bench.cases() == []
    assert await _names(bench) == ["Bolt & Co", "Stated later"]
    assert await bench.count("pending") == 0


async def test_a_newer_event_asks_again_for_what_could_not_be_read(bench: Bench) -> None:
    pipeline = _pipeline(bench)
    dispatcher = bench.dispatcher(driver=_refusing(times=1))
    await pipeline.take([notice("e1")])
    await turn_until_idle(dispatcher)
    assert await bench.cases() == ["toy-refused"]
    await pipeline.take([notice("e2")])
    assert await bench.cases() == []
    await _settle(bench, dispatcher, pipeline)
    assert await _names(bench) == ["Bolt & Co"]
    assert await bench.count("pending") == await bench.count("hold") == 0


async def test_a_person_lets_go_of_what_cannot_be_read(bench: Bench) -> None:
    pipeline = _pipeline(bench)
    dispatcher = bench.dispatcher(driver=_refusing(times=99))
    await pipeline.take([notice("e1"), statement("m1", 5, "Stated later")])
    await turn_until_idle(dispatcher)
    (case_id,) = await bench.column("select id from exception_case where state = 'open'")
    async with bench.database.transaction() as tx:
        assert await cases.discard(tx, case_id=case_id, by="eve", reason="it is gone for good")
    await _settle(bench, dispatcher, pipeline)
    assert await _names(bench) == ["Stated later"]
    assert await bench.column("select outcome from inbox order by id") == ["discarded", "applied"]
    assert await bench.column("select state from ledger") == ["complete"]
    assert await bench.states() == {"7": "cancelled"}


async def test_without_a_system_to_read_from_the_event_is_a_case(bench: Bench) -> None:
    pipeline = bench.pipeline(orders=STATEMENTS, others={"notice": NOTICES})
    await pipeline.take([notice("e1")])
    assert await bench.cases() == ["reads-from-nowhere"]
    assert await bench.count("ledger") == 0


async def test_an_object_that_was_renumbered_while_it_is_read_holds_nothing_under_its_new_key(
    bench: Bench,
) -> None:
    pipeline, dispatcher = _pipeline(bench), bench.dispatcher()
    renumbered = "7-A"

    def ask(message: Message[str], facts: Facts, now: datetime) -> tuple[Effect, ...]:
        return (Fetch("supplier", "7"),)

    others = {"notice": dataclasses.replace(NOTICES, decide=ask)}
    asking = bench.pipeline(orders=STATEMENTS, others=others, reads_from={SOURCE: "erp"})
    later = Order(id="m1", key=f"supplier/{renumbered}", states=(Stated("9", 1, "Another"),))
    await asking.take([notice("e1"), notice("e2", renumbered), arrival(later)])
    waiting = "select key, state from pending order by id"
    assert [tuple(r.values()) for r in await bench.rows(waiting)] == [
        ("supplier/7", "reading"),
        (f"supplier/{renumbered}", "ready"),
    ]
    await _settle(bench, dispatcher, pipeline)
    assert await bench.column("select key from document order by key") == [
        "supplier/7",
        "supplier/9",
    ]
    assert await bench.count("pending") == await bench.count("hold") == 0


@pytest.mark.parametrize("point", ["result.before_commit", "result.after_commit"])
async def test_a_crash_around_the_answer_loses_nothing_and_takes_it_once(
    bench: Bench, point: str
) -> None:
    pipeline = _pipeline(bench)
    await pipeline.take([notice("e1")])
    dying = bench.dispatcher(fail_points=f"{point}:raise:1")
    await dying.turn()
    with pytest.raises(FailPointHit):
        await dying.drain(DEADLINE_S)
    await bench.execute("update target set lease_until = lease_until - interval '1 day'")
    await bench.lapse()
    await _settle(bench, bench.dispatcher(), pipeline)
    assert await _names(bench) == ["Bolt & Co"]
    assert await bench.count("pending") == await bench.count("hold") == 0
    assert await bench.column("select state from ledger") == ["complete"]
