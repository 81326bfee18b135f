"""Lists of procurement's that are longer than a page are read to their end, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.dispatcher import MAX_PARTS, look
from canonical.connector import Absent, More, Observed, Present
from canonical.effects import Step
from canonical.errors import Failure, Misconfigured, SuspectedDuplicate, Unavailable
from canonical.exchange import Request, Response
from canonical.operations import (
    Operation,
    PublishItem,
    PutOrder,
    PutSupplier,
    ReadCoverage,
    ReadSupplier,
    RequestReview,
)
from canonical.order import OrderLine, PurchaseOrder
from canonical.quantity import Quantity
from canonical.supplier_master import SupplierMaster
from handlers.systems.coupa import pages
from handlers.systems.coupa.outbound import DRIVER
from tests.fixtures.gearbox import item

Rows = list[dict[str, Any]]

JSON = {"content-type": "application/json"}
LINE = {"item-number": "PIN", "price": "1", "uom": {"code": "EA"}, "currency": {"code": "EUR"}}
COVERAGE = ReadCoverage("PIN")


def contract(number: int, *items: str) -> dict[str, Any]:
    return {
        "id": number,
        "number": f"C-{number}",
        "supplier": {"number": "17300001"},
        "status": "published",
        "start-date": "2025-01-01",
        "lines": [LINE | {"item-number": item_number} for item_number in items],
    }


def contracts(count: int) -> Rows:
    """The first, every hundredth and the last are for the pin."""
    named = {1, *range(100, count, 100), count}
    return [
        contract(number, "PIN" if number in named else "BOLT") for number in range(1, count + 1)
    ]


class Suite:
    """Lists `rows` by limit and offset. `meanwhile` changes them once the page with that number,
    from 1, was answered."""

    def __init__(self, rows: Rows, meanwhile: dict[int, Callable[[Rows], None]] | None = None):
        self.rows = rows
        self.meanwhile = meanwhile or {}
        self.asked: list[int] = []

    async def perform(self, request: Request) -> Response:
        query = dict(request.query)
        assert (request.method, request.effectful, query["order_by"]) == ("GET", False, "id")
        offset, limit = int(query.get("offset", "0")), int(query["limit"])
        self.asked.append(offset)
        body = msgspec.json.encode(self.rows[offset : offset + limit])
        if happens := self.meanwhile.get(len(self.asked)):
            happens(self.rows)
        return Response(200, JSON, body)


async def seen(operation: Operation, suite: Suite) -> Observed:
    return await look(DRIVER, Step("", "suite", "object", "X", operation), suite.perform)


async def covering(suite: Suite) -> list[str]:
    """The numbers of the contracts that are handed on."""
    found = await seen(COVERAGE, suite)
    assert isinstance(found, Present)
    assert found.answer is not None
    return [row["number"] for row in msgspec.json.decode(found.answer.body)]


# --- to the end ---


@pytest.mark.parametrize(
    ("count", "offsets", "named"),
    [
        (0, [0], []),
        (1, [0], ["C-1"]),
        (49, [0], ["C-1", "C-49"]),
        (50, [0, 49], ["C-1", "C-50"]),
        (51, [0, 49], ["C-1", "C-51"]),
        (98, [0, 49], ["C-1", "C-98"]),
        (99, [0, 49, 98], ["C-1", "C-99"]),
        (101, [0, 49, 98], ["C-1", "C-100", "C-101"]),
    ],
)
async def test_a_list_is_read_to_its_end_each_page_from_the_last_row_of_the_one_before(
    count: int, offsets: list[int], named: list[str]
) -> None:
    suite = Suite(contracts(count) if count else [])
    assert await covering(suite) == named
    assert suite.asked == offsets


async def test_twenty_pages_are_read_and_what_is_longer_is_refused() -> None:
    suite = Suite(contracts(980))
    assert await covering(suite) == ["C-1", *[f"C-{n}00" for n in range(1, 10)], "C-980"]
    assert suite.asked == [49 * page for page in range(20)]
    for count in (981, 1_001):
        suite = Suite(contracts(count))
        with pytest.raises(Misconfigured) as refused:
            await covering(suite)
        assert (refused.value.code, refused.value.where) == ("answer-incomplete", "/api/contracts")
        assert refused.value.what == (
            "Procurement lists 981 objects on 20 pages and there may be more"
        )
        assert refused.value.remedy == "Give this client a view of the contracts of its plants only"
        assert len(suite.asked) == 20


def test_a_look_may_have_as_many_calls_as_a_list_has_pages() -> None:
    assert (pages.MOST_PAGES, pages.MOST_ROWS) == (MAX_PARTS, 980)


async def test_a_contract_is_handed_on_as_it_came_from_whatever_page() -> None:
    odd = contract(60, "PIN") | {"unknown": {"b": 1, "a": [1.50]}}
    rows = [contract(number, "BOLT") for number in range(1, 60)]
    found = await seen(COVERAGE, Suite([*rows, odd]))
    assert isinstance(found, Present)
    assert found.answer is not None
    assert found.answer.body == msgspec.json.encode([odd])


async def test_each_page_is_asked_for_with_the_filter_of_the_first() -> None:
    step = Step("", "suite", "object", "X", COVERAGE)
    first = DRIVER.observe(step)
    body = msgspec.json.encode(contracts(50))
    then = DRIVER.read(step, Response(200, JSON, body))
    assert isinstance(then, More)
    assert then.request == msgspec.structs.replace(first, query=(*first.query, ("offset", "49")))


# --- what moves meanwhile ---


def withdraw(*numbers: int) -> Callable[[Rows], None]:
    def act(rows: Rows) -> None:
        rows[:] = [row for row in rows if row["id"] not in numbers]

    return act


def publish(*numbers: int) -> Callable[[Rows], None]:
    def act(rows: Rows) -> None:
        rows.extend(contract(number, "PIN") for number in numbers)
        rows.sort(key=lambda row: int(row["id"]))

    return act


@pytest.mark.parametrize(
    "happens",
    [
        withdraw(7),  # C-51 moves on to the first page, which was read
        publish(0),  # C-49 is on both
        withdraw(50),  # the row that the next page begins with
        withdraw(*range(1, 200)),  # nothing is left of the next page
    ],
)
async def test_rows_that_move_between_pages_let_the_list_be_read_again(
    happens: Callable[[Rows], None],
) -> None:
    suite = Suite(contracts(120), {1: happens})
    with pytest.raises(Unavailable) as moved:
        await covering(suite)
    assert (moved.value.code, moved.value.where) == ("list-moved", "/api/contracts")
    suite.meanwhile = {}
    read_again = await covering(suite)
    assert read_again == [row["number"] for row in suite.rows if row["lines"][0] == LINE]


@pytest.mark.parametrize(
    ("happens", "named"),
    [
        (withdraw(100), ["C-1", "C-120"]),
        (publish(121), ["C-1", "C-100", "C-120", "C-121"]),
    ],
)
async def test_what_changes_behind_the_pages_that_were_read_is_read_as_it_is_by_then(
    happens: Callable[[Rows], None], named: list[str]
) -> None:
    assert await covering(Suite(contracts(120), {2: happens})) == named


async def test_one_that_goes_and_one_that_comes_before_the_page_leave_nothing_out() -> None:
    def swap(rows: Rows) -> None:
        withdraw(7)(rows)
        publish(0)(rows)

    suite = Suite(contracts(120), {1: swap})
    assert await covering(suite) == ["C-1", "C-100", "C-120"]


@given(
    st.integers(40, 160),
    st.lists(st.lists(st.integers(1, 321), max_size=3, unique=True), max_size=4),
)
def test_a_list_that_is_taken_leaves_out_nothing_that_was_there_all_the_time(
    count: int, happenings: list[list[int]]
) -> None:
    """After each page some contracts are withdrawn, or published where they were not."""
    step = Step("", "suite", "object", "X", COVERAGE)
    request, listed = DRIVER.observe(step), set(range(2, 2 * count + 1, 2))
    always, ever = set(listed), set(listed)
    found = DRIVER.read(step, page_of(listed, request))
    for changed in (*happenings, *[[]] * 4):
        if not isinstance(found, More):
            break
        listed ^= set(changed)
        always &= listed
        ever |= listed
        try:
            found = found.read(page_of(listed, found.request))
        except Unavailable:
            return
    assert isinstance(found, Present)
    assert found.answer is not None
    named = [row["id"] for row in msgspec.json.decode(found.answer.body)]
    assert len(named) == len(set(named))
    assert always <= set(named) <= ever


def page_of(listed: set[int], request: Request) -> Response:
    """The page of these contracts that is asked for, all of them for the pin."""
    begin = int(dict(request.query).get("offset", "0"))
    rows = [contract(number, "PIN") for number in sorted(listed)[begin : begin + 50]]
    return Response(200, JSON, msgspec.json.encode(rows))


async def test_an_object_that_is_listed_again_is_never_counted_twice() -> None:
    def again(rows: Rows) -> None:
        rows.insert(60, rows[3])

    with pytest.raises(Unavailable, match="list-moved"):
        await covering(Suite(contracts(120), {1: again}))


async def test_a_target_that_passes_over_the_offset_is_not_read_for_ever() -> None:
    suite = Suite(contracts(120))

    async def perform(request: Request) -> Response:
        kept = tuple(pair for pair in request.query if pair[0] != "offset")
        return await suite.perform(msgspec.structs.replace(request, query=kept))

    step = Step("", "suite", "object", "X", COVERAGE)
    with pytest.raises(Unavailable, match="list-moved") as moved:
        await look(DRIVER, step, perform)
    assert moved.value.remedy == (
        "Where this comes again and again: check that pages can be asked for by offset"
    )


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (Response(429, JSON, b'{"errors": {"base": ["Too many"]}}'), "rate-limited"),
        (Response(500, JSON, b""), "target-failed"),
        (Response(200, JSON, b'[{"id":'), "answer-unusable"),
        (Response(200, JSON, b"{}"), "answer-unknown"),
        (Response(200, {"content-type": "text/html"}, b"<html>"), "answer-is-a-page"),
    ],
)
async def test_a_later_page_that_fails_ends_the_read_as_the_first_would(
    response: Response, code: str
) -> None:
    suite = Suite(contracts(120))

    async def perform(request: Request) -> Response:
        return response if suite.asked else await suite.perform(request)

    with pytest.raises(Failure) as failed:
        await look(DRIVER, Step("", "suite", "object", "X", COVERAGE), perform)
    assert failed.value.code == code


# --- one object ---

ORDER = PurchaseOrder(
    "PO-1", 7, "17300001", "EUR", (OrderLine("10", "PIN", Quantity(Decimal(5), "H87")),)
)
# An operation, the object it is about as procurement lists it, and what tells it from others.
ONE: Sequence[tuple[Operation, dict[str, Any], str]] = (
    (PublishItem(item("PIN")), {"item-number": "PIN"}, "item-number"),
    (ReadSupplier("S-1"), {"number": "S-1", "status": "active"}, "number"),
    (PutSupplier(SupplierMaster("S-1", 7, name="Seals")), {"number": "S-1"}, "number"),
    (
        PutOrder(ORDER),
        {
            "po-number": "PO-1",
            "type": "ExternalOrderHeader",
            "status": "issued",
            "supplier": {"number": "17300001"},
            "currency": {"code": "EUR"},
        },
        "po-number",
    ),
    (
        RequestReview("S-1", "ECO-7", ("PIN",), "not qualified", "layshaft-1"),
        {"external-ref": "layshaft-1", "supplier": {"number": "S-1"}},
        "external-ref",
    ),
)


def among(row: dict[str, Any], told_by: str, places: Sequence[int], count: int = 120) -> Suite:
    """A list in which the object stands at these places, and others everywhere else."""
    return Suite(
        [
            row | {"id": place + 1} | ({} if place in places else {told_by: f"X-{place}"})
            for place in range(count)
        ]
    )


@pytest.mark.parametrize(("operation", "row", "told_by"), ONE)
async def test_an_object_is_found_on_whatever_page_it_stands(
    operation: Operation, row: dict[str, Any], told_by: str
) -> None:
    for place in (0, 49, 50, 97, 98, 119):
        found = await seen(operation, among(row, told_by, [place]))
        assert isinstance(found, Present)
        assert found.reference == str(place + 1)


@pytest.mark.parametrize(("operation", "row", "told_by"), ONE)
async def test_an_object_on_two_pages_is_a_suspected_duplicate(
    operation: Operation, row: dict[str, Any], told_by: str
) -> None:
    with pytest.raises(SuspectedDuplicate, match="number-used-twice"):
        await seen(operation, among(row, told_by, [3, 119]))


@pytest.mark.parametrize(("operation", "row", "told_by"), ONE)
async def test_an_object_is_absent_only_where_the_list_has_ended(
    operation: Operation, row: dict[str, Any], told_by: str
) -> None:
    with pytest.raises(Misconfigured, match="answer-incomplete") as refused:
        await seen(operation, among(row, told_by, [], count=981))
    assert refused.value.remedy == "Check that this interface version can be asked by this field"
    if not isinstance(operation, ReadSupplier):
        assert await seen(operation, among(row, told_by, [])) == Absent()
