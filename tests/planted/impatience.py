"""A pytest plugin for the fault tests under planted bugs: what is lost is not waited for minutes.

A sound service has settled a small load within two seconds.
"""

from __future__ import annotations

from tests.faults.world import World

SETTLED_S = 12.0

# within_s, the only default there is.
assert len(World.settled.__defaults__ or ()) == 1
World.settled.__defaults__ = (SETTLED_S,)
