"""Files that drivers write of what the corpus says: IDocs, packages, and rows by a table."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from benchmarks.samples import CORPUS, REAL_PACKAGE, Sample, effects_of
from canonical.bom import Bom
from canonical.effects import Emit
from canonical.errors import InvalidMessage
from canonical.item import Item
from handlers.systems.idoc import outbound as idocs
from handlers.systems.idoc.document import IDoc
from handlers.systems.idoc.writing import Parties
from handlers.systems.pdx import outbound as packages
from handlers.systems.table import outbound as rows
from handlers.systems.table.inbound import handler_of

_AT = datetime(2026, 3, 2, 8, 15, 4, tzinfo=UTC)
_PARTIES = Parties(
    sender="LAYSHAFT", receiver="GBXCLNT100", sender_port="LAYSHAFT", receiver_port="SAPGBX"
)


class WrittenFile(msgspec.Struct, frozen=True):
    """A file and how it is made. canonical: the objects that it says."""

    system: str
    name: str
    canonical: tuple[msgspec.Struct, ...]
    write: Callable[[], bytes]


def written_files(samples: list[Sample]) -> Iterator[WrittenFile]:
    """One of each form that files are written in, of the objects that the samples state."""
    by_name = {sample.name: _said(sample) for sample in samples}
    yield from _idocs(samples, [one for said in by_name.values() for one in said])
    yield _package(by_name[REAL_PACKAGE])
    for table in sorted((CORPUS / "table").glob("*.toml")):
        mapped, _ = handler_of(tomllib.loads(table.read_text()), table.name)
        objects = next(said for name, said in by_name.items() if name.startswith(f"{table.stem}."))
        yield _rows(table.stem, mapped, objects)


def _said(sample: Sample) -> tuple[Any, ...]:
    return tuple(effect.data for effect in effects_of(sample) if isinstance(effect, Emit))


def _idocs(samples: list[Sample], said: list[Any]) -> Iterator[WrittenFile]:
    for kind, form in idocs.FORMS.items():
        found: Iterator[Any] = (form.read(one) for one in said if _is_of(form, one))
        if form.told is not None:
            found = (
                msgspec.structs.replace(report, statuses=(told,))
                for idoc in _of_kind(samples, form.kind)
                for report in _reports(form, idoc)
                for told in report.statuses
            )
        yield _idoc(kind, form, next(one for one in found if _goes_out(form, one)))


def _reports(form: idocs.Form, idoc: IDoc) -> list[Any]:
    return [form.told(idoc, _AT)] if form.told else []


def _of_kind(samples: list[Sample], kind: tuple[str, str]) -> Iterator[IDoc]:
    for sample in samples:
        if sample.system == "idoc":
            document = sample.handler.read(sample.delivery).payload
            yield from (idoc for idoc in document.idocs if idoc.kind == kind)


def _is_of(form: idocs.Form, one: msgspec.Struct) -> bool:
    """Whether it is such an object, or the patch of one."""
    name = form.of.__name__
    return type(one).__name__ in (name, f"{name}Patch")


def _goes_out(form: idocs.Form, one: msgspec.Struct) -> bool:
    """Whether this form can say it: what other systems state may be more than an IDoc holds."""
    try:
        idocs.write(form, ((_PARTIES, one),), _AT)
    except InvalidMessage:
        return False
    return True


def _idoc(kind: str, form: idocs.Form, one: msgspec.Struct) -> WrittenFile:
    return WrittenFile(
        "idoc", kind, (one,), lambda: idocs.write(form, ((_PARTIES, one),), _AT).body
    )


def _package(said: tuple[Any, ...]) -> WrittenFile:
    items = tuple(one for one in said if isinstance(one, Item))
    boms = tuple(one for one in said if isinstance(one, Bom))
    contents = packages.Contents(
        REAL_PACKAGE, _AT, items, boms, tops=frozenset(bom.parent for bom in boms)
    )
    return WrittenFile("pdx", "package", (*items, *boms), lambda: packages.to_package(contents))


def _rows(name: str, mapped: Any, objects: tuple[Any, ...]) -> WrittenFile:
    return WrittenFile("table", name, objects, lambda: rows.write(mapped, objects))
