"""Deciding a batch: in order per key, on the facts as predecessors left them, one failure alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from broker.application import RaceLost
from broker.blame import blamed
from broker.decision import Context, Desk, Verdict, refused_by_database, weigh
from broker.failpoints import FailPointHit
from broker.intake import Arrival, Work, read_arrival
from broker.policy import (
    Behind,
    DeadLetter,
    Disposition,
    Done,
    Invalid,
    Park,
    RetryAt,
    RetryPolicy,
    Schedule,
)
from broker.store import Position
from broker.store.documents import Stored, digest_of
from canonical.effects import Effect, Emit, Fetch, Put
from canonical.envelope import Envelope, Message
from canonical.errors import Conflict, InvalidMessage, Misconfigured, Rejected, Unavailable
from canonical.facts import Facts, Known
from canonical.handler import Delivery, Handler, Order, no_needs
from canonical.order import PurchaseOrder
from canonical.purchase_contract import ContractExpiring
from canonical.rules import Rules
from canonical.supplier import Qualification, Supplier

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CONTEXT = Context(
    rules=Rules((), (), (), "1"),
    policy=RetryPolicy(transient=Schedule((2,)), defect=Schedule((2,), 1)),
    now=NOW,
    jitter=lambda: 0.5,
)
Decide = Callable[[Facts], tuple[Effect, ...]]


def supplier(name: str) -> Supplier:
    return Supplier("S1", name, active=True, qualification=Qualification("qualified"))


def put(version: int, name: str = "A", stated: int = 0, key: str = "supplier/S1") -> Put:
    return Put(key, version, supplier(name), stated)


def stored(version: int, name: str = "A", stated: int = 0, row_version: int = 1) -> Stored:
    return Stored(
        Known(row_version, supplier(name)), version, stated, digest_of(put(version, name))
    )


def work(
    decide: Decide, *, key: str = "order/1", number: str = "1", order: Order = "strict"
) -> Work:
    """A message whose handler decides as given."""
    toy = Handler(
        name="toy",
        scope="flow",
        types=(),
        read=lambda d: Message(Envelope(id=number, source="s", type="t", key=key), None),
        needs=no_needs,
        decide=lambda message, facts, now: decide(facts),
        order=order,
    )
    arrival = Arrival(Delivery(source="s", kind="k", body=number.encode()), "standard", "q")
    return read_arrival(arrival, lambda delivery: toy)


def decided(desk: Desk, *works: Work) -> list[Verdict]:
    return [desk.fold(desk.decide(w)) for w in works]


def raising(error: Exception) -> Decide:
    def decide(facts: Facts) -> tuple[Effect, ...]:
        raise error

    return decide


def stating(*puts: Put) -> Decide:
    return lambda facts: puts


def test_what_follows_what_is_stored_is_newer_and_keeps_a_newer_order_of_its_own() -> None:
    known = {"supplier/S1": stored(7, stated=5)}
    for said, order in ((put(3, "B", 9), (7, 6)), (put(7, "B", 5), (7, 6)), (put(8, "B"), (8, 0))):
        desk = Desk(CONTEXT, documents=dict(known))
        (verdict,) = decided(desk, work(stating(replace(said, follows=True))))
        (kept,) = verdict.effects
        assert isinstance(kept, Put)
        assert (kept.order, verdict.fate) == (order, Done())


# Order and failures


def test_messages_of_a_key_see_what_their_predecessors_stated() -> None:
    seen: list[str | None] = []

    def look(facts: Facts) -> tuple[Effect, ...]:
        known = facts.supplier("S1")
        seen.append(known.name if known else None)
        return (put(len(seen), f"Name {len(seen)}"),)

    decided(Desk(CONTEXT), work(look), work(look), work(look, key="order/2"))
    assert seen == [None, "Name 1", "Name 2"]


def test_what_follows_a_failure_of_its_key_waits_and_other_keys_are_decided() -> None:
    no = Rejected("no", "no")
    verdicts = decided(
        Desk(CONTEXT),
        work(stating(), key="a"),
        work(raising(no), key="a"),
        work(stating(put(1)), key="a"),
        work(stating(put(1)), key="b"),
    )
    assert [v.fate for v in verdicts] == [Done(), Park(no), Behind(), Done()]
    assert [v.effects for v in verdicts] == [(), (), (), (put(1),)]


def test_what_a_failed_message_would_have_stated_is_no_fact() -> None:
    desk = Desk(CONTEXT, documents={"supplier/S1": stored(5, "Known")})
    same_version_other_content = stating(put(9, key="supplier/S2"), put(5, "Other"))
    [verdict] = decided(desk, work(same_version_other_content))
    assert isinstance(verdict.fate, Park)
    assert verdict.effects == ()
    assert "supplier/S2" not in desk.facts().documents


READING_CONTEXT = dataclasses.replace(CONTEXT, reads_from={"s": "erp"})


def notice(number: str = "1", decide: Decide = lambda facts: (Fetch("order", "1"),)) -> Work:
    """A message that tells no more than the key."""
    return work(decide, number=number, order="notification")


def test_what_is_to_be_read_is_read_where_its_source_says() -> None:
    (verdict,) = decided(Desk(READING_CONTEXT), notice())
    assert verdict.effects == (Fetch("order", "1", "erp"),)


@pytest.mark.parametrize(("reads_from", "origin"), [({}, "s"), ({"s": "erp"}, "erp")])
def test_an_event_says_which_system_it_comes_from_where_it_has_a_place_for_that(
    reads_from: dict[str, str], origin: str
) -> None:
    order = PurchaseOrder("PO-1", 7, "S-1", "EUR", ())
    named = replace(order, origin="suite")
    ended = ContractExpiring("C-1", "S-1", date(2027, 1, 31), 30)
    said = (
        Emit("purchase-order.created", "purchase-order/PO-1", order),
        Emit("purchase-order.created", "purchase-order/PO-1", named),
        Emit("contract.expiring", "contract/C-1", ended),
    )
    desk = Desk(dataclasses.replace(CONTEXT, reads_from=reads_from))
    (verdict,) = decided(desk, work(lambda facts: said))
    assert verdict.effects == (
        Emit("purchase-order.created", "purchase-order/PO-1", replace(order, origin=origin)),
        *said[1:],
    )


def test_a_notification_passes_a_read_of_its_key_and_a_statement_waits() -> None:
    first, second, other, third = decided(
        Desk(READING_CONTEXT), notice("1"), notice("2"), work(stating(put(1))), notice("3")
    )
    assert first.fate == second.fate == third.fate == Done()
    assert other.fate == Behind()


@pytest.mark.parametrize(("reading", "fate"), [(True, Done()), (False, Behind())])
def test_a_notification_waits_for_what_is_held_and_is_no_read(
    reading: bool, fate: Disposition
) -> None:
    key = ("flow", "order/1")
    desk = Desk(READING_CONTEXT, stopped={key}, reading={key} if reading else set())
    (verdict,) = decided(desk, notice())
    assert verdict.fate == fate


def test_behind_a_notification_that_failed_the_next_one_waits() -> None:
    desk = Desk(READING_CONTEXT)
    failed = notice("2", raising(Rejected("no", "no")))
    verdicts = decided(desk, notice("1"), failed, notice("3"))
    assert [type(v.fate) for v in verdicts] == [Done, Park, Behind]


def test_a_source_of_keys_without_a_system_to_read_from_is_a_fault_of_the_configuration() -> None:
    (verdict,) = decided(Desk(CONTEXT), notice())
    assert isinstance(verdict.fate, Park)
    assert verdict.fate.failure.code == "reads-from-nowhere"
    assert verdict.fate.failure.where == "settings.sources.s.reads_from"


def test_a_held_key_waits_from_the_start() -> None:
    desk = Desk(CONTEXT, stopped={("flow", "order/1")})
    held, other = decided(desk, work(stating()), work(stating(), key="order/2"))
    assert (held.fate, other.fate) == (Behind(), Done())


@pytest.mark.parametrize(
    ("error", "fate"),
    [
        (InvalidMessage("i", "i"), Invalid),
        (Rejected("r", "r"), Park),
        (Conflict("c", "c"), Park),
        (Unavailable("u", "u"), RetryAt),
        (KeyError("bug"), DeadLetter),
        (RecursionError(), DeadLetter),
        (AssertionError(), DeadLetter),
    ],
)
def test_whatever_a_handler_raises_stops_its_key_and_only_that(
    error: Exception, fate: type[Disposition]
) -> None:
    first, behind, beside = decided(
        Desk(CONTEXT),
        work(raising(error)),
        work(stating()),
        work(stating(), key="order/2"),
    )
    assert isinstance(first.fate, fate)
    assert (behind.fate, beside.fate) == (Behind(), Done())


def test_a_retry_is_due_after_a_wait_under_the_ceiling() -> None:
    [verdict] = decided(Desk(CONTEXT), work(raising(Unavailable("u", "away"))))
    assert verdict.fate == RetryAt(NOW + timedelta(seconds=1), "away")


def test_a_bug_in_needs_fails_its_message_alone() -> None:
    def bug(message: Message[Any], facts: Facts) -> frozenset[str]:
        raise KeyError("bug")

    good = work(stating(put(1)))
    assert good.handler is not None
    handler = Handler(
        name="toy", scope="flow", types=(), read=good.handler.read, needs=bug,
        decide=good.handler.decide,
    )  # fmt: skip
    arrival = Arrival(Delivery(source="s", kind="k", body=b"2"), "standard", "q")
    bad = read_arrival(arrival, lambda delivery: handler)
    desk = Desk(CONTEXT)
    assert desk.wanted([good, bad]) == set()
    assert [type(v.fate) for v in decided(desk, good, bad)] == [Done, DeadLetter]


def test_a_key_is_looked_up_once() -> None:
    asking = Handler(
        name="toy", scope="flow", types=(), read=lambda d: Message(
            Envelope(id="1", source="s", type="t", key="k"), None),
        needs=lambda message, facts: frozenset({"supplier/S1", "supplier/S2"}),
        decide=lambda message, facts, now: (),
    )  # fmt: skip
    one = read_arrival(
        Arrival(Delivery(source="s", kind="k", body=b""), "standard", "q"), lambda d: asking
    )
    desk = Desk(CONTEXT)
    assert desk.wanted([one, one]) == {"supplier/S1", "supplier/S2"}
    desk.add(["supplier/S1", "supplier/S2"], {"supplier/S1": stored(1)})
    assert desk.wanted([one]) == set()
    assert desk.facts().missing(["supplier/S1", "supplier/S2"]) == {"supplier/S2"}


# What a statement weighs


@pytest.mark.parametrize(
    ("known", "stated", "weight"),
    [
        (None, put(1), "newer"),
        (stored(1), put(2), "newer"),
        (stored(1), put(2, "B"), "newer"),
        (stored(2), put(1), "stale"),
        (stored(2), put(1, "B"), "stale"),
        (stored(1), put(1), "same"),
        (stored(1), put(1, "B"), "conflict"),
        (stored(1, stated=5), put(1, "B", stated=6), "newer"),
        (stored(1, stated=5), put(1, "A", stated=6), "newer"),
        (stored(1, stated=5), put(1, "B", stated=4), "stale"),
        (stored(1, stated=5), put(1, "B", stated=5), "conflict"),
        (stored(1, stated=9), put(2, "B", stated=1), "newer"),
    ],
)
def test_the_weight_of_a_statement(known: Stored | None, stated: Put, weight: str) -> None:
    assert weigh(known, stated) == weight


def test_a_stale_statement_is_set_apart_and_the_message_is_done() -> None:
    desk = Desk(CONTEXT, documents={"supplier/S1": stored(5, "Known")})
    [verdict] = decided(desk, work(stating(put(4, "Old"))))
    assert (verdict.fate, verdict.effects, verdict.stale) == (Done("stale"), (), (put(4, "Old"),))
    assert desk.documents["supplier/S1"].version == 5


def test_a_message_with_one_stale_statement_keeps_its_other_ones() -> None:
    desk = Desk(CONTEXT, documents={"supplier/S1": stored(5)})
    other = put(1, key="supplier/S2")
    [verdict] = decided(desk, work(stating(put(4, "Old"), other)))
    assert (verdict.fate, verdict.effects) == (Done(), (other,))


def test_a_statement_repeated_writes_nothing() -> None:
    desk = Desk(CONTEXT, documents={"supplier/S1": stored(5)})
    [verdict] = decided(desk, work(stating(put(5))))
    assert (verdict.fate, verdict.effects, verdict.stale) == (Done(), (), ())


def test_two_contents_of_one_version_in_one_batch_are_a_conflict() -> None:
    first, second = decided(
        Desk(CONTEXT),
        work(stating(put(1, "A")), key="a"),
        work(stating(put(1, "B")), key="b"),
    )
    assert first.fate == Done()
    assert isinstance(second.fate, Park)
    assert second.fate.failure.code == "same-version-other-content"


def test_without_a_time_of_its_own_the_statement_that_came_last_counts() -> None:
    def said(name: str, place: int) -> Work:
        stating_it = stating(Put("supplier/S1", 5, supplier(name), stated=None))
        return replace(work(stating_it, number=name), admitted=Position(NOW, place))

    desk = Desk(CONTEXT)
    first, later, late = decided(desk, said("A", 7), said("B", 9), said("C", 8))
    assert first.effects == (Put("supplier/S1", 5, supplier("A"), 7),)
    assert later.effects == (Put("supplier/S1", 5, supplier("B"), 9),)
    assert (late.fate, late.effects) == (Done("stale"), ())
    assert desk.facts().supplier("S1") == supplier("B")


def test_the_number_of_a_fact_is_the_one_the_database_will_give_it() -> None:
    # Each message counts that states it anew, and one that states it twice counts once.
    desk = Desk(CONTEXT)
    desk.add(["supplier/S1"], {"supplier/S1": stored(1, row_version=7)})
    decided(desk, work(stating(put(2))), work(stating(put(3))), work(stating(put(3))))
    assert desk.facts().version("supplier/S1") == 9
    decided(desk, work(stating(put(1, key="supplier/S2"), put(2, key="supplier/S2"))))
    assert desk.facts().version("supplier/S2") == 1


def test_a_handler_cannot_write_into_the_facts() -> None:
    def write(facts: Facts) -> tuple[Effect, ...]:
        facts.documents["supplier/S1"] = Known(1, supplier("Mine"))  # type: ignore[index]
        return ()

    desk = Desk(CONTEXT)
    first, second = decided(desk, work(write), work(stating(), key="order/2"))
    assert isinstance(first.fate, DeadLetter)
    assert second.fate == Done()
    assert desk.facts().supplier("S1") is None


def test_events_are_kept_in_the_order_they_were_decided() -> None:
    said = replace(supplier("A"), origin="s")
    events = tuple(Emit("supplier.changed", f"supplier/{n}", said) for n in range(3))
    [verdict] = decided(Desk(CONTEXT), work(lambda facts: events))
    assert verdict.effects == events


# Who is to blame

NOBODY: Mapping[str, Exception] = {
    "serialization": asyncpg.SerializationError(),
    "deadlock": asyncpg.DeadlockDetectedError(),
    "read only": asyncpg.ReadOnlySQLTransactionError(),
    "too many connections": asyncpg.TooManyConnectionsError(),
    "disk full": asyncpg.DiskFullError(),
    "lock": asyncpg.LockNotAvailableError(),
    "time-out": asyncpg.QueryCanceledError(),
    "shutdown": asyncpg.AdminShutdownError(),
    "connection": asyncpg.ConnectionDoesNotExistError(),
    "closed": asyncpg.InterfaceError("connection is closed"),
    "confused connection": asyncpg.InternalClientError("another operation is in progress"),
    "reset": ConnectionResetError(),
    "end of stream": EOFError(),
    "deadline": TimeoutError(),
    "race": RaceLost(),
    "fail point": FailPointHit(),
}


@pytest.mark.parametrize("what", NOBODY)
def test_no_message_is_blamed_for_the_weather(what: str) -> None:
    assert blamed(NOBODY[what], "standard") is None


@pytest.mark.parametrize(
    "error", [asyncpg.UndefinedTableError(), asyncpg.CardinalityViolationError()]
)
def test_a_schema_that_does_not_fit_stops_the_lane(error: Exception) -> None:
    with pytest.raises(Misconfigured, match="schema-mismatch"):
        blamed(error, "standard")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (asyncpg.CharacterNotInRepertoireError(), "unstorable"),
        (asyncpg.NotNullViolationError(), "unstorable"),
        (asyncpg.ProgramLimitExceededError(), "unstorable"),
        (KeyError("bug"), "defect"),
        (TypeError("bug"), "defect"),
    ],
)
def test_a_message_that_stands_alone_with_its_failure_is_blamed(
    error: Exception, code: str
) -> None:
    mark = blamed(error, "standard")
    assert mark is not None
    judged = mark(work(stating()))
    assert judged.failure is not None
    assert judged.failure.code == code


def test_a_refused_message_keeps_its_key_so_that_what_follows_waits() -> None:
    refused = refused_by_database(work(stating(put(1))), "22021")
    first, second = decided(Desk(CONTEXT), refused, work(stating()))
    assert isinstance(first.fate, Invalid)
    assert second.fate == Behind()
