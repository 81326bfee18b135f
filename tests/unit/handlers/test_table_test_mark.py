"""A file whose table says which column marks a test, and that is marked, comes to nothing."""

from __future__ import annotations

import tomllib

import msgspec
import pytest

from canonical.effects import Effect, Emit
from canonical.errors import InvalidMessage, Misconfigured, Rejected
from canonical.facts import Facts
from canonical.handler import Delivery
from canonical.supplier import Supplier
from handlers.systems.table.inbound import handler_of
from handlers.systems.table.outbound import write
from tests.fixtures.gearbox import NOW, RULES

SUPPLIERS = """
name = "suppliers"
kinds = ["suppliers"]
event = "supplier.changed"
{mark}
[{form}]
[fields]
number = "No"
name = "Name"
active = {{ constant = true }}
qualification.status = {{ constant = "qualified" }}
stated_at = "At"
"""
MARK = 'test = { column = "Mode", words = ["T", "TEST"] }'
AT = "2026-03-02T08:00:00Z"


def effects(body: str, mark: str = MARK, form: str = "csv") -> tuple[Effect, ...]:
    _, handler = handler_of(tomllib.loads(SUPPLIERS.format(mark=mark, form=form)), "t.toml")
    return handler.decide(
        handler.read(Delivery("erp", "suppliers", body.encode())), Facts(RULES), NOW
    )


def csv(*modes: str) -> str:
    rows = (f"S-{n},Teller,{AT},{mode}" for n, mode in enumerate(modes))
    return "\n".join(("No,Name,At,Mode", *rows))


@pytest.mark.parametrize("mode", ["T", "TEST", " T "])
def test_a_file_with_one_row_that_is_marked_comes_to_nothing(mode: str) -> None:
    with pytest.raises(Rejected) as caught:
        effects(csv("", "P", mode))
    failure = caught.value
    assert (failure.code, failure.owner) == ("test-message", "sender")
    assert failure.where == 'row 4, column "Mode"'


@pytest.mark.parametrize("mode", ["", "P", "t", "TESTING", "0"])
def test_any_other_word_and_none_is_no_test(mode: str) -> None:
    (event,) = effects(csv(mode))
    assert isinstance(event, Emit)


def test_a_table_without_a_mark_tells_the_column_as_any_other_that_it_does_not_name() -> None:
    _, case = effects(csv("T"), mark="")
    assert getattr(case, "code", "") == "column-unknown"


def test_a_file_without_the_column_is_refused_and_a_record_without_it_is_no_test() -> None:
    with pytest.raises(InvalidMessage, match="column-missing"):
        effects(csv("").replace("Mode", "Other"))
    assert effects(f'{{"No": "S-1", "Name": "A", "At": "{AT}"}}', form="json")
    with pytest.raises(Rejected) as caught:
        effects(f'{{"No": "S-1", "Name": "A", "At": "{AT}", "Mode": "T"}}', form="json")
    assert caught.value.where == 'record 1, column "Mode"'


@pytest.mark.parametrize(
    "mark",
    [
        'test = { column = "", words = ["T"] }',
        'test = { column = " Mode", words = ["T"] }',
        'test = { column = "Mode", words = [] }',
        'test = { column = "Mode", words = [""] }',
        'test = { column = "Mode" }',
        'test = { column = "Mode", word = ["T"] }',
        f'{MARK}\nignore = ["Mode"]',
    ],
)
def test_a_mark_that_tells_nothing_is_refused_at_the_start(mark: str) -> None:
    with pytest.raises(Misconfigured, match="table-invalid"):
        effects(csv(""), mark)


def test_what_is_written_has_the_column_and_marks_nothing() -> None:
    mapped, handler = handler_of(tomllib.loads(SUPPLIERS.format(mark=MARK, form="csv")), "t.toml")
    (event,) = effects(csv("P"))
    assert isinstance(event, Emit)
    assert isinstance(event.data, Supplier)
    body = write(mapped, [event.data])
    assert body.splitlines()[0] == b"No,Name,At,Mode"
    again = handler.decide(handler.read(Delivery("erp", "suppliers", body)), Facts(RULES), NOW)
    assert again == (event,)


def test_what_would_be_written_as_a_test_is_refused() -> None:
    by_name = MARK.replace('"Mode"', '"Name"')
    mapped, _ = handler_of(tomllib.loads(SUPPLIERS.format(mark=by_name, form="csv")), "t.toml")
    (event,) = effects(csv("P"))
    assert isinstance(event, Emit)
    assert isinstance(event.data, Supplier)
    with pytest.raises(InvalidMessage, match="table-inexpressible"):
        write(mapped, [msgspec.structs.replace(event.data, name="T")])
