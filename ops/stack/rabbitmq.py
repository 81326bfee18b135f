"""A private RabbitMQ node: the system's files, else Debian's packages unpacked for us alone.

The node has its own epmd, cookie, ports, data and plugin folder, so it neither meets nor disturbs
a RabbitMQ the machine already runs.
"""

import os
import re
import secrets
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from shutil import rmtree
from urllib.parse import quote

import msgspec

from ops.stack.packages import fetch_rabbitmq
from ops.stack.processes import (
    ProcessRecord,
    accepts_connections,
    free_ports,
    spawn,
    wait_until,
)
from ops.stack.servers import Broker, StackUnavailable

USER = VHOST = "layshaft"
PLUGINS = ("rabbitmq_consistent_hash_exchange", "rabbitmq_prometheus", "rabbitmq_management")
# Inbound bodies are bounded at 2 MiB; RabbitMQ 3.10 would take 128 MiB.
MAX_MESSAGE_BYTES = 2 << 20
_START_TIMEOUT_S = 60.0


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """Where RabbitMQ's and Erlang's files are."""

    rabbitmq_home: Path
    erlang_bin: Path
    library_path: tuple[Path, ...]
    """Shared libraries the loader would not find by itself."""
    source: str


class _Ports(msgspec.Struct, frozen=True, kw_only=True):
    amqp: int
    distribution: int
    epmd: int
    management: int
    prometheus: int


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A node whose files and ports are ready: it can be started, and started again as it was."""

    name: str
    folder: Path
    log: Path
    password: str
    installation: Installation
    ports: _Ports
    environment: Mapping[str, str]

    @property
    def broker(self) -> Broker:
        """How the node is reached once it runs."""
        version = self.installation.rabbitmq_home.name.removeprefix("rabbitmq_server-")
        ports, user = self.ports, f"{USER}:{self.password}"
        return Broker(
            amqp_url=f"amqp://{user}@127.0.0.1:{ports.amqp}/{quote(VHOST)}",
            management_url=f"http://{user}@127.0.0.1:{ports.management}",
            prometheus_url=f"http://127.0.0.1:{ports.prometheus}/metrics",
            origin=f"RabbitMQ {version} from {self.installation.source}, port {ports.amqp}",
        )

    def tool(self, name: str, *arguments: str) -> list[str]:
        """The command line of rabbitmqctl or one of its siblings; needs `environment`."""
        return [str(self.installation.rabbitmq_home / "sbin" / name), *arguments]

    def start_port_mapper(self) -> ProcessRecord:
        """The node's epmd answers; nodes of one cluster share it.

        Without its own the node would look for one and start it as a daemon nobody stops.
        """
        port = self.ports.epmd
        return spawn(
            [
                str(self.installation.erlang_bin / "epmd"),
                *("-address", "127.0.0.1", "-port", str(port)),
            ],
            name="RabbitMQ's port mapper (epmd)",
            marker=str(port),
            environment=self.environment,
            log=self.log,
            clean_signal=signal.SIGTERM,
            discard_signal=signal.SIGKILL,
        )

    def start(self) -> ProcessRecord:
        """The node's process exists; it is not necessarily ready."""
        return spawn(
            # Unknown arguments reach the Erlang command line, where they mark the process as ours.
            self.tool("rabbitmq-server", "-layshaft", str(self.folder)),
            name="RabbitMQ",
            marker=str(self.folder),
            environment=self.environment,
            log=self.log,
            clean_signal=signal.SIGTERM,
            discard_signal=signal.SIGKILL,
        )

    def wait_for(self, process: ProcessRecord) -> None:
        """The port mapper or the node itself is ready. Raises: StackUnavailable if it never is."""
        is_node = process.name == "RabbitMQ"
        wait_until(
            lambda: (
                _speaks_amqp(self.ports.amqp) if is_node else accepts_connections(self.ports.epmd)
            ),
            process=process,
            log=self.log,
            timeout_s=_START_TIMEOUT_S,
        )


def prepare_node(
    folder: Path,
    *,
    log: Path,
    packages: Path,
    ignore_system: bool,
    beside: Node | None = None,
) -> Node:
    """The files of a node, all in `folder`; downloads go to `packages`, nothing is started.

    beside: a node whose cluster this one is to join; it gets its port mapper, cookie and password.
    Raises: StackUnavailable if there are no files to be had.
    """
    installation = _system_installation() if not ignore_system else None
    if installation is None:
        installation = _unpacked_installation(fetch_rabbitmq(packages))
    folder.mkdir(parents=True, exist_ok=True)
    password = _password(folder) if beside is None else beside.password
    names = _Ports.__struct_fields__
    numbers = dict(zip(names, free_ports(len(names)), strict=True))
    name = "layshaft"
    if beside is not None:
        numbers["epmd"] = beside.ports.epmd
        name = f"layshaft-{numbers['amqp']}"
    ports = _Ports(**numbers)
    _link_plugins(installation.rabbitmq_home / "plugins", folder / "plugins")
    (folder / "enabled_plugins").write_text(f"[{','.join(PLUGINS)}].\n")
    configuration = folder / "rabbitmq.conf"
    configuration.touch(mode=0o600)
    configuration.write_text(render_configuration(ports, password=password))
    log.unlink(missing_ok=True)
    home = folder / "home" if beside is None else Path(beside.environment["HOME"])
    return Node(
        name=f"{name}@localhost",
        folder=folder,
        log=log,
        password=password,
        installation=installation,
        ports=ports,
        environment=_environment(folder, installation, ports, home=home, name=name),
    )


def start_rabbitmq(
    folder: Path,
    *,
    log: Path,
    packages: Path,
    ignore_system: bool,
    remember: Callable[[ProcessRecord], None],
) -> Broker:
    """Start a node whose files all lie in `folder`; downloads go to `packages`.

    `remember` is called as soon as a process exists, before it is ready.
    Raises: StackUnavailable if there are no files to be had or the start fails; a port that
    somebody else took between being found free and being used is given up for another one, once.
    """
    try:
        return _start(
            prepare_node(folder, log=log, packages=packages, ignore_system=ignore_system), remember
        )
    except StackUnavailable as error:
        if "eaddrinuse" not in str(error):
            raise
    return _start(
        prepare_node(folder, log=log, packages=packages, ignore_system=ignore_system), remember
    )


def _start(node: Node, remember: Callable[[ProcessRecord], None]) -> Broker:
    for start in (node.start_port_mapper, node.start):
        process = start()
        remember(process)
        node.wait_for(process)
    return node.broker


def discard_rabbitmq(folder: Path) -> None:
    """Remove the data of a stopped node."""
    rmtree(folder, ignore_errors=True)


def render_configuration(ports: _Ports, *, password: str) -> str:
    """The node's rabbitmq.conf: loopback only, one user of ours instead of guest."""
    return f"""\
listeners.tcp.1 = 127.0.0.1:{ports.amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = {ports.management}
prometheus.tcp.ip = 127.0.0.1
prometheus.tcp.port = {ports.prometheus}
default_vhost = {VHOST}
default_user = {USER}
default_pass = {password}
max_message_size = {MAX_MESSAGE_BYTES}
"""


def _speaks_amqp(port: int) -> bool:
    """True if the node answers a protocol header: for a moment after boot it accepts and closes."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as probe:
            probe.sendall(b"AMQP\x00\x00\x09\x01")
            # The first byte of connection.start is the frame type: method.
            return probe.recv(1) == b"\x01"
    except OSError:
        return False


def _system_installation() -> Installation | None:
    homes = Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*")
    newest = max((h for h in homes if (h / "sbin").is_dir()), key=_version_key, default=None)
    erlang_bin = Path("/usr/lib/erlang/bin")
    if newest is None or not (erlang_bin / "erl").exists():
        return None
    return Installation(
        rabbitmq_home=newest, erlang_bin=erlang_bin, library_path=(), source="the system"
    )


def _unpacked_installation(prefix: Path) -> Installation:
    homes = (prefix / "usr/lib/rabbitmq/lib").glob("rabbitmq_server-*")
    newest = max(homes, key=_version_key, default=None)
    if newest is None:
        raise StackUnavailable(f"The unpacked packages in {prefix} hold no RabbitMQ server.")
    libraries = [*prefix.glob("usr/lib/*-linux-*"), *prefix.glob("lib/*-linux-*")]
    return Installation(
        rabbitmq_home=newest,
        erlang_bin=prefix / "usr/lib/erlang/bin",
        library_path=tuple(libraries),
        source="unpacked Debian packages",
    )


def _version_key(home: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", home.name)]


def _link_plugins(available: Path, chosen: Path) -> None:
    """Links to the wanted applications and what they need; the rest only costs boot time."""
    needs: dict[str, tuple[Path, list[str]]] = {}
    for resource in available.glob("*/ebin/*.app"):
        applications = re.search(r"\{applications,\s*\[(.*?)\]", resource.read_text(), re.DOTALL)
        names = re.findall(r"\w+", applications[1]) if applications else []
        needs[resource.stem] = (resource.parents[1], names)
    rmtree(chosen, ignore_errors=True)
    chosen.mkdir()
    open_names, linked = ["rabbit", *PLUGINS], set[str]()
    while open_names:
        name = open_names.pop()
        # Applications of Erlang itself are not in this folder and need no link.
        if name in linked or name not in needs:
            continue
        application, names = needs[name]
        (chosen / application.name).symlink_to(application)
        linked.add(name)
        open_names.extend(names)


def _password(folder: Path) -> str:
    file = folder / "password"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(16))
    return file.read_text()


def _environment(
    folder: Path, installation: Installation, ports: _Ports, *, home: Path, name: str
) -> Mapping[str, str]:
    home.mkdir(exist_ok=True)  # Erlang keeps the node's cookie there.
    libraries = ":".join(map(str, installation.library_path))
    return {
        "PATH": f"{installation.erlang_bin}:{os.defpath}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        # Where Debian's scripts would look for the machine's own configuration.
        "SYS_PREFIX": str(folder),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "no-rabbitmq-env.conf"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "no-advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_PLUGINS_DIR": str(folder / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOGS": "-",  # To standard output, which is our log file; the rest of the logs:
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_NODENAME": f"{name}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(ports.amqp),
        "RABBITMQ_DIST_PORT": str(ports.distribution),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_EPMD_PORT": str(ports.epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_CRASH_DUMP": str(folder / "erl_crash.dump"),
        # Makes the start script become the Erlang process instead of staying as its parent.
        "RUNNING_UNDER_SYSTEMD": "true",
        **({"LD_LIBRARY_PATH": libraries} if libraries else {}),
    }
