"""Release dates that contradict the revisions they are of.

Documents of items and BOMs are ordered by the release of their revision, and revisions by their
scheme. Where a source dates an older revision after a newer one, as one does that restates an
earlier change and gives what it says a new date, neither order is right by itself: nothing is
stored, and engineering is asked.
"""

from __future__ import annotations

from canonical.bom import Bom, bom_key
from canonical.effects import Open
from canonical.facts import Document, Facts
from canonical.item import Item, Lifecycle, item_key
from canonical.revision import (
    Revision,
    RevisionsNotComparable,
    UnknownRevision,
    parse_revision,
)

# Revisions that come and go before anything is released by them.
_UNRELEASED: frozenset[Lifecycle] = frozenset({"in_design", "in_review"})


def conflict(
    before: Document, after: Document, facts: Facts, *, is_dated_later: bool
) -> Open | None:
    """A case where a statement is dated after what is known and is of an older revision, or before
    it and of a newer one; None where both say the same, or the scheme does not tell.

    facts: those of a BOM contain its item, whose scheme its revisions follow.
    """
    compared = _revisions(before, after, facts)
    if compared is None:
        return None
    key, known, stated = compared
    try:
        is_later, is_older = known < stated, stated < known
    except RevisionsNotComparable:
        return None
    if (is_older and is_dated_later) or (is_later and not is_dated_later):
        return _case(key, known, stated, is_dated_later=is_dated_later)
    return None


def _revisions(
    before: Document, after: Document, facts: Facts
) -> tuple[str, Revision, Revision] | None:
    """What both are of, and in which revisions; None for what has none, or is not released."""
    match before, after:
        case Item(), Item() if before.lifecycle not in _UNRELEASED:
            return item_key(after.number), before.revision, after.revision
        case Bom(), Bom():
            item = facts.item(after.parent)
            if item is None or item.lifecycle in _UNRELEASED:
                return None
            known, stated = _of_bom(before, item), _of_bom(after, item)
            return (bom_key(after.parent), known, stated) if known and stated else None
    return None


def _of_bom(bom: Bom, item: Item) -> Revision | None:
    """The BOM's revision as one of its item; None where only the item's source knows its order."""
    scheme = item.revision.scheme
    if parse_revision(item.revision.label, scheme).ordinal != item.revision.ordinal:
        return None
    try:
        return parse_revision(bom.revision, scheme)
    except UnknownRevision:
        return None


def _case(key: str, known: Revision, stated: Revision, *, is_dated_later: bool) -> Open:
    dated, is_one = ("later", "an older") if is_dated_later else ("earlier", "a newer")
    return Open(
        code="revision-dates",
        word="data_quality",
        what=f"{key}: revision {stated.label} is dated {dated} than {known.label}, which is known,"
        f" and is {is_one} one; {known.label} stays",
        where=f"{key}: revision {stated.label}",
        remedy="Have it stated with the day on which it was released; what is to count from now on"
        " is released as a revision of its own",
        owner="engineering",
    )
