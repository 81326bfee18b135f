"""The running service; once it is stopped, nothing is left in a queue."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from canonical.codec import MAX_BODY_BYTES
from ops.stack import Servers, databases, management
from tests.hostile.running import Prepare, Running


@pytest.fixture(scope="session")
def prepare(
    servers: Servers, database_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Prepare:
    """Makes a service with a database and a virtual host of its own; whoever asks starts it."""

    @contextmanager
    def prepared(*, max_body_bytes: int = MAX_BODY_BYTES) -> Iterator[Running]:
        suffix = secrets.token_hex(4)
        name = f"{databases.database_name(servers.database_url)}_{suffix}"
        vhost = f"{management.vhost_name(servers.amqp_url)}_{suffix}"
        service = Running(
            folder=tmp_path_factory.mktemp("service"),
            database_url=databases.create_database(
                servers.database_url, name, template=database_template
            ),
            amqp_url=management.create_vhost(servers.management_url, servers.amqp_url, vhost),
            max_body_bytes=max_body_bytes,
        )
        try:
            yield service
            service.stop()
            assert asyncio.run(service.left_in_queues()) == {}
        finally:
            service.kill()
            management.delete_vhost(servers.management_url, vhost)
            databases.drop_database(servers.database_url, name)

    return prepared


@pytest.fixture(scope="session")
def service(prepare: Prepare) -> Iterator[Running]:
    """A running service with the limits of production."""
    with prepare() as started:
        started.start()
        yield started
