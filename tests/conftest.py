"""Real servers for the tests that need them: one pair per session, an empty database per test and
a virtual host per test module."""

import asyncio
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from ops.migrate import migrate
from ops.stack import Servers, Stack, databases, management
from tests.clean_databases import CleanDatabases

MOST_SAID = 4_000

FULL = os.environ.get("LAYSHAFT_FULL") == "1"

# How long an example takes says something about the machine, and nothing about the code. Examples
# are drawn anew in every run: few of them in the many short ones, more in the full one.
settings.register_profile(
    "layshaft",
    deadline=None,
    max_examples=100 if FULL else 40,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("layshaft")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes minutes runs in `./check --full`; elsewhere it was not asked for."""
    if FULL:
        return
    left = [item for item in items if item.get_closest_marker("full")]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


class _SaidAtOnce:
    """A failure is said when it happens: a group may run for an hour, and be ended before."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and terminal is not None:
            terminal.ensure_newline()
            terminal.section(report.nodeid)
            terminal.write_line(report.longreprtext[-MOST_SAID:])
            terminal.flush()


def pytest_configure(config: pytest.Config) -> None:
    """See `_SaidAtOnce`."""
    config.pluginmanager.register(_SaidAtOnce(config), "said-at-once")


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The servers named by LAYSHAFT_TEST_*, else private ones for this session."""
    given = Servers.from_environment(os.environ)
    if given is not None:
        yield given
        return
    packages = Path(os.environ.get("LAYSHAFT_STATE_DIR", ".layshaft")) / "packages"
    with Stack(tmp_path_factory.mktemp("stack"), packages_dir=packages) as started:
        yield started


@pytest.fixture(scope="session")
def database_template(servers: Servers) -> Iterator[str]:
    """Name of a migrated, empty database nobody is connected to."""
    url = databases.create_database(servers.database_url, _sibling(servers.database_url))
    asyncio.run(migrate(url))
    yield databases.database_name(url)
    databases.drop_database(servers.database_url, databases.database_name(url))


@pytest.fixture(scope="session")
def clean_databases(servers: Servers, database_template: str) -> Iterator[CleanDatabases]:
    """Databases for one test after the other."""
    kept = CleanDatabases(servers.database_url, database_template)
    yield kept
    kept.drop_all()


@pytest.fixture
def database_url(clean_databases: CleanDatabases) -> Iterator[str]:
    """A migrated, empty database for one test."""
    url = clean_databases.take()
    yield url
    clean_databases.give_back(url)


@pytest.fixture
def fresh_database_url(clean_databases: CleanDatabases) -> Iterator[str]:
    """A migrated, empty database that nobody used before, for one test."""
    url = clean_databases.fresh()
    yield url
    clean_databases.drop(url)


@pytest.fixture(scope="module")
def amqp_url(servers: Servers) -> Iterator[str]:
    """An empty virtual host for one test module."""
    name = f"{management.vhost_name(servers.amqp_url)}_{secrets.token_hex(4)}"
    yield management.create_vhost(servers.management_url, servers.amqp_url, name)
    management.delete_vhost(servers.management_url, name)


def _sibling(url: str) -> str:
    return f"{databases.database_name(url)}_{secrets.token_hex(4)}"
