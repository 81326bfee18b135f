"""`layshaft plan`: what a change would lead to, against the ledger and against what the targets
last said, with nothing executed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from broker.forecast import Forecast, Foreseen, Foresight, Refusal, foresee
from broker.store import Tx, views
from broker.store import documents as document_rows
from canonical.catalogue import Catalogue
from canonical.change import EngineeringChange, change_key
from canonical.codec import encode
from canonical.effects import Finding, Open
from canonical.events import EVENTS, SOURCE
from canonical.facts import Document
from canonical.handler import Delivery, Handler
from canonical.operations import Approve, PutInfoRecord
from canonical.order import OpenOrders, open_orders_key
from canonical.sourcing import Coverage
from handlers import CATALOGUE
from handlers.flows.target_changes import TargetChange, known_key, target_changes
from ops.cli.output import Column, Screen, plural, put_json, screen
from ops.cli.problems import Exit, Problem, not_found
from ops.cli.publish import sender_of
from ops.cli.session import Reading, configuration, read
from ops.cli.wording import change_words
from ops.configuration import Configuration
from ops.mapping.sample import ANYBODY
from ops.mapping.translation import contracts_of, delivery_of
from ops.sources import recogniser
from ops.tables import catalogue_of

# Steps alike are one line above this number.
FOLD_OVER = 3
NAMED = 3


class PlannedStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step of the plan. becomes: to the ledger. changes: at the target, by what it last said;
    None where it has said nothing of the object."""

    identity: str
    plant: str
    system: str
    object_kind: str
    object_id: str
    operation: str
    becomes: str
    after: int
    changes: tuple[TargetChange, ...] | None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A question to people, with what stands behind it until it is decided. becomes: as of a step;
    "done" = it was decided with this content."""

    identity: str
    question: str
    role: str
    text: str
    evidence: tuple[str, ...]
    signatures: int
    becomes: str
    behind: int


class OpenOrder(msgspec.Struct, frozen=True):
    """A line of an open order for an item that the plan is about."""

    order: str
    line: str
    item: str
    supplier: str
    plant: str
    quantity: str
    revision: str


class PlanView(msgspec.Struct, frozen=True, kw_only=True):
    """What `plan` prints of one ledger."""

    key: str
    title: str
    is_new: bool
    is_stale: bool
    steps: tuple[PlannedStep, ...]
    gone: Mapping[str, str]
    findings: tuple[Finding, ...]
    questions: tuple[Asked, ...]
    suppliers: tuple[str, ...]
    contracts: tuple[str, ...]
    orders: tuple[OpenOrder, ...]


class PlanPage(msgspec.Struct, frozen=True, kw_only=True):
    """All that would come of what was named."""

    plans: tuple[PlanView, ...]
    cases: tuple[Open, ...]
    refusals: tuple[Refusal, ...]


def show_plan(
    *wanted: str,
    source: str = "",
    all_rows: Annotated[bool, Parameter(name="--all")] = False,
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> int:
    """Show what a change would lead to. Nothing is stored, published or sent.

    A file is taken as if its source sent it now; a number is a change that is
    on record, planned anew on what is known today. Exit code 1: something
    would be refused, or become a case.

    layshaft plan ECO-2001

    layshaft plan gearbox_package.pdx --source plm

    Parameters
    ----------
    wanted
        Files as a source sends them, or numbers of changes.
    source
        Name of a source in the configuration: the files are its.
    all_rows
        Show every step; without it, steps alike are one line.
    """
    if not wanted:
        raise Problem(
            Exit.USAGE,
            "usage",
            "No file and no change is named",
            why="a plan is of something",
            fix="See: layshaft plan --help",
        )
    settings = configuration(reading)
    catalogue = catalogue_of(settings, CATALOGUE)
    if source:
        sender_of(settings.settings, source)
    files = {each: Path(each).read_bytes() for each in wanted if Path(each).is_file()}
    page = read(reading, lambda tx: _foreseen(tx, wanted, files, source, settings, catalogue))
    if reading.is_json:
        put_json(page)
    else:
        print_plans(screen(), page, fold=not all_rows)
    return Exit.FINDINGS if page.cases or page.refusals else Exit.DONE


async def _foreseen(
    tx: Tx,
    wanted: Sequence[str],
    files: Mapping[str, bytes],
    source: str,
    settings: Configuration,
    catalogue: Catalogue,
) -> PlanPage:
    deliveries = [
        delivery_of(files[each], source=source or ANYBODY, attributes={})
        if each in files
        else await _released(tx, each)
        for each in wanted
    ]
    foresight = await foresee(
        tx,
        deliveries,
        recognise=_recognise(settings, catalogue),
        rules=settings.rules,
        reads_from=settings.settings.reads_from,
        now=datetime.now(UTC),
    )
    keys = {known_key(each.step.operation) for one in foresight.forecasts for each in one.steps} - {
        ""
    }
    held = await document_rows.load(tx, keys)
    known = {key: stored.known.document for key, stored in held.items()}
    return PlanPage(
        plans=tuple([await _view(tx, one, foresight, known) for one in foresight.forecasts]),
        cases=foresight.cases,
        refusals=foresight.refusals,
    )


async def _released(tx: Tx, wanted: str) -> Delivery:
    """The release of a change that is on record, or that it was taken back, as it was told."""
    key = change_key(wanted)
    found = (await document_rows.load(tx, [key])).get(key)
    change = found.known.document if found else None
    if not isinstance(change, EngineeringChange):
        numbers = await views.known_numbers(tx)
        raise not_found("change", wanted, numbers["change"])
    cancelled = change.status == "cancelled"
    event = f"engineering-change.{'cancelled' if cancelled else 'released'}"
    attributes = {"id": f"plan/{wanted}", "source": SOURCE, "type": EVENTS[event].type}
    return Delivery(SOURCE, event, encode(change), attributes=attributes | {"subject": key})


def _recognise(settings: Configuration, catalogue: Catalogue) -> Callable[[Delivery], Handler]:
    by_source = recogniser(settings.settings, catalogue)

    def recognise(delivery: Delivery) -> Handler:
        if delivery.source == ANYBODY:
            return catalogue.recognise(contracts_of(catalogue), delivery)
        return by_source(delivery)

    return recognise


async def _view(
    tx: Tx, forecast: Forecast, foresight: Foresight, known: Mapping[str, Document]
) -> PlanView:
    records = [
        each.step.operation.record
        for each in forecast.steps
        if isinstance(each.step.operation, PutInfoRecord)
    ]
    items = {
        each.step.object_id for each in forecast.steps if each.step.object_kind in ("item", "bom")
    }
    coverages = [
        document
        for key, document in foresight.documents.items()
        if isinstance(document, Coverage) and document.item in items
    ]
    covered = [line for coverage in coverages for line in coverage.lines]
    return PlanView(
        key=forecast.plan.key,
        title=forecast.plan.title,
        is_new=forecast.is_new,
        is_stale=forecast.is_stale,
        steps=tuple(_step(each, known) for each in forecast.steps),
        gone=forecast.gone,
        findings=forecast.plan.findings,
        questions=tuple(_questions(forecast)),
        suppliers=tuple(sorted({r.supplier for r in records} | {c.supplier for c in covered})),
        contracts=tuple(
            sorted(({r.contract for r in records} | {c.contract for c in covered}) - {""})
        ),
        orders=tuple(await _open_orders(tx, items)),
    )


def _step(foreseen: Foreseen, known: Mapping[str, Document]) -> PlannedStep:
    step = foreseen.step
    document = known.get(known_key(step.operation))
    return PlannedStep(
        identity=step.identity,
        plant=step.plant,
        system=step.system,
        object_kind=step.object_kind,
        object_id=step.object_id,
        operation=step.identity.rpartition("|")[2],
        becomes=foreseen.becomes,
        after=len(step.depends_on),
        changes=target_changes(step.operation, document, system=step.system),
    )


def _questions(forecast: Forecast) -> Iterator[Asked]:
    waiting = Counter(before for each in forecast.steps for before in each.step.depends_on)
    for each in forecast.steps:
        match each.step.operation:
            case Approve(question, text, evidence, signatures):
                yield Asked(
                    identity=each.step.identity,
                    question=question,
                    role=each.step.system,
                    text=text,
                    evidence=evidence,
                    signatures=signatures,
                    becomes=each.becomes,
                    behind=waiting[each.step.identity],
                )


async def _open_orders(tx: Tx, items: set[str]) -> list[OpenOrder]:
    found = await document_rows.load(tx, map(open_orders_key, items))
    documents = [one.known.document for one in found.values()]
    orders = {
        order.number: order
        for document in documents
        if isinstance(document, OpenOrders)
        for order in document.orders
    }
    return [
        OpenOrder(
            order=order.number,
            line=line.line,
            item=line.item,
            supplier=order.supplier,
            plant=line.plant,
            quantity=f"{line.quantity.value:f} {line.quantity.unit}",
            revision=line.revision,
        )
        for _, order in sorted(orders.items())
        for line in order.lines
        if line.item in items
    ]


# The page


def print_plans(page: Screen, plans: PlanPage, *, fold: bool) -> None:
    """Each plan, then what would become a case, then what would be refused."""
    for n, plan in enumerate(plans.plans):
        if n:
            page.line()
        _print_plan(page, plan, fold=fold)
    if not plans.plans:
        page.line("Nothing would be planned.")
    _print_rows(page, "Would become a case", plans.cases, ("code", "where", "what", "owner"))
    _print_rows(page, "Would be refused", plans.refusals, ("code", "about", "what", "remedy"))
    page.line()
    page.line("Nothing was executed.", style="dim")


def _print_plan(page: Screen, plan: PlanView, *, fold: bool) -> None:
    page.line(f"{plan.key.partition('/')[2]}  {plan.title}", style="bold")
    page.line(_summary(plan), style="dim")
    _print_rows(page, "Findings", plan.findings, ("severity", "code", "where", "what"))
    _print_questions(page, plan.questions)
    plants = sorted({step.plant for step in plan.steps}, key=lambda code: (code == "", code))
    for plant in plants:
        page.line()
        page.line(f"Plant {plant}" if plant else "All plants", style="bold")
        steps = [step for step in plan.steps if step.plant == plant]
        page.table(
            [
                Column("system"),
                Column("object", is_text=True),
                Column("operation"),
                Column("to the ledger"),
                Column("after", is_number=True),
                Column("at the target", is_text=True),
            ],
            _rows(steps, fold=fold),
        )
    if plan.gone:
        page.line()
        page.line(f"No longer planned  {len(plan.gone)}", style="bold")
        page.table(
            [Column("step", is_text=True), Column("becomes")],
            [(" ".join(filter(None, each.split("|"))), how) for each, how in plan.gone.items()],
        )
    page.line()
    page.fields(
        [
            ("suppliers", ", ".join(plan.suppliers)),
            ("contracts", ", ".join(plan.contracts)),
            ("open orders", plural(len(plan.orders), "line") if plan.orders else "none known"),
        ]
    )
    _print_rows(
        page,
        "",
        plan.orders,
        ("order", "line", "item", "revision", "supplier", "plant", "quantity"),
    )


def _print_questions(page: Screen, questions: Sequence[Asked]) -> None:
    if not questions:
        return
    page.line()
    page.line(f"Questions to people  {len(questions)}", style="bold")
    for asked in questions:
        page.line(f"{asked.role}: {asked.text}")
        for line in asked.evidence:
            page.line(f"  - {line}")
        what = "decided" if asked.becomes == "done" else asked.becomes
        page.line(f"  {what}; {plural(asked.behind, 'step')} directly behind it", style="dim")


def _summary(plan: PlanView) -> str:
    counted = plural(len(plan.steps), "step")
    if plan.is_new:
        return f"{counted}; there is no ledger yet"
    if plan.is_stale:
        return f"{counted}; a newer statement was planned: this one would change nothing"
    words: dict[str, int] = {}
    for step in plan.steps:
        words[step.becomes] = words.get(step.becomes, 0) + 1
    said = ", ".join(f"{number} {word}" for word, number in words.items())
    return f"{counted}: {said}; {len(plan.gone)} no longer planned"


def _rows(steps: Sequence[PlannedStep], *, fold: bool) -> Iterator[tuple[str, ...]]:
    """In the order of the plan; many alike are one row where the first of them stands."""
    alike: dict[tuple[str, ...], list[PlannedStep]] = {}
    for step in steps:
        likeness = step.system, step.object_kind, step.operation, step.becomes, _said(step.changes)
        alike.setdefault(likeness, []).append(step)
    for group in alike.values():
        if fold and len(group) > FOLD_OVER:
            yield _row(group)
        else:
            yield from (_row([step]) for step in group)


def _row(alike: Sequence[PlannedStep]) -> tuple[str, ...]:
    step = alike[0]
    names = [each.object_id for each in alike[:NAMED]]
    what = f"{step.object_kind} {step.object_id}"
    if len(alike) > 1:
        what = f"{len(alike)} x {step.object_kind}: {', '.join(names)}"
        what += f" and {len(alike) - len(names)} more"
    after = str(step.after) if step.after and len(alike) == 1 else ""
    return step.system, what, step.operation, step.becomes, after, _said(step.changes)


def _said(changes: Sequence[TargetChange] | None) -> str:
    if changes is None:
        return ""
    return "; ".join(map(change_words, changes)) or "as it is"


def _print_rows(
    page: Screen, title: str, rows: Sequence[msgspec.Struct], names: Sequence[str]
) -> None:
    if not rows:
        return
    page.line()
    if title:
        page.line(f"{title}  {len(rows)}", style="bold")
    columns = [Column(name, is_text=name in ("what", "remedy")) for name in names]
    page.table(columns, [[str(getattr(row, name)) for name in names] for row in rows])
