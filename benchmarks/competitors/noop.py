"""aio-pika as its manual shows it: consume, acknowledge one by one, do nothing else."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import aio_pika
import uvloop
from aio_pika.abc import AbstractIncomingMessage


def note_time(done: Path) -> None:
    """The time by the clock that all processes of the machine share."""
    done.write_text(str(time.monotonic()))


async def main(amqp_url: str, queue_name: str, prefetch: int, number: int, done: Path) -> None:
    """Consumes until it is ended; when so many are acknowledged the time stands in `done`."""
    left = number
    connection = await aio_pika.connect(amqp_url)
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=prefetch)
    queue = await channel.get_queue(queue_name, ensure=False)

    async def take(message: AbstractIncomingMessage) -> None:
        nonlocal left
        await message.ack()
        left -= 1
        if left == 0:
            note_time(done)

    await queue.consume(take)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        prefetch, number = map(int, sys.argv[3:5])
        runner.run(main(sys.argv[1], sys.argv[2], prefetch, number, Path(sys.argv[5])))
