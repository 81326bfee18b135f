"""The service's own HTTP edge: /livez (the loop turns), /readyz (it can work), /metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from canonical.codec import encode

TROUBLE: web.AppKey[Callable[[], Mapping[str, str]]] = web.AppKey("trouble")
HOLDS: web.AppKey[Callable[[], Sequence[str]]] = web.AppKey("holds")


async def livez(request: web.Request) -> web.Response:
    """200 as long as the event loop answers; depends on nothing else."""
    return web.Response(text="live\n")


async def readyz(request: web.Request) -> web.Response:
    """200 if every part can work, 503 with the parts that cannot and why. What people have put on
    hold is said, and keeps nothing from working."""
    trouble = {part: why for part, why in request.app[TROUBLE]().items() if why}
    return web.Response(
        body=encode({"ready": not trouble, "trouble": trouble, "holds": request.app[HOLDS]()}),
        status=503 if trouble else 200,
        content_type="application/json",
    )


class HealthServer:
    """Serves the three pages until closed."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        registry: CollectorRegistry,
        trouble: Callable[[], Mapping[str, str]],
        holds: Callable[[], Sequence[str]],
    ) -> None:
        self._host = host
        self._port = port
        app = web.Application()
        app[TROUBLE] = trouble
        app[HOLDS] = holds
        app.router.add_get("/livez", livez)
        app.router.add_get("/readyz", readyz)
        app.router.add_get("/metrics", make_aiohttp_handler(registry=registry))
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=30, shutdown_timeout=2)

    async def start(self) -> int:
        """Listening; returns the port."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        addresses = self._runner.addresses
        return int(addresses[0][1])

    async def close(self) -> None:
        """Not listening any more."""
        await self._runner.cleanup()
