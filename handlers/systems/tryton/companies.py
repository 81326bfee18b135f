"""The company that an operation is about: an organisation of ours is the company whose party has
its code."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from canonical.connector import Observed
from canonical.errors import Misconfigured, Rejected
from handlers.systems.tryton import rpc
from handlers.systems.tryton.native import Coded, Company
from handlers.systems.tryton.rpc import Look
from handlers.systems.tryton.words import COMPANY, CURRENCY, PARTY, PRODUCT

Ids = dict[str, int]


def look(organisation: str, then: Callable[[int], Observed | Look]) -> Look:
    """The id of the company.

    Raises, when it is read: Misconfigured where Tryton has no such company.
    """
    return Look(
        rpc.search(COMPANY, (("party.code", "=", organisation),), ("party.code",)),
        partial(_company, organisation, then),
    )


def _company(
    organisation: str, then: Callable[[int], Observed | Look], found: msgspec.Raw
) -> Observed | Look:
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
        kind = {PRODUCT: "product", PARTY: "party", CURRENCY: "currency"}[model]
        raise Rejected(
            f"{kind}-missing",
            f"Tryton has no active {kind} {', '.join(missing[:5])}"
            + (f" and {len(missing) - 5} more" if len(missing) > 5 else ""),
            where=f"{model}/{missing[0]}",
            remedy="Have it made or loaded there, then release the step again",
        )
    return then(ids)
