"""What holds for every kind of IDoc: its golden, and that damage is refused with its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canonical.errors import InvalidMessage
from canonical.facts import Facts
from canonical.handler import Delivery
from handlers.systems.idoc.inbound import HANDLER
from tests.corpus import CORPUS, golden
from tests.fixtures.gearbox import NOW, RULES

FOLDER = CORPUS / "idoc"
DOCUMENTS = sorted(FOLDER.glob("*.xml"))
MADE = [document for document in DOCUMENTS if document.name.endswith(".made.xml")]

# What fields really hold, and what they should not.
VALUES = ["", "/", "0", "00000000", "99991231", "X", "-1", "10.000-", "1.5", "12/7", "~", "9" * 30]

Change = Callable[[ET.Element, int], None]

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


@pytest.mark.parametrize("document", MADE, ids=lambda path: path.name)
def test_a_document_of_ours_comes_to_its_golden(document: Path) -> None:
    message = HANDLER.read(Delivery("erp", "", document.read_bytes()))
    found = golden(HANDLER.decide(message, Facts(RULES), NOW))
    assert found == document.with_suffix(".golden.json").read_text()


def test_every_document_has_a_golden_and_a_source() -> None:
    sources = (FOLDER / "SOURCE.txt").read_text()
    for document in DOCUMENTS:
        assert document.with_suffix(".golden.json").exists()
        assert document.name in sources


def mutated(data: st.DataObject, document: Path) -> bytes:
    """The document with segments dropped, twice or in another order, and fields that say something
    else or the same with zeros in front."""
    root = ET.fromstring(document.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        parents = [element for element in root.iter() if len(element) and element is not root]
        parent = data.draw(st.sampled_from(parents))
        at = data.draw(st.integers(0, len(parent) - 1))
        child = parent[at]
        match data.draw(st.sampled_from(["drop", "twice", "last", "value", "pad"])):
            case "drop":
                parent.remove(child)
            case "twice":
                parent.insert(at, child)
            case "last":
                parent.remove(child)
                parent.append(child)
            case "value" if not len(child):
                child.text = data.draw(st.sampled_from(VALUES))
            case "pad" if not len(child):
                child.text = f"000{child.text or ''}"
        if not any(len(element) for element in root):
            break
    return ET.tostring(root)


def refusal(body: bytes) -> InvalidMessage | None:
    """Why it is refused; None where it is understood. Anything else that is raised is a defect."""
    try:
        message = HANDLER.read(Delivery("erp", "", body))
        HANDLER.decide(message, Facts(RULES), NOW)
    except InvalidMessage as refused:
        return refused
    return None


def says(text: str) -> Change:
    """The change after which a field says so; a segment stays as it is."""

    def change(parent: ET.Element, at: int) -> None:
        if not len(parent[at]):
            parent[at].text = text

    return change


# Of the child at a place of its parent.
CHANGES: list[Change] = [
    lambda parent, at: parent.remove(parent[at]),
    lambda parent, at: parent.insert(at, parent[at]),
    lambda parent, at: parent.append(parent[at]),
    *map(says, VALUES),
]


def changed_once(document: Path) -> Iterator[bytes]:
    """The document with each change at each place, one at a time."""
    text = document.read_bytes()
    places = [
        (number, at)
        for number, parent in enumerate(ET.fromstring(text).iter())
        for at in range(len(parent))
    ]
    for number, at in places:
        for change in CHANGES:
            root = ET.fromstring(text)
            change(list(root.iter())[number], at)
            yield ET.tostring(root)


@pytest.mark.parametrize("document", MADE, ids=lambda path: path.name)
def test_each_field_and_segment_may_be_damaged_and_is_refused_with_its_place(
    document: Path,
) -> None:
    for body in changed_once(document):
        refused = refusal(body)
        assert refused is None or (refused.where and refused.remedy)


@each_document
@settings(max_examples=100)
@given(data=st.data())
def test_a_damaged_document_is_understood_or_refused_with_its_place(
    document: Path, data: st.DataObject
) -> None:
    refused = refusal(mutated(data, document))
    assert refused is None or (refused.where and refused.remedy)
