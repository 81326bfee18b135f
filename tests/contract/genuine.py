"""A genuine message of everything a driver reads, and what its driver makes of other content."""

from __future__ import annotations

import io
import json
import tomllib
import zipfile
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from canonical.codec import decode_json, encode
from canonical.effects import Effect, Emit, Open
from canonical.errors import Failure, InvalidMessage, Rejected
from canonical.events import EVENTS, SOURCE
from canonical.handler import Delivery, Handler
from handlers import HANDLERS
from handlers.systems.table.inbound import handler_of
from handlers.systems.table.native import Csv
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
            case Emit(event, _, data):
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
