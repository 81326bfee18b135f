"""What newer code or rules would plan otherwise waits for a person, and goes on as it was until
then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from broker import application, cases, consent, controls
from broker.planner import Planner
from canonical.effects import Effect
from canonical.envelope import Message
from canonical.errors import Conflict, Rejected
from canonical.facts import Facts
from canonical.handler import Handler
from tests.integration.toy import (
    ORDERS,
    Bench,
    Order,
    Stated,
    Wanted,
    arrivals,
    bench_on,
    decide_order,
    turn_until_idle,
)

KEY = "engineering-change/C1"
BEFORE, NEWER = Planner("c0de01", "0f0f"), Planner("c0de02", "0f0f")
WHO: dict[str, Any] = {"by": "ada", "reason": "release 1.5"}
CHANGE = (
    Wanted("A", "plain"),
    Wanted("B", "plain", after=("A",)),
    Wanted("W", "known", kind="wait"),
    Wanted("C", "plain", after=("W",)),
)


def planning(word: str) -> Handler:
    """As ORDERS, by code that writes another word into A."""

    def decide(message: Message[Order], facts: Facts, now: datetime) -> tuple[Effect, ...]:
        plans = tuple(
            msgspec.structs.replace(w, content=word) if w.object_id == "A" else w
            for w in message.payload.plans
        )
        order = msgspec.structs.replace(message.payload, plans=plans)
        return decide_order(Message(message.envelope, order), facts, now)

    return Handler(
        name=ORDERS.name,
        scope=ORDERS.scope,
        types=ORDERS.types,
        read=ORDERS.read,
        needs=ORDERS.needs,
        decide=decide,
    )


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """Where the change is done but for C, which waits for a supplier that is not known."""
    async with bench_on(database_url) as made:
        await state(made, Order("C1-1", KEY, plans=CHANGE), BEFORE)
        await turn_until_idle(made.dispatcher())
        yield made


async def state(bench: Bench, order: Order, planner: Planner, word: str = "plain") -> None:
    """The order comes, and what it brings about is planned by that planner."""
    pipeline = bench.pipeline(orders=planning(word), planner=planner)
    await pipeline.take(arrivals([order]))
    while await pipeline.take_pending(10):
        pass


async def know_supplier(bench: Bench, planner: Planner, word: str = "plain") -> None:
    """The supplier that C waits for is known."""
    order = Order("S-1", "supplier-order/1", states=(Stated("W", 1, "known"),))
    await state(bench, order, planner, word)


async def replan(bench: Bench, planner: Planner, word: str) -> None:
    """A person agrees, and the service goes on."""
    async with bench.database.transaction() as tx:
        await controls.replan(tx, numbers=["C1"], now=datetime.now(UTC), **WHO)
    await go_on(bench, planner, word)


async def go_on(bench: Bench, planner: Planner, word: str) -> None:
    pipeline = bench.pipeline(orders=planning(word), planner=planner)
    while await pipeline.take_pending(10):
        pass
    await turn_until_idle(bench.dispatcher())


async def woken_by(bench: Bench, planner: Planner) -> int:
    """How many ledgers the sweep would have that planner plan anew."""
    async with bench.database.transaction() as tx:
        return await application.wake_ledgers(tx, None, datetime.now(UTC), planner)


async def planner_of(bench: Bench) -> tuple[str, str]:
    [row] = await bench.rows("select planner, asked_planner from ledger where key = $1", KEY)
    return row["planner"], row["asked_planner"]


async def test_a_deploy_alone_plans_nothing(bench: Bench) -> None:
    assert await woken_by(bench, NEWER) == 0
    assert await planner_of(bench) == (BEFORE.text, "")


async def test_newer_code_that_plans_the_same_goes_on(bench: Bench) -> None:
    await know_supplier(bench, NEWER)
    await turn_until_idle(bench.dispatcher())
    assert await bench.states() == {"A": "done", "B": "done", "W": "done", "C": "done"}
    assert await planner_of(bench) == (NEWER.text, "")
    assert await bench.cases() == []


async def test_newer_code_that_would_change_what_is_done_waits_for_consent(bench: Bench) -> None:
    await know_supplier(bench, NEWER, "fancy")
    await turn_until_idle(bench.dispatcher())
    assert await bench.states() == {"A": "done", "B": "done", "W": "waiting", "C": "waiting"}
    [case] = await bench.rows("select * from exception_case where state = 'open'")
    assert (case["code"], case["owner"], case["ledger_key"]) == (
        consent.CODE,
        "operations",
        KEY,
    )
    assert case["what"] == (
        "Planned by other code than before, C1 would change 1 step that it has:"
        " extend-to-plant supplier A at erp"
    )
    assert await planner_of(bench) == (BEFORE.text, NEWER.text)
    # Nobody plans it over and over while a person thinks; the planner of before would go on.
    assert await woken_by(bench, NEWER) == 0
    assert await woken_by(bench, BEFORE) == 1


async def test_once_a_person_agrees_it_is_planned_so(bench: Bench) -> None:
    await know_supplier(bench, NEWER, "fancy")
    await replan(bench, NEWER, "fancy")
    assert await bench.states() == {"A": "done", "B": "done", "W": "done", "C": "done"}
    rows = await bench.rows("select generation, state from step where object_id = 'A' order by id")
    assert [(r["generation"], r["state"]) for r in rows] == [(1, "done"), (2, "done")]
    assert await planner_of(bench) == (NEWER.text, "")
    assert await bench.cases() == []
    [audit] = await bench.rows("select * from audit where action = 'replan-consented'")
    assert (
        audit["actor"],
        msgspec.json.decode(audit["before"]),
        msgspec.json.decode(audit["after"]),
    ) == (
        "ada",
        {"planner": BEFORE.text},
        {"planner": NEWER.text},
    )


async def test_consent_is_for_the_planner_that_asked(bench: Bench) -> None:
    await know_supplier(bench, NEWER, "fancy")
    newest = Planner("c0de03", "0f0f")
    await replan(bench, newest, "fancier")
    assert await bench.cases() == [consent.CODE]
    assert await planner_of(bench) == (NEWER.text, newest.text)
    assert (await bench.states())["C"] == "waiting"


async def test_other_rules_are_another_planner(bench: Bench) -> None:
    await know_supplier(bench, Planner(BEFORE.code, "1e1e"), "fancy")
    [what] = await bench.column("select what from exception_case where state = 'open'")
    assert what.startswith("Planned by other rules than before")


async def test_back_at_the_version_of_before_it_goes_on(bench: Bench) -> None:
    await know_supplier(bench, NEWER, "fancy")
    assert await woken_by(bench, BEFORE) == 1
    await go_on(bench, BEFORE, "plain")
    assert await bench.states() == {"A": "done", "B": "done", "W": "done", "C": "done"}
    assert await planner_of(bench) == (BEFORE.text, "")
    assert await bench.cases() == []


async def test_what_the_source_states_anew_is_planned_by_whoever_plans_now(bench: Bench) -> None:
    await know_supplier(bench, NEWER, "fancy")
    await state(bench, Order("C1-2", KEY, version=2, plans=CHANGE), NEWER, "fancy")
    await turn_until_idle(bench.dispatcher())
    assert await bench.states() == {"A": "done", "B": "done", "W": "done", "C": "done"}
    assert await planner_of(bench) == (NEWER.text, "")
    assert await bench.cases() == []


async def test_a_case_that_is_closed_without_consent_comes_again(bench: Bench) -> None:
    await know_supplier(bench, NEWER, "fancy")
    [case] = await bench.column("select id from exception_case where state = 'open'")
    async with bench.database.transaction() as tx:
        await cases.discard(tx, case_id=case, **WHO)
    assert await bench.cases() == []
    assert await woken_by(bench, NEWER) == 1
    await go_on(bench, NEWER, "fancy")
    assert await bench.cases() == [consent.CODE]
    assert (await bench.states())["C"] == "waiting"


async def test_trying_again_is_no_consent(bench: Bench) -> None:
    await know_supplier(bench, NEWER, "fancy")
    [case] = await bench.column("select id from exception_case where state = 'open'")
    async with bench.database.transaction() as tx:
        with pytest.raises(Rejected) as refused:
            await cases.retry(tx, case_id=case, **WHO)
    assert refused.value.code == "consent-needed"
    assert 'layshaft change replan C1 --reason "..."' in refused.value.remedy
    assert await planner_of(bench) == (BEFORE.text, NEWER.text)


async def test_nobody_agrees_to_what_nobody_asked(bench: Bench) -> None:
    now = datetime.now(UTC)
    async with bench.database.transaction() as tx:
        with pytest.raises(Conflict) as refused:
            await controls.replan(tx, numbers=["C1"], now=now, **WHO)
        assert refused.value.code == "not-asked"
    async with bench.database.transaction() as tx:
        with pytest.raises(Rejected):
            await controls.replan(tx, numbers=["C9"], now=now, **WHO)


async def test_a_ledger_from_before_planners_were_kept_goes_on(bench: Bench) -> None:
    await bench.execute("update ledger set planner = ''")
    await know_supplier(bench, NEWER, "fancy")
    assert await bench.cases() == []
    assert await planner_of(bench) == (NEWER.text, "")
