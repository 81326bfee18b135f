"""What tests of the console begin with, unless they say otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from broker.store import Database
from tests.integration.consoles import console_on
from tests.integration.gearbox_change import database_at


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated database in which nothing has happened."""
    async with database_at(database_url) as database:
        yield database


@pytest.fixture
async def console(database_url: str, database: Database) -> AsyncIterator[str]:
    """The address of a console on it."""
    async with console_on(database_url) as url:
        yield url
