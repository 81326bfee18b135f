"""What of an IDoc nobody reads is told and counted, SAP's own and that of customers apart."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from canonical.handler import Delivery
from canonical.members import MAX_NAMED
from handlers.systems.idoc import (
    bill_of_material,
    condition,
    info_record,
    material,
    orders,
    status,
    supplier,
)
from handlers.systems.idoc.inbound import HANDLER, KINDS, ignored
from handlers.systems.idoc.known import KNOWN
from tests.corpus import CORPUS

IDOC = """<MATMAS05><IDOC BEGIN="1"><EDI_DC40 SEGMENT="1"><MANDT>100</MANDT><DOCNUM>1</DOCNUM>
<IDOCTYP>MATMAS05</IDOCTYP><MESTYP>MATMAS</MESTYP><SNDPRN>ERP</SNDPRN><CREDAT>20260302</CREDAT>
<CRETIM>080000</CRETIM></EDI_DC40><E1MARAM SEGMENT="1"><MATNR>P-1</MATNR>{}</E1MARAM>
</IDOC></MATMAS05>"""


def counted(*segments: str) -> Counter[str]:
    """What is counted of a material with these segments below its first one."""
    inner = "".join(f'<{name} SEGMENT="1"><FIELD>1</FIELD></{name}>' for name in segments)
    return ignored(HANDLER.read(Delivery("erp", "idoc", IDOC.format(inner).encode())))


def told(inner: str) -> tuple[str, ...]:
    """What is told of a material with these fields and segments in its first segment."""
    return HANDLER.read(Delivery("erp", "idoc", IDOC.format(inner).encode())).ignored


def test_what_is_read_is_not_counted() -> None:
    inner = '<E1MAKTM SEGMENT="1"><SPRAS>E</SPRAS><MAKTX>Pin</MAKTX></E1MAKTM>'
    message = HANDLER.read(Delivery("erp", "idoc", IDOC.format(inner).encode()))
    assert (message.ignored, ignored(message)) == ((), {})


def test_a_field_that_no_list_of_its_segment_has_is_told_and_counted() -> None:
    assert counted("E1MAKTM", "E1MARMM", "E1MAKTM") == {"fields of SAP": 3}
    inner = "<NEWS>1</NEWS><EMPTY/><ASITIS>/</ASITIS>" + '<E1MARCM SEGMENT="1"><NEWS>1</NEWS>' * 2
    assert told(f"{inner}</E1MARCM></E1MARCM>") == (
        "E1MARAM/NEWS",
        "E1MARAM/E1MARCM/NEWS",
        "E1MARAM/E1MARCM/E1MARCM/NEWS",
    )


def test_what_stands_in_the_control_record_and_beside_segments_and_idocs_is_told() -> None:
    text = IDOC.format("")
    text = text.replace("<DOCNUM>", "<EXPRSS>X</EXPRSS><NEWS>1</NEWS><DOCNUM>")
    text = text.replace("<E1MARAM", "<LOOSE>1</LOOSE><E1MARAM").replace("<IDOC ", "<EXTRA/><IDOC ")
    message = HANDLER.read(Delivery("erp", "idoc", text.encode()))
    assert message.ignored == ("MATMAS05/EXTRA", "EDI_DC40/NEWS", "LOOSE")
    assert ignored(message) == {"elements beside IDocs": 1, "fields of SAP": 2}


def test_no_more_is_told_than_anybody_would_look_at() -> None:
    assert len(told("".join(f"<F{number}>1</F{number}>" for number in range(200)))) == MAX_NAMED


def test_a_key_of_prices_that_is_of_something_less_is_told() -> None:
    body = (CORPUS / "idoc" / "cond_a.made.xml").read_bytes()
    assert HANDLER.read(Delivery("erp", "idoc", body)).ignored == ()
    narrower = body.replace(b"<MATNR>", b"<CHARG>B-7</CHARG><MATNR>", 1)
    assert HANDLER.read(Delivery("erp", "idoc", narrower)).ignored == ("E1KOMG/CHARG",)


@pytest.mark.parametrize("name", [path.name for path in sorted((CORPUS / "idoc").glob("*.xml"))])
def test_no_field_of_the_files_at_hand_is_news(name: str) -> None:
    body = (CORPUS / "idoc" / name).read_bytes()
    message = HANDLER.read(Delivery("erp", "idoc", body))
    assert not [what for what in ignored(message) if what.startswith("fields")], message.ignored


@pytest.mark.parametrize(
    "module", [bill_of_material, condition, info_record, material, orders, status, supplier]
)
def test_a_module_reads_only_fields_that_are_known(module: ModuleType) -> None:
    assert module.__file__ is not None
    named = set(
        re.findall(r'"([A-Z][A-Z0-9]{2,}(?:_[A-Z0-9]+)?)"', Path(module.__file__).read_text())
    )
    known = {field for segment in module.SEGMENTS for field in KNOWN[segment]}
    words = {*module.SEGMENTS, *(word for kind in KINDS for word in kind)}
    assert named - words <= known


def test_every_segment_that_is_read_has_its_fields_listed() -> None:
    assert {name for kind in KINDS.values() for name in kind.segments} <= KNOWN.keys()


def test_segments_of_sap_and_of_customers_are_counted_apart() -> None:
    assert counted("E1MVKEM", "E1MBEWM", "E1MVKEM", "Z1MARA", "_-ACME_-MARA") == {
        "segments of SAP": 3,
        "segments of a customer": 2,
    }


def test_segments_below_ones_that_nobody_reads_are_counted_too() -> None:
    inner = '<E1MBEWM SEGMENT="1"><BWKEY>1</BWKEY><Z1B SEGMENT="1"><A>1</A></Z1B></E1MBEWM>'
    message = HANDLER.read(Delivery("erp", "idoc", IDOC.format(inner).encode()))
    assert ignored(message) == {"segments of SAP": 1, "segments of a customer": 1}


def test_partners_and_texts_of_the_lines_of_the_real_order_are_not_read() -> None:
    """Two lines, each with E1EDPA1, E1EDPT1 and E1EDPT2."""
    body = (CORPUS / "idoc" / "orders.xml").read_bytes()
    assert ignored(HANDLER.read(Delivery("erp", "idoc", body))) == {"segments of SAP": 6}


@pytest.mark.parametrize(
    "module", [bill_of_material, condition, info_record, material, orders, supplier]
)
def test_a_module_names_the_segments_that_it_reads(module: ModuleType) -> None:
    assert module.__file__ is not None
    named = Counter(re.findall(r'"(E1[A-Z0-9]+)"', Path(module.__file__).read_text()))
    assert set(named) == set(module.SEGMENTS)
    assert min(named.values()) > 1, "named as read, and read nowhere"


def test_every_kind_names_what_is_read_of_it() -> None:
    assert all(kind.segments for kind in KINDS.values())


def test_segments_are_told_by_their_path_without_what_stands_below_them() -> None:
    inner = (
        '<E1MARCM SEGMENT="1"><WERKS>1010</WERKS><E1MARDM SEGMENT="1"/></E1MARCM>'
        '<Z1A SEGMENT="1"><X>1</X><Z1B SEGMENT="1"><X>1</X></Z1B></Z1A><Z1A SEGMENT="1"/>'
    )
    message = HANDLER.read(Delivery("erp", "idoc", IDOC.format(inner).encode()))
    assert message.ignored == ("E1MARAM/E1MARCM/E1MARDM", "E1MARAM/Z1A")
    assert ignored(message) == {"segments of SAP": 1, "segments of a customer": 3}


def test_fields_that_customers_added_are_told_and_counted_where_they_say_something() -> None:
    inner = (
        "<ZZALLOY>6061</ZZALLOY><YYEMPTY/><ZZASITIS>/</ZZASITIS><ZEINR>4</ZEINR>"
        '<E1MARCM SEGMENT="1"><WERKS>1010</WERKS><_-ACME_-KANBAN>X</_-ACME_-KANBAN></E1MARCM>'
        '<Z1A SEGMENT="1"><ZZMORE>1</ZZMORE></Z1A>'
    )
    message = HANDLER.read(Delivery("erp", "idoc", IDOC.format(inner).encode()))
    assert message.ignored == (
        "E1MARAM/ZZALLOY",
        "E1MARAM/E1MARCM//ACME/KANBAN",
        "E1MARAM/Z1A",
    )
    assert ignored(message) == {"fields of a customer": 2, "segments of a customer": 1}
