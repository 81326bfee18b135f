"""The console, as people see it: they sign in, follow a change to its end, and steer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from broker import approvals, book
from broker.book import Settled
from broker.store import Database, views
from broker.store.calls import CallResult, claim_calls
from canonical.effects import Step
from canonical.operations import Approve
from tests.browser.conftest import OpenPage
from tests.browser.looking import (
    DEADLINE_S,
    NARROW,
    WIDE,
    Screenshots,
    Trouble,
    axe_findings,
    fits,
    in_scheme,
    overflow_px,
)
from tests.integration.gearbox_change import seed_in
from tests.integration.many_changes import (
    HOSTILE,
    planned,
    seed_half_way,
    seed_hostile,
    seed_list,
    seed_taken_back,
    step_of,
)
from tests.integration.people import principal_in, token_in


@pytest_asyncio.fixture(loop_scope="session")
async def ola(open_page: OpenPage, console: str, database: Database) -> AsyncIterator[Page]:
    """A page of an operator for all plants, signed in; left before the console stops."""
    page = await open_page()
    await sign_in(page, console, await token_in(database, "Ola Nordmann", "operator"))
    yield page
    await page.close()


async def sign_in(page: Page, console: str, token: str) -> None:
    await page.goto(console)
    await page.get_by_label("Your token").fill(token)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", level=1, name="Changes")).to_be_visible()


async def release(database: Database) -> None:
    """A change is released: two items, a question about a supplier, and what stands behind it."""
    ask = Approve(
        question="supplier-qualification", text="Supplier S-9 is not qualified", evidence=()
    )
    question = Step("", "quality", "supplier", "S-9", ask, owner="quality")
    first, second = step_of("1010", "SEAL-7"), step_of("2010", "SEAL-7")
    behind = step_of("1010", "SEAL-8")
    async with database.transaction() as tx:
        await planned(
            tx,
            "ECO-7000",
            first,
            second,
            question,
            Step(
                behind.plant,
                behind.system,
                behind.object_kind,
                behind.object_id,
                behind.operation,
                (first.identity, question.identity),
                "master data",
            ),
            title="Seal: new material",
        )


async def make_calls(database: Database) -> None:
    """What is due at the ERP is made there."""
    async with database.transaction() as tx:
        claimed = await claim_calls(tx, lane="standard", systems=["erp"], limit=50, lease_s=60)
    at = datetime.now(UTC)
    async with database.transaction() as tx:
        await book.settle_calls(
            tx,
            [Settled(CallResult(step, "done", at, at, at, (), "applied", "")) for step in claimed],
        )


async def test_a_change_is_followed_from_its_release_to_its_end(
    ola: Page, console: str, database: Database
) -> None:
    await ola.goto(f"{console}/changes")
    await expect(ola.get_by_text("No change has been released yet")).to_be_visible()
    await release(database)
    await ola.reload()
    await ola.get_by_role("link", name="ECO-7000").click()
    now = ola.get_by_role("region", name="0 of 4 done. Waiting for: quality.")
    await expect(now).to_be_visible()
    await make_calls(database)
    # Without asking for the page again.
    await expect(
        ola.get_by_role("heading", name="2 of 4 done. Waiting for: quality.")
    ).to_be_visible()
    mia = await principal_in(database, "Mia", "quality")
    async with database.transaction() as tx:
        (task,) = await views.tasks(tx, "open")
        await approvals.decide(
            tx,
            step_id=task.id,
            digest=task.digest,
            verdict="approved",
            by=mia,
            reason="audited",
        )
    await expect(ola.get_by_role("heading", name="3 of 4 done.")).to_be_visible()
    await make_calls(database)
    await expect(
        ola.get_by_role("heading", name="4 of 4 done. Complete in every plant and system.")
    ).to_be_visible()
    await ola.get_by_role("link", name="History").click()
    await expect(ola.get_by_text("approved by Mia: audited").first).to_be_visible()


async def test_a_change_is_paused_where_it_is_looked_at(
    ola: Page, console: str, database: Database
) -> None:
    await release(database)
    await ola.goto(f"{console}/changes/ECO-7000")
    await ola.locator("summary", has_text="Pause").click()
    await ola.get_by_label("Why (kept)").first.fill("stock-taking")
    await ola.get_by_role("button", name="Pause").dblclick()
    await expect(ola.get_by_text("ECO-7000 paused by Ola Nordmann: 3 steps held")).to_be_visible()
    await expect(ola.get_by_text("Paused: stock-taking, by Ola Nordmann")).to_be_visible()
    async with database.session() as session:
        deeds = await session.fetchval("select count(*) from audit where action = 'change-paused'")
    assert deeds == 1


async def test_what_is_opened_stays_open_while_the_page_changes(
    ola: Page, console: str, database: Database
) -> None:
    await release(database)
    await ola.goto(f"{console}/changes/ECO-7000")
    await ola.locator("summary", has_text="Pause").click()
    reason = ola.get_by_label("Why (kept)").first
    await reason.fill("half a sent")
    await make_calls(database)
    await expect(ola.get_by_role("heading", name="2 of 4 done.")).to_be_visible()
    await expect(reason).to_have_value("half a sent")
    await expect(reason).to_be_focused()


async def test_where_there_is_little_room_the_list_comes_before_its_filter(
    ola: Page, console: str, database: Database
) -> None:
    await release(database)
    await ola.set_viewport_size(NARROW)
    await ola.goto(f"{console}/changes")
    await expect(ola.get_by_label("Plant")).to_be_hidden()
    more = ola.get_by_role("button", name="Filter")
    await more.click()
    await expect(more).to_have_attribute("aria-expanded", "true")
    await ola.get_by_label("Plant").fill("2010")
    await ola.get_by_role("button", name="Show").click()
    # What narrows the list is seen.
    await expect(ola.get_by_label("Plant")).to_have_value("2010")
    await expect(ola.get_by_label("Plant")).to_be_visible()
    await ola.set_viewport_size(WIDE)
    await expect(more).to_be_hidden()


async def test_its_progress_is_drawn_and_goes_on_while_one_looks(
    ola: Page, console: str, database: Database, screenshots: Screenshots
) -> None:
    await seed_half_way(database)
    await ola.goto(f"{console}/changes/ECO-5000")
    drawing = ola.locator("#burn-up-plot canvas")
    await expect(drawing).to_be_visible()
    await expect(ola.get_by_text("At the usual pace", exact=True)).to_be_visible()
    await fits(ola)
    for size in (NARROW, WIDE):
        await ola.set_viewport_size(size)
        await expect(drawing).to_have_js_property("clientWidth", await width_of(ola))
    await ola.mouse.move(0, 0)
    await screenshots(ola, "console-change-half-way")
    # What was so at a moment is said beside the labels while one points at it.
    await ola.locator("#burn-up-plot .u-over").hover()
    await expect(ola.locator("#burn-up-plot .u-legend")).to_contain_text("Planned16Done9")
    await ola.mouse.move(0, 0)
    # Colours are those of the scheme, without loading the page again.
    light = await drawing.evaluate("canvas => canvas.toDataURL()")
    await in_scheme(ola, "dark")
    await drawn_otherwise(ola, light)
    await in_scheme(ola, "light")
    # The table says the same, and stays open while the page changes.
    await ola.get_by_text("As a table").click()
    rows = ola.get_by_role("table").filter(has_text="Steps planned").get_by_role("row")
    await expect(rows.nth(10).get_by_role("cell")).to_have_text(["9", "16"])
    await expect(rows.nth(12)).to_contain_text("at the usual pace")
    before = await drawing.evaluate("canvas => canvas.toDataURL()")
    await make_calls(database)
    await expect(ola.get_by_role("heading", name="Complete in every plant")).to_be_visible()
    await expect(rows.last.get_by_role("cell")).to_have_text(["16", "16"])
    await expect(ola.get_by_text("At the usual pace", exact=True)).to_have_count(0)
    await drawn_otherwise(ola, before)
    await fits(ola)


async def width_of(page: Page) -> int:
    """Of the place for the drawing."""
    place = page.locator("#burn-up-plot")
    return int(await place.evaluate("place => place.clientWidth"))


async def drawn_otherwise(page: Page, before: str) -> None:
    """What is drawn is not what it was before. Asked from here: the page's policy lets nothing be
    carried out that is given as a text, which waiting in the page would take."""
    async with asyncio.timeout(DEADLINE_S):
        drawing = page.locator("#burn-up-plot canvas")
        while await drawing.evaluate("canvas => canvas.toDataURL()") == before:
            await page.wait_for_timeout(50)


async def test_what_is_left_behind_is_undone_by_who_has_seen_it(
    ola: Page, console: str, database: Database, trouble: Trouble, screenshots: Screenshots
) -> None:
    await seed_taken_back(database)
    await ola.goto(f"{console}/changes/ECO-4000")
    await fits(ola)
    await screenshots(ola, "console-change-left-behind")
    await ola.get_by_role("complementary", name="Steer").get_by_role("link", name="Undo").click()
    await expect(ola.get_by_role("heading", name="Would be undone 2 steps")).to_be_visible()
    await fits(ola)
    await screenshots(ola, "console-undo")
    # A call ended in between: what would be undone is not what was shown.
    await ola.locator("[name=shown]").evaluate("field => { field.value = '0'.repeat(12) }")
    await ola.get_by_label("Reason (kept)").fill("released by mistake")
    trouble.expect(f"409 POST {console}/changes/ECO-4000/undo")
    await ola.get_by_role("button", name="Undo 2 steps").click()
    await expect(ola.get_by_role("alert")).to_contain_text("Nothing was undone.")
    await fits(ola)
    await screenshots(ola, "console-undo-failing")
    await ola.get_by_role("button", name="Undo 2 steps").click()
    await expect(ola.get_by_role("status")).to_contain_text("ECO-4000: 2 steps to be undone")
    await expect(ola.get_by_text("It was taken back, and can be neither paused")).to_be_visible()
    await fits(ola)
    await screenshots(ola, "console-change-undoing")
    await ola.goto(f"{console}/changes/ECO-4000/undo")
    await fits(ola)
    await screenshots(ola, "console-undo-empty")


async def test_it_is_used_by_keys_alone(ola: Page, console: str, database: Database) -> None:
    await seed_in(database)
    await seed_list(database)
    await ola.goto(f"{console}/changes")
    await ola.keyboard.press("/")
    await ola.keyboard.type("ECO-3")
    await ola.keyboard.press("Enter")
    await ola.wait_for_url("**number=ECO-3**")
    await ola.keyboard.press("j")
    await expect(ola.get_by_role("link", name="ECO-3001")).to_be_focused()
    await ola.keyboard.press("j")
    await ola.keyboard.press("k")
    await ola.keyboard.press("Enter")
    await expect(ola.get_by_role("heading", level=1, name="ECO-3001")).to_be_visible()
    await ola.keyboard.press("?")
    await expect(ola.get_by_role("dialog", name="Keys")).to_be_visible()
    await ola.keyboard.press("Escape")
    await ola.keyboard.press("g")
    await ola.keyboard.press("o")
    await expect(ola.get_by_role("heading", level=1, name="Orders")).to_be_visible()


async def test_it_works_without_a_script(
    browser: Browser, console: str, database: Database
) -> None:
    await release(database)
    token = await token_in(database, "Ola", "operator")
    async with await browser.new_context(java_script_enabled=False) as context:
        page = await context.new_page()
        await sign_in(page, console, token)
        await page.get_by_label("Number or title").fill("seal")
        await page.get_by_role("button", name="Show").click()
        await page.get_by_role("link", name="ECO-7000").click()
        await page.locator("summary", has_text="Pause").click()
        await page.get_by_label("Why (kept)").first.fill("audit")
        await page.get_by_role("button", name="Pause").click()
        await expect(page.get_by_text("ECO-7000 paused by Ola")).to_be_visible()
        assert await page.locator("[data-copy]:visible, [data-keys]:visible").count() == 0
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_text("You are signed out.")).to_be_visible()


async def test_no_text_is_carried_out(ola: Page, console: str, database: Database) -> None:
    await seed_hostile(database)
    await ola.goto(f"{console}/changes")
    await ola.get_by_role("link", name="ECO-<script>").click()
    await expect(ola.get_by_role("heading", level=1)).to_contain_text(HOSTILE[:25])
    # The stream sends it once more; a dialog or an image that is asked for would be trouble.
    await ola.wait_for_timeout(1_500)
    assert await ola.evaluate("document.images.length") == 1, "the mark alone"


async def pages(console: str, database: Database) -> dict[str, str]:
    """Addresses of the pages, by the names of their pictures."""
    await seed_in(database)
    await seed_list(database)
    async with database.session() as session:
        failed = await session.fetchval("select id from step where state = 'failed'")
    return {
        "changes": f"{console}/changes",
        "changes-none": f"{console}/changes?number=nothing",
        "change": f"{console}/changes/ECO-2001",
        "change-complete": f"{console}/changes/ECO-2900",
        "history": f"{console}/changes/ECO-2001/history",
        "step": f"{console}/changes/ECO-2001/steps/{failed}",
        "soon": f"{console}/tasks",
    }


async def test_nothing_hinders_its_readers(
    ola: Page, console: str, database: Database, trouble: Trouble
) -> None:
    trouble.expect("404 GET")
    found = await pages(console, database) | {"trouble": f"{console}/changes/ECO-1"}
    for url in found.values():
        await ola.goto(url)
        await fits(ola)


async def test_nothing_hinders_who_signs_in(page: Page, console: str) -> None:
    await page.goto(f"{console}/sign-in?why=session-over")
    await page.set_viewport_size(NARROW)
    assert await overflow_px(page) == 0
    assert await axe_findings(page) == []


async def test_it_looks_as_shown(
    ola: Page, page: Page, console: str, database: Database, screenshots: Screenshots, trouble: Any
) -> None:
    trouble.expect("401 POST")
    trouble.expect("404 GET")
    await ola.goto(f"{console}/changes")
    await screenshots(ola, "console-changes-empty")
    for name, url in (await pages(console, database)).items():
        await ola.goto(url)
        await screenshots(ola, f"console-{name}")
    await ola.goto(f"{console}/changes/ECO-2001")
    await ola.get_by_role("heading", name="What comes after what").scroll_into_view_if_needed()
    await ola.evaluate("document.querySelector('.graph').scrollIntoView()")
    await screenshots(ola, "console-change-graph")
    await ola.goto(f"{console}/changes/ECO-2001")
    await ola.locator("summary", has_text="Cancel").click()
    await screenshots(ola, "console-change-steer")
    await ola.evaluate("document.querySelector('.matrix').scrollIntoView()")
    await screenshots(ola, "console-change-matrix")
    await ola.goto(f"{console}/changes/ECO-2002")
    await screenshots(ola, "console-trouble")
    await page.goto(console)
    await screenshots(page, "console-sign-in")
    await page.get_by_label("Your token").fill("lys_nothing")
    await page.get_by_role("button", name="Sign in").click()
    await screenshots(page, "console-sign-in-failing")
