"""Celery with a task that does nothing. `python -m ... send N` queues so many of them."""

from __future__ import annotations

import os
import sys

from celery import Celery
from kombu import Queue

QUEUE = "celery.noop"

app = Celery("noop", broker=os.environ["BENCH_AMQP_URL"])
app.conf.update(
    task_queues=[Queue(QUEUE, durable=True, queue_arguments={"x-queue-type": "quorum"})],
    task_default_queue=QUEUE,
    task_ignore_result=True,
    task_acks_late=True,
    worker_detect_quorum_queues=True,
    broker_transport_options={"confirm_publish": True},
)


@app.task(name="noop")
def noop(body: str) -> None:
    """Nothing."""


def send(number: int, body: str) -> None:
    """So many tasks are queued, with this text each."""
    with app.connection_for_write() as connection, app.amqp.Producer(connection) as producer:
        for _ in range(number):
            noop.apply_async((body,), producer=producer)


if __name__ == "__main__":
    send(int(sys.argv[2]), "x" * 1_500)
