"""People at work in a browser: a task from evidence to done, a work list line by line."""

from __future__ import annotations

import msgspec
import pytest
from playwright.async_api import Browser, Page, expect

from broker.store import Database
from tests.browser.looking import Screenshots, Trouble, fits
from tests.integration.console_work import (
    ORDERS,
    asked,
    fetch,
    order,
    ordered,
    planned,
    put,
    seed_work,
)
from tests.integration.people import token_in

SUPPLIERS = ("S-1", "S-2", "17300003")


async def sign_in(page: Page, console: str, database: Database, name: str, *roles: str) -> None:
    """Somebody with these roles is at the console."""
    token = await token_in(database, name, *roles)
    await page.goto(f"{console}/sign-in?next=/tasks")
    await page.get_by_label("Your token").fill(token)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/tasks")


async def seed_many(database: Database, *, lines: int = 24) -> None:
    """A work list of several suppliers, some of it late; others who are asked."""
    orders = [
        order(
            f"4500{n}",
            SUPPLIERS[n % 3],
            *(ordered(str(10 * m), ("1010", "2010")[m % 2], 80 * m) for m in range(1, 4)),
        )
        for n in range(100, 100 + lines // 3)
    ]
    await seed_work(database, orders)
    async with database.session() as session:
        await session.execute(
            "update step set due_at = now() - make_interval(hours => (id % 50)::int)"
            " where kind = 'approval' and id % 5 = 0"
        )
        await session.execute(
            "insert into step_escalation (step_id, role, level, due_at)"
            " select id, 'plant-manager', 1, due_at from step"
            " where kind = 'approval' and due_at < now() - interval '20 hours'"
        )
    for name in ("Ole", "Una"):
        await token_in(database, name, "quality", "purchasing")


async def test_a_task_is_decided_by_what_is_shown_of_it(
    page: Page, console: str, database: Database, screenshots: Screenshots
) -> None:
    await seed_many(database)
    await sign_in(page, console, database, "Q. Lindqvist", "quality", "purchasing")
    await fits(page)
    await screenshots(page, "tasks")
    await page.get_by_label("Change, object or question").fill("S-3")
    await page.get_by_role("button", name="Show").click()
    await page.wait_for_url("**/tasks?q=S-3&*")
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("May Supplier S-3")
    for heading in ("What to know", "Contract cover", "Approving releases", "History"):
        await expect(page.get_by_role("heading", name=heading)).to_be_visible()
    await fits(page)
    await screenshots(page, "task")
    await page.get_by_label("What others should know").fill("Audit report 7 comes on Monday")
    await page.get_by_role("button", name="Comment").click()
    await expect(page.get_by_role("status")).to_have_text("Your comment is on record.")
    await expect(page.get_by_text("Audit report 7 comes on Monday")).to_be_visible()
    await screenshots(page, "task-comment")
    # The browser asks for the reason before anything is sent.
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_label("Reason (kept with the decision)")).to_be_focused()
    assert await fetch(database, "select from decision") == []
    await page.get_by_label("Reason (kept with the decision)").fill("Audit report 7 is in")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("status")).to_have_text("Approved. It is on record in your name.")
    await expect(page.get_by_text("Audit report 7 is in")).to_be_visible()
    await fits(page)
    await screenshots(page, "task-done")
    # To load the page again sends nothing again.
    await page.reload()
    assert await fetch(database, "select by_whom from decision") == [("Q. Lindqvist",)]


async def test_what_changed_meanwhile_is_shown_beside_what_was_read(
    page: Page, console: str, database: Database, trouble: Trouble, screenshots: Screenshots
) -> None:
    await seed_work(database)
    await sign_in(page, console, database, "Ben", "purchasing")
    task = await asked(database, "order-line/45002/10")
    await page.goto(f"{console}/tasks/{task.id}")
    await page.get_by_label("cancel").check()
    await page.get_by_label("Reason (kept with the decision)").fill("no use for A")
    line = msgspec.structs.replace(ORDERS[1].lines[0], revision="A1", plant="1010")
    await put(
        database, planned((ORDERS[0], msgspec.structs.replace(ORDERS[1], lines=(line,))), version=4)
    )
    trouble.expect(f"409 POST {console}/tasks/{task.id}/decide")
    await page.get_by_role("button", name="Decide").click()
    alert = page.get_by_role("alert")
    await expect(alert).to_contain_text("What is asked has changed since it was shown")
    await expect(alert.get_by_role("cell", name="ordered revision: A1")).to_be_visible()
    await fits(page)
    await screenshots(page, "task-stale")
    await expect(page.get_by_label("Reason (kept with the decision)")).to_have_value("no use for A")
    await page.get_by_role("button", name="Decide").click()
    await expect(page.get_by_role("status")).to_contain_text("Decided: cancel")


async def test_a_work_list_is_decided_with_the_keyboard_alone(
    page: Page, console: str, database: Database, screenshots: Screenshots
) -> None:
    await seed_many(database)
    await sign_in(page, console, database, "B. Vogel", "purchasing")
    await page.get_by_role("link", name="Orders", exact=True).press("Enter")
    await page.wait_for_url("**/orders")
    for _ in range(2):
        await page.keyboard.press("j")
        await page.keyboard.press("x")
    await expect(page.get_by_role("button", name="Decide the marked (2)")).to_be_visible()
    await page.keyboard.press("x")
    await expect(page.get_by_role("button", name="Decide the marked (1)")).to_be_visible()
    await page.get_by_label("Mark all on this page").check()
    await expect(page.get_by_role("button", name="Decide the marked (24)")).to_be_visible()
    await fits(page)
    await screenshots(page, "orders")
    await page.get_by_role("button", name="Decide all that match (24)").click()
    await expect(page.get_by_role("heading", level=1, name="Decide 24 order lines")).to_be_visible()
    await fits(page)
    await screenshots(page, "orders-chosen")
    # Meanwhile somebody decides one of them.
    async with database.session() as session:
        await session.execute(
            "update step set state = 'done', reason = 'elsewhere' where id = ("
            "select min(id) from step where system = 'purchasing' and kind = 'approval')"
        )
    await page.get_by_label("cancel").check()
    await page.get_by_label("Reason (kept with each decision)").fill("Revision A is not fitted")
    await page.get_by_role("button", name="Decide 24 lines").click()
    await expect(
        page.get_by_role("heading", level=1, name="23 of 24 order lines decided: cancel")
    ).to_be_visible()
    await expect(page.get_by_role("row").nth(1)).to_contain_text("not decided")
    await fits(page)
    await screenshots(page, "orders-done")
    assert await fetch(database, "select count(*) from decision") == [(23,)]


async def test_without_a_script_all_of_it_works(
    browser: Browser, console: str, database: Database
) -> None:
    await seed_work(database)
    token = await token_in(database, "Ben", "purchasing")
    context = await browser.new_context(java_script_enabled=False)
    try:
        page: Page = await context.new_page()
        await page.goto(f"{console}/sign-in?next=/orders")
        await page.get_by_label("Your token").fill(token)
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_label("Order 45001, line 10").check()
        await page.get_by_role("button", name="Decide the marked").click()
        await page.get_by_label("as ordered").check()
        await page.get_by_label("Reason (kept with each decision)").fill("fits")
        await page.get_by_role("button", name="Decide 1 line").click()
        await expect(page.get_by_role("status")).to_contain_text("All of them are on record")
    finally:
        await context.close()


@pytest.mark.parametrize("path", ["tasks", "orders"])
async def test_an_empty_list_and_one_that_cannot_be_read_say_what_to_do(
    page: Page,
    console: str,
    database: Database,
    trouble: Trouble,
    screenshots: Screenshots,
    path: str,
) -> None:
    await sign_in(page, console, database, "Ben", "purchasing")
    await page.goto(f"{console}/{path}")
    await expect(page.get_by_text("waits for you").first).to_be_visible()
    await fits(page)
    await screenshots(page, f"{path}-empty")
    trouble.expect(f"422 GET {console}/{path}?page=0")
    await page.goto(f"{console}/{path}?page=0")
    await expect(page.get_by_role("alert")).to_contain_text("Whose turn")
    await screenshots(page, f"{path}-failing")
    await page.get_by_role("alert").get_by_role("link", name="To ").click()
    await page.wait_for_url(f"**/{path}")
