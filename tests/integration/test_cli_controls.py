"""`layshaft change pause|resume|skip|restart|cancel` as people and scripts use them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from broker.store import ledgers
from tests.integration.gearbox_change import CHANGE, FAILED_BOM, database_at
from tests.integration.test_cli import Command, configuration, data, layshaft

__all__ = ["layshaft"]

WHY = ("--reason", "audit")
NO_BROKER = "amqp://guest:guest@127.0.0.1:9/"


@pytest.fixture
def configured(layshaft: Command, tmp_path: Path, database_url: str) -> None:
    """A configuration, which says who is told of calls that end, and has the calendars."""
    configuration(tmp_path, database_url, NO_BROKER)


def step_of(layshaft: Command, identity: str) -> str:
    """Number of the step with that identity."""
    steps = data(layshaft("change", "show", "ECO-2001", "-o", "json")[1])["steps"]
    (number,) = [step["id"] for step in steps if step["identity"] == identity]
    return str(number)


def test_a_change_is_paused_shown_and_resumed(layshaft: Command) -> None:
    exit_code, out, err = layshaft("change", "pause", "ECO-2001", *WHY)
    assert (exit_code, out) == (0, "ECO-2001 paused by Mia: 1 step held\n")
    assert err.splitlines() == [
        "1 call of ECO-2001 under way will still come to an end.",
        'To let go on: layshaft change resume ECO-2001 --reason "..."',
    ]
    page = layshaft("change", "show", "ECO-2001")[1]
    assert "open, paused; opened " in page
    assert "  held: audit, by Mia since 20" in page
    assert "Waiting for: master data, sourcing, a pause." in page
    assert "\npaused: audit, by Mia since 20" in page
    assert 'to let it go on: layshaft change resume ECO-2001 --reason "..."' in page
    assert "open, paused" in layshaft("change", "list")[1]
    status = data(layshaft("change", "show", "ECO-2001", "-o", "json")[1])
    assert (status["paused"]["by"], status["paused"]["reason"]) == ("Mia", "audit")
    assert layshaft("change", "pause", "ECO-2001", *WHY)[0] == 6
    exit_code, out, err = layshaft("change", "resume", "ECO-2001", "--reason", "r")
    assert (exit_code, out, err) == (0, "ECO-2001 resumed by Mia: 1 step may go on\n", "")
    assert "paused" not in layshaft("change", "show", "ECO-2001")[1]
    told = layshaft("trace", "ECO-2001")[1]
    assert "paused: audit (by Mia)" in told
    assert "resumed: r (by Mia)" in told


def test_a_step_is_skipped_by_its_identity(layshaft: Command, configured: None) -> None:
    number = step_of(layshaft, FAILED_BOM)
    exit_code, out, err = layshaft("change", "skip", "ECO-2001", FAILED_BOM, *WHY)
    assert (exit_code, out) == (
        0,
        f"Step {number} of ECO-2001 skipped by Mia: put-bom bom GB-100 of plant 1010 at erp\n",
    )
    assert err == "1 step behind it moved too: layshaft change show ECO-2001\n"
    page = layshaft("change", "show", "ECO-2001")[1]
    assert "6 of 12 done, 1 skipped. Waiting for: quality, sourcing." in page
    assert "skipped by Mia: audit" in page
    assert "6 of 12, 1 skipped" in layshaft("change", "list")[1]
    assert "refused" not in layshaft("case", "list")[1]


def test_several_steps_are_skipped_together_or_none_is(layshaft: Command, configured: None) -> None:
    before = layshaft("change", "show", "ECO-2001", "--all")[1]
    other = "1010|erp|info-record|17300003/GB-120|put-info-record"
    done = "1010|erp|item|GB-100|put-item"
    assert layshaft("change", "skip", "ECO-2001", FAILED_BOM, done, *WHY)[0] == 6
    assert layshaft("change", "show", "ECO-2001", "--all")[1] == before
    exit_code, out, _ = layshaft("change", "skip", "ECO-2001", FAILED_BOM, other, FAILED_BOM, *WHY)
    assert (exit_code, [line.partition(": ")[2] for line in out.splitlines()]) == (
        0,
        [
            "put-bom bom GB-100 of plant 1010 at erp",
            "put-info-record info-record 17300003/GB-120 of plant 1010 at erp",
        ],
    )
    assert "2 skipped" in layshaft("change", "list")[1]


def test_several_changes_are_cancelled_together_or_none_is(
    layshaft: Command, configured: None
) -> None:
    assert layshaft("change", "cancel", "ECO-2001", "ECO-2099", *WHY)[0] == 4
    assert "open" in layshaft("change", "list")[1]
    exit_code, out, _ = layshaft("change", "cancel", "ECO-2001", "ECO-2001", *WHY)
    assert (exit_code, out) == (0, "ECO-2001 cancelled by Mia: 11 steps ended\n")


def test_a_step_runs_anew_by_its_number(layshaft: Command, configured: None) -> None:
    number = step_of(layshaft, "1010|erp|item|GB-100|put-item")
    exit_code, out, err = layshaft("change", "restart", "ECO-2001", number, *WHY)
    assert (exit_code, out) == (
        0,
        f"Step {number} of ECO-2001 restarted by Mia: put-item item GB-100 of plant 1010 at erp\n",
    )
    assert err == "2 steps behind it moved too: layshaft change show ECO-2001\n"
    steps = data(layshaft("change", "show", "ECO-2001", "-o", "json")[1])["steps"]
    states = {step["identity"]: step["state"] for step in steps}
    assert states["1010|erp|item|GB-100|put-item"] == "ready"
    assert states[FAILED_BOM] == "waiting"


def test_a_change_is_cancelled_and_its_case_shown(layshaft: Command, configured: None) -> None:
    exit_code, out, err = layshaft("change", "cancel", "ECO-2001", *WHY)
    assert (exit_code, out) == (0, "ECO-2001 cancelled by Mia: 11 steps ended\n")
    assert err.splitlines() == [
        "1 call of ECO-2001 under way will still come to an end.",
        "What is left of it: layshaft change show ECO-2001",
    ]
    page = layshaft("change", "show", "ECO-2001")[1]
    assert "being cancelled; opened " in page
    assert "ECO-2001 was cancelled by Mia: audit" in page
    assert page.count("done, and no longer planned") == 6
    (case,) = [c for c in data(layshaft("case", "list", "-o", "json")[1]) if c["change"]
               and c["code"] == "left-behind"]  # fmt: skip
    assert case["what"].startswith("6 steps were done and are no longer part of the plan: ")
    assert f"layshaft case show {case['id']}" in page
    assert layshaft("case", "close", str(case["id"]), "--reason", "in use")[0] == 0
    assert "left so by Mia: in use" in layshaft("change", "show", "ECO-2001", "--all")[1]


@pytest.mark.parametrize(
    "arguments",
    [("pause", "ECO-2010"), ("resume", "ECO-2010"), ("skip", "ECO-2010", "1"),
     ("restart", "ECO-2010", "1"), ("cancel", "ECO-2010")],
)  # fmt: skip
def test_an_unknown_change_is_exit_code_4_and_the_nearest_is_named(
    layshaft: Command, configured: None, arguments: tuple[str, ...]
) -> None:
    exit_code, out, err = layshaft("change", *arguments, *WHY)
    assert (exit_code, out) == (4, "")
    assert "Did you mean ECO-2001?" in err


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (("pause",), 2, "change-missing"),
        (("cancel",), 2, "change-missing"),
        (("skip", "ECO-2001"), 2, "step-missing"),
        (("resume", "ECO-2001"), 6, "not-paused"),
        (("skip", "ECO-2001", "4711"), 4, "not-found"),
        (("skip", "ECO-2001", "1010|erp|item|GB-100|put-item"), 6, "settled"),
        (("skip", "ECO-2001", "|quality|supplier|17300003|approve"), 5, "approval-not-skipped"),
        (("restart", "ECO-2001", "2010|erp|bom|GB-100|put-bom"), 6, "at-target"),
        (("restart", "ECO-2001", "1010|erp|info-record|17300003/GB-120|put-info-record"), 6,
         "not-run"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_and_changes_nothing(
    layshaft: Command, configured: None, arguments: tuple[str, ...], exit_code: int, code: str
) -> None:
    before = layshaft("change", "show", "ECO-2001", "--all")[1]
    ended = layshaft("change", *arguments, *WHY)
    assert (ended[0], ended[1]) == (exit_code, "")
    assert f"LAY-{code}" in ended[2]
    assert layshaft("change", "show", "ECO-2001", "--all")[1] == before


def test_a_reason_must_say_something(layshaft: Command, configured: None) -> None:
    for arguments in (("pause", "ECO-2001"), ("skip", "ECO-2001", "1"), ("cancel", "ECO-2001")):
        assert layshaft("change", *arguments, "--reason", " ")[0] == 2


@pytest.mark.parametrize("arguments", [("skip", "ECO-2001", "1"), ("cancel", "ECO-2001")])
def test_what_ends_calls_needs_to_know_who_is_told(
    layshaft: Command, arguments: tuple[str, ...]
) -> None:
    exit_code, _, err = layshaft("change", *arguments, *WHY)
    assert exit_code == 2
    assert "LAY-configuration-missing" in err


def test_a_change_is_planned_otherwise_once_somebody_agrees(
    layshaft: Command, database_url: str
) -> None:
    nothing = layshaft("change", "replan", "ECO-2001", *WHY)
    assert (nothing[0], "[LAY-not-asked]" in nothing[2]) == (6, True)
    asyncio.run(ask_for_consent(database_url))
    exit_code, out, err = layshaft("change", "replan", "ECO-2001", *WHY)
    assert (exit_code, out, err) == (0, "ECO-2001 is planned anew, as Mia agrees\n", "")
    status = data(layshaft("change", "show", "ECO-2001", "-o", "json")[1])
    assert status["planner"] == "c0de02/0f0f"
    assert "planned otherwise with consent: audit (by Mia)" in layshaft("trace", "ECO-2001")[1]


async def ask_for_consent(url: str) -> None:
    """Newer code would plan the change otherwise."""
    async with database_at(url) as database, database.transaction() as tx:
        ids = await tx.fetch("select id from ledger where key = $1", CHANGE)
        await ledgers.ask_for_consent(tx, [row["id"] for row in ids], "c0de02/0f0f")
