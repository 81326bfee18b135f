"""Orders and confirmations out of IDocs: two of SAP's own, and what real ones are like."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.effects import Emit
from canonical.errors import Failure, InvalidMessage, Rejected
from canonical.facts import Facts
from canonical.handler import Delivery
from canonical.money import Money, UnitPrice
from canonical.order import (
    ConfirmationStatus,
    ConfirmedLine,
    OrderConfirmation,
    PurchaseOrder,
    ScheduleLine,
)
from canonical.quantity import Quantity
from handlers.systems.idoc.inbound import HANDLER, recognises
from tests.corpus import CORPUS, golden
from tests.fixtures.gearbox import NOW, RULES

ORDERS = (CORPUS / "idoc" / "orders.xml").read_text()
ORDRSP = (CORPUS / "idoc" / "ordrsp.xml").read_text()


def said(text: str) -> tuple[Emit, ...]:
    """The events of a document."""
    message = HANDLER.read(Delivery("erp", "", text.encode()))
    effects = HANDLER.decide(message, Facts(RULES), NOW)
    return tuple(e for e in effects if isinstance(e, Emit))


def order(text: str = ORDERS) -> PurchaseOrder:
    (event,) = said(text)
    assert isinstance(event.data, PurchaseOrder)
    return event.data


def confirmation(text: str = ORDRSP) -> OrderConfirmation:
    (event,) = said(text)
    assert isinstance(event.data, OrderConfirmation)
    return event.data


def pieces(number: str) -> Quantity:
    return Quantity(Decimal(number), "H87")


@pytest.mark.parametrize("name", ["orders", "ordrsp", "matmas"])
def test_a_document_of_sap_comes_to_its_golden(name: str) -> None:
    folder = CORPUS / "idoc"
    message = HANDLER.read(Delivery("erp", "", (folder / f"{name}.xml").read_bytes()))
    found = golden(HANDLER.decide(message, Facts(RULES), NOW))
    assert found == (folder / f"{name}.golden.json").read_text()


def test_the_order_says_what_the_file_says() -> None:
    found = order()
    assert (found.number, found.source_id, found.supplier) == (
        "4500000670",
        "4500000670",
        "10100099",
    )
    assert (found.currency, found.organisation, found.kind) == ("EUR", "1010", "NB")
    assert (found.payment_terms, found.ordered_on) == ("0004", date(2018, 11, 29))
    assert found.total == Money(Decimal(100), "EUR")
    assert found.stated_at == datetime(2018, 11, 29, 14, 28, 8, tzinfo=UTC)
    first, second = found.lines
    assert first.line == "10"
    assert msgspec.structs.replace(second, line="10") == first
    assert (first.item, first.plant, first.quantity) == ("TG0011", "1010", pieces("1"))
    assert first.price == UnitPrice(Money(Decimal(50), "EUR"), pieces("1"))
    assert first.description == "Trading Good 0011,PD,Regular Proc."
    assert first.schedule == (ScheduleLine(pieces("1"), date(2018, 11, 29)),)


def test_the_confirmation_says_what_the_file_says() -> None:
    found = confirmation()
    assert (found.order, found.reference, found.currency) == ("2C9YS43Z", "2001319044", "EUR")
    assert [line.line for line in found.lines] == ["1", "2", "3"]
    assert [line.stated_as for line in found.lines] == ["001", "000", "001"]
    first = found.lines[0]
    assert first.supplier_item == "688001000182"
    assert (first.quantity, first.status) == (pieces("432"), "accepted")
    assert first.price == UnitPrice(Money(Decimal("479.62"), "EUR"), pieces("1"))
    assert first.schedule == (ScheduleLine(pieces("432"), date(2024, 5, 7)),)
    assert found.status == "accepted"


# Traps of real files


def test_trap_a_supplier_told_of_three_times_with_other_fields_is_one() -> None:
    assert ORDERS.count("<PARVW>LF</PARVW>") == 3
    assert order().supplier == "10100099"
    without = ORDERS.replace("<LIFNR>10100099</LIFNR>", "")
    assert refused(without).code == "supplier-ambiguous"


def test_trap_an_empty_segment_says_nothing() -> None:
    empty = ORDERS.replace('<E1EDP20 SEGMENT="1">', '<E1EDP20 SEGMENT="1"/><E1EDP20 SEGMENT="1">')
    assert empty.count("<E1EDP20") == 4
    assert order(empty) == order()


@pytest.mark.parametrize("number", ["10", "00010", "000010"])
def test_trap_one_line_has_one_number_however_it_is_padded(number: str) -> None:
    assert order(ORDERS.replace("00010</POSEX>", f"{number}</POSEX>")).lines[0].line == "10"


def test_trap_a_line_without_price_or_material_is_taken() -> None:
    text = ORDRSP.replace("<VPREI>479.62</VPREI>", "").replace(
        "<QUALF>002</QUALF>\n        <IDTNR>", "<QUALF>009</QUALF>\n        <IDTNR>"
    )
    first = confirmation(text).lines[0]
    assert (first.price, first.supplier_item) == (None, "")


def test_trap_a_line_that_is_confirmed_twice_counts_once_or_is_refused() -> None:
    line = ORDRSP[ORDRSP.index("<E1EDP01") : ORDRSP.index("</E1EDP01>") + len("</E1EDP01>")]
    assert confirmation(ORDRSP.replace(line, line + line)) == confirmation()
    other = line.replace("<MENGE>432", "<MENGE>431")
    assert refused(ORDRSP.replace(line, line + other)).code == "line-twice"


def test_trap_segments_of_customers_and_no_change_marks_do_no_harm() -> None:
    extra = '<Z1EXTEND SEGMENT="1"><ZFIELD01>EUR</ZFIELD01></Z1EXTEND>'
    text = ORDERS.replace("<E1EDP20", f"{extra}<E1EDP20").replace(
        "<WKURS>1.00000</WKURS>", "<WKURS>/</WKURS>"
    )
    assert text.count("<WKURS>/<") == 1
    assert order(text) == order()


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (ORDERS, "ZTERM"),
        (ORDERS, "MENGE"),
        (ORDERS, "WERKS"),
        (ORDERS, "PMENE"),
        (ORDERS, "ACTION"),
        (ORDRSP, "MENGE"),
        (ORDRSP, "AMENG"),
    ],
)
def test_trap_a_field_that_was_not_selected_is_never_taken_for_empty(text: str, field: str) -> None:
    start = text.index(f"<{field}>") + len(field) + 2
    failure = refused(text[:start] + "/" + text[text.index("<", start) :])
    assert (failure.code, failure.where.rpartition(": ")[2]) == ("order-incomplete", field)


def test_a_supplier_that_no_partner_says_is_none_and_one_that_was_not_selected_is_refused() -> None:
    nobody = ORDERS.replace("<LIFNR>10100099<", "<LIFNR><")
    for number in set(re.findall("<PARTN>(.*?)</PARTN>", ORDERS)):
        nobody = nobody.replace(f"<PARTN>{number}<", "<PARTN><")
    assert order(nobody).supplier == ""
    hidden = nobody.replace("<PARTN><", "<PARTN>/<")
    assert refused(hidden).code == "order-incomplete"


def test_trap_the_same_idoc_sent_again_is_the_same_message_and_another_number_is_not() -> None:
    first, again = (HANDLER.read(Delivery("erp", "", ORDERS.encode())) for _ in range(2))
    assert first.envelope.id == again.envelope.id == "Company_IDOC_SOA_ID/715/0000000000146002"
    other = HANDLER.read(Delivery("erp", "", ORDERS.replace("146002<", "146003<").encode()))
    assert other.envelope.id != first.envelope.id
    assert other.envelope.key == first.envelope.key


def test_trap_an_idoc_without_a_number_is_known_by_its_content() -> None:
    without = ORDERS.replace("<DOCNUM>0000000000146002</DOCNUM>", "")
    first, again, other = (
        HANDLER.read(Delivery("erp", "", text.encode())).envelope.id
        for text in (without, without, without.replace("<MENGE>1.000", "<MENGE>2.000"))
    )
    assert first == again != other
    assert first.startswith("sha256:")


def test_trap_a_price_is_for_so_many() -> None:
    price = order(ORDERS.replace("<PEINH>1<", "<PEINH>1000<")).lines[0].price
    assert price == UnitPrice(Money(Decimal(50), "EUR"), pieces("1000"))


def test_trap_a_confirmation_names_the_buyers_order_and_never_the_suppliers() -> None:
    text = ORDRSP.replace("<QUALF>001</QUALF>\n      <BELNR>", "<QUALF>009</QUALF>\n      <BELNR>")
    failure = refused(text)
    assert (failure.code, failure.where) == (
        "field-missing",
        "E1EDK01, line 29: BELNR of the buyer's order",
    )


# Rules


@pytest.mark.parametrize(
    ("promised", "status"),
    [("432.000", "accepted"), ("400.000", "changed"), ("0.000", "backordered")],
)
def test_what_is_promised_tells_how_a_line_is_confirmed(
    promised: str, status: ConfirmationStatus
) -> None:
    text = ORDRSP.replace("<AMENG>432.000", f"<AMENG>{promised}")
    found = confirmation(text)
    assert found.lines[0].status == status
    assert [e.event for e in said(text)] == [f"order-confirmation.{found.status}"]


def test_a_deleted_line_is_rejected_and_an_order_only_with_all_of_its_lines() -> None:
    one = ORDRSP.replace(
        "<ACTION>001</ACTION>\n      <PSTYP>", "<ACTION>003</ACTION>\n      <PSTYP>", 1
    )
    assert [line.status for line in confirmation(one).lines] == ["rejected", "accepted", "accepted"]
    assert confirmation(one).status == "changed"


@given(st.lists(st.sampled_from(["accepted", "changed", "backordered", "rejected"]), min_size=1))
def test_an_order_is_accepted_or_rejected_only_as_a_whole(words: list[ConfirmationStatus]) -> None:
    lines = tuple(ConfirmedLine(str(n), word, pieces("1")) for n, word in enumerate(words))
    status = OrderConfirmation("1", 1, lines).status
    assert (status == "accepted") is (set(words) == {"accepted"})
    assert (status == "rejected") is (set(words) == {"rejected"})
    assert (status == "backordered") is ("backordered" in words and set(words) != {"rejected"})


def test_a_change_of_an_order_is_the_order_as_it_is_now() -> None:
    (event,) = said(ORDERS.replace("<MESTYP>ORDERS<", "<MESTYP>ORDCHG<"))
    assert (event.event, event.key) == ("purchase-order.changed", "purchase-order/4500000670")


def change(line: str = "001", head: str = "", text: str = ORDERS) -> str:
    """The order as a change, with actions of its first line and of its header."""
    return (
        text.replace("<MESTYP>ORDERS<", "<MESTYP>ORDCHG<")
        .replace("<ACTION>001<", f"<ACTION>{line}<", 1)
        .replace("<HWAER>", f"<ACTION>{head}</ACTION><HWAER>", 1)
    )


@pytest.mark.parametrize("action", ["", "000", "001", "002", "004"])
def test_a_line_that_is_added_changed_or_as_it_was_is_on_order(action: str) -> None:
    assert [line.line for line in order(change(action)).lines] == ["10", "20"]


def test_a_line_that_is_deleted_is_not_on_order_whatever_else_it_says() -> None:
    assert [line.line for line in order(change("003")).lines] == ["20"]
    unreadable = change("003").replace("<MENEE>PCE<", "<MENEE>KA<", 1)
    assert [line.line for line in order(unreadable).lines] == ["20"]
    assert order(change("003").replace("<ACTION>001<", "<ACTION>003<")).lines == ()


def test_a_header_takes_back_the_order_with_001_and_not_with_the_003_of_lines() -> None:
    gone = order(change(head="001"))
    assert (gone.number, gone.supplier, gone.lines) == ("4500000670", "10100099", ())
    for word in ("", "000", "002", "003", "004"):
        assert order(change(head=word)).lines == order().lines


@pytest.mark.parametrize(
    "text",
    [
        change("005"),
        change("9"),
        change(head="005"),
        change(head="001").replace("<MESTYP>ORDCHG<", "<MESTYP>ORDERS<"),
    ],
)
def test_an_action_that_does_not_say_what_is_on_order_is_refused(text: str) -> None:
    failure = refused(text)
    assert (failure.code, failure.where.rpartition(": ")[2]) == ("order-action", "ACTION")


def test_an_order_without_any_line_that_is_not_taken_back_is_refused() -> None:
    start, end = ORDERS.index("<E1EDP01"), ORDERS.rindex("</E1EDP01>") + len("</E1EDP01>")
    without_lines = ORDERS[:start] + ORDERS[end:]
    assert refused(without_lines).code == "order-incomplete"
    assert order(change(head="001", text=without_lines)).lines == ()


def version_of(text: str) -> int:
    assert HANDLER.version is not None
    found = HANDLER.version(HANDLER.read(Delivery("erp", "", text.encode())))
    assert found is not None
    return found


def test_what_is_written_later_is_newer_and_within_a_second_the_higher_number() -> None:
    later = ORDERS.replace("<SERIAL>20181129142808", "<SERIAL>20181129142809")
    next_one = ORDERS.replace("0146002<", "0146003<")
    versions = [version_of(text) for text in (ORDERS, next_one, later)]
    assert versions == sorted(set(versions))
    without = ORDERS.replace("<SERIAL>20181129142808</SERIAL>", "")
    assert order(without).stated_at == datetime(2018, 11, 29, 14, 28, 9, tzinfo=UTC)


def test_several_idocs_keep_the_order_of_their_sender() -> None:
    body = ORDERS[ORDERS.index("<IDOC") : ORDERS.index("</ORDERS05>")]
    second = body.replace("4500000670", "4500000671").replace("146002<", "146003<")
    text = f"<ORDERS05>{body}{second}</ORDERS05>"
    message = HANDLER.read(Delivery("erp", "", text.encode()))
    assert message.envelope.key == "idocs/erp"
    assert message.envelope.id == "Company_IDOC_SOA_ID/715/0000000000146002+0000000000146003+2"
    assert [e.key for e in said(text)] == ["purchase-order/4500000670", "purchase-order/4500000671"]
    assert HANDLER.version is not None
    assert HANDLER.version(message) is None


def refused(text: str) -> Failure:
    with pytest.raises(Failure) as found:
        said(text)
    return found.value


def without(field: str) -> Callable[[str], str]:
    return lambda text: text.replace(f"<{field}>", "<OTHER>").replace(f"</{field}>", "</OTHER>")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda t: t.replace("MESTYP>ORDERS", "MESTYP>DESADV"), "idoc-unknown"),
        (lambda t: t.replace("IDOCTYP>ORDERS05", "IDOCTYP>ORDERS01"), "idoc-unknown"),
        (lambda t: t.replace("<MENEE>PCE", "<MENEE>KA"), "unit-unmapped"),
        (lambda t: t.replace("<MENGE>1.000", "<MENGE>one"), "number-malformed"),
        (lambda t: t.replace("<EDATU>20181129", "<EDATU>20181329"), "day-malformed"),
        (lambda t: t.replace("EUR</CURCY>", "XXQ</CURCY>"), "currency-unknown"),
        (without("POSEX"), "field-missing"),
        (lambda t: t.replace("E1EDK01", "E1EDK99"), "segment-missing"),
        (lambda t: t.replace("<SERIAL>20181129142808", "<SERIAL>20181329142808"), "time-missing"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_place(
    change: Callable[[str], str], code: str
) -> None:
    failure = refused(change(ORDERS))
    assert isinstance(failure, InvalidMessage)
    assert failure.code == code
    assert failure.where


def test_a_test_never_reaches_a_productive_system() -> None:
    failure = refused(ORDERS.replace("<MANDT>", "<TEST>X</TEST><MANDT>"))
    assert isinstance(failure, Rejected)
    assert (failure.code, failure.owner) == ("test-message", "sender")


def test_an_idoc_is_known_by_its_first_elements() -> None:
    assert recognises(Delivery("erp", "", ORDERS.encode()))
    assert not recognises(Delivery("erp", "", b"<cXML><Header/></cXML>"))
    assert not recognises(Delivery("erp", "", b"<!-- <IDOC><EDI_DC40> --><cXML/>"))


def test_an_idoc_is_known_in_any_encoding_and_by_no_more_than_its_beginning() -> None:
    text = ORDERS[ORDERS.index("<ORDERS05>") :]
    for body in (text.encode("utf-16"), text.replace("</IDOC>", "").encode()):
        assert recognises(Delivery("erp", "", body))
    assert not recognises(Delivery("erp", "", b"<X>" + b" " * 70_000 + b"<IDOC/></X>"))
