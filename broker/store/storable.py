"""Texts that somebody else wrote, as PostgreSQL takes them."""

LONGEST = 2048


def storable(text: str) -> str:
    """The text without NUL and lone surrogates, which are spelled out; its beginning if long."""
    if text.isascii() and len(text) <= LONGEST and "\0" not in text:
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")[:LONGEST]
