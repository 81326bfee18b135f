"""Lists of ids that changed in procurement, the reads they lead to, and what these bring back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.connector import Answer, Present
from canonical.effects import Emit, Fetch, Open, Step
from canonical.errors import Failure, InvalidMessage, Misconfigured, Unavailable
from canonical.exchange import Response
from canonical.facts import Facts, Known
from canonical.handler import Delivery, Handler
from canonical.operations import ReadObject
from canonical.order import PurchaseOrder
from canonical.rules import Rules
from handlers.systems.coupa import changed
from handlers.systems.coupa.inbound import HANDLER_CONTRACT, HANDLER_ORDER
from handlers.systems.coupa.native import MAX_KEYS
from handlers.systems.coupa.outbound import DRIVER
from tests.corpus import CORPUS

FOLDER = CORPUS / "coupa"
ORDER: dict[str, Any] = json.loads((FOLDER / "order.json").read_text())
CONTRACT: dict[str, Any] = json.loads((FOLDER / "contract.json").read_text())
AT = "2026-03-02T08:00:00+01:00"
NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
NOTHING = Facts(Rules(plants=(), distribution=(), routes=(), central_purchasing_org="1010"))
JSON = {"content-type": "application/json"}
LISTS = {
    "supplier": changed.CHANGED_SUPPLIERS,
    "contract": changed.CHANGED_CONTRACTS,
    "order": changed.CHANGED_ORDERS,
}
PATHS = {
    "supplier": "/api/suppliers",
    "contract": "/api/contracts",
    "order": "/api/purchase_orders",
}


def listed(content: object, **attributes: str) -> Delivery:
    return Delivery("suite", "", json.dumps(content).encode(), attributes=attributes)


def rows(*ids: int, at: str = AT) -> list[dict[str, object]]:
    return [{"id": id_, "updated-at": at} for id_ in ids]


def reads(handler: Handler, content: object) -> tuple[object, ...]:
    return handler.decide(handler.read(listed(content)), NOTHING, NOW)


def asked(kind: str = "order", id_: str = "12") -> ReadObject:
    return ReadObject(kind, id_, f"{kind}-id/{id_}", asked=1, correlation_id="story")


def read(operation: ReadObject, response: Response) -> Answer:
    """What a response is handed on as."""
    step = Step("", "procurement", operation.kind, operation.id, operation)
    found = DRIVER.read(step, response)
    assert isinstance(found, Present)
    assert found.equal
    assert found.answer is not None
    assert DRIVER.write(step, found, "key") is None, "a read writes nothing"
    return found.answer


def refused(operation: ReadObject, response: Response) -> Failure:
    with pytest.raises(Failure) as caught:
        read(operation, response)
    return caught.value


def answered(answer: Answer) -> Delivery:
    """The answer as the runtime hands it on."""
    attributes = {
        "id": "step/9/1",
        "type": answer.type,
        "subject": answer.key,
        "time": NOW.isoformat(),
        "correlationid": "story",
    }
    return Delivery("procurement", answer.type, answer.body, attributes=attributes)


# --- lists ---


@pytest.mark.parametrize("kind", LISTS)
@given(ids=st.lists(st.integers(1, 2**63 - 1), max_size=20))
def test_each_object_is_asked_for_once_in_the_order_of_the_list(kind: str, ids: list[int]) -> None:
    expected = tuple(Fetch(kind, str(id_), key=f"{kind}-id/{id_}") for id_ in dict.fromkeys(ids))
    assert reads(LISTS[kind], rows(*ids)) == expected


def test_a_list_is_the_same_by_its_content_and_another_one_once_an_object_changed_again() -> None:
    handler = changed.CHANGED_ORDERS
    first, again, later = (
        handler.read(listed(rows(12, at=at))).envelope
        for at in (AT, AT, "2026-03-02T08:00:01+01:00")
    )
    assert first.id == again.id != later.id
    assert handler.read(listed(rows(12), id="look-7")).envelope.id == "look-7"
    others = {LISTS[kind].read(listed(rows(12))).envelope.id for kind in LISTS}
    assert len(others) == len(LISTS)


def test_a_list_goes_on_with_its_story() -> None:
    envelope = changed.CHANGED_ORDERS.read(listed(rows(12), correlationid="story")).envelope
    assert (envelope.correlation_id, envelope.source) == ("story", "suite")


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ([{"id": 12}], "updated-at"),
        ([{"updated-at": AT}], "id"),
        ([{"id": "12", "updated-at": AT}], "id"),
        (rows(0), "id"),
        (rows(2**63), "id"),
        ([*rows(11), {"id": 12, "updated-at": "yesterday"}], "[1].updated-at"),
        ({"id": 12, "updated-at": AT}, "coupa.changed-orders"),
        (rows(*range(1, MAX_KEYS + 2)), "coupa.changed-orders"),
    ],
)
def test_what_is_no_list_of_ids_and_times_is_refused_with_its_place(
    content: object, where: str
) -> None:
    with pytest.raises(InvalidMessage) as caught:
        changed.CHANGED_ORDERS.read(listed(content))
    assert where in f"{caught.value.where} {caught.value.what}"


def test_what_a_client_asked_for_besides_is_passed_over_and_the_rest_is_told() -> None:
    more = {"number": "C-1", "po-number": "PO-1", "status": "issued", "exported": False}
    message = changed.CHANGED_ORDERS.read(listed([*rows(12), *rows(13)]))
    told = changed.CHANGED_ORDERS.read(listed([rows(12)[0] | more | {"total": "5.00"}]))
    assert (message.ignored, told.ignored) == ((), ("[].total",))


# --- reads ---


@pytest.mark.parametrize("kind", PATHS)
def test_an_object_is_asked_for_by_its_id(kind: str) -> None:
    operation = asked(kind, "417")
    request = DRIVER.observe(Step("", "procurement", kind, "417", operation))
    assert (request.method, request.path) == ("GET", f"{PATHS[kind]}/417")
    assert ("Accept", "application/json") in request.headers
    assert not request.effectful


@pytest.mark.parametrize("operation", [asked("invoice"), asked(id_="12/../7"), asked(id_="x")])
def test_what_is_no_object_of_procurements_is_not_asked_for(operation: ReadObject) -> None:
    with pytest.raises(Misconfigured) as caught:
        DRIVER.observe(Step("", "procurement", operation.kind, operation.id, operation))
    assert (caught.value.code, caught.value.where) == ("object-unreadable", operation.key)


def test_what_is_not_read_at_all_is_not_read_from_an_answer_either() -> None:
    failure = refused(asked("invoice"), Response(200, JSON, b'{"id": 12}'))
    assert failure.code == "object-unreadable"


def test_an_object_is_handed_on_as_it_came() -> None:
    body = json.dumps(ORDER).encode()
    answer = read(asked(), Response(200, JSON, body))
    assert (answer.type, answer.key) == ("coupa.order-read", "order-id/12")
    assert json.loads(answer.body) == {"object": ORDER}
    assert body in answer.body


def test_that_an_object_is_gone_is_an_answer() -> None:
    body = b'{"errors": {"base": ["There is none"]}}'
    answer = read(asked("contract", "4"), Response(404, JSON, body))
    assert answer == Answer("coupa.contract-read", "contract-id/4", b'{"gone":true}')


@pytest.mark.parametrize(
    ("response", "kind", "code"),
    [
        (Response(404, {"content-type": "text/html"}, b"<html>"), Misconfigured, "unknown"),
        (Response(404, JSON, b""), Misconfigured, "interface-unknown"),
        (Response(404, JSON, b'{"message": "no route"}'), Misconfigured, "interface-unknown"),
        (Response(200, JSON, b'{"id": 13}'), Misconfigured, "answer-about-another"),
        (Response(200, JSON, b"[]"), Misconfigured, "answer-unknown"),
        (Response(200, JSON, b'{"id": 12'), Unavailable, "answer-unusable"),
        (Response(403, JSON, b'{"errors": {}}'), Misconfigured, "not-authorised"),
        (Response(429, JSON, b'{"errors": {}}'), Unavailable, "rate-limited"),
        (Response(500, JSON, b""), Unavailable, "target-failed"),
    ],
)
def test_any_other_answer_is_a_failure_and_nothing_is_gone(
    response: Response, kind: type[Failure], code: str
) -> None:
    failure = refused(asked(), response)
    assert isinstance(failure, kind)
    assert code in failure.code


# --- answers ---


def test_what_was_read_counts_as_a_row_of_it_does() -> None:
    pairs = (
        (asked(), ORDER, HANDLER_ORDER, changed.READ_ORDER),
        (asked("contract", "4"), CONTRACT, HANDLER_CONTRACT, changed.READ_CONTRACT),
    )
    for operation, row, rowwise, handler in pairs:
        answer = read(operation, Response(200, JSON, json.dumps(row).encode()))
        message = handler.read(answered(answer))
        as_row = rowwise.read(listed(row))
        expected = rowwise.decide(as_row, NOTHING, NOW)
        assert handler.decide(message, NOTHING, NOW) == expected != ()
        assert message.envelope.key == operation.key
        assert message.envelope.correlation_id == "story"


def test_an_order_on_record_is_changed_and_one_that_is_not_is_created() -> None:
    handler = changed.READ_ORDER
    message = handler.read(answered(_order()))
    (created,) = handler.decide(message, NOTHING, NOW)
    assert isinstance(created, Emit)
    assert isinstance(created.data, PurchaseOrder)
    assert handler.needs(message, NOTHING) == {"purchase-order/PO-1"}
    known = Facts(NOTHING.rules, {"purchase-order/PO-1": Known(1, created.data)})
    (again,) = handler.decide(message, known, NOW)
    assert isinstance(again, Emit)
    assert (created.event, again.event) == ("purchase-order.created", "purchase-order.changed")


def _order(**fields: Any) -> Answer:
    return read(asked(), Response(200, JSON, json.dumps(ORDER | fields).encode()))


def test_a_later_read_passes_what_an_earlier_one_left_behind() -> None:
    handler = changed.READ_ORDER
    assert handler.version is not None
    first = handler.read(answered(_order()))
    assert handler.version(first) == 1_772_438_400_000_000


def test_lines_by_amount_are_told_of_what_was_read() -> None:
    amount = {"line-num": "2", "type": "OrderAmountLine", "price": "150.00"}
    message = changed.READ_ORDER.read(
        answered(_order(**{"order-lines": [*ORDER["order-lines"], amount]}))
    )
    assert changed.READ_ORDER.ignored(message)["line by amount"] == 1
    gone = Answer("coupa.order-read", "order-id/12", b'{"gone":true}')
    assert changed.READ_ORDER.ignored(changed.READ_ORDER.read(answered(gone))) == {}


@pytest.mark.parametrize(
    ("handler", "key", "what"),
    [
        (changed.READ_SUPPLIER, "supplier-id/417", "supplier with the id 417"),
        (changed.READ_CONTRACT, "contract-id/4", "contract with the id 4"),
        (changed.READ_ORDER, "order-id/12", "purchase order with the id 12"),
    ],
)
def test_what_is_gone_is_a_case_for_purchasing(handler: Handler, key: str, what: str) -> None:
    message = handler.read(answered(Answer(handler.types[0], key, b'{"gone":true}')))
    assert handler.needs(message, NOTHING) == frozenset()
    (case,) = handler.decide(message, NOTHING, NOW)
    assert isinstance(case, Open)
    assert (case.code, case.where, case.owner) == ("gone-at-procurement", key, "purchasing")
    assert what in case.what


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"gone": False},
        {"gone": True, "object": ORDER},
        {"object": ORDER | {"updated-at": "yesterday"}},
        {"object": ORDER | {"po-number": " "}},
        {"object": {name: value for name, value in ORDER.items() if name != "updated-at"}},
    ],
)
def test_an_answer_that_says_nothing_or_both_or_no_time_is_refused(content: object) -> None:
    answer = Answer("coupa.order-read", "order-id/12", json.dumps(content).encode())
    with pytest.raises(InvalidMessage):
        changed.READ_ORDER.read(answered(answer))
