"""The console's shell: who is let in, for how long, and which forms are taken."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from broker import tokens
from broker.store import Database
from ops.console.pages import NAVIGATION
from ops.console.settings import ConsoleSettings
from tests.integration.consoles import Visitor, console_on, visitor_at
from tests.integration.people import ROOT, token_in


@pytest.fixture
async def visitor(console: str) -> AsyncIterator[Visitor]:
    """Somebody who is not signed in."""
    async with visitor_at(console) as visitor:
        yield visitor


async def audit(database: Database) -> list[tuple[str, str]]:
    """Who did what, without what was made ready for the test."""
    async with database.session() as session:
        rows = await session.fetch("select actor, action from audit order by id")
    return [(r["actor"], r["action"]) for r in rows if r["action"] != "token-created"]


async def test_who_is_not_signed_in_is_asked_and_then_goes_where_they_wanted_to(
    database: Database, visitor: Visitor
) -> None:
    token = await token_in(database, "Mia", "quality")
    asked = await visitor.get("/tasks?state=open")
    assert (asked.url.path, asked.status) == ("/sign-in", 200)
    answered = await visitor.sign_in(token, asked.form("/sign-in")["next"])
    assert answered.url.path_qs == "/tasks?state=open"
    assert "Mia" in answered.words
    assert await audit(database) == [("Mia", "signed-in")]


async def test_the_cookie_is_for_this_site_and_for_no_script(
    database: Database, visitor: Visitor
) -> None:
    token = await token_in(database, "Mia", "quality")
    answered = await visitor.post("/sign-in", {"token": token, "next": ""}, follow=False)
    cookie = answered.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Path=/" in cookie
    assert token not in cookie
    async with database.session() as session:
        kept = await session.fetchval("select encode(hash, 'hex') from console_session")
    assert cookie.partition("=")[2].partition(";")[0] not in kept


async def test_behind_tls_the_cookie_goes_by_tls_only(
    database: Database, database_url: str
) -> None:
    token = await token_in(database, "Mia", "quality")
    settings = ConsoleSettings(listen="127.0.0.1:0", url="https://console.example")
    headers = {"Host": "console.example", "Origin": "https://console.example"}
    async with console_on(database_url, settings) as url, visitor_at(url) as visitor:
        answered = await visitor.post(
            "/sign-in", {"token": token, "next": ""}, headers=headers, follow=False
        )
    assert answered.status == 303
    assert answered.headers["Set-Cookie"].startswith("__Host-layshaft=")
    assert "Secure" in answered.headers["Set-Cookie"]
    assert answered.headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize(
    "wanted", ["https://evil.example/", "//evil.example/", "/\\evil.example", "/\t/evil.example"]
)
async def test_signing_in_leads_to_pages_of_the_console_only(
    database: Database, visitor: Visitor, wanted: str
) -> None:
    token = await token_in(database, "Mia", "quality")
    answered = await visitor.post("/sign-in", {"token": token, "next": wanted}, follow=False)
    assert answered.headers["Location"] == "/changes"


@pytest.mark.parametrize(
    ("token", "code"),
    [("", "token-missing"), ("lys_short", "token-malformed"), ("lys_" + "A" * 43, "token-unknown")],
)
async def test_a_token_of_nobody_lets_nobody_in_and_fills_no_audit(
    database: Database, visitor: Visitor, token: str, code: str
) -> None:
    answered = await visitor.sign_in(token)
    assert answered.status == 401
    assert f"LAY-{code}" in answered.words
    assert "Whose turn" in answered.words
    assert "A" * 43 not in answered.text
    assert await audit(database) == []


async def test_a_token_that_was_revoked_lets_nobody_in_and_is_on_record(
    database: Database, visitor: Visitor
) -> None:
    token = await token_in(database, "Mia", "quality")
    await revoke(database)
    answered = await visitor.sign_in(token)
    assert (answered.status, "LAY-token-revoked" in answered.words) == (401, True)
    assert (await audit(database))[-1] == ("Mia", "sign-in-refused")


async def revoke(database: Database) -> None:
    """The newest token counts no more."""
    async with database.transaction() as tx:
        newest = await tx.fetchval("select max(id) from api_token")
        await tokens.revoke(tx, newest, by=ROOT, reason="lost")


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("update console_session set used_at = now() - interval '61 minutes'", "session-over"),
        ("update console_session set ends_at = now()", "session-over"),
        ("update api_token set revoked_at = now()", "token-revoked"),
        ("update api_token set expires_at = now()", "token-expired"),
        ("update principal set disabled_at = now()", "principal-disabled"),
        ("delete from console_session", "session-over"),
    ],
)
async def test_a_session_ends_with_what_it_rests_on(
    database: Database, visitor: Visitor, statement: str, why: str
) -> None:
    await visitor.sign_in(await token_in(database, "Mia", "quality"))
    assert (await visitor.get("/tasks")).url.path == "/tasks"
    async with database.session() as session:
        await session.execute(statement)
    ended = await visitor.get("/tasks")
    assert (ended.url.path, ended.url.query["why"]) == ("/sign-in", why)


async def test_at_work_a_session_goes_on(database: Database, visitor: Visitor) -> None:
    await visitor.sign_in(await token_in(database, "Mia", "quality"))
    async with database.session() as session:
        await session.execute("update console_session set used_at = now() - interval '59 minutes'")
        await visitor.get("/tasks")
        idle_s = await session.fetchval(
            "select extract(epoch from now() - used_at)::float8 from console_session"
        )
    assert idle_s < 60


async def test_who_signs_out_is_out_also_with_the_old_cookie(
    database: Database, visitor: Visitor
) -> None:
    page = await visitor.sign_in(await token_in(database, "Mia", "quality"))
    (cookie,) = visitor.session.cookie_jar
    answered = await visitor.post("/sign-out", page.form("/sign-out"))
    assert answered.url.path == "/sign-in"
    assert "You are signed out" in answered.words
    again = await visitor.get("/tasks", Cookie=f"{cookie.key}={cookie.value}")
    assert again.url.path == "/sign-in"
    assert await audit(database) == [("Mia", "signed-in"), ("Mia", "signed-out")]


FOREIGN = "https://evil.example"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": FOREIGN, "Sec-Fetch-Site": "cross-site"},
        {"Origin": FOREIGN},
        {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-site"},
        {},
    ],
)
async def test_a_form_from_elsewhere_is_refused(
    database: Database, visitor: Visitor, headers: dict[str, str]
) -> None:
    page = await visitor.sign_in(await token_in(database, "Mia", "quality"))
    answered = await visitor.post("/sign-out", page.form("/sign-out"), headers=headers)
    assert (answered.status, "LAY-console-origin" in answered.words) == (403, True)
    assert (await visitor.get("/tasks")).url.path == "/tasks"


@pytest.mark.parametrize("given", ["", "x" * 43, None])
async def test_a_form_without_what_the_session_gave_it_is_refused(
    database: Database, visitor: Visitor, given: str | None
) -> None:
    await visitor.sign_in(await token_in(database, "Mia", "quality"))
    fields = {} if given is None else {"form_token": given}
    assert (await visitor.post("/sign-out", fields)).status == 403
    assert (await visitor.get("/tasks")).url.path == "/tasks"


async def test_a_form_of_somebody_elses_session_is_refused(
    database: Database, console: str, visitor: Visitor
) -> None:
    await visitor.sign_in(await token_in(database, "Mia", "quality"))
    async with visitor_at(console) as other:
        page = await other.sign_in(await token_in(database, "Ole", "quality"))
        answered = await visitor.post("/sign-out", page.form("/sign-out"))
    assert answered.status == 403


async def test_it_answers_to_no_other_name(database: Database, visitor: Visitor) -> None:
    await visitor.sign_in(await token_in(database, "Mia", "quality"))
    assert (await visitor.get("/tasks", Host="evil.example")).status == 403


async def test_a_link_followed_from_elsewhere_is_asked_for_once_more(
    database: Database, console: str, visitor: Visitor
) -> None:
    answered = await visitor.get("/tasks?a=1", Sec_Fetch_Site="cross-site")
    assert answered.url.path == "/tasks"
    assert '<meta http-equiv="refresh" content="0; url=/tasks?a=1">' in answered.text


@pytest.mark.parametrize("path", ["/sign-in", "/tasks", "/nowhere"])
async def test_every_page_says_what_browsers_may_do_with_it(
    database: Database, visitor: Visitor, path: str
) -> None:
    await visitor.sign_in(await token_in(database, "Mia", "quality"))
    headers = (await visitor.get(path)).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"


async def test_pages_have_no_style_or_script_inside(database: Database, visitor: Visitor) -> None:
    await visitor.sign_in(await token_in(database, "Mia", "quality"))
    for place in NAVIGATION:
        text = (await visitor.get(place.path)).text
        assert " style=" not in text
        assert "<style" not in text
        assert "<script>" not in text
        assert " onclick=" not in text


async def test_files_are_kept_for_good_under_what_is_in_them(visitor: Visitor) -> None:
    page = await visitor.get("/sign-in")
    start = page.text.index("/static/")
    path = page.text[start : page.text.index('"', start)]
    found = await visitor.get(path)
    assert found.status == 200
    assert found.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    other = path.replace(path.split("/")[2], "0" * 16)
    assert (await visitor.get(other, follow=False)).status == 404


async def test_a_page_that_is_none_says_so(database: Database, visitor: Visitor) -> None:
    await visitor.sign_in(await token_in(database, "Mia", "quality"))
    answered = await visitor.get("/nowhere")
    assert answered.status == 404
    for words in ("There is no such page", "GET /nowhere", "Whose turn", "What to do"):
        assert words in answered.words


async def test_without_its_database_it_says_whose_turn_it_is(
    database_url: str, database: Database
) -> None:
    token = await token_in(database, "Mia", "quality")
    async with console_on(database_url) as url, visitor_at(url) as visitor:
        await visitor.sign_in(token)
        async with database.session() as session:
            await session.execute("alter table console_session rename to gone")
        answered = await visitor.get("/tasks")
        async with database.session() as session:
            await session.execute("alter table gone rename to console_session")
    assert answered.status == 500
    assert "layshaft team" in answered.words
    assert "gone" not in answered.words
