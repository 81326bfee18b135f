"""Files of anybody into canonical events, by a table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any

import msgspec

from canonical.bom import Bom, PlantBomState
from canonical.codec import MAX_VALUES, check_size, required
from canonical.designators import Ranges, with_single_names
from canonical.effects import Effect, Emit, Open
from canonical.envelope import Deviation, Envelope, Message, first_ones
from canonical.errors import InvalidMessage, Rejected
from canonical.facts import Facts
from canonical.handler import Delivery, Form, Handler, content_of, no_needs
from canonical.members import named
from handlers.systems.table.checking import mapped_table
from handlers.systems.table.mapping import Filling, Mapped, build, judged
from handlers.systems.table.rows import MAX_BYTES, Row, Rows, beyond, read_csv, read_json, shown
from handlers.systems.timestamps import header_deviations, microseconds, parse_timestamp

# Each becomes an event, and all of them are written in one transaction.
MAX_OBJECTS = 10_000
# Of the faults in a file so many are named at once.
MAX_FAULTS = 10
_COLUMNS_SHOWN = 20


# How rows are written, whichever table maps them; the names of columns are the table's.
FORMS: Mapping[str, Form] = {
    form.name: form
    for form in (
        Form(
            what="Rows of a CSV file, as a table of the installation maps them",
            name="csv",
            media_type="text/csv",
            by_reference=True,
        ),
        Form(
            what="Records in JSON, as a table of the installation maps them",
            name="json",
            content=dict[str, Any] | tuple[dict[str, Any], ...],
            by_reference=True,
        ),
    )
}


class Sheet(msgspec.Struct, frozen=True):
    """Rows by what tells their objects apart, in the order of the file.

    unknown: columns that the table does not name. sent: when the sender made it, where the table
    asks for it. version: of the whole object, where it is about one and a column orders them.
    """

    objects: Mapping[tuple[str, ...], tuple[Row, ...]]
    unknown: tuple[str, ...]
    sent: datetime | None
    version: int | None


def message_type(name: str) -> str:
    """What a source lists among its contracts."""
    return f"table.{name}"


def handler_of(document: Mapping[str, Any], where: str) -> tuple[Mapped, Handler]:
    """The table of a TOML document, and who takes its messages.

    Raises: Misconfigured.
    """
    mapped = mapped_table(document, where)
    curing = bool(mapped.versions) and mapped.target.is_whole
    return mapped, Handler(
        name=f"table-{mapped.table.name}",
        scope="table",
        types=(message_type(mapped.table.name),),
        forms=(FORMS["csv" if mapped.table.csv else "json"],),
        read=partial(read, mapped),
        needs=no_needs,
        decide=partial(decide, mapped),
        order="curing" if curing else "strict",
        version=(lambda message: message.payload.version) if curing else None,
    )


def recognises(mapped: Mapped, delivery: Delivery) -> bool:
    """Whether it came with a routing key of the table: rows look like any others."""
    kind = delivery.kind
    return kind in mapped.table.kinds or kind.partition(".")[0] in mapped.table.kinds


def read(mapped: Mapped, delivery: Delivery, values: int = MAX_VALUES) -> Message[Sheet]:
    """The rows by object, with their identity; what they say is not judged yet.

    values: that a document of JSON may have at most.
    Identity: the digest of the content; with the time of sending, where that orders the statements:
    the same bytes may be sent again later and mean that it is as it was.
    Raises: InvalidMessage for content that is no such file, and for rows without a number.
    """
    table = mapped.table
    body = _content(delivery)
    sent = _sent(delivery) if mapped.is_sent else None
    found = _rows(mapped, body, values)
    objects = _by_object(mapped, found)
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    first = next(iter(objects))
    envelope = Envelope(
        id=f"{digest}@{sent.isoformat()}" if sent else digest,
        source=delivery.source,
        type=message_type(table.name),
        key=mapped.target.key(*first) if len(objects) == 1 else f"table/{table.name}",
        time=sent,
        content_type=delivery.content_type or ("text/csv" if table.csv else "application/json"),
        correlation_id=delivery.attributes.get("correlationid", ""),
        traceparent=delivery.attributes.get("traceparent", ""),
    )
    version = _version(mapped, objects[first]) if len(objects) == 1 else None
    sheet = Sheet(objects, found.unknown, sent, version)
    header = header_deviations(delivery.attributes) if mapped.is_sent else ()
    deviations = first_ones(chain(header, _deviations(mapped, found)))
    return Message(envelope, sheet, tuple(map(shown, named(found.unknown))), deviations)


def _deviations(mapped: Mapped, found: Rows) -> Iterator[Deviation]:
    """Cells that are not written as they should be, row by row."""
    fillings = tuple(judged(mapped.root))
    return (one for row in found.rows for filling in fillings for one in filling.deviations(row))


def decide(
    mapped: Mapped, message: Message[Sheet], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """An event for each object, and a case for columns that the table does not name.

    Raises: InvalidMessage naming row and column of the first fault, and the next ones; of a file
        with a fault nothing is taken. Rejected for a file with a row that is marked as a test:
        nothing of it may reach a productive system.
    """
    sheet = message.payload
    _refuse_tests(mapped, sheet)
    effects: list[Effect] = []
    faults: list[InvalidMessage] = []
    ranges = Ranges()
    for identity, rows in sheet.objects.items():
        try:
            effects.append(_emit(mapped, identity, rows, sheet.sent, ranges))
        except InvalidMessage as fault:
            faults.append(fault)
            if len(faults) == MAX_FAULTS:
                break
    if faults:
        raise _all(faults)
    if sheet.unknown:
        effects.append(_unknown(mapped.table.name, sheet.unknown))
    return tuple(effects)


def _refuse_tests(mapped: Mapped, sheet: Sheet) -> None:
    mark = mapped.table.test
    if mark is None:
        return
    for row in chain.from_iterable(sheet.objects.values()):
        if row.text(mark.column) in mark.words:
            raise Rejected(
                "test-message",
                "The row is marked as a test",
                where=row.where(mark.column),
                remedy="Send tests to an installation for tests",
                owner="sender",
            )


def _content(delivery: Delivery) -> bytes:
    if delivery.package is None:
        check_size(delivery.body, where="file")
    body = content_of(delivery).read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise beyond("more bytes", f"{MAX_BYTES} bytes", "file")
    return body


def _rows(mapped: Mapped, body: bytes, values: int) -> Rows:
    table = mapped.table
    if table.csv is not None:
        return read_csv(body, table.csv, mapped.columns, table.ignore)
    assert table.json is not None
    return read_json(body, table.json, mapped.columns, table.ignore, values)


def _sent(delivery: Delivery) -> datetime:
    return parse_timestamp(required(delivery.attributes, "time"), where="ce-time")


def _by_object(mapped: Mapped, found: Rows) -> dict[tuple[str, ...], tuple[Row, ...]]:
    telling = [(name, mapped.root.fillings[name]) for name in mapped.target.identity]
    objects: dict[tuple[str, ...], list[Row]] = {}
    for row in found.rows:
        identity = tuple(_telling(name, filling, row) for name, filling in telling)
        objects.setdefault(identity, []).append(row)
    if len(objects) > MAX_OBJECTS:
        raise beyond(f"{len(objects)} objects", f"{MAX_OBJECTS} of them", "file")
    return {identity: tuple(rows) for identity, rows in objects.items()}


def _telling(name: str, filling: Filling, row: Row) -> str:
    """A part of what tells objects apart."""
    value = filling.value(row, None)
    if not isinstance(value, str):
        raise InvalidMessage(
            "field-missing",
            f"{name} is needed, and the cell is empty",
            where=row.where(filling.column),
            remedy=f"Send {name} in each row, it tells objects apart",
        )
    return value


def _emit(
    mapped: Mapped,
    identity: tuple[str, ...],
    rows: tuple[Row, ...],
    sent: datetime | None,
    ranges: Ranges,
) -> Emit:
    more: dict[str, int] = {}
    if "version" in mapped.root.required and "version" not in mapped.root.fillings:
        more["version"] = microseconds(_stated_at(mapped, rows[0], sent))
    said = build(mapped.root, rows, sent, **more)
    if isinstance(said, Bom | PlantBomState):
        said = with_single_names(said, ranges)
    return Emit(mapped.target.event(said), mapped.target.key(*identity), said)


def _stated_at(mapped: Mapped, row: Row, sent: datetime | None) -> datetime:
    filling = mapped.root.fillings["stated_at"]
    at = filling.value(row, sent)
    if not isinstance(at, datetime):
        raise InvalidMessage(
            "field-missing",
            "stated_at is needed, and the cell is empty",
            where=row.where(filling.column),
            remedy="Send when the row was written",
        )
    return at


def _version(mapped: Mapped, rows: tuple[Row, ...]) -> int | None:
    """What a column says of the object's version; None where it says nothing, or nonsense, which
    deciding will tell."""
    for name in mapped.versions:
        try:
            value = mapped.root.fillings[name].value(rows[0], None)
        except InvalidMessage:
            return None
        if isinstance(value, datetime):
            return microseconds(value)
        if isinstance(value, int):
            return value
    return None


def _all(faults: list[InvalidMessage]) -> InvalidMessage:
    """The first fault, with the places of the others."""
    first, *others = faults
    if not others:
        return first
    rest = "; ".join(f"{other.where}: {other.what}" for other in others)
    more = f" ({MAX_FAULTS} faults were looked for)" if len(faults) == MAX_FAULTS else ""
    return InvalidMessage(
        first.code,
        f"{first.what}. Also: {rest}{more}",
        where=first.where,
        remedy=first.remedy,
    )


def _unknown(name: str, columns: tuple[str, ...]) -> Open:
    listed = ", ".join(f'"{shown(column)}"' for column in columns[:_COLUMNS_SHOWN])
    rest = len(columns) - _COLUMNS_SHOWN
    return Open(
        code="column-unknown",
        word="data_quality",
        what=f"The table does not name {listed}{f' and {rest} more' if rest > 0 else ''}",
        where=f"{message_type(name)}: {listed}",
        remedy="Have the table say which field they fill, or ignore them",
        owner="master data",
    )
