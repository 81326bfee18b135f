"""What is published of messages that sources send is what is read: content, headers, owners.

A sample is valid by the schema of its kind, and of one that is damaged the schema says what the
reader says, wherever the type of a value or a missing member is what is wrong.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import msgspec
import pytest
from jsonschema import Draft202012Validator

from broker.topology import ATTRIBUTE_PREFIX
from canonical.effects import Emit
from canonical.errors import Failure, InvalidMessage
from canonical.events import EVENTS, SOURCE
from canonical.handler import Delivery, Handler, Package
from handlers import CATALOGUE, HANDLERS
from handlers.systems.s4.read_back import KINDS
from ops.contracts.files import ASYNCAPI, INBOUND, ROOT
from ops.contracts.inbound import HEADERS, TABLE, Inbound, headers, inbound
from ops.mapping.goldens import golden_name, samples
from ops.mapping.sample import headers_of
from ops.mapping.translation import contracts_of, delivery_of
from tests.contract.genuine import GENUINE, OF_JSON, answer
from tests.contract.test_handlers import EXAMPLES, SUPPLIER
from tests.corpus import CORPUS

ROWS = inbound(CATALOGUE)
DOCUMENT = json.loads((ROOT / ASYNCAPI).read_text())
# Every wrong value in every place in the longer suite, each fifth of them else: 5 does not divide
# how many there are, so that each comes to some places.
EACH = 1 if os.environ.get("LAYSHAFT_FULL") == "1" else 5
WRONG: tuple[Any, ...] = (None, True, 7, 1.5, "some", [], {})

Path = tuple[str | int, ...]


class Sample(NamedTuple):
    kind: str
    handler: Handler
    delivery: Delivery

    @property
    def content(self) -> Any:
        """What the JSON is."""
        return json.loads(self.delivery.body)


def _kind(handler: Handler) -> str:
    return TABLE if handler.scope == TABLE else handler.types[0]


def _of_the_corpus() -> Iterator[tuple[str, Sample]]:
    """Messages with a golden beside them; those that a table maps are among the genuine ones."""
    for name in samples(CORPUS):
        is_golden = (CORPUS / golden_name(name)).is_file()
        if not is_golden or name.suffix != ".json" or name.parts[0] == TABLE:
            continue
        attributes = headers_of(CORPUS / name)
        body = (CORPUS / name).read_bytes()
        delivery = delivery_of(body, source="anybody", attributes=attributes)
        handler = CATALOGUE.recognise(contracts_of(CATALOGUE), delivery)
        yield f"corpus {name}", Sample(_kind(handler), handler, delivery)


def _events() -> Iterator[tuple[str, Sample]]:
    """A business event about each kind of object."""
    row = ("s4", "s4.event")
    for kind in KINDS.values():
        stated = f"sap.s4.beh.{kind.event}.v1.Object.Changed.v1"
        delivery = msgspec.structs.replace(
            EXAMPLES[row],
            body=json.dumps({**dict.fromkeys(kind.fields, "1"), **kind.fixed}).encode(),
            attributes={**EXAMPLES[row].attributes, "type": stated},
        )
        yield f"event {kind.event}", Sample(row[1], HANDLERS[row], delivery)


def _row_of_a_supplier() -> Sample:
    row = ("coupa", "coupa.supplier")
    body = json.dumps(SUPPLIER | {"updated-at": "2026-03-02T08:00:00Z"}).encode()
    return Sample(row[1], HANDLERS[row], Delivery("suite", "", body, attributes={"type": row[1]}))


SAMPLES: Mapping[str, Sample] = {
    **{
        name: Sample(_kind(GENUINE[name].handler), GENUINE[name].handler, GENUINE[name].delivery)
        for name in OF_JSON
    },
    **dict(_of_the_corpus()),
    **dict(_events()),
    "coupa.supplier row": _row_of_a_supplier(),
}
# What tables map they read by themselves, after the content as such.
OF_TYPES = [name for name, sample in SAMPLES.items() if sample.kind != TABLE]

each_sample = pytest.mark.parametrize("name", SAMPLES)
each_genuine = pytest.mark.parametrize("name", GENUINE)


def rows_of(kind: str) -> list[Inbound]:
    """Its forms."""
    return [row for row in ROWS if row.kind == kind]


def published(row: Inbound) -> Draft202012Validator:
    """By the schema of its content, with its headers beside it."""
    return _published(row.file)


def headers_schema(row: Inbound) -> dict[str, Any]:
    """The schema of its headers."""
    schema = published(row).schema
    assert isinstance(schema, dict)
    headers: dict[str, Any] = schema[HEADERS]
    return headers


@cache
def _published(file: str) -> Draft202012Validator:
    path = ROOT / INBOUND / file
    assert path.exists(), "run `layshaft schema export`"
    return Draft202012Validator(json.loads(path.read_text()))


def attributes_of(kind: str, delivery: Delivery) -> dict[str, str]:
    """As a source sends them, which has to say the type where nothing else tells it."""
    is_told = kind in CATALOGUE.recognised or kind == TABLE
    return dict(delivery.attributes) if is_told else {"type": kind, **delivery.attributes}


def in_headers(attributes: Mapping[str, str]) -> dict[str, str]:
    """What we write."""
    return {f"{ATTRIBUTE_PREFIX}{name}": value for name, value in attributes.items()}


def fitting(sample: Sample) -> list[Inbound]:
    """The forms by whose published schemas content and headers are valid."""
    told = in_headers(attributes_of(sample.kind, sample.delivery))
    return [
        row
        for row in rows_of(sample.kind)
        if row.file
        and published(row).is_valid(sample.content)
        and Draft202012Validator(headers_schema(row)).is_valid(told)
    ]


# --- the list ---


def test_every_kind_of_a_vendor_says_how_it_is_written_and_no_event_of_ours_does() -> None:
    teams = {event.owner for event in EVENTS.values()}
    for (who, kind), handler in HANDLERS.items():
        assert bool(handler.forms) is (who != SOURCE), kind
        assert all(form.owners and teams >= set(form.owners) for form in handler.forms), kind
        for form in handler.forms:
            assert (form.content is not None) is ("json" in form.media_type), kind
    assert len({row.key for row in ROWS}) == len(ROWS)


def test_every_form_in_json_has_a_sample_here() -> None:
    found = {row.key for sample in SAMPLES.values() for row in fitting(sample)}
    assert found == {row.key for row in ROWS if row.file}


def test_every_form_is_a_message_of_the_document() -> None:
    messages = DOCUMENT["components"]["messages"]
    for row in ROWS:
        message = messages[row.key]
        assert message["contentType"] == row.form.media_type
        assert message["headers"] == headers(row)
        assert bool(message["payload"]) is bool(row.file)
    taken = DOCUMENT["channels"]["inbound"]["messages"]
    assert set(taken) == {row.key for row in ROWS} | {"package"}


@pytest.mark.parametrize("row", [row for row in ROWS if row.file], ids=lambda row: row.key)
def test_a_published_schema_is_one(row: Inbound) -> None:
    Draft202012Validator.check_schema(published(row).schema)
    Draft202012Validator.check_schema(headers_schema(row))


def test_no_schema_tells_where_a_type_stands_in_our_code() -> None:
    for row in ROWS:
        if row.file:
            assert "handlers." not in json.dumps(published(row).schema)
    assert not [name for name in DOCUMENT["components"]["schemas"] if "handlers." in name]


# --- the content ---


@each_sample
def test_a_sample_is_valid_by_the_schema_of_its_form_and_of_no_other(name: str) -> None:
    sample = SAMPLES[name]
    (row,) = fitting(sample)
    payload = DOCUMENT["components"]["messages"][row.key]["payload"]
    by_document = {**payload, "components": DOCUMENT["components"]}
    Draft202012Validator(by_document).validate(sample.content)


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where the parts of a value stand: of a list the first, the others are alike."""
    match value:
        case dict():
            for key, inner in value.items():
                yield (*path, key)
                yield from places(inner, (*path, key))
        case list() if value:
            yield (*path, 0)
            yield from places(value[0], (*path, 0))


def at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


def with_value(value: Any, path: Path, new: Any) -> Any:
    first, *rest = path
    changed: Any = dict(value) if isinstance(value, dict) else list(value)
    changed[first] = with_value(value[first], tuple(rest), new) if rest else new
    return changed


def without(value: Any, path: Path) -> Any:
    *above, key = path
    held = {name: inner for name, inner in at(value, tuple(above)).items() if name != key}
    return with_value(value, tuple(above), held) if above else held


def is_another_type(old: Any, new: Any) -> bool:
    """Not one of the same type; nor a text where nothing stood, which may have to be a time."""
    return type(new) is not type(old) and not (old is None and isinstance(new, str))


def breaks_its_contract(sample: Sample, content: Any) -> bool:
    """Whether the reader refuses the content for a type or for what is missing."""
    body = json.dumps(content).encode()
    try:
        sample.handler.read(msgspec.structs.replace(sample.delivery, body=body))
    except Failure as failure:
        return failure.code == "contract-violated"
    return False


@pytest.mark.parametrize("name", OF_TYPES)
def test_a_value_of_another_type_is_refused_by_the_schema_where_the_reader_refuses_it(
    name: str,
) -> None:
    sample = SAMPLES[name]
    (row,) = fitting(sample)
    content = sample.content
    refused = 0
    tried = itertools.product(list(places(content)), WRONG)
    for path, wrong in itertools.islice(tried, 0, None, EACH):
        if not is_another_type(at(content, path), wrong):
            continue
        damaged = with_value(content, path, wrong)
        said = breaks_its_contract(sample, damaged)
        assert published(row).is_valid(damaged) is not said, (path, wrong)
        refused += said
    assert refused


@pytest.mark.parametrize("name", OF_TYPES)
def test_what_must_not_be_missing_is_required_by_the_schema_and_nothing_else(name: str) -> None:
    sample = SAMPLES[name]
    (row,) = fitting(sample)
    content = sample.content
    for path in places(content):
        if isinstance(path[-1], str):
            damaged = without(content, path)
            said = breaks_its_contract(sample, damaged)
            assert published(row).is_valid(damaged) is not said, path


# --- the headers ---


class Asked(Mapping[str, str]):
    """Attributes that remember which of them somebody wanted to know."""

    def __init__(self, told: Mapping[str, str]) -> None:
        self._told = told
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        return self._told[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._told)

    def __len__(self) -> int:
        return len(self._told)


def is_taken(kind: str, delivery: Delivery, attributes: Mapping[str, str]) -> bool:
    """Whether it is recognised and read."""
    sent = msgspec.structs.replace(delivery, attributes=attributes)
    try:
        CATALOGUE.recognise((kind,), sent).read(sent)
    except InvalidMessage:
        return False
    return True


@pytest.mark.parametrize("name", OF_TYPES)
def test_the_headers_that_have_to_be_there_are_those_without_which_it_is_refused(name: str) -> None:
    sample = SAMPLES[name]
    (row,) = fitting(sample)
    needed = set(headers(row)["required"])
    attributes = attributes_of(sample.kind, sample.delivery)
    assert needed <= in_headers(attributes).keys()
    assert is_taken(sample.kind, sample.delivery, attributes)
    for left_out in attributes:
        rest = {key: value for key, value in attributes.items() if key != left_out}
        is_needed = f"{ATTRIBUTE_PREFIX}{left_out}" in needed
        assert is_taken(sample.kind, sample.delivery, rest) is not is_needed, left_out


@each_genuine
def test_nothing_is_read_of_the_headers_that_is_not_published(name: str) -> None:
    handler, delivery, *_ = GENUINE[name]
    asked = Asked(attributes_of(_kind(handler), delivery))
    handler.read(msgspec.structs.replace(delivery, attributes=asked))
    published_names = {
        header for row in rows_of(_kind(handler)) for header in headers(row)["properties"]
    }
    assert in_headers(dict.fromkeys(asked.names, "")).keys() <= published_names


# --- the rest ---


@each_genuine
def test_content_may_stand_in_a_package_where_that_is_published(name: str) -> None:
    handler, delivery, *_ = GENUINE[name]
    body = delivery.body
    package = Package(len(body), hashlib.sha256(body).digest(), lambda: io.BytesIO(body))
    packed = msgspec.structs.replace(delivery, body=b"", package=package)
    if all(form.by_reference for form in handler.forms):
        assert handler.read(packed).envelope == handler.read(delivery).envelope
        return
    assert not any(form.by_reference for form in handler.forms)
    with pytest.raises(InvalidMessage):
        handler.read(packed)


@each_genuine
def test_who_owns_a_kind_owns_the_events_that_it_comes_to(name: str) -> None:
    handler, delivery, *_ = GENUINE[name]
    found = answer(name, delivery.body)
    if handler.scope == TABLE or isinstance(found, Failure):
        return
    owners = {EVENTS[effect.event].owner for effect in found if isinstance(effect, Emit)}
    assert owners <= {owner for form in handler.forms for owner in form.owners}
