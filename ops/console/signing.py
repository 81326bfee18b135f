"""Sign in with a token, sign out."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from broker import sessions
from broker.principals import Refused
from ops.cli.problems import problem_of
from ops.console.acting import field
from ops.console.guards import ACTING, SETTINGS, cookie_name
from ops.console.pages import SIGNED, answer, trouble_of
from ops.console.settings import ConsoleSettings

_FIRST = "/changes"
_WHY = {
    "session-over": "You were not at work here for a while, or the day is over.",
    "token-expired": "Your token has expired; an admin makes another one.",
    "token-revoked": "Your token was revoked; an admin makes another one.",
    "principal-disabled": "You are disabled; ask an admin whether that is right.",
    "signed-out": "You are signed out.",
}


async def first(request: web.Request) -> web.Response:
    """The address without a path leads to the changes."""
    raise web.HTTPSeeOther(_FIRST)


async def page(request: web.Request) -> web.Response:
    """Asks for the token."""
    why = _WHY.get(request.query.get("why", ""), "")
    return _asked(request, next_page(request.query.get("next", "")), why=why)


async def sign_in(request: web.Request) -> web.Response:
    """Who the token names is signed in from now on, and goes on where they wanted to."""
    settings = request.app[SETTINGS]
    wanted = next_page(await field(request, "next"))
    try:
        text, _ = await sessions.begin(
            request.app[ACTING], await field(request, "token"), settings.limits
        )
    except Refused as refused:
        found = trouble_of(problem_of(refused), refused.owner)
        return _asked(request, wanted, trouble=found, status=401)
    answered = web.Response(status=303, headers={"Location": wanted})
    answered.set_cookie(cookie_name(settings), text, **_attributes(settings))
    return answered


async def sign_out(request: web.Request) -> web.Response:
    """The session is over, here and in the database."""
    settings = request.app[SETTINGS]
    await sessions.end(request.app[ACTING], request[SIGNED].text)
    answered = web.Response(status=303, headers={"Location": "/sign-in?why=signed-out"})
    answered.del_cookie(cookie_name(settings), **_attributes(settings))
    return answered


def next_page(wanted: str) -> str:
    """A page of ours: whatever leads elsewhere leads to the first one."""
    parts = urlsplit(wanted)
    is_ours = wanted.startswith("/") and not wanted.startswith(("//", "/\\", "/sign-in"))
    return wanted if is_ours and not parts.netloc and wanted.isprintable() else _FIRST


def _asked(
    request: web.Request, wanted: str, *, status: int = 200, why: str = "", trouble: object = None
) -> web.Response:
    return answer(request, "sign_in.html", code=status, wanted=wanted, why=why, trouble=trouble)


def _attributes(settings: ConsoleSettings) -> dict[str, Any]:
    """Of the cookie: no script reads it, no other site's page has it sent."""
    return {
        "path": "/",
        "httponly": True,
        "samesite": "Strict",
        "secure": settings.is_https,
    }
