"""Who is to blame when a batch fails: a message, nobody (the weather), or our own schema."""

from __future__ import annotations

from collections.abc import Callable

import asyncpg

from broker.application import RaceLost
from broker.decision import broken, refused_by_database
from broker.failpoints import FailPointHit
from broker.intake import Work
from canonical.envelope import Lane
from canonical.errors import Misconfigured

# PostgreSQL accuses a message only with these classes: data exception, integrity, limits.
ACCUSES_A_MESSAGE = ("22", "23", "54")
# Our schema and our code do not fit each other: no message can help that.
STOPS_THE_LANE = ("21", "42")
# The database or the network is away, another batch was faster, or a test asked for it.
NOBODYS_FAULT = (
    asyncpg.InterfaceError,
    # A backend that is killed under a pooled connection leaves its protocol in the middle.
    asyncpg.InternalClientError,
    EOFError,
    OSError,
    TimeoutError,
    Misconfigured,
    RaceLost,
    FailPointHit,
)


def blamed(error: Exception, lane: Lane) -> Callable[[Work], Work] | None:
    """How to mark the message that is to blame for `error`, once it stands alone.

    None where no message is to blame: connection, lock, time-out.
    Raises: Misconfigured where our schema and our code do not fit.
    """
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        if state.startswith(STOPS_THE_LANE):
            raise Misconfigured(
                "schema-mismatch",
                f"The database refused a statement of ours ({state})",
                where=lane,
                remedy="Run `layshaft migrate`; restart after it",
            ) from error
        if not state.startswith(ACCUSES_A_MESSAGE):
            return None
        return lambda work: refused_by_database(work, state)
    if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
        # The client library refuses a value before it is sent, e.g. an integer beyond 64 bits.
        return lambda work: refused_by_database(work, "client")
    if isinstance(error, Misconfigured):
        raise error
    if isinstance(error, NOBODYS_FAULT):
        return None
    return lambda work: broken(work, error)
