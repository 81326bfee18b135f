"""Suppliers of an ERP in procurement: what is written, what stays, and what is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.connector import Absent, Confirmed, Present
from canonical.effects import Step
from canonical.errors import Conflict, Rejected, SuspectedDuplicate, Unavailable
from canonical.exchange import Request, Response
from canonical.operations import PutSupplier
from canonical.supplier_master import CompanyView, PurchasingView, SupplierMaster
from handlers.systems.coupa.outbound import DRIVER

JSON = {"content-type": "application/json"}


def master(**stated: Any) -> SupplierMaster:
    """17300001 as its ERP has it."""
    plain = SupplierMaster(
        "17300001",
        7,
        name="Northern Seals",
        name2="Works Kiel",
        street="Dock 4",
        postal_code="24103",
        city="Kiel",
        region="01",
        country="DE",
        tax_numbers={"vat": "DE123456789"},
        companies=(CompanyView("1010", payment_terms="0002"),),
        organisations=(PurchasingView("1010", currency="EUR", payment_terms="NT30"),),
    )
    return msgspec.structs.replace(plain, **stated)


HELD: dict[str, Any] = {
    "id": 17,
    "number": "17300001",
    "name": "Northern Seals",
    "status": "active",
    "primary-address": {
        "id": 3,
        "street1": "Dock 4",
        "city": "Kiel",
        "postal-code": "24103",
        "country": {"code": "DE", "name": "Germany"},
    },
    "payment-term": {"code": "NT30"},
    "custom-fields": {"qualification-status": "Qualified"},
}


def step_of(wanted: SupplierMaster) -> Step:
    return Step("", "procurement", "supplier", wanted.number, PutSupplier(wanted))


def answer(body: object, status: int = 200) -> Response:
    return Response(status, JSON, msgspec.json.encode(body))


def read(wanted: SupplierMaster, *listed: object) -> Any:
    return DRIVER.read(step_of(wanted), answer(listed))


def next_write(wanted: SupplierMaster, seen: Any) -> Request:
    write = DRIVER.write(step_of(wanted), seen, "key-1")
    assert write is not None
    assert write.completes
    return write.request


def body_of(request: Request) -> dict[str, Any]:
    assert request.body is not None
    decoded: dict[str, Any] = msgspec.json.decode(request.body)
    return decoded


def changed(wanted: SupplierMaster, **held: Any) -> dict[str, Any]:
    """What is written where procurement has that."""
    request = next_write(wanted, read(wanted, HELD | held))
    assert (request.method, request.path) == ("PUT", "/api/suppliers/17")
    return body_of(request)


# --- what is written ---


def test_a_supplier_is_asked_for_by_the_number_of_the_erp() -> None:
    asked = DRIVER.observe(step_of(master()))
    assert (asked.method, asked.path, asked.query, asked.effectful) == (
        "GET",
        "/api/suppliers",
        (("number", "17300001"), ("order_by", "id"), ("dir", "asc"), ("limit", "50")),
        False,
    )


def test_an_unknown_supplier_is_created_with_what_is_known() -> None:
    seen = read(master(), HELD | {"number": "17300002"}, HELD | {"number": None})
    assert seen == Absent()
    request = next_write(master(), seen)
    assert (request.method, request.path) == ("POST", "/api/suppliers")
    assert body_of(request) == {
        "number": "17300001",
        "name": "Northern Seals",
        "status": "active",
        "primary-address": {
            "street1": "Dock 4",
            "city": "Kiel",
            "postal-code": "24103",
            "country": {"code": "DE"},
        },
        "payment-term": {"code": "NT30"},
    }


def test_what_the_erp_does_not_say_is_not_written() -> None:
    bare = SupplierMaster("1", 7, name="Seals")
    body = body_of(next_write(bare, Absent()))
    assert body == {"number": "1", "name": "Seals", "status": "active"}


def test_what_procurement_has_already_is_not_written_again() -> None:
    seen = read(master(), HELD)
    assert (seen.equal, seen.reference, seen.differences) == (True, "17", ())


def test_only_what_differs_is_changed() -> None:
    held = {"name": "Northern", "primary-address": HELD["primary-address"] | {"city": None}}
    seen = read(master(), HELD | held)
    assert seen.differences == (
        "name: Northern, wanted Northern Seals",
        "primary-address.city: , wanted Kiel",
    )
    assert changed(master(), **held) == {
        "name": "Northern Seals",
        "primary-address": {
            "street1": "Dock 4",
            "city": "Kiel",
            "postal-code": "24103",
            "country": {"code": "DE"},
        },
    }
    assert changed(master(), **{"payment-term": None}) == {"payment-term": {"code": "NT30"}}


@pytest.mark.parametrize(
    ("terms", "written"),
    [
        ([("NT30", False), ("NT30", False)], {"code": "NT30"}),
        ([("NT30", False), ("NT60", True)], {"code": "NT30"}),
        ([("NT30", False), ("NT60", False)], None),
        ([("NT30", False), ("", False)], None),
        ([], None),
    ],
)
def test_a_payment_term_is_written_where_all_organisations_agree(
    terms: list[tuple[str, bool]], written: object
) -> None:
    views = tuple(
        PurchasingView(str(n), payment_terms=term, is_deleted=is_deleted)
        for n, (term, is_deleted) in enumerate(terms)
    )
    body = body_of(next_write(master(organisations=views), Absent()))
    assert body.get("payment-term") == written


# --- blocks ---

BLOCKED = PurchasingView("1010", is_purchasing_blocked=True)
DELETED = PurchasingView("1020", is_deleted=True)


@pytest.mark.parametrize(
    ("stated", "is_blocked"),
    [
        ({"is_purchasing_blocked": True}, True),
        ({"is_deleted": True}, True),
        ({"organisations": (BLOCKED, DELETED)}, True),
        ({"organisations": (BLOCKED, PurchasingView("1020"))}, False),
        ({"is_posting_blocked": True}, False),
    ],
)
def test_one_that_may_not_be_bought_from_is_made_inactive(
    stated: dict[str, Any], is_blocked: bool
) -> None:
    wanted = master(**{"organisations": (), **stated})
    seen = read(wanted, HELD)
    assert seen.equal is not is_blocked
    if is_blocked:
        assert seen.differences == ("status: active, wanted inactive",)
        assert changed(wanted) == {"status": "inactive"}


def test_one_that_procurement_made_inactive_stays_so() -> None:
    assert read(master(), HELD | {"status": "inactive"}).equal
    assert changed(master(), status="inactive", name="Seals") == {"name": "Northern Seals"}


def test_one_that_may_not_be_bought_from_is_not_created() -> None:
    assert read(master(is_purchasing_blocked=True)) == Present(equal=True)


# --- what is refused ---


@pytest.mark.parametrize(
    ("stated", "code"),
    [({"name": ""}, "supplier-without-name"), ({"name": "S" * 101}, "text-too-long")],
)
def test_what_procurement_cannot_hold_is_refused_before_anything_is_sent(
    stated: dict[str, Any], code: str
) -> None:
    for act in (read, next_write):
        seen = (HELD,) if act is read else (Absent(),)
        with pytest.raises(Rejected) as refused:
            act(master(**stated), *seen)
        assert refused.value.code == code
        assert refused.value.where.startswith("supplier-master/17300001")


def test_one_number_with_two_suppliers_is_a_suspected_duplicate() -> None:
    with pytest.raises(SuspectedDuplicate, match="number-used-twice"):
        read(master(), HELD, HELD | {"id": 18})


def test_a_name_that_another_number_has_is_a_suspected_duplicate_at_once() -> None:
    refusal = answer({"errors": {"name": ["has already been taken"]}}, 422)
    with pytest.raises(SuspectedDuplicate, match="name-used-twice") as refused:
        DRIVER.confirm(step_of(master()), refusal)
    assert "Northern Seals" in refused.value.what
    both = {"name": ["has already been taken"], "number": ["has already been taken"]}
    with pytest.raises(Unavailable, match="exists-already"):
        DRIVER.confirm(step_of(master()), answer({"errors": both}, 422))


def test_a_write_is_confirmed_by_the_number() -> None:
    assert DRIVER.confirm(step_of(master()), answer(HELD, 201)) == Confirmed("17")
    with pytest.raises(Conflict, match="answer-about-another"):
        DRIVER.confirm(step_of(master()), answer(HELD | {"number": None}, 201))


# --- both together ---

texts = st.sampled_from(["", "A", "Ä b", "0001"])
masters = st.builds(
    master,
    name=st.sampled_from(["Seals", "Other"]),
    street=texts,
    city=texts,
    postal_code=texts,
    country=st.sampled_from(["", "DE", "US"]),
    organisations=st.lists(
        st.builds(PurchasingView, st.just("1010"), payment_terms=texts), max_size=2
    ).map(tuple),
)


@given(masters, masters)
def test_what_was_written_reads_back_as_equal_and_a_change_reaches_it(
    first: SupplierMaster, second: SupplierMaster
) -> None:
    held = {"id": 17} | body_of(next_write(first, Absent()))
    assert read(first, held).equal
    seen = read(second, held)
    if not seen.equal:
        held |= body_of(next_write(second, seen))
    assert read(second, held).equal
