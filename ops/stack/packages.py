"""RabbitMQ from Debian's packages without installing them: downloaded, unpacked, made movable.

Needs apt-get and dpkg but no rights: package lists, downloads and files stay in one folder.
"""

import os
import shutil
import subprocess
from pathlib import Path

from ops.stack.servers import StackUnavailable

_APT_LINE = "apt-get install -y rabbitmq-server"
# The server, the parts of Erlang it needs, and shared libraries a bare system may lack.
_PACKAGES = """
rabbitmq-server
erlang-asn1 erlang-base erlang-crypto erlang-eldap erlang-ftp erlang-inets erlang-mnesia
erlang-os-mon erlang-parsetools erlang-public-key erlang-runtime-tools erlang-snmp erlang-ssl
erlang-syntax-tools erlang-tftp erlang-tools erlang-xmerl
libsctp1 libtinfo6 libwrap0 socat
"""
_TIMEOUT_S = 300.0


def fetch_rabbitmq(folder: Path) -> Path:
    """The prefix that holds RabbitMQ and Erlang; downloads about 35 MB the first time.

    Raises: StackUnavailable if apt-get is missing or does not deliver.
    """
    prefix = folder / "rabbitmq"
    if not prefix.exists():
        if not (shutil.which("apt-get") and shutil.which("dpkg")):
            raise _unavailable("its Debian packages cannot be fetched without apt-get and dpkg.")
        work = folder / "rabbitmq.new"
        shutil.rmtree(work, ignore_errors=True)
        try:
            _download_and_unpack(work)
            # Renamed only when complete: an interrupted download starts afresh.
            (work / "prefix").rename(prefix)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    _set_erlang_root(prefix)
    return prefix


def _download_and_unpack(work: Path) -> None:
    for part in ("lists/partial", "cache/archives/partial", "deb", "prefix"):
        (work / part).mkdir(parents=True)
    options = _private_apt(work)
    _run(["apt-get", *options, "update"], work)
    _run(["apt-get", *options, "download", *_PACKAGES.split()], work / "deb")
    for package in sorted((work / "deb").glob("*.deb")):
        _run(["dpkg", "-x", str(package), str(work / "prefix")], work)


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


def _run(command: list[str], folder: Path) -> None:
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
        raise _unavailable(f"{command[0]} did not end within {_TIMEOUT_S:.0f} s.") from error
    if outcome.returncode != 0:
        last_lines = "\n  ".join(outcome.stdout.strip().splitlines()[-3:])
        raise _unavailable(f"fetching its Debian packages failed:\n  {last_lines}")


def _unavailable(reason: str) -> StackUnavailable:
    return StackUnavailable(
        f"No RabbitMQ is installed here, and {reason}\n"
        f"Install it with: {_APT_LINE}\n"
        "or set LAYSHAFT_AMQP_URL to a running one."
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
