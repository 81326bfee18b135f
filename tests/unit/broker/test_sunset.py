"""Contracts that end: the owner is told before, and after its day nothing is taken by them."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from broker.intake import Arrival, Work, read_arrival
from broker.sunset import Ending, refuse_ended, warning
from canonical.envelope import Envelope, Message
from canonical.errors import InvalidMessage, Rejected
from canonical.handler import Delivery, Handler, no_needs

ENDING = Ending("plm", "arena.change", date(2026, 3, 31), "PLM team")
ENDINGS = {("plm", "arena.change"): ENDING}
IN_TIME = datetime(2026, 3, 31, 23, 59, tzinfo=UTC)
AFTER = datetime(2026, 4, 1, tzinfo=UTC)


def work(contract: str = "arena.change", source: str = "plm") -> Work:
    """An arrival by that contract."""
    envelope = Envelope(id="1", source=source, type=contract, key="engineering-change/ECO-1")
    handler = Handler(
        name="changes",
        scope="arena",
        types=(contract,),
        read=lambda delivery: Message(envelope, None),
        needs=no_needs,
        decide=lambda message, facts, now: (),
    )
    arrival = Arrival(Delivery(source, "change", b"1"), "standard", "queue")
    return read_arrival(arrival, lambda delivery: handler)


def test_on_its_last_day_a_contract_is_taken() -> None:
    assert refuse_ended(work(), now=IN_TIME, endings=ENDINGS).failure is None


def test_after_its_last_day_a_message_is_a_case_of_its_owner_and_holds_its_key() -> None:
    refused = refuse_ended(work(), now=AFTER, endings=ENDINGS)
    assert isinstance(refused.failure, Rejected)
    assert (refused.failure.code, refused.failure.owner) == ("contract-ended", "PLM team")
    assert refused.failure.what == "plm still sends arena.change, which was taken until 2026-03-31"
    assert refused.order_key == ("arena", "engineering-change/ECO-1")


@pytest.mark.parametrize("other", [work("pdx.package"), work(source="other-plm")])
def test_other_contracts_and_other_sources_are_not_meant(other: Work) -> None:
    assert refuse_ended(other, now=AFTER, endings=ENDINGS).failure is None


def test_what_cannot_be_read_is_refused_for_that() -> None:
    def refuse(delivery: Delivery) -> Handler:
        raise InvalidMessage("unreadable", "No")

    unread = read_arrival(Arrival(Delivery("plm", "change", b"1"), "standard", "queue"), refuse)
    assert refuse_ended(unread, now=AFTER, endings=ENDINGS) == unread


@pytest.mark.parametrize(
    ("today", "messages", "is_told"),
    [
        (date(2026, 2, 28), 1, False),
        (date(2026, 3, 1), 1, True),
        (date(2026, 3, 31), 1, True),
        (date(2026, 3, 31), 0, False),
        (date(2026, 4, 1), 1, False),
    ],
)
def test_the_owner_is_told_from_thirty_days_before_while_it_is_used(
    today: date, messages: int, is_told: bool
) -> None:
    case = warning(ENDING, today=today, messages=messages)
    assert (case is not None) == is_told
    if case:
        assert (case.code, case.owner, case.place) == (
            "contract-ends-soon",
            "PLM team",
            "plm arena.change",
        )
