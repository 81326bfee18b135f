"""ORDERS and ORDRSP in ORDERS05: purchase orders out of SAP, and confirmations of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime

from canonical.errors import InvalidMessage
from canonical.money import Money, UnitPrice
from canonical.order import (
    ConfirmationStatus,
    ConfirmedLine,
    OrderConfirmation,
    OrderLine,
    PurchaseOrder,
    ScheduleLine,
)
from canonical.own_words import OwnWords
from canonical.quantity import Quantity
from canonical.text import normalise_text, received_id
from canonical.units import to_rec20
from handlers.systems.idoc.document import IDoc, Segment
from handlers.systems.idoc.values import day, decimal, key
from handlers.systems.idoc.words import (
    ALIASES,
    DELETED,
    ITEM_OF_BUYER,
    ITEM_OF_SUPPLIER,
    NET_VALUE,
    NO_CHANGE,
    ON_ORDER,
    ORDER_OF_BUYER,
    ORDER_OF_SUPPLIER,
    ORDERED_ON,
    PURCHASING_ORGANISATION,
    STANDS,
    SUPPLIER,
)

ORDER, CHANGE, CONFIRMATION = "ORDERS", "ORDCHG", "ORDRSP"
BASIC_TYPE = "ORDERS05"
# Segments that are read.
SEGMENTS = frozenset(
    {
        "E1EDK01",
        "E1EDK02",
        "E1EDK03",
        "E1EDK14",
        "E1EDKA1",
        "E1EDP01",
        "E1EDP02",
        "E1EDP19",
        "E1EDP20",
        "E1EDS01",
    }
)


def order_number(idoc: IDoc) -> str:
    """The buyer's number of the order that the IDoc is about. What the header of a confirmation
    gives is the supplier's."""
    head, (message_type, _) = _head(idoc), idoc.kind
    reference = idoc.root.first("E1EDK02", QUALF=ORDER_OF_BUYER)
    stated = _said(reference, "BELNR") if reference else ""
    if not stated and message_type != CONFIRMATION:
        stated = _said(head, "BELNR")
    return key(stated, where=f"{head.where}: BELNR of the buyer's order")


def to_order(idoc: IDoc, version: int, stated_at: datetime, own: OwnWords) -> PurchaseOrder:
    """The order that an ORDERS or ORDCHG states, whole; without lines where it is taken back.

    Raises: InvalidMessage naming segment, line and field; for an order that is not stated whole.
    """
    head = _head(idoc)
    currency = _said(head, "CURCY")
    return PurchaseOrder(
        number=order_number(idoc),
        version=version,
        supplier=_supplier(idoc),
        currency=currency,
        lines=tuple(_to_line(line, currency, own) for line in _ordered(idoc)),
        organisation=_organisation(idoc),
        kind=normalise_text(_said(head, "BSART"), where=f"{head.where}: BSART"),
        payment_terms=normalise_text(_said(head, "ZTERM"), where=f"{head.where}: ZTERM"),
        ordered_on=_ordered_on(idoc),
        total=_total(idoc, currency),
        source_id=received_id(_said(head, "BELNR"), where=f"{head.where}: BELNR"),
        stated_at=stated_at,
        status="open" if _is(STANDS, head) else "cancelled",
    )


def to_confirmation(
    idoc: IDoc, version: int, stated_at: datetime, own: OwnWords
) -> OrderConfirmation:
    """What an ORDRSP confirms.

    Raises: InvalidMessage naming segment, line and field; for a line that is told of twice with
        different words.
    """
    head = _head(idoc)
    currency = _said(head, "CURCY")
    theirs = idoc.root.first("E1EDK02", QUALF=ORDER_OF_SUPPLIER)
    lines: dict[str, ConfirmedLine] = {}
    for segment in idoc.root.all("E1EDP01"):
        line = _to_confirmed(segment, currency, own)
        if lines.setdefault(line.line, line) != line:
            raise InvalidMessage(
                "line-twice",
                f"Line {line.line} is confirmed twice, in different words",
                where=segment.where,
                remedy="Send each line once",
            )
    if not lines:
        raise InvalidMessage(
            "lines-missing",
            "The confirmation has no line",
            where=head.where,
            remedy="Send what is confirmed, line by line",
        )
    return OrderConfirmation(
        order=order_number(idoc),
        version=version,
        lines=tuple(lines.values()),
        supplier=_supplier(idoc),
        reference=normalise_text(_said(theirs, "BELNR") if theirs else "", where="E1EDK02: BELNR"),
        currency=currency,
        stated_at=stated_at,
    )


def _said(segment: Segment, *names: str) -> str:
    """The first of the fields that says something; "" where none does.

    Raises: InvalidMessage for one that is as it was: orders and confirmations are stated whole, and
        what it was may be another system's to know.
    """
    for name in names:
        value = segment.fields.get(name, "")
        if value == NO_CHANGE:
            raise _incomplete("A field was not selected", where=f"{segment.where}: {name}")
        if value:
            return value
    return ""


def _incomplete(what: str, *, where: str) -> InvalidMessage:
    return InvalidMessage("order-incomplete", what, where=where, remedy="Send the whole order")


def _head(idoc: IDoc) -> Segment:
    return idoc.head("E1EDK01")


def _supplier(idoc: IDoc) -> str:
    """The buyer's number for the supplier. The partner may be told of several times with other
    fields filled; what those that say it say has to be one."""
    partners = list(idoc.root.all("E1EDKA1", PARVW=SUPPLIER))
    for field in ("LIFNR", "PARTN"):
        stated = [partner for partner in partners if partner.get(field)]
        found = {key(p.get(field), where=f"{p.where}: {field}") for p in stated}
        if len(found) > 1:
            raise InvalidMessage(
                "supplier-ambiguous",
                f"The supplier is told of as {', '.join(sorted(found))[:80]}",
                where=f"{partners[0].where}: {field}",
                remedy="Send one supplier",
            )
        if found:
            return found.pop()
    for partner in partners:
        _said(partner, "LIFNR", "PARTN")
    return ""


def _organisation(idoc: IDoc) -> str:
    found = idoc.root.first("E1EDK14", QUALF=PURCHASING_ORGANISATION)
    return normalise_text(_said(found, "ORGID"), where=found.where) if found else ""


def _ordered_on(idoc: IDoc) -> date | None:
    found = idoc.root.first("E1EDK03", IDDAT=ORDERED_ON)
    return day(_said(found, "DATUM"), where=f"{found.where}: DATUM") if found else None


def _total(idoc: IDoc, currency: str) -> Money | None:
    found = idoc.root.first("E1EDS01", SUMID=NET_VALUE)
    if found is None or not _said(found, "SUMME"):
        return None
    amount = decimal(_said(found, "SUMME"), where=f"{found.where}: SUMME")
    return Money(amount, _said(found, "SUNIT") or currency)


def _ordered(idoc: IDoc) -> Iterator[Segment]:
    """The lines that are on order: none of an order that is taken back."""
    head, (message_type, _) = _head(idoc), idoc.kind
    lines = list(idoc.root.all("E1EDP01"))
    if not _is(STANDS, head):
        if message_type == ORDER:
            raise InvalidMessage(
                "order-action",
                "An order is sent as a new one and taken back at once",
                where=f"{head.where}: ACTION",
                remedy=f"Send the order without it, or {CHANGE} to take it back",
            )
        return iter(())
    if not lines:
        raise _incomplete("The order has no line", where=head.where)
    return (line for line in lines if _is(ON_ORDER, line))


def _is(table: Mapping[str, bool], segment: Segment) -> bool:
    """What the table says of the segment's ACTION."""
    word = _said(segment, "ACTION")
    if word not in table:
        raise InvalidMessage(
            "order-action",
            f"Action {word[:10]!r} does not say whether this is on order",
            where=f"{segment.where}: ACTION",
            remedy="Have the code mapped, or send one of " + ", ".join(filter(None, table)),
        )
    return table[word]


def _to_line(segment: Segment, currency: str, own: OwnWords) -> OrderLine:
    return OrderLine(
        line=key(_said(segment, "POSEX"), where=f"{segment.where}: POSEX"),
        item=_item(segment, ITEM_OF_BUYER),
        quantity=_quantity(segment, own, "MENGE"),
        price=_price(segment, currency, own),
        plant=normalise_text(_said(segment, "WERKS"), where=f"{segment.where}: WERKS"),
        supplier_item=_item(segment, ITEM_OF_SUPPLIER),
        description=_description(segment),
        schedule=tuple(_schedule(segment, own, "WMENG")),
    )


def confirmed_line(segment: Segment) -> str:
    """The number of the order's line that a line of a confirmation is about."""
    ours = segment.first("E1EDP02", QUALF=ORDER_OF_BUYER)
    number = (_said(ours, "ZEILE") if ours else "") or _said(segment, "POSEX")
    return key(number, where=f"{segment.where}: POSEX")


def _to_confirmed(segment: Segment, currency: str, own: OwnWords) -> ConfirmedLine:
    quantity = _quantity(segment, own, "MENGE")
    schedule = tuple(_schedule(segment, own, "AMENG"))
    return ConfirmedLine(
        line=confirmed_line(segment),
        status=_status(segment, quantity, schedule),
        quantity=quantity,
        schedule=schedule,
        item=_item(segment, ITEM_OF_BUYER),
        supplier_item=_item(segment, ITEM_OF_SUPPLIER),
        price=_price(segment, currency, own),
        stated_as=normalise_text(_said(segment, "ACTION"), where=f"{segment.where}: ACTION"),
    )


def _status(
    segment: Segment, quantity: Quantity, schedule: tuple[ScheduleLine, ...]
) -> ConfirmationStatus:
    """By what is promised: codes of a line mean another thing to each partner."""
    if _said(segment, "ACTION") in DELETED:
        return "rejected"
    promised = sum(line.quantity.value for line in schedule)
    if promised == quantity.value:
        return "accepted"
    return "changed" if promised else "backordered"


def _schedule(segment: Segment, own: OwnWords, field: str) -> Iterator[ScheduleLine]:
    """field: WMENG, what is wanted, or AMENG, what is promised."""
    unit = _unit(segment, own)
    for line in segment.all("E1EDP20"):
        amount = decimal(_said(line, field) or "0", where=f"{line.where}: {field}")
        on = day(_said(line, "EDATU"), where=f"{line.where}: EDATU")
        yield ScheduleLine(Quantity(amount, unit), on)


def _quantity(segment: Segment, own: OwnWords, field: str) -> Quantity:
    amount = decimal(_said(segment, field) or "0", where=f"{segment.where}: {field}")
    return Quantity(amount, _unit(segment, own))


def _unit(segment: Segment, own: OwnWords) -> str:
    where = f"{segment.where}: MENEE"
    return to_rec20(ALIASES, _said(segment, "MENEE"), own.codes, where=where)


def _price(segment: Segment, currency: str, own: OwnWords) -> UnitPrice | None:
    """VPREI for PEINH of PMENE; None where the line states none."""
    stated = _said(segment, "VPREI")
    if not stated:
        return None
    amount = decimal(stated, where=f"{segment.where}: VPREI")
    per = decimal(_said(segment, "PEINH") or "1", where=f"{segment.where}: PEINH")
    unit = _said(segment, "PMENE", "MENEE")
    return UnitPrice(
        Money(amount, _said(segment, "CURCY") or currency),
        Quantity(per, to_rec20(ALIASES, unit, own.codes, where=f"{segment.where}: PMENE")),
    )


def _item(segment: Segment, whose: str) -> str:
    found = segment.first("E1EDP19", QUALF=whose)
    number = _said(found, "IDTNR_LONG", "IDTNR") if found else ""
    return key(number, where=f"{segment.where}: IDTNR") if number else ""


def _description(segment: Segment) -> str:
    texts = (_said(found, "KTEXT") for found in segment.all("E1EDP19"))
    return normalise_text(next(filter(None, texts), ""), where=f"{segment.where}: KTEXT")
