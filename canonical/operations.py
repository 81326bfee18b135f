"""What a step can ask for: operations on target systems, decisions of people, waits, notices.

Each is a tagged struct; the tag is the verb shown in ledgers. Drivers match on the type.
"""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from canonical.bom import PlantBom
from canonical.bounds import Instant
from canonical.change import ChangedObjects, ChangeMaster
from canonical.item import Item, Procurement
from canonical.order import OrderedLine, PurchaseOrder
from canonical.purchase_contract import PurchaseContract
from canonical.purchasing import InfoRecord
from canonical.source_list import SourceList
from canonical.supplier_master import SupplierMaster

StepKind = Literal["call", "approval", "wait", "announce"]


class PutChangeMaster(msgspec.Struct, frozen=True, tag="put-change-master"):
    """The target holds the change under its number, and items and BOMs may refer to it."""

    change: ChangeMaster


class PutChangedObjects(msgspec.Struct, frozen=True, tag="put-changed-objects"):
    """The target lists these items and BOMs under the change's number; others may stand there."""

    objects: ChangedObjects


class PutItem(msgspec.Struct, frozen=True, tag="put-item"):
    """The target holds the item master as given, in all plants."""

    item: Item


class ExtendToPlant(msgspec.Struct, frozen=True, tag="extend-to-plant"):
    """The target holds a plant view of the item. base_unit: Rec 20 code."""

    item: str
    plant: str
    procurement: Procurement
    base_unit: str
    purchasing_group: str


class PutPlantStatus(msgspec.Struct, frozen=True, tag="put-plant-status"):
    """The item has this status in the plant; or, where it is lifted, it has it no longer.

    status: code of the target's own. A plant without a view of the item has nothing to stop.
    Another status is neither written over nor lifted.
    """

    item: str
    plant: str
    status: str
    is_lifted: bool = False


class PutBom(msgspec.Struct, frozen=True, tag="put-bom"):
    """The target holds the plant's BOM with exactly the engineering lines given, and the lines that
    are the plant's own as they are."""

    bom: PlantBom


class PutInfoRecord(msgspec.Struct, frozen=True, tag="put-info-record"):
    """The target holds one info record with these terms for supplier, item, organisation, plant."""

    record: InfoRecord


class PutSupplier(msgspec.Struct, frozen=True, tag="put-supplier"):
    """The target holds the supplier as the ERP that keeps it has it."""

    supplier: SupplierMaster


class PutOrder(msgspec.Struct, frozen=True, tag="put-order"):
    """The target holds the order with the lines given, under a reference to its number; one without
    lines is cancelled there, or was never known.

    purchasing_group: who buys, for a target that has to be told so when the order is placed there;
        "" = nobody is named.
    """

    order: PurchaseOrder
    purchasing_group: str = ""


class PutContract(msgspec.Struct, frozen=True, tag="put-contract"):
    """The target holds the contract with the lines given, under a reference to its number; of one
    that is suspended or has ended it lets nothing be bought.

    purchasing_group: as of an order.
    """

    contract: PurchaseContract
    purchasing_group: str = ""


# What is left out at its default: lists that were put before keep their digest.
class PutSourceList(msgspec.Struct, frozen=True, tag="put-source-list", omit_defaults=True):
    """The target lets the plant buy the item from the sources given, on their days.

    is_partial: they are a part of the list; its other rows stay as they are, whosever they are. A
        block of a source given is neither written over nor lifted.
    """

    sources: SourceList
    is_partial: bool = False


class PublishItem(msgspec.Struct, frozen=True, tag="publish-item"):
    """Procurement's catalogue shows this revision, its manufacturers and compliance marks."""

    item: Item


class ReadCoverage(msgspec.Struct, frozen=True, tag="read-coverage"):
    """Procurement has been asked which published contracts cover the item."""

    item: str


class ReadSupplier(msgspec.Struct, frozen=True, tag="read-supplier"):
    """Procurement has been asked for the supplier and its qualification."""

    supplier: str


class ReadObject(msgspec.Struct, frozen=True, tag="read-object"):
    """The target has been asked what an object is now, since a message told no more than its key.

    kind: what is read, in a word of the driver's, e.g. "purchase-order"; id: as the target writes
    it. key: business object that the answer is about. asked: place in the log of the message that
    asked, and correlation_id its story, which the answer goes on with.
    """

    kind: str
    id: str
    key: str
    asked: int
    correlation_id: str


class RequestReview(msgspec.Struct, frozen=True, tag="request-review"):
    """Procurement holds an open qualification review under `reference`."""

    supplier: str
    change: str
    items: tuple[str, ...]
    reason: str
    reference: str


class CloseReview(msgspec.Struct, frozen=True, tag="close-review"):
    """Procurement holds no open review under `reference`: it is closed, whichever way, or there
    never was one.

    verdict: that of Layshaft, or that nobody asks any more. reason: who decided and why, in words.
    """

    supplier: str
    reference: str
    verdict: Literal["approved", "rejected", "withdrawn"]
    reason: str


class ReportImplementation(msgspec.Struct, frozen=True, tag="report-implementation"):
    """The PLM shows that the change is implemented, and closes it.

    source_id: of the change, as its PLM writes it. comment: what people read there.
    """

    change: str
    source_id: str
    status: Literal["done"]
    comment: str


class Reconcile(msgspec.Struct, frozen=True, tag="reconcile"):
    """The PLM shows its notice of the change as dealt with, or what it says of one item.

    notice: as its PLM names it. item: number of that item; "" = the whole notice.
    """

    change: str
    notice: str
    item: str = ""


# What is left out at its default: a question that was decided keeps its digest over new fields.
class Approve(msgspec.Struct, frozen=True, tag="approve", omit_defaults=True):
    """A person of the owning role has decided the question, or as many as have to sign.

    question: kebab-case word; text: the sentence the person reads; evidence: lines below it.
    signatures: persons who have to approve the same content; one rejection is enough. covers:
    digest of all that is asked about, where the evidence shows a part of it.
    choices: words of which the decision names one, instead of yes or no; () = it is yes or no.
    order_line: that the question is about, where it is about one.
    """

    question: str
    text: str
    evidence: tuple[str, ...] = ()
    signatures: int = 1
    covers: str = ""
    choices: tuple[str, ...] = ()
    order_line: OrderedLine | None = None


class AwaitFact(msgspec.Struct, frozen=True, tag="await-fact"):
    """A document newer than `seen` is known.

    fact: document key. seen: version the plan was made on, 0 = none.
    """

    fact: str
    seen: int
    reason: str


class AwaitTime(msgspec.Struct, frozen=True, tag="await-time"):
    """That moment has come: a plan made from then on does not wait for it any more.

    at: UTC. reason: what comes with it, e.g. "ECO-7 takes effect".
    """

    at: Instant
    reason: str


class Announce(msgspec.Struct, frozen=True, tag="announce"):
    """An event of ours has been published.

    event: `<object>.<past-tense>`; key: its business object; data: its JSON content.
    """

    event: str
    key: str
    data: msgspec.Raw


# Verbs that ask a system and write nothing.
READS = frozenset({"read-coverage", "read-object", "read-supplier"})

# Verbs that ask a system and change nothing anybody would take back; a review that is requested, or
# closed, is written nevertheless.
QUESTIONS = READS | {"request-review", "close-review"}

# Verbs that tell the PLM what has become true: nothing of a change is less true without them.
REPORTS = frozenset({"report-implementation", "reconcile"})

Operation = (
    PutChangeMaster
    | PutChangedObjects
    | PutItem
    | ExtendToPlant
    | PutPlantStatus
    | PutBom
    | PutInfoRecord
    | PutSupplier
    | PutOrder
    | PutContract
    | PutSourceList
    | PublishItem
    | ReadCoverage
    | ReadSupplier
    | ReadObject
    | RequestReview
    | CloseReview
    | ReportImplementation
    | Reconcile
    | Approve
    | AwaitFact
    | AwaitTime
    | Announce
)


def verb(operation: Operation | type[Operation]) -> str:
    """The operation's word in ledgers, e.g. "put-bom"."""
    return str(operation.__struct_config__.tag)


CALLS = frozenset(
    verb(each)
    for each in get_args(Operation)
    if each not in (Approve, AwaitFact, AwaitTime, Announce)
)
"""Verbs that a system makes true."""


def kind(operation: Operation) -> StepKind:
    """Who makes the operation true: a system, a person, what arrives by itself, or Layshaft."""
    match operation:
        case Approve():
            return "approval"
        case AwaitFact() | AwaitTime():
            return "wait"
        case Announce():
            return "announce"
        case _:
            return "call"


def changes_a_system(operation: Operation) -> bool:
    """Whether a system shows something else once it is true: not so what only asks."""
    return kind(operation) == "call" and verb(operation) not in QUESTIONS
