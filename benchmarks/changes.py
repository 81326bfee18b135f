"""The load: released engineering changes of some 1.5 KB, as Arena states them."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import msgspec

KEYS = 2_000
"""Changes; each is stated several times. Fewer messages than twice as many are about fewer."""
AGAIN, STALE = 0.01, 0.01
"""Shares of the messages that were sent before, and that are older than what was sent before."""
HASTE = 0.1
"""Stale ones that are owed do not come all at once."""
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
ITEMS = 2


class Letter(msgspec.Struct, frozen=True):
    """One message: body, the id its sender gives it, whether it is news, and its contract."""

    id: str
    key: str
    body: bytes
    is_news: bool = True
    type: str = "arena.change"


def letters(
    number: int, *, seed: int, later: int = 0, series: str = "ECO", items: int = ITEMS
) -> list[Letter]:
    """So many messages: news but for the shares above, no id twice but for what is sent again.

    later: versions that each change has had before. series: what the numbers of changes begin with.
    items: of a change; each is some 500 bytes.
    """
    chance = random.Random(seed)
    written: list[Letter] = []
    keys = min(KEYS, max(number // 2, 1))
    versions = [later] * keys
    stale = 0
    for n in range(number):
        if written and chance.random() < AGAIN:
            written.append(msgspec.structs.replace(chance.choice(written[-1_000:]), is_news=False))
            continue
        change = n % keys
        # First statements cannot be stale; those that should have been come later.
        is_stale = versions[change] > later and stale < STALE * n and chance.random() < HASTE
        stale += is_stale
        if not is_stale:
            versions[change] += 1
        version = versions[change] - is_stale
        name = f"{series}-{change:06}"
        # An older statement is a little older than the one that is known, and no repeat of any.
        at = _BEGIN + timedelta(hours=version, minutes=-1 if is_stale else 0)
        written.append(
            Letter(
                id=f"{seed}-{n:08}",
                key=f"engineering-change/{name}",
                body=msgspec.json.encode(_statement(f"{seed}-{n:08}", name, at, items, chance)),
                is_news=not is_stale,
            )
        )
    return written


def _statement(event: str, number: str, at: datetime, items: int, chance: random.Random) -> object:
    return {
        "event": {"guid": event},
        "change": {
            "guid": f"GUID{number}",
            "number": number,
            "title": "Replace the gasket of the output flange by the reinforced one",
            "description": "Leakage in field test 7; the supplier's variant B has passed it.",
            "category": {"guid": "PUP5WK3RSSZFKSUHPGBL", "name": "Engineering Change Order"},
            "creator": {"guid": "6M7EQ723KJMTEY89V7JA", "fullName": "A. Engineer"},
            "lifecycleDateTime": at.isoformat().replace("+00:00", "Z"),
            "lifecycleStatus": {"type": "RELEASED"},
            "effectivityType": "PERMANENT_ON_APPROVAL",
            "additionalAttributes": [
                {"guid": "DV84V396K9KSU8N6XMPS", "name": "Urgency", "value": "Standard"}
            ],
        },
        "changeItems": {"count": items, "results": [_item(chance) for _ in range(items)]},
    }


def _item(chance: random.Random) -> object:
    number = f"XYZ-{chance.randrange(100_000):05}"
    return {
        "guid": f"{chance.getrandbits(80):020X}",
        "newItemRevision": {
            "guid": f"{chance.getrandbits(80):020X}",
            "number": number,
            "revisionNumber": "B",
            "revisionStatus": "EFFECTIVE",
        },
        "affectedItemRevision": {
            "guid": f"{chance.getrandbits(80):020X}",
            "number": number,
            "revisionNumber": "A",
        },
        "newLifecyclePhase": {"name": "In Production", "stage": "PRODUCTION"},
        "dispositionAttributes": [{"name": "In Stock", "value": "Use up"}],
    }
