"""Engineering changes as A_ChangeMaster, with the kinds of objects that may refer to them.

The number comes before its objects are written; what they are is said in `changed_objects`.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from canonical.change import ChangeMaster as Change
from canonical.change import change_key
from canonical.connector import Absent, Observed
from canonical.errors import Conflict, Misconfigured, Rejected
from canonical.exchange import Request, Response
from handlers.systems.s4 import odata
from handlers.systems.s4.compare import (
    Difference,
    differing,
    in_words,
    present,
    same_date,
    same_id,
    same_text,
    text_of,
)
from handlers.systems.s4.native import ChangedType, ChangeMaster, Children
from handlers.systems.s4.texts import CHARS, is_cut, short_text
from handlers.systems.s4.words import CHANGE_STATUS, CHANGED_OBJECTS

# The key of the objects is a word in this version; in the one before it was a number.
SERVICE = "API_CHANGEMASTER;v=0002"

_OBJECTS = "to_ObjTypeAssignment"
_NUMBER_CHARS = 12


def observe(change: Change) -> Request:
    """The read of the change by its number, with the kinds of objects it is open to."""
    return odata.get(address(change.number), expand=_OBJECTS)


def read(change: Change, response: Response) -> Observed:
    """What the target holds under the number."""
    actual = odata.read_one(response, ChangeMaster)
    if actual is None:
        return Absent()
    if not same_id(text_of(actual.ChangeNumber), erp_number(change.number)):
        raise Misconfigured(
            "answer-about-another",
            f"Asked for change {change.number}, answered about another change",
            where="ChangeNumber",
        )
    return present(actual, actual.ChangeNumber, differences(change, actual))


def create(change: Change) -> Request:
    """The create of the number, open to all that may refer to it, in one call."""
    return odata.post(
        odata.address(SERVICE, "A_ChangeMaster"),
        msgspec.structs.replace(
            wanted(change),
            ChangeNumber=erp_number(change.number),
            ChangeNumberStatus=CHANGE_STATUS,
            ChangeNumberValidFromDate=odata.date_literal(change.valid_from),
            to_ObjTypeAssignment=Children(tuple(map(_open_to, CHANGED_OBJECTS))),
        ),
    )


def check_written(number: str, response: Response) -> str:
    """The change number as the target confirms it; "" where it confirms without a body.

    number: of the change that the target wrote to.
    """
    written = odata.read_written(response)
    if written is None:
        return ""
    stated = text_of(written.ChangeNumber)
    if not same_id(stated, erp_number(number)):
        raise odata.about_another("change number", stated, "ChangeNumber")
    return stated


def differences(change: Change, actual: ChangeMaster) -> tuple[Difference, ...]:
    """What has to change, in the order of writing.

    Status, authorisation and locks are chosen by the ERP once the number exists. A day under which
    objects were changed already is not moved from here: the objects would move with it.
    """
    if actual.ChangeNumberIsMrkdForDeletion is True:
        shown = in_words("ChangeNumberIsMrkdForDeletion", "true", "false")
        return (_conflict(change, shown, "Settle with engineering whether it is to be used again"),)
    rows = odata.expanded(actual.to_ObjTypeAssignment, _OBJECTS)
    found = (_header(change, actual), *(_objects(change, kind, rows) for kind in CHANGED_OBJECTS))
    return tuple(difference for difference in found if difference is not None)


def wanted(change: Change) -> ChangeMaster:
    """The change as engineering states it, without what only a create sends."""
    reason = short_text(change.reason)
    day = odata.date_literal(change.valid_from)
    return ChangeMaster(
        ChangeNumberDescription=short_text(change.description),
        ReasonForChangeText=reason if reason else UNSET,
        ChangeNumberValidFromDate=day if change.is_dated else UNSET,
    )


def remarks(change: Change) -> tuple[str, ...]:
    """What of the change the target cannot hold as it is."""
    texts = {"description": change.description, "reason": change.reason}
    return tuple(
        f"The {name} of {change.number} is cut to {CHARS} characters"
        for name, text in texts.items()
        if is_cut(text)
    )


def address(number: str) -> str:
    """The path of the change."""
    return odata.address(SERVICE, "A_ChangeMaster", ChangeNumber=erp_number(number))


def erp_number(number: str) -> str:
    """The number in capital letters, as the ERP keeps it.

    Raises: Rejected for one that does not fit: a part of it would be another change.
    """
    written = number.upper()
    if len(written) > _NUMBER_CHARS:
        raise Rejected(
            "change-number-too-long",
            f"{number} does not fit the ERP's {_NUMBER_CHARS} characters",
            where=change_key(number),
            remedy="Give changes shorter numbers in PLM, or route no change-master to this system",
        )
    return written


def _header(change: Change, actual: ChangeMaster) -> Difference | None:
    want = wanted(change)
    rules = {
        "ChangeNumberDescription": same_text,
        "ReasonForChangeText": same_text,
        "ChangeNumberValidFromDate": same_date,
    }
    changed = {name: text_of(getattr(want, name)) for name in differing(want, actual, rules)}
    if not changed:
        return None
    what = tuple(in_words(name, getattr(actual, name), value) for name, value in changed.items())
    if "ChangeNumberValidFromDate" in changed and actual.IsUsedForDataDefinition is True:
        remedy = "Shift its validity in the ERP if that is meant, then release the step again"
        return _conflict(change, "; ".join(what), remedy)
    body = msgspec.convert(changed, ChangeMaster)
    return Difference(what, odata.patch(address(change.number), body, odata.etag_of(actual)))


def _objects(change: Change, kind: str, rows: tuple[ChangedType, ...]) -> Difference | None:
    """What opens the number to these objects; how their records come about is the ERP's then."""
    row = next((row for row in rows if text_of(row.SAPObjectType) == kind), None)
    if row is None:
        request = odata.post(f"{address(change.number)}/{_OBJECTS}", _open_to(kind))
        return Difference((f"{kind}: missing, wanted active",), request)
    if row.IsActiveForChangeNumber is True:
        return None
    path = odata.address(
        SERVICE,
        "A_ChangeMasterObjTypeAssgmt",
        ChangeNumber=text_of(row.ChangeNumber),
        SAPObjectType=kind,
    )
    request = odata.patch(path, ChangedType(IsActiveForChangeNumber=True), odata.etag_of(row))
    return Difference((f"{kind}: not active, wanted active",), request)


def _open_to(kind: str) -> ChangedType:
    return ChangedType(
        SAPObjectType=kind, IsActiveForChangeNumber=True, ObjMgmtRecdIsGenerated=True
    )


def _conflict(change: Change, shown: str, remedy: str) -> Difference:
    return Difference(
        (shown,),
        conflict=Conflict(
            "change-master-differs",
            f"Change {change.number} cannot be changed so: {shown}",
            where=change_key(change.number),
            remedy=remedy,
        ),
    )
