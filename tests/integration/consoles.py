"""A console on a database, and somebody with a browser of no use but to send what they are told."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from html import unescape

import aiohttp
from yarl import URL

from broker.principals import ALL_PLANTS
from broker.store import Database
from ops.console.server import ConsoleServer
from ops.console.settings import ConsoleSettings
from tests.integration.people import token_in
from tests.integration.toy import RULES

DEADLINE = aiohttp.ClientTimeout(total=30)
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


class Answer:
    """A page as it came. text: its source."""

    def __init__(self, status: int, headers: Mapping[str, str], text: str, url: URL) -> None:
        self.status = status
        self.headers = headers
        self.text = text
        self.url = url

    @property
    def words(self) -> str:
        """What is to be read on it, in one line."""
        bare = re.sub(r"<(script|style)\b.*?</\1>", " ", self.text, flags=re.DOTALL)
        return " ".join(unescape(re.sub(r"<[^>]*>", " ", bare)).split())

    def form(self, action: str) -> dict[str, str]:
        """The hidden fields of the first form that goes there."""
        found = re.search(
            rf'<form\b[^>]*action="{re.escape(action)}"[^>]*>(.*?)</form>', self.text, re.DOTALL
        )
        assert found is not None, f"no form leads to {action}"
        return {name: unescape(value) for name, value in _HIDDEN.findall(found[1])}


class Visitor:
    """Somebody at the console, with the cookies they were given."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url
        self.own = {"Origin": url, "Sec-Fetch-Site": "same-origin"}

    async def get(self, path: str, *, follow: bool = True, **headers: str) -> Answer:
        """The page, as their browser asks for it."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.get(
            self.url + path, headers=named, allow_redirects=follow
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.text(), answer.url)

    async def post(
        self,
        path: str,
        fields: Mapping[str, str],
        *,
        headers: Mapping[str, str] | None = None,
        follow: bool = True,
    ) -> Answer:
        """The form is sent; headers: as of a page of the console, if no others are given."""
        async with self.session.post(
            self.url + path,
            data=dict(fields),
            headers=self.own if headers is None else headers,
            allow_redirects=follow,
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.text(), answer.url)

    async def sign_in(self, token: str, wanted: str = "/changes") -> Answer:
        """They sign in with the token."""
        return await self.post("/sign-in", {"token": token, "next": wanted})


@asynccontextmanager
async def console_on(
    url: str, settings: ConsoleSettings | None = None, *, heartbeat_s: float = 15.0
) -> AsyncIterator[str]:
    """The address of a console on that database."""
    settings = settings or ConsoleSettings(listen="127.0.0.1:0")
    reading = Database(url=url, purpose="reading", size=4, acquire_s=5, statement_s=5)
    acting = Database(url=url, purpose="acting", size=2, acquire_s=5, statement_s=20)
    server = ConsoleServer(
        settings, reading=reading, acting=acting, rules=RULES, heartbeat_s=heartbeat_s
    )
    await reading.open()
    await acting.open()
    try:
        yield f"http://127.0.0.1:{await server.start()}"
    finally:
        await server.close()
        await reading.close()
        await acting.close()


@asynccontextmanager
async def visitor_at(url: str) -> AsyncIterator[Visitor]:
    """Somebody with no cookie."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar, timeout=DEADLINE) as session:
        yield Visitor(session, url)


@asynccontextmanager
async def person(
    console: str, database: Database, name: str, *roles: str, plants: tuple[str, ...] = ALL_PLANTS
) -> AsyncIterator[Visitor]:
    """Somebody with these roles and plants, signed in."""
    token = await token_in(database, name, *roles, plants=plants)
    async with visitor_at(console) as visitor:
        await visitor.sign_in(token)
        yield visitor
