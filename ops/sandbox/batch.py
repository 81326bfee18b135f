"""`$batch` of the ERP stand-in: the change sets that come in one, and what they are answered with.

Pure. Stricter than the vendor where that shows a mistake: lines end with CR LF, nothing stands
around the parts, addresses are relative to the service, and only change sets are taken.
"""

import hashlib
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import NoReturn

import msgspec

from ops.sandbox.refusal import Refused

MULTIPART = re.compile(r"multipart/mixed; ?boundary=([\w-]{1,70})", re.ASCII)
HEADER = re.compile(r"([A-Za-z-]+): ([ -~]*)")
REQUEST = re.compile(r"([A-Z]+) ([!-~]+) HTTP/1\.1")
WRITES = frozenset({"POST", "PUT", "PATCH", "MERGE", "DELETE"})
# Of the gateway itself, where a service works a change set off one by one.
NO_REFERENCES = "Content referencing is only allowed for changeset at once"


class Part(msgspec.Struct, frozen=True):
    """One write of a change set: its path below the service, header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Answer(msgspec.Struct, frozen=True):
    """What a write is answered with, or a change set that was refused."""

    status: int
    headers: dict[str, str]
    body: bytes


def parse_batch(content_type: str, body: bytes) -> list[list[Part]]:
    """The writes of each change set, in their order.

    Raises: Refused 400 for anything that is not made as the protocol says.
    """
    return [_change_set(part) for part in _parts(content_type, body)]


def _change_set(part: bytes) -> list[Part]:
    headers, content = _split(part)
    return [_write(inner) for inner in _parts(headers.get("content-type", ""), content)]


def _write(part: bytes) -> Part:
    headers, content = _split(part)
    if headers.get("content-type") != "application/http":
        _refuse(f"a part of a change set is {headers.get('content-type')}, not application/http")
    if headers.get("content-transfer-encoding") != "binary":
        _refuse("a part of a change set does not say Content-Transfer-Encoding: binary")
    if "content-id" in headers:
        raise Refused(400, "ZSANDBOX/CONTENT_ID", NO_REFERENCES)
    line, _, rest = content.partition(b"\r\n")
    asked = REQUEST.fullmatch(line.decode("latin-1"))
    if asked is None:
        _refuse("a part of a change set does not begin with a request line")
    method, path = asked[1], asked[2]
    if method not in WRITES:
        _refuse(f"{method} is not allowed inside a change set")
    if path.startswith("/") or "://" in path:
        _refuse(f"the address {path} is not relative to the service")
    own, body = _split(rest)
    if own.get("content-length", str(len(body))) != str(len(body)):
        _refuse(f"{method} {path} has {len(body)} bytes, not {own['content-length']}")
    return Part(method, path, own, body)


def _parts(content_type: str, body: bytes) -> list[bytes]:
    stated = MULTIPART.fullmatch(content_type)
    if stated is None:
        _refuse(f"{content_type or 'nothing'} is stated where multipart/mixed is wanted")
    before, *parts = (b"\r\n" + body).split(b"\r\n--" + stated[1].encode())
    if before or len(parts) < 2 or parts[-1] not in (b"--", b"--\r\n"):
        _refuse(f"the parts are not set apart by {stated[1]}")
    if not all(part.startswith(b"\r\n") for part in parts[:-1]):
        _refuse(f"a line of the boundary {stated[1]} does not end there")
    return [part.removeprefix(b"\r\n") for part in parts[:-1]]


def _split(part: bytes) -> tuple[dict[str, str], bytes]:
    """Headers, and what follows their empty line."""
    head, empty_line, content = part.partition(b"\r\n\r\n")
    if not empty_line:
        _refuse("headers do not end with an empty line")
    headers: dict[str, str] = {}
    for line in head.decode("latin-1").split("\r\n"):
        header = HEADER.fullmatch(line)
        if header is None:
            _refuse(f"{line[:60]!r} is no header")
        headers[header[1].lower()] = header[2]
    return headers, content


def _refuse(why: str) -> NoReturn:
    raise Refused(400, "ZSANDBOX/BATCH", f"Malformed batch request: {why}")


def compose(change_sets: Sequence[Sequence[Answer] | Answer]) -> tuple[str, bytes]:
    """Content type and body: of each change set the answers to its writes, or the one to a set that
    was refused. Spelled as the gateway does."""
    digest = hashlib.sha256(msgspec.json.encode(change_sets)).hexdigest()[:32].upper()
    outer, inner = f"{digest}0", f"{digest}1"
    parts = [
        _http(one) if isinstance(one, Answer) else _in_parts(inner, one) for one in change_sets
    ]
    return _multipart_type(outer), _multipart(outer, parts)


def _in_parts(boundary: str, answers: Sequence[Answer]) -> bytes:
    content = _multipart(boundary, [_http(answer) for answer in answers])
    head = f"Content-Type: {_multipart_type(boundary)}\r\nContent-Length: {len(content):9}\r\n\r\n"
    return head.encode() + content


def _http(answer: Answer) -> bytes:
    head = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    head += [f"{name}: {value}" for name, value in answer.headers.items()]
    head += [f"Content-Length: {len(answer.body)}", "", ""]
    content = "\r\n".join(head).encode() + answer.body
    about = [
        "Content-Type: application/http",
        f"Content-Length: {len(content)}",
        "content-transfer-encoding: binary",
        "",
        "",
    ]
    return "\r\n".join(about).encode() + content


def _multipart_type(boundary: str) -> str:
    return f"multipart/mixed; boundary={boundary}"


def _multipart(boundary: str, parts: Sequence[bytes]) -> bytes:
    line = f"--{boundary}\r\n".encode()
    return b"".join(line + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()
