"""What holds for every kind of IDoc: it comes to its golden, and it is said where it is from."""

from __future__ import annotations

from pathlib import Path

import pytest

from canonical.facts import Facts
from canonical.handler import Delivery
from handlers.systems.idoc.inbound import HANDLER
from tests.corpus import CORPUS, golden
from tests.fixtures.gearbox import NOW, RULES

FOLDER = CORPUS / "idoc"
DOCUMENTS = sorted(FOLDER.glob("*.xml"))
MADE = [document for document in DOCUMENTS if document.name.endswith(".made.xml")]


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
