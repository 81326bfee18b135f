"""A PLM system as Layshaft sees it: a process of its own that knows aio-pika and nothing of ours.

    python -m ops.demo.plm_client EVENTS_FILE        (LAYSHAFT_DEMO_AMQP_URL: the broker)

Each line on standard input names a file to publish, as JSON: {"file", "kind", "content_type",
"headers"}; each is answered by one line on standard output once the broker has taken it. Status
events that come back are appended to EVENTS_FILE, one JSON line each. Ends with its input.
"""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage
from aio_pika.exceptions import DeliveryError

SOURCE = "plm"
CONFIRM_S = 10.0


async def main(events_file: Path) -> None:
    connection = await aio_pika.connect(os.environ["LAYSHAFT_DEMO_AMQP_URL"])
    async with connection:
        # Returned messages raise: what no queue wants must not look sent.
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        exchange = await channel.get_exchange(f"in.{SOURCE}", ensure=True)
        statuses = await (await connection.channel()).get_queue(f"out.{SOURCE}", ensure=True)
        with events_file.open("a", encoding="utf-8") as events:

            async def note(message: AbstractIncomingMessage) -> None:
                events.write(json.dumps(event_of(message)) + "\n")
                events.flush()
                await message.ack()

            await statuses.consume(note)
            answer({"ready": True})
            await publish_what_is_asked(exchange)


async def publish_what_is_asked(exchange: AbstractExchange) -> None:
    """Takes one request after the other until standard input ends."""
    requests = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(requests), sys.stdin)
    while line := await requests.readline():
        answer(await publish(exchange, json.loads(line)))


async def publish(exchange: AbstractExchange, request: dict[str, Any]) -> dict[str, Any]:
    """The broker has taken the file, or the answer says why not."""
    message = aio_pika.Message(
        await asyncio.to_thread(Path(request["file"]).read_bytes),
        content_type=request["content_type"],
        headers={f"x-{number}": True for number in range(request["headers"])},
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
    try:
        await exchange.publish(
            message, routing_key=request["kind"], mandatory=True, timeout=CONFIRM_S
        )
    except (DeliveryError, TimeoutError) as error:
        return {"file": request["file"], "confirmed": False, "why": repr(error)}
    return {"file": request["file"], "confirmed": True, "why": ""}


def event_of(message: AbstractIncomingMessage) -> dict[str, Any]:
    headers = message.headers
    return {
        "received_at": datetime.now(UTC).isoformat(),
        "type": str(headers.get("ce-type", "")),
        "subject": str(headers.get("ce-subject", "")),
        "id": str(headers.get("ce-id", "")),
        "data": json.loads(message.body),
    }


def answer(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
