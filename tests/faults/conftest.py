"""What every fault test is given: its size, its seed, a world of its own."""

import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import MappingProxyType

import pytest

from canonical.envelope import Lane
from canonical.handler import Order as OrderPolicy
from ops.stack import Servers as Stack
from ops.stack import management
from tests.faults.business import KIND
from tests.faults.load import Size
from tests.faults.nodes import PrivateNode, private_node
from tests.faults.service import RolesAndLanes
from tests.faults.world import RECONNECT_MAX_S, Servers, World, running

QUICK = Size(rate=100, seconds=3, keys=40, judged_again=False)
# All rows together are to take no longer than an hour on two idle cores. A row has about 25 s
# besides its load: six starts of a service, the fault, and being judged twice.
FULL = Size(rate=100, seconds=15, keys=300, instances=2)
TIMEOUT_S = 600

Running = Callable[..., AbstractAsyncContextManager[World]]


def is_full() -> bool:
    """Whether everything is wanted, in full size: `./check --full`."""
    return os.environ.get("LAYSHAFT_FULL") == "1"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Outside a full run only the quick ones are run, or of all those of LAYSHAFT_FAULT_ROWS; the
    others are no skips, just not asked."""
    rows = frozenset(filter(None, os.environ.get("LAYSHAFT_FAULT_ROWS", "").split(",")))
    chosen: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        mark = item.get_closest_marker("fault")
        if mark is not None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))
            # For the results of a full run, whatever a test runs on.
            item.user_properties.append(("row", mark.args[0]))
        wanted = mark is None or mark.kwargs["quick"] or is_full()
        if rows:
            wanted = mark is not None and mark.args[0] in rows
        (chosen if wanted else left).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = chosen


@pytest.fixture
def amqp_url(servers: Stack) -> Iterator[str]:
    """An empty virtual host for one test."""
    name = f"{management.vhost_name(servers.amqp_url)}_{secrets.token_hex(4)}"
    yield management.create_vhost(servers.management_url, servers.amqp_url, name)
    management.delete_vhost(servers.management_url, name)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateNode]:
    """A RabbitMQ node for the tests of one module that strike all of it."""
    packages = Path(os.environ.get("LAYSHAFT_STATE_DIR", ".layshaft")) / "packages"
    with private_node(tmp_path_factory.mktemp("rabbitmq"), packages.absolute()) as started:
        yield started


@pytest.fixture
def row(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> str:
    """The row of the catalogue that the test is for; goes into the results of a full run."""
    name = str(request.node.get_closest_marker("fault").args[0])
    record_property("row", name)
    return name


@pytest.fixture
def seed(row: str, record_property: Callable[[str, object], None]) -> int:
    """The row's own seed, unless LAYSHAFT_FAULT_SEED gives another; goes into the results too."""
    number = int(os.environ.get("LAYSHAFT_FAULT_SEED") or row.removeprefix("F")) + 1000
    record_property("seed", number)
    return number


@pytest.fixture
def size() -> Size:
    """Small in an ordinary run, full in a full one."""
    return FULL if is_full() else QUICK


@pytest.fixture
def usual(servers: Stack, database_url: str, amqp_url: str) -> Servers:
    """The servers that everybody uses, a database and a virtual host for this test."""
    return Servers(
        database_url=database_url, amqp_url=amqp_url, management_url=servers.management_url
    )


@pytest.fixture
def run(
    seed: int,
    size: Size,
    usual: Servers,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> Running:
    """`async with run() as world`; `run(size=..., servers=...)` for others than the usual ones."""
    usual_size = size

    @asynccontextmanager
    async def start(
        *,
        size: Size = usual_size,
        servers: Servers = usual,
        reconnect_max_s: float = RECONNECT_MAX_S,
        order: OrderPolicy = "strict",
        trusted: Sequence[str] = (),
        kinds: Mapping[str, Lane] = MappingProxyType({KIND: "standard"}),
        shares: Sequence[RolesAndLanes] = (),
    ) -> AsyncIterator[World]:
        async with running(
            servers,
            tmp_path,
            size,
            seed,
            reconnect_max_s=reconnect_max_s,
            order=order,
            trusted=trusted,
            kinds=kinds,
            shares=shares,
        ) as world:
            yield world
        for name, value in world.figures.items():
            record_property(name, value)

    return start
