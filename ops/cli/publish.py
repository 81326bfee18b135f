"""`layshaft publish`: put a file on a source's inbound exchange, as the source itself would."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import aio_pika
import msgspec
import uuid_utils
from aio_pika.exceptions import (
    CONNECTION_EXCEPTIONS,
    AMQPError,
    ChannelNotFoundEntity,
    DeliveryError,
)
from cyclopts import Parameter

from broker.intake import Arrival, Work, read_arrival
from broker.settings import Settings, Source
from broker.topology import headers_for, inbound_exchange
from canonical.catalogue import Catalogue
from canonical.codec import MAX_BODY_BYTES
from canonical.handler import Delivery
from handlers import CATALOGUE
from ops.cli.output import put_json, screen, talk
from ops.cli.problems import Exit, Problem
from ops.cli.session import Reading, configuration, without_password
from ops.tables import catalogue_of

CONFIRM_S = 10.0

# File name ending -> routing key and content type.
KIND_OF_FILE: dict[str, tuple[str, str]] = {
    ".pdx": ("product-definition", "application/zip"),
    ".zip": ("product-definition", "application/zip"),
    ".xml": ("product-definition", "application/xml"),
    ".json": ("engineering-change", "application/json"),
    ".csv": ("", "text/csv"),
}


class Published(msgspec.Struct, frozen=True):
    """What was sent, and under which ids Layshaft will know it.

    problem: what will be wrong with it, where Layshaft is going to refuse it.
    """

    file: str
    bytes: int
    source: str
    kind: str
    message_id: str
    type: str
    id: str
    key: str
    correlation_id: str
    problem: str = ""


def publish_file(
    file: Path,
    /,
    *,
    source: str,
    kind: str = "",
    message_id: Annotated[str, Parameter(name="--id")] = "",
    time: str = "",
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> None:
    """Send FILE as the source system would; done when the broker has confirmed it.

    Parameters
    ----------
    file
        A package or a JSON document as the source sends it.
    source
        Name of the source in the configuration.
    kind
        Routing key; without it, by the ending of the file name.
    message_id
        AMQP message id; without it, a new one.
    time
        When the source made it, like 2026-03-02T08:00:00Z: its CloudEvents time.
    """
    body = _body(file)
    chosen = configuration(reading)
    settings, catalogue = chosen.settings, catalogue_of(chosen, CATALOGUE)
    sender = sender_of(settings, source)
    known_kind, content_type = KIND_OF_FILE.get(
        file.suffix.lower(), ("", "application/octet-stream")
    )
    routing_key = routing_key_of(file, kind or known_kind, sender)
    delivery = Delivery(
        source=sender.name,
        kind=routing_key,
        body=body,
        content_type=content_type,
        message_id=message_id or str(uuid_utils.uuid7()),
        attributes={"time": time} if time else {},
    )
    published = preview(file.name, delivery, sender, catalogue)
    asyncio.run(send(settings.amqp_url, delivery))
    if reading.is_json:
        put_json(published)
    else:
        _print(published, sender)


def preview(file_name: str, delivery: Delivery, source: Source, catalogue: Catalogue) -> Published:
    """How Layshaft will read the delivery: the same pure functions it reads with."""
    arrival = Arrival(delivery=delivery, lane="standard", queue="")
    work: Work = read_arrival(arrival, lambda d: catalogue.recognise(source.contracts, d))
    envelope = work.entry.envelope
    return Published(
        file=file_name,
        bytes=len(delivery.body),
        source=delivery.source,
        kind=delivery.kind,
        message_id=delivery.message_id,
        type=envelope.type,
        id=envelope.id,
        key=envelope.key,
        correlation_id=envelope.correlation_id,
        problem=f"{work.failure.code}: {work.failure.what}" if work.failure else "",
    )


async def send(amqp_url: str, delivery: Delivery) -> None:
    """Confirmed by the broker and in a queue; a problem otherwise."""
    name = inbound_exchange(delivery.source)
    where = without_password(amqp_url)
    try:
        async with asyncio.timeout(CONFIRM_S):
            connection = await aio_pika.connect(amqp_url, timeout=CONFIRM_S)
            async with connection:
                channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
                exchange = await channel.get_exchange(name, ensure=True)
                await exchange.publish(
                    aio_pika.Message(
                        delivery.body,
                        content_type=delivery.content_type,
                        message_id=delivery.message_id,
                        headers={**headers_for(delivery.attributes)},
                        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                    ),
                    routing_key=delivery.kind,
                    mandatory=True,
                )
    except ChannelNotFoundEntity as error:
        raise Problem(
            Exit.NOT_FOUND,
            "exchange-missing",
            f"The broker has no exchange {name}",
            why=f"nobody has declared it at {where}: Layshaft has not run here yet",
            fix="Start layshaft run once, then publish again",
        ) from error
    except DeliveryError as error:
        raise Problem(
            Exit.REFUSED,
            "not-routed",
            "The broker did not take the message into a queue",
            why=str(error),
            fix="Run layshaft doctor: a queue is missing or full",
        ) from error
    except (OSError, TimeoutError, AMQPError, *CONNECTION_EXCEPTIONS) as error:
        raise Problem(
            Exit.UNREACHABLE,
            "broker-unreachable",
            f"RabbitMQ at {where} does not answer",
            why=str(error) or type(error).__name__,
            fix="Start it or correct amqp_url; then: layshaft doctor. "
            "Sending the same file again does no harm",
        ) from error


def _body(file: Path) -> bytes:
    try:
        body = file.read_bytes()
    except OSError as error:
        raise Problem(
            Exit.NOT_FOUND if isinstance(error, FileNotFoundError) else Exit.USAGE,
            "file-unreadable",
            f"The file {file} cannot be read",
            why=error.strerror or type(error).__name__,
            fix="Name a file that exists and may be read",
        ) from error
    if len(body) > MAX_BODY_BYTES:
        talk(
            f"{file.name} has {len(body)} bytes; more than {MAX_BODY_BYTES} become a case. "
            f"Send it by reference: layshaft package put {file.name} --source SOURCE"
        )
    return body


def routing_key_of(file: Path, kind: str, sender: Source) -> str:
    """The kind of object the file is sent as; a problem where nobody says it."""
    if not kind:
        raise Problem(
            Exit.USAGE,
            "kind-unknown",
            f"It is not clear what {file.name} is",
            why=f"the ending {file.suffix or 'is missing'!s} says nothing",
            fix=f"Give --kind, one of {', '.join(sender.kinds)}",
        )
    return kind


def sender_of(settings: Settings, name: str) -> Source:
    """The configured source of that name; a problem where there is none."""
    found = next((s for s in settings.sources if s.name == name), None)
    if found is None:
        raise Problem(
            Exit.NOT_FOUND,
            "source-unknown",
            f"There is no source {name!r}",
            why="the configuration names "
            + (", ".join(s.name for s in settings.sources) or "none"),
            fix="Give one of them with --source, or configure it",
        )
    return found


def _print(published: Published, source: Source) -> None:
    page = screen()
    page.line(
        f"Confirmed: {published.file}, {published.bytes} bytes, to in.{published.source} "
        f"as {published.kind}"
    )
    if published.problem:
        page.line(f"It will become a case: {published.problem}")
    else:
        page.line(f"Read as {published.type} about {published.key}, id {published.id}")
    page.line(f"layshaft trace {published.correlation_id}")
    if published.kind.partition(".")[0] not in source.kinds:
        talk(
            f"{source.name} is not configured to send {published.kind}; it lands among others. "
            f"Configured: {', '.join(source.kinds)}"
        )
