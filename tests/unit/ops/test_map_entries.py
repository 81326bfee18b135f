"""What a message came to, how a golden has it, and how two of them differ."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from canonical.effects import Emit, Open
from canonical.errors import Rejected
from canonical.events import PlanAdjustmentNeeded
from ops.mapping.entries import (
    ABOUT,
    WHOLE,
    Change,
    Entry,
    changes,
    entries,
    golden_text,
    read_golden,
)
from tests.strategies import json_documents

EVENT = "plan.adjustment-needed"


def entry(content: object, about: str = "k/1", kind: str = EVENT) -> Entry:
    return Entry(kind, about, content)


def differences(old: object, new: object) -> list[tuple[str, str | None, str | None]]:
    """Path, old and new of two contents of one event."""
    found = changes([entry({"x": old})], [entry({"x": new})])
    return [(change.path, change.old, change.new) for change in found]


def test_a_golden_has_events_then_what_was_left_out() -> None:
    said = entries(
        (
            Emit(EVENT, "engineering-change/E1", PlanAdjustmentNeeded("E1", "1010", ("A",))),
            Open("unit-unknown", "data_quality", "It is no unit", "line 3", "Map it", "sender"),
        )
    )
    assert json.loads(golden_text(said)) == [
        [EVENT, "engineering-change/E1", {"change": "E1", "plant": "1010", "items": ["A"]}],
        [
            "case",
            "line 3",
            {
                "code": "unit-unknown",
                "word": "data_quality",
                "what": "It is no unit",
                "owner": "sender",
            },
        ],
    ]


def test_a_golden_of_what_is_refused_says_why() -> None:
    said = entries((), Rejected("test-message", "It is a test", where="head", owner="sender"))
    assert json.loads(golden_text(said)) == [
        [
            "refused",
            "head",
            {
                "code": "test-message",
                "word": "business_rule",
                "what": "It is a test",
                "owner": "sender",
            },
        ]
    ]


def test_a_changed_value_is_shown_with_both_values() -> None:
    assert differences({"q": "1", "u": "KGM"}, {"q": "2", "u": "KGM"}) == [("x.q", '"1"', '"2"')]
    assert differences(1, True) == [("x", "1", "true")]
    assert differences(None, "") == [("x", "null", '""')]


def test_a_field_that_comes_or_goes_is_no_value() -> None:
    assert differences({"a": 1}, {"b": [2]}) == [("x.a", "1", None), ("x.b[0]", None, "2")]
    assert differences({"a": 1}, "none") == [("x.a", "1", None), ("x", None, '"none"')]


def test_a_line_that_goes_from_the_middle_leaves_the_others_alone() -> None:
    assert differences([{"n": 1}, {"n": 2}, {"n": 3}], [{"n": 1}, {"n": 3}]) == [
        ("x[1]", '{"n": 2}', None)
    ]
    assert differences(["a"], ["b", "a"]) == [("x[0]", None, '"b"')]


def test_events_belong_together_by_what_they_are_about() -> None:
    first, second = entry({"n": 1}, "k/1"), entry({"n": 2}, "k/2")
    assert changes([first, second], [second]) == (Change(EVENT, "k/1", WHOLE, '{"n": 1}', None),)
    assert changes([first, second], [second, first]) == ()


def test_an_event_about_something_else_is_compared_with_the_one_it_takes_the_place_of() -> None:
    found = changes(
        [entry({"n": 1}, "k/1"), entry({}, "k/2")], [entry({"n": 1}, "k/9"), entry({}, "k/2")]
    )
    assert found == (Change(EVENT, "k/1", ABOUT, '"k/1"', '"k/9"'),)


def test_an_event_of_another_kind_is_another_event() -> None:
    found = changes([entry({}, kind="a.b")], [entry({}, kind="a.c")])
    assert [(change.kind, change.path, change.new) for change in found] == [
        ("a.b", WHOLE, None),
        ("a.c", WHOLE, "{}"),
    ]


def test_a_step_takes_the_place_of_one_that_does_the_same_and_of_no_other() -> None:
    item, bom, other = (
        entry({"n": n}, f"|erp|{about}", "request")
        for n, about in enumerate(("item|A|put-item", "bom|A|put-bom", "item|B|put-item"))
    )
    assert [(c.about, c.path, c.new) for c in changes([item, bom], [other])] == [
        (item.about, ABOUT, f'"{other.about}"'),
        (item.about, "n", "2"),
        (bom.about, WHOLE, None),
    ]


SAID = st.lists(
    st.builds(
        Entry, st.sampled_from(["a.b", "a.c", "case"]), st.text(max_size=2), json_documents()
    ),
    max_size=4,
)


@given(SAID)
def test_a_golden_gives_back_what_was_written(said: list[Entry]) -> None:
    assert read_golden(golden_text(said)) == tuple(said)
    assert changes(said, read_golden(golden_text(said))) == ()


@given(SAID, SAID)
def test_what_differs_one_way_differs_the_other_way(one: list[Entry], other: list[Entry]) -> None:
    assert bool(changes(one, other)) == bool(changes(other, one))


@given(json_documents(), json_documents())
def test_only_what_is_the_same_has_no_changes(one: object, other: object) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (changes([entry(one)], [entry(other)]) == ()) == same
