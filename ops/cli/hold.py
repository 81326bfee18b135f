"""`layshaft hold` and `layshaft release`: what is done to other systems stops, and goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from broker import holds as work
from broker.principals import Principal
from broker.store import Tx, views
from broker.store import holds as rows
from broker.store.holds import HoldKind, HoldRow
from handlers import FLOWS
from ops.cli.numbered import MANY, put_list, required_reason
from ops.cli.output import Column, moment, plural, screen, talk
from ops.cli.problems import Exit, Problem, did_you_mean
from ops.cli.session import Actor, Common, Reading, act, configuration, read
from ops.configuration import Configuration


def hold(
    *,
    system: str = "",
    plant: str = "",
    flow: str = "",
    reason: str = "",
    actor: Actor = Actor(),  # noqa: B008 - frozen
    state: Literal["open", "released", "all"] = "open",
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> None:
    """Stop what Layshaft writes to a system, for a plant or of a flow; without these, list holds.

    Messages come in and are planned as ever. Calls under way end, and calls that only ask go on;
    everything else waits, in its order, for `layshaft release`.

    Parameters
    ----------
    system
        Stop all writes to this system, e.g. erp.
    plant
        Stop all writes for this plant, e.g. 1010.
    flow
        Stop all writes of this kind of business object, e.g. engineering-change.
    reason
        Why; kept, and shown to everybody who asks what a step waits for.
    state
        Of the list: which holds.
    """
    asked: dict[HoldKind, str] = {"system": system, "plant": plant, "flow": flow}
    given = {kind: value.strip() for kind, value in asked.items() if value.strip()}
    if not given:
        if reason:
            raise _one_of_them("a reason is given, and nothing that it is for")
        _list(reading, state)
        return
    if len(given) > 1:
        raise _one_of_them(f"{', '.join(f'--{kind}' for kind in given)} are given")
    ((kind, value),) = given.items()
    _place(reading, actor, kind, value, reason)


def release(
    hold_id: int,
    /,
    *,
    reason: str,
    actor: Actor = Actor(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> None:
    """Let what a hold has stopped go on, in the order in which it became due.

    Parameters
    ----------
    hold_id
        Number of the hold.
    reason
        Why it may go on; kept.
    """
    why = required_reason(reason)
    if abs(hold_id) >= MANY:
        raise Problem(
            Exit.NOT_FOUND,
            "not-found",
            f"There is no hold {hold_id}",
            why="no hold of this database has that number",
            fix="See: layshaft hold",
        )

    async def released(tx: Tx, who: Principal) -> tuple[str, work.Done]:
        return who.name, await work.release(tx, hold_id=hold_id, reason=why, by=who.name)

    name, done = act(common, actor, lambda tx: work.deed_of_release(tx, hold_id), released)
    waiting = plural(done.stopped.waiting, "call")
    screen().line(f"Hold {hold_id} on {done.hold.name} released by {name}: {waiting} may go on")
    others = read(common, rows.open_holds)
    if others:
        talk(f"Still in force: {', '.join(f'{h.id} on {h.name}' for h in others)}")


def _place(reading: Reading, actor: Actor, kind: HoldKind, value: str, reason: str) -> None:
    why = required_reason(reason)
    known = known_values(configuration(reading))[kind]
    if value not in known:
        raise Problem(
            Exit.NOT_FOUND,
            "hold-of-nothing",
            f"There is no {kind} {value!r} in the configuration",
            why=f"known are {', '.join(sorted(known)) or 'none'}",
            fix=f"{did_you_mean(value, known)}Name one of them with --{kind}",
        )

    async def place(tx: Tx, who: Principal) -> tuple[str, work.Done]:
        return who.name, await work.place(tx, kind=kind, value=value, reason=why, by=who.name)

    name, done = act(reading, actor, lambda tx: work.deed_of_place(tx, kind, value), place)
    hold_id, stopped = done.hold.id, done.stopped
    screen().line(
        f"Hold {hold_id} on {done.hold.name} placed by {name}:"
        f" {plural(stopped.waiting, 'call')} held back so far"
    )
    if stopped.under_way:
        talk(f"{plural(stopped.under_way, 'call')} under way will still come to an end.")
    talk(f'To let it go on: layshaft release {hold_id} --reason "..."')


def known_values(chosen: Configuration) -> Mapping[HoldKind, Sequence[str]]:
    """What can be held, by kind."""
    return {
        "system": [system.name for system in chosen.settings.systems],
        "plant": [plant.code for plant in chosen.rules.plants],
        "flow": FLOWS,
    }


def _list(reading: Reading, state: Literal["open", "released", "all"]) -> None:
    put_list(
        reading,
        read(reading, lambda tx: rows.listed(tx, state, limit=views.LIST_LIMIT)),
        [
            (Column("hold", is_number=True), lambda h: str(h.id)),
            (Column("on"), lambda h: h.name),
            (Column("waiting", is_number=True), lambda h: _calls(h.waiting)),
            (Column("under way", is_number=True), lambda h: _calls(h.under_way)),
            (Column("since (UTC)"), lambda h: moment(h.at)),
            (Column("by"), lambda h: h.by),
            (Column("released (UTC)"), lambda h: moment(h.released_at)),
            (Column("released by"), lambda h: h.released_by),
            (Column("reason", is_text=True), _reasons),
        ],
        nothing="Nothing is on hold." if state == "open" else "There is none.",
    )


def _calls(number: int) -> str:
    return plural(number, "call") if number else ""


def _reasons(row: HoldRow) -> str:
    if not row.release_reason:
        return row.reason
    return f"{row.reason}; released: {row.release_reason}"


def _one_of_them(why: str) -> Problem:
    return Problem(
        Exit.USAGE,
        "hold-of-what",
        "A hold is on one system, one plant or one flow",
        why=why,
        fix='Give one: layshaft hold --system NAME --reason "...". To list them: layshaft hold',
    )
