"""Fail points are there for tests and compiled away for production."""

from __future__ import annotations

import dis
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

import broker
from broker.failpoints import NAMES

ROOT = Path(broker.__file__).parents[1]
SOURCES = sorted(
    path
    for folder in ("broker", "ops")
    for path in (ROOT / folder).rglob("*.py")
    # The one names them, the other arms them.
    if path.name != "failpoints.py" and ROOT / "ops" / "demo" not in path.parents
)


def compiled_names(optimize: int) -> Iterator[tuple[str, str]]:
    """(file, fail point) for each name that the compiled runtime still holds."""
    for source in SOURCES:
        code = compile(source.read_bytes(), str(source), "exec", optimize=optimize)
        for instruction in instructions(code):
            if instruction.argval in NAMES:
                yield source.name, instruction.argval


def instructions(code: CodeType) -> Iterator[dis.Instruction]:
    """Every instruction of a compiled module, those of its functions included."""
    yield from dis.get_instructions(code)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from instructions(constant)


def test_every_name_has_a_place_where_it_is_passed() -> None:
    assert {name for _, name in compiled_names(0)} == set(NAMES)


@pytest.mark.parametrize("optimize", [1, 2])
def test_an_optimized_runtime_has_no_fail_point_left(optimize: int) -> None:
    assert list(compiled_names(optimize)) == []


def test_an_optimized_process_refuses_armed_fail_points() -> None:
    code = "from broker.failpoints import FailPoints; FailPoints.parse('claim.after:kill:1')"
    ended = subprocess.run(
        [sys.executable, "-O", "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "Misconfigured" in ended.stderr
    assert "failpoints-compiled-away" in ended.stderr


def test_the_image_runs_optimized() -> None:
    dockerfile = ROOT / "ops" / "docker" / "Dockerfile"
    assert "PYTHONOPTIMIZE=1" in dockerfile.read_text().split("FROM python")[-1]
    assert os.environ.get("PYTHONOPTIMIZE", "0") in ("", "0")
