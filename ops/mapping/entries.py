"""What a message came to as plain values, how that stands in a golden, and how two of them differ.

A golden is a JSON list of entries: [event, key, content], ["case", where, what of it] for what was
left out, or one ["refused", where, why]. In one of requests each is ["request", step, content].
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

import msgspec

from canonical.effects import Effect, Emit, Open, Put
from canonical.errors import OWNERS, Failure
from ops.mapping.translation import Translation

CASE = "case"
REFUSED = "refused"
REQUEST = "request"
FINDING = "finding"
# Of a message that its flow refuses, although it is understood.
STOPPED = "stopped"
MESSAGE = "message"
ON_RECORD = "on record"
# The path of a change that is of the whole entry, and of one that is of what it is about.
WHOLE = "(whole)"
ABOUT = "(about)"


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One thing that was said. kind: an event, or a word of those above. content: as JSON."""

    kind: str
    about: str
    content: Any


class Change(msgspec.Struct, frozen=True):
    """A canonical field that is another one. old, new: as JSON text; None where it is not there."""

    kind: str
    about: str
    path: str
    old: str | None
    new: str | None


def entries(effects: Iterable[Effect], failure: Failure | None = None) -> tuple[Entry, ...]:
    """What is held against a golden: events and cases in order, or the refusal."""
    if failure is not None:
        return (Entry(REFUSED, failure.where, fault(failure)),)
    return tuple(
        Entry(effect.event, effect.key, plain(effect.data))
        if isinstance(effect, Emit)
        else Entry(CASE, effect.where, fault(effect))
        for effect in effects
        if isinstance(effect, Emit | Open)
    )


def entries_of(translation: Translation) -> tuple[Entry, ...]:
    """What the translation is held to."""
    return entries(translation.effects, translation.failure)


def with_identity(translation: Translation) -> tuple[Entry, ...]:
    """The entries, and what else of the message makes a difference in the service: which message
    it is, its order among others, and the order of what goes on record."""
    said = entries_of(translation)
    message, handler = translation.message, translation.handler
    if translation.failure is not None or message is None or handler is None:
        return said
    envelope = message.envelope
    identity = {
        "id": envelope.id,
        "key": envelope.key,
        "time": envelope.time,
        "version": handler.version(message) if handler.version else None,
    }
    puts = [effect for effect in translation.effects if isinstance(effect, Put)]
    return (
        *said,
        Entry(MESSAGE, "", plain(identity)),
        *(Entry(ON_RECORD, p.key, {"version": p.version, "stated": p.stated}) for p in puts),
    )


def refusal(code: str, what: str) -> tuple[Entry, ...]:
    """The entries of a message that ended otherwise than in effects or a failure of ours."""
    return (Entry(REFUSED, "", {"code": code, "word": code, "what": what, "owner": OWNERS[code]}),)


def fault(said: Failure | Open) -> dict[str, str]:
    """What of a failure or a case is held against a golden."""
    return {"code": said.code, "word": said.word, "what": said.what, "owner": said.owner}


def plain(value: object) -> Any:
    """The value as JSON has it."""
    return msgspec.json.decode(msgspec.json.encode(value))


def golden_text(said: Sequence[Entry]) -> str:
    """The entries as a golden has them."""
    return msgspec.json.format(msgspec.json.encode(said), indent=2).decode() + "\n"


def read_golden(text: str) -> tuple[Entry, ...]:
    """The entries of a golden. Raises: msgspec.MsgspecError."""
    return msgspec.json.decode(text, type=tuple[Entry, ...])


def is_refused(said: Sequence[Entry]) -> bool:
    """Whether the message was refused as a whole."""
    return any(entry.kind == REFUSED for entry in said)


def changes(before: Sequence[Entry], after: Sequence[Entry]) -> tuple[Change, ...]:
    """Field by field what is different; empty where both say the same in whatever order of kinds.

    Entries of one kind belong together by what they are about, the others by their order.
    """
    kinds = dict.fromkeys(entry.kind for entry in (*before, *after))
    return tuple(
        change
        for kind in kinds
        for old, new in _pairs(
            [entry for entry in before if entry.kind == kind],
            [entry for entry in after if entry.kind == kind],
        )
        for change in _of_entry(old, new)
    )


def leaves(content: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Every scalar and every empty list or object with its path, as JSON text."""
    if isinstance(content, dict) and content:
        for name, value in content.items():
            yield from leaves(value, _below(path, name))
    elif isinstance(content, list) and content:
        for place, value in enumerate(content):
            yield from leaves(value, f"{path}[{place}]")
    else:
        yield path, _text(content)


def _pairs(
    before: list[Entry], after: list[Entry]
) -> Iterator[tuple[Entry, Entry] | tuple[Entry, None] | tuple[None, Entry]]:
    left = list(after)
    alone: list[Entry] = []
    for old in before:
        place = next((n for n, new in enumerate(left) if new.about == old.about), None)
        if place is None:
            alone.append(old)
        else:
            yield old, left.pop(place)
    for old in alone:
        place = next((n for n, new in enumerate(left) if _may_replace(new, old)), None)
        yield (old, None) if place is None else (old, left.pop(place))
    yield from ((None, new) for new in left)


def _may_replace(new: Entry, old: Entry) -> bool:
    """Events of one kind may; a step is another one where it does something else."""
    return old.kind != REQUEST or old.about.rpartition("|")[2] == new.about.rpartition("|")[2]


def _of_entry(old: Entry | None, new: Entry | None) -> Iterator[Change]:
    if old is None or new is None:
        entry = old or new
        assert entry is not None
        said = _text(entry.content)
        yield Change(entry.kind, entry.about, WHOLE, said if old else None, said if new else None)
        return
    if old.about != new.about:
        yield Change(old.kind, old.about, ABOUT, _text(old.about), _text(new.about))
    for path, was, now in _differences("", old.content, new.content):
        yield Change(old.kind, old.about, path, was, now)


def _differences(path: str, old: Any, new: Any) -> Iterator[tuple[str, str | None, str | None]]:
    match old, new:
        case dict(), dict():
            for name in dict.fromkeys((*old, *new)):
                below = _below(path, name)
                if name not in new:
                    yield from ((p, text, None) for p, text in leaves(old[name], below))
                elif name not in old:
                    yield from ((p, None, text) for p, text in leaves(new[name], below))
                else:
                    yield from _differences(below, old[name], new[name])
        case list(), list():
            yield from _of_lists(path, old, new)
        case _ if isinstance(old, dict | list) or isinstance(new, dict | list):
            yield from ((p, text, None) for p, text in leaves(old, path))
            yield from ((p, None, text) for p, text in leaves(new, path))
        # In Python, and nowhere else, 1 is True.
        case _ if old != new or type(old) is not type(new):
            yield path, _text(old), _text(new)


def _of_lists(
    path: str, old: list[Any], new: list[Any]
) -> Iterator[tuple[str, str | None, str | None]]:
    """What came or went in the middle does not make all that follows another one."""
    if len(old) == len(new):
        for place, (was, now) in enumerate(zip(old, new, strict=True)):
            yield from _differences(f"{path}[{place}]", was, now)
        return
    matcher = SequenceMatcher(None, [_text(e) for e in old], [_text(e) for e in new], False)
    for tag, i, i_end, j, j_end in matcher.get_opcodes():
        if tag == "equal":
            continue
        for was, now in zip_longest(range(i, i_end), range(j, j_end)):
            if now is None:
                yield f"{path}[{was}]", _text(old[was]), None
            elif was is None:
                yield f"{path}[{now}]", None, _text(new[now])
            else:
                yield from _differences(f"{path}[{was}]", old[was], new[now])


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
