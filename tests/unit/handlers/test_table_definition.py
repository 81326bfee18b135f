"""What a table may say, and how nonsense in it is refused before the first message comes."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

import pytest

from canonical.errors import Misconfigured
from handlers.systems.table.checking import mapped_table
from handlers.systems.table.targets import (
    CURRENCIES,
    DECIMAL_TEXTS,
    IDS,
    PROSE,
    TARGETS,
    UNITS,
    Branch,
    Leaf,
    leaf_at,
    paths,
)
from tests.corpus import CORPUS

GOOD = """
name = "suppliers"
kinds = ["supplier-list"]
event = "supplier.changed"
[csv]
delimiter = ";"
[fields]
number = "No"
name = "Name"
active = { column = "Active", words = { y = true, n = false } }
stated_at = "At"
qualification.status = { column = "Status", words = { ok = "qualified" } }
"""
LINES = """
name = "boms"
kinds = ["boms"]
event = "bom.released"
[csv]
[units]
names = "sap"
words = { Stk = "H87" }
[fields]
parent = "Parent"
revision = "Rev"
stated_at = { column = "At", format = "%Y-%m-%d", zone = "Europe/Berlin" }
base.value = { constant = 1 }
base.unit = { constant = "H87" }
lines.position = "Pos"
lines.component = "Part"
lines.quantity.value = "Qty"
lines.quantity.unit = "Unit"
lines.reference_designators = { column = "Ref", separator = "," }
"""


def refusal(text: str) -> Misconfigured:
    with pytest.raises(Misconfigured) as caught:
        mapped_table(tomllib.loads(text), "my.toml")
    assert caught.value.where.startswith("my.toml")
    return caught.value


@pytest.mark.parametrize("text", [GOOD, LINES], ids=["suppliers", "boms"])
def test_a_sound_table_is_taken(text: str) -> None:
    assert mapped_table(tomllib.loads(text), "my.toml").columns


def test_a_table_uses_the_columns_that_it_names() -> None:
    mapped = mapped_table(tomllib.loads(LINES), "my.toml")
    assert set(mapped.columns) == {"Parent", "Rev", "At", "Pos", "Part", "Qty", "Unit", "Ref"}


def test_a_path_may_be_quoted_or_be_levels_of_toml() -> None:
    quoted = GOOD.replace("qualification.status", '"qualification.status"')
    levels = GOOD.replace("qualification.status =", "[fields.qualification]\nstatus =")
    found = [mapped_table(tomllib.loads(text), "t").columns for text in (GOOD, quoted, levels)]
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("before", "after", "says", "remedy"),
    [
        ('name = "suppliers"', 'name = "Suppliers"', "name: 'Suppliers'", "lower-case"),
        ('name = "suppliers"', 'nmae = "suppliers"', "`nmae`", "Did you mean `name`?"),
        ('name = "suppliers"', "", "`name`", ""),
        ('"supplier-list"', "", "kinds", "routing keys"),
        ("supplier.changed", "supplier.chnaged", "'supplier.chnaged'", "`supplier.changed`"),
        ("supplier.changed", "approval.granted", "'approval.granted'", ""),
        ("[csv]", "[csv]\nseparator = 1", "`separator`", ""),
        ("[csv]", "[csv]\ndelimeter = 1", "`delimeter`", "Did you mean `delimiter`?"),
        ("[csv]", '[csv]\nencoding = "latin-9"', "'latin-9'", "Correct"),
        ("[csv]", '[csv]\ngrouping = "."', "csv.grouping", ""),
        ("[csv]", '[csv]\nquote = ";"', "csv.quote", ""),
        ("[csv]", '[csv]\nheader = ["No", "No"]', "csv.header", ""),
        ("[csv]", '[csv]\nheader = ["No", "Nmae"]', "'Name'", "`Nmae`"),
        ('delimiter = ";"', 'delimiter = ";;"', "csv.delimiter", ""),
        ('delimiter = ";"', 'delimiter = "\\n"', "csv.delimiter", ""),
        ('delimiter = ";"', 'delimiter = "a"', "csv.delimiter", ""),
        ("[csv]", "[json]\n[csv]", "csv or json", "not both"),
        ('[csv]\ndelimiter = ";"', "", "csv or json", ""),
        ('name = "Name"', 'nam = "Name"', "fields.nam is no field of Supplier", "`name`"),
        ('name = "Name"', "", "fields.name is needed", "Fill name"),
        ("qualification.status", "qualification.stated_as", "fields.qualification.status", "Fill"),
        ('qualification.status = { column = "Status", words = { ok = "qualified" } }', "",
         "fields.qualification is needed", "qualification.status, qualification.valid_until"),
        ('name = "Name"', 'name = "Name"\n"qualification.status" = "S"',
         "qualification.status is filled twice", ""),
        ('name = "Name"', 'name = "Name"\nqualification = { column = "Q" }', None, ""),
        ('number = "No"', 'number = { constant = "S-1" }', "tells objects apart", "column"),
        ('stated_at = "At"', "", "which of two files is the newer one", "ce-time"),
        ('stated_at = "At"', 'stated_at = { constant = "2026-03-02T08:00:00Z" }', "newer one", ""),
        ('stated_at = "At"', 'stated_at = { header = "ce-id" }', "ce-id", ""),
        ('stated_at = "At"', 'stated_at = { column = "At", header = "ce-time" }', "several", ""),
        ('stated_at = "At"', 'stated_at = { header = "ce-time", format = "%Y" }', "no cell", ""),
        ('name = "Name"', 'name = { header = "ce-time" }', "the field is none", ""),
        ('name = "Name"', 'name = { colunm = "Name", constant = "" }', "`colunm`", "`column`"),
        ('name = "Name"', 'name = " Name"', "blanks around it", ""),
        ('name = "Name"', 'name = { column = "Name", separator = "," }', "one value", ""),
        ('name = "Name"', 'name = { column = "Name", format = "%d" }', "no time", ""),
        ('name = "Name"', 'name = { column = "Name", zone = "UTC" }', "zone", ""),
        ("{ y = true, n = false }", "{}", "words: there is none", ""),
        ("y = true", 'y = "treu"', "'treu' is no value", "`true`"),
        ('ok = "qualified"', 'ok = "qualfied"', "'qualfied' is no value", "`qualified`"),
        ('stated_at = "At"', 'stated_at = { column = "At", format = "%d%m%y" }', "%d%m%y", "%Y"),
        ('stated_at = "At"', 'stated_at = { column = "At", format = "%d%m%Y" }', "zone", "Berlin"),
        ('stated_at = "At"', 'stated_at = { column = "At", format = "%d %b %Y" }', "%b", ""),
        ('stated_at = "At"',
         'stated_at = { column = "At", format = "%Y%m%d", zone = "Europe/Berln" }', "zone", "IANA"),
        ("[csv]", 'ignore = ["Name"]\n[csv]', "ignore: 'Name' is used", ""),
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_the_key_and_what_to_do(
    before: str, after: str, says: str | None, remedy: str
) -> None:
    assert before in GOOD
    failure = _refused_by_toml_or_us(GOOD.replace(before, after, 1))
    if isinstance(failure, tomllib.TOMLDecodeError):
        assert says is None
        return
    assert (says or "") in f"{failure.where}: {failure.what}"
    assert remedy in failure.remedy


def _refused_by_toml_or_us(text: str) -> Misconfigured | tomllib.TOMLDecodeError:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return error
    return refusal(text)


@pytest.mark.parametrize(
    ("before", "after", "says", "remedy"),
    [
        ('"sap"', '"spa"', "units.names", "sap"),
        ('Stk = "H87"', 'Stk = "Stk"', "units.words.Stk", ""),
        ('Stk = "H87"', 'Stk = "H87", stk = "KGM"', "one name twice", ""),
        (', separator = ","', "", "several values", "separator"),
        (', separator = ","', ', separator = ",", empty = "R1"', "list of nothing", ""),
        ('lines.quantity.unit = "Unit"', "", "fields.lines.quantity.unit is needed", "Fill"),
        ('lines.quantity.unit = "Unit"', 'lines.quantity.unti = "Unit"', "lines.quantity.unti",
         "`lines.quantity.unit`"),
        ('base.value = { constant = 1 }', 'base.value = { constant = "1,5" }', "'1,5'", ""),
        ('base.unit = { constant = "H87" }', 'base.unit = { constant = "Stk" }', "'Stk'", ""),
        ('revision = "Rev"', 'revision = { column = "Rev", empty = "\u200b" }', "no value", ""),
        ('lines.position = "Pos"', 'lines.position = "Pos"\nlines.quantity = "Qty"', None, ""),
        ('lines.position = "Pos"', 'lines.position = "P"\nlines.substitutes = "S"', "several", ""),
    ],
)  # fmt: skip
def test_nonsense_in_lines_is_refused_too(
    before: str, after: str, says: str | None, remedy: str
) -> None:
    assert before in LINES
    failure = _refused_by_toml_or_us(LINES.replace(before, after, 1))
    if isinstance(failure, tomllib.TOMLDecodeError):
        assert says is None
        return
    assert (says or "") in f"{failure.where}: {failure.what}"
    assert remedy in failure.remedy


def test_a_row_is_not_two_things_at_once() -> None:
    text = (CORPUS / "table" / "items.toml").read_text()
    text += 'alternates.unit = "U"\nalternates.ratio.numerator = "N"\n'
    text += (
        'manufacturers.manufacturer = "M"\nmanufacturers.part = "P"\nmanufacturers.status = "S"\n'
    )
    failure = refusal(text)
    assert failure.what == "A row cannot be one of alternates and manufacturers at once"


def test_a_field_of_several_fields_is_named_with_them() -> None:
    failure = refusal(LINES.replace('revision = "Rev"', 'revision = "Rev"\nlines = "L"').replace(
        "lines.", "#"))  # fmt: skip
    assert failure.what == "fields.lines consists of several fields"
    assert "lines.quantity.unit" in failure.remedy


def _names(branch: Branch) -> Iterator[tuple[str, Leaf]]:
    for name, field in branch.fields.items():
        if isinstance(field, Branch):
            yield from _names(field)
        elif isinstance(field, Leaf):
            yield name, field


def test_every_text_of_an_event_is_told_apart_by_its_name() -> None:
    """A new field has to be put into one of the sets: nobody guesses whether it is an id."""
    sets = (UNITS, CURRENCIES, DECIMAL_TEXTS, PROSE, IDS)
    texts = {"unit", "currency", "decimal text", "prose", "id"}
    names = {
        name
        for target in TARGETS.values()
        for name, leaf in _names(target.root)
        if leaf.kind in texts
    }
    assert {name: sum(name in one for one in sets) for name in names} == dict.fromkeys(names, 1)


@pytest.mark.parametrize("event", list(TARGETS))
def test_every_path_leads_to_a_field(event: str) -> None:
    root = TARGETS[event].root
    found = list(paths(root))
    assert all(leaf_at(root, path.replace("<key>", "EN")) for path in found)
    assert set(TARGETS[event].identity) <= set(found)
    assert leaf_at(root, "nothing") is None
    assert leaf_at(root, f"{found[0]}.more") is None
