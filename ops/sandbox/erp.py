"""The ERP stand-in: eight S/4HANA OData V2 services over HTTP.

Answers, tokens, tags and refusals follow the vendor; what must exist before what is in
`erp_rules.py`. Login by basic authentication, writes with a CSRF token and its session cookie.
"""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import cast

import msgspec
from aiohttp import web

from ops.sandbox.erp_rules import CHECK, CREATE, DELETE, SETTLE
from ops.sandbox.erp_work import Seed, Work, check_etag, plant_of, record_of, row_of
from ops.sandbox.faults import Faults
from ops.sandbox.journal import Journal
from ops.sandbox.login import Login, decode_basic
from ops.sandbox.odata import (
    ROOT,
    EntitySet,
    Json,
    Model,
    Row,
    Service,
    check_payload,
    entity_path,
    error_body,
    etag,
    filled,
    load_model,
    predicate,
    render,
)
from ops.sandbox.refusal import Refused
from ops.sandbox.resource import Resource, Shape, parse_query, parse_resource
from ops.sandbox.server import NUMBER, Placed, Server, make_app
from ops.sandbox.tables import Record, Stored, Tables

SESSION_COOKIE = "SAP_SESSIONID_LAY_100"
TOKEN_LIFE_S = 1800.0  # the vendor's session time-out is half an hour unless configured


class Sessions:
    """CSRF tokens by session cookie; in memory only, so a restart makes all of them stale."""

    def __init__(self, life_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._life_s, self._clock = life_s, clock
        self._issued: dict[str, tuple[str, float]] = {}

    def issue(self) -> tuple[str, str]:
        """A new session id and its token."""
        session, token = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        self._issued[session] = (token, self._clock() + self._life_s)
        return session, token

    def accepts(self, session: str, token: str) -> bool:
        expected, until = self._issued.get(session, ("", 0.0))
        return token != "" and token == expected and self._clock() < until

    def clear(self) -> None:
        self._issued.clear()


class Erp(msgspec.Struct, frozen=True):
    """What the route handlers need."""

    model: Model
    seed: Seed
    tables: Tables
    journal: Journal
    sessions: Sessions
    login: Login


ERP = web.AppKey("erp", Erp)


def make_erp(
    folder: Path, seed: Seed, login: Login, *, token_life_s: float = TOKEN_LIFE_S
) -> web.Application:
    """The application on the tables and the journal of `folder`; seeded rows are stored once."""
    model = load_model()
    tables = Tables(folder / "business.db", [entity_set.name for _, entity_set in model.sets()])
    journal = Journal(folder / "journal.jsonl")
    sessions = Sessions(token_life_s)

    def place(name: str, row: Record) -> Placed:
        _, entity_set = model.find(name)
        given = cast(Row, row)
        key, whole = predicate(entity_set, given), filled(entity_set, given)
        return Placed(key, plant_of(whole), record_of(whole))

    app = make_app(Server(journal, tables, Faults(), refuse, place, sessions.clear))
    app[ERP] = Erp(model, seed, tables, journal, sessions, login)
    for name, rows in seed.rows.items():
        for placed in (place(name, record_of(row)) for row in rows):
            if tables.get(name, placed.key) is None:
                tables.insert(name, placed.key, placed.row, plant=placed.plant)
    app.router.add_route("*", ROOT + "{tail:.*}", serve)
    return app


def refuse(refused: Refused) -> web.Response:
    """The vendor's error answers: HTML for the login, plain text for the token, else JSON."""
    if refused.status == 401:
        page = "<html><head><title>Logon failed</title></head><body>Unauthorized</body></html>"
        headers = {"WWW-Authenticate": 'Basic realm="SAP NetWeaver Application Server"'}
        return web.Response(status=401, text=page, content_type="text/html", headers=headers)
    if refused.status == 403:
        return web.Response(status=403, text=refused.text, headers={"x-csrf-token": "Required"})
    return _json(error_body(refused, secrets.token_hex(16).upper()), status=refused.status)


async def serve(request: web.Request) -> web.Response:
    """Any request below the service root: log in, address, then read or write."""
    erp = request.app[ERP]
    _check_login(erp, request)
    if request.method in ("GET", "HEAD"):
        response = _read(erp, request, parse_resource(erp.model, request.rel_url.raw_path))
        if request.headers.get("x-csrf-token", "").lower() == "fetch":
            session, token = erp.sessions.issue()
            response.headers["x-csrf-token"] = token
            response.set_cookie(SESSION_COOKIE, session, path="/", httponly=True)
        return response
    session = request.cookies.get(SESSION_COOKIE, "")
    if not erp.sessions.accepts(session, request.headers.get("x-csrf-token", "")):
        raise Refused(403, "", "CSRF token validation failed")
    resource = parse_resource(erp.model, request.rel_url.raw_path)
    if resource.entity_set is None or resource.is_count:
        raise _not_allowed(request.method, request.path)
    return await _write(erp, request, resource, resource.entity_set)


def _check_login(erp: Erp, request: web.Request) -> None:
    if decode_basic(request.headers.get("Authorization", "")) != erp.login:
        raise Refused(401, "", "Logon failed")


def _read(erp: Erp, request: web.Request, resource: Resource) -> web.Response:
    service, entity_set = resource.service, resource.entity_set
    if entity_set is None:
        return _json({"d": {"EntitySets": [s.name for s in service.sets]}})
    if resource.key is None:
        return _read_set(erp, request, service, entity_set, {}, is_count=resource.is_count)
    stored = _stored(erp, entity_set, resource.key)
    if resource.navigation is not None:
        _, target = erp.model.find(resource.navigation.set)
        where: Row = {c: row_of(stored)[p] for p, c in resource.navigation.on.items()}
        if resource.navigation.many:
            return _read_set(erp, request, service, target, where)
        found = erp.tables.find(target.name, where)
        if not found:
            raise _no_entity(target, "")
        entity_set, stored = target, found[0]
    query = parse_query(erp.model, entity_set, request.query)
    entity = _shown(erp, request, service, entity_set, stored, query.shape)
    return _entity(entity, stored, status=200)


def _read_set(
    erp: Erp,
    request: web.Request,
    service: Service,
    entity_set: EntitySet,
    where: Row,
    *,
    is_count: bool = False,
) -> web.Response:
    query = parse_query(erp.model, entity_set, request.query)
    found = erp.tables.find(entity_set.name, where | query.where)
    if is_count:
        return web.Response(text=str(len(found)))
    end = None if query.top is None else query.skip + query.top
    results: list[Json] = [
        _shown(erp, request, service, entity_set, stored, query.shape)
        for stored in found[query.skip : end]
    ]
    count: dict[str, Json] = {"__count": str(len(found))} if query.with_count else {}
    return _json({"d": {**count, "results": results}})


def _shown(
    erp: Erp,
    request: web.Request,
    service: Service,
    entity_set: EntitySet,
    stored: Stored,
    shape: Shape,
) -> dict[str, Json]:
    """The entity as answered, with the navigations that the shape expands."""
    row = row_of(stored)
    expanded: dict[str, Json] = {}
    for navigation, inner in shape.expand:
        _, target = erp.model.find(navigation.set)
        children = erp.tables.find(target.name, {c: row[p] for p, c in navigation.on.items()})
        shown: list[Json] = [
            _shown(erp, request, service, target, child, inner) for child in children
        ]
        expanded[navigation.name] = (
            {"results": shown} if navigation.many else shown[0] if shown else None
        )
    return render(
        service,
        entity_set,
        row,
        stored.version,
        origin=str(request.url.origin()),
        expanded=expanded,
        select=shape.select,
    )


async def _write(
    erp: Erp, request: web.Request, resource: Resource, entity_set: EntitySet
) -> web.Response:
    work = Work(erp.model, erp.tables, erp.seed, datetime.now(UTC), erp.login.user, changes=[])
    # A POST may tunnel the verb that a proxy on the way does not let through.
    method = request.headers.get("X-HTTP-Method", request.method)
    payload = None if method == "DELETE" else await _payload(request)
    with erp.tables.transaction():
        match method:
            case "POST":
                response = _create(erp, request, work, resource, entity_set, payload)
            case "PATCH" | "MERGE" if resource.key is not None:
                response = _update(erp, request, work, resource.key, entity_set, payload)
            case "DELETE" if resource.key is not None and entity_set.deletable:
                stored = _stored(erp, entity_set, resource.key)
                check_etag(stored, request.headers.get("If-Match"))
                if entity_set.name in DELETE:
                    DELETE[entity_set.name](work, stored)
                else:
                    work.delete(entity_set.name, stored)
                response = web.Response(status=204)
            case _:
                raise _not_allowed(method, request.path)
    for change in work.changes:
        erp.journal.applied(request[NUMBER], change.table, change.key, change.operation)
    return response


def _create(
    erp: Erp,
    request: web.Request,
    work: Work,
    resource: Resource,
    entity_set: EntitySet,
    payload: object,
) -> web.Response:
    if resource.key is not None:
        parent = _stored(erp, entity_set, resource.key)
        navigation = resource.navigation
        if navigation is None or not navigation.many:
            raise _not_allowed("POST", request.path)
        _, entity_set = erp.model.find(navigation.set)
        if isinstance(payload, dict):
            keys = {c: row_of(parent)[p] for p, c in navigation.on.items()}
            payload = payload | keys
    draft = check_payload(erp.model, entity_set, payload, creating=True)
    stored = CREATE[entity_set.name](work, draft)
    inlined = tuple((n, Shape()) for n in entity_set.navigation if n.name in draft.children)
    shape = Shape(expand=inlined)
    shown = _shown(erp, request, resource.service, entity_set, stored, shape)
    response = _entity(shown, stored, status=201)
    response.headers["Location"] = str(request.url.origin()) + entity_path(
        resource.service, entity_set, row_of(stored)
    )
    return response


def _update(
    erp: Erp,
    request: web.Request,
    work: Work,
    key: Row,
    entity_set: EntitySet,
    payload: object,
) -> web.Response:
    stored = _stored(erp, entity_set, key)
    check_etag(stored, request.headers.get("If-Match"))
    draft = check_payload(erp.model, entity_set, payload, creating=False)
    row = row_of(stored) | draft.row
    CHECK[entity_set.name](work, row, "")
    changed = work.update(entity_set.name, stored, row)
    if entity_set.name in SETTLE:
        SETTLE[entity_set.name](work, row)
    headers = {"ETag": etag(changed.version, row_of(changed))}
    return web.Response(status=204, headers=headers)


async def _payload(request: web.Request) -> object:
    if request.content_type != "application/json":
        text = f"Content type {request.content_type} is not supported, send application/json"
        raise Refused(415, "ZSANDBOX/CONTENT_TYPE", text)
    try:
        decoded: object = msgspec.json.decode(await request.read())
    except msgspec.DecodeError as error:
        raise Refused(400, "CX_SXML_PARSE_ERROR", f"Error while parsing JSON: {error}") from error
    return decoded


def _stored(erp: Erp, entity_set: EntitySet, key: Row) -> Stored:
    text = predicate(entity_set, key)
    stored = erp.tables.get(entity_set.name, text)
    if stored is None:
        raise _no_entity(entity_set, text)
    return stored


def _no_entity(entity_set: EntitySet, key: str) -> Refused:
    type_name = entity_set.type.rpartition(".")[2]
    text = f"Resource not found for segment '{type_name}'" + (f", key {key}" if key else "")
    return Refused(404, "/IWBEP/CM_MGW_RT/020", text)


def _not_allowed(method: str, path: str) -> Refused:
    return Refused(405, "ZSANDBOX/METHOD", f"Method {method} is not allowed for {path}")


def _entity(shown: dict[str, Json], stored: Stored, *, status: int) -> web.Response:
    response = _json({"d": shown}, status=status)
    response.headers["ETag"] = etag(stored.version, row_of(stored))
    return response


def _json(value: object, *, status: int = 200) -> web.Response:
    headers = {"DataServiceVersion": "2.0"}
    body = msgspec.json.encode(value)
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)
