"""The taxonomy of our own events: one row each, the table other teams read first.

Type on the wire: `com.layshaft.<object>.<past-tense>.v<n>`. The short form names queues.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Literal, get_args

import msgspec
from msgspec import UNSET, UnsetType

from canonical.bom import Bom, PlantBomState
from canonical.bounds import Instant, Int64
from canonical.change import ChangeMasterState, ChangeStatus, EngineeringChange
from canonical.envelope import Lane
from canonical.item import ApprovedManufacturer, ApprovedSupplier, Item, ItemKind, Lifecycle
from canonical.item_master import ItemMasterPatch
from canonical.order import OrderConfirmation, OrderStatus, PurchaseOrder
from canonical.own_work import (
    CaseOpened,
    CaseResolved,
    ChangeProgressed,
    StepEnd,
    StepEnded,
    StepOverdue,
)
from canonical.patterns import GRADES, Pattern
from canonical.purchase_contract import ContractExpiring, ContractStatus, PurchaseContract
from canonical.purchasing import InfoRecordTermsPatch
from canonical.quality_hold import QualityHold
from canonical.source_list import SourceList
from canonical.sourcing import Coverage
from canonical.sourcing_event import SourcingAward, SupplierMerged
from canonical.supplier import QualificationStatus, Supplier
from canonical.supplier_master import SupplierMasterPatch
from canonical.upcasts import earlier_versions

PREFIX = "com.layshaft."
SOURCE = "layshaft"


class AcceptedValue(msgspec.Struct, frozen=True):
    """A value that a person takes over from a system that does not own it.

    path: of the value, e.g. ["plants", "1100", "status"]. known, stated: JSON of what was known
    when it was shown, and of what is to be known; "" = nothing.
    """

    path: tuple[str, ...]
    known: str
    stated: str


class ForeignValuesAccepted(msgspec.Struct, frozen=True):
    """What is known of an object is to be what a system states that does not own it.

    key: of the object. stated_by: the system. dispute: number of the dispute between the two.
    document: JSON of the whole object, where nothing was known of it; "" where it was.
    """

    key: str
    stated_by: str
    dispute: Int64
    values: tuple[AcceptedValue, ...]
    document: str = ""


class ApprovalRequested(msgspec.Struct, frozen=True):
    """Somebody is waiting for a decision of a role."""

    change: str
    question: str
    text: str
    role: str
    evidence: tuple[str, ...] = ()


class ApprovalDecided(msgspec.Struct, frozen=True):
    """A decision was taken; verdict is also in the event's name. choice: the word it names, where
    the question is not answered by yes or no."""

    change: str
    question: str
    about: str
    by: str
    at: Instant
    reason: str = ""
    choice: str = ""


class ApprovalWithdrawn(msgspec.Struct, frozen=True):
    """A role is not asked any more: nobody decided, and nothing waits for it."""

    change: str
    question: str
    about: str


class SupplierReviewDecided(msgspec.Struct, frozen=True):
    """A review that was opened for a change is decided where it is held.

    by: who decided there; "" = the system does not say. origin: the system.
    """

    change: str
    supplier: str
    verdict: Literal["approved", "rejected"]
    by: str = ""
    reason: str = ""
    at: Instant | None = None
    origin: str | UnsetType = UNSET


class ChangeCompleted(msgspec.Struct, frozen=True):
    """Every step of the change is true in every plant and system."""

    number: str
    version: Int64
    title: str
    plants: tuple[str, ...]
    items: tuple[str, ...]


class PlanAdjustmentNeeded(msgspec.Struct, frozen=True):
    """Planning should look at these items in this plant: their definition changed."""

    change: str
    plant: str
    items: tuple[str, ...]


class NoticedItem(msgspec.Struct, frozen=True):
    """An item of a supplier's that a change is about.

    revision: label that is released; before: the one it supersedes, "" where none is. lifecycle:
    that it comes to, where the change says so.
    """

    number: str
    revision: str
    before: str = ""
    lifecycle: Lifecycle | None = None


class SupplierNotice(msgspec.Struct, frozen=True):
    """A supplier has to know of a change: it is about what the supplier delivers.

    contracts: under which the items are bought. orders: whether some of it is on order.
    takes_effect_at: when the change does; None = on its release. to_acknowledge: whether an answer
    is awaited.
    """

    change: str
    title: str
    supplier: str
    items: tuple[NoticedItem, ...]
    plants: tuple[str, ...]
    contracts: tuple[str, ...] = ()
    orders: bool = False
    takes_effect_at: Instant | None = None
    to_acknowledge: bool = False


class ChangeStanding(msgspec.Struct, frozen=True):
    """How a change stands at its PLM.

    before: None where nothing was known of it. stated_at: when it came to stand so.
    """

    number: str
    title: str
    status: ChangeStatus
    stated_at: Instant
    before: ChangeStatus | None = None


class ItemCreated(msgspec.Struct, frozen=True):
    """An item is on record that was not.

    change: that brought it; "" where the source does not say.
    """

    number: str
    revision: str
    lifecycle: Lifecycle
    kind: ItemKind
    description: str = ""
    change: str = ""


class ItemSuperseded(msgspec.Struct, frozen=True):
    """A revision has a successor.

    revision, by: labels of the one that was and of the one that takes its place. change: that made
    it; "" where the source does not say.
    """

    number: str
    revision: str
    by: str
    change: str = ""


class ItemStopped(msgspec.Struct, frozen=True):
    """An item is not to be used as it was.

    before: None where nothing was known of it. stated_as: the source's own word.
    """

    number: str
    revision: str
    lifecycle: Lifecycle
    before: Lifecycle | None = None
    change: str = ""
    stated_as: str = ""


class ApprovedSourcesChanged(msgspec.Struct, frozen=True):
    """Of which makers an item may be, and from whom it may be bought: as its PLM says now, and as
    it said before. Each list is whole.

    revision: label of the one that states it. change: that made it; "" where the source does not
    say.
    """

    number: str
    revision: str
    manufacturers: tuple[ApprovedManufacturer, ...]
    suppliers: tuple[ApprovedSupplier, ...]
    manufacturers_before: tuple[ApprovedManufacturer, ...]
    suppliers_before: tuple[ApprovedSupplier, ...]
    change: str = ""


class SupplierStanding(msgspec.Struct, frozen=True):
    """How a supplier stands now.

    status: its own qualification for everything it sells, None where nobody stated one; that for a
    part of it, or by its parent, is in `supplier.changed`. before: status that was known before.
    valid_until: last valid day; None = open.
    """

    number: str
    name: str
    active: bool
    status: QualificationStatus | None = None
    before: QualificationStatus | None = None
    valid_until: date | None = None
    stated_as: str = ""


class OrderStanding(msgspec.Struct, frozen=True):
    """How a purchase order stands now.

    before: None where it was not known. items: ours that are on its lines, or were on those that
    were known before, each once, in order.
    """

    number: str
    supplier: str
    status: OrderStatus
    before: OrderStatus | None = None
    items: tuple[str, ...] = ()


class ContractStanding(msgspec.Struct, frozen=True):
    """How a purchase contract stands now.

    before: None where it was not known. first_day, last_day: both inclusive; None = open. items:
    ours that are on its lines, each once, in order.
    """

    number: str
    supplier: str
    status: ContractStatus
    first_day: date
    before: ContractStatus | None = None
    last_day: date | None = None
    items: tuple[str, ...] = ()
    stated_as: str = ""


class EventType(msgspec.Struct, frozen=True):
    """One row of the taxonomy.

    name: `<object>.<past-tense>`. key: what the business key looks like. lane: in which it goes;
    lane_rules: others that it takes instead, and where. owner: team that answers for its meaning.
    why: what depends on it, which decides the lane and so the pattern. on_request: told only where
    the configuration names a subscriber of it. How long it is kept is no matter of the event: the
    log keeps all for as long.
    """

    name: str
    version: int
    data: type[msgspec.Struct]
    key: str
    lane: Lane
    owner: str
    description: str
    why: str
    lane_rules: Mapping[Lane, str] = {}
    on_request: bool = False

    @property
    def type(self) -> str:
        """CloudEvents type."""
        return f"{PREFIX}{self.name}.v{self.version}"

    @property
    def pattern(self) -> Pattern:
        """As its criticality decides, which is that of its lane."""
        return GRADES[self.lane].pattern

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """Those it may take, the most critical one first."""
        return tuple(lane for lane in get_args(Lane) if self.may_take(lane))

    @property
    def lane_rule(self) -> str:
        """Which lane it takes, in words."""
        if not self.lane_rules:
            return f"always {self.lane}"
        others = [f"{lane} {where}" for lane, where in self.lane_rules.items()]
        return "; ".join((*others, f"else {self.lane}"))

    def may_take(self, lane: Lane) -> bool:
        """Whether it is ever emitted in that lane."""
        return lane == self.lane or lane in self.lane_rules


_ENG, _PRO, _OPS, _QUALITY = "engineering", "procurement", "operations", "quality"
_CHANGE = "engineering-change/<number>"
_HOLD = "quality-hold/<number>"
_STEP = "step/<ledger that it stands in>"
_STEP_ENDS: dict[StepEnd, str] = {
    "done": "is confirmed",
    "failed": "is refused, or failed for good: a person has to look at it",
    "cancelled": "was not made: nobody plans it any more",
    "superseded": "was made and is not planned any more, or is planned otherwise",
}
_URGENT: Mapping[Lane, str] = {"critical": "where its urgency is critical, emergency or high"}
_OF_URGENT: Mapping[Lane, str] = {
    "critical": "where the urgency of its change is critical, emergency or high"
}
_REVIEW = "supplier-review/<change>:<supplier>"
_ORDER, _CONFIRMED = "purchase-order/<number>", "order-confirmation/<number of the order>"

EVENTS: dict[str, EventType] = {
    row.name: row
    for row in (
        EventType(
            "engineering-change.submitted", 1, ChangeStanding, _CHANGE, "enrichment", _ENG,
            "A change order waits for approval at its PLM",
            "Buyers and planners look at it before it is decided; nothing is done by it yet",
        ),
        EventType(
            "engineering-change.approved", 1, ChangeStanding, _CHANGE, "standard", _ENG,
            "A change order is approved at its PLM; some release it by that",
            "What takes long can be begun, the sooner the better",
        ),
        EventType(
            "engineering-change.released", 1, EngineeringChange, _CHANGE, "standard", _ENG,
            "A change order is released for the plants it is effective in",
            "A plant that does not know of it builds the old revision; no one system can wait for"
            " all the others",
            lane_rules=_URGENT,
        ),
        EventType(
            "engineering-change.effective", 1, ChangeStanding, _CHANGE, "standard", _ENG,
            "A change order is in force, as its PLM says; nobody here watches its day",
            "From now on the new revisions are built",
        ),
        EventType(
            "engineering-change.cancelled", 1, EngineeringChange, _CHANGE, "standard", _ENG,
            "A change order that was released is taken back by its PLM",
            "What is not done yet must not be done any more; what is done, somebody has to judge",
            lane_rules=_URGENT,
        ),
        EventType(
            "engineering-change.completed", 1, ChangeCompleted, _CHANGE, "standard", _ENG,
            "All steps of a released change are true in all systems",
            "Planning and operations go on by it",
        ),
        EventType(
            "engineering-change.progressed", 1, ChangeProgressed, "change-progress/<number>",
            "standard", _OPS,
            "A released change has begun, is blocked and by whom, goes on, or has ended; told where"
            " somebody subscribes to it",
            "Its PLM and whoever plans by it see where it stands without asking",
            on_request=True,
        ),
        EventType(
            "change-master.changed", 1, ChangeMasterState, "change-master/<number>", "standard",
            _OPS,
            "An ERP holds a change under another state now; it is stated whole",
            "Nothing can be changed under its number while it is locked, inactive or deleted",
        ),
        EventType(
            "item.released", 1, Item, "item/<number>", "standard", _ENG,
            "An item revision is released",
            "Changes wait for the items they release",
        ),
        EventType(
            "item.created", 1, ItemCreated, "item/<number>", "enrichment", _ENG,
            "An item is on record that was not",
            "Who classifies or sources items looks at new ones together; nothing waits for that",
        ),
        EventType(
            "item.superseded", 1, ItemSuperseded, "item/<number>", "standard", _ENG,
            "A revision has a successor, which is on record now",
            "What is on order or in stock of the old one has to be decided on",
        ),
        EventType(
            "item.blocked", 1, ItemStopped, "item/<number>", "standard", _ENG,
            "An item is on hold",
            "It must not be bought or built meanwhile",
        ),
        EventType(
            "item.obsoleted", 1, ItemStopped, "item/<number>", "standard", _ENG,
            "An item is obsolete",
            "It must not be bought any more",
        ),
        EventType(
            "item.changed", 1, ItemMasterPatch, "item-master/<number>", "standard", _OPS,
            "An ERP says something else of a material; what it does not say is as it was",
            "Plants buy and plan by it",
        ),
        EventType(
            "bom.released", 1, Bom, "bom/<parent item>", "standard", _ENG,
            "The structure of an item revision is released",
            "Changes wait for the structures they release",
        ),
        EventType(
            "bom.changed", 1, PlantBomState, "plant-bom/<plant>/<usage>/<alternative>/<parent>",
            "standard", _OPS,
            "A plant's BOM in an ERP is another one now; it is stated whole",
            "The plant builds by it",
        ),
        EventType(
            "supplier.changed", 1, Supplier, "supplier/<number>", "standard", _PRO,
            "A supplier or its qualification changed",
            "Purchasing steps stop or go on by it",
        ),
        EventType(
            "supplier.registered", 1, SupplierStanding, "supplier/<number>", "enrichment", _PRO,
            "A supplier is on record that was not",
            "Who qualifies suppliers looks at new ones together; nothing is bought there before",
        ),
        EventType(
            "supplier.qualified", 1, SupplierStanding, "supplier/<number>", "standard", _PRO,
            "A supplier is qualified for everything, and was not known to be",
            "What waits for it may be bought there",
        ),
        EventType(
            "supplier.disqualified", 1, SupplierStanding, "supplier/<number>", "standard", _PRO,
            "A supplier is disqualified for everything, and was not known to be",
            "What is bought there has to come from elsewhere",
        ),
        EventType(
            "supplier.blocked", 1, SupplierStanding, "supplier/<number>", "standard", _PRO,
            "Procurement has made a supplier inactive",
            "No order goes there any more",
        ),
        EventType(
            "supplier.merged", 1, SupplierMerged, "supplier/<number>", "standard", _PRO,
            "Suppliers that were several are one now",
            "What is bought from those that are gone goes on with the one that stays",
        ),
        EventType(
            "supplier-master.changed", 1, SupplierMasterPatch, "supplier-master/<number>",
            "standard", _OPS,
            "An ERP says something else of a supplier; what it does not say is as it was",
            "A block in the ERP stops what is bought there",
        ),
        EventType(
            "sourcing.changed", 1, Coverage, "coverage/<item>", "standard", _PRO,
            "Contract lines that cover an item changed; of its approved makers and vendors, AML and"
            " AVL, `approved-sources.changed` tells",
            "Purchasing steps of a change wait for it",
        ),
        EventType(
            "approved-sources.changed", 1, ApprovedSourcesChanged, "item/<number>", "standard",
            _ENG,
            "Other makers or vendors (AML, AVL) are approved for an item that was on record; a new"
            " item comes with its own in `item.released`",
            "What is bought of whom is not approved any more has to come from elsewhere",
        ),
        EventType(
            "sourcing-event.awarded", 1, SourcingAward, "sourcing-event/<number>", "standard", _PRO,
            "A sourcing event was awarded to one or several suppliers",
            "Contracts and orders that follow from it can be prepared",
        ),
        EventType(
            "info-record.changed", 1, InfoRecordTermsPatch,
            "info-record/<supplier>/<organisation>/<plant>/<category>/<item>", "standard", _OPS,
            "An ERP says something else of the terms on which an item is bought; what it does not"
            " say is as it was",
            "Orders are placed by it",
        ),
        EventType(
            "contract.changed", 1, PurchaseContract, "contract/<number>", "standard", _PRO,
            "A purchase contract is another one now; it is stated whole",
            "What is bought under it has to be bought elsewhere once it ends or is drawn",
        ),
        EventType(
            "contract.activated", 1, ContractStanding, "contract/<number>", "standard", _PRO,
            "A purchase contract may be bought on, within its days",
            "What waits for its prices may be ordered",
        ),
        EventType(
            "contract.expiring", 1, ContractExpiring, "contract/<number>", "standard", _PRO,
            "An active purchase contract ends within days, by its last day; told once a last day,"
            " where somebody subscribes to it",
            "A successor has to be agreed on before it ends",
            on_request=True,
        ),
        EventType(
            "contract.expired", 1, ContractStanding, "contract/<number>", "standard", _PRO,
            "A purchase contract has ended, as its source says; nobody here watches its last day",
            "What was bought under it has to be bought elsewhere",
        ),
        EventType(
            "source-list.changed", 1, SourceList, "source-list/<plant>/<item>", "standard", _OPS,
            "From whom a plant may buy an item is another list now; it is stated whole",
            "Orders go to whom it allows",
        ),
        EventType(
            "purchase-order.created", 1, PurchaseOrder, _ORDER, "standard", _PRO,
            "An order was placed with a supplier",
            "What is on order decides what a change costs",
        ),
        EventType(
            "purchase-order.changed", 1, PurchaseOrder, _ORDER, "standard", _PRO,
            "An order is another one now; it is stated whole",
            "What is on order decides what a change costs",
        ),
        EventType(
            "purchase-order.closed", 1, OrderStanding, _ORDER, "standard", _PRO,
            "An order is closed or cancelled: nothing more is expected of it",
            "What is on order decides what a change costs",
        ),
        EventType(
            "order-confirmation.accepted", 1, OrderConfirmation, _CONFIRMED, "standard", _PRO,
            "A supplier promises an order as it was placed",
            "Planning may rely on it",
        ),
        EventType(
            "order-confirmation.changed", 1, OrderConfirmation, _CONFIRMED, "standard", _PRO,
            "A supplier promises something else than was ordered",
            "Somebody has to accept it or to buy elsewhere",
        ),
        EventType(
            "order-confirmation.backordered", 1, OrderConfirmation, _CONFIRMED, "standard", _PRO,
            "A supplier cannot say when some of an order comes",
            "Somebody has to wait for it or to buy elsewhere",
        ),
        EventType(
            "order-confirmation.rejected", 1, OrderConfirmation, _CONFIRMED, "standard", _PRO,
            "A supplier does not take an order",
            "Somebody has to buy elsewhere",
        ),
        EventType(
            "quality-hold.placed", 1, QualityHold, _HOLD, "critical", _QUALITY,
            "Quality holds an item, or some lots or serials of it",
            "What is held must not be built in or shipped from this moment on",
        ),
        EventType(
            "quality-hold.lifted", 1, QualityHold, _HOLD, "critical", _QUALITY,
            "Quality lets go what it held",
            "A line that stands still for want of it can go on",
        ),
        EventType(
            "case.opened", 1, CaseOpened, "case/<number>", "enrichment", _OPS,
            "Something needs a person; told where somebody subscribes to it",
            "It is for lists and reminders: whose turn it is stands in Layshaft at once",
            on_request=True,
        ),
        EventType(
            "case.resolved", 1, CaseResolved, "case/<number>", "enrichment", _OPS,
            "A case that was told of is not open any more; told where somebody subscribes to it",
            "It is for lists and reminders: whose turn it is stands in Layshaft at once",
            on_request=True,
        ),
        *(
            EventType(
                f"step.{end}", 1, StepEnded, _STEP, "enrichment", _OPS,
                f"A call to a target {what}; told where somebody subscribes to it",
                "It is for reports: what depends on it goes on by itself",
                on_request=True,
            )
            for end, what in _STEP_ENDS.items()
        ),
        EventType(
            "step.overdue", 1, StepOverdue, _STEP, "standard", _OPS,
            "A decision, a refused one or a failed call waits too long and has gone on; told where"
            " somebody subscribes to it",
            "Who may decide or mend it has to hear of it; steps behind it stand still until then",
            on_request=True,
        ),
        EventType(
            "supplier-notice.issued", 1, SupplierNotice, _CHANGE, "standard", _PRO,
            "A supplier has to know of a change to what it delivers",
            "Until it is passed on the supplier makes what is not wanted any more",
            lane_rules=_OF_URGENT,
        ),
        EventType(
            "supplier-review.decided", 1, SupplierReviewDecided, _REVIEW, "standard", _PRO,
            "A review of a supplier that a change asked for is decided where it is held",
            "The change waits for it, and goes on or stops by it",
        ),
        EventType(
            "approval.requested", 1, ApprovalRequested, _CHANGE, "standard", _OPS,
            "A role is asked for a decision",
            "Steps behind the decision stand still until somebody hears of it",
            lane_rules=_OF_URGENT,
        ),
        EventType(
            "approval.granted", 1, ApprovalDecided, _CHANGE, "standard", _OPS,
            "A decision was taken: go on",
            "Who asked waits to know; what it sets free goes on by itself",
            lane_rules=_OF_URGENT,
        ),
        EventType(
            "approval.refused", 1, ApprovalDecided, _CHANGE, "standard", _OPS,
            "A decision was taken: do not go on",
            "Who asked has to look for another way",
            lane_rules=_OF_URGENT,
        ),
        EventType(
            "approval.withdrawn", 1, ApprovalWithdrawn, _CHANGE, "standard", _OPS,
            "A role that was asked for a decision is not asked any more",
            "Who was asked would decide on what nobody waits for",
            lane_rules=_OF_URGENT,
        ),
        EventType(
            "foreign-values.accepted", 1, ForeignValuesAccepted,
            "the key of the object", "standard", _OPS,
            "A person has taken over what a system states that does not own it",
            "Until it is taken in the systems go on with different values",
        ),
        EventType(
            "plan.adjustment-needed", 1, PlanAdjustmentNeeded, _CHANGE, "enrichment", _OPS,
            "Planning should look at changed items of a plant",
            "Planners look once a day, at all of them together",
        ),
    )
}  # fmt: skip

BY_TYPE: dict[str, tuple[EventType, int]] = {
    f"{PREFIX}{row.name}.v{version}": (row, version)
    for row in EVENTS.values()
    for version in (*earlier_versions(row.name, present=row.version), row.version)
}
"""Types that can be read, with the version they are."""
