"""Messages that refer to packages are replayed and compared like all others."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from broker import replay_orders as orders_of
from broker import shadow
from broker.failpoints import FailPointHit
from broker.intake import Arrival
from broker.packages import pieces_of, put_package
from broker.replay import LEASE_S
from broker.replay_orders import ReplayPlan
from broker.shadow import Compared
from broker.store.replays import Counts, Mode, ReplayRow
from broker.store.selections import Selection
from canonical.codec import encode
from canonical.envelope import Message
from canonical.handler import Delivery, Handler
from canonical.package import PACKAGE_TYPE
from tests.integration.replaying import (
    WINDOW,
    an_order,
    emitted,
    reader_of,
    replayer,
    run,
    start,
    view,
)
from tests.integration.toy import (
    DEADLINE_S,
    ORDERS,
    RULES,
    Bench,
    Order,
    Stated,
    arrival,
    arrivals,
    bench_on,
    read_order,
    repaired,
    until,
)


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


def read_packed(delivery: Delivery) -> Message[Order]:
    """The order in the package, or in the message itself."""
    if delivery.package is None:
        return read_order(delivery)
    return read_order(replace(delivery, body=delivery.package.open().read()))


PACKED = Handler(**{f: getattr(ORDERS, f) for f in ORDERS.__slots__} | {"read": read_packed})


async def packed(bench: Bench, order: Order) -> Arrival:
    """A message that refers to a package with the order."""
    row = await put_package(
        bench.database,
        pieces_of(io.BytesIO(encode(order))),
        name="order.json",
        content_type="application/json",
        by="somebody",
    )
    stated = {"reference": row.reference, "bytes": row.bytes, "sha256": row.sha256.hex()}
    return arrival(encode(stated), content_type=PACKAGE_TYPE)


async def take(bench: Bench, *orders: Order) -> None:
    """These orders came, each in a package."""
    await bench.pipeline(orders=PACKED).take([await packed(bench, order) for order in orders])


async def replay(
    bench: Bench, mode: Mode, *, orders: Handler = PACKED, cases: tuple[int, ...] = ()
) -> ReplayRow:
    """A replay of all orders, or of these cases, was started and has ended."""
    chosen = {"cases": cases} if cases else {"types": ("toy.order",)}
    replay_id = await start(bench, mode, **chosen)
    return await run(
        bench, replay_id, replayer(bench, orders=orders), bench.pipeline(orders=orders)
    )


async def planned(bench: Bench, mode: Mode) -> ReplayPlan:
    return await orders_of.plan(
        bench.database,
        mode=mode,
        selection=Selection(types=("toy.order",)),
        rate=50.0,
        reader=reader_of(bench.database, PACKED),
        oldest=datetime.now(UTC) - WINDOW,
    )


async def compared(bench: Bench, orders: Handler = PACKED) -> list[Compared]:
    _, found = await shadow.compare_all(
        bench.database,
        Selection(types=("toy.order",)),
        at_most=100,
        reader=reader_of(bench.database, orders),
        rules=RULES,
    )
    return found


async def test_a_package_that_nobody_handled_is_decided_once(bench: Bench) -> None:
    await take(bench, an_order(1, emits=("S1",)))
    for table in ("inbox", "outbox"):
        await bench.execute(f"delete from {table}")
    await bench.execute("delete from message where direction = 'out'")
    assert (await planned(bench, "redeliver")).fates == {"queued": 1}
    row = await replay(bench, "redeliver")
    assert row.counts == Counts(looked=1, queued=1)
    assert row.outcomes == {"applied": 1}
    assert await emitted(bench) == ["supplier/S1"]
    assert (await replay(bench, "redeliver")).counts == Counts(looked=1, duplicates=1)
    assert await emitted(bench) == ["supplier/S1"]


async def test_a_package_is_decided_again_and_repeats_no_effect(bench: Bench) -> None:
    await take(bench, an_order(1, emits=("S1",), states=(Stated("S1", 1),)))
    row = await replay(bench, "reprocess")
    assert row.counts == Counts(looked=1, queued=1)
    assert row.outcomes == {"applied": 1}
    assert await emitted(bench) == ["supplier/S1"]
    assert await bench.count("document_version") == 1
    assert await bench.column("select generation from inbox") == [2]


async def test_a_package_in_a_case_is_tried_again(bench: Bench) -> None:
    await take(bench, an_order(1, emits=("S1",), fault="rejected"), an_order(2, emits=("S2",)))
    [case] = await bench.column("select id from exception_case")
    row = await replay(bench, "redeliver", orders=repaired(PACKED), cases=(case,))
    assert row.counts == Counts(looked=1, released=1)
    assert await bench.cases() == []
    # What waited behind it has followed.
    await bench.pipeline(orders=repaired(PACKED)).take_pending(10)
    assert await emitted(bench) == ["supplier/S1", "supplier/S2"]


async def test_a_package_is_compared_field_by_field(bench: Bench) -> None:
    await take(bench, an_order(1, emits=("S1",)))
    assert [c.answer for c in await compared(bench)] == ["same"]

    def read(delivery: Delivery) -> Message[Order]:
        message = read_packed(delivery)
        return Message(message.envelope, replace(message.payload, emits=("S2",)))

    other = Handler(**{f: getattr(ORDERS, f) for f in ORDERS.__slots__} | {"read": read})
    [one] = await compared(bench, other)
    assert (one.answer, [d.what for d in one.differences]) == (
        "differs",
        [
            "event com.layshaft.supplier.changed.v1 supplier/S2",
            "event com.layshaft.supplier.changed.v1 supplier/S1",
        ],
    )


async def test_a_package_that_is_gone_is_no_difference_and_is_counted_apart(bench: Bench) -> None:
    await take(bench, an_order(1, emits=("S1",)))
    await bench.execute("delete from package")
    assert [(c.answer, c.differences) for c in await compared(bench)] == [("content_gone", ())]
    for mode in ("redeliver", "reprocess"):
        assert (await planned(bench, mode)).fates == {"content_gone": 1}
        row = await replay(bench, mode)
        assert (row.state, row.counts) == ("done", Counts(looked=1, content_gone=1))
    assert await emitted(bench) == ["supplier/S1"]


async def test_a_package_is_a_slice_of_its_own(bench: Bench) -> None:
    pipeline = bench.pipeline(orders=PACKED)
    await pipeline.take(arrivals([an_order(n, f"order/{n}") for n in (1, 2)]))
    await pipeline.take([await packed(bench, an_order(n, f"order/{n}")) for n in (3, 4)])
    await pipeline.take(arrivals([an_order(5, "order/5")]))
    replay_id = await start(bench, "reprocess")
    looked = []
    for _ in range(4):
        await bench.execute("update replay set next_at = now()")
        assert await replayer(bench, orders=PACKED).turn()
        looked.append((await view(bench, replay_id)).counts.looked)
    assert looked == [2, 3, 4, 5]


class Slow:
    """Orders in packages that are not read to the end before somebody says so."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_end = threading.Event()
        self.handler = Handler(
            **{f: getattr(ORDERS, f) for f in ORDERS.__slots__} | {"read": self._read}
        )

    def _read(self, delivery: Delivery) -> Message[Order]:
        self.begun.set()
        assert self.may_end.wait(DEADLINE_S)
        return read_packed(delivery)


async def begun_to_read(bench: Bench, slow: Slow) -> asyncio.Task[bool]:
    """A turn that reads a package."""
    turn = asyncio.create_task(replayer(bench, orders=slow.handler).turn())

    async def has_begun() -> bool:
        return slow.begun.is_set()

    await until(has_begun, "the package is being read")
    return turn


async def test_nothing_is_locked_while_a_package_is_read_and_no_other_process_reads_it(
    bench: Bench,
) -> None:
    await take(bench, an_order(1))
    replay_id = await start(bench, "reprocess", types=("toy.order",))
    slow = Slow()
    turn = await begun_to_read(bench, slow)
    assert await bench.column("select id from replay for update nowait") == [replay_id]
    assert await bench.column(
        "select count(*) from pg_stat_activity"
        " where datname = current_database() and state like 'idle in transaction%'"
    ) == [0]
    assert not await replayer(bench, orders=PACKED).turn()
    [lease_s] = await bench.column("select extract(epoch from next_at - now())::float8 from replay")
    assert LEASE_S < lease_s <= 60.0
    assert (await view(bench, replay_id)).note == "its next message is a package, which is read"
    slow.may_end.set()
    assert await turn
    row = await view(bench, replay_id)
    assert (row.counts, row.note) == (Counts(looked=1, queued=1), "")
    # The lease was no delay: the rate alone counts.
    [wait_s] = await bench.column("select extract(epoch from next_at - now())::float8 from replay")
    assert wait_s < 0.1


@pytest.mark.parametrize("act", [orders_of.pause, orders_of.cancel])
async def test_what_is_read_when_a_replay_is_stopped_is_not_queued(
    bench: Bench, act: Callable[..., Awaitable[object]]
) -> None:
    await take(bench, an_order(1))
    replay_id = await start(bench, "reprocess", types=("toy.order",))
    slow = Slow()
    turn = await begun_to_read(bench, slow)
    async with bench.database.transaction() as tx:
        await act(tx, replay_id=replay_id, by="ann", reason="no")
    slow.may_end.set()
    assert not await turn
    assert await bench.count("pending") == 0
    assert (await view(bench, replay_id)).counts == Counts()


async def test_a_slice_that_another_process_has_queued_meanwhile_counts_once(bench: Bench) -> None:
    await take(bench, an_order(1))
    replay_id = await start(bench, "reprocess", types=("toy.order",))
    slow = Slow()
    turn = await begun_to_read(bench, slow)
    # The lease has ended, as if reading took longer than it may.
    await bench.execute("update replay set next_at = now()")
    assert await replayer(bench, orders=PACKED).turn()
    slow.may_end.set()
    assert not await turn
    assert await bench.count("pending") == 1
    assert (await view(bench, replay_id)).counts == Counts(looked=1, queued=1)


async def test_a_process_that_dies_while_it_reads_holds_a_replay_up_for_its_lease_only(
    bench: Bench,
) -> None:
    await bench.pipeline().take(arrivals([an_order(1)]))
    replay_id = await start(bench, "reprocess")
    with pytest.raises(FailPointHit):
        await replayer(bench, fail_points="replay.after_read:raise:1").turn()
    assert not await replayer(bench).turn()
    ends = timedelta(seconds=LEASE_S)
    await bench.execute("update replay set next_at = next_at - $1::interval", ends)
    assert await replayer(bench).turn()
    assert (await view(bench, replay_id)).counts == Counts(looked=1, queued=1)
