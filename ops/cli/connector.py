"""`layshaft connector`: how systems are called, and stopping and testing that."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from cyclopts import App

from broker import outages as outage_work
from broker.dispatcher import look
from broker.hours import closed
from broker.principals import Principal
from broker.quota import left, through_at_s
from broker.settings import System
from broker.store import Tx
from broker.store import closures as closure_rows
from broker.store import connectors as connector_rows
from broker.store import holds as hold_rows
from broker.store import quotas as quota_rows
from broker.store.closures import ClosureRow, Outage
from broker.store.holds import Hold
from canonical.connector import Driver, Present
from canonical.effects import Step
from canonical.item import Item
from canonical.operations import CALLS, PutItem, ReadSupplier
from canonical.revision import Revision
from handlers import CATALOGUE
from ops.cli.hold import hold, release
from ops.cli.numbered import MANY, put_list, required_reason
from ops.cli.output import Column, moment, plural, put_json, screen, talk
from ops.cli.problems import Exit, Problem, did_you_mean
from ops.cli.session import Actor, Common, Reading, act, configuration, read
from ops.systems import channel_of, driver_of

app = App(
    name="connector",
    help="See how systems are called, and steer it: list, show, test, pause, resume, outage.",
)

# What is looked for where a call is only to show that it works; nobody has it.
NOBODYS = "LAYSHAFT-TEST"
# A look, and a write where something differs.
CALLS_A_STEP = 2


class QuotaView(msgspec.Struct, frozen=True):
    """A quota, and how many calls may be made now: by the critical lane, by others."""

    limit: int
    per_s: float
    api: str
    left_critical: int
    left: int


class ConnectorView(msgspec.Struct, frozen=True):
    """How one system is called. state: open, closed, tried, or held; why: in words. through_at:
    when all that waits can have been called, by the quotas alone; None without any."""

    name: str
    driver: str
    address: str
    state: str
    why: str
    until: datetime | None
    waiting: int
    under_way: int
    last_done_at: datetime | None
    quotas: tuple[QuotaView, ...]
    through_at: datetime | None
    outages: tuple[Outage, ...]


@app.command(name="list")
def list_connectors(*, reading: Reading = Reading()) -> None:  # noqa: B008 - frozen
    """Show the systems that Layshaft calls, and how calls to each stand."""
    put_list(
        reading,
        _views(reading),
        [
            (Column("system"), lambda c: c.name),
            (Column("driver"), lambda c: c.driver),
            (Column("state"), lambda c: c.state),
            (Column("until (UTC)"), lambda c: moment(c.until)),
            (Column("waiting", is_number=True), lambda c: _calls(c.waiting)),
            (Column("under way", is_number=True), lambda c: _calls(c.under_way)),
            (Column("through (UTC)"), lambda c: moment(c.through_at) if c.waiting else ""),
            (Column("last done (UTC)"), lambda c: moment(c.last_done_at)),
            (Column("why", is_text=True), lambda c: c.why),
        ],
        nothing="No system is configured.",
    )


@app.command
def show(name: str, /, *, reading: Reading = Reading()) -> None:  # noqa: B008 - frozen
    """Show one system: its state, its quotas, announced outages.

    Parameters
    ----------
    name
        Name of the system in the configuration.
    """
    _system(reading, name)
    [found] = [view for view in _views(reading) if view.name == name]
    if reading.is_json:
        put_json(found)
        return
    screen().fields(
        [
            ("system", f"{found.name}, by {found.driver}, at {found.address}"),
            ("state", found.state + (f" until {moment(found.until)} UTC" if found.until else "")),
            ("why", found.why),
            ("waiting", _calls(found.waiting)),
            ("under way", _calls(found.under_way)),
            ("last done", f"{moment(found.last_done_at)} UTC" if found.last_done_at else "never"),
            (
                "through",
                f"{moment(found.through_at)} UTC at the earliest, by its quotas"
                if found.through_at and found.waiting
                else "",
            ),
        ]
    )
    if found.quotas:
        screen().line()
        screen().table(
            [
                Column("calls", is_number=True),
                Column("in"),
                Column("of"),
                Column("left", is_number=True),
                Column("left, critical", is_number=True),
            ],
            [
                [
                    str(quota.limit),
                    f"{quota.per_s:g} s",
                    quota.api or "all",
                    str(quota.left),
                    str(quota.left_critical),
                ]
                for quota in found.quotas
            ],
        )
    if found.outages:
        screen().line()
        _put_outages(found.outages)


@app.command(name="test")
def try_out(name: str, /, *, common: Common = Common()) -> None:  # noqa: B008 - frozen
    """Log in to a system and look for something that nobody has; nothing is changed.

    Exit code 0: it answered as it should. Its quotas are not asked, and it is one call of them.

    Parameters
    ----------
    name
        Name of the system in the configuration.
    """
    chosen = configuration(common)
    system = _system(common, name)
    driver = driver_of(system, CATALOGUE.drivers, chosen.rules.words_of(name))
    step = _harmless(driver, name)

    async def ask() -> tuple[bool, float]:
        deadlines = chosen.settings.deadlines
        async with channel_of(system, deadlines, CATALOGUE.access, os.environ) as channel:
            began = asyncio.get_running_loop().time()
            found = await look(driver, step, channel.perform)
            return isinstance(found, Present), asyncio.get_running_loop().time() - began

    is_there, took_s = asyncio.run(ask())
    said = "has" if is_there else "has no"
    screen().line(
        f"{name} answers as {system.driver} should, in {took_s:.1f} s: it {said} {NOBODYS}"
    )


@app.command
def pause(
    name: str,
    /,
    *,
    reason: str,
    actor: Actor = Actor(),  # noqa: B008 - frozen
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> None:
    """Stop what Layshaft writes to a system, until it is resumed: `layshaft hold --system NAME`.

    Parameters
    ----------
    name
        Name of the system in the configuration.
    reason
        Why; kept, and shown to everybody who asks what a step waits for.
    """
    hold(system=name, reason=reason, actor=actor, reading=reading)


@app.command
def resume(
    name: str,
    /,
    *,
    reason: str,
    actor: Actor = Actor(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Let what was stopped of a system go on, in its order: `layshaft release`.

    Parameters
    ----------
    name
        Name of the system in the configuration.
    reason
        Why it may go on; kept.
    """
    _system(common, name)
    held = [h for h in read(common, hold_rows.open_holds) if (h.kind, h.value) == ("system", name)]
    if not held:
        raise Problem(
            Exit.NOT_FOUND,
            "not-paused",
            f"{name} is not paused",
            why="no hold on this system is in force",
            fix="See: layshaft hold",
        )
    release(held[0].id, reason=reason, actor=actor, common=common)


@app.command
def outage(
    name: str,
    /,
    *,
    from_: datetime,
    until: datetime,
    reason: str,
    actor: Actor = Actor(),  # noqa: B008 - frozen
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> None:
    """Announce that a system is away: it is not called meanwhile, and what is due waits.

    Parameters
    ----------
    name
        Name of the system in the configuration.
    from_
        When it begins, e.g. 2026-12-05T02:00; without a zone in UTC.
    until
        When it is over.
    reason
        Why; kept, and shown to everybody who asks why it is not called.
    """
    why = required_reason(reason)
    _system(reading, name)
    starts_at, ends_at = _utc(from_), _utc(until)
    if ends_at <= starts_at or ends_at <= datetime.now(UTC):
        raise Problem(
            Exit.USAGE,
            "outage-over",
            "The outage would be over before it begins, or is over already",
            why=f"it is from {moment(starts_at)} to {moment(ends_at)} UTC",
            fix="Give --from before --until, and --until in the future",
        )

    async def announce(tx: Tx, who: Principal) -> Outage:
        return await outage_work.announce(
            tx, system=name, starts_at=starts_at, ends_at=ends_at, reason=why, by=who.name
        )

    done = act(reading, actor, lambda tx: outage_work.deed_of_announcing(name), announce)
    screen().line(
        f"Outage {done.id} of {name} announced by {done.by}: {moment(done.starts_at)} to"
        f" {moment(done.ends_at)} UTC"
    )
    talk(f'To take it back or end it: layshaft connector outage-over {done.id} --reason "..."')


@app.command
def outage_over(
    outage_id: int,
    /,
    *,
    reason: str,
    actor: Actor = Actor(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """End an announced outage, or take back one that is yet to come.

    Parameters
    ----------
    outage_id
        Number of the outage.
    reason
        Why; kept.
    """
    why = required_reason(reason)
    number = outage_id if abs(outage_id) < MANY else 0

    async def end(tx: Tx, who: Principal) -> Outage:
        return await outage_work.end(tx, outage_id=number, reason=why, by=who.name)

    done = act(common, actor, lambda tx: outage_work.deed_of_ending(tx, number), end)
    screen().line(f"Outage {done.id} of {done.system} is over")


def _put_outages(outages: Sequence[Outage]) -> None:
    screen().table(
        [
            Column("outage", is_number=True),
            Column("from (UTC)"),
            Column("until (UTC)"),
            Column("by"),
            Column("reason", is_text=True),
        ],
        [[str(o.id), moment(o.starts_at), moment(o.ends_at), o.by, o.reason] for o in outages],
    )


def _views(reading: Reading) -> list[ConnectorView]:
    systems = configuration(reading).settings.systems

    async def standing(tx: Tx) -> list[ConnectorView]:
        names = [system.name for system in systems]
        backlogs = await connector_rows.backlogs(tx, names, sorted(CALLS))
        closures = await closure_rows.listed(tx)
        outages = await closure_rows.outages(tx)
        holds = {h.value: h for h in await hold_rows.open_holds(tx) if h.kind == "system"}
        now = await tx.fetchval("select clock_timestamp()")
        return [
            await _view(
                tx,
                system,
                backlogs[system.name],
                [closure for closure in closures if closure.system == system.name],
                [one for one in outages if one.system == system.name],
                holds,
                now,
            )
            for system in systems
        ]

    return read(reading, standing)


async def _view(
    tx: Tx,
    system: System,
    backlog: connector_rows.Backlog,
    closures: Sequence[ClosureRow],
    outages: Sequence[Outage],
    holds: Mapping[str, Hold],
    now: datetime,
) -> ConnectorView:
    state, why, until = _state(system, closures, outages, holds, now)
    used = await quota_rows.standing(tx, system.name, system.quotas)
    pairs = list(zip(system.quotas, used.taken, strict=True))
    calls = backlog.waiting * CALLS_A_STEP
    through_s = through_at_s(pairs, calls, used.now_s, critical=False) - used.now_s
    return ConnectorView(
        name=system.name,
        driver=system.driver,
        address=system.base_url,
        state=state,
        why=why,
        until=until,
        waiting=backlog.waiting,
        under_way=backlog.under_way,
        last_done_at=backlog.last_done_at,
        quotas=tuple(
            QuotaView(
                limit=quota.limit,
                per_s=quota.per_s,
                api=quota.api,
                left_critical=left(quota, taken, quota.bucket(used.now_s), critical=True),
                left=left(quota, taken, quota.bucket(used.now_s), critical=False),
            )
            for quota, taken in pairs
        ),
        through_at=max(now, until or now) + timedelta(seconds=through_s) if pairs else None,
        outages=tuple(outages),
    )


def _state(
    system: System,
    closures: Sequence[ClosureRow],
    outages: Sequence[Outage],
    holds: Mapping[str, Hold],
    now: datetime,
) -> tuple[str, str, datetime | None]:
    """In a word, why, and until when: what lasts longest counts."""
    if system.name in holds:
        return "held", holds[system.name].words, None
    found = [(c.until, f"{c.why}{' (lower lanes)' if c.lower else ''}") for c in closures]
    found += [(o.ends_at, f"outage: {o.reason}, by {o.by}") for o in outages if o.starts_at <= now]
    by_the_clock = closed(system.closed, now)
    if by_the_clock is not None:
        found.append((by_the_clock.until, by_the_clock.why))
    if not found:
        return "open", "", None
    until, why = max(found)
    return ("closed", why, until) if until > now else ("tried", why, None)


def _system(common: Common, name: str) -> System:
    systems = {system.name: system for system in configuration(common).settings.systems}
    if name not in systems:
        raise Problem(
            Exit.NOT_FOUND,
            "system-unknown",
            f"There is no system {name!r} in the configuration",
            why=f"known are {', '.join(sorted(systems)) or 'none'}",
            fix=f"{did_you_mean(name, sorted(systems))}Name one of them",
        )
    return systems[name]


def _harmless(driver: Driver, system: str) -> Step:
    """A step whose object is looked for and not there."""
    if ReadSupplier in driver.operations:
        return Step("", system, "supplier", NOBODYS, ReadSupplier(NOBODYS))
    if PutItem in driver.operations:
        item = Item(
            number=NOBODYS,
            revision=Revision("letters", "A", 1),
            lifecycle="released",
            description="",
            kind="part",
            procurement="buy",
            base_unit="H87",
        )
        return Step("", system, "item", NOBODYS, PutItem(item))
    raise Problem(
        Exit.USAGE,
        "nothing-to-look-for",
        f"{driver.name} looks for nothing that a test could ask for",
        why="it neither reads suppliers nor writes items",
        fix="See what its last calls came to: layshaft connector show",
    )


def _calls(number: int) -> str:
    return plural(number, "call") if number else ""


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
