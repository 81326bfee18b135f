"""Who owns which values of an object, and that a statement of somebody else changes none of them.

Rows of the rules say entity x field group x state -> system. `judge` is asked wherever a statement
becomes a document; `speaks` wherever one is sent on. docs/adr/0057.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar, get_args

import msgspec
from msgspec import NODEFAULT, UNSET, UnsetType

from canonical.bom import Bom, PlantBomState
from canonical.item import Item, Lifecycle
from canonical.item_master import ItemMaster, PlantView
from canonical.order import OrderStatus, PurchaseOrder
from canonical.purchase_contract import ContractStatus, PurchaseContract
from canonical.purchasing import InfoRecordTerms
from canonical.source_list import SourceList
from canonical.supplier import QualificationStatus, Supplier
from canonical.supplier_master import CompanyView, PurchasingView, SupplierMaster

ANY = "*"

Path = tuple[str, ...]
"""Of one value: (field), (field, word) or (field, view, field of the view)."""

D = TypeVar("D", bound=msgspec.Struct)

# As canonical.codec writes it, which reads the rules and so cannot be read by them.
_encoder = msgspec.json.Encoder(order="deterministic")


class Entity(msgspec.Struct, frozen=True):
    """What rows can be about.

    groups: fields by the name of their group. states: life-cycle states that a row may name; those
    of a BOM are those of its item. asked: role that decides about what is disputed, unless the
    rules name another one. is_whole: a statement is of the whole object, not of what changes.
    quiet: fields that mean something to whoever stated them only: they are never disputed.
    views: fields that hold views of a type, by the field that names a view. words: fields that hold
    one value a word: mappings, or elements by the field that names one ("" = a mapping).
    """

    name: str
    document: type[msgspec.Struct]
    groups: Mapping[str, tuple[str, ...]]
    states: tuple[str, ...]
    asked: str
    is_whole: bool = True
    quiet: frozenset[str] = frozenset()
    views: Mapping[str, tuple[type[msgspec.Struct], str]] = {}
    words: Mapping[str, str] = {}

    def group_of(self, field: str) -> str:
        """Name of the group with that field; "" for what names the object or its statement."""
        return next((name for name, fields in self.groups.items() if field in fields), "")


_DELETED = ("active", "deleted")

ENTITIES: Mapping[str, Entity] = {
    one.name: one
    for one in (
        Entity(
            "item",
            Item,
            {
                "definition": (
                    "description", "kind", "procurement", "base_unit", "family", "category",
                    "classes", "documents", "source_id",
                ),
                "revision": ("revision", "released_at", "change"),
                "lifecycle": ("lifecycle", "phase"),
                "measures": ("alternates", "weight"),
                "compliance": ("compliance",),
                "approved-sources": ("manufacturers", "suppliers"),
            },
            get_args(Lifecycle),
            "engineering",
            quiet=frozenset({"source_id", "phase"}),
            words={"alternates": "unit"},
        ),
        Entity(
            "bom",
            Bom,
            {"structure": ("base", "lines"), "revision": ("revision", "released_at", "change")},
            get_args(Lifecycle),
            "engineering",
        ),
        Entity(
            "item-master",
            ItemMaster,
            {
                "classification": ("kind", "group", "hierarchy", "source_id"),
                "lifecycle": ("lifecycle", "status", "is_deleted"),
                "units": ("base_unit", "alternates"),
                "measures": ("gross_weight", "net_weight", "volume"),
                "texts": ("descriptions",),
                "identification": ("gtin",),
                "plant-data": ("plants",),
            },
            get_args(Lifecycle),
            "master-data",
            is_whole=False,
            quiet=frozenset({"source_id"}),
            views={"plants": (PlantView, "plant")},
            words={"descriptions": "", "alternates": "unit"},
        ),
        Entity(
            "plant-bom",
            PlantBomState,
            {
                "header": (
                    "base", "change", "valid_from", "status", "text", "is_deleted", "source_id",
                ),
                "lines": ("lines", "notes"),
            },
            _DELETED,
            "master-data",
            quiet=frozenset({"source_id"}),
        ),
        Entity(
            "supplier",
            Supplier,
            {
                "identity": ("name", "parent", "source_id"),
                "status": ("active",),
                "qualification": ("qualification", "inherits_qualification", "qualifications"),
                "sites": ("sites",),
            },
            get_args(QualificationStatus),
            "procurement",
            quiet=frozenset({"source_id"}),
        ),
        Entity(
            "supplier-master",
            SupplierMaster,
            {
                "identity": (
                    "name", "name2", "name3", "name4", "language", "tax_numbers", "account_group",
                    "group", "source_id",
                ),
                "address": (
                    "street", "district", "postal_code", "city", "region", "country", "po_box",
                    "po_box_postal_code", "po_box_city",
                ),
                "blocks": (
                    "quality_block", "is_posting_blocked", "is_purchasing_blocked", "is_deleted",
                ),
                "payment": ("remit_to", "companies"),
                "purchasing": ("organisations",),
            },
            (*_DELETED, "blocked"),
            "master-data",
            is_whole=False,
            quiet=frozenset({"source_id"}),
            views={
                "companies": (CompanyView, "company"),
                "organisations": (PurchasingView, "organisation"),
            },
            words={"tax_numbers": ""},
        ),
        Entity(
            "info-record",
            InfoRecordTerms,
            {
                "identification": (
                    "number", "supplier_item", "is_regular_supplier", "source_id",
                ),
                "quantities": (
                    "order_unit", "base_unit", "order_to_base", "minimum", "standard", "maximum",
                    "under_tolerance", "over_tolerance", "is_over_unlimited",
                ),
                "prices": ("currency", "price", "order_to_price", "price_until", "prices"),
                "delivery": (
                    "lead_time_days", "is_confirmation_required", "confirmation_control",
                    "purchasing_group",
                ),
                "status": ("is_deleted", "is_deleted_here"),
            },
            _DELETED,
            "procurement",
            is_whole=False,
            quiet=frozenset({"source_id"}),
        ),
        Entity(
            "contract",
            PurchaseContract,
            {
                "terms": (
                    "supplier", "kind", "currency", "lines", "title", "organisation",
                    "payment_terms", "incoterms", "incoterms_place", "target_value", "source_id",
                ),
                "validity": ("first_day", "last_day"),
                "status": ("status", "stated_as"),
                "releases": ("released_value",),
            },
            get_args(ContractStatus),
            "procurement",
            quiet=frozenset({"source_id", "stated_as"}),
        ),
        Entity(
            "source-list",
            SourceList,
            {"sources": ("sources", "source_id")},
            (),
            "procurement",
            quiet=frozenset({"source_id"}),
        ),
        Entity(
            "purchase-order",
            PurchaseOrder,
            {
                "order": (
                    "supplier", "currency", "lines", "organisation", "kind", "payment_terms",
                    "ordered_on", "total", "source_id",
                ),
                "status": ("status",),
            },
            get_args(OrderStatus),
            "procurement",
            quiet=frozenset({"source_id"}),
        ),
    )
}  # fmt: skip
"""By the kind of their documents, the part of a key before "/"."""


class Ownership(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row: who owns a group of fields of an entity in a state.

    group, state: "*" = any. owner: name of a source or system, as objects have it as their origin.
    also: others through which the owner speaks, such as a second interface of the same system.
    """

    entity: str
    owner: str
    group: str = ANY
    state: str = ANY
    also: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        entity = ENTITIES.get(self.entity)
        if entity is None:
            raise ValueError(_unknown("entity", self.entity, ENTITIES))
        if self.group != ANY and self.group not in entity.groups:
            raise ValueError(_unknown(f"field group of {self.entity}", self.group, entity.groups))
        if self.state != ANY and not entity.states:
            raise ValueError(f"{self.entity} has no states that ownership can hang on")
        if self.state != ANY and self.state not in entity.states:
            raise ValueError(_unknown(f"state of {self.entity}", self.state, entity.states))
        if not self.owner:
            raise ValueError(f"the owner of {self.entity} is empty: name a source or system")

    @property
    def place(self) -> tuple[str, str, str]:
        """What it is about."""
        return self.entity, self.group, self.state

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names under which the owner speaks."""
        return (self.owner, *self.also)

    def counts(self, group: str, state: str) -> bool:
        """Whether it is about that group in that state; a more special one may count all the
        same."""
        return self.group in (ANY, group) and self.state in (ANY, state)


Rows = Sequence[Ownership]


def refuse_ambiguous(rows: Rows) -> None:
    """Raises: ValueError where two rows say who owns a place, and neither is more special."""
    seen: dict[tuple[str, str, str], Ownership] = {}
    for row in rows:
        if (other := seen.setdefault(row.place, row)) is not row:
            raise ValueError(
                f"Two rows say who owns {_words(row)}: {other.owner} and {row.owner}; keep one"
            )
    for row in rows:
        for other in rows:
            both = (row.entity, row.group, other.state)
            if (
                row.entity == other.entity
                and (row.group != ANY and row.state == ANY)
                and (other.group == ANY and other.state != ANY)
                and row.speakers != other.speakers
                and both not in seen
            ):
                raise ValueError(
                    f"Of {row.group} of {row.entity} in state {other.state} one row says"
                    f" {row.owner} and one {other.owner}, and neither is more special; add one with"
                    f' group = "{row.group}" and state = "{other.state}"'
                )


def owner_of(rows: Rows, entity: str, group: str, state: str) -> Ownership | None:
    """The row that counts there; None where nobody is named."""
    found = (row for row in rows if row.entity == entity and row.counts(group, state))
    return max(found, key=lambda row: (row.group != ANY, row.state != ANY), default=None)


def is_owned(rows: Rows, entity: str) -> bool:
    """Whether any row is about the entity: without one nothing of all this is looked at."""
    return any(row.entity == entity for row in rows)


def speaks(rows: Rows, entity: str, state: str, *, said_by: str, origin: str) -> bool:
    """Whether what that system says of the object is sent on.

    Where every group has an owner in that state, each of them speaks for it; else its origin does,
    as what it says of the other groups would be a copy's word. origin: who stated it first.
    """
    if not said_by:
        return False
    owners = [owner_of(rows, entity, group, state) for group in ENTITIES[entity].groups]
    if all(owners):
        return any(said_by in row.speakers for row in owners if row)
    return said_by == origin


class Disputed(msgspec.Struct, frozen=True):
    """A value that somebody states who does not own it.

    path: of the value. owner: whose it is. known, stated: JSON of what is known and of what is
    stated; "" = nothing.
    """

    path: Path
    owner: str
    known: str
    stated: str

    @property
    def name(self) -> str:
        """As people read it: `plants[1100].status`."""
        return named(self.path)


class Judgement(msgspec.Struct, frozen=True):
    """What a statement comes to.

    document: the object as it is kept; None where it is not known and cannot be without what is
        disputed. disputed: in the order of their paths. is_outdated: something that nobody owns was
        said later by somebody else, and stays.
    """

    document: Any
    disputed: tuple[Disputed, ...] = ()
    is_outdated: bool = False


def judge(
    rows: Rows,
    entity: Entity,
    state: str,
    source: str,
    before: D | None,
    said: D,
    *,
    is_latest: bool = True,
) -> Judgement:
    """What applies of a statement and what is disputed.

    before: the object as it is known. said: as the source has it, by this statement: of a patch
    what it does not name is as it is known. is_latest: nobody has said something later; what nobody
    owns stays as it is otherwise.
    """
    known, stated = values(entity, before) if before else {}, values(entity, said)
    applied: dict[Path, Any] = {}
    refused: set[Path] = set()
    disputed: list[Disputed] = []
    is_outdated = False
    for path in sorted(known.keys() | stated.keys()):
        old, new = _at(known, entity, path), _at(stated, entity, path)
        if old == new:
            continue
        row = owner_of(rows, entity.name, entity.group_of(path[0]), state)
        if source in row.speakers if row else is_latest or before is None:
            applied[path] = new
            continue
        refused.add(path)
        is_outdated |= row is None
        is_silent = entity.is_whole and new == _default(entity, path)
        if row and not is_silent and path[0] not in entity.quiet:
            disputed.append(Disputed(path, row.owner, _json(old), _json(new)))
    if before is not None:
        return Judgement(with_values(entity, before, applied), tuple(disputed), is_outdated)
    if any(_default(entity, path) is NODEFAULT for path in refused):
        return Judgement(None, tuple(disputed))
    return Judgement(with_values(entity, _blank(entity, said), applied), tuple(disputed))


def _blank(entity: Entity, said: D) -> D:
    """The object with nothing but what names it and what it cannot be without."""
    return msgspec.structs.replace(
        said,
        **{
            field: {} if value is NODEFAULT else value
            for fields in entity.groups.values()
            for field in fields
            if not _field(entity.document, field).required
            for value in [_field(entity.document, field).default]
        },
    )


# Values of a document


def values(entity: Entity, document: msgspec.Struct) -> dict[Path, Any]:
    """Its values by their paths, without what names the object or its statement."""
    return dict(_values(entity, document))


def _values(entity: Entity, document: msgspec.Struct) -> Iterator[tuple[Path, Any]]:
    for field in (field for fields in entity.groups.values() for field in fields):
        value = getattr(document, field)
        if field in entity.views:
            of, by = entity.views[field]
            for view in value:
                for name in (name for name in of.__struct_fields__ if name != by):
                    yield (field, getattr(view, by), name), getattr(view, name)
        elif field in entity.words:
            by = entity.words[field]
            pairs = ((getattr(one, by), one) for one in value) if by else value.items()
            for word, one in pairs:
                yield (field, word), one
        else:
            yield (field,), value


def with_values(entity: Entity, document: D, changes: Mapping[Path, Any]) -> D:
    """The document with these values; UNSET takes away what a word has."""
    replaced: dict[str, Any] = {}
    for path, value in changes.items():
        field = path[0]
        now = replaced.get(field, getattr(document, field))
        if field in entity.views:
            replaced[field] = _with_view(now, *entity.views[field], path, value)
        elif field in entity.words:
            replaced[field] = _with_word(now, entity.words[field], path[1], value)
        else:
            replaced[field] = value
    return msgspec.structs.replace(document, **replaced) if replaced else document


def _with_view(
    now: Iterable[Any], of: type[msgspec.Struct], by: str, path: Path, value: Any
) -> tuple[Any, ...]:
    views = {getattr(view, by): view for view in now}
    view = views[path[1]] if path[1] in views else of(**{by: path[1]})
    views[path[1]] = msgspec.structs.replace(view, **{path[2]: value})
    return tuple(views[name] for name in sorted(views))


def _with_word(now: Any, by: str, word: str, value: Any) -> Any:
    found = {getattr(one, by): one for one in now} if by else dict(now)
    found.pop(word, None)
    if value is not UNSET:
        found[word] = value
    ordered = {word: found[word] for word in sorted(found)}
    return tuple(ordered.values()) if by else ordered


def read(entity: Entity, path: Path, text: str) -> Any:
    """The value that a text of `Disputed` holds; what is there by default for "".

    Raises: msgspec.ValidationError for another type.
    """
    return msgspec.json.decode(text, type=_type(entity, path)) if text else _default(entity, path)


def _type(entity: Entity, path: Path) -> Any:
    if path[0] in entity.views:
        return _field(entity.views[path[0]][0], path[2]).type
    told = _field(entity.document, path[0]).type
    if path[0] not in entity.words:
        return told
    return get_args(told)[0] if entity.words[path[0]] else get_args(told)[1]


def _default(entity: Entity, path: Path) -> Any:
    """What a value is that nobody has stated; UNSET of a word, NODEFAULT where there is none."""
    if path[0] in entity.words:
        return UNSET
    if path[0] in entity.views:
        return _field(entity.views[path[0]][0], path[2]).default
    return _field(entity.document, path[0]).default


def _at(found: Mapping[Path, Any], entity: Entity, path: Path) -> Any:
    return found[path] if path in found else _default(entity, path)


@cache
def _field(of: type[msgspec.Struct], name: str) -> msgspec.structs.FieldInfo:
    return next(field for field in msgspec.structs.fields(of) if field.name == name)


def _json(value: Any) -> str:
    return (
        ""
        if value is NODEFAULT or isinstance(value, UnsetType)
        else _encoder.encode(value).decode()
    )


def named(path: Path) -> str:
    """A path as people read it."""
    field, *rest = path
    return field + "".join((f"[{rest[0]}]", *(f".{name}" for name in rest[1:])) if rest else ())


def _unknown(what: str, word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return f"{word!r} is no {what}; {hint}"


def _words(row: Ownership) -> str:
    group = "all" if row.group == ANY else row.group
    state = "" if row.state == ANY else f" in state {row.state}"
    return f"{group} of {row.entity}{state}"


def state_of(document: object, item: Item | None = None) -> str:
    """The life-cycle state that rows may name; "" where there is none. item: of a BOM."""
    match document:
        case Bom():
            return item.lifecycle if item else ""
        case Item():
            return document.lifecycle
        case ItemMaster():
            return document.lifecycle or ""
        case PurchaseContract() | PurchaseOrder():
            return document.status
        case Supplier():
            return document.qualification.status
        case SupplierMaster() if not document.is_deleted:
            blocked = document.is_posting_blocked or document.is_purchasing_blocked
            return "blocked" if blocked else "active"
        case SupplierMaster():
            return "deleted"
        case InfoRecordTerms():
            return "deleted" if document.is_deleted or document.is_deleted_here else "active"
        case PlantBomState():
            return "deleted" if document.is_deleted else "active"
        case _:
            return ""


def is_path(entity: Entity, path: Path) -> bool:
    """Whether the entity can have a value there."""
    if not path or not entity.group_of(path[0]):
        return False
    if path[0] in entity.views:
        of, by = entity.views[path[0]]
        return len(path) == 3 and path[2] in of.__struct_fields__ and path[2] != by
    return len(path) == (2 if path[0] in entity.words else 1)
