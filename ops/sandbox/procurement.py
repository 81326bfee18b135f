"""The procurement stand-in: a small part of a Coupa-like REST interface.

JSON with hyphenated names, OAuth2 client credentials, a request limit, strict about fields the
vendor would pass over. Suppliers and contracts are seeded; items, suppliers, orders and supplier
reviews are written.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from time import monotonic
from typing import TypeVar, cast

import msgspec
from aiohttp import web
from msgspec import UNSET

from ops.sandbox.faults import Faults
from ops.sandbox.journal import Journal, Operation
from ops.sandbox.login import Login, decode_basic
from ops.sandbox.procurement_bodies import (
    ItemChange,
    NewOrder,
    NewReview,
    NewSupplier,
    OrderChange,
    ReviewChange,
    Seed,
    Strict,
    SupplierChange,
)
from ops.sandbox.procurement_changes import (
    EXPORTED,
    FIELDS,
    are_since,
    bounds,
    fields_of,
    stamped,
    told,
    touched,
)
from ops.sandbox.procurement_orders import check_order, written_order
from ops.sandbox.refusal import Refused
from ops.sandbox.server import NUMBER, Placed, Server, make_app
from ops.sandbox.tables import Record, Stored, Tables

TOKEN_PATH = "/oauth2/token"
TOKEN_LIFE_S = 300.0  # the vendor grants about a day; minutes make a client refresh
RATE_PER_S = 25.0  # the vendor's limit
BURST = 20  # and how many it queues on top
PAGE = 50  # records a list answers at most
# A suite's units are its customer's own list: the plain words and the Rec 20 codes of the demo.
UNITS = frozenset(
    {"EA", "KG", "G", "L", "ML", "M", "CM", "MM", "M2", "FT", "SET", "ROL", "BX"}
    | {"KGM", "GRM", "LTR", "MLT", "MTR", "CMT", "MMT", "MTK", "FOT", "LBR", "INH"}
)


class Bucket:
    """Lets `rate_per_s` requests a second through and `burst` more at once."""

    def __init__(
        self, rate_per_s: float, burst: int, clock: Callable[[], float] = monotonic
    ) -> None:
        self._rate, self._size, self._clock = rate_per_s, rate_per_s + burst, clock
        self._level, self._at = self._size, clock()

    def wait_s(self) -> float:
        """0 and one request less, or the seconds until there is one."""
        now = self._clock()
        self._level = min(self._size, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level < 1:
            return (1 - self._level) / self._rate
        self._level -= 1
        return 0.0


class Tokens:
    """Bearer tokens and when they end; in memory only."""

    def __init__(self, life_s: float, clock: Callable[[], float] = monotonic) -> None:
        self.life_s, self._clock = life_s, clock
        self._ends: dict[str, float] = {}

    def issue(self) -> str:
        token = secrets.token_urlsafe(32)
        self._ends[token] = self._clock() + self.life_s
        return token

    def accepts(self, token: str) -> bool:
        return self._clock() < self._ends.get(token, 0.0)

    def clear(self) -> None:
        self._ends.clear()


class Suite(msgspec.Struct, frozen=True):
    """What the route handlers need."""

    tables: Tables
    journal: Journal
    tokens: Tokens
    bucket: Bucket
    client: Login


SUITE = web.AppKey("suite", Suite)
TABLES = ("suppliers", "contracts", "items", "purchase_orders", "supplier_reviews")
RESOURCES = "|".join(TABLES)
# What a list may be narrowed by, and where that stands in the object.
FILTERS: Mapping[str, Mapping[str, str]] = {
    "suppliers": {"number": "number", "status": "status"},
    "contracts": {"number": "number", "supplier[number]": "supplier.number", "status": "status"},
    "items": {"item-number": "item-number"},
    "purchase_orders": {"po-number": "po-number", "status": "status"},
    "supplier_reviews": {"external-ref": "external-ref", "status": "status"},
}
PAGING = frozenset({"offset", "limit", "order_by", "dir"})


def make_procurement(
    folder: Path,
    seed: Seed,
    client: Login,
    *,
    token_life_s: float = TOKEN_LIFE_S,
    rate_per_s: float = RATE_PER_S,
    burst: int = BURST,
) -> web.Application:
    """The application on the tables and the journal of `folder`; the seed is stored once."""
    tables = Tables(folder / "business.db", TABLES)
    journal = Journal(folder / "journal.jsonl")
    tokens = Tokens(token_life_s)

    def place(name: str, row: Record) -> Placed:
        number = int(str(row.get("id") or tables.next_number(name, first=1)))
        return Placed(str(number), "", {"id": number} | stamped(row, _now()))

    server = Server(journal, tables, Faults(), refuse, place, tokens.clear, frozenset({TOKEN_PATH}))
    app = make_app(server)
    app[SUITE] = Suite(tables, journal, tokens, Bucket(rate_per_s, burst), client)
    _plant_seed(tables, seed)
    app.router.add_post(TOKEN_PATH, give_token)
    app.router.add_get(f"/api/{{table:{RESOURCES}}}", list_objects)
    app.router.add_get(f"/api/{{table:{RESOURCES}}}/{{id}}", show_object)
    app.router.add_post("/api/suppliers", create_supplier)
    app.router.add_put("/api/suppliers/{id}", change_supplier)
    app.router.add_post("/api/purchase_orders", create_order)
    app.router.add_put("/api/purchase_orders/{id}", change_order)
    app.router.add_put("/api/purchase_orders/{id}/cancel", cancel_order)
    app.router.add_post("/api/items", create_item)
    app.router.add_put("/api/items/{id}", change_item)
    app.router.add_post("/api/supplier_reviews", create_review)
    app.router.add_put("/api/supplier_reviews/{id}", change_review)
    app.router.add_route("*", "/{tail:.*}", not_served)
    return app


def _plant_seed(tables: Tables, seed: Seed) -> None:
    if tables.find("suppliers", {}) or tables.find("contracts", {}):
        return  # a restart: the table knows better
    numbers: dict[str, Record] = {}
    for supplier in seed.suppliers:
        stored = _insert(tables, "suppliers", _record(supplier))
        numbers[supplier.number] = {n: stored.row[n] for n in ("id", "number", "name")}
    for contract in seed.contracts:
        row = _record(contract) | {"supplier": numbers[contract.supplier.number]}
        _insert(tables, "contracts", row)


def refuse(refused: Refused) -> web.Response:
    """The vendor's error document: messages by field, `base` where there is none."""
    response = _json({"errors": {refused.target or "base": [refused.text]}}, refused.status)
    if refused.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="procurement"'
    return response


async def give_token(request: web.Request) -> web.Response:
    """A bearer token for client credentials, sent as form fields or by basic authentication."""
    suite, form = request.app[SUITE], await request.post()
    given = decode_basic(request.headers.get("Authorization", "")) or Login(
        str(form.get("client_id", "")), str(form.get("client_secret", ""))
    )
    if form.get("grant_type") != "client_credentials":
        return _json({"error": "unsupported_grant_type"}, 400)
    if given != suite.client:
        return _json({"error": "invalid_client"}, 401)
    life_s = int(suite.tokens.life_s)
    token = suite.tokens.issue()
    return _json({"access_token": token, "token_type": "bearer", "expires_in": life_s})


def _admitted(request: web.Request) -> Suite:
    """Raises: Refused 401 without a good token, 429 over the limit, 406 if not JSON is wanted."""
    suite = request.app[SUITE]
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not suite.tokens.accepts(token):
        raise Refused(401, "", "The access token is missing, wrong or expired")
    if wait_s := suite.bucket.wait_s():
        text = "Too many requests"
        raise Refused(429, "", text, retry_after_s=ceil(wait_s))
    if "application/json" not in request.headers.get("Accept", ""):
        text = "Send Accept: application/json; the vendor answers XML otherwise"
        raise Refused(406, "", text)
    return suite


async def list_objects(request: web.Request) -> web.Response:
    suite, table = _admitted(request), request.match_info["table"]
    where: dict[str, str | int | bool | None] = {}
    since = bounds(request.query)
    for name, value in request.query.items():
        if name in FILTERS[table]:
            where[FILTERS[table][name]] = value
        elif name == EXPORTED and value in ("true", "false"):
            where[EXPORTED] = value == "true"
        elif name not in PAGING | {FIELDS} and name not in since:
            raise Refused(400, "", f"is not something {table} can be asked for", name)
    names = fields_of(request.query.get(FIELDS))
    found = [stored for stored in suite.tables.find(table, where) if are_since(stored.row, since)]
    return _json([told(stored.row, names) for stored in _page(found, request.query)])


def _page(found: Sequence[Stored], query: Mapping[str, str]) -> Sequence[Stored]:
    """What of the list is asked for; at most a page, and no more than its rest."""
    order, way = query.get("order_by", "id"), query.get("dir", "asc")
    if order != "id" or way not in ("asc", "desc"):
        raise Refused(400, "", "lists are ordered by id, asc or desc", "order_by")
    offset, limit = _number(query, "offset", 0), _number(query, "limit", PAGE)
    by_id = sorted(found, key=lambda stored: int(stored.key), reverse=way == "desc")
    return by_id[offset : offset + min(limit, PAGE)]


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    stated = query.get(name, str(default))
    if not stated.isdecimal():
        raise Refused(400, "", "must be a number", name)
    return int(stated)


async def show_object(request: web.Request) -> web.Response:
    suite, table = _admitted(request), request.match_info["table"]
    return _json(_found(suite, table, request.match_info["id"]).row)


async def create_supplier(request: web.Request) -> web.Response:
    suite, supplier = _admitted(request), await _body(request, NewSupplier)
    initial: Record = {"status": "active", "custom-fields": {}}
    row = initial | _record(supplier)
    for field in ("number", "name"):
        if not row.get(field):
            raise Refused(422, "", "can't be blank", field)
        _refuse_taken(suite, "suppliers", field, row)
    return _created(request, suite, "suppliers", row)


async def change_supplier(request: web.Request) -> web.Response:
    suite, change = _admitted(request), await _body(request, SupplierChange)
    stored = _found(suite, "suppliers", request.match_info["id"])
    if change.name not in (UNSET, stored.row["name"]):
        _refuse_taken(suite, "suppliers", "name", _record(change))
    return _changed(request, suite, "suppliers", stored, _record(change))


def _refuse_taken(suite: Suite, table: str, field: str, row: Record) -> None:
    if suite.tables.find(table, {field: str(row[field])}):
        raise Refused(422, "", "has already been taken", field)


async def create_item(request: web.Request) -> web.Response:
    suite, item = _admitted(request), await _body(request, ItemChange)
    initial: Record = {"active": True, "name": "", "custom-fields": {}}
    row = initial | _record(item)
    _check_item(row)
    _refuse_taken(suite, "items", "item-number", row)
    return _created(request, suite, "items", row)


async def change_item(request: web.Request) -> web.Response:
    suite, change = _admitted(request), await _body(request, ItemChange)
    stored = _found(suite, "items", request.match_info["id"])
    if change.item_number not in (UNSET, item_number(stored.row)):
        raise Refused(422, "", "cannot be changed", "item-number")
    _check_item(_merged(stored.row, _record(change)))
    return _changed(request, suite, "items", stored, _record(change))


def item_number(row: Record) -> str:
    return str(row["item-number"])


def _check_item(row: Record) -> None:
    for field in ("item-number", "description"):
        if not row.get(field):
            raise Refused(422, "", "can't be blank", field)
    unit = cast(Record, row.get("uom") or {}).get("code")
    if not unit:
        raise Refused(422, "", "can't be blank", "uom")
    if unit not in UNITS:
        raise Refused(422, "", f"{unit} is not a unit of measure here", "uom")


async def create_order(request: web.Request) -> web.Response:
    suite, order = _admitted(request), await _body(request, NewOrder)
    supplier = _supplier(suite, order.supplier.number)
    if supplier["status"] != "active":
        raise Refused(422, "", f"{order.supplier.number} is not active", "supplier")
    row = written_order({"status": "issued", "order-lines": []}, _record(order))
    check_order(row, UNITS, _item_numbers(suite))
    _refuse_taken(suite, "purchase_orders", "po-number", row)
    return _created(request, suite, "purchase_orders", row)


async def change_order(request: web.Request) -> web.Response:
    suite, change = _admitted(request), await _body(request, OrderChange)
    stored = _found(suite, "purchase_orders", request.match_info["id"])
    if stored.row["status"] == "cancelled":
        raise Refused(422, "", "is cancelled and cannot be changed", "status")
    row = written_order(stored.row, _record(change))
    check_order(row, UNITS, _item_numbers(suite))
    return _changed(request, suite, "purchase_orders", stored, row)


async def cancel_order(request: web.Request) -> web.Response:
    suite = _admitted(request)
    stored = _found(suite, "purchase_orders", request.match_info["id"])
    return _changed(request, suite, "purchase_orders", stored, {"status": "cancelled"})


def _supplier(suite: Suite, number: str) -> Record:
    found = suite.tables.find("suppliers", {"number": number})
    if not found:
        raise Refused(422, "", f"{number} does not exist", "supplier")
    return found[0].row


def _item_numbers(suite: Suite) -> frozenset[str]:
    return frozenset(item_number(stored.row) for stored in suite.tables.find("items", {}))


async def create_review(request: web.Request) -> web.Response:
    suite, review = _admitted(request), await _body(request, NewReview)
    row: Record = _record(review) | {"status": "open"}
    for field in ("external-ref", "change", "reason"):
        if not row[field]:
            raise Refused(422, "", "can't be blank", field)
    _supplier(suite, review.supplier.number)
    _refuse_taken(suite, "supplier_reviews", "external-ref", row)
    return _created(request, suite, "supplier_reviews", row)


async def change_review(request: web.Request) -> web.Response:
    suite, change = _admitted(request), await _body(request, ReviewChange)
    stored = _found(suite, "supplier_reviews", request.match_info["id"])
    return _changed(request, suite, "supplier_reviews", stored, _record(change))


async def not_served(request: web.Request) -> web.Response:
    _admitted(request)
    raise Refused(404, "", f"{request.method} {request.path} is not served")


Body = TypeVar("Body", bound=Strict)


async def _body(request: web.Request, kind: type[Body]) -> Body:
    """Raises: Refused 400 for JSON that is not JSON, an unknown field or a wrong type."""
    if request.content_type != "application/json":
        raise Refused(415, "", "Send Content-Type: application/json")
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.DecodeError as error:
        raise Refused(400, "", str(error)) from error


def _found(suite: Suite, table: str, number: str) -> Stored:
    stored = suite.tables.get(table, number)
    if stored is None:
        raise Refused(404, "", f"There is no {table} {number}")
    return stored


def _created(request: web.Request, suite: Suite, table: str, row: Record) -> web.Response:
    with suite.tables.transaction():
        stored = _insert(suite.tables, table, row)
    _note(request, suite, table, stored, "create")
    return _json(stored.row, 201)


def _changed(
    request: web.Request, suite: Suite, table: str, stored: Stored, change: Record
) -> web.Response:
    row = touched(stored.row, _merged(stored.row, change), _now())
    changed = suite.tables.replace(table, stored, row)
    _note(request, suite, table, changed, "update")
    return _json(changed.row)


def _note(
    request: web.Request, suite: Suite, table: str, stored: Stored, operation: Operation
) -> None:
    suite.journal.applied(request[NUMBER], table, stored.key, operation)


def _insert(tables: Tables, table: str, row: Record) -> Stored:
    number = tables.next_number(table, first=1)
    return tables.insert(table, str(number), {"id": number} | stamped(row, _now()))


def _now() -> datetime:
    return datetime.now(UTC)


def _merged(row: Record, change: Record) -> Record:
    """The row with the change on top; of custom fields only those named change."""
    inner = {
        name: cast(Record, row[name]) | cast(Record, change[name])
        for name in ("custom-fields",)
        if name in change and name in row
    }
    return row | change | inner


def _record(value: Strict) -> Record:
    return cast(Record, msgspec.to_builtins(value))


def _json(value: object, status: int = 200) -> web.Response:
    body = msgspec.json.encode(value)
    return web.Response(body=body, status=status, content_type="application/json")
