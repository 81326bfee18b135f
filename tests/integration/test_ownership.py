"""A PLM and an ERP state one item, whose values have owners: through the database, with people who
decide at the command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from broker.failpoints import FailPoints
from broker.intake import Arrival
from broker.pipeline import Pipeline
from broker.policy import RetryPolicy
from broker.store import Position
from broker.store.messages import delivery_of
from broker.unit import SqlStorage
from canonical.events import SOURCE
from canonical.handler import Delivery
from canonical.ownership import Ownership
from handlers import CATALOGUE
from ops.cli.tree import run
from ops.tables import with_table
from tests.corpus import CORPUS
from tests.integration.people import token_at
from tests.integration.toy import RULES, Bench, bench_on

ALL, CONTRACT = with_table(CORPUS / "table" / "items.toml", CATALOGUE)
ROWS = (Ownership("item", "plm"), Ownership("item", "erp", "measures"))
HEAD = (CORPUS / "table" / "items.csv").read_text().splitlines()[0]
SAID_AT = datetime(2026, 3, 2, tzinfo=UTC)
KEY = "item/GB-110"

Command = Callable[..., tuple[int, str, str]]


class Two:
    """Two systems with one database between them."""

    def __init__(self, url: str, *rows: Ownership) -> None:
        self._url = url
        self._rows = rows
        self._said = 0

    def state(self, source: str, description: str, weight: str = "", day: int = 0) -> None:
        """The item as the source has it, so many days later, and all that follows is done."""
        asyncio.run(self._take(self._delivery(source, description, weight, day)))

    def state_at_once(self, *said: tuple[str, str, int]) -> None:
        """Source, description and day of statements whose events are decided in one batch."""
        asyncio.run(self._take(*(self._delivery(who, what, "", day) for who, what, day in said)))

    def _delivery(self, source: str, description: str, weight: str, day: int) -> Delivery:
        self._said += 1
        at = SAID_AT + timedelta(days=day)
        unit = "KG" if weight else ""
        line = f"GB-110,03,REL,{description},P,M,PC,{weight},{unit},Gearboxes,2026/02/27"
        attributes = {"type": CONTRACT, "id": f"{source}-{self._said}", "time": at.isoformat()}
        body = f"{HEAD}\n{line}\n".encode()
        return Delivery(source, "items", body, "text/csv", attributes=attributes)

    def settle(self) -> None:
        """All that waits is done."""
        asyncio.run(self._take())

    def document(self, key: str = KEY) -> Any:
        """What is known under the key."""
        (row,) = self.rows(
            "select convert_from(body, 'UTF8') as body from document where key = $1", key
        )
        return json.loads(row["body"])

    def rows(self, query: str, *arguments: object) -> list[Any]:
        """Of the database."""

        async def read() -> list[Any]:
            async with bench_on(self._url) as bench:
                return list(await bench.rows(query, *arguments))

        return asyncio.run(read())

    async def _take(self, *deliveries: Delivery) -> None:
        async with bench_on(self._url) as bench:
            path = self._path(bench)
            for delivery in deliveries:
                await path.take([Arrival(delivery, "standard", f"in.{delivery.source}.items")])
            busy = True
            while busy:
                events = await bench.rows(
                    "select * from message m where direction = 'out' and kind = any($1::text[])"
                    " and not exists (select from inbox i where i.source = $2 and i.id = m.id)"
                    " order by seq",
                    list(CATALOGUE.events),
                    SOURCE,
                )
                await path.take([_arrival(event) for event in events])
                busy = bool(events) | bool(await path.take_pending(50))

    def _path(self, bench: Bench) -> Pipeline:
        return Pipeline(
            lane="standard",
            storage=SqlStorage(bench.database),
            recognise=lambda d: ALL.recognise(
                (SOURCE,) if d.source == SOURCE else (CONTRACT,),
                d,
            ),
            handler_named=ALL.handler_named,
            rules=replace(RULES, ownership=self._rows),
            policy=RetryPolicy(),
            metrics=bench.metrics,
            fail_points=FailPoints({}),
            committed=lambda: None,
        )


def _arrival(event: Any) -> Arrival:
    position = Position(event["at"], event["seq"])
    return Arrival(delivery_of(event), event["lane"], f"{event['kind']}.standard", logged=position)


@pytest.fixture
def two(database_url: str) -> Two:
    """A PLM that owns items, and an ERP that owns their measures."""
    return Two(database_url, *ROWS)


@pytest.fixture
def layshaft(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """The command, given by Eva, who decides for engineering; (exit code, stdout, stderr)."""
    monkeypatch.setenv("LAYSHAFT_TOKEN", token_at(database_url, "Eva", "engineering"))
    monkeypatch.chdir(tmp_path)
    for name in ("LAYSHAFT_CONFIG", "LAYSHAFT_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAYSHAFT_DATABASE_URL", database_url)

    def command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        exit_code = run(arguments)
        said = capsys.readouterr()
        return exit_code, said.out, said.err

    return command


def cases(two: Two) -> list[tuple[str, str, str]]:
    found = two.rows("select code, state, closed_by from exception_case order by id")
    return [(row["code"], row["state"], row["closed_by"] or "") for row in found]


def ledger(two: Two) -> str:
    (row,) = two.rows("select state from ledger where key = $1", f"ownership/erp/{KEY}")
    return str(row["state"])


def task(layshaft: Command) -> tuple[str, str]:
    """Number and digest of the one question that is open."""
    exit_code, out, _ = layshaft("task", "list", "-o", "json")
    assert exit_code == 0
    (asked,) = json.loads(out)
    return str(asked["id"]), asked["digest"][:16]


def test_what_is_not_the_erps_is_parked_until_a_person_takes_it_over(
    two: Two, layshaft: Command
) -> None:
    two.state("plm", "Shaft")
    two.state("erp", "Shaft long", "1.7", day=1)
    assert (two.document()["description"], two.document()["weight"]["value"]) == ("Shaft", "1.7")
    assert cases(two) == [("foreign-values", "open", "")]
    # Once more, and nothing is asked twice.
    two.state("erp", "Shaft long", "1.7", day=2)
    assert cases(two) == [("foreign-values", "open", "")]
    number, digest = task(layshaft)
    _, shown, _ = layshaft("task", "show", number)
    assert "May erp change 1 value of item/GB-110, which plm owns?" in shown
    assert 'description (plm\'s): "Shaft" -> "Shaft long"' in shown
    exit_code, _, err = layshaft(
        "task", "approve", number, "--digest", digest, "--reason", "the ERP is right"
    )
    assert exit_code == 0, err
    two.settle()
    assert two.document()["description"] == "Shaft long"
    assert cases(two) == [("foreign-values", "resolved", "Eva")]
    assert ledger(two) == "complete"
    (audit,) = two.rows("select actor, detail from audit where action = 'approved'")
    assert (audit["actor"], json.loads(audit["detail"])["reason"]) == ("Eva", "the ERP is right")


def test_what_is_refused_stays_and_is_settled_once_the_erp_agrees(
    two: Two, layshaft: Command
) -> None:
    two.state("plm", "Shaft")
    two.state("erp", "Shaft long", day=1)
    number, digest = task(layshaft)
    exit_code, _, err = layshaft(
        "task", "reject", number, "--digest", digest, "--reason", "it is not longer"
    )
    assert exit_code == 0, err
    two.settle()
    assert two.document()["description"] == "Shaft"
    # Whoever keeps the ERP has something to correct there.
    assert cases(two)[0] == ("foreign-values", "resolved", "Eva")
    assert cases(two)[1][:2] == ("approval-refused", "open")
    two.state("erp", "Shaft long", day=2)
    assert json.loads(layshaft("task", "list", "-o", "json")[1]) == []
    two.state("erp", "Shaft", day=3)
    assert ledger(two) == "complete"


def test_a_question_ends_once_the_values_agree(two: Two, layshaft: Command) -> None:
    two.state("plm", "Shaft")
    two.state("erp", "Shaft long", day=1)
    two.state("plm", "Shaft long", day=2)
    assert cases(two) == [("foreign-values", "resolved", "a newer plan")]
    assert json.loads(layshaft("task", "list", "-o", "json")[1]) == []
    assert ledger(two) == "complete"


def test_an_item_that_the_erp_states_first_is_there_once_the_plm_states_it(two: Two) -> None:
    two.state("erp", "Shaft", "1.7", day=1)
    assert two.rows("select from document where key = $1", KEY) == []
    two.state("plm", "Shaft", day=2)
    assert two.document()["weight"]["value"] == "1.7"
    assert cases(two) == [("foreign-values", "resolved", "a newer plan")]


def test_without_rows_the_last_one_counts(database_url: str) -> None:
    nobody = Two(database_url)
    nobody.state("plm", "Shaft")
    nobody.state("erp", "Shaft long", day=1)
    assert nobody.document()["description"] == "Shaft long"
    assert [row["key"] for row in nobody.rows("select key from document")] == [KEY]
    assert cases(nobody) == []


def test_a_question_that_is_over_within_its_own_batch_ends(two: Two) -> None:
    two.state("plm", "Shaft")
    two.state_at_once(("plm", "Shaft", 1), ("erp", "Shaft long", 2), ("plm", "Shaft long", 3))
    assert two.document()["description"] == "Shaft long"
    assert cases(two) == [("foreign-values", "resolved", "a newer plan")]
    assert ledger(two) == "complete"
