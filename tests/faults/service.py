"""Processes of a run: service instances and the target, started, signalled, observed."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from time import monotonic, time

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from canonical.handler import Order
from ops.stack.processes import free_port, log_tail

ROOT = Path(__file__).resolve().parents[2]
COMPILED = ROOT / ".layshaft" / "compiled"
READY_S = 30.0
END_S = 30.0
RolesAndLanes = tuple[str, str]
"""As `layshaft run --role ... --lanes ...` takes them; empty ones mean all."""
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


class Child:
    """A Python module as a process of its own; its log is kept."""

    def __init__(self, module: str, *arguments: str, log: Path) -> None:
        self._command = (sys.executable, "-m", module, *arguments)
        self.log = log
        self._is_asked_to_end = False
        self._process: subprocess.Popen[bytes] | None = None
        self._is_held = False
        # When it was last seen to have ended, in seconds of the wall clock.
        self.ended_at = 0.0
        # How often it was held still, or let go on.
        self.holds = 0

    def start(self, *prefix: str, **environment: str) -> None:
        """The process runs; `prefix` is a command it is started by, as prlimit."""
        assert not self.is_running
        self._is_asked_to_end = self._is_held = False
        kept = {n: v for n, v in os.environ.items() if not n.startswith("LAYSHAFT_")}
        # Compiling every module anew would be half of the time a start takes.
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        kept.setdefault("PYTHONPYCACHEPREFIX", str(COMPILED))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                (*prefix, *self._command),
                cwd=ROOT,
                env=kept | {"PYTHONPATH": str(ROOT)} | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id; it was started before."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it lives, stopped or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def is_at_work(self) -> bool:
        """Whether it lives, was not asked to end and is not held still."""
        return self.is_running and not self._is_asked_to_end and not self._is_held

    def send(self, number: signal.Signals) -> None:
        """The signal was sent, unless the process is gone already."""
        if self.is_running:
            os.kill(self.pid, number)
            if number in (signal.SIGSTOP, signal.SIGCONT):
                self._is_held = number == signal.SIGSTOP
                self.holds += 1

    async def ended(self, within_s: float = END_S) -> int:
        """Its exit code; negative for a signal. Fails if it lives on."""
        assert self._process is not None
        end = monotonic() + within_s
        while (code := self._process.poll()) is None:
            assert monotonic() < end, f"lives on after {within_s} s\n{log_tail(self.log)}"
            await asyncio.sleep(0.02)
        self.ended_at = time()
        return code

    async def kill(self) -> None:
        """Ended without a word."""
        self.send(signal.SIGKILL)
        await self.ended()

    async def terminate(self, within_s: float = END_S) -> int:
        """Asked to end, and ended; its exit code."""
        self._is_asked_to_end = True
        self.send(signal.SIGTERM)
        return await self.ended(within_s)

    # What /proc tells

    @property
    def rss(self) -> int:
        """Bytes in memory."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE

    @property
    def rss_peak(self) -> int:
        """The most bytes in memory since its start."""
        return self._status("VmHWM")

    @property
    def data(self) -> int:
        """Bytes of address space for data, which `limit_data` caps."""
        return self._status("VmData")

    def limit_data(self, limit: int) -> None:
        """It gets no more than so many bytes for data from now on."""
        resource.prlimit(self.pid, resource.RLIMIT_DATA, (limit, limit))

    def _status(self, name: str) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        kib = next(line.split()[1] for line in lines if line.startswith(f"{name}:"))
        return int(kib) * 1024

    @property
    def cpu_s(self) -> float:
        """Seconds of processor time used."""
        stat = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / _TICKS

    @property
    def sockets(self) -> int:
        """Open sockets."""
        links = []
        for link in Path(f"/proc/{self.pid}/fd").iterdir():
            try:
                links.append(os.readlink(link))
            except FileNotFoundError:
                continue
        return sum(link.startswith("socket:") for link in links)


class Instance(Child):
    """One instance of the service."""

    def __init__(
        self, name: str, *, config: Path, folder: Path, order: Order, share: RolesAndLanes
    ) -> None:
        """order: what orders of a key wait for. share: what of the work it does."""
        log = folder / f"{name}.log"
        super().__init__("tests.faults.worker", str(config), order, *share, log=log)
        self.name = name
        self.port = free_port()
        self.starts = 0

    def launch(self, *prefix: str, failpoints: str = "", **environment: str) -> None:
        """The process runs with these fail points armed; not necessarily ready yet."""
        self.starts += 1
        self.start(
            *prefix,
            LAYSHAFT_FAILPOINTS=failpoints,
            LAYSHAFT_LISTEN_PORT=str(self.port),
            **environment,
        )

    async def ready(self, within_s: float = READY_S) -> None:
        """It says it can work. Fails if it ends before, or says otherwise until the deadline."""
        end = monotonic() + within_s
        while not await self.is_ready():
            assert self.is_running, f"{self.name} ended while starting\n{log_tail(self.log)}"
            assert monotonic() < end, f"{self.name} is not ready\n{log_tail(self.log)}"
            await asyncio.sleep(0.05)

    async def is_ready(self) -> bool:
        """Whether /readyz answers 200."""
        status, _ = await self.page("/readyz")
        return status == 200

    async def page(self, path: str) -> tuple[int, str]:
        """Status and text of a page; status 0 where nobody answers."""
        timeout = aiohttp.ClientTimeout(total=2)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"http://127.0.0.1:{self.port}{path}") as answer,
            ):
                return answer.status, await answer.text()
        except (aiohttp.ClientError, TimeoutError):
            return 0, ""

    async def tasks(self) -> int:
        """Tasks of its event loop that have not ended."""
        return round((await self.metrics())["layshaft_tasks"])

    async def metrics(self) -> Mapping[str, float]:
        """Samples by name, summed over their labels; empty where nobody answers."""
        found: dict[str, float] = {}
        _, text = await self.page("/metrics")
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
        return found
