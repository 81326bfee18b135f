"""The folder of an export: whole or not there, and never over something else."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from canonical.errors import Misconfigured, Rejected
from ops.export_folder import Export, Exported, NotExported, about, move, new_folder, write

AT = datetime(2026, 3, 2, 8, 15, 30, tzinfo=UTC)


def export(*, masked: bool = True, with_numbers: bool = False, subject: str = "") -> Export:
    return Export(
        folder="out",
        masked=masked,
        with_numbers=with_numbers,
        selected=3,
        own=0,
        has_more=True,
        files=(
            Exported(
                file="plm-20260302T081530Z-01.pdx",
                logged_at=AT,
                source="plm",
                type="pdx.package",
                kind="product-definition",
                content_type="application/zip",
                time="",
                subject=subject,
                left_out=2,
            ),
        ),
        not_exported=(NotExported(AT, "plm", "unread", "content-unknown: Nobody knows"),),
    )


def test_a_folder_is_there_with_all_that_was_written(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "out"
    with new_folder(folder) as part:
        write(part / "one.xml", b"<a/>", folder)
        assert not folder.exists()
        move(part, folder)
    assert [f.name for f in folder.iterdir()] == ["one.xml"]
    assert (folder / "one.xml").read_bytes() == b"<a/>"
    assert [f.name for f in folder.parent.iterdir()] == ["out"]


def test_what_fails_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "out"

    def begun() -> None:
        with new_folder(folder) as part:
            write(part / "one.xml", b"<a/>", folder)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        begun()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    for used in (tmp_path, tmp_path / "mine"):
        with pytest.raises(Rejected, match="already"), new_folder(used):
            pass
    assert (tmp_path / "mine").read_text() == "mine"


def test_what_came_into_the_folder_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with new_folder(folder) as part:
        write(part / "one.xml", b"<a/>", folder)
        folder.mkdir()
        (folder / "mine").write_text("mine")
        with pytest.raises(Rejected):
            move(part, folder)
    assert [f.name for f in folder.iterdir()] == ["mine"]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured) as failure, new_folder(tmp_path / "file" / "out"):
        pass
    assert failure.value.code == "folder-unwritable"


def test_the_source_says_where_from_when_and_masked_how() -> None:
    text = about(export(), "source plm", AT)
    assert "exported 2026-03-02 08:15:30 UTC" in text
    assert "Selected: source plm, the oldest of them\n" in text
    assert "Masked: names of persons" in text
    assert "partners are as they were" in text
    assert (
        "  plm-20260302T081530Z-01.pdx  pdx.package from plm, logged 2026-03-02 08:15:30 UTC\n"
        "    kind product-definition, content type application/zip\n"
        "    left out: 2 more of the files in its archive\n" in text
    )
    assert "2026-03-02 08:15:30 UTC, plm, unread: content-unknown: Nobody knows\n" in text


def test_the_source_says_that_nothing_is_masked() -> None:
    text = about(export(masked=False), "source plm", AT)
    assert "NOT MASKED: the files hold personal data and prices" in text
    assert "Masked: names" not in text
    assert "partners are masked too" in about(export(with_numbers=True), "source plm", AT)


def test_words_of_a_sender_stay_in_their_line() -> None:
    text = about(export(subject="item/1\nNOT MASKED"), "source plm", AT)
    assert "subject item/1?NOT MASKED\n" in text
