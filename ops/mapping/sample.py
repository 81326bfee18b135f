"""A sample with what stands beside it, and what it comes to: the message, and what follows from it.

Beside order.json may stand order.toml, a table that maps its rows; order.headers.toml with the
headers that it comes with; order.rules.toml, which says what its requests rest on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from canonical.catalogue import Catalogue
from canonical.errors import Misconfigured
from handlers import CATALOGUE
from ops.mapping.consequences import Consequences, Landscape, beyond, consequences_of
from ops.mapping.entries import Entry
from ops.mapping.requests import request_entries
from ops.mapping.translation import NO_RULES, Translation, contracts_of, delivery_of, translate
from ops.tables import with_table

# Of a table that maps the rows beside it.
TABLE = ".toml"
# Of a file with the headers that the sample beside it comes with: CloudEvents attributes by name.
HEADERS = ".headers.toml"
RULES = ".rules.toml"

# Of the delivery, where nobody names a source.
ANYBODY = "anybody"
# When samples were sent and are looked at: one time for all, or goldens would never be the same
# twice. Tables may take it from there, and contracts are valid on that day or not.
SENT = datetime(2026, 3, 2, 8, tzinfo=UTC)

_Content = TypeVar("_Content")


class Premises(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the requests of a sample rest on.

    rules: file of a Landscape. known: samples that have been taken before, the sample's requests
    being those that come on top. source: who sent the sample, as `reads_from` of the landscape has
    it. at: when all of it is planned, where days in it ask for another time than `SENT`. Files are
    relative to the one that names them.
    """

    rules: str
    known: tuple[str, ...] = ()
    source: str = ANYBODY
    at: Annotated[datetime, msgspec.Meta(tz=True)] = SENT


class Said(msgspec.Struct, frozen=True):
    """What a sample comes to. requests: for targets that hold nothing yet, as far as no server has
    to be asked."""

    translation: Translation
    requests: tuple[Entry, ...] = ()


def say(file: Path) -> Said:
    """What the sample comes to, whoever may send it.

    Raises: Misconfigured naming the file beside it that cannot be used; OSError.
    """
    premises = premises_of(file)
    landscape = landscape_at(file.parent / premises.rules) if premises else None
    translation, catalogue = _translated(file, landscape)
    if premises is None or landscape is None:
        found = consequences_of([translation], catalogue=catalogue, landscape=None, now=SENT)
        return Said(translation, request_entries(found.calls))
    known = [_translated(file.parent / name, landscape)[0] for name in premises.known]

    def following(translations: list[Translation]) -> Consequences:
        return consequences_of(
            translations, catalogue=catalogue, landscape=landscape, now=premises.at
        )

    calls = beyond(following(known), following([*known, translation]))
    return Said(translation, request_entries(calls))


def premises_of(sample: Path) -> Premises | None:
    """What stands in the file of rules beside a sample; None where there is none.

    Raises: Misconfigured.
    """
    path = sample.with_name(sample.stem + RULES)
    return _read(path, Premises, "rules", 'rules = "rules.toml"') if path.is_file() else None


def landscape_at(path: Path) -> Landscape:
    """The rules and systems in that file. Raises: Misconfigured."""
    return _read(path, Landscape, "rules", "[systems], and [rules] as in the configuration")


def headers_of(sample: Path) -> dict[str, str]:
    """What stands in the file of headers beside a sample; none where there is none.

    Raises: Misconfigured for a file that is anything else than names and texts.
    """
    path = sample.with_name(sample.stem + HEADERS)
    return _read(path, dict[str, str], "headers", 'type = "coupa.order"') if path.is_file() else {}


def headers_text(headers: Mapping[str, str]) -> str:
    """The headers as such a file has them."""
    lines = (f"{name} = {json.dumps(text, ensure_ascii=False)}" for name, text in headers.items())
    return "".join(f"{line}\n" for line in lines)


def _translated(file: Path, landscape: Landscape | None) -> tuple[Translation, Catalogue]:
    table = file.with_suffix(TABLE)
    catalogue, contracts, attributes = CATALOGUE, contracts_of(CATALOGUE), {}
    if table.is_file():
        catalogue, contract = with_table(table, CATALOGUE)
        contracts, attributes = (contract,), {"type": contract, "time": SENT.isoformat()}
    attributes |= headers_of(file)
    premises = premises_of(file)
    source = premises.source if premises else ANYBODY
    delivery = delivery_of(file.read_bytes(), source=source, attributes=attributes)
    rules = landscape.rules if landscape else NO_RULES
    found = translate(delivery, catalogue=catalogue, contracts=contracts, now=SENT, rules=rules)
    return found, catalogue


def _read(path: Path, kind: type[_Content], what: str, line: str) -> _Content:
    try:
        return msgspec.toml.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise Misconfigured(
            f"{what}-unreadable",
            f"{path} holds no {what}: {error}",
            where=str(path),
            remedy=f"Write it with a line like: {line}",
        ) from error
