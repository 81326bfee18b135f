"""Items, their revisions as far as the workflows need them, who may make and sell them, and the
documents that belong to them."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from canonical.bounds import Instant, Int64
from canonical.quantity import ItemUnit, Quantity, Ratio
from canonical.revision import Revision

# Life cycle in the order of domain practice; vendor words are mapped by each driver's table.
Lifecycle = Literal["in_design", "in_review", "released", "superseded", "on_hold", "obsolete"]
ItemKind = Literal["part", "assembly", "document", "service"]
Procurement = Literal["make", "buy", "phantom", "none"]
ApprovalStatus = Literal["approved", "conditional", "disapproved", "obsolete"]
SourcingStage = Literal["prototype", "production"]


class ApprovedManufacturer(msgspec.Struct, frozen=True, gc=False):
    """One AML entry: this maker's part may be used for the item.

    rank: 1 is preferred; None where the source gives no ranking. split_percent: share of what is
    bought that should be this part; None where nobody says. active: for what it is used now; ()
    where it is used for neither, or the source does not say.
    """

    manufacturer: str
    part: str
    status: ApprovalStatus
    rank: Int64 | None = None
    note: str = ""
    split_percent: Int64 | None = None
    active: tuple[SourcingStage, ...] = ()


class ApprovedSupplier(msgspec.Struct, frozen=True, gc=False):
    """One AVL entry: the item may be bought from this supplier, who has a number of his own for it.

    plant: "" = all plants. to_base: one of what the supplier counts is so many base units; None =
    one of them. split_percent, active: as of a manufacturer's part. Whether the supplier itself may
    be bought from is another matter: its qualification (`canonical/eligibility.py`).
    """

    supplier: str
    part: str
    status: ApprovalStatus
    plant: str = ""
    to_base: Ratio | None = None
    lead_time_days: Int64 | None = None
    note: str = ""
    split_percent: Int64 | None = None
    active: tuple[SourcingStage, ...] = ()


class ItemDocument(msgspec.Struct, frozen=True, gc=False):
    """A document that belongs to an item, by reference: its content stays where it is.

    number, revision: the source's own. location: where the source has it, an address or the name of
    a file in a package. media_type: as the source writes it. size: bytes.
    """

    number: str
    revision: str = ""
    title: str = ""
    location: str = ""
    media_type: str = ""
    size: Int64 | None = None
    modified_at: Instant | None = None


class Classification(msgspec.Struct, frozen=True, gc=False):
    """A class of a scheme such as UNSPSC, eCl@ss or HS; text: what the source calls the class."""

    scheme: str
    code: str
    text: str = ""


class ComplianceMark(msgspec.Struct, frozen=True, gc=False):
    """A statement such as RoHS or REACH: scheme, and the value as the source states it."""

    scheme: str
    value: str


class Item(msgspec.Struct, frozen=True, gc=False):
    """One revision of an item as engineering defines it.

    base_unit: Rec 20 code (or X-prefixed Rec 21).
    family: product family, decides plants and regulation; "" where the source has none.
    phase: the source's own life-cycle word, kept for people; `lifecycle` is the mapped one.
    released_at: when this revision was released: the order of revisions. stated_at: when the
        source said all this.
    source_id: the source's opaque object id, case-sensitive.
    origin: system that says so; not on record.
    """

    number: str
    revision: Revision
    lifecycle: Lifecycle
    description: str
    kind: ItemKind
    procurement: Procurement
    base_unit: str
    family: str = ""
    category: str = ""
    phase: str = ""
    alternates: tuple[ItemUnit, ...] = ()
    weight: Quantity | None = None
    compliance: tuple[ComplianceMark, ...] = ()
    manufacturers: tuple[ApprovedManufacturer, ...] = ()
    released_at: Instant | None = None
    stated_at: Instant | None = None
    change: str = ""
    source_id: str = ""
    suppliers: tuple[ApprovedSupplier, ...] = ()
    documents: tuple[ItemDocument, ...] = ()
    classes: tuple[Classification, ...] = ()
    origin: str | UnsetType = UNSET


class ItemRevisions(msgspec.Struct, frozen=True):
    """An item as each of its revisions was released last, the newest first."""

    items: tuple[Item, ...]


# Name under which an item's revisions are found.
ITEM_REVISIONS = "item-revisions"


def item_key(number: str) -> str:
    """Order and document key of an item."""
    return f"item/{number}"


def item_revisions_key(number: str) -> str:
    """Name of all revisions of an item that are on record."""
    return f"{ITEM_REVISIONS}/{number}"
