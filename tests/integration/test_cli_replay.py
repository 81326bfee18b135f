"""`layshaft replay` on a change that went its real way: data, words, exit codes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from broker.failpoints import FailPoints
from broker.intake import Arrival
from broker.metrics import Metrics
from broker.pipeline import Pipeline
from broker.policy import RetryPolicy
from broker.store import Database, Position
from broker.store import selections as rows
from broker.store.selections import Selection
from broker.unit import SqlStorage
from canonical.handler import Delivery
from handlers import CATALOGUE
from ops.cli.tree import run
from ops.configuration import load
from ops.demo.configuration import with_addresses
from ops.sources import recogniser
from tests.integration.people import token_at

PACKAGES = Path(__file__).parents[2] / "ops" / "demo" / "packages"
SENT = (
    ("gearbox_package.pdx", "product-definition", "application/zip"),
    ("kit_package_unmapped_unit.pdx", "product-definition", "application/zip"),
    ("arena_eco_000451.json", "engineering-change", "application/json"),
)

FIRST = Position(datetime(2000, 1, 1, tzinfo=UTC), 0)
END = Position(datetime(2100, 1, 1, tzinfo=UTC), 0)
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def layshaft(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """The command after the demo's packages were decided, given by ann, an integrator, or by whom
    it says: bob, an operator; (exit code, stdout, stderr)."""
    (tmp_path / "secret").write_text("s")
    config = tmp_path / "layshaft.toml"
    config.write_text(
        with_addresses(
            listen_port=0,
            database_url=database_url,
            amqp_url="amqp://127.0.0.1:9/",
            erp_url="http://127.0.0.1:9",
            procurement_url="http://127.0.0.1:9",
            secret_file=tmp_path / "secret",
        )
    )
    asyncio.run(decide_packages(config))
    capsys.readouterr()  # log lines of the pipeline
    monkeypatch.setenv("LAYSHAFT_CONFIG", str(config))
    tokens = {
        "ann": token_at(database_url, "ann", "integrator"),
        "bob": token_at(database_url, "bob", "operator"),
    }

    def command(*arguments: str, by: str = "ann") -> tuple[int, str, str]:
        monkeypatch.setenv("LAYSHAFT_TOKEN", tokens[by])
        exit_code = run(arguments)
        said = capsys.readouterr()
        return exit_code, said.out, said.err

    return command


async def decide_packages(config: Path) -> None:
    """Everything that follows from the packages is decided; nothing is called."""
    configuration = load(config, {})
    recognise = recogniser(configuration.settings, CATALOGUE)
    database = Database(
        url=configuration.settings.database_url,
        purpose="test",
        size=2,
        acquire_s=3,
        statement_s=5,
    )
    await database.open()
    pipeline = Pipeline(
        lane="standard",
        storage=SqlStorage(database),
        recognise=recognise,
        handler_named=CATALOGUE.handler_named,
        rules=configuration.rules,
        policy=RetryPolicy(),
        metrics=Metrics(),
        fail_points=FailPoints.parse(""),
        committed=lambda: None,
    )
    for name, kind, content_type in SENT:
        body = (PACKAGES / name).read_bytes()
        delivery = Delivery(source="plm", kind=kind, body=body, content_type=content_type)
        await pipeline.take([Arrival(delivery, "standard", "in.plm")])
    async with database.transaction() as tx:
        events = await rows.next_slice(
            tx, Selection(sources=("layshaft",)), after=FIRST, end=END, limit=500
        )
    arrivals = [
        Arrival(m.delivery, "standard", "q", logged=m.position)
        for m in events.messages
        if m.delivery.kind in CATALOGUE.events
    ]
    await pipeline.take(arrivals)
    while await pipeline.take_pending(50):
        pass
    await database.close()


def data(output: str) -> Any:
    """What `-o json` printed."""
    return msgspec.json.decode(output)


def test_todays_code_decides_the_real_packages_as_it_did(layshaft: Command) -> None:
    exit_code, out, err = layshaft("replay", "shadow", "--since", "2000-01-01", "-o", "json")
    compared = data(out)
    assert [c for c in compared if c["answer"] == "differs"] == []
    assert (exit_code, err) == (0, "")
    same = {c["type"] for c in compared if c["answer"] == "same"}
    assert {"pdx.package", "arena.change", "com.layshaft.engineering-change.released.v1"} <= same


def test_other_rules_show_which_outputs_differ(layshaft: Command, tmp_path: Path) -> None:
    config = tmp_path / "layshaft.toml"
    text = config.read_text()
    config.write_text(text.replace('plants = ["1010", "2010"]', 'plants = ["1010"]'))
    exit_code, out, _ = layshaft("replay", "shadow", "--type", "engineering-change.released")
    assert exit_code == 1
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert any(line.startswith("step engineering-change/") and "2010|" in line for line in lines)


def test_a_plan_counts_and_shows_a_sample_and_changes_nothing(layshaft: Command) -> None:
    _, out, _ = layshaft("replay", "plan", "--source", "plm", "-o", "json", "--rate", "2")
    planned = data(out)
    assert (planned["messages"], planned["fates"]) == (3, {"duplicates": 2, "released": 1})
    assert planned["seconds"] == 0.5
    assert {g["type"]: g["messages"] for g in planned["groups"]} == {
        "pdx.package": 2, "arena.change": 1,
    }  # fmt: skip
    assert [s["fate"] for s in planned["sample"]] == ["duplicates", "released", "duplicates"]
    exit_code, out, _ = layshaft(
        "replay", "plan", "--mode", "reprocess", "--type", "item.released", "--source", "layshaft"
    )
    assert exit_code == 0
    assert out.startswith("reprocess: ")
    assert layshaft("replay", "list")[1] == "There is no replay.\n"


def test_a_replay_is_started_looked_at_paused_and_cancelled(layshaft: Command) -> None:
    wanted = ("--mode", "reprocess", "--source", "plm", "--reason", "units repaired")
    started = layshaft("replay", "start", *wanted, "--yes", "-o", "json")
    assert (started[0], data(started[1])) == (0, {"id": 1, "messages": 3})
    assert "layshaft replay show 1 --follow" in started[2]
    assert layshaft("replay", "pause", "1", "--reason", "lunch", by="bob")[:2] == (
        0, "Replay 1 paused by bob\n",
    )  # fmt: skip
    assert layshaft("replay", "resume", "1", by="bob")[0] == 0
    shown = data(layshaft("replay", "show", "1", "-o", "json")[1])
    assert (shown["state"], shown["created_by"], shown["expected"]) == ("running", "ann", 3)
    assert shown["selection"] == {"sources": ["plm"]}
    assert layshaft("replay", "cancel", "1", "--reason", "wrong day")[0] == 0
    again = layshaft("replay", "cancel", "1", "--reason", "wrong day")
    assert (again[0], "LAY-not-in-state" in again[2]) == (6, True)
    head, row = layshaft("replay", "list")[1].splitlines()
    assert head.split()[:3] == ["replay", "mode", "state"]
    assert row.split()[:3] == ["1", "reprocess", "cancelled"]
    out = layshaft("replay", "show", "1")[1]
    assert "selected   source plm" in out
    assert layshaft("replay", "show", "1", "--follow")[0] == 1


def test_a_live_replay_is_an_integrators_to_start(layshaft: Command) -> None:
    wanted = ("--source", "plm", "--reason", "r", "--yes")
    exit_code, out, err = layshaft("replay", "start", *wanted, by="bob")
    assert (exit_code, out) == (5, "")
    assert "bob may not start a replay  [LAY-role-missing]" in err
    assert "it takes the role integrator; bob has operator" in err
    assert data(layshaft("replay", "list", "-o", "json")[1]) == []


def test_what_is_not_confirmed_is_not_started(layshaft: Command) -> None:
    exit_code, out, err = layshaft("replay", "start", "--source", "plm", "--reason", "r")
    assert (exit_code, out) == (5, "")
    assert "redeliver: 3 messages" in err
    assert "LAY-not-confirmed" in err
    assert data(layshaft("replay", "list", "-o", "json")[1]) == []


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (("plan",), 2, "selection-missing"),
        (("plan", "--source", "plm", "--rate", "-1"), 2, "rate-not-positive"),
        (("start", "--source", "nobody", "--reason", "r", "--yes"), 5, "nothing-selected"),
        (("start", "--source", "plm", "--reason", " ", "--yes"), 2, "reason-missing"),
        (("show", "4711"), 4, "not-found"),
        (("cancel", "4711", "--reason", "r"), 4, "not-found"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_code(
    layshaft: Command, arguments: tuple[str, ...], exit_code: int, code: str
) -> None:
    found = layshaft("replay", *arguments)
    assert (found[0], found[1]) == (exit_code, "")
    assert f"LAY-{code}" in found[2]
