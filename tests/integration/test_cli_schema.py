"""`layshaft schema use` as people and scripts use it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from broker.store import contract_use as rows
from canonical.events import EVENTS, SOURCE
from ops.cli.tree import run
from tests.integration.gearbox_change import database_at
from tests.integration.test_cli import configuration

Command = Callable[..., tuple[int, str, str]]

NOW = datetime.now(UTC).replace(microsecond=0)
LONG_AGO = NOW - timedelta(days=rows.DAYS + 1)
RELEASED = EVENTS["engineering-change.released"].type
CONTRACTS = 'contracts = ["pdx.package", "arena.change"]'
ENDING = f'{CONTRACTS}\nowner = "PLM team"\nsunset = {{ "arena.change" = 2027-01-31 }}'


async def count(url: str, messages: Mapping[tuple[str, str], int], *, at: datetime) -> None:
    """So many came at that time."""
    async with database_at(url) as database, database.transaction() as tx:
        await rows.add(tx, messages, at=at)


@pytest.fixture
def layshaft(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """The command where one contract of a source ends; (exit code, stdout, stderr)."""
    path = configuration(tmp_path, database_url, "amqp://127.0.0.1:9/")
    path.write_text(path.read_text().replace(CONTRACTS, ENDING))
    monkeypatch.chdir(tmp_path)
    for name in ("LAYSHAFT_CONFIG", "LAYSHAFT_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)

    def command(*arguments: str) -> tuple[int, str, str]:
        exit_code = run(("schema", "use", *arguments))
        said = capsys.readouterr()
        return exit_code, said.out, said.err

    return command


def test_it_says_who_sends_by_what_since_when_and_what_ends(
    layshaft: Command, database_url: str
) -> None:
    used = {("plm", "arena.change"): 3, (SOURCE, RELEASED): 2, ("mes", "scrap.report"): 1}
    asyncio.run(count(database_url, used, at=LONG_AGO))
    asyncio.run(count(database_url, {("plm", "arena.change"): 4, (SOURCE, RELEASED): 5}, at=NOW))
    exit_code, out, err = layshaft("-o", "json")
    assert (exit_code, err) == (0, "")
    found = {(row["source"], row["contract"]): row for row in msgspec.json.decode(out)}
    shown = {
        key: (row["messages"], row["last_at"] and datetime.fromisoformat(row["last_at"]))
        for key, row in found.items()
    }
    assert shown == {
        ("plm", "arena.change"): (4, NOW),
        # Configured, and never used.
        ("plm", "pdx.package"): (0, None),
        # By the version that was sent.
        (SOURCE, RELEASED): (5, NOW),
        # Not configured any more.
        ("mes", "scrap.report"): (0, LONG_AGO),
    }
    last_days = {key: row["last_day"] for key, row in found.items() if row["last_day"]}
    assert last_days == {("plm", "arena.change"): "2027-01-31"}


def test_people_read_it_as_a_table(layshaft: Command, database_url: str) -> None:
    asyncio.run(count(database_url, {("plm", "arena.change"): 4}, at=NOW))
    exit_code, out, _ = layshaft()
    assert exit_code == 0
    head, *lines = out.splitlines()
    assert " ".join(head.split()) == (
        f"source contract messages, {rows.DAYS} days last (UTC) taken until"
    )
    assert [line.split() for line in lines] == [
        ["plm", "arena.change", "4", *f"{NOW:%Y-%m-%d %H:%M:%S}".split(), "2027-01-31"],
        ["plm", "pdx.package", "0", "never"],
    ]
