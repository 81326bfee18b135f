"""An acknowledgement never stands for a delivery that is still open."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from broker.tags import Tags


@given(count=st.integers(0, 30), data=st.data())
def test_what_is_acknowledged_is_settled_and_in_the_end_all_is(
    count: int, data: st.DataObject
) -> None:
    tags, settled, acknowledged = Tags(), set[int](), 0
    for tag in range(1, count + 1):
        tags.came(tag)
    rest = data.draw(st.permutations(range(1, count + 1)))
    while rest:
        some = data.draw(st.integers(1, len(rest)))
        batch, rest = rest[:some], rest[some:]
        settled.update(batch)
        through = tags.settle(batch)
        assert through == 0 or through > acknowledged
        acknowledged = max(acknowledged, through)
        assert settled >= set(range(1, acknowledged + 1))
        assert acknowledged + 1 not in settled
    assert acknowledged == count


def test_what_comes_later_is_open() -> None:
    tags = Tags()
    tags.came(1)
    assert tags.settle([1]) == 1
    tags.came(2)
    tags.came(3)
    assert tags.settle([3]) == 0
    assert tags.settle([2]) == 3


def test_a_channel_that_is_left_is_acknowledged_once_and_all_of_it() -> None:
    tags = Tags()
    for tag in (1, 2, 3):
        tags.came(tag)
    tags.is_closing = True
    assert tags.settle([1]) == 0
    assert tags.settle([3]) == 0
    assert not tags.is_settled
    assert tags.settle([2]) == 3
    assert tags.is_settled
