"""Replacing what is nobody else's business, so that messages keep their form and their joins.

Under one key the same value becomes the same replacement, whatever message it stands in, and two
values of one form never become the same. Without the key nobody can try values out. What remains
visible is the form: length, upper and lower case, the magnitude of an amount.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import shake_256
from hmac import digest
from math import isqrt, prod
from typing import Literal
from unicodedata import category

Kind = Literal["text", "amount", "number", "keep", "label"]
"""What a field holds.

text: words and numbers about persons and companies: names, addresses, phones, accounts, taxes,
    notes. amount: a price or what is made of prices. number: of an item, document or partner, by
    which messages are joined. keep: a code, unit or day. label: says what its sibling `value` is.
"""

KEY_BYTES = 32
# Shorter words stand in texts for other reasons, and so do short numbers.
MIN_SOUGHT_CHARS = 5
MIN_SOUGHT_DIGITS = 7

_DIGITS, _FROM_ONE = "0123456789", "123456789"
_LOWER = "abcdefghijklmnopqrstuvwxyz"
_UPPER = _LOWER.upper()
# Words about nobody; the second ones are replaced in their field, and not looked for elsewhere.
_TOLD_NOTHING = frozenset({"true", "false"})
_COMMON = frozenset({"other", "unknown", "default", "normal", "standard", "various", "internal"})
# Characters that are replaced as one whole; below that two values never become the same.
_PIECE_CHARS = 48
_ROUNDS = 8

_MAIL = r"(?P<local>[\w.+%'-]*\w)@(?P<domain>\w[\w-]*(?:\.\w[\w-]*)*)(?P<top>\.[A-Za-z]{2,24})"
_IBAN = r"(?P<iban>\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b)"
_PHONE = r"(?P<phone>\+[0-9](?:[ ()/.-]{0,3}[0-9]){6,17})"
_CALLED = (
    r"(?P<called>(?i:\b(?:tel|telefon|phone|fax|mobile?))\W{1,4}[0-9](?:[ ()/.-]{0,3}[0-9]){4,17})"
)
_FOUND = re.compile("|".join((_MAIL, _IBAN, _PHONE, _CALLED)))
_NUMBER = re.compile(r"([0-9](?:[0-9.,'\u00a0 ]*[0-9])?)((?:[eE][+-]?[0-9]+)?)")
_WORD = re.compile(r"\w+")


class Masker:
    """Replacements under one key, and what was replaced so far."""

    def __init__(self, key: bytes) -> None:
        """key: random, made for one export and kept nowhere."""
        self._key = key
        self._made: dict[str, str] = {}
        # First word in lower case -> what was replaced and begins with it, the longest first.
        self._sought: dict[str, list[str]] = {}

    def text(self, value: str) -> str:
        """Letters become letters of the same case, digits digits; everything else stays.

        Zeros in front of a number stay. Mail addresses and IBANs stay plausible.
        """
        if value.strip().lower() in _TOLD_NOTHING:
            return value
        if value not in self._made:
            self._made[value] = self._text(value)
            self._seek(value)
        return self._made[value]

    def amount(self, value: str) -> str:
        """The numbers in it become others of the same digits before and after the mark.

        Zeros at both ends stay, so that 25.10 and 25.1 become the same amount too. Ratios and
        order do not survive: by a common factor one known price would tell all others.
        """
        return _NUMBER.sub(lambda found: self._significant(found[1]) + found[2], value)

    def free(self, value: str) -> str:
        """The text with the mail addresses, IBANs and phone numbers in it replaced."""
        return _FOUND.sub(self._found, value)

    def swept(self, value: str) -> str:
        """The text with whatever `text` has replaced so far replaced in it too, case aside."""
        pieces: list[str] = []
        end = 0
        for word in _WORD.finditer(value):
            at = word.start()
            if at < end:
                continue
            for sought in self._sought.get(word[0].lower(), ()):
                until = at + len(sought)
                if (
                    value[at:until].lower() == sought.lower()
                    and not value[until : until + 1].isalnum()
                ):
                    pieces += [value[end:at], self._made[sought]]
                    end = until
                    break
        return "".join((*pieces, value[end:]))

    def _seek(self, value: str) -> None:
        """Remember what was replaced, without what stands around its words."""
        words = list(_WORD.finditer(value))
        if not words:
            return
        core = value[words[0].start() : words[-1].end()]
        least = MIN_SOUGHT_CHARS if any(c.isalpha() for c in core) else MIN_SOUGHT_DIGITS
        if len(core) < least or core.lower() in _COMMON:
            return
        known = self._sought.setdefault(words[0][0].lower(), [])
        if core not in known:
            known.append(core)
            known.sort(key=len, reverse=True)
            self._made.setdefault(core, self._text(core))

    def _text(self, value: str) -> str:
        pieces: list[str] = []
        end = 0
        for found in _FOUND.finditer(value):
            changed = self._found(found)
            if changed != found[0]:
                pieces += [self._plain(value[end : found.start()]), changed]
                end = found.end()
        return "".join((*pieces, self._plain(value[end:])))

    def _found(self, found: re.Match[str]) -> str:
        if found["local"]:
            domain = self._plain(found["domain"])
            return f"{self._plain(found['local'])}@{domain}{found['top']}"
        if found["iban"]:
            return self._iban(found["iban"])
        if found["called"]:
            digits = re.search("[0-9]", found[0])
            assert digits is not None
            return found[0][: digits.start()] + self._plain(found[0][digits.start() :])
        return self._plain(found[0])

    def _iban(self, written: str) -> str:
        """The same country and form with check digits that are right; no IBAN stays as it is."""
        bare = written.replace(" ", "")
        if _check_digits(bare) != bare[2:4]:
            return written
        account = self._plain(bare[4:])
        new = iter(f"{bare[:2]}{_check_digits(f'{bare[:4]}{account}')}{account}")
        return "".join(char if char == " " else next(new) for char in written)

    def _plain(self, value: str) -> str:
        alphabets = _alphabets(value)
        places = [at for at, alphabet in enumerate(alphabets) if alphabet]
        new = self._replaced(
            "".join(value[at] for at in places), [alphabets[at] for at in places], b"text"
        )
        chars = list(value)
        for at, char in zip(places, new, strict=True):
            chars[at] = char
        return "".join(chars)

    def _significant(self, written: str) -> str:
        """The digits between leading and trailing zeros replaced, whatever marks are between."""
        digits = [at for at, char in enumerate(written) if char.isdigit()]
        while digits and written[digits[0]] == "0":
            digits.pop(0)
        while digits and written[digits[-1]] == "0":
            digits.pop()
        alphabets = [_DIGITS] * len(digits)
        alphabets[:1] = alphabets[-1:] = [_FROM_ONE] * min(1, len(digits))
        new = self._replaced("".join(written[at] for at in digits), alphabets, b"amount")
        chars = list(written)
        for at, char in zip(digits, new, strict=True):
            chars[at] = char
        return "".join(chars)

    def _replaced(self, chars: str, alphabets: Sequence[str], kind: bytes) -> str:
        """Each character by one of its alphabet; never the same as before."""
        # By form alone a value has a replacement of its own. What is long, or written in letters
        # that the alphabets lack, says by itself which one it is.
        is_plain = all(char in a for char, a in zip(chars, alphabets, strict=True))
        of_its_own = "" if is_plain and len(chars) <= _PIECE_CHARS else chars
        form = "".join(alphabet[0] for alphabet in alphabets)
        tweak = b"\0".join((kind, form.encode(), of_its_own.encode("utf-8", "surrogatepass")))
        return "".join(
            self._piece(
                chars[at : at + _PIECE_CHARS],
                alphabets[at : at + _PIECE_CHARS],
                tweak + at.to_bytes(4),
            )
            for at in range(0, len(chars), _PIECE_CHARS)
        )

    def _piece(self, chars: str, alphabets: Sequence[str], tweak: bytes) -> str:
        number = 0
        for char, alphabet in zip(chars, alphabets, strict=True):
            place = alphabet.find(char)
            number = number * len(alphabet) + (place if place >= 0 else ord(char) % len(alphabet))
        number = self._next(number, prod(map(len, alphabets)), tweak)
        new: list[str] = []
        for alphabet in reversed(alphabets):
            number, place = divmod(number, len(alphabet))
            new.append(alphabet[place])
        return "".join(reversed(new))

    def _next(self, number: int, size: int, tweak: bytes) -> int:
        """The one after it, where all numbers below `size` stand in a ring in a secret order: a
        different one for each, and for none itself."""
        place = self._shuffled(number, size, tweak, back=True)
        return self._shuffled((place + 1) % size, size, tweak, back=False)

    def _shuffled(self, number: int, size: int, tweak: bytes, *, back: bool) -> int:
        """A Feistel network over the square that holds `size`, walked until it is inside again."""
        side = isqrt(size - 1) + 1
        while True:
            left, right = divmod(number, side)
            for turn in range(_ROUNDS):
                if back:
                    secret = self._secret(left, _ROUNDS - 1 - turn, side, tweak)
                    left, right = (right - secret) % side, left
                else:
                    left, right = right, (left + self._secret(right, turn, side, tweak)) % side
            number = left * side + right
            if number < size:
                return number

    def _secret(self, half: int, turn: int, side: int, tweak: bytes) -> int:
        width = side.bit_length() // 8 + 1
        seed = digest(self._key, bytes((turn,)) + half.to_bytes(width) + tweak, "sha256")
        # Eight bytes more than needed: what is left over is spread evenly enough.
        return int.from_bytes(shake_256(seed).digest(width + 8)) % side


def _alphabets(value: str) -> list[str]:
    """Of each character what it may become; "" = it stays."""
    found: list[str] = []
    in_number = False
    for char in value:
        kind = category(char)
        if kind[0] == "N":
            # A number keeps the zeros in front of it, and gets none.
            found.append(
                "" if char == "0" and not in_number else _DIGITS if in_number else _FROM_ONE
            )
            in_number = in_number or char != "0"
            continue
        in_number = False
        found.append(_UPPER if kind == "Lu" else _LOWER if kind[0] in "LM" else "")
    return found


def _check_digits(iban: str) -> str:
    """ISO 7064, mod 97-10, over the account with the country behind it."""
    moved = f"{iban[4:]}{iban[:2]}00"
    return f"{98 - int(''.join(str(int(char, 36)) for char in moved)) % 97:02}"
