"""The core under every mixture of faults that a seed comes up with."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from time import perf_counter

import pytest

from tests.simulation.simulate import quiet, run, told

QUICK, FULL = 500, 10_000
# Seeds that once failed. What they come up with changes with the simulation, so each defect they
# found is broken again in test_sabotage.py or has a test of its own.
REGRESSIONS = (12, 35, 95, 304, 424, 578, 726, 8359)
_CHUNK = 100


@pytest.mark.timeout(600)
def test_whatever_goes_wrong_messages_take_effect_once_and_in_order() -> None:
    for seed in range(QUICK):
        run(seed)


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_a_seed_that_once_failed_passes(seed: int) -> None:
    run(seed)


@pytest.mark.full
@pytest.mark.timeout(600)
def test_ten_thousand_seeds_come_to_rest_with_nothing_lost(
    record_property: Callable[[str, object], None],
) -> None:
    began = perf_counter()
    chunks = [range(first, first + _CHUNK) for first in range(QUICK, FULL, _CHUNK)]
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawning, initializer=quiet) as pool:
        done = sum(pool.map(_run_all, chunks))
    assert done == FULL - QUICK
    record_property("seeds", done)
    record_property("seconds", round(perf_counter() - began))


def _run_all(seeds: range) -> int:
    for seed in seeds:
        run(seed)
    return len(seeds)


def test_a_seed_always_gives_the_same_run() -> None:
    assert told(run(7, traced=True)) == told(run(7, traced=True))
