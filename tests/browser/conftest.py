"""A real browser, one for all tests; each test has pages of its own, of somebody new.

All of it runs in one loop: the browser's, and so the tests'.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from broker.store import Database
from ops.stack.chromium import find_chromium
from tests.browser.looking import WIDE, Screenshots, Trouble, screens_folder, take_screens
from tests.integration.consoles import console_on
from tests.integration.gearbox_change import database_at

PACKAGES = Path(os.environ.get("LAYSHAFT_STATE_DIR", ".layshaft")) / "packages"
IGNORE_SYSTEM = os.environ.get("LAYSHAFT_STACK_IGNORE_SYSTEM", "") not in ("", "0")
START_TIMEOUT_MS = 60_000.0
# Of every wait for something on a page.
TIMEOUT_MS = 30_000.0
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

OpenPage = Callable[[], Awaitable[Page]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of this folder share the loop that the browser was started in."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The installed Chromium, else one fetched from Debian; with an empty profile."""
    chromium = find_chromium(PACKAGES, ignore_system=IGNORE_SYSTEM)
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(
            executable_path=chromium.executable,
            env={**os.environ, **chromium.environment},
            args=list(FLAGS),
            headless=True,
            timeout=START_TIMEOUT_MS,
        )
        async with started:
            yield started


@pytest.fixture
def trouble() -> Trouble:
    """What the pages of this test must not run into."""
    return Trouble()


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser, trouble: Trouble) -> AsyncIterator[OpenPage]:
    """Opens a page for somebody else: nothing is shared with the other pages. Errors that no page
    shows, and requests that fail, fail the test."""
    contexts = []

    async def opened() -> Page:
        context = await browser.new_context(
            viewport=WIDE,
            color_scheme="light",
            reduced_motion="reduce",
            # Not the server's, so that times which do not say where they count are seen.
            timezone_id="Europe/Berlin",
            locale="en-GB",
        )
        contexts.append(context)
        context.set_default_timeout(TIMEOUT_MS)
        page = await context.new_page()
        trouble.watch(page)
        return page

    yield opened
    for context in contexts:
        await context.close()
    assert trouble.left() == []


@pytest_asyncio.fixture(loop_scope="session")
async def page(open_page: OpenPage) -> Page:
    """A page that shows nothing yet."""
    return await open_page()


@pytest_asyncio.fixture(loop_scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated database in which nothing has happened."""
    async with database_at(database_url) as database:
        yield database


@pytest_asyncio.fixture(loop_scope="session")
async def console(database_url: str, database: Database) -> AsyncIterator[str]:
    """The address of a console on it."""
    async with console_on(database_url) as url:
        yield url


@pytest.fixture
def screenshots(tmp_path: Path) -> Screenshots:
    """Takes pictures of a page: wide, narrow and dark.

    They are left in docs/screens by a full run, in the folder LAYSHAFT_SCREENS names if it is set,
    and otherwise nowhere.
    """
    folder = screens_folder() or tmp_path / "screens"
    folder.mkdir(parents=True, exist_ok=True)

    async def taken(page: Page, name: str) -> None:
        await take_screens(page, name, folder)

    return taken
