"""What became of IDocs that were sent: cases for those that were not taken, and nothing else."""

from __future__ import annotations

import pytest

from canonical.effects import Open
from canonical.errors import InvalidMessage
from canonical.facts import Facts
from canonical.handler import Delivery
from handlers.systems.idoc.inbound import HANDLER
from handlers.systems.idoc.status import to_report
from handlers.systems.idoc.words import FAILED, ON_THE_WAY, POSTED
from tests.corpus import CORPUS
from tests.fixtures.gearbox import NOW, RULES

AUDIT = (CORPUS / "idoc" / "aleaud.made.xml").read_text()
STATUS = (CORPUS / "idoc" / "status.made.xml").read_text()


def told(text: str) -> tuple[str, list[Open]]:
    """Key and cases of a document."""
    message = HANDLER.read(Delivery("erp", "", text.encode()))
    effects = HANDLER.decide(message, Facts(RULES), NOW)
    cases = [effect for effect in effects if isinstance(effect, Open)]
    assert len(cases) == len(effects)
    assert all(case.remedy for case in cases)
    return message.envelope.key, cases


def test_an_idoc_that_was_not_posted_is_a_case_with_the_text_of_the_receiver() -> None:
    key, cases = told(AUDIT)
    assert key == "idoc-statuses/417005"
    assert [(case.code, case.owner, case.where) for case in cases] == [
        ("idoc-not-taken", "business", "IDoc 1772439304000022, MATMAS"),
        ("idoc-not-taken", "business", "IDoc 1772439304000024, BOMMAT"),
        ("idoc-status-unknown", "operations", "IDoc 1772439304000025, BOMMAT"),
    ]
    assert cases[0].what == (
        "The IDoc was not taken: not posted (51). Material group SEALS of SEAL-2 does not exist"
        " in R&D"
    )
    assert cases[1].what == "The IDoc was not taken: not posted completely (52). 29 008"


def test_what_an_edi_subsystem_refuses_is_a_case_too() -> None:
    key, (case,) = told(STATUS)
    assert key == "idoc-status/1772439305000000"
    assert case.what == (
        "The IDoc was not taken: refused (17). Order 4500000001, line 20: the number of the"
        " material is unknown"
    )


@pytest.mark.parametrize("status", ["53", "41", "16", "64", "01"])
def test_an_idoc_that_is_taken_or_on_the_way_is_no_case(status: str) -> None:
    assert told(STATUS.replace("<STATUS>17<", f"<STATUS>{status}<"))[1] == []


@pytest.mark.parametrize("status", ["", "/", "00", "43", "76", "5", "051", "X"])
def test_a_status_that_nobody_knows_is_a_case(status: str) -> None:
    (case,) = told(STATUS.replace("<STATUS>17<", f"<STATUS>{status}<"))[1]
    assert case.code == "idoc-status-unknown"


def test_every_status_of_sap_means_one_thing() -> None:
    parts = [POSTED, FAILED.keys(), ON_THE_WAY]
    assert sum(map(len, parts)) == len(frozenset().union(*parts)) == 42 + 26


def test_a_parameter_that_has_a_place_in_it_stays_as_it_is() -> None:
    text = STATUS.replace("<STAPA1>4500000001<", "<STAPA1>A &amp;2 B<")
    assert "Order A &2 B, line 20:" in told(text)[1][0].what


def test_numbers_are_known_without_their_padding() -> None:
    padded = STATUS.replace("<DOCNUM>1772439305000000<", "<DOCNUM>0000000000000815<")
    key, (case,) = told(padded)
    assert (key, case.where) == ("idoc-status/815", "IDoc 815")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (STATUS.replace("E1STATS", "E1STATX"), "segment-missing"),
        (STATUS.replace("<DOCNUM>1772439305000000<", "<DOCNUM><"), "field-missing"),
    ],
)
def test_a_status_of_nothing_is_refused_with_its_place(text: str, code: str) -> None:
    with pytest.raises(InvalidMessage) as refused:
        HANDLER.read(Delivery("erp", "", text.encode()))
    assert refused.value.code == code
    assert refused.value.where


def test_a_parameter_that_is_named_very_often_makes_no_text_without_end() -> None:
    text = STATUS.replace("Order &amp;, line &amp;", "&amp;1" * 10_000)
    text = text.replace("<STAPA1>4500000001<", f"<STAPA1>{'x' * 10_000}<")
    message = HANDLER.read(Delivery("erp", "", text.encode()))
    (told_of,) = to_report(message.payload.idocs[0], NOW).statuses
    assert told_of.text.startswith("xxxx")
    assert len(told_of.text) < 100_000


def test_a_report_tells_all_statuses_with_what_each_idoc_was() -> None:
    report = to_report(HANDLER.read(Delivery("erp", "", AUDIT.encode())).payload.idocs[0], NOW)
    assert [(one.number[-2:], one.status, one.message_type) for one in report.statuses] == [
        ("21", "53", "MATMAS"),
        ("22", "51", "MATMAS"),
        ("23", "64", "MATMAS"),
        ("24", "52", "BOMMAT"),
        ("25", "99", "BOMMAT"),
    ]
    assert [one.severity for one in report.statuses] == ["S", "E", "", "", ""]
    assert report.statuses[0].text == "The material SEAL-1 has been changed"
    assert report.statuses[1].text == "Material group SEALS of SEAL-2 does not exist in R&D"
    (from_edi,) = to_report(
        HANDLER.read(Delivery("erp", "", STATUS.encode())).payload.idocs[0], NOW
    ).statuses
    assert (from_edi.number, from_edi.status, from_edi.message_type) == (
        "1772439305000000", "17", "",
    )  # fmt: skip
