"""Suppliers as parties: their code is the number that the ERP which keeps them gives them.

What Tryton's buyers keep of a party themselves stays: contacts, categories, further addresses and
identifiers.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from canonical.codec import encode
from canonical.connector import Absent, Observed, Present
from canonical.errors import Rejected
from canonical.supplier_master import SupplierMaster, supplier_master_key
from handlers.systems.tryton import rpc
from handlers.systems.tryton.native import Address, Coded, HeldParty, Party
from handlers.systems.tryton.rpc import Call, Difference, Look
from handlers.systems.tryton.words import ADDRESS, COUNTRY, PARTY, VAT

_FIELDS = (
    *("code", "name", "active", "_timestamp"),
    *("addresses.street", "addresses.postal_code", "addresses.city", "addresses.country.code"),
    *("addresses.active", "addresses._timestamp"),
    *("identifiers.type", "identifiers.code"),
)
# Of an address, by what they are called with us.
_PARTS = (("street", "street"), ("postal_code", "postal_code"), ("city", "city"))


def look(master: SupplierMaster) -> Look:
    """The party by its code, and the country that its address names."""
    return Look(
        rpc.search(PARTY, (("code", "=", master.number),), _FIELDS), partial(_found, master)
    )


def _found(master: SupplierMaster, found: msgspec.Raw) -> Observed | Look:
    parties = tuple(
        one for one in rpc.decoded(found, tuple[Party, ...]) if one.code == master.number
    )
    held = HeldParty(rpc.only(parties, supplier_master_key(master.number)))
    if not master.country:
        return _observed(master, held)
    return Look(
        rpc.search(COUNTRY, (("code", "=", master.country),), ("code",), with_inactive=False),
        partial(_with_country, master, held),
    )


def _with_country(master: SupplierMaster, held: HeldParty, found: msgspec.Raw) -> Observed:
    """Raises: Rejected where Tryton does not know the country."""
    countries = {one.code: one.id for one in rpc.decoded(found, tuple[Coded, ...]) if one.code}
    if master.country not in countries:
        raise Rejected(
            "country-missing",
            f"Tryton has no active country {master.country}",
            where=f"{supplier_master_key(master.number)}.country",
            remedy="Have it loaded there, then release the step again",
        )
    return _observed(master, msgspec.structs.replace(held, countries=countries))


def _observed(master: SupplierMaster, held: HeldParty) -> Observed:
    """One that is deleted at its ERP and not known is not missing."""
    if held.party is None:
        return Present(equal=True) if not _is_active(master) else Absent(encode(held))
    missing = differences(master, held)
    return Present(
        equal=not missing,
        reference=str(held.party.id),
        differences=tuple(line for one in missing for line in one.what),
        native=encode(held),
    )


def create(master: SupplierMaster, held: HeldParty) -> Call | None:
    """The party with its address and its VAT number in one call."""
    if not _is_active(master):
        return None
    values = _wanted(master) | {"code": master.number}
    if address := _address(master, held):
        values["addresses"] = [["create", [address]]]
    if vat := master.tax_numbers.get("vat"):
        values["identifiers"] = [["create", [{"type": VAT, "code": vat}]]]
    return rpc.create(PARTY, values)


def differences(master: SupplierMaster, held: HeldParty) -> tuple[Difference, ...]:
    """What has to change, as one write: of the address, the first active one of the party."""
    party = held.party
    assert party is not None
    values: dict[str, Any] = {
        name: value for name, value in _wanted(master).items() if getattr(party, name) != value
    }
    what = [*rpc.differing((n, getattr(party, n), v) for n, v in _wanted(master).items())]
    seen = {rpc.stamp(PARTY, party.id): party.timestamp}
    wanted = _address(master, held)
    at = next((one for one in party.addresses if one.active), None)
    changed = {name: v for name, v in wanted.items() if at is None or _held(at, name) != v}
    if at is None and wanted:
        values["addresses"] = [["create", [wanted]]]
        what.append("address: missing")
    elif at is not None and changed:
        values["addresses"] = [["write", [at.id], changed]]
        what += rpc.differing((f"address.{n}", _held(at, n), v) for n, v in changed.items())
        seen[rpc.stamp(ADDRESS, at.id)] = at.timestamp
    vat = master.tax_numbers.get("vat")
    if vat and not any(_compact(one.code) == _compact(vat) for one in party.identifiers):
        values["identifiers"] = [["create", [{"type": VAT, "code": vat}]]]
        what.append(f"identifiers: no {VAT} {vat}")
    if not values:
        return ()
    return (Difference(tuple(what), rpc.write(PARTY, party.id, values, seen=seen)),)


def _wanted(master: SupplierMaster) -> dict[str, Any]:
    """Raises: Rejected for a supplier without a name."""
    if not master.name:
        raise Rejected(
            "supplier-without-name",
            f"The ERP gives supplier {master.number} no name",
            where=supplier_master_key(master.number),
            remedy="Give it a name in the ERP",
            owner="master data",
        )
    return {"name": master.name, "active": _is_active(master)}


def _is_active(master: SupplierMaster) -> bool:
    return not master.is_deleted


def _address(master: SupplierMaster, held: HeldParty) -> dict[str, Any]:
    """What is known of the address; of what is not known nothing is said."""
    stated = {theirs: getattr(master, ours) for theirs, ours in _PARTS if getattr(master, ours)}
    if master.country:
        stated["country"] = rpc.ref(held.countries, master.country)
    return stated


def _held(address: Address, name: str) -> object:
    if name == "country":
        return address.country.id if address.country else 0
    return getattr(address, name) or ""


def _compact(code: str | None) -> str:
    """An identifier without what people put in to read it."""
    return "".join(c for c in code or "" if c.isalnum()).upper()


def remarks(master: SupplierMaster) -> tuple[str, ...]:
    """What of the supplier Tryton has no place for, each kind once."""
    said = {
        "Further names": master.name2 or master.name3 or master.name4,
        "Blocks": master.is_purchasing_blocked
        or master.is_posting_blocked
        or any(view.is_purchasing_blocked for view in master.organisations),
        "Terms by company and organisation": master.companies or master.organisations,
        "The post box": master.po_box,
    }
    where = f"of supplier {master.number}"
    return tuple(f"{words} {where}: not sent" for words, stated in said.items() if stated)
