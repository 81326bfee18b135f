"""Files of others that pages are served with are those that stand in the list."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import ops.console

FOLDER = Path(ops.console.__file__).parent / "static"
_ROW = re.compile(r"^\| `([^`]+)` \| `([0-9a-f]{64})` \|$", re.MULTILINE)


def test_files_of_others_are_what_they_were_published_as() -> None:
    listed = dict(_ROW.findall((FOLDER / "README.md").read_text()))
    found = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in FOLDER.glob("*.min.*")
    }
    assert found == listed


def test_each_of_them_has_its_licence_and_its_version_in_the_list() -> None:
    text = (FOLDER / "README.md").read_text()
    for licence in FOLDER.glob("*-LICENSE.txt"):
        assert f"`{licence.name}`" in text
    assert len(re.findall(r"\) \d+\.\d+\.\d+ of the npm", text)) == 2
