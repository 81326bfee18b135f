"""`layshaft idoc write`: what is known becomes IDocs that are read as the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from broker.store import documents as document_rows
from broker.store import messages as message_rows
from broker.store.documents import NewDocument
from canonical.effects import Emit, Put
from canonical.facts import Facts
from canonical.handler import Delivery
from canonical.item_master import ItemMaster, ItemMasterPatch, item_master_key
from canonical.order import OrderLine, PurchaseOrder, order_key
from canonical.quantity import Quantity
from handlers.systems.idoc.inbound import HANDLER
from ops.cli.tree import run
from tests.fixtures.gearbox import NOW, RULES
from tests.integration.gearbox_change import database_at, package

Command = Callable[..., tuple[int, str, str]]

SEAL = ItemMaster("SEAL-1", 1, base_unit="H87", kind="HALB", lifecycle="released")
PIN = ItemMaster("PIN", 1, base_unit="H87", kind="HALBZEUG")
LINE = OrderLine("10", "SEAL-1", Quantity(Decimal(5), "H87"))
ORDER = PurchaseOrder("4500000001", 1, "100042", "EUR", (LINE,))
PARTNERS = ("--sender", "LAYSHAFT", "--receiver", "GBXCLNT100")


async def know(url: str, puts: Sequence[Put]) -> None:
    """The documents are stored, as following from one message."""
    async with database_at(url) as database, database.transaction() as tx:
        positions = await message_rows.admit(tx, [package()])
        place = positions[package().identity]
        new = [NewDocument(put, "suite", place) for put in puts]
        await document_rows.store(tx, document_rows.as_rows(new))


@pytest.fixture
def layshaft(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """The command on a database that knows two materials and an order."""
    known = [Put(item_master_key(item.number), 1, item) for item in (SEAL, PIN)]
    asyncio.run(know(database_url, [*known, Put(order_key(ORDER.number), 1, ORDER)]))
    monkeypatch.chdir(tmp_path)
    for name in ("LAYSHAFT_CONFIG", "LAYSHAFT_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAYSHAFT_DATABASE_URL", database_url)

    def command(*arguments: str) -> tuple[int, str, str]:
        exit_code = run(("idoc", "write", *arguments, *PARTNERS, "--out", "out.xml"))
        said = capsys.readouterr()
        return exit_code, said.out, said.err

    return command


def events(body: bytes) -> list[Emit]:
    message = HANDLER.read(Delivery("erp", "", body))
    effects = HANDLER.decide(message, Facts(RULES), NOW)
    return [effect for effect in effects if isinstance(effect, Emit)]


def test_a_document_becomes_an_idoc_and_what_has_no_place_in_it_is_named(
    layshaft: Command, tmp_path: Path
) -> None:
    exit_code, out, err = layshaft("item-master/SEAL-1", "-o", "json")
    assert (exit_code, err) == (0, "")
    said = msgspec.json.decode(out)
    body = (tmp_path / "out.xml").read_bytes()
    assert (said["file"], said["bytes"], said["idocs"]) == ("out.xml", len(body), 1)
    assert (said["message"], said["basic_type"]) == ("MATMAS", "MATMAS05")
    assert said["unsaid"] == {"lifecycle": 1}
    (event,) = events(body)
    assert isinstance(event.data, ItemMasterPatch)
    assert (event.data.number, event.data.base_unit, event.data.kind) == ("SEAL-1", "H87", "HALB")
    assert [path.name for path in tmp_path.iterdir()] == ["out.xml"]


@pytest.mark.parametrize(
    ("arguments", "event", "says"),
    [
        ((), "purchase-order.created", "1 of ORDERS in ORDERS05"),
        (("--message", "ORDCHG"), "purchase-order.changed", "1 of ORDCHG in ORDERS05"),
    ],
)
def test_an_order_goes_out_as_the_message_that_is_asked_for(
    layshaft: Command, tmp_path: Path, arguments: Sequence[str], event: str, says: str
) -> None:
    exit_code, out, _ = layshaft("purchase-order/4500000001", *arguments)
    assert exit_code == 0
    assert says in out
    (told,) = events((tmp_path / "out.xml").read_bytes())
    assert told.event == event


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (("item-master/SEAL-2", "item-master/SEAL-1"), 4, "item-master/SEAL-2"),
        (("item-master/SEAL-1", "purchase-order/4500000001"), 2, "item-master, purchase-order"),
        (("item-master/SEAL-1", "--message", "ORDERS"), 2, "what says them: MATMAS"),
        (("item-master/PIN",), 2, "item-master/PIN: E1MARAM MTART"),
    ],
)
def test_what_cannot_be_written_leaves_no_file(
    layshaft: Command, tmp_path: Path, arguments: Sequence[str], exit_code: int, says: str
) -> None:
    found, out, err = layshaft(*arguments)
    assert (found, out) == (exit_code, "")
    assert says in err
    assert "  do:   " in err
    assert not (tmp_path / "out.xml").exists()


def test_a_file_is_written_over_only_when_that_is_asked_for(
    layshaft: Command, tmp_path: Path
) -> None:
    (tmp_path / "out.xml").write_text("mine")
    exit_code, _, err = layshaft("item-master/SEAL-1")
    assert (exit_code, "LAY-file-exists" in err) == (5, True)
    assert (tmp_path / "out.xml").read_text() == "mine"
    assert layshaft("item-master/SEAL-1", "--force")[0] == 0
