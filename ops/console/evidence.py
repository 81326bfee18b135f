"""What somebody has to see before they decide: the supplier, the contracts, what the change makes
of items and BOMs, and what goes on once it is decided. Read once, then pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from broker.store import Tx, documents, views
from broker.store.views import ChangeView, StepRow, TaskRow
from canonical.bom import BomLine, PlantBom, PlantBomState, owner_of, plant_bom_key_of
from canonical.change import AffectedItem, EngineeringChange
from canonical.facts import Document
from canonical.item import Item, item_key
from canonical.money import UnitPrice, minor_digits
from canonical.operations import Operation, PutBom, verb
from canonical.sourcing import Coverage, CoverageLine, coverage_key
from canonical.supplier import Supplier, supplier_key
from ops.cli.output import plural

# More than that of one kind nobody weighs; how many there are is said.
MOST_ITEMS = 20
MOST_BOMS = 6
MOST_LINES = 40
_READ_BOMS = 200

_PUT_BOM = verb(PutBom)
_OVER = ("cancelled", "superseded")
_WORDS: Mapping[str, str] = {
    "put-info-record": "purchasing info record",
    "put-item": "item master",
    "put-bom": "BOM",
    "put-source-list": "source list",
    "put-change-master": "change master",
    "put-changed-objects": "list of changed objects",
    "extend-to-plant": "plant view",
    "put-contract": "contract",
    "put-order": "order",
    "put-supplier": "supplier",
    "publish-item": "catalogue item",
    "announce": "notice",
    "approve": "further decision",
    "request-review": "review",
    "report-implementation": "report to the PLM",
    "reconcile": "entry in the PLM",
}

T = TypeVar("T", bound=Document)


class Behind(msgspec.Struct, frozen=True):
    """What stands behind a decision: what it sets free at once, and what comes after that.

    words: in one sentence what it is; plants: where.
    """

    direct: tuple[StepRow, ...]
    later: tuple[StepRow, ...]
    words: str
    plants: tuple[str, ...]


class ItemChange(msgspec.Struct, frozen=True):
    """What the change makes of an item. is_near: the decision is about it."""

    row: AffectedItem
    item: Item | None
    is_near: bool


class BomDifference(msgspec.Struct, frozen=True):
    """A line of a BOM that is not in the plant as the change wants it.

    kind: added, removed or changed. was, now: quantity and unit, "" where there is no such line.
    """

    kind: str
    position: str
    component: str
    was: str
    now: str


class BomChange(msgspec.Struct, frozen=True):
    """What the change makes of a plant's BOM. is_known: the plant's own, as its ERP last told it;
    alike: lines that are as they are to be; more: differences that are not shown."""

    step: StepRow
    bom: PlantBom
    is_known: bool
    differences: tuple[BomDifference, ...]
    alike: int
    more: int


class Evidence(msgspec.Struct, frozen=True):
    """What is known about what a task asks. more_items, more_boms: that are not shown."""

    behind: Behind
    suppliers: tuple[Supplier, ...]
    contracts: tuple[tuple[str, tuple[CoverageLine, ...] | None], ...]
    items: tuple[ItemChange, ...]
    boms: tuple[BomChange, ...]
    more_items: int = 0
    more_boms: int = 0


async def evidence(tx: Tx, task: TaskRow, change: ChangeView) -> Evidence:
    """What is known by now about what the task asks."""
    behind = behind_of(task.id, change.steps)
    supplier = supplier_of(task)
    numbers = items_of(task, behind)
    keys = {change.key, *map(item_key, numbers), *map(coverage_key, numbers)}
    known = await documents.load(tx, keys | ({supplier_key(supplier)} if supplier else set()))
    stated = _document(known, change.key, EngineeringChange)
    rows = stated.affected if stated else ()
    more = await documents.load(tx, {item_key(row.item) for row in rows[:_READ_BOMS]} - set(known))
    items = item_changes(rows, numbers, {**known, **more})
    bom_steps = [s for s in change.steps if s.operation == _PUT_BOM and s.state not in _OVER]
    wanted = await views.operations(tx, [s.id for s in bom_steps[:_READ_BOMS]])
    boms = boms_concerned(bom_steps, wanted, numbers or {row.item for row in rows})
    held = await documents.load(tx, {_state_key(bom) for _, bom in boms[:MOST_BOMS]})
    return Evidence(
        behind=behind,
        suppliers=tuple(
            s for s in [_document(known, supplier_key(supplier), Supplier)] if s is not None
        ),
        contracts=tuple(
            (number, _lines(_document(known, coverage_key(number), Coverage), supplier))
            for number in sorted(numbers)[:MOST_ITEMS]
        ),
        items=items[:MOST_ITEMS],
        boms=tuple(
            bom_change(step, bom, _document(held, _state_key(bom), PlantBomState))
            for step, bom in boms[:MOST_BOMS]
        ),
        more_items=max(len(items) - MOST_ITEMS, 0),
        more_boms=max(len(boms) - MOST_BOMS, 0),
    )


def behind_of(task_id: int, steps: Sequence[StepRow]) -> Behind:
    """The steps that a decision sets free, and those that stand behind them.

    steps: of its ledger; what is over already is left out.
    """
    asked = next(step for step in steps if step.id == task_id)
    waiting = [s for s in steps if s.id != task_id and s.state not in _OVER]
    after: dict[str, list[StepRow]] = {}
    for step in waiting:
        for before in dict.fromkeys(step.depends_on):
            after.setdefault(before, []).append(step)
    direct = after.get(asked.identity, [])
    reached = {step.id for step in direct}
    queue, later = list(direct), []
    while queue:
        for step in after.get(queue.pop().identity, []):
            if step.id not in reached:
                reached.add(step.id)
                later.append(step)
                queue.append(step)
    later.sort(key=lambda step: step.id)
    plants = tuple(sorted({step.plant for step in direct if step.plant}))
    return Behind(tuple(direct), tuple(later), _released(direct, plants), plants)


def _released(steps: Sequence[StepRow], plants: Sequence[str]) -> str:
    """e.g. "2 purchasing info records in plants 1010 and 2010, and 1 notice"."""
    there = _kinds(step for step in steps if step.plant)
    everywhere = _kinds(step for step in steps if not step.plant)
    if there:
        there += f" in plant{'s' if len(plants) > 1 else ''} {listed(plants)}"
    return ", and ".join(part for part in (there, everywhere) if part)


def _kinds(steps: Iterable[StepRow]) -> str:
    kinds = Counter(_WORDS.get(step.operation, step.operation.replace("-", " ")) for step in steps)
    return listed([_many(number, word) for word, number in kinds.items()])


def _many(number: int, word: str) -> str:
    if word.startswith("list ") or word.endswith(("PLM",)):
        return f"{number} x {word}" if number > 1 else f"1 {word}"
    if number > 1 and word.endswith("y"):
        return f"{number} {word[:-1]}ies"
    return plural(number, word)


def listed(words: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def price_words(price: UnitPrice) -> str:
    """e.g. "25.00 EUR for 100 H87"."""
    money = price.amount
    written = money.amount.normalize().as_tuple().exponent
    digits = max(minor_digits(money.currency), -written if isinstance(written, int) else 0)
    amount = f"{money.amount:.{digits}f} {money.currency}"
    return f"{amount} for {price.per.value.normalize():f} {price.per.unit}"


def supplier_of(task: TaskRow) -> str:
    """The supplier that the task is about, "" where it is about none."""
    if task.order_line is not None:
        return task.order_line.supplier
    kind, _, number = task.about.partition("/")
    return number if kind == "supplier" else ""


def items_of(task: TaskRow, behind: Behind) -> set[str]:
    """The items that the task is about, or that it sets free."""
    found = {task.order_line.item} if task.order_line else set()
    for step in behind.direct:
        if step.object_kind == "info-record":
            found.add(step.object_id.partition("/")[2])
        elif step.object_kind in ("item", "source-list"):
            found.add(step.object_id.rpartition("/")[2])
    return found - {""}


def item_changes(
    rows: Sequence[AffectedItem], near: set[str], known: Mapping[str, documents.Stored]
) -> tuple[ItemChange, ...]:
    """What the change makes of its items, those that the decision is about first."""
    found = [
        ItemChange(row, _document(known, item_key(row.item), Item), row.item in near)
        for row in rows
    ]
    return tuple(sorted(found, key=lambda each: not each.is_near))


def boms_concerned(
    steps: Sequence[StepRow], wanted: Mapping[int, Operation], items: Iterable[str]
) -> list[tuple[StepRow, PlantBom]]:
    """The BOMs of the change that are of one of the items, or have a line for it."""
    concerned, found = set(items), []
    for step in steps:
        operation = wanted.get(step.id)
        if isinstance(operation, PutBom):
            named = {operation.bom.parent, *(line.component for line in operation.bom.lines)}
            if named & concerned:
                found.append((step, operation.bom))
    return found


def bom_change(step: StepRow, bom: PlantBom, held: PlantBomState | None) -> BomChange:
    """In what the plant's BOM differs from what is wanted; lines that are the plant's own stay."""
    is_known = held is not None and not held.is_deleted
    there = _by_place(_engineerings(bom, held.lines)) if held and is_known else {}
    wanted = _by_place(bom.lines)
    found: list[BomDifference] = []
    alike = 0
    for place in dict.fromkeys((*wanted, *there)):
        was, now = _amount(there.get(place)), _amount(wanted.get(place))
        if was == now:
            alike += 1
            continue
        kind = "changed" if was and now else "added" if now else "removed"
        position, component, _ = place
        found.append(BomDifference(kind, position, component, was, now))
    if not is_known:
        found = []
    return BomChange(
        step, bom, is_known, tuple(found[:MOST_LINES]), alike, max(len(found) - MOST_LINES, 0)
    )


def _engineerings(bom: PlantBom, lines: Iterable[BomLine]) -> list[BomLine]:
    """Those that are engineering's to change: not what the plant keeps as its own."""
    owner = owner_of(bom)
    return [line for line in lines if owner(line.component, "") != "plant"]


def _by_place(lines: Iterable[BomLine]) -> dict[tuple[str, str, int], BomLine]:
    """Lines by position and component; several alike are told apart by their order."""
    found: dict[tuple[str, str, int], BomLine] = {}
    times: Counter[tuple[str, str]] = Counter()
    for line in lines:
        # ERPs write positions with zeros before them.
        place = (line.position.lstrip("0") or line.position, line.component)
        found[(*place, times[place])] = line
        times[place] += 1
    return found


def _amount(line: BomLine | None) -> str:
    if line is None:
        return ""
    return f"{line.quantity.value.normalize():f} {line.quantity.unit}"


def _state_key(bom: PlantBom) -> str:
    return plant_bom_key_of(bom.plant, bom.usage, bom.alternative, bom.parent)


def _lines(found: Coverage | None, supplier: str) -> tuple[CoverageLine, ...] | None:
    """The contract lines of that supplier first; None where procurement has not answered."""
    if found is None:
        return None
    return tuple(sorted(found.lines, key=lambda line: line.supplier != supplier))


def _document(known: Mapping[str, documents.Stored], key: str, kind: type[T]) -> T | None:
    found = known.get(key)
    document = found.known.document if found else None
    return document if isinstance(document, kind) else None
