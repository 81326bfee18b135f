"""An Arena change with its affected items, in Arena's own words and field names.

Fields that are not named here are ignored: workspaces add their own and releases add more.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from canonical.bounds import Instant, Int64

# No object has an empty id or number.
Name = Annotated[str, msgspec.Meta(min_length=1)]
# An offset/limit page of the interface has 400 rows at most; a body may join several.
MAX_ROWS = 10_000


class _Native(msgspec.Struct, frozen=True, rename="camel"):
    """Arena's spelling of field names."""


class Typed(_Native, frozen=True):
    """An enumeration value."""

    type: Name


class Named(_Native, frozen=True):
    """A category, a custom field's choice or the like."""

    name: str = ""


class Person(_Native, frozen=True):
    """A user of the workspace."""

    full_name: str = ""


class Phase(_Native, frozen=True):
    """A life-cycle phase; the workspace chooses the name, Arena the stage."""

    name: str
    stage: str = ""


class AdditionalAttribute(_Native, frozen=True):
    """A custom field; its value is text, a number, a list of texts or null."""

    name: str
    value: msgspec.Raw = msgspec.Raw(b"null")


class ItemRevision(_Native, frozen=True):
    """A revision of an item; a working revision has no number yet."""

    guid: str
    number: Name
    revision_number: str | None = None
    revision_status: str | None = None


class DispositionAttribute(_Native, frozen=True):
    """What is to happen to one kind of stock."""

    name: str
    value: str | None = None
    notes: str | None = None


class ChangeItem(_Native, frozen=True):
    """One affected item; new_revision_number: where the new revision is still a working one."""

    guid: str
    new_item_revision: ItemRevision
    affected_item_revision: ItemRevision | None = None
    new_revision_number: str | None = None
    new_lifecycle_phase: Phase | None = None
    disposition_attributes: tuple[DispositionAttribute, ...] = ()


class Change(_Native, frozen=True):
    """A change order; lifecycle_date_time: when it came into its present status."""

    guid: Name
    number: Name
    title: str
    lifecycle_status: Typed
    lifecycle_date_time: Instant
    effectivity_type: Name
    implementation_status: str | None = None
    effective_date_time: Instant | None = None
    description: str | None = None
    category: Named | None = None
    creator: Person | None = None
    additional_attributes: tuple[AdditionalAttribute, ...] = ()


class ChangeItems(_Native, frozen=True):
    """The list of affected items; count: of the whole list, not of the page."""

    count: Int64
    results: Annotated[tuple[ChangeItem, ...], msgspec.Meta(max_length=MAX_ROWS)]


class Event(_Native, frozen=True):
    """The entry of Arena's outbound queue that announced the change."""

    guid: Name


class ChangeStatement(_Native, frozen=True):
    """What a client of Arena sends: the change, all its items, and the event if it knows it."""

    change: Change
    change_items: ChangeItems
    event: Event | None = None
