"""Short texts of materials, of what is ordered, and of changes."""

from __future__ import annotations

CHARS = 40


def short_text(text: str) -> str:
    """At most 40 characters as the ERP counts them, UTF-16 units; blanks are joined."""
    joined = " ".join(text.split())
    while len(joined.encode("utf-16-le", errors="replace")) > 2 * CHARS:
        joined = joined[:CHARS] if len(joined) > CHARS else joined[:-1]
    return joined.rstrip()


def is_cut(text: str) -> bool:
    """Whether a part of the text finds no place."""
    return short_text(text) != " ".join(text.split())
