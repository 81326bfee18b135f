"""An Arena change with its affected items, an item with its BOM and its sources, a supplier, the
entries of the outbound queue and what a client says besides of what is to be read, in Arena's own
words and field names.

Fields that are not named here are told as ignored: workspaces add their own and releases add more.
Those that Arena documents and nobody needs stand in `left_out`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from canonical.bounds import Instant, Int64
from canonical.manners import Manner, of_id, of_time, unit_of
from canonical.members import Foreign
from handlers.systems.arena.words import TOLD, UNITS

# No object has an empty id or number.
Name = Annotated[str, msgspec.Meta(min_length=1)]
Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]
# An offset/limit page of the interface has 400 rows at most; a body may join several.
MAX_ROWS = 10_000


def _null() -> msgspec.Raw:
    """What a value that is not there is; made anew, since no schema can say it as a default."""
    return msgspec.Raw(b"null")


# What was not asked for and nobody needs is left out; a custom field never is.
_LIFE_OF_AN_OBJECT = frozenset({"creationDateTime", "creator", "owner"})
# They speak of the working revision.
_MODIFIED = frozenset({"modifiedBom", "modifiedFiles", "modifiedSourcing", "modifiedSpecs"})


class _Native(Foreign, frozen=True, rename="camel"):
    """Arena's spelling of field names; url: where people and programs find what has a guid."""

    left_out: ClassVar = frozenset({"url"})
    manners: ClassVar = {
        **dict.fromkeys(("number", "revisionNumber", "newRevisionNumber", "supplierId"), of_id),
        **dict.fromkeys(
            (
                "lifecycleDateTime",
                "effectiveDateTime",
                "effectivityPlannedDateTime",
                "creationDateTime",
            ),
            of_time,
        ),
        "uom": unit_of(UNITS),
    }


# Of a guid that is taken without blanks around it. Those that only join parts of a statement are
# compared as they are.
_GUID: dict[str, Manner | None] = {"guid": of_id}


class Typed(_Native, frozen=True):
    """An enumeration value."""

    type: Name


class Guid(_Native, frozen=True):
    """An object by its guid."""

    guid: Name


class Named(_Native, frozen=True):
    """A category, a custom field's choice or the like."""

    left_out: ClassVar = frozenset({"guid", "path"})

    name: str = ""


class Person(_Native, frozen=True):
    """A user of the workspace."""

    left_out: ClassVar = frozenset({"guid", "email"})

    full_name: str = ""


class Phase(_Native, frozen=True):
    """A life-cycle phase; the workspace chooses the name, Arena the stage."""

    left_out: ClassVar = frozenset({"guid"})

    name: str
    stage: str = ""


class AdditionalAttribute(_Native, frozen=True):
    """A custom field; its value is text, a number, a list of texts or null."""

    left_out: ClassVar = frozenset({"apiName", "fieldType", "guid", "multiSelect"})

    name: str
    value: msgspec.Raw = msgspec.field(default_factory=_null)


class ItemRevision(_Native, frozen=True):
    """A revision of an item; a working revision has no number yet."""

    # The item of that revision says all of it, and comes by itself.
    left_out: ClassVar = _MODIFIED | {"name", "status", "effectiveDateTime", "lifecyclePhase"}
    manners: ClassVar = _GUID

    guid: str
    number: Name
    revision_number: str | None = None
    revision_status: str | None = None


class DispositionAttribute(_Native, frozen=True):
    """What is to happen to one kind of stock."""

    left_out: ClassVar = frozenset({"guid"})

    name: str
    value: str | None = None
    notes: str | None = None


class ChangeItem(_Native, frozen=True):
    """One affected item; new_revision_number: where the new revision is still a working one."""

    # What was looked at, and who is to be taught.
    left_out: ClassVar = frozenset(
        {
            "bomView",
            "filesView",
            "sourcingView",
            "specsView",
            "materialEffectivityDateTime",
            "retraining",
            "retrainingRequired",
        }
    )

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

    # How it came to be approved.
    left_out: ClassVar = _LIFE_OF_AN_OBJECT | {
        "approvalDeadlineDateTime",
        "enforceApprovalDeadline",
        "routingAdmins",
        "routings",
        "submissionDateTime",
        "submitter",
        "withdrawnDateTime",
    }
    manners: ClassVar = _GUID

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

    # The change stands beside it.
    left_out: ClassVar = frozenset(
        {"eventType", "creationDateTime", "itemsReconciled", "status", "change"}
    )
    manners: ClassVar = {**_GUID, "integration": of_id}

    guid: Name
    integration: str | None = None


class ChangeStatement(_Native, frozen=True):
    """What a client of Arena sends: the change, all its items, and the event if it knows it."""

    change: Change
    change_items: ChangeItems
    event: Event | None = None


# --- a change that is to be created ---


class Prefix(_Native, frozen=True):
    """How the number begins that Arena gives to what it creates: "ECO-"."""

    value: Name


class DraftAttribute(_Native, frozen=True):
    """A custom field of a draft: by its guid, as its name is Arena's to say."""

    guid: Name
    value: msgspec.Raw = msgspec.field(default_factory=_null)


class ChangeDraft(_Native, frozen=True):
    """What creates a change: the body of POST /changes. There is no number, guid or status yet.

    effectivity_planned_date_time, expiration_date_time: of one that takes effect on a date, and of
    one that ends.
    """

    category: Guid
    title: Name
    number_sequence_prefix: Prefix
    effectivity_type: Name
    description: str | None = None
    routings: Annotated[tuple[Guid, ...], msgspec.Meta(max_length=MAX_ROWS)] = ()
    approval_deadline_date_time: Instant | None = None
    enforce_approval_deadline: bool = False
    effectivity_planned_date_time: Instant | None = None
    expiration_date_time: Instant | None = None
    additional_attributes: Annotated[
        tuple[DraftAttribute, ...], msgspec.Meta(max_length=MAX_ROWS)
    ] = ()


# --- an item revision, its BOM and its sources ---


class ItemSpecs(_Native, frozen=True):
    """A revision of an item.

    revision_status, status: one of them says whether it is the working, the effective or a
    superseded one. effective_date_time: when it became effective. uom: in which it and the lines
    that use it are counted.
    """

    # Costs, and what follows from BOM, sourcing and revision.
    left_out: ClassVar = (
        _LIFE_OF_AN_OBJECT
        | _MODIFIED
        | {
            "assemblyType",
            "deviated",
            "inAssembly",
            "offTheShelf",
            "productionCost",
            "prototypeCost",
            "shared",
            "standardCost",
            "supersededDateTime",
            "targetCost",
            "targetPrice",
        }
    )
    manners: ClassVar = _GUID

    guid: Name
    number: Name
    lifecycle_phase: Phase
    revision_number: str | None = None
    revision_status: str | None = None
    status: Int64 | None = None
    effective_date_time: Instant | None = None
    name: str | None = None
    description: str | None = None
    category: Named | None = None
    uom: str | None = None
    procurement_type: str | None = None
    is_assembly: bool | None = None
    additional_attributes: tuple[AdditionalAttribute, ...] = ()


class BomRow(_Native, frozen=True):
    """A line of a BOM.

    guid: by which its substitutes name it. item: in the revision that is effective when it is read.
    quantity: a number, in the unit of the item. ref_des: designators and ranges of them, e.g.
    "C15,C6,C10-12".
    """

    item: ItemRevision
    guid: str | None = None
    quantity: msgspec.Raw = msgspec.field(default_factory=_null)
    line_number: Int64 | None = None
    ref_des: str | None = None
    notes: str | None = None


class BomRows(_Native, frozen=True):
    """The lines of a BOM."""

    count: Int64
    results: Annotated[tuple[BomRow, ...], msgspec.Meta(max_length=MAX_ROWS)]


class SubstituteRow(_Native, frozen=True):
    """An item that may stand in a line; quantity as of a line, rank: the lowest is taken first."""

    # Nothing of ours has a place for a note on a substitute.
    left_out: ClassVar = frozenset({"guid", "notes"})

    item: ItemRevision
    quantity: msgspec.Raw = msgspec.field(default_factory=_null)
    rank: Int64 | None = None


class SubstituteRows(_Native, frozen=True):
    """The substitutes of a line."""

    count: Int64
    results: Annotated[tuple[SubstituteRow, ...], msgspec.Meta(max_length=MAX_ROWS)]


class LineSubstitutes(SubstituteRows, frozen=True, kw_only=True):
    """The same with the line of the BOM that they are of."""

    line: Guid


class SourceRow(_Native, frozen=True):
    """A source relationship of an item.

    make_item: made in this company. mfr_item: the maker's part; None for one of any maker, and for
    what is made here. vendor_item: the part in the number of who sells it, which is the maker's
    part where the maker does. vendor_item_conversion_factor: how many are used of one that is
    bought. active_production, active_prototype: for what this source is used.
    """

    left_out: ClassVar = frozenset({"guid"})

    approved: bool
    make_item: bool = False
    active_production: bool = False
    active_prototype: bool = False
    mfr_item: Guid | None = None
    vendor_item: Guid | None = None
    vendor_item_conversion_factor: msgspec.Raw = msgspec.field(default_factory=_null)
    aml_rank: Int64 | None = None
    aml_split: Percent | None = None
    notes: str | None = None


class SourceRows(_Native, frozen=True):
    """The source relationships of an item."""

    count: Int64
    results: Annotated[tuple[SourceRow, ...], msgspec.Meta(max_length=MAX_ROWS)]


class SupplierItem(_Native, frozen=True):
    """A part in the number of its maker or vendor."""

    left_out: ClassVar = _LIFE_OF_AN_OBJECT | {"description", "name", "offTheShelf", "type", "uom"}

    guid: Name
    supplier: Guid
    number: str | None = None


class SupplierProfile(_Native, frozen=True):
    """A maker or vendor; supplier_id: what the workspace calls it."""

    # Of a maker the name counts; as a supplier it comes from procurement.
    left_out: ClassVar = _LIFE_OF_AN_OBJECT | {
        "accountNumber",
        "addresses",
        "approvalStatus",
        "description",
        "phoneNumbers",
        "website",
    }
    manners: ClassVar = {"name": of_id}

    guid: Name
    name: str
    supplier_id: str | None = None


class Requirement(_Native, frozen=True):
    """A rule that items may have to meet; the workspace chooses the name."""

    name: Name


class ComplianceRow(_Native, frozen=True):
    """How an item stands to a requirement: a word of Arena's."""

    requirement: Requirement
    status: Name


class ComplianceRows(_Native, frozen=True):
    """The requirements of an item."""

    count: Int64
    results: Annotated[tuple[ComplianceRow, ...], msgspec.Meta(max_length=MAX_ROWS)]


class ComponentItem(_Native, frozen=True):
    """What a BOM does not say of the item of a line: its unit."""

    # It comes as an item by itself.
    left_out: ClassVar = frozenset(ItemSpecs.__struct_encode_fields__) | ItemSpecs.left_out

    guid: Name
    uom: str | None = None


class BomSettings(_Native, frozen=True):
    """How Arena keeps the lines of this BOM.

    automatically_generate_line_numbers: Arena numbers them, and nobody else.
    check_reference_designators: there are as many as the quantity of their line says, none twice.
    """

    automatically_generate_line_numbers: bool = False
    check_reference_designators: bool = False


# Of the lines that have any.
Substitutes = Annotated[tuple[LineSubstitutes, ...], msgspec.Meta(max_length=MAX_ROWS)]
# The items of all lines of a BOM.
Components = Annotated[tuple[ComponentItem, ...], msgspec.Meta(max_length=MAX_ROWS)]


class ItemStatement(_Native, frozen=True):
    """What a client of Arena sends of an item revision, and what a read puts together.

    supplier_items, suppliers: those that the sources refer to; of vendors, those that were sent.
    components, compliance, substitutes, bom_settings: None where the client does not send them.
    """

    item: ItemSpecs
    bom: BomRows
    sourcing: SourceRows
    supplier_items: Annotated[tuple[SupplierItem, ...], msgspec.Meta(max_length=MAX_ROWS)] = ()
    suppliers: Annotated[tuple[SupplierProfile, ...], msgspec.Meta(max_length=MAX_ROWS)] = ()
    components: Components | None = None
    compliance: ComplianceRows | None = None
    substitutes: Substitutes | None = None
    bom_settings: BomSettings | None = None


# --- suppliers ---


class SupplierSpecs(_Native, frozen=True):
    """A maker or vendor as a record of its own.

    supplier_id: what the workspace calls it; no two have the same. approval_status: of the whole
    supplier.
    """

    left_out: ClassVar = _LIFE_OF_AN_OBJECT | {
        "accountNumber",
        "addresses",
        "description",
        "phoneNumbers",
        "website",
    }
    manners: ClassVar = _GUID

    guid: Name
    name: str
    supplier_id: str | None = None
    approval_status: str | None = None


class SupplierStatement(_Native, frozen=True):
    """What a client of Arena sends of a supplier, and what a read brings back."""

    supplier: SupplierSpecs


class SupplierReference(_Native, frozen=True):
    """A supplier in short."""

    manners: ClassVar = _GUID

    guid: Name
    supplier_id: Name


class SupplierNotice(_Native, frozen=True):
    """What a client sends of a supplier that is to be read."""

    supplier_notice: SupplierReference


# --- the outbound queue ---


class ChangeReference(_Native, frozen=True):
    """The change that an event is about, in short."""

    # The change is read.
    left_out: ClassVar = frozenset(
        {"approvedOnDateTime", "effectiveDateTime", "effectivityType", "title"}
    )
    manners: ClassVar = _GUID

    guid: Name
    number: Name


class QueueEvent(_Native, frozen=True):
    """An entry of the outbound queue: items got new revisions.

    change: what released them; none where that was done by hand.
    items_reconciled: whether somebody has dealt with all of them.
    """

    left_out: ClassVar = frozenset({"status"})
    manners: ClassVar = _GUID

    guid: Name
    event_type: Name
    creation_date_time: Instant
    items_reconciled: bool
    change: ChangeReference | None = None


class Integration(_Native, frozen=True):
    """An outbound integration; it has one queue."""

    manners: ClassVar = _GUID

    guid: Name


class EventNotice(_Native, frozen=True):
    """What a client that looks into the queue sends of each entry."""

    event: QueueEvent
    integration: Integration | None = None


class EventItem(_Native, frozen=True):
    """An item of an entry: the revision that became effective by it.

    reconciled: whether somebody has dealt with it.
    """

    # The item is read.
    left_out: ClassVar = frozenset(
        {"reconciledDateTime", "reconciledUser", "supersededItemRevision"}
    )
    manners: ClassVar = _GUID

    guid: Name
    reconciled: bool
    effective_item_revision: ItemRevision


class EventItems(_Native, frozen=True):
    """A page of the items of an entry."""

    results: Annotated[tuple[EventItem, ...], msgspec.Meta(max_length=MAX_ROWS)]


class EventItemNotice(_Native, frozen=True):
    """What a client sends of each item of an entry."""

    event_item: EventItem


# --- lists that name items ---


def _of_status(text: str) -> str:
    if text.strip() in TOLD:
        return of_id(text)
    return "It is no status of a revision: the number beside it counts, else a read tells"


class ItemReference(_Native, frozen=True):
    """A revision of an item in short; revision_status, status: as in the item itself."""

    # The item is read.
    left_out: ClassVar = frozenset(
        {"effectiveDateTime", "lifecyclePhase", "name", "revisionNumber"}
    )
    manners: ClassVar = {**_GUID, "revisionStatus": _of_status}

    guid: Name
    number: Name
    revision_status: str | None = None
    status: Int64 | None = None


class Trigger(_Native, frozen=True):
    """A rule of the workspace that an event came about by; resource: the kind of its objects."""

    left_out: ClassVar = frozenset({"action", "description", "guid", "name"})

    resource: Name


class OutboundEvent(_Native, frozen=True):
    """An event of the newer kind, which triggers bring about; its objects are not in it.

    resources_reconciled: whether somebody has dealt with all of them.
    """

    left_out: ClassVar = frozenset({"creator", "status"})
    manners: ClassVar = _GUID

    guid: Name
    event_type: Name
    creation_date_time: Instant
    resources_reconciled: bool
    triggers: Annotated[tuple[Trigger, ...], msgspec.Meta(max_length=MAX_ROWS)] = ()


class OutboundEventNotice(_Native, frozen=True):
    """What a client sends of each such event: beside it the changes and items that it is about."""

    outbound_event: OutboundEvent
    changes: Annotated[tuple[ChangeReference, ...], msgspec.Meta(max_length=MAX_ROWS)] = ()
    items: Annotated[tuple[ItemReference, ...], msgspec.Meta(max_length=MAX_ROWS)] = ()


class SourcedRow(_Native, frozen=True):
    """A source relationship seen from the supplier's item: which item it is a source of."""

    # All relationships of the item are read.
    left_out: ClassVar = frozenset(SourceRow.__struct_encode_fields__) | SourceRow.left_out

    item: ItemReference


class SourcedRows(_Native, frozen=True):
    """The relationships of a supplier's item."""

    count: Int64
    results: Annotated[tuple[SourcedRow, ...], msgspec.Meta(max_length=MAX_ROWS)]


class SupplierItemReference(_Native, frozen=True):
    """A part in the number of its maker or vendor, by its guid."""

    left_out: ClassVar = frozenset(SupplierItem.__struct_encode_fields__) | SupplierItem.left_out
    manners: ClassVar = _GUID

    guid: Name


class SupplierItemNotice(_Native, frozen=True):
    """What a client sends of a supplier's item whose use has changed."""

    supplier_item: SupplierItemReference
    sourcing: SourcedRows


# --- what is not there any more ---


class Gone(_Native, frozen=True):
    """What a read brings back of an object that is gone: what it was, and its guid."""

    gone: Literal[True]
    kind: Name
    id: Name


# --- what is written ---


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


class ReconcileItemBody(_Native, frozen=True):
    """That one item of an event is."""

    reconciled: Literal[True] = True


# --- errors ---


class Said(_Native, frozen=True):
    """One error: a number of Arena's and a sentence."""

    code: int | str = ""
    message: str | None = None


class ErrorDocument(_Native, frozen=True):
    """The body of a refusal; status: as the answer's own."""

    status: int
    errors: Annotated[tuple[Said, ...], msgspec.Meta(min_length=1)]
