"""Contents of earlier versions become the present one step by step."""

from __future__ import annotations

import pytest

from canonical.events import EVENTS
from canonical.upcasts import UPCASTS, Content, earlier_versions, to_present


def _first_step(content: Content) -> Content:
    """Version 2 tells given name and family name apart."""
    given, _, family = content["name"].partition(" ")
    return {"given": given, "family": family}


def _second_step(content: Content) -> Content:
    """Version 3 holds names in a list."""
    return {"names": [content["given"], content["family"]]}


STEPS = {("person.moved", 1): _first_step, ("person.moved", 2): _second_step}


@pytest.mark.parametrize(
    ("version", "content"),
    [
        (1, {"name": "Ada Lovelace"}),
        (2, {"given": "Ada", "family": "Lovelace"}),
        (3, {"names": ["Ada", "Lovelace"]}),
    ],
)
def test_a_content_takes_every_step_after_its_version(version: int, content: Content) -> None:
    told = to_present(content, "person.moved", version=version, present=3, upcasts=STEPS)
    assert told == {"names": ["Ada", "Lovelace"]}


@pytest.mark.parametrize(
    ("steps", "versions"), [([], ()), ([2], (2,)), ([1, 2], (1, 2)), ([1], ())]
)
def test_versions_that_can_be_read_are_those_with_every_step_to_the_present_one(
    steps: list[int], versions: tuple[int, ...]
) -> None:
    upcasts = {("person.moved", number): _first_step for number in steps}
    assert earlier_versions("person.moved", present=3, upcasts=upcasts) == versions


def test_every_event_can_be_read_since_its_first_version() -> None:
    for row in EVENTS.values():
        assert earlier_versions(row.name, present=row.version) == tuple(range(1, row.version))


def test_no_step_is_left_of_an_event_that_is_gone() -> None:
    for event, version in UPCASTS:
        assert version < EVENTS[event].version
