"""A business of steps only: a release becomes a plan of four calls, two of which wait for others.

`python -m benchmarks.steps CONFIG` is the service with it; `python -m benchmarks.steps target PORT`
the target, which answers at once and keeps nothing.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from canonical.catalogue import Catalogue
from canonical.codec import decode_json
from canonical.connector import Absent, Confirmed, Driver, Observed, Write
from canonical.effects import Effect, Plan, Step
from canonical.envelope import Envelope, Message
from canonical.errors import Unavailable
from canonical.exchange import Request, Response
from canonical.facts import Facts
from canonical.handler import Delivery, Handler, no_needs
from canonical.operations import ExtendToPlant
from ops.app import App
from ops.configuration import load
from ops.logs import configure_logs

CONTRACT, SYSTEM = "bench.release", "erp"
PLANTS = ("1010", "2010")
STEPS = 2 * len(PLANTS)


class Release(msgspec.Struct, frozen=True):
    """What the source sends."""

    id: str
    item: str


def _read(delivery: Delivery) -> Message[Release]:
    release = decode_json(delivery.body, Release)
    return Message(Envelope(release.id, delivery.source, CONTRACT, f"change/{release.id}"), release)


def _decide(message: Message[Release], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    """In each plant the item first, then its assembly."""
    release = message.payload
    steps: list[Step] = []
    for plant in PLANTS:
        item = _step(plant, release.item)
        steps += (item, _step(plant, f"{release.item}-A", item.identity))
    return (Plan(f"change/{release.id}", 1, f"Release {release.id}", tuple(steps)),)


def _step(plant: str, item: str, *depends_on: str) -> Step:
    operation = ExtendToPlant(item, plant, "buy", "H87", "1")
    return Step(plant, SYSTEM, "item", item, operation, depends_on=depends_on)


def _path(step: Step) -> str:
    return f"/items/{step.object_id}/{step.plant}"


def _observed(step: Step, response: Response) -> Observed:
    if response.status != 404:
        raise Unavailable("target-away", f"Status {response.status}")
    return Absent()


def _write(step: Step, observed: Observed, idempotency_key: str) -> Write | None:
    headers = (("Idempotency-Key", idempotency_key), ("Content-Type", "application/json"))
    return Write(Request("POST", _path(step), headers=headers, body=b"{}"), completes=True)


def _confirmed(step: Step, response: Response) -> Confirmed:
    if response.status != 201:
        raise Unavailable("target-away", f"Status {response.status}")
    return Confirmed(reference=step.object_id)


CATALOGUE = Catalogue(
    handlers={
        ("plm", CONTRACT): Handler(
            name="bench-releases",
            scope="bench-release",
            types=(CONTRACT,),
            read=_read,
            needs=no_needs,
            decide=_decide,
        )
    },
    drivers={
        "bench": Driver(
            name="bench",
            observe=lambda step: Request("GET", _path(step), effectful=False),
            read=_observed,
            write=_write,
            confirm=_confirmed,
        )
    },
)


class _Target(asyncio.Protocol):
    """HTTP/1.1 as far as one client needs it: whole heads, bodies of a stated length."""

    def __init__(self) -> None:
        self._coming = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        # uvloop's own class has another base.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Each request that is complete is answered."""
        assert self._transport is not None
        self._coming += data
        while (end := self._coming.find(b"\r\n\r\n")) >= 0:
            head = self._coming[:end].lower()
            length = 0
            if (at := head.find(b"content-length:")) >= 0:
                length = int(head[at + 15 :].partition(b"\r\n")[0])
            if len(self._coming) < end + 4 + length:
                return
            self._coming = self._coming[end + 4 + length :]
            self._transport.write(_answer(head))


def _answer(head: bytes) -> bytes:
    status, body = "404 Not Found", b""
    if head.startswith(b"post /token"):
        status, body = "200 OK", b'{"access_token": "bench", "expires_in": 3600}'
    elif head.startswith(b"post"):
        status = "201 Created"
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Target, "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    """Works until SIGTERM."""
    if sys.argv[1] == "target":
        uvloop.run(_serve(int(sys.argv[2])))
        return
    configure_logs()
    app = App(load(Path(sys.argv[1]), os.environ), catalogue=CATALOGUE)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(app.run())


if __name__ == "__main__":
    main()
