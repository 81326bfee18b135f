"""The files of a new driver for a vendor, written into a checkout.

One kind comes in as JSON, a supplier, and if it is wanted goes out as well. The reader changes that
into what the vendor really says.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from canonical.events import SOURCE
from ops.cli.problems import Exit, Problem
from ops.contracts.support import SYSTEMS
from ops.mapping.goldens import ENDING, SUMS, sums_of

TEMPLATES = Path(__file__).parent / "templates"
TABLE = Path("handlers", "__init__.py")
CORPUS = Path("tests", "corpus")
TESTS = Path("tests", "unit", "handlers")
LAWS = Path("tests", "contract", "test_handler_laws.py")
EXAMPLES = Path("tests", "contract", "test_handlers.py")
TRIPS = TESTS / "test_round_trips.py"

MAX_CHARS = 20
"""With longer names lines of the templates would break."""
LINE_CHARS = 100
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", re.ASCII)
_IMPORT = "from handlers.systems."


class ByHand(msgspec.Struct, frozen=True):
    """Lines that a person adds. where: in which table of the file."""

    file: Path
    where: str
    lines: str


class Scaffold(msgspec.Struct, frozen=True):
    """What is written: files by their path, relative to the root; the table of handlers is one."""

    files: Mapping[Path, str]
    by_hand: tuple[ByHand, ...]


def scaffold(root: Path, vendor: str, *, out: bool = False) -> Scaffold:
    """The files of the driver, and what is left to do; nothing is written yet.

    out: it writes suppliers to the vendor, too.
    Raises: Problem for a name that is none or is taken, and where the root is no checkout.
    """
    _check_checkout(root)
    _check_name(root, vendor)
    files = {path: _filled(template, vendor) for path, template in _places(vendor)}
    if out:
        files |= {path: _filled(template, vendor) for path, template in _places_out(vendor)}
        files[SYSTEMS / vendor / "README.md"] += _filled("README_out.md.txt", vendor)
    for path in files:
        if (root / path).exists():
            raise _taken(vendor, f"there is a {path}")
    goldens = {path.name: text for path, text in files.items() if path.name.endswith(ENDING)}
    files[CORPUS / vendor / SUMS] = sums_of(goldens)
    table = _with_rows((root / TABLE).read_text(), vendor)
    files[TABLE] = _with_target(table, vendor) if out else table
    return Scaffold(files, (*by_hand(vendor), *(by_hand_out(vendor) if out else ())))


def write(root: Path, made: Scaffold) -> None:
    """The files are there."""
    for path, text in made.files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def _places(vendor: str) -> Iterator[tuple[Path, str]]:
    """Where each template goes."""
    system, corpus = SYSTEMS / vendor, CORPUS / vendor
    yield system / "__init__.py", "package.py.txt"
    yield system / "native.py", "native.py.txt"
    yield system / "inbound.py", "inbound.py.txt"
    yield system / "words.py", "words.py.txt"
    yield system / "README.md", "README.md.txt"
    yield corpus / "supplier.json", "supplier.json.txt"
    yield corpus / "supplier.golden.json", "supplier.golden.json.txt"
    yield corpus / "SOURCE.txt", "SOURCE.txt"
    yield TESTS / f"test_{vendor}.py", "test.py.txt"


def _places_out(vendor: str) -> Iterator[tuple[Path, str]]:
    yield SYSTEMS / vendor / "outbound.py", "outbound.py.txt"
    yield CORPUS / vendor / "put-supplier.request.json", "put-supplier.request.json.txt"
    yield TESTS / f"test_{vendor}_out.py", "test_out.py.txt"


def by_hand(vendor: str) -> tuple[ByHand, ...]:
    """The laws that every driver obeys want an example of its messages."""
    example = f'Delivery("{vendor}", "", (CORPUS / "{vendor}" / "supplier.json").read_bytes())'
    return (
        ByHand(EXAMPLES, "EXAMPLES", _entry(f'("{vendor}", "{vendor}.supplier")', example)),
        ByHand(LAWS, "NAMES", f'    "{vendor}-supplier",'),
        ByHand(LAWS, "SAMPLES", _entry(f'"{vendor}-supplier"', example)),
    )


def by_hand_out(vendor: str) -> tuple[ByHand, ...]:
    """What is written comes back in a message of the vendor's, or it is said why it does not."""
    reason = "what comes in is no master of an ERP"
    return (ByHand(TRIPS, "ONE_WAY", f'    "{vendor} put-supplier": "{reason}",'),)


def _entry(key: str, call: str) -> str:
    """An entry of a table, as the formatter writes it."""
    line = f"    {key}: {call},"
    if len(line) <= LINE_CHARS:
        return line
    name, _, arguments = call.partition("(")
    return f"    {key}: {name}(\n        {arguments[:-1]}\n    ),"


def _filled(template: str, vendor: str) -> str:
    text = (TEMPLATES / template).read_text()
    title = vendor.replace("_", " ").title()
    text = text.replace("{{vendor}}", vendor).replace("{{Vendor}}", title)
    return _sorted_imports(text) if template.endswith(".py.txt") else text


def _sorted_imports(text: str) -> str:
    """The order of imports depends on the name of the vendor."""
    lines = text.splitlines(keepends=True)
    places = [n for n, line in enumerate(lines) if line.startswith(_IMPORT)]
    for place, line in zip(places, sorted(lines[n] for n in places), strict=True):
        lines[place] = line
    return "".join(lines)


def _with_rows(text: str, vendor: str) -> str:
    """The table of handlers with the driver's rows: after the other vendors, known by content."""
    row = f'    ("{vendor}", "{vendor}.supplier"): {vendor}.HANDLER,\n'
    text = _before(text, "    (SOURCE, ", row)
    head, table, rest = text.partition("\nRECOGNISED")
    row = f'    "{vendor}.supplier": {vendor}.recognises,\n'
    text = f"{head}{table}{_before(rest, '}', row)}"
    return _sorted_imports(
        _before(text, _IMPORT, f"{_IMPORT}{vendor} import inbound as {vendor}\n")
    )


def _with_target(text: str, vendor: str) -> str:
    """The table with the driver among those of targets, after the others."""
    name = f"{vendor}_outbound"
    head, table, rest = text.partition("\nDRIVERS")
    row = f'    "{vendor}": {name}.DRIVER,\n'
    text = f"{head}{table}{_before(rest, '}', row)}"
    new = f"{_IMPORT}{vendor} import outbound as {name}\n"
    return _sorted_imports(_before(text, _IMPORT, new))


def _before(text: str, anchor: str, new: str) -> str:
    """The text with new lines before the first line that begins with the anchor."""
    at = text.find(f"\n{anchor}") + 1
    if not at:
        raise Problem(
            Exit.REFUSED,
            "table-unknown",
            f"The driver cannot be added to {TABLE}",
            why=f"no line of it begins with {anchor.strip()!r}",
            fix="Run it in an unchanged checkout, or write the driver by hand",
        )
    return f"{text[:at]}{new}{text[at:]}"


def _check_checkout(root: Path) -> None:
    for needed in (TABLE, CORPUS, LAWS, EXAMPLES):
        if not (root / needed).exists():
            raise Problem(
                Exit.NOT_FOUND,
                "no-checkout",
                f"{root} is no checkout of the project",
                why=f"there is no {needed}",
                fix="Run it in a checkout, or name one with --root",
            )


def _check_name(root: Path, vendor: str) -> None:
    is_name = _NAME.fullmatch(vendor) and len(vendor) <= MAX_CHARS
    if not is_name or keyword.iskeyword(vendor) or vendor == SOURCE:
        raise Problem(
            Exit.USAGE,
            "vendor-malformed",
            f"{vendor[:80]!r} cannot be the name of a driver",
            why="it becomes the name of a package, and the beginning of message types",
            fix=f"Use lower-case letters, digits and single underscores, at most {MAX_CHARS}",
        )
    for path in (SYSTEMS / vendor, SYSTEMS / f"{vendor}.py", CORPUS / vendor):
        if (root / path).exists():
            raise _taken(vendor, f"there is a {path}")
    # It becomes a name in that module.
    if re.search(rf"\b{vendor}\b", (root / TABLE).read_text()):
        raise _taken(vendor, f"{TABLE} has the word already")


def _taken(vendor: str, why: str) -> Problem:
    return Problem(
        Exit.REFUSED,
        "vendor-exists",
        f"{vendor} is taken, and nothing was written",
        why=why,
        fix="Change what is there, or choose another name",
    )
