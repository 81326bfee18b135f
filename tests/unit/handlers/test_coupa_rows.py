"""Contracts and orders as rows of what changed at procurement, into events of ours."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given

from canonical.effects import Effect, Emit
from canonical.errors import InvalidMessage
from canonical.events import SupplierReviewDecided
from canonical.facts import Facts, Known
from canonical.handler import Delivery, Handler
from canonical.money import Money, UnitPrice
from canonical.order import OrderLine, PurchaseOrder, ScheduleLine
from canonical.purchase_contract import ContractLine, PurchaseContract
from canonical.quantity import Quantity
from canonical.rules import Rules
from canonical.supplier import Qualification, Supplier
from handlers.systems.coupa.inbound import (
    HANDLER_CONTRACT,
    HANDLER_ORDER,
    HANDLER_REVIEW,
    HANDLER_SUPPLIER,
)
from handlers.systems.coupa.words import CONTRACT_STATUS, ORDER_STATUS
from tests.corpus import CORPUS, golden
from tests.strategies import moments

NOTHING = Facts(Rules(plants=(), distribution=(), routes=(), central_purchasing_org="1010"))
CHANGED = datetime(2026, 3, 2, 7, tzinfo=UTC)
VERSION = 1_772_434_800_000_000

# In the shape of the vendor's documentation; nobody's data.
FOLDER = CORPUS / "coupa"
ORDER: dict[str, Any] = json.loads((FOLDER / "order.json").read_text())
CONTRACT: dict[str, Any] = json.loads((FOLDER / "contract.json").read_text())
REVIEW: dict[str, Any] = json.loads((FOLDER / "review.json").read_text())
(LINE,) = ORDER["order-lines"]


def delivery(row: object) -> Delivery:
    return Delivery("suite", "", json.dumps(row).encode())


def order_effects(known: Facts = NOTHING, **changed: Any) -> tuple[Effect, ...]:
    message = HANDLER_ORDER.read(delivery(ORDER | changed))
    return HANDLER_ORDER.decide(message, known, CHANGED)


def order(**changed: Any) -> PurchaseOrder:
    (effect,) = order_effects(**changed)
    assert isinstance(effect, Emit)
    assert isinstance(effect.data, PurchaseOrder)
    return effect.data


def contract(**changed: Any) -> PurchaseContract:
    message = HANDLER_CONTRACT.read(delivery(CONTRACT | changed))
    (effect,) = HANDLER_CONTRACT.decide(message, NOTHING, CHANGED)
    assert isinstance(effect, Emit)
    assert (effect.event, effect.key) == ("contract.changed", "contract/C-1")
    assert isinstance(effect.data, PurchaseContract)
    return effect.data


# --- orders ---


def test_an_order_is_taken_over_field_by_field() -> None:
    quantity = Quantity(Decimal(1200), "H87")
    assert order() == PurchaseOrder(
        number="PO-1",
        version=VERSION,
        supplier="S-1",
        currency="EUR",
        lines=(
            OrderLine(
                line="1",
                item="SEAL-1",
                quantity=quantity,
                price=UnitPrice(Money(Decimal("0.25"), "EUR"), Quantity(Decimal(1), "H87")),
                plant="1010",
                supplier_item="T/77",
                description="Shaft seal",
                contract="C-1",
                schedule=(ScheduleLine(quantity, date(2026, 4, 1)),),
            ),
        ),
        payment_terms="NT30",
        # As procurement writes the day, in the zone of whoever created it.
        ordered_on=date(2026, 3, 1),
        source_id="12",
        stated_at=CHANGED,
    )


def test_an_order_is_created_where_nobody_knows_it_and_changed_after_that() -> None:
    (created,) = order_effects()
    known = Facts(NOTHING.rules, {"purchase-order/PO-1": Known(1, order())})
    (changed,) = order_effects(known)
    assert isinstance(created, Emit)
    assert isinstance(changed, Emit)
    assert (created.event, changed.event) == ("purchase-order.created", "purchase-order.changed")


def test_nothing_is_said_of_a_copy_of_an_order_that_another_system_stated() -> None:
    theirs = msgspec.structs.replace(order(), source_id="4500000028")
    known = Facts(NOTHING.rules, {"purchase-order/PO-1": Known(1, theirs)})
    own = Facts(NOTHING.rules, {"purchase-order/PO-1": Known(1, order())})
    external = "ExternalOrderHeader"
    assert order_effects(known, type=external) == ()
    assert len(order_effects(known)) == 1
    assert len(order_effects(own, type=external)) == len(order_effects(type=external)) == 1


@pytest.mark.parametrize(
    ("status", "ours"),
    [(s, ours) for s, ours in ORDER_STATUS.items() if ours in ("open", "closed")],
)
def test_what_the_supplier_has_is_said(status: str, ours: str) -> None:
    assert (len(order(status=status).lines), order(status=status).status) == (1, ours)


@pytest.mark.parametrize("status", [s for s, ours in ORDER_STATUS.items() if ours is None])
def test_nothing_is_said_of_an_order_that_was_not_placed(status: str) -> None:
    assert order_effects(status=status) == ()


def test_an_order_that_is_cancelled_has_no_lines_and_none_where_nobody_knew_it() -> None:
    known = Facts(NOTHING.rules, {"purchase-order/PO-1": Known(1, order())})
    (effect,) = order_effects(known, status="cancelled")
    assert isinstance(effect, Emit)
    assert isinstance(effect.data, PurchaseOrder)
    assert (effect.event, effect.data.lines) == ("purchase-order.changed", ())
    assert effect.data.status == "cancelled"
    assert order_effects(status="cancelled") == ()


def test_a_cancelled_line_is_not_on_order_and_one_by_amount_is_left_out_and_counted() -> None:
    gone = LINE | {"line-num": "2", "status": "cancelled"}
    service = {"line-num": 3, "type": "OrderAmountLine", "price": "150.00"}
    row = ORDER | {"order-lines": [LINE, gone, service]}
    message = HANDLER_ORDER.read(delivery(row))
    assert [line.line for line in order(**row).lines] == ["1"]
    assert HANDLER_ORDER.ignored(message) == {"line by amount": 1}
    assert HANDLER_ORDER.ignored(HANDLER_ORDER.read(delivery(ORDER))) == {}


def test_what_a_line_does_not_say_is_empty() -> None:
    bare = {"line-num": 7, "quantity": "1", "uom": {"code": "EA"}}
    (line,) = order(**{"order-lines": [bare], "ship-to-address": None}).lines
    assert line == OrderLine("7", "", Quantity(Decimal(1), "H87"))


@pytest.mark.parametrize(
    ("changed", "code", "where"),
    [
        ({"status": "on_fire"}, "order-status-unmapped", "status"),
        ({"currency": {"code": "EURO"}}, "currency-unknown", "currency"),
        ({"order-lines": [LINE | {"quantity": None}]}, "field-missing", "order-lines[0].quantity"),
        ({"order-lines": [LINE | {"uom": None}]}, "field-missing", "order-lines[0].quantity"),
        ({"order-lines": [LINE | {"quantity": "1,5"}]}, "number-malformed",
         "order-lines[0].quantity"),
        ({"order-lines": [LINE | {"price": "1e5"}]}, "number-malformed", "order-lines[0].price"),
        ({"order-lines": [LINE | {"need-by-date": "soon"}]}, "day-malformed",
         "order-lines[0].need-by-date"),
        ({"order-lines": [LINE, LINE | {"uom": {"code": "heap"}}]}, "unit-unmapped",
         "order-lines[1].uom"),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_named_with_its_place(
    changed: dict[str, Any], code: str, where: str
) -> None:
    with pytest.raises(InvalidMessage) as caught:
        order_effects(**changed)
    assert (caught.value.code, caught.value.where) == (code, where)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "row",
    [
        {name: value for name, value in ORDER.items() if name != "updated-at"},
        ORDER | {"updated-at": "yesterday"},
        ORDER | {"po-number": ""},
        ORDER | {"supplier": {"number": None}},
        ORDER | {"order-lines": [LINE | {"line-num": None}]},
        [ORDER],
    ],
)
def test_what_is_no_order_is_refused_when_it_is_read(row: object) -> None:
    with pytest.raises(InvalidMessage):
        HANDLER_ORDER.read(delivery(row))


# --- contracts ---


def test_a_contract_is_taken_over_field_by_field() -> None:
    assert contract() == PurchaseContract(
        number="C-1",
        version=VERSION,
        supplier="S-1",
        status="active",
        first_day=date(2026, 1, 1),
        last_day=date(2026, 12, 31),
        kind="value",
        currency="EUR",
        lines=(
            ContractLine(
                line="9",
                item="SEAL-1",
                order_unit="H87",
                price=UnitPrice(Money(Decimal(250), "EUR"), Quantity(Decimal(1000), "H87")),
                minimum=Quantity(Decimal(1000), "H87"),
                first_day=date(2026, 2, 1),
                last_day=None,
                lead_time_days=14,
            ),
            ContractLine(
                line="2",
                item="PIN",
                order_unit="H87",
                price=UnitPrice(Money(Decimal(3), "USD"), Quantity(Decimal(1), "H87")),
            ),
        ),
        title="Seals 2026",
        target_value=Money(Decimal(50000), "EUR"),
        stated_as="published",
        source_id="4",
        stated_at=CHANGED,
    )


@pytest.mark.parametrize(("word", "status"), CONTRACT_STATUS.items())
def test_a_contract_is_said_in_whatever_status_it_is(word: str, status: str) -> None:
    found = contract(status=word)
    assert (found.status, found.stated_as) == (status, word)


@pytest.mark.parametrize("value", [None, "0.00"])
def test_without_a_maximum_only_prices_are_agreed(value: str | None) -> None:
    found = contract(**{"maximum-value": value, "currency": None})
    assert (found.kind, found.target_value, found.currency) == ("blanket", None, "")


@pytest.mark.parametrize(
    ("changed", "code", "where"),
    [
        ({"status": "Published"}, "contract-status-unmapped", "status"),
        ({"currency": None}, "field-missing", "currency"),
        ({"currency": {"code": "XXX"}}, "currency-unknown", "currency"),
        ({"start-date": "01.01.2026"}, "day-malformed", "start-date"),
        ({"lines": [CONTRACT["lines"][0] | {"lead-time": -1}]}, "lead-time-negative",
         "lines[0].lead-time"),
        ({"lines": [CONTRACT["lines"][0] | {"uom": {"code": "heap"}}]}, "unit-unmapped",
         "lines[0].uom"),
    ],
)  # fmt: skip
def test_a_contract_that_cannot_be_understood_is_refused_with_its_place(
    changed: dict[str, Any], code: str, where: str
) -> None:
    with pytest.raises(InvalidMessage) as caught:
        contract(**changed)
    assert (caught.value.code, caught.value.where) == (code, where)


# --- suppliers ---


def test_a_supplier_as_a_row_says_what_it_says_in_an_answer() -> None:
    row = {
        "id": 7,
        "number": " S-1",
        "name": "Teller Precision",
        "status": "active",
        "updated-at": "2026-03-02T08:00:00+01:00",
        "custom-fields": {"qualification-status": "Qualified"},
    }
    message = HANDLER_SUPPLIER.read(delivery(row))
    (effect,) = HANDLER_SUPPLIER.decide(message, NOTHING, CHANGED)
    assert isinstance(effect, Emit)
    assert (effect.event, effect.key) == ("supplier.changed", "supplier/S-1")
    assert effect.data == Supplier(
        number="S-1",
        name="Teller Precision",
        active=True,
        qualification=Qualification("qualified", stated_as="Qualified"),
        source_id="7",
        stated_at=CHANGED,
    )
    assert message.envelope.id.startswith("coupa.supplier/7@2026-03-02T07:00:00+00:00#")
    with pytest.raises(InvalidMessage):
        HANDLER_SUPPLIER.read(delivery({**row, "updated-at": None}))


# --- the corpus ---


@pytest.mark.parametrize(
    ("name", "handler"), [("order", HANDLER_ORDER), ("contract", HANDLER_CONTRACT)]
)
def test_a_row_of_the_corpus_becomes_its_golden(name: str, handler: Handler) -> None:
    message = handler.read(Delivery("suite", "", (FOLDER / f"{name}.json").read_bytes()))
    said = golden(handler.decide(message, NOTHING, CHANGED))
    assert said == (FOLDER / f"{name}.golden.json").read_text()


# --- identity and order ---


def test_a_row_that_is_listed_again_is_the_same_and_one_that_says_something_else_is_not() -> None:
    first = HANDLER_ORDER.read(delivery(ORDER)).envelope
    again = HANDLER_ORDER.read(delivery(ORDER)).envelope
    # The name of a supplier changes without its orders saying so.
    renamed = ORDER | {"supplier": {"id": 7, "number": "S-1", "name": "Teller SE"}}
    other = HANDLER_ORDER.read(delivery(renamed)).envelope
    assert first.id == again.id != other.id
    assert first.id.startswith("coupa.order/12@2026-03-02T07:00:00+00:00#")
    assert (first.key, first.time) == ("purchase-order/PO-1", CHANGED)


@given(moments())
def test_the_later_row_is_the_newer_version(at: datetime) -> None:
    versions = [
        HANDLER_CONTRACT.version(HANDLER_CONTRACT.read(delivery(CONTRACT | {"updated-at": stated})))
        for stated in (at.isoformat(), (at + timedelta(microseconds=1)).isoformat())
        if HANDLER_CONTRACT.version is not None
    ]
    assert versions[0] is not None
    assert versions[1] is not None
    assert versions[0] < versions[1]


# --- reviews ---


def review_effects(**changed: Any) -> tuple[Effect, ...]:
    message = HANDLER_REVIEW.read(delivery(REVIEW | changed))
    return HANDLER_REVIEW.decide(message, NOTHING, CHANGED)


def test_a_review_of_ours_that_is_decided_is_told_with_who_and_why() -> None:
    (effect,) = review_effects(verdict="rejected")
    assert effect == Emit(
        "supplier-review.decided",
        "supplier-review/ECO-3001:S-400",
        SupplierReviewDecided(
            change="ECO-3001",
            supplier="S-400",
            verdict="rejected",
            by="M. Reiter",
            reason="audited on site",
            at=datetime(2026, 3, 2, 8, tzinfo=UTC),
        ),
    )


@pytest.mark.parametrize(
    ("person", "named"),
    [({"login": "mreiter"}, "mreiter"), ({}, ""), (None, "")],
    ids=["login", "nobody", "none"],
)
def test_who_decided_is_named_as_far_as_it_is_told(person: Any, named: str) -> None:
    (effect,) = review_effects(**{"decided-by": person, "decision-reason": None})
    assert isinstance(effect, Emit)
    assert isinstance(effect.data, SupplierReviewDecided)
    assert (effect.data.by, effect.data.reason) == (named, "")


@pytest.mark.parametrize(
    "stands",
    [
        {"status": "open"},
        {"status": "open", "verdict": "approved"},
        {"verdict": None},
        {"verdict": ""},
        {"verdict": "withdrawn"},
        {"external-ref": None},
        {"external-ref": "R-17"},
    ],
    ids=str,
)
def test_of_any_other_review_nothing_is_said(stands: dict[str, Any]) -> None:
    assert review_effects(**stands) == ()


@pytest.mark.parametrize(
    ("stands", "code"),
    [
        ({"verdict": "perhaps"}, "review-verdict-unmapped"),
        ({"status": "perhaps"}, "review-status-unmapped"),
        ({"supplier": {"number": "S-9"}}, "review-differs"),
    ],
    ids=["verdict", "status", "supplier"],
)
def test_what_a_review_says_otherwise_is_not_guessed(stands: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        review_effects(**stands)
    assert caught.value.code == code
