"""What a change is about, as records of materials and BOMs in its A_ChangeMaster."""

from __future__ import annotations

from collections.abc import Iterator

from canonical.change import ChangedBom, ChangedObjects, change_key
from canonical.connector import Observed
from canonical.errors import Misconfigured, Rejected
from canonical.exchange import Request, Response
from handlers.systems.s4 import odata
from handlers.systems.s4.change_master import address, erp_number
from handlers.systems.s4.compare import Difference, present, same_id, text_of, unpadded
from handlers.systems.s4.native import ChangedMaterial, ChangedMaterialBom, ChangeRecords, Entity

_MATERIALS = "to_ChangeMstrObMgReMaterial"
_BOMS = "to_ChangeMstrObMgReMatlBOM"


def observe(objects: ChangedObjects) -> Request:
    """The read of the change by its number, with the materials and BOMs that it lists."""
    below: tuple[tuple[str, type[Entity]], ...] = (
        (_MATERIALS, ChangedMaterial),
        (_BOMS, ChangedMaterialBom),
    )
    return odata.get(
        address(objects.number),
        expand=",".join(name for name, _ in below),
        select=",".join(
            (
                "ChangeNumber",
                *(f"{name}/{field}" for name, kind in below for field in odata.fields(kind)),
            )
        ),
    )


def read(objects: ChangedObjects, response: Response) -> Observed:
    """What of the objects the target lists.

    Raises: Rejected where the number is gone, which stood there before the objects were written.
    """
    actual = odata.read_one(response, ChangeRecords)
    if actual is None:
        raise Rejected(
            "change-master-missing",
            f"Change {objects.number} was there and is no more",
            where=change_key(objects.number),
            remedy="Make it anew in the ERP if it is still wanted, then release the step again",
        )
    if not same_id(text_of(actual.ChangeNumber), erp_number(objects.number)):
        raise Misconfigured(
            "answer-about-another",
            f"Asked for change {objects.number}, answered about another change",
            where="ChangeNumber",
        )
    return present(actual, actual.ChangeNumber, differences(objects, actual))


def differences(objects: ChangedObjects, actual: ChangeRecords) -> tuple[Difference, ...]:
    """The records that are missing, materials first.

    What else is listed stays: the ERP lists what its own people changed under the number.
    """
    return (*_missing_materials(objects, actual), *_missing_boms(objects, actual))


def _missing_materials(objects: ChangedObjects, actual: ChangeRecords) -> Iterator[Difference]:
    rows = odata.expanded(actual.to_ChangeMstrObMgReMaterial, _MATERIALS)
    listed = {unpadded(text_of(row.Material)) for row in rows}
    for item in objects.items:
        if unpadded(item) not in listed:
            body = ChangedMaterial(Material=item)
            request = odata.post(f"{address(objects.number)}/{_MATERIALS}", body)
            yield Difference((f"Material {item}: not listed",), request)


def _missing_boms(objects: ChangedObjects, actual: ChangeRecords) -> Iterator[Difference]:
    rows = odata.expanded(actual.to_ChangeMstrObMgReMatlBOM, _BOMS)
    listed = {_key_of(row) for row in rows}
    for bom in objects.boms:
        if (unpadded(bom.item), bom.plant, bom.usage) not in listed:
            request = odata.post(f"{address(objects.number)}/{_BOMS}", _to_record(bom))
            shown = f"BOM of {bom.item} in plant {bom.plant}, usage {bom.usage}: not listed"
            yield Difference((shown,), request)


def _key_of(row: ChangedMaterialBom) -> tuple[str, str, str]:
    return (
        unpadded(text_of(row.Material)),
        text_of(row.Plant),
        text_of(row.BillOfMaterialVariantUsage),
    )


def _to_record(bom: ChangedBom) -> ChangedMaterialBom:
    return ChangedMaterialBom(
        Material=bom.item, Plant=bom.plant, BillOfMaterialVariantUsage=bom.usage
    )
