"""What property tests of the pipeline share: a machine that sends messages, loses them, repeats
them and settles their cases, over one storage or over several that have to agree."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from broker import cases
from broker.failpoints import FailPointHit, FailPoints
from broker.intake import Arrival
from broker.metrics import Metrics
from broker.pipeline import Pipeline
from broker.policy import RetryPolicy, Schedule
from broker.store import Database, Position
from broker.store.messages import delivery_of
from broker.store.order import OrderKey
from broker.unit import SqlStorage, Storage
from canonical.codec import encode
from canonical.envelope import Lane
from canonical.errors import Failure
from canonical.handler import Delivery, Order
from tests.any_lane import any_lane
from tests.simulation.business import (
    CANCELLED,
    ERP,
    LANES,
    PLM,
    RELEASED,
    RULES,
    SUBSCRIBED,
    UNHANDLED,
    Business,
    Died,
    Notice,
    Said,
    Sent,
)
from tests.simulation.simulate import quiet

EXAMPLES = 150 if os.environ.get("LAYSHAFT_FULL") == "1" else 12
# What messages of `erp`, and released changes, have to wait for.
MIXES: tuple[tuple[Order, Order], ...] = (
    ("curing", "strict"),
    ("latest", "curing"),
    ("curing", "latest"),
)
KEYS = st.integers(1, 2)
TABLES = (
    *("pending", "hold", "inbox", "message", "duplicate", "delivery_attempt", "flow_order"),
    *("document", "document_version", "object_sequence", "outbox", "exception_case", "audit"),
)
# A retry after a failure of somebody else is not due until time passes; after a bug it is at once.
POLICY = RetryPolicy(transient=Schedule((3600.0,), 3), defect=Schedule((0.0,), 2))

Rows = dict[str, Any]

Drawn = tuple[str, int, int | None, str, str, list[tuple[str, Lane, int | None, str]]]
VERSIONS = st.none() | st.integers(1, 5)


def _faults(*faults: str) -> st.SearchStrategy[str]:
    """Mostly none."""
    return st.integers(0, 9).map(lambda n: faults[n % len(faults)] if n > 6 else "")


SAID = st.tuples(
    st.sampled_from((RELEASED, RELEASED, CANCELLED, UNHANDLED)),
    st.sampled_from(LANES),
    VERSIONS,
    _faults("rejected", "away", "bug", "dies"),
)
MESSAGES = st.tuples(
    st.sampled_from((PLM, ERP)),
    KEYS,
    VERSIONS,
    _faults("rejected", "invalid", "away", "bug", "unreadable"),
    st.sampled_from(("", "", "1")),
    st.lists(SAID, max_size=3),
)


class Event(msgspec.Struct, frozen=True):
    """An event of ours in the log of one side."""

    delivery: Delivery
    lane: Lane
    position: Position


class Side(Protocol):
    """A storage, and a look at what is in it."""

    @property
    def storage(self) -> Storage:
        """Where its units come from."""

    async def event(self, number: int) -> Event | None:
        """The event that says notice `number`, if it was emitted."""

    async def rows(self) -> Rows:
        """Every table, in words that both sides have: messages by kind and number."""

    async def settle(self, what: str, case: tuple[str, str]) -> str:
        """A person retries or discards the open case of that code and message; what came of it."""

    async def let_time_pass(self) -> None:
        """Retries are due, and who began rows long ago is taken for dead."""


def said_in(body: bytes) -> int:
    """Number of the notice that a body holds."""
    return int(msgspec.json.decode(body)["n"])


def label_of(kind: str, body: bytes) -> str:
    """A message in words that every side has."""
    return f"{kind} {said_in(body)}"


class Sql:
    """PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.storage = SqlStorage(database)

    async def empty(self) -> None:
        """Nothing is in the tables."""
        async with self._database.session() as session:
            # Nobody but its owner can let the audit forget.
            await session.execute("alter table audit disable trigger audit_append_only")
            await session.execute(";".join(f"delete from {table}" for table in TABLES))
            await session.execute("alter table audit enable trigger audit_append_only")

    async def event(self, number: int) -> Event | None:
        """See Side."""
        async with self._database.session() as session:
            for row in await session.fetch("select * from message where direction = 'out'"):
                if row["kind"] in SUBSCRIBED and said_in(row["body"]) == number:
                    return Event(delivery_of(row), row["lane"], Position(row["at"], row["seq"]))
        return None

    async def settle(self, what: str, case: tuple[str, str]) -> str:
        """See Side."""
        async with self._database.session() as session:
            rows = await session.fetch(
                """
                select c.id, c.code, m.kind, m.body
                from exception_case c
                join message m on m.at = c.message_at and m.seq = c.message_seq
                where c.state = 'open'
                """
            )
        [case_id] = [r["id"] for r in rows if (r["code"], label_of(r["kind"], r["body"])) == case]
        try:
            async with self._database.transaction() as tx:
                if what == "retry":
                    await cases.retry(tx, case_id=case_id, by="ann", reason="repaired")
                    return "True"
                return str(await cases.discard(tx, case_id=case_id, by="ann", reason="in vain"))
        except Failure:
            return "False"

    async def let_time_pass(self) -> None:
        """See Side."""
        async with self._database.session() as session:
            await session.execute(
                """
                update pending
                set due_at = case when state = 'retry' then now() else due_at end,
                    begun_at = begun_at - interval '1 minute'
                """
            )

    async def rows(self) -> Rows:
        """See Side."""
        async with self._database.session() as session:
            fetched = {
                table: [dict(r) for r in await session.fetch(f"select * from {table}")]
                for table in TABLES
            }
        log = {Position(r["at"], r["seq"]): r for r in fetched["message"]}

        def label(row: Rows) -> str:
            said = log[Position(row["message_at"], row["message_seq"])]
            return label_of(said["kind"], said["body"])

        names = {(r["subscription"], r["source"], r["id"]): label(r) for r in fetched["inbox"]}
        now = datetime.now(UTC)
        return {
            "flow_order": {
                (r["scope"], r["key"]): (r["done"], r["before"], r["newest"])
                for r in fetched["flow_order"]
            },
            "inbox": {
                (r["subscription"], label(r)): (r["outcome"], r["digest"]) for r in fetched["inbox"]
            },
            "message": [
                (r["direction"], label_of(r["kind"], r["body"]), r["key"], r["sequence"], r["lane"])
                for r in sorted(fetched["message"], key=lambda r: r["seq"])
            ],
            "hold": {(r["scope"], r["key"]) for r in fetched["hold"]},
            "pending": [
                (
                    *(label(r), r["subscription"], r["scope"], r["key"], r["lane"], r["state"]),
                    *(r["due_at"] <= now, r["attempts"], r["reason"], r["version"], r["passes"]),
                    *(r["failing_since"] is None, r["begun"], r["begun_by"]),
                )
                for r in sorted(fetched["pending"], key=lambda r: r["id"])
            ],
            "document": {
                r["key"]: (r["row_version"], r["version"], r["stated"], r["digest"])
                for r in fetched["document"]
            },
            "object_sequence": {r["key"]: r["last"] for r in fetched["object_sequence"]},
            "outbox": [
                (r["key"], r["exchange"], r["routing_key"], label(r))
                for r in sorted(fetched["outbox"], key=lambda r: r["id"])
            ],
            "exception_case": Counter(
                (r["code"], label(r), r["key"], r["state"], r["seen"], r["closed_by"] == "")
                for r in fetched["exception_case"]
            ),
            "audit": Counter(
                (r["action"], msgspec.json.decode(r["detail"]).get("version"))
                for r in fetched["audit"]
            ),
            "duplicate": Counter(
                (r["subscription"], names[r["subscription"], r["source"], r["id"]])
                for r in fetched["duplicate"]
            ),
            "delivery_attempt": Counter(
                (r["attempts"], r["worker"]) for r in fetched["delivery_attempt"]
            ),
        }


class Run(RuleBasedStateMachine):
    """Sides that all do the same; there may be one alone."""

    def __init__(
        self, runner: asyncio.Runner, sides: Sequence[Side], stock: Order, flow: Order
    ) -> None:
        super().__init__()
        self._runner = runner
        self._sides = sides
        self._business = Business(datetime.now(UTC) - timedelta(minutes=1), stock, flow)
        self._sent: list[Sent] = []
        self._numbers = 0
        self._worker = 0
        self._metrics = Metrics()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        with any_lane(RELEASED, CANCELLED, UNHANDLED):
            return self._runner.run(work)

    def _pipeline(self, side: Side, lane: Lane, *, fails: bool = False) -> Pipeline:
        return Pipeline(
            lane=lane,
            storage=side.storage,
            recognise=self._business.recognise,
            handler_named=self._business.handler_named,
            rules=RULES,
            policy=POLICY,
            metrics=self._metrics,
            fail_points=FailPoints({"inbox.before_commit": ("raise", 1)} if fails else {}),
            committed=lambda: None,
            jitter=lambda: 0.5,
            worker=f"worker-{self._worker}",
        )

    async def _on_all(self, *work: Coroutine[Any, Any, Any]) -> None:
        """All come to the same: the same answer or exception, the same rows."""
        answers = []
        for coroutine in work:
            try:
                answers.append(await coroutine)
            except (FailPointHit, Died) as error:
                answers.append(type(error))
        first, *others = [await side.rows() for side in self._sides]
        for n, rows in enumerate(others, 1):
            assert answers[0] == answers[n]
            for table in first:
                assert first[table] == rows[table], table

    @rule(messages=st.lists(MESSAGES, min_size=1, max_size=4), fails=st.booleans())
    def send(self, messages: Sequence[Drawn], fails: bool) -> None:
        """Sources have something to say; it is taken in one batch, unless its commit fails."""
        first = len(self._sent)
        self._sent += [self._message(message) for message in messages]
        self._take(self._sent[first:], fails=fails)

    @precondition(lambda self: self._sent)
    @rule(data=st.data(), redelivered=st.booleans())
    def repeat(self, data: st.DataObject, redelivered: bool) -> None:
        """Any of it is delivered again, or the first time where its commit failed."""
        which = data.draw(st.lists(st.integers(0, len(self._sent) - 1), min_size=1, max_size=5))
        self._take([self._sent[n] for n in which], redelivered=redelivered)

    def _message(self, drawn: Drawn) -> Sent:
        source, key, version, fault, states, said = drawn
        says = tuple(
            Said(event, "object/1", lane, Notice(self._next(), version, fault, 1e9))
            for event, lane, version, fault in said
        )
        notice = Notice(self._next(), version, fault, 1e9, states, says)
        return Sent(source, f"{source}/{key}", notice)

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers

    def _take(
        self, messages: Sequence[Sent], *, redelivered: bool = False, fails: bool = False
    ) -> None:
        batch = [
            Arrival(
                Delivery(
                    sent.source,
                    sent.source,
                    encode(sent.notice),
                    attributes={"id": sent.id, "subject": sent.key},
                ),
                "standard",
                f"in.{sent.source}",
                redelivered=redelivered,
            )
            for sent in messages
        ]
        sides = self._sides
        takes = (self._pipeline(s, "standard", fails=fails).take(batch) for s in sides)
        self._run(self._on_all(*takes))

    @precondition(lambda self: self._numbers)
    @rule(data=st.data(), lane=st.sampled_from(LANES), redelivered=st.sampled_from((False, True)))
    def deliver_events(self, data: st.DataObject, lane: Lane, redelivered: bool) -> None:
        """Events of ours are taken in one batch, in any order, some of them never delivered."""
        numbers = data.draw(st.lists(st.integers(1, self._numbers), min_size=1, max_size=6))

        async def take(side: Side) -> None:
            batch = []
            for number in numbers:
                event = await side.event(number)
                if event is not None:
                    queue = f"{event.delivery.kind}.{lane}"
                    batch.append(
                        Arrival(
                            event.delivery,
                            lane,
                            queue,
                            redelivered=redelivered,
                            logged=event.position,
                        )
                    )
            await self._pipeline(side, lane).take(batch)

        self._run(self._on_all(*(take(side) for side in self._sides)))

    @rule(lane=st.sampled_from(LANES), limit=st.sampled_from((1, 50)))
    def take_pending(self, lane: Lane, limit: int) -> None:
        """What is unfinished is tried again."""
        # Which of several keys is claimed first is nobody's promise.
        limit = 50 if limit == 1 and len(self._keys()) > 1 else limit
        self._run(self._on_all(*(self._pipeline(s, lane).take_pending(limit) for s in self._sides)))

    def _keys(self) -> set[OrderKey]:
        keys: set[OrderKey] = self._run(self._sides[-1].rows())["hold"]
        return keys

    @rule()
    def time_passes(self) -> None:
        """Retries are due."""
        self._run(self._on_all(*(side.let_time_pass() for side in self._sides)))

    @rule()
    def restart(self) -> None:
        """Another process goes on."""
        self._worker += 1

    @rule(repaired=st.booleans(), what=st.sampled_from(("retry", "discard")), data=st.data())
    def settle_case(self, repaired: bool, what: str, data: st.DataObject) -> None:
        """A person repairs the cause, or not, and settles a case."""
        counted = self._run(self._sides[-1].rows())["exception_case"]
        opened = sorted({(c[0], c[1]) for c in counted if c[3] == "open"})
        if not opened:
            return
        case = data.draw(st.sampled_from(opened))
        if repaired:
            self._business.mended.add(int(case[1].split()[1]))
        self._run(self._on_all(*(side.settle(what, case) for side in self._sides)))


@contextmanager
def model_database(url: str) -> Iterator[tuple[asyncio.Runner, Database]]:
    """A runner and a database that is open in it."""
    quiet()
    with asyncio.Runner() as runner:
        database = Database(url=url, purpose="model", size=2, acquire_s=5.0, statement_s=5.0)
        runner.run(database.open())
        try:
            yield runner, database
        finally:
            runner.run(database.close())


def run_examples(machine: type[Run], *, examples: int = EXAMPLES) -> None:
    """The machine is run for one of the mixes, from the same seed each time. examples: of all."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples // len(MIXES),
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
