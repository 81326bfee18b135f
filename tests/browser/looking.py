"""What a test sees of a page besides what it asks for: trouble, hindrances, and its picture."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from playwright.async_api import ConsoleMessage, Error, Page, Request, Response, ViewportSize

WIDE = ViewportSize(width=1440, height=900)
NARROW = ViewportSize(width=390, height=844)
# Of our own waits; Playwright's have theirs (conftest).
DEADLINE_S = 60.0
SCREENS = Path(__file__).parents[2] / "docs" / "screens"

Scheme = Literal["light", "dark"]
Screenshots = Callable[[Page, str], Awaitable[None]]


class Trouble:
    """What went wrong in the pages of a test that nobody would see on them."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._expected: list[str] = []

    def watch(self, page: Page) -> None:
        page.on("console", self._said)
        page.on("pageerror", self._broke)
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)

    def expect(self, part: str) -> None:
        """Lines with this part are no trouble from now on; one has to come."""
        self._expected.append(part)

    def left(self) -> list[str]:
        """The lines that nobody expected, and what was expected and did not come."""
        unexpected = [line for line in self._lines if not any(p in line for p in self._expected)]
        missing = [p for p in self._expected if not any(p in line for line in self._lines)]
        return [*unexpected, *(f"expected, and did not come: {part}" for part in missing)]

    def _said(self, message: ConsoleMessage) -> None:
        # What the browser says of an answer is told by the answer itself, with its status.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self._lines.append(f"console: {message.text}")

    def _broke(self, error: Error) -> None:
        self._lines.append(f"script: {error.message}")

    def _failed(self, request: Request) -> None:
        # A stream ends because the page it belongs to is left, and so does the load of its icon
        # where somebody is quick; nothing else may be given up.
        is_stream = request.resource_type == "eventsource" or request.url.endswith("/stream")
        is_of_the_page = is_stream or "/static/" in request.url
        if is_of_the_page and request.failure == "net::ERR_ABORTED":
            return
        self._lines.append(f"request: {request.method} {request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self._lines.append(f"{response.status} {response.request.method} {response.url}")


async def axe_findings(page: Page) -> list[str]:
    """What serious or critical hindrances axe finds on the page as it is shown now."""
    async with asyncio.timeout(DEADLINE_S):
        await page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text())
        found: dict[str, Any] = await page.evaluate("axe.run({ resultTypes: ['violations'] })")
    return [
        f"{rule['id']} ({rule['impact']}): {node['target']}: {node['failureSummary']}"
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


async def in_scheme(page: Page, scheme: Scheme) -> None:
    """The page is shown to somebody who prefers light or dark."""
    await page.emulate_media(color_scheme=scheme)


async def overflow_px(page: Page) -> int:
    """By how much the page is wider than its window: people would scroll in two directions."""
    script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    return int(await page.evaluate(script))


async def fits(page: Page) -> None:
    """Nothing hinders who reads it, in either scheme, and it is as wide as a telephone; it is wide
    and light after."""
    schemes: tuple[Scheme, ...] = ("dark", "light")
    for scheme in schemes:
        await in_scheme(page, scheme)
        assert await axe_findings(page) == [], page.url
    await page.set_viewport_size(NARROW)
    assert await overflow_px(page) == 0, page.url
    assert await axe_findings(page) == [], page.url
    await page.set_viewport_size(WIDE)


def screens_folder() -> Path | None:
    """Where pictures are to be left, None if nobody asked for them."""
    if folder := os.environ.get("LAYSHAFT_SCREENS"):
        return Path(folder)
    return SCREENS if os.environ.get("LAYSHAFT_FULL") == "1" else None


async def take_screens(page: Page, name: str, folder: Path) -> None:
    """NAME-wide.png, NAME-narrow.png and NAME-dark.png of the page; it is wide and light after."""
    looks: tuple[tuple[str, ViewportSize, Scheme], ...] = (
        ("narrow", NARROW, "light"),
        ("dark", WIDE, "dark"),
        ("wide", WIDE, "light"),
    )
    for look, size, scheme in looks:
        await page.set_viewport_size(size)
        await in_scheme(page, scheme)
        await page.screenshot(path=folder / f"{name}-{look}.png", animations="disabled")
