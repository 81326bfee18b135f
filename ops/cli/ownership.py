"""`layshaft ownership`: who owns which values, by the configuration as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
from cyclopts import Parameter

from canonical.ownership import ANY, ENTITIES, Entity, Ownership, Rows, owner_of
from ops.cli.output import Column, plural, put_json, screen
from ops.cli.problems import Exit, Problem
from ops.cli.session import Reading, configuration


class Place(msgspec.Struct, frozen=True):
    """A row of the matrix. state: "*" = every one that no other row names. owner: "" = nobody is
    named: the last statement counts."""

    entity: str
    group: str
    state: str
    owner: str
    also: tuple[str, ...]
    fields: tuple[str, ...]


def show_ownership(
    entity: Annotated[str, Parameter(help="Only this one, such as item.")] = "",
    *,
    reading: Reading = Reading(),  # noqa: B008 - frozen
) -> Exit:
    """Every group of fields is shown with its owner, and with the states that have another one."""
    if entity and entity not in ENTITIES:
        raise Problem(
            Exit.USAGE,
            "usage",
            f"{entity!r} is nothing that has owners",
            why="ownership is about what systems state",
            fix=f"Name one of: {', '.join(ENTITIES)}",
        )
    rows = configuration(reading).rules.ownership
    wanted = [ENTITIES[entity]] if entity else list(ENTITIES.values())
    places = [place for one in wanted for place in matrix(rows, one)]
    if reading.is_json:
        put_json(places)
        return Exit.DONE
    page = screen()
    page.table(
        [
            Column("entity"),
            Column("group"),
            Column("state"),
            Column("owner"),
            Column("fields", is_text=True),
        ],
        [
            (each.entity, each.group, each.state, _owner(each), ", ".join(each.fields))
            for each in places
        ],
    )
    page.line()
    page.line(
        f"{plural(len(rows), 'row')} of [[rules.ownership]]; of what nobody owns (-) the last"
        " statement counts."
    )
    return Exit.DONE


def matrix(rows: Rows, entity: Entity) -> Iterator[Place]:
    """The entity's groups, each in any state, and in those in which a row makes another one its
    owner."""
    for group, fields in entity.groups.items():
        anywhere = owner_of(rows, entity.name, group, ANY)
        yield _place(entity, group, ANY, anywhere, fields)
        for state in entity.states:
            row = owner_of(rows, entity.name, group, state)
            if row is not anywhere:
                yield _place(entity, group, state, row, fields)


def _place(
    entity: Entity, group: str, state: str, row: Ownership | None, fields: tuple[str, ...]
) -> Place:
    owner, also = (row.owner, row.also) if row else ("", ())
    return Place(entity.name, group, state, owner, also, fields)


def _owner(place: Place) -> str:
    return " or ".join((place.owner, *place.also)) or "-"
