"""Replays of what is parked, while live messages come and processes are killed."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

import pytest

from tests.faults.conftest import is_full
from tests.integration.replaying import an_order, emitted, start, view
from tests.integration.toy import DEADLINE_S, Bench, arrivals, bench_on, repaired

ROOT = Path(__file__).parents[2]
KILLS = 4


async def parked(bench: Bench, keys: int) -> None:
    """Two orders of each key: the first one is in a case, the second one waits behind it."""
    works = [
        an_order(2 * n + m, f"order/{n}", emits=(f"S{2 * n + m}",), fault="" if m else "rejected")
        for n in range(keys)
        for m in (0, 1)
    ]
    for n in range(0, len(works), 200):
        await bench.pipeline().take(arrivals(works[n : n + 200]))
    assert await bench.count("pending") == 2 * keys


async def has_ended(bench: Bench, replay_id: int) -> None:
    """Looks again and again until it has; the caller sets the deadline."""
    while True:
        if (await view(bench, replay_id)).state != "running":
            return
        await asyncio.sleep(0.1)


async def kill_again_and_again(bench: Bench, replay_id: int, pauses_s: Sequence[float]) -> None:
    """Processes work on the replay, each one killed in its work; the last one finishes it."""
    for pause_s in (*pauses_s, None):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.integration.replay_process", bench.url,
            stdout=asyncio.subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            async with asyncio.timeout(DEADLINE_S * 4):
                assert await process.stdout.readline() == b"works\n"
            if pause_s is not None:
                await asyncio.sleep(pause_s)
            else:
                async with asyncio.timeout(500 if is_full() else 90):
                    await has_ended(bench, replay_id)
        finally:
            process.kill()
            await process.wait()


@pytest.mark.fault("F46", quick=True)
async def test_f46_parked_items_are_replayed_under_live_load_through_kills_without_a_duplicate(
    database_url: str, seed: int, record_property: Callable[[str, object], None]
) -> None:
    chance = random.Random(seed)
    pauses_s = [round(chance.uniform(0.1, 1.5), 2) for _ in range(KILLS)]
    async with bench_on(database_url) as bench:
        began = monotonic()
        live, most = await survives(bench, 5_000 if is_full() else 150, pauses_s)
        figures = {"killed_after_s": pauses_s, "live": live, "most_unfinished": most}
    for name, value in (figures | {"seconds": round(monotonic() - began, 1)}).items():
        record_property(name, value)


async def survives(bench: Bench, keys: int, pauses_s: Sequence[float]) -> tuple[int, int]:
    """Two parked orders of each key end applied, once, in order, however often it is killed; how
    many live orders came meanwhile, and how many of the replay were unfinished at most."""
    await parked(bench, keys)
    replay_id = await start(bench, "redeliver", rate=1_000 if is_full() else 100)
    live = 0
    most = 0
    ended = asyncio.Event()

    async def live_traffic() -> None:
        """New orders of replayed keys and of others, and a look at how much the replay has out."""
        nonlocal live, most
        while not ended.is_set():
            batch = [an_order(1_000_000 + live + n, f"order/{(live + n) % (2 * keys)}",
                              emits=(f"L{live + n}",)) for n in range(10)]  # fmt: skip
            await bench.pipeline(orders=repaired()).take(arrivals(batch))
            live += len(batch)
            out = await bench.column("select count(*) from pending where replay_id = $1", replay_id)
            most = max(most, out[0])
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        group.create_task(live_traffic())
        try:
            await kill_again_and_again(bench, replay_id, pauses_s)
        finally:
            ended.set()
    # What a killed process had begun is left to it for a while.
    rest = bench.pipeline(orders=repaired())
    async with asyncio.timeout(60):
        while await bench.count("pending"):
            if not await rest.take_pending(50):
                await asyncio.sleep(0.1)
    row = await view(bench, replay_id)
    assert (row.state, row.counts.looked, row.counts.released) == ("done", row.expected, keys)
    assert [await bench.count("pending"), await bench.cases()] == [0, []]
    assert most <= 2 * 100
    events = await emitted(bench)
    assert sorted(events) == sorted(
        [f"supplier/S{n}" for n in range(2 * keys)] + [f"supplier/L{n}" for n in range(live)]
    )
    place = {key: n for n, key in enumerate(events)}
    assert all(place[f"supplier/S{2 * n}"] < place[f"supplier/S{2 * n + 1}"] for n in range(keys))
    # What came live of a parked key came after what was parked.
    for n in range(min(live, keys)):
        assert place[f"supplier/S{2 * n + 1}"] < place[f"supplier/L{n}"]
    return live, most
