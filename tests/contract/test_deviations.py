"""What a driver takes although it is not written as it should be is told with its place, and says
the same as if it were."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from canonical.effects import Effect, Open
from canonical.envelope import Deviation
from canonical.errors import Failure
from tests.contract.genuine import (
    GENUINE,
    OF_JSON,
    OF_XML,
    answer,
    body_of,
    deviations,
    parts_of,
)
from tests.contract.parts import Part, Path, part_at, paths, with_parts, with_text
from tests.contract.test_hostile_content import read_texts

# Rows and packages may be written by hand, and some of the genuine ones are.
WRITTEN_BY_SYSTEMS = [name for name in (*OF_JSON, *OF_XML) if not name.startswith(("pdx", "table"))]
NO_COLON = "2026-03-02T09:00:00+0100"
WITH_COLON = "2026-03-02T09:00:00+01:00"


def place(whole: Part, path: Path) -> str:
    """As a deviation has it: names joined with points, places in lists in brackets."""
    found, inside = "", whole
    for at in path:
        if inside.kind == "list":
            found = f"{found}[{at}]"
        else:
            found = f"{found}.{inside.parts[at].name}".removeprefix(".")
        inside = inside.parts[at]
    return found


@pytest.mark.parametrize("name", WRITTEN_BY_SYSTEMS)
def test_a_genuine_message_is_as_it_should_be(name: str) -> None:
    assert deviations(name, body_of(name, parts_of(name))) == ()


# Blanks around a text of JSON

# What people type into one field, or several values of it.
TYPED = {
    *(("arena-change", "value"), ("arena-item", "value"), ("arena-item", "refDes")),
    *(("coupa-supplier", "plants"), ("coupa-supplier", "regions")),
}


def said(found: tuple[Effect, ...] | Failure) -> list[object]:
    """A case quotes what it is about as it is written."""
    assert not isinstance(found, Failure)
    return [one.code if isinstance(one, Open) else one for one in found]


@pytest.mark.parametrize("name", [name for name in WRITTEN_BY_SYSTEMS if name in OF_JSON])
def test_blanks_that_are_told_change_nothing(name: str) -> None:
    whole = parts_of(name)
    genuine = answer(name, body_of(name, whole))
    for path in paths(whole):
        text = part_at(whole, path).text
        if part_at(whole, path).kind != "text" or not text.strip():
            continue
        body = body_of(name, with_text(whole, path, f" {text}\t"))
        found = answer(name, body)
        if not isinstance(found, Failure) and deviations(name, body):
            assert deviations(name, body) == (
                Deviation(place(whole, path), "There are blanks around it: left out"),
            )
            assert said(found) == said(genuine), place(whole, path)


def test_blanks_that_change_nothing_of_what_is_read_are_told() -> None:
    told = set()
    for read in read_texts():
        if read.name not in WRITTEN_BY_SYSTEMS or read.name not in OF_JSON:
            continue
        whole = parts_of(read.name)
        text = part_at(whole, read.path).text
        if part_at(whole, read.path).kind != "text" or not text.strip():
            continue
        body = body_of(read.name, with_text(whole, read.path, f" {text}"))
        same = answer(read.name, body) == answer(read.name, body_of(read.name, whole))
        if same and (read.field[0], read.field[-1]) not in TYPED:
            assert place(whole, read.path) in {d.where for d in deviations(read.name, body)}, read
            told.add(read.field[0])
    assert told >= {"arena-change", "arena-item", "coupa-order", "coupa-contract", "s4-event"}


# Times


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("coupa.order 0", "updated-at"),
        ("coupa.contract 0", "updated-at"),
        ("pdx.package 0", "thisDocumentGenerationDateTime"),
        ("pdx.package 0", "revisionReleasedDate"),
        ("pdx.package 0", "changeStatusDate"),
        ("pdx.package 0", "effectiveDate"),
    ],
)
def test_a_time_whose_offset_has_no_colon_is_told_and_the_same_time(name: str, member: str) -> None:
    whole = parts_of(name)
    places = [path for path in paths(whole) if part_at(whole, path).name == member]
    written = {}
    for text in (NO_COLON, WITH_COLON):
        parts = whole
        # Affected items have one date in common.
        for path in places:
            parts = with_text(parts, path, text)
        written[text] = body_of(name, parts)
    assert answer(name, written[NO_COLON]) == answer(name, written[WITH_COLON])
    before = deviations(name, written[WITH_COLON])
    told = [one for one in deviations(name, written[NO_COLON]) if one not in before]
    assert len(told) == len(places)
    for one in told:
        assert member in one.where
        assert one.what == "The offset of the time has no colon"


@pytest.mark.parametrize(
    "name",
    [
        "arena.item 0",
        "arena.supplier 0",
        "arena.gone 0",
        "coupa.contracts 0",
        "s4.event 0",
        "s4.purchase-order 0",
        "table items",
    ],
)
def test_the_time_in_the_header_is_told_likewise(name: str) -> None:
    body = body_of(name, parts_of(name))
    assert deviations(name, body, time=WITH_COLON) == ()
    assert deviations(name, body, time=NO_COLON) == (
        Deviation("ce-time", "The offset of the time has no colon"),
    )


# IDocs

ORDER, CONFIRMED, MATERIAL, BOM = (
    next(
        name
        for name in GENUINE
        if name.startswith("idoc") and f"<MESTYP>{kind}</MESTYP>" in GENUINE[name].content.decode()
    )
    for kind in ("ORDERS", "ORDRSP", "MATMAS", "BOMMAT")
)


def at(name: str, tag: str, number: int = 0) -> Path:
    """Where the element stands, the one of that number."""
    whole = parts_of(name)
    return [path for path in paths(whole) if part_at(whole, path).name == tag][number]


def twice(parts: tuple[Part, ...], place: int) -> tuple[Part, ...]:
    return (*parts[: place + 1], *parts[place:])


def to_the_end(parts: tuple[Part, ...], place: int) -> tuple[Part, ...]:
    return (*parts[:place], *parts[place + 1 :], parts[place])


def with_(name: str, tag: str, text: str, number: int = 0) -> Part:
    return with_text(parts_of(name), at(name, tag, number), text)


ODD_IDOCS: dict[str, tuple[str, Callable[[], Part], Callable[[], Part], str]] = {
    "a sign in front": (
        ORDER,
        lambda: with_(ORDER, "SUMME", "-100"),
        lambda: with_(ORDER, "SUMME", "100-"),
        "E1EDS01, line 1: SUMME",
    ),
    "a plus": (
        MATERIAL,
        lambda: with_(MATERIAL, "UMREZ", "+7"),
        lambda: with_(MATERIAL, "UMREZ", "7"),
        "E1MARMM, line 1: UMREZ",
    ),
    "lines of which one is not filled up": (
        CONFIRMED,
        lambda: with_(CONFIRMED, "ZEILE", "2", 2),
        lambda: parts_of(CONFIRMED),
        "E1EDP02, line 1: ZEILE",
    ),
    "a line that is confirmed twice": (
        CONFIRMED,
        lambda: with_parts(parts_of(CONFIRMED), at(CONFIRMED, "E1EDP01"), twice),
        lambda: parts_of(CONFIRMED),
        "E1EDP01, line 1",
    ),
    "alternatives of which one is not filled up": (
        BOM,
        lambda: with_(BOM, "STLAL", "1", 0),
        lambda: parts_of(BOM),
        "E1MASTM, line 1: STLAL",
    ),
    "a line of a BOM that is named twice": (
        BOM,
        lambda: with_parts(parts_of(BOM), at(BOM, "E1STASM"), twice),
        lambda: parts_of(BOM),
        "E1STASM, line 1",
    ),
    "a unit that is given up": (
        ORDER,
        lambda: with_(ORDER, "MENEE", "HAR"),
        lambda: with_(ORDER, "MENEE", "HAR"),
        "E1EDP01, line 1: MENEE",
    ),
    "a control record elsewhere": (
        ORDER,
        lambda: with_parts(parts_of(ORDER), at(ORDER, "EDI_DC40"), to_the_end),
        lambda: parts_of(ORDER),
        "EDI_DC40, line 1",
    ),
    "no number": (
        ORDER,
        lambda: with_(ORDER, "DOCNUM", ""),
        lambda: with_(ORDER, "DOCNUM", ""),
        "EDI_DC40, line 1: DOCNUM",
    ),
}


@pytest.mark.parametrize("odd", ODD_IDOCS)
def test_an_idoc_that_is_odd_is_told_by_its_place_and_says_the_same(odd: str) -> None:
    name, made, meant, where = ODD_IDOCS[odd]
    body = body_of(name, made())
    assert where in {one.where for one in deviations(name, body)}
    assert not isinstance(answer(name, body), Failure)
    assert answer(name, body) == answer(name, body_of(name, meant()))
