"""Programs from Debian's packages without installing them: downloaded, unpacked, made movable.

Needs apt-get and dpkg but no rights: package lists, downloads and files stay in one folder.
"""

import os
import shutil
import subprocess
from pathlib import Path

import msgspec

from ops.stack.servers import StackUnavailable


class _Program(msgspec.Struct, frozen=True, kw_only=True):
    """What is fetched under one name, and what people may do where it cannot be.

    needs: apt works out what else these packages need and the machine lacks. Without it, they are
    all there is.
    """

    name: str
    apt_line: str
    instead: str = ""
    packages: str
    needs: bool = False


# The server, the parts of Erlang it needs, and shared libraries a bare system may lack.
_RABBITMQ = _Program(
    name="RabbitMQ",
    apt_line="apt-get install -y rabbitmq-server",
    instead="\nor set LAYSHAFT_AMQP_URL to a running one.",
    packages="""
rabbitmq-server
erlang-asn1 erlang-base erlang-crypto erlang-eldap erlang-ftp erlang-inets erlang-mnesia
erlang-os-mon erlang-parsetools erlang-public-key erlang-runtime-tools erlang-snmp erlang-ssl
erlang-syntax-tools erlang-tftp erlang-tools erlang-xmerl
libsctp1 libtinfo6 libwrap0 socat
""",
)
_PGBOUNCER = _Program(
    name="PgBouncer",
    apt_line="apt-get install -y pgbouncer",
    packages="pgbouncer libc-ares2 libevent-2.1-7",
)
# Some 20 libraries on a machine with a desktop's, 100 on a bare one: apt knows which. The fonts are
# named because what is drawn with others is another picture.
_CHROMIUM = _Program(
    name="Chromium",
    apt_line="apt-get install -y chromium",
    packages="chromium chromium-common fonts-dejavu-core fonts-liberation",
    needs=True,
)
_TIMEOUT_S = 300.0


def fetch_rabbitmq(folder: Path) -> Path:
    """The prefix that holds RabbitMQ and Erlang; downloads about 35 MB the first time.

    Raises: StackUnavailable if apt-get is missing or does not deliver.
    """
    prefix = _fetched(_RABBITMQ, folder)
    _set_erlang_root(prefix)
    return prefix


def fetch_pgbouncer(folder: Path) -> Path:
    """The prefix that holds PgBouncer; downloads about 0.5 MB the first time.

    Raises: StackUnavailable if apt-get is missing or does not deliver.
    """
    return _fetched(_PGBOUNCER, folder)


def fetch_chromium(folder: Path) -> Path:
    """The prefix that holds Chromium and what it needs and this machine lacks.

    Downloads some 130 MB the first time.

    Raises: StackUnavailable if apt-get is missing or does not deliver.
    """
    return _fetched(_CHROMIUM, folder)


def _fetched(program: _Program, folder: Path) -> Path:
    prefix = folder / program.name.lower()
    if not prefix.exists():
        if not (shutil.which("apt-get") and shutil.which("dpkg")):
            reason = "its Debian packages cannot be fetched without apt-get and dpkg."
            raise _unavailable(program, reason)
        work = folder / f"{program.name.lower()}.new"
        shutil.rmtree(work, ignore_errors=True)
        try:
            _download_and_unpack(program, work)
            # Renamed only when complete: an interrupted download starts afresh.
            (work / "prefix").rename(prefix)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return prefix


def _download_and_unpack(program: _Program, work: Path) -> None:
    for part in ("lists/partial", "cache/archives/partial", "deb", "prefix"):
        (work / part).mkdir(parents=True)
    options = _private_apt(work)
    _run(program, ["apt-get", *options, "update"], work)
    names = program.packages.split()
    if program.needs:
        # Also where it is installed and passed over: of that, nothing would be downloaded.
        wanted = ["install", "--download-only", "--reinstall", "--yes", "--no-install-recommends"]
        _run(program, ["apt-get", *options, *wanted, *names], work)
        folder = work / "cache/archives"
    else:
        folder = work / "deb"
        _run(program, ["apt-get", *options, "download", *names], folder)
    for package in sorted(folder.glob("*.deb")):
        _run(program, ["dpkg", "-x", str(package), str(work / "prefix")], work)


def _private_apt(work: Path) -> list[str]:
    options = {
        "Dir::State": str(work),
        "Dir::State::lists": str(work / "lists"),
        "Dir::State::status": "/var/lib/dpkg/status",
        "Dir::Cache": str(work / "cache"),
        "Debug::NoLocking": "1",
        # As root apt would hand our folders to its own user to download as that one.
        "APT::Sandbox::User": "root",
        "Acquire::Retries": "2",
    }
    return ["-q", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]


def _run(program: _Program, command: list[str], folder: Path) -> None:
    try:
        outcome = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        reason = f"{command[0]} did not end within {_TIMEOUT_S:.0f} s."
        raise _unavailable(program, reason) from error
    if outcome.returncode != 0:
        last_lines = "\n  ".join(outcome.stdout.strip().splitlines()[-3:])
        raise _unavailable(program, f"fetching its Debian packages failed:\n  {last_lines}")


def _unavailable(program: _Program, reason: str) -> StackUnavailable:
    return StackUnavailable(
        f"No {program.name} is installed here, and {reason}\n"
        f"Install it with: {program.apt_line}{program.instead}"
    )


def _set_erlang_root(prefix: Path) -> None:
    """Point Erlang's start scripts at the prefix, in whichever folder it now lies.

    ERL_ROOTDIR is ignored by these scripts, and those under erts-*/bin matter too: through them the
    node looks for epmd.
    """
    root = prefix / "usr/lib/erlang"
    for script in (*root.glob("bin/*"), *root.glob("erts-*/bin/*")):
        if script.name not in ("erl", "start") or script.is_symlink():
            continue
        lines = script.read_text().splitlines(keepends=True)
        script.write_text("".join(_with_root(line, root) for line in lines))


def _with_root(line: str, root: Path) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    # Only the fixed path is replaced, whether Debian's or one of ours from before a move.
    return f"{indent}ROOTDIR={root}\n" if line.lstrip().startswith("ROOTDIR=/") else line
