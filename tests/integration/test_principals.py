"""People act by tokens: what they may not is refused and on record, and what takes two signatures
takes two people."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import asyncpg
import msgspec
import pytest

from broker import approvals, book, cases, replay_orders, tokens
from broker.approvals import Decided, Verdict
from broker.authority import acting
from broker.principals import ALL_PLANTS, Grant, Refused, token_hash, token_text
from broker.store import Database, Position, views
from broker.store import principals as rows
from canonical.effects import Plan, Step
from canonical.errors import Conflict, Rejected
from canonical.operations import Approve, ExtendToPlant
from tests.integration.gearbox_change import CHANGE, FAILED_BOM, database_at, seed_in
from tests.integration.people import ROOT, token_in

KEY, STORY = "engineering-change/C1", "story-1"
SUBJECT = f"{KEY}: supplier-qualification S1"
POSITION = Position(datetime(2026, 1, 5, tzinfo=UTC), 1)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with database_at(database_url) as made:
        yield made


# What is asked


def question(*, signatures: int = 1, plant: str = "", text: str = "May S1 be used?") -> Step:
    """A question to quality about S1."""
    asked = Approve("supplier-qualification", text, ("items: A",), signatures)
    return Step(plant, "quality", "supplier", "S1", asked, owner="quality")


def behind(asked: Step, *plants: str) -> tuple[Step, ...]:
    """Steps of these plants that wait for the answer."""
    return tuple(
        Step(
            plant,
            "erp",
            "item",
            "A",
            ExtendToPlant("A", plant, "buy", "H87", "001"),
            (asked.identity,),
        )
        for plant in plants
    )


async def plan(database: Database, asked: Step, *plants: str, version: int = 1) -> None:
    """A change asks that, and steps of these plants wait for the answer."""
    planned = Plan(KEY, version, "T", (asked, *behind(asked, *plants)))
    origin = book.Origin("toy", "toy", "plm", f"m{version}", STORY, "standard", POSITION)
    async with database.transaction() as tx:
        assert await book.apply_plans(tx, [book.Planned(planned, origin)], datetime.now(UTC)) == [
            "taken"
        ]


async def shown(database: Database) -> views.TaskRow:
    """The question as a person sees it."""
    async with views.snapshot(database) as tx:
        [task] = await views.tasks(tx, "all")
    return task


async def decides(
    database: Database, token: str, verdict: Verdict = "approved", *, digest: str = ""
) -> Decided:
    """Who has the token decides on what is asked now, or on what has that digest."""
    task = await shown(database)
    describe = partial(approvals.deed, step_id=task.id, verdict=verdict)
    async with acting(database, token, describe) as (tx, who):
        return await approvals.decide(
            tx,
            step_id=task.id,
            digest=digest or task.digest,
            verdict=verdict,
            by=who,
            reason="seen the audit",
        )


async def fetch(database: Database, sql: str, *arguments: object) -> list[dict[str, Any]]:
    async with database.session() as session:
        return [dict(r) for r in await session.fetch(sql, *arguments)]


async def execute(database: Database, sql: str) -> None:
    async with database.session() as session:
        await session.execute(sql)


async def audit(database: Database) -> list[tuple[str, str, str, str, Any]]:
    """Actor, action, subject, story and code or reason of each row but those about tokens made."""
    found = await fetch(
        database,
        "select actor, action, subject, correlation_id, detail from audit"
        " where action <> 'token-created' order by id",
    )
    return [
        (
            *(row["actor"], row["action"], row["subject"], row["correlation_id"]),
            msgspec.json.decode(row["detail"]).get("code", "-"),
        )
        for row in found
    ]


async def states(database: Database) -> list[str]:
    """Of the question and what waits for it."""
    return [row["state"] for row in await fetch(database, "select state from step order by id")]


async def events(database: Database) -> list[Any]:
    """What was announced, with who decided."""
    found = await fetch(database, "select type, body from message where direction = 'out'")
    return [(row["type"], msgspec.json.decode(row["body"])["by"]) for row in found]


# Deciding


async def test_who_has_the_role_and_the_plants_decides_and_is_on_record(database: Database) -> None:
    await plan(database, question(), "1010", "2010")
    token = await token_in(database, "ada", "quality", plants=("1010", "2010"))
    assert (await shown(database)).plants == ("1010", "2010")
    assert await decides(database, token) == Decided(("ada",), 0)
    assert await states(database) == ["done", "ready", "ready"]
    assert await audit(database) == [("ada", "approved", SUBJECT, STORY, "-")]
    [row] = await fetch(database, "select before, after from audit where action = 'approved'")
    assert msgspec.json.decode(row["before"]) == {"state": "ready", "signed_by": []}
    assert msgspec.json.decode(row["after"]) == {"state": "done", "signed_by": ["ada"]}


async def usual(database: Database) -> str:
    return await token_in(database, "ada", "quality")


async def without_the_role(database: Database) -> str:
    return await token_in(database, "ada", "sourcing", "viewer")


async def of_an_admin(database: Database) -> str:
    return await token_in(database, "ada", "admin", "operator", "integrator")


async def of_one_plant(database: Database) -> str:
    return await token_in(database, "ada", "quality", plants=("1010",))


async def expired(database: Database) -> str:
    token = await usual(database)
    await execute(database, "update api_token set expires_at = now()")
    return token


async def revoked(database: Database) -> str:
    token = await usual(database)
    async with database.transaction() as tx:
        assert await tokens.revoke(tx, 1, by=ROOT, reason="lost") == "ada"
    return token


async def disabled(database: Database) -> str:
    token = await usual(database)
    async with database.transaction() as tx:
        await tokens.set_disabled(tx, "ada", disabled=True, by=ROOT, reason="has left")
    return token


async def of_nobody(database: Database) -> str:
    return token_text(secrets.token_bytes(32))


async def none(database: Database) -> str:
    return ""


async def cut_short(database: Database) -> str:
    return (await usual(database))[:-1]


@pytest.mark.parametrize("verdict", ["approved", "rejected"])
@pytest.mark.parametrize(
    ("made", "code", "actor"),
    [
        (without_the_role, "role-missing", "ada"),
        (of_an_admin, "role-missing", "ada"),
        (of_one_plant, "plant-out-of-scope", "ada"),
        (expired, "token-expired", "ada"),
        (revoked, "token-revoked", "ada"),
        (disabled, "principal-disabled", "ada"),
        (of_nobody, "token-unknown", "unknown"),
        (none, "token-missing", "unknown"),
        (cut_short, "token-malformed", "unknown"),
    ],
)
async def test_a_decision_that_is_refused_changes_nothing_and_is_on_record(
    database: Database, made: Any, code: str, actor: str, verdict: Verdict
) -> None:
    await plan(database, question(), "1010", "2010")
    token = await made(database)
    before = await audit(database)
    with pytest.raises(Refused) as refused:
        await decides(database, token, verdict)
    assert refused.value.code == code
    assert await states(database) == ["ready", "waiting", "waiting"]
    assert await fetch(database, "select * from decision") == []
    assert await events(database) == []
    action = {"approved": "task-approve-refused", "rejected": "task-reject-refused"}[verdict]
    assert await audit(database) == [*before, (actor, action, SUBJECT, STORY, code)]


@pytest.mark.parametrize(("plants", "allowed"), [(("1010",), True), (("2010",), False)])
async def test_a_question_of_a_plant_is_for_those_who_have_that_plant(
    database: Database, plants: tuple[str, ...], allowed: bool
) -> None:
    await plan(database, question(plant="1010"))
    assert (await shown(database)).plants == ("1010",)
    token = await token_in(database, "ada", "quality", plants=plants)
    if allowed:
        await decides(database, token)
    else:
        with pytest.raises(Refused, match="plant-out-of-scope"):
            await decides(database, token)
    assert (await states(database) == ["done"]) == allowed


async def test_a_question_that_concerns_no_plant_is_for_all_who_have_the_role(
    database: Database,
) -> None:
    await plan(database, question())
    token = await token_in(database, "ada", "quality", plants=("3010",))
    await decides(database, token)
    assert await states(database) == ["done"]


async def test_the_plants_of_a_question_are_those_that_the_new_plan_gives_it(
    database: Database,
) -> None:
    await plan(database, question(), "1010", "2010")
    await plan(database, question(), "1010", version=2)
    assert (await shown(database)).plants == ("1010",)
    await decides(database, await of_one_plant(database))
    assert await states(database) == ["done", "ready", "cancelled"]


# Two signatures


async def test_what_takes_two_signatures_takes_two_people(database: Database) -> None:
    await plan(database, question(signatures=2), "1010")
    ada, bob = [await token_in(database, name, "quality") for name in ("ada", "bob")]
    assert await decides(database, ada) == Decided(("ada",), 1)
    task = await shown(database)
    assert (task.state, task.signatures, task.signed_by, task.missing) == ("ready", 2, ("ada",), 1)
    assert await states(database) == ["ready", "waiting"]
    assert await events(database) == []
    with pytest.raises(Refused, match="signed-already") as refused:
        await decides(database, ada)
    assert refused.value.where == "1 of 2 have signed: ada"
    assert await decides(database, bob) == Decided(("ada", "bob"), 0)
    assert await states(database) == ["done", "ready"]
    assert await events(database) == [("com.layshaft.approval.granted.v1", "ada, bob")]
    assert await audit(database) == [
        ("ada", "approved", SUBJECT, STORY, "-"),
        ("ada", "task-approve-refused", SUBJECT, STORY, "signed-already"),
        ("bob", "approved", SUBJECT, STORY, "-"),
    ]
    found = await fetch(
        database,
        "select d.by_whom, p.name from decision d join principal p on p.id = d.principal_id"
        " order by d.id",
    )
    assert found == [{"by_whom": name, "name": name} for name in ("ada", "bob")]
    assert (await shown(database)).missing == 0


async def test_two_tokens_of_one_person_are_one_signature(database: Database) -> None:
    await plan(database, question(signatures=2))
    laptop, phone = [await token_in(database, "ada", "quality") for _ in range(2)]
    await decides(database, laptop)
    with pytest.raises(Refused, match="signed-already"):
        await decides(database, phone)


async def test_two_people_who_sign_at_the_same_instant_are_two_signatures(
    database: Database,
) -> None:
    await plan(database, question(signatures=2), "1010")
    ada, bob = [await token_in(database, name, "quality") for name in ("ada", "bob")]
    signed = await asyncio.gather(decides(database, ada), decides(database, bob))
    assert sorted(s.missing for s in signed) == [0, 1]
    assert await states(database) == ["done", "ready"]
    assert len(await events(database)) == 1


async def test_one_who_signs_twice_at_the_same_instant_has_signed_once(database: Database) -> None:
    await plan(database, question(signatures=2), "1010")
    ada = await token_in(database, "ada", "quality")
    ended = await asyncio.gather(
        decides(database, ada), decides(database, ada), return_exceptions=True
    )
    assert sorted(type(e).__name__ for e in ended) == ["Decided", "Refused"]
    assert (await shown(database)).signed_by == ("ada",)


async def test_of_two_who_decide_at_once_where_one_is_enough_the_later_one_is_refused(
    database: Database,
) -> None:
    await plan(database, question())
    ada, bob = [await token_in(database, name, "quality") for name in ("ada", "bob")]
    ended = await asyncio.gather(
        decides(database, ada), decides(database, bob, "rejected"), return_exceptions=True
    )
    assert sorted(type(e).__name__ for e in ended) == ["Conflict", "Decided"]
    refused = [row for row in await audit(database) if row[1].endswith("-refused")]
    assert [(row[0] in ("ada", "bob"), row[4]) for row in refused] == [(True, "not-open")]


async def test_one_rejection_is_enough_and_takes_signatures_with_it(database: Database) -> None:
    await plan(database, question(signatures=2), "1010")
    ada, bob = [await token_in(database, name, "quality") for name in ("ada", "bob")]
    await decides(database, ada)
    assert await decides(database, bob, "rejected") == Decided()
    assert await states(database) == ["failed", "held"]
    assert await events(database) == [("com.layshaft.approval.refused.v1", "bob")]
    # Asked again in the words of before, after others: it begins anew.
    await plan(database, question(signatures=2, text="Really?"), "1010", version=2)
    await plan(database, question(signatures=2), "1010", version=3)
    assert (await shown(database)).signed_by == ()
    assert await decides(database, ada) == Decided(("ada",), 1)


async def test_who_has_signed_may_reject_all_the_same(database: Database) -> None:
    await plan(database, question(signatures=2))
    ada = await token_in(database, "ada", "quality")
    await decides(database, ada)
    await decides(database, ada, "rejected")
    assert await states(database) == ["failed"]


async def test_a_signature_is_for_the_content_that_was_read(database: Database) -> None:
    await plan(database, question(signatures=2))
    ada, bob = [await token_in(database, name, "quality") for name in ("ada", "bob")]
    before = await shown(database)
    await decides(database, ada)
    await plan(database, question(signatures=2, text="May S1 be used for more?"), version=2)
    with pytest.raises(Conflict, match="content-changed"):
        await decides(database, bob, digest=before.digest)
    task = await shown(database)
    assert (task.signed_by, task.missing) == ((), 2)
    assert await decides(database, bob) == Decided(("bob",), 1)


# Cases and replays


@pytest.mark.parametrize(
    ("plants", "code", "allowed"),
    [
        (("1010",), "refused", True),
        (("2010",), "refused", False),
        # Its message is of no plant.
        (("2010",), "unit-unknown", True),
    ],
)
async def test_a_case_about_a_step_of_a_plant_is_for_those_who_have_that_plant(
    database: Database, plants: tuple[str, ...], code: str, allowed: bool
) -> None:
    await seed_in(database)
    token = await token_in(database, "tom", "operator", plants=plants)
    [case] = await fetch(database, "select * from exception_case where code = $1", code)
    if code == "refused":
        assert case["place"] == f"{CHANGE}: {FAILED_BOM}"

    async def retry() -> None:
        describe = partial(cases.deed, action="case-retry", case_id=case["id"])
        async with acting(database, token, describe) as (tx, who):
            await cases.retry(tx, case_id=case["id"], by=who.name, reason="repaired")

    if allowed:
        await retry()
    else:
        with pytest.raises(Refused, match="plant-out-of-scope"):
            await retry()
        [refused] = [row for row in await audit(database) if row[1] == "case-retry-refused"]
        assert refused[:3] == ("tom", "case-retry-refused", case["place"])
        assert refused[3] != ""
    [after] = await fetch(database, "select state from exception_case where id = $1", case["id"])
    assert after["state"] == ("resolved" if allowed else "open")


@pytest.mark.parametrize(("plants", "allowed"), [(ALL_PLANTS, True), (("1010", "2010"), False)])
async def test_a_replay_is_of_all_plants(
    database: Database, plants: tuple[str, ...], allowed: bool
) -> None:
    token = await token_in(database, "tom", "operator", plants=plants)

    async def cancel() -> None:
        describe = partial(replay_orders.deed, action="replay-cancel", replay_id=7)
        async with acting(database, token, describe) as (tx, who):
            await replay_orders.cancel(tx, replay_id=7, by=who.name, reason="wrong")

    with pytest.raises(Rejected) as refused:
        await cancel()
    code = "not-found" if allowed else "plant-out-of-scope"
    assert refused.value.code == code
    assert await audit(database) == [("tom", "replay-cancel-refused", "replay/7", "", code)]


# Tokens


async def test_the_first_token_is_an_admins_and_from_then_on_an_admin_makes_them(
    database: Database,
) -> None:
    quality = Grant(name="ada", roles=("quality",), plants=ALL_PLANTS)
    with pytest.raises(Refused, match="admin-first"):
        await tokens.issue(database, quality, by="")
    first = await tokens.issue(
        database, Grant(name="root", roles=("admin",), plants=ALL_PLANTS), by=""
    )
    with pytest.raises(Refused, match="token-missing"):
        await tokens.issue(database, quality, by="")
    ada = await tokens.issue(database, quality, by=first)
    with pytest.raises(Refused, match="role-missing"):
        await tokens.issue(database, Grant(name="eve", roles=("admin",), plants=("*",)), by=ada)
    found = await fetch(
        database, "select actor, action, subject, detail->>'code' as code from audit order by id"
    )
    assert [tuple(row.values()) for row in found] == [
        ("installation", "token-create-refused", "principal/ada", "admin-first"),
        ("installation", "token-created", "principal/root", None),
        ("unknown", "token-create-refused", "principal/ada", "token-missing"),
        ("root", "token-created", "principal/ada", None),
        ("ada", "token-create-refused", "principal/eve", "role-missing"),
    ]
    assert [row["created_by"] for row in await fetch(database, "select * from principal")] == [
        "installation",
        "root",
    ]


@pytest.mark.parametrize(
    "end",
    [
        "update api_token set expires_at = now()",
        "update api_token set revoked_at = now()",
        "update principal set disabled_at = now()",
    ],
)
async def test_where_no_admin_has_a_token_that_counts_the_installation_makes_one(
    database: Database, end: str
) -> None:
    root = Grant(name="root", roles=("admin",), plants=ALL_PLANTS)
    await tokens.issue(database, root, by="")
    await execute(database, end)
    other = Grant(name="other", roles=("admin",), plants=ALL_PLANTS)
    await tokens.issue(database, other, by="")
    with pytest.raises(Refused, match="token-missing"):
        await tokens.issue(database, other, by="")


async def test_two_first_admins_at_once_are_one(database: Database) -> None:
    grants = [Grant(name=name, roles=("admin",), plants=ALL_PLANTS) for name in ("ada", "bob")]
    ended = await asyncio.gather(
        *(tokens.issue(database, grant, by="") for grant in grants), return_exceptions=True
    )
    assert sorted(type(e).__name__ for e in ended) == ["Refused", "str"]
    assert len(await fetch(database, "select * from principal")) == 1


async def test_a_second_token_changes_its_principal_where_it_says_so(database: Database) -> None:
    first = await token_in(database, "ada", "quality", plants=("1010",))
    async with database.transaction() as tx:
        same = await tokens.create(tx, Grant(name="ada", label="phone"), b"1" * 32, by=ROOT)
        changed = await tokens.create(
            tx, Grant(name="ada", roles=("sourcing",), plants=("*",)), b"2" * 32, by=ROOT
        )
        assert (await rows.find(tx, token_hash(first))) == rows.FoundToken(
            changed.principal, "valid"
        )
    assert (same.principal, same.principal) == (same.before, changed.before)
    assert (changed.principal.roles, changed.principal.plants) == (("sourcing",), ("*",))
    [row] = await fetch(database, "select before, after from audit order by id desc limit 1")
    assert msgspec.json.decode(row["before"]) == {"roles": ["quality"], "plants": ["1010"]}
    assert msgspec.json.decode(row["after"]) == {"roles": ["sourcing"], "plants": ["*"]}


@pytest.mark.parametrize(
    ("grant", "code"),
    [
        (Grant(name="ada", roles=("quality",)), "principal-incomplete"),
        (Grant(name="ada", plants=("*",)), "principal-incomplete"),
        (Grant(name="ada", roles=("quality",), plants=("*",), days=0), "token-days"),
    ],
)
async def test_what_a_token_needs_is_said(database: Database, grant: Grant, code: str) -> None:
    root = await token_in(database, "root", "admin")
    with pytest.raises(Rejected, match=code):
        await tokens.issue(database, grant, by=root)
    assert await audit(database) == [("root", "token-create-refused", "principal/ada", "", code)]
    assert await fetch(database, "select * from principal where name = 'ada'") == []


async def test_a_token_is_revoked_once_and_a_principal_disabled_and_enabled(
    database: Database,
) -> None:
    token = await usual(database)
    async with database.transaction() as tx:
        await tokens.set_disabled(tx, "ada", disabled=True, by=ROOT, reason="on leave")
        with pytest.raises(Conflict, match="not-in-state"):
            await tokens.set_disabled(tx, "ada", disabled=True, by=ROOT, reason="on leave")
        with pytest.raises(Conflict, match="disabled"):
            await tokens.create(tx, Grant(name="ada"), b"1" * 32, by=ROOT)
        await tokens.set_disabled(tx, "ada", disabled=False, by=ROOT, reason="is back")
        found = await rows.find(tx, token_hash(token))
        assert found is not None
        assert found.state == "valid"
        await tokens.revoke(tx, 1, by=ROOT, reason="lost")
        with pytest.raises(Conflict, match="revoked-already"):
            await tokens.revoke(tx, 1, by=ROOT, reason="lost")
        with pytest.raises(Rejected, match="not-found"):
            await tokens.revoke(tx, 7, by=ROOT, reason="lost")
        with pytest.raises(Rejected, match="not-found"):
            await tokens.set_disabled(tx, "eve", disabled=True, by=ROOT, reason="has left")
    assert [row[1] for row in await audit(database)] == [
        "principal-disabled",
        "principal-enabled",
        "token-revoked",
    ]
    [revoked] = await fetch(
        database, "select before, after from audit where action = 'token-revoked'"
    )
    assert [msgspec.json.decode(revoked[name]) for name in ("before", "after")] == [
        {"revoked": False},
        {"revoked": True},
    ]


async def test_when_a_token_was_used_is_on_record_once_a_minute_while_it_counts(
    database: Database,
) -> None:
    await plan(database, question(signatures=9))
    token = await usual(database)

    async def used() -> datetime | None:
        # Whatever comes of it.
        await asyncio.gather(decides(database, token), return_exceptions=True)
        [row] = await fetch(database, "select last_used_at from api_token")
        at: datetime | None = row["last_used_at"]
        return at

    first = await used()
    assert first is not None
    assert await used() == first
    back = "update api_token set last_used_at = last_used_at - interval '61 seconds'"
    await execute(database, back)
    second = await used()
    assert second is not None
    assert second >= first
    await execute(database, f"{back}, revoked_at = now()")
    third = await used()
    assert third is not None
    assert third < second


async def test_the_list_of_tokens_says_how_each_stands(database: Database) -> None:
    await token_in(database, "bob", "operator")
    await token_in(database, "ada", "quality", plants=("1010",))
    await token_in(database, "ada", "quality", "sourcing", plants=("1010",))
    await execute(database, "update api_token set revoked_at = now() where id = 2")
    async with views.snapshot(database) as tx:
        found = await rows.tokens(tx, limit=9)
    assert [(t.id, t.name, t.state, t.roles, t.plants, t.created_by) for t in found] == [
        (3, "ada", "valid", ("quality", "sourcing"), ("1010",), "root"),
        (2, "ada", "revoked", ("quality", "sourcing"), ("1010",), "root"),
        (1, "bob", "valid", ("operator",), ("*",), "root"),
    ]


# What is kept


@pytest.mark.parametrize(
    "change",
    ["update audit set actor = 'eve'", "delete from audit", "delete from audit where false",
     "truncate audit", "insert into audit (actor, action, subject, detail)"
     " values ('a', 'a', 'a', '{}'); delete from audit where actor = 'a'"],
)  # fmt: skip
async def test_the_audit_only_grows(database: Database, change: str) -> None:
    await usual(database)
    before = await fetch(database, "select * from audit order by id")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="the audit is append-only"):
        await execute(database, change)
    assert await fetch(database, "select * from audit order by id") == before
    assert len(before) == 1


async def test_no_token_stands_anywhere_in_the_database(database: Database) -> None:
    await plan(database, question(), "1010")
    secret = secrets.token_bytes(32)
    token = token_text(secret)
    grant = Grant(name="ada", roles=("quality",), plants=ALL_PLANTS)
    async with database.transaction() as tx:
        await tokens.create(tx, grant, token_hash(token), by=ROOT)
    with pytest.raises(Refused):
        await tokens.issue(database, grant, by=token)
    with pytest.raises(Refused):
        await decides(database, token[:-1])
    await decides(database, token)
    tables = await fetch(
        database, "select tablename from pg_tables where schemaname = 'public' order by 1"
    )
    kept = ""
    for table in tables:
        kept += str(await fetch(database, f'select t::text from "{table["tablename"]}" t'))
    assert token_hash(token).hex() in kept
    for form in (token, token[:-1], token.removeprefix("lys_"), secret.hex()):
        assert form not in kept


async def test_who_acts_is_asked_of_the_database_each_time(database: Database) -> None:
    """A role that was taken away is gone with the next command."""
    await plan(database, question())
    token = await usual(database)
    await token_in(database, "ada", "viewer")
    with pytest.raises(Refused, match="role-missing"):
        await decides(database, token)


async def test_what_fails_in_an_act_for_another_reason_is_no_refusal(database: Database) -> None:
    await plan(database, question())
    token = await usual(database)
    describe = partial(approvals.deed, step_id=1, verdict="approved")

    async def fail() -> None:
        async with acting(database, token, describe):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await audit(database) == []
