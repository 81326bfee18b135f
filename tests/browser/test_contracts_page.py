"""The catalogue of contracts, as whoever is told to read it finds it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from urllib.parse import urldefrag, urljoin

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Page, expect

from canonical.events import EVENTS
from ops.cli.schema import write_page
from tests.browser.looking import (
    NARROW,
    WIDE,
    Scheme,
    Screenshots,
    axe_findings,
    in_scheme,
    overflow_px,
)


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def catalogue(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """URL of the folder with the catalogue."""
    folder = tmp_path_factory.mktemp("contracts")
    assert await asyncio.to_thread(write_page, folder) == 0
    application = web.Application()
    application.router.add_static("/", folder)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index", "item.released"])
async def test_nothing_hinders_its_readers(
    page: Page, catalogue: str, name: str, scheme: Scheme
) -> None:
    await in_scheme(page, scheme)
    await page.goto(f"{catalogue}/{name}.html")
    await page.set_viewport_size(NARROW)
    assert await axe_findings(page) == []
    await page.set_viewport_size(WIDE)
    assert await axe_findings(page) == []


async def test_it_is_as_wide_as_a_telephone_and_its_tables_can_be_moved(
    page: Page, catalogue: str
) -> None:
    await page.set_viewport_size(NARROW)
    await page.goto(f"{catalogue}/engineering-change.released.html")
    assert await overflow_px(page) == 0
    await page.goto(f"{catalogue}/index.html")
    assert await overflow_px(page) == 0
    table = page.get_by_role("group", name="Events, table 1")
    await table.focus()
    await page.keyboard.press("End")
    await page.keyboard.press("ArrowRight")
    await expect(table).to_be_focused()
    await page.wait_for_function(
        "document.activeElement.scrollLeft > 0", polling="raf", timeout=5_000
    )


async def test_an_event_leads_to_its_fields_and_its_schema(page: Page, catalogue: str) -> None:
    await page.goto(f"{catalogue}/index.html")
    await page.get_by_role("link", name="item.released", exact=True).click()
    await expect(page.get_by_role("heading", level=1, name="item.released")).to_be_visible()
    await expect(page.get_by_role("cell", name="revision.label", exact=True)).to_be_visible()
    await page.get_by_role("link", name="item.released.v1.json", exact=True).click()
    await page.wait_for_url("**/schemas/item.released.v1.json")


async def test_every_link_leads_somewhere(page: Page, catalogue: str) -> None:
    names: dict[str, set[str]] = {}
    links, seen = {f"{catalogue}/index.html"}, set[str]()
    while new := {urldefrag(link).url for link in links} - seen:
        for url in sorted(new):
            seen.add(url)
            answer = await page.request.get(url)
            assert answer.ok, url
            if url.endswith(".html"):
                content = await answer.text()
                names[url] = set(re.findall(r' id="([^"]+)"', content))
                links |= {urljoin(url, href) for href in re.findall(r' href="([^"]+)"', content)}
        links = {link for link in links if link.startswith(catalogue)}
    assert {f"{catalogue}/{event}.html" for event in EVENTS} <= names.keys()
    for url, name in filter(lambda found: found[1], map(urldefrag, links)):
        assert name in names[url]


async def test_it_looks_as_shown(page: Page, catalogue: str, screenshots: Screenshots) -> None:
    await page.goto(f"{catalogue}/index.html")
    await screenshots(page, "contracts")
    await page.goto(f"{catalogue}/engineering-change.released.html")
    await screenshots(page, "contracts-event")
