"""What a stand-in keeps: its journal, its business table, its fault rules, its tokens."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ops.sandbox.erp import Sessions
from ops.sandbox.faults import Faults, Rule
from ops.sandbox.journal import Journal, SentAgain
from ops.sandbox.login import Login, decode_basic
from ops.sandbox.procurement import Bucket, Tokens
from ops.sandbox.tables import Count, KeyTaken, Tables


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A write that came twice and was applied once, and a read."""
    with closing(Journal(tmp_path / "journal")) as journal:
        write_story(journal)
        yield journal


def write_story(journal: Journal) -> None:
    for _ in range(2):
        number = journal.received("POST", "/items", {}, '{"n":1}', is_write=True)
        if number == 1:
            journal.applied(number, "items", "1", "create")
            journal.unanswered(number, "apply_then_hang")
        else:
            journal.answered(number, 422)
    number = journal.received("GET", "/items", {}, "", is_write=False)
    journal.answered(number, 200)
    journal.sync()


def test_the_journal_counts_what_came_what_was_applied_and_what_came_again(
    journal: Journal,
) -> None:
    totals = journal.totals()
    assert totals.requests == 3
    assert totals.writes_received == 2
    assert totals.writes_applied == 1
    assert totals.changes == {"items": {"create": 1}}
    assert totals.answers == {"422": 1, "200": 1}
    assert totals.unanswered == 1
    assert totals.sent_again == SentAgain(1, 1, 0, 0)


def test_the_journal_goes_on_where_it_stopped_behind_a_torn_line(
    journal: Journal, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    with path.open("ab") as file:
        file.write(b'{"at":"2026-01-01T00:00')
    with closing(Journal(path)) as again:
        assert again.totals() == journal.totals()
        assert again.received("GET", "/items", {}, "", is_write=False) == 4
        assert [e.request for e in again.entries(kind="received")] == [1, 2, 3, 4]


def test_entries_are_found_by_kind_path_and_number(journal: Journal) -> None:
    assert [e.kind for e in journal.entries(after=2)] == ["received", "answered"]
    assert [e.status for e in journal.entries(kind="answered", path="/items")] == [422, 200]
    assert journal.entries(path="/suppliers") == []


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[Tables]:
    with closing(Tables(tmp_path / "business.db", ["parts", "orders"])) as tables:
        yield tables


def test_rows_are_counted_by_plant_and_found_by_their_fields(tables: Tables) -> None:
    tables.insert("parts", "1", {"unit": {"code": "EA"}, "is-old": False}, plant="1010")
    tables.insert("parts", "2", {"unit": {"code": "KG"}, "is-old": True}, plant="1010")
    tables.insert("parts", "3", {"unit": {"code": "EA"}, "is-old": True}, plant="1020")
    assert tables.counts() == {
        "parts": Count(3, {"1010": 2, "1020": 1}),
        "orders": Count(0, {}),
    }
    assert [s.key for s in tables.find("parts", {"unit.code": "EA"})] == ["1", "3"]
    assert [s.key for s in tables.find("parts", {"unit.code": "EA", "is-old": True})] == ["3"]
    assert [s.key for s in tables.find("parts", {"nothing": None})] == ["1", "2", "3"]


def test_a_key_is_taken_once_and_every_write_raises_the_version(tables: Tables) -> None:
    first = tables.insert("parts", "1", {"a": 1})
    with pytest.raises(KeyTaken):
        tables.insert("parts", "1", {"a": 2})
    tables.replace("parts", first, {"a": 3})
    stored = tables.get("parts", "1")
    assert stored is not None
    assert (stored.version, stored.row) == (2, {"a": 3})


def test_a_failed_transaction_leaves_neither_rows_nor_used_numbers(tables: Tables) -> None:
    def fail_half_way() -> None:
        with tables.transaction():
            tables.insert("parts", str(tables.next_number("parts", first=7)), {})
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        fail_half_way()
    assert tables.counts()["parts"].rows == 0
    assert tables.next_number("parts", first=7) == 7


def test_rows_and_number_ranges_outlive_the_process_and_are_open_to_others(tmp_path: Path) -> None:
    path = tmp_path / "business.db"
    with closing(Tables(path, ["parts"])) as first:
        first.insert("parts", str(first.next_number("parts", first=1)), {}, plant="1010")
    with (
        closing(Tables(path, ["parts"])) as again,
        closing(sqlite3.connect(path)) as other,
    ):
        assert again.next_number("parts", first=1) == 2
        counted = other.execute('select plant, count(*) from "parts" group by plant').fetchall()
    assert counted == [("1010", 1)]


def test_a_rule_is_carried_out_as_often_as_it_says() -> None:
    faults = Faults()
    faults.add([Rule("refuse_500", times=2), Rule("hang", times=None)])
    taken = [faults.take("GET", "/x", "") for _ in range(4)]
    assert [rule and rule.action for rule in taken] == ["refuse_500", "refuse_500", "hang", "hang"]
    assert [listed.hits for listed in faults.listed()] == [2, 2]


@pytest.mark.parametrize(
    ("rule", "is_match"),
    [
        (Rule("hang"), True),
        (Rule("hang", method="POST", path=r"/items$", body="SEAL"), True),
        (Rule("hang", method="PUT"), False),
        (Rule("hang", path="^/orders"), False),
        (Rule("hang", body="OIL"), False),
    ],
)
def test_a_rule_matches_on_all_it_names(rule: Rule, is_match: bool) -> None:
    assert rule.matches("POST", "/api/items", '{"item":"SEAL"}') == is_match


def test_a_rule_given_back_is_carried_out_by_the_next_request() -> None:
    faults = Faults()
    faults.add([Rule("apply_then_500")])
    rule = faults.take("POST", "/x", "")
    assert rule is not None
    assert faults.take("POST", "/x", "") is None
    faults.give_back(rule)
    assert faults.take("POST", "/x", "") is rule


def test_a_token_is_good_for_its_session_and_its_time_only() -> None:
    clock = Clock()
    sessions = Sessions(60, clock)
    session, token = sessions.issue()
    other, _ = sessions.issue()
    assert sessions.accepts(session, token)
    assert not sessions.accepts(other, token)
    assert not sessions.accepts(session, "")
    assert not sessions.accepts("", "")
    clock.now = 60
    assert not sessions.accepts(session, token)


def test_a_bearer_token_ends() -> None:
    clock = Clock()
    tokens = Tokens(60, clock)
    token = tokens.issue()
    clock.now = 59.9
    assert tokens.accepts(token)
    clock.now = 60
    assert not tokens.accepts(token)


def test_a_bucket_lets_a_second_and_the_burst_through_and_then_one_per_interval() -> None:
    clock = Clock()
    bucket = Bucket(25, 20, clock)
    assert [bucket.wait_s() for _ in range(45)] == [0.0] * 45
    assert bucket.wait_s() == pytest.approx(0.04)
    clock.now = 0.041
    assert bucket.wait_s() == 0.0
    assert bucket.wait_s() > 0


@pytest.mark.parametrize(
    ("header", "login"),
    [
        ("Basic ZGVtbzpzZTpjcmV0", Login("demo", "se:cret")),
        ("basic ZGVtbzo=", Login("demo", "")),
        ("Basic ZGVtbw==", None),
        ("Basic *", None),
        ("Bearer ZGVtbzpzZWNyZXQ=", None),
        ("", None),
    ],
)
def test_a_basic_login_is_read_from_its_header(header: str, login: Login | None) -> None:
    assert decode_basic(header) == login
