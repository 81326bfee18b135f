"""Cases, ends of calls and what a day brings about are told, to those who subscribe and once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest

from broker import book
from broker.failpoints import FailPointHit, FailPoints
from broker.herald import BATCH, CASES, Herald
from broker.store import Database
from broker.store import casebook as case_rows
from broker.store.casebook import Case
from broker.store.documents import NewDocument, as_rows, store
from canonical.effects import Put
from canonical.purchase_contract import PurchaseContract
from handlers import WATCHES
from tests.integration import gearbox_change
from tests.integration.toy import Bench, bench_on

EXPIRING = "contract.expiring"
STEPS = ("step.done", "step.failed", "step.cancelled", "step.superseded")


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


@asynccontextmanager
async def asked(bench: Bench, *events: str) -> AsyncIterator[Database]:
    """The database as a service has it whose configuration names subscribers of these events."""
    database = Database(
        url=bench.url, purpose="asked", size=2, acquire_s=5, statement_s=5, subscribed=events
    )
    await database.open()
    try:
        yield database
    finally:
        await database.close()


def herald(
    bench: Bench,
    *,
    on: datetime | None = None,
    events: Collection[str] = CASES,
    fail_points: str = "",
) -> Herald:
    at = on or datetime.now(UTC)
    return Herald(
        database=bench.database,
        watches=WATCHES,
        subscribed=events,
        fail_points=FailPoints.parse(fail_points),
        now=lambda: at,
    )


async def told(bench: Bench) -> list[tuple[str, str, dict[str, Any]]]:
    """Short name, key and content of what waits to be published, in order."""
    rows = await bench.rows(
        "select o.routing_key, o.key, m.body from outbox o"
        " join message m on m.at = o.message_at and m.seq = o.message_seq order by o.id"
    )
    return [(r["routing_key"], r["key"], msgspec.json.decode(r["body"])) for r in rows]


def case(number: int) -> Case:
    return Case(
        code="unit-unknown",
        word="data_quality",
        what="The unit furlong has no conversion",
        place=f"item/GB-{number}: Unit",
        remedy="Correct the unit",
        owner="sender (plm)",
        source="plm",
        key=f"item/GB-{number}",
    )


async def open_cases(bench: Bench, *numbers: int) -> None:
    async with bench.database.transaction() as tx:
        await case_rows.open_cases(tx, [case(number) for number in numbers])


async def resolve(bench: Bench) -> None:
    await bench.execute(
        "update exception_case set state = 'resolved', closed_at = now(), closed_by = 'eve'"
        " where state = 'open'"
    )


async def test_a_case_is_told_when_it_opens_and_when_it_is_resolved(bench: Bench) -> None:
    await open_cases(bench, 1)
    await herald(bench).turn()
    await open_cases(bench, 1)  # seen again: the same case
    await herald(bench).turn()
    await resolve(bench)
    await herald(bench).turn()
    await herald(bench).turn()
    opened, resolved = await told(bench)
    [number] = await bench.column("select id from exception_case")
    assert [opened[:2], resolved[:2]] == [
        ("case.opened", f"case/{number}"),
        ("case.resolved", f"case/{number}"),
    ]
    assert opened[2] | {"opened_at": ""} == {
        "case": number,
        "code": "unit-unknown",
        "word": "data_quality",
        "what": "The unit furlong has no conversion",
        "place": "item/GB-1: Unit",
        "remedy": "Correct the unit",
        "owner": "sender (plm)",
        "opened_at": "",
        "about": "item/GB-1",
        "source": "plm",
    }
    assert (resolved[2]["case"], resolved[2]["by"]) == (number, "eve")


async def test_a_case_that_was_over_before_anybody_heard_of_it_is_no_news(bench: Bench) -> None:
    await open_cases(bench, 1)
    await resolve(bench)
    assert not await herald(bench).turn()
    assert await told(bench) == []


async def test_whoever_subscribes_late_hears_of_what_is_open(bench: Bench) -> None:
    await open_cases(bench, 1, 2)
    assert not await herald(bench, events=()).turn()
    assert not herald(bench, events=("item.created",)).is_asked
    assert await told(bench) == []
    await herald(bench).turn()
    assert [event for event, _, _ in await told(bench)] == ["case.opened"] * 2


async def test_a_flood_is_told_in_batches_by_two_heralds_at_once(bench: Bench) -> None:
    await open_cases(bench, *range(2 * BATCH + 10))

    async def all_of_it() -> None:
        one = herald(bench)
        for _ in range(20):
            await one.turn()

    await asyncio.gather(all_of_it(), all_of_it())
    keys = [key for _, key, _ in await told(bench)]
    assert len(keys) == len(set(keys)) == 2 * BATCH + 10


@pytest.mark.parametrize(
    ("point", "left"), [("herald.before_commit", 0), ("herald.after_commit", 1)]
)
async def test_a_herald_that_dies_leaves_all_or_nothing(
    bench: Bench, point: str, left: int
) -> None:
    await open_cases(bench, 1)
    dying = herald(bench, fail_points=f"{point}:raise:1")
    with pytest.raises(FailPointHit):
        await dying.turn()
    assert await bench.column("select told from exception_case") == [left]
    assert len(await told(bench)) == left
    await dying.turn()
    assert [event for event, _, _ in await told(bench)] == ["case.opened"]


async def test_a_contract_that_ends_soon_is_told_once_for_its_last_day(bench: Bench) -> None:
    last = date(2026, 12, 31)
    await keep(bench, contract("C-1", last), contract("C-2", last + timedelta(days=90)))
    noon = datetime(2026, 12, 20, 12, tzinfo=UTC)
    one = herald(bench, on=noon, events=(EXPIRING,))
    await one.turn()
    await one.turn()
    await herald(bench, on=noon, events=(EXPIRING,)).turn()  # started anew on that day
    await herald(bench, on=noon + timedelta(days=1), events=(EXPIRING,)).turn()
    assert [(event, key, data["days_left"]) for event, key, data in await told(bench)] == [
        (EXPIRING, "contract/C-1", 11)
    ]
    await keep(bench, msgspec.structs.replace(contract("C-1", date(2027, 1, 5)), version=2))
    await herald(bench, on=noon + timedelta(days=2), events=(EXPIRING,)).turn()
    assert [data["last_day"] for _, _, data in await told(bench)] == ["2026-12-31", "2027-01-05"]


async def test_ends_of_calls_are_told_to_those_who_ask_for_them(bench: Bench) -> None:
    async with asked(bench, *STEPS) as database:
        await gearbox_change.seed_in(database)
    found = {(event, data["plant"], data["object_id"]) for event, _, data in await told(bench)}
    items = {("step.done", plant, number) for plant in gearbox_change.PLANTS
             for number, _ in gearbox_change.PARTS}  # fmt: skip
    assert found == items | {("step.failed", "1010", "GB-100")}
    events = [data for event, _, data in await told(bench) if event == "step.failed"]
    assert [(data["verb"], data["ledger"]) for data in events] == [
        ("put-bom", gearbox_change.CHANGE)
    ]


async def test_a_call_that_nobody_plans_any_more_is_told_too(bench: Bench) -> None:
    async with asked(bench, "step.cancelled", "step.superseded") as database:
        await gearbox_change.seed_in(database)
        assert await told(bench) == []
        async with database.transaction() as tx:
            origin = await gearbox_change.known_origin(tx)
            plan = msgspec.structs.replace(gearbox_change.plan(), version=3, steps=())
            await book.apply_plans(tx, [book.Planned(plan, origin)], datetime.now(UTC))
    ended = [
        (event, data["plant"], data["object_id"])
        for event, _, data in await told(bench)
        if event in STEPS
    ]
    assert ("step.cancelled", "1010", "GB-100") in ended
    assert ("step.superseded", "1010", "GB-110") in ended


async def test_nothing_is_emitted_where_nobody_asks(bench: Bench) -> None:
    await gearbox_change.seed(bench.url)
    assert await told(bench) == []


def contract(number: str, last_day: date) -> PurchaseContract:
    return PurchaseContract(number, 1, "S-1", "active", date(2026, 1, 1), last_day)


async def keep(bench: Bench, *contracts: PurchaseContract) -> None:
    """They are what is known."""
    async with bench.database.transaction() as tx:
        puts = [Put(f"contract/{c.number}", c.version, c) for c in contracts]
        position = await gearbox_change.first_position(tx)
        documents = [NewDocument(put, "coupa", position) for put in puts]
        await store(tx, as_rows(documents))
