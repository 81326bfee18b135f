"""OData V2 as S/4HANA speaks it: addresses, literals, requests, answers and errors.

Knows no business object; those are in the modules beside it.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar
from urllib.parse import quote

import msgspec
from msgspec import UNSET, UnsetType

from canonical.codec import decode_json, encode
from canonical.errors import Conflict, Failure, InDoubt, InvalidMessage, Misconfigured
from canonical.exchange import Request, Response
from handlers.systems import answers
from handlers.systems.answers import Refusal
from handlers.systems.s4.native import (
    Children,
    Detail,
    Entity,
    ErrorDocument,
    Notice,
    Offered,
    Written,
)

C = TypeVar("C")
E = TypeVar("E", bound=Entity)

ROOT = "/sap/opu/odata/sap"

_JSON = (("Accept", "application/json"), ("Accept-Language", "en"))

# Codes of the gateway itself, the same for every service and release.
_NO_SERVICE = frozenset({"/IWFND/MED/170", "005056A509B11EE1B9A8FEC11C21578E"})
_NO_ENTITY = "/IWBEP/CM_MGW_RT/020"
# Applications word and number these as they like; Accept-Language makes them English.
_EXISTS = re.compile(r"already exist", re.IGNORECASE)
# Somebody has the object, or what it takes is in use or closed for now.
_LOCKED = re.compile(
    r"locked by|being processed by|number range .{0,60}(?:locked|being processed|in use)"
    r"|(?:posting )?period .{0,60}(?:not open|closed|locked)",
    re.IGNORECASE,
)
_CSRF = re.compile(r"csrf token", re.IGNORECASE)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Milliseconds of UTC midnight; the offset of an Edm.DateTimeOffset does not change the instant.
_DATE = re.compile(r"/Date\((-?[0-9]{1,15})(?:[+-][0-9]{1,4})?\)/", re.ASCII)


class _Single(msgspec.Struct, frozen=True):
    """The wrapper around one entity."""

    d: msgspec.Raw


class _List(msgspec.Struct, frozen=True):
    """The wrapper around an entity set."""

    d: Children[msgspec.Raw]


# --- addresses and literals ---


def literal(text: str) -> str:
    """A text in a key or a filter; a quote inside it is doubled."""
    return "'" + text.replace("'", "''") + "'"


def address(service: str, entity_set: str, **key: str) -> str:
    """Path of a set or, with its key, of an entity; percent-encoded."""
    base = f"{ROOT}/{service}/{entity_set}"
    if not key:
        return base
    literals = {name: quote(literal(value), safe="'") for name, value in key.items()}
    if len(literals) == 1:
        return f"{base}({next(iter(literals.values()))})"
    return f"{base}({','.join(f'{name}={value}' for name, value in literals.items())})"


def equals(**values: str) -> str:
    """A $filter that asks for all these values."""
    return " and ".join(f"{name} eq {literal(value)}" for name, value in values.items())


def fields(kind: type[Entity]) -> tuple[str, ...]:
    """The fields of an entity that we know, without its children: for a $select."""
    names = (field.encode_name for field in msgspec.structs.fields(kind))
    return tuple(name for name in names if not name.startswith(("__", "to_")))


def date_literal(day: date) -> str:
    """The day as an Edm.DateTime in JSON."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return f"/Date({(midnight - _EPOCH) // timedelta(milliseconds=1)})/"


def parse_date(text: str) -> date | None:
    """The day an Edm.DateTime in JSON states; None for an empty one or another text."""
    found = parse_instant(text)
    return found.date() if found else None


def parse_instant(text: str) -> datetime | None:
    """The UTC instant an Edm.DateTimeOffset in JSON states; None as `parse_date`."""
    stated = _DATE.fullmatch(text)
    try:
        return _EPOCH + timedelta(milliseconds=int(stated[1])) if stated else None
    except OverflowError:
        return None


# --- requests ---


def get(path: str, **options: str) -> Request:
    """A read; options are the query options without their dollar sign."""
    query = tuple((f"${name}", value) for name, value in options.items())
    return Request(method="GET", path=path, query=query, headers=_JSON, effectful=False)


def post(path: str, body: Entity) -> Request:
    """A create, with children if the body has them."""
    return Request("POST", path, headers=_json_body(), body=encode(body))


def patch(path: str, body: Entity, etag: str) -> Request:
    """A change of the fields that the body has, refused if the entity is not as it was read."""
    return Request("PATCH", path, headers=_json_body() + _if_match(etag), body=encode(body))


def delete(path: str, etag: str) -> Request:
    """A deletion, refused if the entity is not as it was read."""
    return Request("DELETE", path, headers=_JSON + _if_match(etag))


def etag_of(entity: Entity) -> str:
    """The tag to send back with a change; "" where the service gave none."""
    return entity.metadata.etag if entity.metadata is not UNSET else ""


def _json_body() -> tuple[tuple[str, str], ...]:
    return (*_JSON, ("Content-Type", "application/json"))


def _if_match(etag: str) -> tuple[tuple[str, str], ...]:
    # Without a tag the entity is not locked optimistically; the service says 428 if it is.
    return (("If-Match", etag),) if etag else ()


# --- answers ---


def read_one(response: Response, kind: type[E]) -> E | None:
    """The entity read by its key; None where the service says that there is none.

    Raises: Misconfigured, Unavailable, Rejected.
    """
    if response.status == 200:
        return _entity(response, kind, wrote=False)
    refusal = refusal_of(response)
    if response.status == 404 and refusal.code and refusal.code not in _NO_SERVICE:
        return None
    raise failure(response, refusal, wrote=False)


def read_all(response: Response, kind: type[E]) -> tuple[E, ...]:
    """All entities a filter found.

    Raises: as `read_one`; Misconfigured also for a list that is not whole.
    """
    if response.status != 200:
        raise failure(response, refusal_of(response), wrote=False)
    found = answers.decode(response, _List, wrote=False, error_in=_error_in).d
    return tuple(_decoded(response, raw, kind, wrote=False) for raw in whole(found))


def expanded(children: Children[E] | UnsetType, name: str) -> tuple[E, ...]:
    """The children behind a navigation that the read asked to expand.

    Raises: Misconfigured where they are not there, or not all.
    """
    if children is UNSET:
        raise Misconfigured("answer-incomplete", f"{name} was not expanded", where=name)
    return whole(children)


def offered(children: Offered[E] | UnsetType, name: str) -> tuple[E, ...]:
    """As `expanded`, of a navigation that other reads leave unexpanded."""
    if children is UNSET or children.results is UNSET:
        raise Misconfigured("answer-incomplete", f"{name} was not expanded", where=name)
    return whole(Children(children.results, children.next))


def whole(children: Children[C]) -> tuple[C, ...]:
    """The children, all of them.

    Raises: Misconfigured where the service sent a part only: what is not seen would count as
        missing, and would be created or deleted.
    """
    if children.next:
        raise Misconfigured(
            "answer-incomplete",
            "The service sent a part of a list only",
            where="__next",
            remedy="Raise the service's page size for this object",
        )
    return children.results


def read_written(response: Response) -> Written | None:
    """What the write was applied to; None where the service confirms without saying.

    Raises: every failure of `Driver.confirm`.
    """
    if response.status == 204:
        return None
    if response.status in (200, 201):
        return _entity(response, Written, wrote=True)
    raise failure(response, refusal_of(response), wrote=True)


def about_another(kind: str, stated: str, where: str) -> Failure:
    """What it means that the answer to a write is not about the object that was written.

    An answer that names none is in doubt. One that names another is for a person: a read by our key
    would not find that object, and each further try would make one more.
    """
    if not stated:
        return InDoubt("answer-nameless", f"The answer names no {kind}", where=where)
    return Conflict(
        "answer-about-another",
        f"The target confirmed another {kind}: {answers.printable(stated)}",
        where=where,
        remedy="Find out in the ERP what was written, then release the step again",
    )


def notices(response: Response) -> tuple[str, ...]:
    """What the service had to say about a write that it carried out."""
    text = response.headers.get("sap-message", "")
    if not text:
        return ()
    try:
        notice = decode_json(text.encode(errors="replace"), Notice, where="sap-message")
    except InvalidMessage:
        return (answers.printable(text),)
    return tuple(_in_words(said) for said in (notice, *notice.details) if said.message)


def failure(response: Response, refusal: Refusal, *, wrote: bool) -> Failure:
    """What an answer that is no success means."""
    if response.status == 404 and refusal.code in _NO_SERVICE:
        return Misconfigured(
            "interface-unknown",
            answers.printable(f"{refusal.code}: {refusal.text}"),
            where=refusal.where,
            remedy="Have the service released in the target and its version checked",
        )
    return answers.failure(response, refusal, wrote=wrote)


def refusal_of(response: Response) -> Refusal:
    """The error document in its own words; without code where there is none."""
    try:
        error = decode_json(response.body, ErrorDocument).error
    except InvalidMessage:
        text = "" if answers.is_page(response) else response.body[:300].decode(errors="replace")
        ended = response.status == 403 and _CSRF.search(text)
        return Refusal(text=text, meaning="session" if ended else "")
    details = error.innererror.errordetails
    text = error.message.value
    everything = " ".join((text, *(d.message for d in details)))
    codes = (error.code, *(d.code for d in details))
    refusal = Refusal(error.code, text, next((d.target for d in details if d.target), ""))
    if response.status == 404 and error.code == _NO_ENTITY:
        return msgspec.structs.replace(refusal, meaning="changed")
    if response.status == 403 and _CSRF.search(everything):
        return msgspec.structs.replace(refusal, meaning="session")
    if response.status in (400, 409, 423) and _LOCKED.search(everything):
        return msgspec.structs.replace(refusal, meaning="locked")
    if response.status == 400 and (
        _EXISTS.search(everything) or any(code.endswith("_EXISTS") for code in codes)
    ):
        return msgspec.structs.replace(refusal, meaning="exists")
    return refusal


def _error_in(response: Response) -> str:
    try:
        error = decode_json(response.body, ErrorDocument).error
    except InvalidMessage:
        return ""
    return f"{error.code}: {error.message.value}"


def _entity(response: Response, kind: type[E], *, wrote: bool) -> E:
    raw = answers.decode(response, _Single, wrote=wrote, error_in=_error_in).d
    return _decoded(response, raw, kind, wrote=wrote)


def _decoded(response: Response, raw: msgspec.Raw, kind: type[E], *, wrote: bool) -> E:
    try:
        return decode_json(bytes(raw), kind, where="answer.d")
    except InvalidMessage as error:
        raise answers.unusable(response, error, wrote=wrote) from error


def _in_words(said: Detail) -> str:
    return answers.printable(f"{said.code}: {said.message}" if said.code else said.message)
