"""URLs of the ERP stand-in: what a path addresses and what its query asks for. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import unquote

import msgspec

from ops.sandbox.odata import (
    ROOT,
    EntitySet,
    Model,
    Navigation,
    Property,
    Row,
    Scalar,
    Service,
    check_value,
)
from ops.sandbox.refusal import Refused

LITERAL = r"datetime'[^']*'|'(?:[^']|'')*'|[\w.+-]+"  # a quote inside a text is doubled
PREDICATE = re.compile(rf"(?:(\w+)=)?({LITERAL})(?:,|$)")
COMPARISON = re.compile(rf"\s*(\w+)\s+eq\s+({LITERAL})\s*(and\s|$)")
SEGMENT = re.compile(r"(\w+)(?:\((.*)\))?", re.DOTALL)
OPTIONS = {"$filter", "$expand", "$select", "$top", "$skip", "$inlinecount", "$format"}


class Resource(msgspec.Struct, frozen=True):
    """What a path addresses: a service root, a set, an entity, or what an entity navigates to."""

    service: Service
    entity_set: EntitySet | None = None
    key: Row | None = None
    navigation: Navigation | None = None
    is_count: bool = False


class Shape(msgspec.Struct, frozen=True):
    """What is asked of an entity: its fields, nothing selected means all of them, and which of its
    children are inlined, each in a shape of its own."""

    select: tuple[str, ...] = ()
    expand: tuple[tuple[Navigation, Shape], ...] = ()


class Query(msgspec.Struct, frozen=True):
    """What the query options ask for; `top` None means everything."""

    where: Row
    shape: Shape
    top: int | None
    skip: int
    with_count: bool


def parse_resource(model: Model, raw_path: str) -> Resource:
    """What `raw_path`, still percent-encoded and without its query, addresses.

    Raises: Refused 404 for an unknown service, set or navigation, 400 for a wrong key.
    """
    head, *rest = (unquote(part) for part in raw_path.removeprefix(ROOT).split("/"))
    service = next((s for s in model.services if _is_called(s, head)), None)
    if service is None:
        text = f"No service found for namespace '', name '{head}'"
        raise Refused(404, "/IWFND/MED/170", text)
    segments = [part for part in rest if part]
    if not segments:
        return Resource(service)
    match = SEGMENT.fullmatch(segments[0])
    entity_set = service.entity_set(match[1]) if match else None
    if match is None or entity_set is None:
        raise _no_segment(segments[0])
    key = None if match[2] is None else parse_key(entity_set, match[2])
    if len(segments) == 1:
        return Resource(service, entity_set, key)
    if len(segments) == 2 and key is None and segments[1] == "$count":
        return Resource(service, entity_set, is_count=True)
    navigation = entity_set.navigates(segments[1])
    if navigation is None or key is None or len(segments) > 2:
        raise _no_segment(segments[-1])
    return Resource(service, entity_set, key, navigation)


def _is_called(service: Service, segment: str) -> bool:
    # Version 2 is written `;v=2` as well as `;v=0002`.
    name, _, version = segment.partition(";v=")
    return name == service.service and version.lstrip("0") == service.version.lstrip("0")


def _no_segment(segment: str) -> Refused:
    text = f"Resource not found for the segment '{segment}'"
    return Refused(404, "005056A509B11EE1B9A8FEC11C21578E", text)


def parse_key(entity_set: EntitySet, text: str) -> Row:
    """The key between the brackets of a URL.

    Raises: Refused 400 unless exactly the key properties of the set are given.
    """
    given: Row = {}
    position = 0
    while position < len(text):
        match = PREDICATE.match(text, position)
        if match is None:
            break
        name = match[1] or (entity_set.key[0] if len(entity_set.key) == 1 else "")
        described = entity_set.property(name)
        if described is None or name in given:
            break
        given[name] = parse_literal(described, match[2])
        position = match.end()
    if position < len(text) or given.keys() != set(entity_set.key):
        wanted = ", ".join(entity_set.key)
        message = f"The key of {entity_set.name} is made of {wanted}; '{text}' is not such a key"
        raise Refused(400, "ZSANDBOX/KEY_PREDICATE", message)
    return given


def parse_literal(described: Property, literal: str) -> Scalar:
    """The value of a URL literal in the form it has in JSON.

    Raises: Refused 400 for a literal of another type.
    """
    value: Scalar = literal
    match described.type:
        case "Edm.String":
            value = literal[1:-1].replace("''", "'") if literal.startswith("'") else None
        case "Edm.Boolean":
            value = {"true": True, "false": False}.get(literal)
        case "Edm.Decimal":
            value = literal.removesuffix("M").removesuffix("m")
        case "Edm.DateTime":
            value = _date_from_literal(literal)
        case "Edm.Byte" | "Edm.Int16" | "Edm.Int32":
            value = int(literal) if literal.lstrip("-").isdecimal() else None
    return check_value(described, value)


def _date_from_literal(literal: str) -> str | None:
    try:
        moment = datetime.fromisoformat(literal.removeprefix("datetime").strip("'"))
    except ValueError:
        return None
    return f"/Date({int(moment.replace(tzinfo=UTC).timestamp()) * 1000})/"


def parse_query(model: Model, entity_set: EntitySet, options: Mapping[str, str]) -> Query:
    """The query options of a read.

    Raises: Refused 400 for an option or a form of it that the stand-in does not know; silence
    would answer another question than was asked.
    """
    for name in options:
        if name.startswith("$") and name not in OPTIONS:
            raise _bad_option(name, f"is not supported, only {', '.join(sorted(OPTIONS))}")
    if options.get("$format", "json") != "json":
        raise _bad_option("$format", "must be json")
    return Query(
        where=parse_filter(entity_set, options.get("$filter", "")),
        shape=_parse_shape(
            model, entity_set, _names(options, "$select"), _names(options, "$expand")
        ),
        top=_number(options, "$top") if "$top" in options else None,
        skip=_number(options, "$skip") if "$skip" in options else 0,
        with_count=options.get("$inlinecount") == "allpages",
    )


def _parse_shape(
    model: Model, entity_set: EntitySet, select: Sequence[str], expand: Sequence[str]
) -> Shape:
    """What the names, paths from the entity, ask of it and of what it navigates to."""
    heads = dict.fromkeys(name.partition("/")[0] for name in expand)
    navigations = [n for n in map(entity_set.navigates, heads) if n is not None]
    known = {navigation.name for navigation in navigations}
    for name in expand:
        if name.partition("/")[0] not in known:
            raise _unknown("$expand", name, entity_set)
    for name in select:
        head, is_path, _ = name.partition("/")
        if is_path and head not in known:
            raise _bad_option("$select", f"names '{name}', but '{head}' is not expanded")
        if not is_path and not (entity_set.property(name) or entity_set.navigates(name)):
            raise _unknown("$select", name, entity_set)
    return Shape(
        select=tuple(name for name in select if "/" not in name),
        expand=tuple(
            (
                navigation,
                _parse_shape(
                    model,
                    model.find(navigation.set)[1],
                    _below(navigation, select),
                    _below(navigation, expand),
                ),
            )
            for navigation in navigations
        ),
    )


def _below(navigation: Navigation, names: Sequence[str]) -> tuple[str, ...]:
    """The rest of the paths that lead through the navigation."""
    head = f"{navigation.name}/"
    return tuple(name.removeprefix(head) for name in names if name.startswith(head))


def _unknown(option: str, name: str, entity_set: EntitySet) -> Refused:
    return _bad_option(option, f"names '{name}', which {entity_set.type} does not have")


def parse_filter(entity_set: EntitySet, text: str) -> Row:
    """The values that `a eq x and b eq y` asks for.

    Raises: Refused 400 for an unknown property or any other operator.
    """
    where: Row = {}
    position, expects_more = 0, text != ""
    while expects_more:
        match = COMPARISON.match(text, position)
        if match is None or match[1] in where:
            raise _bad_option("$filter", f"is understood as 'A eq x and B eq y' only, not '{text}'")
        described = entity_set.property(match[1])
        if described is None:
            message = f"names '{match[1]}', which {entity_set.type} does not have"
            raise _bad_option("$filter", message)
        where[match[1]] = parse_literal(described, match[2])
        position, expects_more = match.end(), match[3] != ""
    return where


def _names(options: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in options.get(name, "").split(",") if part.strip())


def _number(options: Mapping[str, str], name: str) -> int:
    if not options[name].isdecimal():
        raise _bad_option(name, "must be a number")
    return int(options[name])


def _bad_option(name: str, text: str) -> Refused:
    return Refused(400, "ZSANDBOX/QUERY_OPTION", f"Query option {name} {text}")
