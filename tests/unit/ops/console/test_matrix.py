"""How complete a change is, by plant, system and object."""

from __future__ import annotations

from datetime import timedelta

from broker.store.views import StepCount
from ops.console.matrix import OBJECTS_SHOWN, Head, of_counts, of_steps
from tests.unit.ops.console.steps import AT, step


def test_a_cell_says_the_state_that_says_most_of_it() -> None:
    matrix = of_steps(
        [
            step(1, "1010", "erp", "item", "A", state="done"),
            step(2, "1010", "erp", "item", "A", verb="extend-to-plant", state="failed"),
            step(3, "2010", "erp", "item", "A", state="waiting"),
        ],
        AT,
    )
    (row,) = matrix.rows
    first, second = row.cells
    assert first is not None
    assert second is not None
    assert (first.state, first.done, first.total) == ("failed", 1, 2)
    assert first.verbs == ("put-item", "extend-to-plant")
    assert (second.state, second.done, second.total) == ("waiting", 0, 1)
    assert matrix.counts == ((1, 2), (0, 1))


def test_where_nothing_is_to_be_done_there_is_no_cell() -> None:
    matrix = of_steps(
        [step(1, "1010", "erp", "item", "A"), step(2, "", "quality", "supplier", "S")], AT
    )
    assert matrix.heads == (Head("1010", "erp"), Head("", "quality"))
    assert [[cell is not None for cell in row.cells] for row in matrix.rows] == [
        [True, False],
        [False, True],
    ]
    assert matrix.plants == (("1010", 1), ("", 1))


def test_only_the_newest_form_of_a_step_counts_and_what_is_not_planned_does_not() -> None:
    old = step(1, "1010", "erp", "item", "A", state="failed")
    new = step(2, "1010", "erp", "item", "A", state="done", generation=2)
    gone = step(3, "1010", "erp", "item", "B", state="cancelled")
    (row,) = of_steps([new, old, gone], AT).rows
    assert (row.id, row.cells[0] and row.cells[0].state) == ("A", "done")


def test_many_objects_are_rows_by_kind() -> None:
    steps = [step(n, "1010", "erp", "item", f"N-{n}") for n in range(OBJECTS_SHOWN + 1)]
    matrix = of_steps(steps, AT)
    assert matrix.is_by_kind
    (row,) = matrix.rows
    assert (row.kind, row.id) == ("item", "")
    assert row.cells[0] is not None
    assert row.cells[0].total == OBJECTS_SHOWN + 1
    assert not of_steps(steps[1:], AT).is_by_kind


def test_counts_and_steps_come_to_the_same() -> None:
    steps = [
        step(n, "1010", "erp", "item", f"N-{n}", state="done" if n % 2 else "ready")
        for n in range(OBJECTS_SHOWN + 1)
    ]
    counts = [
        StepCount("1010", "erp", "item", "done", 20),
        StepCount("1010", "erp", "item", "ready", 21),
    ]
    assert of_counts(counts).counts == of_steps(steps, AT).counts


def test_a_cell_says_what_of_it_is_late() -> None:
    steps = [
        step(1, "1010", "erp", "item", "A", state="ready"),
        step(2, "1010", "erp", "item", "A", verb="extend-to-plant", state="done"),
        step(3, "2010", "erp", "item", "A", state="done"),
    ]
    for now, late in ((AT, [0, 0]), (AT + timedelta(seconds=1), [1, 0])):
        (row,) = of_steps(steps, now).rows
        assert [cell.late for cell in row.cells if cell] == late
    counts = [StepCount("1010", "erp", "item", "ready", 3, late=2)]
    (row,) = of_counts(counts).rows
    assert row.cells[0] is not None
    assert row.cells[0].late == 2


def test_of_nothing_there_is_no_row() -> None:
    assert of_steps([], AT).rows == ()
