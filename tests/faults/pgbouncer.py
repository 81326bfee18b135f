"""PgBouncer in front of a database: the system's, else unpacked from Debian's packages."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from ops.stack import processes
from ops.stack.packages import fetch_pgbouncer
from ops.stack.postgres import find_runner
from ops.stack.processes import accepts_connections, free_port, spawn, wait_until

PACKAGES = Path(os.environ.get("LAYSHAFT_STATE_DIR", ".layshaft")) / "packages"
STARTUP = (
    "statement_timeout, lock_timeout, idle_in_transaction_session_timeout,"
    " client_connection_check_interval, random_page_cost, default_transaction_isolation,"
    " extra_float_digits"
)
START_S = 10.0
Mode = Literal["session", "transaction"]


@contextmanager
def pgbouncer(url: str, mode: Mode, *, ignores_settings: bool) -> Iterator[str]:
    """URL of the database behind a pooler. ignores_settings: it takes the session settings that a
    client asks for and forgets them; otherwise it refuses such clients, as it comes."""
    port, parts = free_port(), urlsplit(url)
    # Not below the test's folder: it may run as another user.
    folder = Path(tempfile.mkdtemp(prefix="layshaft-pgbouncer-"))
    folder.chmod(0o755)
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(f"""\
[databases]
* = host={parts.hostname} port={parts.port} user={parts.username} password={parts.password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
{f"ignore_startup_parameters = {STARTUP}" if ignores_settings else ""}
""")
    runner = find_runner()
    binary, libraries = _installation(folder if runner.moved_out else None)
    process = spawn(
        [*runner.prefix, str(binary), str(configuration)],
        name="PgBouncer",
        marker=str(configuration),
        environment={"LD_LIBRARY_PATH": libraries, "PATH": os.environ.get("PATH", os.defpath)},
        log=folder / "pgbouncer.log",
        clean_signal=signal.SIGINT,
        discard_signal=signal.SIGKILL,
    )
    try:
        wait_until(
            lambda: accepts_connections(port),
            process=process,
            log=folder / "pgbouncer.log",
            timeout_s=START_S,
        )
        yield parts._replace(netloc=f"{parts.username}@127.0.0.1:{port}").geturl()
    finally:
        processes.stop(process, clean=False)
        shutil.rmtree(folder)


def _installation(copy_to: Path | None) -> tuple[Path, str]:
    """Its binary, and where the loader finds the libraries it needs besides the usual ones."""
    installed = Path("/usr/sbin/pgbouncer")
    if installed.exists():
        return installed, ""
    prefix = fetch_pgbouncer(PACKAGES.absolute())
    if copy_to is not None:
        prefix = shutil.copytree(prefix / "usr", copy_to / "prefix/usr", symlinks=True).parent
    return prefix / "usr/sbin/pgbouncer", ":".join(map(str, prefix.glob("usr/lib/*-linux-gnu*")))
