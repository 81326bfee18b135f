"""The ERP stand-in: eight S/4HANA OData V2 services over HTTP.

Answers, tokens, tags and refusals follow the vendor; what must exist before what is in
`erp_rules.py`. Login by basic authentication, writes with a CSRF token and its session cookie, one
by one or as change sets.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import cast

import msgspec
from aiohttp import web
from yarl import URL

from ops.sandbox.batch import Answer, Part, compose, parse_batch
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
from ops.sandbox.server import KEPT_HEADERS, NUMBER, Placed, Server, make_app
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


class Asked(msgspec.Struct, frozen=True):
    """One write: a request, or a part of a change set.

    number: in the journal. path: percent-encoded. headers: names in lower case. in_batch: it is a
    part of a change set.
    """

    number: int
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    origin: str
    in_batch: bool = False


ERP = web.AppKey("erp", Erp)
BATCH = "/$batch"


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

    server = Server(journal, tables, Faults(), refuse, place, sessions.clear, holds_writes=(BATCH,))
    app = make_app(server)
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
    path, origin = request.rel_url.raw_path, str(request.url.origin())
    body = await request.read()
    if path.endswith(BATCH):
        return _batch(erp, request, path.removesuffix("$batch"), body)
    headers = {name.lower(): value for name, value in request.headers.items()}
    asked = Asked(request[NUMBER], request.method, path, headers, body, origin)
    return _carry_out(erp, [asked])[0]


def _check_login(erp: Erp, request: web.Request) -> None:
    if decode_basic(request.headers.get("Authorization", "")) != erp.login:
        raise Refused(401, "", "Logon failed")


def _read(erp: Erp, request: web.Request, resource: Resource) -> web.Response:
    origin = str(request.url.origin())
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
    entity = _shown(erp, origin, service, entity_set, stored, query.shape)
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
    origin = str(request.url.origin())
    found = erp.tables.find(entity_set.name, where | query.where)
    if is_count:
        return web.Response(text=str(len(found)))
    end = None if query.top is None else query.skip + query.top
    results: list[Json] = [
        _shown(erp, origin, service, entity_set, stored, query.shape)
        for stored in found[query.skip : end]
    ]
    count: dict[str, Json] = {"__count": str(len(found))} if query.with_count else {}
    return _json({"d": {**count, "results": results}})


def _shown(
    erp: Erp,
    origin: str,
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
            _shown(erp, origin, service, target, child, inner) for child in children
        ]
        expanded[navigation.name] = (
            {"results": shown} if navigation.many else shown[0] if shown else None
        )
    return render(
        service,
        entity_set,
        row,
        stored.version,
        origin=origin,
        expanded=expanded,
        select=shape.select,
    )


def _batch(erp: Erp, request: web.Request, root: str, body: bytes) -> web.Response:
    """The answer to the change sets of a batch, each of them whole or not at all.

    root: address of the service. Its writes are requests of their own in the journal.
    """
    if request.method != "POST" or parse_resource(erp.model, root).entity_set is not None:
        raise _not_allowed(request.method, request.path)
    content_type, content = compose(
        [
            _change_set(erp, [_part(erp, request, root, part) for part in parts])
            for parts in parse_batch(request.headers.get("Content-Type", ""), body)
        ]
    )
    headers = {"Content-Type": content_type, "DataServiceVersion": "2.0"}
    return web.Response(status=202, body=content, headers=headers)


def _part(erp: Erp, request: web.Request, root: str, part: Part) -> Asked:
    path = root + part.path
    number = erp.journal.received(
        part.method,
        URL(path, encoded=True).human_repr(),
        {name: part.headers[name] for name in KEPT_HEADERS if name in part.headers},
        part.body.decode(errors="replace"),
        is_write=True,
        within=request[NUMBER],
    )
    origin = str(request.url.origin())
    return Asked(number, part.method, path, part.headers, part.body, origin, in_batch=True)


def _change_set(erp: Erp, writes: Sequence[Asked]) -> list[Answer] | Answer:
    try:
        return [_answer(response) for response in _carry_out(erp, writes)]
    except Refused as refused:
        return _answer(refuse(refused))


def _answer(response: web.Response) -> Answer:
    body = response.body
    assert body is None or isinstance(body, bytes)
    return Answer(response.status, dict(response.headers), body or b"")


def _carry_out(erp: Erp, writes: Sequence[Asked]) -> list[web.Response]:
    """The answers to the writes, all of which are in the tables and on record now.

    Raises: Refused for the first that is refused; then none of them is.
    """
    now = datetime.now(UTC)
    works = [Work(erp.model, erp.tables, erp.seed, now, erp.login.user, changes=[]) for _ in writes]
    with erp.tables.transaction():
        responses = [_write(erp, asked, work) for asked, work in zip(writes, works, strict=True)]
    for asked, work in zip(writes, works, strict=True):
        for change in work.changes:
            erp.journal.applied(asked.number, change.table, change.key, change.operation)
    return responses


def _write(erp: Erp, asked: Asked, work: Work) -> web.Response:
    resource = parse_resource(erp.model, asked.path)
    entity_set = resource.entity_set
    if entity_set is None or resource.is_count:
        raise _not_allowed(asked.method, asked.path)
    # A POST may tunnel the verb that a proxy on the way does not let through.
    method = asked.headers.get("x-http-method", asked.method)
    to = resource.navigation.set if resource.navigation else entity_set.name
    if not asked.in_batch and f"{method} {to}" in resource.service.batched:
        raise _not_allowed(method, f"{asked.path} outside of a batch")
    payload = None if method == "DELETE" else _payload(asked)
    match method:
        case "POST":
            return _create(erp, asked, work, resource, entity_set, payload)
        case "PATCH" | "MERGE" if resource.key is not None:
            return _update(erp, asked, work, resource.key, entity_set, payload)
        case "DELETE" if resource.key is not None and entity_set.deletable:
            stored = _stored(erp, entity_set, resource.key)
            check_etag(stored, asked.headers.get("if-match"))
            if entity_set.name in DELETE:
                DELETE[entity_set.name](work, stored)
            else:
                work.delete(entity_set.name, stored)
            return web.Response(status=204)
    raise _not_allowed(method, asked.path)


def _create(
    erp: Erp,
    asked: Asked,
    work: Work,
    resource: Resource,
    entity_set: EntitySet,
    payload: object,
) -> web.Response:
    if resource.key is not None:
        parent = _stored(erp, entity_set, resource.key)
        navigation = resource.navigation
        if navigation is None or not navigation.many:
            raise _not_allowed("POST", asked.path)
        _, entity_set = erp.model.find(navigation.set)
        if isinstance(payload, dict):
            keys = {c: row_of(parent)[p] for p, c in navigation.on.items()}
            payload = payload | keys
    draft = check_payload(erp.model, entity_set, payload, creating=True)
    stored = CREATE[entity_set.name](work, draft)
    inlined = tuple((n, Shape()) for n in entity_set.navigation if n.name in draft.children)
    shape = Shape(expand=inlined)
    shown = _shown(erp, asked.origin, resource.service, entity_set, stored, shape)
    response = _entity(shown, stored, status=201)
    response.headers["Location"] = asked.origin + entity_path(
        resource.service, entity_set, row_of(stored)
    )
    return response


def _update(
    erp: Erp,
    asked: Asked,
    work: Work,
    key: Row,
    entity_set: EntitySet,
    payload: object,
) -> web.Response:
    stored = _stored(erp, entity_set, key)
    check_etag(stored, asked.headers.get("if-match"))
    draft = check_payload(erp.model, entity_set, payload, creating=False)
    row = row_of(stored) | draft.row
    CHECK[entity_set.name](work, row, "")
    changed = work.update(entity_set.name, stored, row)
    if entity_set.name in SETTLE:
        SETTLE[entity_set.name](work, row)
    headers = {"ETag": etag(changed.version, row_of(changed))}
    return web.Response(status=204, headers=headers)


def _payload(asked: Asked) -> object:
    content_type = asked.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        text = f"Content type {content_type} is not supported, send application/json"
        raise Refused(415, "ZSANDBOX/CONTENT_TYPE", text)
    try:
        decoded: object = msgspec.json.decode(asked.body)
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
