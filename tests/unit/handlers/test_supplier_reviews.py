"""The review of a supplier is closed where it is held once its question is over, whichever way."""

from __future__ import annotations

from datetime import date

import msgspec
import pytest

from canonical.effects import Decide, Effect, Plan
from canonical.envelope import Envelope, Message
from canonical.events import ApprovalDecided, ApprovalWithdrawn, SupplierReviewDecided
from canonical.facts import Document, Facts
from canonical.handler import Handler
from canonical.operations import CloseReview, RequestReview
from canonical.review import asked_for, review_reference
from canonical.rules import Route, Rules
from handlers.flows.supplier_reviews import DECIDED as DECIDED_THERE
from handlers.flows.supplier_reviews import GRANTED, REFUSED, WITHDRAWN
from tests.fixtures.gearbox import CHANGE, EVERYTHING, NOW, RULES, decide, supplier
from tests.unit.handlers.plans import Book, learned, nothing

DECIDED = ApprovalDecided("ECO-7", "supplier-qualification", "S-3", "ann", NOW, "audited")
TAKEN_BACK = ApprovalWithdrawn("ECO-7", "supplier-qualification", "S-3")
APPROVAL = "|quality|supplier|S-3|approve"
REVIEW = "|procurement|supplier|S-3|request-review"


def decided(
    handler: Handler, said: msgspec.Struct, rules: Rules = RULES, sequence: int = 12
) -> tuple[Effect, ...]:
    event = handler.types[0]
    envelope = Envelope(
        "e-1", "layshaft", event, "engineering-change/ECO-7", sequence=sequence, lane="critical"
    )
    return handler.decide(Message(envelope, said), Facts(rules), NOW)


@pytest.mark.parametrize(
    ("handler", "said", "verdict", "reason"),
    [
        (GRANTED, DECIDED, "approved", "ann in Layshaft: audited"),
        (REFUSED, DECIDED, "rejected", "ann in Layshaft: audited"),
        (WITHDRAWN, TAKEN_BACK, "withdrawn", "ECO-7 does not need it any more"),
    ],
    ids=["granted", "refused", "withdrawn"],
)
def test_the_review_is_closed_with_what_its_question_came_to(
    handler: Handler, said: msgspec.Struct, verdict: str, reason: str
) -> None:
    (plan,) = decided(handler, said)
    assert isinstance(plan, Plan)
    assert (plan.key, plan.version) == ("supplier-review/ECO-7:S-3", 12)
    (step,) = plan.steps
    assert (step.identity, step.lane) == ("|procurement|supplier|S-3|close-review", "critical")
    assert msgspec.to_builtins(step.operation) == {
        "type": "close-review",
        "supplier": "S-3",
        "reference": "layshaft:ECO-7:S-3",
        "verdict": verdict,
        "reason": reason,
    }


def test_it_is_closed_where_it_was_asked_for_and_is_about_the_same_object() -> None:
    asking = decide(CHANGE, learned(nothing(), *EVERYTHING))[0]
    (requested,) = [s for s in asking.steps if s.identity == REVIEW]
    (plan,) = decided(GRANTED, DECIDED)
    assert isinstance(plan, Plan)
    (close,) = plan.steps
    assert isinstance(close.operation, CloseReview)
    assert isinstance(requested.operation, RequestReview)
    # One target object: the calls about it are made one after the other.
    assert close.identity.rpartition("|")[0] == requested.identity.rpartition("|")[0]
    assert close.operation.reference == requested.operation.reference
    told = msgspec.structs.replace(
        RULES, routes=(*RULES.routes, Route("procurement", "*", "suite", date(2020, 1, 1)))
    )
    (plan,) = decided(GRANTED, DECIDED, told)
    assert isinstance(plan, Plan)
    assert plan.steps[0].system == "suite"


def test_other_questions_have_no_review() -> None:
    assert decided(GRANTED, msgspec.structs.replace(DECIDED, question="mass-change")) == ()


def asked(*, sent: bool = True) -> tuple[Book, Facts]:
    """Quality is asked about S-3; procurement was told, or could not be yet."""
    book = Book()
    book.away = () if sent else (REVIEW,)
    return book, replanned(book, nothing(), *EVERYTHING)


def replanned(book: Book, known: Facts, *documents: Document) -> Facts:
    """These documents became known, the change was planned again, and what could be done was."""
    now_known = learned(known, *documents)
    book.plan(decide(CHANGE, now_known)[0])
    book.work()
    return now_known


@pytest.mark.parametrize("granted", [True, False])
def test_what_was_not_sent_is_not_sent_after_the_decision(granted: bool) -> None:
    book, known = asked(sent=False)
    assert book.states("request-review") == {"S-3": "ready"}
    book.decide(APPROVAL, granted=granted)
    assert book.states("request-review") == {"S-3": "cancelled"}
    book.away = ()
    book.work()
    replanned(book, known)
    assert book.states("request-review") == {"S-3": "cancelled"}
    assert book.is_complete() == granted


@pytest.mark.parametrize("granted", [True, False])
def test_what_was_sent_before_the_decision_stays_as_it_is(granted: bool) -> None:
    book, known = asked()
    book.decide(APPROVAL, granted=granted)
    book.work()
    replanned(book, known)
    assert book.states("request-review") == {"S-3": "done"}


def test_a_question_that_comes_back_is_asked_for_once_more() -> None:
    book, known = asked()
    known = replanned(book, known, supplier("S-3"))
    assert book.states("request-review") == {"S-3": "superseded"}
    replanned(book, known, supplier("S-3", "in_qualification"))
    assert book.states("approve") == {"S-3": "ready"}
    assert book.states("request-review") == {"S-3": "done"}


# Decided there


@pytest.mark.parametrize(
    ("by", "reason", "words"),
    [
        ("M. Reiter", "audited", "M. Reiter in suite: audited"),
        ("M. Reiter", "", "M. Reiter in suite"),
        ("", "audited", "somebody in suite: audited"),
    ],
)
def test_what_is_decided_there_is_decided_here_in_the_name_of_the_system(
    by: str, reason: str, words: str
) -> None:
    said = SupplierReviewDecided("ECO-7", "S-3", "rejected", by, reason, origin="suite")
    assert decided(DECIDED_THERE, said) == (
        Decide(
            ledger="engineering-change/ECO-7",
            question="supplier-qualification",
            about="S-3",
            verdict="rejected",
            by="suite",
            reason=words,
        ),
    )


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("layshaft:ECO-7:S-3", ("ECO-7", "S-3")),
        ("layshaft:A:7:S-3", ("A:7", "S-3")),
        ("layshaft:ECO-7", None),
        ("layshaft::S-3", None),
        ("layshaft:ECO-7:", None),
        ("somebody:ECO-7:S-3", None),
        ("", None),
    ],
)
def test_a_reference_of_ours_names_change_and_supplier(
    reference: str, expected: tuple[str, str] | None
) -> None:
    assert asked_for(reference) == expected
    if expected is not None:
        assert review_reference(*expected) == reference
