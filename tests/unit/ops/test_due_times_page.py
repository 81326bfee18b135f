"""What `docs/due-times.md` shows of the rules is read as it says."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from canonical.errors import Misconfigured
from canonical.rules import Rules
from ops.configuration import load

PAGE = Path(__file__).parents[3] / "docs" / "due-times.md"
URLS = {"LAYSHAFT_DATABASE_URL": "postgresql://db/x", "LAYSHAFT_AMQP_URL": "amqp://mq/x"}
REST = """
[settings]
sources = []
systems = []

[rules]
central_purchasing_org = "1000"
routes = []
distribution = []

[[rules.plants]]
code = "1010"
name = "Regensburg"
zone = "Europe/Berlin"
sourcing = "central"
purchasing_org = "1000"
calendar = "office"

"""


def shown() -> str:
    return "\n".join(re.findall(r"```toml\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE))


def read(folder: Path, text: str) -> Rules:
    file = folder / "layshaft.toml"
    file.write_text(text)
    return load(file, URLS).rules


def test_the_rules_of_the_page_are_read(tmp_path: Path) -> None:
    rules = read(tmp_path, REST + shown())
    assert rules.due_s == {"approve": 28_800, "put-bom": 600, "hold": 14_400}
    office = rules.calendar_of("quality")
    assert office is not None
    assert rules.calendar_of("sourcing", ["1010"]) == office
    berlin = ZoneInfo("Europe/Berlin")
    # The page's own example: eight hours from a Friday at eleven.
    friday = datetime(2026, 11, 20, 11, tzinfo=berlin)
    assert office.after(friday, 28_800) == datetime(2026, 11, 23, 15, tzinfo=berlin)
    assert [(rule.about, rule.to) for rule in rules.escalations] == [
        ("question supplier-qualification", "quality-lead"),
        ("question supplier-qualification", "plant-manager"),
        ("refused supplier-qualification", "engineering-lead"),
        ("operation *", "operations-lead"),
        ("hold *", "operations-lead"),
    ]
    assert office.after(friday.astimezone(UTC), 3600).astimezone(berlin).hour == 12


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('quality = "office"', 'quality = "ofice"', "'ofice' of the role quality"),
        ("ends = 17:00:00", "ends = 07:00:00", "end before they begin"),
        ('supplier-qualification = "quality"', 'other = "quality"', "which nobody is asked"),
        ('to = "plant-manager"', 'to = "quality"', "who is asked already"),
        ("approve = 28800", "approve = 99999999", "<= 31622400"),
        ('zone = "Europe/Berlin"\nholidays', 'zone = "Berlin"\nholidays', "is no time zone"),
    ],
)
def test_what_the_page_calls_refused_is_refused(
    tmp_path: Path, before: str, after: str, says: str
) -> None:
    text = REST + shown()
    assert before in text
    with pytest.raises(Misconfigured) as refused:
        read(tmp_path, text.replace(before, after))
    assert (refused.value.code, says in refused.value.what) == ("configuration-invalid", True)
