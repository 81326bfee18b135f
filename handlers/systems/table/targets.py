"""What a table can become: events with their canonical types, and the fields of these by path.

The types of the fields decide how a cell is converted. Only a text does not tell what it is, an id,
prose, a unit or a currency: that is told by its name, in the sets below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import msgspec
from msgspec import inspect

from canonical.bom import bom_key, plant_bom_key_of
from canonical.change import change_master_key
from canonical.events import EVENTS
from canonical.item import item_key
from canonical.item_master import item_master_key
from canonical.order import confirmation_key, order_key
from canonical.purchase_contract import contract_key
from canonical.purchasing import info_record_key_of
from canonical.quality_hold import quality_hold_key
from canonical.source_list import source_list_key
from canonical.sourcing import coverage_key
from canonical.sourcing_event import sourcing_event_key
from canonical.supplier import supplier_key
from canonical.supplier_master import supplier_master_key

Kind = Literal[
    "id", "prose", "unit", "currency", "decimal text", "decimal", "whole", "flag", "word", "day",
    "instant",
]  # fmt: skip

UNITS = frozenset({"unit", "base_unit", "order_unit"})
CURRENCIES = frozenset({"currency"})
# A number that is kept as text.
DECIMAL_TEXTS = frozenset({"minimum_quantity"})
PROSE = frozenset(
    {
        "by", "category", "city", "confirmation_control", "description", "descriptions", "district",
        "family", "group", "hierarchy", "incoterms_place", "kind", "location", "media_type", "name",
        "name2", "name3", "name4", "note", "payment_block", "payment_terms", "phase", "po_box",
        "po_box_city", "po_box_postal_code", "postal_code", "purchasing_group", "quality_block",
        "reason", "reference_designators", "scheme", "source_id", "stated_as", "status", "street",
        "text", "title", "value",
    }
)  # fmt: skip
IDS = frozenset(
    {
        "account_group", "alternative", "business_unit", "change", "code", "company", "component",
        "component_revision", "contract", "contract_line", "country", "end", "gtin", "incoterms",
        "item", "label", "language", "line", "lots", "manufacturer", "merged", "number", "order",
        "organisation", "origin", "parent", "part", "plant", "plants", "position",
        "reconciliation_account", "reference", "region", "regions", "remit_to", "revision",
        "revisions", "serials", "start", "substitutes", "supplier", "supplier_item", "usage",
    }
)  # fmt: skip


class Leaf(msgspec.Struct, frozen=True):
    """A field that cells fill. is_list: several values of the kind. words: of a closed list.

    is_open: an end that is not there may be left out.
    """

    kind: Kind
    is_list: bool = False
    words: tuple[str, ...] = ()
    is_open: bool = False


class Branch(msgspec.Struct, frozen=True):
    """A Struct that fields fill. is_list: one for each row. required: names of its fields.

    open: fields that have to be stated and may be none, such as an end: None where nothing is said.
    """

    cls: type[msgspec.Struct]
    fields: Mapping[str, Leaf | Branch | Texts]
    required: frozenset[str]
    open: frozenset[str]
    is_list: bool = False


class Texts(msgspec.Struct, frozen=True):
    """Texts by a key, such as descriptions by language: the key is the end of the path."""


class Target(msgspec.Struct, frozen=True):
    """What an object of a table becomes.

    identity: fields that together tell objects apart. key: their values -> business key. root: its
    fields. event: of an object, by what it says. is_whole: it states all of its object.
    """

    identity: tuple[str, ...]
    key: Callable[..., str]
    root: Branch
    event: Callable[[Any], str]
    is_whole: bool = True


def _branch(cls: type[msgspec.Struct], *, is_list: bool = False) -> Branch:
    described = inspect.type_info(cls)
    assert isinstance(described, inspect.StructType)
    fields = {f.name: _field(f.name, f.type) for f in described.fields}
    required = frozenset(f.name for f in described.fields if f.required)
    nullable = frozenset(f.name for f in described.fields if _may_be_none(f.type))
    return Branch(
        cls=cls,
        fields={name: field for name, field in fields.items() if field is not None},
        required=required - nullable,
        open=required & nullable,
        is_list=is_list,
    )


def _may_be_none(of: inspect.Type) -> bool:
    return isinstance(of, inspect.UnionType) and any(
        isinstance(one, inspect.NoneType) for one in of.types
    )


def _field(name: str, of: inspect.Type) -> Leaf | Branch | Texts | None:
    """What fills a field of that type; None where cells cannot."""
    match of:
        case inspect.UnionType(types):
            said = [one for one in types if not isinstance(one, inspect.NoneType)]
            found = _field(name, said[0]) if len(said) == 1 else None
            is_day = isinstance(found, Leaf) and found.kind == "day"
            return Leaf("day", is_open=True) if is_day else found
        case inspect.StructType(cls):
            return _branch(cls)
        case inspect.VarTupleType(inspect.StructType(cls)):
            return _branch(cls, is_list=True)
        case inspect.VarTupleType(inspect.StrType()):
            return Leaf(_text_kind(name), is_list=True)
        case inspect.VarTupleType(inspect.LiteralType(values)):
            return Leaf("word", is_list=True, words=tuple(str(value) for value in values))
        case inspect.DictType(inspect.StrType()):
            return Texts()
        case inspect.LiteralType(values):
            return Leaf("word", words=tuple(str(value) for value in values))
        case inspect.StrType():
            return Leaf(_text_kind(name))
        case _ if type(of) in _KINDS:
            return Leaf(_KINDS[type(of)])
    return None


_KINDS: Mapping[type[inspect.Type], Kind] = {
    inspect.BoolType: "flag",
    inspect.IntType: "whole",
    inspect.DecimalType: "decimal",
    inspect.DateType: "day",
    inspect.DateTimeType: "instant",
}


def _text_kind(name: str) -> Kind:
    kinds: tuple[tuple[frozenset[str], Kind], ...] = (
        (UNITS, "unit"),
        (CURRENCIES, "currency"),
        (DECIMAL_TEXTS, "decimal text"),
        (PROSE, "prose"),
    )
    return next((kind for names, kind in kinds if name in names), "id")


def _target(
    event: str,
    identity: str | tuple[str, ...],
    key: Callable[..., str],
    *,
    says: Callable[[Any], str] | None = None,
    is_whole: bool = True,
) -> Target:
    names = (identity,) if isinstance(identity, str) else identity
    return Target(names, key, _branch(EVENTS[event].data), says or (lambda _: event), is_whole)


# What `event` of a table may say. A confirmation is accepted, changed, backordered or rejected by
# what its lines say, so the table says neither.
TARGETS: Mapping[str, Target] = {
    "item.released": _target("item.released", "number", item_key),
    "bom.released": _target("bom.released", "parent", bom_key),
    "bom.changed": _target(
        "bom.changed", ("plant", "usage", "alternative", "parent"), plant_bom_key_of
    ),
    "supplier.changed": _target("supplier.changed", "number", supplier_key),
    "sourcing.changed": _target("sourcing.changed", "item", coverage_key),
    "contract.changed": _target("contract.changed", "number", contract_key),
    "source-list.changed": _target("source-list.changed", ("plant", "item"), source_list_key),
    "change-master.changed": _target("change-master.changed", "number", change_master_key),
    "item.changed": _target("item.changed", "number", item_master_key, is_whole=False),
    "supplier-master.changed": _target(
        "supplier-master.changed", "number", supplier_master_key, is_whole=False
    ),
    "purchase-order.created": _target("purchase-order.created", "number", order_key),
    "purchase-order.changed": _target("purchase-order.changed", "number", order_key),
    "order-confirmation": _target(
        "order-confirmation.accepted",
        "order",
        confirmation_key,
        says=lambda said: f"order-confirmation.{said.status}",
    ),
    "supplier.merged": _target("supplier.merged", "number", supplier_key),
    "sourcing-event.awarded": _target("sourcing-event.awarded", "number", sourcing_event_key),
    "info-record.changed": _target(
        "info-record.changed",
        ("supplier", "organisation", "plant", "category", "item"),
        info_record_key_of,
        is_whole=False,
    ),
    "quality-hold": _target(
        "quality-hold.placed",
        "number",
        quality_hold_key,
        says=lambda said: f"quality-hold.{said.status}",
    ),
}


def paths(branch: Branch, above: str = "") -> Iterator[str]:
    """All paths below it that a table may fill."""
    for name, field in branch.fields.items():
        path = f"{above}{name}"
        if isinstance(field, Branch):
            yield from paths(field, f"{path}.")
        else:
            yield f"{path}.<key>" if isinstance(field, Texts) else path


def leaf_at(root: Branch, path: str) -> Leaf | None:
    """The field of that path; None where there is none that cells fill."""
    field: Leaf | Branch | Texts | None = root
    for name in path.split("."):
        if isinstance(field, Texts):
            field = Leaf("prose") if name else None
        else:
            field = field.fields.get(name) if isinstance(field, Branch) else None
    return field if isinstance(field, Leaf) else None
