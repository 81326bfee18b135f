"""A change that its PLM takes back after its release: what becomes of its ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator
from zipfile import ZipFile

import pytest

from broker.failpoints import FailPoints
from broker.intake import Arrival
from broker.pipeline import Pipeline
from broker.policy import RetryPolicy
from broker.store import Position
from broker.store.messages import delivery_of
from broker.unit import SqlStorage
from canonical.events import SOURCE
from canonical.handler import Delivery
from handlers import CATALOGUE
from tests.fixtures.build_packages import PACKAGES
from tests.fixtures.gearbox import RULES
from tests.integration.toy import Bench, bench_on

PACKAGE = ZipFile(PACKAGES / "gearbox_package.pdx").read("pdx.xml").decode()
CANCELLED = (
    PACKAGE.replace('ChangeStatusCode="Released"', 'ChangeStatusCode="Cancelled"')
    .replace('changeStatusDate="2024-03-04', 'changeStatusDate="2024-03-05')
    .replace('thisDocumentIdentifier="', 'thisDocumentIdentifier="2-')
)


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


async def state(bench: Bench, package: str) -> list[str]:
    """The package comes, and all that it says is decided; names of the events it said."""
    path = Pipeline(
        lane="standard",
        storage=SqlStorage(bench.database),
        recognise=lambda d: CATALOGUE.recognise(
            (SOURCE,) if d.source == SOURCE else ("pdx.package",), d
        ),
        handler_named=CATALOGUE.handler_named,
        rules=RULES,
        policy=RetryPolicy(),
        metrics=bench.metrics,
        fail_points=FailPoints({}),
        committed=lambda: None,
        reads_from={},
    )
    [before] = await bench.column("select coalesce(max(seq), 0) from message")
    delivery = Delivery("plm", "", package.encode())
    await path.take([Arrival(delivery, "standard", "in.plm.product-definition.standard")])
    said = await bench.rows(
        "select * from message where direction = 'out' and seq > $1 order by seq", before
    )
    for event in said:
        position = Position(event["at"], event["seq"])
        # A row of the log as the library gives it, by name.
        logged = delivery_of(event)  # type: ignore[arg-type]
        queue = f"{event['kind']}.{event['lane']}"
        await path.take([Arrival(logged, event["lane"], queue, logged=position)])
    return [event["kind"] for event in said]


async def test_what_was_not_sent_is_cancelled_and_what_is_done_is_put_before_a_person(
    bench: Bench,
) -> None:
    assert "engineering-change.released" in await state(bench, PACKAGE)
    planned = await bench.column("select identity from step order by id")
    (done, *_) = [identity for identity in planned if identity.endswith("|put-item")]
    await bench.column("update step set state = 'done' where identity = $1 returning id", done)
    assert "engineering-change.cancelled" in await state(bench, CANCELLED)
    rows = await bench.rows("select identity, kind, state from step")
    assert {row["state"] for row in rows if row["identity"] == done} == {"superseded"}
    others = [row for row in rows if row["identity"] != done]
    # What was awaited is not awaited any more.
    assert {(row["kind"] == "wait", row["state"]) for row in others} <= {
        (True, "done"),
        (False, "cancelled"),
    }
    assert {row["kind"] for row in others} >= {"call", "announce"}
    (ledger,) = await bench.rows("select title, state, ends_as, completed_at from ledger")
    assert "cancelled" not in ledger["title"]
    assert (ledger["state"], ledger["ends_as"]) == ("cancelled", "cancelled")
    assert ledger["completed_at"] is not None
    cases = await bench.rows("select place, what from exception_case where code = 'left-behind'")
    _, system, kind, number, verb = done.split("|")
    assert [case["what"] for case in cases] == [
        f"1 step was done and is no longer part of the plan: {verb} {kind} {number} at {system}"
    ]
    told = await bench.column("select kind from message where direction = 'out'")
    assert "engineering-change.completed" not in told
