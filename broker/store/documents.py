"""SQL for documents: what is known about items, BOMs, suppliers, coverage; and by what they are
found besides their key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import asyncpg
import msgspec

from broker.aside import MANY, aside_if
from broker.slices import slices
from broker.store.connection import Position, Tx
from canonical.codec import encode
from canonical.effects import Put
from canonical.facts import (
    DOCUMENT_TYPES,
    HISTORIES,
    SELECTIONS,
    Document,
    History,
    Known,
    Selection,
    selections_of,
)

# Decoding so much takes a millisecond or two of the event loop.
LARGE_BYTES = 256 * 1024
# A selection shows so many documents; how many more there are is said.
MOST_SELECTED = 2_000
# So many states of a document are looked through for its revisions, and so many of these shown:
# what is before them is as good as unknown.
MOST_STATES = 500
MOST_REVISIONS = 20


class Stored(msgspec.Struct, frozen=True, gc=False):
    """A document with what decides whether another statement is newer; or a selection, of which
    nobody states anything.

    version, stated: as in Put. digest: of the content. cause: id of the foreign message it goes
    back to, "" where that is not known; place: of the message that stated it in the log.
    """

    known: Known
    version: int
    stated: int
    digest: bytes
    cause: str = ""
    place: Position | None = None


class NewDocument(msgspec.Struct, frozen=True):
    """A document to write, and the message it follows from.

    cause: as in Stored. writes: messages of its batch that have stated it, of which it is the last.
    """

    put: Put
    source: str
    position: Position
    cause: str = ""
    writes: int = 1


def digest_of(put: Put) -> bytes:
    """Content digest of a document."""
    return hashlib.sha256(encode(put.document)).digest()


async def load(tx: Tx, keys: Iterable[str]) -> dict[str, Stored]:
    """The documents, selections and histories with those keys; unknown ones are missing."""
    wanted = set(keys)
    names = sorted(key for key in wanted if key.partition("/")[0] in SELECTIONS)
    past = sorted(key for key in wanted if key.partition("/")[0] in HISTORIES)
    found: dict[str, Stored] = {}
    for some in slices(names):
        found |= await _load_selections(tx, some)
    for some in slices(past):
        found |= await _load_histories(tx, some)
    stored = wanted.difference(names, past)
    for some in slices(await aside_if(len(stored) > MANY, sorted, stored)):
        rows = await tx.fetch(
            """
            select d.key, d.row_version, d.version, d.stated, d.digest, d.body, d.cause,
                   d.message_at, d.message_seq
            from document d join unnest($1::text[]) as w(key) using (key)
            """,
            some,
        )
        large = len(rows) > MANY or sum(len(r["body"]) for r in rows) > LARGE_BYTES
        found |= await aside_if(large, _as_stored, rows)
    return found


def _as_stored(rows: Sequence[asyncpg.Record]) -> dict[str, Stored]:
    return {
        r["key"]: Stored(
            known=Known(
                version=r["row_version"],
                document=msgspec.json.decode(
                    r["body"], type=DOCUMENT_TYPES[r["key"].partition("/")[0]]
                ),
            ),
            version=r["version"],
            stated=r["stated"],
            digest=r["digest"],
            cause=r["cause"],
            place=Position(r["message_at"], r["message_seq"]),
        )
        for r in rows
    }


async def _load_selections(tx: Tx, names: Sequence[str]) -> dict[str, Stored]:
    # Before the documents: what is written in between is newer than the version then, not older.
    versions = await tx.fetch(
        """
        select name, sum(changes) as version, count(*) filter (where is_in) as documents
        from selected join unnest($1::text[]) as w(name) using (name)
        group by name
        """,
        names,
    )
    rows = await tx.fetch(
        """
        select f.name, f.key, f.body from unnest($1::text[]) as w(name)
        cross join lateral (
            select s.name, d.key, d.body from selected s join document d using (key)
            where s.name = w.name and s.is_in
            order by d.key collate "C" limit $2
        ) f
        order by f.name, f.key collate "C"
        """,
        names,
        MOST_SELECTED,
    )
    large = sum(len(r["body"]) for r in rows) > LARGE_BYTES
    return await aside_if(large, _as_selections, versions, rows)


def _as_selections(
    versions: Sequence[asyncpg.Record], rows: Sequence[asyncpg.Record]
) -> dict[str, Stored]:
    documents: dict[str, list[Document]] = {r["name"]: [] for r in versions}
    for r in rows:
        kind = _selection(r["name"]).of
        found = msgspec.json.decode(r["body"], type=DOCUMENT_TYPES[kind])
        documents.setdefault(r["name"], []).append(found)
    return {
        r["name"]: Stored(
            known=Known(
                int(r["version"]),
                _selection(r["name"]).held(
                    tuple(documents[r["name"]]), max(r["documents"] - MOST_SELECTED, 0)
                ),
            ),
            version=0,
            stated=0,
            digest=b"",
        )
        for r in versions
    }


async def _load_histories(tx: Tx, names: Sequence[str]) -> dict[str, Stored]:
    rows = await tx.fetch(
        """
        select w.name, v.row_version, v.body
        from unnest($1::text[], $2::text[], $3::text[]) as w(name, key, label)
        cross join lateral (
            select f.row_version, f.body from (
                select distinct on (label) r.row_version, r.body,
                       convert_from(r.body, 'UTF8')::jsonb #>> w.label::text[] as label
                from (
                    select row_version, body from document_version
                    where key = w.key order by row_version desc limit $4
                ) r
                order by label, r.row_version desc
            ) f
            order by f.row_version desc limit $5
        ) v
        order by w.name, v.row_version desc
        """,
        list(names),
        [f"{_history(name).of}/{name.partition('/')[2]}" for name in names],
        ["{" + ",".join(_history(name).label) + "}" for name in names],
        MOST_STATES,
        MOST_REVISIONS,
    )
    large = sum(len(r["body"]) for r in rows) > LARGE_BYTES
    return await aside_if(large, _as_histories, rows)


def _as_histories(rows: Sequence[asyncpg.Record]) -> dict[str, Stored]:
    found: dict[str, list[asyncpg.Record]] = {}
    for r in rows:
        found.setdefault(r["name"], []).append(r)
    return {
        name: Stored(
            known=Known(
                those[0]["row_version"],
                _history(name).held(
                    tuple(
                        msgspec.json.decode(r["body"], type=DOCUMENT_TYPES[_history(name).of])
                        for r in those
                    )
                ),
            ),
            version=0,
            stated=0,
            digest=b"",
        )
        for name, those in found.items()
    }


def _history(name: str) -> History:
    return HISTORIES[name.partition("/")[0]]


def _selection(name: str) -> Selection:
    return SELECTIONS[name.partition("/")[0]]


async def hold_seen(tx: Tx, seen: Mapping[str, int]) -> list[str]:
    """Those of the documents that are newer than the versions seen; none of them is written by
    anybody else before the transaction has ended. Unknown ones cannot be held.

    Whoever writes one of them after that sees what this transaction has planned, and wakes it.
    """
    newer: list[str] = []
    for some in slices(sorted(seen)):
        rows = await tx.fetch(
            """
            select d.key, d.row_version
            from document d join unnest($1::text[]) as w(key) using (key)
            order by d.key for share of d
            """,
            some,
        )
        newer += [r["key"] for r in rows if r["row_version"] > seen[r["key"]]]
    return newer


async def of_kind(tx: Tx, kind: str, *, limit: int) -> dict[str, Document]:
    """Documents of that kind by key, in the order of their keys, at most so many."""
    rows = await tx.fetch(
        """
        select key, body from document
        where split_part(key, '/', 1) = $1
        order by key collate "C"
        limit $2
        """,
        kind,
        limit,
    )
    return {r["key"]: msgspec.json.decode(r["body"], type=DOCUMENT_TYPES[kind]) for r in rows}


class DocumentRow(msgspec.Struct, frozen=True):
    """A document as it is written. writes: as in NewDocument. selections: as of
    `canonical.facts.selections_of`."""

    key: str
    version: int
    stated: int
    digest: bytes
    body: bytes
    source: str
    position: Position
    cause: str
    writes: int
    selections: tuple[str, ...] | None


def as_rows(documents: Sequence[NewDocument]) -> list[DocumentRow]:
    """The documents encoded, in the order of their keys."""
    rows: list[DocumentRow] = []
    for d in sorted(documents, key=lambda d: d.put.key):
        body = encode(d.put.document)
        rows.append(
            DocumentRow(
                key=d.put.key,
                version=d.put.version,
                stated=d.put.order[1],
                digest=hashlib.sha256(body).digest(),
                body=body,
                source=d.source,
                position=d.position,
                cause=d.cause,
                writes=d.writes,
                selections=selections_of(d.put.key, d.put.document),
            )
        )
    return rows


async def store(tx: Tx, documents: Sequence[DocumentRow]) -> dict[str, int]:
    """Row versions of the documents that were written; older statements write nothing.

    Keys in `documents` are distinct and in order. The guard stands in the statement: it holds
    however many writers there are.
    """
    rows = await tx.fetch(
        """
        with written as (
            insert into document as d (key, row_version, version, stated, digest, body, source,
                                       message_at, message_seq, cause)
            select key, writes, version, stated, digest, body, source, at, seq, cause
            from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bytea[],
                        $6::text[], $7::timestamptz[], $8::bigint[], $9::text[], $10::int[])
                 as n(key, version, stated, digest, body, source, at, seq, cause, writes)
            on conflict (key) do update
            set row_version = d.row_version + excluded.row_version, version = excluded.version,
                stated = excluded.stated, digest = excluded.digest, body = excluded.body,
                source = excluded.source, message_at = excluded.message_at,
                message_seq = excluded.message_seq, cause = excluded.cause, updated_at = now()
            -- never the old over the new; the message it goes back to may be read better
            where (d.version, d.stated) < (excluded.version, excluded.stated)
               or ((d.version, d.stated) = (excluded.version, excluded.stated)
                   and d.cause = excluded.cause and d.cause <> ''
                   and (d.message_at, d.message_seq)
                       <= (excluded.message_at, excluded.message_seq))
            returning *
        ),
        kept as (
            insert into document_version (key, row_version, version, stated, digest, body, source,
                                          message_at, message_seq)
            select key, row_version, version, stated, digest, body, source, message_at, message_seq
            from written
        )
        select key, row_version from written
        """,
        [d.key for d in documents],
        [d.version for d in documents],
        [d.stated for d in documents],
        [d.digest for d in documents],
        [d.body for d in documents],
        [d.source for d in documents],
        [d.position.at for d in documents],
        [d.position.seq for d in documents],
        [d.cause for d in documents],
        [d.writes for d in documents],
    )
    written = {r["key"]: r["row_version"] for r in rows}
    await _select(tx, [d for d in documents if d.selections is not None and d.key in written])
    return written


async def _select(tx: Tx, documents: Sequence[DocumentRow]) -> None:
    """The documents are found by what they are about now, and by nothing else."""
    if not documents:
        return
    pairs = sorted((name, d.key) for d in documents for name in d.selections or ())
    await tx.execute(
        """
        with now_in as (select * from unnest($2::text[], $3::text[]) as n(name, key)),
        gone as (
            select s.name, s.key from selected s
            where s.key = any($1::text[]) and s.is_in
              and not exists (select from now_in n where (n.name, n.key) = (s.name, s.key))
        )
        insert into selected as s (name, key, is_in)
        select name, key, is_in
        from (select name, key, true from now_in union all select name, key, false from gone)
             as n(name, key, is_in)
        order by name, key
        on conflict (name, key) do update
        set is_in = excluded.is_in, changes = s.changes + 1
        """,
        [d.key for d in documents],
        [name for name, _ in pairs],
        [key for _, key in pairs],
    )
