"""How the procurement stand-in tells what changed: times on its objects, lists since one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from operator import ge, gt, le, lt
from typing import cast

import msgspec

from ops.sandbox.refusal import Refused
from ops.sandbox.tables import Record

UPDATED, CREATED, EXPORTED, FIELDS = "updated-at", "created-at", "exported", "fields"

Bound = tuple[Callable[[datetime, datetime], bool], datetime]

_COMPARED: Mapping[str, Callable[[datetime, datetime], bool]] = {
    f"{UPDATED}[gt]": gt,
    f"{UPDATED}[gt_or_eq]": ge,
    f"{UPDATED}[lt]": lt,
    f"{UPDATED}[lt_or_eq]": le,
}


def stamped(row: Record, now: datetime) -> Record:
    """A row that has just come to be; times that it states itself stay. Nobody marks objects as
    exported here, so all are told as not exported."""
    time = _written(now)
    initial: Record = {CREATED: time, UPDATED: time, EXPORTED: False}
    return initial | row


def touched(before: Record, after: Record, now: datetime) -> Record:
    """The row after a change; one that changes nothing is none."""
    return after if before == after else after | {UPDATED: _written(now), EXPORTED: False}


def _written(time: datetime) -> str:
    # To the second, as the vendor does: two changes may have one time.
    return time.isoformat(timespec="seconds")


def bounds(query: Mapping[str, str]) -> Mapping[str, Bound]:
    """What a list asks of `updated-at`, by the name of the parameter.

    Raises: Refused 400 for what is no time.
    """
    return {
        name: (_COMPARED[name], _time(name, value))
        for name, value in query.items()
        if name in _COMPARED
    }


def _time(name: str, text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise Refused(400, "", "is not a time", name) from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def are_since(row: Record, asked: Mapping[str, Bound]) -> bool:
    """Whether the row changed within all bounds; without any it did."""
    if not asked:
        return True
    changed = _time(UPDATED, cast(str, row[UPDATED]))
    return all(compare(changed, bound) for compare, bound in asked.values())


def fields_of(asked: str | None) -> Sequence[str] | None:
    """The names that are asked for; None = all.

    Raises: Refused 400 for anything but a list of names.
    """
    if asked is None:
        return None
    try:
        return msgspec.json.decode(asked, type=list[str])
    except msgspec.DecodeError as error:
        raise Refused(400, "", "is understood as a list of names only", FIELDS) from error


def told(row: Record, names: Sequence[str] | None) -> Record:
    """The row with these fields of it only."""
    return row if names is None else {name: row[name] for name in names if name in row}
