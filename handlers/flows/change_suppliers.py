"""Whether the suppliers of a change may be bought from, and what is done where they may not.

Where one may not, by `canonical.eligibility`, its info records for the items and plants concerned,
and nothing else, wait for a person's decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

import msgspec

from canonical.change import change_key
from canonical.effects import Finding, Open, Step
from canonical.eligibility import Demand, Eligibility, Lineage, chain, eligibility, lineage
from canonical.errors import InvalidMessage
from canonical.events import ApprovalRequested
from canonical.operations import Approve, ReadSupplier, RequestReview
from canonical.purchasing import InfoRecord
from canonical.review import review_reference
from canonical.sourcing import CoverageLine
from canonical.supplier import ScopedQualification, Supplier, supplier_key
from handlers.flows.planning import LAYSHAFT, Planning

QUALIFICATION = "supplier-qualification"

Place = tuple[str, str]


class Purchase(msgspec.Struct, frozen=True):
    """A plant's terms for an item, by the contract of a supplier.

    held: waits for definitions, without which it may not come to that.
    """

    item: str
    plant: str
    line: CoverageLine
    record: InfoRecord
    held: tuple[Step, ...]

    @property
    def place(self) -> Place:
        """Item and plant, which buy under one line."""
        return self.item, self.plant


class Sourcing(msgspec.Struct, frozen=True):
    """Steps, cases for what only a person can mend, and findings. unanswered: those of the steps
    that wait for what procurement has not said of contracts."""

    steps: tuple[Step, ...] = ()
    cases: tuple[Open, ...] = ()
    findings: tuple[Finding, ...] = ()
    unanswered: tuple[Step, ...] = ()


class Gate(msgspec.Struct, frozen=True):
    """What an info record waits for; watched: a document that may open the gate, "" = none more."""

    before: tuple[Step, ...] = ()
    watched: str = ""


Gates = Mapping[Place, Gate]
Judged = tuple[Purchase, Eligibility]


def supplier_steps(
    planning: Planning, purchases: Sequence[Purchase], open_ends: Sequence[Step]
) -> tuple[Sourcing, Gates]:
    """What is done about the suppliers, and what of it the info record of each purchase waits for.

    open_ends: waits for what could add to a question to a person.
    """
    theirs: dict[str, list[Purchase]] = {}
    for purchase in purchases:
        theirs.setdefault(purchase.line.supplier, []).append(purchase)
    asked = supplier_questions(planning, theirs)
    steps = list(asked.values())
    cases: list[Open] = []
    findings: list[Finding] = []
    gates: dict[Place, Gate] = {}
    for number in sorted(theirs):
        gate, found = supplier_gate(planning, number, theirs[number], asked, open_ends)
        steps += gate.steps
        cases += gate.cases
        findings += gate.findings
        gates |= found
    # Suppliers of one group wait for the same answers.
    once = {step.identity: step for step in steps}
    return Sourcing(tuple(once.values()), tuple(cases), tuple(findings)), gates


def supplier_questions(
    planning: Planning, theirs: Mapping[str, Sequence[Purchase]]
) -> dict[str, Step]:
    """Procurement is asked about each supplier and all that is known to be above it; by number."""
    system = planning.asked
    concerned: dict[str, list[Purchase]] = {}
    for number in sorted(theirs):
        for above in chain(number, planning.facts.supplier):
            concerned.setdefault(above, []).extend(theirs[number])
    return {
        number: planning.step(
            system,
            ("supplier", number),
            ReadSupplier(number),
            after=[s for p in bought for s in p.held] if all(p.held for p in bought) else (),
            owner="sourcing",
        )
        for number, bought in sorted(concerned.items())
    }


def supplier_gate(
    planning: Planning,
    number: str,
    purchases: Sequence[Purchase],
    asked: Mapping[str, Step],
    open_ends: Sequence[Step],
) -> tuple[Sourcing, Gates]:
    """What is done about a supplier, and which of its info records wait for what of it.

    A person is asked once, about everything: so not before all that could add to the question is
    known (`open_ends` are the waits for that), and in words that do not vary from plan to plan.
    """
    try:
        line = lineage(number, planning.facts.supplier)
    except InvalidMessage as error:
        return _hierarchy_unusable(planning, number, purchases, asked, error)
    if line.missing is not None:
        # Even where it changes no outcome: the question names the parents.
        reason = f"Procurement has not answered about supplier {line.missing}"
        wait = planning.wait(
            supplier_key(line.missing), reason, "sourcing", after=[asked[line.missing]]
        )
        return Sourcing((wait,)), _gates(purchases, Gate((wait,)))
    judged = [(p, _judge(planning, line, p)) for p in purchases]
    findings = _findings(planning, number, judged)
    held = [(purchase, verdict) for purchase, verdict in judged if not verdict.is_eligible]
    if not held:
        return Sourcing(findings=findings), {}
    if open_ends:
        waiting = Gate(tuple(open_ends))
        return Sourcing(findings=findings), _gates((p for p, _ in held), waiting)
    decision, others = approval_steps(planning, line, held)
    case = _not_qualified(planning, line.suppliers[0], _words(line.suppliers[0], held), decision)
    return (
        Sourcing((decision, *others), (case,), findings),
        _watching(line, held, decision),
    )


def _judge(planning: Planning, line: Lineage, purchase: Purchase) -> Eligibility:
    rules, item = planning.facts.rules, planning.facts.item(purchase.item)
    plant = rules.plant(purchase.plant)
    demand = Demand(
        category=item.category if item else "",
        region=plant.region if plant else "",
        business_unit=plant.business_unit if plant else "",
        plant=purchase.plant,
    )
    day = planning.day(purchase.plant)
    return eligibility(line, demand, day, is_inherited=rules.inherit_qualifications)


def _gates(purchases: Iterable[Purchase], gate: Gate) -> Gates:
    return {purchase.place: gate for purchase in purchases}


def _watching(line: Lineage, held: Sequence[Judged], decision: Step) -> Gates:
    """The info records wait for the decision, and each watches one of those above the supplier.

    The decision itself watches the supplier. A step watches one document, so where there are more
    levels above than info records, the highest levels are not watched.
    """
    above = [supplier_key(supplier.number) for supplier in line.suppliers[1:]] or [""]
    return {
        purchase.place: Gate((decision,), watched)
        for (purchase, _), watched in zip(held, cycle(above), strict=False)
    }


# Decisions


def approval_steps(
    planning: Planning, line: Lineage, held: Sequence[Judged]
) -> tuple[Step, tuple[Step, ...]]:
    """The decision of the role; then the review in procurement and the notice to everybody."""
    rules = planning.facts.rules
    role = rules.approvers.get(QUALIFICATION, "quality")
    signatures = rules.signatures.get(QUALIFICATION, 1)
    supplier, change = line.suppliers[0], planning.change.number
    number, stated = supplier.number, _words(supplier, held)
    items = tuple(sorted({purchase.item for purchase, _ in held}))
    text = f"May {supplier.name} ({number}), which is {stated}, be bought from for {change}?"
    evidence = _evidence(planning, line, held, stated)
    about = ("supplier", number)
    asked = Approve(QUALIFICATION, text, evidence, signatures)
    decision = planning.step(
        role,
        about,
        asked,
        owner=role,
        fact=supplier_key(number),
        concerns={purchase.plant for purchase, _ in held},
    )
    review = RequestReview(
        supplier=number,
        change=change,
        items=items,
        reason=f"{change} needs {number}, which is {stated}",
        reference=review_reference(change, number),
    )
    requested = ApprovalRequested(change, QUALIFICATION, text, role, evidence)
    asked_there = planning.step(planning.asked, about, review, owner="sourcing")
    return decision, (
        # Once it is decided, or not asked any more, nobody is to be asked there.
        msgspec.structs.replace(asked_there, only_before=(decision.identity,)),
        planning.step(LAYSHAFT, about, planning.announce("approval.requested", requested)),
    )


def _evidence(
    planning: Planning, line: Lineage, held: Sequence[Judged], stated: str
) -> tuple[str, ...]:
    """What a person sees below the question; the last two lines only where there is such."""
    plants = sorted({purchase.plant for purchase, _ in held})
    contracts = sorted({purchase.line.contract for purchase, _ in held})
    made_at = sorted(
        site.name or site.code
        for site in line.suppliers[0].sites
        if site.active
        and "manufacturing" in site.roles
        and any(site.serves(code, _region(planning, code)) for code in plants)
    )
    above = [f"{supplier.name} ({supplier.number})" for supplier in line.suppliers[1:]]
    lines = (
        ("qualification", stated),
        ("items", ", ".join(sorted({purchase.item for purchase, _ in held}))),
        ("plants", ", ".join(plants)),
        ("contracts", ", ".join(contracts)),
        ("made at", ", ".join(made_at)),
        ("part of", ", ".join(above)),
    )
    return tuple(f"{name}: {said}" for name, said in lines if said)


def _region(planning: Planning, code: str) -> str:
    plant = planning.facts.rules.plant(code)
    return plant.region if plant else ""


# Cases and findings


def _not_qualified(planning: Planning, supplier: Supplier, stated: str, decision: Step) -> Open:
    change = planning.change.number
    return Open(
        code="supplier-not-qualified",
        word="business_rule",
        what=f"{supplier.name} is {stated}; its info records for {change}"
        f" wait for {decision.owner}",
        where=f"{change_key(change)}: {supplier_key(supplier.number)}",
        remedy=f"Qualify the supplier in procurement, or have {decision.owner} decide:"
        " `layshaft task list`",
        owner="sourcing",
    )


def _hierarchy_unusable(
    planning: Planning,
    number: str,
    purchases: Sequence[Purchase],
    asked: Mapping[str, Step],
    error: InvalidMessage,
) -> tuple[Sourcing, Gates]:
    """Each of those in the hierarchy may be the one that has to be corrected."""
    case = Open(
        code=error.code,
        word=error.word,
        what=error.what,
        where=f"{change_key(planning.change.number)}: {supplier_key(number)}",
        remedy=error.remedy,
        owner=error.owner,
    )
    waits = tuple(
        planning.wait(supplier_key(one), error.what, "sourcing", after=[asked[one]])
        for one in chain(number, planning.facts.supplier)
    )
    return Sourcing(waits, (case,)), _gates(purchases, Gate(waits))


def _findings(planning: Planning, number: str, judged: Sequence[Judged]) -> tuple[Finding, ...]:
    """What a buyer should know of a supplier although it may be bought from; each thing once."""
    found: dict[tuple[str, str], str] = {}
    for purchase, verdict in judged:
        if not verdict.is_eligible:
            continue
        if verdict.by != number:
            what = f"{number} is bought from by the qualification of {verdict.by}, its parent"
            found["qualification-inherited", what] = number
        today, day = planning.today(purchase.plant), planning.day(purchase.plant)
        for paper in verdict.statement.certificates if verdict.statement else ():
            if paper.valid_until is not None and paper.valid_until < day:
                ends = "ended" if paper.valid_until < today else "ends"
                what = f"Certificate {paper.name} of {verdict.by} {ends} on {paper.valid_until}"
                found["certificate-ended", what] = verdict.by
    return tuple(
        Finding(code, supplier_key(about), what, "info", "sourcing")
        for (code, what), about in sorted(found.items())
    )


def _words(supplier: Supplier, held: Sequence[Judged]) -> str:
    """What is stated about the supplier, in the source's words; several where scopes differ."""
    return ", ".join(sorted({_verdict_words(supplier, verdict) for _, verdict in held}))


def _verdict_words(supplier: Supplier, verdict: Eligibility) -> str:
    stated = verdict.statement
    if verdict.outcome == "inactive":
        return "inactive"
    if stated is None:
        return "without a qualification"
    said = stated.stated_as or stated.status
    if stated.status == "qualified":
        said = f"qualified until {stated.valid_until} only"
    scope = _scope_words(stated)
    about = f" (stated about {verdict.by})" if verdict.by != supplier.number else ""
    return f"{said}{scope}{about}"


def _scope_words(stated: ScopedQualification) -> str:
    named = (
        ("category", stated.category),
        ("region", stated.region),
        ("business unit", stated.business_unit),
        ("plant", stated.plant),
    )
    said = ", ".join(f"{name} {value}" for name, value in named if value)
    return f" for {said}" if said else ""
