"""Replays of all kinds, mixed with everything else that may happen to messages: each still takes
effect once and in order, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from broker import replay_orders
from broker.failpoints import FailPointHit, FailPoints
from broker.intake import Work
from broker.reading import Reader
from broker.replay import Replayer
from broker.store import Database
from broker.store import replays as replay_rows
from broker.store.order import OrderKey
from broker.store.replays import Mode, ReplayRow
from broker.store.selections import Selection
from broker.unit import SqlStorage, SqlUnit
from canonical.envelope import Lane
from canonical.errors import Conflict, InvalidMessage, Rejected
from canonical.handler import Delivery, Handler, Order
from tests.integration.machine import (
    EXAMPLES,
    MIXES,
    Drawn,
    Run,
    Sql,
    model_database,
    run_examples,
    said_in,
)
from tests.simulation.business import ERP, LANES, PLM, RECORD, RELEASED, SUBSCRIBED

SELECTIONS = (
    Selection(),
    Selection(sources=(PLM,)),
    Selection(sources=(ERP,)),
    Selection(types=(RELEASED,)),
    Selection(types=("unread",)),
    Selection(keys=("object/1",)),
    Selection(keys=(f"{PLM}/1", f"{ERP}/1")),
)
FAIL_POINTS = ("", "", "", "replay.before_commit:raise:1", "replay.after_commit:raise:1")
# Outcomes after which a message has had its effect; after the others it has none.
WITH_EFFECT = {"applied", "stale"}
WITHOUT = {"superseded", "discarded", "passed", "invalid", "parked", "dead-letter"}
MOST_ROUNDS = 200


class ReplayRun(Run):
    """PostgreSQL alone, and people who replay what was logged."""

    def __init__(
        self, runner: asyncio.Runner, database: Database, stock: Order, flow: Order
    ) -> None:
        sql = Sql(database)
        runner.run(sql.empty())
        runner.run(self._forget_replays(database))
        super().__init__(runner, (sql,), stock, flow)
        self._database = database
        # Numbers of messages that are known to have had effects, and of those of them whose
        # effects are those of their first decision.
        self._known: set[int] = set()
        self._first: set[int] = set()

    @staticmethod
    async def _forget_replays(database: Database) -> None:
        async with database.session() as session:
            await session.execute("delete from replay")

    def _recognise(self, delivery: Delivery) -> Handler:
        if delivery.kind not in SUBSCRIBED | {PLM, ERP}:
            raise InvalidMessage("kind-unknown", "Nobody takes this")
        return self._business.recognise(delivery)

    async def _replays(self) -> list[ReplayRow]:
        async with self._database.transaction() as tx:
            return await replay_rows.views(tx, limit=1_000)

    async def _turn(self, fail_point: str = "") -> None:
        replayer = Replayer(
            database=self._database,
            reader=Reader(
                storage=SqlStorage(self._database),
                recognise=self._recognise,
                handler_named=self._business.handler_named,
                read_s=60.0,
            ),
            dedupe_window=timedelta(days=30),
            metrics=self._metrics,
            fail_points=FailPoints.parse(fail_point),
            backlogs=lambda: [],
            committed=lambda: None,
        )
        async with self._database.session() as session:
            await session.execute("update replay set next_at = now()")
        # As good as a crash: what is not committed never was.
        with suppress(FailPointHit):
            await replayer.turn()

    async def _start(self, mode: Mode, selection: Selection, rate: float) -> None:
        async with self._database.transaction() as tx:
            await replay_orders.start(
                tx, mode=mode, selection=selection, rate=rate, by="ann", reason="repaired"
            )

    @initialize()
    def have_a_history(self) -> None:
        """Some messages were taken, and said things that were taken too."""
        said: list[tuple[str, Lane, int | None, str]] = [(RELEASED, lane, 1, "") for lane in LANES]
        drawn: list[Drawn] = [
            (source, key, key, "", "", said) for source in (PLM, ERP) for key in (1, 2)
        ]
        first = len(self._sent)
        self._sent += [self._message(message) for message in drawn]
        self._take(self._sent[first:])

    @rule(
        mode=st.sampled_from(("redeliver", "reprocess")),
        selection=st.sampled_from(SELECTIONS),
        rate=st.sampled_from((1.0, 3.0, 100.0)),
    )
    def start_replay(self, mode: Mode, selection: Selection, rate: float) -> None:
        """Somebody starts a replay of what the log has now."""
        with suppress(Rejected):  # nothing is selected
            self._run(self._start(mode, selection, rate))

    @rule(fail_point=st.sampled_from(FAIL_POINTS))
    def replay_a_slice(self, fail_point: str) -> None:
        """A replay goes on, or dies before or after its commit."""
        self._run(self._turn(fail_point))

    @rule(what=st.sampled_from(("cancel", "pause", "resume")), data=st.data())
    def change_a_replay(self, what: str, data: st.DataObject) -> None:
        """Somebody changes their mind."""
        open_ones = [r for r in self._run(self._replays()) if r.state in ("running", "paused")]
        if open_ones:
            chosen = data.draw(st.sampled_from([r.id for r in open_ones]))
            self._run(self._change(what, chosen))

    async def _change(self, what: str, replay_id: int) -> None:
        # Paused twice, or let go on while it runs.
        with suppress(Conflict):
            async with self._database.transaction() as tx:
                change = getattr(replay_orders, what)
                await change(tx, replay_id=replay_id, by="ann", reason="thought again")

    @invariant()
    def nothing_is_amiss(self) -> None:
        """Holds and rows belong together, the oldest row of a key may go on, and nothing was
        decided twice."""
        rows = self._run(self._sides[0].rows())
        queues: dict[tuple[str, str], list[str]] = {}
        for label, _, scope, key, _, state, *_ in rows["pending"]:
            queues.setdefault((scope, key), []).append(f"{state} {label}")
        assert rows["hold"] == set(queues)
        assert not [q for q in queues.values() if q[0].startswith("parked")]
        assert [r for r, times in _effects(rows).items() if times > 1] == []

    @invariant()
    def everything_is_in_order(self) -> None:
        """What was decided about one object in a flow, the first time, was decided in the order
        of its events, or else of its arrival. What nobody could read when it came is known to be
        about that object only from the replay on that reads it."""
        self._run(self._look_at_the_order())

    async def _look_at_the_order(self) -> None:
        decided, firsts = await self._decided()
        for records in decided.values():
            # One that is new now belongs to the decision that its message stands at now.
            new = {n for n, _ in records} - self._known
            self._known |= new
            self._first |= new & firsts
        for record, records in decided.items():
            places = [place for n, place in records if n in self._first]
            assert places == sorted(places), f"{record} was decided in the order {records}"

    async def _decided(self) -> tuple[dict[str, list[tuple[int, int]]], set[int]]:
        """By flow and object: numbers of the messages as they were decided, each with its place
        among those of the object; and those that were to be decided once, and could be when they
        came."""
        async with self._database.session() as session:
            taken = await session.fetch(
                """
                select m.body, coalesce(m.sequence, m.seq) as place,
                       i.generation = 1 and not exists (
                           select from inbox u where u.subscription = 'unread'
                             and u.message_at = m.at and u.message_seq = m.seq) as is_first
                from inbox i join message m on m.at = i.message_at and m.seq = i.message_seq
                where i.subscription <> 'unread'
                """
            )
            records = await session.fetch(
                "select key, body from message where kind = $1 order by key, sequence", RECORD
            )
        messages = {said_in(row["body"]): row for row in taken}
        decided: dict[str, list[tuple[int, int]]] = {}
        for row in records:
            n = said_in(row["body"])
            decided.setdefault(row["key"], []).append((n, messages[n]["place"]))
        return decided, {n for n, row in messages.items() if row["is_first"]}

    def teardown(self) -> None:
        """Everything is repaired and comes to an end."""
        self._business.mended |= set(range(self._numbers + 1))
        self._run(self._settle())
        self.nothing_is_amiss()
        rows = self._run(self._sides[0].rows())
        effects, again = _effects(rows), self._run(self._reprocessed())
        for (_, label), (outcome, _) in rows["inbox"].items():
            assert outcome in WITH_EFFECT | WITHOUT, f"{label} ended as {outcome}"
        ends: dict[str, set[str]] = {}
        for (_, label), (outcome, _) in rows["inbox"].items():
            ends.setdefault(label.split()[1], set()).add(outcome)
        for n, outcomes in ends.items():
            has_effect = bool(outcomes & WITH_EFFECT)
            # Decided anew it may come to nothing; what it said the first time stays said.
            assert has_effect == bool(effects[n]) or (effects[n] and n in again), f"{n}: {outcomes}"
        logged = {label for direction, label, *_ in rows["message"] if direction == "in"}
        assert logged <= {label for _, label in rows["inbox"]}

    async def _reprocessed(self) -> set[str]:
        """Numbers of messages that were decided more than once."""
        async with self._database.session() as session:
            rows = await session.fetch(
                """
                select m.body from inbox i join message m on m.at = i.message_at
                  and m.seq = i.message_seq
                where i.generation > 1
                """
            )
        return {str(said_in(row["body"])) for row in rows}

    async def _settle(self) -> None:
        sql = self._sides[0]
        tried: set[tuple[str, str]] = set()
        async with self._database.session() as session:
            await session.execute("update replay set rate = 100")
        for _ in range(MOST_ROUNDS):
            self._worker += 1
            for replay in await self._replays():
                if replay.state == "paused":
                    await self._change("resume", replay.id)
            await self._turn()
            await sql.let_time_pass()
            for lane in LANES:
                await self._pipeline(sql, lane).take_pending(50)
                await self._look_at_the_order()
            rows = await sql.rows()
            cases = sorted({c[:2] for c in rows["exception_case"] if c[3] == "open"})
            for case in cases:
                # Where two messages state one version otherwise, trying again helps nobody.
                if case in tried or await sql.settle("retry", case) == "False":
                    await sql.settle("discard", case)
                tried.add(case)
            running = [r for r in await self._replays() if r.state in ("running", "paused")]
            if not (rows["pending"] or running or cases):
                return
        raise AssertionError(f"no end after {MOST_ROUNDS} rounds: {await sql.rows()}")


def _effects(rows: dict[str, Any]) -> Counter[str]:
    """By number of the message: how often it was decided into effects."""
    labels = [label for direction, label, *_ in rows["message"] if direction == "out"]
    return Counter(label.split()[1] for label in labels if label.startswith(f"{RECORD} "))


@pytest.mark.timeout(900)
def test_whatever_is_replayed_takes_effect_once_and_in_order_and_nothing_is_lost(
    database_url: str,
) -> None:
    _run_all(database_url)


async def _nothing_held(unit: SqlUnit, keys: Iterable[OrderKey]) -> frozenset[OrderKey]:
    return frozenset()


def _as_it_came(works: Sequence[Work], missed: Iterable[Work]) -> list[Work]:
    return list(works)


class _Draws:
    """Draws what it was given, for steps that are written out."""

    def __init__(self, *values: object) -> None:
        self._values = iter(values)

    def draw(self, strategy: object) -> Any:
        return next(self._values)


def _go_wrong_by_order(machine: ReplayRun) -> None:
    """Steps in which everything is in order only as long as somebody sees to it."""
    machine.have_a_history()
    # The events of the first message come the last one first.
    newest_first: Any = _Draws([3, 2, 1])
    machine.deliver_events(data=newest_first, lane="standard", redelivered=False)
    machine.send(messages=[(PLM, 1, None, "away", "", [])], fails=False)
    machine.send(messages=[(PLM, 1, None, "", "", [])], fails=False)
    machine.teardown()


def test_what_could_not_be_read_comes_when_a_replay_reads_it(database_url: str) -> None:
    with model_database(database_url) as (runner, database):
        machine = ReplayRun(runner, database, "curing", "strict")
        machine.have_a_history()
        machine.send(messages=[(ERP, 2, None, "unreadable", "", [])], fails=False)
        machine.send(messages=[(ERP, 2, None, "", "", [])], fails=False)
        machine._business.mended |= set(range(machine._numbers + 1))
        machine.start_replay(mode="redeliver", selection=Selection(types=("unread",)), rate=100.0)
        machine.teardown()


@pytest.mark.parametrize(
    ("place", "broken"),
    [
        ("broker.unit.SqlUnit.held_keys", _nothing_held),
        ("broker.pipeline.in_order", _as_it_came),
    ],
)
def test_what_is_decided_out_of_order_is_noticed(
    database_url: str, monkeypatch: pytest.MonkeyPatch, place: str, broken: Callable[..., object]
) -> None:
    with model_database(database_url) as (runner, database):
        _go_wrong_by_order(ReplayRun(runner, database, "curing", "strict"))
        monkeypatch.setattr(place, broken)
        with pytest.raises(AssertionError, match="was decided in the order"):
            _go_wrong_by_order(ReplayRun(runner, database, "curing", "strict"))


def _run_all(url: str) -> None:
    with model_database(url) as (runner, database):
        for stock, flow in MIXES:
            _run(runner, database, stock, flow)


def _run(runner: asyncio.Runner, database: Database, stock: Order, flow: Order) -> None:
    class Machine(ReplayRun):
        def __init__(self) -> None:
            super().__init__(runner, database, stock, flow)

    run_examples(Machine, examples=2 * EXAMPLES)
