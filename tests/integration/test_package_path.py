"""Packages that come by reference go the path of every message; what is wrong is one case."""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from broker.failpoints import FailPoints
from broker.intake import Arrival
from broker.packages import pieces_of, put_package
from broker.pipeline import Pipeline
from broker.policy import RetryPolicy
from broker.reading import PORTION_BYTES, portions
from broker.store import Position
from broker.store.packages import PackageRow
from broker.unit import SqlStorage
from canonical.codec import encode
from canonical.events import EVENTS, SOURCE
from canonical.handler import Delivery
from canonical.package import PACKAGE_TYPE
from handlers import CATALOGUE
from handlers.systems.pdx import inbound, native
from handlers.systems.xml_document import Limits
from tests.fixtures.build_packages import zipped
from tests.fixtures.pdx_text import GEARBOX, bom_xml, item_xml, line_xml, package_xml
from tests.integration.toy import RULES, Bench, bench_on

QUEUE = "in.plm.product-definition.standard"


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database."""
    async with bench_on(database_url) as made:
        yield made


def pipeline(bench: Bench, *, read_s: float = 60.0) -> Pipeline:
    """A pipeline with the real handlers."""
    return Pipeline(
        lane="standard",
        storage=SqlStorage(bench.database),
        recognise=lambda d: CATALOGUE.recognise(
            (SOURCE,) if d.source == SOURCE else ("pdx.package", "arena.change"), d
        ),
        handler_named=CATALOGUE.handler_named,
        rules=RULES,
        policy=RetryPolicy(),
        metrics=bench.metrics,
        fail_points=FailPoints({}),
        committed=lambda: None,
        read_s=read_s,
    )


async def put(bench: Bench, content: bytes) -> PackageRow:
    return await put_package(
        bench.database,
        pieces_of(io.BytesIO(content)),
        name="p.pdx",
        content_type="application/zip",
        by="somebody",
    )


def arrival(body: bytes, content_type: str = "", *, redelivered: bool = False) -> Arrival:
    delivery = Delivery("plm", "product-definition", body, content_type)
    return Arrival(delivery, "standard", QUEUE, redelivered=redelivered)


def reference(row: PackageRow, **other: object) -> bytes:
    stated = {"reference": row.reference, "bytes": row.bytes, "sha256": row.sha256.hex()}
    return encode(stated | other)


def referring(row: PackageRow, **other: object) -> Arrival:
    return arrival(reference(row, **other), PACKAGE_TYPE)


async def emitted(bench: Bench) -> list[tuple[str, str, bytes]]:
    rows = await bench.rows(
        "select kind, key, body from message where direction = 'out' order by seq"
    )
    return [(r["kind"], r["key"], r["body"]) for r in rows]


async def test_a_package_by_reference_is_the_same_message_as_in_a_message(bench: Bench) -> None:
    row = await put(bench, GEARBOX)
    path = pipeline(bench)
    await path.take([referring(row)])
    events = await emitted(bench)
    assert {kind for kind, _, _ in events} == {
        "item.released",
        "bom.released",
        "engineering-change.released",
    }
    await path.take([arrival(GEARBOX, "application/zip")])
    assert await emitted(bench) == events
    assert await bench.count("duplicate") == 1
    assert await bench.cases() == []
    # The log holds the reference, and what is referred to stays.
    (logged,) = await bench.rows(
        "select body, attributes ->> 'dataref' as dataref from message where direction = 'in'"
    )
    assert logged == {"body": reference(row), "dataref": row.reference}


async def test_a_reference_in_a_structured_event_is_followed(bench: Bench) -> None:
    row = await put(bench, GEARBOX)
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "plm",
        "type": "package",
        "datacontenttype": PACKAGE_TYPE,
        "data": {"reference": row.reference, "bytes": row.bytes, "sha256": row.sha256.hex()},
    }
    await pipeline(bench).take([arrival(encode(event), "application/cloudevents+json")])
    assert await bench.cases() == []
    assert len(await emitted(bench)) > 3


async def test_a_redelivered_reference_is_followed(bench: Bench) -> None:
    row = await put(bench, GEARBOX)
    await pipeline(bench).take([arrival(reference(row), PACKAGE_TYPE, redelivered=True)])
    assert await bench.cases() == []
    assert len(await emitted(bench)) > 3


BOMB = zipped({"pdx.xml": b" " * (1024 * 1024 + 1)})
TOO_LONG = package_xml(item_xml("P-1", bom_xml(line_xml() * 1_001)))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (GEARBOX[:-30], "archive-broken"),
        (GEARBOX.replace(b"PK\x01\x02", b"PK\x01\x03", 1), "archive-broken"),
        (BOMB, "archive-too-large"),
        (TOO_LONG, "package-too-long"),
        (package_xml(item_xml())[:-10], "xml-malformed"),
        (b"\0" * 100_000, "contract-unknown"),
    ],
    ids=["truncated", "damaged", "bomb", "too many lines", "cut off", "nothing known"],
)
async def test_a_package_that_cannot_be_read_is_one_case_and_its_neighbours_go_on(
    bench: Bench, content: bytes, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The real limits are tested with the driver.
    monkeypatch.setattr(inbound, "IN_PACKAGE", Limits(bytes=1024 * 1024, elements=10_000))
    monkeypatch.setattr(native, "MAX_BOM_LINES", 1_000)
    row = await put(bench, content)
    good = package_xml(item_xml("P-9"))
    await pipeline(bench).take([referring(row), arrival(good)])
    assert await bench.cases() == [code]
    assert [key for _, key, _ in await emitted(bench)] == ["item/P-9"]
    # The content of a case is kept as the bytes of any other message are.
    kept = await bench.column("select attributes ->> 'dataref' from message where type = 'unread'")
    assert kept == [row.reference]


@pytest.mark.parametrize(
    ("stated", "code"),
    [
        ({"reference": "package/99"}, "package-missing"),
        ({"bytes": 5}, "package-other-content"),
        ({"sha256": "0" * 64}, "package-other-content"),
        ({"reference": "http://elsewhere/1"}, "package-reference"),
        ({"sha256": "short"}, "package-reference"),
        ({"bytes": 2**28 + 1}, "package-reference"),
        ({"bytes": "many"}, "package-reference"),
    ],
)
async def test_a_reference_that_does_not_fit_is_one_case_and_nothing_is_applied(
    bench: Bench, stated: dict[str, object], code: str
) -> None:
    row = await put(bench, GEARBOX)
    await pipeline(bench).take([referring(row, **stated)])
    assert await bench.cases() == [code]
    assert await emitted(bench) == []


async def test_a_reference_that_came_too_early_is_taken_when_it_comes_again(bench: Bench) -> None:
    digest = hashlib.sha256(GEARBOX).digest()
    early = PackageRow(1, digest, len(GEARBOX), "", "", "", datetime.now(UTC))
    path = pipeline(bench)
    await path.take([referring(early)])
    assert await bench.cases() == ["package-missing"]
    assert (await put(bench, GEARBOX)).reference == early.reference
    await path.take([referring(early)])
    assert len(await emitted(bench)) > 3


async def test_a_message_beyond_the_door_is_told_to_come_by_reference(bench: Bench) -> None:
    await pipeline(bench).take([arrival(package_xml(item_xml()) + b" " * 2 * 1024 * 1024)])
    (case,) = await bench.rows("select code, remedy from exception_case")
    assert case["code"] == "body-too-large"
    assert "layshaft package put" in case["remedy"]


async def test_a_package_that_takes_too_long_to_read_is_refused(bench: Bench) -> None:
    row = await put(bench, package_xml(item_xml("P-1", bom_xml(line_xml() * 20_000))))
    await pipeline(bench, read_s=0.01).take([referring(row), arrival(package_xml(item_xml()))])
    assert await bench.cases() == ["content-too-slow"]
    assert [key for _, key, _ in await emitted(bench)] == ["item/P-1"]


async def test_a_reference_stays_valid_for_a_retry(bench: Bench) -> None:
    content = package_xml(item_xml("P-1", inner="", globalProductUnitOfMeasureCode="furlong"))
    row = await put(bench, content)
    path = pipeline(bench)
    await path.take([referring(row)])
    assert len(await bench.cases()) == 1
    await bench.execute("update pending set state = 'ready', due_at = now()")
    assert await path.take_pending(10) == 1
    # Read again from its package: the same failure, not a missing package.
    assert await bench.column("select distinct reason from pending") == ["unit-unmapped"]


async def test_rows_that_refer_to_packages_are_taken_one_by_one(bench: Bench) -> None:
    """While a package is read, which may take long, the objects of other rows are not locked."""
    path = pipeline(bench)
    for part in ("P-1", "P-2"):
        item = item_xml(part, inner="", globalProductUnitOfMeasureCode="furlong")
        row = await put(bench, package_xml(item, identifier=part))
        await path.take([referring(row)])
    await bench.execute("update pending set state = 'ready', due_at = now()")
    before = batches(bench)
    assert await path.take_pending(10) == 2
    assert batches(bench) - before == 2
    assert await bench.column("select attempts from pending") == [2, 2]


def batches(bench: Bench) -> float:
    """How many were committed."""
    name = "layshaft_batch_duration_seconds_count"
    return bench.metrics.registry.get_sample_value(name, {"lane": "standard"}) or 0.0


def event(row: dict[str, Any], *, by_reference: bool) -> Arrival:
    """An event of ours as it comes from its queue."""
    attributes = msgspec.json.decode(row["attributes"], type=dict[str, str])
    if by_reference:
        attributes |= {"dataref": "log/as/logposition", "databytes": str(len(row["body"]))}
    body = b"" if by_reference else row["body"]
    delivery = Delivery(SOURCE, row["kind"], body, attributes=attributes)
    return Arrival(delivery, "standard", "events", logged=Position(row["at"], row["seq"]))


async def test_bodies_of_events_are_taken_from_the_log(bench: Bench) -> None:
    path = pipeline(bench)
    await path.take([arrival(GEARBOX)])
    rows = await bench.rows(
        "select at, seq, kind, attributes::text as attributes, body from message"
        " where direction = 'out' and kind <> 'engineering-change.released' order by seq"
    )
    await path.take([event(r, by_reference=n % 2 == 0) for n, r in enumerate(rows)])
    assert await bench.cases() == []
    # And the change, which is on record since it was read, with the days of its revisions.
    stored = await bench.column(
        "select key from document where key not like 'revision-effectivity/%'"
    )
    assert len(stored) == len(rows) + 1
    # The same event with its body is the same message.
    await path.take([event(r, by_reference=False) for r in rows])
    assert await bench.count("duplicate") == len(rows)


async def test_an_event_by_reference_that_was_quarantined_is_no_other_when_it_comes_again(
    bench: Bench,
) -> None:
    await pipeline(bench).take([arrival(GEARBOX)])
    [row] = await bench.rows(
        "select at, seq, kind, attributes::text as attributes, body from message"
        " where kind = 'bom.released' order by seq limit 1"
    )
    deadly = replace(event(row, by_reference=True), redelivered=True)
    await bench.execute(
        "insert into delivery_attempt (fingerprint, attempts, worker) values ($1, 2, 'dead')",
        deadly.fingerprint,
    )
    await pipeline(bench).take([deadly])
    assert await bench.cases() == ["crashes-the-worker"]
    await pipeline(bench).take([event(row, by_reference=True)])
    assert await bench.cases() == ["crashes-the-worker"]
    assert await bench.count("duplicate") == 1


async def test_an_event_that_is_gone_from_the_log_is_a_case(bench: Bench) -> None:
    gone = {
        "at": datetime.now(UTC),
        "seq": 1,
        "kind": "bom.released",
        "body": b"x" * 70_000,
        "attributes": encode({"id": "1", "type": EVENTS["bom.released"].type, "subject": "bom/P"}),
    }
    await pipeline(bench).take([event(gone, by_reference=True)])
    assert await bench.cases() == ["event-gone"]


async def test_a_batch_is_cut_where_its_contents_take_too_much() -> None:
    def large(size: int) -> Arrival:
        attributes = {"dataref": "log/x", "databytes": str(size)}
        place = Position(datetime.now(UTC), 1)
        delivery = Delivery(SOURCE, "bom.released", b"", attributes=attributes)
        return Arrival(delivery, "standard", "events", logged=place)

    part = PORTION_BYTES // 8
    batch = [large(5 * part), large(3 * part), large(part), arrival(b"{}", PACKAGE_TYPE)]
    batch += [arrival(b"{}"), large(10 * part), large(1)]
    assert [len(portion) for portion in portions(batch)] == [2, 1, 1, 1, 1, 1]
    assert [a for portion in portions(batch) for a in portion] == batch
