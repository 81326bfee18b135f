"""Every message type of a vendor and every call to a system stands in a golden of the corpus, or on
a list here that says why not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from canonical.events import SOURCE
from canonical.operations import Announce, Approve, AwaitFact, AwaitTime, Operation, verb
from handlers import HANDLERS
from ops.mapping.entries import REQUEST, Entry, read_golden
from ops.mapping.goldens import (
    ENDING,
    OUTBOUND,
    digest_of,
    golden_name,
    read_sums,
    samples,
)
from ops.mapping.sample import Said, say
from tests.corpus import CORPUS

TYPES = {message_type for who, message_type in HANDLERS if who != SOURCE}
NO_CALLS = {Approve, AwaitFact, AwaitTime, Announce}
CALLS = {verb(kind) for kind in set(get_args(Operation)) - NO_CALLS}

# Message type -> why no sample of it stands in the corpus.
NO_SAMPLE: Mapping[str, str] = {}
# Operation -> why no sample leads to it.
NO_REQUEST: Mapping[str, str] = {
    "put-plant-status": "what is compared here has no rule that says by which status an ERP stops"
    " buying; its requests are looked at field by field in test_s4_plant_status",
    "close-review": "a person's decision leads to it, and no vendor's message; its requests are"
    " looked at in test_coupa",
}


@pytest.fixture(scope="module")
def said() -> dict[Path, Said]:
    """What the samples that have a golden come to."""
    names = [name for name in samples(CORPUS) if (CORPUS / golden_name(name)).is_file()]
    return {name: say(CORPUS / name) for name in names}


def requests() -> list[Entry]:
    """All that stands in goldens of requests."""
    found = [read_golden(path.read_text()) for path in sorted(CORPUS.rglob(f"*{OUTBOUND}"))]
    return [entry for entries in found for entry in entries]


def test_every_message_type_of_a_vendor_has_a_golden(said: dict[Path, Said]) -> None:
    messages = [one.translation.message for one in said.values()]
    found = {message.envelope.type for message in messages if message is not None}
    assert found & TYPES == TYPES - NO_SAMPLE.keys()


def test_every_call_to_a_system_has_a_golden() -> None:
    assert {entry.about.rpartition("|")[2] for entry in requests()} == CALLS - NO_REQUEST.keys()


def test_a_golden_of_requests_stands_beside_one_of_its_message() -> None:
    for path in CORPUS.rglob(f"*{OUTBOUND}"):
        assert path.with_name(path.name.replace(OUTBOUND, ENDING)).is_file()


def test_every_golden_is_as_it_was_recorded_or_accepted() -> None:
    """One that was changed by hand has no reason on record."""
    found: dict[Path, dict[str, str]] = {path.parent: {} for path in CORPUS.glob("*/*")}
    for path in (*CORPUS.rglob(f"*{ENDING}"), *CORPUS.rglob(f"*{OUTBOUND}")):
        found[path.parent][path.name] = digest_of(path)
    for folder, digests in found.items():
        assert digests == read_sums(folder), (
            "run `layshaft map accept SAMPLE --reason TEXT` for each sample whose golden differs,"
            " `layshaft map record tests/corpus` for each that is missing"
        )


def test_a_request_has_a_method_and_a_path_and_none_is_refused() -> None:
    assert {entry.kind for entry in requests()} == {REQUEST}
    for entry in requests():
        assert entry.content.keys() <= {"observe", "write"}
        # A remote procedure is called in one way, whether it changes something or not.
        _, system, *_ = entry.about.split("|")
        reads = {"POST"} if system == "tryton" else {"GET"}
        for name, request in entry.content.items():
            assert request["method"] in (reads if name == "observe" else {"POST", "PUT"})
            assert request["path"].startswith("/")


def fields(content: Any) -> set[str]:
    """Every text and number inside, as text."""
    if isinstance(content, dict):
        return {text for value in content.values() for text in fields(value)}
    if isinstance(content, list):
        return {text for value in content for text in fields(value)}
    return {str(content)}


def test_what_a_coupling_is_leads_to_requests_with_its_own_values() -> None:
    path = CORPUS / "pdx" / f"coupling.made{OUTBOUND}"
    asked = {entry.about: entry.content for entry in read_golden(path.read_text())}
    master = asked["|erp|item|CPL-110|put-item"]["write"]["body"]
    assert (master["Product"], master["BaseUnit"], master["ProductType"]) == (
        "CPL-110",
        "PC",
        "ROH",
    )
    assert fields(master["to_Description"]) == {"EN", "Fitted bolt M12x60"}
    bom = asked["2010|erp|bom|CPL-100|put-bom"]["write"]["body"]
    assert (bom["Material"], bom["Plant"], bom["BOMHeaderQuantityInBaseUnit"]) == (
        "CPL-100",
        "2010",
        "1",
    )
    (line,) = bom["to_BillOfMaterialItem"]["results"]
    assert line == {
        "BillOfMaterialComponent": "CPL-110",
        "BillOfMaterialItemCategory": "L",
        "BillOfMaterialItemNumber": "0010",
        "BillOfMaterialItemUnit": "PC",
        "BillOfMaterialItemQuantity": "8",
        "IsProductionRelevant": True,
    }


def test_what_was_known_before_a_sample_is_not_asked_for_again() -> None:
    before, after = (
        {entry.about for entry in read_golden((CORPUS / name).read_text())}
        for name in (f"pdx/coupling.made{OUTBOUND}", f"coupa/contracts{OUTBOUND}")
    )
    assert after == {
        "|procurement|supplier|S-400|read-supplier",
        "2010|erp-2|source-list|CPL-110|put-source-list",
        "2010|erp|info-record|S-400/CPL-110|put-info-record",
    }
    assert not before & after


def test_rules_that_stand_beside_a_sample_stand_beside_one(said: dict[Path, Said]) -> None:
    beside = {name.with_name(f"{name.stem}.rules.toml") for name in said}
    rules = {path.relative_to(CORPUS) for path in CORPUS.rglob("*.rules.toml")}
    assert rules <= beside
    assert msgspec.toml.decode((CORPUS / "rules.toml").read_bytes())["systems"]["erp"] == "s4"
