"""The source list of a material in a plant as rows of A_PurchasingSource.

The rows have numbers of the ERP's, which tell nothing: they are known by whose they are and by
their days. A contract that one names is there under a number of the ERP's, by which it is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import msgspec

from canonical.connector import More, Observed
from canonical.errors import Misconfigured
from canonical.exchange import Request, Response
from canonical.operations import PutSourceList
from canonical.own_words import OwnWords
from canonical.source_list import Source, SourceList
from handlers.systems.s4 import odata
from handlers.systems.s4.added_sources import SOURCES, added, missing, shown
from handlers.systems.s4.compare import (
    Difference,
    as_text,
    in_words,
    present,
    same_id,
    same_unit,
    text_of,
    unpadded,
)
from handlers.systems.s4.contract_wanted import is_reference
from handlers.systems.s4.native import AgreedContract, ListedSource, ListedSources
from handlers.systems.s4.placed_contract import (
    ask_by_number,
    ask_by_reference,
    could_be_of_the_erp,
    items_of,
    read_numbered,
    referring,
)
from handlers.systems.s4.read_back import SOURCE_SERVICE as SERVICE
from handlers.systems.s4.source_list_wanted import contracts, days, wanted_rows, which, whose
from handlers.systems.s4.words import DELETED

_BLOCKED = "SourceOfSupplyIsBlocked"


def observe(sources: SourceList) -> Request:
    """The read of all rows of the item in the plant."""
    asked = odata.equals(Material=sources.item, Plant=sources.plant)
    select = ",".join(odata.fields(ListedSource))
    return odata.get(odata.address(SERVICE, SOURCES), filter=asked, select=select)


def read(put: PutSourceList, own: OwnWords, response: Response) -> Observed | More:
    """What the target holds of the list; the next calls find the contracts that it names there."""
    sources = put.sources
    rows = odata.read_all(response, ListedSource)
    for row in rows:
        if text_of(row.Plant) != sources.plant or not same_id(text_of(row.Material), sources.item):
            raise Misconfigured(
                "answer-about-another",
                f"Asked for sources of {sources.item} in {sources.plant}, answered about another"
                " list",
                where="Material, Plant",
            )
    return _look_up(put, own, ListedSources(rows=rows), contracts(sources))


def check_written(sources: SourceList, response: Response) -> str:
    """Plant and material as the target confirms them; "" where it confirms without a body."""
    written = odata.read_written(response)
    if written is None:
        return ""
    material, plant = text_of(written.Material), text_of(written.Plant)
    if not same_id(material, sources.item) or plant != sources.plant:
        stated = f"{plant}/{material}" if material or plant else ""
        raise odata.about_another("source list", stated, "Material, Plant")
    return _name(sources)


def differences(put: PutSourceList, own: OwnWords, held: ListedSources) -> tuple[Difference, ...]:
    """The writes that are missing, in their order: changed rows, blocks among them, then new ones,
    then those that are not in the list.

    Rows of suppliers that the list names are its own. Where the system that it comes from states
    it, it is whole, and so are rows of other suppliers, and blocks of everybody. A row whose source
    is another plant, or nobody, is the ERP's: a list of ours has no such rows.

    Of a part of the list nothing is changed and nothing goes: what is missing is added.
    """
    sources = put.sources
    if put.is_partial:
        return added(sources, wanted_rows(sources, own, held.agreements), held.rows)
    rows = [row for row in held.rows if _can_be_ours(row)]
    wanted = wanted_rows(sources, own, held.agreements)
    pairs = _paired(wanted, rows)
    return (
        *(found for at, place in pairs.items() for found in _changed(wanted[at], own, rows[place])),
        *(missing(sources, row) for at, row in enumerate(wanted) if at not in pairs),
        *(
            _dropped(row)
            for place, row in enumerate(rows)
            if place not in pairs.values() and _is_of(sources, row)
        ),
    )


# --- contracts that the list names ---


def _look_up(
    put: PutSourceList, own: OwnWords, held: ListedSources, left: Sequence[str]
) -> Observed | More:
    """What there is, once it is known which contracts of the target are meant; left: by their
    numbers where they were agreed."""
    if not left:
        return present(held, _name(put.sources), differences(put, own, held))
    number = left[0]
    if is_reference(number):
        return More(ask_by_reference(number), partial(_by_reference, put, own, held, left))
    return _found(put, own, held, left, None)


def _by_reference(
    put: PutSourceList,
    own: OwnWords,
    held: ListedSources,
    left: Sequence[str],
    response: Response,
) -> Observed | More:
    number = left[0]
    found = referring(number, response)
    # Buyers use the field for other things too: it has to be an agreement with the row's supplier.
    if found is not None and _is_with(found, _rows_on(put.sources, number)):
        return _found(put, own, held, left, found)
    if could_be_of_the_erp(number):
        return More(ask_by_number(number), partial(_by_number, put, own, held, left))
    return _found(put, own, held, left, None)


def _by_number(
    put: PutSourceList,
    own: OwnWords,
    held: ListedSources,
    left: Sequence[str],
    response: Response,
) -> Observed | More:
    """A contract of the ERP's own: numbers of two systems meet by chance, so it has to be on this
    item with the supplier."""
    number = left[0]
    rows = _rows_on(put.sources, number)
    found = read_numbered(number, response)
    if found is not None and not (_is_with(found, rows) and _is_on(put.sources.item, found, rows)):
        found = None
    return _found(put, own, held, left, found)


def _found(
    put: PutSourceList,
    own: OwnWords,
    held: ListedSources,
    left: Sequence[str],
    found: AgreedContract | None,
) -> Observed | More:
    is_there = found is not None and found.PurchasingDocumentDeletionCode not in DELETED
    number = text_of(found.PurchaseContract) if found is not None and is_there else ""
    agreements = {**held.agreements, left[0]: number}
    held = msgspec.structs.replace(held, agreements=agreements)
    return _look_up(put, own, held, left[1:])


def _rows_on(sources: SourceList, contract: str) -> tuple[Source, ...]:
    return tuple(source for source in sources.sources if source.contract == contract)


def _is_with(found: AgreedContract, rows: Sequence[Source]) -> bool:
    return all(same_id(text_of(found.Supplier), row.supplier) for row in rows)


def _is_on(item: str, found: AgreedContract, rows: Sequence[Source]) -> bool:
    materials = items_of(found)
    return all(same_id(materials.get(unpadded(row.contract_line), ""), item) for row in rows)


# --- rows ---


def _can_be_ours(row: ListedSource) -> bool:
    if text_of(row.SupplyingPlant).strip():
        return False
    return bool(text_of(row.Supplier).strip()) or row.SourceOfSupplyIsBlocked is True


def _is_of(sources: SourceList, row: ListedSource) -> bool:
    """Whether a row that is not in the list is the list's to take away."""
    if sources.origin:
        return True
    named = {unpadded(source.supplier) for source in sources.sources if source.supplier}
    return unpadded(text_of(row.Supplier)) in named


def _paired(wanted: Sequence[ListedSource], held: Sequence[ListedSource]) -> dict[int, int]:
    """Places of the rows wanted -> those held: what is there as it is wanted, then by whose it is
    and its days, by whose it is, by supplier; in their order where several are the same."""
    found: dict[int, int] = {}
    for key in (which, _whose_and_days, whose, _supplier):
        taken = set(found.values())
        free: dict[object, list[int]] = {}
        for place, row in enumerate(held):
            if place not in taken:
                free.setdefault(key(row), []).append(place)
        for at, row in enumerate(wanted):
            if at not in found and (places := free.get(key(row))):
                found[at] = places.pop(0)
    return {at: found[at] for at in sorted(found)}


def _whose_and_days(row: ListedSource) -> tuple[object, ...]:
    return (*whose(row), *days(row))


def _supplier(row: ListedSource) -> str:
    return whose(row)[0]


def _changed(want: ListedSource, own: OwnWords, row: ListedSource) -> Iterator[Difference]:
    fields: dict[str, str | bool] = dict(_differing(want, own, row))
    if fields:
        at = f"{shown(row)} "
        what = tuple(
            at + in_words(name, as_text(getattr(row, name)), as_text(value))
            for name, value in fields.items()
        )
        body = msgspec.convert(fields, ListedSource)
        yield Difference(what, odata.patch(_address(row), body, odata.etag_of(row)))


def _differing(
    want: ListedSource, own: OwnWords, row: ListedSource
) -> Iterator[tuple[str, str | bool]]:
    """Fields of a row of the same supplier that are wanted otherwise, as they are wanted."""
    first, last = (mine == theirs for mine, theirs in zip(days(want), days(row), strict=True))
    if not first:
        yield "ValidityStartDate", text_of(want.ValidityStartDate)
    if not last:
        yield "ValidityEndDate", text_of(want.ValidityEndDate)
    if whose(want) != whose(row):
        # An agreement and its item are one statement.
        for name in ("PurchaseOutlineAgreement", "PurchaseOutlineAgreementItem"):
            yield name, text_of(getattr(want, name))
    organisation = text_of(want.PurchasingOrganization)
    if organisation and organisation != text_of(row.PurchasingOrganization):
        yield "PurchasingOrganization", organisation
    unit = text_of(want.OrderQuantityUnit)
    if unit and not same_unit(text_of(row.OrderQuantityUnit), unit, own):
        yield "OrderQuantityUnit", unit
    is_blocked = want.SourceOfSupplyIsBlocked is True
    if is_blocked is not (row.SourceOfSupplyIsBlocked is True):
        yield _BLOCKED, is_blocked


def _dropped(row: ListedSource) -> Difference:
    what = f"{shown(row)}: not wanted"
    return Difference((what,), odata.delete(_address(row), odata.etag_of(row)))


def _address(row: ListedSource) -> str:
    return odata.address(
        SERVICE,
        SOURCES,
        Material=text_of(row.Material),
        Plant=text_of(row.Plant),
        SourceListRecord=text_of(row.SourceListRecord),
    )


def _name(sources: SourceList) -> str:
    return f"{sources.plant}/{sources.item}"
