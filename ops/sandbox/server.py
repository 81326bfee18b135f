"""What both stand-ins share: the path of a request, its faults, and the control paths.

A request is written down, meets its fault if there is one, is handled, and is on disk before the
answer leaves. `/_sandbox/...` is for tests and demos; it is loopback only and needs no login.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

import msgspec
from aiohttp import web

from ops.sandbox.faults import APPLYING, Faults, Rule
from ops.sandbox.journal import Journal
from ops.sandbox.refusal import Refused
from ops.sandbox.tables import KeyTaken, Record, Tables

CONTROL = "/_sandbox"
# What a reader of the journal needs; logins and sessions stay out of it.
KEPT_HEADERS = ("if-match", "traceparent", "x-correlation-id", "x-request-id", "idempotency-key")
WRITING = frozenset({"POST", "PUT", "PATCH", "MERGE", "DELETE"})
LOGIN_PAGE = "<!doctype html><html><title>Logon</title><body><form>User</form></body></html>"


class Placed(msgspec.Struct, frozen=True):
    """A row as its table keeps it."""

    key: str
    plant: str
    row: Record


class Server(msgspec.Struct, frozen=True):
    """The parts of one stand-in. `refuse` shapes errors as the vendor does; `place` completes a row
    that is seeded or planted past all rules (KeyError if it lacks its key); `forget_sessions` makes
    all tokens stale."""

    journal: Journal
    tables: Tables
    faults: Faults
    refuse: Callable[[Refused], web.Response]
    place: Callable[[str, Record], Placed]
    forget_sessions: Callable[[], None]
    not_business: frozenset[str] = frozenset()  # paths whose POST asks for no business change
    holds_writes: tuple[str, ...] = ()  # ends of paths whose writes are written down one by one


SERVER = web.AppKey("server", Server)
NUMBER = web.RequestKey("number", int)


def make_app(server: Server) -> web.Application:
    """An application with the control paths; the vendor's routes are added by the caller."""
    app = web.Application(middlewares=[record], client_max_size=16 * 2**20)
    app[SERVER] = server
    app.on_cleanup.append(close_files)
    app.add_routes(
        [
            web.get(f"{CONTROL}/faults", list_faults),
            web.post(f"{CONTROL}/faults", add_faults),
            web.delete(f"{CONTROL}/faults", clear_faults),
            web.get(f"{CONTROL}/counts", show_counts),
            web.get(f"{CONTROL}/journal", show_journal),
            web.delete(f"{CONTROL}/tokens", forget_tokens),
            web.get(f"{CONTROL}/table/{{name}}", show_table),
            web.post(f"{CONTROL}/table/{{name}}", plant_row),
            web.delete(f"{CONTROL}/table/{{name}}", empty_table),
        ]
    )
    return app


async def close_files(app: web.Application) -> None:
    app[SERVER].journal.close()
    app[SERVER].tables.close()


@web.middleware
async def record(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Writes the request and its answer down and lets its fault happen."""
    server = request.app[SERVER]
    if request.path.startswith(f"{CONTROL}/"):
        return await handler(request)
    path, body = request.rel_url.human_repr(), (await request.read()).decode(errors="replace")
    is_business = request.path not in server.not_business
    is_write = request.method in WRITING and is_business
    number = server.journal.received(
        request.method,
        path,
        {n: request.headers[n] for n in KEPT_HEADERS if n in request.headers},
        body if is_business else "",  # a request for a token holds a secret
        is_write=is_write and not request.path.endswith(server.holds_writes),
    )
    request[NUMBER] = number
    rule = server.faults.take(request.method, path, body)
    fault: str = rule.action if rule else ""
    try:
        if rule is None:
            response = await _handled(request, handler)
        elif rule.action in APPLYING:
            response, fault = await _handled_then_spoilt(request, handler, rule)
        else:
            response = await _spoilt(server, rule)
        server.journal.answered(number, response.status, fault)
    except asyncio.CancelledError:
        server.journal.unanswered(number, fault)
        raise
    finally:
        server.journal.sync()
    return response


async def _handled(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refused:
        return _refusal(request.app[SERVER], refused)
    except web.HTTPException as error:
        text = f"{request.method} {request.path} is not served"
        return request.app[SERVER].refuse(Refused(error.status, "ZSANDBOX/NOT_SERVED", text))


async def _handled_then_spoilt(
    request: web.Request,
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    rule: Rule,
) -> tuple[web.StreamResponse, str]:
    """The answer after the request was applied, and the fault if it came to that."""
    server = request.app[SERVER]
    response = await _handled(request, handler)
    if response.status >= 400:
        server.faults.give_back(rule)
        return response, ""
    match rule.action:
        case "slow":
            server.journal.sync()
            await asyncio.sleep(rule.seconds)
            response.headers.update(rule.headers)
            return response, rule.action
        case "apply_then_500":
            return server.refuse(_broken()), rule.action
        case "reset" if request.transport is not None:
            request.transport.abort()
    await _never(server)


async def _spoilt(server: Server, rule: Rule) -> web.StreamResponse:
    """The answer to a request that is not looked at."""
    match rule.action:
        case "refuse_500":
            return server.refuse(_broken())
        case "refuse_400":
            text = "The data was refused on request"
            return server.refuse(Refused(400, "ZSANDBOX/REFUSED_ON_REQUEST", text))
        case "throttle_429":
            text, wait_s = "Too many requests", rule.retry_after_s
            code = "ZSANDBOX/TOO_MANY_REQUESTS"
            return _refusal(server, Refused(429, code, text, retry_after_s=wait_s))
        case "login_page_200":
            return web.Response(text=LOGIN_PAGE, content_type="text/html")
    await _never(server)


def _refusal(server: Server, refused: Refused) -> web.Response:
    response = server.refuse(refused)
    if refused.retry_after_s:
        response.headers["Retry-After"] = str(refused.retry_after_s)
    return response


def _broken() -> Refused:
    return Refused(500, "ZSANDBOX/INTERNAL", "An internal error occurred")


async def _never(server: Server) -> NoReturn:
    """Holds the request until the sender gives up, which cancels it."""
    server.journal.sync()
    await asyncio.Event().wait()
    raise AssertionError("nobody sets this event")


async def list_faults(request: web.Request) -> web.Response:
    return _json(request.app[SERVER].faults.listed())


async def add_faults(request: web.Request) -> web.Response:
    server = request.app[SERVER]
    try:
        rules = msgspec.json.decode(await request.read(), type=list[Rule])
    except msgspec.DecodeError as error:
        raise web.HTTPBadRequest(text=str(error)) from error
    server.faults.add(rules)
    return _json(server.faults.listed(), status=201)


async def clear_faults(request: web.Request) -> web.Response:
    request.app[SERVER].faults.clear()
    return web.Response(status=204)


async def show_counts(request: web.Request) -> web.Response:
    return _json(request.app[SERVER].tables.counts())


async def show_journal(request: web.Request) -> web.Response:
    """Totals, and entries unless `entries=no`; filters `kind`, `path` (part of it), `after`."""
    journal = request.app[SERVER].journal
    asked = request.query
    entries = (
        []
        if asked.get("entries") == "no"
        else journal.entries(
            kind=asked.get("kind", ""),
            path=asked.get("path", ""),
            after=int(asked.get("after", "0")),
        )
    )
    return _json({"totals": journal.totals(), "entries": entries})


async def forget_tokens(request: web.Request) -> web.Response:
    """All tokens and sessions are stale, as after a restart or their time-out."""
    request.app[SERVER].forget_sessions()
    return web.Response(status=204)


async def show_table(request: web.Request) -> web.Response:
    return _json([stored.row for stored in request.app[SERVER].tables.find(_table(request), {})])


async def plant_row(request: web.Request) -> web.Response:
    """Adds a row that no business request asked for, past all rules."""
    server, name = request.app[SERVER], _table(request)
    text = await request.text()
    try:
        placed = server.place(name, msgspec.json.decode(text))
        server.tables.insert(name, placed.key, placed.row, plant=placed.plant)
    except KeyError as error:
        raise web.HTTPBadRequest(text=f"the row lacks its key property {error}") from error
    except KeyTaken as error:
        raise web.HTTPConflict(text=str(error)) from error
    server.journal.control("POST", request.path, text)
    return _json(placed, status=201)


async def empty_table(request: web.Request) -> web.Response:
    """Deletes the rows whose fields are as the query says, past all rules; without one, all."""
    server, name = request.app[SERVER], _table(request)
    if request.query:
        found = server.tables.find(name, dict(request.query))
        for stored in found:
            server.tables.delete(name, stored.key)
        deleted = len(found)
    else:
        deleted = server.tables.empty(name)
    server.journal.control("DELETE", request.path_qs, "")
    return _json({"deleted": deleted})


def _table(request: web.Request) -> str:
    name = request.match_info["name"]
    if name not in request.app[SERVER].tables.names:
        raise web.HTTPNotFound(text=f"no table {name}")
    return name


def _json(value: object, *, status: int = 200) -> web.Response:
    body = msgspec.json.encode(value)
    return web.Response(body=body, status=status, content_type="application/json")
