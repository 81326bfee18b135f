"""Tables of integrators, read beside the configuration and added to what is supported."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from broker.settings import Source
from canonical.catalogue import Catalogue
from canonical.errors import Misconfigured
from canonical.handler import Handler
from handlers.systems.table.checking import mapped_table
from handlers.systems.table.inbound import handler_of, message_type, recognises
from handlers.systems.table.mapping import Mapped
from handlers.systems.table.native import Csv, flat_fields, nearest, read_table
from ops.configuration import Configuration

# Who speaks, in the rows of the catalogue; the message type says which table it is.
WHO = "table"
# A table is written by a person.
_MAX_BYTES = 256 * 1024


def catalogue_of(configuration: Configuration, base: Catalogue) -> Catalogue:
    """What is supported, with the tables that the configuration names.

    Raises: Misconfigured naming the file and the key in it; for two tables of one name or for one
        kind.
    """
    tables: dict[str, tuple[Mapped, Handler]] = {}
    for file in configuration.tables:
        mapped, handler = handler_of(_document(Path(file)), file)
        contract = message_type(mapped.table.name)
        if contract in tables:
            raise _wrong(f"Another table is called {mapped.table.name} too", file, "Rename one")
        tables[contract] = mapped, handler
    catalogue = replace(
        base,
        handlers={
            **base.handlers,
            **{(WHO, contract): handler for contract, (_, handler) in tables.items()},
        },
        recognised={
            **base.recognised,
            **{contract: partial(recognises, mapped) for contract, (mapped, _) in tables.items()},
        },
    )
    for source in configuration.settings.sources:
        _check_kinds(source, [tables[c][0] for c in source.contracts if c in tables])
    return catalogue


def with_table(path: Path, base: Catalogue) -> tuple[Catalogue, str]:
    """What is supported, with the table in that file, and the message type it gives.

    Raises: Misconfigured naming the file and the key in it.
    """
    mapped, handler = handler_of(_document(path), str(path))
    contract = message_type(mapped.table.name)
    return replace(base, handlers={**base.handlers, (WHO, contract): handler}), contract


def mapped_at(path: Path) -> Mapped:
    """The table in that file, checked. Raises: Misconfigured naming the file and the key in it."""
    return mapped_table(_document(path), str(path))


def form_of(
    configuration: Configuration, contract: str
) -> tuple[Csv | None, list[tuple[str, str]]]:
    """How the rows of a message type are written, None where they are JSON or it is no table's; and
    its columns, each with the path of a field that it fills."""
    for file in configuration.tables:
        table = read_table(_document(Path(file)), file)
        if message_type(table.name) == contract:
            fields = flat_fields(table.fields, file)
            return table.csv, [(spec.column, path) for path, spec in fields.items() if spec.column]
    return None, []


def _document(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ValueError(f"it has more than {_MAX_BYTES} bytes")
        return tomllib.loads(content.decode())
    except (OSError, ValueError) as error:
        raise Misconfigured(
            "table-unreadable",
            f"{type(error).__name__}: {error}",
            where=str(path),
            remedy="Name a readable TOML file in `tables`, relative to the configuration",
        ) from error


def refuse_unhandled(configuration: Configuration, catalogue: Catalogue) -> None:
    """Every contract of every source is somebody's, and where it tells no more than keys, the
    source names who knows the rest.

    Raises: Misconfigured naming the nearest contract that is somebody's, or the missing setting.
    """
    for source in configuration.settings.sources:
        for contract in source.contracts:
            try:
                handler = catalogue.translator(contract)
            except Misconfigured as failure:
                raise Misconfigured(
                    failure.code,
                    failure.what,
                    where=f"settings.sources.{source.name}.contracts",
                    remedy=nearest(contract, [kind for _, kind in catalogue.handlers]),
                ) from failure
            if handler.order == "notification" and not source.reads_from:
                raise Misconfigured(
                    "reads-from-nowhere",
                    f"{contract} tells no more than keys, and no system is named to read from",
                    where=f"settings.sources.{source.name}.reads_from",
                    remedy="Name one of settings.systems there",
                )


def _check_kinds(source: Source, tables: Sequence[Mapped]) -> None:
    """Each of its tables is found by a routing key that it sends, and by one alone."""
    where = f"settings.sources.{source.name}.kinds"
    taken: dict[str, str] = {}
    for mapped in tables:
        table = mapped.table
        found = [kind for kind in table.kinds if kind in source.kinds]
        if not found:
            names = " or ".join(table.kinds)
            raise _wrong(
                f"{source.name} sends nothing that table {table.name} takes", where, f"Add {names}"
            )
        for kind in found:
            if kind in taken:
                raise _wrong(
                    f"The tables {taken[kind]} and {table.name} both take {kind}",
                    where,
                    "Give each of them a kind of its own",
                )
            taken[kind] = table.name


def _wrong(what: str, where: str, remedy: str) -> Misconfigured:
    return Misconfigured("table-invalid", what, where=where, remedy=remedy)
