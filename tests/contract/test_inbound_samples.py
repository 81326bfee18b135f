"""Whatever a published schema of what sources send describes is read, or refused in words of ours:
never for a type or for what is missing, since of that the schema says that it is fine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from broker.topology import ATTRIBUTE_PREFIX
from canonical.errors import Failure, InvalidMessage
from canonical.handler import Delivery, Handler
from ops.contracts.inbound import TABLE, Inbound
from tests.contract.sampling import TEXTS, Texts, described_by
from tests.contract.test_handlers import FACTS
from tests.contract.test_inbound_contracts import (
    EACH,
    ROWS,
    SAMPLES,
    Sample,
    attributes_of,
    fitting,
    headers_schema,
    in_headers,
    published,
)
from tests.fixtures.gearbox import NOW

EXAMPLES = 200 if EACH == 1 else 25
# What a reader says of content that its schema does not describe.
OF_THE_SCHEMA = {"contract-violated", "undecodable", "body-empty", "key-twice"}
TOLD = {"id": "1", "subject": "supplier/1", "time": "2026-03-02T08:00:00Z"}
of_each_form = pytest.mark.parametrize(
    "row", [row for row in ROWS if row.file], ids=lambda row: row.key
)


@cache
def genuine_by_form() -> Mapping[str, list[Sample]]:
    """Messages that are known to be read, by the key of their form."""
    found: dict[str, list[Sample]] = {}
    for sample in SAMPLES.values():
        for row in fitting(sample):
            found.setdefault(row.key, []).append(sample)
    return found


def genuine(row: Inbound) -> list[Sample]:
    """Messages of the form that are known to be read."""
    return genuine_by_form()[row.key]


def texts_in(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a JSON value with the name of its member; names of members too."""
    match value:
        case str():
            yield name, value
        case dict():
            for key, part in value.items():
                yield name, key
                yield from texts_in(part, key)
        case list():
            for part in value:
                yield from texts_in(part, name)


def like(samples: list[Sample]) -> Texts:
    """Mostly texts as they stand in these under the same name, else of another one or none of them:
    with others alone most contents would be refused for the first word that nobody knows."""
    found = [text for sample in samples for text in texts_in(sample.content)]
    for sample in samples:
        found += in_headers(attributes_of(sample.kind, sample.delivery)).items()
    by_name = {name: sorted({text for n, text in found if n == name}) for name, _ in found}
    others = st.sampled_from(sorted({text for _, text in found})) | TEXTS

    def texts(name: str) -> st.SearchStrategy[str]:
        if name not in by_name:
            return others
        known = st.sampled_from(by_name[name])
        return st.integers(0, 19).flatmap(lambda n: others if n == 0 else known)

    return texts


def refusal(handler: Handler, delivery: Delivery) -> Failure | None:
    """Why it is refused, where it is; of what is read everything is asked that the runtime asks."""
    try:
        message = handler.read(delivery)
        handler.ignored(message)
        if handler.version is not None:
            handler.version(message)
        handler.needs(message, FACTS)
        handler.decide(message, FACTS, NOW)
    except Failure as failure:
        return failure
    return None


@cache
def described(
    key: str, *, whole: bool
) -> tuple[st.SearchStrategy[Any], st.SearchStrategy[dict[str, str]]]:
    """What the schemas of a form describe: contents, and headers. Made once: it takes longer than
    a value that is drawn."""
    (row,) = (row for row in ROWS if row.file and row.key == key)
    content_schema = published(row).schema
    assert isinstance(content_schema, dict)
    drawn = partial(described_by, own={}, texts=like(genuine(row)), whole=whole)
    return drawn(content_schema), drawn(headers_schema(row))


@of_each_form
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_what_a_schema_describes_is_read_or_refused_in_our_own_words(
    row: Inbound, data: st.DataObject
) -> None:
    samples = genuine(row)
    contents, headers = described(row.key, whole=data.draw(st.booleans()))
    content, told = data.draw(contents), data.draw(headers)
    published(row).validate(content)
    Draft202012Validator(headers_schema(row)).validate(told)
    delivery = msgspec.structs.replace(
        samples[0].delivery,
        body=json.dumps(content).encode(),
        attributes={name.removeprefix(ATTRIBUTE_PREFIX): text for name, text in told.items()},
    )
    failure = refusal(samples[0].handler, delivery)
    if failure is not None:
        assert failure.code not in OF_THE_SCHEMA, failure
        assert failure.where.strip(), failure
        assert failure.what.isprintable(), failure
        assert failure.where.isprintable(), failure


@of_each_form
def test_content_that_its_schema_does_not_describe_is_refused_for_that(row: Inbound) -> None:
    """The same question of content that is no such thing: the check above would notice it."""
    sample = genuine(row)[0]
    delivery = msgspec.structs.replace(
        sample.delivery,
        body=b"17",
        # Where the form hangs on the content, nothing that another one needs is missing.
        attributes={**TOLD, **attributes_of(sample.kind, sample.delivery)},
    )
    assert not published(row).is_valid(17)
    failure = refusal(sample.handler, delivery)
    assert isinstance(failure, InvalidMessage)
    # What a table reads it names by rows and columns.
    assert failure.code in OF_THE_SCHEMA or row.kind == TABLE
