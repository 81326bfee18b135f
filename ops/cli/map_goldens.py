"""Samples against their goldens, as a page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import msgspec

from ops.cli.map_content import readable
from ops.cli.output import Column, Screen, plural
from ops.mapping.entries import WHOLE, Change
from ops.mapping.goldens import Compared

# Of what nobody reads, so much is named; `map dry-run` names all of it.
_MENTIONED = 5
_WORDS = {
    "changed": "says something else",
    "fails": "was understood and is refused now",
    "succeeds": "was refused and is understood now",
    "new": "has no golden",
    "gone": "a golden without its sample",
    "altered": "its golden was changed and not accepted",
}


class Before(msgspec.Struct, frozen=True):
    """How it is called what samples are compared with.

    words: of each kind of difference. heading: of a field's value there. only: of an entry that is
    nowhere else. same: of samples that do not differ. has_files: somebody keeps them.
    """

    words: Mapping[str, str]
    heading: str
    only: str
    same: str
    has_files: bool


GOLDENS = Before(_WORDS, "golden", "only in the golden", "as recorded", has_files=True)
OTHER_VERSION = Before(
    _WORDS | {"new": "says or asks for something that it did not"},
    "before",
    "only before",
    "the same",
    has_files=False,
)


def show_compared(page: Screen, found: Sequence[Compared], before: Before = GOLDENS) -> None:
    """What differs, file by file, what nobody reads of them, and how many do not differ."""
    for row in found:
        if row.differs:
            page.line(f"{row.file}: {before.words[row.word]}", style="bold")
            if row.missing and before.has_files:
                page.line(f"  missing: {', '.join(row.missing)}")
            if row.altered:
                page.line(f"  changed by hand: {', '.join(row.altered)}")
            for kind, about in dict.fromkeys((c.kind, c.about) for c in row.changes):
                of_entry = [c for c in row.changes if (c.kind, c.about) == (kind, about)]
                _show_entry(page, f"{kind}  {about}", of_entry, before)
            if row.changes:
                page.line()
    for row in found:
        if row.ignored:
            page.line(f"{row.file}: read by nobody: {_some(row.ignored)}")
    page.line(_counted(found, before))


def _show_entry(page: Screen, name: str, changes: Sequence[Change], before: Before) -> None:
    for change in changes:
        if change.path == WHOLE:
            page.line(f"  {name}: {before.only if change.new is None else 'new'}")
            content = json.loads(change.old or change.new or "null")
            page.fields((f"    {path}", text) for path, text in readable(content))
    fields = [change for change in changes if change.path != WHOLE]
    if fields:
        page.line(f"  {name}")
        page.table(
            [
                Column("    field"),
                Column(before.heading, is_text=True),
                Column("now", is_text=True),
            ],
            [(f"    {change.path}", _told(change.old), _told(change.new)) for change in fields],
        )


def _some(paths: Sequence[str]) -> str:
    more = len(paths) - _MENTIONED
    return ", ".join(paths[:_MENTIONED]) + (f" and {more} more" if more > 0 else "")


def _told(text: str | None) -> str:
    return "-" if text is None else text


def _counted(found: Sequence[Compared], before: Before) -> str:
    same = sum(row.word == "same" for row in found)
    different = sum(row.differs for row in found)
    foreign = sum(row.word == "foreign" for row in found)
    others = f"; {plural(foreign, 'other file')} nobody recognises" if foreign else ""
    return f"{plural(same + different, 'sample')}: {same} {before.same}, {different} not{others}."
