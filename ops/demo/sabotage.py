"""The report's test of itself: something is made false just before it looks.

LAYSHAFT_DEMO_BEFORE_REPORT holds commands, one a line, for the control paths of the stand-ins:

    DELETE erp A_PurchasingInfoRecord              empties the table
    POST erp A_Product {"Product": "GHOST-1"}      plants a row that nobody asked for

A report that still held after that would prove nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from ops.demo.observe import Target

VARIABLE = "LAYSHAFT_DEMO_BEFORE_REPORT"


class Sabotage(msgspec.Struct, frozen=True):
    """One command. row: JSON of the row to plant."""

    method: Literal["DELETE", "POST"]
    target: Literal["erp", "procurement"]
    table: str
    row: str = ""


def read_commands(environ: Mapping[str, str]) -> tuple[Sabotage, ...]:
    """The commands in the environment.

    Raises: msgspec.ValidationError for one that cannot be understood.
    """
    lines = filter(None, map(str.strip, environ.get(VARIABLE, "").splitlines()))
    return tuple(_read(line) for line in lines)


def _read(line: str) -> Sabotage:
    names = ("method", "target", "table", "row")
    return msgspec.convert(dict(zip(names, line.split(maxsplit=3), strict=False)), Sabotage)


async def commit(commands: tuple[Sabotage, ...], targets: Mapping[str, Target]) -> None:
    """All commands have been carried out."""
    for command in commands:
        target = targets[command.target]
        if command.method == "DELETE":
            await target.empty(command.table)
        else:
            await target.plant(command.table, command.row.encode())
