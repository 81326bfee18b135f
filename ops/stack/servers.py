"""What a started stack offers, and the one failure it may end in."""

from collections.abc import Mapping
from typing import Self

import msgspec

_DATABASE = "LAYSHAFT_TEST_DATABASE_URL"
_AMQP = "LAYSHAFT_TEST_AMQP_URL"
_MANAGEMENT = "LAYSHAFT_TEST_AMQP_MANAGEMENT_URL"


class StackUnavailable(Exception):
    """No PostgreSQL or RabbitMQ can be had here; the text says why and what to do. Exit code 3."""


class Database(msgspec.Struct, frozen=True, kw_only=True):
    """A database on a server that runs."""

    url: str
    """Credentials included; the role may create further databases."""
    origin: str


class Broker(msgspec.Struct, frozen=True, kw_only=True):
    """A virtual host on a broker that runs."""

    amqp_url: str
    management_url: str
    prometheus_url: str | None
    origin: str


class Servers(msgspec.Struct, frozen=True, kw_only=True):
    """A database and a virtual host of our own, ready to use.

    Both may have siblings: `ops.stack.databases` and `ops.stack.management` create further ones,
    named `<ours>_<suffix>`, and stopping the stack drops those too.
    """

    database_url: str
    amqp_url: str
    management_url: str
    """RabbitMQ's HTTP API, credentials included."""
    prometheus_url: str | None = None
    """RabbitMQ's metrics; None where the broker is not ours."""
    pids: tuple[int, ...] = ()
    """Processes started by us, in the order they were started."""
    origins: tuple[str, ...] = ()
    """One line per server for people: version, where it came from, what is unusual about it."""

    def environment(self) -> dict[str, str]:
        """The variables by which a test run finds these servers."""
        return {
            _DATABASE: self.database_url,
            _AMQP: self.amqp_url,
            _MANAGEMENT: self.management_url,
        }

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self | None:
        """The servers named by `environment`, or None unless all variables are set."""
        values = [environment.get(name) for name in (_DATABASE, _AMQP, _MANAGEMENT)]
        if not all(values):
            return None
        database_url, amqp_url, management_url = (value or "" for value in values)
        return cls(database_url=database_url, amqp_url=amqp_url, management_url=management_url)
