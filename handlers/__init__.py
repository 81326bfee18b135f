"""What Layshaft understands: one row per message type, and the systems it can write to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from canonical.connector import Driver
from canonical.errors import InvalidMessage, Misconfigured
from canonical.events import BY_TYPE, SOURCE
from canonical.handler import Delivery, Handler
from handlers.flows import engineering_change, master_data
from handlers.systems.arena import inbound as arena
from handlers.systems.coupa import inbound as coupa
from handlers.systems.coupa import outbound as coupa_outbound
from handlers.systems.pdx import inbound as pdx
from handlers.systems.s4 import outbound as s4_outbound

# (who speaks, message type) -> handler
HANDLERS: dict[tuple[str, str], Handler] = {
    ("pdx", "pdx.package"): pdx.HANDLER,
    ("arena", "arena.change"): arena.HANDLER,
    ("coupa", "coupa.supplier"): coupa.HANDLER_SUPPLIER,
    ("coupa", "coupa.contracts"): coupa.HANDLER_CONTRACTS,
    (SOURCE, "item.released"): master_data.ITEM_RELEASED,
    (SOURCE, "bom.released"): master_data.BOM_RELEASED,
    (SOURCE, "supplier.changed"): master_data.SUPPLIER_CHANGED,
    (SOURCE, "sourcing.changed"): master_data.SOURCING_CHANGED,
    (SOURCE, "engineering-change.released"): engineering_change.HANDLER,
}

# Message types that are known by their content; of the others the sender has to say the type.
RECOGNISED: dict[str, Callable[[Delivery], bool]] = {
    "pdx.package": pdx.recognises,
    "arena.change": arena.recognises,
}

DRIVERS: dict[str, Driver] = {
    "s4": s4_outbound.DRIVER,
    "coupa": coupa_outbound.DRIVER,
}


def recognise(contracts: Sequence[str], delivery: Delivery) -> Handler:
    """The handler of a delivery from a source with these contracts (message types).

    An event of ours says its type; everything else is known by its content, in the order of
    `contracts`. Raises: InvalidMessage if it is none of them; Misconfigured for a contract that
    nobody handles.
    """
    if tuple(contracts) == (SOURCE,):
        row = BY_TYPE.get(delivery.attributes.get("type", ""))
        handler = HANDLERS.get((SOURCE, row.name)) if row else None
        if handler is not None:
            return handler
        raise _unknown("event-unknown", delivery, [name for who, name in HANDLERS if who == SOURCE])
    for contract in contracts:
        handler = _translator(contract)
        stated = delivery.attributes.get("type", "") == contract
        if stated or (contract in RECOGNISED and RECOGNISED[contract](delivery)):
            return handler
    raise _unknown("contract-unknown", delivery, contracts)


def _translator(contract: str) -> Handler:
    for (who, message_type), handler in HANDLERS.items():
        if message_type == contract and who != SOURCE:
            return handler
    raise Misconfigured(
        "contract-without-handler",
        f"No handler takes messages of type {contract}",
        where=contract,
        remedy="Correct the contracts of the source in the configuration",
    )


def _unknown(code: str, delivery: Delivery, known: Sequence[str]) -> InvalidMessage:
    return InvalidMessage(
        code,
        f"The content is none of what {delivery.source} may send: {', '.join(known)}",
        where=f"kind {delivery.kind[:80]!r}" if delivery.kind else "content",
        remedy="Check what was sent: it begins like none of them. A new kind has to be added to the"
        " contract first",
    )
