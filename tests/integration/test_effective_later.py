"""A change that takes effect in a few seconds, with the whole service and the stand-in targets:
their journals say what reaches them, and when."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aio_pika
import pytest

from broker.store import views
from broker.store.change_list import changes
from broker.topology import inbound_exchange
from ops.change_status import status_of
from ops.demo.configuration import with_addresses
from ops.demo.processes import Service
from ops.sandbox.process import StandIn, running
from ops.stack import Servers, management
from ops.stack.processes import free_port
from tests.fixtures.pdx_text import (
    affected_xml,
    bom_xml,
    change_xml,
    item_xml,
    line_xml,
    package_xml,
)
from tests.fixtures.pin_change import (
    ARM,
    CHANGE,
    ERP_SEED,
    PIN,
    RELEASED,
    package,
    procurement_seed,
    received,
    table,
)
from tests.integration.toy import Bench, bench_on, until

# To take the package, plan it and ask procurement, on a slow machine too.
SOON = timedelta(seconds=20)
WITHIN_S = 60.0
OTHER_PIN, REPLACED = "PIN-8", "ECO-7701"
SOURCED = procurement_seed(items=(PIN, OTHER_PIN))
STATUS = """
[rules.obsolete]
plant_status = "Z5"
"""
SHOWN = (
    ("put-item", ARM, ""),
    ("put-item", PIN, ""),
    *(
        (word, number, plant)
        for plant in ("1010", "2010")
        for word, number in (
            ("extend-to-plant", ARM),
            ("extend-to-plant", PIN),
            ("put-bom", ARM),
            ("put-info-record", f"S-100/{PIN}"),
        )
    ),
    ("publish-item", PIN, ""),
)


class Hall:
    """The service, its targets, and what has become of the change so far."""

    def __init__(
        self, bench: Bench, service: Service, amqp_url: str, erp: StandIn, procurement: StandIn
    ) -> None:
        self.bench = bench
        self.service = service
        self._amqp_url = amqp_url
        self.erp = erp
        self.procurement = procurement

    async def send(self, body: bytes) -> None:
        """The package has arrived at the broker."""
        async with await aio_pika.connect(self._amqp_url) as connection:
            channel = await connection.channel(on_return_raises=True)
            exchange = await channel.get_exchange(inbound_exchange("plm"), ensure=False)
            message = aio_pika.Message(body, content_type="application/xml")
            await exchange.publish(message, "product-definition", mandatory=True, timeout=10)

    async def states(self) -> dict[tuple[str, str, str], str]:
        """Of the current steps, by verb, object and plant."""
        rows = await self.bench.rows("select * from step order by generation, id")
        return {(r["verb"], r["object_id"], r["plant"]): r["state"] for r in rows}

    async def is_ready(self) -> bool:
        """All is asked and known, and all that a target would show waits."""
        states = await self.states()
        asked = [states.get(("read-coverage", PIN, "")), states.get(("read-supplier", "S-100", ""))]
        waits = {state for (verb, *_), state in states.items() if verb == "await-fact"}
        shown = {states.get(name) for name in SHOWN}
        return asked == ["done", "done"] and waits <= {"done"} and shown == {"waiting"}

    async def is_complete(self) -> bool:
        return await self.bench.column("select state from ledger") == ["complete"]

    async def writes(self) -> list[datetime]:
        """When each write reached a target."""
        found = [*await received(self.erp.url), *await received(self.procurement.url)]
        return sorted(datetime.fromisoformat(entry.at) for entry in found if entry.is_write)


@pytest.fixture
def own_amqp_url(servers: Servers) -> Iterator[str]:
    """An empty virtual host: what one test leaves in a queue is nothing to the next one."""
    name = f"{management.vhost_name(servers.amqp_url)}_{secrets.token_hex(4)}"
    yield management.create_vhost(servers.management_url, servers.amqp_url, name)
    management.delete_vhost(servers.management_url, name)


@pytest.fixture
async def hall(
    request: pytest.FixtureRequest, database_url: str, own_amqp_url: str, tmp_path: Path
) -> AsyncIterator[Hall]:
    """The service is running, with both stand-ins. Parameter: rules beside those of the demo."""
    secret = tmp_path / "secret"
    secret.write_text("demo")
    config, port = tmp_path / "layshaft.toml", free_port()
    with (
        running("erp", tmp_path / "erp", ERP_SEED) as erp,
        running("procurement", tmp_path / "procurement", SOURCED) as procurement,
    ):
        config.write_text(
            with_addresses(
                listen_port=port,
                database_url=database_url,
                amqp_url=own_amqp_url,
                erp_url=erp.url,
                procurement_url=procurement.url,
                secret_file=secret,
            )
            + getattr(request, "param", "")
        )
        service = Service(
            config=config,
            log=tmp_path / "layshaft.log",
            url=f"http://127.0.0.1:{port}",
            adopt=lambda pid, name: None,
        )
        try:
            async with bench_on(database_url) as bench:
                await service.start()
                yield Hall(bench, service, own_amqp_url, erp, procurement)
        finally:
            await service.stop()


def soon(after: timedelta = SOON) -> datetime:
    """A full second, so long from now."""
    return datetime.now(UTC).replace(microsecond=0) + after


async def passed(moment: datetime) -> None:
    """The moment is over by two seconds: whatever would happen at it has happened."""
    left = moment + timedelta(seconds=2) - datetime.now(UTC)
    await asyncio.sleep(max(left.total_seconds(), 0))


async def test_nothing_is_written_before_the_time_and_everything_at_it(hall: Hall) -> None:
    start = soon()
    await hall.send(package("P-1", effective=start))
    await until(hall.is_ready, "asked and planned", within_s=WITHIN_S)
    assert datetime.now(UTC) < start, "this machine is too slow for the test"
    async with hall.bench.database.transaction() as tx:
        view = await views.change(tx, CHANGE)
        (row,) = (await changes(tx, limit=10)).rows
    assert view is not None
    assert row.waits_for == ("calendar",)
    said = {blocker.text for blocker in status_of(view, datetime.now(UTC)).blockers}
    assert said == {f"waits until {start:%Y-%m-%d %H:%M} UTC, when {CHANGE} takes effect"}
    await until(hall.is_complete, "complete", within_s=WITHIN_S)
    writes = await hall.writes()
    assert writes
    assert start <= writes[0]
    asked = [e for e in await received(hall.procurement.url) if "/api/contracts" in e.path]
    assert datetime.fromisoformat(asked[0].at) < start
    states = await hall.states()
    assert {states[name] for name in SHOWN} == {"done"}
    assert {row["Product"] for row in await table(hall.erp.url, "A_Product")} == {ARM, PIN}
    assert len(await table(hall.erp.url, "A_ProductPlant")) == 4
    assert len(await table(hall.erp.url, "MaterialBOM")) == 2
    reasons = await hall.bench.column("select reason from step where verb = 'await-time'")
    assert reasons == ["its time has come"]
    late = await hall.bench.column(
        "select due_at from step where verb = 'put-item' order by object_id"
    )
    assert late == [start + timedelta(days=1)] * 2
    assert await hall.bench.cases() == []


async def test_a_correction_moves_the_time(hall: Hall) -> None:
    first = soon()
    second = first + timedelta(seconds=10)
    await hall.send(package("P-1", effective=first))
    await until(hall.is_ready, "planned", within_s=WITHIN_S)
    await hall.send(package("P-2", effective=second, stated_at="2025-03-03T11:00:00Z"))

    async def is_moved() -> bool:
        waits = "select wake_at from step where verb = 'await-time' and state = 'waiting'"
        return await hall.bench.column(waits) == [second]

    await until(is_moved, "planned for the other day", within_s=WITHIN_S)
    assert datetime.now(UTC) < first, "this machine is too slow for the test"
    await passed(first)
    assert await hall.writes() == []
    assert not await hall.is_complete()
    await until(hall.is_complete, "complete", within_s=WITHIN_S)
    writes = await hall.writes()
    assert writes
    assert second <= writes[0]
    assert await hall.bench.cases() == []


async def test_a_service_that_was_down_at_the_time_goes_on_at_once(hall: Hall) -> None:
    start = soon()
    await hall.send(package("P-1", effective=start))
    await until(hall.is_ready, "planned", within_s=WITHIN_S)
    await hall.service.stop()
    assert datetime.now(UTC) < start, "this machine is too slow for the test"
    await passed(start)
    assert await hall.writes() == []
    assert {(await hall.states())[name] for name in SHOWN} == {"waiting"}
    await hall.service.start()
    await until(hall.is_complete, "complete", within_s=WITHIN_S)
    assert await hall.writes()
    assert {(await hall.states())[name] for name in SHOWN} == {"done"}
    assert await hall.bench.cases() == []


def replacement(effective: datetime) -> bytes:
    """The arm takes another pin in revision C, and the pin so far is obsolete."""
    day = {"effectiveDate": effective.isoformat()}
    stated = {"revisionReleasedDate": "2025-04-01T10:00:00Z", "category": "Gearboxes"}
    lines = bom_xml(line_xml(OTHER_PIN, itemQuantity="2", proprietarySequenceIdentifier="10"))
    return package_xml(
        item_xml(ARM, lines, revisionIdentifier="C", **stated),
        item_xml(OTHER_PIN, makeBuy="Buy", description="Pin, coated", **stated),
        item_xml(
            PIN,
            makeBuy="Buy",
            description="Pin, hardened",
            revisionIdentifier="B",
            revisionReleasedDate=RELEASED,
            category="Gearboxes",
            globalLifeCyclePhaseCode="Obsolete",
        ),
        changes=change_xml(
            affected_xml(ARM, newRevision="C", oldRevision="B", **day),
            affected_xml(
                PIN, newRevision="B", oldRevision="B", globalLifeCyclePhaseCode="Obsolete", **day
            ),
            changeNumber=REPLACED,
            changeStatusDate="2025-04-01T10:00:00Z",
        ),
        identifier="P-3",
        generated="2025-04-01T10:00:00Z",
    )


@pytest.mark.parametrize("hall", [STATUS], indirect=True)
async def test_an_obsolete_part_is_bought_until_its_day_and_then_in_no_plant(hall: Hall) -> None:
    await hall.send(package("P-1"))
    await until(hall.is_complete, "complete", within_s=WITHIN_S)
    start = soon()
    await hall.send(replacement(start))

    async def stops() -> set[str | None]:
        states = await hall.states()
        return {states.get(("put-plant-status", PIN, plant)) for plant in ("1010", "2010")}

    async def is_planned() -> bool:
        return await stops() == {"waiting"}

    async def codes() -> dict[tuple[str, str], str]:
        rows = await table(hall.erp.url, "A_ProductPlant")
        return {(row["Product"], row["Plant"]): row["ProfileCode"] for row in rows}

    async def all_complete() -> bool:
        return await hall.bench.column("select state from ledger") == ["complete", "complete"]

    await until(is_planned, "planned", within_s=WITHIN_S)
    assert set((await codes()).values()) == {""}
    assert datetime.now(UTC) < start, "this machine is too slow for the test"
    await until(all_complete, "complete", within_s=WITHIN_S)
    assert await codes() == {
        (number, plant): "Z5" if number == PIN else ""
        for number in (ARM, PIN, OTHER_PIN)
        for plant in ("1010", "2010")
    }
    later = [e for e in await received(hall.erp.url) if datetime.fromisoformat(e.at) >= start]
    writes = [e.path for e in later if e.is_write]
    boms = [at for at, path in enumerate(writes) if "BILL_OF_MATERIAL" in path]
    stopped = [
        at for at, path in enumerate(writes) if "A_ProductPlant(" in path and f"'{PIN}'" in path
    ]
    # In each plant the BOM comes first, whichever plant does.
    assert len(stopped) == 2
    assert boms[0] < stopped[0]
    assert max(boms) < stopped[1]
    assert await hall.bench.cases() == []
