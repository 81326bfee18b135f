"""Vendors' words stay with their drivers: neither the runtime, nor the shared language, nor a flow
calls anything by them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.contracts.files import ROOT

# The folders of the drivers but the one for anybody's rows, what else their vendors and formats are
# called, and those that are spoken of and have no driver.
SYSTEMS = (ROOT / "handlers" / "systems").iterdir()
VENDORS = frozenset(path.name for path in SYSTEMS if (path / "README.md").is_file()) - {"table"}
WORDS = VENDORS | {
    *("sap", "hana", "abap", "bapi", "odata", "matnr", "ariba", "oracle", "agile", "ptc"),
    *("teamcenter", "windchill", "aras", "cxml", "ubl", "peppol", "edifact", "tryton", "ipc2571"),
}
FILES = [
    *sorted((ROOT / "broker").rglob("*.py")),
    *sorted((ROOT / "canonical").glob("*.py")),
    *sorted((ROOT / "handlers" / "flows").rglob("*.py")),
]
# (file, word): why it stands there.
ALLOWED: dict[tuple[str, str], str] = {
    ("broker/channels/http.py", "odata"): "a protocol's, in the characters that are sent",
}

_PART = re.compile(r"[A-Z]?[a-z]+[0-9]*|[A-Z]+[0-9]*(?![a-z])|[0-9]+")


def words_of(text: str) -> set[str]:
    """The words in a name or a sentence: of `ArenaSession`, `arena_session_id` and "Arena's"."""
    joined = re.findall(r"[a-z0-9]+", text.casefold())
    return {*joined, *(part.casefold() for part in _PART.findall(text))}


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Everything that has a name, and every text in quotes, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name
            case ast.ClassDef(name=name) | ast.arg(arg=name):
                yield node.lineno, name
            case ast.keyword(arg=str(name)):
                yield node.lineno, name
            case ast.alias(name=name, asname=asname):
                yield node.lineno, f"{name} {asname or ''}"
            case ast.Constant(value=str(text)):
                yield node.lineno, text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ArenaSession", {"arena", "session"}),
        ("arena_session_id", {"arena", "session", "id"}),
        ("S4Session", {"s4", "session"}),
        ('auth: "s4" or SAP\'s', {"auth", "s4", "or", "sap", "s"}),
        ("IDocs and an IDoc", {"idocs", "and", "an", "idoc"}),
    ],
)
def test_words_are_told_apart_however_they_are_joined(text: str, found: set[str]) -> None:
    assert words_of(text) >= found


def test_a_word_within_another_one_is_none() -> None:
    assert not words_of("disappear, arenas, unoraclelike, s40") & WORDS


def test_a_vendors_word_in_a_name_or_a_text_is_found() -> None:
    source = "class S4Session:\n    def ask(self):\n        return self.x.get('arena_session_id')\n"
    found = {(line, word) for line, text in texts(ast.parse(source)) for word in words_of(text)}
    assert {(1, "s4"), (3, "arena")} <= found


def test_the_drivers_are_known() -> None:
    assert {"arena", "coupa", "idoc", "pdx", "s4"} <= VENDORS
    assert len(FILES) > 100


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_vendors_word_stands_outside_of_its_driver(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    found = [
        f"{name}:{line}: {word}"
        for line, text in texts(ast.parse(path.read_text()))
        for word in words_of(text) & WORDS
        if (name, word) not in ALLOWED
    ]
    assert found == []
