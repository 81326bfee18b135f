"""PDX packages into canonical items, BOMs and released engineering changes.

The order of the effects says nothing about the order of work: a package may list an assembly
before its components, and the planner sorts that out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import chain

from canonical.bom import Bom, BomLine, Substitute, bom_key
from canonical.change import (
    AffectedItem,
    ChangeStatus,
    Disposition,
    EngineeringChange,
    change_key,
)
from canonical.codec import check_size
from canonical.designators import Ranges, with_single_names
from canonical.effectivity import OPEN_END, DateEffectivity
from canonical.effects import Effect, Emit
from canonical.envelope import Deviation, Envelope, Message, first_ones
from canonical.errors import InvalidMessage, Rejected
from canonical.events import ChangeStanding
from canonical.facts import Facts
from canonical.handler import Delivery, Form, Handler, content_of
from canonical.item import (
    ApprovedManufacturer,
    Classification,
    ComplianceMark,
    Item,
    ItemDocument,
    Lifecycle,
    Procurement,
    item_key,
)
from canonical.manners import of_time
from canonical.own_words import OwnWords
from canonical.quantity import Quantity, parse_decimal
from canonical.revision import Revision, parse_revision
from canonical.text import normalise_id, normalise_text, received_id
from canonical.units import EACH, to_rec20
from handlers.systems.archive import MAGIC, open_member
from handlers.systems.changes import state_change
from handlers.systems.pdx.native import (
    ROOT,
    Attachment,
    BomItem,
    Change,
    ChangedItem,
    Coded,
    ManufacturerItem,
    Package,
    PackageItem,
    StatedUnit,
    read_package,
)
from handlers.systems.pdx.words import (
    APPROVAL,
    CATEGORY_SCHEME,
    CHANGE_STATUS,
    COMPLIANCE,
    DISPOSITION,
    LIFECYCLE,
    PREFERENCE,
    PROCUREMENT,
    PRODUCT_KIND,
    RELEASED,
    SCHEME,
)
from handlers.systems.timestamps import microseconds, parse_timestamp
from handlers.systems.xml_document import Limits, Source

# What the XML of a package may have, sent in a message and by reference. Attachments travel along
# but are not unpacked.
IN_MESSAGE = Limits(bytes=16 * 1024 * 1024, elements=200_000)
IN_PACKAGE = Limits(bytes=256 * 1024 * 1024, elements=2_000_000)
MEMBER = "pdx.xml"
TYPE = "pdx.package"

_HEAD_BYTES = 64 * 1024
_ROOT_NAMES = tuple(ROOT.encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-16-be"))
_LIST_SEPARATORS = re.compile(r"[,;|]")
_SIZE = re.compile(r"[0-9]{1,18}", re.ASCII)


def recognises(delivery: Delivery) -> bool:
    """Whether the content looks like a package: a ZIP archive, or XML that names the root."""
    head = content_of(delivery).read(_HEAD_BYTES)
    return head.startswith(MAGIC) or any(name in head for name in _ROOT_NAMES)


class _Document:
    """The XML document of a delivery, which may be opened more than once.

    sha256: of what was read since it was opened last.
    """

    def __init__(self, delivery: Delivery, limits: Limits) -> None:
        self._delivery = delivery
        self.limits = limits
        self.sha256 = hashlib.sha256()

    @contextmanager
    def opened(self) -> Iterator[Source]:
        self.sha256 = hashlib.sha256()
        file = content_of(self._delivery)
        is_archive = file.read(len(MAGIC)) == MAGIC
        file.seek(0)
        if is_archive:
            with open_member(file, MEMBER, limit_bytes=self.limits.bytes) as member:
                yield _Digesting(member, self.sha256)
        else:
            yield _Digesting(file, self.sha256)


class _Digesting:
    """A source that takes note of what was read from it."""

    def __init__(self, source: Source, digest: hashlib._Hash) -> None:
        self._source = source
        self._digest = digest

    def read(self, size: int, /) -> bytes:
        piece = self._source.read(size)
        self._digest.update(piece)
        return piece


def read(delivery: Delivery) -> Message[Package]:
    """The package with its identity; what it says is not judged yet.

    Identity: document identifier and time of generation; where the package lacks one of them, the
    digest of its content. Units and statuses that had to be assumed are among the deviations.
    Raises: InvalidMessage for content that is no package.
    """
    if delivery.package is None:
        check_size(delivery.body, where="package")
    document = _Document(delivery, IN_PACKAGE if delivery.package else IN_MESSAGE)
    package = read_package(document.opened, document.limits)
    if not (package.items or package.changes):
        raise InvalidMessage(
            "package-empty",
            "The package has neither items nor changes",
            where=ROOT,
            remedy="Export it with its items",
        )
    generated = _time(package.generated, "thisDocumentGenerationDateTime")
    identity = f"sha256:{document.sha256.hexdigest()}"
    if package.identifier and generated:
        identifier = normalise_id(package.identifier, where="thisDocumentIdentifier")
        identity = f"{identifier}@{generated.isoformat()}"
    product = normalise_id(package.product or identity, where="top-level item")
    envelope = Envelope(
        id=identity,
        source=delivery.source,
        type=TYPE,
        key=f"product-definition/{product}",
        time=generated,
        content_type=delivery.content_type or "application/xml",
        correlation_id=delivery.attributes.get("correlationid", ""),
        traceparent=delivery.attributes.get("traceparent", ""),
    )
    deviations = chain(package.deviations, _odd_times(package), _assumptions(package))
    return Message(envelope, package, package.ignored, first_ones(deviations))


def needs(message: Message[Package], facts: Facts) -> frozenset[str]:
    """The changes of the package as they are known."""
    return frozenset(
        change_key(normalise_id(change.number, where="changeNumber"))
        for change in message.payload.changes
    )


def decide(message: Message[Package], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    """The items of the package, then its BOMs, as events; then its released changes, on record and
    as events.

    Raises: InvalidMessage for values that no table or scheme knows, naming item and line;
        Rejected for a change whose items become effective at different times.
    """
    package = message.payload
    own = facts.rules.words_of(message.envelope.source)
    index = _Index(package, message.envelope.time, own)
    return tuple(effect for say in KINDS.values() for effect in say(package, index, facts))


class _Index:
    """What has to be known of the whole package to read one item of it.

    stated_at: time of generation. ranges: of reference designators. own: words that its source has
    of its own. In which unit an item is counted: what the item says; else the unit of the lines
    that use it, which must agree; else pieces, which `_assumptions` records. A line without a unit
    is in its component's.
    """

    def __init__(self, package: Package, stated_at: datetime | None, own: OwnWords) -> None:
        self.stated_at = stated_at
        self.own = own
        self.ranges = Ranges()
        self._families = {item.number: item.family or item.category for item in package.items}
        self._stated = {item.number: item.unit for item in package.items if item.unit}
        self._used: dict[str, set[str]] = {}
        self._uses: dict[str, set[str]] = {}
        for item in package.items:
            for line in item.lines:
                self._uses.setdefault(line.component, set()).add(line.kind.word)
                if line.unit and line.component not in self._stated:
                    code = _code(line.unit, own, _line(item, line))
                    self._used.setdefault(line.component, set()).add(code)

    def is_phantom(self, number: str) -> bool:
        """Whether every assembly that uses the item builds through it."""
        return self._uses.get(number) == {"phantomsubassembly"}

    def common_family(self, numbers: Iterable[str]) -> str:
        """The family those of the items share that the package has; "" where they do not."""
        families = {self._families[number] for number in numbers if number in self._families}
        return families.pop() if len(families) == 1 else ""

    def item_unit(self, number: str) -> str:
        """Rec 20 code of the item's base unit."""
        stated = self._stated.get(number)
        if stated:
            return _code(stated, self.own, _item_path(number))
        used = self._used.get(number, {EACH})
        if len(used) > 1:
            raise InvalidMessage(
                "unit-ambiguous",
                f"The item has no unit of its own and is used in {', '.join(sorted(used))}",
                where=_item_path(number),
                remedy="State the item's unit of measure at the source",
            )
        return next(iter(used))

    def line_unit(self, item: PackageItem, line: BomItem) -> str:
        """Rec 20 code in which the line states its quantity."""
        if line.unit:
            return _code(line.unit, self.own, _line(item, line))
        return self.item_unit(line.component)


def _odd_times(package: Package) -> Iterator[Deviation]:
    """Times that are written otherwise than they should be."""
    stated = [("thisDocumentGenerationDateTime", package.generated)]
    for item in package.items:
        where = _item_path(item.number)
        stated.append((f"{where} revisionReleasedDate", item.released))
        stated += ((f"{where} attachmentModificationDate", f.modified) for f in item.attachments)
    for change in package.changes:
        where = change_key(_printable(change.number))
        stated.append((f"{where} changeStatusDate", change.status_date))
        for row in change.affected:
            affected = f"{where} {_item_path(row.number)}"
            stated.append((f"{affected} effectiveDate", row.effective))
            stated.append((f"{affected} obsoleteDate", row.obsolete))
    for where, text in stated:
        if what := of_time(text):
            yield Deviation(where, what)


def _assumptions(package: Package) -> Iterator[Deviation]:
    """What the translation has to assume where the package is silent or has words of its own."""
    in_lines = {line.component for item in package.items for line in item.lines if line.unit}
    accounted = in_lines | {item.number for item in package.items}
    for item in package.items:
        where = _item_path(item.number)
        if not item.unit and item.number not in in_lines:
            yield Deviation(where, "No unit is stated, neither here nor where it is used: each")
        for line in item.lines:
            if not line.unit and line.component not in accounted:
                yield Deviation(_line(item, line), "No unit is stated for the component: each")
        for entry in item.manufacturers:
            if entry.status.word not in APPROVAL:
                yield Deviation(
                    f"{where} manufacturer part {_printable(entry.part)}",
                    f"The status {entry.status.word[:40]!r} is in no table: conditional",
                )
        for file in item.attachments:
            at = f"{where} attachment {_printable(file.location)}"
            if file.size and not _SIZE.fullmatch(file.size):
                yield Deviation(at, f"The size {file.size[:40]!r} is no number: left out")
            if file.modified and _modified_at(file) is None:
                yield Deviation(at, f"The time {file.modified[:40]!r} is none: left out")


def _say_items(package: Package, index: _Index, facts: Facts) -> Iterator[Effect]:
    for each in package.items:
        item = _to_item(each, index)
        yield Emit("item.released", item_key(item.number), item)


def _say_boms(package: Package, index: _Index, facts: Facts) -> Iterator[Effect]:
    for each in package.items:
        if each.lines:
            bom = _to_bom(each, index)
            yield Emit("bom.released", bom_key(bom.parent), bom)


def _say_changes(package: Package, index: _Index, facts: Facts) -> Iterator[Effect]:
    for each in package.changes:
        standing = _standing(each, index)
        whole = partial(_to_change, each, standing, index)
        yield from state_change(standing, whole, RELEASED, facts)


# Element -> what is said of it, in this order.
KINDS: dict[str, Callable[[Package, _Index, Facts], Iterator[Effect]]] = {
    "Item": _say_items,
    "BillOfMaterial": _say_boms,
    "Change": _say_changes,
}


def _to_item(item: PackageItem, index: _Index) -> Item:
    where = _item_path(item.number)
    revision = _revision(item.revision, where)
    category = normalise_text(item.category, where=where)
    return Item(
        number=normalise_id(item.number, where=where),
        revision=revision,
        lifecycle=_lifecycle(item.phase, index.own, where),
        description=normalise_text(item.description, where=where),
        kind=PRODUCT_KIND.get(item.product_type, "assembly" if item.lines else "part"),
        procurement=_procurement(item, index),
        base_unit=index.item_unit(item.number),
        family=normalise_text(item.family or item.category, where=where),
        category=category,
        phase=normalise_text(item.phase.other or item.phase.code, where=where),
        compliance=tuple(
            ComplianceMark(COMPLIANCE[mark.name], normalise_text(mark.value, where=where))
            for mark in item.compliance
        ),
        manufacturers=tuple(_to_manufacturer(entry, where) for entry in item.manufacturers),
        documents=tuple(_to_document(file, where) for file in item.attachments),
        released_at=_time(item.released, f"{where} revisionReleasedDate"),
        stated_at=index.stated_at,
        change=revision.change or "",
        source_id=received_id(item.source_id, where=where) if item.source_id else "",
        classes=(Classification(CATEGORY_SCHEME, category),) if category else (),
    )


def _to_manufacturer(entry: ManufacturerItem, where: str) -> ApprovedManufacturer:
    where = f"{where} manufacturer part {_printable(entry.part)}"
    status = APPROVAL.get(entry.status.word)
    stated = normalise_text(entry.status.other or entry.status.code, where=where)
    note = normalise_text(entry.notes, where=where)
    if status is None:
        note = f"Status at the source: {stated or 'none'}. {note}".rstrip()
    return ApprovedManufacturer(
        manufacturer=normalise_id(entry.manufacturer, where=where),
        part=normalise_id(entry.part, where=where),
        # Nobody is stopped by an unknown word and nobody relies on it.
        status=status or "conditional",
        rank=PREFERENCE.get(entry.preference.casefold()),
        note=note,
    )


def _to_document(file: Attachment, where: str) -> ItemDocument:
    """The document; a size or a time that is none is left out, and among the deviations."""
    where = f"{where} attachment {_printable(file.location)}"
    return ItemDocument(
        number=normalise_id(file.identifier or file.location, where=where),
        revision=normalise_text(file.version, where=where),
        title=normalise_text(file.title, where=where),
        location=normalise_text(file.location, where=where),
        media_type=normalise_text(file.media_type, where=where),
        size=int(file.size) if _SIZE.fullmatch(file.size) else None,
        modified_at=_modified_at(file),
    )


def _modified_at(file: Attachment) -> datetime | None:
    try:
        return _time(file.modified, "attachmentModificationDate")
    except InvalidMessage:
        return None


def _to_bom(item: PackageItem, index: _Index) -> Bom:
    where = _item_path(item.number)
    revision = _revision(item.revision, where)
    stated = item.base_unit
    base_unit = _code(stated, index.own, where) if stated else index.item_unit(item.number)
    bom = Bom(
        parent=normalise_id(item.number, where=where),
        revision=revision.label,
        base=Quantity(parse_decimal(item.base_quantity or "1", where=where), base_unit),
        lines=tuple(_to_line(item, line, index) for line in item.lines),
        change=revision.change or "",
        released_at=_time(item.released, f"{where} revisionReleasedDate"),
        stated_at=index.stated_at,
    )
    return with_single_names(bom, index.ranges)


def _to_line(item: PackageItem, line: BomItem, index: _Index) -> BomLine:
    where = _line(item, line)
    _refuse_serials(line, where)
    return BomLine(
        position=normalise_text(line.position, where=where),
        component=normalise_id(line.component, where=where),
        quantity=Quantity(_line_amount(line, where), index.line_unit(item, line)),
        component_revision=_revision(line.revision, where).label if line.revision else "",
        reference_designators=tuple(normalise_text(d, where=where) for d in line.designators),
        substitutes=tuple(normalise_id(one.item, where=where) for one in line.substitutes),
        substitutions=tuple(_ranked(line, where)),
        fixed=line.quantity_kind.word == "persetup",
        note=normalise_text(line.notes, where=where),
    )


def _refuse_serials(line: BomItem, where: str) -> None:
    """The standard has serial numbers in a line and does not say what for: taken without them, a
    line that is for some units only would count for all."""
    if line.serials:
        first, last = (_printable(one) for one in line.serials[0])
        raise InvalidMessage(
            "line-serials",
            f"The line is for serial numbers ({first[:40] or '?'} to {last[:40] or '?'}), and a"
            " package does not say whether it is for these alone",
            where=where,
            remedy="Export the structure without serial numbers, as it is for all units",
        )


def _ranked(line: BomItem, where: str) -> Iterator[Substitute]:
    """The substitutes of which a rank is told."""
    for one in line.substitutes:
        rank = PREFERENCE.get(one.preference.casefold())
        if rank is not None:
            yield Substitute(normalise_id(one.item, where=where), rank)


def _line_amount(line: BomItem, where: str) -> Decimal:
    if not line.quantity and line.quantity_kind.word == "asneeded":
        return Decimal(0)
    if not line.quantity:
        raise InvalidMessage(
            "field-missing",
            "The line has no itemQuantity",
            where=where,
            remedy="Fill itemQuantity at the source and export again",
        )
    amount = parse_decimal(line.quantity, where=where)
    if amount < 0:
        raise InvalidMessage(
            "quantity-negative",
            f"The line's quantity is {line.quantity}",
            where=where,
            remedy="Correct the quantity at the source",
        )
    return amount


def _standing(change: Change, index: _Index) -> ChangeStanding:
    number = normalise_id(change.number, where="changeNumber")
    where = change_key(number)
    stated_at = _time(change.status_date, f"{where} changeStatusDate") or index.stated_at
    if stated_at is None:
        raise InvalidMessage(
            "field-missing",
            "The change has no changeStatusDate and the package no time of generation",
            where=where,
            remedy="Fill changeStatusDate, without which an older copy cannot be told",
        )
    return ChangeStanding(
        number,
        normalise_text(change.description, where=where),
        _change_status(change.status, where),
        stated_at=stated_at,
    )


def _to_change(change: Change, standing: ChangeStanding, index: _Index) -> EngineeringChange:
    where = change_key(standing.number)
    family = change.family or index.common_family(item.number for item in change.affected)
    return EngineeringChange(
        number=standing.number,
        version=microseconds(standing.stated_at),
        status=standing.status,
        title=standing.title,
        affected=tuple(_to_affected(item, index.own, where) for item in change.affected),
        description=normalise_text(change.reason, where=where),
        category=normalise_text(change.kind, where=where),
        urgency=normalise_text(change.urgency, where=where),
        family=normalise_text(family, where=where),
        plants=_plants(change.plants, where),
        requester=normalise_text(change.originator, where=where),
        released_at=standing.stated_at,
        effectivity=_effectivity(change, standing),
    )


def _to_affected(item: ChangedItem, own: OwnWords, where: str) -> AffectedItem:
    where = f"{where} {_item_path(item.number)}"
    return AffectedItem(
        item=normalise_id(item.number, where=where),
        new_revision=_revision(item.new_revision, where).label,
        old_revision=_revision(item.old_revision, where).label if item.old_revision else "",
        lifecycle=_lifecycle(item.phase, own, where) if item.phase.code else None,
        dispositions=tuple(
            Disposition(DISPOSITION[stock.name], normalise_text(stock.value, where=where))
            for stock in item.dispositions
        ),
        plants=_plants(item.site, where),
    )


def _effectivity(change: Change, standing: ChangeStanding) -> DateEffectivity | None:
    """From when until when all affected items are effective; None = from the release on."""
    where = change_key(standing.number)
    spans = {_span(item, standing.stated_at, where) for item in change.affected}
    if len(spans) > 1:
        raise Rejected(
            "effectivity-mixed",
            "The affected items are not all effective from the same time on, and until the same",
            where=where,
            remedy="Split the change at the source, one pair of dates each",
            owner="engineering",
        )
    start, end = spans.pop() if spans else (None, None)
    if start is None and end is None:
        return None
    return DateEffectivity(start=start or standing.stated_at, end=end, zone="UTC")


def _span(
    item: ChangedItem, released_at: datetime, where: str
) -> tuple[datetime | None, datetime | None]:
    """From when until when the new revision is effective; None = from the release on, and without
    an end, which some write as the last day there is."""
    start = _time(item.effective, f"{where} effectiveDate")
    end = _time(item.obsolete, f"{where} obsoleteDate")
    is_open = item.obsolete.startswith(OPEN_END.isoformat())
    # What is obsolete once the new revision is effective is the old one.
    if is_open or end is None or end <= (start or released_at):
        return start, None
    return start, end


def _procurement(item: PackageItem, index: _Index) -> Procurement:
    stated = PROCUREMENT.get(item.make_buy.word)
    if stated:
        return stated
    if item.product_type in PRODUCT_KIND:
        return "none"
    if index.is_phantom(item.number):
        return "phantom"
    return "make" if item.lines else "buy"


def _lifecycle(phase: Coded, own: OwnWords, where: str) -> Lifecycle:
    found = own.state(phase.word) or LIFECYCLE.get(phase.word)
    if found is None:
        raise InvalidMessage(
            "lifecycle-unmapped",
            f"The life-cycle phase {phase.word[:40]!r} is in no table",
            where=where,
            remedy="Use a phase of IPC-2571 or map the text in words of your own (rules.words)",
        )
    return found


def _change_status(status: Coded, where: str) -> ChangeStatus:
    found = CHANGE_STATUS.get(status.word)
    if found is None:
        raise InvalidMessage(
            "status-unmapped",
            f"The change status {status.word[:40]!r} is in no table",
            where=where,
            remedy="Use a status of IPC-2571 or have the text mapped",
        )
    return found


def _revision(text: str, where: str) -> Revision:
    return parse_revision(text, SCHEME, where=f"{where} revisionIdentifier")


def _code(stated: StatedUnit, own: OwnWords, where: str) -> str:
    return to_rec20(stated.names, stated.text, own.codes, where=where)


def _plants(text: str, where: str) -> tuple[str, ...]:
    names = (name.strip() for name in _LIST_SEPARATORS.split(text))
    return tuple(normalise_id(name, where=where) for name in names if name)


def _time(text: str, where: str) -> datetime | None:
    return parse_timestamp(text, where=where) if text else None


def _line(item: PackageItem, line: BomItem) -> str:
    position, component = _printable(line.position or "?"), _printable(line.component)
    return f"{_item_path(item.number)} line {position} component {component}"


def _item_path(number: str) -> str:
    return f"item/{_printable(number)}"


def _printable(text: str) -> str:
    """An id for a sentence, before it is known to be one: short, without anything invisible."""
    return "".join(char if char.isprintable() else "?" for char in text[:70])


HANDLER = Handler(
    name="pdx-package",
    scope="pdx",
    types=(TYPE,),
    kinds=tuple(KINDS),
    forms=(
        Form(
            what=f"An IPC-2571 (PDX) package: a ZIP archive with {MEMBER}",
            media_type="application/zip",
            by_reference=True,
            owners=("engineering",),
        ),
        Form(
            what=f"The XML of an IPC-2571 (PDX) package by itself, with the root {ROOT}",
            name="xml",
            media_type="application/xml",
            by_reference=True,
            owners=("engineering",),
        ),
    ),
    read=read,
    needs=needs,
    decide=decide,
)
