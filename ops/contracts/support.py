"""What is supported and how far that is shown: a page made from the tables of the drivers' READMEs.

The code says which kinds and operations there are, the READMEs what shows that they are right. No
proof, no claim: what rests on documentation or on experience alone is called unproven.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from posixpath import normpath
from typing import Literal, get_args

import msgspec

from canonical.catalogue import Catalogue
from canonical.events import SOURCE
from canonical.operations import verb
from handlers.systems.idoc.outbound import FORMS
from handlers.systems.table.targets import TARGETS

SYSTEMS = Path("handlers", "systems")
README = "README.md"
PACKAGE = "__init__.py"

Direction = Literal["in", "out"]
Proof = Literal[
    "vendor's own system",
    "real vendor file",
    "vendor's own schema",
    "documentation only",
    "field knowledge",
]
"""Strongest first."""
SHOWN: frozenset[Proof] = frozenset(
    {"vendor's own system", "real vendor file", "vendor's own schema"}
)

# What the first line of a table says, by direction.
HEADS: dict[Direction, tuple[str, str, str]] = {
    "in": ("kind", "becomes", "proof"),
    "out": ("operation", "calls", "proof"),
}

# What a person has written with a command: no step asks for it.
COMMANDS: tuple[tuple[str, Direction, str], ...] = (
    *(
        ("idoc", "out", f"idoc {form.command}: {form.kind[0]} in {form.kind[1]}")
        for form in FORMS.values()
    ),
    ("pdx", "out", "package make"),
    ("table", "out", "table write"),
)

_CELLS = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"[\s|:-]+")
_RELATIVE = re.compile(r"\]\((?![a-z]+:)([^)]+)\)")

_MEANS: dict[Proof, str] = {
    "vendor's own system": "a test calls the vendor's system itself, installed from its packages",
    "real vendor file": "a test reads a file that the vendor or its system made, unchanged",
    "vendor's own schema": "a test holds what is read or sent to the vendor's published description"
    " (document type, EDMX, OpenAPI)",
    "documentation only": "written after what the vendor documents, with no file or schema to"
    " hold it to",
    "field knowledge": "written from experience with such systems; nothing public that could be"
    " cited",
}
_PAGE = """\
# What is supported

Written by `layshaft schema export` from the drivers' READMEs; `layshaft schema check` fails where a
kind or an operation of the code has no row here, or a row nothing in the code.

{proofs}
What has one of the two lower ones is **unproven**: it is there and tested, but on inputs and
answers that we made ourselves. Where a row does not say that the vendor's own system was called,
what answers in the tests are stand-ins, and the business rules of these are ours.

{rows}"""


class Row(msgspec.Struct, frozen=True):
    """A row of a README.

    kind: what comes in, or the operation that goes out. becomes: what it comes to. proof: as it
    stands there, a word of `Proof` with or without an explanation behind a semicolon.
    """

    system: str
    direction: Direction
    kind: str
    becomes: str
    proof: str

    @property
    def level(self) -> Proof | None:
        """The word the proof begins with; None where it is none."""
        word = self.proof.partition(";")[0].strip()
        return next((level for level in get_args(Proof) if level == word), None)


class Gap(msgspec.Struct, frozen=True):
    """Where a README does not say what the code does.

    word: untold = the code has it and no table does; abandoned = the other way round; unclear = a
    proof that begins with none of the words.
    """

    system: str
    word: Literal["untold", "abandoned", "unclear"]
    what: str


def rows(systems: Path) -> list[Row]:
    """The rows of all READMEs below the folder, in its order and theirs."""
    found: list[Row] = []
    for name in drivers(systems):
        readme = systems / name / README
        if readme.exists():
            found += tables(name, readme.read_text())
    return found


def drivers(systems: Path) -> list[str]:
    """Names of the drivers' folders."""
    return sorted(path.parent.name for path in systems.glob(f"*/{PACKAGE}"))


def tables(system: str, text: str) -> Iterator[Row]:
    """The rows of one README; tables with other heads are about something else."""
    direction: Direction | None = None
    for line in text.splitlines():
        cells = _cells(line)
        named = next((d for d, head in HEADS.items() if cells == head), None)
        if not cells or named:
            direction = named
        elif direction and len(cells) == len(HEADS[direction]) and not _RULE.fullmatch(line):
            kind, becomes, proof = cells
            yield Row(system, direction, kind.strip("`"), becomes, proof)


def _cells(line: str) -> tuple[str, ...]:
    """The cells of a line of a table; none for any other line."""
    if not line.startswith("|"):
        return ()
    return tuple(cell.strip() for cell in _CELLS.split(line)[1:-1])


def gaps(systems: Path, catalogue: Catalogue) -> Iterator[Gap]:
    """Where code and READMEs say something else; none where all is well."""
    told = rows(systems)
    for name in drivers(systems):
        if not any(row.system == name for row in told):
            what = f"Its {README} has no table | {' | '.join(HEADS['in'])} | or one for out"
            yield Gap(name, "untold", what)
    for row in told:
        if row.level is None:
            words = ", ".join(get_args(Proof))
            yield Gap(row.system, "unclear", f"{row.kind}: the proof begins with none of {words}")
    known = set(kinds(catalogue))
    stated = [(row.system, row.direction, row.kind) for row in told]
    for system, direction, kind in sorted(known - set(stated)):
        yield Gap(system, "untold", f"{kind} ({direction}) is in the code and in no table")
    for system, direction, kind in sorted(set(stated) - known):
        yield Gap(system, "abandoned", f"{kind} ({direction}) is in a table and not in the code")
    for system, direction, kind in sorted({key for key in stated if stated.count(key) > 1}):
        yield Gap(system, "unclear", f"{kind} ({direction}) has more than one row")


def kinds(catalogue: Catalogue) -> Iterator[tuple[str, Direction, str]]:
    """(system, direction, kind or operation) of everything the code has."""
    for (system, message_type), handler in catalogue.handlers.items():
        if system != SOURCE:
            for kind in handler.kinds or (message_type,):
                yield system, "in", kind
    for driver in catalogue.drivers.values():
        for operation in driver.operations:
            yield driver.name, "out", verb(operation)
    # A table of an integrator is a row of the catalogue only where a configuration names it.
    for event in TARGETS:
        yield "table", "in", event
    yield from COMMANDS


def page(told: Iterable[Row]) -> str:
    """Markdown."""
    proofs = _table(("Proof", "Means"), ((p, _MEANS[p]) for p in get_args(Proof)))
    heads = ("System", "Direction", "Kind or operation", "Comes to", "Proof", "")
    return _PAGE.format(proofs=proofs, rows=_table(heads, map(_shown, told)))


def _shown(row: Row) -> tuple[str, ...]:
    folder = "/".join(("..", *SYSTEMS.parts, row.system))
    standing = "supported" if row.level in SHOWN else "unproven"
    told = (_seen_from_here(text, folder) for text in (row.kind, row.becomes, row.proof))
    return (f"[{row.system}]({folder}/{README})", row.direction, *told, standing)


def _seen_from_here(text: str, folder: str) -> str:
    """The text of a README in that folder, its relative links as they are from the page."""

    def link(found: re.Match[str]) -> str:
        target = f"{README}{found[1]}" if found[1].startswith("#") else found[1]
        return f"]({normpath(f'{folder}/{target}')})"

    return _RELATIVE.sub(link, text)


def _table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    written = [heads, ["---"] * len(heads), *lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in written)
