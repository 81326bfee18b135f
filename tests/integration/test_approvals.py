"""People's decisions: on what was shown, once, and only what depends on it goes on or stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from broker import approvals
from broker.approvals import Verdict
from broker.principals import ALL_PLANTS, Principal
from canonical.errors import Conflict, Rejected
from canonical.events import ApprovalDecided
from tests.integration.people import principal_in
from tests.integration.toy import Bench, Order, Wanted, arrivals, bench_on, turn_until_idle

PLAN = (
    Wanted("S1", "May S1 be used?", kind="approval"),
    Wanted("T1", "activate", after=("S1",)),
    Wanted("T2", "then", after=("T1",)),
    Wanted("T3", "beside"),
)


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database, where ada and bob decide for quality."""
    async with bench_on(database_url) as made:
        for name in ("ada", "bob"):
            await principal_in(made.database, name, "quality")
        yield made


async def plan(bench: Bench, *wanted: Wanted, number: int = 1) -> None:
    """A change was decided that wants these steps, in the version of its number."""
    key = "engineering-change/C1"
    order = Order(id=f"m{number}", key=key, version=number, plans=wanted)
    await bench.pipeline().take(arrivals([order]))


async def shown(bench: Bench, object_id: str = "S1") -> tuple[int, str]:
    """Id and digest of an approval as a person sees it."""
    [row] = await bench.rows(
        "select id, encode(digest, 'hex') as digest from step"
        " where kind = 'approval' and object_id = $1 order by generation desc limit 1",
        object_id,
    )
    return row["id"], row["digest"]


def person(name: str) -> Principal:
    """Who decides for quality under that name."""
    return Principal(name, ("quality",), ALL_PLANTS)


async def decide(
    bench: Bench, task: tuple[int, str], verdict: Verdict = "approved", by: str = "ada"
) -> None:
    async with bench.database.transaction() as tx:
        await approvals.decide(
            tx,
            step_id=task[0],
            digest=task[1],
            verdict=verdict,
            by=person(by),
            reason="seen the audit",
        )


async def decided_events(bench: Bench) -> list[dict[str, Any]]:
    return await bench.rows(
        "select type, key, convert_from(body, 'UTF8') as body, sequence from message"
        " where direction = 'out' and type like '%approval%' order by seq"
    )


async def test_approving_lets_what_waited_go_on_and_says_so(bench: Bench) -> None:
    await plan(bench, *PLAN)
    await turn_until_idle(bench.dispatcher())
    assert await bench.states() == {"S1": "ready", "T1": "waiting", "T2": "waiting", "T3": "done"}
    await decide(bench, await shown(bench))
    await turn_until_idle(bench.dispatcher())
    assert await bench.states() == {"S1": "done", "T1": "done", "T2": "done", "T3": "done"}
    assert await bench.column("select state from ledger") == ["complete"]
    [event] = await decided_events(bench)
    assert (event["type"], event["key"]) == (
        "com.layshaft.approval.granted.v1",
        "engineering-change/C1",
    )
    said = msgspec.json.decode(event["body"], type=ApprovalDecided)
    assert (said.change, said.question, said.about, said.by, said.reason) == (
        "C1",
        "supplier-qualification",
        "S1",
        "ada",
        "seen the audit",
    )
    assert await bench.rows(
        "select d.verdict, d.by_whom, d.reason, p.name"
        " from decision d join principal p on p.id = d.principal_id"
    ) == [{"verdict": "approved", "by_whom": "ada", "reason": "seen the audit", "name": "ada"}]
    assert await bench.rows("select actor, action from audit where action <> 'token-created'") == [
        {"actor": "ada", "action": "approved"}
    ]


async def test_rejecting_holds_what_depends_on_it_and_opens_a_case(bench: Bench) -> None:
    await plan(bench, *PLAN)
    await decide(bench, await shown(bench), "rejected")
    await turn_until_idle(bench.dispatcher())
    assert await bench.states() == {"S1": "failed", "T1": "held", "T2": "held", "T3": "done"}
    assert await bench.cases() == ["approval-refused"]
    assert [e["type"] for e in await decided_events(bench)] == ["com.layshaft.approval.refused.v1"]
    assert await bench.column("select state from ledger") == ["open"]


async def test_the_same_question_in_a_new_plan_stays_refused_and_another_one_is_asked(
    bench: Bench,
) -> None:
    await plan(bench, *PLAN)
    await decide(bench, await shown(bench), "rejected")
    await plan(bench, *PLAN, number=2)
    assert (await bench.states())["S1"] == "failed"
    other = Wanted("S1", "May S1 be used after the audit?", kind="approval")
    await plan(bench, other, *PLAN[1:], number=3)
    assert (await bench.states())["S1"] == "ready"
    assert (await bench.states())["T1"] == "waiting"


@pytest.mark.parametrize(
    "newer", [(Wanted("S1", "May S1 be used for more?", kind="approval"), *PLAN[1:]), PLAN[3:]]
)
async def test_a_refusal_is_nobodys_turn_any_more_where_that_is_not_asked(
    bench: Bench, newer: tuple[Wanted, ...]
) -> None:
    await plan(bench, *PLAN)
    await decide(bench, await shown(bench), "rejected")
    await plan(bench, *PLAN, number=2)
    assert await bench.cases() == ["approval-refused"]
    await plan(bench, *newer, number=3)
    assert await bench.cases() == []
    assert await bench.column("select closed_by from exception_case") == ["a newer plan"]


async def test_each_refused_question_has_a_case_of_its_own(bench: Bench) -> None:
    await plan(bench, *PLAN, Wanted("S2", "May S2 be used?", kind="approval"))
    for object_id in ("S1", "S2"):
        await decide(bench, await shown(bench, object_id), "rejected")
    assert await bench.cases() == ["approval-refused", "approval-refused"]
    await plan(bench, *PLAN, number=2)
    assert await bench.column("select place from exception_case where state = 'open'") == [
        "engineering-change/C1: |quality|supplier|S1|approve"
    ]


async def test_a_decision_is_taken_once(bench: Bench) -> None:
    await plan(bench, *PLAN)
    task = await shown(bench)
    await decide(bench, task)
    with pytest.raises(Conflict, match="not-open"):
        await decide(bench, task)
    with pytest.raises(Conflict, match="not-open"):
        await decide(bench, task, "rejected", by="bob")
    assert await bench.count("decision") == 1
    assert len(await decided_events(bench)) == 1


async def test_two_people_at_once_take_one_decision(bench: Bench) -> None:
    await plan(bench, *PLAN)
    task = await shown(bench)
    ended = await asyncio.gather(
        decide(bench, task, "approved", by="ada"),
        decide(bench, task, "rejected", by="bob"),
        return_exceptions=True,
    )
    assert sorted(type(e).__name__ for e in ended) == ["Conflict", "NoneType"]
    [decision] = await bench.rows("select verdict from decision")
    state = {"approved": "done", "rejected": "failed"}[decision["verdict"]]
    assert (await bench.states())["S1"] == state


async def test_a_decision_on_what_was_shown_before_a_change_is_refused(bench: Bench) -> None:
    await plan(bench, *PLAN)
    before = await shown(bench)
    await plan(
        bench, Wanted("S1", "May S1 be used for more?", kind="approval"), *PLAN[1:], number=2
    )
    with pytest.raises(Conflict, match="content-changed"):
        await decide(bench, before)
    assert (await bench.states())["S1"] == "ready"
    await decide(bench, await shown(bench))
    assert (await bench.states())["S1"] == "done"


async def test_a_question_that_is_not_asked_any_more_cannot_be_answered(bench: Bench) -> None:
    await plan(bench, *PLAN)
    task = await shown(bench)
    await plan(bench, PLAN[3], number=2)
    with pytest.raises(Conflict, match="not-open"):
        await decide(bench, task)


async def test_only_approvals_can_be_decided(bench: Bench) -> None:
    await plan(bench, *PLAN)
    [call] = await bench.column("select id from step where object_id = 'T3'")
    for step_id in (call, 999_999):
        with pytest.raises(Rejected, match="not-found"):
            await decide(bench, (step_id, ""))


async def test_approving_resolves_the_cases_about_that_object_and_no_others(bench: Bench) -> None:
    await plan(
        bench,
        Wanted("S1", "S1?", kind="approval"),
        Wanted("S10", "S10?", kind="approval"),
        Wanted("T1", after=("S1", "S10")),
    )
    for supplier, ledger in (("S1", "C1"), ("S10", "C1"), ("S1", "C2")):
        await bench.execute(
            "insert into exception_case (code, word, what, place, remedy, owner, ledger_key)"
            " values ('supplier-not-qualified', 'business_rule', '', $1, '', 'quality', $2)",
            f"engineering-change/{ledger}: supplier {supplier}",
            f"engineering-change/{ledger}",
        )
    await decide(bench, await shown(bench, "S1"))
    assert await bench.rows(
        "select place, closed_by from exception_case where state = 'resolved'"
    ) == [{"place": "engineering-change/C1: supplier S1", "closed_by": "ada"}]
    assert await bench.rows(
        "select actor, subject, detail->>'code' as code, correlation_id <> '' as has_story"
        " from audit where action = 'case-resolved'"
    ) == [
        {
            "actor": "ada",
            "subject": "engineering-change/C1: supplier S1",
            "code": "supplier-not-qualified",
            "has_story": True,
        }
    ]
    assert (await bench.states())["T1"] == "waiting"


async def test_a_decision_that_is_not_committed_changes_nothing(bench: Bench) -> None:
    await plan(bench, *PLAN)
    step_id, digest = await shown(bench)

    async def decide_and_die() -> None:
        async with bench.database.transaction() as tx:
            await approvals.decide(
                tx, step_id=step_id, digest=digest, verdict="approved", by=person("ada"), reason=""
            )
            raise KeyError

    with pytest.raises(KeyError):
        await decide_and_die()
    assert (await bench.states())["S1"] == "ready"
    assert await decided_events(bench) == []
    assert await bench.count("decision") == 0
