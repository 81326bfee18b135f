"""Arena suppliers become canonical ones by how they are approved, and notices of them are read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from canonical.effects import Effect, Emit, Fetch
from canonical.errors import InvalidMessage
from canonical.facts import Facts
from canonical.handler import Delivery
from canonical.rules import Rules
from canonical.supplier import Qualification, QualificationStatus, Supplier
from handlers import CATALOGUE, RECOGNISED
from handlers.systems.arena.inbound import HANDLER as CHANGES
from handlers.systems.arena.notice import HANDLER_SUPPLIER
from handlers.systems.arena.supplier import HANDLER
from tests.corpus import CORPUS, golden

NOW = datetime(2026, 3, 2, tzinfo=UTC)
FACTS = Facts(Rules(plants=(), distribution=(), routes=(), central_purchasing_org="1000"))
SAMPLE = CORPUS / "arena" / "supplier.json"
READ_AT = "2026-03-02T08:00:00+00:00"


def delivery(body: bytes, **attributes: str) -> Delivery:
    return Delivery("plm", "supplier", body, attributes=attributes)


def statement(**fields: Any) -> bytes:
    """A supplier that is approved, or what else its fields say; `...` leaves a field out."""
    supplier = {
        "guid": "SUP1",
        "name": "Teller Precision",
        "supplierId": "S-3",
        "approvalStatus": "approved",
    }
    return json.dumps(
        {"supplier": {k: v for k, v in (supplier | fields).items() if v is not ...}}
    ).encode()


def notice(guid: Any = "SUP1", number: Any = "S-3") -> bytes:
    return json.dumps({"supplierNotice": {"guid": guid, "supplierId": number}}).encode()


def decided(body: bytes, time: str = READ_AT) -> tuple[Effect, ...]:
    return HANDLER.decide(HANDLER.read(delivery(body, time=time)), FACTS, NOW)


def stated(body: bytes) -> Supplier:
    (emit,) = decided(body)
    assert isinstance(emit, Emit)
    assert isinstance(emit.data, Supplier)
    assert (emit.event, emit.key) == ("supplier.changed", f"supplier/{emit.data.number}")
    return emit.data


def refused(body: bytes) -> InvalidMessage:
    with pytest.raises(InvalidMessage) as caught:
        decided(body)
    return caught.value


def test_the_sample_comes_to_its_golden() -> None:
    assert golden(decided(SAMPLE.read_bytes())) == SAMPLE.with_suffix(".golden.json").read_text()


def test_a_supplier_is_what_arena_says_of_it() -> None:
    assert stated(statement()) == Supplier(
        number="S-3",
        name="Teller Precision",
        active=True,
        qualification=Qualification("qualified", stated_as="approved"),
        source_id="SUP1",
        stated_at=datetime(2026, 3, 2, 8, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("approved", "qualified"),
        ("Approved", "qualified"),
        ("disapproved", "disqualified"),
        ("unrated", "in_qualification"),
    ],
)
def test_the_approval_is_translated_by_table(word: str, status: QualificationStatus) -> None:
    assert stated(statement(approvalStatus=word)).qualification == Qualification(
        status, stated_as=word
    )


@pytest.mark.parametrize("word", ["preferred", "", None, ...])
def test_an_approval_that_is_in_no_table_is_refused(word: Any) -> None:
    failure = refused(statement(approvalStatus=word))
    assert (failure.code, failure.where) == ("approval-unmapped", "supplier.approvalStatus")


@pytest.mark.parametrize("number", [None, "", ...])
def test_a_supplier_without_a_number_is_refused(number: Any) -> None:
    failure = refused(statement(supplierId=number))
    assert (failure.code, failure.where) == ("field-missing", "supplier.supplierId")
    assert "Teller Precision" in failure.what


def test_a_statement_that_does_not_say_when_it_was_so_is_refused() -> None:
    with pytest.raises(InvalidMessage) as caught:
        HANDLER.read(delivery(statement()))
    assert (caught.value.code, caught.value.where) == ("attribute-missing", "ce-time")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (statement(guid=""), "contract-violated"),
        (statement(name=None), "contract-violated"),
        (statement(supplierId=7), "contract-violated"),
        (statement(supplierId=" "), "id-empty"),
        (statement()[:-1] + b', "more": 1, "more": 2}', "key-twice"),
    ],
)
def test_what_is_no_supplier_is_refused(body: bytes, code: str) -> None:
    assert refused(body).code == code


def test_a_supplier_is_known_by_its_guid_and_what_is_said_of_it_and_when() -> None:
    read = [
        HANDLER.read(delivery(body, time=time)).envelope
        for body, time in (
            (statement(), READ_AT),
            (statement(), READ_AT),
            (statement(approvalStatus="disapproved"), READ_AT),
            (statement(), "2026-03-03T08:00:00+00:00"),
        )
    ]
    first, again, other, later = (envelope.id for envelope in read)
    assert first == again
    assert len({first, other, later}) == 3
    assert first.startswith("SUP1@")
    assert {envelope.key for envelope in read} == {"supplier/S-3"}


def test_the_later_read_of_a_supplier_counts() -> None:
    message = HANDLER.read(delivery(statement(), time=READ_AT))
    assert HANDLER.version is not None
    assert HANDLER.version(message) == 1_772_438_400_000_000
    assert (HANDLER.scope, HANDLER.order) == (CHANGES.scope, "curing")


# --- notices ---


def test_a_supplier_that_somebody_names_is_read() -> None:
    message = HANDLER_SUPPLIER.read(delivery(notice(), id="n-7"))
    assert (message.envelope.id, message.envelope.key) == ("n-7", "supplier/S-3")
    assert HANDLER_SUPPLIER.decide(message, FACTS, NOW) == (Fetch("supplier", "SUP1"),)
    assert (HANDLER_SUPPLIER.scope, HANDLER_SUPPLIER.order) == (CHANGES.scope, "notification")


@pytest.mark.parametrize(
    ("body", "attributes", "code"),
    [
        (notice(), {}, "attribute-missing"),
        (notice(guid=""), {"id": "n-7"}, "contract-violated"),
        (notice(number=None), {"id": "n-7"}, "contract-violated"),
        (notice(number=" "), {"id": "n-7"}, "id-empty"),
    ],
)
def test_a_notice_that_does_not_say_of_whom_it_is_is_refused(
    body: bytes, attributes: dict[str, str], code: str
) -> None:
    with pytest.raises(InvalidMessage) as caught:
        HANDLER_SUPPLIER.read(delivery(body, **attributes))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (statement(), "arena-supplier"),
        (SAMPLE.read_bytes(), "arena-supplier"),
        (notice(), "arena-supplier-notice"),
        (SAMPLE.with_name("item.json").read_bytes(), "arena-item"),
    ],
)
def test_suppliers_notices_and_items_are_told_apart_by_their_content(
    body: bytes, name: str
) -> None:
    assert CATALOGUE.recognise(tuple(RECOGNISED), delivery(body)).name == name
