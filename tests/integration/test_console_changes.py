"""The console's pages of changes: who sees which, in which order, and what people do there."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from time import monotonic
from typing import Any
from urllib.parse import quote

import pytest

from broker.store import Database, views
from ops.console.lists import PAGE_ROWS
from tests.integration.consoles import Answer, Visitor, console_on, person, visitor_at
from tests.integration.gearbox_change import seed_in
from tests.integration.many_changes import (
    HOSTILE,
    planned,
    seed_hostile,
    seed_list,
    seed_taken_back,
    step_of,
)
from tests.integration.people import token_in

DEADLINE_S = 20.0
# Steps of one change: all that a BOM of 50,000 lines comes to, in a full run.
VERY_MANY = 250_000 if os.environ.get("LAYSHAFT_FULL") == "1" else 20_000


@pytest.fixture
async def database(database: Database) -> Database:
    """A database with the gearbox change half-way, and others."""
    await seed_in(database)
    await seed_list(database)
    return database


@pytest.fixture
async def console(database_url: str, database: Database) -> AsyncIterator[str]:
    """The address of a console on it."""
    async with console_on(database_url, heartbeat_s=0.5) as url:
        yield url


@pytest.fixture
async def people(console: str, database: Database) -> AsyncIterator[Any]:
    """Signs somebody in who has these roles and plants."""
    async with AsyncExitStack() as stack:

        async def signed_in(name: str, *roles: str, plants: tuple[str, ...] = ("*",)) -> Visitor:
            return await stack.enter_async_context(
                person(console, database, name, *roles, plants=plants)
            )

        yield signed_in


@pytest.fixture
async def ola(people: Any) -> Visitor:
    """An operator for all plants, signed in."""
    visitor: Visitor = await people("Ola", "operator")
    return visitor


def numbers(page: Answer) -> list[str]:
    """The changes on the page, in its order."""
    return re.findall(r'<th scope="row"><a href="/changes/[^"]+">([^<]+)</a>', page.text)


async def audit(database: Database) -> list[tuple[str, str]]:
    async with database.session() as session:
        rows = await session.fetch(
            "select actor, action from audit where actor in ('Ola', 'Vera', 'Per') order by id"
        )
    return [(r["actor"], r["action"]) for r in rows if r["action"] != "signed-in"]


async def state_of(database: Database, number: str) -> tuple[str, bool]:
    async with database.session() as session:
        row = await session.fetchrow(
            "select state, paused_at is not null as paused from ledger where key = $1",
            f"engineering-change/{number}",
        )
    assert row is not None
    return row["state"], row["paused"]


# The list


async def test_what_most_of_production_waits_for_stands_on_top(ola: Visitor) -> None:
    page = await ola.get("/changes")
    assert numbers(page)[0] == "ECO-3001"
    assert "On top: 1 plant and 4 open purchase orders wait for ECO-3001." in page.words
    assert numbers(page)[1] == "ECO-2001", "two plants and no order"
    assert numbers(page)[-1] == "ECO-2900", "what is complete stops nothing"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("number=eco-3", {"ECO-3001", "ECO-3002", "ECO-3003", "ECO-3004"}),
        ("number=second+source", {"ECO-3002"}),
        ("plant=1010", {"ECO-2001", "ECO-3001", "ECO-2900"}),
        ("supplier=S-9", {"ECO-3002"}),
        ("supplier=17300003", {"ECO-2001"}),
        ("family=Hydraulics", {"ECO-3004"}),
        ("stage=complete", {"ECO-2900"}),
        ("stage=decision", {"ECO-3002"}),
        ("stage=data", {"ECO-3003"}),
        ("stage=failed", {"ECO-2001"}),
        ("stage=calls", {"ECO-3001", "ECO-3004"}),
        ("stage=calls&plant=3010", {"ECO-3004"}),
        ("number=%25", set()),
        ("number=nothing", set()),
    ],
)
async def test_it_is_narrowed_by_its_address(ola: Visitor, query: str, found: set[str]) -> None:
    assert set(numbers(await ola.get(f"/changes?{query}"))) == found


@pytest.mark.parametrize(
    "query", ["stage=late", "order=age", "page=0", "page=x", "page=99999", f"number={'x' * 101}"]
)
async def test_what_cannot_be_asked_for_is_said(ola: Visitor, query: str) -> None:
    page = await ola.get(f"/changes?{query}")
    assert page.status == 422
    assert "LAY-filter-invalid" in page.words


async def test_the_filter_and_the_command_say_the_same(ola: Visitor) -> None:
    page = await ola.get("/changes?plant=1010&stage=failed&order=newest")
    assert "layshaft change list --plant 1010 --stage failed" in page.words
    assert 'value="1010"' in page.text
    assert '<option value="failed" selected>' in page.text


async def test_who_acts_for_a_plant_sees_what_concerns_it(people: Any) -> None:
    per = await people("Per", "operator", plants=("3010",))
    assert numbers(await per.get("/changes")) == ["ECO-3004"]
    assert numbers(await per.get("/changes?plant=1010")) == []
    refused = await per.get("/changes/ECO-3001")
    assert refused.status == 403
    assert "Per acts for plant 3010" in refused.words
    for page in ("/changes/ECO-3001/history", "/changes/ECO-3001/stream"):
        assert (await per.get(page)).status == 403
    assert "ECO-3001" not in (await per.get("/changes.csv")).text
    assert "ECO-3001" not in (await per.get("/changes.jsonl")).text


async def test_a_long_list_has_pages(database: Database, ola: Visitor) -> None:
    async with database.transaction() as tx:
        for n in range(PAGE_ROWS + 5):
            await planned(tx, f"ECO-9{n:03}", step_of("1010", f"P-{n}"))
    first = await ola.get("/changes?number=eco-9&order=newest")
    second = await ola.get("/changes?number=eco-9&order=newest&page=2")
    assert (len(numbers(first)), len(numbers(second))) == (PAGE_ROWS, 5)
    assert not set(numbers(first)) & set(numbers(second))
    assert 'href="/changes?number=eco-9&amp;order=newest&amp;page=2"' in first.text
    assert "51 to 55 of 55" in second.words
    assert numbers(await ola.get("/changes?number=eco-9&page=3")) == []


async def test_the_list_is_exported_as_it_is_filtered(ola: Visitor) -> None:
    table = await ola.get("/changes.csv?plant=1010")
    assert table.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in table.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(table.text.removeprefix("\ufeff"))))
    assert [row["number"] for row in rows] == ["ECO-3001", "ECO-2001", "ECO-2900"]
    assert rows[0]["open_orders"] == "4"
    lines = (await ola.get("/changes.jsonl?plant=1010")).text.splitlines()
    assert [json.loads(line)["number"] for line in lines] == [row["number"] for row in rows]


async def test_what_is_late_says_so_in_the_list_and_in_its_cell(
    database: Database, ola: Visitor
) -> None:
    assert "late" not in (await ola.get("/changes?number=3001")).words
    async with database.transaction() as tx:
        # One open step is after its time; what is settled is never late.
        await tx.execute(
            "update step set due_at = now() - interval '1 hour'"
            " where identity = '1010|erp|item|SEAL-7|put-item' or state in ('done', 'cancelled')"
        )
        counts = await views.step_counts(tx, "engineering-change/ECO-3001")
    assert sum(count.late for count in counts) == 1
    assert "1 step late" in (await ola.get("/changes?number=3001")).words
    rows = csv.DictReader(io.StringIO((await ola.get("/changes.csv")).text.removeprefix("\ufeff")))
    assert {row["number"]: row["late"] for row in rows if row["late"] != "0"} == {"ECO-3001": "1"}
    page = await ola.get("/changes/ECO-3001")
    matrix = page.text.partition('class="matrix"')[2].partition("</table>")[0]
    assert matrix.count('<span class="late small">late</span>') == 1


async def test_a_spreadsheet_carries_no_cell_out(database: Database, ola: Visitor) -> None:
    async with database.transaction() as tx:
        await planned(tx, "ECO-8000", step_of("1010", "X-1"), title='=HYPERLINK("http://evil")')
    rows = csv.DictReader(io.StringIO((await ola.get("/changes.csv?number=8000")).text))
    assert [row["title"] for row in rows] == ['\'=HYPERLINK("http://evil")']


# One change


async def test_the_page_of_a_change_says_where_it_stands(ola: Visitor) -> None:
    page = await ola.get("/changes/ECO-2001")
    assert page.status == 200
    assert "6 of 12 done. Waiting for: master data, quality, sourcing." in page.words
    assert "Why: master data: put-bom GB-100 of plant 1010: failed:" in page.words
    assert "No estimate yet: 1 failed" in page.words
    assert "Supplier 17300003 is not qualified: may GB-120 be bought there?" in page.words
    assert "No approved manufacturer" in page.words
    assert "layshaft change show ECO-2001" in page.words


async def test_its_history_is_that_of_the_trace(ola: Visitor) -> None:
    page = await ola.get("/changes/ECO-2001/history")
    assert "POST MaterialBOM -&gt; 400" in page.text
    assert "product-definition/GB-100" in page.words


async def test_a_step_has_a_page(database: Database, ola: Visitor) -> None:
    step_id = await step_id_of(database, "1010|erp|bom|GB-100|put-bom")
    page = await ola.get(f"/changes/ECO-2001/steps/{step_id}")
    assert "1010|erp|bom|GB-100|put-bom" in page.words
    assert "Run anew" in page.words
    assert "BOM_COMPONENT_NOT_IN_PLANT" in page.words
    assert (await ola.get("/changes/ECO-2001/steps/999999")).status == 404


async def step_id_of(database: Database, identity: str) -> int:
    """Of its newest form."""
    async with database.session() as session:
        found: int = await session.fetchval(
            "select id from step where identity = $1 order by generation desc limit 1", identity
        )
    return found


async def test_a_change_that_is_none_is_told_with_those_that_may_be_meant(ola: Visitor) -> None:
    page = await ola.get("/changes/ECO-20010")
    assert page.status == 404
    assert "Did you mean ECO-2001" in page.words
    assert (await ola.get("/changes/%00")).status == 404


async def test_no_text_becomes_markup(database: Database, ola: Visitor) -> None:
    await seed_hostile(database)
    name = quote(f"ECO-{HOSTILE}", safe="")
    step_id = await step_id_of(database, f"{HOSTILE}|{HOSTILE}|item|{HOSTILE}|put-item")
    pages = [
        await ola.get("/changes"),
        await ola.get(f"/changes?number={quote(HOSTILE)}"),
        await ola.get(f"/changes/{name}"),
        await ola.get(f"/changes/{name}/history"),
        await ola.get(f"/changes/{name}/steps/{step_id}"),
        await ola.get(f"/changes/{quote(HOSTILE)}"),
        await ola.get(f"/changes?stage={quote(HOSTILE)}"),
        await ola.get(f"/sign-in?next={quote(HOSTILE)}&why={quote(HOSTILE)}"),
    ]
    for page in pages:
        assert "<script>" not in page.text, page.url
        assert "<img src=x" not in page.text, page.url
    assert [page.status for page in pages[:5]] == [200] * 5
    assert all("<script>alert(1)</script>" in page.words for page in pages[:5]), "and is shown"
    # A step leads to its page also where its change has such a name.
    link = re.search(r'href="(/changes/[^"]+/steps/\d+)"', pages[2].text)
    assert link is not None
    assert (await ola.get(link[1])).status == 200


# Steering


async def test_a_change_is_paused_and_resumed_once(database: Database, ola: Visitor) -> None:
    page = await ola.get("/changes/ECO-3001")
    fields = page.form("/changes/ECO-3001/pause") | {"reason": "stock-taking"}
    done = await ola.post("/changes/ECO-3001/pause", fields)
    assert "ECO-3001 paused by Ola: 1 step held" in done.words
    assert await state_of(database, "ECO-3001") == ("open", True)
    again = await ola.post("/changes/ECO-3001/pause", fields)
    assert (again.status, "ECO-3001 paused by Ola: 1 step held" in again.words) == (200, True)
    assert await audit(database) == [("Ola", "change-paused")]
    fields = again.form("/changes/ECO-3001/resume") | {"reason": "done"}
    await ola.post("/changes/ECO-3001/resume", fields)
    assert await state_of(database, "ECO-3001") == ("open", False)
    late = await ola.post("/changes/ECO-3001/pause", fields | {"once": "x" * 24})
    assert "ECO-3001 paused by Ola" in late.words, "another form is another deed"


async def test_a_form_sent_many_times_at_once_does_it_once(
    database: Database, ola: Visitor
) -> None:
    page = await ola.get("/changes/ECO-3001")
    fields = page.form("/changes/ECO-3001/pause") | {"reason": "stock-taking"}
    answers = await asyncio.gather(*(ola.post("/changes/ECO-3001/pause", fields) for _ in range(4)))
    assert {answer.status for answer in answers} == {200}
    assert await audit(database) == [("Ola", "change-paused")]


async def test_what_a_form_came_to_is_shown_to_nobody_else(people: Any, ola: Visitor) -> None:
    page = await ola.get("/changes/ECO-3001")
    fields = page.form("/changes/ECO-3001/pause") | {"reason": "stock-taking"}
    done = await ola.post("/changes/ECO-3001/pause", fields)
    other = await people("Vera", "viewer")
    seen = await other.get(done.url.path_qs)
    assert "paused by Ola: 1 step" not in seen.words


async def test_a_change_is_cancelled_with_a_reason(database: Database, ola: Visitor) -> None:
    page = await ola.get("/changes/ECO-3001")
    fields = page.form("/changes/ECO-3001/cancel")
    refused = await ola.post("/changes/ECO-3001/cancel", fields | {"reason": "  "})
    assert (refused.status, "LAY-reason-missing" in refused.words) == (422, True)
    await ola.post("/changes/ECO-3001/cancel", fields | {"reason": "withdrawn"})
    assert await state_of(database, "ECO-3001") == ("cancelled", False)


async def test_a_step_is_skipped_and_another_runs_anew(database: Database, ola: Visitor) -> None:
    failed = await step_id_of(database, "1010|erp|bom|GB-100|put-bom")
    path = f"/changes/ECO-2001/steps/{failed}"
    fields = (await ola.get(path)).form(f"{path}/restart") | {"reason": "repaired"}
    done = await ola.post(f"{path}/restart", fields)
    assert f"Step {failed} restarted by Ola" in done.words
    fields = (await ola.get(path)).form(f"{path}/skip") | {"reason": "not needed"}
    done = await ola.post(f"{path}/skip", fields)
    assert f"Step {failed} skipped by Ola" in done.words
    assert await audit(database) == [
        ("Ola", "case-resolved"),
        ("Ola", "step-restarted"),
        ("Ola", "step-skipped"),
    ]


@pytest.mark.parametrize(
    ("roles", "plants", "code"),
    [
        (("viewer",), ("*",), "role-missing"),
        (("admin",), ("*",), "role-missing"),
        (("operator",), ("2010",), "plant-out-of-scope"),
    ],
)
async def test_who_may_not_is_not_offered_it_and_is_refused_on_record(
    database: Database,
    people: Any,
    roles: tuple[str, ...],
    plants: tuple[str, ...],
    code: str,
) -> None:
    vera = await people("Vera", *roles, plants=plants)
    page = await vera.get("/changes/ECO-2001")
    assert "Vera may not pause a change" in page.words
    assert 'action="/changes/ECO-2001/pause"' not in page.text
    fields = page.form("/sign-out") | {"once": "x" * 24, "reason": "because"}
    refused = await vera.post("/changes/ECO-2001/pause", fields)
    assert (refused.status, f"LAY-{code}" in refused.words) == (403, True)
    assert await state_of(database, "ECO-2001") == ("open", False)
    assert await audit(database) == [("Vera", "change-pause-refused")]


async def test_what_is_not_as_the_page_had_it_is_a_conflict(
    database: Database, ola: Visitor
) -> None:
    page = await ola.get("/changes/ECO-3001")
    fields = page.form("/changes/ECO-3001/pause") | {"reason": "audit"}
    await ola.post("/changes/ECO-3001/pause", fields)
    other = await ola.post("/changes/ECO-3001/pause", fields | {"once": "y" * 24})
    assert (other.status, "LAY-paused" in other.words) == (409, True)
    assert (await audit(database))[-1] == ("Ola", "change-pause-refused")


@pytest.mark.parametrize("once", ["", "x", "x" * 500])
async def test_a_form_without_its_number_is_refused(
    database: Database, ola: Visitor, once: str
) -> None:
    page = await ola.get("/changes/ECO-3001")
    fields = page.form("/changes/ECO-3001/pause") | {"reason": "audit", "once": once}
    refused = await ola.post("/changes/ECO-3001/pause", fields)
    assert (refused.status, await state_of(database, "ECO-3001")) == (422, ("open", False))


async def test_reading_changes_nothing(database: Database, ola: Visitor) -> None:
    for path in ("/changes/ECO-3001/pause", "/changes/ECO-3001/cancel", "/sign-out"):
        assert (await ola.get(path)).status == 405
    assert await state_of(database, "ECO-3001") == ("open", False)


async def test_after_the_session_a_form_is_not_carried_out(
    database: Database, ola: Visitor
) -> None:
    page = await ola.get("/changes/ECO-3001")
    fields = page.form("/changes/ECO-3001/pause") | {"reason": "audit"}
    async with database.session() as session:
        await session.execute("update api_token set revoked_at = now()")
    refused = await ola.post("/changes/ECO-3001/pause", fields)
    assert (refused.status, "LAY-token-revoked" in refused.words) == (401, True)
    assert await state_of(database, "ECO-3001") == ("open", False)


# Undo

UNDO = "/changes/ECO-4000/undo"


async def states_of(database: Database, number: str) -> list[tuple[str, str, bool]]:
    """Object kind and state of each step of the change, and whether it is an undo."""
    async with database.session() as session:
        rows = await session.fetch(
            """
            select s.object_kind, s.state, s.undoes is not null as is_undo
            from step s join ledger l on l.id = s.ledger_id where l.key = $1 order by s.id
            """,
            f"engineering-change/{number}",
        )
    return [(r["object_kind"], r["state"], r["is_undo"]) for r in rows]


async def test_what_is_left_behind_is_shown_before_it_is_undone(
    database: Database, ola: Visitor
) -> None:
    await seed_taken_back(database)
    page = await ola.get("/changes/ECO-4000")
    assert "3 steps were done and are no longer part of the plan." in page.words
    assert f'href="{UNDO}"' in page.text
    shown = await ola.get(UNDO)
    assert "Would be undone 2 steps" in shown.words
    assert "line 0010 ROD-1 3 H87 2 H87" in shown.words
    assert "line 0020 SEAL-1 comes back 1 H87" in shown.words
    assert "Left to people 1 step" in shown.words
    assert "put-item is not undone from here" in shown.words
    assert "layshaft case close" in shown.words
    assert not any(is_undo for *_, is_undo in await states_of(database, "ECO-4000"))
    fields = shown.form(UNDO)
    refused = await ola.post(UNDO, fields | {"reason": " "})
    assert (refused.status, "LAY-reason-missing" in refused.words) == (422, True)
    done = await ola.post(UNDO, fields | {"reason": "released by mistake"})
    assert "ECO-4000: 2 steps to be undone, wanted by Ola" in done.words
    await ola.post(UNDO, fields | {"reason": "released by mistake"})
    assert await states_of(database, "ECO-4000") == [
        ("item", "superseded", False),
        ("bom", "superseded", False),
        ("bom", "superseded", False),
        ("supplier", "cancelled", False),
        ("bom", "ready", True),
        ("bom", "ready", True),
    ]
    assert await audit(database) == [("Ola", "change-undone")]


async def test_what_came_back_meanwhile_is_looked_at_again_before_it_is_undone(
    database: Database, ola: Visitor
) -> None:
    await seed_taken_back(database, is_under_way=True)
    shown = await ola.get(UNDO)
    assert "It is under way at erp: undone once it has ended, if it was applied." in shown.words
    stale = await ola.post(UNDO, shown.form(UNDO) | {"reason": "a mistake", "shown": "0" * 12})
    assert (stale.status, "LAY-not-as-shown" in stale.words) == (409, True)
    assert "What would be undone has changed since it was shown" in stale.words
    assert ">a mistake</textarea>" in stale.text, "it need not be written again"
    assert stale.form(UNDO)["shown"] == shown.form(UNDO)["shown"]
    done = await ola.post(UNDO, stale.form(UNDO) | {"reason": "a mistake"})
    assert "2 steps to be undone, wanted by Ola; 1 call under way" in done.words


async def test_very_many_are_undone_by_who_types_how_many(database: Database, ola: Visitor) -> None:
    await seed_taken_back(database, boms=101)
    shown = await ola.get(UNDO)
    assert "and 1 more; all of them: layshaft change undo ECO-4000" in shown.words
    fields = shown.form(UNDO) | {"reason": "a mistake"}
    refused = await ola.post(UNDO, fields)
    assert (refused.status, "LAY-not-confirmed" in refused.words) == (422, True)
    done = await ola.post(UNDO, fields | {"typed": "101"})
    assert "101 steps to be undone" in done.words


async def test_nothing_is_offered_to_undo_where_nothing_is_left_behind(
    database: Database, ola: Visitor
) -> None:
    assert "/undo" not in (await ola.get("/changes/ECO-3001")).text
    page = await ola.get("/changes/ECO-3001/undo")
    assert "Nothing of it is left behind" in page.words
    assert 'name="shown"' not in page.text
    fields = page.form("/sign-out") | {"once": "x" * 24, "reason": "because", "shown": ""}
    refused = await ola.post("/changes/ECO-3001/undo", fields)
    assert (refused.status, "LAY-nothing-to-undo" in refused.words) == (409, True)


async def test_who_may_not_undo_sees_what_would_be_and_is_refused_on_record(
    database: Database, people: Any
) -> None:
    await seed_taken_back(database)
    vera = await people("Vera", "viewer")
    page = await vera.get(UNDO)
    assert "Would be undone 2 steps" in page.words
    assert "Vera may not undo what a change did" in page.words
    assert f'action="{UNDO}"' not in page.text
    fields = page.form("/sign-out") | {"once": "x" * 24, "reason": "because", "shown": "0" * 12}
    refused = await vera.post(UNDO, fields)
    assert (refused.status, "LAY-role-missing" in refused.words) == (403, True)
    assert await audit(database) == [("Vera", "change-undo-refused")]
    per = await people("Per", "operator", plants=("3010",))
    assert (await per.get(UNDO)).status == 403


async def test_a_change_that_was_taken_back_says_why_it_cannot_be_paused(
    database: Database, ola: Visitor
) -> None:
    fields = (await ola.get("/changes/ECO-3001")).form("/changes/ECO-3001/pause")
    await ola.post("/changes/ECO-3001/pause", fields | {"reason": "stock-taking"})
    await seed_taken_back(database)
    await ola.post(UNDO, (await ola.get(UNDO)).form(UNDO) | {"reason": "a mistake"})
    page = await ola.get("/changes/ECO-4000")
    assert "being cancelled" in page.words
    assert "It was taken back, and can be neither paused nor cancelled any more" in page.words
    assert 'action="/changes/ECO-4000/pause"' not in page.text
    refused = await ola.post("/changes/ECO-4000/pause", fields | {"reason": "x", "once": "v" * 24})
    assert (refused.status, "LAY-not-open" in refused.words) == (409, True)
    undo = await step_id_of(database, "2010|erp|bom|SH-10|put-bom")
    path = f"/changes/ECO-4000/steps/{undo}"
    step = await ola.get(path)
    assert "What it would undo stays, and what stands behind it goes on." in step.words
    await ola.post(f"{path}/skip", step.form(f"{path}/skip") | {"reason": "it is right there"})
    assert (await states_of(database, "ECO-4000"))[-1] == ("bom", "skipped", True)


async def test_what_was_paused_before_it_was_taken_back_goes_on_by_hand(
    database: Database, ola: Visitor
) -> None:
    await seed_taken_back(database)
    async with database.session() as session:
        await session.execute(
            """
            update ledger set paused_at = now(), paused_by = 'Ada', pause_reason = 'audit'
            where key = 'engineering-change/ECO-4000'
            """
        )
    await ola.post(UNDO, (await ola.get(UNDO)).form(UNDO) | {"reason": "a mistake"})
    assert (await states_of(database, "ECO-4000"))[-1] == ("bom", "held", True)
    page = await ola.get("/changes/ECO-4000")
    path = "/changes/ECO-4000/resume"
    await ola.post(path, page.form(path) | {"reason": "checked"})
    assert (await states_of(database, "ECO-4000"))[-1] == ("bom", "ready", True)


# Streams


class Stream:
    """What a stream sends, message by message."""

    def __init__(self, content: Any) -> None:
        self._content = content

    async def next(self) -> tuple[str, str]:
        """Id and data of the next message; ("", "") for a heartbeat."""
        async with asyncio.timeout(DEADLINE_S):
            lines: list[str] = []
            while line := (await self._content.readline()).decode():
                if line == "\n":
                    break
                lines.append(line.rstrip("\n"))
        if not lines:
            raise EOFError
        name = next((n.removeprefix("id: ") for n in lines if n.startswith("id: ")), "")
        return name, "\n".join(n.removeprefix("data: ") for n in lines if n.startswith("data: "))

    async def end(self) -> None:
        """Raises EOFError once it has ended."""
        while True:
            await self.next()

    async def message(self) -> tuple[str, str]:
        """The next one that is no heartbeat."""
        while True:
            name, data = await self.next()
            if name:
                return name, data


async def test_a_stream_shows_what_has_changed_and_says_that_it_is_there(
    database: Database, ola: Visitor
) -> None:
    url = f"{ola.url}/changes/ECO-3001/stream"
    async with ola.session.get(url) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        stream = Stream(answer.content)
        first, data = await stream.message()
        assert "0 of 1 done" in data
        assert await stream.next() == ("", "")
        await pause(ola)
        second, data = await stream.message()
        assert second != first
        assert "Paused: audit, by Ola" in data


async def pause(visitor: Visitor) -> None:
    page = await visitor.get("/changes/ECO-3001")
    fields = page.form("/changes/ECO-3001/pause") | {"reason": "audit"}
    await visitor.post("/changes/ECO-3001/pause", fields)


async def test_who_has_seen_it_is_sent_the_next_only(database: Database, ola: Visitor) -> None:
    url = f"{ola.url}/changes/ECO-3001/stream"
    async with ola.session.get(url) as answer, ola.session.get(url) as other:
        seen, _ = await Stream(answer.content).message()
        await Stream(other.content).message()
        async with ola.session.get(url, headers={"Last-Event-ID": seen}) as again:
            stream = Stream(again.content)
            name, _ = await stream.next()
            # Within the minute nothing has changed; with the next one the page is told anew.
            assert name in ("", _later(name, seen))
            await pause(ola)
            name, data = await stream.message()
            while "Paused" not in data:
                name, data = await stream.message()
            assert name != seen


def _later(name: str, seen: str) -> str:
    """The name, where it differs from what was seen in its minute alone."""
    return name if name.partition("-")[0] == seen.partition("-")[0] and name != seen else ""


async def test_a_stream_ends_with_the_session(database: Database, ola: Visitor) -> None:
    async with ola.session.get(f"{ola.url}/changes/ECO-3001/stream") as answer:
        stream = Stream(answer.content)
        await stream.message()
        async with database.session() as session:
            await session.execute("update principal set disabled_at = now() where name = 'Ola'")
        with pytest.raises(EOFError):
            await stream.end()


async def test_looking_on_keeps_nobody_signed_in(database: Database, ola: Visitor) -> None:
    async with database.session() as session:
        await session.execute("update console_session set used_at = now() - interval '59 minutes'")
        before = await session.fetchval("select used_at from console_session")
        async with ola.session.get(f"{ola.url}/changes/ECO-3001/stream") as answer:
            stream = Stream(answer.content)
            for _ in range(3):
                await stream.next()
        assert await session.fetchval("select used_at from console_session") == before


async def test_open_streams_keep_it_from_stopping_no_longer_than_5_s(
    database_url: str, database: Database
) -> None:
    token = await token_in(database, "Ola", "operator")
    async with AsyncExitStack() as stack:
        console = console_on(database_url)
        url = await console.__aenter__()
        visitor = await stack.enter_async_context(visitor_at(url))
        await visitor.sign_in(token)
        answers = [
            await stack.enter_async_context(visitor.session.get(f"{url}/changes/{name}/stream"))
            for name in ("ECO-3001", "ECO-3001", "ECO-2001")
        ]
        streams = [Stream(answer.content) for answer in answers]
        for stream in streams:
            await stream.message()
        began = monotonic()
        await console.__aexit__(None, None, None)
        took_s = monotonic() - began
        for stream in streams:
            with pytest.raises(EOFError):
                await stream.next()
    assert took_s < 5


# Very large changes


async def test_a_change_of_very_many_steps_is_counted_and_cut(
    database: Database, ola: Visitor
) -> None:
    async with database.transaction() as tx:
        await tx.execute("set local statement_timeout = '110s'")
        await tx.execute(
            f"""
            insert into step (ledger_id, identity, generation, kind, plant, system, object_kind,
                              object_id, verb, operation, digest, idempotency_key, depends_on,
                              state, lane, owner, due_at)
            select ledger_id, '1010|erp|item|N-' || n || '|put-item', 1, kind, plant, system,
                   object_kind, 'N-' || n, verb, operation, digest, n::text, depends_on,
                   case when n % 2 = 0 then 'done' else 'waiting' end, lane, owner, due_at
            from step cross join generate_series(1, {VERY_MANY}) n
            where identity = '1010|erp|item|SEAL-7|put-item'
            """
        )
        await tx.execute("analyze step")
    listed = await ola.get("/changes?number=3001")
    assert f"{VERY_MANY // 2} of {VERY_MANY + 1}" in listed.words
    began = monotonic()
    page = await ola.get("/changes/ECO-3001")
    took_s = monotonic() - began
    assert page.status == 200
    assert f"{VERY_MANY + 1:,} steps, all counted here" in page.words
    assert f"{VERY_MANY // 2} of {VERY_MANY + 1} done" in page.words
    assert "it has more than 10,000 steps" in page.words
    assert len(page.text) < 500_000
    assert took_s < 15
