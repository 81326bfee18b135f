"""What drivers write as files is what the corpus holds, and says what it was written of."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from handlers.systems.idoc.outbound import FORMS
from tests.corpus import CORPUS
from tests.corpus.written import IDOCS, contents, idoc_objects, said, stated, written

FILES = written()
# How it was told, which is another matter in a file of ours.
TOLD = ("version", "stated_at", "source_id")


def untold(one: Any) -> Any:
    """Without how it was told."""
    known = json.loads(msgspec.json.encode(one))
    return {name: value for name, value in known.items() if name not in TOLD}


def test_every_kind_of_idoc_that_is_written_stands_in_the_corpus() -> None:
    assert IDOCS.keys() == FORMS.keys()


@pytest.mark.parametrize("name", FILES, ids=str)
def test_a_file_is_written_as_the_corpus_has_it(name: Path) -> None:
    assert FILES[name] == (CORPUS / name).read_bytes()


@pytest.mark.parametrize("kind", IDOCS)
def test_an_idoc_of_the_corpus_says_what_it_was_written_of(kind: str) -> None:
    read = stated(kind, f"{kind.lower()}.written.xml")
    paths = FORMS[kind].elsewhere
    for one, found in zip(idoc_objects(kind), read, strict=True):
        assert without(untold(found), paths) == without(untold(one), paths)


def without(value: Any, paths: Iterable[str]) -> Any:
    """The value without the fields of these paths, through lists."""
    if isinstance(value, list):
        return [without(each, paths) for each in value]
    below: dict[str, list[str]] = {}
    for path in paths:
        name, _, rest = path.partition(".")
        below.setdefault(name, []).append(rest)
    return (
        {
            name: without(each, [path for path in below.get(name, ()) if path])
            if isinstance(each, list | dict)
            else each
            for name, each in value.items()
            if "" not in below.get(name, ())
        }
        if isinstance(value, dict)
        else value
    )


def test_the_package_of_the_corpus_says_what_it_was_written_of() -> None:
    made = contents()
    expected = [*made.items, *made.boms, made.change]
    found = said(Path("pdx") / "coupling.written.xml")
    assert [untold(one) for one in found] == [untold(one) for one in expected]
