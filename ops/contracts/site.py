"""The catalogue of contracts as a folder for browsers: a page of all, one of each event, and the
documents they link to."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from html import escape
from itertools import count, pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from canonical.events import EVENTS
from ops.contracts.files import ASYNCAPI, PAGE, SCHEMAS

INDEX = Path("index.html")
_BACK = '<nav><a href="index.html">All contracts</a></nav>\n'

# Colours: at least 4.5 to 1 against what they stand on, in both schemes.
_STYLE = """\
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --line: #c9cfd6; --link: #0b50b8;
  --code: #f1f3f5; --head: #e6eaee }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7ea; --paper: #14181c; --line: #3d454d; --link: #8fbcff; --code: #20262c;
    --head: #262d34 }
}
* { box-sizing: border-box }
body { margin: 0; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, sans-serif }
nav, main { max-width: 90rem; margin: 0 auto; padding: 1rem }
nav { padding-bottom: 0 }
h1, h2, h3, p, li, code { overflow-wrap: anywhere }
h2 { margin-top: 2.5rem }
p, li { max-width: 48rem }
a { color: var(--link) }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
code { padding: .1em .25em; border-radius: .2rem; background: var(--code);
  font: .875em ui-monospace, monospace }
.table { overflow-x: auto; margin: 1rem 0 }
table { border-collapse: collapse; font-size: .875rem }
th, td { min-width: 8rem; max-width: 24rem; padding: .4rem .6rem; border: 1px solid var(--line);
  text-align: left; vertical-align: top }
th { background: var(--head) }
td:first-child code { white-space: nowrap }
"""

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
{above}<main>
{content}</main>
</body>
</html>
"""


def site(documents: Mapping[Path, str]) -> dict[Path, str]:
    """The files of the folder, by their paths in it, of the documents that are published."""
    beside = {_place(path): text for path, text in documents.items() if _is_linked(path)}
    first, *sections = re.split(r"^(?=## )", documents[PAGE], flags=re.MULTILINE)
    titles = [section.partition("\n")[0].removeprefix("## ") for section in sections]
    parts = list(zip(titles, sections, strict=True))
    links = {path.as_posix() for path in beside}
    moved = {f"#{_name(title)}": f"{title}.html" for title in titles if title in EVENTS}
    rest = first + "".join(section for title, section in parts if title not in EVENTS)
    return {
        INDEX: _html(rest, links=links, moved=moved),
        **{
            # By itself it has no title above its own.
            Path(f"{title}.html"): _html(section[1:], links=links, moved=moved, above=_BACK)
            for title, section in parts
            if title in EVENTS
        },
        **beside,
    }


def _is_linked(path: Path) -> bool:
    return path == ASYNCAPI or path.is_relative_to(SCHEMAS)


def _name(heading: str) -> str:
    """By which the page refers to a heading, as the forges do."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _place(path: Path) -> Path:
    if path.is_relative_to(SCHEMAS):
        return Path("schemas") / path.relative_to(SCHEMAS)
    return Path(path.name)


def _html(
    markdown: str, *, links: Collection[str], moved: Mapping[str, str], above: str = ""
) -> str:
    reader = MarkdownIt("commonmark").enable("table")
    tokens = list(_tables(_headings(reader.parse(markdown))))
    for token in tokens:
        if token.children:
            token.children = list(_resolved(token.children, links, moved))
    title = next(after.content for t, after in pairwise(tokens) if t.type == "heading_open")
    content = reader.renderer.render(tokens, reader.options, {})
    return _PAGE.format(title=escape(title), style=_STYLE, above=above, content=content)


def _headings(tokens: Sequence[Token]) -> Sequence[Token]:
    """With the names by which pages refer to them."""
    for token, text in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", _name(text.content))
    return tokens


def _tables(tokens: Sequence[Token]) -> Iterator[Token]:
    """A table scrolls by itself, also for whoever has no pointer, and says what it belongs to."""
    heading, numbers, position = "", count(1), 0
    while position < len(tokens):
        token = tokens[position]
        position += 1
        if token.type == "heading_open":
            heading, numbers = tokens[position].content, count(1)
        if token.type != "table_open":
            yield token
            continue
        end = next(i for i in range(position, len(tokens)) if tokens[i].type == "table_close")
        label = f"{heading}, table {next(numbers)}"
        frame = f'<div class="table" role="group" tabindex="0" aria-label="{escape(label)}">\n'
        yield Token("html_block", "", 0, content=frame)
        yield from (token, *_rows(tokens[position:end]), tokens[end])
        yield Token("html_block", "", 0, content="</div>\n")
        position = end + 1


def _rows(tokens: Sequence[Token]) -> Iterator[Token]:
    """Where the columns have no names, the rows have: their first cells."""
    end = next(i for i, token in enumerate(tokens) if token.type == "thead_close")
    if any(token.content for token in tokens[:end]):
        yield from tokens
        return
    is_first = False
    for token in tokens[end + 1 :]:
        if token.type == "tr_open":
            is_first = True
        elif is_first and token.type in ("td_open", "td_close"):
            token.tag = "th"
            if token.type == "td_open":
                token.attrSet("scope", "row")
            else:
                is_first = False
        yield token


def _resolved(
    tokens: Sequence[Token], links: Collection[str], moved: Mapping[str, str]
) -> Iterator[Token]:
    """Links within the folder; what is linked to and not in it is only named."""
    is_kept = True
    for token in tokens:
        if token.type == "link_open":
            target = str(token.attrs["href"])
            if target.startswith("#"):
                target, is_kept = moved.get(target, target), True
            else:
                target = _place(Path(posixpath.normpath(PAGE.parent / target))).as_posix()
                is_kept = target in links
            token.attrSet("href", target)
        if is_kept or token.type not in ("link_open", "link_close"):
            yield token
