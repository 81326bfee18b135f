"""The driver for Tryton as the ERP: which call makes an operation true.

One call is one transaction of Tryton's. What refers to other records names them by id, so a look
brings the ids along, and of what is there the timestamps of its last changes: with these a write
is refused where somebody else has changed it meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import msgspec

from canonical.connector import Absent, Confirmed, Driver, More, Observed, Write
from canonical.effects import Step
from canonical.errors import Misconfigured
from canonical.exchange import Request, Response
from canonical.operations import (
    Operation,
    PutBom,
    PutContract,
    PutInfoRecord,
    PutItem,
    PutOrder,
    PutSupplier,
    ReadObject,
    verb,
)
from canonical.own_words import NO_WORDS, OwnWords
from handlers.systems.tryton import (
    bill_of_material,
    contract,
    info_record,
    item,
    order,
    read_back,
    rpc,
    supplier,
)
from handlers.systems.tryton.native import (
    HeldAgreement,
    HeldBom,
    HeldItem,
    HeldParty,
    HeldPurchase,
    HeldTerms,
)
from handlers.systems.tryton.rpc import Call, Difference, Look

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Target:
    """The functions of one object's module with the object wanted already given.

    create, differences: take what the look kept; empty where nobody has looked. create comes to
    None for what is not made. in_steps: more is
    missing after the create. remarks: what Tryton has no place for.
    """

    look: Callable[[], Look]
    create: Callable[[bytes], Call | None]
    differences: Callable[[bytes], tuple[Difference, ...]]
    remarks: tuple[str, ...] = ()
    in_steps: bool = False


def observe(step: Step) -> Request:
    """The read of the step's object by its natural key, or by the id that a list told."""
    return rpc.request(_look(step.operation, NO_WORDS).call, step.identity)


def read(step: Step, response: Response, own: OwnWords = NO_WORDS) -> Observed | More:
    """What Tryton holds, compared with what the step wants, or the answer to a question; or the
    next call of the look."""
    return rpc.follow(step.identity, _look(step.operation, own), response)


def write(step: Step, observed: Observed, key: str, own: OwnWords = NO_WORDS) -> Write | None:
    """The next call, one of possibly several: the create of what is absent, else the first
    difference. None for a question, which a read has answered.

    Raises: Conflict for a difference that a person has to settle, before anything is written;
        Rejected and InvalidMessage for what Tryton has no place for.
    """
    if isinstance(step.operation, ReadObject):
        return None
    target = _target(step.operation, own)
    if isinstance(observed, Absent):
        call = target.create(observed.native)
        if call is None:
            return None
        return Write(rpc.request(call, step.identity, key=key), completes=not target.in_steps)
    found = target.differences(observed.native) if observed.native else ()
    for difference in found:
        if difference.conflict is not None:
            raise difference.conflict
    calls = [one.call for one in found if one.call is not None]
    if not calls:
        return None
    return Write(rpc.request(calls[0], step.identity, key=key), completes=len(calls) == 1)


def confirm(step: Step, response: Response) -> Confirmed:
    """That Tryton carried out the last call: a create answers with the id of what was made, all
    else with nothing."""
    reference = rpc.written(response, step.identity)
    return Confirmed(reference, warnings=_target(step.operation, NO_WORDS).remarks)


def _look(operation: Operation, own: OwnWords) -> Look:
    if isinstance(operation, ReadObject):
        return read_back.look(operation)
    return _target(operation, own).look()


def _target(operation: Operation, own: OwnWords) -> _Target:
    match operation:
        case PutItem(wanted):
            return _Target(
                look=partial(item.look, wanted, own),
                create=lambda held: item.create(wanted, own, _kept(held, HeldItem)),
                differences=lambda held: item.differences(wanted, own, _kept(held, HeldItem)),
                remarks=item.remarks(wanted),
            )
        case PutBom(bom):
            return _Target(
                look=partial(bill_of_material.look, bom, own),
                create=lambda held: bill_of_material.create(bom, own, _kept(held, HeldBom)),
                differences=lambda held: bill_of_material.differences(
                    bom, own, _kept(held, HeldBom)
                ),
                remarks=bill_of_material.remarks(bom),
                in_steps=True,
            )
        case PutSupplier(master):
            return _Target(
                look=partial(supplier.look, master),
                create=lambda held: supplier.create(master, _kept(held, HeldParty)),
                differences=lambda held: supplier.differences(master, _kept(held, HeldParty)),
                remarks=supplier.remarks(master),
            )
        case PutInfoRecord(record):
            return _Target(
                look=partial(info_record.look, record, own),
                create=lambda held: info_record.create(record, own, _kept(held, HeldTerms)),
                differences=lambda held: info_record.differences(
                    record, own, _kept(held, HeldTerms)
                ),
                remarks=info_record.remarks(record),
            )
        case PutOrder(placed):
            return _Target(
                look=partial(order.look, placed, own),
                create=lambda held: order.create(placed, own, _kept(held, HeldPurchase)),
                differences=lambda held: order.differences(placed, own, _kept(held, HeldPurchase)),
                remarks=order.remarks(placed),
                in_steps=True,
            )
        case PutContract(agreed):
            return _Target(
                look=partial(contract.look, agreed, own),
                create=lambda held: contract.create(agreed, own, _kept(held, HeldAgreement)),
                differences=lambda held: contract.differences(
                    agreed, own, _kept(held, HeldAgreement)
                ),
                remarks=contract.remarks(agreed),
                in_steps=True,
            )
        case other:
            raise Misconfigured(
                "operation-unsupported",
                f"Tryton has no {verb(other)}",
                remedy="Correct the routes: this operation belongs to another system",
            )


def _kept(native: bytes, kind: type[T]) -> T:
    """What the look kept. Where nobody has looked, nothing is known: each field has its default."""
    return msgspec.json.decode(native or b"{}", type=kind)


def driver(own: OwnWords = NO_WORDS) -> Driver:
    """The driver for a Tryton that has these words of its own."""
    return Driver(
        name="tryton",
        operations=(PutItem, PutBom, PutSupplier, PutInfoRecord, PutOrder, PutContract, ReadObject),
        observe=observe,
        read=partial(read, own=own),
        write=partial(write, own=own),
        confirm=confirm,
        worded=driver,
    )


DRIVER = driver()
