"""IDoc documents and their values, as they are written by SAP systems and by others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from canonical.errors import InvalidMessage
from handlers.systems.idoc.document import MAX_IDOCS, IDoc, read_idocs
from handlers.systems.idoc.values import day, decimal, key, unpadded
from handlers.systems.xml_document import Limits

LIMITS = Limits(bytes=1_000_000, elements=20_000)
CONTROL = (
    '<EDI_DC40 SEGMENT="1"><MANDT>400</MANDT><DOCNUM>0000000000000007</DOCNUM>'
    "<IDOCTYP>ORDERS05</IDOCTYP><MESTYP>ORDERS</MESTYP><SNDPRN>ERP</SNDPRN></EDI_DC40>"
)


def idocs(text: str) -> list[IDoc]:
    return read_idocs(BytesIO(text.encode()), LIMITS)


def one(segments: str, control: str = CONTROL, root: str = "ORDERS05") -> IDoc:
    (found,) = idocs(f'<{root}><IDOC BEGIN="1">{control}{segments}</IDOC></{root}>')
    return found


def test_an_idoc_is_known_by_its_control_record_whatever_the_root_is_called() -> None:
    found = one("", root="_-ACME_-ORDERS")
    assert found.kind == ("ORDERS", "ORDERS05")
    assert found.identity == "ERP/400/0000000000000007"
    assert not found.is_test
    marked = one("", control=CONTROL.replace("<MANDT>", "<TEST>X</TEST><MANDT>"))
    assert marked.is_test


def test_segments_are_found_by_name_and_value_at_their_level() -> None:
    found = one(
        '<E1EDKA1 SEGMENT="1"><PARVW>AG</PARVW><PARTN>1</PARTN></E1EDKA1>'
        '<E1EDKA1 SEGMENT="1"><PARVW>LF</PARVW><PARTN>2</PARTN></E1EDKA1>'
        '<E1EDP01 SEGMENT="1"><POSEX>00010</POSEX>'
        '<E1EDKA1 SEGMENT="1"><PARVW>LF</PARVW><PARTN>3</PARTN></E1EDKA1></E1EDP01>'
    )
    assert [s.get("PARTN") for s in found.root.all("E1EDKA1")] == ["1", "2"]
    supplier = found.root.first("E1EDKA1", PARVW="LF")
    assert supplier is not None
    assert supplier.get("PARTN") == "2"
    assert found.root.first("E1EDKA1", PARVW="WE") is None


def test_what_a_field_says_has_three_states() -> None:
    found = one('<E1MARAM SEGMENT="1"><A>x</A><B>/</B><C></C><D/></E1MARAM>').root.children[0]
    assert [found.patch(name) for name in "ABCDE"] == ["x", UNSET, None, None, UNSET]
    assert [found.get(name) for name in "ABCDE"] == ["x", "", "", "", ""]
    assert found.get("B", "C", "A") == "x"


@pytest.mark.parametrize(("count", "code"), [(0, "segment-missing"), (2, "segment-twice")])
def test_an_idoc_is_about_one_object(count: int, code: str) -> None:
    head = '<E1MARAM SEGMENT="1"><MATNR>1</MATNR></E1MARAM>'
    assert one(head).head("E1MARAM").get("MATNR") == "1"
    with pytest.raises(InvalidMessage) as refused:
        one(count * head).head("E1MARAM")
    assert refused.value.code == code
    assert refused.value.where


def test_names_of_customers_have_slashes() -> None:
    found = one('<_-ACME_-EXTRA SEGMENT="1"><_-ACME_-F>1</_-ACME_-F></_-ACME_-EXTRA>')
    extra = found.root.first("/ACME/EXTRA")
    assert extra is not None
    assert extra.get("/ACME/F") == "1"


@pytest.mark.parametrize(
    "value", ["a<!-- no -->b", "<![CDATA[ab]]>", "a<?x y?>b", "\n  ab\t", "&#97;b"]
)
def test_a_value_is_one_text_whatever_stands_within_it(value: str) -> None:
    assert one(f'<S SEGMENT="1"><F>{value}</F></S>').root.children[0].get("F") == "ab"


def test_several_idocs_in_a_document_keep_their_order() -> None:
    body = f'<IDOC BEGIN="1">{CONTROL}</IDOC>'
    second = body.replace("0007", "0008")
    found = idocs(f"<ORDERS05>{body}{second}</ORDERS05>")
    assert [i.control.get("DOCNUM")[-1] for i in found] == ["7", "8"]
    with pytest.raises(InvalidMessage, match="more than"):
        idocs(f"<ORDERS05>{body * (MAX_IDOCS + 1)}</ORDERS05>")


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("<ORDERS05/>", "idoc-missing"),
        ("<ORDERS05><IDOC/></ORDERS05>", "idoc-malformed"),
        (f"<O><IDOC>{CONTROL}<S SEGMENT='1'><A>1</A><A>2</A></S></IDOC></O>", "idoc-malformed"),
        ("<ORDERS05>", "xml-malformed"),
        ("<!DOCTYPE O [<!ENTITY x 'y'>]><O><IDOC>&x;</IDOC></O>", "xml-entity"),
    ],
)
def test_what_is_no_idoc_is_said_so(document: str, code: str) -> None:
    with pytest.raises(InvalidMessage) as refused:
        idocs(document)
    assert refused.value.code == code


@given(st.integers(0, 10**17), st.integers(0, 20))
def test_padding_of_numbers_means_nothing(number: int, zeros: int) -> None:
    assert unpadded("0" * zeros + str(number)) == str(number)


@pytest.mark.parametrize("text", ["A-0010", "00A", "\u0661", ""])
def test_what_is_no_number_keeps_its_zeros(text: str) -> None:
    assert unpadded(text) == text


@pytest.mark.parametrize("text", ["10", "00010", "000010"])
def test_one_line_has_one_number_however_it_is_padded(text: str) -> None:
    assert key(text, where="POSEX") == "10"


@pytest.mark.parametrize(
    ("text", "number"),
    [("50", "50"), ("10.500-", "-10.500"), (".5", "0.5"), ("1.000", "1.000"), ("7 -", "-7")],
)
def test_a_sign_may_stand_behind_its_number(text: str, number: str) -> None:
    assert decimal(text, where="x") == Decimal(number)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("20240507", date(2024, 5, 7)), ("00000000", None), ("", None), ("99991231", None)],
)
def test_a_day_or_none(text: str, expected: date | None) -> None:
    assert day(text, where="EDATU") == expected


@pytest.mark.parametrize(
    ("read", "text"),
    [(day, "20240231"), (day, "2024-05-07"), (day, "0"), (decimal, "1,5"), (decimal, "--1"),
     (decimal, ""), (decimal, "-"), (key, "")],
)  # fmt: skip
def test_what_is_no_value_is_refused_with_its_place(read: Callable[..., object], text: str) -> None:
    with pytest.raises(InvalidMessage) as refused:
        read(text, where="E1EDP20, line 7: EDATU")
    assert refused.value.where == "E1EDP20, line 7: EDATU"
