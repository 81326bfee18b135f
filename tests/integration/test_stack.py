"""The private servers: what they promise while they run, and what is left when they do not."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aio_pika
import asyncpg
import msgspec
import pytest
from aio_pika.exceptions import ChannelPreconditionFailed

from ops.stack import Servers, Stack, StackUnavailable, databases, given, management, processes
from ops.stack.packages import fetch_rabbitmq
from ops.stack.postgres import discard_postgres, server_settings, start_postgres

PACKAGES = Path(os.environ.get("LAYSHAFT_STATE_DIR", ".layshaft")) / "packages"
# Without LAYSHAFT_DATABASE_URL and the like: these tests are about private servers.
PRIVATE = {
    name: value for name, value in os.environ.items() if name == "LAYSHAFT_STACK_IGNORE_SYSTEM"
}
START_AND_WAIT = """
import sys
from pathlib import Path
from ops.stack import Stack

servers = Stack(Path(sys.argv[1]), packages_dir=Path(sys.argv[2]), environment={}).start()
print(*servers.pids, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def stack_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("private")


@pytest.fixture(scope="module")
def private(stack_folder: Path) -> Iterator[Servers]:
    with Stack(stack_folder, packages_dir=PACKAGES, environment=PRIVATE) as servers:
        yield servers


def listening_addresses(pids: tuple[int, ...]) -> set[str]:
    """Hexadecimal addresses, as in /proc/net/tcp, these processes listen on."""
    sockets = {
        os.readlink(descriptor)
        for pid in pids
        for descriptor in Path(f"/proc/{pid}/fd").iterdir()
        if descriptor.is_symlink()
    }
    addresses = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                addresses.add(fields[1].partition(":")[0])
    return addresses


def test_all_ports_are_open_on_loopback_only(private: Servers) -> None:
    loopback, loopback_v6 = "0100007F", "0" * 24 + "01000000"
    addresses = listening_addresses(private.pids)
    assert loopback in addresses
    assert addresses <= {loopback, loopback_v6}


async def test_postgres_is_as_durable_as_in_production(private: Servers) -> None:
    connection = await asyncpg.connect(private.database_url)
    rows = await connection.fetch("SELECT name, setting FROM pg_settings")
    await connection.close()
    settings = {row["name"]: row["setting"] for row in rows}
    assert settings["fsync"] == "on"
    assert settings["synchronous_commit"] == "on"
    assert settings["max_wal_size"] == "8192"  # MB
    assert settings["checkpoint_timeout"] == "900"  # s
    assert settings["wal_compression"] in ("lz4", "pglz")


async def test_rabbitmq_has_quorum_queues_hash_exchanges_and_a_size_limit(
    private: Servers,
) -> None:
    connection = await aio_pika.connect(private.amqp_url)
    async with connection:
        channel = await connection.channel()
        await channel.declare_queue("q", durable=True, arguments={"x-queue-type": "quorum"})
        exchange = await channel.declare_exchange("hash", "x-consistent-hash", durable=True)
        with pytest.raises(ChannelPreconditionFailed, match="max size"):
            await exchange.publish(aio_pika.Message(bytes(3 << 20)), routing_key="1")


def test_a_folder_in_use_is_refused(private: Servers, stack_folder: Path) -> None:
    with pytest.raises(StackUnavailable, match="in use by another run"):
        Stack(stack_folder, environment=PRIVATE).start()


def test_given_servers_are_used_and_left_as_they_were(private: Servers, tmp_path: Path) -> None:
    stack = Stack(
        tmp_path,
        environment={
            "LAYSHAFT_DATABASE_URL": private.database_url,
            "LAYSHAFT_AMQP_URL": private.amqp_url,
            "LAYSHAFT_AMQP_MANAGEMENT_URL": private.management_url,
        },
    )
    servers = stack.start()
    assert servers.pids == ()
    database = databases.database_name(servers.database_url)
    assert database.startswith("layshaft_")
    databases.create_database(servers.database_url, f"{database}_more")
    vhost = management.vhost_name(servers.amqp_url)
    assert vhost.startswith("layshaft_")
    management.create_vhost(servers.management_url, servers.amqp_url, f"{vhost}_more")

    stack.stop()

    assert databases.exists(private.database_url, "layshaft")
    assert not databases.exists(private.database_url, database)
    assert not databases.exists(private.database_url, f"{database}_more")
    assert management.vhost_names(private.management_url) == {"layshaft"}


def test_servers_of_a_killed_run_are_ended_by_the_next(tmp_path: Path) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", START_AND_WAIT, str(tmp_path), str(PACKAGES.absolute())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert run.stdout is not None
    pids = [int(pid) for pid in run.stdout.readline().split()]
    assert len(pids) == 3
    run.kill()
    run.communicate()
    assert all(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids)

    Stack(tmp_path).stop()

    # A process of nobody's may remain in the table, ended, until init takes note of it.
    assert not any(
        Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids
    )
    assert sorted(path.name for path in (tmp_path / "stack").iterdir()) == [
        "lock",
        "postgres.log",
        "rabbitmq.log",
    ]


def test_a_kept_database_is_found_again(tmp_path: Path) -> None:
    started: list[processes.ProcessRecord] = []

    def start() -> str:
        return start_postgres(
            tmp_path / "postgres",
            log=tmp_path / "postgres.log",
            ignore_system=False,
            remember=started.append,
        ).url

    databases.create_database(start(), "kept")
    processes.stop(started[0], clean=True)
    try:
        assert databases.exists(start(), "kept")
    finally:
        processes.stop(started[1], clean=False)
        discard_postgres(tmp_path / "postgres")


def test_a_process_that_only_has_the_id_of_ours_is_left_alone() -> None:
    other = subprocess.Popen(["sleep", "60"])
    try:
        ours = processes.record(other.pid, name="ours", marker="sleep")
        recycled = msgspec.structs.replace(ours, started_ticks=ours.started_ticks - 1)
        processes.stop(recycled, clean=False)
        assert other.poll() is None
        processes.stop(ours, clean=True)
    finally:
        other.kill()
        other.wait()


def test_a_server_that_ignores_the_request_to_end_is_killed() -> None:
    stubborn = subprocess.Popen(
        ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 60; done"],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert stubborn.stdout is not None
    stubborn.stdout.readline()
    ours = processes.record(stubborn.pid, name="stubborn", marker="trap")
    processes.stop(ours, clean=True, timeout_s=0.1)
    assert not processes.is_running(ours)
    os.killpg(stubborn.pid, signal.SIGKILL)
    stubborn.communicate()


def test_without_any_way_to_rabbitmq_the_apt_line_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackUnavailable, match="apt-get install -y rabbitmq-server"):
        fetch_rabbitmq(tmp_path / "packages")


def test_shared_buffers_are_a_quarter_of_memory_but_at_most_one_gigabyte() -> None:
    def shared_buffers(memory_gib: int) -> str:
        return server_settings(port=1, wal_compression="lz4", memory_bytes=memory_gib << 30)[
            "shared_buffers"
        ]

    assert [shared_buffers(gib) for gib in (1, 2, 24)] == ["256MB", "512MB", "1024MB"]


@pytest.mark.parametrize(
    ("amqp_url", "given_url", "expected"),
    [
        ("amqp://u:p@mq:5672/v", None, "http://u:p@mq:15672"),
        ("amqps://u:p@mq/v", None, "https://u:p@mq:15671"),
        ("amqp://mq", None, "http://guest:guest@mq:15672"),
        ("amqp://u:p@mq/v", "http://mq:9/api-of", "http://u:p@mq:9/api-of"),
        ("amqp://u:p@mq/v", "http://admin:a@mq:9", "http://admin:a@mq:9"),
    ],
)
def test_the_management_address_follows_from_the_amqp_address(
    amqp_url: str, given_url: str | None, expected: str
) -> None:
    assert given.management_url(amqp_url, given_url) == expected
