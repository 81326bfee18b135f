"""The page about the first driver: every command and edit of it works, and says what it claims."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ops.contracts.files import ROOT
from tests.fixtures.checkout import copy_checkout, run_in

PAGE = Path("docs", "your-first-driver.md")
_FENCED = re.compile(r"^```(\w+)(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(msgspec.Struct, frozen=True):
    """A fenced block. language: sh = commands, diff = edits, text = what the commands before it
    said, other = to be read only. fails: of commands that are to fail."""

    language: str
    fails: bool
    text: str


def blocks(text: str) -> Iterator[Block]:
    """All fenced blocks in order; each fence is part of one."""
    found = list(_FENCED.finditer(text))
    assert 2 * len(found) == len(re.findall("^```", text, re.MULTILINE))
    for match in found:
        assert match[2] in (None, "fails")
        yield Block(match[1], match[2] == "fails", match[3])


def page(root: Path) -> str:
    """The page; about a vendor of another name where somebody has followed it already."""
    names = ("acme", "acmf", "acmg")
    free = next(name for name in names if not (root / "handlers" / "systems" / name).exists())
    return (root / PAGE).read_text().replace("acme", free)


def test_what_the_page_says_works_as_it_stands(tmp_path: Path) -> None:
    root = copy_checkout(tmp_path / "copy")
    text = page(root)
    said = ""
    for block in blocks(text):
        match block.language:
            case "sh":
                done = run_in(root, block.text)
                said = done.stdout
                assert (done.returncode != 0) == block.fails, block.text + said + done.stderr
            case "diff":
                done = run_in(root, "git apply --verbose -", text=block.text)
                assert done.returncode == 0, block.text + done.stderr
                assert "Skipped" not in done.stderr
            case "text":
                rest = said
                for line in block.text.splitlines():
                    assert line in rest, f"{line}\nis not in:\n{said}"
                    rest = rest.partition(line)[2]
    # What the reader has in the end is in form.
    for command in ("ruff check --no-cache", "ruff format --no-cache --check"):
        done = run_in(
            root, f".venv/bin/python -m {command} handlers tests/unit/handlers tests/contract"
        )
        assert done.returncode == 0, done.stdout


def test_the_page_has_commands_edits_and_outputs() -> None:
    found = [block.language for block in blocks((ROOT / PAGE).read_text())]
    assert found.count("sh") >= 6
    assert found.count("diff") >= 6
    assert found.count("text") >= 4
