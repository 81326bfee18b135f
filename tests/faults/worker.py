"""`python -m tests.faults.worker FILE ORDER ROLES LANES`: the service as it is, with the test's
catalogue.

ORDER: what orders of a key wait for, as canonical.handler.Order has it. ROLES, LANES: its share of
the work, as `layshaft run` takes it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import msgspec
import uvloop

from canonical.handler import Order
from ops.app import App
from ops.configuration import load
from ops.logs import configure_logs
from ops.roles import share_of
from tests.any_lane import any_lane
from tests.faults.business import EVENT, catalogue


def main() -> None:
    """Works until SIGTERM."""
    configuration = load(Path(sys.argv[1]), os.environ)
    order = msgspec.convert(sys.argv[2], Order)
    share = share_of(*sys.argv[3:5])
    configure_logs()
    with any_lane(EVENT), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(App(configuration, catalogue=catalogue(order), share=share).run())


if __name__ == "__main__":
    main()
