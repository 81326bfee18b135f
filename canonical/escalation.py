"""Who is told, and may act too, when a decision or a failed call waits too long.

A part of the rules, `[[rules.escalations]]`; docs/due-times.md shows all of it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from canonical.operations import CALLS
from canonical.working_time import WorkingCalendar, after

ANY = "*"


class Escalation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One rule; several for one question or operation are its levels.

    question: of decisions. operation: word of calls that failed and that nobody has mended; "*" =
        any. One of the two is stated.
    share, past_due_s: when: at that share of the time that the step has, or so many seconds after
        it is due; both in the working time in which it is due. One of the two is stated.
    to: the role that may decide too; of a failed call, who gets the case.
    """

    to: str
    question: str = ""
    operation: str = ""
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    past_due_s: Annotated[int, msgspec.Meta(ge=0, le=31_622_400)] | None = None

    def __post_init__(self) -> None:
        if not self.to.strip():
            raise ValueError("An escalation goes to nobody: name a role")
        if bool(self.question) == bool(self.operation):
            raise ValueError(
                f"The escalation to {self.to} is for a question or an operation: name one of them"
            )
        if (self.share is None) == (self.past_due_s is None):
            raise ValueError(f"The escalation to {self.to} has a share or past_due_s: state one")
        if self.operation and self.operation != ANY and self.operation not in CALLS:
            raise ValueError(f"{self.operation!r} is no operation that a system could refuse")

    @property
    def about(self) -> str:
        """What it is for, in words."""
        return f"question {self.question}" if self.question else f"operation {self.operation}"

    def at(
        self, *, since: datetime, due_s: float, due_at: datetime, calendar: WorkingCalendar | None
    ) -> datetime:
        """When it is time: of a step that has due_s from since, and is due at due_at."""
        if self.share is not None:
            return after(calendar, since, due_s * self.share)
        assert self.past_due_s is not None
        return after(calendar, due_at, self.past_due_s)
