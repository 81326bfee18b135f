"""What fields of Arena's objects mean, whichever object they stand in."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from functools import partial

import msgspec

from canonical.codec import guard
from canonical.errors import InvalidMessage
from canonical.item import Lifecycle
from canonical.members import named, shown
from canonical.own_words import OwnWords
from canonical.text import normalise_text
from handlers.systems.arena.native import AdditionalAttribute, Phase
from handlers.systems.arena.words import PHASE, STAGE

# As JSON has numbers, of a length that a quantity may have.
NUMBER = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)

_LIST_SEPARATORS = re.compile(r"[,;|]")
_UNFILLED = frozenset({b"null", b'""', b"[]"})


def lifecycle_of(phase: Phase, own: OwnWords, where: str) -> Lifecycle:
    """The life cycle by a word of the workspace's own, else by the phase's stage, else by its name.

    Raises: InvalidMessage for a phase that is in no table.
    """
    found = own.state(phase.name) or own.state(phase.stage)
    found = found or STAGE.get(phase.stage) or PHASE.get(phase.name.casefold())
    if found is None:
        raise unmapped(
            "lifecycle-unmapped",
            "life-cycle phase",
            phase.stage or phase.name,
            where,
            remedy="Map it in words of your own (rules.words) or correct it at the source",
        )
    return found


def custom_text(attributes: Iterable[AdditionalAttribute], name: str, where: str) -> str:
    """The custom field of that name with one value; several are joined for people."""
    joined = ", ".join(custom_list(attributes, name, where))
    return normalise_text(joined, where=custom_path(name, where))


def custom_list(attributes: Iterable[AdditionalAttribute], name: str, where: str) -> list[str]:
    """The values of the custom field of that name: a list of texts, or one text with separators.

    where: the object that has the fields. Raises: InvalidMessage for values of another kind.
    """
    for attribute in attributes:
        if attribute.name == name:
            decode = partial(msgspec.json.decode, attribute.value, type=str | list[str] | None)
            value = guard(decode, where=custom_path(name, where))
            values = _LIST_SEPARATORS.split(value) if isinstance(value, str) else value or []
            return [text.strip() for text in values if text.strip()]
    return []


def custom_ignored(
    attributes: Iterable[AdditionalAttribute], read: Collection[str], where: str
) -> Iterator[str]:
    """Paths to the custom fields that say something and are none of those that are read."""
    names = named(
        attribute.name
        for attribute in attributes
        if attribute.name not in read and bytes(attribute.value) not in _UNFILLED
    )
    return (custom_path(shown(name), where) for name in names)


def custom_path(name: str, where: str) -> str:
    """Path to the custom field of that name."""
    return f"{where}.additionalAttributes[{name}]"


def unmapped(
    code: str,
    what: str,
    word: str,
    where: str,
    *,
    remedy: str = "Have the word mapped or correct it at the source",
) -> InvalidMessage:
    """A word that is in no table."""
    return InvalidMessage(
        code,
        f"The {what} {word[:40]!r} is in no table",
        where=where,
        remedy=remedy,
    )
