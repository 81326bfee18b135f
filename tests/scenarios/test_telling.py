"""How stories are read, and how a difference is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.seeing import difference
from tests.scenarios.telling import Misspelt, Sentence, read_stories, rows_of
from tests.scenarios.vocabulary import carry_out, understands

STORIES = sorted(Path(__file__).with_name("stories").glob("*.md"))
PLANTS = ("1010", "2010")
TWO = """\
# Pins

Prose is for the reader.

## Given

- everything is as in [the works](works.md)

## Story: one

### When

- PLM releases ECO-1 for `Pins`:

  | item  | text |
  |-------|------|
  | PIN-1 | a\\|b |
  | PIN-2 |      |

  | parent | line |
  |--------|------|

## Story: two

- this is told for each stage:

  | stage | then          |
  |-------|---------------|
  | early | PLM is silent |
  | late  | PLM speaks    |

### Then

- <then> of a long
  sentence
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two stories, of which one is told twice."""
    (tmp_path / "works.md").write_text("# Works\n\n## Given\n\n- these plants\n")
    told = tmp_path / "pins.md"
    told.write_text(TWO)
    return told


def test_a_story_has_what_is_given_to_all_and_its_own_sentences_with_their_tables(
    file: Path,
) -> None:
    one, *_ = read_stories(file)
    assert one.name == "one"
    assert [(s.part, s.text, s.where) for s in one.sentences] == [
        ("given", "these plants", "works.md:5"),
        ("when", "PLM releases ECO-1 for Pins:", "pins.md:13"),
    ]
    items, lines = one.sentences[1].tables
    assert [dict(row.cells) for row in items.rows] == [
        {"item": "PIN-1", "text": "a|b"},
        {"item": "PIN-2", "text": ""},
    ]
    assert [row.line for row in items.rows] == [17, 18]
    assert (lines.columns, lines.rows) == (("parent", "line"), ())


def test_a_story_that_varies_is_told_for_each_row(file: Path) -> None:
    _, early, late = read_stories(file)
    assert [early.name, late.name] == ["two, early", "two, late"]
    assert [s.sentences[-1].text for s in (early, late)] == [
        "PLM is silent of a long sentence",
        "PLM speaks of a long sentence",
    ]


def test_a_row_with_a_cell_too_many_is_refused_with_its_line(tmp_path: Path) -> None:
    told = tmp_path / "short.md"
    told.write_text("# Short\n\n## Then\n\n- x:\n\n  | a |\n  |---|\n  | 1 | 2 |\n")
    with pytest.raises(Misspelt, match=r"short\.md:9: 2 cells in a table of 1 columns"):
        read_stories(told)


def test_a_cell_that_names_several_stands_for_each_and_a_difference_names_its_line(
    tmp_path: Path,
) -> None:
    told = tmp_path / "rows.md"
    told.write_text(
        "# Rows\n\n## Then\n\n- x:\n\n"
        "  | item | plant      | quantity |\n  |---|---|---|\n  | PIN  | 1010, 2010 | 2        |\n"
    )
    [story] = read_stories(told)
    (table,) = story.sentences[0].tables
    assert len(rows_of(table)) == 2
    right = [{"item": "PIN", "plant": plant, "quantity": "2", "more": ""} for plant in PLANTS]
    assert difference(table, right) == ""
    assert difference(table, [right[0], right[1] | {"quantity": "3"}]).splitlines() == [
        "           | item | plant | quantity",
        "- line 9   | PIN  | 2010  | 2",
        "+ not told | PIN  | 2010  | 3",
    ]
    assert "+ not told" in difference(table, [*right, right[0]])


async def test_a_sentence_that_nobody_understands_is_named_with_its_line() -> None:
    odd = Sentence("then", "the moon is full", "odd.md:3")
    with pytest.raises(Misspelt, match=r"odd\.md:3: nobody understands 'the moon is full'"):
        # It is refused before the stage is looked at.
        await carry_out(None, odd)  # type: ignore[arg-type]


@pytest.mark.parametrize("file", STORIES, ids=[file.stem for file in STORIES])
def test_every_sentence_of_every_story_is_understood(file: Path) -> None:
    sentences = [sentence for story in read_stories(file) for sentence in story.sentences]
    assert sentences
    assert [s.where for s in sentences if not understands(s)] == []
