"""The engineering-change flow: from a released change to everything that must become true.

Read `decide` first. A plan is made of what is known; what is not known is awaited, and the plan is
made anew when it comes. The same facts give the same plan, whatever order they came in. All that
can be said is planned, so that a ledger shows it and a later plan finds it again; what rests on
something awaited follows that wait.

A change whose effectivity is yet to come is planned at once; what systems would show of it waits
(`handlers.flows.planning`). One that is open while another system takes over a plant is made true
in both.

Limits: effectivity by serial or lot is refused. What procurement stated last counts; the reads of a
plan make it newer, for the next plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from canonical.change import EngineeringChange, change_key
from canonical.codec import read_event
from canonical.effectivity import DateEffectivity
from canonical.effects import Effect, Finding, Plan, Step
from canonical.envelope import Message
from canonical.errors import Rejected
from canonical.events import ChangeCompleted, PlanAdjustmentNeeded
from canonical.facts import Facts
from canonical.handler import Handler
from canonical.item import item_key
from canonical.operations import (
    ExtendToPlant,
    PutItem,
    PutPlantStatus,
    Reconcile,
    ReportImplementation,
)
from canonical.order import open_orders_key
from handlers.flows.change_buying import resumed, stop_steps
from handlers.flows.change_findings import findings_of, is_regulated
from handlers.flows.change_masters import (
    Numbers,
    before,
    change_master_steps,
    changed_object_steps,
)
from handlers.flows.change_notices import notice_steps
from handlers.flows.change_orders import order_steps
from handlers.flows.change_scope import facts_needed, scope_of
from handlers.flows.change_sourcing import as_defined, sourcing_steps
from handlers.flows.definitions_in_force import definitions_in_force
from handlers.flows.mass_change import guarded
from handlers.flows.planning import LAYSHAFT, Planning, Views, acts_at, flat, planning_of
from handlers.flows.plant_boms import bom_steps, held_boms


def needs(message: Message[EngineeringChange], facts: Facts) -> frozenset[str]:
    """Items, BOMs, coverage and suppliers with their parents, which the plan looks at."""
    return facts_needed(message.payload, facts)


def decide(message: Message[EngineeringChange], facts: Facts, now: datetime) -> tuple[Effect, ...]:
    """The plan of the change, and cases for what only a person can mend.

    Raises: Rejected for a change of which no plan can be made, or which a finding stops;
    InvalidMessage for a BOM line in a unit that the component has no factor for.
    """
    change = message.payload
    refuse_what_cannot_take_effect(change, now)
    at = acts_at(change, now)
    definitions = definitions_in_force(change, facts, at)
    facts = definitions.facts
    scope = scope_of(change, facts, at, definitions.awaited)
    regulated = is_regulated(change, scope, facts)
    planning = planning_of(change, scope, definitions, now, regulated=regulated)
    findings = findings_of(change, scope, facts)
    waits = definition_waits(planning)
    numbers = change_master_steps(planning, waits)
    masters = item_steps(planning, waits, numbers)
    views = plant_steps(planning, waits, masters)
    ready = resumed(planning, waits, views)
    boms = bom_steps(planning, waits, ready, numbers)
    stops = stop_steps(planning, waits, views, boms.values())
    sourcing = sourcing_steps(planning, waits, ready, boms)
    suppliers = notice_steps(planning, (*waits.values(), *sourcing.unanswered))
    again = tuple(step for step in flat(ready) if isinstance(step.operation, PutPlantStatus))
    own = (*masters.values(), *flat(views), *again, *boms.values(), *stops.steps, *stops.waits)
    defined = (*planning.starts, *waits.values(), *flat(views), *boms.values())
    on_order = order_steps(planning)
    listed = changed_object_steps(planning, numbers, (*masters.values(), *boms.values()))
    known_as = dict.fromkeys(numbers.values())
    work = (
        *known_as,
        *masters.values(),
        *defined,
        *again,
        *stops.steps,
        *stops.waits,
        *listed,
        *sourcing.steps,
        *on_order.steps,
        *suppliers,
    )
    notices = announcements(planning, defined, (*stops.steps, *stops.waits), work)
    told = reports(planning, own, completed=notices[-1])
    plan = Plan(
        key=change_key(change.number),
        version=change.version,
        title=change.title or change.number,
        steps=guarded(planning, (*work, *notices, *told)),
        findings=(*findings, *definitions.findings, *sourcing.findings, *on_order.findings),
        watched=(*definitions.watched, *held_boms(planning)),
        along=("item", "bom"),
    )
    return (plan, *sourcing.cases, *stops.cases)


def refuse_what_cannot_take_effect(change: EngineeringChange, now: datetime) -> None:
    """Only what is effective by date, now or later, is planned."""
    match change.effectivity:
        case None:
            return
        case DateEffectivity(end=end) if end is None or now < end:
            return
        case DateEffectivity(end=end):
            code, what = "effectivity-over", f"was effective until {end:%Y-%m-%d %H:%M} UTC"
            remedy = "Release it anew if it is still wanted"
        case numbers:
            code = "effectivity-unsupported"
            what = (
                f"is effective from {numbers.shown}: it has no day, and nobody can say"
                " when which plant gets there"
            )
            remedy = "Release it with the day from which on these are built"
    raise Rejected(
        code, f"{change.number} {what}", where="effectivity", remedy=remedy, owner="engineering"
    )


# Definitions


def definition_waits(planning: Planning) -> dict[str, Step]:
    """Waits for items and BOMs nobody released yet, or not in the revision spoken of, or not in
    force before their day; by fact."""
    waits: dict[str, Step] = {}
    for awaited in planning.scope.awaited:
        if awaited.until is None:
            waits[awaited.fact] = planning.wait(awaited.fact, awaited.reason, "engineering")
        else:
            waits[awaited.fact] = planning.until(awaited.fact, awaited.until, awaited.reason)
    return waits


def item_steps(
    planning: Planning, waits: dict[str, Step], numbers: Numbers
) -> dict[tuple[str, str], Step]:
    """Item masters by (item, system), in every system that a plant of the item has.

    numbers: the change's own number there; those of their system come before. Each watches its
    item: one that is released anew meanwhile is written as it is then, or a change that was kept
    waiting would put an older revision over that of a later change.
    """
    steps: dict[tuple[str, str], Step] = {}
    for item in planning.scope.items:
        plants: dict[str, list[str]] = {}
        for code in planning.scope.plants[item.number]:
            for system in planning.holders("item", code):
                plants.setdefault(system, []).append(code)
        for system in sorted(plants):
            steps[item.number, system] = planning.step(
                system,
                ("item", item.number),
                PutItem(as_defined(item)),
                after=[
                    *before(numbers, system, plants[system]),
                    *planning.waits_before(waits, item.number, plants[system]),
                ],
                owner="master data",
                fact=item_key(item.number),
            )
    return steps


def plant_steps(
    planning: Planning, waits: dict[str, Step], masters: dict[tuple[str, str], Step]
) -> Views:
    """The items' views, each after the item master in its system. What is on order of an affected
    item is watched by them: also where nothing is yet."""
    affected = {row.item for row in planning.change.affected}
    steps: Views = {}
    for item in planning.scope.items:
        for code in planning.scope.plants[item.number]:
            plant = planning.facts.rules.plant(code)
            view = ExtendToPlant(
                item=item.number,
                plant=code,
                procurement=item.procurement,
                base_unit=item.base_unit,
                purchasing_group=plant.purchasing_group if plant else "",
            )
            held = planning.waits_before(waits, item.number, [code])
            steps[item.number, code] = {
                system: planning.step(
                    system,
                    ("item", item.number),
                    view,
                    plant=code,
                    after=[masters[item.number, system], *held],
                    owner="master data",
                    fact=open_orders_key(item.number) if item.number in affected else "",
                )
                for system in planning.holders("item", code)
            }
    return steps


# Notices


def announcements(
    planning: Planning,
    definitions: Sequence[Step],
    stops: Sequence[Step],
    work: Sequence[Step],
) -> list[Step]:
    """Planning is told when a plant's items and BOMs are true, everybody when everything is; that
    is the last one. A plant in which an item is only stopped hears of it once it is.

    definitions: plant views, BOMs, and waits for what they are made of. stops: what lets items be
    bought no longer. work: all steps; announcements among them hold nothing up.
    """
    change, scope = planning.change, planning.scope
    about = ("engineering-change", change.number)
    told: list[Step] = []
    own = {(number, plant) for number, plants in scope.plants.items() for plant in plants}
    only_stopped = {place for place, buying in planning.buying.items() if buying == "stops"} - own
    concerned: dict[str, list[str]] = {}
    for number, plant in sorted(own | only_stopped):
        concerned.setdefault(plant, []).append(number)
    for plant, items in sorted(concerned.items()):
        before = [step for step in definitions if step.plant in (plant, "")]
        before += [s for s in stops if s.plant == plant and (s.object_id, plant) in only_stopped]
        notice = PlanAdjustmentNeeded(change.number, plant, tuple(items))
        told.append(
            planning.step(
                LAYSHAFT,
                about,
                planning.announce("plan.adjustment-needed", notice),
                plant=plant,
                after=before,
                lane="enrichment",
            )
        )
    completed = ChangeCompleted(
        number=change.number,
        version=change.version,
        title=change.title,
        plants=scope.all_plants(),
        items=tuple(sorted({row.item for row in change.affected})),
    )
    told.append(
        planning.step(
            LAYSHAFT,
            about,
            planning.announce("engineering-change.completed", completed),
            after=[step for step in work if step.kind != "announce"],
        )
    )
    return told


# Reports to the PLM

# Kinds of objects by which a route names the PLM that is told.
IMPLEMENTATION_STATUS = "implementation-status"
CHANGE_NOTICE = "change-notice"
ITEM_NOTICE = "item-notice"


def reports(planning: Planning, own: Sequence[Step], completed: Step) -> tuple[Step, ...]:
    """The PLM is told once everything is true, and of each item once that is, where a route says so
    and the change came from it. own: item masters, plant views and BOMs.

    They say nothing of what was done or when: a later statement of the change, which such a report
    may bring about itself, plans them as they are.
    """
    change = planning.change
    about = ("engineering-change", change.number)
    told: list[Step] = []
    plm = planning.told(IMPLEMENTATION_STATUS)
    if plm and change.source_id:
        report = ReportImplementation(
            change=change.number,
            source_id=change.source_id,
            status="done",
            comment=f"{change.number} is implemented in every plant and system",
        )
        told.append(planning.step(plm, about, report, after=[completed], owner="engineering"))
    plm = planning.told(CHANGE_NOTICE)
    if plm and change.notice:
        reconcile = Reconcile(change=change.number, notice=change.notice)
        told.append(planning.step(plm, about, reconcile, after=[completed]))
    return (*told, *item_reports(planning, own, completed))


def item_reports(planning: Planning, own: Sequence[Step], completed: Step) -> list[Step]:
    """Each affected item is marked once its own steps are done; one that has none, such as a
    document, once everything is."""
    change, plm = planning.change, planning.told(ITEM_NOTICE)
    if not plm or not change.notice:
        return []
    steps: dict[str, list[Step]] = {}
    for step in own:
        steps.setdefault(step.object_id, []).append(step)
    return [
        planning.step(
            plm,
            ("item", number),
            Reconcile(change=change.number, notice=change.notice, item=number),
            after=steps.get(number, [completed]),
        )
        for number in sorted({row.item for row in change.affected})
    ]


def version(message: Message[EngineeringChange]) -> int:
    """A change states the whole of itself each time: a later statement replaces an earlier one."""
    return message.payload.version


HANDLER = Handler(
    name="engineering-change",
    scope="engineering-change",
    types=("engineering-change.released",),
    read=read_event,
    needs=needs,
    decide=decide,
    order="curing",
    version=version,
)

# Taken back


def take_back(message: Message[EngineeringChange], facts: Facts, now: datetime) -> tuple[Effect]:
    """A plan of nothing: what was not sent is cancelled, what was done is put before a person."""
    change = message.payload
    key = change_key(change.number)
    finding = Finding(
        "change-cancelled", key, f"{change.number} was taken back by its PLM", "info", "engineering"
    )
    title = change.title or change.number
    return (Plan(key, change.version, title, steps=(), findings=(finding,), cancels=True),)


CANCELLED = Handler(
    name="engineering-change.cancelled",
    scope="engineering-change",
    types=("engineering-change.cancelled",),
    read=read_event,
    needs=lambda message, facts: frozenset(),
    decide=take_back,
    order="curing",
    version=version,
)
