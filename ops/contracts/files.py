"""The contracts that are published, and what is supported, compared with the code and written anew.

A published schema is what other teams rely on: it is replaced only by one that breaks nobody. What
is published is on a list with its digests, so that a file that was deleted or edited is not taken
for one that never was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

import ops
from canonical.catalogue import Catalogue
from canonical.compatibility import breaks
from canonical.events import BY_TYPE
from ops.contracts import support
from ops.contracts.asyncapi import asyncapi
from ops.contracts.inbound import HEADERS, inbound
from ops.contracts.inbound import schemas as inbound_schemas
from ops.contracts.page import page
from ops.contracts.schemas import schemas

ROOT = Path(ops.__file__).parents[1]
SCHEMAS = Path("canonical", "contracts")
# Of what sources send.
INBOUND = SCHEMAS / "inbound"
# As sha256sum writes and checks it.
PUBLISHED = SCHEMAS / "SHA256SUMS"
ASYNCAPI = Path("docs", "contracts", "asyncapi.json")
PAGE = Path("docs", "contracts", "README.md")
SUPPORT = Path("docs", "support.md")

# Beside the code that is imported, wherever documents are compared or written.
_SYSTEMS = ROOT / support.SYSTEMS

Word = Literal["missing", "outdated", "breaking", "altered", "abandoned", "untold", "unclear"]


class Finding(msgspec.Struct, frozen=True):
    """Where what is published is not what the code keeps.

    missing, outdated: `layshaft schema export` mends it. breaking: a new version of the event is
    needed, or another message type of what sources send. altered: the file is not the one that was
    published; it is to be restored. abandoned: a schema that the code cannot read any more, or a
    kind in a README that it does not know. untold: a kind in the code that its README does not
    know. unclear: a proof of a README is none.
    """

    file: str
    word: Word
    what: str


def documents(catalogue: Catalogue) -> dict[Path, str]:
    """All files as they should be, relative to the root."""
    return {
        **{SCHEMAS / name: _text(schema) for name, schema in schemas().items()},
        **{INBOUND / name: _text(schema) for name, schema in inbound_schemas(catalogue).items()},
        ASYNCAPI: _text(asyncapi(catalogue)),
        PAGE: page(inbound(catalogue)),
        SUPPORT: support.page(support.rows(_SYSTEMS)),
    }


def findings(root: Path, catalogue: Catalogue) -> list[Finding]:
    """What is wrong with the files under that root; empty where they are what the code keeps."""
    found = [*_altered(root), *_judged(root, documents(catalogue)), *_abandoned(root, catalogue)]
    return [*found, *_readmes(catalogue)]


def export(root: Path, catalogue: Catalogue) -> tuple[list[Path], list[Finding]]:
    """The files written anew, and why not all of them could be: one break, one file that is not as
    it was published, or one README that does not say what the code does, and none is written."""
    wanted = documents(catalogue)
    broken = [*_altered(root)]
    broken += [found for found in _judged(root, wanted) if found.word == "breaking"]
    broken += _readmes(catalogue)
    if broken:
        return [], broken
    written = [name for name, text in wanted.items() if _write(root / name, text)]
    if _write(root / PUBLISHED, _sums(root)):
        written.append(PUBLISHED)
    return written, []


def _write(path: Path, text: str) -> bool:
    """Whether it was another one before."""
    if path.exists() and path.read_text() == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return True


def _sums(root: Path) -> str:
    return "".join(f"{_digest(path)}  {name}\n" for name, path in _files(root).items())


def _files(root: Path) -> dict[str, Path]:
    """The schemas that lie there, by their paths in the folder."""
    found = sorted((root / SCHEMAS).rglob("*.json"))
    return {path.relative_to(root / SCHEMAS).as_posix(): path for path in found}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _published(root: Path) -> Mapping[str, str]:
    """File name -> digest of what was published last."""
    path = root / PUBLISHED
    lines = path.read_text().splitlines() if path.exists() else []
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def _altered(root: Path) -> Iterator[Finding]:
    for name, digest in _published(root).items():
        path = root / SCHEMAS / name
        if not path.exists():
            yield Finding(str(SCHEMAS / name), "altered", "It is published, and the file is gone")
        elif _digest(path) != digest:
            yield Finding(str(SCHEMAS / name), "altered", "It was published with other content")


def _judged(root: Path, wanted: dict[Path, str]) -> Iterator[Finding]:
    for name, text in wanted.items():
        path = root / name
        if not path.exists():
            yield Finding(str(name), "missing", "It is not published")
        elif (published := path.read_text()) != text:
            found = _breaks(name, published, text) if name.is_relative_to(SCHEMAS) else []
            for what in found:
                yield Finding(str(name), "breaking", what)
            if not found:
                yield Finding(str(name), "outdated", "The code says otherwise, and breaks nobody")


def _breaks(name: Path, published: str, text: str) -> list[str]:
    """Of what sources send, only we are readers: a schema that takes more than before breaks none
    of those who write by it."""
    old, new = json.loads(published), json.loads(text)
    found = breaks(old, new)
    if name.parent == INBOUND:
        found = (*found, *breaks(old.get(HEADERS, {}), new[HEADERS]))
        found = tuple(b for b in found if b.side == "readers")
    return [f"{b.side}, {b.path or 'the whole'}: {b.what}" for b in found]


def _abandoned(root: Path, catalogue: Catalogue) -> Iterator[Finding]:
    # A version that is read by way of the next one stays published as it was.
    events = {f"{row.name}.v{version}.json" for row, version in BY_TYPE.values()}
    taken = {f"{INBOUND.name}/{name}" for name in inbound_schemas(catalogue)}
    for name in sorted(_files(root).keys() - events - taken):
        what = "Published, and the code neither says nor reads it: write the step to the next one"
        if (SCHEMAS / name).parent == INBOUND:
            what = "Published, and nobody takes it any more: whoever sends it would be refused"
        yield Finding(str(SCHEMAS / name), "abandoned", what)


def _readmes(catalogue: Catalogue) -> list[Finding]:
    """Where the READMEs of the drivers do not say what the code does."""
    return [
        Finding(str(support.SYSTEMS / gap.system / support.README), gap.word, gap.what)
        for gap in support.gaps(_SYSTEMS, catalogue)
    ]


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
