"""No stretch of a quota's length has more calls than it allows, whatever the processes do."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.quota import (
    COUNTED,
    Quota,
    Told,
    counted_from,
    left,
    opens_at_s,
    through_at_s,
    told_by,
    untold,
)

quotas = st.builds(
    Quota,
    limit=st.integers(2, 40),
    per_s=st.sampled_from([1.0, 60.0, 3600.0]),
    reserve=st.sampled_from([0.0, 0.1, 0.5]),
    margin=st.sampled_from([None, 0, 1]),
)


def most_in_any_stretch(times: list[float], length: float) -> int:
    """The most of the times that lie in one stretch [t, t + length)."""
    times = sorted(times)
    most, first = 0, 0
    for n, at in enumerate(times):
        while times[first] <= at - length:
            first += 1
        most = max(most, n - first + 1)
    return most


@settings(max_examples=300)
@given(quotas, st.data())
def test_no_stretch_has_more_calls_than_are_allowed(quota: Quota, data: st.DataObject) -> None:
    """Three processes take what they can at any time, and make each call as late as they may, which
    is where one stands still in between."""
    at_s, taken, calls = 1_000_000.0, dict[int, int](), list[float]()
    for _ in range(data.draw(st.integers(1, 60))):
        at_s += quota.bucket_s * data.draw(
            st.sampled_from([0.0, 0.01, 0.5, 0.999, 1.0, 1.5, 10.0, 19.5, 20.0, 20.5, 21.5])
        )
        bucket = quota.bucket(at_s)
        critical = data.draw(st.booleans())
        number = min(data.draw(st.integers(1, 50)), left(quota, taken, bucket, critical=critical))
        taken[bucket] = taken.get(bucket, 0) + number
        taken = {b: n for b, n in taken.items() if b >= counted_from(quota, at_s)}
        # Each within a bucket's length, and not at its end.
        calls += [
            at_s + quota.bucket_s * data.draw(st.sampled_from([0.0, 0.5, 0.999]))
            for _ in range(number)
        ]
    allowed = quota.usable(critical=True)
    assert allowed <= quota.limit
    assert most_in_any_stretch(calls, quota.per_s) <= allowed


def test_a_count_of_one_bucket_less_would_allow_twice_as_many() -> None:
    """Why two buckets more are counted than the length has."""
    quota = Quota(limit=10, per_s=20.0, margin=0, reserve=0.0)
    just_before, now = 99.999, 120.0
    assert quota.bucket(now) - quota.bucket(just_before) == 21 == COUNTED - 1
    assert left(quota, {99: 10}, 120, critical=True) == 0
    # Taken at 99.999 and made at 100.9; the next ones at 120.0: twenty in less than 20 s.
    assert left(quota, {99: 10}, 121, critical=True) == 10


def test_lower_lanes_leave_the_reserve_to_the_critical_one() -> None:
    quota = Quota(limit=100, per_s=60.0, reserve=0.2)
    assert quota.usable(critical=True) == 98
    assert quota.usable(critical=False) == 78
    taken = {7: 78}
    assert left(quota, taken, 7, critical=False) == 0
    assert left(quota, taken, 7, critical=True) == 20
    # What the critical lane took is used for others as well.
    assert left(quota, {7: 90}, 7, critical=False) == 0


@pytest.mark.parametrize(("limit", "usable"), [(1, 1), (2, 1), (3, 2), (100, 98), (5000, 4900)])
def test_some_of_it_stays_unused_but_for_the_only_call(limit: int, usable: int) -> None:
    assert Quota(limit=limit, per_s=1.0).usable(critical=True) == usable
    assert Quota(limit=limit, per_s=1.0).usable(critical=False) >= 1


@pytest.mark.parametrize(
    "stated", [{"limit": 0}, {"per_s": 0.5}, {"reserve": 1.0}, {"reserve": -0.1}, {"margin": 10}]
)
def test_a_quota_that_allows_nothing_is_refused(stated: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="quota"):
        Quota(**{"limit": 10, "per_s": 1.0, **stated})  # type: ignore[arg-type]


taken_of = st.dictionaries(st.integers(100, 125), st.integers(0, 30), max_size=12)


@given(quotas, taken_of, st.booleans())
def test_it_opens_at_the_first_moment_at_which_a_call_may_be_taken(
    quota: Quota, taken: dict[int, int], critical: bool
) -> None:
    now_s = 125.5 * quota.bucket_s
    opens_s = opens_at_s(quota, taken, now_s, critical=critical)
    bucket = quota.bucket(opens_s + quota.bucket_s / 1000)
    assert left(quota, taken, bucket, critical=critical) > 0
    if opens_s > now_s:
        for before in range(125, bucket):
            assert left(quota, taken, before, critical=critical) == 0


@given(quotas, taken_of, st.integers(0, 200), st.booleans())
def test_a_backlog_is_through_when_it_is_if_one_takes_what_there_is(
    quota: Quota, taken: dict[int, int], calls: int, critical: bool
) -> None:
    now_s = 125.5 * quota.bucket_s
    said_s = through_at_s([(quota, taken)], calls, now_s, critical=critical)
    made, bucket, rest = dict(taken), 125, calls
    while rest > 0:
        now = min(rest, left(quota, made, bucket, critical=critical))
        made[bucket] = made.get(bucket, 0) + now
        rest -= now
        bucket += 1
    last = bucket - 1 if calls else 125
    assert said_s == pytest.approx(max(now_s, last * quota.bucket_s))


def test_of_several_quotas_the_slowest_counts() -> None:
    fast, slow = Quota(limit=25, per_s=1.0), Quota(limit=1000, per_s=86_400.0)
    both = through_at_s([(fast, {}), (slow, {})], 2_000, 1e6, critical=True)
    assert both == through_at_s([(slow, {})], 2_000, 1e6, critical=True)
    assert both > 1e6 + 86_400


@given(st.integers(), st.integers())
def test_whatever_a_vendor_says_no_more_than_the_quota_is_spent(remaining: int, limit: int) -> None:
    quota = Quota(limit=100, per_s=60.0)
    spent = untold(quota, {quota.bucket(6e3): 30}, 6e3, Told(limit, remaining))
    assert 0 <= spent <= 70
    assert spent == 0 or limit == 100


def test_what_others_have_used_is_spent_too() -> None:
    quota = Quota(limit=100, per_s=60.0)
    bucket = quota.bucket(6e3)
    assert untold(quota, {bucket: 30}, 6e3, Told(100, 50)) == 20
    assert untold(quota, {bucket: 30}, 6e3, Told(100, 90)) == 0
    assert untold(quota, {bucket: 30}, 6e3, Told(5000, 50)) == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"x-ratelimit-limit": "100", "x-ratelimit-remaining": "7"},
        {"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": " 7 "},
        {"x-rate-limit-limit": "100", "x-rate-limit-remaining": "7", "x-ratelimit-limit": "many"},
    ],
)
def test_what_vendors_say_is_read(headers: dict[str, str]) -> None:
    assert told_by(headers) == Told(100, 7)


@pytest.mark.parametrize("text", ["", "-1", "1e9", "٣", "9" * 10, "9" * 5000, "NaN", "0x10"])
def test_what_makes_no_sense_says_nothing(text: str) -> None:
    assert told_by({"x-ratelimit-limit": "100", "x-ratelimit-remaining": text}) is None
    assert told_by({"x-ratelimit-limit": text, "x-ratelimit-remaining": "7"}) is None
    assert told_by({"x-ratelimit-remaining": "7"}) is None
