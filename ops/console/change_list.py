"""The page of all changes: a filter in its address, by what production waits for, and exports."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from broker.store import views
from broker.store.change_list import (
    LOOKED_THROUGH,
    MOST_CHARACTERS,
    STAGE_WORDS,
    STAGES,
    ChangeRow,
    Found,
    Order,
    Wanted,
    changes,
    choices,
)
from canonical.errors import Rejected
from ops.change_status import list_waits, risk_words
from ops.cli.change_controls import number_of
from ops.console.guards import READING
from ops.console.pages import SIGNED, answer

PAGE = 50
Writer = Callable[[Sequence[ChangeRow], bool], bytes]
_FILTERS = ("number", "plant", "supplier", "family", "stage")
_ORDERS: tuple[Order, ...] = ("risk", "newest")
# What a spreadsheet would take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Asked(msgspec.Struct, frozen=True):
    """What the address asks for. page: from 1 on."""

    wanted: Wanted
    order: Order
    page: int


def asked(query: Mapping[str, str], scope: tuple[str, ...]) -> Asked:
    """What is asked for.

    Raises: Rejected("filter-unknown") naming what cannot be asked for.
    """
    given = {name: query.get(name, "").strip() for name in _FILTERS}
    for name, value in given.items():
        if len(value) > MOST_CHARACTERS or "\0" in value:
            raise _unknown(name, f"a text of up to {MOST_CHARACTERS} characters")
    if given["stage"] and given["stage"] not in STAGES:
        raise _unknown("stage", ", ".join(STAGES))
    order, page = query.get("order") or "risk", query.get("page") or "1"
    if order not in _ORDERS:
        raise _unknown("order", ", ".join(_ORDERS))
    last = LOOKED_THROUGH // PAGE
    if not (page.isascii() and page.isdecimal() and len(page) < 5 and 0 < int(page) <= last):
        raise _unknown("page", f"a number from 1 to {last}")
    return Asked(
        msgspec.convert({**given, "scope": scope}, Wanted), msgspec.convert(order, Order), int(page)
    )


def address(asked: Asked, *, path: str = "/changes", **other: object) -> str:
    """The address that asks for it. other: parts that are to be otherwise."""
    parts: dict[str, object] = {name: getattr(asked.wanted, name) for name in _FILTERS}
    parts |= {"order": asked.order, "page": asked.page} | other
    kept = {
        name: value
        for name, value in parts.items()
        if value not in ("", 1 if name == "page" else "risk" if name == "order" else "")
    }
    return f"{path}?{urlencode(kept)}" if kept else path


def command(asked: Asked) -> str:
    """The command that lists the same."""
    options = [
        f"--{name} {shlex.quote(value)}"
        for name in _FILTERS
        if (value := getattr(asked.wanted, name))
    ]
    by_risk = ["--by-risk"] if asked.order == "risk" else []
    return " ".join(["layshaft change list", *by_risk, *options])


async def page(request: web.Request) -> web.Response:
    """The changes that are asked for."""
    who = request[SIGNED].who
    wanted = asked(request.query, who.plants)
    async with views.snapshot(request.app[READING]) as tx:
        found = await changes(
            tx,
            wanted.wanted,
            order=wanted.order,
            limit=PAGE,
            offset=(wanted.page - 1) * PAGE,
        )
        known = await choices(tx, scope=who.plants)
    return answer(
        request,
        "changes.html",
        asked=wanted,
        rows=found.rows,
        matched=found.matched,
        first=(wanted.page - 1) * PAGE + 1,
        looked_through=LOOKED_THROUGH if found.is_cut else 0,
        top=_top(found, wanted),
        choices=known,
        stages=STAGE_WORDS,
        waits=list_waits,
        name=number_of,
        line=command(wanted),
        address=lambda **other: address(wanted, **other),
        last=max(1, -(-found.matched // PAGE)),
        is_filtered=any(getattr(wanted.wanted, name) for name in _FILTERS),
    )


async def as_csv(request: web.Request) -> web.StreamResponse:
    """The same rows as CSV."""
    return await _export(request, "text/csv", "changes.csv", _csv)


async def as_json_lines(request: web.Request) -> web.StreamResponse:
    """The same rows as JSON Lines; field names are those of `layshaft change list -o json`."""
    return await _export(request, "application/jsonl", "changes.jsonl", _json_lines)


async def _export(
    request: web.Request, content_type: str, name: str, write: Writer
) -> web.StreamResponse:
    wanted = asked(request.query, request[SIGNED].who.plants)
    async with views.snapshot(request.app[READING]) as tx:
        found = await changes(tx, wanted.wanted, order=wanted.order, limit=LOOKED_THROUGH)
    response = web.StreamResponse(
        headers={
            "Content-Type": f"{content_type}; charset=utf-8",
            "Content-Disposition": f'attachment; filename="{name}"',
        }
    )
    await response.prepare(request)
    for start in range(0, max(len(found.rows), 1), PAGE):
        await response.write(write(found.rows[start : start + PAGE], start == 0))
    await response.write_eof()
    return response


def _csv(rows: Sequence[ChangeRow], is_first: bool) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    names = ChangeRow.__struct_fields__
    if is_first:
        writer.writerow(names)
    for row in rows:
        writer.writerow([_plain(msgspec.to_builtins(getattr(row, name))) for name in names])
    return text.getvalue().encode()


def _plain(value: object) -> str:
    """A cell that a spreadsheet shows and does not carry out."""
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    text = "" if value is None else text
    return f"'{text}" if text.startswith(_FORMULA) else text


def _json_lines(rows: Sequence[ChangeRow], is_first: bool) -> bytes:
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def _top(found: Found, wanted: Asked) -> str:
    """Why the first row is the first one; "" where nothing waits for it."""
    if wanted.order != "risk" or wanted.page != 1 or not found.rows or not found.rows[0].risk:
        return ""
    return risk_words(found.rows[0])


def _unknown(name: str, known: str) -> Rejected:
    return Rejected(
        "filter-unknown",
        f"Changes cannot be listed by that {name}",
        where=f"{name} in the address",
        remedy=f"Give {known}",
        owner="you",
    )
