"""ALEAUD in ALEAUD01 and STATUS in SYSTAT01: what became of IDocs that were sent.

No step waits for it, since IDocs are carried by somebody: one that was not taken is a case for a
person, and all else is known by the message itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec

from canonical.effects import Open
from canonical.errors import InvalidMessage, Rejected
from canonical.text import joined_key
from handlers.systems.answers import printable
from handlers.systems.idoc.document import IDoc, Segment
from handlers.systems.idoc.values import key
from handlers.systems.idoc.words import FAILED, ON_THE_WAY, POSTED

AUDIT, AUDIT_TYPE = "ALEAUD", "ALEAUD01"
STATUS, STATUS_TYPE = "STATUS", "SYSTAT01"
# Segments that are read.
SEGMENTS = frozenset({"E1ADHDR", "E1STATE", "E1STATS"})
# Of a text; their places in it are &1 to &4, or & in their order.
PARAMETERS = 4

# Where a parameter stands: by its number, or in their order.
_NUMBERED, _PLACE = re.compile("&([1-4])"), re.compile("&")
_SHOWN, _TYPE_SHOWN = 200, 30


class IDocStatus(msgspec.Struct, frozen=True):
    """What is told of one IDoc.

    number: as its sender gave it, without zeros in front. status: two digits, of `words`. text: its
    parameters stand where their places are. message_type, message_code, message_function: of the
    IDoc. severity: of the message, S, W, E, I or A. "" is what is not told.
    """

    number: str
    status: str
    text: str = ""
    severity: str = ""
    message_type: str = ""
    message_code: str = ""
    message_function: str = ""


class StatusReport(msgspec.Struct, frozen=True):
    """What somebody tells of IDocs that were sent to him. stated_at: UTC."""

    statuses: tuple[IDocStatus, ...]
    stated_at: datetime | None = None


def status_key(idoc: IDoc) -> str:
    """What the message is about: the IDoc that it tells of; of several, they are told by it."""
    numbers = dict.fromkeys(_number(state) for _, state in _states(idoc))
    if len(numbers) == 1:
        return joined_key("idoc-status", *numbers)
    own = idoc.control.get("DOCNUM") or next(iter(numbers))
    return joined_key("idoc-statuses", key(own, where=f"{idoc.control.where}: DOCNUM"))


def to_report(idoc: IDoc, stated_at: datetime) -> StatusReport:
    """All that the message tells, in its order.

    Raises: InvalidMessage where it does not tell which IDoc it is about.
    """
    return StatusReport(_statuses(idoc), stated_at)


def _statuses(idoc: IDoc) -> tuple[IDocStatus, ...]:
    return tuple(
        IDocStatus(
            number=_number(state),
            status=state.get("STATUS"),
            text=_text(state),
            severity=state.get("STATYP"),
            message_type=_message_type(header),
            message_code=header.get("MESCOD") if header else "",
            message_function=header.get("MESFCT") if header else "",
        )
        for header, state in _states(idoc)
    )


def to_cases(idoc: IDoc) -> tuple[Open, ...]:
    """A case for each IDoc that was not taken.

    Raises: InvalidMessage where it does not tell which IDoc it is about.
    """
    return tuple(_cases(_statuses(idoc)))


def _cases(statuses: Iterable[IDocStatus]) -> Iterator[Open]:
    for told in statuses:
        if told.status in POSTED or told.status in ON_THE_WAY:
            continue
        about = printable(told.message_type, _TYPE_SHOWN)
        where = f"IDoc {told.number}" + (f", {about}" if about else "")
        yield _refused(told, where) if told.status in FAILED else _unknown(told.status, where)


def _refused(told: IDocStatus, where: str) -> Open:
    means = f"{FAILED[told.status]} ({told.status})"
    text = "".join(char if char.isprintable() else "?" for char in told.text[:_SHOWN])
    return Open(
        code="idoc-not-taken",
        word=Rejected.word,
        what=f"The IDoc was not taken: {means}. {text}".strip(),
        where=where,
        remedy="Correct what the text names, and have the IDoc processed again where it is",
        owner="business",
    )


def _unknown(status: str, where: str) -> Open:
    return Open(
        code="idoc-status-unknown",
        word=InvalidMessage.word,
        what=f"What the status {status[:10]!r} means is in no table",
        where=where,
        remedy="Look it up where the IDoc is, and have the status added to the table",
        owner="operations",
    )


def _states(idoc: IDoc) -> list[tuple[Segment | None, Segment]]:
    """Each state with the segment that tells of which message type the IDoc is, if there is one."""
    found: list[tuple[Segment | None, Segment]] = [
        (header, state) for header in idoc.root.all("E1ADHDR") for state in header.all("E1STATE")
    ]
    found += [(None, state) for state in idoc.root.all("E1STATS")]
    if not found:
        raise InvalidMessage(
            "segment-missing",
            "The IDoc tells of the status of no other",
            where=f"{idoc.root.where}: E1ADHDR with E1STATE, or E1STATS",
            remedy="Send the whole IDoc",
        )
    return found


def _message_type(header: Segment | None) -> str:
    return header.get("MESTYP_LNG", "MESTYP") if header else ""


def _number(state: Segment) -> str:
    return key(state.get("DOCNUM"), where=f"{state.where}: DOCNUM")


def _text(state: Segment) -> str:
    """The text with its parameters where their places are; without a text, the message's number."""
    # Longer ones are nobody's fields, and a place that stands there very often multiplies them.
    values = [state.get(f"STAPA{n}_LNG", f"STAPA{n}")[:_SHOWN] for n in range(1, PARAMETERS + 1)]
    text = state.get("STATXT")[:_SHOWN]
    if _NUMBERED.search(text):
        text = _NUMBERED.sub(lambda place: values[int(place[1]) - 1], text)
    else:
        rest = iter(values)
        text = _PLACE.sub(lambda place: next(rest, ""), text)
    numbered = " ".join(filter(None, (state.get("STAMID"), state.get("STAMNO"))))
    return text or numbered or state.get("STACOD")
