"""F41 to F47: what the sources send is repeated, shuffled, contradictory, refused or late."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial

import msgspec
import pytest

from canonical.errors import Conflict
from ops.app import GAUGES_S
from tests.faults import evidence
from tests.faults.conftest import Running, is_full
from tests.faults.health import sampled
from tests.faults.invariants import effects_once
from tests.faults.load import Sent, Size, shuffled, with_twins
from tests.faults.service import Instance
from tests.faults.target import Fault
from tests.faults.world import World, until
from tests.integration.aging import date_back

COPIES = 3
LATE = timedelta(days=31)
# Two instances take copies, or versions, of one thing at the same moment.
QUICK_TWO = Size(rate=100, seconds=3, keys=20, instances=2, judged_again=False)
FULL_TWO = Size(rate=100, seconds=20, keys=100, instances=2)


def two() -> Size:
    return FULL_TWO if is_full() else QUICK_TWO


async def codes(world: World) -> Counter[str]:
    """Codes of the open cases."""
    return Counter(await world.column("select code from exception_case where state = 'open'"))


def require_no_log_line(world: World, *words: str) -> None:
    """No instance has logged one of these words."""
    for instance in world.instances:
        lines = instance.log.read_text().splitlines()
        assert [line for line in lines if any(word in line for word in words)] == []


@pytest.mark.fault("F41", quick=False)
async def test_f41_each_message_sent_three_times_at_once(run: Running) -> None:
    async with run(size=two()) as world:
        await world.start()
        await world.warm_up()
        async with world.load(copies=COPIES) as load:
            world.injected(f"each message goes over {COPIES} connections at once")
        await world.recovers("the last copy")
        await world.judge(not_applicable={"I5": "every message is repeated"})
        # Each copy was counted, whichever instance and batch it came to, and disturbed nobody.
        repeats = await world.column("select count(*) from duplicate")
        assert repeats[0] >= (COPIES - 1) * len(load.ledger)
        assert not await codes(world)
        require_no_log_line(world, "UniqueViolation", "duplicate key", '"level": "error"')


@pytest.mark.fault("F42", quick=True)
async def test_f42_versions_delivered_shuffled_where_the_latest_wins(run: Running) -> None:
    async with run(size=two(), order="latest") as world:
        await world.start()
        await world.warm_up()
        world.plan(lambda load: shuffled(load, world.chance))
        # The first calls take a second, in which the next version of their object is wanted.
        await world.set_target_faults(Fault("late", times=world.size.keys, seconds=1.0))
        async with world.load():
            world.injected("versions of each key are shuffled")
        await world.recovers("the last version")
        found = await world.judge(not_applicable={"I5": "every key is shuffled"})
        assert found.superseded
        # Whatever came first, each key ends with its newest version, and the others are on record.
        newest: dict[str, int] = {}
        for sent in found.sent:
            newest[sent.order.key] = max(sent.order.version, newest.get(sent.order.key, 0))
        assert {w.key: w.version for w in found.applied} == newest
        audited = await world.column("select count(*) from audit where action = 'superseded'")
        assert audited == [len(found.superseded)]


async def shows_open_cases(instance: Instance, word: str, number: int) -> bool:
    """The gauge of open cases is at this number for this class of failures, and at 0 for all
    others."""
    metric = "layshaft_cases_open"
    mine = await sampled([instance], metric, error_class=word)
    return mine == number == await sampled([instance], metric)


@pytest.mark.fault("F43", quick=False)
async def test_f43_an_id_used_again_with_another_payload(run: Running) -> None:
    async with run() as world:
        await world.start()
        await world.warm_up()
        twins: list[Sent] = []

        healthy = world.size.messages // 3

        def add_twins(load: list[Sent]) -> list[Sent]:
            both, made = with_twins(load[healthy:], every=40)
            twins.extend(made)
            return [*load[:healthy], *both]

        world.plan(add_twins)
        async with world.load() as load:
            await load.passes(healthy)
            async with world.spared("the others", lambda sent: sent not in twins):
                world.injected(f"{len(twins)} ids are used twice")
                await load.passes(healthy)
        await world.recovers("the last twin")
        # The first content counts and goes on; the second one waits for a person, holding nobody.
        found = await world.judge(may_pass_parked=True)
        assert found.parked == {t.order.effect_id for t in twins}
        assert await codes(world) == {"id-reused": len(twins)}
        # Operators are told, by the gauge that the alert goes by, and on record.
        for instance in world.instances:
            await until(
                partial(shows_open_cases, instance, Conflict.word, len(twins)),
                f"{instance.name} shows the open cases",
                3 * GAUGES_S,
            )
        opened = await world.column(
            "select detail->>'code' from audit where action = 'case-opened'"
        )
        assert opened == ["id-reused"] * len(twins)


@pytest.mark.fault("F45", quick=False)
async def test_f45_one_key_that_always_fails(run: Running) -> None:
    async with run() as world:
        await world.start()
        await world.warm_up()
        failing: list[Sent] = []
        healthy = world.size.messages // 3

        def refuse_one_key(load: list[Sent]) -> list[Sent]:
            keys = Counter(s.order.key for s in load[healthy:])
            key = keys.most_common(1)[0][0]
            failing.extend(s for s in load[healthy:] if s.order.key == key)
            for sent in failing:
                sent.order = msgspec.structs.replace(sent.order, fault="refuse")
            return load

        world.plan(refuse_one_key)
        key = failing[0].order.key
        async with world.load() as load:
            await load.passes(healthy)
            async with world.spared("other keys", lambda sent: sent.order.key != key):
                world.injected(f"{key} is refused each time")
                await load.passes(healthy)
        await world.recovers("the last refusal")
        # One message waits for a person and its successors wait behind it; nobody else waits.
        found = await world.judge()
        assert found.parked == {s.order.effect_id for s in failing}
        assert await codes(world) == {"order-refused": 1}
        states = await world.column("select state from pending order by id")
        assert states == ["in_case", *["parked"] * (len(failing) - 1)]


@pytest.mark.fault("F47", quick=False)
async def test_f47_repeats_later_than_anything_is_remembered(run: Running) -> None:
    async with run(order="latest", trusted=("source-1",)) as world:
        await world.start()
        await world.warm_up()

        def say_when(load: list[Sent]) -> list[Sent]:
            for sent in load:
                sent.time = datetime.now(UTC).isoformat()
            return load

        world.plan(say_when)
        async with world.load():
            world.injected("a month will pass")
        await world.recovers("the first time")
        found = await world.judge(not_applicable={"I5": "everything is repeated"})
        effects, calls = len(found.applied), len(world.journal().calls)
        superseded = len(found.superseded)

        await date_back(partial(evidence.execute, world.servers.database_url), LATE)
        # Housekeeping is the first thing a process does.
        await world.restart_all()

        async def is_forgotten() -> bool:
            return await world.column("select count(*) from inbox") == [0]

        await until(is_forgotten, "housekeeping has forgotten a month", 60.0)
        late = [
            Sent(s.source, s.order, time=(datetime.now(UTC) - LATE).isoformat()) for s in found.sent
        ]
        await world.send(late, rate=world.size.rate)

        async def is_handled() -> bool:
            return await world.column("select count(*) from inbox where "
                                      "subscription = 'fault-orders'") == [len(late)]  # fmt: skip

        async def is_finished() -> bool:
            tables = await evidence.read_tables(world.servers.database_url)
            return not any(tables.unfinished.values())

        await until(is_handled, "every repeat was looked at", 60.0)
        await until(is_finished, "nothing is left to do", 60.0)
        after = await world.found()
        # Nothing is made twice: the ledger of an effect knows it, and nobody asks the target.
        assert effects_once(after) == []
        assert (len(after.applied), len(world.journal().calls)) == (effects, calls)
        # Where the sender's time is believed, repeats are refused, to one case a key ...
        believed = [s for s in late if s.source == "source-1"]
        assert await codes(world) == {"too-old": len({s.order.key for s in believed})}
        refused = await world.column("select count(*) from inbox where outcome = 'invalid'")
        assert refused == [len(believed)]
        # ... and where it is not, the older versions are, once more, superseded on record.
        audited = await world.column("select count(*) from audit where action = 'superseded'")
        stale = superseded + sum(not _is_newest(s, late) for s in late if s.source != "source-1")
        assert audited == [stale]


def _is_newest(sent: Sent, load: list[Sent]) -> bool:
    return sent.order.version == max(s.order.version for s in load if s.order.key == sent.order.key)
