"""docs/crash-points.md tells of every fail point, in the section of its file; a test arms each."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import msgspec
import pytest

import broker
from broker.failpoints import NAMES

ROOT = Path(broker.__file__).parents[1]
PAGE = ROOT / "docs" / "crash-points.md"
# What a fail point is passed through, by the name it has where it is called.
PASSES = {"_fail_points", "fail_points", "points", "_reach", "reach"}


class Section(msgspec.Struct, frozen=True):
    """A heading with the files its points are passed in and the points it has a line for."""

    title: str
    files: tuple[str, ...]
    points: tuple[str, ...]


def sections() -> list[Section]:
    """The sections of the page."""
    found = []
    for part in PAGE.read_text().split("\n## ")[1:]:
        title, _, text = part.partition("\n")
        passed_in = re.search(r"^Passed in (.*?\.py`)\.", text, re.MULTILINE)
        files = re.findall(r"`([a-z_/]+\.py)`", passed_in[1]) if passed_in else []
        points = re.findall(r"^\| `([a-z]+\.[a-z_]+)`", text, re.MULTILINE)
        found.append(Section(title, tuple(files), tuple(points)))
    return found


def passed_in(path: Path) -> set[str]:
    """The fail points a file passes, by its calls."""
    return {
        call.args[0].value
        for call in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(call, ast.Call)
        and name_of(call.func) in PASSES
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }


def name_of(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


SECTIONS = sections()
CALLS = {
    file: points
    for folder in ("broker", "ops")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if (points := passed_in(path)) and (file := str(path.relative_to(ROOT)))
}


@pytest.mark.parametrize(
    ("section", "point"),
    [pytest.param(s, p, id=f"{s.title}-{p}") for s in SECTIONS for p in s.points],
)
def test_a_point_of_the_page_is_passed_in_a_file_of_its_section(
    section: Section, point: str
) -> None:
    assert point in NAMES
    assert [file for file in section.files if point in CALLS.get(file, ())]


@pytest.mark.parametrize(
    ("file", "point"), [(file, point) for file in CALLS for point in sorted(CALLS[file])]
)
def test_a_point_that_is_passed_has_a_line_in_a_section_of_its_file(file: str, point: str) -> None:
    assert [s.title for s in SECTIONS if file in s.files and point in s.points]


def test_page_names_and_calls_are_the_same_points() -> None:
    told = {point for section in SECTIONS for point in section.points}
    called = {point for points in CALLS.values() for point in points}
    assert told == called == set(NAMES)
    assert {file for section in SECTIONS for file in section.files} == set(CALLS)


@pytest.mark.parametrize("point", NAMES)
def test_a_point_is_armed_by_a_test(point: str) -> None:
    """As `name:action:pass`; or by its name, in a file that adds action and pass to names."""
    assert [
        path
        for path, text in TESTS.items()
        if f"{point}:" in text or (f'"{point}"' in text and _ADDS_ACTION.search(text))
    ]


_ADDS_ACTION = re.compile(r"\{\w+\}:(?:kill|stop|abort|raise|sleep|\{)")
TESTS = {
    path: path.read_text()
    for folder in ("integration", "faults", "e2e")
    for path in sorted((ROOT / "tests" / folder).rglob("*.py"))
}
