"""Every row of the catalogue has a test of its name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

from tests.hostile.rows import ROWS

_FOLDER = Path(__file__).parent


def rows_tested(sources: Iterable[str]) -> set[str]:
    """Rows named at the beginning of a test's name: `test_h03_h04_...` tests two."""
    names = [
        node.name
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    heads = [found[1] for name in names if (found := re.match(r"test_((?:h\d\d_)+)", name))]
    return {row.upper() for head in heads for row in head.strip("_").split("_")}


def test_every_row_has_a_test_and_every_test_a_row() -> None:
    tests = [file.read_text() for file in sorted(_FOLDER.glob("test_*.py"))]
    assert rows_tested(tests) == set(ROWS)


def test_no_row_is_left_out() -> None:
    assert list(ROWS) == [f"H{number:02}" for number in range(1, 27)]


def test_a_row_without_a_test_is_found() -> None:
    source = "async def test_h01_h02_x(): ...\ndef h03_y(): ...\ndef test_x_h04_z(): ..."
    assert rows_tested([source]) == {"H01", "H02"}
