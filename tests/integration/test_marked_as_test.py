"""What its sender marks as a test reaches no system, whether its format is read here or not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date

import pytest
from msgspec.structs import replace

from broker.failpoints import FailPoints
from broker.intake import Arrival
from broker.pipeline import Pipeline
from broker.policy import RetryPolicy
from broker.store import Position
from broker.store.messages import delivery_of
from broker.unit import SqlStorage
from canonical.events import SOURCE
from canonical.handler import Delivery
from canonical.rules import Route
from handlers import CATALOGUE, HANDLERS
from handlers.systems.coupa.outbound import DRIVER
from tests.corpus import CORPUS
from tests.fixtures.marked_as_test import FOREIGN
from tests.integration.test_distribution import Suite
from tests.integration.toy import RULES, Bench, bench_on, turn_until_idle

ORDERS = (CORPUS / "idoc" / "orders.xml").read_text()
NUMBER, DOCNUM = "4500000670", "0000000000146002"
ROUTED = replace(RULES, routes=(Route("purchase-order", "*", "erp", date(2020, 1, 1)),))
CONTRACTS = tuple(message_type for who, message_type in HANDLERS if who != SOURCE)


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    async with bench_on(database_url) as made:
        yield made


def pipeline(bench: Bench) -> Pipeline:
    """A pipeline with the real handlers, whose sources may send everything that somebody reads."""
    return Pipeline(
        lane="standard",
        storage=SqlStorage(bench.database),
        recognise=lambda d: CATALOGUE.recognise((SOURCE,) if d.source == SOURCE else CONTRACTS, d),
        handler_named=CATALOGUE.handler_named,
        rules=ROUTED,
        policy=RetryPolicy(),
        metrics=bench.metrics,
        fail_points=FailPoints({}),
        committed=lambda: None,
    )


async def take(bench: Bench, body: bytes) -> None:
    """A partner's message is decided, and the events that it becomes."""
    path = pipeline(bench)
    await path.take([Arrival(Delivery("partner", "", body), "standard", "in.partner")])
    said = await bench.rows("select * from message where direction = 'out' order by seq")
    await path.take(
        [
            # A row of the log as the library gives it, by name.
            Arrival(
                delivery_of(row),  # type: ignore[arg-type]
                row["lane"],
                f"{row['kind']}.{row['lane']}",
                logged=Position(row["at"], row["seq"]),
            )
            for row in said
        ]
    )


async def reached(bench: Bench) -> list[tuple[str, str]]:
    """The calls that a productive target gets when all is done that can be."""
    suite = Suite()
    await turn_until_idle(bench.dispatcher(driver=DRIVER, perform=suite.perform))
    return suite.calls


async def test_an_idoc_that_is_marked_as_a_test_reaches_nobody(bench: Bench) -> None:
    marked = ORDERS.replace("</EDI_DC40>", "<TEST>X</TEST></EDI_DC40>")
    await take(bench, marked.encode())
    assert await bench.cases() == ["test-message"]
    assert await bench.count("step") == await bench.count("document") == 0
    assert await reached(bench) == []
    # Without the mark it is put where the route says.
    meant = ORDERS.replace(NUMBER, "4500000671").replace(DOCNUM, "0000000000146003")
    await take(bench, meant.encode())
    assert await bench.count("step") == 1
    assert await reached(bench) != []
    assert await bench.cases() == ["test-message"]


@pytest.mark.parametrize("form", FOREIGN)
async def test_a_test_in_a_format_that_nobody_reads_is_a_case_and_no_step(
    bench: Bench, form: str
) -> None:
    await take(bench, FOREIGN[form].encode())
    assert await bench.cases() == ["contract-unknown"]
    assert await bench.count("step") == await bench.count("document") == 0
    assert await reached(bench) == []
