"""What ledgers are about, by which people hold them."""

from __future__ import annotations

from canonical.change import change_key
from canonical.order import order_key
from canonical.purchase_contract import contract_key
from canonical.review import review_key
from canonical.source_list import source_list_key
from canonical.supplier_master import supplier_master_key
from handlers import FLOWS
from handlers.flows import ownership


def test_the_key_of_each_ledger_begins_with_its_flow() -> None:
    keys = (
        change_key("1"),
        supplier_master_key("1"),
        order_key("1"),
        contract_key("1"),
        source_list_key("1010", "1"),
        review_key("1", "S-1"),
        ownership.ledger_key("item/1", "erp"),
    )
    assert [key.partition("/")[0] for key in keys] == list(FLOWS)
