"""What a log line holds, and what it never does."""

from __future__ import annotations

import json
import subprocess
import sys

FAIL = """
import structlog
from ops.logs import configure_logs

def decide(body: str) -> None:
    raise ZeroDivisionError("by zero")

configure_logs()
try:
    decide("a whole payload")
except ZeroDivisionError as error:
    structlog.get_logger().warning("failed", exc_info=error)
"""


def test_a_traceback_names_places_and_shows_no_values() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAIL], capture_output=True, text=True, check=True, timeout=30
    )
    [line] = done.stderr.splitlines()
    [failure] = json.loads(line)["exception"]
    assert failure["exc_type"] == "ZeroDivisionError"
    assert failure["frames"][-1]["name"] == "decide"
    assert "a whole payload" not in line
