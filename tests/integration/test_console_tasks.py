"""My tasks: what waits for whom, what is shown of it, and what becomes of a decision."""

from __future__ import annotations

import asyncio
import csv
import io

import msgspec
import pytest

from broker.store import Database
from canonical.effects import Plan, Step
from canonical.operations import Approve, ExtendToPlant
from tests.integration.console_work import ORDERS, asked, fetch, planned, put, seed_work
from tests.integration.consoles import Answer, Visitor, person
from tests.integration.people import token_in

HOSTILE = "<script>alert('x')</script>&\"<b>"


async def decide(visitor: Visitor, page: Answer, **fields: str) -> Answer:
    """The form of the page of a task is sent with these fields."""
    path = f"{page.url.path}/decide"
    form = {"verdict": "approved", "reason": "seen the audit", **page.form(path), **fields}
    return await visitor.post(path, form)


async def test_what_waits_for_me_is_what_i_may_decide(database: Database, console: str) -> None:
    await seed_work(database)
    async with person(console, database, "Quinn", "quality") as quinn:
        mine = (await quinn.get("/tasks")).words
        assert "S-3" in mine
        assert "What becomes of SEAL-1" not in mine
        assert "due in 6 h" in mine or "due in 5 h 59 min" in mine
        everybody = (await quinn.get("/tasks?for=all")).words
        assert everybody.count("What becomes of SEAL-1") == 3
    async with person(console, database, "Ben", "purchasing", plants=("1010",)) as ben:
        his = (await ben.get("/tasks")).words
        assert his.count("What becomes of SEAL-1") == 2
        assert "45001/20" not in his
    async with person(console, database, "Vic", "viewer") as vic:
        assert "Your roles (viewer) are asked nothing" in (await vic.get("/tasks")).words


async def test_the_list_is_narrowed_by_its_address(database: Database, console: str) -> None:
    await seed_work(database)
    async with person(console, database, "Quinn", "quality") as quinn:
        for query, lines in (
            ("for=all&role=purchasing", 3),
            ("for=all&plant=2010", 2),
            ("for=all&q=45002", 1),
            ("for=all&q=seal+the+shaft", 5),
            ("for=all&q=%25", 0),
            ("for=all&due=overdue", 0),
            ("for=all&due=day", 5),
            ("for=all&state=decided", 0),
        ):
            text = (await quinn.get(f"/tasks?{query}")).text
            assert text.count("<tr data-row>") == lines, query
        for query in (
            "for=you",
            "state=x",
            "page=0",
            "page=x",
            "page=201",
            "due=1",
            "q=" + "x" * 101,
        ):
            answered = await quinn.get(f"/tasks?{query}")
            assert (answered.status, "LAY-filter-invalid" in answered.words) == (422, True), query


async def test_what_is_late_says_by_how_much_and_to_whom_it_has_gone_on(
    database: Database, console: str
) -> None:
    await seed_work(database)
    task = await asked(database, "supplier/S-3")
    async with database.session() as session:
        await session.execute(
            "update step set due_at = now() - interval '26 hours' where id = $1", task.id
        )
        await session.execute(
            "insert into step_escalation (step_id, role, level, due_at)"
            " select id, 'quality-lead', 1, due_at from step where id = $1",
            task.id,
        )
    async with person(console, database, "Lea", "quality-lead") as lea:
        await token_in(database, "Quinn", "quality")
        listed = (await lea.get("/tasks?due=overdue")).words
    assert "overdue by 1 d 2 h" in listed
    assert "gone on to quality-lead" in listed
    assert "also Quinn" in listed


async def test_lists_come_in_pages(database: Database, console: str) -> None:
    asks = [
        Step(
            "",
            "quality",
            "supplier",
            f"S{n:03}",
            Approve("supplier-qualification", f"May S{n:03}?"),
        )
        for n in range(60)
    ]
    await put(database, Plan("engineering-change/C1", 1, "Many", tuple(asks)))
    async with person(console, database, "Quinn", "quality") as quinn:
        first = await quinn.get("/tasks")
        assert first.text.count("<tr data-row>") == 50
        assert "1 to 50 of 60" in first.words
        second = await quinn.get("/tasks?page=2")
        assert second.text.count("<tr data-row>") == 10
        assert "51 to 60 of 60" in second.words
        assert "No task is like that" in (await quinn.get("/tasks?page=3")).words


async def test_a_task_shows_what_its_decision_rests_on_and_what_it_sets_free(
    database: Database, console: str
) -> None:
    await seed_work(database)
    task = await asked(database, "supplier/S-3")
    async with person(console, database, "Quinn", "quality") as quinn:
        await token_in(database, "Ole", "quality")
        await token_in(database, "Other", "quality", plants=("1010",))
        page = await quinn.get(f"/tasks/{task.id}")
    words = page.words
    for line in task.evidence:
        assert line in words
    assert "Supplier S-3 Supplier S-3" in words
    assert "in qualification stated as InQualification" in words
    assert "C-3 S-3 25.00 EUR for 100 H87" in words
    assert "SEAL-1 decided here Part SEAL-1 A → B" in words
    assert "BOM of SH-10 in plant 1010" in words
    assert "ROD-1 10 changed 250 KGM 260 KGM" in words
    assert "SEAL-1 20 added 2 H87" in words
    assert "GREASE-1 30 removed 1 KGM" in words
    assert "releases 2 purchasing info records in plants 1010 and 2010, and 1 notice." in words
    assert "8 h after it was asked" in words
    assert "Also asked Ole" in words
    assert f"layshaft task approve {task.id} --digest {task.digest[:12]}" in words
    assert await fetch(database, "select from decision") == []


async def test_who_sees_no_plant_of_the_change_sees_no_task_of_it(
    database: Database, console: str
) -> None:
    await seed_work(database)
    task = await asked(database, "supplier/S-3")
    async with person(console, database, "Zoe", "quality", plants=("3010",)) as zoe:
        refused = await zoe.get(f"/tasks/{task.id}")
        assert (refused.status, "LAY-plant-out-of-scope" in refused.words) == (403, True)
        assert "S-3" not in refused.words
        assert "<tr data-row>" not in (await zoe.get("/tasks?for=all")).text
        assert (await zoe.get("/tasks.csv?for=all")).text.count("\n") == 1
        unknown = await zoe.get("/tasks/999999")
        assert (unknown.status, "LAY-not-found" in unknown.words) == (404, True)


async def test_a_decision_is_on_record_and_the_page_shows_it(
    database: Database, console: str
) -> None:
    await seed_work(database)
    task = await asked(database, "supplier/S-3")
    async with person(console, database, "Quinn", "quality") as quinn:
        page = await quinn.get(f"/tasks/{task.id}")
        done = await decide(quinn, page, reason="audited on Monday")
        assert done.url.path == f"/tasks/{task.id}"
        assert "Approved. It is on record in your name." in done.words
        assert "approved by Quinn" in done.words
        assert "audited on Monday" in done.words
        assert "Nothing to decide" in done.words
        assert "Nothing waits for you" in (await quinn.get("/tasks")).words
        assert task.text in (await quinn.get("/tasks?state=decided")).words
    assert await fetch(database, "select verdict, by_whom, reason from decision") == [
        ("approved", "Quinn", "audited on Monday")
    ]


async def test_refusing_holds_what_stands_behind_it(database: Database, console: str) -> None:
    await seed_work(database)
    task = await asked(database, "supplier/S-3")
    async with person(console, database, "Quinn", "quality") as quinn:
        page = await quinn.get(f"/tasks/{task.id}")
        done = await decide(quinn, page, verdict="rejected", reason="failed the audit")
    assert "Refused. It is on record in your name." in done.words
    assert (await asked(database, "supplier/S-3")).state == "failed"
    assert await fetch(database, "select code from exception_case where state = 'open'") == [
        ("approval-refused",)
    ]


async def test_a_form_that_is_sent_twice_decides_once(database: Database, console: str) -> None:
    await seed_work(database, signatures=2)
    task = await asked(database, "supplier/S-3")
    async with person(console, database, "Quinn", "quality") as quinn:
        page = await quinn.get(f"/tasks/{task.id}")
        answers = await asyncio.gather(*(decide(quinn, page) for _ in range(3)))
        for answered in answers:
            assert answered.status == 200
            assert "Signed: approved. It takes 1 more signature." in answered.words
        assert "You have signed" in answers[0].words
    assert await fetch(database, "select by_whom from decision") == [("Quinn",)]
    assert await fetch(database, "select from audit where action like '%refused'") == []


async def test_a_decision_on_what_is_not_shown_any_more_is_refused_with_what_changed(
    database: Database, console: str
) -> None:
    await seed_work(database)
    task = await asked(database, "order-line/45002/10")
    async with person(console, database, "Ben", "purchasing") as ben:
        page = await ben.get(f"/tasks/{task.id}")
        less = msgspec.structs.replace(ORDERS[1].lines[0], revision="A1")
        other = msgspec.structs.replace(ORDERS[1], lines=(less,))
        await put(database, planned((ORDERS[0], other), version=4))
        refused = await decide(ben, page, choice="cancel", reason="no use for A")
        assert refused.status == 409
        assert "What is asked has changed since it was shown. Nothing was decided." in refused.words
        assert "When you read it Now ordered revision: A ordered revision: A1" in refused.words
        # What was written is not lost, and the form is one for what it says now.
        assert "no use for A</textarea>" in refused.text
        assert f'href="/tasks/{task.id}"' in refused.text
        assert await fetch(database, "select from decision") == []
        assert await fetch(
            database,
            "select actor, action, detail ->> 'code' from audit where action like '%refused'",
        ) == [("Ben", "task-approve-refused", "content-changed")]
        form = refused.form(f"/tasks/{task.id}/decide")
        done = await ben.post(
            f"/tasks/{task.id}/decide",
            {**form, "verdict": "approved", "choice": "cancel", "reason": "still"},
        )
    assert "Decided: cancel" in done.words


async def test_who_comes_second_reads_who_came_first(database: Database, console: str) -> None:
    await seed_work(database)
    task = await asked(database, "supplier/S-3")
    async with (
        person(console, database, "Quinn", "quality") as quinn,
        person(console, database, "Ole", "quality") as ole,
    ):
        pages = [await each.get(f"/tasks/{task.id}") for each in (quinn, ole)]
        await decide(quinn, pages[0], reason="audited")
        second = await decide(ole, pages[1], verdict="rejected", reason="never")
    assert second.status == 409
    assert "The approval is done, not open. Nothing was decided." in second.words
    assert "Meanwhile: approved by Quinn" in second.words


@pytest.mark.parametrize(
    ("fields", "code", "status"),
    [
        ({"reason": "  "}, "reason-missing", 422),
        ({"reason": "x" * 2_001}, "form-incomplete", 422),
        ({"verdict": "maybe"}, "verdict-missing", 422),
        ({"digest": "0" * 64}, "content-changed", 409),
        ({"choice": "cancel"}, "choice-unknown", 422),
        ({"once": "short"}, "form-incomplete", 422),
    ],
)
async def test_a_form_that_says_too_little_decides_nothing(
    database: Database, console: str, fields: dict[str, str], code: str, status: int
) -> None:
    await seed_work(database)
    task = await asked(database, "supplier/S-3")
    async with person(console, database, "Quinn", "quality") as quinn:
        refused = await decide(quinn, await quinn.get(f"/tasks/{task.id}"), **fields)
    assert (refused.status, f"LAY-{code}" in refused.words) == (status, True)
    assert await fetch(database, "select from decision") == []


async def test_who_may_not_decide_is_told_who_may_and_refused_on_record(
    database: Database, console: str
) -> None:
    await seed_work(database)
    task = await asked(database, "supplier/S-3")
    async with (
        person(console, database, "Quinn", "quality") as quinn,
        person(console, database, "Ben", "purchasing") as ben,
        person(console, database, "Lou", "quality", plants=("1010",)) as lou,
    ):
        page = await ben.get(f"/tasks/{task.id}")
        assert "Ben may not approve. It is so because it takes the role quality" in page.words
        assert "Ask Quinn." in page.words
        assert f'action="/tasks/{task.id}/decide"' not in page.text
        assert "Lou may not approve for plant 2010" in (await lou.get(f"/tasks/{task.id}")).words
        theirs = (await quinn.get(f"/tasks/{task.id}")).form(f"/tasks/{task.id}/decide")
        own = page.form("/sign-out")
        refused = await ben.post(
            f"/tasks/{task.id}/decide",
            {**theirs, **own, "verdict": "approved", "reason": "let me"},
        )
    assert (refused.status, "LAY-role-missing" in refused.words) == (403, True)
    assert await fetch(database, "select from decision") == []
    assert await fetch(
        database, "select actor, action, detail ->> 'code' from audit where action like '%refused'"
    ) == [("Ben", "task-approve-refused", "role-missing")]


async def test_somebody_is_named_to_decide_in_ones_place(database: Database, console: str) -> None:
    await seed_work(database)
    task = await asked(database, "supplier/S-3")
    path = f"/tasks/{task.id}/delegate"
    async with (
        person(console, database, "Quinn", "quality") as quinn,
        person(console, database, "Sam", "sourcing") as sam,
    ):
        await token_in(database, "Nobody", "viewer")
        assert "Nothing waits for you" in (await sam.get("/tasks")).words
        page = await quinn.get(f"/tasks/{task.id}")
        assert "Sam (sourcing)" in page.words
        assert "Nobody (viewer)" not in page.words
        form = page.form(path)
        assert (await quinn.post(path, {**form, "to": "Sam", "reason": ""})).status == 422
        done = await quinn.post(path, {**form, "to": "Sam", "reason": "on holiday"})
        assert "Sam may decide it in your place." in done.words
        assert "in the place of Quinn" in (await sam.get("/tasks")).words
        theirs = await sam.get(f"/tasks/{task.id}")
        assert "Have somebody else decide" not in theirs.words
        decided = await decide(sam, theirs)
        assert "approved by Sam in the place of Quinn" in decided.words


async def test_people_talk_about_a_question_without_deciding_it(
    database: Database, console: str
) -> None:
    await seed_work(database)
    task = await asked(database, "supplier/S-3")
    path = f"/tasks/{task.id}/comment"
    async with (
        person(console, database, "Eve", "engineering") as eve,
        person(console, database, "Vic", "viewer") as vic,
    ):
        form = (await eve.get(f"/tasks/{task.id}")).form(path)
        empty = await eve.post(path, {**form, "comment": " "})
        assert (empty.status, "Nothing was kept" in empty.words) == (422, True)
        hidden = await eve.post(path, {**form, "comment": "left\u202eright"})
        assert (hidden.status, "Nothing was kept" in hidden.words) == (400, True)
        done = await eve.post(path, {**form, "comment": "<b>The audit</b> is in DOC-7."})
        assert "Your comment is on record." in done.words
        assert "<b>The audit</b> is in DOC-7." in done.words
        seen = await vic.get(f"/tasks/{task.id}")
        assert "<b>The audit</b> is in DOC-7." in seen.words
        assert "What others should know" not in seen.words
        assert (await vic.post(path, {**form, "comment": "Hello"})).status == 403
    now = await asked(database, "supplier/S-3")
    assert (now.state, [(c.by, c.said) for c in now.comments]) == (
        "ready",
        [("Eve", "<b>The audit</b> is in DOC-7.")],
    )


async def test_getting_a_page_changes_nothing(database: Database, console: str) -> None:
    await seed_work(database)
    task = await asked(database, "supplier/S-3")
    async with person(console, database, "Quinn", "quality") as quinn:
        for path in ("decide", "delegate", "comment"):
            answered = await quinn.get(f"/tasks/{task.id}/{path}?verdict=approved&reason=x")
            assert answered.status == 405
    assert (await asked(database, "supplier/S-3")).state == "ready"


async def test_a_file_has_the_same_lines_as_the_page(database: Database, console: str) -> None:
    await seed_work(database)
    async with person(console, database, "Ben", "purchasing", plants=("1010",)) as ben:
        text = await ben.get("/tasks.csv?q=SEAL")
        assert text.headers["Content-Type"].startswith("text/csv")
        assert text.headers["Content-Disposition"] == 'attachment; filename="tasks.csv"'
        rows = list(csv.DictReader(io.StringIO(text.text.removeprefix("\ufeff"))))
        assert [row["about"] for row in rows] == ["order-line/45001/10", "order-line/45002/10"]
        assert {row["asked_of"] for row in rows} == {"purchasing"}
        lines = (await ben.get("/tasks.jsonl?q=SEAL")).text.splitlines()
        assert [msgspec.json.decode(line)["about"] for line in lines] == [r["about"] for r in rows]
        assert (await ben.get("/tasks.csv?for=all")).text.count("order-line/") == 3
        assert (await ben.get("/tasks.csv?state=x")).status == 422
        assert (await ben.get("/tasks.xml")).status == 404


async def test_text_from_elsewhere_stays_text(database: Database, console: str) -> None:
    ask = Step(
        "",
        "quality",
        "supplier",
        HOSTILE,
        Approve("supplier-qualification", f"={HOSTILE}", (HOSTILE,)),
        owner=HOSTILE,
    )
    behind = Step("1010", "erp", "item", HOSTILE, ExtendToPlant("A", "1010", "buy", "H87", "1"),
                  (ask.identity,))  # fmt: skip
    await put(database, Plan(f"engineering-change/{HOSTILE}", 1, HOSTILE, (ask, behind)))
    task = await asked(database, f"supplier/{HOSTILE}")
    async with person(console, database, "Quinn", "quality") as quinn:
        await token_in(database, HOSTILE, "quality")
        page = await quinn.get(f"/tasks/{task.id}")
        done = await decide(quinn, page, reason=HOSTILE)
        for shown in (
            page,
            done,
            await quinn.get("/tasks?for=all&state=all"),
            await quinn.get(f"/tasks?for=all&state=all&q={HOSTILE}"),
        ):
            assert shown.status == 200
            assert "<script>alert" not in shown.text
            assert "<b>" not in shown.text
            assert HOSTILE in shown.words or "No task is like that" in shown.words
        row = next(
            csv.DictReader(io.StringIO((await quinn.get("/tasks.csv?state=all&for=all")).text))
        )
        assert row["text"] == f"'={HOSTILE}"
