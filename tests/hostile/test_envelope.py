"""Hostile envelopes: sizes, encodings, forged headers, foreign names, ids that are none."""

from __future__ import annotations

import gzip
from typing import Any

import msgspec
import pytest

from canonical.codec import MAX_BODY_BYTES, encode
from tests.amqp_wire import CONTENT_ENCODING, USER_ID, Refused, properties, short_text
from tests.fixtures.gearbox import item
from tests.hostile.found import case
from tests.hostile.running import LONGEST_TURN_S, Running
from tests.hostile.sending import (
    GUARDED,
    KIND,
    OTHER,
    Sent,
    arena,
    own,
    raw,
    statement,
    supplier,
    told,
    unique,
)


async def test_h06_the_broker_refuses_a_body_of_20_mib(service: Running) -> None:
    with pytest.raises(Refused, match="406 PRECONDITION_FAILED - message size"):
        await service.publish(Sent(b"x" * (20 << 20)))
    await service.take(supplier(unique("S")))


async def test_h06_the_longest_body_the_broker_takes_is_judged_like_any_other(
    service: Running,
) -> None:
    (found,) = await service.take(Sent(b"x" * MAX_BODY_BYTES))
    assert found.cases == case(found, "contract-unknown", f"kind '{KIND}'")
    assert len(found.kept) == MAX_BODY_BYTES


@pytest.mark.parametrize("body", [b"", b" \r\n\t "], ids=["empty", "blanks"])
async def test_h07_a_body_without_content_is_one_case(service: Running, body: bytes) -> None:
    (found,) = await service.take(Sent(body))
    assert found.cases == case(found, "body-empty", "body")
    assert found.kept == body


async def test_h08_a_compressed_body_is_one_case_and_is_not_opened(service: Running) -> None:
    bomb = gzip.compress(b"\0" * (64 << 20))
    (found,) = await service.take(raw(CONTENT_ENCODING, short_text(b"gzip"), body=bomb))
    assert found.cases == case(found, "amqp-property", "AMQP properties")
    assert found.lines[0]["reason"] == (
        "amqp-property: content_encoding: compressed bodies are not taken"
    )
    assert found.kept == bomb
    assert service.longest_turn_s() < LONGEST_TURN_S


FORGED: dict[str, Any] = {
    "x-death": [
        {
            "count": 1_000_000,
            "exchange": "layshaft.dead",
            "queue": f"in.mes.{KIND}.standard",
            "reason": "delivery_limit",
            "routing-keys": ["in.mes.other.standard"],
        }
    ],
    "x-delivery-count": 1_000_000,
    "x-first-death-exchange": "in.mes",
    "x-first-death-queue": f"in.mes.{KIND}.standard",
    "x-first-death-reason": "rejected",
    "undecoded-headers": "bm9uZQ==",
    "layshaft-damage": "none",
}


async def test_h09_forged_headers_of_the_broker_change_nothing(service: Running) -> None:
    number = unique("S")
    names = {
        "ce-id": unique("forged"),
        "ce-type": "coupa.supplier",
        "ce-subject": f"supplier/{number}",
        "ce-time": "2026-03-02T08:30:00Z",
    }
    flags, made = properties(names | FORGED)
    sound = supplier(number)
    (found,) = await service.take(msgspec.structs.replace(sound, flags=flags, raw=made))
    assert (found.outcome, found.source, found.cases) == ("applied", "plm", ())
    assert found.attributes == {name.removeprefix("ce-"): value for name, value in names.items()}


async def test_h10_the_broker_refuses_a_user_id_that_is_not_the_login(service: Running) -> None:
    with pytest.raises(Refused, match="406 PRECONDITION_FAILED - user_id"):
        await service.publish(raw(USER_ID, short_text(b"somebody")))
    await service.take(supplier(unique("S")))


async def test_h11_a_source_with_logins_of_its_own_takes_nothing_without_one(
    service: Running,
) -> None:
    (found,) = await service.take(supplier(unique("S"), exchange=GUARDED))
    assert found.cases == case(found, "source-mismatch", "user_id")
    (known,) = await service.take(supplier(unique("S"), exchange=GUARDED, user=service.user))
    assert (known.outcome, known.source, known.cases) == ("applied", "guarded", ())


@pytest.mark.parametrize("claimed", ["mes", "layshaft"])
async def test_h11_a_message_that_calls_itself_another_sources_is_one_case(
    service: Running, claimed: str
) -> None:
    (found,) = await service.take(supplier(unique("S"), source=claimed))
    assert found.cases == case(found, "source-mismatch", "ce-source")
    assert found.source == "plm"


@pytest.mark.parametrize("claimed", ["plm", "https://plm.example.org/changes"])
async def test_h11_its_own_name_and_a_name_of_the_senders_own_are_taken(
    service: Running, claimed: str
) -> None:
    (found,) = await service.take(supplier(unique("S"), source=claimed))
    assert (found.outcome, found.source) == ("applied", "plm")


async def test_h12_unknown_contracts_and_versions_are_one_case_each(service: Running) -> None:
    sent = [
        told({"n": 1}, type="acme.thing", id="1"),
        told({"n": 2}),
        told(statement(), type="arena.change.v99"),
        told(statement(), type="pdx.package.v2"),
    ]
    found = await service.take(*sent)
    assert [one.cases for one in found] == [
        case(one, "contract-unknown", f"kind '{KIND}'") for one in found
    ]
    assert [one.kept for one in found] == [message.body for message in sent]


async def test_h12_version_99_of_an_event_of_ours_is_one_case(service: Running) -> None:
    number = unique("PIN")
    sent = own(
        "item.released",
        f"item/{number}",
        encode(item(number)),
        type="com.layshaft.item.released.v99",
    )
    (found,) = await service.take(sent)
    assert found.cases == case(found, "event-unknown", "kind 'item.released'")


async def test_h13_without_an_id_the_content_says_which_message_it_is(service: Running) -> None:
    content = statement()
    (found,) = await service.take(arena(content))
    assert (found.outcome, found.cases) == ("applied", ())
    assert found.id == f"{content['change']['guid']}@2024-01-01T00:00:00+00:00"


async def test_h13_where_content_cannot_say_it_the_missing_id_is_one_case(
    service: Running,
) -> None:
    (found,) = await service.take(supplier(unique("S"), id=""))
    assert found.cases == case(found, "attribute-missing", "ce-id")


NO_IDS = {
    "10 kB": "x" * 10_000,
    "NUL": "a\0b",
    "newline": "a\nb",
    "forged line": "a\r\nlevel=info b",
    "escapes": "\x1b[2J\x1b[31mall is well",
}


@pytest.mark.parametrize("attribute", ["id", "subject", "correlationid"])
async def test_h13_ids_that_are_none_are_one_case_each_and_the_log_line_stays_one(
    service: Running, attribute: str
) -> None:
    found = await service.take(
        *(supplier(unique("S"), **{attribute: value}) for value in NO_IDS.values())
    )
    assert [one.cases for one in found] == [
        case(one, "identity-unusable", attribute) for one in found
    ]
    lines = [line for one in found for line in one.lines]
    assert len(lines) == len(NO_IDS)
    assert all(len(str(line)) < 1_000 for line in lines)
    assert all(str(field).isprintable() for line in lines for field in line.values())


async def test_h13_what_stands_in_the_property_message_id_is_no_identity(service: Running) -> None:
    flags, made = properties({"ce-type": "arena.change"}, message_id="\x1b[31m\n" + "x" * 200)
    (found,) = await service.take(
        msgspec.structs.replace(arena(statement()), flags=flags, raw=made)
    )
    assert (found.outcome, found.cases, found.lines) == ("applied", (), ())


async def test_h14_the_same_id_from_two_sources_names_two_messages(service: Running) -> None:
    one, other = unique("S"), unique("S")
    first, second = await service.take(
        supplier(one, id="the-same"), supplier(other, exchange=OTHER, id="the-same")
    )
    assert [(f.id, f.source, f.outcome, f.key) for f in (first, second)] == [
        ("the-same", "plm", "applied", f"supplier/{one}"),
        ("the-same", "mes", "applied", f"supplier/{other}"),
    ]
