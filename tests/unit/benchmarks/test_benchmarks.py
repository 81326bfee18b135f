"""The load of the benchmark is what it says, and ratios are of neighbouring passes."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import msgspec
import pytest

from benchmarks.changes import AGAIN, KEYS, STALE, letters
from benchmarks.place import KIND, PREFETCH, SOURCE
from benchmarks.report import ratios, report
from benchmarks.rungs import Passed
from broker.settings import Settings
from canonical.effects import Emit, Fetch, Put
from canonical.facts import Facts
from canonical.handler import Delivery
from canonical.rules import Rules
from handlers.systems.arena.inbound import HANDLER

NUMBER = 12_000


def test_the_load_has_as_many_changes_repeats_and_stale_ones_as_it_says() -> None:
    written = letters(NUMBER, seed=1)
    ids = Counter(letter.id for letter in written)
    again = NUMBER - len(ids)
    stale = sum(not letter.is_news for letter in written) - again
    assert len({letter.key for letter in written}) == KEYS
    assert again == pytest.approx(AGAIN * NUMBER, rel=0.3)
    # The first statements of a change cannot be older than another one.
    assert 0.4 * STALE * NUMBER < stale < 1.3 * STALE * NUMBER
    assert sum(len(letter.body) for letter in written) / NUMBER == pytest.approx(1_500, rel=0.1)


def test_the_load_is_read_by_the_handler_of_the_service() -> None:
    letter = letters(1, seed=1)[0]
    message = HANDLER.read(Delivery(SOURCE, KIND, letter.body))
    assert message.envelope.key == letter.key
    # One document and one event of each is what passes are counted by.
    rules = Rules(plants=(), distribution=(), routes=(), central_purchasing_org="1000")
    put, event, *reads = HANDLER.decide(message, Facts(rules), datetime(2026, 3, 2, tzinfo=UTC))
    assert (type(put), type(event)) == (Put, Emit)
    # There is nowhere to read from.
    assert all(isinstance(read, Fetch) for read in reads)


def test_what_is_stale_is_older_than_what_came_before_and_nothing_else_is() -> None:
    newest: dict[str, int] = {}
    seen: set[str] = set()
    for letter in letters(NUMBER, seed=2):
        version = HANDLER.version
        assert version is not None
        stated = version(HANDLER.read(Delivery(SOURCE, KIND, letter.body))) or 0
        if letter.id not in seen:
            assert letter.is_news == (stated > newest.get(letter.key, 0))
        seen.add(letter.id)
        newest[letter.key] = max(stated, newest.get(letter.key, 0))


def test_ratios_are_of_passes_of_one_round() -> None:
    passes = {
        "noop": [Passed(100, 1.0), Passed(100, 2.0), Passed(100, 4.0)],
        "layshaft": [Passed(100, 2.0), Passed(100, 2.0), Passed(100, 2.0)],
    }
    found = ratios(passes)["layshaft/noop"]
    assert (found.lowest, found.middle, found.highest) == (0.5, 1.0, 2.0)


@pytest.mark.parametrize(("handwritten", "counts"), [(6.1, True), (5.9, False)])
def test_a_run_on_a_busy_machine_counts_for_nothing(handwritten: float, counts: bool) -> None:
    passes = {"noop": [Passed(100, 1.0)], "handwritten": [Passed(1, 1 / handwritten)]}
    found = report(passes, latency_ms={}, settings={}, machine="", commit="")
    assert (found.invalid == "") is counts


def test_a_run_says_everything_that_makes_it_count_for_nothing() -> None:
    passes = {"noop": [Passed(100, 1.0)], "handwritten": [Passed(1, 1.0)]}
    found = report(passes, latency_ms={}, settings={}, machine="", commit="", unlike="fsync = off")
    assert found.invalid.startswith("fsync = off; handwritten is at 0.010 of noop")


def test_rungs_take_as_much_in_advance_as_the_service_does() -> None:
    settings = Settings(database_url="", amqp_url="", sources=(), systems=())
    assert settings.prefetch.standard == PREFETCH


def test_as_json_a_run_is_rates_ratios_and_latencies_by_name() -> None:
    passes = {"noop": [Passed(100, 1.0)], "layshaft": [Passed(100, 2.0)]}
    found = report(passes, latency_ms={"p50": 1.5}, settings={}, machine="", commit="")
    said = msgspec.json.decode(msgspec.json.encode(found))
    assert said["rungs"] == {"noop": 100.0, "layshaft": 50.0}
    assert said["ratios"] == {"layshaft/noop": 0.5}
    assert said["latency_ms"] == {"p50": 1.5}
