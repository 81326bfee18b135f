"""Topology as data: names, arguments and the CloudEvents header mapping."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.partitions import Ring
from broker.topology import (
    Binding,
    EventTopology,
    Exchange,
    InboundObject,
    SourceTopology,
    SubscriberTopology,
    attributes_from,
    event_queue,
    events_exchange,
    headers_for,
    inbound_exchange,
    inbound_queue,
    is_structured,
    topology,
)
from canonical.errors import InvalidMessage, Misconfigured

PLM = SourceTopology(
    "plm",
    (InboundObject("engineering-change", "critical"), InboundObject("product-definition")),
)
RELEASED = EventTopology("engineering-change.released", ("critical", "standard"))


def test_names() -> None:
    assert inbound_exchange("plm") == "in.plm"
    assert inbound_queue("plm", "bom", "standard") == "in.plm.bom.standard"
    assert events_exchange("critical") == "layshaft.events.critical"
    assert event_queue("engineering-change.released", "standard") == (
        "engineering-change.released.standard"
    )


def test_a_source_has_one_exchange_and_a_queue_for_each_object_and_the_rest() -> None:
    built = topology([PLM], [])
    assert [exchange for exchange in built.exchanges if exchange.name.startswith("in.")] == [
        Exchange("in.plm.other", "fanout"),
        Exchange("in.plm", "topic", {"alternate-exchange": "in.plm.other"}),
    ]
    assert [binding for binding in built.bindings if binding.queue.startswith("in.")] == [
        Binding("in.plm.other", "in.plm.other.standard", ""),
        Binding("in.plm", "in.plm.engineering-change.critical", "engineering-change.#"),
        Binding("in.plm", "in.plm.product-definition.standard", "product-definition.#"),
    ]


def test_an_object_comes_to_the_queue_of_its_lane_and_to_no_other_one() -> None:
    assert topology([PLM], []).cuts == (
        Binding("in.plm", "in.plm.engineering-change.standard", "engineering-change.#"),
        Binding("in.plm", "in.plm.engineering-change.enrichment", "engineering-change.#"),
        Binding("in.plm", "in.plm.product-definition.critical", "product-definition.#"),
        Binding("in.plm", "in.plm.product-definition.enrichment", "product-definition.#"),
    )


def test_an_exchange_of_one_lane_feeds_queues_of_that_lane_only() -> None:
    built = topology([], [RELEASED])
    assert [binding for binding in built.bindings if binding.queue != "layshaft.dead"] == [
        Binding(
            "layshaft.events.critical",
            "engineering-change.released.critical",
            "engineering-change.released",
        ),
        Binding(
            "layshaft.events.standard",
            "engineering-change.released.standard",
            "engineering-change.released",
        ),
    ]


def test_work_queues_are_finite_and_lose_nothing() -> None:
    built = topology([PLM], [RELEASED])
    work = [queue for queue in built.queues if queue.name != "layshaft.dead"]
    assert len(work) == 5
    for queue in work:
        assert queue.arguments == {
            "x-queue-type": "quorum",
            "x-quorum-initial-group-size": 3,
            "x-delivery-limit": 20,
            "x-dead-letter-exchange": "layshaft.dead",
            "x-dead-letter-routing-key": queue.name,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-max-length-bytes": 2_147_483_648,
        } | ({"x-single-active-consumer": True} if queue.name.startswith("in.") else {})


def test_the_queue_of_a_partition_has_one_consumer_at_a_time() -> None:
    ring = Ring(RELEASED.name, 1, 2, "current")
    built = topology([], [EventTopology(RELEASED.name, RELEASED.lanes, (ring,))])
    partitions = {name for lane in RELEASED.lanes for name in ring.queues(lane)}
    alone = {q.name for q in built.queues if q.arguments.get("x-single-active-consumer")}
    assert alone == partitions


def test_the_dead_letter_queue_has_no_way_out_but_its_consumer() -> None:
    built = topology([], [])
    assert [queue.name for queue in built.queues] == ["layshaft.dead"]
    assert built.queues[0].arguments == {
        "x-queue-type": "quorum",
        "x-quorum-initial-group-size": 3,
        "x-delivery-limit": 1_000_000_000,
        "x-overflow": "reject-publish",
        "x-max-length-bytes": 2_147_483_648,
    }


def test_a_foreign_subscriber_never_refuses_us() -> None:
    built = topology([], [], [SubscriberTopology("planning", ("engineering-change.completed",))])
    queue = built.queues[-1]
    assert queue.name == "out.planning"
    assert queue.arguments["x-overflow"] == "drop-head"
    assert "x-dead-letter-exchange" not in queue.arguments
    assert [binding.exchange for binding in built.bindings if binding.queue == "out.planning"] == [
        "layshaft.events.critical",
        "layshaft.events.standard",
        "layshaft.events.enrichment",
    ]


def test_exchanges_are_declared_before_what_names_them() -> None:
    names = [exchange.name for exchange in topology([PLM], [RELEASED]).exchanges]
    assert names.index("layshaft.dead") == 0
    assert names.index("in.plm.other") < names.index("in.plm")


@pytest.mark.parametrize(
    ("sources", "events", "subscribers"),
    [
        ([SourceTopology("PLM", ())], [], []),
        ([SourceTopology("plm.eu", ())], [], []),
        ([SourceTopology("plm", ()), SourceTopology("plm", ())], [], []),
        ([SourceTopology("plm", (InboundObject("other"),))], [], []),
        ([SourceTopology("plm", (InboundObject("bom"), InboundObject("bom", "critical")))], [], []),
        ([SourceTopology("plm", (InboundObject("bom.#"),))], [], []),
        ([], [EventTopology("released")], []),
        ([], [EventTopology("in.released")], []),
        ([], [EventTopology("layshaft.dead")], []),
        ([], [], [SubscriberTopology("plan ning", ())]),
        ([], [], [SubscriberTopology("planning", ("#",))]),
    ],
)
def test_a_bad_name_is_refused(
    sources: list[SourceTopology],
    events: list[EventTopology],
    subscribers: list[SubscriberTopology],
) -> None:
    with pytest.raises(Misconfigured) as caught:
        topology(sources, events, subscribers)
    assert caught.value.code == "topology-name"


def test_attributes_are_written_with_one_prefix() -> None:
    written = headers_for(
        {"id": "4711", "source": "plm", "traceparent": "00-ab-cd-01", "subject": ""}
        | {"datacontenttype": "application/json"}
    )
    assert written == {"ce-id": "4711", "ce-source": "plm", "ce-traceparent": "00-ab-cd-01"}


@pytest.mark.parametrize("prefix", ["ce-", "cloudEvents_", "cloudEvents:", "CE-", "cloudevents:"])
def test_every_usual_spelling_is_read(prefix: str) -> None:
    headers = {f"{prefix}id": "4711", f"{prefix}Type": "part", "x-death": [], "ce-": "?", "id": "x"}
    assert attributes_from(headers) == {"id": "4711", "type": "part"}


def test_a_bare_trace_context_is_read_unless_a_prefixed_one_is_there() -> None:
    assert attributes_from({"traceparent": "bare", "tracestate": "s"}) == {
        "traceparent": "bare",
        "tracestate": "s",
    }
    assert attributes_from({"ce-traceparent": "ours", "traceparent": "bare"}) == {
        "traceparent": "ours"
    }


def test_values_of_other_amqp_types_take_their_cloudevents_text() -> None:
    at = datetime(2031, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    assert attributes_from({"ce-sequence": 17, "ce-final": True, "ce-time": at}) == {
        "sequence": "17",
        "final": "true",
        "time": "2031-01-02T01:04:05Z",
    }


@pytest.mark.parametrize("value", [b"\xff", None, 1.5, ["a"], {"a": "b"}])
def test_a_value_without_text_is_a_data_error(value: object) -> None:
    with pytest.raises(InvalidMessage) as caught:
        attributes_from({"ce-id": value})
    assert (caught.value.code, caught.value.where) == ("ce-value", "ce-id")


def test_two_spellings_that_differ_are_a_data_error() -> None:
    assert attributes_from({"ce-id": "1", "cloudEvents:id": "1"}) == {"id": "1"}
    with pytest.raises(InvalidMessage) as caught:
        attributes_from({"ce-id": "1", "cloudEvents:id": "2"})
    assert caught.value.code == "ce-ambiguous"


@given(
    st.dictionaries(
        st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True).filter(lambda n: n != "datacontenttype"),
        st.text(min_size=1),
    )
)
def test_attributes_come_back_as_they_were_written(attributes: dict[str, str]) -> None:
    assert attributes_from(headers_for(attributes)) == attributes


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/cloudevents+json", True),
        ("Application/CloudEvents+JSON; charset=utf-8", True),
        ("application/cloudevents-batch+json", False),
        ("application/json", False),
        (None, False),
    ],
)
def test_structured_mode_is_told_by_the_content_type(
    content_type: str | None, expected: bool
) -> None:
    assert is_structured(content_type) is expected
