"""What goes around every page: its headers, where it was asked from, who asks, and what is said
where something went wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote

import asyncpg
import structlog
from aiohttp import web

from broker import sessions
from broker.principals import Refused
from broker.store import Database
from broker.store import sessions as rows
from canonical.errors import Failure
from ops.cli.problems import Problem, problem_of
from ops.console.pages import SIGNED, Signed, Trouble, answer, trouble_of, trouble_page
from ops.console.settings import ConsoleSettings

log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

READING: web.AppKey[Database] = web.AppKey("reading", Database)
ACTING: web.AppKey[Database] = web.AppKey("acting", Database)
SETTINGS: web.AppKey[ConsoleSettings] = web.AppKey("settings", ConsoleSettings)
ORIGINS: web.AppKey[list[str]] = web.AppKey("origins", list)

# Routes that take nobody who is signed in.
OPEN = frozenset({"entry", "entry-form", "static"})
STREAM = "stream"

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: forms would name no origin, and their origin is what they are judged by.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_READING_METHODS = ("GET", "HEAD")


def cookie_name(settings: ConsoleSettings) -> str:
    """The prefix has browsers refuse it from anywhere but this very site, by TLS."""
    return "__Host-layshaft" if settings.is_https else "layshaft"


async def set_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Each answer says what a browser may do with it, streams before they begin."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    if request.app[SETTINGS].is_https:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")


@web.middleware
async def tell_trouble(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What goes wrong is a page about it."""
    try:
        return await handler(request)
    except Problem as problem:
        return trouble_page(request, trouble_of(problem, "you"))
    except Failure as failure:
        status = 403 if isinstance(failure, Refused) else 0
        return trouble_page(request, trouble_of(problem_of(failure), failure.owner, status=status))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return trouble_page(request, _of_http(request, error))
    except asyncpg.LockNotAvailableError as error:
        return trouble_page(request, _busy(error))
    except (asyncpg.QueryCanceledError, TimeoutError) as error:
        return trouble_page(request, _too_long(error))
    except (OSError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError) as error:
        log.warning("the database does not answer", path=request.path, error=str(error))
        return trouble_page(request, _away(error))
    except Exception:
        log.exception("a page failed", path=request.path, method=request.method)
        return trouble_page(request, _defect())


@web.middleware
async def know_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Asked for under a name of ours, and what changes something by a page of ours.

    By another name a page of somebody else could read ours, if that name led here (DNS rebinding).
    """
    origins = request.app[ORIGINS]
    if f"{_scheme(request)}://{request.host}" not in origins:
        raise _elsewhere("This address is not the console's", f"asked for as {request.host}")
    if request.method not in _READING_METHODS:
        site = request.headers.get("Sec-Fetch-Site", "")
        origin = request.headers.get("Origin", "")
        if site not in ("", "same-origin") or origin not in origins:
            raise _elsewhere("The form was not sent by the console", origin or "no origin named")
    return await handler(request)


@web.middleware
async def know_who(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Who is signed in, and that a form that changes something is one of theirs."""
    route = request.match_info.route.name or ""
    if request.match_info.http_exception is not None or route in OPEN:
        return await handler(request)
    settings = request.app[SETTINGS]
    text = request.cookies.get(cookie_name(settings), "")
    if not text and request.headers.get("Sec-Fetch-Site") == "cross-site":
        return _once_more(request)
    try:
        async with request.app[READING].session() as session:
            found = await sessions.current(session, text, settings.limits)
            if route != STREAM:
                await rows.note_use(session, sessions.session_hash(text))
    except Refused as refused:
        return _ask_to_sign_in(request, refused)
    request[SIGNED] = Signed(found.principal, text, sessions.form_token(text), found.ends_at)
    if request.method not in _READING_METHODS:
        given = (await request.post()).get("form_token")
        if not isinstance(given, str) or not sessions.is_form_token(text, given):
            raise _elsewhere("The form is not one of this session", "form_token")
    return await handler(request)


def _ask_to_sign_in(request: web.Request, refused: Refused) -> web.StreamResponse:
    """Who reads is asked who they are; what a form held is not lost without a word."""
    if request.method in _READING_METHODS and request.match_info.route.name != STREAM:
        why = "" if not request.cookies else f"&why={refused.code}"
        raise web.HTTPSeeOther(f"/sign-in?next={quote(request.path_qs, safe='')}{why}")
    turn = "you"
    found = trouble_of(problem_of(refused), turn, status=401)
    return trouble_page(request, found)


def _once_more(request: web.Request) -> web.Response:
    """The page, asked for by itself: followed from elsewhere, a link brings no cookie of ours."""
    return answer(request, "once_more.html", address=request.path_qs)


def _scheme(request: web.Request) -> str:
    """TLS ends before us: what browsers use is what the settings say."""
    return "https" if request.app[SETTINGS].is_https else "http"


def _elsewhere(what: str, where: str) -> Refused:
    return Refused(
        "console-origin",
        what,
        where=where,
        remedy="Open the page anew at the console's own address, and send the form from there",
    )


def _of_http(request: web.Request, error: web.HTTPException) -> Trouble:
    if error.status == 404:
        what, do = "There is no such page", "Correct the address, or begin with the changes"
    elif error.status == 413:
        what, do = "That is more than a form can hold", "Shorten it and send it again"
    else:
        what, do = f"That does not work here: {error.reason}", "Go back, and use the page's forms"
    return Trouble(
        status=error.status,
        code=f"LAY-http-{error.status}",
        what=what,
        where=f"{request.method} {request.path}",
        turn="you",
        do=do,
    )


def _busy(error: BaseException) -> Trouble:
    return Trouble(
        status=409,
        code="LAY-busy",
        what="Somebody else is at work on it at this moment",
        where=str(error),
        turn="you",
        do="Send it again in a moment; nothing was changed",
    )


def _too_long(error: BaseException) -> Trouble:
    return Trouble(
        status=503,
        code="LAY-statement-ended",
        what="The database had no answer in the time a page may take",
        where=str(error) or type(error).__name__,
        turn="you",
        do="Ask for less, with a narrower filter, or again when less is going on",
    )


def _away(error: BaseException) -> Trouble:
    return Trouble(
        status=503,
        code="LAY-database-unreachable",
        what="The database does not answer",
        where=type(error).__name__,
        turn="operations",
        do="Try again in a moment; operations see the cause with: layshaft doctor",
    )


def _defect() -> Trouble:
    return Trouble(
        status=500,
        code="LAY-defect",
        what="The console failed, which is a defect of Layshaft and not of what you did",
        where="its log has the cause",
        turn="layshaft team",
        do="Go back and try again; if it fails again, report when, and on which page",
    )
