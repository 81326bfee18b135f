"""The load: released engineering changes of some 1.5 KB, as Arena states them."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import msgspec

KEYS = 2_000
"""Changes at least; each is stated several times where there are more messages."""
AGAIN, STALE = 0.01, 0.01
"""Shares of the messages that were sent before, and that are older than what was sent before."""
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_ITEMS = 2


class Letter(msgspec.Struct, frozen=True):
    """One message: body, the id its sender gives it, and whether it is news."""

    id: str
    key: str
    body: bytes
    is_news: bool = True


def letters(number: int, *, seed: int) -> list[Letter]:
    """So many messages: news but for the shares above, no id twice but for what is sent again."""
    chance = random.Random(seed)
    written: list[Letter] = []
    versions = [0] * KEYS
    for n in range(number):
        kind = chance.random()
        if written and kind < AGAIN:
            written.append(msgspec.structs.replace(chance.choice(written[-1_000:]), is_news=False))
            continue
        change = n % KEYS
        is_stale = kind < AGAIN + STALE and versions[change] > 1
        if not is_stale:
            versions[change] += 1
        version = versions[change] - is_stale
        written.append(_letter(seed, n, change, version, is_stale=is_stale, chance=chance))
    return written


def _letter(
    seed: int, n: int, change: int, version: int, *, is_stale: bool, chance: random.Random
) -> Letter:
    number = f"ECO-{change:06}"
    # An older statement is a little older than the one that is known, and no repeat of any.
    at = _BEGIN + timedelta(hours=version, minutes=-1 if is_stale else 0)
    return Letter(
        id=f"{seed}-{n:08}",
        key=f"engineering-change/{number}",
        body=msgspec.json.encode(_statement(f"{seed}-{n:08}", number, at, chance)),
        is_news=not is_stale,
    )


def _statement(event: str, number: str, at: datetime, chance: random.Random) -> object:
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
            "lifecycleStatus": {"type": "EFFECTIVE"},
            "effectivityType": "PERMANENT_ON_APPROVAL",
            "additionalAttributes": [
                {"guid": "DV84V396K9KSU8N6XMPS", "name": "Urgency", "value": "Standard"}
            ],
        },
        "changeItems": {"count": _ITEMS, "results": [_item(chance) for _ in range(_ITEMS)]},
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
