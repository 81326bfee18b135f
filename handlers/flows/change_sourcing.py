"""How the bought items of a change come to be purchasable: catalogue, contracts, suppliers, terms.

Each plant buys under one contract line, which names the supplier. Where that supplier is not
qualified, its info records, and nothing else, wait for a person's decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal

import msgspec

from canonical.change import change_key
from canonical.codec import encode
from canonical.effects import Open, Step
from canonical.errors import InvalidMessage
from canonical.events import ApprovalRequested
from canonical.item import Item, Lifecycle, item_key
from canonical.operations import (
    Approve,
    PublishItem,
    PutInfoRecord,
    ReadCoverage,
    ReadSupplier,
    RequestReview,
)
from canonical.purchasing import InfoRecord
from canonical.quantity import Quantity, convert_exact
from canonical.rules import Plant
from canonical.sourcing import Coverage, CoverageLine, coverage_key
from canonical.supplier import Supplier, supplier_key
from handlers.flows.change_scope import is_bought
from handlers.flows.planning import LAYSHAFT, PROCUREMENT, Planning

QUALIFICATION = "supplier-qualification"
# What is not released yet gets its terms too, beside the finding: prototypes are bought as well.
# What is on hold or obsolete is shown as such in the catalogue and gets none.
PURCHASABLE: frozenset[Lifecycle] = frozenset({"in_design", "in_review", "released", "superseded"})


class Purchase(msgspec.Struct, frozen=True):
    """A plant's terms for an item, by the contract of a supplier.

    held: waits for definitions, without which it may not come to that.
    """

    item: str
    plant: str
    line: CoverageLine
    record: InfoRecord
    held: tuple[Step, ...]


class Sourcing(msgspec.Struct, frozen=True):
    """Steps, and cases for what only a person can mend."""

    steps: tuple[Step, ...] = ()
    cases: tuple[Open, ...] = ()


def sourcing_steps(
    planning: Planning, waits: dict[str, Step], views: dict[tuple[str, str], Step]
) -> Sourcing:
    """Everything between a bought item and its info records, as far as procurement has answered.

    waits: for definitions, by fact. views: the items' plant views by (item, plant).
    """
    published = publish_steps(planning, waits)
    asked = coverage_questions(planning, waits)
    unanswered = coverage_waits(planning, asked)
    purchases: list[Purchase] = []
    gaps: list[Sourcing] = []
    for number in asked:
        for found in _per_plant(planning, waits, number):
            if isinstance(found, Purchase):
                purchases.append(found)
            else:
                gaps.append(found)
    open_ends = (*waits.values(), *unanswered.values())
    steps = [*published.values(), *asked.values(), *unanswered.values()]
    steps += [step for gap in gaps for step in gap.steps]
    cases = [case for gap in gaps for case in gap.cases]
    for supplier in sorted({purchase.line.supplier for purchase in purchases}):
        theirs = [purchase for purchase in purchases if purchase.line.supplier == supplier]
        gate, before = supplier_gate(planning, supplier, theirs, open_ends)
        steps += gate.steps
        cases += gate.cases
        for purchase in theirs:
            view = views[purchase.item, purchase.plant]
            after = (view, published[purchase.item], *before)
            steps.append(_info_record_step(planning, purchase, after))
    return Sourcing(tuple(steps), tuple(cases))


def publish_steps(planning: Planning, waits: dict[str, Step]) -> dict[str, Step]:
    """Procurement's catalogue shows each bought item; by number."""
    return {
        item.number: planning.step(
            PROCUREMENT,
            ("item", item.number),
            PublishItem(as_defined(item)),
            after=planning.waits_before(waits, item.number, planning.scope.plants[item.number]),
            owner="sourcing",
        )
        for item in planning.scope.items
        if is_bought(item)
    }


def as_defined(item: Item) -> Item:
    """The item without what varies between two statements of one definition."""
    return msgspec.structs.replace(item, stated_at=None)


def coverage_questions(planning: Planning, waits: dict[str, Step]) -> dict[str, Step]:
    """Procurement is asked which contracts cover each item that may be bought; by number."""
    return {
        item.number: planning.step(
            PROCUREMENT,
            ("coverage", item.number),
            ReadCoverage(item.number),
            after=planning.waits_before(waits, item.number, planning.scope.plants[item.number]),
            owner="sourcing",
        )
        for item in planning.scope.items
        if is_bought(item) and item.lifecycle in PURCHASABLE
    }


def coverage_waits(planning: Planning, asked: dict[str, Step]) -> dict[str, Step]:
    """Waits for the answers that have not come; by number."""
    return {
        number: planning.wait(
            coverage_key(number),
            f"Procurement has not answered which contracts cover {number}",
            "sourcing",
            after=[question],
        )
        for number, question in asked.items()
        if planning.facts.coverage(number) is None
    }


# Contracts


def usable_line(coverage: Coverage, plant: Plant, today: date) -> CoverageLine | None:
    """The contract line under which a plant buys an item, of those that cover plant and day.

    A plant that buys centrally uses contracts of the whole company before those of certain
    plants, one that buys locally the other way round. Then the lowest contract number counts,
    and of its lines the one that began last. Prices are not compared: which contract is the
    better one is decided by the buyers, who end the other.
    """
    own_first = plant.sourcing == "local"

    def rank(line: CoverageLine) -> tuple[bool, str, str, int, bytes]:
        is_own = bool(line.plants)
        begun = -line.first_day.toordinal()
        return (is_own != own_first, line.contract, line.supplier, begun, encode(line))

    usable = [line for line in coverage.lines if line.covers(plant.code, today)]
    return min(usable, key=rank, default=None)


def _per_plant(
    planning: Planning, waits: dict[str, Step], number: str
) -> Iterator[Purchase | Sourcing]:
    """For each plant of the item its purchase, or the gap; nothing before procurement answered.

    A gap is nobody's business yet where a definition that is awaited may close it.
    """
    item, coverage = planning.facts.item(number), planning.facts.coverage(number)
    if item is None or coverage is None:
        return
    for code in planning.scope.plants[number]:
        held = planning.waits_before(waits, number, [code])
        found = _purchase(planning, item, coverage, code, held)
        if isinstance(found, Purchase) or not held:
            yield found


def _purchase(
    planning: Planning, item: Item, coverage: Coverage, code: str, held: tuple[Step, ...]
) -> Purchase | Sourcing:
    """How the plant buys the item, or what is to be done about it that it cannot."""
    plant = planning.facts.rules.plant(code)
    line = usable_line(coverage, plant, planning.today) if plant else None
    if plant is None or line is None:
        return _contract_missing(planning, item.number, code)
    try:
        record = _info_record(planning, item, plant, line)
    except InvalidMessage as error:
        return _contract_unusable(planning, item.number, code, line, error)
    return Purchase(item.number, code, line, record, held)


def _contract_missing(planning: Planning, number: str, plant: str) -> Sourcing:
    what = f"No published contract covers {number} for plant {plant}"
    case = Open(
        code="contract-missing",
        word="business_rule",
        what=what,
        where=_place(planning, number, plant),
        remedy="Publish a contract that covers it, or change the source in PLM",
        owner="sourcing",
    )
    wait = planning.wait(coverage_key(number), what, "sourcing", plant=plant)
    return Sourcing((wait,), (case,))


def _contract_unusable(
    planning: Planning, number: str, plant: str, line: CoverageLine, error: InvalidMessage
) -> Sourcing:
    """Either side can mend it: the contract its unit, engineering the item's alternate units."""
    what = f"Contract {line.contract} cannot be used for {number}: {error.what}"
    case = Open(
        code=error.code,
        word=error.word,
        what=what,
        where=_place(planning, number, plant),
        remedy=error.remedy,
        owner="sourcing",
    )
    return Sourcing(
        tuple(
            planning.wait(fact, what, "sourcing", plant=plant)
            for fact in (coverage_key(number), item_key(number))
        ),
        (case,),
    )


def _place(planning: Planning, number: str, plant: str) -> str:
    return f"{change_key(planning.change.number)}: {item_key(number)} {plant}"


def _info_record(planning: Planning, item: Item, plant: Plant, line: CoverageLine) -> InfoRecord:
    """The terms of the contract line, held by the organisation that buys for the plant.

    Raises: InvalidMessage where nobody says how much of the item one order unit is.
    """
    one = Quantity(Decimal(1), line.order_unit)
    ratio = convert_exact(one, item.base_unit, item.alternates, base=item.base_unit)
    central = planning.facts.rules.central_purchasing_org
    return InfoRecord(
        supplier=line.supplier,
        item=item.number,
        purchasing_org=central if plant.sourcing == "central" else plant.purchasing_org,
        plant=plant.code,
        order_unit=line.order_unit,
        base_unit=item.base_unit,
        order_to_base=(ratio.numerator, ratio.denominator),
        price=line.price,
        lead_time_days=line.lead_time_days,
        contract=line.contract,
        last_day=line.last_day,
    )


def _info_record_step(planning: Planning, purchase: Purchase, after: Iterable[Step]) -> Step:
    return planning.step(
        planning.erp("info-record", purchase.plant),
        ("info-record", f"{purchase.line.supplier}/{purchase.item}"),
        PutInfoRecord(purchase.record),
        plant=purchase.plant,
        after=after,
        owner="purchasing",
    )


# Suppliers


def supplier_gate(
    planning: Planning, number: str, purchases: Sequence[Purchase], open_ends: Sequence[Step]
) -> tuple[Sourcing, tuple[Step, ...]]:
    """What is done about a supplier, and which of it the supplier's info records wait for.

    A person is asked once, about everything: so not before all that could add to the question is
    known (`open_ends` are the waits for that), and in words that do not vary from plan to plan.
    """
    about = ("supplier", number)
    asked = planning.step(
        PROCUREMENT,
        about,
        ReadSupplier(number),
        after=[s for p in purchases for s in p.held] if all(p.held for p in purchases) else (),
        owner="sourcing",
    )
    supplier = planning.facts.supplier(number)
    if supplier is None:
        reason = f"Procurement has not answered about supplier {number}"
        wait = planning.wait(supplier_key(number), reason, "sourcing", after=[asked])
        return Sourcing((asked, wait)), (wait,)
    if supplier.active and supplier.qualification.is_valid(planning.today):
        return Sourcing((asked,)), ()
    if open_ends:
        return Sourcing((asked,)), tuple(open_ends)
    decision, others = approval_steps(planning, supplier, purchases)
    case = _not_qualified(planning, supplier, decision)
    return Sourcing((asked, decision, *others), (case,)), (decision,)


def approval_steps(
    planning: Planning, supplier: Supplier, purchases: Sequence[Purchase]
) -> tuple[Step, tuple[Step, ...]]:
    """The decision of the role; then the review in procurement and the notice to everybody."""
    role = planning.facts.rules.approvers.get(QUALIFICATION, "quality")
    number, change = supplier.number, planning.change.number
    stated = _qualification_words(supplier)
    items = tuple(sorted({purchase.item for purchase in purchases}))
    plants = sorted({purchase.plant for purchase in purchases})
    contracts = sorted({purchase.line.contract for purchase in purchases})
    text = f"May {supplier.name} ({number}), which is {stated}, be bought from for {change}?"
    evidence = (
        f"qualification: {stated}",
        f"items: {', '.join(items)}",
        f"plants: {', '.join(plants)}",
        f"contracts: {', '.join(contracts)}",
    )
    about = ("supplier", number)
    decision = planning.step(
        role, about, Approve(QUALIFICATION, text, evidence), owner=role, fact=supplier_key(number)
    )
    review = RequestReview(
        supplier=number,
        change=change,
        items=items,
        reason=f"{change} needs {number}, which is {stated}",
        reference=f"layshaft:{change}:{number}",
    )
    requested = ApprovalRequested(change, QUALIFICATION, text, role, evidence)
    return decision, (
        planning.step(PROCUREMENT, about, review, owner="sourcing"),
        planning.step(LAYSHAFT, about, planning.announce("approval.requested", requested)),
    )


def _not_qualified(planning: Planning, supplier: Supplier, decision: Step) -> Open:
    change = planning.change.number
    return Open(
        code="supplier-not-qualified",
        word="business_rule",
        what=f"{supplier.name} is {_qualification_words(supplier)}; its info records for {change}"
        f" wait for {decision.owner}",
        where=f"{change_key(change)}: {supplier_key(supplier.number)}",
        remedy=f"Qualify the supplier in procurement, or have {decision.owner} decide:"
        " `layshaft task list`",
        owner="sourcing",
    )


def _qualification_words(supplier: Supplier) -> str:
    qualification = supplier.qualification
    if not supplier.active:
        return "inactive"
    if qualification.status == "qualified":
        return f"qualified until {qualification.valid_until} only"
    return qualification.stated_as or qualification.status
