"""Calls to procurement's resources and what their answers mean, whatever the resource."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from canonical.codec import decode_json, encode
from canonical.connector import Write
from canonical.errors import (
    Conflict,
    Failure,
    InvalidMessage,
    Misconfigured,
    Rejected,
    SuspectedDuplicate,
)
from canonical.exchange import Request, Response
from canonical.own_words import OwnWords
from canonical.units import to_rec20
from handlers.systems import answers
from handlers.systems.answers import Refusal
from handlers.systems.coupa import native
from handlers.systems.coupa.words import UNITS

T = TypeVar("T")
D = TypeVar("D")

# An answer lists no more.
PAGE = 50
# What is on a page depends on the order, and an id never changes.
_BY_ID = (("order_by", "id"), ("dir", "asc"), ("limit", str(PAGE)))
_JSON = (("Accept", "application/json"),)
_TAKEN = re.compile(r"already been taken", re.IGNORECASE)


def get(path: str, *query: tuple[str, str]) -> Request:
    """The read of the first page of a list, narrowed by the query; `pages` reads the others."""
    return Request("GET", path, query=(*query, *_BY_ID), headers=_JSON, effectful=False)


def show(path: str) -> Request:
    """The read of one object by its id."""
    return Request("GET", path, headers=_JSON, effectful=False)


def is_gone(response: Response) -> bool:
    """Whether procurement itself says that it has no such object: a proxy, or an interface that
    does not know the path, says it without an error document."""
    return response.status == 404 and _errors(response) is not None


def write(method: str, path: str, body: msgspec.Struct | None, key: str) -> Write:
    """The write that completes its step; body: None for an action that takes none."""
    if body is None:
        request = Request(method, path, headers=(*_JSON, ("X-Request-ID", key)))
    else:
        headers = (*_JSON, ("Content-Type", "application/json"), ("X-Request-ID", key))
        request = Request(method, path, headers=headers, body=encode(body))
    return Write(request, completes=True)


def decoded(response: Response, kind: type[D], *, wrote: bool) -> D:
    """The content of a success; raises as `answers.decode`."""
    return answers.decode(response, kind, wrote=wrote, error_in=_error_in)


def only(found: Sequence[T], where: str) -> T | None:
    """The one of them; None where there is none. Raises SuspectedDuplicate for several."""
    if len(found) > 1:
        raise SuspectedDuplicate(
            "number-used-twice",
            f"Procurement has {len(found)} objects under one number",
            where=where,
            remedy="Merge them in procurement, then release the step again",
        )
    return found[0] if found else None


def check(stated: str, expected: str) -> None:
    """Raises: Conflict: a read would not find that object, and each try would make one more."""
    if stated != expected:
        raise Conflict(
            "answer-about-another",
            f"Procurement confirmed {answers.printable(stated)}, not {expected}",
            where="answer",
            remedy="Find out in procurement what was written, then release the step again",
        )


def fitting(text: str, limit: int, where: str) -> str:
    """The text, which is at most `limit` characters long; raises Rejected for a longer one."""
    if len(text) > limit:
        raise Rejected(
            "text-too-long",
            f"Procurement holds {limit} characters there, and it has {len(text)}",
            where=where,
            remedy="Shorten it in the system that it comes from",
        )
    return text


def unit_of(code: native.Code | None, own: OwnWords) -> str:
    """The canonical code, since a unit has several names; the name itself where it is unknown."""
    if code is None:
        return ""
    try:
        return to_rec20(UNITS, code.code, own.codes)
    except InvalidMessage:
        return code.code


def differing(compared: tuple[tuple[str, object, object], ...]) -> tuple[str, ...]:
    """What differs, for people. compared: (name, held, wanted)."""
    return tuple(
        f"{name}: {_shown(is_held)}, wanted {_shown(wanted)}"
        for name, is_held, wanted in compared
        if is_held != wanted
    )


def _shown(value: object) -> str:
    return answers.printable(value if isinstance(value, str) else encode(value).decode())


def failure(response: Response, *, wrote: bool) -> Failure:
    """What an answer that is no success means. wrote: the call may have changed something."""
    if response.status == 404 and not wrote:
        return Misconfigured(
            "interface-unknown",
            "Procurement does not know what it was asked for",
            remedy="Check the base URL and the interface version of this system",
        )
    return answers.failure(response, _refusal_of(response), wrote=wrote)


def taken(response: Response) -> frozenset[str]:
    """Fields whose value a refusal says another object has."""
    if response.status != 422:
        return frozenset()
    errors = _errors(response) or {}
    return frozenset(field for field, said in errors.items() if any(map(_TAKEN.search, said)))


def _refusal_of(response: Response) -> Refusal:
    """The error document in its own words; empty where there is none."""
    errors = _errors(response)
    if errors is None:
        page = answers.is_page(response)
        return Refusal(text="" if page else response.body[:300].decode(errors="replace"))
    refusal = Refusal(text=_error_in(response), where=next(iter(errors), ""))
    if taken(response):
        return msgspec.structs.replace(refusal, meaning="exists")
    if response.status == 404:
        # A change addresses its object by id: it is gone since it was read.
        return msgspec.structs.replace(refusal, meaning="changed")
    return refusal


def _errors(response: Response) -> dict[str, tuple[str, ...]] | None:
    """Messages by field; None where it is no error document."""
    try:
        return decode_json(response.body, native.ErrorDocument).errors
    except InvalidMessage:
        return None


def _error_in(response: Response) -> str:
    """What the error document says; "" where it is none."""
    errors = _errors(response) or {}
    return "; ".join(f"{field} {said}" for field, lines in errors.items() for said in lines)
