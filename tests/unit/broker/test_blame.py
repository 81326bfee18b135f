"""Failures that accuse nobody: which of them may still be about one message alone."""

from __future__ import annotations

import asyncpg
import pytest

from broker.blame import is_weather, may_be_one_message


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.TooManyConnectionsError("no slot"),
        asyncpg.DiskFullError("no room"),
        asyncpg.AdminShutdownError("ended"),
        asyncpg.CannotConnectNowError("starting"),
        ConnectionRefusedError(),
    ],
)
def test_what_everybody_meets_is_never_about_one_message(error: Exception) -> None:
    assert is_weather(error)
    assert not may_be_one_message(error)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.LockNotAvailableError("locked"),
        asyncpg.QueryCanceledError("took too long"),
        asyncpg.DeadlockDetectedError("in a ring"),
        asyncpg.ConnectionDoesNotExistError("gone in the middle"),
        TimeoutError(),
    ],
)
def test_a_lock_a_time_out_and_a_lost_session_may_be(error: Exception) -> None:
    assert is_weather(error)
    assert may_be_one_message(error)
