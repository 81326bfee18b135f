"""Which field reaches what, found by changing one at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.handler import Delivery
from handlers import CATALOGUE
from ops.mapping.entries import Entry, with_identity
from ops.mapping.leaves import read_document
from ops.mapping.lineage import Lineage, Trace, alternatives, another, trace_fields
from ops.mapping.translation import contracts_of, translate
from tests.corpus import CORPUS

Say = Callable[[bytes], Sequence[Entry]]


def for_ever() -> bool:
    return True


def refused(code: str) -> tuple[Entry, ...]:
    return (Entry("refused", "somewhere", {"code": code}),)


def found(body: bytes, say: Say, go_on: Callable[[], bool] = for_ever) -> Lineage:
    document = read_document(body)
    assert document is not None
    return trace_fields(document, say, go_on)


def reached(lineage: Lineage) -> dict[str, tuple[str, list[str]]]:
    """Fate and canonical paths of each leaf."""
    return {t.path: (t.fate, [target.path for target in t.targets]) for t in lineage.traces}


def test_each_field_shows_what_hangs_on_it() -> None:
    def say(body: bytes) -> tuple[Entry, ...]:
        told = json.loads(body)
        if told["kind"] != "order":
            return refused("kind-unknown")
        data = {"number": told["no"], "note": told["no"] + told["text"]}
        return (Entry("order.created", "order/1", data),)

    lineage = found(b'{"kind": "order", "no": "7", "text": "x", "other": 1}', say)
    assert reached(lineage) == {
        "kind": ("refused", []),
        "no": ("reaches", ["note", "number"]),
        "text": ("reaches", ["note"]),
        "other": ("unread", []),
    }
    assert [trace.code for trace in lineage.traces] == ["kind-unknown", "", "", ""]


def test_a_code_that_is_refused_is_tried_with_words_from_elsewhere_in_the_document() -> None:
    def say(body: bytes) -> tuple[Entry, ...]:
        unit = json.loads(body)["unit"]
        known = {"PCE": "H87", "KGM": "KGM"}
        return (Entry("e.d", "k", {"unit": known[unit]}),) if unit in known else refused("unit")

    assert reached(found(b'{"unit": "PCE"}', say)) == {"unit": ("refused", [])}
    lineage = found(b'{"unit": "PCE", "weight": "KGM"}', say)
    assert reached(lineage)["unit"] == ("reaches", ["unit"])


def test_a_key_that_others_refer_to_shows_where_it_is_another_one_wherever_it_stands() -> None:
    def say(body: bytes) -> tuple[Entry, ...]:
        told = json.loads(body)
        if told["key"] not in told["refers"]:
            return refused("reference")
        return (Entry("e.d", "k", {"key": told["key"]}), Entry("request", "|erp|x|k|put-x", told))

    lineage = found(b'{"key": "A", "refers": ["A", "B"], "kind": 1}', say)
    assert reached(lineage)["key"] == ("reaches", ["key", "key"])  # B is known too
    lineage = found(b'{"key": "A", "refers": ["A"]}', say)
    assert {trace.fate for trace in lineage.traces} == {"refused"}
    assert lineage.together == ()
    assert [trace.path for trace in lineage.everywhere] == ["key", "refers[]"]
    for trace in lineage.everywhere:
        assert {(target.kind, target.path) for target in trace.targets} == {
            ("e.d", "key"),
            ("request", "key"),
            ("request", "refers[0]"),
        }


def test_what_is_refused_where_one_of_many_differs_shows_when_all_are_changed() -> None:
    def say(body: bytes) -> tuple[Entry, ...]:
        days = {row["day"] for row in json.loads(body)}
        return refused("mixed") if len(days) > 1 else (Entry("e.d", "k", {"day": days.pop()}),)

    lineage = found(b'[{"day": "2026-03-02"}, {"day": "2026-03-02"}]', say)
    (together,) = lineage.together
    assert (together.path, [target.path for target in together.targets]) == ("[].day", ["day"])
    assert lineage.everywhere == ()


def test_of_a_case_or_a_finding_that_comes_its_code_is_told() -> None:
    def say(body: bytes) -> tuple[Entry, ...]:
        amount = json.loads(body)["amount"]
        fault = {"code": "quantity-zero", "what": "nothing"}
        return () if amount else (Entry("finding", "bom/A", fault), Entry("case", "line", fault))

    (trace,) = found(b'{"amount": 0}', say).traces
    assert [(target.kind, target.about, target.path) for target in trace.targets] == [
        ("case", "line", "quantity-zero"),
        ("finding", "bom/A", "quantity-zero"),
    ]


def test_what_several_say_alike_shows_when_all_are_changed() -> None:
    def say(body: bytes) -> tuple[Entry, ...]:
        roles = [row["role"] for row in json.loads(body)]
        return (Entry("e.d", "k", {"has supplier": "LF" in roles}),)

    lineage = found(b'[{"role": "LF"}, {"role": "LF"}]', say)
    assert {trace.fate for trace in lineage.traces} == {"unread"}
    (together,) = lineage.together
    assert (together.field, [t.path for t in together.targets]) == ("[].role", ["has supplier"])


def test_a_digest_of_the_content_tells_nothing_and_is_left_out() -> None:
    def say(body: bytes) -> tuple[Entry, ...]:
        return (Entry("message", "", {"id": str(hash(body))}),)

    lineage = found(b'{"a": "1"}', say)
    assert reached(lineage) == {"a": ("unread", [])}
    assert [(target.kind, target.path) for target in lineage.digests] == [("message", "id")]


def test_when_time_is_up_the_first_of_each_field_was_tried_and_the_rest_is_named() -> None:
    turns = iter([True] * 3)
    lineage = found(
        b'[{"a": 1}, {"a": 2}, {"a": 3, "b": 4}, {"c": 5}]',
        lambda body: (),
        lambda: next(turns, False),
    )
    assert [trace.path for trace in lineage.traces] == ["[0].a", "[2].b", "[3].c"]
    assert (lineage.untried, lineage.unknown) == (("[1].a", "[2].a"), ())


def test_fields_of_which_none_was_tried_are_named() -> None:
    turns = iter([True])
    lineage = found(b'{"a": 1, "b": 2}', lambda body: (), lambda: next(turns, False))
    assert lineage.unknown == ("b",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20181129", "20181128"),
        ("2018-03-01", "2018-03-02"),
        ("2018-11-29T14:28:08Z", "2018-11-28T14:28:08Z"),
        ("1.000", "2.000"),
        ("9", "8"),
        ("00010", "00011"),
        ("-2.5", "-3.5"),
        (".25", ".26"),
        ("true", "false"),
        ("Yes", "no"),
        ("N", "Y"),
        ("EUR", "EURX"),
        ("Gearbox", "Gearboxx"),
        ("20189999", "20189998"),
    ],
)
def test_another_value_is_of_the_same_kind(text: str, expected: str) -> None:
    assert another(text) == expected


@given(st.text(min_size=1, max_size=12))
def test_another_value_is_another_one(text: str) -> None:
    assert another(text) != text


@given(st.sampled_from(["1", "-2.5", "true", "false", "1e3"]))
def test_alternatives_of_a_bare_json_value_stay_json(text: str) -> None:
    document = read_document(f'{{"a": {text}}}'.encode())
    assert document is not None
    (leaf,) = document.leaves
    for value in alternatives(leaf, ()):
        assert json.loads(document.with_value(leaf, value)) != json.loads(document.text)


@given(
    st.lists(st.text(max_size=5).filter(bool), min_size=1, max_size=5),
    st.sets(st.tuples(st.integers(0, 4), st.sampled_from("pqr"))),
)
def test_any_wiring_of_fields_is_found_as_it_is(
    values: list[str], wires: set[tuple[int, str]]
) -> None:
    body = json.dumps({f"f{n}": value for n, value in enumerate(values)}).encode()

    def say(changed: bytes) -> tuple[Entry, ...]:
        told = json.loads(changed)
        data: dict[str, Any] = {
            to: [told[f"f{n}"] for n, other in sorted(wires) if other == to and f"f{n}" in told]
            for to in "pqr"
        }
        return (Entry("e.d", "k", {to: json.dumps(data[to]) for to in data}),)

    expected = {
        f"f{n}": sorted(to for source, to in wires if source == n) for n in range(len(values))
    }
    lineage = found(body, say)
    assert {path: targets for path, (_, targets) in reached(lineage).items()} == expected
    assert all((trace.fate == "reaches") == bool(trace.targets) for trace in lineage.traces)


# A real document: what its own specification says of these fields


@pytest.fixture(scope="module")
def order() -> dict[str, Trace]:
    body = (CORPUS / "idoc" / "orders.xml").read_bytes()

    def say(changed: bytes) -> tuple[Entry, ...]:
        delivery = Delivery("erp", "", changed)
        now = datetime(2026, 3, 2, tzinfo=UTC)
        contracts = contracts_of(CATALOGUE)
        return with_identity(translate(delivery, catalogue=CATALOGUE, contracts=contracts, now=now))

    lineage = found(body, say)
    # Three statements of one supplier: none of their roles counts alone.
    assert [trace.field for trace in lineage.together] == ["ORDERS05/IDOC/E1EDKA1/PARVW"]
    assert (lineage.untried, lineage.digests) == ((), ())
    return {trace.path.removeprefix("ORDERS05/IDOC/"): trace for trace in lineage.traces}


@pytest.mark.parametrize(
    ("path", "targets"),
    [
        ("E1EDP01[1]/MENGE", ["purchase-order.created lines[0].quantity.value"]),
        ("E1EDP01[2]/VPREI", ["purchase-order.created lines[1].price.amount.amount"]),
        ("E1EDP01[2]/E1EDP20/EDATU", ["purchase-order.created lines[1].schedule[0].on"]),
        ("E1EDK01/ZTERM", ["purchase-order.created payment_terms"]),
        ("EDI_DC40/MANDT", ["message id"]),
        (
            "E1EDK02/BELNR",
            ["message key", "purchase-order.created (about)", "purchase-order.created number"],
        ),
    ],
)
def test_fields_of_a_real_order_reach_what_they_say(
    order: dict[str, Trace], path: str, targets: list[str]
) -> None:
    assert [f"{t.kind} {t.path}" for t in order[path].targets] == targets


@pytest.mark.parametrize("path", ["E1EDK01/HWAER", "E1EDP01[1]/NTGEW", "E1EDKA1[1]/TELF1"])
def test_fields_of_a_real_order_that_nobody_reads_are_said_to_be_unread(
    order: dict[str, Trace], path: str
) -> None:
    assert order[path].fate == "unread"
