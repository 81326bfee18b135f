"""A running service and what can be seen of it from outside: metrics, log lines, rows, queues."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import aio_pika
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from broker.settings import Settings
from canonical.codec import encode
from canonical.events import SOURCE
from handlers import CATALOGUE, HANDLERS
from ops.configuration import load
from ops.queues import topology_of
from tests.amqp_wire import RawPublisher
from tests.fixtures.gearbox import item
from tests.hostile.found import (
    Before,
    Found,
    assert_applied_once,
    connected,
    found_of,
    holds,
    is_settled,
    until,
)
from tests.hostile.sending import KIND, OWN, Sent, own, supplier, unique
from tests.hostile.service import LONGEST_TURN

TAKEN = [name for who, name in HANDLERS if who == SOURCE]

ROOT = Path(__file__).parents[2]
READY_S = 30.0
# Nothing hostile may keep the event loop longer than about 50 ms; three times that, so that only a
# change of behaviour fails.
LONGEST_TURN_S = 0.150
_opener = build_opener(ProxyHandler({}))

# coupa.* is here so that one queue takes contracts with every kind of value.
CONTRACTS = '["arena.change", "pdx.package", "coupa.supplier", "coupa.contracts"]'
CONFIGURATION = """\
listen_port = 0

[settings]
database_url = "{database_url}"
amqp_url = "{amqp_url}"
max_body_bytes = {max_body_bytes}
systems = []

[[settings.sources]]
name = "plm"
kinds = ["{kind}"]
contracts = {contracts}

[[settings.sources]]
name = "mes"
kinds = ["{kind}"]
contracts = {contracts}

[[settings.sources]]
name = "guarded"
kinds = ["{kind}"]
contracts = {contracts}
users = ["{user}"]

[rules]
plants = []
distribution = []
routes = []
central_purchasing_org = "1000"
"""


class Running:
    """The service as a process of its own, its servers, and one look at all of it."""

    def __init__(
        self, *, folder: Path, database_url: str, amqp_url: str, max_body_bytes: int
    ) -> None:
        self.database_url = database_url
        self.amqp_url = amqp_url
        self._log = folder / "service.log"
        self._config = folder / "layshaft.toml"
        self._config.write_text(
            CONFIGURATION.format(
                database_url=database_url,
                amqp_url=amqp_url,
                max_body_bytes=max_body_bytes,
                contracts=CONTRACTS,
                kind=KIND,
                user=self.user,
            )
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""
        self._longest_s = 0.0

    @property
    def user(self) -> str:
        """The login everybody here uses."""
        return self.amqp_url.partition("://")[2].partition(":")[0]

    def start(self) -> None:
        """Ready; starting it again changes nothing."""
        if self._process is not None:
            return
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.hostile.service", str(self._config)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait(lambda: any(line["event"] == "started" for line in self.lines()))
        port = next(line["port"] for line in self.lines() if line["event"] == "started")
        self._url = f"http://127.0.0.1:{port}"
        self._wait(lambda: self._get("/readyz") is not None)

    def stop(self) -> None:
        """Ended by SIGTERM; fails if it ended in any other way."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(READY_S) == 0, self._log.read_text()

    def kill(self) -> None:
        """Ended, however it was."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _wait(self, holds: Callable[[], bool]) -> None:
        assert self._process is not None
        end = time.monotonic() + READY_S
        while not holds():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < end, self._log.read_text()
            time.sleep(0.02)

    def _get(self, path: str) -> str | None:
        try:
            with _opener.open(self._url + path, timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            return None

    # Looking

    def lines(self) -> list[dict[str, Any]]:
        """The log; each line of it is one JSON object."""
        whole = self._log.read_bytes().rpartition(b"\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def warnings(self) -> list[dict[str, Any]]:
        """What the log says above the ordinary."""
        return [line for line in self.lines() if line["level"] not in ("info", "debug")]

    def metric(self, name: str) -> float:
        """The sum over its labels."""
        text = self._get("/metrics")
        assert text is not None
        samples = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]
        # Each look makes the service forget; what it said is kept here.
        self._longest_s = max(
            self._longest_s, *(s.value for s in samples if s.name == LONGEST_TURN)
        )
        return sum(sample.value for sample in samples if sample.name == name)

    def peak_bytes(self) -> int:
        """The most memory the process has had in RAM."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        (peak,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1024

    def longest_turn_s(self) -> float:
        """CPU seconds of the event loop's longest turn since the last look."""
        self.metric(LONGEST_TURN)
        longest_s, self._longest_s = self._longest_s, 0.0
        return longest_s

    async def take(self, *sent: Sent, neighbours: int = 2) -> list[Found]:
        """What became of these messages, which stood in one queue between healthy neighbours."""
        around = [self.neighbour(sent[0]) for _ in range(2 * neighbours)]
        before = await self.before()
        await self.publish(*around[:neighbours], *sent, *around[neighbours:])
        return await self.after(before, sent, around)

    async def before(self) -> Before:
        """What there is already."""
        self._longest_s = 0.0
        async with connected(self.database_url) as database:
            return Before(
                received=self.metric("layshaft_messages_received_total"),
                warnings=len(self.warnings()),
                seq=await database.fetchval("select coalesce(max(seq), 0) from message"),
                case=await database.fetchval("select coalesce(max(id), 0) from exception_case"),
                audit=await database.fetchval("select coalesce(max(id), 0) from audit"),
            )

    async def after(
        self, before: Before, sent: Sequence[Sent], around: Sequence[Sent]
    ) -> list[Found]:
        """What became of the messages, and nothing else happened.

        True when it returns: everything was delivered once and acknowledged, the neighbours are
        applied once each, nothing is tried again, and no connection was lost.
        """
        async with connected(self.database_url) as database:
            for message in (*sent, *around):
                await until(lambda m=message: is_settled(database, m, before.seq), "all settled")  # type: ignore[misc]
            for message in around:
                await assert_applied_once(database, message, before.seq)
            found = [await found_of(database, message, before) for message in sent]
            opened = await database.fetch(
                "select id, code, place from exception_case where id > $1 order by id", before.case
            )
            assert len(opened) == sum(len(f.cases) for f in found)
            # Each has its one audit row, and nothing else is audited.
            audited = await database.fetch(
                "select (detail->>'case')::bigint as id, detail->>'code' as code, subject as place,"
                " actor, action from audit where id > $1 order by 1",
                before.audit,
            )
            as_opened = [{**row, "actor": "layshaft", "action": "case-opened"} for row in opened]
            assert [dict(row) for row in audited] == as_opened
            retried = "select count(*) from pending where state in ('ready', 'retry')"
            assert await database.fetchval(retried) == 0
            emitted = """
                select count(*) from message
                where direction = 'out' and seq > $1 and kind = any($2)
            """
            events = await database.fetchval(emitted, before.seq, TAKEN)
        lines = await self._lines_about(found, before)
        # The events that follow and are taken here are received as well, once each.
        expected = before.received + len(sent) + len(around) + events
        await until(lambda: holds(self._received() >= expected), "what follows is received")
        assert self._received() == expected
        assert self.metric("layshaft_amqp_reconnects_total") == 0
        return [
            msgspec.structs.replace(f, lines=tuple(w for w in lines if w.get("id") == f.id))
            for f in found
        ]

    async def _lines_about(self, found: Sequence[Found], before: Before) -> list[dict[str, Any]]:
        """The warnings in the log since: one for each message that was refused, no other."""
        refused = sum(1 for one in found if one.cases)
        await until(
            lambda: holds(len(self.warnings()) >= before.warnings + refused), "it is in the log"
        )
        lines = self.warnings()[before.warnings :]
        assert len(lines) == refused, lines
        return lines

    def _received(self) -> float:
        return self.metric("layshaft_messages_received_total")

    async def repeats(self, sent: Sent) -> list[tuple[str, str, str]]:
        """What it is a repeat of, once it was absorbed as one."""
        query = "select subscription, source, id from duplicate order by at offset $1"
        async with connected(self.database_url) as database:
            known = await database.fetchval("select count(*) from duplicate")
            await self.publish(sent)

            async def is_absorbed() -> bool:
                return bool(await database.fetch(query, known))

            await until(is_absorbed, "it is absorbed as a repeat")
            rows = await database.fetch(query, known)
            return [(row["subscription"], row["source"], row["id"]) for row in rows]

    async def publish(self, *sent: Sent) -> None:
        """All of them are in their queues, in this order."""
        async with RawPublisher.connect(self.amqp_url) as publisher:
            for message in sent:
                await publisher.publish(
                    message.routing_key.encode(),
                    message.body,
                    flag=message.flags,
                    properties=message.raw,
                    exchange=message.exchange.encode(),
                )

    def neighbour(self, among: Sent) -> Sent:
        """A healthy message for the same queue, with an effect that can be counted."""
        if among.exchange == OWN:
            number = unique("OWN")
            return own(among.routing_key, f"item/{number}", encode(item(number)))
        number = unique("S")
        return supplier(number, exchange=among.exchange, user=self.user)

    def settings(self) -> Settings:
        """As it reads them."""
        return load(self._config, {}).settings

    async def left_in_queues(self) -> dict[str, int]:
        """Messages by queue, where there are any; true of a stopped service only."""
        left: dict[str, int] = {}
        async with await aio_pika.connect(self.amqp_url) as connection:
            channel = await connection.channel()
            for queue in topology_of(self.settings(), CATALOGUE.events).queues:
                declared = await channel.declare_queue(queue.name, passive=True)
                if count := declared.declaration_result.message_count:
                    left[queue.name] = count
        return left


Prepare = Callable[..., AbstractContextManager[Running]]
