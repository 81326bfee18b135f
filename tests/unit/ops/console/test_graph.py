"""Which step comes after which."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from broker.store.views import StepRow
from ops.console import graph
from tests.unit.ops.console.steps import step


def chain(*links: tuple[int, ...]) -> list[StepRow]:
    """Steps 0, 1, ...; each after those of the numbers given."""
    names = [step(n).identity for n in range(len(links))]
    return [step(n, after=tuple(names[before] for before in links[n])) for n in range(len(links))]


def ids(columns: list[list[StepRow]]) -> list[list[int]]:
    return [[each.id for each in column] for column in columns]


def test_a_step_stands_right_of_all_that_it_waits_for() -> None:
    assert ids(graph.columns(chain((), (), (0,), (1, 2), (0,)))) == [[0, 1], [2, 4], [3]]


def test_a_step_that_was_taken_out_keeps_nothing_back() -> None:
    gone = msgspec.structs.replace(step(0), state="cancelled")
    assert ids(graph.columns([gone, step(1, after=(gone.identity,))])) == [[1]]


def test_a_ring_is_drawn_and_not_followed_for_ever() -> None:
    columns = graph.columns(chain((2,), (0,), (1,)))
    assert sorted(n for column in ids(columns) for n in column) == [0, 1, 2]
    assert graph.draw(chain((0,))) is not None


def test_a_chain_may_be_very_long() -> None:
    assert len(graph.columns(chain((), *((n,) for n in range(5_000))))) == 5_001


@given(st.lists(st.sets(st.integers(0, 60), max_size=4), max_size=40))
def test_boxes_overlap_nowhere_and_stand_behind_each_other(links: list[set[int]]) -> None:
    steps = chain(*(tuple(n for n in sorted(before) if n < at) for at, before in enumerate(links)))
    drawn = graph.draw(steps)
    if not steps:
        assert drawn is None
        return
    assert drawn is not None
    places = {box.id: (box.x, box.y) for box in drawn.boxes}
    assert len(places) == len(steps) == len(set(places.values()))
    for box in drawn.boxes:
        assert 0 <= box.x <= drawn.width - graph.WIDTH
        assert 0 <= box.y <= drawn.height - graph.HEIGHT
    by_identity = {each.identity: each.id for each in steps}
    for each in steps:
        for before in each.depends_on:
            assert places[by_identity[before]][0] < places[each.id][0]
    assert len(drawn.lines) == sum(len(each.depends_on) for each in steps)


def test_of_many_steps_there_is_a_list() -> None:
    steps = [step(n, state="done" if n else "failed") for n in range(graph.BOXES_SHOWN + 1)]
    assert graph.draw(steps) is None
    ((failed, done),) = graph.groups(steps)
    assert (failed.state, failed.number) == ("failed", 1)
    assert (done.state, done.number) == ("done", graph.BOXES_SHOWN)


def test_long_names_are_cut_in_the_box_and_whole_beside_it() -> None:
    drawn = graph.draw([step(1, name="A-VERY-LONG-PART-NUMBER-FROM-SOMEWHERE")])
    assert drawn is not None
    (box,) = drawn.boxes
    assert box.first == "put-item A-VERY-LONG-PA…"
    assert "A-VERY-LONG-PART-NUMBER-FROM-SOMEWHERE" in box.whole
