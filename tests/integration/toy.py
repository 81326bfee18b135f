"""A toy business for the runtime's tests: orders that say what is to be decided about them, a
target system with a table and a journal, and the driver between the two.

Nothing of the runtime is replaced: handlers, drivers and targets are what it is made to be given.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import msgspec

from broker.dispatcher import Dispatcher, Outlet, lapse
from broker.failpoints import FailPoints
from broker.gate import Gate
from broker.intake import Arrival
from broker.lateness import Memory
from broker.metrics import Metrics
from broker.pipeline import Pipeline
from broker.planner import UNKNOWN, Planner
from broker.policy import RetryPolicy, Schedule
from broker.settings import Deadlines
from broker.store import Database
from broker.sunset import Endings
from broker.unit import SqlStorage
from canonical import events
from canonical.catalogue import Catalogue
from canonical.codec import decode_json, encode
from canonical.connector import Absent, Answer, Confirmed, Driver, Observed, Present, Write
from canonical.effects import Effect, Emit, Open, Plan, Put, Step
from canonical.envelope import Envelope, Lane, Message
from canonical.errors import Conflict, InDoubt, InvalidMessage, Rejected, Unavailable
from canonical.exchange import Request, Response
from canonical.facts import Facts
from canonical.handler import Delivery, Handler, no_needs
from canonical.operations import (
    Announce,
    Approve,
    AwaitFact,
    ExtendToPlant,
    Operation,
    ReadObject,
    ReadSupplier,
)
from canonical.rules import Rules
from canonical.supplier import Qualification, Supplier

SOURCE = "shop"
RULES = Rules(plants=(), distribution=(), routes=(), central_purchasing_org="1")
DEADLINE_S = 15.0
_NUMBERS = itertools.count()


# Orders: messages that say what is to be decided about them


class Wanted(msgspec.Struct, frozen=True):
    """A step an order plans. kind: write, read, approval, wait, announce or ask (an announcement
    too, of a question); after: object ids."""

    object_id: str
    content: str = ""
    kind: str = "write"
    after: tuple[str, ...] = ()


class Stated(msgspec.Struct, frozen=True):
    """A supplier an order states: it becomes a document."""

    number: str
    version: int
    name: str = "Bolt & Co"


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """A toy message. fault: what its handler runs into; emits: suppliers announced as changed."""

    id: str
    key: str
    version: int = 1
    states: tuple[Stated, ...] = ()
    emits: tuple[str, ...] = ()
    plans: tuple[Wanted, ...] = ()
    opens: str = ""
    fault: str = ""


class Died(BaseException):
    """Stands for the end of the process: nothing of ours catches it."""


def read_order(delivery: Delivery) -> Message[Order]:
    """The order in the body; its own id and key count."""
    order = decode_json(delivery.body, Order)
    if order.fault == "bug in read":
        raise KeyError("read")
    if order.fault == "death in read":
        raise Died
    attributes = delivery.attributes
    return Message(
        Envelope(
            id=order.id,
            source=delivery.source,
            type="toy.order",
            key=order.key,
            correlation_id=attributes.get("correlationid", ""),
            causation_id=attributes.get("causationid", ""),
        ),
        order,
    )


def needs_of(message: Message[Order], facts: Facts) -> frozenset[str]:
    """Every supplier that the order waits for."""
    order = message.payload
    if order.fault == "bug in needs":
        raise KeyError("needs")
    if order.fault == "endless needs":
        return frozenset({f"supplier/{next(_NUMBERS)}"})
    return frozenset(f"supplier/{w.object_id}" for w in order.plans if w.kind == "wait")


def decide_order(message: Message[Order], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    """What the order says, or the fault it names."""
    order = message.payload
    _fail(order.fault)
    effects: list[Effect] = []
    for stated in order.states:
        key = f"supplier/{stated.number}"
        effects.append(Put(key, stated.version, supplier(stated.number, stated.name)))
    if order.fault == "unknown event":
        effects.append(Emit("toy.unheard-of", order.key, supplier("1")))
    for number in order.emits:
        effects.append(Emit("supplier.changed", f"supplier/{number}", supplier(number)))
    if order.opens:
        effects.append(Open("toy", "business_rule", order.opens, order.key, "Look", "engineering"))
    if order.plans:
        steps = tuple(
            _step(w, order, facts) for w in order.plans if w.kind != "wait" or _awaited(w, facts)
        )
        effects.append(Plan(order.key, order.version, f"Order {order.key}", steps))
    return tuple(effects)


def _fail(fault: str) -> None:
    match fault:
        case "rejected":
            raise Rejected("toy-rejected", "The toy business says no", remedy="Ask again")
        case "invalid":
            raise InvalidMessage("toy-invalid", "The toy business does not understand")
        case "unavailable":
            raise Unavailable("toy-away", "Nobody is there")
        case "bug in decide":
            raise ZeroDivisionError


def _awaited(wanted: Wanted, facts: Facts) -> bool:
    known = facts.supplier(wanted.object_id)
    return known is None or known.name != wanted.content


def supplier(number: str, name: str = "Bolt & Co") -> Supplier:
    """A qualified supplier."""
    return Supplier(number, name, active=True, qualification=Qualification("qualified"))


def step(wanted: Wanted, *, key: str = "order/1", seen: int = 0, owner: str = "operations") -> Step:
    """The step of a plan for one wanted effect; it waits for those named in `after`."""
    operation, system = _operation(wanted, key, seen)
    return Step("", system, "supplier", wanted.object_id, operation, owner=owner)


def _step(wanted: Wanted, order: Order, facts: Facts) -> Step:
    made = step(wanted, key=order.key, seen=facts.version(f"supplier/{wanted.object_id}"))
    before = {
        w.object_id: step(w).identity for w in order.plans if w.kind != "wait" or _awaited(w, facts)
    }
    depends_on = tuple(before[a] for a in wanted.after if a in before)
    return msgspec.structs.replace(made, depends_on=depends_on)


def _operation(wanted: Wanted, key: str, seen: int) -> tuple[Operation, str]:
    number, content = wanted.object_id, wanted.content
    match wanted.kind:
        case "write":
            return ExtendToPlant(number, key, "buy", "H87", content), "erp"
        case "read":
            return ReadSupplier(number), "erp"
        case "approval":
            return Approve("supplier-qualification", content), "quality"
        case "wait":
            return AwaitFact(f"supplier/{number}", seen, content), "layshaft"
        case _:
            event = "approval.requested" if wanted.kind == "ask" else "engineering-change.completed"
            data = msgspec.Raw(encode({"text": content}))
            return Announce(event, key, data), "layshaft"


ORDERS = Handler(
    name="toy-orders",
    scope="toy",
    types=("toy.order",),
    read=read_order,
    needs=needs_of,
    decide=decide_order,
)


def repaired(handler: Handler = ORDERS) -> Handler:
    """The same subscription after a repair: faults are forgotten."""

    def decide(message: Message[Order], facts: Facts, now: datetime) -> tuple[Effect, ...]:
        healthy = msgspec.structs.replace(message.payload, fault="")
        return decide_order(Message(message.envelope, healthy), facts, now)

    return Handler(
        name=handler.name,
        scope=handler.scope,
        types=handler.types,
        read=handler.read,
        needs=no_needs,
        decide=decide,
    )


class SupplierAnswer(msgspec.Struct, frozen=True):
    """What the target knows about a supplier."""

    number: str
    name: str
    version: int


def _read_answer(delivery: Delivery) -> Message[SupplierAnswer]:
    answer = decode_json(delivery.body, SupplierAnswer)
    envelope = Envelope(
        id=delivery.attributes["id"],
        source=delivery.source,
        type="toy.supplier",
        key=f"supplier/{answer.number}",
        correlation_id=delivery.attributes.get("correlationid", ""),
        causation_id=delivery.attributes.get("causationid", ""),
    )
    return Message(envelope, answer)


def _decide_answer(
    message: Message[SupplierAnswer], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    answer = message.payload
    known = supplier(answer.number, answer.name)
    return (Put(f"supplier/{answer.number}", answer.version, known),)


ANSWERS = Handler(
    name="toy-answers",
    scope="supplier",
    types=("toy.supplier",),
    read=_read_answer,
    needs=no_needs,
    decide=_decide_answer,
)


# The target: a table, a journal, and faults on request


class Target:
    """A target system in this process. rows: path -> content; journal: every call that reached it.

    faults: what the next calls to a path meet: "away" (503), "refuse" (422), "lose" (applied, then
    never answered), "forget" (confirmed and not applied); any to "GET path": the look finds nobody.
    gates: calls to a path, or to "PUT path", wait there until opened.
    """

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}
        self.journal: list[tuple[str, str]] = []
        self.keys: list[str] = []
        self.faults: dict[str, list[str]] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.refusal = "The target says no"
        self.most_at_once: Counter[str] = Counter()
        self._inside: Counter[str] = Counter()

    async def perform(self, request: Request) -> Response:
        """Answers one call; applies it where it writes."""
        self.journal.append((request.method, request.path))
        self._inside[request.path] += 1
        self.most_at_once[request.path] = max(
            self.most_at_once[request.path], self._inside[request.path]
        )
        try:
            for name in (request.path, f"{request.method} {request.path}"):
                if name in self.gates:
                    await self.gates[name].wait()
            return self._answer(request)
        finally:
            self._inside[request.path] -= 1

    def _answer(self, request: Request) -> Response:
        if request.method == "GET":
            if unseen := self.faults.get(f"GET {request.path}"):
                raise Unavailable(unseen.pop(0), "Nobody can look", where=request.path)
            row = self.rows.get(request.path)
            return Response(404, {}, b"") if row is None else Response(200, {}, row)
        faults = self.faults.get(request.path, [])
        fault = faults.pop(0) if faults else ""
        if fault == "away":
            return Response(503, {}, b"")
        if fault == "refuse":
            return Response(422, {}, self.refusal.encode())
        self.keys.append(dict(request.headers)["Idempotency-Key"])
        if fault == "forget":
            return Response(200, {}, request.body or b"")
        self.rows[request.path] = request.body or b""
        if fault == "lose":
            raise InDoubt("no-answer", "The answer never came", where=request.path)
        return Response(200, {}, request.body or b"")

    def writes(self, path: str) -> int:
        """How often a write of that object reached the target."""
        return self.journal.count(("PUT", path))


def path_of(object_id: str) -> str:
    """Where the target keeps an object."""
    return f"/suppliers/{object_id}"


def _content(step: Step) -> bytes:
    match step.operation:
        case ExtendToPlant(purchasing_group=content):
            return content.encode()
        case _:
            return b""


def _observe(step: Step) -> Request:
    return Request("GET", path_of(step.object_id), effectful=False)


def _read(step: Step, response: Response) -> Observed:
    if response.status == 404:
        return Absent()
    if isinstance(step.operation, (ReadSupplier, ReadObject)):
        answer = Answer("toy.supplier", f"supplier/{step.object_id}", response.body)
        return Present(equal=True, answer=answer)
    return Present(equal=response.body == _content(step), reference=f"R-{step.object_id}")


def _write(step: Step, observed: Observed, idempotency_key: str) -> Write | None:
    if isinstance(step.operation, ReadSupplier):
        return None
    headers = (("Idempotency-Key", idempotency_key),)
    path = path_of(step.object_id)
    return Write(Request("PUT", path, headers=headers, body=_content(step)), completes=True)


def _confirm(step: Step, response: Response) -> Confirmed:
    match response.status:
        case 200:
            return Confirmed(reference=f"R-{step.object_id}")
        case 409:
            raise Conflict("toy-conflict", response.body.decode())
        case 422:
            raise Rejected("toy-refused", response.body.decode())
        case _:
            raise Unavailable("toy-away", f"Status {response.status}")


TOY_DRIVER = Driver(name="toy", observe=_observe, read=_read, write=_write, confirm=_confirm)


def _read_words(step: Step, response: Response) -> Observed:
    held, wanted = response.body.split(), _content(step).split()
    missing = tuple(word.decode() for word in wanted[len(held) :])
    return Present(equal=not missing, differences=missing, native=response.body)


def _write_word(step: Step, observed: Observed, idempotency_key: str) -> Write | None:
    assert isinstance(observed, Present)
    headers = (("Idempotency-Key", idempotency_key),)
    body = b" ".join((*observed.native.split(), observed.differences[0].encode()))
    completes = len(observed.differences) == 1
    return Write(Request("PUT", path_of(step.object_id), headers=headers, body=body), completes)


# Writes a content word by word, as an ERP takes the lines of a BOM.
WORD_DRIVER = Driver(
    name="words", observe=_observe, read=_read_words, write=_write_word, confirm=_confirm
)


def at_once(*, attempts: int = 20, defect_attempts: int = 3, wait_s: float = 0) -> RetryPolicy:
    """Retries that are due at once, or after at most `wait_s`."""
    return RetryPolicy(
        transient=Schedule((wait_s,), attempts), defect=Schedule((wait_s,), defect_attempts)
    )


# The bench: the runtime's parts around one database


class Bench:
    """What the tests of one database share."""

    def __init__(self, url: str, database: Database) -> None:
        self.url = url
        self.database = database
        self.target = Target()
        self.metrics = Metrics()

    def pipeline(
        self,
        *,
        orders: Handler = ORDERS,
        fail_points: str = "",
        policy: RetryPolicy | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        lane: Lane = "standard",
        database: Database | None = None,
        flow: Catalogue | None = None,
        others: Mapping[str, Handler] = MappingProxyType({}),
        memory: Memory = Memory(),  # noqa: B008 - frozen
        one_suspect: asyncio.Lock | None = None,
        committed: Callable[[], None] = lambda: None,
        reads_from: Mapping[str, str] = MappingProxyType({}),
        endings: Endings = MappingProxyType({}),
        planner: Planner = UNKNOWN,
    ) -> Pipeline:
        """A pipeline over this database; by default retries are due at once.

        flow: who takes our own events; others: by kind, who takes what is no order; orders are
        taken by `orders`.
        """
        handlers = {orders.name: orders, ANSWERS.name: ANSWERS}
        handlers |= {handler.name: handler for handler in others.values()}
        if flow is not None:
            handlers |= {handler.name: handler for handler in flow.handlers.values()}

        def recognise(delivery: Delivery) -> Handler:
            if flow is not None and delivery.source == events.SOURCE:
                return flow.recognise((events.SOURCE,), delivery)
            if delivery.kind == "bug in recognise":
                raise KeyError(delivery.kind)
            if delivery.kind in others:
                return others[delivery.kind]
            if delivery.kind not in ("order", "report"):
                raise InvalidMessage("kind-unknown", f"No contract for {delivery.kind!r}")
            return orders

        return Pipeline(
            lane=lane,
            storage=SqlStorage(database or self.database),
            recognise=recognise,
            handler_named=lambda name: handlers[name],
            rules=RULES,
            policy=policy or at_once(defect_attempts=2),
            memory=memory,
            metrics=self.metrics,
            fail_points=FailPoints.parse(fail_points),
            committed=committed,
            now=now,
            one_suspect=one_suspect,
            reads_from=reads_from,
            endings=endings,
            planner=planner,
        )

    def dispatcher(
        self,
        *,
        slots: int = 8,
        deadlines: Deadlines | None = None,
        policy: RetryPolicy | None = None,
        settle_s: float = 0.0,
        fail_points: str = "",
        translator: Callable[[str], Handler] = lambda answer_type: ANSWERS,
        driver: Driver = TOY_DRIVER,
        perform: Callable[[Request], Awaitable[Response]] | None = None,
        committed: Callable[[], None] = lambda: None,
        gate: Gate | None = None,
    ) -> Dispatcher:
        """A dispatcher of calls to the toy target; by default retries are due at once. perform: how
        the target is reached, where not in this process. gate: by default failures close nothing.
        """
        perform = perform or self.target.perform
        outlet = Outlet(name="erp", driver=driver, perform=perform, settle_s=settle_s)
        return Dispatcher(
            lane="standard",
            database=self.database,
            outlets={"erp": outlet},
            translator=translator,
            slots=slots,
            deadlines=deadlines or Deadlines(),
            policy=policy or at_once(),
            metrics=self.metrics,
            fail_points=FailPoints.parse(fail_points),
            committed=committed,
            gate=gate or Gate({"erp": slots}, None),
        )

    async def lapse(self, *, settle_s: float = 0.0, fail_points: str = "") -> bool:
        """Calls whose lease has ended are in doubt; whether there were any."""
        points = FailPoints.parse(fail_points)
        return await lapse(self.database, settle_s=settle_s, fail_points=points)

    async def rows(self, sql: str, *arguments: object) -> list[dict[str, Any]]:
        """What a query says now."""
        async with self.database.session() as session:
            return [dict(r) for r in await session.fetch(sql, *arguments)]

    async def column(self, sql: str, *arguments: object) -> list[Any]:
        """The first column of a query."""
        return [next(iter(r.values())) for r in await self.rows(sql, *arguments)]

    async def count(self, table: str) -> int:
        """Number of rows in a table."""
        return int((await self.column(f"select count(*) from {table}"))[0])

    async def execute(self, sql: str, *arguments: object) -> None:
        """A statement has run."""
        async with self.database.session() as session:
            await session.execute(sql, *arguments)

    async def states(self) -> dict[str, str]:
        """State of the last generation of each step, by object id."""
        rows = await self.rows("select object_id, state from step order by generation, id")
        return {r["object_id"]: r["state"] for r in rows}

    async def cases(self) -> list[str]:
        """Codes of the open cases, in order."""
        return await self.column(
            "select code from exception_case where state = 'open' order by code, id"
        )


@asynccontextmanager
async def bench_on(
    url: str, *, purpose: str = "test", statement_s: float = 5.0
) -> AsyncIterator[Bench]:
    """A bench with its pool open."""
    database = Database(url=url, purpose=purpose, size=4, acquire_s=3.0, statement_s=statement_s)
    await database.open()
    try:
        yield Bench(url, database)
    finally:
        await database.close()


def arrival(
    order: Order | bytes,
    *,
    redelivered: bool = False,
    kind: str = "order",
    source: str = SOURCE,
    lane: Lane = "standard",
    queue: str = "in.shop.order.standard",
    **properties: Any,
) -> Arrival:
    """An order, or raw bytes, as the consumer of that lane hands it over."""
    body = order if isinstance(order, bytes) else encode(order)
    delivery = Delivery(source=source, kind=kind, body=body, **properties)
    return Arrival(delivery, lane, queue, redelivered=redelivered)


def arrivals(orders: Sequence[Order]) -> list[Arrival]:
    """Orders in the order of their delivery."""
    return [arrival(order) for order in orders]


class Wire:
    """A TCP line to a server that can be cut while it is in use."""

    def __init__(self, host: str, port: int) -> None:
        self._to = host, port
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self.taken = 0
        self.port = 0

    async def open(self) -> None:
        """Listens on a free port."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Every connection is lost, without a word to either side; new ones are taken."""
        for end in self._ends:
            end.transport.abort()

    async def close(self) -> None:
        """Nothing listens any more."""
        self.cut()
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken += 1
        there, back = await asyncio.open_connection(*self._to)
        ends = {writer, back}
        self._ends |= ends
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, back))
                group.create_task(_copy(there, writer))
        finally:
            self._ends -= ends


W = TypeVar("W", bound=Wire)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        writer.transport.abort()
    else:
        writer.close()


@asynccontextmanager
async def wire_to(url: str, made: Callable[[str, int], W]) -> AsyncIterator[tuple[W, str]]:
    """A line to the server of a URL, and the URL that goes through it."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    wire = made(parts.hostname, parts.port)
    await wire.open()
    credentials = parts.netloc.rpartition("@")[0]
    try:
        yield wire, urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{wire.port}"))
    finally:
        await wire.close()


async def until(
    holds: Callable[[], Awaitable[bool]], what: str, *, within_s: float = DEADLINE_S
) -> None:
    """Looks again and again until it holds; fails after the deadline."""
    end = time.monotonic() + within_s
    while not await holds():
        assert time.monotonic() < end, f"not within {within_s} s: {what}"
        await asyncio.sleep(0.01)


async def blocked(bench: Bench) -> bool:
    """Whether some session of this database waits for a lock."""
    return bool(
        await bench.column(
            "select 1 from pg_stat_activity"
            " where datname = current_database() and wait_event_type = 'Lock'"
        )
    )


async def turn_until_idle(dispatcher: Dispatcher) -> None:
    """Everything due was called and settled, calls under way included."""
    async with asyncio.timeout(DEADLINE_S):
        busy = True
        while busy:
            await dispatcher.drain(DEADLINE_S)
            busy = await dispatcher.turn()
