"""What a day brings about although nobody sends a message: looked at once a day, told once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import msgspec

from canonical.effects import Emit
from canonical.facts import Document


class Reminder(msgspec.Struct, frozen=True):
    """An event that is due. occasion: what brings it about; for one occasion it is told once."""

    said: Emit
    occasion: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Documents that are looked at, and what is due of one of them.

    kind: of the documents, the part of their keys before "/". due: document, day in UTC -> what is
    to be told on that day; None = nothing.
    """

    kind: str
    due: Callable[[Document, date], Reminder | None]
