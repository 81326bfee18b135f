"""What became of IDocs that came in, into ALEAUD01 and SYSTAT01, as `status` reads them: for the
SAP systems that sent them.

Each is told to its sender, by the partner that it was sent to; of a test it is told as of one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from canonical.errors import InvalidMessage
from canonical.text import joined_key, normalise_text
from handlers.systems.idoc.document import Segment
from handlers.systems.idoc.lengths import FIELDS, IDOC, LONG_PARAMETER, PARAMETER, STATUS_TEXT
from handlers.systems.idoc.status import (
    AUDIT,
    AUDIT_TYPE,
    PARAMETERS,
    STATUS_TYPE,
    IDocStatus,
    StatusReport,
)
from handlers.systems.idoc.values import key, padded
from handlers.systems.idoc.words import (
    FAILED,
    FIRST_TAKEN_IN,
    NO_CHANGE,
    ON_THE_WAY,
    POSTED,
    TELLINGS,
    Fate,
)
from handlers.systems.idoc.writing import Parties, control, inexpressible, segment

# That one message may tell of: as many as SAP's own ALEAUD do.
MAX_STATUSES = 500

# Of a text, before the places of its parameters: "&1 &2 &3 &4", with a blank before the first.
_HEAD_CHARS = STATUS_TEXT - 3 * PARAMETERS
_CUT = "..."
_KNOWN = POSTED | FAILED.keys() | ON_THE_WAY


class Outcome(msgspec.Struct, frozen=True):
    """What became of an IDoc that came in. control: its control record. words: why, for people."""

    control: Segment
    fate: Fate
    words: str = ""


class Reports(msgspec.Struct, frozen=True):
    """What is told to whom. untellable: what no message can tell, and why."""

    addressed: tuple[tuple[Parties, StatusReport], ...]
    untellable: tuple[tuple[Outcome, InvalidMessage], ...]


def reports(outcomes: Sequence[Outcome], message: str, told_at: datetime) -> Reports:
    """What messages of that type, ALEAUD or STATUS, tell of these IDocs: a report for each sender,
    tests apart, and for as many IDocs as one may tell of. Those of a message type stand together.

    told_at: UTC, when it is so. Words that are too long for the fields end with "...". Untellable
    is an IDoc without a number or without partners, or with such as no SAP system has.
    """
    told: dict[Parties, list[IDocStatus]] = {}
    untellable: list[tuple[Outcome, InvalidMessage]] = []
    for outcome in outcomes:
        try:
            parties, status = _parties(outcome.control), _told(outcome, message)
            _refuse_unwritable(parties, status, message, told_at)
        except InvalidMessage as failure:
            untellable.append((outcome, failure))
        else:
            told.setdefault(parties, []).append(status)
    addressed = (
        (parties, StatusReport(some, told_at))
        for parties, statuses in told.items()
        for some in _in_parts(sorted(statuses, key=_message_type))
    )
    return Reports(tuple(addressed), tuple(untellable))


def report_key(report: StatusReport) -> str:
    """What it is about, for whoever has to correct it."""
    return joined_key("idoc-statuses", *(told.number for told in report.statuses[:1]))


def to_audit(report: StatusReport) -> tuple[Segment, ...]:
    """The segments of an ALEAUD: an E1ADHDR for IDocs of one message type that stand together.

    Raises: InvalidMessage, naming IDoc, segment and field, for what a field cannot say.
    """
    _refuse_too_many(report, "E1STATE")
    return tuple(
        segment(f"message type {kind[0]}", "E1ADHDR", _header(*kind), *map(_state, same))
        for kind, same in itertools.groupby(report.statuses, key=_message_type)
    )


def to_status(report: StatusReport) -> tuple[Segment, ...]:
    """The segments of a STATUS: an E1STATS for each IDoc, which sets its status where it was sent.

    Raises: as `to_audit`.
    """
    _refuse_too_many(report, "E1STATS")
    return tuple(_record(told, report.stated_at) for told in report.statuses)


def _state(told: IDocStatus) -> Segment:
    about = f"IDoc {told.number}"
    if told.status not in _KNOWN or told.status < FIRST_TAKEN_IN:
        what = f"{told.status[:10]!r} is no status of an IDoc that is taken in"
        raise inexpressible(what, f"{about}: E1STATE STATUS")
    text, *values = _parted(told.text, LONG_PARAMETER, f"{about}: E1STATE STATXT")
    fields = {
        "DOCNUM": padded(told.number, IDOC),
        "STATUS": told.status,
        "STATXT": text,
        "STATYP": told.severity,
    }
    for number, value in enumerate(values, start=1):
        # The older field where it holds the value, as of all that have a longer one beside them.
        fields[f"STAPA{number}"] = value if len(value) <= PARAMETER else ""
        fields[f"STAPA{number}_LNG"] = value
    return segment(about, "E1STATE", fields)


def _record(told: IDocStatus, at: datetime | None) -> Segment:
    about = f"IDoc {told.number}"
    if told.status not in _KNOWN or told.status >= FIRST_TAKEN_IN:
        what = f"{told.status[:10]!r} is no status of an IDoc that is sent"
        raise inexpressible(what, f"{about}: E1STATS STATUS")
    if at is None:
        raise inexpressible("a status of no time", f"{about}: E1STATS LOGDAT, LOGTIM")
    text, *values = _parted(told.text, PARAMETER, f"{about}: E1STATS STATXT")
    fields = {
        "DOCNUM": padded(told.number, IDOC),
        "LOGDAT": f"{at:%Y%m%d}",
        "LOGTIM": f"{at:%H%M%S}",
        "STATUS": told.status,
        "STATXT": text,
        **{f"STAPA{number}": value for number, value in enumerate(values, start=1)},
        "STATYP": told.severity,
    }
    return segment(about, "E1STATS", fields)


def _header(message_type: str, code: str, function: str) -> dict[str, str]:
    holds = FIELDS["E1ADHDR"]["MESTYP"]
    assert isinstance(holds, int)
    return {
        "MESTYP": message_type if len(message_type) <= holds else "",
        "MESCOD": code,
        "MESFCT": function,
        "MESTYP_LNG": message_type,
    }


def _parted(text: str, holds: int, where: str) -> tuple[str, ...]:
    """STATXT, with the places of its parameters, and these. In them stands what STATXT has no room
    for, and all from the first "&" on, which would be such a place itself.

    Raises: InvalidMessage where they have no room for it either.
    """
    if "&" not in text and len(text) <= STATUS_TEXT:
        return (text,)
    written = text[:_HEAD_CHARS].partition("&")[0]
    rest = text[len(written) :]
    values: list[str] = []
    while rest and len(values) < PARAMETERS:
        # A field has no blanks around it: they stand between the places.
        bare = rest.lstrip(" ")
        value = bare[:holds].rstrip(" ")
        if bare[len(value) :].strip(" ") == NO_CHANGE:
            # Alone in the next field it would say that this one is as it was.
            value = value[:-1].rstrip(" ")
        values.append(value)
        written += f"{' ' * (len(rest) - len(bare))}&{len(values)}"
        rest = bare[len(value) :]
    if rest:
        raise inexpressible(f"a text of {len(text)} characters, {text[:PARAMETER]!r}...", where)
    return (written, *values)


def _told(outcome: Outcome, message: str) -> IDocStatus:
    telling, sent = TELLINGS[outcome.fate], outcome.control
    is_audit = message == AUDIT
    return IDocStatus(
        number=key(sent.get("DOCNUM"), where=f"{sent.where}: DOCNUM"),
        status=telling.taken_in if is_audit else telling.sent,
        text=_fitted(outcome.words, LONG_PARAMETER if is_audit else PARAMETER),
        severity=telling.severity,
        message_type=sent.get("MESTYP"),
        message_code=sent.get("MESCOD"),
        message_function=sent.get("MESFCT"),
    )


def _refuse_unwritable(parties: Parties, told: IDocStatus, message: str, told_at: datetime) -> None:
    """Raises: InvalidMessage for what would leave no message at all, if others stood beside it."""
    alone = StatusReport((told,), told_at)
    if message == AUDIT:
        to_audit(alone)
        control((AUDIT, AUDIT_TYPE), parties, told_at, 0)
    else:
        to_status(alone)
        control((message, STATUS_TYPE), parties, told_at, 0)


def _refuse_too_many(report: StatusReport, name: str) -> None:
    if len(report.statuses) > MAX_STATUSES:
        what = f"{len(report.statuses)} statuses, and one message tells of {MAX_STATUSES}"
        raise inexpressible(what, f"{report_key(report)}: {name}")


def _in_parts(statuses: Sequence[IDocStatus]) -> Iterator[tuple[IDocStatus, ...]]:
    for first in range(0, len(statuses), MAX_STATUSES):
        yield tuple(statuses[first : first + MAX_STATUSES])


def _fitted(words: str, holds: int) -> str:
    """The words on one line, as many as a text with parameters of that length can say."""
    line = " ".join("".join(char if char.isprintable() else " " for char in words).split())
    try:
        normalise_text(line)
    except InvalidMessage:
        line = line.encode("ascii", "backslashreplace").decode()
    if _fits(line, holds):
        return line
    room = min(len(line), STATUS_TEXT + PARAMETERS * (holds + 1))
    while not _fits(shown := f"{line[:room].rstrip()}{_CUT}", holds):
        room -= 1
    return shown


def _fits(text: str, holds: int) -> bool:
    try:
        written, *_ = _parted(text, holds, "")
    except InvalidMessage:
        return False
    return len(written) <= STATUS_TEXT and text != NO_CHANGE


def _message_type(told: IDocStatus) -> tuple[str, str, str]:
    return told.message_type, told.message_code, told.message_function


def _parties(sent: Segment) -> Parties:
    """The way back to whoever sent the IDoc with that control record."""
    return Parties(
        sender=sent.get("RCVPRN"),
        receiver=sent.get("SNDPRN"),
        sender_port=sent.get("RCVPOR"),
        receiver_port=sent.get("SNDPOR"),
        sender_type=sent.get("RCVPRT"),
        receiver_type=sent.get("SNDPRT"),
        client=sent.get("MANDT"),
        is_test=bool(sent.get("TEST")),
    )
