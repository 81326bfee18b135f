"""The engineering-change flow: from a released change to everything that must become true.

Read `decide` first. A plan is made from what is known; what is not known yet is awaited, and the
plan is made anew when it is. The same facts always give the same plan, and what a person was
asked does not change because an unrelated fact came.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal

import msgspec

from canonical.bom import BomLine, PlantBom, bom_key
from canonical.change import EngineeringChange, change_key
from canonical.codec import encode, read_event
from canonical.effectivity import DateEffectivity
from canonical.effects import Effect, Open, Plan, Step
from canonical.envelope import Lane, Message
from canonical.errors import Rejected
from canonical.events import ApprovalRequested, ChangeCompleted, PlanAdjustmentNeeded
from canonical.facts import Facts
from canonical.handler import Handler
from canonical.item import Item, item_key
from canonical.operations import (
    Announce,
    Approve,
    AwaitFact,
    ExtendToPlant,
    Operation,
    PublishItem,
    PutBom,
    PutInfoRecord,
    PutItem,
    ReadCoverage,
    ReadSupplier,
    RequestReview,
    verb,
)
from canonical.purchasing import InfoRecord
from canonical.quantity import Quantity, convert, convert_exact
from canonical.sourcing import CoverageLine, coverage_key
from canonical.supplier import Supplier, supplier_key
from handlers.flows.change_findings import findings_of
from handlers.flows.change_scope import (
    MATERIAL_KINDS,
    Scope,
    components,
    facts_needed,
    is_bought,
    is_made,
    scope_of,
    usable_line,
)

PROCUREMENT = "procurement"
LAYSHAFT = "layshaft"
QUALIFICATION = "supplier-qualification"
URGENT = frozenset({"critical", "emergency", "high"})
DUE_S = 86_400


class Planning(msgspec.Struct, frozen=True):
    """What every part of one plan needs."""

    change: EngineeringChange
    scope: Scope
    facts: Facts
    today: date

    @property
    def lane(self) -> Lane:
        """Urgent changes take the critical lane."""
        return "critical" if self.change.urgency.lower() in URGENT else "standard"

    def step(
        self,
        system: str,
        about: tuple[str, str],
        operation: Operation,
        *,
        plant: str = "",
        after: Sequence[Step] = (),
        owner: str = "operations",
        lane: Lane | None = None,
    ) -> Step:
        """A step about (object kind, object id) that follows the given ones."""
        return Step(
            plant=plant,
            system=system,
            object_kind=about[0],
            object_id=about[1],
            operation=operation,
            depends_on=tuple(sorted(step.identity for step in after)),
            owner=owner,
            lane=lane or self.lane,
            due_s=self.facts.rules.due_s.get(verb(operation), DUE_S),
        )

    def erp(self, kind: str, plant: str) -> str:
        """The system that holds such objects for the plant today."""
        system = self.facts.rules.system_for(kind, plant, self.today)
        if system is None:
            raise Rejected(
                "route-missing",
                f"No route says which system holds {kind} objects of plant {plant or 'any'}",
                where=f"{kind} {plant}".strip(),
                remedy="Add a route to the rules",
                owner="operations",
            )
        return system


def needs(message: Message[EngineeringChange], facts: Facts) -> frozenset[str]:
    """Items, BOMs, coverage and suppliers the plan looks at."""
    return facts_needed(message.payload, facts)


def decide(message: Message[EngineeringChange], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    """The plan of the change, and cases for what only a person can mend.

    Raises: Rejected for a change that no plan can be made of; InvalidMessage for a quantity whose
    unit has no conversion.
    """
    change = message.payload
    refuse_what_is_not_effective(change, now)
    planning = Planning(change, scope_of(change, facts), facts, now.date())
    awaited = list(await_definitions(planning))
    masters = item_steps(planning)
    boms = bom_steps(planning, masters)
    published = publish_steps(planning)
    sourcing, cases = sourcing_steps(planning, masters, published)
    steps = [*awaited, *masters.values(), *boms.values(), *published.values(), *sourcing]
    steps += announcements(planning, steps)
    plan = Plan(
        key=change_key(change.number),
        version=change.version,
        title=change.title,
        steps=tuple(steps),
        findings=findings_of(change, planning.scope, facts),
    )
    return (plan, *cases)


def refuse_what_is_not_effective(change: EngineeringChange, now: datetime) -> None:
    """Only changes that are effective now are planned."""
    effectivity = change.effectivity
    if effectivity is None:
        return
    if not isinstance(effectivity, DateEffectivity) or not effectivity.is_effective(now):
        raise Rejected(
            "effectivity-unsupported",
            f"{change.number} is not effective by date today",
            where="effectivity",
            remedy="Release it again on the day it takes effect",
            owner="engineering",
        )


# Definitions


def await_definitions(planning: Planning) -> Iterator[Step]:
    """Waits for items nobody released yet, for newer revisions, and for BOMs of made items."""
    facts = planning.facts
    for number in planning.scope.unknown:
        yield _await(planning, item_key(number), f"{number} has not been released", "engineering")
    for row in planning.change.affected:
        item = facts.item(row.item)
        if item is not None and item.revision.label != row.new_revision:
            reason = f"{row.item} is known in revision {item.revision.label}, the change releases"
            yield _await(
                planning, item_key(row.item), f"{reason} {row.new_revision}", "engineering"
            )
    for item in planning.scope.items:
        if is_made(item) and facts.bom(item.number) is None:
            reason = f"{item.number} is made and has no BOM"
            yield _await(planning, bom_key(item.number), reason, "engineering")


def _await(
    planning: Planning,
    fact: str,
    reason: str,
    owner: str,
    *,
    plant: str = "",
    after: Sequence[Step] = (),
) -> Step:
    kind, _, number = fact.partition("/")
    operation = AwaitFact(fact=fact, seen=planning.facts.version(fact), reason=reason)
    return planning.step(LAYSHAFT, (kind, number), operation, plant=plant, after=after, owner=owner)


def item_steps(planning: Planning) -> dict[tuple[str, str], Step]:
    """Item masters, key (item, ""), and their plant views, key (item, plant)."""
    steps: dict[tuple[str, str], Step] = {}
    for item in planning.scope.items:
        about = ("item", item.number)
        master = planning.step(planning.erp("item", ""), about, PutItem(_as_master(item)))
        steps[item.number, ""] = master
        for code in planning.scope.plants[item.number]:
            plant = planning.facts.rules.plant(code)
            view = ExtendToPlant(
                item=item.number,
                plant=code,
                procurement=item.procurement,
                base_unit=item.base_unit,
                purchasing_group=plant.purchasing_group if plant else "",
            )
            steps[item.number, code] = planning.step(
                planning.erp("item", code), about, view, plant=code, after=[master]
            )
    return steps


def _as_master(item: Item) -> Item:
    """The item without what varies between two statements of the same definition."""
    return msgspec.structs.replace(item, stated_at=None)


def bom_steps(
    planning: Planning, masters: dict[tuple[str, str], Step]
) -> dict[tuple[str, str], Step]:
    """BOMs per (parent, plant): after the plant views of all it names, after component BOMs."""
    steps: dict[tuple[str, str], Step] = {}
    for item in planning.scope.items:  # components first
        bom = planning.facts.bom(item.number)
        if bom is None:
            continue
        for plant in planning.scope.plants[item.number]:
            named = (item.number, *components(bom))
            after = [masters[n, plant] for n in named if (n, plant) in masters]
            after += [steps[n, plant] for n in components(bom) if (n, plant) in steps]
            wanted = plant_bom(planning, item, plant)
            unknown = [n for n in components(bom) if planning.facts.item(n) is None]
            if unknown:
                continue  # awaited already; the BOM is planned when all components are known
            steps[item.number, plant] = planning.step(
                planning.erp("bom", plant),
                ("bom", item.number),
                PutBom(wanted),
                plant=plant,
                after=after,
            )
    return steps


def plant_bom(planning: Planning, parent: Item, plant: str) -> PlantBom:
    """The engineering BOM as the plant's ERP holds it: materials only, in their base units.

    Raises: UnitMismatch if a line's unit has no conversion to the component's base unit.
    """
    bom = planning.facts.bom(parent.number)
    assert bom is not None
    lines: list[BomLine] = []
    for line in bom.lines:
        component = planning.facts.item(line.component)
        if component is None or component.kind not in MATERIAL_KINDS:
            continue
        quantity = convert(
            line.quantity,
            component.base_unit,
            component.alternates,
            base=component.base_unit,
            round_to=3,
        )
        lines.append(msgspec.structs.replace(line, quantity=quantity))
    return PlantBom(
        plant=plant,
        parent=parent.number,
        revision=bom.revision,
        usage="1",
        alternative="1",
        base=bom.base,
        lines=tuple(lines),
    )


# Sourcing


def publish_steps(planning: Planning) -> dict[str, Step]:
    """Procurement's catalogue shows each bought item before anybody may order it."""
    return {
        item.number: planning.step(
            PROCUREMENT, ("item", item.number), PublishItem(_as_master(item)), owner="sourcing"
        )
        for item in planning.scope.items
        if is_bought(item)
    }


def sourcing_steps(
    planning: Planning, masters: dict[tuple[str, str], Step], published: dict[str, Step]
) -> tuple[list[Step], list[Open]]:
    """Coverage, suppliers, approvals and info records, as far as procurement has answered."""
    steps: list[Step] = []
    cases: list[Open] = []
    chosen: dict[tuple[str, str], CoverageLine] = {}
    for item in planning.scope.items:
        if not is_bought(item):
            continue
        asked = planning.step(
            PROCUREMENT, ("coverage", item.number), ReadCoverage(item.number), owner="sourcing"
        )
        steps.append(asked)
        lines, missing, opened = _choose_lines(planning, item, asked)
        chosen |= lines
        steps += missing
        cases += opened
    suppliers = sorted({line.supplier for line in chosen.values()})
    unanswered = planning.facts.missing(
        coverage_key(i.number) for i in planning.scope.items if is_bought(i)
    )
    for number in suppliers:
        asked = planning.step(
            PROCUREMENT, ("supplier", number), ReadSupplier(number), owner="sourcing"
        )
        steps.append(asked)
        supplier = planning.facts.supplier(number)
        if supplier is None:
            reason = f"procurement has not answered about supplier {number}"
            steps.append(_await(planning, supplier_key(number), reason, "sourcing", after=[asked]))
            continue
        mine = {k: line for k, line in chosen.items() if line.supplier == number}
        gate: list[Step] = []
        if not (supplier.active and supplier.qualification.is_valid(planning.today)):
            if unanswered:
                # What a person is asked names every item it is about, and must not change with
                # each answer: it is asked once all have come; the change waits for them anyway.
                continue
            asking, opened_case = approval_steps(planning, supplier, mine)
            steps += asking
            cases.append(opened_case)
            gate = [asking[0]]
        for (item_number, plant), line in mine.items():
            after = [masters[item_number, plant], published[item_number], *gate]
            steps.append(info_record_step(planning, item_number, plant, line, after))
    return steps, cases


def _choose_lines(
    planning: Planning, item: Item, asked: Step
) -> tuple[dict[tuple[str, str], CoverageLine], list[Step], list[Open]]:
    """The contract line per (item, plant), waits where there is none, and cases for those."""
    fact = coverage_key(item.number)
    if planning.facts.coverage(item.number) is None:
        reason = f"procurement has not answered which contracts cover {item.number}"
        return {}, [_await(planning, fact, reason, "sourcing", after=[asked])], []
    lines: dict[tuple[str, str], CoverageLine] = {}
    waits: list[Step] = []
    cases: list[Open] = []
    for plant in planning.scope.plants[item.number]:
        line = usable_line(item.number, plant, planning.today, planning.facts)
        if line is not None:
            lines[item.number, plant] = line
            continue
        what = f"No published contract covers {item.number} for plant {plant}"
        waits.append(_await(planning, fact, what, "sourcing", plant=plant))
        cases.append(
            Open(
                code="contract-missing",
                word="business_rule",
                what=what,
                where=f"{change_key(planning.change.number)}: {item_key(item.number)} {plant}",
                remedy="Publish a contract that covers it, or change the source in PLM",
                owner="sourcing",
            )
        )
    return lines, waits, cases


def approval_steps(
    planning: Planning, supplier: Supplier, lines: dict[tuple[str, str], CoverageLine]
) -> tuple[list[Step], Open]:
    """The decision of the role first, then the review in procurement and the notice; and a case."""
    role = planning.facts.rules.approvers.get(QUALIFICATION, "quality")
    number, change = supplier.number, planning.change.number
    items = tuple(sorted({item for item, _ in lines}))
    stated = supplier.qualification.stated_as or supplier.qualification.status
    text = f"May {supplier.name} ({number}), which is {stated}, be bought from for {change}?"
    evidence = (
        f"qualification: {stated}",
        f"items: {', '.join(items)}",
        f"plants: {', '.join(sorted({plant for _, plant in lines}))}",
        f"contracts: {', '.join(sorted({line.contract for line in lines.values()}))}",
    )
    about = ("supplier", number)
    decision = planning.step(role, about, Approve(QUALIFICATION, text, evidence), owner=role)
    review = planning.step(
        PROCUREMENT,
        about,
        RequestReview(
            supplier=number,
            change=change,
            items=items,
            reason=f"{change} needs {number}, which is {stated}",
            reference=f"{change}-{number}",
        ),
        owner="sourcing",
    )
    requested = ApprovalRequested(change, QUALIFICATION, text, role, evidence)
    notice = planning.step(
        LAYSHAFT, about, _announce("approval.requested", planning.change, requested)
    )
    case = Open(
        code="supplier-not-qualified",
        word="business_rule",
        what=f"{supplier.name} is {stated}; {len(lines)} info record(s) of {change} wait",
        where=f"{change_key(change)}: {supplier_key(number)}",
        remedy=f"Qualify the supplier in procurement, or decide as {role}: `layshaft task list`",
        owner="sourcing",
    )
    return [decision, review, notice], case


def info_record_step(
    planning: Planning, number: str, plant: str, line: CoverageLine, after: Sequence[Step]
) -> Step:
    """The plant may buy the item from the contract's supplier at the contract's price."""
    rules = planning.facts.rules
    rule = rules.plant(plant)
    item = planning.facts.item(number)
    assert rule is not None
    assert item is not None
    central = rule.sourcing == "central"
    record = InfoRecord(
        supplier=line.supplier,
        item=number,
        purchasing_org=rules.central_purchasing_org if central else rule.purchasing_org,
        plant=plant,
        order_unit=line.order_unit,
        base_unit=item.base_unit,
        order_to_base=_order_to_base(line, item),
        price=line.price,
        lead_time_days=line.lead_time_days,
        contract=line.contract,
        last_day=line.last_day,
    )
    return planning.step(
        planning.erp("info-record", plant),
        ("info-record", f"{line.supplier}/{number}"),
        PutInfoRecord(record),
        plant=plant,
        after=after,
        owner="purchasing",
    )


def _order_to_base(line: CoverageLine, item: Item) -> tuple[int, int]:
    """1 order unit = n/d base units; raises UnitMismatch if nobody says how many."""
    one = Quantity(Decimal(1), line.order_unit)
    factor = convert_exact(one, item.base_unit, item.alternates, base=item.base_unit)
    return factor.numerator, factor.denominator


# Notices


def announcements(planning: Planning, steps: Sequence[Step]) -> list[Step]:
    """Planning is told when a plant's items and BOMs are true, everybody when everything is."""
    change = planning.change
    about = ("engineering-change", change.number)
    work = [step for step in steps if step.kind != "announce"]
    told: list[Step] = []
    for plant in planning.scope.all_plants():
        items = tuple(n for n, codes in planning.scope.plants.items() if plant in codes)
        notice = PlanAdjustmentNeeded(change.number, plant, items)
        told.append(
            planning.step(
                LAYSHAFT,
                about,
                _announce("plan.adjustment-needed", change, notice),
                plant=plant,
                after=[
                    step
                    for step in work
                    if step.plant == plant and step.object_kind in ("item", "bom")
                ],
            )
        )
    completed = ChangeCompleted(
        number=change.number,
        version=change.version,
        title=change.title,
        plants=planning.scope.all_plants(),
        items=tuple(row.item for row in change.affected),
    )
    told.append(
        planning.step(
            LAYSHAFT,
            about,
            _announce("engineering-change.completed", change, completed),
            after=work,
        )
    )
    return told


def _announce(event: str, change: EngineeringChange, data: msgspec.Struct) -> Announce:
    return Announce(event, change_key(change.number), msgspec.Raw(encode(data)))


HANDLER = Handler(
    name="engineering-change",
    scope="engineering-change",
    types=("engineering-change.released",),
    read=read_event,
    needs=needs,
    decide=decide,
)
