"""Who is told, and may act too, when a decision, a refusal or a failed call waits too long, or what
people have stopped stands still for too long.

A part of the rules, `[[rules.escalations]]`; docs/due-times.md shows all of it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from canonical.operations import CALLS
from canonical.working_time import WorkingCalendar, after

ANY = "*"
HELD = ("system", "plant", "flow", "change")


class Escalation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One rule; several for one question or operation are its levels.

    question: of decisions. refused: question that was answered by no, and of which nobody has
        mended what it rests on. operation: word of calls that failed and that nobody has mended;
        "*" = any. hold: what people have stopped: a kind of hold ("system", "plant", "flow"),
        "change" for one that is paused, "*" = any. One of the four is stated.
    share, past_due_s: when: at that share of the time that the step has, or so many seconds after
        it is due; both in the working time in which it is due. One of the two is stated.
    to: the role that may decide too; of anything else, who gets the case.
    """

    to: str
    question: str = ""
    refused: str = ""
    operation: str = ""
    hold: str = ""
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    past_due_s: Annotated[int, msgspec.Meta(ge=0, le=31_622_400)] | None = None

    def __post_init__(self) -> None:
        if not self.to.strip():
            raise ValueError("An escalation goes to nobody: name a role")
        if sum(map(bool, (self.question, self.refused, self.operation, self.hold))) != 1:
            raise ValueError(
                f"The escalation to {self.to} is for a question, a refused one, an operation or a"
                " hold: name one of them"
            )
        if (self.share is None) == (self.past_due_s is None):
            raise ValueError(f"The escalation to {self.to} has a share or past_due_s: state one")
        if self.operation and self.operation != ANY and self.operation not in CALLS:
            raise ValueError(f"{self.operation!r} is no operation that a system could refuse")
        if self.hold and self.hold not in (ANY, *HELD):
            raise ValueError(f"{self.hold!r} is nothing that could be held: {', '.join(HELD)}")

    @property
    def about(self) -> str:
        """What it is for, in words."""
        if self.refused:
            return f"refused {self.refused}"
        if self.hold:
            return f"hold {self.hold}"
        return f"question {self.question}" if self.question else f"operation {self.operation}"

    def at(
        self, *, since: datetime, due_s: float, due_at: datetime, calendar: WorkingCalendar | None
    ) -> datetime:
        """When it is time: of a step that has due_s from since, and is due at due_at."""
        if self.share is not None:
            return after(calendar, since, due_s * self.share)
        assert self.past_due_s is not None
        return after(calendar, due_at, self.past_due_s)
