"""The PLM stand-in: the part of an Arena-like REST interface by which a PLM is told that a change
is done.

A login gives a session. Changes and the entries of the outbound queue are seeded or planted; a
change is completed by a step of its workflow, an entry is marked as reconciled.
"""

import secrets
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from aiohttp import web

from ops.sandbox.faults import Faults
from ops.sandbox.journal import Journal
from ops.sandbox.login import Login
from ops.sandbox.refusal import Refused
from ops.sandbox.server import NUMBER, Placed, Server, make_app
from ops.sandbox.tables import Record, Stored, Tables

LOGIN_PATH = "/login"
SESSION = "arena_session_id"
TABLES = ("changes", "events")
# A change that is in effect can be completed, and ends so; nothing else leads there.
COMPLETABLE = "EFFECTIVE"
# The vendor's numbers of what is wrong.
NOT_FOUND, INVALID, NO_SESSION = "3012", "3005", "401"


_T = TypeVar("_T")


class _LoginBody(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    email: str
    password: str
    workspace_id: int = 0


class _Guid(msgspec.Struct, forbid_unknown_fields=True):
    guid: str


class _Value(msgspec.Struct, forbid_unknown_fields=True):
    value: Literal["NOT_STARTED", "IN_PROGRESS", "DONE"]


class _StatusChange(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    change: _Guid
    status: Literal["COMPLETED"]
    implementation_status: _Value
    comment: str = ""


class _Reconciled(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    items_reconciled: Literal[True]


class Seed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows as the vendor shows them; events: entries of the queue of any integration."""

    changes: tuple[dict[str, Any], ...] = ()
    events: tuple[dict[str, Any], ...] = ()


class Plm(msgspec.Struct, frozen=True):
    """What the route handlers need. sessions: those that are open."""

    tables: Tables
    journal: Journal
    user: Login
    sessions: set[str]


PLM = web.AppKey("plm", Plm)


def make_plm(folder: Path, seed: Seed, user: Login) -> web.Application:
    """The application on the tables and the journal of `folder`; the seed is stored once."""
    tables = Tables(folder / "business.db", TABLES)
    journal = Journal(folder / "journal.jsonl")
    sessions: set[str] = set()

    def place(name: str, row: Record) -> Placed:
        return Placed(str(row["guid"]), "", row)

    server = Server(
        journal, tables, Faults(), refuse, place, sessions.clear, frozenset({LOGIN_PATH})
    )
    app = make_app(server)
    app[PLM] = Plm(tables, journal, user, sessions)
    for name, rows in (("changes", seed.changes), ("events", seed.events)):
        for row in rows if not tables.find(name, {}) else ():
            tables.insert(name, str(row["guid"]), row)
    app.router.add_post(LOGIN_PATH, log_in)
    app.router.add_get("/changes/{guid}", show_change)
    app.router.add_post("/changes/statuschanges", change_status)
    app.router.add_get("/outboundintegrations/{integration}/events/{guid}", show_event)
    app.router.add_put("/outboundintegrations/{integration}/events/{guid}", reconcile)
    return app


def refuse(refused: Refused) -> web.Response:
    """The vendor's error document: its status, and its errors by number."""
    code = int(refused.code) if refused.code.isdecimal() else int(INVALID)
    error = {"code": code, "message": refused.text}
    return _json({"status": refused.status, "errors": [error]}, refused.status)


async def log_in(request: web.Request) -> web.Response:
    """A user has one session: a second login ends the first."""
    plm, given = request.app[PLM], await _body(request, _LoginBody)
    if Login(given.email, given.password) != plm.user:
        raise Refused(401, NO_SESSION, "The email or the password is wrong")
    plm.sessions.clear()
    session = secrets.token_hex(16)
    plm.sessions.add(session)
    return _json({"arena_session_id": session})


async def show_change(request: web.Request) -> web.Response:
    plm = _admitted(request)
    return _json(_found(plm, "changes", request.match_info["guid"]).row)


async def change_status(request: web.Request) -> web.Response:
    """The change has come to the step that is asked for."""
    plm, wanted = _admitted(request), await _body(request, _StatusChange)
    stored = _found(plm, "changes", wanted.change.guid)
    status = stored.row["lifecycleStatus"]
    assert isinstance(status, dict)
    if status["type"] != COMPLETABLE:
        raise Refused(400, INVALID, f"A change that is {status['type']} cannot be completed")
    row = stored.row | {
        "lifecycleStatus": {"type": wanted.status},
        "implementationStatus": wanted.implementation_status.value,
    }
    _change(request, plm, "changes", stored, row)
    return _json(wanted, 201)


async def show_event(request: web.Request) -> web.Response:
    plm = _admitted(request)
    return _json(_found(plm, "events", request.match_info["guid"]).row)


async def reconcile(request: web.Request) -> web.Response:
    """The entry is marked: all of its items are dealt with."""
    plm = _admitted(request)
    await _body(request, _Reconciled)
    stored = _found(plm, "events", request.match_info["guid"])
    row = stored.row | {"itemsReconciled": True}
    _change(request, plm, "events", stored, row)
    return _json(row)


def _admitted(request: web.Request) -> Plm:
    """Raises: Refused 401 without an open session."""
    plm = request.app[PLM]
    if request.headers.get(SESSION, "") not in plm.sessions:
        raise Refused(401, NO_SESSION, "You must log in first")
    return plm


def _found(plm: Plm, table: str, guid: str) -> Stored:
    """Raises: Refused 400 for a guid that nothing has."""
    stored = plm.tables.get(table, guid)
    if stored is None:
        raise Refused(400, NOT_FOUND, f'The object "{guid}" was not found')
    return stored


def _change(request: web.Request, plm: Plm, table: str, stored: Stored, row: Record) -> None:
    changed = plm.tables.replace(table, stored, row)
    plm.journal.applied(request[NUMBER], table, changed.key, "update")


async def _body(request: web.Request, kind: type[_T]) -> _T:
    """Raises: Refused 400 for what is not of that shape."""
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.DecodeError as error:
        raise Refused(400, INVALID, str(error)) from error


def _json(value: object, status: int = 200) -> web.Response:
    body = msgspec.json.encode(value)
    return web.Response(body=body, status=status, content_type="application/json")
