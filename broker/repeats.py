"""What a message says when it is decided once more, less what it said before: pure."""

from __future__ import annotations

from collections.abc import Sequence

from broker.store.history import Said
from broker.store.outbox import Emission


def unsaid(now: Sequence[Emission], before: Sequence[Said]) -> list[Emission]:
    """What a message says now and did not say before.

    Per event and key: all it says now, but for the longest beginning of it that stands at the end
    of what it said. So the same again is nothing, and going back to what was said earlier is news.
    """
    told: dict[tuple[str, str], list[bytes]] = {}
    for event in before:
        told.setdefault((event.type, event.key), []).append(event.body)
    bodies: dict[tuple[str, str], list[bytes]] = {}
    for emission in now:
        bodies.setdefault((emission.type, emission.key), []).append(emission.body)
    skip = {about: _repeated(said, told.get(about, [])) for about, said in bodies.items()}
    fresh: list[Emission] = []
    for emission in now:
        about = (emission.type, emission.key)
        if skip[about]:
            skip[about] -= 1
        else:
            fresh.append(emission)
    return fresh


def _repeated(now: Sequence[bytes], before: Sequence[bytes]) -> int:
    """How much of the beginning of `now` is the end of `before`."""
    longest = min(len(now), len(before))
    return next((n for n in range(longest, 0, -1) if before[-n:] == now[:n]), 0)
