"""A material's status in a plant, ProfileCode of A_ProductPlant: set for an obsolete part, and
taken back after it."""

from __future__ import annotations

from canonical.connector import Observed, Present
from canonical.errors import Conflict, Misconfigured
from canonical.exchange import Request, Response
from canonical.operations import PutPlantStatus
from handlers.systems.s4 import odata
from handlers.systems.s4.compare import Difference, in_words, present, text_of
from handlers.systems.s4.native import ProductPlant
from handlers.systems.s4.product_plant import address, is_about

_CODE_CHARS = 2


def observe(status: PutPlantStatus) -> Request:
    """The read of the plant view by material and plant."""
    return odata.get(address(status.item, status.plant))


def read(status: PutPlantStatus, response: Response) -> Observed:
    """What the target holds for the item in the plant.

    Without a view nothing can be bought there: that is as wanted, and none is made.
    Raises: Misconfigured for a status that is no code of this ERP.
    """
    _code(status)
    actual = odata.read_one(response, ProductPlant)
    if actual is None:
        return Present(equal=True)
    if not is_about(status, actual):
        raise Misconfigured(
            "answer-about-another",
            f"Asked for {status.item} in {status.plant}, answered about another plant view",
            where="Product, Plant",
        )
    return present(actual, actual.Product, differences(status, actual))


def check_written(status: PutPlantStatus, response: Response) -> str:
    """The material's number as the target confirms it; "" where it confirms without a body."""
    written = odata.read_written(response)
    if written is None:
        return ""
    if not is_about(status, written):
        raise odata.about_another("plant view", text_of(written.Product), "Product, Plant")
    return text_of(written.Product)


def differences(status: PutPlantStatus, actual: ProductPlant) -> tuple[Difference, ...]:
    """What has to change.

    A status that is not ours was set by somebody for a reason: it is not written over, and where
    ours is to be taken back it stays.
    """
    code, held = _code(status), text_of(actual.ProfileCode).strip()
    stands = held.upper() == code
    if stands != status.is_lifted:
        return ()
    wanted = "" if status.is_lifted else code
    shown = in_words("ProfileCode", held, wanted)
    if held and not stands:
        return (Difference((shown,), conflict=_other(status, held)),)
    body = ProductPlant(ProfileCode=wanted)
    request = odata.patch(address(status.item, status.plant), body, odata.etag_of(actual))
    return (Difference((shown,), request),)


def _code(status: PutPlantStatus) -> str:
    """As the ERP writes it: the field has capital letters only."""
    code = status.status.upper()
    if not 0 < len(code) <= _CODE_CHARS:
        raise Misconfigured(
            "plant-status-invalid",
            f"{code[:20]!r} is no plant status: it has one or two characters",
            where="rules.obsolete",
            remedy="Correct plant_status for the plant and this system, then retry the change",
        )
    return code


def _other(status: PutPlantStatus, held: str) -> Conflict:
    return Conflict(
        "plant-status-differs",
        f"{status.item} has status {held} in plant {status.plant}, which somebody set there; it is"
        f" obsolete and would get {status.status}",
        where=f"item/{status.item}",
        remedy="Take the status away in the ERP and release the step again; or, where it stops"
        " buying too, skip the step",
    )
