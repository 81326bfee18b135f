"""`python -m tests.faults.worker FILE`: the service as it is, with the test's catalogue."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import uvloop

from ops.app import App
from ops.configuration import load
from ops.logs import configure_logs
from tests.faults.business import CATALOGUE


def main() -> None:
    """Works until SIGTERM."""
    configuration = load(Path(sys.argv[1]), os.environ)
    configure_logs()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(App(configuration, catalogue=CATALOGUE).run())


if __name__ == "__main__":
    main()
