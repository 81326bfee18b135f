"""Start and stop the two servers together, and clean up after a run that was killed."""

import fcntl
import os
import secrets
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO

import msgspec

from ops.stack import databases, given, processes
from ops.stack.postgres import discard_postgres, start_postgres
from ops.stack.processes import ProcessRecord
from ops.stack.rabbitmq import discard_rabbitmq, start_rabbitmq
from ops.stack.servers import Broker, Database, Servers, StackUnavailable

_DATABASE = "layshaft"


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is on disk while a stack exists, so that a later run can end it."""

    processes: tuple[ProcessRecord, ...] = ()
    borrowed: tuple[given.Borrowed, ...] = ()
    servers: Servers | None = None


class Stack:
    """PostgreSQL and RabbitMQ for one state folder, given by URL or started privately.

    `LAYSHAFT_DATABASE_URL` and `LAYSHAFT_AMQP_URL` name servers to use instead of private ones: one
    database and one virtual host called `layshaft_<random>` are created there and dropped by
    `stop`. `LAYSHAFT_AMQP_MANAGEMENT_URL` says where that broker's HTTP API is if not on its usual
    port. With `LAYSHAFT_STACK_IGNORE_SYSTEM=1` the machine's own installations are passed over.

    Blocking. Servers of a process that dies without `stop` are ended by the next `start` on the
    same folder.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        packages_dir: Path | None = None,
        keep: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Name the folder; nothing is started yet.

        With `keep`, private servers find their earlier data at the start and shut down cleanly at
        the end (about 6 s); without it they begin empty and end at once, data removed. Downloaded
        packages are shared through `packages_dir`, by default inside `state_dir`.
        """
        self._folder = state_dir.absolute() / "stack"
        self._packages = (packages_dir or state_dir / "packages").absolute()
        self._keep = keep
        self._environment = os.environ if environment is None else environment
        self._record = _Record()
        self._guard = threading.Lock()
        self._ending = False
        self._lock: IO[str] | None = None

    def start(self) -> Servers:
        """Both servers, ready; they start at the same time.

        Raises: StackUnavailable if one cannot be had or the folder is in use; nothing then stays.
        """
        self._take_folder()
        self._ending = False
        try:
            self._end_recorded()
            with ThreadPoolExecutor(max_workers=2) as starters:
                starting_database = starters.submit(self._start_database)
                starting_broker = starters.submit(self._start_broker)
            database, broker = starting_database.result(), starting_broker.result()
        except BaseException:
            self.stop()
            raise
        servers = Servers(
            database_url=database.url,
            amqp_url=broker.amqp_url,
            management_url=broker.management_url,
            prometheus_url=broker.prometheus_url,
            pids=tuple(process.pid for process in self._record.processes),
            origins=(database.origin, broker.origin),
        )
        self._write(msgspec.structs.replace(self._record, servers=servers))
        return servers

    def stop(self) -> None:
        """End what this folder's stack started and drop what it created elsewhere."""
        self._take_folder()
        self._ending = True
        self._end_recorded()
        self._release_folder()

    def detach(self) -> None:
        """Let the servers outlive this process; a later `stop` on the same folder ends them."""
        self._release_folder()

    def running(self) -> Servers | None:
        """The servers of this folder if all their processes are alive."""
        record = self._read()
        alive = all(processes.is_running(process) for process in record.processes)
        return record.servers if alive else None

    def adopt(self, pid: int, *, name: str, marker: str) -> None:
        """Have this process ended with the stack, by a later run if need be.

        For processes that use the servers. `marker` is a part of its command line by which no
        other process could be mistaken for it.
        """
        self._remember_process(processes.record(pid, name=name, marker=marker))

    def __enter__(self) -> Servers:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _start_database(self) -> Database:
        url = self._environment.get("LAYSHAFT_DATABASE_URL")
        if url:
            borrowed = given.borrow_database(url, _random_name())
            self._remember_borrowed(borrowed)
            return given.borrowed_database(borrowed)
        server = start_postgres(
            self._folder / "postgres",
            log=self._folder / "postgres.log",
            ignore_system=self._ignores_system(),
            remember=self._remember_process,
        )
        if not databases.exists(server.url, _DATABASE):
            databases.create_database(server.url, _DATABASE)
        return msgspec.structs.replace(server, url=databases.with_database(server.url, _DATABASE))

    def _start_broker(self) -> Broker:
        url = self._environment.get("LAYSHAFT_AMQP_URL")
        if url:
            management_url = given.management_url(
                url, self._environment.get("LAYSHAFT_AMQP_MANAGEMENT_URL")
            )
            borrowed = given.borrow_vhost(management_url, url, _random_name())
            self._remember_borrowed(borrowed)
            return given.borrowed_broker(url, borrowed)
        return start_rabbitmq(
            self._folder / "rabbitmq",
            log=self._folder / "rabbitmq.log",
            packages=self._packages,
            ignore_system=self._ignores_system(),
            remember=self._remember_process,
        )

    def _ignores_system(self) -> bool:
        return self._environment.get("LAYSHAFT_STACK_IGNORE_SYSTEM", "") not in ("", "0")

    def _take_folder(self) -> None:
        if self._lock is not None:
            return
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (self._folder / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            raise StackUnavailable(
                f"The state folder {self._folder.parent} is in use by another run.\n"
                "Wait for it to end, or name another folder with LAYSHAFT_STATE_DIR."
            ) from error
        self._lock = lock
        self._record = self._read()

    def _release_folder(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _end_recorded(self) -> None:
        """End processes, last started first: the node before the port mapper it reports to."""
        for process in reversed(self._record.processes):
            processes.stop(process, clean=self._keep)
        left = [name for name in map(given.give_back, self._record.borrowed) if name is not None]
        if not self._keep:
            discard_postgres(self._folder / "postgres")
            discard_rabbitmq(self._folder / "rabbitmq")
        self._write(_Record())
        if left:
            raise StackUnavailable(f"A given server went away; drop by hand: {', '.join(left)}")

    def _remember_process(self, process: ProcessRecord) -> None:
        with self._guard:
            if self._ending:
                # The start was interrupted while this server was being spawned.
                processes.stop(process, clean=False)
                raise StackUnavailable("interrupted")
            self._write(
                msgspec.structs.replace(self._record, processes=(*self._record.processes, process))
            )

    def _remember_borrowed(self, borrowed: given.Borrowed) -> None:
        with self._guard:
            self._write(
                msgspec.structs.replace(self._record, borrowed=(*self._record.borrowed, borrowed))
            )

    def _write(self, record: _Record) -> None:
        self._record = record
        path = self._folder / "stack.json"
        if record == _Record():
            path.unlink(missing_ok=True)
            return
        written = path.with_suffix(".new")
        written.touch(mode=0o600)  # It holds passwords.
        written.write_bytes(msgspec.json.encode(record))
        written.rename(path)

    def _read(self) -> _Record:
        try:
            content = (self._folder / "stack.json").read_bytes()
        except FileNotFoundError:
            return _Record()
        return msgspec.json.decode(content, type=_Record)


def _random_name() -> str:
    return f"{_DATABASE}_{secrets.token_hex(4)}"
