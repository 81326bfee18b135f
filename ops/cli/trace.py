"""`layshaft trace`: the path of everything that touched a message, a change or an object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from cyclopts import Parameter

from broker.store import traces, views
from broker.store.traces import Trace, TraceLine
from canonical.events import EVENTS
from canonical.facts import DOCUMENT_TYPES
from ops.cli.output import Column, Screen, plural, put_json, screen
from ops.cli.problems import not_found
from ops.cli.session import Reading, read

FOLD_OVER = 3
NAMED_IN_FOLD = 3

# What stands before "/" in business keys: of events, of documents, and of vendor packages.
KINDS: tuple[str, ...] = tuple(
    dict.fromkeys(
        (
            *(row.key.partition("/")[0] for row in EVENTS.values()),
            *DOCUMENT_TYPES,
            "product-definition",
        )
    )
)

# A call line says what these transitions say, and more.
_SEEN_IN_CALLS = frozenset({"ready", "in_flight"})


class Story(msgspec.Struct, frozen=True):
    """The lines of one correlation id."""

    correlation_id: str
    lines: tuple[TraceLine, ...]


def show_trace(
    name: str,
    /,
    *,
    all_rows: Annotated[bool, Parameter(name="--all")] = False,
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> None:
    """Show the path of everything that touched NAME, story by story, with times.

    Parameters
    ----------
    name
        Part, supplier or change number, business key (item/GB-100), correlation id or message id.
    all_rows
        Show every transition; without it, what says the same is one line.
    """
    wanted = name.strip()
    found = read(reading, lambda tx: traces.trace(tx, wanted, KINDS)) if wanted else None
    if found is None:
        raise not_found("trace", name, read(reading, views.known_numbers)["trace"])
    if reading.is_json:
        put_json(found)
    else:
        print_trace(screen(), found, fold=not all_rows)


def print_trace(page: Screen, trace: Trace, *, fold: bool) -> None:
    """A timeline per story; offsets count from the first line of the story."""
    told = stories(trace.lines)
    changes = ", ".join(key.partition("/")[2] for key in trace.changes)
    page.line(
        f"{trace.name}  {plural(len(trace.lines), 'line')} in "
        + (plural(len(told), "story") if len(told) == 1 else f"{len(told)} stories")
        + (f", changes: {changes}" if changes else ""),
        style="bold",
    )
    for story in told:
        start = story.lines[0].at
        page.line()
        page.line(
            f"{start:%Y-%m-%d %H:%M:%S}.{start.microsecond // 1000:03d} UTC"
            f"  correlation {story.correlation_id or 'none'}",
            style="bold",
        )
        lines = told_by_calls(story.lines) if fold else list(story.lines)
        page.table(
            [
                Column("after", is_number=True),
                Column("what"),
                Column("where"),
                Column("subject", is_text=True),
                Column("", is_text=True),
            ],
            rows(lines, start, fold=fold),
        )
    if not trace.is_complete:
        page.line("There is more than is shown; trace a smaller part.")


def stories(lines: Sequence[TraceLine]) -> list[Story]:
    """The lines by correlation id, stories in the order in which they began."""
    by_id: dict[str, list[TraceLine]] = {}
    for line in lines:
        by_id.setdefault(line.correlation_id, []).append(line)
    return [Story(name, tuple(group)) for name, group in by_id.items()]


def told_by_calls(lines: Sequence[TraceLine]) -> list[TraceLine]:
    """The lines without the transitions that a call line tells already."""
    ended = {line.causation_id: line.at for line in lines if line.what == "call"}
    return [line for line in lines if not _is_told(line, ended.get(line.id))]


def _is_told(line: TraceLine, called_at: datetime | None) -> bool:
    if line.what != "step" or called_at is None:
        return False
    began = line.state in _SEEN_IN_CALLS and not line.text
    return began or (line.state == "done" and line.at >= called_at)


def call_words(line: TraceLine) -> str:
    """The exchanges of one try without what every path of that system shares."""
    words = []
    for call in line.calls:
        method, _, rest = call.partition(" ")
        path, _, status = rest.partition(" -> ")
        words.append(f"{method} {path.rsplit('/', 1)[-1]} -> {status}")
    took = f" ({line.seconds:.3f} s)" if line.seconds is not None else ""
    note = f"; {line.text}" if line.text else ""
    return f"{line.state}: {', '.join(words) or 'nothing sent'}{took}{note}"


def rows(lines: Sequence[TraceLine], start: datetime, *, fold: bool) -> Iterable[tuple[str, ...]]:
    """Cells of the lines: how long after the start, what, where, subject, and in words."""
    for group in _alike(lines) if fold else ([line] for line in lines):
        if len(group) > FOLD_OVER:
            yield _folded_row(group, start)
        else:
            for line in group:
                where = f"{line.plant} {line.system}".strip()
                yield _after(line, start), line.what, where, line.subject, _words(line)


def _folded_row(group: Sequence[TraceLine], start: datetime) -> tuple[str, ...]:
    first, last = group[0], group[-1]
    words = f"{_kind_of(first)}, until {_after(last, start)}"
    if _is_planning(first):
        verbs = Counter(_verb(line) for line in group)
        counts = ", ".join(f"{number} {verb}" for verb, number in verbs.items())
        words = f"{first.text}: {counts}"
        return _after(first, start), first.what, "", f"{len(group)} steps", words
    verb = f"{_verb(first)} " if _verb(first) else ""
    names = list(dict.fromkeys(line.subject.removeprefix(verb) for line in group))
    plants = ", ".join(sorted({line.plant for line in group} - {""}))
    rest = len(names) - NAMED_IN_FOLD
    subject = f"{verb}{len(group)} x {', '.join(names[:NAMED_IN_FOLD])}"
    subject += f" and {rest} more" if rest > 0 else ""
    return _after(first, start), first.what, f"{plants} {first.system}".strip(), subject, words


def _after(line: TraceLine, start: datetime) -> str:
    return f"+{(line.at - start).total_seconds():.3f} s"


def _verb(line: TraceLine) -> str:
    """The operation of a step or call."""
    return line.subject.partition(" ")[0] if line.what in ("step", "call") else ""


def _alike(lines: Sequence[TraceLine]) -> list[list[TraceLine]]:
    """Neighbours that say the same of other objects, together."""
    groups: list[list[TraceLine]] = []
    for line in lines:
        if groups and _likeness(groups[-1][0]) == _likeness(line):
            groups[-1].append(line)
        else:
            groups.append([line])
    return groups


def _likeness(line: TraceLine) -> tuple[str, ...]:
    """Equal for lines that may be one; plants and objects are named in the folded line."""
    if _is_planning(line):
        return line.what, line.text
    unique = line.id if line.what in ("decided", "case", "note", "ledger") else ""
    text = _kind_of(line) if line.what in ("step", "stored", "emitted", "received") else ""
    return line.what, line.system, line.state, _verb(line), text, unique


def _is_planning(line: TraceLine) -> bool:
    return line.what == "step" and line.state == "waiting" and line.text in ("planned", "replanned")


def _kind_of(line: TraceLine) -> str:
    """What all lines of a fold have in common."""
    state = line.state.replace("_", " ")
    match line.what:
        case "step":
            return f"{state}: {line.text}" if line.text else state
        case "call":
            return state
        case "received":
            return line.text.partition(",")[0]
        case _:
            return line.text


def _words(line: TraceLine) -> str:
    match line.what:
        case "call":
            return call_words(line)
        case "step":
            state = line.state.replace("_", " ")
            return f"{state}: {line.text}" if line.text else state
        case "received":
            outcome = f" -> {line.state}" if line.state else ""
            return f"{line.text}{outcome}; id {line.id}"
        case "emitted":
            # Our own event taken by our own flow is the rule; only the exception is news.
            taken = all(part.endswith(": applied") for part in line.state.split(", "))
            outcome = f" -> {line.state}" if line.state and not taken else ""
            return f"{line.text}{outcome}; id {line.id}"
        case "case":
            return f"{line.id.replace('/', ' ')} {line.state}: {line.text}"
        case "waits":
            return f"{line.state.replace('_', ' ')}: {line.text}"
        case _:
            return line.text
