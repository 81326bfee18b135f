"""Item masters as A_Product, with their English text and alternative units."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import partial

import msgspec
from msgspec import UNSET, UnsetType

from canonical.connector import Absent, Observed
from canonical.errors import Conflict, InvalidMessage, Misconfigured, Rejected
from canonical.exchange import Request, Response
from canonical.item import Item, Lifecycle
from canonical.own_words import OwnWords
from canonical.quantity import (
    ItemUnit,
    Quantity,
    UnitMismatch,
    convert_exact,
    parse_decimal,
    rounded,
)
from canonical.units import from_rec20
from handlers.systems.s4 import odata
from handlers.systems.s4.compare import (
    Difference,
    differing,
    in_words,
    present,
    same_id,
    same_number,
    same_text,
    same_unit,
    text_of,
)
from handlers.systems.s4.native import Children, Product, ProductDescription, ProductUnit
from handlers.systems.s4.texts import CHARS, is_cut, short_text
from handlers.systems.s4.words import (
    CROSS_PLANT_STATUS,
    GROUP_SCHEME,
    HIERARCHY_SCHEME,
    INDUSTRY_SECTOR,
    LANGUAGE,
    PRODUCT_GROUP,
    PRODUCT_TYPE,
    UNITS,
)

SERVICE = "API_PRODUCT_SRV"

_REVISION_CHARS = 2
_GROUP_CHARS, _HIERARCHY_CHARS = 9, 18
_WEIGHT_PLACES = 3
_MAX_RATIO_PART = 99_999


def observe(item: Item) -> Request:
    """The read of the material by its number, with texts and units."""
    return odata.get(_address(item.number), expand="to_Description,to_ProductUnitsOfMeasure")


def read(item: Item, own: OwnWords, response: Response) -> Observed:
    """What the target holds for the item."""
    product = odata.read_one(response, Product)
    if product is None:
        return Absent()
    if not same_id(text_of(product.Product), item.number):
        raise Misconfigured(
            "answer-about-another",
            f"Asked for material {item.number}, answered about another material",
            where="Product",
        )
    return present(product, product.Product, differences(item, own, product))


def create(item: Item, own: OwnWords) -> Request:
    """The create with texts and units in one call.

    Raises: Rejected for classes of the ERP's own schemes that it cannot hold.
    """
    product = wanted(item, own)
    units = wanted_units(item, own)
    return odata.post(
        odata.address(SERVICE, "A_Product"),
        msgspec.structs.replace(
            product,
            ProductType=_product_type(item),
            IndustrySector=INDUSTRY_SECTOR,
            ProductGroup=_class_of(item, GROUP_SCHEME, _GROUP_CHARS) or PRODUCT_GROUP,
            ProductHierarchy=_class_of(item, HIERARCHY_SCHEME, _HIERARCHY_CHARS) or UNSET,
            to_Description=Children(
                (ProductDescription(Language=LANGUAGE, ProductDescription=_short_text(item)),)
            ),
            to_ProductUnitsOfMeasure=Children(units) if units else UNSET,
        ),
    )


def _class_of(item: Item, scheme: str, chars: int) -> str:
    """The item's class in the scheme; "" where it has none."""
    found = sorted({one.code for one in item.classes if one.scheme == scheme})
    if len(found) > 1 or any(len(code) > chars for code in found):
        raise Rejected(
            "class-unwritable",
            f"{item.number} has the classes {', '.join(found)[:80]} in {scheme}; the material holds"
            f" one of {chars} characters",
            where=f"item/{item.number}.classes",
            remedy="State the one class that the material is to have",
        )
    return found[0] if found else ""


def check_written(item: Item, response: Response) -> str:
    """The material's number as the target confirms it; "" where it confirms without a body."""
    written = odata.read_written(response)
    if written is None:
        return ""
    if not same_id(text_of(written.Product), item.number):
        raise odata.about_another("material", text_of(written.Product), "Product")
    return text_of(written.Product)


def differences(item: Item, own: OwnWords, product: Product) -> tuple[Difference, ...]:
    """What has to change, in the order of writing.

    Product type, group and sector are chosen when the material is created and are the ERP's
    afterwards, as are units and languages that engineering does not know.
    """
    if product.IsMarkedForDeletion is True:
        return (_conflict(item, "IsMarkedForDeletion", "true", "false"),)
    want = wanted(item, own)
    if not same_unit(text_of(product.BaseUnit), text_of(want.BaseUnit), own):
        # Stock, orders and BOMs are kept in it; no ERP changes it under them.
        return (_conflict(item, "BaseUnit", product.BaseUnit, want.BaseUnit),)
    found = [
        *_general(item, own, want, product),
        _description(item, product),
        *_units(item, own, product),
    ]
    return tuple(difference for difference in found if difference is not None)


def wanted(item: Item, own: OwnWords) -> Product:
    """The material as engineering defines it, without what only a create sends."""
    product = Product(
        Product=item.number,
        BaseUnit=_unit_name(item.base_unit, own, f"item/{item.number}.base_unit"),
        MaterialRevisionLevel=_revision_level(item),
        CrossPlantStatus=_status(item.lifecycle, own),
    )
    if item.weight is None:
        return product
    # Until logistics states what the packaging weighs, gross is net.
    weight = format(_weight(item.weight), "f")
    unit = _unit_name(item.weight.unit, own, f"item/{item.number}.weight")
    return msgspec.structs.replace(product, NetWeight=weight, GrossWeight=weight, WeightUnit=unit)


def wanted_units(item: Item, own: OwnWords) -> tuple[ProductUnit, ...]:
    """The alternative units; those without need are left out.

    Raises: Rejected for a ratio that the target cannot hold and cannot work out itself.
    """
    found = (_unit(item, own, alternate) for alternate in item.alternates)
    return tuple(unit for unit in found if unit is not None)


def remarks(item: Item) -> tuple[str, ...]:
    """What of the item the target cannot hold as it is."""
    found = []
    if is_cut(item.description):
        found.append(f"The description of {item.number} is cut to {CHARS} characters")
    if len(item.revision.label) > _REVISION_CHARS:
        found.append(
            f"Revision {item.revision.label} of {item.number} does not fit"
            f" MaterialRevisionLevel ({_REVISION_CHARS}) and is left out"
        )
    if item.weight is not None and _weight(item.weight) != item.weight.value:
        found.append(f"The weight of {item.number} is rounded to {_WEIGHT_PLACES} decimals")
    return tuple(found)


def _general(item: Item, own: OwnWords, want: Product, product: Product) -> list[Difference]:
    names = list(
        differing(
            want,
            product,
            {
                "MaterialRevisionLevel": same_text,
                "CrossPlantStatus": partial(_same_status, own=own),
                "NetWeight": same_number,
                "WeightUnit": partial(same_unit, own=own),
            },
        )
    )
    changed = {name: getattr(want, name) for name in names}
    if want.CrossPlantStatus is UNSET and _is_for_a_life_cycle(product.CrossPlantStatus, own):
        # A block that stands for a life cycle ends with it; other statuses are the ERP's.
        changed["CrossPlantStatus"] = ""
    if "WeightUnit" in names or _is_lighter_than_net(product, want):
        # One unit for both weights, and gross is never below net.
        changed |= {n: getattr(want, n) for n in ("NetWeight", "GrossWeight", "WeightUnit")}
    if not changed:
        return []
    body = msgspec.convert(changed, Product)
    what = tuple(in_words(name, getattr(product, name), value) for name, value in changed.items())
    return [Difference(what, odata.patch(_address(item.number), body, odata.etag_of(product)))]


def _is_lighter_than_net(product: Product, want: Product) -> bool:
    if want.NetWeight is UNSET:
        return False
    try:
        gross = parse_decimal(text_of(product.GrossWeight) or "0")
    except InvalidMessage:
        return True
    return gross < parse_decimal(text_of(want.NetWeight))


def _description(item: Item, product: Product) -> Difference | None:
    text = _short_text(item)
    known = odata.expanded(product.to_Description, "to_Description")
    found = next((d for d in known if text_of(d.Language) == LANGUAGE), None)
    what = (in_words("Description", found.ProductDescription if found else "", text),)
    if found is None:
        body = ProductDescription(Product=item.number, Language=LANGUAGE, ProductDescription=text)
        path = odata.address(SERVICE, "A_ProductDescription")
        return Difference(what, odata.post(path, body))
    if same_text(text_of(found.ProductDescription), text):
        return None
    path = odata.address(SERVICE, "A_ProductDescription", Product=item.number, Language=LANGUAGE)
    body = ProductDescription(ProductDescription=text)
    return Difference(what, odata.patch(path, body, odata.etag_of(found)))


def _units(item: Item, own: OwnWords, product: Product) -> list[Difference]:
    known = odata.expanded(product.to_ProductUnitsOfMeasure, "to_ProductUnitsOfMeasure")
    found = []
    for want in wanted_units(item, own):
        name = text_of(want.AlternativeUnit)
        ratio = f"{text_of(want.QuantityNumerator)}/{text_of(want.QuantityDenominator)}"
        actual = next((u for u in known if same_unit(text_of(u.AlternativeUnit), name, own)), None)
        if actual is None:
            path = odata.address(SERVICE, "A_ProductUnitsOfMeasure")
            body = msgspec.structs.replace(want, Product=item.number)
            found.append(Difference((in_words(f"Unit {name}", "", ratio),), odata.post(path, body)))
        elif not _same_ratio(actual, want):
            path = odata.address(
                SERVICE,
                "A_ProductUnitsOfMeasure",
                Product=item.number,
                AlternativeUnit=text_of(actual.AlternativeUnit),
            )
            body = msgspec.structs.replace(want, AlternativeUnit=UNSET)
            what = f"{text_of(actual.QuantityNumerator)}/{text_of(actual.QuantityDenominator)}"
            request = odata.patch(path, body, odata.etag_of(actual))
            found.append(Difference((in_words(f"Unit {name}", what, ratio),), request))
    return found


def _same_ratio(left: ProductUnit, right: ProductUnit) -> bool:
    return same_number(
        text_of(left.QuantityNumerator), text_of(right.QuantityNumerator)
    ) and same_number(text_of(left.QuantityDenominator), text_of(right.QuantityDenominator))


def _unit(item: Item, own: OwnWords, alternate: ItemUnit) -> ProductUnit | None:
    if alternate.unit == item.base_unit:
        return None
    ratio = alternate.ratio
    if max(ratio.numerator, ratio.denominator) <= _MAX_RATIO_PART:
        return ProductUnit(
            AlternativeUnit=_unit_name(alternate.unit, own, f"item/{item.number}"),
            QuantityNumerator=str(ratio.numerator),
            QuantityDenominator=str(ratio.denominator),
        )
    if _is_physical(alternate, item.base_unit):
        return None  # The ERP converts within one dimension by itself.
    raise Rejected(
        "ratio-not-representable",
        f"1 {alternate.unit} of {item.number} is {ratio.fraction} {item.base_unit},"
        f" which needs more than five digits",
        where=f"item/{item.number}",
        remedy="State the alternate unit with smaller whole numbers",
    )


def _unit_name(code: str, own: OwnWords, where: str) -> str:
    return from_rec20(UNITS, code, own.units, where=where)


def _status(lifecycle: Lifecycle, own: OwnWords) -> str | UnsetType:
    """The status that stands for the life cycle, where one does: which are shown so is the
    table's to say, by which status the ERP's own words."""
    by_table = CROSS_PLANT_STATUS.get(lifecycle)
    return own.phases.get(lifecycle, by_table) if by_table else UNSET


def _same_status(left: str, right: str, own: OwnWords) -> bool:
    """Several statuses may stand for one life cycle."""
    means = own.state(right)
    return same_text(left, right) or (means is not None and own.state(left) == means)


def _is_for_a_life_cycle(status: object, own: OwnWords) -> bool:
    stated = text_of(status)
    return stated in CROSS_PLANT_STATUS.values() or own.state(stated) in CROSS_PLANT_STATUS


def _is_physical(alternate: ItemUnit, base_unit: str) -> bool:
    try:
        factor = convert_exact(Quantity(Decimal(1), alternate.unit), base_unit)
    except UnitMismatch:
        return False
    return factor == alternate.ratio.fraction


def _short_text(item: Item) -> str:
    """The number where there is no text: the ERP has no material without one."""
    return short_text(item.description) or short_text(item.number)


def _revision_level(item: Item) -> str:
    """The label if it fits; a part of it would name another revision."""
    label = item.revision.label
    return label if len(label) <= _REVISION_CHARS else ""


def _weight(weight: Quantity) -> Decimal:
    return rounded(Fraction(weight.value), _WEIGHT_PLACES, where="weight")


def _product_type(item: Item) -> str:
    found = PRODUCT_TYPE.get((item.kind, item.procurement))
    if found is None:
        raise Rejected(
            "item-not-a-material",
            f"{item.number} is a {item.kind} ({item.procurement}) and has no place in the ERP",
            where=f"item/{item.number}",
            remedy="Leave it out of the ERP's plan or have its kind mapped",
        )
    return found


def _conflict(item: Item, name: str, actual: object, want: object) -> Difference:
    shown = in_words(name, actual, want)
    return Difference(
        (shown,),
        conflict=Conflict(
            "material-differs",
            f"Material {item.number} cannot be changed so from here: {shown}",
            where=f"item/{item.number}",
            remedy="Settle it with the material's owner in the ERP, then release the step again",
        ),
    )


def _address(number: str) -> str:
    return odata.address(SERVICE, "A_Product", Product=number)
