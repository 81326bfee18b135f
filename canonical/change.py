"""Engineering change orders and the items they affect; changes as ERPs hold them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

import msgspec

from canonical.bounds import Instant, Int64
from canonical.effectivity import DateEffectivity, Effectivity
from canonical.item import Lifecycle
from canonical.text import joined_key

# Name under which is found what changes say of an item's revisions.
REVISION_EFFECTIVITIES = "revision-effectivities"

ChangeStatus = Literal[
    "open", "submitted", "approved", "released", "effective", "completed", "cancelled"
]
# active: objects may be changed under the number. inactive: none may.
ChangeMasterStatus = Literal["active", "inactive"]
ChangedKind = Literal["item", "bom"]
StockKind = Literal["on_order", "in_process", "in_stock", "finished", "in_field"]


class Disposition(msgspec.Struct, frozen=True):
    """What is to happen to stock of the old revision; `action` in the source's own words."""

    stock: StockKind
    action: str


class AffectedItem(msgspec.Struct, frozen=True):
    """One row of a change: which item goes from which revision label to which.

    plants: plant effectivity of the row; empty = as the change, then as the rules say.
    """

    item: str
    new_revision: str
    old_revision: str = ""
    lifecycle: Lifecycle | None = None
    dispositions: tuple[Disposition, ...] = ()
    plants: tuple[str, ...] = ()


_STOPPED: frozenset[Lifecycle] = frozenset({"superseded", "on_hold", "obsolete"})
_URGENT = frozenset({"critical", "emergency", "high"})


class EngineeringChange(msgspec.Struct, frozen=True):
    """A change order as its PLM states it.

    version: grows with every statement the source makes about this change; the source's own time
        in microseconds where it has no counter. An older version never overrules a newer one.
    effectivity: None = on release. source_id: of the change, as its PLM writes it.
    notice: the PLM's own entry that announced the change and waits there to be dealt with.
    """

    number: str
    version: Int64
    status: ChangeStatus
    title: str
    affected: tuple[AffectedItem, ...]
    description: str = ""
    category: str = ""
    urgency: str = ""
    family: str = ""
    plants: tuple[str, ...] = ()
    requester: str = ""
    released_at: Instant | None = None
    effectivity: Effectivity | None = None
    source_id: str = ""
    notice: str = ""

    @property
    def is_urgent(self) -> bool:
        """Whether production waits for it: its event and its steps take the critical lane."""
        return self.urgency.casefold() in _URGENT


class RevisionEffectivity(msgspec.Struct, frozen=True, gc=False):
    """From when a change lets a revision of an item be in force, as the change was stated last.

    start: None = at once. is_withdrawn: the change does not release the revision any more.
    """

    change: str
    item: str
    revision: str
    start: Instant | None = None
    is_withdrawn: bool = False


class RevisionEffectivities(msgspec.Struct, frozen=True):
    """All that changes with a day have said of an item's revisions. more: that are not shown."""

    stated: tuple[RevisionEffectivity, ...]
    more: int = 0


class ChangeMaster(msgspec.Struct, frozen=True):
    """A change as an ERP keeps it: the number that objects refer to which it changes.

    valid_from: first valid day. is_dated: whether the change states that day; else it is the one of
        its release, with which the number begins, and no reason to move a number that exists.
    """

    number: str
    description: str
    valid_from: date
    is_dated: bool
    reason: str = ""


class ChangedBom(msgspec.Struct, frozen=True):
    """A plant's BOM that a change is about, of any alternative of the usage."""

    item: str
    plant: str
    usage: str


class ChangedObjects(msgspec.Struct, frozen=True):
    """What a change is about, as an ERP lists it under the number."""

    number: str
    items: tuple[str, ...]
    boms: tuple[ChangedBom, ...] = ()


class ListedObject(msgspec.Struct, frozen=True, gc=False):
    """An item, or the BOM of one, that an ERP lists under a change.

    plant, usage: of a BOM; one of all plants has the plant "". is_locked: it may not be changed
    under the number, whatever the number is open to.
    """

    kind: ChangedKind
    item: str
    plant: str = ""
    usage: str = ""
    is_locked: bool = False


class ChangeMasterState(msgspec.Struct, frozen=True):
    """A change as an ERP holds it now, whole.

    version: grows with every statement about it. valid_from: first valid day; None = none is known.
    status: None where none is stated, or the ERP's own, `stated_as`, is in no table. open_to: kinds
    of objects that may be changed under it; locked: those that may not for now. objects: that are
    listed under it, items first. is_used: objects were changed under it, so that its day stays.
    is_deleted: it is marked for deletion.
    """

    number: str
    version: Int64
    description: str = ""
    reason: str = ""
    valid_from: date | None = None
    status: ChangeMasterStatus | None = None
    open_to: tuple[ChangedKind, ...] = ()
    locked: tuple[ChangedKind, ...] = ()
    objects: tuple[ListedObject, ...] = ()
    is_used: bool = False
    is_deleted: bool = False
    stated_as: str = ""
    source_id: str = ""
    stated_at: Instant | None = None


def change_key(number: str) -> str:
    """Order and ledger key of a change."""
    return f"engineering-change/{number}"


def revision_effectivity_key(change: str, item: str, revision: str) -> str:
    """Document key of what a change says of a revision."""
    return joined_key("revision-effectivity", *map(_escaped, (change, revision)), item)


def revision_effectivities_key(item: str) -> str:
    """Name of all that changes with a day have said of the item's revisions."""
    return f"{REVISION_EFFECTIVITIES}/{item}"


def revision_effectivities(
    change: EngineeringChange, known: EngineeringChange | None
) -> tuple[RevisionEffectivity, ...]:
    """What the change says of revisions, in the order of items and revisions, where it has a day or
    had one as it was known before; () where nobody has heard of a day of it.

    known: as it was stated before. What it released then and does not any more is withdrawn.
    """
    start, was_dated = _start(change), known is not None and _start(known) is not None
    if start is None and not was_dated:
        return ()
    before = _releases(known) if known is not None and was_dated else frozenset()
    now = frozenset() if change.status == "cancelled" else _releases(change)
    return tuple(
        RevisionEffectivity(change.number, item, revision, start)
        if (item, revision) in now
        else RevisionEffectivity(change.number, item, revision, is_withdrawn=True)
        for item, revision in sorted(_releases(change) | before)
    )


def _start(change: EngineeringChange) -> datetime | None:
    effectivity = change.effectivity
    return effectivity.start if isinstance(effectivity, DateEffectivity) else None


def _releases(change: EngineeringChange) -> frozenset[tuple[str, str]]:
    """Items with the revisions that come with the change. One that is stopped by it, or is in that
    revision already, is in force as it is."""
    return frozenset(
        (row.item, row.new_revision)
        for row in change.affected
        if row.new_revision not in ("", row.old_revision) and row.lifecycle not in _STOPPED
    )


def _escaped(part: str) -> str:
    """The part without the mark that stands between parts of a key."""
    return part.replace("%", "%25").replace("/", "%2F")


def change_master_key(number: str) -> str:
    """Order and document key of a change as an ERP holds it."""
    return f"change-master/{number}"
