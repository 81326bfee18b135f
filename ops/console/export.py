"""A list as a file: comma-separated or one JSON object a line, row by row as it is read."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec
from aiohttp import web

from broker.store import Tx, views
from broker.store.task_list import LOOKED_THROUGH, Wanted, chosen
from broker.store.views import TaskRow

T = TypeVar("T")

# A cell that begins so is taken for a formula by spreadsheets.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# Rows that are read, and written, at a time.
_SLICE = 500
_TYPES = {"csv": "text/csv", "jsonl": "application/jsonl"}


def csv_line(cells: Iterable[str]) -> str:
    """One line; what a spreadsheet would carry out stands behind an apostrophe."""
    out = io.StringIO()
    csv.writer(out).writerow([f"'{c}" if c.startswith(_FORMULA) else c for c in cells])
    return out.getvalue()


def json_line(row: object) -> str:
    """One line."""
    return msgspec.json.encode(row).decode() + "\n"


async def whole(tx: Tx, wanted: Wanted, *, newest_first: bool = False) -> list[TaskRow]:
    """All approvals that are wanted, as many as are looked through."""
    found = await chosen(tx, wanted, limit=LOOKED_THROUGH, newest_first=newest_first)
    rows: list[TaskRow] = []
    for start in range(0, len(found.ids), _SLICE):
        rows += await views.tasks_of(tx, found.ids[start : start + _SLICE])
    return rows


async def streamed(
    request: web.Request,
    name: str,
    heads: Sequence[str],
    rows: Sequence[T],
    cells_of: Callable[[T], list[str]],
) -> web.StreamResponse:
    """The file, of the kind that the address ends with. heads, cells_of: of a comma-separated one.

    rows: read before, so that who takes them slowly keeps nobody from the database.
    """
    kind = request.match_info["kind"]
    response = web.StreamResponse(
        headers={
            "Content-Type": f"{_TYPES[kind]}; charset=utf-8",
            "Content-Disposition": f'attachment; filename="{name}.{kind}"',
        }
    )
    await response.prepare(request)
    if kind == "csv":
        # By the mark Excel knows that it is UTF-8.
        await response.write(("\ufeff" + csv_line(heads)).encode())
    for start in range(0, len(rows), _SLICE):
        lines = (
            json_line(row) if kind == "jsonl" else csv_line(cells_of(row))
            for row in rows[start : start + _SLICE]
        )
        await response.write("".join(lines).encode())
    await response.write_eof()
    return response
