"""A plant's view of a material as A_ProductPlant."""

from __future__ import annotations

import msgspec

from canonical.connector import Absent, Observed
from canonical.errors import Conflict, Misconfigured
from canonical.exchange import Request, Response
from canonical.operations import ExtendToPlant, PutPlantStatus
from canonical.own_words import OwnWords
from canonical.units import from_rec20
from handlers.systems.s4 import odata
from handlers.systems.s4.compare import (
    Difference,
    in_words,
    present,
    same_id,
    same_unit,
    text_of,
)
from handlers.systems.s4.native import ProductPlant, Written
from handlers.systems.s4.product import SERVICE
from handlers.systems.s4.words import (
    BOTH_PROCUREMENT_TYPES,
    MRP_TYPE,
    PROCUREMENT_TYPE,
    UNITS,
)


def observe(view: ExtendToPlant) -> Request:
    """The read of the plant view by material and plant."""
    return odata.get(address(view.item, view.plant))


def read(view: ExtendToPlant, own: OwnWords, response: Response) -> Observed:
    """What the target holds for the item in the plant."""
    actual = odata.read_one(response, ProductPlant)
    if actual is None:
        return Absent()
    if not is_about(view, actual):
        raise Misconfigured(
            "answer-about-another",
            f"Asked for {view.item} in {view.plant}, answered about another plant view",
            where="Product, Plant",
        )
    return present(actual, actual.Product, differences(view, own, actual))


def create(view: ExtendToPlant, own: OwnWords) -> Request:
    """The create of the view; planners refine it afterwards."""
    return odata.post(odata.address(SERVICE, "A_ProductPlant"), wanted(view, own))


def check_written(view: ExtendToPlant, response: Response) -> str:
    """The material's number as the target confirms it; "" where it confirms without a body."""
    written = odata.read_written(response)
    if written is None:
        return ""
    if not is_about(view, written):
        raise odata.about_another("plant view", text_of(written.Product), "Product, Plant")
    return text_of(written.Product)


def differences(view: ExtendToPlant, own: OwnWords, actual: ProductPlant) -> tuple[Difference, ...]:
    """What has to change.

    Plant data are the ERP's: what is filled stays. Only whether the plant makes or buys the item
    follows engineering, and X, both, agrees with either.
    """
    want = wanted(view, own)
    if actual.IsMarkedForDeletion is True:
        return (_conflict(view, in_words("IsMarkedForDeletion", "true", "false")),)
    base = text_of(actual.BaseUnit)
    if base and not same_unit(base, text_of(want.BaseUnit), own):
        return (_conflict(view, in_words("BaseUnit", base, want.BaseUnit)),)
    changed = {
        name: text_of(getattr(want, name))
        for name in ("PurchasingGroup", "MRPType")
        if not text_of(getattr(actual, name)) and text_of(getattr(want, name))
    }
    procurement = text_of(want.ProcurementType)
    if procurement and actual.ProcurementType not in (procurement, BOTH_PROCUREMENT_TYPES):
        changed["ProcurementType"] = procurement
    if not changed:
        return ()
    body = msgspec.convert(changed, ProductPlant)
    what = tuple(in_words(name, getattr(actual, name), value) for name, value in changed.items())
    return (
        Difference(what, odata.patch(address(view.item, view.plant), body, odata.etag_of(actual))),
    )


def wanted(view: ExtendToPlant, own: OwnWords) -> ProductPlant:
    """The view as it is created."""
    where = f"item/{view.item}.base_unit"
    return ProductPlant(
        Product=view.item,
        Plant=view.plant,
        PurchasingGroup=view.purchasing_group,
        MRPType=MRP_TYPE,
        ProcurementType=PROCUREMENT_TYPE[view.procurement],
        BaseUnit=from_rec20(UNITS, view.base_unit, own.units, where=where),
    )


def remarks(view: ExtendToPlant) -> tuple[str, ...]:
    """What of the view this service cannot hold."""
    if view.procurement != "phantom":
        return ()
    return (f"{view.item} is a phantom: set special procurement 50 in plant {view.plant}",)


def is_about(view: ExtendToPlant | PutPlantStatus, held: ProductPlant | Written) -> bool:
    """Whether the target speaks of this plant's view of this material."""
    return same_id(text_of(held.Product), view.item) and text_of(held.Plant) == view.plant


def _conflict(view: ExtendToPlant, shown: str) -> Difference:
    return Difference(
        (shown,),
        conflict=Conflict(
            "plant-view-differs",
            f"{view.item} in plant {view.plant} cannot be changed so from here: {shown}",
            where=f"item/{view.item}",
            remedy="Settle it with the plant's data owner, then release the step again",
        ),
    )


def address(item: str, plant: str) -> str:
    """Where a plant's view of a material is."""
    return odata.address(SERVICE, "A_ProductPlant", Product=item, Plant=plant)
