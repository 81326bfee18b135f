"""Somebody decides in the place of another: of the two, one signs, and it is on record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial

import msgspec
import pytest

from broker import approvals, controls
from broker.approvals import Decided
from broker.authority import acting
from broker.principals import Refused
from broker.store import Database
from canonical.errors import Conflict, Rejected
from tests.integration.gearbox_change import database_at
from tests.integration.people import token_in
from tests.integration.test_principals import (
    STORY,
    SUBJECT,
    audit,
    decides,
    execute,
    fetch,
    plan,
    question,
    shown,
    states,
)
from tests.integration.toy import RULES


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with database_at(database_url) as made:
        yield made


async def delegates(database: Database, token: str, to: str) -> None:
    """Who has the token has somebody decide the question that is asked now."""
    task = await shown(database)
    describe = partial(approvals.deed_of_delegating, step_id=task.id)
    async with acting(database, token, describe) as (tx, who):
        await approvals.delegate(tx, step_id=task.id, to=to, by=who, reason="on holiday")


async def people(database: Database) -> tuple[str, str]:
    """Tokens of Ada, who is asked, and of Bob, who is not."""
    ada = await token_in(database, "ada", "quality", plants=("1010",))
    return ada, await token_in(database, "bob", "sourcing", plants=("1010",))


async def test_a_delegate_decides_in_the_place_of_who_was_asked(database: Database) -> None:
    await plan(database, question(), "1010")
    ada, bob = await people(database)
    with pytest.raises(Refused, match="role-missing"):
        await decides(database, bob)
    await delegates(database, ada, "bob")
    [row] = (await shown(database)).delegates
    assert (row.to, row.by, row.reason) == ("bob", "ada", "on holiday")
    assert await decides(database, bob) == Decided(("bob",), 0)
    [decision] = (await shown(database)).decisions
    assert (decision.by, decision.in_place_of) == ("bob", "ada")
    assert await audit(database) == [
        ("bob", "task-approve-refused", SUBJECT, STORY, "role-missing"),
        ("ada", "task-delegated", SUBJECT, STORY, "-"),
        ("bob", "approved", SUBJECT, STORY, "-"),
    ]
    [signed] = await fetch(database, "select detail from audit where action = 'approved'")
    assert msgspec.json.decode(signed["detail"])["in_place_of"] == "ada"


async def test_of_the_two_one_signs(database: Database) -> None:
    await plan(database, question(signatures=2), "1010")
    ada, bob = await people(database)
    await delegates(database, ada, "bob")
    assert await decides(database, bob) == Decided(("bob",), 1)
    for again in (ada, bob):
        with pytest.raises(Refused, match="signed-already"):
            await decides(database, again)
    # Nor does it help to name somebody else.
    await token_in(database, "cy", "sourcing")
    with pytest.raises(Refused, match="signed-already"):
        await delegates(database, ada, "cy")
    eve = await token_in(database, "eve", "quality")
    assert await decides(database, eve) == Decided(("bob", "eve"), 0)


async def test_who_decides_alone_has_nobody_decide_in_their_place(database: Database) -> None:
    await plan(database, question(signatures=2), "1010")
    ada, bob = await people(database)
    await delegates(database, ada, "bob")
    assert await decides(database, ada) == Decided(("ada",), 1)
    assert (await shown(database)).delegates == ()
    with pytest.raises(Refused, match="role-missing"):
        await decides(database, bob)
    with pytest.raises(Refused, match="signed-already"):
        await delegates(database, ada, "bob")


async def test_who_names_somebody_else_takes_it_from_the_first(database: Database) -> None:
    await plan(database, question(), "1010")
    ada, bob = await people(database)
    cy = await token_in(database, "cy", "sourcing")
    await delegates(database, ada, "bob")
    await delegates(database, ada, "cy")
    with pytest.raises(Refused, match="role-missing"):
        await decides(database, bob)
    assert await decides(database, cy) == Decided(("cy",), 0)
    found = await fetch(
        database, "select before, after from audit where action = 'task-delegated' order by id"
    )
    assert [[msgspec.json.decode(row[name]) for name in ("before", "after")] for row in found] == [
        [{"delegates": []}, {"delegates": ["bob"]}],
        [{"delegates": ["bob"]}, {"delegates": ["cy"]}],
    ]


@pytest.mark.parametrize(
    ("roles", "plants", "says"),
    [
        (("quality",), ("1010",), "may decide it anyway"),
        (("operator", "admin"), ("*",), "decides nothing"),
        (("sourcing",), ("2010",), "it is about plant 1010"),
    ],
)
async def test_who_must_not_decide_is_no_delegate(
    database: Database, roles: tuple[str, ...], plants: tuple[str, ...], says: str
) -> None:
    await plan(database, question(), "1010")
    ada, _ = await people(database)
    await token_in(database, "cy", *roles, plants=plants)
    with pytest.raises(Refused, match="no-delegate") as refused:
        await delegates(database, ada, "cy")
    assert says in refused.value.where
    assert (await shown(database)).delegates == ()
    assert (await audit(database))[-1][1] == "task-delegate-refused"


async def test_nobody_decides_in_two_places(database: Database) -> None:
    await plan(database, question(signatures=2), "1010")
    ada, _ = await people(database)
    eve = await token_in(database, "eve", "quality")
    await delegates(database, ada, "bob")
    with pytest.raises(Refused, match="no-delegate") as refused:
        await delegates(database, eve, "bob")
    assert refused.value.where == "bob does so for ada already"


async def test_only_who_is_asked_delegates_and_only_to_somebody_who_is_there(
    database: Database,
) -> None:
    await plan(database, question(), "1010")
    ada, bob = await people(database)
    await delegates(database, ada, "bob")
    with pytest.raises(Refused, match="role-missing"):
        await delegates(database, bob, "ada")
    with pytest.raises(Rejected, match="There is no principal nobody"):
        await delegates(database, ada, "nobody")
    await execute(database, "update principal set disabled_at = now() where name = 'bob'")
    with pytest.raises(Rejected, match="bob is disabled"):
        await delegates(database, ada, "bob")


async def test_other_content_is_the_delegates_too_and_a_new_form_is_not(
    database: Database,
) -> None:
    await plan(database, question(), "1010")
    ada, bob = await people(database)
    await delegates(database, ada, "bob")
    await plan(database, question(text="May S1 still be used?"), "1010", version=2)
    await decides(database, bob, "rejected")
    [step] = await fetch(database, "select id from step where kind = 'approval'")
    with pytest.raises(Conflict, match="not-open"):
        await delegates(database, ada, "bob")
    async with database.transaction() as tx:
        await controls.restart(
            tx,
            number="C1",
            step=str(step["id"]),
            by="op",
            reason="more is known",
            rules=RULES,
            now=datetime.now(UTC),
        )
    assert (await states(database))[1:] == ["waiting", "ready"]
    [row] = await fetch(database, "select id from step where state = 'ready'")
    async with database.transaction() as tx:
        deed = await approvals.deed(tx, row["id"], "approved")
    assert (deed.role, deed.delegates) == ("quality", ())
