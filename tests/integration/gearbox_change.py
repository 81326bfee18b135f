"""A change half-way, as rows: what the views and the command are looked at with.

ECO-2001 releases GB-100 (made of GB-110 and GB-120) for plants 1010 and 2010. The item masters of
1010 are done, one BOM call failed, the info record of GB-120 stands behind an approval, and the
coverage of GB-110 is not known yet.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import msgspec

from broker import book
from broker.book import Origin, Settled
from broker.store import Database, Position, Tx
from broker.store import calls as call_rows
from broker.store import casebook as case_rows
from broker.store import documents as document_rows
from broker.store import messages as message_rows
from broker.store import pending as pending_rows
from broker.store.calls import CallResult, ClaimedStep
from broker.store.casebook import Case
from broker.store.documents import NewDocument
from broker.store.messages import LogEntry, Note
from broker.store.pending import NewPending
from canonical.bom import BomLine, PlantBom
from canonical.codec import encode
from canonical.effects import Finding, Plan, Put, Step
from canonical.envelope import Envelope
from canonical.events import ApprovalRequested
from canonical.handler import Delivery
from canonical.item import Item, Procurement
from canonical.money import Money, UnitPrice
from canonical.operations import Announce, Approve, AwaitFact, PutBom, PutInfoRecord, PutItem
from canonical.purchasing import InfoRecord
from canonical.quantity import Quantity
from canonical.revision import Revision

CHANGE = "engineering-change/ECO-2001"
STORY = "5f0c2a7d9e8b41c6a3d2e1f009b8c7d6"
PARTS: tuple[tuple[str, Procurement], ...] = (
    ("GB-100", "make"),
    ("GB-110", "buy"),
    ("GB-120", "buy"),
)
PLANTS = ("1010", "2010")
FAILED_BOM = "1010|erp|bom|GB-100|put-bom"
APPROVAL = "|quality|supplier|17300003|approve"


@asynccontextmanager
async def database_at(url: str) -> AsyncIterator[Database]:
    """An open pool on the database."""
    database = Database(url=url, purpose="test", size=2, acquire_s=5, statement_s=5)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


async def seed(url: str) -> None:
    """The change as the module describes it, and two messages of one key stuck behind a case."""
    async with database_at(url) as database:
        await seed_in(database)


async def seed_in(database: Database) -> None:
    """The same through a pool that is open."""
    async with database.transaction() as tx:
        positions = await message_rows.admit(tx, [package(), package_of_kit("1")])
        first, kit = positions[package().identity], positions[package_of_kit("1").identity]
        await store_items(tx, first)
        await book.apply_plans(tx, [book.Planned(plan(), _origin(first))], datetime.now(UTC))
        await stick(tx, package_of_kit("1"), kit, "in_case")
        later = package_of_kit("2")
        await stick(tx, later, (await message_rows.admit(tx, [later]))[later.identity], "parked")
    async with database.transaction() as tx:
        claimed = await claim(tx)
        await book.settle_calls(tx, [_applied(step) for step in claimed])
    async with database.transaction() as tx:
        claimed = await claim(tx)
        await book.settle_calls(tx, [_ended(step) for step in claimed])
    async with database.transaction() as tx:
        await message_rows.record_duplicates(tx, [package(), package()])
        older = {"version": 1, "stated": 1, "message": "pdx-older"}
        note = Note("plm", "stale-refused", "item/GB-110", STORY, older)
        await message_rows.write_audit(tx, [note])


def package() -> LogEntry:
    """The package that released the parts."""
    return _entry("pdx-2001", "product-definition/GB-100", b"<Package/>", STORY)


def package_of_kit(number: str) -> LogEntry:
    """A package with a unit nobody knows."""
    story = f"kit-story-{number}".ljust(32, "0")
    body = f'<Package number="{number}">\n  <Unit>\u2300 furlong</Unit>\n</Package>'.encode()
    return _entry(f"kit-{number}", "product-definition/KIT-7", body, story)


async def first_position(tx: Tx) -> Position:
    """Where the package stands in the log; it is put there where it is not."""
    row = await tx.fetchrow("select at, seq from message order by seq limit 1")
    if row is not None:
        return Position(row["at"], row["seq"])
    return (await message_rows.admit(tx, [package()]))[package().identity]


async def known_origin(tx: Tx) -> Origin:
    """What plans of the change follow from."""
    return _origin(await first_position(tx))


async def stick(tx: Tx, entry: LogEntry, position: Position, state: str) -> None:
    """The message waits; in a case or behind one."""
    await pending_rows.add_pending(
        tx,
        [
            NewPending(
                subscription=entry.subscription,
                scope="definition",
                key=entry.envelope.key,
                lane="standard",
                position=position,
                state=state,
                due_at=datetime.now(UTC),
                attempts=1 if state == "in_case" else 0,
                reason="unit-unknown" if state == "in_case" else "waits behind an earlier message",
            )
        ],
    )
    if state == "in_case":
        await case_rows.open_cases(
            tx,
            [
                Case(
                    code="unit-unknown",
                    word="data_quality",
                    what="The unit furlong has no conversion",
                    place=f"{entry.envelope.key}: Package/Unit",
                    remedy="Correct the unit and send the package again",
                    owner="sender (plm)",
                    source="plm",
                    key=entry.envelope.key,
                    position=position,
                )
            ],
        )


async def store_items(tx: Tx, position: Position) -> None:
    """The items of the package are known."""
    await document_rows.store(
        tx,
        document_rows.as_rows(
            [
                NewDocument(Put(f"item/{number}", 2, item(number, how)), "plm", position)
                for number, how in PARTS
            ]
        ),
    )


async def claim(tx: Tx) -> list[ClaimedStep]:
    """Every call that is due."""
    return await call_rows.claim_calls(tx, lane="standard", systems=["erp"], limit=100, lease_s=60)


def item(number: str, procurement: Procurement) -> Item:
    """A released item."""
    return Item(
        number=number,
        revision=Revision("letters", "B", 1),
        lifecycle="released",
        description=f"Part {number}",
        kind="assembly" if procurement == "make" else "part",
        procurement=procurement,
        base_unit="H87",
    )


def plan() -> Plan:
    """What ECO-2001 asks for."""
    steps = [step for plant in PLANTS for step in _plant_steps(plant)]
    return Plan(
        key=CHANGE,
        version=2,
        title="Gearbox: new input shaft",
        steps=(*steps, *_purchasing_steps(), _completed([s.identity for s in steps])),
        findings=(
            Finding(
                "aml-missing", "item/GB-110", "No approved manufacturer", "warning", "engineering"
            ),
        ),
    )


def _plant_steps(plant: str) -> list[Step]:
    items = [
        Step(plant, "erp", "item", number, PutItem(item(number, how)), owner="master data")
        for number, how in PARTS
    ]
    lines = tuple(
        BomLine(str(n * 10), number, Quantity(Decimal(n), "H87"))
        for n, (number, _) in enumerate(PARTS[1:], 1)
    )
    bom = PlantBom(
        plant=plant,
        parent="GB-100",
        revision="B",
        usage="1",
        alternative="1",
        base=Quantity(Decimal(1), "H87"),
        lines=lines,
    )
    before = tuple(step.identity for step in items)
    return [*items, Step(plant, "erp", "bom", "GB-100", PutBom(bom), before, "master data")]


def _purchasing_steps() -> list[Step]:
    approve = Approve(
        question="supplier-qualification",
        text="Supplier 17300003 is not qualified: may GB-120 be bought there?",
        evidence=("qualification: in_qualification since 2026-03-01", "contract C-77 covers it"),
    )
    coverage = AwaitFact("coverage/GB-110", 0, "contract cover")
    record = InfoRecord(
        supplier="17300003",
        item="GB-120",
        purchasing_org="1000",
        plant="1010",
        order_unit="H87",
        base_unit="H87",
        order_to_base=(1, 1),
        price=UnitPrice(Money(Decimal("25.00"), "EUR"), Quantity(Decimal(100), "H87")),
        lead_time_days=5,
        contract="C-77",
        last_day=date(2030, 12, 31),
    )
    wait = Step("", "layshaft", "coverage", "GB-110", coverage, owner="sourcing")
    return [
        Step("", "quality", "supplier", "17300003", approve, owner="quality"),
        wait,
        Step(
            "1010",
            "erp",
            "info-record",
            "17300003/GB-120",
            PutInfoRecord(record),
            (APPROVAL, "1010|erp|item|GB-120|put-item"),
            "purchasing",
        ),
    ]


def _completed(before: Sequence[str]) -> Step:
    # Any event will do: what is looked at is the step.
    data = ApprovalRequested("ECO-2001", "completed", "The change is complete", "planning")
    announce = Announce("approval.requested", CHANGE, msgspec.Raw(encode(data)))
    return Step("", "layshaft", "change", "ECO-2001", announce, tuple(before), "engineering")


def _entry(identity: str, key: str, body: bytes, story: str) -> LogEntry:
    return LogEntry(
        subscription="pdx-package",
        envelope=Envelope(
            id=identity, source="plm", type="pdx.package", key=key, correlation_id=story
        ),
        digest=hashlib.sha256(body).digest(),
        delivery=Delivery(
            source="plm",
            kind="product-definition",
            body=body,
            content_type="application/xml",
            message_id=f"amqp-{identity}",
        ),
    )


def _origin(position: Position) -> Origin:
    return Origin(
        subscription="change-release",
        scope="change",
        source="plm",
        message_id="pdx-2001",
        correlation_id=STORY,
        lane="standard",
        position=position,
    )


def _applied(claimed: ClaimedStep) -> Settled:
    path = f"/API_PRODUCT_SRV/A_Product('{claimed.step.object_id}')"
    return Settled(
        _result(claimed, "done", "applied", "", (f"GET {path} -> 404", "POST /A_Product -> 201"))
    )


def _ended(claimed: ClaimedStep) -> Settled:
    """The BOM of 1010 is refused, that of 2010 lost its answer."""
    if claimed.step.plant != "1010":
        note = "no-answer: sent, and no answer in 1.5 s"
        call = ("POST /MaterialBOM -> in_doubt",)
        return Settled(_result(claimed, "in_doubt", "in doubt", note, call))
    note = "BOM_COMPONENT_NOT_IN_PLANT: component GB-120 has no view of plant 1010"
    case = Case(
        code="refused",
        word="business_rule",
        what="The ERP refused the BOM: component GB-120 has no view of plant 1010",
        place=f"{CHANGE}: {claimed.step.identity}",
        remedy="Extend GB-120 to plant 1010, then release the step again",
        owner="master data",
        source="erp",
        key="bom/GB-100",
        ledger_key=CHANGE,
    )
    call = ("POST /MaterialBOM -> 400",)
    return Settled(_result(claimed, "failed", "business_rule", note, call), case=case)


def _result(
    claimed: ClaimedStep, state: str, outcome: str, note: str, calls: tuple[str, ...]
) -> CallResult:
    ended = datetime.now(UTC)
    return CallResult(
        claimed=claimed,
        state=state,
        next_at=ended + timedelta(hours=1),
        started_at=ended - timedelta(milliseconds=120),
        ended_at=ended,
        calls=calls,
        outcome=outcome,
        note=note,
    )
