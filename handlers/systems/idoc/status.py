"""ALEAUD in ALEAUD01 and STATUS in SYSTAT01: what became of IDocs that were sent.

No step waits for it, since IDocs are carried by somebody: one that was not taken is a case for a
person, and all else is known by the message itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

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

# Where a parameter stands: by its number, or in their order.
_NUMBERED, _PLACE = re.compile("&([1-4])"), re.compile("&")
_PARAMETERS = 4
_SHOWN = 200


def status_key(idoc: IDoc) -> str:
    """What the message is about: the IDoc that it tells of; of several, they are told by it."""
    numbers = dict.fromkeys(_number(state) for _, state in _states(idoc))
    if len(numbers) == 1:
        return joined_key("idoc-status", *numbers)
    own = idoc.control.get("DOCNUM") or next(iter(numbers))
    return joined_key("idoc-statuses", key(own, where=f"{idoc.control.where}: DOCNUM"))


def to_cases(idoc: IDoc, version: int, stated_at: datetime) -> tuple[Open, ...]:
    """A case for each IDoc that was not taken.

    Raises: InvalidMessage where it does not tell which IDoc it is about.
    """
    return tuple(_cases(idoc))


def _cases(idoc: IDoc) -> Iterator[Open]:
    for message_type, state in _states(idoc):
        status = state.get("STATUS")
        if status in POSTED or status in ON_THE_WAY:
            continue
        where = f"IDoc {_number(state)}" + (f", {message_type[:30]}" if message_type else "")
        yield _refused(status, state, where) if status in FAILED else _unknown(status, where)


def _refused(status: str, state: Segment, where: str) -> Open:
    return Open(
        code="idoc-not-taken",
        word=Rejected.word,
        what=f"The IDoc was not taken: {FAILED[status]} ({status}). {_text(state)}".strip(),
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


def _states(idoc: IDoc) -> list[tuple[str, Segment]]:
    """Each state with the message type of the IDoc that it is of, where that is told."""
    found = [
        (printable(header.get("MESTYP_LNG", "MESTYP")), state)
        for header in idoc.root.all("E1ADHDR")
        for state in header.all("E1STATE")
    ]
    found += [("", state) for state in idoc.root.all("E1STATS")]
    if not found:
        raise InvalidMessage(
            "segment-missing",
            "The IDoc tells of the status of no other",
            where=f"{idoc.root.where}: E1ADHDR with E1STATE, or E1STATS",
            remedy="Send the whole IDoc",
        )
    return found


def _number(state: Segment) -> str:
    return key(state.get("DOCNUM"), where=f"{state.where}: DOCNUM")


def _text(state: Segment) -> str:
    """The text with its parameters where their places are; without a text, the message's number."""
    values = [state.get(f"STAPA{n}_LNG", f"STAPA{n}") for n in range(1, _PARAMETERS + 1)]
    text = state.get("STATXT")
    if _NUMBERED.search(text):
        text = _NUMBERED.sub(lambda place: values[int(place[1]) - 1], text)
    else:
        rest = iter(values)
        text = _PLACE.sub(lambda place: next(rest, ""), text)
    numbered = " ".join(filter(None, (state.get("STAMID"), state.get("STAMNO"))))
    told = text or numbered or state.get("STACOD")
    return "".join(char if char.isprintable() else "?" for char in told[:_SHOWN])
