"""Packages that come by reference: the same reading under limits of their own."""

from __future__ import annotations

import hashlib
import io
import tracemalloc
from tempfile import TemporaryFile
from typing import IO

import pytest

from canonical.effects import Emit
from canonical.errors import Failure
from canonical.handler import Delivery, Package
from canonical.package import PACKAGE_TYPE
from handlers.systems.pdx import inbound, native
from handlers.systems.pdx.inbound import HANDLER, recognises
from handlers.systems.xml_document import Limits
from tests.fixtures.build_packages import zipped
from tests.fixtures.large_package import write_package
from tests.fixtures.pdx_text import (
    FACTS,
    GEARBOX,
    NOW,
    bom_xml,
    delivery,
    item_xml,
    line_xml,
    package_xml,
)


def by_reference(content: bytes | IO[bytes]) -> Delivery:
    file = io.BytesIO(content) if isinstance(content, bytes) else content

    def opened() -> IO[bytes]:
        file.seek(0)
        return file

    size = file.seek(0, io.SEEK_END)
    digest = hashlib.sha256(content if isinstance(content, bytes) else b"").digest()
    return Delivery("plm", "", b"{}", PACKAGE_TYPE, package=Package(size, digest, opened))


def effects(sent: Delivery) -> tuple[Emit, ...]:
    made = HANDLER.decide(HANDLER.read(sent), FACTS, NOW)
    return tuple(effect for effect in made if isinstance(effect, Emit))


def refused(content: bytes) -> Failure:
    with pytest.raises(Failure) as caught:
        effects(by_reference(content))
    return caught.value


@pytest.mark.parametrize("content", [GEARBOX, package_xml(item_xml())], ids=["archive", "document"])
def test_a_package_says_the_same_by_reference_and_in_a_message(content: bytes) -> None:
    referred, sent = by_reference(content), delivery(content)
    assert recognises(referred)
    assert HANDLER.read(referred).payload == HANDLER.read(sent).payload
    assert HANDLER.read(referred).envelope.id == HANDLER.read(sent).envelope.id
    assert effects(referred) == effects(sent)


def test_more_elements_are_taken_than_in_a_message() -> None:
    content = package_xml(item_xml(), inner="<x/>" * 200_000)
    assert len(effects(by_reference(content))) == 1


def test_a_package_has_limits_of_its_own() -> None:
    assert Limits(bytes=256 * 1024 * 1024, elements=2_000_000, kept=200_000) == inbound.IN_PACKAGE


@pytest.mark.parametrize("kind", ["elements", "elements of one item", "lines"])
def test_more_than_a_package_may_have_is_refused(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(bytes=2**28, elements=20_000, kept=10_000)
    monkeypatch.setattr(inbound, "IN_PACKAGE", limits)
    match kind:
        case "elements":
            content, code = package_xml(item_xml(), inner="<x/>" * 20_000), "xml-too-large"
        case "elements of one item":
            content, code = package_xml(item_xml("P-1", "<x/>" * 10_000)), "xml-too-large"
        case _:
            monkeypatch.setattr(native, "MAX_BOM_LINES", 1_000)
            lines = bom_xml(line_xml() * 1_001)
            content, code = package_xml(item_xml("P-1", lines)), "package-too-long"
    assert refused(content).code == code


def test_as_many_lines_are_taken_as_a_bom_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    assert native.MAX_BOM_LINES == 100_000
    monkeypatch.setattr(native, "MAX_BOM_LINES", 1_000)
    content = package_xml(item_xml("P-1", bom_xml(line_xml() * 1_000)), item_xml("P-2"))
    (bom,) = (e.data for e in effects(by_reference(content)) if e.event == "bom.released")
    assert len(bom.lines) == 1_000  # type: ignore[attr-defined]


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound, "IN_PACKAGE", Limits(bytes=2**24, elements=250_000))
    assert refused(zipped({"pdx.xml": b" " * (2**24 + 1)})).code == "archive-too-large"


@pytest.mark.parametrize("size", [30, 500, len(GEARBOX) - 1])
def test_a_truncated_archive_is_refused(size: int) -> None:
    assert refused(GEARBOX[:size]).code == "archive-broken"


def test_an_entity_that_spans_two_pieces_is_found() -> None:
    prolog = '<!DOCTYPE ProductDataeXchangePackage SYSTEM "2571.dtd">'
    for offset in range(-3, 4):
        head = package_xml(item_xml("@"), prolog=prolog).index(b"@")
        padding = " " * (64 * 1024 - head + offset)
        content = package_xml(item_xml("@"), prolog=prolog + padding).replace(b"@", b"P&x;1")
        assert refused(content).code == "xml-entity"


def test_a_reference_without_an_end_is_refused() -> None:
    prolog = '<!DOCTYPE ProductDataeXchangePackage SYSTEM "2571.dtd">'
    content = package_xml(item_xml("@"), prolog=prolog)
    content = content.replace(b"@", b"P&" + b"x" * 200_000 + b";1")
    assert refused(content).code == "xml-entity"


def test_memory_depends_on_what_is_taken_and_not_on_the_document() -> None:
    with TemporaryFile() as file:
        write_package(file, lines=2_000, components=10)
        size = file.tell()
        file.seek(size - len("</ProductDataeXchangePackage>"))
        # What nobody reads: history.
        for _ in range(20):
            file.write(b"<History>" + b'<Event by="somebody" at="once"/>' * 5_000 + b"</History>")
        file.write(b"</ProductDataeXchangePackage>")
        assert file.tell() > 3_000_000
        tracemalloc.start()
        try:
            assert len(HANDLER.read(by_reference(file)).payload.items) == 11
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 5_000_000
