"""Foreign messages of the log as files in a new folder, masked or as they are."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import msgspec
from msgspec.structs import replace

from broker.intake import Recognise
from broker.reading import Reader
from broker.store import Database, Position
from broker.store import selections as rows
from broker.store.selections import Extent, Logged, Selection
from broker.store.views import snapshot
from canonical.errors import Failure, InvalidMessage
from canonical.events import SOURCE
from canonical.handler import Delivery, Package, content_of
from canonical.masking import KEY_BYTES, Masker
from handlers import MASKED, RECOGNISED
from handlers.systems.table.native import Csv
from ops.configuration import Configuration
from ops.export_folder import (
    ABOUT,
    Export,
    Exported,
    NotExported,
    about,
    move,
    new_folder,
    write,
    writing,
)
from ops.mapping.sample import HEADERS, headers_text
from ops.masking.documents import Document, Masking, document_of, other_members
from ops.masking.names import Fields, column_rules
from ops.tables import form_of

# Bodies that are in memory at a time.
_SLICE = 20
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class _Staged(msgspec.Struct, frozen=True):
    """A file that is written but for its last pass, without its content.

    was_read: whether its driver could read it as it came.
    """

    about: Exported
    document: Document
    masking: Masking
    delivery: Delivery
    was_read: bool


class Exporter:
    """One export; with masked, under a key of its own."""

    def __init__(
        self,
        database: Database,
        *,
        reader: Reader,
        recognise: Recognise,
        configuration: Configuration,
        masked: bool,
        with_numbers: bool,
    ) -> None:
        """with_numbers: numbers of items, documents and partners are masked too."""
        self._database = database
        self._reader = reader
        self._recognise = recognise
        self._configuration = configuration
        self._masked = masked
        self._with_numbers = with_numbers
        # Never written anywhere: with it replacements could be tried out.
        self._masker = Masker(os.urandom(KEY_BYTES))
        self._known: dict[str, tuple[Masking, Csv | None]] = {}
        self._names: Counter[str] = Counter()
        self._staged: list[_Staged] = []
        self._files: list[Exported] = []
        self._not_exported: list[NotExported] = []

    async def export(
        self, selection: Selection, folder: Path, *, at_most: int, selected: str
    ) -> Export:
        """The oldest of the selected foreign messages are files in the folder, which is new; there
        is none where no message became one.

        selected: the selection for people.
        Raises: Rejected if there is something in the folder already; Misconfigured if it cannot be
            written.
        """
        async with snapshot(self._database) as tx:
            extent = await rows.extent(tx, selection)
        with new_folder(folder) as part:
            has_more = await self._stage_all(selection, extent, part, folder, at_most)
            for staged in self._staged:
                self._finish(part / staged.about.file, staged, folder)
            done = Export(
                folder=str(folder),
                masked=self._masked,
                with_numbers=self._with_numbers,
                selected=extent.messages,
                own=sum(g.messages for g in extent.groups if g.source == SOURCE),
                has_more=has_more,
                files=tuple(self._files),
                not_exported=tuple(self._not_exported),
            )
            if done.files:
                text = about(done, selected, datetime.now(UTC))
                write(part / ABOUT, text.encode(), folder)
                move(part, folder)
        return done

    async def _stage_all(
        self, selection: Selection, extent: Extent, part: Path, folder: Path, at_most: int
    ) -> bool:
        """All are written, in their first pass; whether there are more than `at_most`."""
        taken = 0
        async for message in self._foreign(selection, extent):
            if taken == at_most:
                return True
            taken += 1
            try:
                staged = await self._stage(message)
            except InvalidMessage as failure:
                self._refuse(message.position.at, message.delivery.source, message.type, failure)
                continue
            write(part / staged.about.file, staged.document.body, folder)
            self._staged.append(replace(staged, document=replace(staged.document, body=b"")))
        return False

    async def _foreign(self, selection: Selection, extent: Extent) -> AsyncIterator[Logged]:
        if extent.span is None:
            return
        cursor, end = Position(extent.span[0], -1), Position(extent.span[1], rows.LAST)
        while cursor != end:
            async with snapshot(self._database) as tx:
                found = await rows.next_slice(tx, selection, after=cursor, end=end, limit=_SLICE)
            cursor = found.cursor
            for message in found.messages:
                if message.direction == "in" and message.delivery.source != SOURCE:
                    yield message

    async def _stage(self, message: Logged) -> _Staged:
        delivery = await self._reader.whole(message.delivery)
        masking, csv = self._masking(message.type)
        document = document_of(content_of(delivery).read(), csv)
        was_read = self._masked and self._is_read(delivery)
        left_out = 0
        if self._masked:
            left_out = other_members(document)
            document = masking.masked(document)
            delivery = self._with_subject_masked(delivery)
        return _Staged(
            about=Exported(
                file=self._name(message, document.form),
                logged_at=message.position.at,
                source=message.delivery.source,
                type=message.type,
                kind=delivery.kind,
                content_type="" if delivery.package else delivery.content_type,
                time=delivery.attributes.get("time", ""),
                subject=delivery.attributes.get("subject", ""),
                left_out=left_out,
            ),
            document=document,
            masking=masking,
            # The content is in the document.
            delivery=_carrying(delivery, b""),
            was_read=was_read,
        )

    def _finish(self, file: Path, staged: _Staged, folder: Path) -> None:
        """The file is what it is to be, or it is none: what its driver could read it still can."""
        if self._masked:
            try:
                write(file, self._swept(file, staged, folder), folder)
            except InvalidMessage as failure:
                with writing(folder):
                    file.unlink()
                found = staged.about
                self._refuse(found.logged_at, found.source, found.type, failure)
                return
        if headers := _headers(staged):
            beside = file.with_name(file.stem + HEADERS)
            write(beside, headers_text(headers).encode(), folder)
        self._files.append(staged.about)

    def _swept(self, file: Path, staged: _Staged, folder: Path) -> bytes:
        """The content after its last pass. Raises: InvalidMessage if its driver is at a loss."""
        with writing(folder):
            document = replace(staged.document, body=file.read_bytes())
        body = staged.masking.swept(document).body
        if staged.was_read and not self._is_read(_carrying(staged.delivery, body)):
            raise InvalidMessage(
                "masked-unreadable",
                "Masked, its driver could not read it any more",
                where="content",
                remedy="Export it as it is, if those who get it may see it",
            )
        return body

    def _masking(self, message_type: str) -> tuple[Masking, Csv | None]:
        """How messages of that type are masked, and how they are written if a table takes them."""
        if message_type not in self._known:
            form, filled = form_of(self._configuration, message_type)
            rules = {**MASKED, **column_rules(MASKED, filled)}
            masking = Masking(self._masker, Fields(rules), self._with_numbers)
            self._known[message_type] = masking, form
        return self._known[message_type]

    def _is_read(self, delivery: Delivery) -> bool:
        try:
            self._recognise(delivery).read(delivery)
        except Exception:  # a driver's bug is no reading either, and is told of where it is live
            return False
        return True

    def _with_subject_masked(self, delivery: Delivery) -> Delivery:
        kind, slash, number = delivery.attributes.get("subject", "").partition("/")
        if not self._with_numbers or not slash:
            return delivery
        subject = f"{kind}/{self._masker.text(number)}"
        return replace(delivery, attributes={**delivery.attributes, "subject": subject})

    def _name(self, message: Logged, ending: str) -> str:
        source = _UNSAFE.sub("-", message.delivery.source)[:60]
        stem = f"{source}-{message.position.at:%Y%m%dT%H%M%SZ}"
        self._names[stem] += 1
        return f"{stem}-{self._names[stem]:02}.{ending}"

    def _refuse(self, at: datetime, source: str, message_type: str, failure: Failure) -> None:
        why = f"{failure.code}: {failure.what}"
        self._not_exported.append(NotExported(at, source, message_type, why))


def _headers(staged: _Staged) -> dict[str, str]:
    """What `layshaft map` has to be told of a message that its content does not tell."""
    if staged.about.type in RECOGNISED:
        return {}
    about = staged.about
    # Whatever the id was made of, in the file it only has to be one.
    told = {"id": Path(about.file).stem, "subject": about.subject, "time": about.time}
    return {"type": about.type, **{name: text for name, text in told.items() if text}}


def _carrying(delivery: Delivery, body: bytes) -> Delivery:
    """The same delivery with other content, by reference if it came so."""
    if delivery.package is None:
        return replace(delivery, body=body)
    package = Package(len(body), sha256(body).digest(), lambda: BytesIO(body))
    return replace(delivery, package=package)
