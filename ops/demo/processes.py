"""The processes of the demo besides the servers: Layshaft itself, and the PLM client."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from ops.demo.inputs import Input
from ops.demo.waiting import Stuck, until

ROOT = Path(__file__).resolve().parents[2]
READY_S = 30.0
STOP_S = 10.0

Adopt = Callable[[int, str], None]
"""Told of each process started, with its name: a later run ends it if this one cannot."""


def environment(**more: str) -> dict[str, str]:
    """Ours for a child: variables that would overrule the demo's configuration are left out."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LAYSHAFT_")}
    path = os.pathsep.join(filter(None, (str(ROOT), kept.get("PYTHONPATH"))))
    return kept | {"PYTHONPATH": path} | more


class Service:
    """`layshaft run` as a process, started again after each death."""

    def __init__(self, *, config: Path, log: Path, url: str, adopt: Adopt) -> None:
        self._config = config
        self._log = log
        self._url = url
        self._adopt = adopt
        self._process: Process | None = None
        self.starts = 0

    async def start(self, failpoints: str = "") -> None:
        """Running and ready, or dead already by one of its fail points."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "ops", "run", "--config", str(self._config)),
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=environment(LAYSHAFT_FAILPOINTS=failpoints),
                # Ctrl-C in the terminal is for the demo, which then stops us in order.
                start_new_session=True,
            )
        self.starts += 1
        self._adopt(self._process.pid, f"layshaft-{self.starts}")
        async with aiohttp.ClientSession() as session:
            await until(
                lambda: self._is_up(session, bool(failpoints)), "Layshaft is ready", READY_S
            )

    async def death(self, deadline_s: float) -> None:
        """Its fail point has killed it.

        Raises: Stuck if it lives on, or ended in any other way.
        """
        assert self._process is not None
        try:
            async with asyncio.timeout(deadline_s):
                code = await self._process.wait()
        except TimeoutError as error:
            raise Stuck("the fail point was not reached", f"log: {self._log}") from error
        if code != -signal.SIGKILL:
            raise Stuck(f"Layshaft ended by itself with exit code {code}", f"log: {self._log}")

    @property
    def exit_code(self) -> int | None:
        """Negative for a signal; None while it runs."""
        return self._process.returncode if self._process is not None else None

    async def stop(self) -> None:
        """Ended, its work in hand finished."""
        if self._process is not None:
            await _end(self._process)

    async def _is_up(self, session: aiohttp.ClientSession, may_die: bool) -> bool:
        assert self._process is not None
        if self._process.returncode is not None:
            if may_die and self._process.returncode == -signal.SIGKILL:
                return True
            raise Stuck(
                f"Layshaft ended while starting, exit code {self._process.returncode}",
                f"log: {self._log}",
            )
        try:
            async with session.get(f"{self._url}/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False


class StatusEvent(msgspec.Struct, frozen=True):
    """What the PLM client wrote down of an event that came back to it."""

    received_at: str
    type: str
    subject: str
    id: str
    data: Mapping[str, Any]


class Plm:
    """The PLM client as a process."""

    def __init__(self, *, events: Path, log: Path, adopt: Adopt) -> None:
        self._events = events
        self._log = log
        self._adopt = adopt
        self._process: Process | None = None
        self.asked: list[Input] = []
        self.confirmed: list[Input] = []

    async def start(self, amqp_url: str) -> None:
        """Connected and listening; the exchange and the queue must exist."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "ops.demo.plm_client", str(self._events)),
                stdin=PIPE,
                stdout=PIPE,
                stderr=log,
                cwd=ROOT,
                env=environment(LAYSHAFT_DEMO_AMQP_URL=amqp_url),
                start_new_session=True,
            )
        self._adopt(self._process.pid, "plm-client")
        await self._answer()

    async def publish(self, *inputs: Input) -> None:
        """The broker has confirmed all of them, in this order."""
        assert self._process is not None
        assert self._process.stdin is not None
        for sent in inputs:
            self.asked.append(sent)
            request = {
                "file": str(sent.file),
                "kind": sent.kind,
                "content_type": sent.content_type,
                "headers": sent.headers,
            }
            self._process.stdin.write(msgspec.json.encode(request) + b"\n")
            await self._process.stdin.drain()
            answer = await self._answer()
            if answer["confirmed"]:
                self.confirmed.append(sent)

    def received(self) -> list[StatusEvent]:
        """The status events that have come back so far."""
        if not self._events.exists():
            return []
        lines = self._events.read_bytes().splitlines(keepends=True)
        # A line without its end is still being written.
        whole = [line for line in lines if line.endswith(b"\n")]
        return [msgspec.json.decode(line, type=StatusEvent) for line in whole]

    async def stop(self) -> None:
        """Ended."""
        if self._process is not None:
            await _end(self._process)

    async def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(READY_S):
                line = await self._process.stdout.readline()
        except TimeoutError as error:
            raise Stuck("the PLM client does not answer", f"log: {self._log}") from error
        if not line:
            raise Stuck("the PLM client ended", f"log: {self._log}")
        return msgspec.json.decode(line, type=dict[str, Any])


async def _end(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
