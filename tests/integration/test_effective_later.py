"""A change that takes effect in a few seconds, while the service is down: its process and the
stand-in targets, whose journals say what reaches them. What happens while it runs is told in
tests/scenarios/stories."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aio_pika
import pytest

from broker.topology import inbound_exchange
from ops.demo.configuration import with_addresses
from ops.demo.processes import Service
from ops.sandbox.process import StandIn, running
from ops.stack import Servers, management
from ops.stack.processes import free_port
from tests.fixtures.pin_change import (
    ARM,
    ERP_SEED,
    PIN,
    package,
    procurement_seed,
    received,
)
from tests.integration.toy import Bench, bench_on, until

# To take the package, plan it and ask procurement, on a slow machine too.
SOON = timedelta(seconds=20)
WITHIN_S = 60.0
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
async def hall(database_url: str, own_amqp_url: str, tmp_path: Path) -> AsyncIterator[Hall]:
    """The service is running, with both stand-ins."""
    secret = tmp_path / "secret"
    secret.write_text("demo")
    config, port = tmp_path / "layshaft.toml", free_port()
    with (
        running("erp", tmp_path / "erp", ERP_SEED) as erp,
        running("procurement", tmp_path / "procurement", procurement_seed()) as procurement,
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
