"""What `docs/mass-changes.md` shows of the rules is read so, and holds where nothing is said."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from canonical.errors import Misconfigured
from canonical.guards import Guards, PlantGuards
from handlers.flows.mass_change import APPROVER
from ops.configuration import load
from tests.unit.ops.test_plant_boms_page import URLS, written

PAGE = Path(__file__).parents[3] / "docs" / "mass-changes.md"


def shown() -> str:
    (block,) = re.findall(r"```toml\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return str(block)


def test_the_page_shows_the_limits_that_hold_without_it(tmp_path: Path) -> None:
    rules = load(written(tmp_path, shown()), URLS).rules
    assert msgspec.structs.replace(rules.guards, plants=()) == Guards()
    assert rules.guards.plants == (PlantGuards("2010", removed_lines_percent=50, steps="off"),)
    assert rules.approvers == {"mass-change": APPROVER}
    assert rules.guards.limit("removed_lines_percent", "2010") == 50
    assert rules.guards.limit("steps", "2010") is None
    assert rules.guards.limit("steps", "1010") == 500
    assert (rules.guards.counted_in("steps", "2010"), rules.guards.counted_in("steps", "1010")) == (
        "2010",
        "",
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[rules.guards]\nsteps = -1", "rules.guards.steps"),
        ('[rules.guards]\nsteps = "none"', "rules.guards.steps"),
        ("[rules.guards]\nlines = 1", "unknown field `lines`"),
        ('[[rules.guards.plants]]\nplant = "9"', "name plant 9, which is not ours"),
    ],
)
def test_limits_that_make_no_sense_are_refused_at_load_with_their_place(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(Misconfigured) as refused:
        load(written(tmp_path, text), URLS)
    assert says in refused.value.what
