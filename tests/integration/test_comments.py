"""People say something of a question without deciding it, and it stays with the question."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import msgspec
import pytest

from broker import approvals
from broker.approvals import MOST_SAID
from broker.authority import acting
from broker.principals import Refused
from broker.store import Database, views
from canonical.errors import InvalidMessage, Rejected
from canonical.operations import Approve
from tests.integration.gearbox_change import database_at
from tests.integration.people import token_in
from tests.integration.test_principals import (
    STORY,
    SUBJECT,
    audit,
    decides,
    fetch,
    plan,
    question,
    shown,
    states,
)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with database_at(database_url) as made:
        await plan(made, question(), "1010")
        yield made


REWORDED = Approve("supplier-qualification", "Asked in other words?")


async def says(database: Database, token: str, said: str) -> None:
    """Who has the token comments on the question that is asked now."""
    task = await shown(database)
    describe = partial(approvals.deed_of_commenting, step_id=task.id)
    async with acting(database, token, describe) as (tx, who):
        await approvals.comment(tx, step_id=task.id, said=said, by=who)


async def comments(database: Database) -> list[tuple[str, str]]:
    return [(each.by, each.said) for each in (await shown(database)).comments]


async def test_it_is_shown_and_on_record_and_decides_nothing(database: Database) -> None:
    before = await states(database)
    eve = await token_in(database, "eve", "engineering", plants=("1010",))
    await says(database, eve, " The audit report is in DOC-7. ")
    ada = await token_in(database, "ada", "quality", plants=("1010",))
    await says(database, ada, "Thanks,\nI look at it.")
    assert await comments(database) == [
        ("eve", "The audit report is in DOC-7."),
        ("ada", "Thanks,\nI look at it."),
    ]
    assert await states(database) == before
    assert await audit(database) == [
        ("eve", "task-commented", SUBJECT, STORY, "-"),
        ("ada", "task-commented", SUBJECT, STORY, "-"),
    ]
    [first, _] = await fetch(
        database, "select detail from audit where action = 'task-commented' order by id"
    )
    assert msgspec.json.decode(first["detail"])["comment"] == "The audit report is in DOC-7."


async def test_it_stays_when_the_question_is_decided_and_asked_anew(database: Database) -> None:
    eve = await token_in(database, "eve", "engineering")
    await says(database, eve, "Look at the lead time.")
    ada = await token_in(database, "ada", "quality")
    await decides(database, ada)
    await says(database, eve, "Good.")
    first = (await shown(database)).id
    anew = msgspec.structs.replace(question(), operation=REWORDED)
    await plan(database, anew, "1010", version=2)
    asked = max(await fetch(database, "select id, state from step where kind = 'approval'"),
                key=lambda row: int(row["id"]))  # fmt: skip
    assert (asked["state"], asked["id"] != first) == ("ready", True)
    async with views.snapshot(database) as tx:
        task = await views.task(tx, asked["id"])
    assert task is not None
    assert [each.said for each in task.comments] == ["Look at the lead time.", "Good."]


async def test_who_only_looks_and_who_has_none_of_its_plants_says_nothing(
    database: Database,
) -> None:
    viewer = await token_in(database, "vic", "viewer")
    with pytest.raises(Refused, match="role-missing"):
        await says(database, viewer, "Hello")
    elsewhere = await token_in(database, "eli", "engineering", plants=("3010",))
    with pytest.raises(Refused, match="plant-out-of-scope"):
        await says(database, elsewhere, "Hello")
    assert await comments(database) == []
    assert [row[:2] for row in await audit(database)] == [
        ("vic", "task-comment-refused"),
        ("eli", "task-comment-refused"),
    ]


@pytest.mark.parametrize("said", ["x" * (MOST_SAID + 1), "left\u202eright", "null\0"])
async def test_what_hides_something_or_is_too_long_is_refused(
    database: Database, said: str
) -> None:
    eve = await token_in(database, "eve", "engineering")
    with pytest.raises(InvalidMessage):
        await says(database, eve, said)
    with pytest.raises(Rejected, match="comment-empty"):
        await says(database, eve, " \n ")
    assert await comments(database) == []
