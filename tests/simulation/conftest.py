"""The simulation's own settings."""

from collections.abc import Iterator

import pytest
import structlog

from tests.simulation.simulate import quiet


@pytest.fixture(autouse=True)
def _no_log_lines() -> Iterator[None]:
    before = structlog.get_config()
    quiet()
    yield
    structlog.configure(**before)
