"""What Layshaft understands: one row per message type, and the systems it can write to."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from canonical.access import Access
from canonical.catalogue import Catalogue
from canonical.connector import Driver
from canonical.events import SOURCE
from canonical.handler import Delivery, Handler
from canonical.masking import Kind
from canonical.reminders import Watch
from handlers.flows import (
    engineering_change,
    expiry,
    master_data,
    ownership,
    supplier_reviews,
)
from handlers.systems.arena import access as arena_access
from handlers.systems.arena import gone as arena_gone
from handlers.systems.arena import inbound as arena
from handlers.systems.arena import item as arena_item
from handlers.systems.arena import notice as arena_notice
from handlers.systems.arena import outbound as arena_outbound
from handlers.systems.arena import supplier as arena_supplier
from handlers.systems.arena import words as arena_words
from handlers.systems.coupa import changed as coupa_changed
from handlers.systems.coupa import inbound as coupa
from handlers.systems.coupa import outbound as coupa_outbound
from handlers.systems.idoc import inbound as idoc
from handlers.systems.idoc import words as idoc_words
from handlers.systems.pdx import inbound as pdx
from handlers.systems.pdx import words as pdx_words
from handlers.systems.s4 import access as s4_access
from handlers.systems.s4 import inbound as s4
from handlers.systems.s4 import outbound as s4_outbound
from handlers.systems.s4 import words as s4_words
from handlers.systems.tryton import access as tryton_access
from handlers.systems.tryton import changed as tryton_changed
from handlers.systems.tryton import outbound as tryton_outbound

# (who speaks, message type) -> handler. Tables of integrators come on top: ops/tables.py.
HANDLERS: dict[tuple[str, str], Handler] = {
    ("pdx", "pdx.package"): pdx.HANDLER,
    ("arena", "arena.change"): arena.HANDLER,
    ("arena", "arena.item"): arena_item.HANDLER,
    ("arena", "arena.event"): arena_notice.HANDLER,
    ("arena", "arena.event-item"): arena_notice.HANDLER_ITEM,
    ("arena", "arena.outbound-event"): arena_notice.HANDLER_OUTBOUND,
    ("arena", "arena.supplier"): arena_supplier.HANDLER,
    ("arena", "arena.supplier-notice"): arena_notice.HANDLER_SUPPLIER,
    ("arena", "arena.supplier-item"): arena_notice.HANDLER_SOURCED,
    ("arena", "arena.gone"): arena_gone.HANDLER,
    ("coupa", "coupa.supplier"): coupa.HANDLER_SUPPLIER,
    ("coupa", "coupa.contracts"): coupa.HANDLER_CONTRACTS,
    ("coupa", "coupa.contract"): coupa.HANDLER_CONTRACT,
    ("coupa", "coupa.order"): coupa.HANDLER_ORDER,
    ("coupa", "coupa.review"): coupa.HANDLER_REVIEW,
    ("coupa", "coupa.changed-suppliers"): coupa_changed.CHANGED_SUPPLIERS,
    ("coupa", "coupa.changed-contracts"): coupa_changed.CHANGED_CONTRACTS,
    ("coupa", "coupa.changed-orders"): coupa_changed.CHANGED_ORDERS,
    ("coupa", "coupa.supplier-read"): coupa_changed.READ_SUPPLIER,
    ("coupa", "coupa.contract-read"): coupa_changed.READ_CONTRACT,
    ("coupa", "coupa.order-read"): coupa_changed.READ_ORDER,
    ("idoc", "idoc.document"): idoc.HANDLER,
    ("s4", "s4.event"): s4.HANDLER_EVENT,
    ("s4", "s4.purchase-order"): s4.HANDLER_ORDER,
    ("s4", "s4.product"): s4.HANDLER_PRODUCT,
    ("s4", "s4.business-partner"): s4.HANDLER_PARTNER,
    ("s4", "s4.info-record"): s4.HANDLER_INFO_RECORD,
    ("s4", "s4.purchase-contract"): s4.HANDLER_CONTRACT,
    ("s4", "s4.source-list"): s4.HANDLER_SOURCE_LIST,
    ("s4", "s4.bom"): s4.HANDLER_BOM,
    ("s4", "s4.change-master"): s4.HANDLER_CHANGE_MASTER,
    ("tryton", "tryton.changed-products"): tryton_changed.CHANGED_PRODUCTS,
    ("tryton", "tryton.changed-purchases"): tryton_changed.CHANGED_PURCHASES,
    ("tryton", "tryton.product"): tryton_changed.READ_PRODUCT,
    ("tryton", "tryton.purchase"): tryton_changed.READ_PURCHASE,
    (SOURCE, "item.released"): master_data.ITEM_RELEASED,
    (SOURCE, "item.changed"): master_data.ITEM_CHANGED,
    (SOURCE, "bom.released"): master_data.BOM_RELEASED,
    (SOURCE, "bom.changed"): master_data.BOM_CHANGED,
    (SOURCE, "supplier.changed"): master_data.SUPPLIER_CHANGED,
    (SOURCE, "supplier-master.changed"): master_data.SUPPLIER_MASTER_CHANGED,
    (SOURCE, "info-record.changed"): master_data.INFO_RECORD_CHANGED,
    (SOURCE, "sourcing.changed"): master_data.SOURCING_CHANGED,
    (SOURCE, "contract.changed"): master_data.CONTRACT_CHANGED,
    (SOURCE, "source-list.changed"): master_data.SOURCE_LIST_CHANGED,
    (SOURCE, "quality-hold.placed"): master_data.QUALITY_HOLD_PLACED,
    (SOURCE, "quality-hold.lifted"): master_data.QUALITY_HOLD_LIFTED,
    (SOURCE, "change-master.changed"): master_data.CHANGE_MASTER_CHANGED,
    (SOURCE, "purchase-order.created"): master_data.ORDER_CREATED,
    (SOURCE, "purchase-order.changed"): master_data.ORDER_CHANGED,
    (SOURCE, "order-confirmation.accepted"): master_data.CONFIRMATION_ACCEPTED,
    (SOURCE, "order-confirmation.changed"): master_data.CONFIRMATION_CHANGED,
    (SOURCE, "order-confirmation.backordered"): master_data.CONFIRMATION_BACKORDERED,
    (SOURCE, "order-confirmation.rejected"): master_data.CONFIRMATION_REJECTED,
    (SOURCE, "foreign-values.accepted"): ownership.ACCEPTED,
    (SOURCE, "engineering-change.released"): engineering_change.HANDLER,
    (SOURCE, "engineering-change.cancelled"): engineering_change.CANCELLED,
    (SOURCE, "supplier-review.decided"): supplier_reviews.DECIDED,
    (SOURCE, "approval.granted"): supplier_reviews.GRANTED,
    (SOURCE, "approval.refused"): supplier_reviews.REFUSED,
    (SOURCE, "approval.withdrawn"): supplier_reviews.WITHDRAWN,
}

# Message types that are known by their content; of the others the sender has to say the type.
RECOGNISED: dict[str, Callable[[Delivery], bool]] = {
    "pdx.package": pdx.recognises,
    "arena.change": arena.recognises,
    "arena.item": arena_item.recognises,
    "arena.event": arena_notice.recognises,
    "arena.event-item": arena_notice.recognises_item,
    "arena.outbound-event": arena_notice.recognises_outbound,
    "arena.supplier": arena_supplier.recognises,
    "arena.supplier-notice": arena_notice.recognises_supplier,
    "arena.supplier-item": arena_notice.recognises_sourced,
    "idoc.document": idoc.recognises,
    "s4.event": s4.recognises,
}

DRIVERS: dict[str, Driver] = {
    "s4": s4_outbound.DRIVER,
    "coupa": coupa_outbound.DRIVER,
    "arena": arena_outbound.DRIVER,
    "tryton": tryton_outbound.DRIVER,
}

# Words for how a system wants to know who calls.
ACCESS: Mapping[str, Access] = {
    "s4": s4_access.ACCESS,
    "arena": arena_access.ACCESS,
    "tryton": tryton_access.ACCESS,
}

WATCHES: Mapping[str, Watch] = {"contract.expiring": expiry.CONTRACTS}

# What ledgers are about: their keys begin with it.
FLOWS = (
    "engineering-change",
    "supplier-master",
    "purchase-order",
    "contract",
    "source-list",
    "supplier-review",
    "ownership",
)

CATALOGUE = Catalogue(
    handlers=HANDLERS, recognised=RECOGNISED, drivers=DRIVERS, access=ACCESS, watches=WATCHES
)

# What fields of vendors hold where their names do not say it: for messages that are given away.
MASKED: Mapping[str, Kind] = {
    **idoc_words.MASKED,
    **pdx_words.MASKED,
    **arena_words.MASKED,
    **s4_words.MASKED,
}
