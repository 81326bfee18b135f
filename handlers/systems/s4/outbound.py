"""The driver for S/4HANA: which object an operation is about, and the cycle's four functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import msgspec
from msgspec import UNSET

from canonical.bom import PlantBom
from canonical.codec import decode_json
from canonical.connector import Absent, Confirmed, Driver, Former, More, Observed, Write
from canonical.effects import Step
from canonical.errors import Failure, Misconfigured
from canonical.exchange import Request, Response
from canonical.operations import (
    ExtendToPlant,
    Operation,
    PutBom,
    PutChangedObjects,
    PutChangeMaster,
    PutContract,
    PutInfoRecord,
    PutItem,
    PutOrder,
    PutPlantStatus,
    PutSourceList,
    PutSupplier,
    ReadObject,
    verb,
)
from canonical.own_words import NO_WORDS, OwnWords
from canonical.purchasing import InfoRecord
from handlers.systems.s4 import (
    batch,
    bill_of_material,
    bill_of_material_lines,
    business_partner,
    change_master,
    changed_objects,
    contract_wanted,
    info_record,
    odata,
    order_wanted,
    parts,
    placed_contract,
    placed_order,
    placed_source_list,
    plant_status,
    product,
    product_plant,
    read_back,
    source_list_wanted,
)
from handlers.systems.s4.compare import Difference
from handlers.systems.s4.native import (
    AgreedContract,
    BomHeader,
    BusinessPartner,
    ChangeMaster,
    ChangeRecords,
    InfoRecordGeneral,
    ListedSources,
    PlacedOrder,
    Product,
    ProductPlant,
)


@dataclass(frozen=True, slots=True)
class _Target:
    """The functions of one object's module with the object wanted already given.

    create: None where only what is there is written to. differences: takes the object as `read`
    kept it. former: what puts back the object as `read` kept it, or why nothing does; None where
    nothing is undone. remarks: what the target cannot hold. sets_at: service that carries out
    several differences as one; "" where each is a call. only_in_sets: it takes a difference in no
    other way, and each is a set of its own. in_steps: more may be missing after a write that was
    the last one.
    """

    observe: Callable[[], Request]
    read: Callable[[Response], Observed | More]
    create: Callable[[], Request] | None
    differences: Callable[[bytes], tuple[Difference, ...]]
    check_written: Callable[[Response], str]
    former: Callable[[bytes], Operation | str] | None = None
    remarks: tuple[str, ...] = ()
    sets_at: str = ""
    only_in_sets: bool = False
    in_steps: bool = False


def observe(step: Step) -> Request:
    """The read of the step's object by its natural key, or by the one that an event told."""
    if isinstance(step.operation, ReadObject):
        return read_back.observe(step.operation)
    return _target(step.operation, NO_WORDS).observe()


def read(step: Step, response: Response, own: OwnWords = NO_WORDS) -> Observed | More:
    """What the target holds, compared field by field with what the step wants, or the answer to
    a question; where it is not known yet, the next call: for another part of the answer, for what
    is not found at once, or for a contract that a source list names."""
    if isinstance(step.operation, ReadObject):
        return parts.read(observe(step), response, partial(read_back.read, step.operation))
    return parts.read(observe(step), response, _target(step.operation, own).read)


def write(step: Step, observed: Observed, key: str, own: OwnWords = NO_WORDS) -> Write | None:
    """The next call, one of possibly several: the whole object where it is absent, else the first
    difference, or as many as go into one change set. None for a question, which a read has
    answered, and for what is not made from here.

    S/4HANA has no idempotency key; ours goes along for its log.
    Raises: Conflict for a difference that a person has to settle, before anything is written;
        Rejected and InvalidMessage for what the target has no place for.
    """
    return _next_write(step, observed, key, own, in_sets=True)


def write_singly(
    step: Step, observed: Observed, key: str, own: OwnWords = NO_WORDS
) -> Write | None:
    """As `write`, for a system whose services take no change sets of several: each difference is a
    call."""
    return _next_write(step, observed, key, own, in_sets=False)


def confirm(step: Step, response: Response) -> Confirmed:
    """That the target applied the last write, with what it and the translation have to say.

    Of a change set each write has to be confirmed.
    """
    target = _target(step.operation, NO_WORDS)
    answered = _answered(target, response)
    references = [target.check_written(each) for each in answered]
    said = dict.fromkeys(notice for each in answered for notice in odata.notices(each))
    return Confirmed(
        next((reference for reference in references if reference), ""),
        warnings=(*target.remarks, *said),
        is_full=not said,
    )


def former(step: Step, observed: Observed, own: OwnWords = NO_WORDS) -> Former:
    """What puts back what was observed before the step wrote to it."""
    target = _target(step.operation, own)
    if target.former is None:
        return Former(why_not=f"{verb(step.operation)} is not undone from here")
    if isinstance(observed, Absent):
        return Former(why_not="it was made by this step, and is not deleted from here")
    try:
        found = target.former(observed.native)
    except Failure as failure:
        return Former(why_not=f"what was there cannot be written: {failure.what}")
    return Former(why_not=found) if isinstance(found, str) else Former(found)


def _answered(target: _Target, response: Response) -> tuple[Response, ...]:
    """One answer for each write that the call was made of."""
    if not target.sets_at:
        return (response,)
    answered = batch.read(response) if batch.is_answer(response) else (response,)
    if not target.only_in_sets:
        for each in answered:
            batch.check_taken(each)
    return answered


def _next_write(
    step: Step, observed: Observed, key: str, own: OwnWords, *, in_sets: bool
) -> Write | None:
    if isinstance(step.operation, ReadObject):
        return None
    target = _target(step.operation, own)
    if isinstance(observed, Absent):
        made = target.create
        return Write(_with_id(made(), key), completes=not target.in_steps) if made else None
    found = target.differences(observed.native)
    for difference in found:
        if difference.conflict is not None:
            raise difference.conflict
    missing = [d.request for d in found if d.request is not None]
    if not missing:
        return None
    request, is_last = missing[0], len(missing) == 1
    if target.only_in_sets:
        request = batch.change_set(target.sets_at, [request])
    elif in_sets and target.sets_at and not is_last:
        # An answer does not tell how many writes it is about: the next look shows what came of
        # them.
        request = batch.change_set(target.sets_at, missing[: batch.MAX_PARTS])
    return Write(_with_id(request, key), completes=is_last and not target.in_steps)


def _target(operation: Operation, own: OwnWords) -> _Target:
    match operation:
        case PutChangeMaster(change):
            return _Target(
                observe=partial(change_master.observe, change),
                read=partial(change_master.read, change),
                create=partial(change_master.create, change),
                differences=lambda held: change_master.differences(
                    change, decode_json(held, ChangeMaster)
                ),
                check_written=partial(change_master.check_written, change.number),
                remarks=change_master.remarks(change),
            )
        case PutChangedObjects(objects):
            return _Target(
                observe=partial(changed_objects.observe, objects),
                read=partial(changed_objects.read, objects),
                create=None,
                differences=lambda held: changed_objects.differences(
                    objects, decode_json(held, ChangeRecords)
                ),
                check_written=partial(change_master.check_written, objects.number),
            )
        case PutItem(item):
            return _Target(
                observe=partial(product.observe, item),
                read=partial(product.read, item, own),
                create=partial(product.create, item, own),
                differences=lambda held: product.differences(item, own, decode_json(held, Product)),
                check_written=partial(product.check_written, item),
                remarks=product.remarks(item),
            )
        case ExtendToPlant() as view:
            return _Target(
                observe=partial(product_plant.observe, view),
                read=partial(product_plant.read, view, own),
                create=partial(product_plant.create, view, own),
                differences=lambda held: product_plant.differences(
                    view, own, decode_json(held, ProductPlant)
                ),
                check_written=partial(product_plant.check_written, view),
                remarks=product_plant.remarks(view),
            )
        case PutPlantStatus() as status:
            return _Target(
                observe=partial(plant_status.observe, status),
                read=partial(plant_status.read, status),
                create=None,
                differences=lambda held: plant_status.differences(
                    status, decode_json(held, ProductPlant)
                ),
                check_written=partial(plant_status.check_written, status),
            )
        case PutBom(bom):
            return _Target(
                observe=partial(bill_of_material.observe, bom),
                read=partial(bill_of_material.read, bom, own),
                create=partial(bill_of_material.create, bom, own),
                differences=lambda held: bill_of_material.differences(
                    bom, own, decode_json(held, BomHeader)
                ),
                check_written=partial(bill_of_material.check_written, bom),
                former=lambda held: _former_bom(bom, own, held),
                remarks=bill_of_material_lines.remarks(bom),
                sets_at=bill_of_material.SERVICE,
            )
        case PutInfoRecord(record):
            return _Target(
                observe=partial(info_record.observe, record),
                read=partial(info_record.read, record, own),
                create=partial(info_record.create, record, own),
                differences=lambda held: info_record.differences(
                    record, own, decode_json(held, InfoRecordGeneral)
                ),
                check_written=partial(info_record.check_written, record),
                former=lambda held: _former_record(record, own, held),
                in_steps=record.scales is not UNSET,
            )
        case PutSupplier(supplier):
            return _Target(
                observe=partial(business_partner.observe, supplier),
                read=partial(business_partner.read, supplier),
                create=partial(business_partner.create, supplier),
                differences=lambda held: business_partner.differences(
                    supplier, decode_json(held, BusinessPartner)
                ),
                check_written=partial(business_partner.check_written, supplier),
                remarks=business_partner.remarks(supplier),
            )
        case PutOrder(order, group):
            return _Target(
                observe=partial(placed_order.observe, order),
                read=partial(placed_order.read, order, own),
                create=partial(placed_order.create, order, group, own),
                differences=lambda held: placed_order.differences(
                    order, own, decode_json(held, PlacedOrder)
                ),
                check_written=partial(placed_order.check_written, order),
                remarks=order_wanted.remarks(order),
            )
        case PutContract(contract, group):
            return _Target(
                observe=partial(placed_contract.observe, contract),
                read=partial(placed_contract.read, contract, own),
                create=partial(placed_contract.create, contract, group, own),
                differences=lambda held: placed_contract.differences(
                    contract, own, decode_json(held, AgreedContract)
                ),
                check_written=partial(placed_contract.check_written, contract),
                remarks=contract_wanted.remarks(contract),
                sets_at=read_back.CONTRACT_SERVICE,
                only_in_sets=True,
            )
        case PutSourceList(sources) as put:
            return _Target(
                observe=partial(placed_source_list.observe, sources),
                read=partial(placed_source_list.read, put, own),
                create=None,
                differences=lambda held: placed_source_list.differences(
                    put, own, decode_json(held, ListedSources)
                ),
                check_written=partial(placed_source_list.check_written, sources),
                remarks=source_list_wanted.remarks(sources),
            )
        case other:
            raise Misconfigured(
                "operation-unsupported",
                f"S/4HANA has no {verb(other)}",
                remedy="Correct the routes: this operation belongs to another system",
            )


def _former_bom(bom: PlantBom, own: OwnWords, held: bytes) -> Operation | str:
    found = bill_of_material.former(bom, own, decode_json(held, BomHeader))
    return found if isinstance(found, str) else PutBom(found)


def _former_record(record: InfoRecord, own: OwnWords, held: bytes) -> Operation | str:
    found = info_record.former(record, own, decode_json(held, InfoRecordGeneral))
    return found if isinstance(found, str) else PutInfoRecord(found)


def _with_id(request: Request, key: str) -> Request:
    return msgspec.structs.replace(request, headers=(*request.headers, ("X-Request-ID", key)))


def driver(own: OwnWords = NO_WORDS) -> Driver:
    """The driver for an ERP that has these words of its own."""
    return Driver(
        name="s4",
        operations=(
            PutChangeMaster,
            PutChangedObjects,
            PutItem,
            ExtendToPlant,
            PutPlantStatus,
            PutBom,
            PutInfoRecord,
            PutSupplier,
            PutOrder,
            PutContract,
            PutSourceList,
            ReadObject,
        ),
        observe=observe,
        read=partial(read, own=own),
        write=partial(write, own=own),
        write_singly=partial(write_singly, own=own),
        confirm=confirm,
        former=partial(former, own=own),
        worded=driver,
    )


DRIVER = driver()
