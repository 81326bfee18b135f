"""Buyers decide on open order lines: one by one, or many alike, each on record by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from broker import book
from broker.store import Database, Position
from broker.store import documents as document_rows
from broker.store.documents import NewDocument
from canonical.effects import Plan, Put
from canonical.events import ApprovalDecided
from canonical.order import PurchaseOrder, order_key
from handlers.flows.change_orders import OPEN_ORDER
from ops.cli.tree import run
from tests.fixtures.gearbox import RULES, change, item, plan
from tests.integration.people import token_at
from tests.unit.handlers.test_change_orders import order, ordered, pieces, questions

Command = Callable[..., tuple[int, str, str]]
SUPPLIERS = {"45001": "S-1", "45002": "S-2"}


FIRST = order(ordered("10"), ordered("20", plant="2010"))


def planned(first: PurchaseOrder) -> Plan:
    """ECO-7 with three lines of two orders, in two plants; nothing else of it is in the way."""
    orders = [
        first,
        msgspec.structs.replace(order(ordered("10"), number="45002"), supplier="S-2"),
    ]
    made = plan(change("BOLT-1", plants=("1010", "2010")), item("BOLT-1"), *orders, rules=RULES)
    return msgspec.structs.replace(made, steps=tuple(questions(made).values()))


async def seed(url: str, first: PurchaseOrder = FIRST) -> None:
    database = Database(url=url, purpose="test", size=1, acquire_s=5, statement_s=5)
    await database.open()
    try:
        origin = book.Origin("toy", "toy", "plm", "m1", "story", "standard", Position(_NOW, 1))
        async with database.transaction() as tx:
            await book.apply_plans(tx, [book.Planned(planned(first), origin)], _NOW)
    finally:
        await database.close()


_NOW = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture
def layshaft(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """The command, given by Ben, who buys for plant 1010 alone."""
    asyncio.run(seed(database_url))
    monkeypatch.setenv(
        "LAYSHAFT_TOKEN", token_at(database_url, "Ben", "purchasing", plants=("1010",))
    )
    monkeypatch.chdir(tmp_path)
    for name in ("LAYSHAFT_CONFIG", "LAYSHAFT_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAYSHAFT_DATABASE_URL", database_url)

    def command(*arguments: str) -> tuple[int, str, str]:
        exit_code = run(arguments)
        said = capsys.readouterr()
        return exit_code, said.out, said.err

    return command


def listed(layshaft: Command, *options: str) -> list[dict[str, Any]]:
    code, out, _ = layshaft("task", "orders", *options, "-o", "json")
    assert code == 0
    return msgspec.json.decode(out)  # type: ignore[no-any-return]


def command_below(layshaft: Command, *options: str) -> str:
    """The digest that the page below a list gives."""
    _, _, err = layshaft("task", "orders", *options)
    return err.partition("--list ")[2].split()[0]


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    async def fetch() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    return asyncio.run(fetch())


def test_a_work_list_shows_order_supplier_quantity_and_day_and_can_be_narrowed(
    layshaft: Command,
) -> None:
    found = listed(layshaft)
    assert [(t["order_line"]["order"], t["order_line"]["line"]) for t in found] == [
        ("45001", "10"),
        ("45001", "20"),
        ("45002", "10"),
    ]
    assert {t["question"] for t in found} == {OPEN_ORDER}
    assert [t["order_line"]["order"] for t in listed(layshaft, "--supplier", "S-2")] == ["45002"]
    assert [t["plant"] for t in listed(layshaft, "--plant", "2010")] == ["2010"]
    assert len(listed(layshaft, "--change", "ECO-7", "--item", "BOLT-1")) == 3
    assert listed(layshaft, "--change", "ECO-8") == []
    assert len(listed(layshaft, "--due-within-hours", "0")) == 3
    assert listed(layshaft, "--due-within-hours=-1e6") == []
    _, out, err = layshaft("task", "orders", "--supplier", "S-2")
    assert "45002/10" in out
    assert "500 H87" in out
    assert "layshaft task decide-orders --supplier S-2 --list " in err


def test_a_list_is_decided_alike_and_each_line_is_on_record(
    layshaft: Command, database_url: str
) -> None:
    digest = command_below(layshaft, "--plant", "1010")
    code, out, _ = layshaft("task", "decide-orders", "--plant", "1010", "--list", digest,
                            "--choice", "cancel", "--reason", "no use for A")  # fmt: skip
    assert (code, out) == (0, "2 order lines: cancel by Ben\n")
    assert [t["plant"] for t in listed(layshaft)] == ["2010"]
    assert (
        rows(database_url, "select verdict, by_whom, choice, reason from decision order by step_id")
        == [("approved", "Ben", "cancel", "no use for A")] * 2
    )
    assert rows(
        database_url,
        "select subject, detail ->> 'choice' from audit where action = 'approved' order by subject",
    ) == [
        ("engineering-change/ECO-7: open-order 45001/10", "cancel"),
        ("engineering-change/ECO-7: open-order 45002/10", "cancel"),
    ]
    said = [
        msgspec.json.decode(body, type=ApprovalDecided)
        for (body,) in rows(
            database_url, "select body from message where direction = 'out' order by seq"
        )
    ]
    assert [(each.about, each.choice) for each in said] == [
        ("45001/10", "cancel"),
        ("45002/10", "cancel"),
    ]


def test_a_list_that_says_something_else_by_now_decides_nothing(
    layshaft: Command, database_url: str
) -> None:
    digest = command_below(layshaft, "--plant", "1010")
    [task] = listed(layshaft, "--supplier", "S-2")
    code, out, _ = layshaft("task", "approve", str(task["id"]), "--digest", task["digest"],
                            "--choice", "as-ordered", "--reason", "it fits")  # fmt: skip
    assert (code, out.startswith(f"Task {task['id']} as-ordered by Ben")) == (0, True)
    code, _, err = layshaft("task", "decide-orders", "--plant", "1010", "--list", digest,
                            "--choice", "cancel", "--reason", "x")  # fmt: skip
    assert code == 6
    assert "The list does not say what you read" in err
    assert len(rows(database_url, "select from decision")) == 1


def test_nobody_decides_for_a_plant_that_is_not_theirs_not_even_within_a_list(
    layshaft: Command, database_url: str
) -> None:
    digest = command_below(layshaft)
    code, _, err = layshaft("task", "decide-orders", "--list", digest,
                            "--choice", "cancel", "--reason", "x")  # fmt: skip
    assert code == 5
    assert "2010" in err
    assert rows(database_url, "select from decision") == []
    [(action, actor)] = rows(
        database_url, "select action, actor from audit where action like '%-refused'"
    )
    assert (action, actor) == ("task-approve-refused", "Ben")


async def state_orders(url: str, *orders: PurchaseOrder) -> None:
    """Their system states them."""
    database = Database(url=url, purpose="test", size=1, acquire_s=5, statement_s=5)
    await database.open()
    try:
        async with database.transaction() as tx:
            puts = [Put(order_key(one.number), one.version, one) for one in orders]
            made = [NewDocument(put, "erp", Position(_NOW, 1)) for put in puts]
            await document_rows.store(tx, document_rows.as_rows(made))
    finally:
        await database.close()


def test_what_was_decided_is_shown_beside_what_the_order_says_since(
    layshaft: Command, database_url: str
) -> None:
    asyncio.run(state_orders(database_url, FIRST))
    assert layshaft("task", "orders", "--decided")[1] == "No order line has been decided on.\n"
    digest = command_below(layshaft, "--plant", "1010")
    layshaft("task", "decide-orders", "--plant", "1010", "--list", digest,
             "--choice", "cancel", "--reason", "no use for A")  # fmt: skip

    def now() -> dict[str, tuple[str, bool]]:
        found = listed(layshaft, "--decided")
        assert {(d["choice"], d["by"], d["change"], d["owner"]) for d in found} == {
            ("cancel", "Ben", "ECO-7", "purchasing")
        }
        lines = [d["order_line"] for d in found]
        return {
            f"{line['order']}/{line['line']}": (d["now"], d["is_stated_since"])
            for line, d in zip(lines, found, strict=True)
        }

    assert now() == {"45001/10": ("as-it-was", False), "45002/10": ("unknown", False)}
    assert "as it was; not stated since" in layshaft("task", "orders", "--decided")[1]
    # The first is stated again and says the same; then it is cancelled there.
    same = msgspec.structs.replace(FIRST, version=2, payment_terms="0001")
    asyncio.run(state_orders(database_url, same))
    assert now()["45001/10"] == ("as-it-was", True)
    gone = msgspec.structs.replace(order(ordered("20", plant="2010")), version=3)
    asyncio.run(state_orders(database_url, gone))
    assert now()["45001/10"] == ("gone", True)
    assert listed(layshaft, "--decided", "--supplier", "S-3") == []
    # Asked about once more, it is in the work list instead.
    fewer = ordered("10", quantity=pieces("100"))
    asyncio.run(seed(database_url, order(fewer, ordered("20", plant="2010"))))
    assert set(now()) == {"45002/10"}
    assert "45001/10" in layshaft("task", "orders")[1]
    code, _, err = layshaft("task", "orders", "--decided", "--due-within-hours", "1")
    assert (code, "What is decided is not due any more" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("approve", "--choice", "burn"), "The question is not answered by 'burn'"),
        (("approve",), "The question is not answered by yes or no"),
        (("reject",), "The question is not answered by yes or no"),
    ],
)
def test_a_question_with_choices_is_answered_by_one_of_them(
    layshaft: Command, database_url: str, arguments: tuple[str, ...], what: str
) -> None:
    [task] = listed(layshaft, "--supplier", "S-2")
    verb, *options = arguments
    code, _, err = layshaft("task", verb, str(task["id"]), *options, "--digest", task["digest"],
                            "--reason", "x")  # fmt: skip
    assert code != 0
    assert what in err
    assert "as-ordered, new-revision, cancel" in err
    assert rows(database_url, "select from decision") == []


def test_all_lines_decided_complete_the_change(layshaft: Command, database_url: str) -> None:
    token_at(database_url, "Ben", "purchasing")
    digest = command_below(layshaft)
    assert layshaft("task", "decide-orders", "--list", digest, "--choice", "new-revision",
                    "--reason", "asked them")[0] == 0  # fmt: skip
    assert rows(database_url, "select state from ledger") == [("complete",)]
    assert layshaft("task", "orders")[1] == "No open order line waits for a decision.\n"
