"""What documents and terms refer to, by the codes that both sides know. An organisation of ours is
the company whose party has its code."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from canonical.connector import Observed
from canonical.errors import Misconfigured, Rejected
from handlers.systems.tryton import rpc, units
from handlers.systems.tryton.native import Coded, Company, Party, References
from handlers.systems.tryton.rpc import Look
from handlers.systems.tryton.words import COMPANY, CURRENCY, PARTY, PRODUCT

Ids = dict[str, int]
_MAX_NAMED = 5


def look(organisation: str, then: Callable[[int], Observed | Look]) -> Look:
    """The id of the company.

    Raises, when it is read: Misconfigured where Tryton has no such company, Rejected where no
        organisation is stated.
    """
    return Look(
        rpc.search(COMPANY, (("party.code", "=", organisation),), ("party.code",)),
        partial(_company, organisation, then),
    )


def _company(
    organisation: str, then: Callable[[int], Observed | Look], found: msgspec.Raw
) -> Observed | Look:
    if not organisation:
        raise Rejected(
            "organisation-missing",
            "Nothing says which purchasing organisation buys, and it decides on the company",
            where=COMPANY,
            remedy="State it where the document is made, or for the plant that it is for",
        )
    companies = rpc.decoded(found, tuple[Company, ...])
    company = next((one for one in companies if one.party.code == organisation), None)
    if company is None:
        raise Misconfigured(
            "company-missing",
            f"Tryton has no company whose party has the code {organisation!r}",
            where=f"{COMPANY}/{organisation}",
            remedy="Give the party of the company that code in Tryton, or correct the organisation"
            " in the rules",
        )
    return then(company.id)


def look_coded(model: str, codes: tuple[str, ...], then: Callable[[Ids], Observed | Look]) -> Look:
    """The ids of products, parties or currencies by their codes.

    Raises, when it is read: Rejected where Tryton lacks one of them.
    """
    return Look(
        rpc.search(model, (("code", "in", codes),), ("code",), with_inactive=False),
        partial(_coded, model, codes, then),
    )


def _coded(
    model: str,
    codes: tuple[str, ...],
    then: Callable[[Ids], Observed | Look],
    found: msgspec.Raw,
) -> Observed | Look:
    ids = {one.code: one.id for one in rpc.decoded(found, tuple[Coded, ...]) if one.code}
    if missing := [code for code in codes if code not in ids]:
        raise _missing(model, tuple(missing))
    return then(ids)


def _missing(model: str, codes: tuple[str, ...]) -> Rejected:
    kind = {PRODUCT: "product", PARTY: "party", CURRENCY: "currency"}[model]
    more = f" and {len(codes) - _MAX_NAMED} more" if len(codes) > _MAX_NAMED else ""
    return Rejected(
        f"{kind}-missing",
        f"Tryton has no active {kind} {', '.join(codes[:_MAX_NAMED])}{more}",
        where=f"{model}/{codes[0]}",
        remedy="Have it made or loaded there, then release the step again",
    )


def look_document(
    company: int,
    *,
    supplier: str,
    currency: str,
    items: tuple[str, ...],
    symbols: tuple[str, ...],
    then: Callable[[References], Observed | Look],
) -> Look:
    """The ids of all that a document of purchase of the company refers to, one call each.

    Raises, when it is read: Rejected where Tryton lacks one of them.
    """

    def with_party(found: tuple[Party, ...]) -> Look:
        party = next((one for one in found if one.code == supplier), None)
        if party is None:
            raise _missing(PARTY, (supplier,))
        address = next((one.id for one in party.addresses if one.active), 0)
        known = References(company=company, party=party.id, address=address)
        return look_coded(CURRENCY, (currency,), partial(with_currency, known))

    def with_currency(known: References, currencies: Ids) -> Look:
        known = msgspec.structs.replace(known, currency=currencies[currency])
        return look_coded(PRODUCT, items, partial(with_products, known))

    def with_products(known: References, products: Ids) -> Look:
        known = msgspec.structs.replace(known, products=products)
        return units.look(symbols, partial(with_units, known))

    def with_units(known: References, found: Ids) -> Observed | Look:
        return then(msgspec.structs.replace(known, units=found))

    return Look(
        rpc.search(
            PARTY,
            (("code", "=", supplier),),
            ("code", "addresses.active"),
            with_inactive=False,
        ),
        lambda found: with_party(rpc.decoded(found, tuple[Party, ...])),
    )
