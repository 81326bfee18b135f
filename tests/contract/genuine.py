"""A genuine message of everything a driver reads, and what its driver makes of other content."""

from __future__ import annotations

import io
import json
import tomllib
import zipfile
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, NamedTuple

import msgspec

from canonical.codec import decode_json, encode
from canonical.effects import Effect, Emit, Open
from canonical.envelope import Deviation
from canonical.errors import Failure, InvalidMessage, Rejected
from canonical.events import EVENTS, SOURCE
from canonical.handler import Delivery, Handler
from handlers import CATALOGUE, HANDLERS, RECOGNISED
from handlers.systems.table.inbound import handler_of
from handlers.systems.table.native import Csv
from tests.contract.parts import (
    Part,
    csv_parts,
    csv_text,
    json_parts,
    json_text,
    xml_parts,
    xml_text,
)
from tests.contract.test_handlers import EXAMPLES, FACTS, MORE
from tests.corpus import CORPUS
from tests.fixtures.gearbox import NOW
from tests.unit.handlers.test_s4_inbound import material, order
from tests.unit.handlers.test_s4_info_record import RECORD
from tests.unit.handlers.test_s4_supplier import PARTNER


class Genuine(NamedTuple):
    """content: the document itself; of an archive, what is in it. csv: how a table writes it."""

    handler: Handler
    delivery: Delivery
    content: bytes
    syntax: Literal["json", "xml", "csv"]
    csv: Csv | None = None


def _of_a_system(handler: Handler, delivery: Delivery) -> Genuine:
    content = delivery.body
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            content = archive.read("pdx.xml")
    syntax: Literal["json", "xml"] = "xml" if content.lstrip().startswith(b"<") else "json"
    return Genuine(handler, delivery, content, syntax)


def _all_fields(kind: str, subject: str, entity: dict[str, Any]) -> Genuine:
    """An answer of S/4HANA with every field that is read."""
    row = ("s4", f"s4.{kind}")
    delivery = msgspec.structs.replace(
        EXAMPLES[row],
        body=json.dumps({"d": entity}).encode(),
        attributes={**EXAMPLES[row].attributes, "subject": subject},
    )
    return _of_a_system(HANDLERS[row], delivery)


def _of_a_table(name: str) -> Genuine:
    """A table of the corpus with its file."""
    folder = CORPUS / "table"
    text = (folder / f"{name}.toml").read_text()
    mapped, handler = handler_of(tomllib.loads(text), f"{name}.toml")
    form = mapped.table.csv
    body = (folder / f"{name}.{'csv' if form else 'json'}").read_bytes()
    attributes = {"time": "2026-03-02T08:00:00Z"}
    delivery = Delivery("erp", mapped.table.kinds[0], body, attributes=attributes)
    return Genuine(handler, delivery, body, "csv" if form else "json", form)


GENUINE: Mapping[str, Genuine] = {
    **{
        f"{row[1]} {number}": _of_a_system(HANDLERS[row], delivery)
        for row in HANDLERS
        if row[0] != SOURCE
        for number, delivery in enumerate((EXAMPLES[row], *MORE.get(row, ())))
    },
    **{
        f"s4.{kind} full": _all_fields(kind, subject, entity)
        for kind, subject, entity in (
            ("purchase-order", "purchase-order/4500000028", order()),
            ("product", "item-master/TG12", material()),
            ("business-partner", "business-partner/9000017", PARTNER),
            ("info-record", "purchasing-info-record/5300000042", RECORD),
        )
    },
    **{
        f"table {path.stem}": _of_a_table(path.stem)
        for path in sorted((CORPUS / "table").glob("*.toml"))
    },
}
OF_JSON = [name for name, genuine in GENUINE.items() if genuine.syntax == "json"]
OF_XML = [name for name, genuine in GENUINE.items() if genuine.syntax == "xml"]
OF_CSV = [name for name, genuine in GENUINE.items() if genuine.syntax == "csv"]


@cache
def parts_of(name: str) -> Part:
    """The genuine one."""
    genuine = GENUINE[name]
    match genuine.syntax:
        case "xml":
            return xml_parts(genuine.content)
        case "json":
            return json_parts(genuine.content)
        case "csv":
            assert genuine.csv
            return csv_parts(genuine.content, genuine.csv)


def text_of(name: str, parts: Part) -> str:
    """A document of the same syntax."""
    genuine = GENUINE[name]
    match genuine.syntax:
        case "xml":
            return xml_text(parts)
        case "json":
            return json_text(parts)
        case "csv":
            assert genuine.csv
            return csv_text(parts, genuine.csv)


def encoding_of(name: str) -> str:
    """The one that needs no declaration."""
    form = GENUINE[name].csv
    return form.encoding if form else "utf-8"


def body_of(name: str, parts: Part) -> bytes:
    return text_of(name, parts).encode(encoding_of(name))


def told(name: str, body: bytes, content_type: str = "") -> tuple[Effect, ...]:
    """What the driver makes of other content in the place of a genuine message's."""
    handler, delivery, *_ = GENUINE[name]
    changed = msgspec.structs.replace(
        delivery, body=body, content_type=content_type or delivery.content_type
    )
    message = handler.read(changed)
    if handler.version is not None:
        handler.version(message)
    return handler.decide(message, FACTS, NOW)


def deviations(name: str, body: bytes, **attributes: str) -> tuple[Deviation, ...]:
    """Where other content in the place of a genuine message's is not as it should be; attributes:
    that come with it, beside those of the genuine one."""
    handler, delivery, *_ = GENUINE[name]
    sent = {**delivery.attributes, **attributes}
    return handler.read(msgspec.structs.replace(delivery, body=body, attributes=sent)).deviations


def is_recognised(name: str, body: bytes) -> bool:
    """Whether it is taken for what the genuine message is, from a source that may send everything
    and says nothing of it."""
    handler, delivery, *_ = GENUINE[name]
    sent = msgspec.structs.replace(delivery, kind="", body=body, attributes={})
    try:
        return CATALOGUE.recognise(tuple(RECOGNISED), sent) is handler
    except InvalidMessage:
        return False


# What is no fault of the message: it waits until another one has told of the component.
WAITS = {"component-unknown"}


def answer(name: str, body: bytes, content_type: str = "") -> tuple[Effect, ...] | Failure:
    """What it makes of it, or why it is refused: as bad data, with its place. What is taken can be
    sent and stored."""
    found: tuple[Effect, ...] | Failure
    try:
        found = told(name, body, content_type)
    except Failure as failure:
        found = failure
    if isinstance(found, Failure):
        assert isinstance(found, InvalidMessage | Rejected) or found.code in WAITS, found
        assert found.where.strip(), found
        assert found.where.isprintable(), found
        assert found.what.isprintable(), found
        return found
    for effect in found:
        match effect:
            case Emit(event, _, data, lane):
                assert lane is None or EVENTS[event].may_take(lane), found
                wire = encode(data)
                assert decode_json(wire, EVENTS[event].data, keys_once=True) == data
                assert b"\\u0000" not in wire
            case Open(what=what, where=where):
                assert "\0" not in what + where
            case _:
                pass
    return found


def refusal(name: str, body: bytes) -> Failure | None:
    """Why it is refused; None where it is taken."""
    found = answer(name, body)
    return found if isinstance(found, Failure) else None


def new_cases(found: tuple[Effect, ...], genuine: tuple[Effect, ...]) -> list[Open]:
    """Those that the genuine message does not lead to."""
    return [effect for effect in found if isinstance(effect, Open) and effect not in genuine]
