"""The metadata of the ERP stand-in: whole in itself, and equal to the vendor's: to its descriptions
where they are at hand, else to what stands in them by a table of facts. What the driver writes and
reads is held to the same table."""

import csv
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from handlers.systems.s4 import native, native_read
from ops.sandbox.erp_rules import CHECK, CREATE
from ops.sandbox.metadata import generate
from ops.sandbox.odata import METADATA, EntitySet, Property, Service, load_model

MODEL = load_model()
SETS = [entity_set for _, entity_set in MODEL.sets()]
# The vendor's files are not part of the project: where they are not, what holds ours against them
# is skipped.
VENDOR = Path(__file__).resolve().parents[4] / "shared/samples/sap-s4-odata"
EDMX = sorted(VENDOR.glob("edmx*/*.edmx"))
# Sets of the others, by service and set: names, types, sizes, keys, and what may be written.
TABLE = Path(__file__).parents[2] / "fixtures/described/s4.tsv"
# Written by hand, since no description under a licence was found.
BY_HAND = {
    "change_master.json",
    "info_record_condition.json",
    "purchase_contract.json",
    "purchasing_source.json",
}
# Services of which the vendor's description is at hand, as a reference only.
HELD_BY_EDMX = {"API_CHANGEMASTER", "API_INFORECORD_PROCESS_SRV"}
PUBLISHED = [path for path in EDMX if path.stem in {s.service for s in MODEL.services}]

NEEDS_VENDOR = pytest.mark.skipif(not PUBLISHED, reason="the vendor's descriptions are not here")


@pytest.mark.parametrize("entity_set", SETS, ids=lambda s: s.name)
def test_a_set_is_whole(entity_set: EntitySet) -> None:
    by_name = {p.name: p for p in entity_set.properties}
    assert len(by_name) == len(entity_set.properties)
    assert entity_set.key
    for name in entity_set.key:
        assert not by_name[name].nullable
        assert by_name[name].type in ("Edm.String", "Edm.DateTime", "Edm.DateTimeOffset")
        assert by_name[name].creatable
        assert not by_name[name].updatable
    for described in entity_set.properties:
        assert (described.type == "Edm.String") == (described.max_length is not None)
        assert (described.type == "Edm.Decimal") == (described.precision is not None)
    for navigation in entity_set.navigation:
        _, target = MODEL.find(navigation.set)
        assert set(navigation.on) <= by_name.keys()
        assert set(navigation.on.values()) <= {p.name for p in target.properties}


def test_every_set_has_its_rules() -> None:
    names = {entity_set.name for entity_set in SETS}
    assert CREATE.keys() == names
    assert CHECK.keys() == names


def test_set_names_are_unique_over_the_services() -> None:
    assert len({s.name for s in SETS}) == len(SETS)


@NEEDS_VENDOR
@pytest.mark.parametrize("path", PUBLISHED, ids=lambda p: p.stem)
def test_a_service_agrees_with_the_vendors_description(path: Path) -> None:
    service = next(s for s in MODEL.services if s.service == path.stem)
    root = ET.parse(path).getroot()
    types = {e.get("Name"): e for e in root.iter(f"{generate.EDM}EntityType")}
    sets = {e.get("Name"): e.get("EntityType") for e in root.iter(f"{generate.EDM}EntitySet")}
    for entity_set in service.sets:
        assert sets[entity_set.name] == entity_set.type
        theirs = types[entity_set.type.rpartition(".")[2]]
        key = tuple(e.get("Name") for e in theirs.iter(f"{generate.EDM}PropertyRef"))
        assert key == entity_set.key
        links = {e.get("Name") for e in theirs.findall(f"{generate.EDM}NavigationProperty")}
        assert {n.name for n in entity_set.navigation} <= links
        described = {
            e.get("Name"): (
                e.get("Type"),
                e.get("MaxLength"),
                e.get("Precision") if e.get("Type") == "Edm.Decimal" else None,
                e.get("Scale"),
                e.get("Nullable") != "false",
            )
            for e in theirs.findall(f"{generate.EDM}Property")
        }
        for ours in entity_set.properties:
            sizes = (ours.max_length, ours.precision, ours.scale)
            length, precision, scale = (None if s is None else str(s) for s in sizes)
            expected = (ours.type, length, precision, scale, ours.nullable)
            assert described[ours.name] == expected, ours.name


@NEEDS_VENDOR
def test_the_files_are_what_the_generator_makes(tmp_path: Path) -> None:
    generate.main(VENDOR, tmp_path)
    made = {path.name: path.read_bytes() for path in tmp_path.glob("*.json")}
    kept = [path for path in METADATA.glob("*.json") if path.name not in BY_HAND]
    assert made == {path.name: path.read_bytes() for path in kept}


# --- what the vendor describes, by the table of facts ---


def described() -> dict[tuple[str, str], list[dict[str, str]]]:
    """The properties of each set, by service and set."""
    found = defaultdict(list)
    lines = TABLE.read_text().splitlines()
    for row in csv.DictReader((line for line in lines if line[0] != "#"), delimiter="\t"):
        found[row["service"], row["set"]].append(row)
    return dict(found)


DESCRIBED = described()
# The types by which the driver writes and reads entities of a set.
ENTITIES: dict[str, tuple[type[msgspec.Struct], ...]] = {
    "A_PurchaseContract": (native.AgreedContract, native_read.Contract),
    "A_PurchaseContractItem": (native.AgreedItem, native_read.ContractItem),
    "A_PurchasingSource": (native.ListedSource, native_read.SourceRecord),
}


def as_described(ours: Property, place: int | None) -> dict[str, str]:
    """The property as the table has it; place: among the keys."""
    digits = f"{ours.precision}.{ours.scale}" if ours.precision is not None else None
    return {
        "property": ours.name,
        "type": ours.type,
        "size": digits or str(ours.max_length or "-"),
        "key": "-" if place is None else str(place + 1),
        "create": "yes" if ours.creatable else "no",
        "update": "yes" if ours.updatable else "no",
    }


def test_of_every_set_that_was_written_by_hand_something_says_what_the_vendor_has() -> None:
    by_hand = {
        (service.service, entity_set.name)
        for path in METADATA.glob("*.json")
        if path.name in BY_HAND
        for service in [msgspec.json.decode(path.read_bytes(), type=Service)]
        for entity_set in service.sets
    }
    by_edmx = {key for key in by_hand if key[0] in HELD_BY_EDMX}
    assert by_hand - by_edmx == DESCRIBED.keys()
    assert not VENDOR.is_dir() or {path.stem for path in PUBLISHED} >= HELD_BY_EDMX


@pytest.mark.parametrize("key", DESCRIBED, ids="/".join)
def test_a_set_is_as_the_vendor_describes_it(key: tuple[str, str]) -> None:
    service, entity_set = MODEL.find(key[1])
    assert service.service == key[0]
    assert entity_set.type == f"{key[0]}.{key[1]}Type"
    places = {name: place for place, name in enumerate(entity_set.key)}
    ours = [as_described(p, places.get(p.name)) for p in entity_set.properties]
    # By what the description lists for a create, the ERP gives some keys itself; a key always
    # counts as creatable here (README of the metadata).
    expected = [
        {name: row[name] for name in ours[0]} | ({} if row["key"] == "-" else {"create": "yes"})
        for row in DESCRIBED[key]
    ]
    assert ours == expected
    for described_property in entity_set.properties:
        assert described_property.nullable is (described_property.name not in entity_set.key)


@pytest.mark.parametrize("key", DESCRIBED, ids="/".join)
def test_what_is_written_to_a_set_and_read_of_it_are_its_properties(key: tuple[str, str]) -> None:
    rows = {row["property"]: row for row in DESCRIBED[key]}
    for kind in ENTITIES[key[1]]:
        fields = [
            f for f in msgspec.structs.fields(kind) if f.encode_name[:3] not in ("__m", "to_")
        ]
        assert fields
        for field in fields:
            is_mark = bool in get_args(field.type)
            assert is_mark == (rows[field.encode_name]["type"] == "Edm.Boolean"), field.encode_name
