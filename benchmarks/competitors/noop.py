"""aio-pika as its manual shows it: consume, acknowledge one by one, do nothing else."""

from __future__ import annotations

import asyncio
import sys

import aio_pika
import uvloop
from aio_pika.abc import AbstractIncomingMessage


async def main(amqp_url: str, queue_name: str, prefetch: int) -> None:
    """Consumes until it is ended."""
    connection = await aio_pika.connect(amqp_url)
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=prefetch)
    queue = await channel.get_queue(queue_name, ensure=False)

    async def take(message: AbstractIncomingMessage) -> None:
        await message.ack()

    await queue.consume(take)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
