"""The table of `docs/routes.md` is one that can be loaded, and says what the page says."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from canonical.rules import Rules
from ops.configuration import load

PAGE = Path(__file__).parents[3] / "docs" / "routes.md"
URLS = {"LAYSHAFT_DATABASE_URL": "postgresql://db/x", "LAYSHAFT_AMQP_URL": "amqp://mq/x"}
REST = """
[settings]
sources = []
systems = []
[rules]
central_purchasing_org = "1000"
distribution = []
"""


@pytest.fixture
def rules(tmp_path: Path) -> Rules:
    """The rules with the table of the page."""
    found = re.search(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    path = tmp_path / "layshaft.toml"
    path.write_text(REST + found[1])
    return load(path, URLS).rules


@pytest.mark.parametrize(
    ("kind", "on", "system"),
    [
        ("item", date(2026, 12, 31), "erp"),
        ("item", date(2027, 1, 1), "erp-new"),
        ("bom", date(2027, 1, 1), "erp"),
        ("bom", date(2027, 3, 31), "erp"),
        ("bom", date(2027, 4, 1), "erp-new"),
    ],
)
def test_the_plant_of_the_company_goes_over_and_its_boms_later(
    rules: Rules, kind: str, on: date, system: str
) -> None:
    assert rules.system_for(kind, "1010", on) == system
    assert rules.system_for(kind, "2010", on) == "erp"
