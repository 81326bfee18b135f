"""`layshaft topology`: how events are split over queues, and who takes which."""

from __future__ import annotations

from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

import msgspec
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, AMQPError
from cyclopts import App

from broker import connections
from broker.partitions import MOST, Ring, State
from broker.rings import change_partitions, deed
from broker.settings import Settings
from broker.store import Database
from broker.store import partitions as rows
from broker.store.partitions import Lease
from broker.topology import LANES, event_queue, queue_states
from canonical.envelope import Lane
from handlers import CATALOGUE
from ops.cli.output import Column, put_json, screen, talk
from ops.cli.problems import Exit, Problem
from ops.cli.session import (
    Actor,
    Common,
    Reading,
    act_on_database,
    configuration,
    fail_points,
    on_database,
    without_password,
)
from ops.queues import declare_topology

app = App(name="topology", help="Split a busy event over more queues, and see who takes them.")

T = TypeVar("T")

WITHIN_S = 10.0


class QueueView(msgspec.Struct, frozen=True, kw_only=True):
    """A queue of an event. partition and ring: None where it is the event's only one in the
    lane. state: whether events come to it. messages: waiting, without those somebody has in hand.
    taken_by: the process whose turn it is; "" where every process takes it or nobody does."""

    event: str
    lane: Lane
    queue: str
    ring: int | None
    state: State
    messages: int
    consumers: int
    taken_by: str


@app.command(name="partitions")
def set_partitions(
    event: str,
    partitions: int,
    /,
    *,
    actor: Actor = Actor(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Split an event over so many queues in every lane, while messages flow.

    Messages of one object always go to the same queue. What the queues before hold is taken beside
    the new ones, in order; they are deleted once they are empty. Each is a quorum queue: take no
    more partitions than processes will share, some 2 to 16.

    Parameters
    ----------
    event
        An event that Layshaft itself takes, as layshaft topology show names it.
    partitions
        How many, 1 to 64.
    """
    settings = configuration(common).settings
    _require_event(event)
    if not 1 <= partitions <= MOST:
        raise Problem(
            Exit.USAGE,
            "partitions-out-of-bounds",
            f"{partitions} partitions",
            why=f"an event has 1 to {MOST}, each of them a queue in every lane",
            fix="Take as many as processes share the work, or twice that",
        )
    made = act_on_database(
        common,
        actor,
        lambda tx: deed(tx, event),
        lambda database, who: _reaching_the_broker(
            settings,
            change_partitions(
                database,
                event=event,
                partitions=partitions,
                declare=partial(declare_topology, settings, CATALOGUE.events),
                actor=who.name,
                fail_points=fail_points(),
            ),
        ),
    )
    screen().line(
        f"{event} has {made.partitions} partitions in every lane now (ring {made.number})"
    )
    talk(f"What came before drains beside them: layshaft topology show {event}")


@app.command(name="show")
def show_topology(
    event: str = "",
    /,
    *,
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> None:
    """Show the queues of events: what waits in them, and who takes them.

    Parameters
    ----------
    event
        Only this one.
    """
    settings = configuration(reading).settings
    if event:
        _require_event(event)
    events = [event] if event else list(CATALOGUE.events)
    views = on_database(
        reading,
        lambda database: _reaching_the_broker(settings, _views(database, settings, events)),
    )
    if reading.is_json:
        put_json(views)
        return
    screen().table(
        [
            Column("queue"),
            Column("state"),
            Column("messages", is_number=True),
            Column("consumers", is_number=True),
            Column("taken by", is_text=True),
        ],
        [[v.queue, v.state, str(v.messages), str(v.consumers), v.taken_by] for v in views],
    )


def _require_event(event: str) -> None:
    if event in CATALOGUE.events:
        return
    raise Problem(
        Exit.NOT_FOUND,
        "event-unknown",
        f"Layshaft takes no event {event!r}",
        why=f"these it does: {', '.join(sorted(CATALOGUE.events))}",
        fix="Name one of them",
    )


async def _views(database: Database, settings: Settings, events: list[str]) -> list[QueueView]:
    async with database.session() as session:
        rings = [r for r in await rows.rings(session) if r.event in events]
        leases = {lease.queue: lease for lease in await rows.leases(session)}
    queues = list(_queues(events, rings))
    connection = await connections.connect(
        settings.amqp_url, heartbeat_s=settings.heartbeat_s, within_s=WITHIN_S
    )
    try:
        with connections.losses():
            held = await queue_states(connection, [name for _, _, _, _, name in queues])
    finally:
        await connections.close(connection, within_s=WITHIN_S)
    return [
        QueueView(
            event=event,
            lane=lane,
            queue=name,
            ring=ring,
            state=state,
            messages=held[name].messages,
            consumers=held[name].consumers,
            taken_by=_taken_by(leases.get(name)),
        )
        for event, lane, ring, state, name in queues
        if name in held
    ]


def _queues(events: list[str], rings: list[Ring]) -> list[tuple[str, Lane, int | None, State, str]]:
    found: list[tuple[str, Lane, int | None, State, str]] = []
    for event in events:
        mine = [r for r in rings if r.event == event]
        alone: State = "draining" if any(r.state == "current" for r in mine) else "current"
        for lane in LANES:
            found.append((event, lane, None, alone, event_queue(event, lane)))
            found += [
                (event, lane, r.number, r.state, name) for r in mine for name in r.queues(lane)
            ]
    return found


def _taken_by(lease: Lease | None) -> str:
    return lease.owner if lease is not None and lease.is_live else ""


async def _reaching_the_broker(settings: Settings, work: Coroutine[Any, Any, T]) -> T:
    """What the work returns. Raises: Problem where RabbitMQ does not answer."""
    try:
        return await work
    except (OSError, TimeoutError, AMQPError, *CONNECTION_EXCEPTIONS) as error:
        raise Problem(
            Exit.UNREACHABLE,
            "broker-unreachable",
            f"{without_password(settings.amqp_url)} does not answer",
            why=str(error) or type(error).__name__,
            fix="Start it or correct amqp_url; then give the command again",
        ) from error
