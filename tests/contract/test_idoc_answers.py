"""Whatever kind of IDoc a system sends, it can be told what became of it, in words that the driver
itself takes for that and for nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from typing import get_args

import msgspec
import pytest

from canonical.effects import Open
from canonical.facts import Facts
from canonical.handler import Delivery
from handlers.systems.idoc import status
from handlers.systems.idoc.audit_out import Outcome, reports
from handlers.systems.idoc.document import IDoc, read_idocs
from handlers.systems.idoc.inbound import HANDLER, KINDS, LIMITS
from handlers.systems.idoc.outbound import FORMS, write
from handlers.systems.idoc.status import to_report
from handlers.systems.idoc.words import FAILED, TELLINGS, Fate
from tests.corpus import CORPUS
from tests.fixtures.gearbox import NOW, RULES

AT = datetime(2026, 3, 2, 8, 15, 4, 21, tzinfo=UTC)
FATES: tuple[Fate, ...] = get_args(Fate)
ANSWERS = {status.AUDIT: 0, status.STATUS: 1}
# SAP's own test data has names of partners that no partner can have.
PARTNERS = {"SNDPRN": "GBXCLNT100", "RCVPRN": "LAYSHAFT"}


def sent() -> list[IDoc]:
    """The IDocs of each file of the corpus, from a partner that there can be."""
    found = []
    for file in sorted((CORPUS / "idoc").glob("*.xml")):
        for idoc in read_idocs(BytesIO(file.read_bytes()), LIMITS):
            fields = {**idoc.control.fields, **PARTNERS}
            control = msgspec.structs.replace(idoc.control, fields=fields)
            found.append(msgspec.structs.replace(idoc, control=control))
    return found


SENT = {idoc.kind: idoc for idoc in sent()}
TAKEN = [kind for kind in KINDS if kind[0] not in ANSWERS]


def test_every_kind_that_is_taken_has_one_to_be_answered() -> None:
    # An ORDCHG is an ORDERS that is marked as one.
    assert {kind for kind in TAKEN if kind[0] != "ORDCHG"} <= SENT.keys()


@pytest.mark.parametrize("fate", FATES)
@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("kind", SENT, ids=" ".join)
def test_an_answer_says_of_which_idoc_it_is_and_what_became_of_that(
    kind: tuple[str, str], answer: str, fate: Fate
) -> None:
    control = SENT[kind].control
    told = reports([Outcome(control, fate, "Case 7: & so on")], answer, AT)
    assert told.untellable == ()
    body = write(FORMS[answer], told.addressed, AT).body
    message = HANDLER.read(Delivery("erp", "", body))
    (idoc,) = message.payload.idocs
    assert (idoc.control.get("RCVPRN"), idoc.control.get("SNDPRN")) == tuple(PARTNERS.values())
    (one,) = to_report(idoc, AT).statuses
    expected = TELLINGS[fate][ANSWERS[answer]]
    number = control.get("DOCNUM").lstrip("0")
    assert (one.number, one.status, one.text) == (number, expected, "Case 7: & so on")
    assert message.envelope.key == f"idoc-status/{number}"
    cases = HANDLER.decide(message, Facts(RULES), NOW)
    assert all(isinstance(case, Open) for case in cases)
    assert len(cases) == (expected in FAILED)
    if answer == status.AUDIT:
        assert one.message_type == kind[0]
