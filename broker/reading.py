"""What messages refer to is fetched, and large contents are read beside the event loop.

Two kinds of references (Claim Check): a package that its sender put, and an event of ours that
stands in the log already. Handlers are given the content and do not see the difference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import IO

from msgspec.structs import replace

from broker.aside import aside
from broker.intake import (
    Arrival,
    Recognise,
    Work,
    is_by_reference,
    missed_unreadable,
    read_arrival,
    read_arrivals,
    read_missed,
    read_pending,
    unread,
    unreadable,
    untouched,
    unwrapped,
)
from broker.store import Position
from broker.store.order import LoggedEvent
from broker.store.pending import PendingWork
from broker.unit import Storage
from canonical.errors import Failure, InvalidMessage
from canonical.handler import Delivery, Handler, Package
from canonical.package import (
    MAX_INLINE_BYTES,
    PackageReference,
    is_reference,
    read_reference,
)

# Contents of one commit, apart from a package, which comes alone. Each is in memory four times by
# then: as received, as read, as a parameter and in the buffer of the connection.
PORTION_BYTES = 4 * 1024 * 1024


def portions(arrivals: Sequence[Arrival]) -> list[list[Arrival]]:
    """The arrivals in their order, cut where the contents of one commit would take too much."""
    cut: list[list[Arrival]] = []
    room = 0
    for arrival in arrivals:
        if not cut or arrival.content_bytes > room:
            cut.append([])
            room = PORTION_BYTES
        cut[-1].append(arrival)
        room -= arrival.content_bytes
    return cut


# Codes of what is wrong where the package of a message that was read before is gone.
_CONTENT_GONE = frozenset({"package-missing", "package-other-content", "package-damaged"})


def is_content_gone(work: Work) -> bool:
    """Whether its message cannot be read because what it refers to is not there."""
    return work.failure is not None and work.failure.code in _CONTENT_GONE


class Reader:
    """Reads deliveries, with what they refer to."""

    def __init__(
        self,
        *,
        storage: Storage,
        recognise: Recognise,
        handler_named: Callable[[str], Handler],
        read_s: float,
    ) -> None:
        """read_s: how long reading one content may take before it is refused."""
        self.read_s = read_s
        self._storage = storage
        self._recognise = recognise
        self._handler_named = handler_named

    async def arrivals(self, arrivals: Sequence[Arrival]) -> list[Work]:
        """One work for each, in order; what cannot be fetched or read is a failure of its own."""
        places = [a.logged for a in arrivals if a.logged and is_by_reference(a.delivery)]
        bodies: Mapping[Position, bytes] = {}
        if places:
            bodies = await self._storage.bodies(places)
        return await read_arrivals(arrivals, lambda a: self._arrival(a, bodies))

    async def _arrival(self, arrival: Arrival, bodies: Mapping[Position, bytes]) -> Work:
        if arrival.read is not None:
            return arrival.read
        delivery = arrival.delivery
        if arrival.logged is not None and is_by_reference(arrival.delivery):
            if arrival.logged not in bodies:
                # A row that waits needs its message in the log.
                return unread(delivery, arrival.lane, _gone(delivery), arrival.logged)
            delivery = replace(delivery, body=bodies[arrival.logged])
        if arrival.refusal is not None:
            return read_arrival(arrival, self._recognise)
        return await self._read(
            delivery,
            lambda d: read_arrival(replace(arrival, delivery=d), self._recognise),
            lambda failure: self.unreadable(arrival, failure),
        )

    def unreadable(self, arrival: Arrival, failure: Failure) -> Work:
        """A delivery whose content cannot be fetched or read, or is not to be, with its failure."""
        return unreadable(arrival.delivery, arrival.lane, self._recognise, failure, arrival.logged)

    async def missed(self, event: LoggedEvent) -> Work:
        """An event of ours as the log holds it, taken before a later one of its object."""
        return await self._read(
            event.delivery,
            lambda d: read_missed(replace(event, delivery=d), self._recognise),
            lambda failure: missed_unreadable(event, self._recognise, failure),
        )

    async def pending(self, pending: PendingWork) -> Work:
        """A claimed row as work; its message stands in the log, what that refers to may not."""
        return await self._read(
            pending.delivery,
            lambda d: read_pending(replace(pending, delivery=d), self._handler_named),
            lambda failure: untouched(pending, failure),
        )

    async def whole(self, delivery: Delivery) -> Delivery:
        """The delivery with all it refers to in memory, for those who take it elsewhere.

        Raises: InvalidMessage where that is gone or the reference cannot be read.
        """
        reference = _package_of(delivery)
        if reference is None:
            return unwrapped(delivery)
        async with self._storage.package_file(reference) as file:
            content = await aside(file.read)
        return _with_package(delivery, reference, BytesIO(content))

    async def _read(
        self,
        delivery: Delivery,
        read: Callable[[Delivery], Work],
        refuse: Callable[[InvalidMessage], Work],
    ) -> Work:
        try:
            reference = _package_of(delivery)
            if reference is None:
                if len(delivery.body) <= MAX_INLINE_BYTES:
                    return read(delivery)
                return await self._read_aside(read, delivery)
            async with self._storage.package_file(reference) as file:
                return await self._read_aside(read, _with_package(delivery, reference, file))
        except InvalidMessage as failure:
            return refuse(failure)

    async def _read_aside(self, read: Callable[[Delivery], Work], delivery: Delivery) -> Work:
        """Past the deadline the thread is left behind: it ends where its package is closed, else
        with its content, whose size is bounded."""
        try:
            async with asyncio.timeout(self.read_s):
                return await aside(read, delivery)
        except TimeoutError:
            raise _too_slow(self.read_s) from None


def _package_of(delivery: Delivery) -> PackageReference | None:
    delivery = unwrapped(delivery)
    return read_reference(delivery.body) if is_reference(delivery.content_type) else None


def _with_package(delivery: Delivery, reference: PackageReference, file: IO[bytes]) -> Delivery:
    """The attribute keeps the package for as long as the message is in the log."""

    def from_start() -> IO[bytes]:
        file.seek(0)
        return file

    delivery = unwrapped(delivery)
    return replace(
        delivery,
        attributes={**delivery.attributes, "dataref": reference.reference},
        package=Package(reference.bytes, bytes.fromhex(reference.sha256), from_start),
    )


def _gone(delivery: Delivery) -> InvalidMessage:
    return InvalidMessage(
        "event-gone",
        f"The event refers to {delivery.attributes['dataref']}, which is not in the log any more",
        where="dataref",
        remedy="Have its object released anew; find out how the event outlived its day in the log",
        owner="operations",
    )


def _too_slow(read_s: float) -> InvalidMessage:
    return InvalidMessage(
        "content-too-slow",
        f"Reading the content takes longer than {read_s:g} s",
        where="package",
        remedy="Export it in parts; if other messages are slow too, give the service more CPU",
    )
