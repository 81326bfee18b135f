"""How much of a system's quotas is used, and when there is some left: pure, counted in buckets.

A vendor allows so many calls in any stretch of a length. Counted is what was taken, in buckets of a
twentieth of that length by one clock. What was taken is used within another twentieth, or lost.
So a call that is made now was taken at most a twentieth ago, and every call of the last length was
taken in this bucket or one of the 21 before: as long as these hold no more than is allowed, no
stretch of that length has more calls, wherever it begins.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

BUCKETS = 20
COUNTED = BUCKETS + 2
"""This bucket and 21 before: 20 cover a length, one the part of it that the first one has before,
one what is used a bucket after it was taken."""


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """So many calls of a system are allowed in any stretch of `per_s` seconds.

    api: the paths that count, by how they begin; "" = all. reserve: share of it that only the
    critical lane may use. margin: calls that stay unused: one that was begun in time may be counted
    by the vendor when it arrives; None = a fiftieth, and one at least where there are several.
    """

    limit: int
    per_s: float
    api: str = ""
    reserve: float = 0.1
    margin: int | None = None

    def __post_init__(self) -> None:
        if self.limit < 1 or self.per_s < 1:
            raise ValueError("a quota allows a call at least, in a second or more")
        if not 0 <= self.reserve < 1 or not 0 <= (self.margin or 0) < self.limit:
            raise ValueError("reserve and margin of a quota leave something of it")

    @property
    def bucket_s(self) -> float:
        """Seconds of a bucket, within which what was taken is used or lost."""
        return self.per_s / BUCKETS

    def bucket(self, at_s: float) -> int:
        """Number of the bucket at that second of the clock."""
        return math.floor(at_s / self.bucket_s)

    def usable(self, *, critical: bool) -> int:
        """Calls that may be taken in all that is counted: by the critical lane, or by another."""
        margin = self.margin
        if margin is None:
            margin = min(max(1, math.ceil(self.limit / 50)), self.limit - 1)
        most = self.limit - margin
        return most if critical else max(1, math.floor(most * (1 - self.reserve)))


Taken = Mapping[int, int]
"""Calls that were taken, by bucket."""


def left(quota: Quota, taken: Taken, bucket: int, *, critical: bool) -> int:
    """Calls that may be taken in that bucket still; 0 or more."""
    counted = sum(n for b, n in taken.items() if bucket - COUNTED < b <= bucket)
    return max(0, quota.usable(critical=critical) - counted)


def opens_at_s(quota: Quota, taken: Taken, now_s: float, *, critical: bool) -> float:
    """The second of the clock from which on a call may be taken; now where one may."""
    bucket = quota.bucket(now_s)
    if left(quota, taken, bucket, critical=critical):
        return now_s
    later = (b + COUNTED for b in sorted(taken) if b + COUNTED > bucket)
    opens = next((b for b in later if left(quota, taken, b, critical=critical)), bucket + COUNTED)
    return opens * quota.bucket_s


def counted_from(quota: Quota, now_s: float) -> int:
    """The first bucket that counts; what is before may be forgotten."""
    return quota.bucket(now_s) - COUNTED + 1


class Told(msgspec.Struct, frozen=True):
    """What a vendor says of a quota with that limit: so many calls remain."""

    limit: int
    remaining: int


_LIMITS = ("ratelimit-limit", "x-ratelimit-limit", "x-rate-limit-limit")
_REMAINING = ("ratelimit-remaining", "x-ratelimit-remaining", "x-rate-limit-remaining")
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)


def told_by(headers: Mapping[str, str]) -> Told | None:
    """What the headers of an answer say in the words that most vendors use; None where nothing, or
    nothing that makes sense. headers: names in lower case."""
    limit, remaining = _number(headers, _LIMITS), _number(headers, _REMAINING)
    if limit is None or remaining is None:
        return None
    return Told(limit, remaining)


def _number(headers: Mapping[str, str], names: Iterable[str]) -> int | None:
    # "100, 100;w=60" is an older way to say of which stretch it is.
    texts = (headers[name].partition(",")[0].strip() for name in names if name in headers)
    return next((int(text) for text in texts if _NUMBER.fullmatch(text)), None)


def untold(quota: Quota, taken: Taken, now_s: float, told: Told) -> int:
    """Calls to add to this bucket, where fewer remain than we count: somebody else uses the same
    quota. Whatever it says, never more than the whole of it, and nothing of another quota."""
    if told.limit != quota.limit:
        return 0
    bucket = quota.bucket(now_s)
    counted = sum(n for b, n in taken.items() if bucket - COUNTED < b <= bucket)
    used = quota.limit - min(max(told.remaining, 0), quota.limit)
    return max(0, used - counted)


def through_at_s(
    quotas: Sequence[tuple[Quota, Taken]], calls: int, now_s: float, *, critical: bool
) -> float:
    """The second of the clock at which so many calls can have been made, if nobody else makes any
    and each is made as soon as it may: the latest of what each quota says."""
    ends = [_through_at_s(quota, taken, calls, now_s, critical=critical) for quota, taken in quotas]
    return max(ends, default=now_s)


def _through_at_s(quota: Quota, taken: Taken, calls: int, now_s: float, *, critical: bool) -> float:
    first = quota.bucket(now_s)
    made = {b: n for b, n in taken.items() if first - COUNTED < b <= first}
    for bucket in range(first, first + COUNTED + 1):
        now = min(left(quota, made, bucket, critical=critical), calls)
        made[bucket] = made.get(bucket, 0) + now
        calls -= now
        if calls <= 0:
            return max(now_s, bucket * quota.bucket_s)
    # All that counts in the last bucket is ours and used up: it comes back as it was taken.
    rounds, rest = divmod(calls - 1, quota.usable(critical=critical))
    for bucket in range(first + 1, first + COUNTED + 1):
        rest -= made[bucket]
        if rest < 0:
            break
    return (bucket + COUNTED * (rounds + 1)) * quota.bucket_s
