"""Which part of the work a process takes."""

from __future__ import annotations

import pytest

from broker.settings import Settings, Source
from broker.topology import DEAD, LANES
from canonical.errors import Misconfigured
from ops.queues import inlets_of
from ops.roles import ROLES, Share, share_of

SETTINGS = Settings(
    database_url="postgresql://h/d",
    amqp_url="amqp://h/v",
    sources=(Source("plm", ("change",), ("arena.change",)),),
    systems=(),
)
EVENTS = ("item.released",)


def queues(*roles: str) -> set[str]:
    share = share_of(",".join(roles), "")
    return {i.queue for lane in LANES for i in inlets_of(SETTINGS, EVENTS, lane, share.roles)}


def test_without_words_a_process_does_everything() -> None:
    assert share_of("", "") == Share(frozenset(ROLES), LANES)


def test_words_are_taken_in_any_order_and_with_blanks() -> None:
    assert share_of("upkeep, translate", "enrichment,critical") == Share(
        frozenset({"translate", "upkeep"}), ("critical", "enrichment")
    )


@pytest.mark.parametrize(("roles", "lanes"), [("translator", ""), ("", "fast"), ("decide,", "")])
def test_another_word_is_refused_with_the_ones_there_are(roles: str, lanes: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        share_of(roles, lanes)
    assert refused.value.code == "share-unknown"
    assert "Use some of" in refused.value.remedy


def test_translating_takes_what_sources_send_and_dead_letters() -> None:
    assert queues("translate") == {"in.plm.change.standard", "in.plm.other.standard", DEAD}


def test_deciding_takes_events_of_all_lanes() -> None:
    assert queues("decide") == {f"item.released.{lane}" for lane in LANES}


def test_the_roles_together_take_every_queue_once() -> None:
    assert queues(*ROLES) == queues("translate") | queues("decide")
    assert not queues("dispatch", "upkeep")


@pytest.mark.parametrize(
    ("roles", "consumes"), [("translate", True), ("decide", True), ("dispatch,upkeep", False)]
)
def test_who_neither_translates_nor_decides_takes_no_messages(roles: str, consumes: bool) -> None:
    assert share_of(roles, "").consumes is consumes
