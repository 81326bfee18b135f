"""What tests of IDocs that are written share: writing, reading back, and what fits into fields."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st

from canonical import item_master, purchasing, supplier_master
from canonical.effects import Emit
from canonical.errors import InvalidMessage
from canonical.facts import Facts
from canonical.handler import Delivery
from canonical.item_master import ItemMasterPatch
from canonical.purchasing import InfoRecordTermsPatch
from canonical.quantity import Quantity
from canonical.supplier_master import SupplierMasterPatch
from handlers.systems.idoc.document import IDoc, Segment, read_idocs
from handlers.systems.idoc.inbound import HANDLER, LIMITS
from handlers.systems.idoc.outbound import FORMS, write
from handlers.systems.idoc.status import to_report
from handlers.systems.idoc.writing import Parties
from tests.corpus import CORPUS
from tests.fixtures.gearbox import NOW, RULES
from tests.strategies import decimals

PARTIES = Parties(
    sender="LAYSHAFT", receiver="GBXCLNT100", sender_port="LAYSHAFT", receiver_port="SAPGBX"
)
AT = datetime(2026, 3, 2, 8, 15, 4, 21, tzinfo=UTC)
UNITS = ("H87", "KGM", "MTR", "XBX", "XRL")


def written(message: str, *objects: msgspec.Struct, parties: Parties = PARTIES) -> bytes:
    return write(FORMS[message], [(parties, one) for one in objects], AT).body


def unsaid(message: str, *objects: msgspec.Struct) -> dict[str, int]:
    return dict(write(FORMS[message], [(PARTIES, one) for one in objects], AT).unsaid)


def read_back(body: bytes) -> list[Any]:
    """What the driver makes of the document: patches are merged into nothing. Where no event
    follows, what is told."""
    message = HANDLER.read(Delivery("erp", "", body))
    if FORMS[message.payload.idocs[0].kind[0]].told is not None:
        return [to_report(idoc, NOW) for idoc in message.payload.idocs]
    effects = HANDLER.decide(message, Facts(RULES), NOW)
    events = [effect.data for effect in effects if isinstance(effect, Emit)]
    assert len(events) == len(effects)
    return [as_known(event) for event in events]


def as_known(said: Any) -> Any:
    match said:
        case ItemMasterPatch():
            return item_master.merge(None, said)
        case SupplierMasterPatch():
            return supplier_master.merge(None, said)
        case InfoRecordTermsPatch():
            return purchasing.merge(None, said)
        case _:
            return said


def same_but_for_its_telling(one: Any, found: Any) -> Any:
    """The object as it is when somebody else has told of it."""
    names = ("version", "stated_at", "source_id")
    told = {name: getattr(found, name) for name in names if hasattr(found, name)}
    return msgspec.structs.replace(one, **told)


def assert_round_trip(message: str, *objects: Any) -> None:
    found = read_back(written(message, *objects))
    assert [same_but_for_its_telling(*pair) for pair in zip(objects, found, strict=True)] == found


def refused(message: str, *objects: msgspec.Struct, parties: Parties = PARTIES) -> InvalidMessage:
    with pytest.raises(InvalidMessage) as caught:
        written(message, *objects, parties=parties)
    assert caught.value.where
    assert caught.value.remedy
    return caught.value


def idocs(body: bytes) -> list[IDoc]:
    return read_idocs(BytesIO(body), LIMITS)


def sample(name: str) -> IDoc:
    (found,) = idocs((CORPUS / "idoc" / f"{name}.xml").read_bytes())
    return found


def below(segment: Segment) -> Iterator[Segment]:
    for child in segment.children:
        yield child
        yield from below(child)


def quantity(number: str, unit: str = "H87") -> Quantity:
    return Quantity(Decimal(number), unit)


# --- what fits into fields ---


_ALPHABET = st.sampled_from("ABCxyz0189-_./#&<>\"' \u00fc\u4e2d")


def codes(longest: int) -> st.SearchStrategy[str]:
    """Codes and numbers as they are compared: no blanks around them, no zeros in front."""
    # The first letter makes one of each text, instead of leaving many of them out.
    rest = st.text(_ALPHABET, max_size=longest - 1).map(str.rstrip)
    return st.builds("{}{}".format, st.sampled_from("ABXYZ19"), rest)


def plain_codes(longest: int) -> st.SearchStrategy[str]:
    """Codes that may stand within a key: without slashes."""
    return codes(longest).map(lambda text: text.replace("/", "S"))


def texts(longest: int) -> st.SearchStrategy[str]:
    """Words on one line, or none. Any text at all is left to a test of its own."""
    words = st.text(_ALPHABET, max_size=longest).map(str.strip)
    return words.map(lambda text: "" if text == "/" else text)


def amounts(whole: int = 6, unit: str = "H87") -> st.SearchStrategy[Quantity]:
    most = "9" * whole
    return decimals(minimum="0.001", maximum=most, places=3).map(lambda n: Quantity(n, unit))


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy
