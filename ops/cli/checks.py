"""What `doctor` checks, each check by itself: configuration, servers, rows, systems.

A check never raises for what it finds: it returns findings, and the others go on.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import aio_pika
import asyncpg
import msgspec
from aio_pika.abc import AbstractRobustConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, AMQPError

from broker import amqp_properties
from broker.partitions import Ring
from broker.settings import Settings
from broker.store import Database, diagnosis
from broker.store import holds as hold_rows
from broker.store import partitions as partition_rows
from broker.store.diagnosis import RowFacts, ServerFacts
from broker.store.holds import Hold
from broker.store.log_days import DAYS_AHEAD
from broker.store.views import snapshot
from broker.topology import drift
from canonical.errors import Failure, Misconfigured
from handlers import CATALOGUE
from ops.cli.output import plural
from ops.cli.session import ACQUIRE_S, STATEMENT_S, without_password
from ops.configuration import Configuration, secret
from ops.migrate import pending
from ops.queues import topology_of

State = Literal["ok", "warning", "problem", "unreachable"]

GIB = 1 << 30
MAX_WAL_BYTES = 8 * GIB
CHECKPOINT_S = 900
CLOCK_S = 2.0
# A day of the log is a table and its indexes; a process has about twenty sessions.
LOCKS_A_DAY = 5
SESSIONS = 20
DISK_BYTES = 1 * GIB
SYSTEM_S = 2.0
BROKER_S = 5.0
OLDEST_RABBITMQ = (3, 10)
NEWEST_RABBITMQ = (4, 3)
DRIFTS_SHOWN = 5


class Check(msgspec.Struct, frozen=True):
    """One result. code: kebab-case word; fix: what to do, "" where nothing is."""

    state: State
    code: str
    what: str
    fix: str = ""


async def examine(configuration: Configuration, environ: Mapping[str, str]) -> list[Check]:
    """All checks that need a configuration, in the order in which they are shown."""
    settings = configuration.settings
    groups = await asyncio.gather(
        _database(settings),
        _broker(settings),
        _systems(settings),
    )
    return [
        *(check for group in groups for check in group),
        *_secrets(settings, environ),
        decoder(),
        disk(Path(environ.get("LAYSHAFT_STATE_DIR", ".layshaft"))),
    ]


def decoder() -> Check:
    """Whether hostile AMQP properties can be read without losing the connection."""
    try:
        amqp_properties.install()
        amqp_properties.self_test()
    except Misconfigured as failure:
        return Check("problem", failure.code, failure.what, failure.remedy)
    return Check("ok", "amqp-decoder", "Hostile AMQP properties are survived")


def disk(folder: Path) -> Check:
    """Free space where logs and the demo's data are written."""
    place = folder if folder.is_dir() else Path()
    free = shutil.disk_usage(place).free
    if free < DISK_BYTES:
        return Check(
            "warning",
            "disk-space",
            f"{place} has {free >> 20} MB left",
            f"Make room: at least {DISK_BYTES >> 20} MB",
        )
    return Check("ok", "disk-space", f"{free >> 30} GB free at {place.resolve()}")


async def _database(settings: Settings) -> list[Check]:
    url, log_days = settings.database_url, settings.retention.log_days
    where = without_password(url)
    database = Database(
        url=url, purpose="cli", size=1, acquire_s=ACQUIRE_S, statement_s=STATEMENT_S
    )
    try:
        await database.open()
        async with snapshot(database) as tx:
            before = datetime.now(UTC)
            facts = await diagnosis.server_facts(tx)
            middle = before + (datetime.now(UTC) - before) / 2
        found = [
            Check("ok", "database", f"PostgreSQL {facts.version} at {where}"),
            *server_checks(facts, middle, memory_bytes=_memory_bytes(url)),
            *lock_checks(facts, log_days),
        ]
        missing = await pending(url)
        if missing:
            fix = "Run: layshaft migrate"
            what = f"Migrations not applied: {', '.join(missing)}"
            return [*found, Check("problem", "migrations-pending", what, fix)]
        async with snapshot(database) as tx:
            rows = await diagnosis.row_facts(tx, log_days=log_days)
            held = await hold_rows.open_holds(tx)
        current = Check("ok", "migrations", "The schema is current")
        return [*found, current, *row_checks(rows), *hold_checks(held)]
    except Misconfigured as failure:
        return [Check("problem", failure.code, f"{failure.where}: {failure.what}", failure.remedy)]
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as e:
        what = f"{where} does not answer: {_why(e)}"
        return [
            Check("unreachable", "database-unreachable", what, "Start it or correct database_url")
        ]
    finally:
        await database.close()


def server_checks(facts: ServerFacts, now: datetime, *, memory_bytes: int) -> Iterable[Check]:
    """Safety, speed and clock of the database server."""
    unsafe = [
        name
        for name in ("fsync", "synchronous_commit", "full_page_writes")
        if getattr(facts, name) == "off"
    ]
    if unsafe:
        yield Check(
            "problem",
            "database-unsafe",
            f"Commits may be lost: {', '.join(unsafe)} off",
            f"Set {', '.join(f'{name}=on' for name in unsafe)}",
        )
    else:
        yield Check("ok", "database-safe", "fsync, synchronous_commit, full_page_writes are on")
    yield from _speed_checks(facts, memory_bytes)
    skew_s = abs((facts.now - now).total_seconds())
    if skew_s > CLOCK_S:
        what = f"The clocks of this machine and the database differ by {skew_s:.1f} s"
        yield Check("warning", "clock", what, "Synchronise both with one time source")
    else:
        yield Check("ok", "clock", f"Clocks agree within {max(skew_s, 0.001):.3f} s")


def _speed_checks(facts: ServerFacts, memory_bytes: int) -> Iterable[Check]:
    buffers = min(GIB, memory_bytes // 4)
    low: list[tuple[str, str, str]] = []
    # Servers round to pages: a setting of exactly the advice may come back a little below it.
    if facts.shared_buffers < buffers * 0.98:
        low.append(("shared_buffers", f"{facts.shared_buffers >> 20} MB", f"{buffers >> 20}MB"))
    if facts.max_wal_size < MAX_WAL_BYTES:
        low.append(("max_wal_size", f"{facts.max_wal_size >> 20} MB", "8GB"))
    if facts.checkpoint_timeout_s < CHECKPOINT_S:
        low.append(("checkpoint_timeout", f"{facts.checkpoint_timeout_s} s", "15min"))
    if facts.wal_compression not in ("lz4", "zstd") and (
        facts.has_lz4 or facts.wal_compression == "off"
    ):
        low.append(("wal_compression", facts.wal_compression, "lz4" if facts.has_lz4 else "pglz"))
    for name, value, advice in low:
        yield Check(
            "warning",
            f"database-{name.replace('_', '-')}",
            f"{name} is {value}, below the recommendation",
            f"Set {name} = {advice} in postgresql.conf",
        )
    if not facts.has_lz4:
        what = f"This PostgreSQL is built without lz4 (wal_compression is {facts.wal_compression})"
        yield Check("warning", "database-no-lz4", what, "Use a build with lz4 in production")
    elif not low:
        yield Check("ok", "database-tuned", "Memory and write-ahead log are as recommended")


def lock_checks(facts: ServerFacts, log_days: int) -> Iterable[Check]:
    """Whether the server's lock table has room for the log: a look-up locks every day of it."""
    needed = (log_days + DAYS_AHEAD) * LOCKS_A_DAY * SESSIONS
    room = facts.max_locks * facts.sessions
    if room < needed:
        what = f"The lock table holds {room} locks; {log_days} days of the log may need {needed}"
        fix = f"Set max_locks_per_transaction = {-(-needed // facts.sessions)} and restart"
        yield Check("warning", "database-lock-table", what, fix)


def row_checks(rows: RowFacts) -> Iterable[Check]:
    """Rows that should not be there, and what waits for people."""
    if rows.missing_days:
        what = f"The log has no partition for {', '.join(rows.missing_days)}"
        yield Check("problem", "partition-missing", what, "Start layshaft run: it makes them")
    if rows.fallen_rows:
        what = f"{rows.fallen_rows} messages stand in message_default: their day had no partition"
        fix = "Start layshaft run: it makes the day and moves them"
        yield Check("warning", "partition-default", what, fix)
    if rows.old_days:
        what = f"{rows.old_days} days of the log are older than retention.log_days"
        fix = "See layshaft_housekeeping_* in /metrics; end long transactions that read the log"
        yield Check("warning", "partition-old", what, fix)
    if rows.kept_rows:
        what = f"{rows.kept_rows} unfinished messages have outlived their day of the log"
        yield Check("ok", "partition-kept", what, "They go once what they are about is finished")
    if rows.stuck:
        what = f"{rows.stuck} rows wait for nothing that would wake them"
        yield Check("problem", "stuck-rows", what, "Report it: this is a defect of Layshaft")
    if rows.late_outbox:
        what = f"{rows.late_outbox} events are not confirmed for over {diagnosis.OUTBOX_LATE_S} s"
        fix = "See that layshaft run is up and RabbitMQ takes messages (queues full?)"
        yield Check("problem", "outbox-late", what, fix)
    if not (rows.missing_days or rows.fallen_rows or rows.stuck or rows.late_outbox):
        yield Check("ok", "rows", "Partitions ready; nothing stuck, nothing late in the outbox")
    if rows.open_cases or rows.open_approvals:
        people = plural(rows.open_approvals, "approval"), plural(rows.open_cases, "case")
        what = f"Waiting for people: {', '.join(people)}"
        yield Check("ok", "people", what, "layshaft task list; layshaft case list")


def hold_checks(holds: Sequence[Hold]) -> Iterable[Check]:
    """What people have stopped: on purpose, so it is said and is no finding."""
    for hold in holds:
        what = f"On hold: {hold.name}: {hold.words}"
        yield Check("ok", "hold", what, f'layshaft release {hold.id} --reason "..."')


async def _broker(settings: Settings) -> list[Check]:
    where = without_password(settings.amqp_url)
    try:
        async with asyncio.timeout(BROKER_S * 4):
            async with await aio_pika.connect_robust(
                settings.amqp_url, timeout=BROKER_S, fail_fast=True
            ) as connection:
                found = [version_check(_server_version(connection), where)]
                wanted = topology_of(settings, CATALOGUE.events, await _rings(settings))
                drifts = await drift(connection, wanted, deadline_s=BROKER_S)
    except Failure as failure:
        return [Check("problem", failure.code, failure.what, failure.remedy)]
    except (OSError, TimeoutError, AMQPError, ValueError, *CONNECTION_EXCEPTIONS) as error:
        what = f"{where} does not answer: {_why(error)}"
        return [Check("unreachable", "broker-unreachable", what, "Start it or correct amqp_url")]
    if not drifts:
        return [*found, Check("ok", "topology", "Exchanges and queues are as configured")]
    missing = [d for d in drifts if d.kind == "missing"]
    fix = "Start layshaft run, or look at /readyz of the one that runs: it declares what is missing"
    if len(missing) < len(drifts):
        fix = "Queues cannot be changed: empty and delete the one named, then start layshaft run"
    named = ", ".join(f"{d.subject} {d.kind}" for d in drifts[:DRIFTS_SHOWN])
    rest = f" and {len(drifts) - DRIFTS_SHOWN} more" if len(drifts) > DRIFTS_SHOWN else ""
    return [*found, Check("problem", "topology-drift", f"{named}{rest}", fix)]


async def _rings(settings: Settings) -> list[Ring]:
    """Those whose queues have to exist; none where the database cannot say, which is reported by
    its own check."""
    database = Database(
        url=settings.database_url,
        purpose="cli",
        size=1,
        acquire_s=ACQUIRE_S,
        statement_s=STATEMENT_S,
    )
    try:
        await database.open()
        async with database.session() as session:
            return [r for r in await partition_rows.rings(session) if r.is_declared]
    except (
        Failure,
        OSError,
        TimeoutError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        ValueError,
    ):
        return []
    finally:
        await database.close()


def version_check(version: str, where: str) -> Check:
    """Whether this RabbitMQ is one Layshaft is tried with."""
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if len(numbers) == 2 and OLDEST_RABBITMQ <= numbers <= NEWEST_RABBITMQ:
        return Check("ok", "broker", f"RabbitMQ {version} at {where}")
    low, high = (".".join(map(str, v)) for v in (OLDEST_RABBITMQ, NEWEST_RABBITMQ))
    what = f"RabbitMQ {version or 'of unknown version'} at {where}: tried with {low} to {high}"
    return Check("warning", "broker-version", what, f"Use RabbitMQ {low} to {high}")


def _server_version(connection: AbstractRobustConnection) -> str:
    transport = connection.transport
    properties = transport.connection.server_properties if transport else {}
    version = properties.get("version", "")
    return version.decode() if isinstance(version, bytes) else str(version)


async def _systems(settings: Settings) -> list[Check]:
    return list(await asyncio.gather(*(_system(s.name, s.base_url) for s in settings.systems)))


async def _system(name: str, url: str) -> Check:
    """Whether something listens; no request is made, so that nothing can be changed by it."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        async with asyncio.timeout(SYSTEM_S):
            _, writer = await asyncio.open_connection(parts.hostname, port)
        writer.close()
    except (OSError, TimeoutError, ValueError) as error:
        why = str(error) or f"no answer in {SYSTEM_S:g} s"
        return Check(
            "problem",
            "system-unreachable",
            f"{name} at {without_password(url)}: {why}",
            "Its calls wait and are tried again; start it or correct base_url",
        )
    return Check("ok", "system", f"{name} listens at {without_password(url)}")


def _secrets(settings: Settings, environ: Mapping[str, str]) -> Iterable[Check]:
    missing = 0
    for system in settings.systems:
        try:
            secret(system.secret, environ)
        except Misconfigured as failure:
            missing += 1
            yield Check("problem", failure.code, f"{system.name}: {failure.what}", failure.remedy)
    if settings.systems and not missing:
        yield Check("ok", "secrets", f"{len(settings.systems)} secrets are where they should be")


def _why(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _memory_bytes(url: str) -> int:
    """Memory of the database's machine as far as we know it: ours, if it is ours."""
    if urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1", None):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return 4 * GIB
