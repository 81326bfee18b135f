"""The metadata of the ERP stand-in: whole in itself, and equal to the vendor's where that is at
hand."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from ops.sandbox.erp_rules import CHECK, CREATE
from ops.sandbox.metadata import generate
from ops.sandbox.odata import METADATA, EntitySet, load_model

MODEL = load_model()
SETS = [entity_set for _, entity_set in MODEL.sets()]
# The vendor's files are not part of the project: where they are not, what holds ours against them
# is skipped.
VENDOR = Path(__file__).resolve().parents[4] / "shared/samples/sap-s4-odata"
EDMX = sorted(VENDOR.glob("edmx*/*.edmx"))
# Written after the vendor's reference, since no description under a licence was found.
BY_HAND = {
    "change_master.json",
    "info_record_condition.json",
    "purchase_contract.json",
    "purchasing_source.json",
}
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
