"""Texts of materials, orders, suppliers and changes, as long as the ERP holds them."""

from __future__ import annotations

CHARS = 40


def short_text(text: str, chars: int = CHARS) -> str:
    """At most so many characters as the ERP counts them, UTF-16 units; blanks are joined."""
    joined = " ".join(text.split())
    while len(joined.encode("utf-16-le", errors="replace")) > 2 * chars:
        joined = joined[:chars] if len(joined) > chars else joined[:-1]
    return joined.rstrip()


def is_cut(text: str, chars: int = CHARS) -> bool:
    """Whether a part of the text finds no place."""
    return short_text(text, chars) != " ".join(text.split())
