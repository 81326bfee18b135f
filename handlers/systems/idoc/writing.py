"""Segments as they are written: within the lengths of their definition, or refused; and their XML.

Nothing is cut, rounded or replaced to make it fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from xml.sax.saxutils import escape

import msgspec

from canonical.errors import InvalidMessage
from canonical.quantity import Quantity
from canonical.text import normalise_text
from canonical.units import from_rec20
from handlers.systems.idoc.document import CONTROL, IDoc, Segment
from handlers.systems.idoc.lengths import FIELDS, MATERIAL, Digits
from handlers.systems.idoc.values import decimal, decimal_text, padded
from handlers.systems.idoc.words import ALIASES, INTO_SAP, LANGUAGE_OF, MARKED, NO_CHANGE

_SHOWN = 40
_ISO_639_CHARS = 2


class Parties(msgspec.Struct, frozen=True, kw_only=True):
    """Who sends to whom, as the partner profile of the receiver has them.

    client: of the SAP system; "" where the receiver knows it by the port. is_test: whoever reads
    it is told that it is a test.
    """

    sender: str
    receiver: str
    sender_port: str = ""
    receiver_port: str = ""
    sender_type: str = "LS"
    receiver_type: str = "LS"
    client: str = ""
    is_test: bool = False


def control(kind: tuple[str, str], parties: Parties, written_at: datetime, number: int) -> Segment:
    """The control record. kind: message type and basic type. written_at: UTC.

    Raises: InvalidMessage for partners that no profile can have.
    """
    if not (parties.sender and parties.receiver):
        what = "an IDoc of nobody, or for nobody"
        raise inexpressible(what, f"control record: {CONTROL} SNDPRN, RCVPRN")
    message_type, basic_type = kind
    fields = {
        "TABNAM": CONTROL,
        "MANDT": parties.client,
        "DOCNUM": f"{number:016d}",
        "DIRECT": INTO_SAP,
        "TEST": MARKED if parties.is_test else "",
        "IDOCTYP": basic_type,
        "MESTYP": message_type,
        "SNDPOR": parties.sender_port,
        "SNDPRT": parties.sender_type,
        "SNDPRN": parties.sender,
        "RCVPOR": parties.receiver_port,
        "RCVPRT": parties.receiver_type,
        "RCVPRN": parties.receiver,
        "CREDAT": f"{written_at:%Y%m%d}",
        "CRETIM": f"{written_at:%H%M%S}",
        "SERIAL": f"{written_at:%Y%m%d%H%M%S}",
    }
    return segment("control record", CONTROL, fields)


def segment(about: str, name: str, fields: Mapping[str, str], *below: Segment) -> Segment:
    """The segment with the fields that say something, in the order of its definition. about: the
    object, for whoever has to correct it.

    Raises: InvalidMessage, naming object, segment and field, for what does not fit.
    """
    held = FIELDS[name]
    for field, value in fields.items():
        if value:
            _check(value, held[field], f"{about}: {name} {field}")
    stated = {field: fields[field] for field in held if fields.get(field)}
    return Segment(name, stated, below, 0)


def _check(value: str, holds: int | Digits, where: str) -> None:
    if value == NO_CHANGE:
        raise inexpressible("a slash alone means that the field is as it was", where)
    if not value.isprintable() or value != value.strip():
        raise inexpressible("a field has no line breaks, and no blanks around it", where)
    normalise_text(value, where=where)
    if isinstance(holds, Digits):
        _check_digits(decimal(value, where=where), holds, where)
    elif len(value) > holds:
        raise inexpressible(
            f"{value[:_SHOWN]!r} has {len(value)} characters, and the field holds {holds}", where
        )


def _check_digits(value: Decimal, holds: Digits, where: str) -> None:
    whole, _, places = f"{abs(value):f}".partition(".")
    if len(whole.lstrip("0")) > holds.whole or len(places) > holds.places:
        raise inexpressible(
            f"{value:f} is not within {holds.whole} digits and {holds.places} decimals", where
        )


def materials(name: str, field: str, number: str) -> dict[str, str]:
    """The number of a material in its two fields of a segment: the older one, which cannot hold
    every number, and the long one."""
    written, holds = padded(number, MATERIAL), FIELDS[name][field]
    assert isinstance(holds, int)
    return {field: written if len(written) <= holds else "", f"{field}_LONG": written}


def unit_text(code: str, where: str) -> str:
    """A Rec 20 code as SAP writes the ISO code of the unit; "" for none. Raises: UnknownUnit."""
    return from_rec20(ALIASES, code, where=where) if code else ""


def amount_text(quantity: Quantity | None) -> str:
    """The number of a quantity as it is written; "" for none."""
    return decimal_text(quantity.value) if quantity else ""


def one_unit(quantities: Iterable[Quantity | None], where: str) -> str:
    """The unit that all of them are in, as it is written, since one field says it of all.

    Raises: InvalidMessage where they have several.
    """
    codes = dict.fromkeys(quantity.unit for quantity in quantities if quantity is not None)
    if len(codes) > 1:
        raise inexpressible(f"{' and '.join(codes)}, where one field says the unit of all", where)
    return unit_text(next(iter(codes), ""), where)


def languages(language: str) -> dict[str, str]:
    """A language in its two fields: as ISO 639, and SAP's own letter where a table has it. A letter
    that was in no table was kept when it came, and goes out so."""
    is_iso = len(language) == _ISO_639_CHARS
    letter = LANGUAGE_OF.get(language, "") if is_iso else language
    return {"SPRAS": letter, "SPRAS_ISO": language if is_iso else ""}


def mark(is_set: bool) -> str:
    """A flag as it is written."""
    return MARKED if is_set else ""


def to_xml(basic_type: str, idocs: Iterable[IDoc]) -> bytes:
    """The document. Names of SAP's own segments and fields are names in XML as well."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<{basic_type}>"]
    for idoc in idocs:
        lines.append('<IDOC BEGIN="1">')
        for part in (idoc.control, *idoc.root.children):
            lines += _lines(part)
        lines.append("</IDOC>")
    return "\n".join((*lines, f"</{basic_type}>", "")).encode()


def _lines(part: Segment) -> Iterator[str]:
    yield f'<{part.name} SEGMENT="1">'
    for field, value in part.fields.items():
        yield f"<{field}>{escape(value)}</{field}>"
    for child in part.children:
        yield from _lines(child)
    yield f"</{part.name}>"


def inexpressible(what: str, where: str) -> InvalidMessage:
    """What no field of an IDoc can say; `what` goes on after "An IDoc cannot say this: "."""
    return InvalidMessage(
        "idoc-inexpressible",
        f"An IDoc cannot say this: {what}",
        where=where,
        remedy="Correct it at the source, or leave the object out",
    )
