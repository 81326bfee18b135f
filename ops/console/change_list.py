"""The page of all changes: a filter in its address, by what production waits for, and exports."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import get_args

import msgspec
from aiohttp import web

from broker.principals import Principal
from broker.store import views
from broker.store.change_list import (
    LOOKED_THROUGH,
    STAGE_WORDS,
    STAGES,
    ChangeRow,
    Found,
    Order,
    Wanted,
    changes,
    choices,
)
from ops.change_status import list_waits, risk_words
from ops.cli.change_controls import number_of
from ops.console.export import streamed
from ops.console.guards import READING
from ops.console.lists import PAGE_ROWS, Paging, around, given, page_number, query_of
from ops.console.pages import SIGNED, answer

PATH = "/changes"
ORDERS: tuple[Order, ...] = get_args(Order)
# Others are asked for by an option of the same name.
_NARROWED = ("number", "plant", "supplier", "family", "stage")


def filters_of(values: Mapping[str, str]) -> dict[str, str]:
    """How an address narrows and orders the list. values: its query.

    Raises: Rejected("filter-invalid").
    """
    order = given(values, "order", ORDERS)
    return {
        "number": given(values, "number"),
        "plant": given(values, "plant"),
        "supplier": given(values, "supplier"),
        "family": given(values, "family"),
        "stage": given(values, "stage", STAGES),
        # What is so unless said is not said.
        "order": "" if order == "risk" else order,
    }


def wanted_of(filters: Mapping[str, str], who: Principal) -> Wanted:
    """What these filters ask for, of what that one may see."""
    return msgspec.convert(
        {name: filters[name] for name in _NARROWED} | {"scope": who.plants}, Wanted
    )


def order_of(filters: Mapping[str, str]) -> Order:
    """Which rows these filters put first."""
    return "newest" if filters["order"] == "newest" else "risk"


def command(filters: Mapping[str, str]) -> str:
    """The command that lists the same."""
    options = [f"--{name} {shlex.quote(filters[name])}" for name in _NARROWED if filters[name]]
    by_risk = ["--by-risk"] if order_of(filters) == "risk" else []
    return " ".join(["layshaft change list", *by_risk, *options])


async def page(request: web.Request) -> web.Response:
    """The changes that are asked for."""
    who, filters = request[SIGNED].who, filters_of(request.query)
    number, order = page_number(request.query), order_of(filters)
    async with views.snapshot(request.app[READING]) as tx:
        found = await changes(
            tx,
            wanted_of(filters, who),
            order=order,
            limit=PAGE_ROWS,
            offset=(number - 1) * PAGE_ROWS,
        )
        known = await choices(tx, scope=who.plants)
    paging = Paging(number, found.matched)
    return answer(
        request,
        "changes.html",
        filters=filters,
        rows=found.rows,
        paging=paging,
        looked_through=LOOKED_THROUGH if found.is_cut else 0,
        top=_top(found) if order == "risk" and number == 1 else "",
        choices=known,
        stages=STAGE_WORDS,
        waits=list_waits,
        name=number_of,
        line=command(filters),
        around=around(PATH, filters, paging),
        query=query_of(filters),
        is_narrowed=any(filters[name] for name in _NARROWED),
    )


async def download(request: web.Request) -> web.StreamResponse:
    """The list as a file, by the same filter and for the same eyes; field names are those of
    `layshaft change list -o json`."""
    filters = filters_of(request.query)
    wanted = wanted_of(filters, request[SIGNED].who)
    async with views.snapshot(request.app[READING]) as tx:
        found = await changes(tx, wanted, order=order_of(filters), limit=LOOKED_THROUGH)
    return await streamed(request, "changes", ChangeRow.__struct_fields__, found.rows, cells_of)


def cells_of(row: ChangeRow) -> list[str]:
    """A change as a line of a file."""
    return [_cell(value) for value in msgspec.to_builtins(row).values()]


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _top(found: Found) -> str:
    """Why the first row is the first one; "" where nothing waits for it."""
    return risk_words(found.rows[0]) if found.rows and found.rows[0].risk else ""
