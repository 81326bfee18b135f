"""Purchase orders as purchases, under a reference to their number, and confirmed: a purchase is
made as a draft, quoted, which gives it Tryton's own number, and confirmed.

A line is known by its sequence, which is the number of the order's line.
"""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

from canonical.codec import encode
from canonical.connector import Absent, Observed, Present
from canonical.errors import Conflict, Rejected
from canonical.order import OrderLine, PurchaseOrder, order_key
from canonical.own_words import OwnWords
from handlers.systems.tryton import prices, references, rpc, units
from handlers.systems.tryton.native import (
    Day,
    HeldPurchase,
    Purchase,
    PurchaseLine,
    References,
    day,
)
from handlers.systems.tryton.rpc import Call, Difference, Look
from handlers.systems.tryton.words import PURCHASE, PURCHASE_LINE

_FIELDS = (
    *("reference", "number", "state", "party.code", "currency.code", "_timestamp"),
    *("lines.type", "lines.sequence", "lines.quantity", "lines.unit.symbol", "lines.product.code"),
    *("lines.unit_price", "lines.description", "lines.delivery_date_store", "lines._timestamp"),
)
# What people carry out already.
_UNDER_WAY = ("processing", "done")
# A line is read back in some 350 bytes, and 2 MiB of an answer are taken.
_MAX_LINES = 3_000


def look(order: PurchaseOrder, own: OwnWords) -> Look:
    """All that the order refers to, then the purchase by its reference. Of one that is cancelled
    nothing has to be known but the company."""
    return references.look(order.organisation, partial(_look_references, order, own))


def _look_references(order: PurchaseOrder, own: OwnWords, company: int) -> Look:
    if is_gone(order):
        return _look_purchase(order, own, References(company=company))
    return references.look_document(
        company,
        supplier=order.supplier,
        currency=order.currency,
        items=tuple(sorted({line.item for line in order.lines if line.item})),
        symbols=tuple(sorted({_symbol(order, line, own) for line in order.lines})),
        then=partial(_look_purchase, order, own),
    )


def is_gone(order: PurchaseOrder) -> bool:
    """Whether nothing is ordered any more."""
    return order.status == "cancelled" or not order.lines


def _look_purchase(order: PurchaseOrder, own: OwnWords, known: References) -> Look:
    domain = (("reference", "=", order.number), ("company", "=", known.company))
    return Look(
        rpc.search(PURCHASE, domain, _FIELDS, context={"company": known.company}),
        lambda found: _observed(order, own, known, rpc.decoded(found, tuple[Purchase, ...])),
    )


def _observed(
    order: PurchaseOrder, own: OwnWords, known: References, found: tuple[Purchase, ...]
) -> Observed:
    """One that is cancelled and was never known is not missing."""
    purchase = rpc.only(
        tuple(one for one in found if one.reference == order.number), order_key(order.number)
    )
    held = HeldPurchase(purchase, known)
    if purchase is None:
        return Present(equal=True) if is_gone(order) else Absent(encode(held))
    missing = differences(order, own, held)
    return Present(
        equal=not missing,
        reference=purchase.number or str(purchase.id),
        differences=tuple(line for one in missing for line in one.what),
        native=encode(held),
    )


def create(order: PurchaseOrder, own: OwnWords, held: HeldPurchase) -> Call | None:
    """The purchase with its lines as a draft.

    Raises: Rejected for what no purchase can be.
    """
    if is_gone(order):
        return None
    known = held.references
    values: dict[str, Any] = {
        "reference": order.number,
        "company": known.company or order.organisation,
        "party": known.party or order.supplier,
        "currency": known.currency or order.currency,
        "lines": [["create", [_values(order, line, own, known) for line in _wanted(order)]]],
    }
    if known.address:
        values["invoice_address"] = known.address
    if order.ordered_on:
        values["purchase_date"] = day(order.ordered_on)
    return rpc.create(PURCHASE, values, company=values["company"])


def differences(order: PurchaseOrder, own: OwnWords, held: HeldPurchase) -> tuple[Difference, ...]:
    """What has to be done, in its order: a confirmed purchase is opened again before its lines are
    changed, and then quoted and confirmed anew."""
    purchase = held.purchase
    assert purchase is not None
    if is_gone(order):
        return _cancelled(order, held, purchase)
    if purchase.state == "cancelled":
        return (_conflict(order, "it is cancelled there"),)
    shown = rpc.differing(
        (
            ("supplier", purchase.party.code, order.supplier),
            ("currency", purchase.currency.code, order.currency),
        )
    )
    if shown:
        return (_conflict(order, "; ".join(shown)),)
    changed = _changed(order, own, held, purchase)
    if changed is not None and purchase.state in _UNDER_WAY:
        return (_conflict(order, f"it is being carried out; {changed.what[0]}"),)
    if changed is None and purchase.state in (*_UNDER_WAY, "confirmed"):
        return ()
    found: list[Difference] = []
    if changed is not None:
        if purchase.state != "draft":
            found.append(_press(held, purchase, "draft", f"{purchase.state}, and has to change"))
        found.append(changed)
    if changed is not None or purchase.state == "draft":
        found.append(_press(held, purchase, "quote", "not quoted"))
    found.append(_press(held, purchase, "confirm", "not confirmed"))
    return tuple(found)


def _cancelled(
    order: PurchaseOrder, held: HeldPurchase, purchase: Purchase
) -> tuple[Difference, ...]:
    if purchase.state == "cancelled":
        return ()
    if purchase.state in _UNDER_WAY:
        return (_conflict(order, f"it is {purchase.state}, wanted cancelled"),)
    found = [_press(held, purchase, "cancel", "not cancelled")]
    if purchase.state == "confirmed":
        found.insert(0, _press(held, purchase, "draft", "confirmed, and has to be cancelled"))
    return tuple(found)


def _press(held: HeldPurchase, purchase: Purchase, button: str, what: str) -> Difference:
    seen = {rpc.stamp(PURCHASE, purchase.id): purchase.timestamp}
    company = held.references.company
    call = rpc.press(PURCHASE, button, purchase.id, seen=seen, company=company)
    return Difference((f"state: {what}",), call)


# --- lines ---


def _changed(
    order: PurchaseOrder, own: OwnWords, held: HeldPurchase, purchase: Purchase
) -> Difference | None:
    """The change of lines as one write; what stands between them stays."""
    rows = {row.sequence: row for row in purchase.lines if row.type == "line"}
    commands: list[list[Any]] = []
    what: list[str] = []
    seen = {rpc.stamp(PURCHASE, purchase.id): purchase.timestamp}
    for line in _wanted(order):
        row = rows.pop(_sequence(order, line), None)
        if row is None:
            commands.append(["create", [_values(order, line, own, held.references)]])
            what.append(f"line {line.line}: missing")
            continue
        if shown := rpc.differing(_compared(order, line, row, own)):
            commands.append(["write", [row.id], _values(order, line, own, held.references)])
            what += [f"line {line.line}: {one}" for one in shown]
            seen[rpc.stamp(PURCHASE_LINE, row.id)] = row.timestamp
    left = [row for row in purchase.lines if row.type == "line" and row in rows.values()]
    if left:
        commands.append(["delete", [row.id for row in left]])
        what += [f"line {row.sequence}: there, wanted none" for row in left]
        seen |= {rpc.stamp(PURCHASE_LINE, row.id): row.timestamp for row in left}
    if not commands:
        return None
    company = held.references.company
    values = {"lines": commands}
    call = rpc.write(PURCHASE, purchase.id, values, seen=seen, company=company)
    return Difference(tuple(what), call)


def _compared(
    order: PurchaseOrder, line: OrderLine, row: PurchaseLine, own: OwnWords
) -> tuple[tuple[str, object, object], ...]:
    symbol = row.unit.symbol if row.unit else ""
    unit = line.quantity.unit
    held_unit = unit if units.is_same(symbol, unit, own) else symbol
    held_price = Decimal(row.unit_price.decimal) if row.unit_price else None
    price = _price(order, line)
    compared: list[tuple[str, object, object]] = [
        ("product", (row.product.code or "") if row.product else "", line.item),
        ("quantity", row.quantity, line.quantity.value),
        ("unit", held_unit, unit),
    ]
    if price is not None:
        compared.append(("price", held_price, price))
    on = _delivery(order, line)
    if on is not None:
        compared.append(("delivery", _iso(row.delivery_date_store), _iso(on)))
    if line.description or not line.item:
        compared.append(("description", row.description or "", line.description))
    return tuple(compared)


def _iso(on: Day | None) -> str:
    return f"{on.year:04}-{on.month:02}-{on.day:02}" if on else ""


def _values(
    order: PurchaseOrder, line: OrderLine, own: OwnWords, known: References
) -> dict[str, Any]:
    values: dict[str, Any] = {
        "type": "line",
        "sequence": _sequence(order, line),
        "quantity": float(line.quantity.value),
        "unit": rpc.ref(known.units, _symbol(order, line, own)),
    }
    if line.item:
        values["product"] = rpc.ref(known.products, line.item)
    if line.description or not line.item:
        values["description"] = line.description
    price = _price(order, line)
    if price is not None:
        values["unit_price"] = prices.exact(price)
    on = _delivery(order, line)
    if on is not None:
        values |= {"delivery_date_edit": True, "delivery_date_store": on}
    return values


def _wanted(order: PurchaseOrder) -> tuple[OrderLine, ...]:
    """Raises: Rejected for lines that cannot be told apart, or too many."""
    numbers = {_sequence(order, line) for line in order.lines}
    if len(numbers) < len(order.lines):
        raise _refused(order, "line-twice", "two lines have the same number")
    if len(order.lines) > _MAX_LINES:
        raise _refused(order, "order-too-long", f"it has {len(order.lines)} lines")
    return order.lines


def _sequence(order: PurchaseOrder, line: OrderLine) -> int:
    if not (line.line.isascii() and line.line.isdigit() and len(line.line) <= 9):
        raise _refused(order, "line-unnumbered", f"line {line.line[:40]!r} has no number")
    return int(line.line)


def _price(order: PurchaseOrder, line: OrderLine) -> Decimal | None:
    """For one of what is ordered; None where none is stated."""
    if line.price is None:
        return None
    where = f"{order_key(order.number)}/{line.line}"
    return prices.amount_of(line.price, line.quantity.unit, order.currency, where)


def _delivery(order: PurchaseOrder, line: OrderLine) -> Day | None:
    """The day of delivery; None where none is stated.

    Raises: Rejected for several: a line of Tryton has one.
    """
    days = {one.on for one in line.schedule if one.quantity.value != 0}
    if len(days) > 1:
        raise _refused(order, "schedule-unsupported", f"line {line.line} comes on several days")
    on = next(iter(days), None)
    return day(on) if on else None


def _symbol(order: PurchaseOrder, line: OrderLine, own: OwnWords) -> str:
    where = f"{order_key(order.number)}/{line.line}"
    return units.symbol(line.quantity.unit, own, where)


def _refused(order: PurchaseOrder, code: str, what: str) -> Rejected:
    return Rejected(
        code,
        f"Order {order.number} cannot be a purchase of Tryton: {what}",
        where=order_key(order.number),
        remedy="Change the order where it is placed, or place it in Tryton by hand",
    )


def _conflict(order: PurchaseOrder, shown: str) -> Difference:
    return Difference(
        (shown,),
        conflict=Conflict(
            "order-differs",
            f"Order {order.number} cannot be made so in Tryton: {shown}",
            where=order_key(order.number),
            remedy="Settle it with purchasing there, then release the step again",
        ),
    )


def remarks(order: PurchaseOrder) -> tuple[str, ...]:
    """What of the order Tryton has no place for, each kind once."""
    said = {
        "Payment terms": order.payment_terms,
        "Plants": any(line.plant for line in order.lines),
        "Revisions": any(line.revision for line in order.lines),
        "Numbers of the supplier": any(line.supplier_item for line in order.lines),
        "Contracts": any(line.contract for line in order.lines),
    }
    about = f"of order {order.number}"
    return tuple(f"{words} {about}: not sent" for words, stated in said.items() if stated)
