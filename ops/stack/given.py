"""Servers given by URL: one database and one virtual host of ours on them, given back afterwards.

Nothing else on such a server is read or changed.
"""

from urllib.parse import urlsplit, urlunsplit

import asyncpg
import msgspec

from ops.stack import databases, management
from ops.stack.servers import Broker, Database, StackUnavailable

_DATABASE_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


class Borrowed(msgspec.Struct, frozen=True, kw_only=True):
    """One thing of ours on a server that is not ours."""

    kind: str
    """'database' or 'vhost'."""
    server_url: str
    """Where to drop it: a database URL, or the broker's HTTP API."""
    name: str


def borrow_database(url: str, name: str) -> Borrowed:
    """Create a database called `name` on the server of `url`.

    Raises: StackUnavailable if the server cannot be reached or the role may not create databases.
    """
    try:
        databases.create_database(url, name)
    except _DATABASE_ERRORS as error:
        raise StackUnavailable(
            f"LAYSHAFT_DATABASE_URL: no database can be created there: {error}\n"
            "The role needs the right to create databases (ALTER ROLE ... CREATEDB)."
        ) from error
    return Borrowed(kind="database", server_url=url, name=name)


def borrowed_database(borrowed: Borrowed) -> Database:
    """The borrowed database as part of a stack."""
    url = databases.with_database(borrowed.server_url, borrowed.name)
    version = databases.server_version(url)
    return Database(
        url=url,
        origin=f"PostgreSQL {version} given by LAYSHAFT_DATABASE_URL, database {borrowed.name}",
    )


def management_url(amqp_url: str, given: str | None) -> str:
    """The broker's HTTP API with credentials: as given, else the broker's host on its usual port.

    Raises: StackUnavailable if one of the two is not a URL.
    """
    amqp = urlsplit(amqp_url)
    if amqp.scheme not in ("amqp", "amqps") or not amqp.hostname:
        raise StackUnavailable(
            "LAYSHAFT_AMQP_URL is not of the form amqp://user:password@host:5672/vhost."
        )
    usual = f"https://{amqp.hostname}:15671" if amqp.scheme == "amqps" else ""
    parts = urlsplit(given or usual or f"http://{amqp.hostname}:15672")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise StackUnavailable(
            "LAYSHAFT_AMQP_MANAGEMENT_URL is not of the form http://user:password@host:15672."
        )
    if parts.username:
        return parts.geturl()
    credentials = amqp.netloc.rpartition("@")[0] or "guest:guest"
    return urlunsplit(parts._replace(netloc=f"{credentials}@{parts.netloc}"))


def borrow_vhost(management_url: str, amqp_url: str, name: str) -> Borrowed:
    """Create a virtual host called `name` through the broker's HTTP API.

    Raises: StackUnavailable if the API cannot be reached or the user may not create one.
    """
    try:
        management.create_vhost(management_url, amqp_url, name)
    except management.ManagementError as error:
        raise StackUnavailable(
            f"LAYSHAFT_AMQP_URL: no virtual host can be created there: {error}\n"
            "The broker needs its management plugin (rabbitmq-plugins enable rabbitmq_management) "
            "and the user the tag `administrator`.\n"
            "LAYSHAFT_AMQP_MANAGEMENT_URL says where the HTTP API is if not on its usual port."
        ) from error
    return Borrowed(kind="vhost", server_url=management_url, name=name)


def borrowed_broker(amqp_url: str, borrowed: Borrowed) -> Broker:
    """The borrowed virtual host as part of a stack."""
    version = management.server_version(borrowed.server_url)
    return Broker(
        amqp_url=management.with_vhost(amqp_url, borrowed.name),
        management_url=borrowed.server_url,
        prometheus_url=None,
        origin=f"RabbitMQ {version} given by LAYSHAFT_AMQP_URL, virtual host {borrowed.name}",
    )


def give_back(borrowed: Borrowed) -> str | None:
    """Drop it and its siblings called `<name>_...`; what is left behind if that fails."""
    try:
        if borrowed.kind == "database":
            databases.drop_family(borrowed.server_url, borrowed.name)
        else:
            management.delete_family(borrowed.server_url, borrowed.name)
    except (*_DATABASE_ERRORS, management.ManagementError) as error:
        return f"{borrowed.kind} {borrowed.name} ({error})"
    return None
