"""A pytest plugin for the fault tests under planted bugs: what is lost is not waited for minutes.

A sound service has settled a small load within seconds, and works visibly until it has.
"""

from __future__ import annotations

from tests.faults.world import World

World.patience_s = 12.0
