"""Runs seeds. `python -m tests.simulation.simulate SEED` tells what happened, step by step."""

from __future__ import annotations

import logging
import sys

import structlog

from tests.any_lane import any_lane
from tests.simulation.business import CANCELLED, RELEASED, UNHANDLED
from tests.simulation.invariants import after_commit, at_rest
from tests.simulation.world import Violation, World


def quiet() -> None:
    """The core's log lines go nowhere: a seed in which nothing goes wrong has none."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def run(seed: int, world_type: type[World] = World, *, traced: bool = False) -> World:
    """The world of that seed, at rest. Raises: Violation, with its trace."""
    world = world_type(seed, committed=after_commit)
    world.trace = [] if traced else None
    try:
        with any_lane(RELEASED, CANCELLED, UNHANDLED):
            world.run()
        at_rest(world)
    except Violation as violation:
        if not traced:
            run(seed, world_type, traced=True)
            raise Violation(f"seed {seed} failed, but not twice: {violation}") from violation
        raise Violation(f"seed {seed}: {violation}\n{told(world)}\n{violation}") from violation
    return world


def told(world: World) -> str:
    """The trace of a run: when, who, what."""
    return "\n".join(
        f"{at:%d %H:%M:%S.%f} {who:<24} {' '.join(map(str, what))}"
        for at, who, *what in world.trace or []
    )


if __name__ == "__main__":
    quiet()
    print(told(run(int(sys.argv[1]), traced=True)))
