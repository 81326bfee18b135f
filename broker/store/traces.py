"""The read model behind `trace`: everything that touched a message, a change or an object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, cast

import msgspec

from broker.store.connection import Tx

LINES_LIMIT = 5_000
STORY_LIMIT = 1_000
CASES_LIMIT = 200
# A causes B causes C ...: deeper than any story of ours, and an end for a forged ring.
MAX_CAUSES = 10

What = Literal[
    "received", "repeat", "stored", "emitted", "ledger", "step", "call", "decided", "waits",
    "case", "note",
]  # fmt: skip
Match = Literal["message", "correlation", "key", "object"]

# Lines of one commit carry one time; this is the order in which they came about.
_RANK: dict[str, int] = {
    "received": 0, "repeat": 1, "stored": 2, "emitted": 3, "ledger": 4, "decided": 5, "call": 6,
    "step": 7, "waits": 8, "case": 9, "note": 10,
}  # fmt: skip

_ACTIONS = {
    "task-commented": "commented on",
    "stale-refused": "older than what is known, so nothing was written",
    "change-paused": "paused",
    "change-resumed": "resumed",
    "replan-consented": "planned otherwise with consent",
    "change-cancelled": "cancelled",
    "change-undone": "undone",
    "step-skipped": "skipped",
    "step-restarted": "restarted",
}


class TraceLine(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened.

    subject: business key, or "<operation> <object>" of a step. state: of the step, outcome of the
    message. calls: "METHOD /path -> status" of one try, in order. seconds: how long it took.
    """

    at: datetime
    what: What
    subject: str
    text: str
    correlation_id: str
    id: str = ""
    causation_id: str = ""
    change: str = ""
    plant: str = ""
    system: str = ""
    state: str = ""
    calls: tuple[str, ...] = ()
    seconds: float | None = None


class Trace(msgspec.Struct, frozen=True):
    """What is known about `name`.

    matched: how the name was understood. changes: ledgers in which it occurs.
    is_complete: False where a limit cut the lines.
    """

    name: str
    matched: tuple[Match, ...]
    changes: tuple[str, ...]
    lines: tuple[TraceLine, ...]
    is_complete: bool


class _Messages(msgspec.Struct, frozen=True):
    """Positions in the log, as two parallel columns, and the keys those messages are about."""

    ats: list[datetime]
    seqs: list[int]
    keys: list[str]


async def trace(tx: Tx, name: str, kinds: Sequence[str]) -> Trace | None:
    """Everything that touched what `name` names; None where nothing is known of it.

    name: message id, correlation id, business key, or the part of one after "/".
    kinds: the words that stand before "/" in business keys.
    """
    keys = [name] if "/" in name else [f"{kind}/{name}" for kind in kinds]
    bare = name.partition("/")[2] or name
    story = await _story(tx, name)
    ledgers = await tx.fetch(
        """
        select l.*, l.key = any($1) as is_named from ledger l
        where l.key = any($1) or l.correlation_id = any($2)
           or l.id in (select s.ledger_id from step s
                       -- part of a compound object id too: an info record is <supplier>/<item>
                       where s.object_id = $3 or $3 = any(string_to_array(s.object_id, '/')))
        """,
        keys,
        story,
        bare,
    )
    named = {r["id"] for r in ledgers if r["is_named"]}
    whole = [*story, *(r["correlation_id"] for r in ledgers if r["id"] in named)]
    messages = await _messages(tx, keys, whole, [r["id"] for r in ledgers])
    step_ids = await _steps(tx, sorted(named), story, bare)
    lines = [
        *await _message_lines(tx, messages),
        *await _repeat_lines(tx, messages),
        *await _document_lines(tx, messages, keys, whole=bool(whole)),
        *_ledger_lines([dict(r) for r in ledgers]),
        *await _step_lines(tx, step_ids),
        *await _call_lines(tx, step_ids),
        *await _decision_lines(tx, step_ids),
        *await _waiting_lines(tx, messages),
        *await _case_lines(
            tx,
            messages,
            [*keys, *(r["key"] for r in ledgers if r["correlation_id"] in story)],
            [r["key"] for r in ledgers],
            bare,
        ),
        *await _note_lines(tx, keys, messages.keys, whole),
    ]
    known = {*messages.keys, *(line.subject for line in lines)}
    is_known = bool(named) or not known.isdisjoint(keys)
    is_part = bool(step_ids) and not named
    matched = _matched(story, messages, is_known=is_known, is_part=is_part)
    if not lines or not matched:
        return None
    lines.sort(key=lambda line: (line.at, _RANK[line.what]))
    return Trace(
        name=name,
        matched=matched,
        changes=tuple(sorted({r["key"] for r in ledgers})),
        lines=tuple(lines[:LINES_LIMIT]),
        is_complete=len(lines) <= LINES_LIMIT and len(messages.ats) < STORY_LIMIT,
    )


def _matched(
    story: Sequence[str], messages: _Messages, *, is_known: bool, is_part: bool
) -> tuple[Match, ...]:
    """is_known: as a business key. is_part: as an object of steps of other changes."""
    found: list[Match] = []
    if story:
        found.append("correlation")
    if is_known:
        found.append("key")
    if is_part and not story:
        found.append("object")
    if not found and messages.ats:
        found.append("message")
    return tuple(found)


async def _story(tx: Tx, name: str) -> list[str]:
    """Correlation ids of the messages with that id, or the name itself if it is one."""
    rows = await tx.fetch(
        """
        select correlation_id from message where id = $1
        union select correlation_id from message where correlation_id = $1
        -- its messages may have left the log long ago
        union select correlation_id from ledger where correlation_id = $1
        limit 20
        """,
        name,
    )
    if not rows:
        # The AMQP message id is no key of ours: looked for last, in what came lately.
        rows = await tx.fetch(
            """
            select distinct correlation_id from message
            where message_id = $1 and at > now() - interval '2 days' limit 20
            """,
            name,
        )
    return [r["correlation_id"] for r in rows]


async def _messages(
    tx: Tx, keys: Sequence[str], stories: Sequence[str], ledger_ids: Sequence[int]
) -> _Messages:
    """Messages about the keys or of the stories, what the documents and ledgers follow from, and
    what caused all of those."""
    rows = await tx.fetch(
        """
        with recursive touching as (
            select at, seq, key, causation_id, 0 as depth from message where key = any($1)
            union
            select at, seq, key, causation_id, 0 from message where correlation_id = any($2)
            union
            select m.at, m.seq, m.key, m.causation_id, 0
            from document_version d
            join message m on m.at = d.message_at and m.seq = d.message_seq
            where d.key = any($1)
            union
            select m.at, m.seq, m.key, m.causation_id, 0
            from ledger l join message m on m.at = l.message_at and m.seq = l.message_seq
            where l.id = any($3)
        ),
        caused as (
            select * from touching
            union
            select m.at, m.seq, m.key, m.causation_id, c.depth + 1
            from caused c join message m on m.id = c.causation_id
            where c.causation_id <> '' and c.depth < $4
        )
        select distinct at, seq, key from caused order by at, seq limit $5
        """,
        keys,
        stories,
        ledger_ids,
        MAX_CAUSES,
        STORY_LIMIT,
    )
    return _Messages(
        [r["at"] for r in rows], [r["seq"] for r in rows], sorted({r["key"] for r in rows} - {""})
    )


async def _steps(
    tx: Tx, ledger_ids: Sequence[int], stories: Sequence[str], object_id: str
) -> list[int]:
    """Steps of those ledgers and stories; else those about the object and what they stand behind:
    approvals and waits."""
    rows = await tx.fetch(
        """
        with about as (
            select s.id, s.ledger_id, s.depends_on from step s
            where s.ledger_id = any($1)
               or s.ledger_id in (select id from ledger where correlation_id = any($2))
               or s.object_id = $3 or $3 = any(string_to_array(s.object_id, '/'))
        )
        select id from about
        union
        select s.id from about a join step s on s.ledger_id = a.ledger_id
             and s.identity = any(a.depends_on) and s.kind in ('approval', 'wait')
        order by 1 limit $4
        """,
        ledger_ids,
        stories,
        object_id,
        LINES_LIMIT,
    )
    return [r["id"] for r in rows]


async def _message_lines(tx: Tx, messages: _Messages) -> list[TraceLine]:
    rows = await tx.fetch(
        """
        select m.at, m.seq, m.direction, m.source, m.id, m.type, m.key, m.correlation_id,
               m.causation_id, m.kind, m.content_type, octet_length(m.body) as bytes,
               i.outcomes, o.id is not null as is_unsent
        from unnest($1::timestamptz[], $2::bigint[]) as w(at, seq)
        join message m using (at, seq)
        left join lateral (
            select string_agg(distinct subscription || ': ' || outcome, ', ') as outcomes
            from inbox where message_at = m.at and message_seq = m.seq
              and source = m.source and id = m.id
        ) i on true
        left join outbox o on o.message_at = m.at and o.message_seq = m.seq
        """,
        messages.ats,
        messages.seqs,
    )
    return [_message_line(dict(r)) for r in rows]


def _message_line(r: dict[str, object]) -> TraceLine:
    if r["direction"] == "in":
        text = f"from {r['source']} as {r['type']}, {r['bytes']} bytes"
        if r["content_type"]:
            text += f" {r['content_type']}"
        what: What = "received"
    else:
        text = f"{r['kind']}" + (", not confirmed by the broker yet" if r["is_unsent"] else "")
        what = "emitted"
    return TraceLine(
        at=cast(datetime, r["at"]),
        what=what,
        subject=cast(str, r["key"]),
        text=text,
        correlation_id=cast(str, r["correlation_id"]),
        id=cast(str, r["id"]),
        causation_id=cast(str, r["causation_id"]),
        system=cast(str, r["source"]),
        state=cast("str | None", r["outcomes"]) or "",
    )


async def _repeat_lines(tx: Tx, messages: _Messages) -> list[TraceLine]:
    """The same message again, absorbed: one line a message and consumer."""
    rows = await tx.fetch(
        """
        select max(d.at) as at, count(*) as times, d.subscription, m.key, m.id, m.correlation_id,
               m.source
        from unnest($1::timestamptz[], $2::bigint[]) as w(at, seq)
        join message m using (at, seq)
        join duplicate d on d.source = m.source and d.id = m.id
        group by d.subscription, m.key, m.id, m.correlation_id, m.source
        """,
        messages.ats,
        messages.seqs,
    )
    return [
        TraceLine(
            at=r["at"],
            what="repeat",
            subject=r["key"],
            text=f"came {r['times']} more time(s) for {r['subscription']}: absorbed",
            correlation_id=r["correlation_id"],
            id=r["id"],
            system=r["source"],
        )
        for r in rows
    ]


async def _document_lines(
    tx: Tx, messages: _Messages, keys: Sequence[str], *, whole: bool
) -> list[TraceLine]:
    """Versions of the documents; of whole stories all that their messages stated."""
    rows = await tx.fetch(
        """
        select d.key, d.row_version, d.source, d.stored_at, coalesce(m.id, '') as id,
               coalesce(m.correlation_id, '') as correlation_id
        from document_version d
        left join message m on m.at = d.message_at and m.seq = d.message_seq
        where d.key = any($1)
        union
        select d.key, d.row_version, d.source, d.stored_at, m.id, m.correlation_id
        from unnest($2::timestamptz[], $3::bigint[]) as w(at, seq)
        join message m using (at, seq)
        join document_version d on d.message_at = m.at and d.message_seq = m.seq
        where $4
        """,
        keys,
        messages.ats,
        messages.seqs,
        whole,
    )
    return [
        TraceLine(
            at=r["stored_at"],
            what="stored",
            subject=r["key"],
            text=f"version {r['row_version']}",
            correlation_id=r["correlation_id"],
            causation_id=r["id"],
            system=r["source"],
        )
        for r in rows
    ]


def _ledger_lines(ledgers: Sequence[dict[str, object]]) -> list[TraceLine]:
    lines = []
    for r in ledgers:
        for column, text in (
            ("opened_at", "ledger opened"),
            ("planned_at", "planned again"),
            ("completed_at", "every step is settled"),
        ):
            at = cast("datetime | None", r[column])
            if at is None or (column == "planned_at" and at == r["opened_at"]):
                continue
            lines.append(
                TraceLine(
                    at=at,
                    what="ledger",
                    subject=cast(str, r["key"]),
                    text=f"{text}: {r['title']}",
                    correlation_id=cast(str, r["correlation_id"]),
                    change=cast(str, r["key"]),
                    state=cast(str, r["ends_as"]) if column == "completed_at" else "open",
                )
            )
    return lines


async def _step_lines(tx: Tx, step_ids: Sequence[int]) -> list[TraceLine]:
    rows = await tx.fetch(
        """
        select e.at, e.state, e.note, s.id, s.plant, s.system, s.verb, s.object_kind, s.object_id,
               l.key as ledger_key, l.correlation_id
        from unnest($1::bigint[]) as w(id)
        join step s using (id) join step_event e on e.step_id = s.id
        join ledger l on l.id = s.ledger_id
        order by e.at, s.id limit $2
        """,
        step_ids,
        LINES_LIMIT + 1,
    )
    return [
        TraceLine(
            at=r["at"],
            what="step",
            subject=_step_subject(r["verb"], r["object_kind"], r["object_id"]),
            text=r["note"],
            correlation_id=r["correlation_id"],
            id=f"step/{r['id']}",
            change=r["ledger_key"],
            plant=r["plant"],
            system=r["system"],
            state=r["state"],
        )
        for r in rows
    ]


async def _call_lines(tx: Tx, step_ids: Sequence[int]) -> list[TraceLine]:
    rows = await tx.fetch(
        """
        select a.started_at, a.ended_at, a.number, a.calls, a.outcome, a.note, s.id, s.plant,
               s.system, s.verb, s.object_kind, s.object_id, l.key as ledger_key, l.correlation_id
        from unnest($1::bigint[]) as w(id)
        join step s using (id) join attempt a on a.step_id = s.id
        join ledger l on l.id = s.ledger_id
        order by a.ended_at, s.id limit $2
        """,
        step_ids,
        LINES_LIMIT + 1,
    )
    return [
        TraceLine(
            at=r["ended_at"],
            what="call",
            subject=_step_subject(r["verb"], r["object_kind"], r["object_id"]),
            text=r["note"],
            correlation_id=r["correlation_id"],
            id=f"step/{r['id']}/try/{r['number']}",
            causation_id=f"step/{r['id']}",
            change=r["ledger_key"],
            plant=r["plant"],
            system=r["system"],
            state=r["outcome"],
            calls=msgspec.json.decode(r["calls"], type=tuple[str, ...]),
            seconds=round((r["ended_at"] - r["started_at"]).total_seconds(), 6),
        )
        for r in rows
    ]


async def _decision_lines(tx: Tx, step_ids: Sequence[int]) -> list[TraceLine]:
    rows = await tx.fetch(
        """
        select d.at, d.verdict, d.by_whom, d.reason, s.id, s.plant, s.system, s.verb,
               s.object_kind, s.object_id, l.key as ledger_key, l.correlation_id
        from unnest($1::bigint[]) as w(id)
        join step s using (id) join decision d on d.step_id = s.id
        join ledger l on l.id = s.ledger_id
        """,
        step_ids,
    )
    return [
        TraceLine(
            at=r["at"],
            what="decided",
            subject=_step_subject(r["verb"], r["object_kind"], r["object_id"]),
            text=f"{r['verdict']} by {r['by_whom']}: {r['reason']}",
            correlation_id=r["correlation_id"],
            id=f"step/{r['id']}",
            change=r["ledger_key"],
            plant=r["plant"],
            system=r["system"],
            state=r["verdict"],
        )
        for r in rows
    ]


async def _waiting_lines(tx: Tx, messages: _Messages) -> list[TraceLine]:
    """Messages with unfinished work now."""
    rows = await tx.fetch(
        """
        select p.created_at, p.subscription, p.state, p.reason, p.attempts, p.due_at, m.key, m.id,
               m.correlation_id
        from unnest($1::timestamptz[], $2::bigint[]) as w(at, seq)
        join message m using (at, seq)
        join pending p on p.message_at = m.at and p.message_seq = m.seq
        """,
        messages.ats,
        messages.seqs,
    )
    return [
        TraceLine(
            at=r["created_at"],
            what="waits",
            subject=r["key"],
            text=f"{r['subscription']}: {r['reason']} ({r['attempts']} tries so far)",
            correlation_id=r["correlation_id"],
            causation_id=r["id"],
            state=r["state"],
        )
        for r in rows
    ]


async def _case_lines(
    tx: Tx, messages: _Messages, keys: Sequence[str], ledger_keys: Sequence[str], name: str
) -> list[TraceLine]:
    """Cases of these messages and keys, and those of these ledgers that name the object."""
    rows = await tx.fetch(
        """
        select c.*, coalesce(m.correlation_id, l.correlation_id, '') as correlation_id
        from exception_case c
        left join message m on m.at = c.message_at and m.seq = c.message_seq
        left join ledger l on l.key = c.ledger_key
        where c.key = any($1) or c.ledger_key = any($1)
           or exists (select from unnest($2::timestamptz[], $3::bigint[]) as w(at, seq)
                      where w.at = c.message_at and w.seq = c.message_seq and c.ledger_key = '')
           or (c.ledger_key = any($4) and strpos(c.place || ' ' || c.what, $5) > 0)
        order by c.opened_at limit $6
        """,
        keys,
        messages.ats,
        messages.seqs,
        ledger_keys,
        name,
        CASES_LIMIT,
    )
    lines = []
    for r in rows:
        opened = TraceLine(
            at=r["opened_at"],
            what="case",
            subject=r["place"],
            text=f"{r['code']}: {r['what']}; {r['owner']}: {r['remedy']}",
            correlation_id=r["correlation_id"],
            id=f"case/{r['id']}",
            change=r["ledger_key"],
            state="open" if r["state"] == "open" else "opened",
        )
        lines.append(opened)
        if r["closed_at"] is not None:
            lines.append(
                msgspec.structs.replace(
                    opened, at=r["closed_at"], text=f"closed by {r['closed_by']}", state="resolved"
                )
            )
    return lines


async def _note_lines(
    tx: Tx, keys: Sequence[str], others: Sequence[str], stories: Sequence[str]
) -> list[TraceLine]:
    """Audit rows about the keys, e.g. a stale statement that was refused; about the other keys
    only those of these stories. Decisions and cases have lines of their own."""
    rows = await tx.fetch(
        """
        select at, actor, action, subject, correlation_id, detail from audit
        where action not in ('approved', 'rejected', 'case-opened')
          and (subject = any($1) or (subject = any($2) and correlation_id = any($3)))
        order by id limit $4
        """,
        keys,
        others,
        stories,
        CASES_LIMIT,
    )
    return [
        TraceLine(
            at=r["at"],
            what="note",
            subject=r["subject"],
            text=_note_text(r["action"], r["actor"], detail),
            correlation_id=r["correlation_id"],
            causation_id=str(detail.get("message", "")),
            state=r["action"],
        )
        for r in rows
        for detail in [msgspec.json.decode(r["detail"], type=dict[str, Any])]
    ]


def _note_text(action: str, actor: str, detail: Mapping[str, Any]) -> str:
    words = _ACTIONS.get(action, action)
    if "identity" in detail:
        words += f" {detail['identity']}"
    if detail.get("reason"):
        words += f": {detail['reason']}"
    return f"{words} (by {actor})"


def _step_subject(verb: str, object_kind: str, object_id: str) -> str:
    return f"{verb} {object_kind}/{object_id}"
