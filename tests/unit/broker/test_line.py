"""What is to be taken with care goes beside nothing of its queue, and nothing overtakes."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from broker.intake import Arrival
from broker.line import Line
from broker.store import Position
from canonical.handler import Delivery

POSITION = Position(datetime(2026, 1, 1, tzinfo=UTC), 1)


def arrival(tag: int, *, careful: bool) -> Arrival:
    """One whose object is known if it needs no care."""
    attributes = {"logposition": "x", "subject": "a/1"}
    delivery = Delivery("s", "k", b"", attributes={} if careful else attributes)
    logged = None if careful else POSITION
    return Arrival(delivery, "standard", "q", tag=tag, redelivered=careful, logged=logged)


@given(careful=st.lists(st.booleans(), max_size=20), data=st.data())
def test_kinds_alternate_and_the_order_is_kept(careful: list[bool], data: st.DataObject) -> None:
    line, in_hand, gone = Line(), list[Arrival](), list[int]()
    for tag, is_careful in enumerate(careful):
        line.waiting.append(arrival(tag, careful=is_careful))
    while line.waiting or in_hand:
        while (following := line.next()) is not None:
            in_hand.append(following)
            gone.append(following.tag)
        assert len({a.affinity is None for a in in_hand}) == 1
        assert line.in_hand == len(in_hand)
        in_hand.pop(data.draw(st.integers(0, len(in_hand) - 1)))
        line.in_hand -= 1
    assert gone == list(range(len(careful)))
