"""Objects of which a list of changes told no more than the id: how each is read, and what its
answer is.

What a read brings back is handed on as it came; `changed` translates it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from canonical.codec import encode
from canonical.connector import Answer, Observed, Present
from canonical.errors import Misconfigured
from canonical.exchange import Request, Response
from canonical.operations import ReadObject
from handlers.systems.answers import printable
from handlers.systems.coupa import native, rest

_ID = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """An object that can be read by its id.

    resource: its list. changes: type of the messages that tell which of them changed; answer: of
    those that tell what one is.
    """

    name: str
    resource: str
    changes: str
    answer: str

    def key(self, id_: int) -> str:
        """Order key of the object by its id: a list of changes does not tell its number, by which
        it goes on."""
        return f"{self.name}-id/{id_}"


SUPPLIER = Kind(
    name="supplier",
    resource="/api/suppliers",
    changes="coupa.changed-suppliers",
    answer="coupa.supplier-read",
)
CONTRACT = Kind(
    name="contract",
    resource="/api/contracts",
    changes="coupa.changed-contracts",
    answer="coupa.contract-read",
)
ORDER = Kind(
    name="order",
    resource="/api/purchase_orders",
    changes="coupa.changed-orders",
    answer="coupa.order-read",
)
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (SUPPLIER, CONTRACT, ORDER)}


def observe(asked: ReadObject) -> Request:
    """The read of the object by its id.

    Raises: Misconfigured for a kind that is not read here, and for what is no id.
    """
    kind = _kind(asked)
    if not _ID.fullmatch(asked.id):
        raise Misconfigured(
            "object-unreadable",
            f"{printable(asked.id, 40)!r} is no id of procurement's",
            where=asked.key,
            remedy="Name the system that holds it in `reads_from` of the source",
        )
    return rest.show(f"{kind.resource}/{asked.id}")


def read(asked: ReadObject, response: Response) -> Observed:
    """The answer to hand on: the object, whole, or that there is none of that id.

    Raises: besides those of `Driver.read`, Misconfigured for an answer about another object.
    """
    kind = _kind(asked)
    if rest.is_gone(response):
        return Present(equal=True, answer=Answer(kind.answer, asked.key, encode({"gone": True})))
    if response.status != 200:
        raise rest.failure(response, wrote=False)
    held = rest.decoded(response, native.Identified, wrote=False)
    if str(held.id) != asked.id:
        raise Misconfigured(
            "answer-about-another",
            f"{asked.kind} {asked.id} was asked for, the answer is about {held.id}",
            where="id",
            remedy="Check what stands between Layshaft and procurement: a cache, a proxy",
        )
    body = encode({"object": msgspec.Raw(response.body)})
    return Present(equal=True, reference=asked.id, answer=Answer(kind.answer, asked.key, body))


def _kind(asked: ReadObject) -> Kind:
    kind = KINDS.get(asked.kind)
    if kind is None:
        raise Misconfigured(
            "object-unreadable",
            f"Procurement is not read for objects of kind {printable(asked.kind, 40)!r}, "
            f"only {', '.join(KINDS)}",
            where=asked.key,
            remedy="Name the system that holds them in `reads_from` of the source",
        )
    return kind
