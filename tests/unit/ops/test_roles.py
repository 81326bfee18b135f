"""Which part of the work a process takes."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from broker.settings import Settings, Source
from broker.topology import DEAD, LANES
from canonical.envelope import Lane
from canonical.errors import Misconfigured
from ops.queues import inlets_of, lineages_of, origin_of
from ops.roles import ROLES, Role, Share, share_of

SETTINGS = Settings(
    database_url="postgresql://h/d",
    amqp_url="amqp://h/v",
    sources=(Source("plm", ("change", "stop"), ("arena.change",), lanes={"stop": "critical"}),),
    systems=(),
)
EVENTS = ("item.released",)


def queues(*roles: str) -> set[str]:
    roles_taken = share_of(",".join(roles), "").roles
    return {q for lane in LANES for q in queues_of(lane, roles_taken)}


def queues_of(lane: Lane, roles: Collection[Role]) -> set[str]:
    inlets = inlets_of(SETTINGS, EVENTS, lane, roles)
    return {i.queue for i in (*inlets, *(f.current for f in lineages_of(SETTINGS, lane, roles)))}


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
    assert queues("translate") == {
        "in.plm.change.standard",
        "in.plm.stop.critical",
        "in.plm.other.standard",
        DEAD,
    }


def test_a_lane_takes_what_sources_send_in_it_and_its_events() -> None:
    assert queues_of("critical", ROLES) == {"in.plm.stop.critical", "item.released.critical"}
    assert queues_of("enrichment", ROLES) == {"item.released.enrichment"}


@pytest.mark.parametrize(
    ("queue", "kind"),
    [
        ("in.plm.change.standard", "change"),
        ("in.plm.stop.critical", "stop"),
        # Of the lane before: what it could not be rid of is among the dead letters for long.
        ("in.plm.stop.standard", "stop"),
        ("in.plm.other.standard", "other"),
        ("item.released.critical", "item.released"),
        ("item.released.critical.r2.p0", "item.released"),
    ],
)
def test_a_dead_letter_is_known_by_the_queue_it_comes_from(queue: str, kind: str) -> None:
    origin = origin_of(SETTINGS, EVENTS, queue)
    assert origin is not None
    assert (origin.queue, origin.kind) == (queue, kind)


def test_a_queue_of_somebody_else_has_no_origin() -> None:
    assert origin_of(SETTINGS, EVENTS, "in.erp.change.standard") is None


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
