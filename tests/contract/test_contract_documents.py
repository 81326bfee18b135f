"""What the catalogue page and the AsyncAPI document say is what the runtime does."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from broker.settings import Retention, Settings
from broker.topology import (
    LANES,
    EventTopology,
    InboundObject,
    SourceTopology,
    SubscriberTopology,
    event_queue,
    events_exchange,
    subscriber_queue,
    topology,
)
from canonical.events import EVENTS, EventType
from handlers import CATALOGUE
from ops.contracts.asyncapi import asyncapi
from ops.contracts.files import ROOT
from ops.contracts.page import page

DOCUMENT = asyncapi(CATALOGUE)
PAGE = page()


# --- how long events are kept ---


def test_how_long_events_are_kept_is_what_the_one_setting_says() -> None:
    days = Retention().log_days
    assert DOCUMENT["x-retention"] == {
        "setting": "settings.retention.log_days",
        "default-days": days,
    }
    assert "retention" in Settings.__struct_fields__
    assert "log_days" in Retention.__struct_fields__
    kept = [line for line in PAGE.splitlines() if line.startswith("| Retention | ")]
    assert set(kept) == {
        f"| Retention | {days} days in the log, as all of it, unless `retention.log_days` says"
        " otherwise |"
    }


# --- in which pattern something is exchanged, and why ---


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def table(under: str) -> list[dict[str, str]]:
    """The rows of the first table of the page under that heading, by its heads."""
    _, _, rest = f"\n{PAGE}".partition(f"\n{under}\n")
    lines = [line for line in rest.split("\n## ")[0].splitlines() if line.startswith("|")]
    heads = cells(lines[0])
    return [dict(zip(heads, cells(line), strict=True)) for line in lines[2:]]


def test_criticality_decides_the_pattern_and_says_why() -> None:
    told = {row["Criticality"]: row for row in table("# Contracts")}
    assert {name: row["Pattern"] for name, row in told.items()} == {
        "blocking": "synchronous",
        "critical": "event",
        "standard": "event",
        "enrichment": "batch",
    }
    assert all(row["Means"] and row["Why"] for row in told.values())
    assert DOCUMENT["x-patterns"]["criticality"] == {
        name: {"means": row["Means"], "pattern": row["Pattern"], "why": row["Why"]}
        for name, row in told.items()
    }


def test_what_is_asked_and_waited_for_is_listed_with_who_waits_and_why() -> None:
    rows = table("## What is asked and waited for")
    assert {row["Contract"].strip("`") for row in rows} >= {
        "message.published",
        "content.put",
        "target.read",
        "approval.decided",
    }
    owners = {event.owner for event in EVENTS.values()}
    for row in rows:
        assert (row["Criticality"], row["Pattern"]) == ("blocking", "synchronous")
        assert all(row[head] for head in ("Who waits", "For what", "Why"))
        assert row["Owner"] in owners
    assert [r["name"] for r in DOCUMENT["x-patterns"]["synchronous"]] == [
        row["Contract"].strip("`") for row in rows
    ]
    for reply in DOCUMENT["x-patterns"]["synchronous"]:
        assert (ROOT / reply["kept_in"]).is_file(), reply["name"]
        assert reply["name"] not in EVENTS


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_every_event_says_why_it_is_told_at_once_or_with_others(event: EventType) -> None:
    said = DOCUMENT["components"]["messages"][event.name]["x-pattern"]
    assert said == {
        "criticality": event.lane,
        "pattern": "batch" if event.lane == "enrichment" else "event",
        "why": event.why,
    }
    assert len(event.why.split()) > 3


def test_the_catalogue_lists_every_event_with_all_that_its_row_says() -> None:
    rows = {row["Event"].split("`")[1]: row for row in table("## Events")}
    assert list(rows) == list(EVENTS)
    for name, event in EVENTS.items():
        row = rows[name]
        assert row == {
            "Event": f"[`{name}`](#{name.replace('.', '')})",
            "Type": f"`{event.type}`",
            "Version": f"v{event.version}",
            "Business key": f"`{event.key}`",
            "Lane rule": event.lane_rule,
            "Owner": event.owner,
            "Retention": f"{Retention().log_days} days",
            "Pattern": event.pattern,
            "Why so": event.why,
            "Says": event.description,
        }
        assert f"\n## {name}\n" in PAGE


# --- where it goes ---


CHANNELS = DOCUMENT["channels"]
EVERYBODY = "everybody"
DECLARED = topology(
    [SourceTopology("plm", (InboundObject("engineering-change"),))],
    [EventTopology(name) for name in CATALOGUE.events],
    [SubscriberTopology(EVERYBODY, tuple(EVENTS))],
)
ARGUMENTS = {queue.name: dict(queue.arguments) for queue in DECLARED.queues}
Route = tuple[str, str]


def routes_to(queues: Callable[[str], bool]) -> set[tuple[Route, str]]:
    """(exchange, routing key) and the queue behind it, as they are declared; of the lanes that an
    event may take: a queue is bound in the others too, where nothing comes."""
    exchanges = {e.name: {events_exchange(n) for n in e.lanes} for e in EVENTS.values()}
    return {
        ((binding.exchange, binding.routing_key), binding.queue)
        for binding in DECLARED.bindings
        if queues(binding.queue) and binding.exchange in exchanges[binding.routing_key]
    }


def is_event(name: str) -> bool:
    """Whether the channel is one to which events are published."""
    return name not in ("inbound", "subscriber") and not name.endswith(".queue")


def route(channel: str) -> Route:
    """Exchange and routing key of the channel."""
    binding = CHANNELS[channel]["bindings"]["amqp"]
    assert binding["is"] == "routingKey"
    return binding["exchange"]["name"], CHANNELS[channel]["address"]


def test_an_event_has_a_channel_in_each_lane_that_it_takes_and_in_no_other() -> None:
    declared = routes_to(lambda queue: queue == subscriber_queue(EVERYBODY))
    assert {route(name) for name in filter(is_event, CHANNELS)} == {r for r, _ in declared}
    assert set(filter(is_event, CHANNELS)) == {
        f"{event.name}.{lane}" for event in EVENTS.values() for lane in event.lanes
    }
    assert "item.created.critical" not in CHANNELS
    assert {"engineering-change.released.critical", "item.created.enrichment"} <= CHANNELS.keys()


def test_exchanges_are_described_as_they_are_declared() -> None:
    kinds = {exchange.name: exchange.kind for exchange in DECLARED.exchanges}
    for name in [*filter(is_event, CHANNELS), "inbound"]:
        told = CHANNELS[name]["bindings"]["amqp"]["exchange"]
        assert told == {
            "name": told["name"],
            "type": kinds[told["name"].replace("<source>", "plm")],
            "durable": True,
            "autoDelete": False,
        }


def test_what_layshaft_takes_of_its_events_are_the_queues_that_are_declared() -> None:
    told = set[tuple[Route, str]]()
    for name in (name for name in CHANNELS if name.endswith(".queue")):
        channel = CHANNELS[name]
        assert channel["bindings"]["amqp"]["queue"]["name"] == channel["address"]
        assert channel["x-arguments"] == ARGUMENTS[channel["address"]]
        told |= {(route(published), channel["address"]) for published in channel["x-bound-to"]}
        assert set(channel["messages"]) == {route(p)[1] for p in channel["x-bound-to"]}
    own = {event_queue(event, lane) for event in CATALOGUE.events for lane in LANES}
    assert told == routes_to(own.__contains__)


def test_a_subscriber_has_a_queue_of_its_own_for_all_that_it_may_ask_for() -> None:
    channel = CHANNELS["subscriber"]
    assert channel["address"].replace("{subscriber}", EVERYBODY) == subscriber_queue(EVERYBODY)
    assert channel["x-arguments"] == ARGUMENTS[subscriber_queue(EVERYBODY)]
    declared = routes_to(lambda queue: queue == subscriber_queue(EVERYBODY))
    assert {route(published) for published in channel["x-bound-to"]} == {r for r, _ in declared}
    assert set(channel["messages"]) == set(EVENTS)


def test_what_layshaft_sends_and_receives_are_operations() -> None:
    done: dict[str, set[str]] = {"send": set(), "receive": set()}
    for operation in DOCUMENT["operations"].values():
        done[operation["action"]].add(operation["channel"]["$ref"].removeprefix("#/channels/"))
    assert done["send"] == {*filter(is_event, CHANNELS), "subscriber"}
    assert done["receive"] == CHANNELS.keys() - done["send"]
    assert len(done["receive"]) == 1 + sum(len(EVENTS[name].lanes) for name in CATALOGUE.events)


def test_the_virtual_host_is_the_installations() -> None:
    server = DOCUMENT["servers"]["rabbitmq"]
    assert server["pathname"] == "/{vhost}"
    assert "default" not in server["variables"]["vhost"]
    assert "vhost" not in json.dumps(CHANNELS)
