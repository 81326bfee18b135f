"""Each invariant holds for a good run, and fails for a run that is doctored to break it."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from tests.faults import machine
from tests.faults.business import Order, Wanted
from tests.faults.invariants import (
    Candour,
    Draining,
    Effort,
    Evidence,
    Idling,
    Illness,
    Latencies,
    Leftovers,
    Peak,
    Recovery,
    Resources,
    Standstill,
    bounded_recovery,
    bounded_resources,
    candid,
    drained,
    effects_once,
    honest_health,
    indeterminate_at_most_once,
    isolated,
    no_amplification,
    no_busy_loop,
    no_loss,
    no_orphans,
    no_pile,
    ordered_by_key,
    unshown,
)
from tests.faults.load import Answer, Sent


def sent(effect_id: str, version: int, answer: Answer = "confirmed", key: str = "k") -> Sent:
    return Sent("source-1", Order(effect_id, key, version, effect_id), answer)


def row(effect_id: str, version: int, key: str = "k") -> Wanted:
    return Wanted(key, version, effect_id, "standard")


GOOD = Evidence(
    sent=[
        sent("e1", 1),
        sent("e2", 2),
        sent("e3", 3),
        sent("e4", 1, "indeterminate", key="l"),
        sent("e5", 1, "indeterminate", key="m"),
        sent("e6", 1, "refused", key="n"),
        sent("e7", 1, key="o"),
    ],
    applied=[row("e2", 2), row("e4", 1, key="l")],
    superseded={"e1"},
    parked={"e3", "e7"},
)


def doctored(**changes: object) -> Evidence:
    return msgspec.structs.replace(GOOD, **changes)


def test_a_good_run_breaks_nothing() -> None:
    for invariant in (no_loss, effects_once, indeterminate_at_most_once, ordered_by_key):
        assert invariant(GOOD) == []


def test_an_invariant_without_evidence_needs_a_reason() -> None:
    shown = {"I5": 0, "I6": 1, "I7": 1, "I8": 2, "I9": 1}
    assert unshown(shown, {"I5": "nobody is spared"}) == []
    assert unshown(shown, {}) == ["I5: nothing shows it"]
    assert unshown({}, {}) == [f"{name}: nothing shows it" for name in shown]
    assert unshown(shown, {"I5": ""}) == ["I5: is shown, or no reason is given why it is not"]
    contradicted = unshown(shown, {"I5": "nobody is spared", "I6": "nothing ends"})
    assert contradicted == ["I6: is shown, or no reason is given why it is not"]
    assert unshown(shown, {"I5": "x", "I99": "y"}) == ["I99: no such invariant"]


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        (doctored(parked={"e3"}), "lost: 1 (e7)"),
        (doctored(superseded=set[str]()), "lost: 1 (e1)"),
        (doctored(applied=[row("e4", 1, key="l")]), "lost: 1 (e2)"),
        (doctored(parked={"e3", "e7", "e2"}), "applied and parked: 1 (e2)"),
        (doctored(superseded={"e1", "e2"}), "applied and superseded: 1 (e2)"),
        (doctored(superseded={"e1", "e7"}), "superseded and parked: 1 (e7)"),
        (doctored(parked={"e3", "e7", "e9"}), "never sent, yet known: 1 (e9)"),
    ],
)
def test_i1_a_confirmed_message_without_exactly_one_fate_is_found(
    evidence: Evidence, said: str
) -> None:
    assert no_loss(evidence) == [said]


def test_i2_an_effect_made_twice_is_found() -> None:
    twice = doctored(applied=[*GOOD.applied, row("e2", 2)])
    assert effects_once(twice) == ["applied more than once: 1 (e2)"]


def test_i3_an_unanswered_message_applied_twice_is_found() -> None:
    twice = doctored(applied=[*GOOD.applied, row("e4", 1, key="l")])
    assert indeterminate_at_most_once(twice) == ["unanswered and applied twice: 1 (e4)"]


def test_i3_a_refused_message_that_was_applied_is_found() -> None:
    applied = doctored(applied=[*GOOD.applied, row("e6", 1, key="n")])
    assert indeterminate_at_most_once(applied) == ["refused and applied: 1 (e6)"]


def test_i4_an_earlier_version_after_a_later_one_is_found() -> None:
    late = doctored(applied=[row("e2", 2), row("e1", 1)], superseded=set[str]())
    assert ordered_by_key(late) == ["applied after a later version: 1 (e1 (k v1))"]


def test_i4_a_version_that_passes_a_parked_one_is_found_unless_it_may() -> None:
    passed = doctored(applied=[row("e3", 3)], parked={"e2"})
    assert ordered_by_key(passed) == ["parked, and a later version was applied: 1 (e2)"]
    assert ordered_by_key(passed, may_pass_parked=True) == []


@pytest.mark.parametrize(
    ("before", "during", "said"),
    [
        ([0.5] * 100, [0.9] * 100, []),
        ([0.5] * 100, [0.5] * 99 + [20.0], []),
        ([0.5] * 100, [0.5] * 97 + [20.0] * 3,
         ["lane b: the p99 was 0.50 s, and 20.00 s under the fault"]),
        ([0.01] * 100, [0.9] * 100, []),
        ([0.5], [], ["lane b: nothing was sent before the fault or meanwhile"]),
    ],
)  # fmt: skip
def test_i5_a_lane_slowed_by_the_fault_of_another_is_found(
    before: list[float], during: list[float], said: list[str]
) -> None:
    assert isolated([Latencies("lane b", before, during)]) == said


def test_i5_how_quick_is_quick_enough_can_be_said() -> None:
    (slowed,) = isolated([Latencies("lane b", [0.01] * 100, [0.4] * 100, quick_s=0.3)])
    assert slowed == "lane b: the p99 was 0.01 s, and 0.40 s under the fault"


def test_i5_what_the_machine_stood_still_is_nobodys_delay(tmp_path: Path) -> None:
    told = tmp_path / "stalls.jsonl"
    assert machine.stalls(told) == []
    told.write_bytes(b'{"began": 10.0, "ended": 11.5}\n{"began": 20.0, "ended": 21.0}\n')
    stalls = machine.stalls(told)
    assert machine.without(stalls, 9.0, 12.0) == pytest.approx(1.5)
    assert machine.without(stalls, 10.5, 11.0) == 0.0
    assert machine.without(stalls, 12.0, 15.0) == 3.0
    assert machine.without(stalls, 11.0, 22.0) == pytest.approx(9.5)
    both = [*stalls, machine.Stall(11.0, 12.0, "disk"), machine.Stall(11.2, 11.4, "disk")]
    assert machine.without(both, 9.0, 13.0) == pytest.approx(2.0)


def test_i5_a_disk_that_is_slow_with_what_was_written_is_no_stall() -> None:
    written = [0]
    disk = machine.Disk(lambda: written[0])
    assert disk.put(9.0, 9.01) is None
    assert disk.put(10.0, 10.5) == machine.Stall(10.0, 10.5, "disk")
    written[0] = machine.OWN_BYTES
    assert disk.put(11.0, 11.5) is None, "written while the page waited"
    assert disk.put(12.0, 12.5) is None, "written within the second before"
    assert disk.put(13.1, 13.6) == machine.Stall(13.1, 13.6, "disk")


def test_i5_what_is_written_to_a_disk_is_counted(tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.write_bytes(bytes(4096))
    device = page.stat().st_dev
    if (before := machine.written_to(device)) is None:
        pytest.skip("the kernel counts nothing for this disk")
    with page.open("r+b") as file:
        file.write(bytes(1024 * 1024))
        os.fsync(file.fileno())
    assert (machine.written_to(device) or 0) - before >= 1024 * 1024


def test_i6_a_recovery_that_takes_too_long_is_found() -> None:
    assert bounded_recovery([Recovery("SIGKILL", 29.9, 10)]) == []
    assert len(bounded_recovery([Recovery("SIGKILL", 30.1, 10)])) == 1


def draining(waiting: int, effects: int) -> Draining:
    return Draining(after="outage", waiting=waiting, effects=effects, took_s=10, usual=100)


def test_i6_a_backlog_that_goes_slowly_is_found() -> None:
    assert drained([draining(100, 267)]) == []
    assert drained([draining(99, 99)]) == []
    assert drained([draining(100, 266)]) == [
        "outage: 100 messages waited, and went at 27 a second, 100 are usual"
    ]


def test_i7_more_tries_than_work_are_found() -> None:
    assert no_amplification([Effort(what="ERP", attempts=113, offered=100, probes=3)]) == []
    assert len(no_amplification([Effort(what="ERP", attempts=114, offered=100, probes=3)])) == 1


def test_i7_a_blocked_service_that_works_the_processor_is_found() -> None:
    assert no_busy_loop([Idling("layshaft-1", 0.99, 5.0)]) == []
    assert no_busy_loop([Idling("layshaft-1", 1.0, 5.0)]) == [
        "layshaft-1: 20% of a processor, doing nothing"
    ]


def told(**changes: object) -> Illness:
    """A fault that was told as it should be, but for the changes."""
    honest = Illness(
        why="alarm",
        names="RabbitMQ",
        logs="blocked",
        unready_s=9.0,
        ready_s=2.0,
        causes={"relay: RabbitMQ takes nothing"},
        metric=True,
        logged=True,
    )
    return msgspec.structs.replace(honest, **changes)


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ({"unready_s": None}, "was ready all the time"),
        ({"unready_s": 30.1}, "was ready for 30.1 s"),
        ({"ready_s": None}, "was not ready again by itself"),
        ({"ready_s": 60.1}, "was ready again only after 60.1 s"),
        ({"causes": {"relay: ?"}}, "readiness did not name 'RabbitMQ', but ['relay: ?']"),
        ({"metric": False}, "no metric told of it, or it did not clear"),
        ({"logged": False}, "no log line holds 'blocked'"),
        ({"dead": 1}, "liveness failed 1 times"),
    ],
)
def test_i8_a_fault_that_is_not_told_is_found(lie: dict[str, object], said: str) -> None:
    assert honest_health([told()]) == []
    assert honest_health([told(**lie)]) == [f"alarm: {said}"]


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ({"dead": 1}, "liveness failed 1 times"),
        ({"nameless": 2}, "was not ready 2 times and named no cause"),
        ({"is_ready": False}, "was not ready again by itself, but []"),
    ],
)
def test_i8_an_instance_that_does_not_tell_the_truth_is_found(
    lie: dict[str, object], said: str
) -> None:
    honest = Candour(who="layshaft-1", looks=9, is_ready=True)
    assert candid([honest], [Standstill("the load", 30.0)]) == []
    assert candid([msgspec.structs.replace(honest, **lie)], []) == [f"layshaft-1: {said}"]


def test_i8_a_standstill_that_nobody_tells_of_is_found() -> None:
    assert candid([], [Standstill("the load", 30.1)]) == [
        "the load: all said they can work, and nothing went on for 30.1 s"
    ]


def test_i9_connections_that_pile_up_are_found() -> None:
    assert no_pile([Peak("the load", 150, 100)]) == []
    assert no_pile([Peak("the load", 151, 100)]) == ["the load: 151 sockets at once, 100 before"]


@pytest.mark.parametrize("grown", ["rss", "sockets", "tasks", "sessions"])
def test_i9_growth_beyond_a_tenth_is_found(grown: str) -> None:
    before = Resources(rss=100, sockets=100, tasks=100, sessions=100)
    assert bounded_resources(before, msgspec.structs.replace(before, **{grown: 110})) == []
    found = bounded_resources(before, msgspec.structs.replace(before, **{grown: 111}))
    assert found == [f"{grown}: 111, was 100"]


@pytest.mark.parametrize(
    "left",
    [
        {"rows": {"events not out": 1}},
        {"leases": 1},
        {"unacknowledged": 1},
        {"idle_in_transaction": 1},
        {"consumers": {"q": (0, 1)}},
        {"consumers": {"q": (2, 1)}},
    ],
)
def test_i12_anything_left_over_is_found(left: dict[str, object]) -> None:
    nothing = Leftovers(
        rows={"events not out": 0},
        leases=0,
        unacknowledged=0,
        idle_in_transaction=0,
        consumers={"q": (1, 1)},
    )
    assert no_orphans(nothing) == []
    assert len(no_orphans(msgspec.structs.replace(nothing, **left))) == 1
