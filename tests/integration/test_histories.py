"""What items and BOMs said of each of their revisions is one fact."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from broker.store import Database, Position, Tx
from broker.store import documents as document_rows
from broker.store.documents import NewDocument
from canonical.bom import Bom, bom_key
from canonical.effects import Put
from canonical.facts import Facts
from canonical.item import Item, item_key
from tests.fixtures.gearbox import RULES, bom, item, line

POSITION = Position(datetime(2026, 1, 5, tzinfo=UTC), 1)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    made = Database(url=database_url, purpose="test", size=2, acquire_s=5, statement_s=5)
    await made.open()
    yield made
    await made.close()


async def state(tx: Tx, document: Item | Bom, version: int) -> None:
    key = item_key(document.number) if isinstance(document, Item) else bom_key(document.parent)
    new = [NewDocument(Put(key, version, document), "plm", POSITION)]
    written = await document_rows.store(tx, document_rows.as_rows(new))
    assert len(written) == 1


async def known(tx: Tx, *keys: str) -> Facts:
    found = await document_rows.load(tx, keys)
    return Facts(RULES, {name: stored.known for name, stored in found.items()})


async def test_each_revision_is_as_it_was_stated_last_and_the_newest_first(
    database: Database,
) -> None:
    async with database.transaction() as tx:
        # The number may hold what else stands between the parts of a key.
        await state(tx, item("P/1", label="A", description="as it was"), 1)
        await state(tx, item("P/1", label="A", description="corrected"), 2)
        await state(tx, item("P/1", label="B"), 3)
        await state(tx, item("P/2", label="X"), 1)
        facts = await known(tx, "item-revisions/P/1", "item-revisions/P/3", "item/P/2")
        found = [(one.revision.label, one.description) for one in facts.item_revisions("P/1")]
        assert found == [("B", "Part P/1"), ("A", "corrected")]
        assert facts.version("item-revisions/P/1") == 3
        assert facts.item_revisions("P/3") == facts.item_revisions("P/2") == ()
        assert facts.item("P/2") is not None


async def test_structures_are_found_by_their_revisions_too(database: Database) -> None:
    async with database.transaction() as tx:
        await state(tx, bom("P/1", line("X"), label="A"), 1)
        await state(tx, bom("P/1", line("Y"), label="B"), 2)
        found = (await known(tx, "bom-revisions/P/1")).bom_revisions("P/1")
        assert [(one.revision, one.lines[0].component) for one in found] == [("B", "Y"), ("A", "X")]


async def test_of_many_states_the_last_ones_are_looked_through(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document_rows, "MOST_STATES", 4)
    monkeypatch.setattr(document_rows, "MOST_REVISIONS", 2)
    async with database.transaction() as tx:
        for version, label in enumerate("ABCDDD", 1):
            await state(tx, item("P", label=label, description=str(version)), version)
        found = (await known(tx, "item-revisions/P")).item_revisions("P")
        assert [one.revision.label for one in found] == ["D", "C"]
        await state(tx, item("P", label="D", description="7"), 7)
        [only] = (await known(tx, "item-revisions/P")).item_revisions("P")
        assert only.description == "7"
