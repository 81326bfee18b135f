"""Reading one member out of a ZIP archive that a stranger packed."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from canonical.errors import InvalidMessage

MAGIC = b"PK\x03\x04"
MAX_MEMBERS = 2_000

_MEMBER_HEADER = b"PK\x01\x02"
_KNOWN_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1


def read_member(body: bytes, name: str, *, limit_bytes: int) -> bytes:
    """The content of the member called `name` (case does not matter) in the archive's root.

    No other member is unpacked, so their names and sizes can do no harm.
    Raises: InvalidMessage for a broken archive, a missing or doubled member, encryption, methods
        other than deflate, a wrong checksum, and content beyond `limit_bytes`.
    """
    # Counted in the bytes, since opening an archive already builds an object for every member.
    if (members := body.count(_MEMBER_HEADER)) > MAX_MEMBERS:
        raise InvalidMessage(
            "archive-too-large",
            f"The archive has {members} members; at most {MAX_MEMBERS} are taken",
            where=name,
            remedy="Send fewer attachments in one package",
        )
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            return _unpack(archive, _only_member(archive, name), limit_bytes)
    # zipfile lets through whatever its parts raise about bytes that are no archive.
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        LookupError,
        OverflowError,
        OSError,
    ) as error:
        raise InvalidMessage(
            "archive-broken",
            "The archive cannot be unpacked",
            where=name,
            remedy="Check that it was sent complete, unencrypted and packed with deflate",
        ) from error


def _only_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    found = [
        member for member in archive.infolist() if member.filename.casefold() == name.casefold()
    ]
    if len(found) != 1:
        raise InvalidMessage(
            "archive-member",
            f"The archive has {len(found)} members called {name}; exactly 1 is needed",
            where=name,
            remedy=f"Pack one {name} at the top of the archive",
        )
    return found[0]


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit_bytes: int) -> bytes:
    # bzip2 and LZMA are refused: their decoders ask for memory before the size is known.
    if member.compress_type not in _KNOWN_METHODS or member.flag_bits & _ENCRYPTED:
        raise zipfile.BadZipFile(f"method {member.compress_type}")
    with archive.open(member) as stream:
        # The size that the archive states is the sender's word; the stream is what counts.
        content = stream.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise InvalidMessage(
            "archive-too-large",
            f"{member.filename} unpacks to more than {limit_bytes} bytes",
            where=member.filename,
            remedy="Send the package in parts",
        )
    return content
