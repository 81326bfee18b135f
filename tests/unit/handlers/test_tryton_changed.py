"""What changed in Tryton is read, and what a read brings back is a material or an order of ours."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from canonical.connector import Present
from canonical.effects import Emit, Fetch, Open
from canonical.errors import InvalidMessage, Misconfigured
from canonical.facts import Facts
from canonical.handler import Delivery
from canonical.item_master import ItemMasterPatch
from canonical.operations import ReadObject
from canonical.order import PurchaseOrder
from handlers.systems.tryton.changed import (
    CHANGED_PRODUCTS,
    CHANGED_PURCHASES,
    READ_PRODUCT,
    READ_PURCHASE,
)
from handlers.systems.tryton.outbound import DRIVER
from tests.corpus import CORPUS
from tests.fixtures.gearbox import NOW, facts
from tests.fixtures.tryton.stories import order, ordered, step
from tests.unit.handlers.test_tryton import answered

NO_FACTS = facts()


def recorded(name: str) -> Any:
    return json.loads((CORPUS / "tryton" / f"{name}.json").read_text())


def changes(content: object, **attributes: str) -> Delivery:
    return Delivery("erp", "", json.dumps(content).encode(), attributes=attributes)


def brought(subject: str, content: object) -> Delivery:
    attributes = {"id": "step/7/1", "subject": subject, "time": "2026-11-29T16:00:00+00:00"}
    return Delivery("erp", "", json.dumps(content).encode(), attributes=attributes)


# --- lists ---


def test_each_record_of_an_answer_is_read_once() -> None:
    told = recorded("changed-products")
    told["result"].append(told["result"][0])
    message = CHANGED_PRODUCTS.read(changes(told))
    effects = CHANGED_PRODUCTS.decide(message, NO_FACTS, NOW)
    assert effects == tuple(
        Fetch("variant", str(number), key=f"variant-id/{number}") for number in range(1, 6)
    )


def test_an_answer_that_names_nothing_comes_to_nothing() -> None:
    message = CHANGED_PURCHASES.read(changes({"id": 1, "result": []}))
    assert CHANGED_PURCHASES.decide(message, NO_FACTS, NOW) == ()


def test_the_same_answer_is_the_same_message_and_a_later_change_another() -> None:
    told = recorded("changed-purchases")
    first, again = (CHANGED_PURCHASES.read(changes(told)).envelope.id for _ in range(2))
    told["result"][0]["write_date"]["microsecond"] += 1
    assert first == again != CHANGED_PURCHASES.read(changes(told)).envelope.id
    assert CHANGED_PURCHASES.read(changes(told, id="look-7")).envelope.id == "look-7"


@pytest.mark.parametrize(
    "content",
    [
        {"id": 1, "error": ["UserError", ["No.", "", None]]},
        {"id": 1, "result": [{"id": 0}]},
        {"id": 1, "result": [{"id": 4}]},
        {"id": 1, "result": [{"id": 4, "write_date": "2026-03-02"}]},
        {
            "id": 1,
            "result": [
                {
                    "id": 4,
                    "write_date": {"__class__": "datetime", "year": 2026, "month": 2, "day": 30},
                }
            ],
        },
    ],
)
def test_what_is_no_answer_of_what_changed_is_refused(content: object) -> None:
    with pytest.raises(InvalidMessage):
        CHANGED_PURCHASES.read(changes(content))


# --- the read ---


def asked(kind: str = "purchase", number: str = "2") -> ReadObject:
    return ReadObject(kind, number, f"{kind}-id/{number}", 1, "c-1")


def test_a_record_is_read_by_its_id_and_handed_on_as_it_came() -> None:
    one = step(asked())
    request = DRIVER.observe(one)
    assert not request.effectful
    sent = msgspec.json.decode(request.body or b"")
    assert sent["method"] == "model.purchase.purchase.search_read"
    assert sent["params"][0] == [["id", "=", 2]]
    held = recorded("purchase")["object"]
    seen = DRIVER.read(one, answered({"id": one.identity, "result": [held]}))
    assert isinstance(seen, Present)
    assert seen.answer is not None
    assert (seen.answer.type, seen.answer.key) == ("tryton.purchase", "purchase-id/2")
    assert json.loads(seen.answer.body) == {"object": held}
    assert DRIVER.write(one, seen, "key") is None


def test_a_record_that_is_gone_is_an_answer_and_one_of_another_id_is_none() -> None:
    one = step(asked())
    gone = DRIVER.read(one, answered({"id": one.identity, "result": []}))
    assert isinstance(gone, Present)
    assert gone.answer is not None
    assert json.loads(gone.answer.body) == {"gone": True}
    with pytest.raises(Misconfigured, match="answer-about-another"):
        DRIVER.read(one, answered({"id": one.identity, "result": [{"id": 3}]}))


@pytest.mark.parametrize(
    ("kind", "number"), [("party", "2"), ("purchase", "0"), ("purchase", "2 or 1"), ("variant", "")]
)
def test_what_cannot_be_read_is_refused_before_it_is_asked_for(kind: str, number: str) -> None:
    with pytest.raises(Misconfigured, match="object-unreadable"):
        DRIVER.observe(step(asked(kind, number)))


# --- what it comes to ---


def product(**fields: Any) -> Any:
    held = recorded("product")["object"]
    template = held["template."]
    told = {**held, **{k: v for k, v in fields.items() if k not in template or k == "active"}}
    return {"object": told | {"template.": template}}


def test_a_product_is_the_material_of_its_code() -> None:
    message = READ_PRODUCT.read(brought("variant-id/2", product()))
    (effect,) = READ_PRODUCT.decide(message, NO_FACTS, NOW)
    assert isinstance(effect, Emit)
    assert (effect.event, effect.key) == ("item.changed", "item-master/SEAL-7")
    assert isinstance(effect.data, ItemMasterPatch)
    assert effect.data.base_unit == "H87"
    assert effect.data.descriptions == {"EN": "Shaft seal, 40 mm, FKM"}
    assert not effect.data.is_deleted


def test_a_product_that_is_not_active_is_a_material_that_is_deleted() -> None:
    message = READ_PRODUCT.read(brought("variant-id/2", product(active=False)))
    (effect,) = READ_PRODUCT.decide(message, NO_FACTS, NOW)
    assert isinstance(effect, Emit)
    assert isinstance(effect.data, ItemMasterPatch)
    assert effect.data.is_deleted


def test_a_product_without_a_code_is_refused_by_its_field() -> None:
    message = READ_PRODUCT.read(brought("variant-id/2", product(code=None)))
    with pytest.raises(InvalidMessage, match=r"\(code\)"):
        READ_PRODUCT.decide(message, NO_FACTS, NOW)


def purchase(**fields: Any) -> Any:
    return {"object": recorded("purchase")["object"] | fields}


def placed(content: Any, facts: Facts = NO_FACTS) -> Any:
    message = READ_PURCHASE.read(brought("purchase-id/2", content))
    return READ_PURCHASE.decide(message, facts, NOW)


def known(number: str, **fields: Any) -> Facts:
    return facts(order(ordered("10", "SEAL-7", "1", "4"), number=number, **fields).order)


def test_a_confirmed_purchase_is_an_order_of_trytons_own_number() -> None:
    (effect,) = placed(purchase())
    assert (effect.event, effect.key) == ("purchase-order.created", "purchase-order/2")
    assert isinstance(effect.data, PurchaseOrder)
    assert effect.data.supplier == "17300001"
    (changed,) = placed(purchase(), known("2"))
    assert changed.event == "purchase-order.changed"


def test_an_order_that_was_put_there_from_here_is_not_said_again() -> None:
    assert placed(purchase(), known("REQ-12")) == ()
    # Another supplier's: the buyer used the field for something else.
    (effect,) = placed(purchase(), known("REQ-12", supplier="S-9"))
    assert effect.event == "purchase-order.created"


@pytest.mark.parametrize("state", ["draft", "quotation"])
def test_what_is_not_confirmed_is_the_buyers_own(state: str) -> None:
    assert placed(purchase(state=state, number=None)) == ()


@pytest.mark.parametrize(
    ("state", "status", "lines"),
    [
        ("confirmed", "open", 2),
        ("processing", "open", 2),
        ("done", "closed", 2),
        ("cancelled", "cancelled", 0),
    ],
)
def test_the_state_of_a_purchase_goes_by_table(state: str, status: str, lines: int) -> None:
    (effect,) = placed(purchase(state=state))
    assert (effect.data.status, len(effect.data.lines)) == (status, lines)


def test_a_state_that_is_in_no_table_is_refused() -> None:
    with pytest.raises(InvalidMessage, match="state-unmapped"):
        placed(purchase(state="awaiting"))


def test_a_purchase_that_was_cancelled_before_it_had_a_number_was_never_an_order() -> None:
    assert placed(purchase(state="cancelled", number=None)) == ()


def test_what_is_between_the_lines_is_no_line() -> None:
    lines = recorded("purchase")["object"]["lines."]
    title = {
        "id": 9,
        "type": "title",
        "description": "Seals",
        "create_date": lines[0]["create_date"],
    }
    (effect,) = placed(purchase(**{"lines.": [title, *lines]}))
    assert [line.line for line in effect.data.lines] == ["10", "20"]


def test_a_record_that_is_gone_is_a_case() -> None:
    (case,) = placed({"gone": True})
    assert isinstance(case, Open)
    assert case.code == "gone-at-erp"


@pytest.mark.parametrize("content", [{}, {"object": None}, {"object": None, "gone": False}])
def test_an_answer_that_says_nothing_is_refused(content: object) -> None:
    with pytest.raises(InvalidMessage, match="answer-empty"):
        READ_PURCHASE.read(brought("purchase-id/2", content))
