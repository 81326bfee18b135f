"""What doctor says about what it was told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from broker.store.diagnosis import RowFacts, ServerFacts
from broker.store.holds import Hold
from ops.cli.checks import (
    Check,
    hold_checks,
    lock_checks,
    row_checks,
    server_checks,
    version_check,
)
from ops.cli.doctor import verdict

NOW = datetime(2026, 3, 2, tzinfo=UTC)
GIB = 1 << 30

GOOD = ServerFacts(
    version="18.6",
    now=NOW,
    fsync="on",
    synchronous_commit="on",
    full_page_writes="on",
    shared_buffers=GIB,
    max_wal_size=8 * GIB,
    checkpoint_timeout_s=900,
    wal_compression="lz4",
    has_lz4=True,
    max_locks=128,
    sessions=200,
)
CLEAN = RowFacts((), 0, 0, 0, 0, 0, 0, 0)


def findings(checks: list[Check]) -> dict[str, str]:
    """Codes of what is not well, with the fix."""
    return {check.code: check.fix for check in checks if check.state != "ok"}


def server(**changed: Any) -> dict[str, str]:
    """Findings about a good server with so much changed, on a machine with 16 GiB."""
    facts = msgspec.structs.replace(GOOD, **changed)
    return findings(list(server_checks(facts, NOW, memory_bytes=16 * GIB)))


def test_a_server_as_recommended_has_no_findings() -> None:
    assert server() == {}


@pytest.mark.parametrize(
    ("changed", "code", "fix"),
    [
        ({"fsync": "off"}, "database-unsafe", "Set fsync=on"),
        (
            {"shared_buffers": 128 << 20},
            "database-shared-buffers",
            "Set shared_buffers = 1024MB in postgresql.conf",
        ),
        (
            {"max_wal_size": GIB},
            "database-max-wal-size",
            "Set max_wal_size = 8GB in postgresql.conf",
        ),
        (
            {"checkpoint_timeout_s": 300},
            "database-checkpoint-timeout",
            "Set checkpoint_timeout = 15min in postgresql.conf",
        ),
        (
            {"wal_compression": "pglz"},
            "database-wal-compression",
            "Set wal_compression = lz4 in postgresql.conf",
        ),
        (
            {"now": NOW - timedelta(seconds=3)},
            "clock",
            "Synchronise both with one time source",
        ),
    ],
)
def test_each_weakness_of_a_server_has_its_fix(
    changed: dict[str, Any], code: str, fix: str
) -> None:
    assert server(**changed) == {code: fix}


def test_a_server_built_without_lz4_is_named_and_asked_for_what_it_has() -> None:
    build = {"database-no-lz4": "Use a build with lz4 in production"}
    assert server(wal_compression="pglz", has_lz4=False) == build
    assert server(wal_compression="off", has_lz4=False) == build | {
        "database-wal-compression": "Set wal_compression = pglz in postgresql.conf"
    }


def test_a_small_machine_is_asked_for_a_quarter_of_its_memory() -> None:
    facts = msgspec.structs.replace(GOOD, shared_buffers=512 << 20)
    assert findings(list(server_checks(facts, NOW, memory_bytes=2 * GIB))) == {}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"missing_days": ("2026-03-03",)}, "partition-missing"),
        ({"fallen_rows": 1}, "partition-default"),
        ({"old_days": 1}, "partition-old"),
        ({"stuck": 1}, "stuck-rows"),
        ({"late_outbox": 1}, "outbox-late"),
    ],
)
def test_rows_that_should_not_be_there_are_findings(changed: dict[str, Any], code: str) -> None:
    facts = msgspec.structs.replace(CLEAN, **changed)
    assert list(findings(list(row_checks(facts)))) == [code]


def test_a_lock_table_too_small_for_the_log_is_a_finding() -> None:
    usual = msgspec.structs.replace(GOOD, max_locks=64, sessions=100)
    fix = "Set max_locks_per_transaction = 97 and restart"
    assert findings(list(lock_checks(usual, 90))) == {"database-lock-table": fix}
    assert findings(list(lock_checks(GOOD, 90))) == {}


def test_unfinished_messages_that_outlived_their_day_are_no_finding() -> None:
    checks = list(row_checks(msgspec.structs.replace(CLEAN, kept_rows=3)))
    assert findings(checks) == {}
    assert checks[0].what == "3 unfinished messages have outlived their day of the log"


def test_work_for_people_is_no_finding() -> None:
    checks = list(row_checks(msgspec.structs.replace(CLEAN, open_cases=2, open_approvals=1)))
    assert findings(checks) == {}
    assert checks[-1].what == "Waiting for people: 1 approval, 2 cases"


def test_what_people_have_put_on_hold_is_said_and_no_finding() -> None:
    held = Hold(7, "system", "erp", "maintenance", "ada", NOW, None, "", "")
    checks = list(hold_checks([held]))
    assert findings(checks) == {}
    assert [check.what for check in checks] == [
        "On hold: system erp: maintenance, by ada since 2026-03-02 00:00:00 UTC"
    ]


@pytest.mark.parametrize(
    ("version", "state"),
    [
        ("3.9.29", "warning"),
        ("3.10.8", "ok"),
        ("4.0.5", "ok"),
        ("4.3.1", "ok"),
        ("4.10.0", "warning"),
        ("", "warning"),
    ],
)
def test_rabbitmq_versions_are_compared_as_numbers(version: str, state: str) -> None:
    assert version_check(version, "amqp://h").state == state


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["ok", "ok"], 0),
        (["ok", "warning"], 1),
        (["problem"], 1),
        (["problem", "unreachable"], 3),
    ],
)
def test_the_worst_check_decides_on_the_exit_code(states: list[Any], expected: int) -> None:
    assert verdict([Check(state, "code", "what") for state in states]) == expected
