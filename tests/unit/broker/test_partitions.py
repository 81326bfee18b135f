"""Partitions are shared evenly, by processes that decide each for itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.partitions import Deal, Held, Ring, State, deal, next_state
from broker.topology import (
    LANES,
    Binding,
    EventTopology,
    Link,
    SourceTopology,
    event_queue,
    events_exchange,
    topology,
    unpartitioned,
)

EVENT = "supplier.changed"
QUEUES = [f"q{n:02}" for n in range(12)]


def ring(state: State = "current", number: int = 1, partitions: int = 2) -> Ring:
    """A ring of EVENT."""
    return Ring(EVENT, number, partitions, state)


@given(
    partitions=st.integers(0, 12),
    replicas=st.sets(st.sampled_from("abcdef"), min_size=1),
    held=st.dictionaries(st.sampled_from(QUEUES), st.sampled_from("abcdefxy")),
    data=st.data(),
)
def test_whoever_comes_next_all_end_with_an_even_share(
    partitions: int, replicas: set[str], held: dict[str, str], data: st.DataObject
) -> None:
    queues, owners = QUEUES[:partitions], dict(held)
    # Those that are gone lose what they have when their leases end.
    gone = [q for q, owner in owners.items() if owner not in replicas]
    for turn in range(4):
        if turn == 1:
            for queue in gone:
                del owners[queue]
        for me in data.draw(st.permutations(sorted(replicas))):
            wanted = deal(me, queues=queues, owners=owners, replicas=replicas)
            assert all(owners[q] == me for q in wanted.give)
            assert not owners.keys() & set(wanted.take)
            assert set(wanted.take) <= set(queues)
            assert not (wanted.give and wanted.take) or not set(wanted.give) & set(queues)
            for queue in wanted.give:
                del owners[queue]
            owners.update(dict.fromkeys(wanted.take, me))
    assert set(owners) == set(queues)
    sizes = [list(owners.values()).count(name) for name in sorted(replicas)]
    assert max(sizes) - min(sizes) <= 1
    for me in replicas:
        assert deal(me, queues=queues, owners=owners, replicas=replicas) == Deal()


def test_one_that_comes_gets_only_what_the_others_have_too_much() -> None:
    owners = {"q00": "a", "q01": "a", "q02": "b", "q03": "b"}
    found = {
        me: deal(me, queues=QUEUES[:4], owners=owners, replicas="abc") for me in ("a", "b", "c")
    }
    assert [len(d.give) for d in found.values()] == [0, 1, 0]
    assert [d.take for d in found.values()] == [(), (), ()]


@pytest.mark.parametrize(
    ("state", "messages", "consumers", "becomes"),
    [
        ("current", 0, 0, "current"),
        ("draining", 1, 2, "draining"),
        ("draining", 0, 2, "closing"),
        ("closing", 0, 1, "closing"),
        # What somebody had in hand came back.
        ("closing", 1, 0, "draining"),
        ("closing", 0, 0, "gone"),
        ("planned", 0, 0, "gone"),
        ("gone", 0, 0, "gone"),
    ],
)
def test_a_ring_is_deleted_only_when_nothing_can_be_in_it(
    state: State, messages: int, consumers: int, becomes: State
) -> None:
    assert next_state(ring(state), Held(messages, consumers)) == becomes


def test_an_event_goes_to_its_current_ring_and_nowhere_else() -> None:
    draining, current = ring("draining", 1), ring("current", 2, 3)
    wanted = topology(
        [SourceTopology("plm", ())],
        [EventTopology(EVENT, rings=(draining, current))],
    )
    assert set(wanted.links) == {
        Link(events_exchange(lane), current.exchange(lane), EVENT) for lane in LANES
    }
    assert set(wanted.cuts) == {
        cut
        for lane in LANES
        for cut in (
            Link(events_exchange(lane), draining.exchange(lane), EVENT),
            Binding(events_exchange(lane), event_queue(EVENT, lane), EVENT),
        )
    }
    names = {queue.name for queue in wanted.queues}
    assert names >= {q for g in (draining, current) for lane in LANES for q in g.queues(lane)}
    assert names >= {event_queue(EVENT, lane) for lane in LANES}


def test_a_planned_ring_gets_nothing() -> None:
    wanted = topology([], [EventTopology(EVENT, rings=(ring("planned"),))])
    assert wanted.links == ()
    assert Binding(events_exchange("critical"), event_queue(EVENT, "critical"), EVENT) in (
        wanted.bindings
    )


@pytest.mark.parametrize("lane", LANES)
def test_the_queue_of_a_partition_tells_its_event(lane: str) -> None:
    assert unpartitioned(f"{EVENT}.{lane}.r12.p3") == f"{EVENT}.{lane}"
    assert unpartitioned(f"{EVENT}.{lane}") == f"{EVENT}.{lane}"
    assert unpartitioned("in.r1.p2-x") == "in.r1.p2-x"
