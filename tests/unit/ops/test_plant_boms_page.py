"""What `docs/plant-boms.md` shows of the rules is read as it says."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from textwrap import dedent

import pytest

from canonical.bom_rules import BomRules
from canonical.errors import Misconfigured
from canonical.rules import Distribution, ItemClass
from ops.configuration import load

PAGE = Path(__file__).parents[3] / "docs" / "plant-boms.md"
URLS = {"LAYSHAFT_DATABASE_URL": "postgresql://db/x", "LAYSHAFT_AMQP_URL": "amqp://mq/x"}
REST = """
[settings]
sources = []
systems = []

[rules]
central_purchasing_org = "1000"
routes = []

[[rules.plants]]
code = "1010"
name = "Regensburg"
zone = "Europe/Berlin"
sourcing = "central"
purchasing_org = "1000"

[[rules.plants]]
code = "2010"
name = "Greenville"
zone = "America/New_York"
sourcing = "local"
purchasing_org = "2010"

"""


def shown() -> str:
    blocks = re.findall(r"```toml\n(.*?)^ *```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return "\n".join(map(dedent, blocks))


def written(folder: Path, text: str) -> Path:
    file = folder / "layshaft.toml"
    none = "routes = []\ndistribution = []"
    file.write_text((REST if "distribution" in text else REST.replace("routes = []", none)) + text)
    return file


def test_the_page_shows_every_rule_and_each_is_taken(tmp_path: Path) -> None:
    rules = load(written(tmp_path, shown()), URLS).rules
    assert rules.distribution == (
        Distribution("Gearboxes", ("1010", "2010")),
        Distribution("Gearboxes", ("1010",), kinds=("part",)),
        Distribution("Gearboxes", ("2010",), classes=(ItemClass("arena-category", "PCBA"),)),
    )
    for name in BomRules.__struct_fields__:
        assert getattr(rules.boms, name), name
    (replacement,) = rules.boms.replacements
    assert (replacement.component, replacement.by) == ("SEAL-1", "SEAL-2")
    assert (replacement.ratio, replacement.last_day) == ((1, 2), date(2026, 12, 31))
    (owned,) = rules.boms.plant_owned
    assert all(getattr(owned, name) for name in type(owned).__struct_fields__)


@pytest.mark.parametrize(
    ("text", "says", "remedy"),
    [
        ('[[rules.boms.left_out]]\nplants = ["1010"]', "rules.boms.left_out[0]", "Correct"),
        ('[[rules.boms.left_out]]\nplants = ["9"]\nfamilies = ["P"]', "name plant 9", "Correct"),
        ('[[rules.boms.plant_own]]\nprefixes = ["P"]', "unknown field `plant_own`", "plant_owned"),
        (
            '[[rules.boms.replacements]]\ncomponent = "A"\nby = "B"\n'
            '[[rules.boms.replacements]]\ncomponent = "B"\nby = "A"',
            "in a circle: A by B by A",
            "Correct",
        ),
    ],
)
def test_rules_that_make_no_sense_are_refused_at_load_with_their_place(
    tmp_path: Path, text: str, says: str, remedy: str
) -> None:
    with pytest.raises(Misconfigured) as refused:
        load(written(tmp_path, text), URLS)
    assert refused.value.code == "configuration-invalid"
    assert says in refused.value.what
    assert remedy in refused.value.remedy
