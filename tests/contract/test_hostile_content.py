"""H15 to H36 of the catalogue of hostile input, from one table, against every driver that reads the
syntax: refused as bad data with a place, or taken as what it says; never anything else.

The service as a whole is sent H01 to H26 by tests/hostile.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple
from unicodedata import normalize

import msgspec
import pytest

from canonical.effects import Effect, Emit, Fetch, Open, Put
from canonical.errors import Failure
from tests.contract.genuine import (
    GENUINE,
    OF_CSV,
    OF_JSON,
    OF_XML,
    answer,
    body_of,
    encoding_of,
    is_recognised,
    new_cases,
    parts_of,
    refusal,
    text_of,
    told,
)
from tests.contract.parts import Part, Path, part_at, paths, with_text
from tests.contract.test_handlers import FACTS
from tests.corpus import CORPUS
from tests.fixtures.gearbox import NOW

Contents = Callable[[bytes], Iterator[bytes]]


# Every hostile value in every place in the longer suite, each eleventh of them else: 11 divides the
# length of no list below, so that each value comes to some places.
EACH = 1 if os.environ.get("LAYSHAFT_FULL") == "1" else 11


def _some(pairs: Iterator[tuple[Any, Any]], each: int = EACH) -> Iterator[tuple[Any, Any]]:
    return itertools.islice(pairs, 0, None, each)


# JSON: the whole content


def _hidden(genuine: bytes, value: bytes) -> bytes:
    """The genuine content with a field that no contract names, and this value in it."""
    start = genuine.index(b"{") + 1
    return genuine[:start] + b'"unheard-of": ' + value + b", " + genuine[start:]


def _deep(genuine: bytes) -> Iterator[bytes]:
    nested = b"[" * 100_000 + b"]" * 100_000
    yield nested
    yield _hidden(genuine, nested)
    yield b"[" * 100_000


def _many(genuine: bytes) -> Iterator[bytes]:
    for number in (1_000_000, 2_000_000):
        yield _hidden(genuine, b"[" + b"0," * (number - 1) + b"0]")
    keys = ",".join(f'"{number}":0' for number in range(200_000))
    yield _hidden(genuine, f"{{{keys}}}".encode())


def _not_numbers(genuine: bytes) -> Iterator[bytes]:
    for literal in (b"NaN", b"Infinity", b"-Infinity", b"01", b"1.", b".5", b"+1", b"0x10"):
        yield _hidden(genuine, literal)


def _not_text(genuine: bytes) -> Iterator[bytes]:
    for bad in (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80"):
        yield _hidden(genuine, b'"' + bad + b'"')
    yield _hidden(genuine, b'"\\ud800"')
    yield _hidden(genuine, b'"a\nb"')


def _twice(genuine: bytes) -> Iterator[bytes]:
    yield _hidden(_hidden(genuine, b"1"), b"2")
    yield _hidden(genuine, b'{"qty": 1, "q\\u0074y": 2}')


def _not_one_document(genuine: bytes) -> Iterator[bytes]:
    yield b"\xef\xbb\xbf" + genuine
    yield genuine.decode().encode("utf-16")
    yield genuine + b"\0"
    yield genuine + b" {}"
    yield b"/* by hand */ " + genuine
    yield b""
    yield b"  \n"
    yield genuine[: len(genuine) // 2]


REFUSED_JSON: Mapping[str, Contents] = {
    "H15 100,000 nested arrays": _deep,
    "H17 literals that are no JSON": _not_numbers,
    "H20 surrogates and bytes that are no UTF-8": _not_text,
    "H21 a key given twice": _twice,
    "H22 not one JSON document in UTF-8": _not_one_document,
    "H25 2,000,000 elements, 200,000 keys": _many,
}


@pytest.mark.parametrize("name", OF_JSON)
@pytest.mark.parametrize("line", REFUSED_JSON)
def test_hostile_json_is_refused(line: str, name: str) -> None:
    genuine = GENUINE[name].content
    assert refusal(name, genuine) is None, "the genuine one is taken"
    for number, body in enumerate(REFUSED_JSON[line](genuine)):
        assert refusal(name, body) is not None, (number, body[:80])


# JSON: one value after the other

HOSTILE_VALUES: Mapping[str, tuple[str, ...]] = {
    "H16 an integer of 4,000 digits": ("9" * 4_000, "-" + "9" * 4_000, str(2**63), str(2**64)),
    "H17 numbers beyond all bounds": ("1e400", "-1e400", "1e-400", "1E+999999999"),
    "H18 decimals that are none": tuple(
        json.dumps(text)
        for text in (
            "NaN",
            "sNaN",
            "Infinity",
            "1E+999999999",
            "1_000",
            "١٢",
            " 1 ",
            "1,5",
            "--1",
            "-12.345",
        )
    ),
    "H19 NUL in a text": ('"a\\u0000b"', '"\\u0000"'),
    "H23 values of another type": ("true", "1.5", '"1"', "null", "[]", "{}", "[[]]", '{"a": 1}'),
    "H24 times that are none": tuple(
        json.dumps(text)
        for text in (
            "2026-03-02T08:00:00",
            "9999-12-31T23:59:59-14:00",
            "0001-01-01T00:00:00+14:00",
            "2026-06-30T23:59:60Z",
            "2026-02-30T00:00:00Z",
            "/Date(99999999999999999999)/",
            "/Date(-999999999999999)/",
        )
    ),
    "H26 characters in disguise": tuple(
        json.dumps(text)
        for text in ("A\u200bB", "A\u202eB", "\u0410BC", "\uff21BC", "e\u0301", "A\ufe0fB")
    ),
}


def _places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where a value stands, once for each name: the rows of a list are alike."""
    match value:
        case dict():
            for key, inner in value.items():
                yield from _places(inner, (*path, key))
        case list() if value:
            yield from _places(value[0], (*path, 0))
        case _:
            yield path


def _with(value: Any, path: tuple[str | int, ...], mark: str) -> Any:
    if not path:
        return mark
    first, *rest = path
    changed: Any = dict(value) if isinstance(value, dict) else list(value)
    changed[first] = _with(value[first], tuple(rest), mark)
    return changed


MARK = "the value goes here"


@pytest.mark.parametrize("name", OF_JSON)
@pytest.mark.parametrize("line", HOSTILE_VALUES)
def test_a_hostile_value_anywhere_is_bad_data_or_what_it_says(line: str, name: str) -> None:
    content = json.loads(GENUINE[name].content)
    places = list(_places(content))
    for path, value in _some(itertools.product(places, HOSTILE_VALUES[line])):
        around = json.dumps(_with(content, path, MARK)).encode()
        answer(name, around.replace(json.dumps(MARK).encode(), value.encode()))


# XML: the whole content


def _root(genuine: bytes) -> bytes:
    found = re.search(rb"<([A-Za-z][\w.-]*)", genuine)
    assert found is not None
    return found[1]


def _without_prolog(genuine: bytes) -> bytes:
    return genuine[genuine.index(b"<" + _root(genuine)) :]


def _declaring(genuine: bytes, subset: bytes) -> bytes:
    """The genuine content with a document type of its own."""
    return b"<!DOCTYPE " + _root(genuine) + b" [" + subset + b"]>" + _without_prolog(genuine)


def _inside(genuine: bytes, inner: bytes) -> bytes:
    """The genuine content with more right below its root."""
    body = _without_prolog(genuine)
    start = re.match(rb"<[^>]*>", body)
    assert start is not None
    return body[: start.end()] + inner + body[start.end() :]


def _bombs(genuine: bytes) -> Iterator[bytes]:
    levels = b"".join(b'<!ENTITY e%d "%s">' % (n, b"&e%d;" % (n - 1) * 10) for n in range(1, 6))
    yield _declaring(genuine, b'<!ENTITY e0 "' + b"x" * 30 + b'">' + levels)
    yield _inside(_declaring(genuine, b'<!ENTITY e0 "x">' + levels), b"<a>&e5;</a>")


def _harmless_entity(genuine: bytes) -> Iterator[bytes]:
    yield _declaring(genuine, b'<!ENTITY company "Teller">')
    yield _inside(_declaring(genuine, b'<!ENTITY company "Teller">'), b"<a>&company;</a>")


def _deep_elements(genuine: bytes) -> Iterator[bytes]:
    yield _inside(genuine, b"<a>" * 200_000 + b"</a>" * 200_000)
    yield _inside(genuine, b"<a>" * 65 + b"</a>" * 65)


def _many_attributes(genuine: bytes) -> Iterator[bytes]:
    attributes = b" ".join(b'a%d="1"' % n for n in range(100_000))
    yield _inside(genuine, b"<a " + attributes + b"/>")


def _encodings(genuine: bytes) -> Iterator[bytes]:
    body = _without_prolog(genuine)
    for encoding in (b"utf-7", b"no-such-thing", b"idna", b"utf-32", b"rot13"):
        yield b'<?xml version="1.0" encoding="' + encoding + b'"?>' + body
    yield body[: len(body) // 2]
    yield _inside(genuine, b"<a></b>")
    yield _inside(genuine, b"\xff")
    yield _inside(genuine, b"<a>&#0;</a>")
    yield b""
    yield body + body


def _many_elements(genuine: bytes) -> Iterator[bytes]:
    yield _inside(genuine, b"<a/>" * 2_000_000)


REFUSED_XML: Mapping[str, Contents] = {
    "H25 2,000,000 elements": _many_elements,
    "H27 billion laughs": _bombs,
    "H30 one harmless entity": _harmless_entity,
    "H31 200,000 nested elements": _deep_elements,
    "H32 100,000 attributes": _many_attributes,
    "H33 encodings and syntax": _encodings,
}


@pytest.mark.parametrize("name", OF_XML)
@pytest.mark.parametrize("line", REFUSED_XML)
def test_hostile_xml_is_refused(line: str, name: str) -> None:
    genuine = GENUINE[name].content
    assert refusal(name, genuine) is None, "the genuine one is taken"
    for number, body in enumerate(REFUSED_XML[line](genuine)):
        failure = refusal(name, body)
        assert failure is not None, (number, body[:80])
        assert failure.word == "data_quality"


@pytest.mark.parametrize("name", OF_XML)
def test_h28_nothing_outside_the_document_is_read(name: str) -> None:
    genuine = GENUINE[name].content
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/evil.dtd".encode()
        for subset in (
            b'<!ENTITY x SYSTEM "file:///etc/hostname">',
            b'<!ENTITY % x SYSTEM "' + url + b'"> %x;',
        ):
            assert refusal(name, _declaring(genuine, subset)) is not None
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize("name", OF_XML)
def test_h29_a_document_type_by_reference_is_taken_and_not_fetched(name: str) -> None:
    genuine = GENUINE[name].content
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/some.dtd".encode()
        referring = b"<!DOCTYPE " + _root(genuine) + b' SYSTEM "' + url + b'">'
        body = _without_prolog(genuine)
        assert told(name, referring + body) == told(name, body)
        with pytest.raises(TimeoutError):
            listener.accept()


# XML: one value after the other


def _values(genuine: bytes) -> Iterator[tuple[int, int]]:
    """Where texts and attributes stand, once for each name."""
    seen: set[bytes] = set()
    for found in re.finditer(rb"<([\w.-]+)>([^<>\s][^<>]*)<|\s([\w.-]+)=\"([^\"<>]+)\"", genuine):
        name, group = (found[1], 2) if found[1] else (found[3], 4)
        if name not in seen:
            seen.add(name)
            yield found.span(group)


def _split_texts(genuine: bytes) -> Iterator[bytes]:
    """Comments, instructions and CDATA within every text change nothing of what is said."""
    for inner in (b"<!-- x -->", b"<?x y?>", b"<![CDATA[]]>"):
        yield re.sub(rb">([^<>\s])([^<>]*)<", rb">\g<1>" + inner + rb"\g<2><", genuine)


@pytest.mark.parametrize("name", OF_XML)
def test_h34_a_value_is_read_whole_whatever_is_written_within_it(name: str) -> None:
    genuine = _without_prolog(GENUINE[name].content)
    for body in _split_texts(genuine):
        assert told(name, body) == told(name, genuine)


HOSTILE_TEXTS = (
    *("NaN", "sNaN", "Infinity", "1E+999999999", "1_000", "١٢", "1,5", "--1", "9" * 4_000),
    *("99999999", "20260230", "/Date(1)/", "2026-03-02T08:00:00", "9999-12-31T23:59:59-14:00"),
    *("A\u200bB", "A\u202eB", "\u0410BC", "\uff21BC", "e\u0301", "&lt;b&gt;", "", "/", "0" * 40),
    *("00000000", "99991231", "X", "-1", "10.000-", "12/7", "~"),
)


@pytest.mark.parametrize("name", OF_XML)
def test_h18_h24_h26_a_hostile_text_anywhere_is_bad_data_or_what_it_says(name: str) -> None:
    genuine = _without_prolog(GENUINE[name].content)
    # Of those that are read each is tried with every text, further down: of others a few will do.
    each = 1 if EACH == 1 else len(HOSTILE_TEXTS) + 1
    for (start, end), text in _some(itertools.product(_values(genuine), HOSTILE_TEXTS), each):
        answer(name, genuine[:start] + text.encode() + genuine[end:])


# CSV: the whole content


def _csv_not_text(genuine: bytes) -> Iterator[bytes]:
    for bad in (b"\0", b"\x81\xff\0"):
        yield genuine.rstrip() + bad


def _csv_wide(genuine: bytes) -> Iterator[bytes]:
    names, rows = genuine.split(b"\n", 1)
    yield names.rstrip() + b";," * 100_000 + b"\n" + rows
    yield genuine + b"x" * 200_000


def _csv_cut(genuine: bytes) -> Iterator[bytes]:
    yield b""
    yield b" \r\n\n"
    yield genuine.split(b"\n", 1)[1]
    yield genuine.split(b"\n", 1)[0]
    yield genuine + b'\n"never closed'


REFUSED_CSV: Mapping[str, Contents] = {
    "H19 H20 NUL and bytes of no encoding": _csv_not_text,
    "H22 cut off": _csv_cut,
    "H25 200,000 columns, a cell without end": _csv_wide,
}


@pytest.mark.parametrize("name", OF_CSV)
@pytest.mark.parametrize("line", REFUSED_CSV)
def test_hostile_csv_is_refused(line: str, name: str) -> None:
    for number, body in enumerate(REFUSED_CSV[line](GENUINE[name].content)):
        assert refusal(name, body) is not None, (number, body[:80])


# Every text that a driver reads: XML, JSON and CSV alike

Field = tuple[str, ...]


class Read(NamedTuple):
    """A text that a driver reads, in the first message and place of its name."""

    name: str
    path: Path
    field: Field


def _field(name: str, whole: Part, path: Path) -> Field:
    """What it is called, in whatever row of a list."""
    handler = GENUINE[name].handler.name
    if GENUINE[name].syntax == "csv":
        return (handler, whole.parts[0].parts[path[-1]].text)
    called = (part_at(whole, path[:end]).name for end in range(1, len(path) + 1))
    return (handler, *filter(None, called))


def _texts(name: str, whole: Part) -> Iterator[Path]:
    header = GENUINE[name].syntax == "csv"
    for path in paths(whole):
        part = part_at(whole, path)
        is_leaf = all(inner.kind == "attribute" for inner in part.parts)
        if part.kind in ("text", "attribute", "element") and is_leaf and (path[0] or not header):
            yield path


@cache
def read_texts() -> tuple[Read, ...]:
    """Those where another word makes another answer."""
    found: dict[Field, Read] = {}
    for name in GENUINE:
        whole = parts_of(name)
        genuine = answer(name, body_of(name, whole))
        for path in _texts(name, whole):
            field = _field(name, whole, path)
            if field in found:
                continue
            if _says_else(name, body_of(name, with_text(whole, path, "QZ7")), genuine):
                found[field] = Read(name, path, field)
    return tuple(found.values())


def _says_else(name: str, body: bytes, genuine: tuple[Effect, ...] | Failure) -> bool:
    """Whether it makes a difference; what it is, is looked at where texts are tried."""
    try:
        return told(name, body) != genuine
    except Failure:
        return True


# What of it tells which other text is meant: with another word in it, that one is not asked about,
# as if it were not there.
CHOOSES = {
    *(("pdx-package", name) for name in ("name", "globalPreferredStatusCode")),
    *(("arena-change", "name"), ("arena-item", "name"), ("arena-item", "guid")),
    *(("coupa-contracts", "status"), ("coupa-contracts", "item-number")),
    ("coupa-review", "external-ref"),
    *(("idoc-document", name) for name in ("QUALF", "IDDAT", "SUMID", "PARVW", "ACTION", "MSGFN")),
    *(("idoc-document", name) for name in ("SPRAS_ISO", "STLAL", "LKENZ", "SERIAL", "DOCNUM")),
    *(("s4-product", "Language"), ("s4-change-master", "SAPObjectType")),
}
FORBIDDEN = {"H19": "A\0B", "H26 without width": "A\u200bB", "H26 bidirectional": "A\u202eB"}
# None of them is another way to write a number, a day or a word of a table.
STRANGE = (
    *("NaN", "sNaN", "1_000", "١٢", "--1", "9" * 4_000, "~~"),
    *("2026-02-30T00:00:00Z", "/Date(99999999999999999999)/"),
    *("\u0410BC", "\uff21BC", "e\u0301", "A\ufe0fB"),
)


def _asked(read: Read, text: str) -> tuple[Effect, ...] | Failure | None:
    """The answer to another text; None where the syntax or the encoding cannot write it."""
    if "\0" in text and GENUINE[read.name].syntax == "xml":
        return None
    try:
        body = body_of(read.name, with_text(parts_of(read.name), read.path, text))
    except UnicodeEncodeError:
        return None
    return answer(read.name, body)


@cache
def _of(read: Read) -> tuple[Effect, ...]:
    genuine = answer(read.name, body_of(read.name, parts_of(read.name)))
    assert not isinstance(genuine, Failure)
    return genuine


def test_of_every_driver_there_are_texts_that_are_read() -> None:
    assert {read.field[0] for read in read_texts()} == {
        genuine.handler.name for genuine in GENUINE.values()
    }
    assert {(read.field[0], read.field[-1]) for read in read_texts()} >= CHOOSES


@pytest.mark.parametrize("line", FORBIDDEN)
def test_a_forbidden_character_in_any_text_that_is_read_is_refused_or_a_case(line: str) -> None:
    text = FORBIDDEN[line]
    for read in read_texts():
        found = _asked(read, text)
        if found is None or isinstance(found, Failure):
            continue
        assert text[1] not in "".join(map(_shown, found)), read.field
        assert new_cases(found, _of(read)) or (read.field[0], read.field[-1]) in CHOOSES, read.field


@pytest.mark.parametrize("text", STRANGE, ids=lambda text: ascii(text)[:20])
def test_a_strange_text_wherever_it_is_read_is_refused_a_case_or_what_it_says(text: str) -> None:
    for read in read_texts():
        found = _asked(read, text)
        if found is None or isinstance(found, Failure):
            continue
        assert (
            normalize("NFC", text) in normalize("NFC", "".join(map(_shown, found)))
            or new_cases(found, _of(read))
            or (read.field[0], read.field[-1]) in CHOOSES
        ), read.field


@pytest.mark.parametrize(
    "text", sorted({*HOSTILE_TEXTS} - {*STRANGE}), ids=lambda text: ascii(text)[:20]
)
def test_any_text_wherever_it_is_read_is_bad_data_or_what_it_says(text: str) -> None:
    for read in read_texts():
        _asked(read, text)


def test_h26_both_normal_forms_of_any_text_that_is_read_say_the_same() -> None:
    for read in read_texts():
        one, other = (_asked(read, normalize(form, "K\u00e9")) for form in ("NFC", "NFD"))
        if isinstance(one, Failure) and isinstance(other, Failure):
            assert (one.code, one.where) == (other.code, other.where), read.field
        # A byte for each letter cannot write a mark by itself.
        elif other is not None:
            assert _said(as_compared(one)) == _said(as_compared(other)), read.field


def as_compared(found: tuple[Effect, ...] | Failure | None) -> tuple[Effect, ...] | Failure | None:
    """With the source's own ids, which are kept as they came, in their one form."""
    if not isinstance(found, tuple):
        return found
    return tuple(map(_with_one_form, found))


def _with_one_form(effect: Effect) -> Effect:
    name = "document" if isinstance(effect, Put) else "data"
    said: Any = getattr(effect, name, None)
    if not hasattr(said, "source_id"):
        return effect
    said = msgspec.structs.replace(said, source_id=normalize("NFC", said.source_id or ""))
    return msgspec.structs.replace(effect, **{name: said})


def test_an_id_of_the_source_is_kept_as_it_came() -> None:
    composed, other = (normalize(form, "K\u00e9") for form in ("NFC", "NFD"))
    kept = set()
    for read in read_texts():
        for text in (composed, other):
            found = _asked(read, text)
            if isinstance(found, tuple) and text in _own_ids(found):
                kept.add((read.field, text))
    as_composed = {field for field, text in kept if text == composed}
    assert as_composed
    assert {field for field, text in kept if text == other} == as_composed


def _own_ids(found: tuple[Effect, ...]) -> set[str]:
    return {
        effect.data.source_id
        for effect in found
        if isinstance(effect, Emit) and hasattr(effect.data, "source_id")
    }


# What the object is called, as its genuine message has it: in its key, or in the subject of a read.
CALLED: Mapping[str, str] = {
    "pdx.package 0": "GBX-100",
    "arena.change 0": "ECO-000451",
    "arena.item 0": "210-00417",
    "arena.event 0": "ECO-7",
    "arena.event-item 0": "SEAL-1",
    "arena.outbound-event 0": "SEAL-1",
    "arena.gone 0": "SEAL-1",
    "arena.supplier 0": "S-3",
    "arena.supplier-notice 0": "S-3",
    "arena.supplier-item 0": "SEAL-1",
    "coupa.supplier 0": "S-3",
    "coupa.contracts 0": "SEAL-1",
    "coupa.contract 0": "C-3",
    "coupa.order 0": "PO-1",
    "coupa.review 0": "S-400",
    "coupa.supplier-read 0": "S-3",
    "coupa.contract-read 0": "C-3",
    "coupa.order-read 0": "PO-1",
    "tryton.product 0": "SEAL-7",
    "idoc.document 0": "4500000670",
    "idoc.document 1": "123456789",
    "s4.event 0": "4500000028",
    "s4.purchase-order 0": "4500000028",
    "s4.product 0": "SEAL-1",
    "s4.business-partner 0": "S-3",
    "s4.info-record 0": "S-3",
    "s4.purchase-contract 0": "4600000007",
    "s4.source-list 0": "SEAL-1",
    "s4.bom 0": "GB-100",
    "s4.change-master 0": "500000000042",
    "table contracts": "SEAL-1",
    "table holds": "QH-2041",
    "table items": "GB-110",
    "table orders": "4500000001",
    "table sources": "SEAL-1",
    "table structure": "GB-100",
    "table suppliers": "17300001",
}


# They name their objects by numbers alone.
NAMELESS = {
    "coupa-changed-suppliers",
    "coupa-changed-contracts",
    "coupa-changed-orders",
    "tryton-changed-products",
    "tryton-changed-purchases",
    "tryton-purchase",
}


def _renamed(name: str, called: str) -> tuple[str, tuple[Effect, ...]]:
    """The key and what it comes to, with another name for its object. The subject of a read is a
    key of ours."""
    handler, delivery, *_ = GENUINE[name]
    subject = normalize("NFC", called)
    attributes = {
        attribute: said.replace(CALLED[name], subject)
        for attribute, said in delivery.attributes.items()
    }
    text = text_of(name, parts_of(name)).replace(CALLED[name], called)
    body = text.encode(encoding_of(name))
    message = handler.read(msgspec.structs.replace(delivery, body=body, attributes=attributes))
    return message.envelope.key, handler.decide(message, FACTS, NOW)


@pytest.mark.parametrize("name", CALLED)
def test_h26_both_normal_forms_of_a_name_come_to_one_key(name: str) -> None:
    key, effects = _renamed(name, normalize("NFC", "K\u00e9"))
    keys = [effect.key for effect in effects if isinstance(effect, Emit | Fetch)]
    assert any("K\u00e9" in each for each in (key, *keys))
    # A byte for each letter cannot write a mark by itself.
    if encoding_of(name) == "utf-8":
        other, said = _renamed(name, normalize("NFD", "K\u00e9"))
        assert (other, as_compared(said)) == (key, as_compared(effects))


def test_h26_every_handler_of_a_system_and_every_table_has_its_key_tried() -> None:
    assert {GENUINE[name].handler.name for name in CALLED} == {
        genuine.handler.name for genuine in GENUINE.values()
    } - NAMELESS


def _said(found: tuple[Effect, ...] | Failure | None) -> list[object]:
    """A case quotes what it is about as it is written."""
    assert isinstance(found, tuple)
    return [said.code if isinstance(said, Open) else said for said in found]


def _shown(effect: Effect) -> str:
    """All that it says, as text."""
    return msgspec.json.encode(effect).decode()


# What only one kind of document can do

ORDERS = (CORPUS / "idoc" / "orders.xml").read_text()
(CONTROL,) = re.findall(r"<EDI_DC40.*?</EDI_DC40>", ORDERS, re.S)
(IDOC,) = re.findall(r"<IDOC.*</IDOC>", ORDERS, re.S)


def test_h35_an_idoc_with_two_control_records_is_refused() -> None:
    failure = refusal("idoc.document 0", ORDERS.replace(CONTROL, CONTROL * 2).encode())
    assert failure is not None
    assert failure.code == "idoc-malformed"


def test_h35_an_idoc_without_a_number_is_known_by_its_content() -> None:
    body = re.sub(r"<DOCNUM>.*?</DOCNUM>", "", ORDERS).encode()
    assert refusal("idoc.document 0", body) is None
    assert is_recognised("idoc.document 0", body)


def test_h35_segments_out_of_order_say_the_same() -> None:
    moved = ORDERS.replace(CONTROL, "").replace("</IDOC>", f"{CONTROL}</IDOC>")
    assert told("idoc.document 0", moved.encode()) == told("idoc.document 0", ORDERS.encode())
    assert is_recognised("idoc.document 0", moved.encode())


def test_h35_what_is_wrong_with_an_idoc_is_told_of_an_idoc() -> None:
    cut = ORDERS[: len(ORDERS) // 2].encode()
    for body in (cut, ORDERS.replace(CONTROL, CONTROL * 2).encode()):
        assert is_recognised("idoc.document 0", body)
        assert refusal("idoc.document 0", body) is not None


def test_h35_of_two_idocs_of_which_one_is_bad_none_is_applied() -> None:
    two = ORDERS.replace(IDOC, IDOC + IDOC.replace("<POSEX>", "<POSEX>x\u202e"))
    assert refusal("idoc.document 0", ORDERS.replace(IDOC, IDOC * 2).encode()) is None
    assert refusal("idoc.document 0", two.encode()) is not None


def test_h36_what_is_marked_as_a_test_has_no_effect() -> None:
    marked = ORDERS.replace("</EDI_DC40>", "<TEST>X</TEST></EDI_DC40>")
    failure = refusal("idoc.document 0", marked.encode())
    assert failure is not None
    assert failure.code == "test-message"


# Of every row, where each syntax is tried: the name of a list above or of a test; or why it is not.

NO_NUMBERS = "all values are texts: H18 has those that look like numbers"
OF_ITS_OWN = "of XML only"
TEXTS = "test_h18_h24_h26_a_hostile_text_anywhere_is_bad_data_or_what_it_says"
FORBIDDEN_TEXTS = "test_a_forbidden_character_in_any_text_that_is_read_is_refused_or_a_case"
STRANGE_TEXTS = "test_a_strange_text_wherever_it_is_read_is_refused_a_case_or_what_it_says"
XML_ONLY = {"json": OF_ITS_OWN, "csv": OF_ITS_OWN}
ROWS: Mapping[str, Mapping[str, str]] = {
    "H15": {
        "json": "H15 100,000 nested arrays",
        "xml": "H31 200,000 nested elements",
        "csv": "rows do not nest",
    },
    "H16": {"json": "H16 an integer of 4,000 digits", "xml": TEXTS, "csv": STRANGE_TEXTS},
    "H17": {"json": "H17 literals that are no JSON", "xml": NO_NUMBERS, "csv": NO_NUMBERS},
    "H18": {"json": "H18 decimals that are none", "xml": TEXTS, "csv": STRANGE_TEXTS},
    "H19": {
        "json": FORBIDDEN_TEXTS,
        "xml": "H33 encodings and syntax",
        "csv": "H19 H20 NUL and bytes of no encoding",
    },
    "H20": {
        "json": "H20 surrogates and bytes that are no UTF-8",
        "xml": "H33 encodings and syntax",
        "csv": "H19 H20 NUL and bytes of no encoding",
    },
    "H21": {
        "json": "H21 a key given twice",
        "xml": "in tests/contract/test_mutations.py, attributes; elements may be repeated",
        "csv": "in tests/contract/test_mutations.py, columns",
    },
    "H22": {
        "json": "H22 not one JSON document in UTF-8",
        "xml": "H33 encodings and syntax",
        "csv": "H22 cut off",
    },
    "H23": {"json": "H23 values of another type", "xml": NO_NUMBERS, "csv": NO_NUMBERS},
    "H24": {"json": "H24 times that are none", "xml": TEXTS, "csv": STRANGE_TEXTS},
    "H25": {
        "json": "H25 2,000,000 elements, 200,000 keys",
        "xml": "H25 2,000,000 elements",
        "csv": "H25 200,000 columns, a cell without end",
    },
    "H26": {"json": FORBIDDEN_TEXTS, "xml": FORBIDDEN_TEXTS, "csv": FORBIDDEN_TEXTS},
    "H27": {"xml": "H27 billion laughs", **XML_ONLY},
    "H28": {"xml": "test_h28_nothing_outside_the_document_is_read", **XML_ONLY},
    "H29": {"xml": "test_h29_a_document_type_by_reference_is_taken_and_not_fetched", **XML_ONLY},
    "H30": {"xml": "H30 one harmless entity", **XML_ONLY},
    "H31": {"xml": "H31 200,000 nested elements", **XML_ONLY},
    "H32": {"xml": "H32 100,000 attributes", **XML_ONLY},
    "H33": {"xml": "H33 encodings and syntax", **XML_ONLY},
    "H34": {"xml": "test_h34_a_value_is_read_whole_whatever_is_written_within_it", **XML_ONLY},
    "H35": {"xml": "test_h35_an_idoc_with_two_control_records_is_refused", **XML_ONLY},
    "H36": {
        "xml": "test_h36_what_is_marked_as_a_test_has_no_effect",
        "json": "no JSON that is read has such a mark",
        "csv": "no row has such a mark that its table does not name",
    },
}
LISTS = (REFUSED_JSON, HOSTILE_VALUES, REFUSED_XML, REFUSED_CSV)


def test_every_row_of_the_catalogue_is_tried_in_every_syntax_that_has_it() -> None:
    assert ROWS.keys() == {f"H{number}" for number in range(15, 37)}
    tried = {line for lines in LISTS for line in lines} | {
        name for name in globals() if name.startswith("test_")
    }
    named = {name for row in ROWS.values() for name in row.values()}
    assert all(row.keys() == {"json", "xml", "csv"} for row in ROWS.values())
    assert all(any(name in tried for name in row.values()) for row in ROWS.values())
    # What looks like a name is one.
    assert {name for name in named if name[0] == "H" or name.startswith("test_")} <= tried
    assert {line.partition(" ")[0] for lines in LISTS for line in lines} <= ROWS.keys()
