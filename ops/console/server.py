"""The console's own listener."""

from __future__ import annotations

from aiohttp import web

from broker.store import Database
from canonical.rules import Rules
from ops.console.app import application
from ops.console.guards import ORIGINS
from ops.console.live import HEARTBEAT_S
from ops.console.settings import ConsoleSettings

# Streams end at once when they are told; what is being written has this long.
SHUTDOWN_S = 2.0


class ConsoleServer:
    """Serves the console until closed."""

    def __init__(
        self,
        settings: ConsoleSettings,
        *,
        reading: Database,
        acting: Database,
        rules: Rules,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._settings = settings
        self._app = application(
            settings, reading=reading, acting=acting, rules=rules, heartbeat_s=heartbeat_s
        )
        self._runner = web.AppRunner(
            self._app, access_log=None, keepalive_timeout=30, shutdown_timeout=SHUTDOWN_S
        )

    async def start(self) -> int:
        """Listening; returns the port."""
        await self._runner.setup()
        host, port = self._settings.address
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        found = int(self._runner.addresses[0][1])
        self._app[ORIGINS].extend(self._settings.origins(found))
        return found

    async def close(self) -> None:
        """Not listening any more; streams have ended."""
        await self._runner.cleanup()
