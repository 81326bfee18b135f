"""Suppliers of an ERP as procurement's: who they are, and that they may not be bought from.

What is procurement's own stays: qualifications, sites, contacts, and that it made one inactive.
"""

from __future__ import annotations

from functools import partial

import msgspec
from msgspec import UNSET, UnsetType

from canonical.codec import encode
from canonical.connector import Absent, Confirmed, More, Observed, Present, Write
from canonical.errors import Rejected, SuspectedDuplicate
from canonical.exchange import Request, Response
from canonical.supplier_master import SupplierMaster, supplier_master_key
from handlers.systems import answers
from handlers.systems.coupa import native, pages, rest
from handlers.systems.coupa.pages import Row
from handlers.systems.coupa.words import ACTIVE, INACTIVE

Compared = tuple[tuple[str, object, object], ...]

_PATH = "/api/suppliers"
_NAME_CHARS = 100


def observe(master: SupplierMaster) -> Request:
    """The read by the ERP's number."""
    return rest.get(_PATH, ("number", master.number))


def read(master: SupplierMaster, response: Response) -> Observed | More:
    """What procurement holds. One that may not be bought from and is not known is not missing."""
    listed = pages.List(
        observe(master),
        tuple[native.HeldSupplier, ...],
        lambda held: held.number == master.number,
        partial(_compare, master),
    )
    return pages.read(listed, response)


def _compare(master: SupplierMaster, found: tuple[Row[native.HeldSupplier], ...]) -> Observed:
    row = rest.only(found, supplier_master_key(master.number))
    if row is None:
        return Absent() if is_bought_from(master) else Present(equal=True)
    held = row.value
    differences = rest.differing(_compared(body_of(master), held))
    return Present(
        equal=not differences,
        reference=str(held.id),
        differences=differences,
        native=encode(held),
    )


def write(master: SupplierMaster, observed: Observed, key: str) -> Write:
    """The create, or the change of what differs and of nothing else."""
    wanted = body_of(master)
    if isinstance(observed, Absent):
        return rest.write("POST", _PATH, wanted, key)
    held = msgspec.json.decode(observed.native, type=native.HeldSupplier)
    return rest.write("PUT", f"{_PATH}/{observed.reference}", _change(wanted, held), key)


def confirm(master: SupplierMaster, response: Response) -> Confirmed:
    """That procurement shows the supplier under its number."""
    written = rest.decoded(response, native.HeldSupplier, wrote=True)
    rest.check(written.number or "", master.number)
    return Confirmed(reference=str(written.id))


def refuse_other_of_that_name(master: SupplierMaster, response: Response) -> None:
    """Raises: SuspectedDuplicate where the name is taken, which no further read by number shows."""
    if rest.taken(response) == {"name"}:
        raise SuspectedDuplicate(
            "name-used-twice",
            f"Procurement has a supplier called {answers.printable(master.name)}, and not under"
            f" number {master.number}",
            where=supplier_master_key(master.number),
            remedy="Give it that number in procurement, or another name in the ERP where it is"
            " somebody else; then release the step again",
        )


def is_bought_from(master: SupplierMaster) -> bool:
    """Whether the ERP lets anybody buy from it. A block for postings stops payments only."""
    views = master.organisations
    is_blocked_in_all = bool(views) and all(
        view.is_purchasing_blocked or view.is_deleted for view in views
    )
    return not (master.is_deleted or master.is_purchasing_blocked or is_blocked_in_all)


def body_of(master: SupplierMaster) -> native.SupplierBody:
    """The supplier as buyers are to see it; of what is not known nothing is said.

    Raises: Rejected for one without a name, or with a longer one than procurement holds.
    """
    where = supplier_master_key(master.number)
    if not master.name:
        raise Rejected(
            "supplier-without-name",
            f"The ERP gives supplier {master.number} no name, and procurement needs one",
            where=where,
            remedy="Give it a name in the ERP",
            owner="master data",
        )
    return native.SupplierBody(
        number=master.number,
        name=rest.fitting(master.name, _NAME_CHARS, f"{where}.name"),
        status=ACTIVE if is_bought_from(master) else INACTIVE,
        primary_address=_address(master),
        payment_term=_payment_term(master),
    )


def _address(master: SupplierMaster) -> native.PostalAddress | UnsetType:
    # A region is the ERP's own key, and procurement's a name: not said.
    address = native.PostalAddress(
        street1=master.street or UNSET,
        city=master.city or UNSET,
        postal_code=master.postal_code or UNSET,
        country=native.Code(master.country) if master.country else UNSET,
    )
    return UNSET if address == native.PostalAddress() else address


def _payment_term(master: SupplierMaster) -> native.Code | UnsetType:
    """The term that all purchasing organisations agree on; procurement has one for all."""
    views = [view for view in master.organisations if not view.is_deleted]
    terms = {view.payment_terms for view in views}
    return native.Code(terms.pop()) if len(terms) == 1 and "" not in terms else UNSET


def _compared(wanted: native.SupplierBody, held: native.HeldSupplier) -> Compared:
    found: list[tuple[str, object, object]] = [("name", held.name or "", wanted.name)]
    if wanted.status == INACTIVE:
        # Never the other way: that may be procurement's own decision.
        found.append(("status", held.status or "", wanted.status))
    if wanted.primary_address is not UNSET:
        found += _compared_address(wanted.primary_address, held.primary_address)
    if wanted.payment_term is not UNSET:
        term = held.payment_term.code if held.payment_term else ""
        found.append(("payment-term", term, wanted.payment_term.code))
    return tuple(found)


def _compared_address(wanted: native.PostalAddress, held: native.PostalAddress | None) -> Compared:
    its = held or native.PostalAddress()
    found = (
        ("street1", its.street1 or "", wanted.street1),
        ("city", its.city or "", wanted.city),
        ("postal-code", its.postal_code or "", wanted.postal_code),
        ("country", _code(its.country), _code(wanted.country)),
    )
    return tuple(
        (f"primary-address.{name}", is_held, said) for name, is_held, said in found if said
    )


def _code(country: native.Code | UnsetType | None) -> str:
    return country.code if country else ""


def _change(wanted: native.SupplierBody, held: native.HeldSupplier) -> native.SupplierBody:
    differs = {
        name.partition(".")[0] for name, is_held, said in _compared(wanted, held) if is_held != said
    }
    return native.SupplierBody(
        name=wanted.name if "name" in differs else UNSET,
        status=wanted.status if "status" in differs else UNSET,
        primary_address=wanted.primary_address if "primary-address" in differs else UNSET,
        payment_term=wanted.payment_term if "payment-term" in differs else UNSET,
    )
