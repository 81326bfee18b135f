"""Entries of Arena's queue lead to a read of their change, by the queue where that is known; their
items, to a read of the revision that each names. So do events of the newer kind, and the items that
a supplier's item is a source of."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from canonical.effects import Effect, Fetch
from canonical.errors import InvalidMessage
from canonical.facts import Facts
from canonical.handler import Delivery
from canonical.rules import Rules
from handlers import CATALOGUE, RECOGNISED
from handlers.systems.arena.inbound import HANDLER as CHANGES
from handlers.systems.arena.notice import (
    HANDLER,
    HANDLER_ITEM,
    HANDLER_OUTBOUND,
    HANDLER_SOURCED,
    recognises,
    recognises_item,
    recognises_outbound,
    recognises_sourced,
)

FACTS = Facts(Rules(plants=(), distribution=(), routes=(), central_purchasing_org="1010"))
NOW = datetime(2026, 3, 2, tzinfo=UTC)
CHANGE = {"guid": "CHG00000000000000009", "number": "ECO-000031", "title": "New seal"}


# The queue, its entry and the change that it names.
ENTRY = "INT00000000000000001/EVT00000000000000004/CHG00000000000000009"


def entry(integration: str | None = "INT00000000000000001", **fields: Any) -> bytes:
    event = {
        "guid": "EVT00000000000000004",
        "eventType": "CHANGE",
        "creationDateTime": "2026-02-27T17:05:09Z",
        "itemsReconciled": False,
        "status": "NEEDS_UPDATE",
        "change": CHANGE,
    }
    body: dict[str, Any] = {"event": {k: v for k, v in (event | fields).items() if v is not ...}}
    if integration is not None:
        body["integration"] = {"guid": integration}
    return json.dumps(body).encode()


def delivery(body: bytes, **attributes: str) -> Delivery:
    return Delivery("plm", "queue-event", body, attributes=attributes)


def decided(body: bytes, **attributes: str) -> tuple[Effect, ...]:
    return HANDLER.decide(HANDLER.read(delivery(body, **attributes)), FACTS, NOW)


def test_an_entry_is_identified_by_its_event_and_kept_in_order_with_its_change() -> None:
    envelope = HANDLER.read(delivery(entry())).envelope
    guid, _, digest = envelope.id.partition("@")
    assert (guid, len(digest), envelope.type) == ("EVT00000000000000004", 16, "arena.event")
    assert envelope.key == "engineering-change/ECO-000031"
    assert envelope.time == datetime(2026, 2, 27, 17, 5, 9, tzinfo=UTC)
    assert (HANDLER.scope, HANDLER.order) == (CHANGES.scope, "notification")


def test_an_entry_that_says_something_else_when_it_is_listed_again_is_another_message() -> None:
    first, again, other = (
        HANDLER.read(delivery(body)).envelope.id
        for body in (entry(), entry(), entry(itemsReconciled=True))
    )
    assert first == again
    assert first != other


def test_the_change_is_read_by_way_of_the_queue() -> None:
    assert decided(entry()) == (Fetch("event", ENTRY),)


def test_the_id_of_the_message_is_not_what_is_asked_for() -> None:
    asked = decided(entry(), id="cloud-event-1")
    assert asked == (Fetch("event", ENTRY),)


def test_without_its_queue_the_change_is_read_by_its_guid() -> None:
    assert decided(entry(integration=None)) == (Fetch("change", "CHG00000000000000009"),)


def test_an_entry_that_somebody_has_dealt_with_is_read_too() -> None:
    assert decided(entry(integration=None, itemsReconciled=True)) == (
        Fetch("change", "CHG00000000000000009"),
    )


@pytest.mark.parametrize("change", [..., None])
def test_items_that_were_released_by_hand_are_for_engineering(change: Any) -> None:
    with pytest.raises(InvalidMessage) as caught:
        HANDLER.read(delivery(entry(change=change, eventType="REVISIONING_EVENT")))
    assert (caught.value.code, caught.value.owner) == ("event-without-change", "engineering")
    assert "REVISIONING_EVENT" in caught.value.what
    assert "arena.event-item" in caught.value.remedy


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (entry(guid=""), "contract-violated"),
        (entry(guid=...), "contract-violated"),
        (entry(change={"guid": "G"}), "contract-violated"),
        (entry(change=CHANGE | {"number": " "}), "id-empty"),
        (entry(creationDateTime="yesterday"), "contract-violated"),
        (entry(itemsReconciled="no"), "contract-violated"),
        (entry(integration=""), "contract-violated"),
        (entry()[:-1] + b', "more": 1, "more": 2}', "key-twice"),
    ],
)
def test_what_is_no_entry_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        HANDLER.read(delivery(body))
    assert caught.value.code == code


def test_an_entry_and_a_change_are_told_apart_by_their_content() -> None:
    contracts = ("arena.change", "arena.event")
    assert CATALOGUE.recognise(contracts, delivery(entry())) is HANDLER
    statement = b'{"event": {"guid": "E", "eventType": "CHANGE"}, "change": {}, "changeItems": {}}'
    assert CATALOGUE.recognise(contracts, delivery(statement)) is CHANGES
    assert not recognises(delivery(b'[{"event": {"eventType": "CHANGE"}}]'))


# --- items of entries ---

REVISION = {
    "guid": "REV00000000000000012",
    "name": "Seal, 12 mm",
    "number": "SEAL-7",
    "revisionNumber": "B",
    "lifecyclePhase": {"guid": "PH000000000000000003", "name": "In Production"},
    "modifiedBom": False,
}


def event_item(**fields: Any) -> bytes:
    listed = {
        "guid": "EVI00000000000000004",
        "effectiveItemRevision": REVISION,
        "reconciled": False,
        "supersededItemRevision": REVISION | {"guid": "REV00000000000000011"},
    }
    return json.dumps(
        {"eventItem": {k: v for k, v in (listed | fields).items() if v is not ...}}
    ).encode()


def asked_of_item(body: bytes, **attributes: str) -> tuple[Effect, ...]:
    return HANDLER_ITEM.decide(HANDLER_ITEM.read(delivery(body, **attributes)), FACTS, NOW)


def test_an_item_of_an_entry_is_identified_by_its_guid_and_kept_in_order_with_its_item() -> None:
    envelope = HANDLER_ITEM.read(delivery(event_item())).envelope
    guid, _, digest = envelope.id.partition("@")
    assert (guid, len(digest)) == ("EVI00000000000000004", 16)
    assert (envelope.type, envelope.key) == ("arena.event-item", "item/SEAL-7")
    assert envelope.time is None
    assert (HANDLER_ITEM.scope, HANDLER_ITEM.order) == (CHANGES.scope, "notification")


def test_the_revision_that_became_effective_is_read() -> None:
    asked = (Fetch("item", "REV00000000000000012"),)
    assert asked_of_item(event_item()) == asked
    assert asked_of_item(event_item(reconciled=True), id="cloud-event-1") == asked
    assert asked_of_item(event_item(supersededItemRevision=...)) == asked


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (event_item(guid=""), "contract-violated"),
        (event_item(reconciled=None), "contract-violated"),
        (event_item(effectiveItemRevision=...), "contract-violated"),
        (event_item(effectiveItemRevision=REVISION | {"number": None}), "contract-violated"),
        (event_item(effectiveItemRevision=REVISION | {"number": " "}), "id-empty"),
        (event_item()[:-1] + b', "more": 1, "more": 2}', "key-twice"),
    ],
)
def test_what_is_no_item_of_an_entry_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        HANDLER_ITEM.read(delivery(body))
    assert caught.value.code == code


def test_a_revision_without_a_guid_is_not_asked_for() -> None:
    with pytest.raises(InvalidMessage) as caught:
        asked_of_item(event_item(effectiveItemRevision=REVISION | {"guid": ""}))
    assert caught.value.where == "eventItem.effectiveItemRevision.guid"


def test_entries_and_their_items_are_told_apart_by_their_content() -> None:
    contracts = ("arena.change", "arena.event", "arena.event-item")
    with_its_entry = json.loads(entry()) | json.loads(event_item())
    for order in (contracts, contracts[::-1]):
        assert CATALOGUE.recognise(order, delivery(event_item())) is HANDLER_ITEM
        assert CATALOGUE.recognise(order, delivery(entry())) is HANDLER
        both = delivery(json.dumps(with_its_entry).encode())
        assert CATALOGUE.recognise(order, both) is HANDLER_ITEM
    assert not recognises_item(delivery(b'[{"eventItem": {"effectiveItemRevision": {}}}]'))


# --- events of the newer kind ---

OF_A_CHANGE = {"action": "WORKFLOW", "guid": "T1", "name": "Release", "resource": "CHANGE"}
OF_QUALITY = OF_A_CHANGE | {"resource": "QUALITY"}
NAMED = {"changes": [CHANGE], "items": [{"guid": "REV12", "number": "SEAL-7"}]}
READ_OF_THE_CHANGE = Fetch("change", "CHG00000000000000009", key="engineering-change/ECO-000031")


def outbound(named: dict[str, Any] | None = None, **fields: Any) -> bytes:
    event = {
        "guid": "OUT00000000000000004",
        "eventType": "OUTBOUND_EVENT",
        "creationDateTime": "2026-02-27T17:05:09Z",
        "creator": {"fullName": "Miriam Okonjo"},
        "resourcesReconciled": False,
        "status": "NEEDS_UPDATE",
        "triggers": [OF_A_CHANGE],
    }
    listed = {k: v for k, v in (event | fields).items() if v is not ...}
    return json.dumps({"outboundEvent": listed} | (NAMED if named is None else named)).encode()


def asked_of_outbound(body: bytes) -> tuple[Effect, ...]:
    return HANDLER_OUTBOUND.decide(HANDLER_OUTBOUND.read(delivery(body)), FACTS, NOW)


def test_an_event_of_the_newer_kind_is_identified_by_its_guid_and_keeps_its_time() -> None:
    message = HANDLER_OUTBOUND.read(delivery(outbound()))
    guid, _, digest = message.envelope.id.partition("@")
    assert (guid, len(digest)) == ("OUT00000000000000004", 16)
    assert message.envelope.type == "arena.outbound-event"
    assert message.envelope.key == "outbound-event/OUT00000000000000004"
    assert message.envelope.time == datetime(2026, 2, 27, 17, 5, 9, tzinfo=UTC)
    assert (message.ignored, message.deviations) == ((), ())
    assert (HANDLER_OUTBOUND.scope, HANDLER_OUTBOUND.order) == (CHANGES.scope, "notification")


def test_each_change_and_each_item_that_stands_beside_an_event_is_read_once() -> None:
    named = {"changes": [CHANGE, CHANGE], "items": NAMED["items"] * 2}
    both = (READ_OF_THE_CHANGE, Fetch("item", "REV12", key="item/SEAL-7"))
    assert asked_of_outbound(outbound(named)) == both
    assert asked_of_outbound(outbound(named, resourcesReconciled=True)) == both
    assert asked_of_outbound(outbound(named, triggers=[OF_QUALITY])) == both
    assert asked_of_outbound(outbound({"changes": [CHANGE]})) == (READ_OF_THE_CHANGE,)


@pytest.mark.parametrize(
    "triggers",
    [..., [], [OF_A_CHANGE], [OF_QUALITY, OF_A_CHANGE], [OF_QUALITY | {"resource": "?"}]],
)
def test_an_event_without_its_objects_is_for_engineering(triggers: Any) -> None:
    with pytest.raises(InvalidMessage) as caught:
        HANDLER_OUTBOUND.read(delivery(outbound({}, triggers=triggers)))
    assert (caught.value.code, caught.value.owner) == ("event-without-objects", "engineering")
    assert caught.value.where == "outboundEvent"


def test_an_event_of_what_is_not_read_has_no_effect() -> None:
    assert asked_of_outbound(outbound({}, triggers=[OF_QUALITY])) == ()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (outbound(guid=""), "contract-violated"),
        (outbound(creationDateTime="yesterday"), "contract-violated"),
        (outbound(resourcesReconciled=...), "contract-violated"),
        (outbound({"changes": [{"guid": "C1"}]}), "contract-violated"),
        (outbound({"changes": [CHANGE | {"number": " "}]}), "id-empty"),
        (outbound({"items": [{"guid": " ", "number": "SEAL-7"}]}), "id-empty"),
    ],
)
def test_what_is_no_event_of_the_newer_kind_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        asked_of_outbound(body)
    assert caught.value.code == code


# --- items of a supplier's item ---


def used_by(*items: dict[str, Any], count: int | None = None) -> bytes:
    rows = [{"guid": "SRC1", "approved": True, "item": item} for item in items]
    sourcing = {"count": len(rows) if count is None else count, "results": rows}
    return json.dumps({"supplierItem": {"guid": "PART1"}, "sourcing": sourcing}).encode()


def item_of(guid: str, number: str = "C-1", **fields: Any) -> dict[str, Any]:
    return {"guid": guid, "number": number, "revisionNumber": "A"} | fields


def asked_of_sourced(body: bytes) -> tuple[Effect, ...]:
    return HANDLER_SOURCED.decide(HANDLER_SOURCED.read(delivery(body)), FACTS, NOW)


def test_the_use_of_a_suppliers_item_is_identified_by_its_guid_and_what_it_says() -> None:
    body = used_by(item_of("REV1"))
    envelope = HANDLER_SOURCED.read(delivery(body)).envelope
    assert envelope.id.startswith("PART1@")
    assert (envelope.type, envelope.key) == ("arena.supplier-item", "supplier-item/PART1")
    assert (HANDLER_SOURCED.scope, HANDLER_SOURCED.order) == (CHANGES.scope, "notification")


def test_the_effective_revision_of_each_item_is_read_once() -> None:
    body = used_by(
        item_of("REV1", revisionStatus="WORKING", status=0),
        item_of("REV2", revisionStatus="EFFECTIVE", status=1),
        item_of("REV2", revisionStatus="EFFECTIVE", status=1),
        item_of("REV3", "C-2", revisionStatus="SUPERSEDED"),
        item_of("REV4", "C-3", status=2),
        item_of("REV5", "C-4", status=1),
        item_of("REV6", "C-5"),
    )
    assert asked_of_sourced(body) == (
        Fetch("item", "REV2", key="item/C-1"),
        Fetch("item", "REV5", key="item/C-4"),
        Fetch("item", "REV6", key="item/C-5"),
    )


@pytest.mark.parametrize(
    ("status", "is_read"), [({"status": 1}, True), ({"status": 0}, False), ({}, True)]
)
def test_a_status_that_is_no_word_of_arenas_is_told_and_its_number_counts(
    status: dict[str, Any], is_read: bool
) -> None:
    body = used_by(item_of("REV1", revisionStatus="EFFEC|TIVE", **status))
    (deviation,) = HANDLER_SOURCED.read(delivery(body)).deviations
    assert deviation.where == "sourcing.results[0].item.revisionStatus"
    assert bool(asked_of_sourced(body)) is is_read


def test_a_page_of_the_use_of_a_suppliers_item_is_refused() -> None:
    with pytest.raises(InvalidMessage) as caught:
        HANDLER_SOURCED.read(delivery(used_by(item_of("REV1"), count=21)))
    assert (caught.value.code, caught.value.where) == ("sourcing-incomplete", "sourcing")


def test_all_notices_are_told_apart_by_their_content() -> None:
    for body, handler in (
        (entry(), HANDLER),
        (event_item(), HANDLER_ITEM),
        (outbound(), HANDLER_OUTBOUND),
        (used_by(item_of("REV1")), HANDLER_SOURCED),
    ):
        for order in (tuple(RECOGNISED), tuple(RECOGNISED)[::-1]):
            assert CATALOGUE.recognise(order, delivery(body)) is handler
    assert not recognises_outbound(delivery(b'[{"outboundEvent": {}}]'))
    assert not recognises_sourced(delivery(b'[{"supplierItem": {}, "sourcing": {}}]'))
