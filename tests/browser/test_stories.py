"""Stories told against the service as it runs, with people at its pages: what a person decides is
decided in a browser, and somebody else looks on meanwhile.

Everything else of such a story is carried out and looked at as in `tests/scenarios`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

import tests.scenarios
from tests.browser.conftest import OpenPage
from tests.browser.looking import Screenshots, fits
from tests.integration.people import token_in
from tests.scenarios import promises
from tests.scenarios.stage import Stage, set_up
from tests.scenarios.telling import Sentence, read_stories
from tests.scenarios.vocabulary import carry_out, lay_out
from tests.scenarios.works import Works

STORIES = Path(tests.scenarios.__file__).with_name("stories")
# The service has to come to rest first, on a machine that has other things to do.
SLOW_MS = 60_000.0
# A whole service, its systems, and a browser that looks at every page in both schemes.
pytestmark = pytest.mark.timeout(300)

Parts = Sequence[Sequence[Sentence]]


@asynccontextmanager
async def told(
    file: str, database_url: str, amqp_url: str, folder: Path
) -> AsyncIterator[tuple[Stage, Parts]]:
    """The service at work as that story has it, and the story's parts, which nothing is done of
    yet: what happens and what has to be true, in turn."""
    (story,) = read_stories(STORIES / file)
    works = Works()
    rest = [s for s in story.sentences if not (s.part == "given" and lay_out(works, s))]
    parts = [list(part) for _, part in groupby(rest, key=lambda sentence: sentence.section)]
    async with set_up(
        works, database_url=database_url, amqp_url=amqp_url, folder=folder, has_console=True
    ) as stage:
        yield stage, parts


async def carry_out_all(stage: Stage, sentences: Sequence[Sentence]) -> None:
    """In their order, as a part of its own."""
    if sentences[0].part == "when":
        await stage.mark()
    for sentence in sentences:
        await carry_out(stage, sentence)


async def sign_in(page: Page, stage: Stage, name: str, role: str, path: str) -> None:
    """Somebody with that role has come to that page."""
    token = await token_in(stage.bench.database, name, role)
    await page.goto(f"{stage.console}/sign-in?next={path}")
    await page.get_by_label("Your token").fill(token)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(f"**{path}")


async def test_a_change_is_followed_from_its_release_over_an_approval_to_its_end(
    open_page: OpenPage,
    database_url: str,
    amqp_url: str,
    tmp_path: Path,
    screenshots: Screenshots,
) -> None:
    async with told("worked.md", database_url, amqp_url, tmp_path) as (stage, parts):
        released, half_way, decided, complete = parts
        ola, lin = await open_page(), await open_page()
        await sign_in(ola, stage, "Ola Nordmann", "operator", "/changes")
        await expect(ola.get_by_text("No change has been released yet")).to_be_visible()
        await carry_out_all(stage, released)
        await carry_out_all(stage, half_way)
        await ola.reload()
        await ola.get_by_role("link", name="ECO-9000").click()
        whose = ola.get_by_role("heading", name="Waiting for: quality, sourcing.")
        await expect(whose).to_be_visible()
        await fits(ola)
        await screenshots(ola, "story-half-way")

        # What quality approves in the story is approved on its page.
        approves, contracted = decided
        assert approves.text == "quality approves S-300"
        await sign_in(lin, stage, "Q. Lindqvist", "quality", "/tasks")
        await lin.get_by_role("link", name="Teller Precision").click()
        await expect(lin.get_by_role("heading", level=1)).to_contain_text("Teller Precision")
        await expect(lin.get_by_role("cell", name="C-3")).to_be_visible()
        free = "3 purchasing info records in plants 1010, 1020 and 2010"
        await expect(lin.get_by_text(free)).to_be_visible()
        await fits(lin)
        await screenshots(lin, "story-task")
        await lin.get_by_label("Reason (kept with the decision)").fill("Audit report 7 is in")
        await stage.mark()
        await lin.get_by_role("button", name="Approve").click()
        await expect(lin.get_by_role("status")).to_contain_text("It is on record in your name")

        # Who looks on sees it without asking again.
        await expect(ola.get_by_role("heading", name="Waiting for: sourcing.")).to_be_visible(
            timeout=SLOW_MS
        )
        await carry_out(stage, contracted)
        await expect(
            ola.get_by_role("heading", name="Complete in every plant and system.")
        ).to_be_visible(timeout=SLOW_MS)
        await fits(ola)
        await screenshots(ola, "story-complete")
        await ola.get_by_role("link", name="History").click()
        await expect(
            ola.get_by_text("approved by Q. Lindqvist: Audit report 7 is in").first
        ).to_be_visible()
        await carry_out_all(stage, complete)
        await promises.check(stage)
        # Before the service stops, whose streams these pages read.
        await ola.close()
        await lin.close()


async def test_a_work_list_is_decided_and_its_change_goes_on(
    open_page: OpenPage,
    database_url: str,
    amqp_url: str,
    tmp_path: Path,
    screenshots: Screenshots,
) -> None:
    async with told("old-orders.md", database_url, amqp_url, tmp_path) as (stage, parts):
        ordered, asked, decided, complete = parts
        await carry_out_all(stage, ordered)
        await carry_out_all(stage, asked)
        ola, vogel = await open_page(), await open_page()
        await sign_in(ola, stage, "Ola Nordmann", "operator", "/changes")
        await ola.get_by_role("link", name="ECO-7701").click()
        await expect(ola.get_by_role("heading", name="Waiting for: purchasing.")).to_be_visible()
        await sign_in(vogel, stage, "B. Vogel", "purchasing", "/orders")
        await fits(vogel)
        await screenshots(vogel, "story-orders")
        await stage.mark()
        for sentence in decided:
            what, choice = sentence.text.removeprefix("purchasing decides on ").split(": ")
            await decide_line(vogel, stage, what, choice.replace("-", " "))
        await expect(
            ola.get_by_role("heading", name="Complete in every plant and system.")
        ).to_be_visible(timeout=SLOW_MS)
        await carry_out_all(stage, complete)
        await promises.check(stage)
        await ola.close()
        await vogel.close()


async def decide_line(page: Page, stage: Stage, what: str, choice: str) -> None:
    """That line alone, by order and line, is decided on the page of orders."""
    order, _, line = what.partition("/")
    await page.goto(f"{stage.console}/orders")
    await page.get_by_label(f"Order {order}, line {line}").check()
    await page.get_by_role("button", name="Decide the marked (1)").click()
    await page.get_by_label(choice, exact=True).check()
    await page.get_by_label("Reason (kept with each decision)").fill("As agreed with the plant")
    await page.get_by_role("button", name="Decide 1 line").click()
    await expect(page.get_by_role("status")).to_contain_text("All of them are on record")
