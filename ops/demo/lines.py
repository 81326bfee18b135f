"""The lines of the report: each sets what must be true beside what is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from ops.demo import configuration, inputs
from ops.demo import expected as wanted
from ops.demo.expected import Expected, Terms
from ops.demo.observe import OPEN_CALLS, CaseRow, Interval, Row, Snapshot
from ops.demo.plm_client import SOURCE
from ops.demo.report import Line, at_least, equal, same
from ops.demo.stage import Stage
from ops.demo.story import (
    COMPLETED,
    FAULTS,
    REQUESTED,
    SLOW_S,
    Kill,
    Opening,
    Pause,
    Told,
)


async def lines_of(stage: Stage, told: Told) -> tuple[Line, ...]:
    """All lines, from what was told and from what the targets and Layshaft say now."""
    expected = Expected.read()
    opening = told.opening
    return (
        *await _inputs(stage),
        *await _erp(stage, expected),
        *await _procurement(stage, expected),
        *await _once(stage, opening),
        *[line for kill in opening.kills for line in await _kill(stage, kill)],
        *_approval(opening.pause, expected),
        *await _findings(stage, expected),
        *await _cases(stage, expected),
        *await _waiting(stage, told, expected),
        *_completion(stage, expected),
    )


async def _inputs(stage: Stage) -> Iterable[Line]:
    sent = stage.plm.confirmed
    fates = Counter(one.fate for one in sent)
    outcomes = await stage.records.outcomes(SOURCE)
    accepted = outcomes.pop("applied", 0)
    chapter = "inputs"
    return (
        equal(chapter, "sent and confirmed by RabbitMQ", len(stage.plm.asked), len(sent)),
        equal(chapter, "accepted", fates["accepted"], accepted),
        equal(chapter, "parked, each in a case", fates["parked"], sum(outcomes.values())),
    )


async def _erp(stage: Stage, expected: Expected) -> Iterable[Line]:
    erp, plants = stage.erp, expected.plants
    products = [(row["Product"], row.get("BaseUnit")) for row in await erp.table("A_Product")]
    views = [(row["Plant"], row["Product"]) for row in await erp.table("A_ProductPlant")]
    boms = [
        (row["Plant"], row["Material"], _number(row, "BOMHeaderQuantityInBaseUnit"))
        for row in await erp.table("MaterialBOM")
    ]
    lines = [_bom_line(row) for row in await erp.table("MaterialBOMItem")]
    numbers = [
        (row.get("Supplier"), row.get("Material"))
        for row in await erp.table("A_PurchasingInfoRecord")
    ]
    terms = [_terms(row) for row in await erp.table("A_PurgInfoRecdOrgPlantData")]
    chapter = "ERP: nothing missing, nothing twice"
    due_lines = [one for plant in plants for one in expected.bom_lines_of(plant)]
    return (
        *_per_plant(expected, views, lines, terms),
        same(
            chapter, "materials with unit", [(p.number, p.unit) for p in expected.parts], products
        ),
        same(chapter, "plant views", [one for p in plants for one in expected.items_of(p)], views),
        same(
            chapter,
            "BOMs with base quantity",
            [one for plant in plants for one in expected.boms_of(plant)],
            boms,
        ),
        same(chapter, "BOM lines with quantity", due_lines, lines),
        same(
            chapter,
            "info records with number",
            {(one.supplier, one.item) for one in expected.terms},
            numbers,
        ),
        same(chapter, "their terms per plant and buyer", expected.terms, terms),
    )


def _per_plant(
    expected: Expected,
    views: Iterable[tuple[str, str]],
    lines: Iterable[tuple[str, str, str, Decimal]],
    terms: Iterable[Terms],
) -> Iterable[Line]:
    items = Counter(plant for plant, _ in views)
    bom_lines = Counter(line[0] for line in lines)
    records = Counter(one.plant for one in terms)
    due = Counter(one.plant for one in expected.terms)
    for plant in expected.plants:
        chapter = f"plant {plant}"
        yield equal(chapter, "items", len(expected.items_of(plant)), items[plant])
        yield equal(chapter, "BOM lines", len(expected.bom_lines_of(plant)), bom_lines[plant])
        yield equal(chapter, "info records", due[plant], records[plant])


async def _procurement(stage: Stage, expected: Expected) -> Iterable[Line]:
    items = [row.get("item-number") for row in await stage.procurement.table("items")]
    reviews = [
        (row.get("supplier", {}).get("number"), row.get("change"))
        for row in await stage.procurement.table("supplier_reviews")
    ]
    chapter = "procurement: nothing missing, nothing twice"
    bought = [part.number for part in expected.parts if part.is_bought]
    return (
        same(chapter, "catalogue items", bought, items),
        same(chapter, "supplier reviews", expected.gaps, reviews),
    )


async def _once(stage: Stage, opening: Opening) -> Iterable[Line]:
    records = stage.records
    absorbed = await records.repeats(SOURCE, opening.repeats_from)
    older = wanted.read_package(inputs.OLDER_REVISION.file)
    newer = wanted.read_package(inputs.GEARBOX_PACKAGE.file)
    hits = await stage.erp.fault_hits()
    again = (await stage.erp.totals())["sent_again"]
    again_in_procurement = (await stage.procurement.totals())["sent_again"]
    killed_in_flight = frozenset[str]().union(*(kill.applied for kill in opening.kills))
    lost = hits.get("apply_then_hang", 0) + hits.get("apply_then_500", 0) + len(killed_in_flight)
    third = opening.kills[2]
    refused = sum(fault["action"] == "throttle_429" for fault in FAULTS)
    chapter = "once and in order"
    return (
        equal(chapter, "duplicates absorbed", len(inputs.REPEATS), absorbed),
        at_least(
            chapter,
            "what came again after the last kill, absorbed",
            third.batch,
            await records.all_repeats(third.died_at) - absorbed,
        ),
        same(
            chapter,
            "stale statements refused",
            wanted.superseded(older, newer),
            sorted(await records.stale()),
        ),
        equal(
            chapter,
            "ERP: applied and never answered, 500 after applying, 429",
            "1, 1, 1",
            ", ".join(
                str(hits.get(action, 0))
                for action in ("apply_then_hang", "apply_then_500", "throttle_429")
            ),
        ),
        at_least(
            chapter, "ERP and procurement: answers lost, then looked up", lost,
            await records.lost_answers(),
        ),
        at_least(
            chapter, "ERP: calls sent twice but applied once", refused, again["applied_once"],
        ),
        equal(chapter, "ERP: calls applied twice", 0, again["applied_more_than_once"]),
        equal(chapter, "procurement: calls applied twice", 0,
              again_in_procurement["applied_more_than_once"]),
    )  # fmt: skip


async def _kill(stage: Stage, kill: Kill) -> Iterable[Line]:
    """Nothing that was done is undone, no step is lost, and what was in flight is done."""
    chapter = f"SIGKILL at {kill.point}, pass {kill.nth}"
    end = await stage.records.snapshot()
    lost = kill.before.named() - (kill.after.named() & end.named())
    undone = kill.before.named("done") - (kill.after.named("done") & end.named("done"))
    in_flight = kill.before.named(*OPEN_CALLS)
    lines = [
        Line(
            chapter,
            "steps before and after",
            "0 lost, 0 undone",
            f"{len(lost)} lost, {len(undone)} undone: {_states(kill.before)} -> "
            f"{_states(kill.after)}",
            not lost and not undone,
        ),
        equal(
            chapter,
            "steps in flight then, done at the end",
            len(in_flight),
            len(in_flight & end.named("done")),
        ),
    ]
    if kill.point == "http.after_send":
        text = "applied by the ERP, which had not answered"
        lines.append(at_least(chapter, text, 1, kill.unanswered))
    return lines


def _approval(pause: Pause, expected: Expected) -> Iterable[Line]:
    chapter = "approval"
    unqualified = wanted.unqualified_suppliers()
    theirs = {_key(one) for one in expected.terms if one.supplier in unqualified}
    others = {_key(one) for one in expected.terms} - theirs
    held = [step.effect for step in pause.steps.steps if step.verb == "put-info-record"
            and step.state in ("waiting", "held")]  # fmt: skip
    written = [
        (row["Supplier"], row["Material"], row["PurchasingOrganization"], row["Plant"])
        for row in pause.info_records
    ]
    open_calls = [
        step.effect or (step.name,)
        for step in pause.steps.steps
        if step.kind == "call" and step.state != "done"
    ]
    asked_in = {change for _, change in expected.gaps}
    return (
        equal(chapter, "approvals asked: suppliers not qualified", len(expected.gaps),
              len(pause.approvals)),
        same(chapter, "info records held: that supplier's", theirs, held),
        same(chapter, "calls not done then: just those", theirs, open_calls),
        same(chapter, "info records in the ERP then: all others", others, written),
        equal(chapter, "PLM was told that an approval is asked for", True,
              REQUESTED in pause.events),
        same(chapter, "changes complete then: nobody is asked about",
             [f"engineering-change/{one.number}" for one in expected.releases
              if one.number not in asked_in],
             [key for key, state in pause.ledgers.items() if state == "complete"]),
    )  # fmt: skip


async def _findings(stage: Stage, expected: Expected) -> Iterable[Line]:
    real = expected.releases[0]
    found = [
        (row["code"], row["where"].partition("/")[2])
        for row in await stage.records.findings(f"engineering-change/{real.number}")
    ]
    by_rule = {(one.kind, one.item) for one in wanted.findings_of(real.package)}
    kinds = sorted({kind for kind, _ in (*by_rule, *found)})
    return [
        same(
            "findings in the real file",
            kind.replace("-", " "),
            {one for one in by_rule if one[0] == kind},
            [one for one in found if one[0] == kind],
        )
        for kind in kinds
    ]


async def _cases(stage: Stage, expected: Expected) -> Iterable[Line]:
    cases = await stage.records.cases()
    chapter = "cases"
    due = Counter((sent.case, sent.owner, "open") for sent in stage.plm.confirmed if sent.case)
    due["supplier-not-qualified", "sourcing", "resolved"] = len(expected.gaps)
    seen = Counter((case.code, case.owner, case.state) for case in cases)
    return (
        *(
            equal(chapter, f"{code}, owner {owner}, {state}", due[one], seen[one])
            for one in sorted(due.keys() | seen.keys())
            for code, owner, state in [one]
        ),
        equal(chapter, "that say what, where, whose and what to do", len(cases),
              sum(map(_is_clear, cases))),
    )  # fmt: skip


async def _waiting(stage: Stage, told: Told, expected: Expected) -> Iterable[Line]:
    seconds = waited(await stage.records.waits())
    chapter = "seconds waited for"
    role = expected.rules["approvers"]["supplier-qualification"]
    deadlines = configuration.deadlines()
    # The ERP kept one call waiting for as long as Layshaft waits for an answer.
    least = {role: told.decided_after_s, "erp": deadlines["http_read_s"], "procurement": SLOW_S}
    return [
        *(
            at_least(chapter, who, round(known_s, 1), round(seconds.get(who, 0.0), 1), "s")
            for who, known_s in sorted(least.items())
        ),
        same(chapter, "everybody who was waited for", list(least), list(seconds)),
    ]


def _completion(stage: Stage, expected: Expected) -> Iterable[Line]:
    heard = [event.subject for event in stage.plm.received() if event.type == COMPLETED]
    return (
        same(
            "PLM was told",
            "changes completed",
            {f"engineering-change/{release.number}" for release in expected.releases},
            heard,
        ),
    )


# Small readings


def waited(intervals: Iterable[Interval]) -> dict[str, float]:
    """Seconds per owner in which at least one step waited for them."""
    found: dict[str, float] = {}
    ends: dict[str, datetime] = {}
    for one in sorted(intervals, key=lambda interval: interval.start):
        start = max(one.start, ends.get(one.who, one.start))
        length = max(one.end - start, timedelta(0))
        found[one.who] = found.get(one.who, 0.0) + length.total_seconds()
        ends[one.who] = max(one.end, ends.get(one.who, one.end))
    return found


def _bom_line(row: Row) -> tuple[str, str, str, Decimal]:
    factor = wanted.UNITS.get(row.get("BillOfMaterialItemUnit", ""), ("", Decimal(1)))[1]
    quantity = _number(row, "BillOfMaterialItemQuantity") * factor
    return row["Plant"], row["Material"], row.get("BillOfMaterialComponent", ""), quantity


def _terms(row: Row) -> Terms:
    return Terms(
        supplier=row.get("Supplier", ""),
        item=row.get("Material", ""),
        organisation=row["PurchasingOrganization"],
        plant=row["Plant"],
        price=_number(row, "NetPriceAmount"),
        per=_number(row, "MaterialPriceUnitQty"),
        currency=row.get("Currency", ""),
    )


def _key(terms: Terms) -> tuple[str, ...]:
    return terms.supplier, terms.item, terms.organisation, terms.plant


def _number(row: Row, name: str) -> Decimal:
    """A planted row may lack it."""
    return Decimal(row.get(name) or 0)


def _states(steps: Snapshot) -> str:
    found = steps.by_state().items()
    return ", ".join(f"{count} {state}" for state, count in found) or "no steps"


def _is_clear(case: CaseRow) -> bool:
    said = (case.what, case.place, case.owner, case.remedy)
    return all(said) and not any("Traceback" in text for text in said)
