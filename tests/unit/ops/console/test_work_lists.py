"""Filters, pages, due times, sums, files: what work lists say, of values alone."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.principals import Principal
from broker.store.chosen_lines import ChosenLine, ChosenLines, Outcome
from broker.store.views import DecisionRow, TaskRow
from canonical.errors import Rejected
from canonical.money import Money
from canonical.order import OrderedLine
from canonical.quantity import Quantity
from ops.console import lists
from ops.console.acting import require_typed
from ops.console.export import csv_line
from ops.console.lists import Paging, due_of, named, page_number, who_may
from ops.console.orders import choices_of, lines_of, results_of, sum_of
from ops.console.tasks import Shown, differences, shown_of, whom

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DIGEST = "ab" * 32


def line(value: Money | None = None) -> OrderedLine:
    """A line of an order."""
    return OrderedLine("45001", "10", "SEAL-1", "S-1", Quantity(Decimal(5), "H87"), value=value)


def task(**stated: object) -> TaskRow:
    """An open question to quality about plant 1010."""
    default: dict[str, object] = {
        "id": 7,
        "change": "ECO-7",
        "title": "T",
        "role": "quality",
        "owner": "quality",
        "question": "q",
        "about": "supplier/S-1",
        "plant": "",
        "plants": ("1010",),
        "text": "May S-1 be used?",
        "evidence": ("qualification: none",),
        "state": "ready",
        "since": NOW,
        "due_at": NOW + timedelta(hours=30),
        "waiting": 1,
        "digest": DIGEST,
        "signatures": 1,
        "signed_by": (),
        "missing": 1,
        "overdue_s": 0,
        "escalated_to": (),
        "delegates": (),
        "decisions": (),
        "choices": (),
        "order_line": None,
    }
    return TaskRow(**(default | stated))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "hours", "kind", "words"),
    [
        ("ready", -26, "failed", "overdue by 1 d 2 h"),
        ("ready", 5, "held", "due in 5 h"),
        ("ready", 30, "idle", "due in 1 d 6 h"),
        ("done", -26, "", ""),
    ],
)
def test_a_due_time_says_how_late_or_how_soon(
    state: str, hours: int, kind: str, words: str
) -> None:
    found = due_of(task(state=state, due_at=NOW + timedelta(hours=hours)), NOW)
    assert (found.kind, found.words) == (kind, words)


@given(st.integers(0, 30_000), st.integers(1, lists.MOST_PAGES))
def test_pages_cover_each_row_once(matched: int, number: int) -> None:
    page = Paging(number, matched)
    assert page.last - page.first < lists.PAGE_ROWS
    if page.has_next:
        assert Paging(number + 1, matched).first == page.last + 1
    elif number < lists.MOST_PAGES:
        assert page.last == matched


@pytest.mark.parametrize("text", ["0", "-1", "x", "", "201", "1.0", "\u0661", "9" * 30])
def test_a_page_is_a_number_within_bounds(text: str) -> None:
    with pytest.raises(Rejected, match="filter-invalid"):
        page_number({"page": text})
    assert page_number({}) == 1
    assert page_number({"page": "200"}) == 200


def test_an_address_says_only_what_narrows() -> None:
    filters = {"q": "a&b", "plant": ""}
    assert lists.address("/tasks", filters) == "/tasks?q=a%26b"
    assert lists.address("/tasks", filters, page="2") == "/tasks?q=a%26b&page=2"
    assert lists.address("/tasks", {"q": ""}) == "/tasks"


def test_who_else_is_asked_has_the_role_and_the_plants_and_has_not_signed() -> None:
    people = [
        Principal("Ada", ("quality",), ("*",)),
        Principal("Bob", ("quality",), ("2010",)),
        Principal("Cy", ("quality-lead",), ("1010",)),
        Principal("Di", ("quality",), ("1010",)),
        Principal("Eve", ("admin", "viewer"), ("*",)),
    ]
    assert who_may(task(), people) == ["Ada", "Di"]
    assert who_may(task(signed_by=("Di",), escalated_to=("quality-lead",)), people) == ["Ada", "Cy"]
    assert who_may(task(state="done"), people) == []
    assert named(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


def test_whom_one_may_name_decides_nothing_of_it_anyway() -> None:
    people = [
        Principal("Ada", ("quality",), ("*",)),
        Principal("Bob", ("sourcing",), ("1010",)),
        Principal("Cy", ("sourcing",), ("2010",)),
        Principal("Eve", ("admin",), ("*",)),
    ]
    assert [p.name for p in whom(task(), people[0], people)] == ["Bob"]


def test_what_changed_is_told_line_by_line() -> None:
    shown = Shown("May S-1 be used?", ("qualification: expired", "contract C-1"), ("a",))
    assert [(d.was, d.now) for d in differences(shown, task())] == [
        ("qualification: expired", "qualification: none"),
        ("contract C-1", ""),
        ("choices: a", ""),
    ]
    assert differences(Shown(task().text, task().evidence), task()) == []


def test_what_was_shown_is_brought_back_where_a_form_holds_it() -> None:
    assert '"May S-1 be used?"' in shown_of(task())
    assert shown_of(task(evidence=tuple(map(str, range(1_000))))) == ""


def test_values_are_added_by_currency() -> None:
    lines = [
        line(Money(Decimal("1234.50"), "EUR")),
        line(Money(Decimal("0.5"), "EUR")),
        line(Money(Decimal(900), "JPY")),
        line(),
    ]
    found = sum_of(lines)
    assert (found.amounts, found.unpriced) == (("1,235.00 EUR", "900 JPY"), 1)


def test_lines_are_answered_by_what_all_of_them_allow() -> None:
    assert choices_of([task(choices=("a", "b", "c")), task(choices=("c", "a"))]) == ("a", "c")
    assert choices_of([]) == ()


def test_a_line_that_is_marked_twice_is_chosen_once() -> None:
    marked = f"7:{DIGEST}"
    assert lines_of([marked, marked]) == [ChosenLine(7, DIGEST)]
    with pytest.raises(Rejected, match="lines-unreadable"):
        lines_of([f"7:{DIGEST} or more"])
    with pytest.raises(Rejected, match="too-many-lines"):
        lines_of(f"{n}:{DIGEST}" for n in range(1_001))


def test_up_to_a_hundred_need_no_number() -> None:
    require_typed(100, "", "lines")
    require_typed(101, "101", "lines")
    with pytest.raises(Rejected, match="not-confirmed"):
        require_typed(101, "", "lines")


def test_what_was_refused_stands_first_and_says_who_came_before() -> None:
    decision = DecisionRow("approved", "Una", "fits", NOW, DIGEST, choice="as-ordered")
    tasks = [task(id=1, order_line=line()), task(id=2, state="done", decisions=(decision,))]
    chosen = ChosenLines(
        id=1,
        by="Ben",
        made_at=NOW,
        query="",
        matched=2,
        lines=(ChosenLine(1, DIGEST), ChosenLine(2, DIGEST)),
        decided_at=NOW,
        choice="cancel",
        reason="r",
        outcome=(Outcome(1, missing=1), Outcome(2, code="not-open", what="The approval is done")),
    )
    found = results_of(chosen, tasks)
    assert [(r.step_id, r.said, r.why) for r in found] == [
        (2, "refused", "decided meanwhile: as-ordered by Una: fits"),
        (1, "cancel, 1 signature missing", ""),
    ]


_CELLS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1
)


@given(_CELLS)
def test_a_spreadsheet_carries_out_no_cell(cells: list[str]) -> None:
    [read] = csv.reader(io.StringIO(csv_line(cells), newline=""))
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in read)
    assert all(got in (cell, f"'{cell}") for got, cell in zip(read, cells, strict=True))
