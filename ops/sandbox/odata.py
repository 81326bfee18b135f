"""OData V2 as the ERP stand-in speaks it: metadata, values, payloads and answers. Pure.

Metadata is data (`metadata/*.json`); what it does not list is refused here, before any business
rule is asked. URLs and query options are in `resource.py`.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import msgspec

from ops.sandbox.refusal import Refused

METADATA = Path(__file__).parent / "metadata"
ROOT = "/sap/opu/odata/sap/"

# With the create of their parent these may have children of their own, as the vendor's create
# schema says.
DEEP = frozenset({"A_PurchaseOrderItem"})

DECIMAL = re.compile(r"-?(\d+)(?:\.(\d+))?")
DATE = re.compile(r"/Date\((-?\d+)\)/")
TIMESTAMP = re.compile(r"/Date\((-?\d+)(?:[+-]\d{4})?\)/")
TIME = re.compile(r"PT\d{2}H\d{2}M\d{2}S")
INTEGERS = {"Edm.Byte": 255, "Edm.Int16": 2**15 - 1, "Edm.Int32": 2**31 - 1}

Scalar = str | int | bool | None
Row = dict[str, Scalar]
Json = Scalar | float | list["Json"] | dict[str, "Json"]


class Property(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One property as the vendor's metadata describes it."""

    name: str
    type: str
    max_length: int | None = None
    precision: int | None = None
    scale: int | None = None
    nullable: bool = True
    creatable: bool = True
    updatable: bool = True


class Navigation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A navigation property; `on` maps the parent's properties to the child's."""

    name: str
    set: str
    many: bool
    on: dict[str, str]


class EntitySet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    type: str
    key: tuple[str, ...]
    deletable: bool
    navigation: tuple[Navigation, ...]
    properties: tuple[Property, ...]

    def property(self, name: str) -> Property | None:
        return next((p for p in self.properties if p.name == name), None)

    def navigates(self, name: str) -> Navigation | None:
        return next((n for n in self.navigation if n.name == name), None)


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One service; `version` is what must stand behind `;v=`, empty for none; `batched` are calls
    that it takes within a batch only, as "PATCH A_PurchaseContract"."""

    service: str
    version: str
    licence: str
    batched: tuple[str, ...] = ()
    sets: tuple[EntitySet, ...]

    @property
    def segment(self) -> str:
        return f"{self.service};v={self.version}" if self.version else self.service

    def entity_set(self, name: str) -> EntitySet | None:
        return next((s for s in self.sets if s.name == name), None)


class Model(msgspec.Struct, frozen=True):
    """All services of the stand-in."""

    services: tuple[Service, ...]

    def sets(self) -> Iterator[tuple[Service, EntitySet]]:
        for service in self.services:
            for entity_set in service.sets:
                yield service, entity_set

    def find(self, name: str) -> tuple[Service, EntitySet]:
        """The set called `name`; set names are unique over the services kept here."""
        return next((s, e) for s, e in self.sets() if e.name == name)


class Draft(msgspec.Struct, frozen=True):
    """A payload that agrees with the metadata: values in the vendor's form, and children.

    `place` is where it stood in the request, for error targets: empty, `to_X(2)/` or
    `to_X(2)/to_Y(0)/`.
    """

    set: str
    row: Row
    children: dict[str, list["Draft"]]
    place: str = ""


def load_model(folder: Path = METADATA) -> Model:
    """The services described in `folder`, by file name; what several files say of one is one."""
    services: dict[str, Service] = {}
    for file in sorted(folder.glob("*.json")):
        found = msgspec.json.decode(file.read_bytes(), type=Service)
        known = services.setdefault(found.service, found)
        if known is not found:
            sets = (*known.sets, *found.sets)
            services[found.service] = msgspec.structs.replace(known, sets=sets)
    return Model(tuple(services.values()))


def check_payload(
    model: Model, entity_set: EntitySet, payload: object, *, creating: bool, place: str = ""
) -> Draft:
    """The payload as a Draft with every value checked against the metadata.

    `__metadata` and deferred links are what a client echoes from a read and are passed over.
    Raises: Refused 400 for an unknown property, a wrong type or size, a property that may not be
    written, children in an update, or below the first level of another set than those in DEEP.
    """
    if not isinstance(payload, dict):
        raise Refused(400, "ZSANDBOX/PAYLOAD_NOT_OBJECT", "The payload must be one JSON object")
    row: Row = {}
    children: dict[str, list[Draft]] = {}
    for name, value in payload.items():
        if name == "__metadata" or _is_deferred(value):
            continue
        if navigation := entity_set.navigates(name):
            if not creating or (place and entity_set.name not in DEEP):
                text = f"'{name}' may be sent with a create only, one level deep"
                raise Refused(400, "ZSANDBOX/DEEP_INSERT", text, place + name)
            children[name] = _check_children(model, navigation, value, place)
            continue
        described = entity_set.property(name)
        if described is None:
            text = f"Property '{name}' is not known to {entity_set.type}"
            raise Refused(400, "ZSANDBOX/PROPERTY_UNKNOWN", text, place + name)
        if not (described.creatable if creating else described.updatable):
            verb = "created" if creating else "updated"
            text = f"Property '{name}' of {entity_set.type} cannot be {verb} by a client"
            raise Refused(400, "ZSANDBOX/PROPERTY_READ_ONLY", text, place + name)
        row[name] = check_value(described, value, place)
    return Draft(entity_set.name, row, children, place)


def _is_deferred(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == {"__deferred"}


def _check_children(model: Model, navigation: Navigation, value: object, place: str) -> list[Draft]:
    entries = value.get("results") if isinstance(value, dict) and navigation.many else value
    if not navigation.many:
        entries = [value]
    if not isinstance(entries, list):
        text = f"'{navigation.name}' must be a list or an object with 'results'"
        raise Refused(400, "ZSANDBOX/DEEP_INSERT", text, place + navigation.name)
    _, child_set = model.find(navigation.set)
    return [
        check_payload(
            model, child_set, entry, creating=True, place=f"{place}{navigation.name}({position})/"
        )
        for position, entry in enumerate(entries)
    ]


def check_value(described: Property, value: object, place: str = "") -> Scalar:
    """`value` in the form the vendor stores and shows it: decimals filled up to their scale.

    Raises: Refused 400 for a value of another type, too long or too large.
    """
    target = place + described.name
    if value is None:
        if not described.nullable or described.type in ("Edm.String", "Edm.Boolean"):
            raise _wrong_type(described, value, target)
        return None
    match described.type, value:
        case "Edm.String", str():
            if described.max_length is not None and len(value) > described.max_length:
                text = (
                    f"Property '{described.name}' holds {len(value)} characters,"
                    f" at most {described.max_length} are allowed"
                )
                raise Refused(400, "ZSANDBOX/VALUE_TOO_LONG", text, target)
            return value
        case "Edm.Boolean", bool():
            return value
        case "Edm.Decimal", str() if match := DECIMAL.fullmatch(value):
            return _decimal(described, value, match, target)
        case "Edm.DateTime", str() if DATE.fullmatch(value):
            return value
        case "Edm.DateTimeOffset", str() if TIMESTAMP.fullmatch(value):
            return value
        case "Edm.Time", str() if TIME.fullmatch(value):
            return value
        case "Edm.Guid", str() if _is_guid(value):
            return value
        case ("Edm.Byte" | "Edm.Int16" | "Edm.Int32") as name, int() if not isinstance(value, bool):
            if abs(value) <= INTEGERS[name]:
                return value
    raise _wrong_type(described, value, target)


def _decimal(described: Property, value: str, match: re.Match[str], target: str) -> str:
    whole, fraction = match[1].lstrip("0"), (match[2] or "").rstrip("0")
    scale = described.scale or 0
    room = (described.precision or 28) - scale
    if len(whole) > room or len(fraction) > scale:
        text = (
            f"Property '{described.name}' takes {room} digits before and {scale} after the point,"
            f" not {value}"
        )
        raise Refused(400, "ZSANDBOX/VALUE_OUT_OF_RANGE", text, target)
    return f"{Decimal(value):.{scale}f}"


def _is_guid(value: str) -> bool:
    try:
        return str(UUID(value)) == value.lower()
    except ValueError:
        return False


def _wrong_type(described: Property, value: object, target: str) -> Refused:
    shown = msgspec.json.encode(value).decode()[:60]
    text = f"Property '{described.name}' is {described.type}; {shown} is not"
    return Refused(400, "ZSANDBOX/VALUE_TYPE", text, target)


def initial(described: Property) -> Scalar:
    """What an unset property shows in an answer."""
    match described.type:
        case "Edm.String":
            return ""
        case "Edm.Boolean":
            return False
        case "Edm.Decimal":
            return f"{0:.{described.scale or 0}f}"
        case name if name in INTEGERS:
            return 0
    return None


def filled(entity_set: EntitySet, row: Row) -> Row:
    """All properties of the set in metadata order, unset ones at their initial value."""
    return {p.name: row.get(p.name, initial(p)) for p in entity_set.properties}


def date_literal(moment: datetime) -> str:
    """The day of `moment` as an Edm.DateTime in JSON."""
    midnight = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return f"/Date({int(midnight.timestamp()) * 1000})/"


def timestamp_literal(moment: datetime) -> str:
    """`moment` as an Edm.DateTimeOffset in JSON, to the millisecond."""
    return f"/Date({int(moment.timestamp() * 1000)}+0000)/"


def predicate(entity_set: EntitySet, row: Mapping[str, Scalar]) -> str:
    """The key of `row` as it stands between the brackets of its URL, not yet percent-encoded."""
    literals = {name: "'" + str(row[name]).replace("'", "''") + "'" for name in entity_set.key}
    if len(literals) == 1:
        return next(iter(literals.values()))
    return ",".join(f"{name}={literal}" for name, literal in literals.items())


def entity_path(service: Service, entity_set: EntitySet, row: Mapping[str, Scalar]) -> str:
    """The path of one entity, percent-encoded."""
    key = quote(predicate(entity_set, row), safe="'=,")
    return f"{ROOT}{service.segment}/{entity_set.name}({key})"


def etag(version: int, row: Row) -> str:
    """A weak tag that changes with every write, also with one that changes nothing."""
    digest = hashlib.sha256(f"{version}".encode() + msgspec.json.encode(row))
    return f"W/\"'{digest.hexdigest()[:40].upper()}'\""


def render(
    service: Service,
    entity_set: EntitySet,
    row: Row,
    version: int,
    *,
    origin: str,
    expanded: Mapping[str, Json] | None = None,
    select: tuple[str, ...] = (),
) -> dict[str, Json]:
    """One entity as the vendor shows it: `__metadata`, all properties, links or inlined children.

    `origin` is scheme, host and port; `select` empty means everything.
    """
    uri = origin + entity_path(service, entity_set, row)
    shown: dict[str, Json] = {
        "__metadata": {
            "id": uri,
            "uri": uri,
            "type": entity_set.type,
            "etag": etag(version, row),
        }
    }
    shown |= {n: v for n, v in filled(entity_set, row).items() if not select or n in select}
    for navigation in entity_set.navigation:
        if expanded and navigation.name in expanded:
            shown[navigation.name] = expanded[navigation.name]
        elif not select or navigation.name in select:
            shown[navigation.name] = {"__deferred": {"uri": f"{uri}/{navigation.name}"}}
    return shown


def error_body(refused: Refused, transaction: str) -> dict[str, Json]:
    """The error document of an OData V2 service."""
    detail: Json = {
        "code": refused.code,
        "message": refused.text,
        "target": refused.target,
        "severity": "error",
    }
    return {
        "error": {
            "code": refused.code,
            "message": {"lang": "en", "value": refused.text},
            "innererror": {"transactionid": transaction, "errordetails": [detail]},
        }
    }
