"""One story at work: the service as it is composed, its servers, and stand-ins of its targets."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import aio_pika
import asyncpg
import msgspec
from aio_pika.abc import AbstractChannel

from broker.principals import Principal
from broker.store import Database, Tx
from broker.store import ledgers as ledger_rows
from broker.topology import inbound_exchange, subscriber_queue
from canonical.events import SOURCE
from canonical.rules import Rules
from handlers import CATALOGUE
from ops.app import App
from ops.demo.observe import Target
from tests.fixtures.stand_ins import serving
from tests.integration.people import principal_in
from tests.integration.toy import Bench
from tests.scenarios.plm import Plm
from tests.scenarios.works import SUBSCRIBERS, Works

# On a machine that has other things to do.
REST_S = 60.0
SLOW_S = 30.0
LOOK_S = 0.03
# What a system says comes a little later than it was said.
BEFORE = timedelta(minutes=1)
_T = TypeVar("_T")


class Told(msgspec.Struct, frozen=True):
    """An event that came to a subscriber."""

    event: str
    about: str
    correlation_id: str
    data: Mapping[str, Any]


class Stage:
    """What the sentences of a story act on and look at."""

    def __init__(
        self,
        works: Works,
        bench: Bench,
        channel: AbstractChannel,
        looks: asyncpg.Connection[asyncpg.Record],
        *,
        rules: Rules,
        console: str,
    ) -> None:
        self.works = works
        self.rules = rules
        # Address of the pages for people; "" = there are none.
        self.console = console
        self.bench = bench
        self.targets: dict[str, Target] = {}
        self.plm = Plm()
        self.messages = 0
        # Systems that somebody has stopped, or that do not work: what is for them stands still.
        self.held: dict[str, int] = {}
        self.out_of_order: set[str] = set()
        self.told: dict[str, list[Told]] = {name: [] for name in SUBSCRIBERS}
        # Requests each target had received when the last part of the story began.
        self.marks: dict[str, int] = {}
        self._said_at = works.clock() - BEFORE
        self._channel = channel
        self._looks = looks
        self._people: dict[str, Principal] = {}

    async def send(
        self, source: str, kind: str, body: bytes, content_type: str, **headers: str
    ) -> None:
        """The message is in its queue."""
        exchange = await self._channel.get_exchange(inbound_exchange(source), ensure=False)
        message = aio_pika.Message(body, content_type=content_type, headers=dict(headers))
        await exchange.publish(message, kind, mandatory=True, timeout=10)
        self.messages += 1

    def said_at(self) -> datetime:
        """When the next statement of a system was made: by the day of the story, in whole seconds,
        and after the one before."""
        now = (self.works.clock() - BEFORE).replace(microsecond=0)
        self._said_at = max(now, self._said_at.replace(microsecond=0) + timedelta(seconds=1))
        return self._said_at

    async def person(self, role: str) -> Principal:
        """Somebody of that role, with a token of theirs."""
        if role not in self._people:
            self._people[role] = await principal_in(self.bench.database, f"{role} person", role)
        return self._people[role]

    async def mark(self) -> None:
        """From here on is "since then"."""
        for name, target in self.targets.items():
            self.marks[name] = (await target.totals())["requests"]

    async def at_rest(self) -> None:
        """Nothing moves any more but for time, a person or a system that is out of order."""
        await self.until(self._is_at_rest, "nothing moves any more")
        await self._take_news()

    async def until(self, holds: Any, what: str) -> None:
        """Looks again and again; fails with what moves still."""
        end = time.monotonic() + REST_S
        while not await holds():
            if time.monotonic() > end:
                raise AssertionError(f"not within {REST_S:.0f} s: {what}\n{await self._moving()}")
            await asyncio.sleep(LOOK_S)

    async def _is_at_rest(self) -> bool:
        # One look at all of it: what is woken moves from one answer to the other.
        async with self._looks.transaction(isolation="repeatable_read", readonly=True):
            row = await self._looks.fetchrow(
                _MOVING, list(CATALOGUE.events), SOURCE, [*self.held], [*self.out_of_order]
            )
            tx = cast(Tx, self._looks)
            woken = await ledger_rows.newly_known(tx, None, self.works.clock())
        assert row is not None
        return bool(row["taken"] >= self.messages and row["moving"] == 0 and not woken)

    async def _moving(self) -> str:
        rows = await self.bench.rows(
            "select identity, state, reason, attempts from step"
            " where state not in ('done', 'superseded', 'cancelled', 'waiting') order by id"
        )
        rows += await self.bench.rows("select subscription, key, state, reason from pending")
        rows += await self.bench.rows("select key, routing_key from outbox")
        return "\n".join(str(row) for row in rows)

    async def _take_news(self) -> None:
        for name, news in self.told.items():
            queue = await self._channel.get_queue(subscriber_queue(name.casefold()), ensure=False)
            while (message := await queue.get(no_ack=True, fail=False)) is not None:
                headers = {str(n).removeprefix("ce-"): str(v) for n, v in message.headers.items()}
                news.append(
                    Told(
                        event=(message.routing_key or ""),
                        about=headers.get("subject", ""),
                        correlation_id=headers.get("correlationid", ""),
                        data=msgspec.json.decode(message.body),
                    )
                )


# One look: what of the service's work is neither done nor somebody else's turn.
_MOVING = """
    select
        (select count(*) from message where direction = 'in' and causation_id = '')
            + (select count(*) from duplicate d where d.source <> $2) as taken,
        (select count(*) from outbox)
            + (select count(*) from pending where state in ('ready', 'retry'))
            + (select count(*) from message m where direction = 'out' and kind = any($1::text[])
                and not exists (select from inbox i where i.source = $2 and i.id = m.id))
            + (select count(*) from (
                -- an object has one call at a time: those behind it stand still with it
                select distinct on (target_id) * from step
                where kind = 'call' and state in ('ready', 'in_flight', 'in_doubt')
                order by target_id, state <> 'in_flight', id) head
                where not (system = any($3::text[]) and state = 'ready' and not only_asks)
                and not (system = any($4::text[]) and attempts > 0))
            as moving
"""


class _Running:
    """The service in a thread with an event loop of its own, as it has in its process."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="service")
        self._thread.start()

    async def do(self, work: Coroutine[Any, Any, _T]) -> _T:
        """What the service's loop says of it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def end(self) -> None:
        """The thread is gone."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@asynccontextmanager
async def set_up(
    works: Works, *, database_url: str, amqp_url: str, folder: Path, has_console: bool = False
) -> AsyncIterator[Stage]:
    """The service works, with all systems of the works beside it."""
    secret = folder / "secret"
    secret.write_text("demo")
    async with AsyncExitStack() as exits:
        urls = {}
        for name, kind in works.systems.items():
            stand_in = await exits.enter_async_context(
                serving(kind, folder / name, works.seed(kind))
            )
            urls[name] = stand_in.url
        running = _Running()
        exits.callback(running.end)
        configuration = works.configuration(
            database_url=database_url,
            amqp_url=amqp_url,
            urls=urls,
            secret=secret,
            has_console=has_console,
        )
        app = App(configuration, catalogue=CATALOGUE, environ={}, now=works.clock)
        try:
            await running.do(app.start())
        except BaseException:
            with suppress(Exception):
                await running.do(app.stop())
            raise
        exits.push_async_callback(lambda: running.do(app.stop()))
        database = Database(
            url=database_url, purpose="story", size=4, acquire_s=SLOW_S, statement_s=SLOW_S
        )
        await database.open()
        exits.push_async_callback(database.close)
        bench = Bench(database_url, database)
        connection = await exits.enter_async_context(await aio_pika.connect(amqp_url))
        channel = await connection.channel(on_return_raises=True)
        looks = await asyncpg.connect(database_url)
        exits.push_async_callback(looks.close)
        console = f"http://127.0.0.1:{app.console_port}" if has_console else ""
        stage = Stage(works, bench, channel, looks, rules=configuration.rules, console=console)
        for name, url in urls.items():
            stage.targets[name] = await exits.enter_async_context(Target(url))
        await stage.mark()
        yield stage
