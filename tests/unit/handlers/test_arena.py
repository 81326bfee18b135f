"""Arena changes become released engineering changes, or say which field is wrong."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canonical.change import (
    Disposition,
    EngineeringChange,
    change_key,
    revision_effectivities,
)
from canonical.effectivity import DateEffectivity
from canonical.effects import Effect, Emit, Fetch, Put
from canonical.errors import Failure, InvalidMessage
from canonical.events import ChangeStanding
from canonical.facts import Facts, Known
from canonical.handler import Delivery
from canonical.item import Item, item_key
from canonical.revision import Scheme, parse_revision
from canonical.rules import Rules
from handlers import CATALOGUE, RECOGNISED
from handlers.systems.arena.inbound import HANDLER, read, recognises
from tests.corpus import CORPUS, golden
from tests.fixtures.build_packages import PACKAGES
from tests.fixtures.gearbox import item as known_item

NOW = datetime(2024, 3, 6, tzinfo=UTC)
RULES = Rules(plants=(), distribution=(), routes=(), central_purchasing_org="1000")
FACTS = Facts(RULES)
SAMPLE = CORPUS / "arena" / "change.json"
ECO = (PACKAGES / "arena_eco_000451.json").read_bytes()


def delivery(body: bytes) -> Delivery:
    return Delivery(source="plm", kind="", body=body)


def decided(body: bytes, known: Facts = FACTS) -> tuple[Effect, ...]:
    return HANDLER.decide(HANDLER.read(delivery(body)), known, NOW)


def released(body: bytes) -> EngineeringChange:
    effects = decided(body)
    put, *days = [effect for effect in effects if isinstance(effect, Put)]
    emit, *others = [effect for effect in effects if not isinstance(effect, Put)]
    assert isinstance(emit, Emit)
    assert all(isinstance(other, Fetch | Emit) for other in others)
    assert isinstance(emit.data, EngineeringChange)
    assert [day.document for day in days] == [*revision_effectivities(emit.data, None)]
    assert emit.event == "engineering-change.released"
    assert put.key == emit.key == f"engineering-change/{emit.data.number}"
    assert put == Put(emit.key, emit.data.version, emit.data, stated=None)
    return emit.data


def refused(body: bytes) -> Failure:
    with pytest.raises(Failure) as caught:
        decided(body)
    return caught.value


# Checked field by field against its file by hand.
def test_the_sample_comes_to_its_golden_and_reads_of_its_effective_items() -> None:
    effects = decided(SAMPLE.read_bytes())
    assert golden(effects) == SAMPLE.with_suffix(".golden.json").read_text()
    assert [effect for effect in effects if isinstance(effect, Fetch)] == [
        Fetch("item", "ITEMREVD000000000417", key="item/210-00417"),
        Fetch("item", "ITEMREVB000000000102", key="item/700-00102"),
    ]


def row(number: str = "A-1", **fields: Any) -> dict[str, Any]:
    revision = {"guid": "REV", "number": number, "revisionNumber": "B"}
    return {"guid": "ROW", "newItemRevision": revision} | fields


def statement(*rows: dict[str, Any], event: str = "", **fields: Any) -> bytes:
    change: dict[str, Any] = {
        "guid": "CHANGE",
        "number": "ECO-9",
        "title": "Title",
        "lifecycleStatus": {"type": "EFFECTIVE"},
        "lifecycleDateTime": "2024-01-01T00:00:00Z",
        "effectivityType": "PERMANENT_ON_APPROVAL",
    }
    body = {
        "change": {k: v for k, v in (change | fields).items() if v is not ...},
        "changeItems": {"count": len(rows), "results": list(rows)},
    }
    return json.dumps(body | ({"event": {"guid": event}} if event else {})).encode()


def field(name: str, value: Any) -> list[dict[str, Any]]:
    return [{"name": "Other", "value": {"nested": 1}}, {"name": name, "value": value}]


# --- the change order of the demo ---


def test_the_change_order_releases_the_32_items_of_the_real_package() -> None:
    change = released(ECO)
    assert (change.number, change.status, change.family) == ("ECO-000451", "effective", "Widgets")
    assert len({a.item for a in change.affected}) == len(change.affected) == 32
    labels = {a.item: a.new_revision for a in change.affected}
    assert (labels["XYZ-03654"], labels["XYZ-03135"], labels["XYZ-05577"]) == ("A", "B", "01")
    assert [a.item for a in change.affected if a.lifecycle == "in_design"] == ["XYZ-05577"]
    assert change.effectivity is None


def test_dispositions_without_a_value_are_left_out() -> None:
    revised = [a for a in released(ECO).affected if a.old_revision]
    assert [(a.item, a.old_revision) for a in revised] == [("XYZ-03135", "A")]
    assert revised[0].dispositions == (
        Disposition("on_order", "Accept"),
        Disposition("in_stock", "Use up"),
    )


def test_the_version_is_the_time_of_the_status_in_microseconds() -> None:
    change = released(ECO)
    assert change.released_at == datetime(2017, 12, 12, 8, 15, tzinfo=UTC)
    assert change.version == 1_513_066_500_000_000


# --- identity ---


def test_a_change_is_identified_by_its_event() -> None:
    envelope = read(delivery(statement(event="EVENT7"))).envelope
    assert (envelope.id, envelope.type) == ("EVENT7", "arena.change")
    assert envelope.key == "engineering-change/ECO-9"


def test_a_change_without_event_is_identified_by_change_and_time_of_status() -> None:
    envelope = read(delivery(statement())).envelope
    assert envelope.id == "CHANGE@2024-01-01T00:00:00+00:00"
    assert envelope.time == datetime(2024, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("event", "notice"),
    [
        ({"guid": "EVENT7", "integration": "QUEUE1"}, "QUEUE1/EVENT7"),
        ({"guid": "EVENT7"}, ""),
        ({"guid": "EVENT7", "integration": None}, ""),
        (None, ""),
    ],
)
def test_the_notice_of_a_change_is_its_event_where_the_queue_is_known(
    event: dict[str, str] | None, notice: str
) -> None:
    body = json.loads(statement(row())) | {"event": event}
    assert released(json.dumps(body).encode()).notice == notice


def test_one_instant_in_two_offsets_is_one_identity() -> None:
    other = statement(lifecycleDateTime="2023-12-31T16:00:00-08:00")
    assert read(delivery(other)).envelope.id == read(delivery(statement())).envelope.id


# --- status ---


@pytest.mark.parametrize(
    ("status", "canonical"),
    [("APPROVED", "approved"), ("EFFECTIVE", "effective"), ("COMPLETED", "completed")],
)
def test_released_statuses_are_emitted(status: str, canonical: str) -> None:
    assert released(statement(row(), lifecycleStatus={"type": status})).status == canonical


@pytest.mark.parametrize(
    "status",
    [
        "OPEN_AND_UNLOCKED",
        "REJECTED",
        "CANCELED",
        "CANCELLED",
        "EXPIRED",
    ],
)
def test_other_statuses_have_no_effect(status: str) -> None:
    assert decided(statement(row(), lifecycleStatus={"type": status})) == ()


@pytest.mark.parametrize("status", ["SUBMITTED_FOR_ROUTING", "SUBMITTED_FOR_APPROVAL"])
def test_that_a_change_waits_for_approval_is_told_whatever_it_lists(status: str) -> None:
    body = json.loads(statement(row(), lifecycleStatus={"type": status}))
    body["changeItems"]["count"] = 45
    (told,) = decided(json.dumps(body).encode())
    assert isinstance(told, Emit)
    assert told.event == "engineering-change.submitted"
    assert isinstance(told.data, ChangeStanding)
    assert (told.data.status, told.data.before) == ("submitted", None)
    body["change"]["lifecycleStatus"]["type"] = "APPROVED"
    assert refused(json.dumps(body).encode()).code == "change-items-incomplete"


@pytest.mark.parametrize("status", ["REJECTED", "CANCELED", "EXPIRED"])
def test_a_change_that_was_released_and_is_taken_back_is_cancelled(status: str) -> None:
    known = released(statement(row()))
    body = statement(row(), lifecycleStatus={"type": status})
    facts = Facts(RULES, {f"engineering-change/{known.number}": Known(1, known)})
    put, told = HANDLER.decide(HANDLER.read(delivery(body)), facts, NOW)
    assert isinstance(put, Put)
    assert isinstance(told, Emit)
    assert told.event == "engineering-change.cancelled"
    assert told.data == put.document == msgspec.structs.replace(known, status="cancelled")


@pytest.mark.parametrize(
    ("status", "says_all"),
    [("APPROVED", True), ("CANCELED", True), ("SUBMITTED_FOR_APPROVAL", False), ("?", False)],
)
def test_what_says_all_of_a_change_mends_an_earlier_statement(status: str, says_all: bool) -> None:
    message = read(delivery(statement(row(), lifecycleStatus={"type": status})))
    assert HANDLER.version is not None
    assert (HANDLER.version(message) is not None) == says_all


def test_an_unknown_status_is_refused() -> None:
    failure = refused(statement(lifecycleStatus={"type": "SORT_OF_DONE"}))
    assert (failure.code, failure.where) == ("status-unmapped", "change.lifecycleStatus.type")


# --- effectivity ---


@pytest.mark.parametrize(
    ("stated", "start"),
    [
        ("2024-01-15T00:00:00Z", datetime(2024, 1, 15, 8, tzinfo=UTC)),
        ("2024-07-15T23:59:59Z", datetime(2024, 7, 15, 7, tzinfo=UTC)),
    ],
)
def test_a_date_takes_effect_at_pacific_midnight_of_its_utc_day(
    stated: str, start: datetime
) -> None:
    body = statement(row(), effectivityType="PERMANENT_ON_DATE", effectiveDateTime=stated)
    assert released(body).effectivity == DateEffectivity(start, None, "America/Los_Angeles")


def test_a_change_that_is_approved_takes_effect_on_the_planned_date() -> None:
    body = statement(
        row(),
        lifecycleStatus={"type": "APPROVED"},
        effectivityType="PERMANENT_ON_DATE",
        effectiveDateTime=None,
        effectivityPlannedDateTime="2024-07-01T07:00:00Z",
    )
    start = datetime(2024, 7, 1, 7, tzinfo=UTC)
    assert released(body).effectivity == DateEffectivity(start, None, "America/Los_Angeles")


def test_effectivity_on_a_date_needs_the_date() -> None:
    failure = refused(statement(row(), effectivityType="PERMANENT_ON_DATE"))
    assert (failure.code, failure.where) == ("field-missing", "change.effectiveDateTime")


def test_an_unknown_effectivity_type_is_refused() -> None:
    assert refused(statement(row(), effectivityType="TEMPORARY")).code == "effectivity-unmapped"


# --- affected items ---


def test_a_working_revision_takes_the_label_that_the_change_gives_it() -> None:
    working = {"guid": "REV", "number": "A-1", "revisionNumber": None}
    body = statement(row(newItemRevision=working, newRevisionNumber="C"))
    assert released(body).affected[0].new_revision == "C"


def test_a_row_without_new_revision_names_the_field() -> None:
    bare = row("A-2", newItemRevision={"guid": "REV", "number": "A-2"})
    failure = refused(statement(row(), bare))
    assert failure.where == "changeItems.results[1].newItemRevision.revisionNumber"


def test_a_page_of_a_longer_list_is_refused() -> None:
    body = json.loads(statement(row()))
    body["changeItems"]["count"] = 45
    failure = refused(json.dumps(body).encode())
    assert failure.code == "change-items-incomplete"
    assert failure.what == "1 of 45 affected items were sent"


@pytest.mark.parametrize("label", ["B.2", "é", "A B C"])
def test_a_revision_outside_the_scheme_is_refused(label: str) -> None:
    revision = {"guid": "REV", "number": "A-1", "revisionNumber": label}
    failure = refused(statement(row(newItemRevision=revision)))
    assert failure.code == "revision-outside-scheme"


@pytest.mark.parametrize(
    ("phase", "lifecycle"),
    [
        ({"name": "Our own word", "stage": "PRODUCTION"}, "released"),
        ({"name": "In Production"}, "released"),
        ({"name": "Abandoned"}, "obsolete"),
        (None, None),
    ],
)
def test_life_cycle_phases_go_by_stage_then_by_name(
    phase: dict[str, str] | None, lifecycle: str | None
) -> None:
    assert released(statement(row(newLifecyclePhase=phase))).affected[0].lifecycle == lifecycle


def test_an_unknown_phase_is_refused() -> None:
    failure = refused(statement(row(newLifecyclePhase={"name": "Blue"})))
    assert failure.where == "changeItems.results[0].newLifecyclePhase"


def test_an_unknown_kind_of_stock_is_refused() -> None:
    rows = row(dispositionAttributes=[{"name": "On the Moon", "value": "Leave"}])
    assert refused(statement(rows)).code == "disposition-unmapped"


# --- custom fields ---


@pytest.mark.parametrize("value", ["1010, 2020", "1010;2020", ["1010", " 2020 "]])
def test_plants_are_a_list_or_text_with_separators(value: Any) -> None:
    body = statement(row(), additionalAttributes=field("Plants", value))
    assert released(body).plants == ("1010", "2020")


@pytest.mark.parametrize(("value", "place"), [(7, ""), ({"a": 1}, ""), ([1], "[0]")])
def test_a_custom_field_of_another_kind_is_refused_by_name(value: Any, place: str) -> None:
    failure = refused(statement(row(), additionalAttributes=field("Product Line", value)))
    assert failure.where == f"change.additionalAttributes[Product Line]{place}"


# --- contract ---


@pytest.mark.parametrize(
    "name", ["guid", "number", "title", "lifecycleStatus", "lifecycleDateTime", "effectivityType"]
)
def test_a_missing_required_field_is_named(name: str) -> None:
    absent: dict[str, Any] = {name: ...}
    failure = refused(statement(row(), **absent))
    assert (failure.code, failure.word) == ("contract-violated", "data_quality")
    assert f"`{name}`" in failure.what


def test_unknown_fields_are_ignored() -> None:
    assert released(statement(row(somethingNew={"a": [1]}), alsoNew=True)).number == "ECO-9"


@pytest.mark.parametrize(
    "stated", ["2024-01-01T00:00:00", "2024-01-01", 1704067200, "9999-12-31T23:59:59-14:00"]
)
def test_a_time_without_offset_or_beyond_the_calendar_is_refused(stated: Any) -> None:
    assert isinstance(refused(statement(row(), lifecycleDateTime=stated)), InvalidMessage)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"\xff\xfe{}", b"[" * 100_000, b'{"change": "\\ud800"}', b"nonsense"],
)
def test_what_is_no_change_statement_is_refused(body: bytes) -> None:
    assert isinstance(refused(body), InvalidMessage)


@pytest.mark.parametrize("text", ["ECO\u0000-9", "ECO\u200b-9", "\u0415CO-9", " "])
def test_a_number_with_hidden_or_disguised_characters_is_refused(text: str) -> None:
    assert refused(statement(row(), number=text)).where == "change.number"


def test_a_guid_with_a_nul_is_refused_even_where_an_event_identifies_the_message() -> None:
    assert refused(statement(row(), event="E", guid="CHANGE\u0000")).where == "change.guid"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (ECO, True),
        (statement(row()), True),
        (b'{"change": {}}', False),
        (b"<change>changeItems</change>", False),
        (b"", False),
    ],
)
def test_change_statements_are_recognised_by_content(body: bytes, expected: bool) -> None:
    assert recognises(delivery(body)) is expected


# --- items that are not on record ---


def on_record(number: str, label: str, scheme: Scheme = "prototype_then_production") -> Item:
    item = known_item(number)
    return msgspec.structs.replace(item, revision=parse_revision(label, scheme))


def known(*documents: Item | EngineeringChange) -> Facts:
    keys = {
        item_key(d.number) if isinstance(d, Item) else change_key(d.number): d for d in documents
    }
    return Facts(FACTS.rules, {key: Known(1, document) for key, document in keys.items()})


def reads(body: bytes, facts: Facts = FACTS) -> list[Fetch]:
    return [effect for effect in decided(body, facts) if isinstance(effect, Fetch)]


def revision(number: str, guid: str, **fields: Any) -> dict[str, Any]:
    stated = {"guid": guid, "number": number, "revisionNumber": "B"} | fields
    return row(number, newItemRevision=stated)


def test_a_change_has_the_revisions_read_that_are_not_on_record() -> None:
    body = statement(revision("A-1", "REV1"), revision("A-2", "REV2"), revision("A-3", "REV3"))
    assert reads(body, known(on_record("A-1", "A"), on_record("A-2", "B"))) == [
        Fetch("item", "REV1", key="item/A-1"),
        Fetch("item", "REV3", key="item/A-3"),
    ]


def test_all_items_of_the_real_package_are_read_where_none_is_known() -> None:
    asked = reads(ECO)
    assert len(asked) == len({fetch.id for fetch in asked}) == 32
    assert asked[0] == Fetch("item", "TVGX8T9W5XPQNKWUXHAV", key="item/XYZ-03550")
    assert all(fetch.is_by_the_way and not fetch.system for fetch in asked)


def test_a_change_asks_for_itself_and_the_items_that_it_releases() -> None:
    message = HANDLER.read(delivery(statement(revision("A-1", "REV1"), revision("A-2", "REV2"))))
    assert HANDLER.needs(message, FACTS) == {"engineering-change/ECO-9", "item/A-1", "item/A-2"}


def test_a_change_that_is_not_released_asks_for_no_items() -> None:
    body = statement(revision("A-1", "REV1"), lifecycleStatus={"type": "LOCKED"})
    assert HANDLER.needs(HANDLER.read(delivery(body)), FACTS) == {"engineering-change/ECO-9"}
    assert reads(body) == []


@pytest.mark.parametrize(
    ("label", "scheme", "is_read"),
    [
        ("A", "prototype_then_production", True),
        ("02", "prototype_then_production", True),
        ("B", "prototype_then_production", False),
        ("C", "prototype_then_production", False),
        ("AA", "prototype_then_production", False),
        # By another scheme nobody can tell which is later.
        ("B", "asme_letters", False),
        ("C", "asme_letters", True),
    ],
)
def test_what_is_known_in_a_later_revision_is_not_read(
    label: str, scheme: Scheme, is_read: bool
) -> None:
    asked = reads(statement(revision("A-1", "REV1")), known(on_record("A-1", label, scheme)))
    assert bool(asked) is is_read


@pytest.mark.parametrize(
    ("status", "is_read"),
    [("WORKING", False), ("SUPERSEDED", False), ("EFFECTIVE", True), (None, True), ("NEW", True)],
)
def test_a_revision_of_which_nothing_is_said_is_not_read(status: str | None, is_read: bool) -> None:
    body = statement(revision("A-1", "REV1", revisionStatus=status))
    assert bool(reads(body)) is is_read


def test_a_revision_that_stands_in_two_rows_is_read_once() -> None:
    asked = reads(statement(revision("A-1", "REV1"), revision("A-1", "REV1")))
    assert asked == [Fetch("item", "REV1", key="item/A-1")]


def test_a_change_that_is_older_than_what_is_known_reads_nothing() -> None:
    body = statement(revision("A-1", "REV1"))
    later = released(statement(row(), lifecycleDateTime="2024-01-02T00:00:00Z"))
    assert [type(effect) for effect in decided(body, known(later))] == [Put]
    same = released(body)
    assert reads(body, known(same)) == [Fetch("item", "REV1", key="item/A-1")]


@pytest.mark.parametrize("guid", ["", "REV\u0000", " "])
def test_a_revision_without_a_guid_is_refused_where_it_stands(guid: str) -> None:
    working = revision("A-2", guid, revisionStatus="WORKING")
    failure = refused(statement(revision("A-1", "REV1"), working))
    assert failure.where == "changeItems.results[1].newItemRevision.guid"


# --- properties ---


@given(
    earlier=st.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001
    later_by=st.timedeltas(timedelta(microseconds=1), timedelta(days=4000)),
)
def test_later_statuses_have_greater_versions(earlier: datetime, later_by: timedelta) -> None:
    def version(at: datetime) -> int:
        return released(statement(row(), lifecycleDateTime=f"{at.isoformat()}Z")).version

    assert version(earlier) < version(earlier + later_by)


@given(numbers=st.lists(st.from_regex(r"[A-Z]{2}-[0-9]{1,5}", fullmatch=True), max_size=30))
def test_every_affected_item_is_kept_in_order(numbers: list[str]) -> None:
    change = released(statement(*(row(number) for number in numbers)))
    assert [a.item for a in change.affected] == numbers


@settings(max_examples=300)
@given(data=st.data())
def test_damaged_bytes_raise_nothing_but_invalid_message(data: st.DataObject) -> None:
    body = bytearray(statement(row(), row("A-2")))
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with suppress(InvalidMessage):
        decided(bytes(body))


# --- what creates a change ---

DRAFT: dict[str, Any] = {
    "category": {"guid": "CAT00000000000000001"},
    "numberSequencePrefix": {"value": "ECO-"},
    "title": "Longer seal",
    "description": "The seal of the output shaft is too short.",
    "routings": [{"guid": "ROU00000000000000001"}],
    "approvalDeadlineDateTime": "2026-04-01T07:00:00Z",
    "enforceApprovalDeadline": True,
    "effectivityType": "PERMANENT_ON_DATE",
    "effectivityPlannedDateTime": "2026-05-01T07:00:00Z",
    "additionalAttributes": [{"guid": "ATT00000000000000001", "value": 2}],
}
TEMPORARY = DRAFT | {"effectivityType": "TEMPORARY", "expirationDateTime": "2026-06-01T07:00:00Z"}
REQUIRED = ("category", "numberSequencePrefix", "title", "effectivityType")


def drafted(**fields: Any) -> bytes:
    """A draft with these members instead; without those that are `...`."""
    return json.dumps({k: v for k, v in (DRAFT | fields).items() if v is not ...}).encode()


def test_what_creates_a_change_is_known_and_refused_by_its_name() -> None:
    shortest = {name: ... for name in DRAFT if name not in REQUIRED}
    for body in (drafted(), json.dumps(TEMPORARY).encode(), drafted(**shortest)):
        for contracts in (tuple(RECOGNISED), tuple(RECOGNISED)[::-1], ("arena.change",)):
            assert CATALOGUE.recognise(contracts, delivery(body)) is HANDLER
        failure = refused(body)
        assert isinstance(failure, InvalidMessage)
        assert (failure.code, failure.where) == ("change-not-created", "change draft")
        assert (failure.word, failure.owner) == ("data_quality", "sender")
        assert "'Longer seal'" in failure.what
        assert "GET /changes/GUID" in failure.remedy


@pytest.mark.parametrize("name", DRAFT)
def test_a_draft_with_a_value_of_another_type_is_refused_for_that_place(name: str) -> None:
    failure = refused(drafted(**{name: 7}))
    assert (failure.code, name in failure.where) == ("contract-violated", True)


def test_a_draft_without_what_arena_needs_is_refused_for_what_is_missing() -> None:
    failure = refused(drafted(title=...))
    assert (failure.code, "title" in failure.what) == ("contract-violated", True)
    for name in ("category", "routings", "additionalAttributes", "numberSequencePrefix"):
        empty: Any = [{}] if isinstance(DRAFT[name], list) else {}
        assert refused(drafted(**{name: empty})).code == "contract-violated"


@pytest.mark.parametrize(
    "other",
    [
        # What creates a request and a training plan: they get a number in the same way.
        {"effectivityType": ...},
        {"effectivityType": ..., "problem": "Leaks", "requestCode": "Cost"},
        # What changes one that there is.
        {"numberSequencePrefix": ...},
        # What Arena answers.
        {"numberSequencePrefix": ..., "guid": "C", "number": "ECO-1", "lifecycleStatus": {}},
        {"lifecycleStatus": {"type": "OPEN_AND_UNLOCKED"}, "guid": "C", "number": "ECO-1"},
    ],
)
def test_nothing_else_that_is_written_or_answered_passes_for_a_draft(other: dict[str, Any]) -> None:
    for contract in RECOGNISED:
        with pytest.raises(InvalidMessage, match="contract-unknown"):
            CATALOGUE.recognise((contract,), delivery(drafted(**other)))
    assert not recognises(delivery(f"[{drafted().decode()}]".encode()))


def test_a_statement_with_members_of_a_draft_stays_a_statement() -> None:
    body = json.loads(statement(row()))
    body["change"] |= {"numberSequencePrefix": DRAFT["numberSequencePrefix"]}
    for both in (body, body | DRAFT):
        found = HANDLER.read(delivery(json.dumps(both).encode()))
        assert found.envelope.key == "engineering-change/ECO-9"
