"""Who is to blame when a batch fails: a message, nobody (the weather), or our own schema."""

from __future__ import annotations

from collections.abc import Callable

import asyncpg
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from broker.application import RaceLost
from broker.decision import broken, refused_by_database
from broker.failpoints import FailPointHit
from broker.intake import Work
from canonical.envelope import Lane
from canonical.errors import Misconfigured

# An OSError may be of either server.
DATABASE_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    TimeoutError,
)
# PostgreSQL accuses a message only with these classes: data exception, integrity, limits.
ACCUSES_A_MESSAGE = ("22", "23", "54")
# Our schema and our code do not fit each other: no message can help that.
STOPS_THE_LANE = ("21", "42")
# The database, the network or memory is away, another batch was faster, or a test asked for it.
NOBODYS_FAULT = (
    asyncpg.InterfaceError,
    # A backend that is killed under a pooled connection leaves its protocol in the middle.
    asyncpg.InternalClientError,
    EOFError,
    MemoryError,
    OSError,
    TimeoutError,
    Misconfigured,
    RaceLost,
    FailPointHit,
)
# Sessions ended by an operator, no room on the disk, no session to be had: the same for everybody.
FOR_EVERYBODY = ("53100", "53300", "57P01", "57P03", "08001", "08004")


def is_weather(error: Exception) -> bool:
    """Whether no message is to blame: connection, lock, time-out."""
    return isinstance(error, (asyncpg.PostgresError, *NOBODYS_FAULT))


def may_be_one_message(error: Exception) -> bool:
    """Whether it is imaginable that a failure which accuses nobody is about one message alone: a
    lock that only it needs, a time-out, a server process that dies of it."""
    if isinstance(error, asyncpg.PostgresError):
        return error.sqlstate not in FOR_EVERYBODY
    return not isinstance(error, ConnectionRefusedError)


def server_in_words(error: BaseException) -> str:
    """Which server keeps a part from working, as far as its exception tells."""
    kind = type(error).__name__
    if isinstance(error, DATABASE_ERRORS):
        return f"PostgreSQL does not answer as it should ({kind})"
    if isinstance(error, CONNECTION_EXCEPTIONS):
        return f"RabbitMQ or PostgreSQL cannot be reached ({kind})"
    return kind


def accuses(error: Exception) -> bool:
    """Whether a message is to blame for certain, and no lock or time-out that may be over."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith(ACCUSES_A_MESSAGE)
    # The client library refuses a value before it is sent, e.g. an integer beyond 64 bits.
    is_value = isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError)
    return is_value or not isinstance(error, NOBODYS_FAULT)


def blamed(error: Exception, lane: Lane) -> Callable[[Work], Work] | None:
    """How to mark the message that is to blame for `error`, once it stands alone.

    None where no message is to blame: connection, lock, time-out.
    Raises: Misconfigured where our schema and our code do not fit.
    """
    if isinstance(error, Misconfigured):
        raise error
    state = error.sqlstate or "" if isinstance(error, asyncpg.PostgresError) else ""
    if state.startswith(STOPS_THE_LANE):
        raise Misconfigured(
            "schema-mismatch",
            f"The database refused a statement of ours ({state})",
            where=lane,
            remedy="Run `layshaft migrate`; the lane goes on by itself",
        ) from error
    if not accuses(error):
        return None
    if isinstance(error, DATABASE_ERRORS):
        return lambda work: refused_by_database(work, state or "client")
    return lambda work: broken(work, error)
