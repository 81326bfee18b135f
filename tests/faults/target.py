"""`python -m tests.faults.target FOLDER PORT`: the stand-in for the ERP, which judges the runs.

Each accepted POST makes a row, whatever its idempotency key: a call repeated blindly shows. The
journal on disk is only ever appended to; the table in memory is what it says.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Literal

import msgspec
from aiohttp import web

from canonical.envelope import Lane
from ops.sandbox.journal import Journal
from tests.faults.business import Wanted

TABLE = "effect"
JOURNAL = "journal.jsonl"

Action = Literal[
    "late",  # applied and answered after `seconds`, whether or not the sender still waits
    "slow",  # applied at once, answered after `seconds`
    "apply_then_500",
    "refuse_503",  # not applied
    "refuse_422",  # not applied
    "drip",  # applied; one byte of the answer a second
    "login_page",  # not applied, 200 and a page of HTML
]


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens to the next `times` POSTs of a key and lane; "" is every one, times None is for
    ever."""

    action: Action
    key: str = ""
    lane: Lane | Literal[""] = ""
    times: int | None = 1
    seconds: float = 2.0


class Target:
    """The table, the journal, and the faults in force."""

    def __init__(self, folder: Path) -> None:
        path = folder / JOURNAL
        self.journal = Journal(path)
        bodies: dict[int, str] = {}
        self.rows: dict[str, Wanted] = {}
        for entry in self.journal.entries():
            if entry.kind == "received":
                bodies[entry.request] = entry.body
            elif entry.kind == "applied":
                self.rows[entry.key] = msgspec.json.decode(bodies[entry.request], type=Wanted)
        self.faults: list[Fault] = []
        self._hits: Counter[int] = Counter()
        self._late: set[asyncio.Task[None]] = set()

    async def look_up(self, request: web.Request) -> web.Response:
        """The row of an effect, or 404."""
        row = self.rows.get(request.match_info["effect"])
        number = self.journal.received("GET", request.path, {}, "", is_write=False)
        status = 200 if row else 404
        self.journal.answered(number, status)
        return web.Response(status=status, body=msgspec.json.encode(row) if row else None)

    async def create(self, request: web.Request) -> web.StreamResponse:
        """Another row."""
        body = await request.text()
        wanted = msgspec.json.decode(body, type=Wanted)
        kept = {"idempotency-key": request.headers.get("Idempotency-Key", "")}
        number = self.journal.received("POST", request.path, kept, body, is_write=True)
        fault = self._take(wanted)
        response = await self._answer(request, number, wanted, fault)
        self.journal.answered(number, response.status, fault.action if fault else "")
        return response

    async def _answer(
        self, request: web.Request, number: int, wanted: Wanted, fault: Fault | None
    ) -> web.StreamResponse:
        match fault.action if fault else "":
            case "refuse_503":
                return web.Response(status=503)
            case "refuse_422":
                return web.Response(status=422)
            case "login_page":
                return web.Response(text="<html>Logon</html>", content_type="text/html")
        if fault and fault.action == "late":
            await asyncio.sleep(fault.seconds)
        self._apply(number, wanted)
        if fault and fault.action == "slow":
            await asyncio.sleep(fault.seconds)
        if fault and fault.action == "apply_then_500":
            return web.Response(status=500)
        if fault and fault.action == "drip":
            return await _drip(request)
        return web.Response(status=201)

    def _apply(self, number: int, wanted: Wanted) -> None:
        again = wanted.effect_id in self.rows
        self.rows[wanted.effect_id] = wanted
        self.journal.applied(number, TABLE, wanted.effect_id, "update" if again else "create")

    def _take(self, wanted: Wanted) -> Fault | None:
        for place, fault in enumerate(self.faults):
            used_up = fault.times is not None and self._hits[place] >= fault.times
            is_meant = fault.key in ("", wanted.key) and fault.lane in ("", wanted.lane)
            if is_meant and not used_up:
                self._hits[place] += 1
                return fault
        return None

    async def set_faults(self, request: web.Request) -> web.Response:
        """The faults in force are those of the body, counted from nothing."""
        self.faults = msgspec.json.decode(await request.read(), type=list[Fault])
        self._hits.clear()
        return web.Response(status=204)

    async def show_hits(self, request: web.Request) -> web.Response:
        """How often each fault happened, in their order."""
        hits = [self._hits[place] for place in range(len(self.faults))]
        return web.Response(body=msgspec.json.encode(hits))

    async def grant(self, request: web.Request) -> web.Response:
        """A token; everybody gets one."""
        return web.json_response({"access_token": "token", "expires_in": 3600})


async def _drip(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(status=201)
    await response.prepare(request)
    for _ in range(60):
        await response.write(b" ")
        await asyncio.sleep(1)
    return response


async def serve(folder: Path, port: int) -> None:
    """Answers until SIGTERM."""
    target = Target(folder)
    app = web.Application()
    app.add_routes(
        [
            web.get("/effects/{effect}", target.look_up),
            web.post("/effects", target.create),
            web.post("/token", target.grant),
            web.put("/_faults", target.set_faults),
            web.get("/_faults", target.show_hits),
        ]
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    # A request whose sender is gone goes on: a real target applies what it has received.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await stop.wait()
    await runner.cleanup()
    target.journal.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
