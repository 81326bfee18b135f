"""Foreign documents as leaves, each of which can be changed where it stands."""

from __future__ import annotations

import io
import json
import zipfile
from contextlib import suppress
from xml.etree import ElementTree

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from canonical.errors import InvalidMessage
from ops.mapping.leaves import Document, Leaf, read_document
from tests.strategies import json_documents


def document(body: bytes) -> Document:
    found = read_document(body)
    assert found is not None
    return found


def told(body: bytes) -> list[tuple[str, str, str]]:
    """Path, field and value of each leaf."""
    return [(leaf.path, leaf.field, leaf.value) for leaf in document(body).leaves]


def leaf(found: Document, path: str) -> Leaf:
    return next(leaf for leaf in found.leaves if leaf.path == path)


def test_leaves_of_json_have_the_paths_that_json_people_write() -> None:
    body = rb'{"change": {"number": "E\u0043O", "open": true, "n": -1.50, "none": null, "t": ""},'
    body += b' "items": [{"a": 1}, [2, "x, }"]]}'
    assert told(body) == [
        ("change.number", "change.number", "ECO"),
        ("change.open", "change.open", "true"),
        ("change.n", "change.n", "-1.50"),
        ("items[0].a", "items[].a", "1"),
        ("items[1][0]", "items[][]", "2"),
        ("items[1][1]", "items[][]", "x, }"),
    ]
    assert document(body).empty == 2


def test_leaves_of_xml_count_from_one_and_only_where_an_element_is_repeated() -> None:
    body = b"""<?xml version="1.0"?>
    <!DOCTYPE a [ <!ATTLIST b x CDATA #IMPLIED> <!-- <a>no</a> --> ]>
    <a k='v &amp; w'><b x="1">one</b><!-- <b>no</b> --><b>t<![CDATA[<w>o]]></b><c/><d></d></a>"""
    assert told(body) == [
        ("a/@k", "a/@k", "v & w"),
        ("a/b[1]/@x", "a/b/@x", "1"),
        ("a/b[1]", "a/b", "one"),
        ("a/b[2]/text()[1]", "a/b/text()", "t"),
        ("a/b[2]/text()[2]", "a/b/text()", "<w>o"),
    ]


def test_everything_but_the_changed_leaf_stays_as_it_was_written() -> None:
    body = b"<?xml version='1.0'?>\n<a  k='1'\n><!-- note --><b >x &lt; y</b></a  >\n"
    found = document(body)
    changed = found.with_value(leaf(found, "a/b"), "a & b")
    assert changed == body.replace(b"x &lt; y", b"a &amp; b")
    assert found.with_value(leaf(found, "a/@k"), '"') == body.replace(b"'1'", b'"&quot;"')


def test_blank_is_null_in_json_unless_the_value_is_a_text() -> None:
    found = document(b'{"n": 1, "t": "x"}')
    assert found.with_value(leaf(found, "n"), "") == b'{"n": null, "t": "x"}'
    assert found.with_value(leaf(found, "t"), "") == b'{"n": 1, "t": ""}'


@pytest.mark.parametrize("encoding", ["iso-8859-1", "utf-16"])
def test_a_document_keeps_its_encoding(encoding: str) -> None:
    body = f'<?xml version="1.0" encoding="{encoding}"?><a>Zürich</a>'.encode(encoding)
    found = document(body)
    assert found.with_values(()) == body
    assert "Köln".encode(encoding)[-8:] in found.with_value(leaf(found, "a"), "Köln")


def archive(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name.replace("_", "."), content)
    return packed.getvalue()


def test_the_one_document_of_an_archive_is_taken_and_packed_again() -> None:
    found = document(archive(a_xml=b"<a>1</a>", picture_png=b"..."))
    assert (found.member, [leaf.path for leaf in found.leaves]) == ("a.xml", ["a"])
    changed = found.with_value(found.leaves[0], "2")
    with zipfile.ZipFile(io.BytesIO(changed)) as file:
        assert {name: file.read(name) for name in file.namelist()} == {"a.xml": b"<a>2</a>"}


@pytest.mark.parametrize(
    "body", [b"UNA:+.? '", b"", archive(a_xml=b"<a/>", b_xml=b"<b/>"), archive(a_txt=b"<a/>")]
)
def test_what_is_neither_json_nor_xml_nor_one_of_them_packed_has_no_leaves(body: bytes) -> None:
    assert read_document(body) is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "xml-entity"),
        (b"<a><b></a>", "xml-malformed"),
        (b'{"a": }', "undecodable"),
        (b"[" * 40 + b"]" * 40, "body-too-deep"),
        (b"PK\x03\x04 and no more", "archive-broken"),
    ],
)
def test_what_is_broken_or_declares_entities_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        read_document(body)
    assert caught.value.code == code


def flat(value: object) -> list[str]:
    """Scalars with a value, in order, as text."""
    if isinstance(value, dict):
        return [text for inner in value.values() for text in flat(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in flat(inner)]
    if value is None or value == "":
        return []
    return [value if isinstance(value, str) else json.dumps(value)]


@given(json_documents(), st.booleans())
def test_leaves_of_json_are_its_scalars_in_order(value: object, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    found = None
    with suppress(InvalidMessage):
        found = read_document(body)
    assume(found is not None)
    assert found is not None
    assert [leaf.value for leaf in found.leaves] == flat(value)
    assert found.with_values(()) == body


@given(json_documents(), st.data())
def test_changing_one_leaf_of_json_changes_that_leaf_alone(
    value: object, data: st.DataObject
) -> None:
    found = document(json.dumps(value).encode())
    assume(found.leaves)
    place = data.draw(st.integers(0, len(found.leaves) - 1))
    chosen = found.leaves[place]
    new = "-7" if chosen.spelling == "json-bare" else data.draw(st.text(min_size=1, max_size=6))
    again = document(found.with_value(chosen, new))
    before = [(leaf.path, leaf.value) for leaf in found.leaves]
    after = [(leaf.path, leaf.value) for leaf in again.leaves]
    assert after == [*before[:place], (chosen.path, new), *before[place + 1 :]]


def elements() -> st.SearchStrategy[ElementTree.Element]:
    """Elements with attributes and, where they have no children, text."""
    names = st.sampled_from(["a", "b", "c"])
    texts = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=6)
    filled = texts.filter(lambda text: bool(text.strip()))

    def made(tag: str, attributes: dict[str, str], text: str) -> ElementTree.Element:
        element = ElementTree.Element(tag, attributes)
        element.text = text
        return element

    def parent(
        tag: str, attributes: dict[str, str], children: list[ElementTree.Element]
    ) -> ElementTree.Element:
        element = ElementTree.Element(tag, attributes)
        element.extend(children)
        return element

    attributes = st.dictionaries(names, filled, max_size=2)
    return st.recursive(
        st.builds(made, names, attributes, filled),
        lambda inner: st.builds(parent, names, attributes, st.lists(inner, max_size=4)),
        max_leaves=8,
    )


@given(elements(), st.data())
def test_changing_one_leaf_of_xml_changes_that_leaf_alone(
    root: ElementTree.Element, data: st.DataObject
) -> None:
    body = ElementTree.tostring(root)
    found = document(body)
    values = sorted(v for e in root.iter() for v in (*e.attrib.values(), e.text) if v)
    assert sorted(leaf.value for leaf in found.leaves) == values
    assert len({leaf.path for leaf in found.leaves}) == len(found.leaves)
    assume(found.leaves)
    place = data.draw(st.integers(0, len(found.leaves) - 1))
    again = document(found.with_value(found.leaves[place], "<&\"'>"))
    before = [(leaf.path, leaf.value) for leaf in found.leaves]
    before[place] = (before[place][0], "<&\"'>")
    assert [(leaf.path, leaf.value) for leaf in again.leaves] == before
