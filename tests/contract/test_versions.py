"""What the schema of a published version describes is read: of the present one as it is, of each
one before it by the steps that lead to the present one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from canonical.codec import encode, read_event
from canonical.envelope import Message
from canonical.errors import InvalidMessage
from canonical.events import BY_TYPE, EVENTS, SOURCE, EventType
from canonical.handler import Delivery
from canonical.upcasts import UPCASTS, Content, Upcast
from handlers import CATALOGUE
from ops.contracts.files import ROOT, SCHEMAS
from ops.contracts.schemas import schema_of
from tests.contract.sampling import Schema, described_by


def published(event: str, version: int) -> Schema:
    """The file of that version."""
    found = json.loads((ROOT / SCHEMAS / f"{event}.v{version}.json").read_text())
    assert isinstance(found, dict)
    return found


def delivery(event_type: str, content: Any) -> Delivery:
    """As the queue of the event holds it."""
    row, _ = BY_TYPE[event_type]
    attributes = {"id": "1", "source": SOURCE, "type": event_type, "subject": "a/1"}
    return Delivery(SOURCE, row.name, encode(content), attributes=attributes)


def read_samples(event_type: str, by: Schema, present: Schema) -> None:
    """Samples of the schema `by` are read as the present version of the event; what is written of
    them is of the schema `present`, and is the same when it is read again.

    Raises: what reading raises.
    """
    row, _ = BY_TYPE[event_type]
    of_old, of_new = Draft202012Validator(by), Draft202012Validator(present)

    @settings(max_examples=30, report_multiple_bugs=False)
    @given(said=described_by(by))
    def sample(said: Any) -> None:
        of_old.validate(said)
        message: Message[Any] = read_event(delivery(event_type, said))
        assert isinstance(message.payload, row.data)
        written = msgspec.json.decode(encode(message.payload))
        of_new.validate(written)
        assert read_event(delivery(row.type, written)).payload == message.payload

    sample()


def test_every_version_that_was_ever_published_can_be_read() -> None:
    published_ones = {path.name for path in (ROOT / SCHEMAS).glob("*.json")}
    assert published_ones == {f"{row.name}.v{version}.json" for row, version in BY_TYPE.values()}


@pytest.mark.parametrize("event_type", BY_TYPE)
def test_what_a_published_version_describes_is_read_as_the_present_one(event_type: str) -> None:
    row, version = BY_TYPE[event_type]
    read_samples(event_type, published(row.name, version), published(row.name, row.version))


# --- as it will be with versions before the present one ---


class Before(msgspec.Struct, frozen=True):
    """The first version of an example."""

    number: str
    maker: str = ""


class Now(msgspec.Struct, frozen=True):
    """The second one, which knows several makers."""

    number: str
    makers: tuple[str, ...] = ()


def example(version: int, data: type[msgspec.Struct]) -> EventType:
    return EventType("example.changed", version, data, "a/1", "standard", "operations", "An", "A")


FIRST, SECOND = example(1, Before), example(2, Now)


def maker_to_makers(content: Content) -> Content:
    makers = [maker] if (maker := content.get("maker")) else []
    return {"number": content["number"], "makers": makers}


def one_that_expects_a_maker(content: Content) -> Content:
    return {"number": content["number"], "makers": [content["maker"]]}


def one_that_makes_something_else_of_it(content: Content) -> Content:
    return {"number": content["number"], "makers": content.get("maker", "")}


def with_step(tables: pytest.MonkeyPatch, step: Upcast) -> None:
    """The example is an event of two versions, and this leads from the first to the second."""
    tables.setitem(BY_TYPE, FIRST.type, (SECOND, 1))
    tables.setitem(BY_TYPE, SECOND.type, (SECOND, 2))
    tables.setitem(cast(dict[Any, Any], UPCASTS), (FIRST.name, 1), step)


def test_samples_of_a_version_before_the_present_one_are_read_by_its_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_step(monkeypatch, maker_to_makers)
    read_samples(FIRST.type, schema_of(FIRST), schema_of(SECOND))
    assert read_event(delivery(FIRST.type, {"number": "1", "maker": "A"})).payload == Now(
        "1", ("A",)
    )


@pytest.mark.parametrize("step", [one_that_expects_a_maker, one_that_makes_something_else_of_it])
def test_a_step_that_does_not_take_all_that_its_version_describes_is_noticed(
    monkeypatch: pytest.MonkeyPatch, step: Upcast
) -> None:
    with_step(monkeypatch, step)
    with pytest.raises(InvalidMessage):
        read_samples(FIRST.type, schema_of(FIRST), schema_of(SECOND))


def test_a_version_without_a_step_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with_step(monkeypatch, maker_to_makers)
    monkeypatch.delitem(cast(dict[Any, Any], UPCASTS), (FIRST.name, 1))
    with pytest.raises(InvalidMessage):
        read_samples(FIRST.type, schema_of(FIRST), schema_of(SECOND))


def test_an_earlier_version_of_a_published_event_goes_to_its_handler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Suppliers as they are published, as if that were the version before the present one."""
    row = EVENTS["supplier.changed"]
    seen: list[Mapping[str, Any]] = []

    def step(content: Content) -> Content:
        seen.append(content)
        return content | {"name": "told anew"}

    present = msgspec.structs.replace(row, version=row.version + 1)
    monkeypatch.setitem(BY_TYPE, row.type, (present, row.version))
    monkeypatch.setitem(BY_TYPE, present.type, (present, present.version))
    monkeypatch.setitem(cast(dict[Any, Any], UPCASTS), (row.name, row.version), step)
    schema = published(row.name, row.version)
    read_samples(row.type, schema, schema)
    said = seen[-1]
    message = read_event(delivery(row.type, said))
    assert message.payload.name == "told anew"
    # Who still sends by it is counted by what it was sent as.
    assert message.envelope.type == row.type
    assert CATALOGUE.recognise((SOURCE,), delivery(row.type, said)).name == row.name
    assert seen[-1] == said
