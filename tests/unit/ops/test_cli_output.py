"""What goes to standard output."""

from __future__ import annotations

import io

import pytest

from ops.cli.output import Column, Screen, fits, narrow_lines, put_json, screen, span


def plain(columns: list[Column], rows: list[tuple[str, ...]]) -> list[str]:
    """The lines of a table that goes into a file."""
    stream = io.StringIO()
    Screen(stream).table(columns, rows)
    return stream.getvalue().splitlines()


def test_columns_are_aligned_by_what_a_terminal_shows() -> None:
    rows = [("7", "Zahnrad"), ("12", "歯車")]
    columns = [Column("id", is_number=True), Column("name"), Column("end")]
    assert plain(columns, [(*row, "x") for row in rows]) == [
        "id  name     end",
        " 7  Zahnrad  x",
        "12  歯車     x",
    ]


def test_nothing_is_cut_however_long_it_is() -> None:
    identity = "X" * 400
    assert plain([Column("id"), Column("what")], [(identity, "y")])[1] == f"{identity}  y"


def test_a_column_without_content_is_left_out() -> None:
    assert plain([Column("a"), Column("b"), Column("c")], [("1", "", "2")]) == ["a  c", "1  2"]


def test_names_and_values_have_no_head_and_no_empty_value() -> None:
    stream = io.StringIO()
    Screen(stream).fields([("where", "item/A"), ("change", ""), ("owner", "quality")])
    assert stream.getvalue() == "where  item/A\nowner  quality\n"


def test_characters_that_steer_a_terminal_are_shown_and_not_obeyed() -> None:
    assert plain([Column("a")], [("red\x1b[31m\nnext",)])[1] == r"red\x1b[31m\nnext"


def test_json_ends_with_a_line_break(capsys: pytest.CaptureFixture[str]) -> None:
    put_json({"a": [1]})
    assert capsys.readouterr().out == '{\n  "a": [\n    1\n  ]\n}\n'


def test_no_colour_is_written_into_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    screen().line("done", style="green")
    assert capsys.readouterr().out == "done\n"


CASES = (
    Column("case", is_number=True),
    Column("owner"),
    Column("where"),
    Column("what", is_text=True),
)
ROWS = (
    ("7", "sourcing", "engineering-change/ECO-000451: supplier/S-300", "Teller is not qualified"),
    ("12", "sender (plm)", "message 09b5cb30707cae7c", "The content breaks its contract"),
)


def test_a_wide_terminal_gets_a_table() -> None:
    assert fits(CASES, ROWS, 120)
    assert not fits(CASES, ROWS, 80)


def test_on_a_narrow_terminal_prose_stands_below_its_row() -> None:
    assert narrow_lines(CASES, ROWS, 80) == [
        "case  owner         where",
        "   7  sourcing      engineering-change/ECO-000451: supplier/S-300",
        "    Teller is not qualified",
        "  12  sender (plm)  message 09b5cb30707cae7c",
        "    The content breaks its contract",
    ]


def test_on_a_very_narrow_terminal_each_cell_has_its_line_and_nothing_is_cut() -> None:
    lines = narrow_lines(CASES, ROWS, 40)
    assert lines[:3] == [
        "case   7",
        "owner  sourcing",
        "where  engineering-change/ECO-000451:",
    ]
    assert all(len(line) <= 40 for line in lines)
    assert "".join(lines).count("supplier/S-300") == 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.6, "1 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3599, "59 min 59 s"),
        (3601, "1 h"),
        (5400, "1 h 30 min"),
        (86_400, "1 d"),
        (90_061, "1 d 1 h"),
        (86_460, "1 d"),
        (-5, "0 s"),
    ],
)
def test_how_long_something_takes_is_said_in_its_two_largest_units(
    seconds: float, words: str
) -> None:
    assert span(seconds) == words
