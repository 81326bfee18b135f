"""A_ChangeMaster as it was read back: how the ERP holds an engineering change, whole. Dates of
single objects, and objects that are neither materials nor their BOMs, are not read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from canonical.change import ChangedKind, ChangeMasterState, ChangeMasterStatus, ListedObject
from canonical.effects import Open
from canonical.errors import InvalidMessage
from canonical.text import received_id
from handlers.systems.answers import printable
from handlers.systems.s4.compare import text_of, unpadded
from handlers.systems.s4.native_read import Change
from handlers.systems.s4.values import Findings, day, key, prose, ticked, version
from handlers.systems.s4.words import CHANGE_STATUSES, CHANGED_KINDS


def to_change_master(
    change: Change, read_at: datetime
) -> tuple[ChangeMasterState, tuple[Open, ...]]:
    """The change with what it lists, in the order of its numbers, and a case where its status is in
    no table.

    Raises: InvalidMessage naming the field, and the object where it is one's.
    """
    number = key(change.ChangeNumber, where="ChangeNumber")
    found = Findings(f"change {printable(number)}")
    open_to, locked = _kinds(change)
    return (
        ChangeMasterState(
            number=number,
            version=version(
                change.ChangeNumberLastChgdDateTime,
                change.ChangeNumberLastChangedDate,
                change.ChangeNumberCreationDate,
                read_at=read_at,
                where="ChangeNumberLastChgdDateTime, ChangeNumberLastChangedDate,"
                " ChangeNumberCreationDate",
            ),
            description=prose(change.ChangeNumberDescription, where="ChangeNumberDescription"),
            reason=prose(change.ReasonForChangeText, where="ReasonForChangeText"),
            valid_from=day(change.ChangeNumberValidFromDate, where="ChangeNumberValidFromDate"),
            status=_status(change, found),
            open_to=open_to,
            locked=locked,
            objects=(
                *sorted(_items(change), key=_place),
                *sorted(_boms(change), key=_place),
            ),
            is_used=change.IsUsedForDataDefinition is True,
            is_deleted=change.ChangeNumberIsMrkdForDeletion is True,
            stated_as=prose(change.ChangeNumberStatus, where="ChangeNumberStatus"),
            source_id=received_id(text_of(change.ChangeNumber), where="ChangeNumber"),
            stated_at=read_at,
        ),
        tuple(found.cases),
    )


def _status(change: Change, found: Findings) -> ChangeMasterStatus | None:
    """None, and a case, for a number that is in no table: statuses are a customer's own."""
    stated = prose(change.ChangeNumberStatus, where="ChangeNumberStatus")
    status = CHANGE_STATUSES.get(unpadded(stated))
    if stated and status is None:
        found.add(
            InvalidMessage(
                "change-status-unmapped",
                f"The status {printable(stated[:10])} of changes is in no table, so whether objects"
                " may be changed under the number is not told",
                where="ChangeNumberStatus",
                remedy="Have the number mapped",
            )
        )
    return status


def _kinds(change: Change) -> tuple[tuple[ChangedKind, ...], tuple[ChangedKind, ...]]:
    """Those that may be changed under the number, and those that are locked for now. What it was
    never opened to, or is closed to again, is neither."""
    is_locked: dict[ChangedKind, bool] = {}
    for row in change.to_ObjTypeAssignment.results:
        named = text_of(row.SAPObjectType)
        kind = CHANGED_KINDS.get(named)
        if kind is not None and row.IsActiveForChangeNumber is True:
            where = f"{named}: IsLockedForChanges"
            is_locked[kind] = ticked(row.IsLockedForChanges, where=where)
    kinds = [kind for kind in CHANGED_KINDS.values() if kind in is_locked]
    return (
        tuple(kind for kind in kinds if not is_locked[kind]),
        tuple(kind for kind in kinds if is_locked[kind]),
    )


def _place(listed: ListedObject) -> tuple[str, str, str]:
    return listed.item, listed.plant, listed.usage


def _items(change: Change) -> Iterator[ListedObject]:
    for row in change.to_ChangeMstrObMgReMaterial.results:
        item = key(row.Material, where="listed material: Material")
        where = f"material {printable(item)}: ObjMgmtRecdObjIsLockedForChg"
        is_locked = ticked(row.ObjMgmtRecdObjIsLockedForChg, where=where)
        yield ListedObject("item", item, is_locked=is_locked)


def _boms(change: Change) -> Iterator[ListedObject]:
    for row in change.to_ChangeMstrObMgReMatlBOM.results:
        item = key(row.Material, where="listed BOM: Material")
        where = f"BOM of {printable(item)}"
        lock = f"{where}: ObjMgmtRecdObjIsLockedForChg"
        usage = f"{where}: BillOfMaterialVariantUsage"
        yield ListedObject(
            "bom",
            item,
            prose(row.Plant, where=f"{where}: Plant"),
            key(row.BillOfMaterialVariantUsage, where=usage),
            is_locked=ticked(row.ObjMgmtRecdObjIsLockedForChg, where=lock),
        )
