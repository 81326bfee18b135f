"""The buyers' work list: lines are chosen as they were read, and each is decided by itself."""

from __future__ import annotations

import asyncio
import csv
import io
from contextlib import AbstractAsyncContextManager

import msgspec
import pytest

from broker.store import Database
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
from tests.integration.consoles import Answer, Visitor, person

HOSTILE = "<script>alert('x')</script>&\"<b>"
REFUSALS = (
    "select actor, action, subject, detail ->> 'code' from audit where action like '%refused'"
)


def buyer(
    console: str, database: Database, name: str = "Ben", *, plants: tuple[str, ...] = ("*",)
) -> AbstractAsyncContextManager[Visitor]:
    """Somebody who buys for these plants, signed in."""
    return person(console, database, name, "purchasing", plants=plants)


async def choose_all(visitor: Visitor, query: str = "") -> Answer:
    """All that match are chosen; the page that asks to confirm it."""
    page = await visitor.get(f"/orders?{query}" if query else "/orders")
    return await visitor.post("/orders/chosen", {**page.form("/orders/chosen"), "which": "all"})


async def mark(visitor: Visitor, database: Database, *abouts: str) -> Answer:
    """These lines are marked; the page that asks to confirm it."""
    page = await visitor.get("/orders")
    form = pairs_of(page.form("/orders/chosen"))
    for about in abouts:
        task = await asked(database, f"order-line/{about}")
        assert f'value="{task.id}:{task.digest}"' in page.text
        form.append(("line", f"{task.id}:{task.digest}"))
    async with visitor.session.post(
        f"{visitor.url}/orders/chosen", data=[*form, ("which", "marked")], headers=visitor.own
    ) as answer:
        return Answer(answer.status, answer.headers, await answer.text(), answer.url)


def pairs_of(fields: dict[str, str]) -> list[tuple[str, str]]:
    """Fields of a form of which some come twice."""
    return list(fields.items())


async def confirm(visitor: Visitor, page: Answer, **fields: str) -> Answer:
    """What was chosen is cancelled, unless the fields say otherwise."""
    path = page.url.path
    form = {**page.form(path), "choice": "cancel", "reason": "no use for A", **fields}
    return await visitor.post(path, form)


async def test_the_list_shows_each_line_and_is_narrowed(database: Database, console: str) -> None:
    await seed_work(database)
    async with buyer(console, database) as ben:
        words = (await ben.get("/orders")).words
        assert "45001/10 S-1 1010 SEAL-1 rev. A 500 H87 2027-04-01 125.00 EUR Cancel ECO-7" in words
        for query, lines in (
            ("", 3),
            ("supplier=S-2", 1),
            ("plant=2010", 1),
            ("item=SEAL-1&change=ECO-7", 3),
            ("change=ECO-8", 0),
            ("due=overdue", 0),
            ("due=week&supplier=S-1", 2),
        ):
            page = await ben.get(f"/orders?{query}")
            assert page.text.count('name="line"') == lines, query
        page = await ben.get("/orders?due=week&supplier=S-1")
        assert "layshaft task orders --supplier S-1 --due-within-hours 168" in page.words
    async with buyer(console, database, "Una", plants=("2010",)) as una:
        assert "Decide all that match (1)" in (await una.get("/orders")).words
        everybody = await una.get("/orders?for=all")
        assert everybody.text.count("<tr data-row>") == 3
        assert everybody.text.count('name="line"') == 1


async def test_lines_that_are_marked_are_decided_each_on_record(
    database: Database, console: str
) -> None:
    await seed_work(database)
    async with buyer(console, database) as ben:
        page = await mark(ben, database, "45001/10", "45002/10")
        assert "Decide 2 order lines" in page.words
        assert "Lines 2 Value 145.00 EUR Suppliers S-1, S-2 Plant 1010" in page.words
        assert await fetch(database, "select from decision") == []
        done = await confirm(ben, page)
        assert "2 of 2 order lines decided: cancel" in done.words
        assert "All of them are on record, each by itself." in done.words
        assert (await ben.get("/orders")).text.count("<tr data-row>") == 1
    assert (
        await fetch(database, "select by_whom, choice, reason from decision order by step_id")
        == [("Ben", "cancel", "no use for A")] * 2
    )
    assert await fetch(
        database, "select subject from audit where action = 'approved' order by subject"
    ) == [
        ("engineering-change/ECO-7: open-order 45001/10",),
        ("engineering-change/ECO-7: open-order 45002/10",),
    ]


async def test_what_cannot_be_decided_any_more_is_named_and_the_rest_is_done(
    database: Database, console: str
) -> None:
    await seed_work(database)
    async with buyer(console, database) as ben, buyer(console, database, "Una") as una:
        page = await choose_all(ben)
        await confirm(una, await mark(una, database, "45001/20"), choice="as-ordered")
        changed = msgspec.structs.replace(
            ORDERS[1], lines=(msgspec.structs.replace(ORDERS[1].lines[0], revision="A1"),)
        )
        await put(database, planned((ORDERS[0], changed), version=4))
        done = await confirm(ben, page)
        assert "1 of 3 order lines decided: cancel" in done.words
        assert "2 lines were not decided" in done.words
        assert (
            "45001/20 not decided decided meanwhile: as-ordered by Una: no use for A LAY-not-open"
            in done.words
        )
        assert (
            "45002/10 not decided What is asked has changed since it was shown LAY-content-changed"
            in done.words
        )
        # It stays so when it is looked at again.
        assert (await ben.get(page.url.path)).words == done.words
    assert await fetch(database, "select by_whom, choice from decision order by id") == [
        ("Una", "as-ordered"),
        ("Ben", "cancel"),
    ]
    assert await fetch(database, REFUSALS) == [
        ("Ben", "task-approve-refused", f"engineering-change/ECO-7: open-order {line}", code)
        for line, code in (("45001/20", "not-open"), ("45002/10", "content-changed"))
    ]


async def test_what_was_chosen_stays_chosen_while_more_come(
    database: Database, console: str
) -> None:
    await seed_work(database)
    async with buyer(console, database) as ben:
        page = await choose_all(ben)
        more = order("45003", "S-1", ordered("10"))
        await put(database, planned((*ORDERS, more), version=4))
        done = await confirm(ben, page)
        assert "3 of 3 order lines decided" in done.words
        assert "45003/10" in (await ben.get("/orders")).words


async def test_nobody_decides_for_a_plant_that_is_not_theirs(
    database: Database, console: str
) -> None:
    await seed_work(database)
    line = await asked(database, "order-line/45001/20")
    own = await asked(database, "order-line/45001/10")
    async with buyer(console, database, plants=("1010",)) as ben:
        # All that match are those that he may decide, whatever the list shows.
        page = await choose_all(ben, "for=all")
        assert "Decide 2 order lines" in page.words
        listed = await ben.get("/orders")
        form = pairs_of(listed.form("/orders/chosen"))
        form += [("line", f"{task.id}:{task.digest}") for task in (own, line)]
        async with ben.session.post(
            f"{ben.url}/orders/chosen", data=[*form, ("which", "marked")], headers=ben.own
        ) as answer:
            page = Answer(answer.status, answer.headers, await answer.text(), answer.url)
        assert "1 of them cannot be decided by you" in page.words
        done = await confirm(ben, page)
        assert "1 of 2 order lines decided" in done.words
        assert "Ben may not approve for plant 2010 LAY-plant-out-of-scope" in done.words
    assert await fetch(database, "select step_id from decision") == [(own.id,)]
    assert await fetch(database, REFUSALS) == [
        (
            "Ben",
            "task-approve-refused",
            "engineering-change/ECO-7: open-order 45001/20",
            "plant-out-of-scope",
        )
    ]


async def test_what_was_chosen_is_decided_once(database: Database, console: str) -> None:
    await seed_work(database)
    async with buyer(console, database) as ben:
        page = await choose_all(ben)
        same = {**page.form(page.url.path), "choice": "cancel", "reason": "x"}
        other = {**(await ben.get(page.url.path)).form(page.url.path), "choice": "as-ordered",
                 "reason": "y"}  # fmt: skip
        answers = await asyncio.gather(
            *(ben.post(page.url.path, form) for form in (same, same, other))
        )
        for answered in answers:
            assert "3 of 3 order lines decided" in answered.words
    assert len(await fetch(database, "select from decision")) == 3
    assert len(await fetch(database, "select distinct choice from decision")) == 1
    assert await fetch(database, REFUSALS) == []


async def test_more_than_a_hundred_are_confirmed_by_typing_how_many(
    database: Database, console: str
) -> None:
    lines = tuple(ordered(str(n)) for n in range(101))
    await seed_work(database, (order("45009", "S-1", *lines),))
    async with buyer(console, database) as ben:
        assert "1 to 50 of 101" in (await ben.get("/orders")).words
        page = await choose_all(ben)
        assert "Type 101 to confirm" in page.words
        assert "All 101 lines" in page.words
        for typed in ("", "100"):
            refused = await confirm(ben, page, typed=typed)
            assert (refused.status, "LAY-not-confirmed" in refused.words) == (422, True)
            assert "no use for A</textarea>" in refused.text
        assert await fetch(database, "select from decision") == []
        done = await confirm(ben, page, typed="101")
        assert "101 of 101 order lines decided" in done.words


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"reason": " "}, "reason-missing"),
        ({"once": "x"}, "form-incomplete"),
    ],
)
async def test_a_form_that_says_too_little_decides_nothing(
    database: Database, console: str, fields: dict[str, str], code: str
) -> None:
    await seed_work(database)
    async with buyer(console, database) as ben:
        page = await choose_all(ben)
        refused = await confirm(ben, page, **fields)
        assert (refused.status, f"LAY-{code}" in refused.words) == (422, True)
        assert "Decide 3 order lines" in refused.words
    assert await fetch(database, "select from decision") == []


async def test_a_word_that_is_no_choice_decides_no_line(database: Database, console: str) -> None:
    await seed_work(database)
    async with buyer(console, database) as ben:
        done = await confirm(ben, await choose_all(ben), choice="burn")
        assert "0 of 3 order lines decided" in done.words
        assert done.words.count("LAY-choice-unknown") == 3
    assert await fetch(database, "select from decision") == []


@pytest.mark.parametrize("line", [None, "1", "x:y", f"1:{'g' * 64}"])
async def test_lines_that_cannot_be_read_are_not_chosen(
    database: Database, console: str, line: str | None
) -> None:
    await seed_work(database)
    async with buyer(console, database) as ben:
        form = (await ben.get("/orders")).form("/orders/chosen")
        answered = await ben.post(
            "/orders/chosen", {**form, "which": "marked", **({"line": line} if line else {})}
        )
    code = "nothing-chosen" if line is None else "lines-unreadable"
    assert (answered.status, f"LAY-{code}" in answered.words) == (422, True)
    assert await fetch(database, "select from chosen_lines") == []


async def test_what_one_has_chosen_is_for_nobody_else(database: Database, console: str) -> None:
    await seed_work(database)
    async with buyer(console, database) as ben, buyer(console, database, "Una") as una:
        page = await choose_all(ben)
        assert (await una.get(page.url.path)).status == 404
        theirs = (await choose_all(una)).form("/sign-out")
        form = {**page.form(page.url.path), **theirs, "choice": "cancel", "reason": "x"}
        assert (await una.post(page.url.path, form)).status == 404
    assert await fetch(database, "select from decision") == []


async def test_getting_a_page_changes_nothing(database: Database, console: str) -> None:
    await seed_work(database)
    async with buyer(console, database) as ben:
        page = await choose_all(ben)
        await ben.get(f"{page.url.path}?choice=cancel&reason=x")
        assert (await ben.get("/orders/chosen")).status == 405
    assert await fetch(database, "select from decision") == []


async def test_a_file_has_the_same_lines_as_the_page(database: Database, console: str) -> None:
    await seed_work(database)
    async with buyer(console, database, plants=("1010",)) as ben:
        text = (await ben.get("/orders.csv?supplier=S-1")).text.removeprefix("\ufeff")
        [row] = csv.DictReader(io.StringIO(text))
        assert (row["order"], row["line"], row["quantity"], row["unit"], row["value"]) == (
            *("45001", "10", "500", "H87"),
            "125.00",
        )
        lines = (await ben.get("/orders.jsonl?for=all")).text.splitlines()
        assert len(lines) == 3
        assert msgspec.json.decode(lines[0])["order_line"]["supplier"] == "S-1"


async def test_text_from_elsewhere_stays_text(database: Database, console: str) -> None:
    line = msgspec.structs.replace(ordered("10"), revision=HOSTILE)
    await seed_work(database, (order(HOSTILE, HOSTILE, line),))
    async with buyer(console, database) as ben:
        page = await choose_all(ben)
        done = await confirm(ben, page, reason=HOSTILE)
        for shown in (page, done, await ben.get(f"/orders?supplier={HOSTILE}")):
            assert shown.status == 200
            assert "<script>alert" not in shown.text
            assert "<b>" not in shown.text
        assert HOSTILE in done.words
