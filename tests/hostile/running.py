"""A running service and what can be seen of it from outside: metrics, log lines, rows, queues."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import aio_pika
import asyncpg
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from canonical.codec import encode
from canonical.events import SOURCE
from ops.app import topology_of
from ops.configuration import load
from tests.amqp_wire import RawPublisher
from tests.fixtures.gearbox import item
from tests.hostile.sending import KIND, OWN, Sent, own, supplier, unique
from tests.hostile.service import LONGEST_TURN

ROOT = Path(__file__).parents[2]
READY_S = 30.0
DEADLINE_S = 15.0
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


class Case(msgspec.Struct, frozen=True):
    """What a case says, without its free text."""

    code: str
    word: str
    owner: str
    place: str


class Found(msgspec.Struct, frozen=True):
    """What became of one message.

    kept: the body as it stands in the log. lines: warnings about it in the service's log.
    """

    id: str
    source: str
    key: str
    outcome: str
    attributes: Mapping[str, str]
    kept: bytes
    cases: tuple[Case, ...]
    lines: tuple[Mapping[str, Any], ...]


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
        """Ready."""
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
        assert self._process is not None
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

    def longest_turn_s(self) -> float:
        """CPU seconds of the event loop's longest turn since the last look."""
        self.metric(LONGEST_TURN)
        longest_s, self._longest_s = self._longest_s, 0.0
        return longest_s

    async def take(self, *sent: Sent, neighbours: int = 2) -> list[Found]:
        """What became of these messages, which stood in one queue between healthy neighbours.

        True when it returns: everything was delivered once and acknowledged, the neighbours are
        applied once each, nothing is tried again, and no connection was lost.
        """
        around = [self._neighbour(sent[0]) for _ in range(2 * neighbours)]
        queue = [*around[:neighbours], *sent, *around[neighbours:]]
        received = self.metric("layshaft_messages_received_total")
        self._longest_s = 0.0
        said = len(self.warnings())
        async with connected(self.database_url) as database:
            cases = await database.fetchval("select coalesce(max(id), 0) from exception_case")
            seq = await database.fetchval("select coalesce(max(seq), 0) from message")
            await self.publish(*queue)
            for message in queue:
                await until(lambda m=message: is_settled(database, m, seq), "all are settled")  # type: ignore[misc]
            for message in around:
                await assert_applied_once(database, message, seq)
            found = [await self._found(database, message, seq, cases) for message in sent]
            judged = sum(len(one.cases) for one in found)
            opened = await database.fetchval(
                "select count(*) from exception_case where id > $1", cases
            )
            assert opened == judged, "a case that belongs to none of these messages"
            events = await database.fetchval(
                "select count(*) from message where direction = 'out' and seq > $1", seq
            )
            retried = await database.fetch("select * from pending where state in ('ready','retry')")
            assert retried == []
        refused = sum(1 for one in found if one.cases)
        await until(lambda: holds(len(self.warnings()) >= said + refused), "it is in the log")
        lines = self.warnings()[said:]
        assert len(lines) == refused, lines
        assert self.metric("layshaft_amqp_reconnects_total") == 0
        # The events that follow are received as well, once each.
        expected = received + len(queue) + events
        await until(
            lambda: holds(self.metric("layshaft_messages_received_total") >= expected),
            "what follows is received",
        )
        assert self.metric("layshaft_messages_received_total") == expected
        return [
            msgspec.structs.replace(
                one, lines=tuple(line for line in lines if line.get("id") == one.id)
            )
            for one in found
        ]

    async def repeats(self, sent: Sent) -> dict[tuple[str, str, str], int]:
        """What it was a repeat of, and how often, once it was absorbed."""
        before = self.metric("layshaft_inbox_duplicates_total")
        await self.publish(sent)
        await until(
            lambda: holds(self.metric("layshaft_inbox_duplicates_total") > before),
            "it is absorbed as a repeat",
        )
        async with connected(self.database_url) as database:
            rows = await database.fetch(
                "select subscription, source, id, count(*) from duplicate group by 1, 2, 3"
            )
        return {(row["subscription"], row["source"], row["id"]): row["count"] for row in rows}

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

    async def _found(self, database: Any, sent: Sent, seq: int, since: int) -> Found:
        row = await database.fetchrow(f"{_LOGGED} order by m.seq limit 1", digest_of(sent), seq)
        cases = await database.fetch(
            "select code, word, owner, place from exception_case"
            " where message_at = $1 and message_seq = $2 and id > $3",
            row["at"],
            row["seq"],
            since,
        )
        return Found(
            id=row["id"],
            source=row["source"],
            key=row["key"],
            outcome=row["outcome"],
            attributes=json.loads(row["attributes"]),
            kept=row["body"],
            cases=tuple(Case(**dict(case)) for case in cases),
            lines=(),
        )

    def _neighbour(self, among: Sent) -> Sent:
        """A healthy message for the same queue, with an effect that can be counted."""
        if among.exchange == OWN:
            number = unique("OWN")
            return own(among.routing_key, f"item/{number}", encode(item(number)))
        number = unique("S")
        return supplier(number, exchange=among.exchange, user=self.user)

    async def left_in_queues(self) -> dict[str, int]:
        """Messages by queue, where there are any; true of a stopped service only."""
        left: dict[str, int] = {}
        async with await aio_pika.connect(self.amqp_url) as connection:
            channel = await connection.channel()
            for queue in topology_of(load(self._config, {}).settings, ("item.released",)).queues:
                declared = await channel.declare_queue(queue.name, passive=True)
                if count := declared.declaration_result.message_count:
                    left[queue.name] = count
        return left


_LOGGED = """
    select m.*, i.outcome from message m
    join inbox i on i.message_at = m.at and i.message_seq = m.seq
    where m.direction = 'in' and m.seq > $2 and sha256(m.body) = $1
"""


def digest_of(sent: Sent) -> bytes:
    """By which its body is found in the log."""
    return hashlib.sha256(sent.body).digest()


async def is_settled(database: Any, sent: Sent, seq: int) -> bool:
    """Its fate is committed, at a place in the log after `seq`."""
    query = f"select true from ({_LOGGED}) m limit 1"
    return bool(await database.fetchval(query, digest_of(sent), seq))


async def assert_applied_once(database: Any, sent: Sent, seq: int) -> None:
    """The document it states is there in its first version, and nothing of it is there twice."""
    rows = await database.fetch(_LOGGED, digest_of(sent), seq)
    assert [row["outcome"] for row in rows] == ["applied"]
    key = rows[0]["key"]

    async def is_known() -> bool:
        return bool(await database.fetchval("select true from document where key = $1", key))

    await until(is_known, f"{key} is a document")
    assert await database.fetchval("select count(*) from document_version where key = $1", key) == 1
    events = await database.fetchval(
        "select count(*) from message where direction = 'out' and key = $1", key
    )
    assert events == (0 if rows[0]["source"] == SOURCE else 1)


async def holds(condition: bool) -> bool:
    return condition


async def until(condition: Callable[[], Any], what: str) -> None:
    """Looks again and again until it holds; fails after the deadline."""
    end = time.monotonic() + DEADLINE_S
    while not await condition():
        assert time.monotonic() < end, f"not within {DEADLINE_S} s: {what}"
        await asyncio.sleep(0.02)


Prepare = Callable[..., AbstractContextManager[Running]]


class connected:
    """A connection to the database of the service."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> Any:
        self._connection = await asyncpg.connect(self._url)
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()


def case(found: Found, code: str, where: str, *, word: str = "data_quality") -> Sequence[Case]:
    """The one case of a message that was not read, exactly."""
    about = f"message {found.id[:16]} from {found.source}"
    owner = f"sender ({found.source})"
    return (Case(code, word, owner, f"{about}: {where}" if where else about),)
