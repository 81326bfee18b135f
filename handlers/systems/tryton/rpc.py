"""Calls to Tryton and what its answers mean, whatever they are about.

A call that fails comes back in one of two ways. Where the request had exactly the members id,
method and params, as ours do, the status is 200 and the body holds an `error`; what does not get as
far as the method is a status without such a body. A status of 200 is no success.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import partial
from html import unescape
from typing import Any, TypeVar

import msgspec

from canonical.codec import decode_json, encode
from canonical.connector import More, Observed
from canonical.errors import (
    Conflict,
    Failure,
    InvalidMessage,
    Misconfigured,
    Rejected,
    Unavailable,
)
from canonical.exchange import Request, Response
from handlers.systems import answers
from handlers.systems.answers import Refusal, printable
from handlers.systems.tryton.words import LANGUAGE

T = TypeVar("T")

_PATH = "/rpc/"
# The server says of every longer answer that it is gzip, and makes it so only where it is asked to.
_HEADERS = (
    ("Accept", "application/json"),
    ("Accept-Encoding", "gzip"),
    ("Content-Type", "application/json"),
)
# In the language that each of our calls asks for.
_UNIQUE = re.compile(r"must be unique", re.IGNORECASE)
# Many records at once: what is looked for by a list of keys is found by one call.
MOST = 10_000

Domain = tuple[Any, ...]


class Call(msgspec.Struct, frozen=True):
    """A method of a model with its parameters; the context comes last."""

    method: str
    params: tuple[Any, ...]


class Look(msgspec.Struct, frozen=True):
    """A call that changes nothing, and what its result tells: what is there, or the next look."""

    call: Call
    read: Callable[[msgspec.Raw], Observed | Look]


class Difference(msgspec.Struct, frozen=True):
    """Something that is not as the step wants it.

    what: one line a field. call: the write that mends it; None where `conflict` says why a person
    has to.
    """

    what: tuple[str, ...]
    call: Call | None = None
    conflict: Conflict | None = None


def search(
    model: str,
    domain: Domain,
    fields: Iterable[str],
    *,
    with_inactive: bool = True,
    context: Mapping[str, Any] | None = None,
) -> Call:
    """The records of a model that the domain describes, in the order of their ids."""
    said = {"language": LANGUAGE, "active_test": not with_inactive, **(context or {})}
    order = (("id", "ASC"),)
    return Call(f"model.{model}.search_read", (domain, 0, MOST, order, tuple(fields), said))


def create(model: str, values: Mapping[str, Any], **context: Any) -> Call:
    """The create of one record, with what hangs below it."""
    return Call(f"model.{model}.create", ((values,), _context(context)))


def write(
    model: str, number: int, values: Mapping[str, Any], *, seen: Mapping[str, str], **context: Any
) -> Call:
    """The change of one record, with what hangs below it.

    seen: timestamps of the records it changes, by `stamp`: the server refuses it if one of them
    was changed since.
    """
    return Call(f"model.{model}.write", ((number,), values, _context(context, seen)))


def press(model: str, button: str, number: int, *, seen: Mapping[str, str], **context: Any) -> Call:
    """The button of a record's work flow."""
    return Call(f"model.{model}.{button}", ((number,), _context(context, seen)))


def _context(context: Mapping[str, Any], seen: Mapping[str, str] | None = None) -> dict[str, Any]:
    said = {"language": LANGUAGE, **context}
    return said | ({"_timestamp": dict(seen)} if seen else {})


def stamp(model: str, number: int) -> str:
    """A record as the timestamps of a context name it."""
    return f"{model},{number}"


def request(call: Call, name: str, *, key: str = "") -> Request:
    """The call on the wire. name: comes back with the answer. key: of a try that changes something;
    Tryton has no idempotency key, ours goes along for logs on the way."""
    body = encode({"id": name, "method": call.method, "params": call.params})
    headers = (*_HEADERS, ("X-Request-ID", key)) if key else _HEADERS
    return Request("POST", _PATH, headers=headers, body=body, effectful=bool(key))


class _Answer(msgspec.Struct):
    """Either of result, which may be null, and error."""

    id: str | int | None = None
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: tuple[Any, ...] | msgspec.UnsetType = msgspec.UNSET


def result(response: Response, name: str, *, wrote: bool) -> msgspec.Raw:
    """What the method returned. name: of the request.

    Raises: what a refusal means; Conflict for an answer to another call; as `answers.decode` for
    what is no answer of Tryton's.
    """
    if response.status != 200:
        raise failure(response, wrote=wrote)
    answer = answers.decode(response, _Answer, wrote=wrote)
    if answer.error is not msgspec.UNSET:
        raise _refused(answer.error, response, wrote=wrote)
    if answer.id != name or answer.result is msgspec.UNSET:
        told = "has no result" if answer.id == name else f"is to {printable(str(answer.id))}"
        about = InvalidMessage("answer-of-another", f"It {told}; {name} was asked", where="answer")
        raise answers.unusable(response, about, wrote=wrote)
    return answer.result


def written(response: Response, name: str) -> str:
    """The id of the record that a create made; "" for another write, which returns nothing.

    Raises: as `result`; InDoubt where something else was returned.
    """
    found = bytes(result(response, name, wrote=True))
    if found == b"null":
        return ""
    try:
        (number,) = decode_json(found, tuple[int], where="answer.result")
    except InvalidMessage as error:
        raise answers.unusable(response, error, wrote=True) from error
    return str(number)


def decoded(found: msgspec.Raw, kind: type[T]) -> T:
    """The result of a look.

    Raises: Misconfigured where it is of another shape: another series, or a module that is missing.
    """
    try:
        return decode_json(bytes(found), kind, where="answer.result")
    except Failure as error:
        raise Misconfigured(
            "answer-unknown",
            f"The answer cannot be used: {error.what}",
            where=error.where,
            remedy="Check that the system is Tryton 8.2 with the modules of the driver's README",
        ) from error


def only(found: tuple[T, ...], where: str) -> T | None:
    """The one of them; None where there is none. Raises Conflict for several."""
    if len(found) > 1:
        raise Conflict(
            "number-used-twice",
            f"Tryton has {len(found)} records under one number",
            where=where,
            remedy="Deactivate or renumber all but one in Tryton, then release the step again",
        )
    return found[0] if found else None


# --- what goes wrong ---


def failure(response: Response, *, wrote: bool) -> Failure:
    """What an answer with another status than 200 means.

    UserWarning, which asks a person to confirm, is a 409 and no object that exists.
    """
    if response.status == 409:
        return _asks(_page_text(response))
    if response.status == 400 and answers.is_page(response):
        return _by_rule(_page_text(response), response, wrote=wrote)
    meanings: dict[int, answers.Meaning] = {401: "session", 423: "changed"}
    refusal = Refusal(text=_page_text(response), meaning=meanings.get(response.status, ""))
    return answers.failure(response, refusal, wrote=wrote)


def _refused(error: tuple[Any, ...], response: Response, *, wrote: bool) -> Failure:
    """What an `error` in a body means: its first member names the kind, or is all there is."""
    match error:
        case ("UserError", [str(said), *more], *_):
            return _by_rule(_words(said, *more[:1]), response, wrote=wrote)
        case ("UserWarning", [_, str(said), *more], *_) | ("UserWarning", [str(said), *more], *_):
            return _asks(_words(said, *more[:1]))
        case ("ConcurrencyException", *said):
            return Unavailable("changed-meanwhile", _words(*said))
        case ("LoginException", *said):
            return Misconfigured(
                "not-authorised",
                _words(*said),
                remedy="Check user, password and authentications of this system",
            )
        case ("RateLimitException", *said):
            return Unavailable("rate-limited", _words(*said))
    # A fault of the server's, or a model or field that it does not have: in the other way of
    # saying it a 500, and it means the same.
    faulty = Response(500, response.headers, b"")
    return answers.failure(faulty, Refusal(text=_words(*error)), wrote=wrote)


def _by_rule(said: str, response: Response, *, wrote: bool) -> Failure:
    # Somebody made it since it was looked for.
    meaning: answers.Meaning = "exists" if _UNIQUE.search(said) else ""
    refused = Response(400, response.headers, response.body)
    return answers.failure(refused, Refusal("UserError", said, meaning=meaning), wrote=wrote)


def _asks(said: str) -> Rejected:
    return Rejected(
        "target-asks",
        f"Tryton wants a person to confirm: {said}",
        remedy="Do it in Tryton and confirm the warning there, then release the step again",
    )


def _words(*said: Any) -> str:
    return ": ".join(printable(one) for one in said if isinstance(one, str) and one)


def _page_text(response: Response) -> str:
    """The words of an error page, which stand in its last paragraph."""
    page = response.body[:2_000].decode(errors="replace")
    _, mark, rest = page.partition("<p>")
    return printable(unescape(rest.partition("</p>")[0])) if mark else ""


def follow(name: str, look: Look, response: Response) -> Observed | More:
    """What the answer to a look tells; where that is another look, the call for it."""
    found = look.read(result(response, name, wrote=False))
    if isinstance(found, Look):
        return More(request(found.call, name), partial(follow, name, found))
    return found


# --- comparing ---


def differing(compared: Iterable[tuple[str, object, object]]) -> tuple[str, ...]:
    """What differs, for people. compared: (name, held, wanted)."""
    return tuple(
        f"{name}: {_shown(held)}, wanted {_shown(wanted)}"
        for name, held, wanted in compared
        if held != wanted
    )


def _shown(value: object) -> str:
    text = str(value) if isinstance(value, str | Decimal) else encode(value).decode()
    return printable(text) or "empty"


def ref(ids: Mapping[str, int], name: str) -> int | str:
    """The id of what is called so; the name itself where nobody has looked, as in a dry run."""
    return ids.get(name, name)
