"""Answers of which the service keeps a part back: put together before anybody reads them.

A list that is longer than the service's own pages ends with a link to its rest (`__next`). Rests
are asked for one after the other and stand in the answer as if they had come with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec

from canonical.codec import MAX_BODY_BYTES
from canonical.connector import More, Observed
from canonical.errors import Misconfigured, Rejected, Unavailable
from canonical.exchange import Request, Response
from handlers.systems import answers
from handlers.systems.s4 import odata
from handlers.systems.s4.native import Children

Then = Callable[[Response], Observed | More]

# One look has so many calls at most.
MOST_CALLS = 20

_NEXT = b'"__next"'
_SERVICE = re.compile(re.escape(odata.ROOT) + r"/[^/]+/")
# As it stands in a path, encoded or not.
_PATH_SAFE = "/%()',=:;@!$&*~"
# Numbers stay as they were written.
_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")


class _Rest(msgspec.Struct, frozen=True):
    """The wrapper around the rest of a list."""

    d: Children[msgspec.Raw]


def read(asked: Request, response: Response, then: Then, calls: int = 1) -> Observed | More:
    """What `then` makes of the answer to `asked`, once all of it is there. Where it takes another
    call, the answer to that may come in parts too. calls: that the look has made.

    Only links into the service that was asked are followed, and of them only path and query: they
    name the host as the service knows it. What another one leads to stays missing, and `then`
    refuses it.
    Raises: besides what `then` raises, Misconfigured for more parts than a look may have calls,
        Rejected for more than an answer may hold, Unavailable where an entity came twice.
    """
    if response.status != 200 or _NEXT not in response.body:
        return _whole(then(response), calls)
    return _go_on(asked, response, calls, then)


def _whole(found: Observed | More, calls: int) -> Observed | More:
    if not isinstance(found, More):
        return found
    request, then = found.request, found.read
    return More(request, lambda response: read(request, response, then, calls + 1))


def _go_on(asked: Request, so_far: Response, calls: int, then: Then) -> Observed | More:
    held = _unfinished(_document(so_far))
    request = _rest(asked, held["__next"]) if held else None
    if request is None:
        return _whole(then(so_far), calls)
    if calls >= MOST_CALLS:
        raise Misconfigured(
            "answer-incomplete",
            f"The object comes in so many parts that {MOST_CALLS} calls do not suffice",
            where="__next",
            remedy="Raise the service's page size for this object",
        )
    return More(request, partial(_add, asked, so_far, calls, then))


def _add(
    asked: Request, so_far: Response, calls: int, then: Then, response: Response
) -> Observed | More:
    if response.status != 200:
        raise odata.failure(response, odata.refusal_of(response), wrote=False)
    part = answers.decode(response, _Rest, wrote=False).d
    document = _document(so_far)
    held = _unfinished(document)
    assert held is not None  # `_go_on` has asked for its rest
    held["results"] += map(_decoder.decode, part.results)
    held["__next"] = part.next
    _check_once(held["results"])
    body = _encoder.encode(document)
    if len(body) > MAX_BODY_BYTES:
        raise Rejected(
            "answer-too-long",
            f"The object has more than the {MAX_BODY_BYTES} bytes that an answer may have",
            where="__next",
            remedy="Take away from it what is not used any more, or state it by other means",
        )
    return _go_on(asked, msgspec.structs.replace(so_far, body=body), calls + 1, then)


def _document(response: Response) -> dict[str, Any]:
    answers.decode(response, dict[str, Any], wrote=False)
    document: dict[str, Any] = _decoder.decode(response.body)
    return document


def _unfinished(value: object) -> dict[str, Any] | None:
    """The first list in it of which a rest is to come."""
    if isinstance(value, dict):
        if isinstance(value.get("results"), list) and value.get("__next"):
            return value
        return _first(value.values())
    return _first(value) if isinstance(value, list) else None


def _first(values: Iterable[object]) -> dict[str, Any] | None:
    return next((found for value in values if (found := _unfinished(value)) is not None), None)


def _rest(asked: Request, link: object) -> Request | None:
    """The call that a link leads to; None where it leads out of the service."""
    service = _SERVICE.match(asked.path)
    try:
        address = urlsplit(link if isinstance(link, str) else "")
    except ValueError:
        return None
    begin = address.path.find(service[0]) if service else -1
    if begin < 0:
        return None
    query = tuple(parse_qsl(address.query, keep_blank_values=True))
    path = quote(address.path[begin:], safe=_PATH_SAFE)
    return msgspec.structs.replace(odata.get(path), query=query)


def _check_once(rows: list[object]) -> None:
    """Raises: Unavailable where an entity is there twice: the list changed between its parts, and
    another one may have been passed over."""
    stated = [uri for row in rows if (uri := _uri(row))]
    if len(set(stated)) < len(stated):
        raise Unavailable(
            "list-moved", "The list changed while its parts were read", where="__next"
        )


def _uri(row: object) -> str:
    metadata = row.get("__metadata") if isinstance(row, dict) else None
    uri = metadata.get("uri") if isinstance(metadata, dict) else None
    return uri if isinstance(uri, str) else ""
