"""A change with very many components in the pipeline: steps, seconds, memory, and what waits.

Events go from the log to the pipeline without a broker between: what is measured is ours.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import date
from tempfile import TemporaryFile
from time import monotonic
from typing import Any

import msgspec
import pytest

from broker.failpoints import FailPoints
from broker.intake import Arrival
from broker.packages import pieces_of, put_package
from broker.pipeline import Pipeline
from broker.policy import RetryPolicy
from broker.store import Position
from broker.store.messages import log_position
from broker.unit import SqlStorage
from canonical.codec import encode
from canonical.events import SOURCE
from canonical.guards import Guards
from canonical.handler import Delivery, Handler
from canonical.package import PACKAGE_TYPE, PackageReference
from canonical.rules import Distribution, Plant, Route, Rules
from handlers import CATALOGUE, HANDLERS
from tests.fixtures.large_package import TOP, write_package
from tests.integration.toy import Bench, bench_on

BATCH = 200
MOST_MIB = 1024
RULES = Rules(
    plants=(
        Plant(
            code="1010",
            name="Regensburg",
            zone="Europe/Berlin",
            sourcing="central",
            purchasing_org="1000",
            purchasing_group="001",
        ),
    ),
    distribution=(Distribution("Gearboxes", ("1010",)),),
    routes=(Route("*", "*", "erp", date(2020, 1, 1)),),
    central_purchasing_org="1000",
    guards=Guards(steps="off"),
)


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench with the time-out of the running service."""
    async with bench_on(database_url) as made:
        yield made


def pipeline(bench: Bench) -> Pipeline:
    """A pipeline with the real handlers, of one plant."""

    def recognise(delivery: Delivery) -> Handler:
        return CATALOGUE.recognise(
            (SOURCE,) if delivery.source == SOURCE else ("pdx.package",), delivery
        )

    return Pipeline(
        lane="standard",
        storage=SqlStorage(bench.database),
        recognise=recognise,
        handler_named=CATALOGUE.handler_named,
        rules=RULES,
        policy=RetryPolicy(),
        metrics=bench.metrics,
        fail_points=FailPoints({}),
        committed=lambda: None,
    )


async def package(bench: Bench, lines: int) -> Arrival:
    with TemporaryFile() as file:
        write_package(file, lines=lines, components=lines)
        file.seek(0)
        row = await put_package(
            bench.database,
            pieces_of(file),
            name="large.xml",
            content_type="application/xml",
            by="somebody",
        )
    body = encode(PackageReference(row.reference, row.bytes, row.sha256.hex()))
    return Arrival(Delivery("plm", "product-definition", body, PACKAGE_TYPE), "standard", "in.plm")


async def events(bench: Bench, after: Position | None) -> Sequence[Arrival]:
    """The next events of ours that we take ourselves, as they come: large ones by reference."""
    rows = await bench.rows(
        """
        select at, seq, kind, attributes::text as attributes, octet_length(body) as n,
               case when octet_length(body) > 65536 then '' else body end as body
        from message
        where direction = 'out' and seq > $1 and kind = any($3) order by seq limit $2
        """,
        after.seq if after else 0,
        BATCH,
        [name for who, name in HANDLERS if who == SOURCE],
    )
    return [_event(r) for r in rows]


def _event(r: dict[str, Any]) -> Arrival:
    position = log_position(f"{r['at'].isoformat()}/{r['seq']}")
    attributes = msgspec.json.decode(str(r["attributes"]), type=dict[str, str])
    if r["body"] == b"":
        attributes |= {"dataref": "log/x", "databytes": str(r["n"])}
    delivery = Delivery(SOURCE, r["kind"], r["body"], attributes=attributes)
    return Arrival(delivery, "standard", "events", logged=position)


async def beat(gaps: list[float]) -> None:
    """How long the event loop keeps others waiting."""
    while True:
        before = monotonic()
        await asyncio.sleep(0.01)
        gaps.append(monotonic() - before - 0.01)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(1_000, id="1000"),
        pytest.param(50_000, id="50000", marks=[pytest.mark.full, pytest.mark.timeout(1800)]),
    ],
)
async def test_every_line_of_a_large_bom_comes_to_its_steps(
    bench: Bench, lines: int, record_property: Callable[[str, object], None]
) -> None:
    path = pipeline(bench)
    arrival = await package(bench, lines)
    gaps: list[float] = []
    beating = asyncio.create_task(beat(gaps))
    took: dict[str, float] = {}
    started = monotonic()
    await path.take([arrival])
    took["translated"] = monotonic() - started
    last: Position | None = None
    while batch := await events(bench, last):
        started = monotonic()
        await path.take(batch)
        name = "planned" if batch[-1].delivery.kind.startswith("engineering") else "stored"
        took[name] = took.get(name, 0) + monotonic() - started
        last = batch[-1].logged
    beating.cancel()
    assert await bench.cases() == []
    rows = await bench.rows("select verb, state, count(*) as n from step group by verb, state")
    # Of each part: its master and its plant view in the ERP, the catalogue and the question for
    # its contracts in procurement, the wait for the answer. Of the assembly: master, view, BOM.
    assert {(r["verb"], r["state"]): r["n"] for r in rows} == {
        ("put-item", "ready"): lines + 1,
        ("extend-to-plant", "waiting"): lines + 1,
        ("put-bom", "waiting"): 1,
        ("publish-item", "ready"): lines,
        ("read-coverage", "ready"): lines,
        ("await-fact", "waiting"): lines,
        ("announce", "waiting"): 2,
    }
    boms = await bench.column("select key from document where key like 'bom/%'")
    assert boms == [f"bom/{TOP}"]
    # The package and its large event stand in the log once each.
    assert await bench.column("select count(*) from message where octet_length(body) > 65536") == [
        1
    ]
    gaps.sort()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    for name, figure in {
        "lines": lines,
        **{f"{name}_s": round(seconds, 1) for name, seconds in took.items()},
        "peak_mib": peak,
        "loop_late_ms": round(gaps[-1] * 1000),
        "looks": len(gaps),
        "late_looks": sum(gap > 0.05 for gap in gaps),
    }.items():
        record_property(name, figure)
    assert peak < MOST_MIB
