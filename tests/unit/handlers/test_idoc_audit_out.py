"""What became of IDocs into ALEAUD and STATUS: read back as the same, to whoever sent them."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.effects import Open
from canonical.facts import Facts
from canonical.handler import Delivery
from handlers.systems.idoc.audit_out import MAX_STATUSES, Outcome, Reports, reports
from handlers.systems.idoc.document import Segment
from handlers.systems.idoc.inbound import HANDLER
from handlers.systems.idoc.outbound import FORMS, write
from handlers.systems.idoc.status import IDocStatus, StatusReport, to_report
from handlers.systems.idoc.words import FAILED, ON_THE_WAY, POSTED, TELLINGS, Fate
from handlers.systems.idoc.writing import Parties
from tests.fixtures.gearbox import NOW, RULES
from tests.unit.handlers.idoc_out import (
    AT,
    assert_round_trip,
    codes,
    idocs,
    read_back,
    refused,
    texts,
    unsaid,
    written,
)

LONG = (
    "Case 12: The material group SEALS & RINGS of SEAL-2 is not known in plant 1010, and neither is"
    " the base unit of the packaging that it comes in (item-master/SEAL-2)"
)
TOLD = StatusReport(
    (
        IDocStatus("417001", "53", "Applied", "S", "MATMAS", "001", "X"),
        IDocStatus("417002", "51", LONG, "E", "MATMAS", "001", "X"),
        IDocStatus("417003", "64", "Waits behind IDoc 417002", "I", "ORDERS"),
    ),
    AT,
)
SET = StatusReport(
    (
        IDocStatus("417001", "41", "Applied", "S", "MATMAS"),
        IDocStatus("417002", "40", "Case 12: Seals & rings are not known", "E", "MATMAS"),
    ),
    AT,
)
# As an SAP system has it of an IDoc that it sends.
CONTROL = {
    "TABNAM": "EDI_DC40",
    "MANDT": "100",
    "DOCNUM": "0000000000417001",
    "DIRECT": "1",
    "IDOCTYP": "MATMAS05",
    "MESTYP": "MATMAS",
    "SNDPOR": "SAPGBX",
    "SNDPRT": "LS",
    "SNDPRN": "GBXCLNT100",
    "RCVPOR": "LAYSHAFT",
    "RCVPRT": "LS",
    "RCVPRN": "LAYSHAFT",
}
FATES: tuple[Fate, ...] = get_args(Fate)


def outcome(fate: Fate = "posted", words: str = "", /, **fields: str) -> Outcome:
    return Outcome(Segment("EDI_DC40", CONTROL | fields, (), 3), fate, words)


def told(*outcomes: Outcome, message: str = "ALEAUD") -> Reports:
    """What is told of them; it is read back as the same, but for what has no place."""
    found = reports(outcomes, message, AT)
    for _, report in found.addressed:
        assert_round_trip(message, report if message == "ALEAUD" else untyped(report))
    return found


def untyped(report: StatusReport) -> StatusReport:
    blank = {"message_type": "", "message_code": "", "message_function": ""}
    its = tuple(msgspec.structs.replace(one, **blank) for one in report.statuses)
    return msgspec.structs.replace(report, statuses=its)


def body(found: Reports, message: str = "ALEAUD") -> bytes:
    return write(FORMS[message], found.addressed, AT).body


def cases(content: bytes) -> list[Open]:
    """What our own reader asks a person about, where it is told so."""
    message = HANDLER.read(Delivery("erp", "", content))
    effects = HANDLER.decide(message, Facts(RULES), NOW)
    return [effect for effect in effects if isinstance(effect, Open)]


def lines(words: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Words with one blank between two of them."""
    return words.map(lambda text: " ".join(text.split()))


# --- there and back ---


def statuses(message: str) -> st.SearchStrategy[IDocStatus]:
    is_audit = message == "ALEAUD"
    known = sorted(
        status for status in POSTED | FAILED.keys() | ON_THE_WAY if (status >= "50") == is_audit
    )
    return st.builds(
        IDocStatus,
        number=codes(16),
        status=st.sampled_from(known),
        text=lines(texts(200 if is_audit else 80)),
        severity=st.sampled_from(["", "S", "W", "E", "I", "A"]),
        message_type=codes(30) if is_audit else st.just(""),
        message_code=st.just("") | codes(3) if is_audit else st.just(""),
        message_function=st.just("") | codes(3) if is_audit else st.just(""),
    )


@pytest.mark.parametrize("message", ["ALEAUD", "STATUS"])
@given(data=st.data())
def test_statuses_come_back_as_they_went_out(message: str, data: st.DataObject) -> None:
    some = data.draw(st.lists(statuses(message), min_size=1, max_size=4))
    assert_round_trip(message, StatusReport(tuple(some), AT))


@pytest.mark.parametrize("message", ["ALEAUD", "STATUS"])
@given(
    ends=st.lists(st.tuples(st.sampled_from(FATES), st.text(max_size=400)), min_size=1, max_size=5)
)
def test_what_became_of_idocs_is_read_as_that_whatever_the_words(
    message: str, ends: list[tuple[Fate, str]]
) -> None:
    outcomes = [
        outcome(fate, words, DOCNUM=f"{number:016d}")
        for number, (fate, words) in enumerate(ends, start=417001)
    ]
    found = told(*outcomes, message=message)
    assert found.untellable == ()
    ((_, report),) = found.addressed
    place = 0 if message == "ALEAUD" else 1
    assert [(one.number, one.status) for one in report.statuses] == [
        (one.control.get("DOCNUM").lstrip("0"), TELLINGS[one.fate][place]) for one in outcomes
    ]
    failing = [one for one in outcomes if TELLINGS[one.fate][place] in FAILED]
    assert [case.code for case in cases(body(found, message))] == ["idoc-not-taken"] * len(failing)


@pytest.mark.parametrize(
    ("fate", "taken_in", "sent", "severity"),
    [
        ("posted", "53", "41", "S"),
        ("posted in part", "52", "41", "W"),
        ("waiting", "64", "39", "I"),
        ("refused", "51", "40", "E"),
        ("let go", "68", "40", "E"),
    ],
)
def test_a_fate_has_a_status_where_the_idoc_came_in_and_one_where_it_was_sent(
    fate: Fate, taken_in: str, sent: str, severity: str
) -> None:
    for message, status in (("ALEAUD", taken_in), ("STATUS", sent)):
        ((_, report),) = told(outcome(fate, "why"), message=message).addressed
        (one,) = report.statuses
        assert (one.status, one.severity, one.text) == (status, severity, "why")


def test_the_case_of_a_refused_idoc_says_to_our_own_reader_what_was_written() -> None:
    (case,) = cases(body(told(outcome("refused", "Case 7: R&D does not know &1 of it"))))
    assert case.where == "IDoc 417001, MATMAS"
    assert case.what == (
        "The IDoc was not taken: not posted (51). Case 7: R&D does not know &1 of it"
    )


# --- the form ---


def test_an_audit_has_a_header_for_each_message_type_and_a_state_for_each_idoc() -> None:
    (found,) = idocs(written("ALEAUD", TOLD))
    first, second = found.root.children
    assert first.fields == {
        "MESTYP": "MATMAS",
        "MESCOD": "001",
        "MESFCT": "X",
        "MESTYP_LNG": "MATMAS",
    }
    assert second.fields == {"MESTYP": "ORDERS", "MESTYP_LNG": "ORDERS"}
    posted, failed = first.children
    assert posted.fields == {
        "DOCNUM": "0000000000417001",
        "STATUS": "53",
        "STATXT": "Applied",
        "STATYP": "S",
    }
    assert failed.fields == {
        "DOCNUM": "0000000000417002",
        "STATUS": "51",
        "STATXT": "Case 12: The material group SEALS &1 &2 &3",
        "STATYP": "E",
        "STAPA1_LNG": "& RINGS of SEAL-2 is not known in plant 1010, and",
        "STAPA2_LNG": "neither is the base unit of the packaging that it",
        "STAPA3_LNG": "comes in (item-master/SEAL-2)",
    }


def test_a_status_message_has_a_record_for_each_idoc_with_its_time() -> None:
    (found,) = idocs(written("STATUS", SET))
    posted, failed = found.root.children
    assert [posted.name, failed.name] == ["E1STATS", "E1STATS"]
    assert posted.fields == {
        "DOCNUM": "0000000000417001",
        "LOGDAT": "20260302",
        "LOGTIM": "081504",
        "STATUS": "41",
        "STATXT": "Applied",
        "STATYP": "S",
    }
    assert failed.fields == {
        "DOCNUM": "0000000000417002",
        "LOGDAT": "20260302",
        "LOGTIM": "081504",
        "STATUS": "40",
        "STATXT": "Case 12: Seals &1&2",
        "STAPA1": "& rings are not know",
        "STAPA2": "n",
        "STATYP": "E",
    }


def test_a_message_type_of_more_than_six_characters_stands_in_the_long_field_alone() -> None:
    report = StatusReport((IDocStatus("1", "53", message_type="SHPMNT_REPLICATE"),), AT)
    (header,) = idocs(written("ALEAUD", report))[0].root.children
    assert header.fields == {"MESTYP_LNG": "SHPMNT_REPLICATE"}


def test_a_status_message_has_no_place_for_what_kind_of_idoc_it_was() -> None:
    assert unsaid("STATUS", SET) == {"statuses.message_type": 2}
    assert unsaid("ALEAUD", TOLD) == {}


# --- to whom ---


def test_it_goes_back_the_way_that_the_idoc_came() -> None:
    ((parties, _),) = told(outcome()).addressed
    assert parties == Parties(
        sender="LAYSHAFT",
        receiver="GBXCLNT100",
        sender_port="LAYSHAFT",
        receiver_port="SAPGBX",
        client="100",
    )
    (found,) = idocs(body(told(outcome())))
    names = ("MESTYP", "IDOCTYP", "SNDPRN", "RCVPRN", "RCVPOR", "MANDT", "DIRECT", "TEST")
    assert [found.control.get(name) for name in names] == [
        "ALEAUD", "ALEAUD01", "LAYSHAFT", "GBXCLNT100", "SAPGBX", "100", "2", "",
    ]  # fmt: skip


def test_tests_are_answered_as_tests_and_each_sender_by_itself() -> None:
    found = told(
        outcome(),
        outcome("refused", "Case 3: The IDoc is marked as a test", DOCNUM="2", TEST="X"),
        outcome(DOCNUM="3", SNDPRN="OTHCLNT200", MANDT="200"),
        outcome(DOCNUM="4"),
    )
    assert [
        (parties.receiver, parties.is_test, [one.number for one in report.statuses])
        for parties, report in found.addressed
    ] == [
        ("GBXCLNT100", False, ["417001", "4"]),
        ("GBXCLNT100", True, ["2"]),
        ("OTHCLNT200", False, ["3"]),
    ]
    assert [idoc.is_test for idoc in idocs(body(found))] == [False, True, False]


def test_idocs_of_a_message_type_stand_together_in_the_order_in_which_they_came() -> None:
    found = told(
        outcome(DOCNUM="9", MESTYP="ORDERS"),
        outcome(DOCNUM="8"),
        outcome(DOCNUM="7", MESTYP="ORDERS"),
        outcome(DOCNUM="6"),
    )
    ((_, report),) = found.addressed
    assert [one.number for one in report.statuses] == ["8", "6", "9", "7"]
    (idoc,) = idocs(body(found))
    assert [header.get("MESTYP") for header in idoc.root.children] == ["MATMAS", "ORDERS"]


def test_one_audit_tells_of_as_many_idocs_as_saps_own() -> None:
    found = told(*(outcome(DOCNUM=str(number)) for number in range(1, MAX_STATUSES + 3)))
    assert [len(report.statuses) for _, report in found.addressed] == [500, 2]
    too_many = StatusReport((IDocStatus("1", "53"),) * (MAX_STATUSES + 1), AT)
    assert refused("ALEAUD", too_many).where == "idoc-statuses/1: E1STATE"
    many = msgspec.structs.replace(too_many, statuses=(IDocStatus("1", "41"),) * 501)
    assert refused("STATUS", many).where == "idoc-statuses/1: E1STATS"


# --- what cannot be told ---


@pytest.mark.parametrize(
    "fields",
    [
        {"DOCNUM": ""},
        {"DOCNUM": "/"},
        {"DOCNUM": "1" * 17},
        {"SNDPRN": ""},
        {"RCVPRN": ""},
        {"SNDPRN": "Company_IDOC_ID"},
        {"SNDPOR": "a port\u202e"},
        {"MESTYP": "M" * 31},
        {"MESCOD": "FOUR"},
        {"MANDT": "1000"},
    ],
    ids=str,
)
@pytest.mark.parametrize("message", ["ALEAUD", "STATUS"])
def test_an_idoc_that_cannot_be_answered_keeps_no_other_from_its_answer(
    message: str, fields: dict[str, str]
) -> None:
    found = told(outcome(**fields), outcome(DOCNUM="2"), message=message)
    told_of = [one.number for _, report in found.addressed for one in report.statuses]
    if message == "STATUS" and ("MESTYP" in fields or "MESCOD" in fields):
        # It says no message type.
        assert sorted(told_of) == ["2", "417001"]
        return
    assert told_of == ["2"]
    ((untellable, failure),) = found.untellable
    assert untellable == outcome(**fields)
    assert failure.what
    assert failure.where


def test_words_that_are_too_long_are_cut_and_say_so() -> None:
    for message, longest in (("ALEAUD", 200), ("STATUS", 80)):
        ((_, report),) = told(outcome("refused", "word " * 200), message=message).addressed
        (text,) = (one.text for one in report.statuses)
        assert text.startswith("word word")
        assert text.endswith("...")
        assert len(text) >= longest


def test_words_of_several_lines_and_of_characters_that_no_field_takes_are_told_too() -> None:
    ((_, report),) = told(outcome("refused", " a\n\tb  c\x00 \u3164\ufe0f")).addressed
    (text,) = (one.text for one in report.statuses)
    assert text == "a b c \\u3164\\ufe0f"


@pytest.mark.parametrize(
    ("message", "one", "where"),
    [
        ("ALEAUD", IDocStatus("1", "41"), "IDoc 1: E1STATE STATUS"),
        ("ALEAUD", IDocStatus("1", "99"), "IDoc 1: E1STATE STATUS"),
        ("ALEAUD", IDocStatus("1", "53", "x" * 300), "IDoc 1: E1STATE STATXT"),
        ("ALEAUD", IDocStatus("1", "53", "/"), "IDoc 1: E1STATE STATXT"),
        ("ALEAUD", IDocStatus("1" * 17, "53"), f"IDoc {'1' * 17}: E1STATE DOCNUM"),
        ("ALEAUD", IDocStatus("007", "53"), "idoc-statuses/007 statuses[0].number"),
        ("STATUS", IDocStatus("1", "53"), "IDoc 1: E1STATS STATUS"),
        ("STATUS", IDocStatus("1", "41", "x" * 160), "IDoc 1: E1STATS STATXT"),
    ],
)
def test_what_a_field_cannot_say_is_refused_with_its_place(
    message: str, one: IDocStatus, where: str
) -> None:
    found = refused(message, StatusReport((one,), AT))
    assert (found.code, found.where) == ("idoc-inexpressible", where)


def test_a_status_message_of_no_time_and_a_report_of_nothing_are_refused() -> None:
    of_no_time = StatusReport((IDocStatus("1", "41"),))
    assert refused("STATUS", of_no_time).where == "IDoc 1: E1STATS LOGDAT, LOGTIM"
    for message in ("ALEAUD", "STATUS"):
        assert refused(message, StatusReport((), AT)).where == "idoc-statuses"


def test_what_is_written_is_a_report_of_its_own_to_our_reader() -> None:
    found: list[Any] = read_back(written("ALEAUD", TOLD, TOLD))
    assert [one.statuses for one in found] == [TOLD.statuses] * 2
    (first, _) = idocs(written("ALEAUD", TOLD, TOLD))
    assert to_report(first, AT) == TOLD
