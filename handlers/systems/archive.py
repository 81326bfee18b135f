"""Reading one member out of a ZIP archive that a stranger packed, a piece at a time."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from canonical.errors import InvalidMessage

MAGIC = b"PK\x03\x04"
MAX_MEMBERS = 2_000

_MEMBER_HEADER = b"PK\x01\x02"
_KNOWN_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_PIECE_BYTES = 256 * 1024


class Member:
    """The unpacked content of a member as far as it has been read."""

    def __init__(self, stream: IO[bytes], name: str, limit_bytes: int) -> None:
        self._stream = stream
        self._name = name
        self._limit_bytes = limit_bytes
        self._left = limit_bytes

    def read(self, size: int) -> bytes:
        """The next piece; b"" at the end, where the checksum has been found right.

        Raises: InvalidMessage for a broken archive, a wrong checksum, content beyond the limit.
        """
        with _translated(self._name):
            piece = self._stream.read(size)
        # The size that the archive states is the sender's word; the stream is what counts.
        self._left -= len(piece)
        if self._left < 0:
            raise InvalidMessage(
                "archive-too-large",
                f"{self._name} unpacks to more than {self._limit_bytes} bytes",
                where=self._name,
                remedy="Send the package in parts",
            )
        return piece


@contextmanager
def open_member(file: IO[bytes], name: str, *, limit_bytes: int) -> Iterator[Member]:
    """The member called `name` (case does not matter) in the archive's root, ready to be read.

    No other member is unpacked, so their names and sizes can do no harm.
    Raises: InvalidMessage for a broken archive, a missing or doubled member, encryption and methods
        other than deflate.
    """
    # Counted in the bytes, since opening an archive already builds an object for every member.
    if (members := _count(file, _MEMBER_HEADER)) > MAX_MEMBERS:
        raise InvalidMessage(
            "archive-too-large",
            f"The archive has {members} members; at most {MAX_MEMBERS} are taken",
            where=name,
            remedy="Send fewer attachments in one package",
        )
    with _translated(name):
        file.seek(0)
        archive = zipfile.ZipFile(file)
    with archive:
        with _translated(name):
            stream = _opened(archive, _only_member(archive, name))
        with stream:
            yield Member(stream, name, limit_bytes)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """zipfile lets through whatever its parts raise about bytes that are no archive."""
    try:
        yield
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


def _count(file: IO[bytes], mark: bytes) -> int:
    """How often the mark stands in the file."""
    file.seek(0)
    found, rest = 0, b""
    while piece := file.read(_PIECE_BYTES):
        found += (rest + piece).count(mark)
        # Too short to hold the mark once more, long enough for one that is cut in two.
        rest = piece[-(len(mark) - 1) :]
    return found


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


def _opened(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    # bzip2 and LZMA are refused: their decoders ask for memory before the size is known.
    if member.compress_type not in _KNOWN_METHODS or member.flag_bits & _ENCRYPTED:
        raise zipfile.BadZipFile(f"method {member.compress_type}")
    return archive.open(member)
