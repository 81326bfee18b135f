"""A message masked: told by its content what it is, rewritten in two passes.

First each field by what it holds. Then, when all messages of an export are through, whatever was
replaced somewhere is looked for in the texts of all of them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from io import BytesIO
from typing import Literal

import msgspec

from canonical.errors import InvalidMessage
from canonical.masking import Masker
from handlers.systems.archive import MAGIC, open_member
from handlers.systems.pdx.inbound import MEMBER
from handlers.systems.table.native import Csv
from ops.masking.names import Fields
from ops.masking.rewriting import (
    MAX_BYTES,
    Leaf,
    Replace,
    rewritten_csv,
    rewritten_json,
    rewritten_xml,
)

Form = Literal["xml", "json", "csv", "pdx", "bin"]

_XML_STARTS = (b"<", b"\xef\xbb\xbf<", b"\xff\xfe<\0", b"\xfe\xff\0<")
# Archives keep local times; the one they begin with says nothing.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


class Document(msgspec.Struct, frozen=True):
    """A message's content and what it is; csv: of files with rows, how they are written."""

    body: bytes
    form: Form
    csv: Csv | None = None


class Masking(msgspec.Struct, frozen=True):
    """How messages of one export are masked."""

    masker: Masker
    fields: Fields
    with_numbers: bool = False

    def masked(self, document: Document) -> Document:
        """The document with each field replaced that is nobody else's business.

        Of an archive only its XML is left.
        Raises: InvalidMessage for content that cannot be read, or of which nobody knows what it is.
        """
        return _rewritten(document, self._masked)

    def swept(self, document: Document) -> Document:
        """A masked document without what was replaced in other fields and messages."""
        return _rewritten(document, self._swept)

    def _masked(self, leaf: Leaf) -> str:
        match self.fields.kind(leaf.path, leaf.label) if leaf.path else None:
            case "text":
                return self._number(leaf)
            case "amount":
                return self.masker.amount(leaf.value)
            case "number" if self.with_numbers:
                return self._number(leaf)
            case "label":
                return leaf.value
            case _:
                return self.masker.free(leaf.value)

    def _number(self, leaf: Leaf) -> str:
        """A number of JSON with decimals stays one."""
        if leaf.is_number and not leaf.value.isdigit():
            return self.masker.amount(leaf.value)
        return self.masker.text(leaf.value)

    def _swept(self, leaf: Leaf) -> str:
        kind = self.fields.kind(leaf.path, leaf.label) if leaf.path else None
        # What is replaced already could be taken for something else; codes are no texts.
        is_text = kind is None or (kind == "number" and not self.with_numbers)
        if not is_text or leaf.is_number or leaf.is_name:
            return leaf.value
        return self.masker.swept(leaf.value)


def document_of(body: bytes, csv: Csv | None) -> Document:
    """What the content is, by how it begins; csv: how it is written if a table takes it."""
    start = body[:64].lstrip()
    if csv is not None:
        return Document(body, "csv", csv)
    if start.startswith(MAGIC):
        return Document(body, "pdx" if _has_member(body) else "bin")
    if start.startswith(_XML_STARTS):
        return Document(body, "xml")
    return Document(body, "json" if start.startswith((b"{", b"[", b"\xef\xbb\xbf{")) else "bin")


def other_members(document: Document) -> int:
    """How many files of an archive are left out where it is masked."""
    if document.form != "pdx":
        return 0
    with zipfile.ZipFile(BytesIO(document.body)) as archive:
        return len(archive.namelist()) - 1


def _has_member(body: bytes) -> bool:
    try:
        with open_member(BytesIO(body), MEMBER, limit_bytes=1):
            return True
    except InvalidMessage:
        return False


def _rewritten(document: Document, replace: Replace) -> Document:
    body, csv = document.body, document.csv
    if len(body) > MAX_BYTES:
        raise _not_masked("too-large", f"It has {len(body)} bytes; {MAX_BYTES} are masked at most")
    rewrite: dict[Form, Callable[[], bytes]] = {
        "xml": lambda: rewritten_xml(body, replace),
        "json": lambda: rewritten_json(body, replace),
        "pdx": lambda: _rewritten_archive(body, replace),
    }
    if document.form == "csv" and csv is not None:
        return msgspec.structs.replace(document, body=rewritten_csv(body, csv, replace))
    if document.form not in rewrite:
        raise _not_masked("content-unknown", "Nobody knows what is in it, so nothing is masked")
    return msgspec.structs.replace(document, body=rewrite[document.form]())


def _rewritten_archive(body: bytes, replace: Replace) -> bytes:
    pieces: list[bytes] = []
    with open_member(BytesIO(body), MEMBER, limit_bytes=MAX_BYTES) as member:
        while piece := member.read(MAX_BYTES):
            pieces.append(piece)
    target = BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo(MEMBER, _NO_TIME)
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, rewritten_xml(b"".join(pieces), replace))
    return target.getvalue()


def _not_masked(code: str, what: str) -> InvalidMessage:
    return InvalidMessage(
        code, what, where="content", remedy="Export it as it is, if those who get it may see it"
    )
