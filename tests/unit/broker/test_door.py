"""What is refused before anybody reads it: properties first, then who sent it, then its size."""

from __future__ import annotations

from typing import Any

import pytest

from broker.door import check_claim, refusal
from canonical.errors import InvalidMessage

SOUND: dict[str, Any] = {
    "violations": (),
    "content_encoding": "",
    "user_id": "",
    "users": (),
    "body": b"{}",
    "max_body_bytes": 10,
}


def code_of(**stated: Any) -> tuple[str, str] | None:
    failure = refusal(**SOUND | stated)
    return (failure.code, failure.where) if failure else None


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({}, None),
        ({"content_encoding": "identity"}, None),
        ({"content_encoding": "gzip"}, ("amqp-property", "AMQP properties")),
        ({"violations": ("message_id: bad",)}, ("amqp-property", "AMQP properties")),
        ({"users": ("plm",)}, ("source-mismatch", "user_id")),
        ({"users": ("plm",), "user_id": "mes"}, ("source-mismatch", "user_id")),
        ({"users": ("plm", "plm-2"), "user_id": "plm-2"}, None),
        ({"user_id": "anybody"}, None),
        ({"body": b""}, ("body-empty", "body")),
        ({"body": b" \n"}, ("body-empty", "body")),
        ({"body": b"x" * 11}, ("body-too-large", "body")),
        ({"body": b"x" * 10}, None),
        # Of several reasons the first is given: what nobody could read, then who sent it.
        (
            {"violations": ("x",), "users": ("plm",), "body": b""},
            ("amqp-property", "AMQP properties"),
        ),
        ({"users": ("plm",), "body": b""}, ("source-mismatch", "user_id")),
    ],
)
def test_each_reason_has_its_code(stated: dict[str, Any], expected: tuple[str, str] | None) -> None:
    assert code_of(**stated) == expected


def test_all_that_is_wrong_with_the_properties_is_said_at_once() -> None:
    failure = refusal(**SOUND | {"violations": ("a: x", "b: y"), "content_encoding": "br"})
    assert failure is not None
    assert failure.what == "a: x; b: y; content_encoding: compressed bodies are not taken"


@pytest.mark.parametrize("claimed", ["plm", "", "urn:plm:7", "PLM"])
def test_its_own_name_and_names_that_are_none_of_ours_claim_nothing(claimed: str) -> None:
    check_claim({"source": claimed}, "plm", ("layshaft", "plm", "mes"))


@pytest.mark.parametrize("claimed", ["mes", "layshaft"])
def test_another_sources_name_is_refused(claimed: str) -> None:
    with pytest.raises(InvalidMessage, match="source-mismatch"):
        check_claim({"source": claimed}, "plm", ("layshaft", "plm", "mes"))
