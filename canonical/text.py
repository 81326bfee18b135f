"""Text from outside: one normal form, and the characters that are refused everywhere.

Ids are echoed as received and compared normalised; nothing here folds case or strips leading
zeros, which only the source's driver may know to be meaningless.
"""

from __future__ import annotations

import unicodedata

from canonical.errors import InvalidMessage

# Longest id any system at hand knows is 70 characters; beyond this it is not an id.
MAX_ID_CHARS = 255
MAX_TEXT_CHARS = 100_000

# Around an id these come from files and copy-and-paste and mean nothing.
_EDGE_BLANKS = " \t\r\n\u00a0"
_LINE_LAYOUT = "\t\r\n"
# Zero-width joiners change the meaning of Persian, Indic and emoji text, so prose may hold them.
_JOINERS = "\u200c\u200d"
# Letters of other scripts that are drawn like Latin ones. Beside Latin letters they disguise an id;
# an id wholly in its own script, or with a micro or ohm sign, is what it looks like.
_LATIN_TWINS = frozenset(
    "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧικνορυ"  # Greek
    "АВЕЅІЈКМНОРСТУХаеосрхуѕіј"  # noqa: RUF001 - Cyrillic, on purpose
)
# Unicode's tags for characters that are another character in disguise: full width, styled, circled.
_DISGUISES = ("<wide>", "<narrow>", "<font>", "<circle>", "<square>", "<small>")
# Drawn as nothing although they count as letters, marks or symbols.
_INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
_VARIATION_SELECTORS = "".join(map(chr, (*range(0x180B, 0x180E), *range(0xFE00, 0xFE10))))


def normalise_id(text: str, *, where: str = "", max_chars: int = MAX_ID_CHARS) -> str:
    """The form under which an id is compared: NFC without blanks around it.

    Raises: InvalidMessage for an empty or overlong id, for control, zero-width and bidi characters
        and blanks other than the plain one, and for letters that pass for others: full width,
        styled, or Greek and Cyrillic twins among Latin letters.
    """
    # The raw length is checked first: normalising costs time in proportion to hostile input.
    if len(text) > 2 * max_chars:
        raise _too_long(len(text), max_chars, where)
    trimmed = text.strip(_EDGE_BLANKS)
    if not trimmed:
        raise InvalidMessage(
            "id-empty", "The id is empty", where=where, remedy="Send the object's id"
        )
    if trimmed.isascii() and trimmed.isprintable():
        normal = trimmed
    else:
        normal = unicodedata.normalize("NFC", trimmed)
        _refuse_forbidden(normal, allowed="", where=where)
        _refuse_disguise(normal, where=where)
    if len(normal) > max_chars:
        raise _too_long(len(normal), max_chars, where)
    return normal


def received_id(text: str, *, where: str = "", max_chars: int = MAX_ID_CHARS) -> str:
    """The id as it came, to be sent back to whoever sent it: its own normal form, without blanks
    around it. What is compared is `normalise_id` of it. Raises: as `normalise_id`."""
    normalise_id(text, where=where, max_chars=max_chars)
    return text.strip(_EDGE_BLANKS)


def normalise_text(text: str, *, where: str = "", max_chars: int = MAX_TEXT_CHARS) -> str:
    """Prose in NFC; line breaks, tabs and joiners stay, other invisible characters are refused.

    Raises: InvalidMessage for NUL, control, zero-width and bidi characters and overlong text.
    """
    if len(text) > max_chars:
        raise _too_long(len(text), max_chars, where)
    if text.isascii() and text.isprintable():
        return text
    normal = unicodedata.normalize("NFC", text)
    _refuse_forbidden(normal, allowed=_LINE_LAYOUT + _JOINERS + _VARIATION_SELECTORS, where=where)
    return normal


def joined_key(kind: str, *parts: str) -> str:
    """The key `kind/part/.../last` of an object that several numbers name.

    Only the last part may hold a slash, as numbers of items do: so no two objects share a key.
    Raises: InvalidMessage where another one does.
    """
    for part in parts[:-1]:
        if "/" in part:
            raise InvalidMessage(
                "id-with-slash",
                f"{part[:40]!r} has a slash, which stands between the parts of a key",
                where=kind,
                remedy="Give the object a number without one",
            )
    return "/".join((kind, *parts))


def same_id(left: str, right: str) -> bool:
    """Whether two ids as received name the same object."""
    return normalise_id(left) == normalise_id(right)


def _refuse_forbidden(text: str, *, allowed: str, where: str) -> None:
    for position, char in enumerate(text):
        if char not in allowed and _is_forbidden(char):
            raise InvalidMessage(
                "character-forbidden",
                f"Character {position + 1} is U+{ord(char):04X}, which is invisible or a control",
                where=where,
                remedy="Remove the character at the source and send again",
            )


def _is_forbidden(char: str) -> bool:
    # Cc control, Cf format (zero-width, bidi), Cs lone surrogate, Zl and Zp separators.
    # Unassigned code points pass: they may be letters of a newer Unicode than this Python's.
    if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return True
    point = ord(char)
    noncharacter = point & 0xFFFE == 0xFFFE or 0xFDD0 <= point <= 0xFDEF
    return noncharacter or char in _INVISIBLE or char in _VARIATION_SELECTORS


def _refuse_disguise(text: str, *, where: str) -> None:
    has_latin = any("a" <= char <= "z" for char in text.lower())
    for position, char in enumerate(text):
        odd_blank = char != " " and unicodedata.category(char) == "Zs"
        styled = unicodedata.decomposition(char).startswith(_DISGUISES)
        if odd_blank or styled or (has_latin and char in _LATIN_TWINS):
            raise InvalidMessage(
                "character-lookalike",
                f"Character {position + 1} is U+{ord(char):04X}, which passes for a plain one",
                where=where,
                remedy="Write the id with plain letters, digits and blanks",
            )


def _too_long(chars: int, limit: int, where: str) -> InvalidMessage:
    return InvalidMessage(
        "text-too-long",
        f"The text has {chars} characters; at most {limit} are taken",
        where=where,
        remedy="Shorten it at the source",
    )
