"""Contracts that end: who still sends by one is warned by name before, and refused after. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta

import msgspec
from msgspec.structs import replace

from broker.intake import Work
from broker.store.casebook import Case
from canonical.errors import Rejected

# Time enough to plan it, and near enough to be read.
WARNED_BEFORE = timedelta(days=30)


class Ending(msgspec.Struct, frozen=True):
    """A contract by which a source is to send no more.

    last_day: on which it is taken, by UTC. owner: who answers for the source.
    """

    source: str
    contract: str
    last_day: date
    owner: str


Endings = Mapping[tuple[str, str], Ending]
"""By (source, contract)."""


def refuse_ended(work: Work, *, now: datetime, endings: Endings) -> Work:
    """The arrival as it is, or as a failure: its contract has ended.

    It waits in a case, and what follows it waits behind it: nothing is lost, and once the day is
    set anew, or by a person's word, it is tried again.
    """
    envelope = work.entry.envelope
    ending = endings.get((envelope.source, envelope.type))
    if ending is None or work.failure is not None or now.date() <= ending.last_day:
        return work
    failure = Rejected(
        "contract-ended",
        f"{ending.source} still sends {ending.contract}, which was taken until {ending.last_day}",
        where=ending.contract,
        remedy=f"Have {ending.source} send what its contracts name beside it; or set another day in"
        f" settings.sources.{ending.source}.sunset and try it again",
        owner=ending.owner,
    )
    return replace(work, failure=failure)


def warning(ending: Ending, *, today: date, messages: int) -> Case | None:
    """The case that tells the owner of a source that what it still sends ends soon; None before
    that, and afterwards, when each message says so itself.

    messages: that came since this was looked at.
    """
    days = (ending.last_day - today).days
    if not messages or not 0 <= days <= WARNED_BEFORE.days:
        return None
    return Case(
        code="contract-ends-soon",
        word="configuration",
        what=f"{ending.source} still sends {ending.contract}, which is taken until"
        f" {ending.last_day}",
        place=f"{ending.source} {ending.contract}",
        remedy="Have it send by another contract before that day; after it each message is a case",
        owner=ending.owner,
        source=ending.source,
    )
