"""A supplier of procurement's as ours: what it is part of, its sites and its qualifications."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from canonical.codec import encode
from canonical.supplier import (
    Certificate,
    Qualification,
    QualificationStatus,
    ScopedQualification,
    Supplier,
    SupplierSite,
)
from canonical.text import normalise_id, normalise_text
from handlers.systems.coupa import native
from handlers.systems.coupa.values import day_of, last_day, optional_id, unmapped
from handlers.systems.coupa.words import IS_ACTIVE, QUALIFICATION


def to_supplier(held: native.Supplier, stated_at: datetime | None) -> Supplier:
    """The supplier as our event states it; lists in an order of their own.

    Raises: InvalidMessage where a word of it is in no table, or a day is none.
    """
    is_active = IS_ACTIVE.get(held.status)
    if is_active is None:
        raise unmapped("supplier-status-unmapped", held.status, "status")
    fields = held.custom_fields or native.SupplierFields()
    rows = enumerate(fields.qualifications or ())
    return Supplier(
        number=normalise_id(held.number, where="number"),
        name=normalise_text(held.name or "", where="name"),
        active=is_active,
        qualification=_qualification(fields),
        source_id=str(held.id),
        stated_at=stated_at,
        parent=optional_id(held.parent.number if held.parent else None, "parent.number"),
        inherits_qualification=not fields.qualification_status,
        qualifications=tuple(
            sorted(
                (_scoped(row, f"custom-fields.qualifications[{n}]") for n, row in rows), key=encode
            )
        ),
        sites=tuple(sorted(_sites(held), key=encode)),
    )


def _qualification(fields: native.SupplierFields) -> Qualification:
    if not fields.qualification_status:
        # Nobody has begun to qualify: what follows, unless a parent is qualified, is a question to
        # a person, not a wrong message.
        return Qualification("in_qualification")
    where = "custom-fields.qualification-status"
    return Qualification(
        status=_status(fields.qualification_status, where),
        valid_until=last_day(fields.qualified_until, "custom-fields.qualified-until"),
        stated_as=fields.qualification_status,
    )


def _scoped(row: native.QualificationRow, where: str) -> ScopedQualification:
    papers = enumerate(row.certificates or ())
    return ScopedQualification(
        status=_status(row.status, f"{where}.status"),
        # As items have their category: a word of the source, not an id.
        category=normalise_text(row.category or "", where=f"{where}.category"),
        region=optional_id(row.region, f"{where}.region"),
        business_unit=optional_id(row.business_unit, f"{where}.business-unit"),
        plant=optional_id(row.plant, f"{where}.plant"),
        valid_from=day_of(row.valid_from, f"{where}.valid-from") if row.valid_from else None,
        valid_until=last_day(row.valid_until, f"{where}.valid-until"),
        certificates=tuple(
            sorted(
                (_certificate(paper, f"{where}.certificates[{n}]") for n, paper in papers),
                key=encode,
            )
        ),
        preferred_level=row.preferred_level,
        stated_as=row.status,
    )


def _certificate(paper: native.Certificate, where: str) -> Certificate:
    return Certificate(
        name=normalise_text(paper.name, where=f"{where}.name"),
        number=optional_id(paper.number, f"{where}.number"),
        valid_until=last_day(paper.valid_until, f"{where}.valid-until"),
    )


def _sites(held: native.Supplier) -> Iterator[SupplierSite]:
    """Sites and remit-to addresses; one that nothing tells apart from others is left out."""
    for n, site in enumerate(held.supplier_sites or ()):
        where, fields = f"supplier-sites[{n}]", site.custom_fields or native.SiteFields()
        if code := optional_id(site.code, f"{where}.code"):
            yield SupplierSite(
                code=code,
                name=normalise_text(site.name or "", where=f"{where}.name"),
                roles=("ordering", "manufacturing") if fields.manufacturing else ("ordering",),
                plants=_ids(fields.plants, f"{where}.custom-fields.plants"),
                regions=_ids(fields.regions, f"{where}.custom-fields.regions"),
                active=site.active is not False,
            )
    for n, address in enumerate(held.remit_to_addresses or ()):
        where = f"remit-to-addresses[{n}]"
        own = optional_id(address.remit_to_code, f"{where}.remit-to-code")
        if code := own or ("" if address.id is None else str(address.id)):
            yield SupplierSite(
                code=code,
                name=normalise_text(address.name or "", where=f"{where}.name"),
                roles=("remit_to",),
                active=address.active is not False,
            )


def _ids(stated: tuple[str, ...] | None, where: str) -> tuple[str, ...]:
    return tuple(sorted({normalise_id(one, where=where) for one in stated or ()}))


def _status(word: str, where: str) -> QualificationStatus:
    status = QUALIFICATION.get(word)
    if status is None:
        raise unmapped("qualification-unmapped", word, where)
    return status
