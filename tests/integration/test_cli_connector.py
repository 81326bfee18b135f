"""`layshaft connector` as people and scripts use it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from broker.gate import Close
from broker.quota import Quota
from broker.store import Database, Tx
from broker.store import closures as closure_rows
from broker.store import quotas as quota_rows
from ops.sandbox.process import running
from tests.fixtures.pin_change import ERP_SEED
from tests.integration.test_cli import Command, configuration, data, layshaft

__all__ = ["layshaft"]

T = TypeVar("T")
NO_BROKER = "amqp://guest:guest@127.0.0.1:9/"
QUOTA = Quota(limit=100, per_s=3600.0)


@pytest.fixture(autouse=True)
def config(layshaft: Command, tmp_path: Path, database_url: str) -> Path:
    """The configuration of a system, erp, with a quota."""
    path = configuration(tmp_path, database_url, NO_BROKER)
    quota = 'secret = "env:LAYSHAFT_NO_SUCH_SECRET"\nquotas = [{ limit = 100, per_s = 3600 }]\n'
    path.write_text(path.read_text().replace('secret = "env:LAYSHAFT_NO_SUCH_SECRET"\n', quota))
    return path


def on(database_url: str, work: Callable[[Tx], Awaitable[T]]) -> T:
    """What the work returns, committed."""

    async def done() -> T:
        made = Database(url=database_url, purpose="test", size=1, acquire_s=5, statement_s=5)
        await made.open()
        try:
            async with made.transaction() as tx:
                return await work(tx)
        finally:
            await made.close()

    return asyncio.run(done())


def test_what_waits_for_a_system_and_what_closes_it_is_told(
    layshaft: Command, database_url: str
) -> None:
    head, row = layshaft("connector", "list")[1].splitlines()
    assert head.split()[:3] == ["system", "driver", "state"]
    assert re.match(r"erp +s4 +open +1 call +[-0-9]+ [:0-9]+", row)
    closes = [
        Close("erp", "asked", 50.0, "erp asked for a pause: 429"),
        Close("erp", "circuit", 3_000.0, "Calls to erp fail"),
    ]
    on(database_url, lambda tx: closure_rows.close(tx, closes))
    on(database_url, lambda tx: quota_rows.take(tx, "erp", [QUOTA], 30, critical=False))
    [row] = layshaft("connector", "list")[1].splitlines()[1:]
    assert re.match(r"erp +s4 +closed +[-0-9]+ [:0-9]+ .* Calls to erp fail$", row)
    out = layshaft("connector", "show", "erp")[1]
    assert re.search(r"^state +closed until [-0-9]+ [:0-9]+ UTC$", out, re.M)
    assert re.search(r"^ +100  3600 s  all +58 +68$", out, re.M), out
    [told] = data(layshaft("connector", "list", "-o", "json")[1])
    assert (told["state"], told["why"], told["waiting"]) == ("closed", "Calls to erp fail", 1)
    assert told["quotas"][0]["left"] == 58


def test_it_is_paused_and_resumed_as_by_a_hold(layshaft: Command) -> None:
    exit_code, out, _ = layshaft("connector", "pause", "erp", "--reason", "maintenance")
    assert (exit_code, out) == (
        0,
        "Hold 1 on system erp placed by Mia: 1 call held back so far\n",
    )
    [told] = data(layshaft("connector", "list", "-o", "json")[1])
    assert told["state"] == "held"
    assert told["why"].startswith("maintenance, by Mia since ")
    exit_code, out, _ = layshaft("connector", "resume", "erp", "--reason", "it is back")
    assert (exit_code, out) == (0, "Hold 1 on system erp released by Mia: 1 call may go on\n")
    exit_code, _, err = layshaft("connector", "resume", "erp", "--reason", "again")
    assert exit_code != 0
    assert "erp is not paused  [LAY-not-paused]" in err


def test_an_outage_is_announced_told_and_taken_back(layshaft: Command) -> None:
    begins = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
    ends = begins + timedelta(hours=2)
    given = ("--from", f"{begins:%Y-%m-%dT%H:%M:%S}", "--until", f"{ends:%Y-%m-%dT%H:%M:%S}")
    exit_code, out, err = layshaft("connector", "outage", "erp", *given, "--reason", "upgrade")
    assert exit_code == 0, err
    assert out == (
        f"Outage 1 of erp announced by Mia: {begins:%Y-%m-%d %H:%M:%S} to"
        f" {ends:%Y-%m-%d %H:%M:%S} UTC\n"
    )
    [told] = data(layshaft("connector", "list", "-o", "json")[1])
    assert (told["state"], told["why"]) == ("closed", "outage: upgrade, by Mia")
    assert "upgrade" in layshaft("connector", "show", "erp")[1]
    assert layshaft("connector", "outage-over", "1", "--reason", "done")[1] == (
        "Outage 1 of erp is over\n"
    )
    assert layshaft("connector", "outage-over", "1", "--reason", "done")[0] != 0
    [told] = data(layshaft("connector", "list", "-o", "json")[1])
    assert (told["state"], told["outages"]) == ("open", [])


def test_who_announced_and_ended_it_and_why_is_on_record(
    layshaft: Command, database_url: str
) -> None:
    given = ("--from", "2099-01-01T00:00+01:00", "--until", "2099-01-01T04:00+01:00")
    layshaft("connector", "outage", "erp", *given, "--reason", "upgrade")
    layshaft("connector", "outage-over", "1", "--reason", "moved")
    rows = on(
        database_url,
        lambda tx: tx.fetch(
            "select actor, action, subject, detail from audit where action like 'outage-%'"
            " order by id"
        ),
    )
    assert [(r["actor"], r["action"], r["subject"]) for r in rows] == [
        ("Mia", "outage-announced", "system/erp"),
        ("Mia", "outage-ended", "system/erp"),
    ]
    assert data(rows[0]["detail"])["from"] == "2098-12-31T23:00:00+00:00"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("show", "erb"), "system-unknown"),
        (("test", "erb"), "system-unknown"),
        (("test", "erp"), "secret-missing"),
        (("outage-over", "7", "--reason", "x"), "not-found"),
        (
            ("outage", "erp", "--from", "2026-01-01", "--until", "2026-01-02", "--reason", "x"),
            "outage-over",
        ),
    ],
)
def test_what_cannot_be_done_says_why(layshaft: Command, words: tuple[str, ...], code: str) -> None:
    exit_code, out, err = layshaft("connector", *words)
    assert exit_code != 0
    assert out == ""
    assert f"[LAY-{code}]" in err


def test_a_system_that_answers_as_it_should_passes_the_test(
    layshaft: Command, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAYSHAFT_NO_SUCH_SECRET", "demo")
    exit_code, _, err = layshaft("connector", "test", "erp")
    assert exit_code != 0
    assert "[LAY-target-unreachable]" in err
    with running("erp", tmp_path / "erp", ERP_SEED) as stand_in:
        token_path = "/sap/opu/odata/sap/API_PRODUCT_SRV/"
        reached = f'base_url = "{stand_in.url}"\ntoken_path = "{token_path}"'
        config.write_text(re.sub(r'\bbase_url = ".*"', reached, config.read_text()))
        exit_code, out, err = layshaft("connector", "test", "erp")
        assert (exit_code, err) == (0, "")
        answer = r"erp answers as s4 should, in [0-9.]+ s: it has no LAYSHAFT-TEST\n"
        assert re.fullmatch(answer, out)
        monkeypatch.setenv("LAYSHAFT_NO_SUCH_SECRET", "wrong")
        exit_code, _, err = layshaft("connector", "test", "erp")
        assert exit_code != 0
        assert "[LAY-not-authorised]" in err
