"""What is true: the targets' own tables and journals, and Layshaft's database, read only.

The only SQL of the demo stands here. Nothing in this module knows what is expected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import aiohttp
import asyncpg
import msgspec

from ops.sandbox.journal import Entry

Row = Mapping[str, Any]

OPEN_CALLS = ("in_flight", "in_doubt")
# Kind of step -> states in which somebody else has to move.
IN_HANDS = {"call": OPEN_CALLS, "approval": ("ready",)}


class StepRow(msgspec.Struct, frozen=True):
    """The current generation of a step. operation: its JSON. name: ledger and identity."""

    id: int
    ledger: str
    identity: str
    kind: str
    plant: str
    system: str
    object_kind: str
    object_id: str
    verb: str
    operation: Row
    depends_on: tuple[str, ...]
    state: str
    owner: str

    @property
    def name(self) -> str:
        return f"{self.ledger}: {self.identity}"

    @property
    def effect(self) -> tuple[str, ...]:
        """The key of the row at the target that the step is about; () for verbs that write none."""
        wanted = self.operation
        match self.verb:
            case "put-item" | "publish-item":
                return (wanted["item"]["number"],)
            case "extend-to-plant":
                return (wanted["item"], wanted["plant"])
            case "put-bom":
                return (wanted["bom"]["parent"], wanted["bom"]["plant"])
            case "put-info-record":
                record = wanted["record"]
                return tuple(
                    record[name] for name in ("supplier", "item", "purchasing_org", "plant")
                )
            case _:
                return ()


class Interval(msgspec.Struct, frozen=True):
    """A time during which somebody was waited for."""

    who: str
    start: datetime
    end: datetime


class CaseRow(msgspec.Struct, frozen=True):
    """An exception case."""

    code: str
    word: str
    what: str
    place: str
    remedy: str
    owner: str
    state: str


class Snapshot(msgspec.Struct, frozen=True):
    """The steps at one moment."""

    steps: tuple[StepRow, ...]

    def by_state(self) -> dict[str, int]:
        """How many steps are in which state."""
        return dict(sorted(Counter(step.state for step in self.steps).items()))

    def named(self, *states: str) -> frozenset[str]:
        """The names of the steps in one of the states; all without."""
        return frozenset(s.name for s in self.steps if not states or s.state in states)


class Records:
    """Layshaft's database through a connection that cannot write."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: asyncpg.Connection[asyncpg.Record]

    async def __aenter__(self) -> Self:
        self._connection = await asyncpg.connect(
            self._database_url, server_settings={"default_transaction_read_only": "on"}
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._connection.close()

    async def snapshot(self) -> Snapshot:
        """All steps, each in its latest generation."""
        rows = await self._connection.fetch(
            """
            select distinct on (l.id, s.identity) s.id, l.key as ledger, s.identity, s.kind,
                   s.plant, s.system, s.object_kind, s.object_id, s.verb, s.operation,
                   s.depends_on, s.state, s.owner
            from step s join ledger l on l.id = s.ledger_id
            order by l.id, s.identity, s.generation desc
            """
        )
        return Snapshot(
            tuple(
                StepRow(
                    **{
                        **dict(row),
                        "operation": msgspec.json.decode(row["operation"]),
                        "depends_on": tuple(row["depends_on"]),
                    }
                )
                for row in rows
            )
        )

    async def ledgers(self) -> dict[str, str]:
        """Key -> state."""
        rows = await self._connection.fetch("select key, state from ledger")
        return {row["key"]: row["state"] for row in rows}

    async def documents(self) -> frozenset[str]:
        """Keys of what is known."""
        rows = await self._connection.fetch("select key from document")
        return frozenset(row["key"] for row in rows)

    async def findings(self, ledger: str) -> list[Row]:
        """What the planner found about a change."""
        text = await self._connection.fetchval("select findings from ledger where key = $1", ledger)
        found: list[Row] = msgspec.json.decode(text or "[]", type=list[dict[str, Any]])
        return found

    async def unfinished(self) -> int:
        """Messages waiting to be tried again, and events waiting to be published."""
        count = await self._connection.fetchval(
            """
            select (select count(*) from pending where state in ('ready', 'retry'))
                 + (select count(*) from outbox)
            """
        )
        return int(count)

    async def unread(self) -> int:
        """Events of ours that are published and have not reached their handlers."""
        count = await self._connection.fetchval(
            """
            with handled as (
                select distinct m.type from message m join inbox i on i.id = m.id
                where m.direction = 'out'
            )
            select count(*) from message m join handled using (type)
            where m.direction = 'out' and not exists (select from inbox i where i.id = m.id)
            """
        )
        return int(count)

    async def outcomes(self, source: str) -> dict[str, int]:
        """How the messages of a source ended: outcome -> messages, each counted once."""
        rows = await self._connection.fetch(
            "select outcome, count(*) from inbox where source = $1 group by 1", source
        )
        return {row["outcome"]: row["count"] for row in rows}

    async def repeats(self, source: str, since: datetime) -> int:
        """Repeats of a source's messages that were recognised after `since`."""
        count = await self._connection.fetchval(
            "select count(*) from duplicate where source = $1 and at > $2", source, since
        )
        return int(count)

    async def all_repeats(self, since: datetime) -> int:
        """Repeats of whatever source that were recognised after `since`."""
        count = await self._connection.fetchval(
            "select count(*) from duplicate where at > $1", since
        )
        return int(count)

    async def last_batch(self, not_from: Iterable[str]) -> int:
        """How many messages that came through queues the last transaction took in."""
        count = await self._connection.fetchval(
            """
            select count(*) from inbox where source <> all($1::text[]) and received_at =
                (select max(received_at) from inbox where source <> all($1::text[]))
            """,
            list(not_from),
        )
        return int(count)

    async def now(self) -> datetime:
        """The database's clock, which all its times are of."""
        at = await self._connection.fetchval("select clock_timestamp()")
        assert isinstance(at, datetime)
        return at

    async def stale(self) -> set[str]:
        """Statements refused because something newer is known, by what they were about."""
        rows = await self._connection.fetch(
            "select distinct subject from audit where action = 'stale-refused'"
        )
        return {row["subject"] for row in rows}

    async def cases(self) -> list[CaseRow]:
        """All exception cases, closed ones too."""
        rows = await self._connection.fetch(
            "select code, word, what, place, remedy, owner, state from exception_case order by id"
        )
        return [CaseRow(**dict(row)) for row in rows]

    async def lost_answers(self) -> int:
        """Times a step was in doubt: an answer did not come, or its process died."""
        count = await self._connection.fetchval(
            "select count(*) from step_event where state = 'in_doubt'"
        )
        return int(count)

    async def waits(self) -> list[Interval]:
        """From when to when each step was in somebody's hands: a call in its target's, from the
        claim to the last doubt; an approval in its role's."""
        rows = await self._connection.fetch(
            """
            select case s.kind when 'approval' then s.owner else s.system end as who,
                   e.at as start, lead(e.at) over (partition by s.id order by e.at) as end,
                   s.kind, e.state
            from step_event e join step s on s.id = e.step_id
            """
        )
        return [
            Interval(row["who"], row["start"], row["end"])
            for row in rows
            if row["state"] in IN_HANDS.get(row["kind"], ()) and row["end"] is not None
        ]


class Target:
    """A stand-in through its control paths."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._exits = AsyncExitStack()
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = await self._exits.enter_async_context(
            aiohttp.ClientSession(f"{self.url}/_sandbox/", raise_for_status=True)
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._exits.aclose()

    async def table(self, name: str) -> list[Row]:
        """All rows of a business table."""
        rows: list[Row] = await self._get(f"table/{name}", list[dict[str, Any]])
        return rows

    async def keys(self, table: str, *columns: str) -> frozenset[tuple[str, ...]]:
        """Those columns of all rows of a business table."""
        rows = await self.table(table)
        return frozenset(tuple(row[column] for column in columns) for row in rows)

    async def totals(self) -> Row:
        """The totals of the journal."""
        journal = await self._get("journal?entries=no", dict[str, Any])
        totals: Row = journal["totals"]
        return totals

    async def add_faults(self, *rules: Row) -> None:
        """The stand-in will commit these faults."""
        async with self._session.post("faults", data=msgspec.json.encode(rules)):
            return

    async def clear_faults(self) -> None:
        """The stand-in commits no faults any more."""
        async with self._session.delete("faults"):
            return

    async def fault_hits(self) -> dict[str, int]:
        """Action -> how often it was carried out."""
        hits: Counter[str] = Counter()
        for listed in await self._get("faults", list[dict[str, Any]]):
            hits[listed["rule"]["action"]] += listed["hits"]
        return dict(hits)

    async def empty(self, table: str) -> None:
        """The table has no rows any more."""
        async with self._session.delete(f"table/{table}"):
            return

    async def remove(self, table: str, where: Mapping[str, str]) -> int:
        """The rows with these fields are gone, behind everybody's back; how many there were."""
        async with self._session.delete(f"table/{table}", params=where) as answer:
            return int(msgspec.json.decode(await answer.read())["deleted"])

    async def entries(self, kind: str = "") -> list[Entry]:
        """The journal, or its entries of one kind."""
        found = await self._get(f"journal?kind={kind}", dict[str, Any])
        return msgspec.convert(found["entries"], list[Entry])

    async def plant(self, table: str, row: bytes) -> None:
        """The table has one row more, which nobody asked for."""
        async with self._session.post(f"table/{table}", data=row):
            return

    async def _get(self, path: str, kind: type[Any]) -> Any:
        async with self._session.get(path) as answer:
            return msgspec.json.decode(await answer.read(), type=kind)
