"""How old an arrival is, and whether it is too old to tell a repeat from a first delivery: pure."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from broker.intake import Work
from canonical.errors import InvalidMessage


class Memory(msgspec.Struct, frozen=True):
    """How long repeats are known, and whose word about the age of a message counts.

    window: a message older than this may be a repeat nobody remembers. trusted: sources whose
    CloudEvents time says when the message was sent.
    """

    window: timedelta = timedelta(days=30)
    trusted: frozenset[str] = frozenset()


def sent_at(work: Work, memory: Memory) -> datetime | None:
    """When the message was sent, if somebody we trust says so; None where its age is unknown.

    An event of ours says when it was published, else when it was emitted, by its place in the log:
    one that waited long in the outbox is no late repeat, and its dedupe rows stay as long as it may
    be published again. What a foreign message says about itself counts only where its source is
    configured so: many senders stamp each try anew, or write when something happened, not when they
    said so.
    """
    attributes = work.entry.delivery.attributes
    if work.entry.logged is not None:
        return _time(attributes.get("publishtime", "")) or work.entry.logged.at
    if work.entry.delivery.source in memory.trusted:
        return _time(attributes.get("time", ""))
    return None


def refuse_late(work: Work, *, now: datetime, memory: Memory) -> Work:
    """The arrival as it is, or as a failure: older than the window, so never handled again.

    It holds no key: it is refused for good, and nothing has to wait for that. One that is still
    remembered is a repeat and gets here in vain: repeats are absorbed before anything is decided.
    Refused or not, an event emitted before the window is logged anew: its old place may be gone.
    """
    at = sent_at(work, memory)
    if work.entry.logged is not None and now - work.entry.logged.at > memory.window:
        work = replace(work, entry=replace(work.entry, logged=None))
    if at is None or now - at <= memory.window:
        return work
    failure = InvalidMessage(
        "too-old",
        f"Sent on {at:%Y-%m-%d}: repeats are not remembered for longer than"
        f" {memory.window.days} days, so it may have been handled before",
        where="time",
        remedy="If it never was handled, replay it or send it anew under an id of its own",
        owner="sender",
    )
    return replace(work, handler=None, failure=work.failure or failure)


def _time(text: str) -> datetime | None:
    """An RFC 3339 time; None where it is none or says no zone."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None
