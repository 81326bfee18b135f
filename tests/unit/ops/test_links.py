"""Every relative link of the pages leads to a file that is there, and to a heading in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = ("benchmarks", "broker", "canonical", "docs", "handlers", "ops", "tests")
PAGES = sorted(
    [*ROOT.glob("*.md"), *(page for name in FOLDERS for page in (ROOT / name).rglob("*.md"))]
)

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"#+ +(.+)")
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:")


def prose(page: Path) -> Iterator[str]:
    """The lines of a page that are not code."""
    is_code = False
    for line in page.read_text().splitlines():
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code:
            yield line


def links(page: Path) -> list[str]:
    """The relative ones."""
    found = [link for line in prose(page) for link in _LINK.findall(line)]
    return [link for link in found if not _ELSEWHERE.match(link)]


def anchors(page: Path) -> set[str]:
    """What its headings are linked by: in lower case, without punctuation, hyphens for blanks."""
    headings = [match[1] for line in prose(page) if (match := _HEADING.fullmatch(line))]
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def lost(page: Path) -> list[str]:
    """Links that lead nowhere."""
    return [link for link in links(page) if not leads_somewhere(page, link)]


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    return target.exists() and (not anchor or anchor in anchors(target))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert lost(page) == []


def test_the_readme_links_what_other_teams_rely_on() -> None:
    assert set(links(ROOT / "README.md")) >= {
        "docs/support.md",
        "docs/contracts/README.md",
        "docs/contracts/asyncapi.json",
        "canonical/contracts",
    }


def test_a_link_to_a_file_or_a_heading_that_is_not_there_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Two words, and more\n\n[a](#two-words-and-more) [b](other.md) [c](#elsewhere)\n"
        "[d](page.md#two-words-and-more) ![e](gone.svg) [f](https://example.org/gone.md)\n"
        "```\n# no heading\n[g](gone.txt)\n```\n[h](page.md#no-heading)\n"
    )
    assert lost(page) == ["other.md", "#elsewhere", "gone.svg", "page.md#no-heading"]
