"""How a text is written otherwise than its format wants it, and taken all the same: told as a
deviation, so that its sender can mend it. What it comes to is the business of who converts it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from canonical.errors import InvalidMessage
from canonical.units import to_rec20, unit

Manner = Callable[[str], str]
"""What is odd about a text of its kind, in a sentence; "" where nothing is."""

_OFFSET_WITHOUT_COLON = re.compile(r"T[0-9:.]{1,20}[+-][0-9]{4}\Z", re.ASCII)


def of_id(text: str) -> str:
    """Whether there are blanks around an id or a code."""
    if not (text[:1].isspace() or text[-1:].isspace()) or text.isspace():
        return ""
    return "There are blanks around it: left out"


def of_time(text: str) -> str:
    """Whether a time with an offset is written as RFC 3339 has it."""
    if _OFFSET_WITHOUT_COLON.search(text.rstrip()):
        return "The offset of the time has no colon"
    return of_id(text)


def of_unit_code(code: str) -> str:
    """Whether Recommendation 20 goes on having the code, which is one of its."""
    found = unit(code)
    if not found.is_deprecated:
        return ""
    return f"The unit {code} ({found.name}) is deprecated in Recommendation 20"


def unit_of(source: str) -> Manner:
    """The same of what the source calls a unit."""

    @lru_cache(maxsize=256)
    def judge(text: str) -> str:
        try:
            return of_unit_code(to_rec20(source, text)) or of_id(text)
        except InvalidMessage:
            # Whoever converts it says what is wrong.
            return of_id(text)

    return judge
