"""What the pages of work lists have in common: a filter is what the address says, and a list comes
in pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from urllib.parse import urlencode

import msgspec

from broker.principals import TECHNICAL_ROLES, Principal, may
from broker.store.views import TaskRow
from canonical.errors import Rejected
from ops.cli.output import plural, span

PAGE_ROWS = 50
# What is further behind is found by a narrower filter.
MOST_PAGES = 200
MOST_CHARACTERS = 100
# More names than that in one cell are counted.
_NAMED = 3

DUE: Mapping[str, tuple[str, float]] = {
    "overdue": ("overdue", 0.0),
    "day": ("due within a day", 24.0),
    "week": ("due within a week", 7 * 24.0),
}
"""By its word in an address: what a list is narrowed to, and the hours that is."""


class Paging(msgspec.Struct, frozen=True):
    """Which page of how many rows is shown. number: from 1; is_cut: there are more rows."""

    number: int
    matched: int
    is_cut: bool = False

    @property
    def first(self) -> int:
        """Number of its first row, 0 where there is none."""
        return min((self.number - 1) * PAGE_ROWS + 1, self.matched)

    @property
    def last(self) -> int:
        """Number of its last row."""
        return min(self.number * PAGE_ROWS, self.matched)

    @property
    def has_next(self) -> bool:
        """Whether another page comes."""
        return self.last < self.matched and self.number < MOST_PAGES

    @property
    def words(self) -> str:
        """Which rows of how many."""
        if not self.matched:
            return "none"
        of = f"{self.matched:,}" + (" or more" if self.is_cut else "")
        return (
            of
            if self.first == 1 and self.last == self.matched
            else (f"{self.first:,} to {self.last:,} of {of}")
        )


class Due(msgspec.Struct, frozen=True):
    """How a due time is shown. kind: of its mark; words: beside it, "" = nothing to say."""

    kind: str
    words: str


def given(query: Mapping[str, str], name: str, known: Iterable[str] | None = None) -> str:
    """What the address says of that, "" where nothing.

    Raises: Rejected("filter-invalid") where it is too long, or none of what is known.
    """
    value = query.get(name, "").strip()
    # The database has no text with a NUL.
    if len(value) > MOST_CHARACTERS or "\0" in value:
        raise invalid(name, f"has up to {MOST_CHARACTERS} characters, none of them a NUL")
    if known is not None and value and value not in known:
        raise invalid(name, f"is one of {', '.join(known)}")
    return value


def page_number(query: Mapping[str, str]) -> int:
    """Which page the address asks for.

    Raises: Rejected("filter-invalid").
    """
    text = query.get("page", "1")
    if text.isascii() and text.isdigit() and len(text) <= len(str(MOST_PAGES)):
        number = int(text)
        if 1 <= number <= MOST_PAGES:
            return number
    raise invalid("page", f"is a number from 1 to {MOST_PAGES}; narrow the filter for more")


def invalid(name: str, what: str) -> Rejected:
    """The address says something that no list is narrowed by."""
    return Rejected(
        "filter-invalid",
        "The list cannot be narrowed like that",
        where=f"{name} {what}",
        remedy="Correct the address, or begin with the list as it is",
        owner="you",
    )


def around(path: str, filters: Mapping[str, str], paging: Paging) -> tuple[str, str]:
    """Addresses of the pages before and after that one; "" where there is none."""
    before, after = str(paging.number - 1), str(paging.number + 1)
    return (
        address(path, filters, page=before) if paging.number > 1 else "",
        address(path, filters, page=after) if paging.has_next else "",
    )


def query_of(filters: Mapping[str, str], **changed: str) -> str:
    """The filters as an address has them, without what is not narrowed; "" where nothing is."""
    said = {name: value for name, value in {**filters, **changed}.items() if value}
    return urlencode(said)


def address(path: str, filters: Mapping[str, str], **changed: str) -> str:
    """The page with these filters."""
    query = query_of(filters, **changed)
    return f"{path}?{query}" if query else path


def due_of(task: TaskRow, now: datetime) -> Due:
    """How late it is, or how soon it has to be decided."""
    if task.state != "ready":
        return Due("", "")
    left = (task.due_at - now).total_seconds()
    if task.overdue_s or left < 0:
        return Due("failed", f"overdue by {span(max(task.overdue_s, -left))}")
    if left < 24 * 3600:
        return Due("held", f"due in {span(left)}")
    return Due("idle", f"due in {span(left)}")


def who_may(task: TaskRow, people: Iterable[Principal]) -> list[str]:
    """Names of those who may decide it now and have not signed, by name."""
    if task.state != "ready":
        return []
    return [
        person.name
        for person in people
        if person.name not in task.signed_by and refusal(task, person) is None
    ]


def refusal(task: TaskRow, who: Principal) -> Rejected | None:
    """Why that one may not decide it; None where they may."""
    return may(
        who,
        "task-approve",
        plants=task.plants,
        role=task.role,
        escalated_to=task.escalated_to,
        delegates=[delegate.to for delegate in task.delegates],
    )


def named(names: Iterable[str]) -> str:
    """The names, or the first ones and how many more."""
    known = list(names)
    more = len(known) - _NAMED
    return ", ".join(known[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def asks_nothing(who: Principal) -> bool:
    """Whether nobody asks that one anything, by their roles."""
    return not set(who.roles) - set(TECHNICAL_ROLES)


def counted(number: int, word: str) -> str:
    """`plural`, with the number in groups of three."""
    return plural(number, word).replace(str(number), f"{number:,}", 1)
