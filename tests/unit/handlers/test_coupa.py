"""What is asked of procurement, what its answers mean, and what becomes of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.connector import Absent, Answer, Confirmed, Present
from canonical.effects import Emit, Step
from canonical.errors import (
    Conflict,
    Failure,
    InDoubt,
    InvalidMessage,
    Misconfigured,
    Rejected,
    SuspectedDuplicate,
    Unavailable,
)
from canonical.exchange import Request, Response
from canonical.facts import Facts
from canonical.handler import Delivery, Handler
from canonical.item import ApprovedManufacturer, ComplianceMark, Item
from canonical.money import Money, UnitPrice
from canonical.operations import (
    CloseReview,
    Operation,
    PublishItem,
    PutItem,
    PutOrder,
    PutSupplier,
    ReadCoverage,
    ReadSupplier,
    RequestReview,
)
from canonical.order import OrderLine, PurchaseOrder
from canonical.quantity import Quantity
from canonical.revision import parse_revision
from canonical.rules import Rules
from canonical.sourcing import Coverage, CoverageLine
from canonical.supplier import (
    Certificate,
    Qualification,
    ScopedQualification,
    Supplier,
    SupplierSite,
)
from canonical.supplier_master import SupplierMaster
from canonical.units import UnknownUnit
from handlers.systems.coupa.inbound import HANDLER_CONTRACTS, HANDLER_SUPPLIER
from handlers.systems.coupa.outbound import DRIVER

JSON = {"content-type": "application/json"}
READ_AT = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
FACTS = Facts(Rules(plants=(), distribution=(), routes=(), central_purchasing_org="1010"))


def step_of(operation: Operation) -> Step:
    return Step("", "procurement", "object", "X", operation)


def item(number: str = "SEAL-7", **fields: Any) -> Item:
    plain = Item(
        number=number,
        revision=parse_revision("B", "letters"),
        lifecycle="released",
        description="Shaft seal",
        kind="part",
        procurement="buy",
        base_unit="H87",
        compliance=(ComplianceMark("RoHS", "compliant"), ComplianceMark("REACH", "")),
        manufacturers=(
            ApprovedManufacturer("Sealco", "S-9", "approved"),
            ApprovedManufacturer("Dichtung AG", "D/40", "conditional", rank=1),
        ),
    )
    return msgspec.structs.replace(plain, **fields)


REVIEW = RequestReview("17300002", "ECO-7", ("SEAL-7", "HOSE"), "not qualified", "layshaft-1")
CLOSE = CloseReview("17300002", "layshaft-1", "rejected", "ann in Layshaft: no audit")
HELD: dict[str, Any] = {
    "id": 3,
    "external-ref": "layshaft-1",
    "supplier": {"number": "17300002"},
}
OPERATIONS: tuple[Operation, ...] = (
    PublishItem(item()),
    ReadCoverage("SEAL-7"),
    ReadSupplier("17300001"),
    REVIEW,
)
PUTS: tuple[Operation, ...] = (
    PutSupplier(SupplierMaster("17300001", 7, name="Northern Seals", city="Kiel")),
    PutOrder(
        PurchaseOrder(
            "PO-1", 7, "17300001", "EUR", (OrderLine("10", "PIN", Quantity(Decimal(5), "H87")),)
        )
    ),
)
SUPPLIER: dict[str, Any] = {
    "id": 17,
    "number": "17300001",
    "name": "Northern Seals",
    "status": "active",
    "custom-fields": {"qualification-status": "Qualified", "qualified-until": "2029-12-31"},
}
LINE: dict[str, Any] = {
    "item-number": "SEAL-7",
    "price": "25.00",
    "price-unit-quantity": "1000",
    "uom": {"code": "EA"},
    "currency": {"code": "EUR"},
}
CONTRACT: dict[str, Any] = {
    "number": "C-1",
    "supplier": {"number": "17300001"},
    "status": "published",
    "start-date": "2025-01-01",
    "end-date": "2029-12-31",
    "lines": [LINE],
}


def answer(body: object, status: int = 200) -> Response:
    return Response(status, JSON, msgspec.json.encode(body))


def body_of(request: Request) -> dict[str, Any]:
    assert request.body is not None
    decoded: dict[str, Any] = msgspec.json.decode(request.body)
    return decoded


def next_write(operation: Operation, seen: Any) -> Request:
    write = DRIVER.write(step_of(operation), seen, "key-1")
    assert write is not None
    assert write.completes
    return write.request


def read(operation: Operation, *listed: object) -> Any:
    return DRIVER.read(step_of(operation), answer(listed))


# --- items ---


def test_an_item_is_published_with_revision_manufacturers_by_rank_and_marks() -> None:
    request = next_write(PublishItem(item()), Absent())
    assert (request.method, request.path) == ("POST", "/api/items")
    assert body_of(request) == {
        "item-number": "SEAL-7",
        "name": "Shaft seal",
        "description": "Shaft seal",
        "active": True,
        "uom": {"code": "EA"},
        "custom-fields": {
            "revision": "B",
            "lifecycle": "released",
            "compliance": ["RoHS: compliant", "REACH"],
            "approved-manufacturers": [
                {"manufacturer": "Dichtung AG", "part-number": "D/40", "status": "conditional"},
                {"manufacturer": "Sealco", "part-number": "S-9", "status": "approved"},
            ],
        },
    }


@pytest.mark.parametrize(
    ("lifecycle", "active"),
    [("released", True), ("in_design", False), ("on_hold", False), ("obsolete", False)],
)
def test_only_released_items_can_be_ordered(lifecycle: str, active: bool) -> None:
    body = body_of(next_write(PublishItem(item(lifecycle=lifecycle)), Absent()))
    assert body["active"] is active


def test_an_item_without_description_is_called_by_its_number() -> None:
    body = body_of(next_write(PublishItem(item(description=" ")), Absent()))
    assert (body["name"], body["description"]) == ("SEAL-7", "SEAL-7")


def test_a_unit_without_a_name_in_procurement_is_refused() -> None:
    with pytest.raises(UnknownUnit):
        next_write(PublishItem(item(base_unit="A12")), Absent())


items = st.builds(
    item,
    st.text(min_size=1, max_size=40),
    description=st.text(max_size=300),
    lifecycle=st.sampled_from(["released", "in_design", "obsolete", "superseded"]),
    base_unit=st.sampled_from(["H87", "KGM", "XRL"]),
    compliance=st.builds(
        tuple, st.lists(st.builds(ComplianceMark, st.text(max_size=5), st.text(max_size=5)))
    ),
    manufacturers=st.builds(
        tuple,
        st.lists(
            st.builds(
                ApprovedManufacturer,
                st.text(max_size=5),
                st.text(max_size=5),
                st.sampled_from(["approved", "obsolete"]),
                rank=st.none() | st.integers(1, 3),
            ),
            max_size=4,
        ),
    ),
)


@given(items, items)
def test_what_was_published_reads_back_as_equal_and_a_change_reaches_it(
    first: Item, second: Item
) -> None:
    held = {"id": 5} | body_of(next_write(PublishItem(first), Absent()))
    assert read(PublishItem(first), held).equal
    second = msgspec.structs.replace(second, number=first.number)
    seen = read(PublishItem(second), held)
    if seen.equal:
        return
    request = next_write(PublishItem(second), seen)
    assert (request.method, request.path) == ("PUT", "/api/items/5")
    held |= body_of(request)
    assert read(PublishItem(second), held).equal


def test_differences_are_told_field_by_field() -> None:
    held = {"id": 5} | body_of(next_write(PublishItem(item()), Absent()))
    held |= {"active": None, "uom": {"code": "PC"}, "custom-fields": {"revision": "A"}}
    seen = read(PublishItem(item(compliance=(), manufacturers=())), held)
    assert seen.differences == (
        "active: null, wanted true",
        "revision: A, wanted B",
        "lifecycle: , wanted released",
    )


def test_another_item_in_the_answer_is_not_ours() -> None:
    assert read(PublishItem(item()), {"id": 5, "item-number": "SEAL-77"}) == Absent()


def test_one_number_with_two_objects_is_a_suspected_duplicate() -> None:
    held = {"id": 5, "item-number": "SEAL-7"}
    with pytest.raises(SuspectedDuplicate, match="number-used-twice"):
        read(PublishItem(item()), held, held | {"id": 6})


# --- questions ---


def test_observations_ask_by_natural_key() -> None:
    asked = [DRIVER.observe(step_of(operation)) for operation in OPERATIONS]
    by_id = (("order_by", "id"), ("dir", "asc"), ("limit", "50"))
    assert [(r.method, r.path, r.query, r.effectful) for r in asked] == [
        ("GET", "/api/items", (("item-number", "SEAL-7"), *by_id), False),
        ("GET", "/api/contracts", (("status", "published"), *by_id), False),
        ("GET", "/api/suppliers", (("number", "17300001"), *by_id), False),
        ("GET", "/api/supplier_reviews", (("external-ref", "layshaft-1"), *by_id), False),
    ]
    assert DRIVER.observe(step_of(CLOSE)) == DRIVER.observe(step_of(REVIEW))


def test_a_supplier_is_handed_on_as_it_came() -> None:
    seen = read(ReadSupplier("17300001"), SUPPLIER)
    body = msgspec.json.encode([SUPPLIER])
    assert seen == Present(
        equal=True, reference="17", answer=Answer("coupa.supplier", "supplier/17300001", body)
    )
    assert DRIVER.write(step_of(ReadSupplier("17300001")), seen, "key-1") is None


def test_an_unknown_supplier_is_for_procurement_to_register() -> None:
    with pytest.raises(Rejected) as refused:
        read(ReadSupplier("17300009"), SUPPLIER)
    assert (refused.value.code, refused.value.owner) == ("supplier-unknown", "procurement")


def test_contracts_of_the_item_are_handed_on_as_they_came() -> None:
    other = CONTRACT | {"number": "C-2", "lines": [LINE | {"item-number": "SEAL-70"}]}
    seen = read(ReadCoverage("SEAL-7"), other, CONTRACT, CONTRACT | {"lines": []})
    body = msgspec.json.encode([CONTRACT])
    assert seen == Present(equal=True, answer=Answer("coupa.contracts", "coverage/SEAL-7", body))


def test_what_names_the_item_or_the_supplier_in_another_form_is_handed_on_too() -> None:
    line = LINE | {"item-number": "DU\u0308SE "}
    seen = read(ReadCoverage("D\u00dcSE"), CONTRACT | {"lines": [line]})
    assert msgspec.json.decode(seen.answer.body)[0]["lines"] == [line]
    seen = read(ReadSupplier("S\u00dcD"), SUPPLIER | {"number": " SU\u0308D"})
    assert (seen.reference, seen.answer.key) == ("17", "supplier/S\u00dcD")


def test_an_item_that_no_contract_names_is_handed_on_as_an_empty_list() -> None:
    seen = read(ReadCoverage("BOLT"), CONTRACT)
    assert seen == Present(equal=True, answer=Answer("coupa.contracts", "coverage/BOLT", b"[]"))


# --- reviews ---


def test_a_review_names_supplier_change_reason_and_reference() -> None:
    assert body_of(next_write(REVIEW, Absent())) == {
        "external-ref": "layshaft-1",
        "supplier": {"number": "17300002"},
        "item": {"item-number": "SEAL-7"},
        "change": "ECO-7",
        "reason": "not qualified (also for HOSE)",
    }


@pytest.mark.parametrize(
    "stands",
    [
        {"status": "open"},
        {"status": "closed"},
        {"status": "closed", "verdict": None},
        {"status": "closed", "verdict": "rejected"},
    ],
    ids=str,
)
def test_a_review_with_our_reference_is_not_asked_for_again(stands: dict[str, Any]) -> None:
    assert read(REVIEW, HELD | stands) == Present(equal=True, reference="3")


def test_a_review_that_was_only_withdrawn_is_opened_again() -> None:
    seen = read(REVIEW, HELD | {"status": "closed", "verdict": "withdrawn"})
    assert seen == Present(equal=False, reference="3", differences=("status: closed, wanted open",))
    request = next_write(REVIEW, seen)
    assert (request.method, request.path) == ("PUT", "/api/supplier_reviews/3")
    assert body_of(request) == {"status": "open", "verdict": "", "decision-reason": ""}


def test_an_open_review_is_closed_with_the_verdict() -> None:
    seen = read(CLOSE, HELD | {"status": "open"})
    assert seen == Present(equal=False, reference="3", differences=("status: open, wanted closed",))
    request = next_write(CLOSE, seen)
    assert (request.method, request.path) == ("PUT", "/api/supplier_reviews/3")
    assert body_of(request) == {
        "status": "closed",
        "verdict": "rejected",
        "decision-reason": "ann in Layshaft: no audit",
    }
    confirmed = DRIVER.confirm(step_of(CLOSE), answer(HELD | {"status": "closed"}, 200))
    assert confirmed == Confirmed("3")


@pytest.mark.parametrize("verdict", [None, "approved", "rejected", "withdrawn"])
def test_a_review_that_is_closed_stays_as_it_was_closed(verdict: str | None) -> None:
    held = HELD | {"status": "closed", "verdict": verdict}
    assert read(CLOSE, held) == Present(equal=True, reference="3")


def test_a_review_that_there_never_was_is_not_opened_to_be_closed() -> None:
    assert read(CLOSE) == Present(equal=True)
    assert DRIVER.write(step_of(CLOSE), Present(equal=True), "key-1") is None


def test_our_reference_on_a_review_of_another_supplier_is_a_conflict() -> None:
    with pytest.raises(Conflict, match="review-differs"):
        read(REVIEW, {"id": 3, "external-ref": "layshaft-1", "supplier": {"number": "1"}})


def test_a_review_about_nothing_is_not_asked_for() -> None:
    with pytest.raises(InvalidMessage, match="review-without-item"):
        next_write(msgspec.structs.replace(REVIEW, items=()), Absent())


# --- answers to writes ---


@pytest.mark.parametrize("operation", [PublishItem(item()), REVIEW, ReadSupplier("17300001")])
def test_an_error_inside_an_answer_that_says_success_is_told_in_its_own_words(
    operation: Operation,
) -> None:
    hidden = answer({"errors": {"base": ["the catalogue is closed"]}}, 200)
    says = "it says base the catalogue is closed"
    with pytest.raises(Misconfigured, match=f"answer-unknown: .*{says}"):
        DRIVER.read(step_of(operation), hidden)
    if not isinstance(operation, ReadSupplier):
        with pytest.raises(InDoubt, match=f"answer-unusable: .*{says}"):
            DRIVER.confirm(step_of(operation), hidden)


def test_a_write_is_confirmed_by_the_object_it_names() -> None:
    written = {"id": 5, "item-number": "SEAL-7"}
    assert DRIVER.confirm(step_of(PublishItem(item())), answer(written, 201)) == Confirmed("5")
    review = {"id": 3, "external-ref": "layshaft-1", "supplier": {"number": "17300002"}}
    assert DRIVER.confirm(step_of(REVIEW), answer(review, 201)) == Confirmed("3")


@pytest.mark.parametrize(
    ("response", "kind", "code"),
    [
        (answer({"id": 5, "item-number": "OTHER"}, 201), Conflict, "answer-about-another"),
        (answer({"id": 5}, 201), InDoubt, "answer-unusable"),
        (Response(200, {"content-type": "text/html"}, b"<html>"), InDoubt, "answer-unusable"),
        (Response(201, JSON, b""), InDoubt, "answer-unusable"),
        (
            answer({"errors": {"item-number": ["has already been taken"]}}, 422),
            Unavailable,
            "exists-already",
        ),
        (answer({"errors": {"uom": ["can't be blank"]}}, 422), Rejected, "target-refused"),
        (answer({"errors": {"base": ["unknown field"]}}, 400), Rejected, "target-refused"),
        (answer({"errors": {"base": ["no items 5"]}}, 404), Unavailable, "changed-meanwhile"),
        (answer({"errors": {"base": ["wrong token"]}}, 401), Misconfigured, "not-authorised"),
        (answer({"errors": {"base": ["XML only"]}}, 406), Misconfigured, "interface-unknown"),
        (answer({"errors": {"base": ["too many"]}}, 429), Unavailable, "rate-limited"),
        (answer({"errors": {"base": ["oops"]}}, 500), InDoubt, "status-500"),
    ],
)
def test_a_write_that_fails_says_whether_it_may_have_happened(
    response: Response, kind: type[Failure], code: str
) -> None:
    with pytest.raises(kind) as failed:
        DRIVER.confirm(step_of(PublishItem(item())), response)
    assert failed.value.code == code


def test_a_refusal_names_field_and_reason() -> None:
    response = answer({"errors": {"uom": ["KGM is no unit"], "name": ["is long"]}}, 422)
    with pytest.raises(Rejected) as refused:
        DRIVER.confirm(step_of(PublishItem(item())), response)
    assert refused.value.what == "Status 422, uom KGM is no unit; name is long"
    assert refused.value.where == "uom"


@pytest.mark.parametrize(
    ("response", "kind", "code"),
    [
        (answer({"errors": {"base": ["not served"]}}, 404), Misconfigured, "interface-unknown"),
        (answer({"errors": {"base": ["oops"]}}, 500), Unavailable, "target-failed"),
        (
            Response(200, {"content-type": "text/html"}, b"<html>"),
            Misconfigured,
            "answer-is-a-page",
        ),
        (answer({"data": []}), Misconfigured, "answer-unknown"),
        (Response(200, JSON, b'[{"id":'), Unavailable, "answer-unusable"),
    ],
)
def test_a_read_that_fails_says_what_to_do(
    response: Response, kind: type[Failure], code: str
) -> None:
    for operation in (*OPERATIONS, *PUTS):
        with pytest.raises(kind) as failed:
            DRIVER.read(step_of(operation), response)
        assert failed.value.code == code


def test_an_operation_of_another_system_is_a_wrong_route() -> None:
    with pytest.raises(Misconfigured, match="operation-unsupported"):
        DRIVER.observe(step_of(PutItem(item())))


# --- suppliers into events ---


def delivery(kind: str, key: str, body: object, **attributes: str) -> Delivery:
    given_by_us = {"id": "step/1/1", "type": kind, "subject": key, "time": READ_AT.isoformat()}
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Delivery("procurement", kind, content, attributes=given_by_us | attributes)


def emitted(handler: Handler, arrived: Delivery) -> Emit:
    (effect,) = handler.decide(handler.read(arrived), FACTS, READ_AT)
    assert isinstance(effect, Emit)
    return effect


def supplier(**changed: Any) -> Supplier:
    listed = [SUPPLIER | {"number": "1"}, SUPPLIER | changed]
    arrived = delivery("coupa.supplier", "supplier/17300001", listed)
    effect = emitted(HANDLER_SUPPLIER, arrived)
    assert (effect.event, effect.key) == ("supplier.changed", "supplier/17300001")
    assert isinstance(effect.data, Supplier)
    return effect.data


def test_an_answer_keeps_its_identity_and_what_it_follows_from() -> None:
    arrived = delivery(
        "coupa.supplier",
        "supplier/17300001",
        [SUPPLIER],
        correlationid="c-1",
        causationid="step/1",
        traceparent="00-1",
    )
    envelope = HANDLER_SUPPLIER.read(arrived).envelope
    assert (envelope.id, envelope.source, envelope.type) == (
        "step/1/1",
        "procurement",
        "coupa.supplier",
    )
    assert (envelope.key, envelope.time) == ("supplier/17300001", READ_AT)
    assert (envelope.correlation_id, envelope.causation_id) == ("c-1", "step/1")
    assert envelope.traceparent == "00-1"


def test_a_supplier_becomes_our_event_with_the_time_it_was_read() -> None:
    assert supplier() == Supplier(
        number="17300001",
        name="Northern Seals",
        active=True,
        qualification=Qualification("qualified", date(2029, 12, 31), "Qualified"),
        source_id="17",
        stated_at=READ_AT,
    )
    assert supplier(status="inactive").active is False


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("Qualified", "qualified"),
        ("QualifiedRestricted", "conditional"),
        ("InQualification", "in_qualification"),
        ("Disqualified", "disqualified"),
    ],
)
def test_qualification_words_are_mapped_by_table(word: str, status: str) -> None:
    held = supplier(**{"custom-fields": {"qualification-status": word}}).qualification
    assert held == Qualification(status, None, word)  # type: ignore[arg-type]


@pytest.mark.parametrize("fields", [None, {}, {"qualification-status": None}])
def test_a_supplier_nobody_began_to_qualify_is_in_qualification(fields: object) -> None:
    held = supplier(**{"custom-fields": fields}).qualification
    assert held == Qualification("in_qualification")


def test_a_qualification_is_valid_on_its_last_day_and_no_longer() -> None:
    held = supplier().qualification
    assert held.is_valid(date(2029, 12, 31))
    assert not held.is_valid(date(2030, 1, 1))


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"custom-fields": {"qualification-status": "Pending"}}, "qualification-unmapped"),
        ({"custom-fields": {"qualification-status": "qualified"}}, "qualification-unmapped"),
        ({"status": "draft"}, "supplier-status-unmapped"),
        (
            {"custom-fields": {"qualification-status": "Qualified", "qualified-until": "soon"}},
            "day-malformed",
        ),
        ({"name": "Seals\u202e"}, "character-forbidden"),
    ],
)
def test_words_of_a_supplier_that_are_in_no_table_are_refused(
    changed: Mapping[str, Any], code: str
) -> None:
    with pytest.raises(InvalidMessage) as refused:
        supplier(**changed)
    assert refused.value.code == code


def test_a_supplier_is_part_of_its_parent_where_that_has_a_number() -> None:
    assert supplier(parent={"id": 4, "name": "Seal Group", "number": " 17300000 "}).parent == (
        "17300000"
    )
    for parent in (None, {}, {"id": 4, "number": None}, {"id": 4, "number": " "}):
        assert supplier(parent=parent).parent == ""
    with pytest.raises(InvalidMessage, match="character-forbidden"):
        supplier(parent={"number": "173\u202e"})


def test_a_supplier_without_a_status_of_its_own_inherits() -> None:
    assert not supplier().inherits_qualification
    for fields in (None, {}, {"qualification-status": None}, {"qualification-status": ""}):
        assert supplier(**{"custom-fields": fields}).inherits_qualification


def test_sites_and_remit_to_addresses_are_places_with_roles() -> None:
    found = supplier(
        **{
            "supplier-sites": [
                {
                    "id": 5,
                    "code": "LYON",
                    "name": "Lyon works",
                    "active": True,
                    "po-method": "email",
                    "custom-fields": {
                        "manufacturing": True,
                        "plants": ["1020", "1010", "1020"],
                        "regions": ["EU"],
                    },
                },
                {"id": 6, "code": "COLOGNE", "active": False, "custom-fields": {}},
                {"id": 7, "name": "nothing tells it apart"},
            ],
            "remit-to-addresses": [
                {"id": 5001, "remit-to-code": "R1", "name": "Accounts", "city": "Lyon"},
                {"id": 5002, "remit-to-code": None, "active": False},
            ],
        }
    ).sites
    assert found == (
        SupplierSite("5002", roles=("remit_to",), active=False),
        SupplierSite("COLOGNE", roles=("ordering",), active=False),
        SupplierSite(
            "LYON",
            "Lyon works",
            ("ordering", "manufacturing"),
            plants=("1010", "1020"),
            regions=("EU",),
        ),
        SupplierSite("R1", "Accounts", ("remit_to",)),
    )
    assert supplier(**{"supplier-sites": None, "remit-to-addresses": []}).sites == ()


ROW: dict[str, Any] = {"status": "Qualified", "category": "seals", "plant": "1010"}


def qualified_for(*rows: dict[str, Any]) -> tuple[ScopedQualification, ...]:
    return supplier(**{"custom-fields": {"qualifications": list(rows)}}).qualifications


def test_qualifications_are_limited_to_what_they_name() -> None:
    full = {
        "status": "QualifiedRestricted",
        "category": "seals",
        "region": "EU",
        "business-unit": "gears",
        "plant": "1010",
        "valid-from": "2026-01-01",
        "valid-until": "2026-12-31T00:00:00+01:00",
        "preferred-level": 2,
        "certificates": [
            {"name": "ISO 9001", "number": "44 100", "valid-until": "2027-06-30"},
            {"name": "IATF 16949"},
        ],
    }
    assert qualified_for(full) == (
        ScopedQualification(
            "conditional",
            category="seals",
            region="EU",
            business_unit="gears",
            plant="1010",
            valid_from=date(2026, 1, 1),
            valid_until=date(2026, 12, 31),
            certificates=(
                Certificate("IATF 16949"),
                Certificate("ISO 9001", "44 100", date(2027, 6, 30)),
            ),
            preferred_level=2,
            stated_as="QualifiedRestricted",
        ),
    )
    assert qualified_for({"status": "Disqualified", "valid-until": "9999-12-31"}) == (
        ScopedQualification("disqualified", stated_as="Disqualified"),
    )
    assert qualified_for() == ()


def test_qualifications_stand_in_one_order_however_they_were_listed() -> None:
    other = ROW | {"category": "bolts"}
    assert qualified_for(ROW, other) == qualified_for(other, ROW)


@pytest.mark.parametrize(
    ("row", "code", "where"),
    [
        ({"status": "Great"}, "qualification-unmapped", "[1].status"),
        ({"valid-from": "soon"}, "day-malformed", "[1].valid-from"),
        ({"valid-until": "2026-02-30"}, "day-malformed", "[1].valid-until"),
        ({"plant": "10\u200b10"}, "character-forbidden", "[1].plant"),
        (
            {"certificates": [{"name": "ISO", "valid-until": "x"}]},
            "day-malformed",
            "[1].certificates[0].valid-until",
        ),
    ],
)
def test_a_qualification_that_cannot_be_understood_is_refused_with_its_place(
    row: dict[str, Any], code: str, where: str
) -> None:
    with pytest.raises(InvalidMessage) as refused:
        qualified_for(ROW, ROW | row)
    assert refused.value.code == code
    assert refused.value.where == f"custom-fields.qualifications{where}"


def test_an_answer_without_the_supplier_is_refused() -> None:
    with pytest.raises(InvalidMessage, match="supplier-missing"):
        supplier(number="2")


@pytest.mark.parametrize("subject", ["supplier", "supplier/", "item/1", "/1"])
def test_an_answer_that_does_not_say_what_was_asked_is_refused(subject: str) -> None:
    with pytest.raises(InvalidMessage, match="subject-malformed"):
        emitted(HANDLER_SUPPLIER, delivery("coupa.supplier", subject, [SUPPLIER]))


@pytest.mark.parametrize("name", ["id", "subject", "time"])
def test_an_answer_without_an_attribute_is_refused(name: str) -> None:
    with pytest.raises(InvalidMessage, match="attribute-missing"):
        HANDLER_SUPPLIER.read(
            delivery("coupa.supplier", "supplier/17300001", [SUPPLIER], **{name: ""})
        )


# --- contracts into events ---


def coverage(*contracts: Mapping[str, Any]) -> tuple[CoverageLine, ...]:
    arrived = delivery("coupa.contracts", "coverage/SEAL-7", list(contracts))
    effect = emitted(HANDLER_CONTRACTS, arrived)
    assert (effect.event, effect.key) == ("sourcing.changed", "coverage/SEAL-7")
    assert isinstance(effect.data, Coverage)
    assert (effect.data.item, effect.data.stated_at) == ("SEAL-7", READ_AT)
    return effect.data.lines


def contract(
    number: str = "C-1", line: dict[str, Any] | None = None, **changed: Any
) -> dict[str, Any]:
    return copy.deepcopy(CONTRACT) | {"number": number, "lines": [LINE | (line or {})]} | changed


def test_a_line_is_about_an_item_in_whatever_normal_form_its_number_is_written() -> None:
    listed = [contract(line={"item-number": " SEAL-e\u0301 "})]
    arrived = delivery("coupa.contracts", "coverage/SEAL-\u00e9", listed)
    effect = emitted(HANDLER_CONTRACTS, arrived)
    assert isinstance(effect.data, Coverage)
    assert [line.contract for line in effect.data.lines] == ["C-1"]


def test_a_contract_line_becomes_coverage_with_price_per_quantity() -> None:
    price = UnitPrice(Money(Decimal("25.00"), "EUR"), Quantity(Decimal(1000), "H87"))
    assert coverage(contract(line={"lead-time": 14, "minimum-order-quantity": "500.0"})) == (
        CoverageLine(
            contract="C-1",
            supplier="17300001",
            price=price,
            order_unit="H87",
            first_day=date(2025, 1, 1),
            last_day=date(2029, 12, 31),
            lead_time_days=14,
            minimum_quantity="500",
        ),
    )


def test_the_last_day_of_a_contract_is_covered() -> None:
    (line,) = coverage(contract())
    assert line.covers("1010", date(2029, 12, 31))
    assert not line.covers("1010", date(2030, 1, 1))


@pytest.mark.parametrize(
    ("own", "first", "last"),
    [
        ({}, date(2025, 1, 1), date(2029, 12, 31)),
        ({"start-date": "2026-01-01"}, date(2026, 1, 1), date(2029, 12, 31)),
        ({"start-date": "2020-01-01"}, date(2025, 1, 1), date(2029, 12, 31)),
        ({"end-date": "2027-06-30"}, date(2025, 1, 1), date(2027, 6, 30)),
        ({"end-date": "2099-06-30"}, date(2025, 1, 1), date(2029, 12, 31)),
        ({"end-date": "2027-06-30T00:00:00-08:00"}, date(2025, 1, 1), date(2027, 6, 30)),
    ],
)
def test_a_line_is_valid_where_it_and_its_contract_are(
    own: dict[str, Any], first: date, last: date
) -> None:
    (line,) = coverage(contract(line=own))
    assert (line.first_day, line.last_day) == (first, last)


@pytest.mark.parametrize("end", [None, "", "9999-12-31"])
def test_a_contract_without_an_end_is_open(end: str | None) -> None:
    (line,) = coverage(contract() | {"end-date": end})
    assert line.last_day is None


def test_only_published_contracts_and_lines_of_the_item_count() -> None:
    assert coverage(contract(status="draft"), contract(line={"item-number": "SEAL-70"})) == ()


def test_lines_stand_in_one_order_however_they_were_listed() -> None:
    listed = [contract("C-2"), contract("C-1"), contract("C-3", status="draft")]
    assert [line.contract for line in coverage(*listed)] == ["C-1", "C-2"]
    assert coverage(*listed) == coverage(*reversed(listed))


def test_a_price_without_a_quantity_is_for_one() -> None:
    (line,) = coverage(contract(line={"price-unit-quantity": None}))
    assert line.price.per == Quantity(Decimal(1), "H87")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"price": "25,00"}, "number-malformed"),
        ({"price": "NaN"}, "number-malformed"),
        ({"price-unit-quantity": "0"}, "price-unit"),
        ({"uom": {"code": "KA"}}, "unit-unmapped"),
        ({"currency": {"code": "EURO"}}, "currency-unknown"),
        ({"start-date": "2025-02-30"}, "day-malformed"),
        ({"end-date": "31.12.2029"}, "day-malformed"),
        ({"lead-time": -1}, "lead-time-negative"),
        ({"uom": None}, "contract-violated"),
    ],
)
def test_terms_that_cannot_be_understood_are_refused(changed: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidMessage) as refused:
        coverage(contract(line=changed))
    assert refused.value.code == code


# --- garbage ---

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
ORDER_HELD: dict[str, Any] = {
    "id": 6,
    "po-number": "PO-1",
    "type": "ExternalOrderHeader",
    "status": "issued",
    "supplier": {"number": "17300001"},
    "currency": {"code": "EUR"},
    "order-lines": [{"id": 1, "line-num": "10", "quantity": "4", "uom": {"code": "EA"}}],
}
ITEM_HELD = {"id": 5, "item-number": "SEAL-7", "custom-fields": {}, "uom": {"code": "EA"}}


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good answer in which one field holds anything at all."""
    whole = copy.deepcopy(draw(st.sampled_from([SUPPLIER, CONTRACT, ITEM_HELD, ORDER_HELD])))
    row = draw(st.sampled_from([whole, *whole.get("lines", []), *whole.get("order-lines", [])]))
    row[draw(st.sampled_from(sorted(row)))] = draw(json_values)
    return msgspec.json.encode([whole])


bodies = (
    st.binary(max_size=60)
    | json_values.map(msgspec.json.encode)
    | json_values.map(lambda value: msgspec.json.encode([value]))
    | json_values.map(lambda value: msgspec.json.encode({"errors": value}))
    | damaged()
)


@given(bodies, st.sampled_from((*OPERATIONS, *PUTS)), st.integers(100, 599) | st.just(200))
def test_garbage_from_the_target_raises_only_canonical_failures(
    body: bytes, operation: Operation, status: int
) -> None:
    step, response = step_of(operation), Response(status, JSON, body)
    writes = not isinstance(operation, ReadCoverage | ReadSupplier)
    for take in (DRIVER.read, DRIVER.confirm) if writes else (DRIVER.read,):
        try:
            result = take(step, response)
            if isinstance(result, Present):
                DRIVER.write(step, result, "key-1")
        except Failure:
            continue


@given(bodies, st.text(max_size=20), st.text(max_size=30))
def test_garbage_as_an_answer_raises_only_invalid_message(
    body: bytes, subject: str, time: str
) -> None:
    for handler, kind in ((HANDLER_SUPPLIER, "supplier"), (HANDLER_CONTRACTS, "coverage")):
        for key, at in ((subject, time), (f"{kind}/SEAL-7", READ_AT.isoformat())):
            try:
                emitted(handler, delivery(handler.types[0], key, body, time=at))
            except InvalidMessage:
                continue
