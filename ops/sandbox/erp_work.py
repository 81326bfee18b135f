"""One write request at work in the ERP stand-in, and the checks its rules share."""

from collections.abc import Mapping
from datetime import datetime
from typing import cast

import msgspec

from ops.sandbox.journal import Operation
from ops.sandbox.odata import (
    Draft,
    EntitySet,
    Model,
    Row,
    Scalar,
    date_literal,
    etag,
    filled,
    predicate,
    timestamp_literal,
)
from ops.sandbox.refusal import Refused
from ops.sandbox.tables import KeyTaken, Record, Stored, Tables

# Internal unit codes and their dimension; within one the ERP converts by itself, pieces excepted.
UNITS: Mapping[str, str] = {
    **dict.fromkeys(("KG", "G", "MG", "TO", "LB"), "mass"),
    **dict.fromkeys(("M", "CM", "MM", "KM", "IN", "FT"), "length"),
    **dict.fromkeys(("L", "ML", "M3", "CCM"), "volume"),
    **dict.fromkeys(("M2", "CM2"), "area"),
    **dict.fromkeys(("H", "MIN", "S"), "time"),
    **{unit: f"count of {unit}" for unit in ("PC", "EA", "ST", "ROL", "BOX", "CAR", "SET", "PAA")},
    "AU": "activity",
}


class Seed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the ERP knows before the first request. `rows` are stored as they are, once."""

    plants: tuple[str, ...] = ()
    purchasing_organizations: dict[str, tuple[str, ...]] = {}  # organisation -> plants it buys for
    suppliers: tuple[str, ...] = ()
    rows: dict[str, list[dict[str, str | int | bool | None]]] = {}


class Change(msgspec.Struct, frozen=True):
    table: str
    key: str
    operation: Operation


class Work(msgspec.Struct, frozen=True):
    """One write request at work: where it reads and stores, and what it has changed so far."""

    model: Model
    tables: Tables
    seed: Seed
    now: datetime
    user: str
    changes: list[Change]

    def get(self, name: str, **key: Scalar) -> Row | None:
        _, entity_set = self.model.find(name)
        stored = self.tables.get(name, predicate(entity_set, key))
        return None if stored is None else row_of(stored)

    def insert(self, name: str, row: Row) -> Stored:
        """Raises: Refused 400 if the key exists."""
        _, entity_set = self.model.find(name)
        key = predicate(entity_set, row)
        # Unset properties are kept at their initial value, so that a filter finds them.
        stamped = filled(entity_set, row | self._stamps(entity_set, CREATED_STAMPS))
        try:
            stored = self.tables.insert(name, key, record_of(stamped), plant=plant_of(row))
        except KeyTaken as error:
            text = f"{name}({key}) already exists"
            raise Refused(400, "ZSANDBOX/KEY_EXISTS", text) from error
        self.changes.append(Change(name, key, "create"))
        return stored

    def update(self, name: str, stored: Stored, row: Row) -> Stored:
        _, entity_set = self.model.find(name)
        stamped = row | self._stamps(entity_set, CHANGED_STAMPS)
        self.changes.append(Change(name, stored.key, "update"))
        return self.tables.replace(name, stored, record_of(stamped))

    def delete(self, name: str, stored: Stored) -> None:
        """The row and the children it is the parent of are gone."""
        _, entity_set = self.model.find(name)
        for navigation in entity_set.navigation:
            if navigation.many:
                where = {c: row_of(stored)[p] for p, c in navigation.on.items()}
                for child in self.tables.find(navigation.set, where):
                    self.delete(navigation.set, child)
        self.tables.delete(name, stored.key)
        self.changes.append(Change(name, stored.key, "delete"))

    def _stamps(self, entity_set: EntitySet, stamps: Mapping[str, str]) -> Row:
        values = {
            "user": self.user[:12],
            "day": date_literal(self.now),
            "moment": timestamp_literal(self.now),
        }
        return {p.name: values[stamps[p.name]] for p in entity_set.properties if p.name in stamps}


CREATED_STAMPS = {
    "CreatedByUser": "user",
    "CreationDate": "day",
    "RecordCreationDate": "day",
    "BOMItemCreatedByUser": "user",
    "ChangeNumberCreatedByUser": "user",
    "ChangeNumberCreationDate": "day",
    "ChangeNumberLastChgdDateTime": "moment",
    "BOMItemRecordCreationDate": "day",
    "LastChangeDateTime": "moment",
}
CHANGED_STAMPS = {
    "LastChangedByUser": "user",
    "LastChangeDate": "day",
    "BOMItemLastChangedByUser": "user",
    "ChangeNumberLastChangedByUser": "user",
    "ChangeNumberLastChangedDate": "day",
    "ChangeNumberLastChgdDateTime": "moment",
    "BOMItemLastChangeDate": "day",
    "LastChangeDateTime": "moment",
}


def row_of(stored: Stored) -> Row:
    # Rows of the ERP hold scalars only: they passed check_value or came from the seed.
    return cast(Row, stored.row)


def record_of(row: Row) -> Record:
    return cast(Record, row)


def plant_of(row: Mapping[str, object]) -> str:
    return str(row.get("Plant", ""))


def check_etag(stored: Stored, if_match: str | None) -> None:
    """Raises: Refused 428 without a tag, 412 with one that is not the row's."""
    if if_match is None:
        text = "The request must be conditional; send If-Match"
        raise Refused(428, "ZSANDBOX/ETAG_MISSING", text)
    if if_match not in ("*", etag(stored.version, row_of(stored))):
        text = "The entity was changed since it was read; read it again"
        raise Refused(412, "ZSANDBOX/ETAG_STALE", text)


def with_parent(draft: Draft, **values: Scalar) -> Draft:
    """The child with its parent's key; a child that says otherwise is refused."""
    for name, value in values.items():
        if draft.row.get(name, value) not in ("", value):
            text = f"{name} is {value} in the parent and {draft.row[name]} in the child"
            raise Refused(400, "ZSANDBOX/PARENT_KEY", text, draft.place + name)
    return msgspec.structs.replace(draft, row=draft.row | values)


def require(draft: Draft, *names: str) -> None:
    for name in names:
        if draft.row.get(name) in (None, ""):
            text = f"Property '{name}' is mandatory to create {draft.set}"
            raise Refused(400, "ZSANDBOX/PROPERTY_MISSING", text, draft.place + name)


def not_given(draft: Draft, name: str) -> None:
    if draft.row.get(name):
        text = f"{name} is numbered by the system; leave it out"
        raise Refused(400, "ZSANDBOX/NUMBER_INTERNAL", text, draft.place + name)


def existing_product(work: Work, product: Scalar, code: str, target: str) -> Row:
    found = work.get("A_Product", Product=product)
    if found is None:
        text = f"The material {product} does not exist or is not activated"
        raise Refused(400, code, text, target)
    return found


def require_in_plant(work: Work, product: Scalar, plant: Scalar, code: str, target: str) -> None:
    if work.get("A_ProductPlant", Product=product, Plant=plant) is None:
        text = f"Material {product} is not maintained in plant {plant}"
        raise Refused(400, code, text, target)


def english_description(work: Work, product: Scalar) -> str:
    where = {"Product": product, "Language": "EN"}
    found = work.tables.find("A_ProductDescription", where)
    return str(found[0].row["ProductDescription"]) if found else ""


def check_unit(row: Row, name: str, place: str) -> None:
    unit = row.get(name) or ""
    if unit and unit not in UNITS:
        text = f"Unit of measure {unit} is not defined"
        raise Refused(400, "ZSANDBOX/UNIT_UNKNOWN", text, place + name)


def check_convertible(work: Work, product: Scalar, row: Row, name: str, place: str) -> None:
    """The unit is the product's own, one of its alternatives, or of the same dimension."""
    check_unit(row, name, place)
    unit = str(row[name])
    material = work.get("A_Product", Product=product)
    base = str(material["BaseUnit"]) if material else ""
    alternative = work.get("A_ProductUnitsOfMeasure", Product=product, AlternativeUnit=unit)
    if UNITS[unit] != UNITS.get(base) and alternative is None:
        text = f"Unit {unit} cannot be converted to base unit {base} of material {product}"
        raise Refused(400, "ZSANDBOX/UNIT_NOT_CONVERTIBLE", text, place + name)


def is_positive(value: Scalar) -> bool:
    return value is not None and float(value) > 0
