"""Shadow: today's code against what was done, field by field, with nothing changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from broker import shadow
from broker.differences import Difference, Field
from broker.shadow import Compared
from broker.store.selections import Selection
from broker.store.views import snapshot
from canonical.effects import Effect
from canonical.envelope import Message
from canonical.errors import InvalidMessage, Rejected
from canonical.facts import Facts
from canonical.handler import Delivery, Handler
from tests.integration.replaying import reader_of
from tests.integration.toy import (
    ORDERS,
    RULES,
    SOURCE,
    Bench,
    Order,
    Stated,
    Wanted,
    arrival,
    arrivals,
    bench_on,
    decide_order,
    repaired,
)


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


def an_order(number: int, key: str = "order/1", **fields: Any) -> Order:
    return Order(id=f"m{number}", key=key, **fields)


async def compared(bench: Bench, *, orders: Handler = ORDERS, **selection: Any) -> list[Compared]:
    """Every selected message, as the command compares it."""
    selected, found = await shadow.compare_all(
        bench.database,
        Selection(**selection),
        at_most=100,
        reader=reader_of(bench.database, orders),
        rules=RULES,
    )
    assert selected == len(found)
    return found


async def of_orders(bench: Bench, orders: Handler = ORDERS) -> list[Compared]:
    return await compared(bench, orders=orders, types=("toy.order",))


def changing(**changes: Any) -> Handler:
    """Orders as another version of the code decides them: it reads other fields out of them."""

    def decide(message: Message[Order], facts: Facts, now: datetime) -> tuple[Effect, ...]:
        order = msgspec.structs.replace(message.payload, **changes)
        return decide_order(Message(message.envelope, order), facts, now)

    return Handler(**{f: getattr(ORDERS, f) for f in ORDERS.__slots__} | {"decide": decide})


async def test_the_same_code_says_the_same_of_everything(bench: Bench) -> None:
    pipeline = bench.pipeline()
    await pipeline.take(
        arrivals(
            [
                an_order(
                    1,
                    states=(Stated("S1", 1),),
                    emits=("S1",),
                    plans=(Wanted("S1", "please"), Wanted("S2", "name", kind="wait")),
                    opens="look",
                ),
                an_order(2, "order/2", fault="rejected"),
                # Stated twice in one batch: only the last one is stored.
                an_order(3, "order/3", states=(Stated("S3", 1),)),
                an_order(4, "order/3", states=(Stated("S3", 2),)),
            ]
        )
    )
    # Older than what is known: stored nothing.
    await pipeline.take([arrival(an_order(5, "order/3", states=(Stated("S3", 1, "Old"),)))])
    # The plan is made anew on what is known now.
    await pipeline.take([arrival(an_order(6, "order/6", states=(Stated("S2", 1, "name"),)))])
    await pipeline.take_pending(10)
    found = await compared(bench)
    assert [(c.id, c.answer) for c in found if c.source == SOURCE] == [
        (f"m{n}", "same") for n in range(1, 7)
    ]
    assert {c.answer for c in found if c.source != SOURCE} == {"not_taken"}


async def test_a_document_differs_field_by_field(bench: Bench) -> None:
    await bench.pipeline().take([arrival(an_order(1, states=(Stated("S1", 1),)))])
    [one] = await of_orders(bench, changing(states=(Stated("S1", 1, "Nut & Co"),)))
    assert one.answer == "differs"
    assert one.differences == (
        Difference(
            "document supplier/S1",
            "changed",
            fields=(Field("name", '"Bolt & Co"', '"Nut & Co"'),),
        ),
    )


async def test_what_is_new_and_what_is_gone_is_named(bench: Bench) -> None:
    await bench.pipeline().take([arrival(an_order(1, states=(Stated("S1", 1),), emits=("S1",)))])
    [one] = await of_orders(bench, changing(states=(Stated("S2", 1),), emits=("S2",)))
    assert [(d.what, d.change) for d in one.differences] == [
        ("document supplier/S2", "new"),
        ("document supplier/S1", "gone"),
        ("event com.layshaft.supplier.changed.v1 supplier/S2", "new"),
        ("event com.layshaft.supplier.changed.v1 supplier/S1", "gone"),
    ]


async def test_a_plan_differs_by_its_steps(bench: Bench) -> None:
    plans = (Wanted("S1", "old"), Wanted("S2", "kept"), Wanted("S3", "gone"))
    await bench.pipeline().take([arrival(an_order(1, plans=plans))])
    changed = (Wanted("S1", "new"), Wanted("S2", "kept"), Wanted("S4", "new"))
    [one] = await of_orders(bench, changing(plans=changed))
    assert [(d.what.rpartition(" ")[2].split("|")[3], d.change) for d in one.differences] == [
        ("S4", "new"),
        ("S1", "changed"),
        ("S3", "gone"),
    ]
    assert one.differences[1].fields == (Field("purchasing_group", '"old"', '"new"'),)


async def test_a_plan_that_is_not_made_any_more_and_a_new_case_differ(bench: Bench) -> None:
    await bench.pipeline().take([arrival(an_order(1, plans=(Wanted("S1"),)))])
    [one] = await of_orders(bench, changing(plans=(), opens="look"))
    assert [(d.what, d.change) for d in one.differences] == [
        ("plan order/1", "gone"),
        ("case toy", "new"),
    ]


async def test_a_repair_shows_what_the_message_will_do(bench: Bench) -> None:
    await bench.pipeline().take([arrival(an_order(1, fault="rejected", emits=("S1",)))])
    [one] = await of_orders(bench, repaired())
    assert one.differences[0] == Difference("outcome", "changed", "toy-rejected", "applied")
    assert [d.what for d in one.differences[1:]] == [
        "event com.layshaft.supplier.changed.v1 supplier/S1"
    ]


async def test_code_that_fails_where_it_did_not_is_shown(bench: Bench) -> None:
    await bench.pipeline().take([arrival(an_order(1, emits=("S1",)))])
    [one] = await of_orders(bench, changing(fault="rejected"))
    assert one.differences == (Difference("outcome", "changed", "applied", "toy-rejected"),)


async def test_a_message_that_cannot_be_read_any_more_differs(bench: Bench) -> None:
    await bench.pipeline().take([arrival(an_order(1))])

    def read(delivery: Delivery) -> Message[Order]:
        raise InvalidMessage("toy-contract", "A field is missing")

    broken = Handler(**{f: getattr(ORDERS, f) for f in ORDERS.__slots__} | {"read": read})
    [one] = await of_orders(bench, broken)
    assert one.differences == (
        Difference("outcome", "changed", "read as toy.order", "toy-contract: A field is missing"),
    )


async def test_a_message_is_decided_on_what_was_known_before_it(bench: Bench) -> None:
    def decide(message: Message[Order], facts: Facts, now: datetime) -> tuple[Effect, ...]:
        if facts.supplier("S1") is not None:
            raise Rejected("known", "The supplier is known already")
        return decide_order(message, facts, now)

    curious = Handler(
        **{f: getattr(ORDERS, f) for f in ORDERS.__slots__}
        | {"decide": decide, "needs": lambda message, facts: frozenset({"supplier/S1"})}
    )
    first, second = an_order(1, states=(Stated("S1", 1),)), an_order(2, "order/2", emits=("S2",))
    await bench.pipeline(orders=curious).take([arrival(first)])
    await bench.pipeline(orders=curious).take([arrival(second)])
    assert [c.answer for c in await of_orders(bench, curious)] == ["same", "same"]
    outcomes = await bench.column("select outcome from inbox order by id")
    assert outcomes == ["applied", "parked"]


async def test_a_contradiction_stays_one(bench: Bench) -> None:
    for n, name in ((1, "Bolt"), (2, "Nut")):
        order = an_order(n, f"order/{n}", states=(Stated("S1", 1, name),))
        await bench.pipeline().take([arrival(order)])
    assert await bench.cases() == ["same-version-other-content"]
    assert [c.answer for c in await of_orders(bench)] == ["same", "same"]


async def test_what_was_discarded_is_not_compared(bench: Bench) -> None:
    await bench.pipeline().take([arrival(an_order(1, fault="rejected"))])
    await bench.execute("update inbox set outcome = 'discarded'")
    assert [c.answer for c in await of_orders(bench)] == ["not_decided"]


async def test_a_shadow_writes_nothing_and_could_not(bench: Bench) -> None:
    await bench.pipeline().take([arrival(an_order(1, plans=(Wanted("S1"),), emits=("S1",)))])
    tables = ("message", "inbox", "outbox", "step", "ledger", "document", "pending")
    before = [await bench.rows(f"select * from {t}") for t in tables]
    assert (await of_orders(bench, changing(emits=("S2",))))[0].answer == "differs"
    assert [await bench.rows(f"select * from {t}") for t in tables] == before
    async with snapshot(bench.database) as tx:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await tx.execute("update inbox set outcome = 'x'")


async def test_a_plan_is_compared_as_of_the_moment_when_it_was_made_last(bench: Bench) -> None:
    then = datetime.now(UTC) + timedelta(seconds=1)

    def decide(message: Message[Order], facts: Facts, now: datetime) -> tuple[Effect, ...]:
        wanted = Wanted("S1", "late" if now >= then else "early")
        order = msgspec.structs.replace(message.payload, plans=(wanted,))
        return decide_order(Message(message.envelope, order), facts, now)

    by_the_clock = Handler(**{f: getattr(ORDERS, f) for f in ORDERS.__slots__} | {"decide": decide})
    pipeline = bench.pipeline(orders=by_the_clock)
    await pipeline.take([arrival(an_order(1))])
    await asyncio.sleep(max((then - datetime.now(UTC)).total_seconds(), 0))
    await pipeline.take([arrival(an_order(2))])
    found = await of_orders(bench, by_the_clock)
    assert [(c.id, c.answer) for c in found] == [("m1", "same"), ("m2", "same")]
