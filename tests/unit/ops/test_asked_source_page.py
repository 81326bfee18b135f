"""The source of `docs/connect-a-source.md` for rows of a system that has to be asked works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from canonical.errors import Misconfigured
from canonical.handler import Delivery
from handlers import CATALOGUE
from ops.configuration import Configuration, load
from ops.sources import recogniser
from ops.tables import catalogue_of, refuse_unhandled
from tests.corpus import CORPUS

PAGE = Path(__file__).parents[3] / "docs" / "connect-a-source.md"
URLS = {"LAYSHAFT_DATABASE_URL": "postgresql://db/x", "LAYSHAFT_AMQP_URL": "amqp://mq/x"}
SYSTEM = """
[[settings.systems]]
name = "procurement"
driver = "coupa"
base_url = "https://suite.example"
auth = "oauth2"
user = "x"
secret = "env:X"
"""
RULES = """
[rules]
central_purchasing_org = "1000"
plants = []
distribution = []
routes = []
"""


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    """The source of the page, and the system that it speaks for."""
    _, _, section = PAGE.read_text().partition("## A source that has to be asked\n")
    found = re.search(r"```toml\n(.*?)```", section, re.DOTALL)
    assert found is not None
    path = tmp_path / "layshaft.toml"
    path.write_text(found[1] + SYSTEM + RULES)
    return load(path, URLS)


def test_rows_of_all_kinds_are_told_apart_by_the_type_that_they_are_sent_with(
    configuration: Configuration,
) -> None:
    catalogue = catalogue_of(configuration, CATALOGUE)
    refuse_unhandled(configuration, catalogue)
    (source,) = configuration.settings.sources
    (kind,) = source.kinds
    recognise = recogniser(configuration.settings, catalogue)
    named = {
        type_: recognise(Delivery(source.name, kind, body, attributes={"type": type_})).name
        for type_, body in (
            ("coupa.supplier", b'{"id": 1}'),
            ("coupa.contract", (CORPUS / "coupa" / "contract.json").read_bytes()),
            ("coupa.order", (CORPUS / "coupa" / "order.json").read_bytes()),
            ("coupa.review", (CORPUS / "coupa" / "review.json").read_bytes()),
        )
    }
    assert named == {
        "coupa.supplier": "coupa-supplier",
        "coupa.contract": "coupa-contract",
        "coupa.order": "coupa-order",
        "coupa.review": "coupa-review",
    }
    assert configuration.settings.reads_from["suite-rows"] == "procurement"


def test_lists_of_ids_are_taken_by_the_types_of_the_page_and_need_a_system_to_read_from(
    tmp_path: Path,
) -> None:
    _, _, section = PAGE.read_text().partition("## A source that has to be asked\n")
    source, contracts, *_ = re.findall(r"```toml\n(.*?)```", section, re.DOTALL)
    path = tmp_path / "layshaft.toml"
    path.write_text(re.sub(r"contracts = .*\n", contracts, source) + SYSTEM + RULES)
    configuration = load(path, URLS)
    catalogue = catalogue_of(configuration, CATALOGUE)
    refuse_unhandled(configuration, catalogue)
    (named,) = configuration.settings.sources
    assert {catalogue.translator(type_).name for type_ in named.contracts} == {
        "coupa-changed-suppliers",
        "coupa-changed-contracts",
        "coupa-changed-orders",
    }
    path.write_text(re.sub(r"reads_from.*\n", "", path.read_text()))
    with pytest.raises(Misconfigured) as caught:
        refuse_unhandled(load(path, URLS), catalogue)
    assert caught.value.code == "reads-from-nowhere"
