"""What an answer that is no success means, whoever gives it."""

from __future__ import annotations

import pytest

from canonical.errors import Busy
from canonical.exchange import Response
from handlers.systems.answers import Refusal, failure


@pytest.mark.parametrize(
    ("text", "whom"),
    [
        ("Material X is locked by user MILLER", "MILLER"),
        ("Object is currently being processed by SCHMIDT", "SCHMIDT"),
        ("The record is being edited by ann.smith@example.com", "ann.smith@example.com"),
        ("Material X is locked by another user", "the person who holds the object"),
        ("Locked", "the person who holds the object"),
        ("", "the person who holds the object"),
    ],
)
def test_who_has_the_object_is_named_where_the_target_says_so(text: str, whom: str) -> None:
    found = failure(Response(423, {}, b""), Refusal(text=text, meaning="locked"), wrote=True)
    assert isinstance(found, Busy)
    assert (found.code, found.word, found.remedy) == (
        "locked",
        "transient",
        f"Ask {whom} to leave it",
    )
