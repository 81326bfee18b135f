"""Starts a real Tryton in a folder and stops it again; what is there already is used again.

Its packages, in the versions and with the digests of `requirements.txt`, stand in a virtual
environment of the folder, and its data in a PostgreSQL of the folder: SQLite, which Tryton takes
too, refuses calls at the same time. Making a database takes minutes, so it is made once, as a
template.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ops.sandbox.tryton.client import Client, is_up
from ops.sandbox.tryton.seed import seed
from ops.stack import StackUnavailable, databases, processes
from ops.stack.postgres import discard_postgres, start_postgres
from ops.stack.processes import ProcessRecord

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
MODULES = ("company", "party", "production", "purchase", "purchase_blanket_agreement")
USER = "admin"
DATABASE = "works"

_NEW = "tryton_new"
_INSTALL_TIMEOUT_S = 600.0
_CREATE_TIMEOUT_S = 900.0
# A second or two; more only where the machine has no time for it.
_START_TIMEOUT_S = 180.0


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A Tryton that answers. url: as `base_url` of a system has it."""

    url: str
    user: str
    password: str
    database_url: str


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is on disk while it runs, so that a later command finds it."""

    processes: tuple[ProcessRecord, ...] = ()
    running: Running | None = None


class Sandbox:
    """One Tryton with its database server in a folder. Blocking; it outlives this process."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; nothing is started yet."""
        self._folder = folder.absolute()
        self._venv = self._folder / "venv"

    def start(self, *, is_fresh: bool = False) -> Running:
        """Tryton answers, with a company; what runs already goes on.

        is_fresh: it begins with nothing but its company, whatever was there.
        Raises: StackUnavailable if it cannot be had here, or another command works in the folder.
        """
        with self._alone():
            running = self._running()
            if running is not None and not is_fresh:
                return running
            self._end()
            try:
                return self._start(is_fresh=is_fresh)
            except BaseException:
                self._end()
                raise

    def stop(self) -> None:
        """It does not run any more; its data stay."""
        with self._alone():
            self._end()

    def remove(self) -> None:
        """Nothing of it is left."""
        with self._alone():
            self._end()
            discard_postgres(self._folder / "postgres")
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def password_file(self) -> Path:
        """Holds the password of the administrator, for nobody else to read."""
        return self._folder / "password"

    def running(self) -> Running | None:
        """What runs; None where it does not."""
        return self._running()

    # --- steps ---

    def _start(self, *, is_fresh: bool) -> Running:
        self._install()
        server = start_postgres(
            self._folder / "postgres",
            log=self._folder / "postgres.log",
            ignore_system=False,
            remember=self._remember,
            # What is lost with the machine is written anew; nothing is broken by it.
            other_settings={"shared_buffers": "64MB", "synchronous_commit": "off"},
        )
        template = self._template(server.url)
        if is_fresh:
            databases.drop_database(server.url, DATABASE)
        if not databases.exists(server.url, DATABASE):
            databases.create_database(server.url, DATABASE, template=template)
        port = self._serve(server.url, DATABASE)
        running = Running(
            url=f"http://127.0.0.1:{port}/{DATABASE}",
            user=USER,
            password=self._password(),
            database_url=databases.with_database(server.url, DATABASE),
        )
        self._write(msgspec.structs.replace(self._read(), running=running))
        return running

    def _install(self) -> None:
        """The virtual environment holds exactly the packages that are pinned."""
        stamp, locked = self._venv / ".locked", _digest()
        if stamp.exists() and stamp.read_text() == locked:
            return
        shutil.rmtree(self._venv, ignore_errors=True)
        log = self._folder / "install.log"
        log.unlink(missing_ok=True)
        self._run([sys.executable, "-m", "venv", str(self._venv)], log, _INSTALL_TIMEOUT_S)
        pip = [str(self._venv / "bin" / "python"), "-m", "pip", "install"]
        options = ["--disable-pip-version-check", "--no-deps", "--require-hashes"]
        self._run([*pip, *options, "-r", str(REQUIREMENTS)], log, _INSTALL_TIMEOUT_S)
        stamp.write_text(locked)

    def _template(self, server_url: str) -> str:
        """Name of a database that is ready, with its company; nobody is connected to it."""
        name = f"tryton_{_digest()[:12]}"
        if databases.exists(server_url, name):
            return name
        databases.drop_database(server_url, _NEW)
        databases.create_database(server_url, _NEW)
        log = self._folder / "create.log"
        log.unlink(missing_ok=True)
        self._configure(server_url, processes.free_port())
        admin = [str(self._venv / "bin" / "trytond-admin"), "-c", str(self._configuration)]
        wanted = ["-d", _NEW, "--email", "admin@example.com", "-u", "ir", "res", *MODULES]
        self._run([*admin, *wanted, "--activate-dependencies"], log, _CREATE_TIMEOUT_S)
        port = self._serve(server_url, _NEW)
        seed(Client(f"http://127.0.0.1:{port}/{_NEW}", USER, self._password()))
        self._end_last()
        # Its name says that it is complete.
        databases.create_database(server_url, name, template=_NEW)
        databases.drop_database(server_url, _NEW)
        return name

    def _serve(self, server_url: str, database: str) -> int:
        """The port on which Tryton answers."""
        port = processes.free_port()
        self._configure(server_url, port)
        log = self._folder / "tryton.log"
        log.unlink(missing_ok=True)
        process = processes.spawn(
            [
                str(self._venv / "bin" / "trytond"),
                *("-c", str(self._configuration), "-d", database),
            ],
            name="Tryton",
            marker=str(self._configuration),
            environment=self._environment(),
            log=log,
            clean_signal=signal.SIGTERM,
            discard_signal=signal.SIGKILL,
        )
        self._remember(process)
        processes.wait_until(
            lambda: is_up(port), process=process, log=log, timeout_s=_START_TIMEOUT_S
        )
        return port

    def _configure(self, server_url: str, port: int) -> None:
        """The configuration holds the database's password: it is ours alone."""
        place = databases.with_database(server_url, "")
        text = (
            f"[database]\nuri = {place}\npath = {self._folder / 'files'}\n"
            f"[web]\nlisten = 127.0.0.1:{port}\n"
            "[session]\nauthentications = password\n"
        )
        self._configuration.touch(mode=0o600)
        self._configuration.write_text(text)

    @property
    def _configuration(self) -> Path:
        return self._folder / "trytond.conf"

    def _password(self) -> str:
        """Of the administrator; the template was made with it."""
        kept = self.password_file
        if not kept.exists():
            kept.touch(mode=0o600)
            kept.write_text(secrets.token_hex(16))
        return kept.read_text()

    def _environment(self) -> Mapping[str, str]:
        self._password()
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "TRYTONPASSFILE": str(self.password_file),
        }

    def _run(self, command: list[str], log: Path, timeout_s: float) -> None:
        """Raises: StackUnavailable with the log's end where the command fails."""
        # Where packages come from is the machine's own setting of pip.
        environment = {**os.environ, **self._environment()}
        with log.open("ab") as sink:
            try:
                code = subprocess.run(
                    command,
                    env=environment,
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    timeout=timeout_s,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                code = -1
        if code != 0:
            name = Path(command[0]).name
            raise StackUnavailable(f"Tryton: {name} failed.\n{processes.log_tail(log)}")

    # --- what runs ---

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StackUnavailable(
                    f"Another command is at work in {self._folder}. Wait for it to end."
                ) from error
            yield

    def _running(self) -> Running | None:
        record = self._read()
        alive = all(processes.is_running(process) for process in record.processes)
        return record.running if alive else None

    def _end(self) -> None:
        """Tryton first, then the database that it uses."""
        while self._read().processes:
            self._end_last()
        self._write(_Record())

    def _end_last(self) -> None:
        *others, last = self._read().processes
        processes.stop(last, clean=True)
        self._write(_Record(processes=tuple(others)))

    def _remember(self, process: ProcessRecord) -> None:
        record = self._read()
        self._write(
            msgspec.structs.replace(record, processes=(*record.processes, process), running=None)
        )

    def _write(self, record: _Record) -> None:
        path = self._folder / "sandbox.json"
        written = path.with_suffix(".new")
        written.touch(mode=0o600)  # It holds passwords.
        written.write_bytes(msgspec.json.encode(record))
        written.rename(path)

    def _read(self) -> _Record:
        try:
            content = (self._folder / "sandbox.json").read_bytes()
        except FileNotFoundError:
            return _Record()
        return msgspec.json.decode(content, type=_Record)


def _digest() -> str:
    """Of all that a template is made of."""
    seed_file = Path(__file__).with_name("seed.py")
    parts = (REQUIREMENTS.read_bytes(), seed_file.read_bytes(), " ".join(MODULES).encode())
    python = f"{sys.version} {sys.base_prefix}".encode()
    return hashlib.sha256(b"\0".join((*parts, python))).hexdigest()
