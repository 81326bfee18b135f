"""docs/states.md names exactly the states and outcomes that the code and the schema know."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest

import broker
from broker.consequences import consequences
from broker.decision import Context, Verdict
from broker.intake import Arrival, read_arrival
from broker.outcomes import outcome_word
from broker.policy import Behind, DeadLetter, Disposition, Done, Invalid, Park, RetryAt, RetryPolicy
from broker.publisher import OUT, Outcome
from broker.store import Position
from canonical.envelope import Envelope, Message
from canonical.errors import Failure
from canonical.handler import Delivery, Handler, no_needs
from canonical.rules import Rules

ROOT = Path(broker.__file__).parents[1]
PAGE = (ROOT / "docs" / "states.md").read_text()
SCHEMA = "\n".join(p.read_text() for p in sorted((ROOT / "ops" / "migrations").glob("*.sql")))
CODE = "\n".join(p.read_text() for p in sorted((ROOT / "broker").rglob("*.py")))
NOW = datetime(2026, 3, 1, tzinfo=UTC)
FAILURE = Failure("code", "what")
FATES: tuple[Disposition, ...] = (
    *(Done(), RetryAt(NOW, "away"), Park(FAILURE)),
    *(Invalid(FAILURE), Behind(), DeadLetter(FAILURE)),
)


def told(heading: str) -> dict[str, str]:
    """Of the table whose first column has that heading: each name with the rest of its line."""
    (table,) = re.findall(rf"^\| {re.escape(heading)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.M)
    lines = dict(re.findall(r"^\| `([a-z_-]+)` \| (.*) \|$", table, re.M))
    assert len(lines) == table.count("\n"), "a name is told of twice, or has none"
    return lines


def checked(table: str) -> set[str]:
    """The states that the schema lets a row of the table have."""
    (columns,) = re.findall(rf"^create table {table} \((.*?)^\)", SCHEMA, re.M | re.S)
    (states,) = re.findall(r"^ +state +text .*?check \(state in \((.*?)\)\)", columns, re.M | re.S)
    later = re.findall(
        rf"^alter table {table} add constraint {table}_state_check\s+check \(state in \((.*?)\)\)",
        SCHEMA,
        re.M,
    )
    return set(re.findall(r"'(\w+)'", [states, *later][-1]))


def drawn(title: str) -> set[str]:
    """The words of the drawing in that section."""
    (drawing,) = re.findall(rf"^## {title}\n\n```\n(.*?)^```", PAGE, re.M | re.S)
    return set(re.findall(r"[a-z][a-z_]*(?:-[a-z]+)?", drawing))


def test_outcomes_of_a_message_are_all_that_the_inbox_can_say() -> None:
    assert {type(fate) for fate in FATES} == set(get_args(Disposition))
    decided = {outcome_word(fate) for fate in FATES} | set(re.findall(r'\bDone\("(\w+)"\)', CODE))
    # Said by a person, or by the message that passed it, and by nobody else.
    written = set(re.findall(r'set_outcomes\(tx, \{\w+: "(\w+)"\}\)', CODE))
    written |= set(re.findall(r"update inbox i set outcome = '(\w+)'", CODE))
    assert written == {"discarded", "superseded"}
    (by_default,) = re.findall(r"^ +outcome +text +not null default '(\w+)',$", SCHEMA, re.M)
    assert set(told("`inbox.outcome`")) == decided | written | {by_default}


def test_states_of_unfinished_work_are_those_of_the_schema() -> None:
    assert set(told("`pending.state`")) == checked("pending")


def waits_as(fate: Disposition) -> str | None:
    """The state of the row in which a message of that fate waits; None where none does."""
    toy = Handler(
        name="toy",
        scope="flow",
        types=(),
        read=lambda d: Message(Envelope(id="1", source="s", type="t", key="order/1"), None),
        needs=no_needs,
        decide=lambda message, facts, now: (),
    )
    work = read_arrival(Arrival(Delivery("s", "k", b"1"), "standard", "queue"), lambda d: toy)
    context = Context(
        rules=Rules((), (), (), "1"), policy=RetryPolicy(), now=NOW, jitter=lambda: 0.5
    )
    rows = consequences([Verdict(work, fate)], [Position(NOW, 1)], context).waiting
    return rows[0].state if rows else None


@pytest.mark.parametrize("fate", FATES, ids=outcome_word)
def test_an_outcome_is_told_of_with_the_row_it_leaves(fate: Disposition) -> None:
    _, row = told("`inbox.outcome`")[outcome_word(fate)].split(" | ")
    left = waits_as(fate)
    assert row.startswith(f"`{left}`" if left else "none")


def test_outcomes_of_a_publish_are_those_of_the_publisher() -> None:
    lines = told("Outcome of a publish")
    assert set(lines) == set(get_args(Outcome))
    assert {name for name, line in lines.items() if line.endswith("| goes")} == OUT


def test_states_of_a_step_are_those_of_the_schema() -> None:
    assert set(told("`step.state`")) == checked("step")


def test_states_of_a_ledger_are_those_of_the_schema() -> None:
    assert set(told("`ledger.state`")) == checked("ledger")


@pytest.mark.parametrize(
    ("title", "names"),
    [
        ("Message", {*told("`inbox.outcome`"), "ready"}),
        ("Outbox row", {"confirmed", "unwanted"}),
        ("Step", checked("step")),
        ("Ledger", checked("ledger")),
        ("Replay", checked("replay")),
    ],
)
def test_every_name_is_drawn(title: str, names: set[str]) -> None:
    assert names <= drawn(title)
