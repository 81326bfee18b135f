"""The Claim Check: content too large for a message stands elsewhere, and the message says where.

A package is put once and referred to by a small JSON message with its size and digest. An event
of ours that is large stands in the log already; the CloudEvents attribute `dataref` names its
place there.
"""

from __future__ import annotations

import re
from typing import NoReturn

import msgspec

from canonical.errors import InvalidMessage

# Content type of a message that refers to a package.
PACKAGE_TYPE = "application/vnd.layshaft.package+json"
# What the CloudEvents attribute `dataref` of an event of ours begins with; then `<time>/<number>`.
LOG_REFERENCE = "log/"

MAX_PACKAGE_BYTES = 256 * 1024 * 1024
# What is larger travels as a reference between our own parts.
MAX_INLINE_BYTES = 64 * 1024
# An event of ours: a BOM of 100,000 lines with all their designators stays below this.
MAX_EVENT_BYTES = 64 * 1024 * 1024

_REFERENCE = re.compile(r"package/([1-9][0-9]{0,17})", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MAX_REFERENCE_BYTES = 4096


class PackageReference(msgspec.Struct, frozen=True):
    """What a message says of the package it stands for.

    reference: `package/<number>` as `layshaft package put` gave it. bytes, sha256: of the content;
    a package that is not exactly this is refused.
    """

    reference: str
    bytes: int
    sha256: str

    @property
    def id(self) -> int:
        """Number of the package."""
        return package_number(self.reference)


def package_number(reference: str) -> int:
    """The number in `package/<number>`. Raises: InvalidMessage."""
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        _malformed(f"{_shown(reference)!r} is not of the form package/<number>")
    return int(found[1])


def is_reference(content_type: str) -> bool:
    """Whether a message of that content type refers to a package."""
    return content_type.partition(";")[0].strip().lower() == PACKAGE_TYPE


def read_reference(body: bytes) -> PackageReference:
    """The reference that a message holds. Raises: InvalidMessage for anything else."""
    if len(body) > _MAX_REFERENCE_BYTES:
        _malformed(f"It has {len(body)} bytes")
    try:
        found = msgspec.json.decode(body, type=PackageReference)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError) as error:
        raise _failure(_shown(str(error))) from error
    package_number(found.reference)
    if _DIGEST.fullmatch(found.sha256) is None:
        _malformed("sha256 is not 64 lower-case hexadecimal digits")
    if not 0 < found.bytes <= MAX_PACKAGE_BYTES:
        _malformed(f"bytes is {found.bytes}; packages have 1 to {MAX_PACKAGE_BYTES}")
    return found


def _malformed(what: str) -> NoReturn:
    raise _failure(what)


def _failure(what: str) -> InvalidMessage:
    return InvalidMessage(
        "package-reference",
        f"The reference to a package cannot be read: {what}",
        where="body",
        remedy="Send reference, bytes and sha256 as `layshaft package put` prints them",
    )


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:100]
