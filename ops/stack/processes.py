"""Server processes of ours: started apart from the terminal, recorded on disk, found again.

A process counts as ours only if its id, its start time and a marker on its command line all agree
with the record, so a recycled process id is never signalled.
"""

import os
import secrets
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import msgspec

from ops.stack.servers import StackUnavailable

_POLL_S = 0.02
_LOG_TAIL_LINES = 12
# Below the kernel's ephemeral range (32768 and up), so no outgoing connection takes the port
# between the moment it was found free and the moment the server binds it.
_PORTS = range(20_000, 32_000)


class ProcessRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How to recognise and stop one server process."""

    name: str
    pid: int
    started_ticks: int
    """Field 22 of /proc/<pid>/stat: clock ticks between boot and the start of the process."""
    marker: str
    """Stands on the command line of this process and of no one else's."""
    clean_signal: int
    """Ends the process with its data in order."""
    discard_signal: int
    """Ends it at once; its data is thrown away afterwards."""


# Ports given out last by this process: two servers are started side by side, and what one was given
# is still free when the other asks.
_given: deque[int] = deque(maxlen=1_000)


def free_port() -> int:
    """A loopback TCP port nobody listens on."""
    (port,) = free_ports(1)
    return port


def free_ports(count: int) -> tuple[int, ...]:
    """So many of them, no two the same, and none that was given out lately."""
    found: list[int] = []
    with ExitStack() as taken:
        for _ in range(200 * count):
            port = _PORTS.start + secrets.randbelow(len(_PORTS))
            if port in _given:
                continue
            # Kept until all are found: a port that was drawn before is none that is free.
            probe = taken.enter_context(socket.socket())
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
            _given.append(port)
            if len(found) == count:
                return tuple(found)
    raise StackUnavailable("no free TCP port between 20000 and 32000 on 127.0.0.1")


def spawn(
    command: list[str],
    *,
    name: str,
    marker: str,
    environment: Mapping[str, str],
    log: Path,
    clean_signal: signal.Signals,
    discard_signal: signal.Signals,
) -> ProcessRecord:
    """Start a server in a session of its own, so that Ctrl-C in the terminal does not reach it."""
    # Not subprocess: its objects warn when the server outlives them, which here is the point.
    pid = os.posix_spawnp(
        command[0],
        command,
        environment,
        setsid=True,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )
    return record(
        pid, name=name, marker=marker, clean_signal=clean_signal, discard_signal=discard_signal
    )


def record(
    pid: int,
    *,
    name: str,
    marker: str,
    clean_signal: signal.Signals = signal.SIGTERM,
    discard_signal: signal.Signals = signal.SIGKILL,
) -> ProcessRecord:
    """The record of a process that runs now."""
    return ProcessRecord(
        name=name,
        pid=pid,
        started_ticks=_stat(pid)[1],
        marker=marker,
        clean_signal=clean_signal,
        discard_signal=discard_signal,
    )


def is_running(process: ProcessRecord) -> bool:
    """True while the recorded process lives; reaps it if it was our child and has ended."""
    state, started_ticks = _stat(process.pid)
    if started_ticks != process.started_ticks:
        return False
    try:
        # A server with many threads shows as a zombie before it can be reaped: wait for the latter.
        reaped_pid, _ = os.waitpid(process.pid, os.WNOHANG)
    except ChildProcessError:
        return state != "Z" and process.marker.encode() in _command_line(process.pid)
    return reaped_pid == 0


def wait_until(
    ready: Callable[[], bool], *, process: ProcessRecord, log: Path, timeout_s: float
) -> None:
    """Return once `ready()` holds; raise StackUnavailable with the log's end if it never does."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        if not is_running(process):
            raise StackUnavailable(f"{process.name} ended while starting.\n{log_tail(log)}")
        if time.monotonic() > deadline:
            raise StackUnavailable(
                f"{process.name} was not ready after {timeout_s:.0f} s.\n{log_tail(log)}"
            )
        time.sleep(_POLL_S)


def stop(process: ProcessRecord, *, clean: bool, timeout_s: float = 20.0) -> None:
    """End the process if it is ours and still runs; SIGKILL once `timeout_s` has passed."""
    stop_signal = process.clean_signal if clean else process.discard_signal
    for attempt in (stop_signal, signal.SIGKILL):
        if not is_running(process):
            return
        os.kill(process.pid, attempt)
        deadline = time.monotonic() + timeout_s
        while is_running(process) and time.monotonic() < deadline:
            time.sleep(_POLL_S)


def accepts_connections(port: int) -> bool:
    """True if something on loopback accepts a TCP connection on `port`."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def log_tail(log: Path) -> str:
    """The last lines of a server's log, under its path."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    except OSError:
        lines = []
    return "\n".join([f"Log: {log}", *(f"  {line}" for line in lines)])


def _stat(pid: int) -> tuple[str, int]:
    """State letter and start time of a process; ("", 0) if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "", 0
    # The command name in parentheses may hold spaces: split behind it. State is field 3.
    fields = stat.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
