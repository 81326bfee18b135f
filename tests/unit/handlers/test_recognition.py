"""Which handler takes a delivery: by its content, unless it says a type that is another one."""

from __future__ import annotations

import pytest

from canonical.errors import InvalidMessage
from canonical.events import SOURCE
from canonical.handler import Delivery
from handlers import CATALOGUE, HANDLERS
from tests.fixtures.build_packages import PACKAGES
from tests.fixtures.marked_as_test import FOREIGN

ECO = (PACKAGES / "arena_eco_000451.json").read_bytes()
CONTRACTS = ("pdx.package", "arena.change")


def stated(message_type: str) -> Delivery:
    return Delivery("plm", "", ECO, attributes={"type": message_type} if message_type else {})


@pytest.mark.parametrize(
    "message_type", ["", "arena.change", "com.arena.change.released", "arena.changes"]
)
def test_a_change_is_known_by_its_content_whatever_words_of_its_own_a_sender_uses(
    message_type: str,
) -> None:
    assert CATALOGUE.recognise(CONTRACTS, stated(message_type)).name == "arena-change"


@pytest.mark.parametrize(
    "message_type", ["arena.change.v99", "pdx.package.v2", "coupa.contracts", "coupa.supplier.v1"]
)
def test_a_type_or_version_that_the_source_may_not_send_is_refused_whatever_the_content(
    message_type: str,
) -> None:
    with pytest.raises(InvalidMessage, match="contract-unknown"):
        CATALOGUE.recognise(CONTRACTS, stated(message_type))


@pytest.mark.parametrize("form", FOREIGN)
@pytest.mark.parametrize("row", [row for row in HANDLERS if row[0] != SOURCE], ids="/".join)
def test_a_test_in_a_format_that_nobody_reads_is_refused_by_every_source(
    row: tuple[str, str], form: str
) -> None:
    with pytest.raises(InvalidMessage, match="contract-unknown"):
        CATALOGUE.recognise((row[1],), Delivery("partner", "order", FOREIGN[form].encode()))
