"""The sentences that stories are made of. Each is said as its pattern shows it; {words} are the
story's own. README.md lists them with what they mean."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from broker import approvals, cases, controls, holds
from broker.store.change_list import changes
from canonical.effectivity import OPEN_END
from canonical.effects import Finding
from handlers.systems.s4.odata import date_literal
from tests.scenarios.plm import Package, in_own_words, package_in
from tests.scenarios.seeing import PATHS, WHAT, difference, laid_out
from tests.scenarios.stage import Stage
from tests.scenarios.telling import Misspelt, Sentence, Table, rows_of
from tests.scenarios.works import Works, contract_line, new_contract

Word = Callable[..., Any]
_GIVEN: dict[re.Pattern[str], Word] = {}
_SAID: dict[re.Pattern[str], Word] = {}
_REASON = "as the story has it"
# What goes wrong at a stand-in, in the words of the stories.
_FAULTS: Mapping[str, dict[str, object]] = {
    "but its answer is lost": {"action": "reset"},
    "but never answers": {"action": "apply_then_hang"},
    "but answers with an error": {"action": "apply_then_500"},
    "and takes a second to answer": {"action": "slow", "seconds": 0.9},
    "and takes a second to answer that it left something out": {
        "action": "slow",
        "seconds": 0.9,
        "headers": {
            "sap-message": '{"code":"ZBOM/017","message":"Not every line was taken over",'
            '"severity":"warning","details":[]}'
        },
    },
}


def given(pattern: str) -> Callable[[Word], Word]:
    """A sentence about the works, before anything runs."""
    return lambda word: _GIVEN.setdefault(_compiled(pattern), word)


def said(pattern: str) -> Callable[[Word], Word]:
    """An event, or something that has to be true."""
    return lambda word: _SAID.setdefault(_compiled(pattern), word)


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+?)", re.escape(pattern)))


def lay_out(works: Works, sentence: Sentence) -> bool:
    """The works are as the sentence says; False where it is none about them."""
    found = _find(_GIVEN, sentence)
    if found is None:
        return False
    word, words = found
    word(works, sentence, **words)
    return True


async def carry_out(stage: Stage, sentence: Sentence) -> None:
    """What the sentence says has happened, or was looked at.

    Raises: Misspelt for what nobody understands; AssertionError for what is not true, with the line
    of the story.
    """
    __tracebackhide__ = True
    found = _find(_SAID, sentence)
    if found is None:
        raise Misspelt(sentence.where, f"nobody understands {sentence.text!r}")
    word, words = found
    try:
        done = word(stage, sentence, **words)
        if isinstance(done, Awaitable):
            await done
    except AssertionError as error:
        raise AssertionError(f"{sentence.where}: {sentence.text}\n\n{error}") from None


def understands(sentence: Sentence) -> bool:
    """Whether there is a word for the sentence."""
    if sentence.part == "given" and _find(_GIVEN, sentence):
        return True
    return _find(_SAID, sentence) is not None


def _find(known: dict[re.Pattern[str], Word], sentence: Sentence) -> tuple[Word, Any] | None:
    text = sentence.text.rstrip(":.")
    fitting = [(w, m.groupdict()) for p, w in known.items() if (m := p.fullmatch(text))]
    # Of several the one with the fewest words of the story's own says most.
    return min(fitting, key=lambda f: sum(map(len, f[1].values())), default=None)


# Given


@given("these plants")
def _(works: Works, sentence: Sentence) -> None:
    for row in rows_of(sentence.table("plant")):
        cells = row.cells
        works.plants.append(
            {
                "code": cells["plant"],
                "name": cells["name"],
                "zone": cells["zone"],
                "sourcing": cells["sourcing"],
                "purchasing_org": cells["organisation"],
                "purchasing_group": cells["group"],
            }
        )


@given("plants get families so")
def _(works: Works, sentence: Sentence) -> None:
    for row in rows_of(sentence.table("family")):
        works.families.setdefault(row.cells["family"], []).append(row.cells["plant"])


@given("a finding about {family} stops the change")
def _(works: Works, sentence: Sentence, family: str) -> None:
    works.rules.setdefault("regulated", []).append(family)


@given("these suppliers")
def _(works: Works, sentence: Sentence) -> None:
    works.suppliers += [
        {
            "number": row.cells["supplier"],
            "name": row.cells["name"],
            "status": "active",
            "custom-fields": _qualification(row.cells["qualification"]),
        }
        for row in rows_of(sentence.table("supplier"))
    ]


@given("these contracts")
def _(works: Works, sentence: Sentence) -> None:
    for row in rows_of(sentence.table("contract")):
        cells = row.cells
        works.contract(cells["contract"], cells["supplier"], contract_line(cells))


@given("from {day} on the {kind} of {plant} are in {system}")
def _(works: Works, sentence: Sentence, day: str, kind: str, plant: str, system: str) -> None:
    kind = {"objects": "*"}.get(kind, kind)
    where = {"every plant": "*"}.get(plant, plant.removeprefix("plant "))
    works.route(kind, where, system, date.fromisoformat(day))


@given("nothing is ordered without a source list in {plants}")
def _(works: Works, sentence: Sentence, plants: str) -> None:
    for plant in works.plants:
        if plant["code"] in re.split(r", | and ", plants):
            plant["source_list"] = True


@given("orders go to {system}")
def _(works: Works, sentence: Sentence, system: str) -> None:
    works.route("purchase-order", "*", system, date(2020, 1, 1))


@given("it is {moment}")
def _(works: Works, sentence: Sentence, moment: str) -> None:
    works.clock.becomes(_moment(moment))


@given("parts that are bought no longer get the status {code} in every plant")
def _(works: Works, sentence: Sentence, code: str) -> None:
    works.rules["obsolete"] = {"plant_status": code}


@given("items have these owners")
def _(works: Works, sentence: Sentence) -> None:
    works.rules["ownership"] = [
        {"entity": "item", "group": row.cells["group"], "owner": row.cells["owner"].casefold()}
        for row in rows_of(sentence.table("group"))
    ]


@given("an old PDM states items, too")
def _(works: Works, sentence: Sentence) -> None:
    works.sources.append(
        {"name": "pdm", "kinds": ["product-definition"], "contracts": ["pdx.package"]}
    )


@given("suppliers are told of changes to their parts, and have to answer")
def _(works: Works, sentence: Sentence) -> None:
    works.rules["supplier_notices"] = {"acknowledged": True}


@given("{system} is the PLM's own system, and is told when a change is done")
def _(works: Works, sentence: Sentence, system: str) -> None:
    works.told_back(system)


@given("a decision is late after {seconds} s")
def _(works: Works, sentence: Sentence, seconds: str) -> None:
    works.rules["due_s"] = {"approve": int(seconds)}


def _qualification(words: str) -> dict[str, Any]:
    status, _, until = words.partition(" until ")
    stated = {"qualified": "Qualified", "in qualification": "InQualification"}
    return {
        "qualification-status": stated.get(status, status),
        "qualified-until": until or ("2099-12-31" if status == "qualified" else None),
    }


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace(" UTC", "")).replace(tzinfo=UTC)


# What the PLM says


@said("PLM releases {change} for {family}")
async def _(stage: Stage, sentence: Sentence, change: str, family: str) -> None:
    change, _, effective = change.partition(", effective ")
    family, _, late = family.partition(", effective ")
    await _state(stage, package_in(sentence, change, family, effective or late))


@said("PLM releases {change} for {family}, as {system} shows it")
async def _(stage: Stage, sentence: Sentence, change: str, family: str, system: str) -> None:
    """Items and structures first: what is known of them is not read there."""
    package = package_in(sentence, change, family)
    await _state(stage, msgspec.structs.replace(package, tells_change=False))
    await stage.at_rest()
    told, plm = in_own_words(package, stage.said_at()), stage.targets[system]
    await plm.plant("changes", msgspec.json.encode(told.change))
    await plm.plant("events", msgspec.json.encode(told.entry))
    await stage.send("plm", "product-definition", told.statement, "application/json")


@said("PLM corrects {change}")
async def _(stage: Stage, sentence: Sentence, change: str) -> None:
    change, _, effective = change.partition(", effective ")
    before = _last_of(stage, sentence, change)
    await _state(stage, package_in(sentence, change, before.family, effective or before.effective))


@said("PLM takes {change} back")
async def _(stage: Stage, sentence: Sentence, change: str) -> None:
    before = _last_of(stage, sentence, change)
    await _state(stage, msgspec.structs.replace(before, status="Cancelled"))


@said("PLM sends the same message again")
async def _(stage: Stage, sentence: Sentence) -> None:
    await _send(stage, stage.plm.last_document)


@said("PLM states {change} anew, unchanged")
async def _(stage: Stage, sentence: Sentence, change: str) -> None:
    await _state(stage, _last_of(stage, sentence, change))


@said("PLM states {change} anew, unchanged but for new release dates")
async def _(stage: Stage, sentence: Sentence, change: str) -> None:
    package = _last_of(stage, sentence, change)
    await _send(stage, stage.plm.states(package, stage.said_at(), restamps=True))


def _last_of(stage: Stage, sentence: Sentence, change: str) -> Package:
    found = stage.plm.last_of(change)
    if found is None:
        raise Misspelt(sentence.where, f"PLM has said nothing of {change}")
    return found


async def _state(stage: Stage, package: Package) -> None:
    await _send(stage, stage.plm.states(package, stage.said_at()))


async def _send(stage: Stage, document: bytes) -> None:
    await stage.send("plm", "product-definition", document, "application/xml")


@said("the PDM states for {family}")
async def _(stage: Stage, sentence: Sentence, family: str) -> None:
    document = stage.plm.copied(package_in(sentence, "", family), stage.said_at())
    await stage.send("pdm", "product-definition", document, "application/xml")


# What goes wrong, and works again


@said("{system} is out of order for {what}")
async def _(stage: Stage, sentence: Sentence, system: str, what: str) -> None:
    rule = {"action": "refuse_500", "method": "POST", "path": _path(sentence, what), "times": None}
    await stage.targets[system].add_faults(rule)
    stage.out_of_order.add(system)


@said("{system} refuses {what}")
async def _(stage: Stage, sentence: Sentence, system: str, what: str) -> None:
    what, _, of = what.partition(" about ")
    rule = {"action": "refuse_400", "method": "POST", "path": _path(sentence, what), "times": None}
    rule |= {"body": f'"{of}"'} if of else {}
    await stage.targets[system].add_faults(rule)


@said("{system} works again")
async def _(stage: Stage, sentence: Sentence, system: str) -> None:
    await _mend(stage, system)


async def _mend(stage: Stage, system: str) -> None:
    await stage.targets[system].clear_faults()
    stage.out_of_order.discard(system)


@said("{system} works again once nothing moves any more")
async def _(stage: Stage, sentence: Sentence, system: str) -> None:
    """What was said before is planned by then."""
    await stage.at_rest()
    await _mend(stage, system)


async def _commit_fault(stage: Stage, sentence: Sentence, system: str, what: str) -> None:
    what, _, of = what.partition(" about ")
    text = sentence.text.rstrip(":.")
    fault = next(action for words, action in _FAULTS.items() if text.endswith(words))
    body = f'"{of}"' if of else ""
    rule: dict[str, object] = {"method": "POST", "path": _path(sentence, what), "body": body}
    await stage.targets[system].add_faults(rule | fault)


for _words in _FAULTS:
    said("{system} carries out the next write of {what} " + _words)(_commit_fault)


@said("somebody deletes line {line} of the BOM of {parent} in plant {plant} from {system}")
async def _(
    stage: Stage, sentence: Sentence, line: str, parent: str, plant: str, system: str
) -> None:
    where = {"Material": parent, "Plant": plant, "BillOfMaterialItemNumber": line}
    gone = await stage.targets[system].remove("MaterialBOMItem", where)
    assert gone == 1, f"{gone} such lines were there"


@said("somebody deletes {item} in plant {plant} from {system}")
async def _(stage: Stage, sentence: Sentence, item: str, plant: str, system: str) -> None:
    where = {"Product": item, "Plant": plant}
    gone = await stage.targets[system].remove("A_ProductPlant", where)
    assert gone == 1, f"{gone} such views were there"


@said("somebody has put into {system} by hand")
async def _(stage: Stage, sentence: Sentence, system: str) -> None:
    for row in rows_of(sentence.table("material")):
        cells = row.cells
        material = {
            "Product": cells["material"],
            "ProductType": cells["type"],
            "ProductGroup": cells.get("group", "L001"),
            "BaseUnit": cells["unit"],
            "IndustrySector": "M",
            "MaterialRevisionLevel": cells["revision"],
        }
        text = {
            "Product": cells["material"],
            "Language": "EN",
            "ProductDescription": cells["description"],
        }
        await stage.targets[system].plant("A_Product", msgspec.json.encode(material))
        await stage.targets[system].plant("A_ProductDescription", msgspec.json.encode(text))


@said("buyers have entered in the source lists of {system}")
async def _(stage: Stage, sentence: Sentence, system: str) -> None:
    for number, row in enumerate(rows_of(sentence.table("item")), start=1):
        cells = row.cells
        until = cells["until"]
        entry = {
            "Material": cells["item"],
            "Plant": cells["plant"],
            "SourceListRecord": str(100 + number),
            "Supplier": cells["supplier"],
            "PurchasingOrganization": cells["organisation"],
            "ValidityStartDate": date_literal(date.fromisoformat(cells["from"])),
            "ValidityEndDate": date_literal(
                OPEN_END if until == "-" else date.fromisoformat(until)
            ),
            "SourceOfSupplyIsBlocked": cells["blocked"] == "yes",
        }
        await stage.targets[system].plant("A_PurchasingSource", msgspec.json.encode(entry))


@said("buyers take {supplier} out of the source list of {item} in plant {plant} in {system}")
async def _(
    stage: Stage, sentence: Sentence, supplier: str, item: str, plant: str, system: str
) -> None:
    where = {"Material": item, "Plant": plant, "Supplier": supplier}
    gone = await stage.targets[system].remove("A_PurchasingSource", where)
    assert gone == 1, f"{gone} such rows were there"


def _path(sentence: Sentence, what: str) -> str:
    if what not in PATHS:
        raise Misspelt(sentence.where, f"{what!r} is none of {', '.join(PATHS)}")
    return PATHS[what]


# People


@said("{role} approves {what}")
async def _(stage: Stage, sentence: Sentence, role: str, what: str) -> None:
    await _decide(stage, role, what, "approved")


@said("{role} approves everything about {what}")
async def _(stage: Stage, sentence: Sentence, role: str, what: str) -> None:
    while await _questions(stage, role):
        await _decide(stage, role, what, "approved", one=False)


@said("{role} rejects {what}")
async def _(stage: Stage, sentence: Sentence, role: str, what: str) -> None:
    await _decide(stage, role, what, "rejected")


@said("{role} decides on {what}: {choice}")
async def _(stage: Stage, sentence: Sentence, role: str, what: str, choice: str) -> None:
    await _decide(stage, role, what, "approved", choice=choice)


async def _decide(
    stage: Stage,
    role: str,
    what: str,
    verdict: approvals.Verdict,
    *,
    one: bool = True,
    choice: str = "",
) -> None:
    await stage.at_rest()
    asked = await stage.bench.rows(
        "select id, encode(digest, 'hex') as digest from step where kind = 'approval'"
        " and state = 'ready' and owner = $1 and object_id = $2",
        role,
        what,
    )
    is_right = len(asked) == 1 if one else bool(asked)
    assert is_right, f"{role} is asked {len(asked)} questions about {what}"
    by = await stage.person(role)
    async with stage.bench.database.transaction() as tx:
        await approvals.decide(
            tx,
            step_id=asked[0]["id"],
            digest=asked[0]["digest"],
            verdict=verdict,
            by=by,
            reason=_REASON,
            choice=choice,
        )


@said("operations stop all writing")
async def _(stage: Stage, sentence: Sentence) -> None:
    for system in stage.targets:
        await _stop(stage, system)


@said("operations let everything be written again")
async def _(stage: Stage, sentence: Sentence) -> None:
    for system in list(stage.held):
        await _release(stage, system)


@said("operations stop all writing to {system}")
async def _(stage: Stage, sentence: Sentence, system: str) -> None:
    await _stop(stage, system)


@said("operations let {system} be written to again")
async def _(stage: Stage, sentence: Sentence, system: str) -> None:
    await _release(stage, system)


async def _stop(stage: Stage, system: str) -> None:
    by = await stage.person("operator")
    async with stage.bench.database.transaction() as tx:
        done = await holds.place(tx, kind="system", value=system, reason=_REASON, by=by.name)
    stage.held[system] = done.hold.id


async def _release(stage: Stage, system: str) -> None:
    # What came in before is planned by then.
    await stage.at_rest()
    by = await stage.person("operator")
    number = stage.held.pop(system)
    async with stage.bench.database.transaction() as tx:
        await holds.release(tx, hold_id=number, reason=_REASON, by=by.name)


@said("engineering cancels {change} in Layshaft")
async def _(stage: Stage, sentence: Sentence, change: str) -> None:
    by = await stage.person("engineering")
    async with stage.bench.database.transaction() as tx:
        await controls.cancel(
            tx, number=change, by=by.name, reason=_REASON, now=stage.works.clock()
        )


@said("operations pause {change}")
async def _(stage: Stage, sentence: Sentence, change: str) -> None:
    by = await stage.person("operator")
    async with stage.bench.database.transaction() as tx:
        await controls.pause(tx, numbers=[change], by=by.name, reason=_REASON)


@said("operations let {change} go on")
async def _(stage: Stage, sentence: Sentence, change: str) -> None:
    # What came in before is planned by then.
    await stage.at_rest()
    by = await stage.person("operator")
    async with stage.bench.database.transaction() as tx:
        await controls.resume(tx, numbers=[change], by=by.name, reason=_REASON)


@said("an operator leaves out {verb} of {what} of {change}")
async def _(stage: Stage, sentence: Sentence, verb: str, what: str, change: str) -> None:
    await stage.at_rest()
    by = await stage.person("operator")
    step = (await _forms(stage, verb, what, change))[-1]
    async with stage.bench.database.transaction() as tx:
        await controls.skip(tx, number=change, step=str(step["id"]), by=by.name, reason=_REASON)


@said("an operator has {verb} of {what} of {change} run anew")
async def _(stage: Stage, sentence: Sentence, verb: str, what: str, change: str) -> None:
    await _run_anew(stage, verb, what, change)


async def _forms(stage: Stage, verb: str, what: str, change: str) -> list[Any]:
    """All forms of the step, the one that counts last. what: its object, also "PIN-7 in 1010"."""
    number, _, plant = what.partition(" in ")
    rows = await stage.bench.rows(
        "select s.* from step s join ledger l on l.id = s.ledger_id where l.key = $1"
        " and verb = $2 and object_id = $3 and plant = $4 order by generation",
        f"engineering-change/{change}",
        verb,
        number,
        plant,
    )
    assert rows, f"{change} has no {verb} of {what}"
    return rows


async def _run_anew(stage: Stage, verb: str, what: str, change: str) -> None:
    await stage.at_rest()
    by = await stage.person("operator")
    step = (await _forms(stage, verb, what, change))[-1]
    async with stage.bench.database.transaction() as tx:
        await controls.restart(
            tx,
            number=change,
            step=str(step["id"]),
            by=by.name,
            reason=_REASON,
            rules=stage.rules,
            now=stage.works.clock(),
        )


@said("{role} closes the case {code}")
async def _(stage: Stage, sentence: Sentence, role: str, code: str) -> None:
    await _settle(stage, role, code, cases.discard)


@said("{role} has the case {code} tried again")
async def _(stage: Stage, sentence: Sentence, role: str, code: str) -> None:
    await _settle(stage, role, code, cases.retry)


async def _settle(stage: Stage, role: str, code: str, settle: Word) -> None:
    await stage.at_rest()
    code, _, place = code.partition(" about ")
    found = await stage.bench.column(
        "select id from exception_case where state = 'open' and code = $1"
        " and position($2 in place) > 0",
        code,
        place,
    )
    assert len(found) == 1, f"{len(found)} open cases are {code} {place}"
    by = await stage.person(role)
    async with stage.bench.database.transaction() as tx:
        await settle(tx, case_id=found[0], by=by.name, reason=_REASON)


# Time


@said("it becomes {moment}")
def _(stage: Stage, sentence: Sentence, moment: str) -> None:
    stage.works.clock.becomes(_moment(moment))


@said("as soon as {steps} of {change} are {state}")
async def _(stage: Stage, sentence: Sentence, steps: str, change: str, state: str) -> None:
    """Of each verb all steps; of "put-item PIN-7" those about that object."""
    wanted = [tuple(step.partition(" ")[::2]) for step in re.split(r", | and ", steps)]

    async def holds() -> bool:
        rows = await stage.bench.rows(
            "select verb, object_id, s.state from step s join ledger l on l.id = s.ledger_id"
            " where l.key = $1",
            f"engineering-change/{change}",
        )
        found = [
            [r["state"] for r in rows if r["verb"] == verb and about in ("", r["object_id"])]
            for verb, about in wanted
        ]
        return all(states and set(states) == {state} for states in found)

    await stage.until(holds, sentence.text)


@said("as soon as the list of changes says that {number} step of {change} is late")
async def _(stage: Stage, sentence: Sentence, number: str, change: str) -> None:
    async def holds() -> bool:
        async with stage.bench.database.transaction() as tx:
            listed = (await changes(tx, limit=100)).rows
        return [str(row.late) for row in listed if row.number == change] == [number]

    await stage.until(holds, sentence.text)


@said("as soon as {system} has carried out a write of {what}")
async def _(stage: Stage, sentence: Sentence, system: str, what: str) -> None:
    what, _, of = what.partition(" about ")
    path = _path(sentence, what)

    async def holds() -> bool:
        return any(of in entry.body for entry in await _applied(stage, system, path))

    await stage.until(holds, sentence.text)


@said("as soon as {system} has refused a write of {what}")
async def _(stage: Stage, sentence: Sentence, system: str, what: str) -> None:
    path = _path(sentence, what)

    async def holds() -> bool:
        entries = await stage.targets[system].entries()
        refused = {entry.request for entry in entries if entry.fault.startswith("refuse")}
        return any(e.is_write and e.request in refused and re.search(path, e.path) for e in entries)

    await stage.until(holds, sentence.text)


@said("nothing else happens")
def _(stage: Stage, sentence: Sentence) -> None:
    """What a story says where another one like it tells of trouble."""


@said("nothing moves any more")
async def _(stage: Stage, sentence: Sentence) -> None:
    await stage.at_rest()


# Procurement and the ERP speak for themselves


@said("procurement issues the order {order} to {supplier}")
async def _(stage: Stage, sentence: Sentence, order: str, supplier: str) -> None:
    await _state_order(stage, sentence, order, supplier, "issued")


async def _state_order(
    stage: Stage, sentence: Sentence, order: str, supplier: str, status: str
) -> None:
    lines = [
        {
            "id": number,
            "line-num": row.cells["line"],
            "type": "OrderQuantityLine",
            "status": "ordered",
            "description": row.cells["item"],
            "quantity": row.cells["quantity"],
            "uom": {"code": "EA"},
            "price": row.cells["price"],
            "currency": {"code": "EUR"},
            "item": {"id": number, "item-number": row.cells["item"]},
            "need-by-date": "2099-04-01T00:00:00+02:00",
        }
        for number, row in enumerate(rows_of(sentence.table("line")), start=1)
    ]
    at = stage.said_at().isoformat()
    plant = sentence.table("line").rows[0].cells["plant"]
    body = {
        "id": 12,
        "po-number": order,
        "version": 1,
        "internal-revision": 1,
        "status": status,
        "created-at": at,
        "updated-at": at,
        "supplier": {"id": 7, "number": supplier, "name": supplier},
        "currency": {"code": "EUR"},
        "ship-to-address": {"location-code": plant},
        "order-lines": lines,
    }
    headers = {"ce-type": "coupa.order"}
    await stage.send("suite", "row", msgspec.json.encode(body), "application/json", **headers)


@said(
    "sourcing makes contract {contract} with {supplier} and procurement is asked again for {what}"
)
async def _(stage: Stage, sentence: Sentence, contract: str, supplier: str, what: str) -> None:
    item, _, change = what.partition(" of ")
    [cells] = [row.cells for row in rows_of(sentence.table("item"))]
    line = contract_line(cells)
    row = new_contract(contract, supplier) | {"lines": [line]}
    await stage.targets["procurement"].plant("contracts", msgspec.json.encode(row))
    await _run_anew(stage, "read-coverage", item, change)


@said("{system} tells that {item} is ordered in plant {plant} only by a source list")
async def _(stage: Stage, sentence: Sentence, system: str, item: str, plant: str) -> None:
    view = {"Product": item, "Plant": plant}
    target = stage.targets[system]
    await target.plant("A_ProductPlant", msgspec.json.encode(view | {"ProcurementType": "F"}))
    mark = view | {"IsSourceListRequired": True}
    await target.plant("A_ProductPlantProcurement", msgspec.json.encode(mark))
    await _tell(stage, "product.v1.Product", {"Product": item})


@said("{system} tells of the BOM of {parent} in plant {plant}")
async def _(stage: Stage, sentence: Sentence, system: str, parent: str, plant: str) -> None:
    await stage.at_rest()
    named = ("BillOfMaterial", "BillOfMaterialVariant", "Material", "Plant")
    found = [
        {name: row[name] for name in named}
        for row in await stage.targets[system].table("MaterialBOM")
        if (row["Material"], row["Plant"]) == (parent, plant)
    ]
    assert len(found) == 1, f"{len(found)} such BOMs are there"
    await _tell(
        stage, "billofmaterial.v1.BillOfMaterial", found[0] | {"BillOfMaterialCategory": "M"}
    )


async def _tell(stage: Stage, what: str, about: Mapping[str, str]) -> None:
    """The ERP has an event that this was changed."""
    headers = {
        "ce-id": f"news-{stage.messages}",
        "ce-source": "/default/sap.s4.beh/100",
        "ce-specversion": "1.0",
        "ce-type": f"sap.s4.beh.{what}.Changed.v1",
    }
    event = msgspec.json.encode(about)
    await stage.send("erp-news", "event", event, "application/json", **headers)


# What has to be true


@said("the plan of {change} remarks")
async def _(stage: Stage, sentence: Sentence, change: str) -> None:
    findings = await _findings(stage, change)
    _compare(
        sentence.table("finding"),
        [{"finding": f.code, "about": f.where, "owner": f.owner} for f in findings],
    )


@said("the plan of {change} remarks nothing")
async def _(stage: Stage, sentence: Sentence, change: str) -> None:
    findings = await _findings(stage, change)
    assert not findings, "\n".join(f"{f.code} {f.where}: {f.what}" for f in findings)


async def _findings(stage: Stage, change: str) -> list[Finding]:
    await stage.at_rest()
    [stored] = await stage.bench.column(
        "select findings from ledger where key = $1", f"engineering-change/{change}"
    )
    return msgspec.json.decode(stored, type=list[Finding])


@said("the ledger of {change} is {state}")
async def _(stage: Stage, sentence: Sentence, change: str, state: str) -> None:
    await stage.at_rest()
    key = change if "/" in change else f"engineering-change/{change}"
    found = await stage.bench.column("select state from ledger where key = $1", key)
    assert found == [state], f"it is {found[0] if found else 'not there'}"
    if not sentence.tables:
        return
    rows = await stage.bench.rows(
        "select distinct on (s.identity) s.* from step s join ledger l on l.id = s.ledger_id"
        " where l.key = $1 order by s.identity, s.generation desc",
        key,
    )
    # What was awaited and is known by now is no effect, and hangs on which message came first.
    rows = [row for row in rows if (row["kind"], row["state"]) != ("wait", "done")]
    _compare(
        sentence.table("plant"),
        [
            {
                "plant": row["plant"] or "-",
                "system": row["system"],
                "object": row["object_id"],
                "operation": row["verb"],
                "state": row["state"],
                "made": str(row["generation"]),
            }
            for row in rows
        ],
    )


@said("the forms of {verb} of {what} of {change} are {states}")
async def _(
    stage: Stage, sentence: Sentence, verb: str, what: str, change: str, states: str
) -> None:
    """Each time that it was planned otherwise after it had been sent, in that order."""
    await stage.at_rest()
    found = ", ".join(form["state"] for form in await _forms(stage, verb, what, change))
    assert found == states, f"they are {found}"


@said("the list of changes says that {change} waits for {whom}")
async def _(stage: Stage, sentence: Sentence, change: str, whom: str) -> None:
    await stage.at_rest()
    async with stage.bench.database.transaction() as tx:
        listed = (await changes(tx, limit=100)).rows
    found = [", ".join(row.waits_for) for row in listed if row.number == change]
    assert found == [whom], str(found)


@said("{verb} of {change} is late from {moment} on")
async def _(stage: Stage, sentence: Sentence, verb: str, change: str, moment: str) -> None:
    await stage.at_rest()
    found = await stage.bench.column(
        "select distinct due_at from step s join ledger l on l.id = s.ledger_id where l.key = $1"
        " and verb = $2",
        f"engineering-change/{change}",
        verb,
    )
    assert found == [_moment(moment)], str(found)


@said("{system} holds these {what}")
async def _(stage: Stage, sentence: Sentence, system: str, what: str) -> None:
    await stage.at_rest()
    (table,) = sentence.tables
    _compare(table, await WHAT[what](stage.targets[system]))


@said("{system} holds no {what}")
async def _(stage: Stage, sentence: Sentence, system: str, what: str) -> None:
    await stage.at_rest()
    rows = await WHAT[what](stage.targets[system])
    assert not rows, laid_out([tuple(rows[0]), *(tuple(row.values()) for row in rows)])


@said("{role} is asked nothing")
async def _(stage: Stage, sentence: Sentence, role: str) -> None:
    rows = await _questions(stage, role)
    assert not rows, str(rows)


@said("{role} is asked about")
async def _(stage: Stage, sentence: Sentence, role: str) -> None:
    (table,) = sentence.tables
    _compare(table, await _questions(stage, role))


async def _questions(stage: Stage, role: str) -> list[dict[str, str]]:
    await stage.at_rest()
    rows = await stage.bench.rows(
        "select * from step where kind = 'approval' and state = 'ready' and owner = $1", role
    )
    return [{"object": row["object_id"], "of": row["object_kind"]} for row in rows]


@said("{item} is known as {description}")
async def _(stage: Stage, sentence: Sentence, item: str, description: str) -> None:
    await stage.at_rest()
    bodies = await stage.bench.column(
        "select convert_from(body, 'UTF8') from document where key = $1", f"item/{item}"
    )
    found = [msgspec.json.decode(body)["description"] for body in bodies]
    assert found == [description], str(found)


@said("no case is open")
async def _(stage: Stage, sentence: Sentence) -> None:
    rows = await _open_cases(stage)
    assert not rows, laid_out([tuple(rows[0]), *(tuple(row.values()) for row in rows)])


@said("one case is open: {code}")
async def _(stage: Stage, sentence: Sentence, code: str) -> None:
    found = [row["case"] for row in await _open_cases(stage)]
    assert found == [code], str(found)


@said("these cases are open")
async def _(stage: Stage, sentence: Sentence) -> None:
    _compare(sentence.table("case"), await _open_cases(stage))


async def _open_cases(stage: Stage) -> list[dict[str, str]]:
    await stage.at_rest()
    rows = await stage.bench.rows("select * from exception_case where state = 'open' order by id")
    return [
        {
            "case": row["code"],
            "about": row["place"],
            "owner": row["owner"],
            "what": row["what"],
        }
        for row in rows
    ]


@said("{who} has been told nothing")
async def _(stage: Stage, sentence: Sentence, who: str) -> None:
    await stage.at_rest()
    assert not stage.told[who], str(stage.told[who])


@said("{who} has been told")
async def _(stage: Stage, sentence: Sentence, who: str) -> None:
    await stage.at_rest()
    told = [
        {
            "event": n.event,
            "about": n.about.partition("/")[2],
            "plant": n.data.get("plant", "-"),
            "supplier": n.data.get("supplier", "-"),
        }
        for n in stage.told[who]
    ]
    _compare(sentence.table("event"), told)


@said("planning has been told of each plant at last")
async def _(stage: Stage, sentence: Sentence) -> None:
    await stage.at_rest()
    plants = {news.data["plant"] for news in stage.told["planning"]}
    assert plants == {"1010", "2010"}, str(plants)


@said("nothing was written to {system} since then")
async def _(stage: Stage, sentence: Sentence, system: str) -> None:
    await stage.at_rest()
    written = [e for e in await _writes(stage, system) if e.request > stage.marks[system]]
    assert not written, "\n".join(f"{e.method} {e.path} {e.body}" for e in written)


@said("nothing was written to {system} at all")
async def _(stage: Stage, sentence: Sentence, system: str) -> None:
    await stage.at_rest()
    written = await _writes(stage, system)
    assert not written, "\n".join(f"{e.method} {e.path} {e.body}" for e in written)


@said("{system} has carried out these writes")
async def _(stage: Stage, sentence: Sentence, system: str) -> None:
    await stage.at_rest()
    table: Table = sentence.table("of")
    told = {row.cells["of"]: row.cells["writes"] for row in table.rows}
    found = {what: str(len(await _applied(stage, system, PATHS[what]))) for what in told}
    _compare(table, [{"of": what, "writes": found[what]} for what in told])


async def _writes(stage: Stage, system: str) -> list[Any]:
    return [e for e in await stage.targets[system].entries("received") if e.is_write]


async def _applied(stage: Stage, system: str, path: str) -> list[Any]:
    """The writes of such objects that changed something."""
    entries = await stage.targets[system].entries()
    changed = {entry.request for entry in entries if entry.kind == "applied"}
    return [
        entry
        for entry in entries
        if entry.kind == "received"
        and entry.is_write
        and entry.request in changed
        and re.search(path, entry.path)
    ]


@said("{system} was asked nothing since then")
async def _(stage: Stage, sentence: Sentence, system: str) -> None:
    await _asked_nothing(stage, system, stage.marks[system])


@said("{system} was asked nothing at all")
async def _(stage: Stage, sentence: Sentence, system: str) -> None:
    await _asked_nothing(stage, system, 0)


async def _asked_nothing(stage: Stage, system: str, after: int) -> None:
    await stage.at_rest()
    entries = await stage.targets[system].entries("received")
    asked = [e for e in entries if e.request > after]
    assert not asked, "\n".join(f"{e.method} {e.path}" for e in asked)


@said("the audit says")
async def _(stage: Stage, sentence: Sentence) -> None:
    await stage.at_rest()
    rows = await stage.bench.rows("select * from audit order by id")
    table = sentence.table("action")
    about = Counter(row.cells["action"] for row in table.rows)
    _compare(
        table,
        [
            {"action": row["action"], "subject": row["subject"], "actor": row["actor"]}
            for row in rows
            if row["action"] in about
        ],
    )


def _compare(table: Table, seen: list[dict[str, str]]) -> None:
    found = difference(table, seen)
    assert not found, found
