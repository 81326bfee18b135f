"""Items as products: a template with one product below it, whose code is the item's number.

Tryton has no revisions: that of the item is said in the product's description.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from canonical.codec import encode
from canonical.connector import Absent, Observed, Present
from canonical.errors import Conflict, Rejected
from canonical.item import Item, item_key
from canonical.own_words import OwnWords
from handlers.systems.tryton import rpc, units
from handlers.systems.tryton.native import HeldItem, Product, Template
from handlers.systems.tryton.rpc import Call, Difference, Look
from handlers.systems.tryton.words import GONE, IN_USE, PRODUCT, PRODUCT_TYPE, TEMPLATE

_FIELDS = (
    *("code", "active", "description", "_timestamp"),
    *("template.name", "template.type", "template.active", "template._timestamp"),
    *("template.purchasable", "template.producible"),
    *("template.default_uom.symbol", "template.purchase_uom.symbol"),
)


def look(item: Item, own: OwnWords) -> Look:
    """The product by its code; where it has to be made, its unit too."""
    return Look(
        rpc.search(PRODUCT, (("code", "=", item.number),), _FIELDS),
        partial(_found, item, own),
    )


def _found(item: Item, own: OwnWords, found: msgspec.Raw) -> Observed | Look:
    product = _meant(item, rpc.decoded(found, tuple[Product, ...]))
    if product is not None and product.template.purchase_uom is not None:
        return _observed(item, own, HeldItem(product))
    return units.look((_unit(item, own),), lambda ids: _observed(item, own, HeldItem(product, ids)))


def _meant(item: Item, found: tuple[Product, ...]) -> Product | None:
    """The product with the code: of active ones there is one at most."""
    named = tuple(one for one in found if one.code == item.number)
    active = tuple(one for one in named if one.active)
    return rpc.only(active or named, item_key(item.number))


def _observed(item: Item, own: OwnWords, held: HeldItem) -> Observed:
    if held.product is None:
        return Absent(encode(held))
    missing = differences(item, own, held)
    return Present(
        equal=not missing,
        reference=str(held.product.id),
        differences=tuple(line for one in missing for line in one.what),
        native=encode(held),
    )


def create(item: Item, own: OwnWords, held: HeldItem) -> Call:
    """Template and product in one call.

    Raises: Rejected for a document.
    """
    symbol = _unit(item, own)
    template = wanted_template(item) | {"code": item.number}
    template |= {
        "type": _type(item),
        "default_uom": rpc.ref(held.units, symbol),
        "products": [["create", [wanted_product(item)]]],
    }
    if template["purchasable"]:
        template["purchase_uom"] = rpc.ref(held.units, symbol)
    return rpc.create(TEMPLATE, template)


def differences(item: Item, own: OwnWords, held: HeldItem) -> tuple[Difference, ...]:
    """What has to change, as one write. The unit of purchase and all else is the buyers'."""
    product = held.product
    assert product is not None
    template = product.template
    if found := _conflict(item, own, template):
        return (found,)
    of_template = _changed(template, wanted_template(item))
    if of_template.get("purchasable") and template.purchase_uom is None:
        of_template["purchase_uom"] = rpc.ref(held.units, _unit(item, own))
    of_product = _changed(product, wanted_product(item))
    if not (of_template or of_product):
        return ()
    values = dict(of_template)
    if of_product:
        values["products"] = [["write", [product.id], of_product]]
    what = (
        *_shown("template", template, wanted_template(item)),
        *_shown("product", product, wanted_product(item)),
    )
    seen = {
        rpc.stamp(TEMPLATE, template.id): template.timestamp,
        rpc.stamp(PRODUCT, product.id): product.timestamp,
    }
    return (Difference(what, rpc.write(TEMPLATE, template.id, values, seen=seen)),)


def wanted_template(item: Item) -> dict[str, Any]:
    """What the item says of the template."""
    is_used = item.lifecycle in IN_USE
    return {
        "name": item.description.strip() or item.number,
        "active": item.lifecycle not in GONE,
        "purchasable": is_used and item.procurement == "buy",
        "producible": is_used and item.procurement in ("make", "phantom"),
    }


def wanted_product(item: Item) -> dict[str, Any]:
    """What the item says of the product."""
    label = item.revision.label
    return {
        "description": f"Revision {label}" if label else "",
        "active": item.lifecycle not in GONE,
    }


def _changed(held: Template | Product, wanted: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wanted.items() if _value(held, name) != value}


def _shown(kind: str, held: Template | Product, wanted: dict[str, Any]) -> tuple[str, ...]:
    return rpc.differing(
        (f"{kind}.{name}", _value(held, name), value) for name, value in wanted.items()
    )


def _value(held: Template | Product, name: str) -> object:
    """A text that was never said is none."""
    value = getattr(held, name)
    return "" if value is None else value


def _type(item: Item) -> str:
    found = PRODUCT_TYPE.get(item.kind)
    if found is None:
        raise Rejected(
            "kind-unsupported",
            f"{item.number} is a {item.kind}, and products of Tryton are goods or services",
            where=item_key(item.number),
            remedy="Take it out of what goes to this system",
        )
    return found


def _unit(item: Item, own: OwnWords) -> str:
    return units.symbol(item.base_unit, own, f"{item_key(item.number)}.base_unit")


def _conflict(item: Item, own: OwnWords, template: Template) -> Difference | None:
    """Stock, orders and BOMs are kept in the unit, and are of the type."""
    held = template.default_uom.symbol
    unit = held if units.is_same(held, item.base_unit, own) else _unit(item, own)
    shown = rpc.differing((("default_uom", held, unit), ("type", template.type, _type(item))))
    if not shown:
        return None
    return Difference(
        shown,
        conflict=Conflict(
            "item-differs",
            f"{item.number} is another kind of product in Tryton: {'; '.join(shown)}",
            where=item_key(item.number),
            remedy="Settle with its owner in Tryton which is right, then release the step again",
        ),
    )


def remarks(item: Item) -> tuple[str, ...]:
    """What of the item Tryton has no place for, each kind once."""
    said = {
        "Alternative units": item.alternates,
        "The weight": item.weight,
        "Compliance marks": item.compliance,
        "Approved manufacturers": item.manufacturers,
        "Documents": item.documents,
        "Classes": item.classes,
    }
    return tuple(f"{words} of {item.number}: not sent" for words, stated in said.items() if stated)
