"""What is asked of Arena, what its answers mean, and what is written back."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.connector import Confirmed, More, Observed, Present
from canonical.effects import Effect, Emit, Fetch, Open, Put, Step
from canonical.envelope import Message
from canonical.errors import (
    Conflict,
    Failure,
    InDoubt,
    InvalidMessage,
    Misconfigured,
    Rejected,
    Unavailable,
)
from canonical.exchange import Request, Response
from canonical.facts import Facts, Known
from canonical.handler import Delivery
from canonical.operations import (
    Operation,
    ReadObject,
    ReadSupplier,
    Reconcile,
    ReportImplementation,
)
from canonical.rules import Rules
from handlers.systems.arena.gone import HANDLER as GONE_HANDLER
from handlers.systems.arena.inbound import HANDLER
from handlers.systems.arena.item import HANDLER as ITEM_HANDLER
from handlers.systems.arena.native import ChangeStatement, ItemStatement
from handlers.systems.arena.outbound import DRIVER, MAX_PAGE, MOST_CALLS
from handlers.systems.arena.supplier import HANDLER as SUPPLIER_HANDLER
from tests.fixtures.gearbox import item as known_item

JSON = {"content-type": "application/json"}
KEY = "engineering-change/ECO-000031"
GUID = "CHG00000000000000009"
ITEM_KEY = "item/SEAL-7"
ITEM_GUID = "REV00000000000000012"
NOTICE = "INT00000000000000001/EVT00000000000000004"
EVENT_PATH = "/outboundintegrations/INT00000000000000001/events/EVT00000000000000004"

READ_CHANGE = ReadObject("change", GUID, KEY, asked=1, correlation_id="story")
READ_EVENT = ReadObject("event", f"{NOTICE}/{GUID}", KEY, asked=1, correlation_id="story")
READ_ITEM = ReadObject("item", ITEM_GUID, ITEM_KEY, asked=1, correlation_id="story")
READ_SUPPLIER = ReadObject("supplier", "SUP1", "supplier/S-3", asked=1, correlation_id="story")
REPORT = ReportImplementation("ECO-000031", GUID, "done", "Implemented everywhere")
RECONCILE = Reconcile("ECO-000031", NOTICE)
RECONCILE_ITEM = Reconcile("ECO-000031", NOTICE, "SEAL-7")
OPERATIONS: tuple[Operation, ...] = (
    READ_CHANGE,
    READ_EVENT,
    READ_ITEM,
    READ_SUPPLIER,
    REPORT,
    RECONCILE,
    RECONCILE_ITEM,
)

CHANGE: dict[str, Any] = {
    "additionalAttributes": [{"guid": "ATT1", "name": "Urgency", "value": "High"}],
    "category": {"guid": "CAT1", "name": "Engineering Change Order"},
    "effectiveDateTime": "2026-02-27T17:05:09Z",
    "effectivityType": "PERMANENT_ON_APPROVAL",
    "guid": GUID,
    "implementationStatus": "NOT_STARTED",
    "lifecycleDateTime": "2026-02-27T17:05:09Z",
    "lifecycleStatus": {"type": "EFFECTIVE"},
    "number": "ECO-000031",
    "title": "New seal",
}
ITEMS: dict[str, Any] = {
    "count": 1,
    "results": [
        {
            "guid": "ROW00000000000000001",
            "affectedItemRevision": {"guid": "REV1", "number": "SEAL-7", "revisionNumber": "A"},
            "newItemRevision": {"guid": "REV2", "number": "SEAL-7", "revisionNumber": "B"},
            "newLifecyclePhase": {"guid": "PH1", "name": "In Production"},
            "newRevisionNumber": "B",
            "dispositionAttributes": [{"guid": "D1", "name": "In Stock", "value": "Use up"}],
        }
    ],
}
EVENT: dict[str, Any] = {
    "guid": "EVT00000000000000004",
    "eventType": "CHANGE",
    "creationDateTime": "2026-02-27T17:05:09Z",
    "itemsReconciled": False,
    "status": "NEEDS_UPDATE",
    "change": {"guid": GUID, "number": "ECO-000031", "title": "New seal"},
}
ITEM: dict[str, Any] = {
    "category": {"guid": "CAT9", "name": "Mechanical"},
    "effectiveDateTime": "2026-02-27T17:05:09Z",
    "guid": ITEM_GUID,
    "lifecyclePhase": {"guid": "PH1", "name": "In Production"},
    "name": "Seal, 12 mm",
    "number": "SEAL-7",
    "procurementType": "OTS",
    "revisionNumber": "B",
    "revisionStatus": "EFFECTIVE",
    "uom": "each",
}
BOM: dict[str, Any] = {
    "count": 1,
    "results": [
        {
            "guid": "LINE0000000000000001",
            "item": {"guid": "REV3", "number": "RING-2", "revisionNumber": "A"},
            "lineNumber": 1,
            "notes": None,
            "quantity": 2,
            "refDes": None,
        }
    ],
}
SUPPLIER: dict[str, Any] = {
    "accountNumber": None,
    "approvalStatus": "disapproved",
    "guid": "SUP1",
    "name": "Teller Precision",
    "supplierId": "S-3",
}
NO_BOM: dict[str, Any] = {"count": 0, "results": []}


def source(part: str | None, **fields: Any) -> dict[str, Any]:
    row = {"guid": "SRC1", "approved": True, "makeItem": False, "notes": None}
    return row | {"mfrItem": {"guid": part} if part else None} | fields


def sources(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"count": len(rows), "results": list(rows)}


def part(guid: str, maker: str) -> dict[str, Any]:
    return {"guid": guid, "number": f"N-{guid}", "supplier": {"guid": maker}}


def maker(guid: str) -> dict[str, Any]:
    return {"guid": guid, "name": f"Maker {guid}"}


SOURCING = sources(source("PART1"))
PART = part("PART1", "MAKER1")
MAKER = maker("MAKER1")
COMPLETED: dict[str, Any] = {
    "change": {"guid": GUID, "number": "ECO-000031"},
    "comment": "Implemented everywhere",
    "implementationStatus": {"value": "DONE"},
    "status": "COMPLETED",
}


def step_of(operation: Operation) -> Step:
    return Step("", "plm", "engineering-change", "ECO-000031", operation)


def answer(content: object, status: int = 200, headers: Mapping[str, str] = JSON) -> Response:
    return Response(status, headers, json.dumps(content).encode())


def error(status: int, code: int, message: str, **headers: str) -> Response:
    """A refusal as Arena words it."""
    body = {"status": status, "errors": [{"code": code, "message": message}]}
    names = {name.replace("_", "-"): text for name, text in headers.items()}
    return answer(body, status, JSON | names)


def read(operation: Operation, *responses: Response) -> tuple[Observed | More, list[str]]:
    """What these answers, one after the other, come to, and the paths that were asked for."""
    step = step_of(operation)
    request = DRIVER.observe(step)
    paths: list[str] = []
    found: Observed | More = More(request, lambda response: DRIVER.read(step, response))
    for response in responses:
        assert isinstance(found, More)
        assert (found.request.method, found.request.effectful) == ("GET", False)
        paths.append(found.request.path)
        found = found.read(response)
    return found, paths


def statement(found: Observed | More) -> Mapping[str, Any]:
    assert isinstance(found, Present)
    assert found.equal
    assert found.answer is not None
    assert (found.answer.type, found.answer.key) == ("arena.change", KEY)
    body: Mapping[str, Any] = json.loads(found.answer.body)
    return body


def as_answered(found: Observed | More) -> Message[ChangeStatement]:
    """The answer as the handler of changes takes it."""
    assert isinstance(found, Present)
    assert found.answer is not None
    attributes = {"id": "step/1/1", "subject": KEY, "time": "2026-03-02T08:00:00Z"}
    message: Message[ChangeStatement] = HANDLER.read(
        Delivery("plm", found.answer.type, found.answer.body, attributes=attributes)
    )
    return message


def refused(call: Callable[[], object]) -> Failure:
    with pytest.raises(Failure) as caught:
        call()
    return caught.value


# --- reads ---


def test_a_change_is_read_in_two_calls_and_becomes_one_statement() -> None:
    found, paths = read(READ_CHANGE, answer(CHANGE), answer(ITEMS))
    assert paths == [f"/changes/{GUID}", f"/changes/{GUID}/items"]
    assert statement(found) == {"change": CHANGE, "changeItems": ITEMS}


def test_a_change_is_read_by_way_of_the_queue_in_three() -> None:
    found, paths = read(READ_EVENT, answer(EVENT), answer(CHANGE), answer(ITEMS))
    assert paths == [EVENT_PATH, f"/changes/{GUID}", f"/changes/{GUID}/items"]
    event = {"guid": "EVT00000000000000004", "integration": "INT00000000000000001"}
    assert statement(found) == {"change": CHANGE, "changeItems": ITEMS, "event": event}


def test_what_was_read_is_released_with_its_notice() -> None:
    found, _ = read(READ_EVENT, answer(EVENT), answer(CHANGE), answer(ITEMS))
    message = as_answered(found)
    assert message.envelope.key == READ_EVENT.key
    known = Facts(Rules(plants=(), distribution=(), routes=(), central_purchasing_org="1010"))
    put, emit, *_, fetch = HANDLER.decide(message, known, datetime(2026, 3, 2, tzinfo=UTC))
    assert isinstance(put, Put)
    assert isinstance(emit, Emit)
    assert put.document == emit.data
    assert fetch == Fetch("item", "REV2", key="item/SEAL-7")
    change: Any = emit.data
    assert (change.source_id, change.notice) == (GUID, NOTICE)
    assert [(row.item, row.old_revision, row.new_revision) for row in change.affected] == [
        ("SEAL-7", "A", "B")
    ]


def test_a_change_that_has_another_number_by_now_is_a_conflict() -> None:
    failure = refused(lambda: read(READ_CHANGE, answer(CHANGE | {"number": "ECO-000077"})))
    assert isinstance(failure, Conflict)
    assert (failure.code, failure.where) == ("change-renumbered", KEY)


def test_a_list_of_items_that_is_cut_off_is_not_taken() -> None:
    failure = refused(lambda: read(READ_CHANGE, answer(CHANGE), answer(ITEMS | {"count": 2})))
    assert isinstance(failure, Misconfigured)
    assert (failure.code, failure.what) == (
        "answer-incomplete",
        "Arena lists 1 of 2 affected items",
    )


@pytest.mark.parametrize(
    ("operation", "content"),
    [
        (READ_CHANGE, CHANGE | {"guid": "CHG00000000000000010"}),
        (REPORT, CHANGE | {"guid": "CHG00000000000000010"}),
        (READ_EVENT, EVENT | {"guid": "EVT00000000000000005"}),
        (READ_ITEM, ITEM | {"guid": "REV00000000000000013"}),
        (READ_SUPPLIER, SUPPLIER | {"guid": "SUP2"}),
        (RECONCILE, EVENT | {"guid": "EVT00000000000000005"}),
    ],
)
def test_an_answer_about_another_object_is_no_answer(
    operation: Operation, content: Mapping[str, Any]
) -> None:
    failure = refused(lambda: read(operation, answer(content)))
    assert (failure.code, failure.word) == ("answer-about-another", "configuration")


def test_an_entry_of_the_queue_without_a_change_is_for_engineering() -> None:
    failure = refused(lambda: read(READ_EVENT, answer(EVENT | {"change": None})))
    assert isinstance(failure, Rejected)
    assert (failure.code, failure.owner) == ("event-without-change", "engineering")


@pytest.mark.parametrize(
    "operation",
    [
        ReadObject("change", "../login", KEY, asked=1, correlation_id=""),
        ReadObject("event", "INT1", KEY, asked=1, correlation_id=""),
        ReadObject("item", "REV1/bom", ITEM_KEY, asked=1, correlation_id=""),
        ReadObject("supplier", "", "supplier/S-3", asked=1, correlation_id=""),
        ReadObject("event", "INT1/EVT1/CHG1/items", KEY, asked=1, correlation_id=""),
        ReportImplementation("ECO-1", "", "done", ""),
        Reconcile("ECO-1", ""),
    ],
)
def test_what_is_no_guid_is_not_asked_for(operation: Operation) -> None:
    failure = refused(lambda: DRIVER.observe(step_of(operation)))
    assert isinstance(failure, InvalidMessage)
    assert failure.code == "guid-malformed"


@pytest.mark.parametrize(
    "operation",
    [ReadSupplier("7"), ReadObject("file", "FILE1", "file/X", asked=1, correlation_id="")],
)
def test_what_arena_is_not_asked_for_is_a_fault_of_the_routes(operation: Operation) -> None:
    failure = refused(lambda: DRIVER.observe(step_of(operation)))
    assert (failure.code, failure.word) == ("operation-unsupported", "configuration")


def test_a_supplier_is_read_in_one_call_and_stated_as_of_the_read() -> None:
    found, paths = read(READ_SUPPLIER, answer(SUPPLIER))
    assert paths == ["/suppliers/SUP1"]
    assert isinstance(found, Present)
    assert found.answer is not None
    assert (found.equal, found.answer.type, found.answer.key) == (
        True,
        "arena.supplier",
        "supplier/S-3",
    )
    assert json.loads(found.answer.body) == {"supplier": SUPPLIER}
    attributes = {"id": "step/1/1", "subject": "supplier/S-3", "time": "2026-03-02T08:00:00Z"}
    message = SUPPLIER_HANDLER.read(Delivery("plm", "", found.answer.body, attributes=attributes))
    known = Facts(Rules(plants=(), distribution=(), routes=(), central_purchasing_org="1010"))
    (emit,) = SUPPLIER_HANDLER.decide(message, known, datetime(2026, 3, 2, tzinfo=UTC))
    assert isinstance(emit, Emit)
    supplier: Any = emit.data
    assert (emit.event, emit.key) == ("supplier.changed", "supplier/S-3")
    assert supplier.qualification.status == "disqualified"
    assert supplier.stated_at == datetime(2026, 3, 2, 8, tzinfo=UTC)


@pytest.mark.parametrize("number", ["S-4", " ", None])
def test_a_supplier_that_has_another_number_by_now_or_none_is_a_conflict(number: Any) -> None:
    failure = refused(lambda: read(READ_SUPPLIER, answer(SUPPLIER | {"supplierId": number})))
    assert isinstance(failure, Conflict)
    assert (failure.code, failure.where) == ("supplier-renumbered", "supplier/S-3")


def test_a_read_writes_nothing() -> None:
    found, _ = read(READ_CHANGE, answer(CHANGE), answer(ITEMS))
    assert isinstance(found, Present)
    assert DRIVER.write(step_of(READ_CHANGE), found, "key") is None


# --- reads of items ---

ITEM_PATHS = [f"/items/{ITEM_GUID}", f"/items/{ITEM_GUID}/bom", f"/items/{ITEM_GUID}/sourcing"]


def item_statement(found: Observed | More) -> Mapping[str, Any]:
    assert isinstance(found, Present)
    assert found.equal
    assert found.answer is not None
    assert (found.answer.type, found.answer.key) == ("arena.item", ITEM_KEY)
    body: Mapping[str, Any] = json.loads(found.answer.body)
    return body


def item_answered(found: Observed | More) -> Message[ItemStatement]:
    """The answer as the handler of items takes it."""
    assert isinstance(found, Present)
    assert found.answer is not None
    attributes = {"id": "step/1/1", "subject": ITEM_KEY, "time": "2026-03-02T08:00:00Z"}
    message: Message[ItemStatement] = ITEM_HANDLER.read(
        Delivery("plm", found.answer.type, found.answer.body, attributes=attributes)
    )
    return message


def said_of_item(found: Observed | More) -> tuple[Effect, ...]:
    known = Facts(Rules(plants=(), distribution=(), routes=(), central_purchasing_org="1010"))
    return ITEM_HANDLER.decide(item_answered(found), known, datetime(2026, 3, 2, tzinfo=UTC))


def test_an_item_is_read_with_its_bom_its_sources_and_who_they_are() -> None:
    found, paths = read(
        READ_ITEM, answer(ITEM), answer(BOM), answer(SOURCING), answer(PART), answer(MAKER)
    )
    assert paths == [*ITEM_PATHS, "/supplieritems/PART1", "/suppliers/MAKER1"]
    assert item_statement(found) == {
        "item": ITEM,
        "bom": BOM,
        "sourcing": SOURCING,
        "supplierItems": [PART],
        "suppliers": [MAKER],
    }


def test_as_many_sources_are_asked_for_as_one_answer_may_have() -> None:
    step = step_of(READ_ITEM)
    bom = DRIVER.read(step, answer(ITEM))
    assert isinstance(bom, More)
    sourcing = bom.read(answer(BOM))
    assert isinstance(sourcing, More)
    assert (bom.request.query, sourcing.request.query) == ((), (("limit", "400"),))


def test_parts_and_makers_are_read_once_and_what_is_made_here_has_none() -> None:
    rows = sources(
        source("PART1"),
        source(None, makeItem=True),
        source("PART2"),
        source("PART1"),
        source(None),
        source("PART9", makeItem=True),
    )
    parts = [part("PART1", "MAKER1"), part("PART2", "MAKER1")]
    found, paths = read(READ_ITEM, *map(answer, (ITEM, NO_BOM, rows, *parts, MAKER)))
    assert paths[3:] == ["/supplieritems/PART1", "/supplieritems/PART2", "/suppliers/MAKER1"]
    assert item_statement(found)["supplierItems"] == parts
    assert item_statement(found)["suppliers"] == [MAKER]


def sold(part: str, by: str) -> dict[str, Any]:
    return source(part, vendorItem={"guid": by}, vendorItemConversionFactor=1)


def test_vendors_are_read_after_the_makers_and_each_of_both_once() -> None:
    rows = sources(
        sold("PART1", "PART1"),
        sold("PART1", "PART3"),
        sold("PART2", "PART4"),
        source("PART9", makeItem=True, vendorItem={"guid": "PART9"}),
    )
    parts = [part("PART1", "MAKER1"), part("PART2", "MAKER2")]
    offers = [part("PART3", "VENDOR1"), part("PART4", "MAKER2")]
    makers = [maker("MAKER1"), maker("MAKER2")]
    answers = (ITEM, NO_BOM, rows, *parts, *makers, *offers, maker("VENDOR1"))
    found, paths = read(READ_ITEM, *map(answer, answers))
    assert paths[3:] == [
        "/supplieritems/PART1",
        "/supplieritems/PART2",
        "/suppliers/MAKER1",
        "/suppliers/MAKER2",
        "/supplieritems/PART3",
        "/supplieritems/PART4",
        "/suppliers/VENDOR1",
    ]
    assert item_statement(found)["supplierItems"] == [*parts, *offers]
    assert item_statement(found)["suppliers"] == [*makers, maker("VENDOR1")]


@pytest.mark.parametrize(("offers", "calls"), [(7, 5 + 7 + 7), (8, 5)])
def test_all_vendors_are_read_or_none_where_they_may_be_too_many(offers: int, calls: int) -> None:
    rows = sources(*(sold("PART1", f"OFFER{n}") for n in range(offers)))
    found, paths = read(READ_ITEM, *map(answer, (ITEM, NO_BOM, rows, PART, MAKER)))
    while isinstance(found, More):
        guid = found.request.path.rpartition("/")[2]
        paths.append(found.request.path)
        shown = part(guid, f"V{guid}") if "supplieritems" in found.request.path else maker(guid)
        found = found.read(answer(shown))
    assert len(paths) == calls <= MOST_CALLS
    assert len(item_statement(found)["supplierItems"]) == 1 + (offers if calls > 5 else 0)


def test_what_was_read_of_an_item_is_released_as_of_the_read() -> None:
    found, _ = read(READ_ITEM, *map(answer, (ITEM, NO_BOM, SOURCING, PART, MAKER)))
    assert item_answered(found).envelope.key == READ_ITEM.key
    (emit,) = said_of_item(found)
    assert isinstance(emit, Emit)
    item: Any = emit.data
    assert (emit.event, item.number, item.revision.label) == ("item.released", "SEAL-7", "B")
    assert [(entry.manufacturer, entry.part) for entry in item.manufacturers] == [
        ("Maker MAKER1", "N-PART1")
    ]
    assert item.stated_at == datetime(2026, 3, 2, 8, tzinfo=UTC)


def test_an_item_without_bom_and_sources_is_read_in_three_calls() -> None:
    found, paths = read(READ_ITEM, answer(ITEM), answer(NO_BOM), answer(sources()))
    assert paths == ITEM_PATHS
    assert isinstance(found, Present)


def test_an_item_that_has_another_number_by_now_is_a_conflict() -> None:
    failure = refused(lambda: read(READ_ITEM, answer(ITEM | {"number": "SEAL-8"})))
    assert isinstance(failure, Conflict)
    assert (failure.code, failure.where) == ("item-renumbered", ITEM_KEY)


@pytest.mark.parametrize(
    ("answers", "what"),
    [
        ([BOM | {"count": 40}], "Arena lists 1 of 40 lines of the BOM"),
        ([BOM, SOURCING | {"count": 25}], "Arena lists 1 of 25 sources"),
        (
            [BOM, sources(*[source("PART1")] * MAX_PAGE)],
            f"Arena lists {MAX_PAGE} of {MAX_PAGE + 1} sources",
        ),
    ],
)
def test_a_list_of_an_item_that_may_be_cut_off_is_not_taken(
    answers: list[dict[str, Any]], what: str
) -> None:
    failure = refused(lambda: read(READ_ITEM, answer(ITEM), *map(answer, answers)))
    assert isinstance(failure, Misconfigured)
    assert (failure.code, failure.what, failure.where) == ("answer-incomplete", what, ITEM_KEY)


@pytest.mark.parametrize(
    "answers",
    [
        [SOURCING, part("PART2", "MAKER1")],
        [SOURCING, PART, maker("MAKER2")],
    ],
)
def test_an_answer_about_another_part_or_maker_is_no_answer(answers: list[dict[str, Any]]) -> None:
    failure = refused(lambda: read(READ_ITEM, *map(answer, (ITEM, BOM, *answers))))
    assert failure.code == "answer-about-another"


@pytest.mark.parametrize("at", range(5))
def test_a_refusal_of_any_call_about_an_item_is_one_of_the_read(at: int) -> None:
    responses = [answer(content) for content in (ITEM, BOM, SOURCING, PART, MAKER)][:at]
    assert isinstance(refused(lambda: read(READ_ITEM, *responses, BAD_GUID)), Rejected)


def many_sources(parts: int, makers: int) -> list[Response]:
    """The answers about an item with so many parts of so many makers."""
    rows = sources(*(source(f"P{n}") for n in range(parts)))
    return [
        *map(answer, (ITEM, NO_BOM, rows)),
        *(answer(part(f"P{n}", f"M{n % makers}")) for n in range(parts)),
        *(answer(maker(f"M{n}")) for n in range(makers)),
    ]


@pytest.mark.parametrize(("parts", "makers"), [(16, 1), (9, 8), (2, 2)])
def test_an_item_whose_sources_take_as_many_calls_as_a_look_may_have_is_read(
    parts: int, makers: int
) -> None:
    responses = many_sources(parts, makers)
    found, paths = read(READ_ITEM, *responses)
    assert isinstance(found, Present)
    assert len(paths) == len(responses) <= MOST_CALLS


@pytest.mark.parametrize(
    ("parts", "makers", "after"), [(17, 1, 3), (400 - 1, 1, 3), (9, 9, 12), (10, 8, 11)]
)
def test_an_item_whose_sources_take_more_is_given_up_as_soon_as_that_is_known(
    parts: int, makers: int, after: int
) -> None:
    responses = many_sources(parts, makers)
    found, _ = read(READ_ITEM, *responses[: after - 1])
    assert isinstance(found, More)
    failure = refused(lambda: read(READ_ITEM, *responses[:after]))
    assert isinstance(failure, Rejected)
    assert (failure.code, failure.where, failure.owner) == (
        "item-with-many-sources",
        ITEM_KEY,
        "engineering",
    )


# --- implementation status ---


def test_an_effective_change_is_completed_with_status_and_comment() -> None:
    found, paths = read(REPORT, answer(CHANGE))
    assert paths == [f"/changes/{GUID}"]
    assert isinstance(found, Present)
    assert found == Present(
        equal=False,
        reference="ECO-000031",
        differences=("status: EFFECTIVE, wanted COMPLETED",),
    )
    write = DRIVER.write(step_of(REPORT), found, "key")
    assert write is not None
    assert write.completes
    request = write.request
    assert (request.method, request.path) == ("POST", "/changes/statuschanges")
    assert request.effectful
    assert json.loads(request.body or b"") == {
        "change": {"guid": GUID},
        "status": "COMPLETED",
        "implementationStatus": {"value": "DONE"},
        "comment": "Implemented everywhere",
    }


@pytest.mark.parametrize("status", [200, 201])
def test_a_completion_is_confirmed_by_its_guid_and_status(status: int) -> None:
    assert DRIVER.confirm(step_of(REPORT), answer(COMPLETED, status)) == Confirmed("ECO-000031")


@pytest.mark.parametrize(
    "other",
    [
        {"change": {"guid": "CHG00000000000000010"}},
        {"status": "EFFECTIVE"},
        {"implementationStatus": {"value": "IN_PROGRESS"}},
        {"implementationStatus": None},
    ],
)
def test_a_confirmation_of_something_else_leaves_it_in_doubt(other: dict[str, Any]) -> None:
    failure = refused(lambda: DRIVER.confirm(step_of(REPORT), answer(COMPLETED | other, 201)))
    assert isinstance(failure, InDoubt)


def test_a_change_that_is_completed_as_wanted_is_left_alone() -> None:
    done = CHANGE | {"lifecycleStatus": {"type": "COMPLETED"}, "implementationStatus": "DONE"}
    found, _ = read(REPORT, answer(done))
    assert found == Present(equal=True, reference="ECO-000031")


@pytest.mark.parametrize(
    ("status", "implementation", "code", "word"),
    [
        ("COMPLETED", "NEEDS_ATTN", "change-status-differs", "ownership_conflict"),
        ("CANCELED", "NOT_STARTED", "change-status-differs", "ownership_conflict"),
        ("OPEN_AND_UNLOCKED", None, "change-status-differs", "ownership_conflict"),
        ("APPROVED", "NOT_STARTED", "change-not-effective", "transient"),
    ],
)
def test_a_change_that_cannot_be_completed_waits_or_is_for_a_person(
    status: str, implementation: str | None, code: str, word: str
) -> None:
    held = CHANGE | {"lifecycleStatus": {"type": status}, "implementationStatus": implementation}
    failure = refused(lambda: read(REPORT, answer(held)))
    assert (failure.code, failure.word) == (code, word)


def test_a_deviation_that_has_expired_can_be_completed() -> None:
    found, _ = read(REPORT, answer(CHANGE | {"lifecycleStatus": {"type": "EXPIRED"}}))
    assert isinstance(found, Present)
    assert found.differences == ("status: EXPIRED, wanted COMPLETED",)


# --- the queue ---


def test_an_entry_is_marked_as_dealt_with() -> None:
    found, paths = read(RECONCILE, answer(EVENT))
    assert paths == [EVENT_PATH]
    assert isinstance(found, Present)
    assert found.differences == ("itemsReconciled: false, wanted true",)
    write = DRIVER.write(step_of(RECONCILE), found, "key")
    assert write is not None
    assert (write.request.method, write.request.path, write.completes) == ("PUT", EVENT_PATH, True)
    assert json.loads(write.request.body or b"") == {"itemsReconciled": True}
    shown = EVENT | {"itemsReconciled": True, "status": "RECONCILED"}
    confirmed = DRIVER.confirm(step_of(RECONCILE), answer(shown))
    assert confirmed == Confirmed("EVT00000000000000004")
    assert read(RECONCILE, answer(shown))[0] == Present(equal=True, reference=confirmed.reference)


def test_an_entry_that_still_waits_after_the_write_is_in_doubt() -> None:
    assert isinstance(
        refused(lambda: DRIVER.confirm(step_of(RECONCILE), answer(EVENT))),
        InDoubt,
    )


EVENT_ITEM: dict[str, Any] = {
    "effectiveItemRevision": {
        "guid": ITEM_GUID,
        "name": "Seal, 12 mm",
        "number": "SEAL-7",
        "revisionNumber": "B",
    },
    "guid": "EVI00000000000000004",
    "reconciled": False,
}


def event_items(*numbers: str, reconciled: bool = False) -> dict[str, Any]:
    rows = [
        {
            "guid": f"EVI{place}",
            "reconciled": reconciled,
            "effectiveItemRevision": {"guid": f"REV{place}", "number": number},
        }
        for place, number in enumerate(numbers)
    ]
    return {"count": len(rows), "results": rows}


def test_an_item_of_an_entry_is_marked_as_dealt_with() -> None:
    step = step_of(RECONCILE_ITEM)
    request = DRIVER.observe(step)
    assert request.query == (("reconciled", "any"), ("limit", "400"), ("offset", "0"))
    found, paths = read(RECONCILE_ITEM, answer(event_items("RING-2", "SEAL-7")))
    assert paths == [f"{EVENT_PATH}/items"]
    assert isinstance(found, Present)
    assert (found.equal, found.differences) == (False, ("reconciled: false, wanted true",))
    write = DRIVER.write(step, found, "key")
    assert write is not None
    path = f"{EVENT_PATH}/items/EVI1"
    assert (write.request.method, write.request.path, write.completes) == ("PUT", path, True)
    assert json.loads(write.request.body or b"") == {"reconciled": True}
    shown = answer(EVENT_ITEM | {"reconciled": True, "reconciledDateTime": "2026-03-02T08:00:00Z"})
    assert DRIVER.confirm(step, shown) == Confirmed("EVI00000000000000004")


def test_an_item_that_is_marked_already_is_done() -> None:
    found, _ = read(RECONCILE_ITEM, answer(event_items("SEAL-7", reconciled=True)))
    assert found == Present(equal=True, reference="EVI0")


def test_an_item_is_looked_for_on_all_pages_of_its_entry() -> None:
    page = answer(event_items(*(f"RING-{n}" for n in range(MAX_PAGE))))
    found, _ = read(RECONCILE_ITEM, page)
    assert isinstance(found, More)
    assert found.request.query[-1] == ("offset", "400")
    found, paths = read(RECONCILE_ITEM, page, page, answer(event_items("SEAL-7")))
    assert paths == [f"{EVENT_PATH}/items"] * 3
    assert isinstance(found, Present)
    assert found.reference == "EVI0"
    later = refused(lambda: read(RECONCILE_ITEM, page, BAD_GUID))
    assert later.code == "target-refused"


def test_an_entry_that_does_not_name_the_item_is_a_conflict() -> None:
    failure = refused(lambda: read(RECONCILE_ITEM, answer(event_items("RING-2"))))
    assert isinstance(failure, Conflict)
    assert (failure.code, failure.where, failure.owner) == (
        "event-item-missing",
        "item/SEAL-7",
        "engineering",
    )


@pytest.mark.parametrize(
    "shown",
    [
        EVENT_ITEM,
        event_items("RING-2", reconciled=True)["results"][0],
    ],
)
def test_an_item_that_still_waits_after_the_write_is_in_doubt(shown: dict[str, Any]) -> None:
    failure = refused(lambda: DRIVER.confirm(step_of(RECONCILE_ITEM), answer(shown)))
    assert isinstance(failure, InDoubt)


# --- errors ---

BAD_GUID = error(400, 3011, 'The guid "CHG9" is not valid.')
# The status of a refusal may stand in its body only.
HIDDEN = Response(200, JSON, BAD_GUID.body)


@pytest.mark.parametrize("response", [BAD_GUID, HIDDEN])
def test_arenas_own_words_are_shown(response: Response) -> None:
    failure = refused(lambda: read(READ_CHANGE, response))
    assert isinstance(failure, Rejected)
    assert failure.what == 'Status 400, 3011: The guid "CHG9" is not valid.'


def not_there(guid: str, code: int = 3011, status: int = 400) -> Response:
    return error(status, code, f'The guid "{guid} " is not valid.')


READS = (READ_CHANGE, READ_ITEM, READ_SUPPLIER)


@pytest.mark.parametrize("code", [3011, 3012])
@pytest.mark.parametrize("asked", READS, ids=lambda asked: str(asked.kind))
def test_what_is_gone_is_an_answer(asked: ReadObject, code: int) -> None:
    found, _ = read(asked, not_there(asked.id, code))
    assert isinstance(found, Present)
    assert found.answer is not None
    assert (found.equal, found.answer.type, found.answer.key) == (True, "arena.gone", asked.key)
    assert json.loads(found.answer.body) == {"gone": True, "kind": asked.kind, "id": asked.id}
    hidden = Response(200, JSON, not_there(asked.id, code).body)
    assert read(asked, hidden)[0] == found
    assert DRIVER.write(step_of(asked), found, "key") is None


def test_a_change_that_its_entry_names_and_that_is_gone_is_an_answer_about_the_change() -> None:
    found, _ = read(READ_EVENT, answer(EVENT), not_there(GUID))
    assert isinstance(found, Present)
    assert found.answer is not None
    assert (found.answer.type, found.answer.key) == ("arena.gone", KEY)
    assert json.loads(found.answer.body) == {"gone": True, "kind": "change", "id": GUID}


@pytest.mark.parametrize(
    "response",
    [
        not_there("CHG00000000000000008"),
        not_there(f"{GUID}9"),
        not_there(GUID, code=3024),
        not_there(GUID, status=403),
        error(400, 3011, ""),
    ],
    ids=["another guid", "a longer one", "another error", "another status", "of nothing"],
)
def test_any_other_refusal_does_not_say_that_the_object_is_gone(response: Response) -> None:
    assert refused(lambda: read(READ_CHANGE, response)).code in ("target-refused", "not-authorised")


@pytest.mark.parametrize("guid", NOTICE.split("/"), ids=["the queue", "the entry"])
def test_where_an_entry_is_gone_its_change_is_read_and_nothing_is_marked(guid: str) -> None:
    found, paths = read(READ_EVENT, not_there(guid), answer(CHANGE), answer(ITEMS))
    assert paths == [EVENT_PATH, f"/changes/{GUID}", f"/changes/{GUID}/items"]
    assert isinstance(found, Present)
    assert found.answer is not None
    assert (found.answer.type, found.answer.key) == ("arena.change", KEY)
    assert "event" not in json.loads(found.answer.body)


def test_where_an_entry_and_its_change_are_gone_that_is_an_answer_about_the_change() -> None:
    found, _ = read(READ_EVENT, not_there("EVT00000000000000004"), not_there(GUID))
    assert isinstance(found, Present)
    assert found.answer is not None
    assert found.answer.key == KEY
    assert json.loads(found.answer.body) == {"gone": True, "kind": "change", "id": GUID}


def test_an_entry_that_was_asked_for_without_its_change_and_is_gone_is_an_answer() -> None:
    asked = ReadObject("event", NOTICE, KEY, asked=1, correlation_id="story")
    found, _ = read(asked, not_there("EVT00000000000000004"))
    assert isinstance(found, Present)
    assert found.answer is not None
    assert json.loads(found.answer.body) == {
        "gone": True,
        "kind": "event",
        "id": "EVT00000000000000004",
    }


def test_another_refusal_of_an_entry_says_nothing_of_its_change() -> None:
    failure = refused(lambda: read(READ_EVENT, not_there("EVT00000000000000009")))
    assert failure.code == "target-refused"


def test_a_part_that_is_gone_says_nothing_of_its_item() -> None:
    responses = (answer(ITEM), answer(NO_BOM), answer(SOURCING), not_there("PART1"))
    assert refused(lambda: read(READ_ITEM, *responses)).code == "target-refused"


@pytest.mark.parametrize("operation", [REPORT, RECONCILE, RECONCILE_ITEM])
def test_what_is_to_be_written_and_is_gone_is_refused(operation: Operation) -> None:
    failure = refused(lambda: read(operation, not_there(GUID)))
    assert failure.code == "target-refused"


def gone_case(known: Facts, kind: str = "item", key: str = ITEM_KEY) -> Open:
    body = json.dumps({"gone": True, "kind": kind, "id": ITEM_GUID}).encode()
    attributes = {"id": "step/1/1", "subject": key, "time": "2026-03-02T08:00:00Z"}
    message = GONE_HANDLER.read(Delivery("plm", "arena.gone", body, attributes=attributes))
    assert GONE_HANDLER.needs(message, known) == {key}
    (case,) = GONE_HANDLER.decide(message, known, datetime(2026, 3, 2, tzinfo=UTC))
    assert isinstance(case, Open)
    return case


def test_what_is_gone_is_a_case_whether_it_is_on_record_or_not() -> None:
    nothing = Facts(Rules(plants=(), distribution=(), routes=(), central_purchasing_org="1010"))
    case = gone_case(nothing)
    assert (case.code, case.word, case.where, case.owner) == (
        "gone-at-plm",
        "business_rule",
        ITEM_KEY,
        "engineering",
    )
    named = f"Arena has no item with the guid {ITEM_GUID} any more"
    assert case.what == f"{named}; nothing of it is on record"
    held = Facts(nothing.rules, {ITEM_KEY: Known(3, known_item("SEAL-7"))})
    assert gone_case(held).what == f"{named}; it stays on record as it was"
    assert gone_case(nothing, "supplier", "supplier/S-3").owner == "purchasing"


@pytest.mark.parametrize("operation", [READ_EVENT, READ_CHANGE, READ_ITEM, REPORT, RECONCILE])
def test_an_error_inside_an_answer_that_says_success_is_told_in_its_own_words(
    operation: Operation,
) -> None:
    says = 'Status 400, 3011: The guid "CHG9" is not valid.'
    assert refused(lambda: read(operation, HIDDEN)).what == says
    if operation in (REPORT, RECONCILE):
        failure = refused(lambda: DRIVER.confirm(step_of(operation), HIDDEN))
        assert (type(failure), failure.what) == (Rejected, says)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_refusal_of_any_of_the_calls_is_one_of_the_read(at: int) -> None:
    responses = [answer(EVENT), answer(CHANGE), answer(ITEMS)][:at]
    assert isinstance(refused(lambda: read(READ_EVENT, *responses, BAD_GUID)), Rejected)


@pytest.mark.parametrize(
    ("response", "code", "read_word", "write_word"),
    [
        (error(401, 401, "The access token is not valid."), "session-ended", "transient", None),
        (error(400, 401, "The access token is not valid."), "session-ended", "transient", None),
        (Response(401, {}, b""), "session-ended", "transient", None),
        (error(403, 4897, "Access not allowed."), "not-authorised", "configuration", None),
        (error(405, 405, "The method is not allowed."), "interface-unknown", "configuration", None),
        (error(423, 400, "Locked."), "locked", "transient", None),
        (error(429, 4900, "Too many."), "rate-limited", "transient", None),
    ],
)
def test_a_refusal_is_transient_or_of_the_configuration(
    response: Response, code: str, read_word: str, write_word: str | None
) -> None:
    seen = refused(lambda: read(REPORT, response))
    written = refused(lambda: DRIVER.confirm(step_of(REPORT), response))
    assert (seen.code, seen.word) == (code, read_word)
    assert (written.code, written.word) == (code, write_word or read_word)


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_fails_is_asked_later_and_a_write_is_in_doubt(status: int) -> None:
    response = error(status, status, "The service is currently unavailable.")
    assert isinstance(refused(lambda: read(REPORT, response)), Unavailable)
    assert isinstance(refused(lambda: DRIVER.confirm(step_of(REPORT), response)), InDoubt)


def test_an_object_that_is_there_already_is_looked_at_again() -> None:
    response = error(409, 3008, "Another object has this number.")
    failure = refused(lambda: DRIVER.confirm(step_of(REPORT), response))
    assert (failure.code, failure.word) == ("exists-already", "transient")


@pytest.mark.parametrize("status", [400, 429])
def test_an_allowance_that_is_used_up_is_waited_for(status: int) -> None:
    response = error(
        status,
        4899,
        'You have exceeded your maximum of "1000" requests during the last 24 hours.',
        date="Mon, 02 Mar 2026 08:00:00 GMT",
        x_arena_next_request_limit_reset="Mon, 02 Mar 2026 08:20:00 GMT",
    )
    failure = refused(lambda: read(READ_CHANGE, response))
    assert isinstance(failure, Unavailable)
    assert (failure.code, failure.retry_after_s) == ("rate-limited", 1200.0)


@pytest.mark.parametrize("reset", ["", "soon", "Mon Mar 02 08:20:00 PST 2026"])
def test_a_reset_that_cannot_be_read_leaves_the_pause_to_the_policy(reset: str) -> None:
    response = error(429, 4899, "Wait.", x_arena_next_request_limit_reset=reset)
    failure = refused(lambda: read(READ_CHANGE, response))
    assert isinstance(failure, Unavailable)
    assert failure.retry_after_s is None


def test_a_stated_pause_goes_before_the_reset() -> None:
    response = error(
        429,
        4899,
        "Wait.",
        retry_after="7",
        date="Mon, 02 Mar 2026 08:00:00 GMT",
        x_arena_next_request_limit_reset="Mon, 02 Mar 2026 08:20:00 GMT",
    )
    failure = refused(lambda: read(READ_CHANGE, response))
    assert isinstance(failure, Unavailable)
    assert failure.retry_after_s == 7.0


def test_a_login_page_instead_of_data_is_a_fault_of_the_configuration() -> None:
    page = Response(200, {"content-type": "text/html"}, b"<html>Log in</html>")
    failure = refused(lambda: read(READ_CHANGE, page))
    assert (failure.code, failure.word) == ("answer-is-a-page", "configuration")
    written = refused(lambda: DRIVER.confirm(step_of(REPORT), page))
    assert isinstance(written, InDoubt)


# --- whatever comes back ---

STEPS = st.sampled_from([step_of(operation) for operation in OPERATIONS])
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)
)
ODD = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=4,
)
STATUSES = st.sampled_from([200, 200, 200, 201, 204, 302, 400, 401, 404, 409, 429, 500, 503])


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container with a key or index inside it."""
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    found: list[tuple[Any, Any]] = []
    for key in keys:
        found.append((value, key))
        if isinstance(value[key], dict | list):
            found += _places(value[key])
    return found


@st.composite
def mutated(draw: st.DrawFn, content: Any) -> Response:
    """An answer with something else in one place, cut off or under another status."""
    changed = copy.deepcopy(content)
    if draw(st.booleans()):
        container, key = draw(st.sampled_from(_places(changed)))
        if draw(st.booleans()):
            del container[key]
        else:
            container[key] = draw(ODD)
    body = json.dumps(changed).encode()
    if draw(st.booleans()):
        body = body[: draw(st.integers(0, len(body)))]
    return Response(draw(STATUSES), JSON, body)


CONTENTS = st.sampled_from(
    [CHANGE, ITEMS, EVENT, COMPLETED, ITEM, BOM, SOURCING, PART, MAKER, json.loads(BAD_GUID.body)]
)
ANSWERS = st.one_of(
    CONTENTS.flatmap(mutated), st.builds(Response, STATUSES, st.just(JSON), st.binary(max_size=40))
)


def outcome(call: Callable[[], object]) -> object:
    """What it comes to; None where it was refused, which has to be in our words."""
    try:
        return call()
    except Failure as refused:
        failure = refused
    assert failure.code
    assert failure.what.isprintable()
    return None


def follow(operation: Operation, responses: list[Response]) -> Observed | More:
    """The read, for as long as it asks for more."""
    step = step_of(operation)
    found = DRIVER.read(step, responses[0])
    for response in responses[1:]:
        if not isinstance(found, More):
            break
        found = found.read(response)
    return found


@given(step=STEPS, responses=st.lists(ANSWERS, min_size=3, max_size=3))
def test_whatever_is_read_is_understood_or_refused_in_our_words(
    step: Step, responses: list[Response]
) -> None:
    outcome(lambda: follow(step.operation, responses))


@given(event=mutated(EVENT), change=mutated(CHANGE), items=mutated(ITEMS))
def test_a_statement_from_odd_answers_is_taken_or_refused(
    event: Response, change: Response, items: Response
) -> None:
    found = outcome(lambda: follow(READ_EVENT, [event, change, items]))
    if isinstance(found, Present):
        outcome(lambda: as_answered(found))


@given(st.tuples(*(mutated(content) for content in (ITEM, BOM, SOURCING, PART, MAKER))))
def test_an_item_from_odd_answers_is_taken_or_refused(responses: tuple[Response, ...]) -> None:
    found = outcome(lambda: follow(READ_ITEM, list(responses)))
    if isinstance(found, Present):
        outcome(lambda: said_of_item(found))


@given(step=STEPS, response=ANSWERS)
def test_whatever_confirms_a_write_is_understood_or_refused_in_our_words(
    step: Step, response: Response
) -> None:
    confirmed = outcome(lambda: DRIVER.confirm(step, response))
    if confirmed is not None:
        assert (step.operation, confirmed) in (
            (REPORT, Confirmed("ECO-000031")),
            (RECONCILE, Confirmed("EVT00000000000000004")),
        )


def test_every_read_is_a_get_that_changes_nothing() -> None:
    requests: list[Request] = [DRIVER.observe(step_of(operation)) for operation in OPERATIONS]
    assert {(request.method, request.effectful) for request in requests} == {("GET", False)}
