"""How the bought items of a change come to be purchasable: catalogue, contracts, source lists,
terms.

Each plant buys under one contract line, which names the supplier; whether that one may be bought
from is decided in `change_suppliers`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal

import msgspec
from msgspec import UNSET, UnsetType

from canonical.change import change_key
from canonical.codec import encode
from canonical.effects import Open, Step
from canonical.errors import InvalidMessage
from canonical.item import Item, Lifecycle, item_key
from canonical.operations import PublishItem, PutInfoRecord, ReadCoverage
from canonical.purchasing import InfoRecord
from canonical.quantity import Quantity, convert_exact, parse_decimal, plain_decimal
from canonical.rules import Plant
from canonical.sourcing import Coverage, CoverageLine, coverage_key
from handlers.flows.change_scope import is_bought
from handlers.flows.change_sources import Listed, listed, required_findings
from handlers.flows.change_suppliers import Gate, Purchase, Sourcing, supplier_steps
from handlers.flows.planning import Planning, Views, views_before
from handlers.flows.plant_boms import built_into

# What is not released yet gets its terms too, beside the finding: prototypes are bought as well.
# What is on hold or obsolete is shown as such in the catalogue and gets none.
PURCHASABLE: frozenset[Lifecycle] = frozenset({"in_design", "in_review", "released", "superseded"})


def sourcing_steps(
    planning: Planning,
    waits: dict[str, Step],
    views: Views,
    boms: Mapping[tuple[str, str, str], Step],
) -> Sourcing:
    """Everything between a bought item and its info records, as far as procurement has answered.

    waits: for definitions, by fact. boms: by parent, plant and system.
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
    shown = [step for by_system in published.values() for step in by_system]
    steps = [*shown, *asked.values(), *unanswered.values()]
    steps += [step for gap in gaps for step in gap.steps]
    cases = [case for gap in gaps for case in gap.cases]
    suppliers, gates = supplier_steps(planning, purchases, open_ends)
    steps += suppliers.steps
    cases += suppliers.cases
    tops = built_into(planning.scope, boms)
    for purchase in sorted(purchases, key=lambda purchase: purchase.line.supplier):
        gate = gates.get(purchase.place, Gate())
        after = (*published[purchase.item], *gate.before)
        sources = listed(planning, purchase, views, tops, after)
        steps += sources.steps
        cases += sources.cases
        steps += _info_record_steps(planning, purchase, views, after, sources, gate.watched)
    return Sourcing(
        tuple(steps),
        tuple(cases),
        (*suppliers.findings, *required_findings(planning, _bought_items(planning))),
        unanswered=tuple(unanswered.values()),
    )


def publish_steps(planning: Planning, waits: dict[str, Step]) -> dict[str, tuple[Step, ...]]:
    """Procurement's catalogue shows each bought item; by number."""
    catalogues = planning.catalogues
    return {
        item.number: tuple(
            planning.step(
                system,
                ("item", item.number),
                PublishItem(as_defined(item)),
                after=planning.waits_before(waits, item.number, planning.scope.plants[item.number]),
                owner="sourcing",
            )
            for system in catalogues
        )
        for item in planning.scope.items
        if is_bought(item)
    }


def as_defined(item: Item) -> Item:
    """The item without what varies between two statements of one definition."""
    return msgspec.structs.replace(item, stated_at=None)


def coverage_questions(planning: Planning, waits: dict[str, Step]) -> dict[str, Step]:
    """Procurement is asked which contracts cover each item that may be bought; by number."""
    system = planning.asked
    return {
        item.number: planning.step(
            system,
            ("coverage", item.number),
            ReadCoverage(item.number),
            after=planning.waits_before(waits, item.number, planning.scope.plants[item.number]),
            owner="sourcing",
        )
        for item in _bought_items(planning)
    }


def _bought_items(planning: Planning) -> tuple[Item, ...]:
    """Those that get terms."""
    return tuple(
        item for item in planning.scope.items if is_bought(item) and item.lifecycle in PURCHASABLE
    )


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
    line = usable_line(coverage, plant, planning.day(code)) if plant else None
    if plant is None or line is None:
        return _contract_missing(planning, item.number, code)
    try:
        record = _info_record(planning, item, plant, line)
    except InvalidMessage as error:
        return _contract_unusable(planning, item.number, code, line, error)
    return Purchase(item.number, code, line, record, held)


def _contract_missing(planning: Planning, number: str, plant: str) -> Sourcing:
    what = f"No published contract covers {number} for plant {plant}{planning.dated(plant)}"
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

    Raises: InvalidMessage where nobody says how much of the item one order unit is, for a minimum
        that is no quantity, and for a tolerance below nothing.
    """
    one = Quantity(Decimal(1), line.order_unit)
    ratio = convert_exact(one, item.base_unit, item.alternates, base=item.base_unit)
    return InfoRecord(
        supplier=line.supplier,
        item=item.number,
        purchasing_org=planning.facts.rules.buys_for(plant),
        plant=plant.code,
        order_unit=line.order_unit,
        base_unit=item.base_unit,
        order_to_base=(ratio.numerator, ratio.denominator),
        price=line.price,
        lead_time_days=line.lead_time_days,
        contract=line.contract,
        last_day=line.last_day,
        minimum=_minimum(line),
        under_tolerance=_tolerance(line, line.under_tolerance),
        over_tolerance=_tolerance(line, line.over_tolerance),
        purchasing_group=plant.purchasing_group or UNSET,
        scales=line.scales,
    )


def _minimum(line: CoverageLine) -> Quantity | UnsetType:
    """Of one order, in the order unit; a minimum of nothing is none."""
    where = f"contract {line.contract}: minimum_quantity"
    amount = parse_decimal(line.minimum_quantity or "0", where=where)
    if amount < 0:
        raise InvalidMessage(
            "minimum-negative",
            f"A minimum of {amount} {line.order_unit} is none",
            where=where,
            remedy="Correct the minimum in the contract line",
        )
    return Quantity(amount, line.order_unit) if amount else UNSET


def _tolerance(line: CoverageLine, stated: Decimal | UnsetType) -> Decimal | UnsetType:
    """In percent, in its one spelling: two statements of one number are one step."""
    if stated is UNSET:
        return UNSET
    where = f"contract {line.contract}: tolerance"
    amount = plain_decimal(stated, where=where)
    if amount < 0:
        raise InvalidMessage(
            "tolerance-negative",
            f"A tolerance of {amount} percent is none",
            where=where,
            remedy="Correct the tolerance in the contract line",
        )
    return amount


def _info_record_steps(
    planning: Planning,
    purchase: Purchase,
    views: Views,
    after: Sequence[Step],
    sources: Listed,
    watched: str,
) -> Iterator[Step]:
    for plant, system in planning.places("info-record", [purchase.plant]):
        yield planning.step(
            system,
            ("info-record", f"{purchase.line.supplier}/{purchase.item}"),
            PutInfoRecord(purchase.record),
            plant=plant,
            after=[
                *views_before(views, [purchase.item], plant, system),
                *after,
                *sources.before(system),
            ],
            owner="purchasing",
            fact=watched,
        )
