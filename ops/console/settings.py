"""Where the console listens, how people reach it, and how long they are signed in."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from broker.sessions import Limits
from canonical.errors import Misconfigured

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


class ConsoleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table [console]; without it there is no console.

    listen: host and port, port 0 takes a free one. url: how browsers reach it, where that is
    another address than the one it listens on. beyond_loopback: that others on the network may
    reach it is meant. time_zone: times are shown in it. idle_minutes, most_hours: how long somebody
    is signed in without doing anything, and altogether.
    """

    listen: str = "127.0.0.1:8090"
    url: str = ""
    beyond_loopback: bool = False
    time_zone: str = "UTC"
    idle_minutes: int = 60
    most_hours: int = 12

    @property
    def limits(self) -> Limits:
        """How long a session lasts."""
        return Limits(idle_s=self.idle_minutes * 60.0, most_s=self.most_hours * 3600.0)

    @property
    def zone(self) -> ZoneInfo:
        """The zone of `time_zone`."""
        return ZoneInfo(self.time_zone)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def is_https(self) -> bool:
        """Whether browsers reach it by TLS, which ends before it."""
        return self.url.startswith("https://")

    def origins(self, port: int) -> frozenset[str]:
        """Origins of its own pages. port: that it listens on."""
        if self.url:
            return frozenset({self.url})
        return frozenset(f"http://{name}:{port}" for name in _LOOPBACK_NAMES)


def refuse_unsafe(settings: ConsoleSettings) -> None:
    """Raises: Misconfigured where it would listen to whom nobody meant, or cannot be read."""
    try:
        host, _ = settings.address
        is_loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        raise _wrong("listen", "is no host and port", "Write it as 127.0.0.1:8090") from None
    if not is_loopback and not (settings.beyond_loopback and settings.url):
        raise Misconfigured(
            "console-beyond-loopback",
            f"The console would listen on {settings.listen}, for others on the network",
            where="console.listen",
            remedy="Listen on 127.0.0.1; or, if others are meant to reach it, set beyond_loopback ="
            " true and url to the address in their browsers, best of a proxy that speaks https",
        )
    if settings.url and not _is_origin(settings.url):
        example = "https://layshaft.example.com"
        raise _wrong("url", "is no address of a site", f"Write it without a path, as {example}")
    try:
        _ = settings.zone
    except (ZoneInfoNotFoundError, ValueError):
        raise _wrong(
            "time_zone", "is no time zone", "Write it as the tz database, e.g. Europe/Berlin"
        ) from None
    if settings.idle_minutes < 1 or settings.most_hours < 1:
        raise _wrong("idle_minutes", "leaves no time", "Give idle_minutes and most_hours over 0")


def _is_origin(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and url == f"{parts.scheme}://{parts.netloc}"


def _wrong(key: str, what: str, remedy: str) -> Misconfigured:
    return Misconfigured("console-invalid", f"{key} {what}", where=f"console.{key}", remedy=remedy)
