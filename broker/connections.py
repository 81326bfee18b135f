"""Connections to RabbitMQ: made with deadlines, known to be alive, closed to the end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager

import aio_pika
import structlog
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from broker.sieve import SiftedConnection

log = structlog.get_logger(__name__)

# The library ends its close callbacks in tasks of its own, a turn or two of the loop later.
_CLOSING_TURNS = 3


async def connect(url: str, *, heartbeat_s: int, within_s: float) -> SiftedConnection:
    """A plain connection: whoever holds it makes the next one; the library restores nothing."""
    with losses():
        async with asyncio.timeout(within_s):
            connection = await aio_pika.connect(
                url, connection_class=SiftedConnection, heartbeat=heartbeat_s, timeout=within_s
            )
    assert isinstance(connection, SiftedConnection)
    return connection


@contextmanager
def losses() -> Iterator[None]:
    """Within it, a connection that the library gives up is a ConnectionError.

    Where it hears nothing for `silence_s`, it ends whatever waits for that connection with a
    CancelledError, as if somebody had cancelled the task.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise ConnectionError("RabbitMQ was silent for too long") from error


def silence_s(heartbeat_s: int) -> float:
    """How long the library waits for a sign of life before it takes a connection for lost."""
    return 3.0 * (heartbeat_s + 1)


def is_alive(connection: AbstractConnection | None) -> bool:
    """Whether it can be used. `is_closed` alone tells only of our own close, never of a loss."""
    return connection is not None and not connection.is_closed and connection.connected.is_set()


async def close(connection: AbstractConnection, *, within_s: float) -> None:
    """The connection is closed, or was lost before."""
    try:
        with losses():
            async with asyncio.timeout(within_s):
                await connection.close()
    except (TimeoutError, *CONNECTION_EXCEPTIONS) as error:
        log.info("connection was gone before it was closed", error=repr(error)[:200])
    for _ in range(_CLOSING_TURNS):
        await asyncio.sleep(0)
    # Thousands of objects in circles, which were there too long to be looked at soon.
    gc.collect()
