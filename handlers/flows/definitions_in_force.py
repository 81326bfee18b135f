"""Which definitions of items a plan goes by: those that are in force when it acts.

Engineering releases a revision before the day from which on its change lets it hold. Another change
that contains the item, and acts before that day, is to show the revision before; once the day has
come its plan is made anew. A revision that no change with a day names is in force as it is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from canonical.bom import Bom, bom_key
from canonical.change import (
    EngineeringChange,
    RevisionEffectivities,
    revision_effectivities_key,
)
from canonical.effects import Finding
from canonical.facts import Facts, Known
from canonical.item import Item, item_key
from handlers.flows.change_scope import Awaited

_AT_ONCE = datetime.min.replace(tzinfo=UTC)
_NEVER = datetime.max.replace(tzinfo=UTC)


class Definitions(msgspec.Struct, frozen=True):
    """What is known, as a plan is to see it.

    facts: with the items and BOMs that are in force; of an item that has none, with the first that
        will be. awaited: by number, what such an item waits for.
    findings: what is not shown yet, for people.
    watched: facts with their versions, by newer ones of which something else may be in force.
    changes_at: when something else is in force next; None = never, as far as is known.
    """

    facts: Facts
    awaited: dict[str, Awaited] = {}
    findings: tuple[Finding, ...] = ()
    watched: tuple[tuple[str, int], ...] = ()
    changes_at: datetime | None = None


class _Opening(msgspec.Struct, frozen=True):
    """From when a revision is in force. by: number of the change that says so; "" = nobody does."""

    at: datetime = _AT_ONCE
    by: str = ""


def definitions_in_force(change: EngineeringChange, facts: Facts, at: datetime) -> Definitions:
    """The definitions by which a plan of the change goes that acts at that moment.

    What the change itself releases is in force for it, whatever others say of the same revision.
    """
    found: dict[str, Known] = {}
    awaited: dict[str, Awaited] = {}
    findings: list[Finding] = []
    watched: list[tuple[str, int]] = []
    days: set[datetime] = set()
    for number, newest in _items_with_days(facts):
        openings = _openings(change, number, facts)
        later = {one.at for one in openings.values() if one.at > at}
        if not later:
            continue
        key = revision_effectivities_key(number)
        watched.append((key, facts.version(key)))
        days |= later - {_NEVER}
        item = _in_force(_revisions(newest, facts.item_revisions(number)), openings, at)
        opening = openings.get(item.revision.label, _Opening())
        if opening.at > at:
            awaited[number] = _awaited(item, opening)
        if item is not newest:
            findings.append(_finding(item, newest, openings[newest.revision.label]))
            found[item_key(number)] = Known(facts.version(item_key(number)), item)
        bom = _bom_of(item, facts)
        if bom is not None:
            found[bom_key(number)] = Known(facts.version(bom_key(number)), bom)
    return Definitions(
        msgspec.structs.replace(facts, documents={**facts.documents, **found}) if found else facts,
        awaited,
        tuple(findings),
        tuple(watched),
        min(days, default=None),
    )


def _items_with_days(facts: Facts) -> Iterator[tuple[str, Item]]:
    """Known items of whose revisions a change with a day has said something."""
    for known in facts.documents.values():
        if isinstance(known.document, RevisionEffectivities) and known.document.stated:
            number = known.document.stated[0].item
            item = facts.item(number)
            if item is not None:
                yield number, item


def _openings(change: EngineeringChange, number: str, facts: Facts) -> dict[str, _Opening]:
    """By label, from when each revision is in force of which somebody says so.

    Where several changes release it, the first one lets it hold; never, where all took it back.
    """
    own = {row.new_revision for row in change.affected if row.item == number}
    found: dict[str, _Opening] = {}
    for stated in facts.revision_effectivities(number):
        if stated.revision in own:
            continue
        at = _NEVER if stated.is_withdrawn else stated.start or _AT_ONCE
        known = found.get(stated.revision)
        if known is None or at < known.at:
            found[stated.revision] = _Opening(at, stated.change)
    return found


def _revisions(newest: Item, known: tuple[Item, ...]) -> tuple[Item, ...]:
    """The newest first. What was read of the past may be older than what is known by now."""
    label = newest.revision.label
    return (newest, *(item for item in known if item.revision.label != label))


def _in_force(revisions: tuple[Item, ...], openings: dict[str, _Opening], at: datetime) -> Item:
    """The newest that is in force then, else the one that is so first."""

    def opens(item: Item) -> datetime:
        return openings.get(item.revision.label, _Opening()).at

    return next((item for item in revisions if opens(item) <= at), min(revisions, key=opens))


def _bom_of(item: Item, facts: Facts) -> Bom | None:
    """The BOM of the item's revision, where it is on record and another one is newer."""
    label = item.revision.label
    newest = facts.bom(item.number)
    if newest is None or newest.revision == label:
        return None
    revisions = facts.bom_revisions(item.number)
    return next((bom for bom in revisions if bom.revision == label), None)


def _awaited(item: Item, opening: _Opening) -> Awaited:
    what = f"{item.number} is known in revision {item.revision.label} alone"
    if opening.at == _NEVER:
        reason = f"{what}, which {opening.by} does not release any more"
        return Awaited(item.number, item_key(item.number), reason)
    reason = f"{what}, which takes effect by {opening.by}"
    return Awaited(item.number, item_key(item.number), reason, until=opening.at)


def _finding(item: Item, newest: Item, opening: _Opening) -> Finding:
    label = item.revision.label
    later = (
        f"is not released by {opening.by} any more; it is {label}"
        if opening.at == _NEVER
        else f"takes effect on {opening.at:%Y-%m-%d %H:%M} UTC by {opening.by};"
        f" until then it is {label}"
    )
    return Finding(
        "revision-to-come",
        item_key(item.number),
        f"Revision {newest.revision.label} of {item.number} {later}",
        "info",
        "engineering",
    )
