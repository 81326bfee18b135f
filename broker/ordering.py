"""Order of a business object within a flow, whichever way its messages come: pure.

Events of ours carry `sequence`, the next number of their object. A flow that receives number n
and has not taken all before it takes the missing ones from the message log first; their own
deliveries then find an inbox row. So queues and lanes may overtake, effects may not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from broker.intake import Work
from broker.store.order import Claim, Gap, OrderKey, Taken


def claims(works: Iterable[Work]) -> dict[OrderKey, Claim]:
    """What to lock and to record for these messages, per (scope, key)."""
    found: dict[OrderKey, Claim] = {}
    for work in works:
        if work.order_key is None:
            continue
        was = found.get(work.order_key, Claim())
        found[work.order_key] = Claim(
            sequence=max(was.sequence, work.sequence or 0),
            newest=_max(was.newest, work.version if work.latest_wins else None),
        )
    return found


def gaps(works: Iterable[Work], taken: Mapping[OrderKey, Taken]) -> list[Gap]:
    """Where numbers are missing between what was taken and what the batch holds."""
    held: dict[OrderKey, set[int]] = {}
    for work in works:
        if work.order_key is not None and work.sequence is not None:
            held.setdefault(work.order_key, set()).add(work.sequence)
    found: list[Gap] = []
    for key, numbers in sorted(held.items()):
        done, last = taken[key].done, max(numbers)
        if any(n not in numbers for n in range(done + 1, last)):
            found.append(Gap(key, done, last))
    return found


def in_order(works: Sequence[Work], missed: Iterable[Work]) -> list[Work]:
    """The batch with the missed events put in: numbered ones of one (scope, key) by their number.

    Everything else keeps its place; an event that the batch holds is not taken from the log too.
    """
    numbered: dict[OrderKey, list[Work]] = {}
    for work in works:
        if (key := _numbered(work)) is not None:
            numbered.setdefault(key, []).append(work)
    for work in missed:
        key = _numbered(work)
        if key is not None and all(w.sequence != work.sequence for w in numbered[key]):
            numbered[key].append(work)
    for rest in numbered.values():
        rest.sort(key=lambda w: w.sequence or 0, reverse=True)
    ordered: list[Work] = []
    for work in works:
        key = _numbered(work)
        if key is None:
            ordered.append(work)
            continue
        # One place in the batch, one of its own works; what was missed goes before it.
        while numbered[key]:
            following = numbered[key].pop()
            ordered.append(following)
            if not following.caught_up:
                break
    return ordered


def _numbered(work: Work) -> OrderKey | None:
    return work.order_key if work.sequence is not None else None


def _max(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else max(a, b)
