"""Records of which a list of changes told no more than the id: how each is read, and what its
answer is.

What a read brings back is handed on as it came; `changed` translates it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import msgspec

from canonical.codec import encode
from canonical.connector import Answer, Observed, Present
from canonical.errors import Misconfigured
from canonical.operations import ReadObject
from handlers.systems.answers import printable
from handlers.systems.tryton import rpc
from handlers.systems.tryton.rpc import Look
from handlers.systems.tryton.words import PRODUCT, PURCHASE

# Ids of Tryton are integers of 32 bits.
_ID = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A record that can be read by its id.

    changes: type of the messages that tell which of them changed; answer: of those that tell what
    one is. fields: that are asked for.
    """

    name: str
    model: str
    changes: str
    answer: str
    owner: str
    fields: tuple[str, ...]

    def key(self, id_: int) -> str:
        """Order key of the record by its id: a list of changes does not tell its number, by which
        it goes on."""
        return f"{self.name}-id/{id_}"


_DATES = ("write_date", "create_date")
PRODUCTS = Kind(
    # So Tryton calls it; a product, without more, is another system's.
    name="variant",
    model=PRODUCT,
    changes="tryton.changed-products",
    answer="tryton.product",
    owner="operations",
    fields=(
        *("code", "active", *_DATES),
        *("template.name", "template.type", "template.active", "template.default_uom.symbol"),
        *(f"template.{name}" for name in _DATES),
    ),
)
PURCHASES = Kind(
    name="purchase",
    model=PURCHASE,
    changes="tryton.changed-purchases",
    answer="tryton.purchase",
    owner="procurement",
    fields=(
        *("number", "reference", "state", "purchase_date", *_DATES),
        *("party.code", "company.party.code", "currency.code"),
        *("lines.type", "lines.sequence", "lines.quantity", "lines.unit.symbol"),
        *("lines.product.code", "lines.unit_price", "lines.description", "lines.delivery_date"),
        *(f"lines.{name}" for name in _DATES),
    ),
)
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (PRODUCTS, PURCHASES)}


class _Identified(msgspec.Struct):
    id: int


def look(asked: ReadObject) -> Look:
    """The read of the record by its id.

    Raises: Misconfigured for a kind that is not read here, and for what is no id.
    """
    kind = KINDS.get(asked.kind)
    if kind is None or not _ID.fullmatch(asked.id):
        raise Misconfigured(
            "object-unreadable",
            f"Tryton is not read for {printable(asked.kind, 40)} {printable(asked.id, 40)!r}, only"
            f" for ids of {', '.join(KINDS)}",
            where=asked.key,
            remedy="Name the system that holds it in `reads_from` of the source",
        )
    call = rpc.search(kind.model, (("id", "=", int(asked.id)),), kind.fields)
    return Look(call, partial(_answer, kind, asked))


def _answer(kind: Kind, asked: ReadObject, found: msgspec.Raw) -> Observed:
    """The answer to hand on: the record, whole, or that there is none of that id."""
    records = rpc.decoded(found, tuple[msgspec.Raw, ...])
    if not records:
        return Present(equal=True, answer=Answer(kind.answer, asked.key, encode({"gone": True})))
    held = rpc.decoded(records[0], _Identified)
    if len(records) > 1 or str(held.id) != asked.id:
        raise Misconfigured(
            "answer-about-another",
            f"{asked.kind} {asked.id} was asked for, the answer is about {held.id}",
            where="id",
            remedy="Check what stands between Layshaft and Tryton: a cache, a proxy",
        )
    body = encode({"object": records[0]})
    return Present(equal=True, reference=asked.id, answer=Answer(kind.answer, asked.key, body))
