"""Several writes as one call: a change set in a `$batch` of OData V2, and what comes back.

A change set is carried out whole or not at all. Knows no business object.

Answers are taken apart by hand: the parser of the standard library recurses as deep as parts are
nested, and undoes transfer encodings that nobody asked for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence

from canonical.codec import check_size
from canonical.errors import InvalidMessage, Misconfigured
from canonical.exchange import Request, Response
from handlers.systems import answers
from handlers.systems.s4 import odata

# A line that was added is answered with all of its fields, 3.4 kB at the stand-in and some 5 with
# the longest numbers and a long host name: 200 of them are half of the 2 MiB that are taken.
MAX_PARTS = 200
# Of one part of an answer, twice: around the answer, and its own.
_MAX_HEAD_BYTES = 16 * 1024

_MULTIPART = "multipart/mixed"
_HTTP = "application/http"
_HEADER_VALUE = re.compile(r"[ -~]*")
_BOUNDARY = re.compile(
    r';[ \t]*boundary[ \t]*=[ \t]*(?:"([ !#-~]{1,70})"|([!#-:<-~]{1,70}))[ \t]*(?:;|\Z)',
    re.IGNORECASE,
)
_HEAD_ENDS = re.compile(rb"\A\r?\n|\r?\n\r?\n")
_LINE_END = re.compile(rb"\r?\n")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_STATUS = re.compile(rb"HTTP/[0-9]\.[0-9] ([1-5][0-9]{2})(?: |\Z)")
# A service has to say itself that it takes several changes as one; the gateway speaks of the
# "default changeset implementation" where it does not, in no form that is the same everywhere.
_ONE_AT_A_TIME = re.compile(rb"changeset", re.IGNORECASE)


# --- requests ---


def change_set(service: str, requests: Sequence[Request]) -> Request:
    """The requests, in their order, as one that the service carries out whole or not at all.

    No part has a Content-ID: none refers to another one, and gateways refuse it of services that
    work a set off one by one ("Content referencing is only allowed for changeset at once").
    Shape: at most MAX_PARTS writes below the service, without queries. Equal ones make equal bytes.
    Raises: Misconfigured for a header, such as a tag that was read, that does not fit its line.
    """
    root = f"{odata.ROOT}/{service}/"
    parts = [_part(root, request) for request in requests]
    outer, inner = _boundaries(b"".join(parts))
    changes = f"Content-Type: {_MULTIPART}; boundary={inner}\r\n\r\n".encode()
    headers = (
        ("Accept", _MULTIPART),
        ("Accept-Language", "en"),
        ("Content-Type", f"{_MULTIPART}; boundary={outer}"),
    )
    body = _multipart(outer, [changes + _multipart(inner, parts)])
    return Request("POST", f"{root}$batch", headers=headers, body=body)


def _part(root: str, request: Request) -> bytes:
    assert request.path.startswith(root)
    assert not request.query
    headers = request.headers
    if request.body is not None:
        headers = (*headers, ("Content-Length", str(len(request.body))))
    lines = (
        f"Content-Type: {_HTTP}",
        "Content-Transfer-Encoding: binary",
        "",
        f"{request.method} {request.path.removeprefix(root)} HTTP/1.1",
        *(_header(name, value, request.path) for name, value in headers),
        "",
        "",
    )
    return "\r\n".join(lines).encode() + (request.body or b"")


def _header(name: str, value: str, where: str) -> str:
    # A tag comes from the target: with a line end in it, it would be a header or a part more.
    if not _HEADER_VALUE.fullmatch(value):
        raise Misconfigured(
            "header-malformed",
            f"{name} cannot be sent: {answers.printable(value)}",
            where=where,
            remedy="Find out what answers in the place of this service: its tags fit no header",
        )
    return f"{name}: {value}"


def _boundaries(content: bytes) -> tuple[str, str]:
    """Of the batch and of its change set: named after the content, which does not have them."""
    digest = hashlib.sha256(content)
    while (name := digest.hexdigest()[:32]).encode() in content:
        digest.update(b"once more")
    return f"batch_{name}", f"changeset_{name}"


def _multipart(boundary: str, parts: Iterable[bytes]) -> bytes:
    line = f"--{boundary}\r\n".encode()
    return b"".join((*(line + part + b"\r\n" for part in parts), f"--{boundary}--\r\n".encode()))


# --- answers ---


def is_answer(response: Response) -> bool:
    """Whether it is a success in parts: what became of each of them stands inside."""
    kind = response.headers.get("content-type", "")
    return 200 <= response.status < 300 and _media_type(kind) == _MULTIPART


def read(response: Response) -> tuple[Response, ...]:
    """The answers to the writes of a change set, or the one that stands for a set that was refused.

    Whether these are as many as there were writes nobody can tell from it.
    Raises: InDoubt for what is no answer to one change set, is not whole, or has too much in it.
    """
    try:
        return tuple(_answers(response))
    except InvalidMessage as error:
        raise answers.unusable(response, error, wrote=True) from error


def check_taken(response: Response) -> None:
    """Raises: Misconfigured where the service says that it takes no such change sets."""
    if response.status >= 400 and _ONE_AT_A_TIME.search(response.body):
        said = odata.refusal_of(response).text or "no words of its own"
        raise Misconfigured(
            "change-sets-refused",
            f"The service does not take several changes as one, status {response.status}:"
            f" {answers.printable(said)}",
            where="$batch",
            remedy="Set change_sets = false for this system, then release the step again",
        )


def _answers(response: Response) -> Iterator[Response]:
    check_size(response.body, where="answer")
    whole = _parts(response.body, response.headers.get("content-type", ""))
    if len(whole) != 1:
        raise _malformed(f"there are {len(whole)} answers to one change set")
    headers, content = _split(whole[0])
    kind = headers.get("content-type", "")
    if _media_type(kind) != _MULTIPART:
        yield _http(headers, content)
        return
    for part in _parts(content, kind):
        yield _http(*_split(part))


def _parts(content: bytes, content_type: str) -> list[bytes]:
    """What stands between the lines of the boundary; before the first and behind the last one
    anything may."""
    boundary = re.escape(_boundary(content_type))
    lines = re.compile(rb"^--" + boundary + rb"(--)?[ \t]*(?:\r?\n|\Z)", re.MULTILINE)
    found: list[bytes] = []
    begin = -1
    for line in lines.finditer(content):
        if begin >= 0:
            # The line end before a boundary belongs to it.
            found.append(content[begin : line.start()].removesuffix(b"\n").removesuffix(b"\r"))
        if line[1]:
            if not found:
                break
            return found
        if len(found) == MAX_PARTS:
            raise _malformed(f"it has more than {MAX_PARTS} parts")
        begin = line.end()
    raise _malformed("it is cut off" if begin >= 0 else "it has no parts")


def _boundary(content_type: str) -> bytes:
    stated = _BOUNDARY.search(content_type)
    if stated is None:
        raise _malformed("it does not say where its parts begin")
    return (stated[1] or stated[2]).encode()


def _split(part: bytes) -> tuple[dict[str, str], bytes]:
    """The headers of a part, and what they are about."""
    lines, content = _halves(part)
    return _headers(lines), content


def _http(headers: dict[str, str], content: bytes) -> Response:
    """The answer that a part holds."""
    if _media_type(headers.get("content-type", "")) != _HTTP:
        raise _malformed("a part is no answer")
    lines, body = _halves(content.lstrip(b"\r\n"))
    status = _STATUS.match(lines[0]) if lines else None
    if status is None:
        raise _malformed("a part has no status")
    # Where the body ends, the boundary says: not every gateway counts its bytes.
    return Response(int(status[1]), _headers(lines[1:]), body.strip(b"\r\n"))


def _halves(part: bytes) -> tuple[list[bytes], bytes]:
    """The lines of the head, and the body; a head alone may end without an empty line."""
    end = _HEAD_ENDS.search(part)
    head, body = (part[: end.start()], part[end.end() :]) if end else (part, b"")
    if len(head) > _MAX_HEAD_BYTES:
        raise _malformed("the headers of a part are too long")
    unfolded = _FOLD.sub(b" ", head)
    return [line for line in _LINE_END.split(unfolded) if line], body


def _headers(lines: Iterable[bytes]) -> dict[str, str]:
    """By their names in lower case, as a channel hands them on."""
    found: dict[str, str] = {}
    for line in lines:
        name, colon, text = line.partition(b":")
        if not colon:
            raise _malformed("a part has a header without a value")
        key, value = (each.strip().decode(errors="replace") for each in (name, text))
        key = key.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _malformed(what: str) -> InvalidMessage:
    return InvalidMessage("batch-malformed", what, where="answer")
