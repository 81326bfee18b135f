"""Whole messages masked: what changes, what stays, and that their drivers still read them."""

from __future__ import annotations

import io
import re
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.errors import InvalidMessage
from canonical.facts import Facts
from canonical.handler import Delivery, Handler
from canonical.masking import Masker
from handlers import CATALOGUE, MASKED
from handlers.systems.table.inbound import handler_of
from handlers.systems.table.native import Csv, flat_fields
from ops.masking.documents import Document, Masking, document_of, other_members
from ops.masking.names import Fields, column_rules
from ops.masking.rewriting import Leaf, rewritten_csv, rewritten_json, rewritten_xml
from tests.corpus import CORPUS, golden
from tests.fixtures.gearbox import NOW, RULES

KEY = bytes(range(32))
PACKAGES = Path(__file__).parents[3] / "ops" / "demo" / "packages"

SUPPLIERS = b"""[{"id": 7, "number": "17300003", "status": "active", "name": "Teller Precision",
  "primary-contact": {"email": "jo@teller.example", "phone-work": {"number": "0711 5550199"}},
  "custom-fields": {"qualification-status": "Qualified", "qualified-until": "2027-12-31"}}]"""
CONTRACTS = b"""[{"number": "C-3", "supplier": {"number": "17300003", "name": "Teller Precision"},
  "status": "published", "start-date": "2025-01-01", "lines": [
  {"item-number": "SEAL-1", "price": "25.10", "price-unit-quantity": "1000",
   "uom": {"code": "EA"}, "currency": {"code": "EUR"}}]}]"""


@dataclass(frozen=True)
class Sample:
    """A message, who takes it, and what of it is to be gone, found by reading it."""

    name: str
    body: bytes
    handler: Handler
    private: tuple[str, ...]
    csv: Csv | None = None
    rules: tuple[tuple[str, str], ...] = ()
    subject: str = ""


def translator(contract: str) -> Handler:
    return CATALOGUE.translator(contract)


def of_corpus(name: str, *private: str) -> Sample:
    return Sample(name, (CORPUS / name).read_bytes(), translator("idoc.document"), private)


def of_demo(name: str, contract: str, *private: str) -> Sample:
    return Sample(name, (PACKAGES / name).read_bytes(), translator(contract), private)


def of_table(name: str, *private: str) -> Sample:
    document = tomllib.loads((CORPUS / "table" / name).with_suffix(".toml").read_text())
    mapped, handler = handler_of(document, name)
    fields = flat_fields(mapped.table.fields, name)
    filled = tuple((spec.column, path) for path, spec in fields.items() if spec.column)
    body = (CORPUS / "table" / name).read_bytes()
    return Sample(name, body, handler, private, csv=mapped.table.csv, rules=filled)


SAMPLES = (
    of_corpus("idoc/matmas.xml", ">12345678<", ">87654321<", "141.25"),
    of_corpus(
        "idoc/orders.xml", "770 840 9421", "770 840 9000", "Group 001", "Purch. Org. 1010",
        "test_ihrez", "Plant 1010", "Neurottstr", "Walldorf", "69190", "Kaubeldavate",
        "<VPREI>50<", "<NETWR>50<", "<SUMME>100<",
    ),
    of_corpus(
        "idoc/ordrsp.xml", "TradingPartner", "My Company DE", "Niederlassung", "Pforzheim",
        "TradingPartnerstr", "75177", "012 12345678", "479.62", "207195.84", "65.69", "9459.36",
        "55.84", "6700.80", "603.30", "82.64", "70.24", "11900.16", "1249.92", "223356.00",
        "10.500-", "no wrapping",
    ),
    of_demo("arena_eco_000451.json", "arena.change", "Mirela", "Oduya"),
    Sample("arena/change.json", (CORPUS / "arena" / "change.json").read_bytes(),
           translator("arena.change"), ("Okonjo", "brunnhaus", "Until the end of May")),
    Sample("arena/item.json", (CORPUS / "arena" / "item.json").read_bytes(),
           translator("arena.item"), ("Okonjo", "brunnhaus", "Brennhagen Electronics",
                                      "Quillmark Assembly", "Rheinvertrieb", "humidity")),
    Sample("arena/supplier.json", (CORPUS / "arena" / "supplier.json").read_bytes(),
           translator("arena.supplier"), ("40071", "Kesselgasse", "04860", "Okonjo", "brunnhaus",
                                          "Brennhagen Electronics", "Lieselotte", "555-0142",
                                          "www.brennhagen"),
           subject="supplier/17300042"),
    of_demo(
        "gearbox_package.pdx", "pdx.package", "Oduya", "Ostwald", "Nordlager", "Kitano", "Corda",
        "Drahtwerk", "Fourtooth",
    ),
    of_demo("gearbox_package_older.pdx", "pdx.package", "Oduya", "Fourtooth", "Corda"),
    of_demo("kit_package_unmapped_unit.pdx", "pdx.package", "Oduya", "Papyra"),
    of_demo("pdx_subassembly.xml", "pdx.package", "John Doe", "B112345", "Acme APPROVED SOURCE",
            '"Mfg 00289"', "www.comp04878.com"),
    of_table("items.csv"),
    of_table("structure.csv", "warm einf", "dann dichten"),
    of_table("suppliers.csv", "hne GmbH", 'Zahnrad ""Ost""', "Teller Precision", "uro Teile",
             "am Freitag"),
    of_table("orders.csv", "|25.10|", "|90|"),
    of_table("contracts.json", "25.10", "0.03"),
    Sample("suppliers of procurement", SUPPLIERS, translator("coupa.supplier"),
           ("Teller", "jo@teller.example", "5550199"), subject="supplier/17300003"),
    Sample("contracts of procurement", CONTRACTS, translator("coupa.contracts"),
           ("Teller", "25.10"), subject="coverage/SEAL-1"),
)  # fmt: skip


def masking_of(sample: Sample, *, with_numbers: bool = False) -> Masking:
    fields = Fields({**MASKED, **column_rules(MASKED, sample.rules)})
    return Masking(Masker(KEY), fields, with_numbers)


def masked(sample: Sample, *, with_numbers: bool = False) -> bytes:
    masking = masking_of(sample, with_numbers=with_numbers)
    return masking.swept(masking.masked(document_of(sample.body, sample.csv))).body


def unpacked(body: bytes) -> bytes:
    if not body.startswith(b"PK"):
        return body
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return archive.read("pdx.xml")


def said(sample: Sample, body: bytes, subject: str) -> Any:
    """What the driver makes of it; its failure, where it refuses what was sent."""
    attributes = {"time": "2026-03-02T08:00:00Z", "id": "m-1", "subject": subject}
    message = sample.handler.read(Delivery("them", "", body, attributes=attributes))
    try:
        effects = sample.handler.decide(message, Facts(RULES), NOW)
    except InvalidMessage as failure:
        return failure.code
    return msgspec.json.decode(golden(effects))


def shape(value: Any) -> Any:
    """Names and types of it, without what it says."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value]
    return type(value).__name__


def text_of(sample: Sample, body: bytes) -> str:
    return unpacked(body).decode(sample.csv.encoding if sample.csv else "utf-8")


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_a_masked_message_says_the_same_of_others(sample: Sample) -> None:
    before = said(sample, sample.body, sample.subject)
    after = said(sample, masked(sample), sample.subject)
    assert shape(after) == shape(before)
    if isinstance(before, list):
        assert [event[:2] for event in after] == [event[:2] for event in before]
        assert before


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_nothing_private_is_left_anywhere(sample: Sample) -> None:
    before, after = text_of(sample, sample.body), text_of(sample, masked(sample))
    for private in sample.private:
        assert private in before
        assert private not in after


def leaves(sample: Sample, body: bytes) -> list[Leaf]:
    found: list[Leaf] = []

    def note(leaf: Leaf) -> str:
        found.append(leaf)
        return leaf.value

    content = unpacked(body)
    if sample.csv is not None:
        assert rewritten_csv(content, sample.csv, note) == content
    elif content.lstrip().startswith((b"{", b"[")):
        rewritten_json(content, note)
    else:
        assert rewritten_xml(content, note) == content
    return found


@pytest.mark.parametrize("with_numbers", [False, True])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_exactly_the_fields_of_the_table_change_and_keep_their_form(
    sample: Sample, with_numbers: bool
) -> None:
    fields = masking_of(sample).fields
    before = leaves(sample, sample.body)
    after = leaves(sample, masked(sample, with_numbers=with_numbers))
    assert [leaf.path for leaf in after] == [leaf.path for leaf in before]
    hidden = {"text", "amount", "number"} if with_numbers else {"text", "amount"}
    for old, new in zip(before, after, strict=True):
        kind = fields.kind(old.path, old.label) if old.path else None
        says = re.search(r"[^\W0_]", old.value) and old.value.lower() not in ("true", "false")
        if kind in hidden and says and not (kind == "amount" and not re.search("[1-9]", old.value)):
            assert new.value != old.value
        if kind in ("keep", "label"):
            assert new.value == old.value
        assert (len(new.value), new.is_number) == (len(old.value), old.is_number)


def test_masking_numbers_keeps_joins_between_messages() -> None:
    masking = masking_of(SAMPLES[0], with_numbers=True)
    first, second = (
        masking.masked(Document(body, "json")).body
        for body in (b'{"supplier": "17300003"}', b'{"line": {"supplierNumber": "17300003"}}')
    )
    number = msgspec.json.decode(first)["supplier"]
    assert number != "17300003"
    assert msgspec.json.decode(second) == {"line": {"supplierNumber": number}}


def test_a_name_of_one_message_is_gone_from_the_text_of_an_earlier_one() -> None:
    masking = masking_of(SAMPLES[0])
    early = masking.masked(Document(b'{"description": "as for Teller Precision"}', "json"))
    late = masking.masked(Document(b'{"supplierName": "Teller Precision"}', "json"))
    name = msgspec.json.decode(late.body)["supplierName"]
    assert msgspec.json.decode(masking.swept(early).body) == {"description": f"as for {name}"}


def test_xml_stays_byte_for_byte_but_for_values() -> None:
    body = (
        "<?xml version='1.0' encoding='ISO-8859-1'?>\r\n"
        "<!DOCTYPE o [<!-- it's \"> --><!ELEMENT o ANY>]>\n"
        "<o a = 'x>y' Name=\"M&#252;ller &amp; Söhne\">\n<!-- for jo@teller.example -->"
        "<Price\n cur='EUR'>12.50</Price><t><![CDATA[a < b]]></t><Name/><c>&lt;ü</c></o>\n"
    ).encode("latin-1")
    masking = masking_of(SAMPLES[0])
    new = masking.masked(Document(body, "xml")).body.decode("latin-1")
    found = re.fullmatch(
        r"<\?xml version='1\.0' encoding='ISO-8859-1'\?>\r\n"
        r"<!DOCTYPE o \[<!-- it's \"> --><!ELEMENT o ANY>\]>\n"
        r"<o a = 'x>y' Name=\"([A-Z][a-z]{5}) &amp; [A-Z][a-z]{4}\">\n"
        r"<!-- for [a-z]{2}@[a-z]{6}\.example -->"
        r"<Price\n cur='EUR'>[1-9]\d\.[1-9]0</Price><t><!\[CDATA\[a < b\]\]></t><Name/>"
        r"<c>&lt;ü</c></o>\n",
        new,
    )
    assert found is not None
    assert "teller" not in new


def test_numbers_of_json_keep_their_digits_and_order() -> None:
    body = b'{"b": 1, "price": 25.10, "a": [true, null, {}, []], "cost": 1e3, "b": -2.50}'
    new = masking_of(SAMPLES[0]).masked(Document(body, "json")).body.decode()
    assert re.fullmatch(
        r'\{"b":1,"price":[1-9]\d\.[1-9]0,"a":\[true,null,\{\},\[\]\],"cost":[2-9]e3,"b":-2\.50\}',
        new,
    )


# U+FFFE and U+FFFF, which XML does not have, are among those that are not assigned.
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), max_size=9)
XML_NAMES = st.sampled_from(["a", "Name", "x:b", "value"])


@st.composite
def elements(draw: st.DrawFn, depth: int = 2) -> tuple[str, list[str]]:
    """An element as written, and its values: attributes, then texts as they come."""
    name = draw(XML_NAMES)
    written, values = f"<{name}", []
    for at in range(draw(st.integers(0, 2))):
        value, quote = draw(WORDS), draw(st.sampled_from("\"'"))
        inside = escape(value, {'"': "&#34;", "'": "&apos;"})
        written += f" a{at} = {quote}{inside}{quote}"
        values.append(value)
    if draw(st.booleans()):
        return f"{written}/>", values
    written += ">"
    for _ in range(draw(st.integers(0, 3 if depth else 1))):
        form = draw(
            st.sampled_from(["text", "cdata", "comment", "pi", "element"][: 5 if depth else 4])
        )
        value = draw(WORDS)
        if form == "text":
            # A comment behind it, so that two texts stay two.
            written += f"{escape(value)}<!---->"
            values += [*([value] if value.strip() else []), ""]
        elif form == "cdata":
            written += f"<![CDATA[{value.replace(']', '')}]]>"
            values.append(value.replace("]", ""))
        elif form == "comment":
            written += f"<!--{value.replace('-', '')}-->"
            values.append(value.replace("-", ""))
        elif form == "pi":
            written += f"<?p {value.replace('?', '')}?>"
        else:
            inner, inner_values = draw(elements(depth - 1))
            written += inner
            values += inner_values
    return f"{written}</{name}>", values


@given(elements())
def test_values_of_xml_are_found_where_they_stand(element: tuple[str, list[str]]) -> None:
    written, values = element
    body = f'<r xmlns:x="u">{written}</r>'.encode()
    found: list[str] = []

    def note(leaf: Leaf) -> str:
        found.append(leaf.value)
        return leaf.value

    assert rewritten_xml(body, note) == body
    assert found == values


@given(elements())
def test_other_values_of_xml_are_read_as_they_were_meant(element: tuple[str, list[str]]) -> None:
    body = f'<r xmlns:x="u">{element[0]}</r>'.encode()
    new = rewritten_xml(body, lambda leaf: f"{leaf.value}<&" if leaf.path else leaf.value)
    parsed, before = ElementTree.fromstring(new), ElementTree.fromstring(body)
    for one, other in zip(parsed.iter(), before.iter(), strict=True):
        assert one.tag == other.tag
        assert one.attrib == {name: f"{value}<&" for name, value in other.attrib.items()}


# Beyond that another first digit makes a number too large; then the message is not exported.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e300, 1e300)
    | st.text(st.characters(codec="utf-8"), max_size=9),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["name", "price", "id", "x", "value"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
def test_json_that_is_left_alone_says_the_same(value: Any) -> None:
    body = msgspec.json.encode(value)
    assert msgspec.json.decode(rewritten_json(body, lambda leaf: leaf.value)) == value


@given(JSON)
def test_masked_json_has_the_same_shape(value: Any) -> None:
    body = masking_of(SAMPLES[0]).masked(Document(msgspec.json.encode(value), "json")).body
    assert shape(msgspec.json.decode(body)) == shape(value)


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9), min_size=1)
)
def test_cells_are_found_as_a_spreadsheet_finds_them(cells: list[str]) -> None:
    quoted = [f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in cells]
    body = (";".join(f"c{n}" for n in range(len(cells))) + "\r\n" + ";".join(quoted)).encode()
    found: dict[str, str] = {}

    def note(leaf: Leaf) -> str:
        found[leaf.path[0]] = leaf.value
        return leaf.value

    assert rewritten_csv(body, Csv(delimiter=";"), note) == body
    assert found == {f"c{n}": cell for n, cell in enumerate(cells) if cell.strip(" \t\r\n\xa0")}


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (Document(b"<a>", "xml"), "xml-malformed"),
        (Document(b"<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "xml"), "xml-entity"),
        (Document(b'{"a": ', "json"), "undecodable"),
        (Document(b"\x00\x01", "bin"), "content-unknown"),
        (Document(b"Name\nx;y", "csv", Csv(delimiter=";")), "csv-unclear"),
        (Document(b'Name\n"x', "csv", Csv()), "csv-unclear"),
        (Document(b"Name\n\xff", "csv", Csv()), "undecodable"),
    ],
)
def test_what_cannot_be_read_is_not_masked(document: Document, code: str) -> None:
    with pytest.raises(InvalidMessage) as failure:
        masking_of(SAMPLES[0]).masked(document)
    assert failure.value.code == code


def test_of_an_archive_only_its_xml_is_left() -> None:
    sample = next(s for s in SAMPLES if s.name == "gearbox_package.pdx")
    document = document_of(sample.body, None)
    assert (document.form, other_members(document)) == ("pdx", 1)
    with zipfile.ZipFile(io.BytesIO(masked(sample))) as archive:
        assert archive.namelist() == ["pdx.xml"]


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b" <a/>", "xml"),
        ("<a/>".encode("utf-16"), "xml"),
        (b'\n{"a": 1}', "json"),
        (b"[1]", "json"),
        (b"PK\x03\x04", "bin"),
        (b"a;b", "bin"),
        (b"", "bin"),
    ],
)
def test_the_content_tells_what_it_is(body: bytes, form: str) -> None:
    assert document_of(body, None).form == form
