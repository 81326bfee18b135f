"""Celery with a task that does nothing. `python -m ... send N SEED` queues so many of them, each
with the content that the other rungs take."""

from __future__ import annotations

import os
import sys

from celery import Celery
from kombu import Queue

from benchmarks.changes import letters

QUEUE = "celery.noop"
CONCURRENCY = 2

app = Celery("noop", broker=os.environ["BENCH_AMQP_URL"])
app.conf.update(
    task_queues=[Queue(QUEUE, durable=True, queue_arguments={"x-queue-type": "quorum"})],
    task_default_queue=QUEUE,
    task_ignore_result=True,
    task_acks_late=True,
    worker_detect_quorum_queues=True,
    broker_transport_options={"confirm_publish": True},
    # Celery multiplies it by the number of its processes.
    worker_prefetch_multiplier=int(os.environ["BENCH_PREFETCH"]) // CONCURRENCY,
)


@app.task(name="noop")
def noop(body: str) -> None:
    """Nothing."""


def send(number: int, seed: int) -> None:
    """So many tasks are queued."""
    with app.connection_for_write() as connection, app.amqp.Producer(connection) as producer:
        for letter in letters(number, seed=seed):
            noop.apply_async((letter.body.decode(),), producer=producer)


if __name__ == "__main__":
    send(int(sys.argv[2]), int(sys.argv[3]))
