"""What the page of a change says of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ops.console.change_view import stated_at


@pytest.mark.parametrize(
    ("version", "at"),
    [
        (1_795_968_581_000_000, datetime(2026, 11, 29, 16, 9, 41, tzinfo=UTC)),
        (17, None),
        (20_261_129, None),
    ],
)
def test_a_version_that_is_a_time_is_shown_as_one(version: int, at: datetime | None) -> None:
    assert stated_at(version) == at
