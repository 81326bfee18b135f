"""What `layshaft replay` shows people: plans, progress, and what differs in the shadow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta

from broker.differences import Difference
from broker.replay_orders import ReplayPlan
from broker.shadow import Answer, Compared
from broker.store.replays import ReplayRow
from broker.store.selections import Selection
from ops.cli.output import Column, Screen, moment, plural

WORDS = {
    "queued": "decided",
    "released": "in a case, tried again",
    "duplicates": "handled before, left alone",
    "unfinished": "on the way anyway",
    "too_old": "too old to know whether they were handled, refused",
    "not_taken": "read by no handler of today",
    "content_gone": "not there any more, the package they refer to is gone",
}

ANSWERS: dict[Answer, str] = {
    "same": "the same",
    "differs": "different",
    "not_taken": "taken by no handler",
    "not_decided": "never decided, so that there is nothing to compare with",
    "content_gone": "not there any more, the package they refer to is gone",
}


def print_plan(page: Screen, planned: ReplayPlan) -> None:
    """What is selected, what would become of it, a sample, how long it takes."""
    page.line(
        f"{planned.mode}: {plural(planned.messages, 'message')} about"
        f" {plural(planned.keys, 'business key')}",
        style="bold",
    )
    if not planned.messages:
        return
    page.line()
    page.table(
        [Column("day (UTC)"), Column("source"), Column("type"), Column("messages", is_number=True)],
        [(g.day, g.source, g.type, str(g.messages)) for g in planned.groups],
    )
    page.line()
    if planned.read < planned.messages:
        page.line(f"Of the first {planned.read}:")
    page.table(
        [Column("", is_number=True), Column("")],
        [(str(n), WORDS[fate]) for fate, n in planned.fates.items()],
    )
    page.line()
    page.line(f"The first {len(planned.sample)}", style="bold")
    page.table(
        [Column("logged (UTC)"), Column("source"), Column("type"), Column("about"), Column("")],
        [(moment(s.at), s.source, s.type, s.key, WORDS[s.fate]) for s in planned.sample],
    )
    page.line()
    page.line(
        f"At {planned.rate:g} messages per second: {_duration(planned.seconds)}, longer where live"
        " messages go first."
    )


def print_replay(page: Screen, row: ReplayRow) -> None:
    """How far it is, what it did, what became of what it queued."""
    page.line(f"Replay {row.id}  {row.mode}, {row.state}", style="bold")
    page.line()
    counts = row.counts
    page.fields(
        [
            ("selected", selection_words(row.selection)),
            ("looked at", progress(row)),
            ("queued", _number(counts.queued)),
            ("tried again", _number(counts.released)),
            ("handled before", _number(counts.duplicates)),
            ("on the way anyway", _number(counts.unfinished)),
            ("too old, refused", _number(counts.too_old)),
            ("read by no handler", _number(counts.not_taken)),
            ("package gone", _number(counts.content_gone)),
            ("taken back", _number(counts.removed)),
            ("not finished", _number(row.waiting)),
            ("in cases", f"{row.in_cases}: layshaft case list" if row.in_cases else ""),
            ("became", ", ".join(f"{n} {word}" for word, n in row.outcomes.items())),
            ("waits", row.note),
            ("rate", f"{row.rate:g} messages per second at most"),
            ("started", f"{moment(row.created_at)} UTC by {row.created_by}: {row.reason}"),
            ("ended", f"{moment(row.ended_at)} UTC" if row.ended_at else ""),
        ]
    )


def selection_words(selection: Selection) -> str:
    """What was selected, for people."""
    words = [
        *(f"type {t}" for t in selection.types),
        *(f"source {s}" for s in selection.sources),
        *(f"key {k}" for k in selection.keys),
        *(f"case {c}" for c in selection.cases),
    ]
    if selection.correlation_id:
        words.append(f"correlation {selection.correlation_id}")
    if selection.since:
        words.append(f"since {moment(selection.since)}")
    if selection.until:
        words.append(f"until {moment(selection.until)}")
    return ", ".join(words)


def progress(row: ReplayRow) -> str:
    return f"{row.counts.looked} of {row.expected}"


def one_line(row: ReplayRow) -> str:
    queued = row.counts.queued + row.counts.released
    finished = queued - row.waiting - row.in_cases
    words = f"{progress(row)} looked at, {queued} queued, {finished} finished"
    return f"{words}, {row.in_cases} in cases" if row.in_cases else words


def _number(number: int) -> str:
    return str(number) if number else ""


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"about {max(1, round(seconds))} s"
    if seconds < 3600:
        return f"about {round(seconds / 60)} min"
    return str(timedelta(seconds=round(seconds)))


def print_shadow(page: Screen, selected: int, compared: Sequence[Compared]) -> None:
    """How many are the same, and every output that differs."""
    counts = Counter(c.answer for c in compared)
    page.line(f"{plural(selected, 'message')} selected, {len(compared)} compared", style="bold")
    page.line()
    page.table(
        [Column("", is_number=True), Column("")],
        [(str(counts[answer]), words) for answer, words in ANSWERS.items() if counts[answer]],
    )
    for c in compared:
        if c.answer != "differs":
            continue
        page.line()
        page.line(f"{c.type} {c.key}  {moment(c.at)} UTC, from {c.source}, id {c.id}", style="bold")
        page.table(
            [
                Column("output", is_text=True),
                Column("field"),
                Column("was", is_text=True),
                Column("is", is_text=True),
            ],
            [row for difference in c.differences for row in _difference_rows(difference)],
        )


def _difference_rows(found: Difference) -> Iterable[tuple[str, str, str, str]]:
    if not found.fields:
        word = "" if found.change == "changed" else found.change
        yield found.what, word, found.was, found.now
    for n, field in enumerate(found.fields):
        yield found.what if n == 0 else "", field.path, field.was or "-", field.now or "-"
