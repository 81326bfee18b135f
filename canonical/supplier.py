"""Suppliers: what they are part of, where they are, and for what they are qualified.

Whether one may be bought from is decided in `canonical.eligibility`.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from canonical.bounds import Instant, Int64

QualificationStatus = Literal["qualified", "conditional", "in_qualification", "disqualified"]
SiteRole = Literal["ordering", "remit_to", "manufacturing"]


class Qualification(msgspec.Struct, frozen=True):
    """Result of qualifying a supplier.

    valid_until: last valid day; None = open.
    """

    status: QualificationStatus
    valid_until: date | None = None
    stated_as: str = ""

    def is_valid(self, on: date) -> bool:
        """Whether the supplier may be bought from on that day."""
        return self.status == "qualified" and (self.valid_until is None or on <= self.valid_until)


class Certificate(msgspec.Struct, frozen=True):
    """A paper that a qualification rests on, e.g. ISO 9001. valid_until: last valid day."""

    name: str
    number: str = ""
    valid_until: date | None = None


class ScopedQualification(msgspec.Struct, frozen=True):
    """Result of qualifying a supplier for a part of what is bought.

    category, region, business_unit, plant: what it is limited to; "" = all.
    valid_from, valid_until: first and last valid day; None = open. valid_until ends a
    qualification, never a disqualification.
    preferred_level: 1 is preferred most; None where the source gives none.
    """

    status: QualificationStatus
    category: str = ""
    region: str = ""
    business_unit: str = ""
    plant: str = ""
    valid_from: date | None = None
    valid_until: date | None = None
    certificates: tuple[Certificate, ...] = ()
    preferred_level: Int64 | None = None
    stated_as: str = ""


class SupplierSite(msgspec.Struct, frozen=True):
    """A place of the supplier: the same legal person, with no qualification of its own.

    code: as the source tells the supplier's sites apart. plants, regions: of ours that it serves;
    both empty = nobody says, so it may be any.
    """

    code: str
    name: str = ""
    roles: tuple[SiteRole, ...] = ()
    plants: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    active: bool = True

    def serves(self, plant: str, region: str) -> bool:
        """Whether goods for that plant may come from it, or their orders and payments go there."""
        everywhere = not self.plants and not self.regions
        return everywhere or plant in self.plants or (region != "" and region in self.regions)


class Supplier(msgspec.Struct, frozen=True):
    """A supplier as procurement states it; `number` is the one the ERP knows too.

    qualification: for everything, where nothing in `qualifications` says more.
    inherits_qualification: nobody stated `qualification`, it only fills the place: that of the
        parent counts.
    parent: number of the supplier it is part of; "" = of none. The ultimate parent is derived.
    origin: system that says so; not on record.
    """

    number: str
    name: str
    active: bool
    qualification: Qualification
    source_id: str = ""
    stated_at: Instant | None = None
    parent: str = ""
    inherits_qualification: bool = False
    qualifications: tuple[ScopedQualification, ...] = ()
    sites: tuple[SupplierSite, ...] = ()
    origin: str | UnsetType = UNSET

    def statements(self) -> tuple[ScopedQualification, ...]:
        """All that is stated about its own qualification, for everything or for a part."""
        if self.inherits_qualification:
            return self.qualifications
        overall = self.qualification
        whole = ScopedQualification(
            status=overall.status, valid_until=overall.valid_until, stated_as=overall.stated_as
        )
        return (whole, *self.qualifications)


def supplier_key(number: str) -> str:
    """Order and document key of a supplier."""
    return f"supplier/{number}"
