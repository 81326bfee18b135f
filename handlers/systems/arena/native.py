"""An Arena change with its affected items, and the entries of the outbound queue, in Arena's own
words and field names.

Fields that are not named here are ignored: workspaces add their own and releases add more.
"""

from __future__ import annotations

from typing import Annotated, Literal

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
    """A change order; lifecycle_date_time: when it came into its present status.

    effectivity_planned_date_time: of one that takes effect on a date, until it has.
    """

    guid: Name
    number: Name
    title: str
    lifecycle_status: Typed
    lifecycle_date_time: Instant
    effectivity_type: Name
    implementation_status: str | None = None
    effective_date_time: Instant | None = None
    effectivity_planned_date_time: Instant | None = None
    description: str | None = None
    category: Named | None = None
    creator: Person | None = None
    additional_attributes: tuple[AdditionalAttribute, ...] = ()


class ChangeItems(_Native, frozen=True):
    """The list of affected items; count: of the whole list, not of the page."""

    count: Int64
    results: Annotated[tuple[ChangeItem, ...], msgspec.Meta(max_length=MAX_ROWS)]


class Event(_Native, frozen=True):
    """The entry of Arena's outbound queue that announced the change.

    integration: guid of the outbound integration whose queue it is, if the client knows it.
    """

    guid: Name
    integration: str | None = None


class ChangeStatement(_Native, frozen=True):
    """What a client of Arena sends: the change, all its items, and the event if it knows it."""

    change: Change
    change_items: ChangeItems
    event: Event | None = None


# --- the outbound queue ---


class ChangeReference(_Native, frozen=True):
    """The change that an event is about, in short."""

    guid: Name
    number: Name


class QueueEvent(_Native, frozen=True):
    """An entry of the outbound queue: items got new revisions.

    change: what released them; none where that was done by hand.
    items_reconciled: whether somebody has dealt with all of them.
    """

    guid: Name
    event_type: Name
    creation_date_time: Instant
    items_reconciled: bool
    change: ChangeReference | None = None


class Integration(_Native, frozen=True):
    """An outbound integration; it has one queue."""

    guid: Name


class EventNotice(_Native, frozen=True):
    """What a client that looks into the queue sends of each entry."""

    event: QueueEvent
    integration: Integration | None = None


# --- what is written ---


class Guid(_Native, frozen=True):
    """An object by its guid."""

    guid: Name


class Value(_Native, frozen=True):
    """A value of a list."""

    value: str


class StatusChange(_Native, frozen=True):
    """A step of a change's workflow, as it is asked for and as it is confirmed."""

    change: Guid
    status: str
    implementation_status: Value | None = None
    comment: str | None = None


class ReconcileBody(_Native, frozen=True):
    """That the items of an event are dealt with."""

    items_reconciled: Literal[True] = True


# --- errors ---


class Said(_Native, frozen=True):
    """One error: a number of Arena's and a sentence."""

    code: int | str = ""
    message: str | None = None


class ErrorDocument(_Native, frozen=True):
    """The body of a refusal; status: as the answer's own."""

    status: int
    errors: Annotated[tuple[Said, ...], msgspec.Meta(min_length=1)]
