"""Hostile and broken packages end as failures that say what is wrong, and quickly."""

from __future__ import annotations

import struct
import time
import zipfile
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canonical.errors import InvalidMessage, Rejected
from handlers.systems.pdx.inbound import HANDLER
from tests.fixtures.build_packages import zipped
from tests.fixtures.pdx_text import (
    FACTS,
    GEARBOX,
    NOW,
    bom_xml,
    delivery,
    item_xml,
    items,
    line_xml,
    package_xml,
    refused,
)

LAUGHS = '<!ENTITY l0 "ha">' + "".join(
    f'<!ENTITY l{n} "&l{n - 1};&l{n - 1};">' for n in range(1, 30)
)


@pytest.mark.parametrize(
    "declaration",
    [
        '<!ENTITY x "y">',
        '<!ENTITY x SYSTEM "file:///etc/passwd">',
        '<!ENTITY % x SYSTEM "http://127.0.0.1:9/x.dtd"> %x;',
        LAUGHS,
    ],
    ids=["harmless", "external file", "external parameter", "laughs"],
)
def test_a_document_type_with_an_entity_is_refused(declaration: str) -> None:
    body = package_xml(item_xml(), prolog=f"<!DOCTYPE ProductDataeXchangePackage [{declaration}]>")
    assert refused(body).code == "xml-entity"


def test_an_external_document_type_is_taken_and_not_fetched() -> None:
    prolog = '<!DOCTYPE ProductDataeXchangePackage SYSTEM "http://127.0.0.1:9/2571.dtd">'
    assert list(items(package_xml(item_xml(), prolog=prolog))) == ["P-1"]


@pytest.mark.parametrize("rest", ['SYSTEM "2571.dtd"', "[%elsewhere;]"])
def test_a_reference_that_only_an_absent_document_type_could_resolve_is_refused(rest: str) -> None:
    prolog = f"<!DOCTYPE ProductDataeXchangePackage {rest}>"
    body = package_xml(item_xml("P-1"), prolog=prolog).replace(b'"P-1"', b'"P&x;-1"')
    assert refused(body).code == "xml-entity"


def test_default_values_of_a_document_type_are_not_filled_in() -> None:
    prolog = '<!DOCTYPE ProductDataeXchangePackage [<!ATTLIST Item makeBuy CDATA "Make">]>'
    assert items(package_xml(item_xml(), prolog=prolog))["P-1"].procurement == "buy"


@pytest.mark.parametrize(("levels", "taken"), [(63, True), (64, False), (200_000, False)])
def test_nesting_is_taken_to_64_levels(levels: int, taken: bool) -> None:
    body = package_xml(item_xml(), inner="<x>" * levels + "</x>" * levels)
    if taken:
        assert list(items(body)) == ["P-1"]
    else:
        assert refused(body).code == "xml-too-large"


@pytest.mark.parametrize(
    "inner",
    ["<x/>" * 200_000, "<x" + "".join(f' a{n}=""' for n in range(100_000)) + "/>"],
    ids=["elements", "attributes"],
)
def test_floods_are_refused_quickly(inner: str) -> None:
    started = time.monotonic()
    assert refused(package_xml(item_xml(), inner=inner)).code == "xml-too-large"
    assert time.monotonic() - started < 2


def test_many_items_used_everywhere_take_linear_time() -> None:
    parts = [item_xml(f"P-{n}", bom_xml(line_xml("P-0"), line_xml("P-1"))) for n in range(5_000)]
    started = time.monotonic()
    assert len(items(package_xml(*parts))) == 5_000
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("encoding", ["utf-7", "no-such", "base64"])
def test_an_encoding_outside_the_list_is_refused(encoding: str) -> None:
    prolog = f'<?xml version="1.0" encoding="{encoding}"?>'
    assert refused(package_xml(item_xml(), prolog=prolog)).code == "xml-encoding"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "iso-8859-1", "utf-16"])
def test_common_encodings_are_read(encoding: str) -> None:
    declared = encoding.removesuffix("-sig")
    prolog = f'<?xml version="1.0" encoding="{declared}"?>'
    text = package_xml(item_xml(description="Größe Ø 5"), prolog=prolog).decode()
    assert items(text.encode(encoding))["P-1"].description == "Größe Ø 5"


def test_invisible_characters_in_an_item_number_are_refused() -> None:
    assert refused(package_xml(item_xml("P\u200b-1"))).code == "character-forbidden"


def test_a_failure_shows_no_control_characters_of_the_package() -> None:
    failure = refused(package_xml(item_xml("P\u009b31m\u2028-1")))
    assert failure.where == "item/P?31m?-1"
    assert str(failure).isprintable()


def test_a_zip_bomb_is_refused_without_being_unpacked() -> None:
    started = time.monotonic()
    bomb = zipped({"pdx.xml": b" " * (64 * 1024 * 1024)})
    assert len(bomb) < 100_000
    assert refused(bomb).code == "archive-too-large"
    assert time.monotonic() - started < 2


def test_members_with_travelling_names_are_not_looked_at() -> None:
    evil = {"../../etc/cron.d/x": b"x", "/pdx.xml": b"<other/>", "a/pdx.xml": b"<other/>"}
    assert list(items(zipped({**evil, "pdx.xml": package_xml(item_xml())}))) == ["P-1"]


def test_an_archive_of_very_many_members_is_refused_before_it_is_opened() -> None:
    many = zipped({f"{n}": b"" for n in range(2_000)} | {"pdx.xml": package_xml(item_xml())})
    assert refused(many).code == "archive-too-large"


def test_an_archive_with_two_documents_is_refused() -> None:
    body = zipped({"pdx.xml": package_xml(item_xml()), "PDX.xml": package_xml(item_xml())})
    assert refused(body).code == "archive-member"


def test_an_archive_without_the_document_is_refused() -> None:
    assert refused(zipped({"bom.xml": package_xml(item_xml())})).code == "archive-member"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_compression_is_refused(method: int) -> None:
    body = zipped({"pdx.xml": package_xml(item_xml())}, method=method)
    assert refused(body).code == "archive-broken"


def test_an_encrypted_archive_is_refused() -> None:
    body = bytearray(zipped({"pdx.xml": package_xml(item_xml())}))
    central = body.index(b"PK\x01\x02")
    struct.pack_into("<H", body, 6, 1)
    struct.pack_into("<H", body, central + 8, 1)
    assert refused(bytes(body)).code == "archive-broken"


@pytest.mark.parametrize("size", [4, 30, 500, len(GEARBOX) - 1])
def test_a_truncated_archive_is_refused(size: int) -> None:
    assert refused(GEARBOX[:size]).code == "archive-broken"


def test_a_wrong_checksum_is_refused() -> None:
    stored = zipped({"pdx.xml": package_xml(item_xml())}, method=zipfile.ZIP_STORED)
    assert refused(stored.replace(b"P-1", b"P-2")).code == "archive-broken"


def test_an_empty_body_is_refused() -> None:
    assert refused(b" \n").code == "body-empty"


@settings(max_examples=300)
@given(data=st.data(), base=st.sampled_from([GEARBOX, package_xml(item_xml("P-1"))]))
def test_damaged_bytes_raise_nothing_but_failures(data: st.DataObject, base: bytes) -> None:
    body = bytearray(base)
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with suppress(InvalidMessage, Rejected):
        HANDLER.decide(HANDLER.read(delivery(bytes(body))), FACTS, NOW)
