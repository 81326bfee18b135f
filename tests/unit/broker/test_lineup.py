"""What may be published now: the rules, and that no course of events breaks them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from broker.lineup import Lineup, lined_up
from broker.store.connection import Position
from broker.store.handover import OutboxRow

WINDOW = 3
CHANNELS = 2


def row(number: int, key: str, exchange: str = "x", body: bytes = b"") -> OutboxRow:
    """The outbox row with this id."""
    position = Position(datetime(2026, 1, 1, tzinfo=UTC), number)
    return OutboxRow(number, key, exchange, "r", position, f"e{number}", "t", number, "", "", body)


def ids(rows: list[OutboxRow]) -> list[int]:
    return [r.id for r in rows]


def test_keys_start_side_by_side_and_one_key_one_behind_the_other() -> None:
    first, second, other = row(1, "A"), row(2, "A"), row(3, "B")
    lineup = lined_up([first, second, other], channels=1, window=10)
    assert ids(lineup.startable()) == [1, 3]
    assert lineup.startable() == []
    lineup.confirmed(first)
    assert ids(lineup.startable()) == [2]


def test_a_channel_carries_no_more_unconfirmed_rows_than_its_window() -> None:
    rows = [row(n, f"K{n}") for n in range(5)]
    lineup = lined_up(rows, channels=1, window=2)
    assert ids(lineup.startable()) == [0, 1]
    lineup.confirmed(rows[1])
    assert ids(lineup.startable()) == [2]


def test_a_full_channel_holds_back_no_other_one() -> None:
    lineup = lined_up([row(1, "A", "x"), row(2, "B", "x"), row(3, "C", "y")], channels=1, window=1)
    assert ids(lineup.startable()) == [1, 3]


def test_an_event_in_another_lane_waits_for_the_older_one_of_its_key() -> None:
    slow, fast = row(1, "A", "x"), row(2, "A", "y")
    lineup = lined_up([slow, fast], channels=1, window=10)
    assert ids(lineup.startable()) == [1]
    lineup.confirmed(slow)
    assert ids(lineup.startable()) == [2]


def test_a_key_that_is_stopped_gives_back_all_its_rows_oldest_first() -> None:
    rows = [row(1, "A"), row(2, "A"), row(3, "A"), row(4, "B")]
    lineup = lined_up(rows, channels=1, window=10)
    lineup.startable()
    assert ids(lineup.stop("A")) == [1, 2, 3]
    assert lineup.stop("A") == []
    assert lineup.rows == 1


def test_a_key_stopped_while_it_was_ready_starts_once_when_it_comes_again() -> None:
    blocker, old, new = row(1, "K"), row(2, "A"), row(3, "A")
    lineup = lined_up([blocker, old], channels=1, window=1)
    assert ids(lineup.startable()) == [1]
    lineup.stop("A")
    lineup.add(new)
    lineup.confirmed(blocker)
    assert ids(lineup.startable()) == [3]
    lineup.confirmed(new)
    assert lineup.startable() == []


@given(st.text(min_size=1))
def test_a_key_has_one_channel_of_its_exchange(key: str) -> None:
    lineup = Lineup(channels=4, window=1)
    assert lineup.slot_of(row(1, key)) == lineup.slot_of(row(2, key, body=b"x"))


class AnyCourse(RuleBasedStateMachine):
    """Rows come, go out and fail in any course; `out` and `back` say where each one went."""

    def __init__(self) -> None:
        super().__init__()
        self.lineup = Lineup(channels=CHANNELS, window=WINDOW)
        self.number = 0
        self.flying: list[OutboxRow] = []
        self.waiting: list[OutboxRow] = []

    @rule(key=st.sampled_from("ABCDEFGHIJ"), exchange=st.sampled_from("xy"))
    def comes(self, key: str, exchange: str) -> None:
        self.number += 1
        made = row(self.number, key, exchange, b"b" * self.number)
        self.lineup.add(made)
        self.waiting.append(made)

    @rule()
    def starts(self) -> None:
        for started in self.lineup.startable():
            older = [r for r in self.waiting if r.key == started.key and r.id < started.id]
            assert not older
            assert started.key not in {r.key for r in self.flying}
            self.waiting.remove(started)
            self.flying.append(started)

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def is_confirmed(self, data: st.DataObject) -> None:
        done = data.draw(st.sampled_from(self.flying))
        self.flying.remove(done)
        self.lineup.confirmed(done)

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def fails(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(self.flying)).key
        expected = sorted(
            (r for r in [*self.flying, *self.waiting] if r.key == key), key=lambda r: r.id
        )
        assert self.lineup.stop(key) == expected
        self.flying = [r for r in self.flying if r.key != key]
        self.waiting = [r for r in self.waiting if r.key != key]

    @invariant()
    def windows_hold(self) -> None:
        flying = Counter(self.lineup.slot_of(r) for r in self.flying)
        assert all(count <= WINDOW for count in flying.values())

    @invariant()
    def counts_hold(self) -> None:
        there = [*self.flying, *self.waiting]
        assert self.lineup.rows == len(there)
        assert self.lineup.body_bytes == sum(len(r.body) for r in there)

    def teardown(self) -> None:
        """Whatever is left goes out in the end."""
        while self.flying or self.waiting:
            self.starts()
            assert self.flying
            self.lineup.confirmed(self.flying.pop())


TestAnyCourse = AnyCourse.TestCase
